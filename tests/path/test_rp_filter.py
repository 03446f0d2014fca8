"""The reverse path: a source is believed where a packet to it could go (RFC 3704, RFC 8704).

::

    a 10.0.1.2 ── r ─┬ 10.0.2.1 ── 10.0.2.2 b
                     └ 10.0.3.1 ── 10.0.3.2 c
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames

STRICT, LOOSE = 1, 2


@pytest.fixture
def c(bed: Bed) -> Station:
    """The third station."""
    station = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2")
    bed.settle()
    return station


def passes(bed: Bed, station: Station, src: str = "203.0.113.9") -> bool:
    """Whether a packet of `src` to a is let through that comes from `station`."""
    station.send(frames.ipv4_udp(src, "10.0.1.2", 1, 2, b"x"))
    came = len(bed.a.received)
    bed.a.clear()
    return came == 1


def believed(bed: Bed, c: Station, mode: int) -> str:
    """From which of b and c the packet passes."""
    found = ""
    for name, station in (("b", bed.b), ("c", c)):
        bed.r.sysctl[f"net.ipv4.conf.{name}.rp_filter"] = mode
        before = bed.r.drop_counts().get("IP_RPFILTER", 0)
        passed = passes(bed, station)
        assert bed.r.drop_counts().get("IP_RPFILTER", 0) == before + (not passed)
        found += name if passed else ""
    return found


@pytest.mark.parametrize(("mode", "found"), [(0, "bc"), (STRICT, "b"), (LOOSE, "bc")])
def test_one_next_hop(bed: Bed, c: Station, mode: int, found: str) -> None:
    """RFC 3704 2.2, 2.4: strict asks for the device of the route to the source, loose for any route."""
    bed.r.add_route("203.0.113.0/24", via="10.0.2.2", now=bed.now)
    assert believed(bed, c, mode) == found


@pytest.mark.parametrize("mode", [STRICT, LOOSE])
def test_no_route(bed: Bed, c: Station, mode: int) -> None:
    """Without a route, or with one that refuses, a source is believed nowhere."""
    assert believed(bed, c, mode) == ""
    bed.r.add_route("203.0.113.0/24", type="blackhole", now=bed.now)
    assert believed(bed, c, mode) == ""


def test_every_member_of_several_is_a_feasible_path(bed: Bed, c: Station) -> None:
    """RFC 3704 2.3, RFC 8704 3: whichever of them this flow would take."""
    bed.r.add_route("203.0.113.0/24", nexthops=[{"via": "10.0.2.2"}, {"via": "10.0.3.2", "weight": 9}], now=bed.now)
    assert believed(bed, c, STRICT) == "bc"
    bed.r.add_nexthop(1, via="10.0.3.2", now=bed.now)
    bed.r.add_route("203.0.113.0/24", nhid=1, replace=True, now=bed.now)
    assert believed(bed, c, STRICT) == "c"


def test_the_rules_are_asked(bed: Bed, c: Station) -> None:
    """As for an answer made here: its source is the packet's destination, and it comes in by lo."""
    bed.r.add_route("203.0.113.0/24", via="10.0.2.2", now=bed.now)
    bed.r.add_route("203.0.113.0/24", via="10.0.3.2", table=100, now=bed.now)
    bed.r.add_rule(**{"from": "10.0.1.0/24"}, table=100, now=bed.now)
    assert believed(bed, c, STRICT) == "c"
    bed.r.del_rule(table=100, now=bed.now)
    bed.r.add_rule(iif="c", table=100, now=bed.now)
    assert believed(bed, c, STRICT) == "b"


def test_the_mark_counts_where_it_is_said_to(bed: Bed, c: Station) -> None:
    """net.ipv4.conf.*.src_valid_mark: the reverse path has the mark of the packet. Nothing has marked it yet when its
    addresses are checked, so with and without it the answer is that for mark 0."""
    bed.r.add_route("203.0.113.0/24", via="10.0.2.2", now=bed.now)
    bed.r.add_route("203.0.113.0/24", via="10.0.3.2", table=100, now=bed.now)
    bed.r.add_rule(mark="0x0/0xff", table=100, now=bed.now)
    for value in (0, 1):
        bed.r.sysctl["net.ipv4.conf.all.src_valid_mark"] = value
        assert believed(bed, c, STRICT) == "c"


def test_what_is_dropped_is_told_to_nobody(bed: Bed, c: Station) -> None:
    """RFC 1812 5.3.8: discarded silently, and counted where it came in."""
    bed.r.sysctl["net.ipv4.conf.c.rp_filter"] = STRICT
    with bed.expect(rx=1, IpInReceives=1, drops={DropReason.IP_RPFILTER: 1}):
        c.send(frames.ipv4_udp("10.0.2.2", "10.0.1.2", 1, 2, b"x"))
