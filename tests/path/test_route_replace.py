"""A full table is replaced while packets pass: each goes by the old one or by the new one, never by neither.

::

    a 10.0.1.2 ── r ─┬ 10.0.2.1 ── 10.0.2.2 b      b: the old table's next hop, c: the new one's
                     └ 10.0.3.1 ── 10.0.3.2 c
"""

from __future__ import annotations

import random

import pytest

from tests.path.bed import Bed, Station
from vrouter.testing import frames

PREFIXES = 6000


@pytest.fixture
def c(bed: Bed) -> Station:
    """The third station."""
    station = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2")
    bed.settle()
    return station


def lines(via: str, lengths: tuple[int, ...]) -> list[str]:
    """Every 198.n.n.0 with one of the lengths, and a default route."""
    return [f"route add default via {via}"] + [
        f"route add 198.{n >> 8}.{n & 255 & ~((1 << 24 - lengths[n % len(lengths)]) - 1)}.0/{lengths[n % len(lengths)]}"
        f" via {via} metric {n % 3 * 10 + n % 7}"
        for n in range(PREFIXES)
        if n & ((1 << 24 - lengths[n % len(lengths)]) - 1) == 0
    ]


def load(bed: Bed, text: list[str], *, budget: int, between: object = None) -> None:
    loading = bed.r.load_routes(text, replace=True)
    while not loading.step(budget):
        if callable(between):
            between()
    assert (loading.applied, loading.problems) == (True, [])


def test_no_packet_is_misrouted(bed: Bed, c: Station) -> None:
    """While lines are read, at the change, and while the old table is let go of: every packet to a covered address goes
    by the more specific route of the table that is in use, and all change at once."""
    load(bed, lines("10.0.2.2", (24,)), budget=1000)
    rng = random.Random(17)
    went: list[str] = []

    def send() -> None:
        for _ in range(20):
            n = rng.randrange(PREFIXES)
            bed.a.send(frames.ipv4_udp("10.0.1.2", f"198.{n >> 8}.{n & 255}.{rng.randrange(256)}", 1, 2, b"x"))
            went.append("b" * len(bed.b.received) + "c" * len(c.received))
            bed.b.clear()
            c.clear()

    load(bed, lines("10.0.3.2", (24, 23, 22)), budget=50, between=send)
    for _ in range(5):
        send()
    assert len(went) > 400
    assert "".join(went) == "b" * went.count("b") + "c" * went.count("c")
    assert len(went) == went.count("b") + went.count("c")
    assert went.count("b") > 100 < went.count("c")
    assert bed.a.received == []


def test_a_replacement_that_fails_changes_nothing(bed: Bed, c: Station) -> None:
    """One bad line of thousands: the old table goes on."""
    load(bed, lines("10.0.2.2", (24,)), budget=1000)
    before = list(bed.r.ip4.main)
    loading = bed.r.load_routes([*lines("10.0.3.2", (24,)), "route add 1.2.3.4/8 via 10.0.3.2"], replace=True)
    while not loading.step():
        pass
    assert (loading.applied, [line for line, _ in loading.problems]) == (False, [PREFIXES + 2])
    assert list(bed.r.ip4.main) == before


def test_changes_while_lines_are_read(bed: Bed, c: Station) -> None:
    """What addresses do meanwhile is in the new table as well; static routes that are added meanwhile are replaced."""
    loading = bed.r.load_routes(lines("10.0.3.2", (24,)), replace=True)
    loading.step(100)
    bed.r.add_address("c", "10.0.9.1/24", now=bed.now)
    bed.r.del_address("b", "10.0.2.1/24", now=bed.now)
    bed.r.add_route("203.0.113.0/24", via="10.0.1.2", now=bed.now)
    while not loading.step():
        pass
    assert loading.applied
    others = [(prefix >> 8, route.proto) for prefix, length, route in bed.r.ip4.main if prefix >> 24 in (10, 203)]
    assert others == [(0x0A0001, "kernel"), (0x0A0003, "kernel"), (0x0A0009, "kernel")]
