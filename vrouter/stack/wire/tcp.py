"""TCP header: accessors, ``Segment.parse`` for what arrives, ``emit_header`` and the option areas of what is sent.

Expects: the accessors and setters want ``HEADER_LEN`` bytes at ``off`` and judge nothing. ``parse`` takes a packet
whose ``l4`` and ``end`` bound the segment; every length and offset in it may be hostile. The checksum is not its work:
``checksum_ok`` is asked once it matters.

Options are read by the rules of RFC 9293 3.1 (MUST-5 to MUST-7, MUST-68): unknown kinds and known kinds of a wrong
length are passed over; a length below 2 or past the header ends the reading, and what came before holds. Those that
only a SYN may carry (MSS, window scale, SACK permitted, Fast Open) are read from a SYN alone, SACK blocks from anything
else. Of an option that is there twice the last one counts.

``FIELDS.unpack_from(buf, off)`` gives, in order: source port, destination port, sequence number, acknowledgment,
data offset and flags, window, checksum, urgent pointer.

Read first: RFC 9293 sections 3.1 and 3.2, RFC 7323, RFC 2018, RFC 7413 section 4.1.1, RFC 6994 (kind 254).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.drop import DropReason
from vrouter.stack.wire.buffer import Buffer, WritableBuffer
from vrouter.stack.wire.checksum import ones_sum, pseudo_header

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet

HEADER_LEN: Final = 20
MAX_HEADER: Final = 60
MAX_OPTIONS: Final = 40
PROTO: Final = 6
CHECKSUM_OFFSET: Final = 16

FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
ECE: Final = 0x040
CWR: Final = 0x080
AE: Final = 0x100
FLAGS: Final = 0x1FF

OPT_EOL: Final = 0
OPT_NOP: Final = 1
OPT_MSS: Final = 2
OPT_WSCALE: Final = 3
OPT_SACK_PERMITTED: Final = 4
OPT_SACK: Final = 5
OPT_TIMESTAMP: Final = 8
OPT_FASTOPEN: Final = 34
OPT_EXPERIMENT: Final = 254
FASTOPEN_MAGIC: Final = 0xF989  # the experiment identifier under which Fast Open was known before its own kind

MAX_WSCALE: Final = 14  # a larger shift is read as this one (RFC 7323 2.3)
MAX_SACK_BLOCKS: Final = 4
MIN_COOKIE: Final = 4  # bytes of a Fast Open cookie, which are even (RFC 7413 4.1.1)
MAX_COOKIE: Final = 16

FIELDS = Struct("!HHIIHHHH")
_U32 = Struct("!I")
_WITH_TIMESTAMP = Struct("!HHIIHHHHIII")
_TIMESTAMP = Struct("!III")
_PAIR = Struct("!II")
_SACKS = tuple(Struct(f"!I{count * 2}I") for count in range(MAX_SACK_BLOCKS + 1))

_NOP_NOP_TIMESTAMP: Final = 0x0101080A
_NOP_NOP_SACK: Final = 0x01010502  # plus 8 for each block
_SACK_PERMITTED_TIMESTAMP: Final = 0x0402080A
_NOP_NOP_SACK_PERMITTED: Final = b"\x01\x01\x04\x02"
_MASK: Final = 0xFFFFFFFF

_unpack_fields = FIELDS.unpack_from
_unpack_u32 = _U32.unpack_from
_unpack_pair = _PAIR.unpack_from
_unpack_timestamp = _TIMESTAMP.unpack_from
_unpack_with_timestamp = _WITH_TIMESTAMP.unpack_from
_pack_fields = FIELDS.pack_into
_pack_with_timestamp = _WITH_TIMESTAMP.pack_into
_pack_u32 = _U32.pack_into
_L4_HDR: Final = int(DropReason.L4_HDR)


# What arrives ---------------------------------------------------------------------------------------------------------


class Segment:
    """One received segment. Numbers are 32 bits as on the wire; ``data`` and ``end`` bound its data in ``pkt.buf``.

    ``mss`` 0, ``wscale`` -1, ``ts`` False, ``fastopen`` None: the option is not there. ``fastopen`` b"" asks for a
    cookie; ``fastopen_experiment`` tells that it came as kind 254. ``sacks`` are up to four (left, right) as they came.
    """

    __slots__ = (
        "ack",
        "data",
        "dport",
        "end",
        "fastopen",
        "fastopen_experiment",
        "flags",
        "mss",
        "pkt",
        "sack_permitted",
        "sacks",
        "seq",
        "sport",
        "ts",
        "tsecr",
        "tsval",
        "urgent",
        "window",
        "wscale",
    )

    pkt: Packet
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    urgent: int
    data: int
    end: int
    tsval: int
    tsecr: int

    def __init__(self) -> None:
        self.mss = 0
        self.wscale = -1
        self.sack_permitted = self.ts = self.fastopen_experiment = False
        self.sacks: tuple[tuple[int, int], ...] = ()
        self.fastopen: bytes | None = None


def parse(pkt: Packet) -> Segment | int:
    """The segment at ``pkt.l4``, or ``DropReason.L4_HDR`` when its header does not fit (RFC 9293 3.1)."""
    buf = pkt.buf
    off = pkt.l4
    end = pkt.end
    if end - off < HEADER_LEN:
        return _L4_HDR
    seg = Segment()
    seg.pkt = pkt
    seg.end = end
    high = buf[off + 12]
    data = off + (high >> 4 << 2)
    # Most segments carry a timestamp alone, laid out as RFC 7323 appendix A recommends.
    if high >> 4 == 8 and end >= data:
        seg.sport, seg.dport, seg.seq, seg.ack, word, seg.window, _, seg.urgent, kind, tsval, tsecr = (
            _unpack_with_timestamp(buf, off)
        )
        if kind == _NOP_NOP_TIMESTAMP:
            seg.flags = word & FLAGS
            seg.data = data
            seg.ts = True
            seg.tsval = tsval
            seg.tsecr = tsecr
            return seg
    else:
        seg.sport, seg.dport, seg.seq, seg.ack, word, seg.window, _, seg.urgent = _unpack_fields(buf, off)
    if data < off + HEADER_LEN or data > end:
        return _L4_HDR
    seg.flags = word & FLAGS
    seg.data = data
    seg.tsval = seg.tsecr = 0
    if data > off + HEADER_LEN:
        _read_options(seg, buf, off + HEADER_LEN, data)
    return seg


def _read_options(seg: Segment, buf: bytearray, at: int, end: int) -> None:
    """Reads the option area ``buf[at:end]`` into `seg`."""
    syn = seg.flags & SYN
    while at < end:
        kind = buf[at]
        if kind == OPT_NOP:
            at += 1
            continue
        if kind == OPT_EOL or at + 1 == end:
            return
        size = buf[at + 1]
        if size < 2 or at + size > end:
            return
        if kind == OPT_TIMESTAMP:
            if size == 10:
                seg.ts = True
                seg.tsval, seg.tsecr = _unpack_pair(buf, at + 2)
        elif not syn:
            if kind == OPT_SACK and size >= 10 and size & 7 == 2:
                seg.sacks = tuple([_unpack_pair(buf, block) for block in range(at + 2, at + size, 8)])
        elif kind == OPT_MSS:
            if size == 4:
                seg.mss = buf[at + 2] << 8 | buf[at + 3]
        elif kind == OPT_WSCALE:
            if size == 3:
                seg.wscale = min(buf[at + 2], MAX_WSCALE)
        elif kind == OPT_SACK_PERMITTED:
            if size == 2:
                seg.sack_permitted = True
        elif kind == OPT_FASTOPEN:
            _read_cookie(seg, buf, at + 2, at + size, False)
        elif kind == OPT_EXPERIMENT and size >= 4 and buf[at + 2] << 8 | buf[at + 3] == FASTOPEN_MAGIC:
            _read_cookie(seg, buf, at + 4, at + size, True)
        at += size


def _read_cookie(seg: Segment, buf: bytearray, at: int, end: int, experiment: bool) -> None:
    """A Fast Open option with the cookie ``buf[at:end]``: empty, or of an allowed length (RFC 7413 4.1.1)."""
    size = end - at
    if size == 0 or (MIN_COOKIE <= size <= MAX_COOKIE and not size & 1):
        seg.fastopen = bytes(buf[at:end])
        seg.fastopen_experiment = experiment


def checksum_ok(pkt: Packet, seg: Segment) -> bool:
    """Whether the segment with its pseudo-header sums to 0xffff (RFC 9293 3.1, MUST-3).

    ``src``, ``dst`` and ``family`` of the packet say what the pseudo-header is.
    """
    start = pkt.l4
    end = seg.end
    pseudo = pseudo_header(pkt.src, pkt.dst, PROTO, end - start, 32 if pkt.family == 4 else 128)
    return ones_sum(pkt.buf, start, end, pseudo) == 0xFFFF


# What is sent ---------------------------------------------------------------------------------------------------------


def partial_sum(src: int, dst: int, length: int, bits: int = 32) -> int:
    """What stands in the checksum field until somebody finishes it: the pseudo-header's sum, not complemented.

    ``length`` is that of header and data in bytes, ``bits`` the width of the addresses.
    """
    return pseudo_header(src, dst, PROTO, length, bits)


def emit_header(
    buf: WritableBuffer,
    off: int,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes = b"",
    urgent: int = 0,
    checksum: int = 0,
) -> int:
    """Writes header and options at ``off`` and returns their length in bytes; of the numbers the low 32 bits.

    ``options`` are whole words, at most 40 bytes: what `syn_options` and `options` return is. ``checksum`` is stored
    as it is (0 before `set_checksum` or ``finish``, or a `partial_sum`).
    """
    size = HEADER_LEN + len(options)
    _pack_fields(buf, off, sport, dport, seq & _MASK, ack & _MASK, size << 10 | flags, window, checksum, urgent)
    if options:
        buf[off + HEADER_LEN : off + size] = options
    return size


def emit_timestamped(
    buf: WritableBuffer,
    off: int,
    sport: int,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    tsval: int,
    tsecr: int,
    checksum: int = 0,
) -> int:
    """`emit_header` with a timestamp as the one option, in one go: what almost every segment is. Returns 32."""
    _pack_with_timestamp(
        buf,
        off,
        sport,
        dport,
        seq & _MASK,
        ack & _MASK,
        0x8000 | flags,
        window,
        checksum,
        0,
        _NOP_NOP_TIMESTAMP,
        tsval & _MASK,
        tsecr & _MASK,
    )
    return 32


def finish(buf: WritableBuffer, off: int, end: int, src: int, dst: int, bits: int = 32) -> None:
    """Computes the checksum of the segment ``buf[off:end]`` and stores it."""
    buf[off + 16] = buf[off + 17] = 0
    value = 0xFFFF - ones_sum(buf, off, end, pseudo_header(src, dst, PROTO, end - off, bits))
    buf[off + 16] = value >> 8
    buf[off + 17] = value & 0xFF


def options(
    timestamp: tuple[int, int] | None = None, sacks: list[tuple[int, int]] | tuple[tuple[int, int], ...] = ()
) -> bytes:
    """The options of any segment but a SYN: (TSval, TSecr), then SACK blocks, each behind two NOPs.

    Of the numbers the low 32 bits count. As many blocks are written as fit: 3 beside a timestamp, else 4.
    """
    area = b""
    if timestamp is not None:
        area = _TIMESTAMP.pack(_NOP_NOP_TIMESTAMP, timestamp[0] & _MASK, timestamp[1] & _MASK)
    if sacks:
        count = min(len(sacks), 3 if area else MAX_SACK_BLOCKS)
        edges = [edge & _MASK for block in sacks[:count] for edge in block]
        area += _SACKS[count].pack(_NOP_NOP_SACK + 8 * count, *edges)
    return area


def syn_options(
    mss: int,
    wscale: int = -1,
    sack_permitted: bool = False,
    timestamp: tuple[int, int] | None = None,
    fastopen: bytes | None = None,
    fastopen_experiment: bool = False,
) -> bytes:
    """The options of a SYN in Linux's order: MSS, SACK permitted with (TSval, TSecr), window scale, Fast Open.

    What is left out has its default; ``fastopen`` b"" asks for a cookie. A cookie that does not fit beside the others
    is left out.
    """
    area = _U32.pack(OPT_MSS << 24 | 4 << 16 | mss)
    if timestamp is not None:
        first = _SACK_PERMITTED_TIMESTAMP if sack_permitted else _NOP_NOP_TIMESTAMP
        area += _TIMESTAMP.pack(first, timestamp[0] & _MASK, timestamp[1] & _MASK)
    elif sack_permitted:
        area += _NOP_NOP_SACK_PERMITTED
    if wscale >= 0:
        area += _U32.pack(OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | wscale)
    if fastopen is not None:
        if fastopen_experiment:
            cookie = bytes((OPT_EXPERIMENT, 4 + len(fastopen), FASTOPEN_MAGIC >> 8, FASTOPEN_MAGIC & 0xFF)) + fastopen
        else:
            cookie = bytes((OPT_FASTOPEN, 2 + len(fastopen))) + fastopen
        cookie += b"\x01" * (-len(cookie) & 3)
        if len(area) + len(cookie) <= MAX_OPTIONS:
            area += cookie
    return area


# Fields ---------------------------------------------------------------------------------------------------------------


def src_port(buf: Buffer, off: int) -> int:
    """The source port."""
    return (buf[off] << 8) | buf[off + 1]


def dst_port(buf: Buffer, off: int) -> int:
    """The destination port."""
    return (buf[off + 2] << 8) | buf[off + 3]


def seq(buf: Buffer, off: int) -> int:
    """The sequence number; the first 8 bytes of a segment, which every ICMP error quotes, hold it."""
    number: int = _unpack_u32(buf, off + 4)[0]
    return number


def ack(buf: Buffer, off: int) -> int:
    """The acknowledgment number."""
    number: int = _unpack_u32(buf, off + 8)[0]
    return number


def header_length(buf: Buffer, off: int) -> int:
    """The header length in bytes, options included, as the data offset says: 0..60."""
    return buf[off + 12] >> 4 << 2


def flags(buf: Buffer, off: int) -> int:
    """The nine flags, AE being the highest."""
    return (buf[off + 12] & 1) << 8 | buf[off + 13]


def window(buf: Buffer, off: int) -> int:
    """The window as it is on the wire, not scaled."""
    return (buf[off + 14] << 8) | buf[off + 15]


def checksum(buf: Buffer, off: int) -> int:
    """The stored checksum."""
    return (buf[off + 16] << 8) | buf[off + 17]


def urgent(buf: Buffer, off: int) -> int:
    """The urgent pointer."""
    return (buf[off + 18] << 8) | buf[off + 19]


def set_src_port(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the source port; like every setter here it leaves the checksum alone."""
    buf[off] = value >> 8
    buf[off + 1] = value & 0xFF


def set_dst_port(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the destination port."""
    buf[off + 2] = value >> 8
    buf[off + 3] = value & 0xFF


def set_seq(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the sequence number to the low 32 bits of ``value``."""
    _pack_u32(buf, off + 4, value & _MASK)


def set_ack(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the acknowledgment number to the low 32 bits of ``value``."""
    _pack_u32(buf, off + 8, value & _MASK)


def set_flags(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the nine flags; the data offset and the reserved bits stay."""
    buf[off + 12] = buf[off + 12] & 0xFE | value >> 8
    buf[off + 13] = value & 0xFF


def set_window(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the window field."""
    buf[off + 14] = value >> 8
    buf[off + 15] = value & 0xFF


def set_checksum(buf: WritableBuffer, off: int, value: int) -> None:
    """Stores a checksum."""
    buf[off + 16] = value >> 8
    buf[off + 17] = value & 0xFF


def set_urgent(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the urgent pointer."""
    buf[off + 18] = value >> 8
    buf[off + 19] = value & 0xFF
