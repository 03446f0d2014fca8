"""ICMP for IPv4 as a host and router receives it: echo, timestamps, and news about packets that we sent.

Expects: ``l4`` at the ICMP header, a reassembled packet that is for this namespace. Decides and returns one of

* a drop reason (an int above 0),
* ``0``: consumed,
* a `Packet`: the reply, complete from its ICMP header on, with ``src`` 0 when output is to choose it,
* an `ErrorNews`: which packet of ours it is about, for the sockets and the path's MTU,
* ``ECHO_REPLY``: for the ping sockets.

Read first: RFC 792, RFC 1122 3.2.2, RFC 1812 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from vrouter.stack.base.addresses import V4, is_multicast4, zone_of
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, Packet
from vrouter.stack.l3.options import stack_time
from vrouter.stack.wire import icmp
from vrouter.stack.wire.checksum import is_valid, update16

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

_L4_HDR = int(DropReason.L4_HDR)
_ICMP_CSUM = int(DropReason.ICMP_CSUM)
_ICMP_TYPE = int(DropReason.ICMP_TYPE)
_ICMP_IGNORED = int(DropReason.ICMP_IGNORED)
_IN_MSGS = int(Stat.IcmpInMsgs)
_OUT_MSGS = int(Stat.IcmpOutMsgs)
_IN_STATS: Final[dict[int, int]] = {
    icmp.ECHO_REPLY: Stat.IcmpInEchoReps,
    icmp.DEST_UNREACHABLE: Stat.IcmpInDestUnreachs,
    icmp.REDIRECT: Stat.IcmpInRedirects,
    icmp.ECHO: Stat.IcmpInEchos,
    icmp.TIME_EXCEEDED: Stat.IcmpInTimeExcds,
    icmp.PARAMETER_PROBLEM: Stat.IcmpInParmProbs,
    icmp.TIMESTAMP: Stat.IcmpInTimestamps,
}
OUT_STATS: Final[dict[int, int]] = {
    icmp.ECHO_REPLY: Stat.IcmpOutEchoReps,
    icmp.DEST_UNREACHABLE: Stat.IcmpOutDestUnreachs,
    icmp.REDIRECT: Stat.IcmpOutRedirects,
    icmp.ECHO: Stat.IcmpOutEchos,
    icmp.TIME_EXCEEDED: Stat.IcmpOutTimeExcds,
    icmp.PARAMETER_PROBLEM: Stat.IcmpOutParmProbs,
    icmp.TIMESTAMP_REPLY: Stat.IcmpOutTimestampReps,
}
ECHO_REPLY: Final = "echo-reply"
_PLATEAUS: Final = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)  # RFC 1191 7.1


class ErrorNews(NamedTuple):
    """An ICMP error of either family about a packet that this namespace sent: `info` is the path's MTU, the redirect's
    gateway, or where a Parameter Problem points. Addresses in `quoted` are in the stack's form."""

    quoted: icmp.QuotedPacket
    type: int
    code: int
    info: int


def icmp_input(ip: IpState, pkt: Packet, now: int) -> int | str | Packet | ErrorNews:
    """What is to happen with the message; see the module's text."""
    buf, l4, end = pkt.buf, pkt.l4, pkt.end
    stats = ip.ns.stats
    stats[_IN_MSGS] += 1
    if end - l4 < icmp.HEADER_LEN:
        return _L4_HDR
    if not pkt.flags & CSUM_OK and not is_valid(buf, l4, end):
        return _ICMP_CSUM
    type_ = buf[l4]
    counter = _IN_STATS.get(type_)
    if counter is not None:
        stats[counter] += 1
    group = is_multicast4(pkt.dst) or ip.is_broadcast(pkt.dst)
    conf = ip.ns.conf
    if type_ == icmp.ECHO:
        if conf.icmp_echo_ignore_all or (group and conf.icmp_echo_ignore_broadcasts):
            return _ICMP_IGNORED  # RFC 1122 3.2.2.6: MAY discard those to a group
        return _echo_reply(pkt, group)
    if type_ == icmp.ECHO_REPLY:
        return ECHO_REPLY
    if type_ == icmp.TIMESTAMP:
        if end - l4 < 20:
            return _L4_HDR
        if group and conf.icmp_echo_ignore_broadcasts:
            return _ICMP_IGNORED  # RFC 1122 3.2.2.8
        return _timestamp_reply(pkt, group, now)
    if type_ in (icmp.DEST_UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM, icmp.REDIRECT):
        quoted = icmp.QuotedPacket.parse(buf, l4 + icmp.HEADER_LEN, end)
        if quoted is None:
            return _L4_HDR
        if group or not ip.is_local(quoted.src):
            return _ICMP_IGNORED  # not about a packet of ours
        rest = icmp.rest(buf, l4)
        code = buf[l4 + 1]
        if type_ == icmp.REDIRECT:
            return ErrorNews(quoted, type_, code, rest)
        if type_ == icmp.DEST_UNREACHABLE and code == icmp.FRAGMENTATION_NEEDED:
            return ErrorNews(quoted, type_, code, next_mtu(rest & 0xFFFF, quoted.total_length))
        return ErrorNews(quoted, type_, code, rest >> 24 if type_ == icmp.PARAMETER_PROBLEM else 0)
    if type_ in (icmp.SOURCE_QUENCH, icmp.TIMESTAMP_REPLY) or icmp.ROUTER_ADVERTISEMENT <= type_ <= 18:
        # RFC 6633 (quench), RFC 1812 4.3.3.7 (information), 4.3.3.9 (masks): understood, and of no effect here.
        return _ICMP_IGNORED
    return _ICMP_TYPE


def count_output(ns: Netns, message: Packet) -> None:
    """Count a message that is about to be sent; it begins at ``start``."""
    count_type(ns, _OUT_MSGS, OUT_STATS, message.buf[message.start])


def count_type(ns: Netns, total: int, by_type: dict[int, int], type_: int) -> None:
    """Count one more message, and one more of its type if types like it are counted."""
    ns.stats[total] += 1
    counter = by_type.get(type_)
    if counter is not None:
        ns.stats[counter] += 1


def next_mtu(told: int, total_length: int) -> int:
    """The MTU to use after a Fragmentation Needed that told `told`; an old router tells 0, and RFC 1191 5 then takes
    the next plateau below the length of the packet that was too big."""
    if told >= 68:
        return told
    return next((plateau for plateau in _PLATEAUS if plateau < total_length), 68)


def answer(pkt: Packet, group: bool) -> Packet:
    """A message like `pkt`, of either family, back to its sender; its source is open when it was to many."""
    reply = Packet.for_payload(memoryview(pkt.buf)[pkt.l4 : pkt.end])
    reply.dst = pkt.src
    reply.src = 0 if group else pkt.dst  # RFC 1122 3.2.2.6, RFC 4443 4.2: the specific destination of the request
    reply.proto = pkt.proto
    reply.family = pkt.family
    return reply


def _echo_reply(pkt: Packet, group: bool) -> Packet:
    reply = answer(pkt, group)
    buf, off = reply.buf, reply.start
    buf[off] = icmp.ECHO_REPLY
    value = update16(icmp.checksum(buf, off), icmp.ECHO << 8, icmp.ECHO_REPLY << 8)
    buf[off + 2], buf[off + 3] = value >> 8, value & 0xFF
    if not value or pkt.flags & CSUM_OK:
        # RFC 1624 gives a message of nothing but zeros the other zero; and nobody looked at what a device vouched for.
        icmp.emit(buf, off, reply.end, icmp.ECHO_REPLY, buf[off + 1], icmp.rest(buf, off))
    return reply


def _timestamp_reply(pkt: Packet, group: bool, now: int) -> Packet:
    """RFC 792: receive and transmit time; the stack knows no time of day, so the high bit says "not standard"."""
    reply = answer(pkt, group)
    buf, off = reply.buf, reply.start
    stamp = stack_time(now).to_bytes(4, "big")
    buf[off + 12 : off + 16] = stamp
    buf[off + 16 : off + 20] = stamp
    icmp.emit(buf, off, reply.end, icmp.TIMESTAMP_REPLY, 0, icmp.rest(buf, off))
    return reply


def redirect_target(ip: IpState, pkt: Packet, news: ErrorNews) -> bool:
    """Whether an IPv4 Redirect is to be believed; see `believes_redirect`."""
    return believes_redirect(ip, cast("Device | None", pkt.iif), pkt.src, news.quoted.dst, news.info)


def believes_redirect(ip: IpState, dev: Device | None, source: int, destination: int, gateway: int) -> bool:
    """Whether a Redirect from `source` that came in by `dev`, and names `gateway` as a better first hop for
    `destination`, is to be believed.

    RFC 1122 3.2.2.2 and RFC 4861 8.1: it comes from the present first hop, and the gateway is on the link that it came
    in by and is not ourselves. Only where nothing is forwarded (RFC 1812 5.2.7.2, RFC 4861 8.3). For IPv6 the gateway
    is a router by its link-local address, or the destination itself, which then is a neighbour; the other checks of
    RFC 4861 8.1 are `l2.ndp`'s.
    """
    if dev is None or dev.kind in ("lo", "crossing"):
        return False
    if not (dev.conf4.accept_redirects if ip.family == V4 else dev.conf6.accept_redirects and not dev.conf6.forwarding):
        return False
    route = ip.main.lookup(destination)
    if route is None or route.dev is not dev or ip.first_hop(route, destination, ip.ns.stack.now) != source:
        return False
    if ip.is_local(gateway) or ip.is_broadcast(gateway) or gateway in ip.zeros:
        return False
    if ip.family != V4:
        return gateway == destination or zone_of(gateway) == dev.ifindex
    if not ip.on_link(dev, gateway):
        return False
    if dev.conf4.secure_redirects and not dev.conf4.shared_media:  # only to gateways that are known as such
        return any(default.via == gateway and default.dev is dev for default in ip.main.exact(0, 0))
    return True
