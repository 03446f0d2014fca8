"""What the tables of a namespace decided outside of a packet's way is carried out here: timers, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4, scoped
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l3.icmp import believes_redirect
from vrouter.stack.l3.ipv6_output import NO_FLOW
from vrouter.stack.l3.kinds import REASSEMBLY_EXCEEDED
from vrouter.stack.l3.route import Refusal, route_output
from vrouter.stack.pipeline.outward import Outward

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.ndp import Ndp
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.l4.tcp.state import TcpState
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.ndp import Redirect

_ABSORBED: Final = int(Stat.AcctAbsorbed)
_ORIGINATED: Final = int(Stat.AcctOriginated)


class Settling(Outward):
    """Empties the lists of actions."""

    __slots__ = ()

    def settle(self, ns: Netns, now: int) -> None:
        """Carry out what the tables of a namespace decided outside of a packet's way (timers, changes)."""
        for table in (ns._neigh4, ns._neigh6):
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
        if ns._ndp is not None and ns._ndp.actions:
            self.settle_ndp(ns, ns._ndp, now)
        for ip in ns.families():
            if ip.reassembler is not None and ip.reassembler.actions:
                self.settle_reassembly(ns, ip, now)
        if ns._tcp_state is not None and ns._tcp_state.outbox:
            self.send_segments(ns, ns._tcp_state, now)

    def send_segments(self, ns: Netns, tcp: TcpState, now: int) -> None:
        """What TCP has to send: by the route that its connection has found, or as an answer that needs one."""
        stats = ns.stats
        while tcp.outbox:
            outbox, tcp.outbox = tcp.outbox, []
            for pkt, route, ttl, tos, dont_fragment, flow_label in outbox:
                ip = ns.ip(pkt.family)
                stats[_ORIGINATED] += 1
                if route is None:
                    decision = route_output(ip, pkt.dst, pkt.src, None, now, mark=pkt.mark, tos=tos, proto=pkt.proto)
                    if isinstance(decision, Refusal):
                        self.drop(ns, pkt, DropReason.IP_OUTNOROUTES)
                        continue
                    route = decision[0]
                if flow_label >= 0 and pkt.family != V4:
                    tos |= (flow_label or NO_FLOW) << 8
                ip.codec.push(ip, pkt, ip.default_ttl(route.dev) if ttl < 0 else ttl, tos, dont_fragment, b"")
                self.output(ns, ip, pkt, route, now)

    def settle_ndp(self, ns: Netns, ndp: Ndp, now: int) -> None:
        """What neighbour discovery wants done; see `l2.ndp` for the actions."""
        while ndp.actions:
            for action in ndp.take_actions():
                kind = action[0]
                if kind == "message":
                    self.originate_message(ns, ns.ip6, action[1], now)
                elif kind == "state":
                    ns.address_state(action[1], action[2])
                elif kind == "redirect":
                    _, dev, source, redirect = action
                    self.redirected6(ns, dev, source, redirect, now)
                else:
                    ns.discovered(action, now)

    def redirected6(self, ns: Netns, dev: Device, source: int, redirect: Redirect, now: int) -> None:
        """A Redirect that is well formed: believed if it came from the present first hop (RFC 4861 8.3)."""
        target = scoped(redirect.target, dev.ifindex)
        destination = scoped(redirect.destination, dev.ifindex)
        if believes_redirect(ns.ip6, dev, source, destination, target):
            ns.ip6.learn_gateway(destination, target, now)
            ns.ndp.redirected(dev, redirect, now)

    def settle_reassembly(self, ns: Netns, ip: IpState, now: int) -> None:
        """Account for fragments that became part of a datagram, and end those that never will."""
        table = ns.reassembler(ip)
        ns.stats[_ABSORBED] += table.take_absorbed()
        actions, table.actions = table.actions, []
        for kind, pkt, reason in actions:
            if kind == "expired":  # RFC 792: the first fragment is there, so its sender can be told
                self.tell(ns, ip, pkt, REASSEMBLY_EXCEEDED, 0, now)
            self.drop(ns, pkt, reason)
