"""`vrouter demo`: three tenants with the same subnets, of IPv4 and of IPv6, on this machine.

    red and blue accept one another; green has routes into red, and red does not accept it.

The clients are given their IPv4 addresses; those of IPv6 they make of what vrouter advertises. Where the kernel has no
IPv6 for them, only IPv4 is shown, and that is said.

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
from vrouter.cli.demo_clients import (
    ECHO_PORT,
    HTTP_PORT,
    Echo,
    Tenant,
    answer_http,
    ask,
    program_path,
    run_here,
    shown,
    without_ipv6,
)
from vrouter.cli.failure import INTERRUPTED, PRIVILEGE, RUNTIME, Failure, usage
from vrouter.errors import PrivilegeError

if TYPE_CHECKING:
    from vrouter.appliance import Router

_CAPABILITIES: Final = ((12, "CAP_NET_ADMIN", "to make TAPs"), (21, "CAP_SYS_ADMIN", "to make kernel namespaces"))
_V4, _V6 = "10.0.1.1", "fd00:1::1"  # each router's

_DRAWING: Final = """\
   client of red                        vrouter, one process                      client of blue
  +----------------+       +---------------------------------------------+       +----------------+
  | eth0           |  TAP  | lan            crossing, declared       lan |  TAP  |           eth0 |
  | 10.0.1.2/24    +=======+ netns red <======= by both =====> netns blue+=======+    10.0.1.2/24 |
  | 10.200.1.2     |       | 10.0.1.1          sides            10.0.1.1 |       |     10.200.2.2 |
  | fd00:1::/64    | <- RA | fd00:1::1                         fd00:1::1 | RA -> |    fd00:1::/64 |
  +----------------+       |      ^                                      |       +----------------+
   client of green         |      X  red does not accept green           |
  +----------------+       |      |                                      |
  | 10.0.1.2/24    +=======+ netns green   10.0.1.1                      |
  | 10.200.3.2     |  TAP  | lan           fd00:1::1                     |
  | fd00:1::/64    | <- RA |                                             |
  +----------------+       +---------------------------------------------+"""
_DRAWING_IPV4: Final = """\
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
        names = ("red", "blue", "green")
        self.tenants = [Tenant(name, f"vr{os.getpid()}-{name}", number) for number, name in enumerate(names, 1)]
        self.red, self.blue, self.green = self.tenants
        self.families = [0, 1]  # positions in the addresses of a tenant: IPv4, and IPv6 where the kernel has it
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
                self.built(time.monotonic() - began, await asyncio.to_thread(without_ipv6, self.red))
                await self.show(router)
                status = self.verdict(time.monotonic() - began)
                if self.stay and not status:
                    await self.linger()
                return status
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    # -- the story ----------------------------------------------------------------------------------------------------

    def built(self, seconds: float, reason: str) -> None:
        """What there is now; `reason` is why there is no IPv6, if so."""
        both = " and fd00:1::/64" if not reason else ""
        print(f"vrouter {__version__}: three tenants that all use 10.0.1.0/24{both}, each with a client 10.0.1.2\n")
        print(_DRAWING if both else _DRAWING_IPV4)
        print(f"\nMade in {seconds * 1000:.0f} ms: three TAPs, their clients in kernel namespaces of their own:")
        for tenant in self.tenants:
            print(f"  {tenant.name:6} kernel namespace {tenant.kernel_name}")
        own = (
            "addresses of its own, 10.200.N.2 and one in fd00:200:N::/64"
            if both
            else "an address of its own, 10.200.N.2"
        )
        print(f"Each client also has {own}, over which allowed traffic crosses.")
        if reason:
            self.families = [0]
            print(f"\nIPv4 only: {reason}.")

    async def show(self, router: Router) -> None:
        """Everything that is promised, tried."""
        ipv6 = len(self.families) > 1
        self.step("The same address in three places: each client pings 10.0.1.1, which is its own router")
        for tenant in self.tenants:
            await self.ping(tenant, _V4, 1)
        if ipv6:
            self.step("IPv6, which nobody configured: the clients make their addresses of what vrouter advertises")
            await self.autoconfigured()
            self.step("The same address in three places again, fd00:1::1")
            for tenant in self.tenants:
                await self.ping(tenant, _V6, 1)
        self.step("The routes that let red and blue talk: `netns` leads into the other namespace, which accepts it")
        gets = [f"route get {blue} -n red" for blue in self.reach(self.blue)]
        await self.commands("show routes -n red", "show netns", *gets)
        self.step("Ping from red's client to blue's, and back the other way")
        for red, blue in zip(self.reach(self.red), self.reach(self.blue), strict=True):
            await self.ping(self.red, blue, 2)
            await self.ping(self.blue, red, 1)
        for family in self.families:
            red, blue = self.red.addresses[family], self.blue.addresses[family]
            async with self.servers(blue):
                self.step(f"UDP echo and HTTP over {('IPv4', 'IPv6')[family]}: red's client asks blue's, {blue}")
                await self.udp_echo(red, blue)
                await self.http(red, blue)
        self.step("Green has routes into red as well, but red does not accept it: refused, counted, and answered")
        await self.commands(f"route get {self.red.addresses[0]} -n green")
        before = router["green"].drops().get("CROSSING_DENIED", 0)
        for red in self.reach(self.red):
            await self.refused(red)
        await self.commands("show drops -n green")
        counted = router["green"].drops().get("CROSSING_DENIED", 0) - before
        wanted = len(self.families)
        self.promise(counted >= wanted, f"{counted} packet{'s' * (counted != 1)} of green dropped as CROSSING_DENIED")
        self.step("What crossed, and what did not")
        await self.commands("show crossings")
        crossed = {(row["from"], row["to"]): row for row in router.stack.crossings()}
        self.promise(
            crossed["red", "blue"]["packets"] > 0
            and crossed["blue", "red"]["packets"] > 0
            and crossed["green", "red"]["packets"] == 0,
            "packets crossed between red and blue, and none from green",
        )

    def reach(self, tenant: Tenant) -> list[str]:
        """The unique addresses of a tenant, one of each family that is shown."""
        return [tenant.addresses[family] for family in self.families]

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

    async def autoconfigured(self) -> None:
        """The clients have made their addresses, and found their router (RFC 4862, RFC 4861)."""
        await asyncio.gather(*(tenant.autoconfigure() for tenant in self.tenants))
        await self.commands("show adverts -n red")
        program = program_path("ip")
        for words in (("-br", "address", "show", "scope", "global"), ("route", "show", "default")) if program else ():
            outcome = await self.red.run(str(program), "-6", *words)
            self.typed(f"red-client$ ip -6 {' '.join(words)}", outcome.output)
        for tenant in self.tenants:
            made = tenant.addresses[1]
            self.promise(
                bool(made), f"{tenant.name}'s client is {made}" if made else f"{tenant.name}'s client has none"
            )
        if not all(tenant.addresses[1] for tenant in self.tenants):
            self.families = [0]

    async def ping(self, tenant: Tenant, to: str, count: int) -> None:
        """A ping that has to be answered each time."""
        outcome = await tenant.ping(to, count)
        replies = [line for line in outcome.output.splitlines() if "bytes from" in line]
        self.typed(f"{tenant.name}-client$ ping -c {count} {to}", "\n".join(replies) or outcome.output)
        self.promise(len(replies) == count, f"{count} of {count} answered" if len(replies) == count else "no reply")

    async def refused(self, to: str) -> None:
        """A ping that has to be refused with words."""
        outcome = await self.green.ping(to, 1)
        words = ("Packet filtered", "Administratively prohibited")
        refusals = [line for line in outcome.output.splitlines() if any(text in line for text in words)]
        self.typed(f"green-client$ ping -c 1 {to}", "\n".join(refusals) or outcome.output)
        self.promise(outcome.status != 0 and bool(refusals), "administratively prohibited, said green's own router")

    @contextlib.asynccontextmanager
    async def servers(self, blue: str) -> AsyncIterator[None]:
        """Blue's client serves UDP echo and HTTP at this address."""
        loop = asyncio.get_running_loop()
        echo = await asyncio.to_thread(self.blue.udp, blue, ECHO_PORT)
        transport, _ = await loop.create_datagram_endpoint(Echo, sock=echo)
        try:
            listening = await asyncio.to_thread(self.blue.tcp, blue, HTTP_PORT)
            answer = functools.partial(answer_http, f"hello from blue's client, which is {blue}\n")
            server = await asyncio.start_server(answer, sock=listening)
            try:
                yield
            finally:
                server.close()
                await server.wait_closed()
        finally:
            transport.close()

    async def udp_echo(self, red: str, blue: str) -> None:
        """A datagram there and back."""
        sock = await asyncio.to_thread(self.red.udp, red, 0)
        question = b"is anybody there?"
        try:
            reply, origin, seconds = await ask(sock, (blue, ECHO_PORT), question)
        except (OSError, TimeoutError) as error:
            self.promise(False, f"no echo: {error or 'nothing came back'}")
            return
        self.typed(
            f"red-client$ UDP {question.decode()!r} to {shown(blue, ECHO_PORT)}", f"{reply.decode()!r} from {origin[0]}"
        )
        self.promise(reply == question and origin[0] == blue, f"the same came back in {seconds * 1000:.2f} ms")

    async def http(self, red: str, blue: str) -> None:
        """A page."""
        try:
            outcome = await self.red.fetch(blue, HTTP_PORT, red)
        except (OSError, TimeoutError) as error:
            self.promise(False, f"no answer: {error or 'nothing came back'}")
            return
        self.typed(f"red-client$ curl 'http://{shown(blue)}/'", outcome.output)
        self.promise(outcome.status == 0 and "hello from blue" in outcome.output, "HTTP over the kernels' own TCP")

    async def commands(self, *lines: str) -> None:
        """Commands of vrouter, as anybody may type them while this runs."""
        program = (sys.executable, "-m", "vrouter", "--admin", self.admin)
        outcomes = await asyncio.gather(*(run_here(*program, *line.split()) for line in lines))
        for line, outcome in zip(lines, outcomes, strict=True):
            self.typed(f"$ vrouter {line}", outcome.output)
            if outcome.status:
                self.promise(False, f"`vrouter {line}` ended with status {outcome.status}")

    # -- on a terminal ------------------------------------------------------------------------------------------------

    async def linger(self) -> None:
        """Stay until Ctrl-C, which is then the proper end."""
        program = shlex.quote(sys.argv[0]) if os.path.basename(sys.argv[0]) == "vrouter" else "python -m vrouter"
        print("\nIt keeps running. Look around from another terminal:\n")
        print(f"  export VROUTER_ADMIN={shlex.quote(self.admin)}")
        for words in (
            "show devices", "show neighbors", "show crossings", "show drops -w", "capture any -n red",
            f"ping -n red {self.reach(self.blue)[-1]}", f"route get {self.reach(self.red)[-1]} -n green",
        ):  # fmt: skip
            print(f"  {program} {words}")
        if program_path("ip"):
            for address in self.reach(self.blue):
                print(f"  ip netns exec {self.red.kernel_name} ping {address}")
            print(f"  ip netns exec {self.green.kernel_name} ping {self.red.addresses[0]}")
        print("\nCtrl-C ends it and removes everything.", flush=True)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            print("\nThe end; everything is removed again.", flush=True)
