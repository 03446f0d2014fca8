"""The routing table: longest prefix match over static and kernel routes of one family.

A lookup takes the longest prefix that holds the destination, among routes of that prefix the one with the lowest
metric (RFC 1812 5.2.4.3: basic match, longest match, best metric), and never a route whose device is not ready (the
local table's excepted: an address is its namespace's whether its device has a carrier or not): it
falls through to the next metric, then to shorter prefixes (RFC 1812 5.3.12.3). A device that comes back brings its
routes back with it (5.3.12.4), for nothing was taken away. Type of service is not considered (5.2.4.3 (3), a SHOULD).

A `Route` says what is done with a packet and never changes; it does not know its prefix, so that the million prefixes
of a full table share the few routes that there are. The routes of one prefix, in order of metric, then of arrival, are
its *way*; nearly all ways have one route. Each way that is in use has a number, and `lpm` finds the numbers, or `_lpm`
where it was compiled (`COMPILED`).

Big tables are loaded and given back in pieces (`load`, `shrink`); a whole table is replaced by putting another `Fib` in
its place. Routes that go from all their prefixes at once (`purge`) are taken out of the ways and not of the prefixes:
from then on nobody finds them, however many prefixes there were. What is left behind is prefixes with a way of no
routes. `sweep` takes those out piece by piece; until then a lookup passes them over.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from vrouter.stack.base.addresses import format_address, format_prefix
from vrouter.stack.l3.lpm import Lpm
from vrouter.stack.l3.ways import Way, Ways

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.multipath import Multipath

INDEX: type[Lpm] = Lpm  # what finds prefixes in a table
try:
    from vrouter.stack.l3._lpm import Lpm as _Compiled
except ImportError:
    pass  # built without
else:
    INDEX = _Compiled
COMPILED: Final = INDEX is not Lpm

# Linux's RTN_ numbers.
UNICAST: Final = 1
LOCAL: Final = 2
BROADCAST: Final = 3
ANYCAST: Final = 4
MULTICAST: Final = 5
BLACKHOLE: Final = 6
UNREACHABLE: Final = 7
PROHIBIT: Final = 8
THROW: Final = 9
TYPE_NAMES: Final[dict[int, str]] = {
    UNICAST: "unicast",
    LOCAL: "local",
    BROADCAST: "broadcast",
    ANYCAST: "anycast",
    MULTICAST: "multicast",
    BLACKHOLE: "blackhole",
    UNREACHABLE: "unreachable",
    PROHIBIT: "prohibit",
    THROW: "throw",
}

TABLE_DEFAULT: Final = 253
TABLE_MAIN: Final = 254
TABLE_LOCAL: Final = 255
TABLE_NAMES: Final[dict[int, str]] = {TABLE_DEFAULT: "default", TABLE_MAIN: "main", TABLE_LOCAL: "local"}

# What the pipeline does with a packet that met a route.
DELIVER: Final = 1
FORWARD: Final = 2
CROSS: Final = 3
REJECT: Final = 4


class Gate(Protocol):
    """What has to be ready for a route to be used."""

    @property
    def ready(self) -> bool: ...


class Always:
    """The gate of routes that wait for no device."""

    ready: Final = True


class Route:
    """What is done with packets to the prefixes that have it. Immutable, and shared by as many prefixes as there are.

    ``via`` and ``src`` are ints of `family`'s width; ``via`` -1 means that the destination itself is the next hop,
    ``src`` 0 that the source is chosen by device, ``mtu`` and ``advmss`` 0 that they are the device's. ``target`` is
    the path of the namespace that a short-cut leads to, ``crossing`` its record. A route of several next hops has them
    in ``nexthops`` and no ``via`` or ``dev`` of its own; ``nhid`` is the number of the next-hop object that it was
    given. Whether it can be used is its ``gate``'s to say: ``gate.ready``.
    """

    __slots__ = (
        "action",
        "advmss",
        "crossing",
        "dev",
        "family",
        "gate",
        "metric",
        "mtu",
        "nexthops",
        "nhid",
        "onlink",
        "proto",
        "scope",
        "src",
        "table",
        "target",
        "type",
        "via",
    )

    def __init__(
        self,
        family: int,
        *,
        type: int = UNICAST,  # noqa: A002 # the field's name in ip(8) and in the record
        table: int = TABLE_MAIN,
        metric: int = 0,
        proto: str = "static",
        scope: str = "global",
        via: int = -1,
        dev: Device | None = None,
        src: int = 0,
        mtu: int = 0,
        advmss: int = 0,
        target: str | None = None,
        crossing: Any = None,
        nexthops: Multipath | None = None,
        onlink: bool = False,
        nhid: int = 0,
    ) -> None:
        self.family = family
        self.type = type
        self.table = table
        self.metric = metric
        self.proto = proto
        self.scope = scope
        self.via = via
        self.dev = dev
        self.src = src
        self.mtu = mtu
        self.advmss = advmss
        self.target = target
        self.crossing = crossing
        self.nexthops = nexthops
        self.onlink = onlink
        self.nhid = nhid
        self.gate: Gate = Always
        if table != TABLE_LOCAL:
            if nexthops is not None:
                self.gate = nexthops
            elif dev is not None:
                self.gate = dev
        if type == UNICAST:
            self.action = FORWARD if target is None else CROSS
        else:
            self.action = REJECT if type in (BLACKHOLE, UNREACHABLE, PROHIBIT, THROW) else DELIVER

    def __repr__(self) -> str:
        return f"<Route {TYPE_NAMES[self.type]} via {self.via} {self.dev} {self.target} metric {self.metric}>"

    def same(self) -> tuple[object, ...]:
        """What two routes have in common when one will do for both."""
        return (
            self.type,
            self.table,
            self.metric,
            self.proto,
            self.scope,
            self.via,
            self.dev,
            self.src,
            self.mtu,
            self.advmss,
            self.target,
            self.crossing,
            self.nexthops,
            self.onlink,
            self.nhid,
        )


def to_record(netns: str, prefix: int, length: int, route: Route) -> dict[str, Any]:
    """The row of ``show routes``; what a route has not is None."""
    family = route.family
    return {
        "netns": netns,
        "to": format_prefix(prefix, length, family),
        "via": None if route.via < 0 else format_address(route.via, family),
        "dev": None if route.dev is None else route.dev.name,
        "target_netns": route.target,
        "type": TYPE_NAMES[route.type],
        "metric": route.metric,
        "table": TABLE_NAMES.get(route.table, str(route.table)),
        "proto": route.proto,
        "scope": route.scope,
        "src": format_address(route.src, family) if route.src else None,
        "mtu": route.mtu or None,
        "advmss": route.advmss or None,
        "onlink": route.onlink,
        "nhid": route.nhid or None,
        "nexthops": None if route.nexthops is None else route.nexthops.to_records(),
    }


_MANY: Final = 1000  # prefixes that are not taken out while everybody waits
_FEW: Final = 64  # prefixes without routes for each that has some, before a table is made anew

Entry: TypeAlias = tuple[int, int, Route]  # prefix, its length, and one of its routes


class Fib(Ways):
    """One table of routes with addresses of `bits` width (32 or 128).

    ``lookup(dst)`` is the route for a packet to `dst`, or None; ``lookup_via(dst, dev)`` the one among those that leave
    by `dev`. ``generation`` grows with every change.
    """

    __slots__ = ("_count", "_dead", "_index", "_leaving", "bits", "generation", "lookup", "lookup_via")

    def __init__(self, bits: int = 32, index: type[Lpm] = INDEX) -> None:
        super().__init__()
        self.bits = bits
        self.generation = 0
        self._count = 0
        self._dead: dict[int, None] = {}  # numbers of ways without routes that prefixes still have
        self._leaving: list[Lpm] = []  # what found prefixes before, to be given back
        self._index = index(bits, self._ways)
        self.lookup: Callable[[int], Route | None] = self._index.lookup
        self.lookup_via: Callable[[int, Device], Route | None] = self._index.lookup_via

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        """Every route with its prefix, in the order of prefix length, prefix, metric, and arrival."""
        index = self._index
        for prefix, length, number in index:
            if index is not self._index:
                return
            for route in self._ways[number]:
                yield prefix, length, route

    def exact(self, prefix: int, length: int) -> list[Route]:
        """The routes of exactly this prefix, best first, those of devices that are not ready included."""
        number = self._index.get(prefix, length)
        return [] if number < 0 else list(self._ways[number])

    def match(self, dst: int) -> Entry | None:
        """What `lookup` finds, with the prefix that it stands under: for people who ask, not for packets."""
        for length in range(self.bits, -1, -1):
            shift = self.bits - length
            prefix = dst >> shift << shift
            for route in self.exact(prefix, length):
                if route.gate.ready:
                    return prefix, length, route
        return None

    def where(self, choose: Callable[[Route], bool]) -> list[Entry]:
        """The routes that `choose` says yes to, with their prefixes, in the table's order."""
        routes = {route for route in self._routes if choose(route)}
        return [
            (prefix, length, route)
            for prefix, length, number in self._having(routes)
            for route in self._ways[number]
            if route in routes
        ]

    def add(self, prefix: int, length: int, route: Route) -> None:
        """Take `route` in; OSError EEXIST when one of the same prefix and metric leads the same way, EINVAL when the
        prefix has host bits or is longer than an address."""
        number = self._numbers.get(route, -1)
        if number < 0:
            number = self._number(route, (route,))
        try:
            there = self._index.insert(prefix, length, number)
            if there < 0:
                self._use(number, prefix << 8 | length)
            elif there in self._dead:
                self._index.replace(prefix, length, number)
                self._use(number, prefix << 8 | length)
                self._bury(there, 1)
            else:
                self._join(prefix, length, route, there)
        finally:
            if not self._uses[number]:
                self._forget(number)
        self._count += 1
        self.generation += 1

    def load(self, entries: Iterable[Entry]) -> list[tuple[int, OSError]]:
        """`add` for many: those that are refused are left out, and returned by their place among `entries` with what
        `add` says. What takes long is to be handed over in pieces."""
        refused: list[tuple[int, OSError]] = []
        at = added = 0
        numbers, uses, places, insert = self._numbers, self._uses, self._places, self._index.insert
        for at, (prefix, length, route) in enumerate(entries):
            number = numbers.get(route, -1)
            try:
                if number >= 0 and uses[number]:
                    if insert(prefix, length, number) < 0:
                        uses[number] += 1
                        places[number] = -1
                        added += 1
                        continue
                self.add(prefix, length, route)
            except OSError as error:
                refused.append((at, error))
        self._count += added
        self.generation += added
        return refused

    def remove(
        self,
        prefix: int,
        length: int,
        *,
        metric: int | None = None,
        via: int | None = None,
        dev: Device | None = None,
        target: str | None = None,
        type: int | None = None,  # noqa: A002 # as in Route
    ) -> Route:
        """Take out the best route of this prefix that fits what is given, and return it; OSError ESRCH for none."""
        for route in self.exact(prefix, length):
            if (
                (metric is None or route.metric == metric)
                and (via is None or route.via == via)
                and (dev is None or route.dev is dev)
                and (target is None or route.target == target)
                and (type is None or route.type == type)
            ):
                self.unlink(prefix, length, route)
                return route
        raise ProcessLookupError(errno.ESRCH, "there is no such route")

    def unlink(self, prefix: int, length: int, route: Route) -> None:
        """Take `route` itself, which is there, out from under a prefix."""
        number = self._index.get(prefix, length)
        left = tuple([other for other in self._ways[number] if other is not route])
        if left:
            self._exchange(prefix, length, number, left)
        else:
            self._index.delete(prefix, length)
            self._release(number)
        self._count -= 1
        self.generation += 1

    def remove_device(self, dev: Device) -> dict[Route, int]:
        """`purge` the routes that leave by `dev`. What has other next hops, too, loses those by `dev` and stays."""
        gone = set(self._by_device.get(dev, ()))
        for route in self._multipaths:
            hops = route.nexthops
            if hops is not None and hops.leaves_by(dev) and hops.forget(dev):
                gone.add(route)
        return self.purge(gone)

    def purge(self, routes: set[Route]) -> dict[Route, int]:
        """Take these routes away from all prefixes, and return how many each had. It takes no longer for many prefixes
        than for few; afterwards `sweep` has to be called until it is done."""
        gone: dict[Route, int] = {}
        numbers = self._numbers_of(routes)
        for number in numbers:
            way, uses = self._ways[number], self._uses[number]
            left = tuple([route for route in way if route not in routes])
            for route in way:
                if route in routes:
                    gone[route] = gone.get(route, 0) + uses
            self._unname(number)
            self._ways[number] = left
            if left:
                self._numbers.setdefault(left[0] if len(left) == 1 else left, number)
            else:
                place = self._places[number]
                if place < 0 or len(numbers) > _MANY:
                    self._dead[number] = None
                else:
                    self._index.delete(place >> 8, place & 0xFF)
                    self._uses[number] = 0
                    self._free.append(number)
            for route in way:
                if route in routes:
                    self._part(route)
        count = sum(gone.values())
        self._count -= count
        self.generation += count
        if self._dead:
            self._start_anew()
        return gone

    def remove_kernel(self, prefix: int, length: int, dev: Device, src: int) -> None:
        """Take out the kernel route that an address `src` of `dev` made, when there is one."""
        for route in self.exact(prefix, length):
            if route.dev is dev and route.src == src and route.proto == "kernel":
                self.unlink(prefix, length, route)
                return

    def sweep(self, budget: int) -> bool:
        """Take out some of the prefixes that have no routes any more; whether none is left. A `budget` of a thousand
        takes a fraction of a ms."""
        if self._leaving:
            if self._leaving[-1].shrink(budget):
                self._leaving.pop()
        elif self._dead:
            for number, count in self._index.sweep(self._dead, budget).items():
                self._bury(number, count)
        return not self._dead and not self._leaving

    def shrink(self, count: int) -> bool:
        """Let go of about `count` prefixes of a table that is out of use; whether nothing is left of it. A big table
        is given back in such pieces, for freeing it at once would take long."""
        self._dead.clear()
        if not self._index.shrink(count):
            return False
        return self.sweep(count)

    def _bury(self, number: int, count: int) -> None:
        """So many prefixes less have a way without routes."""
        self._uses[number] -= count
        if not self._uses[number]:
            del self._dead[number]
            self._free.append(number)

    def _start_anew(self) -> None:
        """When nearly all prefixes are without routes, those that are not move out, for that is less work."""
        dead = sum([self._uses[number] for number in self._dead])
        live = len(self._index) - dead
        if live > dead // _FEW:
            return
        places = [(place, number) for number, place in enumerate(self._places) if self._ways[number]]
        if live != len(places) or any(place < 0 for place, _ in places):
            return
        self._leaving.append(self._index)
        self._index = type(self._index)(self.bits, self._ways)
        self.lookup, self.lookup_via = self._index.lookup, self._index.lookup_via
        for place, number in places:
            self._index.insert(place >> 8, place & 0xFF, number)
        for number in self._dead:
            self._uses[number] = 0
            self._free.append(number)
        self._dead.clear()

    # -- prefixes -------------------------------------------------------------------------------------------------

    def _join(self, prefix: int, length: int, route: Route, number: int) -> None:
        """Take `route` into the way of a prefix that has one."""
        way = self._ways[number]
        at = 0
        for other in way:
            if other.metric > route.metric:
                break
            if other.metric == route.metric and same_way(other, route):
                raise FileExistsError(errno.EEXIST, "there is such a route already")
            at += 1
        self._exchange(prefix, length, number, (*way[:at], route, *way[at:]))

    def _exchange(self, prefix: int, length: int, old: int, way: Way) -> None:
        new = self._number_of(way)
        self._index.replace(prefix, length, new)
        self._use(new, prefix << 8 | length)
        self._release(old)

    def _having(self, routes: set[Route]) -> list[tuple[int, int, int]]:
        """(prefix, length, number) of those whose way has one of `routes`, in the table's order. Looks through the
        table when one of them has, or had, several prefixes."""
        found, scattered = [], set()
        for number in self._numbers_of(routes):
            place = self._places[number]
            if place < 0:
                scattered.add(number)
            else:
                found.append((place >> 8, place & 0xFF, number))
        if scattered:
            count = sum([self._uses[number] for number in scattered])
            found += islice(self._index.find(scattered), count)
        return sorted(found, key=_order)


def _order(found: tuple[int, int, int]) -> tuple[int, int]:
    return found[1], found[0]


def same_way(a: Route, b: Route) -> bool:
    """Whether two routes of one prefix and metric lead the same way, so that there can be but one of them."""
    if a.nexthops is None or b.nexthops is None:
        return a.nexthops is b.nexthops and a.via == b.via and a.dev is b.dev and a.target == b.target
    return [(hop.via, hop.dev) for hop in a.nexthops.hops] == [(hop.via, hop.dev) for hop in b.nexthops.hops]
