"""Stations without a stack: a probe records and injects, a hub repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.testing import frames
from vrouter.testing.errors import LabError
from vrouter.testing.frames import Ip, ip_int
from vrouter.testing.match import decode
from vrouter.testing.node import Recorder

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab
    from vrouter.testing.wire import End

_ARP_REQUEST = 1


class Probe(Recorder):
    """The bare end of a wire: says nothing by itself, so that a test says it all.

    `addr` is the address that others may know it by (given by `Lab.wire` if not set), `gateway` where packets go whose
    destination is not on its link; without one, to the router on the link. With `arp` it answers requests for its own
    address, which a lab with real ARP needs.
    """

    def __init__(self, lab: Lab, name: str, mac: bytes, addr: str | None, gateway: Ip | None, arp: bool) -> None:
        super().__init__(lab, name)
        self.mac = mac.hex(":")
        self.arp = arp
        self.gateway = None if gateway is None else ip_int(gateway)
        self._addr = addr

    def __repr__(self) -> str:
        return f"<Probe {self.name}: {self._addr or 'no address'}>"

    @property
    def addr(self) -> str:
        """Its address; LabError when it has none."""
        if self._addr is None:
            raise LabError(f"{self.name} has no address")
        return self._addr

    @addr.setter
    def addr(self, text: str) -> None:
        self._addr = text

    @property
    def has_addr(self) -> bool:
        """Whether it has an address."""
        return self._addr is not None

    def _mac(self, end: End) -> bytes:
        return frames.mac_bytes(self.mac)

    def _next_hop(self, dst: int, dev: str | None) -> tuple[End, int]:
        end = self._end(dev)
        if self.gateway is not None and not self.lab.is_on_link(end, dst):
            return end, self.gateway
        if self.lab.is_on_link(end, dst):
            return end, dst
        routers = self.lab.routers_on(end)
        return end, routers[0] if len(routers) == 1 else dst

    def arrive(self, end: End, frame: bytes) -> None:
        """A frame came out of a wire."""
        self.note_received(frame)
        if self.arp and self.has_addr:
            ask = decode(frame).layers.get("arp")
            if ask is not None and ask["op"] == _ARP_REQUEST and ask["tpa"] == ip_int(self.addr):
                answer = frames.arp_reply(self.mac, self.addr, ask["sha"], ask["spa"])
                self.lab.put(end, frames.ethernet(ask["sha"], self.mac, frames.ARP, answer))

    def carrier(self, end: End, up: bool) -> None:
        """The wire was cut, or mended; nothing to a probe."""


class Hub(Recorder):
    """Repeats each frame to all other wires: one link with many stations. Keeps no frames itself."""

    def __init__(self, lab: Lab, name: str, network: int) -> None:
        super().__init__(lab, name)
        self.network = network
        self.next_host = 1
        self.recording = False

    def __repr__(self) -> str:
        return f"<Hub {self.name} of {len(self.ends)} wires>"

    def arrive(self, end: End, frame: bytes) -> None:
        """A frame came out of a wire."""
        for other in self.ends:
            if other is not end:
                self.lab.put(other, frame)

    def carrier(self, end: End, up: bool) -> None:
        """A wire was cut, or mended; the others go on."""
