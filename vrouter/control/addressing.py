"""Endpoints that change addresses, neighbours, and what devices advertise as routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrouter import records
from vrouter.control.changing import netns_of, one
from vrouter.control.errors import Refused
from vrouter.stack.base.addresses import format_address, parse_address, parse_interface

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call


async def add_address(router: Router, call: Call) -> dict[str, Any]:
    """Give a device an address."""
    ns, body = netns_of(router, call), call.body
    await ns.add_address(body.dev, body.address)
    family, address, length = parse_interface(body.address)
    return one(records.addresses(router, ns.name), dev=body.dev, address=f"{format_address(address, family)}/{length}")


async def del_address(router: Router, call: Call) -> None:
    """Take an address away."""
    await netns_of(router, call).del_address(call.query["dev"], call.query["address"])


async def add_neighbor(router: Router, call: Call) -> dict[str, Any]:
    """Make a permanent neighbour."""
    ns, body = netns_of(router, call), call.body
    await ns.add_neighbor(body.dev, body.address, body.mac)
    return _neighbor(router, ns.name, body.dev, body.address)


def _neighbor(router: Router, netns: str, dev: str, text: str) -> dict[str, Any]:
    family, address = parse_address(text)
    return one(records.neighbors(router, netns), dev=dev, address=format_address(address, family))


async def del_neighbor(router: Router, call: Call) -> None:
    """Forget one neighbour, or all that are not permanent."""
    ns, dev, address = netns_of(router, call), call.query["dev"], call.query["address"]
    if address is None:
        await ns.flush_neighbors(dev, family=call.query["family"])
    elif dev is None:
        raise Refused(400, "EINVAL", "parameter 'dev' is missing")
    else:
        await ns.del_neighbor(dev, address)


async def add_proxy(router: Router, call: Call) -> dict[str, Any]:
    """Answer for an address in its owner's place."""
    ns, body = netns_of(router, call), call.body
    await ns.add_proxy(body.dev, body.address)
    return _neighbor(router, ns.name, body.dev, body.address)


async def del_proxy(router: Router, call: Call) -> None:
    """Answer for it no more."""
    await netns_of(router, call).del_proxy(call.query["dev"], call.query["address"])


async def set_ra(router: Router, call: Call) -> dict[str, Any]:
    """Advertise, with the keys of the configuration."""
    ns, dev = netns_of(router, call), call.path["dev"]
    await ns.set_ra(dev, call.raw)
    return one(records.adverts(router, ns.name), dev=dev)


async def del_ra(router: Router, call: Call) -> None:
    """Advertise no more."""
    await netns_of(router, call).set_ra(call.path["dev"], None)
