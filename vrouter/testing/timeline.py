"""Virtual time: everything that will happen, in order, and a clock that jumps from one thing to the next.

What happens is of two kinds: events (a frame arrives, a test's own function is due) and the timers of stacks. Of a
stack only its earliest timer is known here, and asked for again whenever the stack was touched. Things due at the same
instant happen in the order in which they were planned; what a thing causes comes after it.

**Idle** is a network in which nothing will happen by itself any more: no event is left, and no timer is armed but those
of housekeeping (`HOUSEKEEPING`): they forget what is old, or go on for ever, as what routers advertise and switches
tell each other does. Retries, timeouts of resolution and reassembly, probes and announcements are waited for, so their
consequences have happened when the network is idle. What periodic messages bring about is waited for by `run_for` or
`run_until`.

Times are int nanoseconds, durations given by a test are seconds.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.timers import TimerKind
from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    from vrouter.testing.node import Machine

SECOND: Final = 1_000_000_000
STEP_LIMIT: Final = 1_000_000
HOUSEKEEPING: Final = frozenset(
    {
        TimerKind.NEIGH_GC,
        TimerKind.ROUTER_ADVERT,
        TimerKind.ROUTER_SOLICIT,
        TimerKind.AUTOCONF,
        TimerKind.BRIDGE_AGE,
        TimerKind.STP_TICK,
        TimerKind.SNOOPING,
        TimerKind.GROUP_QUERY,
    }
)


class Timeline:
    """The clock, and what is planned. `now` is int ns and starts at 0."""

    def __init__(self) -> None:
        self.now = 0
        self.machines: list[Machine] = []
        self._plan: list[tuple[int, int, Callable[[], None] | None, Any]] = []
        self._planned = 0  # everything ever put into the plan: what orders things of the same instant
        self._events = 0  # in the plan, stacks' timers apart
        self._running = ""  # which call moves the time

    # -- planning -----------------------------------------------------------------------------------------------------

    def at(self, due: int, action: Callable[[], None], owner: Any = None) -> None:
        """Plan `action` for the instant `due` (ns); `owner` names it when something is wrong."""
        self._planned += 1
        self._events += 1
        heapq.heappush(self._plan, (max(due, self.now), self._planned, action, owner or action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan `action` for `seconds` from now: ``lab.after(5, wire.cut)``."""
        self.at(self.now + round(seconds * SECOND), action)

    def touch(self, machine: Machine) -> None:
        """A stack was told something: carry on what it says, and look when it wants to be called."""
        machine.settle()
        due = machine.stack.poll_at()
        if due is not None and due != machine.armed:
            machine.armed = due
            self._planned += 1
            heapq.heappush(self._plan, (max(due, self.now), self._planned, None, machine))

    def collect(self) -> None:
        """Touch every stack: a test may have used any of them directly."""
        for machine in self.machines:
            self.touch(machine)

    # -- moving -------------------------------------------------------------------------------------------------------

    def step(self, until: int | None = None) -> bool:
        """Do the next thing, if it is due by `until`; False when there is none. Housekeeping counts."""
        plan = self._plan
        while plan and (until is None or plan[0][0] <= until):
            due, _, action, owner = heapq.heappop(plan)
            if action is not None:
                self._events -= 1
                self.now = due
                action()
                return True
            if owner.armed is None or max(owner.armed, due) != due:
                continue  # planned for a deadline that was moved
            owner.armed = None
            earliest = owner.stack.poll_at()
            if earliest is None or earliest > due:
                self.touch(owner)
                continue
            self.now = due
            owner.stack.poll(due)
            self.touch(owner)
            return True
        return False

    def run_for(self, seconds: float) -> None:
        """Let `seconds` pass."""
        with self._moving("run_for"):
            self._run_to(self.now + round(seconds * SECOND))

    def _run_to(self, until: int) -> None:
        instant, steps = self.now, 0
        while self.step(until):
            steps = steps + 1 if self.now == instant else 0
            instant = self.now
            if steps > STEP_LIMIT:
                raise LabError(f"time stands still: {steps:,} steps at {instant:,} ns; {self._busy()}")
        self.now = max(self.now, until)

    def run_until_idle(self, limit: int = STEP_LIMIT) -> None:
        """Let time pass until nothing will happen by itself any more (see the module's text).

        LabError when that is not so after `limit` steps, with what keeps the network busy.
        """
        with self._moving("run_until_idle"):
            began, steps = self.now, 0
            while not self.idle and self.step():
                steps += 1
                if steps >= limit and not self.idle:
                    passed = (self.now - began) / SECOND
                    raise LabError(f"not idle after {steps:,} steps ({passed:g} s of its time): {self._busy()}")

    def run_until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Let time pass until `condition()` is true; LabError when it is not within `timeout` seconds."""
        if not self.runs_until(condition, timeout):
            raise LabError(f"waited for {timeout:g} s in vain; {self._busy()}")

    def runs_until(self, condition: Callable[[], object], timeout: float) -> bool:
        """Let time pass until `condition()` is true, for `timeout` seconds at most; whether it became true."""
        with self._moving("run_until"):
            until = self.now + round(timeout * SECOND)
            while not condition():
                if not self.step(until):
                    self.now = max(self.now, until)
                    return bool(condition())
            return True

    @contextlib.contextmanager
    def _moving(self, call: str) -> Iterator[None]:
        if self._running:
            raise LabError(f"{call} within {self._running}: the time is moving already")
        self._running = call
        try:
            self.collect()
            yield
        finally:
            self._running = ""

    # -- idleness -----------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing will happen by itself any more."""
        return not self._events and not any(
            timer.kind not in HOUSEKEEPING for machine in self.machines for timer in machine.stack.timers.armed()
        )

    def _busy(self) -> str:
        """What is still to happen, as text."""
        waiting = Counter(str(owner) for _, _, action, owner in self._plan if action is not None)
        texts = [f"{count} × {owner}" if count > 1 else owner for owner, count in waiting.most_common(5)]
        for machine in self.machines:
            kinds = Counter(TimerKind(timer.kind).name for timer in machine.stack.timers.armed())
            texts += [
                f"{count} timer{'s' if count > 1 else ''} {kind} of {machine.name}" for kind, count in kinds.items()
            ]
        return f"still to happen: {', '.join(texts)}" if texts else "nothing is left to happen"
