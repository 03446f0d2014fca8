"""IGMP and MLD proxying (RFC 4605): one device upstream, others downstream, and no routing protocol.

Downstream the proxy is a router: a `querier.Querier` asks and keeps who listens. Upstream it is a host: of each group
the listeners of all devices downstream are merged (RFC 4605 4.1), and that is what it is a member of there; the host's
part of the protocol tells it. `update` says which memberships change.

A packet from upstream goes to the devices downstream where somebody listens to it; one from downstream goes upstream,
and to the other devices downstream where somebody does. To a link downstream it is forwarded only by who is the
querier there (RFC 4605 4.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.group_filter import NOBODY, Filter, merged

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l3.multicast.querier import Querier

Want = tuple[int, int, Filter | None, Filter | None]  # family, group, before, after


class Proxy:
    """The proxy of one namespace. ``wanted`` is what it is a member of upstream."""

    __slots__ = ("downstream", "packets", "upstream", "wanted")

    def __init__(self, upstream: Device, downstream: list[Device]) -> None:
        self.upstream = upstream
        self.downstream = downstream
        self.wanted: dict[tuple[int, int], Filter] = {}  # (family, group)
        self.packets = 0

    def update(self, family: int, group: int, queriers: dict[tuple[Device, int], Querier]) -> Want | None:
        """Somebody's listening downstream has changed: what that changes upstream."""
        found = [queriers[dev, family].groups.get(group) for dev in self.downstream if (dev, family) in queriers]
        state = merged(one.state() for one in found if one is not None)
        after = None if state == NOBODY else state
        before = self.wanted.get((family, group))
        if before == after:
            return None
        if after is None:
            del self.wanted[family, group]
        else:
            self.wanted[family, group] = after
        return family, group, before, after

    def ways(self, pkt: Packet, queriers: dict[tuple[Device, int], Querier], now: int) -> list[Device]:
        """The devices by which a packet goes on."""
        iif = pkt.iif
        if iif is not self.upstream and iif not in self.downstream:
            return []
        found = [] if iif is self.upstream else [self.upstream]
        for dev in self.downstream:
            querier = queriers.get((dev, pkt.family))
            if dev is not iif and querier is not None and querier.is_querier(now):
                one = querier.groups.get(pkt.dst)
                if one is not None and one.admits(pkt.src):
                    found.append(dev)
        return found
