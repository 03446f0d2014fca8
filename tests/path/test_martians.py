"""Addresses that cannot stand where they do: RFC 1812 5.3.7, 5.3.8, RFC 1122 3.2.1.3, RFC 3927 7.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b        default route by 10.0.2.2
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

SOURCES = {
    "0.0.0.0": DropReason.IP_INVALID_SOURCE,
    "0.1.2.3": DropReason.IP_INVALID_SOURCE,
    "127.0.0.1": DropReason.IP_LOCALNET,
    "127.255.0.9": DropReason.IP_LOCALNET,
    "224.0.0.1": DropReason.IP_INVALID_SOURCE,
    "239.1.2.3": DropReason.IP_INVALID_SOURCE,
    "240.0.0.1": DropReason.IP_INVALID_SOURCE,
    "255.255.255.255": DropReason.IP_INVALID_SOURCE,
    "10.0.1.255": DropReason.IP_INVALID_SOURCE,
    "10.0.2.255": DropReason.IP_INVALID_SOURCE,
    "10.0.1.0": DropReason.IP_INVALID_SOURCE,
    "10.0.1.1": DropReason.IP_LOCAL_SOURCE,
    "10.0.2.1": DropReason.IP_LOCAL_SOURCE,
}
DESTINATIONS = {
    "0.0.0.0": DropReason.IP_INVALID_DEST,
    "0.1.2.3": DropReason.IP_INVALID_DEST,
    "127.0.0.1": DropReason.IP_LOCALNET,
    "127.9.9.9": DropReason.IP_LOCALNET,
    "240.0.0.1": DropReason.IP_INVALID_DEST,
    "255.255.255.254": DropReason.IP_INVALID_DEST,
    "10.0.1.0": DropReason.IP_INVALID_DEST,
    "10.0.2.0": DropReason.IP_INVALID_DEST,
}


def datagram(src: str, dst: str, **header: object) -> bytes:
    """A UDP packet that is right but for its addresses."""
    return frames.ipv4_udp(src, dst, 1000, 7, b"x", **header)


@pytest.fixture(autouse=True)
def _default_route(bed: Bed) -> None:
    bed.r.add_route("default", via="10.0.2.2", now=bed.now)


@pytest.mark.parametrize("dst", ["10.0.2.2", "10.0.1.1"], ids=["transit", "ours"])
@pytest.mark.parametrize(("src", "reason"), SOURCES.items())
def test_an_impossible_source_is_silently_discarded(bed: Bed, src: str, dst: str, reason: DropReason) -> None:
    """RFC 1812 4.2.2.11, 5.3.7, RFC 1122 3.2.1.3: no such source is forwarded, delivered or answered."""
    bed.udp(7)
    with bed.expect(rx=1, drops={reason: 1}, IpInReceives=1):
        bed.a.send(datagram(src, dst))
    assert bed.a.received == bed.b.received == []


@pytest.mark.parametrize(("dst", "reason"), DESTINATIONS.items())
def test_an_impossible_destination_is_silently_discarded(bed: Bed, dst: str, reason: DropReason) -> None:
    """RFC 1812 5.3.7, 4.2.3.1 (2): dropped before the routing decision, although there is a default route."""
    with bed.expect(rx=1, drops={reason: 1}, IpInReceives=1):
        bed.a.send(datagram("10.0.1.2", dst))
    assert bed.a.received == bed.b.received == []


def test_a_host_that_does_not_know_its_address(bed: Bed) -> None:
    """RFC 1812 4.2.2.11 a: source 0.0.0.0 is accepted where a protocol defines it: to the limited broadcast."""
    sock = bed.udp(67)
    with bed.expect(rx=1, IpInReceives=1, IpInBcastPkts=1, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(frames.ipv4_udp("0.0.0.0", "255.255.255.255", 68, 67, b"discover"), dst_mac=frames.BROADCAST)
    assert bed.received(sock) == [b"discover"]


def test_the_old_broadcast_of_zeros_is_none(bed: Bed) -> None:
    """RFC 1812 4.2.3.1 (2), 5.3.5: 0.0.0.0 is no destination, from 0.0.0.0 neither."""
    bed.udp(67)
    with bed.expect(rx=1, drops={DropReason.IP_INVALID_SOURCE: 1}, IpInReceives=1):
        bed.a.send(frames.ipv4_udp("0.0.0.0", "0.0.0.0", 68, 67, b"x"), dst_mac=frames.BROADCAST)


def test_a_source_of_the_other_link_is_believed_by_default(bed: Bed) -> None:
    """RFC 1812 5.3.8: source address validation is off by default."""
    with bed.expect(rx={"a": 1}, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(datagram("10.0.2.9", "10.0.2.2"))


@pytest.mark.parametrize(
    ("mode", "src", "passes"),
    [
        (1, "10.0.1.2", True),
        (1, "10.0.2.9", False),
        (1, "192.0.2.1", False),
        (2, "10.0.2.9", True),
        (2, "192.0.2.1", True),
        (2, "198.51.100.1", False),
        (2, "203.0.113.1", False),
    ],
    ids=[
        "strict, this link",
        "strict, the other link",
        "strict, behind the other link",
        "loose, the other link",
        "loose, behind the other link",
        "loose, blackhole",
        "loose, unreachable",
    ],
)
@pytest.mark.parametrize("scope", ["a", "all"])
def test_source_address_validation(bed: Bed, scope: str, mode: int, src: str, passes: bool) -> None:
    """RFC 1812 5.3.8, RFC 3704 2.2, 2.4: rp_filter 1 wants the route back by the same device, 2 any route; silently."""
    bed.r.add_route("198.51.100.0/24", type="blackhole", now=bed.now)
    bed.r.add_route("203.0.113.0/24", type="unreachable", now=bed.now)
    bed.r.sysctl[f"net.ipv4.conf.{scope}.rp_filter"] = mode
    if passes:
        with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
            bed.a.send(datagram(src, "10.0.2.2"))
    else:
        with bed.expect(rx=1, drops={DropReason.IP_RPFILTER: 1}, IpInReceives=1):
            bed.a.send(datagram(src, "10.0.2.2"))
        assert bed.a.received == []


def test_source_validation_spares_who_has_no_address_yet(bed: Bed) -> None:
    """RFC 1812 4.2.2.11 a: with rp_filter too, source 0.0.0.0 to the limited broadcast is no spoofed one."""
    bed.r.sysctl["net.ipv4.conf.all.rp_filter"] = 1
    sock = bed.udp(67)
    bed.a.send(frames.ipv4_udp("0.0.0.0", "255.255.255.255", 68, 67, b"x"), dst_mac=frames.BROADCAST)
    assert bed.received(sock) == [b"x"]


def test_accept_local_lets_own_addresses_in(bed: Bed) -> None:
    """Linux's accept_local: two devices of one namespace on one wire may talk to each other."""
    bed.r.sysctl["net.ipv4.conf.a.accept_local"] = 1
    sock = bed.udp(7)
    with bed.expect(rx=1, IpInReceives=1, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(datagram("10.0.2.1", "10.0.1.1"))
    assert bed.received(sock) == [b"x"]


def test_route_localnet_takes_127_from_the_wire(bed: Bed) -> None:
    """Linux's route_localnet: 127/8 is allowed on this device, and on no other."""
    bed.r.sysctl["net.ipv4.conf.a.route_localnet"] = 1
    sock = bed.udp(7)
    with bed.expect(rx=2, IpInReceives=2, drops={DropReason.IP_LOCALNET: 1}, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(datagram("10.0.1.2", "127.0.0.1"))
        bed.b.send(datagram("10.0.2.2", "127.0.0.1"))
    assert bed.received(sock) == [b"x"]


@pytest.mark.parametrize(
    ("src", "dst"), [("169.254.7.7", "10.0.2.2"), ("10.0.1.2", "169.254.7.7")], ids=["source", "destination"]
)
def test_link_local_addresses_stay_on_their_link(bed: Bed, src: str, dst: str) -> None:
    """RFC 3927 7, 2.6.2: a packet from or to 169.254/16 is not forwarded, whatever the routes say."""
    with bed.expect(rx=1, drops={DropReason.FORWARD_LINK_LOCAL: 1}, IpInReceives=1):
        bed.a.send(datagram(src, dst))
    assert bed.a.received == bed.b.received == []


def test_a_link_local_sender_is_served(bed: Bed) -> None:
    """RFC 3927 2.7: on its own link a link-local address is as good as any."""
    bed.r.add_address("a", "169.254.7.1/16", now=bed.now)
    bed.settle()
    sock = bed.udp(7)
    bed.a.send(datagram("169.254.7.7", "169.254.7.1"))
    assert bed.received(sock) == [b"x"]


def test_127_never_leaves(bed: Bed) -> None:
    """RFC 1812 4.2.2.11 e, RFC 1122 3.2.1.3 (g): with a default route too, 127/8 stays on lo."""
    receiver, sender = bed.udp(7), bed.udp()
    with bed.expect(lo=1, IpOutRequests=1, IpInReceives=1, IpInDelivers=1, UdpOutDatagrams=1, UdpInDatagrams=1):
        sender.sendto(b"home", ("127.3.2.1", 7), now=bed.now)
    assert receiver.recvfrom(99, now=bed.now)[0] == b"home"
    assert bed.b.received == []


@pytest.mark.parametrize("flag", [frames.BROADCAST, "01:00:5e:00:00:01"], ids=["broadcast", "multicast"])
@pytest.mark.parametrize(
    ("dst", "proto"), [("10.0.2.2", "udp"), ("10.0.1.1", "udp"), ("10.0.1.1", "echo"), ("10.0.9.9", "udp")]
)
def test_a_unicast_in_a_group_frame_is_silently_discarded(bed: Bed, flag: str, dst: str, proto: str) -> None:
    """RFC 1122 3.3.6, RFC 1812 5.3.4: neither forwarded nor delivered nor answered; for us and for others."""
    bed.udp(7)
    packet = datagram("10.0.1.2", dst) if proto == "udp" else frames.ipv4_echo("10.0.1.2", dst)
    with bed.expect(rx=1, drops={DropReason.UNICAST_IN_L2_MULTICAST: 1}, IpInReceives=1):
        bed.a.send(packet, dst_mac=flag)
    assert bed.a.received == bed.b.received == []


def test_a_broadcast_or_multicast_in_a_unicast_frame_is_delivered(bed: Bed) -> None:
    """RFC 1122 3.3.6: the reverse is not forbidden: the limited broadcast in a frame for this station alone."""
    sock = bed.udp(7)
    bed.a.send(datagram("10.0.1.2", "255.255.255.255"))
    assert bed.received(sock) == [b"x"]
    assert bed.b.received == []


def test_own_packets_have_own_sources(bed: Bed) -> None:
    """RFC 1812 4.2.2.11, RFC 1122 3.2.1.3: whichever way a packet leaves, its source is an address of ours there."""
    sock = bed.udp(5000)
    for dst in ("10.0.1.2", "10.0.2.2", "192.0.2.1"):
        sock.sendto(b"x", (dst, 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1", dst="10.0.1.2")]
    assert bed.b.received == [
        match.udp(src="10.0.2.1", dst="10.0.2.2"),
        match.udp(src="10.0.2.1", dst="192.0.2.1", eth_dst=bed.b.mac),
    ]


def test_an_own_address_that_is_another_network_s_number(bed: Bed) -> None:
    """RFC 3021: 10.0.9.0/31 has an owner, whatever other prefixes are configured around it (RFC 1812 4.2.3.1)."""
    bed.r.add_address("a", "10.0.9.0/31", now=bed.now)
    bed.r.add_address("b", "10.0.9.2/24", now=bed.now)
    bed.a.clear()
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.9.0", 1, 1, b"x"))
    assert bed.a.received == [match.icmp4(type=0, src="10.0.9.0")]
