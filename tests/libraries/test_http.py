"""aiohttp, httpx and uvicorn, unmodified, in two namespaces of one process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import uvicorn
from aiohttp import web

import vrouter

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


async def hello(request: web.Request) -> web.Response:
    assert vrouter.current_netns().name == "blue"
    return web.json_response({"peer": request.remote, "host": request.host, "size": len(await request.read())})


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


@contextlib.asynccontextmanager
async def site(netns: vrouter.Netns, **options: Any) -> AsyncIterator[None]:
    """An aiohttp server on port 80 of a namespace, or 443 with TLS."""
    app = web.Application(client_max_size=1 << 24)
    app.router.add_get("/", hello)
    app.router.add_post("/", hello)
    app.router.add_get("/ws", echo)
    if (directory := options.pop("directory", None)) is not None:
        app.router.add_static("/files", directory)
    runner = web.AppRunner(app)
    with netns:
        await runner.setup()
        await web.TCPSite(runner, None, 443 if "ssl_context" in options else 80, **options).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def test_aiohttp_to_aiohttp(pair: Pair) -> None:
    """By name and by number, of both families; a body of a megabyte; kept-alive connections."""
    red, blue = pair
    async with site(blue):
        with red:
            async with aiohttp.ClientSession() as session:
                for host, peer in (("10.0.0.2", "10.0.0.1"), ("[fd00::2]", "fd00::1"), ("web.test", "10.0.0.1")):
                    async with session.get(f"http://{host}/") as answer:
                        assert (await answer.json())["peer"] == peer
                async with session.post("http://web.test/", data=b"x" * 1_000_000) as answer:
                    assert (await answer.json())["size"] == 1_000_000
                async with session.ws_connect("http://web.test/ws") as socket:
                    await socket.send_str("hello")
                    assert (await socket.receive()).data == "HELLO"
                with pytest.raises(aiohttp.ClientConnectorError) as caught:
                    await session.get("http://10.0.0.2:81/")
                assert isinstance(caught.value.os_error, ConnectionRefusedError)
                with pytest.raises(aiohttp.ClientConnectorDNSError):
                    await session.get("http://nobody.test/")


async def test_aiohttp_over_tls(pair: Pair, contexts: Any) -> None:
    """HTTPS by name: the certificate is checked."""
    red, blue = pair
    async with site(blue, ssl_context=contexts.server):
        with red:
            async with aiohttp.ClientSession() as session:
                async with session.get("https://web.test/", ssl=contexts.client) as answer:
                    assert (await answer.json())["host"] == "web.test"
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await session.get("https://10.0.0.2/", ssl=contexts.client)


@pytest.mark.parametrize("secure", [False, True])
async def test_aiohttp_sends_files(pair: Pair, contexts: Any, tmp_path: Path, secure: bool) -> None:
    """A file by sendfile(), which falls back to reading and writing; with TLS as well."""
    red, blue = pair
    data = bytes(range(256)) * 20_000
    (tmp_path / "large").write_bytes(data)
    options = {"ssl_context": contexts.server} if secure else {}
    async with site(blue, directory=tmp_path, **options):
        with red:
            async with aiohttp.ClientSession() as session:
                url = f"http{'s' if secure else ''}://web.test/files/large"
                async with session.get(url, ssl=contexts.client) as answer:
                    body = await answer.read()
    assert hashlib.sha256(body).hexdigest() == hashlib.sha256(data).hexdigest()


async def test_httpx_to_aiohttp(pair: Pair, contexts: Any) -> None:
    """httpx polls the socket of a kept connection before it uses it again."""
    red, blue = pair
    async with site(blue), site(blue, ssl_context=contexts.server):
        with red:
            async with httpx.AsyncClient(verify=contexts.client, trust_env=False) as client:
                for url in ("http://10.0.0.2/", "http://[fd00::2]/", "http://web.test/", "https://web.test/") * 2:
                    answer = await client.get(url)
                    assert answer.status_code == 200
                    assert answer.json()["peer"] in ("10.0.0.1", "fd00::1")
                assert (await client.post("http://web.test/", content=b"x" * 300_000)).json()["size"] == 300_000
                with pytest.raises(httpx.ConnectError):
                    await client.get("http://web.test:81/")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """A bare ASGI program: who asked, in which namespace."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = json.dumps({"client": scope["client"], "netns": vrouter.current_netns().name}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def asgi(netns: vrouter.Netns, **options: Any) -> AsyncIterator[None]:
    """uvicorn on port 8000 of a namespace."""
    config = uvicorn.Config(application, "10.0.0.2", 8000, log_config=None, ws="none", **options)
    server = uvicorn.Server(config)
    started = asyncio.Event()
    startup = server.startup

    async def note(sockets: Any = None) -> None:
        await startup(sockets)
        started.set()

    server.startup = note  # type: ignore[method-assign] # uvicorn tells in no other way when it listens
    with netns:
        serving = asyncio.create_task(server.serve())
    await started.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def test_uvicorn(pair: Pair) -> None:
    """An ASGI server in blue; aiohttp and httpx in red, many requests side by side."""
    red, blue = pair
    async with asgi(blue):
        with red:
            async with aiohttp.ClientSession() as session, httpx.AsyncClient(trust_env=False) as client:

                async def ask() -> Any:
                    async with session.get("http://10.0.0.2:8000/") as answer:
                        return await answer.json()

                answers = await asyncio.gather(*(ask() for _ in range(20)))
                answers.append((await client.get("http://10.0.0.2:8000/")).json())
    assert {answer["netns"] for answer in answers} == {"blue"}
    assert {answer["client"][0] for answer in answers} == {"10.0.0.1"}


async def test_two_tenants_with_one_address(pair: Pair) -> None:
    """The same address and port in two namespaces at once are two servers, and each task reaches its own."""
    red, blue = pair

    async def ask(netns: vrouter.Netns) -> str:
        async with netns, aiohttp.ClientSession() as session, session.get("http://127.0.0.1/") as answer:
            return await answer.text()

    runners = []
    for netns in (red, blue):
        app = web.Application()

        async def name(_: web.Request) -> web.Response:
            return web.Response(text=vrouter.current_netns().name)

        app.router.add_get("/", name)
        runners.append(web.AppRunner(app))
        async with netns:
            await runners[-1].setup()
            await web.TCPSite(runners[-1], "127.0.0.1", 80).start()
    assert await asyncio.gather(*(ask(netns) for netns in (red, blue) * 5)) == ["red", "blue"] * 5
    for runner in runners:
        await runner.cleanup()
