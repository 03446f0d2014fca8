"""A namespace with what neighbour discovery needs of one, all parts real, and a clock that a test moves.

::

    lan fe80::1, 2001:db8:1::1/64 ── PEER fe80::aa, 2001:db8:1::2 (PEER_MAC)
    wan fe80::2, 2001:db8:2::1/64

The bed carries out what the detection wants: states, addresses and settings; messages and routes it keeps for the test.
"""

from dataclasses import replace
from typing import Any

from vrouter.stack.base.addresses import (
    format_ipv6,
    format_prefix,
    parse_interface,
    parse_ipv6,
    parse_mac,
    scoped,
    solicited_node,
    unscoped,
)
from vrouter.stack.base.counters import new_stats
from vrouter.stack.base.events import EventLog
from vrouter.stack.base.packet import Packet
from vrouter.stack.base.rng import Rng
from vrouter.stack.base.timers import TimerHeap, TimerKind
from vrouter.stack.device import FOREVER, Address, Device
from vrouter.stack.l2.ndp import NDP_TIMERS, Ndp
from vrouter.stack.l2.neighbour import NeighTable
from vrouter.stack.l3.codec6 import IPV6
from vrouter.stack.l3.fib import Route
from vrouter.stack.l3.ip6 import Ip6State
from vrouter.stack.sysctl import DEFAULT_NS, NsConf
from vrouter.stack.wire import icmpv6
from vrouter.stack.wire import ndp as wire
from vrouter.testing import frames6

MS = 1_000_000
SECOND = 1_000_000_000
LAN_MAC = parse_mac("02:00:00:00:00:01")
WAN_MAC = parse_mac("02:00:00:00:00:02")
PEER_MAC = parse_mac("02:00:00:00:00:aa")
OTHER_MAC = parse_mac("02:00:00:00:00:bb")
LAN = "2001:db8:1::1"
LAN_LL = "fe80::1"
PEER = "2001:db8:1::2"
PEER_LL = "fe80::aa"
OTHER_LL = "fe80::bb"
ALL_NODES = "ff02::1"

MESSAGES = {
    icmpv6.ROUTER_SOLICITATION: wire.RouterSolicitation,
    icmpv6.ROUTER_ADVERTISEMENT: wire.RouterAdvertisement,
    icmpv6.NEIGHBOUR_SOLICITATION: wire.NeighbourSolicitation,
    icmpv6.NEIGHBOUR_ADVERTISEMENT: wire.NeighbourAdvertisement,
    icmpv6.REDIRECT: wire.Redirect,
}


def group(address: str) -> str:
    """The solicited-node group of an address."""
    return format_ipv6(solicited_node(parse_ipv6(address)))


class StackBed:
    """What namespaces share."""

    def __init__(self, seed: int) -> None:
        self.timers = TimerHeap()
        self.rng = Rng(seed)
        self.events = EventLog()
        self.identity = "bed"
        self.now = 0


class Bed6:
    """Namespace ``red`` as drawn above; nothing is detected at first, every address is usable at once."""

    def __init__(self, seed: int = 1, **conf6: Any) -> None:
        self.stack = StackBed(seed)
        self.name = "red"
        self.closing = False
        self.conf: NsConf = DEFAULT_NS
        self.stats = new_stats()
        self.devices: dict[str, Device] = {}
        self.macs: dict[bytes, int] = {}
        self.ip6 = Ip6State(self, IPV6)
        self.neigh6 = NeighTable(self, 6)
        self.ndp = Ndp(self)
        self.now = 1000 * SECOND
        self.routes: dict[tuple[str, str], int] = {}  # (prefix, via) -> metric, as asked for
        self.settings: dict[str, int] = {}
        self.groups: list[tuple[str, str, str]] = []
        self.rest: list[tuple[Any, ...]] = []  # actions that only a test looks at
        self.lan = self.device("lan", "tap", LAN_MAC, **conf6)
        self.wan = self.device("wan", "tap", WAN_MAC, **conf6)
        for dev, texts in ((self.lan, ("fe80::1/64", f"{LAN}/64")), (self.wan, ("fe80::2/64", "2001:db8:2::1/64"))):
            for text in texts:
                self.address(dev, text)

    def ip(self, family: int) -> Ip6State:
        return self.ip6

    # -- making -------------------------------------------------------------------------------------------------------

    def device(self, name: str, kind: str, mac: bytes, **conf6: Any) -> Device:
        dev = self.devices[name] = Device(self, name, kind, len(self.devices) + 1, mac, 1500)
        self.macs[mac] = self.macs.get(mac, 0) + 1
        dev.with_ipv6 = True
        self.configure(dev, **conf6)
        return dev

    def configure(self, dev: Device, **conf6: Any) -> None:
        """Settings of a device, without telling anybody."""
        dev.conf6 = replace(dev.conf6, **conf6)

    def change(self, dev: Device, **conf6: Any) -> None:
        """Settings of a device, told."""
        self.configure(dev, **conf6)
        self.ndp.conf_changed(dev, self.now)

    def address(self, dev: Device, text: str, state: str = "preferred") -> Address:
        """An address that is in `state` already."""
        _, address, length = parse_interface(text)
        record = self.ip6.add_address(dev, scoped(address, dev.ifindex), length)
        if state == "preferred":
            self.ip6.activate(record)
        record.state = state
        return record

    def add(self, dev: Device, text: str) -> Address:
        """An address as the namespace configures it."""
        record = self.address(dev, text, "tentative")
        self.ndp.dad.start(record, self.now)
        self.ndp.address_added(record, self.now)
        return record

    def remove(self, record: Address) -> None:
        """An address as the namespace takes it away."""
        self.ip6.remove_address(record.dev, record.address, record.length)
        self.ndp.address_removed(record, self.now)

    def route(self, text: str, dev: Device, via: int = -1) -> None:
        _, prefix, length = parse_interface(text)
        self.ip6.main.add(prefix, length, Route(6, dev=dev, via=via))

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, ns: int) -> None:
        """Let `ns` nanoseconds pass and every timer that falls due fire at its own time."""
        until = self.now + ns
        while (at := self.stack.timers.poll_at()) is not None and at <= until:
            self.fire()
        self.now = until

    def fire(self) -> None:
        """Let the next timer fire, at its time."""
        at = self.stack.timers.poll_at()
        assert at is not None
        self.now = max(self.now, at)
        timer = self.stack.timers.pop_due(self.now)
        assert timer is not None
        if timer.kind is TimerKind.NEIGH:
            self.neigh6.timer_fired(timer.owner, self.now)
        elif timer.kind is TimerKind.NEIGH_GC:
            timer.owner.gc(self.now)
        else:
            assert NDP_TIMERS[timer.kind](timer.owner, self.now) is self

    # -- what is to be done -------------------------------------------------------------------------------------------

    def sent(self) -> list[Packet]:
        """Carry out what is to be done; the messages to be sent."""
        messages = []
        while self.ndp.actions:
            for kind, *rest in self.ndp.take_actions():
                if kind == "message":
                    messages.append(rest[0])
                else:
                    self._carry_out(kind, rest)
        return messages

    def _carry_out(self, kind: str, rest: list[Any]) -> None:
        if kind == "state":
            record, state = rest
            assert record.state == state
            if state in ("preferred", "deprecated"):
                self.ip6.activate(record, state)
            else:
                self.ip6.deactivate(record)
        elif kind == "address_add":
            dev, address, length, origin, valid_until, preferred_until = rest
            record = self.ip6.add_address(dev, address, length)
            record.origin, record.state = origin, "tentative"
            record.valid_until, record.preferred_until = valid_until, preferred_until
            self.ndp.dad.start(record, self.now)
            self.ndp.address_added(record, self.now)
        elif kind == "address_del":
            self.remove(rest[0])
        elif kind in ("route_add", "route_del"):
            _, prefix, length, via, metric = rest
            key = format_prefix(prefix, length, 6), "link" if via < 0 else format_ipv6(via)
            if kind == "route_add":
                assert key not in self.routes
                self.routes[key] = metric
            else:
                assert self.routes.pop(key) == metric
        elif kind == "sysctl":
            self.settings[rest[0]] = rest[1]
        elif kind in ("join", "leave"):
            self.groups.append((kind, rest[0].name, format_ipv6(rest[1])))
        else:
            self.rest.append((kind, *rest))

    def told(self) -> list[tuple[str, str, Any]]:
        """(source, destination, message) of what is to be sent now."""
        return [read(pkt) for pkt in self.sent()]

    def timeline(self, ns: int) -> list[tuple[int, tuple[str, str, Any]]]:
        """(ms since the call, message) of everything that is sent within `ns`."""
        begin, found = self.now, [(0, what) for what in self.told()]
        while (at := self.stack.timers.poll_at()) is not None and at <= begin + ns:
            self.fire()
            found += [((self.now - begin) // MS, what) for what in self.told()]
        self.now = begin + ns
        return found

    # -- what comes in ------------------------------------------------------------------------------------------------

    def receive(
        self, message: bytes, src: str, dst: str, *, dev: Device | None = None, mac: bytes = PEER_MAC, **fields: Any
    ) -> tuple[int, list[tuple[str, str, Any]]]:
        """A message comes in by lan: (reason, what is sent at once)."""
        dev = dev or self.lan
        pkt = incoming(dev, message, src, dst, mac)
        for name, value in fields.items():
            setattr(pkt, name, value)
        reason, messages = self.ndp.input(dev, pkt, self.now)
        return reason, [read(pkt) for pkt in messages]

    def solicit(self, target: str, src: str = PEER, dst: str = "", *, mac: bytes | None = PEER_MAC, **more: Any) -> Any:
        """The peer asks for `target`, by default at its group."""
        dst = dst or frames6.solicited_node(target)
        options = more.pop("options", b"")
        return self.receive(frames6.neighbour_solicitation(src, dst, target, options, mac=mac), src, dst, **more)

    def advertise(
        self, target: str, dst: str = LAN, *, mac: bytes | None = PEER_MAC, src: str = "", **more: Any
    ) -> int:
        """The peer says that it has `target`; ``router solicited override`` are the flags."""
        flags = {name: more.pop(name) for name in ("router", "solicited", "override") if name in more}
        src = src or target
        reason, sent = self.receive(
            frames6.neighbour_advertisement(src, dst, target, mac=mac, **flags), src, dst, **more
        )
        assert sent == []
        return reason

    def ra(self, *options: bytes, src: str = PEER_LL, **fields: Any) -> int:
        """A router advertises to all nodes."""
        mac = fields.pop("mac", PEER_MAC)
        message = frames6.router_advertisement(src, ALL_NODES, b"".join(options), mac=mac, **fields)
        reason, sent = self.receive(message, src, ALL_NODES)
        assert sent == []
        return reason

    def known(self, addr: str, dev: Device | None = None) -> tuple[bytes, Any, bool] | None:
        """(MAC, state, router) of a neighbour."""
        dev = dev or self.lan
        neigh = self.neigh6.get(dev, scoped(parse_ipv6(addr), dev.ifindex))
        return None if neigh is None else (neigh.mac, neigh.state_at(self.now), neigh.router)

    def shown(self, dev: Device | None = None) -> dict[str, tuple[str, int, int]]:
        """Addresses of SLAAC: state, valid and preferred lifetime in s (-1: without end)."""
        found = {}
        for a in (dev or self.lan).addresses:
            if a.origin == "ra":
                left = [-1 if at == FOREVER else (at - self.now) // SECOND for at in (a.valid_until, a.preferred_until)]
                found[format_ipv6(a.address)] = (a.state, left[0], left[1])
        return found


def incoming(dev: Device, message: bytes, src: str, dst: str, mac: bytes) -> Packet:
    """A message as layer 3 hands it over: checked, scoped, with its frame still in front of it."""
    frame = dev.mac + mac + b"\x86\xdd" + frames6.ipv6(src, dst, 58, message, hop_limit=255)
    pkt = Packet.from_frame(frame)
    pkt.l2 = pkt.start
    pkt.l3 = pkt.start = pkt.l2 + 14
    pkt.l4 = pkt.l3 + 40
    pkt.family, pkt.proto, pkt.ttl, pkt.iif = 6, 58, 255, dev
    pkt.src = scoped(parse_ipv6(src), dev.ifindex)
    pkt.dst = scoped(parse_ipv6(dst), dev.ifindex)
    return pkt


def read(pkt: Packet) -> tuple[str, str, Any]:
    """(source, destination, message) of a packet made here, whose form is checked on the way."""
    assert (pkt.family, pkt.proto, pkt.ttl) == (6, 58, 255)
    assert pkt.oif is not None
    for address in (pkt.src, pkt.dst):
        assert address >> 128 == (pkt.oif.ifindex if unscoped(address) >> 118 == 0x3FA else 0)
    assert icmpv6.is_valid(pkt.buf, pkt.start, pkt.end, unscoped(pkt.src), unscoped(pkt.dst))
    value = MESSAGES[pkt.buf[pkt.start]].parse(pkt.buf, pkt.start, pkt.end)
    assert value is not None
    return format_ipv6(pkt.src), format_ipv6(pkt.dst), value
