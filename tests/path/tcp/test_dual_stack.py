"""AF_INET6 stream sockets and IPv4."""

from __future__ import annotations

from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c


def test_one_listener_for_both() -> None:
    """RFC 3493 3.7, 5.3: a listener on :: hears IPv4 as well, whose peers have IPv4-mapped addresses."""
    w = Loopback()
    ear = w.new(c.AF_INET6)
    ear.bind(("::", 80), now=w.now)
    ear.listen(now=w.now)
    w.call("EADDRINUSE", w.new().bind, ("0.0.0.0", 80))
    w.call("EINVAL", ear.setsockopt, c.SOL_IPV6, c.IPV6_V6ONLY, 1)
    for family, host, seen in ((c.AF_INET, "127.0.0.1", "::ffff:127.0.0.1"), (c.AF_INET6, "::1", "::1")):
        a = w.new(family)
        w.call("EINPROGRESS", a.connect, (host, 80))
        w.run()
        b, name = ear.accept(now=w.now)
        assert name[0] == b.getpeername()[0] == b.getsockname()[0] == seen
        a.send(b"hello", now=w.now)
        w.run()
        w.call(b"hello", b.recv, 9)


def test_ipv6_alone() -> None:
    """RFC 3493 5.3, IPV6_V6ONLY: no IPv4 comes, none is reached, and an IPv4 socket may stand beside."""
    w = Loopback()
    ear = w.new(c.AF_INET6)
    ear.setsockopt(c.SOL_IPV6, c.IPV6_V6ONLY, 1, now=w.now)
    ear.bind(("::", 80), now=w.now)
    ear.listen(now=w.now)
    a = w.new()
    a.connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    w.call("ECONNREFUSED", a.recv, 1)
    w.call(None, w.new().bind, ("0.0.0.0", 80))
    only = w.new(c.AF_INET6)
    only.setsockopt(c.SOL_IPV6, c.IPV6_V6ONLY, 1, now=w.now)
    w.call("ENETUNREACH", only.connect, ("::ffff:127.0.0.1", 80))
    w.call("EINVAL", only.bind, ("::ffff:127.0.0.1", 0))


def test_a_mapped_connection() -> None:
    """RFC 3493 3.7: an AF_INET6 socket speaks IPv4 to an IPv4-mapped address, and shows itself as one."""
    w = Loopback()
    ear = w.listener(80)
    a = w.new(c.AF_INET6)
    w.call("EINPROGRESS", a.connect, ("::ffff:127.0.0.1", 80))
    w.run()
    assert a.getpeername() == ("::ffff:127.0.0.1", 80, 0, 0)
    assert a.getsockname()[0] == "::ffff:127.0.0.1"
    assert ear.accept(now=w.now)[1][0] == "127.0.0.1"
    assert len(w.ns.tcp.connections) == 2
    assert not w.ns.tcp6.connections
    bound = w.new(c.AF_INET6)
    bound.bind(("::1", 0), now=w.now)
    w.call("ENETUNREACH", bound.connect, ("::ffff:127.0.0.1", 80))
