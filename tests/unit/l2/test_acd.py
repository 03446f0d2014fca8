"""Address conflict detection with the exact timers of RFC 5227."""

import pytest

from tests.unit.l2.bed import (
    LAN_MAC,
    MS,
    OTHER_MAC,
    PEER,
    PEER_MAC,
    ROUTER,
    SECOND,
    WAN_MAC,
    Bed,
    arp_packet,
    receive,
)
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.packet import Packet
from vrouter.stack.device import Address
from vrouter.stack.wire.arp import REPLY, REQUEST, Arp

ZERO = bytes(6)
NEW = ROUTER + 8
ANNOUNCEMENT = Arp(REQUEST, LAN_MAC, NEW, ZERO, NEW)
PROBE = Arp(REQUEST, LAN_MAC, 0, ZERO, NEW)


def configure(bed: Bed, mode: str, text: str = "10.0.1.9/24") -> Address:
    """An address as the namespace configures it: in probe mode it is tentative and has no routes."""
    bed.lan.acd = mode
    number = int(text.split(".")[3].split("/")[0])
    address = bed.ip4.add_address(bed.lan, ROUTER - 1 + number, 24)
    if mode == "probe":
        address.state = "tentative"
    else:
        bed.ip4.activate(address)
    bed.acd.start(address, bed.now)
    return address


def told(bed: Bed) -> list[object]:
    """What the detection wants done: ARP packets (broadcast, checked here) and changes of state."""
    found: list[object] = []
    for action in bed.acd.take_actions():
        if action[0] == "frame":
            pkt: Packet = action[1]
            assert bytes(pkt.buf[pkt.start : pkt.l3]) == b"\xff" * 6 + LAN_MAC + b"\x08\x06"
            assert pkt.oif is bed.lan
            found.append(Arp.parse(pkt.buf, pkt.l3, pkt.end))
        else:
            assert action[1].state == action[2]
            found.append(action[2])
    return found


def timeline(bed: Bed, ns: int) -> list[tuple[int, object]]:
    """(ms since the call, what was told) at every moment at which a timer fired within `ns`."""
    begin, found = bed.now, [(0, what) for what in told(bed)]
    while (at := bed.stack.timers.poll_at()) is not None and at <= begin + ns:
        bed.advance(at - bed.now)
        found += [((bed.now - begin) // MS, what) for what in told(bed)]
    bed.advance(begin + ns - bed.now)
    return found


# ---------------------------------------------------------------------------------------------------- announce


def test_an_address_is_announced_twice_two_seconds_apart() -> None:
    """RFC 5227 2.3: ANNOUNCE_NUM 2, ANNOUNCE_INTERVAL 2 s; usable from the first on."""
    bed = Bed()
    address = configure(bed, "announce")
    assert timeline(bed, 60 * SECOND) == [(0, ANNOUNCEMENT), (2000, ANNOUNCEMENT)]
    assert address.state == "preferred"
    assert bed.stack.timers.poll_at() is None
    assert bed.stats[Stat.ArpOutRequests] == 2


def test_an_address_that_goes_is_announced_no_more() -> None:
    """RFC 5227 2.5: from the time it ceases using the address."""
    bed = Bed()
    address = configure(bed, "announce")
    bed.acd.stop(address)
    assert timeline(bed, 60 * SECOND) == [(0, ANNOUNCEMENT)]
    assert address.probe is None
    bed.acd.stop(address)


def test_a_link_that_comes_back_hears_the_address_again() -> None:
    """RFC 5227 2.1: also when connectivity changes; what was under way begins anew."""
    bed = Bed()
    address = configure(bed, "announce")
    bed.advance(SECOND)
    told(bed)
    bed.acd.start(address, bed.now)
    assert timeline(bed, 60 * SECOND) == [(0, ANNOUNCEMENT), (2000, ANNOUNCEMENT)]


def test_nothing_is_sent_while_the_device_is_not_ready() -> None:
    """Without a carrier there is nobody to tell; the device's return starts it."""
    bed = Bed()
    bed.lan.carrier = False
    bed.lan.refresh()
    address = configure(bed, "announce")
    assert (timeline(bed, 60 * SECOND), address.state) == ([], "preferred")
    bed.lan.carrier = True
    bed.lan.refresh()
    bed.acd.start(address, bed.now)
    assert timeline(bed, 60 * SECOND) == [(0, ANNOUNCEMENT), (2000, ANNOUNCEMENT)]
    bed.acd.start(address, bed.now)
    told(bed)
    bed.lan.carrier = False
    bed.lan.refresh()
    assert timeline(bed, 60 * SECOND) == []


def test_lo_announces_nothing() -> None:
    """There is no link behind lo."""
    bed = Bed()
    lo = bed.device("lo", "lo", ZERO)
    address = bed.address(lo, "127.0.0.1/8")
    bed.acd.start(address, bed.now)
    assert (bed.acd.actions, address.probe, bed.stack.timers.poll_at()) == ([], None, None)


# ---------------------------------------------------------------------------------------------------- probe


def test_probing_takes_three_probes_and_their_waits() -> None:
    """RFC 5227 2.1.1, 2.3: 0-1 s, three probes 1-2 s apart, 2 s of silence, then two announcements 2 s apart."""
    bed = Bed()
    firsts, gaps = set(), set()
    for number in range(9, 39):
        address = configure(bed, "probe", f"10.0.1.{number}/24")
        probe, announcement = (Arp(REQUEST, LAN_MAC, spa, ZERO, address.address) for spa in (0, address.address))
        times, what = zip(*timeline(bed, 60 * SECOND), strict=True)
        assert what == (probe, probe, probe, "preferred", announcement, announcement)
        first, second, third, free, one, two = times
        assert 0 <= first <= 1000
        assert 1000 <= second - first <= 2000
        assert 1000 <= third - second <= 2000
        assert free == one == pytest.approx(third + 2000, abs=1)
        assert two == pytest.approx(one + 2000, abs=1)
        firsts.add(first)
        gaps |= {second - first, third - second}
    assert len(firsts) > 20  # random, so that hosts that start together do not all probe at once
    assert len(gaps) > 40
    assert max(gaps) - min(gaps) > 900


def until_probes(bed: Bed, count: int) -> None:
    """Let time pass until `count` probes are out."""
    seen = 0
    while seen < count:
        at = bed.stack.timers.poll_at()
        assert at is not None
        bed.advance(at - bed.now)
        seen += told(bed).count(PROBE)


CLAIMS = [
    pytest.param(arp_packet(spa=NEW, tpa=PEER), id="request-from-it"),
    pytest.param(arp_packet(op=REPLY, spa=NEW, tha=LAN_MAC, tpa=0), id="reply-to-the-probe"),
    pytest.param(arp_packet(spa=NEW, tpa=NEW), id="announcement"),
    pytest.param(arp_packet(spa=0, tpa=NEW), id="probe-of-another"),
]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("probes", [0, 1, 3])
def test_a_claim_while_probing_is_a_conflict(claim: Packet, probes: int) -> None:
    """RFC 5227 2.1.1: from the beginning until ANNOUNCE_WAIT after the last probe; the address is not used."""
    bed = Bed()
    address = configure(bed, "probe")
    until_probes(bed, probes)
    bed.advance(0 if probes < 3 else 2 * SECOND - 1)
    assert receive(bed, claim) == (0, None)
    assert told(bed) == ["conflict"]
    assert (address.state, bed.stats[Stat.ArpConflicts]) == ("conflict", 1)
    assert bed.ip4.owner(NEW) is None
    assert bed.lan.neigh4 == {}
    (event,) = bed.stack.events.take()
    assert (event.kind, event.netns, event.dev) == (EventKind.ADDRESS_CONFLICT, "red", "lan")
    assert event.fields == {"address": "10.0.1.9", "mac": "02:00:00:00:00:aa", "state": "conflict"}
    assert (timeline(bed, 600 * SECOND), bed.stack.timers.poll_at()) == ([], None)


@pytest.mark.parametrize("mac", [LAN_MAC, WAN_MAC])
def test_our_own_probe_echoed_back_is_no_conflict(mac: bytes) -> None:
    """RFC 5227 2.1.1 note: repeaters send our broadcasts back; the sender is one of our own interfaces."""
    bed = Bed()
    address = configure(bed, "probe")
    until_probes(bed, 1)
    receive(bed, arp_packet(sha=mac, spa=0, tpa=NEW))
    assert address.state == "tentative"
    assert bed.stats[Stat.ArpConflicts] == 0


@pytest.mark.parametrize(
    "pkt",
    [arp_packet(spa=PEER, tpa=NEW), arp_packet(op=REPLY, spa=0, tpa=NEW), arp_packet(spa=0, tpa=NEW + 1)],
)
def test_who_only_looks_for_the_address_does_not_claim_it(pkt: Packet) -> None:
    """RFC 5227 2.1.1: a question with a sender address claims that one; only a request can be a probe."""
    bed = Bed()
    address = configure(bed, "probe")
    receive(bed, pkt)
    assert address.state == "tentative"


def test_the_one_who_won_becomes_a_neighbour() -> None:
    """An address in conflict is somebody else's, and can be talked to like any other."""
    bed = Bed()
    configure(bed, "probe")
    receive(bed, arp_packet(spa=NEW, tpa=NEW))
    assert receive(bed, arp_packet(spa=NEW, tpa=ROUTER))[1] is not None
    assert bed.neigh4.get(bed.lan, NEW).mac == PEER_MAC


def test_a_probed_address_is_probed_again_when_the_link_returns() -> None:
    """RFC 5227 2.1: a change of the link means that the neighbours may be others."""
    bed = Bed()
    address = configure(bed, "probe")
    timeline(bed, 60 * SECOND)
    bed.acd.start(address, bed.now)
    assert told(bed) == ["tentative"]
    assert [what for _, what in timeline(bed, 60 * SECOND)] == [
        PROBE, PROBE, PROBE, "preferred", ANNOUNCEMENT, ANNOUNCEMENT,
    ]  # fmt: skip


def test_no_address_counts_as_probed_while_the_device_was_not_ready() -> None:
    """RFC 5227 2.1.1: silence proves something only if the probes were on the link."""
    bed = Bed()
    address = configure(bed, "probe")
    until_probes(bed, 1)
    bed.lan.up = False
    bed.lan.refresh()
    assert timeline(bed, 60 * SECOND) == []
    assert address.state == "tentative"
    bed.lan.up = True
    bed.lan.refresh()
    bed.acd.start(address, bed.now)
    assert [what for _, what in timeline(bed, 60 * SECOND)].count(PROBE) == 3


def test_after_ten_conflicts_addresses_are_tried_once_a_minute() -> None:
    """RFC 5227 2.1.1: MAX_CONFLICTS 10, RATE_LIMIT_INTERVAL 60 s; an address found free ends it."""
    bed = Bed()
    begin = bed.now
    for _ in range(10):
        address = configure(bed, "probe")
        assert bed.stack.timers.poll_at() <= bed.now + SECOND
        receive(bed, arp_packet(spa=NEW))
        bed.acd.stop(address)
        bed.ip4.remove_address(bed.lan, NEW, 24)
    bed.advance(SECOND)
    first = configure(bed, "probe")
    assert begin + 60 * SECOND <= bed.stack.timers.poll_at() <= begin + 61 * SECOND
    second = configure(bed, "probe", "10.0.1.10/24")
    assert begin + 120 * SECOND <= second.probe.timer.deadline <= begin + 121 * SECOND
    bed.advance(130 * SECOND)
    assert (first.state, second.state) == ("preferred", "preferred")
    configure(bed, "probe", "10.0.1.11/24")
    assert bed.stack.timers.poll_at() <= bed.now + SECOND


def test_another_device_starts_without_a_record() -> None:
    """RFC 5227 2.1.1 counts conflicts on a given interface; one that has gone leaves none."""
    bed = Bed()
    for _ in range(10):
        address = configure(bed, "probe")
        receive(bed, arp_packet(spa=NEW))
        bed.ip4.remove_address(bed.lan, address.address, 24)
    bed.wan.acd = "probe"
    bed.acd.start(bed.wan.addresses[0], bed.now)
    assert bed.wan.addresses[0].probe.timer.deadline <= bed.now + SECOND
    bed.acd.device_removed(bed.lan)
    assert configure(bed, "probe").probe.timer.deadline <= bed.now + SECOND


# ---------------------------------------------------------------------------------------------------- defend


@pytest.mark.parametrize("claim", CLAIMS[:3])
def test_a_used_address_is_defended_once_in_ten_seconds(claim: Packet) -> None:
    """RFC 5227 2.4 (c): one announcement, then none for DEFEND_INTERVAL; the address is kept; the operator is told."""
    bed = Bed()
    address = configure(bed, "announce")
    timeline(bed, 60 * SECOND)
    for moment, defence in [(0, [ANNOUNCEMENT]), (0, []), (10 * SECOND - 1, []), (1, [ANNOUNCEMENT]), (SECOND, [])]:
        bed.advance(moment)
        assert receive(bed, claim) == (0, None)
        assert told(bed) == defence
    assert (address.state, bed.stats[Stat.ArpConflicts]) == ("preferred", 5)
    events = bed.stack.events.take()
    assert [event.fields for event in events] == [
        {"address": "10.0.1.9", "mac": "02:00:00:00:00:aa", "state": "preferred"}
    ] * 2


def test_a_conflicting_request_teaches_and_gets_nothing() -> None:
    """RFC 5227 2.5: only a request that is not a conflicting packet is answered in the usual way."""
    bed = Bed()
    configure(bed, "announce")
    assert receive(bed, arp_packet(spa=NEW, tpa=ROUTER)) == (0, None)
    assert bed.lan.neigh4 == {}


def test_a_probe_for_a_used_address_is_answered_not_fought() -> None:
    """RFC 5227 2.5: the reply to the probe is the defence."""
    bed = Bed()
    configure(bed, "announce")
    timeline(bed, 60 * SECOND)
    assert receive(bed, arp_packet(spa=0, tpa=NEW))[1] is not None
    assert (told(bed), bed.stats[Stat.ArpConflicts]) == ([], 0)


def test_addresses_are_defended_each_for_itself() -> None:
    """RFC 5227 2.4: DEFEND_INTERVAL counts for an address; the first conflict needs no earlier start."""
    bed = Bed()
    configure(bed, "announce")
    timeline(bed, 60 * SECOND)
    receive(bed, arp_packet(spa=NEW, sha=OTHER_MAC))
    receive(bed, arp_packet(spa=ROUTER, sha=OTHER_MAC))
    assert told(bed) == [ANNOUNCEMENT, Arp(REQUEST, LAN_MAC, ROUTER, ZERO, ROUTER)]


def test_an_address_of_another_device_is_not_disputed_here() -> None:
    """RFC 5227 2.4: addresses configured on that interface; the same address on another link is no conflict."""
    bed = Bed()
    assert receive(bed, arp_packet(spa=ROUTER + 256))[1] is None
    assert bed.stats[Stat.ArpConflicts] == 0
