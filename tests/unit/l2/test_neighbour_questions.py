"""How often one address may be asked for, whatever becomes of its entry (RFC 1122 2.3.2.1)."""

from tests.unit.l2.bed import PEER, PEER_MAC, SECOND, Bed, packet
from vrouter.stack.l2.neighbour import KEPT_QUESTIONS, QUEUED


def test_a_forgotten_entry_is_not_asked_for_again_at_once() -> None:
    """RFC 1122 2.3.2.1: no more than one request a second for one address, also when its entry is made anew."""
    bed = Bed()
    asked = []
    for _ in range(3):
        bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
        asked += [action for action in bed.take() if action[0] == "solicit"]
        bed.neigh4.flush(bed.lan)
        bed.take()
        bed.now += 1
    assert len(asked) == 1
    assert bed.neigh4.output(bed.lan, PEER + 1, packet(), bed.now) == QUEUED
    assert [action[0] for action in bed.take()] == ["solicit"]
    assert bed.neigh4.output(bed.lan, PEER, packet(), bed.now) == QUEUED
    neigh = bed.neigh4.get(bed.lan, PEER)
    assert neigh is not None
    assert neigh.timer is not None
    assert neigh.timer.deadline == 1001 * SECOND


def test_what_is_kept_of_forgotten_entries_is_bounded() -> None:
    """The last 1024 questions are remembered, and none is for entries that were never asked for."""
    bed = Bed()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, create=True)
    bed.neigh4.flush(bed.lan)
    assert len(bed.neigh4._asked) == 0
    for low in range(KEPT_QUESTIONS + 7):
        bed.neigh4.output(bed.lan, PEER + 9 + low, packet(), bed.now)
        bed.neigh4.flush(bed.lan)
        bed.take()
    assert len(bed.neigh4._asked) == KEPT_QUESTIONS == 1024
