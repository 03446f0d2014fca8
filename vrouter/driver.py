"""The asyncio edge: bursts of frames in and out, one timer, and who is told that something happened.

One `Driver` drives one `Stack` on one loop. Whatever enters the stack, it enters here: a readable TAP, the timer at
`Stack.poll_at`, or a call (`call`, or `clock` … `settle`). Afterwards `settle` sends what the stack wants sent, keeps
the timer right, and has sockets and listeners told.

    TAP readable ─► read_burst ─► nsmap ─► Stack.receive … ┐
    timer due ────────────────────────────► Stack.poll ────┼─► settle ─► take_egress ─► Tap.write
    a call ───────────────────────────────► Stack, Netns … ┘         └─► timer, ready sockets, events

Expects: calls on the loop's thread; ports whose TAP is open (`Tap`, or anything with its attributes).
Sets:    the carrier of devices, by what their TAP shows; FULL_RING and TX_ERROR for frames that could not be sent.
Next:    `sockets` (by ``Socket.user.ready``), listeners of events (logs, the admin API).

**Fairness.** The loop reports readiness by level, so a callback takes at most `BURST` frames of one TAP and returns;
who has more is called again after the others had their turn.

**A full TAP** keeps its frames in a queue of ``TX_QUEUE`` frames and ``TX_QUEUE_BYTES`` until it is writable; what does
not fit is FULL_RING.

**A TAP that is down or gone.** A write to a TAP whose kernel's end is down is EIO: the frame is lost (TX_ERROR) and the
device has no carrier until the kernel reports the TAP writable, which it does when the link goes up. A frame that comes
in proves nothing: it may have waited since before. Where somebody watches the links, `link_changed` tells the same
without a frame. A deleted TAP is watched no more at once, since a descriptor without a link is ready for ever, and
opened again once a second.

**The timer** is rounded up to the next millisecond, the grain of the loops' timers: a deadline rounded down would be
waited for in a busy loop. A deadline that moves back leaves the timer as it is (it then finds nothing to do and is set
anew), since most deadlines move back and setting a timer costs more than a rare needless wake.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from vrouter.nsmap import NsMap
from vrouter.stack.base.drop import DropReason
from vrouter.stack.device import TX_QUEUE, TX_QUEUE_BYTES
from vrouter.stack.wire.vnet import wire_size
from vrouter.tap import DOWN, FULL, GONE, GONE_STATE, VNET_HEADER_LEN

if TYPE_CHECKING:
    from vrouter.stack.base.events import Event
    from vrouter.stack.device import Device
    from vrouter.stack.stack import Stack

BURST: Final = 64
REOPEN_SECONDS: Final = 1.0
_MILLISECOND: Final = 1_000_000
_AT_ONCE: Final = 15_000  # ns: what comes so soon was there already
_TYPE_AT: Final = VNET_HEADER_LEN + 12
_TAG_END: Final = _TYPE_AT + 2
_NEVER: Final = 1 << 63

_Result = TypeVar("_Result")
Listener = Callable[["Event"], object]


class FrameDevice(Protocol):
    """What the driver needs of a `Tap`."""

    fd: int
    state: str
    error: str
    offload: bool
    uso: bool

    def read_burst(self, budget: int) -> list[bytes]:
        """Frames that wait, at most `budget`; ``state`` tells when the link is gone."""

    def write(self, frame: bytearray) -> int:
        """WRITTEN, FULL, DOWN, GONE or FAILED."""

    def reopen(self) -> None:
        """Open again a TAP that is gone; may block."""

    def link_changed(self, up: bool) -> None:
        """Take note that the kernel's end was seen going up or down."""


class Port:
    """The driver's side of one TAP. ``reopen`` blocks and runs in a thread; ``backlog`` waits for a full TAP, and has
    ``backlog_bytes``; frames that come after ``alone_until`` (ns) may be expected to come alone."""

    __slots__ = ("alone_until", "backlog", "backlog_bytes", "device", "reading", "reopen", "revival", "tap", "writing")

    def __init__(self, tap: FrameDevice, device: Device, reopen: Callable[[], object] | None) -> None:
        self.tap = tap
        self.device = device
        self.reopen = tap.reopen if reopen is None else reopen
        self.backlog: deque[bytearray] = deque()
        self.backlog_bytes = 0
        self.alone_until = _NEVER
        self.reading = self.writing = -1  # descriptors that the loop watches
        self.revival: asyncio.Task[None] | None = None


class Driver:
    """Drives `stack` on `loop`; `clock` gives ns that never decrease."""

    def __init__(
        self,
        stack: Stack,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.stack = stack
        self.loop = loop
        self.clock = clock
        self.nsmap = NsMap()
        self.ports: list[Port] = []
        self.closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER  # the stack's deadline that it is set for
        self._dispatch_due = self._publish_due = False
        self._published = stack.events.seq
        self._listeners: list[Listener] = []
        self._waiters: list[asyncio.Future[None]] = []

    # -- ports ------------------------------------------------------------------------------------------------------

    def add_port(self, tap: FrameDevice, device: Device, reopen: Callable[[], object] | None = None) -> Port:
        """Move frames between `tap` and `device` from now on.

        `reopen` is called in a thread, once a second, after the link was deleted; by default ``tap.reopen``.
        """
        port = Port(tap, device, reopen)
        device.port = port
        device.offload, device.uso = tap.offload, tap.uso
        self.ports.append(port)
        self.nsmap.add(port, device)
        if tap.state == GONE_STATE:
            self._lost(port, self.clock())
        else:
            self._watch(port)
        return port

    async def remove_port(self, port: Port) -> None:
        """Stop moving frames. What still waits is TX_ERROR; the TAP stays open and is the caller's."""
        self._unwatch(port)
        self._fail_backlog(port)
        self.nsmap.remove(port)
        if port in self.ports:
            self.ports.remove(port)
        if port.device.port is port:
            port.device.port = None
        revival, port.revival = port.revival, None
        if revival is not None:
            revival.cancel()
            await _over(revival)

    async def close(self) -> None:
        """Stop reading, send what waits, stop the timer, tell the last events. The TAPs stay open."""
        for port in self.ports:
            self._unwatch_reading(port)
        self.settle(self.clock())
        for port in list(self.ports):
            self._drain(port, self.clock())
            await self.remove_port(port)
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dispatch()
        self._publish()
        self._wake()

    # -- into the stack ---------------------------------------------------------------------------------------------

    def call(self, function: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        """Call something of the stack with ``now=``, and settle what it caused."""
        now = self.clock()
        try:
            return function(*args, now=now, **options)
        finally:
            self.settle(now)

    def settle(self, now: int) -> None:
        """Send what is to be sent, set the timer, and have sockets and listeners told soon."""
        stack = self.stack
        frames = stack.take_egress()
        if frames:
            self._send(frames, now)
        if self.closed:
            return
        at = stack.poll_at()
        if at is not None and at < self._timer_at:
            self._arm(at, now)
        if stack.ready and not self._dispatch_due:
            self._dispatch_due = True
            self.loop.call_soon(self._dispatch)
        if stack.events.seq != self._published and not self._publish_due:
            self._publish_due = True
            self.loop.call_soon(self._publish)

    def _settle_at_once(self, now: int) -> None:
        """`settle`, and sockets are told now: what they answer leaves before there is time for the rest."""
        stack = self.stack
        frames = stack.take_egress()
        if frames:
            self._send(frames, now)
        if stack.ready:
            self._dispatch()
            now = self.clock()
        self.settle(now)

    def _readable(self, port: Port) -> None:
        now = self.clock()
        # In a dialogue each frame comes alone, and is answered before anybody asks whether there is another one.
        alone = now > port.alone_until
        frames = port.tap.read_burst(1 if alone else BURST)
        alone = alone or len(frames) == 1
        port.alone_until = _NEVER
        if frames:
            stack, device = self.stack, port.device
            if not device.carrier and is_writable(port.tap.fd):
                self._set_carrier(port, True, "", now)
            receive = stack.receive
            for frame in frames:
                # No tag has an EtherType below 0x8000, and nearly every other frame has one.
                if len(frame) < _TAG_END or frame[_TYPE_AT] < 0x80:
                    receive(device, frame, now)
                else:
                    self._receive_tagged(port, frame, now)
            self._settle_at_once(now)
            if alone:
                port.alone_until = self.clock() + _AT_ONCE
        if len(frames) < BURST and port.tap.state == GONE_STATE:
            now = self.clock()  # what was told of its frames may have taken its time
            self._lost(port, now)
            self.settle(now)

    def _receive_tagged(self, port: Port, frame: bytes, now: int) -> None:
        owner = self.nsmap.owner(port, frame, VNET_HEADER_LEN)
        if owner is None and port.device.layered:  # its vlan devices and its bridge know the tag
            owner = port.device
        if owner is None:
            self.stack.receive_unmapped(now)
        else:
            self.stack.receive(owner, frame, now)

    def _due(self) -> None:
        self._timer = None
        self._timer_at = _NEVER
        now = self.clock()
        self.stack.poll(now)
        self._settle_at_once(now)
        self._wake()

    def _arm(self, at: int, now: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        delay_ms = max(1, -((now - at) // _MILLISECOND))
        self._timer = self.loop.call_later(delay_ms / 1000, self._due)

    # -- out of the stack -------------------------------------------------------------------------------------------

    def _send(self, frames: list[tuple[Device, bytearray]], now: int) -> None:
        for device, frame in frames:
            port = device.port
            if port is None:
                self._fail(device, frame, DropReason.TX_ERROR)
            elif port.backlog:
                self._keep(port, frame)
            else:
                result = port.tap.write(frame)
                if result:
                    self._refused(port, frame, result, now)

    def _refused(self, port: Port, frame: bytearray, result: int, now: int) -> None:
        if result == FULL:
            self._keep(port, frame)
            return
        self._fail(port.device, frame, DropReason.TX_ERROR)
        if result == DOWN:
            self._fail_backlog(port)
            self._set_carrier(port, False, port.tap.error, now)
            self._watch_writing(port)
        elif result == GONE:
            self._lost(port, now)

    def _keep(self, port: Port, frame: bytearray) -> None:
        size = port.backlog_bytes + len(frame)
        if len(port.backlog) >= TX_QUEUE or size > TX_QUEUE_BYTES:
            self._fail(port.device, frame, DropReason.FULL_RING)
            return
        port.backlog.append(frame)
        port.backlog_bytes = size
        self._watch_writing(port)

    def _writable(self, port: Port) -> None:
        """A full TAP takes frames again, or one that was down is up."""
        now = self.clock()
        if self._drain(port, now):
            self._unwatch_writing(port)
            if not port.device.carrier and port.tap.state != GONE_STATE:
                self._set_carrier(port, True, "", now)
        self.settle(now)

    def _drain(self, port: Port, now: int) -> bool:
        """Write what waits; whether nothing is left waiting."""
        backlog = port.backlog
        while backlog:
            result = port.tap.write(backlog[0])
            if result == FULL:
                return False
            frame = backlog.popleft()
            port.backlog_bytes -= len(frame)
            if result:
                self._refused(port, frame, result, now)
                if result in (DOWN, GONE):
                    return False
        return True

    def _fail(self, device: Device, frame: bytearray, reason: DropReason) -> None:
        packets, size = wire_size(frame) if device.vnet_hdr else (1, len(frame))
        self.stack.egress_failed(device, size, reason, packets)

    def _fail_backlog(self, port: Port) -> None:
        while port.backlog:
            self._fail(port.device, port.backlog.popleft(), DropReason.TX_ERROR)
        port.backlog_bytes = 0

    # -- the state of a port ----------------------------------------------------------------------------------------

    def _set_carrier(self, port: Port, carrier: bool, error: str, now: int) -> None:
        device = port.device
        if not device.removed:  # news of a TAP may outlive its device
            device.ns.set_carrier(device, carrier, error, now)

    def link_changed(self, port: Port, up: bool) -> None:
        """The kernel's end of `port` was seen going up or down; otherwise only a frame would tell."""
        if port.tap.state == GONE_STATE or up == port.device.carrier:
            return
        now = self.clock()
        port.tap.link_changed(up)
        if up:
            self._unwatch_writing(port)
        else:
            self._fail_backlog(port)
            self._watch_writing(port)
        self._set_carrier(port, up, port.tap.error, now)
        self.settle(now)

    def _lost(self, port: Port, now: int) -> None:
        """The link was deleted: stop watching at once, and try to get it back."""
        self._unwatch(port)
        self._fail_backlog(port)
        self._set_carrier(port, False, port.tap.error, now)
        if port.revival is None and not self.closed:
            port.revival = self.loop.create_task(self._revive(port))

    async def _revive(self, port: Port) -> None:
        while True:
            await asyncio.sleep(REOPEN_SECONDS)
            try:
                await in_thread(port.reopen)
            except Exception as error:  # whatever it is, the next attempt may succeed
                now = self.clock()
                self._set_carrier(port, False, getattr(error, "strerror", None) or str(error), now)
                self.settle(now)
            else:
                break
        port.revival = None
        now = self.clock()
        self._watch(port)
        self._set_carrier(port, True, "", now)
        self.settle(now)

    def _watch(self, port: Port) -> None:
        port.reading = port.tap.fd
        self.loop.add_reader(port.reading, self._readable, port)

    def _watch_writing(self, port: Port) -> None:
        if port.writing < 0 and not self.closed:
            port.writing = port.tap.fd
            self.loop.add_writer(port.writing, self._writable, port)

    def _unwatch_reading(self, port: Port) -> None:
        if port.reading >= 0:
            self.loop.remove_reader(port.reading)
            port.reading = -1

    def _unwatch_writing(self, port: Port) -> None:
        if port.writing >= 0:
            self.loop.remove_writer(port.writing)
            port.writing = -1

    def _unwatch(self, port: Port) -> None:
        self._unwatch_reading(port)
        self._unwatch_writing(port)

    # -- telling ----------------------------------------------------------------------------------------------------

    def on_event(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event of the stack, soon after it; returns a function that ends it."""
        self._listeners.append(listener)

        def forget() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return forget

    def next_poll(self) -> asyncio.Future[None]:
        """A future that is done after the next timer, event, or at the end: when waiting states may have changed."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def _dispatch(self) -> None:
        """Tell those who drive sockets. What they cause in other sockets is told in a later round."""
        self._dispatch_due = False
        for sock, mask in self.stack.take_ready():
            user = sock.user
            if user is not None:
                self._guarded(user.ready, mask)

    def _publish(self) -> None:
        self._publish_due = False
        events = self.stack.events
        self._published = events.seq
        for event in events.take():
            for listener in list(self._listeners):
                self._guarded(listener, event)
        self._wake()

    def _guarded(self, function: Callable[[Any], object], argument: Any) -> None:
        """One who raises must not keep the others from being told."""
        try:
            function(argument)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            context = {"message": f"exception in {function!r}", "exception": error}
            self.loop.call_exception_handler(context)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def is_writable(fd: int) -> bool:
    """Whether a TAP takes frames now, without waiting: so its kernel's end is up."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in poll.poll(0))


async def in_thread(function: Callable[..., _Result], *args: Any) -> _Result:
    """Run a blocking function in a thread of the loop's executor, and be sure that it has ended when this ends.

    A cancellation waits for the function, whose work cannot be stopped half way, and is raised then.
    """
    job = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        await _over(job)
    except asyncio.CancelledError:
        if not job.cancelled():
            job.exception()  # looked at, so that nobody is told it never was
        raise
    return job.result()


async def _over(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, whatever becomes of it; a cancellation waits as well, and is raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
