"""ICMP errors made here: who is told, what is quoted, how often.

`may_answer` is RFC 1812 4.3.2.7 (and RFC 1122 3.2.2): never about an ICMP error, a later fragment, a packet to a group
or in a group frame, or from a source that is not one host. `quote` builds the message with as much of the packet as
keeps it within 576 bytes (RFC 1812 4.3.2.3). These two are IPv4's; `icmpv6_error` has IPv6's.

`IcmpLimiter` is RFC 1812 4.3.2.8 and RFC 4443 2.4 (f) for both families: a token bucket for the namespace, and one for
each destination as in Linux, in a bounded table. What a family exempts is a `Limits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.addresses import is_multicast4
from vrouter.stack.base.packet import LINK_GROUP, LOCAL_OUT, Packet
from vrouter.stack.device import Device
from vrouter.stack.wire import icmp, ipv4

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

MAX_ERROR: Final = 576
QUOTE: Final = MAX_ERROR - 20 - 8
TOS_INTERNETCONTROL: Final = 0xC0  # RFC 1812 4.3.2.5: precedence 6
_TOS_KEPT: Final = 0x1E
_SECOND: Final = 1_000_000_000
_MAX_PEERS: Final = 1024
_PEER_BURST: Final = 6
_REDIRECTS: Final = 1 << 192  # a key of its own beside every address, zone included


def may_answer(ip: IpState, pkt: Packet) -> bool:
    """Whether the sender of `pkt` may be sent an ICMP error about it (RFC 1812 4.3.2.7)."""
    buf, l3 = pkt.buf, pkt.l3
    if pkt.flags & LINK_GROUP or ipv4.flags_fragment(buf, l3) & ipv4.OFFSET_MASK:
        return False
    src, dst = pkt.src, pkt.dst
    if src >> 24 in (0, 127) or src >= 0xE0000000:
        return src >> 24 == 127 and getattr(pkt.iif, "kind", "lo") == "lo"
    if is_multicast4(dst) or ip.is_broadcast(dst) or ip.is_broadcast(src):
        return False
    if pkt.proto == ipv4.PROTO_ICMP:
        return pkt.l4 + 1 <= pkt.end and not icmp.is_error(buf[pkt.l4]) and buf[pkt.l4] <= 18
    return True


def quote(pkt: Packet, type_: int, code: int, rest: int) -> Packet:
    """The message about `pkt`, complete from the ICMP header on; its IP header is output's work."""
    message = quoting(pkt, QUOTE)
    icmp.emit(message.buf, message.start, message.end, type_, code, rest)
    message.proto = ipv4.PROTO_ICMP
    message.family = 4
    return message


def quoting(pkt: Packet, most: int) -> Packet:
    """A message to the sender of `pkt` with up to `most` bytes of it, and room for the ICMP header at its start."""
    size = min(pkt.end - pkt.l3, most)
    message = Packet.for_payload(memoryview(pkt.buf)[pkt.l3 : pkt.l3 + size])
    message.start -= icmp.HEADER_LEN
    message.dst = pkt.src
    message.flags |= LOCAL_OUT
    return message


def error_tos(pkt: Packet) -> int:
    """RFC 1812 4.3.2.5: internetwork control precedence, and the type of service of what it is about."""
    return TOS_INTERNETCONTROL | pkt.buf[pkt.l3 + 1] & _TOS_KEPT


def error_source(ip: IpState, pkt: Packet) -> int:
    """The address that the packet was sent to, when it is ours and one host's; otherwise 0: that of the device by which
    the message leaves (RFC 1812 4.3.2.4), or with ``icmp_errors_use_inbound_ifaddr`` that of the one it came in by."""
    if ip.is_local(pkt.dst):
        return pkt.dst
    if ip.ns.conf.icmp_errors_use_inbound_ifaddr and isinstance(pkt.iif, Device) and pkt.iif.ns is ip.ns:
        return ip.select_source(pkt.iif, pkt.src)
    return 0


class Limits(NamedTuple):
    """What a family calls a redirect (a type), and which message (type, code) tells a path's MTU."""

    redirect: int
    too_big: tuple[int, int]


LIMITS4: Final = Limits(icmp.REDIRECT, (icmp.DEST_UNREACHABLE, icmp.FRAGMENTATION_NEEDED))


class IcmpLimiter:
    """Rate limit of one family's ICMP errors in one namespace; made with the first one."""

    __slots__ = ("_limits", "_peers", "_stamp", "_tokens")

    def __init__(self, limits: Limits = LIMITS4) -> None:
        self._limits = limits
        self._tokens = -1
        self._stamp = 0
        self._peers: dict[int, tuple[int, int]] = {}

    def allow(self, ip: IpState, dst: int, type_: int, code: int, now: int) -> bool:
        """Take a token for a message to `dst`; False when there is none.

        Free are types outside of ``net.ipv4.icmp_ratemask`` (``net.ipv6.icmp.ratemask``), this namespace's own
        addresses, and what tells of a path's MTU, without which paths turn into black holes (RFC 1191, RFC 8201).
        Redirects have a bucket of their own for each destination.
        """
        conf = ip.ns.conf
        family = conf.of(ip.family)
        redirect = type_ == self._limits.redirect
        if not redirect and (not family.icmp_ratemask >> type_ & 1 or ip.is_local(dst)):
            return True
        if (type_, code) == self._limits.too_big:
            return True
        rate, burst = conf.icmp_msgs_per_sec, conf.icmp_msgs_burst
        nano = burst * _SECOND
        tokens = nano if self._tokens < 0 else min(nano, self._tokens + (now - self._stamp) * rate)
        self._stamp = now
        if tokens < _SECOND:
            self._tokens = tokens
            return False
        self._tokens = tokens
        peer, interval = (dst | _REDIRECTS, _SECOND) if redirect else (dst, family.icmp_ratelimit)
        if interval and not self._allow_peer(peer, interval, now):
            return False
        self._tokens = tokens - _SECOND
        return True

    def _allow_peer(self, dst: int, interval: int, now: int) -> bool:
        known = self._peers.pop(dst, None)
        credit = _PEER_BURST * interval if known is None else min(_PEER_BURST * interval, known[0] + now - known[1])
        allowed = credit >= interval
        if len(self._peers) >= _MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[dst] = (credit - interval if allowed else credit, now)
        return allowed
