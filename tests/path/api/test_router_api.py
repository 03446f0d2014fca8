"""`vrouter.Router` without TAPs: a guest in somebody's process, by configuration or by calls."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import vrouter
from tests.path.api.ends import assert_balanced, pair
from vrouter import records

SO_REUSEADDR, SOL_SOCKET = 2, 1
AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2


def test_importing_vrouter_is_light() -> None:
    """`import vrouter` loads nothing but itself; a Router without TAPs loads no log, kernel or TAP library."""
    program = """
import sys, vrouter
light = {name for name in sys.modules if name.startswith("vrouter")}
vrouter.Router()
heavy = {"structlog", "pyroute2", "pytun_pmd3", "h11", "vrouter.control", "vrouter.log"} & set(sys.modules)
print(sorted(light), sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['vrouter'] []\n"


def test_what_the_package_exports() -> None:
    """Every public name is there, an unknown one is AttributeError."""
    assert {name: getattr(vrouter, name).__name__ for name in vrouter.__all__ if name != "__version__"} == {
        name: name for name in vrouter.__all__ if name != "__version__"
    }
    assert set(vrouter.__all__) <= set(dir(vrouter))
    with pytest.raises(AttributeError, match="no attribute 'Rooter'"):
        _ = vrouter.Rooter


async def test_a_router_leaves_the_process_alone() -> None:
    """No signal handler, no logging handler, no listener and no descriptor that a program did not ask for."""

    def state() -> tuple[Any, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
        return handlers, list(logging.getLogger().handlers), len(os.listdir("/proc/self/fd"))

    await asyncio.get_running_loop().run_in_executor(None, state)  # the loop's own descriptors are there now
    before = state()
    async with vrouter.Router() as router:
        await pair(router)
        assert state() == before
        assert (router.admin_path, router.ready, router.warnings, router.waiting()) == ("", True, [], [])
    assert state() == before
    assert not router.ready


async def test_a_router_runs_once() -> None:
    """Before and after its time the calls that need it say so; stopping twice is harmless."""
    router = vrouter.Router()
    with pytest.raises(OSError, match="is not running") as caught:
        await router.add_netns("red")
    assert caught.value.errno == errno.ENETDOWN
    async with router:
        pass
    await router.stop()
    with pytest.raises(OSError, match="is not running"):
        await router.add_netns("red")
    with pytest.raises(RuntimeError, match="starts once"):
        await router.start()


async def test_a_router_by_a_mapping_is_a_router_by_a_file(tmp_path: Any) -> None:
    """`Router(config_dict)` and `Router.from_file` build what the configuration says: devices, settings, routes."""
    text = """
[router]
admin = ""
id = "test"

[netns.red]
accept_from = ["blue"]
sysctl = { "net.ipv4.ip_forward" = 1 }

[netns.red.dev.lo]
addresses = ["10.9.0.1/32"]

[netns.red.dev.x]
kind = "veth"
peer = { netns = "blue", dev = "y" }
addresses = ["10.0.0.1/24"]
mtu = 1400

[[netns.red.route]]
to = "10.8.0.0/16"
via = "10.0.0.2"
metric = 5
src = "10.9.0.1"

[[netns.red.route]]
to = "10.7.0.0/16"
type = "prohibit"

[netns.blue.dev.y]
kind = "veth"
peer = { netns = "red", dev = "x" }
addresses = ["10.0.0.2/24"]
mac = "02:00:00:00:00:99"

[netns.blue.dev.z]
kind = "veth"
peer = { netns = "blue/in", dev = "z" }
up = false

[[netns.blue.route]]
to = "10.9.0.0/16"
netns = "red"

[netns."blue/in".dev.z]
kind = "veth"
peer = { netns = "../blue", dev = "z" }
"""
    import tomllib

    path = tmp_path / "router.toml"
    path.write_text(text)
    shown = []
    for router in (vrouter.Router.from_file(path), vrouter.Router(tomllib.loads(text))):
        async with router:
            shown.append([getattr(records, what)(router) for what in ("netns", "devices", "addresses", "routes")])
            assert router["red"].sysctl["net.ipv4.ip_forward"] == 1
            assert router["red"].accept_from == {"blue"}
            assert await router["blue"].ping("10.0.0.1") > 0
            assert router["blue/in"].stack.devices["z"].mac == router.stack.stable_mac("blue/in", "z")
        assert_balanced(router)
    names, devices, addresses, routes = shown[0]
    assert [row["netns"] for row in names] == ["red", "blue", "blue/in"]
    assert {(row["netns"], row["dev"]): (row["mtu"], row["state"]) for row in devices} == {
        ("red", "lo"): (65536, "up"),
        ("red", "x"): (1400, "up"),
        ("blue", "lo"): (65536, "up"),
        ("blue", "y"): (1500, "up"),
        ("blue", "z"): (1500, "down"),
        ("blue/in", "lo"): (65536, "up"),
        ("blue/in", "z"): (1500, "no-carrier"),  # its other end is down
    }
    assert [row["address"] for row in addresses if row["scope"] == "global"] == [
        "10.9.0.1/32",
        "10.0.0.1/24",
        "10.0.0.2/24",
    ]
    assert [(row["netns"], row["to"], row["dev"]) for row in routes if ":" in row["to"]] == [
        ("red", "fe80::/64", "x"),
        ("blue", "fe80::/64", "y"),
        ("blue/in", "fe80::/64", "z"),
    ]
    ipv4 = [row for row in routes if ":" not in row["to"]]
    assert [(row["netns"], row["to"], row["via"], row["type"], row["target_netns"]) for row in ipv4] == [
        ("red", "10.7.0.0/16", None, "prohibit", None),
        ("red", "10.8.0.0/16", "10.0.0.2", "unicast", None),
        ("red", "10.0.0.0/24", None, "unicast", None),
        ("blue", "10.9.0.0/16", None, "unicast", "red"),
        ("blue", "10.0.0.0/24", None, "unicast", None),
    ]
    assert shown[0][2:] == shown[1][2:]


def test_a_mapping_that_is_no_configuration_is_refused() -> None:
    """ConfigError, which is a ValueError, with every mistake, before anything starts."""
    with pytest.raises(vrouter.ConfigError) as caught:
        vrouter.Router({"netns": {"red": {"kind": "l3"}, "b lue": {}}, "rooter": {}})
    assert len(caught.value.problems) == 3
    assert isinstance(caught.value, ValueError)


async def test_a_route_may_prefer_a_source_that_is_still_probed() -> None:
    """A configuration with ``acd = "probe"`` and a route with ``src`` starts; the route names it at once."""
    link = {"kind": "veth", "acd": "probe", "peer": {"netns": "b", "dev": "y"}, "addresses": ["10.0.0.1/24"]}
    route = {"to": "10.9.0.0/16", "via": "10.0.0.2", "src": "10.0.0.1"}
    peer = {"kind": "veth", "peer": {"netns": "a", "dev": "x"}, "addresses": ["10.0.0.2/24"]}
    config = {"netns": {"a": {"dev": {"x": link}, "route": [route]}, "b": {"dev": {"y": peer}}}}
    async with vrouter.Router(config) as one:
        states = {row["address"]: row["state"] for row in one["a"].addresses()}
        assert states["10.0.0.1/24"] == "tentative"
        assert [row["src"] for row in one["a"].routes() if row["to"] == "10.9.0.0/16"] == ["10.0.0.1"]
