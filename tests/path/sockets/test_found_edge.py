"""Edges of the asyncio calls that a reading from outside has found: each was wrong once."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter

import pytest

import vrouter
from tests.path.admin import asking
from tests.path.sockets.world import World
from vrouter.cli.socket_text import socket_query
from vrouter.stack.l4.listing import counts

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


@pytest.mark.parametrize("port", [65536, 70000, -1, "65536"])
async def test_what_is_no_port_is_refused(world: World, port: int | str) -> None:
    """A port beyond 65535 is OverflowError, as asyncio's, and not one that was cut to sixteen bits."""
    loop = asyncio.get_running_loop()
    with world.client(), pytest.raises(OverflowError, match=r"connect\(\): port must be 0-65535"):
        await loop.create_connection(asyncio.Protocol, world.host, port)
    with world.server(), pytest.raises(OverflowError, match=r"bind\(\): port must be 0-65535"):
        await loop.create_server(asyncio.Protocol, world.host, port)


async def test_what_is_no_port_of_this_end_is_refused(pair: Pair) -> None:
    """The same of `local_addr`, and of ``sock_connect``."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    async with await blue.create_server(asyncio.Protocol, "10.0.0.2", 80):
        with pytest.raises(OverflowError, match="bind"):
            await red.create_connection(asyncio.Protocol, "10.0.0.2", 80, local_addr=("10.0.0.1", 65537))
        with red.socket() as sock, pytest.raises(OverflowError, match="connect"):
            await loop.sock_connect(sock, ("10.0.0.2", 65536 + 80))


async def test_ports_of_datagrams_have_names(pair: Pair) -> None:
    """``local_addr`` and ``remote_addr`` are looked up by host and service, as getaddrinfo(3) does."""
    red, _ = pair
    made, _ = await red.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("10.0.0.1", "5353"), remote_addr=("10.0.0.2", "53")
    )
    assert made.get_extra_info("sockname") == ("10.0.0.1", 5353)
    assert made.get_extra_info("peername") == ("10.0.0.2", 53)
    made.close()
    with pytest.raises(socket.gaierror) as caught:
        await red.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("10.0.0.1", "nosuchservice"))
    assert caught.value.errno == socket.EAI_SERVICE


async def test_somebody_else_reads_the_eventfd(pair: Pair) -> None:
    """Who drains the descriptor loses neither data nor later news; eventfd(2)."""
    red, blue = pair
    with red.socket(type=socket.SOCK_DGRAM) as one, blue.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("10.0.0.2", 9))
        descriptor = other.fileno()
        one.sendto(b"first", ("10.0.0.2", 9))
        await asyncio.sleep(0)
        assert os.eventfd_read(descriptor) == 1
        assert other.recv(100) == b"first"
        one.sendto(b"second", ("10.0.0.2", 9))
        await asyncio.sleep(0)
        assert os.eventfd_read(descriptor) == 1
        assert other.recv(100) == b"second"


async def test_what_is_no_name_is_refused(world: World) -> None:
    """Neither a host nor a service of another type, with the errors of socket.getaddrinfo."""
    loop = asyncio.get_running_loop()
    with world.client():
        for host in (5, []):
            with pytest.raises(TypeError, match="argument 1 must be string or None"):
                await loop.getaddrinfo(host, 80)
        with pytest.raises(OSError, match="Int or String expected"):
            await loop.getaddrinfo("192.0.2.1", 1.5)


async def test_a_listener_that_somebody_ends(pair: Pair) -> None:
    """``ss -K`` of a server's socket: the loop is told, and the server is over, as `serve_forever` says."""
    _, blue = pair
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    server = await blue.create_server(asyncio.Protocol, "10.0.0.2", 80)
    serving = asyncio.ensure_future(server.serve_forever())
    await asyncio.sleep(0)
    assert blue.kill_sockets("10.0.0.2:80", "0.0.0.0:*") == 1
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert [type(error) for error in told] == [ConnectionAbortedError]
    assert not server.is_serving()
    assert server.sockets == ()
    await server.wait_closed()


async def test_a_kill_that_finds_nothing_says_so(pair: Pair) -> None:
    """ENOENT tells which socket there is not."""
    red, _ = pair
    with pytest.raises(FileNotFoundError, match=r"no socket of 'red' is at 10.0.0.1:1 with the peer 10.0.0.2:2"):
        red.kill_sockets("10.0.0.1:1", "10.0.0.2:2")


async def test_states_are_known_by_name() -> None:
    """A state that there is not is refused with those that there are, instead of finding nothing."""
    async with asking() as (_, client):
        assert (await client.ask("GET", "/v1/sockets?state=TIME-WAIT")).json == []
        status, name, text = (await client.ask("GET", "/v1/sockets?state=OPEN")).error
        assert (status, name) == (400, "EINVAL")
        assert text.startswith("parameter 'state' is ESTAB or SYN-SENT or ")


@pytest.mark.parametrize(
    ("word", "state"), [("established", "ESTAB"), ("listening", "LISTEN"), ("time-wait", "TIME-WAIT")]
)
def test_states_have_the_words_of_ss(word: str, state: str) -> None:
    """ss(8): the names of a filter, and those of the table."""
    assert socket_query(["state", word], {})["state"] == state
    assert socket_query(["state", state], {})["state"] == state


async def test_sockets_are_counted_without_their_rows(pair: Pair) -> None:
    """The numbers of the metric are those of the rows, of every protocol."""
    red, blue = pair
    server = await blue.create_server(asyncio.Protocol, "10.0.0.2", 80)
    ends = [(await red.create_connection(asyncio.Protocol, "10.0.0.2", 80))[0] for _ in range(3)]
    opened = [red.socket(*numbers) for numbers in ((2, 3, 1), (17, 3, 0x0300), (17, 2, 0x0300), (2, 2))]
    opened[3].bind(("10.0.0.1", 5))
    await asyncio.sleep(0)
    ends.pop().close()  # what is left of it is a row as well
    await asyncio.sleep(0)
    for netns in pair:
        assert counts(netns.stack) == Counter(row["proto"] for row in netns.socket_records())
    assert counts(red.stack) == {"raw": 1, "p_raw": 1, "p_dgr": 1, "udp": 1, "tcp": 3}
    for sock in opened:
        sock.close()
    server.close()
    server.abort_clients()
    await server.wait_closed()
    for end in ends:
        end.abort()
