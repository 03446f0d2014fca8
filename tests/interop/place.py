"""The same place for two routers, one of the kernel's and one of ours, and the same probes to both.

::

    probes in by A                                                                       what is forwarded to B
    [ AF_PACKET on A ] ══ a 10.1.0.1/16, 10.1.0.129/16 ── router ── b 10.2.0.1/16, mtu 1400 ══ [ AF_PACKET on B ]
       any 10.1.x.y         fd00:1::1/64, fd00:1::129/64             fd00:2::1/64               any 10.2.x.y
       any fd00:1::/64                                                                          any fd00:2::/64

The kernel's router stands in a kernel namespace between two veth pairs, ours between two TAPs whose kernel's ends lie
in namespaces of their own. Both have the same MAC and IP addresses, routes and settings. On A and B stands no host: the
test reads and writes frames there, and answers ARP and neighbour solicitations for every address but those in `DEAF`
and `DEAF6`.

Of every frame it can be told to which `Case` it belongs, at once or a second later. So all cases of a phase are sent in
one go; between two of them a *barrier* is waited for, a datagram to a closed port of the router, whose answer shows
that it has dealt with all that was sent before.

What a router says of its own accord belongs to no case and is no stray: solicitations, announcements of its addresses,
and listener reports that nobody asked for.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.interop.case import (
    HOST_A,
    HOST_B,
    LOCAL_A,
    LOCAL_B,
    ROUTER_A,
    ROUTER_B,
    V4,
    Answer,
    Case,
    Probe,
    Whole,
    answer_of,
)
from vrouter import kernel_netns
from vrouter.testing import frames
from vrouter.testing.match import describe
from vrouter.testing.tap_lab import RunningRouter, TapLab

OWN = ("10.1.0.1", "10.1.0.129", "10.2.0.1", "127.0.0.1")
NEAR = ("10.1.0.1/16", "10.1.0.129/16", "fd00:1::1/64", "fd00:1::129/64")
OWN6 = ("fd00:1::1", "fd00:1::129", "fd00:2::1", "::1", "fd00:1::", "fd00:2::", LOCAL_A, LOCAL_B, "::")
DEAF = tuple(f"10.2.{n}." for n in range(70, 80))  # nobody answers ARP for these
DEAF6 = socket.inet_pton(socket.AF_INET6, "fd00:2::dead:0")[:14]  # nor neighbour solicitations for these
ROUTES = [
    {"to": "10.9.0.0/16", "via": "10.1.0.9"},
    {"to": "10.10.0.0/16", "type": "unreachable"},
    {"to": "10.11.0.0/16", "type": "prohibit"},
    {"to": "10.12.0.0/16", "type": "blackhole"},
    {"to": "10.13.0.0/16", "via": "10.2.0.2"},
    {"to": "10.13.9.0/24", "type": "unreachable"},
    {"to": "10.13.9.9/32", "via": "10.2.0.2"},
    {"to": "169.254.7.0/24", "via": "10.2.0.2"},
    {"to": "fd00:9::/32", "via": "fd00:1::9"},
    {"to": "fd00:19::/32", "via": "fe80::9", "dev": "a"},
    {"to": "fd00:a::/32", "type": "unreachable"},
    {"to": "fd00:b::/32", "type": "prohibit"},
    {"to": "fd00:c::/32", "type": "blackhole"},
    {"to": "fd00:d::/32", "via": "fd00:2::2"},
    {"to": "fd00:d:9::/48", "type": "unreachable"},
    {"to": "fd00:d:9::9/128", "via": "fd00:2::2"},
    {"to": "fd00:e::/32", "via": "fd00:2::2", "mtu": 1280},
    {"to": "fd00:f::/32", "via": "fe80::2", "dev": "b"},
    {"to": "fec0::/16", "via": "fd00:2::2"},
    {"to": "::ffff:0:0/96", "via": "fd00:2::2"},
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
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv6.auto_flowlabels": 0,
    "net.ipv6.icmp.ratelimit": 0,
    "net.ipv6.ip6frag_time": 1,
    **{f"net.ipv6.neigh.{dev}.retrans_time_ms": 100 for dev in "ab"},
}
DEFAULTS6 = {f"net.ipv6.conf.{which}.dad_transmits": 0 for which in ("all", "default")}  # addresses are there at once
STAYING = {f"net.ipv6.conf.{which}.keep_addr_on_down": 1 for which in ("all", "default")}  # as vrouter's do
PROXIED = "fd00:1::99"  # answered for on A where `proxy_ndp` says so
PATIENCE = 15.0  # s of real time for what must come
ARRIVAL = "back", "through"  # on A, on B


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
        self._by_label: dict[int, Case] = {}
        self._by_group: dict[str, Case] = {}
        self._by_probed: dict[bytes, Case] = {}
        self._by_mac: dict[bytes, Case] = {}
        self._by_deaf: dict[str, Case] = {}
        self.strays: list[str] = []

    def run(
        self, probes: Mapping[str, Probe], first: int, sides: Sequence[int] = (0, 1), family: int = V4
    ) -> dict[str, Case]:
        """Send each probe's frames, and return the cases with what came of them until a barrier after the last one.

        The cases are numbered from `first`. More may come of them in the next runs. `sides` are those that are up.
        """
        found = {}
        self._by_group.clear()
        for number, (name, probe) in enumerate(probes.items(), start=first):
            case = found[name] = Case(number, family)
            self._enter(case)
            made = probe(case)
            if case.asks:
                self._by_group[case.asks] = case
            for data in made if isinstance(made, list) else [made]:
                whole = data if isinstance(data, Whole) else case.link(ROUTER_A, data)
                case.sent.append(whole)
                if whole[20:21] == b"\x3a" and whole[22:38] == bytes(16):
                    self._by_probed[whole[62:78]] = case  # asked about without a source: the answer is to everybody
                self._sockets[0].send(whole)
            self._barrier(0)
        for _ in range(3):  # ARP for what was answered or forwarded last is over after these
            for side in sides:
                self._barrier(side)
        return found

    def _enter(self, case: Case) -> None:
        self._cases[case.src] = self._by_ident[case.ident] = self._by_label[case.label] = case
        self._by_mac[frames.mac_bytes(case.mac)] = self._by_deaf[case.deaf] = case
        self._cases[case.local] = case

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
        elif ethertype == frames.IPV6:
            self._take_ipv6(side, frame)

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
            case.answers.append(answer_of(ARRIVAL[side], frame[:total], made))

    def _take_ipv6(self, side: int, frame: bytes) -> None:
        frame = frame[: 54 + int.from_bytes(frame[18:20], "big")]
        src, dst = _text6(frame[22:38]), _text6(frame[38:54])
        made = src in OWN6 and not (dst == src and frame[20] == frames.UDP)
        if made and frame[6:12] in map(frames.mac_bytes, (ROUTER_A, ROUTER_B)) and self._take_own(side, frame):
            return
        case = self._cases.get(dst) if made else None
        if case is None:
            case = self._by_label.get(int.from_bytes(frame[14:18], "big") & 0xFFFFF)
        if case is None and made:
            case = self._asker(frame)
        if case is None and not made:
            case = self._cases.get(src)
        if case is None:
            self.strays.append(f"{ARRIVAL[side]}: {describe(frame)}")
        else:
            case.answers.append(answer_of(ARRIVAL[side], frame, made))

    def _take_own(self, side: int, frame: bytes) -> bool:
        """What a router says of its own accord, and solicitations, which are answered."""
        if frame[20] == frames.HOPOPTS and frame[54] == frames.ICMPV6 and frame[62] in (131, 132, 143):
            self._take_report(side, frame)
            return True
        if frame[20] != frames.ICMPV6 or frame[54] not in (133, 135, 136):
            return False
        if frame[54] == 136:  # to all nodes: the answer to a probe, or the announcement of an address
            return frame[38:40] == b"\xff\x02" and frame[62:78] not in self._by_probed
        if frame[54] == 133:
            return True
        target = _text6(frame[62:78])
        case = self._by_deaf.get(target)
        if case is not None:
            case.answers.append(answer_of(ARRIVAL[side], frame, True))
        elif target not in OWN6 and not frame[62:78].startswith(DEAF6):
            mac, asker = (HOST_A, HOST_B)[side], _text6(frame[22:38])
            reply = frames.neighbour_advertisement(target, asker, target, mac=mac, solicited=True, override=True)
            packet = frames.ipv6(target, asker, frames.ICMPV6, reply, hop_limit=255)
            self._sockets[side].send(frames.ethernet(frame[6:12], mac, frames.IPV6, packet))
        return True

    def _take_report(self, side: int, frame: bytes) -> None:
        """A listener report; only of those that a query asked for it can be told whose they are."""
        version2 = frame[62] == 143
        if version2 and frame[70] not in (1, 2):
            return
        case = self._by_group.get(_text6(frame[74:90] if version2 else frame[70:86]))
        if case is None and version2:
            case = self._by_group.get("::")
        if case is not None:
            case.answers.append(answer_of(ARRIVAL[side], frame, True))

    def _asker(self, frame: bytes) -> Case | None:
        """The case that a message to somebody else is about."""
        message = frame[54:]
        if message[0] < 128 or message[0] == 137:
            at = 8 if message[0] < 128 else message.find(b"\x04", 40) + 8
            return self._by_label.get(int.from_bytes(message[at : at + 4], "big") & 0xFFFFF)
        if message[0] == frames.ECHO_REPLY6:
            return self._by_ident.get(int.from_bytes(message[4:6], "big"))
        if message[0] == 136:
            return self._by_probed.get(message[8:24]) or self._by_mac.get(frame[:6])
        return None


def _text6(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, address)


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
        _quiet(left, right)
        for name, value in (DEFAULTS6 | STAYING).items():
            _write_sysctl(middle, name, value)
        for netns, dev, mac, host in ((left, "a", ROUTER_A, HOST_A), (right, "b", ROUTER_B, HOST_B)):
            near, far = ["netns", netns, "address", host], ["netns", middle, "address", mac]
            _ip("link", "add", "eth0", *near, "type", "veth", "peer", "name", dev, *far)
            _ip("-n", netns, "link", "set", "eth0", "up")
        for words in (
            "addr add 10.1.0.1/16 brd + dev a",
            "addr add 10.1.0.129/16 brd + dev a",
            "addr add 10.2.0.1/16 brd + dev b",
            "addr add fd00:1::129/64 dev a",  # of two equal ones Linux sends from the newer one
            "addr add fd00:1::1/64 dev a",
            "addr add fd00:2::1/64 dev b",
            "link set dev b mtu 1400",
            "link set dev a up",
            "link set dev b up",
        ):
            _ip("-n", middle, *words.split())
        for route in ROUTES:
            _kernel_route(middle, "add", route)
        _ip("-n", middle, "neigh", "add", "proxy", PROXIED, "dev", "a")
        proxying = {f"net.ipv{version}.neigh.a.proxy_delay": 0 for version in (4, 6)}
        for name, value in (SETTINGS | proxying).items():
            _write_sysctl(middle, name, value)
        sockets = [stack.enter_context(_raw(netns, "eth0")) for netns in (left, right)]

        def link(dev: str, up: bool) -> None:
            _ip("-n", middle, "link", "set", "dev", dev, "up" if up else "down")
            if up:  # routes by a device that goes down are gone for good
                for route in ROUTES:
                    if "via" in route:
                        _kernel_route(middle, "replace", route)

        yield Place(sockets, lambda name, value: _write_sysctl(middle, name, value), link)


def _kernel_route(netns: str, verb: str, route: Mapping[str, Any]) -> None:
    words = [str(word) for key in ("via", "dev") if key in route for word in (key, route[key])]
    if "mtu" in route:
        words += ["mtu", "lock", str(route["mtu"])]  # without the lock it says nothing about packets in transit
    _ip("-n", netns, "route", verb, route.get("type", "unicast"), route["to"], *words)


@contextlib.contextmanager
def vrouter_place() -> Iterator[Place]:
    """Our router."""
    with TapLab() as lab, contextlib.ExitStack() as stack:
        left, right = lab.host("va"), lab.host("vb")
        _quiet(left.netns, right.netns)
        devices = {
            "a": left.device(
                "10.1.0.1/16", "10.1.0.129/16", "fd00:1::1/64", "fd00:1::129/64", mac=ROUTER_A, proxy=[PROXIED]
            ),
            "b": right.device("10.2.0.1/16", "fd00:2::1/64", mac=ROUTER_B, mtu=1400),
        }
        running = lab.start({"netns": {"r": {"dev": devices, "route": ROUTES, "sysctl": DEFAULTS6 | SETTINGS}}})
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
