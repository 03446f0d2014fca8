"""shutdown(2) in every state."""

from __future__ import annotations

from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c


def test_half_a_connection() -> None:
    """RFC 9293 3.6, 3.10.4: who sends no more still hears; what was queued goes before the FIN."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.send(b"last words", now=w.now)
    w.call(None, a.shutdown, c.SHUT_WR)
    w.call("EPIPE", a.send, b"x")
    w.call(None, a.shutdown, c.SHUT_WR)
    w.run(60)  # the ACK of a FIN may be put off
    assert (a.state_name, b.state_name) == ("FIN-WAIT-2", "CLOSE-WAIT")
    w.call(b"last words", b.recv, 99)
    w.call(b"", b.recv, 99)
    w.call(10, b.send, b"still here")
    w.run()
    w.call(b"still here", a.recv, 99)
    w.call("EAGAIN", a.recv, 99)
    w.call(None, b.shutdown, c.SHUT_WR)
    w.run()
    w.call(b"", a.recv, 99)
    assert (a.state_name, b.state_name) == ("UNCONN", "UNCONN")
    w.call("ENOTCONN", a.getpeername)
    w.call("ENOTCONN", a.shutdown, c.SHUT_WR)
    assert len(w.ns.tcp.connections) == 1  # in TIME-WAIT


def test_deaf_ears() -> None:
    """Linux's RCV_SHUTDOWN: nothing is waited for, but what comes can be read, and the peer is told nothing."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    w.call(None, a.shutdown, c.SHUT_RD)
    w.call(b"", a.recv, 9)
    b.send(b"hello?", now=w.now)
    w.run()
    w.call(b"hello?", a.recv, 9)
    w.call(b"", a.recv, 9)
    w.call(1, a.send, b"y")
    assert (a.state_name, b.state_name) == ("ESTAB", "ESTAB")


def test_of_a_connection_that_is_not_there_yet() -> None:
    """RFC 9293 3.10.4, SYN-SENT: the attempt ends, and the socket can be used again."""
    w = Loopback()
    w.ns.add_device("lan", mac="02:00:00:00:01:01")
    w.ns.add_address("lan", "10.0.1.1/24")
    a = w.new()
    w.call("EINPROGRESS", a.connect, ("10.0.1.2", 80))
    assert a.state_name == "SYN-SENT"
    w.call(None, a.shutdown, c.SHUT_WR)
    assert (a.state_name, a.phase) == ("UNCONN", 0)
    assert not w.ns.tcp.connections
    w.listener(80)
    a.take_error()
    w.call("EINPROGRESS", a.connect, ("127.0.0.1", 80))


def test_who_is_waiting_is_told() -> None:
    """RFC 9293 3.10.7.4, eighth: a FIN makes the other end readable, and announces it."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    w.stack.take_ready()
    a.shutdown(c.SHUT_WR, now=w.now)
    w.run()
    assert [mask & c.READ for sock, mask in w.stack.take_ready() if sock is b] == [c.READ]
    assert b.readable
