"""The parts of the results file on TCP: routed streams' verdicts, ends, goodput over bad wires, many connections."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.goodput import CONTROLS, CellSamples
from benchmarks.hosts import HostSamples
from benchmarks.sites import Site
from benchmarks.tables import MEGA, MICRO, Verdict, at_least, bold, compare, ratio, spread, table
from benchmarks.tcp_stages import TcpCosts
from benchmarks.traffic import Samples

Hosts = Sequence[tuple[Site, HostSamples]]
Cells = Sequence[tuple[Site, CellSamples]]
ROUTERS = ("Open vSwitch", "lwIP", "gVisor netstack")
ENDS = (("gVisor netstack", 1), ("lwIP", 1), ("PyTCP", 200))
WAYS = (("tcp_up", "→"), ("tcp_down", "←"))
BULKS = ("put", "get")


def routed_verdicts(sites: Sequence[tuple[Site, Samples]], reference: Site) -> list[Verdict]:
    """TCP from TAP to TAP beside who only copies frames, and beside other routers."""
    found = {site.name: samples for site, samples in sites}
    ours, copier = found["vrouter"], found[reference.name]
    rows = []
    for way, arrow in WAYS:
        mine: list[float] = getattr(ours, way)
        beside = [statistics.median(getattr(found[name], way)) for name in ROUTERS if _has(found.get(name), way)]
        rows += [
            at_least(f"TCP routed {arrow}, × the copier's rate", 3, ratio(mine, getattr(copier, way))),
            at_least(
                f"TCP routed {arrow}, × the best of {', '.join(ROUTERS)}",
                2,
                ratio(mine, [max(beside)] if beside else []),
                "" if beside else "each of them",
            ),
        ]
    return rows


def _has(samples: Samples | None, way: str) -> bool:
    return samples is not None and bool(getattr(samples, way))


# ----------------------------------------------------------------------------------------------------------------- ends


def host_verdicts(hosts: Hosts) -> list[Verdict]:
    """Ends beside each other."""
    found = {site.name: samples for site, samples in hosts if not site.error}
    ours, none = found.get("vrouter", HostSamples()), HostSamples()
    rows = [
        at_least(
            f"TCP {kind}, × {name}'s",
            least,
            ratio(getattr(ours, kind), getattr(found.get(name, none), kind)),
            "" if name in found else name,
            ".2f" if least == 1 else ".0f",
        )
        for name, least in ENDS
        for kind in BULKS
    ]
    trip = ratio(ours.p50, found.get("lwIP", none).p50)
    absent = "" if "lwIP" in found else "lwIP"
    rows.append(Verdict("64 bytes and back p50, × lwIP's", "≤ 3", trip, lambda value: value <= 3, ".2f", absent))
    return rows


def hosts_section(hosts: Hosts) -> str:
    """The table of ends."""
    reference = next((samples for site, samples in hosts if site.name == "lwIP"), HostSamples())
    rows = []
    for site, samples in hosts:
        if not samples.p99:
            why = f"*{site.error or _first(samples.errors)}*"
            rows.append([bold(site.name), site.note, why, *[""] * 6])
            continue
        cells = [bold(site.name), site.note]
        for kind in BULKS:
            values = getattr(samples, kind)
            cells += [spread(values, MEGA, 0 if statistics.median(values) > 100 * MEGA else 1)]
            cells += [compare(values, getattr(reference, kind))]
        cells += [spread(samples.p50, MICRO), compare(samples.p50, reference.p50), spread(samples.p99, MICRO)]
        rows.append(cells)
    head = ["end", "", "put Mbit/s", "ratio", "get Mbit/s", "ratio", "64 bytes and back p50 µs", "ratio", "p99 µs"]
    return f"""## Ends of TCP

One connection from the kernel's TCP to a host in a process on a TAP: bulk there (what was acknowledged) and back, then
requests one at a time. CUBIC on both sides; offloads as the host has them. Hosts on the last core, the client on the
first. A ratio is against lwIP.

{table(head, rows, 2)}"""


def _first(errors: Sequence[str]) -> str:
    return next(iter(errors), "not measured")


# -------------------------------------------------------------------------------------------------------------- goodput


def goodput_verdicts(cells: Cells) -> list[Verdict]:
    """Each cell beside the kernel."""
    return [at_least(f"goodput, {site.name}, × the kernel's", 0.85, samples.ratio("cubic")) for site, samples in cells]


def goodput_section(cells: Cells, seconds: float) -> str:
    """The table of cells."""
    rows = []
    for site, samples in cells:
        row = [site.name, site.note]
        for control in CONTROLS:
            for sender in ("vrouter", "kernel"):
                values = samples.bits.get((sender, control), ())
                row.append(spread(values, MEGA, 1) if values else f"*{site.error or _first(samples.errors)}*")
            found = samples.ratio(control)
            row.append("" if found is None else f"{found:.2f}")
        slow = f"{100 * samples.slow / samples.frames:.1f}" if samples.frames else ""
        rows.append([*row, slow])
    head = ["cell", "the wire"]
    for control in CONTROLS:
        head += [f"vrouter, {control}, Mbit/s", f"kernel, {control}", "ratio"]
    return f"""## Goodput over a bad wire

What arrives in {seconds:g} s at a receiver of the kernel's, from vrouter and from the kernel, over the same relay in
real time, which segments alone pass: a round has a seed, which both senders meet. The last column: frames of a hundred
that the relay moved more than 1 ms late, because something else had the processor.

{table([*head, "late"], rows, 2)}"""


# ---------------------------------------------------------------------------------------------------------- connections


def connection_verdicts(found: dict[str, float], idle: int, short: int) -> list[Verdict]:
    """Memory, and that nothing stays."""
    return [
        Verdict(f"{idle:,} idle connections, KiB an end", "< 6", found["kib"], lambda value: value < 6, ".2f"),
        Verdict(
            f"left of {idle + short:,} closed connections",
            "0",
            found["left"] + found["kept"],
            lambda value: value == 0,
            ".0f",
        ),
    ]


def connections_section(found: dict[str, float], idle: int, short: int) -> str:
    """The table of connections."""
    rows = [
        [f"KiB for an end of {idle:,} idle connections, both ends counted", f"{found['kib']:.2f}"],
        ["set up, a second", f"{found['opened']:,.0f}"],
        ["closed, a second", f"{found['closed']:,.0f}"],
        [f"of {short:,} short ones set up and closed, a second", f"{found['short']:,.0f}"],
        ["left of them all, in sockets", f"{found['left']:,.0f}"],
        ["the most in TIME-WAIT", f"{found['waiting']:,.0f}"],
        ["left of these after their time", f"{found['kept']:,.0f}"],
        ["growth of the process over the last three quarters of the short ones, KiB", f"{found['grown']:,.0f}"],
    ]
    return f"""## Many connections

In one process, between two namespaces: `create_server` and `create_connection` with a protocol that has no methods.
Both ends are here, so a connection is the work of two.

{table(["", ""], rows)}"""


# --------------------------------------------------------------------------------------------------------------- stages


def tcp_stages_section(costs: TcpCosts) -> str:
    """The table of TCP's stages."""
    rows = [
        [name, f"{once:,.0f}", f"{calls:.2f}", f"{once * calls:,.0f}"] for name, (once, calls) in costs.stages.items()
    ]
    rows.append(["what is left", "", "", f"{costs.between():,.0f}"])
    rows.append(["**whole way, and the ACK back**", "", "", f"**{costs.whole:,.0f}**"])
    head = ["stage", "once", "times", "each superframe"]
    return f"""## Profile: what a TCP superframe costs, in ns

From a socket to a socket of another namespace over a veth pair, in one process: sending, receiving, and the ACK that
comes of it, with the copying of the bytes. Each stage without the stages that it calls.

{table(head, rows)}"""
