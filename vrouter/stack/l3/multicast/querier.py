"""Who asks at a device, and what was reported there: the router's side of IGMP and MLD, one machine for both.

Where it is switched on, a `Querier` asks all hosts at once and `robustness` times while it starts, then every 125 s; of
several on a link the one with the lowest address goes on and the others listen (RFC 3376 6.6.2, RFC 3810 7.6.2). It
keeps `Listeners` for each group that was reported, asks once more when somebody leaves (6.6.3), and lets go of who does
not answer. The version of its questions is the newest, or what ``force_igmp_version`` and ``force_mld_version`` want
(7.3.1).

Who is not the querier takes robustness and interval from who is, and shortens timers as that one's questions say. A
device without an address of its own (of MLD: a link-local one) does not ask until it has one; questions from
``0.0.0.0`` are of switches, which stand for no election (RFC 4541 2.1.1).

Groups of link scope are not kept: they are forwarded nowhere, so nobody needs to know. (RFC 3810 7.2 has them in the
table.)

Bounds: `MAX_GROUPS` groups at a device, `listeners.MAX_SOURCES` sources in one; what finds no room is counted as
``refused``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l3.multicast.listeners import Listeners
from vrouter.stack.wire.membership import Query, Report

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.multicast.dialect import Dialect
    from vrouter.stack.l3.multicast.groups import GroupTables

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
MAX_GROUPS: Final = 1024
QUERY_INTERVAL: Final = 125 * SECOND
RESPONSE: Final = 10 * SECOND
LAST_MEMBER: Final = SECOND
_GRAIN: Final = 10 * MS  # what runs out within it runs out together


class Querier:
    """One device and one family. ``other`` is the querier that was elected instead, until ``other_until`` (ns)."""

    __slots__ = (
        "dev",
        "dialect",
        "groups",
        "interval",
        "next_query",
        "other",
        "other_until",
        "refused",
        "robustness",
        "startup",
        "tables",
        "timer",
    )

    def __init__(self, tables: GroupTables, dev: Device, dialect: Dialect) -> None:
        self.tables = tables
        self.dev = dev
        self.dialect = dialect
        self.groups: dict[int, Listeners] = {}
        self.refused = 0
        self.timer = Timer(TimerKind.GROUP_QUERY, self)
        self._reset()

    def _reset(self) -> None:
        self.other = 0
        self.other_until = 0
        self.robustness = self._own_robustness()
        self.interval = QUERY_INTERVAL
        self.startup = self.robustness
        self.next_query = -1  # ns; -1: not before there is an address, or the device is ready

    def _own_robustness(self) -> int:
        return max(self.tables.ns.conf.of(self.dialect.family).qrv, 1)

    def is_querier(self, now: int) -> bool:
        """Whether this one asks, as far as is known."""
        return self.other_until <= now

    @property
    def membership(self) -> int:
        """For how long (ns) a report holds (RFC 3376 8.4)."""
        return self.robustness * self.interval + RESPONSE

    @property
    def version(self) -> int:
        """The version of our questions."""
        return self.dialect.forced(self.dev) or self.dialect.newest

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self, now: int) -> None:
        """Begin to ask: switched on, ready again, or given an address."""
        self._reset()
        if not self.dev.ready:
            return
        self.next_query = now
        self.timer_fired(now)

    def stop(self) -> None:
        """The device is not ready, or the querier is switched off: nobody is known to listen."""
        self.tables.ns.stack.timers.cancel(self.timer)
        for group in self.groups:
            self.tables.dirty[self.dialect.family, group] = None
        self.groups.clear()
        self._reset()

    def timer_fired(self, now: int) -> None:
        """Ask, when it is time; let go of what ran out."""
        if 0 <= self.next_query <= now:
            self._general(now)
        for group, one in list(self.groups.items()):
            if one.ask_at >= 0 and one.ask_at <= now:
                self._ask(group, one, now)
            if one.next_at() <= now:
                before = one.state()
                if not one.expire(now):
                    del self.groups[group]
                    self.tables.dirty[self.dialect.family, group] = None
                elif one.state() != before:
                    self.tables.dirty[self.dialect.family, group] = None
        times = [one.next_at() for one in self.groups.values()]
        soonest = max(min(times), now + _GRAIN) if times else -1
        if self.next_query >= 0:
            soonest = min(soonest, self.next_query) if soonest >= 0 else self.next_query
        if soonest >= 0:
            self.tables.ns.stack.timers.arm(self.timer, soonest)

    def _hurry_timer(self, at: int) -> None:
        """Something is due at `at`, perhaps sooner than anything else."""
        if not 0 <= self.timer.deadline <= at:
            self.tables.ns.stack.timers.arm(self.timer, at)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _general(self, now: int) -> None:
        """RFC 3376 6.6.2, 8.6, 8.7; RFC 3810 7.6.2, 9.6, 9.7."""
        if not self.is_querier(now):
            self.next_query = self.other_until
            return
        if self.other:  # it has gone: our own parameters hold again
            self._reset()
            self.startup = 1
        if not self.dialect.source(self.dev) & MAX6:
            self.next_query = -1
            self.tables.waiting[self] = None
            return
        self._send(Query(self.version, 0, RESPONSE // MS))
        self.startup -= self.startup > 0
        self.next_query = now + (self.interval // 4 if self.startup else self.interval)

    def _ask(self, group: int, one: Listeners, now: int) -> None:
        """RFC 3376 6.6.3: about a group, and about some of its sources; who has long to go is told not to hurry."""
        last = now + self.robustness * LAST_MEMBER
        response = LAST_MEMBER // MS
        if one.asks:
            one.asks -= 1
            self._send(Query(self.version, group, response, suppress=one.until > last))
        if one.asked_sources and self.version == self.dialect.newest:
            asked = [s for s in one.asked_sources if one.sources.get(s)]
            for suppress in (True, False):
                some = [s for s in asked if (one.sources[s] > last) is suppress]
                if some:
                    self._send(Query(self.version, group, response, suppress=suppress, sources=some))
        one.asked_sources = {s: left - 1 for s, left in one.asked_sources.items() if left > 1}
        one.ask_at = now + LAST_MEMBER if one.asks or one.asked_sources else -1

    def _send(self, query: Query) -> None:
        source = self.dialect.source(self.dev)
        if not source & MAX6:
            return
        query.robustness = self.robustness
        query.interval = self.interval // SECOND
        dst = query.group or self.dialect.all_hosts
        self.tables.send(self.dialect.packet(self.dev, source, dst, query))

    # -- what is heard --------------------------------------------------------------------------------------------

    def query(self, query: Query, source: int, now: int) -> None:
        """Another one asks (RFC 3376 6.6.1, 6.6.2)."""
        own = self.dialect.source(self.dev)
        if not source & MAX6 or (own & MAX6 and source & MAX6 >= own & MAX6):
            return
        if query.robustness:
            self.robustness = query.robustness
        if query.interval:
            self.interval = query.interval * SECOND
        self.other = source
        self.other_until = now + self.robustness * self.interval + RESPONSE // 2
        self.next_query = self.other_until
        self._hurry_timer(self.next_query)
        one = self.groups.get(query.group)
        if one is not None and not query.suppress:
            last = now + self.robustness * query.max_response * MS
            one.hurry(last, query.sources or None)
            self._hurry_timer(last)

    def report(self, report: Report, source: int, now: int) -> None:
        """What a host listens to. One that has no MLD address yet is not heard (RFC 3810 5.2.13)."""
        dialect = self.dialect
        if dialect.family == 6 and not source & MAX6:
            return
        for record in report.records:
            group = record.group
            if not dialect.is_group(group) or dialect.is_link_scope(group):
                continue
            one = self.groups.get(group)
            before = None if one is None else one.state()
            if one is None:
                if len(self.groups) >= MAX_GROUPS:
                    self.refused += 1
                    continue
                one = Listeners()
            whole, sources = one.hear(record, report.version, dialect.newest, now, self.membership)
            if not one.exclude and not one.sources:
                continue  # nobody listens, and nobody did
            self.groups[group] = one
            if (whole or sources) and self.is_querier(now):
                self._question(group, one, whole, sources, now)
            if one.state() != before:
                self.tables.dirty[dialect.family, group] = None
            self._hurry_timer(max(one.next_at(), now + _GRAIN))

    def _question(self, group: int, one: Listeners, whole: bool, sources: list[int], now: int) -> None:
        """RFC 3376 6.6.3.1, 6.6.3.2."""
        last = now + self.robustness * LAST_MEMBER
        pending = one.ask_at > now  # asked a moment ago, and about to be again: who leaves twice is asked about then
        if whole:
            one.hurry(last)
            one.asks = self.robustness
        waiting = [s for s in sources if one.sources.get(s, 0) > last]
        one.hurry(last, waiting)
        for source in waiting:
            one.asked_sources[source] = self.robustness
        if (whole or waiting) and not pending:
            self._ask(group, one, now)
