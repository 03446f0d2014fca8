"""Crossings: the declared ways of a packet from one namespace into another.

A `Crossing` is one direction of a short-cut between two namespaces, as seen from its source: what it carried and what
was denied. In the target it stands as the packet's ``iif``, under the name ``@SOURCE``, where a device would stand. A
veth pair is a crossing too; its counters are those of its two devices. So is an ingress tag, a VLAN of one namespace's
device that is a device of another's (`IngressTag`).
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

    def count_drop(self, reason: DropReason | int, count: int = 1) -> None:
        """A packet (or `count`) that came this way died in the target, where it had no device."""
        assert self.target is not None
        self.target.drops[reason] += count

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


class IngressTag:
    """A tag of a device of `source`, given to the namespace of the vlan device `dev`: both ways of it.

    ``denied`` counts frames of either way that met a namespace which does not accept the other any more.
    """

    __slots__ = ("denied", "dev", "source")

    def __init__(self, source: Netns, dev: Device) -> None:
        self.source = source
        self.dev = dev
        self.denied = 0

    @property
    def accepted(self) -> bool:
        """Whether the namespace that has the tag lists its source in ``accept_from``."""
        return self.dev.ns.accepts(self.source.name)

    def records(self) -> list[dict[str, Any]]:
        """The rows of both directions; what is denied is told at the one that needs leave."""
        dev = self.dev
        inner, outer = dev.ns.name, self.source.name
        both = {"kind": "vlan", "accepted": self.accepted}
        came = {"packets": dev.rx_packets, "bytes": dev.rx_bytes, "denied": self.denied}
        went = {"packets": dev.tx_packets, "bytes": dev.tx_bytes, "denied": 0}
        return [{"from": outer, "to": inner, **both, **came}, {"from": inner, "to": outer, **both, **went}]


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
