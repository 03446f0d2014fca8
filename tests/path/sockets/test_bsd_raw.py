"""Raw, ICMP and packet sockets of a namespace with the loop's ``sock_*`` calls, in no scope, and with an eventfd."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import turns

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]
TEST = 253


def is_readable(sock: Any) -> bool:
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "10.0.0.{}"), (socket.AF_INET6, "fd00::{}")])
async def test_raw(pair: Pair, family: int, host: str) -> None:
    """sock_sendto, sock_recvfrom, sock_recvfrom_into, sock_connect, sock_recv, sock_sendall."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    one, other = (netns.socket(family, socket.SOCK_RAW, TEST) for netns in (red, blue))
    assert (other.family, other.type, other.proto) == (family, socket.SOCK_RAW, TEST)
    skip = 20 if family == socket.AF_INET else 0
    reading = asyncio.ensure_future(loop.sock_recvfrom(other, 100))
    assert await loop.sock_sendto(one, b"hello", (host.format(2), 0)) == 5
    data, origin = await reading
    assert (data[skip:], origin[0]) == (b"hello", host.format(1))
    await loop.sock_connect(one, (host.format(2), 0))
    await loop.sock_sendall(one, b"again")
    buffer = bytearray(50)
    size, _ = await loop.sock_recvfrom_into(other, buffer)
    assert buffer[skip:size] == b"again"
    assert not is_readable(other)
    one.send(b"more")
    await turns(3)
    assert is_readable(other)
    assert (await loop.sock_recv(other, 100))[skip:] == b"more"
    assert not is_readable(other)
    one.close()
    other.close()
    assert other.fileno() == -1


async def test_icmp(pair: Pair) -> None:
    """An echo request by a datagram socket, its reply, and the error in the queue of one that none answers."""
    red, _ = pair
    loop = asyncio.get_running_loop()
    for family, proto, host, request in (
        (socket.AF_INET, socket.IPPROTO_ICMP, "10.0.0.2", 8),
        (socket.AF_INET6, socket.IPPROTO_ICMPV6, "fd00::2", 128),
    ):
        with red.socket(family, socket.SOCK_DGRAM, proto) as sock:
            sock.bind(("", 99))
            await loop.sock_connect(sock, (host, 0))
            await loop.sock_sendall(sock, struct.pack("!BBHHH", request, 0, 0, 0, 7) + b"data")
            data = await loop.sock_recv(sock, 100)
            assert (data[4:8], data[8:]) == (b"\0\x63\0\7", b"data")


async def test_packets(pair: Pair) -> None:
    """A packet socket reads what another one sends; statistics and timeouts work as anywhere."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    one, other = (netns.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x88B5)) for netns in pair)
    assert (one.family, one.type) == (socket.AF_PACKET, socket.SOCK_DGRAM)
    mac = blue.stack.device("y").mac
    reading = asyncio.ensure_future(loop.sock_recvfrom(other, 100))
    await loop.sock_sendto(one, b"hello", ("x", 0x88B5, 0, 0, mac))
    data, name = await reading
    assert (data, name[:3]) == (b"hello", ("y", 0x88B5, 0))
    one.sendto(b"more", ("x", 0x88B5, 0, 0, mac))
    await turns(3)
    assert is_readable(other)
    assert other.recvmsg(100)[0] == b"more"
    assert not is_readable(other)
    assert struct.unpack("=II", other.getsockopt(263, 6, 8)) == (2, 0)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 20_000))
    with pytest.raises(BlockingIOError):
        await loop.sock_recv(other, 1)
    await red.router.move_device("blue", "y", "red", "z")
    with pytest.raises(OSError, match=r"No such|address"):
        other.sendto(b"x", ("y", 0x88B5, 0, 0, mac))
    one.close()
    other.close()
