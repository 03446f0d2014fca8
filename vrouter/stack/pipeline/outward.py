"""Out: what is made here, what is told to senders, and the way by a route to a device. And the one place that drops."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import IS_EGRESS, DropReason
from vrouter.stack.base.packet import (
    CONFIRM,
    DONT_FRAGMENT,
    FORWARDED,
    LINK_GROUP,
    LOCAL_OUT,
    ROUTER_ALERT,
    Packet,
)
from vrouter.stack.crossing import MAX_CROSSINGS, Crossing
from vrouter.stack.egress import WORK_CROSS, WORK_LOCAL, Work, transmit
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l2.arp import solicit as arp_solicit
from vrouter.stack.l2.ethernet import ethernet_output
from vrouter.stack.l2.ndp_message import is_ndp
from vrouter.stack.l3 import fib
from vrouter.stack.l3.icmp_error import IcmpLimiter
from vrouter.stack.l3.kinds import HOST_UNREACHABLE, PROHIBITED, REDIRECT
from vrouter.stack.l3.options import options_output
from vrouter.stack.l3.route import (
    NO_SOURCE,
    Refusal,
    route_output,
)
from vrouter.stack.l4.membership import is_member
from vrouter.stack.segmentation import as_on_the_wire, finish_checksum, segment
from vrouter.stack.wire import icmpv6

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.neighbour import Neigh, NeighTable
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns
    from vrouter.stack.stack import Stack

# Members of an IntEnum are looked up slowly: the path uses plain numbers.
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

    def output(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """OUTPUT, and on by the route. A group's packet also comes back to the sockets here that want it."""
        codec = ip.codec
        ns.stats[codec.out_requests] += 1
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
            ns.stats[codec.out_bcasts if route.type == fib.BROADCAST else codec.out_mcasts] += 1
            if self.loops(ns, pkt, route, dev):
                copy = pkt.copy()
                copy.iif, copy.oif = dev, None
                ns.stats[_COPIES] += 1
                self.work.append((WORK_LOCAL, ns, copy))
            if route.type == fib.MULTICAST and (pkt.ttl == 0 or (codec.stays_here(pkt.dst) and dev.kind != "lo")):
                ns.stats[_CONSUMED] += 1  # RFC 1112 6.1: TTL 0 stays on this host
                return None
            pkt.nexthop = pkt.dst
            return self.send(ns, ip, pkt, dev, ip.link_mtu(dev), now, group=True)
        via = ip.first_hop(route, pkt.dst, now)
        pkt.nexthop = pkt.dst if via < 0 else via
        return self.send(ns, ip, pkt, dev, ip.path_mtu(route, pkt.dst, now), now)

    def cross(self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int) -> None:
        """The route short-cut: the packet goes on at the routing decision of the target. No hop, so no TTL."""
        self.cross_by(ns, ip, pkt, route.crossing, now)

    def cross_by(self, ns: Netns, ip: IpState, pkt: Packet, crossing: Crossing, now: int) -> None:
        """`cross` by the short-cut itself."""
        target = crossing.target
        if target is None or not crossing.accepted:
            crossing.denied += 1
            self.tell(ns, ip, pkt, PROHIBITED, 0, now)
            return self.drop(ns, pkt, DropReason.CROSSING_DENIED)
        if pkt.crossings >= MAX_CROSSINGS:
            return self.drop(ns, pkt, DropReason.CROSSING_LOOP)
        pkt.crossings += 1
        crossing.packets += pkt.segments()
        crossing.bytes += pkt.wire_bytes()
        ns.stats[_CROSSED_OUT] += 1
        target.stats[_CROSSED_IN] += 1
        pkt.iif = crossing
        pkt.origin = (*pkt.origin, crossing)
        pkt.oif = pkt.ct = pkt.sock = None
        pkt.flags &= ~LOCAL_OUT
        pkt.mark = 0
        self.work.append((WORK_CROSS, target, pkt))
        return None

    @staticmethod
    def loops(ns: Netns, pkt: Packet, route: Route, dev: Device) -> bool:
        """Whether what is sent to a group is also received here (RFC 1112 6.1: IP_MULTICAST_LOOP)."""
        if dev.kind == "lo":
            return False
        if route.type == fib.BROADCAST:
            return True
        return (pkt.sock is None or pkt.sock.loops(pkt.family)) and is_member(ns, pkt.dst, dev, pkt.src)

    def originate_message(self, ns: Netns, ip: IpState, pkt: Packet, now: int) -> None:
        """Send a message of a protocol that belongs to the link: by ``pkt.oif`` to ``pkt.dst``, which is on it."""
        dev = pkt.oif
        assert dev is not None
        codec = ip.codec
        ns.stats[_ORIGINATED] += 1
        if pkt.proto == codec.icmp_proto:
            codec.count_output(ns, pkt)
        tos = codec.link_tos
        if dev.conf6.ndisc_tclass and ip.family != V4 and is_ndp(pkt):
            tos = dev.conf6.ndisc_tclass
        codec.push(ip, pkt, pkt.ttl, tos, False, codec.router_alert if pkt.flags & ROUTER_ALERT else b"")
        ns.stats[codec.out_requests] += 1
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.OUTPUT, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        group = ip.group_floor <= pkt.dst <= ip.group_top
        ns.stats[codec.out_mcasts] += group
        pkt.nexthop = pkt.dst
        return self.send(ns, ip, pkt, dev, dev.mtu, now, group)

    def originate_frame(self, ns: Netns, pkt: Packet, now: int) -> None:
        """Send a complete frame made by layer 2."""
        dev = pkt.oif
        assert dev is not None
        ns.stats[_ORIGINATED] += 1
        reason = transmit(dev, pkt, now, self.egress, self.work) if dev.ready else int(DropReason.TX_DEV_READY)
        if reason:
            self.drop(ns, pkt, reason)

    def send(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, mtu: int, now: int, group: bool = False) -> None:
        """POSTROUTING, and into pieces when the device cannot take it whole."""
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.POSTROUTING, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if pkt.end - pkt.start > mtu and (not pkt.gso_size or pkt.longest() > mtu):
            if pkt.flags & DONT_FRAGMENT and pkt.flags & FORWARDED:
                return self.drop(ns, pkt, DropReason.PKT_TOO_BIG)
            if not pkt.gso_size:
                return self.fragment(ns, ip, pkt, dev, mtu, now, group)
            segments = segment(pkt)
            ns.stats[_CONSUMED] += 1
            ns.stats[_FRAGMENTS] += len(segments)
            for one in segments:
                if one.end - one.start > mtu:
                    self.fragment(ns, ip, one, dev, mtu, now, group)
                else:
                    self.neighbour(ns, ip, one, dev, now, group)
            return None
        return self.neighbour(ns, ip, pkt, dev, now, group)

    def fragment(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, mtu: int, now: int, group: bool) -> None:
        """Send a packet in pieces."""
        if pkt.csum_start >= 0:
            finish_checksum(pkt)
        codec = ip.codec
        pieces = codec.fragment(ip, pkt, mtu)
        ns.stats[_CONSUMED] += 1
        ns.stats[_FRAGMENTS] += len(pieces)
        ns.stats[codec.frag_oks] += 1
        ns.stats[codec.frag_creates] += len(pieces)
        for piece in pieces:
            self.neighbour(ns, ip, piece, dev, now, group)

    def neighbour(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, now: int, group: bool) -> None:
        """The next hop's link address, known or to be found."""
        if not dev.ready:
            return self.drop(ns, pkt, DropReason.TX_DEV_READY)
        if pkt.family != V4 and not dev.with_ipv6:
            return self.drop(ns, pkt, DropReason.IPV6DISABLED)
        if dev.with_arp:
            if group:
                ethernet_output(pkt, ip.codec.link_group(pkt.dst) + dev.mac, pkt.ethertype)
            else:
                known = dev.neigh4 if pkt.family == V4 else dev.neigh6
                neigh = known.get(pkt.nexthop)
                if neigh is None or now >= neigh.fresh_until:
                    table = ip.neighbours
                    verdict = table.output(dev, pkt.nexthop, pkt, now)
                    if verdict:
                        if verdict > 0:
                            self.drop(ns, pkt, verdict)
                        return self.settle_neighbours(ns, table, now)
                    neigh = known[pkt.nexthop]
                    if pkt.flags & CONFIRM:
                        table.confirm(dev, pkt.nexthop, now)
                    if table.actions:
                        self.settle_neighbours(ns, table, now)
                else:
                    neigh.used = now
                ethernet_output(pkt, neigh.header, pkt.ethertype)
        reason = transmit(dev, pkt, now, self.egress, self.work)
        if reason:
            self.drop(ns, pkt, reason)
        return None

    def solicit(self, ns: Netns, neigh: Neigh, unicast: bool, source: int, now: int) -> None:
        """Ask for a neighbour's link address (RFC 826, RFC 4861 7.2.2)."""
        if neigh.family == V4:
            self.originate_frame(ns, arp_solicit(ns, neigh, unicast, source), now)
        else:
            question = ns.ndp.solicit(neigh, unicast, source, now)
            if question is not None:  # else there is no address to ask from
                self.originate_message(ns, ns.ip6, question, now)

    def settle_neighbours(self, ns: Netns, table: NeighTable, now: int) -> None:
        """Solicit, send what waited, and tell senders what cannot be sent (RFC 1812 5.2.7.1: host unreachable)."""
        ip = ns.ip(table.family)
        while table.actions:
            actions, table.actions = table.actions, []
            for action in actions:
                if action[0] == "solicit":
                    self.solicit(ns, action[1], action[2], action[3], now)
                elif action[0] == "send":
                    pkt, neigh = action[1], action[2]
                    ethernet_output(pkt, neigh.header, pkt.ethertype)
                    reason = transmit(neigh.dev, pkt, now, self.egress, self.work)
                    if reason:
                        self.drop(ns, pkt, reason)
                else:
                    pkt, reason = action[1], action[2]
                    if reason == DropReason.NEIGH_FAILED:
                        ip.gateway_failed(pkt.dst, pkt.nexthop)
                        self.tell(ns, ip, pkt, HOST_UNREACHABLE, 0, now)
                    self.drop(ns, pkt, reason)

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
        ip.codec.seal(pkt)
        ip.codec.count_output(ns, pkt)
        ip.codec.push(ip, pkt, ip.default_ttl(route.dev), tos, False, options)
        if options:
            options_output(pkt, pkt.src, now, ip.owners, counts_overflow=False)
        return self.output(ns, ip, pkt, route, now)

    def tell(self, ns: Netns, ip: IpState, pkt: Packet, kind: int, info: int, now: int) -> None:
        """Send the error of `kind` (`l3.codec`) about `pkt` to its sender, if he may be told and limits allow it."""
        codec = ip.codec
        error = codec.errors[kind]
        if error is None or not codec.may_answer(ip, pkt, kind):
            return
        type_, code = error
        if self.limiter(ip).allow(ip, pkt.src, type_, code, now):
            quoted = pkt if pkt.csum_start < 0 else as_on_the_wire(pkt)
            message = codec.quote(quoted, type_, code, codec.rest(kind, info))
            message.src = codec.error_source(ip, pkt)
            self.reply(ns, ip, message, now, tos=codec.error_tos(pkt))
        elif kind != REDIRECT:  # advice that is not repeated is no loss: the packet itself goes its way
            unsent = Packet.for_payload(b"")
            unsent.iif = pkt.iif
            ns.stats[_ORIGINATED] += 1
            self.drop(ns, unsent, DropReason.ICMP_RATELIMIT)

    @staticmethod
    def limiter(ip: IpState) -> IcmpLimiter:
        """How much ICMP is still allowed."""
        if ip.limiter is None:
            ip.limiter = IcmpLimiter(ip.codec.limits)
        return ip.limiter

    def may_redirect(self, ip: IpState, pkt: Packet, now: int) -> bool:
        """Whether the sender of a packet may be redirected now (RFC 4861 8.2: never about what was sent to a group;
        RFC 4443 2.4 (f))."""
        return not pkt.flags & LINK_GROUP and self.limiter(ip).allow(ip, pkt.src, icmpv6.REDIRECT, 0, now)

    def drop(self, ns: Netns, pkt: Packet, reason: DropReason | int) -> None:
        """The one place where packets die: counted at the device by which it was leaving or had come, or at its
        namespace, when it has no device or that has left it while the packet waited."""
        pkt.reason = reason
        count = 1
        if pkt.gso_size:
            count = pkt.segments()
            ns.stats[_FRAGMENTS] += count - 1
        port = pkt.oif if IS_EGRESS[reason] else pkt.iif
        if port is None or port.removed or port.ns is not ns:
            ns.drops[reason] += count
        else:
            port.count_drop(reason, count)
