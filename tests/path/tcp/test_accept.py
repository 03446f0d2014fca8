"""listen(2), accept(2), and what a connection has of its listener."""

from __future__ import annotations

import struct

import pytest

from tests.path.tcp.calls import HOME, Loopback
from vrouter.stack.l4 import constants as c

BOTH = pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])


@BOTH
def test_a_listener(family: int) -> None:
    """RFC 9293 3.10.1, passive OPEN: it has a port, takes connections, and can do nothing else."""
    w = Loopback()
    ear = w.new(family)
    w.call(None, ear.listen, 1)
    assert ear.getsockname()[1] != 0
    w.call("EAGAIN", ear.accept)
    w.call("ENOTCONN", ear.recv, 1)
    w.call("EPIPE", ear.send, b"x")
    w.call("EISCONN", ear.connect, (HOME[family], 9))
    w.call(1, ear.getsockopt, c.SOL_SOCKET, c.SO_ACCEPTCONN)
    w.call(None, ear.shutdown, c.SHUT_WR)
    assert ear.listening
    w.call(None, ear.shutdown, c.SHUT_RD)
    assert (ear.listening, ear.state_name) == (False, "UNCONN")
    w.call("EINVAL", ear.accept)


def test_backlog() -> None:
    """Linux's sk_acceptq_is_full: one more than the backlog waits, the others keep asking; listen(2) changes it."""
    w = Loopback()
    ear = w.listener(80, backlog=1)
    clients = [w.new() for _ in range(4)]
    for client in clients:
        client.connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    assert ear.queues() == (2, 1)
    assert [client.state_name for client in clients[:2]] == ["ESTAB", "ESTAB"]
    w.call(None, ear.listen, 10)
    w.run(4000)
    assert ear.queues() == (4, 10)
    w.call(None, ear.listen, -1)
    assert ear.backlog == w.ns.conf.tcp.somaxconn


def test_a_child_has_its_listeners_options() -> None:
    """Linux's sk_clone: options, buffers and keep-alive go over; what is written later to one is not the other's."""
    w = Loopback()
    ear = w.listener(80)
    for level, option, value in (
        (c.SOL_TCP, c.TCP_NODELAY, 1),
        (c.SOL_SOCKET, c.SO_KEEPALIVE, 1),
        (c.SOL_SOCKET, c.SO_RCVBUF, 20000),
        (c.SOL_TCP, c.TCP_KEEPIDLE, 77),
        (c.SOL_IP, c.IP_TOS, 0x10),
        (c.SOL_SOCKET, c.SO_LINGER, struct.pack("ii", 1, 5)),
    ):
        ear.setsockopt(level, option, value, now=w.now)
    _, child = w.pair(ear)
    assert child.getsockopt(c.SOL_TCP, c.TCP_NODELAY) == 1
    assert child.getsockopt(c.SOL_SOCKET, c.SO_KEEPALIVE) == 1
    assert child.getsockopt(c.SOL_SOCKET, c.SO_RCVBUF) == 40000
    assert child.getsockopt(c.SOL_TCP, c.TCP_KEEPIDLE) == 77
    assert child.getsockopt(c.SOL_SOCKET, c.SO_LINGER, 8) == struct.pack("ii", 1, 5)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ACCEPTCONN) == 0
    child.setsockopt(c.SOL_IP, c.IP_TOS, 0x20, now=w.now)
    ear.setsockopt(c.SOL_IP, c.IP_TTL, 9, now=w.now)
    assert (ear.settings4.tos, child.settings4.tos) == (0x10, 0x20)
    assert (ear.settings4.ttl, child.settings4.ttl) == (9, -1)


def test_what_waits_ends_with_its_listener() -> None:
    """RFC 9293 3.10.4 for LISTEN: who waits to be accepted is reset."""
    w = Loopback()
    ear = w.listener(80)
    a = w.new()
    a.connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    ear.close(now=w.now)
    w.run()
    w.call("ECONNRESET", a.recv, 9)
    w.call(b"", a.recv, 9)
    assert not w.ns.tcp.connections
    assert not w.ns.tcp.buckets


def test_said_and_gone_before_it_was_accepted() -> None:
    """RFC 9293 3.10.3: what came before a connection was accepted, its end included, is there afterwards."""
    w = Loopback()
    ear = w.listener(80)
    a = w.new()
    a.connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    a.send(b"early", now=w.now)
    a.close(now=w.now)
    w.run()
    assert ear.readable
    b, name = ear.accept(now=w.now)
    assert name[0] == "127.0.0.1"
    w.call(b"early", b.recv, 9)
    w.call(b"", b.recv, 9)
