"""MLD versions 1 and 2: ``parse`` and ``emit`` of the messages of ``membership``.

``parse`` takes any bytes whose ICMPv6 header is at ``off`` and returns None for what is malformed or of another type.
The checksum is ICMPv6's and judged with that; that the packet carries a router alert, has a hop limit of 1 and comes
from a link-local address is the caller's to judge.

Read first: RFC 2710 section 3, RFC 3810 sections 5 and 8.1.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.wire import icmpv6
from vrouter.stack.wire.buffer import Buffer
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

V1_LEN = 24
V2_QUERY_LEN = 28

_WIDTH = 16
_HEAD = Struct("!BBHHH")
_OLD_REPORTS: Final = {icmpv6.MLD_REPORT: IS_EXCLUDE, icmpv6.MLD_DONE: TO_INCLUDE}
_OLD_TYPES: Final = {form: kind for kind, form in _OLD_REPORTS.items()}


def parse(buf: Buffer, off: int, end: int) -> Query | Report | None:
    """The message in ``buf[off:end]``, or None."""
    if off < 0 or end > len(buf) or end - off < icmpv6.HEADER_LEN:
        return None
    kind, _, _, delay, count = _HEAD.unpack_from(buf, off)
    if kind == icmpv6.MLDV2_REPORT:
        records = parse_records(buf, off + 8, end, count, _WIDTH)
        return None if records is None else Report(2, records)
    if end - off < V1_LEN:
        return None
    group = int.from_bytes(buf[off + 8 : off + 24], "big")
    if kind == icmpv6.MLD_QUERY:
        if end - off == V1_LEN:
            return Query(1, group, delay)
        # Queries of 25 to 27 bytes are of no version (RFC 3810 section 8.1).
        query = Query(2, group, decode_time(delay, 16))
        return parse_tail(query, buf, off + 24, end, _WIDTH) if end - off >= V2_QUERY_LEN else None
    form = _OLD_REPORTS.get(kind)
    return None if form is None else Report(1, [Record(form, group)])


def emit(message: Query | Report, src: int, dst: int) -> bytearray:
    """The whole ICMPv6 message with its checksum between these addresses, whose zones are left out.

    ValueError for a report that its version cannot tell.
    """
    if isinstance(message, Query):
        delay = min(message.max_response, 0xFFFF) if message.version == 1 else encode_time(message.max_response, 16)
        out = bytearray(_HEAD.pack(icmpv6.MLD_QUERY, 0, 0, delay, 0)) + _address(message.group)
        if message.version == 2:
            out += emit_tail(message, _WIDTH)
    elif message.version == 2:
        out = bytearray(_HEAD.pack(icmpv6.MLDV2_REPORT, 0, 0, 0, len(message.records)))
        out += emit_records(message.records, _WIDTH)
    else:
        first, *others = message.records
        kind = _OLD_TYPES.get(first.kind)
        if kind is None or others or first.sources:
            raise ValueError("MLD version 1 cannot tell this report")
        out = bytearray(_HEAD.pack(kind, 0, 0, 0, 0)) + _address(first.group)
    icmpv6.set_checksum(out, 0, len(out), src, dst)
    return out


def _address(value: int) -> bytes:
    return (value & MAX6).to_bytes(_WIDTH, "big")
