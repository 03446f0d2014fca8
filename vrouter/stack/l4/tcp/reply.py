"""A segment back to where another came from, without a connection: a reset, an ACK of TIME-WAIT or of SYN-RECEIVED.

Next: the outbox. The pipeline looks the route up; the address that was spoken to is the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import BITS, MAX6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.packet import Packet
from vrouter.stack.wire import tcp as wire

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

_OUT_SEGS: Final = int(Stat.TcpOutSegs)
_ROOM: Final = bytes(wire.MAX_HEADER)


def reply(
    ns: Netns,
    pkt: Packet,
    ports: tuple[int, int],
    seq: int,
    ack: int,
    flags: int,
    window: int = 0,
    timestamp: tuple[int, int] | None = None,
    how: tuple[int, int, int] = (-1, 0, 0),
) -> None:
    """Send a segment without data to where `pkt` came from. `ports` are ours and the peer's; `seq` and `ack` may be
    unbounded; `window` is the field; `timestamp` is (TSval, TSecr); `how` is TTL (-1: the default), TOS and mark."""
    out = Packet.for_payload(_ROOM)
    start = out.start
    options = wire.options(timestamp) if timestamp is not None else b""
    out.end = start + wire.emit_header(out.buf, start, *ports, seq, ack, flags, window, options)
    family = out.family = pkt.family
    out.src, out.dst, out.proto = pkt.dst, pkt.src, wire.PROTO
    ttl, tos, out.mark = how
    wire.finish(out.buf, start, out.end, out.src & MAX6, out.dst & MAX6, BITS[family])
    ns.stats[_OUT_SEGS] += 1
    ns.tcp_state.outbox.append((out, None, ttl, tos, True, 0))
