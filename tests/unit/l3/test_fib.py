"""The routing table: which route a destination meets, and what it takes to change that."""

import errno
import sys
from types import SimpleNamespace

import pytest

from vrouter.stack.base.addresses import parse_ipv4, parse_prefix
from vrouter.stack.device import Device
from vrouter.stack.l3 import fib
from vrouter.stack.l3.fib import Fib, Route


def device(name: str) -> Device:
    return Device(SimpleNamespace(name="red", closing=False), name, "veth", 2, bytes(6), 1500)


def route(to: str, **fields: object) -> Route:
    family, prefix, length = parse_prefix(to)
    if isinstance(fields.get("via"), str):
        fields["via"] = parse_ipv4(fields["via"])
    return Route(family, prefix, length, **fields)


def table(*routes: Route) -> Fib:
    made = Fib(32)
    for one in routes:
        made.add(one)
    return made


def found(routes: Fib, dst: str) -> Route | None:
    return routes.lookup(parse_ipv4(dst))


def refused(number: int) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_the_longest_prefix_wins_whatever_the_order_of_adding() -> None:
    """RFC 1812 5.2.4.3 (2): longest match."""
    default, net, subnet, host = (route(to) for to in ("default", "10.0.0.0/8", "10.1.2.0/24", "10.1.2.3"))
    for order in ([default, net, subnet, host], [host, subnet, net, default], [subnet, default, host, net]):
        routes = table(*order)
        assert found(routes, "10.1.2.3") is host
        assert found(routes, "10.1.2.4") is subnet
        assert found(routes, "10.1.3.3") is net
        assert found(routes, "11.1.2.3") is default
        assert found(routes, "255.255.255.255") is default
        assert found(routes, "0.0.0.0") is default


def test_without_a_matching_route_there_is_none() -> None:
    """RFC 1812 5.2.4.3 (1): basic match; an empty table matches nothing."""
    assert found(Fib(32), "10.0.0.1") is None
    assert found(table(route("10.0.0.0/8")), "11.0.0.0") is None


def test_the_lowest_metric_of_the_longest_prefix_wins() -> None:
    """RFC 1812 5.2.4.3 (4): best metric, which never outweighs a longer prefix."""
    worse, better = route("10.0.0.0/8", metric=20), route("10.0.0.0/8", metric=10)
    longer = route("10.1.0.0/16", metric=99)
    assert found(table(worse, better, longer), "10.0.0.1") is better
    assert found(table(better, worse, longer), "10.0.0.1") is better
    assert found(table(better, worse, longer), "10.1.0.1") is longer


def test_routes_of_a_device_that_is_down_are_passed_over_and_come_back() -> None:
    """RFC 1812 5.3.12.3 and 5.3.12.4: such a route is not used; up again, it is again."""
    lan, wan = device("lan"), device("wan")
    first, second = route("10.0.0.0/8", dev=lan), route("10.0.0.0/8", dev=wan, metric=5)
    default = route("default", via="192.0.2.1", dev=wan)
    routes = table(first, second, default)
    assert found(routes, "10.0.0.1") is first
    lan.carrier = False
    lan.refresh()
    assert found(routes, "10.0.0.1") is second
    wan.up = False
    wan.refresh()
    assert found(routes, "10.0.0.1") is None
    wan.up = lan.carrier = True
    lan.refresh()
    wan.refresh()
    assert found(routes, "10.0.0.1") is first


def test_a_shorter_prefix_serves_while_the_longer_one_s_device_is_down() -> None:
    """The table falls through to shorter prefixes, down to a route without a device."""
    lan = device("lan")
    lan.ready = False
    blackhole = route("default", type=fib.BLACKHOLE)
    assert found(table(route("10.0.0.0/8", dev=lan), blackhole), "10.0.0.1") is blackhole


def test_a_sender_bound_to_a_device_gets_that_device_s_route() -> None:
    """lookup_via: longest match among the routes of one device, however good the others are."""
    lan, wan = device("lan"), device("wan")
    specific, general = route("10.1.0.0/16", dev=lan), route("default", dev=wan, metric=100)
    other = route("default", dev=lan)
    routes = table(specific, general, other)
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), wan) is general
    assert routes.lookup_via(parse_ipv4("10.1.0.1"), lan) is specific
    assert routes.lookup_via(parse_ipv4("11.1.0.1"), lan) is other
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
    ],
)
def test_the_action_follows_from_type_and_target(fields: dict[str, object], action: int) -> None:
    """A route says what is done with its packets."""
    assert route("10.0.0.0/8", **fields).action == action


def test_the_same_route_twice_is_refused_and_another_way_is_not() -> None:
    """EEXIST for one prefix and metric by the same way; another next hop, device, target or metric is another route."""
    lan = device("lan")
    ways = [
        {"dev": lan}, {"dev": device("wan")}, {"via": "10.0.0.1"}, {"via": "10.0.0.1", "dev": lan}, {"target": "blue"},
        {"dev": lan, "metric": 1},
    ]  # fmt: skip
    routes = table(*(route("10.0.0.0/8", **way) for way in ways))
    assert len(routes) == len(ways)
    for way in ways:
        with refused(errno.EEXIST):
            routes.add(route("10.0.0.0/8", **way))
    assert len(routes) == len(ways)
    assert found(routes, "10.0.0.1").dev is lan


@pytest.mark.parametrize(("prefix", "length"), [(1, 31), (0x0A000001, 8), (1 << 32, 32), (0, 33), (0, -1)])
def test_a_prefix_that_is_none_is_refused(prefix: int, length: int) -> None:
    """EINVAL as in Linux: host bits set, or longer than an address."""
    routes = Fib(32)
    with refused(errno.EINVAL):
        routes.add(Route(4, prefix, length))
    assert len(routes) == 0


def test_removal_takes_the_best_that_fits() -> None:
    """`route del` of a prefix alone takes the best one; metric, next hop, device and target narrow it down."""
    lan = device("lan")
    best, second, third = route("10.0.0.0/8"), route("10.0.0.0/8", metric=1, dev=lan), route("10.0.0.0/8", metric=2)
    crossing = route("10.0.0.0/8", metric=3, target="blue")
    routes = table(third, crossing, best, second)
    net = parse_ipv4("10.0.0.0")
    assert routes.remove(net, 8, metric=2) is third
    assert routes.remove(net, 8, dev=lan) is second
    assert routes.remove(net, 8, target="blue") is crossing
    assert found(routes, "10.0.0.1") is best
    for absent in ({"metric": 7}, {"via": 5}, {"dev": lan}, {"target": "green"}):
        with refused(errno.ESRCH):
            routes.remove(net, 8, **absent)
    assert routes.remove(net, 8) is best
    with refused(errno.ESRCH):
        routes.remove(net, 8)
    assert (len(routes), list(routes), found(routes, "10.0.0.1")) == (0, [], None)


def test_a_removed_route_can_be_added_again() -> None:
    """A route that was taken out carries nothing of its old table along."""
    routes = table(route("10.0.0.0/8"), route("10.0.0.0/8", metric=1))
    taken = routes.remove(parse_ipv4("10.0.0.0"), 8)
    assert taken.next is None
    other = table(taken)
    assert list(other) == [taken]


def test_remove_device_takes_all_of_its_routes() -> None:
    """A device that goes takes its routes of every prefix and metric, and no others."""
    lan, wan = device("lan"), device("wan")
    stay = [route("default", dev=wan), route("10.0.0.0/8", dev=wan, metric=3)]
    go = [route("10.0.0.0/8", dev=lan), route("10.0.0.0/8", dev=lan, metric=5), route("10.1.0.0/16", dev=lan)]
    routes = table(*stay, *go)
    assert routes.remove_device(lan) == go
    assert list(routes) == stay
    assert len(routes) == 2


def test_iteration_is_by_length_prefix_and_metric() -> None:
    """`show routes` is stable: length, then prefix, then metric."""
    order = [
        route("default"), route("10.0.0.0/8"), route("11.0.0.0/8", metric=1), route("11.0.0.0/8", metric=2),
        route("10.0.0.0/24"), route("10.0.0.0"),
    ]  # fmt: skip
    routes = table(*reversed(order))
    assert list(routes) == order
    assert routes.exact(parse_ipv4("11.0.0.0"), 8) == order[2:4]
    assert routes.exact(parse_ipv4("12.0.0.0"), 8) == []


def test_a_table_of_128_bits_works_alike() -> None:
    """The width is the table's; nothing else of it knows the family."""
    routes = Fib(128)
    net = 0x20010DB8 << 96
    one, default = Route(6, net, 32), Route(6, 0, 0)
    routes.add(default)
    routes.add(one)
    assert routes.lookup(net | 1) is one
    assert routes.lookup(1) is default
    with refused(errno.EINVAL):
        routes.add(Route(6, net | 1, 32))


def test_the_record_has_the_fields_of_show_routes() -> None:
    """The record has the names and forms that are promised for the JSON of `show routes`."""
    made = route("10.0.0.0/8", via="192.0.2.1", dev=device("lan"), metric=7, src=parse_ipv4("192.0.2.9"))
    assert made.to_record("red") == {
        "netns": "red", "to": "10.0.0.0/8", "via": "192.0.2.1", "dev": "lan", "target_netns": None, "type": "unicast",
        "metric": 7, "table": "main", "proto": "static", "src": "192.0.2.9",
    }  # fmt: skip
    crossing = route("default", target="blue", table=fib.TABLE_LOCAL, proto="boot")
    assert crossing.to_record("red") == {
        "netns": "red", "to": "default", "via": None, "dev": None, "target_netns": "blue", "type": "unicast",
        "metric": 0, "table": "local", "proto": "boot", "src": None,
    }  # fmt: skip


def test_a_route_is_small() -> None:
    """A full table is a million routes: one object without a dictionary, and no second copy of its prefix."""
    made = route("10.0.0.0/8")
    assert not hasattr(made, "__dict__")
    assert sys.getsizeof(made) <= 176
    routes = table(made)
    key = next(iter(routes._by_length[8]))
    assert key is made.prefix
    better = route("10.0.0.0/8", metric=0, dev=device("lan"))
    routes.remove(made.prefix, 8)
    routes.add(better)
    assert next(iter(routes._by_length[8])) is better.prefix
