"""Who is where: address plan, stations on a link, and routes by the shortest way; both families alike.

IPv6 addresses are without a zone here: the link that is asked for stands beside them.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import (
    BITS,
    BROADCAST4,
    V4,
    V6,
    format_address,
    format_prefix,
    is_link_local6,
    is_multicast4,
    is_multicast6,
    link_local_of,
    mask,
    unscoped,
)
from vrouter.stack.wire.ethernet import BROADCAST, multicast_mac4, multicast_mac6
from vrouter.testing.errors import LabError
from vrouter.testing.node import Node
from vrouter.testing.octets import ip6_int, ip_int, mac_bytes
from vrouter.testing.probe import Hub, Probe
from vrouter.testing.switch import Switch

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.testing.lab import Lab
    from vrouter.testing.wire import End

_BASE: Final = {V4: 10 << 24, V6: 0xFD00 << 112}
_SHIFT: Final = {V4: 8, V6: 80}
LENGTH: Final = {V4: 24, V6: 64}
DEFAULT: Final = {V4: "default", V6: "::/0"}

Prefix = tuple[int, int]


def interface(number: int, host: int, family: int) -> str:
    """``ADDRESS/LENGTH`` of a host in the network that the lab counts as `number`: a /24 of 10.0.0.0/8, a /64 of
    fd00::/32."""
    address = (_BASE[family] | number << _SHIFT[family]) + host
    return f"{format_address(address, family)}/{LENGTH[family]}"


def mac(station: int, port: int) -> bytes:
    """A locally administered address that shows which station and which of its ports it is."""
    return bytes((0x02, 0, 0, station + 1 >> 8, station + 1 & 0xFF, port))


def is_router(station: Any) -> bool:
    """Whether a station forwards."""
    return isinstance(station, Node) and station.forwards


def repeats(station: Any) -> bool:
    """Whether a station carries frames from wire to wire: they are one link."""
    return isinstance(station, Hub | Switch)


def link(end: End) -> list[End]:
    """The other ends of the link that `end` is on: the one across the wire, or all behind hubs and switches."""
    found: list[End] = []
    queue, seen = deque([end.other]), {end.wire}
    while queue:
        other = queue.popleft()
        if not repeats(other.station):
            found.append(other)
            continue
        for port in other.station.ends:  # type: ignore[attr-defined] # a station of a lab is a Recorder
            if port.wire not in seen:
                seen.add(port.wire)
                queue.append(port.other)
    return found


def shared_by(station: Any) -> list[Any]:
    """The hubs and switches that carry the same frames as `station`, itself first."""
    found = [station]
    for one in found:
        found += [e.other.station for e in one.ends if repeats(e.other.station) and e.other.station not in found]
    return found


def devices(end: End) -> list[Device]:
    """The devices at `end`: that of the wire, and the vlan devices above it."""
    dev: Device | None = end.device
    return [] if dev is None else [dev, *(dev.vlans or {}).values()]


def addresses(end: End, family: int) -> list[int]:
    """The IP addresses of the station at `end`, on this link."""
    station = end.station
    if isinstance(station, Probe):
        if family == V4:
            return [ip_int(station.addr)] if station.has_addr else []
        return [*([ip6_int(station.addr6)] if station.has_addr6 else []), link_local_of(mac_bytes(station.mac))]
    return [unscoped(a.address) for dev in devices(end) for a in dev.addresses if a.family == family]


def mac_at(end: End) -> bytes:
    """The MAC address of the station at `end`."""
    if isinstance(end.station, Probe):
        return mac_bytes(end.station.mac)
    found: bytes = end.device.mac
    return found


def find_mac(end: End, addr: int, family: int) -> bytes:
    """The MAC address that packets to `addr` go to on the link of `end`; LabError when nobody there has it."""
    if family == V4 and is_multicast4(addr):
        return multicast_mac4(addr)
    if family == V6 and is_multicast6(addr):
        return multicast_mac6(addr)
    others = link(end)
    for other in others:
        if addr in addresses(other, family):
            return mac_at(other)
    own = [a for dev in devices(end) for a in dev.addresses if a.family == family]
    if family == V4 and (addr == BROADCAST4 or any(a.broadcast == addr for a in own)):
        return BROADCAST
    there = ", ".join(
        f"{other.station.name} {format_address(a, family)}" for other in others for a in addresses(other, family)
    )
    raise LabError(
        f"nobody on the link {end.wire.name} has {format_address(addr, family)} (there are: {there or 'none'})"
    )


def gateway(end: End, other: End, family: int) -> int | None:
    """The address of the station at `other` by which packets leave the link of `end`; None when it has none there."""
    found = [a for a in addresses(other, family) if family == V4 or not is_link_local6(a)]
    prefixes = _prefixes(end, family)
    near = [a for a in found if any(a & mask(length, BITS[family]) == base for base, length in prefixes)]
    return next(iter(near or found), None)


def set_routes(lab: Lab) -> None:
    """Static routes from every node to every network of the lab; see `Lab.set_routes`."""
    nodes = [station for station in lab.stations.values() if isinstance(station, Node) and not repeats(station)]
    for family in (V4, V6) if lab.ipv6 else (V4,):
        for node in nodes:
            if not node.forwards and _set_default(node, family):
                continue
            own = {prefix for end in node.ends for prefix in _prefixes(end, family)}
            for prefix, via in _reachable(node, family).items():
                if prefix not in own:
                    _add(lab, node, format_prefix(*prefix, family), via, family)


def _prefixes(end: End, family: int) -> list[Prefix]:
    held = [a for dev in devices(end) for a in dev.addresses if a.family == family and a.scope != "link"]
    return [(a.address & mask(a.length, BITS[family]), a.length) for a in held]


def _set_default(node: Node, family: int) -> bool:
    """A host with one router beside it leaves everything to that; whether it is such a host."""
    found = [gateway(end, other, family) for end in node.ends for other in link(end) if is_router(other.station)]
    ways = [via for via in found if via is not None]
    if len(ways) != 1:
        return False
    _add(node.lab, node, DEFAULT[family], ways[0], family)
    return True


def _reachable(node: Node, family: int) -> dict[Prefix, int]:
    """Every network that routers lead to from `node`, with the first gateway of the shortest way (breadth first)."""
    ways: dict[Prefix, int] = {}
    queue: deque[tuple[Node, int | None]] = deque([(node, None)])
    seen = {node}
    while queue:
        here, first = queue.popleft()
        for end in here.ends:
            for prefix in _prefixes(end, family):
                if first is not None:
                    ways.setdefault(prefix, first)
            for other in link(end):
                station = other.station
                if not isinstance(station, Node) or not station.forwards or station in seen:
                    continue
                via = gateway(end, other, family) if first is None else first
                if via is not None:
                    seen.add(station)
                    queue.append((station, via))
    return ways


def _add(lab: Lab, node: Node, to: str, via: int, family: int) -> None:
    try:
        node.ns.add_route(to, via=format_address(via, family), now=lab.now)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
