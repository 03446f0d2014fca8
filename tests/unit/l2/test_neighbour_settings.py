"""What the settings of a device mean for the neighbour machine."""

from dataclasses import replace

from tests.unit.l2.bed import PEER, PEER_MAC, SECOND, Bed, packet
from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l2.neighbour import FAILED, PROBE, QUEUED, REACHABLE, Neigh, NeighTable, neigh_conf_of


def state(bed: Bed) -> object:
    neigh = bed.neigh4.get(bed.lan, PEER)
    assert neigh is not None
    return neigh.state_at(bed.now)


def reachable(bed: Bed) -> Neigh:
    """The peer, resolved."""
    neigh = bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE, create=True)
    assert neigh is not None
    return neigh


def test_mcast_resolicit_asks_everybody_before_a_known_neighbour_has_failed() -> None:
    """RFC 7048 3: unicast probes, then questions to all; an answer to one of those saves the entry. Off by default."""
    bed = Bed()
    bed.lan.neigh_conf = replace(bed.lan.neigh_conf, ucast_solicit=1, mcast_resolicit=2)
    bed.now = reachable(bed).fresh_until
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(7 * SECOND)
    assert [(action[0], action[2]) for action in bed.take()] == [
        ("solicit", True),
        ("solicit", False),
        ("solicit", False),
    ]
    assert state(bed) is PROBE
    bed.advance(SECOND)
    assert state(bed) is FAILED
    assert bed.take() == []


def test_without_ucast_solicit_the_delay_ends_in_failure() -> None:
    """ucast_solicit 0 means that nobody is asked."""
    bed = Bed()
    bed.lan.neigh_conf = replace(bed.lan.neigh_conf, ucast_solicit=0)
    bed.now = reachable(bed).fresh_until
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.advance(5 * SECOND)
    assert state(bed) is FAILED
    assert bed.take() == []


def test_questions_stay_a_second_apart_over_a_failure() -> None:
    """RFC 1122 2.3.2.1: the flood prevention holds for the destination, not for one attempt."""
    bed = Bed()
    bed.lan.neigh_conf = replace(bed.lan.neigh_conf, mcast_solicit=1)
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    assert len(bed.take()) == 1
    bed.lan.neigh_conf = replace(bed.lan.neigh_conf, retrans_time=5 * SECOND)
    bed.advance(SECOND)
    assert [action[0] for action in bed.take()] == ["fail"]
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == QUEUED
    assert bed.take() == []
    bed.advance(4 * SECOND - 1)
    assert bed.take() == []
    bed.advance(1)
    assert [action[0] for action in bed.take()] == ["solicit"]


def test_each_family_reads_its_own_settings() -> None:
    """net.ipv6.neigh.lan is nothing to IPv4's table, nor the other way round."""
    bed = Bed()
    assert neigh_conf_of(bed.lan, V4) is bed.lan.neigh_conf
    assert neigh_conf_of(bed.lan, V6) is bed.lan.neigh_conf6
    bed.lan.neigh_conf6 = replace(bed.lan.neigh_conf6, mcast_solicit=1, retrans_time=9 * SECOND)
    bed.conf = replace(bed.conf, v6=replace(bed.conf.v6, gc_thresh3=1))
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == QUEUED
    assert bed.neigh4.output(bed.lan, PEER + 1, packet(), bed.now) == QUEUED
    bed.advance(3 * SECOND - 1)
    assert [action[0] for action in bed.take()] == ["solicit"] * 6
    six = NeighTable(bed, V6)
    assert six.output(bed.lan, 1, packet(), bed.now) == QUEUED
    assert six.output(bed.lan, 2, packet(), bed.now) == DropReason.NEIGH_TABLEFULL
    assert [action[0] for action in six.actions] == ["solicit"]
    assert six.actions[0][1].timer.deadline == bed.now + 9 * SECOND
    assert list(bed.lan.neigh6) == [1]
