"""Strangers who speak TCP: connections with handshake, data, SACK and an end; and then everything that is not done.

A stranger knows all that a peer can know, and lies about it: he acknowledges what he did not get or was not sent, takes
SACKs and windows back, goes back in time, sends what is out of order, twice, or beyond the window. He never writes
bytes that are not the pattern's at their place, so that whatever the stack takes of him can be told to be right.
"""

from __future__ import annotations

from random import Random
from struct import pack, unpack_from

from tests.fuzz.octets import ICMP, ICMPV6, mend
from tests.fuzz.tcp_frames import (
    ACK,
    CWR,
    ECE,
    EDGES,
    FIN,
    MASK,
    PSH,
    RST,
    SYN,
    URG,
    Heard,
    Way,
    frame,
    hear,
    junk,
    on_link,
    piece,
)

_MOST = 24  # connections of one stranger
_SIZES = (1, 10, 100, 536, 1000, 1448, 1460, 4000, 20000, 60000)
_WINDOWS = (0, 1, 2, 50, 536, 1000, 5000, 65535, 65535)
_MSS = (0, 1, 20, 48, 64, 88, 216, 536, 1220, 1460, 1460, 1460, 9000, 65535)
_ERRORS = ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 4), (3, 4), (3, 9), (3, 10), (3, 13), (11, 0), (12, 0), (4, 0))
_ERRORS6 = ((1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (2, 0), (2, 0), (3, 0), (4, 0), (4, 1))
_MTUS = (0, 1, 60, 68, 296, 552, 576, 1006, 1280, 1492, 1500, 9000, 65535)


class Connection:
    """What a stranger knows of one: his numbers begin at ``iss``, the stack's at ``irs``."""

    def __init__(self, port: int, peer_port: int, iss: int) -> None:
        self.port, self.peer_port = port, peer_port
        self.iss = iss
        self.sent = 0  # data bytes, by the pattern
        self.acked = 0
        self.irs = -1
        self.got = 0  # data bytes in order
        self.ahead: list[tuple[int, int]] = []
        self.window = 65535
        self.scale = 0
        self.mine_scale = 0
        self.mine_window = 65535
        self.up = False
        self.fin_at = -1  # of the stack, as an offset
        self.closed = False
        self.ts = False
        self.tsval = 0
        self.tsecr = 0
        self.sack = False
        self.last: Heard | None = None


class Stranger:
    """One address on the link of a device."""

    def __init__(self, rng: Random, way: Way) -> None:
        self.rng = rng
        self.way = way
        self.known: dict[tuple[int, int], Connection] = {}
        self.numbers: dict[tuple[int, int], int] = {}
        self.cookie = b""

    # -- what he hears ------------------------------------------------------------------------------------------------

    def hears(self, data: bytes) -> list[bytes]:
        """A frame came to him, without a virtio-net header: what he says at once."""
        heard = hear(data)
        if heard is None or heard.dst != self.way.mine:
            return []
        key = heard.dport, heard.sport
        one = self.known.get(key)
        if heard.flags & RST:
            if one is not None and self.rng.random() < 0.8:
                del self.known[key]
            return []
        if heard.flags & SYN and not heard.flags & ACK:
            return self._asked(key, heard)
        if one is None:
            return []
        one.last = heard
        return self._told(one, heard)

    def _asked(self, key: tuple[int, int], heard: Heard) -> list[bytes]:
        """Somebody connects to him."""
        rng, one = self.rng, self.known.get(key)
        if one is None:
            roll = rng.random()
            if roll < 0.1:
                return []
            if roll < 0.15:
                return [frame(self.way, *key, 0, heard.seq + 1, RST | ACK, 0)]
            one = self._new(*key)
        self._agree(one, heard)
        one.irs = heard.seq
        one.last = heard
        if rng.random() < 0.1:
            return [self._syn(one, SYN)]  # both open at once
        one.up = True
        if heard.data and rng.random() < 0.7:
            one.got = len(heard.data)
        return [self._syn(one, SYN | ACK)]

    def _told(self, one: Connection, heard: Heard) -> list[bytes]:
        if heard.flags & SYN:
            self._agree(one, heard)
            one.irs = heard.seq
            one.up = True
            cookie = heard.options.get(34, b"")
            self.cookie = cookie or self.cookie
        if one.irs < 0:
            return []
        if 8 in heard.options and len(heard.options[8]) == 8:
            one.tsecr = unpack_from("!I", heard.options[8])[0]
        one.window = heard.window << (0 if heard.flags & SYN else one.scale)
        acked = (heard.ack - one.iss - 1) & MASK
        if acked <= one.sent + 1:
            one.acked = max(one.acked, min(acked, one.sent))
        start = (heard.seq - one.irs - (not heard.flags & SYN)) & MASK
        if start < 1 << 31:
            end = start + len(heard.data)
            if heard.flags & FIN:
                one.fin_at = end
            if end > start:
                one.ahead.append((start, end))
            self._advance(one)
        if heard.data or heard.flags & (FIN | SYN):
            if self.rng.random() < 0.7:
                return [self.ack(one)]
        return []

    def _advance(self, one: Connection) -> None:
        one.ahead.sort()
        merged: list[tuple[int, int]] = []
        for start, end in one.ahead:
            if start <= one.got:
                one.got = max(one.got, end)
            elif merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        one.ahead = [pair for pair in merged if pair[0] > one.got][-8:]

    def _agree(self, one: Connection, heard: Heard) -> None:
        rng = self.rng
        one.sack = 4 in heard.options and rng.random() < 0.85
        one.ts = 8 in heard.options and rng.random() < 0.85
        if len(heard.options.get(3, b"")) == 1 and rng.random() < 0.9:
            one.scale = min(heard.options[3][0], 14)
            one.mine_scale = rng.choice((0, 1, 7, 14, 14, 15, 255))
        else:
            one.scale = one.mine_scale = 0
        if len(heard.options.get(8, b"")) == 8:
            one.tsecr = unpack_from("!I", heard.options[8])[0]

    # -- what he says -------------------------------------------------------------------------------------------------

    def _new(self, port: int, peer_port: int) -> Connection:
        rng = self.rng
        if len(self.known) >= _MOST:
            del self.known[rng.choice(list(self.known))]
        # Between the same ends always the same: else bytes of one connection could be in the window of the next.
        number = rng.choice((*EDGES, rng.getrandbits(32), rng.getrandbits(32)))
        one = Connection(port, peer_port, self.numbers.setdefault((port, peer_port), number))
        one.tsval = rng.choice((*EDGES, rng.getrandbits(32)))
        self.known[port, peer_port] = one
        return one

    def _syn(self, one: Connection, flags: int) -> bytes:
        rng = self.rng
        area = b""
        if rng.random() < 0.9:
            area += pack("!BBH", 2, 4, rng.choice(_MSS))
        if one.sack:
            area += b"\4\2"
        if one.ts:
            area += pack("!BBII", 8, 10, one.tsval, one.tsecr if flags & ACK else 0)
        if one.mine_scale or rng.random() < 0.3:
            area += bytes((3, 3, one.mine_scale & 0xFF))
        data = b""
        roll = rng.random()
        if roll < 0.2 and len(area) < 20:
            cookie = rng.choice((self.cookie, self.cookie, b"", rng.randbytes(8), rng.randbytes(rng.randrange(1, 17))))
            area += bytes((34, 2 + len(cookie))) + cookie
            data = piece(0, rng.choice((0, 10, 500, 1400)))
        elif roll < 0.25:
            area = junk(rng)
        elif roll < 0.28:
            data = piece(0, 100)
        one.sent = max(one.sent, len(data))
        if rng.random() < 0.3:
            flags |= ECE | CWR
        ack = one.irs + 1 + one.got if flags & ACK else rng.choice((0, 0, 1, rng.getrandbits(32)))
        one.mine_scale = min(one.mine_scale, 14)
        return frame(
            self.way, one.port, one.peer_port, one.iss, ack, flags, rng.choice(_WINDOWS), data, area[:40]
        )  # fmt: skip

    def opens(self, port: int) -> list[bytes]:
        """He connects to a port of the stack, or floods it."""
        rng = self.rng
        if rng.random() < 0.1:
            return [
                frame(self.way, rng.randrange(1, 65536), port, rng.getrandbits(32), 0, SYN, 1000)
                for _ in range(rng.choice((3, 20)))
            ]
        one = self._new(rng.choice((7777, rng.randrange(1024, 65536), rng.randrange(1024, 65536))), port)
        one.sack, one.ts = rng.random() < 0.8, rng.random() < 0.7
        one.mine_scale = rng.choice((0, 0, 2, 7, 14, 15))
        return [self._syn(one, SYN)]

    def _area(self, one: Connection, blocks: list[tuple[int, int]]) -> bytes:
        area = b""
        if one.ts:
            one.tsval = (one.tsval + self.rng.choice((0, 0, 1, 10))) & MASK
            area = b"\1\1" + pack("!BBII", 8, 10, one.tsval, one.tsecr)
        if blocks and one.sack:
            blocks = blocks[: 3 if one.ts else 4]
            area += b"\1\1" + bytes((5, 2 + 8 * len(blocks)))
            for left, right in blocks:
                area += pack("!II", (one.irs + 1 + left) & MASK, (one.irs + 1 + right) & MASK)
        return area

    def segment(self, one: Connection, start: int, data: bytes, flags: int = ACK, **wrong: int) -> bytes:
        """Data from the offset `start` on, and what he has of the stack's."""
        return frame(
            self.way,
            one.port,
            one.peer_port,
            one.iss + 1 + start,
            one.irs + 1 + one.got + (one.fin_at == one.got),
            flags,
            one.mine_window >> one.mine_scale if one.mine_window > 65535 else one.mine_window,
            data,
            self._area(one, one.ahead),
            **wrong,  # type: ignore[arg-type]  # what is wrong is of any type
        )

    def ack(self, one: Connection) -> bytes:
        """An honest ACK."""
        return self.segment(one, one.sent + one.closed, b"")

    def acts(self) -> list[bytes]:
        """Something that he does with one of his connections."""
        rng = self.rng
        if not self.known:
            return []
        key = rng.choice(list(self.known))
        one = self.known[key]
        if one.irs < 0:
            if rng.random() < 0.3:
                del self.known[key]
                return []
            return [self._syn(one, SYN)]
        if rng.random() < 0.55:
            return self._honest(one)
        return self._hostile(one, key)

    def _honest(self, one: Connection) -> list[bytes]:
        rng = self.rng
        roll = rng.random()
        if roll < 0.45 and not one.closed:
            room = max(one.window - (one.sent - one.acked), 0)
            size = min(rng.choice(_SIZES), room)
            data = piece(one.sent, size)
            made = self._pieces(one, one.sent, data)
            one.sent += size
            return made or [self.ack(one)]
        if roll < 0.6 and one.acked < one.sent:
            size = min(one.sent - one.acked, rng.choice(_SIZES))
            return self._pieces(one, one.acked, piece(one.acked, size))
        if roll < 0.63:
            one.closed = True
            return [self.segment(one, one.sent, b"", FIN | ACK)]
        if roll < 0.68:
            one.mine_window = rng.choice(_WINDOWS)
        return [self.ack(one)]

    def _pieces(self, one: Connection, start: int, data: bytes) -> list[bytes]:
        """The data in segments, or as a superframe, perhaps one whose size is a lie."""
        rng = self.rng
        if self.way.vnet and len(data) > 1400 and rng.random() < 0.6:
            size = rng.choice((1448, 1448, 1400, 1, 7, len(data), len(data) - 1, 65535))
            return [self.segment(one, start, data, ACK | rng.choice((0, PSH)), gso=size)]
        size = rng.choice((1, 100, 536, 1000, 1400, 1400)) if len(data) < 4000 else 1400
        at = range(0, len(data), size)
        made = [self.segment(one, start + x, data[x : x + size], ACK | PSH) for x in at][:60]
        if rng.random() < 0.3:
            rng.shuffle(made)
        if rng.random() < 0.3:
            made = [one for one in made if rng.random() < 0.7]
        return made

    def _hostile(self, one: Connection, key: tuple[int, int]) -> list[bytes]:
        rng, way = self.rng, self.way
        mine = one.iss + 1 + one.sent + one.closed
        theirs = one.irs + 1 + one.got
        window = one.window
        near = (0, 1, -1, 2, -2, window, window - 1, window + 1, window // 2, 1 << 30, 1 << 31, -(1 << 31), 65536)
        kind = rng.randrange(15)
        area = self._area(one, [])
        if kind == 0:  # resets with guessed numbers
            return [frame(way, *key, mine + rng.choice(near), theirs, rng.choice((RST, RST | ACK)), 0)]
        if kind == 1:  # SYNs
            flags = rng.choice((SYN, SYN | ACK, SYN | FIN, SYN | RST, SYN | ACK | URG))
            # One that might begin a connection anew has numbers that his data are in no window of.
            seq = rng.choice((mine + rng.choice(near) if flags & ACK else mine + (1 << 30), one.iss))
            return [frame(way, *key, seq, theirs, flags, 1000, b"", area)]
        if kind == 2:  # data where they do not belong
            start = max(one.sent + rng.choice(near[:9]), 0)
            data = piece(start, rng.choice(_SIZES[:7]))
            if start <= one.sent < start + len(data) and rng.random() < 0.5:
                one.sent = start + len(data)
            return [self.segment(one, start, data, ACK | rng.choice((0, FIN, URG, PSH)))]
        if kind == 3:  # overlaps
            start = max(one.acked - rng.choice((0, 1, 100, 3000)), 0)
            return [
                self.segment(one, start + x, piece(start + x, rng.choice(_SIZES[:6]))) for x in (700, 0, 300, 900, 100)
            ]
        if kind == 4:  # an illegal option
            return [frame(way, *key, mine, theirs, ACK, 1000, b"", junk(rng))]
        if kind == 5:  # wrong sums, wrong offsets
            if rng.random() < 0.5:
                return [frame(way, *key, mine, theirs, ACK, 9, rng.randbytes(rng.choice((0, 1, 99))), wrong_sum=True)]
            return [frame(way, *key, mine, theirs, ACK, 9, b"", offset=rng.choice((0, 1, 4, 6, 15)))]
        if kind == 6:  # windows
            one.mine_window = rng.choice(_WINDOWS)
            return [frame(way, *key, mine, theirs, ACK, rng.choice(_WINDOWS), b"", area) for _ in range(2)]
        if kind == 7:  # lies about what came out of order
            ahead = [one.got + x for x in (0, 1, 10, 1448, 2896, 10_000, 60_000, 1 << 31, -1, -1448, -100_000)]
            blocks = [tuple(rng.sample(ahead, 2)) for _ in range(rng.randrange(1, 5))]
            if rng.random() < 0.5:
                blocks = [(min(pair), max(pair)) for pair in blocks]
            keep, one.ahead = one.ahead, blocks  # type: ignore[assignment]  # pairs in order
            made = self.ack(one)
            one.ahead = keep if rng.random() < 0.8 else []
            return [made]
        if kind == 8:  # ACKs of what was not sent, and of what did not come
            ack = theirs + rng.choice((1, 1448, 2896, 20_000, 70_000, 1 << 30, 1 << 31, -1, -1448, -(1 << 30)))
            if rng.random() < 0.5 and one.last is not None:
                ack = one.last.seq + len(one.last.data)
                one.got = max(one.got, (ack - one.irs - 1) & 0x7FFFFFFF)
            return [frame(way, *key, mine, ack, ACK, 5000, b"", area) for _ in range(rng.choice((1, 4)))]
        if kind == 9:  # timestamps that go back, echoes of what was never said
            stamp = pack(
                "!BBII", 8, 10, (one.tsval - rng.choice((1, 1000, 1 << 31, 1 << 30))) & MASK, rng.choice(EDGES)
            )
            return [frame(way, *key, mine, theirs, ACK, 5000, piece(one.sent + one.closed, 10), b"\1\1" + stamp)]
        if kind == 10:  # flags at random
            flags = rng.randrange(512) & ~RST & ~SYN
            size = rng.choice((0, 1, 1000))
            data = piece(one.sent + one.closed, size)
            return [frame(way, *key, mine, theirs, flags, 5000, data, area, urgent=rng.getrandbits(16))]
        if kind == 11:  # the same ACK over and over
            return [self.ack(one)] * rng.choice((3, 10))
        if kind == 12:
            return self._error(one)
        if kind == 13:  # a stranger to the connection altogether
            return [frame(way, key[0], rng.randrange(1, 65536), mine, theirs, rng.randrange(256), 1000)]
        del self.known[key]  # he forgets it, and answers with resets or with nothing
        return [frame(way, *key, mine, 0, RST, 0)] if rng.random() < 0.5 else []

    def _error(self, one: Connection) -> list[bytes]:
        """An ICMP error about a segment of the stack, perhaps of another one."""
        rng, way = self.rng, self.way
        if one.last is None:
            return []
        return [icmp_error(rng, way, one.last.packet, one.last.seq + rng.choice((0, 0, 0, 1 << 20, -1)))]


def icmp_error(rng: Random, way: Way, packet: bytes, seq: int) -> bytes:
    """An error about `packet`, with another sequence number in the quotation."""
    at = 40 if way.six else (packet[0] & 15) * 4
    quoted = bytearray(packet[: at + rng.choice((8, 8, 20, 400))])
    quoted[at + 4 : at + 8] = (seq & MASK).to_bytes(4, "big")
    kind, code = rng.choice(_ERRORS6 if way.six else _ERRORS)
    word = rng.choice(_MTUS)
    body = pack("!BBHI", kind, code, 0, word) + bytes(quoted)
    if way.six:
        width = way.mine.to_bytes(16, "big") + way.yours.to_bytes(16, "big")
        made = pack("!IHBB", 6 << 28, len(body), ICMPV6, 64) + width + body
    else:
        made = pack("!BBHHHBBHII", 0x45, 0, 20 + len(body), 1, 0, 64, ICMP, 0, way.mine, way.yours) + body
    whole = bytearray(on_link(way, made))
    mend(whole)
    return (bytes(12) if way.vnet else b"") + bytes(whole)
