"""Nodes: hosts and routers of a lab, each a namespace of a stack of its own.

A node takes part in the network twice over. Its stack does what any host or router does: it answers, forwards, and
sends what its sockets say (`udp`, `ping`, `socket`). Beside that, a test can put anything on its wires by `send`, past
the stack, whose counters do not move; and `sent` and `received` hold every frame that passed the node's end of a wire,
whatever the stack made of it. What stations say to keep a link going is kept apart, in lists of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from struct import pack
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import (
    V4,
    V6,
    format_address,
    is_link_local6,
    is_multicast4,
    is_multicast6,
    parse_address_zone,
    unscoped,
)
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l2.neighbour import PERMANENT, neighbours_of
from vrouter.stack.l4.constants import (
    AF_INET,
    AF_INET6,
    IP_MTU_DISCOVER,
    IP_PMTUDISC_DO,
    IP_RECVERR,
    IP_TTL,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPV6_MTU_DISCOVER,
    IPV6_RECVERR,
    IPV6_UNICAST_HOPS,
    SOCK_DGRAM,
    SOL_IP,
    SOL_IPV6,
)
from vrouter.stack.stack import Stack
from vrouter.testing import frames
from vrouter.testing.counters import Counters
from vrouter.testing.errors import LabError
from vrouter.testing.match import Frame
from vrouter.testing.octets import Ip
from vrouter.testing.tcp_flow import TcpFlow, TcpListener, connect
from vrouter.testing.udp_port import UdpPort

if TYPE_CHECKING:
    from vrouter.netns import Netns as Face
    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns
    from vrouter.testing.face import LabRouter
    from vrouter.testing.lab import Lab
    from vrouter.testing.wire import End

SECOND: Final = 1_000_000_000
_ECHO_HEADER = 8
_TAGS: Final = (b"\x81\x00", b"\x88\xa8")
_STP_GROUP: Final = b"\x01\x80\xc2\x00\x00\x00"
_NDP: Final = frozenset(range(133, 137))  # redirects are for hosts, not for the link
_MLD: Final = frozenset((130, 131, 132, 143))
_DESTINATION: Final = {4: slice(16, 20), 6: slice(24, 40)}


def purpose(frame: bytes) -> str:
    """What a frame is for: "arp", "ndp" (solicitations and advertisements), "groups" (IGMP, MLD), "stp", or "" for
    everything else."""
    at = 12
    while frame[at : at + 2] in _TAGS:
        at += 4
    ethertype, packet = frame[at : at + 2], frame[at + 2 : at + 52]
    if ethertype == b"\x08\x06":
        return "arp"
    if ethertype == b"\x08\x00" and packet[9:10] == b"\x02":
        return "groups"
    if ethertype == b"\x86\xdd":
        if packet[6:7] == b"\x3a" and len(packet) > 40 and packet[40] in _NDP:
            return "ndp"
        if packet[6:7] == b"\x00" and len(packet) > 48 and packet[40] == frames.ICMPV6 and packet[48] in _MLD:
            return "groups"
    return "stp" if frame[:6] == _STP_GROUP else ""


class Recorder:
    """The frames that passed a station's ends of wires; those that keep the link going apart (`purpose`)."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.ends: list[End] = []
        self.recording = True
        """Whether frames are kept; switch it off for long runs."""
        self.sent: list[Frame] = []
        """What went out, but for ARP, neighbour discovery, IGMP, MLD and spanning tree."""
        self.received: list[Frame] = []
        """What came in, but for the same."""
        self.sent_arp: list[Frame] = []
        self.received_arp: list[Frame] = []
        self.sent_ndp: list[Frame] = []
        """Solicitations and advertisements of neighbours and routers; redirects are in `sent`."""
        self.received_ndp: list[Frame] = []
        self.sent_groups: list[Frame] = []
        """IGMP and MLD."""
        self.received_groups: list[Frame] = []
        self.sent_stp: list[Frame] = []
        self.received_stp: list[Frame] = []
        self._out = {
            "": self.sent,
            "arp": self.sent_arp,
            "ndp": self.sent_ndp,
            "groups": self.sent_groups,
            "stp": self.sent_stp,
        }
        self._in = {
            "": self.received,
            "arp": self.received_arp,
            "ndp": self.received_ndp,
            "groups": self.received_groups,
            "stp": self.received_stp,
        }

    def clear(self) -> None:
        """Forget the frames recorded so far."""
        for recorded in (*self._out.values(), *self._in.values()):
            recorded.clear()

    def note_sent(self, frame: bytes) -> None:
        """Record a frame that went out."""
        if self.recording:
            self._out[purpose(frame)].append(Frame(frame))

    def note_received(self, frame: bytes) -> None:
        """Record a frame that came in."""
        if self.recording:
            self._in[purpose(frame)].append(Frame(frame))

    # -- sending past the stack -------------------------------------------------------------------------------------

    def send(self, data: bytes, dev: str | None = None) -> Frame:
        """Put a packet or a frame on the wire, as `send_packet` or `send_frame` do; the frame that went out.

        What begins with the digit 4 or 6 is an IP packet, anything else a frame: no station of a lab has such a MAC
        address, and no group can.
        """
        if data and data[0] >> 4 in (4, 6):
            return self.send_packet(data, dev)
        return self.send_frame(data, dev)

    def send_frame(self, frame: bytes, dev: str | None = None) -> Frame:
        """Put a frame on the wire of device `dev` (None: the only one), as it is."""
        end = self._end(dev)
        self.lab.put(end, frame)
        return Frame(frame)

    def send_packet(
        self,
        packet: bytes,
        dev: str | None = None,
        *,
        dst_mac: frames.Mac | None = None,
        ethertype: int | None = None,
    ) -> Frame:
        """Put an Ethernet header in front of `packet` and send it; whatever is in it, if `dst_mac` is given.

        Without, it goes to the next hop towards its destination, as the node's routes say; LabError when nobody there
        has that address. `ethertype` is that of the packet's version by default: IPv6 of 6, IPv4 of all others.
        """
        family = V6 if packet and packet[0] >> 4 == V6 else V4
        where = _DESTINATION[family]
        dst = int.from_bytes(packet[where], "big") if len(packet) >= where.stop else -1
        if dst_mac is None and dst < 0:
            raise LabError(f"{self.name}: {len(packet)} bytes name no destination; say which by dst_mac")
        end, next_hop = (self._end(dev), dst) if dst_mac is not None else self._next_hop(dst, family, dev)
        target = self.lab.mac_of(end, next_hop, family) if dst_mac is None else frames.mac_bytes(dst_mac)
        if ethertype is None:
            ethertype = frames.IPV6 if family == V6 else frames.IPV4
        return self.send_frame(frames.ethernet(target, self._mac(end), ethertype, packet), self._end_name(end))

    def _end(self, dev: str | None) -> End:
        found = [end for end in self.ends if dev is None or self._end_name(end) == dev]
        if len(found) != 1:
            names = ", ".join(self._end_name(end) for end in self.ends) or "none"
            wanted = "one device" if dev is None else f"a device {dev!r}"
            raise LabError(f"{self.name} needs {wanted} to send by, and has: {names}")
        return found[0]

    def _end_name(self, end: End) -> str:
        return end.other.station.name

    def _mac(self, end: End) -> bytes:
        raise LabError(f"{self.name} has no MAC address")

    def _next_hop(self, dst: int, family: int, dev: str | None) -> tuple[End, int]:
        """By which end, and to whom, a packet to `dst` goes."""
        return self._end(dev), dst


class Machine:
    """A stack with the namespaces that are nodes, and those of its sockets that the lab looks after."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.stack = Stack(f"{lab.seed} {name}".encode(), identity=name)
        self.nodes: dict[str, Node] = {}
        self.ends: dict[Device, End] = {}
        self.armed: int | None = None  # ns: when the lab will poll the stack
        self.on_ready: Callable[[list[tuple[Any, int]]], None] | None = None  # for sockets that a face drives
        self.on_settled: Callable[[], None] | None = None
        self._router: LabRouter | None = None
        self._watched: dict[Socket, Callable[[], None]] = {}

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"

    def watch(self, sock: Socket, ready: Callable[[], None]) -> None:
        """Call `ready` when something happens at the socket."""
        self._watched[sock] = ready

    def unwatch(self, sock: Socket) -> None:
        """The opposite of `watch`."""
        self._watched.pop(sock, None)

    def settle(self) -> None:
        """Put on the wires what the stack has sent, and wake who waits for its sockets, until it has no more to say."""
        stack = self.stack
        while True:
            for dev, frame in stack.take_egress():
                self._transmit(dev, bytes(frame))
            ready = stack.take_ready()
            if not ready:
                break
            others = []
            for sock, mask in ready:
                handler = self._watched.get(sock)
                if handler is not None:
                    handler()
                else:
                    others.append((sock, mask))
            if others and self.on_ready is not None:
                self.on_ready(others)
        if self.on_settled is not None:
            self.on_settled()

    def face(self, ns: Netns) -> Face:
        """The asyncio face of one of its namespaces."""
        if self._router is None:
            from vrouter.testing.face import LabRouter

            self._router = LabRouter(self, self.lab.loop)
        return self._router[ns.name]

    def _transmit(self, dev: Device, frame: bytes) -> None:
        end = self.ends.get(dev)
        if end is None:  # a device that a test made and wired to nothing
            self.stack.egress_failed(dev, len(frame), DropReason.TX_ERROR)
        elif not self.lab.put(end, frame):
            self.stack.egress_failed(dev, len(frame), DropReason.FULL_RING)

    def check(self) -> None:
        """LabError when the stack lost track of a packet, or a table is larger than it may be."""
        came, went = self.stack.accounts()
        if sum(came.values()) != sum(went.values()):
            raise LabError(
                f"the accounts of {self.name} differ: {sum(came.values())} {came} ≠ {sum(went.values())} {went}"
            )
        for ns in self.stack.namespaces.values():
            for family, bound in ((V4, ns.conf.gc_thresh3), (V6, ns.conf.v6.gc_thresh3)):
                entries = [neigh for dev in ns.devices.values() for neigh in neighbours_of(dev, family).values()]
                learnt = sum(neigh.state is not PERMANENT for neigh in entries)
                if learnt > bound:
                    raise LabError(f"{ns.name} of {self.name} has {learnt} IPv{family} neighbours, more than {bound}")


class Node(Recorder):
    """A host, a router, or one more namespace of one; made by `Lab.host`, `Lab.router`, `Lab.line`, `add_netns`."""

    def __init__(self, lab: Lab, name: str, machine: Machine, ns: Netns) -> None:
        super().__init__(lab, name)
        self.machine = machine
        self.ns = ns
        self.counters = Counters(ns, name)
        self.vlan = 0
        """The VLAN that it is in where a wire to a switch names none; 0: none."""
        machine.nodes[ns.name] = self

    def __repr__(self) -> str:
        return f"<Node {self.name}: {', '.join(self.addresses) or 'no address'}>"

    @property
    def stack(self) -> Stack:
        """The stack that this node is a namespace of."""
        return self.machine.stack

    @property
    def forwards(self) -> bool:
        """Whether it is a router."""
        return bool(self.ns.conf.ip_forward or self.ns.conf.v6.forwarding)

    @property
    def face(self) -> Face:
        """The namespace as a program on asyncio sees it (`vrouter.Netns`), for code that runs under `Lab.run`."""
        return self.machine.face(self.ns)

    def add_netns(self, name: str, *, accept_from: tuple[str, ...] | list[str] = (), forwarding: bool = True) -> Node:
        """One more namespace on the same stack, at path `name`; a node like any other."""
        ns = self.lab.add_netns(self.stack, name, accept_from=accept_from)
        node = Node(self.lab, name, self.machine, ns)
        self.lab.add_station(node)
        if forwarding:
            node.forward()
        return node

    def forward(self) -> None:
        """Make it a router, of both families."""
        self.ns.sysctl["net.ipv4.ip_forward"] = 1
        self.ns.sysctl["net.ipv6.conf.all.forwarding"] = 1

    # -- who and where ----------------------------------------------------------------------------------------------

    @property
    def addresses(self) -> list[str]:
        """Its addresses of both families, without ``lo``'s and those of a link alone."""
        return self._addresses(V4, V6)

    @property
    def addr(self) -> str:
        """The first of its IPv4 addresses, or of all when it has none; LabError when there is none at all."""
        return self._first(self._addresses(V4) or self._addresses(V6), "address")

    @property
    def addr6(self) -> str:
        """The first of its IPv6 addresses, of a link alone excluded; LabError when it has none."""
        return self._first(self._addresses(V6), "IPv6 address")

    def link_local(self, towards: Recorder | str | None = None) -> str:
        """The IPv6 address that the device towards another station (None: its first) has on its link alone, without
        zone; LabError when it has none."""
        if towards is None:
            devices = [dev for dev in self.ns.devices.values() if dev.kind != "lo"]
        else:
            devices = [self.device_towards(towards)]
        held = [a.address for dev in devices for a in dev.addresses if a.family == V6 and is_link_local6(a.address)]
        return self._first([format_address(a, V6) for a in held], "link-local address")

    def _addresses(self, *families: int) -> list[str]:
        devices = [dev for dev in self.ns.devices.values() if dev.kind != "lo"]
        return [text for dev in devices for text in _texts(dev, *families)]

    def _first(self, found: list[str], wanted: str) -> str:
        if not found:
            raise LabError(f"{self.name} has no {wanted}")
        return found[0]

    @property
    def mac(self) -> str:
        """The MAC address of its first device; LabError when it has none."""
        if not self.ends:
            raise LabError(f"{self.name} has no device")
        return self._mac(self.ends[0]).hex(":")

    def device_towards(self, other: Recorder | str) -> Device:
        """The device by which `other` is reached: over a wire if there is one, otherwise by the routes."""
        name = other if isinstance(other, str) else other.name
        for end in self.ends:
            if end.other.station.name == name:
                return self._device(end)
        addr = getattr(self.lab.stations[name], "addr", None)  # a hub has none
        if addr is not None:
            family, value, _ = parse_address_zone(addr)
            route = self.ns.ip(family).lookup(value)
            if route is not None and route.dev is not None:
                return route.dev
        raise LabError(f"{self.name} knows no way to {name}")

    def addr_towards(self, other: Recorder | str) -> str:
        """The address of the device by which `other` is reached, of IPv4 if it has one."""
        dev = self.device_towards(other)
        return self._first(_texts(dev, V4) or _texts(dev, V6), f"address on device {dev.name!r}")

    def addr6_towards(self, other: Recorder | str) -> str:
        """The IPv6 address of the device by which `other` is reached."""
        dev = self.device_towards(other)
        return self._first(_texts(dev, V6), f"IPv6 address on device {dev.name!r}")

    @staticmethod
    def _device(end: End) -> Device:
        device: Device = end.device
        return device

    def _mac(self, end: End) -> bytes:
        return self._device(end).mac

    def _end_name(self, end: End) -> str:
        return self._device(end).name

    def _next_hop(self, dst: int, family: int, dev: str | None) -> tuple[End, int]:
        route = self.ns.ip(family).main.lookup(dst) if dev is None else None
        if route is None or route.dev is None:
            return self._end(dev), dst
        end = self.machine.ends.get(route.dev)
        if end is None:
            raise LabError(f"{self.name}: what leaves by {route.dev.name!r} wants a tag; use send_frame")
        is_group = is_multicast4(dst) if family == V4 else is_multicast6(dst)
        return end, dst if route.via < 0 or is_group else unscoped(route.via)

    # -- the lab's side of a wire -----------------------------------------------------------------------------------

    def arrive(self, end: End, frame: bytes) -> None:
        """A frame came out of a wire."""
        dev = self._device(end)
        self.machine.nodes.get(dev.ns.name, self).note_received(frame)
        self.stack.receive(dev, frame, self.lab.now)
        self.lab.touch(self.machine)

    def carrier(self, end: End, up: bool) -> None:
        """The wire was cut, or mended."""
        dev = self._device(end)
        dev.ns.set_carrier(dev, up, "" if up else "the wire is cut", self.lab.now)
        self.lab.touch(self.machine)

    # -- what its programs do ---------------------------------------------------------------------------------------

    def socket(self, kind: int = SOCK_DGRAM, proto: int = 0, family: int = AF_INET) -> Socket:
        """A socket of its namespace; each call wants ``now=lab.now``."""
        return self.ns.socket(family, kind, proto)

    def udp(self, port: int = 0, addr: str = "0.0.0.0") -> UdpPort:
        """A UDP socket bound to `addr` and `port` (0: any); with ``::`` one of both families."""
        return UdpPort(self, port, addr)

    def tcp_listen(self, port: int = 0, addr: str = "", *, congestion: str = "") -> TcpListener:
        """A TCP socket that listens on `port` (0: any), for both families where `addr` says nothing else.

        `congestion` is the congestion control of its connections, the namespace's when not said.
        """
        if not addr:
            addr = "::" if self.lab.ipv6 else "0.0.0.0"
        return TcpListener(self, port, addr, congestion=congestion)

    def tcp_connect(self, dst: Ip, port: int, *, src: str = "", congestion: str = "", timeout: float = 10.0) -> TcpFlow:
        """Connect to `dst` (a station: its `addr`), moving the lab's time until that is done.

        `src` is the address to come from. OSError as connect(2) ends, TimeoutError after `timeout` seconds.
        """
        return connect(self, dst, port, src=src, congestion=congestion, timeout=timeout)

    def ping(
        self,
        dst: Ip,
        *,
        count: int = 1,
        size: int = 56,
        timeout: float = 1.0,
        interval: float = 1.0,
        ttl: int | None = None,
        src: Ip | None = None,
        dont_fragment: bool = False,
    ) -> float:
        """Ping `dst`, moving the lab's time; the mean round trip in seconds of those that were answered.

        An address as text may be one of IPv6, that of a link with its zone (``fe80::1%dev``); a station is pinged at
        its `addr`. `size` is that of the data in bytes, `ttl` the hop limit too. TimeoutError when none was answered;
        an ICMP error ends it as its OSError.
        """
        lab, host = self.lab, _host(dst)
        is_ipv6 = ":" in host
        name, level = (host, 0), SOL_IPV6 if is_ipv6 else SOL_IP
        sock = self.socket(SOCK_DGRAM, *((IPPROTO_ICMPV6, AF_INET6) if is_ipv6 else (IPPROTO_ICMP, AF_INET)))
        echo = frames.ECHO6 if is_ipv6 else frames.ECHO
        times: list[int] = []
        try:
            if src is not None:
                sock.bind((_host(src), 0), now=lab.now)
            if ttl is not None:
                sock.setsockopt(level, IPV6_UNICAST_HOPS if is_ipv6 else IP_TTL, ttl, now=lab.now)
            # every error, those of the network too
            sock.setsockopt(level, IPV6_RECVERR if is_ipv6 else IP_RECVERR, 1, now=lab.now)
            if dont_fragment:
                sock.setsockopt(level, IPV6_MTU_DISCOVER if is_ipv6 else IP_MTU_DISCOVER, IP_PMTUDISC_DO, now=lab.now)
            sock.connect(name, now=lab.now)
            for sequence in range(1, count + 1):
                began = lab.now
                sock.sendto(pack("!BBHHH", echo, 0, 0, 0, sequence) + bytes(size), name, now=began)
                lab.collect()
                if lab.runs_until(lambda wanted=sequence: self._answered(sock, wanted), timeout):  # type: ignore[misc] # mypy cannot infer a lambda with a default
                    times.append(lab.now - began)
                if sequence < count:
                    lab.run_for(max(0.0, interval - (lab.now - began) / SECOND))
        finally:
            sock.close(now=lab.now)
        if not times:
            raise TimeoutError(f"{self.name}: no reply from {name[0]} within {timeout} s")
        return sum(times) / len(times) / SECOND

    def _answered(self, sock: Socket, sequence: int) -> bool:
        """Whether the reply with this number has come; earlier ones are late and not counted."""
        while True:
            try:
                data = sock.recv(65535, now=self.lab.now)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return False
                raise OSError(error.errno, f"{self.name}: {os.strerror(error.errno or 0)}") from error
            if len(data) >= _ECHO_HEADER and int.from_bytes(data[6:8], "big") == sequence:
                return True


def _texts(dev: Device, *families: int) -> list[str]:
    """The addresses of a device, but for those of its link alone."""
    return [
        format_address(a.address, a.family)
        for a in dev.addresses
        if a.family in families and not (a.family == V6 and is_link_local6(a.address))
    ]


def _host(address: Ip) -> str:
    """An address as a socket takes it; an int is one of IPv4."""
    if isinstance(address, str):
        return address
    return format_address(address) if isinstance(address, int) else address.addr
