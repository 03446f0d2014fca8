"""Fast Open, SYN cookies and narrow paths with a kernel, and a router's sockets seen and ended from outside.

kernel namespace far: an `Agent` ══ TAP ══ lan, namespace red: BSD-style sockets ── admin socket ── vrouter show, socket
kernel namespace beyond: eth1 ─── narrow link ─── far, which routes (test_a_narrow_path only)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tap.tcp_site import FAMILIES, FAR, FROM_KERNEL, FROM_US, NEAR, PORT, Site, connect, reads, site, until
from vrouter.stack.base.counters import Stat
from vrouter.testing import TapLab

pytestmark = [pytest.mark.tap, pytest.mark.scoped, pytest.mark.tools("ip", "nstat", "sysctl")]

ROOT = Path(__file__).parents[2]
READ_ALL = "hashlib.sha256(b''.join(iter(lambda: c.recv(65536), b''))).hexdigest()"
both_families = pytest.mark.parametrize("family", [4, 6])
once = pytest.mark.asyncio(loop_factories=["uvloop"])


def listener(here: Site, family: int) -> Any:
    sock = here.red.socket(FAMILIES[family])
    sock.bind((NEAR[family], PORT))
    sock.listen(50)
    return sock


@both_families
async def test_fast_open_from_the_kernel(tap_lab: TapLab, family: int) -> None:
    """RFC 7413 4.2: the kernel gets a cookie with its first connection, and data with the second's SYN."""
    async with site(tap_lab, sysctl={"net.ipv4.tcp_fastopen": 2}) as here, here.agent() as agent:
        await here.far_sysctl(tcp_fastopen=1)
        server = listener(here, family)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        stats = here.red.stack.stats
        for number in range(2):
            data = b"data %d" % number
            await agent(f"c = socket.socket(socket.{FAMILIES[family].name}); c.settimeout(None)")
            assert await agent(f"c.sendto({data!r}, {int(socket.MSG_FASTOPEN)}, {(NEAR[family], PORT)!r})") == len(data)
            ours, _ = await asyncio.get_running_loop().sock_accept(server)
            assert await reads(ours, len(data)) == data
            ours.send(b"answer")
            assert await agent("c.recv(10)") == b"answer"
            assert [stats[Stat.TcpFastOpenCookieReqd], stats[Stat.TcpFastOpenPassive]] == [1, number]
            await agent("c.close()")
            ours.close()
        assert (await here.far_counts())["TcpExtTCPFastOpenActive"] == 1
        server.close()


@both_families
async def test_fast_open_to_the_kernel(tap_lab: TapLab, family: int) -> None:
    """RFC 7413 4.1: our first connection brings the kernel's cookie, our second one's SYN takes data along."""
    async with site(tap_lab, sysctl={"net.ipv4.tcp_fastopen": 1}) as here, here.agent() as agent:
        await here.far_sysctl(tcp_fastopen=2)
        await agent(f"l = socket.create_server(({FAR[family]!r}, {PORT}), family=socket.{FAMILIES[family].name})")
        await agent("l.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)")
        for number in range(2):
            ours = here.red.socket(FAMILIES[family])
            data = b"data %d" % number
            try:
                assert ours.sendto(data, socket.MSG_FASTOPEN, (FAR[family], PORT)) == len(data)
            except BlockingIOError:
                await asyncio.get_running_loop().sock_sendall(ours, data)
            await agent("c = l.accept()[0]")
            assert await agent("c.recv(10)") == data
            await agent("c.send(b'answer')")
            assert await reads(ours, 6) == b"answer"
            assert (await here.far_counts())["TcpExtTCPFastOpenPassive"] == number
            assert here.red.stack.stats[Stat.TcpFastOpenActive] == number
            ours.close()
            await agent("c.close()")


@both_families
@pytest.mark.parametrize("way", [FROM_US, FROM_KERNEL])
async def test_syn_cookies(tap_lab: TapLab, family: int, way: str) -> None:
    """RFC 4987 3.6: a connection by a cookie has its options, from the timestamp; both ways."""
    ours_too = {"net.ipv4.tcp_syncookies": 2} if way == FROM_KERNEL else {}
    async with site(tap_lab, sysctl=ours_too) as here, here.agent() as agent:
        if way == FROM_US:
            await here.far_sysctl(tcp_syncookies=2)
        ours = await connect(here, agent, way, family)
        data = random.Random(1).randbytes(500_000)
        reading = asyncio.ensure_future(agent(READ_ALL))
        await asyncio.get_running_loop().sock_sendall(ours, data)
        ours.shutdown(socket.SHUT_WR)
        assert await reading == hashlib.sha256(data).hexdigest()
        [row] = [row for row in here.red.socket_records(proto="tcp", info=True) if row["state"] != "LISTEN"]
        assert {"ts", "sack"} < set(row["options"])
        assert any(word.startswith("wscale:") for word in row["options"])
        counts, stats = await here.far_counts(), here.red.stack.stats
        theirs = counts["TcpExtSyncookiesSent"], counts["TcpExtSyncookiesRecv"]
        mine = stats[Stat.TcpSyncookiesSent], stats[Stat.TcpSyncookiesRecv]
        assert (mine, theirs) == (((0, 0), (1, 1)) if way == FROM_US else ((1, 1), (0, 0)))
        await agent("c.close()")
        ours.close()


BEYOND = {4: "10.0.9.2", 6: "fd00:9::2"}
NARROW = 1300


@once
@both_families
async def test_a_narrow_path(tap_lab: TapLab, family: int) -> None:
    """RFC 1191 3, RFC 8201 4: a kernel's "packet too big" about a superframe narrows it; nothing is lost."""
    async with site(tap_lab) as here:
        beyond = tap_lab.host("beyond")
        far = here.far
        for netns, address in ((far.netns, 1), (beyond.netns, 2)):
            if netns == far.netns:
                await far.run_async(f"ip link add eth1 type veth peer name eth1 netns {beyond.netns}")
            for text in (f"10.0.9.{address}/24", f"fd00:9::{address}/64"):
                nodad = "nodad" if ":" in text else ""
                await here.host_runs(netns, f"ip address add {text} dev eth1 {nodad}")
            await here.host_runs(netns, f"ip link set eth1 up mtu {NARROW}")
        await here.host_runs(beyond.netns, "ip route add 10.0.1.0/24 via 10.0.9.1")
        await here.host_runs(beyond.netns, "ip -6 route add fd00:1::/64 via fd00:9::1")
        await here.far_runs("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        await here.red.add_route("10.0.9.0/24", via=FAR[4])
        await here.red.add_route("fd00:9::/64", via=FAR[6])
        async with here.agent(beyond) as agent:
            name = f"socket.{FAMILIES[family].name}"
            # A server that does not say how narrow its own link is: the router in between has to.
            await agent(f"l = socket.create_server(({BEYOND[family]!r}, {PORT}), family={name})")
            await here.host_runs(beyond.netns, "ip link set eth1 mtu 1500")
            ours = here.red.socket(FAMILIES[family])
            await asyncio.get_running_loop().sock_connect(ours, (BEYOND[family], PORT))
            await agent("c = l.accept()[0]; c.settimeout(30)")
            tcb = ours.stack.tcb
            before = tcb.mss
            data = random.Random(1).randbytes(1_000_000)
            reading = asyncio.ensure_future(agent(READ_ALL))
            await asyncio.get_running_loop().sock_sendall(ours, data)
            ours.shutdown(socket.SHUT_WR)
            assert await reading == hashlib.sha256(data).hexdigest()
            headers = {4: 20, 6: 40}[family] + 20 + 12
            assert (before, tcb.mss) == (1500 - headers, NARROW - headers)
            await agent("c.close()")
            ours.close()


async def cli(here: Site, admin: str, *words: str) -> tuple[int, str, str]:
    """The command line against the router: exit status and what it says."""
    env = {**os.environ, "VROUTER_ADMIN": admin, "PYTHONPATH": str(ROOT)}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vrouter", *words, env=env, stdout=pipe, stderr=pipe, cwd=ROOT
    )
    out, err = await child.communicate()
    return child.returncode or 0, out.decode(), err.decode()


@once
@both_families
async def test_sockets_are_shown_and_killed(tap_lab: TapLab, tmp_path: Path, family: int) -> None:
    """`show sockets -i` knows of a connection what ss does, and `socket kill` ends it as `ss -K` would."""
    admin = str(tmp_path / "v.sock")
    async with site(tap_lab, admin=admin) as here, here.agent() as agent:
        ours = await connect(here, agent, FROM_KERNEL, family)
        ours.send(b"hello")
        assert await agent("c.recv(10)") == b"hello"
        status, told, _ = await cli(here, admin, "show", "sockets", "-i", "-n", "red")
        assert status == 0
        for word in ("ESTAB", "ts", "sack", "cubic", "wscale:", "rtt:", "cwnd:", "mss:"):
            assert word in told
        status, told, _ = await cli(here, admin, "show", "sockets", "-i", "--json")
        [row] = [row for row in json.loads(told) if row["state"] == "ESTAB"]
        assert row["tcp_info"]["tcpi_bytes_sent"] == 5
        ends = (row["local"], row["peer"])
        assert ends[0].endswith(f":{PORT}")
        assert (await cli(here, admin, "socket", "kill", *ends, "-n", "red"))[0] == 0
        assert await agent("c.recv(1)") == "ECONNRESET"
        with pytest.raises(ConnectionAbortedError):
            await asyncio.get_running_loop().sock_recv(ours, 1)
        status, _, told = await cli(here, admin, "socket", "kill", *ends, "-n", "red")
        assert (status, told.count("\n")) == (1, 1)
        await until(lambda: not here.sockets("ESTAB"), "it is gone")
        await agent("c.close()")
        ours.close()
