"""Undoing a reduction that was for nothing: what was taken for lost had only been late, or twice on its way.

The evidence: a timestamp that echoes what was sent before the first retransmission (Eifel, RFC 3522 and 4015), or
D-SACKs for all that was sent again (RFC 2883, RFC 3708). Both windows return to what they were (``prior_ssthresh``,
`Congestion.undo`). F-RTO has evidence of its own (`recovery`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import rack, reduction
from vrouter.stack.l4.tcp.seq import before
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, ECN_QUEUE_CWR, Tcb
from vrouter.stack.l4.tcp.timestamps import clock

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.scoreboard import Scoreboard

_FULL: Final = int(Stat.TcpFullUndo)
_PARTIAL: Final = int(Stat.TcpPartialUndo)
_DSACK: Final = int(Stat.TcpDSACKUndo)
_LOSS: Final = int(Stat.TcpLossUndo)
_SPURIOUS: Final = int(Stat.TcpSpuriousRTOs)


def delayed(tcb: Tcb, tsecr: int) -> bool:
    """RFC 3522 3.2: whether the ACK with `tsecr` (-1: none) answers what was sent before anything was sent again."""
    return bool(tsecr >= 0 and tcb.retrans_at and before(tsecr, clock(tcb, tcb.retrans_at)))


def may_undo(tcb: Tcb, tsecr: int) -> bool:
    """Whether the reduction under way turns out to have been for nothing."""
    return tcb.undo_marker >= 0 and (not tcb.undo_retrans or delayed(tcb, tsecr))


def restore(tcb: Tcb, forgive: bool) -> None:
    """Both windows as they were; `forgive`: nothing is lost, either."""
    sent = tcb.sent
    if forgive and sent is not None:
        sent.forgive()
    if tcb.prior_ssthresh:
        cc = tcb.cc
        tcb.cwnd = cc.undo(tcb) if cc is not None else max(tcb.cwnd, tcb.prior_cwnd)
        if tcb.prior_ssthresh > tcb.ssthresh:
            tcb.ssthresh = tcb.prior_ssthresh
            tcb.ecn &= ~ECN_QUEUE_CWR
    tcb.undo_marker = -1
    tcb.rack.advanced = True  # look for losses anew


def _holds(tcb: Tcb) -> bool:
    """RFC 6582 3.2 step 1: without SACK the state lasts until something beyond ``high_seq`` is acknowledged, so that
    duplicates of the same window do not begin another recovery."""
    if tcb.snd_una != tcb.high_seq or tcb.sack_ok:
        return False
    if not reduction.any_resent(tcb):
        tcb.retrans_at = 0
    return True


def recovered(tcb: Tcb, sent: Scoreboard, tsecr: int, now: int) -> bool:
    """``high_seq`` is acknowledged, in RECOVERY or LOSS: back to OPEN, undone if it was for nothing; whether the state
    is kept all the same."""
    if may_undo(tcb, tsecr):
        tcb.ns.stats[_LOSS if tcb.ca_state == CA_LOSS else _FULL] += 1
        restore(tcb, False)
    elif tcb.rack.persist:
        tcb.rack.persist -= 1
    if _holds(tcb):
        return True
    reduction.change(tcb, CA_OPEN, now)
    sent.reneged = False
    return False


def by_dsack(tcb: Tcb) -> bool:
    """Undo if D-SACKs told that all that was sent again had arrived before."""
    if tcb.undo_marker < 0 or tcb.undo_retrans:
        return False
    state = tcb.rack
    state.persist = min(rack.RECOVERIES, state.persist + 1)
    restore(tcb, False)
    tcb.ns.stats[_DSACK] += 1
    return True


def loss(tcb: Tcb, sent: Scoreboard, spurious: bool, tsecr: int, now: int) -> bool:
    """In LOSS: undo if F-RTO says so (`spurious`) or the evidence does (RFC 5682 3.1, RFC 3522)."""
    if not spurious and not may_undo(tcb, tsecr):
        return False
    restore(tcb, True)
    stats = tcb.ns.stats
    stats[_LOSS] += 1
    if spurious:
        stats[_SPURIOUS] += 1
    tcb.retransmits = 0
    if _holds(tcb):
        return True
    if spurious or tcb.sack_ok:
        reduction.change(tcb, CA_OPEN, now)
        sent.reneged = False
    return True


def partial(tcb: Tcb, sent: Scoreboard, prior_una: int, tsecr: int, now: int) -> bool:
    """In RECOVERY, ``snd_una`` moved from `prior_una`: whether it did because what was first had been late, while
    something that was sent again is still under way. With nothing of that kind the reduction is undone."""
    if tcb.undo_marker < 0 or not delayed(tcb, tsecr):
        return False
    rack.check_reordering(tcb, prior_una, True)
    if sent.retrans:
        return True
    if not reduction.any_resent(tcb):
        tcb.retrans_at = 0
    restore(tcb, True)
    if not tcb.sack_ok:
        sent.sacked = 0  # the duplicates told of this
    tcb.ns.stats[_PARTIAL] += 1
    reduction.keep_open(tcb, now)
    return False
