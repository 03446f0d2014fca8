"""Metrics in Prometheus's text format, written when they are asked for: nothing is counted for them alone.

Drops are shown where they are not zero; everything else is always there. Between namespaces the loop may do something
else: a router with hundreds of them keeps routing while its metrics are written.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vrouter import __version__, records
from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.l4 import listing

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call

_ROWS_PER_TURN: Final = 500
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Sample = tuple[dict[str, Any], float | int]


class Family(NamedTuple):
    """One metric: its name, type and meaning."""

    name: str
    kind: str
    text: str


def _counted(router: Router, rows: Iterable[dict[str, Any]], *keys: str) -> Iterator[Sample]:
    for values, count in Counter(tuple(row[key] for key in keys) for row in rows).items():
        yield dict(zip(keys, values, strict=True)), count


def families(router: Router) -> Iterator[tuple[Family, Iterable[Sample]]]:
    """Every metric with its samples."""
    yield (
        Family("vrouter_info", "gauge", "The version that runs."),
        [({"version": __version__, "python": platform.python_version()}, 1)],
    )
    yield Family("vrouter_ready", "gauge", "1 when every configured device is open."), [({}, int(router.ready))]
    yield Family("vrouter_namespaces", "gauge", "Namespaces."), [({}, len(router.stack.namespaces))]
    devices = records.devices(router)
    for name, kind, text, column in _DEVICE:
        samples = (({"netns": row["netns"], "dev": row["dev"]}, row[column]) for row in devices)
        yield Family(f"vrouter_device_{name}", kind, text), samples
    states = (({"netns": row["netns"], "dev": row["dev"]}, int(row["state"] == "up")) for row in devices)
    yield Family("vrouter_device_up", "gauge", "1 when the device is up and has its carrier."), states
    drops = (
        ({"netns": row["netns"], "dev": row["dev"] or "", "reason": row["reason"]}, row["count"])
        for row in records.drops(router)
    )
    yield Family("vrouter_drops_total", "counter", "Packets dropped, by reason."), drops
    crossings = records.crossings(router)
    for name, column, text in _CROSSING:
        samples = (({"from": row["from"], "to": row["to"], "kind": row["kind"]}, row[column]) for row in crossings)
        yield Family(f"vrouter_crossing_{name}_total", "counter", text), samples
    yield from _tables(router)
    yield (
        Family("vrouter_addresses", "gauge", "Addresses, by what became of conflict detection."),
        _counted(router, records.addresses(router), "netns", "family", "state"),
    )
    yield (
        Family("vrouter_neighbors", "gauge", "Neighbours, by state."),
        _counted(router, records.neighbors(router), "netns", "state"),
    )
    yield (
        Family("vrouter_learned_routers", "gauge", "Default routers that were learned, by state."),
        _counted(router, records.routers(router), "netns", "dev", "state"),
    )
    yield (
        Family("vrouter_sockets", "gauge", "Bound sockets, by protocol."),
        (
            ({"netns": path, "proto": proto}, count)
            for path, ns in router.stack.namespaces.items()
            for proto, count in listing.counts(ns).items()
        ),
    )
    yield from _bridges(router)
    stats = (({"netns": row["netns"], "name": row["name"]}, row["value"]) for row in records.stats(router))
    yield Family("vrouter_stat_total", "counter", "Counters under Linux's SNMP names."), stats
    yield from _process()


def _tables(router: Router) -> Iterator[tuple[Family, Iterable[Sample]]]:
    """How much there is in the tables of namespaces: asked for their size, never for their rows."""
    namespaces = router.stack.namespaces
    ips = [
        ({"netns": path, "family": _FAMILIES[ip.family]}, ip) for path, ns in namespaces.items() for ip in ns.families()
    ]
    yield (
        Family("vrouter_routes", "gauge", "Routes of the main table."),
        ((labels, len(ip.main)) for labels, ip in ips),
    )
    yield (
        Family("vrouter_routes_of_all_tables", "gauge", "Routes of all tables together."),
        ((labels, sum(map(len, ip.tables.values()))) for labels, ip in ips),
    )
    yield (
        Family("vrouter_rules", "gauge", "Rules, the three that are always there included."),
        _counted(router, records.rules(router), "netns", "family"),
    )
    yield (
        Family("vrouter_nexthops", "gauge", "Next-hop objects."),
        _counted(router, records.nexthops(router), "netns"),
    )
    yield (
        Family("vrouter_groups", "gauge", "Groups that the namespace is a member of, at all of its devices."),
        _counted(router, records.groups(router), "netns"),
    )
    yield (
        Family("vrouter_multicast_routes", "gauge", "Multicast routes, by who made them."),
        _counted(router, records.mroutes(router), "netns", "proto"),
    )


def _bridges(router: Router) -> Iterator[tuple[Family, Iterable[Sample]]]:
    bridges = [
        ({"netns": path, "bridge": bridge.dev.name}, bridge)
        for path, ns in router.stack.namespaces.items()
        for bridge in ns.bridges or ()
    ]
    yield (
        Family("vrouter_bridge_fdb_entries", "gauge", "Stations that a bridge knows of."),
        ((labels, sum(map(len, bridge.fdb.tables.values()))) for labels, bridge in bridges),
    )
    yield (
        Family("vrouter_bridge_topology_changes_total", "counter", "Topology changes that a spanning tree saw."),
        ((labels, 0 if bridge.stp is None else bridge.stp.changes) for labels, bridge in bridges),
    )
    yield (
        Family("vrouter_bridge_port_forwarding", "gauge", "1 when the port of a bridge forwards."),
        (
            ({**labels, "dev": port.dev.name}, int(port.state == "forwarding"))
            for labels, bridge in bridges
            for port in bridge.ports.values()
        ),
    )


_FAMILIES: Final = {V4: "inet", V6: "inet6"}
_DEVICE: Final = (
    ("receive_packets_total", "counter", "Packets that came in.", "rx_packets"),
    ("transmit_packets_total", "counter", "Packets that went out.", "tx_packets"),
    ("receive_bytes_total", "counter", "Bytes that came in.", "rx_bytes"),
    ("transmit_bytes_total", "counter", "Bytes that went out.", "tx_bytes"),
    ("mtu_bytes", "gauge", "The MTU.", "mtu"),
)
_CROSSING: Final = (
    ("packets", "packets", "Packets that changed namespace."),
    ("bytes", "bytes", "Bytes that changed namespace."),
    ("denied", "denied", "Packets that were not let in."),
)


def _process() -> Iterator[tuple[Family, list[Sample]]]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    yield Family("process_cpu_seconds_total", "counter", "CPU time in seconds."), [({}, round(seconds, 3))]
    with open("/proc/self/statm", "rb") as file:
        pages = int(file.read().split()[1])
    yield (
        Family("process_resident_memory_bytes", "gauge", "Resident memory."),
        [({}, pages * os.sysconf("SC_PAGE_SIZE"))],
    )
    yield Family("process_open_fds", "gauge", "Open file descriptors."), [({}, len(os.listdir("/proc/self/fd")))]


def line(name: str, labels: dict[str, Any], value: float | int) -> str:
    """One sample as a line."""
    if not labels:
        return f"{name} {value}\n"
    inside = ",".join(f'{key}="{str(text).translate(_ESCAPES)}"' for key, text in labels.items())
    return f"{name}{{{inside}}} {value}\n"


async def metrics(router: Router, call: Call) -> str:
    """The whole text."""
    out: list[str] = []
    for family, samples in families(router):
        out.append(f"# HELP {family.name} {family.text}\n# TYPE {family.name} {family.kind}\n")
        for number, (labels, value) in enumerate(samples, 1):
            out.append(line(family.name, labels, value))
            if not number % _ROWS_PER_TURN:
                await asyncio.sleep(0)
    return "".join(out)
