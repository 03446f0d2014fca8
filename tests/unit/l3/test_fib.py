"""The routing table: which route a destination meets, and what it takes to change that."""

import errno
import gc
import sys
from types import SimpleNamespace

import pytest

from tests.twins import both_twins
from vrouter.stack.base.addresses import parse_ipv4, parse_prefix
from vrouter.stack.device import Device
from vrouter.stack.l3 import fib, lpm
from vrouter.stack.l3.fib import Entry, Fib, Route, to_record
from vrouter.stack.l3.lpm import Lpm
from vrouter.stack.l3.multipath import NextHop, multipath_route


def device(name: str) -> Device:
    return Device(SimpleNamespace(name="red", closing=False), name, "veth", 2, bytes(6), 1500)


def entry(to: str, **fields: object) -> Entry:
    family, prefix, length = parse_prefix(to)
    if isinstance(fields.get("via"), str):
        fields["via"] = parse_ipv4(fields["via"])
    return prefix, length, Route(family, **fields)


def table(index: type[Lpm], *entries: Entry) -> Fib:
    made = Fib(32, index)
    for one in entries:
        made.add(*one)
    return made


def found(routes: Fib, dst: str) -> Route | None:
    return routes.lookup(parse_ipv4(dst))


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


@both_twins
def test_the_longest_prefix_wins_whatever_the_order_of_adding(index: type[Lpm]) -> None:
    """RFC 1812 5.2.4.3 (2): longest match."""
    default, net, subnet, host = (entry(to) for to in ("default", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3"))
    for order in ([default, net, subnet, host], [host, subnet, net, default], [subnet, default, host, net]):
        routes = table(index, *order)
        assert found(routes, "10.1.2.3") is host[2]
        assert found(routes, "10.1.2.4") is subnet[2]
        assert found(routes, "10.1.3.3") is net[2]
        assert found(routes, "11.1.2.3") is default[2]
        assert found(routes, "255.255.255.255") is default[2]
        assert found(routes, "0.0.0.0") is default[2]


@both_twins
def test_without_a_matching_route_there_is_none(index: type[Lpm]) -> None:
    """RFC 1812 5.2.4.3 (1): basic match; an empty table matches nothing."""
    assert found(Fib(32, index), "10.0.0.1") is None
    assert found(table(index, entry("10.0.0.0/8")), "11.0.0.0") is None


@both_twins
def test_the_lowest_metric_of_the_longest_prefix_wins(index: type[Lpm]) -> None:
    """RFC 1812 5.2.4.3 (4): best metric, which never outweighs a longer prefix."""
    worse, better = entry("10.0.0.0/8", metric=20), entry("10.0.0.0/8", metric=10)
    longer = entry("10.1.0.0/16", metric=99)
    assert found(table(index, worse, better, longer), "10.0.0.1") is better[2]
    assert found(table(index, better, worse, longer), "10.0.0.1") is better[2]
    assert found(table(index, better, worse, longer), "10.1.0.1") is longer[2]


@both_twins
def test_routes_of_a_device_that_is_down_are_passed_over_and_come_back(index: type[Lpm]) -> None:
    """RFC 1812 5.3.12.3 and 5.3.12.4: such a route is not used; up again, it is again."""
    lan, wan = device("lan"), device("wan")
    first, second = entry("10.0.0.0/8", dev=lan), entry("10.0.0.0/8", dev=wan, metric=5)
    default = entry("default", via="192.0.2.1", dev=wan)
    routes = table(index, first, second, default)
    assert found(routes, "10.0.0.1") is first[2]
    lan.carrier = False
    lan.refresh()
    assert found(routes, "10.0.0.1") is second[2]
    wan.up = False
    wan.refresh()
    assert found(routes, "10.0.0.1") is None
    wan.up = lan.carrier = True
    lan.refresh()
    wan.refresh()
    assert found(routes, "10.0.0.1") is first[2]


@both_twins
def test_a_shorter_prefix_serves_while_the_longer_one_s_device_is_down(index: type[Lpm]) -> None:
    """The table falls through to shorter prefixes, down to a route without a device."""
    lan = device("lan")
    lan.ready = False
    blackhole = entry("default", type=fib.BLACKHOLE)
    assert found(table(index, entry("10.0.0.0/8", dev=lan), blackhole), "10.0.0.1") is blackhole[2]


@both_twins
def test_the_local_table_does_not_wait_for_a_device(index: type[Lpm]) -> None:
    """RFC 1122 3.3.4.2, the weak model: an address is its namespace's whether its device has a carrier or not."""
    lan = device("lan")
    lan.ready = False
    local = entry("10.0.0.1", type=fib.LOCAL, table=fib.TABLE_LOCAL, dev=lan)
    assert found(table(index, local), "10.0.0.1") is local[2]


@both_twins
def test_a_route_of_several_next_hops_is_passed_over_when_none_is_ready(index: type[Lpm]) -> None:
    """RFC 1812 5.3.12.3: one usable next hop is enough, none is too few."""
    lan, wan = device("lan"), device("wan")
    several = multipath_route(4, [NextHop(1, lan), NextHop(2, wan)])
    default = entry("default", type=fib.UNREACHABLE)
    routes = table(index, (10 << 24, 8, several), default)
    lan.ready = False
    assert found(routes, "10.0.0.1") is several
    wan.ready = False
    assert found(routes, "10.0.0.1") is default[2]


@both_twins
def test_a_sender_bound_to_a_device_gets_that_device_s_route(index: type[Lpm]) -> None:
    """lookup_via: longest match among the routes of one device, however good the others are."""
    lan, wan = device("lan"), device("wan")
    specific, general = entry("10.1.0.0/16", dev=lan), entry("default", dev=wan, metric=100)
    other = entry("default", dev=lan)
    routes = table(index, specific, general, other)
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), wan) is general[2]
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), lan) is specific[2]
    assert routes.lookup_via(parse_ipv4("11.1.0.1"), lan) is other[2]
    several = multipath_route(4, [NextHop(1, lan), NextHop(2, wan)])
    routes.add(parse_ipv4("10.1.1.0"), 24, several)
    member = routes.lookup_via(parse_ipv4("10.1.1.1"), wan)
    assert (member.via, member.dev, member.nexthops) == (2, wan, None)
    wan.ready = False
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), wan) is None
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), device("none")) is None


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"type": fib.UNICAST}, fib.FORWARD),
        ({"type": fib.UNICAST, "target": "blue"}, fib.CROSS),
        ({"type": fib.LOCAL}, fib.DELIVER),
        ({"type": fib.BROADCAST}, fib.DELIVER),
        ({"type": fib.MULTICAST}, fib.DELIVER),
        ({"type": fib.BLACKHOLE}, fib.REJECT),
        ({"type": fib.UNREACHABLE}, fib.REJECT),
        ({"type": fib.PROHIBIT}, fib.REJECT),
        ({"type": fib.THROW}, fib.REJECT),
    ],
)
def test_the_action_follows_from_type_and_target(fields: dict[str, object], action: int) -> None:
    """A route says what is done with its packets."""
    assert Route(4, **fields).action == action


@both_twins
def test_the_same_route_twice_is_refused_and_another_way_is_not(index: type[Lpm]) -> None:
    """EEXIST for one prefix and metric by the same way; another next hop, device, target or metric is another route."""
    lan = device("lan")
    ways = [
        {"dev": lan}, {"dev": device("wan")}, {"via": "10.0.0.1"}, {"via": "10.0.0.1", "dev": lan}, {"target": "blue"},
        {"dev": lan, "metric": 1}, {"nexthops": multipath_route(4, [NextHop(1, lan), NextHop(2, lan)]).nexthops},
    ]  # fmt: skip
    routes = table(index, *(entry("10.0.0.0/8", **way) for way in ways))
    assert len(routes) == len(ways)
    for way in ways:
        with refused(errno.EEXIST):
            routes.add(*entry("10.0.0.0/8", **way))
    with refused(errno.EEXIST):
        routes.add(10 << 24, 8, multipath_route(4, [NextHop(1, lan), NextHop(2, lan)]))
    assert len(routes) == len(ways)
    assert found(routes, "10.0.0.1").dev is lan


@both_twins
@pytest.mark.parametrize(
    ("prefix", "length"), [(1, 31), (0x0A000001, 8), (1 << 32, 32), (1 << 32, 0), (0, 33), (0, -1), (-1 << 8, 24)]
)
def test_a_prefix_that_is_none_is_refused(index: type[Lpm], prefix: int, length: int) -> None:
    """EINVAL as in Linux: host bits set, or longer than an address."""
    routes = Fib(32, index)
    with refused(errno.EINVAL):
        routes.add(prefix, length, Route(4))
    with refused(errno.ESRCH):
        routes.remove(prefix, length)
    assert (len(routes), routes.exact(prefix, length), list(routes)) == (0, [], [])


@both_twins
def test_removal_takes_the_best_that_fits(index: type[Lpm]) -> None:
    """`route del` of a prefix alone takes the best one; metric, next hop, device, target and type narrow it down."""
    lan = device("lan")
    best, second, third = entry("10.0.0.0/8"), entry("10.0.0.0/8", metric=1, dev=lan), entry("10.0.0.0/8", metric=2)
    crossing, blackhole = entry("10.0.0.0/8", metric=3, target="blue"), entry("10.0.0.0/8", metric=4, type=6)
    routes = table(index, third, crossing, best, blackhole, second)
    net = parse_ipv4("10.0.0.0")
    assert routes.remove(net, 8, metric=2) is third[2]
    assert routes.remove(net, 8, dev=lan) is second[2]
    assert routes.remove(net, 8, target="blue") is crossing[2]
    assert routes.remove(net, 8, type=fib.BLACKHOLE) is blackhole[2]
    assert found(routes, "10.0.0.1") is best[2]
    for absent in ({"metric": 7}, {"via": 5}, {"dev": lan}, {"target": "green"}, {"type": fib.PROHIBIT}):
        with refused(errno.ESRCH):
            routes.remove(net, 8, **absent)
    assert routes.remove(net, 8) is best[2]
    with refused(errno.ESRCH):
        routes.remove(net, 8)
    assert (len(routes), list(routes), found(routes, "10.0.0.1")) == (0, [], None)


@both_twins
def test_a_removed_route_can_be_added_again(index: type[Lpm]) -> None:
    """A route that was taken out carries nothing of its old table along."""
    routes = table(index, entry("10.0.0.0/8"), entry("10.0.0.0/8", metric=1))
    taken = routes.remove(parse_ipv4("10.0.0.0"), 8)
    assert list(table(index, (10 << 24, 8, taken))) == [(10 << 24, 8, taken)]


@both_twins
def test_a_route_serves_many_prefixes(index: type[Lpm]) -> None:
    """One route object under two prefixes: what happens to the one is nothing to the other."""
    shared = Route(4, via=1)
    worse = Route(4, metric=5)
    routes = table(index, (10 << 24, 8, shared), (11 << 24, 8, shared), (11 << 24, 8, worse), (12 << 24, 8, worse))
    assert routes.remove(10 << 24, 8) is shared
    assert found(routes, "10.0.0.1") is None
    assert found(routes, "11.0.0.1") is shared
    assert routes.remove(11 << 24, 8) is shared
    assert found(routes, "11.0.0.1") is worse
    assert list(routes) == [(11 << 24, 8, worse), (12 << 24, 8, worse)]


@both_twins
def test_intern_gives_the_route_that_says_the_same(index: type[Lpm]) -> None:
    """A million prefixes share the few routes that there are; a route that has left the table is not handed out."""
    lan = device("lan")
    first = Route(4, via=1, dev=lan)
    routes = table(index, (10 << 24, 8, first))
    assert routes.intern(Route(4, via=1, dev=lan)) is first
    for other in (Route(4, via=2, dev=lan), Route(4, via=1, dev=lan, mtu=1400), Route(4, via=1, dev=device("lan"))):
        assert routes.intern(other) is other
    routes.remove(10 << 24, 8)
    again = Route(4, via=1, dev=lan)
    assert routes.intern(again) is again


@both_twins
def test_what_there_is_can_be_asked_for_by_route(index: type[Lpm]) -> None:
    """routes, uses, where: what a new table has to know of the one that it takes the place of."""
    shared, worse, kernel = Route(4), Route(4, metric=1), Route(4, proto="kernel")
    entries = [(0, 0, shared), (10 << 24, 8, shared), (10 << 24, 8, worse), (11 << 24, 8, kernel)]
    routes = table(index, *entries)
    assert set(routes.routes()) == {shared, worse, kernel}
    assert sorted(count for route, count in routes.uses() if route is shared) == [1, 1]
    assert routes.where(lambda route: route.proto != "kernel") == entries[:3]
    assert routes.where(lambda route: route is kernel) == entries[3:]
    routes.unlink(10 << 24, 8, shared)
    assert sorted(count for _, count in routes.uses() if count) == [1, 1, 1]


@both_twins
def test_remove_device_takes_all_of_its_routes(index: type[Lpm]) -> None:
    """A device that goes takes its routes of every prefix and metric, and no others."""
    lan, wan = device("lan"), device("wan")
    shared = Route(4, via=1, dev=lan)
    stay = [entry("default", dev=wan), entry("10.0.0.0/8", dev=wan, metric=3)]
    go = [entry("10.0.0.0/8", dev=lan), entry("10.0.0.0/8", dev=lan, metric=5), entry("10.1.0.0/16", dev=lan)]
    go += [(0x0A010200, 24, shared), (0x0A010300, 24, shared)]
    routes = table(index, *stay, *go)
    assert routes.remove_device(lan) == {go[0][2]: 1, go[1][2]: 1, go[2][2]: 1, shared: 2}
    assert list(routes) == stay
    assert len(routes) == 2
    assert routes.remove_device(lan) == {}


@both_twins
def test_a_device_takes_a_route_of_several_next_hops_along_when_it_had_the_last(index: type[Lpm]) -> None:
    """As in Linux: what is left of the next hops goes on."""
    lan, wan = device("lan"), device("wan")
    several = multipath_route(4, [NextHop(1, lan), NextHop(2, wan)])
    routes = table(index, (0, 0, several))
    assert routes.remove_device(lan) == {}
    assert found(routes, "10.0.0.1") is several
    assert [hop.dev for hop in several.nexthops.hops] == [wan]
    assert routes.remove_device(wan) == {several: 1}
    assert len(routes) == 0


@both_twins
def test_routes_go_with_their_preferred_source(index: type[Lpm]) -> None:
    """sourced: all that were given it; those that an address made are its own affair. purge: of every prefix."""
    kernel = entry("10.0.0.0/8", src=5, proto="kernel")
    shared, other = Route(4, src=5), entry("11.0.0.0/8", src=6)
    routes = table(index, kernel, (12 << 24, 8, shared), (13 << 24, 8, shared), other)
    assert [routes.sourced(src) for src in (5, 6, 7)] == [{shared}, {other[2]}, set()]
    assert routes.purge({shared}) == {shared: 2}
    assert (routes.sourced(5), list(routes)) == (set(), [kernel, other])
    assert routes.purge({shared}) == {}


@both_twins
def test_what_is_left_of_routes_that_went_is_swept_in_pieces(index: type[Lpm]) -> None:
    """purge: nobody finds what went, whether it was swept or not; sweep: a bounded number of prefixes in each call."""
    lan, wan = device("lan"), device("wan")
    one, two, behind = Route(4, via=1, dev=lan), Route(4, via=2, dev=wan), Route(4, via=3, dev=wan, metric=1)
    routes = Fib(32, index)
    routes.load([(n << 8, 24, one if n % 2 else two) for n in range(40_000)])
    routes.load([(n << 8, 24, behind) for n in range(1, 9, 2)])
    routes.add(0, 8, two)
    assert routes.remove_device(lan) == {one: 20_000}
    assert len(routes) == len(list(routes)) == 20_005
    assert [routes.lookup(n << 8) for n in (1, 2, 9)] == [behind, two, two]
    assert routes.exact(11 << 8, 24) == []
    routes.add(11 << 8, 24, one)
    assert routes.lookup(11 << 8) is one
    calls = 0
    while not routes.sweep(1000):
        calls += 1
    assert calls >= 10
    assert len(routes) == len(routes._index) == 20_006
    assert routes._dead == {}


@both_twins
def test_many_routes_of_one_prefix_each_are_swept_as_well(index: type[Lpm]) -> None:
    """purge: their prefixes are known, but taking out thousands would take long."""
    lan, wan = device("lan"), device("wan")
    go = [(n << 8, 24, Route(4, via=n, dev=lan)) for n in range(3000)]
    stay = [(n << 8, 24, Route(4, via=n, dev=wan)) for n in range(3000, 4000)]
    routes = table(index, *go, *stay)
    assert routes.remove_device(lan) == {route: 1 for _, _, route in go}
    assert (len(routes._index), list(routes)) == (4000, stay)
    while not routes.sweep(100):
        pass
    assert (len(routes._index), list(routes)) == (1000, stay)
    assert sorted(routes._free) == list(range(3000))


@both_twins
def test_a_table_that_lost_nearly_all_is_made_anew(index: type[Lpm]) -> None:
    """purge: the few that stay move to a new index at once; sweep gives the old one back in pieces."""
    lan, wan = device("lan"), device("wan")
    full = Route(4, via=1, dev=lan)
    stay = [entry("default", dev=wan), entry("10.0.0.0/8", dev=wan), entry("0.0.1.0/24", dev=wan, metric=2)]
    routes = table(index, *stay)
    routes.load([(n << 8, 24, full) for n in range(30_000)])
    walk = iter(routes)
    assert next(walk) == stay[0]
    assert routes.remove_device(lan) == {full: 30_000}
    assert list(walk) == []
    assert list(routes) == stay
    assert [found(routes, dst) for dst in ("0.0.1.1", "0.0.2.1", "10.0.0.1")] == [stay[2][2], stay[0][2], stay[1][2]]
    assert routes.load([(n << 8, 24, full) for n in range(2)]) == []
    assert routes.lookup(1 << 8) is full
    calls = 0
    while not routes.sweep(1000):
        calls += 1
    assert calls >= 10
    assert len(routes) == 5
    assert [(length, route) for _, length, route in routes][2:] == [(24, full), (24, full), (24, stay[2][2])]


@both_twins
def test_the_kernel_route_of_an_address_goes_alone(index: type[Lpm]) -> None:
    """remove_kernel: by prefix, device and source; a static route in the same place stays."""
    lan = device("lan")
    static = entry("10.0.0.0/8", dev=lan, src=5, metric=1)
    routes = table(index, static, entry("10.0.0.0/8", dev=lan, src=5, proto="kernel"))
    routes.remove_kernel(10 << 24, 8, lan, 6)
    routes.remove_kernel(10 << 24, 8, device("wan"), 5)
    assert len(routes) == 2
    routes.remove_kernel(10 << 24, 8, lan, 5)
    assert list(routes) == [static]


@both_twins
def test_iteration_is_by_length_prefix_and_metric(index: type[Lpm]) -> None:
    """`show routes` is stable: length, then prefix, then metric."""
    order = [
        entry("default"), entry("10.0.0.0/8"), entry("11.0.0.0/8", metric=1), entry("11.0.0.0/8", metric=2),
        entry("10.0.0.0/24"), entry("10.0.0.0"),
    ]  # fmt: skip
    routes = table(index, *reversed(order))
    assert list(routes) == order
    assert routes.exact(parse_ipv4("11.0.0.0"), 8) == [order[2][2], order[3][2]]
    assert routes.exact(parse_ipv4("12.0.0.0"), 8) == []


@both_twins
def test_match_tells_the_prefix(index: type[Lpm]) -> None:
    """What `route get` shows: the prefix under which the route was found that a packet takes."""
    lan = device("lan")
    default, net = entry("default"), entry("10.0.0.0/8", dev=lan)
    routes = table(index, default, net, entry("10.0.0.0/8", metric=1))
    assert routes.match(parse_ipv4("10.1.2.3")) == net
    assert routes.match(parse_ipv4("11.1.2.3")) == default
    routes.remove(0, 0)
    assert routes.match(parse_ipv4("11.1.2.3")) is None


@both_twins
def test_a_table_of_128_bits_works_alike(index: type[Lpm]) -> None:
    """The width is the table's; nothing else of it knows the family."""
    routes = Fib(128, index)
    net = 0x20010DB8 << 96
    one, default, subnet, host = Route(6), Route(6), Route(6), Route(6)
    routes.add(0, 0, default)
    routes.add(net, 32, one)
    routes.add(net | 7 << 64, 64, subnet)
    routes.add(net | 7 << 64 | 9, 128, host)
    assert routes.lookup(net | 1) is one
    assert routes.lookup(1) is default
    assert routes.lookup(net | 7 << 64 | 8) is subnet
    assert routes.lookup(net | 7 << 64 | 9) is host
    with refused(errno.EINVAL):
        routes.add(net | 1, 32, Route(6))


@both_twins
def test_zones_are_apart(index: type[Lpm]) -> None:
    """RFC 4007 6: the same link-local address on two links is two; the zone stands above the 128 bits."""
    link_local = 0xFE80 << 112
    routes = Fib(128, index)
    one, two, everything = Route(6), Route(6), Route(6)
    routes.add(link_local | 1 << 128, 64, one)
    routes.add(link_local | 2 << 128, 64, two)
    routes.add(0, 0, everything)
    assert routes.lookup(link_local | 5 | 1 << 128) is one
    assert routes.lookup(link_local | 5 | 2 << 128) is two
    assert routes.lookup(link_local | 5 | 3 << 128) is None
    assert routes.lookup(link_local | 5) is everything
    assert list(routes)[1:] == [(link_local | 1 << 128, 64, one), (link_local | 2 << 128, 64, two)]
    with refused(errno.EINVAL):
        routes.add(1 << 160, 64, Route(6))


@both_twins
def test_load_takes_what_add_takes_and_tells_what_it_refused(index: type[Lpm]) -> None:
    """In bulk as one by one: EEXIST and EINVAL by their place, the rest is in."""
    shared, worse = Route(4, via=1), Route(4, via=2, metric=3)
    routes = table(index, (10 << 24, 8, shared))
    refusals = routes.load(
        [(11 << 24, 8, shared), (10 << 24, 8, shared), (10 << 24, 8, worse), (1, 8, shared), (12 << 24, 8, shared)]
    )
    assert [(at, error.errno) for at, error in refusals] == [(1, errno.EEXIST), (3, errno.EINVAL)]
    assert [(prefix >> 24, route) for prefix, _, route in routes] == [
        (10, shared), (10, worse), (11, shared), (12, shared)
    ]  # fmt: skip
    assert len(routes) == 4


@both_twins
def test_the_generation_grows_with_every_change(index: type[Lpm]) -> None:
    """What was derived from the table can tell that it is out of date."""
    routes = Fib(32, index)
    seen = [routes.generation]
    for change in (
        lambda: routes.add(10 << 24, 8, Route(4)),
        lambda: routes.add(10 << 24, 8, Route(4, metric=1)),
        lambda: routes.load([(11 << 24, 8, Route(4)), (12 << 24, 8, Route(4, src=3))]),
        lambda: routes.remove(10 << 24, 8),
        lambda: routes.purge(routes.sourced(3)),
    ):
        change()
        seen.append(routes.generation)
    assert sorted(set(seen)) == seen


@both_twins
def test_a_big_table_is_given_back_in_pieces(index: type[Lpm]) -> None:
    """shrink: each call lets go of about so many prefixes, until nothing is left."""
    routes = Fib(32, index)
    shared = Route(4)
    routes.load((n << 8, 24, shared) for n in range(100_000))
    routes.load((n << 24, 8, shared) for n in range(64))
    left = 100_064
    while not routes.shrink(2000):
        now = sum(1 for _ in routes)
        assert 2000 <= left - now <= 4000
        left = now
    assert left <= 4000
    assert (list(routes), routes.lookup(1)) == ([], None)


def test_the_record_has_the_fields_of_show_routes() -> None:
    """The record has the names and forms that are promised for the JSON of `show routes`."""
    lan = device("lan")
    made = entry("10.0.0.0/8", via="192.0.2.1", dev=lan, metric=7, src=parse_ipv4("192.0.2.9"), mtu=1400, onlink=True)
    assert to_record("red", *made) == {
        "netns": "red", "to": "10.0.0.0/8", "via": "192.0.2.1", "dev": "lan", "target_netns": None, "type": "unicast",
        "metric": 7, "table": "main", "proto": "static", "scope": "global", "src": "192.0.2.9", "mtu": 1400,
        "advmss": None, "onlink": True, "nhid": None, "nexthops": None,
    }  # fmt: skip
    crossing = entry("default", target="blue", table=fib.TABLE_LOCAL, proto="boot")
    assert to_record("red", *crossing) == {
        "netns": "red", "to": "default", "via": None, "dev": None, "target_netns": "blue", "type": "unicast",
        "metric": 0, "table": "local", "proto": "boot", "scope": "global", "src": None, "mtu": None,
        "advmss": None, "onlink": False, "nhid": None, "nexthops": None,
    }  # fmt: skip
    several = multipath_route(4, [NextHop(parse_ipv4("192.0.2.1"), lan, 3), NextHop(-1, lan)], table=100, nhid=9)
    record = to_record("red", 0, 0, several)
    assert (record["via"], record["dev"], record["table"], record["nhid"]) == (None, None, "100", 9)
    assert record["nexthops"] == [
        {"via": "192.0.2.1", "dev": "lan", "weight": 3}, {"via": None, "dev": "lan", "weight": 1}
    ]  # fmt: skip


def test_an_entry_of_a_big_table_costs_two_integers() -> None:
    """A full table is a million prefixes: no object for each, and nothing that the collector of garbage would walk."""
    assert not hasattr(Route(4), "__dict__")
    assert sys.getsizeof(Route(4)) <= 184
    routes = Fib(32, Lpm)
    shared = Route(4)
    routes.load((n << 8, 24, shared) for n in range(256, 768))
    blocks = routes._index._blocks
    assert len(blocks) == 2
    gc.collect()
    assert not any(gc.is_tracked(entries) for entries in blocks.values())
    assert {number for entries in blocks.values() for number in entries.values()} == {0}


def test_a_block_forgets_a_length_that_it_has_no_more() -> None:
    """Lookups do not go on trying lengths of prefixes that are long gone."""
    index = Lpm(32, [])
    for length in (0, 8, 16, 17, 24, 32):
        index.insert(0, length, 0)
    assert (index._shifts, index._shapes[1 << 16]) == ((0, 8, 16), (0, 8, 15))
    for length in (8, 24):
        index.delete(0, length)
    assert (index._shifts, index._shapes[1 << 16]) == ((0, 16), (0, 15))
    for length in (0, 16, 17, 32):
        index.delete(0, length)
    assert (index._shifts, index._shapes, index._blocks, len(index)) == ((), {}, {}, 0)
    assert lpm.TOP_BITS == {32: 16, 128: 32}
