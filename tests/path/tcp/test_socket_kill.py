"""``ss -K``: the end of a socket from outside."""

from __future__ import annotations

import pytest

from tests.path.admin import asking
from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.listing import kill, records


def test_a_connection() -> None:
    """SOCK_DESTROY (tcp_abort): ECONNABORTED for its program, a reset for the peer (RFC 9293 3.10.5)."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    assert kill(w.ns, f"127.0.0.1:{a.port}", "127.0.0.1:80", now=w.now) == 1
    w.run()
    w.call("ECONNABORTED", a.recv, 1)
    w.call("ECONNRESET", b.recv, 1)
    assert not w.ns.tcp.connections


def test_a_listener_and_what_waits() -> None:
    """Linux's SOCK_DESTROY: a listener ends with what waits to be accepted, and its port is free."""
    w = Loopback()
    ear = w.listener(80)
    a = w.new()
    a.connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    assert kill(w.ns, "127.0.0.1:80", "0.0.0.0:*", "tcp", now=w.now) == 1
    w.run()
    assert not ear.listening
    w.call("EINVAL", ear.accept)
    w.call("ECONNRESET", a.recv, 1)
    assert not w.ns.tcp.connections


def test_time_wait_and_datagrams() -> None:
    """Linux's SOCK_DESTROY: TIME-WAIT is forgotten; a UDP socket has ECONNABORTED (udp_abort)."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    port = a.port
    a.close(now=w.now)
    b.close(now=w.now)
    w.run(100)
    assert kill(w.ns, f"127.0.0.1:{port}", "127.0.0.1:80", now=w.now) == 1
    assert not w.ns.tcp.connections
    d = w.ns.socket(c.AF_INET, c.SOCK_DGRAM)
    d.bind(("127.0.0.1", 53), now=w.now)
    assert kill(w.ns, "127.0.0.1:53", "0.0.0.0:*", "udp", now=w.now) == 1
    w.call("ECONNABORTED", d.recv, 1)


def test_nobody() -> None:
    """Linux's SOCK_DESTROY: ENOENT when no row has these ends; a word that is no address is nobody's."""
    w = Loopback()
    w.listener(80)
    for local, peer, proto in (
        ("127.0.0.1:81", "0.0.0.0:*", None),
        ("127.0.0.1:80", "0.0.0.0:*", "udp"),
        ("nonsense", "", None),
    ):
        with pytest.raises(FileNotFoundError):
            kill(w.ns, local, peer, proto, now=w.now)
    assert len(records(w.ns)) == 1


async def test_by_the_api() -> None:
    """``DELETE /v1/netns/NETNS/sockets`` ends what ``GET /v1/sockets`` shows: 204, then 404; wrong words are 400."""
    async with asking() as (router, client):
        server = router["blue"].socket(c.AF_INET, c.SOCK_STREAM)
        server.bind(("10.0.0.2", 80))
        server.listen(1)
        ends = "local=10.0.0.2:80&peer=0.0.0.0:*"
        rows = (await client.ask("GET", "/v1/sockets?netns=blue&proto=tcp&listening=true&info=true")).json
        assert [(row["state"], row["local"], row["peer"]) for row in rows] == [("LISTEN", "10.0.0.2:80", "0.0.0.0:*")]
        assert (rows[0]["timer"], rows[0]["options"], rows[0]["tcp_info"]["tcpi_state"]) == (None, [], 10)
        assert (await client.ask("GET", "/v1/sockets?netns=blue&dport=81")).json == []
        assert (await client.ask("DELETE", f"/v1/netns/blue/sockets?{ends}&proto=sctp")).status == 400
        assert (await client.ask("DELETE", f"/v1/netns/blue/sockets?{ends}&proto=udp")).status == 404
        assert (await client.ask("DELETE", f"/v1/netns/blue/sockets?{ends}")).status == 204
        assert (await client.ask("DELETE", f"/v1/netns/blue/sockets?{ends}")).status == 404
        server.close()
