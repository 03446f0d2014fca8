"""Routes of a namespace, as they are configured and asked for."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.events import EventKind
from vrouter.stack.l3.fib import CROSS, REJECT, TABLE_DEFAULT, TABLE_MAIN, THROW, Route, to_record
from vrouter.stack.l3.multipath import Multipath, hash_flow
from vrouter.stack.l3.route import NO_ROUTE, REFUSALS, Refusal, route_output
from vrouter.stack.l3.route_load import RouteLoad
from vrouter.stack.l3.route_text import parse_table
from vrouter.stack.netns.route_making import ROUTE_TYPES, RouteMaking

if TYPE_CHECKING:
    from vrouter.stack.device import Device


class Routes(RouteMaking):
    """The part of a namespace that adds, removes and shows routes."""

    __slots__ = ()

    def add_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        table: str | int = TABLE_MAIN,
        metric: int = 0,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        proto: str = "static",
        scope: str | None = None,
        src: str | None = None,
        mtu: int = 0,
        advmss: int = 0,
        onlink: bool = False,
        nexthops: Sequence[Mapping[str, Any]] | None = None,
        nhid: int | None = None,
        replace: bool = False,
        now: int | None = None,
    ) -> Route:
        """Add a static route to ``NETWORK/LENGTH`` or ``default``, as ``ip route add``: by gateway, by device, by
        several `nexthops` ({via, dev, weight, onlink}), by a next-hop object, or into the namespace at path `netns`
        (counted from the top). `mtu` and `advmss` in bytes, 0: the device's. With `replace` it takes the place of those
        of the same prefix and metric. OSError with Linux's errno when it cannot be."""
        now = self.stack.advance(now)
        self.check_open()
        family, prefix, length = self._destination(to, via, src, nexthops, nhid)
        route = self.make_route(
            family,
            type=type,
            via=via,
            dev=dev,
            netns=netns,
            table=table,
            metric=metric,
            proto=proto,
            scope=scope,
            src=src,
            mtu=mtu,
            advmss=advmss,
            onlink=onlink,
            nexthops=nexthops,
            nhid=nhid,
        )
        crossing = route.crossing
        if crossing is not None:
            crossing.routes += 1  # from the start, so that it outlives the route that this one replaces
        fib = self.ip(family).table(route.table)
        route = fib.intern(route)
        gone: list[Route] = []
        try:
            prefix = self.place_of(prefix, length, route)
            if replace:
                gone = [other for other in fib.exact(prefix, length) if other.metric == route.metric]
                for other in gone:
                    fib.unlink(prefix, length, other)
            fib.add(prefix, length, route)
        except OSError:
            if crossing is not None:
                crossing.routes -= 1
                self.forget_unused_crossings()
            raise
        for other in gone:
            self.unlinked((prefix, length, other))
        if route.type == THROW or route.table == TABLE_DEFAULT:
            self.ip(family).use_rules()
        self.stack.events.add(now, EventKind.ROUTE_ADD, self.name, to=to)
        return route

    def del_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        table: str | int = TABLE_MAIN,
        metric: int | None = None,
        type: str | None = None,  # noqa: A002 -- as in add_route
        nhid: int | None = None,
        now: int | None = None,
    ) -> Route:
        """Remove the first route of the table that fits what is given; OSError ESRCH when none does."""
        now = self.stack.advance(now)
        family, prefix, length = self._destination(to, via, None, None, nhid)
        device = None if dev is None else self.device(dev)
        gateway = None if via is None else addr.parse_address(via)[1]
        if family == addr.V6:
            metric = metric or None
            if device is not None:
                gateway = None if gateway is None else addr.scoped(gateway, device.ifindex)
                prefix = addr.scoped(prefix, device.ifindex) if length >= 10 else prefix
        fib = self.ip(family).tables.get(parse_table(table))
        for route in () if fib is None else fib.exact(prefix, length):
            if (
                metric in (None, route.metric)
                and gateway in (None, route.via)
                and (device is None or route.dev is device)
                and netns in (None, route.target)
                and (type is None or ROUTE_TYPES.get(type) == route.type)
                and nhid in (None, route.nhid)
            ):
                assert fib is not None
                fib.unlink(prefix, length, route)
                self.stack.events.add(now, EventKind.ROUTE_DEL, self.name, to=to)
                self.unlinked((prefix, length, route))
                self.ip(family).forget_rules()
                return route
        raise ProcessLookupError(errno.ESRCH, "there is no such route")

    def load_routes(self, lines: Iterable[str], *, replace: bool = False) -> RouteLoad:
        """Begin to load many routes from lines of ``ip -batch`` (`l3.route_text`). With `replace` they take the place
        of the static ones of the tables that they name. Call ``step`` on what is returned until it says that it is
        done; lines are taken one by one as they are read."""
        self.check_open()
        return RouteLoad(self.this, lines, replace=replace)

    def get_route(
        self,
        dst: str,
        *,
        src: str | None = None,
        iif: str | None = None,
        oif: str | None = None,
        mark: int = 0,
        now: int | None = None,
    ) -> dict[str, Any]:
        """The route that a packet to `dst` would take (``ip route get``), as a row of ``show routes`` with the source
        that it would get; ``via``, ``mtu`` and ``expires_ns`` as ICMP told, where it did. With `iif` the packet is one
        that came in. A route into another namespace has ``accepted`` besides. OSError when there is none; ValueError
        for a link-local address without a zone where no device tells it, and for a source of another family."""
        now = self.stack.advance(now)
        family, target, zone = addr.parse_address_zone(dst)
        ip = self.ip(family)
        out = None if oif is None else self.device(oif)
        link = self.device(zone) if zone else self.device(iif) if out is None and iif is not None else out
        if zone and out is None and addr.is_multicast6(target):
            out = link
        if family == addr.V6:
            if link is not None:
                target = addr.scoped(target, link.ifindex)
            elif addr.is_link_local6(target):
                raise ValueError(f"{dst} is link-local, and needs its device: {dst}%DEV")
        source = 0 if src is None else self._source(src, family, link)
        if iif is None:
            whole = ip.lookup(target, source, None, out, mark)
            crosses = whole is not None and whole.action == CROSS
            decision = route_output(ip, target, source, out, now, mark=mark)
            if isinstance(decision, Refusal) and not crosses:
                raise os_error(decision.errno)
            route = decision[0] if isinstance(decision, tuple) and not isinstance(decision, Refusal) else whole
            assert route is not None
            if not isinstance(decision, Refusal):
                source = decision[1]
            elif not source:
                source = route.src if route.src in ip.owners else ip.select_source(None, target)
        else:
            whole = ip.lookup(target, source, self.device(iif), None, mark)
            if whole is None or whole.action == REJECT:
                raise os_error((NO_ROUTE if whole is None else REFUSALS.get(whole.type, NO_ROUTE)).errno)
            route = whole
            if isinstance(whole.nexthops, Multipath):
                route = whole.nexthops.pick(hash_flow(ip.flow_key, ip.hash_policy, source, target))
        fib = None if whole is None else ip.tables.get(whole.table)
        found = None if fib is None else fib.match(target)
        prefix, length = (found[0], found[1]) if found is not None and found[2] is whole else (target, ip.bits)
        record = to_record(self.name, prefix, length, route)
        if source:
            record["src"] = addr.format_address(source, family)
        known = ip.exception(target, now) if iif is None else None
        record["expires_ns"] = None
        if known is not None and route.action != CROSS:
            gateway = ip.first_hop(route, target, now)
            record["via"] = None if gateway < 0 else addr.format_address(gateway, family)
            record["mtu"] = ip.path_mtu(route, target, now) if known.mtu else record["mtu"]
            record["expires_ns"] = known.expires - now
        if route.crossing is not None:
            record["accepted"] = route.crossing.accepted
        return record

    def _source(self, text: str, family: int, link: Device | None) -> int:
        """The source that `get_route` is told; a link-local one without a zone is on `link`."""
        of, source, zone = addr.parse_address_zone(text)
        if of != family:
            raise ValueError(f"the source {text} is of another family than the destination")
        dev = self.device(zone) if zone else link
        return source if dev is None else addr.scoped(source, dev.ifindex)

    def _destination(
        self,
        to: str,
        via: str | None,
        src: str | None,
        nexthops: Sequence[Mapping[str, Any]] | None,
        nhid: int | None,
    ) -> tuple[int, int, int]:
        """(family, prefix, length) of `to`; ``default`` is of the family of what else is given, or else IPv4's."""
        if to == "default":
            told = [via, src, *(hop.get("via") for hop in nexthops or ())]
            if any(text is not None and ":" in text for text in told):
                to = "::/0"
            elif nhid is not None and self._nexthops is not None and nhid in self._nexthops:
                to = "::/0" if self._nexthops.get(nhid).family == addr.V6 else to
        return addr.parse_prefix(to)
