"""Timers: plain data in one heap per stack, dispatched by kind, never closures.

A `Timer` belongs to one owner object and is armed for one deadline at a time; arming again moves it. What is left in
the heap of an earlier deadline is skipped when it comes up, and the heap is rebuilt when stale entries outnumber live
ones, so its size is bounded by twice the number of armed timers (plus a constant).
"""

from __future__ import annotations

import heapq
from enum import IntEnum
from typing import Any, Final

_SLACK: Final = 64


class TimerKind(IntEnum):
    """What is due; the stack's dispatch table is indexed by it."""

    NEIGH = 0
    REASSEMBLY = 1
    ACD = 2
    NEIGH_GC = 3
    DAD = 4
    NDP_ANSWER = 5
    ROUTER_ADVERT = 6
    ROUTER_SOLICIT = 7
    AUTOCONF = 8
    BRIDGE_AGE = 9
    STP_TICK = 10
    SNOOPING = 11
    GROUP_REPORT = 12
    GROUP_QUERY = 13
    SWEEP = 14
    TCP_RETRANSMIT = 15
    TCP_DELACK = 16
    TCP_KEEPALIVE = 17
    TCP_PACING = 18
    TCP_REQUEST = 19
    TCP_TIME_WAIT = 20


class Timer:
    """A deadline of `owner`; ``deadline`` is ns, or -1 when not armed."""

    __slots__ = ("deadline", "kind", "owner")

    def __init__(self, kind: TimerKind, owner: Any) -> None:
        self.kind = kind
        self.owner = owner
        self.deadline = -1


class TimerHeap:
    """All timers of a stack, in order of deadline, then of arming."""

    __slots__ = ("_armed", "_heap", "_seq")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._seq = 0
        self._armed = 0

    def __len__(self) -> int:
        return self._armed

    def arm(self, timer: Timer, deadline: int) -> None:
        """Make `timer` due at `deadline` (ns), instead of any deadline that it had."""
        if timer.deadline == deadline:
            return
        if timer.deadline < 0:
            self._armed += 1
        timer.deadline = deadline
        self._seq += 1
        heapq.heappush(self._heap, (deadline, self._seq, timer))
        if len(self._heap) > 2 * self._armed + _SLACK:
            self._compact()

    def cancel(self, timer: Timer) -> None:
        """Disarm `timer`; harmless when it is not armed."""
        if timer.deadline >= 0:
            timer.deadline = -1
            self._armed -= 1
            if len(self._heap) > 2 * self._armed + _SLACK:
                self._compact()

    def poll_at(self) -> int | None:
        """The earliest deadline in ns, or None."""
        heap = self._heap
        while heap and heap[0][0] != heap[0][2].deadline:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: int) -> Timer | None:
        """The next timer due at `now`, disarmed; None when nothing is due."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline, _, timer = heapq.heappop(heap)
            if timer.deadline == deadline:
                timer.deadline = -1
                self._armed -= 1
                return timer
        return None

    def armed(self) -> list[Timer]:
        """All armed timers, earliest first; for whoever asks what is still to happen, not for the data path."""
        live = {id(entry[2]): entry[2] for entry in sorted(self._heap, key=_order) if entry[0] == entry[2].deadline}
        return list(live.values())

    def _compact(self) -> None:
        live: dict[int, tuple[int, int, Timer]] = {}
        for entry in self._heap:
            if entry[0] == entry[2].deadline:
                live.setdefault(id(entry[2]), entry)
        self._heap = list(live.values())
        heapq.heapify(self._heap)


def _order(entry: tuple[int, int, Timer]) -> tuple[int, int]:
    return entry[:2]
