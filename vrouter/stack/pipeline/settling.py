"""What the tables of a namespace decided outside of a packet's way is carried out here: timers, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l3.kinds import REASSEMBLY_EXCEEDED
from vrouter.stack.pipeline.outward import Outward

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

_ABSORBED: Final = int(Stat.AcctAbsorbed)


class Settling(Outward):
    """Empties the lists of actions."""

    __slots__ = ()

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

    def settle_reassembly(self, ns: Netns, ip: IpState, now: int) -> None:
        """Account for fragments that became part of a datagram, and end those that never will."""
        table = ns.reassembler(ip)
        ns.stats[_ABSORBED] += table.take_absorbed()
        actions, table.actions = table.actions, []
        for kind, pkt, reason in actions:
            if kind == "expired":  # RFC 792: the first fragment is there, so its sender can be told
                self.tell(ns, ip, pkt, REASSEMBLY_EXCEEDED, 0, now)
            self.drop(ns, pkt, reason)
