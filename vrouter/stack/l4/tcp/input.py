"""TCP's input: from a packet to whoever it is for.

`tcp_input` expects: ``l4`` at the TCP header, ``end`` after the packet's last byte, ``src dst family iif`` set, a whole
packet (or superframe) that is for this namespace. Sets: nothing of the packet; the data of it may be kept as views.
Next: a connection (`segment`), one that is half open (`request`), one in TIME-WAIT (`timewait`), a listener (`listen`);
nobody gets a reset (`reset`). What is to be sent waits in the namespace's outbox.

One body for both families: addresses are ints with their zones, and the tables are the family's own.

Read first: RFC 9293 3.10.7, RFC 1122 4.2.3.10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4, is_multicast4, is_multicast6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, LINK_GROUP
from vrouter.stack.l4.demux import came_by
from vrouter.stack.l4.tcp import listen, reset
from vrouter.stack.l4.tcp.request import Request, request_arrives
from vrouter.stack.l4.tcp.segment import segment_arrives
from vrouter.stack.l4.tcp.tcb import Tcb
from vrouter.stack.l4.tcp.timewait import time_wait_arrives
from vrouter.stack.wire.tcp import checksum_ok, parse

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.netns import Netns

_NO_SOCKET: Final = int(DropReason.NO_SOCKET)
_INVALID_SOURCE: Final = int(DropReason.IP_INVALID_SOURCE)
_TCP_CSUM: Final = int(DropReason.TCP_CSUM)
_IN_SEGS: Final = int(Stat.TcpInSegs)
_IN_ERRS: Final = int(Stat.TcpInErrs)


def tcp_input(ns: Netns, pkt: Packet, now: int) -> int:
    """Take a segment in: 0, and it is counted as delivered or consumed; or why it dies here."""
    stats = ns.stats
    seg = parse(pkt)
    if isinstance(seg, int):
        stats[_IN_SEGS] += 1
        stats[_IN_ERRS] += 1
        return seg
    gso_size = pkt.gso_size
    stats[_IN_SEGS] += -(-(seg.end - seg.data) // gso_size) if gso_size else 1
    if not pkt.flags & CSUM_OK and pkt.csum_start < 0 and not checksum_ok(pkt, seg):
        stats[_IN_ERRS] += 1
        return _TCP_CSUM  # RFC 9293 3.1 (MUST-3): silently
    dst = pkt.dst
    family = pkt.family
    if pkt.flags & LINK_GROUP:
        return _NO_SOCKET  # RFC 1122 4.2.3.10: a connection is between two
    table = ns.tcp if family == V4 else ns.tcp6
    entry = table.connections.get((dst, seg.dport, pkt.src, seg.sport))
    if isinstance(entry, Tcb):
        device = entry.sock.device
        if device is None or came_by(ns, pkt) is device:
            return segment_arrives(entry, seg, now)
        return _NO_SOCKET  # no other connection may stand between the same ends, so nobody is asked
    elif entry is not None:
        if isinstance(entry, Request):
            device = entry.sock.device
            if device is not None and came_by(ns, pkt) is not device:
                return _NO_SOCKET  # it is its listener's device that the connection is to be on
            return request_arrives(entry, seg, now)
        return time_wait_arrives(entry, seg, now)
    if (is_multicast4(dst) or ns.ip4.is_broadcast(dst)) if family == V4 else is_multicast6(dst):
        return _NO_SOCKET  # MUST-57: silently
    if not pkt.src:
        return _INVALID_SOURCE  # MUST-63: nobody; IPv4's input has refused it, IPv6's cannot (RFC 4291 2.5.2)
    sock = table.listener(pkt.src, seg.sport, dst, seg.dport, came_by(ns, pkt))
    if sock is not None:
        return listen.listen_arrives(sock, seg, now)
    reset.answer(ns, seg)
    return _NO_SOCKET
