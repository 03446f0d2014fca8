"""Congestion states and the window's reductions, which recovery, probes and undoing share: Linux's, in bytes.

::

    OPEN ──(SACK or duplicate ACK)──► DISORDER ──(a loss)──► RECOVERY ──(high_seq acknowledged)──► OPEN
      └──(ECE, a probe's loss, local trouble)──► CWR ──(beyond high_seq)──► OPEN      any ──(RTO)──► LOSS ──► OPEN

A reduction notes ``high_seq`` (= ``snd_nxt``), asks congestion control for ``ssthresh`` and lets `prr` lead the window
there. It happens once for each window of data: CWR and RECOVERY share the one that is under way (RFC 3168 6.1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import prr
from vrouter.stack.l4.tcp.cc.base import COMPLETE_CWR
from vrouter.stack.l4.tcp.scoreboard import EVER, LOST, RETRANS, pipe
from vrouter.stack.l4.tcp.tcb import (
    CA_CWR,
    CA_DISORDER,
    CA_OPEN,
    CA_RECOVERY,
    ECN_OK,
    ECN_QUEUE_CWR,
    INFINITE_SSTHRESH,
    REXMIT_PROBE,
    REXMIT_REO,
    REXMIT_RTO,
    REXMIT_TLP,
    Tcb,
)
from vrouter.stack.l4.tcp.timers import arm_rexmit, disarm_rexmit

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.scoreboard import Range

_LOST_RETRANSMIT: Final = int(Stat.TcpLostRetransmit)
_SACK_RECOVERY: Final = int(Stat.TcpSackRecovery)
_RENO_RECOVERY: Final = int(Stat.TcpRenoRecovery)


def change(tcb: Tcb, state: int, now: int) -> None:
    """``ca_state`` becomes `state`; congestion control hears of it first."""
    cc = tcb.cc
    if cc is not None:
        cc.set_state(tcb, state, now)
    tcb.ca_state = state


def lose(tcb: Tcb, one: Range) -> None:
    """`one` is lost, counted once for each transmission of it."""
    sent = tcb.sent
    assert sent is not None
    if one.flags & (LOST | RETRANS) == LOST | RETRANS:
        tcb.ns.stats[_LOST_RETRANSMIT] += -(-(one.end - one.start) // one.mss)
    tcb.lost += sent.mark_lost(one)


def any_resent(tcb: Tcb) -> bool:
    """Whether anything outstanding was sent again, as far as it matters: in flight, or at the front."""
    sent = tcb.sent
    return sent is not None and (sent.retrans > 0 or (bool(sent.ranges) and bool(sent.ranges[0].flags & EVER)))


def current_ssthresh(tcb: Tcb) -> int:
    """The threshold to come back to: at least three quarters of the window that is open (tcp_current_ssthresh)."""
    if tcb.ca_state == CA_CWR or tcb.ca_state == CA_RECOVERY:
        return tcb.ssthresh
    return max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))


def note_undo(tcb: Tcb) -> None:
    """From here on it is watched whether what is sent again was needed (RFC 2883 appendix, RFC 3522)."""
    tcb.undo_marker = tcb.snd_una
    sent = tcb.sent
    tcb.undo_retrans = (sent.retrans if sent is not None else 0) or -1


def queue_cwr(tcb: Tcb) -> None:
    """The next new data says that the window was reduced (RFC 3168 6.1.2)."""
    if tcb.ecn & ECN_OK:
        tcb.ecn |= ECN_QUEUE_CWR


def reduce(tcb: Tcb, newly: int, now: int) -> None:
    """Begin a reduction, at an ACK that delivered `newly` bytes."""
    tcb.high_seq = tcb.snd_nxt
    tcb.tlp = None
    tcb.prior_cwnd = tcb.cwnd
    prr.begin(tcb, newly)
    if tcb.cc is not None:
        tcb.ssthresh = tcb.cc.ssthresh(tcb)
    queue_cwr(tcb)


def end_reduction(tcb: Tcb, now: int) -> None:
    """The reduction is complete: the window is where it was to go, unless that was undone."""
    cc = tcb.cc
    if cc is not None and cc.controls_cwnd:
        return
    if tcb.ssthresh < INFINITE_SSTHRESH and (tcb.ca_state == CA_CWR or tcb.undo_marker >= 0):
        tcb.cwnd = tcb.ssthresh
    if cc is not None:
        cc.on_event(tcb, COMPLETE_CWR, now)


def enter_cwr(tcb: Tcb, now: int, newly: int = 0) -> None:
    """Slow down for a reason that is no loss: ECE, or a queue of our own that is full."""
    tcb.prior_ssthresh = 0
    if tcb.ca_state < CA_CWR:
        tcb.undo_marker = -1
        reduce(tcb, newly, now)
        change(tcb, CA_CWR, now)


def enter_recovery(tcb: Tcb, ece: bool, newly: int, now: int) -> None:
    """A loss was noticed by what arrived: fast recovery (RFC 5681 3.2, RFC 6675 5)."""
    tcb.ns.stats[_SACK_RECOVERY if tcb.sack_ok else _RENO_RECOVERY] += 1
    if not any_resent(tcb):
        tcb.retrans_at = 0
    tcb.prior_ssthresh = 0
    note_undo(tcb)
    if tcb.ca_state != CA_CWR and tcb.ca_state != CA_RECOVERY:
        if not ece:
            tcb.prior_ssthresh = current_ssthresh(tcb)
        reduce(tcb, newly, now)
    change(tcb, CA_RECOVERY, now)


def allow_one(tcb: Tcb) -> None:
    """Recovery began without an ACK: PRR lets a segment leave."""
    if tcb.cc is None or not tcb.cc.controls_cwnd:
        prr.delivered(tcb, 1, 1, False, pipe(tcb))


def keep_open(tcb: Tcb, now: int) -> None:
    """The state is OPEN, or DISORDER while anything is SACKed, lost or sent again (tcp_try_keep_open)."""
    sent = tcb.sent
    state = CA_OPEN
    if sent is not None and (sent.sacked or sent.lost or any_resent(tcb)):
        state = CA_DISORDER
    if tcb.ca_state != state:
        change(tcb, state, now)
        tcb.high_seq = tcb.snd_nxt


def rearm(tcb: Tcb, now: int) -> None:
    """RFC 6298 5.2, 5.3: the RTO counts from now on, or, where the timer stood for a probe or for reordering, from when
    the first of what is outstanding was sent. With nothing outstanding nothing is waited for."""
    sent = tcb.sent
    kind = tcb.rexmit_kind
    if sent is None or not sent.ranges:
        if kind != REXMIT_PROBE:
            disarm_rexmit(tcb)
        return
    deadline = now + tcb.rto
    if kind == REXMIT_TLP or kind == REXMIT_REO:
        deadline = max(sent.ranges[0].sent_at + tcb.rto, now + 1)
    arm_rexmit(tcb, REXMIT_RTO, deadline)


def restart(tcb: Tcb, now: int) -> None:
    """The RTO counts from now on."""
    arm_rexmit(tcb, REXMIT_RTO, now + tcb.rto)


def in_reduction(tcb: Tcb) -> bool:
    """Whether PRR rules the window."""
    return tcb.ca_state == CA_RECOVERY or tcb.ca_state == CA_CWR
