"""ICMPv6 as a host and router receives it: echo, and news about packets that we sent.

Expects: ``proto`` and ``l4`` at the ICMPv6 header, a whole packet that is for this namespace. Decides and returns one
of

* a drop reason (an int above 0),
* a `Packet`: the reply from its ICMPv6 header on, with ``src`` 0 when output is to choose it, and to be sealed with
  `icmpv6_error.seal_icmpv6`,
* an `ErrorNews`: which packet of ours it is about, for the sockets and the path's MTU,
* ``ECHO_REPLY``: for the ping sockets,
* ``NDP``: neighbour discovery, for `l2.ndp`; ``MLD``: for the group tables.

The checksum has been checked of all of these; hop limit, router alert and the rest of their validity are the judgement
of who takes them.

Messages are processed by RFC 4443 2.4: errors of unknown types are passed to the socket whose packet they quote (a),
unknown informational messages are discarded in silence (b). A Packet Too Big that tells less than 1280 bytes is
discarded (RFC 8201 4, RFC 8021): nothing is cut for it, and no "atomic" fragments are made.

Deviation: Linux answers echo requests to anycast addresses from them (``anycast_src_echo_reply``) when told to; RFC
4443 4.2 wants a unicast address.

Read first: RFC 4443.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import is_link_local6, is_multicast6, scoped, zone_of
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, Packet
from vrouter.stack.l3.icmp import ECHO_REPLY, ErrorNews, answer, count_type
from vrouter.stack.wire import icmpv6, ipv6

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

_L4_HDR: Final = int(DropReason.L4_HDR)
_ICMP_CSUM: Final = int(DropReason.ICMP_CSUM)
_ICMP_TYPE: Final = int(DropReason.ICMP_TYPE)
_ICMP_IGNORED: Final = int(DropReason.ICMP_IGNORED)
_IN_MSGS: Final = int(Stat.Icmp6InMsgs)
_OUT_MSGS: Final = int(Stat.Icmp6OutMsgs)
_IN_STATS: Final[dict[int, int]] = {
    icmpv6.DEST_UNREACHABLE: Stat.Icmp6InDestUnreachs,
    icmpv6.PACKET_TOO_BIG: Stat.Icmp6InPktTooBigs,
    icmpv6.TIME_EXCEEDED: Stat.Icmp6InTimeExcds,
    icmpv6.PARAMETER_PROBLEM: Stat.Icmp6InParmProblems,
    icmpv6.ECHO: Stat.Icmp6InEchos,
    icmpv6.ECHO_REPLY: Stat.Icmp6InEchoReplies,
    icmpv6.MLD_QUERY: Stat.Icmp6InGroupMembQueries,
    icmpv6.MLD_REPORT: Stat.Icmp6InGroupMembResponses,
    icmpv6.MLD_DONE: Stat.Icmp6InGroupMembReductions,
    icmpv6.ROUTER_SOLICITATION: Stat.Icmp6InRouterSolicits,
    icmpv6.ROUTER_ADVERTISEMENT: Stat.Icmp6InRouterAdvertisements,
    icmpv6.NEIGHBOUR_SOLICITATION: Stat.Icmp6InNeighborSolicits,
    icmpv6.NEIGHBOUR_ADVERTISEMENT: Stat.Icmp6InNeighborAdvertisements,
    icmpv6.REDIRECT: Stat.Icmp6InRedirects,
    icmpv6.MLDV2_REPORT: Stat.Icmp6InMLDv2Reports,
}
OUT_STATS6: Final[dict[int, int]] = {
    icmpv6.DEST_UNREACHABLE: Stat.Icmp6OutDestUnreachs,
    icmpv6.PACKET_TOO_BIG: Stat.Icmp6OutPktTooBigs,
    icmpv6.TIME_EXCEEDED: Stat.Icmp6OutTimeExcds,
    icmpv6.PARAMETER_PROBLEM: Stat.Icmp6OutParmProblems,
    icmpv6.ECHO: Stat.Icmp6OutEchos,
    icmpv6.ECHO_REPLY: Stat.Icmp6OutEchoReplies,
    icmpv6.MLD_QUERY: Stat.Icmp6OutGroupMembQueries,
    icmpv6.MLD_REPORT: Stat.Icmp6OutGroupMembResponses,
    icmpv6.MLD_DONE: Stat.Icmp6OutGroupMembReductions,
    icmpv6.ROUTER_SOLICITATION: Stat.Icmp6OutRouterSolicits,
    icmpv6.ROUTER_ADVERTISEMENT: Stat.Icmp6OutRouterAdvertisements,
    icmpv6.NEIGHBOUR_SOLICITATION: Stat.Icmp6OutNeighborSolicits,
    icmpv6.NEIGHBOUR_ADVERTISEMENT: Stat.Icmp6OutNeighborAdvertisements,
    icmpv6.REDIRECT: Stat.Icmp6OutRedirects,
    icmpv6.MLDV2_REPORT: Stat.Icmp6OutMLDv2Reports,
}
NDP: Final = "ndp"
MLD: Final = "mld"
_MARKS: Final[dict[int, str]] = {
    icmpv6.ECHO_REPLY: ECHO_REPLY,
    icmpv6.ROUTER_SOLICITATION: NDP,
    icmpv6.ROUTER_ADVERTISEMENT: NDP,
    icmpv6.NEIGHBOUR_SOLICITATION: NDP,
    icmpv6.NEIGHBOUR_ADVERTISEMENT: NDP,
    icmpv6.REDIRECT: NDP,
    icmpv6.MLD_QUERY: MLD,
    icmpv6.MLD_REPORT: MLD,
    icmpv6.MLD_DONE: MLD,
    icmpv6.MLDV2_REPORT: MLD,
}


def icmpv6_input(ip: IpState, pkt: Packet, now: int) -> int | str | Packet | ErrorNews:
    """What is to happen with the message; see the module's text."""
    buf, l4, end = pkt.buf, pkt.l4, pkt.end
    if end - l4 < icmpv6.HEADER_LEN:
        ip.ns.stats[_IN_MSGS] += 1
        return _L4_HDR
    if not pkt.flags & CSUM_OK and not icmpv6.is_valid(buf, l4, end, pkt.src, pkt.dst):
        ip.ns.stats[_IN_MSGS] += 1
        return _ICMP_CSUM
    type_ = buf[l4]
    count_type(ip.ns, _IN_MSGS, _IN_STATS, type_)
    if type_ == icmpv6.ECHO:
        return _echo(ip, pkt)
    if icmpv6.is_error(type_):
        return _news(ip, pkt, type_)
    return _MARKS.get(type_, _ICMP_TYPE)


def count_output6(ns: Netns, message: Packet) -> None:
    """Count a message that is about to be sent; it begins at ``start``, or behind a hop-by-hop header there."""
    buf, off = message.buf, message.start
    if message.proto == ipv6.PROTO_HOPOPTS:
        off += 8 + buf[off + 1] * 8
    count_type(ns, _OUT_MSGS, OUT_STATS6, buf[off])


def _echo(ip: IpState, pkt: Packet) -> int | Packet:
    """RFC 4443 4.2: every node answers, and one that was asked as one of many does so from an address of its own."""
    conf = ip.ns.conf
    group = is_multicast6(pkt.dst)
    anycast = not group and pkt.dst in ip.zeros and pkt.dst not in ip.owners
    if conf.v6.echo_ignore_all or (group and conf.v6.echo_ignore_multicast) or (anycast and conf.echo_ignore_anycast):
        return _ICMP_IGNORED
    if not pkt.src:
        return _ICMP_IGNORED  # RFC 4291 2.5.2: nobody can be answered at ::
    reply = answer(pkt, group or anycast)
    if not reply.src and pkt.iif is not None and pkt.iif.kind != "crossing":  # of the device by which it was asked
        reply.src = ip.select_source(pkt.iif, pkt.src)
    reply.buf[reply.start] = icmpv6.ECHO_REPLY
    if ipv6.HEADER_LEN + reply.end - reply.start > ipv6.MIN_MTU:
        ip.note_answer(reply.dst)
    return reply


def _news(ip: IpState, pkt: Packet, type_: int) -> int | ErrorNews:
    """An error: about which packet of ours (RFC 4443 2.4 (d): that tells whose it is)."""
    buf, l4 = pkt.buf, pkt.l4
    quoted = icmpv6.QuotedPacket.parse(buf, l4 + icmpv6.HEADER_LEN, pkt.end)
    if quoted is None:
        return _L4_HDR
    if is_link_local6(quoted.src) or is_link_local6(quoted.dst):
        zone = zone_of(pkt.dst) or zone_of(pkt.src) or _zone(pkt)
        quoted.src, quoted.dst = scoped(quoted.src, zone), scoped(quoted.dst, zone)
    if is_multicast6(pkt.dst) or not ip.is_local(quoted.src):
        return _ICMP_IGNORED  # not about a packet of ours
    code, info = buf[l4 + 1], 0
    if type_ == icmpv6.PACKET_TOO_BIG:
        code, info = 0, icmpv6.rest(buf, l4)  # RFC 4443 3.2: the code is ignored by the receiver
        if info < ipv6.MIN_MTU:
            return _ICMP_IGNORED
    elif type_ == icmpv6.PARAMETER_PROBLEM:
        info = icmpv6.rest(buf, l4)
    return ErrorNews(quoted, type_, code, info)


def _zone(pkt: Packet) -> int:
    """The link that the message came by; a short-cut from another namespace is none."""
    iif = pkt.iif
    return 0 if iif is None or iif.kind == "crossing" else int(iif.ifindex)
