"""A frame as one line, in the words of tcpdump(8). Whatever the bytes are, there is a line.

Next: `packet_ip` for what is in IPv4 and IPv6.
"""

from __future__ import annotations

from typing import Final

from vrouter.cli.packet_bytes import ipv4, mac, u16, u64
from vrouter.cli.packet_ip import describe_ip, describe_ip6

_TAGS: Final = {0x8100: "vlan", 0x88A8: "s-vlan"}
_MAX_TAGS: Final = 8
_STP_VERSIONS: Final = {0: "STP 802.1d", 2: "STP 802.1w, Rapid STP", 3: "STP 802.1s"}
_STP_ROLES: Final = ("Unknown", "Alternate/Backup", "Root", "Designated")
_STP_FLAGS: Final = (
    (0x01, "Topology change"), (0x02, "Proposal"), (0x10, "Learn"), (0x20, "Forward"), (0x40, "Agreement"),
    (0x80, "Topology change ACK"),
)  # fmt: skip


def describe(frame: bytes) -> str:
    """The line for an Ethernet frame, perhaps cut short."""
    if len(frame) < 14:
        return f"[|ether] length {len(frame)}"
    kind, at, tags = u16(frame, 12), 14, ""
    for _ in range(_MAX_TAGS):
        if kind not in _TAGS or len(frame) < at + 4:
            break
        tags += f"{_TAGS[kind]} {u16(frame, at) & 0xFFF}, "
        kind, at = u16(frame, at + 2), at + 4
    if kind == 0x0800:
        return tags + describe_ip(frame, at)
    if kind == 0x86DD:
        return tags + describe_ip6(frame, at)
    if kind == 0x0806:
        return tags + _arp(frame, at)
    if kind < 0x600 and frame[at : at + 3] == b"\x42\x42\x03":
        return tags + _stp(frame, at + 3)
    name = f"ethertype 0x{kind:04x}" if kind >= 0x600 else "802.3"
    return f"{tags}{mac(frame, 6)} > {mac(frame, 0)}, {name}, length {len(frame) - at}"


def _arp(frame: bytes, at: int) -> str:
    if len(frame) < at + 28:
        return "[|ARP]"
    operation, sender, wanted = u16(frame, at + 6), ipv4(frame, at + 14), ipv4(frame, at + 24)
    if operation == 1:
        if sender == wanted:
            return f"ARP, Announcement {sender} is at {mac(frame, at + 8)}"
        if sender == "0.0.0.0":
            return f"ARP, Probe {wanted}"
        return f"ARP, Request who-has {wanted} tell {sender}"
    if operation == 2:
        return f"ARP, Reply {sender} is-at {mac(frame, at + 8)}"
    return f"ARP, operation {operation}"


def _stp(frame: bytes, at: int) -> str:
    """A BPDU (IEEE 802.1D-2004 clause 9.3)."""
    if len(frame) < at + 4:
        return "[|STP]"
    version, kind = frame[at + 2], frame[at + 3]
    name = _STP_VERSIONS.get(version, f"STP version {version}")
    if kind == 0x80:
        return f"{name}, Topology Change"
    if len(frame) < at + 35 or kind not in (0, 2):
        return f"{name}, type 0x{kind:02x}" if kind not in (0, 2) else f"{name} [|STP]"
    flags, cost = frame[at + 4], int.from_bytes(frame[at + 13 : at + 17], "big")
    shown = [text for bit, text in _STP_FLAGS if flags & bit]
    role = f", role {_STP_ROLES[flags >> 2 & 3]}" if kind == 2 else ""
    bridge = f"bridge-id {_bridge_id(frame, at + 17)}.{u16(frame, at + 25):04x}"
    return (
        f"{name}, Config, Flags [{', '.join(shown) or 'none'}], {bridge}, "
        f"root-id {_bridge_id(frame, at + 5)}, root-pathcost {cost}{role}"
    )


def _bridge_id(frame: bytes, at: int) -> str:
    value = u64(frame, at)
    return f"{value >> 48:04x}.{mac(frame, at + 2)}"
