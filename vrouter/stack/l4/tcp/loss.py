"""What an ACK that is not quite usual means: which loss it tells of, and which congestion state follows.

`alert` is Linux's tcp_fastretrans_alert: first the states that the ACK ends, then what it does in the state that is
left. Losses are found by RACK (``tcp_recovery`` bit 1, the default), by RFC 6675's count of SACKed segments, or, from
a peer without SACK, by duplicate ACKs and partial acknowledgements (NewReno, RFC 6582); after a timeout by all of
them, while F-RTO watches whether it was one (RFC 5682: `_in_loss`).

Without SACK a duplicate ACK stands for one segment that arrived: ``Scoreboard.sacked`` counts them, so that limited
transmit (RFC 3042) and the inflation of RFC 6582 3.2 come from the same rule as with SACK. Linux's way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp import pmtu, rack, recovery, reduction, undo
from vrouter.stack.l4.tcp.marks import (
    ADVANCED,
    DATA_SACKED,
    ECE,
    ORIGINAL,
    RENEGED,
    RESENT_LOST,
    SET_TIMER,
)
from vrouter.stack.l4.tcp.scoreboard import LOST, SACKED
from vrouter.stack.l4.tcp.tcb import (
    CA_CWR,
    CA_DISORDER,
    CA_LOSS,
    CA_OPEN,
    CA_RECOVERY,
    MS,
    REXMIT_RTO,
    Tcb,
)
from vrouter.stack.l4.tcp.timers import arm_rexmit

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.scoreboard import Scoreboard

_RENEGING_WAIT: Final = 10 * MS


def alert(
    tcb: Tcb, sent: Scoreboard, una: int, duplicates: int, marks: int, tsecr: int, now: int, newly: int = 0
) -> int:
    """An ACK with `marks` moved ``snd_una`` from `una`, delivering `newly` bytes, and counts as so many `duplicates`;
    `tsecr` -1: without a timestamp. Returns the marks as they are after it."""
    if not sent.ranges:
        sent.sacked = 0 if not tcb.sack_ok else sent.sacked
    if marks & ECE:
        tcb.prior_ssthresh = 0  # there is congestion: nothing is undone
    if marks & RENEGED and marks & ADVANCED:
        # RFC 2018 8: not at once, the ACKs may only be out of order; the timeout then forgets what was SACKed.
        arm_rexmit(tcb, REXMIT_RTO, now + max(tcb.srtt >> 1, _RENEGING_WAIT))
        return marks & ~SET_TIMER

    state = tcb.ca_state
    if state == CA_OPEN:
        tcb.retrans_at = 0
    elif tcb.snd_una >= tcb.high_seq:
        if state == CA_CWR:
            if tcb.snd_una != tcb.high_seq:  # until CWR has reached the peer
                reduction.end_reduction(tcb, now)
                reduction.change(tcb, CA_OPEN, now)
        elif state == CA_RECOVERY:
            if not tcb.sack_ok:
                sent.sacked = 0
            if undo.recovered(tcb, sent, tsecr, now):
                return marks
            # Back in OPEN the window goes to ``ssthresh``, unless it was restored.
            reduction.end_reduction(tcb, now)

    state = tcb.ca_state
    if state == CA_RECOVERY:
        if not marks & ADVANCED:
            if not tcb.sack_ok:
                _reno_duplicate(tcb, sent, duplicates)
        elif undo.partial(tcb, sent, una, tsecr, now):
            return marks
        if undo.by_dsack(tcb):
            _try_to_open(tcb, sent, marks, newly, now)
        marks = _find_losses(tcb, sent, marks, now)
        if tcb.ca_state != CA_RECOVERY and _is_loss(tcb, sent):
            reduction.enter_recovery(tcb, marks & ECE != 0, newly, now)
        return marks
    if state == CA_LOSS:
        _in_loss(tcb, sent, marks, duplicates, tsecr, now)
        marks = _find_losses(tcb, sent, marks, now)
        if tcb.ca_state != CA_OPEN and not marks & RESENT_LOST:
            return marks
    if not tcb.sack_ok:
        if marks & ADVANCED:
            sent.sacked = 0
        _reno_duplicate(tcb, sent, duplicates)
    if tcb.ca_state <= CA_DISORDER:
        undo.by_dsack(tcb)
    marks = _find_losses(tcb, sent, marks, now)
    if not _is_loss(tcb, sent):
        _try_to_open(tcb, sent, marks, newly, now)
        return marks
    if tcb.ca_state < CA_CWR and tcb.mtu_probe is not None and pmtu.probe_lost(tcb):
        recovery.mtu_reduced(tcb, now)
        return marks
    by_count = not sent.waiting
    reduction.enter_recovery(tcb, marks & ECE != 0, newly, now)
    if by_count:
        _lose_first(tcb, sent)
    return marks


def _is_loss(tcb: Tcb, sent: Scoreboard) -> bool:
    """Whether recovery is to begin."""
    if sent.lost:
        return True
    if not tcb.sack_ok or tcb.ns.conf.tcp.recovery & 1:
        return False
    return sent.sacked_segments + 1 > tcb.reordering


def _try_to_open(tcb: Tcb, sent: Scoreboard, marks: int, newly: int, now: int) -> None:
    if not reduction.any_resent(tcb):
        tcb.retrans_at = 0
    if marks & ECE:
        reduction.enter_cwr(tcb, now, newly)
    if tcb.ca_state != CA_CWR:
        reduction.keep_open(tcb, now)


def _find_losses(tcb: Tcb, sent: Scoreboard, marks: int, now: int) -> int:
    if not sent.ranges:
        return marks
    if not tcb.sack_ok:
        _newreno(tcb, sent, marks & ADVANCED != 0)
    elif tcb.ns.conf.tcp.recovery & 1:
        before = sent.retrans
        if rack.mark_lost(tcb, now):
            marks &= ~SET_TIMER
        if sent.retrans < before:
            marks |= RESENT_LOST
    elif marks & (DATA_SACKED | ADVANCED):
        _by_count(tcb, sent)
    return marks


def _by_count(tcb: Tcb, sent: Scoreboard) -> None:
    """RFC 6675 4 IsLost: below three SACKed blocks, or below more than two segments' worth of SACKed bytes."""
    threshold = tcb.reordering
    most = (threshold - 1) * tcb.mss
    ranges = sent.ranges
    blocks = count = 0
    at = len(ranges)
    below = False
    for one in reversed(ranges):
        at -= 1
        if one.flags & SACKED:
            count += one.end - one.start
            if not below:
                blocks += 1
            below = True
        else:
            below = False
            if blocks >= threshold or count > most:
                break
    else:
        return
    for one in ranges[: at + 1]:
        if not one.flags & (SACKED | LOST):
            reduction.lose(tcb, one)


def _lose_first(tcb: Tcb, sent: Scoreboard) -> None:
    """The first segment is lost (RFC 5681 3.2 step 2)."""
    first = sent.ranges[0]
    if first.flags & (SACKED | LOST):
        return
    if first.end - first.start > tcb.mss:
        sent.divide(first.start + tcb.mss)
    reduction.lose(tcb, first)


# -- without SACK ------------------------------------------------------------------------------------------------------


def _newreno(tcb: Tcb, sent: Scoreboard, advanced: bool) -> None:
    """The third duplicate ACK tells of a loss, and so does each partial one in recovery (RFC 6582 3.2 steps 2, 3)."""
    if tcb.ca_state < CA_RECOVERY:
        if sent.sacked < tcb.reordering * tcb.mss:
            return
        _lose_first(tcb, sent)
    elif tcb.ca_state == CA_RECOVERY and advanced:
        first = sent.ranges[0]
        if not first.flags & LOST:
            _lose_first(tcb, sent)
            sent.force = (first.start, first.end)  # whatever PRR leaves room for: there may be no other ACK


def _reno_duplicate(tcb: Tcb, sent: Scoreboard, duplicates: int) -> None:
    """So many segments arrived out of order, nobody knows which."""
    if not duplicates:
        return
    before = sent.sacked
    sent.sacked += duplicates * tcb.mss
    _limit_reno(tcb, sent)
    if sent.sacked > before:
        tcb.delivered += sent.sacked - before


def _limit_reno(tcb: Tcb, sent: Scoreboard) -> None:
    out = tcb.snd_nxt - tcb.snd_una
    holes = min(max(sent.lost, tcb.mss), out)
    if sent.sacked + holes > out:
        sent.sacked = max(out - holes, 0)


def reno_acked(tcb: Tcb, sent: Scoreboard, acked: int) -> None:
    """`acked` bytes are acknowledged: the hole, and what the duplicate ACKs told of."""
    mss = tcb.mss
    tcb.delivered += max(acked - sent.sacked, min(mss, acked))
    sent.sacked = max(sent.sacked - max(acked - mss, 0), 0)
    _limit_reno(tcb, sent)


# -- after a timeout ---------------------------------------------------------------------------------------------------


def _in_loss(tcb: Tcb, sent: Scoreboard, marks: int, duplicates: int, tsecr: int, now: int) -> None:
    """An ACK in LOSS: F-RTO (RFC 5682 3.1), the end, or slow start goes on."""
    recovered = tcb.snd_una >= tcb.high_seq
    advanced = marks & ADVANCED
    if advanced and undo.loss(tcb, sent, False, tsecr, now):
        return
    if tcb.frto:
        tcb.frto = 1
        # Step 3b: what was sent once, before the timeout, arrived after all.
        if marks & ORIGINAL and undo.loss(tcb, sent, True, tsecr, now):
            return
        if tcb.snd_nxt > tcb.high_seq:
            if marks & DATA_SACKED or duplicates:
                tcb.frto = 0  # step 3a: the loss was real
        elif advanced and not recovered:
            tcb.high_seq = tcb.snd_nxt
            # Step 2b: new data instead of retransmissions, when there is some that may be sent.
            if tcb.write_seq > tcb.snd_nxt and tcb.snd_una + tcb.snd_wnd > tcb.snd_nxt:
                tcb.frto = 2
                tcb.nonagle |= 4
                return
            tcb.frto = 0
    if recovered:
        undo.recovered(tcb, sent, tsecr, now)
        return
    if not tcb.sack_ok:
        if tcb.snd_nxt > tcb.high_seq and duplicates:
            _reno_duplicate(tcb, sent, duplicates)
        elif advanced:
            sent.sacked = 0
