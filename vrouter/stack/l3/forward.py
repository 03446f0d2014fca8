"""Forwarding: what is asked of a packet that is on its way to somebody else.

Expects: a route with a device. Read first: RFC 1812 5.2.1.2, 5.2.7.2, 5.3.1, RFC 1191 4, RFC 8200 3 and 5, RFC 4861
8.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.addresses import V4, zone_of
from vrouter.stack.l3.fib import UNICAST
from vrouter.stack.wire.ipv4 import decrement_ttl
from vrouter.stack.wire.ipv6 import decrement_hop_limit

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns


def forwards(ns: Netns, pkt: Packet) -> bool:
    """Whether packets that came the way `pkt` came are forwarded here.

    IPv4 asks the device that they came in by, IPv6 the namespace alone unless the device forces it, as Linux does.
    Deviation: RFC 8200 2 has a device that is a router by some of its interfaces discard what comes by the others.
    """
    iif = pkt.iif
    if pkt.family != V4:
        if ns.conf.v6.forwarding or iif is None or iif.kind == "crossing":
            return bool(ns.conf.v6.forwarding)
        return bool(iif.conf6.force_forwarding)
    if iif is None or iif.kind == "crossing":
        return bool(ns.conf.ip_forward)
    return bool(iif.conf4.forwarding)


def broadcasts(pkt: Packet, route: Route) -> bool:
    """Whether a directed broadcast goes out on its link (RFC 2644: not unless ``bc_forwarding`` says so)."""
    iif = pkt.iif
    if iif is None or iif.kind in ("lo", "crossing") or route.dev is iif:
        return False
    return bool(iif.conf4.bc_forwarding and iif.conf4.forwarding)


def transit_mtu(ip: IpState, pkt: Packet, route: Route, dev: Device, now: int) -> int:
    """The largest packet that is forwarded by a route: the next link's alone to say (RFC 1191 4), unless
    ``ip_forward_use_pmtu`` has it heed what is known of the path. IPv6 has no such setting, as in Linux."""
    if ip.exceptions and ip.family == V4 and ip.ns.conf.ip_forward_use_pmtu:
        return ip.path_mtu(route, pkt.dst, now)
    return ip.route_mtu(route, dev)


def decrement(pkt: Packet) -> None:
    """Take one from the TTL (RFC 1812 5.3.1); the caller has seen that it was more than one."""
    pkt.ttl = decrement_ttl(pkt.buf, pkt.l3)


def decrement6(pkt: Packet) -> None:
    """Take one from the hop limit (RFC 8200 3); the caller has seen that it was more than one."""
    pkt.ttl = decrement_hop_limit(pkt.buf, pkt.l3)


def redirect_gateway(ip: IpState, pkt: Packet, route: Route, dev: Device) -> int:
    """The better first hop of a packet that leaves by the device it came in by, or -1 (RFC 1812 5.2.7.2, RFC 4861 8.2).

    IPv4: when source and next hop are of one prefix of that link and sending is not switched off. IPv6: when the source
    is a neighbour, and the next hop the destination itself or a router named by its link-local address, which is the
    only name that a Redirect may call it. (Never about a packet with a source route: those do not come this far.)
    """
    if route.type != UNICAST:
        return -1
    gateway = pkt.dst if route.via < 0 else route.via
    if ip.family == V4:
        return gateway if dev.conf4.send_redirects and ip.same_link(dev, pkt.src, gateway) else -1
    if route.via >= 0 and zone_of(gateway) != dev.ifindex:
        return -1
    return gateway if _is_neighbour(ip, pkt.src, dev) else -1


def _is_neighbour(ip: IpState, address: int, dev: Device) -> bool:
    """Whether an IPv6 address is reached on the link of `dev` without a router."""
    if zone_of(address):
        return zone_of(address) == dev.ifindex
    route = ip.main.lookup(address)
    return route is not None and route.dev is dev and route.via < 0
