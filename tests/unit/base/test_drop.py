"""The table of drop reasons, the statistics, and the event ring."""

from vrouter.stack.base.counters import N_STATS, Stat, new_drops, new_stats
from vrouter.stack.base.drop import DROP_TABLE, IS_EGRESS, N_REASONS, DropReason, Layer
from vrouter.stack.base.events import EventKind, EventLog


def test_every_reason_has_one_row_and_its_value_is_its_index() -> None:
    """The counter is indexed by the reason: no holes, no second list."""
    assert [int(reason) for reason in DropReason] == list(range(N_REASONS))
    assert set(DROP_TABLE) == set(DropReason) - {DropReason.NOT_DROPPED}
    assert all(row.text and row.text == row.text.strip() for row in DROP_TABLE.values())
    assert len({row.text for row in DROP_TABLE.values()}) == len(DROP_TABLE)


def test_no_reason_says_nothing() -> None:
    """There is no UNKNOWN and no OTHER."""
    assert not {"UNKNOWN", "OTHER", "NOT_SPECIFIED"} & {reason.name for reason in DropReason}


def test_egress_reasons_are_those_of_the_way_out() -> None:
    """They are counted at the device by which the packet was leaving."""
    assert {r for r in DropReason if IS_EGRESS[r]} == {
        r for r, row in DROP_TABLE.items() if row.layer in (Layer.EGRESS, Layer.NEIGHBOUR)
    }
    assert IS_EGRESS[DropReason.FULL_RING]
    assert not IS_EGRESS[DropReason.OTHERHOST]


def test_counters_start_at_zero_and_cover_every_index() -> None:
    """64 bits each: they do not wrap in the life of a router."""
    assert [int(stat) for stat in Stat] == list(range(N_STATS))
    assert list(new_stats()) == [0] * N_STATS
    assert list(new_drops()) == [0] * N_REASONS
    assert new_stats().itemsize == 8


def test_the_ring_of_events_keeps_the_newest_and_shows_the_gap() -> None:
    """A reader that does not come costs bounded memory, and can see what it lost by the numbers."""
    log = EventLog()
    for number in range(3000):
        log.add(number, EventKind.ADDRESS_ADD, "red", "lan", address=number)
    events = log.take()
    assert len(events) == 1024
    assert [event.seq for event in events] == list(range(1977, 3001))
    assert events[-1].fields == {"address": 2999}
    assert log.take() == []
