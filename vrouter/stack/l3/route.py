"""The routing decision, as a value: deliver, forward, cross, or refuse with a reason and an ICMP answer.

The decision of a packet is the `Route` that it met; what a route means is in its ``action``. When there is no route, or
one that refuses, `REFUSALS` says with which drop reason, and which ICMP unreachable code tells the sender
(RFC 1812 5.2.7.1). Carrying it out is `pipeline`'s.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.addresses import BROADCAST4, V4
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l3.fib import (
    BLACKHOLE,
    BROADCAST,
    LOCAL,
    MULTICAST,
    PROHIBIT,
    TABLE_MAIN,
    UNICAST,
    UNREACHABLE,
    Route,
)
from vrouter.stack.l3.kinds import NET_UNREACHABLE, PROHIBITED, ROUTE_UNREACHABLE, SILENCE

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.ip import IpState


class Refusal(NamedTuple):
    """Why a packet is not carried on: drop reason, kind of error that its sender is told (`SILENCE`: none), errno for a
    local one."""

    reason: DropReason
    kind: int
    errno: int


NO_ROUTE: Final = Refusal(DropReason.IP_INNOROUTES, NET_UNREACHABLE, errno.ENETUNREACH)
NO_FORWARDING: Final = Refusal(DropReason.FORWARDING_DISABLED, SILENCE, errno.EHOSTUNREACH)
BAD_SOURCE: Final = Refusal(DropReason.IP_OUTNOROUTES, SILENCE, errno.EINVAL)
NO_SOURCE: Final = Refusal(DropReason.NO_SOURCE_ADDR, SILENCE, errno.EADDRNOTAVAIL)
REFUSALS: Final[dict[int, Refusal]] = {
    BLACKHOLE: Refusal(DropReason.ROUTE_BLACKHOLE, SILENCE, errno.EINVAL),
    UNREACHABLE: Refusal(DropReason.ROUTE_UNREACHABLE, ROUTE_UNREACHABLE, errno.EHOSTUNREACH),
    PROHIBIT: Refusal(DropReason.ROUTE_PROHIBIT, PROHIBITED, errno.EACCES),
}


def group_route(ip: IpState, type_: int, dev: Device | None, src: int) -> Route:
    """The route of a packet to a group or to everybody: by `dev`, with no next hop to resolve."""
    return Route(ip.family, type=type_, table=TABLE_MAIN, proto="kernel", scope="link", dev=dev, src=src)


def is_abroad(ip: IpState, dev: Device | None) -> bool:
    """Whether loopback addresses have no meaning where `dev` leads (None: another namespace). ``route_localnet`` gives
    those of IPv4 one; ``::1`` never has (RFC 4291 2.5.3)."""
    return dev is None or (dev.kind != "lo" and not (ip.family == V4 and dev.conf4.route_localnet))


def route_output(
    ip: IpState,
    dst: int,
    src: int,
    oif: Device | None,
    now: int,
    *,
    mark: int = 0,
    tos: int = 0,
    proto: int = 0,
    sport: int = 0,
    dport: int = 0,
) -> tuple[Route, int] | Refusal:
    """The route and the source address for a packet made here, or the refusal.

    `src` is 0 to have one chosen; `mark` and `tos` are for the rules, protocol and ports for the choice among several
    next hops; `oif` binds to a device (SO_BINDTODEVICE, IP_MULTICAST_IF). A group or the limited broadcast
    without `oif` goes where the default route goes (Linux's ip_route_output_key_hash_rcu).
    A source that is no address of this namespace (any more) is refused, and so are loopback addresses that would go out
    on a wire or into another namespace (RFC 1122 3.2.1.3 (g)).
    """
    if src and src not in ip.owners and not ip.is_local(src):
        return BAD_SOURCE
    if oif is not None and not oif.ready:
        return NO_ROUTE
    codec = ip.codec
    if ip.group_floor <= dst <= ip.group_top and (codec.is_multicast(dst) or dst == BROADCAST4):
        dev = oif
        if dev is None and src:
            owner = ip.owner(src)
            dev = owner.dev if owner is not None else None
        if dev is None:
            dev = ip.group_device(dst)
            if dev is None:
                return NO_ROUTE
        if codec.is_loopback(src) and is_abroad(ip, dev):
            return BAD_SOURCE
        source = src or ip.select_source(dev, dst)
        if not source and dst != BROADCAST4:  # who asks for his address has none yet
            return NO_SOURCE
        return group_route(ip, MULTICAST if codec.is_multicast(dst) else BROADCAST, dev, source), source
    if dst == 0:
        dst = src or codec.loopback  # Linux: 0.0.0.0 means this host
    elif codec.is_unusable(dst) or (dst in ip.zeros and dst not in ip.owners):
        return NO_ROUTE
    route = ip.route_out(dst, src, oif, mark, tos, proto=proto, sport=sport, dport=dport)
    # Bound to the device: its link is all there is (Linux's fallback for oif, which IPv6 has not).
    if route is None and oif is not None and ip.family == V4:
        route = group_route(ip, UNICAST, oif, 0)
    if route is None:
        return NO_ROUTE
    refusal = REFUSALS.get(route.type)
    if refusal is not None:
        return refusal
    to_loopback = codec.is_loopback(dst)
    if (to_loopback or codec.is_loopback(src)) and route.type != LOCAL and is_abroad(ip, route.dev):
        return NO_ROUTE if to_loopback else BAD_SOURCE
    source = src or route.src
    if not source or (not src and source not in ip.owners):  # a preferred source under conflict detection is not used
        # RFC 6724 5 compares with the destination, RFC 1122 3.3.4.3 with the next hop.
        near = route.via if route.via >= 0 and ip.family == V4 else dst
        source = ip.select_source(route.dev, near)
    return (route, source) if source else NO_SOURCE
