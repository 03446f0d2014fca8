"""IPv6 header: the bytes of RFC 8200, and what setters and the hop limit step leave alone."""

import pytest

from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.wire import ethernet, ipv6
from vrouter.testing import frames

A, B = parse_ipv6("fe80::1"), parse_ipv6("2001:db8::2")


def header(**fields):
    given = {"payload_length": 0x1234, "next_header": 17, "hop_limit": 64, "src": A, "dst": B} | fields
    buf = bytearray(42)
    assert ipv6.emit_header(buf, 1, **given) == 40
    assert buf[0] == buf[41] == 0
    return buf[1:41]


def test_emit_header():
    """RFC 8200 section 3, byte by byte; the addresses' zones stay behind."""
    wanted = bytes.fromhex("60000000 1234 11 40 fe800000000000000000000000000001 20010db8000000000000000000000002")
    assert header() == wanted
    assert header(src=scoped(A, 9)) == wanted
    assert header(traffic_class=0xAB, flow_label=0xCDEF1)[:4] == bytes.fromhex("6abcdef1")


@pytest.mark.parametrize(
    ("setter", "value", "at", "octets"),
    [
        (ipv6.set_traffic_class, 0x5A, 0, "65afffff"),
        (ipv6.set_flow_label, 0x12345, 0, "6ff12345"),
        (ipv6.set_payload_length, 0x0102, 4, "0102"),
        (ipv6.set_next_header, 43, 6, "2b"),
        (ipv6.set_hop_limit, 7, 7, "07"),
        (ipv6.set_src, scoped(A, 3), 8, "fe800000000000000000000000000001"),
        (ipv6.set_dst, scoped(A, 3), 24, "fe800000000000000000000000000001"),
    ],
)
def test_setters_write_their_field_alone(setter, value, at, octets):
    """Every bit around the field stays as it was."""
    before = bytes.fromhex("6fffffff") + bytes(range(36))
    buf = bytearray(b"\xee" + before + b"\xee")
    setter(buf, 1, value)
    wanted = bytes.fromhex(octets)
    assert buf == b"\xee" + before[:at] + wanted + before[at + len(wanted) :] + b"\xee"


def test_decrement_hop_limit():
    """RFC 8200 section 3: one less by each node that forwards."""
    buf = header(hop_limit=2)
    assert (ipv6.decrement_hop_limit(buf, 0), ipv6.hop_limit(buf, 0)) == (1, 1)
    assert (ipv6.decrement_hop_limit(buf, 0), ipv6.hop_limit(buf, 0)) == (0, 0)


def test_router_alert_header():
    """RFC 2711 section 2.1, RFC 3810 section 5: the hop-by-hop header that MLD messages carry."""
    buf = bytearray(10)
    assert ipv6.emit_router_alert(buf, 1, 58) == 8
    assert buf == b"\0" + bytes.fromhex("3a00 0502 0000 0100") + b"\0"
    assert buf[1:9] == frames.hop_by_hop(58, b"", frames.option(5, b"\0\0"))
    ipv6.emit_router_alert(buf, 1, 58, ipv6.ALERT_RSVP)
    assert buf[1:9] == bytes.fromhex("3a00 0502 0001 0100")


def test_numbers():
    """The assigned protocol numbers, and the least MTU of RFC 8200 section 5."""
    assert (ipv6.PROTO_HOPOPTS, ipv6.PROTO_TCP, ipv6.PROTO_UDP, ipv6.PROTO_ROUTING, ipv6.PROTO_FRAGMENT) == (
        0,
        6,
        17,
        43,
        44,
    )
    assert (ipv6.PROTO_ESP, ipv6.PROTO_AH, ipv6.PROTO_ICMPV6, ipv6.PROTO_NONE, ipv6.PROTO_DSTOPTS) == (
        50,
        51,
        58,
        59,
        60,
    )
    assert (ipv6.PROTO_MOBILITY, ipv6.PROTO_HIP, ipv6.PROTO_SHIM6, ipv6.MIN_MTU) == (135, 139, 140, 1280)


def test_multicast_mac():
    """RFC 2464 section 7: 33:33 and the last 32 bits."""
    assert ethernet.multicast_mac6(parse_ipv6("ff02::1:ff0e:8c6c")) == bytes.fromhex("3333ff0e8c6c")
    assert ethernet.multicast_mac6(parse_ipv6("ff05::2")) == bytes.fromhex("333300000002")
