"""A line of two stations and a router between them, whose wires carry superframes.

::

    a 10.0.1.2, fd00:1::2 ══ device a ── r ── device b ══ 10.0.2.2, fd00:2::2 b
         virtio-net header, offload           virtio-net header, offload, unless a test takes it away
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed, Station
from tests.superframes import (
    ACK,
    CWR,
    ECE,
    FIN,
    IPV4,
    IPV6,
    PSH,
    TIMESTAMPS,
    Packet,
    pattern,
    read,
    tcp,
    udp,
)
from vrouter.stack.base.addresses import parse_ipv6

A4, B4, A6, B6 = "10.0.1.2", "10.0.2.2", "fd00:1::2", "fd00:2::2"
SIZE, COUNT = 1000, 10
PLAIN = bytes(12)
OFFERED = {
    "tcp4": tcp(A4, B4, pattern(COUNT * SIZE), flags=ACK | PSH | FIN | CWR | ECE, options=TIMESTAMPS),
    "tcp6": tcp(A6, B6, pattern(COUNT * SIZE), flags=ACK | PSH | FIN | CWR | ECE, options=TIMESTAMPS),
    "udp4": udp(A4, B4, pattern(COUNT * SIZE)),
    "udp6": udp(A6, B6, pattern(COUNT * SIZE)),
}
both_families = pytest.mark.parametrize("name", ["tcp4", "tcp6", "udp4", "udp6"])


class Line:
    """The drawing above."""

    def __init__(self) -> None:
        self.bed = Bed(ipv6=True)
        self.r = self.bed.stack.add_netns("r")
        self.r.sysctl["net.ipv4.ip_forward"] = 1
        self.r.sysctl["net.ipv6.conf.all.forwarding"] = 1
        self.a = self.station("a", 1)
        self.b = self.station("b", 2)
        self.quiet()

    def station(self, name: str, number: int, *, mtu: int = 1500, netns: str = "r") -> Station:
        """A device with addresses of both families and its station, known as a neighbour."""
        ns = self.bed.stack.namespaces[netns]
        at = self.bed.station(ns, name, f"10.0.{number}.1/24", f"10.0.{number}.2", vnet_hdr=True, mtu=mtu)
        ns.add_address(at.dev, f"fd00:{number}::1/64", now=self.bed.now)
        ns.neigh6.add_static(at.dev, parse_ipv6(f"fd00:{number}::2"), at.mac, self.bed.now)
        at.dev.offload = at.dev.uso = True
        return at

    def quiet(self) -> None:
        """Until nobody announces anything any more."""
        self.bed.run_for(10)
        for station in self.bed.stations.values():
            station.clear()

    def send(self, packet: Packet, size: int = SIZE, /, **changes: int) -> None:
        """Put a superframe on a's wire; `changes` are lies of its header."""
        ethertype = IPV4 if packet.version == 4 else IPV6
        self.a.send_frame(packet.vnet(size, **changes) + self.a.frame(packet.raw(), ethertype=ethertype))


def whole(station: Station) -> list[Packet]:
    """What came whole: half-finished, with a header that says what the packet is."""
    found = []
    for frame in station.received:
        packet = read(bytes(frame[12:]), half=True)
        assert packet.checksums
        assert frame[:12] == packet.vnet(SIZE)
        found.append(packet)
    return found


def finished(station: Station) -> list[Packet]:
    """What came in segments: finished, with a header that says nothing."""
    found = []
    for frame in station.received:
        packet = read(bytes(frame[12:]))
        assert packet.checksums
        assert frame[:12] == PLAIN
        found.append(packet)
    return found


# -- routed ------------------------------------------------------------------------------------------------------------
