"""Endpoints that change namespaces and settings, ping and traceroute. Each answers with the record of what it made or
changed."""

from __future__ import annotations

from socket import gaierror
from typing import TYPE_CHECKING, Any, Final

from vrouter import records
from vrouter.control.connection import Response
from vrouter.control.endpoint import LINES
from vrouter.control.errors import Refused
from vrouter.control.streaming import PingSeries, Series, series_lines, series_summary
from vrouter.stack import sysctl
from vrouter.traceroute import TraceSeries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vrouter.appliance import Router
    from vrouter.control.call import Call
    from vrouter.netns import Netns

_SECOND: Final = 1_000_000_000


def one(rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The newest row with these fields. What was just made is there."""
    return next(row for row in reversed(rows) if all(row[name] == value for name, value in fields.items()))


def netns_of(router: Router, call: Call) -> Netns:
    """The namespace in the path. KeyError."""
    return router[call.path["netns"]]


# -- namespaces -------------------------------------------------------------------------------------------------------


async def add_netns(router: Router, call: Call) -> dict[str, Any]:
    """Make a namespace."""
    path = call.path["netns"]
    await router.add_netns(path, kind=call.body.kind, accept_from=call.body.accept_from)
    return one(records.netns(router, path))


async def set_netns(router: Router, call: Call) -> dict[str, Any]:
    """Change who may cross into it."""
    ns = netns_of(router, call)
    await ns.set_accept_from(call.body.accept_from)
    return one(records.netns(router, ns.name))


async def remove_netns(router: Router, call: Call) -> None:
    """Remove a namespace."""
    await router.remove_netns(call.path["netns"], recursive=bool(call.query["recursive"]))


# -- settings ---------------------------------------------------------------------------------------------------------


async def set_sysctl(router: Router, call: Call) -> dict[str, int | str]:
    """Change settings: all of them, or none when one is refused."""
    ns = netns_of(router, call)
    table, values = ns.sysctl, call.body
    for name, value in values.items():
        table[name]  # KeyError
        problem = sysctl.check(name, value, ns.stack.devices)
        if problem:
            raise Refused(400, "EINVAL", problem)
    for name, value in values.items():
        table[name] = value
    return {name: table[name] for name in values}


# -- sockets ----------------------------------------------------------------------------------------------------------


async def kill_sockets(router: Router, call: Call) -> None:
    """End sockets, as ``ss -K``."""
    netns_of(router, call).kill_sockets(call.query["local"], call.query["peer"], proto=call.query["proto"])


# -- ping and traceroute ----------------------------------------------------------------------------------------------


async def ping(router: Router, call: Call) -> Response:
    """The summary of a series, or with ``Accept: application/x-ndjson`` a line for each reply before it."""
    ns, body = netns_of(router, call), call.body
    zone = body.dst.partition("%")[2]
    if zone and not zone.isdecimal():
        ns.stack.device(zone)  # ENODEV by its name; a socket would find the network unreachable
    replies = ns.ping_results(
        body.dst,
        count=body.count,
        size=body.size,
        timeout=body.timeout_ns / _SECOND,
        interval=body.interval_ns / _SECOND,
        ttl=body.ttl,
        src=body.src,
        dont_fragment=body.dont_fragment,
    )
    return await _series(call, replies, PingSeries(), "replies")


async def traceroute(router: Router, call: Call) -> Response:
    """The way to a host at once, or with ``Accept: application/x-ndjson`` a line for each probe before the summary."""
    ns, body = netns_of(router, call), call.body
    try:
        dst = await ns.address_of(body.dst, body.family or 0)
    except gaierror as error:
        raise Refused(404, "ENOENT", f"{body.dst}: {error.strerror}") from error
    probes = ns.traceroute_results(
        dst,
        method=body.method,
        first_hop=body.first_hop,
        max_hops=body.max_hops,
        probes=body.probes,
        timeout=body.timeout_ns / _SECOND,
        port=body.port,
        src=body.src,
        device=body.device,
        find_mtu=body.find_mtu,
    )
    return await _series(call, probes, TraceSeries(dst), "probes")


async def _series(call: Call, records: AsyncIterator[dict[str, Any]], series: Series, name: str) -> Response:
    # What cannot be sent at all is refused before the answer begins. Both ways are streams: a client that goes ends it.
    first = await anext(records)
    if LINES in call.headers.get("accept", ""):
        return Response(media=LINES, stream=series_lines(first, records, series))
    return Response(stream=series_summary(first, records, series, name))
