"""`python -m benchmarks`: the whole run, or with --smoke its results without times."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import routes, smoke, stages, startup
from benchmarks.commands import CommandError, compiled, module, run
from benchmarks.machine import preferred
from benchmarks.peers import peer_sites
from benchmarks.report import Results, text
from benchmarks.sites import CopierSite, KernelSite, Site, VrouterSite
from benchmarks.traffic import Samples, measure_ping, measure_streams, measure_udp

NAMESPACES = TAPS = 500
NAMESPACE_RUNS, KERNEL_RUNS = 9, 3
UDP_ROUNDS, UDP_SECONDS = 5, 1.5
PING_ROUNDS, PINGS_A_ROUND = 5, 200
STREAM_ROUNDS, STREAM_SECONDS = 3, 1
STARTS, IDLE_SECONDS = 9, 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="directory with the scripts of other peers")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the results file; without it they are printed")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; asserts results, never times")
    given = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("benchmarks: needs root and /dev/net/tun, for TAPs and kernel namespaces", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is removed then, too
    with compiled():
        if given.smoke:
            return smoke.main()
        results = _measure(given.peers)
    if given.output is None:
        print(text(results))
    else:
        given.output.write_text(text(results), encoding="utf-8")
        print(f"==> {given.output}")
    return 0


def _measure(directory: Path | None) -> Results:
    peers = _peers(directory)
    command = f"make bench{'' if peers else ', without peers'}"
    with preferred():
        kernel_namespaces = _runs("kernel_namespaces", NAMESPACES, KERNEL_RUNS)
        namespaces = _runs("namespaces", NAMESPACES, NAMESPACE_RUNS)
        costs = _stages()  # meanwhile the kernel takes its namespaces apart
        starts = _starts()
        (taps,) = _runs("taps", TAPS, 1)
        tables = _routes()
    sites = _traffic(peers)
    return Results(
        command=command,
        sites=sites,
        reference=next((site for site, _ in sites[1:] if site.layer == "L2" and not site.error), sites[1][0]),
        costs=costs,
        taps=taps,
        taps_count=TAPS,
        namespaces=namespaces,
        kernel_namespaces=kernel_namespaces,
        namespaces_count=NAMESPACES,
        starts=starts,
        tables=tables,
    )


def _peers(directory: Path | None) -> list[Site]:
    if directory is not None and directory.is_dir():
        return peer_sites(directory)
    if directory is not None:
        _say(f"no peers: there is no directory {directory}")
    return []


def _say(what: str) -> None:
    print(f"==> {what}", flush=True)


def _runs(name: str, count: int, runs: int) -> list[dict[str, float]]:
    _say(f"{name}: {runs} × {count}")
    return [json.loads(run([*module(name), str(count)], 120)) for _ in range(runs)]


def _starts() -> dict[bool, startup.Starts]:
    _say(f"start: {STARTS} × with and without the kernel's ends")
    return startup.measure(STARTS, IDLE_SECONDS)


def _routes() -> dict[str, dict[str, float]]:
    _say(f"routes: {routes.IPV4:,} + {routes.IPV6:,}")
    return routes.measure()


def _stages() -> stages.Costs:
    _say("stages")
    return stages.measure()


def _traffic(peers: list[Site]) -> list[tuple[Site, Samples]]:
    """Bring up all sites, then measure each in turn, round by round."""
    own: list[Site] = [CopierSite("asyncio")] if peers else [CopierSite("asyncio"), CopierSite("poll"), KernelSite()]
    sites: list[Site] = [VrouterSite(), *peers, *own]
    found = [(site, Samples()) for site in sites]
    with ExitStack() as stack:
        for number, site in enumerate(sites):
            stack.enter_context(site.up(number))
            _say(f"{site.name}: {site.error or 'up'}")
        for number in range(UDP_ROUNDS):
            _round(found, number, "UDP", lambda site, samples: measure_udp(site, samples, UDP_SECONDS))
        for number in range(PING_ROUNDS):
            _round(found, number, "ping", lambda site, samples: measure_ping(site, samples, PINGS_A_ROUND))
        for number in range(STREAM_ROUNDS):
            _round(found, number, "streams", lambda site, samples: measure_streams(site, samples, STREAM_SECONDS))
    return found


def _round(found: list[tuple[Site, Samples]], number: int, what: str, measure: Callable[[Site, Samples], None]) -> None:
    """One round of one measurement over all sites that are up; each round begins with another one."""
    start = time.monotonic()
    for site, samples in found[number % len(found) :] + found[: number % len(found)]:
        if site.error:
            continue
        try:
            measure(site, samples)
        except CommandError as error:
            samples.errors.append(f"{what}: {error}")
            _say(f"{site.name}, {what}: {error}")
    _say(f"{what}, round {number + 1}: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
