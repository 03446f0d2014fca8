"""A full table goes with its device, its namespace, its source or its next hop: at once for packets, piece by piece for
the loop.

::

    a 10.0.1.2 ── r ─┬ 10.0.2.1 ── 10.0.2.2 b      b: the full table's next hop, c: that of the rest
                     └ 10.0.3.1 ── 10.0.3.2 c
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.addresses import parse_ipv4
from vrouter.stack.l3.sweep import PIECE
from vrouter.testing import frames

FULL = 40_000
NET = 20 << 24
SHARED = range(0, FULL, 4)  # of these prefixes c has a route as well


@pytest.fixture
def c(bed: Bed) -> Station:
    """The third station."""
    station = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2")
    bed.settle()
    return station


def load(bed: Bed, tail: str, numbers: range = range(FULL)) -> None:
    loading = bed.r.load_routes([f"route add 20.{n >> 8}.{n & 255}.0/24 {tail}" for n in numbers])
    while not loading.step():
        pass
    assert (loading.applied, loading.problems) == (True, [])


def way(bed: Bed, c: Station, n: int) -> str:
    """Where a packet to the n-th prefix goes."""
    bed.b.clear()
    c.clear()
    bed.a.clear()
    bed.a.send(frames.ipv4_udp("10.0.1.2", f"20.{n >> 8}.{n & 255}.9", 1, 2, b"x"))
    return "b" * len(bed.b.received) + "c" * len(c.received) + "a" * len(bed.a.received)


def sweep(bed: Bed) -> int:
    """Let the work be done; how many pieces it took."""
    pieces = 0
    while len(bed.stack.sweeper):
        bed.run_for(0.001)
        pieces += 1
    return pieces


@pytest.mark.parametrize(
    "change",
    [
        lambda bed: bed.stack.remove_device(bed.b.dev, now=bed.now),
        lambda bed: bed.r.del_address("b", "10.7.7.1/24", now=bed.now),
        lambda bed: bed.r.del_nexthop(5, now=bed.now),
    ],
    ids=["device", "source", "nexthop"],
)
def test_routes_are_gone_before_their_prefixes_are(bed: Bed, c: Station, change: object) -> None:
    """RFC 1812 5.3.12.3: from the change on no packet goes by them and no list shows them; what c has serves instead,
    while what was left behind is taken out, and new routes come meanwhile."""
    bed.r.add_address("b", "10.7.7.1/24", now=bed.now)
    bed.run_for(5)
    bed.r.add_nexthop(5, via="10.0.2.2", now=bed.now)
    load(bed, "via 10.0.3.2 metric 9", SHARED)
    load(bed, "via 10.0.2.2 src 10.7.7.1" if "del_address" in change.__code__.co_names else "nhid 5")
    main = bed.r.ip4.main
    assert [way(bed, c, n) for n in (0, 1, FULL - 1)] == ["b", "b", "b"]
    change(bed)
    left = [(NET | n << 8, 24, "static") for n in SHARED]
    assert [(prefix, length, r.proto) for prefix, length, r in main if prefix >> 24 == 20] == left
    links = len(main) - len(left)
    assert links == len([1 for prefix, _, _ in main if prefix >> 24 == 10]) <= 5
    assert [way(bed, c, n) for n in (0, 1, 4, FULL - 1)] == ["c", "a", "c", "a"]
    bed.r.add_route("20.0.1.0/24", via="10.0.3.2", now=bed.now)
    assert way(bed, c, 1) == "c"
    assert main.exact(NET | 5 << 8, 24) == []
    before = len(main._index)
    bed.run_for(0.001)
    assert 0 < before - len(main._index) <= 2 * PIECE
    assert sweep(bed) >= FULL * 3 // 4 // (2 * PIECE)
    assert len(main._index) == len(main) == len(left) + links + 1
    assert [way(bed, c, n) for n in (0, 1, 4, FULL - 1)] == ["c", "c", "c", "a"]


def test_a_namespace_is_gone_before_its_tables_are(bed: Bed, c: Station) -> None:
    """remove_netns: the tables are given back piece by piece; meanwhile there is another one of that name."""
    load(bed, "via 10.0.2.2")
    index = bed.r.ip4.main._index
    bed.stack.remove_netns("r", now=bed.now)
    assert len(index) >= FULL - 2 * PIECE
    again = bed.stack.add_netns("r", now=bed.now)
    assert list(again.ip4.main) == []
    before = len(index)
    bed.run_for(0.001)
    assert 0 < before - len(index) <= 2 * PIECE
    assert sweep(bed) >= FULL // (2 * PIECE) - 1
    assert len(index) == 0


def test_a_table_that_is_replaced_is_not_swept_any_more(bed: Bed, c: Station) -> None:
    """What sweeping and replacing do to one table: nothing is left, and the work ends."""
    load(bed, "via 10.0.3.2 metric 9", SHARED)
    load(bed, "via 10.0.2.2")
    bed.stack.remove_device(bed.b.dev, now=bed.now)
    loading = bed.r.load_routes(["route add 20.0.0.0/8 via 10.0.3.2"], replace=True)
    while not loading.step():
        pass
    assert loading.applied
    assert sweep(bed) <= FULL // 100
    assert [way(bed, c, n) for n in (0, 1, FULL)] == ["c", "c", "c"]
    assert len(bed.r.ip4.main) == len(bed.r.ip4.main._index) == 3


def test_the_place_of_a_route_that_goes_with_its_source_is_taken(bed: Bed) -> None:
    """Linux's fib_sync_down_addr: an address's own route, which a static one kept from its place, comes then."""
    bed.r.add_address("b", "10.7.7.1/24", now=bed.now)
    bed.run_for(5)
    bed.r.add_route("10.8.0.0/24", dev="b", src="10.7.7.1", now=bed.now)
    bed.r.add_address("b", "10.8.0.1/24", now=bed.now)
    bed.run_for(5)
    place = parse_ipv4("10.8.0.0")
    assert [route.proto for route in bed.r.ip4.main.exact(place, 24)] == ["static"]
    bed.r.del_address("b", "10.7.7.1/24", now=bed.now)
    assert [(route.proto, route.src) for route in bed.r.ip4.main.exact(place, 24)] == [
        ("kernel", parse_ipv4("10.8.0.1"))
    ]


def test_short_cuts_go_with_the_last_route_that_prefers_a_source(bed: Bed) -> None:
    """A short-cut lives as long as its routes: those of many prefixes that go in one step are all counted."""
    bed.stack.add_netns("blue", accept_from=["r"], now=bed.now)
    bed.r.add_address("b", "10.7.7.1/24", now=bed.now)
    bed.run_for(5)
    for n in range(3):
        bed.r.add_route(f"30.{n}.0.0/16", netns="blue", src="10.7.7.1", now=bed.now)
    bed.r.add_route("31.0.0.0/8", netns="blue", now=bed.now)
    assert bed.r.crossings["blue"].routes == 4
    bed.r.del_address("b", "10.7.7.1/24", now=bed.now)
    assert bed.r.crossings["blue"].routes == 1
    bed.r.del_route("31.0.0.0/8", now=bed.now)
    assert bed.r.crossings == {}
