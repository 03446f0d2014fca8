"""IPv6 as an `IpCodec`: the functions of its modules in the places where the pipeline looks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import (
    BITS,
    LOOPBACK6,
    MAX6,
    SCOPE_INTERFACE,
    V6,
    is_link_local6,
    is_multicast6,
    multicast_scope6,
)
from vrouter.stack.base.counters import Stat
from vrouter.stack.l3 import ext_headers, forward, fragment, icmpv6_error, ipv6_input, ipv6_output, reassembly
from vrouter.stack.l3 import icmpv6 as icmp_in
from vrouter.stack.l3.codec import IpCodec
from vrouter.stack.wire import icmpv6, ipv6
from vrouter.stack.wire.ethernet import ETHERTYPE_IPV6, multicast_mac6

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l3.ip import IpState


def _tos6(pkt: Packet) -> int:
    return ipv6.traffic_class(pkt.buf, pkt.l3)


def _reply_options6(pkt: Packet) -> bytes:
    """Extension headers are not returned (RFC 4443 4.2: the data alone)."""
    return b""


def _rest6(kind: int, info: int) -> int:
    return info


def _stays_here6(group: int) -> bool:
    """RFC 4291 2.7: a group of interface scope."""
    return multicast_scope6(group) <= SCOPE_INTERFACE


def _is_loopback6(address: int) -> bool:
    return address == LOOPBACK6


def _is_unusable6(address: int) -> bool:
    """RFC 6890 2.2.3: IPv4-mapped addresses are on no wire."""
    return address >> 32 == 0xFFFF


def _fragment6(ip: IpState, pkt: Packet, mtu: int) -> list[Packet]:
    return fragment.fragment6(ip, pkt, mtu)


_UNREACHABLE = icmpv6.DEST_UNREACHABLE
IPV6: Final = IpCodec(
    family=V6,
    bits=BITS[V6],
    ethertype=ETHERTYPE_IPV6,
    header=ipv6.HEADER_LEN,
    min_mtu=ipv6.MIN_MTU,
    max_packet=ipv6.MAX_PACKET,
    icmp_proto=ipv6.PROTO_ICMPV6,
    ident_mask=0xFFFFFFFF,
    empty_proto=ipv6.PROTO_NONE,
    loopback=LOOPBACK6,
    group_floor=0xFF << 120,
    group_top=MAX6,
    can_broadcast=False,
    errors=(
        (_UNREACHABLE, 0),
        (_UNREACHABLE, 3),
        (_UNREACHABLE, 0),  # as Linux answers for a route of type unreachable
        (_UNREACHABLE, 1),
        (_UNREACHABLE, 4),
        (icmpv6.PARAMETER_PROBLEM, 1),
        (icmpv6.TIME_EXCEEDED, 0),
        (icmpv6.TIME_EXCEEDED, 1),
        (icmpv6.PACKET_TOO_BIG, 0),
        (icmpv6.PARAMETER_PROBLEM, 0),
        (icmpv6.PARAMETER_PROBLEM, 2),
        (icmpv6.PARAMETER_PROBLEM, 3),
        (_UNREACHABLE, 2),
        None,  # a Redirect belongs to neighbour discovery
    ),
    in_receives=int(Stat.Ip6InReceives),
    forw=int(Stat.Ip6OutForwDatagrams),
    delivers=int(Stat.Ip6InDelivers),
    out_requests=int(Stat.Ip6OutRequests),
    in_mcasts=int(Stat.Ip6InMcastPkts),
    out_mcasts=int(Stat.Ip6OutMcastPkts),
    in_bcasts=int(Stat.Ip6InMcastPkts),
    out_bcasts=int(Stat.Ip6OutMcastPkts),
    reasm_reqds=int(Stat.Ip6ReasmReqds),
    reasm_oks=int(Stat.Ip6ReasmOKs),
    frag_oks=int(Stat.Ip6FragOKs),
    frag_fails=int(Stat.Ip6FragFails),
    frag_creates=int(Stat.Ip6FragCreates),
    in_errors=int(Stat.Icmp6InErrors),
    link_tos=0,
    router_alert=bytes(
        (0, 0, 5, 2, 0, 0, 1, 0)
    ),  # a hop-by-hop header with the option (RFC 2711), and two bytes of padding
    count_output=icmp_in.count_output6,
    input=ipv6_input.ipv6_input,
    martian=ipv6_input.martian6_input,
    crossing=ipv6_input.crossing6_input,
    hop_input=ext_headers.hop_input,
    fragment_input=ext_headers.fragment_input,
    destination=ext_headers.destination_input,
    proto_at=ext_headers.next_header_at,
    push=ipv6_output.push_ipv6,
    decrement=forward.decrement6,
    may_answer=icmpv6_error.may_answer6,
    quote=icmpv6_error.quote6,
    rest=_rest6,
    seal=icmpv6_error.seal_icmpv6,
    error_source=icmpv6_error.error_source6,
    error_tos=icmpv6_error.error_tos6,
    tos=_tos6,
    reply_options=_reply_options6,
    limits=icmpv6_error.LIMITS6,
    fragment=_fragment6,
    fragment_key=reassembly.fragment_key6,
    reassembly=reassembly.IPV6,
    icmp_input=icmp_in.icmpv6_input,
    is_multicast=is_multicast6,
    is_link_local=is_link_local6,
    stays_here=_stays_here6,
    is_loopback=_is_loopback6,
    is_unusable=_is_unusable6,
    link_group=multicast_mac6,
)
