"""Programs written for the kernel's sockets, unchanged, on a namespace's: what they know as `socket` is a thin adapter.

red ──── x ═══veth═══ y ──── blue

The programs are the classic ones: a ping by a raw socket, a traceroute by UDP and a raw socket, one by the error queue,
an ARP request, a sniffer, and the first message of a DHCP client with its answer. They block, so they run in a thread;
the adapter makes each call on the loop and waits for it, as any bridge between threads would.
"""

from __future__ import annotations

import asyncio
import select as real_select
import socket as real_socket
import types
from collections.abc import Callable
from typing import Any

import vrouter

Pair = tuple[vrouter.Netns, vrouter.Netns]

PING = """
import struct, time
import socket

def sum16(data):
    if len(data) % 2:
        data += b"\\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return ~total & 0xFFFF

def ping(host, ident=0x1234, count=2, timeout=2):
    icmp = socket.getprotobyname("icmp")
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, icmp)
    s.settimeout(timeout)
    s.setsockopt(socket.SOL_RAW, 1, struct.pack("I", ~(1 << 0) & 0xFFFFFFFF))
    found = []
    for seq in range(count):
        head = struct.pack("!BBHHH", 8, 0, 0, ident, seq)
        data = b"abcdefgh"
        head = struct.pack("!BBHHH", 8, 0, sum16(head + data), ident, seq)
        s.sendto(head + data, (host, 1))
        while True:
            packet, addr = s.recvfrom(1024)
            size = (packet[0] & 0xF) * 4
            kind, code, _, got, number = struct.unpack("!BBHHH", packet[size:size + 8])
            if kind == 0 and got == ident:
                break
        found.append((addr[0], number, packet[8], packet[size + 8:]))
    s.close()
    return found
"""

TRACEROUTE = """
import socket, struct

def traceroute(host, port=33434, most=5):
    found = []
    for ttl in range(1, most + 1):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        receiver.settimeout(1.0)
        receiver.bind(("", port))
        sender.setsockopt(socket.SOL_IP, socket.IP_TTL, ttl)
        sender.sendto(b"", (host, port))
        try:
            packet, (address, _) = receiver.recvfrom(512)
            found.append((address, packet[20], packet[21]))
        except socket.timeout:
            found.append(None)
        finally:
            sender.close()
            receiver.close()
        if found[-1] and found[-1][0] == host:
            break
    return found
"""

TRACEPATH = """
import socket, struct, select, errno

IP_RECVERR = 11

def tracepath(host, ttl):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    s.connect((host, 44444))
    s.send(b"x" * 100)
    ready, _, _ = select.select([s], [], [], 2)
    assert ready
    data, control, flags, _ = s.recvmsg(1024, 512, socket.MSG_ERRQUEUE)
    for level, kind, value in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
            code, origin, kind, number = struct.unpack_from("IBBB", value)
            who = socket.inet_ntoa(value[20:24])
            s.close()
            return errno.errorcode[code], kind, number, who, len(data)
"""

ARP = """
import socket, struct

def who_has(interface, target, source):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    s.bind((interface, 0))
    mac = s.getsockname()[4]
    ours, theirs = socket.inet_aton(source), socket.inet_aton(target)
    ask = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, ours, b"", theirs)
    s.send(b"\\xff" * 6 + mac + b"\\x08\\x06" + ask)
    s.settimeout(2)
    while True:
        frame = s.recv(2048)
        op, sha, spa = struct.unpack("!H6s4s", frame[20:32])
        if op == 2 and spa == socket.inet_aton(target):
            s.close()
            return sha
"""

SNIFFER = """
import socket

def sniff(interface, wanted):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3)) as s:
        s.bind((interface, socket.ETH_P_ALL))
        s.settimeout(2)
        found = []
        while len(found) < wanted:
            data, (device, protocol, kind, hardware, mac) = s.recvfrom(65535)
            if protocol == 0x0800 and data[9] == 17:
                found.append((device, kind, data[28:]))
        return found
"""

DHCP = """
import socket, struct

def discover(interface, mac, xid=0x01020304):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\\0")
    s.bind(("", 68))
    message = struct.pack("!BBBBIHH4s4s4s4s16s64s128s", 1, 1, 6, 0, xid, 0, 0x8000, b"", b"", b"", b"", mac, b"", b"")
    message += b"\\x63\\x82\\x53\\x63" + b"\\x35\\1\\1" + b"\\xff"
    s.sendto(message, ("255.255.255.255", 67))
    s.settimeout(2)
    answer, (server, port) = s.recvfrom(1500)
    s.close()
    assert answer[4:8] == struct.pack("!I", xid)
    return socket.inet_ntoa(answer[16:20]), server, port

def offer(interface, address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\\0")
    s.bind(("", 67))
    s.settimeout(2)
    message, client = s.recvfrom(1500)
    reply = b"\\2" + message[1:16] + socket.inet_aton(address) + message[20:]
    s.sendto(reply, ("255.255.255.255", 68))
    s.close()
    return client
"""


class Blocking:
    """A socket of a namespace whose calls block a thread: each is tried on the loop, and again when it is readable."""

    def __init__(
        self,
        netns: vrouter.Netns,
        loop: asyncio.AbstractEventLoop,
        waits: asyncio.Event | None,
        numbers: tuple[int, ...],
    ) -> None:
        self._loop = loop
        self._waits = waits
        self._timeout: float | None = None
        self._sock: Any = self._on_loop(lambda: netns.socket(*numbers))

    def _on_loop(self, function: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def fileno(self) -> int:
        number: int = self._on_loop(self._sock.fileno)
        return number

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._sock, name)

        def call(*args: Any) -> Any:
            while True:
                try:
                    return self._on_loop(lambda: method(*args))
                except BlockingIOError:
                    if self._waits is not None:
                        self._loop.call_soon_threadsafe(self._waits.set)
                    if not real_select.select([self], [], [], self._timeout)[0]:
                        raise TimeoutError("timed out") from None

        return call


def adapter(netns: vrouter.Netns, loop: asyncio.AbstractEventLoop, waits: asyncio.Event | None) -> types.ModuleType:
    """What the programs import as `socket`: the module's constants and functions, and sockets of the namespace."""
    module = types.ModuleType("socket")
    for name in dir(real_socket):
        setattr(module, name, getattr(real_socket, name))
    module.SOL_RAW = 255
    module.ETH_P_ALL = 3
    module.socket = lambda *numbers: Blocking(netns, loop, waits, numbers)
    return module


def program(text: str, netns: vrouter.Netns, waits: asyncio.Event | None = None) -> dict[str, Any]:
    """The program's names, with its `socket` being the adapter; `waits` is set when it waits for something."""
    module = adapter(netns, asyncio.get_running_loop(), waits)

    def importing(name: str, *rest: Any) -> Any:
        return module if name == "socket" else __import__(name, *rest)

    names: dict[str, Any] = {"__builtins__": {**vars(__import__("builtins")), "__import__": importing}}
    exec(compile(text, "program", "exec"), names)
    return names


async def test_ping(pair: Pair) -> None:
    """A ping that makes its own ICMP, with ICMP_FILTER."""
    red, _ = pair
    found = await asyncio.to_thread(program(PING, red)["ping"], "10.0.0.2")
    assert found == [("10.0.0.2", 0, 64, b"abcdefgh"), ("10.0.0.2", 1, 64, b"abcdefgh")]


async def test_traceroute(pair: Pair) -> None:
    """Two sockets: datagrams out, ICMP in; through a router, and to who says nothing."""
    red, blue = pair
    router = red.router
    green = await router.add_netns("green")
    await router.add_veth("blue", "g", "green", "b")
    await blue.add_address("g", "10.0.1.1/24")
    await green.add_address("b", "10.0.1.2/24")
    await green.add_route("10.0.0.0/24", via="10.0.1.1")
    await red.add_route("10.0.1.0/24", via="10.0.0.2")
    blue.sysctl["net.ipv4.ip_forward"] = 1
    run = program(TRACEROUTE, red)["traceroute"]
    assert await asyncio.to_thread(run, "10.0.1.2") == [("10.0.0.2", 11, 0), ("10.0.1.2", 3, 3)]
    answers = await asyncio.to_thread(program(TRACEPATH, red)["tracepath"], "10.0.1.2", 1)
    assert answers == ("EHOSTUNREACH", 11, 0, "10.0.0.2", 100)
    answers = await asyncio.to_thread(program(TRACEPATH, red)["tracepath"], "10.0.1.2", 9)
    assert answers == ("ECONNREFUSED", 3, 3, "10.0.1.2", 100)


async def test_arp(pair: Pair) -> None:
    """An ARP request by a packet socket, and the answer."""
    red, blue = pair
    mac = await asyncio.to_thread(program(ARP, red)["who_has"], "x", "10.0.0.2", "10.0.0.1")
    assert mac == blue.stack.device("y").mac


async def test_a_sniffer(pair: Pair) -> None:
    """Frames both ways, without their headers."""
    red, blue = pair
    waits = asyncio.Event()
    sniffing = asyncio.ensure_future(asyncio.to_thread(program(SNIFFER, red, waits)["sniff"], "x", 2))
    await waits.wait()
    with blue.socket(2, 2) as one, red.socket(2, 2) as other:
        one.bind(("10.0.0.2", 9))
        other.bind(("10.0.0.1", 9))
        other.sendto(b"to blue", ("10.0.0.2", 9))
        one.sendto(b"to red", ("10.0.0.1", 9))
        assert await sniffing == [("x", 4, b"to blue"), ("x", 0, b"to red")]


async def test_dhcp(pair: Pair) -> None:
    """RFC 2131 4.1: broadcasts out of a device by its name, and the answer to everybody."""
    red, blue = pair
    mac = red.stack.device("x").mac
    waits = asyncio.Event()
    serving = asyncio.ensure_future(asyncio.to_thread(program(DHCP, blue, waits)["offer"], "y", "10.0.0.77"))
    await waits.wait()
    asked = await asyncio.to_thread(program(DHCP, red)["discover"], "x", mac)
    assert asked == ("10.0.0.77", "10.0.0.2", 67)
    assert await serving == ("10.0.0.1", 68)
