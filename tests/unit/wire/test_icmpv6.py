"""ICMPv6: messages, and the packets that errors quote."""

import pytest

from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.wire import icmp, icmpv6
from vrouter.testing import frames

A, B = "fd00:1::2", "fd00:2::2"


def test_emit_echo():
    """RFC 4443 section 4.1: the message that another builder makes; what stood there before has no influence."""
    buf = bytearray(b"\xee" * 2 + b"\x5a" * 8 + b"abc" + b"\xee")
    icmpv6.emit(buf, 2, 13, icmpv6.ECHO, 0, 0x12340005, parse_ipv6(A), parse_ipv6(B))
    assert buf == b"\xee" * 2 + frames.icmp6_echo(A, B, 0x1234, 5, b"abc") + b"\xee"
    assert icmpv6.is_valid(buf, 2, 13, parse_ipv6(A), parse_ipv6(B))
    assert not icmpv6.is_valid(buf, 2, 13, parse_ipv6(A), parse_ipv6(A))


def test_a_zone_has_no_part_in_the_checksum():
    """RFC 4007 section 6: zones are the node's own."""
    a, b = parse_ipv6("fe80::1"), parse_ipv6("fe80::2")
    message = frames.icmp6_echo("fe80::1", "fe80::2", 1, 2, b"x")
    assert icmpv6.is_valid(message, 0, len(message), scoped(a, 5), scoped(b, 77))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accessors(kind):
    """Every accessor reads its field of RFC 4443 section 2.1."""
    buf = kind(bytes.fromhex("ff0204abcd00010578"))
    assert icmpv6.type_(buf, 1) == icmpv6.PACKET_TOO_BIG
    assert icmpv6.code(buf, 1) == 4
    assert icmpv6.checksum(buf, 1) == 0xABCD
    assert icmpv6.rest(buf, 1) == 0x00010578
    assert (icmpv6.ident(buf, 1), icmpv6.sequence(buf, 1)) == (1, 1400)


def test_error_types():
    """RFC 4443 section 2.1: types 0 to 127 are errors, whether they are known or not."""
    assert [kind for kind in range(256) if icmpv6.is_error(kind)] == list(range(128))


def test_numbers():
    """RFC 4443, RFC 4861 section 4, RFC 2710, RFC 3810, RFC 7112: the numbers that go on the wire."""
    assert [icmpv6.DEST_UNREACHABLE, icmpv6.PACKET_TOO_BIG, icmpv6.TIME_EXCEEDED, icmpv6.PARAMETER_PROBLEM] == [
        1,
        2,
        3,
        4,
    ]
    assert [
        icmpv6.NO_ROUTE,
        icmpv6.PROHIBITED,
        icmpv6.BEYOND_SCOPE,
        icmpv6.ADDRESS_UNREACHABLE,
        icmpv6.PORT_UNREACHABLE,
        icmpv6.SOURCE_POLICY,
        icmpv6.REJECT_ROUTE,
    ] == list(range(7))
    assert [
        icmpv6.ECHO,
        icmpv6.ECHO_REPLY,
        icmpv6.MLD_QUERY,
        icmpv6.MLD_REPORT,
        icmpv6.MLD_DONE,
        icmpv6.ROUTER_SOLICITATION,
        icmpv6.ROUTER_ADVERTISEMENT,
        icmpv6.NEIGHBOUR_SOLICITATION,
        icmpv6.NEIGHBOUR_ADVERTISEMENT,
        icmpv6.REDIRECT,
    ] == list(range(128, 138))
    assert icmpv6.MLDV2_REPORT == 143
    assert [icmpv6.HOP_LIMIT_EXCEEDED, icmpv6.REASSEMBLY_EXCEEDED] == [0, 1]
    assert [
        icmpv6.ERRONEOUS_FIELD,
        icmpv6.UNRECOGNISED_NEXT_HEADER,
        icmpv6.UNRECOGNISED_OPTION,
        icmpv6.INCOMPLETE_CHAIN,
    ] == [0, 1, 2, 3]


# Quoted packets -------------------------------------------------------------------------------------------------------


def quoted(packet, cut=None):
    data = b"\xee" * 8 + packet[:cut]
    return icmpv6.QuotedPacket.parse(data + b"\xee", 8, len(data))


@pytest.mark.parametrize("cut", [48, 50, None])
def test_quoted_udp(cut):
    """Addresses, ports and the first 8 octets, with the names that sockets know from IPv4."""
    packet = frames.ipv6_udp(A, B, 4000, 53, b"question")
    found = quoted(packet, cut)
    assert isinstance(found, icmp.QuotedPacket)
    assert (found.src, found.dst, found.proto) == (parse_ipv6(A), parse_ipv6(B), 17)
    assert (found.sport, found.dport, found.data) == (4000, 53, packet[40:48])
    assert (found.ident, found.fragment_offset, found.total_length) == (0, 0, 56)


def test_quoted_echo():
    """The identifier is at octets 4 and 5 of the data."""
    found = quoted(frames.ipv6_echo(A, B, 0x1234, 7))
    assert (found.proto, icmpv6.ident(found.data, 0), icmpv6.sequence(found.data, 0)) == (58, 0x1234, 7)


def test_quoted_packet_behind_extension_headers():
    """The upper-layer header is found behind what precedes it, whatever the options are; none of them is judged."""
    inner = frames.destination_options(17, frames.udp(A, B, 5, 6), frames.option(0xC2, b"\0\0\0\0"))
    packet = frames.ipv6(A, B, 0, frames.hop_by_hop(43, frames.routing(60, inner, [A], segments_left=1)))
    found = quoted(packet)
    assert (found.proto, found.sport, found.dport, found.total_length) == (17, 5, 6, 40 + 8 + 24 + 8 + 8)


def test_quoted_fragments():
    """A first fragment has ports, a later one none; the offset is in units of 8 octets as IPv4's is."""
    first, second = frames.fragments6(frames.ipv6_udp(A, B, 5, 6, bytes(40)), 80, ident=0xABCDEF01)
    found = quoted(first)
    assert (found.proto, found.sport, found.dport, found.ident, found.fragment_offset) == (17, 5, 6, 0xABCDEF01, 0)
    found = quoted(second)
    assert (found.proto, found.sport, found.dport, found.ident, found.fragment_offset) == (17, 0, 0, 0xABCDEF01, 4)


@pytest.mark.parametrize("cut", [0, 39, 40, 47])
def test_too_little_is_quoted(cut):
    """Less than the header and 8 octets tells nothing for certain."""
    assert quoted(frames.ipv6_udp(A, B, 4000, 53, b"question"), cut) is None


def test_a_small_packet_is_quoted_whole():
    """A packet without 8 octets of data has no more to quote."""
    found = quoted(frames.ipv6(A, B, 253, b"abc"))
    assert (found.proto, found.data, found.sport) == (253, b"abc", 0)
    found = quoted(frames.ipv6(A, B, 59))
    assert (found.proto, found.data) == (59, b"")


@pytest.mark.parametrize(
    "packet",
    [
        frames.ipv6(A, B, 17, bytes(20), version=4),
        frames.ipv6(A, B, 60, bytes((17, 255)) + bytes(30)),
        frames.ipv6(A, B, 60, b"\x3c\0" * 40, payload_length=4),
        frames.ipv6(A, B, 44, frames.fragment_header(17, b"")[:7]),
    ],
)
def test_what_is_no_ipv6_packet_is_not_quoted(packet):
    """Another version, and chains that do not end within the packet."""
    assert quoted(packet) is None


def test_the_place_of_a_quoted_packet_is_checked():
    """Ends beyond the buffer and places before it are refused, not read."""
    packet = frames.ipv6_udp(A, B, 1, 2)
    assert icmpv6.QuotedPacket.parse(packet, -1, len(packet)) is None
    assert icmpv6.QuotedPacket.parse(packet, 0, len(packet) + 1) is None
