"""connect(2): its states, and what it is refused for."""

from __future__ import annotations

import errno

import pytest

from tests.path.tcp.calls import HOME, Loopback
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab

BOTH = pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])


@BOTH
def test_it_takes_time(family: int) -> None:
    """RFC 9293 3.10.1: EINPROGRESS, then success once, then EISCONN; EALREADY while the handshake lasts."""
    w = Loopback()
    ear = w.listener(80, family)
    a = w.new(family)
    w.call("EINPROGRESS", a.connect, (HOME[family], 80))
    w.run()
    w.call(None, a.connect, (HOME[family], 80))
    w.call("EISCONN", a.connect, (HOME[family], 80))
    w.call("EISCONN", ear.connect, (HOME[family], 80))
    w.call("EINVAL", a.listen, 1)
    w.call("EINVAL", a.bind, (HOME[family], 0))


def test_nobody_answers(lab: Lab) -> None:
    """RFC 9293 3.8.3, RFC 1122 4.2.3.5: EALREADY while SYNs are sent, after the last one ETIMEDOUT."""
    a, b = lab.host("a"), lab.host("b")
    wire = lab.wire(a, b)
    assert a.ping(b.addr) == 0
    wire.set(loss=1.0)
    sock = a.ns.socket(c.AF_INET, c.SOCK_STREAM)
    sock.setsockopt(c.SOL_TCP, c.TCP_SYNCNT, 2)
    assert sock.connect_ex((b.addr, 80), now=lab.now) == errno.EINPROGRESS
    lab.run_for(2)
    assert sock.connect_ex((b.addr, 80), now=lab.now) == errno.EALREADY
    lab.run_for(30)
    assert sock.connect_ex((b.addr, 80), now=lab.now) == errno.ETIMEDOUT


@BOTH
def test_refused(family: int) -> None:
    """RFC 9293 3.10.7.3: a reset in SYN-SENT is ECONNREFUSED, told to the first who asks; the socket may try again."""
    w = Loopback()
    a = w.new(family)
    w.call("EINPROGRESS", a.connect, (HOME[family], 9))
    w.run()
    assert (a.error, a.readable, a.writable) == (errno.ECONNREFUSED, True, True)
    w.call("ECONNREFUSED", a.connect, (HOME[family], 9))
    w.call("EINPROGRESS", a.connect, (HOME[family], 9))
    w.run()
    w.call(errno.ECONNREFUSED, a.getsockopt, c.SOL_SOCKET, c.SO_ERROR)
    w.call("ECONNABORTED", a.connect, (HOME[family], 9))
    for call, arg in ((a.recv, 1), (a.send, b"x")):
        b = w.new(family)
        b.connect_ex((HOME[family], 9), now=w.now)
        w.run()
        w.call("ECONNREFUSED", getattr(b, call.__name__), arg)
        w.call(b"" if arg == 1 else "EPIPE", getattr(b, call.__name__), arg)


def test_where_nobody_can_be() -> None:
    """RFC 1122 4.2.3.10: no connection to a group or to everybody; none where no route leads."""
    w = Loopback()
    w.ns.add_device("lan", mac="02:00:00:00:01:01")
    w.ns.add_address("lan", "10.0.1.1/24")
    for address in ("239.0.0.1", "255.255.255.255", "10.0.1.255", "192.0.2.1"):
        w.call("ENETUNREACH", w.new().connect, (address, 9))
    for address in ("ff0e::1", "2001:db8::1"):
        w.call("ENETUNREACH", w.new(c.AF_INET6).connect, (address, 9))
    w.call("EINVAL", w.new(c.AF_INET6).connect, ("fe80::1", 9))
    assert not list(w.ns.tcp)
    assert not list(w.ns.tcp6)


def test_no_port_is_left() -> None:
    """RFC 6056 3: EADDRNOTAVAIL when each port is taken towards this peer; towards another they serve again."""
    w = Loopback()
    w.ns.sysctl["net.ipv4.ip_local_port_range"] = "40000 40001"
    for port in (80, 81):
        w.listener(port)
    for _ in range(2):
        w.call("EINPROGRESS", w.new().connect, ("127.0.0.1", 80))
    w.call("EADDRNOTAVAIL", w.new().connect, ("127.0.0.1", 80))
    w.call("EINPROGRESS", w.new().connect, ("127.0.0.1", 81))


@BOTH
def test_itself(family: int) -> None:
    """RFC 9293 3.5, figure 8: a socket that connects to its own port opens simultaneously with itself."""
    w = Loopback()
    a = w.new(family)
    a.bind((HOME[family], 7777), now=w.now)
    w.call("EINPROGRESS", a.connect, (HOME[family], 7777))
    w.run()
    w.call(None, a.connect, (HOME[family], 7777))
    assert a.getpeername()[:2] == a.getsockname()[:2] == (HOME[family], 7777)
    w.call(4, a.send, b"echo")
    w.run()
    w.call(b"echo", a.recv, 9)


def test_dissolving_keeps_what_bind_gave() -> None:
    """Linux's tcp_disconnect: AF_UNSPEC resets the connection; the name that bind(2) gave stays, one chosen goes."""
    w = Loopback()
    ear = w.listener(80)
    for port in (0, 5000):
        a = w.new()
        if port:
            a.bind(("127.0.0.1", port), now=w.now)
        w.call("EINPROGRESS", a.connect, ("127.0.0.1", 80))
        w.run()
        b, _ = ear.accept(now=w.now)
        a.connect(None, now=w.now)
        assert a.getsockname() == (("127.0.0.1", 5000) if port else ("0.0.0.0", 0))
        w.call("ENOTCONN", a.getpeername)
        w.call("ECONNRESET", b.recv, 1)


def test_a_port_is_chosen_late() -> None:
    """IP_BIND_ADDRESS_NO_PORT: bind(2) gives an address alone, and connect(2) the port."""
    w = Loopback()
    w.listener(80)
    a = w.new()
    a.setsockopt(c.SOL_IP, c.IP_BIND_ADDRESS_NO_PORT, 1)
    a.bind(("127.0.0.5", 0), now=w.now)
    assert a.getsockname() == ("127.0.0.5", 0)
    w.call("EINPROGRESS", a.connect, ("127.0.0.1", 80))
    host, port = a.getsockname()[:2]
    assert host == "127.0.0.5"
    assert 32768 <= port <= 60999
