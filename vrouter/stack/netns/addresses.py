"""Addresses of a namespace's devices, as they are configured.

An IPv6 device has a link-local address from the moment it is up (RFC 4291 2.8), made as ``addr_gen_mode`` says. Unlike
Linux, a device that is switched off keeps its addresses; they are not used meanwhile, and are checked for duplicates
again when it comes back.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.events import EventKind
from vrouter.stack.device import FOREVER, Address, Device
from vrouter.stack.l3.fib import TABLE_MAIN, Route
from vrouter.stack.l3.ip import USABLE
from vrouter.stack.l4.membership import hold, release
from vrouter.stack.netns.policy import Policy
from vrouter.stack.wire.ipv6 import MIN_MTU

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

LINK_LOCAL_LENGTH: Final = 64


def speaks_ipv6(dev: Device) -> bool:
    """Whether a device may have IPv6: its settings say so, and its link takes the packets (RFC 8200 5)."""
    return not dev.conf6.disable_ipv6 and dev.mtu >= MIN_MTU


class Addresses(Policy):
    """The part of a namespace that gives addresses to devices and takes them away."""

    __slots__ = ()

    def add_address(self, dev: Device | str, text: str, *, now: int | None = None) -> Address:
        """Give a device ``ADDRESS/LENGTH``; local, broadcast and connected routes follow. OSError EEXIST, EINVAL,
        ENODEV for a device of another namespace, and EACCES where there is no IPv6 (``disable_ipv6``, or an MTU below
        1280)."""
        now = self.stack.advance(now)
        self.check_open()
        return self.add_address_value(self.own(dev), *addr.parse_interface(text), now)

    def add_address_value(
        self,
        dev: Device,
        family: int,
        address: int,
        length: int,
        now: int,
        origin: str = "static",
        valid_until: int = FOREVER,
        preferred_until: int = FOREVER,
    ) -> Address:
        """`add_address` with the address as family, int and prefix length; lifetimes in ns."""
        ip = self.ip(family)
        if family == addr.V6:
            if not dev.with_ipv6:
                raise PermissionError(errno.EACCES, f"IPv6 is disabled on device {dev.name!r}")
            if address == addr.LOOPBACK6 and dev.kind != "lo":  # RFC 4291 2.5.3
                raise OSError(errno.EINVAL, "only 'lo' can have the loopback address")
            address = addr.scoped(address, dev.ifindex)
        a = ip.add_address(dev, address, length)
        a.origin, a.valid_until, a.preferred_until = origin, valid_until, preferred_until
        if family == addr.V6:
            self._enter_address6(a, ip, now)
        elif dev.with_arp and dev.acd == "probe":
            a.state = "tentative"
            self.acd.start(a, now)
            self.settle(now)
        else:
            ip.activate(a)
            self._announce(a, now)
            if self._neigh4 is not None:
                self._neigh4.address_changed(dev)
            if dev.with_arp:
                self.settle(now)
        self.stack.events.add(now, EventKind.ADDRESS_ADD, self.name, dev.name, address=address, length=length)
        return a

    def _enter_address6(self, a: Address, ip: IpState, now: int) -> None:
        """A new IPv6 address: its group is joined first (RFC 4862 5.4.2), then it is looked for on the link."""
        dev = a.dev
        if dev.kind == "lo":
            ip.activate(a)
            return
        hold(self, addr.V6, addr.solicited_node(a.address), dev)
        a.state = "tentative"
        self.ip6.enter_prefix(a)
        if dev.ready:
            self.ndp.dad.start(a, now)
        self.ndp.address_added(a, now)
        self.settle(now)

    def del_address(self, dev: Device | str, text: str, *, now: int | None = None) -> None:
        """Take an address from a device; OSError EADDRNOTAVAIL when it has it not, ENODEV when it is not here."""
        now = self.stack.advance(now)
        device = self.own(dev)
        family, address, length = addr.parse_interface(text)
        if family == addr.V6:
            address = addr.scoped(address, device.ifindex)
        for a in self.ip(family).held(device, address):
            if "/" not in text or a.length == length:
                self.del_address_record(a, now)
                return
        raise OSError(errno.EADDRNOTAVAIL, f"device {device.name!r} has no address {text}")

    def del_address_record(self, a: Address, now: int) -> None:
        """Take an address away by its record."""
        self._forget_address(a, now)
        neighbours = self.neighbours(a.family)
        if neighbours is not None:
            neighbours.address_changed(a.dev)
        self.settle(now)

    def _forget_address(self, a: Address, now: int) -> None:
        ip = self.ip(a.family)
        if a.probe is not None and a.family == addr.V4:
            self.acd.stop(a)
        elif a.probe is not None:
            self.ndp.dad.stop(a)
        gone = a.address
        if not self.closing:  # then they are gone all at once
            ip.remove_address(a.dev, gone, a.length)
            self.purged(ip.remove_sourced(gone))
            if a.family == addr.V6 and a.dev.kind != "lo":
                release(self, addr.V6, addr.solicited_node(gone), a.dev)
                self.ndp.address_removed(a, now)
        self.stack.events.add(now, EventKind.ADDRESS_DEL, self.name, a.dev.name, address=gone, length=a.length)

    def _announce(self, a: Address, now: int) -> None:
        """The device of an address became ready: what it says there of it, or asks first."""
        if not a.dev.with_arp or not a.dev.ready:
            return
        if a.family == addr.V4:
            self.acd.start(a, now)
        else:
            self.ndp.dad.start(a, now)

    def _begin_ipv6(self) -> None:
        self.ip6.activate(self.ip6.add_address(self.lo, addr.LOOPBACK6, 128))
        for dev in list(self.devices.values()):
            self._begin_ipv6_on(dev, self.stack.now)

    def _begin_ipv6_on(self, dev: Device, now: int) -> None:
        """A device is there, or has IPv6 again."""
        if dev.with_ipv6 or not speaks_ipv6(dev):
            return
        dev.with_ipv6 = True
        self._ensure_link_local(dev, now)
        if dev.ready:
            self.ndp.device_ready(dev, now)
        self.settle(now)

    def _ensure_link_local(self, dev: Device, now: int) -> None:
        if any(a.family == addr.V6 and a.scope == "link" for a in dev.addresses):
            return
        address = self.ndp.link_local(dev)
        if address:
            self.add_address_value(dev, addr.V6, address, LINK_LOCAL_LENGTH, now, "kernel")

    def _end_ipv6_on(self, dev: Device, now: int) -> None:
        """IPv6 ends at a device: no addresses, routes, next-hop objects, neighbours are left there."""
        dev.with_ipv6 = False
        for a in [a for a in dev.addresses if a.family == addr.V6]:
            self.del_address_record(a, now)
        if self._neigh6 is not None:
            self._neigh6.flush(dev, static=True)
        self.del_device_nexthops(dev, addr.V6)
        self.ip6.remove_device(dev)
        self.ip6.forget_gateways()
        self.ndp.device_removed(dev, now)
        self.settle(now)

    def discovered(self, action: tuple[Any, ...], now: int) -> None:
        """What neighbour discovery learned: addresses, routes, groups, settings of a device (`l2.ndp` has the list)."""
        kind, *rest = action
        if kind in ("join", "leave"):
            dev, group = rest
            (hold if kind == "join" else release)(self, addr.V6, group, dev)
        elif kind == "address_add":
            dev, address, length, origin, valid_until, preferred_until = rest
            try:
                self.add_address_value(dev, addr.V6, address, length, now, origin, valid_until, preferred_until)
            except OSError:
                return  # it has it already, by hand
        elif kind == "address_del":
            self.del_address_record(rest[0], now)
        elif kind == "route_add":
            dev, prefix, length, via, metric = rest
            self.add_learned_route(dev, prefix, length, via, metric)
        elif kind == "route_del":
            dev, prefix, length, via, metric = rest
            self.del_learned_route(dev, prefix, length, via, metric)
        elif kind == "sysctl":
            self.sysctl[rest[0]] = rest[1]
        else:  # disable
            self.sysctl[f"net.ipv6.conf.{rest[0].name}.disable_ipv6"] = 1

    def add_learned_route(self, dev: Device, prefix: int, length: int, via: int, metric: int) -> None:
        """A route that a router advertised (proto ``ra``, main table)."""
        main = self.ip6.main
        route = Route(
            addr.V6,
            table=TABLE_MAIN,
            metric=metric,
            proto="ra",
            scope="link" if via < 0 else "global",
            via=via,
            dev=dev,
        )
        with suppress(FileExistsError):  # a static one that leads the same way
            main.add(prefix, length, main.intern(route))

    def del_learned_route(self, dev: Device, prefix: int, length: int, via: int, metric: int) -> None:
        """Take out what `add_learned_route` put in."""
        for route in self.ip6.main.exact(prefix, length):
            if route.proto == "ra" and route.dev is dev and route.via == via and route.metric == metric:
                self.ip6.main.unlink(prefix, length, route)
                self.unlinked((prefix, length, route))
                return

    def address_state(self, a: Address, state: str) -> None:
        """What detection or a lifetime says of an address was decided (``a.state`` is set): its routes follow."""
        ip = self.ip(a.family)
        if state in USABLE:
            if a.dev.up:
                ip.activate(a, state)
        else:
            ip.deactivate(a)
