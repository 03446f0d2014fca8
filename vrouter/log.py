"""Logs of `vrouter run`: structlog lines on standard output, JSON or for a terminal, that never block the router.

The chain: rate limit, level, time, rendering, and a queue that a thread empties. The thread is the only one who writes,
so a pipe that nobody reads stops the thread and not the loop; when the queue is full, lines are lost, counted, and told
in a line of their own as soon as one can be written again.

A namespace's and device's names are the fields ``netns`` and ``dev``. Nothing is logged per packet: what is logged are
the stack's events, which are changes of state.

Nothing here is global: each `Log` has its own chain, and structlog's defaults stay as they are.
"""

from __future__ import annotations

import importlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vrouter.stack.base.addresses import BITS, V4, V6, format_address, format_mac
from vrouter.stack.base.events import EventKind

if TYPE_CHECKING:
    from vrouter.stack.base.events import Event


def _import_structlog() -> Any:
    """structlog without rich, which it would import for tracebacks where that is installed: 28 ms of a start."""
    if "rich" in sys.modules:
        return importlib.import_module("structlog")
    sys.modules["rich"] = None  # type: ignore[assignment] # how an import is told that there is no such module
    try:
        return importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


structlog: Final = _import_structlog()

STDOUT: Final = 1
LINES: Final = 1000  # that wait for a slow reader
BURST: Final = 100  # lines of one event that pass at once
PER_SECOND: Final = 10  # lines of one event that pass in the long run
_KINDS: Final = 256  # of events that are limited one by one
_CLOSE_SECONDS: Final = 0.5
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_WARNINGS: Final = (EventKind.ADDRESS_CONFLICT,)
_DETAILS: Final = (EventKind.NEIGH_FAILED,)


class LineWriter:
    """Writes lines to a descriptor from a thread of its own; ``lost`` counts what found the queue full."""

    def __init__(self, fd: int, limit: int = LINES) -> None:
        self._fd = fd
        self._limit = limit
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="vrouter-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue a line, without its end; never blocks."""
        if self._queue.qsize() >= self._limit:
            self.lost += 1
        else:
            self._queue.put(line)

    def close(self, seconds: float = _CLOSE_SECONDS) -> bool:
        """Write what waits, for so long at most; whether all of it was written."""
        self._queue.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        told = 0
        while (line := self._queue.get()) is not None:
            self._put(line)
            lost = self.lost
            if lost != told:
                record = {"level": "warning", "event": "log lines lost", "count": lost - told}
                self._put(msgspec.json.encode(record))
                told = lost

    def _put(self, line: bytes) -> None:
        rest = memoryview(line + b"\n")
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody made the descriptor non-blocking
                select.select([], [self._fd], [])
            except OSError:
                return  # nobody will ever read it


class RateLimit:
    """A structlog processor: `burst` lines of one event at once, then `per_second`; the next one tells how many not."""

    def __init__(
        self, burst: int = BURST, per_second: float = PER_SECOND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float, int]] = {}  # event -> tokens, when, suppressed

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event, now = str(line.get("event")), self._clock()
        bucket = self._buckets.get(event)
        if bucket is None:
            if len(self._buckets) >= _KINDS:
                del self._buckets[next(iter(self._buckets))]
            bucket = (self._burst, now, 0)
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._per_second)
        if tokens < 1:
            self._buckets[event] = (tokens, now, bucket[2] + 1)
            raise structlog.DropEvent
        self._buckets[event] = (tokens - 1, now, 0)
        if bucket[2]:
            line["suppressed"] = bucket[2]
        return line


class _Sink:
    """What structlog calls with a rendered line."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str | bytes) -> None:
        """Pass it on."""
        self._writer.write(line.encode() if isinstance(line, str) else line)

    debug = info = warning = error = critical = msg


class Log:
    """A logger (``Log.logger``: a structlog bound logger) and the thread behind it.

    `level` is debug | info | warning | error, `format` json | console | auto (console on a terminal).
    """

    def __init__(
        self,
        level: str = "info",
        format: str = "auto",  # noqa: A002 -- the configuration's word
        *,
        fd: int = STDOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.writer = LineWriter(fd)
        console = os.isatty(fd) if format == "auto" else format == "console"
        self.logger = structlog.wrap_logger(
            _Sink(self.writer),
            processors=[
                RateLimit(clock=clock),
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                *(_console() if console else _json()),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            cache_logger_on_first_use=True,
        )

    def event(self, event: Event) -> None:
        """Log a change of the stack's state."""
        log = self.logger.bind(netns=event.netns)
        if event.dev:
            log = log.bind(dev=event.dev)
        length = event.fields.get("length", 0)
        fields = {key: _shown(key, value, length) for key, value in event.fields.items()}
        trouble = event.kind in _WARNINGS or (
            event.kind is EventKind.DEVICE_STATE and fields.get("state") == "no-carrier"
        )
        level = "warning" if trouble else "debug" if event.kind in _DETAILS else "info"
        getattr(log, level)(event.kind.value, **fields)

    def close(self) -> None:
        """Write what waits, but not for long."""
        self.writer.close()


def _json() -> tuple[Any, ...]:
    return structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)


def _console() -> tuple[Any, ...]:
    return (structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),)


def _shown(key: str, value: Any, length: int) -> Any:
    """A field of an event as text; an address that is as small as ``::1`` is told from IPv4 by its prefix length."""
    if isinstance(value, bytes):
        return format_mac(value)
    if key == "address" and isinstance(value, int):
        return format_address(value, V6 if value >> BITS[V4] or length > BITS[V4] else V4)
    return value


def _to_json(line: dict[str, Any], **_: Any) -> bytes:
    return msgspec.json.encode(line, enc_hook=repr)
