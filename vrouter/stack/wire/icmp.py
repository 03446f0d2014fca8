"""ICMP for IPv4: constants, accessors, ``emit``, and the packet that an error message quotes.

Expects: ``HEADER_LEN`` bytes at ``off``; accessors judge nothing. ``QuotedPacket.parse`` takes any bytes.

Read first: RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from vrouter.stack.wire import ipv4
from vrouter.stack.wire.buffer import Buffer, WritableBuffer
from vrouter.stack.wire.checksum import checksum as _checksum

HEADER_LEN = 8

ECHO_REPLY = 0
DEST_UNREACHABLE = 3
SOURCE_QUENCH = 4
REDIRECT = 5
ECHO = 8
ROUTER_ADVERTISEMENT = 9
ROUTER_SOLICITATION = 10
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12
TIMESTAMP = 13
TIMESTAMP_REPLY = 14
INFORMATION_REQUEST = 15
INFORMATION_REPLY = 16
ADDRESS_MASK_REQUEST = 17
ADDRESS_MASK_REPLY = 18

# Codes of DEST_UNREACHABLE (RFC 792; 6 to 12 RFC 1122 section 3.2.2.1; 13 to 15 RFC 1812 section 5.2.7.1).
NET_UNREACHABLE = 0
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_ROUTE_FAILED = 5
NET_UNKNOWN = 6
HOST_UNKNOWN = 7
HOST_ISOLATED = 8
NET_PROHIBITED = 9
HOST_PROHIBITED = 10
NET_UNREACHABLE_TOS = 11
HOST_UNREACHABLE_TOS = 12
COMM_PROHIBITED = 13
HOST_PRECEDENCE_VIOLATION = 14
PRECEDENCE_CUTOFF = 15

# Codes of REDIRECT.
REDIRECT_NET = 0
REDIRECT_HOST = 1
REDIRECT_TOS_NET = 2
REDIRECT_TOS_HOST = 3

# Codes of TIME_EXCEEDED.
TTL_EXCEEDED = 0
REASSEMBLY_EXCEEDED = 1

# Codes of PARAMETER_PROBLEM.
POINTER_INDICATES = 0
OPTION_MISSING = 1
BAD_LENGTH = 2

_ERROR_TYPES = 1 << DEST_UNREACHABLE | 1 << SOURCE_QUENCH | 1 << REDIRECT | 1 << TIME_EXCEEDED | 1 << PARAMETER_PROBLEM

_HEADER = Struct("!BBHI")
_PORTS = Struct("!HH")
_U32 = Struct("!I")
_pack_header = _HEADER.pack_into
_unpack_u32 = _U32.unpack_from


def type_(buf: Buffer, off: int) -> int:
    """The message type."""
    return buf[off]


def code(buf: Buffer, off: int) -> int:
    """The code within the type."""
    return buf[off + 1]


def checksum(buf: Buffer, off: int) -> int:
    """The stored checksum."""
    return (buf[off + 2] << 8) | buf[off + 3]


def rest(buf: Buffer, off: int) -> int:
    """The second word of the header: gateway, pointer and MTU of errors, identifier and sequence of queries."""
    word: int = _unpack_u32(buf, off + 4)[0]
    return word


def ident(buf: Buffer, off: int) -> int:
    """The identifier of a query or reply."""
    return (buf[off + 4] << 8) | buf[off + 5]


def sequence(buf: Buffer, off: int) -> int:
    """The sequence number of a query or reply."""
    return (buf[off + 6] << 8) | buf[off + 7]


def is_error(message_type: int) -> bool:
    """Whether messages of this type report an error, and so must not be answered with one (RFC 1122 section 3.2.2)."""
    return _ERROR_TYPES >> message_type & 1 == 1


def emit(buf: WritableBuffer, off: int, end: int, type: int, code: int, rest: int) -> None:  # noqa: A002 (the field's name)
    """Writes the 8-byte header in front of the data that lies in ``buf[off + 8:end]``, with its checksum."""
    _pack_header(buf, off, type, code, 0, rest)
    value = _checksum(buf, off, end)
    buf[off + 2] = value >> 8
    buf[off + 3] = value & 0xFF


@dataclass(slots=True)
class QuotedPacket:
    """The start of the packet that an ICMP error is about: IPv4 header and first bytes of data (RFC 792).

    ``ident`` is the identification of the IP header. ``data`` holds the first 8 octets behind it (fewer when the
    packet had fewer): of an echo request ``icmp.ident(quoted.data, 0)`` is the identifier. ``sport`` and ``dport``
    are the first two words of the data; they are 0 in a later fragment, where no transport header is, and where the
    data has no 4 octets. ``payload`` is all of the data that is quoted.
    """

    src: int
    dst: int
    proto: int
    sport: int
    dport: int
    ident: int
    total_length: int
    fragment_offset: int
    data: bytes
    payload: bytes = field(default=b"", compare=False)

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> QuotedPacket | None:
        """The packet quoted in ``buf[off:end]``, or None when it is no IPv4 header with its first 8 octets of data.

        The quoted header checksum is not judged: the packet was changed on its way and routers quote it as it was
        then.
        """
        if off < 0 or end > len(buf) or end - off < ipv4.MIN_HEADER:
            return None
        version_ihl, _, total_length, ident, flags_fragment, _, proto, _, src, dst = ipv4.FIELDS.unpack_from(buf, off)
        header_len = (version_ihl & 0x0F) << 2
        data_len = min(total_length - header_len, 8)
        if version_ihl >> 4 != 4 or header_len < ipv4.MIN_HEADER or data_len < 0:
            return None
        data = off + header_len
        if end - data < data_len:
            return None
        fragment_offset = flags_fragment & ipv4.OFFSET_MASK
        sport = dport = 0
        if fragment_offset == 0 and data_len >= 4:
            sport, dport = _PORTS.unpack_from(buf, data)
        start, payload = bytes(buf[data : data + data_len]), bytes(buf[data:end])
        return QuotedPacket(src, dst, proto, sport, dport, ident, total_length, fragment_offset, start, payload)
