"""A capture whose frames are read while they pass: the stack's `Capture`, and one reader on the loop that it wakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.capture import Capture, CapturedFrame

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    from vrouter.stack.device import Device


class LiveCapture(Capture):
    """A capture that wakes its reader."""

    __slots__ = ("_ended", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop, snaplen: int, matches: Callable[[bytes], bool] | None) -> None:
        super().__init__(snaplen=snaplen, matches=matches)
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def record(self, dev: Device, direction: int, frame: bytes, now: int) -> None:
        """One frame passed."""
        super().record(dev, direction, frame, now)
        self._wake()

    def end(self) -> None:
        """The router stops."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def follow(self, devices: list[Device], running: set[LiveCapture]) -> AsyncIterator[CapturedFrame]:
        """Frames as they pass, until the reader closes it or the router stops."""
        for device in devices:
            self.attach(device)
        running.add(self)
        try:
            while not self._ended:
                for frame in self.take():
                    yield frame
                if not self.frames and not self._ended:
                    self._waiter = self._loop.create_future()
                    await self._waiter
        finally:
            running.discard(self)
            self.detach()
