"""Cost of each stage of a TCP superframe's way, from one socket to another, and of the ACK back; in one process.

    red, a sender ── veth ── blue, a receiver: `send` of as much as a superframe has, again and again, and `recv`

Each stage is timed where it is called, without what it calls that is a stage itself; what the timing takes is measured
and taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from vrouter.stack import Stack
from vrouter.stack.l4.tcp import output, segment
from vrouter.stack.pipeline import inward
from vrouter.stack.pipeline.pipeline import Pipeline

MSS: Final = 1448  # with timestamps
BLOCK: Final = bytes((7 * at + 1) & 0xFF for at in range(65535 // MSS * MSS))
PORT: Final = 9
STEP: Final = 20_000  # ns of the stack's clock from one block to the next
WARM: Final = 300
HOST, PEER = "10.0.0.1", "10.0.0.2"
_AF_INET, _SOCK_STREAM = 2, 1
_PIPELINE: Final = "pipeline: what waits, IP, neighbour, devices"
# Where a stage is called from, by which name.
STAGES: Final[tuple[tuple[str, Any, str], ...]] = (
    ("input: a segment's checks, its data queued", inward, "tcp_input"),
    ("ack: what an ACK brings", segment, "ack_received"),
    ("output: what may leave", output, "output"),
    ("emit: the packet and its header", output, "emit"),
    (_PIPELINE, Pipeline, "settle"),
    (_PIPELINE, Pipeline, "run"),
)
SEND, RECV = "socket: send", "socket: recv"


@dataclass(slots=True)
class TcpCosts:
    """In ns: each stage's (once, calls for each superframe), in order; the whole of a superframe."""

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    whole: float = 0.0

    def between(self) -> float:
        """What the stages leave of the whole."""
        return self.whole - sum(once * calls for once, calls in self.stages.values())


class _Clocks:
    """Time in each stage, without that in stages that it called."""

    def __init__(self) -> None:
        self.ns: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self._within = [0]

    def reset(self) -> None:
        """Begin anew."""
        self.ns.clear()
        self.calls.clear()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""
        clock, within, spent, calls = time.perf_counter_ns, self._within, self.ns, self.calls

        def timed(*args: Any, **options: Any) -> Any:
            within.append(0)
            start = clock()
            try:
                return function(*args, **options)
            finally:
                took = clock() - start
                spent[name] = spent.get(name, 0) + took - within.pop()
                calls[name] = calls.get(name, 0) + 1
                within[-1] += took

        return timed

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Within the block the stages are timed wherever they are called."""
        with ExitStack() as stack:
            for name, place, attribute in STAGES:
                function = getattr(place, attribute)
                stack.callback(setattr, place, attribute, function)
                setattr(place, attribute, self.around(name, function))
            yield


class Pair:
    """A connection between two namespaces, and the stack's clock."""

    def __init__(self) -> None:
        self.stack = stack = Stack(seed=1)
        self.red, self.blue = stack.add_netns("red"), stack.add_netns("blue")
        stack.add_veth(self.red, "eth0", self.blue, "eth0")
        self.now = 10**9
        self.red.add_address("eth0", f"{HOST}/24", now=self.now)
        self.blue.add_address("eth0", f"{PEER}/24", now=self.now)
        self.pass_time()
        listener: Any = self.blue.socket(_AF_INET, _SOCK_STREAM)
        listener.bind((PEER, PORT), now=self.now)
        listener.listen(1, now=self.now)
        self.sender: Any = self.red.socket(_AF_INET, _SOCK_STREAM)
        self.sender.connect_ex((PEER, PORT), now=self.now)
        self.pass_time()
        self.receiver, _ = listener.accept(now=self.now)
        self.sent = self.received = 0

    def pass_time(self) -> None:
        """A step on, and what is due by then."""
        self.now += STEP
        while (at := self.stack.poll_at()) is not None and at <= self.now:
            self.stack.poll(self.now)
        self.stack.take_ready()

    def step(self, send: Callable[..., int], recv: Callable[..., bytes]) -> None:
        """Send a block, as much of it as there is room for, and read what has come. ValueError for wrong bytes."""
        self.pass_time()
        at = self.sent % len(BLOCK)
        try:
            self.sent += send(BLOCK if not at else BLOCK[at:], now=self.now)
        except BlockingIOError:
            return
        try:
            data = recv(len(BLOCK), now=self.now)
        except BlockingIOError:
            return
        at = self.received % len(BLOCK)
        if not (BLOCK[at:] + BLOCK[:at]).startswith(data):
            raise ValueError("other bytes came than went")
        self.received += len(data)

    def accounts(self) -> tuple[int, int]:
        """Packets that came to be, and that ended."""
        sources, places = self.stack.accounts()
        return sum(sources.values()), sum(places.values())


def measure(steps: int = 2_000, repeats: int = 7) -> TcpCosts:
    """The least of `repeats` runs of so many blocks."""
    clocks, pair = _Clocks(), Pair()
    best: TcpCosts | None = None
    with clocks.placed():
        send = clocks.around(SEND, pair.sender.send)
        recv = clocks.around(RECV, pair.receiver.recv)
        for _ in range(WARM):
            pair.step(send, recv)
        inner, outer = _own_cost()
        for _ in range(repeats):
            found = _run(pair, clocks, send, recv, steps, inner, outer)
            if best is None or found.whole < best.whole:
                best = found
    assert best is not None
    came, ended = pair.accounts()
    if came != ended:
        raise ValueError(f"{came} packets came to be, and {ended} ended")
    return best


def _run(
    pair: Pair,
    clocks: _Clocks,
    send: Callable[..., int],
    recv: Callable[..., bytes],
    steps: int,
    inner: float,
    outer: float,
) -> TcpCosts:
    sent = pair.sent
    clocks.reset()
    start = time.perf_counter_ns()
    for _ in range(steps):
        pair.step(send, recv)
    took = time.perf_counter_ns() - start
    frames = (pair.sent - sent) / len(BLOCK)
    found = TcpCosts()
    # The timing's own part is in two places: inside of what a stage was found to take, and around it.
    for name in dict.fromkeys((SEND, *(name for name, _, _ in STAGES), RECV)):
        calls = clocks.calls.get(name, 0)
        once = max(0.0, clocks.ns.get(name, 0) / calls - inner) if calls else 0.0
        found.stages[name] = (once, calls / frames)
    found.whole = (took - sum(clocks.calls.values()) * (inner + outer)) / frames
    return found


def _own_cost(calls: int = 20_000) -> tuple[float, float]:
    """What timing takes, in ns a call: within what it finds, and beside it."""
    clocks = _Clocks()
    timed = clocks.around("", int)
    start = time.perf_counter_ns()
    for _ in range(calls):
        timed()
    whole = (time.perf_counter_ns() - start) / calls
    inner = clocks.ns[""] / calls
    return inner, max(0.0, whole - inner)
