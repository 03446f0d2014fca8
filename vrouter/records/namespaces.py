"""Rows of namespaces and devices, of the ways between them, of sockets, and of what was counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from vrouter.records.chosen import Record, namespaces
from vrouter.records.chosen import devices as owned_devices
from vrouter.stack.base.addresses import format_mac
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DROP_TABLE
from vrouter.stack.l2.vlan import PROTOCOL_NAMES
from vrouter.stack.l4.listing import Wanted, iter_records

if TYPE_CHECKING:
    from vrouter.appliance import Router

NO_NETNS: Final = "-"
_STATS: Final = tuple((stat.name, int(stat)) for stat in Stat)


def netns(router: Router, netns: str | None = None) -> list[Record]:
    """Namespaces, parents before their children as they were made."""
    return [
        {"netns": ns.name, "kind": ns.kind, "devices": len(ns.devices), "accept_from": sorted(ns.accept_from)}
        for ns in namespaces(router, netns)
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
            "parent": None if dev.parent is None else dev.parent.name,
            "vid": dev.vid or None,
            "protocol": PROTOCOL_NAMES[dev.vlan_protocol] if dev.vid else None,
            "master": None if dev.bridge_port is None else dev.bridge_port.bridge.dev.name,
        }
        for ns, dev in owned_devices(router, netns)
    ]


def sockets(
    router: Router,
    netns: str | None = None,
    *,
    proto: str | None = None,
    listening: bool = False,
    state: str | None = None,
    sport: int | None = None,
    dport: int | None = None,
    info: bool = False,
) -> list[Record]:
    """Bound sockets and connections in ss(8)'s words; with `info` what ``ss -i`` and ``ss -o`` tell."""
    wanted = Wanted(proto, listening, state, sport, dport)
    return list(iter_sockets(router, netns, wanted, info=info))


def iter_sockets(router: Router, netns: str | None, wanted: Wanted, *, info: bool = False) -> Iterator[Record]:
    """`sockets`, one by one: there may be very many. KeyError comes at once, not with the first row."""
    chosen = namespaces(router, netns)
    return (row for ns in chosen for row in iter_records(ns, wanted, more=info))


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
    for ns in namespaces(router, netns):
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
        for ns in namespaces(router, netns)
        for name, index in _STATS
    ]
