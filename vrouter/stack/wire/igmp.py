"""IGMP versions 1 to 3: ``parse`` and ``emit`` of the messages of ``membership``.

``parse`` takes any bytes and returns None for what is malformed, has a wrong checksum or is of an unknown type. That
the packet carries a router alert, has a TTL of 1 and goes to the right group is the caller's to judge.

Read first: RFC 2236 section 2, RFC 3376 sections 4 and 7.1.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from vrouter.stack.wire.buffer import Buffer
from vrouter.stack.wire.checksum import checksum, is_valid
from vrouter.stack.wire.membership import (
    IS_EXCLUDE,
    TO_INCLUDE,
    Query,
    Record,
    Report,
    decode_time,
    emit_records,
    emit_tail,
    encode_time,
    parse_records,
    parse_tail,
)

MIN_LEN = 8

QUERY = 0x11
V1_REPORT = 0x12
V2_REPORT = 0x16
LEAVE = 0x17
V3_REPORT = 0x22

V1_MAX_RESPONSE = 10_000  # ms: a query of version 1 says none (RFC 2236 section 4)

_WIDTH = 4
_FIXED = Struct("!BBHI")
_OLD_REPORTS: Final = {V1_REPORT: (1, IS_EXCLUDE), V2_REPORT: (2, IS_EXCLUDE), LEAVE: (2, TO_INCLUDE)}
_OLD_TYPES: Final = {form: kind for kind, form in _OLD_REPORTS.items()}


def parse(buf: Buffer, off: int, end: int) -> Query | Report | None:
    """The message in ``buf[off:end]``, all of the IP packet's data; or None."""
    if off < 0 or end > len(buf) or end - off < MIN_LEN or not is_valid(buf, off, end):
        return None
    kind, code, _, word = _FIXED.unpack_from(buf, off)
    if kind == QUERY:
        if end - off == MIN_LEN:
            return Query(2, word, code * 100) if code else Query(1, word, V1_MAX_RESPONSE)
        # Queries of 9 to 11 bytes are of no version (RFC 3376 section 7.1).
        query = Query(3, word, decode_time(code) * 100)
        return parse_tail(query, buf, off + 8, end, _WIDTH) if end - off >= 12 else None
    if kind == V3_REPORT:
        records = parse_records(buf, off + 8, end, word & 0xFFFF, _WIDTH)
        return None if records is None else Report(3, records)
    form = _OLD_REPORTS.get(kind)
    return None if form is None else Report(form[0], [Record(form[1], word)])


def emit(message: Query | Report) -> bytearray:
    """The whole message with its checksum; ValueError for a report that its version cannot tell."""
    if isinstance(message, Query):
        tenths = message.max_response // 100
        code = 0 if message.version == 1 else min(max(tenths, 1), 255) if message.version == 2 else encode_time(tenths)
        out = bytearray(_FIXED.pack(QUERY, code, 0, message.group))
        if message.version == 3:
            out += emit_tail(message, _WIDTH)
    elif message.version == 3:
        out = bytearray(_FIXED.pack(V3_REPORT, 0, 0, len(message.records)))
        out += emit_records(message.records, _WIDTH)
    else:
        first, *others = message.records
        kind = _OLD_TYPES.get((message.version, first.kind))
        if kind is None or others or first.sources:
            raise ValueError(f"IGMP version {message.version} cannot tell this report")
        out = bytearray(_FIXED.pack(kind, 0, 0, first.group))
    out[2:4] = checksum(out, 0, len(out)).to_bytes(2, "big")
    return out
