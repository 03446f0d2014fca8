"""A link on which groups are spoken of, in either family, and what was said on it.

::

    station ── device lan of r          10.0.1.5/24, fe80::ff:fe00:5

`Talk` has the words of one family: builders of what others say, and `Talk.said`, what r said since the last call, as
plain tuples with the time in seconds: ``(at, "report", [(kind, group, sources)])`` of the newest version, ``(at, "old",
group)``, ``(at, "leave", group)`` and ``(at, "query", group, sources, suppress)``. What was said of solicited-node
groups is left out.
"""

from __future__ import annotations

from struct import pack
from typing import Any

from tests.path.bed import Bed, Station
from vrouter.stack.device import Device
from vrouter.stack.netns import Netns
from vrouter.testing import frames, frames6
from vrouter.testing.decoding import decode, text_of
from vrouter.testing.match import Frame

SECOND = 1_000_000_000
IS_IN, IS_EX, TO_IN, TO_EX, ALLOW, BLOCK = range(1, 7)
ALERT4 = bytes((148, 4, 0, 0))
ALERT6 = frames6.option(5, b"\0\0")


class Loud(Bed):
    """A bed that remembers when each frame came."""

    def __init__(self, seed: int = 1, *, ipv6: bool = True) -> None:
        super().__init__(seed, ipv6=ipv6)
        self.log: list[tuple[Device, int, Frame]] = []

    def flush(self) -> None:
        """Bring frames to their stations, and note them."""
        while frames_out := self.stack.take_egress():
            for dev, frame in frames_out:
                self.log.append((dev, self.now, Frame(frame)))
                if dev in self.stations:
                    self.stations[dev].take(Frame(frame), self.now)

    def lan(self, ns: Netns, name: str, number: int, third: int = 1) -> Station:
        """A device with the addresses 10.0.THIRD.NUMBER and fe80::ff:fe00:NUMBER (2001:db8:THIRD::NUMBER besides)."""
        mac = bytes((2, 0, 0, 0, third - 1, number))
        dev = ns.add_device(name, mac=mac, now=self.now)
        station = Station(self, dev, f"10.0.{third}.2", b"\x02\0\0\x99" + (len(self.stations) + 1).to_bytes(2, "big"))
        self.stations[dev] = station
        ns.add_address(dev, f"10.0.{third}.{number}/24", now=self.now)
        ns.add_address(dev, f"2001:db8:{third}::{number}/64", now=self.now)
        return station

    def lan4(self, name: str) -> Station:
        """A device of r with 10.0.1.5 alone."""
        return self.station(self.r, name, "10.0.1.5/24", "10.0.1.2")


class Talk:
    """The words of one family on the link of a station."""

    def __init__(self, bed: Loud, station: Station, family: int) -> None:
        self.bed, self.station, self.family = bed, station, family
        self.v4 = family == 4
        self.host = "10.0.1.2" if self.v4 else "fe80::2"
        self.above = "10.0.1.9" if self.v4 else "fe80:0:0:1::9"
        self.G, self.H = ("239.1.1.1", "239.1.1.2") if self.v4 else ("ff05::1:1", "ff05::1:2")
        self.S = [f"192.0.2.{n}" if self.v4 else f"2001:db8:9::{n}" for n in range(1, 10)]
        self.all_hosts = "224.0.0.1" if self.v4 else "ff02::1"
        self.newest = 3 if self.v4 else 2
        self.reports_to = "224.0.0.22" if self.v4 else "ff02::16"

    # -- what others say ----------------------------------------------------------------------------------------------

    def say(self, message: bytes, src: str, dst: str, *, ttl: int = 1, alert: bool = True) -> None:
        """Put a message on the link."""
        if self.v4:
            packet = frames.ipv4(src, dst, 2, message, ttl=ttl, options=ALERT4 if alert else b"")
        elif alert:
            packet = frames6.ipv6(src, dst, 0, frames6.hop_by_hop(58, message, ALERT6), hop_limit=ttl)
        else:
            packet = frames6.ipv6(src, dst, 58, message, hop_limit=ttl)
        mac = frames.group_mac(dst) if self.v4 else frames6.group_mac6(dst)
        self.station.send_frame(frames.ethernet(mac, self.station.mac, frames.IPV4 if self.v4 else 0x86DD, packet))

    def query(
        self,
        group: str | None = None,
        sources: list[str] | None = None,
        *,
        old: bool = False,
        seconds: int = 10,
        src: str = "",
        dst: str = "",
        robustness: int = 2,
        interval: int = 125,
        suppress: bool = False,
        **header: Any,
    ) -> None:
        """A query; `old`: of the version before the newest; `seconds` to answer in (below 13)."""
        src, dst = src or self.host, dst or group or self.all_hosts
        version = self.newest - old
        if self.v4:
            message = frames.igmp_query(
                group or 0,
                sources or (),
                version=version,
                code=seconds * 10,
                suppress=suppress,
                robustness=robustness,
                interval=interval,
            )
        else:
            message = frames6.mld_query(
                src,
                dst,
                group or "::",
                sources or (),
                version=version,
                max_response=seconds * 1000,
                suppress=suppress,
                robustness=robustness,
                interval=interval,
            )
        self.say(message, src, dst, **header)

    def report(self, *records: tuple[int, str, list[str]], src: str = "", dst: str = "", **header: Any) -> None:
        """A report of the newest version."""
        src, dst = src or self.host, dst or self.reports_to
        if self.v4:
            message = frames.igmp3_report(*(frames.igmp_record(*record) for record in records))
        else:
            message = frames6.mld2_report(src, dst, *(frames6.mld_record(*record) for record in records))
        self.say(message, src, dst, **header)

    def old_report(self, group: str, *, leave: bool = False, **header: Any) -> None:
        """A report of the version before the newest, or the end of one."""
        dst = ("224.0.0.2" if self.v4 else "ff02::2") if leave else group
        if self.v4:
            message = frames.igmp_report(group, leave=leave)
        else:
            message = frames6.mld_report(self.host, dst, group, done=leave)
        self.say(message, self.host, dst, **header)

    def data(self, group: str, src: str = "", *, ttl: int = 64, size: int = 1, dev: Device | None = None) -> None:
        """A datagram to a group, from anywhere."""
        src = src or self.S[0]
        build = frames.ipv4_udp if self.v4 else frames.ipv6_udp
        header: dict[str, Any] = {"ttl": ttl} if self.v4 else {"hop_limit": ttl}
        mac = frames.group_mac(group) if self.v4 else frames6.group_mac6(group)
        packet = build(src, group, 1000, 7, b"x" * size, **header)
        dev = dev or self.station.dev
        frame = frames.ethernet(mac, self.station.mac, frames.IPV4 if self.v4 else 0x86DD, packet)
        self.bed.receive(dev, frame)

    # -- what r does --------------------------------------------------------------------------------------------------

    def join(self, sock: Any, group: str, source: str = "", *, leave: bool = False) -> None:
        """Membership of r at the device: MCAST_(JOIN|LEAVE)_(SOURCE_)GROUP."""
        option = (47 if source else 45) if leave else (46 if source else 42)
        body = pack("=I4x", self.station.dev.ifindex) + self._sockaddr(group)
        if source:
            body += self._sockaddr(source)
        sock.setsockopt(0 if self.v4 else 41, option, body, now=self.bed.now)
        self.bed.flush()

    def _sockaddr(self, address: str) -> bytes:
        if self.v4:
            return (pack("=HH", 2, 0) + frames.ip_int(address).to_bytes(4, "big")).ljust(128, b"\0")
        return (pack("=HHI", 10, 0, 0) + frames6.ip6_int(address).to_bytes(16, "big")).ljust(128, b"\0")

    def said(self) -> list[tuple[Any, ...]]:
        """What r said of groups on this link since the last call."""
        self.bed.flush()
        found, self.bed.log = self.bed.log, []
        told = []
        for dev, at, frame in found:
            layers = decode(frame).layers
            layer = layers.get("igmp" if self.v4 else "mld")
            if dev is self.station.dev and layer is not None:
                self._check(layers, layer)
                words = self._words(layer)
                if words is not None:
                    told.append((at / SECOND, *words))
        return told

    def words(self) -> list[tuple[Any, ...]]:
        """`said` without the times."""
        return [words[1:] for words in self.said()]

    def _words(self, layer: dict[str, Any]) -> tuple[Any, ...] | None:
        kind, group = layer["type"], layer["group"]
        text = None if not group else text_of(group.to_bytes(4 if self.v4 else 16, "big"))
        if text is not None and text.startswith("ff02::1:ff"):
            return None
        if kind in (0x22, 143):
            records = [record for record in layer["records"] if not record[1].startswith("ff02::1:ff")]
            return ("report", records) if records else None
        if kind in (0x17, 132):
            return "leave", text
        if kind in (0x11, 130):
            return "query", text, layer.get("sources"), layer.get("suppress", False)
        return "old", text

    def _check(self, layers: dict[str, Any], layer: dict[str, Any]) -> None:
        """Every message: TTL 1, router alert, and where it belongs (RFC 3376 4, 4.2.14; RFC 3810 5, 5.2.14)."""
        kind = layer["type"]
        ip = layers["ipv4" if self.v4 else "ipv6"]
        assert ip["ttl" if self.v4 else "hop_limit"] == 1
        to = {0x22: "224.0.0.22", 143: "ff02::16", 0x17: "224.0.0.2", 132: "ff02::2"}.get(kind)
        if to is not None:
            assert text_of(ip["dst"].to_bytes(4 if self.v4 else 16, "big")) == to
        if self.v4:
            assert (ip["options"], ip["tos"]) == (ALERT4, 0xC0)
