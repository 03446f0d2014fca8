"""Isolation: no byte of a frame that came in by one namespace is ever seen in another, but through a declared crossing.

Random networks of namespaces with the same addresses of both families, devices and ports everywhere, with bridges and
VLANs, joined by pairs, short-cuts, tags and multicast routes that are declared, accepted, taken back, and devices that
move. Every frame carries cookies with the namespace and the time
of its entry; whatever can be seen in a namespace (frames on its wires, its captures, its sockets and their errors,
packets that wait, its neighbours) is searched for the cookies of others. The twin is a transitive closure over what the
test itself declared: at the time of a cookie's entry, or later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack import Stack
from vrouter.stack.base.addresses import format_prefix
from vrouter.stack.capture import Capture
from vrouter.stack.device import Device
from vrouter.stack.l4 import constants as c
from vrouter.stack.netns import Netns
from vrouter.testing import frames as make
from vrouter.testing import frames6 as make6

SPACES = ("a", "b", "c", "d")
COOKIE = re.compile(rb"\xf7TAG!(..)(.)", re.DOTALL)
HOST = b"\x02\xbb"  # MACs of stations, followed by their namespace
SECOND = 1_000_000_000
STEPS = ("frame",) * 6 + ("frame6",) * 6 + ("fragments", "late", "time", "accept", "shortcut", "pair", "cut", "move")
STEPS += ("address", "ingress", "mroute", "frame", "frame6")
LIKELY = ("10.0.0.1", "10.0.0.9", "10.0.0.255", "255.255.255.255", "239.1.2.3", "127.0.0.1", "198.51.100.1", "10.0.0.0")
LIKELY6 = ("fd00::1", "fd00::9", "fd00::", "ff02::1", "ff05::123", "fe80::9", "2001:db8::1")

Edges = frozenset[tuple[str, str]]


def reaches(edges: set[tuple[str, str]], source: str) -> set[str]:
    """Every namespace that can be reached from `source`: nothing but the closure."""
    found = {source}
    while True:
        more = {target for origin, target in edges if origin in found} - found
        if not more:
            return found
        found |= more


class Bed:
    """Namespaces with one capture, a UDP and a ping socket each; what was declared since when; what was seen where."""

    def __init__(self, count: int, seed: int) -> None:
        self.rng = Random(seed)
        self.stack = Stack(seed)
        self.now = 0
        self.pairs: dict[tuple[str, str, str], tuple[str, str]] = {}  # both namespaces of a pair, by itself
        self.tags: dict[tuple[str, str], tuple[str, str]] = {}  # both namespaces of a tag, by its device
        self.wires: set[tuple[str, str]] = set()  # namespaces whose links have ever been one
        self.groups: set[tuple[str, str]] = set()  # multicast routes from one into another
        self.shortcuts: set[tuple[str, str]] = set()
        self.accepts: dict[str, frozenset[str]] = {}
        self.history: list[Edges] = []  # the crossings in force, by epoch
        self.seen: set[tuple[str, str]] = set()  # (namespace of entry, namespace in which it was seen)
        self.captures: dict[str, Capture] = {}
        self.spaces = [self.stack.add_netns(name) for name in SPACES[:count]]
        self.serial = 0
        for index, ns in enumerate(self.spaces):
            self.captures[ns.name] = Capture(limit=1 << 30)
            self.accepts[ns.name] = frozenset()
            ns.sysctl["net.ipv4.ip_forward"] = 1
            ns.sysctl["net.ipv6.conf.all.forwarding"] = 1
            ns.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
            ns.sysctl["net.ipv6.icmp.ratelimit"] = 0
            ns.sysctl["net.ipv4.icmp_ratelimit"] = 0
            ns.sysctl["net.ipv4.icmp_errors_use_inbound_ifaddr"] = self.rng.randrange(2)
            for key in ("proxy_arp", "bc_forwarding", "accept_local", "route_localnet"):
                ns.sysctl[f"net.ipv4.conf.all.{key}"] = self.rng.randrange(2)
                ns.sysctl[f"net.ipv4.conf.default.{key}"] = 1
            self.watch(ns.lo)
            for name, address in (("e0", "10.0.0.1/24"), ("e1", f"10.1.{index}.1/24")):
                self.watch(ns.add_device(name, mtu=self.rng.choice((1280, 1500))))
                ns.add_address(name, address)
                ns.add_address(name, "fd00::1/64" if name == "e0" else f"fd00:0:0:1{index}::1/64")
            self.switch(ns)
            six = ns.socket(10)
            six.setsockopt(c.SOL_IPV6, c.IPV6_V6ONLY, 1, now=0)
            six.bind(("", 7), now=0)
            six.setsockopt(c.SOL_IPV6, c.IPV6_RECVERR, 1, now=0)
            group6 = (0xFF05 << 112 | 0x123).to_bytes(16, "big") + (2).to_bytes(4, "little")
            six.setsockopt(c.SOL_IPV6, c.IPV6_JOIN_GROUP, group6, now=0)
            ns.socket(10, 2, 58).bind(("", 7), now=0)
            udp = ns.socket()
            udp.bind(("", 7), now=0)
            udp.setsockopt(c.SOL_IP, c.IP_RECVERR, 1, now=0)
            group = bytes((239, 1, 2, 3)) + bytes(4) + (2).to_bytes(4, "little")
            udp.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, group, now=0)
            ns.socket(2, 2, 1).bind(("", 7), now=0)
        self.declare()

    def switch(self, ns: Netns) -> None:
        """A bridge of two ports, the same in each namespace."""
        self.watch(ns.add_device("br", kind="bridge"))
        for name in ("p0", "p1"):
            self.watch(ns.add_device(name))
            ns.set_port(name, bridge="br")
        ns.add_address("br", "10.4.0.1/24")
        ns.add_address("br", "fd00:0:0:4::1/64")
        ns.set_bridge("br", mcast_querier=True)

    def watch(self, dev: Device) -> None:
        self.captures[dev.ns.name].attach(dev)

    # -- what is declared ---------------------------------------------------------------------------------------------

    def declare(self) -> None:
        """A new epoch begins, with the crossings as they are now."""
        edges = set(self.pairs.values()) | {(two, one) for one, two in self.pairs.values()}
        for one, two in self.tags.values():
            if one in self.accepts[two] or "*" in self.accepts[two]:
                edges |= {(one, two), (two, one)}
        for source, target in self.shortcuts | self.groups:
            if source in self.accepts[target] or "*" in self.accepts[target]:
                edges.add((source, target))
        self.history.append(frozenset(edges))

    def allowed(self, epoch: int, source: str) -> set[str]:
        return reaches(set().union(*self.history[epoch:]), source)

    def pair(self, one: Netns, two: Netns) -> None:
        self.serial += 1
        name, net = f"v{self.serial}", f"10.2.{self.serial % 250}"
        for dev in self.stack.add_veth(one, name, two, f"{name}x", now=self.now):
            self.watch(dev)
        one.add_address(name, f"{net}.1/30", now=self.now)
        two.add_address(f"{name}x", f"{net}.2/30", now=self.now)
        self.pairs[one.name, two.name, name] = one.name, two.name
        six = f"fd00:0:0:2{self.serial % 250:02x}"
        one.add_address(name, f"{six}::1/64", now=self.now)
        two.add_address(f"{name}x", f"{six}::2/64", now=self.now)
        one.add_route("::/0", via=f"{six}::2", metric=self.serial, now=self.now)
        one.add_route("default", via=f"{net}.2", metric=self.serial, now=self.now)
        two.add_route(f"10.1.{self.spaces.index(one)}.0/24", via=f"{net}.1", metric=self.serial + 50, now=self.now)

    def ingress(self, one: Netns, two: Netns) -> None:
        """A tag of a device is given to another namespace, if that accepts it."""
        if one is two or len(self.tags) >= 4:
            return
        self.serial += 1
        accepted = one.name in self.accepts[two.name] or "*" in self.accepts[two.name]
        lower = self.rng.choice([dev for dev in one.devices.values() if dev.kind in ("tap", "veth", "bridge")])
        name = f"t{self.serial}"
        try:
            self.watch(one.add_ingress(lower, self.serial % 4000 + 1, two, name, now=self.now))
        except PermissionError:
            assert not accepted
            return
        assert accepted
        two.add_address(name, f"10.5.{self.serial % 250}.1/24", now=self.now)
        two.add_address(name, f"fd00:0:0:5{self.serial % 250:02x}::1/64", now=self.now)
        self.tags[two.name, name] = one.name, two.name
        self.wires |= {(one.name, two.name), (two.name, one.name)}
        if self.rng.random() < 0.3:
            two.set_port(name, bridge="br", now=self.now)

    def mroute(self, source: Netns, target: Netns) -> None:
        """What is sent to groups goes on in another namespace."""
        devices = [dev.name for dev in source.devices.values() if dev.kind != "lo"]
        if source is target or source.mroutes() or not devices:
            return
        iif = self.rng.choice(devices)
        for group in ("239.1.2.3", "ff05::123"):
            source.add_mroute(group, iif, [], netns=target.name, now=self.now)
        self.groups.add((source.name, target.name))

    def cut(self) -> None:
        """One of the pairs or tags, or one short-cut with all its routes, is taken away."""
        if self.tags and self.rng.random() < 0.3:
            where, name = self.rng.choice(sorted(self.tags))
            self.stack.remove_device(self.stack.namespaces[where].devices[name], now=self.now)
            self.forget_tags()
        elif self.pairs and self.rng.random() < 0.5:
            key = self.rng.choice(list(self.pairs))
            del self.pairs[key]
            self.stack.remove_device(self.stack.namespaces[key[0]].devices[key[2]], now=self.now)
            self.forget_tags()
        elif self.shortcuts:
            source, target = self.rng.choice(sorted(self.shortcuts))
            self.shortcuts.remove((source, target))
            ns = self.stack.namespaces[source]
            for ip in (ns.ip4, ns.ip6):
                for prefix, length, route in [entry for entry in ip.main if entry[2].target == target]:
                    to = format_prefix(prefix, length, ip.family) if length or ip is ns.ip4 else "::/0"
                    ns.del_route(to, netns=target, metric=route.metric, now=self.now)

    def forget_tags(self) -> None:
        """Tags go with the device that they stood on, and a multicast route with the one it came in by."""
        spaces = self.stack.namespaces
        self.tags = {key: both for key, both in self.tags.items() if key[1] in spaces[key[0]].devices}
        self.groups = {(one, two) for one, two in self.groups if spaces[one].mroutes()}

    def shortcut(self, source: Netns, target: Netns) -> None:
        if source is target or (source.name, target.name) in self.shortcuts:
            return
        self.serial += 1
        to = self.rng.choice((f"10.1.{self.spaces.index(target)}.0/24", "default", "10.0.0.8/29", "198.51.100.0/24"))
        source.add_route(to, netns=target.name, metric=self.serial, now=self.now)
        to = self.rng.choice((f"fd00:0:0:1{self.spaces.index(target)}::/64", "::/0", "fd00::8/125", "2001:db8::/32"))
        source.add_route(to, netns=target.name, metric=self.serial, now=self.now)
        self.shortcuts.add((source.name, target.name))

    def accept(self, ns: Netns) -> None:
        others = [other.name for other in self.spaces if other is not ns]
        chosen = self.rng.sample(others, self.rng.randrange(len(others) + 1)) if self.rng.random() < 0.8 else ["*"]
        ns.accept_from = self.accepts[ns.name] = frozenset(chosen)

    def move(self) -> None:
        """A device goes from one namespace to another: what came in by it before stays behind."""
        movable = [dev for ns in self.spaces for dev in ns.devices.values() if dev.kind == "tap" and dev.vlans is None]
        dev = self.rng.choice(movable)
        target = self.rng.choice(self.spaces)
        if dev.ns is not target:
            self.serial += 1
            self.stack.move_device(dev, target, f"m{self.serial}", now=self.now)
            self.forget_tags()
            self.watch(dev)
            target.add_address(dev, f"10.3.{self.rng.randrange(9)}.1/24", now=self.now)
            target.add_address(dev, f"fd00:0:0:3{self.rng.randrange(9)}::1/64", now=self.now)

    # -- what comes in ------------------------------------------------------------------------------------------------

    def payload(self, ns: Netns, size: int) -> bytes:
        cookie = b"\xf7TAG!" + (len(self.history) - 1).to_bytes(2, "big") + bytes((self.spaces.index(ns),))
        return cookie * (size // 8)

    def packets(self, ns: Netns, *, whole: bool) -> list[bytes]:
        """A packet of a station in `ns`, or the fragments of one."""
        rng, index = self.rng, self.spaces.index(ns)
        places = [*LIKELY, *(f"10.1.{i}.{host}" for i in range(len(self.spaces)) for host in (1, 9, 255))]
        places += [f"10.2.{1 + rng.randrange(max(self.serial, 1))}.{host}" for host in (1, 2)]
        src, dst = rng.choice((f"10.1.{index}.9", "10.0.0.9", "10.0.0.1", "198.51.100.7")), rng.choice(places)
        data = self.payload(ns, rng.choice((64, 512, 1400)) if whole else 2048)
        quoted = make.ipv4_udp(dst, src, 7, 7, data)[:80]
        proto, segment = rng.choice(
            (
                (17, make.udp(src, dst, 7, 7, data)),
                (17, make.udp(src, dst, 7, 9, data)),
                (1, make.icmp_echo(7, 1, data)),
                (1, make.icmp_echo(7, 1, data, reply=True)),
                (1, make.icmp_error(3, rng.choice((1, 3, 4)), quoted + data[:64], 600)),
                (6, data),
            )
        )
        options = b"\x07\x0b\x04" + bytes(9) if rng.random() < 0.1 else b""
        ttl, df = rng.choice((64, 64, 64, 1, 2)), whole and rng.random() < 0.3
        packet = make.ipv4(src, dst, proto, segment, ttl=ttl, df=df, ident=rng.randrange(9), options=options)
        return [packet] if whole else make.fragments(packet, 576)

    def packets6(self, ns: Netns, *, whole: bool) -> list[bytes]:
        """The same of IPv6, with neighbour discovery."""
        rng, index = self.rng, self.spaces.index(ns)
        places = [*LIKELY6, *(f"fd00:0:0:1{i}::{host}" for i in range(len(self.spaces)) for host in (1, 9))]
        places += [f"fd00:0:0:{net}{rng.randrange(12):02x}::{host}" for net in (2, 5) for host in (1, 2, 9)]
        places += ["fd00:0:0:4::1", "fd00:0:0:4::9"]
        src, dst = (
            rng.choice((f"fd00:0:0:1{index}::9", "fd00::9", "fd00::1", "fe80::9", "2001:db8::7")),
            rng.choice(places),
        )
        data = self.payload(ns, rng.choice((64, 512, 1200)) if whole else 2048)
        quoted = make.ipv6_udp(dst, src, 7, 7, data)[:96]
        station = HOST + bytes((index, 0, 0, 9))
        proto, segment = rng.choice(
            (
                (17, make.udp(src, dst, 7, 7, data)),
                (17, make.udp(src, dst, 7, 9, data)),
                (58, make6.icmp6_echo(src, dst, 7, 1, data)),
                (58, make6.icmp6_echo(src, dst, 7, 1, data, reply=True)),
                (58, make6.icmp6_error(src, dst, *rng.choice(((1, 4), (2, 0), (3, 0))), quoted + data[:64], 1280)),
                (58, make6.neighbour_solicitation(src, dst, dst, make6.nd_option(200, data[:64]), mac=station)),
                (58, make6.neighbour_advertisement(src, dst, src, make6.nd_option(200, data[:64]), mac=station)),
                (58, make6.mld_report(src, dst, "ff05::123")),
                (6, data),
            )
        )
        if whole and rng.random() < 0.1:
            proto, segment = 60, make6.destination_options(proto, segment, make6.option(0x1E, data[:8]))
        near = proto == 58 and segment[0] in (135, 136)
        packet = make6.ipv6(src, dst, proto, segment, hop_limit=255 if near else rng.choice((64, 64, 64, 1, 2)))
        return [packet] if whole else make6.fragments6(packet, 1280, rng.randrange(9))

    def wire(self, dev: Device, frame: bytes) -> bytes:
        """With the tag of a VLAN of that wire, if there is one, now and then; and to a bridge's other stations."""
        over = list((dev.vlans or {}).items())
        if dev.bridge_port is not None:
            over += list((dev.bridge_port.bridge.dev.vlans or {}).items())
        if over and self.rng.random() < 0.5:
            (tpid, vid), upper = self.rng.choice(over)
            frame = frame[:12] + tpid.to_bytes(2, "big") + vid.to_bytes(2, "big") + frame[12:]
            return upper.mac + frame[6:] if not frame[0] & 1 else frame
        if dev.bridge_port is not None and not frame[0] & 1:
            index = self.spaces.index(dev.ns)
            to = self.rng.choice((dev.bridge_port.bridge.dev.mac, HOST + bytes((index, 0, 0, 8))))
            return to + frame[6:]
        return frame

    def receive(self, *, whole: bool, missing: bool = False, six: bool = False) -> None:
        """A station of some namespace sends a packet: every piece, or all but the last."""
        ns = self.rng.choice(self.spaces)
        devices = [dev for dev in ns.devices.values() if dev.kind == "tap"]
        if not devices:
            return
        dev = self.rng.choice(devices)
        station = HOST + bytes((self.spaces.index(ns), 0, 0, 9))
        dst = dev.mac if self.rng.random() < 0.9 else b"\xff" * 6
        pieces = self.packets6(ns, whole=whole) if six else self.packets(ns, whole=whole)
        for piece in pieces[:-1] if missing else pieces:
            if six and piece[24] == 0xFF:
                dst = make6.group_mac6(int.from_bytes(piece[24:40], "big"))
            elif not six and piece[16] >> 4 == 14:
                dst = make.group_mac(int.from_bytes(piece[16:20], "big"))
            frame = make.ethernet(dst, station, make.IPV6 if six else make.IPV4, piece)
            self.stack.receive(dev, self.wire(dev, frame), self.now)
            self.answer()

    def answer(self) -> None:
        """Frames leave: they are searched, and stations answer ARP, so that packets find their way."""
        while True:
            frames = self.stack.take_egress()
            if not frames:
                break
            for dev, frame in frames:
                self.inspect(dev.ns.name, bytes(frame))
                self.resolve(dev, bytes(frame))

    def resolve(self, dev: Device, frame: bytes) -> None:
        """A station tells its address to who asks, with the tag that the question had."""
        tag = frame[12:16] if frame[12:14] == b"\x81\0" else b""
        sender, frame = frame[6:12], frame[:12] + frame[12 + len(tag) :]
        station = HOST + bytes((self.spaces.index(dev.ns),))
        if frame[12:14] == b"\x08\x06" and frame[21] == 1:
            mac = station + frame[39:42]
            spa, tpa = frame[28:32], frame[38:42]
            if spa == tpa:
                return
            packet = make.arp_reply(mac, int.from_bytes(tpa, "big"), sender, int.from_bytes(spa, "big"))
            reply = make.ethernet(sender, mac, make.ARP, packet)
        elif frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x87" and any(frame[22:38]):
            mac = station + frame[75:78]
            asker, target = (int.from_bytes(frame[at : at + 16], "big") for at in (22, 62))
            told = make6.neighbour_advertisement(target, asker, target, mac=mac, solicited=True, override=True)
            reply = make.ethernet(sender, mac, make.IPV6, make6.ipv6(target, asker, 58, told, hop_limit=255))
        else:
            return
        if self.rng.random() < 0.7:
            self.stack.receive(dev, reply[:12] + tag + reply[12:], self.now)

    # -- what is seen -------------------------------------------------------------------------------------------------

    def inspect(self, where: str, data: bytes) -> None:
        """Every cookie and every station's MAC in `data`, which can be seen in the namespace `where`."""
        for epoch, index in COOKIE.findall(data):
            source = SPACES[index[0]]
            self.seen.add((source, where))
            assert where in self.allowed(int.from_bytes(epoch, "big"), source), f"bytes of {source} are seen in {where}"
        for mac in (data[0:6], data[6:12]):
            if mac.startswith(HOST):
                assert where in reaches(self.wires, SPACES[mac[2]]), f"a station of {SPACES[mac[2]]} is seen in {where}"

    def inside(self, ns: Netns) -> Iterator[bytes]:
        """All that can be seen in a namespace without looking at its wires."""
        for frame in self.captures[ns.name].take():
            yield frame.data
        for sock in list(ns.sockets):
            for flags in (0, c.MSG_ERRQUEUE):
                while True:
                    try:
                        yield bytes(14) + sock.recvmsg(65535, 500, flags, now=self.now)[0]
                    except BlockingIOError:
                        break
                    except OSError:
                        continue  # an error that waited
        for dev in ns.devices.values():
            if dev.bridge is not None:
                for table in dev.bridge.fdb.tables.values():
                    yield from table
            for neigh in (*dev.neigh4.values(), *dev.neigh6.values()):
                yield neigh.mac
                for pkt in neigh.queue or ():
                    yield bytes(14) + pkt.data()
        for ip in ns.families():
            for queue in () if ip.reassembler is None else ip.reassembler._queues.values():
                for pkt in queue.packets:
                    yield bytes(14) + pkt.data()

    def look(self) -> None:
        self.answer()
        for ns in self.spaces:
            for data in self.inside(ns):
                self.inspect(ns.name, data)

    def step(self, kind: str) -> None:
        one, two = self.rng.choice(self.spaces), self.rng.choice(self.spaces)
        if kind == "frame":
            self.receive(whole=True)
        elif kind == "frame6":
            self.receive(whole=True, six=True)
        elif kind in ("fragments", "late"):
            self.receive(whole=False, missing=kind == "late", six=self.rng.random() < 0.5)
        elif kind == "time":
            self.now += self.rng.choice((0, 1000, SECOND, 3 * SECOND, 31 * SECOND))
            self.stack.poll(self.now)
        elif kind == "address":
            if "e1" in one.devices:
                one.set_device("e1", up=not one.devices["e1"].up, now=self.now)
        else:
            if kind == "accept":
                self.accept(one)
            elif kind == "shortcut":
                self.shortcut(one, two)
            elif kind == "pair":
                if one is not two and len(self.pairs) < 4:
                    self.pair(one, two)
            elif kind == "ingress":
                self.ingress(one, two)
            elif kind == "mroute":
                self.mroute(one, two)
            elif kind == "cut":
                self.cut()
            else:
                self.move()
            self.answer()
            self.declare()
        self.look()
        came, went = self.stack.accounts()
        assert sum(came.values()) == sum(went.values())


@settings(max_examples=60)
@given(
    count=st.integers(2, 4),
    seed=st.integers(0, 2**32),
    begin=st.lists(st.sampled_from(("pair", "shortcut", "ingress", "mroute", "accept", "accept")), max_size=8),
    steps=st.lists(st.sampled_from(STEPS), min_size=20, max_size=120),
)
def test_nothing_crosses_undeclared(count: int, seed: int, begin: list[str], steps: list[str]) -> None:
    """Nothing is shared by default: a packet changes namespace only by a crossing that both sides declared."""
    bed = Bed(count, seed)
    for kind in (*begin, *steps):
        bed.step(kind)
    bed.now += 100 * SECOND
    bed.stack.poll(bed.now)
    bed.look()
    assert all(where in bed.allowed(0, source) for source, where in bed.seen)


@settings(max_examples=15)
@given(count=st.integers(2, 4), seed=st.integers(0, 2**32))
def test_strangers_never_meet(count: int, seed: int) -> None:
    """Without any crossing, and with routes into namespaces that do not accept, each sees itself alone."""
    bed = Bed(count, seed)
    for source in bed.spaces:
        for target in bed.spaces:
            bed.shortcut(source, target)
    for _ in range(80):
        bed.step(bed.rng.choice(("frame", "frame", "frame6", "frame6", "fragments", "late", "time")))
    assert bed.seen == {(name, name) for name in SPACES[:count]}


@pytest.mark.parametrize("way", ["pair", "shortcut"])
def test_what_is_declared_crosses_and_is_seen(way: str) -> None:
    """The search itself: through a pair, or an accepted short-cut, packets cross and their cookies are found there."""
    bed = Bed(2, 5)
    a, b = bed.spaces
    if way == "pair":
        bed.pair(a, b)
    else:
        a.add_route("10.1.1.0/24", netns="b")
        bed.shortcuts.add(("a", "b"))
        b.accept_from = bed.accepts["b"] = frozenset("a")
    bed.declare()
    for _ in range(200):
        bed.step("frame")
    assert ("a", "b") in bed.seen
    assert (("b", "a") in bed.seen) == (way == "pair")
    bed.history[-1] = frozenset()
    with pytest.raises(AssertionError, match="bytes of a are seen in b"):
        bed.inspect("b", bed.payload(a, 64))


def test_a_watched_device_that_moves_is_watched_no_more() -> None:
    """A capture belongs to a namespace: what the device sees after it has moved to another is not for it."""
    bed = Bed(2, 1)
    a, b = bed.spaces
    dev = a.devices["e0"]
    frame = make.ethernet(dev.mac, HOST + bytes(4), make.IPV4, make.ipv4_echo("10.0.0.9", "10.0.0.1"))
    bed.stack.receive(dev, frame, 0)
    assert len(bed.captures["a"].take()) > 0
    bed.stack.move_device(dev, b, "e2")
    bed.stack.receive(dev, frame, 0)
    assert bed.captures["a"].take() == []
    assert dev not in bed.captures["a"].devices
