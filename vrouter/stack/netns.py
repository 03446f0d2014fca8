"""A namespace: one complete instance of the stack, owning every piece of its state.

What a namespace can be asked and told at configuration time is here; the packet's way is in `pipeline`. Everything a
namespace does not use it does not pay for: tables are made when first needed.
"""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.counters import Stat, new_stats
from vrouter.stack.base.counters import new_drops as _new_drops
from vrouter.stack.base.drop import DROP_TABLE, N_REASONS, DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.names import check_device
from vrouter.stack.crossing import Crossing
from vrouter.stack.device import ALL_HOSTS_MAC, DEFAULT_MTU, LOOPBACK_MTU, MAX_MTU, MIN_MTU, Address, Device
from vrouter.stack.hooks.hooks import Hooks
from vrouter.stack.l2.acd import Acd
from vrouter.stack.l2.neighbour import NeighTable
from vrouter.stack.l3 import fib
from vrouter.stack.l3.fib import Route
from vrouter.stack.l3.ip import IpState
from vrouter.stack.l3.reassembly import Reassembler
from vrouter.stack.l3.route import Refusal, route_output
from vrouter.stack.l4.icmp import PingTable
from vrouter.stack.l4.socket import Socket, close_all
from vrouter.stack.l4.udp import UdpTable
from vrouter.stack.sysctl import DEFAULT_DEV4, DEFAULT_NEIGH, DEFAULT_NS, NsConf, SysctlTable

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.stack import Stack

NOBODY: Final[frozenset[str]] = frozenset()
LO_ADDRESS: Final = 0x7F000001
MAX_METRIC: Final = 0xFFFFFFFF
DEVICE_KINDS: Final = ("tap", "veth")  # besides lo, which every namespace has from the start
ROUTE_TYPES: Final = {
    "unicast": fib.UNICAST,
    "blackhole": fib.BLACKHOLE,
    "unreachable": fib.UNREACHABLE,
    "prohibit": fib.PROHIBIT,
}


class Netns:
    """One namespace of a `Stack`; made by `Stack.add_netns`."""

    __slots__ = (
        "_acd",
        "_drops",
        "_neigh4",
        "_next_ifindex",
        "_ping",
        "_sysctl",
        "_udp",
        "accept_from",
        "children",
        "closing",
        "conf",
        "crossings",
        "devices",
        "hooks",
        "ip4",
        "kind",
        "lo",
        "macs",
        "memberships",
        "multicasters",
        "name",
        "sockets",
        "stack",
        "stats",
    )

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack = stack
        self.name = name
        self.kind = "l2"
        self.closing = False
        self.accept_from = NOBODY
        self.conf: NsConf = DEFAULT_NS
        self._sysctl: SysctlTable | None = None
        self.children: dict[str, Netns] = {}  # by path, one level down
        self.devices: dict[str, Device] = {}
        self.macs: dict[bytes, int] = {}  # the devices' own -> how many have it
        self._next_ifindex = 1
        self.stats = new_stats()
        self._drops: array[int] | None = None
        self.crossings: dict[str, Crossing] = {}
        self.hooks: Hooks | None = None
        self.sockets: dict[Socket, None] = {}
        self.multicasters: dict[Socket, None] = {}  # those of them with multicast settings
        self.memberships: dict[tuple[int, Device], int] = {}  # (group, device) -> how many of them joined
        self.ip4 = IpState(self, addr.V4)
        self._neigh4: NeighTable | None = None
        self._acd: Acd | None = None
        self._udp: UdpTable | None = None
        self._ping: PingTable | None = None
        self.lo = self._new_device("lo", "lo", addr.NULL_MAC, LOOPBACK_MTU)
        self.ip4.activate(self.ip4.add_address(self.lo, LO_ADDRESS, 8))

    def __repr__(self) -> str:
        return f"<Netns {self.name}>"

    # -- tables made on first use -----------------------------------------------------------------------------------

    @property
    def sysctl(self) -> SysctlTable:
        """The settings under their Linux names, as a mapping."""
        if self._sysctl is None:
            self._sysctl = SysctlTable(self)
        return self._sysctl

    @property
    def drops(self) -> array[int]:
        """Counters of packets that died without a device, indexed by `DropReason`."""
        if self._drops is None:
            self._drops = _new_drops()
        return self._drops

    @property
    def neigh4(self) -> NeighTable:
        """The IPv4 neighbours (ARP)."""
        if self._neigh4 is None:
            self._neigh4 = NeighTable(self, addr.V4)
        return self._neigh4

    @property
    def acd(self) -> Acd:
        """Address conflict detection (RFC 5227)."""
        if self._acd is None:
            self._acd = Acd(self)
        return self._acd

    @property
    def udp(self) -> UdpTable:
        """UDP's sockets by port."""
        if self._udp is None:
            self._udp = UdpTable(self)
        return self._udp

    @property
    def ping(self) -> PingTable:
        """ICMP datagram sockets by identifier."""
        if self._ping is None:
            self._ping = PingTable(self)
        return self._ping

    def reassembler(self, ip: IpState) -> Reassembler:
        """The reassembly queues of one family."""
        if ip.reassembler is None:
            ip.reassembler = Reassembler(self)
        return ip.reassembler

    # -- devices ----------------------------------------------------------------------------------------------------

    def _new_device(self, name: str, kind: str, mac: bytes, mtu: int) -> Device:
        dev = Device(self, name, kind, self._next_ifindex, mac, mtu)
        self._next_ifindex += 1
        self._enter(dev)
        if self._sysctl is not None:
            self._sysctl.device_added(dev)
        return dev

    def own(self, dev: Device | str) -> Device:
        """The device called `dev`, or `dev` itself; OSError ENODEV unless it is one of this namespace."""
        if isinstance(dev, str):
            return self.device(dev)
        if self.devices.get(dev.name) is not dev:
            raise OSError(errno.ENODEV, f"device {dev.name!r} is not in namespace {self.name!r}")
        return dev

    def _enter(self, dev: Device) -> None:
        self.devices[dev.name] = dev
        self.macs[dev.mac] = self.macs.get(dev.mac, 0) + 1

    def device(self, name: str) -> Device:
        """The device called `name`; OSError ENODEV when there is none."""
        found = self.devices.get(name)
        if found is None:
            raise OSError(errno.ENODEV, f"no device {name!r} in namespace {self.name!r}")
        return found

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
        dev.ns, dev.name = self, name
        dev.ifindex = self._next_ifindex
        self._next_ifindex += 1
        dev.removed = False
        dev.conf4, dev.neigh_conf = DEFAULT_DEV4, DEFAULT_NEIGH
        dev.groups = {ALL_HOSTS_MAC: 1}
        self._enter(dev)
        if self._sysctl is not None:
            self._sysctl.device_added(dev)
        dev.refresh()

    def settle(self, now: int) -> None:
        """Carry out what a change has caused here, and what comes of it."""
        pipeline = self.stack.pipeline
        pipeline.settle(self, now)
        if pipeline.work:
            pipeline.run(now)

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

    # -- addresses --------------------------------------------------------------------------------------------------

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
            for route in self.ip4.remove_sourced(gone):
                self._unlinked(route)
        self.stack.events.add(now, EventKind.ADDRESS_DEL, self.name, a.dev.name, address=gone, length=a.length)

    def _announce(self, a: Address, now: int) -> None:
        if a.dev.with_arp and a.dev.ready:
            self.acd.start(a, now)

    # -- routes -----------------------------------------------------------------------------------------------------

    def add_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        metric: int = 0,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        src: str | None = None,
        now: int | None = None,
    ) -> Route:
        """Add a static route to ``NETWORK/LENGTH`` or ``default``: by gateway, by device, or into the namespace at path
        `netns` (counted from the top). OSError with Linux's errno when it cannot be."""
        now = self.stack.advance(now)
        self.check_open()
        family, prefix, length = addr.parse_prefix(to)
        gateway = -1 if via is None else addr.parse_address(via)[1]
        source = 0 if src is None else addr.parse_address(src)[1]
        device = None if dev is None else self.device(dev)
        kind = ROUTE_TYPES.get(type)
        if kind is None:
            raise OSError(errno.EINVAL, f"no route type {type!r}: {', '.join(ROUTE_TYPES)}")
        if not 0 <= metric <= MAX_METRIC:
            raise OSError(errno.EINVAL, f"a metric is 0 to {MAX_METRIC}")
        if kind != fib.UNICAST:
            if via is not None or dev is not None or netns is not None:
                raise OSError(errno.EINVAL, f"a {type} route has no next hop")
        elif netns is not None:
            if via is not None or dev is not None:
                raise OSError(errno.EINVAL, "a route into a namespace has no next hop")
            self._check_target(netns)
        elif gateway >= 0:
            device = self._check_gateway(gateway, device)
        elif device is None:
            raise OSError(errno.EINVAL, "a route needs via, dev or netns")
        if source and not self.ip4.owner(source) and not self.ip4.holders(source):  # one that is being probed will do
            raise OSError(errno.EINVAL, f"{src} is not an address of namespace {self.name!r}")
        route = Route(
            family,
            prefix,
            length,
            type=kind,
            table=fib.TABLE_MAIN,
            metric=metric,
            proto="static",
            scope="link" if gateway < 0 and device is not None else "global",
            via=gateway,
            dev=device,
            src=source,
            target=netns,
        )
        if netns is not None:
            route.crossing = self.crossing_to(netns)
        try:
            self.ip4.main.add(route)
        except OSError:
            self._unlinked(route, entered=False)
            raise
        if route.crossing is not None:
            route.crossing.routes += 1
        self.stack.events.add(now, EventKind.ROUTE_ADD, self.name, to=to)
        return route

    def del_route(
        self,
        to: str,
        via: str | None = None,
        dev: str | None = None,
        *,
        netns: str | None = None,
        metric: int | None = None,
        now: int | None = None,
    ) -> Route:
        """Remove the first route of the main table that fits; OSError ESRCH when none does."""
        now = self.stack.advance(now)
        _, prefix, length = addr.parse_prefix(to)
        gateway = None if via is None else addr.parse_address(via)[1]
        device = None if dev is None else self.device(dev)
        route = self.ip4.main.remove(prefix, length, metric=metric, via=gateway, dev=device, target=netns)
        self.stack.events.add(now, EventKind.ROUTE_DEL, self.name, to=to)
        self._unlinked(route)
        return route

    def _unlinked(self, route: Route, *, entered: bool = True) -> None:
        """`route` is out of the main table (or not `entered`): its short-cut may go, who waited for its place comes."""
        if entered:
            self.ip4.vacated(route)
        crossing = route.crossing
        if crossing is not None:
            crossing.routes -= entered
            if not crossing.routes:
                self.forget_crossing(crossing.target_name)

    def _check_gateway(self, gateway: int, dev: Device | None) -> Device:
        """The device by which a gateway is reached directly: recursion is refused when the route is made."""
        ip = self.ip4
        if ip.is_local(gateway) or ip.is_broadcast(gateway) or gateway in ip.zeros or not addr.is_host4(gateway):
            raise OSError(errno.EINVAL, f"{addr.format_address(gateway)} cannot be a gateway of this namespace")
        for candidate in self.devices.values() if dev is None else (dev,):
            if candidate.kind != "lo" and self.ip4.on_link(candidate, gateway):
                return candidate
        where = f"on device {dev.name!r}" if dev is not None else f"in namespace {self.name!r}"
        raise OSError(errno.ENETUNREACH, f"gateway {addr.format_address(gateway)} is not on a link {where}")

    def _check_target(self, target: str) -> None:
        if target == self.name:
            raise OSError(errno.EINVAL, "a route short-cut into its own namespace")
        if target not in self.stack.namespaces:
            raise OSError(errno.ENOENT, f"no namespace {target!r}")

    def crossing_to(self, target: str) -> Crossing:
        """The short-cut from here to the namespace at path `target`, made if need be."""
        crossing = self.crossings.get(target)
        if crossing is None:
            crossing = self.crossings[target] = Crossing(self, target)
            crossing.target = self.stack.namespaces.get(target)
            self.stack.crossings_to.setdefault(target, []).append(crossing)
        return crossing

    def forget_crossing(self, target: str) -> None:
        """The last route to `target` is gone: the short-cut and its counters go with it."""
        crossing = self.crossings.pop(target)
        others = self.stack.crossings_to[target]
        others.remove(crossing)
        if not others:
            del self.stack.crossings_to[target]

    def accepts(self, source: str) -> bool:
        """Whether `accept_from` lets the namespace at path `source` cross into this one."""
        return source in self.accept_from or "*" in self.accept_from

    # -- sockets ----------------------------------------------------------------------------------------------------

    def socket(self, family: int = 2, type: int = 2, proto: int = 0) -> Socket:  # noqa: A002 -- socket(2)'s word
        """A non-blocking BSD-style socket of this namespace; numbers are the kernel's (AF_INET 2, SOCK_DGRAM 2)."""
        self.check_open()
        return Socket(self, family, type, proto)

    def route_output(
        self, dst: int, src: int = 0, oif: Device | None = None, *, family: int = addr.V4, sending: bool = False
    ) -> tuple[Route, int]:
        """(route, source address) for a packet made here; OSError with the errno that a kernel socket would raise.

        With `sending` there is a packet, and a short-cut that is denied counts it; otherwise it is only a question.
        """
        decision = route_output(self.ip4, dst, src, oif, self.stack.now)
        if isinstance(decision, Refusal):
            raise os_error(decision.errno)
        route = decision[0]
        if route.target is not None and (route.crossing is None or not route.crossing.accepted):
            if sending:
                self.stats[Stat.AcctOriginated] += 1
                self.drops[DropReason.CROSSING_DENIED] += 1
                if route.crossing is not None:
                    route.crossing.denied += 1
            raise PermissionError(errno.EACCES, f"namespace {route.target!r} does not accept from {self.name!r}")
        return decision

    def send_ip(
        self, pkt: Packet, route: Route, now: int, *, ttl: int = -1, tos: int = 0, dont_fragment: bool = False
    ) -> None:
        """Send a transport segment (``start``/``end``) with ``src dst proto`` set, by `route`.

        `ttl` -1 is the namespace's default. OSError EMSGSIZE when it is too large for the path and must not be
        fragmented; any other loss is a drop, not an exception.
        """
        self.stack.pipeline.socket_output(self, self.ip4, pkt, route, now, ttl, tos, dont_fragment)

    # -- questions and the end --------------------------------------------------------------------------------------

    def drop_counts(self) -> dict[str, int]:
        """How many packets died for each reason, by the reason's name; zero counts are left out."""
        totals = [0] * N_REASONS
        for counters in [self._drops, *(dev.drops for dev in self.devices.values())]:
            if counters is not None:
                for index, count in enumerate(counters):
                    totals[index] += count
        return {reason.name: totals[reason] for reason in DROP_TABLE if totals[reason]}

    def stat(self, name: Stat) -> int:
        """One counter."""
        return self.stats[name]

    def queued(self) -> int:
        """Packets that wait inside this namespace: for a neighbour, or for the rest of their fragments."""
        waiting = 0 if self._neigh4 is None else self._neigh4.queued
        return waiting + (0 if self.ip4.reassembler is None else self.ip4.reassembler.held)

    def descendants(self) -> list[Netns]:
        """The namespaces below this one, each behind its parent."""
        found = list(self.children.values())
        for ns in found:
            found += ns.children.values()
        return found

    def check_open(self) -> None:
        """OSError ENOENT when the namespace is being removed, or was."""
        if self.closing:
            raise OSError(errno.ENOENT, f"namespace {self.name!r} is being removed")

    def close(self, now: int) -> None:
        """Let go of everything: sockets, queues, devices. What still waits dies as NS_CLOSING."""
        self.closing = True
        close_all(self)
        if self.ip4.reassembler is not None:
            self.ip4.reassembler.purge()
        self.ip4.clear()
        for dev in list(self.devices.values()):
            dev.refresh()
            self.detach_device(dev, now)
            self.stack.retire(dev)
        self.settle(now)


def check_mtu(mtu: int, largest: int = MAX_MTU) -> None:
    """OSError EINVAL unless `mtu` is one that a device can have."""
    if not MIN_MTU <= mtu <= largest:
        raise OSError(errno.EINVAL, f"an MTU is {MIN_MTU} to {largest} bytes")
