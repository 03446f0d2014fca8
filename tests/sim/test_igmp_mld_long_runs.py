"""Long seeded runs of IGMP and MLD between stacks that all speak it: hosts, a switch, a proxy, a querier.

::

    core ── up of p (proxy) dn ── port of sw (bridge, snooping) ─┬─ h0
                                                                 ├─ h1
                                                                 └─ h2

Members come and go at random, and a tenth of all that hosts and proxy say then is lost. Whatever has happened: once
nobody changes his mind, and nothing is lost, for as long as a membership holds, core's table is exactly what the
sockets want, and what core sends reaches each socket that wants it once and no other.
"""

from __future__ import annotations

import random
from struct import pack
from typing import Any

import pytest

from vrouter.stack import Stack
from vrouter.stack.base.addresses import parse_address
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.group_filter import Filter, merged
from vrouter.stack.base.packet import Packet
from vrouter.stack.hooks.hooks import OUTPUT, Hooks
from vrouter.stack.netns import Netns

SECOND = 1_000_000_000
HOSTS = 3
QUIET = 400  # s: a membership holds for 260, a lost leave is noticed by then


class Network:
    """The network as drawn, with addresses in one family."""

    def __init__(self, family: int, seed: int) -> None:
        self.v4 = family == 4
        self.rng = random.Random(seed)
        self.stack = Stack(seed=seed, identity="groups")
        self.now = 0
        self.lossy = False
        self.core, self.p, self.sw = (self.netns(name) for name in ("core", "p", "sw"))
        self.hosts = [self.netns(f"h{n}") for n in range(HOSTS)]
        self.wire(self.core, "c", self.p, "up", 1)
        self.sw.add_device("br", kind="bridge", now=self.now)
        self.wire(self.p, "dn", self.sw, "p0", 2)
        self.sw.set_port("p0", bridge="br", now=self.now)
        for n, host in enumerate(self.hosts):
            self.wire(host, "eth", self.sw, f"p{n + 1}", 2, n + 10)
            self.sw.set_port(f"p{n + 1}", bridge="br", now=self.now)
        self.core.set_querier("c", igmp=True, mld=True, now=self.now)
        self.p.set_multicast_proxy("up", ["dn"], now=self.now)
        for ns in (self.p, *self.hosts):
            ns.hooks = Hooks()
            ns.hooks.register(OUTPUT, 0, self.lose)
        self.groups = [f"239.1.1.{n}" if self.v4 else f"ff05::1:{n}" for n in range(1, 4)]
        self.source = "10.0.1.1" if self.v4 else "2001:db8:1::1"
        self.others = [f"10.0.1.{n}" if self.v4 else f"2001:db8:1::{n}" for n in (7, 8)]
        self.members: list[tuple[Netns, Any, str, Filter]] = []  # who has joined, and what
        self.talker = self.core.socket(2 if self.v4 else 10)
        ifindex = self.core.devices["c"].ifindex
        if self.v4:
            self.talker.setsockopt(0, 32, pack("=4s4si", bytes(4), bytes(4), ifindex), now=self.now)
            self.talker.setsockopt(0, 33, 9, now=self.now)
        else:
            self.talker.setsockopt(41, 17, ifindex, now=self.now)
            self.talker.setsockopt(41, 18, 9, now=self.now)

    def netns(self, name: str) -> Netns:
        """A namespace that asks nobody for routers and checks no addresses."""
        ns = self.stack.add_netns(name, now=self.now)
        ns.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
        return ns

    def wire(self, one: Netns, name1: str, two: Netns, name2: str, third: int, number: int = 0) -> None:
        """A pair of devices with addresses of the prefix `third`."""
        ends = self.stack.add_veth(one, name1, two, name2, now=self.now)
        for dev, host in zip(ends, (number or 1, 2), strict=True):
            if dev.ns is not self.sw:
                dev.ns.add_address(dev, f"10.0.{third}.{host}/24", now=self.now)
                dev.ns.add_address(dev, f"2001:db8:{third}::{host}/64", now=self.now)

    def lose(self, ns: Netns, pkt: Packet, now: int) -> int:
        """A tenth of what is said of groups is lost."""
        return DropReason.ROUTE_BLACKHOLE if self.lossy and pkt.ttl == 1 and self.rng.random() < 0.1 else 0

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + round(seconds * SECOND)
        while (at := self.stack.poll_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self.stack.poll(self.now)
        self.now = end

    def act(self) -> None:
        """Somebody joins or leaves."""
        if self.members and self.rng.random() < 0.45:
            _, sock, _, _ = self.members.pop(self.rng.randrange(len(self.members)))
            sock.close(now=self.now)
            return
        host, group = self.rng.choice(self.hosts), self.rng.choice(self.groups)
        sock = host.socket(2 if self.v4 else 10)
        sock.setsockopt(1, 2, 1, now=self.now)
        sock.bind((group, 7), now=self.now)
        sock.setsockopt(0 if self.v4 else 41, 49 if self.v4 else 29, 0, now=self.now)  # MULTICAST_ALL
        head = pack("=I4x", host.devices["eth"].ifindex) + self.sockaddr(group)
        sources = frozenset(self.rng.sample([self.source, *self.others], self.rng.randrange(3)))
        level = 0 if self.v4 else 41
        exclude = not sources or self.rng.random() < 0.5
        if exclude:
            sock.setsockopt(level, 42, head, now=self.now)  # MCAST_JOIN_GROUP
        for source in sorted(sources):
            option = 43 if exclude else 46  # MCAST_BLOCK_SOURCE, MCAST_JOIN_SOURCE_GROUP
            sock.setsockopt(level, option, head + self.sockaddr(source), now=self.now)
        wanted = Filter(exclude, frozenset(parse_address(source)[1] for source in sources))
        self.members.append((host, sock, group, wanted))

    def sockaddr(self, address: str) -> bytes:
        """A sockaddr_storage."""
        value = parse_address(address)[1]
        if self.v4:
            return (pack("=HH", 2, 0) + value.to_bytes(4, "big")).ljust(128, b"\0")
        return (pack("=HHI", 10, 0, 0) + value.to_bytes(16, "big")).ljust(128, b"\0")

    def check(self) -> None:
        """Core knows what is wanted, and each who wants it gets what core sends."""
        known = {
            row["group"]: Filter(row["mode"] == "exclude", frozenset(parse_address(s)[1] for s in row["sources"]))
            for row in self.core.listeners()
        }
        wanted = {
            group: merged(one for _, _, g, one in self.members if g == group)
            for group in self.groups
            if any(g == group for _, _, g, _ in self.members)
        }
        assert known == wanted
        value = parse_address(self.source)[1]
        for group in self.groups:
            self.talker.sendto(group.encode(), (group, 7), now=self.now)
        for _, sock, group, one in self.members:
            got = []
            while sock.readable:
                got.append(sock.recv(99, now=self.now))
            assert got == ([group.encode()] if one.admits(value) else [])
        sources, ends = self.stack.accounts()
        assert sum(sources.values()) == sum(ends.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("family", [4, 6], ids=["igmp", "mld"])
def test_what_is_wanted_is_known_and_delivered(family: int, seed: int) -> None:
    """RFC 3376 1, RFC 3810 1, RFC 4605 4, RFC 4541 2.1: through host, switch, proxy and querier, with loss."""
    net = Network(family, seed)
    net.run_for(60)
    for _ in range(12):
        net.lossy = True
        for _ in range(net.rng.randrange(1, 8)):
            net.act()
            net.run_for(net.rng.random() * 3)
        net.lossy = False
        net.run_for(QUIET)
        net.check()
    for _, sock, _, _ in net.members:
        sock.close(now=net.now)
    net.members.clear()
    net.run_for(QUIET)
    net.check()
    assert net.core.listeners() == net.p.mroutes() == []
