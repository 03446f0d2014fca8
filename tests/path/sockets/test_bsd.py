"""Sockets in the words of socket(2): never blocking, awaited by the loop's sock_* calls, in a scope or without."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import turns
from vrouter.testing import Lab

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


def is_readable(sock: Any) -> bool:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def streams(pair: Pair) -> tuple[Any, Any]:
    """Two connected sockets, red's and blue's."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with blue.socket() as listener:
        listener.bind(("10.0.0.2", 0))
        listener.listen()
        one = red.socket()
        await loop.sock_connect(one, listener.getsockname())
        other, address = await loop.sock_accept(listener)
    assert address == one.getsockname() == other.getpeername()
    return one, other


async def test_a_stream(pair: Pair) -> None:
    """bind, listen, connect, accept, send, recv, shutdown, close, and their errors on the way."""
    red, blue = pair
    listener = blue.socket(socket.AF_INET, socket.SOCK_STREAM)
    assert (listener.family, listener.type) == (socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("10.0.0.2", 80))
    listener.listen(5)
    with pytest.raises(BlockingIOError):
        listener.accept()
    one = red.socket()
    with pytest.raises(BlockingIOError) as caught:
        one.connect(("10.0.0.2", 80))
    assert caught.value.errno == errno.EINPROGRESS
    await turns(3)
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    other, address = listener.accept()
    assert address == one.getsockname()
    assert one.send(b"hello") == 5
    await turns(3)
    assert other.recv(3, socket.MSG_PEEK) == b"hel"
    buffer = bytearray(10)
    assert other.recv_into(buffer) == 5
    assert bytes(buffer[:5]) == b"hello"
    with pytest.raises(BlockingIOError):
        other.recv(1)
    one.sendmsg([b"ab", b"cd"])
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        one.send(b"x")
    await turns(3)
    parts = [bytearray(3), bytearray(3)]
    assert other.recvmsg_into(parts)[0] == 4
    assert parts == [b"abc", b"d\0\0"]
    assert other.recv(10) == b""
    for sock in (one, other, listener):
        sock.close()
        sock.close()
        assert sock.fileno() == -1
        with pytest.raises(OSError) as bad:
            sock.getsockname()
        assert bad.value.errno == errno.EBADF


async def test_the_loop_awaits(pair: Pair) -> None:
    """sock_recv, sock_recv_into, sock_sendall, sock_sendfile; a megabyte through small buffers."""
    loop = asyncio.get_running_loop()
    one, other = await streams(pair)
    reading = asyncio.ensure_future(loop.sock_recv(other, 100))
    await turns(3)
    assert not reading.done()
    await loop.sock_sendall(one, b"x")
    assert await reading == b"x"
    data = bytes(range(256)) * 4096
    sending = asyncio.ensure_future(loop.sock_sendall(one, data))
    received = bytearray()
    while len(received) < len(data):
        received += await loop.sock_recv(other, 10_000)
    await sending
    assert received == data
    reading = asyncio.ensure_future(loop.sock_recv(other, 100))
    await turns(3)
    one.close()
    assert await reading == b""
    other.close()


async def test_a_file(pair: Pair, tmp_path: Path) -> None:
    """sock_sendfile sends a part of a file, and leaves the file behind it."""
    loop = asyncio.get_running_loop()
    one, other = await streams(pair)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 10)
    with path.open("rb") as file:
        assert await loop.sock_sendfile(one, file, 5, 20) == 20
        assert file.tell() == 25
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(one, file, fallback=False)
    assert await loop.sock_recv(other, 100) == (b"0123456789" * 10)[5:25]
    one.close()
    other.close()


async def test_it_never_blocks(pair: Pair) -> None:
    """setblocking(True) and timeouts but 0 are ValueError."""
    with pair[0].socket() as sock:
        sock.setblocking(False)
        sock.settimeout(0)
        assert sock.gettimeout() == 0
        assert not sock.getblocking()
        assert not sock.get_inheritable()
        for call in (lambda: sock.setblocking(True), lambda: sock.settimeout(None), lambda: sock.settimeout(1)):
            with pytest.raises(ValueError, match="never block"):
                call()


def test_timeouts_bound_the_waiting(lab: Lab) -> None:
    """SO_RCVTIMEO and SO_SNDTIMEO of socket(7): EAGAIN, and EINPROGRESS of a connect, at exactly that time."""
    a, b = lab.line("a", "b", delay=0.001)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = a.face, b.face
        with far.socket() as listener, near.socket() as one, near.socket(type=socket.SOCK_DGRAM) as datagrams:
            listener.bind(("10.0.1.2", 80))
            listener.listen()
            await loop.sock_connect(one, ("10.0.1.2", 80))
            for sock in (one, datagrams):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 1, 500_000))
                began = loop.time()
                with pytest.raises(BlockingIOError) as caught:
                    await loop.sock_recv(sock, 1)
                assert caught.value.errno == errno.EAGAIN
                assert loop.time() - began == pytest.approx(1.5, abs=1e-6)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 2, 0))
            with pytest.raises(BlockingIOError):
                await loop.sock_sendall(one, bytes(20_000_000))
            with near.socket() as lost:
                lost.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 300_000))
                lab.wires[0].ends[0].impairments.loss = 1.0
                began = loop.time()
                with pytest.raises(BlockingIOError) as caught:
                    await loop.sock_connect(lost, ("10.0.1.2", 80))
                assert caught.value.errno == errno.EINPROGRESS
                assert loop.time() - began == pytest.approx(0.3, abs=1e-6)

    lab.run(main())
    assert lab.now > 0


async def test_the_descriptor_is_readable_when_the_socket_is(pair: Pair) -> None:
    """fileno() is an eventfd that follows the socket: data, its end, an error, a connection to accept."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with blue.socket() as listener, red.socket() as one:
        listener.bind(("10.0.0.2", 80))
        listener.listen()
        number = listener.fileno()
        assert listener.fileno() == number
        assert not is_readable(listener)
        await loop.sock_connect(one, ("10.0.0.2", 80))
        assert is_readable(listener)
        other, _ = listener.accept()
        assert not is_readable(listener)
        with other:
            assert not is_readable(one)
            other.send(b"hello")
            await turns(3)
            assert is_readable(one)
            assert one.recv(3) == b"hel"
            assert is_readable(one)
            assert one.recv(3) == b"lo"
            assert not is_readable(one)
        await turns(3)
        assert is_readable(one)
    assert one.fileno() == -1


async def test_a_reader_of_the_descriptor(pair: Pair) -> None:
    """loop.add_reader() on the eventfd, as libraries do that know descriptors alone."""
    loop = asyncio.get_running_loop()
    one, other = await streams(pair)
    called = asyncio.Event()
    loop.add_reader(one.fileno(), called.set)
    await turns(5)
    assert not called.is_set()
    other.send(b"x")
    async with asyncio.timeout(10):
        await called.wait()
    assert one.recv(10) == b"x"
    loop.remove_reader(one.fileno())
    one.close()
    other.close()


async def test_the_descriptor_of_a_transport(pair: Pair) -> None:
    """get_extra_info("socket").fileno() is readable exactly while what came waits to be read."""
    red, blue = pair
    server = await blue.create_server(asyncio.Protocol, "10.0.0.2", 80)
    transport, _ = await red.create_connection(asyncio.Protocol, "10.0.0.2", 80)
    await turns(5)
    sock = transport.get_extra_info("socket")
    assert not is_readable(sock)
    transport.pause_reading()
    server.close()
    server.close_clients()
    await server.wait_closed()
    await turns(5)
    assert is_readable(sock)  # its peer has ended
    transport.resume_reading()
    await turns(5)
    assert sock.fileno() == -1
    assert not hasattr(sock, "recv")


async def test_datagrams(pair: Pair) -> None:
    """sock_sendto, sock_recvfrom and sock_recvfrom_into, on uvloop too, which has them for no kernel's socket."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with red.socket(type=socket.SOCK_DGRAM) as one, blue.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("10.0.0.2", 53))
        assert await loop.sock_sendto(one, b"hello", ("10.0.0.2", 53)) == 5
        data, address = await loop.sock_recvfrom(other, 100)
        assert (data, address[0]) == (b"hello", "10.0.0.1")
        await loop.sock_sendto(other, b"answer", address)
        buffer = bytearray(10)
        assert await loop.sock_recvfrom_into(one, buffer) == (6, ("10.0.0.2", 53))
        for call in (one.listen, one.accept):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == errno.EOPNOTSUPP


async def test_sockets_become_transports(pair: Pair) -> None:
    """create_connection(sock=) and connect_accepted_socket() take sockets of a namespace, in a scope or without."""
    loop = asyncio.get_running_loop()
    one, other = await streams(pair)
    reader = asyncio.StreamReader()
    transport, _ = await loop.create_connection(lambda: asyncio.StreamReaderProtocol(reader), sock=one)
    accepted, _ = await loop.connect_accepted_socket(asyncio.Protocol, other)
    accepted.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert transport.get_extra_info("socket") is one
    with pytest.raises(RuntimeError, match="is used by a transport already"):
        await loop.create_connection(asyncio.Protocol, sock=one)
    accepted.close()
    assert await reader.read() == b""
    transport.close()
    await turns(5)
    with pytest.raises(OSError) as caught:
        await loop.create_connection(asyncio.Protocol, sock=one)
    assert caught.value.errno == errno.EBADF


async def test_a_socket_that_nobody_has_is_closed(pair: Pair) -> None:
    """As a kernel's: when the last reference goes; detach() keeps it."""
    red, _ = pair
    red.socket()
    assert list(red.stack.sockets) == []
    sock = red.socket()
    stack = sock.stack
    assert sock.detach() == -1 or sock.detach() >= 0
    del sock
    assert list(red.stack.sockets) == [stack]
    stack.close()


async def test_closing_wakes_who_waits(pair: Pair) -> None:
    """A call that waits while its socket is closed ends with EBADF."""
    loop = asyncio.get_running_loop()
    one, other = await streams(pair)
    waiting = asyncio.ensure_future(loop.sock_recv(one, 1))
    await turns(3)
    one.close()
    with pytest.raises(OSError) as caught:
        await waiting
    assert caught.value.errno == errno.EBADF
    other.close()


async def test_connections_fail_as_the_kernels(pair: Pair) -> None:
    """ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, ENOTCONN, EPIPE."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with red.socket() as sock, blue.socket() as other:
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(sock, ("10.0.0.2", 1))
        for call, code in (
            (lambda: red.socket().connect(("192.0.2.1", 1)), errno.ENETUNREACH),
            (lambda: other.bind(("10.0.0.1", 1)), errno.EADDRNOTAVAIL),
            (lambda: other.shutdown(socket.SHUT_WR), errno.ENOTCONN),
            (lambda: other.recv(1), errno.ENOTCONN),
            (lambda: other.send(b"x"), errno.EPIPE),
            (lambda: other.accept(), errno.EINVAL),
        ):
            with pytest.raises(OSError) as caught:
                call()
            assert caught.value.errno == code
        other.bind(("10.0.0.2", 7))
        with blue.socket() as third, pytest.raises(OSError) as caught:
            third.bind(("10.0.0.2", 7))
        assert caught.value.errno == errno.EADDRINUSE
