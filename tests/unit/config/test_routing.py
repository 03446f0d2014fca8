"""Routes, rules and next-hop objects of both families: one mistake a row, and what those without become."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from tests.unit.config.marked import DUAL, must_report
from vrouter.config import HopConfig, NextHopConfig, RouteConfig, RuleConfig, loads

ROUTING = [
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'fe80::1'",
        "netns.red.route[0].via: 'fe80::1' is link-local, so its device has to be named (dev = …, or 'fe80::1%DEV')",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'fe80::1%lam'",
        "netns.red.route[0].via: there is no device 'lam' in 'red' (did you mean 'lan'?)",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'fe80::1%lan'\ndev='lo'",
        "netns.red.route[0].via: its zone is 'lan', and the device 'lo'",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'fd00:2::1'",
        "netns.red.route[0].via: 'fd00:2::1' is on no connected network (connected: fd00:1::/64 of 'lan')",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='10.0.0.0/8'\nvia=▸'fd00:1::2'",
        "netns.red.route[0].via: 'fd00:1::2' is of IPv6, and the route of IPv4",
    ),
    (
        DUAL + "[[netns.red.route]]\nto=▸'fd00:5::1/64'\nvia='fd00:1::2'",
        "netns.red.route[0].to: 'fd00:5::1/64' has host bits set (did you mean 'fd00:5::/64'?)",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='fd00:5::/64'\nvia=▸'fd00:1::1'",
        "netns.red.route[0].via: 'fd00:1::1' is an address of 'lan' itself, not a next hop",
    ),
    (
        DUAL + "[[netns.red.route]]\nto=▸'fe80::/64'\nvia='fd00:1::2'",
        "netns.red.route[0].to: 'fe80::/64' is link-local, so dev has to be given",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='fd00:5::/64'\nvia='fd00:1::2'\nmtu=▸1279",
        "netns.red.route[0].mtu: must be 1280 to 65535, not 1279",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='fd00:5::/64'\nvia='fd00:1::2'\nsrc=▸'10.0.1.1'",
        "netns.red.route[0].src: '10.0.1.1' is of IPv4, and the route of IPv6",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='fd00:5::/64'\nvia='fd00:1::2'\ntable=▸'local'",
        "netns.red.route[0].table: the routes of table local come with addresses",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='fd00:5::/64'\nvia='fd00:1::2'\ntable=▸'vpn'",
        "netns.red.route[0].table: 'vpn' is no routing table (main, default or a number of 1 to 4294967295)",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia='10.0.1.9'\n▸onlink=true",
        "netns.red.route[0].onlink: says that via is on the link of dev, so it takes both",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'10.9.1.9'\ndev='lo'\nonlink=true",
        "netns.red.route[0].via: '10.9.1.9' is on no connected network of 'lo'",
    ),
    (DUAL + "[[netns.red.route]]\nto='default'\nnhid=▸4", "netns.red.route[0].nhid: there is no nexthop 4"),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nnexthops=▸[]",
        "netns.red.route[0].nexthops: a route needs one next hop at least",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nnexthops=[▸{}]",
        "netns.red.route[0].nexthops[0]: a next hop needs via or dev",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nnexthops=[{via='10.0.1.2',weight=▸0}]",
        "netns.red.route[0].nexthops[0].weight: must be 1 to 256, not 0",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nnexthops=[{via='10.0.1.2'},{via=▸'fd00:1::2'}]",
        "netns.red.route[0].nexthops[1].via: 'fd00:1::2' is of another family than the route's first next hop",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\n▸via='10.0.1.9'\nnexthops=[{via='10.0.1.2'}]",
        "netns.red.route[0].via: a route by nexthops has no via besides",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'::ffff:1.2.3.4'",
        "netns.red.route[0].via: '::ffff:1.2.3.4' is an IPv4-mapped address, which no interface can have",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nvia=▸'fd00:1::9%lan'",
        "netns.red.route[0].via: 'fd00:1::9%lan' has a zone, but is no link-local address",
    ),
    (
        DUAL
        + (
            "[[netns.red.route]]\nto='fd00:5::/64'\nvia='fd00:1::2'\n[[netns.red.route]]\nto=▸'fd00:5::/64'\n"
            "via='fd00:1::2'\n"
        ),
        "netns.red.route[1].to: 'fd00:5::/64' with metric 1024 is already the destination of route[0]",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\nadvmss=▸70000\ndev='lan'",
        "netns.red.route[0].advmss: must be 0 to 65535, not 70000",
    ),
    (
        DUAL + "[[netns.red.route]]\nto='default'\ndev='lan'\n[[netns.red.route]]\nto=▸'::/0'\nvia='fd00:1::2'",
        "netns.red.route[1].to: '::/0' with metric 1024 is already the destination of route[0]",
    ),
    (
        DUAL + "▸[[netns.red.nexthop]]\nvia='10.0.1.2'",
        "netns.red.nexthop[0].id: is missing: the number by which routes name it",
    ),
    (
        DUAL + "▸[[netns.red.nexthop]]\nid=1",
        "netns.red.nexthop[0]: a nexthop is one of via or dev, group, and blackhole",
    ),
    (
        DUAL + "▸[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\nblackhole=true",
        "netns.red.nexthop[0]: a nexthop is one of via or dev, group, and blackhole",
    ),
    (
        DUAL + "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\n[[netns.red.nexthop]]\nid=▸1\nvia='10.0.1.2'\n",
        "netns.red.nexthop[1].id: there is a nexthop 1 already",
    ),
    (DUAL + "[[netns.red.nexthop]]\nid=1\ngroup=[{id=▸2}]", "netns.red.nexthop[0].group[0].id: there is no nexthop 2"),
    (DUAL + "[[netns.red.nexthop]]\nid=1\ngroup=▸[]", "netns.red.nexthop[0].group: a group needs one member at least"),
    (DUAL + "[[netns.red.nexthop]]\nid=▸0\nblackhole=true", "netns.red.nexthop[0].id: must be 1 to 4294967295, not 0"),
    (
        DUAL
        + (
            "[[netns.red.nexthop]]\nid=1\nblackhole=true\n[[netns.red.nexthop]]\nid=2\nvia='10.0.1.2'\n"
            "[[netns.red.nexthop]]\nid=3\ngroup=[{id=▸1},{id=2}]"
        ),
        "netns.red.nexthop[2].group[0].id: nexthop 1 is a blackhole, which stands alone in its group",
    ),
    (
        DUAL
        + (
            "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\n[[netns.red.nexthop]]\nid=2\ngroup=[{id=1}]\n"
            "[[netns.red.nexthop]]\nid=3\ngroup=[{id=▸2}]"
        ),
        "netns.red.nexthop[2].group[0].id: nexthop 2 is a group itself",
    ),
    (
        DUAL
        + (
            "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\n[[netns.red.nexthop]]\nid=2\nvia='fd00:1::2'\n"
            "[[netns.red.nexthop]]\nid=3\ngroup=[{id=1},{id=▸2}]"
        ),
        "netns.red.nexthop[2].group[1].id: nexthop 2 is of another family than the first",
    ),
    (
        DUAL + "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\n[[netns.red.nexthop]]\nid=3\ngroup=[{id=1},{id=▸1}]",
        "netns.red.nexthop[1].group[1].id: nexthop 1 is given twice",
    ),
    (
        DUAL + "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\n[[netns.red.route]]\nto='fd00:5::/64'\nnhid=▸1",
        "netns.red.route[0].nhid: is of IPv4, and the route of IPv6",
    ),
    (
        DUAL + "[[netns.red.nexthop]]\nid=1\nvia='10.0.1.2'\nfamily=▸'inet6'",
        "netns.red.nexthop[0].family: '10.0.1.2' is of another family",
    ),
    (
        DUAL + "▸[[netns.red.rule]]\nfrom='10.0.0.0/8'",
        "netns.red.rule[0]: a rule needs table, goto or type (blackhole, unreachable, prohibit or nop)",
    ),
    (
        DUAL + "[[netns.red.rule]]\nfrom='10.0.0.0/8'\nto=▸'fd00::/8'\ntable=5",
        "netns.red.rule[0].to: 'fd00::/8' is of another family than the rest of the rule",
    ),
    (DUAL + "[[netns.red.rule]]\n▸table=5\ntype='blackhole'", "netns.red.rule[0].table: a rule with type has no table"),
    (
        DUAL + "[[netns.red.rule]]\npriority=9\ngoto=▸9",
        "netns.red.rule[0].goto: leads further down, to a priority above 9",
    ),
    (
        DUAL + "[[netns.red.rule]]\ngoto=5000\n▸table=4\npriority=1",
        "netns.red.rule[0].table: a rule with goto has no table",
    ),
    (DUAL + "[[netns.red.rule]]\ntable=5\ntos=▸5", "netns.red.rule[0].tos: the two low bits belong to ECN"),
    (
        DUAL + "[[netns.red.rule]]\ntable=5\nmark=▸'x'",
        "netns.red.rule[0].mark: 'x' is no mark (a number of 32 bits, or \"0x1/0xff\")",
    ),
    (
        DUAL + "[[netns.red.rule]]\ntable=5\nmark=▸'0x1/0x1ffffffff'",
        "netns.red.rule[0].mark: '0x1/0x1ffffffff' is no mark (a number of 32 bits, or \"0x1/0xff\")",
    ),
    (
        DUAL + "[[netns.red.rule]]\npriority=5\ntable=5\n▸[[netns.red.rule]]\npriority=5\ntable=5\n",
        "netns.red.rule[1]: is the same as netns.red.rule[0]",
    ),
    (DUAL + "[[netns.red.rule]]\ntable=5\npriority=▸-1", "netns.red.rule[0].priority: must be 0 to 4294967295, not -1"),
    (
        DUAL + "[[netns.red.rule]]\ntable=5\nsuppress_prefixlength=▸33\nfrom='10.0.0.0/8'",
        "netns.red.rule[0].suppress_prefixlength: must be 0 to 32, not 33",
    ),
    (
        DUAL + "[[netns.red.rule]]\ntype=▸'nope'",
        "netns.red.rule[0].type: must be unicast, blackhole, unreachable, prohibit or nop, not 'nope' "
        "(did you mean 'nop'?)",
    ),
    (
        DUAL + "[[netns.red.rule]]\ntable=▸0",
        "netns.red.rule[0].table: 0 is no routing table (main, default or a number of 1 to 4294967295)",
    ),
    (
        DUAL + "[[netns.red.rule]]\ntable=5\niif=▸'a/b'",
        "netns.red.rule[0].iif: 'a/b': a device name has no slash, colon or white space",
    ),
    (
        DUAL + "[[netns.red.rule]]\ntable=5\nmark=▸true",
        "netns.red.rule[0].mark: must be a string or an integer, not a boolean",
    ),
]


@pytest.mark.parametrize(("text", "expected"), ROUTING)
def test_a_route_that_cannot_be(text: str, expected: str) -> None:
    """A route, rule or next-hop object that the stack would refuse is refused before anything is started."""
    must_report(text, expected)


def test_routes_of_both_families_in_their_records() -> None:
    """Every key of a route; a zone names the device of a link-local gateway, which needs no network there."""
    text = (
        DUAL
        + """
[[netns.red.nexthop]]
id = 9
group = [{ id = 2, weight = 7 }, { id = 1 }]
[[netns.red.nexthop]]
id = 1
via = "fe80::1"
dev = "lan"
[[netns.red.nexthop]]
id = 2
via = "fd00:9::1"
dev = "lan"
onlink = true
[[netns.red.nexthop]]
id = 3
blackhole = true
[[netns.red.route]]
to = "default"
via = "fe80::1%lan"
mtu = 1400
advmss = 1340
src = "fd00:1::1"
[[netns.red.route]]
to = "default"
nhid = 9
table = 100
[[netns.red.route]]
to = "10.9.0.0/16"
nexthops = [{ via = "10.0.1.2" }, { via = "10.7.0.1", dev = "lan", onlink = true, weight = 3 }]
[[netns.red.rule]]
table = 100
family = "inet6"
"""
    )
    red = loads(text).netns["red"]
    everything = IPv6Network("::/0")
    assert red.routes == (
        RouteConfig(
            to=everything,
            via=IPv6Address("fe80::1"),
            dev="lan",
            mtu=1400,
            advmss=1340,
            src=IPv6Address("fd00:1::1"),
        ),
        RouteConfig(to=everything, nhid=9, table=100),
        RouteConfig(
            to=IPv4Network("10.9.0.0/16"),
            nexthops=(
                HopConfig(via=IPv4Address("10.0.1.2")),
                HopConfig(via=IPv4Address("10.7.0.1"), dev="lan", weight=3, onlink=True),
            ),
        ),
    )
    assert red.nexthops == (
        NextHopConfig(id=1, family=6, via=IPv6Address("fe80::1"), dev="lan"),
        NextHopConfig(id=2, family=6, via=IPv6Address("fd00:9::1"), dev="lan", onlink=True),
        NextHopConfig(id=3, blackhole=True),
        NextHopConfig(id=9, family=6, group=((2, 7), (1, 1))),
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("via = '10.0.1.2'", ["0.0.0.0/0"]),
        ("via = 'fd00:1::2'", ["::/0"]),
        ("dev = 'lan'", ["0.0.0.0/0", "::/0"]),
        ("type = 'blackhole'", ["0.0.0.0/0", "::/0"]),
        ("netns = 'blue'", ["0.0.0.0/0", "::/0"]),
        ("dev = 'lan'\nsrc = 'fd00:1::1'", ["::/0"]),
        ("nexthops = [{ dev = 'lan' }, { via = 'fd00:1::2' }]", ["::/0"]),
    ],
)
def test_default_is_of_the_family_that_is_told_or_of_both(content: str, expected: list[str]) -> None:
    """`to = "default"` means the family of `via`, and without it both."""
    config = loads(f"{DUAL}[[netns.red.route]]\nto = 'default'\n{content}\n[netns.blue]\naccept_from = ['*']")
    assert [str(route.to) for route in config.netns["red"].routes] == expected


def test_a_gateway_may_be_on_the_link_of_an_earlier_route() -> None:
    """A route of the main table without a gateway connects its prefix, as an address would."""
    text = DUAL + (
        "[[netns.red.route]]\nto = 'fd00:7::/64'\ndev = 'lan'\n"
        "[[netns.red.route]]\nto = 'fd00:8::/64'\nvia = 'fd00:7::1'"
    )
    assert [str(route.via) for route in loads(text).netns["red"].routes] == ["None", "fd00:7::1"]


def test_rules_in_their_records() -> None:
    """Every key; one of no family is of both; those without a priority come before the main table in their order."""
    text = (
        DUAL
        + """
[[netns.red.rule]]
from = "10.0.1.0/25"
table = 100
[[netns.red.rule]]
priority = 7
from = "fd00::/8"
to = "fd01::/16"
iif = "lan"
oif = "lo"
mark = "0x1/0xff"
tos = 16
goto = 32766
invert = true
[[netns.red.rule]]
mark = 5
type = "prohibit"
suppress_prefixlength = 0
[[netns.red.route]]
to = "default"
via = "10.0.1.9"
table = 100
"""
    )
    assert loads(text).warnings == ()
    assert loads(text).netns["red"].rules == (
        RuleConfig(priority=32764, source=IPv4Network("10.0.1.0/25"), table=100),
        RuleConfig(
            family=6,
            priority=7,
            source=IPv6Network("fd00::/8"),
            destination=IPv6Network("fd01::/16"),
            iif="lan",
            oif="lo",
            mark="0x1/0xff",
            tos=16,
            goto=32766,
            invert=True,
        ),
        RuleConfig(family=4, priority=32765, mark="5", type="prohibit", suppress_prefixlength=0),
        RuleConfig(family=6, priority=32765, mark="5", type="prohibit", suppress_prefixlength=0),
    )


WARNED = [
    ("[[netns.red.rule]]\ntable = 5", "f.toml:4:9: netns.red.rule[0].table: no route is in table 5"),
    (
        "[[netns.red.route]]\nto = 'default'\nvia = '10.0.1.9'\ntable = 5",
        "f.toml:6:9: netns.red.route[0].table: no rule asks table 5",
    ),
    (
        "[[netns.red.rule]]\npriority = 4\ngoto = 5",
        "f.toml:5:8: netns.red.rule[0].goto: there is no rule with priority 5: it goes on behind it",
    ),
    (
        "[[netns.red.rule]]\niif = 'lam'\ntype = 'nop'",
        "f.toml:4:7: netns.red.rule[0].iif: there is no device 'lam' in 'red' (yet) (did you mean 'lan'?)",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WARNED)
def test_what_leads_nowhere_is_a_warning(text: str, expected: str) -> None:
    """Tables, priorities and devices may come later; a file without them is hardly meant."""
    assert [str(warning) for warning in loads(DUAL + text, "f.toml").warnings][:1] == [expected]
