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
its place.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from vrouter.stack.base.addresses import format_address, format_prefix
from vrouter.stack.l3.lpm import Lpm

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


Way: TypeAlias = tuple[Route, ...]
Entry: TypeAlias = tuple[int, int, Route]  # prefix, its length, and one of its routes


class Fib:
    """One table of routes with addresses of `bits` width (32 or 128).

    ``lookup(dst)`` is the route for a packet to `dst`, or None; ``lookup_via(dst, dev)`` the one among those that leave
    by `dev`. ``generation`` grows with every change.
    """

    __slots__ = (
        "_by_device",
        "_by_source",
        "_count",
        "_equal",
        "_free",
        "_index",
        "_multipaths",
        "_numbers",
        "_places",
        "_routes",
        "_uses",
        "_ways",
        "bits",
        "generation",
        "lookup",
        "lookup_via",
    )

    def __init__(self, bits: int = 32, index: type[Lpm] = INDEX) -> None:
        self.bits = bits
        self.generation = 0
        self._count = 0
        # Ways by number; how many prefixes have each, and the one that does (-1: not known, there were several).
        self._ways: list[Way] = []
        self._uses: list[int] = []
        self._places: list[int] = []
        self._free: list[int] = []
        self._numbers: dict[Route | Way, int] = {}  # a way of one route stands here by that
        # Of the routes in use: in how many ways each is, and some by what they have.
        self._routes: dict[Route, int] = {}
        self._equal: dict[tuple[object, ...], Route] = {}
        self._by_device: dict[Device, dict[Route, None]] = {}
        self._multipaths: dict[Route, None] = {}
        self._by_source: dict[int, dict[Route, None]] = {}  # those that were given a preferred source
        self._index = index(bits, self._ways)
        self.lookup: Callable[[int], Route | None] = self._index.lookup
        self.lookup_via: Callable[[int, Device], Route | None] = self._index.lookup_via

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        """Every route with its prefix, in the order of prefix length, prefix, metric, and arrival."""
        for prefix, length, number in self._index:
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

    def routes(self) -> Iterator[Route]:
        """The different routes that are in use, each once."""
        return iter(self._routes)

    def uses(self) -> Iterator[tuple[Route, int]]:
        """Each route with how many prefixes have it: in pieces, one for each way that it is in."""
        for way, count in zip(self._ways, self._uses, strict=True):
            for route in way:
                yield route, count

    def where(self, choose: Callable[[Route], bool]) -> list[Entry]:
        """The routes that `choose` says yes to, with their prefixes, in the table's order."""
        routes = {route for route in self._routes if choose(route)}
        return [
            (prefix, length, route)
            for prefix, length, number in self._having(routes)
            for route in self._ways[number]
            if route in routes
        ]

    def intern(self, route: Route) -> Route:
        """The route of this table that says the same as `route`, or `route` when there is none."""
        return self._equal.get(route.same(), route)

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

    def remove_device(self, dev: Device) -> list[Entry]:
        """Take out the routes that leave by `dev`, in the table's order. What has other next hops, too, loses those by
        `dev` and stays."""
        gone = set(self._by_device.get(dev, ()))
        for route in self._multipaths:
            hops = route.nexthops
            if hops is not None and hops.leaves_by(dev) and hops.forget(dev):
                gone.add(route)
        return self._take(gone)

    def has_source(self, src: int) -> bool:
        """Whether a route was given the preferred source `src`."""
        return src in self._by_source

    def remove_source(self, src: int) -> list[Entry]:
        """Take out the routes that were given the preferred source `src`; kernel routes stay."""
        return self._take(self._by_source.get(src, ()))

    def remove_kernel(self, prefix: int, length: int, dev: Device, src: int) -> None:
        """Take out the kernel route that an address `src` of `dev` made, when there is one."""
        for route in self.exact(prefix, length):
            if route.dev is dev and route.src == src and route.proto == "kernel":
                self.unlink(prefix, length, route)
                return

    def shrink(self, count: int) -> bool:
        """Let go of about `count` prefixes of a table that is out of use; whether nothing is left of it. A big table
        is given back in such pieces, for freeing it at once would take long."""
        return self._index.shrink(count)

    # -- ways -----------------------------------------------------------------------------------------------------

    def _number(self, key: Route | Way, way: Way) -> int:
        """A number for a way that has none."""
        if self._free:
            number = self._free.pop()
            self._ways[number] = way
        else:
            number = len(self._ways)
            self._ways.append(way)
            self._uses.append(0)
            self._places.append(-1)
        self._numbers[key] = number
        for route in way:
            count = self._routes.get(route, 0)
            self._routes[route] = count + 1
            if not count:
                self._enter(route)
        return number

    def _number_of(self, way: Way) -> int:
        key = way[0] if len(way) == 1 else way
        number = self._numbers.get(key, -1)
        return number if number >= 0 else self._number(key, way)

    def _use(self, number: int, place: int) -> None:
        self._places[number] = -1 if self._uses[number] else place
        self._uses[number] += 1

    def _release(self, number: int) -> None:
        self._uses[number] -= 1
        if not self._uses[number]:
            self._forget(number)

    def _forget(self, number: int) -> None:
        """The number of a way that no prefix has is free again."""
        way = self._ways[number]
        self._ways[number] = ()
        self._free.append(number)
        del self._numbers[way[0] if len(way) == 1 else way]
        for route in way:
            count = self._routes[route] - 1
            if count:
                self._routes[route] = count
            else:
                del self._routes[route]
                self._leave(route)

    def _enter(self, route: Route) -> None:
        if route.dev is not None:
            self._by_device.setdefault(route.dev, {})[route] = None
        if route.nexthops is not None:
            self._multipaths[route] = None
        if route.proto != "kernel":
            self._equal.setdefault(route.same(), route)
            if route.src:
                self._by_source.setdefault(route.src, {})[route] = None

    def _leave(self, route: Route) -> None:
        if route.dev is not None:
            _discard(self._by_device, route.dev, route)
        if route.nexthops is not None:
            del self._multipaths[route]
        if route.proto != "kernel":
            if self._equal.get(same := route.same()) is route:
                del self._equal[same]
            if route.src:
                _discard(self._by_source, route.src, route)

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

    def _take(self, chosen: Iterable[Route]) -> list[Entry]:
        """Take out these routes of all prefixes."""
        routes = set(chosen)
        places = self._having(routes)
        found = [
            (prefix, length, route)
            for prefix, length, number in places
            for route in self._ways[number]
            if route in routes
        ]
        left = {
            number: tuple([route for route in self._ways[number] if route not in routes]) for _, _, number in places
        }
        for prefix, length, number in places:
            if left[number]:
                self._exchange(prefix, length, number, left[number])
            else:
                self._index.delete(prefix, length)
                self._release(number)
        self._count -= len(found)
        self.generation += len(found)
        return found

    def _having(self, routes: set[Route]) -> list[tuple[int, int, int]]:
        """(prefix, length, number) of those whose way has one of `routes`, in the table's order. Looks through the
        table when one of them has, or had, several prefixes."""
        numbers = {self._numbers[route] for route in routes if route in self._numbers}
        if any(self._routes[route] > (route in self._numbers) for route in routes):
            numbers.update(
                n for key, n in self._numbers.items() if isinstance(key, tuple) and not routes.isdisjoint(key)
            )
        found, scattered = [], set()
        for number in numbers:
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


def _discard(table: dict[Any, dict[Route, None]], key: object, route: Route) -> None:
    routes = table[key]
    del routes[route]
    if not routes:
        del table[key]


def _is_lost(route: Route, dev: Device) -> bool:
    """Whether a route of several next hops has none left, now that `dev` is gone."""
    hops = route.nexthops
    return hops is not None and hops.leaves_by(dev) and hops.forget(dev)


def same_way(a: Route, b: Route) -> bool:
    """Whether two routes of one prefix and metric lead the same way, so that there can be but one of them."""
    if a.nexthops is None or b.nexthops is None:
        return a.nexthops is b.nexthops and a.via == b.via and a.dev is b.dev and a.target == b.target
    return [(hop.via, hop.dev) for hop in a.nexthops.hops] == [(hop.via, hop.dev) for hop in b.nexthops.hops]
