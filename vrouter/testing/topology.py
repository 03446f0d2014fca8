"""Who is where: address plan, stations on a link, and routes by the shortest way."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import format_address, format_prefix, is_multicast4, mask
from vrouter.stack.wire.ethernet import BROADCAST, multicast_mac4
from vrouter.testing.errors import LabError
from vrouter.testing.frames import ip_int, mac_bytes
from vrouter.testing.node import Node
from vrouter.testing.probe import Hub, Probe

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab
    from vrouter.testing.wire import End

_TEN: Final = 10 << 24

Prefix = tuple[int, int]


def network(number: int) -> int:
    """The /24 of the lab's wire or hub `number`."""
    return _TEN | number << 8


def mac(station: int, port: int) -> bytes:
    """A locally administered address that shows which station and which of its ports it is."""
    return bytes((0x02, 0, 0, station + 1 >> 8, station + 1 & 0xFF, port))


def is_router(station: Any) -> bool:
    """Whether a station forwards."""
    return isinstance(station, Node) and station.forwards


def link(end: End) -> list[End]:
    """The other ends of the link that `end` is on: the one across the wire, or all behind a hub."""
    found: list[End] = []
    queue, seen = deque([end.other]), {end.wire}
    while queue:
        other = queue.popleft()
        if not isinstance(other.station, Hub):
            found.append(other)
            continue
        for port in other.station.ends:
            if port.wire not in seen:
                seen.add(port.wire)
                queue.append(port.other)
    return found


def addresses(end: End) -> list[int]:
    """The IP addresses of the station at `end`, on this link."""
    if isinstance(end.station, Probe):
        return [ip_int(end.station)] if end.station.has_addr else []
    return [a.address for a in end.device.addresses] if end.device is not None else []


def mac_at(end: End) -> bytes:
    """The MAC address of the station at `end`."""
    if isinstance(end.station, Probe):
        return mac_bytes(end.station.mac)
    found: bytes = end.device.mac
    return found


def find_mac(end: End, addr: int) -> bytes:
    """The MAC address that packets to `addr` go to on the link of `end`; LabError when nobody there has it."""
    if is_multicast4(addr):
        return multicast_mac4(addr)
    others = link(end)
    for other in others:
        if addr in addresses(other):
            return mac_at(other)
    own = end.device.addresses if end.device is not None else []
    if addr == 0xFFFFFFFF or any(a.broadcast == addr for a in own):
        return BROADCAST
    there = ", ".join(f"{other.station.name} {format_address(a)}" for other in others for a in addresses(other))
    raise LabError(f"nobody on the link {end.wire.name} has {format_address(addr)} (there are: {there or 'none'})")


def set_routes(lab: Lab) -> None:
    """Static routes from every node to every network of the lab; see `Lab.set_routes`."""
    nodes = [station for station in lab.stations.values() if isinstance(station, Node)]
    for node in nodes:
        if not node.forwards and _set_default(node):
            continue
        own = {prefix for end in node.ends for prefix in _prefixes(end)}
        for prefix, gateway in _reachable(node).items():
            if prefix not in own:
                _add(lab, node, format_prefix(*prefix), gateway)


def _prefixes(end: End) -> list[Prefix]:
    return [(a.address & mask(a.length), a.length) for a in end.device.addresses]


def _set_default(node: Node) -> bool:
    """A host with one router beside it leaves everything to that; whether it is such a host."""
    routers = [other for end in node.ends for other in link(end) if is_router(other.station) and addresses(other)]
    if len(routers) != 1:
        return False
    _add(node.lab, node, "default", addresses(routers[0])[0])
    return True


def _reachable(node: Node) -> dict[Prefix, int]:
    """Every network that routers lead to from `node`, with the first gateway of the shortest way (breadth first)."""
    ways: dict[Prefix, int] = {}
    queue: deque[tuple[Node, int]] = deque([(node, -1)])
    seen = {node}
    while queue:
        here, gateway = queue.popleft()
        for end in here.ends:
            for prefix in _prefixes(end):
                if gateway >= 0:
                    ways.setdefault(prefix, gateway)
            for other in link(end):
                if isinstance(other.station, Node) and other.station.forwards and other.station not in seen:
                    if gateway >= 0 or addresses(other):
                        seen.add(other.station)
                        queue.append((other.station, gateway if gateway >= 0 else addresses(other)[0]))
    return ways


def _add(lab: Lab, node: Node, to: str, gateway: int) -> None:
    try:
        node.ns.add_route(to, via=format_address(gateway), now=lab.now)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
