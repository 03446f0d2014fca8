"""Routes and short-cuts of a namespace, as they are configured."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.events import EventKind
from vrouter.stack.crossing import Crossing
from vrouter.stack.l3 import fib
from vrouter.stack.l3.fib import Entry, Route
from vrouter.stack.netns.tables import Tables

if TYPE_CHECKING:
    from vrouter.stack.device import Device

MAX_METRIC: Final = 0xFFFFFFFF
ROUTE_TYPES: Final = {
    "unicast": fib.UNICAST,
    "blackhole": fib.BLACKHOLE,
    "unreachable": fib.UNREACHABLE,
    "prohibit": fib.PROHIBIT,
}


class Routes(Tables):
    """The part of a namespace that adds and removes routes."""

    __slots__ = ()

    def add_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        metric: int = 0,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        src: str | None = None,
        now: int | None = None,
    ) -> Route:
        """Add a static route to ``NETWORK/LENGTH`` or ``default``: by gateway, by device, or into the namespace at path
        `netns` (counted from the top). OSError with Linux's errno when it cannot be."""
        now = self.stack.advance(now)
        self.check_open()
        family, prefix, length = addr.parse_prefix(to)
        gateway = -1 if via is None else addr.parse_address(via)[1]
        source = 0 if src is None else addr.parse_address(src)[1]
        device = None if dev is None else self.device(dev)
        kind = ROUTE_TYPES.get(type)
        if kind is None:
            raise OSError(errno.EINVAL, f"no route type {type!r}: {', '.join(ROUTE_TYPES)}")
        if not 0 <= metric <= MAX_METRIC:
            raise OSError(errno.EINVAL, f"a metric is 0 to {MAX_METRIC}")
        if kind != fib.UNICAST:
            if via is not None or dev is not None or netns is not None:
                raise OSError(errno.EINVAL, f"a {type} route has no next hop")
        elif netns is not None:
            if via is not None or dev is not None:
                raise OSError(errno.EINVAL, "a route into a namespace has no next hop")
            self._check_target(netns)
        elif gateway >= 0:
            device = self._check_gateway(gateway, device)
        elif device is None:
            raise OSError(errno.EINVAL, "a route needs via, dev or netns")
        if source and not self.ip4.owner(source) and not self.ip4.holders(source):  # one that is being probed will do
            raise OSError(errno.EINVAL, f"{src} is not an address of namespace {self.name!r}")
        route = Route(
            family,
            type=kind,
            table=fib.TABLE_MAIN,
            metric=metric,
            proto="static",
            scope="link" if gateway < 0 and device is not None else "global",
            via=gateway,
            dev=device,
            src=source,
            target=netns,
            crossing=None if netns is None else self.crossing_to(netns),
        )
        main = self.ip4.main
        route = main.intern(route)
        try:
            main.add(prefix, length, route)
        except OSError:
            self._unlinked((prefix, length, route), entered=False)
            raise
        if route.crossing is not None:
            route.crossing.routes += 1
        self.stack.events.add(now, EventKind.ROUTE_ADD, self.name, to=to)
        return route

    def del_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        metric: int | None = None,
        now: int | None = None,
    ) -> Route:
        """Remove the first route of the main table that fits; OSError ESRCH when none does."""
        now = self.stack.advance(now)
        _, prefix, length = addr.parse_prefix(to)
        gateway = None if via is None else addr.parse_address(via)[1]
        device = None if dev is None else self.device(dev)
        route = self.ip4.main.remove(prefix, length, metric=metric, via=gateway, dev=device, target=netns)
        self.stack.events.add(now, EventKind.ROUTE_DEL, self.name, to=to)
        self._unlinked((prefix, length, route))
        return route

    def _unlinked(self, entry: Entry, *, entered: bool = True) -> None:
        """`entry` is out of the main table (or not `entered`): its short-cut may go, who waited for its place comes."""
        if entered:
            self.ip4.vacated(entry)
        crossing = entry[2].crossing
        if crossing is not None:
            crossing.routes -= entered
            if not crossing.routes:
                self.forget_crossing(crossing.target_name)

    def _check_gateway(self, gateway: int, dev: Device | None) -> Device:
        """The device by which a gateway is reached directly: recursion is refused when the route is made."""
        ip = self.ip4
        if ip.is_local(gateway) or ip.is_broadcast(gateway) or gateway in ip.zeros or not addr.is_host4(gateway):
            raise OSError(errno.EINVAL, f"{addr.format_address(gateway)} cannot be a gateway of this namespace")
        for candidate in self.devices.values() if dev is None else (dev,):
            if candidate.kind != "lo" and self.ip4.on_link(candidate, gateway):
                return candidate
        where = f"on device {dev.name!r}" if dev is not None else f"in namespace {self.name!r}"
        raise OSError(errno.ENETUNREACH, f"gateway {addr.format_address(gateway)} is not on a link {where}")

    def _check_target(self, target: str) -> None:
        if target == self.name:
            raise OSError(errno.EINVAL, "a route short-cut into its own namespace")
        if target not in self.stack.namespaces:
            raise OSError(errno.ENOENT, f"no namespace {target!r}")

    def crossing_to(self, target: str) -> Crossing:
        """The short-cut from here to the namespace at path `target`, made if need be."""
        crossing = self.crossings.get(target)
        if crossing is None:
            crossing = self.crossings[target] = Crossing(self.this, target)
            crossing.target = self.stack.namespaces.get(target)
            self.stack.crossings_to.setdefault(target, []).append(crossing)
        return crossing

    def forget_crossing(self, target: str) -> None:
        """The last route to `target` is gone: the short-cut and its counters go with it."""
        crossing = self.crossings.pop(target)
        others = self.stack.crossings_to[target]
        others.remove(crossing)
        if not others:
            del self.stack.crossings_to[target]

    def accepts(self, source: str) -> bool:
        """Whether `accept_from` lets the namespace at path `source` cross into this one."""
        return source in self.accept_from or "*" in self.accept_from
