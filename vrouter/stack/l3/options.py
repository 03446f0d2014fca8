"""IPv4 options: which packets their options condemn, and what a router and a host write into them.

Expects: a packet whose header has passed its checks, ``l3`` and ``l4`` set, flag `IP_OPTIONS`. Sets: `ROUTER_ALERT`.

- `options_input` judges, for every packet that comes in: malformed options are a Parameter Problem at the octet that is
  wrong (RFC 1812 4.3.3.5), unknown ones are none of our business and stay as they are (RFC 1812 4.2.2.6), and so do
  Security and Stream Identifier (5.3.13.3; obsolete, RFC 6814).
- `options_output` writes Record Route and Timestamp entries (RFC 1812 5.3.13.5, 5.3.13.6): the address is that of the
  device by which the packet leaves, or, before delivery, the one it was sent to (RFC 1812 4.2.2.1).
- `reply_options` is what an echo reply returns of its request (RFC 1122 3.2.2.6): the reply goes through
  `options_output` like any packet.

Deviation: source-routed packets are refused, silently, complete or not, for us or for others (RFC 1812 5.3.13.4 asks
a router to follow them). RFC 7126 4.3.5 and 4.4.5 advise so, and so does Linux with accept_source_route = 0.

Deviation: RFC 791 counts a timestamp from midnight UT. There is no such clock here: entries carry milliseconds of the
stack's own time with the high bit set, which RFC 791 provides for any other time.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import ROUTER_ALERT, Packet
from vrouter.stack.wire.ipv4 import MIN_HEADER, header_length, set_header_checksum
from vrouter.stack.wire.ipv4_options import (
    LSRR,
    RR,
    RTRALERT,
    SSRR,
    TS,
    has_room,
    next_prespecified,
    parse,
    record_route,
    record_route_error,
    timestamp,
    timestamp_error,
)

_IP_OPTIONS: Final = int(DropReason.IP_OPTIONS)
_FINE: Final = (0, -1)
_REFUSED: Final = (_IP_OPTIONS, -1)
_ROUTER_ALERT_LENGTH: Final = 4
_MS: Final = 1_000_000
_NON_STANDARD: Final = 0x80000000


def options_input(pkt: Packet) -> tuple[int, int]:
    """(0, -1), or (drop reason, pointer of the Parameter Problem, -1 for silence).

    A malformed option is reported even behind a source route, and a second Record Route, Timestamp or source route is
    malformed (RFC 791 3.1: at most once).
    """
    buf, l3 = pkt.buf, pkt.l3
    broken = -1
    found = parse(buf, l3 + MIN_HEADER, l3 + header_length(buf, l3))
    if isinstance(found, int):  # judged last: the first octet that is wrong is pointed at
        broken = found - l3
        found = parse(buf, l3 + MIN_HEADER, found)
        assert not isinstance(found, int)
    record_seen = timestamp_seen = source_route = False
    for kind, off, length in found:
        wrong = -1
        if kind == RR:
            wrong = 0 if record_seen else record_route_error(buf, off) or -1
            record_seen = True
        elif kind == TS:
            wrong = 0 if timestamp_seen else timestamp_error(buf, off) or -1
            timestamp_seen = True
        elif kind == LSRR or kind == SSRR:
            wrong = 0 if source_route else _source_route_error(buf, off, length)
            source_route = True
        elif kind == RTRALERT:
            if length < _ROUTER_ALERT_LENGTH:
                wrong = 1
            elif not buf[off + 2] and not buf[off + 3]:
                pkt.flags |= ROUTER_ALERT
        if wrong >= 0:
            return _IP_OPTIONS, off + wrong - l3
    if broken >= 0:
        return _IP_OPTIONS, broken
    return _REFUSED if source_route else _FINE


def options_output(
    pkt: Packet, address: int, now: int, owned: Container[int] = (), *, counts_overflow: bool = True
) -> bool:
    """Write `address` and the time into the options that ask for it, and mend the checksum; True when anything changed.

    `owned` are the addresses of this namespace: a timestamp with prespecified addresses is ours when the next of them
    is any of these (RFC 1812 5.3.13.6), or `address`. An option whose last room has become too small stays as it is. A
    reply leaves the overflow of a full timestamp as it is: that counts modules, and this one had its turn on receipt.
    """
    buf, l3 = pkt.buf, pkt.l3
    header_len = header_length(buf, l3)
    found = parse(buf, l3 + MIN_HEADER, l3 + header_len)
    if isinstance(found, int):
        return False
    changed = False
    for kind, off, _ in found:
        if kind == RR and not record_route_error(buf, off):
            changed |= record_route(buf, off, address)
        elif kind == TS and not timestamp_error(buf, off) and (counts_overflow or has_room(buf, off)):
            stamping = next_prespecified(buf, off)
            if stamping < 0 or stamping not in owned:
                stamping = address
            changed |= timestamp(buf, off, stamping, stack_time(now))
    if changed:
        set_header_checksum(buf, l3, header_len)
    return changed


def reply_options(pkt: Packet) -> bytes:
    """The option area of the reply to `pkt`: its Record Route and Timestamp as they stand, untruncated, in whole words.

    `pkt` was delivered, so both hold our entry as its receiver; the reply's sending adds the next one.
    """
    buf, l3 = pkt.buf, pkt.l3
    found = parse(buf, l3 + MIN_HEADER, l3 + header_length(buf, l3))
    if isinstance(found, int):
        return b""
    kept = b"".join(bytes(buf[off : off + length]) for kind, off, length in found if kind in (RR, TS))
    return kept + bytes(-len(kept) & 3)


def stack_time(now: int) -> int:
    """Milliseconds of `now` (ns) as a timestamp that is not UT's (RFC 791 3.1)."""
    return now // _MS & ~_NON_STANDARD & 0xFFFFFFFF | _NON_STANDARD


def _source_route_error(buf: bytearray, off: int, length: int) -> int:
    """The octet of a source route that is wrong, or -1."""
    if length < 3:
        return 1
    return 2 if buf[off + 2] < 4 else -1
