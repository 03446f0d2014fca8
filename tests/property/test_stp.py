"""The spanning tree against an obvious twin: whatever the bridges and links, what forwards is a tree of best paths.

The twin knows the whole network and works out by Dijkstra's algorithm what the protocol has to find hop by hop.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack.l2.stp.port import PST_DISCARDING, PST_FORWARDING, StpPort
from vrouter.stack.l2.stp.tree import SpanningTree
from vrouter.stack.wire.stp import Bpdu

Link = tuple[int, int, int]  # two bridges, and the cost at both ends


class Network:
    """Bridges joined by links that carry BPDUs at once and in order."""

    def __init__(self, priorities: list[int], links: list[Link], *, rstp: list[bool]) -> None:
        self.trees = [
            SpanningTree(bytes((2, 0, 0, 0, 0, n)), priority=priority, rstp=fast)
            for n, (priority, fast) in enumerate(zip(priorities, rstp, strict=True), 1)
        ]
        self.links = links
        self.ends: list[tuple[StpPort, StpPort]] = []
        self.under_way: deque[tuple[int, int, bytes]] = deque()
        for number, (a, b, cost) in enumerate(links):
            one, two = (
                self.trees[n].add_port((number, side), len(self.trees[n].ports) + 1, cost=cost)
                for side, n in enumerate((a, b))
            )
            self.ends.append((one, two))

    def set_link(self, number: int, up: bool) -> None:
        for side, n in enumerate(self.links[number][:2]):
            self.trees[n].set_enabled(self.ends[number][side], up)
        self.deliver()

    def deliver(self) -> None:
        """Carry BPDUs until none is under way; after each nothing may forward in a circle."""
        for _ in range(20_000):
            for tree in self.trees:
                actions, tree.actions = tree.actions, []
                self.under_way.extend((*owner, what) for kind, owner, what in actions if kind == "bpdu")
            if not self.under_way:
                return
            number, side, octets = self.under_way.popleft()
            bpdu = Bpdu.parse(octets, 0, len(octets))
            assert bpdu is not None
            there = self.ends[number][1 - side]
            if there.enabled:
                self.trees[self.links[number][1 - side]].receive(there, bpdu)
        raise AssertionError("BPDUs without end")

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            for tree in self.trees:
                tree.tick()
                self.deliver()

    def up(self) -> list[int]:
        return [n for n, (one, two) in enumerate(self.ends) if one.enabled and two.enabled]

    def forwarding(self) -> list[int]:
        return [n for n, ends in enumerate(self.ends) if all(p.pst == PST_FORWARDING for p in ends)]

    def parts(self, links: list[int]) -> tuple[list[int], bool]:
        """Which part of the network each bridge is in by these links, and whether they make a circle."""
        part = list(range(len(self.trees)))
        circle = False
        for n in links:
            a, b = part[self.links[n][0]], part[self.links[n][1]]
            circle = circle or a == b
            part = [a if one == b else one for one in part]
        return part, circle

    def twin(self) -> list[tuple[int, int]]:
        """Root and distance of each bridge, by whoever sees everything."""
        found: list[tuple[int, int]] = []
        part, _ = self.parts(self.up())
        for n in range(len(self.trees)):
            members = [m for m in range(len(self.trees)) if part[m] == part[n]]
            root = min(members, key=lambda m: self.trees[m].bridge_id)
            distance = {root: 0}
            queue = [(0, root)]
            while queue:
                so_far, here = heapq.heappop(queue)
                for number in self.up():
                    a, b, cost = self.links[number]
                    for one, other in ((a, b), (b, a)):
                        if one == here and so_far + cost < distance.get(other, 1 << 40):
                            distance[other] = so_far + cost
                            heapq.heappush(queue, (so_far + cost, other))
            found.append((self.trees[root].bridge_id, distance[n]))
        return found

    def check(self) -> None:
        forwarding = self.forwarding()
        part, circle = self.parts(forwarding)
        assert not circle, "a circle forwards"
        whole, _ = self.parts(self.up())
        same = [[a == b for b in whole] for a in whole]
        assert [[a == b for b in part] for a in part] == same, "bridges are cut off"
        assert [(tree.root_vector[0], tree.root_vector[1]) for tree in self.trees] == self.twin()


@st.composite
def networks(draw: Any) -> tuple[list[int], list[Link]]:
    size = draw(st.integers(2, 6))
    priorities = draw(st.lists(st.sampled_from([0, 4096, 32768]), min_size=size, max_size=size))
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), st.sampled_from([1, 2000, 20000]))
    links = draw(st.lists(pairs.filter(lambda link: link[0] != link[1]), min_size=1, max_size=10))
    return priorities, links


@pytest.mark.parametrize("versions", ["rstp", "stp", "mixed"])
@settings(max_examples=100)
@given(network=networks(), cuts=st.lists(st.integers(0, 9), max_size=3))
def test_what_forwards_is_a_tree_of_best_paths(
    versions: str, network: tuple[list[int], list[Link]], cuts: list[int]
) -> None:
    """IEEE 802.1D-2004 17.1: one tree of least cost to the best bridge, always; also after links went and came.

    No circle forwards meanwhile, with one exception that is the protocol's own: after a cut, while costs count up and
    the hold count keeps news back, RSTP may take an agreement to one message for one to another.
    """
    priorities, links = network
    rstp = [versions == "rstp" or (versions == "mixed" and n % 2 == 0) for n in range(len(priorities))]
    net = Network(priorities, links, rstp=rstp)
    for number in range(len(links)):
        net.set_link(number, True)
        assert not net.parts(net.forwarding())[1]
    net.run(60)
    net.check()
    for cut in cuts:
        number = cut % len(links)
        net.set_link(number, number not in net.up())
        for _ in range(70):
            net.run(1)
            assert versions == "rstp" or not net.parts(net.forwarding())[1]
        net.check()


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                lambda kind, flags, ids, times: Bpdu(2 if kind == 2 else 0, kind, flags, *ids, *times).to_bytes(),
                st.sampled_from([0, 2, 0x80]),
                st.integers(0, 255),
                st.tuples(
                    st.sampled_from([0, 1 << 48, 0x8000_0200_0000_0001, (1 << 64) - 1]),
                    st.sampled_from([0, 20000, (1 << 32) - 1]),
                    st.sampled_from([0, 0x8000_0200_0000_0001, 0x8000_0200_0000_0002, (1 << 64) - 1]),
                    st.sampled_from([0, 0x8001, 0x8002, 0xFFFF]),
                ),
                st.tuples(*[st.sampled_from([0, 1, 256, 512, 3840, 5120, 0xFFFF])] * 4),
            ),
            st.integers(1, 40),
        ),
        max_size=40,
    )
)
def test_nothing_that_a_stranger_says_stops_the_machines(said: list[bytes | int]) -> None:
    """Any BPDUs at any times: the machines come to rest, and once all is quiet the bridge is its own root again."""
    tree = SpanningTree(bytes((2, 0, 0, 0, 0, 1)))
    ports = [tree.add_port(n, n) for n in (1, 2)]
    for p in ports:
        tree.set_enabled(p, True)
    for number, one in enumerate(said):
        if isinstance(one, int):
            for _ in range(one):
                tree.tick()
        else:
            bpdu = Bpdu.parse(one, 0, len(one))
            if bpdu is not None:
                tree.receive(ports[number % 2], bpdu)
    for _ in range(800):  # three hello times of 255 s, and the times of its own
        tree.tick()
    assert tree.root_port is None
    assert tree.root_vector == (tree.bridge_id, 0, tree.bridge_id, 0)
    assert [p.pst for p in ports] == [PST_FORWARDING] * 2
    tree.set_enabled(ports[0], False)
    assert ports[0].pst == PST_DISCARDING
