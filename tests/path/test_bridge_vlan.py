"""VLAN filtering: access ports, trunks, native VLANs, and a filtering database for each VLAN.

::

    p0  access 10                 p3  trunk 10, 20
    p1  access 10                 p4  trunk 10, 20, native 99
    p2  access 20                 br0 a member of 10, untagged
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.switch import BROADCAST, STRANGER, TYPE, Switch
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l2.bridge_vlan import Membership
from vrouter.testing import frames


@pytest.fixture
def switch() -> Iterator[Switch]:
    """The switch above; its accounts balance at the end."""
    found = Switch(5, vlan_filtering=True)
    found.port(0, pvid=10)
    found.port(1, pvid=10)
    found.port(2, pvid=20)
    found.port(3, pvid=0, tagged=[10, 20])
    found.port(4, pvid=99, tagged=[10, 20])
    found.ns.set_port("br0", pvid=10)
    yield found
    found.bed.close()


def out(switch: Switch, n: int, to: int | str, vlan: int | None = None) -> dict[int, int | None]:
    """Send a frame into port `n`: the VLAN id of its tag (None: no tag) at each port where it came out."""
    switch.clear()
    frame = switch.frame(n, to, vlan=vlan)
    switch.at[n].send_frame(frame)
    found: dict[int, int | None] = {}
    for m, station in enumerate(switch.at):
        for one in station.received:
            tagged = one[12:14] == b"\x81\x00"
            body = one[:12] + one[16:] if tagged else bytes(one)
            assert body == (frame if vlan is None else frame[:12] + frame[16:])
            assert m not in found
            found[m] = int.from_bytes(one[14:16], "big") if tagged else None
    return found


def test_access_and_trunk(switch: Switch) -> None:
    """802.1Q 8.8: a frame stays in its VLAN; it is tagged where the port says so, and nowhere else."""
    assert out(switch, 0, BROADCAST) == {1: None, 3: 10, 4: 10}
    assert out(switch, 2, BROADCAST) == {3: 20, 4: 20}
    assert out(switch, 3, BROADCAST, 10) == {0: None, 1: None, 4: 10}
    assert out(switch, 4, BROADCAST, 20) == {2: None, 3: 20}


def test_native(switch: Switch) -> None:
    """802.1Q 6.9: what comes in untagged at a trunk is of its pvid, and leaves untagged by it."""
    assert out(switch, 4, BROADCAST) == {}
    switch.port(2, pvid=99)
    assert out(switch, 4, BROADCAST) == {2: None}
    assert out(switch, 4, BROADCAST, 99) == {2: None}
    assert out(switch, 2, BROADCAST) == {4: None}


@pytest.mark.parametrize(("port", "vlan"), [(3, None), (3, 0), (3, 30), (0, 20), (4, 4095)])
def test_what_may_not_come_in(switch: Switch, port: int, vlan: int | None) -> None:
    """802.1Q 8.6.2: untagged where there is no pvid, and every VLAN that the port is not a member of."""
    with switch.bed.expect(switch.ns, rx={f"p{port}": 1}, drops={DropReason.VLAN_NOT_ALLOWED: 1}):
        assert out(switch, port, BROADCAST, vlan) == {}
    assert [row for row in switch.ns.fdb() if row["state"] == "dynamic"] == []


def test_a_priority_tag_is_untagged(switch: Switch) -> None:
    """802.1Q 6.9: VLAN id 0 is the pvid's VLAN; on a trunk its priority stays with it."""
    assert out(switch, 0, BROADCAST, 0xE000) == {1: None, 3: 0xE00A, 4: 0xE00A}


def test_own_tag_on_an_access_port(switch: Switch) -> None:
    """802.1Q 8.6.2: a member's frames may come tagged, too."""
    assert out(switch, 0, BROADCAST, 10) == {1: None, 3: 10, 4: 10}


def test_a_database_for_each_vlan(switch: Switch) -> None:
    """802.1Q 8.7: the same station may be at different ports in different VLANs."""
    at3 = switch.at[3]
    at3.send_frame(frames.ethernet(BROADCAST, STRANGER, TYPE, bytes(46), vlan=10))
    switch.at[4].send_frame(frames.ethernet(BROADCAST, STRANGER, TYPE, bytes(46), vlan=20))
    assert out(switch, 0, STRANGER) == {3: 10}
    assert out(switch, 2, STRANGER) == {4: 20}
    known = {(row["mac"], row["vlan"]): row["dev"] for row in switch.ns.fdb() if row["state"] == "dynamic"}
    assert (known[STRANGER, 10], known[STRANGER, 20]) == ("p3", "p4")


def test_the_host_is_in_its_vlan(switch: Switch) -> None:
    """The bridge device is a port to the host: its membership says whose frames it gets, and where its own go."""
    switch.ns.add_address("br0", "10.0.1.1/24")
    switch.bed.settle()
    with switch.bed.expect(
        switch.ns, rx={"p0": 1, "br0": 1}, tx={"p1": 1, "p3": 1, "p4": 1}, drops={DropReason.UNHANDLED_PROTO: 1}
    ):
        out(switch, 0, BROADCAST)
    with switch.bed.expect(switch.ns, rx={"p2": 1}, tx={"p3": 1, "p4": 1}):
        out(switch, 2, BROADCAST)
    with switch.bed.expect(switch.ns, rx={"p2": 1}, drops={DropReason.VLAN_NOT_ALLOWED: 1}):
        out(switch, 2, switch.dev.mac.hex(":"))
    switch.clear()
    at = switch.at[0]
    at.send_arp(frames.arp_request(at.mac, "10.0.1.9", "10.0.1.1"))
    assert [len(station.arp) for station in switch.at] == [1, 1, 0, 0, 0]


def test_a_vlan_over_the_bridge(switch: Switch) -> None:
    """A vlan device over the bridge device makes the host a member of its VLAN, tagged, for as long as it is there."""
    v20 = switch.ns.add_device("v20", kind="vlan", parent="br0", vid=20)
    switch.ns.add_address(v20, "10.0.2.1/24")
    switch.ns.neigh4.add_static(v20, 0x0A000209, switch.at[2].mac, 0)
    switch.bed.settle()
    at = switch.at[2]
    switch.clear()
    at.send_frame(frames.ethernet(v20.mac, at.mac, 0x0800, frames.ipv4_echo("10.0.2.9", "10.0.2.1")))
    assert [frame[12:14].hex() for frame in at.received] == ["0800"]
    assert switch.ns.bridge_rows()[0]["vlans"] == [10, 20]
    switch.bed.stack.remove_device(v20)
    assert switch.ns.bridge_rows()[0]["vlans"] == [10]


def test_other_tags_are_content(switch: Switch) -> None:
    """802.1ad tags are inside the VLAN of the port: a provider's frames pass a customer bridge untouched."""
    frame = switch.frame(0, BROADCAST, ethertype=0x88A8)
    switch.clear()
    switch.at[0].send_frame(frame)
    assert [bytes(one) for one in switch.at[1].received] == [frame]
    assert [bytes(one) for one in switch.at[3].received] == [frame[:12] + bytes.fromhex("8100000a") + frame[12:]]


def test_a_member_no_more(switch: Switch) -> None:
    """What was learnt in a VLAN that a port leaves is forgotten."""
    out(switch, 3, BROADCAST, 10)
    assert out(switch, 0, 3) == {3: 10}
    switch.port(3, tagged=[20])
    assert out(switch, 0, 3) == {1: None, 4: 10}


def test_static_entries_by_vlan(switch: Switch) -> None:
    """An entry is said for one VLAN, or for all of the port's."""
    switch.ns.fdb_add("br0", STRANGER, "p3", 20)
    assert out(switch, 2, STRANGER) == {3: 20}
    assert out(switch, 0, STRANGER) == {1: None, 3: 10, 4: 10}
    switch.ns.fdb_del("br0", STRANGER)
    switch.ns.fdb_add("br0", STRANGER, "p3")
    assert out(switch, 2, STRANGER) == {3: 20}
    assert out(switch, 0, STRANGER) == {3: 10}
    switch.ns.fdb_del("br0", STRANGER, 10)
    assert out(switch, 0, STRANGER) == {1: None, 3: 10, 4: 10}


def test_switched_on_and_off(switch: Switch) -> None:
    """Without filtering VLANs are content, and what was learnt in one is forgotten."""
    out(switch, 0, BROADCAST)
    switch.ns.set_bridge("br0", vlan_filtering=False)
    assert [row for row in switch.ns.fdb() if row["state"] == "dynamic"] == []
    assert out(switch, 2, 0, 4000) == {0: 4000, 1: 4000, 3: 4000, 4: 4000}
    switch.ns.set_bridge("br0", vlan_filtering=True)
    assert out(switch, 0, BROADCAST) == {1: None, 3: 10, 4: 10}


def test_default_pvid() -> None:
    """Ports begin as members of VLAN 1; who has the default gets another one with it, others keep theirs."""
    found = Switch(3, vlan_filtering=True)
    found.port(2, pvid=7)
    found.ns.set_bridge("br0", default_pvid=5)
    assert [(row["pvid"], row["untagged"]) for row in found.ns.ports()] == [(5, [5]), (5, [5]), (7, [7])]
    assert (found.bridge.own.pvid, found.bridge.own.vids) == (5, {5: True})
    found.ns.set_bridge("br0", default_pvid=0)
    assert found.ns.ports()[0]["untagged"] == []
    assert out(found, 0, BROADCAST) == {}
    found.bed.close()


@pytest.mark.parametrize(
    ("changes", "pvid", "untagged", "tagged"),
    [
        ([{"pvid": 10}], 10, [10], []),
        ([{"tagged": [10, 20]}], 1, [1], [10, 20]),
        ([{"tagged": [10, 20], "pvid": 10}], 10, [], [10, 20]),
        ([{"pvid": 0}], 0, [], []),
        ([{"untagged": [1, 5]}], 1, [1, 5], []),
        ([{"untagged": [5, 6], "pvid": 5}], 5, [5, 6], []),
        ([{"tagged": [1, 2]}, {"untagged": [2]}], 1, [2], [1]),
        ([{"untagged": [2]}, {"tagged": [2]}], 1, [1], [2]),
        ([{"pvid": 10}, {"pvid": 20}], 20, [20], []),
    ],
)
def test_memberships(changes: list[dict[str, object]], pvid: int, untagged: list[int], tagged: list[int]) -> None:
    """What is not said stays; the pvid is a member, untagged unless it is said to be tagged; the last word counts."""
    found = Membership()
    for change in changes:
        found.change(**change)
    assert found.pvid == pvid
    assert [vid for vid, bare in found.vids.items() if bare] == untagged
    assert [vid for vid, bare in found.vids.items() if not bare] == tagged
