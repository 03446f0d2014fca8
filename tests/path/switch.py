"""A bridge with stations at its ports, the link under most tests of layer 2.

::

    p0 ─┐
    p1 ─┼─ br0 of r
    p2 ─┘

What a station gets is compared as bytes: a frame is relayed as it is.
"""

from __future__ import annotations

from typing import Any

from tests.path.bed import Bed, Station
from vrouter.stack.device import Device
from vrouter.stack.l2.bridge import Bridge
from vrouter.stack.netns import Netns
from vrouter.testing import frames

BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUP = "01:00:5e:01:02:03"
STRANGER = "02:00:00:00:77:77"
TYPE = 0x88B5  # an experimental EtherType: a protocol that nobody here speaks


class Switch:
    """A bed with the bridge; `options` are `Netns.set_bridge`'s."""

    def __init__(self, ports: int = 3, *, vnet_hdr: bool = False, **options: Any) -> None:
        self.bed = Bed()
        self.ns: Netns = self.bed.stack.add_netns("r")
        self.dev: Device = self.ns.add_device("br0", kind="bridge")
        self.bridge: Bridge = self.dev.bridge
        if options:
            self.ns.set_bridge("br0", **options)
        self.at: list[Station] = []
        for n in range(ports):
            self.at.append(self.bed.station(self.ns, f"p{n}", vnet_hdr=vnet_hdr))
            self.ns.set_port(f"p{n}", bridge="br0", now=self.bed.now)
        self.clear()

    def clear(self) -> None:
        for station in self.at:
            station.clear()

    def port(self, n: int, **options: Any) -> None:
        """`Netns.set_port` of port `n`."""
        self.ns.set_port(f"p{n}", now=self.bed.now, **options)

    def frame(self, n: int, to: int | str, payload: bytes = bytes(46), **header: Any) -> bytes:
        """A frame from the station at port `n` to another station, or to an address."""
        dst = self.at[to].mac if isinstance(to, int) else to
        return frames.ethernet(dst, self.at[n].mac, header.pop("ethertype", TYPE), payload, **header)

    def send(self, n: int, to: int | str, payload: bytes = bytes(46), **header: Any) -> list[int]:
        """Send it; the ports where exactly this frame came out, and no other frame anywhere."""
        return self.put(n, self.frame(n, to, payload, **header))

    def put(self, n: int, frame: bytes, *, expect: bytes | None = None) -> list[int]:
        """Put a frame on the wire of port `n`; the ports where it (or `expect`) came out."""
        self.clear()
        self.at[n].send_frame(frame)
        out = [(m, bytes(one)) for m, station in enumerate(self.at) for one in station.received]
        assert {one for _, one in out} <= {frame if expect is None else expect}
        return [m for m, _ in out]

    def teach(self, *ports: int) -> None:
        """Let the bridge learn the stations at these ports (default: all)."""
        for n in ports or range(len(self.at)):
            self.send(n, BROADCAST)
        self.clear()

    def drops(self) -> dict[str, int]:
        return self.ns.drop_counts()
