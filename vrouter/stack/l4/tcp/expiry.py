"""What happens when a timer of a connection is due, and how long a connection is tried for.

RFC 9293 3.8.3 (Linux's tcp_write_timeout): R1 is ``tcp_retries1`` (the path is asked for anew, and suspected to be a
black hole), R2 ``tcp_retries2``, of a SYN ``tcp_syn_retries``. TCP_USER_TIMEOUT stands in the place of R2 (RFC 5482).

Expects: a timer that came up. Next: `recovery`, `rack`, `probe`, `delack`, `output`; the namespace is then settled by
the stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.timers import TimerKind
from vrouter.stack.l4.tcp import delack, lifecycle, output, pmtu, probe, rack, recovery
from vrouter.stack.l4.tcp.tcb import (
    CLOSED,
    MS,
    REXMIT_NONE,
    REXMIT_PROBE,
    REXMIT_REO,
    REXMIT_RTO,
    REXMIT_TLP,
    SECOND,
    SYN_RECEIVED,
    SYN_SENT,
    Tcb,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.netns import Netns

_TIMEOUTS: Final = int(Stat.TcpTimeouts)
_SAFE_RETRIES: Final = 8  # of a connection that nobody holds any more

def retransmit_due(tcb: Tcb, now: int) -> Netns:
    """The retransmission timer came up."""
    if tcb.state != CLOSED and tcb.rexmit_kind:
        if now < tcb.rexmit_at:
            assert tcb.rexmit is not None
            tcb.ns.stack.timers.arm(tcb.rexmit, tcb.rexmit_at)
        else:
            kind, tcb.rexmit_kind = tcb.rexmit_kind, REXMIT_NONE
            if kind == REXMIT_RTO:
                _timeout(tcb, now)
            elif kind == REXMIT_TLP:
                rack.tlp(tcb, now)
            elif kind == REXMIT_REO:
                rack.reorder_due(tcb, now)
            elif kind == REXMIT_PROBE:
                probe.zero_window(tcb, now)
    return tcb.ns


def delack_due(tcb: Tcb, now: int) -> Netns:
    """An ACK has waited long enough."""
    if tcb.state != CLOSED:
        delack.due(tcb, now)
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


# -- how long ----------------------------------------------------------------------------------------------------------


def _timeout(tcb: Tcb, now: int) -> None:
    """RFC 6298 5.4: what stands first is not acknowledged in time."""
    if tcb.snd_una == tcb.snd_nxt:
        return
    if not tcb.snd_wnd and not tcb.orphan and tcb.state not in (SYN_SENT, SYN_RECEIVED):
        # The peer took its window back behind what was sent: it is there as long as it answers (RFC 9293 3.8.6).
        if now - tcb.last_rcv_at > (tcb.user_timeout or 2 * tcb.ns.conf.tcp.rto_max) and _silent(tcb, now):
            lifecycle.abort_timeout(tcb, now)
            return
    else:
        tcb.ns.stats[_TIMEOUTS] += 1
        if _gives_up(tcb, now):
            return
    recovery.rto(tcb, now)


def _silent(tcb: Tcb, now: int) -> bool:
    """Whether nothing came for as long as what stands first has been sent again and again."""
    return bool(tcb.retransmits) and now - tcb.retrans_at > (tcb.user_timeout or 2 * tcb.ns.conf.tcp.rto_max)


def _gives_up(tcb: Tcb, now: int) -> bool:
    """Whether this was the last time (tcp_write_timeout); then the connection is aborted."""
    conf = tcb.ns.conf.tcp
    expired = False
    if tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED:
        tcb.route = None
        retries = tcb.sock.syncnt or conf.syn_retries
        most = retries + conf.syn_linear_timeouts if tcb.state == SYN_SENT else retries
        expired = tcb.retransmits >= most
    else:
        if _timed_out(tcb, conf.retries1, 0, now):
            pmtu.suspect_black_hole(tcb, now)
            tcb.route = None  # RFC 9293 3.8.3 R1: there may be another way
        retries = conf.retries2
        if tcb.orphan:
            alive = tcb.rto << tcb.backoff < conf.rto_max
            retries = orphan_retries(tcb, alive)
            if out_of_resources(tcb, alive or not _timed_out(tcb, retries, 0, now), now):
                return True
    if not expired:
        expired = _timed_out(tcb, retries, tcb.user_timeout, now)
    if expired:
        lifecycle.abort_timeout(tcb, now)
    return expired


def _timed_out(tcb: Tcb, retries: int, timeout: int, now: int) -> bool:
    """Whether what stands first has been sent again for `timeout` ns, or (0) for as long as `retries` times take."""
    if not tcb.retransmits:
        return False
    if not timeout:
        conf = tcb.ns.conf.tcp
        base = SECOND if tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED else 200 * MS
        most = conf.rto_max
        doublings = max((most // base).bit_length() - 1, 0)
        if retries <= doublings:
            timeout = ((2 << retries) - 1) * base
        else:
            timeout = ((2 << doublings) - 1) * base + (retries - doublings) * most
    return now - tcb.retrans_at >= timeout


def orphan_retries(tcb: Tcb, alive: bool) -> int:
    """How often is tried for a connection that nobody holds any more (``tcp_orphan_retries``)."""
    retries = tcb.ns.conf.tcp.orphan_retries
    if tcb.soft_error and not alive:
        return 0
    return _SAFE_RETRIES if not retries and alive else retries


def out_of_resources(tcb: Tcb, reset: bool, now: int) -> bool:
    """Whether there are too many connections that nobody holds; then this one ends, with a reset if `reset`."""
    tcp: state.TcpState = tcb.tcp
    if not tcp.too_many_orphans():
        return False
    tcb.ns.stats[Stat.TcpAbortOnMemory] += 1
    lifecycle.abort(tcb, 0, now, reset)
    return True


TCP_TIMERS: Final[dict[TimerKind, Callable[[Tcb, int], Netns]]] = {
    TimerKind.TCP_RETRANSMIT: retransmit_due,
    TimerKind.TCP_DELACK: delack_due,
    TimerKind.TCP_KEEPALIVE: keepalive_due,
    TimerKind.TCP_PACING: pacing_due,
}
