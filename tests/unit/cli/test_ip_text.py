"""Rows as ip(8) and bridge(8) print them."""

from typing import Any

import pytest

from vrouter.cli.columns import COLUMNS, ranges, table
from vrouter.cli.ip_text import mroute_line, nexthop_line, route_answer, route_line, rule_line, seconds
from vrouter.cli.show import TEXTS, WHAT, lines

ROUTE: dict[str, Any] = {
    "netns": "red", "to": "10.0.0.0/24", "via": None, "dev": "lan", "target_netns": None, "type": "unicast",
    "metric": 0, "table": "main", "proto": "static", "scope": "global", "src": None, "mtu": None, "advmss": None,
    "onlink": False, "nhid": None, "nexthops": None, "expires_ns": None, "pref": None,
}  # fmt: skip
RULE: dict[str, Any] = {
    "netns": "red", "family": "inet", "priority": 100, "from": None, "to": None, "iif": None, "oif": None,
    "mark": None, "tos": None, "invert": False, "action": "table", "table": "main", "goto": None,
    "suppress_prefixlength": None,
}  # fmt: skip
NEXTHOP: dict[str, Any] = {
    "netns": "red", "id": 1, "family": "inet", "via": None, "dev": None, "group": None, "blackhole": False,
    "onlink": False,
}  # fmt: skip
MROUTE: dict[str, Any] = {
    "netns": "red", "group": "239.1.1.1", "source": None, "iif": "lan", "oifs": [], "target_netns": None,
    "proto": "static", "packets": 3, "bytes": 300, "wrong_iif": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "10.0.0.0/24 dev lan proto static"),
        (
            {"proto": "kernel", "scope": "link", "src": "10.0.0.1"},
            "10.0.0.0/24 dev lan proto kernel scope link src 10.0.0.1",
        ),
        (
            {"to": "default", "via": "fe80::1", "proto": "ra", "metric": 1024, "expires_ns": 1790_999_999_999,
             "pref": "medium"},
            "default via fe80::1 dev lan proto ra metric 1024 expires 1790sec pref medium",
        ),
        ({"type": "blackhole", "dev": None, "metric": 5}, "blackhole 10.0.0.0/24 proto static metric 5"),
        (
            {"table": "100", "via": "10.0.0.9", "onlink": True},
            "10.0.0.0/24 via 10.0.0.9 dev lan table 100 proto static onlink",
        ),
        ({"mtu": 1400, "advmss": 1360}, "10.0.0.0/24 dev lan proto static mtu 1400 advmss 1360"),
        ({"dev": None, "target_netns": "blue"}, "10.0.0.0/24 netns blue proto static"),
        (
            {"dev": None, "nhid": 10, "nexthops": [
                {"via": "10.0.0.2", "dev": "lan", "weight": 1}, {"via": None, "dev": "wan", "weight": 3}]},
            "10.0.0.0/24 nhid 10 proto static\n\tnexthop via 10.0.0.2 dev lan weight 1\n\tnexthop dev wan weight 3",
        ),
    ],
)  # fmt: skip
def test_a_route_is_a_line_of_ip_route(changes: dict[str, Any], line: str) -> None:
    """ip-route(8): what is as by default is left out; several next hops stand below."""
    assert route_line({**ROUTE, **changes}) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"priority": 0, "table": "local"}, "0:\tfrom all lookup local"),
        ({"from": "10.0.0.0/8", "mark": "0x1/0xff", "table": "5"}, "100:\tfrom 10.0.0.0/8 fwmark 0x1/0xff lookup 5"),
        (
            {"to": "fd00::/8", "iif": "lan", "oif": "wan", "tos": 16},
            "100:\tfrom all to fd00::/8 tos 0x10 iif lan oif wan lookup main",
        ),
        ({"invert": True, "suppress_prefixlength": 0}, "100:\tnot from all lookup main suppress_prefixlength 0"),
        ({"action": "goto", "goto": 500, "table": None}, "100:\tfrom all goto 500"),
        ({"action": "prohibit", "table": None}, "100:\tfrom all prohibit"),
    ],
)
def test_a_rule_is_a_line_of_ip_rule(changes: dict[str, Any], line: str) -> None:
    """ip-rule(8): priority, a tab, what is asked, and what is done."""
    assert rule_line({**RULE, **changes}) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"via": "10.0.0.1", "dev": "lan", "onlink": True}, "id 1 via 10.0.0.1 dev lan onlink"),
        ({"group": [{"id": 2, "weight": 1}, {"id": 3, "weight": 5}]}, "id 1 group 2/3,5"),
        ({"blackhole": True}, "id 1 blackhole"),
    ],
)
def test_a_nexthop_is_a_line_of_ip_nexthop(changes: dict[str, Any], line: str) -> None:
    """ip-nexthop(8): a weight of one is not written."""
    assert nexthop_line({**NEXTHOP, **changes}) == line


def test_a_multicast_route_says_what_passed() -> None:
    """ip-mroute(8)'s words; thresholds, the namespace that it leads into, and what came in elsewhere."""
    plain = mroute_line({**MROUTE, "oifs": [{"dev": "wan", "ttl": 0}]})
    assert plain == "(*,239.1.1.1) Iif: lan Oifs: wan Proto: static\n  3 packets, 300 bytes"
    changes = {"source": "10.0.0.9", "oifs": [{"dev": "wan", "ttl": 8}], "target_netns": "blue", "wrong_iif": 2}
    assert mroute_line({**MROUTE, **changes}) == (
        "(10.0.0.9,239.1.1.1) Iif: lan Oifs: wan(ttl 8) netns blue Proto: static\n"
        "  3 packets, 300 bytes, 2 came in elsewhere"
    )


@pytest.mark.parametrize(
    ("asked", "changes", "line"),
    [
        ({}, {"src": "10.0.0.1"}, "10.0.0.5 dev lan src 10.0.0.1 by route 10.0.0.0/24"),
        (
            {"from": "10.9.0.1", "iif": "wan", "mark": 16},
            {},
            "10.0.0.5 from 10.9.0.1 dev lan iif wan mark 0x10 by route 10.0.0.0/24",
        ),
        (
            {},
            {"to": "10.0.0.5", "mtu": 1400, "expires_ns": 599_000_000_000},
            "10.0.0.5 dev lan mtu 1400 expires 599sec by route 10.0.0.5/32",
        ),
        ({}, {"to": "fd00::5", "table": "7"}, "10.0.0.5 dev lan table 7 by route fd00::5/128"),
        ({}, {"type": "prohibit", "dev": None}, "prohibit 10.0.0.5 by route 10.0.0.0/24"),
    ],
)
def test_route_get_is_one_line(asked: dict[str, Any], changes: dict[str, Any], line: str) -> None:
    """ip-route(8)'s words, with the route that decides; the path's MTU and until when it is believed."""
    assert route_answer("10.0.0.5", {**ROUTE, **changes}, asked) == line


def test_headings_tell_namespaces_and_families_apart() -> None:
    """Without -n a heading for each namespace, of rules for each family too; with both named, none."""
    rows = [RULE, {**RULE, "family": "inet6"}, {**RULE, "netns": "blue"}]
    headings = [line for line in lines("rules", rows, {"netns": None, "family": None}) if "\t" not in line]
    assert headings == ["netns: red family: inet", "netns: red family: inet6", "netns: blue family: inet"]
    assert list(lines("rules", rows[:1], {"netns": "red", "family": 4})) == ["100:\tfrom all lookup main"]
    routes = [ROUTE, {**ROUTE, "netns": "blue"}]
    assert [line for line in lines("routes", routes, {"netns": None}) if line.startswith("netns")] == [
        "netns: red",
        "netns: blue",
    ]


def test_lifetimes_and_ranges() -> None:
    """Whole seconds as ip(8) has them; VLANs that follow one another as bridge(8) has them."""
    assert (seconds(None), seconds(0), seconds(59_999_999_999)) == ("forever", "0sec", "59sec")
    assert ranges([1, 2, 3, 7, 10, 11]) == "1-3 7 10-11"
    assert ranges([]) == ""


def test_an_address_that_is_taken_has_failed() -> None:
    """ip-address(8) calls the outcome of a conflict dadfailed."""
    row = {"netns": "red", "dev": "lan", "address": "fd00::1/64", "scope": "global", "state": "conflict",
           "valid_ns": None, "preferred_ns": 0}  # fmt: skip
    assert table(COLUMNS["addresses"], [row]).splitlines()[1].split() == [
        "red", "lan", "fd00::1/64", "global", "dadfailed", "forever", "0sec",
    ]  # fmt: skip


def test_everything_that_is_shown_has_a_form() -> None:
    """What `show` knows is a table, lines, or the configuration."""
    assert set(WHAT) == {*COLUMNS, *TEXTS, "config"}
