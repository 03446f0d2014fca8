"""Rows of bridges, their ports and tables, and of VLANs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.records.chosen import Record, namespaces, of_family

if TYPE_CHECKING:
    from vrouter.appliance import Router


def bridges(router: Router, netns: str | None = None) -> list[Record]:
    """Bridges, and what their spanning trees found."""
    return [row for ns in namespaces(router, netns) for row in ns.bridge_rows()]


def ports(router: Router, netns: str | None = None) -> list[Record]:
    """Ports of bridges, with their VLANs."""
    return [row for ns in namespaces(router, netns) for row in ns.ports()]


def fdb(router: Router, netns: str | None = None) -> list[Record]:
    """Where bridges know stations to be."""
    return [row for ns in namespaces(router, netns) for row in ns.fdb()]


def mdb(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Which groups are wanted at which ports of bridges."""
    return of_family((row for ns in namespaces(router, netns) for row in ns.mdb()), family, "group")


def vlans(router: Router, netns: str | None = None) -> list[Record]:
    """Devices that are a VLAN of another."""
    return [row for ns in namespaces(router, netns) for row in ns.vlan_rows()]
