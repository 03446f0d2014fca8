"""In: header checks, the routing decision, delivery, forwarding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import (
    DONT_FRAGMENT,
    FORWARDED,
    FRAGMENT,
    IP_OPTIONS,
    LINK_GROUP,
    Packet,
)
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l2.ndp_message import build_redirect
from vrouter.stack.l3 import fib
from vrouter.stack.l3.forward import broadcasts, forwards, redirect_gateway, transit_mtu
from vrouter.stack.l3.icmp import ECHO_REPLY, ErrorNews, redirect_target
from vrouter.stack.l3.icmpv6 import MLD, NDP
from vrouter.stack.l3.input import group_input, is_heard
from vrouter.stack.l3.kinds import (
    BEYOND_SCOPE,
    PORT_UNREACHABLE,
    PROTO_UNREACHABLE,
    REDIRECT,
    TOO_BIG,
    TTL_EXCEEDED,
)
from vrouter.stack.l3.options import options_output
from vrouter.stack.l3.route import (
    NO_FORWARDING,
    NO_ROUTE,
    REFUSALS,
    Refusal,
)
from vrouter.stack.l4.icmp import ping_error, ping_input
from vrouter.stack.l4.membership import is_member
from vrouter.stack.l4.raw import raw_error, raw_input
from vrouter.stack.l4.tcp.error import tcp_error
from vrouter.stack.l4.tcp.input import tcp_input
from vrouter.stack.l4.udp import udp_error, udp_input
from vrouter.stack.pipeline.multicast import Multicast
from vrouter.stack.segmentation import as_on_the_wire, segment
from vrouter.stack.wire.ipv4 import PROTO_IGMP, PROTO_TCP, PROTO_UDP

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

# Members of an IntEnum are looked up slowly: the path uses plain numbers.
_CONSUMED: Final = int(Stat.AcctConsumed)
_FRAGMENTS: Final = int(Stat.AcctFragments)
_NO_SOCKET: Final = int(DropReason.NO_SOCKET)
_NO_PMTU_BUT_TOLD: Final = 1
_NO_PMTU_BUT_VERIFIED: Final = 3  # of protocols that tell their own packets by a number
_UDP_FINE: Final = (0, _NO_SOCKET, int(DropReason.SOCKET_RCVBUFF))  # whatever became of it, it was right
_TELL: Final = {PROTO_TCP: tcp_error, PROTO_UDP: udp_error}
_FORWARD, _DELIVER, _CROSS = fib.FORWARD, fib.DELIVER, fib.CROSS


class Inward(Multicast):
    """The way of an IP packet that came in."""

    __slots__ = ()

    def ip_input(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, now: int) -> None:
        """Header checks, martians, PREROUTING."""
        codec = ip.codec
        ns.stats[codec.in_receives] += 1
        reason = codec.input(pkt) or codec.martian(ip, pkt, dev)
        if reason:
            return self.drop(ns, pkt, reason)
        if pkt.flags & IP_OPTIONS:
            reason, kind, info = codec.hop_input(ip, pkt)
            if reason:
                if kind >= 0:
                    self.tell(ns, ip, pkt, kind, info, now)
                return self.drop(ns, pkt, reason)
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.PREROUTING, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        return self.route(ns, ip, pkt, now)

    def cross_input(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """An IP packet that another namespace handed over: it stands at the routing decision."""
        reason = ip.codec.crossing(ip, pkt)
        if reason:
            return self.drop(ns, pkt, reason)
        return self.route(ns, ip, pkt, now)

    def route(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """Deliver, forward, cross, or refuse."""
        dst = pkt.dst
        if ip.group_floor <= dst <= ip.group_top:
            return self.group(ns, ip, pkt, now)
        route = ip.route_in(pkt)
        if pkt.flags & LINK_GROUP and (route is None or not (route.type == fib.BROADCAST or is_heard(pkt, route))):
            return self.drop(ns, pkt, group_input(pkt))
        if route is None:
            return self.refuse(ns, ip, pkt, NO_ROUTE if forwards(ns, pkt) else NO_FORWARDING, now)
        action = route.action
        if action == _DELIVER:
            if route.type == fib.BROADCAST:
                ns.stats[ip.codec.in_bcasts] += 1
                if broadcasts(pkt, route):
                    return self.forward(ns, ip, pkt, route, now)
            elif route.type == fib.ANYCAST and not forwards(ns, pkt):
                return self.refuse(ns, ip, pkt, NO_FORWARDING, now)  # RFC 4291 2.6.1: the routers' alone
            return self.deliver(ns, ip, pkt, now)
        if not forwards(ns, pkt):
            return self.refuse(ns, ip, pkt, NO_FORWARDING, now)
        if action != _FORWARD and action != _CROSS:
            return self.refuse(ns, ip, pkt, REFUSALS.get(route.type, NO_ROUTE), now)
        is_link_local = ip.codec.is_link_local
        if is_link_local(dst) or is_link_local(pkt.src):  # RFC 3927 2.6.2, 7; RFC 4291 2.5.6
            if not is_link_local(dst):
                self.tell(ns, ip, pkt, BEYOND_SCOPE, 0, now)
            return self.drop(ns, pkt, DropReason.FORWARD_LINK_LOCAL)
        if not pkt.src:
            return self.drop(ns, pkt, DropReason.IP_INVALID_SOURCE)  # RFC 4291 2.5.2
        if action == _CROSS:
            return self.cross(ns, ip, pkt, route, now)
        if route.dev is ns.lo:  # it would come round until its TTL is used up
            return self.refuse(ns, ip, pkt, NO_ROUTE, now)
        return self.forward(ns, ip, pkt, route, now)

    def group(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """To everybody on the link (RFC 1812 5.3.5.1: never forwarded), or to a multicast group."""
        dst = pkt.dst
        if ip.codec.is_multicast(dst):
            ns.stats[ip.codec.in_mcasts] += 1
            member = is_member(ns, dst, pkt.iif, pkt.src)
            tables = ns._groups
            if tables is not None:
                if not self.relay(ns, ip, pkt, tables, member, now):
                    return None
            elif not member:
                return self.drop(ns, pkt, DropReason.MCAST_NO_INTEREST)
        else:
            ns.stats[ip.codec.in_bcasts] += 1
        return self.deliver(ns, ip, pkt, now)

    def refuse(self, ns: Netns, ip: IpState, pkt: Packet, refusal: Refusal, now: int) -> None:
        """The packet ends here, and its sender may be told."""
        if refusal.kind >= 0:
            self.tell(ns, ip, pkt, refusal.kind, 0, now)
        self.drop(ns, pkt, refusal.reason)

    def forward(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """RFC 1812 5.2.1.2: TTL, MTU, redirect, FORWARD, out."""
        dev = route.dev
        assert dev is not None
        if pkt.ttl <= 1:
            self.tell(ns, ip, pkt, TTL_EXCEEDED, 0, now)
            return self.drop(ns, pkt, DropReason.TTL_EXPIRED)
        mtu = transit_mtu(ip, pkt, route, dev, now)
        # Of IPv6 all packets are so marked. A superframe's segments are what has to fit.
        if pkt.end - pkt.start > mtu and pkt.flags & DONT_FRAGMENT and pkt.longest() > mtu:
            self.tell(ns, ip, pkt, TOO_BIG, mtu, now)
            ns.stats[ip.codec.frag_fails] += 1
            return self.drop(ns, pkt, DropReason.PKT_TOO_BIG)
        gateway = redirect_gateway(ip, pkt, route, dev) if dev is pkt.iif else -1
        if gateway >= 0 and pkt.family != V4:
            self.redirect(ns, ip, pkt, dev, gateway, now)  # RFC 4861 4.5 quotes what was received, as Linux
        ip.codec.decrement(pkt)
        if gateway >= 0 and pkt.family == V4:
            self.redirect(ns, ip, pkt, dev, gateway, now)
        pkt.oif = dev
        pkt.nexthop = pkt.dst if route.via < 0 else route.via
        pkt.flags |= FORWARDED
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.FORWARD, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if pkt.flags & IP_OPTIONS and pkt.family == V4:
            options_output(pkt, ip.select_source(dev, pkt.nexthop), now, ip.owners)
        ns.stats[ip.codec.forw] += 1
        return self.send(ns, ip, pkt, dev, mtu, now, group=route.type == fib.BROADCAST)

    def redirect(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, gateway: int, now: int) -> None:
        """Tell the sender of a packet that leaves by the device it came in by of the better first hop (RFC 1812
        5.2.7.2, RFC 4861 8.2)."""
        if pkt.family == V4:
            return self.tell(ns, ip, pkt, REDIRECT, gateway, now)
        source = ns.ndp.link_local_source(dev)
        if source and self.may_redirect(ip, pkt, now):
            self.originate_message(ns, ip, build_redirect(ns, dev, as_on_the_wire(pkt), gateway, source), now)
        return None

    def deliver(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """Reassembly, INPUT, and the transport protocol."""
        if pkt.flags & FRAGMENT:
            whole = self.reassemble(ns, ip, pkt, now)
            if whole is None:
                return
            pkt = whole
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.INPUT, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        codec = ip.codec
        if pkt.flags & IP_OPTIONS:
            reason, kind, info = codec.destination(ip, pkt)
            if reason:
                if kind >= 0:
                    self.tell(ns, ip, pkt, kind, info, now)
                return self.drop(ns, pkt, reason)
        ns.stats[codec.delivers] += 1
        heard = ns.raw_tables is not None and raw_input(ns, pkt)
        proto = pkt.proto
        if proto == PROTO_TCP:
            reason = tcp_input(ns, pkt, now)
            if reason:
                self.drop(ns, pkt, reason)
            tcp = ns._tcp_state
            if tcp is not None and tcp.outbox:
                self.send_segments(ns, tcp, now)
        elif proto == PROTO_UDP:
            if pkt.gso_size:
                return self.datagrams(ns, ip, pkt, now)
            reason = udp_input(ns, pkt, now)
            tables = ns._groups
            if tables is not None and tables.mdns is not None and reason in _UDP_FINE:
                if self.reflect(ns, ip, pkt, tables.mdns, now) and reason == _NO_SOCKET:
                    ns.stats[_CONSUMED] += 1
                    return None
            if reason:
                if reason == _NO_SOCKET:
                    self.tell(ns, ip, pkt, PORT_UNREACHABLE, 0, now)
                self.drop(ns, pkt, reason)
        elif proto == codec.icmp_proto:
            self.icmp_input(ns, ip, pkt, now)
        elif proto == PROTO_IGMP and ip.family == V4:
            self.membership_input(ns, pkt, now)
        elif proto == codec.empty_proto:
            ns.stats[_CONSUMED] += 1  # RFC 8200 4.7
        elif heard:
            ns.stats[_CONSUMED] += 1
        else:
            self.tell(ns, ip, pkt, PROTO_UNREACHABLE, codec.proto_at(pkt), now)
            self.drop(ns, pkt, DropReason.IP_NOPROTO)

    def datagrams(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """A superframe of UDP for us: sockets read the datagrams that it stands for, one by one."""
        pieces = segment(pkt, sealed=False)
        ns.stats[_CONSUMED] += 1
        ns.stats[_FRAGMENTS] += len(pieces)
        for piece in pieces:
            reason = udp_input(ns, piece, now)
            if reason:
                if reason == _NO_SOCKET:
                    self.tell(ns, ip, piece, PORT_UNREACHABLE, 0, now)
                self.drop(ns, piece, reason)

    def reassemble(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> Packet | None:
        """The whole datagram when this was the missing piece; otherwise the fragment is kept, or dropped."""
        reason, kind, info = ip.codec.fragment_input(ip, pkt)
        if reason:
            if kind >= 0:
                self.tell(ns, ip, pkt, kind, info, now)
            self.drop(ns, pkt, reason)
            return None
        table = ns.reassembler(ip)
        # Namespaces that cross into this one may use the same addresses, now or after one another: the short-cuts by
        # which a piece came (the objects, not their names) are part of what it belongs to.
        key, offset, more = ip.codec.fragment_key(pkt)
        ns.stats[ip.codec.reasm_reqds] += 1
        verdict = table.input(key, pkt, offset, more, now)
        self.settle_reassembly(ns, ip, now)
        if isinstance(verdict, Packet):
            ns.stats[ip.codec.reasm_oks] += 1
            return verdict
        if verdict > 0:
            self.drop(ns, pkt, verdict)
        return None

    def icmp_input(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """ICMP for us: answered, passed to the sockets it is about, or dropped."""
        verdict = ip.codec.icmp_input(ip, pkt, now)
        if isinstance(verdict, int):
            if verdict:
                ns.stats[ip.codec.in_errors] += verdict != DropReason.ICMP_IGNORED
                return self.drop(ns, pkt, verdict)
        elif isinstance(verdict, Packet):
            options = ip.codec.reply_options(pkt) if pkt.flags & IP_OPTIONS else b""
            self.reply(ns, ip, verdict, now, tos=ip.codec.tos(pkt), options=options)
        elif verdict == NDP:
            return self.ndp_input(ns, pkt, now)
        elif verdict == MLD:
            return self.membership_input(ns, pkt, now)
        elif isinstance(verdict, ErrorNews):
            self.news(ns, ip, pkt, verdict, now)
        else:
            assert verdict == ECHO_REPLY
            reason = ping_input(ns, pkt, now)
            if reason:
                self.drop(ns, pkt, reason)
            return None
        ns.stats[_CONSUMED] += 1
        return None

    def ndp_input(self, ns: Netns, pkt: Packet, now: int) -> None:
        """Neighbour discovery: answered, learnt from, and consumed."""
        dev = pkt.iif
        if dev is None or dev.kind in ("lo", "crossing"):
            return self.drop(ns, pkt, DropReason.NDP_INVALID)
        reason, messages = ns.ndp.input(dev, pkt, now)
        if reason:
            self.drop(ns, pkt, reason)
        else:
            ns.stats[_CONSUMED] += 1
        for message in messages:
            self.originate_message(ns, ns.ip6, message, now)
        return self.settle(ns, now)

    def news(self, ns: Netns, ip: IpState, pkt: Packet, news: ErrorNews, now: int) -> None:
        """An ICMP error about a packet of ours: the path learns, the socket is told."""
        quoted = news.quoted
        codec = ip.codec
        if (news.type, 1) == codec.errors[REDIRECT]:
            if redirect_target(ip, pkt, news):
                ip.learn_gateway(quoted.dst, news.info, now)
            return
        info, is_too_big = news.info, (news.type, news.code) == codec.errors[TOO_BIG]
        if is_too_big and ns.conf.ip_no_pmtu_disc and ip.family == V4:
            if ns.conf.ip_no_pmtu_disc == _NO_PMTU_BUT_TOLD:
                info = 0  # whatever it says
            elif ns.conf.ip_no_pmtu_disc != _NO_PMTU_BUT_VERIFIED or quoted.proto != PROTO_TCP:
                return
        tell = _TELL.get(quoted.proto) or (ping_error if quoted.proto == codec.icmp_proto else None)
        known = tell is not None and tell(ns, quoted, news.type, news.code, info, now, pkt.src, ip.family)
        if ns.raw_tables is not None:
            known |= raw_error(ns, pkt, quoted, news.type, news.code, info)
        tcp = ns._tcp_state
        if tcp is not None and tcp.outbox:
            self.send_segments(ns, tcp, now)
        if is_too_big and (known or ip.is_answer(quoted)):
            ip.learn_mtu(quoted.dst, info, now)  # RFC 5927 7.1, RFC 8201 4: only about what was sent from here
