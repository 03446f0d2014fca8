"""Cancellation at every await of every call: nothing is left over, wherever it strikes.

`at_each_step` runs a coroutine again and again and cancels it at its first suspension, its second, and so on: once so
that what it waits for is cancelled, once in the moment when what it waited for has just been done.
"""

from __future__ import annotations

import asyncio
import socket
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest

import vrouter
from tests.path.sockets.test_tls import Contexts
from tests.path.sockets.world import Recorder, turns
from vrouter.testing import Lab

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]
MOST_STEPS = 60


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    return Contexts()


@types.coroutine
def _cut(coroutine: Coroutine[Any, Any, Any], step: int, late: bool) -> Generator[Any, Any, Any]:
    """Drive a coroutine, and cancel it at one of its suspensions. Its result, if it ended before."""
    error: BaseException | None = None
    number, struck = 0, False
    while True:
        try:
            waited = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as over:
            return True, over.value
        error = None
        if number >= step and not (struck or late or waited is None):
            waited.cancel()
            struck = True
        try:
            yield waited
        except BaseException as raised:  # it is the coroutine's
            error = raised
        if number >= step and not struck and error is None:  # a timeout of its own comes first
            error = asyncio.CancelledError()
            struck = True
        number += 1


async def _cancelled(coroutine: Coroutine[Any, Any, Any], step: int, late: bool) -> tuple[bool, Any]:
    """(whether it ended before it was cancelled, its result)."""
    try:
        return await _cut(coroutine, step, late)
    except asyncio.CancelledError:
        return False, None


async def at_each_step(
    make: Callable[[], Coroutine[Any, Any, Any]],
    undo: Callable[[Any], Awaitable[None]],
    left: Callable[[], Any],
) -> int:
    """Cancel `make()` at each of its steps; `undo` takes its result back, `left` is the same afterwards as before. How
    many steps it has."""
    before = left()
    for late in (False, True):
        for step in range(MOST_STEPS):
            done, result = await _cancelled(make(), step, late)
            if done:
                await undo(result)
            await turns(12)
            assert left() == before, f"step {step}, late {late}"
            if done:
                break
        else:
            pytest.fail("it never ended")
    return step


def state(pair: Pair) -> Callable[[], Any]:
    def look() -> Any:
        tasks = len(asyncio.all_tasks())
        return tasks, [len(netns.stack.sockets) for netns in pair]

    return look


async def abort(result: tuple[Any, Any]) -> None:
    result[0].abort()


@pytest.mark.parametrize("delay", [None, 0.25])
async def test_connecting(pair: Pair, delay: float | None) -> None:
    """create_connection(), by number and by name, one after the other and in a race."""
    red, blue = pair
    await red.set_resolver(hosts={"web.test": ["fd00::2", "10.0.0.2"]})
    server = await blue.create_server(Recorder, None, 80)
    for host in ("10.0.0.2", "web.test"):
        steps = await at_each_step(
            lambda host=host: red.create_connection(Recorder, host, 80, happy_eyeballs_delay=delay), abort, state(pair)
        )
        assert steps >= 1
    server.close()
    await server.wait_closed()


async def test_connecting_with_tls(pair: Pair, contexts: Contexts) -> None:
    """create_connection(ssl=): in the handshake, too."""
    red, blue = pair
    server = await blue.create_server(Recorder, "10.0.0.2", 443, ssl=contexts.server)

    def make() -> Any:
        return red.create_connection(Recorder, "10.0.0.2", 443, ssl=contexts.client, server_hostname="web.test")

    async def undo(result: tuple[Any, Any]) -> None:
        result[0].abort()
        await result[1].lost()

    assert await at_each_step(make, undo, state(pair)) >= 1
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def test_serving(pair: Pair) -> None:
    """create_server() and start_server(): no listener is left."""
    _, blue = pair

    async def undo(server: Any) -> None:
        server.close()
        await server.wait_closed()

    for make in (
        lambda: blue.create_server(Recorder, ["10.0.0.2", "fd00::2"], 80),
        lambda: blue.start_server(print, None, 80),
    ):
        assert await at_each_step(make, undo, state(pair)) >= 1


async def test_datagrams(pair: Pair) -> None:
    """create_datagram_endpoint(), by number and by name."""
    red, _ = pair
    await red.set_resolver(hosts={"web.test": "10.0.0.2"})
    for host in ("10.0.0.2", "web.test"):
        steps = await at_each_step(
            lambda host=host: red.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, 53)),
            abort,
            state(pair),
        )
        assert steps >= 1


async def test_asking_servers(pair: Pair) -> None:
    """getaddrinfo() by way of DNS servers, one of which refuses and one of which never answers."""
    red, blue = pair
    await red.set_resolver(servers=["10.0.0.2:1", "10.0.0.2:53"], timeout=30, attempts=1)
    mute, _ = await blue.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.0.0.2", 53))
    before = state(pair)()
    for step in range(8):
        asking = asyncio.ensure_future(red.getaddrinfo("name.test", 80))
        await turns(step * 3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await turns(5)
        assert state(pair)() == before
    mute.close()


async def test_sockets_of_the_loop(pair: Pair) -> None:
    """sock_connect, sock_accept, sock_recv, sock_sendall: the socket is the program's, and stays usable."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with blue.socket() as listener:
        listener.bind(("10.0.0.2", 80))
        listener.listen()

        async def read_all(sock: Any, count: int) -> int:
            while count > 0:
                count -= len(await loop.sock_recv(sock, 65536))
            return count

        async def exchange() -> int:
            with red.socket() as one:
                await loop.sock_connect(one, ("10.0.0.2", 80))
                other, _ = await loop.sock_accept(listener)
                with other:
                    _, rest = await asyncio.gather(loop.sock_sendall(other, b"x" * 900_000), read_all(one, 900_000))
                    return rest

        async def undo(rest: int) -> None:
            assert rest == 0

        def look() -> Any:
            try:  # what an exchange that was cut off has left waiting
                listener.accept()[0].close()
            except BlockingIOError:
                pass
            return state(pair)()

        assert await at_each_step(exchange, undo, look) >= 1


async def test_taken_over_sockets(pair: Pair) -> None:
    """sock_connect of a kernel's socket in a scope: what stood behind it goes with it."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    server = await blue.create_server(Recorder, "10.0.0.2", 80)

    async def make() -> Any:
        with socket.socket() as sock:
            sock.setblocking(False)
            with red:
                await loop.sock_connect(sock, ("10.0.0.2", 80))
                return await loop.create_connection(Recorder, sock=sock)

    assert await at_each_step(make, abort, state(pair)) >= 1
    server.close()
    await server.wait_closed()


async def test_streams(pair: Pair) -> None:
    """A whole exchange by streams, with a handler on the other side."""
    red, blue = pair

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await blue.start_server(serve, "10.0.0.2", 80)

    async def exchange() -> None:
        reader, writer = await red.open_connection("10.0.0.2", 80)
        try:
            writer.write(b"hello")
            await writer.drain()
            assert await reader.readexactly(5) == b"hello"
        finally:
            writer.close()
        await writer.wait_closed()

    async def undo(_: None) -> None:
        await turns(5)

    assert await at_each_step(exchange, undo, state(pair)) >= 1
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("host", ["b", "both"])
def test_connecting_far_away(lab: Lab, host: str) -> None:
    """With a network between them that takes its time: cancelled before, in and behind the handshake."""
    a, b = lab.line("a", "b", delay=0.01)

    async def main() -> int:
        near, far = a.face, b.face
        numbers = ["fd00:0:1::2", "10.0.1.2"]
        await near.set_resolver(hosts={"b": "10.0.1.2", "both": numbers})
        server = await far.create_server(Recorder, None, 80)

        async def undo(result: Any) -> None:
            result[0].abort()
            await result[1].lost()

        def left() -> Any:
            return len(asyncio.all_tasks()), len(near.stack.sockets)

        delay = 0.005 if host == "both" else None
        steps = await at_each_step(
            lambda: near.create_connection(Recorder, host, 80, happy_eyeballs_delay=delay), undo, left
        )
        server.close()
        server.abort_clients()
        await server.wait_closed()
        return steps

    assert lab.run(main()) >= 2
