"""IPv6 input: is this a packet at all, and may its addresses stand where they do?

Expects: ``start`` at the network header, ``end`` at the end of the frame, ``iif`` the device it came in by. Sets: ``l3
l4 src dst proto ttl family end`` (padding trimmed), and the flags for extension headers, fragments and Don't Fragment,
which every IPv6 packet from a wire has: nobody but its source may cut it (RFC 8200 4.5). Link-local addresses get the
zone of ``iif``; what goes around by ``lo`` keeps the zones that it was sent with. Next: `ext_headers.hop_input` when
the flag for options is set, PREROUTING, then `route`.

``proto`` and ``l4`` are those of the upper layer as far as they can be told without judging anything on the way, for
routers and firewalls; of a fragment they are what its fragment header says: the protocol of the datagram's data and
where this piece of it begins. An atomic fragment is no fragment (RFC 6946). Delivery judges the chain again, header by
header (`ext_headers.destination_input`), and its answer stands.

Jumbograms (RFC 2675) are not supported. A packet with payload length 0 and a hop-by-hop header may be one: its frame is
not trimmed, so that `ext_headers.hop_input` finds the option and refuses it by its type.

Which addresses are refused, and who says so:

- as source: groups (RFC 4291 2.7), IPv4-mapped ones (RFC 6890 2.2.3, Linux), and on a wire ``::1`` (RFC 4291 2.5.3);
- as destination: ``::`` (RFC 4291 2.5.2), IPv4-mapped ones, groups of the reserved scope 0 and, on a wire, of interface
  scope (RFC 4291 2.7 with erratum 3480), and ``::1``.

``::`` as a source asks for an address and is delivered, but never forwarded (RFC 4291 2.5.2). A source that is an
address of this namespace passes, as in Linux: unlike RFC 1812 5.3.7, no IPv6 document asks to discard it, and duplicate
address detection lives by hearing such packets.

Deviation: Linux forwards packets to IPv4-mapped destinations when it has a route; RFC 6890 says that they are not
forwardable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import LOOPBACK6, MAX6, is_link_local6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import DONT_FRAGMENT, FRAGMENT, IP_OPTIONS, Packet
from vrouter.stack.wire import ipv6
from vrouter.stack.wire.ext_headers import SKIM, is_extension, walk

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

_unpack = ipv6.FIELDS.unpack_from
_from_bytes = int.from_bytes
_HEADER_LEN: Final = ipv6.HEADER_LEN
_GROUP: Final = 0xFF
_LINK_LOCAL: Final = 0x3FA
_MAPPED: Final = 0xFFFF
_SPECIAL: Final = 1 << 48  # ::, ::1 and the IPv4-mapped addresses are below

HDR_TRUNC = int(DropReason.HDR_TRUNC)
IP_VERSION = int(DropReason.IP_VERSION)
IP_INHDR = int(DropReason.IP_INHDR)
IP_INVALID_SOURCE = int(DropReason.IP_INVALID_SOURCE)
IP_INVALID_DEST = int(DropReason.IP_INVALID_DEST)
IP_LOCALNET = int(DropReason.IP_LOCALNET)
FORWARD_LINK_LOCAL = int(DropReason.FORWARD_LINK_LOCAL)


def ipv6_input(pkt: Packet) -> int:
    """The header checks of RFC 8200 section 3; 0 or the drop reason."""
    l3 = pkt.start
    have = pkt.end - l3
    if have < _HEADER_LEN:
        return HDR_TRUNC
    first, length, proto, pkt.ttl, source, destination = _unpack(pkt.buf, l3)
    if first >> 28 != 6:
        return IP_VERSION
    if length > have - _HEADER_LEN:
        return IP_INHDR
    src, dst = _from_bytes(source, "big"), _from_bytes(destination, "big")
    pkt.src = src if src >> 118 != _LINK_LOCAL else _with_zone(pkt.iif, src, pkt.src)
    pkt.dst = dst if dst >> 118 != _LINK_LOCAL else _with_zone(pkt.iif, dst, pkt.dst)
    pkt.l3 = l3
    pkt.family = 6
    pkt.flags |= DONT_FRAGMENT
    pkt.proto = proto
    pkt.l4 = l3 + _HEADER_LEN
    if length or proto != ipv6.PROTO_HOPOPTS:
        pkt.end = l3 + _HEADER_LEN + length
    if is_extension(proto):
        find_upper(pkt)
    return 0


def find_upper(pkt: Packet) -> None:
    """Set ``proto``, ``l4`` and flags of a packet with extension headers, as the module's text says."""
    chain = walk(pkt.buf, pkt.l3, pkt.end, SKIM)
    fragment = chain.fragment
    pkt.flags |= IP_OPTIONS
    if fragment >= 0 and (ipv6.fragment_offset(pkt.buf, fragment) or ipv6.fragment_more(pkt.buf, fragment)):
        pkt.flags |= FRAGMENT
        pkt.proto, pkt.l4 = pkt.buf[fragment], fragment + ipv6.FRAGMENT_LEN
    else:
        pkt.proto, pkt.l4 = chain.proto, chain.offset


def _with_zone(iif: Any, address: int, before: int) -> int:
    """A link-local address with its zone: the device's, or the one that it was sent with when that is ``lo``."""
    if iif.kind == "lo" and before & MAX6 == address:
        return before
    return address | int(iif.ifindex) << 128


def martian6_input(ip: IpState, pkt: Packet, dev: Any) -> int:
    """The address filter for a packet that came in by `dev`; 0 or the drop reason. See the module's text."""
    src, dst = pkt.src, pkt.dst
    if src >> 120 == _GROUP or src >> 32 == _MAPPED:
        return IP_INVALID_SOURCE
    if dst >> 120 == _GROUP:
        scope = dst >> 112 & 15
        if not scope or (scope == 1 and dev.kind != "lo"):
            return IP_INVALID_DEST
    elif dst < _SPECIAL:
        if dst == LOOPBACK6:
            return 0 if dev.kind == "lo" else IP_LOCALNET
        if not dst or dst >> 32 == _MAPPED:
            return IP_INVALID_DEST
    return IP_LOCALNET if src == LOOPBACK6 and dev.kind != "lo" else 0


def crossing6_input(ip: IpState, pkt: Packet) -> int:
    """The address filter for a packet that another namespace handed over: 0 or the drop reason.

    There is no link between namespaces, so nothing of link scope crosses (RFC 4007 5, 9): no link-local address, and no
    group that reaches no farther.
    """
    src, dst = pkt.src, pkt.dst
    if is_link_local6(src) or is_link_local6(dst) or (dst >> 120 == _GROUP and dst >> 112 & 15 <= 2):
        return FORWARD_LINK_LOCAL
    if src == LOOPBACK6 or dst == LOOPBACK6:
        return IP_LOCALNET
    if not src or src >> 120 == _GROUP or src >> 32 == _MAPPED:
        return IP_INVALID_SOURCE
    return IP_INVALID_DEST if not dst or dst >> 32 == _MAPPED else 0
