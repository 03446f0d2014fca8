"""Multicast of a namespace as it is configured and shown: queriers, multicast routes, the proxy, multicast DNS."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.group_filter import EVERYBODY, Filter
from vrouter.stack.device import Device
from vrouter.stack.l3.multicast.dialect import DIALECTS
from vrouter.stack.l3.multicast.groups import GroupTables
from vrouter.stack.l3.multicast.mdns import GROUPS as MDNS_GROUPS
from vrouter.stack.l3.multicast.mdns import MdnsReflector
from vrouter.stack.l3.multicast.mroute import ANY, MAX_OIFS, MAX_ROUTES, MulticastRoute
from vrouter.stack.l3.multicast.proxy import Proxy
from vrouter.stack.l3.multicast.querier import Querier
from vrouter.stack.l4.membership import hold, release, replace_filter
from vrouter.stack.netns.links import Links

if TYPE_CHECKING:
    from vrouter.stack.crossing import Crossing
    from vrouter.stack.stack import Stack

MAX_TTL = 255


class MulticastAdmin(Links):
    """The part of a namespace that forwards to groups, and asks who listens.

    ``_asked`` are the (device, family) whose querier was switched on by name; the proxy's are there besides.
    """

    __slots__ = ("_asked", "_groups", "_mc_devices")

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(stack, name)
        self._groups: GroupTables | None = None
        self._asked: dict[tuple[Device, int], None] = {}
        self._mc_devices: dict[tuple[Device, int], int] = {}  # where mc_forwarding is on: how many forward there

    @property
    def groups_state(self) -> GroupTables:
        """Speakers, queriers, and what is forwarded to groups."""
        if self._groups is None:
            self._groups = GroupTables(self.this)
        return self._groups

    def want(self, dev: Device, family: int, group: int, before: Filter | None, after: Filter | None) -> None:
        """A membership that is held in order to forward has another filter; None is no membership."""
        replace_filter(self, family, group, dev, before, after)
        self.groups_state.hold(dev, group, (after is not None) - (before is not None))

    # -- queriers -----------------------------------------------------------------------------------------------------

    def set_querier(
        self, dev: Device | str, *, igmp: bool | None = None, mld: bool | None = None, now: int | None = None
    ) -> None:
        """Ask at a device who listens, by IGMP, by MLD (None: as it was). OSError ENODEV, EINVAL for ``lo``."""
        now = self.stack.advance(now)
        device = self._link(dev)
        for family, wanted in ((addr.V4, igmp), (addr.V6, mld)):
            if wanted:
                self._asked[device, family] = None
            elif wanted is not None:
                self._asked.pop((device, family), None)
        self._fit_queriers(now)
        self.settle(now)

    def _link(self, dev: Device | str) -> Device:
        device = self.own(dev)
        if device.kind == "lo":
            raise OSError(errno.EINVAL, "there is nobody else on lo")
        return device

    def _fit_queriers(self, now: int) -> None:
        """There is a querier where one was switched on, and downstream of the proxy."""
        tables = self.groups_state
        wanted = dict(self._asked)
        if tables.proxy is not None:
            wanted.update({(dev, family): None for dev in tables.proxy.downstream for family in DIALECTS})
        for key in [key for key in tables.queriers if key not in wanted]:
            querier = tables.queriers.pop(key)
            querier.stop()
            tables.waiting.pop(querier, None)
            key[0].allmulti -= 1
        for dev, family in wanted:
            if (dev, family) not in tables.queriers:
                querier = tables.queriers[dev, family] = Querier(tables, dev, DIALECTS[family])
                dev.allmulti += 1
                querier.start(now)

    # -- multicast routes ---------------------------------------------------------------------------------------------

    def add_mroute(
        self,
        group: str,
        iif: str,
        oifs: Iterable[str | Mapping[str, Any]],
        source: str | None = None,
        *,
        netns: str | None = None,
        join: bool = False,
        now: int | None = None,
    ) -> None:
        """Forward what is sent to `group` (by `source`; None or "*": by anybody) and comes in by `iif`.

        `iif` is a device, or ``@NAME`` for what crosses from the namespace at path NAME. Each of `oifs` is a device, or
        ``{dev, ttl}`` with a threshold: only a larger TTL goes that way. `netns` is one more way, into the namespace at
        that path. With `join` this namespace is a member at `iif`, of that source alone when there is one, so that
        routers and switches there send it. OSError EEXIST, ENODEV, EINVAL for link scope, ENOSPC.
        """
        now = self.stack.advance(now)
        self.check_open()
        family, to, whence = self._stream(group, source)
        routes = self.groups_state.routes
        if routes.exact(to, whence) is not None:
            raise FileExistsError(errno.EEXIST, "there is such a multicast route already")
        if routes.count >= MAX_ROUTES:
            raise OSError(errno.ENOSPC, f"there are {MAX_ROUTES} multicast routes already")
        port: Device | str = iif[1:] if iif.startswith("@") else self._link(iif)
        ways: list[tuple[Device | Crossing, int]] = []
        for one in oifs:
            name, ttl = (one, 0) if isinstance(one, str) else (one["dev"], one.get("ttl", 0))
            dev = self._link(name)
            if isinstance(ttl, bool) or not isinstance(ttl, int) or not 0 <= ttl <= MAX_TTL:
                raise OSError(errno.EINVAL, f"a threshold is 0 to {MAX_TTL}")
            if dev is port or any(way is dev for way, _ in ways):
                raise OSError(errno.EINVAL, f"device {dev.name!r} stands there twice")
            ways.append((dev, ttl))
        if join and isinstance(port, str):
            raise OSError(errno.EINVAL, "there is nobody to join at a short-cut")
        if len(ways) > MAX_OIFS or not (ways or netns):
            raise OSError(errno.EINVAL, f"1 to {MAX_OIFS} ways out")
        if netns is not None:
            if netns == self.name:
                raise OSError(errno.EINVAL, "that is this namespace itself")
            crossing = self.crossing_to(netns)
            crossing.routes += 1
            ways.append((crossing, 0))
        route = MulticastRoute(family, whence, to, port, ways)
        routes.add(route)
        if isinstance(port, Device):
            port.allmulti += 1
            if join:
                route.joined = EVERYBODY if whence == ANY else Filter(False, frozenset((whence,)))
                self.want(port, family, to, None, route.joined)
                self.settle(now)
        self._count_forwarding([(dev, family) for dev in route.devices()], 1)

    def del_mroute(self, group: str, source: str | None = None, *, now: int | None = None) -> None:
        """Take out the multicast route of a group and source (None or "*": any); OSError ENOENT."""
        now = self.stack.advance(now)
        _, to, whence = self._stream(group, source)
        route = None if self._groups is None else self._groups.routes.exact(to, whence)
        if route is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such multicast route")
        self._drop_mroute(route)
        self.settle(now)

    def _drop_mroute(self, route: MulticastRoute) -> None:
        self.groups_state.routes.remove(route)
        if isinstance(route.iif, Device):
            route.iif.allmulti -= 1
            if route.joined is not None:
                self.want(route.iif, route.family, route.group, route.joined, None)
        for way, _ in route.ways:
            if not isinstance(way, Device):
                way.routes -= 1
        self.forget_unused_crossings()
        self._count_forwarding([(dev, route.family) for dev in route.devices()], -1)

    @staticmethod
    def _stream(group: str, source: str | None) -> tuple[int, int, int]:
        """(family, group, source or `ANY`); OSError EINVAL when it is none that can be forwarded."""
        family, to = addr.parse_address(group)
        dialect = DIALECTS[family]
        if not dialect.is_group(to) or dialect.is_link_scope(to):
            raise OSError(errno.EINVAL, f"{group} is no group that is forwarded")
        if source is None or source == "*":
            return family, to, ANY
        origin, whence = addr.parse_address(source)
        if origin != family or not whence or dialect.is_group(whence):
            raise OSError(errno.EINVAL, f"{source} is no source of {group}")
        return family, to, whence

    def _count_forwarding(self, ports: Iterable[tuple[Device, int]], more: int) -> None:
        """One more (1) or less (-1) forwards at these (device, family): ``mc_forwarding`` shows where any does."""
        counts = self._mc_devices
        for key in ports:
            dev, family = key
            had = counts.pop(key, 0)
            if had + more:
                counts[key] = had + more
            if not had or not had + more:
                if not dev.removed and dev.ns is self.this:
                    self.sysctl.multicast_routing(family, dev.name, key in counts)
                self.sysctl.multicast_routing(family, "all", any(one == family for _, one in counts))

    # -- proxy and multicast DNS --------------------------------------------------------------------------------------

    def set_multicast_proxy(
        self, upstream: Device | str | None, downstream: Iterable[Device | str] = (), *, now: int | None = None
    ) -> None:
        """Be an IGMP and MLD proxy (RFC 4605) with these devices; `upstream` None: be none. OSError EINVAL, ENODEV."""
        now = self.stack.advance(now)
        self.check_open()
        proxy = None
        if upstream is not None:
            up, down = self._link(upstream), [self._link(dev) for dev in downstream]
            if not down or up in down or len(set(down)) != len(down) or len(down) > MAX_OIFS:
                raise OSError(errno.EINVAL, f"a proxy has one device upstream and 1 to {MAX_OIFS} others downstream")
            proxy = Proxy(up, down)
        self._replace_proxy(proxy, now)
        self.settle(now)

    def _replace_proxy(self, proxy: Proxy | None, now: int) -> None:
        tables = self.groups_state
        old, tables.proxy = tables.proxy, proxy
        if old is not None:
            old.upstream.allmulti -= 1
            for (family, group), state in old.wanted.items():
                self.want(old.upstream, family, group, state, None)
        if proxy is not None:
            proxy.upstream.allmulti += 1
        self._fit_queriers(now)
        for (_, family), querier in tables.queriers.items():
            tables.dirty.update({(family, group): None for group in querier.groups})
        for one, more in ((proxy, 1), (old, -1)):
            if one is not None:
                ports = (one.upstream, *one.downstream)
                self._count_forwarding([(dev, family) for dev in ports for family in DIALECTS], more)

    def set_mdns(self, devices: Iterable[Device | str], *, now: int | None = None) -> None:
        """Let multicast DNS cross between the links of these devices (`l3.multicast.mdns`); none: no more."""
        now = self.stack.advance(now)
        self.check_open()
        found = list(dict.fromkeys(self._link(dev) for dev in devices))
        if len(found) == 1:
            raise OSError(errno.EINVAL, "multicast DNS crosses between two devices at least")
        self._replace_mdns(found)
        self.settle(now)

    def _replace_mdns(self, devices: list[Device]) -> None:
        tables = self.groups_state
        old, tables.mdns = tables.mdns, MdnsReflector(devices) if devices else None
        for change, ports in ((release, [] if old is None else old.devices), (hold, devices)):
            for dev in ports:
                for family, group in MDNS_GROUPS.items():
                    change(self, family, group, dev)

    # -- devices that change ------------------------------------------------------------------------------------------

    def detach_device(self, dev: Device, now: int) -> None:
        """As for any device; what is configured of groups at it goes, a proxy with any of its devices."""
        tables = self._groups
        if tables is not None:
            for route in [route for route in tables.routes.all() if route.uses(dev)]:
                self._drop_mroute(route)
            proxy = tables.proxy
            if proxy is not None and (proxy.upstream is dev or dev in proxy.downstream):
                left = [one for one in proxy.downstream if one is not dev]
                self._replace_proxy(Proxy(proxy.upstream, left) if left and proxy.upstream is not dev else None, now)
            if tables.mdns is not None and dev in tables.mdns.devices:
                rest = [one for one in tables.mdns.devices if one is not dev]
                self._replace_mdns(rest if len(rest) > 1 else [])
            for family in DIALECTS:
                self._asked.pop((dev, family), None)
            self._fit_queriers(now)
        super().detach_device(dev, now)
        if self._groups is not None:
            self._groups.device_removed(dev)

    def _quiet(self, dev: Device, now: int) -> None:
        super()._quiet(dev, now)
        if self._groups is not None:
            self._groups.device_down(dev)

    def _greet(self, dev: Device, now: int) -> None:
        super()._greet(dev, now)
        if self._groups is not None:
            self._groups.device_up(dev, now)

    # -- what is shown ------------------------------------------------------------------------------------------------

    def mroutes(self) -> list[dict[str, Any]]:
        """The multicast routes, as ``ip mroute``: configured ones (proto ``static``), then what the proxy forwards."""
        tables = self._groups
        if tables is None:
            return []
        rows = [
            {
                "netns": self.name,
                "group": addr.format_address(route.group, route.family),
                "source": None if route.source == ANY else addr.format_address(route.source, route.family),
                "iif": f"@{route.iif}" if isinstance(route.iif, str) else route.iif.name,
                "oifs": [{"dev": way.name, "ttl": ttl} for way, ttl in route.ways if isinstance(way, Device)],
                "target_netns": next((w.target_name for w, _ in route.ways if not isinstance(w, Device)), None),
                "proto": "static",
                "packets": route.packets,
                "bytes": route.bytes,
                "wrong_iif": route.wrong,
            }
            for route in tables.routes.all()
        ]
        proxy = tables.proxy
        if proxy is not None:
            for family, group in sorted(proxy.wanted):
                ways = [dev for dev in proxy.downstream if self._listens(tables, dev, family, group)]
                rows.append(
                    {
                        "netns": self.name,
                        "group": addr.format_address(group, family),
                        "source": None,
                        "iif": proxy.upstream.name,
                        "oifs": [{"dev": dev.name, "ttl": 0} for dev in ways],
                        "target_netns": None,
                        "proto": "proxy",
                        "packets": 0,
                        "bytes": 0,
                        "wrong_iif": 0,
                    }
                )
        return rows

    @staticmethod
    def _listens(tables: GroupTables, dev: Device, family: int, group: int) -> bool:
        querier = tables.queriers.get((dev, family))
        return querier is not None and group in querier.groups

    def groups(self) -> list[dict[str, Any]]:
        """The groups that this namespace is a member of, as ``ip maddress``: by how many, and from whom."""
        rows = []
        for dev in self.devices.values():
            everywhere = [(addr.V4, addr.ALL_HOSTS4)]
            if dev.with_ipv6:
                everywhere.append((addr.V6, addr.ALL_NODES6))
            rows += [self._group_row(dev, family, group, EVERYBODY, 1) for family, group in everywhere]
            rows += [
                self._group_row(
                    dev, addr.V4 if group <= addr.BROADCAST4 else addr.V6, group, entry.state, entry.members
                )
                for (group, port), entry in self.memberships.items()
                if port is dev
            ]
        return rows

    def _group_row(self, dev: Device, family: int, group: int, state: Any, users: int) -> dict[str, Any]:
        return {
            "netns": self.name,
            "dev": dev.name,
            "group": addr.format_address(group, family),
            "mode": "exclude" if state.exclude else "include",
            "sources": [addr.format_address(source, family) for source in sorted(state.sources)],
            "users": users,
        }

    def listeners(self) -> list[dict[str, Any]]:
        """Who was reported to listen at devices with a querier: of each group the filter, and when it ends."""
        now, rows = self.stack.now, []
        for (dev, family), querier in () if self._groups is None else self._groups.queriers.items():
            for group, one in querier.groups.items():
                state = one.state()
                running = {s: until - now for s, until in one.sources.items() if until}
                rows.append(
                    {
                        "netns": self.name,
                        "dev": dev.name,
                        "group": addr.format_address(group, family),
                        "mode": "exclude" if state.exclude else "include",
                        "sources": [addr.format_address(source, family) for source in sorted(state.sources)],
                        "requested": {addr.format_address(s, family): left for s, left in sorted(running.items())},
                        "version": one.version(querier.dialect.newest, now),
                        "expires_ns": one.until - now if one.exclude else max(running.values()),
                    }
                )
        return rows

    def queriers(self) -> list[dict[str, Any]]:
        """Who asks at the devices where this namespace would: itself, or who was elected."""
        now, rows = self.stack.now, []
        for (dev, family), querier in () if self._groups is None else self._groups.queriers.items():
            ours = querier.is_querier(now)
            address = querier.dialect.source(dev) if ours else querier.other
            rows.append(
                {
                    "netns": self.name,
                    "dev": dev.name,
                    "protocol": querier.dialect.name,
                    "version": querier.version,
                    "querier": addr.format_address(address, family) if address else None,
                    "elected": ours,
                    "expires_ns": None if ours else querier.other_until - now,
                    "groups": len(querier.groups),
                    "refused": querier.refused,
                }
            )
        return rows
