"""Which part of its congestion window a sender has a right to: RFC 7661, and the restart after idle of RFC 5681 4.1.

`output` calls `before_sending` and `after_sending`; the algorithms call `acked` for each acknowledgement outside
recovery, `limited` before they grow a window, `reduction_base` when they shrink it, and `recovered` afterwards.

A window that is not used is no evidence, so it does not grow (`limited`). One that was used once is kept (RFC 7661
4.3): pipeACK, the most that was acknowledged in a round trip during the last max(3 RTT, 1 s), tells whether half of it
still is (the *validated phase*). If not, the answer to congestion goes by what was in use rather than by the window
(4.4.1), and after five minutes the window is halved (4.4.3).

When nothing was in flight for longer than the retransmission timeout, ``net.ipv4.tcp_slow_start_after_idle`` decides:
on, as by default, the window is halved for each timeout that passed, down to the initial one, as in Linux
(RFC 5681 4.1 would go there at once); off, RFC 7661 alone rules.

Deviation from RFC 7661 4.4.1: the amount R of what was retransmitted is not taken off when the window was full at the
time of the loss; what was in flight then says that the window is in use, whatever older samples say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.cc import base
from vrouter.stack.l4.tcp.tcb import CA_DISORDER, CA_OPEN, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

NON_VALIDATED_PERIOD: Final = 300 * SECOND


class PipeAck:
    """The samples of pipeACK: the highest of two halves of the sampling period. ``recent`` -1: undefined."""

    __slots__ = ("delivered", "half_at", "loss_base", "lost", "mark", "older", "recent", "validated_at")

    def __init__(self, now: int) -> None:
        self.mark = -1  # when snd_una reaches it, what was delivered meanwhile is a sample
        self.delivered = 0
        self.recent = self.older = -1
        self.half_at = now  # when the half of `recent` began
        self.validated_at = now
        self.loss_base = 0  # max(pipeACK, LossFlightSize) of a reduction in the non-validated phase
        self.lost = 0


def limited(tcb: Tcb) -> bool:
    """Whether the window held the sender back, so that it may grow; in slow start: unless half of it was not used."""
    return tcb.cwnd_limited or (tcb.cwnd < tcb.ssthresh and tcb.cwnd < 2 * tcb.cwnd_used)


def before_sending(tcb: Tcb, now: int) -> None:
    """New data is to leave; call before ``last_sent_at`` is set. Does something when nothing is in flight."""
    if tcb.snd_una != tcb.snd_nxt or tcb.cc is None:
        return
    cc = tcb.cc
    if tcb.last_sent_at >= 0 and not cc.controls_cwnd:
        idle = now - tcb.last_sent_at
        if idle > tcb.rto and tcb.ns.conf.tcp.slow_start_after_idle:
            _restart(tcb, idle, now)
        elif idle > NON_VALIDATED_PERIOD:
            _expire(tcb, now)
    cc.on_event(tcb, base.TX_START, now)


def after_sending(tcb: Tcb, held_back: bool, now: int) -> None:
    """Data was sent, or could not be; `held_back`: less than a segment of ``cwnd`` is left and data waits.

    The window counts as limiting for the rest of the flight in which it was once.
    """
    outstanding = tcb.snd_nxt - tcb.snd_una
    if held_back or tcb.snd_una >= tcb.cwnd_usage_seq or (not tcb.cwnd_limited and outstanding > tcb.cwnd_used):
        tcb.cwnd_limited = held_back
        tcb.cwnd_used = outstanding
        tcb.cwnd_usage_seq = tcb.snd_nxt
    pipe = tcb.pipe_ack
    if pipe is not None and now - pipe.validated_at > NON_VALIDATED_PERIOD:
        _expire(tcb, now)


def acked(tcb: Tcb, now: int) -> None:
    """An acknowledgement that delivered something, outside recovery: take a sample of pipeACK once a round trip."""
    if tcb.ca_state != CA_OPEN and tcb.ca_state != CA_DISORDER:
        return
    pipe = tcb.pipe_ack
    if pipe is None:
        pipe = tcb.pipe_ack = PipeAck(now)
    elif tcb.snd_una < pipe.mark:
        return
    elif pipe.mark >= 0:
        _advance(tcb, pipe, now)
        pipe.recent = max(pipe.recent, tcb.delivered - pipe.delivered)
        if 2 * max(pipe.recent, pipe.older) >= tcb.cwnd:
            if now - pipe.validated_at > NON_VALIDATED_PERIOD:
                _expire(tcb, now)
            pipe.validated_at = now
    pipe.mark = tcb.snd_nxt
    pipe.delivered = tcb.delivered


def _advance(tcb: Tcb, pipe: PipeAck, now: int) -> None:
    """Forget samples from before the sampling period, max(3 RTT, 1 s), in two halves."""
    half = max(3 * tcb.srtt, SECOND) >> 1
    past = now - pipe.half_at
    if past >= half:
        pipe.older = pipe.recent if past < 2 * half else 0
        pipe.recent = 0
        pipe.half_at = now


def pipe_ack(tcb: Tcb, now: int) -> int:
    """The variable pipeACK in bytes; -1: undefined (RFC 7661 4.2)."""
    pipe = tcb.pipe_ack
    if pipe is None or (pipe.recent < 0 and pipe.older < 0):
        return -1
    _advance(tcb, pipe, now)
    return max(pipe.recent, pipe.older)


def validated(tcb: Tcb, now: int) -> bool:
    """Whether the connection is in the validated phase (RFC 7661 4.3)."""
    volume = pipe_ack(tcb, now)
    return volume < 0 or 2 * volume >= tcb.cwnd


def reduction_base(tcb: Tcb) -> int:
    """What a reduction multiplies: the window, or what was in use of it in the non-validated phase (RFC 7661 4.4.1)."""
    pipe = tcb.pipe_ack
    if pipe is None:
        return tcb.cwnd
    pipe.loss_base = 0
    volume = max(pipe.recent, pipe.older)
    if volume < 0 or 2 * volume >= tcb.cwnd or tcb.cwnd_limited:
        return tcb.cwnd
    pipe.loss_base = min(tcb.cwnd, max(volume, tcb.snd_nxt - tcb.snd_una))
    pipe.lost = tcb.lost
    return pipe.loss_base


def recovered(tcb: Tcb, numerator: int, denominator: int) -> None:
    """Recovery is over: in what was the non-validated phase the window also pays for what was lost (RFC 7661 4.4.1).

    The window becomes ``numerator / denominator`` of what is left; pipeACK is undefined again.
    """
    pipe = tcb.pipe_ack
    if pipe is None:
        return
    if pipe.loss_base:
        safe = (pipe.loss_base - (tcb.lost - pipe.lost)) * numerator // denominator
        tcb.cwnd = max(tcb.mss, min(tcb.cwnd, safe))
        tcb.ssthresh = max(tcb.cwnd, 2 * tcb.mss)
    tcb.pipe_ack = None


def _restart(tcb: Tcb, idle: int, now: int) -> None:
    """Halve the window for each timeout that passed, down to the restart window (RFC 5681 4.1)."""
    assert tcb.cc is not None
    tcb.cc.on_event(tcb, base.CWND_RESTART, now)
    tcb.ssthresh = max(tcb.ssthresh, tcb.cwnd * 3 >> 2)
    cwnd = tcb.cwnd
    floor = min(base.initial_window(tcb.mss), cwnd)
    cwnd >>= min((idle - 1) // tcb.rto, 64)
    tcb.cwnd = max(cwnd, floor)
    tcb.cwnd_used = 0
    tcb.pipe_ack = None


def _expire(tcb: Tcb, now: int) -> None:
    """The non-validated period is over (RFC 7661 4.4.3)."""
    tcb.ssthresh = max(tcb.ssthresh, tcb.cwnd * 3 >> 2)
    tcb.cwnd = min(tcb.cwnd, max(tcb.cwnd >> 1, base.initial_window(tcb.mss)))
    pipe = tcb.pipe_ack
    if pipe is not None:
        pipe.validated_at = now
