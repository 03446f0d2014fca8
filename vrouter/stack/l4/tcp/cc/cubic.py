"""CUBIC (RFC 9438), with HyStart++ (RFC 9406) for the first slow start. The default.

After a reduction the window climbs along a cubic of time: steeply back towards ``w_max``, where the loss was, flat
around it, then steeply on. Time ``K`` is when it gets there. Where Reno would be faster (short round trips, small
windows), the window follows ``w_est``, an estimate of Reno's.

::

    W(t) = C (t - K)^3 + w_max          C = 0.4 segments a second^3, beta = 0.7
    K    = cbrt((w_max - cwnd) / C)     alpha = 3 (1 - beta) / (1 + beta) = 9/17

All of it is integer arithmetic: bytes, ns and exact fractions; what a division leaves over is carried along, so that
nothing drifts. Time in which the window was not in use does not count (5.8): ``frozen_at`` is when that began.

A reduction notes what it changes, so that one that was for nothing is undone whole (4.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp.cc import base, validation
from vrouter.stack.l4.tcp.cc.hystart import Hystart, growth
from vrouter.stack.l4.tcp.tcb import CA_LOSS, INFINITE_SSTHRESH

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.tcb import Tcb

BETA: Final = (7, 10)
ALPHA: Final = (9, 17)
_FAST_CONVERGENCE: Final = (17, 20)  # (1 + beta) / 2
_NS3: Final = 10**27  # ns^3 in a second^3
_C_UP: Final = 2  # C = 2/5
_C_DOWN: Final = 5 * _NS3
_HYSTART_DELAY: Final = int(Stat.TcpHystartDelayDetect)


def cube_root(number: int) -> int:
    """The largest integer whose cube is not above `number` (0 or more)."""
    if number < 8:
        return 1 if number else 0
    root = 1 << -(-number.bit_length() // 3)  # above the root, from where Newton's steps only fall
    while True:
        lower = (2 * root + number // (root * root)) // 3
        if lower >= root:
            return root
        root = lower


class CubicState:
    """A connection's place on the curve; bytes and ns. ``epoch`` -1: no congestion avoidance stage has begun."""

    __slots__ = (
        "credit",
        "epoch",
        "est_credit",
        "frozen_at",
        "hystart",
        "k",
        "origin",
        "prior",
        "saved",
        "w_est",
        "w_max",
    )

    def __init__(self) -> None:
        self.w_max = 0
        self.prior = 0  # cwnd_prior: the window just before the last reduction
        self.epoch = -1
        self.k = self.origin = 0
        self.w_est = 0
        self.credit = self.est_credit = 0
        self.frozen_at = -1
        self.hystart: Hystart | None = Hystart()
        self.saved: tuple[int, ...] | None = None


class Cubic(base.Congestion):
    """RFC 9438."""

    __slots__ = ()

    name = "cubic"

    def _start(self, tcb: Tcb, now: int) -> None:
        tcb.cc_state = CubicState()

    def on_ack(self, tcb: Tcb, sample: RateSample, now: int) -> None:
        """Grow the window (RFC 9438 4.2 to 4.5, 4.10)."""
        if base.may_grow(tcb):
            state = tcb.cc_state
            validation.acked(tcb, now)
            if validation.limited(tcb):
                left = sample.newly
                if tcb.cwnd < tcb.ssthresh:
                    left = _slow_start(tcb, state, sample)
                if left:
                    _avoid(tcb, state, left, now)
            elif state.frozen_at < 0:
                state.frozen_at = now
        self.pace(tcb)

    def ssthresh(self, tcb: Tcb) -> int:
        """The multiplicative decrease (4.6), with fast convergence (4.7): at least two segments."""
        state = tcb.cc_state
        state.saved = (
            state.w_max, state.prior, state.epoch, state.k, state.origin, state.w_est, state.credit, state.est_credit,
        )  # fmt: skip
        cwnd = validation.reduction_base(tcb)
        state.w_max = cwnd * _FAST_CONVERGENCE[0] // _FAST_CONVERGENCE[1] if cwnd < state.w_max else cwnd
        state.prior = cwnd
        state.epoch = state.frozen_at = -1
        return max(cwnd * BETA[0] // BETA[1], 2 * tcb.mss)

    def on_event(self, tcb: Tcb, event: int, now: int) -> None:
        """Idle time stops the clock (5.8); the end of a reduction (RFC 7661 4.4.1)."""
        if event == base.TX_START:
            state = tcb.cc_state
            if state.frozen_at < 0 and tcb.last_sent_at >= 0:
                state.frozen_at = tcb.last_sent_at
        elif event == base.COMPLETE_CWR:
            validation.recovered(tcb, *BETA)
        elif event == base.LOSS:
            tcb.pipe_ack = None

    def set_state(self, tcb: Tcb, state: int, now: int) -> None:
        """After a timeout the next stage begins where slow start ends: K is 0, W_max the window of then (4.8)."""
        if state == CA_LOSS:
            cubic = tcb.cc_state
            cubic.w_max = 0
            cubic.epoch = -1
            if cubic.hystart is not None:
                cubic.hystart = Hystart()

    def undo(self, tcb: Tcb) -> int:
        """Back to the curve as it was before the reduction (4.9)."""
        state = tcb.cc_state
        if state.saved is not None and tcb.cwnd < tcb.prior_cwnd:
            (
                state.w_max, state.prior, state.epoch, state.k, state.origin, state.w_est, state.credit,
                state.est_credit,
            ) = state.saved  # fmt: skip
        state.saved = None
        return max(tcb.cwnd, tcb.prior_cwnd)

    def info(self, tcb: Tcb) -> dict[str, int]:
        """Where on the curve the connection is."""
        state = tcb.cc_state
        return {"w_max": state.w_max, "w_est": state.w_est, "k_ns": state.k}


def _slow_start(tcb: Tcb, state: CubicState, sample: RateSample) -> int:
    """Grow in slow start; returns the bytes left for congestion avoidance."""
    hystart = state.hystart
    if hystart is None or tcb.ssthresh < INFINITE_SSTHRESH:
        return base.slow_start(tcb, sample.newly)  # RFC 9406 4.3: the first slow start alone
    count = growth(tcb, hystart, sample)
    if count < 0:
        state.hystart = None
        tcb.ssthresh = state.prior = tcb.cwnd
        tcb.ns.stats[_HYSTART_DELAY] += 1
        return sample.newly
    tcb.cwnd += count
    return 0


def _avoid(tcb: Tcb, state: CubicState, delivered: int, now: int) -> None:
    """One acknowledgement in congestion avoidance."""
    cwnd = tcb.cwnd
    mss = tcb.mss
    if state.epoch < 0:
        _begin_stage(state, cwnd, mss, now)
    elif state.frozen_at >= 0:
        state.epoch += now - state.frozen_at
    state.frozen_at = -1

    # Reno's window, 4.3: alpha is 1 once it has reached the window of before the reduction.
    up, down = ALPHA if state.w_est < state.prior else (1, 1)
    est_credit = state.est_credit + up * delivered * mss * (17 // down)
    count, state.est_credit = divmod(est_credit, 17 * cwnd)
    state.w_est += count

    t = now - state.epoch
    if window(state, t, mss) < state.w_est:
        if state.w_est > cwnd:
            tcb.cwnd = state.w_est
        return
    target = min(window(state, t + tcb.srtt, mss), cwnd + (cwnd >> 1))
    if target > cwnd:
        count, state.credit = divmod(state.credit + (target - cwnd) * delivered, cwnd)
        tcb.cwnd = cwnd + count


def _begin_stage(state: CubicState, cwnd: int, mss: int, now: int) -> None:
    """A congestion avoidance stage begins (4.2)."""
    state.epoch = now
    state.w_est = cwnd
    state.credit = state.est_credit = 0
    if cwnd < state.w_max:
        state.k = cube_root((state.w_max - cwnd) * _C_DOWN // (_C_UP * mss))
        state.origin = state.w_max
    else:
        state.k = 0
        state.origin = cwnd


def window(state: CubicState, t: int, mss: int) -> int:
    """W_cubic in bytes, `t` ns after the stage began (RFC 9438 4.2, equation 1)."""
    past: int = t - state.k
    return state.origin + _C_UP * mss * past * past * past // _C_DOWN


CUBIC: Final = Cubic()
