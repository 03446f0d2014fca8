"""Endpoints that change routes, rules, next-hop objects, and what is done with groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vrouter import records
from vrouter.control.bodies import given
from vrouter.control.changing import netns_of, one
from vrouter.control.connection import Response
from vrouter.errors import ConfigError
from vrouter.stack.base.addresses import format_address, parse_address

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call


async def add_route(router: Router, call: Call) -> dict[str, Any]:
    """Add a route."""
    fields = given(call.body)
    if call.body.nexthops is not None:
        fields["nexthops"] = [
            {key: value for key, value in given(hop).items() if value is not None} for hop in call.body.nexthops
        ]
    return await netns_of(router, call).add_route(fields.pop("to"), **fields)


async def del_route(router: Router, call: Call) -> None:
    """Remove a route."""
    query = dict(call.query)
    table = query.pop("table")
    await netns_of(router, call).del_route(query.pop("to"), table="main" if table is None else table, **query)


async def load_routes(router: Router, call: Call) -> Response | dict[str, Any]:
    """Load a full table from the lines of the body."""
    ns, replace = netns_of(router, call), bool(call.query["replace"])
    assert call.pieces is not None
    try:
        loaded = await ns.load_routes(call.pieces, replace=replace)
    except ConfigError as error:
        problems = [{"line": one.line if one.column else 0, "text": one.message} for one in error.problems]
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        text = f"line {first['line']}: {first['text']}{more}: nothing was changed"
        return Response(400, msgspec.json.encode({"error": "EINVAL", "message": text, "problems": problems}))
    return {"netns": ns.name, "routes": loaded.routes, "replace": replace, "time_ns": loaded.time_ns}


async def add_rule(router: Router, call: Call) -> dict[str, Any]:
    """Add a rule."""
    return await netns_of(router, call).add_rule(**call.raw)


async def del_rule(router: Router, call: Call) -> None:
    """Remove a rule."""
    selectors = {key: value for key, value in call.query.items() if value is not None}
    await netns_of(router, call).del_rule(**selectors)


async def add_nexthop(router: Router, call: Call) -> dict[str, Any]:
    """Make a next-hop object, or change it."""
    fields = given(call.body)
    if call.body.group is not None:
        fields["group"] = [(member.id, member.weight) for member in call.body.group]
    return await netns_of(router, call).add_nexthop(**fields)


async def del_nexthop(router: Router, call: Call) -> None:
    """Remove a next-hop object."""
    await netns_of(router, call).del_nexthop(call.query["id"])


async def add_mroute(router: Router, call: Call) -> dict[str, Any]:
    """Forward to a group."""
    ns, body = netns_of(router, call), call.body
    oifs = [way if isinstance(way, str) else given(way) for way in body.oifs]
    await ns.add_mroute(body.group, body.iif, oifs, source=body.source, netns=body.netns)
    source = None if body.source in (None, "*") else _normal(body.source)
    return one(records.mroutes(router, ns.name), group=_normal(body.group), source=source, proto="static")


def _normal(text: str) -> str:
    family, address = parse_address(text)
    return format_address(address, family)


async def del_mroute(router: Router, call: Call) -> None:
    """Forward to a group no more."""
    await netns_of(router, call).del_mroute(call.query["group"], source=call.query["source"])


async def set_multicast(router: Router, call: Call) -> None:
    """The proxy, and multicast DNS."""
    ns, changes = netns_of(router, call), given(call.body)
    if "proxy" in changes:
        proxy = call.body.proxy
        if proxy is None:
            await ns.set_multicast_proxy(None)
        else:
            await ns.set_multicast_proxy(proxy.upstream, proxy.downstream)
    if "mdns" in changes:
        await ns.set_mdns(changes["mdns"])


async def set_querier(router: Router, call: Call) -> list[dict[str, Any]]:
    """Who listens at a device is asked for, or not."""
    ns, dev = netns_of(router, call), call.path["dev"]
    await ns.set_querier(dev, igmp=call.body.igmp, mld=call.body.mld)
    return [row for row in records.queriers(router, ns.name) if row["dev"] == dev]
