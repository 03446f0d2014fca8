"""ICMPv6 with neighbour discovery and MLD, in the words of tcpdump(8). `data` begins at the ICMPv6 header."""

from __future__ import annotations

from typing import Final

from vrouter.cli.packet_bytes import ipv6, mac, u16, u32

_UNREACHABLE: Final = (
    "unreachable route", "unreachable prohibited", "unreachable beyond scope", "unreachable address",
    "unreachable port", "unreachable source policy", "unreachable reject route",
)  # fmt: skip
_PROBLEMS: Final = ("errored", "next header", "option", "first fragment")
_PREFERENCES: Final = ("medium", "high", "reserved", "low")
_RECORDS: Final = ("0", "is_in", "is_ex", "to_in", "to_ex", "allow", "block")
_OPTIONS: Final = {1: "source link-address", 2: "destination link-address"}
_LISTED: Final = 4


def describe_icmp6(data: bytes) -> str:
    """The message in one line; as much as is there."""
    kind, code = data[0], data[1]
    if kind < 128:
        return _error(kind, code, data)
    if len(data) < 8:
        return f"type {kind} code {code} [|icmp6]"
    if kind in (128, 129):
        return f"echo {'request' if kind == 128 else 'reply'}, id {u16(data, 4)}, seq {u16(data, 6)}"
    if kind in (130, 131, 132, 143):
        return _mld(kind, data)
    if kind in (133, 134, 135, 136, 137):
        return _ndp(kind, data)
    return f"type {kind} code {code}"


def _error(kind: int, code: int, data: bytes) -> str:
    about = f" ({ipv6(data, 32)})" if len(data) >= 48 else ""
    if kind == 1:
        text = _UNREACHABLE[code] if code < len(_UNREACHABLE) else f"unreachable code {code}"
        return f"destination {text}{about}"
    if kind == 2 and len(data) >= 8:
        return f"packet too big, mtu {u32(data, 4)}{about}"
    if kind == 3:
        return ("time exceeded in-transit" if code == 0 else "time exceeded in reassembly") + about
    if kind == 4 and len(data) >= 8:
        what = _PROBLEMS[code] if code < len(_PROBLEMS) else f"code {code}"
        return f"parameter problem, {what} - octet {u32(data, 4)}{about}"
    return f"type {kind} code {code}"


def _ndp(kind: int, data: bytes) -> str:
    if kind == 133:
        return "router solicitation" + _link_address(data, 8)
    if kind == 134:
        if len(data) < 16:
            return "router advertisement [|icmp6]"
        flags = [name for bit, name in ((0x80, "managed"), (0x40, "other stateful")) if data[5] & bit]
        text = f"router advertisement, hop limit {data[4]}, Flags [{', '.join(flags) or 'none'}], "
        text += f"pref {_PREFERENCES[data[5] >> 3 & 3]}, router lifetime {u16(data, 6)}s"
        return text + _prefixes(data, 16)
    if len(data) < 24:
        return f"type {kind} [|icmp6]"
    target = ipv6(data, 8)
    if kind == 135:
        return f"neighbor solicitation, who has {target}{_link_address(data, 24)}"
    if kind == 136:
        flags = [name for bit, name in ((0x80, "router"), (0x40, "solicited"), (0x20, "override")) if data[4] & bit]
        return f"neighbor advertisement, tgt is {target}, Flags [{', '.join(flags) or 'none'}]{_link_address(data, 24)}"
    to = f"{ipv6(data, 24)} to {target}" if len(data) >= 40 else f"to {target}"
    return f"redirect, {to}{_link_address(data, 40)}"


def _options(data: bytes, at: int) -> list[tuple[int, int, int]]:
    """(type, where it begins, bytes) of each option that is whole."""
    found: list[tuple[int, int, int]] = []
    while len(data) >= at + 8 and data[at + 1] and len(data) >= at + data[at + 1] * 8:
        found.append((data[at], at, data[at + 1] * 8))
        at += data[at + 1] * 8
    return found


def _link_address(data: bytes, at: int) -> str:
    for kind, where, _ in _options(data, at):
        if kind in _OPTIONS:
            return f", {_OPTIONS[kind]} {mac(data, where + 2)}"
    return ""


def _prefixes(data: bytes, at: int) -> str:
    found: list[str] = []
    for kind, where, size in _options(data, at):
        if kind == 3 and size == 32 and len(found) < _LISTED:
            found.append(f", prefix {ipv6(data, where + 16)}/{data[where + 2]}")
    return "".join(found)


def _mld(kind: int, data: bytes) -> str:
    if kind == 143:
        found: list[str] = []
        at, count = 8, u16(data, 6)
        while len(found) < min(count, _LISTED) and len(data) >= at + 20:
            action = _RECORDS[data[at]] if data[at] < len(_RECORDS) else str(data[at])
            found.append(f"[gaddr {ipv6(data, at + 4)} {action}, {u16(data, at + 2)} source(s)]")
            at += 20 + u16(data, at + 2) * 16 + data[at + 1] * 4
        return " ".join([f"multicast listener report v2, {count} group record(s)", *found])
    name = {130: "query", 131: "report", 132: "done"}[kind]
    if len(data) < 24:
        return f"multicast listener {name} [|icmp6]"
    version = " v2" if kind == 130 and len(data) >= 28 else ""
    group = ipv6(data, 8)
    return f"multicast listener {name}{version}" + ("" if group == "::" else f" [gaddr {group}]")
