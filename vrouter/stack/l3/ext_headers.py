"""IPv6 extension headers: which packets they condemn, and what their senders are told.

`wire.ext_headers.walk` finds and judges; this module says when, with which bounds, and what comes of it.

- `hop_input`: at every node that the packet passes, the hop-by-hop options and nothing else (RFC 8200 4.3, 4.8; RFC
  7045 2.1: what a router does not need to read does not hold a packet up). Sets `ROUTER_ALERT`.
- `fragment_input`: of each fragment that is for us, before it waits: the headers in front of its fragment header, its
  length and offset, and whether the first one holds the whole chain (RFC 8200 4.5, RFC 7112 section 5).
- `destination_input`: of each packet that is for us, whole: everything as far as the upper layer, whose ``proto`` and
  ``l4`` it sets. ``PROTO_NONE`` behind it means that there is nothing to deliver (RFC 8200 4.7).
- `next_header_at`: where the number of an upper layer stands that nobody takes (RFC 4443 3.4, code 1).

Expects: ``l3`` and ``end`` set by `ipv6_input`. Each gives (0, SILENCE, 0), or (drop reason, kind of error or SILENCE,
its info: for Parameter Problems the offset from the IPv6 header).

Bounds are RFC 8504 5.3's by ``net.ipv6.max_hbh_opts_number``, ``…length``, ``max_dst_opts_number`` and ``…length``;
what exceeds them, malformed options and padding that is none are discarded in silence.

Routing headers: with segments left every type is unknown, type 0 by RFC 5095; without, they are passed over (RFC 8200
4.4). A packet with one that came to a group is discarded in silence, as in Linux.

Deviation: RFC 8200 4 expects hop-by-hop options to be read on the way only where that is configured; here as in Linux
they always are, with the bounds above.

Deviation: payload length 0 with a hop-by-hop header and no Jumbo Payload option is answered with Parameter Problem code
0 at the length (RFC 2675 3); Linux takes the frame's length for the packet's.

Read first: RFC 8200 section 4, RFC 7045, RFC 7112, RFC 8504 5.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import IP_OPTIONS, LINK_GROUP, REASSEMBLED, ROUTER_ALERT, Packet
from vrouter.stack.l3.kinds import PARAMETER, PARAMETER_CHAIN, PARAMETER_OPTION, PROTO_UNREACHABLE, SILENCE
from vrouter.stack.wire import ipv6
from vrouter.stack.wire.ext_headers import (
    ACTION_REPORT,
    DESTINATION,
    MAX_HEADERS,
    PROBLEM,
    ROUTER,
    SKIM,
    UNRECOGNISED_NEXT_HEADER,
    UNRECOGNISED_OPTION,
    Chain,
    Limits,
    holds_upper_header,
    walk,
)

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

Judgement = tuple[int, int, int]

_IP_INHDR: Final = int(DropReason.IP_INHDR)
_IP_OPTIONS: Final = int(DropReason.IP_OPTIONS)
_IP_NOPROTO: Final = int(DropReason.IP_NOPROTO)
_FRAG_INVALID: Final = int(DropReason.FRAG_INVALID)
_FINE: Final = (0, SILENCE, 0)
_DISCARD: Final = (_IP_OPTIONS, SILENCE, 0)
_PAYLOAD_LENGTH_AT: Final = 4
_NEXT_HEADER_AT: Final = 6
_FRAGMENT_OFFSET_AT: Final = 2  # in the fragment header


def hop_input(ip: IpState, pkt: Packet) -> Judgement:
    """Process the hop-by-hop options, if there are any."""
    buf, l3 = pkt.buf, pkt.l3
    if buf[l3 + _NEXT_HEADER_AT] != ipv6.PROTO_HOPOPTS:
        return _FINE
    chain = walk(buf, l3, pkt.end, ROUTER, _limits(ip))
    if chain.fault:
        return _judge(pkt, chain)
    if not ipv6.payload_length(buf, l3):
        return _IP_INHDR, PARAMETER, _PAYLOAD_LENGTH_AT
    if chain.router_alert >= 0:
        pkt.flags |= ROUTER_ALERT
    return _FINE


def destination_input(ip: IpState, pkt: Packet) -> Judgement:
    """Process the chain of a packet that is for this node."""
    chain = walk(pkt.buf, pkt.l3, pkt.end, DESTINATION, _limits(ip))
    if chain.fault:
        return _judge(pkt, chain)
    if chain.fragment >= 0 and pkt.flags & REASSEMBLED:
        return _FRAG_INVALID, PARAMETER, chain.fragment - pkt.l3  # a packet is cut once
    if chain.routing >= 0 and (pkt.flags & LINK_GROUP or pkt.dst >> 120 == 0xFF):
        return _DISCARD
    pkt.proto, pkt.l4 = chain.proto, chain.offset
    return _FINE


def fragment_input(ip: IpState, pkt: Packet) -> Judgement:
    """Judge a fragment, whose data begins at ``l4``, before it waits for the others."""
    buf, l3 = pkt.buf, pkt.l3
    chain = walk(buf, l3, pkt.end, DESTINATION, _limits(ip))
    if chain.fault:
        return _judge(pkt, chain)
    at = chain.fragment
    offset, size = ipv6.fragment_offset(buf, at), pkt.end - pkt.l4
    if ipv6.fragment_more(buf, at) and size & 7:
        return _FRAG_INVALID, PARAMETER, _PAYLOAD_LENGTH_AT
    if at - l3 - ipv6.HEADER_LEN + offset + size > ipv6.MAX_PAYLOAD:
        return _FRAG_INVALID, PARAMETER, at + _FRAGMENT_OFFSET_AT - l3
    if not offset and not holds_upper_header(walk(buf, l3, pkt.end, SKIM), pkt.end):
        return _FRAG_INVALID, PARAMETER_CHAIN, 0
    return _FINE


def next_header_at(pkt: Packet) -> int:
    """The offset from the IPv6 header of the field that names the upper layer."""
    if not pkt.flags & IP_OPTIONS:
        return _NEXT_HEADER_AT
    return walk(pkt.buf, pkt.l3, pkt.end, SKIM).next_at - pkt.l3


def fragment_namer(buf: bytearray, l3: int, fragment: int) -> int:
    """The index of the byte that names the fragment header at `fragment`; the headers before it lie whole there."""
    at, behind = l3 + _NEXT_HEADER_AT, l3 + ipv6.HEADER_LEN
    for _ in range(MAX_HEADERS):
        if behind >= fragment:
            break
        at, behind = behind, behind + 8 + buf[behind + 1] * 8
    return at


def _limits(ip: IpState) -> Limits:
    conf = ip.ns.conf
    return Limits(conf.max_hbh_opts_number, conf.max_hbh_length, conf.max_dst_opts_number, conf.max_dst_opts_length)


def _judge(pkt: Packet, chain: Chain) -> Judgement:
    """What the fault of a chain means."""
    if chain.fault != PROBLEM:
        return _DISCARD
    if chain.code == UNRECOGNISED_NEXT_HEADER:
        return _IP_NOPROTO, PROTO_UNREACHABLE, chain.pointer
    if chain.code != UNRECOGNISED_OPTION:
        return _IP_OPTIONS, PARAMETER, chain.pointer
    if chain.action != ACTION_REPORT and (pkt.flags & LINK_GROUP or pkt.dst >> 120 == 0xFF):
        return _DISCARD  # RFC 8200 4.2: type 11......, RFC 4443 2.4 (e.4)
    return _IP_OPTIONS, PARAMETER_OPTION, chain.pointer
