"""A wire that impairs: carries frames between two TAPs of its own, in real time, as bad as it is told and by a seed.

    python -m benchmarks.relay TAP TAP RATE DELAY QUEUE LOSS LATE LATENESS DUPLICATES

From the first TAP to the second: RATE in Mbit/s with a queue of QUEUE bytes in front of it, behind which frames are
lost; LOSS, LATE and DUPLICATES are how many frames of a hundred are lost, come LATENESS ms later than they should, come
twice. Either way takes half of DELAY ms. Back nothing is impaired. Only IPv4 is, so that nobody waits for a neighbour.

The kernel segments what it hands over: a frame here has one MTU, and one loss is one segment. Which frames are hit is a
matter of the seed and of their number alone. A line ``N`` at the standard input begins anew with seed N: what was under
way is gone, and the answer is a line with what happened since, as JSON (`Counts`). Prints "ready" when both are open.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import sys
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from benchmarks.copier import FRAME_MAX, FRAMES_A_TURN, attach

_IPV4: Final = b"\x08\x00"
_TYPE_AT: Final = 12
_PREAMBLE: Final = 24  # bytes on a wire beside a frame: preamble, FCS, gap
_IDLE: Final = 3600.0
_SLOW: Final = 1_000_000  # ns


@dataclass(slots=True)
class Counts:
    """Frames: taken from the first TAP, and what became of them; carried back; moved more than 1 ms after they should
    have been; and the worst of that in ms."""

    there: int = 0
    lost: int = 0
    overflowed: int = 0
    late: int = 0
    duplicated: int = 0
    back: int = 0
    slow: int = 0
    worst: float = 0.0


class Relay:
    """The two TAPs and what is under way. Rates in bit/s, times in ns, chances from 0 to 1."""

    def __init__(
        self,
        taps: tuple[int, int],
        *,
        rate: float,
        delay: float,
        queue: int,
        loss: float,
        late: float,
        lateness: float,
        duplicates: float,
    ) -> None:
        self.first, self.second = taps
        self.ns_per_byte = 8e9 / rate
        self.half = int(delay / 2)
        self.queue_ns = queue * self.ns_per_byte
        self.loss, self.late, self.lateness, self.duplicates = loss, late, int(lateness), duplicates
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Forget everything and draw anew."""
        self.random = Random(seed).random
        self.way: list[tuple[int, int, int, bytes]] = []  # when, in which order, to which TAP, what
        self.number = 0
        self.free = 0  # when the wire there has sent what it was given
        self.counts = Counts()

    def run(self, commands: int) -> None:
        """Carry frames until the end of `commands`, which is a descriptor."""
        clock, way_in = time.monotonic_ns, [self.first, self.second, commands]
        while True:
            way = self.way
            wait = max(0, way[0][0] - clock()) / 1e9 if way else _IDLE
            ready, _, _ = select.select(way_in, (), (), wait)  # which, other than epoll, knows fractions of a ms
            if commands in ready:
                line = os.read(commands, 64)
                if not line:
                    return
                print(json.dumps(asdict(self.counts)), flush=True)
                self.reset(int(line))
                continue
            if self.first in ready:
                self.take(self.first, clock(), self.there)
            if self.second in ready:
                self.take(self.second, clock(), self.back)
            self.deliver(clock())

    def take(self, tap: int, now: int, further: object) -> None:
        """What waits at a TAP, a turn's worth at most."""
        assert callable(further)
        read = os.read
        for _ in range(FRAMES_A_TURN):
            try:
                frame = read(tap, FRAME_MAX)
            except BlockingIOError:
                return
            further(frame, now)

    def send(self, due: int, tap: int, frame: bytes) -> None:
        """Have a frame arrive at that time."""
        self.number += 1
        heapq.heappush(self.way, (due, self.number, tap, frame))

    def back(self, frame: bytes, now: int) -> None:
        """A frame from the second TAP."""
        self.counts.back += 1
        self.send(now + self.half, self.first, frame)

    def there(self, frame: bytes, now: int) -> None:
        """A frame from the first TAP."""
        counts = self.counts
        counts.there += 1
        if frame[_TYPE_AT : _TYPE_AT + 2] != _IPV4:
            self.send(now + self.half, self.second, frame)
            return
        random = self.random
        lost, late, twice = random() < self.loss, random() < self.late, random() < self.duplicates
        if self.free - now > self.queue_ns:
            counts.overflowed += 1
            return
        self.free = max(self.free, now) + int((len(frame) + _PREAMBLE) * self.ns_per_byte)
        if lost:
            counts.lost += 1
            return
        due = self.free + self.half
        if late:
            counts.late += 1
            due += self.lateness
        self.send(due, self.second, frame)
        if twice:
            counts.duplicated += 1
            self.send(due, self.second, frame)

    def deliver(self, now: int) -> None:
        """Hand over what is due."""
        way, counts = self.way, self.counts
        while way and way[0][0] <= now:
            due, _, tap, frame = heapq.heappop(way)
            behind = now - due
            if behind > _SLOW:
                counts.slow += 1
                counts.worst = max(counts.worst, behind / 1e6)
            try:
                os.write(tap, frame)
            except OSError:
                continue  # full, or down


def main() -> None:
    first, second, *numbers = sys.argv[1:]
    rate, delay, queue, loss, late, lateness, duplicates = map(float, numbers)
    relay = Relay(
        (attach(first), attach(second)),
        rate=rate * 1e6,
        delay=delay * 1e6,
        queue=int(queue),
        loss=loss / 100,
        late=late / 100,
        lateness=lateness * 1e6,
        duplicates=duplicates / 100,
    )
    print("ready", flush=True)
    relay.run(sys.stdin.fileno())


if __name__ == "__main__":
    main()
