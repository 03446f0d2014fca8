"""A router built by a configuration of both families, without TAPs: what is made, in which order, and what it does.

h1 eth0 ══ p1 ┐
              ├ br (VLANs, RSTP) ── br.10 10.0.10.1, fd00:10::1 ── root ── up ══ down isp
h2 eth0 ══ p2 ┘ h2 tags VLAN 10 itself (v10)         given ┄┄┄ tag 30 of down ┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import vrouter
from vrouter.config import from_dict
from vrouter.errors import ConfigError
from vrouter.stack.base.addresses import V6, eui64, format_address, parse_ipv6
from vrouter.testing import Lab

PREFIX = parse_ipv6("fd00:10::")
MAC = "02:00:00:00:00:99"
ROUTING = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
PROMPT = {"net.ipv6.conf.default.router_solicitation_delay": 0}


def veth(netns: str, dev: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "veth", "peer": {"netns": netns, "dev": dev}, **settings}


def configuration() -> dict[str, Any]:
    root = {
        "accept_from": ["isp"],
        "sysctl": ROUTING,
        "dev": {
            "br.10": {
                "kind": "vlan",
                "parent": "br",
                "vid": 10,
                "addresses": ["10.0.10.1/24", "fd00:10::1/64"],
                "ra": {"rdnss": ["fd00:10::1"]},
                "neighbors": [{"address": "10.0.10.9", "mac": MAC}, {"address": "fd00:10::9", "mac": MAC}],
                "proxy": ["fd00:10::77"],
            },
            "br": {
                "kind": "bridge",
                "stp": "rstp",
                "priority": 4096,
                "vlan_filtering": True,
                "ports": ["p1"],
                "port": {"tagged": [10]},
            },
            "p1": veth("h1", "eth0", port={"pvid": 10, "edge": True, "static": [MAC], "storm": {"broadcast": 100}}),
            "p2": veth("h2", "eth0", bridge="br", port={"pvid": 0, "edge": True, "tagged": ["10-20"]}),
            "up": veth("isp", "down", addresses=["192.0.2.1/24", "2001:db8::1/64"]),
            "given": {"addresses": ["10.0.30.1/24"], "mtu": 1400, "mac": MAC},
        },
        "nexthop": [
            {"id": 3, "group": [{"id": 1, "weight": 2}, {"id": 2}]},
            {"id": 1, "via": "192.0.2.2"},
            {"id": 2, "via": "192.0.2.3", "dev": "up"},
        ],
        "rule": [{"from": "10.0.10.0/24", "table": 100}, {"iif": "br.10", "type": "nop", "priority": 7}],
        "route": [
            {"to": "default", "via": "fe80::2%up"},
            {"to": "default", "via": "192.0.2.7", "table": 100, "src": "10.0.10.1", "mtu": 1400},
            {"to": "10.98.0.0/16", "nhid": 3},
            {"to": "10.99.0.0/16", "nexthops": [{"via": "192.0.2.7", "weight": 3}, {"via": "192.0.2.8"}]},
            {"to": "default", "type": "unreachable", "metric": 4000},
        ],
        "mroute": [{"group": "239.1.2.3", "iif": "up", "oifs": ["br.10", {"dev": "given", "ttl": 5}]}],
        "multicast": {
            "proxy": {"upstream": "up", "downstream": ["br.10"]},
            "querier": ["given"],
            "mdns": ["br.10", "given"],
        },
    }
    isp = {
        "dev": {"down": veth("root", "up", addresses=["192.0.2.2/24", "2001:db8::2/64"])},
        "ingress": [{"dev": "down", "vid": 30, "netns": "root", "name": "given"}],
    }
    h1 = {"sysctl": PROMPT, "dev": {"eth0": veth("root", "p1", autoconf=True)}}
    h2 = {
        "sysctl": PROMPT,
        "dev": {
            "v10": {"kind": "vlan", "parent": "eth0", "vid": 10, "autoconf": True, "addr_gen_mode": "eui64"},
            "eth0": veth("root", "p2"),
        },
    }
    return {"netns": {"h1": h1, "h2": h2, "root": root, "isp": isp}}


def run(config: Any, use: Callable[[vrouter.Router], Awaitable[Any]]) -> Any:
    """What `use` returns of the router of `config`, in virtual time."""
    with Lab() as lab:

        async def whole() -> Any:
            async with vrouter.Router(config, seed=1, identity="test", clock=lambda: lab.now) as router:
                return await use(router)

        return lab.run(whole())


def test_everything_that_the_file_says_is_there() -> None:
    """Devices on devices, ports, memberships, next hops, rules, routes, neighbours and multicast, as configured."""

    async def use(router: vrouter.Router) -> None:
        root = router["root"].stack
        assert [row["dev"] for row in router["root"].devices()] == ["lo", "p1", "p2", "br", "br.10", "up", "given"]
        ports = {row["dev"]: row for row in root.ports()}
        assert (ports["p1"]["pvid"], ports["p1"]["untagged"], ports["p1"]["storm"]) == (10, [10], {"broadcast": 100})
        assert (ports["p2"]["pvid"], ports["p2"]["tagged"]) == (0, list(range(10, 21)))
        [bridge] = root.bridge_rows()
        assert (bridge["stp"], bridge["priority"], bridge["ports"], bridge["vlans"]) == (
            "rstp",
            4096,
            ["p1", "p2"],
            [1, 10],
        )
        assert {(row["mac"], row["dev"], row["vlan"]) for row in root.fdb() if row["state"] == "static"} == {
            (MAC, "p1", 10),
        }
        given = root.devices["given"]
        assert (given.mtu, given.mac.hex(":"), given.parent.ns.name, given.vid) == (1400, MAC, "isp", 30)
        assert [(row["id"], row["via"], row["group"]) for row in root.nexthop_rows()][2] == (
            3,
            None,
            [{"id": 1, "weight": 2}, {"id": 2, "weight": 1}],
        )
        rules = [(row["family"], row["priority"], row["from"], row["iif"], row["action"]) for row in root.rules()]
        assert [rule for rule in rules if rule[1] not in (0, 32766, 32767)] == [
            ("inet", 7, None, "br.10", "nop"),
            ("inet", 32765, "10.0.10.0/24", None, "table"),
            ("inet6", 7, None, "br.10", "nop"),
        ]
        static = {
            (row["to"], row["type"], row["via"], row["table"], row["metric"]): row
            for row in router["root"].routes(table="all")
            if row["proto"] == "static"
        }
        assert static.keys() == {
            ("default", "unicast", "fe80::2", "main", 1024),
            ("default", "unicast", "192.0.2.7", "100", 0),
            ("10.98.0.0/16", "unicast", None, "main", 0),
            ("10.99.0.0/16", "unicast", None, "main", 0),
            ("default", "unreachable", None, "main", 4000),
        }
        assert sum(row["type"] == "unreachable" for row in router["root"].routes()) == 2  # one of each family
        known = {(row["address"], row["mac"], row["state"]) for row in router["root"].neighbors()}
        assert {("10.0.10.9", MAC, "PERMANENT"), ("fd00:10::9", MAC, "PERMANENT")} <= known
        assert [row["address"] for row in root.proxies()] == ["fd00:10::77"]
        assert [(row["group"], row["oifs"]) for row in root.mroutes() if row["proto"] == "static"] == [
            ("239.1.2.3", [{"dev": "br.10", "ttl": 0}, {"dev": "given", "ttl": 5}])
        ]
        assert root.sysctl["net.ipv4.conf.up.mc_forwarding"] == 1
        assert router["isp"].accept_from == frozenset()
        assert router["root"].accept_from == {"isp"}

    run(configuration(), use)


def test_hosts_configure_themselves_behind_the_switch() -> None:
    """RFC 4862 5.5, RFC 7217: what br.10 advertises reaches an access port and a trunk; identifiers as asked."""

    async def use(router: vrouter.Router) -> None:
        found = {}
        for name, dev in (("h1", "eth0"), ("h2", "v10")):
            while not (rows := [row for row in router[name].addresses() if row["origin"] == "ra"]):
                await router.driver.next_poll()
            found[name] = rows[0]["address"]
            await router[name].wait_addresses()
            [default] = [row for row in router[name].routes() if row["to"] == "default"]
            assert (default["dev"], default["proto"]) == (dev, "ra")
            assert await router[name].ping("fd00:10::1") < 1
            assert await router[name].ping("2001:db8::1") < 1
        mac = router["h2"].stack.devices["v10"].mac
        assert found["h2"] == format_address(PREFIX | eui64(mac), V6) + "/64"
        link_local = [row["address"] for row in router["h1"].addresses() if row["scope"] == "link"]
        assert len(link_local) == 1
        assert "ff:fe" not in found["h1"]
        assert "ff:fe" not in link_local[0]

    run(configuration(), use)


def test_settings_of_all_reach_every_device_and_a_device_has_its_own() -> None:
    """Whatever the file's order: all and default before the devices, a device's own behind them."""
    settings = {
        "net.ipv6.conf.b.forwarding": 0,
        "net.ipv6.conf.all.forwarding": 1,
        "net.ipv6.conf.all.force_forwarding": 1,  # which default does not pass on
        "net.ipv4.conf.default.rp_filter": 2,
        "net.ipv4.conf.a.rp_filter": 1,
        "net.ipv6.conf.b.addr_gen_mode": 1,
        "net.ipv6.conf.lo.hop_limit": 9,
    }
    config = {"netns": {"red": {"sysctl": settings, "dev": {"a": veth("red", "b"), "b": veth("red", "a")}}}}

    async def use(router: vrouter.Router) -> None:
        sysctl = router["red"].sysctl
        assert [sysctl[f"net.ipv6.conf.{dev}.forwarding"] for dev in ("lo", "a", "b")] == [1, 1, 0]
        assert [sysctl[f"net.ipv6.conf.{dev}.force_forwarding"] for dev in ("a", "b")] == [1, 1]
        assert [sysctl[f"net.ipv4.conf.{dev}.rp_filter"] for dev in ("a", "b")] == [1, 2]
        assert sysctl["net.ipv6.conf.lo.hop_limit"] == 9
        assert sysctl["net.ipv6.conf.b.disable_ipv6"] == 0
        assert [row["dev"] for row in router["red"].addresses() if row["scope"] == "link"] == ["a"]

    run(config, use)


def test_a_tag_that_is_not_accepted_drops() -> None:
    """It passes the check with a warning, and its frames are CROSSING_DENIED."""
    config = from_dict(
        {
            "netns": {
                "red": {
                    "dev": {"a": veth("far", "b")},
                    "ingress": [{"dev": "a", "vid": 5, "netns": "blue", "name": "tag"}],
                },
                "blue": {"dev": {"tag": {"addresses": ["10.0.5.1/24"]}}},
                "far": {
                    "dev": {
                        "b": veth("red", "a"),
                        "b.5": {"kind": "vlan", "parent": "b", "vid": 5, "addresses": ["10.0.5.2/24"]},
                    }
                },
            }
        }
    )
    assert [warning.key for warning in config.warnings] == ["netns.red.ingress[0].netns"]

    async def use(router: vrouter.Router) -> None:
        with pytest.raises(OSError):
            await router["far"].ping("10.0.5.1")
        assert router["red"].stack.drop_counts()["CROSSING_DENIED"] > 0
        await router["blue"].set_accept_from(["red"])
        assert await router["far"].ping("10.0.5.1", count=2, timeout=5) < 5

    run(config, use)


def test_a_file_of_routes_is_in_use_when_the_router_is_ready(tmp_path: Path) -> None:
    """It is loaded in pieces, between which others have their turn."""
    lines = [f"route add {11 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24 via 192.0.2.9" for n in range(20_000)]
    (tmp_path / "full.txt").write_text("\n".join([*lines, "fd77::/32 via fe80::9 dev up"]))
    config = {
        "netns": {
            "root": {
                "routes_file": str(tmp_path / "full.txt"),
                "dev": {"up": veth("isp", "down", addresses=["192.0.2.1/24"])},
            },
            "isp": {"dev": {"down": veth("root", "up")}},
        }
    }
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def whole() -> None:
        task = asyncio.ensure_future(others())
        async with vrouter.Router(config, seed=1) as router:
            assert router.ready
            assert turns > 15
            assert sum(row["proto"] == "static" for row in router["root"].routes()) == 20_001
            assert router["root"].route_get("11.0.77.5")["via"] == "192.0.2.9"
        task.cancel()

    asyncio.run(whole())


def test_lines_that_contradict_one_another_stop_the_start(tmp_path: Path) -> None:
    """What only the table can know is told with file and line as well, and nothing is left running."""
    (tmp_path / "full.txt").write_text("10.9.0.0/16 via 192.0.2.9\n10.9.0.0/16 via 192.0.2.9\n")
    config = {
        "netns": {
            "root": {
                "routes_file": str(tmp_path / "full.txt"),
                "dev": {"up": veth("root", "down", addresses=["192.0.2.1/24"]), "down": veth("root", "up")},
            },
        }
    }

    async def whole() -> list[str]:
        router = vrouter.Router(config, seed=1)
        with pytest.raises(ConfigError) as caught:
            await router.start()
        assert not router.ready
        return list(map(str, caught.value.problems))

    assert asyncio.run(whole()) == [f"{tmp_path}/full.txt:2:1: there is such a route already"]


def test_devices_of_every_kind_come_while_it_runs() -> None:
    """`Netns.add_device` takes the keys of the file for a vlan and a bridge, too, and takes back what cannot be."""
    config = {"netns": {"red": {"dev": {"a": veth("blue", "b")}}, "blue": {"dev": {"b": veth("red", "a")}}}}

    async def use(router: vrouter.Router) -> None:
        red = router["red"]
        await red.add_device("br", kind="bridge", ports=["a"], addresses=["10.0.0.1/24", "fd00::1/64"], stp="none")
        await router["blue"].add_device("b.7", kind="vlan", parent="b", vid=7, addresses=["10.7.0.2/24"])
        await red.add_device("br.7", kind="vlan", parent="br", vid=7, addresses=["10.7.0.1/24"], autoconf=True)
        await router["blue"].add_address("b", "fd00::2/64")
        await router["blue"].wait_addresses()
        await red.wait_addresses()
        assert await red.ping("10.7.0.2") < 1
        assert await red.ping("fd00::2") < 1
        with pytest.raises(ConfigError, match=r"dev\.x\.vid: must be 1 to 4094, not 0"):
            await red.add_device("x", kind="vlan", parent="br", vid=0)
        with pytest.raises(OSError, match="no device 'none'"):
            await red.add_device("x", kind="bridge", ports=["none"])
        assert "x" not in red.stack.devices

    run(config, use)
