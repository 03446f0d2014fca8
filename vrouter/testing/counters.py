"""Exact expectations of counters: what is named moves by so much, and what is not named does not move.

    with r.counters.expect(rx=1, tx=1, drops={DropReason.TTL_EXPIRED: 1}, IpInReceives=1, IcmpOutMsgs=1, …):
        a.send(packet)
        lab.run_until_idle()

Counted per namespace: packets received and sent by its devices, packets that went around through ``lo``, drops by
reason, and statistics by the names of `Stat`. Its ``Acct*`` members may be named too, but only then they are compared:
whether the accounts are right, the lab checks at its end for the whole stack.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

Expected = int | Mapping[str, int]


@dataclass(slots=True)
class Counts:
    """The counters of a namespace at one moment, or the difference of two; what is zero may be missing."""

    rx: dict[str, int]
    tx: dict[str, int]
    lo: int
    drops: dict[str, int]
    stats: dict[str, int]

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            _difference(self.rx, other.rx),
            _difference(self.tx, other.tx),
            self.lo - other.lo,
            _difference(self.drops, other.drops),
            _difference(self.stats, other.stats),
        )


class Counters:
    """The counters of one namespace."""

    __slots__ = ("name", "ns")

    def __init__(self, ns: Netns, name: str = "") -> None:
        self.ns = ns
        self.name = name or ns.name

    def read(self) -> Counts:
        """How they stand now."""
        devices = [dev for dev in self.ns.devices.values() if dev.kind != "lo"]
        return Counts(
            {dev.name: dev.rx_packets for dev in devices},
            {dev.name: dev.tx_packets for dev in devices},
            self.ns.lo.tx_packets,
            self.ns.drop_counts(),
            {stat.name: self.ns.stats[stat] for stat in Stat if self.ns.stats[stat]},
        )

    @contextlib.contextmanager
    def expect(
        self,
        *,
        rx: Expected = 0,
        tx: Expected = 0,
        lo: int = 0,
        drops: Mapping[DropReason | str, int] | None = None,
        **stats: int,
    ) -> Iterator[None]:
        """LabError unless the counters move within the block exactly as said.

        `rx` and `tx` count the packets of all devices but ``lo``, or of each device by name; `drops` is by reason, the
        rest by the names of `Stat`. Nothing is checked when the block raises.
        """
        wanted_drops = {_reason(reason): count for reason, count in (drops or {}).items() if count}
        for name in stats:
            if name not in Stat.__members__:
                near = difflib.get_close_matches(name, Stat.__members__, 1, 0.5)
                raise TypeError(f"no counter {name!r}{f': did you mean {near[0]}?' if near else ''}")
        before = self.read()
        yield
        moved = self.read() - before
        wrong = _compare_packets("rx", moved.rx, rx) + _compare_packets("tx", moved.tx, tx)
        wrong += _compare({"lo": moved.lo}, {"lo": lo}, "{}")
        wrong += _compare(moved.drops, wanted_drops, "drops[{}]")
        compared = {name: n for name, n in moved.stats.items() if name in stats or not name.startswith("Acct")}
        wrong += _compare(compared, stats, "{}")
        if wrong:
            raise LabError("\n  ".join([f"the counters of {self.name} moved otherwise than expected:", *wrong]))


def _difference(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    names = [*now, *(name for name in before if name not in now)]
    return {name: now.get(name, 0) - before.get(name, 0) for name in names}


def _reason(reason: DropReason | str) -> str:
    return DropReason[reason].name if isinstance(reason, str) else DropReason(reason).name


def _compare_packets(name: str, moved: Mapping[str, int], wanted: Expected) -> list[str]:
    if isinstance(wanted, int):
        wrong = _compare({name: sum(moved.values())}, {name: wanted}, "{}")
        where = ", ".join(f"{dev} {count}" for dev, count in moved.items() if count)
        return [f"{line} ({where})" if where else line for line in wrong]
    return _compare(moved, wanted, f"{name}[{{}}]")


def _compare(moved: Mapping[str, int], wanted: Mapping[str, int], shown: str) -> list[str]:
    wrong = []
    for name in [*moved, *(name for name in wanted if name not in moved)]:
        got, expected = moved.get(name, 0), wanted.get(name, 0)
        if got != expected:
            wrong.append(f"{shown.format(name)}: moved by {got}, not {expected}")
    return wrong
