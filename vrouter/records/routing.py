"""Rows of routes, rules and next-hop objects. A full table has a million rows: `iter_routes` makes them one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from vrouter.records.chosen import Record, namespaces
from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.l2.router_advert import PREFERENCES
from vrouter.stack.l3.fib import TABLE_MAIN, Fib, Route, to_record
from vrouter.stack.l3.route_text import parse_table

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.netns import Netns

ALL_TABLES: Final = "all"
FAMILY_NAMES: Final = {4: "inet", 6: "inet6"}
_PREFERENCE_NAMES: Final = {value: name for name, value in PREFERENCES.items()}


def routes(
    router: Router, netns: str | None = None, *, family: int | None = None, table: str | int = TABLE_MAIN
) -> list[Record]:
    """The routes of one table (``all``: of all of them), as ip(8) shows them. KeyError, ValueError."""
    return list(iter_routes(router, netns, family=family, table=table))


def iter_routes(
    router: Router, netns: str | None = None, *, family: int | None = None, table: str | int = TABLE_MAIN
) -> Iterator[Record]:
    """`routes`, one by one. What changes between two rows may be missed, and does no harm. KeyError and ValueError come
    at once, not with the first row."""
    chosen = namespaces(router, netns)
    number = None if table == ALL_TABLES else parse_table(table)
    return (row for ns in chosen for row in _routes_of(ns, family, number))


def _routes_of(ns: Netns, family: int | None, number: int | None) -> Iterator[Record]:
    for ip in ns.families():
        if family is not None and ip.family != (V4 if family == 4 else V6):
            continue
        for table in sorted(ip.tables) if number is None else [number]:
            fib: Fib | None = ip.tables.get(table)
            for prefix, length, route in () if fib is None else fib:
                yield route_record(ns, prefix, length, route)


def route_record(ns: Netns, prefix: int, length: int, route: Route) -> Record:
    """The row of one route."""
    row = to_record(ns.name, prefix, length, route)
    row["expires_ns"] = row["pref"] = None
    if route.proto == "ra":
        _add_lifetime(ns, prefix, length, route, row)
    return row


def _add_lifetime(ns: Netns, prefix: int, length: int, route: Route, row: Record) -> None:
    """How long a router that advertised it promised a route, and how good it said that it was (RFC 4191)."""
    dev = route.dev
    host = None if dev is None else ns.ndp.hosts.learned(dev)
    if host is None:
        return
    known = host.routers.get(route.via) if length == 0 else None
    until, preference = host.prefixes.get((prefix, length)), None
    if route.via >= 0:
        until, preference = host.routes.get((prefix, length, route.via), (None, None))
        if known is not None:
            until, preference = known.until, known.preference
    if until is not None:
        row["expires_ns"] = max(0, until - ns.stack.now)
    row["pref"] = None if preference is None else _PREFERENCE_NAMES[preference]


def rules(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Rules, in the order in which they are asked."""
    return _of_family((row for ns in namespaces(router, netns) for row in ns.rules()), family)


def nexthops(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Next-hop objects, in order of their numbers."""
    return _of_family((row for ns in namespaces(router, netns) for row in ns.nexthop_rows()), family)


def _of_family(rows: Iterable[Record], family: int | None) -> list[Record]:
    return [row for row in rows if family is None or row["family"] == FAMILY_NAMES[family]]
