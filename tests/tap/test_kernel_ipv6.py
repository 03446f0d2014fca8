"""The kernel's end of TAPs with IPv6: addresses and routes that serve at once, and who listens to routers.

Tap (fd) ══ TAP ── moved ──► [ kernel namespace: eth0, lo ]
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vrouter.config import device_from_dict
from vrouter.kernel import HostEnd, new_group, remove_host_ends, setup_host_end
from vrouter.tap import Tap

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]


@pytest.fixture
def set_up(open_tap: Callable[..., Tap], new_name: Callable[[], str]) -> Iterator[Callable[..., tuple[HostEnd, str]]]:
    """Makes a TAP whose end is `eth0` of a new kernel namespace with these settings; (its end, the namespace)."""
    ends: list[HostEnd] = []

    def one(**settings: Any) -> tuple[HostEnd, str]:
        netns = new_name()
        device = device_from_dict("red", "lan", {"host": {"netns": netns, "ifname": "eth0", **settings}})
        ends.append(setup_host_end(open_tap(new_name()).ifname, device.host, mtu=1500, group=new_group()))
        return ends[-1], netns

    yield one
    assert remove_host_ends(ends) == []


def show(netns: str, what: str) -> list[dict[str, Any]]:
    """What ip(8) shows of IPv6 in a kernel namespace."""
    done = subprocess.run(["ip", "-n", netns, "-j", "-6", *what.split()], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found


def setting(netns: str, key: str) -> str:
    """One setting of eth0 there."""
    path = f"/proc/sys/net/ipv6/conf/eth0/{key}"
    done = subprocess.run(["ip", "netns", "exec", netns, "cat", path], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_addresses_and_routes_serve_at_once(set_up: Callable[..., tuple[HostEnd, str]]) -> None:
    """RFC 4862 5.4 is not waited for: nobody else is on a link that the router has just made."""
    _, netns = set_up(
        addresses=["10.0.1.2/24", "fd00:1::2/64"],
        routes=[
            {"to": "fd00:9::/64"},
            {"to": "default", "via": "fd00:1::1", "src": "fd00:1::2"},
            {"to": "fd00:8::/64", "via": "fe80::1"},
        ],
    )
    [eth0] = show(netns, "addr show dev eth0")
    flags = {info["local"]: {key for key in ("tentative", "dadfailed") if info.get(key)} for info in eth0["addr_info"]}
    assert flags["fd00:1::2"] == set()
    assert flags.keys() - {"fd00:1::2"} == {local for local in flags if local.startswith("fe80:")}
    assert set.union(*flags.values()) == set()  # the link-local one serves at once, too
    routes = {row["dst"]: row for row in show(netns, "route show proto static") + show(netns, "route show proto boot")}
    assert routes["default"]["gateway"] == "fd00:1::1"
    assert routes["default"]["prefsrc"] == "fd00:1::2"
    assert routes["fd00:8::/64"]["gateway"] == "fe80::1"
    assert "gateway" not in routes["fd00:9::/64"]


def test_an_end_without_ipv6_is_silent_unless_it_listens(set_up: Callable[..., tuple[HostEnd, str]]) -> None:
    """In a namespace of ours; `autoconf` listens to routers (RFC 4862 5.5) whatever the namespace's default says."""
    _, silent = set_up(addresses=["10.0.1.2/24"])
    _, listening = set_up(addresses=["10.0.1.2/24"], autoconf=True)
    assert setting(silent, "disable_ipv6") == "1"
    assert [setting(listening, key) for key in ("disable_ipv6", "accept_ra", "autoconf")] == ["0", "2", "1"]


def test_a_tap_of_somebody_else_gets_back_its_addresses(new_name: Callable[[], str]) -> None:
    """What was added is taken away; what was there before stays."""
    name = new_name()

    def ip(*words: str) -> str:
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout

    ip("tuntap", "add", "dev", name, "mode", "tap")
    try:
        ip("-6", "addr", "add", "fd00:5::2/64", "dev", name)
        host = device_from_dict("red", "lan", {"host": {"addresses": ["fd00:5::2/64", "fd00:6::2/64"]}}).host
        end = setup_host_end(name, host, mtu=1500, group=0)
        assert [str(address) for address in end.addresses] == ["fd00:6::2/64"]
        assert "fd00:6::2/64" in ip("-6", "addr", "show", "dev", name)
        assert remove_host_ends([end]) == []
        shown = ip("-6", "addr", "show", "dev", name)
        assert "fd00:5::2/64" in shown
        assert "fd00:6::2/64" not in shown
    finally:
        ip("link", "del", name)
