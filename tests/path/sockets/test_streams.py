"""asyncio's readers and writers in a scope, and the namespace's own calls of the same names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import World, turns

pytestmark = pytest.mark.scoped


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line in capitals."""
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_lines_to_and_fro(world: World) -> None:
    """open_connection() and start_server(): readline, readexactly, readuntil, write_eof, wait_closed."""
    with world.server():
        server = await asyncio.start_server(shout, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    with world.client():
        reader, writer = await asyncio.open_connection(world.host, port)
    writer.write(b"one\ntwo\n")
    await writer.drain()
    assert await reader.readline() == b"ONE\n"
    assert await reader.readexactly(2) == b"TW"
    assert await reader.readuntil(b"\n") == b"O\n"
    writer.writelines([b"th", b"ree\n"])
    writer.write_eof()
    assert await reader.read() == b"THREE\n"
    assert reader.at_eof()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_many_connections_at_once(world: World) -> None:
    """A hundred connections side by side, each with its own answers."""
    with world.server():
        server = await asyncio.start_server(shout, world.host, 0, backlog=200)
    port = server.sockets[0].getsockname()[1]

    async def ask(number: int) -> bytes:
        with world.client():
            reader, writer = await asyncio.open_connection(world.host, port)
        writer.write(f"number {number}\n".encode())
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    answers = await asyncio.gather(*map(ask, range(100)))
    assert answers == [f"NUMBER {number}\n".encode() for number in range(100)]
    server.close()
    await server.wait_closed()


async def test_the_limit_is_kept(world: World) -> None:
    """`limit` bounds a line, as in asyncio.streams."""
    with world.server():
        server = await asyncio.start_server(shout, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    with world.client():
        reader, writer = await asyncio.open_connection(world.host, port, limit=16)
    writer.write(b"x" * 100 + b"\n")
    with pytest.raises(ValueError, match="limit"):
        await reader.readline()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_namespace_has_the_calls_itself(pair: tuple[vrouter.Netns, vrouter.Netns]) -> None:
    """red.open_connection() and blue.start_server() need no scope and no loop of ours."""
    red, blue = pair
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(vrouter.current_netns())
        await shout(reader, writer)

    server = await blue.start_server(serve, "10.0.0.2", 80)
    reader, writer = await red.open_connection("10.0.0.2", 80)
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    assert writer.get_extra_info("netns") == "red"
    writer.close()
    await writer.wait_closed()
    async with server:
        assert server.is_serving()
    await server.wait_closed()
    assert seen == [None]


async def test_the_namespace_goes_away(pair: tuple[vrouter.Netns, vrouter.Netns]) -> None:
    """Removing a namespace ends its connections with ENETDOWN, and its servers."""
    red, blue = pair

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises(OSError, match="namespace 'blue' is gone"):
            await reader.read()

    server = await blue.start_server(serve, "10.0.0.2", 80)
    reader, writer = await red.open_connection("10.0.0.2", 80)
    await red.router.remove_netns("red")
    with pytest.raises(OSError, match="namespace 'red' is gone") as caught:
        await reader.read()
    assert caught.value.errno == 100
    assert writer.is_closing()
    with pytest.raises(OSError, match="is gone"):
        await writer.wait_closed()
    await blue.router.remove_netns("blue")
    await turns(3)
    assert not server.is_serving()
    assert server.sockets == ()


async def test_both_families_by_one_name(pair: tuple[vrouter.Netns, vrouter.Netns]) -> None:
    """A server on every address is reached by both families, each with a listener of its own."""
    red, blue = pair
    server = await blue.start_server(shout, None, 80)
    assert sorted(sock.getsockname()[0] for sock in server.sockets) == ["0.0.0.0", "::"]
    for host in ("10.0.0.2", "fd00::2"):
        reader, writer = await red.open_connection(host, 80)
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_the_router_stops() -> None:
    """What still has connections when its router stops is told ENETDOWN; nothing hangs, and servers are closed."""
    async with vrouter.Router(seed=1) as router:
        red = await router.add_netns("red")
        kept: list[Any] = []
        server = await red.start_server(lambda *ends: kept.extend(ends), "127.0.0.1", 80)
        reader, writer = await red.open_connection("127.0.0.1", 80)
        writer.write(b"x" * 3_000_000)
    with pytest.raises(OSError, match="is gone") as caught:
        await reader.read()
    assert caught.value.errno == 100
    assert not server.is_serving()
    await server.wait_closed()
    with pytest.raises(OSError, match="the router is not running"):
        await red.open_connection("127.0.0.1", 80)
