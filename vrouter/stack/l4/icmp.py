"""Ping sockets (``SOCK_DGRAM`` with ``IPPROTO_ICMP`` or ``IPPROTO_ICMPV6``): echo requests out, echo replies and
errors in.

The socket's port is the identifier of its messages: given by bind(2), or chosen. A program reads and writes ICMP
messages from the ICMP header on; the stack puts identifier and checksum in. Nothing but echo requests can be sent, so
that the socket needs no privilege, as in Linux.

`ping_input` expects: ``l4`` at the ICMP header of an echo reply whose checksum is right, ``end`` after its last byte.
Next: the socket's queue, or the pipeline with a drop reason.

Read first: RFC 792 (echo), RFC 1122 3.2.2.6, RFC 4443 4.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.stack.base.addresses import MAX6, V4, V6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4.ancillary import QueuedError
from vrouter.stack.l4.constants import IP_PMTUDISC_DONT, IPPROTO_ICMP, IPPROTO_ICMPV6, REUSEADDR
from vrouter.stack.l4.demux import DatagramTable, SharedPort, came_by
from vrouter.stack.l4.errors import ORIGIN, convert
from vrouter.stack.wire import icmp, icmpv6

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l4.datagram import DatagramSocket
    from vrouter.stack.netns import Netns

_NO_SOCKET = int(DropReason.NO_SOCKET)
_SOCKET_RCVBUFF = int(DropReason.SOCKET_RCVBUFF)
_DELIVERED = int(Stat.AcctDelivered)
ECHO: Final = {V4: icmp.ECHO, V6: icmpv6.ECHO}


class PingTable(DatagramTable):
    """The ping sockets of one family in one namespace, by identifier."""

    __slots__ = ()

    names: ClassVar = {V4: "icmp", V6: "icmp6"}
    protos: ClassVar = {V4: IPPROTO_ICMP, V6: IPPROTO_ICMPV6}
    initial_options = REUSEADDR  # as in Linux: two may ask for one identifier, on two addresses for instance
    by_peer = False
    both = False
    groups: ClassVar = frozenset()  # a group has no echo replies

    @property
    def of_ipv4(self) -> PingTable:
        """The table of IPv4."""
        return self.ns.ping

    def check_outgoing(self, data: bytes | bytearray | memoryview, port: int) -> None:
        """Only echo requests: EINVAL for anything else."""
        if len(data) < icmp.HEADER_LEN or data[0] != ECHO[self.family] or data[1]:
            raise os_error(errno.EINVAL)

    def push_header(self, sock: DatagramSocket, pkt: Packet, port: int) -> None:
        """The header came with the data: the identifier becomes the socket's, the sequence number stays."""
        buf, start = pkt.buf, pkt.start
        rest = sock.port << 16 | icmp.sequence(buf, start)
        stats = self.ns.stats
        if self.family == V4:
            icmp.emit(buf, start, pkt.end, icmp.ECHO, 0, rest)
            stats[Stat.IcmpOutMsgs] += 1
            stats[Stat.IcmpOutEchos] += 1
        else:  # RFC 4443 2.3: the checksum covers the addresses, too
            icmpv6.emit(buf, start, pkt.end, icmpv6.ECHO, 0, rest, pkt.src & MAX6, pkt.dst & MAX6)
            stats[Stat.Icmp6OutMsgs] += 1
            stats[Stat.Icmp6OutEchos] += 1

    def source_port(self, pkt: Packet) -> int:
        """ICMP has no ports: 0."""
        return 0

    def find(self, ident: int, local: int, iif: Any) -> DatagramSocket | None:
        """The newest socket with this identifier on address `local`; its peer does not matter, as in Linux."""
        entry = self.ports.get(ident)
        if isinstance(entry, SharedPort):
            newest = [bucket[-1] for _, bucket in entry.matching(0, 0, local, iif)]
            return max(newest, key=entry.age, default=None)
        if entry is None or entry.local not in (0, local):
            return None
        return entry if entry.device is None or entry.device is iif or iif is None else None


def _table(ns: Netns, family: int) -> PingTable:
    return ns.ping if family == V4 else ns.ping6


def ping_input(ns: Netns, pkt: Packet, now: int) -> int:
    """Deliver an echo reply to the socket whose identifier it bears: 0, or why it dies here."""
    sock = _table(ns, pkt.family).find(icmp.ident(pkt.buf, pkt.l4), pkt.dst, came_by(ns, pkt))
    if sock is None:
        return _NO_SOCKET
    if not sock.deliver(pkt):
        return _SOCKET_RCVBUFF
    ns.stats[_DELIVERED] += 1
    return 0


def ping_error(
    ns: Netns,
    quoted: icmp.QuotedPacket,
    icmp_type: int,
    icmp_code: int,
    info: int,
    now: int,
    offender: int = 0,
    family: int = V4,
) -> bool:
    """Tell the ping socket that sent the echo request `quoted` what ICMP of `family` reported; as `udp_error`."""
    data = quoted.data
    if quoted.fragment_offset or len(data) < icmp.HEADER_LEN or data[0] != ECHO[family]:
        return False
    code, fatal = convert(icmp_type, icmp_code, family)
    if family == V4 and icmp_type == icmp.SOURCE_QUENCH:
        code, fatal = errno.EREMOTEIO, False
    sock = _table(ns, family).find(icmp.ident(data, 0), quoted.src, None)
    if sock is None or not code:
        return False
    if code == errno.EMSGSIZE and sock.settings_of(family).mtu_discover == IP_PMTUDISC_DONT:
        if family == V4:
            return False
        fatal = False
    error = QueuedError(
        code, ORIGIN[family], icmp_type, icmp_code, info, family, offender, quoted.dst, 0, quoted.payload
    )
    sock.icmp_error(error, fatal)
    return True
