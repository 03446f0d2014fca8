"""Options of stream sockets: bounds, units, and what they do to a connection that is there."""

from __future__ import annotations

import struct

import pytest

from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("option", "default", "least", "most"),
    [
        (c.TCP_KEEPIDLE, 7200, 1, 32767),
        (c.TCP_KEEPINTVL, 75, 1, 32767),
        (c.TCP_KEEPCNT, 9, 1, 127),
        (c.TCP_SYNCNT, 6, 1, 127),
        (c.TCP_USER_TIMEOUT, 0, 0, 2**31 - 1),
        (c.TCP_INQ, 0, 0, 1),
    ],
)
def test_numbers_have_bounds(option: int, default: int, least: int, most: int) -> None:
    """RFC 9293 3.8.4, RFC 5482, and Linux's do_tcp_setsockopt: outside of its bounds an option is EINVAL."""
    w = Loopback()
    a = w.new()
    assert a.getsockopt(c.SOL_TCP, option) == default
    for value in (least, most):
        w.call(None, a.setsockopt, c.SOL_TCP, option, value)
        assert a.getsockopt(c.SOL_TCP, option) == value
    for value in (least - 1, min(most + 1, 2**31 - 1) if most < 2**31 - 1 else -5):
        w.call("EINVAL", a.setsockopt, c.SOL_TCP, option, value)
    w.call("EINVAL", a.setsockopt, c.SOL_TCP, option, b"\1\0")
    assert a.getsockopt(c.SOL_TCP, option) == most


def test_buffers_are_doubled_and_locked() -> None:
    """Linux's sock_setsockopt: what is set is doubled, bounded, and does not grow by itself any more."""
    w = Loopback()
    a = w.new()
    assert a.getsockopt(c.SOL_SOCKET, c.SO_RCVBUF) == 131072
    assert a.getsockopt(c.SOL_SOCKET, c.SO_SNDBUF) == 16384
    for option, least in ((c.SO_RCVBUF, 2304), (c.SO_SNDBUF, 4608)):
        for size, found in ((10000, 20000), (0, least), (1 << 30, 2 * 4194304)):
            a.setsockopt(c.SOL_SOCKET, option, size, now=w.now)
            assert a.getsockopt(c.SOL_SOCKET, option) == found
    assert a.locked == c.LOCK_SNDBUF | c.LOCK_RCVBUF


def test_timeouts_are_kept() -> None:
    """SO_RCVTIMEO, SO_SNDTIMEO: a timeval, in ns for whoever waits; EDOM for microseconds that are none."""
    w = Loopback()
    a = w.new()
    a.setsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, struct.pack("qq", 2, 500000), now=w.now)
    a.setsockopt(c.SOL_SOCKET, c.SO_SNDTIMEO, struct.pack("qq", 1, 0), now=w.now)
    assert a.timeouts == (2 * SECOND + SECOND // 2, SECOND)
    assert a.getsockopt(c.SOL_SOCKET, c.SO_RCVTIMEO, 16) == struct.pack("qq", 2, 500000)
    w.call("EDOM", a.setsockopt, c.SOL_SOCKET, c.SO_RCVTIMEO, struct.pack("qq", 1, 1000000))
    w.call("EINVAL", a.setsockopt, c.SOL_SOCKET, c.SO_RCVTIMEO, 1)


def test_congestion_control_by_name() -> None:
    """TCP_CONGESTION: one that there is, else ENOENT; also of a connection that is there."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    assert a.getsockopt(c.SOL_TCP, c.TCP_CONGESTION, 16) == b"cubic".ljust(16, b"\0")
    for name in (b"reno", b"bbr", b"cubic"):
        w.call(None, a.setsockopt, c.SOL_TCP, c.TCP_CONGESTION, name)
        assert a.getsockopt(c.SOL_TCP, c.TCP_CONGESTION, 16).rstrip(b"\0") == name
        w.call(1, a.send, b"x")
        w.run(100)
    w.call("ENOENT", a.setsockopt, c.SOL_TCP, c.TCP_CONGESTION, b"nonesuch")
    w.call(b"xxx", b.recv, 9)
    a.setsockopt(c.SOL_TCP, c.TCP_CONGESTION, b"bbr", now=w.now)
    assert len(a.getsockopt(c.SOL_TCP, c.TCP_CC_INFO, 32)) == 20


def test_nagle_and_cork() -> None:
    """RFC 9293 3.7.4: TCP_NODELAY and the end of TCP_CORK send what was held back."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.setsockopt(c.SOL_TCP, c.TCP_CORK, 1, now=w.now)
    a.send(b"held", now=w.now)
    w.run()
    assert b.inq == 0
    a.setsockopt(c.SOL_TCP, c.TCP_CORK, 0, now=w.now)
    w.run(300)
    assert b.inq == 4


def test_urgent_data_cannot_be_taken_out_of_line() -> None:
    """RFC 6093 3.2: SO_OOBINLINE is on; what is not built is ENOPROTOOPT, as is what a stream has not."""
    w = Loopback()
    a = w.new()
    assert a.getsockopt(c.SOL_SOCKET, c.SO_OOBINLINE) == 1
    w.call("EINVAL", a.setsockopt, c.SOL_SOCKET, c.SO_OOBINLINE, 0)
    for option in (14, 19, 31, 99):  # TCP_MD5SIG, TCP_REPAIR, TCP_ULP, nothing
        w.call("ENOPROTOOPT", a.setsockopt, c.SOL_TCP, option, 1)
    w.call("EPERM", a.setsockopt, c.SOL_TCP, c.TCP_TIMESTAMP, 1)
