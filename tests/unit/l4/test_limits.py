"""What a socket may hold, and what it may know: receive buffers, readiness, devices that left, option values."""

from collections.abc import Callable
from struct import pack, unpack

import pytest

from tests.path.bed import SECOND, Bed
from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.ancillary import QueuedError
from vrouter.stack.l4.constants import ERROR, READ
from vrouter.stack.l4.datagram import OVERHEAD
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.testing import frames

SHORT_UDP = pack("!HHHH", 1, 53, 8, 0)  # claims to be empty, whatever follows


def held(sock: object) -> int:
    """Bytes of the buffers that wait in a socket."""
    return sum(len(pkt.buf) for pkt in sock._queue or ())  # type: ignore[attr-defined]  # looks inside


def test_what_follows_a_short_datagram_is_charged() -> None:
    """SO_RCVBUF bounds what is held, not what a sender claims: a UDP length of 8 in a packet of 9000 bytes."""
    bed = Bed.line()
    bed.r.set_device("a", mtu=9000, now=bed.now)
    sock = bed.udp(53)
    for _ in range(1000):
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 17, SHORT_UDP + bytes(8960)))
    kept = len(sock._queue)
    assert sock.charged == kept * (OVERHEAD + 8968)
    assert kept == sock.rcvbuf // (OVERHEAD + 8968) == 21
    assert held(sock) <= sock.rcvbuf
    assert sock.drops == 1000 - kept
    assert bed.received(sock) == [b""] * kept
    assert sock.charged == 0
    bed.close()


def test_what_follows_in_fragments_is_charged_too() -> None:
    """The same with a packet of 65000 bytes that came in pieces."""
    bed = Bed.line()
    sock = bed.udp(53)
    for ident in range(1, 9):
        whole = frames.ipv4("10.0.1.2", "10.0.1.1", 17, SHORT_UDP + bytes(65000), ident=ident)
        for piece in frames.fragments(whole, 1500):
            bed.a.send(piece)
    assert sock.charged == 3 * (OVERHEAD + 65008)
    assert held(sock) <= sock.rcvbuf
    assert bed.received(sock) == [b""] * 3
    assert sock.charged == 0
    bed.close()


def test_an_ordinary_datagram_is_charged_as_before(ns: Netns, datagram: Callable[..., Packet]) -> None:
    """Its UDP header, its data and the overhead: 832 bytes when it is empty, as Linux."""
    sock = ns.socket()
    sock.bind(("10.0.1.1", 53))
    assert sock.deliver(datagram(b""))
    assert sock.charged == 832
    assert sock.deliver(datagram(b"x" * 100))
    assert sock.charged == 832 + 932


def test_a_closed_socket_is_not_announced(stack: Stack, ns: Netns, datagram: Callable[..., Packet]) -> None:
    """What nobody takes does not keep sockets alive that were closed meanwhile."""
    for _ in range(3):
        sock = ns.socket()
        sock.bind(("10.0.1.1", 53))
        sock.deliver(datagram())
        assert stack.ready == {sock: READ}
        sock.close()
        assert stack.ready == {}
    assert stack.take_ready() == []


def test_news_of_one_socket_are_one_entry(stack: Stack, ns: Netns, datagram: Callable[..., Packet]) -> None:
    """`take_ready` says READ | ERROR of a socket that is both, and sockets come in the order of their first news."""
    one, two = ns.socket(), ns.socket()
    for port, sock in ((53, one), (54, two)):
        sock.bind(("10.0.1.1", port))
        sock.connect(("10.0.1.2", 9999))
        sock.deliver(datagram(dport=port))
    one.icmp_error(QueuedError(111, 2, 3, 3, 0, 4, 0x0A000102, 0x0A000102, 9999, b""), True)
    assert stack.take_ready() == [(one, READ | ERROR), (two, READ)]
    one.deliver(datagram())
    assert stack.take_ready() == [(one, READ)]


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**40])
def test_an_int_that_c_has_no_room_for(ns: Netns, value: int) -> None:
    """OverflowError, as Python's socket module says it; what fits is taken."""
    sock = ns.socket()
    with pytest.raises(OverflowError):
        sock.setsockopt(1, 36, value)
    assert sock.getsockopt(1, 36) == 0
    sock.setsockopt(1, 36, 2**31 - 1)
    assert sock.getsockopt(1, 36) == 2**31 - 1


def test_a_packet_that_waits_does_not_tell_of_another_namespace() -> None:
    """IP_PKTINFO of what came by a device that has moved away: no interface, and an address of this namespace."""
    bed = Bed.line()
    blue = bed.stack.add_netns("blue")
    for name in ("x", "y", "z"):
        blue.add_device(name)
    sock = bed.udp(9)
    sock.setsockopt(0, 8, 1)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "255.255.255.255", 1, 9, b"x"), dst_mac=frames.BROADCAST)
    bed.stack.move_device(bed.a.dev, blue, now=bed.now + SECOND)
    blue.add_address("a", "192.168.77.1/24")
    _, ((_, _, info),), _, _ = sock.recvmsg(99, 200)
    assert unpack("=i4s4s", info) == (0, bytes((10, 0, 2, 1)), b"\xff" * 4)
