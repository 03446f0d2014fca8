"""Ingress tags: a VLAN of red's device is a device of blue, untagged inside, tagged on its way out.

::

    a ── lan of red ─── tag 200 ──► lan200 of blue 10.2.0.1/24
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.stack.netns import Netns
from vrouter.testing import frames


class Given:
    """The drawing above."""

    def __init__(self) -> None:
        self.bed = Bed()
        self.red: Netns = self.bed.stack.add_netns("red")
        self.blue: Netns = self.bed.stack.add_netns("blue", accept_from=["red"])
        self.a: Station = self.bed.station(self.red, "lan")
        self.dev = self.red.add_ingress("lan", 200, self.blue, "lan200")
        self.blue.add_address("lan200", "10.2.0.1/24")
        self.blue.neigh4.add_static(self.dev, 0x0A020002, self.a.mac, 0)
        self.bed.settle()

    def echo(self) -> None:
        packet = frames.ipv4_echo("10.2.0.2", "10.2.0.1")
        self.a.send_frame(frames.ethernet(self.dev.mac, self.a.mac, 0x0800, packet, vlan=200))

    def rows(self) -> list[tuple[Any, ...]]:
        keys = ("from", "to", "kind", "accepted", "packets", "bytes", "denied")
        return [tuple(row[key] for key in keys) for row in self.bed.stack.crossings()]


@pytest.fixture
def given() -> Iterator[Given]:
    """The drawing above; the accounts balance at the end."""
    found = Given()
    yield found
    found.bed.close()


def test_both_ways(given: Given) -> None:
    """The frame belongs to blue, and its answer leaves by red's device with the tag; red's own stack sees nothing."""
    with given.bed.expect(given.red, rx={"lan": 1}, tx={"lan": 1}):
        given.echo()
    assert given.a.received[0][12:18].hex() == "810000c80800"
    assert given.dev.ns is given.blue
    assert given.blue.vlan_rows()[0]["parent_netns"] == "red"
    assert given.red.vlan_rows() == []


def test_it_is_a_crossing_each_way(given: Given) -> None:
    """`show crossings`: one row a direction, counted as the device counts."""
    given.echo()
    rx, tx = (given.dev.rx_packets, given.dev.rx_bytes), (given.dev.tx_packets, given.dev.tx_bytes)
    assert given.rows() == [("red", "blue", "vlan", True, *rx, 0), ("blue", "red", "vlan", True, *tx, 0)]


def test_acceptance_withdrawn(given: Given) -> None:
    """Blue accepts red no more: frames of both ways are CROSSING_DENIED, and counted; accepted again, they pass."""
    given.blue.accept_from = frozenset()
    with given.bed.expect(given.red, rx={"lan": 1}, drops={DropReason.CROSSING_DENIED: 1}):
        given.echo()
    sock = given.bed.udp(ns=given.blue)
    with given.bed.expect(given.blue, drops={DropReason.CROSSING_DENIED: 1}, IpOutRequests=1, UdpOutDatagrams=1):
        sock.sendto(b"x", ("10.2.0.2", 7), now=given.bed.now)
    assert given.a.received == []
    assert [(row[3], row[6]) for row in given.rows()] == [(False, 2), (False, 0)]
    given.blue.accept_from = frozenset(["red"])
    given.echo()
    assert len(given.a.received) == 1


def test_it_needs_leave(given: Given) -> None:
    """EACCES when the target does not accept, EINVAL within one namespace, EEXIST for a tag that is given."""
    green = given.bed.stack.add_netns("green")
    for target, vid, wrong in ((green, 300, 13), (given.red, 300, 22), (given.blue, 200, 17), (given.blue, 0, 22)):
        with pytest.raises(OSError) as caught:
            given.red.add_ingress("lan", vid, target, "other")
        assert caught.value.errno == wrong
    assert list(given.blue.devices) == ["lo", "lan200"]


def test_no_more_than_eight_crossings(given: Given) -> None:
    """A tag is a crossing like any: a packet crosses at most 8 times; here two pairs, then seven tags."""
    stack = given.bed.stack
    spaces = [stack.add_netns(f"n{n}", accept_from=["*"]) for n in range(10)]
    station = given.bed.station(spaces[0], "p")
    for n, first in enumerate(("p", "b")):
        stack.add_veth(spaces[n], "a", spaces[n + 1], "b")
        spaces[n].add_device("br0", kind="bridge")
        for name in (first, "a"):
            spaces[n].set_port(name, bridge="br0")
    for n in range(2, 9):
        spaces[n].add_ingress("b" if n == 2 else "up", n, spaces[n + 1], "up")
    tags = b"".join(n.to_bytes(2, "big") + (b"\x81\x00" if n < 8 else b"\x88\xb5") for n in range(2, 9))
    before = [ns.drop_counts() for ns in spaces]
    station.send_frame(frames.ethernet("02:00:00:00:77:77", station.mac, 0x8100, tags + bytes(46)))
    assert [ns.drop_counts() for ns in spaces[:8]] == before[:8]
    assert spaces[8].drop_counts() == before[8] | {"CROSSING_LOOP": 1}
    assert spaces[9].drop_counts() == before[9]


def test_the_giver_goes(given: Given) -> None:
    """With red's device, or red, its tags go from blue; blue's device does not come back."""
    given.echo()
    given.bed.stack.remove_netns("red")
    assert list(given.blue.devices) == ["lo"]
    assert given.rows() == []


def test_the_taker_goes(given: Given) -> None:
    """With blue the tag is nobody's again."""
    given.bed.stack.remove_netns("blue")
    assert given.a.dev.vlans is None
    with given.bed.expect(given.red, rx={"lan": 1}, drops={DropReason.NS_UNMAPPED: 1}):
        given.a.send_frame(frames.ethernet(given.a.dev.mac, given.a.mac, 0x0800, bytes(46), vlan=200))


def test_its_state_is_the_giver_s(given: Given) -> None:
    """Red's device going down takes blue's carrier."""
    given.red.set_device("lan", up=False, now=given.bed.now)
    assert given.dev.state == "no-carrier"
    given.red.set_device("lan", up=True, now=given.bed.now)
    assert given.dev.state == "up"


def test_a_tag_as_a_bridge_s_port(given: Given) -> None:
    """What was given may be a port of the taker's bridge."""
    given.blue.add_device("br0", kind="bridge")
    other = given.bed.station(given.blue, "p1")
    for name in ("lan200", "p1"):
        given.blue.set_port(name, bridge="br0", now=given.bed.now)
    frame = frames.ethernet("ff:ff:ff:ff:ff:ff", given.a.mac, 0x88B5, bytes(46), vlan=200)
    given.a.send_frame(frame)
    assert [bytes(one) for one in other.received] == [frame[:12] + frame[16:]]
    other.send_frame(frames.ethernet(given.a.mac, other.mac, 0x88B5, bytes(46)))
    assert given.a.received[-1][12:18].hex() == "810000c888b5"
