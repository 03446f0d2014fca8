"""Neighbour discovery: what is answered, learned and asked (RFC 4861 7, RFC 4862 5.4.3, RFC 6583)."""

from typing import Any

import pytest

from tests.unit.l2.bed6 import (
    ALL_NODES,
    LAN,
    LAN_LL,
    LAN_MAC,
    MS,
    OTHER_MAC,
    PEER,
    PEER_LL,
    PEER_MAC,
    SECOND,
    Bed6,
    group,
    read,
)
from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.l2.answer_rate import ANSWERS_BURST, ANSWERS_PER_SECOND
from vrouter.stack.l2.ndp import MAX_ANYCAST_DELAY, MAX_DELAYED
from vrouter.stack.l2.neighbour import DELAY, FAILED, INCOMPLETE, PERMANENT, PROBE, REACHABLE, STALE
from vrouter.stack.wire.ndp import NeighbourAdvertisement, NeighbourSolicitation

INVALID = DropReason.NDP_INVALID
NOT_ON_LINK = DropReason.NDP_NOT_ON_LINK
IGNORED = DropReason.ICMP_IGNORED

BEHIND = "2001:db8:2::7"
ANSWER = NeighbourAdvertisement(parse_ipv6(LAN), LAN_MAC, solicited=True, override=True)


def router(**conf6: Any) -> Bed6:
    """A bed whose devices speak as routers, and wan's prefix is known."""
    return Bed6(forwarding=True, **conf6)


def packet(src: str = LAN, size: int = 100) -> Packet:
    pkt = Packet.for_payload(bytes(size))
    pkt.src, pkt.family = parse_ipv6(src), 6
    return pkt


def output(bed: Bed6, dst: str = PEER) -> int:
    return bed.neigh6.output(bed.lan, scoped(parse_ipv6(dst), bed.lan.ifindex), packet(), bed.now)


def asked(bed: Bed6) -> list[tuple[str, str, Any]]:
    """What the table wants asked, as messages."""
    actions, bed.neigh6.actions = bed.neigh6.actions, []
    found = [bed.ndp.solicit(*action[1:], bed.now) for action in actions if action[0] == "solicit"]
    return [read(pkt) for pkt in found if pkt is not None]


# ---------------------------------------------------------------------------------------------------- questions for us


def test_a_question_is_answered_and_its_sender_learned() -> None:
    """RFC 4861 7.2.3, 7.2.4: unicast, solicited, override, with our link-layer address; the sender is STALE."""
    bed = Bed6()
    assert bed.solicit(LAN) == (0, [(LAN, PEER, ANSWER)])
    assert bed.known(PEER) == (PEER_MAC, STALE, False)


def test_link_local_addresses_belong_to_their_link() -> None:
    """RFC 4007 6: fe80::2 is wan's, so lan does not answer for it; the sender's entry is of this link."""
    bed = Bed6()
    assert bed.solicit("fe80::2", PEER_LL) == (NOT_ON_LINK, [])
    reason, sent = bed.solicit(LAN_LL, PEER_LL)
    assert (reason, [(src, dst) for src, dst, _ in sent]) == (0, [(LAN_LL, PEER_LL)])
    assert list(bed.lan.neigh6) == [scoped(parse_ipv6(PEER_LL), bed.lan.ifindex)]


def test_a_unicast_question_is_answered_too() -> None:
    """RFC 4861 7.2.4: a probe of unreachability detection goes to the address itself, without a link-layer address."""
    bed = Bed6()
    assert bed.solicit(LAN, dst=LAN, mac=None) == (0, [(LAN, PEER, ANSWER)])
    assert bed.known(PEER) is None


def test_the_router_flag_is_that_of_the_device() -> None:
    """RFC 4861 7.2.4: R is one if and only if the node is a router."""
    bed = router()
    assert [message.router for _, _, message in bed.solicit(LAN)[1]] == [True]


def test_a_known_sender_changes_its_link_layer_address() -> None:
    """RFC 4861 7.2.3: a different address is taken and STALE; the same leaves the entry as it is."""
    bed = Bed6()
    bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, state=REACHABLE, create=True)
    bed.solicit(LAN)
    assert bed.known(PEER) == (PEER_MAC, REACHABLE, False)
    bed.solicit(LAN, mac=OTHER_MAC)
    assert bed.known(PEER) == (OTHER_MAC, STALE, False)


def test_a_configured_neighbour_is_not_changed() -> None:
    """RFC 4861 7.3.3: administration is above what is heard."""
    bed = Bed6()
    bed.neigh6.add_static(bed.lan, parse_ipv6(PEER), OTHER_MAC, bed.now)
    assert bed.solicit(LAN)[0] == 0
    assert bed.known(PEER) == (OTHER_MAC, PERMANENT, False)


@pytest.mark.parametrize(
    ("target", "src"),
    [
        (PEER, PEER),  # not ours
        ("2001:db8:2::1", PEER),  # RFC 4861 7.2.3: ours, but another device's
        (LAN, "2001:db8:9::9"),  # a sender that is not on this link
        (LAN, "2001:db8:2::9"),
        (LAN, "2001:db8:2::1"),  # ourselves
    ],
)
def test_other_questions_get_no_answer_and_teach_nothing(target: str, src: str) -> None:
    """RFC 4861 7.2.3: silently discarded. Deviation: the sender must be on this link, as for ARP."""
    bed = Bed6()
    assert bed.solicit(target, src) == (NOT_ON_LINK, [])
    assert bed.lan.neigh6 == {}


def test_a_sender_behind_an_onlink_route_is_on_the_link() -> None:
    """What routes reach by this device directly is a neighbour."""
    bed = Bed6()
    bed.route("2001:db8:9::/64", bed.lan)
    assert bed.solicit(LAN, "2001:db8:9::9")[0] == 0


def test_a_probe_for_an_address_in_use_is_answered_to_all() -> None:
    """RFC 4861 7.2.4, RFC 4862 5.4.3: from the unspecified address, the answer goes to all nodes, unsolicited."""
    bed = Bed6()
    answer = NeighbourAdvertisement(parse_ipv6(LAN), LAN_MAC, override=True)
    assert bed.solicit(LAN, "::", mac=None) == (0, [(LAN, ALL_NODES, answer)])
    assert bed.lan.neigh6 == {}


def test_a_tentative_address_answers_nobody() -> None:
    """RFC 4862 5.4.3: a question from an address is silently ignored while its target is tentative."""
    bed = Bed6()
    bed.address(bed.lan, "2001:db8:1::5/64", "tentative")
    assert bed.solicit("2001:db8:1::5") == (NOT_ON_LINK, [])


def test_an_address_in_conflict_answers_nobody() -> None:
    """RFC 4862 5.4.5: it is not used."""
    bed = Bed6()
    bed.address(bed.lan, "2001:db8:1::5/64", "conflict")
    assert bed.solicit("2001:db8:1::5") == (NOT_ON_LINK, [])
    assert bed.solicit("2001:db8:1::5", "::", mac=None) == (NOT_ON_LINK, [])


def test_a_deprecated_address_answers() -> None:
    """RFC 4862 5.5.4: it goes on to be used."""
    bed = Bed6()
    bed.address(bed.lan, "2001:db8:1::5/64").state = "deprecated"
    assert bed.solicit("2001:db8:1::5")[0] == 0


def test_answers_are_limited_for_each_device() -> None:
    """RFC 6583 7: a flood of questions costs a bounded number of answers; another device is not touched by it."""
    bed = Bed6()
    for _ in range(ANSWERS_BURST):
        assert bed.solicit(LAN)[0] == 0
    assert bed.solicit(LAN) == (DropReason.NDP_RATELIMIT, [])
    assert bed.solicit("2001:db8:2::1", "2001:db8:2::2", dev=bed.wan)[0] == 0
    bed.now += SECOND // ANSWERS_PER_SECOND
    assert bed.solicit(LAN)[0] == 0
    assert bed.solicit(LAN)[0] == DropReason.NDP_RATELIMIT


def test_questions_from_many_addresses_leave_a_bounded_table() -> None:
    """RFC 6583 5: gc_thresh3 entries, whoever asks; the answers go on."""
    bed = Bed6()
    for number in range(1100):
        bed.now += 2 * MS
        assert bed.solicit(LAN, f"2001:db8:1::1:{number:x}")[0] == 0
    assert bed.neigh6.count == bed.conf.v6.gc_thresh3 == len(bed.lan.neigh6)


def test_a_scan_of_the_prefix_does_not_keep_neighbours_out() -> None:
    """RFC 6583 7.1: packets to addresses where nobody is fill the table with questions; who asks us is known all the
    same, and what is known stays."""
    bed = Bed6()
    bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, state=REACHABLE, create=True)
    refused = 0
    for number in range(2000):
        refused += output(bed, f"2001:db8:1::f:{number:x}") == DropReason.NEIGH_TABLEFULL
    assert refused == 2000 - (bed.conf.v6.gc_thresh3 - 1)
    assert bed.known(PEER) == (PEER_MAC, REACHABLE, False)
    assert bed.solicit(LAN, "2001:db8:1::77", mac=OTHER_MAC)[0] == 0
    assert bed.known("2001:db8:1::77") == (OTHER_MAC, STALE, False)


# ---------------------------------------------------------------------------------------------------- anycast, proxies


def test_the_subnet_router_address_is_answered_late_and_without_override() -> None:
    """RFC 4291 2.6.1, RFC 4861 7.2.7: after a random delay of up to a second; several routers may answer."""
    bed = router()
    assert bed.solicit("2001:db8:1::") == (0, [])
    assert bed.known(PEER) == (PEER_MAC, STALE, False)
    [(at, (src, dst, message))] = bed.timeline(2 * SECOND)
    assert 0 <= at <= MAX_ANYCAST_DELAY // MS
    assert (src, dst) == (LAN, PEER)
    assert message == NeighbourAdvertisement(parse_ipv6("2001:db8:1::"), LAN_MAC, router=True, solicited=True)


def test_the_delays_are_random() -> None:
    """RFC 4861 7.2.7: so that not all routers answer at once."""
    delays = set()
    for seed in range(8):
        bed = Bed6(seed, forwarding=True)
        bed.solicit("2001:db8:1::")
        delays.add(bed.timeline(2 * SECOND)[0][0])
    assert len(delays) > 4


def test_a_unicast_question_for_the_subnet_router_is_answered_at_once() -> None:
    """RFC 4861 7.2.7: the delay is for who was asked together with others."""
    bed = router()
    reason, sent = bed.solicit("2001:db8:1::", dst="2001:db8:1::")
    assert (reason, [message.override for _, _, message in sent]) == (0, [False])


def test_a_host_does_not_answer_for_the_subnet_router() -> None:
    """RFC 4291 2.6.1: it is the routers' address."""
    assert Bed6().solicit("2001:db8:1::") == (NOT_ON_LINK, [])


def proxy() -> Bed6:
    bed = router(proxy_ndp=True)
    bed.ndp.add_proxy(bed.lan, parse_ipv6(BEHIND))
    assert bed.sent() == []
    assert bed.groups == [("join", "lan", group(BEHIND))]
    return bed


def test_proxied_addresses_are_answered_late_and_without_override() -> None:
    """RFC 4861 7.2.8: as for anycast, from an address of our own; its solicited-node group is joined."""
    bed = proxy()
    assert bed.solicit(BEHIND) == (0, [])
    [(at, (src, dst, message))] = bed.timeline(2 * SECOND)
    assert 0 <= at <= MAX_ANYCAST_DELAY // MS
    assert (src, dst) == (LAN, PEER)
    assert message == NeighbourAdvertisement(parse_ipv6(BEHIND), LAN_MAC, router=True, solicited=True)


def test_a_probe_for_a_proxied_address_is_answered_to_all() -> None:
    """RFC 4861 7.2.8: who wants the address learns that it is taken."""
    bed = proxy()
    bed.solicit(BEHIND, "::", mac=None)
    [(_, (_, dst, message))] = bed.timeline(2 * SECOND)
    assert (dst, message.solicited, message.override) == (ALL_NODES, False, False)


def test_one_delayed_answer_serves_a_repeated_question() -> None:
    """A question that is asked again while its answer waits gets one answer."""
    bed = proxy()
    for _ in range(3):
        assert bed.solicit(BEHIND) == (0, [])
    assert len(bed.timeline(2 * SECOND)) == 1


def test_delayed_answers_are_bounded() -> None:
    """A flood of questions for proxied addresses makes `MAX_DELAYED` waiting answers and no more."""
    bed = proxy()
    for number in range(MAX_DELAYED):
        assert bed.solicit(BEHIND, f"2001:db8:1::1:{number:x}") == (0, [])
    assert bed.solicit(BEHIND, "2001:db8:1::2:0") == (DropReason.NDP_RATELIMIT, [])
    assert len(bed.timeline(2 * SECOND)) == MAX_DELAYED
    assert bed.solicit(BEHIND, "2001:db8:1::2:0") == (0, [])


@pytest.mark.parametrize("conf6", [{"proxy_ndp": False}, {"forwarding": False}])
def test_proxying_is_a_setting_of_a_router(conf6: dict[str, bool]) -> None:
    """Linux's proxy_ndp: off by default, and only where packets are forwarded."""
    bed = proxy()
    bed.configure(bed.lan, **conf6)
    assert bed.solicit(BEHIND) == (NOT_ON_LINK, [])


def test_a_proxy_that_ends_answers_no_more() -> None:
    """Also what was asked before is not answered then; its group is left."""
    bed = proxy()
    bed.solicit(BEHIND)
    bed.ndp.del_proxy(bed.lan, parse_ipv6(BEHIND))
    assert bed.timeline(2 * SECOND) == []
    assert bed.groups[1:] == [("leave", "lan", group(BEHIND))]
    assert bed.solicit(BEHIND) == (NOT_ON_LINK, [])
    with pytest.raises(FileNotFoundError):
        bed.ndp.del_proxy(bed.lan, parse_ipv6(BEHIND))


def test_a_proxy_is_added_once() -> None:
    """EEXIST, as ip(8) says."""
    bed = proxy()
    with pytest.raises(FileExistsError):
        bed.ndp.add_proxy(bed.lan, parse_ipv6(BEHIND))


def test_a_device_that_goes_takes_its_answers_along() -> None:
    """Nothing is sent for a device that is down or gone, and no timer is left."""
    bed = proxy()
    bed.solicit(BEHIND)
    bed.lan.up = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)
    assert bed.timeline(2 * SECOND) == []
    bed.lan.removed = True
    bed.ndp.device_removed(bed.lan, bed.now)
    assert bed.ndp.proxies == {}
    assert len(bed.stack.timers) == 0


def test_routers_join_their_groups() -> None:
    """RFC 4291 2.8: all routers, and the group of the subnet-router addresses; who is none any more leaves them."""
    bed = Bed6()
    bed.change(bed.lan, forwarding=True)
    bed.change(bed.lan, forwarding=True)
    bed.sent()
    assert bed.groups == [("join", "lan", one) for one in ("ff02::2", "ff05::2", "ff02::1:ff00:0")]
    bed.groups.clear()
    bed.ndp.device_removed(bed.lan, bed.now)
    bed.change(bed.lan, forwarding=False)
    bed.sent()
    assert bed.groups == [("leave", "lan", one) for one in ("ff02::2", "ff05::2", "ff02::1:ff00:0")]


# ---------------------------------------------------------------------------------------------------- advertisements


def incomplete(bed: Bed6) -> None:
    output(bed)


def reachable(bed: Bed6) -> None:
    bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, state=REACHABLE, create=True)


def stale(bed: Bed6) -> None:
    bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, create=True)


def delayed(bed: Bed6) -> None:
    stale(bed)
    output(bed)


def probing(bed: Bed6) -> None:
    delayed(bed)
    bed.advance(5 * SECOND)
    assert bed.known(PEER) == (PEER_MAC, PROBE, False)


# RFC 4861 7.2.5 and the table of its appendix C, row by row: state, flags (S, O), address told, what it is then.
ROWS = [
    # (What waited is sent to an entry that was STALE for the moment, which is a use of it.)
    (incomplete, "", PEER_MAC, (PEER_MAC, DELAY)),
    (incomplete, "s", PEER_MAC, (PEER_MAC, REACHABLE)),
    (incomplete, "o", PEER_MAC, (PEER_MAC, DELAY)),
    (incomplete, "so", PEER_MAC, (PEER_MAC, REACHABLE)),
    (reachable, "", PEER_MAC, (PEER_MAC, REACHABLE)),
    (reachable, "s", PEER_MAC, (PEER_MAC, REACHABLE)),
    (reachable, "", OTHER_MAC, (PEER_MAC, STALE)),
    (reachable, "s", OTHER_MAC, (PEER_MAC, STALE)),
    (reachable, "o", OTHER_MAC, (OTHER_MAC, STALE)),
    (reachable, "so", OTHER_MAC, (OTHER_MAC, REACHABLE)),
    (reachable, "", None, (PEER_MAC, REACHABLE)),
    (reachable, "s", None, (PEER_MAC, REACHABLE)),
    (stale, "", PEER_MAC, (PEER_MAC, STALE)),
    (stale, "s", PEER_MAC, (PEER_MAC, REACHABLE)),
    (stale, "", OTHER_MAC, (PEER_MAC, STALE)),
    (stale, "s", OTHER_MAC, (PEER_MAC, STALE)),
    (stale, "o", OTHER_MAC, (OTHER_MAC, STALE)),
    (stale, "so", OTHER_MAC, (OTHER_MAC, REACHABLE)),
    (stale, "s", None, (PEER_MAC, REACHABLE)),
    (stale, "o", None, (PEER_MAC, STALE)),
    (delayed, "", PEER_MAC, (PEER_MAC, DELAY)),
    (delayed, "", OTHER_MAC, (PEER_MAC, DELAY)),
    (delayed, "so", PEER_MAC, (PEER_MAC, REACHABLE)),
    (delayed, "o", OTHER_MAC, (OTHER_MAC, STALE)),
    (probing, "", PEER_MAC, (PEER_MAC, PROBE)),
    (probing, "s", OTHER_MAC, (PEER_MAC, PROBE)),
    (probing, "s", PEER_MAC, (PEER_MAC, REACHABLE)),
    (probing, "s", None, (PEER_MAC, REACHABLE)),
    (probing, "so", OTHER_MAC, (OTHER_MAC, REACHABLE)),
]


@pytest.mark.parametrize(("state", "flags", "mac", "then"), ROWS)
def test_advertisements_change_what_is_known(
    state: Any, flags: str, mac: bytes | None, then: tuple[bytes, Any]
) -> None:
    """RFC 4861 7.2.5: each case of the state, the flags, and the same, another or no link-layer address."""
    bed = Bed6()
    state(bed)
    assert bed.advertise(PEER, mac=mac, solicited="s" in flags, override="o" in flags) == 0
    assert bed.known(PEER) == (*then, False)


def test_an_answer_without_an_address_is_no_answer_yet() -> None:
    """RFC 4861 7.2.5: INCOMPLETE stays so when the link-layer address is missing."""
    bed = Bed6()
    incomplete(bed)
    assert bed.advertise(PEER, mac=None, solicited=True) == NOT_ON_LINK
    assert bed.known(PEER) == (b"", INCOMPLETE, False)


def test_an_advertisement_makes_no_neighbour() -> None:
    """RFC 4861 7.2.5: who was not asked for is not entered."""
    bed = Bed6()
    assert bed.advertise(PEER, override=True) == NOT_ON_LINK
    assert bed.lan.neigh6 == {}


def test_unsolicited_ones_may_be_refused() -> None:
    """Linux's drop_unsolicited_na."""
    bed = Bed6(drop_unsolicited_na=True)
    stale(bed)
    assert bed.advertise(PEER, ALL_NODES, override=True, mac=OTHER_MAC) == IGNORED
    assert bed.advertise(PEER, override=True, solicited=True, mac=OTHER_MAC) == 0


def test_the_router_flag_is_remembered() -> None:
    """RFC 4861 7.2.5: IsRouter follows the flag of every advertisement that is used."""
    bed = Bed6()
    stale(bed)
    bed.advertise(PEER, router=True, solicited=True)
    assert bed.known(PEER) == (PEER_MAC, REACHABLE, True)
    bed.advertise(PEER, solicited=True)
    assert bed.known(PEER) == (PEER_MAC, REACHABLE, False)


def test_waiting_packets_go_with_the_answer() -> None:
    """RFC 4861 7.2.2: what waited is sent as soon as the address is known."""
    bed = Bed6()
    incomplete(bed)
    bed.neigh6.actions.clear()
    bed.advertise(PEER, solicited=True, override=True)
    assert [action[0] for action in bed.neigh6.actions] == ["send"]


def test_an_echo_of_our_own_is_no_conflict() -> None:
    """A looped link sends back what we said; that disputes nothing."""
    bed = Bed6()
    assert bed.advertise(LAN, ALL_NODES, mac=LAN_MAC, override=True) == NOT_ON_LINK
    assert bed.stats[Stat.NdpConflicts] == 0
    assert bed.advertise(LAN, ALL_NODES, mac=OTHER_MAC, override=True) == 0
    assert bed.stats[Stat.NdpConflicts] == 1


# ---------------------------------------------------------------------------------------------------- what we ask


def test_a_question_goes_to_the_group_with_our_address() -> None:
    """RFC 4861 7.2.2: solicited-node group, source of the packet that waits, source link-layer address."""
    bed = Bed6()
    output(bed)
    target = parse_ipv6(PEER)
    assert asked(bed) == [(LAN, group(PEER), NeighbourSolicitation(target, LAN_MAC))]


def test_the_source_is_one_of_the_device() -> None:
    """RFC 4861 7.2.2: that of the packet only if it is an address of this device; else the link-local one."""
    bed = Bed6()
    neigh = bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, create=True)
    assert neigh is not None
    for source in (0, parse_ipv6("2001:db8:2::1"), parse_ipv6("2001:db8:9::9")):
        pkt = bed.ndp.solicit(neigh, False, source, bed.now)
        assert pkt is not None
        assert read(pkt)[0] == LAN_LL


def test_without_an_address_nobody_is_asked() -> None:
    """RFC 4862 5.4.2: a question from :: would be a probe for the neighbour's own address."""
    bed = Bed6()
    bare = bed.device("bare", "tap", OTHER_MAC)
    bed.address(bare, "fe80::3/64", "tentative")
    neigh = bed.neigh6.learn(bare, parse_ipv6(PEER), PEER_MAC, bed.now, create=True)
    assert neigh is not None
    assert bed.ndp.solicit(neigh, False, 0, bed.now) is None


def test_a_probe_goes_to_the_neighbour_itself() -> None:
    """RFC 4861 7.3.3: after DELAY unicast, a second apart, ucast_solicit times; then it has failed."""
    bed = Bed6()
    delayed(bed)
    found = []
    for second in range(9):
        bed.advance(SECOND)
        found += [(second + 1, dst) for _, dst, _ in asked(bed)]
    assert found == [(5, PEER), (6, PEER), (7, PEER)]
    assert bed.known(PEER) == (b"", FAILED, False)


def test_resolution_is_tried_three_times() -> None:
    """RFC 4861 7.2.2: MAX_MULTICAST_SOLICIT questions, RetransTimer apart."""
    bed = Bed6()
    output(bed)
    found = [(0, dst) for _, dst, _ in asked(bed)]
    for second in range(6):
        bed.advance(SECOND)
        found += [(second + 1, dst) for _, dst, _ in asked(bed)]
    assert found == [(second, group(PEER)) for second in range(3)]
    assert bed.known(PEER) == (b"", FAILED, False)
