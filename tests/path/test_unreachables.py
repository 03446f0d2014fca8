"""ICMP errors that the router makes: who is told, by whom, what is quoted, how often (RFC 1812 4.3.2, RFC 1122 3.2.2).

a 10.0.1.2 ── 10.0.1.1, 10.0.1.129 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

TOLD = {"IpInReceives": 1, "IpOutRequests": 1, "IcmpOutMsgs": 1, "IcmpOutDestUnreachs": 1}
NOWHERE = "192.0.2.1"


def datagram(dst: str, payload: bytes = b"x", *, src: str = "10.0.1.2", **header: object) -> bytes:
    """A UDP packet from a to a closed port."""
    return frames.ipv4_udp(src, dst, 1000, 9, payload, **header)


def cause(kind: str, **header: object) -> tuple[bytes, tuple[int, int], DropReason]:
    """A packet that ends in an error, the error, and why it dies."""
    if kind == "no route":
        return datagram(NOWHERE, **header), (3, 0), DropReason.IP_INNOROUTES
    if kind == "no port":
        return datagram("10.0.1.1", **header), (3, 3), DropReason.NO_SOCKET
    if kind == "no protocol":
        return frames.ipv4("10.0.1.2", "10.0.1.1", 99, b"x" * 40, **header), (3, 2), DropReason.IP_NOPROTO
    return datagram("10.0.2.2", **{"ttl": 1, **header}), (11, 0), DropReason.TTL_EXPIRED


CAUSES = pytest.mark.parametrize("kind", ["no route", "no port", "no protocol", "TTL"])


def test_port_unreachable(bed: Bed) -> None:
    """RFC 1122 4.1.3.1: a datagram to a port where nobody listens is answered by the address that it was sent to."""
    with bed.expect(rx=1, tx=1, drops={DropReason.NO_SOCKET: 1}, IpInDelivers=1, UdpNoPorts=1, **TOLD):
        sent = bed.a.send(datagram("10.0.2.1"))
    assert bed.a.received == [match.icmp4(type=3, code=3, src="10.0.2.1", dst="10.0.1.2", payload=sent)]


@CAUSES
@pytest.mark.parametrize("tos", [0x00, 0x10, 0x5C, 0xB8, 0xFF])
def test_type_of_service_and_ttl_of_an_error(bed: Bed, kind: str, tos: int) -> None:
    """RFC 1812 4.3.2.2, 4.3.2.5: our own TTL, the cause's TOS bits with precedence 6; no DF, as Linux."""
    packet, (type_, code), _ = cause(kind, tos=tos)
    bed.a.send(packet)
    assert bed.a.received == [match.icmp4(type=type_, code=code, ttl=64, tos=tos & 0x1E | 0xC0, df=False, rest=0)]


@CAUSES
def test_the_default_ttl_is_a_setting(bed: Bed, kind: str) -> None:
    """RFC 1122 3.2.1.7, RFC 1812 4.2.2.9: the TTL of what the stack makes is net.ipv4.ip_default_ttl."""
    bed.r.sysctl["net.ipv4.ip_default_ttl"] = 200
    bed.a.send(cause(kind)[0])
    assert bed.a.received == [match.icmp4(ttl=200)]


@pytest.mark.parametrize("size", [0, 8, 519, 520, 521, 1472])
@pytest.mark.parametrize("dst", [NOWHERE, "10.0.1.1"])
def test_as_much_is_quoted_as_fits_into_576_bytes(bed: Bed, dst: str, size: int) -> None:
    """RFC 1812 4.3.2.3, RFC 1122 3.2.2: the bytes as they were received, the whole answer at most 576 bytes."""
    sent = bed.a.send(datagram(dst, bytes(i & 255 for i in range(size))))
    assert bed.a.received == [match.icmp4(payload=sent[:548])]
    assert len(bed.a.received[0]) - 14 == min(576, 28 + len(sent))


def test_padding_is_not_quoted(bed: Bed) -> None:
    """RFC 1812 4.3.2.3: what stands behind the packet in its frame is not part of it."""
    packet = datagram(NOWHERE)
    bed.a.send_frame(frames.ethernet(bed.a.dev.mac, bed.a.mac, frames.IPV4, packet, pad=True))
    assert bed.a.received == [match.icmp4(type=3, code=0, payload=packet)]


def test_the_source_is_that_of_the_way_back(bed: Bed) -> None:
    """RFC 1812 4.3.2.4: an address of the interface by which the error leaves, not of that by which its cause came."""
    bed.a.send(datagram(NOWHERE, src="10.0.2.2"))
    assert bed.a.received == []
    assert bed.b.received == [match.icmp4(type=3, code=0, src="10.0.2.1", dst="10.0.2.2")]


def test_the_source_can_be_that_of_the_way_in(bed: Bed) -> None:
    """Linux's icmp_errors_use_inbound_ifaddr: traceroute then shows the interface that a packet came in by."""
    bed.r.sysctl["net.ipv4.icmp_errors_use_inbound_ifaddr"] = 1
    bed.a.send(datagram(NOWHERE, src="10.0.2.2"))
    assert bed.b.received == [match.icmp4(type=3, code=0, src="10.0.1.1", dst="10.0.2.2")]


# -- who is not told --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", [3, 4, 5, 11, 12])
@pytest.mark.parametrize("dst", [NOWHERE, "10.0.2.2"], ids=["no route", "TTL"])
def test_no_error_about_an_error(bed: Bed, type_: int, dst: str) -> None:
    """RFC 1812 4.3.2.7, RFC 1122 3.2.2: an ICMP error message is never answered by another."""
    about = frames.ipv4("10.0.1.2", dst, 1, frames.icmp_error(type_, 0, datagram("10.0.1.9")), ttl=1)
    reason = DropReason.IP_INNOROUTES if dst == NOWHERE else DropReason.TTL_EXPIRED
    with bed.expect(rx=1, drops={reason: 1}, IpInReceives=1):
        bed.a.send(about)


@pytest.mark.parametrize("type_", [77, 255, 19])
def test_no_error_about_icmp_of_an_unknown_type(bed: Bed, type_: int) -> None:
    """RFC 1122 3.2.2: what may be an error of a kind that we do not know is treated as one."""
    with bed.expect(rx=1, drops={DropReason.TTL_EXPIRED: 1}, IpInReceives=1):
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.2.2", 1, frames.icmp(type_, 0), ttl=1))


def test_no_error_about_icmp_too_short_to_tell(bed: Bed) -> None:
    """RFC 1122 3.2.2: ICMP whose type cannot be read may be an error."""
    with bed.expect(rx=1, drops={DropReason.TTL_EXPIRED: 1}, IpInReceives=1):
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.2.2", 1, b"", ttl=1))


@pytest.mark.parametrize("reply", [False, True])
def test_an_error_about_echo_is_allowed(bed: Bed, reply: bool) -> None:
    """RFC 1812 4.3.2.7: queries and their replies are no errors, so traceroute by ping works."""
    sent = bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.2.2", ttl=1, reply=reply))
    assert bed.a.received == [match.icmp4(type=11, code=0, payload=sent)]


def test_only_about_the_first_fragment(bed: Bed) -> None:
    """RFC 1812 4.3.2.7, RFC 1122 3.2.2: a fragment other than the first is silently discarded."""
    first, *later = frames.fragments(datagram(NOWHERE, bytes(1200), ident=4), 576)
    drops = {DropReason.IP_INNOROUTES: 1 + len(later)}
    stats = {**TOLD, "IpInReceives": 1 + len(later)}
    with bed.expect(rx=1 + len(later), tx=1, drops=drops, **stats):
        for piece in (*later, first):
            bed.a.send(piece)
    assert bed.a.received == [match.icmp4(type=3, code=0, payload=first[:548])]


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.0.1.255", "224.0.0.1"])
@pytest.mark.parametrize("proto", [17, 99], ids=["closed port", "unknown protocol"])
def test_no_error_about_a_packet_to_a_group(bed: Bed, dst: str, proto: int) -> None:
    """RFC 1812 4.3.2.7, RFC 1122 3.2.2: a packet to a broadcast or multicast address is never answered by an error."""
    packet = datagram(dst) if proto == 17 else frames.ipv4("10.0.1.2", dst, 99, b"x")
    for mac in (frames.BROADCAST, None):
        bed.a.send(packet, dst_mac=mac)
    assert bed.a.received == []


def test_no_error_to_a_source_that_is_no_host(bed: Bed) -> None:
    """RFC 1812 4.3.2.7, RFC 1122 3.2.2: nothing is sent to 0/8, 127/8, a group, a broadcast address, or class E."""
    sources = ("0.0.0.0", "0.0.0.9", "127.0.0.1", "224.0.0.5", "10.0.1.255", "255.255.255.255", "250.1.1.1")
    for src in sources:
        bed.a.send(datagram(NOWHERE, src=src))
        bed.a.send(datagram("10.0.1.1", src=src))
    assert bed.a.received == bed.b.received == []


def test_an_error_without_a_way_back_is_lost(bed: Bed) -> None:
    """An error is a packet like any other: without a route to the sender it dies, counted."""
    with bed.expect(
        rx=1,
        drops={DropReason.TTL_EXPIRED: 1, DropReason.IP_OUTNOROUTES: 1},
        IpInReceives=1,
    ):
        bed.a.send(datagram("10.0.2.2", src="203.0.113.5", ttl=1))


# -- how often --------------------------------------------------------------------------------------------------------


def errors(bed: Bed, count: int, packet: bytes) -> int:
    """How many errors a gets for `count` packets at one moment."""
    bed.a.clear()
    for _ in range(count):
        bed.a.send(packet)
    return len(bed.a.received)


def test_rate_limit_for_each_peer(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: six errors in a row, then one a second; what is not sent is a drop of its own."""
    packet = datagram(NOWHERE)
    with bed.expect(
        rx=10,
        tx=6,
        drops={DropReason.IP_INNOROUTES: 10, DropReason.ICMP_RATELIMIT: 4},
        **dict.fromkeys(TOLD, 6) | {"IpInReceives": 10},
    ):
        assert errors(bed, 10, packet) == 6
    assert errors(bed, 1, datagram(NOWHERE, src="10.0.1.3")) == 0  # an ARP question goes out, the error waits
    assert [frame[38:42] for frame in bed.a.arp] == [bytes((10, 0, 1, 3))]  # another peer has its own allowance
    bed.run_for(0.999)
    assert errors(bed, 3, packet) == 0
    bed.run_for(0.001)
    assert errors(bed, 3, packet) == 1
    bed.run_for(3600)
    assert errors(bed, 10, packet) == 6


def test_rate_limit_of_the_namespace(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: fifty in a burst and a thousand a second for all peers together, each setting with an
    effect."""
    bed.r.sysctl["net.ipv4.icmp_ratelimit"] = 0  # no limit for a single peer
    packet = datagram(NOWHERE)
    assert errors(bed, 60, packet) == 50
    bed.run_for(0.010)
    assert errors(bed, 60, packet) == 10
    bed.r.sysctl["net.ipv4.icmp_msgs_per_sec"] = 100
    bed.r.sysctl["net.ipv4.icmp_msgs_burst"] = 3
    bed.run_for(1)
    assert errors(bed, 60, packet) == 3
    bed.run_for(0.010)
    assert errors(bed, 60, packet) == 1


def test_rate_limit_by_type(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: net.ipv4.icmp_ratemask names the types that are limited."""
    bed.r.sysctl["net.ipv4.icmp_ratemask"] = 1 << 11
    assert errors(bed, 20, datagram(NOWHERE)) == 20
    assert errors(bed, 20, datagram("10.0.2.2", ttl=1)) == 6


def test_rate_limit_interval(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: net.ipv4.icmp_ratelimit is the time between two errors for one peer, in ms."""
    bed.r.sysctl["net.ipv4.icmp_ratelimit"] = 250
    assert errors(bed, 20, datagram(NOWHERE)) == 6
    bed.run_for(0.5)
    assert errors(bed, 20, datagram(NOWHERE)) == 2


@pytest.mark.parametrize("bed", [{"mtu": 600}], indirect=True)
def test_fragmentation_needed_is_not_limited(bed: Bed) -> None:
    """RFC 1191 4: without these messages a path is a black hole; they are free, as in Linux."""
    assert errors(bed, 100, datagram("10.0.2.2", bytes(800), df=True)) == 100


def test_echo_replies_are_not_limited(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: the limit is for errors; net.ipv4.icmp_ratemask does not name echo replies."""
    assert errors(bed, 200, frames.ipv4_echo("10.0.1.2", "10.0.1.1")) == 200
