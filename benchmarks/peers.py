"""Sites that the scripts of a directory of peers bring up: `./NAME.sh up`, `down`, with names from the environment."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from benchmarks.commands import CommandError, run
from benchmarks.sites import Site

UP_SECONDS = 240  # the first time it installs packages and compiles
DOWN_SECONDS = 30


class PeerSite(Site):
    """One peer of the directory."""

    def __init__(self, directory: Path, script: str, name: str, layer: str, note: str = "", **env: str) -> None:
        super().__init__(name, layer, note)
        self.script = directory.resolve() / f"{script}.sh"
        self.env = env

    def build(self, stack: ExitStack) -> None:
        if not self.script.exists():
            raise CommandError("no script for it")
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vrouter-bench-")))
        env = {
            "PA": self.a,
            "PB": self.b,
            "PR": self.middle,
            "PEER_STATE": str(state),
            "PYTHON": sys.executable,
            "SCAPY_VENV": sys.prefix,
            "CGO_ENABLED": "0",
            **self.env,
        }
        stack.callback(self._down, env)
        run([str(self.script), "up"], UP_SECONDS, env=env)
        for file in state.glob("*/*.pid"):
            with suppress(ValueError):
                self.pids.append(int(file.read_text()))

    def _down(self, env: dict[str, str]) -> None:
        run([str(self.script), "down"], DOWN_SECONDS, env=env)


def peer_sites(directory: Path) -> list[Site]:
    """The peers that a router on TAPs compares with; the first is the reference."""

    def peer(script: str, name: str, layer: str, note: str = "", **env: str) -> Site:
        return PeerSite(directory, script, name, layer, note, **env)

    def large(script: str, name: str, layer: str, note: str, **env: str) -> Site:
        site = PeerSite(directory, script, name, layer, note, **env)
        site.streams_only = True
        return site

    return [
        peer("pytap", "pytap, asyncio", "L2", "Python that only copies frames", MODE="asyncio"),
        peer("pytap", "pytap, poll", "L2", "the same without asyncio", MODE="poll"),
        peer("tapcopy", "tapcopy, plain", "L2", "C that only copies frames", MODE="plain"),
        peer("kernel-route", "kernel, veth", "L3", "no offloads; forwards on the sender's core", PLAIN="1"),
        large("tapcopy", "tapcopy, vnet", "L2", "the same with superframes", MODE="vnet"),
        large("kernel-route", "kernel, veth, offloads", "L3", "superframes; forwards on the sender's core", PLAIN=""),
        peer("kernel-tap", "kernel, TAP", "L3", "one side by a TAP that socat carries"),
        peer("lwip", "lwIP", "L3", "C", MODE="route"),
        peer("netstack", "gVisor netstack", "L3", "Go", MODE="route"),
        peer("ovs", "Open vSwitch", "L3", "userspace datapath, AF_PACKET on veth", MODE="l3"),
        peer("scapy", "Scapy", "L3", "Python that parses every field"),
    ]
