"""Matchers: objects equal to every frame that agrees with them in the fields they name.

    assert host.received == [icmp4(type=11, code=0, src="10.0.1.1", quotes=probe)]

A matcher is compared with raw bytes, an Ethernet frame or a bare IP packet. A field that is None, or not named, may
be anything; but lengths and checksums must be right (a zero UDP checksum is) unless the matcher is made with
``intact=False``. After a comparison that failed, the matcher's repr tells what it met and which fields were
different, so a failing assertion explains itself. ``describe`` is the one-line decoder behind that; ``Frame`` is
bytes with ``describe`` as their repr.

``quotes=`` names the frame or packet an ICMP error must be about: its IP header and at least 8 bytes of its data must
be quoted, and what is quoted must be the same but for TTL and header checksum, which routers change on the way. Over
IPv6 all that fits must be quoted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from vrouter.testing.decoding import Decoded, Frame, decode, describe, ip_text, is_packet, mac_text, u16
from vrouter.testing.octets import Ip, Mac, ip_bytes, mac_bytes

__all__ = [
    "Arp",
    "Frame",
    "Icmp4",
    "Icmp6",
    "Igmp",
    "Ipv4",
    "Ipv6",
    "Matcher",
    "Mld",
    "Ndp",
    "Udp",
    "arp",
    "decode",
    "describe",
    "icmp4",
    "icmp6",
    "igmp",
    "ipv4",
    "ipv6",
    "mld",
    "ndp",
    "udp",
]

_ETHERTYPES = (0x0800, 0x86DD)
_LONGEST_QUOTE6 = 1280 - 48

_FORMATS: Final[dict[str, Callable[[Any], str]]] = {
    **dict.fromkeys(("src", "dst", "spa", "tpa", "target", "destination", "group"), ip_text),
    **dict.fromkeys(("eth_src", "eth_dst", "sha", "tha", "source_mac", "target_mac"), mac_text),
    "quotes": describe,
}


def _show(name: str, value: Any) -> str:
    return repr(value) if value is None or name not in _FORMATS else _FORMATS[name](value)


class Matcher:
    """What the matchers share: a protocol names its layers, innermost first, and the fields it takes.

    A field belongs to the first of ``layers`` that has it.
    """

    layers: ClassVar[tuple[str, ...]]
    __hash__ = None  # type: ignore[assignment] # equal to many different things

    def __init__(self, intact: bool, fields: dict[str, Any]) -> None:
        self.intact = intact
        self.fields = {name: value for name, value in fields.items() if value is not None}
        self._met: bytes | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, bytes | bytearray | memoryview):
            return NotImplemented
        data = bytes(other)
        if self.differences(data):
            self._met = data
            return False
        self._met = None
        return True

    def differences(self, data: bytes) -> list[str]:
        """What keeps the frame or packet from matching, one text each; empty when it matches."""
        found = decode(data)
        if self.layers[0] not in found.layers:
            return [f"no {self.layers[0]} in it", *found.faults]
        wrong = [f"bad {fault}" for fault in found.faults] if self.intact else []
        for name, wanted in self.fields.items():
            wrong += self.field_differences(name, wanted, found)
        return wrong

    def field_differences(self, name: str, wanted: Any, found: Decoded) -> list[str]:
        """What is different in one named field."""
        for layer in self.layers:
            fields = found.layers.get(layer, {})
            if name in fields:
                got = fields[name]
                return [] if got == wanted else [f"{name} is {_show(name, got)}, not {_show(name, wanted)}"]
        return [f"no {name} in it"]

    def __repr__(self) -> str:
        shown = [f"{name}={_show(name, value)}" for name, value in self.fields.items()]
        if not self.intact:
            shown.append("intact=False")
        wanted = f"{self.layers[0]}({', '.join(shown)})"
        if self._met is None:
            return wanted
        return f"<{wanted} met {describe(self._met)}: {'; '.join(self.differences(self._met))}>"


def _address(value: Ip | None) -> int | None:
    return None if value is None else int.from_bytes(ip_bytes(value), "big")


def _hardware(value: Mac | None) -> bytes | None:
    return None if value is None else mac_bytes(value)


class Arp(Matcher):
    """An ARP packet of IPv4 over Ethernet."""

    layers = ("arp", "ethernet")

    def __init__(
        self,
        *,
        op: int | None = None,
        sha: Mac | None = None,
        spa: Ip | None = None,
        tha: Mac | None = None,
        tpa: Ip | None = None,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {"op": op, "sha": _hardware(sha), "spa": _address(spa), "tha": _hardware(tha), "tpa": _address(tpa)}
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


def _link(eth_src: Mac | None, eth_dst: Mac | None, vlan: int | None) -> dict[str, Any]:
    return {"eth_src": _hardware(eth_src), "eth_dst": _hardware(eth_dst), "vlan": vlan}


class Ipv4(Matcher):
    """An IPv4 packet, a fragment too; ``offset`` in bytes, ``payload`` is all behind the header."""

    layers = ("ipv4", "ethernet")

    def __init__(
        self,
        *,
        src: Ip | None = None,
        dst: Ip | None = None,
        proto: int | None = None,
        ttl: int | None = None,
        tos: int | None = None,
        ident: int | None = None,
        df: bool | None = None,
        mf: bool | None = None,
        offset: int | None = None,
        options: bytes | None = None,
        total_length: int | None = None,
        payload: bytes | None = None,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "src": _address(src),
            "dst": _address(dst),
            "proto": proto,
            "ttl": ttl,
            "tos": tos,
            "ident": ident,
            "df": df,
            "mf": mf,
            "offset": offset,
            "options": options,
            "total_length": total_length,
            "payload": payload,
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


class Udp(Matcher):
    """A whole UDP datagram over either family.

    ``ident`` is the identification of its IP header; ``ttl`` and ``tos`` are IPv6's hop limit and traffic class too.
    """

    layers = ("udp", "ipv4", "ipv6", "ethernet")

    def __init__(
        self,
        *,
        src: Ip | None = None,
        dst: Ip | None = None,
        sport: int | None = None,
        dport: int | None = None,
        payload: bytes | None = None,
        checksum: int | None = None,
        ttl: int | None = None,
        tos: int | None = None,
        ident: int | None = None,
        df: bool | None = None,
        options: bytes | None = None,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "src": _address(src),
            "dst": _address(dst),
            "sport": sport,
            "dport": dport,
            "payload": payload,
            "checksum": checksum,
            "ttl": ttl,
            "tos": tos,
            "ident": ident,
            "df": df,
            "options": options,
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


class Icmp4(Matcher):
    """An ICMP message over IPv4.

    ``ident`` and ``sequence`` are those of an echo, ``rest`` is the whole second word (gateway, pointer << 24, MTU),
    ``payload`` what follows it, ``quotes`` the frame or packet an error is about.
    """

    layers = ("icmp4", "ipv4", "ethernet")

    def __init__(
        self,
        *,
        type: int | None = None,  # noqa: A002 (the field's name)
        code: int | None = None,
        src: Ip | None = None,
        dst: Ip | None = None,
        rest: int | None = None,
        ident: int | None = None,
        sequence: int | None = None,
        payload: bytes | None = None,
        quotes: bytes | None = None,
        ttl: int | None = None,
        tos: int | None = None,
        df: bool | None = None,
        options: bytes | None = None,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "type": type,
            "code": code,
            "src": _address(src),
            "dst": _address(dst),
            "rest": rest,
            "ident": ident,
            "sequence": sequence,
            "payload": payload,
            "ttl": ttl,
            "tos": tos,
            "df": df,
            "options": options,
            "quotes": None if quotes is None else _packet_of(quotes),
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))

    def field_differences(self, name: str, wanted: Any, found: Decoded) -> list[str]:
        """As every matcher, and the comparison of a quoted packet."""
        if name != "quotes":
            return super().field_differences(name, wanted, found)
        return _quote_differences(found.layers[self.layers[0]]["payload"], wanted)


class Ipv6(Matcher):
    """An IPv6 packet, a fragment too.

    ``next_header`` is the header's, ``proto`` the upper-layer protocol; ``headers`` are the extension headers as
    (protocol, bytes), ``payload`` is all behind the IPv6 header. ``ident``, ``offset`` (in bytes) and ``mf`` are those
    of a fragment header.
    """

    layers = ("ipv6", "ethernet")

    def __init__(
        self,
        *,
        src: Ip | None = None,
        dst: Ip | None = None,
        next_header: int | None = None,
        proto: int | None = None,
        hop_limit: int | None = None,
        traffic_class: int | None = None,
        flow_label: int | None = None,
        payload_length: int | None = None,
        headers: list[tuple[int, bytes]] | None = None,
        ident: int | None = None,
        offset: int | None = None,
        mf: bool | None = None,
        payload: bytes | None = None,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "src": _address(src),
            "dst": _address(dst),
            "next_header": next_header,
            "proto": proto,
            "hop_limit": hop_limit,
            "traffic_class": traffic_class,
            "flow_label": flow_label,
            "payload_length": payload_length,
            "headers": headers,
            "ident": ident,
            "offset": offset,
            "mf": mf,
            "payload": payload,
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


class Icmp6(Icmp4):
    """An ICMPv6 message, with the fields of `Icmp4`; ``ttl`` and ``tos`` are the hop limit and the traffic class.

    An error must quote all that fits into 1280 bytes (RFC 4443 section 2.4 c).
    """

    layers = ("icmp6", "ipv6", "ethernet")


class Ndp(Matcher):
    """A message of neighbour discovery: ``type`` is 133 to 137.

    ``options`` are all of them as (kind, data); ``cur_hop_limit`` is what an advertisement says, ``preference`` its two
    bits, ``hop_limit`` that of the packet.
    """

    layers = ("ndp", "icmp6", "ipv6", "ethernet")

    def __init__(
        self,
        type: int | None = None,  # noqa: A002 (the field's name)
        *,
        code: int | None = 0,
        src: Ip | None = None,
        dst: Ip | None = None,
        target: Ip | None = None,
        destination: Ip | None = None,
        source_mac: Mac | None = None,
        target_mac: Mac | None = None,
        router: bool | None = None,
        solicited: bool | None = None,
        override: bool | None = None,
        cur_hop_limit: int | None = None,
        managed: bool | None = None,
        other: bool | None = None,
        preference: int | None = None,
        lifetime: int | None = None,
        reachable: int | None = None,
        retrans: int | None = None,
        mtu: int | None = None,
        nonce: bytes | None = None,
        redirected: bytes | None = None,
        options: list[tuple[int, bytes]] | None = None,
        hop_limit: int | None = 255,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "type": type,
            "code": code,
            "src": _address(src),
            "dst": _address(dst),
            "target": _address(target),
            "destination": _address(destination),
            "source_mac": _hardware(source_mac),
            "target_mac": _hardware(target_mac),
            "router": router,
            "solicited": solicited,
            "override": override,
            "cur_hop_limit": cur_hop_limit,
            "managed": managed,
            "other": other,
            "preference": preference,
            "lifetime": lifetime,
            "reachable": reachable,
            "retrans": retrans,
            "mtu": mtu,
            "nonce": nonce,
            "redirected": redirected,
            "options": options,
            "hop_limit": hop_limit,
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


class Mld(Matcher):
    """An MLD message: ``records`` are (kind, group, [sources]) and ``sources`` a query's, with addresses as text."""

    layers: ClassVar[tuple[str, ...]] = ("mld", "icmp6", "ipv6", "ethernet")

    def __init__(
        self,
        type: int | None = None,  # noqa: A002 (the field's name)
        *,
        src: Ip | None = None,
        dst: Ip | None = None,
        group: Ip | None = None,
        sources: list[str] | None = None,
        records: list[tuple[int, str, list[str]]] | None = None,
        ttl: int | None = 1,
        eth_src: Mac | None = None,
        eth_dst: Mac | None = None,
        vlan: int | None = None,
        intact: bool = True,
    ) -> None:
        fields = {
            "type": type,
            "src": _address(src),
            "dst": _address(dst),
            "group": _address(group),
            "sources": sources,
            "records": records,
            "ttl": ttl,
        }
        super().__init__(intact, fields | _link(eth_src, eth_dst, vlan))


class Igmp(Mld):
    """An IGMP message, with the fields of `Mld`."""

    layers = ("igmp", "ipv4", "ethernet")


def _packet_of(data: bytes) -> bytes:
    """The IP packet in a frame, without the padding behind it, or the packet itself; ValueError when there is none."""
    data = bytes(data)
    if not is_packet(data):
        link = decode(data).layers.get("ethernet", {})
        if link.get("ethertype") not in _ETHERTYPES or len(link["payload"]) < 20:
            raise ValueError(f"no IP packet to be quoted: {describe(data)}")
        data = link["payload"]
    return data[: 40 + u16(data, 4)] if data[0] >> 4 == 6 else data[: u16(data, 2)]


def _quote_differences(quoted: bytes, packet: bytes) -> list[str]:
    if packet[0] >> 4 == 6:
        least, changed = min(len(packet), _LONGEST_QUOTE6), [7]
    else:
        least, changed = min((packet[0] & 15) * 4 + 8, len(packet)), [8, 10, 11]
    if len(quoted) < least:
        return [f"quotes {len(quoted)} bytes, not {least} or more"]
    if len(quoted) > len(packet):
        return [f"quotes {len(quoted)} bytes of a packet of {len(packet)}"]
    for at, (got, wanted) in enumerate(zip(quoted, packet, strict=False)):
        if got != wanted and at not in changed:
            return [f"quoted byte {at} is 0x{got:02x}, not 0x{wanted:02x}"]
    return []


arp = Arp
ipv4 = Ipv4
ipv6 = Ipv6
udp = Udp
icmp4 = Icmp4
icmp6 = Icmp6
ndp = Ndp
mld = Mld
igmp = Igmp
