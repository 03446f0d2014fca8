"""Source addresses: each rule of RFC 6724 section 5 that has matter here, and which addresses are candidates."""

import pytest

from tests.unit.l3.bed6 import Ip
from vrouter.stack.base.addresses import format_ipv6, parse_ipv6, scoped
from vrouter.stack.device import Device
from vrouter.stack.l3.source6 import DEFAULT_POLICY, Policy, PolicyTable, select_source6


def chosen(ip: Ip, dst: str, dev: Device | None = None) -> str:
    """The source for `dst` by a device (`lan`), as text; "" for none."""
    dev = ip.ns.lan if dev is None else dev
    found = select_source6(ip, dev, scoped(parse_ipv6(dst), dev.ifindex))
    return format_ipv6(found) if found else ""


def wan_of(ip: Ip) -> Device:
    dev = Device(ip.ns, "wan", "tap", 9, bytes(6), 1500)
    ip.ns.devices["wan"] = dev
    return dev


@pytest.mark.parametrize(
    ("addresses", "dst", "source"),
    [
        # RFC 6724 10.1, and the rule that decides
        (["2001:db8:3::1", "fe80::1"], "2001:db8:1::1", "2001:db8:3::1"),  # 2: scope
        (["2001:db8:3::1", "fe80::1"], "ff05::1", "2001:db8:3::1"),  # 2
        (["2001:db8:3::1", "fe80::1"], "ff02::1", "fe80::1"),  # 2: no farther than needed
        (["2001:db8:3::1", "fe80::1"], "fe80::9", "fe80::1"),  # 2
        (["fec0::1", "2001:db8:3::1"], "fec0::9", "fec0::1"),  # 2
        (["fe80::1", "fec0::1"], "2001:db8:1::1", "fec0::1"),  # 2: too near both, the farther one
        (["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::1", "2001:db8:1::2"),  # 8
        (["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:3::1", "2001:db8:3::2"),  # 8
        (["2002:c633:6401::1", "2001:db8:1::2"], "2001:db8:5::1", "2001:db8:1::2"),  # 6: label
        (["2001:db8:1::2", "2002:c633:6401::1"], "2002:c633:6401::5", "2002:c633:6401::1"),  # 6
        (["2001:db8:1::2", "fd00::1"], "fd12::1", "fd00::1"),  # 6
        (["fd00::1", "2001:db8:1::2"], "2600::1", "2001:db8:1::2"),  # 6
        (["2001:db8:1::2", "2001:db8:1::3"], "2001:db8:1::9", "2001:db8:1::2"),  # none: the older one
        (["2001:db8:1::1", "2001:db8:1::5"], "2001:db8:1::5", "2001:db8:1::5"),  # 1: the same address
        ([], "2001:db8:1::1", ""),
    ],
)
def test_the_rules_choose_among_the_addresses_of_the_device(addresses: list[str], dst: str, source: str) -> None:
    """RFC 6724 5, the examples of 10.1."""
    ip = Ip()
    for address in addresses:
        ip.own(address)
    assert chosen(ip, dst) == source


def test_a_deprecated_address_is_the_last_choice_of_its_scope() -> None:
    """RFC 6724 5 rule 3, behind rule 2 and in front of rule 8."""
    ip = Ip()
    ip.own("2001:db8:1::1", state="deprecated")
    ip.own("fe80::1")
    assert chosen(ip, "2001:db8:1::9") == "2001:db8:1::1"
    ip.own("2001:db8:7::1")
    assert chosen(ip, "2001:db8:1::9") == "2001:db8:7::1"


def test_the_outgoing_device_s_addresses_are_preferred() -> None:
    """RFC 6724 5 rule 5, in front of rules 6 and 8."""
    ip = Ip()
    wan = wan_of(ip)
    ip.own("2001:db8:1::1")
    ip.own("fd00::1", wan)
    assert chosen(ip, "2001:db8:1::9", wan) == "fd00::1"
    assert chosen(ip, "fd00::9") == "2001:db8:1::1"


@pytest.mark.parametrize("own", [[], ["fe80::2"]])
def test_another_device_helps_out_for_what_is_far(own: list[str]) -> None:
    """RFC 6724 4: for a router all addresses are candidates, when the outgoing device has none of that scope."""
    ip = Ip()
    wan = wan_of(ip)
    for address in own:
        ip.own(address, wan)
    ip.own("2001:db8:1::1", ip.ns.lo, 128)
    assert chosen(ip, "2001:db8:9::9", wan) == "2001:db8:1::1"
    assert select_source6(ip, None, parse_ipv6("2001:db8:9::9")) == parse_ipv6("2001:db8:1::1")


def test_an_address_that_is_no_longer_preferred_gives_way_to_another_device_s() -> None:
    """RFC 6724 5: rule 3 stands before rule 5."""
    ip = Ip()
    wan = wan_of(ip)
    ip.own("2001:db8:1::1", state="deprecated")
    ip.own("2001:db8:7::1", wan)
    assert chosen(ip, "2001:db8:1::9") == "2001:db8:7::1"


@pytest.mark.parametrize("dst", ["fe80::9", "ff02::1", "ff0e::1"])
def test_for_the_link_only_its_own_addresses_count(dst: str) -> None:
    """RFC 6724 4: for groups and link-local destinations the candidates are those of the link."""
    ip = Ip()
    wan = wan_of(ip)
    ip.own("2001:db8:1::1")
    assert chosen(ip, dst, wan) == ""
    assert select_source6(ip, None, parse_ipv6("ff02::1")) == 0


def test_the_loopback_address_never_leaves_the_node() -> None:
    """RFC 4291 2.5.3: it is nobody's choice on a wire, even when there is no other."""
    ip = Ip()
    ip.own("::1", ip.ns.lo, 128)
    assert chosen(ip, "2001:db8:9::9") == ""
    assert chosen(ip, "::1", ip.ns.lo) == "::1"
    assert chosen(ip, "2001:db8:9::9", ip.ns.lo) == "::1"


def test_addresses_that_are_not_in_use_are_no_candidates() -> None:
    """RFC 4862 2: neither a tentative address nor one of a device that is down."""
    ip = Ip()
    ip.own("2001:db8:1::1", state="tentative").active = False
    assert chosen(ip, "2001:db8:1::9") == ""


def test_the_common_prefix_ends_where_the_source_s_prefix_does() -> None:
    """RFC 6724 2.2: bits of the interface identifier do not count, so the older address wins."""
    ip = Ip()
    ip.own("2001:db8:1::f")
    ip.own("2001:db8:1::8")
    assert chosen(ip, "2001:db8:1::9") == "2001:db8:1::f"


@pytest.mark.parametrize(
    ("address", "precedence", "label"),
    [
        ("::1", 50, 0),
        ("2001:db8::1", 40, 1),
        ("::ffff:10.0.0.1", 35, 4),
        ("2002::1", 30, 2),
        ("2001:0:1::1", 5, 5),
        ("fd00::1", 3, 13),
        ("::10.0.0.1", 1, 3),
        ("fec0::1", 1, 11),
        ("3ffe::1", 1, 12),
        ("ff02::1", 40, 1),
    ],
)
def test_the_default_policy_table(address: str, precedence: int, label: int) -> None:
    """RFC 6724 2.1, row by row."""
    row = DEFAULT_POLICY.find(parse_ipv6(address))
    assert (row.precedence, row.label) == (precedence, label)


def test_a_policy_table_of_one_s_own_changes_the_choice() -> None:
    """RFC 6724 2.1: implementations should support configurable tables."""
    ip = Ip()
    ip.own("2001:db8:1::1")
    ip.own("fd00::1")
    table = PolicyTable.of(Policy(0, 0, 40, 1), Policy(parse_ipv6("2001:db8:1::"), 48, 40, 9))
    assert select_source6(ip, ip.ns.lan, parse_ipv6("2001:db8:2::2"), table) == parse_ipv6("fd00::1")


def test_a_table_without_a_last_row_says_so() -> None:
    """RFC 6724 2.1: longest-match lookup needs a match."""
    with pytest.raises(LookupError):
        PolicyTable.of().find(1)
