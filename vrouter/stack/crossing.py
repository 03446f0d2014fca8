"""Crossings: the declared ways of a packet from one namespace into another.

A `Crossing` is one direction of a short-cut between two namespaces, as seen from its source: what it carried and what
was denied. In the target it stands as the packet's ``iif``, under the name ``@SOURCE``, where a device would stand. A
veth pair is a crossing too; its counters are those of its two devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.base.drop import DropReason
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

MAX_CROSSINGS: Final = 8


class Crossing:
    """The short-cut from `source` to the namespace at path `target_name`; ``target`` is None while there is none."""

    __slots__ = ("bytes", "denied", "ifindex", "kind", "name", "packets", "routes", "source", "target", "target_name")

    def __init__(self, source: Netns, target_name: str) -> None:
        self.source = source
        self.target_name = target_name
        self.target: Netns | None = None
        self.name = f"@{source.name}"
        self.kind = "crossing"
        self.ifindex = 0
        self.packets = self.bytes = self.denied = 0
        self.routes = 0  # of the source, that lead here

    @property
    def ns(self) -> Netns | None:
        """The namespace in which it stands as a port: the target."""
        return self.target

    @property
    def removed(self) -> bool:
        """Whether there is no target that it could stand in."""
        return self.target is None

    @property
    def accepted(self) -> bool:
        """Whether the target exists and lists the source in its ``accept_from``."""
        return self.target is not None and not self.target.closing and self.target.accepts(self.source.name)

    def count_drop(self, reason: DropReason | int) -> None:
        """A packet that came this way died in the target, where it had no device."""
        assert self.target is not None
        self.target.drops[reason] += 1

    def record(self) -> dict[str, Any]:
        """A row of ``show crossings``."""
        return {
            "from": self.source.name,
            "to": self.target_name,
            "kind": "route",
            "accepted": self.accepted,
            "packets": self.packets,
            "bytes": self.bytes,
            "denied": self.denied,
        }


def veth_record(dev: Device, peer: Device) -> dict[str, Any]:
    """The row of the direction `dev` → `peer` of a pair."""
    return {
        "from": dev.ns.name,
        "to": peer.ns.name,
        "kind": "veth",
        "accepted": True,
        "packets": dev.tx_packets,
        "bytes": dev.tx_bytes,
        "denied": 0,
    }
