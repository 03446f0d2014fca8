"""The results file: tables of medians with their spread, ratios beside every absolute number, and the verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import gt

from benchmarks import machine, report_tcp
from benchmarks.goodput import CellSamples
from benchmarks.hosts import HostSamples
from benchmarks.sites import Site
from benchmarks.stages import WAYS, Costs
from benchmarks.startup import Starts
from benchmarks.tables import MEGA, MICRO, Verdict, bold, compare, percentile, ratio, spread, table
from benchmarks.tcp_stages import TcpCosts
from benchmarks.traffic import CONGESTION_CONTROL, Samples


@dataclass(slots=True)
class Results:
    """Everything that one run has measured; what it has not is None or empty, and has no part in the file."""

    command: str
    sites: list[tuple[Site, Samples]] = field(default_factory=list)
    reference: Site | None = None
    """The copier that ratios are against."""
    costs: Costs | None = None
    tcp_costs: TcpCosts | None = None
    taps: dict[str, float] = field(default_factory=dict)
    taps_count: int = 0
    namespaces: list[dict[str, float]] = field(default_factory=list)
    kernel_namespaces: list[dict[str, float]] = field(default_factory=list)
    namespaces_count: int = 0
    starts: dict[bool, Starts] = field(default_factory=dict)
    tables: dict[str, dict[str, float]] = field(default_factory=dict)
    """What `routes` found for the kernel and for the builds of vrouter."""
    hosts: list[tuple[Site, HostSamples]] = field(default_factory=list)
    cells: list[tuple[Site, CellSamples]] = field(default_factory=list)
    cell_seconds: float = 0
    connections: dict[str, float] = field(default_factory=dict)
    connections_idle: int = 0
    connections_short: int = 0


def text(results: Results) -> str:
    """The whole file."""
    parts = [_head(results), _verdicts(results)]
    if results.sites:
        parts += [_datagrams(results), _pings(results), _streams(results)]
    if results.hosts:
        parts.append(report_tcp.hosts_section(results.hosts))
    if results.cells:
        parts.append(report_tcp.goodput_section(results.cells, results.cell_seconds))
    if results.connections:
        counts = results.connections_idle, results.connections_short
        parts.append(report_tcp.connections_section(results.connections, *counts))
    if results.namespaces:
        parts.append(_namespaces(results))
    if results.starts:
        parts.append(_starts(results))
    if results.tables:
        parts.append(_routes(results))
    if results.costs is not None:
        parts.append(_stages(results, results.costs))
    if results.tcp_costs is not None:
        parts.append(report_tcp.tcp_stages_section(results.tcp_costs))
    return "\n".join(parts)


def _head(results: Results) -> str:
    facts = "\n".join(f"- {fact}" for fact in machine.facts())
    reference = "the copier" if results.reference is None else results.reference.name
    return f"""# Benchmark results

Written by `{results.command}`; do not edit. All rows of a table are of one run, measured in turn, round by round. A
number is the median of the rounds, with the least and the most in brackets. The machine is small, virtual and shared
with others, and anything that runs beside the benchmark halves a core: compare rows of one table, by their ratios, and
not absolute numbers of different runs. A ratio of routers is against *{reference}*, which only copies frames. Traffic
runs at ordinary priority; namespaces, starts, stages and connections go before other programs (nice {machine.NICE}).

{facts}
"""


# ------------------------------------------------------------------------------------------------------------- verdicts


def _verdicts(results: Results) -> str:
    rows: list[Verdict] = []
    if results.reference is not None:
        samples = next(samples for site, samples in results.sites if site.name == "vrouter")
        reference = next(samples for site, samples in results.sites if site is results.reference)
        rate = ratio(samples.udp_rate, reference.udp_rate)
        ping = ratio(samples.pings, reference.pings)
        rows += [
            Verdict("18-byte UDP routed, × the copier's rate", "≥ 0.15", rate, lambda found: found >= 0.15, ".2f"),
            Verdict("ping p50, × the copier's", "≤ 2", ping, lambda found: found <= 2, ".2f"),
            *report_tcp.routed_verdicts(results.sites, results.reference),
        ]
    if results.hosts:
        rows += report_tcp.host_verdicts(results.hosts)
    if results.cells:
        rows += report_tcp.goodput_verdicts(results.cells)
    if results.connections:
        counts = results.connections_idle, results.connections_short
        rows += report_tcp.connection_verdicts(results.connections, *counts)
    if results.namespaces:
        rows += _namespace_verdicts(results)
    if results.starts:
        rows += _start_verdicts(results)
    if results.tables:
        rows += _route_verdicts(results)
    return "## What has to hold\n\n" + table(["what", "wanted", "measured", "holds"], [row.cells() for row in rows])


def _namespace_verdicts(results: Results) -> list[Verdict]:
    each, kib = _medians(results.namespaces)
    kernel = _medians(results.kernel_namespaces)[0]
    made = each / kernel if kernel else None
    return [
        Verdict("a namespace made, µs", "≤ 100", each / 1000, lambda found: found <= 100, ".0f"),
        Verdict("a namespace made, × the kernel's", "≤ 0.6", made, lambda found: found <= 0.6, ".2f"),
        Verdict("a namespace made, KiB", "≤ 40", kib, lambda found: found <= 40, ".1f"),
    ]


def _start_verdicts(results: Results) -> list[Verdict]:
    with_ends, without = results.starts[True], results.starts[False]
    return [
        Verdict("start to ready with the kernel's ends, ms", "< 600", _ms(with_ends), lambda found: found < 600, ".0f"),
        Verdict("start to ready without, ms", "< 350", _ms(without), lambda found: found < 350, ".0f"),
        Verdict("resident with the kernel's ends, MiB", "< 70", _most(with_ends.mib), lambda found: found < 70, ".1f"),
        Verdict("resident without, MiB", "< 50", _most(without.mib), lambda found: found < 50, ".1f"),
        Verdict("idle, % of a core", "< 1", _idle(results), lambda found: found < 1, ".2f"),
    ]


def _ms(starts: Starts) -> float | None:
    return statistics.median(starts.ready) * 1000 if starts.ready else None


def _most(values: Sequence[float]) -> float | None:
    return max(values, default=None)


def _idle(results: Results) -> float | None:
    return _most([100 * value for starts in results.starts.values() for value in starts.idle])


def _medians(runs: Sequence[dict[str, float]]) -> tuple[float, float]:
    return statistics.median(run["ns_each"] for run in runs), statistics.median(run["kib_each"] for run in runs)


# -------------------------------------------------------------------------------------------------------------- traffic


def _rows(
    results: Results, cells: Callable[[Samples, Samples], list[str]], width: int, streams: bool = False
) -> list[list[str]]:
    reference = next(samples for site, samples in results.sites if site is results.reference)
    rows = []
    for site, samples in results.sites:
        if site.streams_only and not streams:
            continue
        try:
            found = cells(samples, reference)
        except (statistics.StatisticsError, ValueError):  # nothing was measured
            why = site.error or next(iter(samples.errors), "not measured")
            found = [f"*{why}*"] + [""] * (width - 1)
        rows.append([bold(site.name), site.layer, site.note, *found])
    return rows


def _datagrams(results: Results) -> str:
    def cells(samples: Samples, reference: Samples) -> list[str]:
        rate = spread(samples.udp_rate)
        own = [samples.user_seconds, samples.system_seconds]
        costs = [f"{statistics.median(values) / MICRO:.1f}" if values else "in the kernel" for values in own]
        return [rate, compare(samples.udp_rate, reference.udp_rate), *costs]

    head = ["peer", "", "what", "datagrams/s", "ratio", "user µs", "system µs"]
    return f"""## 18-byte UDP routed

One sender as fast as it can, one receiver; those that arrive. Peers on the last core, clients on the first; the bytes
of every datagram that arrives are compared. User and system: processor time of the peer's processes for each datagram.
Above the copiers' rate the clients' core is the limit, not the peer.

{table(head, _rows(results, cells, 4), 3)}"""


def _pings(results: Results) -> str:
    def cells(samples: Samples, reference: Samples) -> list[str]:
        p50, p99 = statistics.median(samples.pings), percentile(samples.pings, 99)
        count = len(samples.pings) + samples.pings_lost
        rounds = [value / MICRO for value in samples.ping_medians]
        return [
            f"{p50 / MICRO:,.0f} ({min(rounds):,.0f} – {max(rounds):,.0f})",
            compare(samples.pings, reference.pings),
            f"{p99 / MICRO:,.0f}",
            f"{samples.pings_lost} of {count}",
        ]

    head = ["peer", "", "what", "p50 µs (medians of rounds)", "ratio", "p99 µs", "lost"]
    return f"""## Ping

One after the other, 2 ms apart, so that what is measured is mostly how fast a sleeping process wakes.

{table(head, _rows(results, cells, 4), 3)}"""


def _streams(results: Results) -> str:
    def cells(samples: Samples, reference: Samples) -> list[str]:
        found: list[str] = []
        for name in ("tcp_up", "tcp_down", "udp_stream"):
            ours, theirs = getattr(samples, name), getattr(reference, name)
            found += [spread(ours, MEGA), compare(ours, theirs)]
        return found

    head = ["peer", "", "what", "TCP → Mbit/s", "ratio", "TCP ← Mbit/s", "ratio", "UDP → Mbit/s", "ratio"]
    return f"""## Streams

iperf3, one stream, congestion control {CONGESTION_CONTROL}; UDP with 1,448 bytes as fast as it can, what arrives.
Superframes where it says so; all others take one frame of one MTU at a time.

{table(head, _rows(results, cells, 6, streams=True), 3)}"""


# ------------------------------------------------------------------------------------------------ namespaces, starting


def _namespaces(results: Results) -> str:
    rows = []
    kernel = _medians(results.kernel_namespaces)[0]
    for name, runs in (("vrouter", results.namespaces), ("kernel", results.kernel_namespaces)):
        times = [run["ns_each"] for run in runs]
        kib = [run["kib_each"] for run in runs]
        rows.append([name, spread(times, 1000), f"{statistics.median(times) / kernel:.2f}", spread(kib, 1, 1)])
    times_made = len(results.namespaces)
    opening, closing = results.taps["open_each"] / 1e6, results.taps["close_each"] / 1e6
    return f"""## {results.namespaces_count} namespaces

Each with `lo`, one end of a veth pair, the same address and a UDP socket on the same port; {times_made} runs, each in a
process of its own. The kernel's by unshare(2) and netlink, the fewest system calls that do it. Memory is resident
memory here, and memory that the kernel itself uses there.

{table(["", "µs each", "ratio to the kernel", "KiB each"], rows)}
TAPs apart, {results.taps_count} of them: {opening:.2f} ms each to open and set up, {closing:.2f} ms each to remove and
close all together.
"""


def _starts(results: Results) -> str:
    rows = []
    for kernel_ends, name in ((True, "with the kernel's ends set up"), (False, "without")):
        starts = results.starts[kernel_ends]
        if not starts.ready:
            rows.append([name, "*not measured*", "", "", ""])
            continue
        idle = f"{100 * max(starts.idle):.2f}" if starts.idle else ""
        rows.append([name, spread(starts.ready, 0.001), spread(starts.cpu, 0.001), spread(starts.mib, 1, 1), idle])
    return f"""## Start

`vrouter run` with configs/router.toml, from the start of the process to its readiness notification; with the kernel's
ends it makes and sets up two kernel namespaces as well. Python's bytecode is there, as after an installation.

{table(["", "ready after ms", "of it processor ms", "resident MiB", "idle, % of a core"], rows)}"""


# --------------------------------------------------------------------------------------------------------------- routes


def _route_verdicts(results: Results) -> list[Verdict]:
    """Of each build: the bounds that hold for both, and that of its own lookups."""
    rows: list[Verdict] = []
    for kind, most in (("pure", 3000), ("compiled", 300)):
        found = results.tables.get(kind)
        of = {} if found is None else found
        hold = None if found is None else 1000 * max(found["load_hold"], found["replace_hold"])
        lookup = None if found is None else max(found["lookup4"], found["lookup6"])
        rows += [
            Verdict(f"full table loaded, {kind}, s", "< 10", of.get("load"), lambda value: value < 10, ".1f"),
            Verdict(f"the loop held by it, {kind}, ms", "< 50", hold, lambda value: value < 50, ".0f"),
            Verdict(f"resident with it, {kind}, MiB", "< 400", of.get("loaded"), lambda value: value < 400, ".0f"),
            Verdict(
                f"most while it is replaced, {kind}, MiB", "< 700", of.get("replacing"), lambda mib: mib < 700, ".0f"
            ),
            Verdict(f"lookup in it, {kind}, ns", f"< {most:,}", lookup, partial(gt, most), ",.0f"),
        ]
    return rows


def _routes(results: Results) -> str:
    rows = []
    kernel = results.tables["kernel"]
    for kind, name in (
        ("compiled", "**vrouter, compiled**"),
        ("pure", "**vrouter, pure Python**"),
        ("kernel", "kernel"),
    ):
        found = results.tables.get(kind)
        if found is None:
            rows.append([name, "*not built*", "", "", "", "", "", "", ""])
            continue
        cells = [f"{found['load']:.1f}", f"{found['load'] / kernel['load']:.2f}"]
        if kind == "kernel":
            rows.append([name, *cells, "", "", "", "", "", ""])
            continue
        cells += [f"{1000 * found['load_hold']:.0f}", f"{found['loaded']:.0f}"]
        cells += [f"{found['replace']:.1f}", f"{1000 * found['replace_hold']:.0f}", f"{found['replacing']:.0f}"]
        rows.append([name, *cells, f"{found['lookup4']:,.0f} / {found['lookup6']:,.0f}"])
    head = [
        "", "load s", "ratio to the kernel", "longest hold ms", "MiB", "replace s", "longest hold ms", "most MiB",
        "lookup ns, IPv4 / IPv6",
    ]  # fmt: skip
    counts = f"{kernel['ipv4'] - 1:,.0f} IPv4 and {kernel['ipv6'] - 1:,.0f} IPv6 routes"
    return f"""## A full table

About {counts}, mixed in lengths as the Internet's, from a file of lines as for `ip -batch`; the kernel's by that very
command, in a namespace of its own. A lookup is one call from Python for a random address that has a route; nothing is
cached. Memory is all that is resident in the process.

{table(head, rows)}"""


# --------------------------------------------------------------------------------------------------------------- stages


def _stages(results: Results, costs: Costs) -> str:
    rows = []
    for stage in costs.stages:
        times = [stage.times.get(way, 0) for way in WAYS]
        cells = [f"{stage.ns * count:,.0f}" if count else "" for count in times]
        rows.append([stage.name, f"{stage.ns:,.0f}", *cells])
    rows.append(["the pipeline's steps between them", "", *(f"{costs.between(way):,.0f}" for way in WAYS)])
    rows.append(["**whole way through the stack**", "", *(f"**{costs.ways[way]:,.0f}**" for way in WAYS)])
    edges = [(size, cost - costs.ways["forward"]) for size, cost in costs.edge.items()]
    for size, cost in edges:
        what = "driver, a frame alone" if size == 1 else f"driver, in bursts of {size}"
        rows.append([what, f"{cost:,.0f}", *([f"{cost:,.0f}"] + [""] * (len(WAYS) - 1))])
    taps = results.taps
    for what, name in (("TAP, read of a frame", "read_each"), ("TAP, write of a frame", "write_each")) if taps else ():
        ns = taps[name]
        rows.append([what, f"{ns:,.0f}", *([f"{ns:,.0f}"] + [""] * (len(WAYS) - 1))])
    return f"""## Profile: what a packet costs, in ns

The least of many runs, in one process and without TAPs. Each stage called by itself with what it has on that way, an
18-byte datagram (or ping) from one host to: another (forward), a socket here (deliver), our own address (ping), a host
behind a route short-cut, a host behind a veth pair. A cell is the stage's cost times how often the way has it.
Writing a frame includes the kernel's own way up to a socket.

{table(["stage", "once", *WAYS], rows)}"""
