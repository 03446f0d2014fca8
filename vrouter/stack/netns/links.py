"""Devices above devices: VLANs, tags given to other namespaces, bridges and their ports, as they are configured.

A vlan device is up when it is set up and the device below is ready; its MTU is at most that one's, its MAC address is
that one's until it gets its own, and it goes when that one goes. A bridge device goes with nobody; its ports stay, as
plain devices.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4, format_mac
from vrouter.stack.base.events import EventKind
from vrouter.stack.crossing import IngressTag
from vrouter.stack.device import DEFAULT_MTU, VLAN_OVERHEAD, Device
from vrouter.stack.l2.bridge import MAX_PORTS, Bridge, BridgePort
from vrouter.stack.l2.bridge_vlan import Membership, check_vid
from vrouter.stack.l2.storm import StormLimits
from vrouter.stack.l2.vlan import PROTOCOLS
from vrouter.stack.netns import link_rows
from vrouter.stack.netns.devices import Devices, checked_mac
from vrouter.stack.wire.ethernet import ETHERTYPE_VLAN, VLAN_LEN

if TYPE_CHECKING:
    from vrouter.stack.netns.netns import Netns

MAX_DEPTH: Final = 8  # devices on one another, as in Linux
UNCHANGED: Final = ""
SECOND: Final = 1_000_000_000
STP_MODES: Final = ("none", "stp", "rstp")
GUARDS: Final = ("none", "bpdu", "root")
PORT_STATES: Final = ("forwarding", "learning", "blocking", "disabled")
# Bounds of the spanning tree's parameters (IEEE 802.1D-2004 tables 17-1 and 17-2), and of the ageing time (7-5).
_RANGES: Final = {
    "priority": (0, 61440),
    "hello_time": (1, 10),
    "max_age": (6, 40),
    "forward_delay": (4, 30),
    "ageing_time": (0, 1_000_000),
    "default_pvid": (0, 4094),
}
_FLAGS: Final = ("vlan_filtering", "mcast_snooping", "mcast_querier")
_PORT_FLAGS: Final = ("isolated", "learning", "flood", "mcast_router")
_PORT_RANGES: Final = {"cost": (1, 200_000_000), "priority": (0, 240)}
_PORT_WORDS: Final = {"state": PORT_STATES, "guard": GUARDS}
_VLAN_KEYS: Final = ("pvid", "untagged", "tagged")


class Links(Devices):
    """The part of a namespace that stacks devices."""

    __slots__ = ()

    # -- making -------------------------------------------------------------------------------------------------------

    def add_device(
        self,
        name: str,
        mac: str | bytes | None = None,
        mtu: int | None = None,
        *,
        kind: str = "tap",
        vnet_hdr: bool = False,
        parent: Device | str | None = None,
        vid: int = 0,
        protocol: str = "802.1Q",
        prepare: Callable[[Device], None] | None = None,
        now: int | None = None,
    ) -> Device:
        """A new device that is up. `mac` as text or 6 bytes (None: a stable local one), `mtu` 68 to 65521 bytes.

        A ``vlan`` has a `parent` in this namespace, a `vid` of 1 to 4094 and the `protocol` 802.1Q or 802.1ad; its MAC
        and MTU are its parent's by default. A ``bridge`` has its lowest port's MAC and its ports' least MTU by default.
        With `vnet_hdr` frames begin with the 12-byte virtio-net header, both ways. OSError EEXIST, EINVAL, ENODEV.
        """
        if kind == "vlan":
            if parent is None:
                raise OSError(errno.EINVAL, "a vlan needs its parent")
            return self._add_vlan(self.this, name, mac, mtu, self.own(parent), vid, protocol, None, now)
        if parent is not None or vid:
            raise OSError(errno.EINVAL, f"a {kind} has no parent and no VLAN id")
        if kind == "bridge":

            def become_bridge(dev: Device) -> None:
                bridge = dev.bridge = Bridge(dev)
                bridge.fixed_mac, bridge.fixed_mtu = mac is not None, mtu is not None
                bridge.set_snooping(True, False, self.stack.now)
                dev.carrier, dev.error = False, "no port forwards"
                dev.refresh()
                if self.bridges is None:
                    self.bridges = {}
                self.bridges[bridge] = None

            prepare = become_bridge
        size = DEFAULT_MTU if mtu is None else mtu
        return super().add_device(name, mac, size, kind=kind, vnet_hdr=vnet_hdr, prepare=prepare, now=now)

    def add_ingress(
        self, dev: Device | str, vid: int, target: Netns, name: str, protocol: str = "802.1Q", *, now: int | None = None
    ) -> Device:
        """Give a tag of a device here to the namespace `target`, where it appears as the device `name`.

        OSError EACCES when `target` does not accept this namespace; when it ceases to, frames of both ways are
        CROSSING_DENIED.
        """
        below = self.own(dev)
        if target is self.this:
            raise OSError(errno.EINVAL, "a tag of its own namespace is a vlan device")
        if not target.accepts(self.name):
            raise PermissionError(errno.EACCES, f"namespace {target.name!r} does not accept from {self.name!r}")
        return self._add_vlan(target, name, None, None, below, vid, protocol, self.this, now)

    def _add_vlan(
        self,
        target: Netns,
        name: str,
        mac: str | bytes | None,
        mtu: int | None,
        below: Device,
        vid: int,
        protocol: str,
        source: Netns | None,
        now: int | None,
    ) -> Device:
        tpid = PROTOCOLS.get(protocol)
        if tpid is None:
            raise OSError(errno.EINVAL, f"no VLAN protocol {protocol!r}: {', '.join(PROTOCOLS)}")
        check_vid(vid)
        if below.kind == "lo":
            raise OSError(errno.EINVAL, "lo has no VLANs")
        if below.vlans is not None and (tpid, vid) in below.vlans:
            raise FileExistsError(errno.EEXIST, f"VLAN {vid} of {below.name!r} is a device already")
        if _depth(below) >= MAX_DEPTH:
            raise OSError(errno.ELOOP, f"more than {MAX_DEPTH} devices on one another")
        size = below.mtu if mtu is None else mtu
        _check_below(size, below)

        def join(dev: Device) -> None:
            dev.parent, dev.vid, dev.vlan_protocol = below, vid, tpid
            if source is not None:
                dev.ingress = IngressTag(source, dev)
            dev.carrier = below.ready
            dev.error = "" if below.ready else "the device below is down"
            dev.refresh()
            if below.vlans is None:
                below.vlans = {}
            below.vlans[tpid, vid] = dev
            below.layered = True
            _grow(dev)
            if below.bridge is not None and tpid == ETHERTYPE_VLAN:
                below.bridge.own.lend(vid)

        where: Links = target
        address = below.mac if mac is None else mac
        return Devices.add_device(where, name, address, size, kind="vlan", prepare=join, now=now)

    # -- changes that reach others ------------------------------------------------------------------------------------

    def detach_device(self, dev: Device, now: int) -> None:
        """As for any device; first it leaves those above and below it."""
        port: BridgePort | None = dev.bridge_port
        if port is not None:
            self._leave(port, now)
        if dev.bridge is not None:
            dev.bridge.close(now)
            if self.bridges is not None:
                self.bridges.pop(dev.bridge, None)
        for above in list((dev.vlans or {}).values()):
            if above.ns is self.this and self.closing:  # its turn comes, too
                above.parent = None
            else:
                self.stack.remove_device(above, now=now)
        dev.vlans, dev.layered = None, False
        super().detach_device(dev, now)
        below = dev.parent
        if below is not None and below.vlans is not None:
            del below.vlans[dev.vlan_protocol, dev.vid]
            if not below.vlans:
                below.vlans = None
                below.layered = below.bridge_port is not None
            if below.bridge is not None and dev.vlan_protocol == ETHERTYPE_VLAN:
                below.bridge.own.take_back(dev.vid)
        dev.parent = None

    def set_device(
        self,
        name: str,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        mac: str | bytes | None = None,
        now: int | None = None,
    ) -> None:
        """Administrative state, MTU and MAC address of a device.

        A vlan device's MTU is at most its parent's; what is above a device follows it down. Another MAC address is told
        to the neighbours; vlan devices above that had the old one get it, too.
        """
        now = self.stack.advance(now)
        dev = self.device(name)
        address = None if mac is None else checked_mac(mac)
        if mtu is not None and dev.parent is not None:
            _check_below(mtu, dev.parent)
        if address is not None and dev.kind == "lo":
            raise OSError(errno.EOPNOTSUPP, "lo has no MAC address")
        super().set_device(name, up=up, mtu=mtu, now=now)
        if address is not None:
            if dev.bridge is not None:
                dev.bridge.fixed_mac, dev.bridge.own_mac = True, address
            self._change_mac(dev, address, now)
        if mtu is not None:
            if dev.bridge is not None:
                dev.bridge.fixed_mtu = True
            self._mtu_changed(dev)
        if up is not None:
            self._state_changed(dev, now)

    def set_carrier(self, dev: Device, carrier: bool, error: str = "", now: int | None = None) -> None:
        """The driver's news: whether frames can pass at `dev`, and if not, why."""
        before = dev.ready
        super().set_carrier(dev, carrier, error, now)
        if dev.ready != before:
            self._state_changed(dev, self.stack.now)

    def _state_changed(self, dev: Device, now: int) -> None:
        """What is above follows."""
        for above in list((dev.vlans or {}).values()):
            above.ns.set_carrier(above, dev.ready, "" if dev.ready else "the device below is down", now)
        port: BridgePort | None = dev.bridge_port
        if port is not None:
            port.bridge.link_changed(port, now)
            self.settle(now)

    def _mtu_changed(self, dev: Device) -> None:
        for above in (dev.vlans or {}).values():
            if above.mtu > dev.mtu:
                above.set_mtu(dev.mtu)
                above.ns._ipv6_follows(above, self.stack.now)
                self._mtu_changed(above)
        _grow(dev)
        if dev.bridge_port is not None:
            self._fit(dev.bridge_port.bridge)

    def _change_mac(self, dev: Device, mac: bytes, now: int) -> None:
        old = dev.mac
        if mac == old:
            return
        ns: Links = dev.ns
        ns.macs[old] -= 1
        if not ns.macs[old]:
            del ns.macs[old]
        ns.macs[mac] = ns.macs.get(mac, 0) + 1
        self.stack.free_mac(dev)
        dev.mac = mac
        for neigh in (*dev.neigh4.values(), *dev.neigh6.values()):
            if neigh.header is not None:
                neigh.header = neigh.header[:6] + mac
        for above in (dev.vlans or {}).values():
            if above.mac == old:
                self._change_mac(above, mac, now)
        if dev.bridge is not None:
            dev.bridge.refresh_macs()
        if dev.bridge_port is not None:
            self._fit(dev.bridge_port.bridge)
        for a in dev.addresses:
            if a.state != "conflict" and a.family == V4:
                ns._announce(a, now)
        if dev.with_ipv6:
            ns.ndp.mac_changed(dev, now)
        ns.settle(now)

    # -- bridges ------------------------------------------------------------------------------------------------------

    def bridge(self, name: Device | str) -> Bridge:
        """The bridge of this device; OSError EINVAL when it is none."""
        dev = self.own(name)
        if dev.bridge is None:
            raise OSError(errno.EINVAL, f"device {dev.name!r} is no bridge")
        found: Bridge = dev.bridge
        return found

    def set_bridge(self, name: Device | str, *, now: int | None = None, **options: Any) -> None:
        """Parameters of a bridge: `stp` (none, stp, rstp), `priority` (0 to 61440 in steps of 4096), `hello_time`,
        `max_age`, `forward_delay`, `ageing_time` (s), `vlan_filtering`, `default_pvid`, `mcast_snooping`,
        `mcast_querier`. OSError EINVAL, and nothing is changed, when one of them cannot be."""
        now = self.stack.advance(now)
        bridge = self.bridge(name)
        _check_options(options, _RANGES, _FLAGS, {"stp": STP_MODES})
        times = {key: options.get(key, value) for key, value in bridge.times.items()}
        if times["priority"] % 4096:
            raise OSError(errno.EINVAL, "a bridge's priority is a multiple of 4096")
        # IEEE 802.1D-2004 17.14
        if not 2 * (times["forward_delay"] - 1) >= times["max_age"] >= 2 * (times["hello_time"] + 1):
            raise OSError(errno.EINVAL, "2 (hello_time + 1) <= max_age <= 2 (forward_delay - 1) does not hold")
        if times != bridge.times:
            bridge.set_times(times, now)
        if "ageing_time" in options:
            bridge.set_ageing(options["ageing_time"] * SECOND, now)
        if "default_pvid" in options:
            self._default_pvid(bridge, options["default_pvid"])
        filtering = options.get("vlan_filtering", bridge.filtering)
        if filtering != bridge.filtering:
            bridge.filtering = filtering
            bridge.fdb.clear_learnt()
        snooping = bridge.snooping
        bridge.set_snooping(
            options.get("mcast_snooping", snooping is not None),
            options.get("mcast_querier", snooping is not None and snooping.querier),
            now,
        )
        if "stp" in options:
            bridge.set_stp(options["stp"], now)
        self.settle(now)

    @staticmethod
    def _default_pvid(bridge: Bridge, pvid: int) -> None:
        """Those that had the old default get the new one."""
        old, bridge.default_pvid = bridge.default_pvid, pvid
        for membership in (bridge.own, *(port.membership for port in bridge.ports.values())):
            if membership.pvid == old:
                membership.change(pvid=pvid)

    def set_port(
        self, dev: Device | str, *, bridge: str | None = UNCHANGED, now: int | None = None, **options: Any
    ) -> None:
        """Make a device a port of a bridge (None: of none any more), and set what it does as such.

        `cost`, `priority` (0 to 240 in steps of 16), `edge` (None: found out), `guard` (none, bpdu, root), `state`
        (forwarding, learning, blocking, disabled: the most that it may do), `isolated`, `learning`, `flood`,
        `mcast_router`, `storm` (frames a second by broadcast, multicast, unknown), and of VLAN filtering `pvid`,
        `untagged`, `tagged`. On a bridge device itself the last three say which VLANs the host is a member of.
        OSError EINVAL, EBUSY (another bridge's port), ELOOP; nothing is changed then.
        """
        now = self.stack.advance(now)
        device = self.own(dev)
        numbers = {key: _numbers(key, options[key]) for key in _VLAN_KEYS if key in options}
        if device.bridge is not None and not bridge:
            others = [key for key in options if key not in _VLAN_KEYS]
            if others or bridge is None:
                raise OSError(errno.EINVAL, f"device {device.name!r} is a bridge, and no port")
            device.bridge.own.change(**numbers)
            return
        plain = {key: value for key, value in options.items() if key not in (*_VLAN_KEYS, "storm", "edge")}
        _check_options(plain, _PORT_RANGES, _PORT_FLAGS, _PORT_WORDS)
        if plain.get("priority", 0) % 16:
            raise OSError(errno.EINVAL, "a port's priority is a multiple of 16")
        if options.get("edge") not in (None, True, False):
            raise OSError(errno.EINVAL, "edge is true, false, or not said")
        storm = _storm(options["storm"]) if "storm" in options else None
        port: BridgePort | None = device.bridge_port
        if bridge is None:
            if port is None or options:
                raise OSError(errno.EINVAL, f"device {device.name!r} is no port of a bridge")
            self._leave(port, now)
            self.settle(now)
            return
        master = self.bridge(bridge) if bridge else None
        if master is not None and (port is None or port.bridge is not master):
            self._check_join(device, master)
        elif port is None:
            raise OSError(errno.EINVAL, f"device {device.name!r} is no port of a bridge")
        if numbers:  # judged before anything is done
            Membership().change(**numbers)
        if port is None:
            assert master is not None
            port = self._join(device, master, now)
        if numbers:
            before = set(port.membership.vids)
            port.membership.change(**numbers)
            for gone in before - set(port.membership.vids):
                port.bridge.fdb.forget(port, vid=gone)
        for key in _PORT_FLAGS:
            if key in plain:
                setattr(port, key, plain[key])
        if "storm" in options:
            port.storm = storm
        if plain.keys() & {"cost", "priority", "state", "guard"} or "edge" in options:
            port.cost, port.priority = plain.get("cost", port.cost), plain.get("priority", port.priority)
            port.admin, port.guard = plain.get("state", port.admin), plain.get("guard", port.guard)
            port.edge = options.get("edge", port.edge)
            port.bridge.configure_port(port, now)
        self.settle(now)

    def _check_join(self, dev: Device, bridge: Bridge) -> None:
        if dev.kind == "lo" or dev.bridge is not None:
            raise OSError(errno.EINVAL, f"a {'bridge' if dev.bridge else 'lo'} cannot be a bridge's port")
        if dev.bridge_port is not None:
            raise OSError(errno.EBUSY, f"device {dev.name!r} is a port of {dev.bridge_port.bridge.dev.name!r}")
        if bridge.dev in _below(dev):
            raise OSError(errno.ELOOP, f"device {dev.name!r} stands on that bridge itself")
        if len(bridge.ports) >= MAX_PORTS:
            raise OSError(errno.EXFULL, f"a bridge has at most {MAX_PORTS} ports")
        if max(_depth(dev) + 1, _depth(bridge.dev)) > MAX_DEPTH:
            raise OSError(errno.ELOOP, f"more than {MAX_DEPTH} devices on one another")

    def _join(self, dev: Device, bridge: Bridge, now: int) -> BridgePort:
        port = bridge.add_port(dev, now)
        self._fit(bridge)
        self.stack.events.add(now, EventKind.DEVICE_STATE, self.name, dev.name, state=dev.state, bridge=bridge.dev.name)
        return port

    def _leave(self, port: BridgePort, now: int) -> None:
        bridge = port.bridge
        bridge.remove_port(port, now)
        if not bridge.dev.removed:
            self._fit(bridge)
            self.settle(now)

    def _fit(self, bridge: Bridge) -> None:
        """The bridge device's MAC and MTU follow its ports."""
        dev, now = bridge.dev, self.stack.now
        mac = bridge.addresses_changed()
        if mac != dev.mac:
            self._change_mac(dev, mac, now)
        else:
            bridge.refresh_macs()
        if not bridge.fixed_mtu:
            dev.set_mtu(min((port.mtu for port in bridge.ports), default=DEFAULT_MTU))
            if not dev.ns.closing:
                dev.ns._ipv6_follows(dev, now)
            self._mtu_changed(dev)
        dev.max_frame = max(dev.max_frame, *(port.max_frame for port in (dev, *bridge.ports)))

    def fdb_add(
        self, bridge: Device | str, mac: str | bytes, dev: Device | str, vlan: int = 0, *, now: int | None = None
    ) -> None:
        """Say where a station is: it neither ages nor moves. With VLAN filtering `vlan` 0 is every VLAN of the port.
        OSError EEXIST, EINVAL."""
        now = self.stack.advance(now)
        master, address = self.bridge(bridge), checked_mac(mac)
        port = master.ports.get(self.own(dev))
        if port is None:
            raise OSError(errno.EINVAL, f"device {self.own(dev).name!r} is no port of {master.dev.name!r}")
        check_vid(vlan, 0)
        if address in master.own_macs:
            raise FileExistsError(errno.EEXIST, "that is an address of the bridge itself")
        for vid in self._vids(master, port, vlan):
            master.fdb.add_static(port, vid, address, now)

    def fdb_del(self, bridge: Device | str, mac: str | bytes, vlan: int = 0, *, now: int | None = None) -> None:
        """Forget where a station is, learnt or said; OSError ENOENT when nobody knows. `vlan` 0: in all VLANs."""
        self.stack.advance(now)
        master, address = self.bridge(bridge), checked_mac(mac)
        found = [vid for vid, table in master.fdb.tables.items() if address in table and vlan in (0, vid)]
        if not found:
            raise FileNotFoundError(errno.ENOENT, f"no entry for {format_mac(address)}")
        for vid in found:
            master.fdb.remove(vid, address)

    @staticmethod
    def _vids(bridge: Bridge, port: BridgePort, vlan: int) -> list[int]:
        if not bridge.filtering:
            return [0]
        return [vlan] if vlan else list(port.membership.vids)

    # -- what is shown ------------------------------------------------------------------------------------------------

    def fdb(self) -> list[dict[str, Any]]:
        """Where stations are, as ``bridge fdb show``."""
        return link_rows.fdb_rows(self.this)

    def ports(self) -> list[dict[str, Any]]:
        """The ports of bridges, as ``bridge link show`` and ``bridge vlan show``."""
        return link_rows.port_rows(self.this)

    def bridge_rows(self) -> list[dict[str, Any]]:
        """The bridges, and what their spanning trees found."""
        return link_rows.bridge_rows(self.this)

    def vlan_rows(self) -> list[dict[str, Any]]:
        """The vlan devices of this namespace."""
        return link_rows.vlan_rows(self.this)

    def mdb(self) -> list[dict[str, Any]]:
        """Which groups are wanted at which ports, as ``bridge mdb show``."""
        return link_rows.mdb_rows(self.this)


def _check_options(
    options: Mapping[str, Any],
    ranges: Mapping[str, tuple[int, int]],
    flags: Iterable[str],
    words: Mapping[str, tuple[str, ...]],
) -> None:
    """OSError EINVAL for an unknown name or a value that it cannot have."""
    for key, value in options.items():
        if key in ranges:
            low, high = ranges[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise OSError(errno.EINVAL, f"{key} is {low} to {high}")
        elif key in flags:
            if not isinstance(value, bool):
                raise OSError(errno.EINVAL, f"{key} is true or false")
        elif key in words:
            if value not in words[key]:
                raise OSError(errno.EINVAL, f"{key} is one of {', '.join(words[key])}")
        else:
            raise OSError(errno.EINVAL, f"there is no {key!r}")


def _numbers(key: str, value: Any) -> Any:
    """VLAN ids as they were given: a pvid, or a list."""
    found = [value] if key == "pvid" else list(value)
    if any(isinstance(vid, bool) or not isinstance(vid, int) for vid in found):
        raise OSError(errno.EINVAL, f"{key} is made of VLAN ids")
    return value if key == "pvid" else found


def _storm(rates: Mapping[str, int] | None) -> StormLimits | None:
    return StormLimits(rates) if rates else None


def _below(dev: Device) -> list[Device]:
    """All that a device stands on, itself first."""
    found = [dev]
    for one in found:
        if one.parent is not None:
            found.append(one.parent)
        if one.bridge is not None:
            found += one.bridge.ports
    return found


def _depth(dev: Device) -> int:
    """How many devices stand on one another from the lowest up to this one."""
    under = [] if dev.parent is None else [dev.parent]
    if dev.bridge is not None:
        under += dev.bridge.ports
    return 1 + max(map(_depth, under), default=0)


def _check_below(mtu: int, below: Device) -> None:
    """OSError EINVAL when a vlan device's MTU would be larger than that of the device below."""
    if mtu > below.mtu:
        raise OSError(errno.EINVAL, f"an MTU of {mtu} is more than that of {below.name!r} below, {below.mtu}")


def _grow(dev: Device) -> None:
    """The devices below take this one's largest frame with one more tag; bridges what their ports take."""
    while dev.parent is not None:
        parent = dev.parent
        parent.max_frame = max(parent.max_frame, dev.max_frame + VLAN_LEN, parent.mtu + VLAN_OVERHEAD)
        dev = parent
