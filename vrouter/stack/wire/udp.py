"""UDP header: accessors and ``emit``.

Expects: ``HEADER_LEN`` bytes at ``off``; nothing here judges them. A stored checksum of 0 means that the sender made
none.

Read first: RFC 768, RFC 1122 section 4.1.3.4, RFC 8200 section 8.1.
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer
from vrouter.stack.wire.checksum import ones_sum, pseudo_header

HEADER_LEN = 8
PROTO = 17

FIELDS = Struct("!HHHH")
_pack_fields = FIELDS.pack_into


def src_port(buf: Buffer, off: int) -> int:
    """The source port."""
    return (buf[off] << 8) | buf[off + 1]


def dst_port(buf: Buffer, off: int) -> int:
    """The destination port."""
    return (buf[off + 2] << 8) | buf[off + 3]


def length(buf: Buffer, off: int) -> int:
    """The length of header and data in bytes."""
    return (buf[off + 4] << 8) | buf[off + 5]


def checksum(buf: Buffer, off: int) -> int:
    """The stored checksum; 0 means none."""
    return (buf[off + 6] << 8) | buf[off + 7]


def set_src_port(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the source port; like every setter here it leaves the checksum alone."""
    buf[off] = value >> 8
    buf[off + 1] = value & 0xFF


def set_dst_port(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the destination port."""
    buf[off + 2] = value >> 8
    buf[off + 3] = value & 0xFF


def set_length(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the length of header and data."""
    buf[off + 4] = value >> 8
    buf[off + 5] = value & 0xFF


def set_checksum(buf: WritableBuffer, off: int, value: int) -> None:
    """Stores a checksum."""
    buf[off + 6] = value >> 8
    buf[off + 7] = value & 0xFF


def emit(buf: WritableBuffer, off: int, end: int, sport: int, dport: int, src: int, dst: int, bits: int = 32) -> None:
    """Writes the header in front of the data that lies in ``buf[off + 8:end]``, with length and checksum.

    A checksum that comes out as 0 is sent as 0xffff (RFC 768). ``bits`` is the width of the addresses, 32 or 128.
    """
    size = end - off
    _pack_fields(buf, off, sport, dport, size, 0)
    value = 0xFFFF - ones_sum(buf, off, end, pseudo_header(src, dst, PROTO, size, bits)) or 0xFFFF
    buf[off + 6] = value >> 8
    buf[off + 7] = value & 0xFF
