"""Endpoints that only look: show, one route, settings, captures, events, health."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vrouter import records
from vrouter.control.connection import Response
from vrouter.control.errors import Refused
from vrouter.control.filter import FilterError, compile_filter
from vrouter.control.streaming import DeviceCapture, event_stream
from vrouter.stack.base.addresses import parse_address
from vrouter.stack.l3.fib import REJECT, to_record

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call

SNAPLEN: Final = 65535


def show(what: str) -> Callable[[Router, Call], list[dict[str, Any]]]:
    """The endpoint that lists records of one kind."""
    rows = getattr(records, what)
    return lambda router, call: rows(router, call.query["netns"])


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
    ns, to = router[call.path["netns"]], call.query["to"]
    try:
        return ns.route_get(to)
    except OSError:
        ip, dst = ns.stack.ip4, parse_address(to)[1]
        found = ip.lookup(dst)
        if found is None or found.action != REJECT:
            raise
        return to_record(ns.name, *ip.prefix_of(found, dst), found)


def sysctl(router: Router, call: Call) -> dict[str, int | str]:
    """Settings of a namespace: one, or all of them in order."""
    table = router[call.path["netns"]].sysctl
    name = call.query["name"]
    return dict(sorted(table.items())) if name is None else {name: table[name]}


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
    if not 14 <= snaplen <= 262144:
        raise Refused(400, "EINVAL", f"snaplen is 14 to 262144 bytes, not {snaplen}")
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
