"""`vrouter show`: what the router has, in the words of ip(8), bridge(8) and ss(8), or as JSON.

Routes, rules, next-hop objects and multicast routes are lines, under a heading for each namespace unless one is named;
the rest are tables. A routing table is printed as it comes, however large it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from vrouter.cli.arguments import Arguments
from vrouter.cli.client import Answer, Client, decoded, refused, target
from vrouter.cli.columns import COLUMNS, Row, table
from vrouter.cli.connect import client_of
from vrouter.cli.failure import did_you_mean, unbuilt, usage
from vrouter.cli.ip_text import mroute_line, nexthop_line, route_line, rule_line
from vrouter.cli.socket_text import socket_query, socket_table
from vrouter.cli.words import SOCKETS, family_of

WATCH_S: Final = 1.0
UNBUILT: Final = ("conntrack", "flows", "firewall", "shares")
LINES: Final = "application/x-ndjson"
TEXTS: Final[dict[str, Callable[[Row], str]]] = {
    "routes": route_line,
    "rules": rule_line,
    "nexthops": nexthop_line,
    "mroutes": mroute_line,
}
WHAT: Final = (
    "netns", "devices", "addresses", "routes", "rules", "nexthops", "neighbors", "routers", "adverts", "groups",
    "listeners", "queriers", "mroutes", "bridges", "ports", "fdb", "mdb", "vlans", "sockets", "crossings", "drops",
    "stats", "config",
)  # fmt: skip
OTHER_NAMES: Final = {"bridge": "bridges", "ra": "adverts", "maddr": "groups"}
OF_FAMILY: Final = frozenset(
    ("addresses", "routes", "rules", "nexthops", "neighbors", "groups", "listeners", "mroutes", "mdb")
)
# Of the rows of a bridge's ports, those columns that bridge(8) has in one view or in the other.
_LAYOUTS: Final = {
    "bridge link": ("NETNS", "BRIDGE", "DEV", "STATE", "ROLE", "COST>", "PRIORITY>", "FLAGS"),
    "bridge vlan": ("NETNS", "BRIDGE", "DEV", "PVID>", "UNTAGGED", "TAGGED"),
}


def show(arguments: Arguments) -> int:
    """The verb."""
    if not arguments.words:
        raise usage(f"show what? {', '.join(WHAT)}")
    what, *more = arguments.words
    if what in UNBUILT:
        raise unbuilt(f"show {what}")
    what = OTHER_NAMES.get(what, what)
    if what not in WHAT:
        raise usage(f"there is nothing called {what!r} to show ({did_you_mean(what, WHAT)})")
    return listed(arguments, what, more)


def listed(arguments: Arguments, what: str, more: list[str], *, layout: str = "") -> int:
    """`show WHAT`, which other verbs have as ``list``. `more` are the words behind it."""
    query = _query(arguments, what, more)
    client = client_of(arguments)
    if not arguments.has("watch"):
        if what == "routes":
            return _stream(client, query, arguments)
        print(rendered(client, what, query, arguments, layout))
        return 0
    while True:
        text = rendered(client, what, query, arguments, layout)
        if sys.stdout.isatty():
            text = f"\x1b[H\x1b[2J{text}"
        elif not arguments.has("json"):
            text += "\n"
        print(text, flush=True)
        time.sleep(WATCH_S)


def _query(arguments: Arguments, what: str, more: list[str]) -> dict[str, Any]:
    family = family_of(arguments)
    if family is not None and what not in OF_FAMILY:
        raise usage(f"{what} have no family: leave out -{family}")
    query: dict[str, Any] = {"netns": arguments.options.get("netns"), "family": family}
    if what == "sockets":
        return query | socket_query(more, arguments.options)
    for option in SOCKETS:
        if arguments.has(option.name):
            raise usage(f"{option.flags[0]} is for sockets")
    if what == "routes" and more[:1] == ["table"]:
        if len(more) < 2:
            raise usage("table needs a value: a number, a name, or all")
        query["table"], more = more[1], more[2:]
    if more:
        raise usage(f"{more[0]!r} is too much")
    return query


def rendered(client: Client, what: str, query: dict[str, Any], arguments: Arguments, layout: str = "") -> str:
    """What is printed, without the end of the last line."""
    data = client.ask("GET", target("v1", what, **query))
    if arguments.has("json"):
        return data.decode()
    rows = decoded(data)
    if what == "config":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if what == "stats":
        rows = [row for row in rows if row["value"]]
    if what == "sockets":
        return socket_table(rows)
    if what in TEXTS:
        return "\n".join(lines(what, rows, query))
    columns = COLUMNS[what]
    if layout in _LAYOUTS:
        columns = tuple(column for column in columns if column[0] in _LAYOUTS[layout])
    return table(columns, rows)


def lines(what: str, rows: Any, query: dict[str, Any]) -> Iterator[str]:
    """Rows as text, with headings where there are several namespaces or, of rules, families."""
    text, before = TEXTS[what], ""
    for row in rows:
        heading = "" if query["netns"] else f"netns: {row['netns']}"
        if what == "rules" and not query["family"]:
            heading = f"{heading} family: {row['family']}".lstrip()
        if heading != before:
            before = heading
            yield heading
        yield text(row)


def _stream(client: Client, query: dict[str, Any], arguments: Arguments) -> int:
    """Print routes as they come."""
    as_json = arguments.has("json")
    with client.send("GET", target("v1", "routes", **query), accept="*/*" if as_json else LINES) as answer:
        if answer.status >= 400:
            raise refused(answer.status, answer.body())
        if as_json:
            for piece in answer.pieces():
                sys.stdout.write(piece.decode())
            print()
        else:
            for line in lines("routes", _rows(answer), query):
                print(line)
    return 0


def _rows(answer: Answer) -> Iterator[Row]:
    rest = b""
    for piece in answer.pieces():
        data = rest + piece
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            yield from decoded(
                b"[" + data[: end - 1].replace(b"\n", b",") + b"]"
            )  # at once: a full table has a million
