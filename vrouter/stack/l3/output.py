"""IPv4 output: the header of a packet made here.

Expects: ``start``/``end`` around the transport segment, ``src dst proto`` set. Sets: ``l3 l4 ttl start family``. Next:
OUTPUT, the route's device, POSTROUTING.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.packet import DONT_FRAGMENT, IP_OPTIONS, Packet
from vrouter.stack.wire.ipv4 import DF, FIELDS, emit_header

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

_pack = FIELDS.pack_into
_from_bytes = int.from_bytes


def push_ipv4(ip: IpState, pkt: Packet, ttl: int, tos: int, dont_fragment: bool, options: bytes = b"") -> None:
    """Put a header in front of the segment. Without Don't Fragment it carries an identification; with it, 0 (an atomic
    datagram needs none, RFC 6864 4.1)."""
    header_len = 20 + (len(options) + 3 & ~3)
    end = pkt.end
    l3 = pkt.start - header_len
    if l3 < 32:
        pkt.make_headroom(header_len + 32)
        end = pkt.end
        l3 = pkt.start - header_len
    if dont_fragment:
        ident, frag = 0, DF
        pkt.flags |= DONT_FRAGMENT
    else:
        ident, frag = ip.next_ident(pkt.src, pkt.dst, pkt.proto), 0
    if options:
        pkt.flags |= IP_OPTIONS
    emit_header(
        pkt.buf,
        l3,
        total_length=end - l3,
        ident=ident,
        flags_fragment=frag,
        ttl=ttl,
        proto=pkt.proto,
        src=pkt.src,
        dst=pkt.dst,
        tos=tos,
        options=options,
    )
    pkt.l4 = pkt.start
    pkt.l3 = pkt.start = l3
    pkt.ttl = ttl
    pkt.family = 4
    pkt.ethertype = 0x0800
