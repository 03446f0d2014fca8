"""One side of an iperf3 test, spoken over a namespace's asyncio sockets, with the kernel's iperf3 at the other end.

A connection for control, and one for data. Each begins with a cookie of 37 bytes that says which test it is of. Over
control go states, one byte each, and three JSON texts, each behind its length in four bytes: the client's parameters,
and what each side has counted.

    client                             server
    cookie, parameters       ───►      PARAM_EXCHANGE
    data connection, cookie  ───►      CREATE_STREAMS
                             ◄───      TEST_START, TEST_RUNNING
    data                     ◄──►      data
    TEST_END                 ───►      EXCHANGE_RESULTS
    results                  ◄──►      results
    IPERF_DONE               ───►      DISPLAY_RESULTS
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import vrouter

TEST_START, TEST_RUNNING, TEST_END = 1, 2, 4
PARAM_EXCHANGE, CREATE_STREAMS = 9, 10
EXCHANGE_RESULTS, DISPLAY_RESULTS, IPERF_DONE = 13, 14, 16
COOKIE = 37
BLOCK = bytes(128 * 1024)

Control = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def get_state(control: Control) -> int:
    return (await control[0].readexactly(1))[0]


def put_state(control: Control, state: int) -> None:
    control[1].write(bytes((state,)))


async def get_json(control: Control) -> dict[str, Any]:
    length = int.from_bytes(await control[0].readexactly(4), "big")
    found: dict[str, Any] = json.loads(await control[0].readexactly(length))
    return found


def put_json(control: Control, value: dict[str, Any]) -> None:
    text = json.dumps(value).encode()
    control[1].write(len(text).to_bytes(4, "big") + text)


class Stream:
    """The connection of the data: sends as much as goes, or counts what comes, until it ends or is told to."""

    def __init__(self, connection: Control) -> None:
        self.reader, self.writer = connection
        self.size = 0

    async def send(self) -> None:
        while True:
            self.writer.write(BLOCK)
            self.size += len(BLOCK)
            await self.writer.drain()

    async def receive(self) -> None:
        while data := await self.reader.read(1 << 18):
            self.size += len(data)

    def results(self, sender: bool) -> dict[str, Any]:
        """What this side has counted; retransmissions are for who sends."""
        counted = self.writer.get_extra_info("socket_info")["tcp_info"]["tcpi_total_retrans"]
        one = {"id": 1, "bytes": self.size, "retransmits": counted if sender else -1, "jitter": 0, "errors": 0}
        rest = {"packets": 0, "start_time": 0, "end_time": 1}
        usage = {"cpu_util_total": 0, "cpu_util_user": 0, "cpu_util_system": 0}
        return {**usage, "sender_has_retransmits": 1 if sender else -1, "streams": [one | rest]}

    @contextlib.asynccontextmanager
    async def running(self, sender: bool) -> AsyncIterator[None]:
        """Data flow inside; the other end may end them by a reset."""
        flow = asyncio.ensure_future(self.send() if sender else self.receive())
        try:
            yield
        finally:
            flow.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await flow

    def abort(self) -> None:
        self.writer.transport.abort()


async def serve(netns: vrouter.Netns, address: str, port: int, listens: asyncio.Event) -> tuple[int, int]:
    """``iperf3 -s -1``: one test; how many bytes went by our count, and by the client's."""
    accepted: asyncio.Queue[Control] = asyncio.Queue()
    server = await netns.start_server(lambda *streams: accepted.put_nowait(streams), address, port)
    listens.set()
    control = await accepted.get()
    cookie = await control[0].readexactly(COOKIE)
    put_state(control, PARAM_EXCHANGE)
    sender = (await get_json(control)).get("reverse", False)
    put_state(control, CREATE_STREAMS)
    stream = Stream(await accepted.get())
    assert await stream.reader.readexactly(COOKIE) == cookie
    put_state(control, TEST_START)
    put_state(control, TEST_RUNNING)
    async with stream.running(sender):
        assert await get_state(control) == TEST_END
        mine = stream.results(sender)
        put_state(control, EXCHANGE_RESULTS)
        theirs = await get_json(control)
        put_json(control, mine)
        put_state(control, DISPLAY_RESULTS)
        assert await get_state(control) == IPERF_DONE
    stream.abort()
    control[1].close()
    server.close()
    await server.wait_closed()
    return mine["streams"][0]["bytes"], theirs["streams"][0]["bytes"]


async def ask(netns: vrouter.Netns, address: str, port: int, seconds: float, sender: bool) -> tuple[int, int]:
    """``iperf3 -c``, with ``-R`` unless `sender`: one test; how many bytes went by our count, and by the server's."""
    loop = asyncio.get_running_loop()
    cookie = b"vrouter".ljust(COOKIE - 1, b"x") + b"\0"
    control = await netns.open_connection(address, port)
    control[1].write(cookie)
    assert await get_state(control) == PARAM_EXCHANGE
    parameters = {"tcp": True, "omit": 0, "time": int(seconds), "parallel": 1, "len": len(BLOCK)}
    put_json(control, parameters | ({} if sender else {"reverse": True}) | {"client_version": "3.12"})
    assert await get_state(control) == CREATE_STREAMS
    stream = Stream(await netns.open_connection(address, port))
    stream.writer.write(cookie)
    assert await get_state(control) == TEST_START
    assert await get_state(control) == TEST_RUNNING
    async with stream.running(sender):
        over = loop.create_future()
        loop.call_later(seconds, over.set_result, None)
        await over
        mine = stream.results(sender)
        put_state(control, TEST_END)
        assert await get_state(control) == EXCHANGE_RESULTS
        put_json(control, mine)
        theirs = await get_json(control)
        assert await get_state(control) == DISPLAY_RESULTS
        put_state(control, IPERF_DONE)
    stream.abort()
    control[1].close()
    await control[1].wait_closed()
    return mine["streams"][0]["bytes"], theirs["streams"][0]["bytes"]
