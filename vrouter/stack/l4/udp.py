"""UDP: from a datagram to its socket, from an ICMP error to its socket, and the header of what is sent.

`udp_input` expects: ``l4`` at the UDP header, ``end`` after the packet's last byte, ``src dst family iif`` set, a whole
packet that is for this namespace. Sets: ``end``, when bytes follow the datagram. Next: the socket's queue, or the
pipeline with a drop reason.

One body for both families; what differs is their pseudo header (RFC 8200 8.1), groups and counters.

Read first: RFC 768, RFC 1122 4.1.3, RFC 8085 5, RFC 8200 8.1.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from vrouter.stack.base.addresses import BITS, MAX6, V4, V6, is_multicast4, is_multicast6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import CSUM_OK
from vrouter.stack.l4.ancillary import QueuedError
from vrouter.stack.l4.constants import IP_PMTUDISC_DONT, IPPROTO_UDP
from vrouter.stack.l4.demux import DatagramTable, came_by
from vrouter.stack.l4.errors import ORIGIN, convert
from vrouter.stack.l4.membership import is_member
from vrouter.stack.wire import icmp, udp
from vrouter.stack.wire.checksum import ones_sum, pseudo_header

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l4.datagram import DatagramSocket
    from vrouter.stack.netns import Netns

_HEADER_LEN = udp.HEADER_LEN
_unpack = udp.FIELDS.unpack_from
_L4_HDR = int(DropReason.L4_HDR)
_UDP_CSUM = int(DropReason.UDP_CSUM)
_NO_SOCKET = int(DropReason.NO_SOCKET)
_SOCKET_RCVBUFF = int(DropReason.SOCKET_RCVBUFF)
_COPIES = int(Stat.AcctCopies)
_DELIVERED = int(Stat.AcctDelivered)


class UdpTable(DatagramTable):
    """UDP of one family in one namespace."""

    __slots__ = ("in_datagrams", "no_ports", "out_datagrams")

    names: ClassVar = {V4: "udp", V6: "udp"}
    protos: ClassVar = {V4: IPPROTO_UDP, V6: IPPROTO_UDP}
    header = _HEADER_LEN

    def __init__(self, ns: Netns, family: int) -> None:
        super().__init__(ns, family)
        stats = (Stat.UdpInDatagrams, Stat.UdpOutDatagrams, Stat.UdpNoPorts)
        if family == V6:
            stats = (Stat.Udp6InDatagrams, Stat.Udp6OutDatagrams, Stat.Udp6NoPorts)
        self.in_datagrams, self.out_datagrams, self.no_ports = map(int, stats)

    @property
    def of_ipv4(self) -> UdpTable:
        """The table of IPv4."""
        return self.ns.udp

    def check_outgoing(self, data: bytes | bytearray | memoryview, port: int) -> None:
        """Port 0 is nobody's: EINVAL."""
        if not port:
            raise os_error(errno.EINVAL)

    def push_header(self, sock: DatagramSocket, pkt: Packet, port: int) -> None:
        """Put the UDP header in front of the payload."""
        start = pkt.start - _HEADER_LEN
        pkt.start = start
        # Zones are no part of the pseudo header.
        udp.emit(pkt.buf, start, pkt.end, sock.port, port, pkt.src & MAX6, pkt.dst & MAX6, BITS[self.family])
        self.ns.stats[self.out_datagrams] += 1

    def source_port(self, pkt: Packet) -> int:
        """The datagram's source port; 0 means that the sender wants no answer (RFC 768)."""
        return udp.src_port(pkt.buf, pkt.l4)


def udp_input(ns: Netns, pkt: Packet, now: int) -> int:
    """Deliver a datagram: 0, or why it dies here.

    A datagram to a group goes to each socket that wants it; those whose buffer is full go without (it is counted in the
    socket), and only when all are full the datagram dies.
    """
    buf, off = pkt.buf, pkt.l4
    size = pkt.end - off
    if size < _HEADER_LEN:
        return _L4_HDR
    sport, dport, length, checksum = _unpack(buf, off)
    if length != size:
        if length < _HEADER_LEN or length > size:
            return _L4_HDR
        pkt.end = off + length
    src, dst = pkt.src, pkt.dst
    if pkt.family == V4:
        table = ns.udp
        group = is_multicast4(dst)
        many = group or ns.ip4.is_broadcast(dst)
    else:
        table = ns.udp6
        group = many = is_multicast6(dst)
    if checksum == 0:
        if pkt.family != V4:  # RFC 8200 8.1: only IPv4 lets a sender do without
            return _UDP_CSUM
    elif not pkt.flags & CSUM_OK and pkt.csum_start < 0:
        initial = pseudo_header(src & MAX6, dst & MAX6, IPPROTO_UDP, length)
        if ones_sum(buf, off, pkt.end, initial) != 0xFFFF:
            return _UDP_CSUM  # RFC 1122 4.1.3.4: silently
    if many:
        return _group_input(ns, table, pkt, sport, dport, group)
    sock = table.lookup(src, sport, dst, dport, came_by(ns, pkt))
    if sock is None:
        ns.stats[table.no_ports] += 1
        return _NO_SOCKET
    if not sock.deliver(pkt):
        return _SOCKET_RCVBUFF
    ns.stats[table.in_datagrams] += 1
    ns.stats[_DELIVERED] += 1
    return 0


def _group_input(ns: Netns, table: UdpTable, pkt: Packet, sport: int, dport: int, group: bool) -> int:
    """RFC 1122 4.1.3.5, 3.3.7: everybody who asked for it gets it."""
    dst = pkt.dst
    wanting = table.receivers(pkt.src, sport, dst, dport, pkt.iif, group)
    if not wanting or (group and not is_member(ns, dst, pkt.iif, pkt.src)):
        return _NO_SOCKET
    able = [sock for sock in wanting if sock.has_room(pkt)]
    if not able:
        return _SOCKET_RCVBUFF
    # Each but the last gets a copy: one who reads must not see what another does.
    for sock in able[:-1]:
        sock.deliver(pkt.copy())
    able[-1].deliver(pkt)
    ns.stats[_COPIES] += len(able) - 1
    ns.stats[_DELIVERED] += len(able)
    ns.stats[table.in_datagrams] += len(able)
    return 0


def udp_error(
    ns: Netns,
    quoted: icmp.QuotedPacket,
    icmp_type: int,
    icmp_code: int,
    info: int,
    now: int,
    offender: int = 0,
    family: int = V4,
) -> bool:
    """Tell the socket that sent `quoted` what ICMP of `family` reported (RFC 1122 4.1.3.3, RFC 4443 5.4).

    `info` is the next hop's MTU of a Fragmentation Needed or Packet Too Big, `offender` the address that reported.
    Link-local addresses have their zone, in `quoted` as well. True when there is such a socket: news about packets that
    nobody sent are no news.
    """
    if quoted.fragment_offset or len(quoted.data) < 4:
        return False
    code, fatal = convert(icmp_type, icmp_code, family)
    if not code:
        return False
    table = ns.udp if family == V4 else ns.udp6
    sock = table.lookup(quoted.dst, quoted.dport, quoted.src, quoted.sport, None)
    if sock is None:
        return False
    if code == errno.EMSGSIZE and sock.settings_of(family).mtu_discover == IP_PMTUDISC_DONT:
        if family == V4:
            return False
        fatal = False  # there is no other way to send to where the path is narrow: the path learns all the same
    error = QueuedError(
        code, ORIGIN[family], icmp_type, icmp_code, info, family, offender, quoted.dst, quoted.dport, quoted.payload[8:]
    )
    sock.icmp_error(error, fatal)
    return True
