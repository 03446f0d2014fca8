"""Matchers: objects equal to every frame that agrees with them in the fields they name.

    assert host.received == [icmp4(type=11, code=0, src="10.0.1.1", quotes=probe)]

A matcher is compared with raw bytes, an Ethernet frame or a bare IP packet. A field that is None, or not named, may
be anything; but lengths and checksums must be right (a zero UDP checksum is) unless the matcher is made with
``intact=False``. After a comparison that failed, the matcher's repr tells what it met and which fields were
different, so a failing assertion explains itself. ``describe`` is the one-line decoder behind that; ``Frame`` is
bytes with ``describe`` as their repr.

``quotes=`` names the frame or packet an ICMP error must be about: its IP header and at least 8 bytes of its data must
be quoted, and what is quoted must be the same but for TTL and header checksum, which routers change on the way.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from vrouter.testing.frames import Ip, Mac, internet_checksum, ip_int, mac_bytes, pseudo_header

_IPV4, _ARP, _VLAN, _QINQ, _IPV6 = 0x0800, 0x0806, 0x8100, 0x88A8, 0x86DD
_ICMP, _UDP = 1, 17

_ICMP_NAMES: Final = {
    0: "echo reply",
    3: "unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
}
_ICMP_ERRORS = (3, 4, 5, 11, 12)


# --------------------------------------------------------------------------------------------------------------
# decoding


@dataclass(slots=True)
class Decoded:
    """What bytes say: the fields of each layer found, and what is broken in them."""

    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def decode(data: bytes) -> Decoded:
    """Decodes an Ethernet frame or a bare IPv4 packet as far as it goes; never raises on what is in it."""
    data = bytes(data)
    found = Decoded()
    if _is_packet(data):
        _decode_ipv4(data, found)
    else:
        _decode_ethernet(data, found)
    return found


def _is_packet(data: bytes) -> bool:
    """Whether the bytes start with an IPv4 header rather than an Ethernet header.

    A packet may carry a wrong length and a frame may go to a MAC address that looks like a version, so neither
    decides alone.
    """
    if len(data) < 20 or data[0] >> 4 != 4 or data[0] & 15 < 5:
        return False
    if _u16(data, 2) == len(data):
        return True
    return _u16(data, 12) not in (_IPV4, _ARP, _VLAN, _QINQ, _IPV6)


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _decode_ethernet(data: bytes, found: Decoded) -> None:
    if len(data) < 14:
        found.faults.append(f"a frame of {len(data)} bytes")
        return
    layer: dict[str, Any] = {"eth_dst": data[:6], "eth_src": data[6:12], "ethertype": _u16(data, 12), "vlan": None}
    found.layers["ethernet"] = layer
    at = 14
    if layer["ethertype"] == _VLAN and len(data) >= 18:
        layer["vlan"], layer["ethertype"] = _u16(data, 14) & 0xFFF, _u16(data, 16)
        at = 18
    layer["payload"] = data[at:]
    if layer["ethertype"] == _ARP:
        _decode_arp(data[at:], found)
    elif layer["ethertype"] == _IPV4:
        _decode_ipv4(data[at:], found)


def _decode_arp(data: bytes, found: Decoded) -> None:
    if len(data) < 28:
        found.faults.append("ARP cut short")
        return
    if data[:6] != b"\0\1\x08\0\6\4":
        found.faults.append("ARP of other types or lengths than Ethernet's and IPv4's")
        return
    found.layers["arp"] = {
        "op": _u16(data, 6),
        "sha": data[8:14],
        "spa": _u32(data, 14),
        "tha": data[18:24],
        "tpa": _u32(data, 24),
    }


def _decode_ipv4(data: bytes, found: Decoded) -> None:
    if len(data) < 20 or data[0] >> 4 != 4:
        found.faults.append("no IPv4 header")
        return
    header_len, total_length, word = (data[0] & 15) * 4, _u16(data, 2), _u16(data, 6)
    whole = 20 <= header_len <= total_length <= len(data)
    if not whole:
        found.faults.append(f"IPv4 lengths (header {header_len}, total {total_length}, there {len(data)})")
    elif internet_checksum(data[:header_len]) != 0:
        found.faults.append("IPv4 header checksum")
    layer: dict[str, Any] = {
        "src": _u32(data, 12),
        "dst": _u32(data, 16),
        "proto": data[9],
        "ttl": data[8],
        "tos": data[1],
        "ident": _u16(data, 4),
        "df": bool(word & 0x4000),
        "mf": bool(word & 0x2000),
        "offset": (word & 0x1FFF) * 8,
        "options": data[20:header_len],
        "total_length": total_length,
        "payload": data[header_len:total_length],
    }
    found.layers["ipv4"] = layer
    if not whole:
        return
    if layer["mf"] or layer["offset"]:
        return
    if layer["proto"] == _ICMP:
        _decode_icmp4(layer["payload"], found)
    elif layer["proto"] == _UDP:
        _decode_udp(layer, layer["payload"], found)


def _decode_icmp4(data: bytes, found: Decoded) -> None:
    if len(data) < 8:
        found.faults.append("ICMP cut short")
        return
    if internet_checksum(data) != 0:
        found.faults.append("ICMP checksum")
    found.layers["icmp4"] = {
        "type": data[0],
        "code": data[1],
        "rest": _u32(data, 4),
        "ident": _u16(data, 4),
        "sequence": _u16(data, 6),
        "payload": data[8:],
    }


def _decode_udp(network: dict[str, Any], data: bytes, found: Decoded) -> None:
    length = _u16(data, 4)
    if len(data) < 8 or not 8 <= length <= len(data):
        found.faults.append("UDP length")
        return
    data = data[:length]
    checksum = _u16(data, 6)
    if checksum and internet_checksum(pseudo_header(network["src"], network["dst"], _UDP, length) + data) != 0:
        found.faults.append("UDP checksum")
    found.layers["udp"] = {"sport": _u16(data, 0), "dport": _u16(data, 2), "checksum": checksum, "payload": data[8:]}


# ------------------------------------------------------------------------------------------------------------
# describing


def _ip(address: int) -> str:
    return str(ipaddress.IPv4Address(address))


def _mac(mac: bytes) -> str:
    return mac.hex(":")


def describe(data: bytes) -> str:
    """A frame or IP packet in one line, much as tcpdump prints it; never raises on what is in it."""
    found = decode(data)
    words = []
    layers = found.layers
    if "ethernet" in layers:
        link = layers["ethernet"]
        words.append(f"{_mac(link['eth_src'])} > {_mac(link['eth_dst'])}")
        if link["vlan"] is not None:
            words.append(f"vlan {link['vlan']}")
    if "arp" in layers:
        words.append(_describe_arp(layers["arp"]))
    elif "ipv4" in layers:
        words.append(_describe_ipv4(layers))
    elif "ethernet" in layers:
        link = layers["ethernet"]
        words.append(f"ethertype 0x{link['ethertype']:04x}, length {len(link['payload'])}")
    if found.faults:
        words.append(f"[bad: {'; '.join(found.faults)}]")
    return " ".join(words)


def _describe_arp(layer: dict[str, Any]) -> str:
    sender, target = _ip(layer["spa"]), _ip(layer["tpa"])
    if layer["op"] == 1:
        return f"ARP who-has {target} tell {sender}"
    if layer["op"] == 2:
        return f"ARP reply {sender} is-at {_mac(layer['sha'])} to {target}"
    return f"ARP op {layer['op']} from {sender} to {target}"


def _describe_ipv4(layers: dict[str, dict[str, Any]]) -> str:
    network = layers["ipv4"]
    source, target = _ip(network["src"]), _ip(network["dst"])
    if "udp" in layers:
        ports = layers["udp"]
        said = f"IP {source}.{ports['sport']} > {target}.{ports['dport']}: UDP, length {len(ports['payload'])}"
    elif "icmp4" in layers:
        said = f"IP {source} > {target}: {_describe_icmp4(layers['icmp4'])}"
    else:
        said = f"IP {source} > {target}: proto {network['proto']}, length {len(network['payload'])}"
    said += f", ttl {network['ttl']}"
    if network["tos"]:
        said += f", tos 0x{network['tos']:02x}"
    if network["ident"] or network["mf"] or network["offset"]:
        said += f", id {network['ident']}"
    if network["df"]:
        said += ", DF"
    if network["mf"] or network["offset"]:
        said += f", fragment {network['offset']}{'+' if network['mf'] else ''}"
    if network["options"]:
        said += f", options {network['options'].hex()}"
    return said


def _describe_icmp4(layer: dict[str, Any]) -> str:
    kind = layer["type"]
    said = f"ICMP {_ICMP_NAMES.get(kind, f'type {kind}')}"
    if kind in (0, 8):
        return f"{said}, id {layer['ident']}, seq {layer['sequence']}, length {len(layer['payload'])}"
    said += f", code {layer['code']}"
    if layer["rest"]:
        said += f", rest 0x{layer['rest']:08x}"
    if kind in _ICMP_ERRORS:
        said += f", quoting {_describe_quote(layer['payload'])}"
    return said


def _describe_quote(data: bytes) -> str:
    """The quoted start of a packet: header fields alone, since lengths and checksums cover what was cut off."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return f"{len(data)} bytes"
    said = f"{len(data)} bytes of {_ip(_u32(data, 12))} > {_ip(_u32(data, 16))} proto {data[9]}"
    at = (data[0] & 15) * 4
    if data[9] == _UDP and not _u16(data, 6) & 0x1FFF and len(data) >= at + 4:
        said += f" ports {_u16(data, at)} > {_u16(data, at + 2)}"
    return f"[{said}]"


class Frame(bytes):
    """Bytes of a frame or packet that print as ``describe`` tells them; otherwise plain bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{describe(self)}>"

    __str__ = __repr__


# --------------------------------------------------------------------------------------------------------------
# matching

_FORMATS: Final[dict[str, Callable[[Any], str]]] = {
    **dict.fromkeys(("src", "dst", "spa", "tpa"), _ip),
    **dict.fromkeys(("eth_src", "eth_dst", "sha", "tha"), _mac),
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
    return None if value is None else ip_int(value)


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
    """A whole UDP datagram; ``ident`` is the identification of its IP header."""

    layers = ("udp", "ipv4", "ethernet")

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
        return _quote_differences(found.layers["icmp4"]["payload"], wanted)


def _packet_of(data: bytes) -> bytes:
    """The IP packet in a frame, without the padding behind it, or the packet itself; ValueError when there is none."""
    data = bytes(data)
    if not _is_packet(data):
        link = decode(data).layers.get("ethernet", {})
        if link.get("ethertype") != _IPV4 or len(link["payload"]) < 20:
            raise ValueError(f"no IPv4 packet to be quoted: {describe(data)}")
        data = link["payload"]
    return data[: _u16(data, 2)]


def _quote_differences(quoted: bytes, packet: bytes) -> list[str]:
    header_len = (packet[0] & 15) * 4
    least = min(header_len + 8, len(packet))
    if len(quoted) < least:
        return [f"quotes {len(quoted)} bytes, not {least} or more"]
    if len(quoted) > len(packet):
        return [f"quotes {len(quoted)} bytes of a packet of {len(packet)}"]
    for at, (got, wanted) in enumerate(zip(quoted, packet, strict=False)):
        if got != wanted and at not in (8, 10, 11):
            return [f"quoted byte {at} is 0x{got:02x}, not 0x{wanted:02x}"]
    return []


arp = Arp
ipv4 = Ipv4
udp = Udp
icmp4 = Icmp4
