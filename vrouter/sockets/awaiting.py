"""The loop's ``sock_*`` calls for sockets of a namespace: each tries the call, and waits while that would block.

SO_RCVTIMEO and SO_SNDTIMEO of a socket bound the waiting, with the error that a blocking call has in the kernel: EAGAIN
(BlockingIOError), and EINPROGRESS of a connect, which goes on by itself. A cancelled call has done nothing, or as much
as was sent.

Expects: a `NetnsSocket` that no transport drives, on its own loop's thread.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from vrouter.stack.l4 import constants as c

if TYPE_CHECKING:
    from vrouter.sockets.bsd import NetnsSocket
    from vrouter.stack.l4.names import Name
    from vrouter.stack.l4.socket import Buffer

_Result = TypeVar("_Result")

SECOND: Final = 1_000_000_000
FILE_BLOCK: Final = 256 * 1024


async def _until_done(
    sock: NetnsSocket, sending: bool, late: int, function: Callable[..., _Result], *args: Any
) -> _Result:
    """What `function` gives as soon as it does not block; OSError `late` when the socket's patience is over."""
    bell, loop = sock.bell, sock.driver.loop
    waiters = bell.writers if sending else bell.readers
    patience = sock.stack.timeouts[sending]
    deadline = loop.time() + patience / SECOND if patience else None
    while True:
        try:
            return function(*args)
        except (BlockingIOError, InterruptedError):
            pass
        waiter = loop.create_future()
        alarm = None if deadline is None else loop.call_at(deadline, _ring, waiter)
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)
            if alarm is not None:
                alarm.cancel()
        if deadline is not None and loop.time() >= deadline:
            try:
                return function(*args)
            except (BlockingIOError, InterruptedError):
                raise BlockingIOError(late, os.strerror(late)) from None


def _ring(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def recv(sock: NetnsSocket, bufsize: int) -> bytes:
    """``loop.sock_recv``."""
    return await _until_done(sock, False, errno.EAGAIN, sock.recv, bufsize)


async def recv_into(sock: NetnsSocket, buffer: bytearray | memoryview) -> int:
    """``loop.sock_recv_into``."""
    return await _until_done(sock, False, errno.EAGAIN, sock.recv_into, buffer)


async def recvfrom(sock: NetnsSocket, bufsize: int) -> tuple[bytes, Name]:
    """``loop.sock_recvfrom``."""
    return await _until_done(sock, False, errno.EAGAIN, sock.recvfrom, bufsize)


async def recvfrom_into(sock: NetnsSocket, buffer: bytearray | memoryview, nbytes: int = 0) -> tuple[int, Name]:
    """``loop.sock_recvfrom_into``."""
    return await _until_done(sock, False, errno.EAGAIN, sock.recvfrom_into, buffer, nbytes)


async def sendall(sock: NetnsSocket, data: Buffer) -> None:
    """``loop.sock_sendall``."""
    rest = memoryview(data).cast("B")
    while rest:
        sent = await _until_done(sock, True, errno.EAGAIN, sock.send, rest)
        rest = rest[sent:]


async def sendto(sock: NetnsSocket, data: Buffer, address: Any) -> int:
    """``loop.sock_sendto``."""
    return await _until_done(sock, True, errno.EAGAIN, sock.sendto, data, address)


async def accept(sock: NetnsSocket) -> tuple[NetnsSocket, Name]:
    """``loop.sock_accept``."""
    return await _until_done(sock, False, errno.EAGAIN, sock.accept)


async def connect(sock: NetnsSocket, address: Name) -> None:
    """``loop.sock_connect`` to a numeric address; OSError ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH …"""
    try:
        sock.connect(address)
    except (BlockingIOError, InterruptedError):
        await _until_done(sock, True, errno.EINPROGRESS, _finish_connect, sock, address)


def _finish_connect(sock: NetnsSocket, address: Name) -> None:
    if not sock.stack.writable:
        raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
    code = sock.getsockopt(c.SOL_SOCKET, c.SO_ERROR)
    assert isinstance(code, int)
    if code:
        raise OSError(code, f"Connect call failed {address}")


async def sendfile(sock: NetnsSocket, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
    """``loop.sock_sendfile``: the file's bytes are read in a thread and sent; how many they were."""
    loop = sock.driver.loop
    if offset:
        file.seek(offset)
    total = 0
    try:
        while count is None or total < count:
            block = await loop.run_in_executor(
                None, file.read, FILE_BLOCK if count is None else min(FILE_BLOCK, count - total)
            )
            if not block:
                break
            await sendall(sock, block)
            total += len(block)
        return total
    finally:
        if total > 0:
            file.seek(offset + total)
