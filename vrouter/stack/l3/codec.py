"""What differs between the families, as one object for each: the pipeline and the tables ask it and have one body.

An `IpCodec` is data and plain functions of one signature. `IPV4` is here; a namespace's `IpState` holds that of its
family as ``codec``.

Errors are told by kind (`kinds`): what has happened, in words that both families have. `IpCodec.errors` says with which
ICMP type and code, and `IpCodec.rest` what stands in the message's second word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import BITS, BROADCAST4, V4, is_link_local4, is_multicast4
from vrouter.stack.base.counters import Stat
from vrouter.stack.l3 import forward, fragment, icmp_error, options, output, reassembly
from vrouter.stack.l3 import icmp as icmp_in
from vrouter.stack.l3 import input as ip_in
from vrouter.stack.l3.kinds import PARAMETER, REDIRECT, SILENCE, TOO_BIG
from vrouter.stack.wire import icmp, ipv4
from vrouter.stack.wire.ethernet import BROADCAST, ETHERTYPE_IPV4, multicast_mac4

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.l3.reassembly import Codec
    from vrouter.stack.netns import Netns

Error = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class IpCodec:
    """One family; see the modules of the functions for what they expect and set."""

    family: int
    bits: int
    ethertype: int
    header: int  # bytes of the shortest header
    min_mtu: int
    max_packet: int
    icmp_proto: int
    ident_mask: int  # of the identification of what is cut
    empty_proto: int  # there is nothing behind the headers
    loopback: int
    group_floor: int  # destinations between these two are many
    group_top: int
    can_broadcast: bool
    errors: tuple[Error | None, ...]  # by kind: ICMP type and code; None: there is no such message
    in_receives: int
    forw: int
    delivers: int
    out_requests: int
    in_mcasts: int
    out_mcasts: int
    in_bcasts: int
    out_bcasts: int
    reasm_reqds: int
    reasm_oks: int
    frag_oks: int
    frag_fails: int
    frag_creates: int
    in_errors: int
    limits: icmp_error.Limits
    reassembly: Codec
    link_tos: int  # of what the family's own protocols say on a link
    router_alert: bytes  # options with which to push a message that routers are to look at
    input: Callable[[Packet], int]
    martian: Callable[[IpState, Packet, Any], int]
    crossing: Callable[[IpState, Packet], int]
    hop_input: Callable[[IpState, Packet], tuple[int, int, int]]  # what every hop reads: reason, kind of error, info
    fragment_input: Callable[[IpState, Packet], tuple[int, int, int]]  # the same for a piece that is to wait for others
    destination: Callable[[IpState, Packet], tuple[int, int, int]]  # the same for what only the destination reads
    proto_at: Callable[[Packet], int]  # where, from the header on, the protocol is named
    push: Callable[[IpState, Packet, int, int, bool, bytes], None]
    decrement: Callable[[Packet], None]
    may_answer: Callable[[IpState, Packet, int], bool]
    quote: Callable[[Packet, int, int, int], Packet]
    rest: Callable[[int, int], int]  # (kind, info) -> the message's second word
    seal: Callable[[Packet], None]  # finish an ICMP message whose addresses are known now
    error_source: Callable[[IpState, Packet], int]
    error_tos: Callable[[Packet], int]
    tos: Callable[[Packet], int]  # type of service or traffic class of a packet
    reply_options: Callable[[Packet], bytes]  # those of a request that its reply returns
    fragment: Callable[[IpState, Packet, int], list[Packet]]
    fragment_key: Callable[[Packet], tuple[tuple[Any, ...], int, bool]]  # key, offset in bytes, more
    icmp_input: Callable[[IpState, Packet, int], Any]
    count_output: Callable[[Netns, Packet], None]  # of an ICMP message that is about to be sent
    is_multicast: Callable[[int], bool]
    is_link_local: Callable[[int], bool]
    stays_here: Callable[[int], bool]  # a group whose packets go by no wire
    is_loopback: Callable[[int], bool]
    is_unusable: Callable[[int], bool]  # nobody's, as a destination
    link_group: Callable[[int], bytes]  # the MAC of a group


def _seal4(message: Packet) -> None:
    """Its checksum does not cover the addresses."""


def _tos4(pkt: Packet) -> int:
    return ipv4.tos(pkt.buf, pkt.l3)


def _rest4(kind: int, info: int) -> int:
    return info << 24 if kind == PARAMETER else info if kind in (TOO_BIG, REDIRECT) else 0


def _hop_input4(ip: IpState, pkt: Packet) -> tuple[int, int, int]:
    reason, pointer = options.options_input(pkt)
    return reason, PARAMETER if pointer >= 0 else SILENCE, pointer


def _destination4(ip: IpState, pkt: Packet) -> tuple[int, int, int]:
    """RFC 1812 4.2.2.1: options are recorded on receipt too, with the address that the packet was sent to."""
    came_by = None if pkt.iif is None or pkt.iif.kind == "crossing" else pkt.iif
    address = pkt.dst if ip.is_local(pkt.dst) else ip.select_source(came_by, pkt.src)
    options.options_output(pkt, address, ip.ns.stack.now, ip.owners)
    return 0, SILENCE, 0


def _fragment_input4(ip: IpState, pkt: Packet) -> tuple[int, int, int]:
    return 0, SILENCE, 0


def _proto_at4(pkt: Packet) -> int:
    return 9


def _fragment_key4(pkt: Packet) -> tuple[tuple[Any, ...], int, bool]:
    word = ipv4.flags_fragment(pkt.buf, pkt.l3)
    key = (pkt.src, pkt.dst, pkt.proto, ipv4.ident(pkt.buf, pkt.l3), pkt.origin)
    return key, (word & ipv4.OFFSET_MASK) << 3, bool(word & ipv4.MF)


def _link_group4(dst: int) -> bytes:
    return multicast_mac4(dst) if is_multicast4(dst) else BROADCAST


def _stays_here4(group: int) -> bool:
    return False  # its TTL says so


def _is_loopback4(address: int) -> bool:
    return address >> 24 == 127


def _is_unusable4(address: int) -> bool:
    """RFC 1812 4.2.3.1 (4), 5.3.7: nobody's addresses."""
    return address >> 24 == 0 or address >= 0xF0000000


def _fragment4(ip: IpState, pkt: Packet, mtu: int) -> list[Packet]:
    return fragment.fragment(pkt, mtu)


def _may_answer4(ip: IpState, pkt: Packet, kind: int) -> bool:
    return icmp_error.may_answer(ip, pkt)


_UNREACHABLE = icmp.DEST_UNREACHABLE
IPV4: Final = IpCodec(
    family=V4,
    bits=BITS[V4],
    ethertype=ETHERTYPE_IPV4,
    header=ipv4.MIN_HEADER,
    min_mtu=68,
    max_packet=ipv4.MAX_PACKET,
    icmp_proto=ipv4.PROTO_ICMP,
    ident_mask=0xFFFF,
    empty_proto=-1,
    loopback=0x7F000001,
    group_floor=0xE0000000,
    group_top=BROADCAST4,
    can_broadcast=True,
    errors=(
        (_UNREACHABLE, icmp.NET_UNREACHABLE),
        (_UNREACHABLE, icmp.HOST_UNREACHABLE),
        (_UNREACHABLE, icmp.HOST_UNREACHABLE),
        (_UNREACHABLE, icmp.COMM_PROHIBITED),
        (_UNREACHABLE, icmp.PORT_UNREACHABLE),
        (_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE),
        (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED),
        (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_EXCEEDED),
        (_UNREACHABLE, icmp.FRAGMENTATION_NEEDED),
        (icmp.PARAMETER_PROBLEM, 0),
        None,
        None,
        None,
        (icmp.REDIRECT, icmp.REDIRECT_HOST),
    ),
    in_receives=int(Stat.IpInReceives),
    forw=int(Stat.IpForwDatagrams),
    delivers=int(Stat.IpInDelivers),
    out_requests=int(Stat.IpOutRequests),
    in_mcasts=int(Stat.IpInMcastPkts),
    out_mcasts=int(Stat.IpOutMcastPkts),
    in_bcasts=int(Stat.IpInBcastPkts),
    out_bcasts=int(Stat.IpOutBcastPkts),
    reasm_reqds=int(Stat.IpReasmReqds),
    reasm_oks=int(Stat.IpReasmOKs),
    frag_oks=int(Stat.IpFragOKs),
    frag_fails=int(Stat.IpFragFails),
    frag_creates=int(Stat.IpFragCreates),
    in_errors=int(Stat.IcmpInErrors),
    link_tos=icmp_error.TOS_INTERNETCONTROL,  # RFC 3376 4
    router_alert=bytes((148, 4, 0, 0)),  # RFC 2113
    count_output=icmp_in.count_output,
    input=ip_in.ipv4_input,
    martian=ip_in.martian_input,
    crossing=ip_in.crossing_input,
    hop_input=_hop_input4,
    fragment_input=_fragment_input4,
    destination=_destination4,
    proto_at=_proto_at4,
    push=output.push_ipv4,
    decrement=forward.decrement,
    may_answer=_may_answer4,
    quote=icmp_error.quote,
    rest=_rest4,
    seal=_seal4,
    error_source=icmp_error.error_source,
    error_tos=icmp_error.error_tos,
    tos=_tos4,
    reply_options=options.reply_options,
    limits=icmp_error.LIMITS4,
    reassembly=reassembly.IPV4,
    fragment=_fragment4,
    fragment_key=_fragment_key4,
    icmp_input=icmp_in.icmp_input,
    is_multicast=is_multicast4,
    is_link_local=is_link_local4,
    stays_here=_stays_here4,
    is_loopback=_is_loopback4,
    is_unusable=_is_unusable4,
    link_group=_link_group4,
)
