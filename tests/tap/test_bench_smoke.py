"""The benchmarks measure what they say: `python -m benchmarks --smoke` on real TAPs, and its report."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.tap,
    pytest.mark.tools("ip", "ping", "iperf3", "ethtool", "sysctl", "nsenter", "taskset"),
]


def test_smoke_asserts_results_and_leaves_nothing() -> None:
    """Every datagram, ping, namespace and TAP of the smoke run is right; no time is judged."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--smoke"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as smoke:
        out, err = smoke.communicate(timeout=120)
    assert (smoke.returncode, err) == (0, "")
    assert [entry.name for entry in Path("/run/netns").glob(f"vb{smoke.pid}*")] == []
    found = dict(re.findall(r"^ok  (.+): (.+)$", out, re.MULTILINE))
    for site in ("vrouter", "copier, asyncio", "copier, poll", "kernel, veth"):
        assert found[f"{site}, datagrams sent and arrived"] == "(500, 500)"
        assert found[f"{site}, pings lost"] == "0"
    assert found["datagrams that vrouter counts as forwarded"] == "500"
    assert found["what vrouter dropped"] == "[]"
    assert found["connections left"] == "(0, 0)"
    assert found["TCP there, back, and requests"] == "[True, True, True]"
    assert found["near and bad, bytes arrived"] == "[True, True]"
