"""What happens when a timer of a connection is due.

Expects: a timer that came up. Next: `recovery`, `rack`, `probe`, `delack`, and then `output`; the stack settles the
namespace that is returned. How long a connection is tried for is told in `retries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import delack, lifecycle, output, probe, rack, recovery, retries
from vrouter.stack.l4.tcp.tcb import (
    CLOSED,
    REXMIT_NONE,
    REXMIT_PROBE,
    REXMIT_REO,
    REXMIT_RTO,
    REXMIT_TLP,
    SYN_RECEIVED,
    SYN_SENT,
    Tcb,
)

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

_TIMEOUTS: Final = int(Stat.TcpTimeouts)


def retransmit_due(tcb: Tcb, now: int) -> Netns:
    """The retransmission timer came up."""
    if tcb.state != CLOSED and tcb.rexmit_kind:
        if now < tcb.rexmit_at:
            assert tcb.rexmit is not None
            tcb.ns.stack.timers.arm(tcb.rexmit, tcb.rexmit_at)
        else:
            kind, tcb.rexmit_kind = tcb.rexmit_kind, REXMIT_NONE
            if kind == REXMIT_PROBE:
                probe.zero_window(tcb, now)
            else:
                if kind == REXMIT_RTO:
                    _timeout(tcb, now)
                elif kind == REXMIT_TLP:
                    rack.tlp(tcb, now)
                elif kind == REXMIT_REO:
                    rack.reorder_due(tcb, now)
                output.output(tcb, now)
    return tcb.ns


def delack_due(tcb: Tcb, now: int) -> Netns:
    """An ACK has waited long enough."""
    if tcb.state != CLOSED and delack.due(tcb):
        output.send_ack(tcb, now)
    return tcb.ns


def keepalive_due(tcb: Tcb, now: int) -> Netns:
    """Look whether the peer is still there, or end FIN-WAIT-2."""
    if tcb.state != CLOSED:
        probe.keepalive(tcb, now)
    return tcb.ns


def pacing_due(tcb: Tcb, now: int) -> Netns:
    """The next segment may leave."""
    if tcb.state != CLOSED:
        output.output(tcb, now)
    return tcb.ns


def _timeout(tcb: Tcb, now: int) -> None:
    """RFC 6298 5.4: what stands first is not acknowledged in time."""
    if tcb.snd_una == tcb.snd_nxt:
        return
    if not tcb.snd_wnd and not tcb.orphan and tcb.state not in (SYN_SENT, SYN_RECEIVED):
        # The peer took its window back behind what was sent: it is there as long as it answers (RFC 9293 3.8.6).
        if _is_silent(tcb, now):
            lifecycle.abort_timeout(tcb, now)
            return
    else:
        tcb.ns.stats[_TIMEOUTS] += 1
        if retries.gives_up(tcb, now):
            return
    recovery.rto(tcb, now)


def _is_silent(tcb: Tcb, now: int) -> bool:
    """Whether nothing came, and what stands first was sent again, for longer than anybody waits."""
    most = tcb.user_timeout or 2 * tcb.ns.conf.tcp.rto_max
    heard = max(tcb.last_rcv_at, tcb.info.last_ack_rcv_at if tcb.info is not None else 0)
    return now - heard > most and bool(tcb.retransmits) and now - tcb.retrans_at > most
