"""Devices of a namespace: made, moved, switched, removed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.drop import N_REASONS, DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.names import check_device
from vrouter.stack.device import ALL_HOSTS_MAC, ALL_NODES_MAC, DEFAULT_MTU, LOOPBACK_MTU, MAX_MTU, MIN_MTU, Device
from vrouter.stack.l3.ip import USABLE
from vrouter.stack.netns.addresses import Addresses, speaks_ipv6
from vrouter.stack.sysctl import DEFAULT_DEV4, DEFAULT_NEIGH, DEFAULT_NEIGH6, DevConf6, default_dev6

DEVICE_KINDS: Final = ("tap", "veth", "vlan", "bridge")  # besides lo, which every namespace has from the start


class Devices(Addresses):
    """The part of a namespace that owns devices."""

    __slots__ = ()

    def _new_device(self, name: str, kind: str, mac: bytes, mtu: int) -> Device:
        dev = Device(self.this, name, kind, self._next_ifindex, mac, mtu)
        self._next_ifindex += 1
        self._enter(dev)
        if self._sysctl is not None:
            self._sysctl.device_added(dev)
        return dev

    def _enter(self, dev: Device) -> None:
        self.devices[dev.name] = dev
        self.macs[dev.mac] = self.macs.get(dev.mac, 0) + 1
        if self._packets is not None:
            self._packets.device_added(dev)

    def add_device(
        self,
        name: str,
        mac: str | bytes | None = None,
        mtu: int = DEFAULT_MTU,
        *,
        kind: str = "tap",
        vnet_hdr: bool = False,
        prepare: Callable[[Device], None] | None = None,
        now: int | None = None,
    ) -> Device:
        """A new device that is up. `mac` as text or 6 bytes (None: a stable local one), `mtu` 68 to 65521 bytes.

        `prepare` is called with the device before anything can be sent by it. With `vnet_hdr` its frames begin with the
        12-byte virtio-net header, both ways. OSError EEXIST, EINVAL.
        """
        now = self.stack.advance(now)
        self.check_open()
        if kind not in DEVICE_KINDS:
            raise OSError(errno.EINVAL, f"no kind of device {kind!r}: {', '.join(DEVICE_KINDS)}")
        problem = check_device(name)
        if problem:
            raise OSError(errno.EINVAL, problem)
        if name in self.devices:
            raise FileExistsError(errno.EEXIST, f"device {name!r} exists already in namespace {self.name!r}")
        check_mtu(mtu)
        mac = self.stack.stable_mac(self.name, name) if mac is None else checked_mac(mac)
        dev = self._new_device(name, kind, mac, mtu)
        dev.vnet_hdr = vnet_hdr
        if prepare is not None:
            prepare(dev)
        self.stack.events.add(now, EventKind.DEVICE_ADD, self.name, name, kind=kind)
        self._ipv6_follows(dev, now)
        return dev

    def detach_device(self, dev: Device, now: int) -> None:
        """Take everything that depends on `dev` out of this namespace: addresses, neighbours, routes, counters.

        What its counters say stays in the namespace's totals.
        """
        if dev.kind == "lo" and not self.closing:
            raise OSError(errno.EOPNOTSUPP, "lo belongs to its namespace")
        if self._ndp is not None and not self.closing:
            self.ndp.device_stopping(dev, now)
            self.settle(now)
        dev.removed = True
        dev.refresh()
        for neighbours in (self._neigh4, self._neigh6):
            if neighbours is not None:  # before the addresses: what waits dies of the device's end, not of theirs
                neighbours.flush(dev, static=True, reason=DropReason.NS_CLOSING)
        for a in list(dev.addresses):
            self._forget_address(a, now)
        if self.closing:
            dev.addresses.clear()
        else:
            self.del_device_nexthops(dev)
            for ip in self.families():
                ip.remove_device(dev)
                ip.forget_gateways()
        if self._acd is not None:
            self._acd.device_removed(dev)
        if self._ndp is not None:
            self._ndp.device_removed(dev, now)
        if self._sysctl is not None:
            self._sysctl.device_removed(dev.name)
        for sock in list(self.multicasters):
            sock.device_removed(dev)
        for capture in dev.captures:  # whoever may see this namespace may not see the next one
            capture.forget(dev)
        dev.captures = ()
        if dev.drops is not None:
            for index in range(N_REASONS):
                self.drops[index] += dev.drops[index]
            dev.drops = None
        dev.with_ipv6 = False
        del self.devices[dev.name]
        self.macs[dev.mac] -= 1
        if not self.macs[dev.mac]:
            del self.macs[dev.mac]
        self.settle(now)

    def adopt_device(self, dev: Device, name: str, now: int) -> None:
        """Take in a device that left another namespace: a new index, no addresses, this namespace's settings."""
        self.check_open()
        dev.ns, dev.name = self.this, name
        dev.ifindex = self._next_ifindex
        self._next_ifindex += 1
        dev.removed = False
        dev.conf4, dev.conf6 = DEFAULT_DEV4, default_dev6(dev.kind)
        dev.neigh_conf, dev.neigh_conf6 = DEFAULT_NEIGH, DEFAULT_NEIGH6
        dev.groups = {ALL_HOSTS_MAC: 1, ALL_NODES_MAC: 1}
        self._enter(dev)
        if self._sysctl is not None:
            self._sysctl.device_added(dev)
        dev.refresh()
        self._ipv6_follows(dev, now)

    def set_device(self, name: str, *, up: bool | None = None, mtu: int | None = None, now: int | None = None) -> None:
        """Administrative state and MTU of a device."""
        now = self.stack.advance(now)
        dev = self.device(name)
        if mtu is not None:
            check_mtu(mtu, LOOPBACK_MTU if dev.kind == "lo" else MAX_MTU)
            dev.set_mtu(mtu)
            self._ipv6_follows(dev, now)
        if up is not None and up != dev.up:
            if not up and self._ndp is not None:
                self.ndp.device_stopping(dev, now)
                self.settle(now)
            dev.up = up
            dev.refresh()
            if dev.peer is not None:
                dev.peer.ns.set_carrier(dev.peer, up, "" if up else "the other end is down", now)
            if not up:
                self._quiet(dev, now)
            for a in dev.addresses:
                if a.family == addr.V6:
                    (self.ip6.enter_prefix if up else self.ip6.leave_prefix)(a)
                if not up:
                    self.ip(a.family).deactivate(a)
                elif a.state in USABLE and (a.family == addr.V4 or not dev.with_arp):
                    self.ip(a.family).activate(a, a.state)
                elif a.state in USABLE and not dev.ready:
                    a.state = "tentative"  # until there is a carrier to look for duplicates at
            if up and dev.ready:
                self._greet(dev, now)
            self.settle(now)
            self.stack.events.add(now, EventKind.DEVICE_STATE, self.name, name, state=dev.state)

    def _meet_ipv6(self, dev: Device, now: int) -> None:
        """The first device with IPv6 begins it for the namespace."""
        if self._ip6 is None:
            self.ip6  # noqa: B018 -- its making looks at all devices
        else:
            self._begin_ipv6_on(dev, now)

    def _ipv6_follows(self, dev: Device, now: int) -> None:
        """IPv6 begins or ends at a device as its setting says, and as the MTU allows (RFC 8200 5: 1280 bytes)."""
        if dev.kind == "lo" or dev.with_ipv6 == speaks_ipv6(dev):
            return
        if dev.with_ipv6:
            self._end_ipv6_on(dev, now)
        else:
            self._meet_ipv6(dev, now)

    def _conf6_changed(self, dev: Device, before: DevConf6) -> None:
        now = self.stack.now
        if dev.conf6.disable_ipv6 != before.disable_ipv6:
            self._ipv6_follows(dev, now)
        elif self._ndp is not None:
            self._ndp.conf_changed(dev, now)
            self.settle(now)

    def _quiet(self, dev: Device, now: int) -> None:
        """The device is not ready any more: who was known there is not."""
        for neighbours in (self._neigh4, self._neigh6):
            if neighbours is not None:
                neighbours.device_down(dev)
        if self._ndp is not None:
            self._ndp.device_unready(dev, now)

    def _greet(self, dev: Device, now: int) -> None:
        """The device became ready: its addresses are told, or looked for, again."""
        for a in list(dev.addresses):
            if a.state != "conflict" or a.family == addr.V6:
                self._announce(a, now)
        if dev.with_ipv6 and dev.kind != "lo":
            self._ensure_link_local(dev, now)
            self.ndp.device_ready(dev, now)

    def set_carrier(self, dev: Device, carrier: bool, error: str = "", now: int | None = None) -> None:
        """The driver's news: whether frames can pass at `dev`, and if not, why."""
        now = self.stack.advance(now)
        self.own(dev)
        changed = carrier != dev.carrier or error != dev.error
        came = carrier and not dev.carrier
        dev.carrier, dev.error = carrier, error
        dev.refresh()
        if not carrier:
            self._quiet(dev, now)
        if changed:
            self.stack.events.add(now, EventKind.DEVICE_STATE, self.name, dev.name, state=dev.state, error=error)
        if came and dev.ready:
            self._greet(dev, now)
        self.settle(now)


def checked_mac(mac: str | bytes) -> bytes:
    """`mac`, text or 6 bytes, as bytes; OSError EADDRNOTAVAIL unless it is one that a device can have."""
    value = addr.parse_mac(mac) if isinstance(mac, str) else bytes(mac)
    if len(value) != 6 or value[0] & 1 or value == addr.NULL_MAC:
        raise OSError(errno.EADDRNOTAVAIL, "not a MAC address that a device can have")
    return value


def check_mtu(mtu: int, largest: int = MAX_MTU) -> None:
    """OSError EINVAL unless `mtu` is one that a device can have."""
    if not MIN_MTU <= mtu <= largest:
        raise OSError(errno.EINVAL, f"an MTU is {MIN_MTU} to {largest} bytes")
