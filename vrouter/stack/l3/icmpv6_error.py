"""ICMPv6 errors made here: who is told, what is quoted, from where.

`may_answer6` is RFC 4443 2.4 (e), `quote6` builds the message with as much of the packet as fits the minimum MTU
(2.4 (c)), `error_source6` is 2.2. How often is `icmp_error.IcmpLimiter`'s with `LIMITS6` (2.4 (f)).

A message's checksum covers its addresses, and its source may be chosen last: `quote6` leaves it open, `seal_icmpv6`
fills it in.

Later fragments are answered like any packet: unlike IPv4's, RFC 4443 makes no exception for them, and a Packet Too Big
about each is what its source needs. What may be about an ICMPv6 error is not answered when the type of the message is
not to be seen in a first fragment, or in a packet with a chain that is cut off.

Deviation: RFC 4443 2.4 (f) limits all errors; Packet Too Big goes beyond limits, as in Linux (`LIMITS6`).

Deviation: Linux allows more messages to wide prefixes than to single hosts (``ratelimit`` divided by 2 for each 32 bits
that the route's prefix is shorter than 128); here each destination has the same allowance.

Read first: RFC 4443 sections 2.2 and 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import LOOPBACK6
from vrouter.stack.base.packet import FRAGMENT, IP_OPTIONS, LINK_GROUP, Packet
from vrouter.stack.device import Device
from vrouter.stack.l3.icmp_error import Limits, quoting
from vrouter.stack.l3.kinds import PARAMETER_OPTION, TOO_BIG
from vrouter.stack.wire import icmpv6, ipv6
from vrouter.stack.wire.ext_headers import SKIM, walk

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

QUOTE: Final = ipv6.MIN_MTU - ipv6.HEADER_LEN - icmpv6.HEADER_LEN
LIMITS6: Final = Limits(icmpv6.REDIRECT, (icmpv6.PACKET_TOO_BIG, 0))
_GROUP: Final = 0xFF
_TO_GROUPS_TOO: Final = (TOO_BIG, PARAMETER_OPTION)


def may_answer6(ip: IpState, pkt: Packet, kind: int) -> bool:
    """Whether the sender of `pkt` may be sent an error of `kind` about it (RFC 4443 2.4 (e))."""
    src = pkt.src
    if not src or src >> 120 == _GROUP or src in ip.zeros:
        return False  # (e.6): not one host's; the subnet-router anycast addresses of our links are known
    if src == LOOPBACK6 and getattr(pkt.iif, "kind", "lo") != "lo":
        return False
    if (pkt.flags & LINK_GROUP or pkt.dst >> 120 == _GROUP) and kind not in _TO_GROUPS_TOO:
        return False  # (e.3) to (e.5)
    return not _is_error(pkt)


def _is_error(pkt: Packet) -> bool:
    """Whether the packet is or may be an ICMPv6 error or a Redirect (e.1, e.2)."""
    buf, at, proto = pkt.buf, pkt.l4, pkt.proto
    if pkt.flags & (IP_OPTIONS | FRAGMENT):
        chain = walk(buf, pkt.l3, pkt.end, SKIM)
        if chain.fragment >= 0 and ipv6.fragment_offset(buf, chain.fragment):
            return False
        at, proto = chain.offset, chain.proto
    if proto != ipv6.PROTO_ICMPV6:
        return False
    return at >= pkt.end or icmpv6.is_error(buf[at]) or buf[at] == icmpv6.REDIRECT


def quote6(pkt: Packet, type_: int, code: int, rest: int) -> Packet:
    """The message about `pkt` from the ICMPv6 header on, with `seal_icmpv6` and the IPv6 header still to come."""
    message = quoting(pkt, QUOTE)
    icmpv6.emit_open(message.buf, message.start, type_, code, rest)
    message.proto = ipv6.PROTO_ICMPV6
    message.family = 6
    return message


def seal_icmpv6(message: Packet) -> None:
    """Fill in the checksum of a message that begins at ``start``, now that both its addresses are known (RFC 4443
    2.3)."""
    icmpv6.set_checksum(message.buf, message.start, message.end, message.src, message.dst)


def error_tos6(pkt: Packet) -> int:
    """The traffic class of an error: none, as Linux's; no RFC asks for another."""
    return 0


def error_source6(ip: IpState, pkt: Packet) -> int:
    """The address that the packet was sent to, when it is one of ours (an anycast address is not used). Otherwise one
    chosen for the sender, by preference of the device by which the packet came: the more informative choice that RFC
    4443 2.2 (b) allows, as Linux makes it, so that a traceroute shows the way there. 0 when a route is to choose."""
    if pkt.dst in ip.owners:
        return pkt.dst
    iif = pkt.iif
    if isinstance(iif, Device) and iif.ns is ip.ns:
        return ip.select_source(iif, pkt.src)
    return 0
