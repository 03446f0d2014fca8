"""What one namespace keeps of one IP family: its addresses, its routing tables, what it learned about paths.

One instance per namespace, not a table shared by all keyed by namespace: lookups of one namespace must not grow with
the number of the others, and a namespace that goes takes everything with it.

Addresses make routes, as in Linux: the address itself and its directed broadcast in the local table, its prefix in the
main table, with the address as preferred source. An address under conflict detection (RFC 5227) makes none until it is
free, so nobody can use it before.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import BITS, V4, is_host4, is_multicast4, mask
from vrouter.stack.base.errors import os_error
from vrouter.stack.device import Address, Device
from vrouter.stack.l3.fib import BROADCAST, LOCAL, TABLE_LOCAL, TABLE_MAIN, UNICAST, Fib, Route

MAX_PACKET: Final = 65535

if TYPE_CHECKING:
    from vrouter.stack.l3.icmp_error import IcmpLimiter
    from vrouter.stack.l3.reassembly import Reassembler
    from vrouter.stack.netns import Netns

MAX_EXCEPTIONS: Final = 1024


class PathException:
    """What ICMP told about one destination: a smaller MTU (0: nothing), a better gateway (-1: none) and that in whose
    place it stands; ns of expiry."""

    __slots__ = ("expires", "gateway", "instead_of", "mtu")

    def __init__(self) -> None:
        self.mtu = 0
        self.gateway = self.instead_of = -1
        self.expires = 0


class IpState:
    """One family of one namespace."""

    __slots__ = (
        "bits",
        "broadcasts",
        "exceptions",
        "family",
        "ident",
        "limiter",
        "local",
        "main",
        "ns",
        "owners",
        "reassembler",
        "zeros",
    )

    def __init__(self, ns: Netns, family: int) -> None:
        self.ns = ns
        self.family = family
        self.bits = BITS[family]
        self.local = Fib(self.bits)
        self.main = Fib(self.bits)
        self.owners: dict[int, Address] = {}
        self.broadcasts: dict[int, Address] = {}
        self.zeros: dict[int, Address] = {}  # {prefix, 0}: nobody's address (RFC 1812 4.2.3.1)
        self.limiter: IcmpLimiter | None = None  # made with the first error message
        self.exceptions: dict[int, PathException] = {}
        self.reassembler: Reassembler | None = None
        self.ident = 0

    # -- questions ------------------------------------------------------------------------------------------------

    def lookup(self, dst: int) -> Route | None:
        """The route to `dst`: the local table before the main table, as in Linux's default rules."""
        return self.local.lookup(dst) or self.main.lookup(dst)

    def owner(self, address: int) -> Address | None:
        """The usable address record for `address`, or None when it is not this namespace's."""
        return self.owners.get(address)

    def is_local(self, address: int) -> bool:
        """Whether packets to `address` are delivered here as unicast (127.0.0.0/8 included)."""
        route = self.local.lookup(address)
        return route is not None and route.type == LOCAL

    def is_broadcast(self, address: int) -> bool:
        """Limited broadcast, or the directed broadcast of a prefix of this namespace."""
        return address == 0xFFFFFFFF or address in self.broadcasts

    def out_device(self, dst: int) -> Device | None:
        """The device by which `dst` is reached; None when it is not, or by another namespace."""
        route = self.lookup(dst)
        return route.dev if route is not None and route.type in (UNICAST, LOCAL) else None

    def on_link(self, dev: Device, address: int) -> bool:
        """Whether `address` lies in a prefix configured on `dev`."""
        return any(
            a.family == self.family and not (a.address ^ address) & mask(a.length, self.bits) for a in dev.addresses
        )

    def same_link(self, dev: Device, one: int, other: int) -> bool:
        """Whether both addresses lie in one prefix configured on `dev`."""
        return any(
            a.family == self.family and not ((a.address ^ one) | (a.address ^ other)) & mask(a.length, self.bits)
            for a in dev.addresses
        )

    def select_source(self, dev: Device | None, dst: int) -> int:
        """The source for a packet made here: an address of `dev` whose prefix holds `dst`, else the first of `dev`,
        else the first global one of any device (RFC 1122 3.3.4.3; Linux's inet_select_addr); 0 when there is none."""
        if dev is not None:
            first = 0
            for a in dev.addresses:
                if a.family != self.family or a.state != "preferred":
                    continue
                if not (a.address ^ dst) & mask(a.length, self.bits):
                    return a.address
                if a.scope != "host":
                    first = first or a.address
            if first:
                return first
        for other in self.ns.devices.values():
            for a in other.addresses:
                if a.family == self.family and a.state == "preferred" and a.scope == "global":
                    return a.address
        return 0

    # -- addresses ------------------------------------------------------------------------------------------------

    def add_address(self, dev: Device, address: int, length: int) -> Address:
        """Give `dev` an address; OSError EEXIST when it has it, EINVAL when nobody may have it."""
        if self._is_nobodys(address, length):
            raise OSError(errno.EINVAL, "not an address that a device can have")
        if any(a.address == address and a.length == length and a.family == self.family for a in dev.addresses):
            raise FileExistsError(errno.EEXIST, "the device has this address already")
        host_bits = self.bits - length
        broadcast = address | ((1 << host_bits) - 1) if host_bits > 1 and dev.kind != "lo" else -1
        record = Address(dev, self.family, address, length, self._scope(address), broadcast)
        if host_bits > 1 and dev.kind != "lo" and address in (broadcast, broadcast >> host_bits << host_bits):
            raise OSError(errno.EINVAL, "the network's own or broadcast address")
        dev.addresses.append(record)
        return record

    def activate(self, a: Address) -> None:
        """Make the routes of an address that may be used."""
        a.state = "preferred"
        if not a.dev.up:
            return
        dev, bits = a.dev, self.bits
        self.owners.setdefault(a.address, a)
        self._add_kernel_route(self.local, LOCAL, a.address, bits, dev, a.address, TABLE_LOCAL, "host")
        network = a.address >> (bits - a.length) << (bits - a.length)
        if dev.kind == "lo":
            if a.length < bits:
                self._add_kernel_route(self.local, LOCAL, network, a.length, dev, a.address, TABLE_LOCAL, "host")
        elif a.length < bits:
            self._add_kernel_route(self.main, UNICAST, network, a.length, dev, a.address, TABLE_MAIN, "link")
        if a.broadcast >= 0:
            self.broadcasts.setdefault(a.broadcast, a)
            self.zeros.setdefault(network, a)
            self._add_kernel_route(self.local, BROADCAST, a.broadcast, bits, dev, a.address, TABLE_LOCAL, "link")

    def deactivate(self, a: Address) -> None:
        """Take the routes of an address away; other addresses of the device keep theirs."""
        dev, bits = a.dev, self.bits
        if self.owners.get(a.address) is a:
            del self.owners[a.address]
        if self.broadcasts.get(a.broadcast) is a:
            del self.broadcasts[a.broadcast]
        network = a.address >> (bits - a.length) << (bits - a.length)
        if self.zeros.get(network) is a:
            del self.zeros[network]
        self.local.remove_where(lambda r: r.dev is dev and r.src == a.address)
        self.main.remove_where(lambda r: r.dev is dev and r.src == a.address and r.proto == "kernel")
        for other in self.ns.devices.values():
            for b in other.addresses:
                if b is not a and b.state == "preferred" and b.family == self.family and b.dev.up:
                    if not (a.address ^ b.address) & mask(min(a.length, b.length), bits):
                        self.activate(b)  # what both had is the other's now; what it has stays

    def remove_address(self, dev: Device, address: int, length: int | None) -> Address:
        """Take an address from `dev`; OSError EADDRNOTAVAIL when it has it not."""
        for a in dev.addresses:
            if a.address == address and a.family == self.family and length in (None, a.length):
                dev.addresses.remove(a)
                self.deactivate(a)
                return a
        raise os_error(errno.EADDRNOTAVAIL)

    def _add_kernel_route(
        self, fib: Fib, type_: int, prefix: int, length: int, dev: Device, src: int, table: int, scope: str
    ) -> None:
        route = Route(
            self.family, prefix, length, type=type_, table=table, proto="kernel", scope=scope, dev=dev, src=src
        )
        try:
            fib.add(route)
        except FileExistsError:
            pass  # a second address of the same prefix on the same device: the first one's route serves both

    def _scope(self, address: int) -> str:
        """ip-address(8)'s scope: another address than a loopback one is global on ``lo`` too."""
        return "host" if self.family == V4 and address >> 24 == 127 else "global"

    def _is_nobodys(self, address: int, length: int) -> bool:
        if self.family == V4:
            return not is_host4(address) or not 0 < length <= 32
        return not 0 < length <= self.bits

    # -- paths ----------------------------------------------------------------------------------------------------

    def path_mtu(self, route: Route, dst: int, now: int) -> int:
        """The largest packet that the path to `dst` is known to take, in bytes (RFC 1191 3)."""
        mtu = route.mtu or (MAX_PACKET if route.dev is None else route.dev.mtu)
        if self.exceptions:
            known = self.exception(dst, now)
            if known is not None and known.mtu:
                return min(mtu, known.mtu)
        return mtu

    def first_hop(self, route: Route, dst: int, now: int) -> int:
        """The gateway by which `route` reaches `dst`, -1 when there is none: its own, or the one that a redirect named
        in its place (RFC 1122 3.2.2.2)."""
        via = route.via
        if via >= 0 and self.exceptions:
            known = self.exception(dst, now)
            if known is not None and known.gateway >= 0 and known.instead_of == via:
                return known.gateway
        return via

    def exception(self, dst: int, now: int) -> PathException | None:
        """What is known beyond the routing table about the path to `dst`."""
        found = self.exceptions.get(dst)
        if found is not None and found.expires <= now:
            del self.exceptions[dst]
            return None
        return found

    def gateway_failed(self, dst: int, gateway: int) -> None:
        """A next hop does not answer: if a redirect named it for `dst`, the route's own is used again (RFC 1122
        3.3.1.5)."""
        known = self.exceptions.get(dst)
        if known is not None and known.gateway == gateway:
            del self.exceptions[dst]

    def learn_mtu(self, dst: int, mtu: int, now: int) -> None:
        """A Fragmentation Needed told the MTU of the path to `dst` (RFC 1191 3). It only ever shrinks, not below
        ``min_pmtu``, and what is known already lasts no longer for being told again."""
        if self.is_local(dst) or self.is_broadcast(dst) or (self.family == V4 and is_multicast4(dst)):
            return
        route = self.lookup(dst)
        mtu = max(mtu, self.ns.conf.min_pmtu)
        if route is not None and mtu < self.path_mtu(route, dst, now):
            self._exception(dst, now).mtu = mtu

    def learn_gateway(self, dst: int, gateway: int, now: int) -> None:
        """A Redirect that is to be believed named a better first hop for `dst` (RFC 1122 3.2.2.2)."""
        route = self.main.lookup(dst)
        known = self._exception(dst, now)
        known.gateway, known.instead_of = gateway, -1 if route is None else route.via

    def _exception(self, dst: int, now: int) -> PathException:
        """The entry to write news about `dst` into; the oldest is forgotten when there are too many."""
        known = self.exception(dst, now) or PathException()
        self.exceptions.pop(dst, None)
        if len(self.exceptions) >= MAX_EXCEPTIONS:
            del self.exceptions[next(iter(self.exceptions))]
        known.expires = now + self.ns.conf.mtu_expires  # RFC 1191 6.3: a larger MTU is tried again after 10 minutes
        self.exceptions[dst] = known
        return known

    def next_ident(self, src: int, dst: int, proto: int) -> int:
        """An identification for a packet that may be fragmented: a counter from a keyed offset per (source,
        destination, protocol), so that a stranger learns nothing from his own (RFC 6864 5, RFC 7739)."""
        self.ident += 1
        return (self.ns.stack.rng.keyed_hash(src, dst, proto) + self.ident) & 0xFFFF
