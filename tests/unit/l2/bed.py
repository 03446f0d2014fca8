"""A namespace with what layer 2 needs of one, all parts real, and a clock that a test moves."""

from typing import Any

from vrouter.stack.base.addresses import NULL_MAC, parse_interface, parse_ipv4, parse_mac
from vrouter.stack.base.counters import new_stats
from vrouter.stack.base.events import EventLog
from vrouter.stack.base.packet import Packet
from vrouter.stack.base.rng import Rng
from vrouter.stack.base.timers import TimerHeap, TimerKind
from vrouter.stack.device import Address, Device
from vrouter.stack.l2.acd import Acd
from vrouter.stack.l2.arp import arp_input
from vrouter.stack.l2.neighbour import NeighTable
from vrouter.stack.l3.codec import IPV4
from vrouter.stack.l3.fib import Route
from vrouter.stack.l3.ip import IpState
from vrouter.stack.sysctl import DEFAULT_NS, NsConf
from vrouter.stack.wire.arp import REQUEST, Arp

MS = 1_000_000
SECOND = 1_000_000_000
LAN_MAC = parse_mac("02:00:00:00:00:01")
WAN_MAC = parse_mac("02:00:00:00:00:02")
PEER_MAC = parse_mac("02:00:00:00:00:aa")
OTHER_MAC = parse_mac("02:00:00:00:00:bb")
ROUTER = parse_ipv4("10.0.1.1")
PEER = parse_ipv4("10.0.1.2")


class StackBed:
    """What namespaces share."""

    def __init__(self) -> None:
        self.timers = TimerHeap()
        self.rng = Rng(1)
        self.events = EventLog()


class Bed:
    """Namespace ``red`` with ``lan`` (10.0.1.1/24) and ``wan`` (10.0.2.1/24)."""

    def __init__(self) -> None:
        self.stack = StackBed()
        self.name = "red"
        self.closing = False
        self.conf: NsConf = DEFAULT_NS
        self.stats = new_stats()
        self.devices: dict[str, Device] = {}
        self.macs: dict[bytes, int] = {}
        self.ip4 = IpState(self, IPV4)
        self.neigh4 = NeighTable(self)
        self.acd = Acd(self)
        self.now = 1000 * SECOND
        self.lan = self.device("lan", "tap", LAN_MAC)
        self.wan = self.device("wan", "tap", WAN_MAC)
        self.address(self.lan, "10.0.1.1/24")
        self.address(self.wan, "10.0.2.1/24")

    def ip(self, family: int) -> IpState:
        return self.ip4

    def device(self, name: str, kind: str, mac: bytes) -> Device:
        dev = self.devices[name] = Device(self, name, kind, len(self.devices) + 1, mac, 1500)
        self.macs[mac] = self.macs.get(mac, 0) + 1
        return dev

    def address(self, dev: Device, text: str) -> Address:
        _, address, length = parse_interface(text)
        record = self.ip4.add_address(dev, address, length)
        self.ip4.activate(record)
        return record

    def route(self, prefix: int, length: int, dev: Device, via: int = -1) -> None:
        self.ip4.main.add(prefix, length, Route(4, dev=dev, via=via))

    def take(self) -> list[tuple[Any, ...]]:
        """The neighbour table's actions since the last call."""
        actions, self.neigh4.actions = self.neigh4.actions, []
        return actions

    def advance(self, ns: int) -> None:
        """Let `ns` nanoseconds pass and every timer that falls due fire at its own time."""
        until = self.now + ns
        while (at := self.stack.timers.poll_at()) is not None and at <= until:
            self.now = max(self.now, at)
            timer = self.stack.timers.pop_due(self.now)
            assert timer is not None
            if timer.kind is TimerKind.NEIGH:
                self.neigh4.timer_fired(timer.owner, self.now)
            elif timer.kind is TimerKind.NEIGH_GC:
                timer.owner.gc(self.now)
            else:
                self.acd.timer_fired(timer.owner, self.now)
        self.now = until


def packet(src: int = ROUTER, size: int = 100) -> Packet:
    pkt = Packet.for_payload(bytes(size))
    pkt.src = src
    return pkt


def arp_packet(
    op: int = REQUEST,
    sha: bytes = PEER_MAC,
    spa: int = PEER,
    tha: bytes = NULL_MAC,
    tpa: int = ROUTER,
    flags: int = 0,
) -> Packet:
    body = bytearray(46)
    Arp(op, sha, spa, tha, tpa).emit(body, 0)
    pkt = Packet.from_frame(body)
    pkt.l3, pkt.ethertype, pkt.flags = pkt.start, 0x0806, flags
    return pkt


def receive(bed: Bed, pkt: Packet) -> tuple[int, Packet | None]:
    return arp_input(bed, bed.lan, pkt, bed.now)
