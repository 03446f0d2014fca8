"""From the records of a configuration to namespaces that are set up: in which order, and by which calls of the stack.

The order: namespaces; settings of namespaces, of ``all`` and of ``default``; devices, each behind those that it stands
on, with its own settings, and the ports of a bridge right behind it; then, when the TAPs are open (`appliance`), so
that what is announced reaches the wire: addresses, neighbours, next-hop objects, rules, routes, files of routes; at
last what speaks by itself, advertisements and multicast.

Expects: a validated `Config`, namespaces that are made.
Sets:    everything below them.
Next:    `driver` moves frames.

A setting of ``all`` is written once more when the devices are there, where ``default`` does not pass it on to them: in
a file all devices are there at once, so that all of them are meant. A tag that its target does not accept is made all
the same, and its frames are CROSSING_DENIED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from vrouter.config import stacking
from vrouter.netns.loading import load, pieces_of
from vrouter.stack.base.addresses import V4, scoped
from vrouter.stack.sysctl.names import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vrouter.config.records import Config, DeviceConfig, IngressConfig, NeighborConfig, NetnsConfig, PortConfig
    from vrouter.driver import Driver
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

ADDR_GEN_MODES: Final = {"eui64": 0, "none": 1, "stable-privacy": 2, "random": 3}
HEARS_ALWAYS: Final = 2  # accept_ra of a router that is a host on this link
_IDENTIFIES: Final = ("addr_gen_mode", "stable_secret")  # of them the link-local address is made


class Builder:
    """Builds what `config` says into the namespaces of `driver`'s stack."""

    def __init__(self, driver: Driver, config: Config) -> None:
        self.driver = driver
        self.config = config
        self.stack = driver.stack
        self._tags: dict[stacking.Spot, tuple[str, IngressConfig]] = {
            (tag.netns, tag.name): (ns.path, tag) for ns in config.netns.values() for tag in ns.ingress
        }

    def links(self) -> None:
        """Settings and devices; no TAP is open yet. The namespaces are there."""
        for path, ns in self.config.netns.items():
            self._settings(self.stack.namespaces[path], ns)
        for source, tag in self._tags.values():
            target = self.stack.namespaces[tag.netns]
            target.accept_from |= {source}
        for path, name in stacking.build_order(self.config):
            self._device(path, name)
        for path, ns in self.config.netns.items():
            made = self.stack.namespaces[path]
            made.accept_from = frozenset(ns.accept_from)
            self._settings_again(made, ns)

    async def rest(self) -> None:
        """Everything else. OSError; ConfigError for the lines of a file of routes that contradict one another."""
        for path, ns in self.config.netns.items():
            for config in ns.devices.values():
                add_addresses(self.driver, self.stack.namespaces[path], config)
        for path, ns in self.config.netns.items():
            made = self.stack.namespaces[path]
            self._nexthops(made, ns)
            self._rules(made, ns)
            self._routes(made, ns)
        for path, ns in self.config.netns.items():
            if ns.routes_file is not None:
                name = ns.routes_file
                await load(self.driver, self.stack.namespaces[path], pieces_of(name), name=name)
        for path, ns in self.config.netns.items():
            made = self.stack.namespaces[path]
            for config in ns.devices.values():
                begin_speaking(self.driver, made, config)
            self._multicast(made, ns)

    # -- settings -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _settings(made: Netns, ns: NetnsConfig) -> None:
        """Those of the namespace, of all and default."""
        for wanted in ("", "all", "default"):
            for name, (scope, value) in _scopes(ns).items():
                if scope == wanted:
                    made.sysctl[name] = value

    @staticmethod
    def _settings_again(made: Netns, ns: NetnsConfig) -> None:
        """Those of all that default did not pass on, and those of lo."""
        scopes = _scopes(ns)
        for name, (scope, value) in scopes.items():
            if scope == "all" and name.replace(".all.", ".default.", 1) not in ns.sysctl:
                made.sysctl[name] = value
        for name, (scope, value) in scopes.items():
            if scope not in ("", "all", "default"):
                made.sysctl[name] = value

    # -- devices ------------------------------------------------------------------------------------------------------

    def _device(self, path: str, name: str) -> None:
        ns, made = self.config.netns[path], self.stack.namespaces[path]
        config = ns.devices[name]
        given = self._tags.get((path, name))
        if config.kind == "lo":
            self.driver.call(made.set_device, "lo", mtu=config.mtu)
            return
        if given is not None:
            source, tag = given
            below = self.stack.namespaces[source]
            self.driver.call(below.add_ingress, tag.dev, tag.vid, made, name, tag.protocol)
            made.devices[name].acd = config.acd
            if config.mtu or config.mac is not None:
                self.driver.call(made.set_device, name, mtu=config.mtu or None, mac=config.mac)
        elif name not in made.devices:  # a veth is made with its first end
            peer = config.peer
            other = None if peer is None else self.config.netns[peer.netns].devices[peer.dev]
            add_device(self.driver, made, config, other)
        own = {key: value for key, (scope, value) in _scopes(ns).items() if scope == name}
        adjust(self.driver, made, config, own)
        if config.settings is not None:
            ports = [port for port, bridge in stacking.members(ns.devices).items() if bridge == name]
            for port in ports:
                join(self.driver, made, name, port, ns.devices[port].port)

    # -- routes -------------------------------------------------------------------------------------------------------

    def _nexthops(self, made: Netns, ns: NetnsConfig) -> None:
        for nexthop in ns.nexthops:
            self.driver.call(
                made.add_nexthop,
                nexthop.id,
                via=_text(nexthop.via),
                dev=nexthop.dev,
                group=nexthop.group or None,
                blackhole=nexthop.blackhole,
                onlink=nexthop.onlink,
                family=nexthop.family,
            )

    def _rules(self, made: Netns, ns: NetnsConfig) -> None:
        for rule in ns.rules:
            self.driver.call(
                made.add_rule,
                **{
                    "family": rule.family,
                    "priority": rule.priority,
                    "from": _text(rule.source),
                    "to": _text(rule.destination),
                    "iif": rule.iif,
                    "oif": rule.oif,
                    "mark": rule.mark,
                    "tos": rule.tos or None,
                    "table": rule.table,
                    "action": None if rule.type == "unicast" else rule.type,
                    "goto": rule.goto,
                    "invert": rule.invert or None,
                    "suppress_prefixlength": rule.suppress_prefixlength,
                },
            )

    def _routes(self, made: Netns, ns: NetnsConfig) -> None:
        for route in ns.routes:
            hops = [
                {"via": _text(hop.via), "dev": hop.dev, "weight": hop.weight, "onlink": hop.onlink}
                for hop in route.nexthops
            ]
            self.driver.call(
                made.add_route,
                str(route.to),
                _text(route.via),
                route.dev,
                netns=route.netns,
                table=route.table,
                metric=route.metric,
                type=route.type,
                src=_text(route.src),
                mtu=route.mtu,
                advmss=route.advmss,
                onlink=route.onlink,
                nexthops=hops or None,
                nhid=route.nhid,
            )

    # -- multicast ----------------------------------------------------------------------------------------------------

    def _multicast(self, made: Netns, ns: NetnsConfig) -> None:
        call = self.driver.call
        for route in ns.mroutes:
            oifs = [{"dev": dev, "ttl": ttl} for dev, ttl in route.oifs]
            call(made.add_mroute, str(route.group), route.iif, oifs, _text(route.source), netns=route.netns)
        settings = ns.multicast
        for dev in settings.querier:
            call(made.set_querier, dev, igmp=True, mld=True)
        if settings.proxy is not None:
            call(made.set_multicast_proxy, settings.proxy.upstream, settings.proxy.downstream)
        if settings.mdns:
            call(made.set_mdns, settings.mdns)


def add_device(driver: Driver, ns: Netns, config: DeviceConfig, peer: DeviceConfig | None) -> Device:
    """Make a device of any kind but a given tag; of a veth both ends, the other one as `peer` says."""
    if config.kind == "tap":
        tap: Device = driver.call(
            ns.add_device, config.name, config.mac, config.mtu, kind="tap", vnet_hdr=True, prepare=_not_open
        )
        tap.acd = config.acd
        tap.ifname = config.ifname or ""
        return tap
    if config.peer is not None:
        return _add_pair(driver, ns, config, peer)
    made: Device = driver.call(
        ns.add_device,
        config.name,
        config.mac,
        config.mtu or None,
        kind=config.kind,
        parent=config.parent,
        vid=config.vid,
        protocol=config.protocol,
    )
    made.acd = config.acd
    if config.settings is not None:
        options = _given(config.settings)
        options.pop("ports", None)
        if options:
            driver.call(ns.set_bridge, made, **options)
        own = {} if config.port is None else _given(config.port)
        own.pop("static", None)
        if own:
            driver.call(ns.set_port, made, **own)
    return made


def _not_open(tap: Device) -> None:
    tap.carrier, tap.error = False, "not open yet"
    tap.refresh()


def _add_pair(driver: Driver, ns: Netns, config: DeviceConfig, peer: DeviceConfig | None) -> Device:
    assert config.peer is not None
    stack = driver.stack
    other = stack.namespaces[config.peer.netns]
    mac = peer.mac if peer is not None else None
    one, two = driver.call(
        stack.add_veth, ns, config.name, other, config.peer.dev, mtu=config.mtu, mac1=config.mac, mac2=mac
    )
    one.acd = config.acd
    if peer is not None:
        two.acd = peer.acd
        two.set_mtu(peer.mtu)
    return one


def adjust(driver: Driver, ns: Netns, config: DeviceConfig, settings: Mapping[str, int | str]) -> None:
    """What is set at a device before it has addresses: its `settings` (sysctls), and how it makes link-local ones."""
    name = config.name
    prefix = f"net.ipv6.conf.{name}."
    wanted = dict(settings)
    mode = config.addr_gen_mode or ("stable-privacy" if config.autoconf else None)
    if mode is not None:
        wanted.setdefault(f"{prefix}addr_gen_mode", ADDR_GEN_MODES[mode])
    if config.autoconf and not int(ns.sysctl[f"{prefix}accept_ra"]) == HEARS_ALWAYS:
        wanted.setdefault(f"{prefix}accept_ra", HEARS_ALWAYS)
    if any(f"{prefix}{key}" in wanted for key in _IDENTIFIES):
        # The address that it has was made without them.
        wanted.setdefault(f"{prefix}disable_ipv6", ns.sysctl[f"{prefix}disable_ipv6"])
        wanted[f"{prefix}disable_ipv6"] = wanted.pop(f"{prefix}disable_ipv6")  # at last
        driver.call(_write, ns, {f"{prefix}disable_ipv6": 1})
    driver.call(_write, ns, wanted)
    if not config.up:
        driver.call(ns.set_device, name, up=False)


def _write(ns: Netns, settings: Mapping[str, int | str], *, now: int) -> None:
    ns.stack.advance(now)
    for name, value in settings.items():
        ns.sysctl[name] = value


def join(driver: Driver, ns: Netns, bridge: str, name: str, port: PortConfig | None) -> None:
    """Make a device a port of a bridge."""
    options = {} if port is None else _given(port)
    static = options.pop("static", ())
    driver.call(ns.set_port, name, bridge=bridge, **options)
    for mac in static:
        driver.call(ns.fdb_add, bridge, mac, name)


def set_up(driver: Driver, device: Device, config: DeviceConfig) -> None:
    """All that a device that was added to a running router is to have; it may have moved meanwhile."""
    ns = device.ns
    config = msgspec.structs.replace(config, name=device.name)
    for port in config.settings.ports if config.settings is not None else ():
        join(driver, ns, device.name, port, None)
    if config.bridge is not None:
        join(driver, ns, config.bridge, device.name, config.port)
    add_addresses(driver, ns, config)
    begin_speaking(driver, ns, config)


def add_addresses(driver: Driver, ns: Netns, config: DeviceConfig) -> None:
    """A device's addresses and neighbours, and for whom it answers."""
    for address in config.addresses:
        driver.call(ns.add_address, config.name, str(address))
    for neighbor in config.neighbors:
        driver.call(_add_neighbor, ns, config.name, neighbor)
    for proxied in config.proxy:
        driver.call(ns.add_proxy, config.name, str(proxied))


def _add_neighbor(ns: Netns, dev: str, neighbor: NeighborConfig, *, now: int) -> None:
    device = ns.device(dev)
    address = int(neighbor.address)
    if neighbor.address.version == V4:
        ns.neigh4.add_static(device, address, neighbor.mac, now)
    else:
        ns.neigh6.add_static(device, scoped(address, device.ifindex), neighbor.mac, now)
    ns.settle(now)


def begin_speaking(driver: Driver, ns: Netns, config: DeviceConfig) -> None:
    """What a device tells and asks by itself: as a router, and of routers."""
    if config.ra is not None:
        driver.call(ns.set_ra, config.name, config.ra)
    if config.autoconf is not None:
        driver.call(ns.set_autoconf, config.name, config.autoconf)


def fall_silent(driver: Driver, ns: Netns) -> None:
    """The router stops: who relies on what it advertises is told (RFC 4861 6.2.5)."""
    for dev in list(ns.devices.values()):
        if ns.ra(dev) is not None:
            driver.call(_stop_advertising, ns, dev)


def _stop_advertising(ns: Netns, dev: Device, *, now: int) -> None:
    ns.stack.advance(now)
    ns.ndp.device_stopping(dev, now)
    ns.settle(now)


def _scopes(ns: NetnsConfig) -> dict[str, tuple[str, int | str]]:
    """(scope, value) of each setting: a device, all, default, or "" for the namespace itself."""
    devices = {"lo", *ns.devices}
    return {name: (find(name, devices)[2], value) for name, value in ns.sysctl.items()}


def _given(record: msgspec.Struct) -> dict[str, Any]:
    """The fields of a record that were given."""
    return {key: value for key, value in msgspec.structs.asdict(record).items() if value not in (None, ())}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
