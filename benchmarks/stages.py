"""Cost of each stage of a packet's way, and of whole ways, in one process without TAPs.

host a ── lan ┌──────┐ wan ── host b          the ways, each of an 18-byte datagram (or ping) from host a:
              │ root │                        forward:    to b
              └┬────┬┘                        deliver:    to a UDP socket on lan's address, and read there
 short-cut to  │    │ veth to                 ping:       to lan's address, and answered
         ┌─────┴┐  ┌┴──────┐                  short-cut:  by a route short-cut to a host behind blue
         │ blue │  │ green │                  veth:       by a pair of devices to a host behind green
         └──┬───┘  └───┬───┘
           out        out                     The stages are called with the arguments that they have on that way;
                                              what the sum leaves is the pipeline's own steps between them.
"""

from __future__ import annotations

import asyncio
import os
import timeit
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from vrouter.driver import BURST, Driver
from vrouter.stack import Stack
from vrouter.stack.base.packet import Packet
from vrouter.stack.egress import transmit
from vrouter.stack.l2.ethernet import ethernet_input, ethernet_output
from vrouter.stack.l2.vnet import vnet_input
from vrouter.stack.l3.forward import decrement, forwards, transit_mtu
from vrouter.stack.l3.icmp import icmp_input
from vrouter.stack.l3.input import ipv4_input, martian_input
from vrouter.stack.l3.output import push_ipv4
from vrouter.stack.l3.route import route_output
from vrouter.stack.l4.udp import udp_input
from vrouter.testing import frames

NOW = 1_000_000_000
VNET = bytes(12)
WAYS = ("forward", "deliver", "ping", "short-cut", "veth")
PAYLOAD = bytes((7 * at + 1) & 0xFF for at in range(18))
HOST_MAC = bytes.fromhex("02aa00000001")
HOST_A, HOST_B, BEHIND_BLUE, BEHIND_GREEN = "10.0.1.2", "10.0.2.2", "10.9.0.2", "10.7.0.2"
ROUTER = "10.0.1.1"
_ARP_REQUEST = bytes.fromhex("0806000108000604" + "0001")


@dataclass(slots=True)
class Way:
    """One way of a packet: the frame that begins it, and what has to come of it."""

    name: str
    frame: bytes
    out: str
    """The device by which one frame leaves; empty when none does."""
    expected: bytes
    """The packet in that frame, or the datagram that the socket reads."""


class World:
    """The namespaces of the drawing, with every neighbour known."""

    def __init__(self) -> None:
        self.stack = stack = Stack(seed=1)
        self.root = root = stack.add_netns("root")
        blue, green = stack.add_netns("blue", accept_from=["root"]), stack.add_netns("green")
        for ns in (root, blue, green):
            ns.sysctl["net.ipv4.ip_forward"] = 1
        self.lan = root.add_device("lan", vnet_hdr=True)
        self.wan = root.add_device("wan", vnet_hdr=True)
        root.add_address("lan", f"{ROUTER}/24")
        root.add_address("wan", "10.0.2.1/24")
        for ns, address in ((blue, "10.9.0.1/24"), (green, "10.7.0.1/24")):
            ns.add_device("out", vnet_hdr=True)
            ns.add_address("out", address)
        stack.add_veth(root, "pair", green, "pair")
        root.add_address("pair", "10.8.0.1/30")
        green.add_address("pair", "10.8.0.2/30")
        root.add_route("10.9.0.0/24", netns="blue")
        root.add_route("10.7.0.0/24", via="10.8.0.2")
        self.socket = root.socket()
        self.socket.bind((ROUTER, 7), now=0)
        self.ways = {way.name: way for way in self._ways()}
        for way in self.ways.values():
            self.learn(way.frame)
        self.socket.recvfrom(64, now=NOW)

    def _ways(self) -> list[Way]:
        def framed(packet: bytes) -> bytes:
            return VNET + frames.ethernet(self.lan.mac, HOST_MAC, frames.IPV4, packet, pad=True)

        def datagram(dst: str, ttl: int = 64) -> bytes:
            return frames.ipv4_udp(HOST_A, dst, 4000, 7, PAYLOAD, ttl=ttl)

        answer = frames.ipv4_echo(ROUTER, HOST_A, payload=PAYLOAD, reply=True)
        return [
            Way("forward", framed(datagram(HOST_B)), "wan", datagram(HOST_B, 63)),
            Way("deliver", framed(datagram(ROUTER)), "", PAYLOAD),
            Way("ping", framed(frames.ipv4_echo(HOST_A, ROUTER, payload=PAYLOAD)), "lan", answer),
            Way("short-cut", framed(datagram(BEHIND_BLUE)), "out", datagram(BEHIND_BLUE, 63)),
            Way("veth", framed(datagram(BEHIND_GREEN)), "out", datagram(BEHIND_GREEN, 62)),
        ]

    def learn(self, frame: bytes) -> None:
        """Send a frame through, and answer every ARP request that comes of it as the host that it asks for."""
        self.stack.receive(self.lan, frame, NOW)
        while asked := self.stack.take_egress():
            for device, sent in asked:
                at = sent.find(_ARP_REQUEST)
                spa, tpa = int.from_bytes(sent[40:44], "big"), int.from_bytes(sent[50:54], "big")
                if at == 24 and spa != tpa:
                    reply = frames.arp_reply(HOST_MAC, tpa, device.mac, spa)
                    self.stack.receive(device, VNET + frames.ethernet(device.mac, HOST_MAC, frames.ARP, reply), NOW)

    def check(self, way: Way) -> None:
        """Send one packet on its way; ValueError unless exactly what is expected came of it."""
        drops = self.root.drop_counts()
        self.stack.receive(self.lan, way.frame, NOW)
        out = self.stack.take_egress()
        if way.out:
            found = [(device.name, bytes(frame[26 : 26 + len(way.expected)])) for device, frame in out]
            expected = [(way.out, way.expected)]
            if way.name == "ping":  # its identification is the router's to choose
                found = [(name, packet[20:]) for name, packet in found]
                expected = [(way.out, way.expected[20:])]
        else:
            found = [(str(out), self.socket.recvfrom(64, now=NOW)[0])]
            expected = [("[]", way.expected)]
        if found != expected:
            raise ValueError(f"{way.name}: {found} instead of {expected}")
        sources, places = self.stack.accounts()
        if sum(sources.values()) != sum(places.values()) or self.root.drop_counts() != drops:
            raise ValueError(f"{way.name}: accounts {sources} {places}, drops {self.root.drop_counts()}")


@dataclass(slots=True)
class Stage:
    """One stage: a statement, what has to be put back before it can be repeated, and how often each way has it."""

    name: str
    call: str
    reset: str
    times: dict[str, int]
    ns: float = 0.0


@dataclass(slots=True)
class Costs:
    """What came of it, in ns a packet."""

    stages: list[Stage]
    ways: dict[str, float]
    edge: dict[int, float] = field(default_factory=dict)
    """By frames in a burst: driver and whole forward way, with TAPs in memory, for each frame."""

    def between(self, way: str) -> float:
        """What the stages of that way leave to the pipeline's own steps."""
        return self.ways[way] - sum(stage.ns * stage.times.get(way, 0) for stage in self.stages)


def _stages() -> list[Stage]:
    def stage(name: str, call: str, reset: str, *times: int) -> Stage:
        return Stage(name, call, reset, {way: count for way, count in zip(WAYS, times, strict=True) if count})

    cross, deliver = "cross(ns, ip, guest, crossing, now)", "udp_input(ns, dgram, now); read(64, now=now)"
    wire, pair = "transmit(wan, pkt, now, egress, work)", "transmit(pair, guest, now, egress, work)"
    leave_work = "guest.crossings = 0; work.clear()"
    return [
        stage("packet object and copy of the frame", "from_frame(frame)", "pass", 1, 1, 1, 1, 1),
        stage("virtio-net header", "vnet_input(lan, pkt)", "pkt.start = 128", 1, 1, 1, 1, 1),
        stage("Ethernet input", "ethernet_input(lan, pkt)", "pkt.start = 140", 1, 1, 1, 1, 2),
        stage("IPv4 header checks", "ipv4_input(pkt)", "pkt.start = l3; pkt.end = end", 1, 1, 1, 1, 2),
        stage("martian filter", "martian_input(ip, pkt, lan)", "pass", 1, 1, 1, 1, 2),
        stage("route lookup, both tables", "local(far) or main(far)", "pass", 1, 0, 0, 2, 2),
        stage("route lookup, own address", "local(own) or main(own)", "pass", 0, 1, 1, 0, 0),
        stage("forwarding allowed", "forwards(ns, pkt)", "pass", 1, 0, 0, 2, 2),
        stage("route short-cut", cross, leave_work, 0, 0, 0, 1, 0),
        stage("MTU", "transit_mtu(ip, pkt, route, wan, now)", "pass", 1, 0, 0, 1, 2),
        stage("TTL and checksum", "decrement(pkt)", "buf[l3 + 8 : l3 + 12] = ttl_word; pkt.ttl = 64", 1, 0, 0, 1, 2),
        stage("UDP input, and reading the socket", deliver, "dgram.end = dgram_end", 0, 1, 0, 0, 0),
        stage("ICMP input and reply", "icmp_input(ip, echo, now)", "pass", 0, 0, 1, 0, 0),
        stage("route of the reply", "route_output(ip, near, own, None, now)", "pass", 0, 0, 1, 0, 0),
        stage("IPv4 output", "push_ipv4(ip, echo, 64, 0, False)", "echo.start = echo.l4", 0, 0, 1, 0, 0),
        stage("neighbour", "neighbours.get(far).fresh_until", "pass", 1, 0, 1, 1, 2),
        stage("Ethernet output", "ethernet_output(pkt, header, 2048)", "pkt.start = l3", 1, 0, 1, 1, 2),
        stage("egress, wire", wire, "pkt.start = 140; egress.clear()", 1, 0, 1, 1, 1),
        stage("egress, veth", pair, leave_work, 0, 0, 0, 0, 1),
    ]


def _scope(world: World) -> dict[str, Any]:
    """The names that the statements use."""
    root, stack = world.root, world.stack

    def arrived(way: str) -> Packet:
        pkt = Packet.from_frame(world.ways[way].frame)
        vnet_input(world.lan, pkt)
        ethernet_input(world.lan, pkt)
        ipv4_input(pkt)
        pkt.iif = world.lan
        return pkt

    pkt, dgram, echo = arrived("forward"), arrived("deliver"), arrived("ping")
    own, near, far = dgram.dst, dgram.src, pkt.dst
    route = root.ip4.main.lookup(far)
    guest = arrived("short-cut")
    crossing = root.ip4.main.lookup(guest.dst)
    return {
        "buf": pkt.buf, "cross": stack.pipeline.cross, "decrement": decrement, "dgram": dgram,
        "dgram_end": dgram.end, "echo": echo, "egress": [], "end": pkt.end, "ethernet_input": ethernet_input,
        "ethernet_output": ethernet_output, "far": far, "forwards": forwards,
        "guest": guest, "frame": world.ways["forward"].frame, "from_frame": Packet.from_frame,
        "header": HOST_MAC + world.wan.mac,
        "icmp_input": icmp_input, "ip": root.ip4, "ipv4_input": ipv4_input, "l3": pkt.l3, "lan": world.lan,
        "local": root.ip4.local.lookup, "main": root.ip4.main.lookup, "martian_input": martian_input, "near": near,
        "neighbours": world.wan.neigh4, "now": NOW, "ns": root, "own": own, "pair": root.devices["pair"], "pkt": pkt,
        "push_ipv4": push_ipv4, "read": world.socket.recvfrom, "route": route, "crossing": crossing,
        "route_output": route_output, "transit_mtu": transit_mtu,
        "transmit": transmit, "udp_input": udp_input, "vnet_input": vnet_input,
        "ttl_word": bytes(pkt.buf[pkt.l3 + 8 : pkt.l3 + 12]),
        "wan": world.wan, "work": stack.pipeline.work,
    }  # fmt: skip


class _MemoryTap:
    """What the driver needs of a TAP: the same burst again and again, and an end for what is written."""

    state, error = "up", ""
    offload = uso = True

    def __init__(self, burst: list[bytes]) -> None:
        self.burst = burst
        self.written = 0
        self.fd = os.eventfd(0)

    def read_burst(self, budget: int) -> list[bytes]:
        return self.burst

    def write(self, frame: bytearray) -> int:
        self.written += 1
        return 0

    def reopen(self) -> None:
        raise OSError("never gone")

    def link_changed(self, up: bool) -> None:
        raise OSError("never down")


class _Timer:
    """Times a statement again and again and keeps the least: what disturbs can only add to it."""

    def __init__(self, statement: str, scope: dict[str, Any]) -> None:
        self._timer = timeit.Timer(statement, globals=scope)
        self.ns = float("inf")

    def run(self, loops: int) -> None:
        """One run more."""
        self.ns = min(self.ns, self._timer.timeit(loops) / loops * 1e9)


def measure(loops: int = 5_000, repeats: int = 25) -> Costs:
    """Check every way, then measure every stage and every way, all in turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(loops, repeats))


async def _measure(loops: int, repeats: int) -> Costs:
    world = World()
    for way in world.ways.values():
        world.check(way)
    ways = {way.name: _way_timer(world, way) for way in world.ways.values()}
    stages, scope = _stages(), _scope(World())
    pairs = [(_Timer(f"{stage.reset}; {stage.call}", scope), _Timer(stage.reset, scope)) for stage in stages]
    async with AsyncExitStack() as stack:
        edge = {size: await stack.enter_async_context(_edge_timer(size)) for size in (1, BURST)}
        for _ in range(repeats):
            for timer in (*ways.values(), *(timer for pair in pairs for timer in pair)):
                timer.run(loops)
            for size, timer in edge.items():
                timer.run(max(1, loops // size))
    scope["pkt"].start, scope["pkt"].end = scope["l3"], scope["end"]
    if ipv4_input(scope["pkt"]):
        raise ValueError("the stages were measured with a packet that was no longer right")
    for stage, (whole, reset) in zip(stages, pairs, strict=True):
        stage.ns = max(0.0, whole.ns - reset.ns)
    return Costs(
        stages,
        {name: timer.ns for name, timer in ways.items()},
        {size: timer.ns / size for size, timer in edge.items()},
    )


def _way_timer(world: World, way: Way) -> _Timer:
    scope = {"receive": world.stack.receive, "take": world.stack.take_egress, "lan": world.lan, "frame": way.frame}
    finish = "take()" if way.out else "read(64, now=now)"
    return _Timer(f"receive(lan, frame, now); {finish}", {**scope, "read": world.socket.recvfrom, "now": NOW})


@asynccontextmanager
async def _edge_timer(size: int) -> AsyncIterator[_Timer]:
    """Times bursts of `size` through the driver and the forward way, without system calls."""
    world = World()
    driver = Driver(world.stack, asyncio.get_running_loop(), lambda: NOW)
    taps = [_MemoryTap([world.ways["forward"].frame] * size), _MemoryTap([])]
    try:
        port, _ = [driver.add_port(tap, device) for tap, device in zip(taps, (world.lan, world.wan), strict=True)]
        yield _Timer("readable(port)", {"readable": driver._readable, "port": port})
    finally:
        await driver.close()
        for tap in taps:
            os.close(tap.fd)
    if not taps[1].written or taps[1].written % size:
        raise ValueError(f"{taps[1].written} frames written, which is no number of bursts of {size}")
