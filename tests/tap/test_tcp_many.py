"""Ten thousand short connections each way, and nothing of them stays.

kernel namespace far: a client, then a server ══ TAP ══ lan, namespace red: a server, then a client
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.tap.tcp_site import FAR, NEAR, Site, site
from vrouter.testing import TapLab

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "nstat")]

CONNECTIONS = 10_000
AT_ONCE = 50
BUCKETS = 4000
PORT = 7007
# The records of TIME-WAIT, what they consist of, and what a loop has at the moment.
TRANSIENT = "TimeWait Bucket tuple dict list cell frame function Task Handle TimerHandle".split()
# Of either side the one who says `bye` closes first, and has the TIME-WAIT.
CLIENT = """
import asyncio, sys
host, port, count, at_once = sys.argv[1], *map(int, sys.argv[2:])
async def work(numbers):
    for number in numbers:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"%8d" % number)
        assert await reader.readexactly(8) == b"%8d" % number
        if number % 2:
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
async def main():
    numbers = iter(range(count))
    await asyncio.gather(*(work(numbers) for _ in range(at_once)))
asyncio.run(main())
"""
SERVER = """
import asyncio, sys
async def serve(reader, writer):
    data = await reader.readexactly(8)
    writer.write(data)
    if int(data) % 2 == 0:
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
async def main():
    server = await asyncio.start_server(serve, None, int(sys.argv[1]), backlog=200)
    await server.serve_forever()
asyncio.run(main())
"""


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What SERVER does, in a namespace."""
    data = await reader.readexactly(8)
    writer.write(data)
    if int(data) % 2 == 0:
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def ask(here: Site, address: str, count: int) -> None:
    """What CLIENT does, in a namespace."""

    async def work() -> None:
        for number in numbers:
            reader, writer = await here.red.open_connection(address, PORT)
            writer.write(b"%8d" % number)
            assert await reader.readexactly(8) == b"%8d" % number
            if number % 2:
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    numbers = iter(range(count))
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def living() -> Counter[str]:
    """The objects of this process that the collector knows, by their classes, without those of TIME-WAIT: `site` sees
    to their end."""
    gc.collect()
    found = Counter(type(thing).__name__ for thing in gc.get_objects())
    for name in (
        "TimeWait",
        "Bucket",
        "tuple",
        "dict",
        "list",
        "cell",
        "frame",
        "function",
        "Task",
        "Handle",
        "TimerHandle",
    ):
        del found[name]
    return found


async def leaves_nothing(here: Site, some: Callable[[int], Awaitable[None]], listeners: int) -> None:
    """Some connections, and many more: there is nothing more of anything."""
    await some(200)
    await here.nothing_is_left(listeners=listeners)
    before, descriptors = living(), len(os.listdir("/proc/self/fd"))
    await some(CONNECTIONS)
    await here.nothing_is_left(listeners=listeners)
    more = {name: grown for name, grown in (living() - before).items() if grown > CONNECTIONS // 50}
    assert more == {}
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert 0 < here.red.stack.tcp_state.time_waiting <= BUCKETS


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_from_the_kernel(tap_lab: TapLab) -> None:
    """Each connection is answered; half of them end at the server's side, whose records of TIME-WAIT are bounded."""
    async with site(tap_lab, sysctl={"net.ipv4.tcp_max_tw_buckets": BUCKETS}) as here:
        server = await here.red.start_server(answer, None, PORT, backlog=200)

        async def some(count: int) -> None:
            address = NEAR[6 if count == 200 else 4]
            words = (sys.executable, "-c", CLIENT, address, str(PORT), str(count), str(AT_ONCE))
            await here.far_runs(*words, timeout=200)

        await leaves_nothing(here, some, len(server.sockets))
        server.close()
        await server.wait_closed()


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_to_the_kernel(tap_lab: TapLab) -> None:
    """Each connection is made, although its port is one of some 28,000, and ends as the other end likes."""
    async with site(tap_lab, sysctl={"net.ipv4.tcp_max_tw_buckets": BUCKETS}) as here:
        here.far.start([sys.executable, "-c", SERVER, str(PORT)], listens=f"tcp:{PORT}")

        async def some(count: int) -> None:
            await ask(here, FAR[6 if count == 200 else 4], count)

        await leaves_nothing(here, some, 0)
