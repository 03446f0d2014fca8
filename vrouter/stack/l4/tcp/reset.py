"""The RST for a segment that belongs to nobody (RFC 9293 3.10.7.1).

Never for a RST, so that two ends do not reset each other for ever (RFC 9293 3.5.2), and never for what was not sent to
this host alone, nor came from one host: what is for everybody does not get here, and sources are checked by the layer
below. There is no limit, as in Linux: a reset is no larger than what caused it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp.reply import reply
from vrouter.stack.wire.tcp import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.tcp import Segment

_OUT_RSTS: Final = int(Stat.TcpOutRsts)


def answer(ns: Netns, seg: Segment) -> None:
    """Reset what `seg` takes for a connection: with its own acknowledgment number as ours, or, when it has none,
    with number 0 and an acknowledgment of all that it brought."""
    flags = seg.flags
    if flags & RST:
        return
    ports = seg.dport, seg.sport
    if flags & ACK:
        reply(ns, seg.pkt, ports, seg.ack, 0, RST)
    else:
        size = seg.end - seg.data + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
        reply(ns, seg.pkt, ports, 0, seg.seq + size, RST | ACK)
    ns.stats[_OUT_RSTS] += 1
