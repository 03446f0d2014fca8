"""The packet's way, top to bottom. The one file that names every layer.

Each step asks a layer what is to happen and carries it out; no layer calls another. A refused packet ends in `drop`,
and nowhere else. What would be a recursion (a veth's peer, ``lo``, a short-cut) becomes work, done in order by `run`,
so a packet's way through many namespaces takes no stack and ends: every crossing is counted, every hop costs TTL.

::

    frame_input ─► arp_input
                └► ip_input ─► route ─┬► deliver ─► icmp | udp
                                      ├► forward ─┐
                                      ├► cross ───┼──────► route of the target
                                      └► refuse   │
    socket_output ─► output ──────────────────────┴► send ─► neighbour ─► transmit
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from vrouter.stack.base.addresses import BROADCAST4, is_link_local4, is_multicast4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import IS_EGRESS, DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import (
    CONFIRM,
    DONT_FRAGMENT,
    FORWARDED,
    FRAGMENT,
    IP_OPTIONS,
    LINK_GROUP,
    LOCAL_OUT,
    Packet,
)
from vrouter.stack.crossing import MAX_CROSSINGS, Crossing
from vrouter.stack.egress import WORK_CROSS, WORK_FRAME, WORK_LOCAL, WORK_LOOP, Work, transmit, watch_ingress
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l2.arp import arp_input, solicit
from vrouter.stack.l2.ethernet import ethernet_input, ethernet_output
from vrouter.stack.l2.vnet import vnet_input
from vrouter.stack.l3 import fib
from vrouter.stack.l3.forward import broadcasts, decrement, exceeds_mtu, forwards, redirect_gateway
from vrouter.stack.l3.fragment import fragment
from vrouter.stack.l3.icmp import ECHO_REPLY, ErrorNews, count_output, icmp_input, redirect_target
from vrouter.stack.l3.icmp_error import IcmpLimiter, error_source, error_tos, may_answer, quote
from vrouter.stack.l3.input import crossing_input, group_input, ipv4_input, martian_input
from vrouter.stack.l3.options import options_input, options_output, reply_options
from vrouter.stack.l3.output import push_ipv4
from vrouter.stack.l3.route import (
    NO_FORWARDING,
    NO_ROUTE,
    NO_SOURCE,
    REFUSALS,
    Refusal,
    route_output,
)
from vrouter.stack.l4.icmp import ping_error, ping_input
from vrouter.stack.l4.membership import is_member
from vrouter.stack.l4.udp import udp_error, udp_input
from vrouter.stack.wire import icmp, ipv4
from vrouter.stack.wire.ethernet import BROADCAST, ETHERTYPE_ARP, ETHERTYPE_IPV4, multicast_mac4
from vrouter.stack.wire.ipv4 import MAX_PACKET

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.neighbour import NeighTable
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns
    from vrouter.stack.stack import Stack

# Members of an IntEnum are looked up slowly: the path uses plain numbers.
_IN_RECEIVES: Final = int(Stat.IpInReceives)
_FORW: Final = int(Stat.IpForwDatagrams)
_DELIVERS: Final = int(Stat.IpInDelivers)
_OUT_REQUESTS: Final = int(Stat.IpOutRequests)
_ORIGINATED: Final = int(Stat.AcctOriginated)
_COPIES: Final = int(Stat.AcctCopies)
_FRAGMENTS: Final = int(Stat.AcctFragments)
_CONSUMED: Final = int(Stat.AcctConsumed)
_ABSORBED: Final = int(Stat.AcctAbsorbed)
_CROSSED_IN: Final = int(Stat.AcctCrossedIn)
_CROSSED_OUT: Final = int(Stat.AcctCrossedOut)
_NO_SOCKET: Final = int(DropReason.NO_SOCKET)
_FORWARD, _DELIVER, _CROSS = fib.FORWARD, fib.DELIVER, fib.CROSS


class Pipeline:
    """Carries packets of all namespaces of one stack. Has no state but what is under way within one call."""

    __slots__ = ("egress", "stack", "work")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work: deque[Work] = deque()
        self.egress: list[tuple[Device, bytearray]] = []

    def run(self, now: int) -> None:
        """Do what is waiting, in order, and what comes of it."""
        work = self.work
        while work:
            kind, where, pkt = work.popleft()
            if kind == WORK_FRAME:
                self.frame_input(cast("Device", where), pkt, now)
            elif kind == WORK_LOOP:
                self.loop_input(cast("Device", where), pkt, now)
            else:
                ns = cast("Netns", where)
                step = self.cross_input if kind == WORK_CROSS else self.deliver
                step(ns, ns.ip4, pkt, now)

    # -- in by a device -----------------------------------------------------------------------------------------------

    def frame_input(self, dev: Device, pkt: Packet, now: int) -> None:
        """A frame from a wire or a veth's peer."""
        ns = dev.ns
        pkt.iif = dev
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        if not dev.ready:
            return self.not_ready(dev, pkt)
        if dev.captures:
            watch_ingress(dev, pkt, now)
        reason = ethernet_input(dev, pkt)
        if reason:
            return self.drop(ns, pkt, reason)
        if pkt.ethertype == ETHERTYPE_IPV4:
            return self.ip_input(ns, ns.ip4, pkt, dev, now)
        if pkt.ethertype == ETHERTYPE_ARP:
            return self.arp_input(ns, dev, pkt, now)
        return self.drop(ns, pkt, DropReason.UNHANDLED_PROTO)

    def not_ready(self, dev: Device, pkt: Packet) -> None:
        """A frame at a device that is down, or that has left its namespace and has nobody to count it."""
        if dev.removed:
            dev.rx_packets -= 1
            self.stack.unmapped += 1
            self.stack.drops[DropReason.NS_CLOSING] += 1
        else:
            self.drop(dev.ns, pkt, DropReason.DEV_READY)

    def vnet_input(self, dev: Device, frame: Any, now: int) -> None:
        """A frame with a virtio-net header in front, as `Device.vnet_hdr` says."""
        pkt = Packet.from_frame(frame)
        if vnet_input(dev, pkt) or not dev.ready:
            return self.frame_input(dev, pkt, now)
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        pkt.iif = dev
        return self.drop(dev.ns, pkt, DropReason.VNET_HDR)

    def loop_input(self, dev: Device, pkt: Packet, now: int) -> None:
        """An IP packet that goes around through ``lo``."""
        pkt.iif = dev
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        if not dev.ready:
            return self.drop(dev.ns, pkt, DropReason.DEV_READY)
        if dev.captures:
            watch_ingress(dev, pkt, now)
        return self.ip_input(dev.ns, dev.ns.ip4, pkt, dev, now)

    def cross_input(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """An IP packet that another namespace handed over: it stands at the routing decision."""
        reason = crossing_input(ip, pkt)
        if reason:
            return self.drop(ns, pkt, reason)
        return self.route(ns, ip, pkt, now)

    def arp_input(self, ns: Netns, dev: Device, pkt: Packet, now: int) -> None:
        """ARP is answered, learnt from, and consumed."""
        if not dev.with_arp:
            return self.drop(ns, pkt, DropReason.UNHANDLED_PROTO)
        reason, reply = arp_input(ns, dev, pkt, now)
        if reason:
            self.drop(ns, pkt, reason)
        else:
            ns.stats[_CONSUMED] += 1
        if reply is not None:
            self.originate_frame(ns, reply, now)
        self.settle(ns, now)

    def ip_input(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, now: int) -> None:
        """Header checks, martians, PREROUTING."""
        ns.stats[_IN_RECEIVES] += 1
        reason = ipv4_input(pkt) or martian_input(ip, pkt, dev)
        if reason:
            return self.drop(ns, pkt, reason)
        if pkt.flags & IP_OPTIONS:
            reason, pointer = options_input(pkt)
            if reason:
                if pointer >= 0:
                    self.tell(ns, ip, pkt, icmp.PARAMETER_PROBLEM, 0, pointer << 24, now)
                return self.drop(ns, pkt, reason)
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.PREROUTING, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        return self.route(ns, ip, pkt, now)

    # -- the routing decision -----------------------------------------------------------------------------------------

    def route(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """Deliver, forward, cross, or refuse."""
        dst = pkt.dst
        if dst >= 0xE0000000 and (dst == BROADCAST4 or is_multicast4(dst)):
            return self.group(ns, ip, pkt, now)
        route = ip.local.lookup(dst) or ip.main.lookup(dst)
        if pkt.flags & LINK_GROUP and (route is None or route.type != fib.BROADCAST):
            return self.drop(ns, pkt, group_input(pkt))
        if route is None:
            return self.refuse(ns, ip, pkt, NO_ROUTE if forwards(ns, pkt) else NO_FORWARDING, now)
        action = route.action
        if action == _DELIVER:
            if route.type == fib.BROADCAST:
                ns.stats[Stat.IpInBcastPkts] += 1
                if broadcasts(pkt, route):
                    return self.forward(ns, ip, pkt, route, now)
            return self.deliver(ns, ip, pkt, now)
        if not forwards(ns, pkt):
            return self.refuse(ns, ip, pkt, NO_FORWARDING, now)
        if is_link_local4(dst) or is_link_local4(pkt.src):
            return self.drop(ns, pkt, DropReason.FORWARD_LINK_LOCAL)  # RFC 3927 2.6.2, 7
        if action == _FORWARD and route.dev is not ns.lo:  # by lo it would come round until its TTL is used up
            return self.forward(ns, ip, pkt, route, now)
        if action == _CROSS:
            return self.cross(ns, ip, pkt, route, now)
        return self.refuse(ns, ip, pkt, REFUSALS.get(route.type, NO_ROUTE), now)

    def group(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """To everybody on the link (RFC 1812 5.3.5.1: never forwarded), or to a multicast group."""
        dst = pkt.dst
        if is_multicast4(dst):
            ns.stats[Stat.IpInMcastPkts] += 1
            if not is_member(ns, dst, pkt.iif):
                return self.drop(ns, pkt, DropReason.MCAST_NO_INTEREST)
        else:
            ns.stats[Stat.IpInBcastPkts] += 1
        return self.deliver(ns, ip, pkt, now)

    def refuse(self, ns: Netns, ip: IpState, pkt: Packet, refusal: Refusal, now: int) -> None:
        """The packet ends here, and its sender may be told."""
        if refusal.code >= 0:
            self.tell(ns, ip, pkt, icmp.DEST_UNREACHABLE, refusal.code, 0, now)
        self.drop(ns, pkt, refusal.reason)

    # -- for this namespace -------------------------------------------------------------------------------------------

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
        if pkt.flags & IP_OPTIONS:  # RFC 1812 4.2.2.1: recorded on receipt too, with the address it was sent to
            came_by = None if pkt.iif is None or pkt.iif.kind == "crossing" else pkt.iif
            address = pkt.dst if ip.is_local(pkt.dst) else ip.select_source(came_by, pkt.src)
            options_output(pkt, address, now, ip.owners)
        ns.stats[_DELIVERS] += 1
        proto = pkt.proto
        if proto == ipv4.PROTO_UDP:
            reason = udp_input(ns, pkt, now)
            if reason:
                if reason == _NO_SOCKET:
                    self.tell(ns, ip, pkt, icmp.DEST_UNREACHABLE, icmp.PORT_UNREACHABLE, 0, now)
                self.drop(ns, pkt, reason)
        elif proto == ipv4.PROTO_ICMP:
            self.icmp_input(ns, ip, pkt, now)
        else:
            self.tell(ns, ip, pkt, icmp.DEST_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, 0, now)
            self.drop(ns, pkt, DropReason.IP_NOPROTO)

    def reassemble(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> Packet | None:
        """The whole datagram when this was the missing piece; otherwise the fragment is kept, or dropped."""
        table = ns.reassembler(ip)
        word = ipv4.flags_fragment(pkt.buf, pkt.l3)
        # Namespaces that cross into this one may use the same addresses, now or after one another: the short-cuts by
        # which a piece came (the objects, not their names) are part of what it belongs to.
        key = (pkt.src, pkt.dst, pkt.proto, ipv4.ident(pkt.buf, pkt.l3), pkt.origin)
        ns.stats[Stat.IpReasmReqds] += 1
        verdict = table.input(key, pkt, (word & ipv4.OFFSET_MASK) << 3, bool(word & ipv4.MF), now)
        self.settle_reassembly(ns, ip, now)
        if isinstance(verdict, Packet):
            ns.stats[Stat.IpReasmOKs] += 1
            return verdict
        if verdict > 0:
            self.drop(ns, pkt, verdict)
        return None

    def icmp_input(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """ICMP for us: answered, passed to the sockets it is about, or dropped."""
        verdict = icmp_input(ip, pkt, now)
        if isinstance(verdict, int):
            if verdict:
                ns.stats[Stat.IcmpInErrors] += verdict != DropReason.ICMP_IGNORED
                return self.drop(ns, pkt, verdict)
        elif isinstance(verdict, Packet):
            options = reply_options(pkt) if pkt.flags & IP_OPTIONS else b""
            self.reply(ns, ip, verdict, now, tos=pkt.buf[pkt.l3 + 1], options=options)
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

    def news(self, ns: Netns, ip: IpState, pkt: Packet, news: ErrorNews, now: int) -> None:
        """An ICMP error about a packet of ours: the path learns, the socket is told."""
        quoted = news.quoted
        if news.type == icmp.REDIRECT:
            if redirect_target(ip, pkt, news):
                ip.learn_gateway(quoted.dst, news.info, now)
            return
        tell = udp_error if quoted.proto == ipv4.PROTO_UDP else ping_error if quoted.proto == ipv4.PROTO_ICMP else None
        known = tell is not None and tell(ns, quoted, news.type, news.code, news.info, now, pkt.src)
        if known and news.type == icmp.DEST_UNREACHABLE and news.code == icmp.FRAGMENTATION_NEEDED:
            ip.learn_mtu(quoted.dst, news.info, now)  # RFC 5927 7.1: only about what a socket here sent

    # -- for others ---------------------------------------------------------------------------------------------------

    def forward(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """RFC 1812 5.2.1.2: TTL, MTU, redirect, FORWARD, out."""
        dev = route.dev
        assert dev is not None
        if pkt.ttl <= 1:
            self.tell(ns, ip, pkt, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, 0, now)
            return self.drop(ns, pkt, DropReason.TTL_EXPIRED)
        mtu = exceeds_mtu(pkt, route, dev)
        if mtu:
            self.tell(ns, ip, pkt, icmp.DEST_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, mtu, now)
            ns.stats[Stat.IpFragFails] += 1
            return self.drop(ns, pkt, DropReason.PKT_TOO_BIG)
        decrement(pkt)
        if dev is pkt.iif:
            gateway = redirect_gateway(ip, pkt, route, dev)
            if gateway >= 0:
                self.tell(ns, ip, pkt, icmp.REDIRECT, icmp.REDIRECT_HOST, gateway, now)
        pkt.oif = dev
        pkt.nexthop = pkt.dst if route.via < 0 else route.via
        pkt.flags |= FORWARDED
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.FORWARD, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if pkt.flags & IP_OPTIONS:
            options_output(pkt, ip.select_source(dev, pkt.nexthop), now, ip.owners)
        ns.stats[_FORW] += 1
        return self.send(ns, ip, pkt, dev, route.mtu or dev.mtu, now, group=route.type == fib.BROADCAST)

    def cross(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """The route short-cut: the packet goes on at the routing decision of the target. No hop, so no TTL."""
        crossing: Crossing = route.crossing
        target = crossing.target
        if target is None or not crossing.accepted:
            crossing.denied += 1
            self.tell(ns, ip, pkt, icmp.DEST_UNREACHABLE, icmp.COMM_PROHIBITED, 0, now)
            return self.drop(ns, pkt, DropReason.CROSSING_DENIED)
        if pkt.crossings >= MAX_CROSSINGS:
            return self.drop(ns, pkt, DropReason.CROSSING_LOOP)
        pkt.crossings += 1
        crossing.packets += 1
        crossing.bytes += pkt.end - pkt.start
        ns.stats[_CROSSED_OUT] += 1
        target.stats[_CROSSED_IN] += 1
        pkt.iif = crossing
        pkt.origin = (*pkt.origin, crossing)
        pkt.oif = pkt.ct = pkt.sock = None
        pkt.flags &= ~LOCAL_OUT
        pkt.mark = 0
        self.work.append((WORK_CROSS, target, pkt))
        return None

    # -- made here ----------------------------------------------------------------------------------------------------

    def socket_output(
        self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int, ttl: int, tos: int, dont_fragment: bool
    ) -> None:
        """A socket sends a segment by `route`; OSError EMSGSIZE when it may not be cut and is too large."""
        size = pkt.end - pkt.start + 20
        if size > (ip.path_mtu(route, pkt.dst, now) if dont_fragment else MAX_PACKET):
            raise os_error(errno.EMSGSIZE)
        ns.stats[_ORIGINATED] += 1
        push_ipv4(ip, pkt, ns.conf.ip_default_ttl if ttl < 0 else ttl, tos, dont_fragment)
        self.output(ns, ip, pkt, route, now)
        self.run(now)

    def output(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """OUTPUT, and on by the route. A group's packet also comes back to the sockets here that want it."""
        ns.stats[_OUT_REQUESTS] += 1
        dev = route.dev
        pkt.oif = dev
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.OUTPUT, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if route.action == _CROSS:
            return self.cross(ns, ip, pkt, route, now)
        assert dev is not None
        if route.type == fib.LOCAL:
            pkt.oif = ns.lo
            return self.send(ns, ip, pkt, ns.lo, ns.lo.mtu, now)
        if route.type in (fib.BROADCAST, fib.MULTICAST):
            stat = Stat.IpOutBcastPkts if route.type == fib.BROADCAST else Stat.IpOutMcastPkts
            ns.stats[stat] += 1
            if self.loops(ns, pkt, route, dev):
                copy = pkt.copy()
                copy.iif, copy.oif = dev, None
                ns.stats[_COPIES] += 1
                self.work.append((WORK_LOCAL, ns, copy))
            if route.type == fib.MULTICAST and pkt.ttl == 0:
                ns.stats[_CONSUMED] += 1  # RFC 1112 6.1: TTL 0 stays on this host
                return None
            pkt.nexthop = pkt.dst
            return self.send(ns, ip, pkt, dev, dev.mtu, now, group=True)
        via = ip.first_hop(route, pkt.dst, now)
        pkt.nexthop = pkt.dst if via < 0 else via
        return self.send(ns, ip, pkt, dev, ip.path_mtu(route, pkt.dst, now), now)

    @staticmethod
    def loops(ns: Netns, pkt: Packet, route: Route, dev: Device) -> bool:
        """Whether what is sent to a group is also received here (RFC 1112 6.1: IP_MULTICAST_LOOP)."""
        if dev.kind == "lo":
            return False
        if route.type == fib.BROADCAST:
            return True
        return (pkt.sock is None or pkt.sock.multicast_loop) and is_member(ns, pkt.dst, dev)

    def reply(
        self,
        ns: Netns,
        ip: IpState,
        pkt: Packet,
        now: int,
        *,
        tos: int = 0,
        options: bytes = b"",
    ) -> None:
        """Send an ICMP message made here: it needs a route and a source, like everything."""
        decision = route_output(ip, pkt.dst, pkt.src, None, now)
        ns.stats[_ORIGINATED] += 1
        if isinstance(decision, Refusal):
            lost = decision.reason if decision is NO_SOURCE else DropReason.IP_OUTNOROUTES
            return self.drop(ns, pkt, lost)
        route, source = decision
        if not pkt.src:
            pkt.src = source
        count_output(ns, pkt)
        push_ipv4(ip, pkt, ns.conf.ip_default_ttl, tos, False, options)
        if options:
            options_output(pkt, pkt.src, now, ip.owners, counts_overflow=False)
        return self.output(ns, ip, pkt, route, now)

    def tell(self, ns: Netns, ip: IpState, pkt: Packet, type_: int, code: int, rest: int, now: int) -> None:
        """Send an ICMP error about `pkt` to its sender, if he may be told and the limits allow it."""
        if not may_answer(ip, pkt):
            return
        limiter = ip.limiter
        if limiter is None:
            limiter = ip.limiter = IcmpLimiter()
        if limiter.allow(ip, pkt.src, type_, code, now):
            message = quote(pkt, type_, code, rest)
            message.src = error_source(ip, pkt)
            self.reply(ns, ip, message, now, tos=error_tos(pkt))
        elif type_ != icmp.REDIRECT:  # advice that is not repeated is no loss: the packet itself goes its way
            unsent = Packet.for_payload(b"")
            unsent.iif = pkt.iif
            ns.stats[_ORIGINATED] += 1
            self.drop(ns, unsent, DropReason.ICMP_RATELIMIT)

    # -- out by a device ----------------------------------------------------------------------------------------------

    def send(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, mtu: int, now: int, group: bool = False) -> None:
        """POSTROUTING, and into pieces when the device cannot take it whole."""
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.POSTROUTING, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if pkt.end - pkt.start > mtu:
            if pkt.flags & DONT_FRAGMENT and pkt.flags & FORWARDED:
                return self.drop(ns, pkt, DropReason.PKT_TOO_BIG)
            pieces = fragment(pkt, mtu)
            ns.stats[_CONSUMED] += 1
            ns.stats[_FRAGMENTS] += len(pieces)
            ns.stats[Stat.IpFragOKs] += 1
            ns.stats[Stat.IpFragCreates] += len(pieces)
            for piece in pieces:
                self.neighbour(ns, piece, dev, now, group)
            return None
        return self.neighbour(ns, pkt, dev, now, group)

    def neighbour(self, ns: Netns, pkt: Packet, dev: Device, now: int, group: bool) -> None:
        """The next hop's link address, known or to be found."""
        if not dev.ready:
            return self.drop(ns, pkt, DropReason.TX_DEV_READY)
        if dev.with_arp:
            if group:
                link = multicast_mac4(pkt.dst) if is_multicast4(pkt.dst) else BROADCAST
                ethernet_output(pkt, link + dev.mac, pkt.ethertype)
            else:
                neigh = dev.neigh4.get(pkt.nexthop)
                if neigh is None or now >= neigh.fresh_until:
                    table = ns.neigh4
                    verdict = table.output(dev, pkt.nexthop, pkt, now)
                    if verdict:
                        if verdict > 0:
                            self.drop(ns, pkt, verdict)
                        return self.settle_neighbours(ns, table, now)
                    neigh = dev.neigh4[pkt.nexthop]
                    if table.actions:
                        self.settle_neighbours(ns, table, now)
                else:
                    neigh.used = now
                if pkt.flags & CONFIRM:
                    ns.neigh4.confirm(dev, pkt.nexthop, now)
                ethernet_output(pkt, neigh.header, pkt.ethertype)
        reason = transmit(dev, pkt, now, self.egress, self.work)
        if reason:
            self.drop(ns, pkt, reason)
        return None

    def originate_frame(self, ns: Netns, pkt: Packet, now: int) -> None:
        """Send a complete frame made by layer 2."""
        dev = pkt.oif
        assert dev is not None
        ns.stats[_ORIGINATED] += 1
        reason = transmit(dev, pkt, now, self.egress, self.work) if dev.ready else int(DropReason.TX_DEV_READY)
        if reason:
            self.drop(ns, pkt, reason)

    # -- what the tables want done ------------------------------------------------------------------------------------

    def settle(self, ns: Netns, now: int) -> None:
        """Carry out what the tables of a namespace decided outside of a packet's way (timers, changes)."""
        table = ns._neigh4
        if table is not None and table.actions:
            self.settle_neighbours(ns, table, now)
        if ns._acd is not None:
            for action in ns._acd.take_actions():
                if action[0] == "frame":
                    self.originate_frame(ns, action[1], now)
                elif action[2] == "preferred":
                    ns.ip4.activate(action[1])
                else:
                    ns.ip4.deactivate(action[1])
        if ns.ip4.reassembler is not None and ns.ip4.reassembler.actions:
            self.settle_reassembly(ns, ns.ip4, now)

    def settle_neighbours(self, ns: Netns, table: NeighTable, now: int) -> None:
        """Solicit, send what waited, and tell senders what cannot be sent (RFC 1812 5.2.7.1: host unreachable)."""
        while table.actions:
            actions, table.actions = table.actions, []
            for action in actions:
                if action[0] == "solicit":
                    self.originate_frame(ns, solicit(ns, *action[1:]), now)
                elif action[0] == "send":
                    pkt, neigh = action[1], action[2]
                    ethernet_output(pkt, neigh.header, pkt.ethertype)
                    reason = transmit(neigh.dev, pkt, now, self.egress, self.work)
                    if reason:
                        self.drop(ns, pkt, reason)
                else:
                    pkt, reason = action[1], action[2]
                    if reason == DropReason.NEIGH_FAILED:
                        ns.ip4.gateway_failed(pkt.dst, pkt.nexthop)
                        self.tell(ns, ns.ip4, pkt, icmp.DEST_UNREACHABLE, icmp.HOST_UNREACHABLE, 0, now)
                    self.drop(ns, pkt, reason)

    def settle_reassembly(self, ns: Netns, ip: IpState, now: int) -> None:
        """Account for fragments that became part of a datagram, and end those that never will."""
        table = ns.reassembler(ip)
        ns.stats[_ABSORBED] += table.take_absorbed()
        actions, table.actions = table.actions, []
        for kind, pkt, reason in actions:
            if kind == "expired":  # RFC 792: the first fragment is there, so its sender can be told
                self.tell(ns, ip, pkt, icmp.TIME_EXCEEDED, icmp.REASSEMBLY_EXCEEDED, 0, now)
            self.drop(ns, pkt, reason)

    # -- the end ------------------------------------------------------------------------------------------------------

    def drop(self, ns: Netns, pkt: Packet, reason: DropReason | int) -> None:
        """The one place where packets die: counted at the device by which it was leaving or had come, or at its
        namespace, when it has no device or that has left it while the packet waited."""
        pkt.reason = reason
        port = pkt.oif if IS_EGRESS[reason] else pkt.iif
        if port is None or port.removed or port.ns is not ns:
            ns.drops[reason] += 1
        else:
            port.count_drop(reason)
