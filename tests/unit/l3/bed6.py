"""IPv6 packets built by scapy, as they come in by a device, and what layer 3 asks of the namespace they come to."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from vrouter.stack.base.addresses import SCOPE_LINK, V6, parse_ipv6, parse_mac, scope6, scoped
from vrouter.stack.base.counters import new_stats
from vrouter.stack.base.packet import Packet
from vrouter.stack.base.rng import Rng
from vrouter.stack.base.timers import TimerHeap
from vrouter.stack.device import Address, Device
from vrouter.stack.l3.ipv6_input import ipv6_input
from vrouter.stack.l3.source6 import select_source6
from vrouter.stack.sysctl import DEFAULT_NS, NsConf

HERE = "2001:db8:1::1"
THERE = "2001:db8:2::2"
LAN_IFINDEX = 7


class Namespace:
    """``lan`` and ``lo``; addresses are given with `own`."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.conf: NsConf = replace(DEFAULT_NS, **settings)
        self.stats = new_stats()
        self.stack = SimpleNamespace(rng=Rng(seed), timers=TimerHeap(), now=0)
        self.closing = False
        self.name = "red"
        self.lan = Device(self, "lan", "tap", LAN_IFINDEX, parse_mac("02:00:00:00:00:01"), 1500)
        self.lo = Device(self, "lo", "lo", 1, bytes(6), 65536)
        self.devices = {"lo": self.lo, "lan": self.lan}


class Ip:
    """One namespace's IPv6, without its routes."""

    family = V6

    def __init__(self, ns: Namespace | None = None) -> None:
        self.ns = Namespace() if ns is None else ns
        self.owners: dict[int, Address] = {}
        self.zeros: dict[int, int] = {}
        self.idents: list[tuple[int, int, int]] = []
        self.answered: list[int] = []

    def own(self, text: str, dev: Device | None = None, length: int = 64, state: str = "preferred") -> Address:
        """Give a device (`lan`) an address in use."""
        dev = self.ns.lan if dev is None else dev
        a = Address(dev, V6, scoped(parse_ipv6(text), dev.ifindex), length, "global", -1)
        a.state, a.active, a.order = state, True, len(self.owners)
        dev.addresses.append(a)
        self.owners[a.address] = a
        return a

    def is_local(self, address: int) -> bool:
        return address in self.owners

    def select_source(self, dev: Device, dst: int) -> int:
        return select_source6(self, dev, dst)

    def far_sources(self) -> list[Address]:
        return [a for dev in self.ns.devices.values() for a in dev.addresses if scope6(a.address) > SCOPE_LINK]

    def note_answer(self, dst: int) -> None:
        self.answered.append(dst)

    def next_ident(self, src: int, dst: int, proto: int) -> int:
        self.idents.append((src, dst, proto))
        return 0xDEADBEEF


def arrived(packet: Any, dev: Device, padding: bytes = b"", flags: int = 0) -> Packet:
    """A packet (scapy's, or bytes) as a frame's link layer hands it on, before any check."""
    pkt = Packet.from_frame(bytes(14) + bytes(packet) + padding)
    pkt.start += 14
    pkt.iif = dev
    pkt.flags |= flags
    return pkt


def received(packet: Any, dev: Device, flags: int = 0) -> Packet:
    """A packet that has passed the header checks."""
    pkt = arrived(packet, dev, flags=flags)
    assert ipv6_input(pkt) == 0
    return pkt
