"""Duplicate address detection and unsolicited advertisements (RFC 4862 5.4, RFC 7527, RFC 4861 7.2.6)."""

from typing import Any

import pytest

from tests.unit.l2.bed6 import (
    ALL_NODES,
    LAN,
    LAN_MAC,
    MS,
    OTHER_MAC,
    PEER_MAC,
    SECOND,
    WAN_MAC,
    Bed6,
    incoming,
)
from vrouter.stack.base.addresses import format_ipv6, parse_ipv6, solicited_node
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.l2.dad import MAX_MULTICAST_SOLICIT, NONCE_LEN
from vrouter.stack.wire.ndp import NeighbourAdvertisement, NeighbourSolicitation
from vrouter.testing import frames6

NEW = "2001:db8:1::9"
NODE = format_ipv6(solicited_node(parse_ipv6(NEW)))
ANNOUNCEMENT = (NEW, ALL_NODES, NeighbourAdvertisement(parse_ipv6(NEW), LAN_MAC, override=True))

Timeline = list[tuple[int, tuple[str, str, Any]]]


def probe_of(bed: Bed6, nonce: bytes = b"", *, mac: bytes = PEER_MAC, target: str = NEW) -> tuple[int, list[Any]]:
    """Somebody else probes for an address."""
    options = frames6.nd_nonce(nonce) if nonce else b""
    dst = format_ipv6(solicited_node(parse_ipv6(target)))
    message = frames6.neighbour_solicitation("::", dst, target, options)
    return bed.receive(message, "::", dst, mac=mac)


def probes(timeline: Timeline) -> list[NeighbourSolicitation]:
    return [what[2] for _, what in timeline if isinstance(what[2], NeighbourSolicitation)]


def conflicts(bed: Bed6) -> list[dict[str, Any]]:
    return [event.fields for event in bed.stack.events.take() if event.kind is EventKind.ADDRESS_CONFLICT]


# ---------------------------------------------------------------------------------------------------- alone on the link


def test_an_address_is_looked_for_once_and_then_used() -> None:
    """RFC 4862 5.1, 5.4.2: DupAddrDetectTransmits 1, from ::, to the solicited-node group; RetransTimer later it is
    ours, and said to be."""
    bed = Bed6()
    address = bed.add(bed.lan, f"{NEW}/64")
    assert (address.state, bed.ip6.is_local(address.address)) == ("tentative", False)
    [(first, (src, dst, probe)), (then, announcement)] = bed.timeline(10 * SECOND)
    assert 0 <= first <= 1000
    assert then == first + 1000
    assert (src, dst, probe.target, probe.source_mac) == ("::", NODE, parse_ipv6(NEW), None)
    assert announcement == ANNOUNCEMENT
    assert (address.state, bed.ip6.is_local(address.address)) == ("preferred", True)
    assert len(bed.stack.timers) == 0


def test_the_first_probe_has_a_random_delay() -> None:
    """RFC 4862 5.4.2: between 0 and MAX_RTR_SOLICITATION_DELAY, for who is switched on with others."""
    delays = set()
    for seed in range(8):
        bed = Bed6(seed)
        bed.add(bed.lan, f"{NEW}/64")
        delays.add(bed.timeline(10 * SECOND)[0][0])
    assert len(delays) > 4
    assert max(delays) <= 1000


def test_the_number_of_probes_and_their_distance_are_settings() -> None:
    """RFC 4862 5.1: DupAddrDetectTransmits, and RetransTimer of RFC 4861."""
    bed = Bed6(dad_transmits=3, router_solicitation_delay=0)
    bed.add(bed.lan, f"{NEW}/64")
    timeline = bed.timeline(10 * SECOND)
    assert [at for at, _ in timeline] == [0, 1000, 2000, 3000]
    assert timeline[3][1] == ANNOUNCEMENT


def test_each_probe_has_a_nonce_of_its_own() -> None:
    """RFC 7527 4.1: a new one each time, six octets (RFC 3971 5.3.2)."""
    bed = Bed6(dad_transmits=3)
    bed.add(bed.lan, f"{NEW}/64")
    nonces = [probe.nonce for probe in probes(bed.timeline(10 * SECOND))]
    assert len(set(nonces)) == 3
    assert {len(nonce) for nonce in nonces} == {NONCE_LEN}


@pytest.mark.parametrize("conf6", [{"dad_transmits": 0}, {"accept_dad": 0}])
def test_detection_can_be_switched_off(conf6: dict[str, int]) -> None:
    """RFC 4862 5.1: with no transmissions an address is used at once."""
    bed = Bed6(**conf6)
    address = bed.add(bed.lan, f"{NEW}/64")
    assert bed.timeline(10 * SECOND) == [(0, ANNOUNCEMENT)]
    assert address.state == "preferred"


def test_an_address_whose_time_is_over_is_deprecated_at_once() -> None:
    """RFC 4862 5.5.4: preferred only within its preferred lifetime."""
    bed = Bed6(dad_transmits=0)
    address = bed.address(bed.lan, f"{NEW}/64", "tentative")
    address.preferred_until = bed.now
    bed.ndp.dad.start(address, bed.now)
    assert address.state == "deprecated"


def test_unsolicited_advertisements_may_be_three() -> None:
    """RFC 4861 7.2.6: up to MAX_NEIGHBOR_ADVERTISEMENT, RetransTimer apart, with ndisc_notify."""
    bed = Bed6(dad_transmits=0, ndisc_notify=True)
    bed.add(bed.lan, f"{NEW}/64")
    assert bed.timeline(10 * SECOND) == [(at, ANNOUNCEMENT) for at in (0, 1000, 2000)]


def test_a_router_says_so_in_its_announcement() -> None:
    """RFC 4861 4.4: the R flag."""
    bed = Bed6(dad_transmits=0, forwarding=True)
    bed.add(bed.lan, f"{NEW}/64")
    assert [what[2].router for _, what in bed.timeline(SECOND)] == [True]


def test_a_new_mac_is_told_for_each_address_in_use() -> None:
    """RFC 4861 7.2.6: so that neighbours do not send to the old one until they notice."""
    bed = Bed6()
    bed.address(bed.lan, f"{NEW}/64", "tentative")
    bed.lan.mac = OTHER_MAC
    bed.ndp.mac_changed(bed.lan, bed.now)
    assert [(src, message.target_mac) for src, _, message in bed.told()] == [("fe80::1", OTHER_MAC), (LAN, OTHER_MAC)]


# ---------------------------------------------------------------------------------------------------- somebody has it


def test_who_says_that_he_has_it_wins() -> None:
    """RFC 4862 5.4.4: an advertisement for a tentative address; it is not used, and the event says who."""
    bed = Bed6()
    address = bed.add(bed.lan, f"{NEW}/64")
    bed.advance(1500 * MS)
    bed.sent()
    address.state = "tentative"
    assert bed.advertise(NEW, ALL_NODES, override=True) == 0
    assert bed.timeline(60 * SECOND) == []
    assert (address.state, bed.ip6.is_local(address.address)) == ("conflict", False)
    assert conflicts(bed) == [{"address": NEW, "mac": "02:00:00:00:00:aa", "state": "conflict"}]
    assert bed.stats[Stat.NdpConflicts] == 1
    assert len(bed.stack.timers) == 0


def test_an_advertisement_without_an_address_counts_too() -> None:
    """RFC 4862 5.4.4: any valid one; its sender is then known by the frame."""
    bed = Bed6()
    address = bed.add(bed.lan, f"{NEW}/64")
    assert bed.advertise(NEW, ALL_NODES, mac=None) == 0
    assert address.state == "conflict"
    assert conflicts(bed)[0]["mac"] == "02:00:00:00:00:aa"


@pytest.mark.parametrize("nonce", [b"", b"other!"])
def test_who_wants_it_too_makes_it_nobodys(nonce: bytes) -> None:
    """RFC 4862 5.4.3, RFC 7527 4.2: a probe of another node, with another nonce or none."""
    bed = Bed6()
    address = bed.add(bed.lan, f"{NEW}/64")
    assert probe_of(bed, nonce) == (0, [])
    assert bed.timeline(60 * SECOND) == []
    assert address.state == "conflict"


def test_a_conflict_stays_until_it_is_tried_again() -> None:
    """RFC 4862 5.4.5: not assigned; the device's return begins anew."""
    bed = Bed6(router_solicitation_delay=0)
    address = bed.add(bed.lan, f"{NEW}/64")
    bed.advertise(NEW, ALL_NODES)
    bed.sent()
    assert bed.advertise(NEW, ALL_NODES) == DropReason.NDP_NOT_ON_LINK
    assert probe_of(bed) == (DropReason.NDP_NOT_ON_LINK, [])
    bed.ndp.dad.start(address, bed.now)
    assert [at for at, _ in bed.timeline(10 * SECOND)] == [0, 1000]
    assert address.state == "preferred"


def test_an_address_in_use_is_not_given_up() -> None:
    """RFC 4862 5.4.4 leaves it to the administrator: told at most every ten seconds, counted each time."""
    bed = Bed6()
    for _ in range(3):
        assert bed.advertise(LAN, ALL_NODES, override=True) == 0
    assert conflicts(bed) == [{"address": LAN, "mac": "02:00:00:00:00:aa", "state": "preferred"}]
    assert bed.stats[Stat.NdpConflicts] == 3
    bed.advance(10 * SECOND)
    bed.advertise(LAN, ALL_NODES)
    assert len(conflicts(bed)) == 1
    assert bed.told() == []


def test_a_probe_for_an_address_in_use_is_no_conflict() -> None:
    """RFC 4862 5.4.3: he is told, and gives way."""
    bed = Bed6()
    assert probe_of(bed, b"other!", target=LAN)[0] == 0
    assert bed.stats[Stat.NdpConflicts] == 0


@pytest.mark.parametrize(
    ("accept", "text", "ends"),
    [
        (2, "fe80::ff:fe00:1/64", True),
        (1, "fe80::ff:fe00:1/64", False),
        (2, "fe80::77/64", False),
        (2, "2001:db8:1:0:0:ff:fe00:1/64", False),
    ],
)
def test_a_mac_that_is_not_unique_ends_ipv6(accept: int, text: str, ends: bool) -> None:
    """RFC 4862 5.4.5: if the link-local address made of the MAC is taken, nothing of this interface can be trusted."""
    bed = Bed6(accept_dad=accept)
    bed.add(bed.lan, text)
    bed.advertise(text.partition("/")[0], ALL_NODES)
    bed.sent()
    assert bed.rest == ([("disable", bed.lan)] if ends else [])


# ---------------------------------------------------------------------------------------------------- a looped link


def loop(bed: Bed6, timeline: Timeline) -> None:
    """The link sends back the last probe."""
    probe = probes(timeline)[-1]
    assert probe_of(bed, probe.nonce, mac=LAN_MAC) == (0, [])


def test_what_comes_back_is_no_conflict() -> None:
    """RFC 7527 4.2, 4.3: another round of MAX_MULTICAST_SOLICIT; the address is ours when one comes through."""
    bed = Bed6(router_solicitation_delay=0)
    address = bed.add(bed.lan, f"{NEW}/64")
    loop(bed, bed.timeline(500 * MS))
    assert address.state == "tentative"
    timeline = bed.timeline(10 * SECOND)
    assert [at for at, _ in timeline] == [500, 1500, 2500, 3500]
    assert len(probes(timeline)) == MAX_MULTICAST_SOLICIT
    assert timeline[-1][1] == ANNOUNCEMENT
    assert address.state == "preferred"
    assert bed.stats[Stat.NdpLooped] == 1
    assert bed.stats[Stat.NdpConflicts] == 0


def test_it_is_not_ours_as_long_as_they_come_back() -> None:
    """RFC 7527 4.2: the probing goes on, at the same pace, and is told once a round."""
    bed = Bed6(router_solicitation_delay=0)
    address = bed.add(bed.lan, f"{NEW}/64")
    sent = 0
    for _ in range(60):
        timeline = bed.timeline(SECOND // 2)
        sent += len(probes(timeline))
        if probes(timeline):
            loop(bed, timeline)
        assert address.state == "tentative"
    assert sent == 31
    told = [event for event in bed.stack.events.take() if event.kind is EventKind.ADDRESS_LOOPED]
    assert len(told) == 1 + 10  # the first probe, and ten rounds of three


def test_an_old_nonce_is_known_too() -> None:
    """RFC 7527 4.3: the receiver compares with any that it stored, not with the last one alone."""
    bed = Bed6(router_solicitation_delay=0, dad_transmits=3)
    address = bed.add(bed.lan, f"{NEW}/64")
    timeline = bed.timeline(2500 * MS)
    assert probe_of(bed, probes(timeline)[0].nonce) == (0, [])
    assert address.state == "tentative"


def test_without_nonces_our_own_mac_tells() -> None:
    """RFC 4862 5.4.3: what the node itself sent and the link looped back is no duplicate; enhanced_dad 0."""
    bed = Bed6(enhanced_dad=False, router_solicitation_delay=0)
    address = bed.add(bed.lan, f"{NEW}/64")
    [probe] = probes(bed.timeline(500 * MS))
    assert probe.nonce == b""
    assert probe_of(bed, mac=LAN_MAC) == (0, [])
    assert probe_of(bed, mac=WAN_MAC) == (0, [])
    bed.timeline(10 * SECOND)
    assert address.state == "preferred"
    again = bed.add(bed.lan, "2001:db8:1::a/64")
    assert probe_of(bed, target="2001:db8:1::a") == (0, [])
    assert again.state == "conflict"


# ---------------------------------------------------------------------------------------------------- devices


def down(bed: Bed6) -> None:
    bed.lan.carrier = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)


def test_nothing_is_sent_while_the_device_is_not_ready() -> None:
    """RFC 4862 5.4: detection begins when the interface is there, and again when it comes back."""
    bed = Bed6(router_solicitation_delay=0, dad_transmits=2)
    address = bed.add(bed.lan, f"{NEW}/64")
    bed.timeline(500 * MS)
    down(bed)
    assert bed.timeline(10 * SECOND) == []
    assert address.state == "tentative"
    bed.lan.carrier = True
    bed.lan.refresh()
    bed.ndp.dad.start(address, bed.now)
    assert [at for at, _ in bed.timeline(10 * SECOND)] == [0, 1000, 2000]


def test_an_address_that_is_configured_on_a_device_that_is_down_waits() -> None:
    """There is nobody to ask."""
    bed = Bed6()
    bed.lan.up = False
    bed.lan.refresh()
    address = bed.add(bed.lan, f"{NEW}/64")
    assert bed.timeline(10 * SECOND) == []
    assert address.state == "tentative"


def test_an_address_that_is_taken_away_leaves_no_timer() -> None:
    """RFC 4862 says nothing of it; sending for it would be wrong."""
    bed = Bed6()
    address = bed.add(bed.lan, f"{NEW}/64")
    bed.remove(address)
    assert bed.timeline(10 * SECOND) == []
    assert len(bed.stack.timers) == 0


def test_a_frame_without_a_source_has_zeros() -> None:
    """What came in no frame (a tunnel) is nobody's MAC."""
    bed = Bed6()
    bed.add(bed.lan, f"{NEW}/64")
    message = frames6.neighbour_solicitation("::", NODE, NEW)
    pkt = incoming(bed.lan, message, "::", NODE, PEER_MAC)
    pkt.l2 = -1
    assert bed.ndp.input(bed.lan, pkt, bed.now) == (0, [])
    assert conflicts(bed)[0]["mac"] == "00:00:00:00:00:00"
