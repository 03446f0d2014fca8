"""The host's side: solicitations, and what is made of advertisements (RFC 4861 6.3, RFC 7559, RFC 4191, RFC 8106)."""

from itertools import pairwise
from struct import pack
from typing import Any

import pytest

from tests.unit.l2.bed6 import LAN_MAC, MS, OTHER_LL, OTHER_MAC, PEER_LL, SECOND, Bed6
from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.l2.discovery import MAX_DOMAINS, MAX_NAT64, MAX_PREFIXES, MAX_ROUTERS, MAX_ROUTES, MAX_SERVERS
from vrouter.stack.wire.ndp import RouterSolicitation
from vrouter.stack.wire.ndp_options import HIGH, LOW, NameServers, Nat64Prefix, RoutePrefix, SearchList
from vrouter.testing import frames6

IGNORED = DropReason.ICMP_IGNORED
DEFAULT = "default"


def host(seed: int = 1, **conf6: Any) -> Bed6:
    conf6.setdefault("dad_transmits", 0)
    conf6.setdefault("autoconf", False)
    bed = Bed6(seed, **conf6)
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    return bed


def hear(bed: Bed6, *options: bytes, **fields: Any) -> None:
    assert bed.ra(*options, **fields) == 0
    bed.sent()


def times(bed: Bed6, ns: int) -> list[int]:
    """When solicitations go out, in ms."""
    found = bed.timeline(ns)
    assert all(what == ("fe80::1", "ff02::2", RouterSolicitation(LAN_MAC)) for _, what in found)
    return [at for at, _ in found]


def route(prefix: str, length: int, lifetime: int = 1800, preference: int = 0) -> bytes:
    return RoutePrefix(parse_ipv6(prefix), length, lifetime, preference).encode()


# ---------------------------------------------------------------------------------------------------- solicitations


def test_a_host_asks_for_routers_with_growing_pauses() -> None:
    """RFC 4861 6.3.7, RFC 7559 2: after up to a second, then 4 s, then twice the pause before, within a tenth."""
    found = times(host(), 600 * SECOND)
    assert found[0] <= 1000
    pauses = [then - at for at, then in pairwise(found)]
    assert 3600 <= pauses[0] <= 4400
    ratios = [then / pause for pause, then in pairwise(pauses)]
    assert len(ratios) >= 5
    assert all(1.9 <= ratio <= 2.1 for ratio in ratios)


def test_pauses_grow_up_to_an_hour() -> None:
    """RFC 7559 2: MRT 3600 s and a tenth more or less, without an end (MRC 0)."""
    found = times(host(), 100_000 * SECOND)
    assert 30 <= len(found) <= 40
    assert all(3240_000 <= then - at <= 3960_000 for at, then in pairwise(found[-15:]))


def test_the_number_of_solicitations_is_a_setting() -> None:
    """Linux's router_solicitations: -1 without end, 0 none."""
    assert len(times(host(router_solicitations=3), 1000 * SECOND)) == 3
    assert times(host(router_solicitations=0), 1000 * SECOND) == []


def test_a_router_that_answers_ends_them() -> None:
    """RFC 4861 6.3.7, RFC 7559 2: a valid advertisement with a lifetime."""
    bed = host()
    times(bed, 2 * SECOND)
    hear(bed, lifetime=0)
    assert len(times(bed, 5 * SECOND)) == 1
    hear(bed, lifetime=9000)
    assert times(bed, 1000 * SECOND) == []


def test_one_is_sent_even_if_a_router_spoke_before() -> None:
    """RFC 4861 6.3.7: unsolicited advertisements may be incomplete."""
    bed = host(router_solicitation_delay=SECOND)
    hear(bed, lifetime=9000)
    assert len(times(bed, 2 * SECOND)) == 1
    hear(bed, lifetime=9000)
    assert times(bed, 1000 * SECOND) == []


def test_when_the_last_router_is_gone_they_begin_anew() -> None:
    """There may be another one (RFC 7559 1: until a default router is known)."""
    bed = host()
    times(bed, 2 * SECOND)
    hear(bed, lifetime=100)
    found = times(bed, 103 * SECOND)
    assert [100_000 <= at <= 101_000 for at in found] == [True]


def test_they_wait_for_a_link_local_address() -> None:
    """RFC 4861 4.1: from an address of the interface, which is tentative first (RFC 4862 5.4)."""
    bed = Bed6(autoconf=False, router_solicitation_delay=0)
    local = bed.lan.addresses[0]
    local.state = "tentative"
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    assert bed.timeline(5 * SECOND) == []
    bed.ndp.dad.start(local, bed.now)
    found = [(at, src) for at, (src, _, value) in bed.timeline(2 * SECOND) if isinstance(value, RouterSolicitation)]
    assert found == [(1000, "fe80::1")]


def test_they_begin_again_with_the_device() -> None:
    """RFC 4861 6.3.7: when the interface is reinitialised; nothing is sent in between."""
    bed = host()
    times(bed, 100 * SECOND)
    bed.lan.carrier = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)
    assert times(bed, 1000 * SECOND) == []
    bed.lan.carrier = True
    bed.lan.refresh()
    bed.ndp.device_ready(bed.lan, bed.now)
    found = times(bed, 5600 * MS)
    assert len(found) == 2
    assert found[0] <= 1000


@pytest.mark.parametrize(
    ("conf6", "hears"),
    [
        ({"accept_ra": 0}, False),
        ({"accept_ra": 1}, True),
        ({"accept_ra": 1, "forwarding": True}, False),
        ({"accept_ra": 2, "forwarding": True}, True),
    ],
)
def test_who_hears_routers(conf6: dict[str, Any], hears: bool) -> None:
    """Linux's accept_ra: 0 never, 1 as a host, 2 as a router too. Who does not hear does not ask either."""
    bed = host(**conf6)
    assert (times(bed, 2 * SECOND) != []) is hears
    assert bed.ra() == (0 if hears else IGNORED)


def test_only_who_was_asked_to_hears_routers() -> None:
    """A device takes part when its configuration says so."""
    bed = Bed6(dad_transmits=0)
    assert bed.ra() == IGNORED
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    hear(bed, frames6.nd_prefix("2001:db8:5::"))
    bed.ndp.hosts.set_autoconf(bed.lan, False, bed.now)
    bed.sent()
    assert (bed.routes, bed.shown(), len(bed.stack.timers)) == ({}, {}, 0)
    assert bed.ra() == IGNORED


def test_a_host_that_becomes_a_router_forgets_its_routers() -> None:
    """RFC 4861 6.2.2: a router takes its routes from elsewhere; and the other way it asks again (6.3.7)."""
    bed = host()
    times(bed, 2 * SECOND)
    hear(bed)
    assert bed.routes == {(DEFAULT, PEER_LL): 1024}
    bed.change(bed.lan, forwarding=True)
    bed.sent()
    assert bed.routes == {}
    assert times(bed, 100 * SECOND) == []
    bed.change(bed.lan, forwarding=False)
    assert len(times(bed, 2 * SECOND)) == 1


# -------------------------------------------------------------------------------------------------- routers and routes


def test_a_router_is_a_default_route_for_its_lifetime() -> None:
    """RFC 4861 6.3.4: entered, prolonged, ended by time or by a lifetime of 0."""
    bed = host()
    hear(bed, lifetime=100)
    assert bed.routes == {(DEFAULT, PEER_LL): 1024}
    bed.advance(60 * SECOND)
    hear(bed, lifetime=100)
    bed.advance(99 * SECOND)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1024}
    bed.advance(SECOND)
    bed.sent()
    assert bed.routes == {}
    hear(bed)
    hear(bed, lifetime=0)
    assert bed.routes == {}


def test_routers_have_preferences() -> None:
    """RFC 4191 2.2, 3.2: high before medium before low; a reserved value is medium."""
    bed = host()
    hear(bed, flags=0x08)
    assert bed.routes == {(DEFAULT, PEER_LL): 1023}
    hear(bed, flags=0x18)
    assert bed.routes == {(DEFAULT, PEER_LL): 1025}
    hear(bed, flags=0x10)
    assert bed.routes == {(DEFAULT, PEER_LL): 1024}


@pytest.mark.parametrize(
    ("conf6", "routes"),
    [
        ({"accept_ra_defrtr": False}, {}),
        ({"accept_ra_rtr_pref": False}, {(DEFAULT, PEER_LL): 1024}),
        ({"ra_defrtr_metric": 50}, {(DEFAULT, PEER_LL): 49}),
        ({"ra_defrtr_metric": 1}, {(DEFAULT, PEER_LL): 1}),
    ],
)
def test_default_routers_are_a_setting(conf6: dict[str, Any], routes: dict[Any, int]) -> None:
    """Linux's accept_ra_defrtr, accept_ra_rtr_pref and ra_defrtr_metric."""
    bed = host(**conf6)
    hear(bed, flags=0x08)
    assert bed.routes == routes


def test_who_does_not_answer_stands_behind() -> None:
    """RFC 4861 6.3.6, RFC 4191 3.2: one that may be reached before one that is not; the last to fail at the end, so
    that all are tried in turn; trusted again when it speaks."""
    bed = host()
    hear(bed, flags=0x08)
    hear(bed, src=OTHER_LL, mac=OTHER_MAC, flags=0x18)
    peer, other = scoped(parse_ipv6(PEER_LL), 1), scoped(parse_ipv6(OTHER_LL), 1)
    bed.ndp.next_hop_failed(bed.lan, peer, bed.now)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1026, (DEFAULT, OTHER_LL): 1025}
    bed.ndp.next_hop_failed(bed.lan, other, bed.now)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1026, (DEFAULT, OTHER_LL): 1027}
    bed.ndp.next_hop_failed(bed.lan, peer, bed.now)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1027, (DEFAULT, OTHER_LL): 1026}
    hear(bed, flags=0x08)
    assert bed.routes == {(DEFAULT, PEER_LL): 1023, (DEFAULT, OTHER_LL): 1026}
    bed.neigh6.learn(bed.lan, other, OTHER_MAC, bed.now)
    assert bed.advertise(OTHER_LL, mac=OTHER_MAC, router=True, solicited=True) == 0
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1023, (DEFAULT, OTHER_LL): 1025}
    bed.ndp.next_hop_failed(bed.lan, parse_ipv6("2001:db8:1::77"), bed.now)
    assert bed.ndp.actions == []


def test_a_router_that_answers_no_question_has_failed() -> None:
    """RFC 4861 7.3.3: unreachability detection says so, whether packets wait for it or not."""
    bed = host()
    hear(bed)
    pkt = Packet.for_payload(b"x")
    bed.neigh6.output(bed.lan, scoped(parse_ipv6(PEER_LL), 1), pkt, bed.now)
    bed.advance(7 * SECOND)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1024}
    bed.advance(SECOND)
    bed.sent()
    assert bed.routes == {(DEFAULT, PEER_LL): 1026}


def test_who_stops_to_be_a_router_is_none_any_more() -> None:
    """RFC 4861 7.2.5, 7.3.3: an advertisement without the router flag takes its routes away."""
    bed = host(accept_ra_rt_info_max_plen=64)
    hear(bed, route("2001:db8:7::", 48))
    assert bed.advertise(PEER_LL, router=True, solicited=True) == 0
    bed.sent()
    assert sorted(bed.routes) == [("2001:db8:7::/48", PEER_LL), (DEFAULT, PEER_LL)]
    assert bed.advertise(PEER_LL, solicited=True) == 0
    bed.sent()
    assert bed.routes == {}


def test_more_specific_routes() -> None:
    """RFC 4191 2.3, 3.1: by their length's settings (off by default, as in Linux), with preference and lifetime."""
    bed = host()
    hear(bed, route("2001:db8:7::", 48), lifetime=0)
    assert bed.routes == {}
    bed.configure(bed.lan, accept_ra_rt_info_min_plen=40, accept_ra_rt_info_max_plen=64)
    hear(
        bed,
        route("2001:db8:7::", 48, 100, HIGH),
        route("2001:db8:8::", 65),
        route("2001:d00::", 39),
        route("2001:db8:9::", 64, 50, LOW),
        lifetime=0,
    )
    assert bed.routes == {("2001:db8:7::/48", PEER_LL): 1023, ("2001:db8:9::/64", PEER_LL): 1025}
    hear(bed, route("2001:db8:7::", 48, 0), lifetime=0)
    assert bed.routes == {("2001:db8:9::/64", PEER_LL): 1025}
    bed.advance(50 * SECOND)
    bed.sent()
    assert bed.routes == {}


def test_a_default_route_of_its_own_says_more_than_the_header() -> None:
    """RFC 4191 3.1: a Route Information Option for ::/0 overrides lifetime and preference of the router."""
    bed = host()
    hear(bed, route("::", 0, 100, HIGH), lifetime=0)
    assert bed.routes == {(DEFAULT, PEER_LL): 1023}
    bed.advance(100 * SECOND)
    bed.sent()
    assert bed.routes == {}
    hear(bed, route("::", 0, 0), lifetime=1800)
    assert bed.routes == {}


# ---------------------------------------------------------------------------------------------------- the link


def test_prefixes_of_the_link_are_routes() -> None:
    """RFC 4861 6.3.4: with L, for the valid lifetime, which may end at once; link-local ones are ignored."""
    bed = host()
    hear(
        bed,
        frames6.nd_prefix("2001:db8:5::", flags=0x80, valid=100),
        frames6.nd_prefix("2001:db8:6::", flags=0x40),
        frames6.nd_prefix("fe80::", flags=0xC0),
        frames6.nd_prefix("ff02::", flags=0xC0),
        frames6.nd_prefix("2001:db8:7::", 48, flags=0x80, valid=0xFFFFFFFF),
        lifetime=0,
    )
    assert bed.routes == {("2001:db8:5::/64", "link"): 256, ("2001:db8:7::/48", "link"): 256}
    bed.advance(100 * SECOND)
    bed.sent()
    assert bed.routes == {("2001:db8:7::/48", "link"): 256}
    hear(bed, frames6.nd_prefix("2001:db8:7::", 48, flags=0x80, valid=0, preferred=0), lifetime=0)
    assert bed.routes == {}


@pytest.mark.parametrize(
    ("fields", "options", "settings"),
    [
        ({"hop_limit": 33}, [], {"net.ipv6.conf.lan.hop_limit": 33}),
        ({"hop_limit": 64}, [], {}),
        ({"hop_limit": 0}, [], {}),
        ({"reachable": 5000}, [], {"net.ipv6.neigh.lan.base_reachable_time_ms": 5000}),
        ({"reachable": 30000}, [], {}),
        ({"reachable": 3_600_001}, [], {}),
        ({"retrans": 200}, [], {"net.ipv6.neigh.lan.retrans_time_ms": 200}),
        ({"retrans": 9}, [], {}),
        ({"retrans": 0xFFFFFFFF}, [], {}),
        ({}, [frames6.nd_mtu(1400)], {"net.ipv6.conf.lan.mtu": 1400}),
        ({}, [frames6.nd_mtu(1500)], {}),
        ({}, [frames6.nd_mtu(1279)], {}),
        ({}, [frames6.nd_mtu(1501)], {}),
    ],
)
def test_settings_of_the_link(fields: dict[str, int], options: list[bytes], settings: dict[str, int]) -> None:
    """RFC 4861 6.3.4: hop limit, reachable and retransmission time if told and possible; MTU from 1280 to ours."""
    bed = host()
    hear(bed, *options, **fields)
    assert bed.settings == settings


def test_settings_of_the_link_may_be_refused() -> None:
    """Linux's accept_ra_min_hop_limit and accept_ra_mtu."""
    bed = host(accept_ra_min_hop_limit=40, accept_ra_mtu=False)
    hear(bed, frames6.nd_mtu(1400), hop_limit=39)
    assert bed.settings == {}


def test_names_and_flags_are_kept_to_be_asked_for() -> None:
    """RFC 8106 6, RFC 8781 5, RFC 4861 4.2: servers, search list and NAT64 until their lifetimes end; M and O."""
    bed = host()
    server, pool = parse_ipv6("2001:db8::53"), parse_ipv6("64:ff9b::")
    hear(
        bed,
        NameServers(100, [server]).encode(),
        SearchList(50, ["example.net"]).encode(),
        Nat64Prefix(pool, 96, 80).encode(),
        flags=0xC0,
    )
    known = bed.ndp.hosts.learned(bed.lan)
    assert known is not None
    assert (known.managed, known.other) == (True, True)
    assert (list(known.servers), list(known.domains), list(known.nat64)) == ([server], ["example.net"], [(pool, 96)])
    bed.advance(50 * SECOND)
    assert (list(known.servers), list(known.domains), list(known.nat64)) == ([server], [], [(pool, 96)])
    hear(bed, NameServers(0, [server]).encode(), Nat64Prefix(pool, 96, 0).encode())
    assert (known.servers, known.nat64) == ({}, {})


# ---------------------------------------------------------------------------------------------------- hostile routers


def test_every_list_is_bounded() -> None:
    """RFC 6583, RFC 4861 11: whoever floods the link fills no memory; what was there first stays."""
    bed = host(accept_ra_rt_info_max_plen=64)
    for number in range(100):
        hear(
            bed,
            frames6.nd_prefix(f"2001:db8:{number:x}::"),
            route(f"2001:db8:{number:x}::", 48),
            NameServers(1000, [number + 1]).encode(),
            SearchList(1000, [f"n{number}"]).encode(),
            Nat64Prefix(number << 64, 96, 1000).encode(),
            src=f"fe80::{number + 256:x}",
        )
    known = bed.ndp.hosts.learned(bed.lan)
    assert known is not None
    assert list(known.routers) == [scoped(parse_ipv6(f"fe80::{number + 256:x}"), 1) for number in range(MAX_ROUTERS)]
    assert [len(table) for table in (known.prefixes, known.routes)] == [MAX_PREFIXES, MAX_ROUTES]
    assert [len(table) for table in (known.servers, known.domains, known.nat64)] == [
        MAX_SERVERS,
        MAX_DOMAINS,
        MAX_NAT64,
    ]
    assert len(bed.routes) == MAX_ROUTERS + MAX_PREFIXES + MAX_ROUTES
    assert len(bed.stack.timers) <= 3


def test_all_of_it_ends_with_the_lifetimes() -> None:
    """No entry and no timer is left."""
    bed = host()
    bed.timeline(2 * SECOND)
    hear(bed, frames6.nd_prefix("2001:db8:5::", valid=60, preferred=60), NameServers(70, [5]).encode(), lifetime=65)
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    bed.configure(bed.lan, router_solicitations=0)
    bed.timeline(71 * SECOND)
    known = bed.ndp.hosts.learned(bed.lan)
    assert known is not None
    assert (known.routers, known.prefixes, known.servers, bed.routes) == ({}, {}, {}, {})
    assert known.lifetimes.deadline == known.solicitations.deadline == -1


def test_a_removed_device_is_forgotten() -> None:
    """Its routes and addresses go with it; a device that only lost IPv6 goes on to take part."""
    bed = host()
    hear(bed, frames6.nd_prefix("2001:db8:5::"))
    bed.ndp.device_removed(bed.lan, bed.now)
    assert bed.ndp.hosts.hears(bed.lan)
    bed.lan.removed = True
    bed.ndp.device_removed(bed.lan, bed.now)
    assert (bed.ndp.hosts.hosts, len(bed.stack.timers)) == ({}, 0)


def test_options_that_are_unknown_are_passed_over() -> None:
    """RFC 4861 6.1.2: the rest of the message counts."""
    bed = host()
    hear(bed, pack("!BBH4x", 200, 1, 7), frames6.nd_mtu(1400))
    assert bed.settings == {"net.ipv6.conf.lan.mtu": 1400}
