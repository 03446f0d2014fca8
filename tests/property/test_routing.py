"""Rules, several next hops and loads beside slow, obvious twins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack import Stack
from vrouter.stack.base.addresses import V4, mask
from vrouter.stack.device import Device
from vrouter.stack.l3.fib import TABLE_LOCAL, Entry, Fib, Route
from vrouter.stack.l3.multipath import Multipath, NextHop
from vrouter.stack.l3.rules import Rule, RuleSet

# -- rules ------------------------------------------------------------------------------------------------------------

TABLES = (1, 2, 3)
NAMES = ("", "lan", "wan")
PREFIXES = st.tuples(st.sampled_from([0, 1, 2, 8, 32]), st.integers(0, 3)).map(
    lambda found: (found[0], (found[1] << 30 | found[1]) & mask(found[0], 32))
)
SELECTORS = st.one_of(
    st.just({}),
    PREFIXES.map(lambda p: {"from_length": p[0], "from_prefix": p[1]}),
    PREFIXES.map(lambda p: {"to_length": p[0], "to_prefix": p[1]}),
    st.sampled_from([{"mark": 1, "mask": 1}, {"mark": 2, "mask": 3}, {"mark": 0, "mask": 3}]),
    st.sampled_from(NAMES[1:]).map(lambda name: {"iif": name}),
    st.sampled_from(NAMES[1:]).map(lambda name: {"oif": name}),
    st.just({"tos": 0x10}),
    st.builds(
        lambda p, name: {"from_length": p[0], "from_prefix": p[1], "iif": name}, PREFIXES, st.sampled_from(NAMES)
    ),
)
ACTIONS = st.one_of(
    st.sampled_from(TABLES).map(lambda n: {"table": n}),
    st.builds(lambda n, s: {"table": n, "suppress": s}, st.sampled_from(TABLES), st.integers(0, 8)),
    st.sampled_from(["blackhole", "prohibit", "unreachable", "nop"]).map(lambda name: {"action": name}),
    st.integers(1, 40).map(lambda n: {"action": "goto", "goto": n}),
)
RULES = st.lists(st.tuples(st.integers(1, 12), SELECTORS, ACTIONS, st.booleans()), max_size=40)
ROUTES = st.lists(st.tuples(st.sampled_from(TABLES), PREFIXES, st.sampled_from(NAMES[1:])), max_size=8)
PACKETS = st.lists(
    st.tuples(
        st.integers(0, 3).map(lambda n: n << 30 | n),
        st.integers(0, 3).map(lambda n: n << 30 | n),
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.integers(0, 3),
        st.sampled_from([0, 0x10, 0x13]),
    ),
    min_size=1,
    max_size=12,
)


def device(name: str) -> Device:
    return Device(SimpleNamespace(name="red", closing=False), name, "veth", 2, bytes(6), 1500)


class SlowRules:
    """A list of dicts, sorted when asked; each rule is looked at in turn."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self.routes: dict[int, list[tuple[int, int, Device]]] = {n: [] for n in TABLES}

    def table(self, number: int, dst: int, oif: str, limit: int) -> tuple[str, int, str] | None:
        fitting = [
            (length, dev.name)
            for length, prefix, dev in self.routes[number]
            if dst & mask(length, 32) == prefix and oif in ("", dev.name)
        ]
        if not fitting or max(fitting)[0] <= limit:
            return None
        length, _ = max(fitting, key=lambda found: found[0])
        return "table", number, next(name for found, name in fitting if found == length)

    def lookup(self, dst: int, src: int, iif: str, oif: str, mark: int, tos: int) -> tuple[str, int, str] | None:
        ordered = sorted(self.rules, key=lambda rule: rule["priority"])
        at = 0
        while at < len(ordered):
            rule = ordered[at]
            at += 1
            fits = (
                src & mask(rule.get("from_length", 0), 32) == rule.get("from_prefix", 0)
                and dst & mask(rule.get("to_length", 0), 32) == rule.get("to_prefix", 0)
                and mark & rule.get("mask", 0) == rule.get("mark", 0)
                and rule.get("iif", "") in ("", iif or "lo")
                and rule.get("oif", "") in ("", oif)
                and rule.get("tos", 0) in (0, tos & 0xFC)
            )
            if fits == rule["invert"]:
                continue
            action = rule.get("action", "table")
            if action == "table":
                found = self.table(rule["table"], dst, oif, rule.get("suppress", -1))
                if found is not None:
                    return found
            elif action == "goto":
                target = [n for n, other in enumerate(ordered) if other["priority"] == rule["goto"]]
                at = target[0] if target else at
            elif action != "nop":
                return None if action == "unreachable" else (action, 0, "")
        return None


@settings(max_examples=300, deadline=None)
@given(RULES, ROUTES, PACKETS, st.lists(st.integers(0, 39), max_size=6))
def test_rules_answer_as_a_walk_over_them_does(rules: Any, routes: Any, packets: Any, removed: list[int]) -> None:
    """ip-rule(8): whatever the order of adding and removing, the indexed lookup finds what a walk finds."""
    devices = {name: device(name) for name in NAMES[1:]}
    twin, fast = SlowRules(), RuleSet(V4)
    for rule in list(fast):
        fast.remove({"priority": rule.priority})
    place = SimpleNamespace(bits=32, tables={n: Fib(32) for n in (*TABLES, TABLE_LOCAL)})
    for number, (length, prefix), name in routes:
        if not place.tables[number].exact(prefix, length):
            place.tables[number].add(prefix, length, Route(V4, dev=devices[name], table=number))
            twin.routes[number].append((length, prefix, devices[name]))
    for priority, selectors, action, invert in rules:
        fields = {"priority": priority, "invert": invert, **selectors, **action}
        try:
            fast.add(Rule(V4, **fields))
        except OSError:
            assert fields in twin.rules or action.get("goto", 99) <= priority or _same(fields, twin.rules)
        else:
            twin.rules.append(fields)
    for step in range(2):
        for dst, src, iif, oif, mark, tos in packets:
            found = fast.lookup(
                place,
                dst,
                src,
                devices[iif] if iif else None,
                devices[oif] if oif else None,
                mark,
                tos,
            )
            wanted = twin.lookup(dst, src, iif, oif, mark, tos)
            if wanted is None:
                assert found is None
            elif wanted[0] == "table":
                assert found is not None
                assert found.dev is not None
                assert (found.table, found.dev.name) == wanted[1:]
            else:
                assert found is not None
                assert found.type == {"blackhole": 6, "prohibit": 8}[wanted[0]]
        for index in removed if step == 0 else ():
            ordered = sorted(twin.rules, key=lambda rule: rule["priority"])
            if index < len(ordered):
                gone = next(rule for rule in twin.rules if rule["priority"] == ordered[index]["priority"])
                fast.remove({"priority": gone["priority"]})
                twin.rules.remove(gone)


def _same(fields: dict[str, Any], rules: list[dict[str, Any]]) -> bool:
    """Whether a rule says the same in other words (a prefix of length 0 asks nothing)."""
    return Rule(V4, **fields).key() in [Rule(V4, **other).key() for other in rules]


# -- several next hops ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 256)), min_size=1, max_size=9, unique_by=lambda hop: hop[0]),
    st.sets(st.integers(0, 9)),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_a_flow_moves_only_when_its_next_hop_does(hops: Any, down: set[int], flows: list[int], rng: Any) -> None:
    """Order and company do not matter: among any usable subset, a flow whose hop is in it stays where it is."""
    members = [NextHop(n, device(f"d{n}"), weight) for n, weight in hops]
    several = Multipath(V4, members)
    before = [several.pick(flow).via for flow in flows]
    rng.shuffle(members)
    assert [Multipath(V4, members).pick(flow).via for flow in flows] == before
    for hop in members:
        assert hop.dev is not None
        hop.dev.up = hop.via not in down
        hop.dev.refresh()
    left = [hop for hop in members if hop.via not in down]
    assert several.ready == bool(left)
    for flow, via in zip(flows, before, strict=True):
        if left and via not in down:
            assert several.pick(flow).via == via
        elif left:
            assert several.pick(flow).via == Multipath(V4, left).pick(flow).via


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 256), min_size=1, max_size=12), st.integers(0, 2**32))
def test_shares_follow_the_weights(weights: list[int], seed: int) -> None:
    """For any number of hops and any weights: within 5 standard deviations of what chance allows."""
    several = Multipath(V4, [NextHop(n, device(f"d{n}"), weight) for n, weight in enumerate(weights)])
    counts = [0] * len(weights)
    count, flow = 4000, seed
    for _ in range(count):
        flow = (flow * 6364136223846793005 + 1442695040888963407) % 2**64
        counts[several.pick(flow).via] += 1
    for n, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(counts[n] - count * share) <= 5 * math.sqrt(count * share * (1 - share)) + 1


# -- loads ------------------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.tuples(
        st.sampled_from(["add", "replace"]),
        st.sampled_from(["192.0.2.0/24", "192.0.2.0/25", "198.51.100.0/24", "0.0.0.0/0", "10.0.1.0/24"]),
        st.sampled_from(["via 10.0.1.2", "via 10.0.1.3", "dev lan", "via 10.9.9.9", "dev wan metric 7"]),
    ),
    max_size=8,
)


def listed(entries: Iterable[Entry]) -> list[tuple[Any, ...]]:
    return [
        (prefix, length, route.metric, route.via, route.dev and route.dev.name, route.proto)
        for prefix, length, route in entries
    ]


@settings(max_examples=150, deadline=None)
@given(LINES, LINES, st.integers(1, 4), st.booleans())
def test_a_load_is_what_single_commands_do(first: Any, second: Any, budget: int, replace: bool) -> None:
    """`ip -batch`: line by line with `add_route` in a namespace of its own gives the same table, if every line is
    right; with one that is wrong nothing happens. With replace, the commands begin without the static routes."""
    one, other = (Stack(seed=1).add_netns("red") for _ in range(2))
    for ns in (one, other):
        for dev, address in (("lan", "10.0.1.1/24"), ("wan", "10.0.2.1/24")):
            ns.add_device(dev, now=0)
            ns.add_address(dev, address, now=0)
    for verb, to, tail in first:
        for ns in (one, other):
            _command(ns, verb, to, tail)
    before = listed(one.ip4.main)
    load = one.load_routes([f"route {verb} {to} {tail}" for verb, to, tail in second], replace=replace)
    while not load.step(budget):
        pass
    if replace and second:
        for prefix, length, route in list(other.ip4.main):
            if route.proto == "static":
                other.ip4.main.unlink(prefix, length, route)
                other.unlinked((prefix, length, route))
    right = [_command(other, verb, to, tail) for verb, to, tail in second]
    assert load.applied == all(right)
    if not _repeats(second):
        assert load.problem_count == right.count(False)
    assert listed(one.ip4.main) == (listed(other.ip4.main) if all(right) else before)


def _command(ns: Any, verb: str, to: str, tail: str) -> bool:
    words = tail.split()
    fields = dict(zip(words[::2], words[1::2], strict=True))
    try:
        ns.add_route(
            to,
            via=fields.get("via"),
            dev=fields.get("dev"),
            metric=int(fields.get("metric", 0)),
            replace=verb == "replace",
            now=0,
        )
    except OSError:
        return False
    return True


def _repeats(lines: Any) -> bool:
    """Whether a wrong line may make another one right or wrong, so that only one of the two counts."""
    return len({to for _, to, _ in lines}) < len(lines)
