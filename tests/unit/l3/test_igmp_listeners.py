"""A router's state of one group: RFC 3376 6.2 to 6.5, 7.3.2; RFC 3810 7.2 to 7.5, 8.3.2."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base.group_filter import EVERYBODY, NOBODY, Filter, merged
from vrouter.stack.l3.multicast.listeners import MAX_SOURCES, Listeners
from vrouter.stack.wire.membership import ALLOW, BLOCK, IS_EXCLUDE, IS_INCLUDE, TO_EXCLUDE, TO_INCLUDE, Record

NOW, GMI = 1000, 260
NEW = NOW + GMI
T1, T2, GROUP = 1100, 1150, 1200  # running timers of sources, and of the group
A, B, C, D = 1, 2, 3, 4


def listeners(mode: str, sources: dict[int, int]) -> Listeners:
    """INCLUDE or EXCLUDE with these sources (0: excluded)."""
    one = Listeners()
    one.sources = dict(sources)
    if mode == "EX":
        one.exclude, one.until = True, GROUP
    return one


# state, record, told -> mode after, sources after, group timer after, ask about the group, about which sources
TABLE = [
    # 6.4.1
    ("IN", {A: T1}, IS_INCLUDE, [B], "IN", {A: T1, B: NEW}, 0, False, []),
    ("IN", {A: T1, B: T2}, IS_EXCLUDE, [B, C], "EX", {B: T2, C: 0}, NEW, False, []),
    ("EX", {A: T1, B: 0}, IS_INCLUDE, [B, C], "EX", {A: T1, B: NEW, C: NEW}, GROUP, False, []),
    ("EX", {A: T1, B: 0}, IS_EXCLUDE, [A, B, C], "EX", {A: T1, B: 0, C: NEW}, NEW, False, []),
    ("EX", {A: T1, B: 0}, IS_EXCLUDE, [C], "EX", {C: NEW}, NEW, False, []),
    # 6.4.2
    ("IN", {A: T1}, ALLOW, [A, B], "IN", {A: NEW, B: NEW}, 0, False, []),
    ("IN", {A: T1, B: T2}, BLOCK, [B, C], "IN", {A: T1, B: T2}, 0, False, [B]),
    ("IN", {A: T1, B: T2}, TO_EXCLUDE, [B, C], "EX", {B: T2, C: 0}, NEW, False, [B]),
    ("IN", {A: T1, B: T2}, TO_INCLUDE, [B, C], "IN", {A: T1, B: NEW, C: NEW}, 0, False, [A]),
    ("EX", {A: T1, B: 0}, ALLOW, [B, C], "EX", {A: T1, B: NEW, C: NEW}, GROUP, False, []),
    ("EX", {A: T1, B: 0}, BLOCK, [A, B, C], "EX", {A: T1, B: 0, C: GROUP}, GROUP, False, [A, C]),
    ("EX", {A: T1, B: 0}, TO_EXCLUDE, [A, B, C], "EX", {A: T1, B: 0, C: GROUP}, NEW, False, [A, C]),
    ("EX", {A: T1, B: 0}, TO_EXCLUDE, [C], "EX", {C: GROUP}, NEW, False, [C]),
    ("EX", {A: T1, B: 0}, TO_INCLUDE, [C], "EX", {A: T1, B: 0, C: NEW}, GROUP, True, [A]),
    ("EX", {}, TO_INCLUDE, [], "EX", {}, GROUP, True, []),
]


@pytest.mark.parametrize("row", TABLE)
def test_the_table_of_records(row: tuple[Any, ...]) -> None:
    """RFC 3376 6.4.1, 6.4.2, RFC 3810 7.4.1, 7.4.2: each row."""
    mode, sources, kind, told, after, left, until, whole, asked = row
    one = listeners(mode, sources)
    assert one.apply(kind, told, NOW, GMI) == (whole, asked)
    assert ("EX" if one.exclude else "IN", one.sources, one.until) == (after, left, until)


def test_what_is_wanted() -> None:
    """RFC 3376 6.3: INCLUDE forwards sources whose timers run; EXCLUDE all but those whose timers ran out."""
    one = listeners("IN", {A: T1})
    assert one.state() == Filter(False, frozenset([A]))
    assert [one.admits(s) for s in (A, B)] == [True, False]
    one = listeners("EX", {A: T1, B: 0})
    assert one.state() == Filter(True, frozenset([B]))
    assert [one.admits(s) for s in (A, B, C)] == [True, False, True]


def test_timers_run_out() -> None:
    """RFC 3376 6.2.2, 6.2.3, 6.5: a source in EXCLUDE mode becomes excluded; with the group's timer what still runs is
    all that is wanted; the last source ends the group."""
    one = listeners("EX", {A: T1, B: T2 + 200, C: 0})
    assert one.next_at() == T1
    assert one.expire(T1)
    assert one.sources == {A: 0, B: T2 + 200, C: 0}
    assert one.next_at() == GROUP
    assert one.expire(GROUP)
    assert one.state() == Filter(False, frozenset([B]))
    assert one.next_at() == T2 + 200
    assert not one.expire(T2 + 200)
    assert one.state() == NOBODY


def test_who_is_asked_is_hurried() -> None:
    """RFC 3376 6.6.3: timers are lowered, never raised."""
    one = listeners("EX", {A: T1, B: T2, C: 0})
    one.hurry(T1 + 10)
    one.hurry(T1 + 10, [A, B, C, D])
    assert (one.until, one.sources) == (T1 + 10, {A: T1, B: T1 + 10, C: 0})


def test_a_host_of_the_version_before_the_newest() -> None:
    """RFC 3376 7.3.2: while it counts as present (one membership interval) BLOCK is not heard and TO_EX has no sources;
    its leave is."""
    one = Listeners()
    assert one.hear(Record(IS_EXCLUDE, 9), 2, 3, NOW, GMI) == (False, [])
    assert one.version(3, NOW) == 2
    assert one.hear(Record(BLOCK, 9, [A]), 3, 3, NOW, GMI) == (False, [])
    assert one.hear(Record(TO_EXCLUDE, 9, [A]), 3, 3, NOW, GMI) == (False, [])
    assert one.state() == EVERYBODY
    assert one.hear(Record(TO_INCLUDE, 9), 2, 3, NOW, GMI) == (True, [])
    assert one.version(3, NOW + GMI) == 3
    assert one.hear(Record(BLOCK, 9, [A]), 3, 3, NOW + GMI, GMI) == (False, [A])


def test_a_host_of_igmp_version_1() -> None:
    """RFC 3376 7.3.2: it would not answer a question about the group, so no leave is heard."""
    one = Listeners()
    one.hear(Record(IS_EXCLUDE, 9), 1, 3, NOW, GMI)
    assert one.hear(Record(TO_INCLUDE, 9), 2, 3, NOW, GMI) == (False, [])
    assert one.hear(Record(TO_INCLUDE, 9), 2, 3, NOW + GMI, GMI) == (True, [])


def test_too_many_sources_are_everybody() -> None:
    """A bound that a stranger meets costs nobody a stream."""
    one = Listeners()
    one.apply(IS_INCLUDE, range(1, MAX_SOURCES + 1), NOW, GMI)
    assert (one.exclude, len(one.sources)) == (False, MAX_SOURCES)
    assert one.apply(ALLOW, [MAX_SOURCES + 1], NOW, GMI) == (False, [])
    assert (one.state(), one.sources, one.until) == (EVERYBODY, {}, NEW)


filters = st.builds(Filter, st.booleans(), st.frozensets(st.integers(1, 6)))


@given(st.lists(filters, max_size=6))
def test_merged_admits_whom_anybody_admits(some: list[Filter]) -> None:
    """RFC 3376 3.2, RFC 4605 4.1: the union of what is wanted."""
    union = merged(some)
    for source in range(1, 8):
        assert union.admits(source) == any(one.admits(source) for one in some)


@given(st.lists(st.tuples(st.integers(1, 6), st.lists(st.integers(1, 200), max_size=80), st.integers(0, 400))))
def test_any_sequence_keeps_the_bounds(steps: list[tuple[int, list[int], int]]) -> None:
    """Whatever is told: bounded, timers in the future after `expire`, asked only about sources that are known."""
    one, now = Listeners(), 1
    for kind, sources, pause in steps:
        now += pause
        one.expire(now)
        _, asked = one.apply(kind, sources, now, GMI)
        assert len(one.sources) <= MAX_SOURCES
        assert all(one.sources[source] for source in asked)
        assert all(until > now or (one.exclude and not until) for until in one.sources.values())
        assert one.exclude == (one.until > now)
