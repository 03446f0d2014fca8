"""Rows of what is shown of bridges and VLANs: plain dicts, as JSON has them; ages in ns, the protocol's times in s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4, V6, format_address, format_mac
from vrouter.stack.l2.stp.port import ROLE_NAMES
from vrouter.stack.l2.vlan import PROTOCOL_NAMES

if TYPE_CHECKING:
    from vrouter.stack.l2.bridge import Bridge, BridgePort
    from vrouter.stack.netns.netns import Netns

SECOND: Final = 1_000_000_000


def fdb_rows(ns: Netns) -> list[dict[str, Any]]:
    """Where stations are; ``state``: dynamic, static, or permanent (the bridge's own addresses)."""
    now = ns.stack.now
    rows = []
    for bridge in ns.bridges or ():
        shared = {"netns": ns.name, "bridge": bridge.dev.name}
        for mac in sorted(bridge.own_macs):
            owner = next((dev for dev in bridge.ports if dev.mac == mac), bridge.dev)
            row = {"mac": format_mac(mac), "dev": owner.name, "vlan": 0}
            rows.append({**shared, **row, "state": "permanent", "age_ns": 0})
        for vid, table in sorted(bridge.fdb.tables.items()):
            for mac, entry in sorted(table.items()):
                if entry.static or now - entry.updated < entry.port.ageing:
                    state, age = ("static", 0) if entry.static else ("dynamic", now - entry.updated)
                    row = {"mac": format_mac(mac), "dev": entry.port.dev.name, "vlan": vid}
                    rows.append({**shared, **row, "state": state, "age_ns": age})
    return rows


def port_rows(ns: Netns) -> list[dict[str, Any]]:
    """The ports of bridges."""
    return [_port_row(ns.name, port) for bridge in ns.bridges or () for port in bridge.ports.values()]


def bridge_rows(ns: Netns) -> list[dict[str, Any]]:
    """The bridges."""
    return [_bridge_row(ns.name, bridge) for bridge in ns.bridges or ()]


def vlan_rows(ns: Netns) -> list[dict[str, Any]]:
    """The vlan devices, those whose tag is another namespace's too."""
    return [
        {
            "netns": ns.name,
            "dev": dev.name,
            "parent": dev.parent.name,
            "parent_netns": dev.parent.ns.name,
            "vid": dev.vid,
            "protocol": PROTOCOL_NAMES[dev.vlan_protocol],
        }
        for dev in ns.devices.values()
        if dev.parent is not None
    ]


def mdb_rows(ns: Netns) -> list[dict[str, Any]]:
    """Which groups are wanted at which ports."""
    now = ns.stack.now
    return [
        {
            "netns": ns.name,
            "bridge": bridge.dev.name,
            "dev": port.dev.name,
            "vlan": vid,
            "group": format_address(group, V6 if group >> 32 else V4),
            "expires_ns": left,
        }
        for bridge in ns.bridges or ()
        if bridge.snooping is not None
        for vid, group, port, left in bridge.snooping.rows(now)
    ]


def _port_row(netns: str, port: BridgePort) -> dict[str, Any]:
    tree = port.stp
    return {
        "netns": netns,
        "bridge": port.bridge.dev.name,
        "dev": port.dev.name,
        "port": port.number,
        "state": port.state,
        "role": "" if tree is None else ROLE_NAMES[tree.role],
        "cost": port.cost,
        "priority": port.priority,
        "edge": tree is not None and tree.edge,
        "guard": port.guard,
        "designated_root": "" if tree is None else _bridge_id(tree.port_vector[0]),
        "designated_bridge": "" if tree is None else _bridge_id(tree.port_vector[2]),
        "isolated": port.isolated,
        "learning": port.learning,
        "flood": port.flood,
        "storm": {} if port.storm is None else port.storm.rates(),
        "pvid": port.membership.pvid,
        "untagged": [vid for vid, bare in port.membership.vids.items() if bare],
        "tagged": [vid for vid, bare in port.membership.vids.items() if not bare],
    }


def _bridge_row(netns: str, bridge: Bridge) -> dict[str, Any]:
    tree, snooping = bridge.stp, bridge.snooping
    mode = "none" if tree is None else "rstp" if tree.rstp else "stp"
    return {
        "netns": netns,
        "dev": bridge.dev.name,
        "ports": [dev.name for dev in bridge.ports],
        "stp": mode,
        **bridge.times,
        "ageing_time": bridge.ageing // SECOND,
        "bridge_id": "" if tree is None else _bridge_id(tree.bridge_id),
        "root_id": "" if tree is None else _bridge_id(tree.root_vector[0]),
        "root_cost": 0 if tree is None else tree.root_vector[1],
        "root_port": "" if tree is None or tree.root_port is None else tree.root_port.owner.dev.name,
        "topology_changes": 0 if tree is None else tree.changes,
        "vlan_filtering": bridge.filtering,
        "default_pvid": bridge.default_pvid,
        "pvid": bridge.own.pvid,
        "vlans": list(bridge.own.vids),
        "mcast_snooping": snooping is not None,
        "mcast_querier": snooping is not None and snooping.querier,
    }


def _bridge_id(value: int) -> str:
    """A bridge identifier as ip(8) writes it: priority and address."""
    return f"{value >> 48:04x}.{format_mac((value & 0xFFFFFFFFFFFF).to_bytes(6, 'big'))}"
