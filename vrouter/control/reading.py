"""Endpoints that only look: show, one route, settings, captures, events, health."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vrouter import records
from vrouter.control.connection import JSON, Response
from vrouter.control.endpoint import LINES
from vrouter.control.errors import Refused
from vrouter.control.filter import FilterError, compile_filter
from vrouter.control.streaming import ROWS_PER_PIECE, DeviceCapture, array_of, event_stream, lines_of
from vrouter.stack.base.addresses import V6, parse_address_zone, scoped
from vrouter.stack.capture import SNAPLEN
from vrouter.stack.l3.fib import REJECT, TABLE_MAIN, to_record
from vrouter.stack.l4.listing import Wanted

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call
    from vrouter.stack.netns import Netns as StackNetns

SETTINGS_PER_TURN: Final = 500


def show(what: str) -> Callable[[Router, Call], list[dict[str, Any]]]:
    """The endpoint that lists records of one kind."""
    rows = getattr(records, what)

    def handler(router: Router, call: Call) -> list[dict[str, Any]]:
        chosen = {name: value for name, value in call.query.items() if value is not None}
        found: list[dict[str, Any]] = rows(router, **chosen)
        return found

    return handler


def routes(router: Router, call: Call) -> Response | list[dict[str, Any]]:
    """Routes of one table: as a list, or piece by piece where they are many, or lines."""
    query = call.query
    table = TABLE_MAIN if query["table"] is None else query["table"]
    return _in_pieces(records.iter_routes(router, query["netns"], family=query["family"], table=table), call)


def sockets(router: Router, call: Call) -> Response | list[dict[str, Any]]:
    """Sockets and connections: as a list, or piece by piece where they are many, or lines."""
    query = call.query
    wanted = Wanted(query["proto"], bool(query["listening"]), query["state"], query["sport"], query["dport"])
    return _in_pieces(records.iter_sockets(router, query["netns"], wanted, info=bool(query["info"])), call)


def _in_pieces(rows: Iterator[dict[str, Any]], call: Call) -> Response | list[dict[str, Any]]:
    first = list(islice(rows, ROWS_PER_PIECE))
    as_lines = LINES in call.headers.get("accept", "")
    if len(first) < ROWS_PER_PIECE and not as_lines:
        return first
    pieces = lines_of(chain(first, rows)) if as_lines else array_of(chain(first, rows))
    return Response(media=LINES if as_lines else JSON, stream=pieces)


def config(router: Router, call: Call) -> dict[str, Any]:
    """The file as JSON; with a namespace, its table alone."""
    raw = router.config.raw if router.config is not None else {}
    path = call.query["netns"]
    if path is None:
        return raw
    router[path]  # KeyError
    tables = raw.get("netns", {})
    return {"netns": {name: tables[name] for name in tables if name == path}}


def route(router: Router, call: Call) -> dict[str, Any]:
    """The route to one address; one that lets nothing pass is an answer, too."""
    ns, query = router[call.path["netns"]], call.query
    ways = {"src": query["from"], "iif": query["iif"], "oif": query["oif"], "mark": query["mark"] or 0}
    try:
        return ns.route_get(query["to"], **ways)
    except OSError:
        refusing = _refusing_route(ns.stack, query["to"], **ways)
        if refusing is None:
            raise
        return {**refusing, "expires_ns": None}


def _refusing_route(
    ns: StackNetns, to: str, src: str | None, iif: str | None, oif: str | None, mark: int
) -> dict[str, Any] | None:
    """The row of the route that refuses such a packet; None when there is no route at all."""
    family, dst, zone = parse_address_zone(to)
    ip, out = ns.ip(family), ns.devices.get(oif or "")
    dev = ns.devices.get(zone) or out
    if family == V6 and dev is not None:
        dst = scoped(dst, dev.ifindex)
    source = 0 if src is None else parse_address_zone(src)[1]
    found = ip.lookup(dst, source, ns.devices.get(iif or ""), out, mark)
    if found is None or found.action != REJECT:
        return None
    fib = ip.tables.get(found.table)
    entry = None if fib is None else fib.match(dst)
    prefix, length = entry[:2] if entry is not None and entry[2] is found else (dst, ip.bits)
    return to_record(ns.name, prefix, length, found)


async def sysctl(router: Router, call: Call) -> dict[str, int | str]:
    """Settings of a namespace: one, or all of them in order."""
    table = router[call.path["netns"]].sysctl
    name = call.query["name"]
    if name is not None:
        return {name: table[name]}
    found: dict[str, int | str] = {}
    for number, name in enumerate(sorted(table)):
        with contextlib.suppress(KeyError):  # its device went meanwhile
            found[name] = table[name]
        if not number % SETTINGS_PER_TURN:
            await asyncio.sleep(0)
    return found


def capture(router: Router, call: Call) -> AsyncGenerator[bytes, None]:
    """A live capture. What it is to watch has to exist."""
    query = call.query
    netns, dev, count, text = query["netns"], query["dev"], query["count"], query["filter"]
    if netns is not None:
        router[netns]  # KeyError
    namespaces = router.stack.namespaces
    if dev is not None and not any(dev in ns.devices for path, ns in namespaces.items() if netns in (None, path)):
        raise Refused(404, "ENODEV", f"no device {dev!r} in {f'namespace {netns!r}' if netns else 'any namespace'}")
    snaplen = SNAPLEN if query["snaplen"] is None else query["snaplen"]
    if not 14 <= snaplen <= SNAPLEN:
        raise Refused(400, "EINVAL", f"snaplen is 14 to {SNAPLEN} bytes, not {snaplen}")
    if count == 0:
        raise Refused(400, "EINVAL", "a capture of 0 packets")
    try:
        matches = None if text is None else compile_filter(text)
    except FilterError as error:
        raise Refused(400, "EINVAL", str(error)) from None
    return DeviceCapture(router, netns, dev, snaplen, matches).blocks(count)


def events(router: Router, call: Call) -> AsyncGenerator[bytes, None]:
    """State changes as they happen."""
    return event_stream(router, call.query["netns"])


def openapi(router: Router, call: Call) -> dict[str, Any]:
    """The description of all this."""
    from vrouter.control.openapi import document  # most routers are never asked for it

    return document()


def healthz(router: Router, call: Call) -> dict[str, Any]:
    """Whoever gets this answer has seen the loop live."""
    return {"status": "ok", "waiting": []}


def readyz(router: Router, call: Call) -> Response:
    """Whether every configured device is open; if not, which ones are not."""
    ready = router.ready
    health = {"status": "ok" if ready else "waiting", "waiting": router.waiting()}
    return Response(200 if ready else 503, msgspec.json.encode(health))
