"""What one namespace keeps of IPv6, where it differs from `ip.IpState`: which routes an address makes, who may have it,
and from which address a packet goes out.

An address makes a route to itself in the local table, one to its prefix in the main table (metric 256, as in Linux),
and the subnet-router anycast address of its prefix (RFC 4291 2.6.1) in the local table: a host passes that one over, a
router answers on it. There is no broadcast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import LOOPBACK6, SCOPE_GLOBAL, SCOPE_LINK, is_host6, mask, scope6
from vrouter.stack.l3.fib import ANYCAST, LOCAL, TABLE_LOCAL, TABLE_MAIN, UNICAST, Entry
from vrouter.stack.l3.ip import IpState
from vrouter.stack.l3.source6 import select_source6

if TYPE_CHECKING:
    from vrouter.stack.device import Address, Device
    from vrouter.stack.l2.neighbour import NeighTable

CONNECTED_METRIC: Final = 256
_ANYCAST_LENGTH: Final = 126  # RFC 6164: on a point-to-point link of /127 there is none


class Ip6State(IpState):
    """IPv6 of one namespace."""

    __slots__ = ("_on_link",)

    def clear(self) -> None:
        """Let go of all addresses and routes at once."""
        super().clear()
        self._on_link: dict[Address, None] = {}  # those whose prefix has its route

    def enter_prefix(self, a: Address) -> None:
        """The route to the prefix of a new address: it is there while the address is still tentative, as in Linux,
        for it says who is on the link, and not who we are."""
        if a.dev.up and a not in self._on_link:
            self._on_link[a] = None
            self._make_routes(a, self._prefix_route_of(a))

    def leave_prefix(self, a: Address) -> None:
        """The address goes, or its device is taken down."""
        if a in self._on_link:
            del self._on_link[a]
            self._drop_routes(a, self._prefix_route_of(a))

    def _forget(self, a: Address) -> None:
        super()._forget(a)
        self.leave_prefix(a)

    @property
    def neighbours(self) -> NeighTable:
        """The next hops of this family."""
        return self.ns.neigh6

    def default_ttl(self, dev: Device | None) -> int:
        """The hop limit of what is sent by `dev` when nobody asks for another (RFC 4861 6.3.4)."""
        return (self.ns.lo if dev is None else dev).conf6.hop_limit

    def link_mtu(self, dev: Device) -> int:
        """The largest packet that `dev` sends: its own MTU, or the smaller one that a router advertised."""
        told = dev.conf6.mtu
        return min(told, dev.mtu) if told else dev.mtu

    def is_broadcast(self, address: int) -> bool:
        """Never: IPv6 has none."""
        return False

    def is_anycast(self, address: int) -> bool:
        """Whether `address` is a subnet-router anycast address of this namespace, and it is a router."""
        return address in self.zeros and self.ns.conf.v6.forwarding and address not in self.owners

    def group_device(self, dst: int) -> Device | None:
        """The device for a packet to a group that names none: the first that is ready (Linux: the first route to
        ff00::/8)."""
        for dev in self.ns.devices.values():
            if dev.ready and dev.kind != "lo" and dev.with_ipv6:
                return dev
        return None

    def select_source(self, dev: Device | None, dst: int) -> int:
        """The source for a packet made here (RFC 6724 5); 0 when there is none."""
        return select_source6(self, dev, dst)

    def deprecate(self, a: Address) -> None:
        """An address whose preferred lifetime is over is used on, but not chosen for what is new (RFC 4862 5.5.4)."""
        a.state = "deprecated"

    def _broadcast_of(self, dev: Device, address: int, length: int) -> int:
        return -1

    def _zero_of(self, a: Address) -> int:
        bits = mask(a.length, self.bits)
        return a.address & bits if a.length <= _ANYCAST_LENGTH and a.dev.kind != "lo" else -1

    def _scope(self, address: int) -> str:
        if address == LOOPBACK6:
            return "host"
        scope = scope6(address)
        return "link" if scope == SCOPE_LINK else "global" if scope == SCOPE_GLOBAL else "site"

    def _is_nobodys(self, address: int, length: int) -> bool:
        return not (is_host6(address) or address == LOOPBACK6) or not 0 < length <= self.bits

    def _prefix_route_of(self, a: Address) -> list[Entry]:
        if a.dev.kind == "lo" or a.length == self.bits or a.origin == "ra":
            return []  # whether an advertised prefix is on the link is said apart (RFC 5942 4)
        network = a.address & mask(a.length, self.bits)
        return [self._kernel_route(a, UNICAST, network, a.length, TABLE_MAIN, "link", CONNECTED_METRIC)]

    def _routes_of(self, a: Address) -> list[Entry]:
        routes = [self._kernel_route(a, LOCAL, a.address, self.bits, TABLE_LOCAL, "host")]
        zero = self._zero_of(a)
        if zero >= 0 and zero != a.address:
            routes.append(self._kernel_route(a, ANYCAST, zero, self.bits, TABLE_LOCAL, "host"))
        return routes
