"""A namespace with TCP, a TAP, and a kernel at its other end; and that nothing is left of the connections.

kernel namespace far: eth0 10.0.1.2, fd00:1::2 ══ TAP ══ lan 10.0.1.1, fd00:1::1, namespace red
"""

from __future__ import annotations

import ast
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import vrouter
from vrouter.stack.base.timers import TimerKind
from vrouter.stack.l4.tcp.tcb import TIME_WAIT_LENGTH
from vrouter.stack.l4.tcp.timewait import TimeWait
from vrouter.testing import TapLab
from vrouter.testing.tap_lab import KernelHost

NEAR = {4: "10.0.1.1", 6: "fd00:1::1"}  # ours
FAR = {4: "10.0.1.2", 6: "fd00:1::2"}  # the kernel's
BROKEN = ("TcpInCsumErrors", "TcpInErrs", "IpInHdrErrors")  # what the kernel counts of segments that we made wrong
_PATIENCE = 30.0  # s
_AGENT = """
import ast, errno, hashlib, os, random, socket, struct, sys
socket.setdefaulttimeout(30)
known = dict(globals())
for line in sys.stdin:
    text = ast.literal_eval(line)
    try:
        try:
            code = compile(text, "agent", "eval")
        except SyntaxError:
            code = compile(text, "agent", "exec")
        result = eval(code, known)
    except OSError as error:
        result = errno.errorcode.get(error.errno, repr(error))
    print(repr(result), flush=True)
"""


FROM_US, FROM_KERNEL = "from us", "from the kernel"
PORT = 7007
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds, looking now and then."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE):
            while not condition():
                looked = loop.create_future()
                waking = loop.call_later(0.002, looked.set_result, None)
                try:
                    await looked
                finally:
                    waking.cancel()
    except TimeoutError:
        raise AssertionError(f"it did not come to this: {what}") from None


class Agent:
    """A Python at the kernel's side that does what it is told: ``await agent("s.recv(10)")`` is what that gives there,
    or the errno's name. It knows the usual modules, and what it was told to keep."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, text: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text!r}\n".encode())
        return ast.literal_eval((await asyncio.wait_for(self._process.stdout.readline(), 60)).decode())


class Site:
    """The drawing above; `far` is the kernel."""

    def __init__(self, router: vrouter.Router, far: KernelHost) -> None:
        self.router = router
        self.far = far
        self.red = router["red"]
        self.stack = router.driver.stack

    async def far_runs(self, *words: str, timeout: float = 60.0, stdin: str | None = None) -> str:
        """What a program of the kernel's side prints, which succeeds."""
        done = await self.far.run_async(list(words), timeout=timeout, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    async def host_runs(self, netns: str, command: str) -> None:
        """A command in any kernel namespace, which succeeds."""
        words = ("ip", "netns", "exec", netns, *command.split())
        child = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL)
        assert await child.wait() == 0, command

    @asynccontextmanager
    async def agent(self, host: KernelHost | None = None) -> AsyncIterator[Agent]:
        """An `Agent` on the far side, or on another host."""
        words = ("ip", "netns", "exec", (host or self.far).netns, sys.executable, "-c", _AGENT)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
        try:
            yield Agent(process)
        finally:
            process.kill()
            await process.communicate()

    async def far_counts(self) -> dict[str, int]:
        """What nstat(8) shows there, zeros included."""
        told = json.loads(await self.far_runs("nstat", "-a", "-s", "-z", "-j"))
        counts: dict[str, int] = told["kernel"]
        return counts

    async def far_sysctl(self, **settings: object) -> None:
        """Settings of net.ipv4 there."""
        await self.far_runs("sysctl", "-q", "-w", *(f"net.ipv4.{name}={value}" for name, value in settings.items()))

    def sockets(self, state: str | None = None) -> list[Any]:
        """The rows of ``show sockets`` of TCP, in a state."""
        return self.red.socket_records(proto="tcp", state=state)

    def waiting(self) -> list[TimeWait]:
        """The connections in TIME-WAIT."""
        tables = (self.red.stack.tcp, self.red.stack.tcp6)
        return [entry for table in tables for entry in table.connections.values() if isinstance(entry, TimeWait)]

    async def nothing_is_left(self, *, listeners: int = 0) -> None:
        """No socket but so many listeners, no connection but in TIME-WAIT, nothing queued, no timer but theirs."""
        ns = self.red.stack
        tcp = ns.tcp_state
        tables = (ns.tcp, ns.tcp6)

        def rest() -> list[Any]:
            entries = [entry for table in tables for entry in table.connections.values()]
            return [entry for entry in entries if not isinstance(entry, TimeWait)]

        def sockets() -> list[Any]:
            return [sock for sock in ns.sockets if not getattr(sock, "listening", False)]

        await until(lambda: not sockets() and not rest(), "no socket and no connection is left")
        assert len(list(ns.sockets)) == listeners
        assert (tcp.memory, tcp.orphans, tcp.outbox) == (0, 0, [])
        assert tcp.time_waiting == len(self.waiting()) <= ns.conf.tcp.max_tw_buckets
        kinds = {timer.kind for timer in self.stack.timers.armed()}
        assert {kind for kind in kinds if kind.name.startswith("TCP_")} <= {TimerKind.TCP_TIME_WAIT}

    def time_wait_ends(self) -> None:
        """Two minutes after the router has ended: the records of TIME-WAIT are gone, with their ports."""
        ns = self.red.stack
        self.stack.poll(self.stack.now + 2 * TIME_WAIT_LENGTH)
        assert ns.tcp_state.time_waiting == 0
        for table in (ns.tcp, ns.tcp6):
            assert (table.connections, table.buckets) == ({}, {})


@asynccontextmanager
async def site(
    lab: TapLab, *, sysctl: dict[str, Any] | None = None, admin: str = "", **device: Any
) -> AsyncIterator[Site]:
    """The drawing; what is asserted at its end: the kernel saw no broken segment, and nothing is left."""
    far = lab.host("far", *(f"{FAR[family]}/{length}" for family, length in ((4, 24), (6, 64))))
    lan = far.device(*(f"{NEAR[family]}/{length}" for family, length in ((4, 24), (6, 64))), **device)
    settings = {"net.ipv6.conf.default.dad_transmits": 0, **(sysctl or {})}
    router = await lab.router({"router": {"admin": admin}, "netns": {"red": {"sysctl": settings, "dev": {"lan": lan}}}})
    made = Site(router, far)
    yield made
    await made.nothing_is_left()
    counts = await made.far_counts()
    assert {name: counts[name] for name in BROKEN} == dict.fromkeys(BROKEN, 0)
    await lab.aclose()
    made.time_wait_ends()


async def connect(here: Site, agent: Agent, way: str, family: int = 4) -> Any:
    """A connection that one of them asked for, on a loop with scopes: our socket; the agent's is called `c`."""
    loop = asyncio.get_running_loop()
    if way == FROM_US:
        name = f"socket.{FAMILIES[family].name}"
        await agent(f"l = socket.create_server(({FAR[family]!r}, {PORT}), family={name})")
        ours = here.red.socket(FAMILIES[family])
        await loop.sock_connect(ours, (FAR[family], PORT))
        await agent("c = l.accept()[0]; c.settimeout(30); l.close()")
        return ours
    listener = here.red.socket(FAMILIES[family])
    listener.bind((NEAR[family], PORT))
    listener.listen(5)
    assert await agent(f"c = socket.create_connection(({NEAR[family]!r}, {PORT}))") is None
    ours, _ = await loop.sock_accept(listener)
    listener.close()
    return ours


async def reads(ours: Any, size: int) -> bytes:
    """So many bytes, or what comes before the end."""
    found = bytearray()
    while len(found) < size and (data := await asyncio.get_running_loop().sock_recv(ours, size - len(found))):
        found += data
    return bytes(found)
