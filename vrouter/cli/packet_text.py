"""A frame as one line, in the words of tcpdump(8). Whatever the bytes are, there is a line."""

from __future__ import annotations

from typing import Final

_ETHERTYPES: Final = {0x0800: "IP", 0x0806: "ARP", 0x86DD: "IP6"}
_PROTOCOLS: Final = {1: "ICMP", 2: "IGMP", 6: "TCP", 17: "UDP", 47: "GRE", 89: "OSPF"}
_ICMP: Final = {
    0: "echo reply", 8: "echo request", 13: "time stamp request", 14: "time stamp reply",
}  # fmt: skip
_UNREACHABLE: Final = {
    0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    4: "unreachable - need to frag", 5: "source route failed", 9: "net prohibited", 10: "host prohibited",
    13: "administratively prohibited",
}  # fmt: skip
_TCP_FLAGS: Final = ((2, "S"), (1, "F"), (4, "R"), (8, "P"), (32, "U"), (16, "."))


def describe(frame: bytes) -> str:
    """The line for an Ethernet frame, perhaps cut short."""
    if len(frame) < 14:
        return f"[|ether] length {len(frame)}"
    kind, at, tag = _u16(frame, 12), 14, ""
    if kind == 0x8100 and len(frame) >= 18:
        tag, kind, at = f"vlan {_u16(frame, 14) & 0xFFF}, ", _u16(frame, 16), 18
    if kind == 0x0800:
        return tag + _ip(frame, at)
    if kind == 0x0806:
        return tag + _arp(frame, at)
    name = _ETHERTYPES.get(kind, f"ethertype 0x{kind:04x}" if kind >= 0x600 else "802.3")
    return f"{tag}{_mac(frame, 6)} > {_mac(frame, 0)}, {name}, length {len(frame) - at}"


def _u16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _address(data: bytes, at: int) -> str:
    return ".".join(map(str, data[at : at + 4]))


def _mac(data: bytes, at: int) -> str:
    return data[at : at + 6].hex(":")


def _arp(frame: bytes, at: int) -> str:
    if len(frame) < at + 28:
        return "[|ARP]"
    operation, sender, wanted = _u16(frame, at + 6), _address(frame, at + 14), _address(frame, at + 24)
    if operation == 1:
        if sender == wanted:
            return f"ARP, Announcement {sender} is at {_mac(frame, at + 8)}"
        if sender == "0.0.0.0":
            return f"ARP, Probe {wanted}"
        return f"ARP, Request who-has {wanted} tell {sender}"
    if operation == 2:
        return f"ARP, Reply {sender} is-at {_mac(frame, at + 8)}"
    return f"ARP, operation {operation}"


def _ip(frame: bytes, at: int) -> str:
    if len(frame) < at + 20 or frame[at] >> 4 != 4 or frame[at] & 15 < 5:
        return "[|IP]"
    header = (frame[at] & 15) * 4
    total, fragment, proto = _u16(frame, at + 2), _u16(frame, at + 6), frame[at + 9]
    src, dst = _address(frame, at + 12), _address(frame, at + 16)
    offset, more = (fragment & 0x1FFF) * 8, fragment & 0x2000
    frag = f", frag {_u16(frame, at + 4)}:{offset}{'+' if more else ''}" if offset or more else ""
    data, size = frame[at + header : at + total], total - header
    if offset:
        return f"IP {src} > {dst}: {_PROTOCOLS.get(proto, f'proto {proto}')}{frag}, length {size}"
    if proto in (6, 17) and len(data) >= 8:
        ports = f"IP {src}.{_u16(data, 0)} > {dst}.{_u16(data, 2)}"
        return f"{ports}: {_udp(data) if proto == 17 else _tcp(data, size)}{frag}"
    if proto == 1 and len(data) >= 8:
        return f"IP {src} > {dst}: ICMP {_icmp(data)}{frag}, length {size}"
    return f"IP {src} > {dst}: {_PROTOCOLS.get(proto, f'proto {proto}')}{frag}, length {size}"


def _udp(data: bytes) -> str:
    return f"UDP, length {_u16(data, 4) - 8}"


def _tcp(data: bytes, size: int) -> str:
    if len(data) < 20:
        return "TCP [|tcp]"
    flags = "".join(letter for bit, letter in _TCP_FLAGS if data[13] & bit) or "none"
    seq, ack = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
    acked = f", ack {ack}" if data[13] & 16 else ""
    return f"Flags [{flags}], seq {seq}{acked}, win {_u16(data, 14)}, length {size - (data[12] >> 4) * 4}"


def _icmp(data: bytes) -> str:
    kind, code = data[0], data[1]
    if kind in _ICMP:
        return f"{_ICMP[kind]}, id {_u16(data, 4)}, seq {_u16(data, 6)}"
    about = f" ({_address(data, 24)})" if len(data) >= 28 else ""
    if kind == 3:
        mtu = f" (mtu {_u16(data, 6)})" if code == 4 else ""
        return f"{_UNREACHABLE.get(code, f'unreachable code {code}')}{mtu}{about}"
    if kind == 11:
        return ("time exceeded in-transit" if code == 0 else "reassembly time exceeded") + about
    if kind == 5:
        return f"redirect to {_address(data, 4)}{about}"
    return f"type {kind} code {code}"
