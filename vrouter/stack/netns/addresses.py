"""Addresses of a namespace's devices, as they are configured."""

from __future__ import annotations

import errno

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.events import EventKind
from vrouter.stack.device import Address, Device
from vrouter.stack.netns.routes import Routes


class Addresses(Routes):
    """The part of a namespace that gives addresses to devices and takes them away."""

    __slots__ = ()

    def add_address(self, dev: Device | str, text: str, *, now: int | None = None) -> Address:
        """Give a device ``ADDRESS/LENGTH``; local, broadcast and connected routes follow. OSError EEXIST, EINVAL, and
        ENODEV for a device of another namespace."""
        now = self.stack.advance(now)
        self.check_open()
        return self.add_address_value(self.own(dev), *addr.parse_interface(text), now)

    def add_address_value(self, dev: Device, family: int, address: int, length: int, now: int) -> Address:
        """`add_address` with the address as family, int and prefix length."""
        a = self.ip4.add_address(dev, address, length)
        if dev.with_arp and dev.acd == "probe":
            a.state = "tentative"
            self.acd.start(a, now)
            self.settle(now)
        else:
            self.ip4.activate(a)
            self._announce(a, now)
            if self._neigh4 is not None:
                self._neigh4.address_changed(dev)
            if dev.with_arp:
                self.settle(now)
        self.stack.events.add(now, EventKind.ADDRESS_ADD, self.name, dev.name, address=address, length=length)
        return a

    def del_address(self, dev: Device | str, text: str, *, now: int | None = None) -> None:
        """Take an address from a device; OSError EADDRNOTAVAIL when it has it not, ENODEV when it is not here."""
        now = self.stack.advance(now)
        device = self.own(dev)
        _, address, length = addr.parse_interface(text)
        for a in self.ip4.held(device, address):
            if "/" not in text or a.length == length:
                self._forget_address(a, now)
                if self._neigh4 is not None:
                    self._neigh4.address_changed(device)
                    self.settle(now)
                return
        raise OSError(errno.EADDRNOTAVAIL, f"device {device.name!r} has no address {text}")

    def _forget_address(self, a: Address, now: int) -> None:
        if a.probe is not None:
            self.acd.stop(a)
        gone = a.address
        if not self.closing:  # then they are gone all at once
            self.ip4.remove_address(a.dev, gone, a.length)
            for entry in self.ip4.remove_sourced(gone):
                self._unlinked(entry)
        self.stack.events.add(now, EventKind.ADDRESS_DEL, self.name, a.dev.name, address=gone, length=a.length)

    def _announce(self, a: Address, now: int) -> None:
        if a.dev.with_arp and a.dev.ready:
            self.acd.start(a, now)
