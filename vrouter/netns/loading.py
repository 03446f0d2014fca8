"""A full table from a stream of bytes, while the loop goes on with everything else.

Bytes come in pieces (a file, the body of a request); whole lines of them wait for the stack's `RouteLoad`, which takes
some thousand at a time. Between two of its steps the loop has its turn. Not more than one piece waits. However it
ends, what was read and is not used is let go of piece by piece, too.

Read first: `stack.l3.route_load`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from vrouter.driver import in_thread
from vrouter.errors import ConfigError, Problem
from vrouter.stack.l3.route_load import BUDGET

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.stack.l3.route_load import RouteLoad
    from vrouter.stack.netns import Netns

MAX_LINE: Final = 65536
_SHOWN: Final = 240  # characters of what is wrong with a line
_PIECE_BYTES: Final = 1 << 18


class Loaded(NamedTuple):
    """What a load has done: how many routes are in use by it, and how long it took."""

    routes: int
    time_ns: int


class _Waiting:
    """Lines that wait. It has an end whenever none does, and goes on when there are more."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        self.lines: deque[str] = deque()

    def __iter__(self) -> _Waiting:
        return self

    def __next__(self) -> str:
        if not self.lines:
            raise StopIteration
        return self.lines.popleft()


async def load(
    driver: Driver, ns: Netns, pieces: AsyncGenerator[bytes, None], *, name: str = "", replace: bool = False
) -> Loaded:
    """Load the routes that the lines in `pieces` say, which is closed in the end; `Netns.load_routes` of the face has
    the errors. `name` is what the lines are called in them."""
    began = time.monotonic_ns()
    waiting = _Waiting()
    work = ns.load_routes(waiting, replace=replace)
    try:
        rest = b""
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                rest = _take_lines(waiting, rest + piece)
                while len(waiting.lines) >= BUDGET:
                    _step(driver, work)
                    await asyncio.sleep(0)
        if rest:
            waiting.lines.append(rest.decode("utf-8", "replace"))
        await _finish(driver, work)
    except BaseException:
        work.abandon()
        waiting.lines.clear()
        await _finish(driver, work)
        raise
    if ns.closing and not work.applied:  # a device that is gone is no fault of the lines
        raise OSError(errno.ECANCELED, f"namespace {ns.name!r} was removed meanwhile")
    if work.problem_count:
        raise ConfigError(_problems(work, name))
    return Loaded(work.routes, time.monotonic_ns() - began)


def _take_lines(waiting: _Waiting, data: bytes) -> bytes:
    """Let the whole lines wait; what is left."""
    end = data.rfind(b"\n") + 1
    lines = data[: end - 1].decode("utf-8", "replace").split("\n") if end else []
    if max(map(len, lines), default=0) > MAX_LINE or len(data) - end > MAX_LINE:
        raise ValueError(f"a line has more than {MAX_LINE} bytes: these are no routes")
    waiting.lines.extend(lines)
    return data[end:]


def _step(driver: Driver, work: RouteLoad) -> bool:
    try:
        return work.step(BUDGET)
    finally:
        driver.settle(driver.clock())


async def _finish(driver: Driver, work: RouteLoad) -> None:
    done = False
    while not done:
        done = _step(driver, work)
        await asyncio.sleep(0)  # the others' turn


def _problems(work: RouteLoad, name: str) -> list[Problem]:
    found = [Problem(name, line, 1 if line else 0, "", text[:_SHOWN]) for line, text in work.problems]
    more = work.problem_count - len(found)
    if more:
        found[-1].message += f" (and {more} more lines are wrong)"
    return found


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    return open(path, "rb")


async def pieces_of(
    source: str | os.PathLike[str] | Iterable[str] | AsyncIterable[bytes],
) -> AsyncGenerator[bytes, None]:
    """What `load` takes, of a file's path, of lines, or of pieces of bytes."""
    if isinstance(source, str | os.PathLike):
        file = await in_thread(_open, source)
        try:
            while piece := await in_thread(file.read, _PIECE_BYTES):
                yield piece
        finally:
            file.close()
    elif isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
    else:
        lines = iter(source)
        while some := list(islice(lines, BUDGET)):
            yield "".join(line if line.endswith("\n") else f"{line}\n" for line in some).encode()
