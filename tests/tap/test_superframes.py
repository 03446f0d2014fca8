"""Superframes between kernels: the sender's segmentation offload, the router, and a receiver that checks every sum.

kernel netns one: .1.2 eth0 ── TAP ══ lan .1.1, namespace root, .2.1 wan ══ TAP ── eth0 .2.2 :two kernel netns
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import vrouter
from vrouter.stack.capture import RX, TX, Capture, CapturedFrame

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "tcpdump", "nstat")]

SIZE = 4_000_000
ETHERNET = 14
ADDRESSES = {4: ("10.0.1.2", "10.0.2.2"), 6: ("fd00:1::2", "fd00:2::2")}
both_families = pytest.mark.parametrize("family", [4, 6])

TCP_SERVER = """
import hashlib, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], 7000), family=family) as server:
    print("ready", flush=True)
    peer, _ = server.accept()
    with peer:
        digest = hashlib.sha256()
        while data := peer.recv(1 << 18):
            digest.update(data)
        peer.sendall(digest.digest())
"""
TCP_CLIENT = """
import random, socket, sys
data = random.Random(1).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 7000), timeout=30) as sock:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    answer = b""
    while more := sock.recv(100):
        answer += more
print(answer.hex())
"""
UDP_SERVER = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    sock.bind((sys.argv[1], 7000))
    sock.settimeout(20)
    print("ready", flush=True)
    found = [sock.recv(65535) for _ in range(int(sys.argv[2]))]
numbers = sorted(int.from_bytes(data[:4], "big") for data in found)
print(sorted({len(data) for data in found}), numbers == list(range(len(found))))
"""
UDP_CLIENT = """
import socket, sys
count, size = int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as sock:
    sock.setsockopt(17, 103, size)  # UDP_SEGMENT
    sock.connect((sys.argv[1], 7000))
    for first in range(0, count, 40):
        numbers = range(first, min(first + 40, count))
        sock.send(b"".join(number.to_bytes(4, "big").ljust(size, b"x") for number in numbers))
"""
LIAR = """
import socket, sys
raw = bytearray.fromhex("4500002900004000401100000a0001020a00020203e81b580015ffff") + b"liar liar ok!"
words = sum(int.from_bytes(raw[at : at + 2], "big") for at in range(0, 20, 2))
raw[10:12] = (0xFFFF - words % 0xFFFF).to_bytes(2, "big")
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
    sock.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
    sock.bind(("eth0", 0))
    header = bytes((1, 0, 0, 0, 0, 0, 34, 0, 6, 0))
    sock.send(header + bytes.fromhex(sys.argv[1]) + sock.getsockname()[4] + bytes((8, 0)) + raw)
"""


def configuration(names: list[str], lan: dict[str, Any], wan: dict[str, Any]) -> dict[str, Any]:
    def tap(ifname: str, netns: str, net: int, **options: Any) -> dict[str, Any]:
        host = {
            "netns": netns,
            "ifname": "eth0",
            "addresses": [f"10.0.{net}.2/24", f"fd00:{net}::2/64"],
            "routes": [{"to": "default", "via": f"10.0.{net}.1"}, {"to": "default", "via": f"fd00:{net}::1"}],
        }
        addresses = [f"10.0.{net}.1/24", f"fd00:{net}::1/64"]
        return {"ifname": ifname, "addresses": addresses, "host": host, **options}

    devices = {"lan": tap(names[0], names[2], 1, **lan), "wan": tap(names[1], names[3], 2, **wan)}
    sysctl = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
    return {"netns": {"root": {"sysctl": sysctl, "dev": devices}}}


class Site:
    """The drawing above; ``lan`` and ``wan`` show what passed there."""

    def __init__(self, router: vrouter.Router, names: list[str]) -> None:
        self.router = router
        self.one, self.two = names[2:]
        self.captures = {name: Capture(limit=256 << 20, snaplen=200) for name in ("lan", "wan")}
        for name, capture in self.captures.items():
            capture.attach(self.device(name))

    def device(self, name: str) -> Any:
        return self.router.driver.stack.namespaces["root"].device(name)

    def took(self, name: str, direction: int, least: int = 0) -> list[CapturedFrame]:
        """The frames that passed a device one way, of at least so many bytes."""
        return [f for f in self.captures[name].take() if f.direction == direction and f.length >= least]

    async def start(self, netns: str, program: str, *arguments: str) -> asyncio.subprocess.Process:
        command = ("ip", "netns", "exec", netns, "python3", "-c", program, *arguments)
        return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)

    async def run(self, netns: str, *words: str) -> str:
        """What a program prints that succeeds."""
        command = ("ip", "netns", "exec", netns, *words)
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        out = (await child.communicate())[0].decode()
        assert child.returncode == 0, out
        return out

    async def tcp(self, family: int, size: int = SIZE) -> None:
        """Send `size` bytes from one to two; all arrive, and no kernel saw a wrong checksum."""
        there = ADDRESSES[family][1]
        server = await self.start(self.two, TCP_SERVER, there)
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        digest = await self.run(self.one, "python3", "-c", TCP_CLIENT, there, str(size))
        await server.wait()
        assert digest.strip() == hashlib.sha256(random.Random(1).randbytes(size)).hexdigest()
        for netns in (self.one, self.two):
            assert await self.errors(netns) == {"TcpInCsumErrors": 0, "UdpInCsumErrors": 0, "IpInHdrErrors": 0}

    async def udp(self, family: int, count: int, size: int) -> None:
        """Send `count` datagrams of `size` bytes, 40 in a call; each arrives, and by itself."""
        there = ADDRESSES[family][1]
        await self.run(self.one, "ping", "-c", "1", "-W", "5", there)  # few wait for a neighbour that is unknown
        server = await self.start(self.two, UDP_SERVER, there, str(count))
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        await self.run(self.one, "python3", "-c", UDP_CLIENT, there, str(count), str(size))
        assert (await server.stdout.read()).decode().strip() == f"[{size}] True"
        await server.wait()
        assert await self.errors(self.two) == {"TcpInCsumErrors": 0, "UdpInCsumErrors": 0, "IpInHdrErrors": 0}

    async def errors(self, netns: str) -> dict[str, int]:
        found = json.loads(await self.run(netns, "nstat", "-asz", "--json"))["kernel"]
        return {name: found[name] for name in ("TcpInCsumErrors", "UdpInCsumErrors", "IpInHdrErrors")}


@pytest.fixture
def site(new_name: Callable[[], str]) -> Callable[..., Any]:
    """Brings a site up: site(lan={...}, wan={...}) with keys of the devices."""
    names = [new_name() for _ in range(4)]

    @asynccontextmanager
    async def up(lan: dict[str, Any] | None = None, wan: dict[str, Any] | None = None) -> AsyncIterator[Site]:
        async with vrouter.Router(configuration(names, lan or {}, wan or {})) as router:
            one = Site(router, names)
            for netns in (one.one, one.two):
                while "tentative" in await one.run(netns, "ip", "-6", "address", "show", "dev", "eth0"):
                    pass  # duplicate address detection
            yield one
            came, went = router.driver.stack.accounts()
            assert sum(came.values()) == sum(went.values())

    return up


@pytest.mark.parametrize(("lan", "wan"), [(True, True), (True, False), (False, True), (False, False)])
@both_families
async def test_tcp(site: Callable[..., Any], family: int, lan: bool, wan: bool) -> None:
    """VIRTIO 1.2 5.1.6: whole between two that take superframes, cut towards one that does not; every byte is right,
    and the receiving kernel, which checks each sum that comes finished, counts no error."""
    async with site({"offload": lan}, {"offload": wan}) as line:
        rows = {row["dev"]: row["offload"] for row in line.router["root"].devices()}
        assert (rows["lan"], rows["wan"]) == (lan, wan)
        await line.tcp(family)
        came, went = line.took("lan", RX, 1515), line.took("wan", TX, 1515)
        assert bool(came) == lan
        assert bool(went) == (lan and wan)
        if lan and wan:
            assert max(frame.length for frame in went) > 20_000
        # The counters say what a wire would have carried.
        assert line.device("lan").rx_packets >= SIZE // 1448
        assert line.device("wan").tx_packets >= SIZE // 1448
        assert line.device("wan").tx_bytes > SIZE + SIZE // 1448 * 66


@both_families
async def test_tcp_to_a_smaller_mtu(site: Callable[..., Any], family: int) -> None:
    """RFC 1191, RFC 8201: the sender's kernel learns of the narrow link by ICMP about its superframes, and goes on with
    others."""
    async with site(wan={"mtu": 1300}) as line:
        await line.run(line.two, "ip", "link", "set", "eth0", "mtu", "1500")
        await line.tcp(family)
        sizes = {frame.length for frame in line.took("wan", TX, 1315)}
        assert sizes, "no superframe left"
        shown = await line.run(line.one, "ip", "route", "get", ADDRESSES[family][1])
        assert "mtu 1300" in shown


async def test_tcp_from_a_larger_mtu_without_offload_there(site: Callable[..., Any]) -> None:
    """A superframe of large segments is cut for a wire that carries them."""
    async with site({"mtu": 9000}, {"mtu": 9000, "offload": False}) as line:
        await line.tcp(4)
        assert max(frame.length for frame in line.took("wan", TX)) == 9014


@pytest.mark.parametrize(("lan", "wan"), [(True, True), (True, False)])
@both_families
async def test_udp(site: Callable[..., Any], family: int, lan: bool, wan: bool) -> None:
    """Linux's UDP_SEGMENT: the datagrams come whole through the router, and one by one out of the socket."""
    async with site({"offload": lan}, {"offload": wan}) as line:
        await line.udp(family, 400, 1200)
        if not line.device("lan").uso:
            pytest.skip("this kernel hands over no superframes of UDP")
        assert len(line.took("lan", RX, 1515)) == 10
        assert len(line.took("wan", TX, 1515)) == (10 if wan else 0)
        assert line.device("wan").tx_packets >= 400


@both_families
async def test_what_is_finished_here_is_right_to_a_watcher(site: Callable[..., Any], family: int) -> None:
    """tcpdump -vv at the receiver finds no checksum that is incorrect in what was cut and finished here."""
    async with site({"offload": True}, {"offload": False}) as line:
        watcher = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", line.two, "tcpdump", "-i", "eth0", "-Q", "in", "-nvv", "-l", "-c", "500"),
            "tcp",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert watcher.stderr is not None
        assert b"listening" in await watcher.stderr.readuntil(b"\n")
        await line.tcp(family)
        out = (await watcher.communicate())[0].decode()
        assert out.count("(correct)") == 500
        assert "incorrect" not in out
        assert "bad cksum" not in out
        assert len(line.took("lan", RX, 1515)) > 10


async def test_a_liar_harms_himself(site: Callable[..., Any]) -> None:
    """A frame whose half-finished checksum is wrong reaches its destination, whose kernel finds out; others pass."""
    async with site(wan={"offload": False}) as line:
        await line.run(line.one, "ping", "-c", "1", "-W", "5", "10.0.2.2")
        line.captures["wan"].take()
        before = (await line.errors(line.two))["UdpInCsumErrors"]
        server = await line.start(line.two, UDP_SERVER, "10.0.2.2", "1")
        assert server.stdout is not None
        assert await server.stdout.readline() == b"ready\n"
        await line.run(line.one, "python3", "-c", LIAR, line.device("lan").mac.hex())
        await line.run(line.one, "python3", "-c", UDP_CLIENT, "10.0.2.2", "1", "100")
        assert (await server.stdout.read()).decode().strip() == "[100] True"
        await server.wait()
        assert (await line.errors(line.two))["UdpInCsumErrors"] == before + 1
