"""Several next hops under one route: which of them a flow takes.

A flow is a 64-bit number (`flow_hash`, `hash_flow`); a next hop is chosen from it by weighted rendezvous hashing: every
hop draws a number from the flow and from its own identity (gateway and device's name), the best draw for its weight
wins. There is no table of buckets and no history: who is there and usable now decides, so that only the flows of a hop
that leaves move, and all of them come back when it does; the same hops in another route, or after a restart, take the
same flows; and the shares follow the weights exactly, but for chance, whatever the number of hops. The price is a walk
over the hops for each packet, which is why there are no more than `MAX_HOPS`.

The hash is keyed (a stranger cannot aim his flows at one link) and the same for both directions, as Linux's is: the
ICMP error about a packet goes by what it quotes to the place that the packet came from.

RFC 2991, RFC 2992 (hashing), RFC 6438 (IPv6 flow labels), RFC 1812 5.2.4.3.
"""

from __future__ import annotations

from hashlib import blake2b
from math import log
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vrouter.stack.base.addresses import V4, format_address
from vrouter.stack.base.packet import FRAGMENT, Packet
from vrouter.stack.l3.fib import BLACKHOLE, UNREACHABLE, Route

if TYPE_CHECKING:
    from vrouter.stack.base.rng import Rng
    from vrouter.stack.device import Device

MAX_HOPS: Final = 256
MAX_WEIGHT: Final = 256
POLICY_L3: Final = 0  # fib_multipath_hash_policy
POLICY_L4: Final = 1

FlowKey: TypeAlias = tuple[int, int, int, int]

_PRIME: Final = (1 << 192) - 237
_MASK64: Final = (1 << 64) - 1
_TOP: Final = 1.0 / (1 << 53)
PORTED: Final = frozenset({6, 17, 33, 132, 136})  # TCP, UDP, DCCP, SCTP, UDP-Lite
_PROTO_ICMP: Final = 1
_PROTO_ICMP6: Final = 58
_ERRORS4: Final = frozenset({3, 4, 5, 11, 12})
_ERRORS6: Final = frozenset({1, 2, 3, 4})
_NUD_VALID: Final = 0xDE  # what Linux calls so: not INCOMPLETE, not FAILED
_from_bytes = int.from_bytes


class NextHop:
    """One way on: gateway `via` (-1: the destination itself) and `dev`, with a weight of 1 to `MAX_WEIGHT`. Without a
    device it discards silently, as a blackhole route does."""

    __slots__ = ("dev", "onlink", "via", "weight")

    def __init__(self, via: int, dev: Device | None, weight: int = 1, onlink: bool = False) -> None:
        self.via = via
        self.dev = dev
        self.weight = weight
        self.onlink = onlink


class Multipath:
    """The next hops of one route. Its hops may be replaced while it is in use (`replace`, `forget`): the routes that
    hold it go on as they are.

    ``hops`` is what there is now. A flow gets a single-path `Route` with the attributes that were given for all.
    """

    __slots__ = ("__weakref__", "_attributes", "_family", "_members", "hops")

    def __init__(self, family: int, hops: list[NextHop], **attributes: Any) -> None:
        self._family = family
        self._attributes = attributes
        self.hops: list[NextHop] = []
        self._members: list[tuple[int, float, Route]] = []  # seed, 1 / weight, route
        self.replace(hops)

    def __len__(self) -> int:
        return len(self.hops)

    def replace(self, hops: list[NextHop]) -> None:
        """From now on these are the next hops."""
        seen: dict[tuple[int, str], int] = {}
        members = []
        for hop in hops:
            name = "" if hop.dev is None else hop.dev.name
            count = seen[hop.via, name] = seen.get((hop.via, name), 0) + 1
            members.append((_seed(hop.via, name, count), 1.0 / hop.weight, self._member(hop)))
        self.hops = list(hops)
        self._members = members

    def forget(self, dev: Device) -> bool:
        """`dev` is gone for good, and the hops by it with it; whether none is left."""
        if any(hop.dev is dev for hop in self.hops):
            self.replace([hop for hop in self.hops if hop.dev is not dev])
        return not self.hops

    @property
    def ready(self) -> bool:
        """Whether a packet can go by any of them now."""
        for _, _, route in self._members:
            dev = route.dev
            if dev is None or dev.ready:
                return True
        return False

    def leaves_by(self, dev: Device) -> bool:
        """Whether a flow may be sent by `dev`, used now or not (RFC 3704 2.3: every feasible path)."""
        return any(hop.dev is dev for hop in self.hops)

    def by_device(self, dev: Device) -> Route | None:
        """The single-path route by the first of its hops that leaves by `dev`, for senders bound to a device."""
        for _, _, route in self._members:
            if route.dev is dev:
                return route
        return None

    def pick(self, flow: int, *, use_neigh: bool = False) -> Route:
        """The single-path route of the flow with the number `flow`, among the usable hops; one that refuses when there
        is none. With `use_neigh` gateways that are known not to answer are passed over while there is another hop
        (fib_multipath_use_neigh)."""
        best = None
        top = 0.0
        for seed, inverse, route in self._members:
            dev = route.dev
            if dev is not None:
                if not dev.ready:
                    continue
                if use_neigh and route.via >= 0:
                    neigh = dev.neigh4.get(route.via)
                    if neigh is not None and not neigh.state & _NUD_VALID:
                        continue
            draw = (flow ^ seed) * 0x9E3779B97F4A7C15 & _MASK64
            draw = (draw ^ draw >> 32) * 0xD6E8FEB86659FD93 & _MASK64
            score = -log(((draw ^ draw >> 32) >> 11 | 1) * _TOP) * inverse
            if best is None or score < top:
                best, top = route, score
        if best is None:
            return self.pick(flow) if use_neigh else self._member(None)
        return best

    def to_records(self) -> list[dict[str, Any]]:
        """The ``nexthops`` of a row of ``show routes``."""
        return [
            {
                "via": None if hop.via < 0 else format_address(hop.via, self._family),
                "dev": None if hop.dev is None else hop.dev.name,
                "weight": hop.weight,
            }
            for hop in self.hops
        ]

    def _member(self, hop: NextHop | None) -> Route:
        if hop is None:
            return Route(self._family, type=UNREACHABLE, **self._attributes)
        if hop.dev is None:
            return Route(self._family, type=BLACKHOLE, **self._attributes)
        return Route(self._family, via=hop.via, dev=hop.dev, onlink=hop.onlink, **self._attributes)


def multipath_route(family: int, hops: list[NextHop], **attributes: Any) -> Route:
    """A unicast route by several next hops; `attributes` are `Route`'s (table, metric, proto, scope, src, mtu, advmss,
    nhid)."""
    return Route(family, nexthops=Multipath(family, hops, **attributes), **attributes)


def _seed(via: int, name: str, count: int) -> int:
    """What a hop is known by when it draws: not its place among the others. `count` tells equal ones apart."""
    digest = blake2b(f"{via} {count} {name}".encode(), digest_size=8, person=b"vrouter-hop")
    return _from_bytes(digest.digest(), "little")


# -- flows ------------------------------------------------------------------------------------------------------------


def new_flow_key(rng: Rng) -> FlowKey:
    """The secret of one namespace's flow hash."""
    one, two, three, four = (_from_bytes(rng.random_bytes(24), "little") % (_PRIME - 1) + 1 for _ in range(4))
    return one, two, three, four


def hash_flow(
    key: FlowKey, policy: int, src: int, dst: int, proto: int = 0, sport: int = 0, dport: int = 0, label: int = 0
) -> int:
    """The number of a flow, 64 bits: by addresses (and IPv6 flow label) under `POLICY_L3`, by addresses, protocol and
    ports under `POLICY_L4`. It is the same for the other direction."""
    if src > dst or (src == dst and sport > dport):
        src, dst, sport, dport = dst, src, dport, sport
    rest = label if policy == POLICY_L3 else proto << 32 | sport << 16 | dport
    # Affine over a prime field larger than any address: pairwise independent, for one addition and three products.
    return (key[0] * src + key[1] * dst + key[2] * rest + key[3]) % _PRIME & _MASK64


def flow_hash(pkt: Packet, policy: int, key: FlowKey) -> int:
    """The flow of an IP packet on its way (``family src dst proto l3 l4 end flags`` set).

    A fragment goes by its addresses alone, for all but the first have no ports and the pieces stay together. An ICMP
    error goes the way of the packet that it quotes: what is said about a path comes to who uses it.
    """
    src, dst, proto = pkt.src, pkt.dst, pkt.proto
    buf = pkt.buf
    if pkt.flags & FRAGMENT:
        label = _label(buf, pkt.l3) if pkt.family != V4 and policy == POLICY_L3 else 0
        return hash_flow(key, policy, src, dst, label=label)
    if (proto == _PROTO_ICMP or proto == _PROTO_ICMP6) and pkt.l4 >= 0 and pkt.end > pkt.l4:
        if buf[pkt.l4] in (_ERRORS4 if pkt.family == V4 else _ERRORS6):
            found = _quoted(pkt, policy, key)
            if found >= 0:
                return found
    if policy == POLICY_L3:
        return hash_flow(key, policy, src, dst, label=0 if pkt.family == V4 else _label(buf, pkt.l3))
    ports = _ports(buf, pkt.l4, pkt.end) if proto in PORTED else 0
    return hash_flow(key, policy, src, dst, proto, ports >> 16, ports & 0xFFFF)


def _quoted(pkt: Packet, policy: int, key: FlowKey) -> int:
    """The flow that an ICMP error is about, -1 when it quotes too little."""
    buf, at, end = pkt.buf, pkt.l4 + 8, pkt.end
    if pkt.family == V4:
        if end - at < 20:
            return -1
        proto, is_piece = buf[at + 9], (buf[at + 6] << 8 | buf[at + 7]) & 0x3FFF
        src, dst = _from_bytes(buf[at + 12 : at + 16], "big"), _from_bytes(buf[at + 16 : at + 20], "big")
        label, l4 = 0, at + ((buf[at] & 15) << 2)
    else:
        if end - at < 40:
            return -1
        proto, is_piece = buf[at + 6], 0
        src, dst = _from_bytes(buf[at + 8 : at + 24], "big"), _from_bytes(buf[at + 24 : at + 40], "big")
        label, l4 = _label(buf, at), at + 40
        if proto == 44:
            is_piece = 1
    if policy == POLICY_L3:
        return hash_flow(key, policy, src, dst, label=label)
    if is_piece:
        return hash_flow(key, policy, src, dst)
    ports = _ports(buf, l4, end) if proto in PORTED else 0
    return hash_flow(key, policy, src, dst, proto, ports >> 16, ports & 0xFFFF)


def _ports(buf: bytearray, at: int, end: int) -> int:
    return _from_bytes(buf[at : at + 4], "big") if 0 <= at and end - at >= 4 else 0


def _label(buf: bytearray, l3: int) -> int:
    return (buf[l3 + 1] & 15) << 16 | buf[l3 + 2] << 8 | buf[l3 + 3]
