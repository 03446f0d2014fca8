"""IPv6 header and fragment header: accessors, one-shot ``FIELDS``, ``emit_header`` and the hop limit step.

Expects: ``HEADER_LEN`` bytes at ``off`` (``FRAGMENT_LEN`` for a fragment header); nothing here judges them. Extension
headers are walked by ``ext_headers``.

``FIELDS.unpack_from(buf, off)`` gives, in order: the word of version, traffic class and flow label; payload length,
next header, hop limit, and source and destination as 16 bytes each (``int.from_bytes`` makes addresses of them).
Addresses are read as they are on the wire; those that are written may carry a zone, which stays behind.

Jumbograms (RFC 2675) are not supported.

Read first: RFC 8200 sections 3 and 4.5, RFC 2711, RFC 6437.
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.wire.buffer import Buffer, WritableBuffer

HEADER_LEN = 40
FRAGMENT_LEN = 8
ROUTER_ALERT_LEN = 8
MIN_MTU = 1280  # bytes every link carries (RFC 8200 section 5)
MAX_PAYLOAD = 65535
MAX_PACKET = HEADER_LEN + MAX_PAYLOAD

PROTO_HOPOPTS = 0
PROTO_TCP = 6
PROTO_UDP = 17
PROTO_ROUTING = 43
PROTO_FRAGMENT = 44
PROTO_ESP = 50
PROTO_AH = 51
PROTO_ICMPV6 = 58
PROTO_NONE = 59
PROTO_DSTOPTS = 60
PROTO_MOBILITY = 135
PROTO_HIP = 139
PROTO_SHIM6 = 140

FLOW_LABEL_MASK = 0xFFFFF
OFFSET_MASK = 0xFFF8  # of a fragment header's word: the offset in bytes
MF = 1

# Values of the router alert option (RFC 2711 section 2.1).
ALERT_MLD = 0
ALERT_RSVP = 1

FIELDS = Struct("!IHBB16s16s")
FRAGMENT = Struct("!BBHI")

_int_from_bytes = int.from_bytes
_pack_fields = FIELDS.pack_into
_pack_fragment = FRAGMENT.pack_into
_ADDRESS_LEN = 16
# Next header and length, router alert (type 5, 2 bytes), PadN of no bytes.
_ROUTER_ALERT = Struct("!BBBBHH")


def version(buf: Buffer, off: int) -> int:
    """The IP version, 6 in a good header."""
    return buf[off] >> 4


def traffic_class(buf: Buffer, off: int) -> int:
    """The traffic class (DSCP and ECN)."""
    return (buf[off] & 0x0F) << 4 | buf[off + 1] >> 4


def flow_label(buf: Buffer, off: int) -> int:
    """The flow label, 20 bits; 0 is none."""
    return (buf[off + 1] & 0x0F) << 16 | buf[off + 2] << 8 | buf[off + 3]


def payload_length(buf: Buffer, off: int) -> int:
    """The length in bytes of all that follows the header, extension headers included."""
    return (buf[off + 4] << 8) | buf[off + 5]


def next_header(buf: Buffer, off: int) -> int:
    """The protocol number of what follows the header."""
    return buf[off + 6]


def hop_limit(buf: Buffer, off: int) -> int:
    """The hops that are left."""
    return buf[off + 7]


def src(buf: Buffer, off: int) -> int:
    """The source address, without a zone."""
    return _int_from_bytes(buf[off + 8 : off + 24], "big")


def dst(buf: Buffer, off: int) -> int:
    """The destination address, without a zone."""
    return _int_from_bytes(buf[off + 24 : off + 40], "big")


def set_traffic_class(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the traffic class."""
    buf[off] = 0x60 | value >> 4
    buf[off + 1] = (value & 0x0F) << 4 | buf[off + 1] & 0x0F


def set_flow_label(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the flow label."""
    buf[off + 1] = buf[off + 1] & 0xF0 | value >> 16
    buf[off + 2] = value >> 8 & 0xFF
    buf[off + 3] = value & 0xFF


def set_payload_length(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the length of what follows the header."""
    buf[off + 4] = value >> 8
    buf[off + 5] = value & 0xFF


def set_next_header(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the protocol number of what follows the header."""
    buf[off + 6] = value


def set_hop_limit(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the hop limit."""
    buf[off + 7] = value


def set_src(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the source address; its zone is left out."""
    buf[off + 8 : off + 24] = (value & MAX6).to_bytes(_ADDRESS_LEN, "big")


def set_dst(buf: WritableBuffer, off: int, value: int) -> None:
    """Sets the destination address; its zone is left out."""
    buf[off + 24 : off + 40] = (value & MAX6).to_bytes(_ADDRESS_LEN, "big")


def decrement_hop_limit(buf: WritableBuffer, off: int) -> int:
    """Takes one from the hop limit, which must not be 0, and returns the new one."""
    left = buf[off + 7] - 1
    buf[off + 7] = left
    return left


def emit_header(
    buf: WritableBuffer,
    off: int,
    *,
    payload_length: int,
    next_header: int,
    hop_limit: int,
    src: int,
    dst: int,
    traffic_class: int = 0,
    flow_label: int = 0,
) -> int:
    """Writes a header at ``off`` and returns its length in bytes; zones of the addresses are left out."""
    _pack_fields(
        buf,
        off,
        0x60000000 | traffic_class << 20 | flow_label,
        payload_length,
        next_header,
        hop_limit,
        (src & MAX6).to_bytes(_ADDRESS_LEN, "big"),
        (dst & MAX6).to_bytes(_ADDRESS_LEN, "big"),
    )
    return HEADER_LEN


def emit_fragment(buf: WritableBuffer, off: int, *, next_header: int, offset: int, more: bool, ident: int) -> int:
    """Writes a fragment header (RFC 8200 section 4.5) and returns its length; ``offset`` is in bytes, in steps of 8."""
    _pack_fragment(buf, off, next_header, 0, offset | more, ident)
    return FRAGMENT_LEN


def fragment_next_header(buf: Buffer, off: int) -> int:
    """The protocol number of the first header of the fragmentable part."""
    return buf[off]


def fragment_offset(buf: Buffer, off: int) -> int:
    """Where the fragment's data belongs in the fragmentable part, in bytes."""
    return (buf[off + 2] << 8 | buf[off + 3]) & OFFSET_MASK


def fragment_more(buf: Buffer, off: int) -> bool:
    """Whether fragments follow."""
    return buf[off + 3] & MF == MF


def fragment_ident(buf: Buffer, off: int) -> int:
    """The identification, which fragments of one packet share."""
    return _int_from_bytes(buf[off + 4 : off + 8], "big")


def emit_router_alert(buf: WritableBuffer, off: int, next_header: int, value: int = ALERT_MLD) -> int:
    """Writes a hop-by-hop header with nothing but a router alert (RFC 2711 section 2.1); returns its length."""
    _ROUTER_ALERT.pack_into(buf, off, next_header, 0, 5, 2, value, 0x0100)
    return ROUTER_ALERT_LEN
