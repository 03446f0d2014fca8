"""A veth pair: the complete output path here, the complete input path there.

::

    a 10.0.1.2 ── 10.0.1.1 red 10.255.0.1 ══ veth ══ 10.255.0.2 blue 10.9.0.1 ── 10.9.0.2 z
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.stack.capture import Capture
from vrouter.stack.device import Device
from vrouter.stack.l2.neighbour import NeighState
from vrouter.stack.netns import Netns
from vrouter.testing import frames, match


class Pair:
    """red and blue with a veth between them."""

    def __init__(self, mtu: int = 1500) -> None:
        self.bed = bed = Bed()
        self.red: Netns = bed.stack.add_netns("red")
        self.blue: Netns = bed.stack.add_netns("blue")
        self.a: Station = bed.station(self.red, "lan", "10.0.1.1/24", "10.0.1.2")
        self.z: Station = bed.station(self.blue, "lan", "10.9.0.1/24", "10.9.0.2")
        ends: tuple[Device, Device] = bed.stack.add_veth(self.red, "up", self.blue, "down", mtu=mtu)
        self.up, self.down = ends
        self.red.add_address("up", "10.255.0.1/30")
        self.blue.add_address("down", "10.255.0.2/30")
        self.red.add_route("10.9.0.0/16", via="10.255.0.2")
        self.blue.add_route("10.0.1.0/24", via="10.255.0.1")
        for ns in (self.red, self.blue):
            ns.sysctl["net.ipv4.ip_forward"] = 1
        bed.settle()

    def send(self, dst: str = "10.9.0.2", payload: bytes = b"x", **header: Any) -> bytes:
        """A datagram from a."""
        return self.a.send(frames.ipv4_udp("10.0.1.2", dst, 1000, 7, payload, **header))

    def resolve(self) -> None:
        """Both ends learn of each other."""
        self.send()
        self.z.send(frames.ipv4_udp("10.9.0.2", "10.0.1.2", 7, 1000, b"x"))
        self.bed.settle()


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """red and blue; a parameter is the MTU."""
    found = Pair(getattr(request, "param", 1500))
    yield found
    found.bed.close()


def test_the_whole_path_on_both_sides(pair: Pair) -> None:
    """ARP resolves over the pair, each namespace forwards, so TTL falls twice; nothing is left waiting."""
    with (
        pair.bed.expect(
            pair.red,
            rx={"lan": 1, "up": 1},
            tx={"up": 2},
            IpInReceives=1,
            IpForwDatagrams=1,
            ArpOutRequests=1,
            ArpInReplies=1,
        ),
        pair.bed.expect(
            pair.blue,
            rx={"down": 2},
            tx={"lan": 1, "down": 1},
            IpInReceives=1,
            IpForwDatagrams=1,
            ArpInRequests=1,
            ArpOutReplies=1,
        ),
    ):
        pair.send(ttl=64)
    assert pair.z.received == [match.udp(ttl=62, src="10.0.1.2")]
    table = {record.address: record.state for record in pair.red.neigh4.entries(pair.bed.now) if record.dev == "up"}
    assert table == {0x0AFF0002: NeighState.REACHABLE}


def test_frames_are_the_pairs_own(pair: Pair) -> None:
    """What crosses is a frame from one end's MAC to the other's, and can be captured at either."""
    pair.resolve()
    capture = Capture()
    capture.attach(pair.up)
    capture.attach(pair.down)
    pair.send()
    seen = [(frame.dev.name, frame.data) for frame in capture.take()]
    wanted = match.udp(eth_src=pair.up.mac, eth_dst=pair.down.mac, ttl=63)
    assert [name for name, _ in seen] == ["up", "down"]
    assert [data for _, data in seen] == [wanted, wanted]


def test_each_side_has_its_own_rules(pair: Pair) -> None:
    """Nothing is skipped: blue's reverse path filter, forwarding switch and martians hold at its end."""
    pair.resolve()
    pair.blue.sysctl["net.ipv4.conf.down.rp_filter"] = 1
    with pair.bed.expect(pair.blue, rx={"down": 1}, drops={DropReason.IP_RPFILTER: 1}, IpInReceives=1):
        pair.a.send(frames.ipv4_udp("10.9.0.77", "10.9.0.2", 1, 2))
    pair.blue.sysctl["net.ipv4.conf.down.forwarding"] = 0
    with pair.bed.expect(pair.blue, rx={"down": 1}, drops={DropReason.FORWARDING_DISABLED: 1}, IpInReceives=1):
        pair.send()


def test_an_error_of_the_far_side_comes_back(pair: Pair) -> None:
    """RFC 1812 4.3.2.4: from the address of the end by which it leaves; red forwards it."""
    pair.resolve()
    sent = pair.send(ttl=2)
    seen = bytearray(sent)
    seen[8] = 1
    assert pair.a.received == [match.icmp4(type=11, code=0, src="10.255.0.2", ttl=63, quotes=bytes(seen))]


@pytest.mark.parametrize("pair", [576], indirect=True)
def test_the_mtu_of_the_pair(pair: Pair) -> None:
    """RFC 1812 4.2.2.7: fragments are made at the near end, and reassembled by whoever they are for."""
    pair.resolve()
    sock = pair.bed.udp(7, ns=pair.blue)
    pair.send("10.9.0.1", bytes(1400))
    assert pair.bed.received(sock) == [bytes(1400)]
    pair.send(payload=bytes(1400), df=True)
    assert pair.a.received == [match.icmp4(type=3, code=4, rest=576, src="10.0.1.1")]


def test_one_end_down_is_no_carrier_at_the_other(pair: Pair) -> None:
    """RFC 1812 3.3.6: as with a cable; routes of both ends are skipped, and both come back."""
    pair.resolve()
    pair.blue.set_device("down", up=False, now=pair.bed.now)
    assert (pair.up.state, pair.down.state) == ("no-carrier", "down")
    sent = pair.send()
    assert pair.a.received == [match.icmp4(type=3, code=0, payload=sent)]
    pair.blue.set_device("down", up=True, now=pair.bed.now)
    pair.bed.settle()
    assert (pair.up.state, pair.down.state) == ("up", "up")
    pair.send()
    assert pair.z.received == [match.udp(ttl=62)]


def test_removing_one_end_removes_the_other(pair: Pair) -> None:
    """As in Linux: a pair is one thing; what referred to it is gone in both namespaces."""
    pair.resolve()
    pair.bed.stack.remove_device(pair.up, now=pair.bed.now)
    assert ("up" in pair.red.devices, "down" in pair.blue.devices) == (False, False)
    assert [row for row in pair.bed.stack.crossings() if row["kind"] == "veth"] == []
    sent = pair.send()
    assert pair.a.received == [match.icmp4(type=3, code=0, payload=sent)]
    assert all(route.dev is not pair.down for _, _, route in pair.blue.ip4.main)


def test_a_pair_is_shown_in_both_directions(pair: Pair) -> None:
    """Each direction with its own packets; a pair within one namespace is no crossing."""
    pair.resolve()
    before = {(row["from"], row["to"]): row["packets"] for row in pair.bed.stack.crossings()}
    pair.send()
    after = {(row["from"], row["to"]): row["packets"] for row in pair.bed.stack.crossings()}
    assert {key: after[key] - before[key] for key in after} == {("red", "blue"): 1, ("blue", "red"): 0}
    pair.bed.stack.add_veth(pair.red, "x", pair.red, "y")
    assert len(pair.bed.stack.crossings()) == 2


def test_a_name_that_is_taken_leaves_nothing_behind(pair: Pair) -> None:
    """Linux: EEXIST, and neither end exists."""
    with pytest.raises(FileExistsError):
        pair.bed.stack.add_veth(pair.red, "new", pair.blue, "lan")
    assert "new" not in pair.red.devices


def test_a_chain_of_pairs_ends_after_eight_crossings(empty: Bed) -> None:
    """Every way to change namespace counts, veth too: at most 8 (CROSSING_LOOP)."""
    spaces = [empty.stack.add_netns(f"n{i}") for i in range(10)]
    for i, ns in enumerate(spaces):
        ns.sysctl["net.ipv4.ip_forward"] = 1
        if i < 9:
            one, two = empty.stack.add_veth(ns, "up", spaces[i + 1], "down")
            ns.neigh4.add_static(one, 0x0A630000 + 2, two.mac, 0)
            spaces[i + 1].neigh4.add_static(two, 0x0A630000 + 1, one.mac, 0)
            ns.add_address("up", "10.99.0.1/30")
            ns.add_route("10.77.0.0/16", via="10.99.0.2")
    spaces[8].add_address("lo", "10.77.0.8/32")
    spaces[9].add_address("lo", "10.77.0.9/32")
    empty.run_until_idle()
    spaces[0].add_address("lo", "10.66.0.1/32")
    sender, sock = empty.udp(ns=spaces[0], address="10.66.0.1"), empty.udp(7, ns=spaces[8])
    sender.sendto(b"eight", ("10.77.0.8", 7), now=empty.now)
    assert empty.received(sock) == [b"eight"]
    sender.sendto(b"nine", ("10.77.0.9", 7), now=empty.now)
    assert [ns.drop_counts().get("CROSSING_LOOP") for ns in spaces] == [None] * 8 + [1, None]


def test_a_peer_that_is_not_ready(pair: Pair) -> None:
    """A frame for an end that cannot take it is dropped where it was sent from."""
    pair.resolve()
    pair.down.carrier = False
    pair.down.refresh()
    with pair.bed.expect(
        pair.red, rx={"lan": 1}, drops={DropReason.TX_DEV_READY: 1}, IpInReceives=1, IpForwDatagrams=1
    ):
        pair.send()
