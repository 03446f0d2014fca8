"""`python -m benchmarks`: the whole run, some parts of it, or with --smoke its results without times."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import full_table, routes, smoke, stages, startup, tcp_stages
from benchmarks.commands import CommandError, compiled, module, run
from benchmarks.goodput import CELLS, SENDERS, cells_up, measure_cells
from benchmarks.hosts import HostSamples, HostSite, measure_host, peer_hosts
from benchmarks.machine import preferred
from benchmarks.peers import peer_sites
from benchmarks.report import Results, text
from benchmarks.sites import CopierSite, KernelSite, Site, VrouterSite
from benchmarks.traffic import Samples, measure_ping, measure_streams, measure_udp

NAMESPACES = TAPS = 500
NAMESPACE_RUNS, KERNEL_RUNS = 9, 3
UDP_ROUNDS, UDP_SECONDS = 5, 1.0
PING_ROUNDS, PINGS_A_ROUND = 5, 200
STREAM_ROUNDS, STREAM_SECONDS = 5, 1
STARTS, IDLE_SECONDS = 9, 5
HOST_ROUNDS, HOST_SECONDS = 5, 1.0
CELL_SECONDS = 8.0
CELL_ROUNDS = {"cubic": 5, "bbr": 3}
IDLE_CONNECTIONS = SHORT_CONNECTIONS = 10_000

_Kind = TypeVar("_Kind")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="directory with the scripts of other peers")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the results file; without it they are printed")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; asserts results, never times")
    parser.add_argument("--parts", metavar="PART,…", help=f"some of {', '.join(PARTS)}; printed, never written")
    given = parser.parse_args()
    parts = list(PARTS) if given.parts is None else given.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("benchmarks: needs root and /dev/net/tun, for TAPs and kernel namespaces", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is removed then, too
    with compiled():
        if given.smoke:
            return smoke.main()
        results = _measure(given.peers, parts)
    if given.output is None or given.parts is not None:
        print(text(results))
    else:
        given.output.write_text(text(results), encoding="utf-8")
        print(f"==> {given.output}")
    return 0


def _measure(directory: Path | None, parts: Sequence[str]) -> Results:
    if directory is not None and not directory.is_dir():
        _say(f"no peers: there is no directory {directory}")
        directory = None
    results = Results(f"make bench{'' if directory else ', without peers'}")
    for name, part in PARTS.items():
        if name in parts:
            start = time.monotonic()
            part(results, directory)
            _say(f"{name}: {time.monotonic() - start:.0f} s")
    return results


# ---------------------------------------------------------------------------------------------------------------- parts


def _namespaces(results: Results, _: Path | None) -> None:
    results.namespaces_count, results.taps_count = NAMESPACES, TAPS
    with preferred():
        results.kernel_namespaces = _runs("kernel_namespaces", NAMESPACES, runs=KERNEL_RUNS)
        results.namespaces = _runs("namespaces", NAMESPACES, runs=NAMESPACE_RUNS)
        (results.taps,) = _runs("taps", TAPS)


def _stages(results: Results, _: Path | None) -> None:
    _say("stages")
    with preferred():
        results.costs = stages.measure()
        results.tcp_costs = tcp_stages.measure()


def _starts(results: Results, _: Path | None) -> None:
    _say(f"start: {STARTS} × with and without the kernel's ends")
    with preferred():
        results.starts = startup.measure(STARTS, IDLE_SECONDS)


def _routes(results: Results, _: Path | None) -> None:
    _say(f"routes: {full_table.IPV4:,} + {full_table.IPV6:,}")
    with preferred():
        results.tables = routes.measure()


def _connections(results: Results, _: Path | None) -> None:
    results.connections_idle, results.connections_short = IDLE_CONNECTIONS, SHORT_CONNECTIONS
    with preferred():
        (results.connections,) = _runs("connections", IDLE_CONNECTIONS, SHORT_CONNECTIONS)


def _routed(results: Results, directory: Path | None) -> None:
    """Bring up all sites, then measure each in turn, round by round."""
    peers = peer_sites(directory) if directory else []
    own: list[Site] = [CopierSite("asyncio")] if peers else [CopierSite("asyncio"), CopierSite("poll"), KernelSite()]
    found = [(site, Samples()) for site in (VrouterSite(), *peers, *own)]
    with ExitStack() as stack:
        _up(stack, [site for site, _ in found])
        small = [(site, samples) for site, samples in found if not site.streams_only]
        for number in range(UDP_ROUNDS):
            _round(small, number, "UDP", lambda site, samples: measure_udp(site, samples, UDP_SECONDS))
        for number in range(PING_ROUNDS):
            _round(small, number, "ping", lambda site, samples: measure_ping(site, samples, PINGS_A_ROUND))
        for number in range(STREAM_ROUNDS):
            _round(found, number, "streams", lambda site, samples: measure_streams(site, samples, STREAM_SECONDS))
    results.sites = found
    results.reference = next((site for site, _ in found[1:] if site.layer == "L2" and not site.error), found[1][0])


def _hosts(results: Results, directory: Path | None) -> None:
    """TCP's ends, in the same way."""
    found = [(site, HostSamples()) for site in (HostSite(), *(peer_hosts(directory) if directory else []))]
    with ExitStack() as stack:
        _up(stack, [site for site, _ in found])
        for number in range(HOST_ROUNDS):
            _round(found, number, "ends", lambda site, samples: measure_host(site, samples, HOST_SECONDS))
    results.hosts = found


def _goodput(results: Results, _: Path | None) -> None:
    """All cells at once, with either sender in turn, round by round."""
    with cells_up(CELLS, 0) as found:
        for site, _samples in found:
            _say(f"{site.name}: {site.error or 'up'}")
        for number in range(max(CELL_ROUNDS.values())):
            start = time.monotonic()
            for control, rounds in CELL_ROUNDS.items():
                for turn in range(len(SENDERS) if number < rounds else 0):
                    measure_cells(found, control, number, CELL_SECONDS, turn)
            _say(f"goodput, round {number + 1}: {time.monotonic() - start:.0f} s")
    results.cells, results.cell_seconds = [*found], CELL_SECONDS


PARTS: dict[str, Callable[[Results, Path | None], None]] = {
    "namespaces": _namespaces,
    "stages": _stages,  # meanwhile the kernel takes its namespaces apart
    "starts": _starts,
    "routes": _routes,
    "connections": _connections,
    "routed": _routed,
    "hosts": _hosts,
    "goodput": _goodput,
}


def _say(what: str) -> None:
    print(f"==> {what}", flush=True)


def _runs(name: str, *counts: int, runs: int = 1) -> list[dict[str, float]]:
    _say(f"{name}: {runs} × {', '.join(map(str, counts))}")
    return [json.loads(run([*module(name), *map(str, counts)], 120)) for _ in range(runs)]


def _up(stack: ExitStack, sites: Sequence[Site]) -> None:
    for number, site in enumerate(sites):
        stack.enter_context(site.up(number))
        _say(f"{site.name}: {site.error or 'up'}")


def _round(found: Sequence[tuple[Site, _Kind]], number: int, what: str, measure: Callable[[Any, _Kind], None]) -> None:
    """One round of one measurement over all sites that are up; each round begins with another one."""
    start = time.monotonic()
    first = number % len(found)
    for site, samples in [*found[first:], *found[:first]]:
        if site.error:
            continue
        try:
            measure(site, samples)
        except CommandError as error:
            samples.errors.append(f"{what}: {error}")  # type: ignore[attr-defined]  # every kind of samples has them
            _say(f"{site.name}, {what}: {error}")
    _say(f"{what}, round {number + 1}: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
