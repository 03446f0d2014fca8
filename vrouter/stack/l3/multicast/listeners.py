"""Who listens to one group at one device: the router's state of RFC 3376 6.2 and RFC 3810 7.2, one for both.

A group is in EXCLUDE mode while somebody wants all of it: ``until`` is its timer, and a source is requested (its timer
runs) or excluded (its time is 0). In INCLUDE mode the sources whose timers run are wanted, and nothing else. `apply`
is the table of RFC 3376 6.4 (RFC 3810 7.4); it says what has to be asked before somebody is let go.

Hosts of older versions are counted as present for a while; what they would not understand is not asked of them and
what they cannot have meant is not done (RFC 3376 7.3.2, RFC 3810 8.3.2).

Bounds: `MAX_SOURCES`. A group of which more are told becomes one that is wanted from everybody: a stranger gains noise
for a while, and nobody loses a stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vrouter.stack.base.group_filter import Filter
from vrouter.stack.wire.membership import (
    ALLOW,
    BLOCK,
    IS_EXCLUDE,
    IS_INCLUDE,
    TO_EXCLUDE,
    TO_INCLUDE,
    Record,
)

MAX_SOURCES: Final = 64
_WANTING: Final = (IS_INCLUDE, ALLOW, TO_INCLUDE)

Asking = tuple[bool, list[int]]


class Listeners:
    """One group. Times are ns; a source's 0 says that it is excluded."""

    __slots__ = ("ask_at", "asked_sources", "asks", "exclude", "older", "sources", "until")

    def __init__(self) -> None:
        self.exclude = False
        self.until = 0
        self.sources: dict[int, int] = {}
        self.older: dict[int, int] = {}  # version -> until when a host of it counts as present
        self.asks = 0  # how often the group is still to be asked about
        self.asked_sources: dict[int, int] = {}  # the same of its sources
        self.ask_at = -1

    def state(self) -> Filter:
        """From whom the group is wanted."""
        if self.exclude:
            return Filter(True, frozenset(s for s, until in self.sources.items() if not until))
        return Filter(False, frozenset(self.sources))

    def admits(self, source: int) -> bool:
        """Whether what `source` sends is wanted."""
        until = self.sources.get(source, -1)
        return until != 0 if self.exclude else until > 0

    def hear(self, record: Record, version: int, newest: int, now: int, interval: int) -> Asking:
        """A host of `version` tells `record`; a membership holds for `interval` ns. As `apply`."""
        oldest = self.version(newest, now)
        kind, sources = record.kind, record.sources
        if version < newest and kind == IS_EXCLUDE:
            self.older[version] = now + interval
        elif oldest < newest:
            if kind == BLOCK or (kind == TO_INCLUDE and oldest < newest - 1):
                return False, []
            if kind == TO_EXCLUDE:
                sources = []
        return self.apply(kind, sources, now, interval)

    def version(self, newest: int, now: int) -> int:
        """The version of the oldest host that counts as present."""
        return min((v for v, until in self.older.items() if until > now), default=newest)

    def apply(self, kind: int, told: Iterable[int], now: int, interval: int) -> Asking:
        """RFC 3376 6.4.1, 6.4.2: what a record makes of the state; whether to ask about the group, and about which
        sources."""
        asking = self._apply(kind, dict.fromkeys(told), now + interval)
        if len(self.sources) > MAX_SOURCES:
            self.exclude, self.until, self.sources = True, now + interval, {}
            self.asked_sources.clear()
            return False, []
        return asking

    def _apply(self, kind: int, told: dict[int, None], until: int) -> Asking:
        known = self.sources
        running = [s for s, at in known.items() if at]
        if kind in _WANTING:
            for source in told:
                known[source] = until
            if kind != TO_INCLUDE:
                return False, []
            return self.exclude, [s for s in running if s not in told]
        if kind == BLOCK:
            if self.exclude:
                for source in told:
                    known.setdefault(source, self.until)
            return False, [s for s in told if known.get(s)]
        if self.exclude:
            fresh = until if kind == IS_EXCLUDE else self.until
            self.sources = {s: known.get(s, fresh) for s in told}
        else:
            self.sources = {s: known.get(s, 0) for s in told}
        self.exclude, self.until = True, until
        return False, [s for s, at in self.sources.items() if at] if kind == TO_EXCLUDE else []

    def expire(self, now: int) -> bool:
        """Let timers run out (RFC 3376 6.2.2, 6.2.3, 6.5); whether anybody is left."""
        if self.exclude and self.until <= now:
            self.exclude, self.until = False, 0
        if self.exclude:
            for source, until in self.sources.items():
                if 0 < until <= now:
                    self.sources[source] = 0
        else:
            self.sources = {s: until for s, until in self.sources.items() if until > now}
        return self.exclude or bool(self.sources)

    def hurry(self, at: int, sources: Iterable[int] | None = None) -> None:
        """Who has not answered by `at` is not there any more (RFC 3376 6.6.3): the group, or some sources."""
        if sources is None:
            self.until = min(self.until, at)
        else:
            for source in sources:
                if self.sources.get(source, 0) > at:
                    self.sources[source] = at

    def next_at(self) -> int:
        """When (ns) something is to be done or runs out."""
        times = [until for until in self.sources.values() if until]
        if self.exclude:
            times.append(self.until)
        if self.ask_at >= 0:
            times.append(self.ask_at)
        return min(times, default=0)
