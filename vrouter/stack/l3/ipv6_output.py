"""IPv6 output: the header of a packet made here.

Expects: ``start``/``end`` around the transport segment (or around a hop-by-hop header in front of it, with ``proto``
0), ``src dst proto`` set, ``sock`` when a socket sends it. Sets: ``l3 l4 proto ttl start family``. Next: OUTPUT, the
route's device, POSTROUTING.

Flow labels (RFC 6437): with ``net.ipv6.auto_flowlabels`` 1 or 3 each flow has one of 20 bits, a keyed hash of its
addresses, protocol and ports, so that equal flows have equal labels and nobody can tell them beforehand (section 3). A
label of the caller's own, in the bits of `tos` above the traffic class, goes first. Fragments have the label of
their packet.

A packet has no identification unless it is cut (`fragment.fragment6`), and is cut only when it has to be: "atomic"
fragments are never made, also not when a path claims an MTU below 1280 (RFC 8021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.base.packet import DONT_FRAGMENT, Packet
from vrouter.stack.l3.ipv6_input import find_upper
from vrouter.stack.wire.ethernet import ETHERTYPE_IPV6
from vrouter.stack.wire.ext_headers import is_extension
from vrouter.stack.wire.ipv6 import (
    FIELDS,
    FLOW_LABEL_MASK,
    HEADER_LEN,
    PROTO_TCP,
    PROTO_UDP,
)

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

_pack = FIELDS.pack_into
_from_bytes = int.from_bytes
_ALWAYS: Final = (1, 3)
_WITH_PORTS: Final = (PROTO_TCP, PROTO_UDP)
_VERSION: Final = 6 << 28
NO_FLOW: Final = 1 << 20  # above the traffic class: no label and no choice, more than the 20 bits that there are


def push_ipv6(ip: IpState, pkt: Packet, ttl: int, tos: int, dont_fragment: bool, options: bytes = b"") -> None:
    """Put a header in front of the segment, whose hop limit is `ttl`.

    `tos` is the traffic class, with a flow label of the caller's own above its 8 bits (0: one is chosen). `options` is
    a whole hop-by-hop header, whose first byte is filled in. What is sent by a device goes with `dont_fragment` whole
    or not at all.
    """
    if pkt.start < HEADER_LEN + len(options) + 32:
        pkt.make_headroom(HEADER_LEN + len(options) + 32)
    buf, upper = pkt.buf, pkt.start
    proto = pkt.proto
    label = tos >> 8 & FLOW_LABEL_MASK if tos >> 8 else flow_label(ip, pkt)
    if options:
        pkt.start -= len(options)
        buf[pkt.start : upper] = options
        buf[pkt.start] = proto
        proto = 0
    l3 = pkt.start - HEADER_LEN
    _pack(
        buf,
        l3,
        _VERSION | (tos & 0xFF) << 20 | label,
        pkt.end - pkt.start,
        proto,
        ttl,
        (pkt.src & MAX6).to_bytes(16, "big"),
        (pkt.dst & MAX6).to_bytes(16, "big"),
    )
    if dont_fragment:
        pkt.flags |= DONT_FRAGMENT
    pkt.l4 = pkt.start
    pkt.l3 = pkt.start = l3
    pkt.ttl = ttl
    pkt.family = 6
    pkt.ethertype = ETHERTYPE_IPV6
    if is_extension(proto):
        find_upper(pkt)


def flow_label(ip: IpState, pkt: Packet) -> int:
    """The label of the flow of a packet that stands at its transport header: 0 when none are wanted (RFC 6437 3)."""
    conf = ip.ns.conf
    if conf.auto_flowlabels not in _ALWAYS:
        return 0
    start, proto = pkt.start, pkt.proto
    ports = _from_bytes(pkt.buf[start : start + 4], "big") if proto in _WITH_PORTS else 0
    label = ip.ns.stack.rng.keyed_hash(pkt.src & MAX6, pkt.dst & MAX6, proto << 32 | ports)
    return label & FLOW_LABEL_MASK or 1  # 0 would say that the packet belongs to no flow
