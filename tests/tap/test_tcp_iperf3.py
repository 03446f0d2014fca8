"""iperf3 of the kernel's side as client of a namespace, and as server for one; the namespace's side is `iperf3`.

kernel namespace far: iperf3 eth0 ══ TAP ══ lan, namespace red: tests/tap/iperf3.py
"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.tap import iperf3
from tests.tap.tcp_site import FAR, NEAR, site
from vrouter.testing import TapLab

pytestmark = [
    pytest.mark.tap,
    pytest.mark.tools("ip", "iperf3", "nstat"),
    pytest.mark.asyncio(loop_factories=["uvloop"]),  # each takes its second; other tests have both loops
]

PORT = 5201
LEAST = 10_000_000  # bytes in a second, of some 400 million: this is no benchmark
both_families = pytest.mark.parametrize("family", [4, 6])
both_directions = pytest.mark.parametrize("reverse", [False, True], ids=["put", "get"])


@both_families
@both_directions
async def test_a_client_of_the_kernel(tap_lab: TapLab, family: int, reverse: bool) -> None:
    """iperf3 -c against a namespace, and -R: it ends without complaint, and both have counted the same bytes."""
    async with site(tap_lab) as here:
        listens = asyncio.Event()
        server = asyncio.ensure_future(iperf3.serve(here.red, NEAR[family], PORT, listens))
        await listens.wait()
        options = ["-R"] if reverse else []
        told = json.loads(await here.far_runs("iperf3", "-c", NEAR[family], "-t", "1", "-J", *options))
        ours, theirs = await server
        assert "error" not in told
        sent, came = (ours, theirs) if reverse else (theirs, ours)
        assert LEAST < came <= sent
        summary = told["end"]["sum_received" if reverse else "sum_sent"]
        assert summary["bytes"] == theirs
        assert told["end"]["sum_sent"]["retransmits"] < 1000


@both_families
@both_directions
async def test_a_server_of_the_kernel(tap_lab: TapLab, family: int, reverse: bool) -> None:
    """iperf3 -s for a client in a namespace, both ways: it ends without complaint, and counts what we count."""
    async with site(tap_lab) as here:
        server = here.far.start("iperf3 -s -1 -J", listens=f"tcp:{PORT}")
        ours, theirs = await iperf3.ask(here.red, FAR[family], PORT, 1, sender=not reverse)
        assert await asyncio.to_thread(server.wait, 10) == 0
        assert server.stdout is not None
        told = json.loads(server.stdout.read())
        assert "error" not in told
        sent, came = (theirs, ours) if reverse else (ours, theirs)
        assert LEAST < came <= sent
        assert told["end"]["sum_sent" if reverse else "sum_received"]["bytes"] == theirs
