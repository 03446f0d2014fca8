"""Rows of groups, of those who ask for members, and of multicast routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.records.chosen import Record, namespaces, of_family

if TYPE_CHECKING:
    from vrouter.appliance import Router


def groups(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """The groups that namespaces are members of."""
    return of_family((row for ns in namespaces(router, netns) for row in ns.groups()), family, "group")


def listeners(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Who was reported to listen, at devices with a querier."""
    return of_family((row for ns in namespaces(router, netns) for row in ns.listeners()), family, "group")


def queriers(router: Router, netns: str | None = None) -> list[Record]:
    """Who asks for members, at devices where this router would."""
    return [row for ns in namespaces(router, netns) for row in ns.queriers()]


def mroutes(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Multicast routes, and what a proxy forwards."""
    return of_family((row for ns in namespaces(router, netns) for row in ns.mroutes()), family, "group")
