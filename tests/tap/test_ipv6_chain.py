"""Two routers and a kernel that routes between them, in a chain of five hops, with both families.

    h1 ══ TAP ══ r ══ TAP ══ kernel ══ TAP ══ s ── veth ── t ══ TAP ══ h2
       net 1        net 2            net 3          net 4       net 5
                                     mtu 1450                   mtu 1300
    10.0.N.0/24 and fd00:N::/64; the lower address is to the left

r is one process's router, s and t are namespaces of another one.
"""

import re
from typing import Any

import pytest

from vrouter.testing import TapLab
from vrouter.testing.tap_lab import KernelHost

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping")]

FAR = {4: "10.0.5.2", 6: "fd00:5::2"}
NEAR = {4: "10.0.1.1", 6: "fd00:1::1"}
WAY = {
    4: ["10.0.1.2", "10.0.2.2", "10.0.3.2", "10.0.4.2", "10.0.5.2"],
    6: ["fd00:1::2", "fd00:2::2", "fd00:3::2", "fd00:4::2", "fd00:5::2"],
}
BACK = {
    4: ["10.0.5.1", "10.0.4.1", "10.0.3.1", "10.0.2.1", "10.0.1.1"],
    6: ["fd00:5::1", "fd00:4::1", "fd00:3::1", "fd00:2::1", "fd00:1::1"],
}
SYSCTL = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv6.conf.default.dad_transmits": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
}


def at(net: int, host: int) -> list[str]:
    """The addresses of one end of a net."""
    return [f"10.0.{net}.{host}/24", f"fd00:{net}::{host}/64"]


def by(nets: range, via: int, host: int) -> list[dict[str, Any]]:
    """Routes to these nets by a neighbour on the net `via`."""
    return [
        route
        for net in nets
        for route in (
            {"to": f"10.0.{net}.0/24", "via": f"10.0.{via}.{host}"},
            {"to": f"fd00:{net}::/64", "via": f"fd00:{via}::{host}"},
        )
    ]


def end(lab: TapLab, host: KernelHost, ifname: str, net: int, ours: int, **more: Any) -> dict[str, Any]:
    """A TAP whose kernel end is the other end of the net, in this namespace."""
    routes = more.pop("routes")
    kernel = {"netns": host.netns, "ifname": ifname, "addresses": at(net, 3 - ours), "routes": routes}
    return {"kind": "tap", "ifname": lab.new_ifname(), "addresses": at(net, ours), "host": kernel, **more}


class Chain:
    """The chain, started."""

    def __init__(self, lab: TapLab) -> None:
        self.h1, self.kernel, self.h2 = (lab.host(name) for name in ("h1", "k", "h2"))
        for host in (self.h1, self.kernel, self.h2):
            host.run("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0")
        forwarding = [f"{name}={value}" for name, value in SYSCTL.items() if "dad" not in name]
        self.kernel.run(["sysctl", "-qw", *forwarding])
        r = {
            "sysctl": SYSCTL,
            "dev": {
                "a": end(lab, self.h1, "eth0", 1, 2, routes=by(range(2, 6), 1, 2)),
                "b": end(lab, self.kernel, "eth0", 2, 1, routes=by(range(1, 2), 2, 1)),
            },
            "route": by(range(3, 6), 2, 2),
        }
        s = {
            "sysctl": SYSCTL,
            "dev": {
                "a": end(lab, self.kernel, "eth1", 3, 2, mtu=1450, routes=by(range(4, 6), 3, 2)),
                "b": {"kind": "veth", "peer": {"netns": "t", "dev": "a"}, "addresses": at(4, 1)},
            },
            "route": by(range(1, 3), 3, 1) + by(range(5, 6), 4, 2),
        }
        t = {
            "sysctl": SYSCTL,
            "dev": {
                "a": {"kind": "veth", "peer": {"netns": "s", "dev": "b"}, "addresses": at(4, 2)},
                "b": end(lab, self.h2, "eth0", 5, 1, mtu=1300, routes=by(range(1, 5), 5, 1)),
            },
            "route": by(range(1, 4), 4, 1),
        }
        self.first = lab.start({"netns": {"r": r}})
        self.second = lab.start({"netns": {"s": s, "t": t}})


@pytest.fixture
def chain(tap_lab: TapLab) -> Chain:
    return Chain(tap_lab)


@pytest.mark.parametrize("family", [4, 6])
def test_ping_across(chain: Chain, family: int) -> None:
    """Both ways, small and larger than any link, with the TTL that five hops leave; none too few is enough."""
    for host, target in ((chain.h1, FAR[family]), (chain.h2, NEAR[family])):
        host.run(f"ping -{family} -n -c 3 -i 0.1 -W 1 -s 3000 {target}")  # learns the path's MTUs
        for size in (56, 3000):
            done = host.run(f"ping -{family} -n -c 2 -i 0.1 -W 2 -s {size} {target}")
            assert "2 received" in done.stdout, done.stdout
        assert re.search(r"(ttl|hop limit)=60 ", done.stdout, re.I), done.stdout
        assert host.run(f"ping -{family} -n -c 1 -W 2 -t 5 {target}").returncode == 0
        short = host.run(f"ping -{family} -n -c 1 -W 2 -t 4 {target}")
        last = (WAY if host is chain.h1 else BACK)[family][3]
        assert re.search(rf"From {last} .*(Time to live|Time) exceeded", short.stdout), short.stdout


@pytest.mark.tools("traceroute")
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("how", ["-U", "-I"])
def test_traceroute_across(chain: Chain, family: int, how: str) -> None:
    """Every router answers from the address at which the packets came to it."""
    for host, target, way in ((chain.h1, FAR, WAY), (chain.h2, NEAR, BACK)):
        done = host.run(f"traceroute -{family} -n -q 1 -w 2 {how} {target[family]}")
        assert re.findall(r"^ *\d+ +(\S+)", done.stdout, re.M) == way[family], done.stdout


@pytest.mark.tools("tracepath")
@pytest.mark.parametrize("family", [4, 6])
def test_tracepath_across(chain: Chain, family: int) -> None:
    """RFC 1191, RFC 8201: the MTU falls twice on the way, and each time the router before the link tells."""
    done = chain.h1.run(f"tracepath -{family} -n {FAR[family]}")
    told = re.findall(r"^ *\d+\??: +(\S+) .*pmtu (\d+)", done.stdout, re.M)
    assert told == [("[LOCALHOST]", "1500"), (WAY[family][1], "1450"), (WAY[family][3], "1300")], done.stdout
    assert "Resume: pmtu 1300 hops 5 back 5" in done.stdout, done.stdout


@pytest.mark.tools("mtr")
@pytest.mark.parametrize("family", [4, 6])
def test_mtr_across(chain: Chain, family: int) -> None:
    """Five hops, no loss at any."""
    done = chain.h1.run(f"mtr -{family} --report --no-dns -c 2 -i 0.2 -G 1 {FAR[family]}")
    rows = re.findall(r"\|-- (\S+) +(\S+)%", done.stdout)
    assert rows == [(hop, "0.0") for hop in WAY[family]], done.stdout + done.stderr


def test_the_routers_ping_each_other_across_the_kernel(chain: Chain) -> None:
    """What they originate: from the first to the far end, and back."""
    for target in ("10.0.5.2", "fd00:5::2"):
        assert chain.first.call(lambda router, target=target: router["r"].ping(target)) < 5
    for target in ("10.0.1.1", "fd00:1::1"):
        assert chain.second.call(lambda router, target=target: router["t"].ping(target)) < 5


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["udp", "icmp", "tcp"])
def test_a_routers_own_traceroute_across_the_kernel(chain: Chain, family: int, method: str) -> None:
    """Kernel and routers answer alike, the kernel at the end to a datagram, an echo request, and a SYN; the MTU of each
    link is learnt on the way (RFC 1191, RFC 8201)."""
    chain.h2.run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")
    for find_mtu in (False, True):
        found = chain.first.call(
            lambda router, find_mtu=find_mtu: router["r"].traceroute(
                FAR[family], method=method, probes=1, timeout=2, find_mtu=find_mtu
            )
        )
        assert [probe["address"] for probe in found["probes"]] == WAY[family][1:]
        assert [probe["reached"] for probe in found["probes"]] == [False, False, False, True]
    assert [probe["mtu"] for probe in found["probes"]] == [1500, 1450, 1450, 1300]
    assert found["mtu"] == 1300
