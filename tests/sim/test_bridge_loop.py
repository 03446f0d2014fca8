"""Three bridges in a ring, in virtual time: one tree, no loop, another tree when a link fails.

::

    h1 ── b1 ═══ b2 ── h2          every ═ is a wire between two routers' bridges
           ╲    ╱
            b3 ── h3
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from vrouter.stack.device import Device
from vrouter.stack.l2.bridge import Bridge
from vrouter.testing import Lab, Node, frames
from vrouter.testing.wire import Wire

STATION = "02:00:00:00:aa:0{}"


class Ring:
    """The network above; `mode` is stp or rstp, or one for each bridge."""

    def __init__(self, lab: Lab, *modes: str, **options: Any) -> None:
        self.lab = lab
        self.nodes: list[Node] = [lab.host(f"b{n}") for n in (1, 2, 3)]
        self.hosts: list[Any] = [lab.probe(f"h{n}") for n in (1, 2, 3)]
        self.wires: dict[tuple[int, int], Wire] = {}
        for node in self.nodes:
            node.ns.add_device("br0", kind="bridge", now=lab.now)
        for one, two in combinations(range(3), 2):
            self.wires[one, two] = lab.wire(self.nodes[one], self.nodes[two], addresses=None, resolve=True, **options)
        for node, host in zip(self.nodes, self.hosts, strict=True):
            lab.wire(node, host, addresses=None, resolve=True)
        for node, mode in zip(self.nodes, modes, strict=True):
            node.ns.set_bridge("br0", stp=mode, mcast_snooping=False, now=lab.now)
            for end in node.ends:
                assert end.device is not None
                node.ns.set_port(end.device, bridge="br0", now=lab.now)

    def bridge(self, n: int) -> Bridge:
        found: Bridge = self.nodes[n].ns.device("br0").bridge
        return found

    def root(self) -> int:
        """Which bridge all take for the root."""
        roots = {self.bridge(n).stp.root_vector[0] for n in range(3)}
        assert len(roots) == 1
        return next(n for n in range(3) if self.bridge(n).stp.bridge_id in roots)

    def ends(self, wire: tuple[int, int]) -> list[Device]:
        return [end.device for end in self.wires[wire].ends]

    def open(self) -> list[tuple[int, int]]:
        """The wires of the ring that forward at both ends."""
        return [wire for wire in self.wires if all(dev.bridge_port.forwards for dev in self.ends(wire))]

    def cut(self, wire: tuple[int, int]) -> None:
        """The link fails: both ends lose their carrier."""
        for dev in self.ends(wire):
            dev.ns.set_carrier(dev, False, "cut", self.lab.now)

    def mend(self, wire: tuple[int, int]) -> None:
        for dev in self.ends(wire):
            dev.ns.set_carrier(dev, True, "", self.lab.now)

    def shout(self, n: int) -> list[int]:
        """A broadcast of one host: how often each host hears it within a second."""
        for host in self.hosts:
            host.clear()
        self.hosts[n].send_frame(frames.ethernet("ff:ff:ff:ff:ff:ff", STATION.format(n), 0x88B5, bytes(46)))
        self.lab.run_for(1)
        return [sum(frame[12:14] == b"\x88\xb5" for frame in host.received) for host in self.hosts]


@pytest.mark.parametrize(
    ("modes", "seconds"),
    [(("rstp",) * 3, 4), (("stp",) * 3, 36), (("rstp", "stp", "rstp"), 36)],
    ids=["rstp", "stp", "mixed"],
)
def test_a_ring_becomes_a_tree(lab: Lab, modes: tuple[str, ...], seconds: int) -> None:
    """IEEE 802.1D-2004 17: one wire of the ring is blocked, everybody hears a broadcast once, within the standard's
    times: at once by handshake (and 3 s for the edge), or max age and a forward delay."""
    ring = Ring(lab, *modes, delay=0.001)
    lab.run_for(seconds)
    assert len(ring.open()) == 2
    for n in range(3):
        assert ring.shout(n) == [int(m != n) for m in range(3)]
    roles = sorted(row["role"] for node in ring.nodes for row in node.ns.ports())
    assert roles == ["alternate", *["designated"] * 6, "root", "root"]


@pytest.mark.parametrize(("mode", "seconds"), [("rstp", 2), ("stp", 56)])
def test_a_link_fails_and_comes_back(lab: Lab, mode: str, seconds: int) -> None:
    """IEEE 802.1D-2004 17.29: the alternate port takes over; the broken link's return makes no loop either."""
    ring = Ring(lab, mode, mode, mode, delay=0.001)
    lab.run_for(60)
    before = ring.open()
    for wire in before:
        ring.cut(wire)
        lab.run_for(seconds)
        assert sorted(ring.open()) == sorted(set(ring.wires) - {wire})
        assert [ring.shout(n) for n in range(3)] == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
        ring.mend(wire)
        for _ in range(60):
            lab.run_for(1)
            assert len(ring.open()) <= 2
        assert ring.open() == before


def test_the_root_is_elected_by_priority(lab: Lab) -> None:
    """IEEE 802.1D-2004 17.5: the bridge with the least identifier is the root; priority stands above address."""
    ring = Ring(lab, "rstp", "rstp", "rstp", delay=0.001)
    lab.run_for(5)
    by_address = min(range(3), key=lambda n: ring.nodes[n].ns.device("br0").mac)
    assert ring.root() == by_address
    other = (by_address + 1) % 3
    ring.nodes[other].ns.set_bridge("br0", priority=4096, now=lab.now)
    lab.run_for(5)
    assert ring.root() == other
    assert len(ring.open()) == 2
    assert ring.nodes[other].ns.bridge_rows()[0]["root_port"] == ""


def test_what_was_learnt_is_forgotten_when_the_tree_changes(lab: Lab) -> None:
    """IEEE 802.1D-2004 17.31: a station is found on its new way at once, not after the ageing time."""
    ring = Ring(lab, "rstp", "rstp", "rstp", delay=0.001)
    lab.run_for(10)
    assert ring.shout(0) == [0, 1, 1]
    wire = next(wire for wire in ring.open() if 0 in wire)
    ring.cut(wire)
    lab.run_for(2)
    other = wire[0] or wire[1]
    ring.hosts[0].clear()
    ring.hosts[other].send_frame(frames.ethernet(STATION.format(0), STATION.format(other), 0x88B5, bytes(46)))
    lab.run_for(1)
    assert sum(frame[12:14] == b"\x88\xb5" for frame in ring.hosts[0].received) == 1
    assert ring.nodes[other].ns.bridge_rows()[0]["topology_changes"] > 0


def test_without_spanning_tree_the_ring_is_a_storm(lab: Lab) -> None:
    """What the protocol is for: the same ring with every port forwarding sends one broadcast round and round."""
    ring = Ring(lab, "none", "none", "none", delay=0.1)
    assert len(ring.open()) == 3
    assert min(ring.shout(0)[1:]) > 2
    ring.cut((0, 1))
    lab.run_for(1)
    assert ring.shout(0) == [0, 1, 1]
