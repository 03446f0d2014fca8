"""Every byte right over a bad link, in real time, both ways at once, with a kernel at the other end.

namespace red: lan 10.0.1.1 ══ TAP ══ eth0, far: `impairing`, eth1 ─── veth ─── eth1 10.0.1.3, beyond: an `Agent`
                   fd00:1::1                                                         fd00:1::3
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
import sys
from pathlib import Path

import pytest

from tests.tap import impairing
from tests.tap.tcp_site import FAMILIES, PORT, reads, site
from vrouter.stack.base.counters import Stat
from vrouter.testing import TapLab

pytestmark = [
    pytest.mark.tap,
    pytest.mark.scoped,
    pytest.mark.tools("ip", "nstat", "ethtool"),
    pytest.mark.asyncio(loop_factories=["uvloop"]),
]

BEYOND = {4: "10.0.1.3", 6: "fd00:1::3"}
SIZE = 600_000
READ = f"got = b''\nwhile len(got) < {SIZE}: got += c.recv(65536)"
SEND = f"threading.Thread(target=c.sendall, args=(random.Random(2).randbytes({SIZE}),)).start()"
IMPAIRMENTS = {
    "loss of 1 in 1000": {"loss": 0.001},
    "loss of 1 in 100": {"loss": 0.01},
    "loss of 1 in 20": {"loss": 0.05},
    "reordering": {"reorder": 0.05},
    "duplicates": {"duplicate": 0.1},
    "corruption": {"corrupt": 0.02},
    "all of it": {"loss": 0.01, "reorder": 0.02, "duplicate": 0.02, "corrupt": 0.01, "delay": 0.01},
}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", list(IMPAIRMENTS))
async def test_every_byte_is_right(tap_lab: TapLab, name: str, family: int) -> None:
    """RFC 9293 2.2: what is damaged, lost, duplicated or out of order is recovered from; both ends have every byte."""
    async with site(tap_lab, offload=False) as here:
        beyond, far = tap_lab.host("beyond"), here.far
        loop = asyncio.get_running_loop()
        await here.host_runs(far.netns, f"ip link add eth1 type veth peer name eth1 netns {beyond.netns}")
        await here.host_runs(far.netns, "ip link set eth1 up")
        for address in (f"{BEYOND[4]}/24", f"{BEYOND[6]}/64 nodad"):
            await here.host_runs(beyond.netns, f"ip address add {address} dev eth1")
        await here.host_runs(beyond.netns, "ethtool -K eth1 tx off tso off gso off gro off")
        await here.host_runs(beyond.netns, "ip link set eth1 up")
        wanted = json.dumps({"delay": 0.001, "seed": family} | IMPAIRMENTS[name])
        relay = far.start([sys.executable, str(Path(impairing.__file__)), "eth0", "eth1", wanted])
        assert relay.stdout is not None
        assert await loop.run_in_executor(None, relay.stdout.readline) == "ready\n"
        async with here.agent(beyond) as agent:
            await agent("import threading")
            await agent(f"l = socket.create_server(({BEYOND[family]!r}, {PORT}), family={int(FAMILIES[family])})")
            ours = here.red.socket(FAMILIES[family])
            await loop.sock_connect(ours, (BEYOND[family], PORT))
            await agent("c = l.accept()[0]; c.settimeout(60)")
            await agent(SEND)
            reading = asyncio.ensure_future(agent(READ))
            mine = random.Random(1).randbytes(SIZE)
            _, theirs = await asyncio.gather(loop.sock_sendall(ours, mine), reads(ours, SIZE))
            assert await reading is None
            assert await agent("hashlib.sha256(got).hexdigest()") == hashlib.sha256(mine).hexdigest()
            assert theirs == random.Random(2).randbytes(SIZE)
            stats = here.red.stack.stats
            if "loss" in IMPAIRMENTS[name] and IMPAIRMENTS[name]["loss"] >= 0.01:
                assert stats[Stat.TcpRetransSegs] > 0
            ours.shutdown(socket.SHUT_WR)
            assert await agent("c.recv(1)") == b""
            await agent("c.close()")
            assert await loop.sock_recv(ours, 1) == b""
            ours.close()
