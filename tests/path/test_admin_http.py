"""The HTTP side of the admin API under hostile and clumsy clients, and its end."""

import asyncio
import random
import re
import socket
from typing import Any

import pytest

from tests.path.admin import Client, asking, serving
from vrouter.control.connection import Limits

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = Limits(connections=4, head_bytes=2048, body_bytes=4096, idle_s=0.05, request_s=0.05, write_s=0.2, close_s=0.2)
SMALL = Limits(connections=4, head_bytes=2048, body_bytes=4096)


async def raw(path: str, data: bytes, *, eof: bool = False) -> bytes:
    """Everything that comes back for these bytes until the server closes."""
    client = await Client.connect(path)
    client.writer.write(data)
    if eof:
        client.writer.write_eof()
    found = await client.ended()
    client.close()
    return found


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET /healthz\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),  # RFC 9112 3.2: without Host
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 600 + b"\r\n", b"431"),
        (b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n", b"413"),
        (b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
        (
            b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n" + b" " * 0x2000,
            b"413",
        ),
    ],
)
async def test_what_is_no_request_is_refused_and_closed(data: bytes, status: bytes) -> None:
    """RFC 9112: what is malformed or too large gets its status and {error, message}; then the connection ends."""
    async with serving(SMALL) as (_, _, path):
        answer = await raw(path, data, eof=True)
        assert answer.startswith(b"HTTP/1.1 " + status + b" ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b'{"error":"E' in answer
        assert b"Connection: close" in answer
        assert b"200 OK" in await raw(path, HEALTH, eof=True)


async def test_garbage_never_stops_the_server() -> None:
    """Random bytes, and requests with random bytes changed or cut off: no exception, and the next client is served."""
    chance = random.Random(7)
    valid = b'POST /v1/netns/red/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 22\r\n\r\n{"dst":"10.0.0.2",""}}'
    async with serving(QUICK) as (_, _, path):
        for _ in range(150):
            data = bytearray(valid)
            for _ in range(chance.randrange(4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            if chance.random() < 0.3:
                data = bytearray(chance.randbytes(chance.randrange(1, 200)))
            answer = await raw(path, bytes(data[: chance.randrange(1, len(data) + 1)]), eof=True)
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer
            assert b"HTTP/1.1 500" not in answer
        assert b"200 OK" in await raw(path, HEALTH, eof=True)


async def test_a_client_that_says_nothing_is_closed() -> None:
    """Idle connections end after `idle_s`, without an answer; also those that have asked before."""
    async with serving(QUICK) as (_, server, path):
        silent = await Client.connect(path)
        assert await silent.ended() == b""
        asked = await Client.connect(path)
        assert (await asked.ask("GET", "/healthz")).status == 200
        assert await asked.ended() == b""
        silent.close()
        asked.close()
        assert server._connections == {}


@pytest.mark.parametrize(
    "head", [b"G", HEALTH[:-2], b"POST /v1/netns/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_slow_request_is_given_up(head: bytes) -> None:
    """A request that is not whole within `request_s` of its first byte is answered 408, however it trickles in."""
    async with serving(QUICK) as (_, _, path):
        client = await Client.connect(path)
        client.writer.write(head)
        answer = await client.ended()
        client.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"error":"ETIMEDOUT"' in answer


async def test_strangers_at_the_metrics_port_keep_nobody_from_the_admin_socket() -> None:
    """Each listener has its own bound; beyond twice of it a connection is not even told."""
    async with serving(SMALL, metrics="127.0.0.1:0") as (_, server, path):
        assert server.tcp_address is not None
        strangers = [await Client.connect(server.tcp_address) for _ in range(SMALL.connections)]
        for stranger in strangers:
            assert (await stranger.ask("GET", "/healthz")).status == 200
        assert b"200 OK" in await raw(path, HEALTH, eof=True)
        more = [await Client.connect(server.tcp_address) for _ in range(SMALL.connections + 1)]
        assert await more[-1].ended() == b""
        assert (await more[0].ended()).startswith(b"HTTP/1.1 503 ")
        assert len(server._connections) <= 2 * SMALL.connections
        for client in strangers + more:
            client.close()


async def test_connections_are_bounded() -> None:
    """One more than `connections` is answered 503; when one ends there is room again."""
    async with serving(SMALL) as (_, _, path):
        clients = [await Client.connect(path) for _ in range(SMALL.connections)]
        for client in clients:
            assert (await client.ask("GET", "/healthz")).status == 200
        extra = await Client.connect(path)
        answer = await extra.ended()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"error":"EUSERS"' in answer
        extra.close()
        clients[0].close()
        answers = [await raw(path, HEALTH, eof=True) for _ in range(3)]  # the server may notice a moment later
        assert answers[-1].startswith(b"HTTP/1.1 200 ")
        for client in clients:
            client.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    """RFC 9112 9.3.2: answers come in the order of the requests."""
    async with serving(SMALL) as (_, _, path):
        wrong = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
        last = HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        answer = await raw(path, HEALTH + wrong + HEALTH + last)
        assert re.findall(rb"HTTP/1\.1 (\d+) ", answer) == [b"200", b"404", b"200", b"200"]


async def test_http_1_0_and_half_closed_clients_are_served() -> None:
    """An HTTP/1.0 client is answered and closed; one that shuts its sending side has its answer first."""
    async with serving(SMALL) as (_, _, path):
        assert b"200 OK" in await raw(path, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await raw(path, HEALTH, eof=True)


async def test_expect_continue_is_answered() -> None:
    """RFC 9110 10.1.1: a client that waits for 100 (Continue) gets it (curl does for larger bodies)."""
    async with serving(SMALL) as (_, _, path):
        client = await Client.connect(path)
        client.writer.write(
            b"POST /v1/netns/new HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.writer.write(b"{}")
            assert (await client.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 201 ")
        client.close()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    """An answer that nobody takes for `write_s` ends the connection; others are served meanwhile."""
    async with serving(QUICK) as (router, server, path):
        for number in range(400):
            await router.add_netns(f"n{number}")
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.setblocking(False)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(deaf, path)
            await loop.sock_sendall(deaf, b"GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
            assert b"200 OK" in await raw(path, HEALTH, eof=True)
            assert len(server._connections) == 1
            async with asyncio.timeout(5):
                await asyncio.wait(list(server._connections))
        assert server._connections == {}


async def test_an_error_of_the_program_is_500_and_reported() -> None:
    """A fault inside is told to the loop's handler and answered 500; the connection goes on."""
    told: list[dict[str, Any]] = []
    async with asking() as (router, client):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context))
        router.stack.namespaces["red"].accept_from = None  # nothing that the program itself can bring about
        answer = await client.ask("GET", "/v1/netns")
        assert answer.error == (500, "EIO", "an error inside of the router; its log has more")
        router.stack.namespaces["red"].accept_from = frozenset()
        assert (await client.ask("GET", "/v1/netns")).status == 200
    assert [context["message"] for context in told] == ["exception in GET /v1/netns"]
    assert isinstance(told[0]["exception"], TypeError)


async def test_closing_is_bounded_whatever_clients_do() -> None:
    """Close ends idle, half-asking, streaming and pinging clients within `close_s` and a little."""
    limits = Limits(close_s=0.2)
    async with serving(limits) as (_, server, path):
        idle, half, events, capture, ping = [await Client.connect(path) for _ in range(5)]
        assert (await idle.ask("GET", "/healthz")).status == 200
        half.writer.write(HEALTH[:-4])
        await events.send("GET", "/events")
        await capture.send("GET", "/v1/capture")
        await ping.send("POST", "/v1/netns/red/ping", b'{"dst":"10.0.0.2","count":1000}')
        for client in (events, capture, ping):
            assert (await client.head()).status == 200
        loop = asyncio.get_running_loop()
        began = loop.time()
        await server.close()
        assert loop.time() - began < 1.0
        assert [piece async for piece in events.pieces()] != []  # ended as it should: the last chunk came
        assert [piece async for piece in capture.pieces()] != []
        for client in (idle, half, events, capture, ping):
            await client.ended()
            client.close()
        with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
            await Client.connect(path)
