"""The routing tables of one family of one namespace, and the ways to ask them.

`lookup` finds a route as a table has it, `route_in` and `route_out` the one that a packet takes: by the rules when
there are any, and by one of the next hops when the route has several. Without rules the table local is asked, then
main.

The tables default and those with ``throw`` routes need rules to make sense of them: whoever adds such a route calls
`use_rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrouter.stack.base.addresses import V4
from vrouter.stack.l3.fib import TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN, THROW, Fib, Route
from vrouter.stack.l3.multipath import PORTED, FlowKey, Multipath, flow_hash, hash_flow, new_flow_key
from vrouter.stack.l3.rules import RuleSet, bound_lookup

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns


class RoutingTables:
    """The part of an `IpState` that knows the routes. ``tables`` are all of them by number, ``local`` and ``main``
    among them; ``rules`` is None while there are only Linux's default ones."""

    __slots__ = ("_flow_key", "local", "main", "rules", "tables")

    ns: Netns
    family: int
    bits: int

    def clear_tables(self) -> None:
        """Let go of all routes and rules at once."""
        self.local = Fib(self.bits)
        self.main = Fib(self.bits)
        self.tables: dict[int, Fib] = {TABLE_MAIN: self.main, TABLE_LOCAL: self.local}
        self.rules: RuleSet | None = None
        self._flow_key: FlowKey | None = None  # made with the first packet that has a choice

    def lookup(
        self, dst: int, src: int = 0, iif: Any = None, oif: Device | None = None, mark: int = 0, tos: int = 0
    ) -> Route | None:
        """The route to `dst`, as its table has it; what else is given the rules are asked with. `iif` None: the packet
        is made here. `oif`: only routes by this device, or local ones."""
        if self.rules is not None:
            return self.rules.lookup(self, dst, src, iif, oif, mark, tos)
        if oif is None:
            return self.local.lookup(dst) or self.main.lookup(dst)
        return bound_lookup(self.local, TABLE_LOCAL, dst, oif) or self.main.lookup_via(dst, oif)

    def route_in(self, pkt: Packet) -> Route | None:
        """The route of a packet that came in (``src dst iif mark l3 l4 proto`` set), by one of its next hops."""
        dst = pkt.dst
        if self.rules is None:
            route = self.local.lookup(dst) or self.main.lookup(dst)
        else:
            route = self.rules.lookup(self, dst, pkt.src, pkt.iif, None, pkt.mark, self._tos(pkt))
        if route is None or route.nexthops is None:
            return route
        several = route.nexthops
        assert isinstance(several, Multipath)
        return several.pick(flow_hash(pkt, self.hash_policy, self.flow_key), use_neigh=self.use_neigh)

    def route_out(
        self,
        dst: int,
        src: int = 0,
        oif: Device | None = None,
        mark: int = 0,
        tos: int = 0,
        *,
        proto: int = 0,
        sport: int = 0,
        dport: int = 0,
        label: int = 0,
    ) -> Route | None:
        """The route of a packet made here, by one of its next hops: the same one for all packets of a socket."""
        route = self.lookup(dst, src, None, oif, mark, tos)
        if route is None or route.nexthops is None:
            return route
        several = route.nexthops
        assert isinstance(several, Multipath)
        if proto not in PORTED:
            sport = dport = 0
        flow = hash_flow(self.flow_key, self.hash_policy, src, dst, proto, sport, dport, label)
        return several.pick(flow, use_neigh=self.use_neigh)

    @property
    def hash_policy(self) -> int:
        """fib_multipath_hash_policy of the family."""
        conf = self.ns.conf
        return conf.v4.multipath_hash_policy if self.family == V4 else conf.v6.multipath_hash_policy

    @property
    def use_neigh(self) -> bool:
        """fib_multipath_use_neigh, which IPv4 alone has."""
        return self.family == V4 and self.ns.conf.fib_multipath_use_neigh

    @property
    def flow_key(self) -> FlowKey:
        """The secret of this namespace's flow hash."""
        if self._flow_key is None:
            self._flow_key = new_flow_key(self.ns.stack.rng)
        return self._flow_key

    def table(self, number: int) -> Fib:
        """The table with this number, made if need be."""
        found = self.tables.get(number)
        if found is None:
            found = self.tables[number] = Fib(self.bits)
        return found

    def put_table(self, number: int, table: Fib) -> None:
        """Put `table` in the place of the one with this number, between two packets."""
        self.tables[number] = table
        if number == TABLE_MAIN:
            self.main = table

    def review_rules(self) -> None:
        """Many routes are new, or gone: ask the rules from now on, or no more, as these need it."""
        if len(self.tables.get(TABLE_DEFAULT, ())) or any(route.type == THROW for route in self.main.routes()):
            self.use_rules()
        else:
            self.forget_rules()

    def use_rules(self) -> RuleSet:
        """The rules, which from now on are asked."""
        if self.rules is None:
            self.rules = RuleSet(self.family)
        return self.rules

    def forget_rules(self) -> None:
        """Ask the rules no more when they say nothing that a lookup without them would not."""
        if self.rules is None or not self.rules.is_default():
            return
        if not len(self.tables.get(TABLE_DEFAULT, ())) and not any(r.type == THROW for r in self.main.routes()):
            self.rules = None

    def remove_device(self, dev: Device) -> None:
        """Take out the routes that leave by `dev`, of all tables."""
        for table in self.tables.values():
            table.remove_device(dev)
            self.ns.stack.sweeper.sweep(table)

    def release_tables(self) -> None:
        """The namespace ends: what is big is given back piece by piece."""
        for table in self.tables.values():
            self.ns.stack.sweeper.shrink(table)

    def _tos(self, pkt: Packet) -> int:
        buf, l3 = pkt.buf, pkt.l3
        return buf[l3 + 1] if self.family == V4 else (buf[l3] & 15) << 4 | buf[l3 + 1] >> 4
