"""An asyncio event loop whose clock is the lab's: when nothing is ready, time jumps to what happens next.

Everything of asyncio works on it; ``await asyncio.sleep(3600)`` takes as long as what the network does in that hour.
The next thing is either a timer of the loop or a step of the lab, whichever is due first; between any two steps of the
lab the loop runs what became ready.

While a function runs in an executor (`asyncio.to_thread`), time stands still: how long that takes is not the lab's to
say, and so the result stays the same. Code that waits for real descriptors works as long as time has something else to
do, or they become ready within `GRACE` seconds of real time. Otherwise a loop in which nothing will ever be ready is a
deadlock: a LabError that names the tasks and what they wait for.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

from vrouter.loop import ScopedLoop
from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab

_Ts = TypeVarTuple("_Ts")
_Result = TypeVar("_Result")

SECOND: Final = 1_000_000_000
GRACE: Final = 0.5  # s of real time
STEP_LIMIT: Final = 1_000_000


class _VirtualSelector(selectors.DefaultSelector):
    """Real descriptors are looked at without waiting; instead of waiting, the lab makes a step."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self.loop: VirtualLoop | None = None
        self._idle_steps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        lab, loop = self.lab, self.loop
        assert loop is not None
        loop.stirred = False
        lab.collect()  # what the callbacks since the last time made the stacks say
        ready = super().select(0)
        if ready or loop.stirred or (timeout is not None and timeout <= 0):
            self._idle_steps = 0
            return ready
        if loop.in_executor:
            return super().select(None)
        until = None if timeout is None else lab.now + max(1, round(timeout * SECOND))
        if lab.step(until):
            self._idle_steps += 1
            if self._idle_steps > STEP_LIMIT and until is None:
                raise LabError(f"{STEP_LIMIT:,} steps, and nothing that a task waits for\n{loop.describe_tasks()}")
            return []
        if until is not None:
            lab.now = max(lab.now, until)
            return []
        ready = super().select(GRACE)
        if not ready:
            loop.raise_error()  # which may well be why
            raise LabError(f"deadlock: nothing will happen any more, and all wait\n{loop.describe_tasks()}")
        return ready


class VirtualLoop(ScopedLoop, asyncio.SelectorEventLoop):
    """The loop of `Lab.run`."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.in_executor = 0
        self.stirred = False  # whether a callback was planned since the selector last looked
        self.errors: list[BaseException] = []
        selector = _VirtualSelector(lab)
        super().__init__(selector)
        selector.loop = self
        self._clock_resolution: float = 1 / SECOND
        self.set_exception_handler(self._keep_error)

    def time(self) -> float:
        """The lab's time, in seconds."""
        return self.lab.now / SECOND

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As always."""
        self.stirred = True
        return super().call_soon(callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As always."""
        self.stirred = True
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _Result], *args: *_Ts
    ) -> asyncio.Future[_Result]:
        """As always; time stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self.in_executor += 1
        future.add_done_callback(self._executed)
        return future

    def _executed(self, _: asyncio.Future[Any]) -> None:
        self.in_executor -= 1

    def describe_tasks(self) -> str:
        """One line for each task: where it waits."""
        lines = []
        for task in sorted(asyncio.all_tasks(self), key=lambda one: one.get_name()):
            frames = task.get_stack(limit=1)
            place = f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else "?"
            lines.append(f"  {task.get_name()} at {place}")
        return "\n".join(lines)

    def raise_error(self) -> None:
        """Raise the first error that nobody handled: it must not be lost in a log."""
        if self.errors:
            error, self.errors[:] = self.errors[0], []
            raise error

    def cancel_all(self) -> None:
        """Cancel every task, and let them end."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _keep_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context.get("exception") or LabError(str(context.get("message"))))
