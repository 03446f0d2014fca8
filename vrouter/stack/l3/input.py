"""IPv4 input: is this a packet at all, and may its addresses stand where they do?

Expects: ``start`` at the network header, ``end`` at the end of the frame. Sets: ``l3 l4 src dst proto ttl family end``
(padding trimmed) and the flags for options, fragments and Don't Fragment. Next: PREROUTING, then `route`.

The checks are those of RFC 1812 5.2.2 in its order (length, checksum, version, header length, total length), then the
martian filter of 5.3.7. The first that fails names the reason. TTL is not looked at: it matters only to who forwards
(RFC 1812 4.2.2.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import BROADCAST4, V4
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import (
    DONT_FRAGMENT,
    FRAGMENT,
    IP_OPTIONS,
    LINK_GROUP,
    Packet,
)
from vrouter.stack.l3.fib import DELIVER, REJECT
from vrouter.stack.wire.checksum import is_valid
from vrouter.stack.wire.ipv4 import DF, FIELDS, MAX_PACKET, MF, MIN_HEADER, OFFSET_MASK, PROTO_IGMP

if TYPE_CHECKING:
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState

_unpack = FIELDS.unpack_from
_from_bytes = int.from_bytes
_FRAGMENT_BITS: Final = MF | OFFSET_MASK

MAX_DATA: Final = MAX_PACKET - MIN_HEADER

FRAG_INVALID = int(DropReason.FRAG_INVALID)
HDR_TRUNC = int(DropReason.HDR_TRUNC)
IP_VERSION = int(DropReason.IP_VERSION)
IP_INHDR = int(DropReason.IP_INHDR)
IP_CSUM = int(DropReason.IP_CSUM)
IP_INVALID_SOURCE = int(DropReason.IP_INVALID_SOURCE)
IP_INVALID_DEST = int(DropReason.IP_INVALID_DEST)
IP_LOCAL_SOURCE = int(DropReason.IP_LOCAL_SOURCE)
IP_LOCALNET = int(DropReason.IP_LOCALNET)
IP_RPFILTER = int(DropReason.IP_RPFILTER)
UNICAST_IN_L2_MULTICAST = int(DropReason.UNICAST_IN_L2_MULTICAST)


def ipv4_input(pkt: Packet) -> int:
    """The header checks of RFC 1812 5.2.2; 0 or the drop reason."""
    buf = pkt.buf
    l3 = pkt.start
    have = pkt.end - l3
    if have < MIN_HEADER:
        return HDR_TRUNC
    vihl, _, total, _, frag, pkt.ttl, pkt.proto, _, pkt.src, pkt.dst = _unpack(buf, l3)
    if vihl == 0x45 and _from_bytes(buf[l3 : l3 + 20], "big") % 65535 == 0:
        pkt.l4 = l3 + 20
        if total < 20:
            return IP_INHDR
    else:
        header_len = (vihl & 15) << 2
        if header_len > have:
            return HDR_TRUNC
        if not is_valid(buf, l3, l3 + max(header_len, MIN_HEADER)):
            return IP_CSUM
        if vihl >> 4 != 4:
            return IP_VERSION
        if header_len < MIN_HEADER or total < header_len:
            return IP_INHDR
        pkt.l4 = l3 + header_len
        pkt.flags |= IP_OPTIONS
    if total > have:
        return IP_INHDR
    pkt.l3 = l3
    pkt.end = l3 + total
    pkt.family = 4
    if frag:
        if frag & DF:
            pkt.flags |= DONT_FRAGMENT
        if frag & _FRAGMENT_BITS:
            pkt.flags |= FRAGMENT
            if ((frag & OFFSET_MASK) << 3) + total - (pkt.l4 - l3) > MAX_DATA:
                return FRAG_INVALID  # it would reach beyond what a datagram can hold, or wrap when cut again
    return 0


def martian_input(ip: IpState, pkt: Packet, dev: Any) -> int:
    """The address filter of RFC 1812 5.3.7 and 5.3.8 for a packet that came in by `dev`; 0 or the drop reason.

    0.0.0.0/8 as source passes only for 0.0.0.0 itself, to a limited broadcast (RFC 1812 5.3.7: a host that does not
    know its address yet), and in IGMP (RFC 3376 4.2.13). 240.0.0.0/4 is nobody's (RFC 1812 4.2.2.11), nor is the
    network's own number {prefix, 0} (4.2.3.1); Linux takes both for unicast.
    """
    src, dst = pkt.src, pkt.dst
    top = src >> 24
    if top == 127 or dst >> 24 == 127:
        if dev.kind == "lo":
            if dst < 0xE0000000 and not ip.is_local(dst):
                return IP_LOCALNET  # it would be forwarded
        elif not dev.conf4.route_localnet:
            return IP_LOCALNET
    elif top >= 224:
        return IP_INVALID_SOURCE
    elif top == 0 and (src or (dst != BROADCAST4 and not (pkt.proto == PROTO_IGMP and dst >> 28 == 14))):
        return IP_INVALID_SOURCE
    if dst >= 0xF0000000:
        if dst != BROADCAST4:
            return IP_INVALID_DEST
    elif dst >> 24 == 0 or (dst in ip.zeros and dst not in ip.owners):
        return IP_INVALID_DEST
    if src in ip.owners:
        if dev.kind != "lo" and not dev.conf4.accept_local:
            return IP_LOCAL_SOURCE
    elif src in ip.broadcasts or src in ip.zeros:
        return IP_INVALID_SOURCE
    if dev.conf4.rp_filter and dev.kind != "lo" and src:
        return reverse_path(ip, pkt, dev, dev.conf4.rp_filter)
    return 0


def reverse_path(ip: IpState, pkt: Packet, dev: Any, mode: int) -> int:
    """RFC 3704 2.2 strict (1: a packet to the source may leave by `dev`) or 2.4 loose (2: there is a route).

    Of several next hops each is a feasible path (RFC 3704 2.3, RFC 8704 3). The rules are asked as for an answer made
    here, with the mark of the packet where ``src_valid_mark`` says that it is that of the answer, too.
    """
    src = pkt.src
    route = ip.lookup(src, pkt.dst, None, None, pkt.mark if dev.conf4.src_valid_mark else 0)
    if route is None or route.action == REJECT:
        return IP_RPFILTER
    if mode == 1 and route.dev is not dev and (route.nexthops is None or not route.nexthops.leaves_by(dev)):
        return IP_RPFILTER
    return 0


def crossing_input(ip: IpState, pkt: Packet) -> int:
    """The address filter for a packet that another namespace handed over: 0 or the drop reason.

    What `martian_input` says about this namespace's own prefixes holds for it as well: a source to which an answer
    would be a broadcast here, and destinations that are nobody's here. There is no reverse path to check.

    Deviation: a source that is an address of this namespace passes (RFC 1812 5.3.7 would discard it). Tenants with the
    same subnet have routers with the same address, whose ICMP errors must reach the other side.
    """
    src, dst = pkt.src, pkt.dst
    if src >> 24 == 127 or dst >> 24 == 127:
        return IP_LOCALNET
    if src not in ip.owners and (src in ip.broadcasts or src in ip.zeros):
        return IP_INVALID_SOURCE
    return IP_INVALID_DEST if dst in ip.zeros and dst not in ip.owners else 0


def is_heard(pkt: Packet, route: Route) -> bool:
    """Whether a packet to one host in a group frame may be for us: IPv6's may (RFC 6085), but is not forwarded."""
    return pkt.family != V4 and route.action == DELIVER


def group_input(pkt: Packet) -> int:
    """RFC 1122 3.3.6, RFC 1812 5.3.4: a unicast packet in a link-layer group frame is discarded."""
    return UNICAST_IN_L2_MULTICAST if pkt.flags & LINK_GROUP else 0
