"""The benchmarks in seconds: everything that they measure happens once, and is right; no time is judged.

What is asserted: every datagram of a fixed number arrives with its bytes, by each of the project's own sites; every
ping comes back; the router's counters say what passed, to the packet; each way through the stack ends with the bytes
that it should; every namespace and TAP that is made does its work.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

from benchmarks import routes, stages, startup
from benchmarks.commands import module, run
from benchmarks.report import Results, text
from benchmarks.sites import CopierSite, KernelSite, Site, VrouterSite
from benchmarks.traffic import Samples, measure_ping, udp_run

DATAGRAMS, PINGS, NAMESPACES, TAPS = 500, 20, 20, 5
IPV4, IPV6 = 2000, 400


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
    found = traffic()
    report = text(
        Results("smoke", found, found[1][0], costs, taps, TAPS, [namespaces], [kernel], NAMESPACES, starts, tables)
    )
    expect("sites in the results", [site.name in report for site, _ in found], [True] * len(found))
    return 0


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
