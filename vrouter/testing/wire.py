"""Wires: two ends, a direction each way, and everything bad that happens to frames between them.

What a direction does to a frame, in this order: it waits for its turn behind what is still being sent (`rate`,
`queue`), is lost (`loss`), gets a flipped bit (`corrupt`), travels (`delay`, `jitter`) or overtakes those that do
(`reorder`), and may arrive twice (`duplicate`). Each impairment draws from a random stream of its own, so switching one
on does not change what another does to the same frames; the streams come from the lab's seed and the ends' names.

- `delay`, `jitter`: seconds; a frame travels for `delay` plus or minus up to `jitter`, uniformly. Frames stay in order:
  one that would overtake another arrives together with it.
- `reorder`: the fraction of frames that skip the delay, and so overtake. It needs a delay.
- `loss`, `duplicate`, `corrupt`: fractions, frame by frame. A corrupted frame has one bit inverted somewhere.
- `rate`: bits per second, Ethernet header included, preamble and checksum not. `queue` frames may wait or be sent at a
  time; one more does not get out: the sending device counts it as dropped (FULL_RING), not as transmitted.

- `largest`: bytes of a frame, Ethernet header included; longer ones are lost without a word (a black hole).
- `End.lose_bytes` loses the n-th transmission of a range of a TCP stream's bytes.

The accounts of a direction: sent + duplicated = delivered + lost + under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from vrouter.stack.base.rng import Rng
from vrouter.testing.byte_loss import ByteLoss
from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab

SECOND: Final = 1_000_000_000
DEFAULT_QUEUE: Final = 1000

# What became of a frame that was put on a wire: "" when it goes as it should.
LOST: Final = "lost"
CUT: Final = "lost: the wire is cut"
OVERFLOW: Final = "not sent: the queue is full"


class Station(Protocol):
    """What can be at the end of a wire."""

    name: str

    def arrive(self, end: End, frame: bytes) -> None: ...

    def carrier(self, end: End, up: bool) -> None: ...


@dataclass(slots=True)
class Impairments:
    """What a direction does to frames; seconds, fractions, bits per second, frames."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    rate: float | None = None
    queue: int = DEFAULT_QUEUE
    largest: int | None = None

    def __post_init__(self) -> None:
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a fraction of 0 to 1, not {getattr(self, name)!r}")
        if not 0 <= self.jitter <= self.delay:
            raise ValueError(f"a delay of {self.delay} s with a jitter of {self.jitter} s can be negative")
        if self.reorder and not self.delay:
            raise ValueError("frames can only be reordered on a wire with a delay: there is none to skip")
        if self.rate is not None and self.rate <= 0:
            raise ValueError(f"a rate is positive, in bits per second, not {self.rate!r}")
        if self.largest is not None and self.largest < 1:
            raise ValueError("the largest frame that passes has a byte at least")
        if self.queue < 1:
            raise ValueError("a queue has room for one frame at least")

    def __str__(self) -> str:
        texts = []
        if self.delay:
            texts.append(f"delay {self.delay:g} s" + (f" ± {self.jitter:g} s" if self.jitter else ""))
        for name in ("loss", "reorder", "duplicate", "corrupt"):
            if value := getattr(self, name):
                texts.append(f"{name} {value:.4g}")
        if self.largest is not None:
            texts.append(f"nothing above {self.largest} bytes")
        if self.rate is not None:
            texts.append(f"rate {self.rate:g} bit/s, queue {self.queue}")
        return ", ".join(texts)


@dataclass(slots=True)
class WireStats:
    """What became of the frames of one direction."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrupted: int = 0
    overflowed: int = 0


class End:
    """One end of a wire, and the direction that leads away from it.

    `station` is who is here, `device` its device if it has a stack (None otherwise), `other` the other end.
    """

    __slots__ = (
        "_arrival",
        "_byte_losses",
        "_departures",
        "_free_at",
        "_streams",
        "device",
        "impairments",
        "in_flight",
        "number",
        "other",
        "station",
        "stats",
        "wire",
    )

    def __init__(self, wire: Wire, number: int, station: Station, impairments: Impairments) -> None:
        self.wire = wire
        self.number = number
        self.station = station
        self.device: Any = None
        self.impairments = impairments
        self.stats = WireStats()
        self.other: End = self
        self.in_flight = 0  # frames that will arrive
        self._free_at = 0  # ns: when the last frame that waits will have been sent
        self._departures: deque[int] = deque()  # ns: when each of them will have
        self._byte_losses: list[ByteLoss] = []
        self._arrival = 0  # ns: when the last frame in order arrives
        self._streams: dict[str, Rng] = {}

    def __repr__(self) -> str:
        return f"<End {self.station.name} of {self.wire.name}>"

    def set(self, **changes: Any) -> None:
        """Change impairments of this direction from now on; what is under way is not changed."""
        now = {name: getattr(self.impairments, name) for name in Impairments.__slots__}
        self.impairments = Impairments(**now | changes)

    @property
    def queued(self) -> int:
        """Frames that wait for their turn, or are being sent."""
        return self._queued(self.wire.lab.now)

    def _queued(self, now: int) -> int:
        departures = self._departures
        while departures and departures[0] <= now:
            departures.popleft()
        return len(departures)

    def lose_bytes(self, start: int, end: int, *, nth: int | Collection[int] = 1, port: int = 0) -> ByteLoss:
        """Lose the `nth` transmission (one number or several, 1 being the first) of bytes `start` to `end` of a TCP
        stream in this direction: ``wire.towards(b).lose_bytes(0, 1448)``.

        See `byte_loss.ByteLoss`, which is returned and counts what it took; `port` picks streams from or to that port.
        """
        rule = ByteLoss(start, end, nth, port)
        self._byte_losses.append(rule)
        return rule

    def send(self, frame: bytes, now: int) -> str:
        """Put a frame on the wire; "", or what became of it instead. OVERFLOW: it did not get out."""
        settings, stats = self.impairments, self.stats
        if not self.wire.up:
            stats.sent += 1
            stats.lost += 1
            return CUT
        if settings.rate is not None and self._queued(now) >= settings.queue:
            stats.overflowed += 1
            return OVERFLOW
        stats.sent += 1
        departure = now
        if settings.rate is not None:
            departure = self._departure(len(frame), settings.rate, now)
        taken = bool(self._byte_losses) and self._takes_bytes(frame)
        if settings.largest is not None and len(frame) > settings.largest:
            taken = True
        if self._happens("loss", settings.loss) or taken:
            stats.lost += 1
            return LOST
        fates = []
        if self._happens("corrupt", settings.corrupt):
            frame = self._flip(frame)
            stats.corrupted += 1
            fates.append("corrupted")
        if self._happens("reorder", settings.reorder):
            stats.reordered += 1
            fates.append("reordered")
            self._deliver(frame, departure)
        else:
            self._deliver_in_order(frame, departure)
        if self._happens("duplicate", settings.duplicate):
            stats.duplicated += 1
            fates.append("duplicated")
            self._deliver_in_order(frame, departure)
        return ", ".join(fates)

    def _departure(self, size: int, rate: float, now: int) -> int:
        """When the last bit of a frame will have left, behind those that wait already."""
        self._free_at = max(self._free_at, now) + round(size * 8 * SECOND / rate)
        self._departures.append(self._free_at)
        return self._free_at

    def _takes_bytes(self, frame: bytes) -> bool:
        """Whether any rule takes the frame; each counts it."""
        taken = False
        for rule in self._byte_losses:
            taken = rule.takes(frame) or taken
        return taken

    def _deliver_in_order(self, frame: bytes, departure: int) -> None:
        settings = self.impairments
        travel = round(settings.delay * SECOND)
        if settings.jitter:
            spread = round(settings.jitter * SECOND)
            travel += self._stream("jitter").below(2 * spread + 1) - spread
        self._arrival = max(self._arrival, departure + travel)
        self._deliver(frame, self._arrival)

    def _deliver(self, frame: bytes, arrival: int) -> None:
        self.in_flight += 1
        self.wire.lab.at(arrival, partial(self._arrived, frame, self.wire.epoch), self)

    def _arrived(self, frame: bytes, epoch: int) -> None:
        self.in_flight -= 1
        if epoch != self.wire.epoch:  # the wire was cut meanwhile
            self.stats.lost += 1
            return
        self.stats.delivered += 1
        self.other.station.arrive(self.other, frame)

    def _happens(self, name: str, fraction: float) -> bool:
        return fraction > 0 and self._stream(name).u32() < fraction * 0x1_0000_0000

    def _flip(self, frame: bytes) -> bytes:
        bit = self._stream("bit").below(len(frame) * 8)
        changed = bytearray(frame)
        changed[bit >> 3] ^= 0x80 >> (bit & 7)
        return bytes(changed)

    def _stream(self, name: str) -> Rng:
        stream = self._streams.get(name)
        if stream is None:
            seed = f"{self.wire.lab.seed} {self.wire.name} {self.number} {name}"
            stream = self._streams[name] = Rng(seed.encode())
        return stream

    def check(self) -> None:
        """LabError when a frame of this direction was lost track of, or more wait than may."""
        stats = self.stats
        came, went = stats.sent + stats.duplicated, stats.delivered + stats.lost + self.in_flight
        if came != went:
            raise LabError(f"{self!r} took {came} frames and accounts for {went}: {stats}")
        if self.queued > self.impairments.queue and self.impairments.rate is not None:
            raise LabError(
                f"{self!r} has {self.queued} frames waiting, more than its queue of {self.impairments.queue}"
            )


class Wire:
    """Two ends; made by `Lab.wire`. `name` is ``a-b``."""

    __slots__ = ("ends", "epoch", "lab", "mtu", "name", "pcap_interface", "up")

    def __init__(self, lab: Lab, name: str, one: Station, two: Station, mtu: int, options: dict[str, Any]) -> None:
        self.lab = lab
        self.name = name
        self.mtu = mtu
        self.up = True
        self.epoch = 0  # how often it was cut
        self.pcap_interface = -1
        self.ends = (End(self, 0, one, Impairments(**options)), End(self, 1, two, Impairments(**options)))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def __repr__(self) -> str:
        settings = str(self.ends[0].impairments)
        return f"<Wire {self.name}{': ' if settings else ''}{settings}{'' if self.up else ', cut'}>"

    def set(self, **changes: Any) -> None:
        """Change impairments of both directions from now on: ``wire.set(loss=0.5)``."""
        for end in self.ends:
            end.set(**changes)

    def towards(self, station: Station | str) -> End:
        """The direction that leads to `station` (a node or its name): ``wire.towards(b).set(loss=1)``."""
        for end in self.ends:
            if end.other.station is station or end.other.station.name == station:
                return end
        raise LabError(f"{self.name} does not lead to {station if isinstance(station, str) else station.name}")

    def stats(self) -> WireStats:
        """What became of the frames of both directions together."""
        one, two = self.ends
        names = WireStats.__slots__
        return WireStats(**{name: getattr(one.stats, name) + getattr(two.stats, name) for name in names})

    def cut(self) -> None:
        """No frame passes any more, those under way included, and both devices lose their carrier."""
        self._switch(False)

    def mend(self) -> None:
        """The opposite of `cut`."""
        self._switch(True)

    def _switch(self, up: bool) -> None:
        if self.up != up:
            self.up = up
            self.epoch += not up
            for end in self.ends:
                end.station.carrier(end, up)
