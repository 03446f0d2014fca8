"""Full tables from text: what lines say, what is wrong with them, and that all or nothing happens."""

from collections.abc import Iterable

import pytest

from vrouter.stack import Stack
from vrouter.stack.base.addresses import parse_ipv4, parse_ipv6
from vrouter.stack.l3.fib import to_record
from vrouter.stack.l3.route_load import MAX_PROBLEMS, RouteLoad
from vrouter.stack.l3.route_text import parse_tail, split_line
from vrouter.stack.netns import Netns


@pytest.fixture
def ns() -> Netns:
    """red with lan 10.0.1.1/24, 2001:db8:1::1/64 and wan 10.0.2.1/24."""
    red = Stack(seed=1).add_netns("red")
    for dev, *addresses in (("lan", "10.0.1.1/24", "2001:db8:1::1/64"), ("wan", "10.0.2.1/24")):
        red.add_device(dev, now=0)
        for address in addresses:
            red.add_address(dev, address, now=0)
    return red


def finish(load: RouteLoad, budget: int = 1000) -> RouteLoad:
    for _ in range(100_000):
        if load.step(budget):
            return load
    raise AssertionError("it never ends")


def run(ns: Netns, lines: Iterable[str] | str, *, replace: bool = False, budget: int = 1000) -> RouteLoad:
    return finish(ns.load_routes(lines.splitlines() if isinstance(lines, str) else lines, replace=replace), budget)


def told(load: RouteLoad) -> list[str]:
    return [f"{line}: {text}" for line, text in load.problems]


def shown(ns: Netns, table: int = 254, family: int = 4) -> list[str]:
    """The routes that nobody made for an address."""
    rows = [to_record("red", *entry) for entry in ns.ip(family).table(table)]
    return [f"{row['to']} {row['via'] or row['dev'] or row['type']}" for row in rows if row["proto"] != "kernel"]


GOOD = """
# a comment, and nothing

route add 192.0.2.0/24 via 10.0.1.2
route add 192.0.3.0/24 via 10.0.1.2 dev lan metric 5   # behind it, too
add 192.0.4.0/24 dev wan
192.0.5.0/24 via 10.0.2.2 proto bgp src 10.0.2.1 mtu 1400 advmss 1360
route add blackhole 192.0.6.0/24
unreachable 192.0.7.1 metric 9
route append to 192.0.2.0/24 via 10.0.2.2
route add default via 10.0.1.254 onlink dev lan
route add 192.0.8.0/24 table 100 via 10.0.2.9
route add throw 192.0.9.0/24 table 100
route add 192.0.10.0/24 nexthop via 10.0.1.2 dev lan weight 3 nexthop via 10.0.2.2
"""


def test_every_form_of_line(ns: Netns) -> None:
    """ip-route(8), ip -batch: with and without the words in front, types, tables, comments, several next hops."""
    load = run(ns, GOOD)
    assert (load.applied, load.routes, load.problem_count) == (True, 11, 0)
    assert shown(ns) == [
        "default 10.0.1.254",
        "192.0.2.0/24 10.0.1.2",
        "192.0.2.0/24 10.0.2.2",
        "192.0.3.0/24 10.0.1.2",
        "192.0.4.0/24 wan",
        "192.0.5.0/24 10.0.2.2",
        "192.0.6.0/24 blackhole",
        "192.0.10.0/24 unicast",
        "192.0.7.1 unreachable",
    ]
    assert shown(ns, 100) == ["192.0.8.0/24 10.0.2.9", "192.0.9.0/24 throw"]
    (route,) = ns.ip4.main.exact(parse_ipv4("192.0.5.0"), 24)
    assert (route.proto, route.src, route.mtu, route.advmss) == ("bgp", parse_ipv4("10.0.2.1"), 1400, 1360)
    record = to_record("red", 0, 0, ns.ip4.main.exact(parse_ipv4("192.0.10.0"), 24)[0])
    assert record["nexthops"] == [
        {"via": "10.0.1.2", "dev": "lan", "weight": 3},
        {"via": "10.0.2.2", "dev": "wan", "weight": 1},
    ]


def test_ipv6_lines(ns: Netns) -> None:
    """The same words for the other family; default is of the family of its gateway; metric 1024 unless told."""
    load = run(
        ns,
        """route add 2001:db8:2::/48 via 2001:db8:1::2
        route add default via fe80::1 dev lan metric 7
        route add blackhole 2001:db8:3::/48 pref medium
        route add fe80:1::/64 dev lan
        fe81::/64 dev wan""",
    )
    assert told(load) == []
    rows = [to_record("red", *entry) for entry in ns.ip6.main if entry[2].proto == "static"]
    assert [(row["to"], row["via"], row["dev"], row["metric"]) for row in rows] == [
        ("default", "fe80::1", "lan", 7),
        ("2001:db8:2::/48", "2001:db8:1::2", "lan", 1024),
        ("2001:db8:3::/48", None, None, 1024),
        ("fe80:1::/64", None, "lan", 1024),
        ("fe81::/64", None, "wan", 1024),
    ]
    lan, wan = ns.device("lan").ifindex, ns.device("wan").ifindex
    assert ns.ip6.main.exact(0, 0)[0].via >> 128 == lan
    assert len(ns.ip6.main.exact(parse_ipv6("fe80:1::") | lan << 128, 64)) == 1  # RFC 4007 6: of one link
    load = run(
        ns, ["route add fe80:2::/64 dev wan", "route add fe80:3::/64 dev wan", "route add blackhole fe80:4::/64"]
    )
    assert told(load) == ["3: a link-local prefix is on the link of one device"]
    run(ns, ["route add fe80:2::/64 dev wan", "route add fe80:3::/64 dev wan"])
    assert [len(ns.ip6.main.exact(parse_ipv6(f"fe80:{n}::") | wan << 128, 64)) for n in (2, 3)] == [1, 1]


BAD = {
    "route add": "without a prefix",
    "route add 300.0.0.0/8 dev lan": "not an IPv4 address",
    "route add 192.0.2.1/24 dev lan": "host bits",
    "route add 192.0.2.0/33 dev lan": "prefix length",
    "route add 192.0.2.0/24": "needs via, dev or netns",
    "route add 192.0.2.0/24 dev nosuch": "no device 'nosuch'",
    "route add 192.0.2.0/24 via 10.9.9.9": "not on a link",
    "route add 192.0.2.0/24 via 10.0.1.1": "cannot be a gateway",
    "route add 192.0.2.0/24 via inet6 2001:db8:1::2 dev lan": "another family",
    "route add 192.0.2.0/24 dev lan color blue": "'color' is not supported",
    "route add 192.0.2.0/24 dev lan metric": "nothing behind it",
    "route add 192.0.2.0/24 dev lan metric x": "not a number",
    "route add 192.0.2.0/24 dev lan dev wan": "twice",
    "route add 192.0.2.0/24 dev lan proto kernel": "not made by hand",
    "route add 192.0.2.0/24 dev lan table local": "come with addresses",
    "route add local 192.0.2.1 dev lan": "come with addresses",
    "route del 192.0.2.0/24": "adds and replaces",
    "route add 192.0.2.0/24 dev lan mtu 60": "an MTU is 68",
    "route add 192.0.2.0/24 dev lan mtu lock 1400": "lock",
    "route add 192.0.2.0/24 dev lan src 10.7.7.7": "not an address of",
    "route add 192.0.2.0/24 nhid 3": "no nexthop 3",
    "route add blackhole 192.0.2.0/24 dev lan": "no next hop",
    "route add 192.0.2.0/24 nexthop weight 3": "needs via or dev",
    "route add 192.0.2.0/24 nexthop via 10.0.1.2 weight 257": "weight is 1 to 256",
    "route add 192.0.2.0/24 nexthop via": "nothing behind it",
    "route add 192.0.2.0/24 nexthop": "without via or dev",
    "route add 192.0.2.0/24 dev lan scope nowhere": "scope",
    "route add 192.0.2.0/24 via 10.0.1.2 onlink": "onlink needs dev",
    "route add 10.0.1.0/24 dev lan": "already",
    "route add 192.0.2.0/24 netns red": "its own namespace",
    "route add default via fe80::1": "needs dev",
    "route add 2001:db8:2::/48 via 10.0.1.2": "another family",
    "rout add 192.0.2.0/24 dev lan": "not an IPv4 address",
}


@pytest.mark.parametrize("replace", [False, True])
def test_all_problems_at_once_and_nothing_done(ns: Netns, replace: bool) -> None:
    """Each with the number of its line; what is right in between is not applied either."""
    ns.add_route("198.51.100.0/24", via="10.0.1.9", now=0)
    lines = [part for bad in BAD for part in (bad, "")] + ["route add 192.0.2.0/24 dev lan"]
    load = run(ns, lines, replace=replace, budget=3)
    assert not load.applied
    assert load.problem_count == len(BAD)
    for n, ((line, text), want) in enumerate(zip(load.problems, BAD.values(), strict=True)):
        assert line == 2 * n + 1
        assert want in text
    assert shown(ns) == ["198.51.100.0/24 10.0.1.9"]


def test_the_list_of_problems_is_bounded(ns: Netns) -> None:
    """The first of them are told, all are counted: of 4999 lines only the first with 10.0.0.0/8 is right."""
    load = run(ns, (f"route add 10.{n & 255}.0.0/8 dev lan" for n in range(1, 5000)))
    assert (len(load.problems), load.problem_count, load.applied) == (MAX_PROBLEMS, 4998, False)
    assert load.problems[0].line == 1


def test_the_same_route_twice(ns: Netns) -> None:
    """EEXIST as `ip` says, be the first in the file or in the table; and the number is the second's."""
    ns.add_route("198.51.100.0/24", via="10.0.1.9", now=0)
    lines = ["192.0.2.0/24 via 10.0.1.2", "192.0.2.0/24 via 10.0.1.2", "", "route add 198.51.100.0/24 via 10.0.1.9"]
    assert told(run(ns, lines)) == ["2: there is such a route already", "4: there is such a route already"]
    assert told(run(ns, lines[:1] + lines[3:], replace=True)) == []
    assert shown(ns) == ["192.0.2.0/24 10.0.1.2", "198.51.100.0/24 10.0.1.9"]


def test_replace_takes_out_what_is_static_in_the_tables_that_are_named(ns: Netns) -> None:
    """Routes of addresses and of router advertisements stay; so do other tables and the other family."""
    ns.add_route("198.51.100.0/24", via="10.0.1.9", now=0)
    ns.add_route("198.51.100.0/24", via="10.0.1.9", table=100, now=0)
    ns.add_route("2001:db8:9::/48", via="2001:db8:1::9", now=0)
    before = [entry for entry in ns.ip4.main if entry[2].proto == "kernel"]
    load = run(ns, ["route add 192.0.2.0/24 via 10.0.1.2"], replace=True)
    assert load.applied
    assert shown(ns) == ["192.0.2.0/24 10.0.1.2"]
    assert [entry for entry in ns.ip4.main if entry[2].proto == "kernel"] == before
    assert shown(ns, 100) == ["198.51.100.0/24 10.0.1.9"]
    assert "2001:db8:9::/48 2001:db8:1::9" in shown(ns, 254, 6)
    assert ns.ip4.tables[254] is ns.ip4.main
    run(ns, ["192.0.2.0/24 table 100 via 10.0.2.2"], replace=True)
    assert (shown(ns), shown(ns, 100)) == (["192.0.2.0/24 10.0.1.2"], ["192.0.2.0/24 10.0.2.2"])


def test_routes_of_router_advertisements_stay(ns: Netns) -> None:
    """RFC 4861 6.3.4: who advertised them takes them back."""
    ns.add_learned_route(ns.device("lan"), 0, 0, 0xFE80 << 112 | 9 | ns.device("lan").ifindex << 128, 1024)
    run(ns, ["2001:db8:2::/48 via 2001:db8:1::2"], replace=True)
    assert shown(ns, 254, 6)[0] == "default fe80::9"


@pytest.mark.parametrize("many", [3, 3000])
def test_replace_in_a_line(ns: Netns, many: int) -> None:
    """ip route replace: the line's route takes the place of those of its prefix and metric, in a table of any size."""
    for n in range(many):
        ns.add_route(f"198.{n >> 8}.{n & 255}.0/24", via="10.0.1.9", now=0)
    generation = ns.ip4.main.generation
    load = run(
        ns,
        [
            "route replace 198.0.1.0/24 via 10.0.2.2",
            "route replace 198.0.2.0/24 via 10.0.2.2 metric 5",
            "route replace 192.0.2.0/24 via 10.0.1.2",
            "route replace 192.0.2.0/24 via 10.0.1.3",
            "route replace 198.0.0.0/24 via 10.0.1.9 mtu 1300",
        ],
    )
    assert told(load) == []
    found = shown(ns)
    assert found[:5] == [
        "192.0.2.0/24 10.0.1.3",
        "198.0.0.0/24 10.0.1.9",
        "198.0.1.0/24 10.0.2.2",
        "198.0.2.0/24 10.0.1.9",
        "198.0.2.0/24 10.0.2.2",
    ]
    assert len(found) == many + 2
    assert ns.ip4.main.exact(parse_ipv4("198.0.0.0"), 24)[0].mtu == 1300
    assert ns.ip4.main.generation > generation


@pytest.mark.parametrize("replace", [False, True])
def test_what_goes_while_the_lines_are_read(ns: Netns, replace: bool) -> None:
    """A device, an address or a next-hop object that a route needs is gone before the end: nothing is applied."""
    ns.add_nexthop(7, via="10.0.2.2", now=0)
    for line, text, gone in (
        ("192.0.2.0/24 nhid 7", "nexthop 7 is gone", lambda: ns.del_nexthop(7, now=0)),
        (
            "192.0.2.0/24 via 10.0.1.2 src 10.0.2.1",
            "10.0.2.1 is gone",
            lambda: ns.del_address("wan", "10.0.2.1", now=0),
        ),
        ("192.0.2.0/24 dev wan", "'wan' is gone", lambda: ns.detach_device(ns.device("wan"), 0)),
    ):
        load = ns.load_routes([line], replace=replace)
        load.step()
        gone()
        finish(load)
        assert not load.applied
        assert [text in problem for problem in told(load)] == [True]
        assert shown(ns) == []


def test_a_namespace_that_closes(ns: Netns) -> None:
    """Nothing is put into a namespace that is being removed, and the load ends."""
    load = ns.load_routes(["192.0.2.0/24 dev wan"])
    load.step()
    ns.stack.remove_netns("red", now=0)
    finish(load)
    assert not load.applied


def test_an_address_gets_back_its_route(ns: Netns) -> None:
    """A static route stood where that of an address belongs; when the table is replaced without it, this one comes."""
    ns.add_route("10.7.0.0/24", dev="lan", now=0)
    ns.add_address("lan", "10.7.0.1/24", now=0)
    assert ns.ip4.main.exact(parse_ipv4("10.7.0.0"), 24)[0].proto == "static"
    run(ns, ["192.0.2.0/24 dev wan"], replace=True)
    assert [route.proto for route in ns.ip4.main.exact(parse_ipv4("10.7.0.0"), 24)] == ["kernel"]


def test_short_cuts_are_counted(ns: Netns) -> None:
    """A crossing lives as long as routes lead there, however they came and went."""
    for name in ("blue", "green"):
        ns.stack.add_netns(name, now=0)
    ns.add_route("198.51.100.0/24", netns="blue", now=0)
    assert told(run(ns, ["192.0.2.0/24 netns green", "192.0.3.0/24 netns nowhere"])) == ["2: no namespace 'nowhere'"]
    assert {name: crossing.routes for name, crossing in ns.crossings.items()} == {"blue": 1}
    run(ns, ["192.0.2.0/24 netns green", "192.0.3.0/24 netns green"])
    assert {name: crossing.routes for name, crossing in ns.crossings.items()} == {"blue": 1, "green": 2}
    run(ns, ["192.0.2.0/24 netns green"], replace=True)
    assert {name: crossing.routes for name, crossing in ns.crossings.items()} == {"green": 1}
    ns.del_route("192.0.2.0/24", now=0)
    assert ns.crossings == {}


def test_a_step_does_no_more_than_its_budget(ns: Netns) -> None:
    """Lines are taken as they are read, a thousand at a time unless told otherwise."""
    taken = []

    def lines() -> Iterable[str]:
        for n in range(2500):
            taken.append(n)
            yield f"route add 198.{n >> 8}.{n & 255}.0/24 via 10.0.1.2"

    load = ns.load_routes(lines())
    counts = []
    while not load.step():
        counts.append((len(taken), load.routes, load.applied))
    assert counts[:3] == [(1000, 1000, False), (2000, 2000, False), (2500, 2500, False)]
    assert load.applied
    assert len(ns.ip4.main) == 2502
    assert load.step()  # and it stays done


def test_routes_share(ns: Netns) -> None:
    """A full table has few different routes, whatever the order and the spaces of their words."""
    run(ns, [f"route add 198.{n >> 8}.{n & 255}.0/24 via 10.0.1.{2 + n % 3}{' ' * (n % 2)}\n" for n in range(3000)])
    assert len([route for route in ns.ip4.main.routes() if route.proto == "static"]) == 3


def test_many_into_a_big_table(ns: Netns) -> None:
    """Without replace, more than a step's worth goes in piece by piece; short-cuts and refusals as ever."""
    run(ns, [f"198.{n >> 8}.{n & 255}.0/24 via 10.0.1.2" for n in range(5000)])
    load = run(ns, [f"199.{n >> 8}.{n & 255}.0/24 via 10.0.1.2" for n in range(5000)], budget=700)
    assert (load.applied, load.problem_count, len(ns.ip4.main)) == (True, 0, 10_002)
    again = run(ns, ["199.0.7.0/24 via 10.0.1.2"])
    assert told(again) == ["1: there is such a route already"]


@pytest.mark.parametrize("many", [0, 3000])
def test_routes_that_need_rules(ns: Netns, many: int) -> None:
    """throw in main, and the table default, mean something to rules alone: they are asked as long as there are such."""
    run(ns, [f"198.{n >> 8}.{n & 255}.0/24 via 10.0.1.2" for n in range(many)])
    assert ns.ip4.rules is None
    run(ns, ["throw 192.0.2.0/24", "default via 10.0.1.9 table default"])
    assert ns.ip4.rules is not None
    assert ns.ip4.lookup(parse_ipv4("192.0.2.1")).table == 253
    run(ns, ["192.0.2.0/24 via 10.0.1.2"], replace=True)
    assert ns.ip4.rules is not None
    ns.del_route("default", table="default", now=0)
    assert ns.ip4.rules is None


def test_words() -> None:
    """What `split_line` and `parse_tail` make of a line."""
    assert split_line("  # only a comment") is None
    assert split_line("") is None
    assert split_line("route replace blackhole to 10.0.0.0/8 metric 5 # x") == (
        "replace",
        "blackhole",
        "10.0.0.0/8",
        "metric 5",
    )
    assert parse_tail("via inet 10.0.0.1 dev lan protocol static preference 7 linkdown table main scope global") == {
        "via": "10.0.0.1",
        "dev": "lan",
        "proto": "static",
        "metric": 7,
        "table": 254,
        "scope": "global",
    }
    assert parse_tail("nhid 9 mtu 0x500") == {"nhid": 9, "mtu": 1280}


def test_replacing_what_stands_for_an_address(ns: Netns) -> None:
    """A static route in the place of an address's is replaced like any other; the address's goes on waiting."""
    for many in (0, 3000):
        for n in range(many):
            ns.add_route(f"198.{n >> 8}.{n & 255}.0/24", via="10.0.1.9", now=0)
        ns.add_route("10.7.0.0/24", dev="lan", replace=True, now=0)
        if not many:
            ns.add_address("lan", "10.7.0.1/24", now=0)
        ns.add_route("10.7.0.0/24", dev="lan", mtu=1400, replace=True, now=0)
        assert [route.mtu for route in ns.ip4.main.exact(parse_ipv4("10.7.0.0"), 24)] == [1400]
        run(ns, ["route replace 10.7.0.0/24 dev lan mtu 1300"])
        assert [route.mtu for route in ns.ip4.main.exact(parse_ipv4("10.7.0.0"), 24)] == [1300]
    ns.del_route("10.7.0.0/24", now=0)
    assert [route.proto for route in ns.ip4.main.exact(parse_ipv4("10.7.0.0"), 24)] == ["kernel"]
