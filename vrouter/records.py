"""The rows of ``show``: one function per subject, each (router, namespace's path or None for all) → list of dicts.

The Python API, the admin API and the command line all show these; the fields and their types are the contract. Every
row has ``netns``; addresses are text, times ns, sizes bytes; what a thing has not is None. An unknown path is KeyError.

netns       netns kind devices (how many) accept_from
devices     netns dev ifindex kind ifname mac mtu state error offload
            rx_packets tx_packets rx_bytes tx_bytes rx_drops tx_drops
addresses   netns dev address scope state
routes      netns to via dev target_netns type metric table proto src
neighbors   netns dev address mac state age_ns
sockets     netns proto state local peer rx_queue tx_queue
crossings   from to kind accepted packets bytes denied (``netns``: where they begin)
drops       netns dev reason layer text count, non-zero only; ``dev`` is None where no device was concerned
stats       netns name value
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import format_address, format_mac
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DROP_TABLE
from vrouter.stack.l3.fib import to_record
from vrouter.stack.l4.socket import records as socket_records

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

Record = dict[str, Any]
NO_NETNS: Final = "-"
_STATS: Final = tuple((stat.name, int(stat)) for stat in Stat)


def _chosen(router: Router, netns: str | None) -> Iterable[Netns]:
    return router.stack.namespaces.values() if netns is None else (router[netns].stack,)


def _devices(router: Router, netns: str | None) -> Iterator[tuple[Netns, Device]]:
    return ((ns, dev) for ns in _chosen(router, netns) for dev in ns.devices.values())


def netns(router: Router, netns: str | None = None) -> list[Record]:
    """Namespaces, parents before their children as they were made."""
    return [
        {"netns": ns.name, "kind": ns.kind, "devices": len(ns.devices), "accept_from": sorted(ns.accept_from)}
        for ns in _chosen(router, netns)
    ]


def devices(router: Router, netns: str | None = None) -> list[Record]:
    """Devices with their counters."""
    return [
        {
            "netns": ns.name,
            "dev": dev.name,
            "ifindex": dev.ifindex,
            "kind": dev.kind,
            "ifname": dev.ifname or None,
            "mac": format_mac(dev.mac),
            "mtu": dev.mtu,
            "state": dev.state,
            "error": dev.error,
            "offload": dev.offload,
            "rx_packets": dev.rx_packets,
            "tx_packets": dev.tx_packets,
            "rx_bytes": dev.rx_bytes,
            "tx_bytes": dev.tx_bytes,
            "rx_drops": dev.rx_drops,
            "tx_drops": dev.tx_drops,
        }
        for ns, dev in _devices(router, netns)
    ]


def addresses(router: Router, netns: str | None = None) -> list[Record]:
    """Addresses, with the state of conflict detection."""
    return [
        {
            "netns": ns.name,
            "dev": dev.name,
            "address": f"{format_address(a.address, a.family)}/{a.length}",
            "scope": a.scope,
            "state": a.state,
        }
        for ns, dev in _devices(router, netns)
        for a in dev.addresses
    ]


def routes(router: Router, netns: str | None = None) -> list[Record]:
    """The main table, as ip(8) shows it: configured routes and those that addresses made."""
    return [to_record(ns.name, *entry) for ns in _chosen(router, netns) for entry in ns.ip4.main]


def neighbors(router: Router, netns: str | None = None) -> list[Record]:
    """Neighbours with ip-neighbour(8)'s states."""
    now = router.now()
    return [
        {
            "netns": entry.netns,
            "dev": entry.dev,
            "address": format_address(entry.address),
            "mac": format_mac(entry.mac) if entry.mac else None,
            "state": entry.state.name,
            "age_ns": entry.age_ns,
        }
        for ns in _chosen(router, netns)
        if any(dev.neigh4 for dev in ns.devices.values())
        for entry in ns.neigh4.entries(now)
    ]


def sockets(router: Router, netns: str | None = None) -> list[Record]:
    """Bound sockets in ss(8)'s words."""
    return [row for ns in _chosen(router, netns) for row in socket_records(ns)]


def crossings(router: Router, netns: str | None = None) -> list[Record]:
    """Ways between namespaces that begin or end in `netns`."""
    if netns is not None:
        router[netns]  # KeyError
    return [
        {"netns": row["from"], **row} for row in router.stack.crossings() if netns in (None, row["from"], row["to"])
    ]


def drops(router: Router, netns: str | None = None) -> list[Record]:
    """How many packets died, where and why; frames that no namespace owns under ``-``."""
    found: list[Record] = []
    for ns in _chosen(router, netns):
        found += _drop_rows(ns.name, None, ns._drops or ())  # asking must not make the table
        for dev in ns.devices.values():
            found += _drop_rows(ns.name, dev.name, dev.drops or ())
    if netns is None:
        found += _drop_rows(NO_NETNS, None, router.stack.drops)
    return found


def _drop_rows(netns: str, dev: str | None, counters: Sequence[int]) -> list[Record]:
    return [
        {
            "netns": netns,
            "dev": dev,
            "reason": reason.name,
            "layer": info.layer.value,
            "text": info.text,
            "count": counters[reason],
        }
        for reason, info in DROP_TABLE.items()
        if counters and counters[reason]
    ]


def stats(router: Router, netns: str | None = None) -> list[Record]:
    """Counters under Linux's SNMP names."""
    return [
        {"netns": ns.name, "name": name, "value": ns.stats[index]}
        for ns in _chosen(router, netns)
        for name, index in _STATS
    ]
