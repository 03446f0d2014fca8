"""What changed, for logs and for whoever watches: state changes only, never packets.

A bounded ring: a reader that does not come loses the oldest and can see that it did, by the sequence numbers.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, Final, NamedTuple

_LIMIT: Final = 1024


class EventKind(Enum):
    """The kinds of state change."""

    NETNS_ADD = "netns-add"
    NETNS_DEL = "netns-del"
    DEVICE_ADD = "device-add"
    DEVICE_DEL = "device-del"
    DEVICE_MOVE = "device-move"
    DEVICE_STATE = "device-state"
    ADDRESS_ADD = "address-add"
    ADDRESS_DEL = "address-del"
    ADDRESS_CONFLICT = "address-conflict"
    ROUTE_ADD = "route-add"
    ROUTE_DEL = "route-del"
    NEIGH_FAILED = "neighbor-failed"
    ADDRESS_LOOPED = "address-looped"
    RA_INCONSISTENT = "ra-inconsistent"


class Event(NamedTuple):
    """One change: when (ns), which number, what, in which namespace and device, and the rest by name."""

    now: int
    seq: int
    kind: EventKind
    netns: str
    dev: str
    fields: dict[str, Any]


class EventLog:
    """The ring of events of one stack."""

    __slots__ = ("_ring", "seq")

    def __init__(self) -> None:
        self._ring: deque[Event] = deque(maxlen=_LIMIT)
        self.seq = 0

    def add(self, now: int, kind: EventKind, netns: str, dev: str = "", /, **fields: Any) -> None:
        """Record a change."""
        self.seq += 1
        self._ring.append(Event(now, self.seq, kind, netns, dev, fields))

    def take(self) -> list[Event]:
        """All events since the last call, oldest first."""
        events = list(self._ring)
        self._ring.clear()
        return events
