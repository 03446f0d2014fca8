"""The verbs against a router with IPv6 on real TAPs.

kernel namespace tPIDn2              vrouter run                      kernel namespace tPIDn3
eth0 fd00:1::2/64 ═══════ TAP ═══ lan fd00:1::1  wan fd00:2::1 ═══ TAP ═══════ eth0 fd00:2::2/64
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tap.test_cli_router import Place, running, stop

pytestmark = pytest.mark.tap

CONFIG = """
[router]
admin = "{admin}"

[netns.root]
[netns.root.sysctl]
"net.ipv6.conf.all.forwarding" = 1
"net.ipv6.conf.lan.dad_transmits" = 0
"net.ipv6.conf.wan.dad_transmits" = 0

[netns.root.dev.lan]
ifname    = "{lan}"
addresses = ["fd00:1::1/64"]

[netns.root.dev.lan.host]
netns     = "{left}"
ifname    = "eth0"
addresses = ["fd00:1::2/64"]
routes    = [{{ to = "default", via = "fd00:1::1" }}]

[netns.root.dev.wan]
ifname    = "{wan}"
addresses = ["fd00:2::1/64"]

[netns.root.dev.wan.host]
netns     = "{right}"
ifname    = "eth0"
addresses = ["fd00:2::2/64"]
routes    = [{{ to = "default", via = "fd00:2::1" }}]
"""


@pytest.fixture
def place(new_name: Callable[[], str]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="vr") as directory:
        os.chmod(directory, 0o755)
        yield Place(Path(directory), new_name, CONFIG)


def inside(netns: str, *command: str) -> str:
    """What a command in a kernel namespace prints."""
    done = subprocess.run(["ip", "netns", "exec", netns, *command], capture_output=True, text=True, timeout=30)
    return done.stdout


@pytest.mark.tools("ping")
def test_a_dual_stack_router_by_its_verbs(place: Place) -> None:
    """Clients reach each other through it; every verb takes IPv6, a full table is loaded, and nothing is left."""
    with running(place) as process:

        def done(line: str, status: int = 0) -> str:
            found = place.cli(*line.split())
            assert (found.returncode, found.stderr if not status else "") == (status, ""), (line, found)
            return found.stderr if status else found.stdout

        assert "3 received" in inside(place.left, "ping", "-6", "-c", "3", "-i", "0.05", "-W", "2", "fd00:2::2")
        routes = done("show routes -6 -n root").splitlines()
        assert "fd00:1::/64 dev lan proto kernel scope link src fd00:1::1 metric 256" in routes
        neighbors = json.loads(done("show neighbors -6 --json"))
        assert {row["address"] for row in neighbors} >= {"fd00:1::2", "fd00:2::2"}
        local = json.loads(inside(place.left, "ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "link"))
        address = next(one["local"] for row in local for one in row.get("addr_info", []) if "local" in one)
        assert "2 received" in done(f"ping -c 2 -i 0.05 {address}%lan")
        assert "2 received" in done(f"ping -c 2 -i 0.05 -I lan {address}")
        done("route add fd00:9::/32 via fd00:2::2 metric 7 mtu 1300")
        assert done("route get fd00:9::1") == (
            "fd00:9::1 via fd00:2::2 dev wan src fd00:2::1 mtu 1300 by route fd00:9::/32\n"
        )
        done("rule add from fd00:1::/64 to fd00:8::/32 prohibit priority 10")
        assert "10:\tfrom fd00:1::/64 to fd00:8::/32 prohibit" in done("rule list -6 -n root").splitlines()
        assert "Administratively prohibited" in inside(place.left, "ping", "-6", "-c", "1", "-W", "2", "fd00:8::1")
        done("address add fd00:5::1/64 dev lan")
        assert "fd00:5::1/64" in done("address list -6")
        file = place.file.parent / "routes"
        file.write_text("".join(f"route add fd00:7:{n:x}::/48 via fd00:2::2\n" for n in range(5000)))
        assert done(f"route load {file}").startswith("5000 routes loaded into root in ")
        assert len(done("show routes -6 -n root").splitlines()) > 5000
        file.write_text("fd00:6::/48 via fd00:2::2\nfd00:6::1/48 via fd00:2::2\n")
        wrong = done(f"route load {file} --replace", status=2).splitlines()
        assert [line.partition(": ")[0] for line in wrong] == [f"{file}:2", "vrouter"]
        file.write_text("fd00:6::/48 via fd00:2::2\n")
        done(f"route load {file} --replace")
        assert [line for line in done("show routes -6 -n root").splitlines() if "static" in line] == [
            "fd00:6::/48 via fd00:2::2 dev wan proto static metric 1024"
        ]
        done("ra set lan max_interval 4 preference high")
        assert "advertising" in done("ra show")
        done("ra off lan")
        assert "net.ipv6.conf.lan.forwarding = 1\n" in done("sysctl -a ^net.ipv6.conf.lan")
        file.unlink()
        assert stop(process) == (0, "")
    assert place.left_over() == []
