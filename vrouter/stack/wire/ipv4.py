"""IPv4 header: accessors, one-shot ``FIELDS``, ``emit_header`` and the TTL step of forwarding.

Expects: ``MIN_HEADER`` bytes at ``off``; nothing here judges them. The checks of RFC 1812 section 5.2.2 are the
input's work.

``FIELDS.unpack_from(buf, off)`` gives, in order: version and IHL, type of service, total length, identification,
flags and fragment offset, TTL, protocol, header checksum, source, destination.

Read first: RFC 791 section 3.1, RFC 1624.
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer
from vrouter.stack.wire.checksum import checksum

MIN_HEADER = 20
MAX_HEADER = 60
MAX_PACKET = 65535

DF = 0x4000
MF = 0x2000
OFFSET_MASK = 0x1FFF  # in units of 8 bytes

PROTO_ICMP = 1
PROTO_IGMP = 2
PROTO_TCP = 6
PROTO_UDP = 17

FIELDS = Struct("!BBHHHBBHII")

_int_from_bytes = int.from_bytes
_U32 = Struct("!I")
_unpack_u32 = _U32.unpack_from
_pack_u32 = _U32.pack_into
_pack_fields = FIELDS.pack_into


def version_ihl(buf: Buffer, off: int) -> int:
    """Version in the high four bits, header length in words in the low four."""
    return buf[off]


def version(buf: Buffer, off: int) -> int:
    """The IP version, 4 in a good header."""
    return buf[off] >> 4


def header_length(buf: Buffer, off: int) -> int:
    """The header length in bytes, options included."""
    return (buf[off] & 0x0F) << 2


def tos(buf: Buffer, off: int) -> int:
    """The type of service octet (DSCP and ECN)."""
    return buf[off + 1]


def total_length(buf: Buffer, off: int) -> int:
    """The length of header and data in bytes."""
    return (buf[off + 2] << 8) | buf[off + 3]


def ident(buf: Buffer, off: int) -> int:
    """The identification, which fragments of one packet share."""
    return (buf[off + 4] << 8) | buf[off + 5]


def flags_fragment(buf: Buffer, off: int) -> int:
    """The word of DF, MF and the fragment offset."""
    return (buf[off + 6] << 8) | buf[off + 7]


def ttl(buf: Buffer, off: int) -> int:
    """The time to live, in hops."""
    return buf[off + 8]


def proto(buf: Buffer, off: int) -> int:
    """The protocol number of the data."""
    return buf[off + 9]


def header_checksum(buf: Buffer, off: int) -> int:
    """The stored header checksum."""
    return (buf[off + 10] << 8) | buf[off + 11]


def src(buf: Buffer, off: int) -> int:
    """The source address."""
    address: int = _unpack_u32(buf, off + 12)[0]
    return address


def dst(buf: Buffer, off: int) -> int:
    """The destination address."""
    address: int = _unpack_u32(buf, off + 16)[0]
    return address


def set_version_ihl(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets version and header length; like every setter here it leaves the header checksum alone."""
    buf[off] = value


def set_tos(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the type of service octet."""
    buf[off + 1] = value


def set_total_length(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the total length in bytes."""
    buf[off + 2] = value >> 8
    buf[off + 3] = value & 0xFF


def set_ident(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the identification."""
    buf[off + 4] = value >> 8
    buf[off + 5] = value & 0xFF


def set_flags_fragment(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the word of DF, MF and the fragment offset."""
    buf[off + 6] = value >> 8
    buf[off + 7] = value & 0xFF


def set_ttl(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the time to live."""
    buf[off + 8] = value


def set_proto(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the protocol number."""
    buf[off + 9] = value


def set_src(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the source address."""
    _pack_u32(buf, off + 12, value)


def set_dst(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the destination address."""
    _pack_u32(buf, off + 16, value)


def header_is_valid(buf: Buffer, off: int, header_len: int) -> bool:
    """Whether the ``header_len`` bytes sum to 0xffff (RFC 1812 section 5.2.2); the version is known to be 4.

    Because of the version the header is no row of zeros, so the residue alone decides.
    """
    return not _int_from_bytes(buf[off : off + header_len], "big") % 65535


def set_header_checksum(buf: WritableBuffer, off: int, header_len: int) -> None:
    """Computes the checksum over ``header_len`` bytes and stores it."""
    buf[off + 10] = 0
    buf[off + 11] = 0
    value = checksum(buf, off, off + header_len)
    buf[off + 10] = value >> 8
    buf[off + 11] = value & 0xFF


def decrement_ttl(buf: WritableBuffer, off: int) -> int:
    """Takes one from the TTL, which must not be 0, mends the checksum, and returns the new TTL.

    The TTL is the high octet of its word, so the checksum grows by 0x0100 with end-around carry (RFC 1624 section 3).
    Only the last two values of its high octet can carry, or reach 0xffff, which the full sum writes as 0x0000; the
    others need one store.
    """
    left = buf[off + 8] - 1
    buf[off + 8] = left
    high = buf[off + 10]
    if high < 0xFE:
        buf[off + 10] = high + 1
    else:
        value = ((high << 8) + buf[off + 11] + 0x0100) % 65535
        buf[off + 10] = value >> 8
        buf[off + 11] = value & 0xFF
    return left


def emit_header(
    buf: WritableBuffer,
    off: int,
    *,
    total_length: int,
    ident: int,
    flags_fragment: int,
    ttl: int,
    proto: int,
    src: int,
    dst: int,
    tos: int = 0,
    options: bytes = b"",
) -> int:
    """Writes a header with its checksum at ``off`` and returns its length in bytes.

    ``total_length`` counts the header. Options are padded with End of Option List to whole words; more than 40 bytes
    of them raise ValueError.
    """
    if options:
        padding = -len(options) & 3
        header_len = MIN_HEADER + len(options) + padding
        if header_len > MAX_HEADER:
            raise ValueError("IPv4 options are longer than 40 bytes")
        _pack_fields(
            buf, off, 0x40 | header_len >> 2, tos, total_length, ident, flags_fragment, ttl, proto, 0, src, dst
        )
        buf[off + MIN_HEADER : off + header_len] = options + bytes(padding)
        set_header_checksum(buf, off, header_len)
        return header_len
    # The words of a header without options are at hand: adding them up here saves reading them back. They never sum
    # to zero.
    total = 0x4500 + tos + total_length + ident + flags_fragment + (ttl << 8) + proto + src + dst
    _pack_fields(buf, off, 0x45, tos, total_length, ident, flags_fragment, ttl, proto, -total % 65535, src, dst)
    return MIN_HEADER
