"""A full table at once: many routes from text, taken in piece by piece, put into use in one step or not at all.

Theory of operation. `RouteLoad.step` reads some lines; each route goes into a table of its own beside the one in use
(`Fib`), for nobody looks there yet. What is wrong with a line is noted with its number, and reading goes on, so that
all of it is known at once; then nothing has happened. After the last line,

- with ``replace`` the new table takes in what the old one has of addresses and router advertisements, and takes its
  place between two packets: each is routed by one table or by the other. Only the tables that the lines name (main, as
  a rule) of the families that they name are replaced;
- without it a few routes, or those for a table that is nearly empty, are put into use in one step as well; many for a
  big table piece by piece, as single commands would, but for that all of them were checked before.

What is not needed any more is let go of piece by piece, too. No step takes longer than its budget allows: a table of a
million routes is as many lines read, and never copied, sorted or freed in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.addresses import BITS, V6, parse_prefix
from vrouter.stack.l3.fib import TABLE_MAIN, Entry, Fib, Route, same_way
from vrouter.stack.l3.route_text import OF_OTHERS, parse_tail, split_line

if TYPE_CHECKING:
    from vrouter.stack.crossing import Crossing
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

MAX_PROBLEMS: Final = 100  # told; the rest is only counted
MAX_TAILS: Final = 65536
BUDGET: Final = 1000
_AT_ONCE: Final = 2000
_LINK_LOCAL: Final = 0x3FA  # the first ten bits of fe80::/10

Target = tuple[int, int]  # family, table


class LineProblem(NamedTuple):
    """What is wrong in line `line` (1 is the first; 0: not of one line)."""

    line: int
    text: str


class _Staged:
    """What the lines have for one table so far, and what of it is not in there yet."""

    __slots__ = ("entries", "family", "fib", "lines", "number", "replaced")

    def __init__(self, family: int, number: int) -> None:
        self.family = family
        self.number = number
        self.fib = Fib(BITS[family])
        self.entries: list[Entry] = []
        self.lines: list[int] = []
        self.replaced: set[int] = set()  # the places of routes that are to go from the one in use (`_place`)


class RouteLoad:
    """One load of a namespace, made by `Netns.load_routes`. Call `step` until it says that all is done.

    ``routes`` counts what was read so far; ``problems`` are the first `MAX_PROBLEMS`, ``problem_count`` is how many
    there were; ``applied`` tells whether the routes are in use. With any problem they never are.
    """

    def __init__(self, ns: Netns, lines: Iterable[str], *, replace: bool) -> None:
        self.ns = ns
        self.replace = replace
        self.routes = 0
        self.problems: list[LineProblem] = []
        self.problem_count = 0
        self.applied = False
        self._lines = enumerate(lines, 1)
        self._staged: dict[Target, _Staged] = {}
        self._known: tuple[dict[str, tuple[_Staged, Route]], ...] = ({}, {})  # of IPv4 and IPv6, by tail
        self._phase = self._read
        self._merging: list[tuple[_Staged, Iterator[Entry]]] = []
        self._leaving: list[Fib] = []
        self._held: dict[Crossing, None] = {}  # short-cuts that wait for their first route

    def step(self, budget: int = BUDGET) -> bool:
        """Do a piece of the work: `budget` lines or routes, a thousand of which take a few ms. True when there is
        nothing left to do."""
        return self._phase(budget)

    def abandon(self) -> None:
        """Give up: nothing comes into use, and `step` only lets go of what was read. Too late when it is `applied`."""
        if not self.applied and self._phase != self._release:
            self._known = ({}, {})
            self._abandon()

    # -- reading ----------------------------------------------------------------------------------------------------

    def _read(self, budget: int) -> bool:
        known4, known6 = self._known
        read = 0
        for number, line in islice(self._lines, budget):
            read += 1
            words = line.split(None, 3)
            if len(words) == 4 and words[0] == "route" and words[1] == "add":
                text = words[2]
                found = (known6 if ":" in text else known4).get(words[3])
                if found is not None:
                    staged, route = found
                    try:
                        _, prefix, length = parse_prefix(text)
                        if prefix >> 118 == _LINK_LOCAL:
                            prefix = self.ns.place_of(prefix, length, route)
                    except (ValueError, OSError) as error:
                        self._problem(number, error)
                        continue
                    staged.entries.append((prefix, length, route))
                    staged.lines.append(number)
                    continue
            try:
                self._read_line(number, line, words[3] if len(words) == 4 else "")
            except (ValueError, OSError) as error:
                self._problem(number, error)
        for staged in self._staged.values():
            self._stage(staged)
        if read == budget:
            return False
        self._known = ({}, {})
        if not self.problem_count:
            self._check_places()
        if self.problem_count:
            return self._abandon()
        self._phase = self._apply
        return False

    def _read_line(self, number: int, line: str, raw: str) -> None:
        found = split_line(line)
        if found is None:
            return
        verb, type_, text, tail = found
        if text == "default" and (":" in tail or tail.startswith("via inet6 ")):
            text = "::/0"
        family, prefix, length = parse_prefix(text)
        known = self._known[family == V6]
        key = tail if type_ == "unicast" else f"{type_} {tail}"
        way = known.get(key)
        if way is None:
            way = self._way(family, type_, tail)
            if len(known) >= MAX_TAILS:
                known.clear()
            known[key] = way
            if type_ == "unicast" and raw and raw.split() == tail.split():
                known[raw] = way  # as it stands in the line, with its end
        staged, route = way
        prefix = self.ns.place_of(prefix, length, route)
        if verb == "replace":
            self._stage(staged)
            for other in staged.fib.exact(prefix, length):
                if other.metric == route.metric:
                    staged.fib.unlink(prefix, length, other)
            live = self._live(staged)
            if live is not None and any(not self.replace or _stays(other) for other in live.exact(prefix, length)):
                staged.replaced.add(_place(prefix, length, route.metric))
        staged.entries.append((prefix, length, route))
        staged.lines.append(number)

    def _way(self, family: int, type_: str, tail: str) -> tuple[_Staged, Route]:
        route = self.ns.make_route(family, type=type_, links=self._links(family), **parse_tail(tail))
        if route.crossing is not None and route.crossing not in self._held:
            self._held[route.crossing] = None
            route.crossing.routes += 1
        target = family, route.table
        staged = self._staged.get(target)
        if staged is None:
            staged = self._staged[target] = _Staged(family, route.table)
        return staged, staged.fib.intern(route)

    def _links(self, family: int) -> list[Fib]:
        """The main tables in which a line finds the link of its gateway: what the lines before it made, and what there
        is and stays."""
        found = []
        staged = self._staged.get((family, TABLE_MAIN))
        if staged is not None:
            self._stage(staged)
            found.append(staged.fib)
        if not self.replace:
            found.append(self.ns.ip(family).main)
        return found

    def _stage(self, staged: _Staged) -> None:
        """Put what was read into the table beside, and note what does not fit there."""
        entries, lines = staged.entries, staged.lines
        if not entries:
            return
        staged.entries, staged.lines = [], []
        for at, error in staged.fib.load(entries):
            self._problem(lines[at], error)
        self.routes += len(entries)
        live = self._live(staged)
        if live is not None and len(live):
            for (prefix, length, route), line in zip(entries, lines, strict=True):
                for other in live.exact(prefix, length):
                    if self._collides(staged, prefix, length, route, other):
                        self._problem(line, "there is such a route already")

    def _collides(self, staged: _Staged, prefix: int, length: int, route: Route, other: Route) -> bool:
        if self.replace and not _stays(other):
            return False
        if staged.replaced and _place(prefix, length, other.metric) in staged.replaced:
            return False
        return route.metric == other.metric and same_way(route, other)

    def _check_places(self) -> None:
        """What was so when a line was read may be so no longer."""
        for staged in self._staged.values():
            for route in staged.fib.routes():
                try:
                    self.ns.check_route(route)
                except OSError as error:
                    self._problem(0, error)

    def _problem(self, line: int, problem: Exception | str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            text = (problem.strerror or str(problem)) if isinstance(problem, OSError) else str(problem)
            self.problems.append(LineProblem(line, text))

    # -- applying ---------------------------------------------------------------------------------------------------

    def _live(self, staged: _Staged) -> Fib | None:
        """The table in use, None when there is none yet."""
        ip = self.ns.ip_state(staged.family)
        return None if ip is None else ip.tables.get(staged.number)

    def _apply(self, budget: int) -> bool:
        self._check_places()
        if self.problem_count or self.ns.closing:
            return self._abandon()
        for staged in self._staged.values():
            ip = self.ns.ip(staged.family)
            live = ip.table(staged.number)
            if self.replace or len(live) <= _AT_ONCE:
                self._swap(ip, staged, live)
            else:
                self._merging.append((staged, iter(staged.fib)))
        self.applied = True
        if sum(len(staged.fib) for staged, _ in self._merging) <= _AT_ONCE:
            self._merge(_AT_ONCE + 1)
        else:
            self._phase = self._merge
        return False

    def _swap(self, ip: IpState, staged: _Staged, live: Fib) -> None:
        """Put the new table in the place of the one in use."""
        for entry in reversed(live.where(_stays if self.replace else lambda _: True)):
            if _place(entry[0], entry[1], entry[2].metric) not in staged.replaced:
                _put_first(staged.fib, *entry)
        for route, count in live.uses():
            if route.crossing is not None:
                route.crossing.routes -= count
        for route, count in staged.fib.uses():
            if route.crossing is not None:
                route.crossing.routes += count
        staged.fib.generation += live.generation
        ip.put_table(staged.number, staged.fib)
        ip.vacated_all(staged.number)
        ip.review_rules()
        self._leaving.append(live)
        self._phase = self._release

    def _merge(self, budget: int) -> bool:
        if self.ns.closing:
            self._merging.clear()
            return self._abandon()
        while self._merging:
            staged, entries = self._merging[-1]
            whole = list(islice(entries, budget))
            lost = {route for route in {entry[2] for entry in whole} if not self._leads_on(route)}
            piece = [entry for entry in whole if entry[2] not in lost] if lost else whole
            live = self.ns.ip(staged.family).table(staged.number)
            gone = self._make_room(staged, live, piece) if staged.replaced else []
            refused = {at for at, _ in live.load(piece)}
            for at, (_, _, route) in enumerate(piece):
                if route.crossing is not None and at not in refused:
                    route.crossing.routes += 1
            for entry in gone:
                self.ns.unlinked(entry)
            if len(whole) == budget:
                return False
            self._leaving.append(staged.fib)
            self._merging.pop()
        self._phase = self._release
        return False

    def _leads_on(self, route: Route) -> bool:
        """Whether a route that waited may still come into use: one by a device that left meanwhile would have left with
        it. Of several next hops those are left that are there."""
        hops = route.nexthops
        if hops is not None and not route.nhid:  # (a next-hop object's follow that)
            for hop in list(hops.hops):
                if hop.dev is not None and not self.ns.leads_by(route.family, hop.dev):
                    hops.forget(hop.dev)
        try:
            self.ns.check_route(route)
        except OSError:
            return False
        return True

    @staticmethod
    def _make_room(staged: _Staged, live: Fib, piece: list[Entry]) -> list[Entry]:
        """Take out and return what `piece` replaces."""
        gone = []
        for prefix, length, route in piece:
            if _place(prefix, length, route.metric) in staged.replaced:
                for other in live.exact(prefix, length):
                    if other.metric == route.metric:
                        live.unlink(prefix, length, other)
                        gone.append((prefix, length, other))
        return gone

    # -- the end ----------------------------------------------------------------------------------------------------

    def _abandon(self) -> bool:
        self._leaving = [staged.fib for staged in self._staged.values()]
        self._phase = self._release
        return False

    def _release(self, budget: int) -> bool:
        """Let go of what is not needed any more. Short-cuts live by their routes alone from now on."""
        for crossing in self._held:
            crossing.routes -= 1
        self._held = {}
        self.ns.forget_unused_crossings()
        if self.applied and not self.ns.closing:
            for family in {staged.family for staged in self._staged.values()}:
                self.ns.ip(family).review_rules()
        self._staged = {}
        while self._leaving:
            if not self._leaving[-1].shrink(4 * budget):
                return False
            self._leaving.pop()
            if self._leaving:
                return False
        return True


def _put_first(fib: Fib, prefix: int, length: int, route: Route) -> None:
    """Take in `route` before those of the same prefix and metric, for it is older."""
    later = [other for other in fib.exact(prefix, length) if other.metric == route.metric]
    for other in later:
        fib.unlink(prefix, length, other)
    fib.load([(prefix, length, other) for other in (route, *later)])


def _place(prefix: int, length: int, metric: int) -> int:
    return (prefix << 8 | length) << 32 | metric


def _stays(route: Route) -> bool:
    """Whether a route is not a static one: who made it also takes it away."""
    return route.proto in OF_OTHERS
