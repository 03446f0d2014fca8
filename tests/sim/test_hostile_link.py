"""A switched link with a router, a host that configures itself, and a stranger who sends anything: half an hour of it.

::

      r v0 ──┐                 r advertises, asks for members, and routes
      h v0 ──┤ sw: bridge      h has what it is told: address, default router; it listens to a group
   stranger ─┘                 frames of the fuzzer's forge, and answers to what it hears

While it lasts nothing breaks a promise of the fuzzer's world: accounts, bounds, what leaves. When it is over and the
host's link was down for a moment, everything is as it was before: nothing that the stranger said is left.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.forge import Forge, Port
from tests.fuzz.world import World
from vrouter.stack.device import Device
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.socket import Socket

SECOND = 1_000_000_000
GROUP = "ff05::123"
PREFIX = 0xFD00 << 112 | 1 << 64


class Link:
    """The three namespaces, and the stranger's wire."""

    def __init__(self, seed: int, stp: str) -> None:
        self.rng = Random(seed)
        self.world = World(seed)
        for action in (
            *(("add_netns", name, []) for name in ("sw", "r", "h")),
            ("sysctl", "r", "net.ipv6.conf.all.forwarding", 1),
            ("admin", "sw", "add_device", ["br"], {"kind": "bridge"}),
            ("add_veth", "sw", "to-r", "r", "v0", 1500),
            ("add_veth", "sw", "to-h", "h", "v0", 1500),
            ("add_device", "sw", "x", 1500, False, False),
            *(("admin", "sw", "set_port", [name], {"bridge": "br"}) for name in ("to-r", "to-h", "x")),
            ("admin", "sw", "set_bridge", ["br"], {"stp": stp, "ageing_time": 30}),
            ("admin", "sw", "set_port", ["x"], {"guard": "root"}),
            ("add_address", "r", "v0", "10.0.1.1/24"),
            ("add_address", "h", "v0", "10.0.1.2/24"),
            ("add_address", "r", "v0", "fd00:0:0:1::1/64"),
            ("ra", "r", "v0", {"max_interval": 10}),
            ("admin", "r", "set_querier", ["v0"], {"igmp": True, "mld": True}),
            ("sysctl", "h", "net.ipv6.conf.v0.dad_transmits", 1),
            ("admin", "h", "set_autoconf", ["v0", True], {}),
        ):
            self.world.apply(action)
        self.host, self.router = (self.world.stack.namespaces[name].devices["v0"] for name in ("h", "r"))
        self.forge = Forge(self.rng, [])

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.apply(("poll", SECOND))

    def hostile(self, seconds: int) -> None:
        """The stranger sends to the host, to the router, or to all; time passes meanwhile."""
        until = self.world.now + seconds * SECOND
        while self.world.now < until:
            for frame in self.forge.batch(self.port()):
                self.world.apply(("receive", "sw", "x", frame))
            if self.rng.random() < 0.5:
                self.world.apply(("poll", self.rng.choice((1, SECOND // 100, SECOND, 5 * SECOND))))

    def port(self) -> Port:
        victim = self.rng.choice((self.host, self.router))
        own6 = [a.address & (1 << 128) - 1 for a in victim.addresses if a.family == 6]
        port = Port(victim.mac, False, 1500, [0x0A000101, 0x0A000102], [0x0A000100 + i for i in (1, 2, 5, 9)], [])
        port.own6, port.near6, port.bridged = own6, [PREFIX | i for i in (1, 2, 9)], True
        port.sent = list(self.world.sent.get(self.world.stack.namespaces["sw"].devices["x"], ()))
        return port

    def echo(self, family: int, to: str) -> bool:
        """Whether the host reaches `to` within 30 s."""
        now = self.world.now
        sock = self.world.stack.namespaces["h"].socket(family, 2, 1 if family == 2 else 58)
        try:
            for _ in range(30):
                try:
                    sock.sendto(b"\x08\0\0\0\0\0\0\1" if family == 2 else b"\x80\0\0\0\0\0\0\1", (to, 0), now=now)
                except OSError:
                    pass  # not yet
                self.pass_time(1)
                now = self.world.now
                try:
                    if sock.recv(100, now=now):
                        return True
                except OSError:
                    continue
            return False
        finally:
            sock.close(now=now)

    def streams(self, listener: Socket) -> bool:
        """Whether what the router sends to the group comes to the listener."""
        now = self.world.now
        sender = self.world.stack.namespaces["r"].socket(10)
        try:
            sender.sendto(b"stream", (GROUP, 7), now=now)
            return listener.recv(100, now=now) == b"stream"
        except BlockingIOError:
            return False
        finally:
            sender.close(now=now)


def learnt(dev: Device) -> tuple[list[int], list[int]]:
    """(addresses that a router made, default routers) of a host's device."""
    addresses = [a.address for a in dev.addresses if a.origin == "ra" and a.state == "preferred"]
    host = dev.ns.ndp.hosts.learned(dev)
    assert host is not None
    return addresses, list(host.routers)


@pytest.mark.parametrize(("seed", "stp"), [(1, "none"), (2, "rstp")])
def test_a_link_recovers_from_any_stranger(seed: int, stp: str) -> None:
    """RFC 6583, RFC 4862 5.5.3, RFC 4541: tables that a stranger filled are ours again when he has gone."""
    link = Link(seed, stp)
    listener = link.world.stack.namespaces["h"].socket(10)
    listener.bind(("", 7), now=link.world.now)
    group = (0xFF05 << 112 | 0x123).to_bytes(16, "big") + link.host.ifindex.to_bytes(4, "little")
    listener.setsockopt(c.SOL_IPV6, c.IPV6_JOIN_GROUP, group, now=link.world.now)
    link.pass_time(60)
    before = learnt(link.host)
    assert [address >> 64 << 64 for address in before[0]] == [PREFIX]
    assert len(before[1]) == 1
    assert link.echo(2, "10.0.1.1")
    assert link.echo(10, "fd00:0:0:1::1")
    assert link.streams(listener)

    link.hostile(1800)
    assert link.world.frames > 3000
    assert learnt(link.host) != before  # he was heard

    for up in (False, True):
        link.world.apply(("set_device", "h", "v0", up, None))
        link.pass_time(1)
    link.pass_time(300)
    while True:  # what he had queued for the listener
        try:
            listener.recv(65535, now=link.world.now)
        except OSError:
            break
    assert learnt(link.host) == before
    assert link.echo(2, "10.0.1.1")
    assert link.echo(10, "fd00:0:0:1::1")
    assert link.streams(listener)
    link.world.finish()
