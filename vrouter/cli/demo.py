"""`vrouter demo`: three tenants with the same subnet and the same client address on this machine.

    red and blue accept one another; green has a route into red, and red does not accept it.

It runs a real router on real TAPs with kernel namespaces as clients, tries what is promised with the system's own
programs, and leaves nothing behind however it ends. Status 0 only when everything was as promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from importlib import resources
from typing import TYPE_CHECKING, Final

from vrouter import __version__
from vrouter.cli.arguments import Arguments
from vrouter.cli.demo_clients import ECHO_PORT, HTTP_PORT, Echo, Tenant, answer_http, ask, program_path, run_here
from vrouter.cli.failure import INTERRUPTED, PRIVILEGE, RUNTIME, Failure, usage
from vrouter.errors import PrivilegeError

if TYPE_CHECKING:
    from vrouter.appliance import Router

_CAPABILITIES: Final = ((12, "CAP_NET_ADMIN", "to make TAPs"), (21, "CAP_SYS_ADMIN", "to make kernel namespaces"))
_RED, _BLUE, _GREEN = "10.200.1.2", "10.200.2.2", "10.200.3.2"

_DRAWING: Final = """\
   client of red                        vrouter, one process                      client of blue
  +----------------+       +---------------------------------------------+       +----------------+
  | eth0           |  TAP  | lan            crossing, declared       lan |  TAP  |           eth0 |
  | 10.0.1.2/24    +=======+ netns red <======= by both =====> netns blue+=======+    10.0.1.2/24 |
  | 10.200.1.2     |       | 10.0.1.1          sides            10.0.1.1 |       |     10.200.2.2 |
  +----------------+       |      ^                                      |       +----------------+
   client of green         |      X  red does not accept green           |
  +----------------+       |      |                                      |
  | 10.0.1.2/24    +=======+ netns green   10.0.1.1                      |
  | 10.200.3.2     |  TAP  | lan                                         |
  +----------------+       +---------------------------------------------+"""


def demo(arguments: Arguments) -> int:
    """The verb."""
    if arguments.words:
        raise usage(f"demo takes no {arguments.words[0]!r}: vrouter demo [--once]")
    missing = missing_privileges()
    if missing:
        mend = "grant them (to the container)" if os.geteuid() == 0 else "run it as root (sudo)"
        raise Failure(PRIVILEGE, f"the demo cannot run: {'; '.join(missing)}; {mend}", "EPERM")
    import uvloop

    stay = not arguments.has("once") and sys.stdout.isatty()
    try:
        return uvloop.run(_interruptible(stay))
    except PrivilegeError as error:
        raise Failure(PRIVILEGE, f"the demo cannot run: {error}", "EPERM") from None
    except OSError as error:
        raise Failure(RUNTIME, f"the demo broke off: {error.strerror or error}", "EIO") from None


def missing_privileges() -> list[str]:
    """What this process lacks, in words."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    missing = [f"{name} is missing ({why})" for bit, name, why in _CAPABILITIES if not effective >> bit & 1]
    if not os.path.exists("/dev/net/tun"):
        missing.append("/dev/net/tun is missing (modprobe tun, or give the container that device)")
    elif not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing.append("/dev/net/tun may not be opened (to make TAPs)")
    return missing


async def _interruptible(stay: bool) -> int:
    """The demonstration, with Ctrl-C and SIGTERM as its ends."""
    loop = asyncio.get_running_loop()
    story = asyncio.ensure_future(_Demo(stay).run())
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, story.cancel)
    try:
        return await story
    except asyncio.CancelledError:
        print("\ninterrupted; everything is removed again")
        return INTERRUPTED
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class _Demo:
    """One run: what it says, and what of it turned out as promised."""

    def __init__(self, stay: bool) -> None:
        self.stay = stay
        self.promises: list[bool] = []
        self.red, self.blue, self.green = (Tenant(n, f"vr{os.getpid()}-{n}") for n in ("red", "blue", "green"))
        self.admin = ""
        self.steps = 0

    async def run(self) -> int:
        """From nothing to nothing."""
        from vrouter.appliance import Router
        from vrouter.config import loads

        directory = tempfile.mkdtemp(prefix="vrouter-demo-")
        self.admin = os.path.join(directory, "vrouter.sock")
        try:
            text = resources.files("vrouter.cli").joinpath("demo.toml").read_text(encoding="utf-8")
            config = loads(text.replace("@PID@", str(os.getpid())).replace("@ADMIN@", self.admin), "demo.toml")
            began = time.monotonic()
            async with Router(config) as router:
                self.built(time.monotonic() - began)
                await self.show(router)
                status = self.verdict(time.monotonic() - began)
                if self.stay and not status:
                    await self.linger()
                return status
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    # -- the story ----------------------------------------------------------------------------------------------------

    def built(self, seconds: float) -> None:
        """What there is now."""
        print(f"vrouter {__version__}: three tenants that all use 10.0.1.0/24, each with a client 10.0.1.2\n")
        print(_DRAWING)
        print(f"\nMade in {seconds * 1000:.0f} ms: three TAPs, their clients in kernel namespaces of their own:")
        for tenant in (self.red, self.blue, self.green):
            print(f"  {tenant.name:6} kernel namespace {tenant.kernel_name}")
        print("Each client also has an address that is unique, 10.200.N.2/32, over which allowed traffic crosses.")

    async def show(self, router: Router) -> None:
        """Everything that is promised, tried."""
        self.step("The same address in three places: each client pings 10.0.1.1, which is its own router")
        for tenant in (self.red, self.blue, self.green):
            await self.ping(tenant, "10.0.1.1", 1)
        self.step("The routes that let red and blue talk: `netns` leads into the other namespace, which accepts it")
        await self.command("show", "routes", "-n", "red")
        await self.command("show", "netns")
        await self.command("route", "get", _BLUE, "-n", "red")
        self.step("Ping from red's client to blue's, and back the other way")
        await self.ping(self.red, _BLUE, 3)
        await self.ping(self.blue, _RED, 1)
        async with self.servers():
            self.step(f"UDP echo: red's client asks blue's at {_BLUE}:{ECHO_PORT}")
            await self.udp_echo()
            self.step(f"HTTP: red's client fetches http://{_BLUE}/ from blue's")
            await self.http()
        self.step("Green has a route into red as well, but red does not accept it: refused, counted, and answered")
        await self.command("route", "get", _RED, "-n", "green")
        before = router["green"].drops().get("CROSSING_DENIED", 0)
        await self.refused()
        await self.command("show", "drops", "-n", "green")
        counted = router["green"].drops().get("CROSSING_DENIED", 0) - before
        self.promise(counted >= 1, f"{counted} packet{'s' * (counted != 1)} of green dropped as CROSSING_DENIED")
        self.step("What crossed, and what did not")
        await self.command("show", "crossings")
        crossed = {(row["from"], row["to"]): row for row in router.stack.crossings()}
        self.promise(
            crossed["red", "blue"]["packets"] > 0
            and crossed["blue", "red"]["packets"] > 0
            and crossed["green", "red"]["packets"] == 0,
            "packets crossed between red and blue, and none from green",
        )

    def step(self, text: str) -> None:
        """A heading."""
        self.steps += 1
        print(f"\n[{self.steps}] {text}", flush=True)

    def promise(self, kept: bool, text: str) -> None:
        """Something that had to be so."""
        self.promises.append(kept)
        print(f"    {'ok' if kept else 'FAILED'}: {text}", flush=True)

    def typed(self, prompt: str, output: str) -> None:
        """A command and what it printed."""
        print(f"    {prompt}")
        for line in output.rstrip().splitlines():
            print(f"    | {line}".rstrip())
        sys.stdout.flush()

    def verdict(self, seconds: float) -> int:
        """The last line, and the status."""
        kept, total = sum(self.promises), len(self.promises)
        print(f"\n{kept} of {total} as promised, in {seconds:.1f} s.")
        return 0 if kept == total else RUNTIME

    # -- what is tried ------------------------------------------------------------------------------------------------

    async def ping(self, tenant: Tenant, to: str, count: int) -> None:
        """A ping that has to be answered each time."""
        outcome = await tenant.ping(to, count)
        replies = [line for line in outcome.output.splitlines() if "bytes from" in line]
        self.typed(f"{tenant.name}-client$ ping -c {count} {to}", "\n".join(replies) or outcome.output)
        self.promise(len(replies) == count, f"{count} of {count} answered" if len(replies) == count else "no reply")

    async def refused(self) -> None:
        """A ping that has to be refused with words."""
        outcome = await self.green.ping(_RED, 1)
        refusals = [line for line in outcome.output.splitlines() if "Packet filtered" in line]
        self.typed(f"green-client$ ping -c 1 {_RED}", "\n".join(refusals) or outcome.output)
        self.promise(outcome.status != 0 and bool(refusals), "administratively prohibited, said green's own router")

    @contextlib.asynccontextmanager
    async def servers(self) -> AsyncIterator[None]:
        """Blue's client serves UDP echo and HTTP."""
        loop = asyncio.get_running_loop()
        echo = await asyncio.to_thread(self.blue.udp, _BLUE, ECHO_PORT)
        transport, _ = await loop.create_datagram_endpoint(Echo, sock=echo)
        try:
            listening = await asyncio.to_thread(self.blue.tcp, _BLUE, HTTP_PORT)
            answer = functools.partial(answer_http, f"hello from blue's client, which is 10.0.1.2 and {_BLUE}\n")
            server = await asyncio.start_server(answer, sock=listening)
            try:
                yield
            finally:
                server.close()
                await server.wait_closed()
        finally:
            transport.close()

    async def udp_echo(self) -> None:
        """A datagram there and back."""
        sock = await asyncio.to_thread(self.red.udp, _RED, 0)
        question = b"is anybody there?"
        try:
            reply, origin, seconds = await ask(sock, (_BLUE, ECHO_PORT), question)
        except (OSError, TimeoutError) as error:
            self.promise(False, f"no echo: {error or 'nothing came back'}")
            return
        self.typed(
            f"red-client$ UDP {question.decode()!r} to {_BLUE}:{ECHO_PORT}", f"{reply.decode()!r} from {origin[0]}"
        )
        self.promise((reply, origin[0]) == (question, _BLUE), f"the same came back in {seconds * 1000:.2f} ms")

    async def http(self) -> None:
        """A page."""
        try:
            outcome = await self.red.fetch(_BLUE, HTTP_PORT, _RED)
        except (OSError, TimeoutError) as error:
            self.promise(False, f"no answer: {error or 'nothing came back'}")
            return
        self.typed(f"red-client$ curl http://{_BLUE}/", outcome.output)
        self.promise(outcome.status == 0 and "hello from blue" in outcome.output, "HTTP over the kernels' own TCP")

    async def command(self, *words: str) -> None:
        """A command of vrouter, as anybody may type it while this runs."""
        outcome = await run_here(sys.executable, "-m", "vrouter", *words, "--admin", self.admin)
        self.typed(f"$ vrouter {' '.join(words)}", outcome.output)
        if outcome.status:
            self.promise(False, f"`vrouter {' '.join(words)}` ended with status {outcome.status}")

    # -- on a terminal ------------------------------------------------------------------------------------------------

    async def linger(self) -> None:
        """Stay until Ctrl-C, which is then the proper end."""
        program = shlex.quote(sys.argv[0]) if os.path.basename(sys.argv[0]) == "vrouter" else "python -m vrouter"
        print("\nIt keeps running. Look around from another terminal:\n")
        print(f"  export VROUTER_ADMIN={shlex.quote(self.admin)}")
        for words in (
            "show devices", "show neighbors", "show crossings", "show drops -w", "capture any -n red",
            f"ping -n red {_BLUE}", "route get 10.200.1.2 -n green",
        ):  # fmt: skip
            print(f"  {program} {words}")
        if program_path("ip"):
            print(f"  ip netns exec {self.red.kernel_name} ping {_BLUE}")
            print(f"  ip netns exec {self.green.kernel_name} ping {_RED}")
        print("\nCtrl-C ends it and removes everything.", flush=True)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            print("\nThe end; everything is removed again.", flush=True)
