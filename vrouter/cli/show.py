"""`vrouter show`: what the router has, as a table in the words of ip(8) and ss(8), or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from vrouter.cli.arguments import Arguments
from vrouter.cli.client import Client, decoded, target
from vrouter.cli.connect import client_of
from vrouter.cli.failure import did_you_mean, unbuilt, usage

WATCH_S: Final = 1.0
UNBUILT: Final = ("rules", "conntrack", "flows", "firewall", "shares")

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], object]]


def _field(name: str) -> Callable[[Row], object]:
    return lambda row: row[name]


def _age(row: Row) -> str:
    return f"{row['age_ns'] / 1e9:.1f}s"


def _length(row: Row) -> str:
    return " ".join(row["accept_from"]) or "-"


def _to(row: Row) -> str:
    return str(row["to"]) if row["type"] == "unicast" else f"{row['type']} {row['to']}"


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
        ("ERROR", _field("error")),
    ),
    "addresses": (
        ("NETNS", _field("netns")), ("DEV", _field("dev")), ("ADDRESS", _field("address")),
        ("SCOPE", _field("scope")), ("STATE", _field("state")),
    ),
    "routes": (
        ("NETNS", _field("netns")), ("TO", _to), ("VIA", _field("via")), ("DEV", _field("dev")),
        ("INTO", _field("target_netns")), ("METRIC>", _field("metric")), ("PROTO", _field("proto")),
        ("SRC", _field("src")),
    ),
    "neighbors": (
        ("NETNS", _field("netns")), ("ADDRESS", _field("address")), ("DEV", _field("dev")), ("LLADDR", _field("mac")),
        ("STATE", _field("state")), ("AGE>", _age),
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
WHAT: Final = (*COLUMNS, "config")


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


def show(arguments: Arguments) -> int:
    """The verb."""
    if not arguments.words:
        raise usage(f"show what? {', '.join(WHAT)}")
    what, *more = arguments.words
    if what in UNBUILT:
        raise unbuilt(f"show {what}")
    if what not in WHAT:
        raise usage(f"there is nothing called {what!r} to show ({did_you_mean(what, WHAT)})")
    if more:
        raise usage(f"{more[0]!r} is too much")
    client = client_of(arguments)
    if not arguments.has("watch"):
        print(rendered(client, what, arguments))
        return 0
    while True:
        text = rendered(client, what, arguments)
        if sys.stdout.isatty():
            text = f"\x1b[H\x1b[2J{text}"
        elif not arguments.has("json"):
            text += "\n"
        print(text, flush=True)
        time.sleep(WATCH_S)


def rendered(client: Client, what: str, arguments: Arguments) -> str:
    """What is printed, without the end of the last line."""
    data = client.ask("GET", target("v1", what, netns=arguments.options.get("netns")))
    if arguments.has("json"):
        return data.decode()
    rows = decoded(data)
    if what == "config":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if what == "stats":
        rows = [row for row in rows if row["value"]]
    return table(COLUMNS[what], rows)
