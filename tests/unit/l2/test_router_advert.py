"""What a router advertises, and when (RFC 4861 6.2, RFC 4191, RFC 8106, RFC 8781, RFC 7084 4.3)."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.l2.bed6 import ALL_NODES, LAN_LL, LAN_MAC, OTHER_LL, PEER_LL, PEER_MAC, SECOND, Bed6
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.l2.router_advert import (
    MAX_LISTED,
    MAX_WITHDRAWN,
    RaConf,
    RaPref64,
    RaPrefix,
    RaRoute,
)
from vrouter.stack.wire.ndp import RouterAdvertisement
from vrouter.stack.wire.ndp_options import HIGH, LOW, NameServers, Nat64Prefix, Prefix, RoutePrefix, SearchList
from vrouter.testing import frames6

ONE = parse_ipv6("2001:db8:1::")
TWO = parse_ipv6("2001:db8:2::")
OWN = Prefix(ONE, 64, 2592000, 604800)
Timeline = list[tuple[int, tuple[str, str, RouterAdvertisement]]]


def advertising(conf: RaConf | None = None, seed: int = 1) -> Bed6:
    bed = Bed6(seed, forwarding=True)
    bed.ndp.set_ra(bed.lan, conf or RaConf(), bed.now)
    return bed


def first(conf: RaConf) -> RouterAdvertisement:
    """The first advertisement of a configuration."""
    [(_, (_, _, message))] = advertising(conf).timeline(SECOND)
    return message


def solicit(bed: Bed6, src: str = PEER_LL) -> None:
    message = frames6.router_solicitation(src, frames6.ALL_ROUTERS, mac=PEER_MAC)
    assert bed.receive(message, src, frames6.ALL_ROUTERS) == (0, [])


def times(timeline: Timeline) -> list[int]:
    return [at for at, _ in timeline]


def gaps(found: list[int]) -> list[int]:
    return [then - at for at, then in pairwise(found)]


def prefixes(timeline: Timeline) -> list[list[Prefix]]:
    return [message.prefixes for _, (_, _, message) in timeline]


# ---------------------------------------------------------------------------------------------------- what


def test_by_default_the_own_prefixes_are_told() -> None:
    """RFC 4861 6.2.1's defaults, from the link-local address to all nodes, with the link-layer address."""
    [(_, (src, dst, message))] = advertising().timeline(SECOND)
    assert (src, dst) == (LAN_LL, ALL_NODES)
    assert message == RouterAdvertisement(hop_limit=64, lifetime=1800, source_mac=LAN_MAC, prefixes=[OWN])


def test_everything_can_be_told() -> None:
    """RFC 4861 4.2 and 4.6, RFC 4191 2, RFC 8106 5, RFC 8781 4."""
    conf = RaConf(
        prefixes=(RaPrefix(TWO, 64, 7200, 3600), RaPrefix(ONE, 56, 100, 50, on_link=False, autonomous=False)),
        lifetime=9000,
        reachable=30000,
        retrans=500,
        hop_limit=33,
        mtu=1400,
        rdnss=(parse_ipv6("2001:db8::53"), parse_ipv6("fe80::53")),
        rdnss_lifetime=77,
        dnssl=("example.net", "lab.example"),
        managed=True,
        other=True,
        preference="high",
        routes=(RaRoute(TWO, 48, "low", 99), RaRoute(0, 0)),
        pref64=RaPref64(parse_ipv6("64:ff9b::"), 96, 80),
        min_interval=200,
        max_interval=400,
    )
    assert first(conf) == RouterAdvertisement(
        33,
        True,
        True,
        HIGH,
        9000,
        30000,
        500,
        LAN_MAC,
        1400,
        [Prefix(TWO, 64, 7200, 3600), Prefix(ONE, 56, 100, 50, on_link=False, autonomous=False)],
        [RoutePrefix(TWO, 48, 99, LOW), RoutePrefix(0, 0, 1200)],
        [NameServers(77, [parse_ipv6("2001:db8::53"), parse_ipv6("fe80::53")])],
        [SearchList(77, ["example.net", "lab.example"])],
        [Nat64Prefix(parse_ipv6("64:ff9b::"), 96, 80)],
    )


def test_lifetimes_follow_the_longest_interval() -> None:
    """RFC 4861 6.2.1, RFC 8106 5.1, RFC 8781 4.1: three times MaxRtrAdvInterval, the latter in steps of 8 s."""
    message = first(
        RaConf(max_interval=100, rdnss=(1,), dnssl=("a",), routes=(RaRoute(TWO, 48),), pref64=RaPref64(0, 96))
    )
    assert message.lifetime == 300
    assert message.name_servers[0].lifetime == message.search_lists[0].lifetime == 300
    assert message.routes[0].lifetime == 300
    assert message.nat64[0].lifetime == 304


def test_the_preference_of_no_default_router_is_medium() -> None:
    """RFC 4191 2.2: with a lifetime of 0 the preference must be 00."""
    message = first(RaConf(lifetime=0, preference="high"))
    assert (message.lifetime, message.preference) == (0, 0)


def test_only_prefixes_of_64_bits_are_for_autoconfiguration() -> None:
    """RFC 4862 5.5.3 d: hosts ignore others. Host addresses, other scopes and what was learned are not told."""
    bed = Bed6(forwarding=True)
    bed.address(bed.lan, "2001:db8:7::1/56")
    bed.address(bed.lan, "2001:db8:8::1/128")
    bed.address(bed.lan, "2001:db8:9::1/64").origin = "ra"
    bed.ndp.set_ra(bed.lan, RaConf(), bed.now)
    assert prefixes(bed.timeline(SECOND)) == [
        [OWN, Prefix(parse_ipv6("2001:db8:7::"), 56, 2592000, 604800, autonomous=False)]
    ]


def test_what_does_not_fit_goes_in_another_message() -> None:
    """RFC 4861 6.2.3: several advertisements with a subset of the options each; all fit the link."""
    many = tuple(RaPrefix(ONE + (number << 64), 64) for number in range(60))
    bed = advertising(RaConf(prefixes=many, rdnss=tuple(range(1, 31)), mtu=1280))
    bed.lan.mtu = 1280
    bed.advance(SECOND)
    packets = bed.sent()
    assert [40 + len(pkt) for pkt in packets] == [72 + 37 * 32, 72 + 23 * 32, 72 + 8 + 30 * 16]
    told = [RouterAdvertisement.parse(pkt.buf, pkt.start, pkt.end) for pkt in packets]
    assert [one.prefix for message in told if message for one in message.prefixes] == [one.prefix for one in many]
    assert all(message and message.lifetime == 1800 and message.source_mac == LAN_MAC for message in told)


# ---------------------------------------------------------------------------------------------------- when


def test_the_first_three_come_soon() -> None:
    """RFC 4861 6.2.4: the first MAX_INITIAL_RTR_ADVERTISEMENTS at most 16 s apart, later ones at random between the
    intervals."""
    found = times(advertising().timeline(3600 * SECOND))
    assert found[0] <= 500
    assert gaps(found)[:2] == [16000, 16000]
    later = gaps(found)[2:]
    assert len(later) >= 5
    assert all(198_000 <= gap <= 600_000 for gap in later)
    assert len(set(later)) == len(later)


def test_short_intervals_are_kept_from_the_start() -> None:
    """RFC 4861 6.2.4: 16 s is an upper bound; MinRtrAdvInterval defaults to a third of the maximum, at least 3 s."""
    found = gaps(times(advertising(RaConf(max_interval=4)).timeline(60 * SECOND)))
    assert all(3000 <= gap <= 4000 for gap in found)


def test_a_solicitation_is_answered_to_all_within_half_a_second() -> None:
    """RFC 4861 6.2.6: after a random delay up to MAX_RA_DELAY_TIME; the interval begins anew."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    solicit(bed)
    found = bed.timeline(150 * SECOND)
    assert [(0 <= at <= 500, what[:2]) for at, what in found] == [(True, (LAN_LL, ALL_NODES))]


def test_advertisements_are_three_seconds_apart() -> None:
    """RFC 4861 6.2.6: MIN_DELAY_BETWEEN_RAS, however often somebody asks."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    found: list[int] = []
    for step in range(100):
        solicit(bed, f"fe80::{step + 256:x}")
        found += [step * 200 + at for at in times(bed.timeline(SECOND // 5))]
    assert len(found) in (6, 7)
    assert all(3000 <= gap <= 3700 for gap in gaps(found))


def test_a_solicitation_does_not_put_off_what_is_due() -> None:
    """RFC 4861 6.2.6: if the next unsolicited one comes earlier, nothing is to be done."""
    bed = advertising(RaConf(max_interval=4))
    found: list[int] = []
    for step in range(100):
        solicit(bed)
        found += [step * 100 + at for at in times(bed.timeline(SECOND // 10))]
    assert all(3000 <= gap <= 4000 for gap in gaps(found))


@pytest.mark.parametrize("lacking", ["forwarding", "ready", "address"])
def test_only_a_ready_router_with_a_link_local_address_advertises(lacking: str) -> None:
    """RFC 4861 6.2.2: an interface becomes an advertising one when it is enabled, configured so, and can forward."""
    bed = Bed6(forwarding=lacking != "forwarding")
    local = bed.lan.addresses[0]
    if lacking == "ready":
        bed.lan.up = False
        bed.lan.refresh()
    if lacking == "address":
        local.state = "tentative"
    bed.ndp.set_ra(bed.lan, RaConf(), bed.now)
    assert bed.timeline(1000 * SECOND) == []
    if lacking == "forwarding":
        bed.change(bed.lan, forwarding=True)
    elif lacking == "ready":
        bed.lan.up = True
        bed.lan.refresh()
        bed.ndp.device_ready(bed.lan, bed.now)
    else:
        bed.ndp.dad.start(local, bed.now)
        bed.advance(2 * SECOND)
    assert any(isinstance(what[2], RouterAdvertisement) for _, what in bed.timeline(3 * SECOND))


# ---------------------------------------------------------------------------------------------------- the end


def test_it_ceases_three_times() -> None:
    """RFC 4861 6.2.5: up to MAX_FINAL_RTR_ADVERTISEMENTS with a lifetime of 0; then silence."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.ndp.set_ra(bed.lan, None, bed.now)
    found = bed.timeline(1000 * SECOND)
    assert times(found) == [0, 3000, 6000]
    assert [message.lifetime for _, (_, _, message) in found] == [0, 0, 0]
    assert len(bed.stack.timers) == 0
    message = frames6.router_solicitation(PEER_LL, frames6.ALL_ROUTERS)
    assert bed.receive(message, PEER_LL, frames6.ALL_ROUTERS) == (DropReason.ICMP_IGNORED, [])


def test_a_router_that_becomes_a_host_ceases() -> None:
    """RFC 4861 6.2.5: when IP forwarding is disabled; and begins as in the beginning when it is a router again."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.change(bed.lan, forwarding=False)
    assert [message.lifetime for _, (_, _, message) in bed.timeline(2 * SECOND)] == [0]
    bed.change(bed.lan, forwarding=True)
    found = bed.timeline(40 * SECOND)
    assert [message.lifetime for _, (_, _, message) in found] == [1800, 1800, 1800]
    assert 1000 <= times(found)[0] <= 1500


def test_a_device_that_is_taken_down_says_so_once() -> None:
    """RFC 4861 6.2.5: system management; there is time for one."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.ndp.device_stopping(bed.lan, bed.now)
    assert [message.lifetime for _, _, message in bed.told()] == [0]
    bed.lan.up = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)
    assert bed.timeline(1000 * SECOND) == []


def test_a_namespace_that_ends_says_so_at_each_device() -> None:
    """RFC 4861 6.2.5: shutting down the system."""
    bed = advertising()
    bed.ndp.set_ra(bed.wan, RaConf(), bed.now)
    bed.timeline(100 * SECOND)
    bed.ndp.stopping(bed.now)
    assert [(src, message.lifetime) for src, _, message in bed.told()] == [(LAN_LL, 0), ("fe80::2", 0)]
    assert bed.timeline(1000 * SECOND) == []


def test_a_lost_carrier_silences() -> None:
    """Nobody would hear it."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.lan.carrier = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)
    assert bed.timeline(1000 * SECOND) == []
    assert len(bed.stack.timers) == 0


def test_a_device_without_ipv6_keeps_its_configuration() -> None:
    """disable_ipv6 ends it, and it goes on afterwards; a device that has left the namespace is forgotten."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.ndp.device_removed(bed.lan, bed.now)
    assert bed.timeline(1000 * SECOND) == []
    bed.ndp.device_ready(bed.lan, bed.now)
    assert len(bed.timeline(SECOND)) == 1
    bed.lan.removed = True
    bed.ndp.device_removed(bed.lan, bed.now)
    assert (bed.ndp.advertisers, len(bed.stack.timers)) == ({}, 0)


# -------------------------------------------------------------------------------------------------- changes of prefixes


def test_a_new_prefix_is_told_soon() -> None:
    """RFC 4861 6.2.4: after a change as in the beginning."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.ndp.dad.start(bed.address(bed.lan, "2001:db8:3::1/64"), bed.now)
    bed.timeline(3 * SECOND)
    bed.timeline(10 * SECOND)
    found = bed.timeline(10 * SECOND)
    assert [len(one) for one in prefixes(found)] == [2]


def test_a_prefix_that_goes_is_deprecated() -> None:
    """RFC 7084 L-13: preferred lifetime 0, valid lifetime at most two hours, counting down in real time, until over."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.remove(bed.lan.addresses[1])
    found = bed.timeline(8000 * SECOND)
    assert 0 <= times(found)[0] <= 500
    for at, (_, _, message) in found:
        left = 7200 - (at - times(found)[0]) // 1000
        expected = [Prefix(ONE, 64, left, 0)] if left > 0 else []
        assert [replace(one, valid=left) for one in message.prefixes] == expected
        assert all(abs(one.valid - left) <= 1 for one in message.prefixes)
    assert times(found)[-1] > 7_200_000


def test_a_short_prefix_is_deprecated_for_as_long_as_it_was_promised() -> None:
    """RFC 7084 L-13: the lower of the current valid lifetime and two hours."""
    bed = advertising(RaConf(prefixes=(RaPrefix(TWO, 64, 100, 50),), max_interval=4))
    bed.timeline(10 * SECOND)
    bed.ndp.set_ra(bed.lan, RaConf(prefixes=(), max_interval=4), bed.now)
    found = bed.timeline(200 * SECOND)
    assert prefixes(found)[0] == [Prefix(TWO, 64, 100, 0)]
    assert max(at for at, what in found if what[2].prefixes) <= 104_000


def test_a_prefix_that_comes_back_is_told_as_before() -> None:
    """It is not deprecated any more."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    gone = bed.lan.addresses[1]
    bed.remove(gone)
    bed.timeline(10 * SECOND)
    bed.address(bed.lan, "2001:db8:1::1/64")
    bed.ndp.address_added(gone, bed.now)
    assert prefixes(bed.timeline(4 * SECOND)) == [[OWN]]


def test_deprecated_prefixes_are_bounded() -> None:
    """However often the configuration changes."""
    bed = advertising(RaConf(max_interval=4))
    for number in range(100):
        bed.ndp.set_ra(bed.lan, RaConf(prefixes=(RaPrefix(TWO + (number << 64)),), max_interval=4), bed.now)
        bed.timeline(4 * SECOND)
    [advertiser] = bed.ndp.advertisers.values()
    assert len(advertiser.withdrawn) == MAX_WITHDRAWN


def test_another_configuration_is_told_soon() -> None:
    """RFC 4861 6.2.4; the same configuration again changes nothing."""
    bed = advertising()
    bed.timeline(100 * SECOND)
    bed.ndp.set_ra(bed.lan, RaConf(), bed.now)
    assert bed.timeline(SECOND) == []
    bed.ndp.set_ra(bed.lan, RaConf(managed=True), bed.now)
    assert [message.managed for _, (_, _, message) in bed.timeline(SECOND)] == [True]


# ---------------------------------------------------------------------------------------------------- other routers


def told(bed: Bed6) -> list[dict[str, Any]]:
    return [event.fields for event in bed.stack.events.take() if event.kind is EventKind.RA_INCONSISTENT]


@pytest.mark.parametrize(
    ("fields", "options", "names"),
    [
        ({"hop_limit": 32}, [], ["hop_limit"]),
        ({"flags": 0x80}, [], ["managed"]),
        ({"flags": 0x40}, [], ["other"]),
        ({"reachable": 5}, [], ["reachable"]),
        ({"retrans": 6}, [], ["retrans"]),
        ({}, [frames6.nd_mtu(1300)], ["mtu"]),
        ({}, [frames6.nd_prefix("2001:db8:1::", valid=9, preferred=9)], ["2001:db8:1::/64"]),
        ({}, [frames6.nd_prefix("2001:db8:1::", valid=2592000, preferred=604800)], []),
        ({}, [frames6.nd_prefix("2001:db8:5::", valid=9, preferred=9)], []),
        ({"lifetime": 77, "hop_limit": 0}, [], []),
        ({"flags": 0x08}, [], []),
    ],
)
def test_other_routers_are_compared(fields: dict[str, int], options: list[bytes], names: list[str]) -> None:
    """RFC 4861 6.2.7: what both say and say differently is told; lifetimes of routers, other prefixes and what is left
    unsaid (0) is no inconsistency."""
    bed = advertising(RaConf(reachable=1000, retrans=1000, mtu=1400))
    bed.timeline(SECOND)
    assert bed.ra(*options, src=OTHER_LL, **fields) == 0
    expected = [{"router": OTHER_LL, "fields": names}] if names else []
    assert told(bed) == expected


def test_differences_are_told_once_a_minute() -> None:
    """A hostile router fills no log."""
    bed = advertising()
    bed.timeline(SECOND)
    for _ in range(5):
        bed.ra(hop_limit=9)
    assert len(told(bed)) == 1
    bed.advance(60 * SECOND)
    bed.ra(hop_limit=9)
    assert len(told(bed)) == 1


# ---------------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("conf", "field"),
    [
        (RaConf(max_interval=3), "max_interval"),
        (RaConf(max_interval=1801), "max_interval"),
        (RaConf(min_interval=2), "min_interval"),
        (RaConf(min_interval=451, max_interval=600), "min_interval"),
        (RaConf(lifetime=599, max_interval=600), "lifetime"),
        (RaConf(lifetime=9001), "lifetime"),
        (RaConf(reachable=3_600_001), "reachable"),
        (RaConf(retrans=-1), "retrans"),
        (RaConf(hop_limit=256), "hop_limit"),
        (RaConf(mtu=1279), "mtu"),
        (RaConf(preference="best"), "preference"),
        (RaConf(rdnss_lifetime=1 << 32), "rdnss_lifetime"),
        (RaConf(rdnss=tuple(range(MAX_LISTED + 1))), "rdnss"),
        (RaConf(dnssl=("a b",)), "dnssl"),
        (RaConf(dnssl=tuple(f"{'a' * 60}.{number}.example" for number in range(40))), "dnssl"),
        (RaConf(prefixes=(RaPrefix(ONE, 64, 5, 6),)), "prefixes"),
        (RaConf(prefixes=(RaPrefix(ONE + 1, 64),)), "prefixes"),
        (RaConf(prefixes=(RaPrefix(parse_ipv6("fe80::"), 64),)), "prefixes"),
        (RaConf(routes=(RaRoute(ONE, 64, "best"),)), "routes"),
        (RaConf(routes=(RaRoute(ONE, 16),)), "routes"),
        (RaConf(pref64=RaPref64(0, 80)), "pref64"),
        (RaConf(pref64=RaPref64(0, 96, 65529)), "pref64"),
    ],
)
def test_configurations_keep_the_bounds(conf: RaConf, field: str) -> None:
    """RFC 4861 6.2.1, RFC 4191 2, RFC 8106 5, RFC 8781 4: named by their field, and refused."""
    assert [name for name, _ in conf.problems()] == [field]
    bed = Bed6()
    with pytest.raises(ValueError, match=field):
        bed.ndp.set_ra(bed.lan, conf, bed.now)
    assert bed.ndp.advertisers == {}


def test_the_defaults_are_right() -> None:
    """RFC 4861 6.2.1."""
    conf = RaConf()
    assert conf.problems() == []
    assert (conf.max_interval, conf.shortest, conf.router_lifetime) == (600, 198, 1800)
    assert (RaConf(max_interval=4).shortest, RaConf(max_interval=4).problems()) == (3, [])
    assert RaConf(max_interval=1800).router_lifetime == 5400
