"""Addresses and neighbours of a namespace, and what its devices advertise as routers."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vrouter import records
from vrouter.netns.links import Links
from vrouter.stack.base.addresses import (
    LOOPBACK6,
    V4,
    V6,
    is_host4,
    is_host6,
    parse_address,
    parse_mac,
    scoped,
)
from vrouter.stack.base.drop import DropReason

if TYPE_CHECKING:
    from vrouter.records import Record
    from vrouter.stack.device import Device
    from vrouter.stack.l2.neighbour import NeighTable
    from vrouter.stack.l2.router_advert import RaConf


class Addressing(Links):
    """The part of a namespace that knows who is where."""

    __slots__ = ()

    # -- addresses --------------------------------------------------------------------------------------------------

    async def add_address(self, dev: str, address: str) -> None:
        """Give a device ``ADDRESS/LENGTH``. OSError EEXIST, ENODEV, EINVAL, EACCES where there is no IPv6."""
        self._call(self.stack.add_address, dev, address)

    async def del_address(self, dev: str, address: str) -> None:
        """Take ``ADDRESS/LENGTH`` from a device. OSError EADDRNOTAVAIL when it has it not."""
        self._call(self.stack.del_address, dev, address)

    def addresses(self) -> list[Record]:
        """The rows of ``show addresses``."""
        return records.addresses(self.router, self.name)

    async def wait_addresses(self) -> None:
        """Wait until duplicate address detection is over for every address, one way or the other. What is at a device
        that is not ready is not looked for, and not waited for."""
        while any(a.state == "tentative" for dev in self.stack.devices.values() if dev.ready for a in dev.addresses):
            await self.router.driver.next_poll()

    # -- neighbours -------------------------------------------------------------------------------------------------

    async def add_neighbor(self, dev: str, address: str, mac: str) -> None:
        """Make a permanent neighbour, or make the one that is there permanent. OSError ENODEV; EINVAL for an address
        or a MAC that no station has."""
        table, device, target = self._neighbor(dev, address)
        link = parse_mac(mac)
        _check_station(address)
        if not device.with_arp or link[0] & 1:
            raise OSError(errno.EINVAL, f"device {dev!r} has no neighbor with {mac}")
        self._call(table.add_static, device, target, link)
        self._settle()

    async def del_neighbor(self, dev: str, address: str) -> None:
        """Forget a neighbour. OSError ENOENT when it is not known."""
        table, device, target = self._neighbor(dev, address)
        if not table.delete(device, target, DropReason.NEIGH_FAILED):
            raise FileNotFoundError(errno.ENOENT, f"no neighbor {address} on device {dev!r}")
        self._settle()

    async def flush_neighbors(self, dev: str | None = None, *, family: int | None = None) -> int:
        """Forget the neighbours of a device, or of all, that are not permanent; how many they were. `family` 4 or 6:
        only those."""
        device = None if dev is None else self.stack.device(dev)
        count = 0
        for version, of in records.FAMILIES.items():
            table = self.stack.neighbours(of)
            if table is not None and family in (None, version):
                count += table.flush(device)
        self._settle()
        return count

    def _neighbor(self, dev: str, address: str) -> tuple[NeighTable, Device, int]:
        device = self.stack.device(dev)
        family, target = parse_address(address)
        if family == V6:
            return self.stack.neigh6, device, scoped(target, device.ifindex)
        return self.stack.neigh4, device, target

    async def add_proxy(self, dev: str, address: str) -> None:
        """Answer for an IPv6 address in its owner's place, where ``proxy_ndp`` and forwarding are on. OSError EEXIST,
        ENODEV, EINVAL for ``lo`` and for an address that no station has, EOPNOTSUPP for IPv4 (``proxy_arp`` answers
        by the routes)."""
        device, target = self._proxied(dev, address)
        _check_station(address)
        self.stack.ndp.add_proxy(device, target)
        self._settle()

    async def del_proxy(self, dev: str, address: str) -> None:
        """Answer for it no more. OSError ENOENT, ENODEV."""
        device, target = self._proxied(dev, address)
        self.stack.ndp.del_proxy(device, target)
        self._settle()

    def _proxied(self, dev: str, address: str) -> tuple[Device, int]:
        device = self.stack.device(dev)
        family, target = parse_address(address)
        if family != V6:
            raise OSError(errno.EOPNOTSUPP, "single IPv4 addresses are not answered for: proxy_arp does it by routes")
        if device.kind == "lo":
            raise OSError(errno.EINVAL, "nobody asks on lo")
        return device, scoped(target, device.ifindex)

    def proxies(self) -> list[Record]:
        """The addresses that are answered for, each with its device; ``show neighbors`` has them, too."""
        return self.stack.proxies()

    def neighbors(self) -> list[Record]:
        """The rows of ``show neighbors``."""
        return records.neighbors(self.router, self.name)

    # -- router advertisements --------------------------------------------------------------------------------------

    async def set_ra(self, dev: str, conf: RaConf | Mapping[str, Any] | None) -> None:
        """Advertise at a device, with the keys of ``[netns.NAME.dev.DEV.ra]`` of the configuration (or as RaConf);
        None: no more. ConfigError (a ValueError) for what cannot be, OSError ENODEV, EINVAL for ``lo``."""
        device = self.stack.device(dev)
        if device.kind == "lo":
            raise OSError(errno.EINVAL, "nobody listens on lo")
        if isinstance(conf, Mapping):
            from vrouter.config import device_from_dict  # the one place that knows the keys

            conf = device_from_dict(self.name, dev, {"ra": dict(conf)}).ra
        self._call(self._set_ra, device, conf)

    def _set_ra(self, device: Device, conf: RaConf | None, *, now: int) -> None:
        self.stack.ndp.set_ra(device, conf, now)
        self.stack.settle(now)

    def adverts(self) -> list[Record]:
        """The rows of ``show adverts``: what is advertised here."""
        return records.adverts(self.router, self.name)

    def routers(self) -> list[Record]:
        """The rows of ``show routers``: who advertises to us."""
        return records.routers(self.router, self.name)


def _check_station(text: str) -> None:
    """OSError EINVAL for what is no single station's address."""
    family, address = parse_address(text)
    if not (is_host4 if family == V4 else is_host6)(address) or (family == V6 and address == LOOPBACK6):
        raise OSError(errno.EINVAL, f"{text} is the address of no station")
