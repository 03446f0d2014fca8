"""Whom a datagram is for, case by case; the property test has the rules in general."""

from collections.abc import Callable
from typing import Any

import pytest

from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.constants import MSG_CONFIRM
from vrouter.stack.l4.socket import Socket
from vrouter.stack.l4.udp import udp_input
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

Make = Callable[..., Packet]


def bound(ns: Netns, address: str, *, reuseport: bool = False, device: bytes = b"", peer: Any = None) -> Socket:
    """A socket on port 53."""
    sock = ns.socket()
    sock.setsockopt(1, 15 if reuseport else 2, 1, now=0)
    sock.setsockopt(1, 25, device, now=0)
    sock.bind((address, 53), now=0)
    if peer is not None:
        sock.connect(peer, now=0)
    return sock


def winners(ns: Netns, datagram: Make, socks: list[Socket], **fields: Any) -> set[int]:
    """The indices of the sockets that get datagrams of a hundred flows."""
    for sport in range(1000, 1100):
        assert udp_input(ns, datagram(sport=sport, **fields), 0) == 0
    return {index for index, sock in enumerate(socks) if sock.readable}


def test_bound_address_goes_before_bound_device(ns: Netns, datagram: Make) -> None:
    """Linux looks among the sockets of the address first, whatever else the wildcard ones have."""
    socks = [bound(ns, "10.0.1.1"), bound(ns, "", device=b"lan")]
    assert winners(ns, datagram, socks) == {0}


def test_bound_device_goes_before_none(ns: Netns, datagram: Make) -> None:
    """Linux's compute_score: a device counts."""
    socks = [bound(ns, "", device=b"lan"), bound(ns, "")]
    assert winners(ns, datagram, socks) == {0}


def test_group_of_reuseport_shares_the_device(ns: Netns, datagram: Make) -> None:
    """SO_REUSEPORT: sockets without the winner's device are no members of its group."""
    socks = [bound(ns, "", reuseport=True, device=name) for name in (b"lan", b"", b"lan")]
    assert winners(ns, datagram, socks) == {0, 2}


def test_group_of_reuseport_has_no_connected_members(ns: Netns, datagram: Make) -> None:
    """SO_REUSEPORT: who is connected hears its peer alone, and all of it."""
    here = [bound(ns, "10.0.1.1", reuseport=True) for _ in range(2)]
    socks = [*here, bound(ns, "10.0.1.1", reuseport=True, peer=("10.0.1.7", 9))]
    assert winners(ns, datagram, socks) == {0, 1}
    for sock in here:
        sock.close(now=0)
    socks = [*(bound(ns, "10.0.1.1", reuseport=True) for _ in range(2)), socks[2]]
    assert winners(ns, datagram, socks, src=0x0A000107) == {0, 1}
    mine = [bound(ns, "10.0.1.1", reuseport=True, peer=("10.0.1.8", 0)) for _ in range(2)]
    assert winners(ns, datagram, mine, src=0x0A000108) == {1}


def test_readers_of_a_broadcast_do_not_share_memory(ns: Netns, datagram: Make) -> None:
    """Each receiver of a datagram to all has one of its own."""
    socks = [bound(ns, "") for _ in range(2)]
    assert udp_input(ns, datagram(b"same", dst=0x0A0001FF), 0) == 0
    first, second = (sock._queue[0] for sock in socks if sock._queue is not None)
    assert first is not second
    first.buf[first.end - 4 : first.end] = b"mine"
    assert [sock.recv(9, now=0) for sock in socks] in ([b"mine", b"same"], [b"same", b"mine"])


def test_answer_to_a_broadcast_has_an_address_to_come_from(ns: Netns, datagram: Make) -> None:
    """IP_PKTINFO, RFC 1122 4.1.3.5: of a datagram to all, the own address of that device, and the one in the header."""
    sock = bound(ns, "")
    sock.setsockopt(0, 8, 1, now=0)
    assert udp_input(ns, datagram(dst=0x0A0001FF), 0) == 0
    assert sock.recvmsg(9, 99, now=0)[1] == [(0, 8, b"\2\0\0\0" + bytes((10, 0, 1, 1, 10, 0, 1, 255)))]


def test_mark_travels_with_the_packet(ns: Netns) -> None:
    """SO_MARK is for rules and routes: of the socket, or of one datagram."""
    receiver, sock = bound(ns, "10.0.1.1"), ns.socket()
    sock.setsockopt(1, 36, 7, now=0)
    sock.sendto(b"", ("10.0.1.1", 53), now=0)
    sock.sendmsg([b""], [(1, 36, b"\x09\0\0\0")], 0, ("10.0.1.1", 53), now=0)
    assert receiver._queue is not None
    assert [pkt.mark for pkt in receiver._queue] == [7, 9]
    assert sock.getsockopt(1, 36) == 7


def test_program_can_vouch_for_its_next_hop(stack: Stack, ns: Netns) -> None:
    """MSG_CONFIRM, RFC 1122 2.3.2.1: a next hop that the program knows to be alive is not asked again."""
    minute = 60_000_000_000
    lan = ns.devices["lan"]
    sock = ns.socket()
    sock.sendto(b"", ("10.0.1.2", 9), now=0)
    arp = bytes.fromhex("00010800060400020200000000aa0a0001020200000001010a000101")
    stack.receive(lan, bytes.fromhex("0200000001010200000000aa0806") + arp, 0)
    states = []
    for flags in (MSG_CONFIRM, 0):
        stack.poll(stack.now + minute)
        sock.sendto(b"", flags, ("10.0.1.2", 9), now=stack.now)
        states.append(lan.neigh4[0x0A000102].state.name)
    assert states == ["REACHABLE", "DELAY"]


def test_ping_socket_of_a_device_hears_that_device_alone(ns: Netns, came: Make) -> None:
    """SO_BINDTODEVICE holds for echo replies, too."""
    ns.add_device("wan", mac="02:00:00:00:01:02")
    sock = ns.socket(2, 2, 1)
    sock.setsockopt(1, 25, b"wan", now=0)
    sock.bind(("", 77), now=0)
    reply = b"\0\0\xff\xab\0\x4d\0\7"
    found = [ns.ping.find(77, 0x0A000101, came(reply, 1, dev=dev).iif) for dev in ("lan", "wan")]
    assert found == [None, sock]


def test_options_that_depend_on_devices(ns: Netns) -> None:
    """Linux: a group interface must fit the bound device; a name needs room; disconnecting lets the device go."""
    sock = ns.socket()
    sock.setsockopt(1, 25, b"lan", now=0)
    with pytest.raises(OSError, match="Invalid argument"):
        sock.setsockopt(0, 32, bytes((127, 0, 0, 1)), now=0)
    with pytest.raises(OSError, match="Invalid argument"):
        sock.getsockopt(1, 25, 4)
    assert sock.getsockopt(1, 62) == 2
    sock.connect(("10.0.1.2", 9), now=0)
    sock.connect(None, now=0)
    assert sock.getsockopt(1, 25, 16) == b""
    sock.setsockopt(1, 62, 2, now=0)
    assert sock.getsockopt(1, 25, 16) == b"lan\0"


def test_buffer_sizes_have_bounds(ns: Netns) -> None:
    """SO_RCVBUF: doubled, at most twice net.core.rmem_max (a negative size asks for that), which FORCE ignores."""
    sock = ns.socket()
    ns.sysctl["net.core.rmem_max"] = 100000
    seen = []
    for option, value in ((8, 99999), (8, 100001), (8, -1), (33, 300000)):
        sock.setsockopt(1, option, value, now=0)
        seen.append(sock.getsockopt(1, 8))
    assert seen == [199998, 200000, 200000, 600000]
