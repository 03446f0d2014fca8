"""Endpoints that change something, and ping. Each answers with the record of what it made or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter import records
from vrouter.control.connection import Response
from vrouter.control.errors import Refused
from vrouter.control.streaming import ping_lines, ping_summary
from vrouter.stack import sysctl
from vrouter.stack.base.addresses import format_address, format_prefix, parse_address, parse_interface, parse_prefix

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call
    from vrouter.netns import Netns

LINES: Final = "application/x-ndjson"
_SECOND: Final = 1_000_000_000


def _one(rows: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The newest row with these fields. What was just made is there."""
    return next(row for row in reversed(rows) if all(row[name] == value for name, value in fields.items()))


def _netns(router: Router, call: Call) -> Netns:
    return router[call.path["netns"]]


# -- namespaces -------------------------------------------------------------------------------------------------------


async def add_netns(router: Router, call: Call) -> dict[str, Any]:
    """Make a namespace."""
    path = call.path["netns"]
    await router.add_netns(path, kind=call.body.kind, accept_from=call.body.accept_from)
    return _one(records.netns(router, path))


async def set_netns(router: Router, call: Call) -> dict[str, Any]:
    """Change who may cross into it."""
    ns = _netns(router, call)
    await ns.set_accept_from(call.body.accept_from)
    return _one(records.netns(router, ns.name))


async def remove_netns(router: Router, call: Call) -> None:
    """Remove a namespace."""
    await router.remove_netns(call.path["netns"], recursive=bool(call.query["recursive"]))


# -- devices ----------------------------------------------------------------------------------------------------------


async def add_device(router: Router, call: Call) -> dict[str, Any]:
    """Make a device, with the keys of the configuration."""
    ns = _netns(router, call)
    settings = {key: value for key, value in call.raw.items() if key != "name"}
    await ns.add_device(call.body.name, **settings)
    return _one(records.devices(router, ns.name), dev=call.body.name)


async def set_device(router: Router, call: Call) -> dict[str, Any]:
    """Up or down, and the MTU."""
    ns, dev = _netns(router, call), call.path["dev"]
    await ns.set_device(dev, up=call.body.up, mtu=call.body.mtu)
    return _one(records.devices(router, ns.name), dev=dev)


async def remove_device(router: Router, call: Call) -> None:
    """Remove a device."""
    await router.remove_device(_netns(router, call).name, call.path["dev"])


async def move_device(router: Router, call: Call) -> dict[str, Any]:
    """Move a device to another namespace."""
    ns, dev = _netns(router, call), call.path["dev"]
    target = router[call.body.netns].name
    await router.move_device(ns.name, dev, target, call.body.name)
    return _one(records.devices(router, target), dev=call.body.name or dev)


# -- addresses, routes, neighbours ------------------------------------------------------------------------------------


async def add_address(router: Router, call: Call) -> dict[str, Any]:
    """Give a device an address."""
    ns, body = _netns(router, call), call.body
    await ns.add_address(body.dev, body.address)
    family, address, length = parse_interface(body.address)
    return _one(records.addresses(router, ns.name), dev=body.dev, address=f"{format_address(address, family)}/{length}")


async def del_address(router: Router, call: Call) -> None:
    """Take an address away."""
    await _netns(router, call).del_address(call.query["dev"], call.query["address"])


async def add_route(router: Router, call: Call) -> dict[str, Any]:
    """Add a route."""
    ns, body = _netns(router, call), call.body
    await ns.add_route(
        body.to, via=body.via, dev=body.dev, netns=body.netns, metric=body.metric, type=body.type, src=body.src
    )
    family, prefix, length = parse_prefix(body.to)
    return _one(records.routes(router, ns.name), to=format_prefix(prefix, length, family), metric=body.metric)


async def del_route(router: Router, call: Call) -> None:
    """Remove a route."""
    query = call.query
    await _netns(router, call).del_route(
        query["to"], via=query["via"], dev=query["dev"], netns=query["netns"], metric=query["metric"]
    )


async def add_neighbor(router: Router, call: Call) -> dict[str, Any]:
    """Make a permanent neighbour."""
    ns, body = _netns(router, call), call.body
    await ns.add_neighbor(body.dev, body.address, body.mac)
    family, address = parse_address(body.address)
    return _one(records.neighbors(router, ns.name), dev=body.dev, address=format_address(address, family))


async def del_neighbor(router: Router, call: Call) -> None:
    """Forget one neighbour, or all that are not permanent."""
    ns, dev, address = _netns(router, call), call.query["dev"], call.query["address"]
    if address is None:
        await ns.flush_neighbors(dev)
    elif dev is None:
        raise Refused(400, "EINVAL", "parameter 'dev' is missing")
    else:
        await ns.del_neighbor(dev, address)


# -- settings ---------------------------------------------------------------------------------------------------------


async def set_sysctl(router: Router, call: Call) -> dict[str, int | str]:
    """Change settings: all of them, or none when one is refused."""
    ns = _netns(router, call)
    table, values = ns.sysctl, call.body
    for name, value in values.items():
        table[name]  # KeyError
        problem = sysctl.check(name, value, ns.stack.devices)
        if problem:
            raise Refused(400, "EINVAL", problem)
    for name, value in values.items():
        table[name] = value
    return {name: table[name] for name in values}


# -- ping -------------------------------------------------------------------------------------------------------------


async def ping(router: Router, call: Call) -> Response:
    """The summary of a series, or with ``Accept: application/x-ndjson`` a line for each reply before it."""
    ns, body = _netns(router, call), call.body
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
    # What cannot be sent at all is refused before the answer begins. Both ways are streams: a client that goes ends it.
    first = await anext(replies)
    if LINES in call.headers.get("accept", ""):
        return Response(media=LINES, stream=ping_lines(first, replies))
    return Response(stream=ping_summary(first, replies))
