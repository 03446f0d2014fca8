"""TCP_INFO: what there is to know about a connection, in Linux's ``struct tcp_info`` and under its names.

`Counts` are what a connection counts for it, segments as the wire would have them (a superframe is several). They are
made with the first segment, so that a socket that never spoke costs none.

The structure is that of Linux 6.7 and later, 248 bytes; a program gets as many of them as it asks for. Times are µs or
ms there, windows and what is in flight segments: what is kept in bytes is divided by the MSS, rounded up.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.tcb import Tcb

# Why sending rests (`Counts.limit`), as Linux's tcp_chrono.
IDLE: Final = 0
BUSY: Final = 1
RWND_LIMITED: Final = 2
SNDBUF_LIMITED: Final = 3


class Counts:
    """What one connection counts. ``limited`` are ns spent busy, by the peer's window and by the send buffer; `limit`
    changes which of them runs."""

    __slots__ = (
        "bytes_acked",
        "bytes_received",
        "bytes_retrans",
        "bytes_sent",
        "data_segs_in",
        "data_segs_out",
        "dsack_dups",
        "last_ack_rcv_at",
        "limited",
        "limited_kind",
        "limited_since",
        "rcv_ooopack",
        "rehash",
        "reord_seen",
        "segs_in",
        "segs_out",
        "total_rto",
        "total_rto_recoveries",
        "total_rto_time",
    )

    def __init__(self) -> None:
        self.segs_in = self.segs_out = self.data_segs_in = self.data_segs_out = 0
        self.bytes_sent = self.bytes_retrans = self.bytes_acked = self.bytes_received = 0
        self.dsack_dups = self.reord_seen = self.rcv_ooopack = self.rehash = 0
        self.total_rto = self.total_rto_recoveries = self.total_rto_time = 0  # the time in ns
        self.last_ack_rcv_at = 0
        self.limited: list[int] | None = None
        self.limited_kind = IDLE
        self.limited_since = 0

    def limit(self, kind: int, now: int) -> None:
        """From `now` on sending is IDLE, BUSY, RWND_LIMITED or SNDBUF_LIMITED."""
        before = self.limited_kind
        if kind == before:
            return
        if before:
            if self.limited is None:
                self.limited = [0, 0, 0, 0]
            self.limited[before] += now - self.limited_since
        self.limited_kind, self.limited_since = kind, now

    def limited_for(self, kind: int, now: int) -> int:
        """For how long sending has been so, in ns; whatever holds it up, it is BUSY as well."""
        times = list(self.limited or (0, 0, 0, 0))
        if self.limited_kind:
            times[self.limited_kind] += now - self.limited_since
        return sum(times[1:]) if kind == BUSY else times[kind]


def counts(tcb: Tcb) -> Counts:
    """The counts of `tcb`, made when it has none yet."""
    found: Counts | None = tcb.info
    if found is None:
        found = tcb.info = Counts()
    return found
