"""Hosts that configure themselves by what a real router advertises on a TAP: the kernel, dhcpcd, rdisc6.

[ host, no addresses ] ══ TAP ══ (lan fd00:5::1) red
"""

import re
from pathlib import Path

import pytest

from vrouter.testing import TapLab
from vrouter.testing.tap_lab import KernelHost

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

ROUTER_MAC, LOCAL = "02:00:00:00:00:01", "fe80::ff:fe00:1"
ADVERT = {
    "prefixes": [{"prefix": "fd00:5::/64", "valid": 3600, "preferred": 1800}],
    "lifetime": 1200,
    "hop_limit": 55,
    "mtu": 1400,
    "rdnss": ["fd00:5::53"],
    "dnssl": ["lab.example"],
    "preference": "high",
    "routes": [{"prefix": "fd00:7::/48", "lifetime": 600}],
    "pref64": {"prefix": "64:ff9b::/96", "lifetime": 600},
}
SETTINGS = {"net.ipv6.conf.all.forwarding": 1, "net.ipv6.conf.default.dad_transmits": 0}


def host_of(lab: TapLab, **sysctls: int) -> KernelHost:
    """A host that takes its time for nothing, with these settings of its devices."""
    host = lab.host("h1")
    given = {"accept_dad": 0, "dad_transmits": 0, "router_solicitation_delay": 0, **sysctls}
    host.run(["sysctl", "-qw", *(f"net.ipv6.conf.default.{name}={value}" for name, value in given.items())])
    return host


def started(lab: TapLab, host: KernelHost, **changes: object) -> None:
    """The router, which advertises."""
    lan = host.device("fd00:5::1/64", mac=ROUTER_MAC, ra=ADVERT | changes)
    lab.start({"netns": {"red": {"dev": {"lan": lan}, "sysctl": SETTINGS}}})


def until(host: KernelHost, command: str, pattern: str) -> str:
    """What the command says, as soon as it says this; within 10 s."""
    script = f"until {command} | grep -Eq '{pattern}'; do sleep 0.05; done; {command}"
    done = host.run(["timeout", "10", "sh", "-c", script])
    assert done.returncode == 0, (command, host.run(["sh", "-c", command]).stdout)
    return done.stdout


def test_the_kernel_configures_itself(tap_lab: TapLab) -> None:
    """RFC 4862 5.5, RFC 4861 6.3.4, RFC 4191: address, lifetimes, default and other routes, hop limit and MTU."""
    host = host_of(tap_lab, accept_ra=1, accept_ra_rt_info_max_plen=64)
    started(tap_lab, host)
    address = until(host, "ip -6 addr show dev eth0 scope global", "inet6 fd00:5:")
    assert re.search(r"inet6 fd00:5::[0-9a-f:]+/64 scope global dynamic", address), address
    assert re.search(r"valid_lft (3600|359\d)sec preferred_lft (1800|179\d)sec", address), address
    routes = host.run("ip -6 route").stdout
    assert re.search(
        rf"default via {LOCAL} dev eth0 proto ra metric 1024 expires (1200|119\d)sec mtu 1400 hoplimit 55 pref high",
        routes,
    ), routes
    assert re.search(rf"fd00:7::/48 via {LOCAL} dev eth0 proto ra", routes), routes
    assert re.search(r"fd00:5::/64 dev eth0 proto kernel metric 256 expires", routes), routes
    assert host.run("sysctl -n net.ipv6.conf.eth0.mtu").stdout == "1400\n"
    assert host.run("ping -6 -n -c 1 -W 2 fd00:5::1").returncode == 0


def test_a_host_with_several_prefixes(tap_lab: TapLab) -> None:
    """RFC 4862 5.5.3: an address of each autonomous prefix; none of one that is on the link alone, but a route."""
    host = host_of(tap_lab, accept_ra=1)
    prefixes = [
        {"prefix": "fd00:5::/64"},
        {"prefix": "fd00:6::/64", "on_link": False},
        {"prefix": "fd00:8::/64", "autonomous": False},
    ]
    started(tap_lab, host, prefixes=prefixes)
    until(host, "ip -6 addr show dev eth0 scope global", "inet6 fd00:6:")
    addresses = re.findall(r"inet6 (fd00:\d)", host.run("ip -6 addr show dev eth0 scope global").stdout)
    assert sorted(addresses) == ["fd00:5", "fd00:6"]
    routes = re.findall(r"^(fd00:\d)::/64 dev eth0", host.run("ip -6 route").stdout, re.M)
    assert sorted(routes) == ["fd00:5", "fd00:8"]


def test_a_host_that_wants_none_takes_none(tap_lab: TapLab) -> None:
    """`accept_ra = 0` beside a host that hears: what is advertised is the same, and the router is not asked."""
    host = host_of(tap_lab, accept_ra=0)
    started(tap_lab, host)
    assert host.run(f"ping -6 -n -c 1 -W 2 {LOCAL}%eth0").returncode == 0
    assert "default" not in host.run("ip -6 route").stdout


@pytest.mark.tools("rdisc6")
def test_rdisc6_shows_all_that_is_advertised(tap_lab: TapLab) -> None:
    """RFC 4861 4.2, 4.6, RFC 4191, RFC 8106, RFC 8781: each field and option as it was configured."""
    host = host_of(tap_lab, accept_ra=0)
    started(tap_lab, host, other=True, reachable=30_000, retrans=1_000)
    host.run(f"ping -6 -n -c 1 -W 2 {LOCAL}%eth0")
    done = host.run("rdisc6 -1 -n -r 5 -w 2000 eth0")
    assert done.returncode == 0, done
    lines = [line.partition(":") for line in done.stdout.split("\n")]
    shown = {key.strip(): value.strip() for key, _, value in lines}
    assert shown["Hop limit"].startswith("55 "), done.stdout
    assert shown["Stateful address conf."] == "No"
    assert shown["Stateful other conf."] == "Yes"
    assert shown["Router preference"] == "high"
    assert re.match(r"1200 \(0x000004b0\) seconds", shown["Router lifetime"])
    assert re.match(r"30000 ", shown["Reachable time"])
    assert re.match(r"1000 ", shown["Retransmit time"])
    assert shown["Prefix"] == "fd00:5::/64"
    assert re.match(r"3600 ", shown["Valid time"])
    assert re.match(r"1800 ", shown["Pref. time"])
    assert re.match(r"1400 ", shown["MTU"])
    assert shown["Source link-layer address"] == ROUTER_MAC.upper()
    assert shown["Recursive DNS server"] == "fd00:5::53"
    assert shown["DNS search list"] == "lab.example"
    assert shown["Route"] == "fd00:7::/48"
    assert f"from {LOCAL}" in done.stdout


@pytest.mark.tools("dhcpcd")
def test_dhcpcd_takes_the_advertisement(tap_lab: TapLab, tmp_path: Path) -> None:
    """dhcpcd as a router's host, without DHCP: its address, default route, MTU, DNS server and search list."""
    host = host_of(tap_lab, accept_ra=0)
    started(tap_lab, host)
    host.run(f"ping -6 -n -c 1 -W 2 {LOCAL}%eth0")
    hook, conf, told = tmp_path / "hook", tmp_path / "conf", tmp_path / "told"
    hook.write_text(f"#!/bin/sh\nenv | sort >>{told}\n")
    hook.chmod(0o755)
    conf.write_text(f"ipv6only\nnoipv4ll\nduid ll\npersistent\nslaac hwaddr\nnodhcp6\nscript {hook}\n")
    # What it keeps lies in directories that are its own for this run: ip-netns gives each command its own mounts.
    private = "mount -t tmpfs tmpfs /var/lib/dhcpcd && mkdir -p /run/dhcpcd && mount -t tmpfs tmpfs /run/dhcpcd"
    done = host.run(["sh", "-c", f"{private} && exec timeout 12 dhcpcd -1 -B -f {conf} -t 10 eth0"])
    assert done.returncode == 0, done
    said = told.read_text()
    assert "reason=ROUTERADVERT" in said, done
    assert f"nd1_from={LOCAL}" in said
    assert "nd1_rdnss1_servers=fd00:5::53" in said
    assert "nd1_dnssl1_search=lab.example" in said
    assert "nd1_mtu=1400" in said
    assert "inet6 fd00:5:" in host.run("ip -6 addr show dev eth0 scope global").stdout
    assert re.search(rf"default via {LOCAL} .*mtu 1400", host.run("ip -6 route").stdout)
    assert host.run("ping -6 -n -c 1 -W 2 fd00:5::1").returncode == 0
