"""Kernel sockets that libraries connect inside a scope: a socket of the namespace stands behind them."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import Recorder, turns

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


def fresh(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setblocking(False)
    return sock


def standing(red: vrouter.Netns) -> list[Any]:
    return list(red.stack.sockets)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")])
async def test_connected_and_handed_over(pair: Pair, family: int, host: str) -> None:
    """sock_connect, then create_connection(sock=): the transport is the namespace's, the kernel's socket is closed."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    server = await blue.create_server(Recorder, host, 80)
    with red:
        sock = fresh(family)
        await loop.sock_connect(sock, (host, 80))
        transport, protocol = await loop.create_connection(Recorder, sock=sock)
    assert sock.fileno() == -1
    assert transport.get_extra_info("netns") == "red"
    assert transport.get_extra_info("peername")[:2] == (host, 80)
    transport.close()
    await protocol.lost()
    server.close()
    await server.wait_closed()


async def test_used_by_the_loop(pair: Pair) -> None:
    """sock_sendall, sock_recv, sock_recv_into with the kernel's socket go to the namespace, in any scope or none."""
    red, blue = pair
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    server = await blue.start_server(echo, "10.0.0.2", 80)
    sock = fresh()
    with red:
        await loop.sock_connect(sock, ("10.0.0.2", 80))
    await loop.sock_sendall(sock, b"hello")
    with blue:
        assert await loop.sock_recv(sock, 2) == b"HE"
    buffer = bytearray(10)
    assert await loop.sock_recv_into(sock, buffer) == 3
    assert bytes(buffer[:3]) == b"LLO"
    assert await loop.sock_recv(sock, 1) == b""
    sock.close()
    del sock
    server.close()
    await server.wait_closed()
    assert standing(red) == []


async def test_datagrams(pair: Pair) -> None:
    """A connected UDP socket of the kernel is stood in for as well, and may become an endpoint."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    with blue.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, red:
        peer.bind(("10.0.0.2", 53))
        sock = fresh(kind=socket.SOCK_DGRAM)
        await loop.sock_connect(sock, ("10.0.0.2", 53))
        await loop.sock_sendall(sock, b"question")
        data, address = await loop.sock_recvfrom(peer, 100)
        await loop.sock_sendto(peer, data[::-1], address)
        assert await loop.sock_recv(sock, 100) == b"noitseuq"
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=sock)
        assert transport.get_extra_info("peername") == ("10.0.0.2", 53)
        transport.close()
    assert address[0] == "10.0.0.1"


async def test_what_fails_leaves_nothing(pair: Pair) -> None:
    """A refused connection is the kernel's error, and no socket stays in the namespace."""
    red, _ = pair
    loop = asyncio.get_running_loop()
    with red, fresh() as sock:
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(sock, ("10.0.0.2", 1))
        assert standing(red) == []
        with pytest.raises(OSError, match="unreachable") as caught:
            await loop.sock_connect(sock, ("192.0.2.1", 1))
        assert caught.value.errno == 101
        assert standing(red) == []


async def test_dropped_by_its_program(pair: Pair) -> None:
    """Who closes and forgets the kernel's socket closes the namespace's."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    server = await blue.create_server(Recorder, "10.0.0.2", 80)
    with red:
        sock = fresh()
        await loop.sock_connect(sock, ("10.0.0.2", 80))
    assert len(standing(red)) == 1
    sock.close()
    del sock
    gc.collect()
    assert standing(red) == []
    await turns(5)
    server.close()
    await server.wait_closed()


async def test_options_come_along(pair: Pair) -> None:
    """What the program has set on the kernel's socket is set on the other, and where it is bound that is bound."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    server = await blue.create_server(Recorder, "10.0.0.2", 80)
    sock = fresh()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5000)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x20)
    sock.bind(("0.0.0.0", 0))
    port = sock.getsockname()[1]
    with red:
        await loop.sock_connect(sock, ("10.0.0.2", 80))
        transport, protocol = await loop.create_connection(Recorder, sock=sock)
    made = transport.get_extra_info("socket")
    assert made.getsockname() == ("10.0.0.1", port)
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 100_000
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 75
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    assert made.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0x20
    transport.abort()
    await protocol.lost()
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def test_names_are_the_namespaces(pair: Pair) -> None:
    """sock_connect to a name asks the namespace's resolver."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    await red.set_resolver(hosts={"web.test": "10.0.0.2"})
    server = await blue.create_server(Recorder, "10.0.0.2", 80)
    with red, fresh() as sock:
        await loop.sock_connect(sock, ("web.test", 80))
        await loop.sock_sendall(sock, b"x")
        assert standing(red)[0].getpeername() == ("10.0.0.2", 80)
    del sock
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def test_connected_outside(pair: Pair) -> None:
    """A kernel's socket that is connected already is the kernel's: RuntimeError inside a scope."""
    red, _ = pair
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    with fresh() as sock:
        await loop.sock_connect(sock, server.sockets[0].getsockname())
        with red:
            with pytest.raises(RuntimeError, match="a socket of the kernel"):
                await loop.sock_connect(sock, ("10.0.0.2", 80))
            with pytest.raises(RuntimeError, match="a socket of the kernel"):
                await loop.create_connection(Recorder, sock=sock)
    server.close()
    await turns(5)
