"""Addresses: text to integers and back, and nothing sloppy accepted."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base import addresses as a


@given(st.integers(0, 2**32 - 1))
def test_ipv4_text_is_that_of_the_standard_library(value: int) -> None:
    """Twin: ipaddress."""
    text = str(ipaddress.IPv4Address(value))
    assert a.format_ipv4(value) == text
    assert a.parse_ipv4(text) == value
    assert a.parse_address(text) == (4, value)


@pytest.mark.parametrize(
    "text",
    "|1|1.2.3|1.2.3.4.5|1.2.3.256|01.2.3.4|1.2.3.-4|1.2.3. 4|1.2.3.٤|a.b.c.d|1..2.3|1.2.3.4 |0x1.2.3.4".split("|"),
)
def test_what_is_not_strictly_four_decimal_octets_is_refused(text: str) -> None:
    """Leading zeros were octal once: an address that two readers read differently is none."""
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        a.parse_ipv4(text)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_prefixes_are_those_of_the_standard_library(value: int, length: int) -> None:
    """Twin: ipaddress, for masks, host bits and their correction."""
    network = ipaddress.ip_network((value, length), strict=False)
    assert a.mask(length) == int(network.netmask)
    good = f"{network.network_address}/{length}"
    assert a.parse_prefix(good) == (4, int(network.network_address), length)
    if value != int(network.network_address):
        with pytest.raises(ValueError, match=f"the network is {good}"):
            a.parse_prefix(f"{ipaddress.IPv4Address(value)}/{length}")
    assert a.parse_interface(f"{ipaddress.IPv4Address(value)}/{length}") == (4, value, length)


@pytest.mark.parametrize("text", ["10.0.0.1/33", "10.0.0.1/", "10.0.0.1/-1", "10.0.0.1/a", "10.0.0.1/255.0.0.0"])
def test_a_bad_prefix_length_is_refused(text: str) -> None:
    """0 to 32, in decimal."""
    with pytest.raises(ValueError, match="no prefix length of 0 to 32"):
        a.parse_interface(text)


def test_prefixes_print_as_ip_prints_them() -> None:
    """`default`, a bare address for a host route, otherwise NETWORK/LENGTH."""
    assert a.format_prefix(0, 0) == "default"
    assert a.format_prefix(0x0A000001, 32) == "10.0.0.1"
    assert a.format_prefix(0x0A000000, 8) == "10.0.0.0/8"
    assert a.parse_prefix("default") == (4, 0, 0)
    assert a.parse_interface("10.0.0.1") == (4, 0x0A000001, 32)


@pytest.mark.parametrize("text", ["02:00:00:00:01:0a", "2:0:0:0:1:a", "02-00-00-00-01-0A"])
def test_mac_addresses_are_read_in_their_usual_spellings(text: str) -> None:
    """Colons or dashes, one or two digits, either case."""
    assert a.parse_mac(text) == bytes.fromhex("02000000010a")


def test_mac_addresses_print_in_lower_case_with_colons() -> None:
    """ip(8)'s spelling."""
    assert a.format_mac(bytes.fromhex("02000000010A")) == "02:00:00:00:01:0a"


@pytest.mark.parametrize("text", ["", "02:00:00:00:01", "02:00:00:00:01:0g", "02:00:00:00:01:+a", "0200:00:00:01:0a:1"])
def test_what_is_not_six_octets_is_no_mac(text: str) -> None:
    """Hexadecimal digits and nothing else."""
    with pytest.raises(ValueError, match="not a MAC address"):
        a.parse_mac(text)


@pytest.mark.parametrize(
    ("text", "multicast", "link_local"),
    [
        ("223.255.255.255", False, False),
        ("224.0.0.0", True, False),
        ("239.255.255.255", True, False),
        ("240.0.0.0", False, False),
        ("169.254.0.0", False, True),
        ("169.254.255.255", False, True),
        ("169.253.255.255", False, False),
        ("169.255.0.0", False, False),
    ],
)
def test_classes_end_where_their_rfc_says(text: str, multicast: bool, link_local: bool) -> None:
    """RFC 1112 4 (224/4), RFC 3927 2.1 (169.254/16)."""
    value = a.parse_ipv4(text)
    assert a.is_multicast4(value) is multicast
    assert a.is_link_local4(value) is link_local
