"""The routing table: longest prefix match over static and kernel routes of one family.

A lookup takes the longest prefix that holds the destination, among routes of that prefix the one with the lowest
metric (RFC 1812 5.2.4.3: basic match, longest match, best metric), and never a route whose device is not ready (the
local table's excepted: an address is its namespace's whether its device has a carrier or not): it
falls through to the next metric, then to shorter prefixes (RFC 1812 5.3.12.3). A device that comes back brings its
routes back with it (5.3.12.4), for nothing was taken away. Type of service is not considered (5.2.4.3 (3), a SHOULD).

There is one dictionary for each prefix length that is in use, from masked address to route, and the lengths are tried
longest first. Routes of one prefix form a chain in order of metric, then of arrival; nearly all chains have one link.
The key is the route's own ``prefix`` object: a table of a million routes has no second copy of it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import format_address, format_prefix, mask

if TYPE_CHECKING:
    from vrouter.stack.device import Device

# Linux's RTN_ numbers.
UNICAST: Final = 1
LOCAL: Final = 2
BROADCAST: Final = 3
MULTICAST: Final = 5
BLACKHOLE: Final = 6
UNREACHABLE: Final = 7
PROHIBIT: Final = 8
TYPE_NAMES: Final[dict[int, str]] = {
    UNICAST: "unicast",
    LOCAL: "local",
    BROADCAST: "broadcast",
    MULTICAST: "multicast",
    BLACKHOLE: "blackhole",
    UNREACHABLE: "unreachable",
    PROHIBIT: "prohibit",
}

TABLE_MAIN: Final = 254
TABLE_LOCAL: Final = 255
TABLE_NAMES: Final[dict[int, str]] = {TABLE_MAIN: "main", TABLE_LOCAL: "local"}

# What the pipeline does with a packet that met a route.
DELIVER: Final = 1
FORWARD: Final = 2
CROSS: Final = 3
REJECT: Final = 4


class Route:
    """One route. Only the table sets ``next``; ``crossing`` belongs to the pipeline; the rest stays as it was made.

    ``prefix``, ``via`` and ``src`` are ints of `family`'s width; ``via`` -1 means that the destination itself is the
    next hop, ``src`` 0 that the source is chosen by device, ``mtu`` 0 the device's. ``target`` is the path of the
    namespace that a short-cut leads to.
    """

    __slots__ = (
        "action",
        "crossing",
        "dev",
        "family",
        "length",
        "metric",
        "mtu",
        "next",
        "prefix",
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
        prefix: int,
        length: int,
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
        target: str | None = None,
    ) -> None:
        self.family = family
        self.prefix = prefix
        self.length = length
        self.type = type
        self.table = table
        self.metric = metric
        self.proto = proto
        self.scope = scope
        self.via = via
        self.dev = dev
        self.src = src
        self.mtu = mtu
        self.target = target
        self.crossing: Any = None
        self.next: Route | None = None
        if type == UNICAST:
            self.action = FORWARD if target is None else CROSS
        else:
            self.action = REJECT if type in (BLACKHOLE, UNREACHABLE, PROHIBIT) else DELIVER

    def __repr__(self) -> str:
        return f"<Route {self.to_record('')}>"

    def to_record(self, netns: str) -> dict[str, Any]:
        """The row of ``show routes``; what a route has not is None."""
        return {
            "netns": netns,
            "to": format_prefix(self.prefix, self.length, self.family),
            "via": None if self.via < 0 else format_address(self.via, self.family),
            "dev": None if self.dev is None else self.dev.name,
            "target_netns": self.target,
            "type": TYPE_NAMES[self.type],
            "metric": self.metric,
            "table": TABLE_NAMES.get(self.table, str(self.table)),
            "proto": self.proto,
            "src": format_address(self.src, self.family) if self.src else None,
        }


class Fib:
    """One table of routes with addresses of `bits` width (32 or 128)."""

    __slots__ = ("_bits", "_by_device", "_by_length", "_by_source", "_count", "_levels")

    def __init__(self, bits: int = 32) -> None:
        self._bits = bits
        self._by_length: dict[int, dict[int, Route]] = {}
        self._levels: tuple[tuple[int, dict[int, Route]], ...] = ()  # (mask, routes), longest prefix first
        self._count = 0
        self._by_device: dict[Device, int] = {}  # how many routes leave by it
        self._by_source: dict[int, dict[Route, None]] = {}  # those that were given a preferred source

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Route]:
        """Every route in the order of prefix length, prefix, metric, and arrival."""
        for length in sorted(self._by_length):
            level = self._by_length.get(length, {})
            for prefix in sorted(level):
                route = level.get(prefix)
                while route is not None:
                    following = route.next
                    yield route
                    route = following

    def lookup(self, dst: int) -> Route | None:
        """The route for a packet to `dst`, or None."""
        for bits, level in self._levels:
            route = level.get(dst & bits)
            while route is not None:
                dev = route.dev
                if dev is None or dev.ready or route.table == TABLE_LOCAL:
                    return route
                route = route.next
        return None

    def lookup_via(self, dst: int, dev: Device) -> Route | None:
        """The route to `dst` among those that leave by `dev`, for senders bound to a device."""
        if dev.ready:
            for bits, level in self._levels:
                route = level.get(dst & bits)
                while route is not None:
                    if route.dev is dev:
                        return route
                    route = route.next
        return None

    def exact(self, prefix: int, length: int) -> list[Route]:
        """The routes of exactly this prefix, best first, those of devices that are not ready included."""
        found = []
        route = self._by_length.get(length, {}).get(prefix)
        while route is not None:
            found.append(route)
            route = route.next
        return found

    def add(self, route: Route) -> None:
        """Take `route` in; OSError EEXIST when one of the same prefix and metric leads the same way, EINVAL when the
        prefix has host bits or is longer than an address."""
        length, prefix = route.length, route.prefix
        if not 0 <= length <= self._bits or prefix & ~mask(length, self._bits):
            raise OSError(errno.EINVAL, "not a prefix of an address")
        level = self._by_length.get(length)
        if level is None:
            level = self._by_length[length] = {}
            self._relevel()
        before: Route | None = None
        other = level.get(prefix)
        while other is not None and other.metric <= route.metric:
            if other.metric == route.metric and _same_way(other, route):
                raise FileExistsError(errno.EEXIST, "there is such a route already")
            before, other = other, other.next
        route.next = other
        if before is not None:
            before.next = route
        else:
            level.pop(prefix, None)  # so that the key is the object of the route that stands first
            level[prefix] = route
        self._count += 1
        dev = route.dev
        if dev is not None:
            self._by_device[dev] = self._by_device.get(dev, 0) + 1
        if route.src and route.proto != "kernel":
            self._by_source.setdefault(route.src, {})[route] = None

    def remove(
        self,
        prefix: int,
        length: int,
        *,
        metric: int | None = None,
        via: int | None = None,
        dev: Device | None = None,
        target: str | None = None,
    ) -> Route:
        """Take out the best route of this prefix that fits what is given, and return it; OSError ESRCH for none."""
        for route in self.exact(prefix, length):
            if (
                (metric is None or route.metric == metric)
                and (via is None or route.via == via)
                and (dev is None or route.dev is dev)
                and (target is None or route.target == target)
            ):
                self._unlink(route)
                return route
        raise ProcessLookupError(errno.ESRCH, "there is no such route")

    def remove_device(self, dev: Device) -> list[Route]:
        """Take out the routes that leave by `dev`, in the table's order; walks it no further than to the last."""
        count = self._by_device.get(dev, 0)
        return self._take(islice((route for route in self._unordered() if route.dev is dev), count)) if count else []

    def has_source(self, src: int) -> bool:
        """Whether a route was given the preferred source `src`."""
        return src in self._by_source

    def remove_source(self, src: int) -> list[Route]:
        """Take out the routes that were given the preferred source `src`; kernel routes stay."""
        return self._take(self._by_source.get(src, ()))

    def remove_kernel(self, prefix: int, length: int, dev: Device, src: int) -> None:
        """Take out the kernel route that an address `src` of `dev` made, when there is one."""
        route = self._by_length.get(length, {}).get(prefix)
        while route is not None:
            if route.dev is dev and route.src == src and route.proto == "kernel":
                self._unlink(route)
                return
            route = route.next

    def _unordered(self) -> Iterator[Route]:
        for level in self._by_length.values():
            for route in level.values():
                following: Route | None = route
                while following is not None:
                    yield following
                    following = following.next

    def _take(self, chosen: Iterable[Route]) -> list[Route]:
        found = sorted(chosen, key=_order)
        for route in found:
            self._unlink(route)
        return found

    def _unlink(self, route: Route) -> None:
        level = self._by_length[route.length]
        first = level[route.prefix]
        if first is route:
            del level[route.prefix]
            if route.next is not None:
                level[route.next.prefix] = route.next
            elif not level:
                del self._by_length[route.length]
                self._relevel()
        else:
            before = first
            while before.next is not route:
                assert before.next is not None
                before = before.next
            before.next = route.next
        route.next = None
        self._count -= 1
        dev = route.dev
        if dev is not None:
            left = self._by_device[dev] - 1
            if left:
                self._by_device[dev] = left
            else:
                del self._by_device[dev]
        if route.src and route.proto != "kernel":
            routes = self._by_source[route.src]
            del routes[route]
            if not routes:
                del self._by_source[route.src]

    def _relevel(self) -> None:
        levels, bits = self._by_length, self._bits
        self._levels = tuple([(mask(length, bits), levels[length]) for length in sorted(levels, reverse=True)])


def _order(route: Route) -> tuple[int, int, int]:
    return route.length, route.prefix, route.metric


def _same_way(a: Route, b: Route) -> bool:
    return a.via == b.via and a.dev is b.dev and a.target == b.target
