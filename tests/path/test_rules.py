"""Policy routing: packets by where they come from, not only by where they go (ip-rule(8)).

::

    a 10.0.1.2 ── r ─┬ 10.0.2.1 ── 10.0.2.2 b
                     └ 10.0.3.1 ── 10.0.3.2 c      203.0.113.0/24 lies behind both
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

FAR = "203.0.113.9"


@pytest.fixture
def c(bed: Bed) -> Station:
    """The third station; main leads to b, table 100 to c."""
    station = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2")
    bed.r.add_route("default", via="10.0.2.2", now=bed.now)
    bed.r.add_route("default", via="10.0.3.2", table=100, now=bed.now)
    bed.settle()
    return station


def went(bed: Bed, c: Station, *, src: str = "10.0.1.2", dst: str = FAR, tos: int = 0) -> str:
    """By which way a packet of a goes."""
    bed.a.send(frames.ipv4_udp(src, dst, 1, 2, b"x", tos=tos))
    found = [name for name, station in (("b", bed.b), ("c", c)) if station.received]
    bed.b.clear()
    c.clear()
    return "".join(found)


@pytest.mark.parametrize(
    ("selectors", "fits", "fits_not"),
    [
        ({"from": "10.0.1.0/28"}, {}, {"src": "10.0.1.99"}),
        ({"to": "203.0.113.8/29"}, {}, {"dst": "203.0.113.1"}),
        ({"iif": "a"}, {}, None),
        ({"tos": "0x10"}, {"tos": 0x10}, {"tos": 0x20}),
        ({"from": "10.0.1.2", "to": FAR, "invert": True}, {"src": "10.0.1.3"}, {}),
    ],
)
def test_selectors(bed: Bed, c: Station, selectors: dict[str, Any], fits: Any, fits_not: Any) -> None:
    """from, to, iif, tos, not: what fits goes by table 100, the rest by main; without the rule all does."""
    bed.r.add_rule(**selectors, table=100, now=bed.now)
    assert went(bed, c, **fits) == "c"
    if fits_not is not None:
        assert went(bed, c, **fits_not) == "b"
    bed.r.del_rule(**selectors, table=100, now=bed.now)
    assert went(bed, c, **fits) == "b"
    assert bed.r.ip4.rules is None  # and nothing is asked any more


def test_what_is_ours_is_ours(bed: Bed, c: Station) -> None:
    """Rule 0 is before all others: packets to an address of r are delivered, whatever the other rules say."""
    sock = bed.udp(7)
    bed.r.add_rule(priority=1, action="blackhole", now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.1", 1, 7, b"x"))
    assert bed.received(sock) == [b"x"]


@pytest.mark.parametrize(
    ("action", "reason", "code"),
    [
        ("blackhole", DropReason.ROUTE_BLACKHOLE, None),
        ("prohibit", DropReason.ROUTE_PROHIBIT, 13),
        ("unreachable", DropReason.IP_INNOROUTES, 0),
    ],
)
def test_actions(bed: Bed, c: Station, action: str, reason: DropReason, code: int | None) -> None:
    """RFC 1812 5.2.7.1: silence, communication prohibited, network unreachable (Linux's ENETUNREACH)."""
    bed.r.add_rule(**{"from": "10.0.1.2"}, action=action, now=bed.now)
    sent = bed.a.send(frames.ipv4_udp("10.0.1.2", FAR, 1, 2, b"x"))
    assert bed.r.drop_counts() == {reason.name: 1}
    assert bed.a.received == ([] if code is None else [match.icmp4(type=3, code=code, quotes=sent)])


def test_local_packets_are_from_lo(bed: Bed, c: Station) -> None:
    """iif lo fits what is made here, and nothing else; a source that is bound takes part in the choice."""
    bed.r.add_rule(iif="lo", table=100, now=bed.now)
    assert went(bed, c) == "b"
    bed.udp(5).sendto(b"x", (FAR, 9), now=bed.now)
    assert [len(bed.b.received), len(c.received)] == [0, 1]
    bed.r.del_rule(iif="lo", now=bed.now)
    bed.r.add_rule(**{"from": "10.0.1.1"}, table=100, now=bed.now)
    bed.udp(6).sendto(b"x", (FAR, 9), now=bed.now)
    bed.udp(8, address="10.0.1.1").sendto(b"x", (FAR, 9), now=bed.now)
    assert [len(bed.b.received), len(c.received)] == [1, 2]


def test_marks_of_sockets(bed: Bed, c: Station) -> None:
    """SO_MARK: fwmark with its mask chooses the table."""
    bed.r.add_rule(mark="0x1/0xf", table=100, now=bed.now)
    for number, mark in enumerate((0x11, 0x10)):
        sock = bed.udp(20 + number)
        sock.setsockopt(1, 36, mark)
        sock.sendto(b"x", (FAR, 9), now=bed.now)
    assert [len(bed.b.received), len(c.received)] == [1, 1]
    assert bed.r.get_route(FAR, mark=1, now=bed.now)["dev"] == "c"
    assert bed.r.get_route(FAR, now=bed.now)["dev"] == "b"


def test_a_route_of_main_goes_before_a_default_elsewhere(bed: Bed, c: Station) -> None:
    """suppress_prefixlength 0, as for a tunnel that takes all but what is known otherwise."""
    bed.r.add_route("203.0.113.0/28", via="10.0.2.2", now=bed.now)
    bed.r.add_rule(priority=10, table="main", suppress_prefixlength=0, now=bed.now)
    bed.r.add_rule(priority=11, table=100, now=bed.now)
    assert went(bed, c) == "b"
    assert went(bed, c, dst="203.0.113.99") == "c"


def test_throw(bed: Bed, c: Station) -> None:
    """ip-route(8): throw in a table goes back to the rules; in main it is as if there were no route."""
    bed.r.add_rule(table=100, now=bed.now)
    bed.r.add_route("203.0.113.0/28", type="throw", table=100, now=bed.now)
    assert went(bed, c) == "b"
    assert went(bed, c, dst="203.0.113.99") == "c"
    bed.r.del_rule(table=100, now=bed.now)
    bed.r.add_route("203.0.113.0/28", type="throw", now=bed.now)
    assert went(bed, c) == ""
    bed.r.add_route("default", via="10.0.3.2", table="default", now=bed.now)
    assert went(bed, c) == "c"
    bed.r.del_route("203.0.113.0/28", now=bed.now)
    bed.r.del_route("default", table="default", now=bed.now)
    assert bed.r.ip4.rules is None


def test_a_crossing_by_a_rule(bed: Bed, c: Station) -> None:
    """A packet that another namespace handed over has its short-cut for an iif: @NAME."""
    blue = bed.stack.add_netns("blue", now=bed.now)
    bed.r.accept_from = frozenset({"blue"})
    blue.accept_from = frozenset({"r"})
    blue.sysctl["net.ipv4.ip_forward"] = 1
    bed.r.add_route("198.51.100.0/24", netns="blue", now=bed.now)
    blue.add_route("198.51.100.0/24", netns="r", now=bed.now)
    bed.r.add_route("198.51.100.0/24", via="10.0.3.2", table=100, now=bed.now)
    bed.r.add_rule(iif="@blue", table=100, now=bed.now)
    assert went(bed, c, dst="198.51.100.1") == "c"


def test_rows(bed: Bed, c: Station) -> None:
    """show rules: the default ones, too, in the order in which they are asked."""
    assert [(row["priority"], row["table"]) for row in bed.r.rules() if row["family"] == "inet"] == [
        (0, "local"),
        (32766, "main"),
        (32767, "default"),
    ]
    bed.r.add_rule(**{"from": "10.0.1.0/24"}, goto=40000, now=bed.now)
    assert bed.r.rules()[1] | {"netns": ""} == {
        "netns": "",
        "family": "inet",
        "priority": 32765,
        "from": "10.0.1.0/24",
        "to": None,
        "iif": None,
        "oif": None,
        "mark": None,
        "tos": None,
        "invert": False,
        "action": "goto",
        "table": None,
        "goto": 40000,
        "suppress_prefixlength": None,
    }


def test_what_is_no_rule(bed: Bed) -> None:
    """ip-rule(8)'s errors."""
    bed.r.add_rule(priority=5, table=100, now=bed.now)
    wrong: list[tuple[int | None, dict[str, Any]]] = [
        (errno.EEXIST, {"priority": 5, "table": 100}),
        (errno.EINVAL, {"colour": "blue"}),
        (errno.EINVAL, {"from": "10.0.0.0/8", "to": "2001:db8::/32"}),
        (errno.EINVAL, {"goto": 5, "priority": 5}),
        (errno.EINVAL, {"action": "goto"}),
        (errno.EINVAL, {"action": "nat"}),
        (errno.EINVAL, {"action": "blackhole", "table": 5}),
        (errno.EINVAL, {"action": "blackhole", "goto": 5}),
        (errno.EINVAL, {"tos": 3}),
        (errno.EINVAL, {"iif": "10.0.0.1/33", "table": 5}),
        (errno.EINVAL, {"oif": "a" * 16, "table": 5}),
        (None, {"from": "10.0.0.1/8"}),
        (None, {"priority": -1}),
        (None, {"mark": "blue"}),
        (None, {"table": "nosuch"}),
        (None, {"family": "ipx"}),
    ]
    for number, selectors in wrong:
        with pytest.raises((OSError, ValueError)) as refused:
            bed.r.add_rule(**selectors, now=bed.now)
        assert (getattr(refused.value, "errno", None), selectors) == (number, selectors)
    for number, selectors in ((errno.ENOENT, {"priority": 6}), (errno.EINVAL, {})):
        with pytest.raises(OSError, match="rule") as missing:
            bed.r.del_rule(**selectors, now=bed.now)
        assert missing.value.errno == number
    assert len([row for row in bed.r.rules() if row["family"] == "inet"]) == 4


def test_ipv6(bed: Bed) -> None:
    """The same rules for the other family, on their own list."""
    r = bed.r
    r.sysctl["net.ipv6.conf.all.disable_ipv6"] = 0
    r.sysctl["net.ipv6.conf.all.forwarding"] = 1
    for dev, address in (("a", "2001:db8:1::1/64"), ("b", "2001:db8:2::1/64")):
        r.add_address(dev, address, now=bed.now)
    bed.settle()
    r.add_route("default", via="2001:db8:2::2", table=100, now=bed.now)
    r.add_rule(**{"from": "2001:db8:1::/64"}, table=100, now=bed.now)
    assert r.ip4.rules is None
    found = r.get_route("2001:db8:9::9", src="2001:db8:1::2", iif="a", now=bed.now)
    assert (found["via"], found["table"], found["metric"]) == ("2001:db8:2::2", "100", 1024)
    with pytest.raises(OSError, match="unreachable"):
        r.get_route("2001:db8:9::9", src="2001:db8:3::2", iif="a", now=bed.now)
    assert [(row["priority"], row["family"]) for row in r.rules()][3:] == [
        (0, "inet6"),
        (32765, "inet6"),
        (32766, "inet6"),
    ]
