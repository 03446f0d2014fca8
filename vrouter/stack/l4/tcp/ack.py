"""An acknowledgement: what it delivers, what it tells to be lost, and what that does to windows and timers.

`ack_received` does, in Linux's order (tcp_ack):

1. SACK blocks mark what arrived out of order; a D-SACK tells that something came twice (RFC 2018, 2883).
2. What is acknowledged leaves the scoreboard and the send queue; the RTT is measured (RFC 6298, RFC 7323 4).
3. RACK, and F-RTO or NewReno where they apply, mark what is lost; the congestion state changes (`_alert`).
4. The rate sample is made; PRR or congestion control sets ``cwnd``.

Expects: a segment that is acceptable; ``snd_wnd`` may be updated before or after. Sets: everything about what was sent.
Next: ``output``, which sends again what is lost, and new data.

One ACK may acknowledge a superframe or many: everything is counted in bytes. Deviation from RFC 2018 4 and RFC 6675:
what a SACK block covers of a segment in part is ignored (`scoreboard`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import (
    loss,
    persist,
    pmtu,
    prr,
    rack,
    rate,
    recovery,
    reduction,
    rtt,
    sizing,
    tlp,
)
from vrouter.stack.l4.tcp.cc import validation
from vrouter.stack.l4.tcp.marks import (
    ADVANCED,
    ALERT,
    CARRIED_DATA,
    DATA_ACKED,
    DATA_SACKED,
    DSACKED,
    DSACKED_PROBE,
    ECE,
    NOT_DUPLICATE,
    ORIGINAL,
    RENEGED,
    RESENT_ACKED,
    SET_TIMER,
    SYN_ACKED,
    WINDOW_CHANGED,
)
from vrouter.stack.l4.tcp.scoreboard import EVER, RETRANS, SACKED, pipe
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, ECN_OK, Tcb
from vrouter.stack.l4.tcp.timestamps import echo_age
from vrouter.stack.wire import tcp as wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.scoreboard import Scoreboard
    from vrouter.stack.wire.tcp import Segment

_FAR: Final = 1 << 62
_UNSENT: Final = int(DropReason.TCP_ACK_UNSENT_DATA)
_OLD: Final = int(DropReason.TCP_OLD_ACK)
_DSACK_RECV: Final = int(Stat.TcpDSACKRecv)
_DSACK_OFO_RECV: Final = int(Stat.TcpDSACKOfoRecv)
_DELIVERED_CE: Final = int(Stat.TcpDeliveredCE)


def ack_received(tcb: Tcb, seg: Segment, ack: int, sacks: Sequence[tuple[int, int]], now: int) -> int:
    """`seg` acknowledges everything below `ack` and SACKs `sacks` ((left, right) each, unbounded numbers).

    0, or why the segment is to be dropped: it acknowledges what was never sent, or what was long ago (RFC 5961 5.2).
    """
    una = tcb.snd_una
    sent = tcb.sent
    if ack < una:
        if ack < una - tcb.max_window:
            return _OLD
        if sacks and sent is not None:
            _late(tcb, sent, seg, ack, sacks, now)
        return 0
    if ack > tcb.snd_nxt:
        return _UNSENT
    tcb.probes = 0
    if sent is None:
        tcb.snd_una = ack
        persist.ack_received(tcb, now)
        return 0
    marks = 0
    window = seg.window
    if ack > una:
        marks = ADVANCED
        tcb.retransmits = 0
    elif window > sent.window or not window:
        marks = WINDOW_CHANGED
    sent.window = window
    if seg.end > seg.data:
        marks |= CARRIED_DATA
    sample = sent.sample
    prior_out = tcb.snd_nxt - una
    lost_before = tcb.lost
    delivered_before = tcb.delivered
    high = sent.highest_sacked if sent.highest_sacked >= 0 else una
    sacked_before = sent.sacked
    rate.begin(sample, prior_out - sacked_before - sent.lost + sent.retrans, tcb.ca_state)
    tsecr = seg.tsecr if seg.ts and tcb.ts_ok and seg.tsecr else -1
    if seg.flags & wire.ECE and tcb.ecn & ECN_OK and not seg.flags & wire.SYN:
        marks |= ECE
        sample.ece = True

    dup = 0
    low = _FAR  # the lowest that arrived after something later had
    sack_first = sack_last = -1
    if ack > una:
        tcb.snd_una = ack
        tcb.vouches = True
    if sacks:
        more, dup, low, sack_first, sack_last = _take_sacks(tcb, sent, ack, una, sacks, now)
        marks |= more
    ranges = sent.ranges
    if not ranges:
        if marks & ADVANCED:
            _release(tcb, una, ack)
        if marks & DSACKED:
            loss.alert(tcb, sent, una, 0, marks, tsecr, now)
        persist.ack_received(tcb, now)
        return 0

    # -- what is acknowledged ------------------------------------------------------------------------------------------
    rtt_first = rtt_last = -1
    if marks & ADVANCED:
        resent = 0
        fresh = 0
        limit = tcb.high_seq
        sack_ok = tcb.sack_ok
        if ranges[0].start == tcb.iss:
            marks |= SYN_ACKED
            tcb.retrans_at = 0
        if ack > tcb.iss + 1:
            marks |= DATA_ACKED
        taken = sent.take(ack)
        for one in taken:
            flags = one.flags
            end = one.end
            if flags & (RETRANS | EVER):
                resent = RESENT_ACKED
            elif not flags & SACKED:
                rtt_last = one.sent_at
                if rtt_first < 0:
                    rtt_first = rtt_last
                if one.start < low:
                    low = one.start
                if end <= limit:
                    marks |= ORIGINAL
            if not flags & SACKED:
                fresh += end - one.start
                if sack_ok:
                    rack.advance(tcb, one, end, flags & EVER != 0, tsecr, now)
                rate.delivered(tcb, sample, one, end, flags & EVER != 0)
        marks |= resent | SET_TIMER
        sample.acked = ack - una
        if sack_ok:
            tcb.delivered += fresh
        else:
            loss.reno_acked(tcb, sent, ack - una)
            if resent:
                marks &= ~ORIGINAL
        _release(tcb, una, ack)
        if ranges and ranges[0].flags & SACKED:
            marks |= RENEGED
        if rtt_first >= 0 and not resent and len(taken) == 1 and ack - una < tcb.mss:
            # One small segment alone: its ACK may have waited for a timer.
            sample.is_ack_delayed = not sacked_before and not marks & (ALERT | SYN_ACKED) and taken[0].end == ack
        if low < high and sack_ok:
            rack.check_reordering(tcb, low, False)

    # -- the RTT -------------------------------------------------------------------------------------------------------
    if rtt_first >= 0 and not marks & RESENT_ACKED:
        measured = now - rtt_first
        path = now - rtt_last
    elif sack_first >= 0:
        measured = now - sack_first
        path = now - sack_last
        if tsecr >= 0 and marks & ADVANCED:
            # Had earlier ACKs been lost, what they told is old news now; the echo is of what this one answers.
            echo = echo_age(tcb, tsecr, now)
            if 0 <= echo < measured:
                measured = echo
                path = min(path, echo)
    elif tsecr >= 0 and marks & ADVANCED:
        measured = path = echo_age(tcb, tsecr, now)
    else:
        measured = path = -1
    if measured >= 0:
        sample.rtt = path
        rtt.observe_min(tcb, path, sample.is_ack_delayed, now)
        rtt.measured(tcb, measured, now)
        if not marks & ADVANCED and sack_first >= 0 and ranges and sack_first > ranges[0].sent_at:
            # Something sent after the first segment has arrived: the RTO counts anew. Of what was sent before it, no:
            # else the timeout would be put off again and again.
            marks |= SET_TIMER

    # -- what is lost --------------------------------------------------------------------------------------------------
    sample.newly = tcb.delivered - delivered_before
    if tcb.sack_ok:
        rack.update_window(tcb, sample)
    if tcb.tlp is not None:
        tlp.acknowledged(
            tcb,
            ack,
            marks & ADVANCED != 0,
            not marks & (ADVANCED | NOT_DUPLICATE | DATA_SACKED),
            marks & DSACKED_PROBE != 0,
            sample.newly - dup,
            now,
        )
    if not marks & NOT_DUPLICATE or marks & ALERT or tcb.ca_state != CA_OPEN:
        duplicates = 0 if marks & (ADVANCED | NOT_DUPLICATE | DSACKED) else 1
        marks = loss.alert(tcb, sent, una, duplicates, marks, tsecr, now, sample.newly - dup)
    elif tcb.retrans_at:
        tcb.retrans_at = 0
    if marks & SET_TIMER:
        recovery.arm(tcb, now)
    _finish(tcb, sent, sample, marks, delivered_before, lost_before, now)
    return 0


def _finish(
    tcb: Tcb, sent: Scoreboard, sample: RateSample, marks: int, delivered_before: int, lost_before: int, now: int
) -> None:
    """The sample is complete: the window follows."""
    newly = tcb.delivered - delivered_before
    sample.newly = newly
    sample.lost = tcb.lost - lost_before
    if newly and marks & ECE:
        tcb.delivered_ce += newly
        tcb.ns.stats[_DELIVERED_CE] += -(-newly // tcb.mss)
    rate.generate(tcb, sample, rtt.minimum(tcb), sent.reneged, now)
    cc = tcb.cc
    if cc is None:
        return
    if newly:
        validation.acked(tcb, now)
    if cc.controls_cwnd:
        cc.on_ack(tcb, sample, now)
        return
    if reduction.in_reduction(tcb):
        prr.delivered(tcb, newly, sample.lost, marks & ADVANCED != 0, pipe(tcb))
    elif not newly or marks & (SYN_ACKED | DATA_ACKED) != DATA_ACKED:
        # RFC 5681: what arrives out of order lets the window grow only where so much is reordered that all does.
        if not marks & DATA_SACKED or tcb.reordering <= tcb.ns.conf.tcp.reordering:
            return
    cc.on_ack(tcb, sample, now)


def _release(tcb: Tcb, una: int, ack: int) -> None:
    """The bytes below `ack` are the peer's now."""
    if una <= tcb.snd_up < ack:
        tcb.snd_up = ack
    if tcb.info is not None:
        tcb.info.bytes_acked += ack - una
    queue = tcb.sndq
    if queue is not None:
        freed = queue.release(ack)
        if freed:
            tcb.tcp.release(freed)
            sizing.freed(tcb)
    if tcb.mtu_probe is not None:
        pmtu.probe_acked(tcb)


def _late(tcb: Tcb, sent: Scoreboard, seg: Segment, ack: int, sacks: Sequence[tuple[int, int]], now: int) -> None:
    """An ACK that others overtook: its SACK blocks still tell something."""
    sample = sent.sample
    una = tcb.snd_una
    delivered_before = tcb.delivered
    lost_before = tcb.lost
    rate.begin(sample, pipe(tcb), tcb.ca_state)
    tsecr = seg.tsecr if seg.ts and tcb.ts_ok and seg.tsecr else -1
    marks, dup, _, _, _ = _take_sacks(tcb, sent, ack, una, sacks, now)
    marks |= CARRIED_DATA  # it repeats nothing
    sample.newly = tcb.delivered - delivered_before
    marks = loss.alert(tcb, sent, una, 0, marks, tsecr, now, sample.newly - dup)
    if marks & SET_TIMER:
        recovery.arm(tcb, now)
    _finish(tcb, sent, sample, marks, delivered_before, lost_before, now)


def _take_sacks(
    tcb: Tcb, sent: Scoreboard, ack: int, una: int, sacks: Sequence[tuple[int, int]], now: int
) -> tuple[int, int, int, int, int]:
    """Marks, bytes told to be duplicates, the lowest of what arrived late, and when the first and the last of what
    arrived were sent (-1: nothing that was sent once)."""
    marks = 0
    dup = 0
    low = _FAR
    first = last = -1
    if not tcb.sack_ok:
        return marks, dup, low, first, last
    stats = tcb.ns.stats
    nxt = tcb.snd_nxt
    left, right = sacks[0]
    duplicate = False
    if left < ack:  # RFC 2883 4.1, 4.2: below what it acknowledges
        duplicate = True
        stats[_DSACK_RECV] += 1
    elif len(sacks) > 1 and sacks[1][0] <= left and right <= sacks[1][1]:  # 4.3: within what it SACKs
        duplicate = True
        stats[_DSACK_OFO_RECV] += 1
    if duplicate:
        marks, dup = _told_twice(tcb, sent, left, right, una)
        duplicate = dup > 0
    if not sent.ranges:
        return marks, dup, low, first, last
    high = sent.highest_sacked if sent.highest_sacked >= 0 else una
    limit = tcb.high_seq
    sample = sent.sample
    now_una = tcb.snd_una
    for left, right in sacks:
        if right > nxt or left >= right or right <= now_una or left <= una:
            continue  # of the future, reversed, of the past, or not to be SACKed at all
        found = sent.cover(max(left, now_una), right)
        for one in found:
            flags = one.flags
            end = one.end
            # Deviation from RFC 8985 6.2 step 2: what came out of order is not what the echo is of (RFC 7323 4.3).
            rack.advance(tcb, one, end, flags & EVER != 0, -1, now)
            if not flags & (RETRANS | EVER):
                if one.start < high and one.start < low:
                    low = one.start
                if end <= limit:
                    marks |= ORIGINAL
                last = one.sent_at
                if first < 0:
                    first = last
            rate.delivered(tcb, sample, one, end, flags & EVER != 0)
            one.delivered_at = -1
            sent.mark_sacked(one)
            length = end - one.start
            tcb.delivered += length
            sample.sacked_newly += length
        if found:
            marks |= DATA_SACKED
            sent.join_sacked(found[0].start, found[-1].end)
    if low < high and (tcb.ca_state != CA_LOSS or tcb.undo_marker >= 0):
        rack.check_reordering(tcb, low, False)
    return marks, dup, low, first, last


def _told_twice(tcb: Tcb, sent: Scoreboard, left: int, right: int, una: int) -> tuple[int, int]:
    """A D-SACK: marks, and how many bytes of ours it tells of (0: not believed)."""
    length = right - left
    if length <= 0 or length > max(tcb.max_window, tcb.mss) or right > tcb.snd_nxt:
        return 0, 0
    marks = DSACKED
    state: rack.Rack = tcb.rack
    if length <= tcb.mss and tcb.tlp is not None and tcb.tlp[0] == right:
        marks |= DSACKED_PROBE
    state.dsack_dups += length
    if tcb.info is not None:
        tcb.info.dsack_dups += -(-length // tcb.mss)
    if state.dsack_dups > tcb.total_retrans * tcb.mss:
        return 0, 0  # the network made it, nobody here sent it twice
    if state.reordered and not marks & DSACKED_PROBE:
        state.dsack_seen = True
    if tcb.undo_marker >= 0 and tcb.undo_retrans > 0 and right > tcb.undo_marker:
        tcb.undo_retrans = max(tcb.undo_retrans - length, 0)
    tcb.delivered += length
    return marks, length
