"""What a configured route must be before it is one: its next hops are checked when it is made, not when it is used."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.crossing import Crossing
from vrouter.stack.l3 import fib
from vrouter.stack.l3.fib import Entry, Route
from vrouter.stack.l3.multipath import MAX_HOPS, NextHop, multipath_route
from vrouter.stack.l3.nexthop import NextHopObject, NextHopTable, check_weight
from vrouter.stack.l3.route_text import SCOPES, check_protocol, parse_table
from vrouter.stack.netns.tables import Tables

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.ip import IpState

MAX_METRIC: Final = 0xFFFFFFFF
METRIC6: Final = 1024  # what Linux gives an IPv6 route without one
MIN_MTU: Final = {addr.V4: 68, addr.V6: 1280}
MAX_MTU: Final = 65535
ROUTE_TYPES: Final = {
    "unicast": fib.UNICAST,
    "blackhole": fib.BLACKHOLE,
    "unreachable": fib.UNREACHABLE,
    "prohibit": fib.PROHIBIT,
    "throw": fib.THROW,
}


class RouteMaking(Tables):
    """The part of a namespace that turns what is asked for into routes, and knows its short-cuts."""

    __slots__ = ()

    def make_route(
        self,
        family: int,
        *,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        via: str | None = None,
        dev: str | None = None,
        netns: str | None = None,
        table: str | int = fib.TABLE_MAIN,
        metric: int = 0,
        proto: str = "static",
        scope: str | None = None,
        src: str | None = None,
        mtu: int = 0,
        advmss: int = 0,
        onlink: bool = False,
        nexthops: Sequence[Mapping[str, Any]] | None = None,
        nhid: int | None = None,
        links: Sequence[fib.Fib] | None = None,
    ) -> Route:
        """A route of `family` that is in no table yet; OSError with Linux's errno, or ValueError, when it cannot be. A
        short-cut (`netns`) that nobody uses is to be forgotten again (`forget_unused_crossings`). `links` are tables
        whose routes to a link may hold its gateway (None: main)."""
        kind = ROUTE_TYPES.get(type)
        if kind is None:
            raise OSError(errno.EINVAL, f"no route type {type!r}: {', '.join(ROUTE_TYPES)}")
        number = parse_table(table)
        if number == fib.TABLE_LOCAL:
            raise OSError(errno.EINVAL, "the routes of table local come with addresses")
        if not 0 <= metric <= MAX_METRIC:
            raise OSError(errno.EINVAL, f"a metric is 0 to {MAX_METRIC}")
        if mtu and not MIN_MTU[family] <= mtu <= MAX_MTU:
            raise OSError(errno.EINVAL, f"an MTU is {MIN_MTU[family]} to {MAX_MTU} bytes")
        if not 0 <= advmss <= MAX_MTU:
            raise OSError(errno.EINVAL, f"a segment size is 0 to {MAX_MTU} bytes")
        check_protocol(proto)
        attributes: dict[str, Any] = {
            "table": number,
            "metric": metric or (METRIC6 if family == addr.V6 else 0),
            "proto": proto,
            "src": 0 if src is None else self._check_source(family, src),
            "mtu": mtu,
            "advmss": advmss,
        }
        ways = [name for name, given in (("netns", netns), ("nexthops", nexthops), ("nhid", nhid)) if given is not None]
        if via is not None or dev is not None or onlink:
            ways.append("via or dev")
        if len(ways) > 1:
            raise OSError(errno.EINVAL, f"a route goes by one of {' and '.join(ways)}")
        if kind != fib.UNICAST:
            if ways:
                raise OSError(errno.EINVAL, f"a {type} route has no next hop")
            return Route(family, type=kind, **attributes)
        if netns is not None:
            self._check_target(netns)
            return Route(family, target=netns, crossing=self.crossing_to(netns), **attributes)
        if nhid is not None:
            found = self._check_object(family, nhid)
            return Route(family, nhid=nhid, nexthops=found.multipath(nhid=nhid, **attributes), **attributes)
        if nexthops is not None:
            if not 0 < len(nexthops) <= MAX_HOPS:
                raise OSError(errno.EINVAL, f"a route has 1 to {MAX_HOPS} next hops")
            return multipath_route(
                family, [self.make_hop(family, **hop, links=links) for hop in nexthops], **attributes
            )
        if not ways:
            raise OSError(errno.EINVAL, "a route needs via, dev or netns")
        hop = self.make_hop(family, via=via, dev=dev, onlink=onlink, links=links)
        usual = "global" if hop.via >= 0 else "link"
        if scope is not None and (scope not in SCOPES or (hop.via >= 0 and scope != "global")):
            raise OSError(errno.EINVAL, f"a route by a gateway has scope global, not {scope}")
        return Route(family, scope=scope or usual, via=hop.via, dev=hop.dev, onlink=onlink, **attributes)

    def make_hop(
        self,
        family: int,
        *,
        via: str | None = None,
        dev: str | None = None,
        weight: int | None = None,
        onlink: bool = False,
        links: Sequence[fib.Fib] | None = None,
    ) -> NextHop:
        """A next hop: by gateway, by device, or both. With `onlink` the gateway is believed to be on the link of `dev`,
        whatever the addresses say. OSError ENODEV, EINVAL, ENETUNREACH, ENODEV for a link-local gateway without a
        device (RFC 4007 11), and as in Linux EACCES for a device without IPv6."""
        weight = 1 if weight is None else weight
        check_weight(weight)
        device = None if dev is None else self.device(dev)
        if family == addr.V6 and device is not None and not device.with_ipv6:
            raise PermissionError(errno.EACCES, f"IPv6 is disabled on device {device.name!r}")
        if via is None:
            if device is None:
                raise OSError(errno.EINVAL, "a next hop needs via or dev")
            if onlink:
                raise OSError(errno.EINVAL, "onlink says something of a gateway, and there is none")
            return NextHop(-1, device, weight)
        of, gateway = addr.parse_address(via)
        if of != family:
            raise OSError(errno.EINVAL, f"gateway {via} is of another family: not supported")
        if onlink and device is None:
            raise OSError(errno.EINVAL, "onlink needs dev")
        return NextHop(*self._check_gateway(family, gateway, device, onlink, links), weight, onlink)

    def check_route(self, route: Route) -> None:
        """Whether `route`, made some time ago, may still be put into a table; OSError when not."""
        for hop in (route,) if route.nexthops is None else route.nexthops.hops:
            if hop.dev is not None and not self.leads_by(route.family, hop.dev):
                raise OSError(errno.ENODEV, f"device {hop.dev.name!r} is gone, or its IPv6 is")
        if route.nexthops is not None and not route.nexthops.hops:
            raise OSError(errno.ENOENT, f"nexthop {route.nhid} is gone")
        if route.src and not self.ip(route.family).holders(route.src):
            raise OSError(errno.EINVAL, f"address {addr.format_address(route.src, route.family)} is gone")

    def leads_by(self, family: int, dev: Device) -> bool:
        """Whether a route of `family` may leave by `dev`: it is here, and for IPv6 has that."""
        return self.devices.get(dev.name) is dev and (family == addr.V4 or dev.with_ipv6)

    def place_of(self, prefix: int, length: int, route: Route) -> int:
        """`prefix` as a key of the route's table: that of a link has the zone of its device (RFC 4007 6)."""
        if route.family == addr.V6 and length >= 10 and addr.is_link_local6(prefix):
            dev = route.dev
            if dev is None:
                raise OSError(errno.EINVAL, "a link-local prefix is on the link of one device")
            return addr.scoped(prefix, dev.ifindex)
        return prefix

    @property
    def nexthops(self) -> NextHopTable:
        """The next-hop objects."""
        if self._nexthops is None:
            self._nexthops = NextHopTable()
        return self._nexthops

    def unlinked(self, entry: Entry) -> None:
        """`entry` is out of its table: its short-cut may go, who waited for its place comes."""
        self.ip(entry[2].family).vacated(entry)
        self.purged({entry[2]: 1})

    def purged(self, gone: dict[fib.Route, int]) -> None:
        """These routes are out of so many prefixes: their short-cuts may go."""
        for route, count in gone.items():
            crossing = route.crossing
            if crossing is not None:
                crossing.routes -= count
                if not crossing.routes:
                    self.forget_crossing(crossing.target_name)

    # -- checks -----------------------------------------------------------------------------------------------------

    def _check_source(self, family: int, src: str) -> int:
        of, source = addr.parse_address(src)
        ip = self.ip(family) if of == family else None
        if ip is None or not (ip.owner(source) or ip.holders(source)):  # one that is being probed will do
            raise OSError(errno.EINVAL, f"{src} is not an address of namespace {self.name!r}")
        return source

    def _check_gateway(
        self, family: int, gateway: int, dev: Device | None, onlink: bool, links: Sequence[fib.Fib] | None
    ) -> tuple[int, Device]:
        """(gateway, the device by which it is reached directly): recursion is refused when the route is made."""
        ip = self.ip(family)
        text = addr.format_address(gateway, family)
        if family == addr.V6 and addr.is_link_local6(gateway):
            if dev is None:
                raise OSError(errno.ENODEV, f"link-local gateway {text} needs dev")
            gateway = addr.scoped(gateway, dev.ifindex)
            onlink = True
        is_host = addr.is_host4 if family == addr.V4 else addr.is_host6
        if not is_host(gateway) or ip.is_local(gateway) or ip.is_broadcast(gateway) or gateway in ip.zeros:
            raise OSError(errno.EINVAL, f"{text} cannot be a gateway of this namespace")
        if onlink and dev is not None and dev.kind != "lo":
            return gateway, dev
        for candidate in self.devices.values() if dev is None else (dev,):
            if candidate.kind != "lo" and ip.on_link(candidate, gateway):
                return gateway, candidate
        for table in (ip.main,) if links is None else links:
            found = table.lookup(gateway) if dev is None else table.lookup_via(gateway, dev)
            if found is not None and found.type == fib.UNICAST and found.via < 0 and found.dev not in (None, self.lo):
                assert found.dev is not None
                return gateway, found.dev  # by a route to its link, without an address there
        where = f"on device {dev.name!r}" if dev is not None else f"in namespace {self.name!r}"
        raise OSError(errno.ENETUNREACH, f"gateway {text} is not on a link {where}")

    def _check_object(self, family: int, nhid: int) -> NextHopObject:
        try:
            found = self.nexthops.get(nhid)
        except FileNotFoundError as error:
            raise OSError(errno.EINVAL, error.strerror) from None
        if found.family != family and not found.is_blackhole:
            raise OSError(errno.EINVAL, f"nexthop {nhid} is of another family")
        return found

    # -- short-cuts -------------------------------------------------------------------------------------------------

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

    def forget_unused_crossings(self) -> None:
        """Forget the short-cuts to which no route leads."""
        for crossing in [crossing for crossing in self.crossings.values() if not crossing.routes]:
            self.forget_crossing(crossing.target_name)

    def accepts(self, source: str) -> bool:
        """Whether `accept_from` lets the namespace at path `source` cross into this one."""
        return source in self.accept_from or "*" in self.accept_from

    def ip_state(self, family: int) -> IpState | None:
        """The state of one IP family, None while it is not used."""
        return self.ip4 if family == addr.V4 else self._ip6
