"""What big tables leave behind is cleared away a piece at a time, between packets.

A table that lost its routes (`Fib.purge`) or that is out of use altogether is given to the `Sweeper` of the stack. A
small one is done at once. A big one is worked off by a timer, `PIECE` prefixes at a time with `PAUSE` in between, so
that nobody waits for it; what packets meet does not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.timers import Timer, TimerKind

if TYPE_CHECKING:
    from vrouter.stack.l3.fib import Fib
    from vrouter.stack.stack import Stack

PIECE: Final = 4000  # prefixes: a few ms
PAUSE: Final = 1_000_000  # ns


class Sweeper:
    """The tables of one stack that are to be cleared."""

    __slots__ = ("_stack", "_timer", "_work")

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._timer = Timer(TimerKind.SWEEP, self)
        self._work: dict[Callable[[int], bool], None] = {}

    def __len__(self) -> int:
        """How many tables wait."""
        return len(self._work)

    def sweep(self, table: Fib) -> None:
        """Clear what a table in use has of routes that are gone."""
        self._take(table.sweep)

    def shrink(self, table: Fib) -> None:
        """Clear a table that nobody will look anything up in."""
        self._work.pop(table.sweep, None)
        self._take(table.shrink)
        if not self._work:
            self._stack.timers.cancel(self._timer)

    def timer_fired(self, now: int) -> None:
        """Do a piece of the work."""
        work = next(iter(self._work))
        del self._work[work]
        if not work(PIECE):
            self._work[work] = None  # behind the others
        if self._work:
            self._stack.timers.arm(self._timer, now + PAUSE)

    def _take(self, work: Callable[[int], bool]) -> None:
        if work in self._work or work(PIECE):
            return
        self._work[work] = None
        if self._timer.deadline < 0:
            self._stack.timers.arm(self._timer, self._stack.now + PAUSE)
