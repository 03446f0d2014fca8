"""``loop.sendfile`` into a transport of a namespace: a thread reads the file, and the transport's flow control sets the
pace.

The protocol hears nothing meanwhile but the loss of its connection; what comes is read afterwards.
"""

from __future__ import annotations

import asyncio
from typing import IO, Any, Final

BLOCK: Final = 256 * 1024


class _Pacer(asyncio.Protocol):
    """Stands in for a protocol while a file is sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, paused: bool) -> None:
        self.protocol = protocol
        self.was_paused = self.is_paused = paused
        self.lost = False
        self.error: BaseException | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost, self.error = True, exc
        self._wake()
        self.protocol.connection_lost(exc)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        while self.is_paused and not self.lost:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.lost:
            raise self.error or ConnectionError("Connection is closed by peer")

    def restore(self, transport: Any) -> None:
        """The protocol is told again, also of a change of pace that it has missed."""
        transport.set_protocol(self.protocol)
        if self.lost or self.is_paused == self.was_paused:
            return
        if self.is_paused:
            self.protocol.pause_writing()
        else:
            self.protocol.resume_writing()


async def sendfile(
    loop: asyncio.AbstractEventLoop,
    transport: Any,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool = True,
) -> int:
    """How many bytes of `file` were sent. RuntimeError for a transport that closes; SendfileNotAvailableError without
    `fallback`, since there is no kernel to do it; ConnectionError when the connection is lost."""
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    if not fallback:
        raise asyncio.SendfileNotAvailableError("sendfile is not available for a transport of a namespace")
    if offset:
        file.seek(offset)
    reading = transport.is_reading()
    pacer = _Pacer(
        loop, transport.get_protocol(), transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1]
    )
    transport.pause_reading()
    transport.set_protocol(pacer)
    total = 0
    try:
        while count is None or total < count:
            size = BLOCK if count is None else min(BLOCK, count - total)
            block = await loop.run_in_executor(None, file.read, size)
            if not block:
                break
            await pacer.drain()
            transport.write(block)
            total += len(block)
        return total
    finally:
        if total > 0:
            file.seek(offset + total)
        pacer.restore(transport)
        if reading:
            transport.resume_reading()
