"""The routes of one table without their prefixes: each once, and the ways that they form.

A way is the routes of a prefix in order of metric, then of arrival. Each way that is in use has a number, and how many
prefixes have it is counted here; `fib` knows which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Route

Way: TypeAlias = "tuple[Route, ...]"


class Ways:
    """What a table knows of its routes."""

    __slots__ = (
        "_by_device",
        "_by_source",
        "_equal",
        "_free",
        "_multipaths",
        "_numbers",
        "_places",
        "_routes",
        "_uses",
        "_ways",
    )

    def __init__(self) -> None:
        # Ways by number; how many prefixes have each, and the one that does (-1: not known, there were several).
        self._ways: list[Way] = []
        self._uses: list[int] = []
        self._places: list[int] = []
        self._free: list[int] = []
        self._numbers: dict[Route | Way, int] = {}  # a way of one route stands here by that; what `purge` left may not
        # Of the routes in use: in how many ways each is, and some by what they have.
        self._routes: dict[Route, int] = {}
        self._equal: dict[tuple[object, ...], Route] = {}
        self._by_device: dict[Device, dict[Route, None]] = {}
        self._multipaths: dict[Route, None] = {}
        self._by_source: dict[int, dict[Route, None]] = {}  # those that were given a preferred source

    def routes(self) -> Iterator[Route]:
        """The different routes that are in use, each once."""
        return iter(self._routes)

    def uses(self) -> Iterator[tuple[Route, int]]:
        """Each route with how many prefixes have it: in pieces, one for each way that it is in."""
        for way, count in zip(self._ways, self._uses, strict=True):
            for route in way:
                yield route, count

    def intern(self, route: Route) -> Route:
        """The route of this table that says the same as `route`, or `route` when there is none."""
        return self._equal.get(route.same(), route)

    def sourced(self, src: int) -> set[Route]:
        """The routes that were given the preferred source `src`; kernel routes are none of them."""
        return set(self._by_source.get(src, ()))

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
        self._unname(number)
        self._ways[number] = ()
        self._free.append(number)
        for route in way:
            self._part(route)

    def _unname(self, number: int) -> None:
        way = self._ways[number]
        key = way[0] if len(way) == 1 else way
        if self._numbers.get(key) == number:
            del self._numbers[key]

    def _part(self, route: Route) -> None:
        """`route` is in one way less."""
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

    def _numbers_of(self, routes: set[Route]) -> set[int]:
        """The numbers of the ways that have one of `routes`."""
        numbers = {self._numbers[route] for route in routes if route in self._numbers}
        if any(self._routes.get(route, 0) > (route in self._numbers) for route in routes):
            numbers.update(number for number, way in enumerate(self._ways) if not routes.isdisjoint(way))
        return numbers


def _discard(table: dict[Any, dict[Route, None]], key: object, route: Route) -> None:
    routes = table[key]
    del routes[route]
    if not routes:
        del table[key]
