"""Timers: armed, moved, cancelled, in order, and bounded."""

import heapq

from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base.timers import Timer, TimerHeap, TimerKind


def test_due_timers_come_in_order_of_deadline_then_of_arming() -> None:
    """The same calls give the same order: ties are broken by arming, not by identity."""
    heap = TimerHeap()
    late, first, second = (Timer(TimerKind.NEIGH, name) for name in ("late", "first", "second"))
    heap.arm(late, 30)
    heap.arm(first, 10)
    heap.arm(second, 10)
    assert heap.poll_at() == 10
    assert [heap.pop_due(30).owner for _ in range(3)] == ["first", "second", "late"]
    assert heap.pop_due(30) is None
    assert heap.poll_at() is None


def test_arming_again_moves_the_deadline_both_ways() -> None:
    """A timer has one deadline: what was armed before is forgotten."""
    heap, timer = TimerHeap(), Timer(TimerKind.ACD, "x")
    heap.arm(timer, 10)
    heap.arm(timer, 50)
    assert heap.pop_due(49) is None
    assert heap.poll_at() == 50
    heap.arm(timer, 20)
    assert heap.poll_at() == 20
    assert heap.pop_due(20) is timer
    assert timer.deadline == -1
    assert heap.pop_due(50) is None
    assert len(heap) == 0


def test_a_cancelled_timer_is_never_due_and_can_be_armed_again() -> None:
    """`cancel` is harmless when nothing is armed, and final until the next `arm`."""
    heap, timer = TimerHeap(), Timer(TimerKind.NEIGH, "x")
    heap.cancel(timer)
    heap.arm(timer, 10)
    heap.cancel(timer)
    assert heap.poll_at() is None
    assert heap.pop_due(100) is None
    heap.arm(timer, 10)
    assert heap.pop_due(10) is timer


def test_a_timer_that_is_not_due_yet_stays() -> None:
    """Nothing fires before its deadline."""
    heap, timer = TimerHeap(), Timer(TimerKind.NEIGH, "x")
    heap.arm(timer, 10)
    assert heap.pop_due(9) is None
    assert heap.poll_at() == 10


def test_moving_one_timer_for_ever_does_not_grow_the_heap() -> None:
    """Whoever makes the stack re-arm a timer with every packet costs no memory."""
    heap, timer = TimerHeap(), Timer(TimerKind.NEIGH, "x")
    for deadline in range(1, 10_000):
        heap.arm(timer, deadline)
    assert len(heap._heap) <= 66
    assert heap.pop_due(9_998) is None
    assert heap.pop_due(9_999) is timer


@given(
    st.lists(st.tuples(st.sampled_from(["arm", "cancel", "pop"]), st.integers(0, 7), st.integers(0, 40)), max_size=200)
)
def test_the_heap_equals_a_list_that_is_searched(steps: list[tuple[str, int, int]]) -> None:
    """Twin: a dictionary of deadlines, searched for the least."""
    heap = TimerHeap()
    timers = [Timer(TimerKind.NEIGH, index) for index in range(8)]
    armed: dict[int, tuple[int, int]] = {}
    order = 0
    for step, which, when in steps:
        if step == "arm":
            heap.arm(timers[which], when)
            if armed.get(which, (None, 0))[0] != when:
                order += 1
                armed[which] = (when, order)
        elif step == "cancel":
            heap.cancel(timers[which])
            armed.pop(which, None)
        else:
            due = [(deadline, seq, index) for index, (deadline, seq) in armed.items() if deadline <= when]
            expected = heapq.nsmallest(1, due)
            got = heap.pop_due(when)
            assert (got.owner if got else None) == (expected[0][2] if expected else None)
            if expected:
                del armed[expected[0][2]]
        assert len(heap) == len(armed)
        assert heap.poll_at() == min((deadline for deadline, _ in armed.values()), default=None)
