"""The strangers of a world, on the links of its devices: who hears what, and who says something now."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.fuzz.programs import LISTENED
from tests.fuzz.tcp_frames import Way
from tests.fuzz.tcp_peer import Stranger

if TYPE_CHECKING:
    from tests.fuzz.world import Action, World

HOSTS = (51, 52, 53)


class Crowd:
    """Three strangers for each device that `join` is told of, with an address of either family."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self._places: dict[bytes, tuple[str, str, int, int]] = {}
        self._known: list[tuple[bytes, Stranger]] = []

    def join(self, ns: str, dev: str, net4: int, net6: int) -> list[Action]:
        """They come to the link of a device that has the first addresses of two networks."""
        actions: list[Action] = []
        for host in HOSTS:
            station = bytes((2, 0, 0, len(self._places), ord(ns[0]), host))
            self._places[station] = ns, dev, net4, net6
            addresses = [net4 & ~0xFF | host, net6 >> 64 << 64 | host]
            actions.append(("stranger", ns, dev, station, addresses))
        return actions

    def _look_around(self) -> None:
        for station, (ns, name, net4, net6) in self._places.items():
            space = self.world.stack.namespaces.get(ns)
            dev = None if space is None else space.devices.get(name)
            if dev is None:
                continue
            for six in (False, True):
                yours = net6 if six else net4
                mine = yours >> 64 << 64 | station[5] if six else yours & ~0xFF | station[5]
                way = Way(ns, name, dev.mac, station, dev.vnet_hdr, six, mine, yours, self.rng)
                self._known.append((station, Stranger(self.rng, way)))

    def acts(self) -> list[Action]:
        """One of them hears what there is for him, and says something."""
        rng = self.rng
        if not self._known:
            self._look_around()
            if not self._known:
                return []
        station, stranger = rng.choice(self._known)
        way = stranger.way
        space = self.world.stack.namespaces.get(way.ns)
        dev = None if space is None else space.devices.get(way.dev)
        heard = self.world.strangers.get(station)
        if dev is None or dev.vnet_hdr != way.vnet or heard is None:
            return []
        way.mac = dev.mac
        said: list[bytes] = []
        while heard:
            frame = heard.popleft()
            for other, one in self._known:
                if other == station:
                    said += one.hears(frame)
        if rng.random() < 0.15:
            said += stranger.opens(rng.choice((*LISTENED, *LISTENED, 81)))
        for _ in range(rng.choice((0, 1, 3))):
            said += stranger.acts()
        return [("receive", way.ns, way.dev, frame) for frame in said[:80]]
