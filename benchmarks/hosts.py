"""Ends of TCP: a host on a TAP, vrouter's and others', against the kernel's TCP in one kernel namespace.

    client namespace a:  eth0 10.0.1.2/24 ═══ TAP ═══ 10.0.1.10, a host in a process, with TCP services on 7, 9 and 19

Bulk there (put), bulk back (get), and 64-byte requests one at a time. vrouter's TAP has offloads, the others' as they
have them. The host runs on the last core, the client on the first.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.commands import ip, module, placed, run, started
from benchmarks.machine import CLIENT_CORE
from benchmarks.peers import PeerSite
from benchmarks.sites import Site
from benchmarks.tcp_services import ADDRESS, DISCARD, ECHO, SOURCE

CLIENT = "10.0.1.2"


@dataclass(slots=True)
class HostSamples:
    """All rounds of one host: bits a second, and seconds of a round trip."""

    put: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class HostSite(Site):
    """vrouter as a host: `tcp_services` on a TAP with offloads."""

    target = ADDRESS
    ends = "a"

    def __init__(self) -> None:
        super().__init__("vrouter", "host", "asyncio protocols on its sockets; superframes")

    def build(self, stack: ExitStack) -> None:
        self.make_namespaces(stack)
        words = placed([*module("tcp_services"), "vrouter", "eth0"], self.a)
        self.pids = [stack.enter_context(started(words, ready="ready")).child.pid]
        ip("-n", self.a, "link", "set", "eth0", "up")
        ip("-n", self.a, "address", "add", f"{CLIENT}/24", "dev", "eth0")

    def serve(self, stack: ExitStack) -> None:
        """Nothing more: it is the server itself."""


class PeerHost(PeerSite):
    """A host of the directory of peers, on the same address and ports."""

    target = ADDRESS

    def serve(self, stack: ExitStack) -> None:
        """Nothing more: it is the server itself."""


def peer_hosts(directory: Path) -> list[Site]:
    """The hosts that vrouter's TCP compares with."""
    return [
        PeerHost(directory, "netstack", "gVisor netstack", "host", "Go", MODE="host"),
        PeerHost(directory, "lwip", "lwIP", "host", "C", MODE="host"),
        PeerHost(directory, "pytcp", "PyTCP", "host", "Python, threads", MODE="host", PYTHON=""),
    ]


def measure_host(site: Site, samples: HostSamples, seconds: float) -> None:
    """One round: bulk there, bulk back, requests."""
    samples.put.append(client(site.a, site.target, "put", DISCARD, seconds)["bits"])
    samples.get.append(client(site.a, site.target, "get", SOURCE, seconds)["bits"])
    found = client(site.a, site.target, "rr", ECHO, seconds)
    samples.p50.append(found["p50"])
    samples.p99.append(found["p99"])


def client(netns: str, address: str, kind: str, port: int, seconds: float) -> dict[str, float]:
    """What `tcp_client` found there."""
    words = [*module("tcp_client"), address, kind, str(port), str(seconds)]
    found: dict[str, float] = json.loads(run(placed(words, netns, CLIENT_CORE), seconds + 15))
    return found
