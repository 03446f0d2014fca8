"""What one device tells of the groups of its namespace: the host's side of IGMP and MLD, one machine for both.

A `Speaker` hears of every change of a group's filter at its device (`changed`) and says so at once, then
``robustness - 1`` more times at random moments (RFC 3376 5.1). Changes that come meanwhile are told in the same
reports: of each group it is kept how often its mode and each of its sources are still to be told, and a report says
what is so at the moment it is sent. Queries are answered after a random delay with what is then so (RFC 3376 5.2).

The version spoken is the newest, that of the oldest querier heard for as long as it counts as present (RFC 3376 7.2.1),
or the one that ``force_igmp_version`` and ``force_mld_version`` want. With a version before the newest reports are for
one group each, to the group; who hears another's does not give his own (RFC 2236 3), and who gave the last one leaves
aloud.

Robustness is ``igmp_qrv`` or ``mld_qrv`` until a querier tells its own.

MLD speaks from ``::`` while the device has no link-local address that it may use, and tells all again when it has one
(RFC 3590 4).

A device that is down forgets what was to be said and who was heard; when it is up again it tells everything as new.
Nothing is ever said on ``lo``.

Bounds: a pending answer holds at most `MAX_ASKED` sources that were asked for; with more the whole group is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6, V6, scoped
from vrouter.stack.base.group_filter import EVERYBODY, NOBODY, Filter
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.wire.membership import (
    ALLOW,
    BLOCK,
    IS_EXCLUDE,
    IS_INCLUDE,
    MAX_RECORDS,
    TO_EXCLUDE,
    TO_INCLUDE,
    Query,
    Record,
    Report,
)

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.multicast.dialect import Dialect
    from vrouter.stack.l3.multicast.groups import GroupTables

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
QUERY_INTERVAL: Final = 125 * SECOND
MAX_ASKED: Final = 256
_HEAD: Final = 4  # bytes of a record besides its addresses
_NEVER: Final = -1


class Change:
    """What is still to be told of a group: its mode so many times, and each of these sources."""

    __slots__ = ("mode", "sources")

    def __init__(self) -> None:
        self.mode = 0
        self.sources: dict[int, int] = {}


class Answer:
    """A pending answer about one group: when (ns), and about which sources (None: the whole group)."""

    __slots__ = ("at", "sources")

    def __init__(self, at: int, sources: dict[int, None] | None) -> None:
        self.at = at
        self.sources = sources


class Speaker:
    """One device and one family."""

    __slots__ = (
        "_all_at",
        "_answers",
        "_changes",
        "_changes_at",
        "_fresh",
        "_interval",
        "_older",
        "_reported",
        "_robustness",
        "dev",
        "dialect",
        "groups",
        "tables",
        "timer",
    )

    def __init__(self, tables: GroupTables, dev: Device, dialect: Dialect) -> None:
        self.tables = tables
        self.dev = dev
        self.dialect = dialect
        self.groups: dict[int, Filter] = {}
        self.timer = Timer(TimerKind.GROUP_REPORT, self)
        self._forget()

    def _forget(self) -> None:
        """Nothing is pending, nobody was heard."""
        self._changes: dict[int, Change] = {}
        self._answers: dict[int, Answer] = {}
        self._all_at = self._changes_at = _NEVER
        self._fresh = False  # there are changes that were never told
        self._older: dict[int, int] = {}  # version -> until when (ns) its querier counts as present
        self._robustness = 0  # 0: no querier has told
        self._interval = QUERY_INTERVAL
        self._reported: dict[int, None] = {}  # groups of which ours was the last report of an old version

    # -- questions ------------------------------------------------------------------------------------------------

    def version(self, now: int) -> int:
        """The version that is spoken now."""
        forced = self.dialect.forced(self.dev)
        if forced:
            return forced
        return min((v for v, until in self._older.items() if until > now), default=self.dialect.newest)

    @property
    def robustness(self) -> int:
        """How often a change is told."""
        return self._robustness or self.tables.ns.conf.of(self.dialect.family).qrv

    def _speaks(self) -> bool:
        dev = self.dev
        return dev.ready and (dev.with_ipv6 or self.dialect.family != V6)

    # -- what changes ---------------------------------------------------------------------------------------------

    def changed(self, group: int, before: Filter | None, after: Filter | None, now: int) -> None:
        """The filter of a group is another one; None is no membership. `flush` tells it."""
        if after is None:
            self.groups.pop(group, None)
            self._answers.pop(group, None)
        else:
            self.groups[group] = after
        if self.dialect.is_silent(self.tables.ns, group) or not self.dev.with_arp:  # nobody there to be told
            return
        if not self._speaks():
            return self._wait()
        version = self.version(now)
        if version == self.dialect.newest:
            self._note(group, before or NOBODY, after or NOBODY)
        elif after is None:
            self._changes.pop(group, None)
            if self._reported.pop(group, 0) is None and version == self.dialect.newest - 1:
                self._send(self.dialect.all_routers, Report(version, [Record(TO_INCLUDE, group)]))
        elif before is None:
            self._note(group, NOBODY, after)
        return None

    def _wait(self) -> None:
        """Nothing can be said: if the device is ready, for want of IPv6 there."""
        if self.dev.ready:
            self.tables.waiting[self] = None

    def _note(self, group: int, before: Filter, after: Filter) -> None:
        """RFC 3376 5.1: a change of the mode, else of sources, is to be told."""
        change = self._changes.get(group)
        if change is None:
            change = self._changes[group] = Change()
        if before.exclude != after.exclude:
            change.mode = self.robustness
            change.sources.clear()
        else:
            for source in sorted(before.sources ^ after.sources):
                change.sources[source] = self.robustness
        self._fresh = True

    def flush(self, now: int) -> None:
        """Tell at once what has changed since the last call."""
        if self._fresh:
            self._fresh = False
            self._tell(now)
        self._arm()

    def tell_all(self, now: int) -> None:
        """Tell every group as if it had just been joined: the device is ready, or has its address."""
        self.tables.waiting.pop(self, None)
        if not self._speaks():
            return self._wait()
        newest = self.version(now) == self.dialect.newest
        for group, state in self.groups.items():
            if not self.dialect.is_silent(self.tables.ns, group):
                self._note(group, NOBODY, state if newest else EVERYBODY)
        return self.flush(now)

    def down(self) -> None:
        """The device is not ready any more."""
        self._forget()
        self.tables.ns.stack.timers.cancel(self.timer)

    # -- what is heard --------------------------------------------------------------------------------------------

    def query(self, query: Query, now: int) -> None:
        """Somebody asks (RFC 3376 5.2, 7.2.1)."""
        newest, response = self.dialect.newest, query.max_response * MS
        spoken = self.version(now)
        if query.version < newest:
            self._older[query.version] = now + self.robustness * self._interval + response
        else:
            self._robustness = query.robustness or self._robustness
            self._interval = query.interval * SECOND or self._interval
        if self.version(now) != spoken:
            self._changes.clear()
            self._answers.clear()
            self._all_at = self._changes_at = _NEVER
        if self._speaks() and self.groups:
            if self.version(now) < newest:
                self._asked_old(query.group, response, now)
            else:
                self._asked(query, response, now)
        self._arm()

    def _asked_old(self, group: int, response: int, now: int) -> None:
        """RFC 2236 3: each group has a delay of its own; one that is to be told sooner stays as it is."""
        for one in (group,) if group else self.groups:
            if one in self.groups and not self.dialect.is_silent(self.tables.ns, one):
                pending = self._answers.get(one)
                if pending is None or pending.at > now + response:
                    self._answers[one] = Answer(self._delay(response, now), None)

    def _asked(self, query: Query, response: int, now: int) -> None:
        """RFC 3376 5.2: the five rules."""
        at = self._delay(response, now)
        if now <= self._all_at <= at:
            return
        group = query.group
        if not group:
            self._all_at = at
            return
        if group not in self.groups or self.dialect.is_silent(self.tables.ns, group):
            return
        asked = dict.fromkeys(scoped(s, self.dev.ifindex) for s in query.sources) if query.sources else None
        pending = self._answers.get(group)
        if pending is not None:
            asked = {**pending.sources, **asked} if pending.sources is not None and asked is not None else None
            at = min(at, pending.at)
        if asked is not None and len(asked) > MAX_ASKED:
            asked = None
        self._answers[group] = Answer(at, asked)

    def heard(self, report: Report, now: int) -> None:
        """Another one's report (RFC 2236 3): with an old version it serves for ours."""
        if report.version < self.dialect.newest and self.version(now) < self.dialect.newest:
            for record in report.records:
                if record.kind == IS_EXCLUDE:
                    self._answers.pop(record.group, None)
                    self._changes.pop(record.group, None)
                    self._reported.pop(record.group, None)
            self._arm()

    # -- what is said ---------------------------------------------------------------------------------------------

    def timer_fired(self, now: int) -> None:
        """Say what is due. Where IPv6 has ended meanwhile, all is to be told when it is back."""
        if not self._speaks():
            self._forget()
            return self._wait()
        newest = self.version(now) == self.dialect.newest
        records: list[Record] = []
        if 0 <= self._all_at <= now:
            self._all_at = _NEVER
            if newest:
                records = [self._current(group) for group in self.groups]
        for group in [group for group, answer in self._answers.items() if answer.at <= now]:
            asked = self._answers.pop(group).sources
            if not newest:
                self._report_old(group, now)
            elif asked is None:
                records.append(self._current(group))
            else:
                state = self.groups[group]
                wanted = [s for s in asked if state.admits(s)]
                if wanted:
                    records.append(Record(IS_INCLUDE, group, wanted))
        ns = self.tables.ns
        self._report([record for record in records if not self.dialect.is_silent(ns, record.group)])
        if 0 <= self._changes_at <= now:
            self._tell(now)
        return self._arm()

    def _current(self, group: int) -> Record:
        state = self.groups[group]
        return Record(IS_EXCLUDE if state.exclude else IS_INCLUDE, group, sorted(state.sources))

    def _tell(self, now: int) -> None:
        """Tell the changes, and when to do so again."""
        self._changes_at = _NEVER
        if self.version(now) < self.dialect.newest:
            for group in [group for group in self._changes if group not in self._answers]:
                if group in self.groups:
                    self._report_old(group, now)
                else:
                    del self._changes[group]  # left with the newest version, of which the old one knows nothing
            return
        records = []
        for group, change in list(self._changes.items()):
            state = self.groups.get(group, NOBODY)
            if change.mode:
                change.mode -= 1
                records.append(Record(TO_EXCLUDE if state.exclude else TO_INCLUDE, group, sorted(state.sources)))
            else:
                allowed = [s for s in change.sources if state.admits(s)]
                blocked = [s for s in change.sources if not state.admits(s)]
                records += [Record(kind, group, some) for kind, some in ((ALLOW, allowed), (BLOCK, blocked)) if some]
            change.sources = {s: left - 1 for s, left in change.sources.items() if left > 1}
            if not change.mode and not change.sources:
                del self._changes[group]
        self._report(records)
        if self._changes:
            self._changes_at = self._delay(self.dialect.interval(self.dev, True), now)

    def _report_old(self, group: int, now: int) -> None:
        """A report of an old version, and its repetition when it was of a change (RFC 2236 3)."""
        version = self.version(now)
        self._reported[group] = None
        self._send(group, Report(version, [Record(IS_EXCLUDE, group)]))
        change = self._changes.get(group)
        if change is not None:
            change.mode -= 1
            if change.mode > 0:
                self._answers[group] = Answer(self._delay(self.dialect.interval(self.dev, False), now), None)
            else:
                del self._changes[group]

    def _report(self, records: list[Record]) -> None:
        """Send records of the newest version, in as many reports as the MTU makes of them (RFC 3376 4.2.16)."""
        room = self.dev.ns.ip(self.dialect.family).link_mtu(self.dev) - self.dialect.overhead
        width = self.dialect.width
        most = max((room - _HEAD - width) // width, 1)
        batch: list[Record] = []
        left = room
        for record in records:
            if len(record.sources) > most:
                if record.kind in (IS_EXCLUDE, TO_EXCLUDE):
                    parts = [record.sources[:most]]  # who excludes fewer gets more than it wants
                else:
                    parts = [record.sources[i : i + most] for i in range(0, len(record.sources), most)]
            else:
                parts = [record.sources]
            for sources in parts:
                size = _HEAD + width + width * len(sources)
                if batch and (size > left or len(batch) == MAX_RECORDS):
                    self._send(self.dialect.reports_to, Report(self.dialect.newest, batch))
                    batch, left = [], room
                batch.append(Record(record.kind, record.group, sources))
                left -= size
        if batch:
            self._send(self.dialect.reports_to, Report(self.dialect.newest, batch))

    def _send(self, dst: int, report: Report) -> None:
        source = self.dialect.source(self.dev)
        if not source & MAX6 and self.dialect.family == V6:
            self.tables.waiting[self] = None
        self.tables.send(self.dialect.packet(self.dev, source, dst, report))

    # -- time -----------------------------------------------------------------------------------------------------

    def _delay(self, within: int, now: int) -> int:
        """A random moment within so many ns from now."""
        return now + 1 + self.tables.ns.stack.rng.below(max(within, 1))

    def _arm(self) -> None:
        times = [answer.at for answer in self._answers.values()]
        times += [at for at in (self._all_at, self._changes_at) if at >= 0]
        timers = self.tables.ns.stack.timers
        if times:
            timers.arm(self.timer, min(times))
        else:
            timers.cancel(self.timer)
