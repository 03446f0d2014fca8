"""What IGMP and MLD say: queries and reports of group membership, as values of one form for both.

The messages of all versions are told in the words of the newest. An old report of a group is a `Report` with one record
of IS_EXCLUDE without sources, an old leave (or done) one with TO_INCLUDE (RFC 3376 section 7.3.2, RFC 3810 section
8.3.2); ``version`` tells them apart. Codecs: ``igmp`` and ``mld``.

Bounds: ``MAX_RECORDS`` records and ``MAX_SOURCES`` sources in a message; more is malformed.

Read first: RFC 3376 section 4, RFC 3810 section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from vrouter.stack.wire.buffer import Buffer

IS_INCLUDE = 1
IS_EXCLUDE = 2
TO_INCLUDE = 3
TO_EXCLUDE = 4
ALLOW = 5
BLOCK = 6

MAX_RECORDS = 1024
MAX_SOURCES = 4096

_RECORD = Struct("!BBH")


@dataclass(slots=True)
class Query:
    """Who listens? To ``group``, or to any when it is 0; to which of ``sources``, when there are some.

    ``max_response`` is in milliseconds, ``interval`` (the querier's, 0 when it does not say) in seconds. ``robustness``
    is 0 when it is not told or above 7.
    """

    version: int
    group: int = 0
    max_response: int = 0
    suppress: bool = False
    robustness: int = 0
    interval: int = 0
    sources: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """What a host says of one group: ``kind`` is one of IS_INCLUDE to BLOCK."""

    kind: int
    group: int
    sources: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What a host listens to, or no longer does."""

    version: int
    records: list[Record] = field(default_factory=list)


def decode_time(code: int, bits: int = 8) -> int:
    """The value of a code of 8 or 16 bits, whose upper half is a floating-point number (RFC 3376 section 4.1.1)."""
    if code >> bits - 1 == 0:
        return code
    mantissa = bits - 4
    return (code & (1 << mantissa) - 1 | 1 << mantissa) << (code >> mantissa & 7) + 3


def encode_time(value: int, bits: int = 8) -> int:
    """The code of the largest value that can be told and is not above ``value``."""
    if value < 1 << bits - 1:
        return value
    mantissa = bits - 4
    exponent = value.bit_length() - mantissa - 1 - 3
    if exponent > 7:
        return (1 << bits) - 1
    return 1 << bits - 1 | exponent << mantissa | value >> exponent + 3 & (1 << mantissa) - 1


def parse_tail(query: Query, buf: Buffer, at: int, end: int, width: int) -> Query | None:
    """Fills in what IGMPv3 and MLDv2 queries have behind the group, at ``at``; None when it is malformed."""
    flags = buf[at]
    query.suppress, query.robustness, query.interval = flags & 8 != 0, flags & 7, decode_time(buf[at + 1])
    count = buf[at + 2] << 8 | buf[at + 3]
    if count > MAX_SOURCES or end - at - 4 < count * width:
        return None
    query.sources = _addresses(buf, at + 4, count, width)
    return query


def emit_tail(query: Query, width: int) -> bytes:
    """What IGMPv3 and MLDv2 queries have behind the group."""
    robustness = query.robustness if query.robustness <= 7 else 0
    head = bytes((query.suppress << 3 | robustness, encode_time(query.interval))) + len(query.sources).to_bytes(
        2, "big"
    )
    return head + b"".join([_octets(source, width) for source in query.sources])


def parse_records(buf: Buffer, at: int, end: int, count: int, width: int) -> list[Record] | None:
    """``count`` records from ``at``; addresses have ``width`` bytes. None when they are malformed.

    Records of an unknown kind and auxiliary data are passed over (RFC 3376 sections 4.2.6 and 4.2.12).
    """
    if count > MAX_RECORDS:
        return None
    records, left = [], MAX_SOURCES
    for _ in range(count):
        body = at + _RECORD.size
        if end - body < width:
            return None
        kind, auxiliary, sources = _RECORD.unpack_from(buf, at)
        at = body + width + sources * width + auxiliary * 4
        left -= sources
        if at > end or left < 0:
            return None
        if IS_INCLUDE <= kind <= BLOCK:
            group = int.from_bytes(buf[body : body + width], "big")
            records.append(Record(kind, group, _addresses(buf, body + width, sources, width)))
    return records


def emit_records(records: list[Record], width: int) -> bytes:
    """The records behind one another."""
    out = bytearray()
    for record in records:
        out += _RECORD.pack(record.kind, 0, len(record.sources)) + _octets(record.group, width)
        out += b"".join([_octets(source, width) for source in record.sources])
    return bytes(out)


def _octets(address: int, width: int) -> bytes:
    """An address without its zone."""
    return (address & (1 << 8 * width) - 1).to_bytes(width, "big")


def _addresses(buf: Buffer, at: int, count: int, width: int) -> list[int]:
    return [int.from_bytes(buf[i : i + width], "big") for i in range(at, at + count * width, width)]
