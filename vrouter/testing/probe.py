"""Stations without a stack: a probe records and injects, a hub repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.addresses import V4, V6, format_address, is_multicast6, link_local_of
from vrouter.testing import frames
from vrouter.testing.errors import LabError
from vrouter.testing.match import decode
from vrouter.testing.node import Recorder
from vrouter.testing.octets import Ip, ip6_int, ip_int, mac_bytes

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab
    from vrouter.testing.switch import Network
    from vrouter.testing.wire import End

_ARP_REQUEST = 1
_SOLICITATION = 135


class Probe(Recorder):
    """The bare end of a wire: says nothing by itself, so that a test says it all.

    `addr` and `addr6` are the addresses that others may know it by (given by `Lab.wire` if not set), `link_local` is
    that of its MAC. `gateway` is where packets of that address's family go whose destination is not on its link;
    without one, to the router on the link. With `arp` it answers requests and solicitations for its own addresses,
    which a lab with real resolution needs.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        mac: bytes,
        addr: str | None,
        addr6: str | None,
        gateway: Ip | None,
        arp: bool,
    ) -> None:
        super().__init__(lab, name)
        self.mac = mac.hex(":")
        self.arp = arp
        self._addr = addr
        self._addr6 = addr6
        self._gateways: dict[int, int] = {}
        if gateway is not None:
            is_ipv6 = isinstance(gateway, str) and ":" in gateway
            self._gateways[V6 if is_ipv6 else V4] = ip6_int(gateway) if is_ipv6 else ip_int(gateway)

    def __repr__(self) -> str:
        return f"<Probe {self.name}: {', '.join(filter(None, (self._addr, self._addr6))) or 'no address'}>"

    @property
    def addr(self) -> str:
        """Its IPv4 address; LabError when it has none."""
        if self._addr is None:
            raise LabError(f"{self.name} has no address")
        return self._addr

    @addr.setter
    def addr(self, text: str) -> None:
        self._addr = text

    @property
    def has_addr(self) -> bool:
        """Whether it has an IPv4 address."""
        return self._addr is not None

    @property
    def addr6(self) -> str:
        """Its IPv6 address; LabError when it has none."""
        if self._addr6 is None:
            raise LabError(f"{self.name} has no IPv6 address")
        return self._addr6

    @addr6.setter
    def addr6(self, text: str) -> None:
        self._addr6 = text

    @property
    def has_addr6(self) -> bool:
        """Whether it has an IPv6 address beside that of its link alone."""
        return self._addr6 is not None

    def link_local(self) -> str:
        """Its IPv6 address on its link alone."""
        return format_address(link_local_of(mac_bytes(self.mac)), V6)

    def _mac(self, end: End) -> bytes:
        return frames.mac_bytes(self.mac)

    def _next_hop(self, dst: int, family: int, dev: str | None) -> tuple[End, int]:
        end = self._end(dev)
        if self.lab.is_on_link(end, dst, family) or (family == V6 and is_multicast6(dst)):
            return end, dst
        if family in self._gateways:
            return end, self._gateways[family]
        routers = self.lab.routers_on(end, family)
        return end, routers[0] if len(routers) == 1 else dst

    def arrive(self, end: End, frame: bytes) -> None:
        """A frame came out of a wire."""
        self.note_received(frame)
        if not self.arp:
            return
        layers = decode(frame).layers
        asker = bytes(frame[6:12])
        ask = layers.get("arp")
        if ask is not None and ask["op"] == _ARP_REQUEST and self.has_addr and ask["tpa"] == ip_int(self.addr):
            answer = frames.arp_reply(self.mac, self.addr, ask["sha"], ask["spa"])
            self.lab.put(end, frames.ethernet(ask["sha"], self.mac, frames.ARP, answer))
        ask = layers.get("ndp")
        if ask is not None and ask["type"] == _SOLICITATION and self._has(ask["target"]):
            target, to = ask["target"], layers["ipv6"]["src"]
            if not to:  # somebody wants the address for himself (RFC 4861 7.2.4)
                to, asker = ip6_int(frames.ALL_NODES), frames.group_mac6(frames.ALL_NODES)
            is_asked = bool(layers["ipv6"]["src"])
            said = frames.neighbour_advertisement(target, to, target, mac=self.mac, solicited=is_asked, override=True)
            answer = frames.ipv6(target, to, frames.ICMPV6, said, hop_limit=255)
            self.lab.put(end, frames.ethernet(asker, self.mac, frames.IPV6, answer))

    def _has(self, addr: int) -> bool:
        return addr == ip6_int(self.link_local()) or (self.has_addr6 and addr == ip6_int(self.addr6))

    def carrier(self, end: End, up: bool) -> None:
        """The wire was cut, or mended; nothing to a probe."""


class Hub(Recorder):
    """Repeats each frame to all other wires: one link with many stations. Keeps no frames itself."""

    def __init__(self, lab: Lab, name: str, network: Network) -> None:
        super().__init__(lab, name)
        self.network = network
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
