"""Flow control of transports, both ways, with the stack's buffers below: the same tests hold over the kernel."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from tests.path.sockets.world import Recorder, World, connected, turns

pytestmark = pytest.mark.scoped

BLOCK = bytes(range(256)) * 256  # 64 KiB


class Stopped(Recorder):
    """Reads nothing until it is told to."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.pause_reading()


async def fill(pair: Any) -> int:
    """Write until the transport's buffer is above its limit and the stack below takes nothing; how many bytes."""
    transport, written = pair.client.transport, 0
    while transport.get_write_buffer_size() < 2_000_000:
        transport.write(BLOCK)
        written += len(BLOCK)
        await asyncio.sleep(0)
    return written


async def test_the_protocol_is_paused_and_resumed(world: World) -> None:
    """pause_writing once above the high limit, resume_writing once at the low one; every byte arrives in order."""
    async with connected(world, server=Stopped) as pair:
        transport = pair.client.transport
        written = await fill(pair)
        assert (pair.client.paused, pair.client.resumed) == (1, 0)
        pair.server.transport.resume_reading()
        await pair.server.received(written)
        await pair.client.until(lambda: pair.client.resumed == 1)
        assert transport.get_write_buffer_size() == 0
        assert pair.client.paused == 1
        whole = hashlib.sha256(BLOCK * (written // len(BLOCK))).digest()
        assert hashlib.sha256(pair.server.data).digest() == whole


async def test_the_stack_is_full_first(pair: Any) -> None:
    """What the stack's send buffer does not take waits in the transport: the two together bound what is held."""
    red, blue = pair
    async with connected(World("netns", "10.0.0.2", red, blue), server=Stopped) as ends:
        written = await fill(ends)
        transport = ends.client.transport
        inside = transport.get_extra_info("socket_info")["tx_queue"]
        there = ends.server.transport.get_extra_info("socket_info")["rx_queue"]
        assert inside > 0
        assert there > 0
        waiting = transport.get_write_buffer_size()
        assert waiting + inside <= written <= waiting + inside + there  # what is not acknowledged yet counts twice


async def test_limits(world: World) -> None:
    """set_write_buffer_limits() has asyncio's defaults and checks; 0 pauses at the first byte that waits."""
    async with connected(world, server=Stopped) as pair:
        transport = pair.client.transport
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high=1, low=2)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        while not pair.client.paused:
            transport.write(BLOCK)
        assert transport.get_write_buffer_size() > 0
        pair.server.transport.resume_reading()
        await pair.client.until(lambda: pair.client.resumed == 1)
        assert transport.get_write_buffer_size() == 0


async def test_abort_drops_what_waits(world: World) -> None:
    """abort() with a full buffer ends at once, without pause or resume afterwards."""
    async with connected(world, server=Stopped) as pair:
        await fill(pair)
        pair.client.transport.abort()
        await pair.client.lost()
        assert pair.client.transport.get_write_buffer_size() == 0
        assert pair.client.error is None
        assert pair.client.resumed == 0


async def test_write_eof_comes_after_what_waits(world: World) -> None:
    """write_eof() with a full buffer ends the direction behind the last byte."""
    async with connected(world, lambda: Recorder(keep_open=True), Stopped) as pair:
        written = await fill(pair)
        pair.client.transport.write_eof()
        assert "eof" not in pair.server.events
        pair.server.transport.resume_reading()
        await pair.server.received(written)
        await pair.server.until(lambda: "eof" in pair.server.events)
        assert len(pair.server.data) == written


async def test_drain_waits(world: World) -> None:
    """StreamWriter.drain() waits while the peer reads nothing, and goes on when it does."""
    loop = asyncio.get_running_loop()
    go, total = asyncio.Event(), loop.create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        count = 0
        while data := await reader.read(1 << 20):
            count += len(data)
        total.set_result(count)
        writer.close()
        await writer.wait_closed()

    with world.server():
        server = await asyncio.start_server(serve, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    with world.client():
        _, writer = await asyncio.open_connection(world.host, port)
    written = 0
    while writer.transport.get_write_buffer_size() < 100_000:
        writer.write(BLOCK)
        written += len(BLOCK)
        await asyncio.sleep(0)
    draining = asyncio.ensure_future(writer.drain())
    await turns(20)
    assert not draining.done()
    go.set()
    async with asyncio.timeout(20):
        await draining
        writer.write_eof()
        assert await total == written
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
