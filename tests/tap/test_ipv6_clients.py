"""The tools people have, from kernel namespaces, against a real router over IPv6, and IPv4 beside it.

[ h1 fd00:1::2, 10.0.1.2 ] ══ TAP ══ one (::1, .1) red two (fd00:2::1, 10.0.2.1), mtu 1400 ══ TAP ══ [ h2 ::2, .2 ]
"""

import asyncio
import re
import sys

import pytest

from vrouter.testing import TapLab
from vrouter.testing.tap_lab import KernelHost, RunningRouter

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping")]

ROUTER_MAC = "02:00:00:00:00:01"
ONE, H1, H2 = "fd00:1::1", "fd00:1::2", "fd00:2::2"

ECHO = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 7777))
while True:
    data, peer = s.recvfrom(70000)
    s.sendto(data, peer)
"""
ASK = """
import hashlib, socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(5)
for size in map(int, sys.argv[2:]):
    s.sendto(b"x" * size, (sys.argv[1], 7777))
    print(len(s.recv(70000)))
"""


def without_waiting(host: KernelHost) -> None:
    """Addresses of the namespace are there at once."""
    for name in ("accept_dad", "dad_transmits"):
        host.run(f"sysctl -qw net.ipv6.conf.default.{name}=0 net.ipv6.conf.all.{name}=0")


class Pair:
    """Two hosts with a router between them."""

    def __init__(self, lab: TapLab) -> None:
        self.h1 = lab.host("h1", "10.0.1.2/24", "fd00:1::2/64", gateway="10.0.1.1")
        self.h2 = lab.host("h2", "10.0.2.2/24", "fd00:2::2/64", gateway="10.0.2.1")
        for host in (self.h1, self.h2):
            without_waiting(host)
        one = self.h1.device("10.0.1.1/24", "fd00:1::1/64", mac=ROUTER_MAC)
        two = self.h2.device("10.0.2.1/24", "fd00:2::1/64", mtu=1400)
        for device, gateway in ((one, "fd00:1::1"), (two, "fd00:2::1")):
            device["host"]["routes"].append({"to": "::/0", "via": gateway})
        sysctl = {
            "net.ipv4.ip_forward": 1,
            "net.ipv6.conf.all.forwarding": 1,
            "net.ipv6.conf.default.dad_transmits": 0,
            "net.ipv6.icmp.ratelimit": 0,
            "net.ipv4.icmp_ratelimit": 0,
        }
        self.running: RunningRouter = lab.start({"netns": {"red": {"dev": {"one": one, "two": two}, "sysctl": sysctl}}})


@pytest.fixture
def pair(tap_lab: TapLab) -> Pair:
    return Pair(tap_lab)


def hops(output: str) -> list[str]:
    """The addresses that a traceroute's lines name, in order."""
    return re.findall(r"^ *\d+\.?[:|\s-]+([0-9a-f:.]+)", output, re.M)


@pytest.mark.parametrize("size", [0, 8, 56, 1352, 1353, 3000, 30000])
def test_ping_of_all_sizes_goes_through(pair: Pair, size: int) -> None:
    """RFC 4443 4: echo through the router; what does not fit is cut by its source, once it knows the path's MTU."""
    pair.h1.run(f"ping -6 -n -c 1 -W 1 -s {size} {H2}")  # may be answered with Packet Too Big, and thus lost
    done = pair.h1.run(f"ping -6 -n -c 2 -i 0.05 -W 2 -s {size} {H2}")
    assert "2 received" in done.stdout, done.stdout


def test_ping_to_the_router_itself(pair: Pair) -> None:
    """Its global, its far and its link-local address answer."""
    for target in (ONE, "fd00:2::1", "fe80::ff:fe00:1%eth0"):
        done = pair.h1.run(f"ping -6 -n -c 1 -W 2 -s 3000 {target}")
        assert "1 received" in done.stdout, done.stdout


def test_a_ping_that_is_too_large_is_told_of_the_next_mtu(pair: Pair) -> None:
    """RFC 4443 3.2, RFC 8201 4: Packet Too Big names 1400, and the sender keeps to it."""
    first = pair.h1.run(f"ping -6 -n -c 1 -W 1 -M do -s 1353 {H2}")
    assert re.search(f"From {ONE} .*Packet too big: mtu=1400", first.stdout), first.stdout
    again = pair.h1.run(f"ping -6 -n -c 1 -W 1 -M do -s 1353 {H2}")
    assert "message too long" in again.stderr, again
    assert "mtu 1400" in pair.h1.run(f"ip -6 route get {H2}").stdout
    assert pair.h1.run(f"ping -6 -n -c 1 -W 2 -M do -s 1352 {H2}").returncode == 0


def test_a_hop_limit_that_ends_here_is_told(pair: Pair) -> None:
    """RFC 4443 3.3: from the address of the device by which the packet came."""
    done = pair.h1.run(f"ping -6 -n -c 1 -W 2 -t 1 {H2}")
    assert f"From {ONE} icmp_seq=1 Time exceeded: Hop limit" in done.stdout, done.stdout


def test_what_is_unreachable_is_told(pair: Pair) -> None:
    """RFC 4443 3.1: codes 0, 1, 3 and 4 as ping and a connected socket show them."""
    pair.running.call(lambda router: router["red"].add_route("fd00:b::/32", type="prohibit"))
    assert "Destination unreachable: No route" in pair.h1.run("ping -6 -n -c 1 -W 2 fd00:99::1").stdout
    assert "Destination unreachable: Administratively prohibited" in pair.h1.run("ping -n -c 1 -W 2 fd00:b::1").stdout
    assert "Destination unreachable: Address unreachable" in pair.h1.run("ping -n -c 1 -W 6 fd00:2::77").stdout
    program = (
        "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\ns.settimeout(5)\n"
        f"s.connect(('{H2}', 9))\ns.send(b'x')\ntry: s.recv(9)\nexcept OSError as e: print(e.errno)"
    )
    assert pair.h1.run([sys.executable, "-c", program]).stdout == "111\n"


@pytest.mark.tools("tracepath")
def test_tracepath_finds_the_mtu_and_the_hops(pair: Pair) -> None:
    """RFC 8201: both hops, and the smaller MTU behind the first."""
    done = pair.h1.run(f"tracepath -6 -n {H2}")
    assert re.search(rf" 2: +{ONE} .* pmtu 1400\n 2: +{H2} .* reached", done.stdout), done.stdout
    assert "Resume: pmtu 1400 hops 2 back 2" in done.stdout, done.stdout


@pytest.mark.tools("traceroute")
@pytest.mark.parametrize("how", ["", "-I", "-U -p 9"])
def test_traceroute_names_the_hops(pair: Pair, how: str) -> None:
    """By UDP to closed ports, by echo requests, and by UDP to one port."""
    done = pair.h1.run(f"traceroute -6 -n -q 2 -w 2 {how} {H2}")
    assert hops(done.stdout) == [ONE, H2], done.stdout


@pytest.mark.tools("mtr")
@pytest.mark.parametrize(
    ("family", "target", "path"), [("-4", "10.0.2.2", ["10.0.1.1", "10.0.2.2"]), ("-6", H2, [ONE, H2])]
)
def test_mtr_reports_both_hops_without_loss(pair: Pair, family: str, target: str, path: list[str]) -> None:
    """Two rounds, no packet lost at either hop."""
    done = pair.h1.run(f"mtr {family} --report --no-dns -c 2 -i 0.2 -G 1 {target}")
    rows = re.findall(r"\|-- (\S+) +(\S+)%", done.stdout)
    assert rows == [(hop, "0.0") for hop in path], done.stdout + done.stderr


@pytest.mark.tools("arping")
def test_arping_is_answered(pair: Pair) -> None:
    """RFC 826, and RFC 5227 2.1.1: a probe for the router's address shows that it is taken."""
    done = pair.h1.run("arping -c 1 -w 3 -I eth0 10.0.1.1")
    assert re.search(rf"\[{ROUTER_MAC.upper()}\](.|\n)*Received 1 response", done.stdout), done.stdout
    assert pair.h1.run("arping -D -c 1 -w 2 -I eth0 10.0.1.1").returncode == 1
    assert pair.h1.run("arping -D -c 1 -w 1 -I eth0 10.0.1.77").returncode == 0


@pytest.mark.tools("ndisc6")
def test_ndisc6_is_answered(pair: Pair) -> None:
    """RFC 4861 7.2.4: for a global and for the link-local address; for nobody's there is no answer."""
    for target in (ONE, "fe80::ff:fe00:1"):
        done = pair.h1.run(f"ndisc6 -1 -n -w 2000 {target} eth0")
        assert f"Target link-layer address: {ROUTER_MAC.upper()}" in done.stdout, done
        assert f" from {target}" in done.stdout
    assert pair.h1.run("ndisc6 -1 -n -r 1 -w 300 fd00:1::77 eth0").returncode != 0


def test_udp_both_ways_of_all_sizes(pair: Pair) -> None:
    """Datagrams of a kernel server behind the router, cut by their sources."""
    pair.h2.start([sys.executable, "-c", ECHO], listens="udp:7777")
    pair.h1.run([sys.executable, "-c", ASK, H2, "1"])
    pair.h1.run(f"ping -6 -n -c 1 -W 1 -M do -s 1400 {H2}")  # the path's MTU is known from here on
    done = pair.h1.run([sys.executable, "-c", ASK, H2, "0", "1", "1352", "1353", "5000", "20000"])
    assert done.stdout.split() == ["0", "1", "1352", "1353", "5000", "20000"], done


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


@pytest.mark.tools("nc")
def test_netcat_against_a_socket_of_the_router(pair: Pair) -> None:
    """A dual-stack socket of the namespace answers by its global, its link-local and its IPv4 address."""

    async def serve(router):
        transport, _ = await router["red"].create_datagram_endpoint(Echo, local_addr=("::", 7))
        return transport

    async def stop(_):
        transport.close()

    transport = pair.running.call(serve)
    for target in (ONE, "fe80::ff:fe00:1%eth0", "10.0.1.1"):
        done = pair.h1.run(f"nc -u -w 1 {target} 7", stdin="hello\n")
        assert done.stdout == "hello\n", (target, done)
    pair.running.call(stop)
