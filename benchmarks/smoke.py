"""The benchmarks in seconds: everything that they measure happens once, and is right; no time is judged.

What is asserted: every datagram of a fixed number arrives with its bytes, by each of the project's own sites; every
ping comes back; the router's counters say what passed, to the packet; each way through the stack ends with the bytes
that it should; every namespace and TAP that is made does its work. TCP: bulk both ways and requests with an end of our
own; a transfer by each sender over the worst wire; connections that come and go leave nothing.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

from benchmarks import routes, stages, startup, tcp_stages
from benchmarks.commands import module, run
from benchmarks.goodput import CELLS, CellSamples, cells_up, measure_cells
from benchmarks.hosts import HostSamples, HostSite, measure_host
from benchmarks.report import Results, text
from benchmarks.sites import CopierSite, KernelSite, Site, VrouterSite
from benchmarks.traffic import Samples, measure_ping, udp_run

DATAGRAMS, PINGS, NAMESPACES, TAPS = 500, 20, 20, 5
IPV4, IPV6 = 2000, 400
CONNECTIONS, SECONDS = 200, 0.5


def expect(what: str, found: object, wanted: object) -> None:
    """AssertionError unless they are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: {found}, not {wanted}")
    print(f"ok  {what}: {found}", flush=True)


def main() -> int:
    """Everything once; 0."""
    costs = stages.measure(loops=64, repeats=1)
    expect("ways through the stack", list(costs.ways), list(stages.WAYS))
    namespaces = json.loads(run([*module("namespaces"), str(NAMESPACES)], 30))
    expect("namespaces that get a datagram of their own", namespaces["answered"], NAMESPACES)
    kernel = json.loads(run([*module("kernel_namespaces"), str(NAMESPACES)], 30))
    expect("namespaces of the kernel", kernel["answered"], NAMESPACES)
    taps = json.loads(run([*module("taps"), str(TAPS)], 30))
    expect("frames read from and written to a TAP", (taps["read"], taps["written"]), (2560, 2560))
    starts = startup.measure(1, 0)
    expect("starts", [len(found.ready) for found in starts.values()], [1, 1])
    tables = routes.measure(IPV4, IPV6)
    expect("routes of a table", {min(table["ipv4"] // IPV4, table["ipv6"] // IPV6) for table in tables.values()}, {1})
    tcp_costs = tcp_stages.measure(steps=64, repeats=1)
    ones = [calls for _, calls in tcp_costs.stages.values()]
    expect(
        "a superframe's way in whole steps", [calls == int(calls) and calls > 0 for calls in ones], [True] * len(ones)
    )
    connections = json.loads(run([*module("connections"), str(CONNECTIONS), str(CONNECTIONS)], 60))
    expect("connections left", (connections["left"], connections["kept"]), (0, 0))
    hosts, cells = [host()], transfers()
    sites = traffic()
    results = Results(
        command="smoke",
        sites=sites,
        reference=sites[1][0],
        costs=costs,
        tcp_costs=tcp_costs,
        taps=taps,
        taps_count=TAPS,
        namespaces=[namespaces],
        kernel_namespaces=[kernel],
        namespaces_count=NAMESPACES,
        starts=starts,
        tables=tables,
        hosts=hosts,
        cells=cells,
        cell_seconds=SECONDS,
        connections=connections,
        connections_idle=CONNECTIONS,
        connections_short=CONNECTIONS,
    )
    report = text(results)
    names = [site.name for site, _ in (*sites, *hosts, *cells)]
    expect("sites in the results", [name in report for name in names], [True] * len(names))
    return 0


def host() -> tuple[Site, HostSamples]:
    """vrouter as an end of TCP."""
    site, samples = HostSite(), HostSamples()
    with site.up(0):
        expect("TCP's end, error", site.error, "")
        measure_host(site, samples, SECONDS)
    expect(
        "TCP there, back, and requests",
        [bool(found[0]) for found in (samples.put, samples.get, samples.p50)],
        [True] * 3,
    )
    return site, samples


def transfers() -> list[tuple[Site, CellSamples]]:
    """Either sender over one bad wire."""
    with cells_up([cell for cell in CELLS if cell.name == "near and bad"], 0) as found:
        for turn in range(2):
            measure_cells(found, "cubic", 1, SECONDS, turn)
    for site, samples in found:
        expect(f"{site.name}, errors", (site.error, samples.errors), ("", []))
        expect(f"{site.name}, senders", sorted(samples.bits), [("kernel", "cubic"), ("vrouter", "cubic")])
        expect(f"{site.name}, bytes arrived", [values[0] > 0 for values in samples.bits.values()], [True, True])
    return [*found]


def traffic() -> list[tuple[Site, Samples]]:
    """A fixed number of datagrams and pings by each of the project's own sites."""
    router = VrouterSite()
    sites: list[Site] = [router, CopierSite("asyncio"), CopierSite("poll"), KernelSite()]
    found = [(site, Samples()) for site in sites]
    with ExitStack() as stack:
        for number, (site, samples) in enumerate(found):
            stack.enter_context(site.up(number))
            expect(f"{site.name}, error", site.error, "")
            before = forwarded(router)
            sent, counted = udp_run(site, 5, DATAGRAMS)
            expect(f"{site.name}, datagrams sent and arrived", (sent["packets"], counted["packets"]), (DATAGRAMS,) * 2)
            if site is router:
                expect("datagrams that vrouter counts as forwarded", forwarded(router) - before, DATAGRAMS)
            measure_ping(site, samples, PINGS)
            expect(f"{site.name}, pings lost", samples.pings_lost, 0)
        expect("what vrouter dropped", router.show("drops"), [])
    return found


def forwarded(router: VrouterSite) -> int:
    """What the router counts as forwarded so far."""
    return sum(int(str(row["value"])) for row in router.show("stats") if row["name"] == "IpForwDatagrams")
