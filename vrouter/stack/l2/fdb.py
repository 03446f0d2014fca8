"""The filtering database of a bridge: where stations are, learnt from what they send, or told (IEEE 802.1D 7.8, 7.9).

One dictionary for each VLAN, from MAC address to `FdbEntry`. An entry is refreshed by each frame of its station and
counts no more once its port's ageing time is over; the sweep that takes it out comes later, at most once a second.

Nobody can push out anybody else's entries: each port may have learnt only so many (``quota``: an equal share of the
whole, at most 16,384), and past that nothing new is learnt at that port until something has aged; stations there are
still reached, by flooding. Static entries are not learnt and count for nobody.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vrouter.stack.l2.bridge import BridgePort

SECOND: Final = 1_000_000_000
DEFAULT_AGEING: Final = 300 * SECOND  # 802.1D-2004 table 7-5
CAPACITY: Final = 65536  # entries learnt at all ports together
MAX_QUOTA: Final = 16384
MIN_QUOTA: Final = 64


class FdbEntry:
    """Where a station is: ``port``, and when (ns) it was last heard there; ``static``: somebody said so."""

    __slots__ = ("port", "static", "updated")

    def __init__(self, port: BridgePort, updated: int, static: bool) -> None:
        self.port = port
        self.updated = updated
        self.static = static


class Fdb:
    """All entries of one bridge."""

    __slots__ = ("quota", "tables")

    def __init__(self) -> None:
        self.tables: dict[int, dict[bytes, FdbEntry]] = {}  # VLAN id (0: no filtering) -> MAC -> entry
        self.quota = MAX_QUOTA

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))

    def set_ports(self, count: int) -> None:
        """Share the capacity among `count` ports; those that have more than their share keep it until it ages."""
        self.quota = min(MAX_QUOTA, max(MIN_QUOTA, CAPACITY // max(1, count)))

    def learn(self, port: BridgePort, vid: int, mac: bytes, now: int) -> bool:
        """The station `mac` was heard at `port`; True when an entry is new, so that a sweep is due some time."""
        table = self.tables.get(vid)
        if table is None:
            table = self.tables[vid] = {}
        entry = table.get(mac)
        if entry is None:
            if port.learnt >= self.quota:
                return False
            port.learnt += 1
            table[mac] = FdbEntry(port, now, False)
            return True
        if entry.port is port:
            entry.updated = now
        elif not entry.static and port.learnt < self.quota:  # the station has moved
            entry.port.learnt -= 1
            port.learnt += 1
            entry.port, entry.updated = port, now
        return False

    def lookup(self, vid: int, mac: bytes, now: int) -> BridgePort | None:
        """The port behind which the station is, or None when nobody knows."""
        table = self.tables.get(vid)
        entry = None if table is None else table.get(mac)
        if entry is None or (not entry.static and now - entry.updated >= entry.port.ageing):
            return None
        return entry.port

    def add_static(self, port: BridgePort, vid: int, mac: bytes, now: int) -> None:
        """An entry that does not age and does not move; OSError EEXIST when there is one."""
        table = self.tables.setdefault(vid, {})
        entry = table.get(mac)
        if entry is not None:
            if entry.static:
                raise FileExistsError(errno.EEXIST, "there is a static entry for this address")
            entry.port.learnt -= 1
        table[mac] = FdbEntry(port, now, True)

    def remove(self, vid: int, mac: bytes) -> None:
        """Take an entry out; OSError ENOENT when there is none."""
        entry = self.tables.get(vid, {}).pop(mac, None)
        if entry is None:
            raise FileNotFoundError(errno.ENOENT, "no entry for this address")
        entry.port.learnt -= not entry.static

    def forget(self, port: BridgePort, *, static: bool = False, vid: int | None = None) -> None:
        """Forget what was learnt at `port` (in one VLAN, or in all), and with `static` what was said about it."""
        for number, table in self.tables.items():
            if vid is None or vid == number:
                gone = [mac for mac, entry in table.items() if entry.port is port and (static or not entry.static)]
                for mac in gone:
                    port.learnt -= not table.pop(mac).static

    def clear_learnt(self) -> None:
        """Forget all that was learnt."""
        for table in self.tables.values():
            for mac in [mac for mac, entry in table.items() if not entry.static]:
                table.pop(mac).port.learnt -= 1

    def sweep(self, now: int) -> int | None:
        """Take out what is too old; when (ns) the next one will be, or None when nothing that ages is left."""
        soonest: int | None = None
        for vid, table in list(self.tables.items()):
            gone = []
            for mac, entry in table.items():
                if not entry.static:
                    at = entry.updated + entry.port.ageing
                    if at <= now:
                        gone.append(mac)
                    elif soonest is None or at < soonest:
                        soonest = at
            for mac in gone:
                table.pop(mac).port.learnt -= 1
            if not table:
                del self.tables[vid]
        return soonest
