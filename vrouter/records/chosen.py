"""Which namespaces, devices and families are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

Record: TypeAlias = dict[str, Any]


def namespaces(router: Router, netns: str | None) -> Iterable[Netns]:
    """The namespace at a path, or all of them. KeyError."""
    return list(router.stack.namespaces.values()) if netns is None else (router[netns].stack,)


def devices(router: Router, netns: str | None) -> Iterator[tuple[Netns, Device]]:
    """Their devices."""
    return ((ns, dev) for ns in namespaces(router, netns) for dev in ns.devices.values())


def of_family(rows: Iterable[Record], family: int | None, field: str) -> list[Record]:
    """The rows whose `field`, an address as text, is of `family` (4, 6, or None for both)."""
    if family is None:
        return list(rows)
    return [row for row in rows if (":" in row[field]) == (family == 6)]
