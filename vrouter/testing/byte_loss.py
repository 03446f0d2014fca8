"""Losses by the bytes of a stream: "the second transmission of bytes 10,000 to 20,000 does not arrive".

Bytes are numbered from 0, the first one behind the SYN; so a rule must be there before the SYN passes, or counts from
the first segment that it sees. Each byte's transmissions are counted apart, so that a range may be sent in any
segments, and sent again in others; a segment is lost when that is so for the first byte of the range that it carries.
"""

from __future__ import annotations

from collections.abc import Collection

from vrouter.stack.wire import tcp

_TAGS = (0x8100, 0x88A8)
_MASK = 0xFFFFFFFF
_HALF = 0x80000000


class ByteLoss:
    """One rule of one direction; made by `wire.End.lose_bytes`. ``lost`` counts the frames that it took."""

    __slots__ = ("_first", "_pieces", "end", "lost", "nth", "port", "start")

    def __init__(self, start: int, end: int, nth: int | Collection[int] = 1, port: int = 0) -> None:
        if not 0 <= start < end:
            raise ValueError(f"bytes {start} to {end} are no range")
        self.start = start
        self.end = end
        self.nth = frozenset((nth,) if isinstance(nth, int) else nth)
        self.port = port
        self.lost = 0
        self._first: dict[bytes, int] = {}  # the sequence number of byte 0, for each flow
        self._pieces: dict[bytes, list[list[int]]] = {}  # [start, end, how often it was sent], in order

    def __repr__(self) -> str:
        return f"<ByteLoss {self.start}..{self.end}, transmission {sorted(self.nth)}: {self.lost} lost>"

    def takes(self, frame: bytes) -> bool:
        """Count a frame that is put on the wire; whether it is lost."""
        found = _segment(frame)
        if found is None:
            return False
        flow, at, end = found
        if self.port and self.port not in (tcp.src_port(frame, at), tcp.dst_port(frame, at)):
            return False
        number = tcp.seq(frame, at)
        if tcp.flags(frame, at) & tcp.SYN:
            self._first[flow] = (number + 1) & _MASK
            self._pieces[flow] = [[self.start, self.end, 0]]
            return False  # whatever data it carries comes again
        size = end - at - tcp.header_length(frame, at)
        if size <= 0:
            return False
        first = self._first.setdefault(flow, number)
        start = ((number - first + _HALF) & _MASK) - _HALF
        count = self._count(self._pieces.setdefault(flow, [[self.start, self.end, 0]]), start, start + size)
        if count not in self.nth:
            return False
        self.lost += 1
        return True

    @staticmethod
    def _count(pieces: list[list[int]], start: int, end: int) -> int:
        """Bytes `start` to `end` are sent; the how manieth time that is for the first of them, 0: none is of the
        range."""
        first = 0
        split: list[list[int]] = []
        for piece in pieces:
            low, high, count = max(piece[0], start), min(piece[1], end), piece[2]
            if low >= high:
                split.append(piece)
                continue
            if piece[0] < low:
                split.append([piece[0], low, count])
            split.append([low, high, count + 1])
            if high < piece[1]:
                split.append([high, piece[1], count])
            first = first or count + 1
        pieces[:] = split
        return first


def _segment(frame: bytes) -> tuple[bytes, int, int] | None:
    """Flow, offset of the TCP header, and end of a segment in a frame; None for anything else."""
    at = 12
    while int.from_bytes(frame[at : at + 2], "big") in _TAGS:
        at += 4
    ip = at + 2
    ethertype = int.from_bytes(frame[at:ip], "big")
    if ethertype == 0x0800 and len(frame) >= ip + 20 and frame[ip + 9] == tcp.PROTO:
        transport = ip + (frame[ip] & 15) * 4
        end = ip + int.from_bytes(frame[ip + 2 : ip + 4], "big")
        addresses = frame[ip + 12 : ip + 20]
        if int.from_bytes(frame[ip + 6 : ip + 8], "big") & 0x3FFF:
            return None  # a fragment
    elif ethertype == 0x86DD and len(frame) >= ip + 40 and frame[ip + 6] == tcp.PROTO:
        transport = ip + 40
        end = transport + int.from_bytes(frame[ip + 4 : ip + 6], "big")
        addresses = frame[ip + 8 : ip + 40]
    else:
        return None
    if end > len(frame) or end - transport < tcp.HEADER_LEN:
        return None
    return addresses + frame[transport : transport + 4], transport, end
