"""A flood of SYNs from anywhere, and those who go on working in it.

kernel namespace far: SYNs by AF_PACKET, an `Agent` ══ TAP ══ lan, namespace red: an echo server
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import struct

import pytest

from tests.tap.tcp_site import FAR, NEAR, PORT, Agent, Site, site, until
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp.request import Request
from vrouter.stack.l4.tcp.tcb import Tcb
from vrouter.testing import TapLab

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "nstat")]

BY_TAP, AT_ONCE = 20_000, 400  # a TAP's queue holds 1000
IN_PROCESS = 80_000
BACKLOG = 128


def syn(number: int, to: bytes, port: int) -> bytes:
    """The IPv4 packet of a SYN with Linux's options, from an address and port that `number` decides."""
    chance = number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    src = struct.pack("!I", 0xC6120000 | chance >> 47)  # 198.18.0.0/15
    options = bytes.fromhex("020405b40402080a0000000100000000") + b"\1\3\3\7"
    fields = 1024 | chance >> 20 & 0xFFFF, port, chance & 0xFFFFFFFF, 0, 0xA002, 64240, 0, 0
    segment = bytearray(struct.pack("!HHIIHHHH", *fields) + options)
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 60, number & 0xFFFF, 0, 64, 6, 0) + src + to)
    pseudo = src + to + struct.pack("!HH", 6, 40)
    segment[16:18] = struct.pack("!H", 0xFFFF - sum(struct.unpack("!26H", pseudo + segment)) % 0xFFFF)
    header[10:12] = struct.pack("!H", 0xFFFF - sum(struct.unpack("!10H", header)) % 0xFFFF)
    return bytes(header + segment)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


async def talk(agent: Agent, name: str) -> None:
    """The connection of that name answers."""
    assert await agent(f"{name}.send(b'hello')") == 5
    assert await agent(f"{name}.recv(5, socket.MSG_WAITALL)") == b"hello"


async def works(here: Site, agent: Agent) -> None:
    """The connection that was there before does, and so does a new one; what strangers take up is bounded."""
    await talk(agent, "old")
    assert await agent(f"new = socket.create_connection(({NEAR[4]!r}, {PORT}))") is None
    await talk(agent, "new")
    await agent("new.close()")
    entries = list(here.red.stack.tcp.connections.values())
    assert sum(isinstance(entry, Request) for entry in entries) <= BACKLOG + 1
    assert sum(isinstance(entry, Tcb) for entry in entries) <= 2


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_flood_of_syns(tap_lab: TapLab) -> None:
    """RFC 4987 3.6: 100,000 SYNs from random sources keep neither old connections nor new ones from working, and cost
    no memory beyond the backlog."""
    async with site(tap_lab) as here, here.agent() as agent:
        stats, stack = here.red.stack.stats, here.stack
        await here.red.add_route("default", via=FAR[4])
        server = await here.red.start_server(echo, NEAR[4], PORT, backlog=BACKLOG)
        assert await agent(f"old = socket.create_connection(({NEAR[4]!r}, {PORT}))") is None
        lan = here.red.stack.device("lan")
        ethernet = lan.mac + bytes.fromhex("020000000002") + b"\x08\x00"
        await agent(inspect.getsource(syn))
        await agent("raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); raw.bind(('eth0', 0x0800))")
        near = bytes(map(int, NEAR[4].split(".")))
        for first in range(0, BY_TAP, AT_ONCE):
            came = stats[Stat.TcpInSegs]
            frames = f"syn(n, {near!r}, {PORT}) for n in range({first}, {first + AT_ONCE})"
            assert await agent(f"sum(raw.send({ethernet!r} + packet) > 0 for packet in ({frames}))") == AT_ONCE
            await until(lambda came=came: stats[Stat.TcpInSegs] - came >= AT_ONCE, "they have come")
            if first % 4000 == 0:
                await works(here, agent)
        gc.collect()
        before = len(gc.get_objects())
        for first in range(BY_TAP, BY_TAP + IN_PROCESS, 1000):
            for number in range(first, first + 1000):
                here.router.driver.call(stack.receive, lan, bytes(12) + ethernet + syn(number, near, PORT))
            if first % 20_000 == 0:
                await works(here, agent)
        gc.collect()
        assert len(gc.get_objects()) < before + 2000
        assert stats[Stat.TcpSyncookiesSent] > (BY_TAP + IN_PROCESS) * 0.9
        assert stats[Stat.TcpSyncookiesRecv] >= 4
        await works(here, agent)
        await agent("old.close()")
        server.close()
        await server.wait_closed()
