"""What a kernel and a namespace agree on about a connection, and what each sees the other do.

kernel namespace far: an `Agent`, ss, nstat ══ TAP ══ lan, namespace red: BSD-style sockets
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.tap.tcp_site import FROM_KERNEL, FROM_US, connect, reads, site, until
from vrouter.stack.base.counters import Stat
from vrouter.testing import TapLab

pytestmark = [pytest.mark.tap, pytest.mark.scoped, pytest.mark.tools("ip", "ss", "nstat")]

MSS = {4: 1448, 6: 1428}  # RFC 9293 3.7.1, less the timestamps
both_families = pytest.mark.parametrize("family", [4, 6])
both_ways = pytest.mark.parametrize("way", [FROM_US, FROM_KERNEL])
once = pytest.mark.asyncio(loop_factories=["uvloop"])  # takes its time, and none of it is the loop's


@asynccontextmanager
async def connected(lab: TapLab, way: str = FROM_US, family: int = 4, **options: Any) -> AsyncIterator[Any]:
    """(site, agent, our socket of a connection)."""
    async with site(lab, **options) as here, here.agent() as agent:
        ours = await connect(here, agent, way, family)
        yield here, agent, ours
        await agent("c.close()")
        ours.close()


@both_families
@both_ways
async def test_what_is_agreed_on(tap_lab: TapLab, family: int, way: str) -> None:
    """RFC 7323, 2018, 3168: timestamps, window scaling, SACK and ECN stand in ss -i on both sides, and the MSS."""
    async with site(tap_lab, sysctl={"net.ipv4.tcp_ecn": 1}) as here, here.agent() as agent:
        await here.far_sysctl(tcp_ecn=1)
        ours = await connect(here, agent, way, family)
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await loop.sock_sendall(ours, bytes(100))
            assert await agent("len(c.recv(1000))") == 100
            await agent("c.send(bytes(100))")
            assert len(await reads(ours, 100)) == 100
        told = await here.far_runs("ss", "-tinoHO", "state", "established")
        words = told.split()
        assert {"ts", "sack", "ecn", "ecnseen", f"mss:{MSS[family]}"} <= set(words)
        [theirs] = re.findall(r"wscale:(\d+),(\d+)", told)
        [row] = here.red.socket_records(proto="tcp", state="ESTAB", info=True)
        assert row["options"] == ["ts", "sack", "ecn", "ecnseen", f"wscale:{theirs[1]},{theirs[0]}"]
        assert (row["tcp_info"]["tcpi_snd_mss"], row["congestion"]) == (MSS[family], "cubic")
        ours.close()
        await agent("c.close()")


@both_ways
async def test_half_closed(tap_lab: TapLab, way: str) -> None:
    """RFC 9293 3.6: who has sent everything may still receive: from us to the kernel, and the other way round."""
    async with connected(tap_lab, way) as (_, agent, ours):
        loop = asyncio.get_running_loop()
        first, second = ("us", "kernel") if way == FROM_US else ("kernel", "us")
        for side in (first, second):
            data = random.Random(side).randbytes(200_000)
            if side == "us":
                await loop.sock_sendall(ours, data)
                ours.shutdown(socket.SHUT_WR)
                await agent("got = b''.join(iter(lambda: c.recv(65536), b''))")
                assert await agent("hashlib.sha256(got).hexdigest()") == hashlib.sha256(data).hexdigest()
            else:
                send = f"c.sendall(random.Random({side!r}).randbytes(200_000)); c.shutdown(socket.SHUT_WR)"
                told = asyncio.ensure_future(agent(send))
                assert await reads(ours, 1 << 20) == data
                assert await told is None


async def test_a_close_that_leaves_data_unread(tap_lab: TapLab) -> None:
    """RFC 9293 3.6.1: that is an abort, and the other end is told so by a reset: ours, and the kernel's."""
    async with site(tap_lab) as here, here.agent() as agent:
        loop = asyncio.get_running_loop()
        ours = await connect(here, agent, FROM_US)
        await agent("c.send(b'unread')")
        await until(lambda: ours.stack.tcb.rcvq.size == 6, "its data are there")
        ours.close()
        assert await agent("c.recv(1)") == "ECONNRESET"
        await agent("c.close()")
        ours = await connect(here, agent, FROM_KERNEL)
        await loop.sock_sendall(ours, b"unread")
        assert await agent("c.recv(1, socket.MSG_PEEK)") == b"u"
        await agent("c.close()")
        with pytest.raises(ConnectionResetError):
            await loop.sock_recv(ours, 1)
        ours.close()


async def test_urgent_data(tap_lab: TapLab) -> None:
    """RFC 6093: what the kernel sends with MSG_OOB is read in line, and so is ours by a kernel that wants it so."""
    async with connected(tap_lab) as (_, agent, ours):
        await agent("c.send(b'one'); c.send(b'!', socket.MSG_OOB); c.send(b'two')")
        assert await reads(ours, 7) == b"one!two"
        await agent("c.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)")
        for data, flags in ((b"one", 0), (b"!", socket.MSG_OOB), (b"two", 0)):
            assert ours.send(data, flags) == len(data)
        ours.shutdown(socket.SHUT_WR)
        assert await agent("b''.join(iter(lambda: c.recv(100), b''))") == b"one!two"


READ_ALL = "hashlib.sha256(b''.join(iter(lambda: c.recv(65536), b''))).hexdigest()"


@once
@both_families
async def test_a_window_that_the_kernel_closes(tap_lab: TapLab, family: int) -> None:
    """RFC 9293 3.8.6.1: it is probed, as `show sockets -i` tells, until the reader goes on; then all of it arrives."""
    async with connected(tap_lab, FROM_US, family) as (here, agent, ours):
        data = random.Random(1).randbytes(20_000_000)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(ours, data))
        await until(lambda: here.red.stack.stats[Stat.TcpWinProbe] >= 2, "it is probed")
        [row] = here.red.socket_records(proto="tcp", state="ESTAB", info=True)
        assert row["timer"]["kind"] == "persist"
        reading = asyncio.ensure_future(agent(READ_ALL))
        await sending
        ours.shutdown(socket.SHUT_WR)
        assert await reading == hashlib.sha256(data).hexdigest()


@once
@both_families
async def test_a_window_that_we_close(tap_lab: TapLab, family: int) -> None:
    """RFC 9293 3.8.6.1: the kernel's probes are answered until we read on; none of its data is lost."""
    async with connected(tap_lab, FROM_KERNEL, family) as (here, agent, ours):
        sending = asyncio.ensure_future(agent("c.sendall(random.Random(1).randbytes(20_000_000)); c.close()"))
        await until(lambda: ours.stack.tcb.rcv_adv - ours.stack.tcb.rcv_nxt < MSS[family], "the window is closed")
        probes = 0
        while probes < 2:
            probes = (await here.far_counts())["TcpExtTCPWinProbe"]
            await asyncio.sleep(0)
        assert "timer:(persist" in await here.far_runs("ss", "-tinoHO", "state", "established")
        assert await reads(ours, 1 << 25) == random.Random(1).randbytes(20_000_000)
        assert await sending is None


@once
async def test_keep_alive(tap_lab: TapLab) -> None:
    """RFC 9293 3.8.4: the kernel's probes are answered, and so are ours; a peer that has gone is given up."""
    async with connected(tap_lab) as (here, agent, ours):
        for option, value in (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 1)):
            level = "SOL_SOCKET" if option.startswith("SO_") else "IPPROTO_TCP"
            await agent(f"c.setsockopt(socket.{level}, socket.{option}, {value})")
            ours.setsockopt(getattr(socket, level), getattr(socket, option), value)
        stats = here.red.stack.stats
        sent = 0
        while sent < 2 or stats[Stat.TcpKeepAlive] < 1:
            sent = (await here.far_counts())["TcpExtTCPKeepAlive"]
            await asyncio.sleep(0)
        ours.send(b"still")
        assert await agent("c.recv(10)") == b"still"
        chain = "{ type filter hook input priority 0; policy drop; }"
        await here.far_runs("nft", f"add table ip t; add chain ip t in {chain}")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1), 30)
        await here.far_runs("nft", "delete table ip t")
