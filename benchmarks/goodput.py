"""Goodput over a bad wire, in real time: vrouter's TCP and the kernel's as the sender, to a receiver of the kernel's.

    kernel namespace a                                       kernel namespace b
    vrouter 10.0.1.10 ═══ TAP ═══╗
                                 bridge ═══ TAP ═══ relay ═══ TAP ═══ eth0 10.0.1.3, the receiver
    the kernel's own  10.0.1.2 ══╝

Either sender's superframes are segmented by the kernel in front of the relay, so all frames there have one MTU, and all
run the same program (`tcp_services`). The cells have sites of their own and run at the same time, for their rates are
small: every other one with vrouter's sender and the rest with the kernel's, then the other way round, by the same seed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from benchmarks.commands import CommandError, ip, module, placed, run, started
from benchmarks.hosts import client
from benchmarks.machine import CLIENT_CORE, PEER_CORE
from benchmarks.sites import Site
from benchmarks.tcp_services import ADDRESS, SOURCE, SOURCE_BBR

KERNEL, RECEIVER = "10.0.1.2", "10.0.1.3"
SENDERS: Final = {"vrouter": ADDRESS, "kernel": KERNEL}
CONTROLS: Final = {"cubic": SOURCE, "bbr": SOURCE_BBR}
_SETTINGS: Final = [
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
    "net.ipv4.tcp_no_metrics_save=1",
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One bad wire: Mbit/s, ms there and back, the queue in ms of that rate; of a hundred frames how many are lost,
    come late (and by how many ms), come twice."""

    name: str
    rate: float
    delay: float
    queue: float
    loss: float = 0.0
    late: float = 0.0
    lateness: float = 0.0
    duplicates: float = 0.0

    def words(self) -> list[str]:
        """The arguments of `relay`."""
        octets = self.queue * self.rate * 1000 / 8
        found = (self.rate, self.delay, octets, self.loss, self.late, self.lateness, self.duplicates)
        return [f"{value:g}" for value in found]

    def describe(self) -> str:
        """The numbers, for a table."""
        words = [f"{self.rate:g} Mbit/s", f"{self.delay:g} ms", f"queue {self.queue:g} ms"]
        words += [f"{self.loss:g} % lost"] if self.loss else []
        words += [f"{self.late:g} % late by {self.lateness:g} ms"] if self.late else []
        words += [f"{self.duplicates:g} % twice"] if self.duplicates else []
        return ", ".join(words)


CELLS: Final = (
    Cell("clean", 20, 20, 20),
    Cell("a little loss", 20, 20, 20, loss=0.1),
    Cell("loss", 20, 20, 20, loss=1),
    Cell("far", 20, 100, 100, loss=0.1),
    Cell("near and bad", 20, 5, 20, loss=5),
    Cell("disorder", 20, 20, 20, late=1, lateness=4, duplicates=0.5),
)


@dataclass(slots=True)
class CellSamples:
    """All rounds of one cell: bits a second by (sender, congestion control); frames that the relay moved too late, of
    all that it moved."""

    bits: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    slow: int = 0
    frames: int = 0
    errors: list[str] = field(default_factory=list)

    def ratio(self, control: str) -> float | None:
        """vrouter's goodput in terms of the kernel's, both medians."""
        ours, theirs = self.bits.get(("vrouter", control)), self.bits.get(("kernel", control))
        return statistics.median(ours) / statistics.median(theirs) if ours and theirs else None


class CellSite(Site):
    """The namespaces, the relay and both senders of one cell."""

    target = ADDRESS
    ends = "ab"

    def __init__(self, cell: Cell, relay_core: int) -> None:
        super().__init__(cell.name, "host", cell.describe())
        self.cell = cell
        self.relay_core = relay_core
        self._relay: subprocess.Popen[str] | None = None

    def build(self, stack: ExitStack) -> None:
        self.make_namespaces(stack)
        for netns in (self.a, self.b):
            run(placed(["sysctl", "-qw", *_SETTINGS], netns), 10)
        relay = placed([*module("relay"), "ra", "rb", *self.cell.words()], self.a, self.relay_core)
        self._relay = stack.enter_context(started(relay, ready="ready", asked=True)).child
        sender = placed([*module("tcp_services"), "vrouter", "va"], self.a)
        self.pids = [stack.enter_context(started(sender, ready="ready")).child.pid]
        ip("-n", self.a, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        for name in ("ra", "va"):
            ip("-n", self.a, "link", "set", name, "master", "br0", "up")
        ip("-n", self.a, "link", "set", "rb", "netns", self.b, "name", "eth0")
        for netns, device, address in ((self.a, "br0", KERNEL), (self.b, "eth0", RECEIVER)):
            ip("-n", netns, "link", "set", device, "up")
            ip("-n", netns, "address", "add", f"{address}/24", "dev", device)
        kernel = placed([*module("tcp_services"), "kernel", KERNEL], self.a)
        self.pids.append(stack.enter_context(started(kernel, ready="ready")).child.pid)

    def wait_until_passing(self) -> None:
        super().wait_until_passing()
        for address in SENDERS.values():  # neighbours are known afterwards
            run(placed(["ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", address], self.b), 10)

    def serve(self, stack: ExitStack) -> None:
        """Both senders listen already."""

    def reset(self, seed: int) -> dict[str, float]:
        """Begin anew with that seed; what the relay did since the last time."""
        relay = self._relay
        assert relay is not None
        assert relay.stdin is not None
        assert relay.stdout is not None
        relay.stdin.write(f"{seed}\n")
        relay.stdin.flush()
        found: dict[str, float] = json.loads(relay.stdout.readline() or "{}")
        if not found:
            raise CommandError("the relay has ended")
        return found

    def measure(self, samples: CellSamples, sender: str, control: str, seed: int, seconds: float) -> None:
        """One transfer."""
        try:
            self.reset(seed)
            found = client(self.b, SENDERS[sender], "get", CONTROLS[control], seconds)
            counts = self.reset(seed)
        except (CommandError, OSError) as error:
            samples.errors.append(f"{sender}, {control}: {error}")
            return
        samples.bits.setdefault((sender, control), []).append(found["bits"])
        samples.slow += int(counts["slow"])
        samples.frames += int(counts["there"] + counts["back"])


@contextmanager
def cells_up(cells: Sequence[Cell], first: int) -> Iterator[list[tuple[CellSite, CellSamples]]]:
    """The sites of the cells, with names numbered from `first` on; those that cannot be built have an ``error``."""
    with ExitStack() as stack:
        sites = [CellSite(cell, core) for cell, core in zip(cells, cycle((CLIENT_CORE, PEER_CORE)), strict=False)]
        for number, site in enumerate(sites):
            stack.enter_context(site.up(first + number))
        yield [(site, CellSamples()) for site in sites]


def measure_cells(
    found: Sequence[tuple[CellSite, CellSamples]], control: str, seed: int, seconds: float, turn: int
) -> None:
    """One transfer in each cell, all at once. The sender is another one in each `turn`, and in neighbouring cells."""
    names = list(SENDERS)
    with ThreadPoolExecutor(max(1, len(found))) as threads:
        for number, (site, samples) in enumerate(found):
            if not site.error:
                sender = names[(number // 2 + turn) % len(names)]
                threads.submit(site.measure, samples, sender, control, seed, seconds)
