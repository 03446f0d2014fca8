"""Broadcasts: RFC 1812 4.2.3.1, 5.3.5, RFC 2644, RFC 1122 3.3.6, RFC 919.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import errno

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames, match

DELIVERED = {"IpInReceives": 1, "IpInBcastPkts": 1, "IpInDelivers": 1, "UdpInDatagrams": 1}


def datagram(dst: str, **header: object) -> bytes:
    """A UDP packet from a."""
    return frames.ipv4_udp("10.0.1.2", dst, 1000, 7, b"x", **header)


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.0.1.255", "10.0.2.255"], ids=["limited", "of a", "of b"])
@pytest.mark.parametrize("ttl", [0, 1, 64])
def test_broadcasts_are_delivered_and_not_forwarded(bed: Bed, dst: str, ttl: int) -> None:
    """RFC 1812 4.2.2.11 d, 4.2.3.1, 5.2.3, 5.3.5.1, RFC 2644 3: received, and by default not sent on to any link."""
    sock = bed.udp(7)
    with bed.expect(rx=1, **DELIVERED):
        bed.a.send(datagram(dst, ttl=ttl), dst_mac=frames.BROADCAST)
    assert bed.received(sock) == [b"x"]
    assert bed.a.received == bed.b.received == []


def test_a_directed_broadcast_in_a_unicast_frame(bed: Bed) -> None:
    """RFC 1812 5.2.3, RFC 2644: from a neighbour router it comes as a unicast frame; delivered here, not sent on."""
    sock = bed.udp(7)
    with bed.expect(rx=1, **DELIVERED):
        bed.a.send(datagram("10.0.2.255"))
    assert bed.received(sock) == [b"x"]
    assert bed.b.received == []


@pytest.mark.parametrize("scopes", [("all", "a"), ("all",), ("a",), ("all", "b")])
def test_directed_broadcasts_can_be_forwarded(bed: Bed, scopes: tuple[str, ...]) -> None:
    """RFC 1812 5.3.5.2 with RFC 2644 3: an option, off by default; as in Linux both `all` and the arrival device."""
    for scope in scopes:
        bed.r.sysctl[f"net.ipv4.conf.{scope}.bc_forwarding"] = 1
    if scopes == ("all", "a"):
        with bed.expect(rx=1, tx={"b": 1}, IpInReceives=1, IpInBcastPkts=1, IpForwDatagrams=1):
            bed.a.send(datagram("10.0.2.255"))
        assert bed.b.received == [match.udp(dst="10.0.2.255", ttl=63, eth_dst=frames.BROADCAST)]
    else:
        with bed.expect(rx=1, drops={DropReason.NO_SOCKET: 1}, IpInReceives=1, IpInBcastPkts=1, IpInDelivers=1):
            bed.a.send(datagram("10.0.2.255"))
        assert bed.b.received == []


def test_a_broadcast_of_the_arrival_device_is_never_sent_back(bed: Bed) -> None:
    """RFC 1812 5.2.3: with forwarding of directed broadcasts too, that of the link where it came from stays there."""
    for scope in ("all", "a"):
        bed.r.sysctl[f"net.ipv4.conf.{scope}.bc_forwarding"] = 1
    sock = bed.udp(7)
    with bed.expect(rx=1, **DELIVERED):
        bed.a.send(datagram("10.0.1.255"), dst_mac=frames.BROADCAST)
    assert bed.received(sock) == [b"x"]


def test_the_broadcast_of_a_remote_network_is_a_host_address(bed: Bed) -> None:
    """RFC 1812 5.3.5.2: only who is attached knows that it is one; everybody else forwards it as unicast."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    with bed.expect(rx=2, tx={"b": 2}, IpInReceives=2, IpForwDatagrams=2):
        bed.a.send(datagram("192.0.2.255"))
        bed.a.send(datagram("192.0.2.0"))
    assert bed.b.received == [match.udp(dst="192.0.2.255", eth_dst=bed.b.mac), match.udp(dst="192.0.2.0")]


def test_the_limited_broadcast_is_never_routed(bed: Bed) -> None:
    """RFC 1812 5.3.5.1: no default route and no setting sends it to another link."""
    bed.r.add_route("default", via="10.0.2.2", now=bed.now)
    for scope in ("all", "a"):
        bed.r.sysctl[f"net.ipv4.conf.{scope}.bc_forwarding"] = 1
    sock = bed.udp(7)
    with bed.expect(rx=1, **DELIVERED):
        bed.a.send(datagram("255.255.255.255"))
    assert bed.received(sock) == [b"x"]


# -- sent here --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.0.1.255"])
def test_sending_a_broadcast_needs_permission(bed: Bed, dst: str) -> None:
    """RFC 1812 4.2.2.11 d, 5.3.5.1: broadcasts may be sent; as with BSD sockets, by who said so (SO_BROADCAST)."""
    sock = bed.udp(5000, address="10.0.1.1")
    with bed.expect(), pytest.raises(PermissionError) as caught:
        sock.sendto(b"x", (dst, 7), now=bed.now)
    assert caught.value.errno == errno.EACCES
    sock.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1, now=bed.now)
    sock.sendto(b"x", (dst, 7), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1", dst=dst, eth_dst=frames.BROADCAST, eth_src=bed.a.dev.mac)]
    assert bed.b.received == []


def test_own_broadcasts_are_heard_here_too(bed: Bed) -> None:
    """RFC 1122 4.1.3.5, Linux: who sends a broadcast and listens for it gets it, a copy of its own in the accounts."""
    listener, sock = bed.udp(7), bed.udp(5000, address="10.0.1.1")
    sock.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1, now=bed.now)
    with bed.expect(
        tx={"a": 1},
        AcctCopies=1,
        IpOutRequests=1,
        IpOutBcastPkts=1,
        UdpOutDatagrams=1,
        IpInDelivers=1,
        UdpInDatagrams=1,
    ):
        sock.sendto(b"all", ("10.0.1.255", 7), now=bed.now)
    assert listener.recvfrom(99, now=bed.now) == (b"all", ("10.0.1.1", 5000))


def test_a_limited_broadcast_goes_where_the_socket_is_bound(bed: Bed) -> None:
    """RFC 1812 4.2.3.1 (3), RFC 1122 3.3.6: the limited form serves any connected net, by device or by address."""
    sock = bed.udp(5000)
    sock.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1, now=bed.now)
    sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"b\0", now=bed.now)
    sock.sendto(b"x", ("255.255.255.255", 7), now=bed.now)
    assert bed.b.received == [match.udp(src="10.0.2.1", dst="255.255.255.255", eth_dst=frames.BROADCAST)]
    assert bed.a.received == []


@pytest.mark.parametrize("dst", ["10.0.1.0", "0.0.0.7", "240.0.0.1"])
def test_nobodys_addresses_are_not_sent_to(bed: Bed, dst: str) -> None:
    """RFC 1812 4.2.3.1 (4), 4.2.2.11 b, 5.3.7: {prefix, 0}, {0, host} and class E are never sent to, route or no
    route."""
    bed.r.add_route("default", via="10.0.2.2", now=bed.now)
    sock = bed.udp()
    with bed.expect(), pytest.raises(OSError) as caught:
        sock.sendto(b"x", (dst, 7), now=bed.now)
    assert caught.value.errno == errno.ENETUNREACH
    assert bed.a.arp == []


@pytest.mark.parametrize("address", ["10.0.1.255", "255.255.255.255"])
def test_a_broadcast_is_no_source(bed: Bed, address: str) -> None:
    """RFC 1122 3.2.1.3, RFC 1812 4.2.2.11 c, d: a socket bound to one listens there and sends from its own address."""
    sock = bed.udp(7, address=address)
    sock.sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1", sport=7)]
    bed.a.send(datagram("10.0.1.255"), dst_mac=frames.BROADCAST)
    assert bed.received(sock) == ([b"x"] if address == "10.0.1.255" else [])


def test_the_stack_broadcasts_nothing_but_arp(bed: Bed) -> None:
    """RFC 1122 3.3.6, RFC 1812 4.2.3.1 (3): of its own accord; an hour of a device's life shows none."""
    bed.r.add_address("a", "10.0.7.1/24", now=bed.now)
    bed.run_for(3600)
    assert bed.a.received == bed.b.received == []
    assert bed.a.arp == [match.arp(op=1, spa="10.0.7.1", tpa="10.0.7.1")] * 2


@pytest.mark.parametrize(
    "address", ["0.0.0.0/8", "0.1.2.3/8", "224.0.0.1/4", "255.255.255.255/32", "10.0.5.0/24", "10.0.5.255/24"]
)
def test_addresses_that_nobody_can_have(bed: Bed, address: str) -> None:
    """RFC 1812 4.2.2.11, 10.2.2, RFC 1122 3.2.1.3: no group, no zeros and no ones can be configured as an own
    address."""
    with pytest.raises(OSError) as caught:
        bed.r.add_address("a", address, now=bed.now)
    assert caught.value.errno == errno.EINVAL
    assert len(bed.a.dev.addresses) == 1
