"""close(2): with SO_LINGER, with data that nobody read, and in the ordinary way."""

from __future__ import annotations

import struct

from tests.path.tcp.calls import Loopback
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4 import constants as c

AT_ONCE = struct.pack("ii", 1, 0)


def test_no_time_is_a_reset() -> None:
    """RFC 9293 3.10.5 by SO_LINGER with 0: a RST, nothing stays; what came before it can still be read."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.setsockopt(c.SOL_SOCKET, c.SO_LINGER, AT_ONCE, now=w.now)
    a.send(b"heard", now=w.now)
    w.run()
    a.close(now=w.now)
    w.run()
    assert not w.ns.tcp.connections
    w.call(b"heard", b.recv, 9)
    w.call("ECONNRESET", b.recv, 9)
    w.call(b"", b.recv, 9)
    w.call("EPIPE", b.send, b"x")
    assert w.ns.stats[Stat.TcpAbortOnData] == 1


def test_data_that_nobody_read_is_a_reset() -> None:
    """RFC 2525 2.17: a close that loses data says so."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    b.send(b"unread", now=w.now)
    w.run()
    a.close(now=w.now)
    w.run()
    w.call("ECONNRESET", b.send, b"x")
    w.call("EPIPE", b.send, b"x")
    assert w.ns.stats[Stat.TcpAbortOnClose] == 1


def test_a_time_is_as_good_as_none() -> None:
    """SO_LINGER with a time: nothing blocks here, so the connection ends in the ordinary way (RFC 9293 3.10.4)."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.setsockopt(c.SOL_SOCKET, c.SO_LINGER, struct.pack("ii", 1, 5), now=w.now)
    a.send(b"bye", now=w.now)
    a.close(now=w.now)
    w.run()
    w.call(b"bye", b.recv, 9)
    w.call(b"", b.recv, 9)
    b.close(now=w.now)
    w.run(61_000)
    assert not w.ns.tcp.connections


def test_after_close_there_is_no_socket() -> None:
    """close(2): every later call is EBADF; closing again does nothing; the port is free at the connection's end."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.close(now=w.now)
    a.close(now=w.now)
    w.call("EBADF", a.recv, 1)
    w.call("EBADF", a.getsockname)
    w.run()
    w.call(1, b.send, b"x")
    w.run()
    assert b.take_error() == 32  # EPIPE: a RST in CLOSE-WAIT
