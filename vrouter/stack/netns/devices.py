"""Devices of a namespace: made, moved, switched, removed."""

from __future__ import annotations

import errno
from typing import Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.drop import N_REASONS, DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.names import check_device
from vrouter.stack.device import ALL_HOSTS_MAC, DEFAULT_MTU, LOOPBACK_MTU, MAX_MTU, MIN_MTU, Device
from vrouter.stack.netns.addresses import Addresses
from vrouter.stack.sysctl import DEFAULT_DEV4, DEFAULT_NEIGH, DEFAULT_NEIGH6, default_dev6

DEVICE_KINDS: Final = ("tap", "veth")  # besides lo, which every namespace has from the start


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

    def add_device(
        self,
        name: str,
        mac: str | bytes | None = None,
        mtu: int = DEFAULT_MTU,
        *,
        kind: str = "tap",
        vnet_hdr: bool = False,
        now: int | None = None,
    ) -> Device:
        """A new device that is up. `mac` as text or 6 bytes (None: a stable local one), `mtu` 68 to 65521 bytes.

        With `vnet_hdr` its frames begin with the 12-byte virtio-net header, both ways. OSError EEXIST, EINVAL.
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
        mac = addr.parse_mac(mac) if isinstance(mac, str) else mac
        if mac is None:
            mac = self.stack.stable_mac(self.name, name)
        elif len(mac) != 6 or mac[0] & 1 or mac == addr.NULL_MAC:
            raise OSError(errno.EADDRNOTAVAIL, "not a MAC address that a device can have")
        dev = self._new_device(name, kind, bytes(mac), mtu)
        dev.vnet_hdr = vnet_hdr
        self.stack.events.add(now, EventKind.DEVICE_ADD, self.name, name, kind=kind)
        return dev

    def detach_device(self, dev: Device, now: int) -> None:
        """Take everything that depends on `dev` out of this namespace: addresses, neighbours, routes, counters.

        What its counters say stays in the namespace's totals.
        """
        if dev.kind == "lo" and not self.closing:
            raise OSError(errno.EOPNOTSUPP, "lo belongs to its namespace")
        dev.removed = True
        dev.refresh()
        if self._neigh4 is not None:  # before the addresses: what waits dies of the device's end, not of theirs
            self._neigh4.flush(dev, static=True, reason=DropReason.NS_CLOSING)
        for a in list(dev.addresses):
            self._forget_address(a, now)
        if self.closing:
            dev.addresses.clear()
        else:
            self.ip4.main.remove_device(dev)
            self.ip4.local.remove_device(dev)
        if self._acd is not None:
            self._acd.device_removed(dev)
        if self._sysctl is not None:
            self._sysctl.device_removed(dev.name)
        for sock in list(self.multicasters):
            sock.device_removed(dev)
        for capture in dev.captures:  # whoever may see this namespace may not see the next one
            capture.devices.remove(dev)
        dev.captures = ()
        if dev.drops is not None:
            for index in range(N_REASONS):
                self.drops[index] += dev.drops[index]
            dev.drops = None
        del self.devices[dev.name]
        self.macs[dev.mac] -= 1
        if not self.macs[dev.mac]:
            del self.macs[dev.mac]
        self.settle(now)

    def adopt_device(self, dev: Device, name: str) -> None:
        """Take in a device that left another namespace: a new index, no addresses, this namespace's settings."""
        self.check_open()
        dev.ns, dev.name = self.this, name
        dev.ifindex = self._next_ifindex
        self._next_ifindex += 1
        dev.removed = False
        dev.conf4, dev.conf6 = DEFAULT_DEV4, default_dev6(dev.kind)
        dev.neigh_conf, dev.neigh_conf6 = DEFAULT_NEIGH, DEFAULT_NEIGH6
        dev.groups = {ALL_HOSTS_MAC: 1}
        self._enter(dev)
        if self._sysctl is not None:
            self._sysctl.device_added(dev)
        dev.refresh()

    def set_device(self, name: str, *, up: bool | None = None, mtu: int | None = None, now: int | None = None) -> None:
        """Administrative state and MTU of a device."""
        now = self.stack.advance(now)
        dev = self.device(name)
        if mtu is not None:
            check_mtu(mtu, LOOPBACK_MTU if dev.kind == "lo" else MAX_MTU)
            dev.set_mtu(mtu)
        if up is not None and up != dev.up:
            dev.up = up
            dev.refresh()
            if dev.peer is not None:
                dev.peer.ns.set_carrier(dev.peer, up, "" if up else "the other end is down", now)
            if not up and self._neigh4 is not None:
                self._neigh4.device_down(dev)
            for a in dev.addresses:
                if not up:
                    self.ip4.deactivate(a)
                elif a.state != "conflict":
                    if a.state == "preferred":
                        self.ip4.activate(a)
                    self._announce(a, now)
            self.settle(now)
            self.stack.events.add(now, EventKind.DEVICE_STATE, self.name, name, state=dev.state)

    def set_carrier(self, dev: Device, carrier: bool, error: str = "", now: int | None = None) -> None:
        """The driver's news: whether frames can pass at `dev`, and if not, why."""
        now = self.stack.advance(now)
        self.own(dev)
        changed = carrier != dev.carrier or error != dev.error
        came = carrier and not dev.carrier
        dev.carrier, dev.error = carrier, error
        dev.refresh()
        if not carrier and self._neigh4 is not None:
            self._neigh4.device_down(dev)
        if changed:
            self.stack.events.add(now, EventKind.DEVICE_STATE, self.name, dev.name, state=dev.state, error=error)
        if came and dev.up:
            for a in dev.addresses:
                if a.state != "conflict":
                    self._announce(a, now)
        self.settle(now)


def check_mtu(mtu: int, largest: int = MAX_MTU) -> None:
    """OSError EINVAL unless `mtu` is one that a device can have."""
    if not MIN_MTU <= mtu <= largest:
        raise OSError(errno.EINVAL, f"an MTU is {MIN_MTU} to {largest} bytes")
