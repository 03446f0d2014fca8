"""What is shown as a table: the columns of each subject, in the words of ip(8), bridge(8) and ss(8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vrouter.cli.ip_text import seconds

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], object]]


def _field(name: str) -> Callable[[Row], object]:
    return lambda row: row[name]


def _age(row: Row) -> str:
    return f"{row['age_ns'] / 1e9:.1f}s"


def _length(row: Row) -> str:
    return " ".join(row["accept_from"]) or "-"


def _list(name: str) -> Callable[[Row], object]:
    return lambda row: " ".join(map(str, row[name]))


def _lifetime(name: str) -> Callable[[Row], object]:
    return lambda row: seconds(row[name])


def _vids(name: str) -> Callable[[Row], object]:
    return lambda row: ranges(row[name])


def ranges(vids: list[int]) -> str:
    """VLAN ids with those that follow one another as ``10-20``."""
    found: list[list[int]] = []
    for vid in vids:
        if found and found[-1][1] == vid - 1:
            found[-1][1] = vid
        else:
            found.append([vid, vid])
    return " ".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def _address_state(row: Row) -> object:
    """ip-address(8)'s word for an address that somebody else has."""
    return "dadfailed" if row["state"] == "conflict" else row["state"]


def _ra_flags(row: Row) -> object:
    return " ".join(name for name in ("managed", "other") if row[name])


def _port_flags(row: Row) -> object:
    flags = [name for name in ("edge", "isolated") if row[name]]
    flags += [f"no-{name}" for name in ("learning", "flood") if not row[name]]
    if row["guard"] != "none":
        flags.append(f"{row['guard']}-guard")
    flags += [f"{kind}:{rate}" for kind, rate in row["storm"].items()]
    return " ".join(flags)


def _parent(row: Row) -> object:
    return row["parent"] if row["parent_netns"] == row["netns"] else f"{row['parent_netns']}/{row['parent']}"


def _below(row: Row) -> object:
    """What a device stands on, or belongs to."""
    if row["master"]:
        return f"port of {row['master']}"
    return f"{row['parent']}.{row['vid']}" if row["parent"] else None


def _severity(row: Row) -> object:
    """How to read it: error (somebody is wrong), policy (so configured), normal (part of ordinary life)."""
    from vrouter.stack.base.drop import DROP_TABLE, DropReason

    reason = DropReason.__members__.get(row["reason"])
    return None if reason is None else DROP_TABLE[reason].severity.value


# A column whose heading ends with ">" is aligned to the right.
COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "netns": (
        ("NETNS", _field("netns")), ("KIND", _field("kind")), ("DEVICES>", _field("devices")),
        ("ACCEPT-FROM", _length),
    ),
    "devices": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("KIND", _field("kind")), ("IFNAME", _field("ifname")),
        ("STATE", _field("state")), ("MTU>", _field("mtu")), ("LLADDR", _field("mac")),
        ("RX-PACKETS>", _field("rx_packets")), ("RX-BYTES>", _field("rx_bytes")), ("RX-DROPS>", _field("rx_drops")),
        ("TX-PACKETS>", _field("tx_packets")), ("TX-BYTES>", _field("tx_bytes")), ("TX-DROPS>", _field("tx_drops")),
        ("ABOVE", _below), ("ERROR", _field("error")),
    ),
    "addresses": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("ADDRESS", _field("address")),
        ("SCOPE", _field("scope")), ("STATE", _address_state), ("VALID>", _lifetime("valid_ns")),
        ("PREFERRED>", _lifetime("preferred_ns")),
    ),
    "neighbors": (
        ("NETNS", _field("netns")), ("ADDRESS", _field("address")), ("DEV", _field("dev")), ("LLADDR", _field("mac")),
        ("STATE", _field("state")), ("AGE>", _age), ("FLAGS", lambda row: "router" if row["router"] else None),
    ),
    "routers": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("ADDRESS", _field("address")), ("STATE", _field("state")),
        ("PREF", _field("preference")), ("EXPIRES>", _lifetime("expires_ns")), ("FLAGS", _ra_flags),
        ("DNS", _list("dns")), ("SEARCH", _list("search")), ("NAT64", _list("nat64")),
    ),
    "adverts": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("STATE", _field("state")),
        ("LIFETIME>", lambda row: f"{row['lifetime']}sec"), ("PREF", _field("preference")), ("FLAGS", _ra_flags),
        ("EVERY", lambda row: f"{row['min_interval']}-{row['max_interval']}sec"),
        ("PREFIXES", lambda row: " ".join(one["prefix"] for one in row["prefixes"])),
        ("ROUTES", lambda row: " ".join(one["prefix"] for one in row["routes"])),
        ("DNS", _list("rdnss")), ("SEARCH", _list("dnssl")), ("NAT64", _field("pref64")), ("SENT>", _field("sent")),
    ),
    "groups": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("GROUP", _field("group")), ("USERS>", _field("users")),
        ("MODE", _field("mode")), ("SOURCES", _list("sources")),
    ),
    "listeners": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("GROUP", _field("group")), ("MODE", _field("mode")),
        ("SOURCES", _list("sources")), ("VERSION>", _field("version")), ("EXPIRES>", _lifetime("expires_ns")),
    ),
    "queriers": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("PROTOCOL", _field("protocol")),
        ("VERSION>", _field("version")), ("QUERIER", _field("querier")),
        ("ELECTED", lambda row: "yes" if row["elected"] else "no"), ("GROUPS>", _field("groups")),
    ),
    "bridges": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("STP", _field("stp")), ("BRIDGE-ID", _field("bridge_id")),
        ("ROOT", _field("root_id")), ("ROOT-PORT", _field("root_port")), ("COST>", _field("root_cost")),
        ("CHANGES>", _field("topology_changes")),
        ("VLAN-FILTERING", lambda row: "yes" if row["vlan_filtering"] else "no"), ("PORTS", _list("ports")),
    ),
    "ports": (
        ("NETNS", _field("netns")), ("BRIDGE", _field("bridge")), ("DEV", _field("dev")), ("STATE", _field("state")),
        ("ROLE", _field("role")), ("COST>", _field("cost")), ("PRIORITY>", _field("priority")),
        ("FLAGS", _port_flags), ("PVID>", _field("pvid")), ("UNTAGGED", _vids("untagged")), ("TAGGED", _vids("tagged")),
    ),
    "fdb": (
        ("NETNS", _field("netns")), ("BRIDGE", _field("bridge")), ("LLADDR", _field("mac")), ("DEV", _field("dev")),
        ("VLAN>", _field("vlan")), ("STATE", _field("state")), ("AGE>", _age),
    ),
    "mdb": (
        ("NETNS", _field("netns")), ("BRIDGE", _field("bridge")), ("DEV", _field("dev")), ("VLAN>", _field("vlan")),
        ("GROUP", _field("group")), ("EXPIRES>", _lifetime("expires_ns")),
    ),
    "vlans": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("PARENT", _parent), ("VID>", _field("vid")),
        ("PROTOCOL", _field("protocol")),
    ),
    "sockets": (
        ("NETNS", _field("netns")), ("NETID", _field("proto")), ("STATE", _field("state")),
        ("RECV-Q>", _field("rx_queue")), ("SEND-Q>", _field("tx_queue")), ("LOCAL", _field("local")),
        ("PEER", _field("peer")),
    ),
    "crossings": (
        ("FROM", _field("from")), ("TO", _field("to")), ("KIND", _field("kind")),
        ("ACCEPTED", lambda row: "yes" if row["accepted"] else "no"), ("PACKETS>", _field("packets")),
        ("BYTES>", _field("bytes")), ("DENIED>", _field("denied")),
    ),
    "drops": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("REASON", _field("reason")), ("LAYER", _field("layer")),
        ("SEVERITY", _severity), ("COUNT>", _field("count")), ("TEXT", _field("text")),
    ),
    "stats": (("NETNS", _field("netns")), ("NAME", _field("name")), ("VALUE>", _field("value"))),
}  # fmt: skip


def table(columns: tuple[Column, ...], rows: list[Row]) -> str:
    """Aligned columns under headings, two spaces apart; what a row has not is ``-``."""
    lines = [[heading.rstrip(">") for heading, _ in columns]]
    lines += [[_cell(read(row)) for _, read in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    out = []
    for line in lines:
        cells = [
            text.rjust(width) if heading.endswith(">") else text.ljust(width)
            for text, width, (heading, _) in zip(line, widths, columns, strict=True)
        ]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
