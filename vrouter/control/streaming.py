"""Answers that go on: captures, events, pings as they come in, and rows that are too many for one piece.

Each is bounded by what waits for a slow reader: a capture keeps `CAPTURE_BYTES`, an event stream `EVENTS`; what does
not fit is lost and counted, and the reader is told how much it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from vrouter import __version__, pcapng
from vrouter.stack.base.addresses import BITS, V4, V6, format_address, format_mac
from vrouter.stack.base.events import EventKind
from vrouter.stack.capture import RX, Capture

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.base.events import Event
    from vrouter.stack.capture import CapturedFrame
    from vrouter.stack.device import Device

CAPTURE_BYTES: Final = 4 << 20
EVENTS: Final = 256
ROWS_PER_PIECE: Final = 500
KEEP_ALIVE_S: Final = 15.0
_INTERVAL_S = 0.02  # how long captured frames are gathered
_NEW_DEVICE: Final = (EventKind.DEVICE_ADD, EventKind.DEVICE_MOVE)


class DeviceCapture:
    """A capture at the devices that fit `netns` and `dev` (None: any), those that come later included."""

    def __init__(
        self, router: Router, netns: str | None, dev: str | None, snaplen: int, matches: Callable[[bytes], bool] | None
    ) -> None:
        self.router = router
        self.netns = netns
        self.dev = dev
        self.capture = Capture(snaplen=snaplen, limit=CAPTURE_BYTES, matches=matches)
        self.numbers: dict[tuple[Device, str], int] = {}
        self.captured = 0
        # Frames carry the router's clock; a file wants the time of day.
        self.offset_ns = time.time_ns() - router.now()

    def _attach(self, device: Device) -> None:
        wanted = self.netns in (None, device.ns.name) and self.dev in (None, device.name)
        if wanted and device not in self.capture.devices:
            self.capture.attach(device)

    def _event(self, event: Event) -> None:
        if event.kind in _NEW_DEVICE:
            ns = self.router.stack.namespaces.get(event.netns)
            device = ns.devices.get(event.dev) if ns is not None else None
            if device is not None:
                self._attach(device)

    def _blocks(self, frame: CapturedFrame) -> bytes:
        device = frame.dev
        key = device, f"{device.ns.name}/{device.name}"
        number, block = self.numbers.get(key), b""
        if number is None:
            number = self.numbers[key] = len(self.numbers)
            block = pcapng.interface(key[1], device.mac, self.capture.snaplen)
        direction = pcapng.INBOUND if frame.direction == RX else pcapng.OUTBOUND
        return block + pcapng.packet(number, frame.now + self.offset_ns, direction, frame.length, frame.data)

    async def blocks(self, count: int | None) -> AsyncGenerator[bytes, None]:
        """The pcapng stream, until `count` frames were captured (None: for ever). Captures from its first block on."""
        told = 0
        forget = self.router.on_event(self._event)
        try:
            for ns in self.router.stack.namespaces.values():
                for device in ns.devices.values():
                    self._attach(device)
            yield pcapng.section(f"vrouter {__version__}")
            while count is None or self.captured < count:
                frames = self.capture.take()
                if count is not None:
                    frames = frames[: count - self.captured]
                self.captured += len(frames)
                pieces = [self._blocks(frame) for frame in frames]
                if self.capture.lost != told:
                    told = self.capture.lost
                    pieces.append(self._statistics())
                if pieces:
                    yield b"".join(pieces)
                else:
                    await asyncio.sleep(_INTERVAL_S)
            yield self._statistics()
        finally:
            forget()
            self.capture.detach()

    def _statistics(self) -> bytes:
        if not self.numbers:
            return b""
        now = self.router.now() + self.offset_ns
        return pcapng.statistics(0, now, self.captured + self.capture.lost, self.capture.lost)


def event_data(event: Event) -> dict[str, Any]:
    """An event as JSON: when (ns of the router's clock), which number, what, where, and what belongs to its kind."""
    fields = dict(event.fields)
    address = fields.get("address")
    if isinstance(address, int):
        length = fields.pop("length", None)
        family = V6 if address >> BITS[V4] or (length or 0) > BITS[V4] else V4
        fields["address"] = format_address(address, family) + ("" if length is None else f"/{length}")
    if isinstance(fields.get("mac"), bytes):
        fields["mac"] = format_mac(fields["mac"])
    head = {"time_ns": event.now, "seq": event.seq, "event": event.kind.value, "netns": event.netns}
    return head | {"dev": event.dev or None} | {key: value for key, value in fields.items() if key not in head}


class _Events:
    """What waits for one reader: the newest `EVENTS`, and how many older ones it has lost."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns
        self.waiting: deque[Event] = deque()
        self.lost = 0
        self.arrived = asyncio.Event()

    def add(self, event: Event) -> None:
        if self.netns in (None, event.netns):
            if len(self.waiting) == EVENTS:
                self.waiting.popleft()
                self.lost += 1
            self.waiting.append(event)
            self.arrived.set()

    def take(self) -> bytes:
        pieces = [b'event: lost\ndata: {"count":%d}\n\n' % self.lost] if self.lost else []
        for event in self.waiting:
            data = msgspec.json.encode(event_data(event))
            pieces.append(b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.kind.value.encode(), data))
        self.lost = 0
        self.waiting.clear()
        self.arrived.clear()
        return b"".join(pieces)


async def event_stream(router: Router, netns: str | None) -> AsyncGenerator[bytes, None]:
    """Server-sent events: ``event: KIND`` with JSON data, ``event: lost`` with a count for a reader that is too slow,
    and a comment when nothing happens for `KEEP_ALIVE_S`."""
    events = _Events(netns)
    forget = router.on_event(events.add)
    try:
        yield b": vrouter events\n\n"
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    await events.arrived.wait()
            except TimeoutError:
                yield b": still here\n\n"
            else:
                yield events.take()
    finally:
        forget()


class PingSeries:
    """What became of a series of pings, counted as the records come."""

    __slots__ = ("_times", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._times: list[int] = []

    def add(self, reply: dict[str, Any]) -> None:
        """One request is decided."""
        self.sent += 1
        if "time_ns" in reply:
            self._times.append(reply["time_ns"])

    def totals(self) -> dict[str, Any]:
        """``{sent, received, min_ns, avg_ns, max_ns}``; the times are None when nothing was received."""
        times = self._times
        return {
            "sent": self.sent,
            "received": len(times),
            "min_ns": min(times) if times else None,
            "avg_ns": sum(times) // len(times) if times else None,
            "max_ns": max(times) if times else None,
        }


class Series(Protocol):
    """What is counted as records come."""

    def add(self, record: dict[str, Any], /) -> None:
        """One more."""

    def totals(self) -> dict[str, Any]:
        """The summary."""


async def _counted(
    first: dict[str, Any], others: AsyncIterator[dict[str, Any]], series: Series
) -> AsyncGenerator[dict[str, Any], None]:
    async with contextlib.aclosing(cast("AsyncGenerator[dict[str, Any], None]", others)):
        series.add(first)
        yield first
        async for record in others:
            series.add(record)
            yield record


async def series_lines(
    first: dict[str, Any], others: AsyncIterator[dict[str, Any]], series: Series
) -> AsyncGenerator[bytes, None]:
    """One line of JSON per record as it comes; at the end, the summary without the records."""
    async with contextlib.aclosing(_counted(first, others, series)) as records:
        async for record in records:
            yield msgspec.json.encode(record) + b"\n"
    yield msgspec.json.encode(series.totals()) + b"\n"


async def series_summary(
    first: dict[str, Any], others: AsyncIterator[dict[str, Any]], series: Series, name: str
) -> AsyncGenerator[bytes, None]:
    """The summary with all records under `name`, in one piece at the end."""
    found = []
    async with contextlib.aclosing(_counted(first, others, series)) as records:
        async for record in records:
            found.append(record)
    yield msgspec.json.encode(series.totals() | {name: found})


async def lines_of(rows: Iterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    """Rows as lines of JSON, some hundred at a time: between two pieces the loop has its turn."""
    encode = msgspec.json.Encoder().encode_lines
    while some := list(islice(rows, ROWS_PER_PIECE)):
        yield encode(some)


async def array_of(rows: Iterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    """Rows as one JSON array, in the same way."""
    encode, before = msgspec.json.Encoder().encode, b"["
    while some := list(islice(rows, ROWS_PER_PIECE)):
        yield before + encode(some)[1:-1]
        before = b","
    yield b"[]" if before == b"[" else b"]"
