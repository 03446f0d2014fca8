"""Transports of connections do what asyncio's own do over the kernel: the same tests hold in both."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.path.sockets.world import Recorder, World, connected, turns

pytestmark = pytest.mark.scoped

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def keeping() -> Recorder:
    return Recorder(keep_open=True)


async def test_callbacks_come_in_order(world: World) -> None:
    """connection_made, data_received, eof_received, connection_lost(None): each once, on both sides."""
    async with connected(world) as pair:
        pair.client.transport.write(b"hello")
        await pair.server.received(5)
        pair.client.transport.write_eof()
        await pair.server.lost()
        await pair.client.lost()
    assert bytes(pair.server.data) == b"hello"
    assert pair.server.events == ["made", "data", "eof", "lost"]
    assert pair.client.events == ["made", "eof", "lost"]
    assert pair.server.error is None
    assert pair.client.error is None


async def test_half_close(world: World) -> None:
    """With eof_received true the connection stays: the other direction goes on until it ends, too."""
    async with connected(world, keeping, keeping) as pair:
        pair.client.transport.write(b"question")
        pair.client.transport.write_eof()
        await pair.server.until(lambda: "eof" in pair.server.events)
        assert not pair.server.transport.is_closing()
        pair.server.transport.write(b"answer")
        await pair.client.received(6)
        pair.server.transport.close()
        await pair.client.until(lambda: "eof" in pair.client.events)
        assert bytes(pair.server.data) == b"question"
        assert bytes(pair.client.data) == b"answer"
        assert "lost" not in pair.client.events


async def test_close_sends_what_waits(world: World) -> None:
    """close() reads nothing more, and connection_lost comes when all that was written is gone."""
    data = bytes(range(256)) * 12_000
    async with connected(world) as pair:
        transport = pair.client.transport
        transport.write(data)
        transport.close()
        assert transport.is_closing()
        await pair.server.received(len(data))
        await pair.client.lost()
        await pair.server.lost()
    assert hashlib.sha256(pair.server.data).digest() == hashlib.sha256(data).digest()
    assert pair.client.events == ["made", "lost"]
    assert pair.client.error is None


async def test_writes_are_checked(world: World) -> None:
    """Bytes-like objects alone can be written, and nothing after write_eof; an empty write is none."""
    async with connected(world, keeping, keeping) as pair:
        transport = pair.client.transport
        with pytest.raises(TypeError):
            transport.write("text")
        transport.write(b"")
        transport.write(bytearray(b"a"))
        transport.write(memoryview(b"b"))
        transport.writelines([b"c", bytearray(b"d"), memoryview(b"e")])
        transport.write(memoryview(b"fg").cast("H"))
        assert transport.can_write_eof()
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError):
            transport.write(b"late")
        await pair.server.until(lambda: "eof" in pair.server.events)
        assert bytes(pair.server.data) == b"abcdefg"


async def test_what_is_written_is_copied(pair: Any) -> None:
    """A program may change a bytearray after write(), also when the bytes still wait (uvloop's own transports do not
    promise that)."""
    block = bytearray(b"x" * 300_000)
    async with connected(World("netns", "10.0.0.2", *pair)) as ends:
        for _ in range(20):
            ends.client.transport.write(block)
        block[:] = b"y" * len(block)
        await ends.server.received(20 * len(block))
        assert ends.server.data.count(b"x") == 20 * len(block)


async def test_writing_after_the_end_is_ignored(world: World) -> None:
    """After close() and abort() writes do nothing, and both may be repeated."""
    async with connected(world) as pair:
        transport = pair.client.transport
        transport.abort()
        transport.write(b"lost")
        transport.close()
        transport.abort()
        await pair.client.lost()
        await pair.server.lost()
        transport.write(b"lost")
    assert pair.client.events == ["made", "lost"]
    assert pair.client.error is None
    assert bytes(pair.server.data) == b""


async def test_reading_can_pause(world: World) -> None:
    """While paused nothing is handed on; what came meanwhile comes afterwards. Repeating changes nothing."""
    async with connected(world) as pair:
        transport = pair.server.transport
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        pair.client.transport.write(b"hello")
        await turns(20)
        assert bytes(pair.server.data) == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await pair.server.received(5)
        transport.close()
        assert not transport.is_reading()
        transport.pause_reading()
        transport.resume_reading()


class Pausing(Recorder):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.pause_reading()


async def test_reading_can_pause_from_the_start(world: World) -> None:
    """pause_reading() in connection_made() comes before the first byte."""
    async with connected(world, server=Pausing) as pair:
        pair.client.transport.write(b"early")
        await turns(20)
        assert bytes(pair.server.data) == b""
        pair.server.transport.resume_reading()
        await pair.server.received(5)


class Buffered(asyncio.BufferedProtocol):
    """Reads into eight bytes of its own."""

    def __init__(self) -> None:
        self.buffer = bytearray(8)
        self.data = bytearray()
        self.sizes: list[int] = []
        self.over = asyncio.Event()
        self.filled = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self.sizes.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]
        if len(self.data) >= 3:
            self.filled.set()

    def eof_received(self) -> None:
        self.over.set()


async def test_buffered_protocols(world: World) -> None:
    """A BufferedProtocol gets what comes in its own buffer."""
    async with connected(world, server=Buffered) as pair:
        pair.client.transport.write(b"0123456789abcdefXYZ")
        pair.client.transport.write_eof()
        async with asyncio.timeout(10):
            await pair.server.over.wait()
        assert bytes(pair.server.data) == b"0123456789abcdefXYZ"


async def test_a_protocol_can_be_replaced(world: World) -> None:
    """set_protocol() switches between protocols of both kinds."""
    second, third = Buffered(), Recorder()
    async with connected(world) as pair:
        transport = pair.server.transport
        pair.client.transport.write(b"one")
        await pair.server.received(3)
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        pair.client.transport.write(b"two")
        async with asyncio.timeout(10):
            await second.filled.wait()
        transport.set_protocol(third)
        pair.client.transport.write(b"three")
        await third.received(5)
        transport.set_protocol(pair.server)
    assert (bytes(pair.server.data), bytes(second.data), bytes(third.data)) == (b"one", b"two", b"three")


async def test_what_is_known_of_a_connection(world: World) -> None:
    """Names of both ends, and the socket, also after the end."""
    async with connected(world) as pair:
        one, other = pair.client.transport, pair.server.transport
        assert one.get_extra_info("peername") == other.get_extra_info("sockname")
        assert one.get_extra_info("sockname") == other.get_extra_info("peername")
        assert one.get_extra_info("peername")[0] == world.host
        assert one.get_extra_info("nothing") is None
        assert one.get_extra_info("nothing", 7) == 7
        sock = one.get_extra_info("socket")
        assert sock.family == (socket.AF_INET6 if ":" in world.host else socket.AF_INET)
        assert sock.type == socket.SOCK_STREAM
        assert sock.getpeername() == one.get_extra_info("peername")
        assert sock.getsockname() == one.get_extra_info("sockname")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1  # asyncio switches Nagle's algorithm off
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.gettimeout() == 0
    assert one.get_extra_info("peername")[0] == world.host


async def test_a_namespace_is_known(pair: Any) -> None:
    """``netns`` and ``socket_info``, which no kernel's transport has."""
    red, blue = pair
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        transport = ends.client.transport
        assert transport.get_extra_info("netns") == "red"
        info = transport.get_extra_info("socket_info")
        assert (info["proto"], info["state"]) == ("tcp", "ESTAB")
        assert info["tcp_info"]["tcpi_state"] == 1
        assert repr(transport).startswith("<StreamTransport open")
    assert repr(transport).startswith("<StreamTransport closed")


async def test_nobody_listens(world: World) -> None:
    """ConnectionRefusedError, with errno ECONNREFUSED."""
    loop = asyncio.get_running_loop()
    with world.server():
        server = await loop.create_server(Recorder, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await turns(3)
    with world.client(), pytest.raises(ConnectionRefusedError) as caught:
        await loop.create_connection(Recorder, world.host, port)
    assert caught.value.errno == 111


async def test_a_reset_is_told(world: World) -> None:
    """A connection that the peer resets is lost with ConnectionResetError."""
    async with connected(world) as pair:
        sock = pair.server.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        pair.server.transport.abort()
        await pair.client.lost()
    assert isinstance(pair.client.error, ConnectionResetError)
    assert pair.client.error.errno == 104
    assert pair.client.events == ["made", "lost"]


class Raising(Recorder):
    def data_received(self, data: bytes) -> None:
        raise ZeroDivisionError("a mistake of the protocol")


async def test_a_protocol_that_raises_loses_its_connection(world: World) -> None:
    """The loop is told, and connection_lost gets the exception."""
    loop = asyncio.get_running_loop()
    told: list[Any] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    try:
        async with connected(world, server=Raising) as pair:
            pair.client.transport.write(b"x")
            await pair.server.lost()
    finally:
        loop.set_exception_handler(before)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert pair.server.error is told[0]


async def test_arguments_that_contradict(world: World) -> None:
    """ValueError for what makes no sense together, before anything is done."""
    loop = asyncio.get_running_loop()
    with world.client():
        for options in (
            {},
            {"host": world.host, "port": 1, "server_hostname": "x"},
            {"host": world.host, "port": 1, "ssl_handshake_timeout": 1.0},
            {"host": world.host, "port": 1, "ssl_shutdown_timeout": 1.0},
            {"ssl": True},
        ):
            with pytest.raises(ValueError):
                await loop.create_connection(Recorder, **options)


async def test_a_local_address_is_bound(world: World) -> None:
    """local_addr is where the connection comes from; one of another family or of nobody is an error."""
    own = {"127.0.0.1": "127.0.0.1", "10.0.0.2": "10.0.0.1", "fd00::2": "fd00::1"}[world.host]
    loop = asyncio.get_running_loop()
    with world.server():
        server = await loop.create_server(Recorder, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    with world.client():
        transport, protocol = await loop.create_connection(Recorder, world.host, port, local_addr=(own, 0))
        assert transport.get_extra_info("sockname")[0] == own
        transport.close()
        await protocol.lost()
        nobody = "fd00::99" if ":" in world.host else "10.99.0.1"
        with pytest.raises(OSError, match="error while attempting to bind on address"):
            await loop.create_connection(Recorder, world.host, port, local_addr=(nobody, 0))
    server.close()
    await turns(5)


@pytest.mark.parametrize("offset", [0, 7])
async def test_files_are_sent(pair: Any, tmp_path: Path, offset: int) -> None:
    """loop.sendfile() reads in a thread at the transport's pace; the protocol hears nothing meanwhile."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        with (tmp_path / "file").open("rb") as file:
            transport = ends.client.transport
            sending = asyncio.ensure_future(loop.sendfile(transport, file, offset, 2_000_000))
            ends.server.transport.write(b"meanwhile")
            assert await sending == 2_000_000
            assert file.tell() == offset + 2_000_000
            await ends.server.received(2_000_000)
            await ends.client.received(9)
            assert hashlib.sha256(ends.server.data).digest() == hashlib.sha256(data[offset:][:2_000_000]).digest()
            assert await loop.sendfile(transport, file, len(data) - 5) == 5
            with pytest.raises(asyncio.SendfileNotAvailableError):
                await loop.sendfile(transport, file, fallback=False)
            transport.close()
            with pytest.raises(RuntimeError, match="Transport is closing"):
                await loop.sendfile(transport, file)


async def test_a_file_whose_reader_goes_away(pair: Any, tmp_path: Path) -> None:
    """ConnectionError from sendfile() when the connection is lost, and the protocol is told."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with (tmp_path / "file").open("wb") as file:
        file.truncate(50_000_000)
    async with connected(World("netns", "10.0.0.2", red, blue), server=Pausing) as ends:
        with (tmp_path / "file").open("rb") as file:
            sending = asyncio.ensure_future(loop.sendfile(ends.client.transport, file))
            while not ends.client.transport.get_write_buffer_size():
                await loop.run_in_executor(None, int)  # a turn that a thread takes part in
            ends.server.transport.abort()
            with pytest.raises(ConnectionError):
                await sending
        await ends.client.lost()
        assert isinstance(ends.client.error, ConnectionError)
