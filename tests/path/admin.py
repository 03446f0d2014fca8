"""What the tests of the admin API share: a router to ask, and a client that is not the product's own."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import h11

import vrouter
from vrouter.control.connection import Limits
from vrouter.control.server import Server, start

#    netns red                netns blue              netns green
#    x 10.0.0.1/24 ══ veth ══ y 10.0.0.2/24           z 10.5.0.1/24 ══ veth ══ w (of red)
#    route 10.200.0.0/16 ──── short-cut, accepted ──►
#                                      ◄── refused ── route 10.200.0.0/16
CONFIG: dict[str, Any] = {
    "netns": {
        "red": {
            "sysctl": {"net.ipv4.ip_forward": 1},
            "dev": {
                "x": {"kind": "veth", "peer": {"netns": "blue", "dev": "y"}, "addresses": ["10.0.0.1/24"]},
                "w": {"kind": "veth", "peer": {"netns": "green", "dev": "z"}},
            },
            "route": [{"to": "10.200.0.0/16", "netns": "blue"}],
        },
        "blue": {
            "accept_from": ["red"],
            "dev": {"y": {"kind": "veth", "peer": {"netns": "red", "dev": "x"}, "addresses": ["10.0.0.2/24"]}},
        },
        "green": {
            "dev": {"z": {"kind": "veth", "peer": {"netns": "red", "dev": "w"}, "addresses": ["10.5.0.1/24"]}},
            "route": [{"to": "10.200.0.0/16", "netns": "blue"}],
        },
    }
}


@dataclass
class Answer:
    """An answer as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """(status, errno's name, message); the object has these two keys alone."""
        found = self.json
        assert set(found) == {"error", "message"}
        return self.status, found["error"], found["message"]


class Client:
    """One connection to the admin socket, by h11's client side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def __init__(self, place: str | tuple[str, int]) -> None:
        self.place = place

    @classmethod
    async def connect(cls, place: str | tuple[str, int]) -> "Client":
        client = cls(place)
        await client.open()
        return client

    async def open(self) -> None:
        place = self.place
        opened = asyncio.open_unix_connection(place) if isinstance(place, str) else asyncio.open_connection(*place)
        self.reader, self.writer = await opened
        self.http = h11.Connection(h11.CLIENT)

    async def send(self, method: str, target: str, body: bytes | None = None, **headers: str) -> None:
        all_headers = [("Host", "test"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        if body is not None:
            all_headers.append(("Content-Length", str(len(body))))
        data = self.http.send(h11.Request(method=method, target=target, headers=all_headers))
        if body:
            data += self.http.send(h11.Data(data=body))
        data += self.http.send(h11.EndOfMessage())
        self.writer.write(data)
        await self.writer.drain()

    async def event(self) -> Any:
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event
            async with asyncio.timeout(10):
                self.http.receive_data(await self.reader.read(65536))

    async def head(self) -> Answer:
        event = await self.event()
        while isinstance(event, h11.InformationalResponse):
            event = await self.event()
        assert isinstance(event, h11.Response), event
        return Answer(event.status_code, {name.decode(): value.decode() for name, value in event.headers})

    async def piece(self) -> bytes:
        """The next piece of a stream that goes on."""
        event = await self.event()
        assert isinstance(event, h11.Data), event
        return bytes(event.data)

    async def pieces(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self.event(), h11.Data):
            yield bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event

    async def answer(self) -> Answer:
        answer = await self.head()
        answer.body = b"".join([piece async for piece in self.pieces()])
        return answer

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        if self.http.our_state is not h11.IDLE:  # a stream was the last answer of its connection
            self.close()
            await self.open()
        await self.send(method, target, None if body is None else json.dumps(body).encode(), **headers)
        found = await self.answer()
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
        return found

    async def ended(self) -> bytes:
        """What comes until the server closes; no longer than 10 s."""
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                return await self.reader.read()
            return b""

    def close(self) -> None:
        self.writer.close()


@contextlib.contextmanager
def socket_path() -> Iterator[str]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="vr") as directory:
        yield f"{directory}/r.sock"


@contextlib.asynccontextmanager
async def serving(limits: Limits | None = None, **options: Any) -> AsyncIterator[tuple[vrouter.Router, Server, str]]:
    """A running router with its admin API, the server, and where it listens."""
    with socket_path() as path:
        async with vrouter.Router(options.pop("config", CONFIG), seed=1, identity="test") as router:
            server = await start(router, path, options.pop("metrics", None), limits)
            try:
                yield router, server, path
            finally:
                await server.close()


@contextlib.asynccontextmanager
async def asking(limits: Limits | None = None, **options: Any) -> AsyncIterator[tuple[vrouter.Router, Client]]:
    """A running router, and one connection to it."""
    async with serving(limits, **options) as (router, _, path):
        client = await Client.connect(path)
        try:
            yield router, client
        finally:
            client.close()
