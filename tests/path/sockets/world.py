"""Where the same asyncio code runs: over the kernel's loopback, or between two namespaces of one process.

red ──── x ═══veth═══ y ──── blue
   10.0.0.1/24        10.0.0.2/24
   fd00::1/64         fd00::2/64
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import vrouter

KERNEL, NETNS, NETNS6 = "kernel", "netns", "netns6"


@dataclass
class World:
    """`host` is the server's address; code of a side runs in its scope."""

    kind: str
    host: str
    red: Any = None
    blue: Any = None

    def client(self) -> AbstractContextManager[Any]:
        """The scope of the connecting side."""
        return self.red if self.red is not None else contextlib.nullcontext()

    def server(self) -> AbstractContextManager[Any]:
        """The scope of the listening side."""
        return self.blue if self.blue is not None else contextlib.nullcontext()


@contextlib.asynccontextmanager
async def two_namespaces() -> AsyncIterator[tuple[vrouter.Netns, vrouter.Netns]]:
    """red and blue, with both families and nothing left in them at the end."""
    async with vrouter.Router(seed=1) as router:
        red, blue = await router.add_netns("red"), await router.add_netns("blue")
        for netns in (red, blue):
            netns.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
        await router.add_veth("red", "x", "blue", "y")
        for netns, dev, host in ((red, "x", 1), (blue, "y", 2)):
            await netns.add_address(dev, f"10.0.0.{host}/24")
            await netns.add_address(dev, f"fd00::{host}/64")
        yield red, blue
        await turns(5)
        left = [repr(sock) for netns in (red, blue) for sock in netns.stack.sockets]
    assert left == [], "sockets were left open"


@contextlib.asynccontextmanager
async def make_world(kind: str) -> AsyncIterator[World]:
    """A world of a kind."""
    if kind == KERNEL:
        yield World(kind, "127.0.0.1")
        return
    async with two_namespaces() as (red, blue):
        yield World(kind, "10.0.0.2" if kind == NETNS else "fd00::2", red, blue)


async def turns(count: int) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


class Recorder(asyncio.Protocol):
    """Keeps what it is told, in order; `keep_open` is what eof_received answers."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.events: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.error: BaseException | None = None
        self.changed = asyncio.Event()
        self.paused = 0
        self.resumed = 0

    def _note(self, event: str) -> None:
        if not self.events or self.events[-1] != event:
            self.events.append(event)
        self.changed.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._note("data")

    def eof_received(self) -> bool:
        self._note("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.paused += 1
        self.changed.set()

    def resume_writing(self) -> None:
        self.resumed += 1
        self.changed.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self._note("lost")

    async def until(self, condition: Any) -> None:
        """Wait until `condition()` holds."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def received(self, count: int) -> None:
        await self.until(lambda: len(self.data) >= count)

    async def lost(self) -> None:
        await self.until(lambda: self.events[-1:] == ["lost"])


class Connected:
    """A pair of connected recorders, `client` and `server`."""

    def __init__(self, client: Any, server: Any, listening: Any) -> None:
        self.client = client
        self.server = server
        self.listening = listening


@contextlib.asynccontextmanager
async def connected(world: World, client: Any = Recorder, server: Any = Recorder) -> AsyncIterator[Connected]:
    """Two protocols with a connection between them; at the end it is aborted, and the server closed."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Any] = loop.create_future()

    def accept() -> Any:
        protocol = server()
        made.set_result(protocol)
        return protocol

    with world.server():
        listening = await loop.create_server(accept, world.host, 0)
    port = listening.sockets[0].getsockname()[1]
    ends: list[Any] = []
    try:
        with world.client():
            _, one = await loop.create_connection(client, world.host, port)
        ends.append(one)
        ends.append(await made)
        if isinstance(ends[1], Recorder):
            await ends[1].until(lambda: ends[1].transport is not None)
        yield Connected(*ends, listening)
    finally:
        for protocol in ends:
            if protocol.transport is not None:
                protocol.transport.abort()
                if isinstance(protocol, Recorder):
                    await protocol.lost()
        listening.close()
        await turns(3)
