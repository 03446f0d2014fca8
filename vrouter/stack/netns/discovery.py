"""What a namespace says and hears about routers and prefixes of its links, as it is configured (RFC 4861, 4862)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.l2.router_advert import PREFERENCES
from vrouter.stack.netns.multicast import MulticastAdmin

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.router_advert import RaConf


HEARS_AS_HOST: Final = 1  # values of accept_ra
HEARS_ALWAYS: Final = 2
_PREFERENCES: Final = {number: name for name, number in PREFERENCES.items()}


class Discovery(MulticastAdmin):
    """The part of a namespace that advertises, listens to routers, and answers for others."""

    __slots__ = ()

    def set_ra(self, dev: Device | str, conf: RaConf | None, *, now: int | None = None) -> None:
        """What a device advertises to its link, None for nothing (RFC 4861 6.2); ValueError for what it forbids,
        OSError ENODEV, EINVAL where there are no link addresses."""
        now = self.stack.advance(now)
        device = self._speaker(dev)
        self.ndp.set_ra(device, conf, now)
        self.settle(now)

    def ra(self, dev: Device | str) -> RaConf | None:
        """What a device advertises as `set_ra` said it."""
        advertiser = None if self._ndp is None else self._ndp.advertisers.get(self.own(dev))
        return None if advertiser is None else advertiser.conf

    def set_autoconf(self, dev: Device | str, wanted: bool, *, now: int | None = None) -> None:
        """Whether a device is a host of its link: asks for routers, and takes addresses and routes from them (RFC 4861
        6.3, RFC 4862 5.5); ``accept_ra`` becomes 2 where it is 1 and the device forwards. OSError ENODEV, EINVAL."""
        now = self.stack.advance(now)
        device = self._speaker(dev)
        conf = device.conf6
        if wanted and conf.accept_ra == HEARS_AS_HOST and not conf.hears_routers:  # it forwards
            self.sysctl[f"net.ipv6.conf.{device.name}.accept_ra"] = HEARS_ALWAYS
        self.ndp.hosts.set_autoconf(device, wanted, now)
        self.settle(now)

    def add_proxy(self, dev: Device | str, address: str, *, now: int | None = None) -> None:
        """Answer neighbour solicitations for `address` at a device, when ``proxy_ndp`` is on there (RFC 4861 7.2.8).
        OSError EEXIST, ENODEV, EINVAL; ValueError for what is no IPv6 address."""
        now = self.stack.advance(now)
        device = self._speaker(dev)
        self.ndp.add_proxy(device, self._proxied(device, address))
        self.settle(now)

    def del_proxy(self, dev: Device | str, address: str, *, now: int | None = None) -> None:
        """Answer for `address` no more; OSError ENOENT when nobody did."""
        now = self.stack.advance(now)
        device = self._speaker(dev)
        self.ndp.del_proxy(device, self._proxied(device, address))
        self.settle(now)

    def proxies(self) -> list[dict[str, Any]]:
        """The addresses that are answered for, each with its device."""
        if self._ndp is None:
            return []
        return [
            {"netns": self.name, "dev": dev.name, "address": addr.format_ipv6(address)}
            for dev, address in self._ndp.proxies
        ]

    def routers(self) -> list[dict[str, Any]]:
        """The default routers that the devices with ``autoconf`` know: address, lifetime and preference (RFC 4191)."""
        found: list[dict[str, Any]] = []
        if self._ndp is None:
            return found
        for dev in self.devices.values():
            host = self._ndp.hosts.learned(dev)
            if host is None:
                continue
            for address, router in host.routers.items():
                found.append(
                    {
                        "netns": self.name,
                        "dev": dev.name,
                        "address": addr.format_ipv6(address),
                        "preference": _PREFERENCES[router.preference],
                        "expires_ns": router.until - self.stack.now,
                        "managed": host.managed,
                        "other": host.other,
                        "rdnss": [addr.format_ipv6(server) for server in host.servers],
                        "dnssl": list(host.domains),
                    }
                )
        return found

    def _speaker(self, dev: Device | str) -> Device:
        """The device, when it has a link to speak to."""
        device = self.own(dev)
        if not device.with_arp:
            raise OSError(errno.EINVAL, f"device {device.name!r} has no neighbours")
        return device

    @staticmethod
    def _proxied(dev: Device, text: str) -> int:
        family, address = addr.parse_address(text)
        if family != addr.V6 or not addr.is_host6(address):
            raise ValueError(f"{text!r} is not the IPv6 address of a host")
        return addr.scoped(address, dev.ifindex)
