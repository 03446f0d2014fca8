"""Multicast on a link: RFC 1112, RFC 1122 3.3.7, RFC 1812 4.2.2.11, 4.2.3.2, 5.2.3.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

from struct import pack
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames, match

GROUP = "239.129.2.3"
MAC = "01:00:5e:01:02:03"
DELIVERED = {"IpInReceives": 1, "IpInMcastPkts": 1, "IpInDelivers": 1, "UdpInDatagrams": 1}
SENT = {"IpOutRequests": 1, "IpOutMcastPkts": 1, "UdpOutDatagrams": 1}


def datagram(dst: str = GROUP, **header: object) -> bytes:
    """A UDP packet from a."""
    return frames.ipv4_udp("10.0.1.2", dst, 1000, 7, b"x", **header)


def member(bed: Bed, group: str = GROUP, address: str = "10.0.1.1", port: int = 7) -> Any:
    """A socket that joined the group on the device with this address."""
    sock = bed.udp(port)
    sock.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, _mreq(group, address), now=bed.now)
    return sock


def _mreq(group: str, address: str) -> bytes:
    return pack("!II", frames.ip_int(group), frames.ip_int(address))


@pytest.mark.parametrize("ttl", [0, 1, 64])
def test_a_joined_group_is_received_on_its_device(bed: Bed, ttl: int) -> None:
    """RFC 1112 7.2, RFC 1812 4.2.2.11, 5.2.3: as if for us, per device, whatever the TTL; not forwarded."""
    sock = member(bed)
    with bed.expect(rx={"a": 1}, **DELIVERED):
        bed.a.send(datagram(ttl=ttl), dst_mac=MAC)
    assert bed.received(sock) == [b"x"]
    with bed.expect(rx={"b": 1}, drops={DropReason.OTHERHOST: 1}):
        bed.b.send(frames.ipv4_udp("10.0.2.2", GROUP, 1000, 7, b"x"), dst_mac=MAC)


def test_nobody_joined(bed: Bed) -> None:
    """RFC 1112 7.2, RFC 1812 5.3.10: a group of nobody's is not delivered, not forwarded, not answered."""
    bed.udp(7)
    with bed.expect(rx=1, drops={DropReason.OTHERHOST: 1}):
        bed.a.send(datagram(), dst_mac=MAC)
    with bed.expect(rx=1, drops={DropReason.MCAST_NO_INTEREST: 1}, IpInReceives=1, IpInMcastPkts=1):
        bed.a.send(datagram())
    assert bed.a.received == bed.b.received == []


def test_groups_that_share_a_link_address_are_kept_apart(bed: Bed) -> None:
    """RFC 1112 6.4: 32 groups share a MAC; the filter lets their frames in, the socket's membership decides."""
    sock = member(bed)
    with bed.expect(rx=1, drops={DropReason.MCAST_NO_INTEREST: 1}, IpInReceives=1, IpInMcastPkts=1):
        bed.a.send(datagram("238.1.2.3"), dst_mac=MAC)
    assert bed.received(sock) == []


def test_all_hosts_is_always_joined(bed: Bed) -> None:
    """RFC 1122 3.3.7: 224.0.0.1 from the device's first moment for as long as it exists; no report about it (RFC
    1112)."""
    sock = bed.udp(7)
    with bed.expect(rx=1, **DELIVERED):
        bed.a.send(datagram("224.0.0.1"), dst_mac="01:00:5e:00:00:01")
    assert bed.received(sock) == [b"x"]
    bed.stack.move_device(bed.a.dev, bed.r, "renamed", now=bed.now)
    bed.r.add_address("renamed", "10.0.1.1/24", now=bed.now)
    bed.settle()
    bed.a.send(datagram("224.0.0.1"), dst_mac="01:00:5e:00:00:01")
    assert bed.received(sock) == [b"x"]


def test_leaving_ends_it(bed: Bed) -> None:
    """RFC 1112 6.1: the last of a group's members on a device closes its filter again."""
    first, second = member(bed), member(bed, port=8)
    first.setsockopt(c.SOL_IP, c.IP_DROP_MEMBERSHIP, _mreq(GROUP, "10.0.1.1"), now=bed.now)
    assert frames.mac_bytes(MAC) in bed.a.dev.groups
    second.close(now=bed.now)
    with bed.expect(rx=1, drops={DropReason.OTHERHOST: 1}):
        bed.a.send(datagram(), dst_mac=MAC)


def test_what_is_sent_to_a_group(bed: Bed) -> None:
    """RFC 1112 6.1, 6.4, RFC 1122 3.3.6: TTL 1 by default, link address of the low 23 bits; no join is needed."""
    sock = bed.udp(5000, address="10.0.1.1")
    with bed.expect(tx={"a": 1}, **SENT):
        sock.sendto(b"x", (GROUP, 7), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1", dst=GROUP, ttl=1, eth_dst=MAC, eth_src=bed.a.dev.mac)]


def test_the_interface_is_chosen_by_the_socket(bed: Bed) -> None:
    """RFC 1112 6.1, RFC 1122 3.3.7: IP_MULTICAST_IF; otherwise as the default route goes; every device can."""
    sock = bed.udp(5000)
    sock.setsockopt(c.SOL_IP, c.IP_MULTICAST_IF, pack("!I", frames.ip_int("10.0.2.1")), now=bed.now)
    sock.setsockopt(c.SOL_IP, c.IP_MULTICAST_TTL, 9, now=bed.now)
    sock.sendto(b"x", (GROUP, 7), now=bed.now)
    other = bed.udp(5001)
    with pytest.raises(OSError, match="unreachable"):
        other.sendto(b"x", (GROUP, 7), now=bed.now)
    bed.r.add_route("default", via="10.0.1.2", now=bed.now)
    other.sendto(b"x", (GROUP, 7), now=bed.now)
    assert bed.b.received == [match.udp(src="10.0.2.1", ttl=9)]
    assert bed.a.received == [match.udp(src="10.0.1.1", ttl=1)]
    with pytest.raises(OSError, match="No such device"):
        sock.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, _mreq(GROUP, "10.9.9.9"), now=bed.now)


@pytest.mark.parametrize("loop", [True, False])
def test_own_multicasts_are_heard_by_members_here(bed: Bed, loop: bool) -> None:
    """RFC 1112 6.1: a sender that is in the group gets its own datagrams, unless IP_MULTICAST_LOOP is off."""
    listener, sock = member(bed), bed.udp(5000, address="10.0.1.1")
    sock.setsockopt(c.SOL_IP, c.IP_MULTICAST_LOOP, int(loop), now=bed.now)
    local = {"AcctCopies": 1, "IpInDelivers": 1, "UdpInDatagrams": 1} if loop else {}
    with bed.expect(tx={"a": 1}, **SENT, **local):
        sock.sendto(b"x", (GROUP, 7), now=bed.now)
    assert bed.received(listener) == ([b"x"] if loop else [])


def test_ttl_zero_stays_here(bed: Bed) -> None:
    """RFC 1112 6.1, RFC 1812 4.2.2.9: a group datagram with TTL 0 reaches members here and no wire."""
    listener, sock = member(bed), bed.udp(5000, address="10.0.1.1")
    sock.setsockopt(c.SOL_IP, c.IP_MULTICAST_TTL, 0, now=bed.now)
    with bed.expect(**SENT, IpInDelivers=1, UdpInDatagrams=1):
        sock.sendto(b"x", (GROUP, 7), now=bed.now)
    assert bed.received(listener) == [b"x"]


def test_each_member_gets_its_own(bed: Bed) -> None:
    """RFC 1122 4.1.3.5: all sockets that joined get the datagram; each copy is in the accounts."""
    one, two = bed.r.socket(), bed.r.socket()
    for sock in (one, two):
        sock.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1, now=bed.now)
        sock.bind((GROUP, 7), now=bed.now)
        sock.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, _mreq(GROUP, "10.0.1.1"), now=bed.now)
    bed.a.clear()
    with bed.expect(rx=1, AcctCopies=1, AcctDelivered=2, **DELIVERED | {"UdpInDatagrams": 2}):
        bed.a.send(datagram(), dst_mac=MAC)
    assert (bed.received(one), bed.received(two)) == ([b"x"], [b"x"])
    one.sendto(b"y", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1")]  # the group is no source
