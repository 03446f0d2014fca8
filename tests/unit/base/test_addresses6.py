"""IPv6 addresses: text to integers and back, scopes, zones, and the addresses that follow from others."""

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vrouter.stack.base import addresses as a

# Addresses of few different groups, so that runs of zeros of every length and place come up.
ADDRESSES = st.one_of(
    st.integers(0, a.MAX6),
    st.lists(st.sampled_from((0, 0, 0, 1, 0xFFFF, 0x0A0, 0x1000)), min_size=8, max_size=8).map(
        lambda groups: sum(group << 16 * at for at, group in enumerate(groups))
    ),
    st.integers(0, 0xFFFFFFFF).map(lambda low: 0xFFFF << 32 | low),
)
TEXTS = st.one_of(
    st.text("0123456789abcdefABCDEF:.%/ _+xg٤", max_size=50),
    st.lists(st.sampled_from(("0", "1", "ffff", "0001", "00001", "", "", "1.2.3.4", "01.2.3.4")), max_size=10).map(
        ":".join
    ),
    ADDRESSES.map(lambda value: str(ipaddress.IPv6Address(value))),
    ADDRESSES.map(lambda value: ipaddress.IPv6Address(value).exploded.upper()),
    st.text(max_size=20),
)


def fails(text: str) -> str:
    with pytest.raises(ValueError) as caught:
        a.parse_address_zone(text)
    return str(caught.value)


@given(TEXTS)
@example("::")
@example("1:2:3:4:5:6:7::")
@example("1:2:3:4:5:6:7:8::")
@example("::1:2:3:4:5:6:7:8")
@example(":::")
@example("1:::2")
@example("::1::")
@example(":1::2")
@example("1::2:")
@example("1:2:3:4:5:6:1.2.3.4")
@example("1:2:3:4:5:6:7:1.2.3.4")
@example("::1.2.3.4:5")
@example("1.2.3.4::")
@example("::1.2.3")
@example("+1::")
@example("1_1::")
@example("0x1::")
@example("::00001")
def test_what_is_read_is_what_the_standard_library_reads(text: str) -> None:
    """RFC 4291 2.2 in its three forms and nothing else; twin: ipaddress (which reads zones too)."""
    try:
        value = int(ipaddress.IPv6Address(text)) if "%" not in text else None
    except ValueError:
        value = None
    try:
        found = a.parse_ipv6(text)
    except ValueError:
        found = None
    assert found == value


@given(ADDRESSES)
def test_what_is_written_is_canonical_and_is_read_again(value: int) -> None:
    """RFC 5952 4; twin: ipaddress, which writes IPv4-mapped addresses without dots."""
    text = a.format_ipv6(value)
    assert a.parse_ipv6(text) == value
    if value >> 32 == 0xFFFF:
        assert text == f"::ffff:{ipaddress.IPv4Address(value & 0xFFFFFFFF)}"
    else:
        assert text == str(ipaddress.IPv6Address(value))
    assert a.format_address(value, a.V6) == text
    assert a.parse_address(text) == (6, value)
    assert a.parse_address(ipaddress.IPv6Address(value).exploded.upper()) == (6, value)


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
        ("2001:0db8:0000:0001:0001:0001:0001:0001", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:DB8::AAAA", "2001:db8::aaaa"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("1:0:0:0:0:0:0:0", "1::"),
        ("::FFFF:c000:0201", "::ffff:192.0.2.1"),
        ("::192.0.2.1", "::c000:201"),
        ("10:100:1000:a0:a00:a000:0:0", "10:100:1000:a0:a00:a000::"),
    ],
)
def test_the_canonical_text(groups: str, text: str) -> None:
    """RFC 5952 4.1 to 4.3 and 5: no leading zeros, the first longest run of two or more, lower case, dots if mapped."""
    assert a.format_ipv6(a.parse_ipv6(groups)) == text


def test_a_zone_is_not_written() -> None:
    """The device stands beside the address wherever one is shown."""
    assert a.format_ipv6(a.scoped(a.parse_ipv6("fe80::1"), 7)) == "fe80::1"


def test_an_error_repeats_a_bounded_part_of_what_it_refuses() -> None:
    """A text of a megabyte is refused with an error of a line."""
    for text in ("1:" * 500_000, "1." * 500_000, "0" * 1_000_000, "::1/" + "9" * 1_000_000, ":." + "1" * 10_000):
        with pytest.raises(ValueError) as caught:
            a.parse_interface(text)
        assert len(str(caught.value)) < 150


@given(ADDRESSES, st.integers(0, 128))
def test_prefixes_are_those_of_the_standard_library(value: int, length: int) -> None:
    """Twin: ipaddress, for masks, host bits and their correction."""
    network = ipaddress.IPv6Network((value, length), strict=False)
    assert a.mask(length, 128) & a.MAX6 == int(network.netmask)
    base = int(network.network_address)
    good = f"{a.format_ipv6(base)}/{length}"
    assert a.parse_prefix(good) == (6, base, length)
    if value != base:
        with pytest.raises(ValueError, match="has host bits set; the network is") as caught:
            a.parse_prefix(f"{ipaddress.IPv6Address(value)}/{length}")
        assert str(caught.value).endswith(f" {good}")
    assert a.parse_interface(f"{ipaddress.IPv6Address(value)}/{length}") == (6, value, length)


@pytest.mark.parametrize("tail", ["129", "", "-1", "+1", "064", "a", "64/64", " 64", "٦٤", "ffff::"])
def test_a_bad_prefix_length_is_refused(tail: str) -> None:
    """0 to 128, in decimal without leading zeros."""
    with pytest.raises(ValueError, match="no prefix length of 0 to 128"):
        a.parse_interface(f"2001:db8::/{tail}")


def test_prefixes_print_as_ip_prints_them() -> None:
    """`default`, a bare address for a host route, otherwise NETWORK/LENGTH; `default` alone is read as IPv4's."""
    assert a.format_prefix(0, 0, a.V6) == "default"
    assert a.format_prefix(1, 128, a.V6) == "::1"
    assert a.format_prefix(a.LINK_LOCAL6, 10, a.V6) == "fe80::/10"
    assert a.parse_prefix("::/0") == (6, 0, 0)
    assert a.parse_prefix("default") == (4, 0, 0)
    assert a.parse_interface("::1") == (6, 1, 128)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("fe80::1%lan", (6, 0xFE80 << 112 | 1, "lan")),
        ("febf::1%12", (6, 0xFEBF << 112 | 1, "12")),
        ("ff02::5%eth0.7@x", (6, 0xFF02 << 112 | 5, "eth0.7@x")),
        ("ff11::5%lan", (6, 0xFF11 << 112 | 5, "lan")),
        ("fe80::1", (6, 0xFE80 << 112 | 1, "")),
        ("2001:db8::1", (6, 0x20010DB8 << 96 | 1, "")),
        ("10.0.0.1", (4, 0x0A000001, "")),
    ],
)
def test_zones_are_read_behind_a_percent_sign(text: str, value: tuple[int, int, str]) -> None:
    """RFC 4007 11.2; the address stays the wire's until somebody who knows the devices makes it scoped."""
    assert a.parse_address_zone(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fe80::1%", "'fe80::1%' has no device's name behind the %"),
        ("fe80::1%a%b", "'fe80::1%a%b' has no device's name behind the %"),
        ("fe80::1%a/64", "'fe80::1%a/64' has no device's name behind the %"),
        ("fe80::1%a b", "'fe80::1%a b' has no device's name behind the %"),
        ("fe80::1%0123456789abcdef", "'fe80::1%0123456789abcdef' has no device's name behind the %"),
        ("2001:db8::1%lan", "'2001:db8::1%lan' has a zone, but is no link-local address"),
        ("fec0::1%lan", "'fec0::1%lan' has a zone, but is no link-local address"),
        ("::1%lo", "'::1%lo' has a zone, but is no link-local address"),
        ("::%lan", "'::%lan' has a zone, but is no link-local address"),
        ("ff05::2%lan", "'ff05::2%lan' has a zone, but is no link-local address"),
        ("10.0.0.1%lan", "'10.0.0.1%lan' has a zone, but is no link-local address"),
        ("fe80::g%lan", "'fe80::g' is not an IPv6 address"),
    ],
)
def test_a_zone_that_says_nothing_is_refused(text: str, problem: str) -> None:
    """RFC 4007 6: zones tell apart the addresses of links alone."""
    assert fails(text) == problem


def test_where_the_device_is_named_a_zone_is_refused() -> None:
    """Two devices in one line could differ."""
    for parse in (a.parse_address, a.parse_interface):
        with pytest.raises(ValueError, match="has a zone, which stands for a device that is named already"):
            parse("fe80::1%lan")


def test_link_local_addresses_carry_their_zone_in_the_int() -> None:
    """RFC 4007 6: the same address on two links is two; groups and global addresses carry none."""
    address = a.parse_ipv6("fe80::1")
    there = a.scoped(address, 7)
    assert (there, a.zone_of(there), a.unscoped(there)) == (7 << 128 | address, 7, address)
    assert a.is_link_local6(there)
    assert a.is_host6(there)
    assert not a.is_multicast6(there)
    for text in ("::", "::1", "2001:db8::1", "fec0::1", "fe7f:ffff::", "ff02::1", "ff01::1", "::ffff:1.2.3.4"):
        value = a.parse_ipv6(text)
        assert (a.scoped(value, 7), a.zone_of(value), a.unscoped(value)) == (value, 0, value)


@given(st.integers(0, 2**32 - 1), st.integers(0, 128))
def test_a_mask_keeps_the_zone(ifindex: int, length: int) -> None:
    """Prefixes of two links stay two prefixes."""
    zone, network = ifindex << 128, a.parse_ipv6("fe80:1234::abcd")
    assert (zone | network) & a.mask(length, 128) == zone | network & a.mask(length, 128)
    assert (zone | network) & ~a.mask(length, 128) == network & (1 << 128 - length) - 1


@pytest.mark.parametrize(
    ("text", "multicast", "link_local", "host", "scope"),
    [
        ("::", False, False, False, 14),
        ("::1", False, False, True, 2),
        ("::2", False, False, True, 14),
        ("::ffff:0:0", False, False, False, 14),
        ("::ffff:255.255.255.255", False, False, False, 14),
        ("::1:0:0:0", False, False, True, 14),
        ("2001:db8::1", False, False, True, 14),
        ("fd00::1", False, False, True, 14),
        ("fe7f:ffff::", False, False, True, 14),
        ("fe80::", False, True, True, 2),
        ("febf:ffff::", False, True, True, 2),
        ("fec0::", False, False, True, 5),
        ("feff:ffff::", False, False, True, 5),
        ("ff00::", True, False, False, 0),
        ("ff01::1", True, False, False, 1),
        ("ff02::1", True, False, False, 2),
        ("ff15::1", True, False, False, 5),
        ("ff3e::1", True, False, False, 14),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", True, False, False, 15),
    ],
)
def test_classes_end_where_their_rfc_says(text: str, multicast: bool, link_local: bool, host: bool, scope: int) -> None:
    """RFC 4291 2.4, 2.5.2, 2.5.5.2, 2.5.6, 2.7; RFC 6724 3.1 for the scopes of unicast addresses."""
    value = a.parse_ipv6(text)
    assert a.is_multicast6(value) is multicast
    assert a.is_link_local6(value) is link_local
    assert a.is_host6(value) is host
    assert a.scope6(value) == scope
    if multicast:
        assert a.multicast_scope6(value) == scope


def test_a_scope_does_not_depend_on_the_zone() -> None:
    """RFC 4007 4."""
    assert a.scope6(a.scoped(a.parse_ipv6("fe80::1"), 9)) == a.SCOPE_LINK


def test_well_known_addresses() -> None:
    """RFC 4291 2.5.3, 2.7.1; RFC 3810 5.2.14."""
    assert a.LOOPBACK6 == a.parse_ipv6("::1")
    assert a.ALL_NODES_OF_HOST6 == a.parse_ipv6("ff01::1")
    assert a.ALL_NODES6 == a.parse_ipv6("ff02::1")
    assert a.ALL_ROUTERS6 == a.parse_ipv6("ff02::2")
    assert a.ALL_ROUTERS_OF_SITE6 == a.parse_ipv6("ff05::2")
    assert a.ALL_MLDV2_ROUTERS == a.parse_ipv6("ff02::16")
    assert a.LINK_LOCAL6 == a.parse_ipv6("fe80::")


def test_the_solicited_node_group() -> None:
    """RFC 4291 2.7.1's own example; a zone is not part of the last 24 bits."""
    assert a.solicited_node(a.parse_ipv6("4037::01:800:200e:8c6c")) == a.parse_ipv6("ff02::1:ff0e:8c6c")
    assert a.solicited_node(a.scoped(a.parse_ipv6("fe80::1"), 3)) == a.parse_ipv6("ff02::1:ff00:1")


def test_ipv4_mapped_addresses() -> None:
    """RFC 4291 2.5.5.2."""
    assert a.ipv4_mapped(0x0A000001) == a.parse_ipv6("::ffff:10.0.0.1")
    assert a.mapped_ipv4(a.parse_ipv6("::ffff:10.0.0.1")) == 0x0A000001
    assert a.mapped_ipv4(a.parse_ipv6("::ffff:0.0.0.0")) == 0
    assert a.mapped_ipv4(a.parse_ipv6("::10.0.0.1")) is None
    assert a.mapped_ipv4(a.parse_ipv6("::1:ffff:10.0.0.1")) is None


@pytest.mark.parametrize(
    ("mac", "text"),
    [("34-56-78-9A-BC-DE", "fe80::3656:78ff:fe9a:bcde"), ("02:00:00:00:01:0a", "fe80::ff:fe00:10a")],
)
def test_a_link_local_address_follows_from_the_mac(mac: str, text: str) -> None:
    """RFC 2464 4's own example; a locally administered MAC loses its bit (RFC 4291 appendix A)."""
    assert a.link_local_of(a.parse_mac(mac)) == a.parse_ipv6(text)
    assert a.eui64(a.parse_mac(mac)) == a.parse_ipv6(text) & (1 << 64) - 1
