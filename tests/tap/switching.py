"""What the tests of bridges and VLANs on real links are made of.

`Bed` runs a stack on TAPs, its driver on a loop in a thread of its own, so that tests are plain functions that wait for
real time. `Cell` is a kernel namespace with no chatter of its own; `Wire` is a raw socket at one of its links, which
sees frames as they are on the wire, tags included. All of it is gone at the end of the test, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from vrouter import kernel_netns
from vrouter.driver import Driver
from vrouter.ping import ping
from vrouter.stack.device import Device
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.tap import Tap, close_taps

Result = TypeVar("Result")

PATIENCE = 10.0  # s until something that has to happen soon is said not to have happened
ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
_auxdata = struct.Struct("=IIIHHHH").unpack
MARKER = 0x88B6  # the EtherType of the frames that say that all before them have arrived
MARKED = MARKER.to_bytes(2, "big")
BROADCAST = b"\xff" * 6

_QUIET = {  # of links to come
    "ipv6/conf/default/disable_ipv6": "1",
    "bridge/bridge-nf-call-iptables": "0",
    "bridge/bridge-nf-call-ip6tables": "0",
    "bridge/bridge-nf-call-arptables": "0",
}


def run(*words: str) -> str:
    """Run a program of the system; what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def until(condition: Callable[[], Result], seconds: float = PATIENCE, what: str = "") -> tuple[Result, float]:
    """Look until there is something to see: it, and after how many seconds."""
    start, pause = time.monotonic(), threading.Event()
    while not (found := condition()):
        assert time.monotonic() - start < seconds, f"not within {seconds} s: {what or condition}"
        pause.wait(0.02)
    return found, time.monotonic() - start


class Cell:
    """A kernel namespace of the test's own."""

    def __init__(self, netns: str) -> None:
        self.netns = netns
        with kernel_netns.opened(netns) as fd:
            kernel_netns.call_in(fd, self._quiet)
        self.ip("link", "set", "lo", "up")

    @staticmethod
    def _quiet() -> None:
        for name, value in _QUIET.items():
            with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/{name}", "w") as file:
                file.write(value)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.netns, *words)

    def bridge(self, *words: str) -> str:
        """bridge(8)."""
        return run("bridge", "-n", self.netns, *words)

    def run(self, *words: str) -> str:
        return run("ip", "netns", "exec", self.netns, *words)

    def pings(self, address: str, count: int = 3, wait: float = 1) -> bool:
        """Whether each of `count` echo requests is answered; `wait` s for the last one's answer."""
        options = ("-q", "-i", "0.05", "-W", str(wait), "-c", str(count))
        words = ("ip", "netns", "exec", self.netns, "ping", *options, address)
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
        return f" {count} received" in done.stdout

    def mac(self, ifname: str) -> str:
        """The address of a link."""
        return str(json.loads(self.ip("-j", "link", "show", ifname))[0]["address"])

    def mac_of(self, address: str) -> str:
        """The address that a neighbour answered with, or nothing."""
        return "".join(str(row.get("lladdr", "")) for row in json.loads(self.ip("-j", "neighbor", "show", address)))

    def read(self, path: str) -> str:
        """A file of /sys as this namespace sees it."""
        return self.run("cat", path).strip()

    def wire(self, ifname: str) -> Wire:
        with kernel_netns.opened(self.netns) as fd:
            return kernel_netns.call_in(fd, lambda: Wire(ifname))


class Wire:
    """Sends and hears raw frames at a link; what the link itself sends is not heard."""

    def __init__(self, ifname: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((ifname, ETH_P_ALL))
        # Promiscuous: PACKET_ADD_MEMBERSHIP with PACKET_MR_PROMISC
        index = self.socket.getsockname() and socket.if_nametoindex(ifname)
        self.socket.setsockopt(SOL_PACKET, 1, struct.pack("=iHH8s", index, 1, 0, b""))
        self.socket.setblocking(False)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.socket.send(bytes(frame))

    def receive(self, seconds: float = PATIENCE) -> bytes:
        """The next frame, its tag where it was; TimeoutError."""
        if not select.select([self.socket], [], [], seconds)[0]:
            raise TimeoutError(f"nothing came within {seconds} s")
        frame, control, _, _ = self.socket.recvmsg(65536, 128)
        for level, kind, data in control:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = _auxdata(data[:20])
                if status & TP_STATUS_VLAN_VALID:
                    tag = struct.pack("!HH", tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100, tci)
                    frame = frame[:12] + tag + frame[12:]
        return frame

    def receive_until(self, last: bytes) -> list[bytes]:
        """All frames before this one, which is left out."""
        found, end = [], time.monotonic() + PATIENCE
        while (frame := self.receive(end - time.monotonic())) != last:
            found.append(frame)
        return found

    def drain(self) -> list[bytes]:
        """What has arrived."""
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(self.receive(0))
        return found

    def close(self) -> None:
        self.socket.close()


class Bed:
    """A stack on real TAPs. What touches the stack goes through `call`, on the driver's thread."""

    driver: Driver

    def __init__(self, new_name: Callable[[], str], new_netns: Callable[[], str], seed: int = 1) -> None:
        self.new_name = new_name
        self.new_netns = new_netns
        self.stack = Stack(seed, identity=f"bed {seed}")
        self.taps: list[Tap] = []
        self.wires: list[Wire] = []
        self.started: Future[None] = Future()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name=f"bed-{os.getpid()}")

    def __enter__(self) -> Self:
        self.thread.start()
        self.started.result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self.wires:
            wire.close()
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(PATIENCE)
        close_taps(self.taps)
        came, went = self.stack.accounts()
        assert sum(came.values()) == sum(went.values()), (came, went)

    async def serve(self) -> None:
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.driver = Driver(self.stack, self.loop)
        self.started.set_result(None)
        await self.over.wait()
        await self.driver.close()

    def on_loop(self, function: Callable[[], Result]) -> Result:
        """What a function returns or raises on the driver's thread."""

        async def there() -> Result:
            return function()

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(PATIENCE)

    def call(self, function: Callable[..., Result], *args: Any, **options: Any) -> Result:
        """`Driver.call`, on its thread."""
        return self.on_loop(lambda: self.driver.call(function, *args, **options))

    def cell(self) -> Cell:
        return Cell(self.new_netns())

    def netns(self, name: str, **options: Any) -> Netns:
        return self.call(self.stack.add_netns, name, **options)

    def tap(self, ns: Netns, name: str, cell: Cell, ifname: str = "v", **options: Any) -> Device:
        """A device of `ns` on a TAP, whose other end is the link `ifname` of the cell, up."""
        tap = Tap(self.new_name())
        self.taps.append(tap)
        run("ip", "link", "set", tap.ifname, "netns", cell.netns, "name", ifname)
        cell.ip("link", "set", ifname, "mtu", str(options.get("mtu", 1500)), "up")

        def add() -> Device:
            dev = self.driver.call(ns.add_device, name, vnet_hdr=True, **options)
            self.driver.add_port(tap, dev)
            return dev

        return self.on_loop(add)

    def wire(self, cell: Cell, ifname: str) -> Wire:
        self.wires.append(cell.wire(ifname))
        return self.wires[-1]

    def pings(self, ns: Netns, address: str, **options: Any) -> bool:
        """Whether a namespace of the stack is answered by this address."""

        async def there() -> bool:
            try:
                await ping(self.driver, ns, address, count=3, timeout=1.0, **options)
            except OSError:
                return False
            return True

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(PATIENCE)

    def drops(self, ns: Netns) -> dict[str, int]:
        return self.on_loop(ns.drop_counts)


def veth(one: Cell, name: str, other: Cell, peer: str) -> None:
    """A pair of links, both up, without offloads."""
    one.ip("link", "add", name, "type", "veth", "peer", "name", peer, "netns", other.netns)
    for cell, ifname in ((one, name), (other, peer)):
        cell.ip("link", "set", ifname, "up")


def mac(number: int) -> bytes:
    """A station's address."""
    return bytes((2, 0, 0, 0, 0xBB, number))


def plain(dst: bytes, src: bytes, text: str = "", ethertype: int = 0x88B5, size: int = 60) -> bytes:
    """A frame with `text` in it."""
    return (dst + src + ethertype.to_bytes(2, "big") + text.encode()).ljust(size, b"\0")
