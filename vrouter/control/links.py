"""Endpoints that change devices, bridges and their tables, and VLANs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrouter import records
from vrouter.control.bodies import given
from vrouter.control.changing import netns_of, one
from vrouter.stack.base.addresses import format_mac, parse_mac

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.control.call import Call


async def add_device(router: Router, call: Call) -> dict[str, Any]:
    """Make a device, with the keys of the configuration."""
    ns = netns_of(router, call)
    settings = {key: value for key, value in call.raw.items() if key != "name"}
    await ns.add_device(call.body.name, **settings)
    return one(records.devices(router, ns.name), dev=call.body.name)


async def set_device(router: Router, call: Call) -> dict[str, Any]:
    """Up or down, its MTU and MAC address, and what it is as a bridge or a port."""
    ns, dev = netns_of(router, call), call.path["dev"]
    await ns.set_device(dev, **given(call.body))
    return one(records.devices(router, ns.name), dev=dev)


async def remove_device(router: Router, call: Call) -> None:
    """Remove a device."""
    await router.remove_device(netns_of(router, call).name, call.path["dev"])


async def move_device(router: Router, call: Call) -> dict[str, Any]:
    """Move a device to another namespace."""
    ns, dev = netns_of(router, call), call.path["dev"]
    target = router[call.body.netns].name
    await router.move_device(ns.name, dev, target, call.body.name)
    return one(records.devices(router, target), dev=call.body.name or dev)


async def add_ingress(router: Router, call: Call) -> dict[str, Any]:
    """Give a tag of a device to another namespace."""
    ns, body = netns_of(router, call), call.body
    target = router[body.netns].name
    await ns.add_ingress(body.dev, body.vid, target, body.name, protocol=body.protocol)
    return one(records.vlans(router, target), dev=body.name)


def _memberships(router: Router, netns: str, dev: str) -> dict[str, Any]:
    for row in records.ports(router, netns):
        if row["dev"] == dev:
            return {key: row[key] for key in ("netns", "dev", "pvid", "untagged", "tagged")}
    bridge = router[netns].stack.bridge(dev)
    bare = [vid for vid, untagged in bridge.own.vids.items() if untagged]
    tagged = [vid for vid in bridge.own.vids if vid not in bare]
    return {"netns": netns, "dev": dev, "pvid": bridge.own.pvid, "untagged": bare, "tagged": tagged}


async def add_vlans(router: Router, call: Call) -> dict[str, Any]:
    """Make a port a member of VLANs."""
    ns, dev, body = netns_of(router, call), call.path["dev"], call.body
    await ns.add_vlan(dev, body.vids, pvid=body.pvid, untagged=body.untagged)
    return _memberships(router, ns.name, dev)


async def del_vlans(router: Router, call: Call) -> None:
    """Take VLANs from a port."""
    await netns_of(router, call).del_vlan(call.path["dev"], call.query["vid"])


async def add_fdb(router: Router, call: Call) -> dict[str, Any]:
    """Say at which port a station is."""
    ns, body = netns_of(router, call), call.body
    await ns.add_fdb(body.mac, body.dev, vlan=body.vlan)
    return one(records.fdb(router, ns.name), mac=format_mac(parse_mac(body.mac)), dev=body.dev)


async def del_fdb(router: Router, call: Call) -> None:
    """Forget where a station is."""
    query = call.query
    await netns_of(router, call).del_fdb(query["mac"], query["dev"], vlan=query["vlan"] or 0)
