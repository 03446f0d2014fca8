"""UDP through the whole stack: RFC 768, RFC 1122 4.1.3, RFC 6056.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab, frames, match

IN = {"IpInReceives": 1, "IpInDelivers": 1}
SENT = {"IpOutRequests": 1, "UdpOutDatagrams": 1}


def to_r(payload: bytes = b"data", **udp: Any) -> bytes:
    """A datagram from a to port 7 of r, with what is told to be wrong in its UDP header."""
    datagram = frames.udp("10.0.1.2", "10.0.1.1", 1000, 7, payload, **udp)
    return frames.ipv4("10.0.1.2", "10.0.1.1", 17, datagram)


@pytest.mark.parametrize("size", [0, 1, 2, 1471, 1472])
def test_a_datagram_arrives(bed: Bed, size: int) -> None:
    """RFC 768, RFC 1122 4.1.3.5: data and source reach the program, whichever the length."""
    sock = bed.udp(7)
    data = bytes(i & 255 for i in range(size))
    with bed.expect(rx=1, UdpInDatagrams=1, AcctDelivered=1, **IN):
        bed.a.send(to_r(data))
    assert sock.recvfrom(65535, now=bed.now) == (data, ("10.0.1.2", 1000))
    assert bed.stack.take_ready() == [(sock, 1)]


BAD = [
    ("7 bytes in all", lambda: frames.ipv4("10.0.1.2", "10.0.1.1", 17, bytes(7)), DropReason.L4_HDR),
    ("no bytes at all", lambda: frames.ipv4("10.0.1.2", "10.0.1.1", 17), DropReason.L4_HDR),
    ("length 7", lambda: to_r(length=7), DropReason.L4_HDR),
    ("length 0", lambda: to_r(length=0), DropReason.L4_HDR),
    ("length beyond the packet", lambda: to_r(length=13), DropReason.L4_HDR),
    ("wrong checksum", lambda: to_r(checksum=0x1234), DropReason.UDP_CSUM),
    (
        "checksum of another destination",
        lambda: frames.ipv4("10.0.1.2", "10.0.1.1", 17, frames.udp("10.0.1.2", "10.0.2.1", 1000, 7, b"data")),
        DropReason.UDP_CSUM,
    ),
]


@pytest.mark.parametrize(("packet", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_datagram_is_silently_discarded(bed: Bed, packet: Any, reason: DropReason) -> None:
    """RFC 768, RFC 1122 4.1.3.4: one change, one reason, no answer, whether somebody listens or not."""
    with bed.expect(rx=1, drops={reason: 1}, **IN):
        bed.a.send(packet())
    sock = bed.udp(7)
    with bed.expect(rx=1, drops={reason: 1}, **IN):
        bed.a.send(packet())
    assert bed.received(sock) == []
    assert bed.a.received == []


def test_no_checksum_is_accepted(bed: Bed) -> None:
    """RFC 768: zero means that the sender made none."""
    sock = bed.udp(7)
    bed.a.send(to_r(checksum=0))
    assert bed.received(sock) == [b"data"]


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(100))])
def test_a_checksum_is_always_made(bed: Bed, payload: bytes) -> None:
    """RFC 1122 4.1.3.4, RFC 1812 6.1: on by default, and there is no way to switch it off."""
    sock = bed.udp(5000)
    with pytest.raises(OSError, match="Protocol not available"):
        sock.setsockopt(c.SOL_SOCKET, 11, 1, now=bed.now)  # SO_NO_CHECK
    sock.sendto(payload, ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(payload=payload, sport=5000, dport=9)]
    assert bed.a.received[0][40:42] != b"\0\0"


def test_a_sum_of_zero_is_sent_as_all_ones(bed: Bed) -> None:
    """RFC 768: zero would say that there is none."""
    sock = bed.udp(5000)
    sock.sendto(b"\0\0", ("10.0.1.2", 9), now=bed.now)
    missing = bed.a.received[0][40:42]  # with this payload the sum becomes zero
    bed.a.clear()
    sock.sendto(missing, ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(payload=missing, checksum=0xFFFF)]


def test_a_full_receive_buffer(bed: Bed) -> None:
    """A program that does not read costs SO_RCVBUF bytes at most; the newest is dropped, silently."""
    sock = bed.udp(7)
    sock.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 2304, now=bed.now)
    for _ in range(8):
        bed.a.send(to_r(bytes(500)))
    kept = len(bed.received(sock))
    assert 0 < kept < 8
    assert bed.r.drop_counts() == {"SOCKET_RCVBUFF": 8 - kept}
    assert bed.a.received == []


def test_how_large_a_receive_buffer_is(bed: Bed) -> None:
    """Linux's net.core.rmem_default and rmem_max: what a socket starts with, and what it may ask for."""
    bed.r.sysctl["net.core.rmem_default"] = 8000
    bed.r.sysctl["net.core.rmem_max"] = 10000
    sock = bed.udp(7)
    for _ in range(20):
        bed.a.send(to_r(bytes(1000)))
    assert len(bed.received(sock)) == 4
    sock.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 1 << 30, now=bed.now)
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_RCVBUF) == 20000


@pytest.mark.parametrize(("tos", "ttl"), [(0x10, 1), (0xB8, 255)])
def test_the_program_sets_tos_and_ttl(bed: Bed, tos: int, ttl: int) -> None:
    """RFC 1122 3.2.1.6, 3.2.1.7, 4.1.4: of each socket; TTL 0 is refused."""
    sock = bed.udp(5000)
    sock.setsockopt(c.SOL_IP, c.IP_TOS, tos, now=bed.now)
    sock.setsockopt(c.SOL_IP, c.IP_TTL, ttl, now=bed.now)
    with pytest.raises(OSError, match="Invalid argument"):
        sock.setsockopt(c.SOL_IP, c.IP_TTL, 0, now=bed.now)
    sock.sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(tos=tos, ttl=ttl)]


def test_what_the_program_is_told_beside_the_data(bed: Bed) -> None:
    """RFC 1122 3.2.1.6, 3.4, 4.1.3.5, 4.1.4: TOS, TTL, the specific destination and the interface."""
    sock = bed.udp(7)
    for option in (c.IP_PKTINFO, c.IP_RECVTTL, c.IP_RECVTOS):
        sock.setsockopt(c.SOL_IP, option, 1, now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.1", 1000, 7, b"x", tos=0x5C, ttl=33))
    messages = {kind: data for _, kind, data in sock.recvmsg(99, 999, now=bed.now)[1]}
    assert messages[c.IP_TTL][:4] == b"\x21\0\0\0"
    assert messages[c.IP_TOS][:1] == b"\x5c"
    index, _, destination = messages[c.IP_PKTINFO][:4], messages[c.IP_PKTINFO][4:8], messages[c.IP_PKTINFO][8:12]
    assert (int.from_bytes(index, "little"), destination) == (bed.a.dev.ifindex, bytes((10, 0, 2, 1)))


def test_the_source_is_chosen_or_given(bed: Bed) -> None:
    """RFC 1122 3.3.4.2, 4.1.3.5, 4.1.3.6: bound to any address of ours, or left to the route; nobody else's."""
    bed.udp(5000, address="10.0.2.1").sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    bed.udp(5001).sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.2.1", sport=5000), match.udp(src="10.0.1.1", sport=5001)]
    for address in ("10.0.1.2", "192.0.2.1"):
        with pytest.raises(OSError) as caught:
            bed.udp(5002, address=address)
        assert caught.value.errno == errno.EADDRNOTAVAIL


def test_the_program_learns_the_chosen_address(bed: Bed) -> None:
    """RFC 1122 4.1.3.5: getsockname of a connected socket."""
    sock = bed.udp(5000)
    sock.connect(("10.0.2.2", 9), now=bed.now)
    assert sock.getsockname(now=bed.now) == ("10.0.2.1", 5000)


def test_replies_come_from_the_address_that_was_asked(bed: Bed) -> None:
    """RFC 1122 3.3.4.2: a socket that is bound to the address answers with it, by whichever device."""
    sock = bed.udp(7, address="10.0.2.1")
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.1", 1000, 7, b"?"))
    _, peer = sock.recvfrom(99, now=bed.now)
    sock.sendto(b"!", peer, now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.2.1", sport=7, dst="10.0.1.2", dport=1000)]


def test_a_device_bound_socket_hears_its_device_alone(bed: Bed) -> None:
    """SO_BINDTODEVICE: the interface is known to the transport (RFC 1122 3.4)."""
    sock = bed.udp(7)
    sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"b\0", now=bed.now)
    with bed.expect(
        rx=1,
        tx=1,
        drops={DropReason.NO_SOCKET: 1},
        UdpNoPorts=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
        **IN,
    ):
        bed.a.send(to_r())
    bed.b.send(frames.ipv4_udp("10.0.2.2", "10.0.1.1", 1, 7, b"x"))
    assert bed.received(sock) == [b"x"]


@pytest.mark.parametrize(
    ("type_", "code", "number"),
    [
        (3, 0, errno.ENETUNREACH),
        (3, 1, errno.EHOSTUNREACH),
        (3, 2, errno.ENOPROTOOPT),
        (3, 3, errno.ECONNREFUSED),
        (3, 5, errno.EOPNOTSUPP),
        (3, 13, errno.EHOSTUNREACH),
        (11, 0, errno.EHOSTUNREACH),
        (12, 0, errno.EPROTO),
    ],
)
def test_errors_reach_the_socket_that_they_are_about(bed: Bed, type_: int, code: int, number: int) -> None:
    """RFC 1122 3.2.2.1, 3.2.2.4, 3.2.2.5, 4.1.3.3: by protocol, addresses and ports of the quoted packet."""
    mine, other = bed.udp(5000), bed.udp(5001)
    for sock in (mine, other):
        sock.setsockopt(c.SOL_IP, c.IP_RECVERR, 1, now=bed.now)
        sock.connect(("10.0.2.2", 9), now=bed.now)
    mine.send(b"x", now=bed.now)
    quoted = bytes(bed.b.received[0][14:])
    bed.b.send(frames.ipv4("10.0.2.2", "10.0.2.1", 1, frames.icmp_error(type_, code, quoted, quote=28)))
    with pytest.raises(OSError) as caught:
        mine.recv(99, now=bed.now)
    assert caught.value.errno == number
    with pytest.raises(BlockingIOError):
        other.recv(99, now=bed.now)
    mine.send(b"the socket stays", now=bed.now)


@pytest.mark.parametrize("dst", ["10.0.1.1", "127.0.0.1", "10.0.2.1"])
def test_a_closed_port_here_is_told_by_lo(bed: Bed, dst: str) -> None:
    """RFC 1122 4.1.3.1: the stack tells itself, around lo, and not out of it."""
    sock = bed.udp(5000)
    sock.connect((dst, 9), now=bed.now)
    with bed.expect(
        lo=2,
        drops={DropReason.NO_SOCKET: 1},
        IpOutRequests=2,
        UdpOutDatagrams=1,
        IpInReceives=2,
        IpInDelivers=2,
        UdpNoPorts=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
        IcmpInMsgs=1,
        IcmpInDestUnreachs=1,
    ):
        sock.send(b"x", now=bed.now)
    with pytest.raises(ConnectionRefusedError):
        sock.recv(9, now=bed.now)


def test_ports_are_random_within_their_range(bed: Bed) -> None:
    """RFC 6056 3.3: unpredictable, in net.ipv4.ip_local_port_range, never a reserved one, none twice."""
    bed.r.sysctl["net.ipv4.ip_local_port_range"] = "40000 40009"
    bed.r.sysctl["net.ipv4.ip_local_reserved_ports"] = "40003,40005-40006"
    ports = [bed.udp().getsockname(now=bed.now)[1] for _ in range(7)]
    assert sorted(ports) == [40000, 40001, 40002, 40004, 40007, 40008, 40009]
    assert ports != sorted(ports)
    with pytest.raises(OSError) as caught:
        bed.udp()
    assert caught.value.errno == errno.EADDRINUSE


def test_the_same_port_in_many_namespaces(bed: Bed) -> None:
    """Ports are a namespace's own, and so are addresses."""
    others = [bed.stack.add_netns(f"n{i}") for i in range(5)]
    stations = [bed.station(ns, "a", "10.0.1.1/24", "10.0.1.2") for ns in others]
    socks = [bed.udp(7, ns=ns, address="10.0.1.1") for ns in others]
    for i, station in enumerate(stations):
        station.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, bytes((i,))))
    assert [bed.received(sock) for sock in socks] == [[bytes((i,))] for i in range(5)]


def test_the_largest_datagram(bed: Bed) -> None:
    """RFC 1122 3.3.2, 3.3.3: 65,507 bytes leave as fragments; one more is EMSGSIZE."""
    sock = bed.udp(5000)
    sock.sendto(bytes(65507), ("10.0.1.2", 9), now=bed.now)
    assert sum(len(frame) - 34 for frame in bed.a.received) == 65515
    with bed.expect(), pytest.raises(OSError) as caught:
        sock.sendto(bytes(65508), ("10.0.1.2", 9), now=bed.now)
    assert caught.value.errno == errno.EMSGSIZE


def test_port_zero(bed: Bed) -> None:
    """RFC 768: no destination; as a source it says that no answer is wanted."""
    sock = bed.udp(7)
    with bed.expect(), pytest.raises(OSError, match="Invalid argument"):
        sock.sendto(b"x", ("10.0.1.2", 0), now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 0, 7, b"x"))
    assert sock.recvfrom(9, now=bed.now) == (b"x", ("10.0.1.2", 0))


def test_between_two_hosts(lab: Lab) -> None:
    """RFC 768 end to end: a ── r ── b: question and answer, with resolution, fragments and a slow wire."""
    a, _, b = lab.line("a", "r", "b", resolve=True, delay=0.010)
    b.udp(7).answer(lambda data, peer: data[::-1])
    port = a.udp()
    data = bytes(i & 255 for i in range(4000))
    port.send(data, b, 7)
    assert port.recv().data == data[::-1]


def test_how_large_a_send_buffer_is(bed: Bed) -> None:
    """Linux's net.core.wmem_default and wmem_max; a datagram socket is writable all the same, nothing waits in it."""
    bed.r.sysctl["net.core.wmem_default"] = 8000
    bed.r.sysctl["net.core.wmem_max"] = 10000
    sock = bed.udp(5000)
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_SNDBUF) == 8000
    sock.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 1 << 30, now=bed.now)
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_SNDBUF) == 20000
    assert sock.writable


def test_nobody_sends_without_an_address(empty: Bed) -> None:
    """RFC 1122 3.2.1.3 (a), 4.1.3.5: 0.0.0.0 is no source but of who asks for his address, by broadcast."""
    ns = empty.stack.add_netns("red")
    dev = ns.add_device("lan")
    ns.add_route("10.0.0.0/8", dev="lan")
    sock = empty.udp(68, ns=ns)
    for dst in ("10.0.0.1", "224.0.0.5"):
        with pytest.raises(OSError) as caught:
            sock.sendto(b"x", (dst, 67), now=empty.now)
        assert caught.value.errno in (errno.EADDRNOTAVAIL, errno.ENETUNREACH)
    assert dev.tx_packets == 0
    ns.add_route("default", dev="lan")
    sock.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1, now=empty.now)
    sock.sendto(b"DHCPDISCOVER", ("255.255.255.255", 67), now=empty.now)
    assert [device for device, _ in empty.stack.take_egress()] == [dev]


def test_a_socket_bound_to_a_device_that_is_down(bed: Bed) -> None:
    """Linux: ENETUNREACH; a packet that cannot leave is not sent."""
    sock = bed.udp()
    sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"b", now=bed.now)
    bed.r.set_device("b", up=False, now=bed.now)
    with bed.expect(), pytest.raises(OSError) as caught:
        sock.sendto(b"x", ("10.0.2.2", 7), now=bed.now)
    assert caught.value.errno == errno.ENETUNREACH


def test_errors_to_sockets_here_are_not_limited(bed: Bed) -> None:
    """RFC 1122 4.1.3.3: the rate limit protects the network; each own sender is told."""
    socks = [bed.udp() for _ in range(12)]
    for sock in socks:
        sock.connect(("10.0.1.1", 9), now=bed.now)
        sock.send(b"x", now=bed.now)
    assert [sock.error for sock in socks] == [errno.ECONNREFUSED] * 12
