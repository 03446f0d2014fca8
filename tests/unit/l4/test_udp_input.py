"""UDP input: the header's checks, the lookup, and what is delivered to whom."""

from collections.abc import Callable

import pytest

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, Packet
from vrouter.stack.l4.udp import udp_input
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

Make = Callable[..., Packet]
GOOD = 0  # delivered
BROADCAST = 0x0A0001FF
GROUP = 0xEF000001


def set_bytes(offset: int, value: bytes) -> Callable[[Packet], None]:
    def change(pkt: Packet) -> None:
        pkt.buf[pkt.l4 + offset : pkt.l4 + offset + len(value)] = value

    return change


def cut(count: int) -> Callable[[Packet], None]:
    def change(pkt: Packet) -> None:
        pkt.end -= count

    return change


def unchecked(pkt: Packet) -> None:
    set_bytes(6, b"\x12\x34")(pkt)
    pkt.flags |= CSUM_OK


def shorter(pkt: Packet) -> None:
    set_bytes(4, b"\0\x0a")(pkt)
    set_bytes(6, b"\0\0")(pkt)


@pytest.mark.parametrize(
    ("name", "change", "verdict"),
    [
        ("as it is", cut(0), GOOD),
        ("no checksum (RFC 768)", set_bytes(6, b"\0\0"), GOOD),
        ("the device vouches for it", unchecked, GOOD),
        ("header cut", cut(5), DropReason.L4_HDR),
        ("data cut", cut(1), DropReason.L4_HDR),
        ("length below the header's", set_bytes(4, b"\0\7"), DropReason.L4_HDR),
        ("length of 0", set_bytes(4, b"\0\0"), DropReason.L4_HDR),
        ("length above the packet's", set_bytes(4, b"\0\x0d"), DropReason.L4_HDR),
        ("length short of the packet's", shorter, GOOD),
        ("data changed", set_bytes(8, b"D"), DropReason.UDP_CSUM),
        ("checksum changed", set_bytes(6, b"\xff\xff"), DropReason.UDP_CSUM),
        ("source port changed", set_bytes(0, b"\0\1"), DropReason.UDP_CSUM),
        ("nobody's port", lambda pkt: (set_bytes(2, b"\0\x36")(pkt), set_bytes(6, b"\0\0")(pkt)), DropReason.NO_SOCKET),
        ("port 0", lambda pkt: (set_bytes(2, b"\0\0")(pkt), set_bytes(6, b"\0\0")(pkt)), DropReason.NO_SOCKET),
    ],
)
def test_header_checks(ns: Netns, datagram: Make, name: str, change: Callable[[Packet], object], verdict: int) -> None:
    """RFC 768, RFC 1122 4.1.3.4: one change to a good datagram, one verdict."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    pkt = datagram()
    change(pkt)
    assert udp_input(ns, pkt, 0) == verdict
    assert sock.readable == (verdict == GOOD)
    assert ns.stats[Stat.UdpInDatagrams] == ns.stats[Stat.AcctDelivered] == (verdict == GOOD)
    assert ns.stats[Stat.UdpNoPorts] == (verdict == DropReason.NO_SOCKET)


def test_bytes_behind_the_datagram_are_not_its_data(ns: Netns, datagram: Make) -> None:
    """RFC 768: the length field says where the datagram ends."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    pkt = datagram()
    shorter(pkt)
    udp_input(ns, pkt, 0)
    assert sock.recv(99, now=0) == b"da"


def test_what_the_program_is_told(ns: Netns, datagram: Make) -> None:
    """RFC 1122 4.1.3.5, 4.1.4: data, source, specific destination, TTL, TOS and interface reach the program."""
    sock = ns.socket()
    sock.bind(("", 53), now=0)
    for option in (8, 12, 13, 20):
        sock.setsockopt(0, option, 1, now=0)
    assert udp_input(ns, datagram(b"x", sport=0, ttl=7, tos=0x28), 0) == 0
    assert sock.recvmsg(9, 200, now=0) == (
        b"x",
        [
            (0, 8, b"\2\0\0\0" + bytes((10, 0, 1, 1)) * 2),
            (0, 2, b"\7\0\0\0"),
            (0, 1, b"\x28"),
            (0, 20, b"\2\0\0\x35" + bytes((10, 0, 1, 1)) + bytes(8)),
        ],
        0,
        ("10.0.1.2", 0),
    )


def test_receive_buffer_bounds_even_empty_datagrams(ns: Netns, datagram: Make) -> None:
    """SO_RCVBUF counts what a datagram costs, not only its data: 212992 bytes hold 256 empty ones, as in Linux."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    verdicts = [udp_input(ns, datagram(b""), 0) for _ in range(300)]
    assert verdicts == [0] * 256 + [DropReason.SOCKET_RCVBUFF] * 44
    assert (sock.charged, sock.drops) == (212992, 44)
    for _ in range(256):
        assert sock.recv(1, now=0) == b""
    assert sock.charged == 0


def test_an_empty_queue_takes_anything(ns: Netns, datagram: Make) -> None:
    """A datagram larger than the smallest SO_RCVBUF is received when it is alone."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.setsockopt(1, 8, 0, now=0)
    assert [udp_input(ns, datagram(bytes(9000)), 0) for _ in range(2)] == [0, DropReason.SOCKET_RCVBUFF]


def test_readiness_is_told_once_until_taken(stack: Stack, ns: Netns, datagram: Make) -> None:
    """A burst makes one entry in the list of ready sockets; the next one comes after it was taken."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    assert not sock.readable
    for _ in range(3):
        udp_input(ns, datagram(), 0)
    assert stack.take_ready() == [(sock, 1)]
    udp_input(ns, datagram(), 0)
    assert stack.take_ready() == [(sock, 1)]
    assert sock.readable
    assert stack.take_ready() == []


@pytest.mark.parametrize("dst", [BROADCAST, 0xFFFFFFFF])
def test_broadcast_reaches_every_socket_that_it_fits(ns: Netns, datagram: Make, dst: int) -> None:
    """RFC 1122 4.1.3.5: wildcard and the broadcast address get it, once each; another address does not."""
    anyone = [ns.socket() for _ in range(3)]
    for sock in anyone:
        sock.setsockopt(1, 2, 1, now=0)
        sock.bind(("", 53), now=0)
    anyone[2].connect(("10.0.1.7", 53), now=0)  # hears another peer alone
    host = ns.socket()
    host.setsockopt(1, 2, 1, now=0)
    host.bind(("10.0.1.1", 53), now=0)
    assert udp_input(ns, datagram(b"all", dst=dst), 0) == 0
    assert [sock.recv(9, now=0) for sock in anyone[:2]] == [b"all", b"all"]
    assert not anyone[2].readable
    assert not host.readable
    assert (ns.stats[Stat.AcctCopies], ns.stats[Stat.AcctDelivered]) == (1, 2)


def test_group_is_only_for_members(ns: Netns, datagram: Make) -> None:
    """RFC 1112 7.1: nobody joined, nobody hears; MAC addresses that 32 groups share do not blur that (6.4)."""
    sock = ns.socket()
    sock.bind(("", 53), now=0)
    assert udp_input(ns, datagram(dst=GROUP), 0) == DropReason.NO_SOCKET
    assert ns.stats[Stat.UdpNoPorts] == 0
    sock.setsockopt(0, 35, bytes((239, 128, 0, 1, 10, 0, 1, 1)), now=0)
    assert udp_input(ns, datagram(dst=GROUP), 0) == DropReason.NO_SOCKET
    assert udp_input(ns, datagram(dst=0xEF800001), 0) == 0
    assert udp_input(ns, datagram(dst=0xE0000001), 0) == 0  # all hosts: everybody is a member
    assert sock.charged > 0


def test_full_sockets_do_not_keep_a_group_from_the_others(ns: Netns, datagram: Make) -> None:
    """One program that does not read takes nothing from another; only when all are full the datagram dies."""
    slow, quick = ns.socket(), ns.socket()
    for sock in (slow, quick):
        sock.setsockopt(1, 2, 1, now=0)
        sock.setsockopt(1, 8, 0, now=0)
        sock.bind(("", 53), now=0)
    for _ in range(2):
        assert udp_input(ns, datagram(dst=BROADCAST), 0) == 0
    while quick.readable:
        quick.recv(9, now=0)
    assert udp_input(ns, datagram(dst=BROADCAST), 0) == 0
    assert udp_input(ns, datagram(dst=BROADCAST), 0) == 0
    assert udp_input(ns, datagram(dst=BROADCAST), 0) == DropReason.SOCKET_RCVBUFF
    assert (slow.drops, quick.drops) == (3, 1)
    assert ns.stats[Stat.AcctDelivered] - ns.stats[Stat.AcctCopies] == 4
