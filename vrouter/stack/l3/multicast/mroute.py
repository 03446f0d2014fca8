"""What is forwarded by configuration: static multicast routes, as smcroute(8) and ``ip mroute`` know them.

A route is of a group and one source, or of a group and any source; the first fits first. What came in by another port
than the route's is discarded (the reverse path, RFC 1112, RFC 5110 2.2). Each way out has a threshold: only a packet
whose TTL is above it goes that way. A way out is a device, or a short-cut into another namespace, where the packet
stands at the routing decision as anything that crosses: a route there names ``@SOURCE`` as its port.

Never forwarded: what has a source or a group of link scope (RFC 4291 2.5.6, 2.7; RFC 5771 4), or no source.

Forwarding of multicast does not ask ``ip_forward``: where there is a route, ``mc_forwarding`` is 1, as in Linux.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.base.group_filter import Filter
    from vrouter.stack.crossing import Crossing
    from vrouter.stack.device import Device

ANY: Final = -1  # any source
MAX_ROUTES: Final = 4096
MAX_OIFS: Final = 32  # as Linux's MAXVIFS


class MulticastRoute:
    """One route: ``iif`` is a device, or the name of a namespace from which packets cross; ``ways`` are (device or
    crossing, threshold); ``joined`` is the membership that it holds at its device, if it does."""

    __slots__ = ("bytes", "family", "group", "iif", "joined", "packets", "source", "ways", "wrong")

    def __init__(
        self, family: int, source: int, group: int, iif: Device | str, ways: list[tuple[Device | Crossing, int]]
    ) -> None:
        self.family = family
        self.source = source
        self.group = group
        self.iif = iif
        self.ways = ways
        self.joined: Filter | None = None
        self.packets = self.bytes = self.wrong = 0

    def comes_by(self, port: Any) -> bool:
        """Whether packets of this route come in by `port`."""
        if isinstance(self.iif, str):
            return port is not None and port.kind == "crossing" and bool(port.source.name == self.iif)
        return port is self.iif

    def uses(self, dev: Device) -> bool:
        """Whether `dev` is a port of the route."""
        return self.iif is dev or any(way is dev for way, _ in self.ways)

    def devices(self) -> list[Device]:
        """Its ports that are devices."""
        found = [way for way, _ in self.ways if way.kind != "crossing"]
        return [dev for dev in (self.iif, *found) if not isinstance(dev, str)]  # type: ignore[misc] # crossings are out


class MulticastRoutes:
    """The routes of one namespace, by group and source."""

    __slots__ = ("count", "groups")

    def __init__(self) -> None:
        self.groups: dict[int, dict[int, MulticastRoute]] = {}
        self.count = 0

    def find(self, group: int, source: int) -> MulticastRoute | None:
        """The route of a packet; that of its source before that of any."""
        known = self.groups.get(group)
        if known is None:
            return None
        return known.get(source) or known.get(ANY)

    def exact(self, group: int, source: int) -> MulticastRoute | None:
        """The route of exactly this group and source (`ANY`)."""
        return self.groups.get(group, {}).get(source)

    def add(self, route: MulticastRoute) -> None:
        """Put a route in; there is none of the same group and source."""
        self.groups.setdefault(route.group, {})[route.source] = route
        self.count += 1

    def remove(self, route: MulticastRoute) -> None:
        """Take a route out."""
        known = self.groups[route.group]
        del known[route.source]
        if not known:
            del self.groups[route.group]
        self.count -= 1

    def all(self) -> list[MulticastRoute]:
        """All routes, by group and source."""
        return [route for _, known in sorted(self.groups.items()) for _, route in sorted(known.items())]
