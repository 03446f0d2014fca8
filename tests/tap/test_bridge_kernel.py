"""A bridge of the kernel and one of vrouter in the same place do the same; the drawing is in `bridge_arms`.

What is meant to differ stands in docs/differences.md, and in the tests at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.tap import group_talk
from tests.tap.bridge_arms import ALL, ARMS, KernelArm, VrouterArm
from tests.tap.switching import BROADCAST, Bed, mac, plain, until

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "bridge", "ping")]

A, B, C, G = map(mac, range(4))
STRANGER = mac(99)
RESERVED = bytes.fromhex("0180c2000000")


@pytest.fixture
def bed(new_name: Callable[[], str], new_netns: Callable[[], str]) -> Iterator[Bed]:
    with Bed(new_name, new_netns) as one:
        yield one


@pytest.fixture(params=["kernel", "vrouter"])
def arm(request: pytest.FixtureRequest, bed: Bed) -> Any:
    return ARMS[request.param](bed)


@pytest.fixture
def linux(bed: Bed) -> KernelArm:
    return KernelArm(bed)


@pytest.fixture
def ours(bed: Bed) -> VrouterArm:
    return VrouterArm(bed)


def test_stations_are_learnt(arm: Any) -> None:
    """802.1D 7.8: a frame for a station that nobody knows goes to all, once it has spoken to its port alone."""
    assert arm.send(0, plain(B, A)) == ALL
    assert arm.send(1, plain(A, B)) == [0]
    assert arm.send(0, plain(B, A)) == [1]
    assert arm.send(2, plain(B, C)) == [1]
    assert (arm.knows(A), arm.knows(B), arm.knows(C)) == ("p0", "p1", "p2")


def test_a_frame_never_returns(arm: Any) -> None:
    """802.1D 7.7.1: not by the port that it came in by, whether its station is known there or nobody knows it."""
    arm.teach(0)
    assert arm.send(0, plain(A, STRANGER)) == []
    assert arm.send(0, plain(mac(98), A)) == ALL
    assert arm.send(0, plain(BROADCAST, A)) == ALL


def test_a_station_moves(arm: Any) -> None:
    """802.1D 7.8: the port where it was heard last."""
    arm.teach(0)
    assert arm.send(2, plain(A, C)) == [0]
    arm.send(1, plain(BROADCAST, A))
    assert arm.send(2, plain(A, C)) == [1]
    assert arm.knows(A) == "p1"


def test_stations_age(arm: Any) -> None:
    """802.1D 7.9.2: after the ageing time, and no more than a little later, nobody knows it; a static one stays."""
    arm.set_ageing(1)
    arm.fdb_add(C, 2)
    start = time.monotonic()
    arm.teach(0)
    known = time.monotonic()
    until(lambda: not arm.knows(A), seconds=4, what="the station is forgotten")
    assert 1 <= time.monotonic() - start
    assert time.monotonic() - known < 3
    assert arm.send(1, plain(A, B)) == [0, 2, 3]
    assert arm.send(1, plain(C, B)) == [2]


def test_no_ageing_time(arm: Any) -> None:
    """An ageing time of 0: nothing learnt counts, so all is flooded, as by a hub."""
    arm.set_ageing(0)
    arm.teach(0)
    assert arm.send(1, plain(A, B)) == [0, 2, 3]


def test_isolated_ports(arm: Any) -> None:
    """Two isolated ports hear nothing of one another, and all of the others."""
    arm.teach(0, 1, 2)
    arm.set_port(0, isolated=True)
    arm.set_port(1, isolated=True)
    assert arm.send(0, plain(B, A)) == []
    assert arm.send(0, plain(BROADCAST, A)) == [2, 3]
    assert arm.send(0, plain(STRANGER, A)) == [2, 3]
    assert arm.send(0, plain(C, A)) == [2]
    assert arm.send(2, plain(A, C)) == [0]
    assert arm.send(2, plain(BROADCAST, C)) == [0, 1, 3]
    arm.set_port(1, isolated=False)
    assert arm.send(0, plain(B, A)) == [1]


def test_static_entries(arm: Any) -> None:
    """A station that was said to be at a port is there before it spoke, and until it is not said any more."""
    arm.fdb_add(A, 0)
    assert arm.send(1, plain(A, B)) == [0]
    assert arm.knows(A) == "p0"
    assert arm.send(0, plain(A, STRANGER)) == []
    arm.fdb_del(A, 0)
    assert arm.send(1, plain(A, B)) == [0, 2, 3]


def test_a_port_that_does_not_learn(arm: Any) -> None:
    """`learning off`: stations there are reached by flooding."""
    arm.set_port(0, learning=False)
    arm.teach(0)
    assert arm.knows(A) == ""
    assert arm.send(1, plain(A, B)) == [0, 2, 3]


def test_a_port_without_floods(arm: Any) -> None:
    """`flood off`: no unicast for those that nobody knows; groups and known stations as ever."""
    arm.set_port(0, flood=False)
    assert arm.send(1, plain(STRANGER, B)) == [2, 3]
    assert arm.send(1, plain(BROADCAST, B)) == [0, 2, 3]
    assert arm.send(1, plain(bytes.fromhex("030000000001"), B)) == [0, 2, 3]
    arm.teach(0)
    assert arm.send(1, plain(A, B)) == [0]


@pytest.mark.parametrize(("state", "learns"), [("disabled", False), ("learning", True)])
def test_a_port_s_state(arm: Any, state: str, learns: bool) -> None:
    """802.1D 7.4: who does not forward sends nothing on and gets nothing; who learns learns all the same."""
    arm.set_port(0, state=state)
    assert arm.send(0, plain(BROADCAST, A), deaf=True, to=(1, 2)) == []
    assert arm.knows(A) == ("p0" if learns else "")
    assert arm.send(1, plain(BROADCAST, B), to=(1, 2)) == [2, 3]
    arm.set_port(0, state="forwarding")
    assert arm.send(0, plain(BROADCAST, A)) == ALL


def test_a_port_goes_down(arm: Any) -> None:
    """What was learnt at a port that goes down is forgotten; what was said about it is not."""
    arm.teach(0)
    arm.set_up(0, False)
    assert arm.knows(A) == ""
    assert arm.send(1, plain(A, B), to=(1, 2)) == [2, 3]
    arm.set_up(0, True)
    until(arm.settled)
    assert arm.send(1, plain(A, B)) == [0, 2, 3]


def test_reserved_groups(arm: Any) -> None:
    """802.1D 7.12.6, 802.1Q 8.6.3: 01-80-C2-00-00-01 to 0F are never relayed: pause, LACP, 802.1X, LLDP, and MVRP of
    provider bridges (0D)."""
    assert arm.send(0, *(plain(RESERVED[:5] + bytes([last]), A) for last in range(1, 16))) == []


def test_groups_behind_the_reserved(arm: Any) -> None:
    """802.1D 12.5: the groups of GARP, MVRP and MMRP (20 to 2F) are relayed by a bridge that does not speak these."""
    behind = [plain(RESERVED[:5] + bytes([last]), A) for last in (0x10, 0x20, 0x21, 0x2F, 0x30)]
    assert arm.send(0, *behind) == ALL * 5


@pytest.mark.parametrize("source", [bytes.fromhex("030000000001"), bytes(6)], ids=["group", "zero"])
def test_sources_that_cannot_be(arm: Any, source: bytes) -> None:
    """IEEE 802.3 3.2.3: a group, or nobody, sends nothing."""
    assert arm.send(0, plain(BROADCAST, source)) == []


def test_the_bridge_s_own_address_as_source(arm: Any) -> None:
    """A frame that seems to come from the bridge is relayed, and not learnt."""
    own = arm.mac("br0")
    assert arm.send(0, plain(BROADCAST, own)) == ALL
    assert arm.knows(own) == ""
    assert arm.send(1, plain(own, B)) == []


def test_a_port_s_own_address(arm: Any) -> None:
    """Frames for the address of any port are the host's."""
    assert arm.send(0, plain(arm.mac("p2"), A)) == []
    assert arm.send(0, plain(arm.mac("br0"), A)) == []


def test_the_address_and_mtu_follow_the_ports(arm: Any) -> None:
    """The bridge device has the lowest address of its ports and their least MTU."""
    assert arm.mac("br0") == min(arm.mac(f"p{n}") for n in range(4))
    assert arm.mtu() == 1500
    arm.set_mtu(2, 1400)
    assert arm.mtu() == 1400


@pytest.mark.parametrize(("extra", "reached"), [(0, [1, 2, 3]), (4, [1, 2, 3]), (5, [1, 3])])
def test_frames_too_long_for_a_port(arm: Any, extra: int, reached: list[int]) -> None:
    """A frame leaves by the ports whose MTU it fits, with room for one tag; the others are spared it, silently."""
    arm.set_mtu(2, 1400)
    assert arm.send(0, plain(BROADCAST, A, size=1414 + extra)) == reached


def test_frames_with_a_tag(arm: Any) -> None:
    """Without VLAN filtering tags are content, of any protocol and depth; the tag is no part of the port's MTU."""
    tag = bytes.fromhex("8100c064")
    for tags in (tag, bytes.fromhex("88a80064") + tag, tag * 4):
        assert arm.send(0, BROADCAST + A + tags + bytes.fromhex("88b5") + bytes(60)) == ALL
    arm.set_mtu(2, 1400)
    assert arm.send(0, BROADCAST + A + tag + bytes.fromhex("88b5") + bytes(1404)) == ALL
    assert arm.send(0, BROADCAST + A + tag + bytes.fromhex("88b5") + bytes(1405)) == [1, 3]


def test_length_and_snap(arm: Any) -> None:
    """802.3 frames with a length, and the shortest ones, are relayed as they are."""
    assert arm.send(0, BROADCAST + A + bytes.fromhex("0026e0e003") + bytes(35)) == ALL
    assert arm.send(0, BROADCAST + A + bytes.fromhex("88b5")) == ALL


def test_the_host_answers(arm: Any) -> None:
    """The bridge device's address is reached from every port, by two stations at once."""
    arm.add_address("10.77.0.9/24")
    for n, cell in enumerate(arm.cells):
        cell.ip("address", "add", f"10.77.0.{n + 1}/24", "dev", arm.ifname)
    assert [cell.pings("10.77.0.9") for cell in arm.cells] == [True] * 4
    assert arm.cells[0].pings("10.77.0.2")
    assert arm.cells[3].pings("10.77.0.1")


@pytest.fixture(params=["igmp", "mld"])
def talk(request: pytest.FixtureRequest) -> group_talk.Talk:
    return group_talk.FAMILIES[request.param]


def restricted(arm: Any, talk: group_talk.Talk) -> None:
    """g asks, b answers, and the time for answers is over."""
    assert arm.send(3, talk.query(G)) == [0, 1, 2]
    assert arm.send(1, talk.report(B)) in ([0, 2, 3], [3])
    until(lambda: 2 not in arm.send(0, talk.data(A)), what="the group is for its members")


def test_groups_without_a_querier(arm: Any, talk: group_talk.Talk) -> None:
    """RFC 4541 2.1.2: while nobody asks for members, groups and reports go to all."""
    assert arm.send(0, talk.data(A)) == ALL
    assert arm.send(1, talk.report(B)) == [0, 2, 3]
    assert arm.send(0, talk.data(A)) == ALL


def test_groups_go_to_members(arm: Any, talk: group_talk.Talk) -> None:
    """RFC 4541 2.1.1, 2.1.2, 3: the group's frames to members and routers, groups of nobody and reports to routers."""
    restricted(arm, talk)
    assert arm.send(0, talk.data(A)) == [1, 3]
    assert arm.send(0, talk.data(A, talk.other)) == [3]
    assert arm.send(2, talk.report(C)) == [3]
    assert arm.send(0, talk.data(A)) == [1, 2, 3]
    assert arm.send(2, talk.data(C)) == [1, 3]


def test_groups_of_the_link(arm: Any, talk: group_talk.Talk) -> None:
    """RFC 4541 2.1.2 (2), 3: 224.0.0.X and ff02::1 go to all, whoever reported; so does what is no IP."""
    restricted(arm, talk)
    assert arm.send(0, talk.data(A, talk.local)) == ALL
    assert arm.send(0, plain(talk.group_mac(talk.other), A)) == ALL


def test_a_member_leaves(arm: Any, talk: group_talk.Talk) -> None:
    """RFC 2236 3, RFC 2710 4: a leave goes to the router, who asks for the group; without an answer it is over."""
    restricted(arm, talk)
    assert 3 in arm.send(1, talk.leave(B))
    assert arm.send(0, talk.data(A)) == [1, 3]
    assert arm.send(3, talk.query(G, talk.group)) == [0, 1, 2]
    until(lambda: arm.send(0, talk.data(A)) == [3], what="the membership is over")


def test_a_member_stays(arm: Any, talk: group_talk.Talk) -> None:
    """RFC 2236 3, RFC 2710 4: who answers the question for the group remains a member."""
    restricted(arm, talk)
    assert arm.send(3, talk.query(G, talk.group)) == [0, 1, 2]
    assert arm.send(1, talk.report(B)) == [3]
    start = time.monotonic()
    until(
        lambda: time.monotonic() - start > 2.5 * group_talk.RESPONSE and arm.send(0, talk.data(A)),
        what="twice the time for answers",
    )
    assert arm.send(0, talk.data(A)) == [1, 3]


# -- what is meant to differ -------------------------------------------------------------------------------------------


def test_bpdus_without_the_protocol(linux: KernelArm, ours: VrouterArm) -> None:
    """Linux without STP relays BPDUs; 802.1D 7.12.6 lets no bridge do so."""
    frame = plain(RESERVED, A)
    assert linux.send(0, frame) == ALL
    assert ours.send(0, frame) == []


def test_link_groups_of_ipv6_that_nobody_reported(linux: KernelArm, ours: VrouterArm) -> None:
    """Linux takes them from all but routers; RFC 4541 3 forwards what is not known to be wanted, and hosts need not
    report what is of the link."""
    talk = group_talk.FAMILIES["mld"]
    for arm, reached in ((linux, [3]), (ours, ALL)):
        restricted(arm, talk)
        assert arm.send(0, talk.data(A, "ff02::fb")) == reached


@pytest.mark.parametrize("family", ["igmp", "mld"])
def test_leaves_go_to_routers(linux: KernelArm, ours: VrouterArm, family: str) -> None:
    """RFC 4541 2.1.1 (1): so do IGMPv3's, which are reports, in both; Linux floods those of IGMPv2 and MLDv1."""
    talk = group_talk.FAMILIES[family]
    for arm, reached in ((linux, [0, 2, 3]), (ours, [3])):
        restricted(arm, talk)
        assert arm.send(1, talk.leave(B)) == reached


def test_static_entries_do_not_move(linux: KernelArm, ours: VrouterArm) -> None:
    """802.1D 7.9.1: learning does not change what was said; in Linux only what is `sticky`."""
    for arm, port in ((linux, 2), (ours, 0)):
        arm.fdb_add(A, 0)
        arm.send(2, plain(BROADCAST, A))
        assert arm.send(1, plain(A, B)) == [port]


def test_a_blocked_port_stays_blocked(linux: KernelArm, ours: VrouterArm) -> None:
    """Linux without STP lets it forward again at once."""
    linux.set_port(0, state="blocking")
    assert linux.send(0, plain(BROADCAST, A)) == ALL
    ours.set_port(0, state="blocking")
    assert ours.send(0, plain(BROADCAST, A), deaf=True, to=(1, 2)) == []
    assert ours.drops()["BRIDGE_INGRESS_STP_STATE"] == 1
