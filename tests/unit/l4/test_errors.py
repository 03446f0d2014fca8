"""What ICMP errors mean to sockets, and that errors look like the system's."""

import errno
import os
import struct
from collections.abc import Callable

import pytest

from vrouter.stack.base.errors import TEXTS, os_error
from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.errors import convert
from vrouter.stack.l4.icmp import ping_error
from vrouter.stack.l4.udp import udp_error
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.stack.wire.icmp import QuotedPacket

Make = Callable[..., Packet]


def quote(make: Make, **fields: object) -> QuotedPacket:
    """A packet that 10.0.1.1 port 53 sent to 10.0.1.2 port 9999, as an error quotes it."""
    arguments = {"src": 0x0A000101, "dst": 0x0A000102, "sport": 53, "dport": 9999} | fields
    pkt = make(**arguments)
    parsed = QuotedPacket.parse(pkt.buf, pkt.l3, pkt.end)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize("code", sorted(TEXTS))
def test_texts_are_the_system_s(code: int) -> None:
    """An OSError of ours reads as the kernel's: subclass, errno and text."""
    error = os_error(code)
    assert (type(error), error.errno, error.strerror) == (type(OSError(code, "")), code, os.strerror(code))


UNREACHABLE = [
    ("ENETUNREACH", False), ("EHOSTUNREACH", False), ("ENOPROTOOPT", True), ("ECONNREFUSED", True), ("EMSGSIZE", True),
    ("EOPNOTSUPP", False), ("ENETUNREACH", True), ("EHOSTDOWN", True), ("ENONET", True), ("ENETUNREACH", True),
    ("EHOSTUNREACH", True), ("ENETUNREACH", False), ("EHOSTUNREACH", False), ("EHOSTUNREACH", True),
    ("EHOSTUNREACH", True), ("EHOSTUNREACH", True), ("EHOSTUNREACH", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("icmp_type", "icmp_code", "name", "fatal"),
    [(3, code, name, fatal) for code, (name, fatal) in enumerate(UNREACHABLE)]
    + [(11, 0, "EHOSTUNREACH", False), (11, 1, "EHOSTUNREACH", False), (12, 0, "EPROTO", True)],
)
def test_who_is_told_what(
    ns: Netns, stack: Stack, datagram: Make, icmp_type: int, icmp_code: int, name: str, fatal: bool
) -> None:
    """RFC 1122 4.1.3.3, Linux's table: fatal errors to connected sockets, all to those with IP_RECVERR, else none."""
    assert convert(icmp_type, icmp_code) == (getattr(errno, name), fatal)
    told = []
    for connected, recverr in ((True, 0), (False, 0), (False, 1)):
        sock = ns.socket()
        sock.bind(("10.0.1.1", 53), now=0)
        sock.setsockopt(0, 11, recverr, now=0)
        if connected:
            sock.connect(("10.0.1.2", 9999), now=0)
        udp_error(ns, quote(datagram), icmp_type, icmp_code, 0, 0, 0x0A0001FE)
        told.append(sock.getsockopt(1, 4))
        sock.close(now=0)
    assert told == [getattr(errno, name) if fatal else 0, 0, getattr(errno, name)]


def test_error_is_raised_once_by_the_next_call(ns: Netns, stack: Stack, datagram: Make) -> None:
    """RFC 1122 4.1.3.3: the program learns of it; queued data is not lost."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.connect(("10.0.1.2", 9999), now=0)
    sock.deliver(datagram(b"before"))
    stack.take_ready()
    udp_error(ns, quote(datagram), 3, 3, 0, 0)
    assert stack.take_ready() == [(sock, 4)]
    with pytest.raises(ConnectionRefusedError, match="Connection refused"):
        sock.recv(9, now=0)
    assert sock.recv(9, now=0) == b"before"
    with pytest.raises(BlockingIOError):
        sock.recv(9, now=0)


@pytest.mark.parametrize(
    "fields",
    [{"sport": 54}, {"dport": 9998}, {"dst": 0x0A000103}, {"src": 0x0A000109}],
)
def test_error_about_another_flow_is_nobody_s(ns: Netns, datagram: Make, fields: dict[str, int]) -> None:
    """RFC 1122 3.2.2: an error is demultiplexed by the packet that it quotes, in all four parts."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.connect(("10.0.1.2", 9999), now=0)
    udp_error(ns, quote(datagram, **fields), 3, 3, 0, 0)
    assert sock.error == 0


def test_error_about_a_later_fragment_has_no_ports(ns: Netns, datagram: Make) -> None:
    """RFC 792: only the first fragment bears the transport header."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.connect(("10.0.1.2", 9999), now=0)
    quoted = quote(datagram)
    quoted.fragment_offset = 1
    udp_error(ns, quoted, 3, 3, 0, 0)
    assert sock.error == 0


def test_quench_and_redirect_are_not_for_programs(ns: Netns, datagram: Make) -> None:
    """RFC 6633 4 (quench is ignored); a redirect is the routing's."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.setsockopt(0, 11, 1, now=0)
    udp_error(ns, quote(datagram), 4, 0, 0, 0)
    udp_error(ns, quote(datagram), 5, 1, 0, 0)
    assert sock.error == 0


def test_too_big_is_not_told_to_who_allows_fragments(ns: Netns, datagram: Make) -> None:
    """Linux: with IP_PMTUDISC_DONT a Fragmentation Needed is no error of the socket's."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.connect(("10.0.1.2", 9999), now=0)
    sock.setsockopt(0, 10, 0, now=0)
    udp_error(ns, quote(datagram), 3, 4, 1400, 0)
    assert sock.error == 0


def test_error_queue_tells_all_and_is_bounded(ns: Netns, datagram: Make) -> None:
    """IP_RECVERR: sock_extended_err with type, code, MTU and offender, and what was quoted of the data; at most
    SO_RCVBUF of them."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.setsockopt(0, 11, 1, now=0)
    for number in range(1000):
        udp_error(ns, quote(datagram), 3, 4, 1400 + number, 0, 0x0A0001FE)
    data, ancillary, flags, address = sock.recvmsg(99, 99, 0x2000, now=0)
    assert (data, flags, address) == (b"data", 0x2000, ("10.0.1.2", 9999))
    expected = (
        struct.pack("=IBBBBII", errno.EMSGSIZE, 2, 3, 4, 0, 1400, 0) + b"\2\0\0\0" + bytes((10, 0, 1, 254)) + bytes(8)
    )
    assert ancillary == [(0, 11, expected)]
    count = 1
    while sock.error:
        sock.recvmsg(99, 99, 0x2000, now=0)
        count += 1
    assert count == 212992 // (824 + len(data))
    assert sock.charged == 0
    with pytest.raises(BlockingIOError):
        sock.recvmsg(99, 99, 0x2000, now=0)


def test_switching_recverr_off_empties_the_queue(ns: Netns, datagram: Make) -> None:
    """Linux: what nobody wants to read takes no memory."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53), now=0)
    sock.setsockopt(0, 11, 1, now=0)
    udp_error(ns, quote(datagram), 3, 1, 0, 0)
    sock.setsockopt(0, 11, 0, now=0)
    assert sock.charged == 0
    with pytest.raises(BlockingIOError):
        sock.recv(9, 0x2000, now=0)


def test_ping_errors_find_their_identifier(ns: Netns, came: Make) -> None:
    """RFC 792: an error about an echo request quotes its identifier; about a reply, or another one, nobody is told."""
    sock = ns.socket(2, 2, 1)
    sock.bind(("10.0.1.1", 77), now=0)
    sock.setsockopt(0, 11, 1, now=0)

    def about(message: bytes) -> QuotedPacket:
        pkt = came(message, 1, src=0x0A000101, dst=0x0A000102)
        parsed = QuotedPacket.parse(pkt.buf, pkt.l3, pkt.end)
        assert parsed is not None
        return parsed

    ping_error(ns, about(b"\0\0\0\0\0\x4d\0\1"), 11, 0, 0, 0)
    ping_error(ns, about(b"\x08\0\0\0\0\x4e\0\1"), 11, 0, 0, 0)
    assert sock.error == 0
    ping_error(ns, about(b"\x08\0\0\0\0\x4d\0\1"), 11, 0, 0, 0, 0x0A0001FE)
    with pytest.raises(OSError, match="No route to host"):
        sock.recv(99, now=0)
    assert sock.recvmsg(99, 99, 0x2000, now=0)[0] == b"\x08\0\0\0\0\x4d\0\1"
