"""The pace of segments, and how large superframes are."""

from __future__ import annotations

import pytest

from tests.unit.tcp.connection import connection
from vrouter.stack.base.timers import TimerHeap
from vrouter.stack.l4.tcp import pacing
from vrouter.stack.l4.tcp.info import Counts
from vrouter.stack.l4.tcp.tcb import MS, SECOND


def paced(rate: int):
    tcb = connection()
    tcb.pacing_rate = rate
    tcb.info = Counts()
    tcb.info.data_segs_out = pacing.FREE_SEGMENTS
    tcb.ns.stack.timers = TimerHeap()
    return tcb


@pytest.mark.parametrize(
    ("rate", "segments"),
    [(1000, 2), (2_000_000, 2), (3_100_000, 3), (20_000_000, 19)],
)
def test_a_superframe_is_what_leaves_in_a_millisecond(rate: int, segments: int) -> None:
    """tcp_tso_autosize: rate / 1024 bytes, in whole segments, two at least."""
    assert pacing.quantum(paced(rate), 1000) == segments * 1000


def test_without_a_pace_the_window_tells_the_rate() -> None:
    """Twice the window for each round trip, as in slow start: 10,000 bytes in 100 ms are 200,000 a second."""
    tcb = connection(cwnd=1000)
    assert pacing.quantum(tcb, 1000) == 2 * 1_000_000 * 10 // 1024 // 1000 * 1000
    tcb.srtt = 0
    assert pacing.quantum(tcb, 1000) == pacing.MOST


def test_the_mean_is_the_rate_although_the_timer_is_late() -> None:
    """A timer with a grain of a millisecond: what it is late is made up for, so that a second carries the rate."""
    tcb = paced(5_000_000)
    now = tcb.pacing_at = SECOND
    sent = 0
    while now < 2 * SECOND:
        while pacing.may_send(tcb, now):
            pacing.sent(tcb, 4000, now)
            sent += 4000
        now = -(-tcb.pacing_at // MS) * MS
    assert 4_990_000 < sent < 5_010_000


def test_who_may_not_send_waits_for_the_moment() -> None:
    """The timer is armed for when the last superframe is through at the rate."""
    tcb = paced(1_000_000)
    now = tcb.pacing_at = SECOND
    pacing.sent(tcb, 2000, now)
    assert not pacing.may_send(tcb, now)
    assert tcb.pacing.deadline == now + 2 * MS
    assert pacing.may_send(tcb, now + 2 * MS)


def test_the_first_segments_are_free() -> None:
    """tcp_update_skb_after_send: with the tenth segment of a connection the pace begins."""
    tcb = paced(1_000_000)
    tcb.info.data_segs_out = pacing.FREE_SEGMENTS - 1
    now = tcb.pacing_at = SECOND
    pacing.sent(tcb, 2000, now)
    assert pacing.may_send(tcb, now)
    tcb.info.data_segs_out += 1
    pacing.sent(tcb, 2000, now)
    assert not pacing.may_send(tcb, now)


@pytest.mark.parametrize(("late", "wait"), [(0, 8), (1, 7), (3, 5), (4, 4), (5, 4), (1000, 4)])
def test_half_of_a_superframes_time_is_made_up_for(late: int, wait: int) -> None:
    """tcp_update_skb_after_send: who is late by some ms waits for less, but for half of the time at least."""
    tcb = paced(1_000_000)
    tcb.pacing_at = 2 * SECOND
    now = 2 * SECOND + late * MS
    pacing.sent(tcb, 8000, now)
    assert tcb.pacing_at == now + wait * MS
