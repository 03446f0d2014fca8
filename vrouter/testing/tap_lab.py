"""A router on real TAPs, with kernel namespaces as its hosts: everything but the cables is real.

    async def test_ping(tap_lab):
        h1 = tap_lab.host("h1", "10.0.1.2/24", gateway="10.0.1.1")
        h2 = tap_lab.host("h2", "10.0.2.2/24", gateway="10.0.2.1")
        red = {"dev": {"one": h1.device("10.0.1.1/24"), "two": h2.device("10.0.2.1/24")},
               "sysctl": {"net.ipv4.ip_forward": 1}}
        await tap_lab.router({"netns": {"red": red}})
        ping = await h1.run_async("ping -c 1 10.0.2.2")
        assert ping.returncode == 0, ping.stdout

    kernel namespace h1-PID                     the router's namespace red                    kernel namespace h2-PID
    [ eth0 10.0.1.2 ] ══ TAP vPIDn0 ══ [ one 10.0.1.1        two 10.0.2.1 ] ══ TAP vPIDn1 ══ [ eth0 10.0.2.2 ]

`TapLab.router` runs the router on the test's own loop, so that its sockets can be used there; commands of the hosts are
then run by `run_async`, since a blocking one would wait for a router that it keeps from running. For synchronous tests
`TapLab.start` runs it on a loop in a thread of its own.

Kernel namespaces, TAPs, processes and threads carry the process id in their names where they have names, and all are
gone at the end of the test, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    from vrouter import Router

_Result = TypeVar("_Result")
Completed = subprocess.CompletedProcess[str]

TIMEOUT: Final = 15.0  # s of real time for a command, unless it says otherwise
_START_TIMEOUT: Final = 10.0
_STOP_TIMEOUT: Final = 10.0
_POLL: Final = 0.01
_ACCEPT_DAD: Final = "/proc/sys/net/ipv6/conf/default/accept_dad"
_LISTEN: Final = "0A"  # the state in /proc/net/tcp
_UNCONNECTED: Final = "07"  # of a bound socket in /proc/net/udp


def missing() -> str:
    """Why there can be no `TapLab` here; empty when there can."""
    if os.geteuid() != 0:
        return "real TAPs and kernel namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    if shutil.which("ip") is None:
        return "there is no ip(8)"
    trial = f"try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", trial], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    subprocess.run(["ip", "netns", "del", trial], capture_output=True, stdin=subprocess.DEVNULL)
    return f"no kernel namespace can be made: {made.stderr.strip()}" if made.returncode else ""


class KernelHost:
    """A kernel namespace with one link, ``eth0``; made by `TapLab.host`. `netns` is its name for ip(8)."""

    def __init__(
        self,
        lab: TapLab,
        name: str,
        addresses: tuple[str, ...],
        gateway: str | None,
        ifname: str,
        gateway6: str | None = None,
    ) -> None:
        self.lab = lab
        self.name = name
        self.netns = f"{name}-{os.getpid()}"
        self.addresses = addresses
        self.gateway = gateway
        self.gateway6 = gateway6
        self.ifname = ifname

    def __repr__(self) -> str:
        return f"<KernelHost {self.netns}: {', '.join(self.addresses)}>"

    @property
    def addr(self) -> str:
        """Its first IPv4 address, or its first of all when it has none."""
        return self._first(".") or self._first("")

    @property
    def addr6(self) -> str:
        """Its first IPv6 address; LabError when it was given none."""
        found = self._first(":")
        if not found:
            raise LabError(f"{self.name} has no IPv6 address")
        return found

    def _first(self, mark: str) -> str:
        return next((text.partition("/")[0] for text in self.addresses if mark in text), "")

    def device(self, *addresses: str, **settings: Any) -> dict[str, Any]:
        """The configuration of the router's device at the other end of this host's link.

        `addresses` are the router's, ``ADDRESS/LENGTH`` of either family; `settings` are more keys of the device.
        """
        ways = (("default", self.gateway), ("::/0", self.gateway6))
        routes = [{"to": to, "via": via} for to, via in ways if via is not None]
        host = {"netns": self.netns, "ifname": "eth0", "addresses": list(self.addresses), "routes": routes}
        return {"kind": "tap", "ifname": self.ifname, "addresses": list(addresses), "host": host, **settings}

    def run(self, command: str | list[str], *, timeout: float = TIMEOUT, stdin: str | None = None) -> Completed:
        """Run a command in the namespace and wait for it: exit status, output and error output as text.

        subprocess.TimeoutExpired when it takes longer, and it is killed. LabError where the router runs on this very
        thread, and would be kept waiting.
        """
        self.lab.refuse_blocking()
        source: Any = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(self._argv(command), capture_output=True, text=True, timeout=timeout, **source)

    async def run_async(
        self, command: str | list[str], *, timeout: float = TIMEOUT, stdin: str | None = None
    ) -> Completed:
        """`run` for a test whose router runs on its own loop."""
        argv = self._argv(command)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            given = None if stdin is None else stdin.encode()
            out, err = await asyncio.wait_for(process.communicate(given), timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(argv, timeout) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        assert process.returncode is not None
        return Completed(argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def start(self, command: str | list[str], *, listens: str | None = None) -> subprocess.Popen[str]:
        """Start a command that goes on, such as a server; it is killed at the end of the test.

        With `listens` (``"tcp:80"``, ``"udp:53"``) it is waited for until that port is bound, which a LabError ends
        after 10 s, or when the command does.
        """
        process = subprocess.Popen(
            self._argv(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lab.processes.append(process)
        if listens is not None:
            proto, _, port = listens.partition(":")
            self._wait_bound(process, proto, int(port))
        return process

    def _wait_bound(self, process: subprocess.Popen[str], proto: str, port: int) -> None:
        state = _LISTEN if proto == "tcp" else _UNCONNECTED
        end = time.monotonic() + _START_TIMEOUT
        while not any(_is_bound(f"/proc/{process.pid}/net/{proto}{v}", port, state) for v in ("", "6")):
            if process.poll() is not None:
                said = process.stdout.read() if process.stdout is not None else ""
                raise LabError(f"{self.name}: {shlex.join(map(str, process.args))} ended: {said.strip()}")  # type: ignore[arg-type] # args is the list given above
            if time.monotonic() > end:
                raise LabError(f"{self.name}: nothing listens on {proto} port {port} after {_START_TIMEOUT} s")
            time.sleep(_POLL)

    def _argv(self, command: str | list[str]) -> list[str]:
        words = shlex.split(command) if isinstance(command, str) else command
        return ["ip", "netns", "exec", self.netns, *words]


def _is_bound(path: str, port: int, state: str) -> bool:
    with contextlib.suppress(OSError), open(path) as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if words[1].endswith(f":{port:04X}") and words[3] == state:
                return True
    return False


class RunningRouter:
    """A router on a loop in a thread of its own; made by `TapLab.start`. `router` is the `vrouter.Router`."""

    router: Router

    def __init__(self, config: Mapping[str, Any] | str | Path) -> None:
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[None] = Future()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=f"tap-lab-{os.getpid()}")
        self._thread.start()
        try:
            self._started.result(_START_TIMEOUT)
        except BaseException:
            self.stop()
            raise

    def call(self, function: Callable[[Router], Awaitable[_Result]], timeout: float = TIMEOUT) -> _Result:
        """Run ``await function(router)`` on the router's loop: ``running.call(lambda r: r["red"].ping("10.0.1.2"))``.

        Its result or exception; TimeoutError after `timeout` seconds.
        """

        async def on_loop() -> _Result:
            return await function(self.router)

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(timeout)

    def stop(self) -> None:
        """End the router, and the thread; may be called again."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself meanwhile
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_TIMEOUT)
        if self._thread.is_alive():
            raise LabError(f"the router does not end within {_STOP_TIMEOUT} s")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.router = _new_router(self._config)
        async with self.router:
            self._started.set_result(None)
            await self._stop.wait()


def _new_router(config: Mapping[str, Any] | str | Path) -> Router:
    import vrouter

    if isinstance(config, Mapping):
        return vrouter.Router(config)
    return vrouter.Router.from_file(config)


class TapLab:
    """Hosts and routers of one test; see the module's text."""

    def __init__(self) -> None:
        self.hosts: dict[str, KernelHost] = {}
        self.processes: list[subprocess.Popen[str]] = []
        self._numbers = itertools.count()
        self._routers: list[tuple[asyncio.AbstractEventLoop, Router]] = []
        self._running: list[RunningRouter] = []

    def new_ifname(self) -> str:
        """A name for a TAP that nobody else uses."""
        return f"v{os.getpid()}n{next(self._numbers)}"

    def host(self, name: str, *addresses: str, gateway: str | None = None, gateway6: str | None = None) -> KernelHost:
        """A kernel namespace with `addresses` (``ADDRESS/LENGTH`` of either family) on its ``eth0``, and default routes
        by `gateway` and `gateway6`.

        The link appears with the router that has the host's `KernelHost.device` in its configuration. Its kernel does
        not look for duplicates of IPv6 addresses, so that they can be used at once.
        """
        if name in self.hosts:
            raise LabError(f"there is a host {name!r} already")
        host = KernelHost(self, name, addresses, gateway, self.new_ifname(), gateway6)
        _ip("netns", "add", host.netns)
        self.hosts[name] = host
        _ip("-n", host.netns, "link", "set", "lo", "up")
        _ip("netns", "exec", host.netns, "sh", "-c", f"[ ! -e {_ACCEPT_DAD} ] || echo 0 > {_ACCEPT_DAD}")
        return host

    async def router(self, config: Mapping[str, Any] | str | Path) -> Router:
        """A started router on the running loop, by a configuration as a mapping or in a file; ended with the test."""
        router = _new_router(config)
        await router.__aenter__()
        self._routers.append((asyncio.get_running_loop(), router))
        return router

    def start(self, config: Mapping[str, Any] | str | Path) -> RunningRouter:
        """A started router in a thread, for synchronous tests; ended with the test."""
        running = RunningRouter(config)
        self._running.append(running)
        return running

    def refuse_blocking(self) -> None:
        """LabError when a router runs on the loop of this very thread."""
        with contextlib.suppress(RuntimeError):
            loop = asyncio.get_running_loop()
            if any(at is loop for at, _ in self._routers):
                raise LabError("this would block the loop that the router runs on: await run_async(…) instead")

    async def aclose(self) -> None:
        """End the routers of the running loop."""
        loop = asyncio.get_running_loop()
        mine = [router for at, router in self._routers if at is loop]
        self._routers = [(at, router) for at, router in self._routers if at is not loop]
        errors = [await _tried(router.__aexit__(None, None, None)) for router in reversed(mine)]
        _raise_first(errors)

    def close(self) -> None:
        """Remove everything: processes, routers, kernel namespaces. All of it is tried before an error is raised."""
        errors: list[BaseException | None] = []
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for running in reversed(self._running):
            errors.append(_attempt(running.stop))
        for host in self.hosts.values():
            errors.append(_attempt(lambda name=host.netns: _ip("netns", "del", name)))  # type: ignore[misc] # mypy cannot infer a lambda with a default
        if self._routers:
            errors.append(LabError("a router was not ended: its loop is gone; call `await tap_lab.aclose()` there"))
        self.processes, self._running, self.hosts, self._routers = [], [], {}, []
        _raise_first(errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise OSError(f"ip {shlex.join(words)}: {done.stderr.strip()}")


def _attempt(action: Callable[[], object]) -> BaseException | None:
    try:
        action()
    except Exception as error:
        return error
    return None


async def _tried(action: Coroutine[Any, Any, object]) -> BaseException | None:
    try:
        await action
    except Exception as error:
        return error
    return None


def _raise_first(errors: list[BaseException | None]) -> None:
    found = [error for error in errors if error is not None]
    if found:
        raise found[0]
