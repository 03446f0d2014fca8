"""A bridge: where frames go, what is learnt of them, who may send how much, and the device that is the bridge's own.

The drawing is in `switch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.switch import BROADCAST, GROUP, STRANGER, TYPE, Switch
from tests.superframes import pattern, read, tcp
from vrouter.stack.base.drop import DropReason
from vrouter.stack.capture import Capture
from vrouter.stack.l2 import fdb
from vrouter.testing import frames


@pytest.fixture
def switch(request: pytest.FixtureRequest) -> Iterator[Switch]:
    """The switch; a parameter is its arguments. Its accounts balance at the end."""
    found = Switch(**getattr(request, "param", {}))
    yield found
    found.bed.close()


# -- relaying ----------------------------------------------------------------------------------------------------------


def test_unknown_stations_are_looked_for_everywhere(switch: Switch) -> None:
    """802.1D 7.7: a frame for nobody that is known leaves by every port but its own: received once, n - 1 copies."""
    with switch.bed.expect(switch.ns, rx={"p0": 1}, tx={"p1": 1, "p2": 1}, AcctCopies=1):
        assert switch.send(0, 1) == [1, 2]


def test_known_stations_are_sent_to_alone(switch: Switch) -> None:
    """802.1D 7.7.2: a station that was heard gets its frames by its port, and nobody else does."""
    switch.teach(1)
    with switch.bed.expect(switch.ns, rx={"p0": 1}, tx={"p1": 1}, AcctCopies=0):
        assert switch.send(0, 1) == [1]


def test_broadcasts_and_groups_are_flooded(switch: Switch) -> None:
    """802.1D 7.7: a broadcast reaches the host, too (n copies); a group that it is not in does not."""
    with switch.bed.expect(
        switch.ns,
        rx={"p0": 1, "br0": 1},
        tx={"p1": 1, "p2": 1},
        drops={DropReason.UNHANDLED_PROTO: 1},
        AcctCopies=2,
    ):
        assert switch.send(0, BROADCAST) == [1, 2]
    with switch.bed.expect(switch.ns, rx={"p0": 1}, tx={"p1": 1, "p2": 1}, AcctCopies=1):
        assert switch.send(0, GROUP) == [1, 2]


@pytest.mark.parametrize("ethertype", [0x0005, 0x0800, 0x86DD, 0x8035, 0x8847, 0x8100, 0x88A8, 0x9100])
def test_whatever_is_in_it(switch: Switch, ethertype: int) -> None:
    """802.1D 7.7: frames of any protocol are relayed untouched: IP that is none, lengths, tags without filtering."""
    assert switch.send(0, STRANGER, bytes(range(64)), ethertype=ethertype) == [1, 2]


def test_a_frame_is_not_sent_back(switch: Switch) -> None:
    """802.1D 7.7.1: for a station behind the port it came by there is nothing to do."""
    switch.teach(0)
    with switch.bed.expect(switch.ns, rx={"p0": 1}, drops={DropReason.NO_TX_TARGET: 1}):
        switch.at[0].send_frame(frames.ethernet(switch.at[0].mac, STRANGER, TYPE, bytes(46)))


@pytest.mark.parametrize("last", range(16))
def test_reserved_groups_are_never_relayed(switch: Switch, last: int) -> None:
    """802.1D 7.12.6: frames to 01-80-C2-00-00-00 to -0F end at the bridge."""
    with switch.bed.expect(switch.ns, rx={"p0": 1}, drops={DropReason.OTHERHOST: 1}):
        assert switch.send(0, f"01:80:c2:00:00:{last:02x}") == []
    assert switch.send(0, "01:80:c2:00:00:10") == [1, 2]
    assert switch.send(0, "01:80:c2:00:01:00") == [1, 2]


def test_a_group_s_frame_has_no_group_for_sender(switch: Switch) -> None:
    """802.3 3.2.3: nothing is learnt from it, and it is not relayed."""
    with switch.bed.expect(switch.ns, rx={"p0": 1}, drops={DropReason.ETH_SRC_INVALID: 1}):
        switch.at[0].send_frame(frames.ethernet(BROADCAST, GROUP, TYPE, bytes(46)))
    assert [row for row in switch.ns.fdb() if row["state"] == "dynamic"] == []


def test_what_a_port_cannot_carry(switch: Switch) -> None:
    """802.1D 6.3.8: a frame larger than the next link's is discarded there, and sent where it fits."""
    switch.ns.set_device("p1", mtu=1000)
    with switch.bed.expect(switch.ns, rx={"p0": 1}, tx={"p2": 1}, drops={DropReason.PKT_TOO_BIG: 1}, AcctCopies=1):
        assert switch.send(0, STRANGER, bytes(1005)) == [2]
    assert switch.send(0, STRANGER, bytes(1004)) == [1, 2]


@pytest.mark.parametrize("switch", [{"vnet_hdr": True}], indirect=True)
def test_a_superframe_goes_where_it_is_taken_whole(switch: Switch) -> None:
    """VIRTIO 1.2 5.1.6: its header goes along to ports with offload; others get the segments."""
    for n in (0, 1):
        switch.at[n].dev.offload = True
    packet = tcp("10.0.0.1", "10.0.0.2", pattern(4000))
    frame = frames.ethernet(STRANGER, switch.at[0].mac, 0x0800, packet.raw())
    split = {"AcctAbsorbed": 2, "AcctFragments": 4}
    with switch.bed.expect(switch.ns, rx={"p0": 3}, tx={"p1": 3, "p2": 3}, AcctCopies=1, **split):
        switch.at[0].send_frame(packet.vnet(1448) + frame)
    assert switch.at[1].received == [packet.vnet(1448) + frame]
    assert [one[:12] for one in switch.at[2].received] == [bytes(12)] * 3
    assert [read(one[12:]) for one in switch.at[2].received] == packet.segments(1448)
    assert all(read(one[12:]).checksums for one in switch.at[2].received)


@pytest.mark.parametrize("switch", [{"vnet_hdr": True}], indirect=True)
def test_a_superframe_whose_segments_a_port_cannot_carry(switch: Switch) -> None:
    """802.1D 6.3.8: what counts is the segments' size."""
    for station in switch.at:
        station.dev.offload = True
    switch.ns.set_device("p1", mtu=1000)
    packet = tcp("10.0.0.1", "10.0.0.2", pattern(4000))
    frame = frames.ethernet(STRANGER, switch.at[0].mac, 0x0800, packet.raw())
    with switch.bed.expect(
        switch.ns,
        rx={"p0": 3},
        tx={"p2": 3},
        drops={DropReason.PKT_TOO_BIG: 3},
        AcctCopies=1,
        AcctAbsorbed=2,
        AcctFragments=4,
    ):
        switch.at[0].send_frame(packet.vnet(1448) + frame)
    assert switch.at[2].received == [packet.vnet(1448) + frame]


def test_captures_see_each_level(switch: Switch) -> None:
    """A watcher of a port sees what passes it, one of the bridge device what the host gets and sends."""
    seen = {name: Capture() for name in ("p0", "p1", "br0")}
    for name, capture in seen.items():
        capture.attach(switch.ns.device(name))
    switch.send(0, BROADCAST)
    switch.send(1, 2)
    counts = {name: [frame.direction for frame in capture.take()] for name, capture in seen.items()}
    assert counts == {"p0": [0, 1], "p1": [1, 0], "br0": [0]}


# -- learning ----------------------------------------------------------------------------------------------------------


def test_ageing(switch: Switch) -> None:
    """802.1D 7.9.2: 300 s after a station was last heard nobody knows where it is; each frame of it begins anew."""
    switch.teach(1)
    switch.bed.run_for(200)
    switch.teach(1)
    switch.bed.run_for(299)
    assert switch.send(0, 1) == [1]
    switch.bed.run_for(1)
    assert switch.send(0, 1) == [1, 2]


def test_an_idle_bridge_has_nothing_to_do(switch: Switch) -> None:
    """When all has aged no timer is left, and no entry."""
    switch.teach()
    switch.bed.run_until_idle()
    assert len(switch.bridge.fdb) == 0
    assert [port.learnt for port in switch.bridge.ports.values()] == [0, 0, 0]


def test_ageing_time_is_set(switch: Switch) -> None:
    """`ageing_time` in seconds; 0 makes a hub."""
    switch.teach(1)
    switch.ns.set_bridge("br0", ageing_time=10)
    switch.bed.run_for(10)
    assert switch.send(0, 1) == [1, 2]
    switch.ns.set_bridge("br0", ageing_time=0, now=switch.bed.now)
    switch.teach(1)
    assert switch.send(0, 1) == [1, 2]


def test_a_station_moves(switch: Switch) -> None:
    """802.1D 7.8: who is heard at another port is there."""
    switch.teach(1)
    switch.at[2].send_frame(frames.ethernet(BROADCAST, switch.at[1].mac, TYPE, bytes(46)))
    assert switch.send(0, 1) == [2]
    assert [port.learnt for port in switch.bridge.ports.values()] == [1, 0, 1]


def test_static_entries(switch: Switch) -> None:
    """802.1D 7.9.1: what was said neither ages nor moves."""
    switch.ns.fdb_add("br0", STRANGER, "p2")
    switch.at[1].send_frame(frames.ethernet(BROADCAST, STRANGER, TYPE, bytes(46)))
    switch.bed.run_for(1000)
    assert switch.send(0, STRANGER) == [2]
    row = {"netns": "r", "bridge": "br0", "mac": STRANGER, "dev": "p2", "vlan": 0, "state": "static", "age_ns": 0}
    assert row in switch.ns.fdb()
    with pytest.raises(FileExistsError):
        switch.ns.fdb_add("br0", STRANGER, "p1", now=switch.bed.now)
    switch.ns.fdb_del("br0", STRANGER, now=switch.bed.now)
    assert switch.send(0, STRANGER) == [1, 2]
    with pytest.raises(FileNotFoundError):
        switch.ns.fdb_del("br0", STRANGER, now=switch.bed.now)


def test_a_stranger_s_flood_pushes_nobody_out(switch: Switch) -> None:
    """The table is bounded, and each port has a share of its own: who fills his takes nothing from others."""
    switch.teach(1)
    share = switch.bridge.fdb.quota
    assert share == fdb.MAX_QUOTA
    switch.bridge.fdb.quota = 100  # the arithmetic is the same, and a test is quicker
    for n in range(150):
        mac = (0x020000100000 + n).to_bytes(6, "big")
        switch.at[0].send_frame(frames.ethernet(STRANGER, mac, TYPE, bytes(46)))
    assert [port.learnt for port in switch.bridge.ports.values()] == [100, 1, 0]
    assert switch.send(2, 1) == [1]
    assert switch.send(1, 2) == [2]


def test_shares_of_the_table(switch: Switch) -> None:
    """65,536 entries are shared by the ports: at most 16,384 for each, at least 64."""
    table = switch.bridge.fdb
    shares = []
    for ports in (1, 4, 5, 64, 1023):
        table.set_ports(ports)
        shares.append(table.quota)
    assert shares == [16384, 16384, 13107, 1024, 64]


def test_a_port_that_learns_nothing(switch: Switch) -> None:
    """`learning = false`: nothing is known of the stations behind it."""
    switch.port(1, learning=False)
    switch.teach(1)
    assert switch.send(0, 1) == [1, 2]


def test_a_port_without_strangers_frames(switch: Switch) -> None:
    """`flood = false`: it gets no frames for stations that nobody knows; broadcasts and its own it gets."""
    switch.port(2, flood=False)
    assert switch.send(0, STRANGER) == [1]
    assert switch.send(0, BROADCAST) == [1, 2]
    switch.teach(2)
    assert switch.send(0, 2) == [2]


def test_a_port_goes_down(switch: Switch) -> None:
    """802.1D 7.8: what was learnt at a port is forgotten with its link."""
    switch.teach(1)
    switch.ns.set_device("p1", up=False)
    assert switch.send(0, 1) == [2]
    switch.ns.set_device("p1", up=True)
    assert switch.send(0, 1) == [1, 2]


# -- who may what ------------------------------------------------------------------------------------------------------


def test_isolated_ports_do_not_hear_one_another(switch: Switch) -> None:
    """`isolated`: frames pass between such a port and others, and the host, but not between two of them."""
    for n in (0, 1):
        switch.port(n, isolated=True)
    switch.teach()
    assert switch.send(0, BROADCAST) == [2]
    assert switch.send(2, BROADCAST) == [0, 1]
    with switch.bed.expect(switch.ns, rx={"p0": 1}, drops={DropReason.NO_TX_TARGET: 1}):
        assert switch.send(0, 1) == []
    assert switch.send(0, 2) == [2]


@pytest.mark.parametrize(
    ("kind", "to"), [("broadcast", BROADCAST), ("multicast", GROUP), ("unknown", STRANGER)], ids=lambda one: str(one)
)
def test_storm_limits(switch: Switch, kind: str, to: str) -> None:
    """Ten frames a second of this kind: ten at once, then one each 100 ms; known stations and other ports as ever."""
    switch.port(0, storm={kind: 10})
    switch.teach(1)
    passed = [switch.send(0, to) for _ in range(12)]
    assert passed == [[1, 2]] * 10 + [[], []]
    assert switch.drops()["BRIDGE_STORM"] == 2
    switch.bed.run_for(0.1)
    assert [switch.send(0, to) for _ in range(2)] == [[1, 2], []]
    assert switch.send(0, 1) == [1]
    assert switch.send(2, to) == [0, 1]
    assert switch.ns.ports()[0]["storm"] == {kind: 10}


def test_a_limit_of_nothing(switch: Switch) -> None:
    """A limit of 0 lets nothing of the kind pass; None takes the limits away."""
    switch.port(0, storm={"broadcast": 0})
    assert switch.send(0, BROADCAST) == []
    switch.port(0, storm=None)
    assert switch.send(0, BROADCAST) == [1, 2]


@pytest.mark.parametrize(
    ("state", "reached", "learnt"),
    [("forwarding", [1, 2], True), ("learning", [], True), ("blocking", [], False), ("disabled", [], False)],
)
def test_states(switch: Switch, state: str, reached: list[int], learnt: bool) -> None:
    """802.1D 7.4: only a forwarding port relays, a learning one learns; frames that meet another state are counted."""
    switch.port(0, state=state)
    assert switch.send(0, BROADCAST) == reached
    assert switch.drops().get("BRIDGE_INGRESS_STP_STATE", 0) == (not reached)
    assert any(row["dev"] == "p0" and row["state"] == "dynamic" for row in switch.ns.fdb()) is learnt
    assert switch.send(1, BROADCAST) == ([0, 2] if reached else [2])
    assert switch.ns.ports()[0]["state"] == state


# -- the bridge device -------------------------------------------------------------------------------------------------


def test_the_host_is_on_the_link(switch: Switch) -> None:
    """The bridge device is a device like any other: it answers ARP and ping by the port where the asker is."""
    switch.ns.add_address("br0", "10.0.1.1/24")
    switch.bed.settle()
    at = switch.at[1]
    at.send_arp(frames.arp_request(at.mac, "10.0.1.9", "10.0.1.1"))
    assert [frame[6:12] for frame in at.arp] == [switch.dev.mac]
    assert [len(station.arp) for station in switch.at] == [1, 1, 1]  # the question was flooded, the answer was not
    echo = frames.ipv4_echo("10.0.1.9", "10.0.1.1")
    at.send_frame(frames.ethernet(switch.dev.mac, at.mac, 0x0800, echo))
    assert [len(station.received) for station in switch.at] == [0, 1, 0]


def test_frames_for_a_port_s_address_are_the_host_s(switch: Switch) -> None:
    """As in Linux: the ports' own addresses are the bridge's."""
    switch.ns.add_address("br0", "10.0.1.1/24")
    switch.ns.neigh4.add_static(switch.dev, 0x0A000109, switch.at[1].mac, 0)
    switch.bed.settle()
    switch.teach(1)
    before = switch.dev.tx_packets
    for station in switch.at:
        echo = frames.ipv4_echo("10.0.1.9", "10.0.1.1")
        switch.at[1].send_frame(frames.ethernet(station.dev.mac, switch.at[1].mac, 0x0800, echo))
    assert switch.dev.tx_packets - before == 3
    with switch.bed.expect(switch.ns, rx={"p1": 1}, tx={"p0": 1, "p2": 1}, AcctCopies=1):
        assert switch.send(1, STRANGER) == [0, 2]


def test_its_mac_is_its_lowest_port_s(switch: Switch) -> None:
    """The least address of its ports, unless it was given one; routes and neighbours follow a change."""
    macs = [station.dev.mac for station in switch.at]
    assert switch.dev.mac == min(macs)
    lowest = macs.index(min(macs))
    switch.ns.set_port(f"p{lowest}", bridge=None)
    assert switch.dev.mac == min(mac for mac in macs if mac != min(macs))
    switch.ns.set_port(f"p{lowest}", bridge="br0")
    assert switch.dev.mac == min(macs)
    switch.ns.set_device("br0", mac="02:00:00:00:00:99")
    assert switch.dev.mac == bytes.fromhex("020000000099")
    switch.ns.set_device("p1", mac="02:00:00:00:00:01")
    assert switch.dev.mac == bytes.fromhex("020000000099")
    assert switch.ns.macs[switch.dev.mac] == 1


def test_its_mtu_is_the_least_of_its_ports(switch: Switch) -> None:
    """The least MTU of its ports, unless it was set."""
    switch.ns.set_device("p1", mtu=1300)
    assert switch.dev.mtu == 1300
    switch.ns.set_device("p1", mtu=9000)
    assert switch.dev.mtu == 1500
    switch.ns.set_device("br0", mtu=1400)
    switch.ns.set_device("p1", mtu=1350)
    assert switch.dev.mtu == 1400


def test_it_has_a_carrier_while_a_port_forwards(switch: Switch) -> None:
    """A bridge device without a forwarding port has none, and says why."""
    assert switch.dev.state == "up"
    for n in range(3):
        switch.ns.set_device(f"p{n}", up=False)
    assert (switch.dev.state, switch.dev.error) == ("no-carrier", "no port forwards")
    switch.ns.set_device("p2", up=True)
    assert (switch.dev.state, switch.dev.error) == ("up", "")


def test_removal(switch: Switch) -> None:
    """A port that is removed leaves the bridge; a bridge that is removed leaves its ports as plain devices."""
    switch.teach()
    switch.bed.stack.remove_device(switch.at[0].dev)
    assert [row["dev"] for row in switch.ns.ports()] == ["p1", "p2"]
    assert switch.send(1, STRANGER) == [2]
    switch.bed.stack.remove_device(switch.dev)
    assert (switch.ns.ports(), switch.ns.fdb(), switch.ns.bridge_rows()) == ([], [], [])
    assert [switch.at[n].dev.layered for n in (1, 2)] == [False, False]
    switch.clear()
    with switch.bed.expect(switch.ns, rx={"p1": 1}, drops={DropReason.OTHERHOST: 1}):
        switch.at[1].send_frame(switch.frame(1, STRANGER))
    switch.bed.run_until_idle()


def test_a_ring_of_pairs_ends() -> None:
    """Two bridges of one namespace, joined by two pairs, without spanning tree: a broadcast ends after 8 rounds."""
    found = Switch(1)
    ns = found.ns
    ns.add_device("br1", kind="bridge")
    for n in (1, 2):
        found.bed.stack.add_veth(ns, f"a{n}", ns, f"b{n}")
        ns.set_port(f"a{n}", bridge="br0")
        ns.set_port(f"b{n}", bridge="br1")
    found.clear()
    found.at[0].send_frame(found.frame(0, BROADCAST))
    assert found.drops()["CROSSING_LOOP"] > 0
    found.bed.close()


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"stp": "mstp"},
        {"priority": 1},
        {"priority": 65536},
        {"hello_time": 0},
        {"hello_time": 10},
        {"max_age": 41},
        {"forward_delay": 4},
        {"ageing_time": -1},
        {"vlan_filtering": 1},
        {"default_pvid": 4095},
        {"colour": "red"},
    ],
    ids=str,
)
def test_bridge_mistakes(switch: Switch, options: dict[str, Any]) -> None:
    """802.1D-2004 17.14 and tables 17-1, 17-2: what cannot be is EINVAL, and nothing is changed."""
    before = switch.ns.bridge_rows()
    with pytest.raises(OSError) as caught:
        switch.ns.set_bridge("br0", **options)
    assert caught.value.errno == 22
    assert switch.ns.bridge_rows() == before


@pytest.mark.parametrize(
    "options",
    [
        {"cost": 0},
        {"priority": 8},
        {"edge": "yes"},
        {"state": "listening"},
        {"guard": "loop"},
        {"isolated": "yes"},
        {"storm": {"unicast": 1}},
        {"storm": {"broadcast": -1}},
        {"pvid": 4095},
        {"untagged": [0]},
        {"tagged": ["10"]},
        {"untagged": [5], "tagged": [5]},
        {"colour": "red"},
    ],
    ids=str,
)
def test_port_mistakes(switch: Switch, options: dict[str, Any]) -> None:
    """What a port cannot be is EINVAL, and nothing is changed."""
    before = switch.ns.ports()
    with pytest.raises(OSError) as caught:
        switch.port(0, **options)
    assert caught.value.errno == 22
    assert switch.ns.ports() == before


def test_who_cannot_be_a_port(switch: Switch) -> None:
    """As in Linux: lo and bridges cannot (EINVAL), a port of another bridge is busy, a device on the bridge loops."""
    ns = switch.ns
    ns.add_device("br1", kind="bridge")
    ns.add_device("v5", kind="vlan", parent="br0", vid=5)
    for name, wrong in (("lo", 22), ("br1", 22), ("v5", 40), ("p0", None)):
        if wrong:
            with pytest.raises(OSError) as caught:
                ns.set_port(name, bridge="br0")
            assert caught.value.errno == wrong
    with pytest.raises(OSError, match="is a port of 'br0'"):
        ns.set_port("p0", bridge="br1")
    with pytest.raises(OSError, match="no port"):
        ns.set_port("v5", isolated=True)
    with pytest.raises(OSError, match="no bridge"):
        ns.set_port("v5", bridge="p0")
