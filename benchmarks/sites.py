"""A site: one router or copier between two kernel namespaces, which hold the clients.

    client namespace a                  the namespace of the peer            client namespace b
    eth0 10.0.1.2/24 ═══ veth or TAP ═══ what is measured ═══ veth or TAP ═══ eth0 10.0.2.2/24

All names carry the process id; whatever is made here goes with the context, also after a failure. The peer's processes
run on the last core, the clients on the first. What the kernel forwards by itself it does on the sender's core.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.commands import ROOT, CommandError, ip, module, placed, run, started, wait_for
from benchmarks.machine import CLIENT_CORE, PEER_CORE, pin

CLIENT, SERVER = "10.0.1.2", "10.0.2.2"
ROUTER_CONFIG = ROOT / "configs/router.toml"
START_SECONDS = 15


class Site:
    """One peer, up while its context lasts. ``a``, ``b``: the clients' kernel namespaces; ``pids``: its processes.

    ``target`` is the address that answers pings when it is up, ``ends`` tells which of its kernel namespaces it has;
    ``streams_only`` that small datagrams are not its affair.
    """

    target = SERVER
    ends = "abm"
    streams_only = False

    def __init__(self, name: str, layer: str, note: str = "") -> None:
        self.name = name
        self.layer = layer
        self.note = note
        self.error = ""
        self.pids: list[int] = []
        self.a = self.b = self.middle = ""

    def __repr__(self) -> str:
        return f"<Site {self.name}>"

    def name_namespaces(self, number: int) -> None:
        """Names for the kernel namespaces of the site with this number."""
        self.a, self.b, self.middle = (f"vb{os.getpid()}n{number}{end}" for end in "abm")

    @contextmanager
    def up(self, number: int) -> Iterator[Site]:
        """Bring it up. What prevents that becomes ``error``, so that the others are measured nevertheless."""
        self.name_namespaces(number)
        stack = ExitStack()
        try:
            try:
                self.build(stack)
                for pid in self.pids:
                    pin(pid, PEER_CORE)
                self.wait_until_passing()
                self.serve(stack)
            except (CommandError, OSError) as error:
                self.error = _without_paths(str(error))
            yield self
        finally:
            try:
                stack.close()
            except CommandError as error:  # no reason to lose what was measured
                print(f"{self.name}, taken down: {error}", file=sys.stderr)

    def build(self, stack: ExitStack) -> None:
        """Make everything; `stack` undoes it."""
        raise NotImplementedError(self.name)

    def serve(self, stack: ExitStack) -> None:
        """Start what the clients ask, in b."""
        iperf = placed(["iperf3", "--server", "--bind", SERVER], self.b, CLIENT_CORE)
        stack.enter_context(started(iperf))

    def make_namespaces(self, stack: ExitStack) -> None:
        """Its kernel namespaces, empty, each with ``lo`` up and without IPv6's chatter."""
        for name in (self.a, self.b, self.middle)[: len(self.ends)]:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            settings = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]
            run(placed(["sysctl", "-qw", *settings], name), 10)
            ip("-n", name, "link", "set", "lo", "up")

    def address_clients(self, gateways: bool) -> None:
        """Addresses of both clients' ``eth0``, and routes to each other: by a gateway, or as if it were one link."""
        for netns, address in ((self.a, CLIENT), (self.b, SERVER)):
            ip("-n", netns, "link", "set", "eth0", "up")
            ip("-n", netns, "address", "add", f"{address}/24", "dev", "eth0")
            way = ["via", address.removesuffix("2") + "1"] if gateways else ["dev", "eth0"]
            ip("-n", netns, "route", "add", "10.0.0.0/16", *way)

    def wait_until_passing(self) -> None:
        """Until a ping crosses, there and back: neighbours are known afterwards."""

        def passes() -> bool:
            try:
                run(placed(["ping", "-q", "-c", "1", "-W", "1", self.target], self.a), 5)
            except CommandError:
                return False
            return True

        wait_for(passes, 10, f"{self.name}: no ping crosses")


class KernelSite(Site):
    """The kernel's own forwarding over veth, without offloads: one frame of one MTU at a time, as on a TAP."""

    def __init__(self) -> None:
        super().__init__("kernel, veth", "L3", "no offloads; forwards on the sender's core")

    def build(self, stack: ExitStack) -> None:
        self.make_namespaces(stack)
        for netns, port, address in ((self.a, "m0", "10.0.1.1/24"), (self.b, "m1", "10.0.2.1/24")):
            ip("link", "add", "eth0", "netns", netns, "type", "veth", "peer", "name", port, "netns", self.middle)
            ip("-n", self.middle, "address", "add", address, "dev", port)
            ip("-n", self.middle, "link", "set", port, "up")
            for where, device in ((netns, "eth0"), (self.middle, port)):
                features = ["tso", "off", "gso", "off", "gro", "off", "tx", "off", "rx", "off"]
                run(placed(["ethtool", "-K", device, *features], where), 10)
        run(placed(["sysctl", "-qw", "net.ipv4.ip_forward=1"], self.middle), 10)
        self.address_clients(gateways=True)


class CopierSite(Site):
    """The project's own copier (`copier`)."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"copier, {kind}", "L2", "Python that only copies frames")
        self.kind = kind

    def build(self, stack: ExitStack) -> None:
        self.make_namespaces(stack)
        words = placed([*module("copier"), self.kind, "ta", "tb"], self.middle)
        self.pids = [stack.enter_context(started(words, ready="ready")).child.pid]
        for port, netns in (("ta", self.a), ("tb", self.b)):
            ip("-n", self.middle, "link", "set", port, "netns", netns, "name", "eth0")
        self.address_clients(gateways=False)


class VrouterSite(Site):
    """`vrouter run` with configs/router.toml, whose kernel namespaces are the clients'."""

    def __init__(self) -> None:
        super().__init__("vrouter", "L3", "superframes")
        self.admin = ""

    def build(self, stack: ExitStack) -> None:
        self.make_namespaces(stack)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vrouter-bench-")))
        child, self.admin, _ = stack.enter_context(run_vrouter(directory, self.a, self.b, self.middle, ipv6=False))
        self.pids = [child]

    def show(self, what: str) -> list[dict[str, object]]:
        """The records of `vrouter show`."""
        rows: list[dict[str, object]] = json.loads(
            run([*vrouter_words(), "--admin", self.admin, "show", what, "--json"], 10)
        )
        return rows


def vrouter_words() -> list[str]:
    """The installed program, as its users start it."""
    program = Path(sys.executable).with_name("vrouter")
    return [str(program)] if program.exists() else [sys.executable, "-m", "vrouter"]


def router_config(lan_host: str, wan_host: str, *, kernel_ends: bool = True, ipv6: bool = True) -> str:
    """configs/router.toml with other names for the kernel namespaces, without the kernel's ends, or without IPv6, which
    the peers' kernel namespaces have not either."""
    text = ROUTER_CONFIG.read_text(encoding="utf-8")
    if not ipv6:
        text = re.sub(r', (?:"fd00:[^"]*"|\{[^}]*"fd00:[^}]*\})', "", text)
        text = text.replace('"net.ipv6.conf.all.forwarding" = 1', '"net.ipv6.conf.default.disable_ipv6" = 1')
    if not kernel_ends:
        return re.sub(r"^\[netns\.root\.dev\.\w+\.host\]\n(?:\w.*\n)*", "", text, flags=re.MULTILINE)
    return text.replace('"lan-host"', f'"{lan_host}"').replace('"wan-host"', f'"{wan_host}"')


@contextmanager
def run_vrouter(
    directory: Path,
    lan_host: str,
    wan_host: str,
    netns: str,
    *,
    kernel_ends: bool = True,
    ipv6: bool = True,
    env: dict[str, str] | None = None,
) -> Iterator[tuple[int, str, int]]:
    """A router in the kernel namespace `netns`: its process id, its admin socket, and the ns that it took to be ready.

    Ready is when it says so to the service manager's socket, which is ours.
    """
    config, admin = directory / "router.toml", str(directory / "admin.sock")
    config.write_text(router_config(lan_host, wan_host, kernel_ends=kernel_ends, ipv6=ipv6), encoding="utf-8")
    words = placed([*vrouter_words(), "--admin", admin, "run", str(config)], netns)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify.sock"))
        manager.settimeout(0.05)
        start = time.monotonic_ns()
        with started(words, env={"NOTIFY_SOCKET": str(directory / "notify.sock")}) as running:
            while True:
                try:
                    if b"READY=1" in manager.recv(4096):
                        break
                except TimeoutError:
                    if running.child.poll() is not None:
                        raise CommandError(f"vrouter run: {running.complaint()}") from None
                    if time.monotonic_ns() - start > START_SECONDS * 10**9:
                        raise CommandError(f"vrouter run is not ready after {START_SECONDS} s") from None
            yield running.child.pid, admin, time.monotonic_ns() - start


def _without_paths(text: str) -> str:
    return re.sub(r"(/[\w.+-]+)+/", "", text)
