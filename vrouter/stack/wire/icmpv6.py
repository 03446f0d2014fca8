"""ICMPv6: constants, accessors, ``emit``, and the packet that an error message quotes.

Expects: ``HEADER_LEN`` bytes at ``off``; accessors judge nothing. ``QuotedPacket.parse`` takes any bytes.

The checksum covers a pseudo-header, so ``emit`` and ``is_valid`` take the addresses of the IPv6 header; those may carry
a zone.

Read first: RFC 4443, RFC 8200 section 8.1, RFC 4861 section 4, RFC 2710, RFC 3810.
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.wire import checksum as _sums
from vrouter.stack.wire import ext_headers, icmp, ipv6
from vrouter.stack.wire.buffer import Buffer, WritableBuffer

# The header has ICMP's layout, and so the same accessors.
HEADER_LEN = icmp.HEADER_LEN
type_ = icmp.type_
code = icmp.code
checksum = icmp.checksum
rest = icmp.rest
ident = icmp.ident
sequence = icmp.sequence

DEST_UNREACHABLE = 1
PACKET_TOO_BIG = 2
TIME_EXCEEDED = 3
PARAMETER_PROBLEM = 4
ECHO = 128
ECHO_REPLY = 129
MLD_QUERY = 130
MLD_REPORT = 131
MLD_DONE = 132
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOUR_SOLICITATION = 135
NEIGHBOUR_ADVERTISEMENT = 136
REDIRECT = 137
MLDV2_REPORT = 143

# Codes of DEST_UNREACHABLE (RFC 4443 section 3.1).
NO_ROUTE = 0
PROHIBITED = 1
BEYOND_SCOPE = 2
ADDRESS_UNREACHABLE = 3
PORT_UNREACHABLE = 4
SOURCE_POLICY = 5
REJECT_ROUTE = 6

# Codes of TIME_EXCEEDED.
HOP_LIMIT_EXCEEDED = 0
REASSEMBLY_EXCEEDED = 1

# Codes of PARAMETER_PROBLEM (the last is RFC 7112 section 5).
ERRONEOUS_FIELD = ext_headers.ERRONEOUS_FIELD
UNRECOGNISED_NEXT_HEADER = ext_headers.UNRECOGNISED_NEXT_HEADER
UNRECOGNISED_OPTION = ext_headers.UNRECOGNISED_OPTION
INCOMPLETE_CHAIN = 3

_FIRST_QUERY_TYPE = 128  # all types below are errors, known or not

_HEADER = Struct("!BBHI")
_PORTS = Struct("!HH")
_pack_header = _HEADER.pack_into


def is_error(message_type: int) -> bool:
    """Whether messages of this type report an error, and so must not be answered with one (RFC 4443 section 2.1)."""
    return message_type < _FIRST_QUERY_TYPE


def is_valid(buf: Buffer, off: int, end: int, src: int, dst: int) -> bool:
    """Whether the checksum of the message in ``buf[off:end]`` is right (RFC 4443 section 2.3)."""
    return _sums.is_valid(buf, off, end, _sums.pseudo_header(src, dst, ipv6.PROTO_ICMPV6, end - off, 128))


def set_checksum(buf: WritableBuffer, off: int, end: int, src: int, dst: int) -> None:
    """Computes the checksum of the message in ``buf[off:end]`` and stores it."""
    buf[off + 2] = 0
    buf[off + 3] = 0
    value = _sums.checksum(buf, off, end, _sums.pseudo_header(src, dst, ipv6.PROTO_ICMPV6, end - off, 128))
    buf[off + 2] = value >> 8
    buf[off + 3] = value & 0xFF


def emit(
    buf: WritableBuffer,
    off: int,
    end: int,
    type: int,  # noqa: A002 (the field's name)
    code: int,
    rest: int,
    src: int,
    dst: int,
) -> None:
    """Writes the 8-byte header in front of the data that lies in ``buf[off + 8:end]``, with its checksum."""
    _pack_header(buf, off, type, code, 0, rest)
    set_checksum(buf, off, end, src, dst)


def emit_open(buf: WritableBuffer, off: int, type: int, code: int, rest: int) -> None:  # noqa: A002 (the field's name)
    """Writes the 8-byte header without a checksum: `set_checksum` has to follow when the addresses are known."""
    _pack_header(buf, off, type, code, 0, rest)


class QuotedPacket(icmp.QuotedPacket):
    """The start of the packet that an ICMPv6 error is about.

    ``proto`` is the upper-layer protocol behind the extension headers, ``data`` its first 8 octets. ``ident`` and
    ``fragment_offset`` (in units of 8 octets) are those of a fragment header, 0 without one. ``total_length`` counts
    the IPv6 header. Addresses have no zone: who knows the link of the error makes them scoped.
    """

    __slots__ = ()

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> QuotedPacket | None:
        """The packet quoted in ``buf[off:end]``, or None when it is no IPv6 header, when its extension headers do not
        end within what is quoted, or when fewer than 8 octets follow that the packet had."""
        if off < 0 or end > len(buf) or end - off < ipv6.HEADER_LEN:
            return None
        word, length, _, _, src, dst = ipv6.FIELDS.unpack_from(buf, off)
        if word >> 28 != 6:
            return None
        total_length = ipv6.HEADER_LEN + length
        chain = ext_headers.walk(buf, off, min(end, off + total_length), ext_headers.SKIM)
        data = chain.offset
        data_len = min(off + total_length - data, 8)
        if chain.fault or data_len < 0 or end - data < data_len:
            return None
        number = place = 0
        if chain.fragment >= 0:
            number = ipv6.fragment_ident(buf, chain.fragment)
            place = ipv6.fragment_offset(buf, chain.fragment) >> 3
        sport = dport = 0
        if place == 0 and data_len >= 4:
            sport, dport = _PORTS.unpack_from(buf, data)
        return QuotedPacket(
            int.from_bytes(src, "big"),
            int.from_bytes(dst, "big"),
            chain.proto,
            sport,
            dport,
            number,
            total_length,
            place,
            bytes(buf[data : data + data_len]),
            bytes(buf[data:end]),
        )
