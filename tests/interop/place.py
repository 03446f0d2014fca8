"""The same place for two routers, one of the kernel's and one of ours, and the same probes to both.

::

    probes in by A                                                                       what is forwarded to B
    [ AF_PACKET on A ] ══ a 10.1.0.1/16, 10.1.0.129/16 ── router ── b 10.2.0.1/16, mtu 1400 ══ [ AF_PACKET on B ]
       any 10.1.x.y                                                                             any 10.2.x.y

The kernel's router stands in a kernel namespace between two veth pairs, ours between two TAPs whose kernel's ends lie
in namespaces of their own. Both have the same MAC and IP addresses, routes and settings. On A and B stands no host: the
test reads and writes frames there, and answers ARP for every address but those in `DEAF`.

A `Case` is one probe under way: it has a source address, an IP identification and a MAC of its own, by which every
answer is told whose it is, at once or a second later. So all cases of a phase are sent in one go; between two of them a
*barrier* is waited for, a datagram to a closed port of the router, whose answer shows that it has dealt with all that
was sent before.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vrouter import kernel_netns
from vrouter.testing import frames
from vrouter.testing.match import describe
from vrouter.testing.tap_lab import RunningRouter, TapLab

ROUTER_A, ROUTER_B = "02:00:00:00:00:01", "02:00:00:00:00:02"
HOST_A, HOST_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
OWN = ("10.1.0.1", "10.1.0.129", "10.2.0.1", "127.0.0.1")
DEAF = tuple(f"10.2.{n}." for n in range(70, 80))  # nobody answers ARP for these
ROUTES = [
    {"to": "10.9.0.0/16", "via": "10.1.0.9"},
    {"to": "10.10.0.0/16", "type": "unreachable"},
    {"to": "10.11.0.0/16", "type": "prohibit"},
    {"to": "10.12.0.0/16", "type": "blackhole"},
    {"to": "10.13.0.0/16", "via": "10.2.0.2"},
    {"to": "10.13.9.0/24", "type": "unreachable"},
    {"to": "10.13.9.9/32", "via": "10.2.0.2"},
    {"to": "169.254.7.0/24", "via": "10.2.0.2"},
]
SETTINGS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.icmp_ratemask": 0,
    "net.ipv4.icmp_msgs_per_sec": 100_000,
    "net.ipv4.icmp_msgs_burst": 100_000,
    "net.ipv4.ipfrag_time": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    **{f"net.ipv4.conf.{dev}.rp_filter": 0 for dev in "ab"},
    **{f"net.ipv4.neigh.{dev}.retrans_time_ms": 100 for dev in "ab"},  # ARP gives up after 0.3 s
}
PATIENCE = 15.0  # s of real time for what must come
ARRIVAL = "back", "through"  # on A, on B


class Whole(bytes):
    """A frame that a probe wants on the wire as it is."""


@dataclass(slots=True)
class Case:
    """One probe under way to one router."""

    number: int
    sent: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def src(self) -> str:
        """Its own source address."""
        return f"10.1.{1 + self.number // 100}.{100 + self.number % 100}"

    @property
    def ident(self) -> int:
        """Its own IP identification, and that of its ICMP queries."""
        return 0x4000 + self.number

    @property
    def mac(self) -> str:
        """Its own MAC address, used by ARP cases."""
        return f"02:00:00:01:{self.number >> 8:02x}:{self.number & 255:02x}"

    @property
    def deaf(self) -> str:
        """An address of its own on B that does not answer ARP."""
        return f"10.2.{70 + self.number // 200}.{1 + self.number % 200}"

    def ip(self, dst: str, proto: int, payload: bytes = b"", *, src: str = "", ttl: int = 9, **header: Any) -> bytes:
        """An IP packet of this case."""
        return frames.ipv4(src or self.src, dst, proto, payload, ttl=ttl, **{"ident": self.ident, **header})

    def udp(self, dst: str, size: int = 18, *, src: str = "", dport: int = 9, **header: Any) -> bytes:
        """A UDP packet of this case with `size` bytes in it."""
        data = bytes(at * 7 & 255 for at in range(size))
        return self.ip(dst, frames.UDP, frames.udp(src or self.src, dst, 1111, dport, data), src=src, **header)

    def icmp(self, dst: str, type_: int, code: int = 0, payload: bytes = b"", **header: Any) -> bytes:
        """An ICMP query of this case."""
        return self.ip(dst, frames.ICMP, frames.icmp(type_, code, self.ident << 16 | 7, payload), **header)

    def echo(self, dst: str, size: int = 8, **header: Any) -> bytes:
        """An echo request of this case."""
        return self.icmp(dst, 8, 0, bytes(at * 5 & 255 for at in range(size)), **header)

    def error(self, dst: str, type_: int, code: int = 0, **header: Any) -> bytes:
        """An ICMP error about a packet that the destination might have sent."""
        quoted = frames.ipv4_udp(dst, self.src, 9, 9)
        return self.ip(dst, frames.ICMP, frames.icmp_error(type_, code, quoted), **header)

    def arp(self, tpa: str, op: int = 1, *, spa: str = "", dst: str = frames.BROADCAST, **wrong: Any) -> Whole:
        """An ARP frame of this case."""
        sha = wrong.pop("sha", self.mac)
        packet = frames.arp(op, sha, spa or self.src, frames.ZERO_MAC, tpa, **wrong)
        return Whole(frames.ethernet(dst, self.mac, frames.ARP, packet, pad=True))

    def link(self, dst_mac: str, packet: bytes) -> Whole:
        """A packet in a frame to `dst_mac`."""
        return Whole(frames.ethernet(dst_mac, HOST_A, frames.IPV4, packet))


Probe = Callable[[Case], "bytes | list[bytes]"]


@dataclass(frozen=True)
class Answer:
    """One frame that came of a case, comparable: what two routers may choose freely is zero in it.

    That are the identification of packets that the router made, and with it their header checksum; that a checksum is
    right stands in the text. Times (timestamp options and messages) are zero too.
    """

    where: str
    frame: bytes
    text: str = field(compare=False)

    def __repr__(self) -> str:
        return f"{self.where}: {self.text}"


def _neutral(frame: bytes, made: bool) -> bytes:
    data = bytearray(frame)
    header_len = (data[14] & 15) * 4
    if made:
        data[18:20] = data[24:26] = b"\0\0"
    if made and data[23] == frames.ICMP and data[14 + header_len] == 14:
        at = 14 + header_len
        data[at + 2 : at + 4] = bytes(2)
        data[at + 12 : at + 20] = bytes(8)
    if 0x44 in data[34 : 14 + header_len]:
        _neutral_timestamps(data, 34, 14 + header_len)
        data[24:26] = b"\0\0"
    return bytes(data)


def _neutral_timestamps(data: bytearray, at: int, end: int) -> None:
    while at < end and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        size = data[at + 1]
        if data[at] == 0x44:
            width = 4 if data[at + 3] & 15 == 0 else 8
            for entry in range(at + 4, at + data[at + 2] - 1, width):
                if data[entry + width - 4 : entry + width] != b"\x11\x11\x11\x11":  # the case's own
                    data[entry + width - 4 : entry + width] = bytes(4)
        at += max(size, 1)


class Place:
    """A router with raw sockets on both sides of it. `sysctl` and `link` set it up for the next phase."""

    def __init__(self, sockets: list[socket.socket], sysctl: Callable[[str, int], None], link: Any) -> None:
        self.sysctl = sysctl
        self.link = link
        self._sockets = sockets
        self._barriers = 0
        self._seen: set[tuple[str, int]] = set()
        self._cases: dict[str, Case] = {}
        self._by_ident: dict[int, Case] = {}
        self._by_mac: dict[bytes, Case] = {}
        self._by_deaf: dict[str, Case] = {}
        self.strays: list[str] = []

    def run(self, probes: Mapping[str, Probe], first: int, sides: Sequence[int] = (0, 1)) -> dict[str, Case]:
        """Send each probe's frames, and return the cases with what came of them until a barrier after the last one.

        The cases are numbered from `first`. More may come of them in the next runs. `sides` are those that are up.
        """
        found = {}
        for number, (name, probe) in enumerate(probes.items(), start=first):
            case = found[name] = Case(number)
            self._cases[case.src] = self._by_ident[case.ident] = case
            self._by_mac[frames.mac_bytes(case.mac)] = self._by_deaf[case.deaf] = case
            made = probe(case)
            for data in made if isinstance(made, list) else [made]:
                whole = data if isinstance(data, Whole) else frames.ethernet(ROUTER_A, HOST_A, frames.IPV4, data)
                case.sent.append(whole)
                self._sockets[0].send(whole)
            self._barrier(0)
        for _ in range(3):  # ARP for what was answered or forwarded last is over after these
            for side in sides:
                self._barrier(side)
        return found

    def wait_answered(self, case: Case) -> None:
        """Read until there is an answer to `case`, and to all that was sent before."""
        self._pump(lambda: bool(case.answers))
        self._barrier(0)

    def _barrier(self, side: int) -> None:
        self._barriers = (self._barriers + 1) & 0x3FFF
        mark = (ARRIVAL[side], self._barriers)
        me, router = (("10.1.0.3", "10.1.0.1"), ("10.2.0.3", "10.2.0.1"))[side]
        mac, router_mac = ((HOST_A, ROUTER_A), (HOST_B, ROUTER_B))[side]
        packet = frames.ipv4_udp(me, router, 3, 3, ident=self._barriers)
        self._sockets[side].send(frames.ethernet(router_mac, mac, frames.IPV4, packet))
        self._pump(lambda: mark in self._seen)

    def _pump(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the router did not answer in time")
            for sock in select.select(self._sockets, [], [], left)[0]:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        frame, address = sock.recvfrom(70_000)
                        if address[2] != socket.PACKET_OUTGOING:
                            self._take(self._sockets.index(sock), frame)

    def _take(self, side: int, frame: bytes) -> None:
        ethertype = int.from_bytes(frame[12:14], "big")
        if ethertype == frames.ARP:
            self._take_arp(side, frame)
        elif ethertype == frames.IPV4:
            self._take_ip(side, frame)

    def _take_arp(self, side: int, frame: bytes) -> None:
        op, target = frame[21], socket.inet_ntoa(frame[38:42])
        case = self._by_mac.get(frame[:6]) if op == 2 else self._by_deaf.get(target)
        if case is not None:
            case.answers.append(Answer(ARRIVAL[side], frame[:42], describe(frame)))
        elif op == 1 and target not in OWN and not target.startswith(DEAF):
            mac = (HOST_A, HOST_B)[side]
            reply = frames.arp_reply(mac, target, frame[6:12], socket.inet_ntoa(frame[28:32]))
            self._sockets[side].send(frames.ethernet(frame[6:12], mac, frames.ARP, reply))

    def _take_ip(self, side: int, frame: bytes) -> None:
        src, dst = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        at = 14 + (frame[14] & 15) * 4
        message = frame[at:]
        if dst in ("10.1.0.3", "10.2.0.3"):
            self._seen.add((ARRIVAL[side], int.from_bytes(message[12:14], "big")))
            return
        made = src in OWN and frame[23] == frames.ICMP and dst != src
        case = self._by_ident.get(int.from_bytes(frame[18:20], "big"))
        if made:
            case = self._cases.get(dst)
            if case is None:
                where = 12 if message[0] in (3, 4, 5, 11, 12) else 4
                case = self._by_ident.get(int.from_bytes(message[where : where + 2], "big"))
        if case is None:
            self.strays.append(f"{ARRIVAL[side]}: {describe(frame)}")
        else:
            total = 14 + int.from_bytes(frame[16:18], "big")
            case.answers.append(Answer(ARRIVAL[side], _neutral(frame[:total], made), describe(frame[:total])))


# ------------------------------------------------------------------------------------------------------- the places


def _raw(netns: str, ifname: str) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
        made.bind((ifname, 0))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.setblocking(False)
        return made

    with kernel_netns.opened(netns) as fd:
        return kernel_netns.call_in(fd, make)


def _write_sysctl(netns: str, name: str, value: int) -> None:
    path = Path("/proc/sys", *name.split("."))
    with kernel_netns.opened(netns) as fd:
        kernel_netns.call_in(fd, lambda: path.write_text(f"{value}\n"))


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _quiet(*namespaces: str) -> None:
    for name in namespaces:
        for which in ("all", "default"):
            _write_sysctl(name, f"net.ipv6.conf.{which}.disable_ipv6", 1)


@contextlib.contextmanager
def kernel_place() -> Iterator[Place]:
    """The kernel's router."""
    with TapLab() as lab, contextlib.ExitStack() as stack:
        left, middle, right = (lab.host(name).netns for name in ("ka", "kr", "kb"))
        _quiet(left, middle, right)
        for netns, dev, mac, host in ((left, "a", ROUTER_A, HOST_A), (right, "b", ROUTER_B, HOST_B)):
            near, far = ["netns", netns, "address", host], ["netns", middle, "address", mac]
            _ip("link", "add", "eth0", *near, "type", "veth", "peer", "name", dev, *far)
            _ip("-n", netns, "link", "set", "eth0", "up")
        for words in (
            "addr add 10.1.0.1/16 brd + dev a",
            "addr add 10.1.0.129/16 brd + dev a",
            "addr add 10.2.0.1/16 brd + dev b",
            "link set dev b mtu 1400",
            "link set dev a up",
            "link set dev b up",
        ):
            _ip("-n", middle, *words.split())
        for route in ROUTES:
            via = ("via", route["via"]) if "via" in route else ()
            _ip("-n", middle, "route", "add", route.get("type", "unicast"), route["to"], *via)
        for name, value in (SETTINGS | {"net.ipv4.neigh.a.proxy_delay": 0}).items():
            _write_sysctl(middle, name, value)
        sockets = [stack.enter_context(_raw(netns, "eth0")) for netns in (left, right)]

        def link(dev: str, up: bool) -> None:
            _ip("-n", middle, "link", "set", "dev", dev, "up" if up else "down")
            if up:  # routes by a device that goes down are gone for good
                for route in ROUTES:
                    if "via" in route:
                        _ip("-n", middle, "route", "replace", route["to"], "via", route["via"])

        yield Place(sockets, lambda name, value: _write_sysctl(middle, name, value), link)


@contextlib.contextmanager
def vrouter_place() -> Iterator[Place]:
    """Our router."""
    with TapLab() as lab, contextlib.ExitStack() as stack:
        left, right = lab.host("va"), lab.host("vb")
        _quiet(left.netns, right.netns)
        devices = {
            "a": left.device("10.1.0.1/16", "10.1.0.129/16", mac=ROUTER_A),
            "b": right.device("10.2.0.1/16", mac=ROUTER_B, mtu=1400),
        }
        running = lab.start({"netns": {"r": {"dev": devices, "route": ROUTES, "sysctl": SETTINGS}}})
        sockets = [stack.enter_context(_raw(host.netns, "eth0")) for host in (left, right)]
        yield Place(sockets, _sysctl_of(running), _link_of(running))


def _sysctl_of(running: RunningRouter) -> Callable[[str, int], None]:
    def write(name: str, value: int) -> None:
        async def change(router: Any) -> None:
            router["r"].sysctl[name] = value

        running.call(change)

    return write


def _link_of(running: RunningRouter) -> Callable[[str, bool], None]:
    def link(dev: str, up: bool) -> None:
        running.call(lambda router: router["r"].set_device(dev, up=up))

    return link
