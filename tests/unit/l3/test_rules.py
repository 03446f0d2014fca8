"""Policy routing: which rule answers, in Linux's order and with Linux's errors (ip-rule(8))."""

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from vrouter.stack.base.addresses import V4, V6, parse_ipv4, parse_prefix
from vrouter.stack.device import Device
from vrouter.stack.l3.fib import BLACKHOLE, BROADCAST, LOCAL, PROHIBIT, TABLE_LOCAL, THROW, Fib, Route
from vrouter.stack.l3.multipath import NextHop, multipath_route
from vrouter.stack.l3.rules import MAX_RULES, Rule, RuleSet, format_mark, parse_mark

DST = parse_ipv4("192.0.2.1")
SRC = parse_ipv4("10.1.2.3")


def device(name: str) -> Device:
    return Device(SimpleNamespace(name="red", closing=False), name, "veth", 2, bytes(6), 1500)


LAN, WAN = device("lan"), device("wan")


class Place:
    """Tables in which the default route tells which of them was asked, and the rules of one family."""

    def __init__(self, *tables: int, family: int = V4) -> None:
        self.bits = 32 if family == V4 else 128
        self.tables = {number: Fib(self.bits) for number in (TABLE_LOCAL, 254, 253, *tables)}
        self.rules = RuleSet(family)
        self.family = family
        for number in (254, *tables):
            self.add("default", number)

    def add(self, to: str, number: int, dev: Device = LAN, **fields: Any) -> Route:
        family, prefix, length = parse_prefix("::/0" if to == "default" and self.family == V6 else to)
        route = Route(family, dev=dev, table=number, **fields)
        self.tables[number].add(prefix, length, route)
        return route

    def rule(self, **fields: Any) -> Rule:
        for end in ("from", "to"):
            if f"{end}_" in fields:
                _, fields[f"{end}_prefix"], fields[f"{end}_length"] = parse_prefix(fields.pop(f"{end}_"))
        made = Rule(self.family, **fields)
        self.rules.add(made)
        return made

    def ask(self, dst: int = DST, **packet: Any) -> int | None:
        """The table that answers."""
        found = self.rules.lookup(self, dst, **packet)
        return None if found is None else found.table


def test_default_rules() -> None:
    """ip-rule(8): 0 local, 32766 main, 32767 default; IPv6 has no table default."""
    assert [(r.priority, r.table) for r in RuleSet(V4)] == [(0, 255), (32766, 254), (32767, 253)]
    assert [(r.priority, r.table) for r in RuleSet(V6)] == [(0, 255), (32766, 254)]
    rules = RuleSet(V4)
    assert rules.is_default()
    rules.add(Rule(V4))
    assert not rules.is_default()
    rules.remove({"priority": 32765})
    assert rules.is_default()


def test_the_default_rules_ask_local_main_default() -> None:
    """In that order; the first table with a route answers."""
    place = Place()
    assert place.ask() == 254
    place.tables[254].remove(0, 0)
    assert place.ask() is None
    place.add("default", 253)
    assert place.ask() == 253
    place.add("192.0.2.0/24", 255)
    assert place.ask() == 255


def test_priority_then_arrival() -> None:
    """The lowest priority is asked first, among equal ones the older."""
    place = Place(10, 20, 30)
    place.rule(priority=200, table=10)
    assert place.ask() == 10
    place.rule(priority=100, table=20)
    assert place.ask() == 20
    place.rule(priority=100, table=30)
    assert place.ask() == 20


def test_without_a_priority_it_comes_before_the_second() -> None:
    """Linux's fib_default_rule_pref: 32765, 32764 ...; before the second rule whatever that is."""
    rules = RuleSet(V4)
    made = [Rule(V4, table=n + 1) for n in range(3)]
    for rule in made:
        rules.add(rule)
    assert [rule.priority for rule in made] == [32765, 32764, 32763]
    rules.add(Rule(V4, priority=50))
    rules.add(last := Rule(V4, table=9))
    assert last.priority == 49


@pytest.mark.parametrize(
    ("asked", "hit", "miss"),
    [
        ({"from_": "10.1.0.0/16"}, {"src": SRC}, {"src": SRC + 0x10000}),
        ({"from_": "10.1.2.3"}, {"src": SRC}, {}),
        ({"to_": "192.0.2.0/24"}, {}, {"dst": DST + 256}),
        ({"iif": "lan"}, {"iif": LAN}, {"iif": WAN}),
        ({"iif": "lan"}, {"iif": device("lan")}, {}),
        ({"iif": "lo"}, {}, {"iif": LAN}),
        ({"iif": "@blue"}, {"iif": SimpleNamespace(name="@blue")}, {"iif": LAN}),
        ({"oif": "lan"}, {"oif": LAN}, {}),
        ({"mark": 5, "mask": 0xFFFFFFFF}, {"mark": 5}, {"mark": 4}),
        ({"mark": 0x10, "mask": 0xF0}, {"mark": 0x1F}, {"mark": 0x2F}),
        ({"mark": 0, "mask": 0xFFFFFFFF}, {"mark": 0}, {"mark": 1}),
        ({"tos": 0x10}, {"tos": 0x12}, {"tos": 0x20}),
        ({"from_": "10.0.0.0/8", "mark": 1, "mask": 1}, {"src": SRC, "mark": 3}, {"src": SRC, "mark": 2}),
    ],
)
def test_selectors(asked: dict[str, Any], hit: dict[str, Any], miss: dict[str, Any]) -> None:
    """from, to, iif (lo: made here), oif, fwmark with mask, tos without its two ECN bits; each alone and together, and
    `not` of it."""
    place = Place(10)
    place.rule(table=10, **asked)
    assert (place.ask(**hit), place.ask(**miss)) == (10, 254)
    place.rules.remove({"table": 10})
    place.rule(table=10, invert=True, **asked)
    assert (place.ask(**hit), place.ask(**miss)) == (254, 10)


def test_a_table_without_a_route_is_passed_over() -> None:
    """Also one that does not exist, and one whose only route has no ready device."""
    place = Place(10)
    place.rule(priority=1, table=99)
    place.rule(priority=2, table=10)
    assert place.ask() == 10
    place.tables[10].remove(0, 0)
    assert place.ask() == 254
    down = device("down")
    down.up = False
    down.refresh()
    place.add("default", 10, down)
    assert place.ask() == 254


def test_throw_ends_a_table_not_the_search() -> None:
    """ip-route(8): throw is as if there were no route in this table, even where a shorter prefix has one."""
    place = Place(10)
    place.rule(table=10)
    throw = Route(V4, type=THROW, table=10)
    place.tables[10].add(*parse_prefix("192.0.2.0/24")[1:], throw)
    assert (place.ask(), place.ask(DST + 256)) == (254, 10)


def test_actions_that_end_the_search() -> None:
    """blackhole and prohibit refuse by their names; unreachable is as if there were no route (Linux: ENETUNREACH)."""
    place = Place()
    place.rule(priority=1, mark=1, mask=3, action="blackhole")
    place.rule(priority=2, mark=2, mask=3, action="prohibit")
    place.rule(priority=3, mark=3, mask=3, action="unreachable")
    found = [place.rules.lookup(place, DST, mark=mark) for mark in (1, 2, 3)]
    assert [None if route is None else route.type for route in found] == [BLACKHOLE, PROHIBIT, None]
    assert place.ask() == 254


def test_goto_and_nop() -> None:
    """goto goes on at the first rule of exactly that priority, and is passed over while there is none."""
    place = Place(10, 20, 30)
    place.rule(priority=100, action="goto", goto=300, from_="10.0.0.0/8")
    place.rule(priority=150, action="nop")
    place.rule(priority=200, table=10)
    assert place.ask(src=SRC) == place.ask() == 10
    place.rule(priority=300, table=20)
    place.rule(priority=300, table=30)
    assert (place.ask(src=SRC), place.ask()) == (20, 10)
    place.rules.remove({"priority": 300})
    assert place.ask(src=SRC) == 30
    with pytest.raises(OSError, match="further down") as refused:
        place.rule(priority=400, action="goto", goto=400)
    assert refused.value.errno == errno.EINVAL


def test_goto_into_the_middle_of_many() -> None:
    """Rules of one kind are found by a dictionary; those before the target are not among them."""
    place = Place(*range(1, 30))
    place.rule(priority=1, action="goto", goto=20)
    for n in range(10, 30):
        place.rule(priority=n, from_="10.0.0.0/8" if n % 2 else "10.1.0.0/16", table=n)
    assert place.ask(src=SRC) == 20
    place.rules.remove({"priority": 1})
    assert place.ask(src=SRC) == 10


def test_suppress_prefixlength() -> None:
    """ip-rule(8): what a table has is not taken when its prefix is no longer than that; the search goes on."""
    place = Place(10)
    place.rule(priority=10, table=254, suppress=0)
    place.rule(priority=11, table=10)
    assert place.ask() == 10
    shared = place.tables[254].exact(0, 0)[0]
    place.tables[254].add(*parse_prefix("192.0.2.0/25")[1:], shared)  # the very route of default
    assert (place.ask(), place.ask(DST + 256)) == (254, 10)
    place.rules.remove({"priority": 10})
    place.rule(priority=10, table=254, suppress=25)
    assert place.ask() == 10
    assert place.ask(oif=LAN) == 10
    place.add("192.0.2.0/26", 254)
    assert place.ask() == place.ask(oif=LAN) == 254
    assert place.ask(oif=WAN) is None


def test_bound_to_a_device() -> None:
    """SO_BINDTODEVICE: routes by another device are no routes, members of several by it are."""
    place = Place(10, 20)
    place.rule(priority=1, table=10)
    place.rule(priority=2, table=20)
    assert place.ask(oif=WAN) is None
    place.tables[20].add(0, 0, multipath_route(V4, [NextHop(1, LAN), NextHop(2, WAN)], table=20, metric=1))
    found = place.rules.lookup(place, DST, oif=WAN)
    assert found is not None
    assert (found.table, found.via, found.dev) == (20, 2, WAN)
    place.add("192.0.2.1/32", 255, type=LOCAL)
    assert place.ask(oif=WAN) == 255
    place.add("192.0.2.2/32", 255, type=BROADCAST)
    assert (place.ask(DST + 1, oif=WAN), place.ask(DST + 1, oif=LAN)) == (20, 255)


def test_a_zone_is_no_part_of_what_a_rule_asks() -> None:
    """RFC 4007: fe80::/10 in a rule fits link-local sources of every link."""
    place = Place(10, family=V6)
    place.rule(from_="fe80::/10", table=10)
    assert place.ask(1, src=0xFE80 << 112 | 1 | 7 << 128) == 10
    assert place.ask(1, src=0x2001 << 112) == 254


def test_the_same_rule_twice() -> None:
    """EEXIST when all of it is the same, priority included; without one the second gets a lower one, as in Linux."""
    place = Place(10)
    place.rule(priority=5, table=10, from_="10.0.0.0/8")
    with pytest.raises(FileExistsError):
        place.rule(priority=5, table=10, from_="10.0.0.0/8")
    place.rule(priority=5, table=10, from_="10.0.0.0/8", invert=True)
    place.rule(table=10)
    place.rule(table=10)
    assert len(place.rules) == 7


def test_removal() -> None:
    """The first that has what is given goes; ENOENT for none. The default rules can go, too."""
    place = Place(10, 20)
    place.rule(priority=5, table=10)
    place.rule(priority=6, table=20)
    assert place.rules.remove({"table": 20}).priority == 6
    with pytest.raises(FileNotFoundError):
        place.rules.remove({"priority": 5, "table": 20})
    place.rules.remove({})
    assert [rule.priority for rule in place.rules] == [5, 32766, 32767]
    place.add("192.0.2.1/32", 255)
    assert place.ask() == 10


def test_bounded() -> None:
    """ENOBUFS beyond `MAX_RULES`; and thousands of rules of one kind cost what a few do."""
    place = Place(10)
    room = MAX_RULES - len(place.rules)
    for n in range(room):
        place.rules.add(Rule(V4, priority=1000, from_prefix=n << 8, from_length=24, table=10 if n == room - 1 else 11))
    with pytest.raises(OSError, match="no more than") as refused:
        place.rule(priority=1, table=10)
    assert refused.value.errno == errno.ENOBUFS
    assert place.ask(src=(room - 1) << 8 | 9) == 10
    assert place.ask(src=5 << 8) == 254


def test_marks() -> None:
    """ip-rule(8): fwmark NUMBER or NUMBER/MASK, printed as ip prints it."""
    assert parse_mark("0x1/0xff") == (1, 0xFF)
    assert parse_mark("10") == parse_mark(10) == (10, 0xFFFFFFFF)
    assert parse_mark("0x1ff/0xff") == (0xFF, 0xFF)
    assert (format_mark(1, 0xFF), format_mark(16, 0xFFFFFFFF)) == ("0x1/0xff", "0x10")
    for wrong in ("", "x", "1/", "1/x", "-1", "0x100000000", "1/0x100000000"):
        with pytest.raises(ValueError, match="mark"):
            parse_mark(wrong)


def test_records() -> None:
    """The row of `show rules` has what was asked, in ip(8)'s words."""
    place = Place()
    rule = place.rule(priority=7, from_="10.0.0.0/8", iif="lan", mark=1, mask=0xFF, table=100, suppress=0, invert=True)
    assert rule.to_record("red", V4) == {
        "netns": "red",
        "family": "inet",
        "priority": 7,
        "from": "10.0.0.0/8",
        "to": None,
        "iif": "lan",
        "oif": None,
        "mark": "0x1/0xff",
        "tos": None,
        "invert": True,
        "action": "table",
        "table": "100",
        "goto": None,
        "suppress_prefixlength": 0,
    }
    assert place.rule(priority=8, action="goto", goto=9).to_record("red", V4)["goto"] == 9
    assert [r.to_record("red", V4)["table"] for r in RuleSet(V4)] == ["local", "main", "default"]
