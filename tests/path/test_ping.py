"""Ping sockets and echo replies: RFC 792, RFC 1122 3.2.2.6, RFC 1812 4.3.3.6.

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

REQUEST = bytes((8, 0, 0, 0, 0, 0, 0, 5)) + b"ping"
IN = {"IpInReceives": 1, "IpInDelivers": 1, "IcmpInMsgs": 1, "IcmpInEchoReps": 1}


def pinger(bed: Bed, ident: int = 77) -> Any:
    """A ping socket of r."""
    sock = bed.r.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_ICMP)
    sock.bind(("0.0.0.0", ident), now=bed.now)
    return sock


def reply(ident: int, dst: str = "10.0.1.1", payload: bytes = b"ping", **wrong: Any) -> bytes:
    """An echo reply of a."""
    return frames.ipv4("10.0.1.2", dst, 1, frames.icmp_echo(ident, 5, payload, reply=True, **wrong))


def test_a_request_and_its_reply(bed: Bed) -> None:
    """RFC 1122 3.2.2.6, RFC 1812 4.3.3.6: the identifier is the socket's, the checksum right, the reply goes to it."""
    sock = pinger(bed)
    with bed.expect(tx=1, IpOutRequests=1, IcmpOutMsgs=1, IcmpOutEchos=1):
        sock.sendto(REQUEST, ("10.0.1.2", 0), now=bed.now)
    assert bed.a.received == [
        match.icmp4(type=8, code=0, ident=77, sequence=5, payload=b"ping", src="10.0.1.1", ttl=64)
    ]
    with bed.expect(rx=1, AcctDelivered=1, **IN):
        bed.a.send(reply(77))
    message = sock.recv(99, now=bed.now)
    assert (message[0], message[4:8], message[8:]) == (0, b"\0\x4d\0\5", b"ping")


def test_a_reply_for_nobody(bed: Bed) -> None:
    """RFC 1122 3.2.2.6: without a user it is dropped, and no error says so (it might be an error's echo)."""
    pinger(bed)
    with bed.expect(rx=1, drops={DropReason.NO_SOCKET: 1}, **IN):
        bed.a.send(reply(78))
    assert bed.a.received == []


def test_a_full_receive_buffer(bed: Bed) -> None:
    """Bounded as any socket's."""
    sock = pinger(bed)
    sock.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 2304, now=bed.now)
    for _ in range(8):
        bed.a.send(reply(77, payload=bytes(500)))
    kept = len(bed.received(sock))
    assert 0 < kept < 8
    assert bed.r.drop_counts() == {"SOCKET_RCVBUFF": 8 - kept}


@pytest.mark.parametrize(
    "message", [b"", REQUEST[:7], b"\0" + REQUEST[1:], b"\x0d" + REQUEST[1:], b"\x08\x01" + bytes(6)]
)
def test_only_echo_requests_can_be_sent(bed: Bed, message: bytes) -> None:
    """Linux's ping sockets: no privilege is needed because nothing else can be said."""
    with bed.expect(), pytest.raises(OSError) as caught:
        pinger(bed).sendto(message, ("10.0.1.2", 0), now=bed.now)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("type_", "code", "number"),
    [(3, 0, errno.ENETUNREACH), (3, 1, errno.EHOSTUNREACH), (3, 13, errno.EHOSTUNREACH), (11, 0, errno.EHOSTUNREACH)],
)
def test_errors_reach_the_pinging_socket(bed: Bed, type_: int, code: int, number: int) -> None:
    """RFC 1122 3.2.2, 3.4: by the identifier in the quoted request."""
    mine, other = pinger(bed), pinger(bed, 78)
    for sock in (mine, other):
        sock.setsockopt(c.SOL_IP, c.IP_RECVERR, 1, now=bed.now)
    mine.sendto(REQUEST, ("10.0.2.2", 0), now=bed.now)
    quoted = bytes(bed.b.received[0][14:])
    bed.b.send(frames.ipv4("10.0.2.2", "10.0.2.1", 1, frames.icmp_error(type_, code, quoted, quote=28)))
    with pytest.raises(OSError) as caught:
        mine.recv(99, now=bed.now)
    assert caught.value.errno == number
    with pytest.raises(BlockingIOError):
        other.recv(99, now=bed.now)


def test_pinging_oneself(bed: Bed) -> None:
    """RFC 1122 3.2.2.6, 3.2.1.3 (g): 127.0.0.1 and own addresses answer around lo."""
    sock = pinger(bed)
    for dst in ("127.0.0.1", "10.0.1.1", "10.0.2.1"):
        with bed.expect(
            lo=2,
            IpOutRequests=2,
            IpInReceives=2,
            IpInDelivers=2,
            IcmpInMsgs=2,
            IcmpInEchos=1,
            IcmpInEchoReps=1,
            IcmpOutMsgs=2,
            IcmpOutEchos=1,
            IcmpOutEchoReps=1,
        ):
            sock.sendto(REQUEST, (dst, 0), now=bed.now)
        assert sock.recvfrom(99, now=bed.now)[1][0] == dst


@pytest.mark.parametrize("size", [0, 56, 1472, 1473, 8000, 65507])
def test_a_ping_over_a_router(lab: Lab, size: int) -> None:
    """RFC 1812 4.3.3.6, 10.3.2.7 (2): any size, fragments both ways; the mean is the time of four wires."""
    a, _, b = lab.line("a", "r", "b", delay=0.005)
    assert a.ping(b, count=3, size=size) == pytest.approx(0.020)


def test_a_ping_with_a_small_ttl_shows_the_hop(lab: Lab) -> None:
    """RFC 1122 3.2.1.7, RFC 1812 5.3.1: what traceroute is made of."""
    a, r, b = lab.line("a", "r", "b")
    with pytest.raises(OSError) as caught:
        a.ping(b, ttl=1)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert a.received == [match.icmp4(type=11, code=0, src=r.addr_towards(a))]
    assert a.ping(b, ttl=2) == 0.0


def test_a_ping_that_must_not_be_fragmented(lab: Lab) -> None:
    """RFC 1191 3: tracepath: the router tells, the next one fits."""
    a, r, b = lab.host("a"), lab.router("r"), lab.host("b")
    lab.wire(a, r)
    lab.wire(r, b, mtu=1000)
    lab.set_routes()
    with pytest.raises(OSError) as caught:
        a.ping(b, size=1400, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    with pytest.raises(OSError) as caught:
        a.ping(b, size=973, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    assert a.ping(b, size=972, dont_fragment=True) == 0.0
