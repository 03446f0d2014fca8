"""The neighbour machine, event by event: states and timing of RFC 4861 7.3 as Linux uses them for ARP."""

from dataclasses import replace

import pytest

from tests.unit.l2.bed import LAN_MAC, MS, OTHER_MAC, PEER, PEER_MAC, ROUTER, SECOND, Bed, packet
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.l2.neighbour import (
    BYTES_PER_PACKET,
    DELAY,
    FAILED,
    FOREVER,
    INCOMPLETE,
    NOARP,
    PERMANENT,
    PROBE,
    QUEUED,
    REACHABLE,
    STALE,
    TABLE_BYTES,
    Neigh,
    NeighRecord,
)


def entry(bed: Bed, addr: int = PEER) -> Neigh:
    neigh = bed.neigh4.get(bed.lan, addr)
    assert neigh is not None
    return neigh


def state(bed: Bed, addr: int = PEER) -> object:
    return entry(bed, addr).state_at(bed.now)


def reachable(bed: Bed) -> Neigh:
    """The peer, resolved."""
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE, create=True)
    return entry(bed)


# ---------------------------------------------------------------------------------------------------- resolution


def test_the_first_packet_asks_and_waits() -> None:
    """RFC 1122 2.3.2.2: the packet is kept, and the question goes out at once."""
    bed, pkt = Bed(), packet(src=ROUTER)
    assert bed.neigh4.output(bed.lan, PEER, pkt, bed.now) == QUEUED
    assert bed.take() == [("solicit", entry(bed), False, ROUTER)]
    assert state(bed) is INCOMPLETE
    assert (bed.neigh4.queued, bed.neigh4.count) == (1, 1)


def test_later_packets_wait_without_asking_again() -> None:
    """RFC 1122 2.3.2.1: at most one question a second for one destination."""
    bed = Bed()
    for _ in range(5):
        assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == QUEUED
    assert [action[0] for action in bed.take()] == ["solicit"]
    bed.advance(SECOND - 1)
    assert bed.take() == []
    bed.advance(1)
    assert [action[0] for action in bed.take()] == ["solicit"]


def test_no_answer_fails_after_three_questions() -> None:
    """Linux mcast_solicit 3, retrans_time 1 s: asked at 0, 1, 2 s; failed at 3 s with every packet that waited."""
    bed, first, second = Bed(), packet(), packet()
    bed.neigh4.output(bed.lan, PEER, first, bed.now)
    bed.neigh4.output(bed.lan, PEER, second, bed.now)
    neigh = entry(bed)
    for _ in range(2):
        assert bed.take() == [("solicit", neigh, False, ROUTER)]
        bed.advance(SECOND - 1)
        assert bed.take() == []
        bed.advance(1)
    assert bed.take() == [("solicit", neigh, False, ROUTER)]
    bed.advance(SECOND - 1)
    assert state(bed) is INCOMPLETE
    bed.advance(1)
    assert state(bed) is FAILED
    assert bed.take() == [("fail", first, DropReason.NEIGH_FAILED), ("fail", second, DropReason.NEIGH_FAILED)]
    assert bed.neigh4.queued == 0
    assert bed.stack.timers.poll_at() is None
    assert bed.stack.events.take() == []  # one that was never there is no event


def test_the_answer_sends_what_waited_in_order() -> None:
    """RFC 1122 2.3.2.2: saved packets are transmitted when the address is resolved; RFC 826: to the sender's MAC."""
    bed, pkts = Bed(), [packet() for _ in range(3)]
    for pkt in pkts:
        bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE)
    neigh = entry(bed)
    assert bed.take() == [("send", pkt, neigh) for pkt in pkts]
    assert neigh.header == PEER_MAC + LAN_MAC
    assert state(bed) is REACHABLE
    assert bed.stack.timers.poll_at() is None
    assert bed.neigh4.queued == bed.neigh4.queue_bytes == 0


def test_a_failed_neighbour_is_asked_again_by_the_next_packet() -> None:
    """Linux: a packet to a FAILED entry starts over."""
    bed = Bed()
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(3 * SECOND)
    bed.take()
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == QUEUED
    assert [action[0] for action in bed.take()] == ["solicit"]
    assert state(bed) is INCOMPLETE


# ---------------------------------------------------------------------------------------------------- aging


def test_reachable_ends_by_the_clock_alone() -> None:
    """RFC 1122 2.3.2.1: entries time out; RFC 4861 6.3.2: within 0.5 to 1.5 of 30 s. No timer is spent on it."""
    bed = Bed()
    neigh = reachable(bed)
    assert 15 * SECOND <= neigh.fresh_until - bed.now < 45 * SECOND
    assert bed.stack.timers.poll_at() is None
    end = neigh.fresh_until
    assert (neigh.state_at(end - 1), neigh.state_at(end)) == (REACHABLE, STALE)


def test_the_reachable_time_is_drawn_anew() -> None:
    """RFC 4861 6.3.2: the random factor changes now and then, and stays for all in between."""
    bed = Bed()
    lengths = set()
    for _ in range(4):
        for _ in range(3):
            lengths.add(reachable(bed).fresh_until - bed.now)
            bed.now += SECOND
        bed.now += 300 * SECOND
    assert len(lengths) == 4


def test_a_packet_to_a_stale_neighbour_goes_and_starts_the_delay() -> None:
    """RFC 4861 7.3.3: STALE sends at once, and asks only after delay_first_probe_time (5 s)."""
    bed = Bed()
    neigh = reachable(bed)
    bed.now = neigh.fresh_until
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == 0
    assert bed.take() == []
    assert state(bed) is DELAY
    bed.advance(5 * SECOND - 1)
    assert state(bed) is DELAY
    bed.advance(1)
    assert state(bed) is PROBE
    assert bed.take() == [("solicit", neigh, True, 0)]


def test_probing_without_answer_fails_with_an_event() -> None:
    """RFC 4861 7.3.3: MAX_UNICAST_SOLICIT (3) unanswered probes delete the mapping; packets still go until then."""
    bed = Bed()
    neigh = reachable(bed)
    bed.now = neigh.fresh_until
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(5 * SECOND)
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == 0
    bed.advance(3 * SECOND - 1)
    assert bed.take() == [("solicit", neigh, True, 0)] * 3
    assert state(bed) is PROBE
    bed.advance(1)
    assert state(bed) is FAILED
    assert (neigh.mac, neigh.header) == (b"", None)
    event = bed.stack.events.take()[0]
    assert (event.kind, event.netns, event.dev) == (EventKind.NEIGH_FAILED, "red", "lan")
    assert event.fields == {"address": "10.0.1.2"}


@pytest.mark.parametrize("moment", [0, 2 * SECOND, 5 * SECOND, 7 * SECOND])
def test_an_answer_ends_delay_and_probe(moment: int) -> None:
    """RFC 4861 7.3.3: a solicited answer makes it REACHABLE and stops the probing."""
    bed = Bed()
    bed.now = reachable(bed).fresh_until
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(moment)
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE)
    assert state(bed) is REACHABLE
    assert bed.stack.timers.poll_at() is None


# ---------------------------------------------------------------------------------------------------- confirmation


@pytest.mark.parametrize("moment", [-1, 0, 2 * SECOND, 6 * SECOND])
def test_the_layer_above_confirms(moment: int) -> None:
    """RFC 4861 7.3.1: progress of an upper layer proves reachability in REACHABLE, STALE, DELAY and PROBE."""
    bed = Bed()
    bed.now = reachable(bed).fresh_until + min(moment, 0)
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(max(moment, 0))
    bed.neigh4.confirm(bed.lan, PEER, bed.now)
    assert state(bed) is REACHABLE
    assert entry(bed).fresh_until - bed.now >= 15 * SECOND
    assert bed.stack.timers.poll_at() is None


def test_nothing_is_confirmed_that_has_no_address() -> None:
    """RFC 4861 7.3.1: without a link address nothing can have arrived; unknown addresses make no entry."""
    bed = Bed()
    bed.neigh4.confirm(bed.lan, PEER, bed.now)
    assert bed.neigh4.get(bed.lan, PEER) is None
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.neigh4.confirm(bed.lan, PEER, bed.now)
    assert state(bed) is INCOMPLETE
    bed.advance(3 * SECOND)
    bed.neigh4.confirm(bed.lan, PEER, bed.now)
    assert state(bed) is FAILED


# ---------------------------------------------------------------------------------------------------- learning


def test_what_was_only_heard_is_stale() -> None:
    """RFC 4861 7.2.3: a question from the neighbour tells its MAC, not that it can be reached."""
    bed = Bed()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, create=True)
    assert state(bed) is STALE
    assert (entry(bed).header, entry(bed).fresh_until) == (PEER_MAC + LAN_MAC, 0)


def test_learning_creates_nothing_unless_told_to() -> None:
    """RFC 826: the merge only updates what is there."""
    bed = Bed()
    assert bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now) is None
    assert bed.lan.neigh4 == {}


def test_what_was_heard_sends_what_waited_and_is_verified_later() -> None:
    """The waiting packets are a use of the STALE entry: it is in DELAY afterwards."""
    bed, pkt = Bed(), packet()
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now)
    assert bed.take() == [("send", pkt, entry(bed))]
    assert state(bed) is DELAY


def test_hearing_the_same_again_changes_nothing() -> None:
    """Linux: STALE news about a known MAC does not make it less reachable."""
    bed = Bed()
    neigh = reachable(bed)
    before = (neigh.updated, neigh.fresh_until)
    bed.advance(SECOND)
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now)
    assert state(bed) is REACHABLE
    assert (neigh.updated, neigh.fresh_until) == before


def test_another_mac_needs_override() -> None:
    """RFC 4861 7.2.5: without the override flag a known link address is not replaced."""
    bed = Bed()
    neigh = reachable(bed)
    bed.neigh4.learn(bed.lan, PEER, OTHER_MAC, bed.now, state=REACHABLE, override=False)
    assert neigh.mac == PEER_MAC
    bed.neigh4.learn(bed.lan, PEER, OTHER_MAC, bed.now, override=True)
    assert (neigh.mac, neigh.header, neigh.fresh_until) == (OTHER_MAC, OTHER_MAC + LAN_MAC, 0)
    assert state(bed) is STALE


def test_an_entry_is_locked_for_a_second_after_a_change() -> None:
    """Linux locktime: of several answers the first wins."""
    bed = Bed()
    neigh = reachable(bed)
    assert bed.neigh4.locked(neigh, bed.now + SECOND)
    assert not bed.neigh4.locked(neigh, bed.now + SECOND + 1)


# ---------------------------------------------------------------------------------------------------- the queue


def test_a_full_queue_loses_its_oldest() -> None:
    """RFC 1122 2.3.2.2: the latest packet is kept; Linux's unres_qlen is 101."""
    bed, pkts = Bed(), [packet() for _ in range(103)]
    for pkt in pkts:
        assert bed.neigh4.output(bed.lan, PEER, pkt, bed.now) == QUEUED
    full = DropReason.NEIGH_QUEUEFULL
    assert bed.take()[1:] == [("fail", pkts[0], full), ("fail", pkts[1], full)]
    assert entry(bed).queue == pkts[2:]
    assert bed.neigh4.queued == 101


def test_a_queue_is_bounded_in_bytes_too() -> None:
    """Linux unres_qlen_bytes: superframes do not turn 101 packets into megabytes; the newest stays even if alone."""
    bed, pkts = Bed(), [packet(size=60_000) for _ in range(5)]
    for pkt in pkts:
        bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    assert entry(bed).queue == pkts[2:]
    assert entry(bed).queue_bytes == sum(len(pkt.buf) for pkt in pkts[2:]) <= 101 * BYTES_PER_PACKET
    bed.lan.neigh_conf = replace(bed.lan.neigh_conf, unres_qlen=0)
    last = packet(size=60_000)
    bed.neigh4.output(bed.lan, PEER, last, bed.now)
    assert entry(bed).queue == [last]
    assert bed.neigh4.queued == 1


def test_all_queues_together_are_bounded() -> None:
    """A scan through the router may not fill its memory: beyond the table's bound each neighbour keeps its newest."""
    bed = Bed()
    for number in range(200):
        for _ in range(3):
            bed.neigh4.output(bed.lan, PEER + number, packet(size=60_000), bed.now)
    waiting = [neigh.queue_bytes // 60_128 for neigh in bed.lan.neigh4.values()]
    unbounded = TABLE_BYTES // (3 * 60_128)
    assert waiting == [3] * unbounded + [1] * (200 - unbounded)
    assert bed.neigh4.queue_bytes == sum(waiting) * 60_128


# ---------------------------------------------------------------------------------------------------- the table's bound


def small(bed: Bed, one: int = 2, two: int = 4, three: int = 6) -> None:
    bed.conf = replace(bed.conf, v4=replace(bed.conf.v4, gc_thresh1=one, gc_thresh2=two, gc_thresh3=three))


def test_a_full_table_refuses() -> None:
    """gc_thresh3: what is being resolved is not sacrificed to what is not known either, so the packet dies."""
    bed = Bed()
    small(bed)
    for number in range(6):
        assert bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now) == QUEUED
    assert bed.neigh4.output(bed.lan, PEER + 6, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    assert (len(bed.lan.neigh4), bed.neigh4.count) == (6, 6)


def test_who_speaks_has_a_place_in_a_table_that_a_scan_filled() -> None:
    """RFC 6583 7.1: a neighbour that was heard takes the place of the oldest that are only being asked for, and there
    is one search for room in 100 ms at most."""
    bed = Bed()
    small(bed)
    for number in range(6):
        bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now)
    bed.take()
    assert bed.neigh4.learn(bed.lan, PEER + 7, PEER_MAC, bed.now, create=True) is not None
    assert sorted(bed.lan.neigh4) == [PEER + 2, PEER + 3, PEER + 4, PEER + 5, PEER + 7]
    assert [(action[0], action[2]) for action in bed.take()] == [("fail", DropReason.NEIGH_TABLEFULL)] * 2
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    assert bed.neigh4.learn(bed.lan, PEER + 8, PEER_MAC, bed.now, create=True) is None
    bed.advance(SECOND // 10)
    assert bed.neigh4.learn(bed.lan, PEER + 8, PEER_MAC, bed.now, create=True) is not None


def test_a_claim_that_must_not_replace_leaves_a_doubt() -> None:
    """RFC 4861 7.2.5 I: a REACHABLE entry becomes STALE, any other stays as it is."""
    bed = Bed()
    neigh = bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE, create=True)
    assert neigh is not None
    bed.neigh4.doubt(neigh, bed.now)
    assert (neigh.state, neigh.mac) == (STALE, PEER_MAC)
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    assert neigh.state is DELAY
    bed.neigh4.doubt(neigh, bed.now)
    assert neigh.state is DELAY


def test_what_failed_makes_room_first() -> None:
    """Forced collection: FAILED before STALE, down to gc_thresh2."""
    bed = Bed()
    small(bed)
    for number in range(3):
        bed.neigh4.learn(bed.lan, PEER + number, PEER_MAC, bed.now, create=True)
    for number in range(3, 6):
        bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now)
    bed.advance(10 * SECOND)
    assert bed.neigh4.output(bed.lan, PEER + 6, packet(), bed.now) == QUEUED
    assert sorted(addr - PEER for addr in bed.lan.neigh4) == [0, 1, 2, 5, 6]


def test_the_oldest_idle_entry_makes_room() -> None:
    """Forced collection: of STALE entries the one that changed longest ago, unless that is less than 5 s."""
    bed = Bed()
    small(bed)
    for number in (3, 1, 2, 0, 4, 5):
        bed.neigh4.learn(bed.lan, PEER + number, PEER_MAC, bed.now, create=True)
        bed.advance(MS)
    assert bed.neigh4.output(bed.lan, PEER + 6, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    bed.advance(5 * SECOND - 4 * MS)
    bed.neigh4.output(bed.lan, PEER + 6, packet(), bed.now)
    assert sorted(addr - PEER for addr in bed.lan.neigh4) == [0, 2, 4, 5, 6]


def test_an_entry_that_ran_out_by_the_clock_makes_room() -> None:
    """An entry that nobody looked at since it stopped being REACHABLE counts as STALE from that moment."""
    bed = Bed()
    small(bed, three=4)
    for number in range(4):
        bed.neigh4.learn(bed.lan, PEER + number, PEER_MAC, bed.now, state=REACHABLE, create=True)
    end = entry(bed).fresh_until
    bed.now = end + 5 * SECOND
    assert bed.neigh4.output(bed.lan, PEER + 9, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    bed.now = end + 5 * SECOND + 100 * MS
    assert bed.neigh4.output(bed.lan, PEER + 9, packet(), bed.now) == QUEUED
    assert len(bed.lan.neigh4) == 4


def test_a_full_table_is_searched_ten_times_a_second_at_most() -> None:
    """A flood of new addresses does not buy a search of the whole table each; a half-full one waits 5 s."""
    bed = Bed()
    small(bed, three=4)
    for number in range(4):
        bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now)
    assert bed.neigh4.output(bed.lan, PEER + 4, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    entry(bed).state = FAILED
    bed.now += 100 * MS - 1
    assert bed.neigh4.output(bed.lan, PEER + 4, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    bed.now += 1
    assert bed.neigh4.output(bed.lan, PEER + 4, packet(), bed.now) == QUEUED
    small(bed, three=6)
    entry(bed, PEER + 1).state = FAILED
    bed.now += 5 * SECOND - 1
    assert bed.neigh4.output(bed.lan, PEER + 5, packet(), bed.now) == QUEUED
    assert bed.neigh4.count == 5
    bed.now += 1
    assert bed.neigh4.output(bed.lan, PEER + 6, packet(), bed.now) == QUEUED
    assert bed.neigh4.count == 5


def test_configured_entries_are_outside_of_the_bound() -> None:
    """PERMANENT entries neither count nor are they collected."""
    bed = Bed()
    small(bed)
    for number in range(20):
        bed.neigh4.add_static(bed.lan, PEER + number, PEER_MAC, bed.now)
    assert bed.neigh4.count == 0
    for number in range(20, 26):
        assert bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now) == QUEUED
    assert bed.neigh4.output(bed.lan, PEER + 26, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    assert len(bed.lan.neigh4) == 26


def test_unused_entries_are_forgotten_only_above_gc_thresh1() -> None:
    """Periodic collection: STALE for gc_stale_time (60 s) without use, at gc_interval (30 s), from gc_thresh1 on."""
    bed = Bed()
    small(bed, one=3)
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, create=True)
    bed.neigh4.learn(bed.lan, PEER + 1, PEER_MAC, bed.now, create=True)
    assert bed.stack.timers.poll_at() is None
    bed.advance(1000 * SECOND)
    assert len(bed.lan.neigh4) == 2
    bed.neigh4.learn(bed.lan, PEER + 2, PEER_MAC, bed.now, create=True)
    assert bed.stack.timers.poll_at() == bed.now + 30 * SECOND
    bed.advance(30 * SECOND)
    assert list(bed.lan.neigh4) == [PEER + 2]
    assert bed.stack.timers.poll_at() is None


def test_use_and_state_protect_from_periodic_collection() -> None:
    """What was used within gc_stale_time stays, as does what is REACHABLE, under resolution or configured; what failed
    goes."""
    bed = Bed()
    small(bed, one=1, two=10, three=20)
    used, idle, fresh, asked, failed, fixed = range(PEER, PEER + 6)
    for addr in (used, idle):
        bed.neigh4.learn(bed.lan, addr, PEER_MAC, bed.now, create=True)
    bed.neigh4.output(bed.lan, failed, packet(), bed.now)
    bed.neigh4.add_static(bed.lan, fixed, PEER_MAC, bed.now)
    bed.now += 60 * SECOND
    bed.neigh4.timer_fired(entry(bed, failed), bed.now)
    bed.neigh4.timer_fired(entry(bed, failed), bed.now + SECOND)
    bed.neigh4.timer_fired(entry(bed, failed), bed.now + 2 * SECOND)
    entry(bed, used).used = bed.now
    bed.neigh4.learn(bed.lan, fresh, PEER_MAC, bed.now, state=REACHABLE, create=True)
    bed.neigh4.output(bed.lan, asked, packet(), bed.now)
    assert entry(bed, failed).state is FAILED
    bed.neigh4.gc(bed.now)
    assert sorted(bed.lan.neigh4) == [used, fresh, asked, fixed]
    assert bed.neigh4.count == 3


# ---------------------------------------------------------------------------------------------------- administration


def test_a_configured_neighbour_is_used_and_never_changes() -> None:
    """PERMANENT: no frame changes it, no time ends it, nobody is asked."""
    bed = Bed()
    neigh = bed.neigh4.add_static(bed.lan, PEER, PEER_MAC, bed.now)
    assert bed.neigh4.learn(bed.lan, PEER, OTHER_MAC, bed.now, state=REACHABLE) is neigh
    bed.neigh4.confirm(bed.lan, PEER, bed.now)
    bed.now += 10**6 * SECOND
    assert (neigh.mac, state(bed), neigh.fresh_until) == (PEER_MAC, PERMANENT, FOREVER)
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == 0
    assert (bed.take(), bed.stack.timers.poll_at()) == ([], None)


def test_configuring_a_neighbour_ends_its_resolution() -> None:
    """Packets that waited go to the MAC that was configured."""
    bed, pkt = Bed(), packet()
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    neigh = bed.neigh4.add_static(bed.lan, PEER, OTHER_MAC, bed.now)
    assert bed.take() == [("send", pkt, neigh)]
    assert (neigh.header, bed.neigh4.count) == (OTHER_MAC + LAN_MAC, 0)
    assert bed.stack.timers.poll_at() is None
    bed.neigh4.add_static(bed.lan, PEER, PEER_MAC, bed.now)
    assert (neigh.header, bed.neigh4.count) == (PEER_MAC + LAN_MAC, 0)


def test_deleting_hands_out_what_waited() -> None:
    """No packet is lost without a reason; the entry is gone with its timer, and is found dead by who still holds it."""
    bed, pkt = Bed(), packet()
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    neigh = entry(bed)
    bed.take()
    assert bed.neigh4.delete(bed.lan, PEER, DropReason.NS_CLOSING)
    assert not bed.neigh4.delete(bed.lan, PEER)
    assert bed.take() == [("fail", pkt, DropReason.NS_CLOSING)]
    assert (bed.lan.neigh4, bed.neigh4.count, bed.neigh4.queued) == ({}, 0, 0)
    assert (neigh.fresh_until, bed.stack.timers.poll_at()) == (0, None)
    bed.neigh4.add_static(bed.lan, PEER, PEER_MAC, bed.now)
    assert bed.neigh4.delete(bed.lan, PEER)
    assert bed.neigh4.count == 0


def test_flush_spares_other_devices_and_the_configured() -> None:
    """ip neigh flush: one device's dynamic entries; with `static` all; without a device the whole namespace."""
    bed = Bed()
    for dev in (bed.lan, bed.wan):
        bed.neigh4.add_static(dev, PEER, PEER_MAC, bed.now)
        bed.neigh4.learn(dev, PEER + 1, PEER_MAC, bed.now, create=True)
    assert bed.neigh4.flush(bed.lan) == 1
    assert (list(bed.lan.neigh4), len(bed.wan.neigh4)) == ([PEER], 2)
    assert bed.neigh4.flush(None, static=True) == 3
    assert (bed.lan.neigh4, bed.wan.neigh4, bed.neigh4.count) == ({}, {}, 0)


def test_a_device_that_goes_down_forgets_who_was_there() -> None:
    """RFC 1812 5.3.12.3: what waits becomes unreachable; configuration stays."""
    bed, pkt = Bed(), packet()
    bed.neigh4.add_static(bed.lan, PEER + 1, PEER_MAC, bed.now)
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    bed.neigh4.device_down(bed.lan)
    assert bed.take() == [("fail", pkt, DropReason.NEIGH_FAILED)]
    assert list(bed.lan.neigh4) == [PEER + 1]


def test_neighbours_that_left_the_link_are_forgotten_with_the_address() -> None:
    """A neighbour that became ourselves, or that no prefix and no route finds here, has no entry to keep."""
    bed = Bed()
    bed.route(PEER + 0x10000, 32, bed.lan)
    for addr in (PEER, ROUTER + 9, PEER + 0x10000, PEER + 0x20000):
        bed.neigh4.learn(bed.lan, addr, PEER_MAC, bed.now, create=True)
    bed.neigh4.add_static(bed.lan, PEER + 0x30000, PEER_MAC, bed.now)
    bed.address(bed.lan, "10.0.1.10/24")
    bed.neigh4.address_changed(bed.lan)
    assert list(bed.lan.neigh4) == [PEER, PEER + 0x10000, PEER + 0x30000]


def test_a_device_without_arp_needs_no_resolution() -> None:
    """NOARP: the header is made up, and packets go at once."""
    bed = Bed()
    lo = bed.device("lo", "lo", bytes(6))
    assert bed.neigh4.output(lo, PEER, packet(), bed.now) == 0
    neigh = bed.neigh4.get(lo, PEER)
    assert neigh is not None
    assert (neigh.state, neigh.header, neigh.fresh_until) == (NOARP, bytes(12), FOREVER)
    assert bed.take() == []


def test_entries_are_shown_as_they_are_now() -> None:
    """The state shown is right at any moment, also when nobody touched the entry since it ran out."""
    bed = Bed()
    neigh = reachable(bed)
    bed.neigh4.add_static(bed.wan, PEER, OTHER_MAC, bed.now)
    begin, end = bed.now, neigh.fresh_until
    assert bed.neigh4.entries(begin + 7) == [
        NeighRecord("red", "lan", PEER, PEER_MAC, REACHABLE, 7),
        NeighRecord("red", "wan", PEER, OTHER_MAC, PERMANENT, 7),
    ]
    assert bed.neigh4.entries(end + 3)[0] == NeighRecord("red", "lan", PEER, PEER_MAC, STALE, 3)
