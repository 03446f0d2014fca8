"""What is in an IPv4 or IPv6 packet, in the words of tcpdump(8).

`at` is where the header begins in the frame; an error message is told with the address of the packet that it is about.
"""

from __future__ import annotations

from typing import Final

from vrouter.cli.packet_bytes import ipv4, ipv6, u16, u32
from vrouter.cli.packet_icmp6 import describe_icmp6

_PROTOCOLS: Final = {
    1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP", 51: "AH", 58: "ICMP6", 59: "no next header",
    89: "OSPF",
}  # fmt: skip
_ICMP: Final = {
    0: "echo reply", 8: "echo request", 13: "time stamp request", 14: "time stamp reply",
}  # fmt: skip
_UNREACHABLE: Final = {
    0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    4: "unreachable - need to frag", 5: "source route failed", 9: "net prohibited", 10: "host prohibited",
    13: "administratively prohibited",
}  # fmt: skip
_TCP_FLAGS: Final = ((2, "S"), (1, "F"), (4, "R"), (8, "P"), (32, "U"), (16, "."))
_EXTENSIONS: Final = {0: "HBH", 43: "RT", 44: "frag", 51: "AH", 60: "DSTOPT"}
_MAX_HEADERS: Final = 16
_IGMP_RECORDS: Final = ("0", "is_in", "is_ex", "to_in", "to_ex", "allow", "block")
_LISTED: Final = 4


def describe_ip(frame: bytes, at: int) -> str:
    """An IPv4 packet."""
    if len(frame) < at + 20 or frame[at] >> 4 != 4 or frame[at] & 15 < 5:
        return "[|IP]"
    header = (frame[at] & 15) * 4
    total, fragment, proto = u16(frame, at + 2), u16(frame, at + 6), frame[at + 9]
    src, dst = ipv4(frame, at + 12), ipv4(frame, at + 16)
    offset, more = (fragment & 0x1FFF) * 8, fragment & 0x2000
    frag = f", frag {u16(frame, at + 4)}:{offset}{'+' if more else ''}" if offset or more else ""
    data, size = frame[at + header : at + total], total - header
    if offset:
        return f"IP {src} > {dst}: {_PROTOCOLS.get(proto, f'proto {proto}')}{frag}, length {size}"
    return _payload("IP", src, dst, proto, data, size, frag)


def describe_ip6(frame: bytes, at: int) -> str:
    """An IPv6 packet, its extension headers by their names."""
    if len(frame) < at + 40 or frame[at] >> 4 != 6:
        return "[|IP6]"
    size, proto = u16(frame, at + 4), frame[at + 6]
    src, dst = ipv6(frame, at + 8), ipv6(frame, at + 24)
    data, names, frag = frame[at + 40 : at + 40 + size], "", ""
    for _ in range(_MAX_HEADERS):
        if proto not in _EXTENSIONS or len(data) < 8:
            break
        names += f"{_EXTENSIONS[proto]} "
        length = 8 if proto == 44 else (data[1] + 2) * 4 if proto == 51 else (data[1] + 1) * 8
        if proto == 44:
            word = u16(data, 2)
            frag = f", frag {u32(data, 4)}:{word & 0xFFF8}{'+' if word & 1 else ''}"
        proto, data, size = data[0], data[length:], size - length
        if frag and word & 0xFFF8:
            return f"IP6 {src} > {dst}: {names}{_PROTOCOLS.get(proto, f'proto {proto}')}{frag}, length {max(0, size)}"
    return _payload("IP6", src, dst, proto, data, max(0, size), frag, names)


def _payload(version: str, src: str, dst: str, proto: int, data: bytes, size: int, frag: str, names: str = "") -> str:
    ends = f"{version} {src} > {dst}: {names}"
    if proto in (6, 17) and len(data) >= 8:
        text = _udp(data) if proto == 17 else _tcp(data, size)
        return f"{version} {src}.{u16(data, 0)} > {dst}.{u16(data, 2)}: {names}{text}{frag}"
    if version == "IP6" and proto == 58 and len(data) >= 4:
        return f"{ends}ICMP6, {describe_icmp6(data)}{frag}, length {size}"
    if version == "IP" and proto == 1 and len(data) >= 8:
        return f"{ends}ICMP {_icmp(data)}{frag}, length {size}"
    if version == "IP" and proto == 2 and len(data) >= 8:
        return f"{ends}igmp {_igmp(data)}{frag}"
    return f"{ends}{_PROTOCOLS.get(proto, f'proto {proto}')}{frag}, length {size}"


def _udp(data: bytes) -> str:
    return f"UDP, length {u16(data, 4) - 8}"


def _tcp(data: bytes, size: int) -> str:
    if len(data) < 20:
        return "TCP [|tcp]"
    flags = "".join(letter for bit, letter in _TCP_FLAGS if data[13] & bit) or "none"
    acked = f", ack {u32(data, 8)}" if data[13] & 16 else ""
    return f"Flags [{flags}], seq {u32(data, 4)}{acked}, win {u16(data, 14)}, length {size - (data[12] >> 4) * 4}"


def _icmp(data: bytes) -> str:
    kind, code = data[0], data[1]
    if kind in _ICMP:
        return f"{_ICMP[kind]}, id {u16(data, 4)}, seq {u16(data, 6)}"
    about = f" ({ipv4(data, 24)})" if len(data) >= 28 else ""
    if kind == 3:
        mtu = f" (mtu {u16(data, 6)})" if code == 4 else ""
        return f"{_UNREACHABLE.get(code, f'unreachable code {code}')}{mtu}{about}"
    if kind == 11:
        return ("time exceeded in-transit" if code == 0 else "reassembly time exceeded") + about
    if kind == 5:
        return f"redirect to {ipv4(data, 4)}{about}"
    return f"type {kind} code {code}"


def _igmp(data: bytes) -> str:
    kind, group = data[0], ipv4(data, 4)
    about = "" if group == "0.0.0.0" else f" [gaddr {group}]"
    if kind == 0x11:
        version = "v3" if len(data) >= 12 else "v2" if data[1] else "v1"
        return f"query {version}{about}"
    if kind in (0x12, 0x16):
        return f"{'v1' if kind == 0x12 else 'v2'} report {group}"
    if kind == 0x17:
        return f"leave {group}"
    if kind != 0x22:
        return f"type 0x{kind:02x}"
    found: list[str] = []
    at, count = 8, u16(data, 6)
    while len(found) < min(count, _LISTED) and len(data) >= at + 8:
        action = _IGMP_RECORDS[data[at]] if data[at] < len(_IGMP_RECORDS) else str(data[at])
        found.append(f"[gaddr {ipv4(data, at + 4)} {action}, {u16(data, at + 2)} source(s)]")
        at += 8 + u16(data, at + 2) * 4 + data[at + 1] * 4
    return " ".join([f"v3 report, {count} group record(s)", *found])
