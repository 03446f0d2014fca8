"""Real clients for the demonstration: programs and sockets of the kernel, in kernel namespaces.

A socket belongs to the namespace that its thread was in when it was made, so the demonstration's own loop can serve and
ask with sockets of any tenant. Programs are started by a thread that is in the tenant's namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, cast

from vrouter import kernel_netns

ECHO_PORT: Final = 7
HTTP_PORT: Final = 80
PATIENCE_S: Final = 5.0
_TENTATIVE: Final = 0x40  # IFA_F_TENTATIVE: duplicates are still looked for
_SPARE_PATHS: Final = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")

_Result = TypeVar("_Result")

# Where ping(8) is not installed: echo requests of either family, by the kernel's own ICMP.
_PYTHON_PING: Final = """
import socket, sys, time
count, to = int(sys.argv[1]), sys.argv[2]
six = ":" in to
if six:
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
request, answer, refusal, prohibited = (128, 129, 1, 1) if six else (8, 0, 3, 13)
s.settimeout(2)
got = 0
for seq in range(1, count + 1):
    data = bytes((request, 0, 0, 0, 0x76, 0x72, 0, seq)) + bytes(56)
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
    total = (total & 0xffff) + (total >> 16)
    began = time.monotonic()
    s.sendto(data[:2] + (0xffff - total).to_bytes(2, "big") + data[4:], (to, 0))
    try:
        while True:
            reply, more, _, origin = s.recvmsg(2048, 64)
            hops = more[0][2][0] if six else reply[8]
            reply = reply if six else reply[20:]
            if reply[0] == answer and reply[4:8] == data[4:8]:
                got += 1
                ms = (time.monotonic() - began) * 1e3
                print(f"64 bytes from {origin[0]}: icmp_seq={seq} ttl={hops} time={ms:.2f} ms")
                break
            if reply[0] == refusal:
                text = "Packet filtered" if reply[1] == prohibited else f"unreachable, code {reply[1]}"
                print(f"From {origin[0]} icmp_seq={seq} {text}")
                break
    except TimeoutError:
        print(f"no reply icmp_seq={seq}")
sys.exit(0 if got else 1)
"""


class Outcome(NamedTuple):
    """How a program ended: its exit status and what it printed."""

    status: int
    output: str


class Tenant:
    """One tenant's client: a kernel namespace, by name. `addresses` are those that it alone has: of IPv4, and of IPv6,
    which is empty until the client has made it."""

    def __init__(self, name: str, kernel_name: str, number: int) -> None:
        self.name = name
        self.kernel_name = kernel_name
        self.addresses = [f"10.200.{number}.2", ""]
        self._prefix = ipaddress.IPv6Network(f"fd00:200:{number}::/64")

    def _inside(self, function: Callable[[], _Result]) -> _Result:
        with kernel_netns.opened(self.kernel_name) as descriptor:
            return kernel_netns.call_in(descriptor, function)

    async def run(self, *command: str) -> Outcome:
        """Run a program here to its end; it is killed when the demonstration is."""
        process = await asyncio.to_thread(self._inside, lambda: _popen(command))
        return await finished(process)

    async def autoconfigure(self) -> None:
        """Wait until this client has an address of what is advertised, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self.addresses[1]:
                    self.addresses[1] = await asyncio.to_thread(self._autoconfigured)
                    await asyncio.sleep(0.01)

    def read(self, path: str) -> str:
        """A file of /proc as this client sees it. OSError when there is none."""
        return self._inside(lambda: Path(path).read_text(encoding="ascii"))

    def _autoconfigured(self) -> str:
        for line in self.read("/proc/thread-self/net/if_inet6").splitlines():
            digits, _, _, _, flags, _ = line.split()
            address = ipaddress.IPv6Address(bytes.fromhex(digits))
            if address in self._prefix and not int(flags, 16) & _TENTATIVE:
                return str(address)
        return ""

    def udp(self, address: str, port: int) -> socket.socket:
        """A bound UDP socket of this tenant."""
        return self._inside(lambda: _bound(socket.SOCK_DGRAM, address, port))

    def tcp(self, address: str, port: int) -> socket.socket:
        """A bound TCP socket of this tenant."""
        return self._inside(lambda: _bound(socket.SOCK_STREAM, address, port))

    async def ping(self, to: str, count: int) -> Outcome:
        """The system's ping(8), or Python's where there is none."""
        program = program_path("ping")
        if program:
            return await self.run(program, "-n", "-c", str(count), "-i", "0.2", "-W", "2", to)
        return await self.run(sys.executable, "-c", _PYTHON_PING, str(count), to)

    async def fetch(self, address: str, port: int, source: str) -> Outcome:
        """GET / by curl(1), or by a socket of Python's where there is none."""
        program = program_path("curl")
        if program:
            return await self.run(program, "-sS", "--noproxy", "*", "-m", "5", f"http://{shown(address, port)}/")
        sock = self.tcp(source, 0)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
            reader, writer = await asyncio.open_connection(sock=sock)
            writer.write(f"GET / HTTP/1.0\r\nHost: {shown(address)}\r\n\r\n".encode())
            data = await reader.read()
            writer.close()
        head, _, body = data.partition(b"\r\n\r\n")
        return Outcome(0 if b" 200 " in head else 1, body.decode())


def shown(address: str, port: int = HTTP_PORT) -> str:
    """An address and a port as in a URL, where that of HTTP is left out."""
    host = f"[{address}]" if ":" in address else address
    return host if port == HTTP_PORT else f"{host}:{port}"


def without_ipv6(tenant: Tenant) -> str:
    """Why the kernel has no IPv6 for this client; "" when it has."""
    try:
        disabled = tenant.read("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").strip() != "0"
    except OSError:
        return "this kernel has no IPv6 (there is no /proc/sys/net/ipv6)"
    return "IPv6 is disabled here (net.ipv6.conf.*.disable_ipv6 is 1)" if disabled else ""


def program_path(name: str) -> str | None:
    """Where a program of the system is, also when the user's PATH lacks the administrator's directories."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SPARE_PATHS))


def _popen(command: tuple[str, ...]) -> subprocess.Popen[str]:
    # A session of its own: Ctrl-C is the demonstration's, which ends its children itself.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


async def run_here(*command: str) -> Outcome:
    """Run a program where the demonstration runs."""
    return await finished(await asyncio.to_thread(_popen, command))


async def finished(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a program without holding up the loop; kill it when that is cancelled."""
    ended = asyncio.create_task(asyncio.to_thread(process.communicate))
    try:
        output, _ = await asyncio.shield(ended)
    except asyncio.CancelledError:
        process.kill()
        await asyncio.wait([ended])
        raise
    return Outcome(process.returncode, output)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.setblocking(False)
    sock.bind((address, port))
    return sock


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.DatagramTransport", transport)  # uvloop's are not of asyncio's class

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram."""
        self.transport.sendto(data, addr)


class _Question(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.reply: asyncio.Future[tuple[bytes, tuple[str, int]]] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self.reply.done():
            self.reply.set_result((data, addr))

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def ask(sock: socket.socket, to: tuple[str, int], data: bytes) -> tuple[bytes, tuple[str, int], float]:
    """Send a datagram; the reply, who sent it, and how long it took in seconds. TimeoutError, OSError."""
    transport, question = await asyncio.get_running_loop().create_datagram_endpoint(_Question, sock=sock)
    try:
        began = time.monotonic()
        transport.sendto(data, to)
        async with asyncio.timeout(PATIENCE_S):
            reply, origin = await question.reply
        return reply, origin, time.monotonic() - began
    finally:
        transport.close()


async def answer_http(text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with a text."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        body = text.encode()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the client changed its mind
    finally:
        writer.close()
