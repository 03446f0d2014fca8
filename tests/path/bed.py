"""One stack in virtual time, and what stands on its wires.

A `Bed` drives one `Stack`. A `Station` is the far end of a wire: an address and a MAC without a stack, which puts
frames on the wire, keeps what the stack sends, and answers nothing unless told to. So every frame in a test is one that
the test made or one that the stack under test made. For networks of several stacks there is `vrouter.testing.Lab`.

::

    a 10.0.1.2 ── device a, 10.0.1.1/24 ── r ── device b, 10.0.2.1/24 ── 10.0.2.2 b

`Bed.line` makes this: r forwards, both stations are permanent neighbours, announcements are over. `Bed.expect` compares
counters exactly: what is not named must not move. At its end a bed's accounts must balance (`Bed.close`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from vrouter.stack import Stack
from vrouter.stack.base.addresses import parse_address
from vrouter.stack.device import Device
from vrouter.stack.l2.neighbour import NeighState
from vrouter.stack.netns import Netns
from vrouter.testing import frames
from vrouter.testing.counters import Counters
from vrouter.testing.match import Frame

SECOND = 1_000_000_000


class Station:
    """The far end of a wire. ``received`` and ``arp`` hold the frames that the stack sent to it, in order."""

    def __init__(self, bed: Bed, dev: Device, address: str, mac: bytes) -> None:
        self.bed = bed
        self.dev = dev
        self.address = address
        self.mac = mac
        self._received: list[Frame] = []
        self._arp: list[Frame] = []
        self.answers_arp = False
        self._arp_times: list[int] = []

    @property
    def received(self) -> list[Frame]:
        """What came so far, without ARP."""
        self.bed.flush()
        return self._received

    @property
    def arp(self) -> list[Frame]:
        """The ARP frames that came so far."""
        self.bed.flush()
        return self._arp

    @property
    def times(self) -> list[float]:
        """When, in seconds, each ARP frame of ``arp`` came."""
        return [at / SECOND for at in self._arp_times]

    def clear(self) -> None:
        """Forget what came."""
        self.bed.flush()
        self._received.clear()
        self._arp.clear()
        self._arp_times.clear()

    def frame(self, packet: bytes, *, dst_mac: bytes | str | None = None, ethertype: int = frames.IPV4) -> bytes:
        """`packet` in a frame to the router, or to `dst_mac`."""
        return frames.ethernet(dst_mac or self.dev.mac, self.mac, ethertype, packet)

    def send(self, packet: bytes, *, dst_mac: bytes | str | None = None) -> bytes:
        """Put an IP packet on the wire; returns the packet."""
        self.bed.receive(self.dev, self.frame(packet, dst_mac=dst_mac))
        return packet

    def send_frame(self, frame: bytes) -> bytes:
        """Put a frame on the wire as it is."""
        self.bed.receive(self.dev, frame)
        return frame

    def send_arp(self, packet: bytes, *, dst_mac: bytes | str = frames.BROADCAST) -> None:
        """Put an ARP packet on the wire."""
        self.send_frame(self.frame(packet, dst_mac=dst_mac, ethertype=frames.ARP))

    def take(self, frame: Frame, now: int) -> None:
        """The stack sent `frame`."""
        if frame[12:14] != b"\x08\x06":
            self._received.append(frame)
            return
        self._arp.append(frame)
        self._arp_times.append(now)
        op, target = int.from_bytes(frame[20:22], "big"), int.from_bytes(frame[38:42], "big")
        if self.answers_arp and op == 1 and target == parse_address(self.address)[1]:
            self.reply_arp(frame)

    def reply_arp(self, request: bytes) -> None:
        """Answer an ARP request of the stack."""
        asked = int.from_bytes(request[38:42], "big")
        asker = int.from_bytes(request[28:32], "big")
        self.send_arp(frames.arp_reply(self.mac, asked, request[6:12], asker), dst_mac=request[6:12])


def without_ipv6(ns: Netns) -> None:
    """What is made in `ns` from now on has no IPv6."""
    ns.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1


class Bed:
    """A stack, its stations, and the time."""

    def __init__(self, seed: int = 1, *, ipv6: bool = False) -> None:
        """Without `ipv6` no device has it, so that only what a test is about is on the wires."""
        self.stack = Stack(seed=seed, identity="bed")
        if not ipv6:
            self.stack.register(without_ipv6, lambda ns: None)
        self.now = 0
        self.stations: dict[Device, Station] = {}
        self.a: Station
        self.b: Station
        self.r: Netns

    # -- making -------------------------------------------------------------------------------------------------------

    @classmethod
    def line(cls, *, seed: int = 1, forward: bool = True, resolve: bool = False, mtu: int = 1500) -> Bed:
        """a ── r ── b as drawn above; `mtu` is that of device b. With `resolve` no neighbour is known."""
        bed = cls(seed)
        bed.r = bed.stack.add_netns("r")
        if forward:
            bed.r.sysctl["net.ipv4.ip_forward"] = 1
        bed.a = bed.station(bed.r, "a", "10.0.1.1/24", "10.0.1.2", resolve=resolve)
        bed.b = bed.station(bed.r, "b", "10.0.2.1/24", "10.0.2.2", resolve=resolve, mtu=mtu)
        bed.settle()
        return bed

    def station(
        self,
        ns: Netns,
        name: str,
        address: str = "",
        peer: str = "",
        *,
        mtu: int = 1500,
        resolve: bool = False,
        vnet_hdr: bool = False,
    ) -> Station:
        """A new device of `ns` called `name` with `address`, and a station with the address `peer` at its wire."""
        dev = ns.add_device(name, mtu=mtu, vnet_hdr=vnet_hdr, now=self.now)
        station = Station(self, dev, peer, b"\x02\0\0\x99" + (len(self.stations) + 1).to_bytes(2, "big"))
        self.stations[dev] = station
        if address:
            ns.add_address(dev, address, now=self.now)
        if peer and not resolve:
            ns.neigh4.add_static(dev, parse_address(peer)[1], station.mac, self.now)
        self.flush()
        return station

    def settle(self) -> None:
        """Let announcements and whatever else is under way end, and forget it."""
        self.run_until_idle()
        for station in self.stations.values():
            station.clear()
        self.stack.take_ready()
        self.stack.events.take()

    # -- time ---------------------------------------------------------------------------------------------------------

    def receive(self, dev: Device, frame: bytes) -> None:
        """A frame comes in by `dev` now."""
        self.stack.receive(dev, frame, self.now)
        self.flush()

    def flush(self) -> None:
        """Bring the frames that the stack made to their stations."""
        while frames_out := self.stack.take_egress():
            for dev, frame in frames_out:
                self.stations[dev].take(Frame(frame), self.now)

    def run_until_idle(self, limit: int = 10_000) -> None:
        """Run timers until none is armed."""
        for _ in range(limit):
            self.flush()
            at = self.stack.poll_at()
            if at is None:
                return
            self.now = max(self.now, at)
            self.stack.poll(self.now)
        raise AssertionError("timers without end")

    def run_for(self, seconds: float) -> None:
        """Let `seconds` pass, and the timers that are due on the way."""
        end = self.now + round(seconds * SECOND)
        self.flush()
        while (at := self.stack.poll_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self.stack.poll(self.now)
            self.flush()
        self.now = end
        self.stack.poll(self.now)
        self.flush()

    # -- asking -------------------------------------------------------------------------------------------------------

    def udp(self, port: int = 0, *, ns: Netns | None = None, address: str = "0.0.0.0") -> Any:
        """A UDP socket of r (or `ns`), bound to `port`."""
        sock = (ns or self.r).socket()
        sock.bind((address, port), now=self.now)
        return sock

    def received(self, sock: Any) -> list[bytes]:
        """Every datagram that waits in `sock`."""
        found = []
        while sock.readable:
            found.append(sock.recv(65535, now=self.now))
        return found

    def neigh(self, station: Station, address: str = "") -> NeighState | None:
        """The state that the namespace's neighbour entry for the station (or `address`) has now."""
        neigh = station.dev.ns.neigh4.get(station.dev, parse_address(address or station.address)[1])
        return None if neigh is None else neigh.state_at(self.now)

    def expect(self, ns: Netns | None = None, **expected: Any) -> AbstractContextManager[None]:
        """`Counters.expect` for `ns` (r): within the block exactly what is named moves, and as it says."""
        return Counters(ns or self.r).expect(**expected)

    def close(self) -> None:
        """The accounts balance, and nothing was sent that nobody looked for."""
        self.flush()
        sources, ends = self.stack.accounts()
        if sum(sources.values()) != sum(ends.values()):
            raise AssertionError(f"{sources} are not {ends}")
