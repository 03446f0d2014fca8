"""Rows as lines of ip(8) and bridge(8): routes, rules, next-hop objects, multicast routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


def seconds(ns: int | None) -> str:
    """A lifetime as ip(8) has it."""
    return "forever" if ns is None else f"{ns // 1_000_000_000}sec"


def route_line(row: Row) -> str:
    """``default via fe80::1 dev lan proto ra metric 1024 expires 1790sec pref medium``; several next hops have lines of
    their own."""
    parts = [row["to"]] if row["type"] == "unicast" else [row["type"], row["to"]]
    if row["nhid"]:
        parts += ["nhid", row["nhid"]]
    for key, word in (("via", "via"), ("dev", "dev"), ("target_netns", "netns")):
        if row[key]:
            parts += [word, row[key]]
    if row["table"] != "main":
        parts += ["table", row["table"]]
    parts += ["proto", row["proto"]]
    if row["scope"] != "global":
        parts += ["scope", row["scope"]]
    if row["src"]:
        parts += ["src", row["src"]]
    for key in ("metric", "mtu", "advmss"):
        if row[key]:
            parts += [key, row[key]]
    if row["onlink"]:
        parts.append("onlink")
    if row["expires_ns"] is not None:
        parts += ["expires", seconds(row["expires_ns"])]
    if row["pref"]:
        parts += ["pref", row["pref"]]
    lines = [" ".join(map(str, parts))]
    for hop in row["nexthops"] or ():
        words = [f"{key} {hop[key]}" for key in ("via", "dev") if hop[key]]
        lines.append("\t" + " ".join(["nexthop", *words, f"weight {hop['weight']}"]))
    return "\n".join(lines)


def rule_line(row: Row) -> str:
    """``100:\tfrom 10.0.0.0/8 fwmark 0x1 lookup 5``."""
    parts = ["not"] if row["invert"] else []
    parts += ["from", row["from"] or "all"]
    if row["to"]:
        parts += ["to", row["to"]]
    if row["tos"]:
        parts += ["tos", f"0x{row['tos']:02x}"]
    for key, word in (("mark", "fwmark"), ("iif", "iif"), ("oif", "oif")):
        if row[key]:
            parts += [word, row[key]]
    if row["action"] == "table":
        parts += ["lookup", row["table"]]
        if row["suppress_prefixlength"] is not None:
            parts += ["suppress_prefixlength", str(row["suppress_prefixlength"])]
    elif row["action"] == "goto":
        parts += ["goto", str(row["goto"])]
    else:
        parts.append(row["action"])
    return f"{row['priority']}:\t{' '.join(parts)}"


def nexthop_line(row: Row) -> str:
    """``id 1 via 10.0.0.1 dev lan``, ``id 10 group 1/2,3``."""
    parts = ["id", str(row["id"])]
    if row["group"] is not None:
        parts += ["group", "/".join(_member(one) for one in row["group"])]
    if row["blackhole"]:
        parts.append("blackhole")
    for key in ("via", "dev"):
        if row[key]:
            parts += [key, row[key]]
    return " ".join([*parts, *(["onlink"] if row["onlink"] else [])])


def _member(one: Row) -> str:
    return str(one["id"]) if one["weight"] == 1 else f"{one['id']},{one['weight']}"


def mroute_line(row: Row) -> str:
    """``(10.0.0.9,239.1.1.1) Iif: lan Oifs: wan dmz State: resolved``, with what passed."""
    out = [one["dev"] if not one["ttl"] else f"{one['dev']}(ttl {one['ttl']})" for one in row["oifs"]]
    if row["target_netns"]:
        out.append(f"netns {row['target_netns']}")
    head = f"({row['source'] or '*'},{row['group']}) Iif: {row['iif']} Oifs: {' '.join(out) or '-'}"
    wrong = f", {row['wrong_iif']} came in elsewhere" if row["wrong_iif"] else ""
    return f"{head} Proto: {row['proto']}\n  {row['packets']} packets, {row['bytes']} bytes{wrong}"


def route_answer(to: str, row: Row, asked: Mapping[str, Any]) -> str:
    """What ``route get`` says, in one line."""
    parts = [to] if row["type"] in ("unicast", "local") else [row["type"], to]
    if row["type"] == "local":
        parts.insert(0, "local")
    if "from" in asked:
        parts += ["from", asked["from"]]
    for key in ("via", "dev"):
        if row[key]:
            parts += [key, row[key]]
    if row["table"] not in ("main", "local"):
        parts += ["table", row["table"]]
    if row["src"] and "from" not in asked:
        parts += ["src", row["src"]]
    if "iif" in asked:
        parts += ["iif", asked["iif"]]
    if asked.get("mark"):
        parts += ["mark", f"0x{asked['mark']:x}"]
    if row["mtu"]:
        parts += ["mtu", str(row["mtu"])]
    if row["expires_ns"] is not None:
        parts += ["expires", seconds(row["expires_ns"])]
    if row["target_netns"]:
        into = "accepted there" if row.get("accepted") else "NOT accepted there: packets are dropped as CROSSING_DENIED"
        parts += ["netns", row["target_netns"], f"({into})"]
    whole = 128 if ":" in row["to"] else 32
    by = row["to"] if "/" in row["to"] or row["to"] == "default" else f"{row['to']}/{whole}"
    return " ".join([*parts, "by route", by])
