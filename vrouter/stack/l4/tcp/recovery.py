"""Sending as recovery sees it: what is recorded of each transmission, what is sent again and when, how much may leave.

`output` asks `next_retransmission` until there is none, then `room` for new data, and tells `sent` of each that leaves
(``snd_nxt`` is moved already). Timers call `rto`; `pmtu` calls `mtu_reduced`. After each of them, and after `ack`, the
caller goes on with ``output``: nothing here sends.

All that is known to be lost is sent again, lowest first, as far as ``cwnd`` leaves room over what is in flight; so fast
retransmit, the retransmissions of slow start after an RTO (RFC 6298 5.4, RFC 5681 3.1) and limited transmit (RFC 3042:
what duplicate ACKs stand for is no longer in flight) are one rule, and what is in doubt is told by the marks alone.
What must leave whatever ``cwnd`` says (the first segment after an RTO, a probe) stands in ``Scoreboard.force``.
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import rate, reduction, rtt, tlp
from vrouter.stack.l4.tcp.cc.base import LOSS
from vrouter.stack.l4.tcp.rack import Rack, reordering_window
from vrouter.stack.l4.tcp.reduction import enter_cwr
from vrouter.stack.l4.tcp.scoreboard import LOST, SACKED, Scoreboard, pipe
from vrouter.stack.l4.tcp.tcb import (
    CA_DISORDER,
    CA_LOSS,
    CA_RECOVERY,
    ESTABLISHED,
    INFINITE_SSTHRESH,
    REXMIT_REO,
    REXMIT_RTO,
    SYN_RECEIVED,
    SYN_SENT,
    Tcb,
)

__all__ = [
    "arm",
    "enter_cwr",
    "mtu_reduced",
    "next_retransmission",
    "oldest_sent_at",
    "pipe",
    "room",
    "rto",
    "sent",
]

_THIN: Final = 4  # segments of a thin stream, which is tried at even intervals for so long:
_THIN_RETRIES: Final = 6
_NEW_FIRST: Final = 2  # of ``tcb.frto``

_FAST: Final = int(Stat.TcpFastRetrans)
_SLOW: Final = int(Stat.TcpSlowStartRetrans)
_RENEGING: Final = int(Stat.TcpSACKReneging)
_SACK_FAILURES: Final = int(Stat.TcpSackFailures)
_RENO_FAILURES: Final = int(Stat.TcpRenoFailures)
_LOSS_FAILURES: Final = int(Stat.TcpLossFailures)


def sent(tcb: Tcb, start: int, end: int, now: int, retransmission: bool) -> None:
    """The numbers `start` to `end` (excluded) have left, SYN and FIN as one number each."""
    board = tcb.sent
    if board is None:
        board = tcb.sent = Scoreboard()
        board.window = tcb.snd_wnd >> tcb.snd_wscale
        tcb.rack = Rack()
    kind = tcb.rexmit_kind
    if retransmission:
        _sent_again(tcb, board, start, end, now)
    else:
        idle = not board.ranges
        rate.snapshot(tcb, board.send(start, end, now, tcb.mss), now, idle)
    if tcb.ca_state:
        if reduction.in_reduction(tcb) and tcb.prr is not None:
            tcb.prr.out += end - start
    if board.probe:
        tlp.sent(tcb, board, now)
    elif retransmission:
        if start <= tcb.snd_una and kind != REXMIT_REO:
            reduction.restart(tcb, now)
    elif kind != REXMIT_REO and not tlp.schedule(tcb, board, False, now):
        if idle or kind != REXMIT_RTO:
            reduction.rearm(tcb, now)


def _sent_again(tcb: Tcb, board: Scoreboard, start: int, end: int, now: int) -> None:
    board.force = None
    for one in board.resend(start, end, now, tcb.mss):
        rate.snapshot(tcb, one, now, False)
        if one.flags & LOST:
            stat = _SLOW if tcb.ca_state == CA_LOSS else _FAST
            tcb.ns.stats[stat] += -(-(one.end - one.start) // tcb.mss)
    if tcb.undo_retrans < 0:
        tcb.undo_retrans = 0
    tcb.undo_retrans += end - start
    if not tcb.retrans_at:
        tcb.retrans_at = now


def oldest_sent_at(tcb: Tcb) -> int:
    """When the first of what is outstanding was sent last; -1 when nothing is."""
    board = tcb.sent
    return board.ranges[0].sent_at if board is not None and board.ranges else -1


def wants_again(tcb: Tcb) -> bool:
    """Whether `next_retransmission` may have something."""
    board = tcb.sent
    return board is not None and (board.force is not None or board.waiting > 0)


def next_retransmission(tcb: Tcb, now: int) -> tuple[int, int] | None:
    """What is to be sent again next, as one segment or superframe: (start, end), None when there is nothing to send.

    It is one superframe or part of one that was sent before, whole segments of it, and no more than may be in flight.
    """
    board = tcb.sent
    if board is None:
        return None
    force = board.force
    if force is not None:
        start = max(force[0], tcb.snd_una)
        stop = board.missing(start, force[1])  # it may have arrived while it was held back here
        if start < stop:
            return start, stop
        board.force = None
        if board.probe == tlp.AGAIN:
            board.probe = 0
    if not board.waiting or tcb.frto == _NEW_FIRST:
        return None
    space = tcb.cwnd - pipe(tcb)
    if space <= 0:
        return None
    mss = tcb.mss
    one = board.next_waiting()
    assert one is not None
    start, end = one.start, one.end
    if end - start > space:
        end = start + space // mss * mss
        if end == start:
            return None
    return start, end


def room(tcb: Tcb, now: int) -> int:
    """How many bytes of new data ``cwnd`` lets leave now, not rounded to segments; 0 or more."""
    board = tcb.sent
    if board is None:
        return tcb.cwnd
    space = tcb.cwnd - (tcb.snd_nxt - tcb.snd_una - board.sacked - board.lost + board.retrans)
    if board.probe == tlp.NEW and space < tcb.mss:
        return tcb.mss
    return space if space > 0 else 0


def arm(tcb: Tcb, now: int) -> None:
    """``snd_una`` moved: a probe or the RTO is due from now on (RFC 6298 5.3, RFC 8985 7.2)."""
    board = tcb.sent
    if board is None or not tlp.schedule(tcb, board, True, now):
        reduction.rearm(tcb, now)


def rto(tcb: Tcb, now: int) -> None:
    """The retransmission timer went off (RFC 6298 5.4 to 5.7): all that was sent an RTT ago or longer is lost, the
    window is one segment, the timeout doubles. The first segment leaves with the caller's ``output``."""
    board = tcb.sent
    if board is None or not board.ranges:
        return
    first = board.ranges[0]
    handshake = tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED
    if handshake and first.start == tcb.iss:
        reduction.lose(tcb, first)
    else:
        _enter_loss(tcb, board, now)
        first = board.ranges[0]
    board.force = (first.start, min(first.end, first.start + tcb.mss))
    board.probe = 0
    tcb.retransmits += 1
    if not tcb.retrans_at:
        tcb.retrans_at = now
    if tcb.info is not None:
        tcb.info.total_rto += 1
    conf = tcb.ns.conf.tcp
    if (
        conf.thin_linear_timeouts
        and tcb.state == ESTABLISHED
        and tcb.snd_nxt - tcb.snd_una < _THIN * tcb.mss
        and tcb.srtt
        and tcb.ssthresh != INFINITE_SSTHRESH
        and tcb.retransmits <= _THIN_RETRIES
    ):
        tcb.backoff = 0
        rtt.set_rto(tcb)
    elif tcb.state != SYN_SENT or tcb.retransmits > conf.syn_linear_timeouts:
        tcb.backoff += 1
        tcb.rto = min(tcb.rto << 1, conf.rto_max)
    reduction.restart(tcb, now)


def _enter_loss(tcb: Tcb, board: Scoreboard, now: int) -> None:
    """RFC 5681 3.1: what a timeout does to the windows; once for each window of data, however often it is sent."""
    state = tcb.ca_state
    new = state < CA_RECOVERY
    if not tcb.retransmits:
        if state == CA_LOSS:
            tcb.ns.stats[_LOSS_FAILURES] += 1
        elif state == CA_DISORDER or board.sacked:
            tcb.ns.stats[_SACK_FAILURES if tcb.sack_ok else _RENO_FAILURES] += 1
    sacked = board.sacked_segments if tcb.sack_ok else board.sacked // tcb.mss
    _mark_timed_out(tcb, board, now)
    cc = tcb.cc
    if state <= CA_DISORDER or tcb.high_seq <= tcb.snd_una or (state == CA_LOSS and not tcb.retransmits):
        tcb.prior_ssthresh = reduction.current_ssthresh(tcb)
        tcb.prior_cwnd = tcb.cwnd
        if cc is not None:
            tcb.ssthresh = cc.ssthresh(tcb)
            cc.on_event(tcb, LOSS, now)
        reduction.note_undo(tcb)
    if state <= CA_DISORDER and sacked >= tcb.reordering:
        # So much arrived, and still it timed out: the degree of reordering was overestimated.
        tcb.reordering = min(tcb.reordering, tcb.ns.conf.tcp.reordering)
    reduction.change(tcb, CA_LOSS, now)
    tcb.cwnd = pipe(tcb) + tcb.mss
    tcb.high_seq = tcb.snd_nxt
    tcb.tlp = None
    reduction.queue_cwr(tcb)
    probing = tcb.mtu_probe is not None and tcb.mtu_probe.size
    tcb.frto = 1 if tcb.ns.conf.tcp.frto and (new or tcb.retransmits) and not probing else 0


def _mark_timed_out(tcb: Tcb, board: Scoreboard, now: int) -> None:
    ranges = board.ranges
    first = ranges[0]
    if first.flags & SACKED:
        # RFC 2018 8: what stands first was SACKed and is not acknowledged: the peer has dropped it.
        tcb.ns.stats[_RENEGING] += 1
        board.reneged = True
        board.unsack()
        spare = None
    elif not tcb.sack_ok:
        board.sacked = 0
        spare = None
    else:
        # RFC 8985 8: what was sent only just now may yet arrive.
        spare = now - tcb.rack.rtt - reordering_window(tcb) if tcb.ns.conf.tcp.recovery & 1 else None
    for one in list(ranges):
        if not one.flags & SACKED and (spare is None or one is first or one.sent_at <= spare):
            reduction.lose(tcb, one)


def mtu_reduced(tcb: Tcb, now: int) -> None:
    """``tcb.mss`` is smaller now: what was sent in larger segments is lost, which is no congestion (RFC 1191 6.5)."""
    board = tcb.sent
    if board is None:
        return
    mss = tcb.mss
    before = board.waiting
    for one in list(board.ranges):
        if one.mss > mss and one.end - one.start > mss and not one.flags & SACKED:
            reduction.lose(tcb, one)
    if board.waiting == before:
        return
    _resend_without_congestion(tcb, board, now)


def syn_data_lost(tcb: Tcb, now: int) -> None:
    """The peer acknowledged our SYN without the data that came with it (RFC 7413 4.2.2): they go again."""
    board = tcb.sent
    if board is not None and board.ranges:
        for one in list(board.ranges):
            reduction.lose(tcb, one)
        _resend_without_congestion(tcb, board, now)


def _resend_without_congestion(tcb: Tcb, board: Scoreboard, now: int) -> None:
    """Something is lost that tells nothing about the path's load (tcp_non_congestion_loss_retransmit)."""
    if not tcb.sack_ok:
        board.sacked = min(board.sacked, max(tcb.snd_nxt - tcb.snd_una - board.lost, 0))
    if tcb.ca_state != CA_LOSS:
        tcb.high_seq = tcb.snd_nxt
        tcb.ssthresh = reduction.current_ssthresh(tcb)
        tcb.prior_ssthresh = 0
        tcb.undo_marker = -1
        reduction.change(tcb, CA_LOSS, now)
        tcb.frto = 0
