"""Interface identifiers and addresses out of advertised prefixes (RFC 4862 5.5.3, 5.5.4; RFC 7217)."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.l2.bed6 import ALL_NODES, LAN_MAC, PEER_LL, PEER_MAC, SECOND, Bed6
from vrouter.stack.base.addresses import LINK_LOCAL6, format_ipv6, parse_ipv6
from vrouter.stack.l2.slaac import (
    MAX_ADDRESSES,
    STABLE,
    STABLE_RUN,
    interface_id,
    is_reserved,
    link_local_address,
)
from vrouter.testing import frames6

PREFIX = "2001:db8:5::"
MADE = "2001:db8:5::ff:fe00:1"
HOUR = 3600
ROUTER = {"src": PEER_LL, "mac": PEER_MAC}


def host(seed: int = 1, **conf6: Any) -> Bed6:
    conf6.setdefault("dad_transmits", 0)
    bed = Bed6(seed, **conf6)
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    return bed


def advertise(bed: Bed6, prefix: str = PREFIX, *, valid: int = 4 * HOUR, preferred: int = HOUR, **more: Any) -> None:
    assert bed.ra(frames6.nd_prefix(prefix, valid=valid, preferred=preferred, **more), **ROUTER) == 0
    bed.sent()


# ---------------------------------------------------------------------------------------------------- addresses


def test_a_prefix_makes_an_address() -> None:
    """RFC 4862 5.5.3: prefix and identifier, with both lifetimes, detected like any other."""
    bed = host(dad_transmits=1)
    advertise(bed)
    assert bed.shown() == {MADE: ("tentative", 4 * HOUR, HOUR)}
    bed.advance(3 * SECOND)
    bed.sent()
    assert bed.shown() == {MADE: ("preferred", 4 * HOUR - 3, HOUR - 3)}
    assert bed.ip6.is_local(parse_ipv6(MADE))


def test_it_is_deprecated_and_then_gone() -> None:
    """RFC 4862 5.5.4: preferred until the preferred lifetime ends, used until the valid one does."""
    bed = host()
    advertise(bed, valid=100, preferred=50)
    bed.advance(49 * SECOND)
    bed.sent()
    assert bed.shown()[MADE][0] == "preferred"
    bed.advance(SECOND)
    bed.sent()
    assert bed.shown()[MADE] == ("deprecated", 50, 0)
    assert bed.ip6.is_local(parse_ipv6(MADE))
    bed.advance(49 * SECOND)
    bed.sent()
    assert bed.shown()[MADE][0] == "deprecated"
    bed.advance(SECOND)
    bed.sent()
    assert bed.shown() == {}
    assert not bed.ip6.is_local(parse_ipv6(MADE))


def test_infinite_lifetimes_end_never() -> None:
    """RFC 4861 4.6.2: all one bits."""
    bed = host()
    advertise(bed, valid=0xFFFFFFFF, preferred=0xFFFFFFFF)
    assert bed.shown() == {MADE: ("preferred", -1, -1)}


def test_a_deprecated_address_is_preferred_again() -> None:
    """RFC 4862 5.5.3 e: the preferred lifetime is always that of the last advertisement."""
    bed = host()
    advertise(bed, preferred=0)
    assert bed.shown() == {MADE: ("deprecated", 4 * HOUR, 0)}
    advertise(bed, preferred=9)
    assert bed.shown() == {MADE: ("preferred", 4 * HOUR, 9)}


@pytest.mark.parametrize(
    ("remaining", "received", "then"),
    [
        (4 * HOUR, 5 * HOUR, 5 * HOUR),  # 1: greater than two hours
        (4 * HOUR, 3 * HOUR, 3 * HOUR),
        (HOUR, HOUR + 1, HOUR + 1),  # 1: greater than what remains
        (HOUR, HOUR - 1, HOUR),  # 2: two hours or less remain, and it is shorter
        (HOUR, 0, HOUR),
        (2 * HOUR, 1, 2 * HOUR),
        (4 * HOUR, 2 * HOUR, 2 * HOUR),  # 3: otherwise two hours
        (4 * HOUR, 10, 2 * HOUR),
        (4 * HOUR, 0, 2 * HOUR),
        (0xFFFFFFFF, 0, 2 * HOUR),
        (0xFFFFFFFF, 3 * HOUR, 3 * HOUR),
    ],
)
def test_nobody_takes_an_address_away_at_once(remaining: int, received: int, then: int) -> None:
    """RFC 4862 5.5.3 e, its three cases: the rule of two hours."""
    bed = host()
    advertise(bed, valid=remaining, preferred=remaining)
    advertise(bed, valid=received, preferred=0)
    assert bed.shown()[MADE] == ("deprecated", then, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"flags": 0x80},  # 5.5.3 a: not autonomous
        {"prefix": "fe80::"},  # b: link-local
        {"valid": 10, "preferred": 11},  # c: preferred longer than valid
        {"length": 63},  # d: with 64 bits of identifier not 128
        {"length": 65},
        {"length": 0},
        {"valid": 0, "preferred": 0},  # d: a valid lifetime of 0 makes no address
        {"prefix": "ff05::"},
    ],
)
def test_other_prefixes_make_no_address(options: dict[str, Any]) -> None:
    """RFC 4862 5.5.3 a to d."""
    bed = host()
    advertise(bed, **options)
    assert bed.shown() == {}


@pytest.mark.parametrize("conf6", [{"autoconf": False}, {"accept_ra_pinfo": False}])
def test_addresses_are_a_setting(conf6: dict[str, bool]) -> None:
    """Linux's autoconf and accept_ra_pinfo."""
    bed = host(**conf6)
    advertise(bed)
    assert bed.shown() == {}
    assert (("2001:db8:5::/64", "link") in bed.routes) == ("autoconf" in conf6)


def test_an_address_that_is_there_already_is_left() -> None:
    """RFC 4862 5.5.3 d: only if it is not on the list of addresses; a configured one keeps its lifetimes."""
    bed = host()
    own = bed.address(bed.lan, f"{MADE}/64")
    advertise(bed, valid=9, preferred=9)
    assert bed.shown() == {}
    assert own.valid_until > bed.now + 100 * SECOND


def test_addresses_are_bounded() -> None:
    """max_addresses, 16 as in Linux: in one advertisement or in many; 0 is still no way to fill the memory."""
    bed = host()
    for number in range(20):
        advertise(bed, f"2001:db8:5:{number:x}::")
    assert len(bed.shown()) == 16
    unbounded = host(max_addresses=0)
    for first in range(0, MAX_ADDRESSES + 40, 40):
        some = [frames6.nd_prefix(f"2001:db8:5:{number:x}::") for number in range(first, first + 40)]
        unbounded.ra(*some)
        unbounded.sent()
    assert len(unbounded.shown()) == MAX_ADDRESSES


def test_an_address_that_was_removed_by_hand_comes_with_the_next_advertisement() -> None:
    """As in Linux."""
    bed = host()
    advertise(bed)
    [address] = [a for a in bed.lan.addresses if a.origin == "ra"]
    bed.remove(address)
    assert bed.shown() == {}
    advertise(bed)
    assert list(bed.shown()) == [MADE]


def test_a_device_that_goes_down_loses_what_it_learned() -> None:
    """It may come back on another link; without a carrier it keeps it."""
    bed = host()
    advertise(bed)
    bed.lan.carrier = False
    bed.lan.refresh()
    bed.ndp.device_unready(bed.lan, bed.now)
    bed.sent()
    assert list(bed.shown()) == [MADE]
    bed.lan.up = False
    bed.ndp.device_unready(bed.lan, bed.now)
    bed.sent()
    assert (bed.shown(), bed.routes) == ({}, {})
    assert len(bed.stack.timers) == 0


# ---------------------------------------------------------------------------------------------------- identifiers


def test_the_identifier_is_that_of_the_mac() -> None:
    """RFC 4291 appendix A, RFC 2464 4: the universal bit inverted, ff:fe in the middle."""
    bed = Bed6()
    assert interface_id(bed, bed.lan, parse_ipv6(PREFIX)) == parse_ipv6(MADE) & (1 << 64) - 1
    address = link_local_address(bed, bed.lan)
    assert (format_ipv6(address), address >> 128) == ("fe80::ff:fe00:1", bed.lan.ifindex)
    assert bed.ndp.link_local(bed.lan) == address
    assert bed.lan.mac == LAN_MAC


def test_a_device_may_have_no_link_local_address_of_its_own() -> None:
    """addr_gen_mode 1 (none): the administrator gives one."""
    bed = Bed6(addr_gen_mode=1)
    assert bed.ndp.link_local(bed.lan) == 0


@pytest.mark.parametrize("mode", [STABLE, STABLE_RUN])
def test_stable_identifiers_depend_on_all_that_they_should(mode: int) -> None:
    """RFC 7217 5: F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key); not on the MAC."""
    prefix = parse_ipv6(PREFIX)

    def make(seed: int = 1, identity: str = "bed", name: str = "lan", where: int = prefix, count: int = 0) -> int:
        bed = Bed6(seed, addr_gen_mode=mode)
        bed.stack.identity = identity
        bed.lan.name = name
        return interface_id(bed, bed.lan, where, count)

    same = make()
    assert make() == same
    others = [make(name="wan"), make(where=prefix + (1 << 64)), make(count=1)]
    if mode == STABLE:
        assert make(seed=2) == same  # over restarts
        others.append(make(identity="elsewhere"))
    else:
        others.append(make(seed=2))
    assert len({same, *others}) == 5
    bed = Bed6(addr_gen_mode=mode)
    bed.lan.mac = PEER_MAC
    assert interface_id(bed, bed.lan, prefix) == same


def test_a_secret_of_the_administrator_counts_more_than_the_identity() -> None:
    """RFC 7217 5: secret_key, as Linux's stable_secret."""

    def make(identity: str, secret: int) -> int:
        bed = Bed6(addr_gen_mode=STABLE, stable_secret=secret)
        bed.stack.identity = identity
        return interface_id(bed, bed.lan, LINK_LOCAL6)

    assert make("one", 5) == make("two", 5)
    assert make("one", 5) != make("one", 6)
    assert make("one", 0) != make("one", -1)


@pytest.mark.parametrize(
    ("identifier", "reserved"),
    [
        (0, True),
        (1, False),
        (0xFDFFFFFFFFFFFF7F, False),
        (0xFDFFFFFFFFFFFF80, True),
        (0xFDFFFFFFFFFFFFFF, True),
        (0xFE00000000000000, False),
        (0x02005EFFFE000000, True),
        (0x02005EFFFEFFFFFF, True),
        (0x02005EFFFF000000, False),
    ],
)
def test_reserved_identifiers_are_known(identifier: int, reserved: bool) -> None:
    """RFC 5453 3, RFC 2526 2, RFC 4291 2.6.1: RFC 7217 5 passes them over."""
    assert is_reserved(identifier) is reserved


def test_after_a_conflict_another_identifier_is_tried() -> None:
    """RFC 7217 6: the next DAD_Counter, IDGEN_RETRIES (3) times; then the address stays in conflict."""
    bed = host(dad_transmits=1, addr_gen_mode=STABLE)
    advertise(bed)
    seen = []
    for _ in range(4):
        [taken] = bed.shown()
        seen.append(taken)
        assert bed.shown()[taken][0] == "tentative"
        assert bed.advertise(taken, ALL_NODES, src=PEER_LL) == 0
        bed.sent()
    assert len(set(seen)) == 4
    assert bed.shown() == {seen[3]: ("conflict", 4 * HOUR, HOUR)}
    prefix = parse_ipv6(PREFIX)
    assert seen == [format_ipv6(prefix | interface_id(bed, bed.lan, prefix, count)) for count in range(4)]


def test_the_number_of_tries_is_a_setting() -> None:
    """Linux's idgen_retries."""
    bed = host(dad_transmits=1, addr_gen_mode=STABLE)
    bed.conf = replace(bed.conf, idgen_retries=0)
    advertise(bed)
    [taken] = bed.shown()
    bed.advertise(taken, ALL_NODES, src=PEER_LL)
    bed.sent()
    assert bed.shown()[taken][0] == "conflict"


def test_an_identifier_of_the_mac_is_not_tried_again() -> None:
    """RFC 4862 5.4.5: there is no other."""
    bed = host(dad_transmits=1)
    advertise(bed)
    bed.advertise(MADE, ALL_NODES, src=PEER_LL)
    bed.sent()
    assert bed.shown()[MADE][0] == "conflict"
    advertise(bed)
    assert bed.shown()[MADE][0] == "conflict"


def test_a_link_local_address_is_replaced_too() -> None:
    """RFC 7217 6: link-local addresses are made in the same way."""
    bed = Bed6(addr_gen_mode=STABLE)
    bare = bed.device("bare", "tap", PEER_MAC, addr_gen_mode=STABLE)
    first = link_local_address(bed, bare)
    record = bed.add(bare, f"{format_ipv6(first)}/64")
    record.origin = "kernel"
    message = frames6.neighbour_advertisement("fe80::99", ALL_NODES, format_ipv6(first), mac=LAN_MAC)
    bed.macs.clear()
    bed.receive(message, "fe80::99", ALL_NODES, dev=bare)
    bed.sent()
    [second] = bare.addresses
    assert (second.address, second.origin) == (link_local_address(bed, bare, 1), "kernel")
    assert second.address != first
    assert second.valid_until > bed.now + (1 << 60)
