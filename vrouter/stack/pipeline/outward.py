"""Out: what is made here, what is told to senders, and the way by a route to a device. And the one place that drops."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import is_multicast4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import IS_EGRESS, DropReason
from vrouter.stack.base.packet import (
    CONFIRM,
    DONT_FRAGMENT,
    FORWARDED,
    LOCAL_OUT,
    Packet,
)
from vrouter.stack.crossing import MAX_CROSSINGS, Crossing
from vrouter.stack.egress import WORK_CROSS, WORK_LOCAL, Work, transmit
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l2.arp import solicit
from vrouter.stack.l2.ethernet import ethernet_output
from vrouter.stack.l3 import fib
from vrouter.stack.l3.fragment import fragment
from vrouter.stack.l3.icmp import count_output
from vrouter.stack.l3.icmp_error import IcmpLimiter, error_source, error_tos, may_answer, quote
from vrouter.stack.l3.options import options_output
from vrouter.stack.l3.output import push_ipv4
from vrouter.stack.l3.route import (
    NO_SOURCE,
    Refusal,
    route_output,
)
from vrouter.stack.l4.membership import is_member
from vrouter.stack.wire import icmp
from vrouter.stack.wire.ethernet import BROADCAST, multicast_mac4

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.neighbour import NeighTable
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns
    from vrouter.stack.stack import Stack

# Members of an IntEnum are looked up slowly: the path uses plain numbers.
_OUT_REQUESTS: Final = int(Stat.IpOutRequests)
_ORIGINATED: Final = int(Stat.AcctOriginated)
_COPIES: Final = int(Stat.AcctCopies)
_FRAGMENTS: Final = int(Stat.AcctFragments)
_CONSUMED: Final = int(Stat.AcctConsumed)
_CROSSED_IN: Final = int(Stat.AcctCrossedIn)
_CROSSED_OUT: Final = int(Stat.AcctCrossedOut)
_CROSS: Final = fib.CROSS


class Outward:
    """The way out of a namespace; what one call has under way."""

    __slots__ = ("egress", "stack", "work")

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.work: deque[Work] = deque()
        self.egress: list[tuple[Device, bytearray]] = []

    def drop(self, ns: Netns, pkt: Packet, reason: DropReason | int) -> None:
        """The one place where packets die: counted at the device by which it was leaving or had come, or at its
        namespace, when it has no device or that has left it while the packet waited."""
        pkt.reason = reason
        port = pkt.oif if IS_EGRESS[reason] else pkt.iif
        if port is None or port.removed or port.ns is not ns:
            ns.drops[reason] += 1
        else:
            port.count_drop(reason)

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

    def originate_frame(self, ns: Netns, pkt: Packet, now: int) -> None:
        """Send a complete frame made by layer 2."""
        dev = pkt.oif
        assert dev is not None
        ns.stats[_ORIGINATED] += 1
        reason = transmit(dev, pkt, now, self.egress, self.work) if dev.ready else int(DropReason.TX_DEV_READY)
        if reason:
            self.drop(ns, pkt, reason)
