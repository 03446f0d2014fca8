"""What the bytes of a frame or packet say: ``decode`` for the matchers, ``describe`` for people.

Nothing here raises on what is in the bytes; what is broken in them is told. The code is plain and slow on purpose and
shares nothing with the stack.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, Final

from vrouter.testing.octets import internet_checksum, pseudo_header

_IPV4, _ARP, _VLAN, _QINQ, _IPV6 = 0x0800, 0x0806, 0x8100, 0x88A8, 0x86DD
_ICMP, _IGMP, _UDP, _ICMP6 = 1, 2, 17, 58
_HOPOPTS, _ROUTING, _FRAGMENT, _DSTOPTS = 0, 43, 44, 60

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
_ICMP6_NAMES: Final = {
    1: "unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "listener query",
    131: "listener report",
    132: "listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    143: "listener report v2",
}
# Bytes in front of the options of each message of neighbour discovery.
_NDP: Final = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}


# --------------------------------------------------------------------------------------------------------------
# decoding


@dataclass(slots=True)
class Decoded:
    """What bytes say: the fields of each layer found, and what is broken in them."""

    layers: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def decode(data: bytes) -> Decoded:
    """Decodes an Ethernet frame or a bare IP packet as far as it goes; never raises on what is in it."""
    data = bytes(data)
    found = Decoded()
    if not is_packet(data):
        _decode_ethernet(data, found)
    elif data[0] >> 4 == 6:
        _decode_ipv6(data, found)
    else:
        _decode_ipv4(data, found)
    return found


def is_packet(data: bytes) -> bool:
    """Whether the bytes start with an IP header rather than an Ethernet header.

    A packet may carry a wrong length and a frame may go to a MAC address that looks like a version, so neither
    decides alone.
    """
    if len(data) >= 40 and data[0] >> 4 == 6:
        whole = 40 + u16(data, 4)
    elif len(data) >= 20 and data[0] >> 4 == 4 and data[0] & 15 >= 5:
        whole = u16(data, 2)
    else:
        return False
    if whole == len(data):
        return True
    return u16(data, 12) not in (_IPV4, _ARP, _VLAN, _QINQ, _IPV6)


def u16(data: bytes, at: int) -> int:
    """16 bits; fewer where the data ends."""
    return int.from_bytes(data[at : at + 2], "big")


def u32(data: bytes, at: int) -> int:
    """32 bits; fewer where the data ends."""
    return int.from_bytes(data[at : at + 4], "big")


def _decode_ethernet(data: bytes, found: Decoded) -> None:
    if len(data) < 14:
        found.faults.append(f"a frame of {len(data)} bytes")
        return
    layer: dict[str, Any] = {"eth_dst": data[:6], "eth_src": data[6:12], "ethertype": u16(data, 12), "vlan": None}
    found.layers["ethernet"] = layer
    at, tags = 14, []
    while layer["ethertype"] in (_VLAN, _QINQ) and len(data) >= at + 4:
        tags.append((layer["ethertype"], u16(data, at)))
        layer["ethertype"], at = u16(data, at + 2), at + 4
    if tags:
        layer["vlan"] = tags[0][1] & 0xFFF
    layer["vlans"] = [tci & 0xFFF for _, tci in tags]
    layer["tpids"] = [tpid for tpid, _ in tags]
    layer["pcp"] = tags[0][1] >> 13 if tags else None
    layer["payload"] = data[at:]
    if layer["ethertype"] == _ARP:
        _decode_arp(data[at:], found)
    elif layer["ethertype"] == _IPV4:
        _decode_ipv4(data[at:], found)
    elif layer["ethertype"] == _IPV6:
        _decode_ipv6(data[at:], found)


def _decode_arp(data: bytes, found: Decoded) -> None:
    if len(data) < 28:
        found.faults.append("ARP cut short")
        return
    if data[:6] != b"\0\1\x08\0\6\4":
        found.faults.append("ARP of other types or lengths than Ethernet's and IPv4's")
        return
    found.layers["arp"] = {
        "op": u16(data, 6),
        "sha": data[8:14],
        "spa": u32(data, 14),
        "tha": data[18:24],
        "tpa": u32(data, 24),
    }


def _decode_ipv4(data: bytes, found: Decoded) -> None:
    if len(data) < 20 or data[0] >> 4 != 4:
        found.faults.append("no IPv4 header")
        return
    header_len, total_length, word = (data[0] & 15) * 4, u16(data, 2), u16(data, 6)
    whole = 20 <= header_len <= total_length <= len(data)
    if not whole:
        found.faults.append(f"IPv4 lengths (header {header_len}, total {total_length}, there {len(data)})")
    elif internet_checksum(data[:header_len]) != 0:
        found.faults.append("IPv4 header checksum")
    layer: dict[str, Any] = {
        "src": u32(data, 12),
        "dst": u32(data, 16),
        "proto": data[9],
        "ttl": data[8],
        "tos": data[1],
        "ident": u16(data, 4),
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
    elif layer["proto"] == _IGMP:
        _decode_igmp(layer["payload"], found)
    elif layer["proto"] == _UDP:
        _decode_udp(data[12:16], data[16:20], layer["payload"], found)


def _decode_icmp4(data: bytes, found: Decoded) -> None:
    if len(data) < 8:
        found.faults.append("ICMP cut short")
        return
    if internet_checksum(data) != 0:
        found.faults.append("ICMP checksum")
    found.layers["icmp4"] = {
        "type": data[0],
        "code": data[1],
        "rest": u32(data, 4),
        "ident": u16(data, 4),
        "sequence": u16(data, 6),
        "payload": data[8:],
    }


def _decode_udp(src: bytes, dst: bytes, data: bytes, found: Decoded) -> None:
    length = u16(data, 4)
    if len(data) < 8 or not 8 <= length <= len(data):
        found.faults.append("UDP length")
        return
    data = data[:length]
    checksum = u16(data, 6)
    if not checksum and len(src) == 16:
        found.faults.append("UDP without a checksum over IPv6")
    if checksum and internet_checksum(pseudo_header(src, dst, _UDP, length) + data) != 0:
        found.faults.append("UDP checksum")
    found.layers["udp"] = {"sport": u16(data, 0), "dport": u16(data, 2), "checksum": checksum, "payload": data[8:]}


def _decode_igmp(data: bytes, found: Decoded) -> None:
    if len(data) < 8:
        found.faults.append("IGMP cut short")
        return
    if internet_checksum(data) != 0:
        found.faults.append("IGMP checksum")
    layer: dict[str, Any] = {"type": data[0], "code": data[1], "group": u32(data, 4)}
    if data[0] == 0x22:
        layer["records"] = _decode_records(data, u16(data, 6), 4, found)
    elif data[0] == 0x11 and len(data) >= 12:
        layer["sources"] = [text_of(data[at : at + 4]) for at in range(12, 12 + u16(data, 10) * 4, 4)]
    found.layers["igmp"] = layer


def _decode_records(data: bytes, count: int, width: int, found: Decoded) -> list[tuple[int, str, list[str]]]:
    records, at = [], 8
    for _ in range(count):
        first = at + 4 + width
        after = first + u16(data, at + 2) * width
        if after > len(data):
            found.faults.append("a group record cut short")
            break
        sources = [text_of(data[i : i + width]) for i in range(first, after, width)]
        records.append((data[at], text_of(data[at + 4 : first]), sources))
        at = after + data[at + 1] * 4
    return records


def _decode_ipv6(data: bytes, found: Decoded) -> None:
    if len(data) < 40 or data[0] >> 4 != 6:
        found.faults.append("no IPv6 header")
        return
    length, word = u16(data, 4), u32(data, 0)
    if 40 + length > len(data):
        found.faults.append(f"IPv6 payload length ({length}, there {len(data) - 40})")
    data = data[: 40 + length]
    layer: dict[str, Any] = {
        "src": int.from_bytes(data[8:24], "big"),
        "dst": int.from_bytes(data[24:40], "big"),
        "next_header": data[6],
        "hop_limit": data[7],
        "ttl": data[7],
        "traffic_class": word >> 20 & 0xFF,
        "tos": word >> 20 & 0xFF,
        "flow_label": word & 0xFFFFF,
        "payload_length": length,
        "payload": data[40:],
        "headers": [],
        "ident": None,
        "offset": 0,
        "mf": False,
    }
    found.layers["ipv6"] = layer
    proto, at = data[6], 40
    while proto in (_HOPOPTS, _ROUTING, _FRAGMENT, _DSTOPTS) and not layer["offset"]:
        size = 8 if proto == _FRAGMENT else 8 + data[at + 1] * 8 if len(data) - at >= 8 else 8
        if len(data) - at < size:
            found.faults.append("an extension header cut short")
            return
        layer["headers"].append((proto, data[at : at + size]))
        if proto == _FRAGMENT:
            layer["ident"], layer["offset"], layer["mf"] = (
                u32(data, at + 4),
                u16(data, at + 2) & 0xFFF8,
                data[at + 3] & 1,
            )
        proto, at = data[at], at + size
    layer["proto"] = proto
    layer["mf"] = bool(layer["mf"])
    if layer["mf"] or layer["offset"]:
        return
    if proto == _UDP:
        _decode_udp(data[8:24], data[24:40], data[at:], found)
    elif proto == _ICMP6:
        _decode_icmp6(data[8:24], data[24:40], data[at:], found)


def _decode_icmp6(src: bytes, dst: bytes, data: bytes, found: Decoded) -> None:
    if len(data) < 8:
        found.faults.append("ICMPv6 cut short")
        return
    if internet_checksum(pseudo_header(src, dst, _ICMP6, len(data)) + data) != 0:
        found.faults.append("ICMPv6 checksum")
    kind = data[0]
    found.layers["icmp6"] = {
        "type": kind,
        "code": data[1],
        "rest": u32(data, 4),
        "ident": u16(data, 4),
        "sequence": u16(data, 6),
        "payload": data[8:],
    }
    if kind in _NDP:
        _decode_ndp(data, found)
    elif kind in (130, 131, 132, 143):
        _decode_mld(data, found)


def _decode_ndp(data: bytes, found: Decoded) -> None:
    kind, at = data[0], _NDP[data[0]]
    if len(data) < at:
        found.faults.append("neighbour discovery cut short")
        return
    layer: dict[str, Any] = {"type": kind, "source_mac": None, "target_mac": None, "options": []}
    if kind == 134:
        layer |= {"cur_hop_limit": data[4], "managed": bool(data[5] & 0x80), "other": bool(data[5] & 0x40)}
        layer |= {"preference": data[5] >> 3 & 3, "lifetime": u16(data, 6)}
        layer |= {"reachable": u32(data, 8), "retrans": u32(data, 12), "mtu": None}
    elif kind == 136:
        flags = data[4]
        layer |= {"router": bool(flags & 0x80), "solicited": bool(flags & 0x40), "override": bool(flags & 0x20)}
    if kind > 134:
        layer["target"] = int.from_bytes(data[8:24], "big")
    if kind == 137:
        layer["destination"] = int.from_bytes(data[24:40], "big")
    while at < len(data):
        size = data[at + 1] * 8 if at + 1 < len(data) else 0
        if not size or at + size > len(data):
            found.faults.append("an option of neighbour discovery of a wrong length")
            break
        option = data[at : at + size]
        layer["options"].append((option[0], option[2:]))
        if option[0] in (1, 2):
            layer["source_mac" if option[0] == 1 else "target_mac"] = option[2:8]
        elif option[0] == 5:
            layer["mtu"] = u32(option, 4)
        elif option[0] == 14:
            layer["nonce"] = option[2:]
        elif option[0] == 4:
            layer["redirected"] = option[8:]
        at += size
    found.layers["ndp"] = layer


def _decode_mld(data: bytes, found: Decoded) -> None:
    layer: dict[str, Any] = {"type": data[0], "max_response": u16(data, 4), "group": None}
    if data[0] == 143:
        layer["records"] = _decode_records(data, u16(data, 6), 16, found)
    elif len(data) < 24:
        found.faults.append("MLD cut short")
    else:
        layer["group"] = int.from_bytes(data[8:24], "big")
        if data[0] == 130 and len(data) >= 28:
            layer["sources"] = [text_of(data[at : at + 16]) for at in range(28, 28 + u16(data, 26) * 16, 16)]
    found.layers["mld"] = layer


def text_of(octets: bytes) -> str:
    """The text of an address of 4 or 16 octets; hexadecimal digits where some are missing."""
    return str(ipaddress.ip_address(octets)) if len(octets) in (4, 16) else octets.hex()


# ------------------------------------------------------------------------------------------------------------
# describing


def ip_text(address: int) -> str:
    """The text of an address; one of more than 32 bits is IPv6's."""
    return str(ipaddress.ip_address(address))


def mac_text(mac: bytes) -> str:
    """Lower case, with colons."""
    return mac.hex(":")


def _ip6(address: int) -> str:
    return str(ipaddress.IPv6Address(address))


def describe(data: bytes) -> str:
    """A frame or IP packet in one line, much as tcpdump prints it; never raises on what is in it."""
    found = decode(data)
    words = []
    layers = found.layers
    if "ethernet" in layers:
        link = layers["ethernet"]
        words.append(f"{mac_text(link['eth_src'])} > {mac_text(link['eth_dst'])}")
        words += [f"vlan {vid}" for vid in link["vlans"]]
    if "arp" in layers:
        words.append(_describe_arp(layers["arp"]))
    elif "ipv4" in layers:
        words.append(_describe_ipv4(layers))
    elif "ipv6" in layers:
        words.append(_describe_ipv6(layers))
    elif "ethernet" in layers:
        link = layers["ethernet"]
        words.append(f"ethertype 0x{link['ethertype']:04x}, length {len(link['payload'])}")
    if found.faults:
        words.append(f"[bad: {'; '.join(found.faults)}]")
    return " ".join(words)


def _describe_arp(layer: dict[str, Any]) -> str:
    sender, target = ip_text(layer["spa"]), ip_text(layer["tpa"])
    if layer["op"] == 1:
        return f"ARP who-has {target} tell {sender}"
    if layer["op"] == 2:
        return f"ARP reply {sender} is-at {mac_text(layer['sha'])} to {target}"
    return f"ARP op {layer['op']} from {sender} to {target}"


def _describe_ipv4(layers: dict[str, dict[str, Any]]) -> str:
    network = layers["ipv4"]
    source, target = ip_text(network["src"]), ip_text(network["dst"])
    if "udp" in layers:
        ports = layers["udp"]
        said = f"IP {source}.{ports['sport']} > {target}.{ports['dport']}: UDP, length {len(ports['payload'])}"
    elif "icmp4" in layers:
        said = f"IP {source} > {target}: {_describe_icmp4(layers['icmp4'])}"
    elif "igmp" in layers:
        said = f"IP {source} > {target}: IGMP type 0x{layers['igmp']['type']:02x}{_describe_group(layers['igmp'], 4)}"
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


def _describe_group(layer: dict[str, Any], family: int) -> str:
    if "records" in layer:
        return "".join(f", {kind} {group} {{{' '.join(sources)}}}" for kind, group, sources in layer["records"])
    group = "" if layer["group"] is None else ip_text(layer["group"]) if family == 4 else _ip6(layer["group"])
    return f", group {group}"


def _describe_ipv6(layers: dict[str, dict[str, Any]]) -> str:
    network = layers["ipv6"]
    source, target = _ip6(network["src"]), _ip6(network["dst"])
    if "udp" in layers:
        ports = layers["udp"]
        said = f"IP6 {source}.{ports['sport']} > {target}.{ports['dport']}: UDP, length {len(ports['payload'])}"
    elif "icmp6" in layers:
        said = f"IP6 {source} > {target}: {_describe_icmp6(layers)}"
    else:
        proto = network.get("proto", network["next_header"])
        said = f"IP6 {source} > {target}: proto {proto}, length {network['payload_length']}"
    said += f", hlim {network['hop_limit']}"
    if network["traffic_class"]:
        said += f", class 0x{network['traffic_class']:02x}"
    if network["flow_label"]:
        said += f", flow 0x{network['flow_label']:05x}"
    for proto, header in network["headers"]:
        if proto == _FRAGMENT:
            said += f", id {network['ident']}, fragment {network['offset']}{'+' if network['mf'] else ''}"
        else:
            said += f", header {proto} {header[2:].hex()}"
    return said


def _describe_icmp6(layers: dict[str, dict[str, Any]]) -> str:
    layer = layers["icmp6"]
    kind = layer["type"]
    said = f"ICMP6 {_ICMP6_NAMES.get(kind, f'type {kind}')}"
    if kind in (128, 129):
        return f"{said}, id {layer['ident']}, seq {layer['sequence']}, length {len(layer['payload'])}"
    if kind < 128 or layer["code"]:
        said += f", code {layer['code']}"
    if kind < 128:
        return f"{said}, rest 0x{layer['rest']:08x}, quoting {_describe_quote6(layer['payload'])}"
    if "mld" in layers:
        return said + _describe_group(layers["mld"], 6)
    for name, value in layers.get("ndp", {}).items():
        if name in ("target", "destination"):
            said += f", {name} {_ip6(value)}"
        elif name in ("source_mac", "target_mac") and value is not None:
            said += f", {name} {mac_text(value)}"
        elif value is True:
            said += f", {name}"
        elif name in ("lifetime", "mtu") and value is not None:
            said += f", {name} {value}"
    return said


def _describe_quote6(data: bytes) -> str:
    if len(data) < 40 or data[0] >> 4 != 6:
        return f"{len(data)} bytes"
    said = f"{len(data)} bytes of {text_of(data[8:24])} > {text_of(data[24:40])} proto {data[6]}"
    if data[6] == _UDP and len(data) >= 44:
        said += f" ports {u16(data, 40)} > {u16(data, 42)}"
    return f"[{said}]"


def _describe_quote(data: bytes) -> str:
    """The quoted start of a packet: header fields alone, since lengths and checksums cover what was cut off."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return f"{len(data)} bytes"
    said = f"{len(data)} bytes of {ip_text(u32(data, 12))} > {ip_text(u32(data, 16))} proto {data[9]}"
    at = (data[0] & 15) * 4
    if data[9] == _UDP and not u16(data, 6) & 0x1FFF and len(data) >= at + 4:
        said += f" ports {u16(data, at)} > {u16(data, at + 2)}"
    return f"[{said}]"


class Frame(bytes):
    """Bytes of a frame or packet that print as ``describe`` tells them; otherwise plain bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{describe(self)}>"

    __str__ = __repr__
