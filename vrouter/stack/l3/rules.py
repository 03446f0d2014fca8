"""Policy routing: which table answers, by more than the destination (ip-rule(8)).

The rules of one family of a namespace are asked in order of priority. A rule that fits names a table, whose answer is
taken when it has one (a ``throw`` route is none, nor is one no longer than ``suppress_prefixlength``); or it ends the
search itself (``blackhole``, ``prohibit``, ``unreachable``: as if there were no route); or it goes on further down
(``goto``, ``nop``). The default rules are Linux's: 0 the table local, 32766 main, and for IPv4 32767 default. While
they are all there is, nobody makes a `RuleSet`, and a lookup costs what it did.

``iif lo`` fits packets that are made here. The names of devices are compared, not the devices: a rule waits for one
that is yet to come, as Linux's do. A source that is not chosen yet is 0.

Rules that follow one another and each ask one thing of the same kind (addresses of tenants, a mark for each customer)
are found through dictionaries, not one by one.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vrouter.stack.base.addresses import BITS, V4, format_prefix, mask
from vrouter.stack.l3.fib import (
    BLACKHOLE,
    LOCAL,
    PROHIBIT,
    TABLE_DEFAULT,
    TABLE_LOCAL,
    TABLE_MAIN,
    TABLE_NAMES,
    THROW,
    Route,
)

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Fib
    from vrouter.stack.l3.tables import RoutingTables

MAX_RULES: Final = 32768
MAX_PRIORITY: Final = 0xFFFFFFFF
ACTIONS: Final = ("table", "goto", "nop", "blackhole", "unreachable", "prohibit")
_INDEXED: Final = 4  # a run of fewer rules is no dearer asked one by one

Key: TypeAlias = tuple[Any, ...]


class Rule:
    """One rule. Addresses are ints; ``from_length`` and ``to_length`` 0 take everything, ``mask`` 0 every mark, ``tos``
    0 every one, ``iif`` and ``oif`` "" every device. ``suppress`` -1 suppresses nothing. `RuleSet` gives the
    priority when it is -1."""

    __slots__ = (
        "action",
        "from_length",
        "from_mask",
        "from_prefix",
        "goto",
        "iif",
        "invert",
        "mark",
        "mask",
        "oif",
        "priority",
        "reject",
        "suppress",
        "table",
        "to_length",
        "to_mask",
        "to_prefix",
        "tos",
    )

    def __init__(
        self,
        family: int,
        *,
        priority: int = -1,
        from_prefix: int = 0,
        from_length: int = 0,
        to_prefix: int = 0,
        to_length: int = 0,
        iif: str = "",
        oif: str = "",
        mark: int = 0,
        mask: int = 0,
        tos: int = 0,
        invert: bool = False,
        action: str = "table",
        table: int = TABLE_MAIN,
        goto: int = 0,
        suppress: int = -1,
    ) -> None:
        bits = BITS[family]
        self.priority = priority
        self.from_prefix = from_prefix
        self.from_length = from_length
        self.from_mask = (1 << bits) - (1 << (bits - from_length))
        self.to_prefix = to_prefix
        self.to_length = to_length
        self.to_mask = (1 << bits) - (1 << (bits - to_length))
        self.iif = iif
        self.oif = oif
        self.mark = mark
        self.mask = mask
        self.tos = tos
        self.invert = invert
        self.action = action
        self.table = table if action == "table" else 0
        self.goto = goto
        self.suppress = suppress
        self.reject: Route | None = None
        if action in ("blackhole", "prohibit"):
            self.reject = Route(family, type=BLACKHOLE if action == "blackhole" else PROHIBIT, table=0, proto="kernel")

    def matches(self, dst: int, src: int, iif: str, oif: str, mark: int, tos: int) -> bool:
        """Whether it fits a packet; device names are "" for none and ``lo`` for ``iif`` of a packet made here."""
        fits = (
            src & self.from_mask == self.from_prefix
            and dst & self.to_mask == self.to_prefix
            and mark & self.mask == self.mark
            and (not self.iif or self.iif == iif)
            and (not self.oif or self.oif == oif)
            and (not self.tos or self.tos == tos & 0xFC)
        )
        return fits is not self.invert

    def key(self) -> Key:
        """What makes two rules the same one."""
        return tuple([getattr(self, name) for name in self.__slots__ if name != "reject"])

    def level(self) -> tuple[str, int] | None:
        """(kind, mask) of the one thing that it asks, if it is one that a dictionary can answer."""
        if self.invert or self.tos:
            return None
        asked = []
        if self.from_length:
            asked.append(("from", self.from_mask))
        if self.to_length:
            asked.append(("to", self.to_mask))
        if self.mask:
            asked.append(("mark", self.mask))
        if self.iif:
            asked.append(("iif", 0))
        if self.oif:
            asked.append(("oif", 0))
        return asked[0] if len(asked) == 1 else None

    def to_record(self, netns: str, family: int) -> dict[str, Any]:
        """The row of ``show rules``; what it does not ask is None."""
        return {
            "netns": netns,
            "family": "inet" if family == V4 else "inet6",
            "priority": self.priority,
            "from": format_prefix(self.from_prefix, self.from_length, family) if self.from_length else None,
            "to": format_prefix(self.to_prefix, self.to_length, family) if self.to_length else None,
            "iif": self.iif or None,
            "oif": self.oif or None,
            "mark": format_mark(self.mark, self.mask) if self.mask else None,
            "tos": self.tos or None,
            "invert": self.invert,
            "action": self.action,
            "table": TABLE_NAMES.get(self.table, str(self.table)) if self.action == "table" else None,
            "goto": self.goto if self.action == "goto" else None,
            "suppress_prefixlength": self.suppress if self.suppress >= 0 else None,
        }


class _Run:
    """Rules that follow one another, from place `first` on; those of one kind found by what they ask."""

    __slots__ = ("first", "kind", "levels", "rules")

    def __init__(self, first: int, rules: list[Rule], kind: str) -> None:
        self.first = first
        self.rules = rules
        self.kind = kind if len(rules) >= _INDEXED else ""
        self.levels: list[tuple[int, dict[int | str, list[int]]]] = []
        if self.kind:
            levels: dict[int, dict[int | str, list[int]]] = {}
            for place, rule in enumerate(rules, first):
                level = rule.level()
                assert level is not None
                levels.setdefault(level[1], {}).setdefault(_asked(rule, kind), []).append(place)
            self.levels = list(levels.items())


class RuleSet:
    """The rules of one family of one namespace, the default ones included. Bounded by `MAX_RULES`."""

    __slots__ = ("_by_key", "_places", "_rules", "_runs", "family")

    def __init__(self, family: int) -> None:
        self.family = family
        self._rules: list[Rule] = []
        self._by_key: dict[Key, Rule] = {}
        self._runs: list[_Run] | None = None  # made again after a change, when first asked
        self._places: dict[int, int] = {}  # priority -> the first rule of it
        self.add(Rule(family, priority=0, table=TABLE_LOCAL))
        self.add(Rule(family, priority=32766, table=TABLE_MAIN))
        if family == V4:
            self.add(Rule(family, priority=32767, table=TABLE_DEFAULT))

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        """In order of priority, then of arrival."""
        return iter(self._rules)

    def is_default(self) -> bool:
        """Whether these are Linux's default rules and no more."""
        return self._by_key.keys() == RuleSet(self.family)._by_key.keys()

    def add(self, rule: Rule) -> None:
        """Take in `rule`, behind those of its priority; without one it comes before the second. OSError EEXIST when
        there is the same, EINVAL when it would go to a rule that is not further down, ENOBUFS for too many."""
        rules = self._rules
        if rule.priority < 0:
            rule.priority = rules[1].priority - 1 if len(rules) > 1 and rules[1].priority else 0
        if rule.action == "goto" and rule.goto <= rule.priority:
            raise OSError(errno.EINVAL, "goto leads further down, to a larger priority")
        key = rule.key()
        if key in self._by_key:
            raise FileExistsError(errno.EEXIST, "there is such a rule already")
        if len(rules) >= MAX_RULES:
            raise OSError(errno.ENOBUFS, f"no more than {MAX_RULES} rules")
        self._by_key[key] = rule
        rules.insert(bisect_right(rules, rule.priority, key=_priority), rule)
        self._runs = None

    def remove(self, wanted: dict[str, Any]) -> Rule:
        """Take out the first rule whose attributes have the values of `wanted`, and return it; OSError ENOENT."""
        for place, rule in enumerate(self._rules):
            if all(getattr(rule, name) == value for name, value in wanted.items()):
                del self._rules[place], self._by_key[rule.key()]
                self._runs = None
                return rule
        raise FileNotFoundError(errno.ENOENT, "there is no such rule")

    def lookup(
        self, ip: RoutingTables, dst: int, src: int = 0, iif: Any = None, oif: Any = None, mark: int = 0, tos: int = 0
    ) -> Route | None:
        """The route of a packet, or None. `iif` is the port it came by (None: made here), `oif` the device that its
        sender is bound to: then only routes by it count, except local ones. Prohibit and blackhole of a rule come
        back as a route that refuses."""
        runs = self._runs
        if runs is None:
            runs = self._compile()
        plain = (1 << ip.bits) - 1
        iif_name = "lo" if iif is None else iif.name
        oif_name = "" if oif is None else oif.name
        about = dst & plain, src & plain, iif_name, oif_name, mark, tos
        start = number = 0
        while number < len(runs):
            run = runs[number]
            number += 1
            for place in _candidates(run, start, about) if run.kind else range(max(start, run.first), _end(run)):
                rule = run.rules[place - run.first]
                if not rule.matches(*about):
                    continue
                action = rule.action
                if action == "table":
                    fib = ip.tables.get(rule.table)
                    if fib is None:
                        continue
                    route = fib.lookup(dst) if oif is None else bound_lookup(fib, rule.table, dst, oif)
                    if rule.suppress >= 0 and route is not None:
                        route = _longer(fib, ip.bits, dst, rule.suppress, oif, route)
                    if route is not None and route.type != THROW:
                        return route
                elif action == "goto":
                    target = self._places.get(rule.goto, -1)
                    if target >= 0:
                        start, number = target, self._run_of(runs, target)
                        break
                elif action != "nop":
                    return rule.reject  # None for unreachable: there is no route (Linux: ENETUNREACH)
        return None

    @staticmethod
    def _run_of(runs: list[_Run], place: int) -> int:
        return bisect_right(runs, place, key=_first) - 1

    def _compile(self) -> list[_Run]:
        runs: list[_Run] = []
        places: dict[int, int] = {}
        run: list[Rule] = []
        kind = ""
        first = 0
        for place, rule in enumerate(self._rules):
            places.setdefault(rule.priority, place)
            level = rule.level()
            its_kind = level[0] if level is not None else ""
            if run and its_kind != kind:
                runs.append(_Run(first, run, kind))
                run, first = [], place
            kind = its_kind
            run.append(rule)
        if run:
            runs.append(_Run(first, run, kind))
        self._places = places
        self._runs = runs
        return runs


def _candidates(run: _Run, start: int, about: tuple[int, int, str, str, int, int]) -> list[int]:
    """The places from `start` on of the rules of an indexed run that fit."""
    dst, src, iif, oif, mark, _ = about
    kind = run.kind
    found: list[int] = []
    if kind == "iif" or kind == "oif":
        found = run.levels[0][1].get(iif if kind == "iif" else oif, found)
    else:
        value = src if kind == "from" else dst if kind == "to" else mark
        for bits, level in run.levels:
            places = level.get(value & bits)
            if places is not None:
                found = [*found, *places]
        if len(run.levels) > 1:
            found.sort()
    return [place for place in found if place >= start] if start > run.first else found


def bound_lookup(fib: Fib, number: int, dst: int, oif: Device) -> Route | None:
    """The route of table `number` for who is bound to `oif`: one that leaves by it, or to an address of ours."""
    if number != TABLE_LOCAL:
        return fib.lookup_via(dst, oif)
    route = fib.lookup(dst)
    return route if route is not None and (route.type == LOCAL or route.dev is oif) else None


def _longer(fib: Fib, bits: int, dst: int, limit: int, oif: Device | None, found: Route) -> Route | None:
    """`found`, unless its prefix is no longer than `limit`: then None. A route does not know its prefix, and may stand
    at several: only when it stands at a short one that holds `dst`, too, are the longer ones looked through."""
    if oif is None:
        if all(found not in fib.exact(dst & mask(n, bits), n) for n in range(limit + 1)):
            return found
        best = fib.match(dst)
        return best[2] if best is not None and best[1] > limit else None
    for length in range(bits, limit, -1):
        for route in fib.exact(dst & mask(length, bits), length):
            if route.dev is oif:
                return route
            if route.nexthops is not None and (member := route.nexthops.by_device(oif)) is not None:
                return member
    return None


def _asked(rule: Rule, kind: str) -> int | str:
    if kind == "from":
        return rule.from_prefix
    if kind == "to":
        return rule.to_prefix
    if kind == "mark":
        return rule.mark
    return rule.iif if kind == "iif" else rule.oif


def _end(run: _Run) -> int:
    return run.first + len(run.rules)


def _priority(rule: Rule) -> int:
    return rule.priority


def _first(run: _Run) -> int:
    return run.first


def parse_mark(text: str | int) -> tuple[int, int]:
    """(mark, mask) of ``MARK`` or ``MARK/MASK``, decimal or 0x…; ValueError."""
    head, slash, tail = str(text).partition("/")
    try:
        mark, mask = int(head, 0), int(tail, 0) if slash else 0xFFFFFFFF
    except ValueError:
        raise ValueError(f"{text!r} is not a mark: a number, or NUMBER/MASK") from None
    if not 0 <= mark <= 0xFFFFFFFF or not 0 <= mask <= 0xFFFFFFFF:
        raise ValueError(f"{text!r}: a mark has 32 bits")
    return mark & mask, mask


def format_mark(mark: int, mask: int) -> str:
    """``0x1``, or ``0x1/0xff`` when not all bits count."""
    return f"{mark:#x}" if mask == 0xFFFFFFFF else f"{mark:#x}/{mask:#x}"
