"""TCP segments of strangers, byte by byte: right ones, and with everything in them that may be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import shake_256
from random import Random
from struct import pack, unpack_from
from typing import NamedTuple

from tests.fuzz.octets import IPV4, IPV6, TCP, behind_tags, ones_sum, upper6

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
MASK = 0xFFFFFFFF
_PERIOD = 65_521  # a prime: the pattern falls in step with no segment and no window
_PATTERN = shake_256(b"fuzz").digest(_PERIOD) * 6
MOST = 4 * _PERIOD

EDGES = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF)


def piece(offset: int, size: int) -> bytes:
    """What every stream has at `offset`: `size` bytes, `MOST` at most. A stranger's streams are no others."""
    start = offset % _PERIOD
    return _PATTERN[start : start + size]


class Heard(NamedTuple):
    """A segment that left the stack. ``blocks`` counts its SACK blocks."""

    src: int
    dst: int
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    data: bytes
    options: dict[int, bytes]
    packet: bytes


def hear(frame: bytes) -> Heard | None:
    """The segment in a frame without a virtio-net header, if it is one."""
    at, kind = behind_tags(frame)
    if len(frame) < at + (40 if kind == IPV6 else 20):
        return None
    if kind == IPV4 and frame[at + 9] == TCP and not unpack_from("!H", frame, at + 6)[0] & 0x3FFF:
        l4 = at + (frame[at] & 15) * 4
        end = at + unpack_from("!H", frame, at + 2)[0]
        src, dst = unpack_from("!II", frame, at + 12)
    elif kind == IPV6:
        proto, l4 = upper6(frame[at:])
        if proto != TCP:
            return None
        l4 += at
        end = at + 40 + unpack_from("!H", frame, at + 4)[0]
        src, dst = (int.from_bytes(frame[at + x : at + x + 16], "big") for x in (8, 24))
    else:
        return None
    if len(frame) < l4 + 20:
        return None
    sport, dport, seq, ack, word, window = unpack_from("!HHIIHH", frame, l4)
    header = l4 + (word >> 12) * 4
    return Heard(
        src, dst, sport, dport, seq, ack, word & 0xFFF, window,
        frame[header:end], _options(frame[l4 + 20 : header]), frame[at:end],
    )  # fmt: skip


def _options(area: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(area) and area[at]:
        if area[at] == 1:
            at += 1
            continue
        length = area[at + 1] if at + 1 < len(area) else 0
        if length < 2:  # somebody else's, forwarded
            break
        found[area[at]] = area[at + 2 : at + length]
        at += length
    return found


@dataclass(slots=True)
class Way:
    """From a stranger to a device of the stack, and what stands around his segments."""

    ns: str
    dev: str
    mac: bytes  # the device's
    station: bytes  # his own
    vnet: bool
    six: bool
    mine: int
    yours: int
    rng: Random = field(repr=False)


def frame(
    way: Way,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    data: bytes = b"",
    options: bytes = b"",
    *,
    urgent: int = 0,
    wrong_sum: bool = False,
    gso: int = 0,
    offset: int = -1,
) -> bytes:
    """A segment in a frame; with `gso` a superframe of that size, where the wire has a header for it. `offset` lies
    about where the data begin."""
    options += b"\1" * (-len(options) % 4)
    rng = way.rng
    words = 5 + len(options) // 4 if offset < 0 else offset
    header = pack(
        "!HHIIHHHH",
        sport,
        dport,
        seq & MASK,
        ack & MASK,
        (words & 15) << 12 | flags,
        window & 0xFFFF,
        0,
        urgent,
    )
    segment = header + options + data
    width = 16 if way.six else 4
    pseudo = way.mine.to_bytes(width, "big") + way.yours.to_bytes(width, "big") + pack("!II", len(segment), TCP)
    half = way.vnet and (gso or rng.random() < 0.3) and not wrong_sum
    value = ones_sum(pseudo) if half else ones_sum(pseudo + segment) ^ 0xFFFF
    if wrong_sum:
        value ^= 1 << rng.randrange(16)
    segment = segment[:16] + pack("!H", value) + segment[18:]
    tos = rng.choice((0, 2, 2, 3, 1)) if rng.random() < 0.3 else 0
    if way.six:
        packet = pack("!IHBB", 6 << 28 | tos << 20, len(segment), TCP, 64) + pseudo[:32] + segment
    else:
        head = bytearray(pack("!BBHHHBBH", 0x45, tos, 20 + len(segment), rng.getrandbits(16), 0x4000, 64, TCP, 0))
        head += pseudo[:8]
        head[10:12] = pack("!H", ones_sum(bytes(head)) ^ 0xFFFF)
        packet = bytes(head) + segment
    made = on_link(way, packet)
    if not way.vnet:
        return made
    if not half:
        return bytes(12) + made
    l4 = 54 if way.six else 34
    kind = (4 if way.six else 1) if gso else 0
    return pack("<BBHHHHH", 1, kind, l4 + 20 + len(options) if gso else 0, gso, l4, 16, 0) + made


def on_link(way: Way, packet: bytes) -> bytes:
    """A packet in an Ethernet frame, without a virtio-net header."""
    return way.mac + way.station + (IPV6 if way.six else IPV4).to_bytes(2, "big") + packet


def junk(rng: Random) -> bytes:
    """An option area in which something is wrong: a length of 0, 1, past the end, or not that of its kind."""
    kind = rng.choice((0, 1, 2, 3, 4, 5, 8, 19, 28, 30, 34, 69, 254, 255, rng.randrange(256)))
    length = rng.choice((0, 1, 2, 3, 4, 6, 9, 10, 11, 12, 18, 34, 40, 255, rng.randrange(256)))
    area = bytes((kind, length)) + rng.randbytes(rng.choice((0, 2, 4, 8, 16, 32)))
    if rng.random() < 0.5:
        area = b"\1\1\x08\x0a" + rng.randbytes(8) + area
    return area[:40]
