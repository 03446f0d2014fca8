"""Servers do what asyncio's own do; what newer Pythons gave them is there on all."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import Recorder, World, connected, turns

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


async def test_a_closed_server_refuses(world: World) -> None:
    """close() ends listening and nothing else: connections go on, new ones are refused."""
    loop = asyncio.get_running_loop()
    async with connected(world, server=lambda: Recorder(keep_open=True)) as pair:
        server = pair.listening
        assert server.is_serving()
        assert server.get_loop() is loop
        port = server.sockets[0].getsockname()[1]
        server.close()
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        await turns(3)
        with world.client(), pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, world.host, port)
        pair.client.transport.write(b"still here")
        await pair.server.received(10)


async def test_start_serving_later(world: World) -> None:
    """start_serving=False binds only; start_serving() listens, and may be repeated."""
    loop = asyncio.get_running_loop()
    with world.server():
        server = await loop.create_server(Recorder, world.host, 0, start_serving=False)
    port = server.sockets[0].getsockname()[1]
    assert not server.is_serving()
    with world.client(), pytest.raises(ConnectionRefusedError):
        await loop.create_connection(Recorder, world.host, port)
    await server.start_serving()
    await server.start_serving()
    with world.client():
        transport, protocol = await loop.create_connection(Recorder, world.host, port)
    transport.abort()
    await protocol.lost()
    server.close()
    await turns(5)


async def test_serve_forever(world: World) -> None:
    """It serves until it is cancelled, which closes the server; two at once, or after the end, is RuntimeError."""
    loop = asyncio.get_running_loop()
    with world.server():
        server = await loop.create_server(Recorder, world.host, 0, start_serving=False)
    serving = asyncio.ensure_future(server.serve_forever())
    await turns(3)
    assert server.is_serving()
    with pytest.raises(RuntimeError):
        await server.serve_forever()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()
    with pytest.raises(RuntimeError):
        await server.serve_forever()


async def test_close_ends_serve_forever(pair: Pair) -> None:
    """close() while serve_forever() waits cancels that."""
    _, blue = pair
    server = await blue.create_server(Recorder, "10.0.0.2", 80)
    serving = asyncio.ensure_future(server.serve_forever())
    await turns(3)
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_wait_closed_waits_for_connections(pair: Pair) -> None:
    """Until the server is closed and its last connection is gone, in either order (asyncio from 3.12.1 on)."""
    red, blue = pair
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        waiting = [asyncio.ensure_future(ends.listening.wait_closed()) for _ in range(2)]
        await turns(5)
        assert not any(one.done() for one in waiting)
        ends.listening.close()
        await turns(5)
        assert not any(one.done() for one in waiting)
        ends.server.transport.close()
        await ends.server.lost()
        await asyncio.gather(*waiting)
        await ends.listening.wait_closed()
        assert not ends.listening.is_serving()


@pytest.mark.parametrize("abort", [False, True])
async def test_all_clients_at_once(pair: Pair, abort: bool) -> None:
    """close_clients() and abort_clients() (asyncio from 3.13 on) end every connection."""
    red, blue = pair
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        ends.listening.close()
        (ends.listening.abort_clients if abort else ends.listening.close_clients)()
        await ends.server.lost()
        await ends.client.lost()
        await ends.listening.wait_closed()
        assert ends.server.error is None


async def test_the_address_is_taken(world: World) -> None:
    """EADDRINUSE tells the address; nothing is left of the server."""
    loop = asyncio.get_running_loop()
    with world.server():
        server = await loop.create_server(Recorder, world.host, 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="error while attempting to bind on address") as caught:
            await loop.create_server(Recorder, world.host, port)
        assert caught.value.errno == 98
        server.close()
        await turns(2)
        again = await loop.create_server(Recorder, world.host, port)
        again.close()
    await turns(3)


async def test_several_hosts(pair: Pair) -> None:
    """A list of hosts gives a listener each, and the same host once."""
    red, blue = pair
    server = await blue.create_server(Recorder, ["10.0.0.2", "127.0.0.1", "10.0.0.2", "::1"], 80)
    names = {sock.getsockname()[:2] for sock in server.sockets}
    assert names == {("10.0.0.2", 80), ("127.0.0.1", 80), ("::1", 80)}
    assert len(server.sockets) == 3
    with pytest.raises(ConnectionRefusedError):
        await red.create_connection(Recorder, "fd00::2", 80)
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError, match="could not bind on any address out of"):
        await blue.create_server(Recorder, "10.9.9.9", 80)


async def test_listeners_share_a_port(pair: Pair) -> None:
    """reuse_port: two servers on one port, and each connection reaches one of them."""
    red, blue = pair
    counts = [0, 0]

    def counting(number: int) -> Any:
        def make() -> Recorder:
            counts[number] += 1
            return Recorder()

        return make

    servers = [await blue.create_server(counting(n), "10.0.0.2", 80, reuse_port=True) for n in range(2)]
    made = [await red.create_connection(Recorder, "10.0.0.2", 80) for _ in range(40)]
    await turns(5)
    assert sum(counts) == 40
    assert min(counts) >= 8
    for transport, protocol in made:
        transport.abort()
        await protocol.lost()
    for server in servers:
        server.close()
        server.abort_clients()
        await server.wait_closed()


async def test_a_factory_that_raises(pair: Pair) -> None:
    """The connection is closed, the loop is told, and the server goes on."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    told: list[Any] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    protocols: list[Any] = [ZeroDivisionError("no protocol"), Recorder()]

    def factory() -> Recorder:
        protocol = protocols.pop(0)
        if isinstance(protocol, Exception):
            raise protocol
        return protocol

    server = await blue.create_server(factory, "10.0.0.2", 80)
    for _ in range(2):
        transport, protocol = await red.create_connection(Recorder, "10.0.0.2", 80)
        if protocols:
            await protocol.lost()
        else:
            transport.abort()
            await protocol.lost()
    loop.set_exception_handler(before)
    assert [str(error) for error in told] == ["no protocol"]
    server.close()
    await server.wait_closed()


async def test_options_of_listeners(pair: Pair) -> None:
    """reuse_address is on unless switched off, keep_alive is off (asyncio from 3.13 on); IPv6 listeners are IPv6's."""
    _, blue = pair
    for options, reuse, keep in (({}, 1, 0), ({"reuse_address": False, "keep_alive": True}, 0, 1)):
        server = await blue.create_server(Recorder, "::", 80, **options)
        sock = server.sockets[0]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == reuse
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == keep
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        server.close()
        await server.wait_closed()


async def test_servers_on_given_sockets(pair: Pair) -> None:
    """sock= is a bound stream socket of the namespace; anything else is ValueError."""
    red, blue = pair
    with blue.socket() as sock:
        sock.bind(("10.0.0.2", 80))
        server = await blue.create_server(Recorder, sock=sock)
        transport, protocol = await red.create_connection(Recorder, "10.0.0.2", 80)
        transport.abort()
        await protocol.lost()
        server.close()
        await turns(5)
        assert sock.fileno() == -1
    with blue.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(ValueError, match="A Stream Socket"):
        await blue.create_server(Recorder, sock=sock)
    with red.socket() as sock, pytest.raises(ValueError, match="of namespace 'blue'"):
        await blue.create_server(Recorder, sock=sock)
    for options in ({}, {"host": "10.0.0.2", "port": 80, "sock": 1}, {"port": 80, "ssl_handshake_timeout": 1}):
        with pytest.raises(ValueError):
            await blue.create_server(Recorder, **options)
    with pytest.raises(TypeError):
        await blue.create_server(Recorder, "10.0.0.2", 80, ssl=True)
