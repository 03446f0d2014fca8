"""Superframes with the header that belongs to them, and with headers of which every field lies; and, slowly, what such
a frame stands for."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from random import Random
from struct import pack, pack_into, unpack_from
from typing import TYPE_CHECKING

from tests.fuzz.octets import IPV4, IPV6, TCP, UDP, behind_tags, ones_sum, upper6
from tests.superframes import Packet

if TYPE_CHECKING:
    from tests.fuzz.forge import Port

_WORDS = (0, 1, 2, 6, 7, 8, 13, 14, 15, 16, 18, 20, 33, 34, 38, 53, 54, 58, 255, 1500, 32767, 32768, 65534, 65535)
_TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 0x80, 0x81, 0x83, 0x84, 0x85, 0xFF)
_SIZES = (1, 8, 64, 500, 536, 1000, 1000, 1220, 1400, 1448, 1460, 4000)


class ForgeSuper:
    """Makes frames for ports whose wire has a virtio-net header; `ports` are UDP's and TCP's."""

    def __init__(self, rng: Random, ports: list[int]) -> None:
        self.rng = rng
        self.ports = ports

    def frame(self, port: Port) -> bytes | None:
        """A superframe with its header, right or not; None when the port has nobody who could send one."""
        rng = self.rng
        packet = self._packet(port)
        if packet is None:
            return None
        size = rng.choice(_SIZES)
        tag = port.tag if rng.random() < 0.97 else b"\x81\0\0\5"
        kind = (IPV4 if packet.version == 4 else IPV6).to_bytes(2, "big")
        frame = port.mac + b"\x02\0\0\0\x77" + bytes((rng.randrange(4),)) + tag + kind + packet.raw()
        if rng.random() < 0.15:
            frame = self._spoiled(frame)
        return self._header(packet.vnet(0 if rng.random() < 0.15 else size, link=14 + len(tag))) + frame

    def _packet(self, port: Port) -> Packet | None:
        rng = self.rng
        near, far, own = port.near, port.far, port.own
        if not near or (port.near6 and rng.random() < 0.5):
            near, far, own = port.near6, port.far6, port.own6
        if not near or not far:
            return None
        proto = rng.choice((TCP, UDP))
        src, dst = rng.choice(near), rng.choice(own if own and rng.random() < 0.3 else far)
        six = near is port.near6
        src_text, dst_text = (str(ip_address(value.to_bytes(16 if six else 4, "big"))) for value in (src, dst))
        length = rng.choice((1, 1000, 2900, rng.randrange(1, 9000), rng.randrange(1, 9000), rng.randrange(1, 64000)))
        packet = Packet(
            proto,
            src_text,
            dst_text,
            rng.randbytes(length),
            rng.choice(self.ports),
            rng.choice(self.ports),
            rng.getrandbits(32),
            rng.getrandbits(32),
            rng.choice((0x10, 0x18, 0x11, 0x02, 0x04, 0xD8, rng.randrange(512))),
            rng.getrandbits(16),
            rng.choice((b"", bytes(12), rng.randbytes(40))) if proto == TCP else b"",
            ident=rng.getrandbits(16),
            ttl=rng.choice((1, 2, 64, 64, 64, 255)),
            dont_fragment=six or rng.random() < 0.6,
        )
        if six and rng.random() < 0.1:
            packet = replace(packet, first=60, ip_options=bytes((proto, 0, 1, 4, 0, 0, 0, 0)))
        return packet

    def _spoiled(self, frame: bytes) -> bytes:
        rng = self.rng
        if rng.random() < 0.3:
            return frame[: rng.randrange(len(frame))]
        if rng.random() < 0.2:
            return frame + bytes(rng.randrange(1, 40))
        made = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            made[rng.randrange(min(len(made), 80))] = rng.getrandbits(8)
        return bytes(made)

    def _header(self, header: bytes) -> bytes:
        """The header with one field that lies, more often than not; with all of them, now and then."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.6:
            return header
        fields = list(unpack_from("<BBHHHHH", header))
        for field in range(7) if roll > 0.95 else (rng.randrange(7),):
            if field == 0:
                fields[0] = rng.choice((0, 1, 2, 3, 4, 0x80, 0xFF))
            elif field == 1:
                fields[1] = rng.choice(_TYPES)
            else:
                near = (fields[field] + rng.choice((-4, -1, 1, 4))) & 0xFFFF
                fields[field] = rng.choice((near, rng.choice(_WORDS), rng.getrandbits(16)))
        return pack("<BBHHHHH", *fields)


def expand(data: bytes) -> list[bytes]:
    """The frames, finished and without a header, that a frame with a virtio-net header stands for. What makes no sense
    stands for itself."""
    if len(data) < 12:
        return [data]
    flags, gso, _, size, start, offset, _ = unpack_from("<BBHHHHH", data)
    frame = data[12:]
    if not gso & 0x7F:
        if not flags & 1:
            return [frame]
        return [_finished(frame, start, offset, end) for end in {len(frame), _end(frame)}]
    at, _ = behind_tags(frame)
    found = _transport(frame)
    if found is None or not size:
        return [frame]
    l4, proto, end = found
    where = l4 + (16 if proto == TCP else 6)
    frame = frame[:end]
    if not flags & 1:
        opened = bytearray(frame)
        pack_into("!H", opened, where, ones_sum(_pseudo(frame, at, proto, end - l4)))
        frame = bytes(opened)
    data_at = l4 + ((frame[l4 + 12] >> 4) * 4 if proto == TCP else 8)
    if data_at >= end or data_at < l4 + 8 or end - data_at > size * 1024:
        return [frame]
    if end - data_at <= size:
        return [_finished(frame, l4, where - l4, end)]
    return [
        _segment(frame, at, l4, proto, data_at, first, min(first + size, end), size)
        for first in range(data_at, end, size)
    ]


def _finished(frame: bytes, start: int, offset: int, end: int) -> bytes:
    if start + offset + 2 > len(frame):
        return frame
    done = bytearray(frame)
    value = (ones_sum(bytes(done[start:end])) ^ 0xFFFF) or 0xFFFF
    done[start + offset : start + offset + 2] = value.to_bytes(2, "big")
    return bytes(done)


def _end(frame: bytes) -> int:
    """Where the packet ends, by its own word."""
    at, kind = behind_tags(frame)
    if kind == IPV4 and len(frame) >= at + 20:
        return min(len(frame), at + unpack_from("!H", frame, at + 2)[0])
    if kind == IPV6 and len(frame) >= at + 40:
        return min(len(frame), at + 40 + unpack_from("!H", frame, at + 4)[0])
    return len(frame)


def _transport(frame: bytes) -> tuple[int, int, int] | None:
    """(offset, protocol, end) of the TCP or UDP header."""
    at, kind = behind_tags(frame)
    end = _end(frame)
    if kind == IPV4 and len(frame) >= at + 20 and frame[at] >> 4 == 4:
        l4, proto = at + (frame[at] & 15) * 4, frame[at + 9]
    elif kind == IPV6 and len(frame) >= at + 40 and frame[at] >> 4 == 6:
        proto, l4 = upper6(frame[at:])
        l4 += at
    else:
        return None
    return (l4, proto, end) if proto in (TCP, UDP) and l4 + (20 if proto == TCP else 8) <= end else None


def _pseudo(frame: bytes, at: int, proto: int, length: int) -> bytes:
    addresses = frame[at + 12 : at + 20] if frame[at] >> 4 == 4 else frame[at + 8 : at + 40]
    return addresses + pack("!II", length, proto)


def _segment(frame: bytes, at: int, l4: int, proto: int, data_at: int, first: int, last: int, size: int) -> bytes:
    made = bytearray(frame[:data_at] + frame[first:last])
    number = (first - data_at) // size
    length = len(made) - l4
    where = l4 + (16 if proto == TCP else 6)
    (half,) = unpack_from("!H", made, where)
    pack_into("!H", made, where, 0)
    if made[at] >> 4 == 4:
        pack_into("!HH", made, at + 2, len(made) - at, (unpack_from("!H", made, at + 4)[0] + number) & 0xFFFF)
        pack_into("!H", made, at + 10, 0)
        pack_into("!H", made, at + 10, ones_sum(bytes(made[at : at + (made[at] & 15) * 4])) ^ 0xFFFF)
    else:
        pack_into("!H", made, at + 4, len(made) - at - 40)
    if proto == TCP:
        pack_into("!I", made, l4 + 4, (unpack_from("!I", made, l4 + 4)[0] + first - data_at) & 0xFFFFFFFF)
        if last < len(frame):
            made[l4 + 13] &= ~0x09
        if number:
            made[l4 + 13] &= ~0x80
    else:
        pack_into("!H", made, l4 + 4, length)
    # The sum that came covers the length of the whole: take that out, and the segment's in.
    total = half + (0xFFFF - (len(frame) - l4) % 0xFFFF) + length + ones_sum(bytes(made[l4:]))
    value = 0xFFFF - (total % 0xFFFF or 0xFFFF)
    pack_into("!H", made, where, value if proto == TCP else value or 0xFFFF)
    return bytes(made)
