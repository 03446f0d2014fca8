"""BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): a model of the path instead of its losses.

The model is two numbers: the highest delivery rate of the last ten round trips, and the least round-trip time of the
last ten seconds. Data is paced at the first, times a gain, and what is in flight is held to a multiple of their
product, the BDP.

::

    STARTUP ──(three rounds without a quarter more bandwidth)──► DRAIN ──(in flight <= BDP)──► PROBE_BW
       ▲  gains 2.89                                     gain 1/2.89                 gains 5/4, 3/4, 1 x 6
       │                                                                                        │
       └────────── (200 ms and a round at four segments) PROBE_RTT ◄── (ten seconds without a new least RTT)

PROBE_BW begins at a random place of its cycle (never the one that drains), so that flows do not probe together. After
an idle time the pace is the bandwidth itself. In the first round of a recovery packets are conserved; afterwards the
window is what it was. Where ACKs come in clumps (superframes, aggregation), what came beyond the bandwidth is granted
on top of the window, so that the pipe does not run dry between them.

Not built: the draft's long-term bandwidth sampling for token-bucket policers.

Rates are bytes a second, gains 256ths, times ns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.cc import base
from vrouter.stack.l4.tcp.scoreboard import pipe
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, CA_RECOVERY, INFINITE_SSTHRESH, MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.tcb import Tcb

STARTUP: Final = 0
DRAIN: Final = 1
PROBE_BW: Final = 2
PROBE_RTT: Final = 3

UNIT: Final = 256
HIGH_GAIN: Final = 739  # 2 / ln 2
DRAIN_GAIN: Final = 88  # its inverse
WINDOW_GAIN: Final = 2 * UNIT
CYCLE: Final = (UNIT * 5 // 4, UNIT * 3 // 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT)
BANDWIDTH_ROUNDS: Final = 10
MIN_RTT_WINDOW: Final = 10 * SECOND
PROBE_RTT_TIME: Final = 200 * MS
MIN_SEGMENTS: Final = 4
FULL_ROUNDS: Final = 3
_MARGIN: Final = 99  # per cent of the bandwidth that is paced at, so that queues drain
_EXTRA_ROUNDS: Final = 5
_EXTRA_TIME: Final = 100 * MS
_MAX_EPOCH: Final = 1 << 30
_NEVER: Final = -1


class WindowedMax:
    """The highest value of the last `window` ticks, by the three best candidates, each younger than the one before."""

    __slots__ = ("at", "at2", "at3", "value", "value2", "value3", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.value = self.value2 = self.value3 = 0
        self.at = self.at2 = self.at3 = 0

    def update(self, at: int, value: int) -> None:
        """A new value at the tick `at`, which never goes back."""
        if value >= self.value or at - self.at3 > self.window:
            self.value = self.value2 = self.value3 = value
            self.at = self.at2 = self.at3 = at
            return
        if value >= self.value2:
            self.value2 = self.value3 = value
            self.at2 = self.at3 = at
        elif value >= self.value3:
            self.value3 = value
            self.at3 = at
        age = at - self.at
        if age > self.window:
            self.value, self.at = self.value2, self.at2
            self.value2, self.at2 = self.value3, self.at3
            self.value3, self.at3 = value, at
            if at - self.at > self.window:
                self.value, self.at = self.value2, self.at2
                self.value2, self.at2 = self.value3, self.at3
        elif self.at2 == self.at and age > self.window >> 2:
            self.value2 = self.value3 = value
            self.at2 = self.at3 = at
        elif self.at3 == self.at2 and age > self.window >> 1:
            self.value3, self.at3 = value, at


class BbrState:
    """A connection's model of its path."""

    __slots__ = (
        "ack_epoch_at",
        "ack_epoch_bytes",
        "bandwidth",
        "conserve",
        "cwnd_gain",
        "cycle_at",
        "cycle_index",
        "extra",
        "extra_index",
        "extra_rounds",
        "full_bandwidth",
        "full_count",
        "full_reached",
        "has_rtt",
        "idle_restart",
        "min_rtt",
        "min_rtt_at",
        "mode",
        "next_delivered",
        "pacing_gain",
        "prior_cwnd",
        "prior_state",
        "probe_rtt_end",
        "probe_rtt_round_done",
        "round_start",
        "rounds",
    )

    def __init__(self, tcb: Tcb, now: int) -> None:
        self.mode = STARTUP
        self.pacing_gain = self.cwnd_gain = HIGH_GAIN
        self.bandwidth = WindowedMax(BANDWIDTH_ROUNDS)
        self.min_rtt = tcb.srtt or _NEVER
        self.min_rtt_at = now
        self.has_rtt = tcb.srtt > 0
        self.rounds = 0
        self.round_start = False
        self.next_delivered = tcb.delivered
        self.full_bandwidth = self.full_count = 0
        self.full_reached = False
        self.cycle_index = 0
        self.cycle_at = now
        self.probe_rtt_end = _NEVER
        self.probe_rtt_round_done = False
        self.idle_restart = False
        self.prior_cwnd = 0
        self.prior_state = CA_OPEN
        self.conserve = False
        self.ack_epoch_at = now
        self.ack_epoch_bytes = 0
        self.extra = [0, 0]
        self.extra_index = self.extra_rounds = 0


class Bbr(base.Congestion):
    """BBR version 1."""

    __slots__ = ()

    name = "bbr"
    needs_pacing = True
    controls_cwnd = True

    def _start(self, tcb: Tcb, now: int) -> None:
        tcb.ssthresh = INFINITE_SSTHRESH
        tcb.cc_state = BbrState(tcb, now)
        tcb.pacing_rate = 0

    def on_ack(self, tcb: Tcb, sample: RateSample, now: int) -> None:
        """Update the model, then pace and window by it."""
        state = tcb.cc_state
        _update_bandwidth(tcb, state, sample)
        _update_extra(tcb, state, sample, now)
        _update_cycle(tcb, state, sample, now)
        _check_full(state, sample)
        _check_drain(tcb, state, now)
        _update_min_rtt(tcb, state, sample, now)
        if state.mode == STARTUP:
            state.pacing_gain = state.cwnd_gain = HIGH_GAIN
        elif state.mode == DRAIN:
            state.pacing_gain, state.cwnd_gain = DRAIN_GAIN, HIGH_GAIN
        elif state.mode == PROBE_BW:
            state.pacing_gain, state.cwnd_gain = CYCLE[state.cycle_index], WINDOW_GAIN
        else:
            state.pacing_gain = state.cwnd_gain = UNIT
        _set_pacing_rate(tcb, state, state.pacing_gain)
        _set_cwnd(tcb, state, sample)

    def pacing_rate(self, tcb: Tcb) -> int:
        """What the model says; before its first sample the initial window at the high gain for each round trip."""
        if tcb.pacing_rate:
            return tcb.pacing_rate
        return tcb.cwnd * SECOND * HIGH_GAIN // (UNIT * (tcb.srtt or MS))

    def ssthresh(self, tcb: Tcb) -> int:
        """Losses have no part in the model; the window to return to is noted."""
        _save_cwnd(tcb, tcb.cc_state)
        return tcb.ssthresh

    def undo(self, tcb: Tcb) -> int:
        """The reduction was for nothing: estimate anew whether the pipe is full."""
        state = tcb.cc_state
        state.full_bandwidth = state.full_count = 0
        return max(tcb.cwnd, tcb.prior_cwnd)

    def set_state(self, tcb: Tcb, state: int, now: int) -> None:
        """A timeout ends a round."""
        if state == CA_LOSS:
            bbr = tcb.cc_state
            bbr.prior_state = CA_LOSS
            bbr.full_bandwidth = 0
            bbr.round_start = True

    def on_event(self, tcb: Tcb, event: int, now: int) -> None:
        """After idle: pace at the bandwidth, since the pipe is empty and no queue is to be made."""
        if event != base.TX_START or not tcb.app_limited:
            return
        state = tcb.cc_state
        state.idle_restart = True
        state.ack_epoch_at = now
        state.ack_epoch_bytes = 0
        if state.mode == PROBE_BW:
            _set_pacing_rate(tcb, state, UNIT)
        elif state.mode == PROBE_RTT:
            _check_probe_rtt_done(tcb, state, now)

    def info(self, tcb: Tcb) -> dict[str, int]:
        """The model (tcp_bbr_info): bytes a second, ns, 256ths."""
        state = tcb.cc_state
        return {
            "bw": state.bandwidth.value,
            "min_rtt_ns": max(state.min_rtt, 0),
            "pacing_gain": state.pacing_gain,
            "cwnd_gain": state.cwnd_gain,
        }


# The model ------------------------------------------------------------------------------------------------------------


def _update_bandwidth(tcb: Tcb, state: BbrState, sample: RateSample) -> None:
    """Count rounds, and take the sample unless the program was too slow to fill the pipe."""
    state.round_start = False
    if sample.delivered < 0 or sample.interval <= 0:
        return
    if sample.prior_delivered >= state.next_delivered:
        state.next_delivered = tcb.delivered
        state.rounds += 1
        state.round_start = True
        state.conserve = False
    rate = sample.delivered * SECOND // sample.interval
    if not sample.is_app_limited or rate >= state.bandwidth.value:
        state.bandwidth.update(state.rounds, rate)


def _update_extra(tcb: Tcb, state: BbrState, sample: RateSample, now: int) -> None:
    """How much more than the bandwidth explains is acknowledged in a clump: the most of the last five to ten rounds."""
    if sample.newly <= 0 or sample.delivered < 0 or sample.interval <= 0:
        return
    if state.round_start:
        state.extra_rounds += 1
        if state.extra_rounds >= _EXTRA_ROUNDS:
            state.extra_rounds = 0
            state.extra_index ^= 1
            state.extra[state.extra_index] = 0
    expected = state.bandwidth.value * (now - state.ack_epoch_at) // SECOND
    if state.ack_epoch_bytes <= expected or state.ack_epoch_bytes + sample.newly >= _MAX_EPOCH:
        state.ack_epoch_bytes = expected = 0
        state.ack_epoch_at = now
    state.ack_epoch_bytes += sample.newly
    extra = min(state.ack_epoch_bytes - expected, tcb.cwnd)
    if extra > state.extra[state.extra_index]:
        state.extra[state.extra_index] = extra


def _update_cycle(tcb: Tcb, state: BbrState, sample: RateSample, now: int) -> None:
    """The next phase of PROBE_BW is due after a least RTT: probing wants a queue, draining may end early."""
    if state.mode != PROBE_BW:
        return
    due = now - state.cycle_at > state.min_rtt
    gain = state.pacing_gain
    if gain > UNIT:
        due = due and (sample.lost > 0 or sample.prior_in_flight >= _target(tcb, state, gain))
    elif gain < UNIT:
        due = due or sample.prior_in_flight <= _target(tcb, state, UNIT)
    if due:
        _advance_cycle(state, now)


def _advance_cycle(state: BbrState, now: int) -> None:
    state.cycle_index = (state.cycle_index + 1) % len(CYCLE)
    state.cycle_at = now


def _check_full(state: BbrState, sample: RateSample) -> None:
    """The pipe is full when three rounds brought no quarter more."""
    if state.full_reached or not state.round_start or sample.is_app_limited:
        return
    rate = state.bandwidth.value
    if rate * 4 >= state.full_bandwidth * 5:
        state.full_bandwidth = rate
        state.full_count = 0
        return
    state.full_count += 1
    state.full_reached = state.full_count >= FULL_ROUNDS


def _check_drain(tcb: Tcb, state: BbrState, now: int) -> None:
    if state.mode == STARTUP and state.full_reached:
        state.mode = DRAIN
        tcb.ssthresh = _target(tcb, state, UNIT)
    if state.mode == DRAIN and pipe(tcb) <= _target(tcb, state, UNIT):
        _enter_probe_bw(tcb, state, now)


def _enter_probe_bw(tcb: Tcb, state: BbrState, now: int) -> None:
    """At a random phase but the draining one."""
    state.mode = PROBE_BW
    state.cycle_index = len(CYCLE) - 1 - tcb.ns.stack.rng.below(len(CYCLE) - 1)
    _advance_cycle(state, now)


def _update_min_rtt(tcb: Tcb, state: BbrState, sample: RateSample, now: int) -> None:
    """The least RTT; when none was that low for ten seconds, empty the pipe to see it again (PROBE_RTT)."""
    expired = now - state.min_rtt_at > MIN_RTT_WINDOW
    rtt = sample.rtt
    if rtt >= 0 and (state.min_rtt < 0 or rtt <= state.min_rtt or (expired and not sample.is_ack_delayed)):
        state.min_rtt = rtt
        state.min_rtt_at = now
    if expired and not state.idle_restart and state.mode != PROBE_RTT:
        state.mode = PROBE_RTT
        _save_cwnd(tcb, state)
        state.probe_rtt_end = _NEVER
    if state.mode == PROBE_RTT:
        flight = pipe(tcb)
        tcb.app_limited = tcb.delivered + flight or 1  # its rates are not the path's
        if state.probe_rtt_end < 0:
            if flight <= MIN_SEGMENTS * tcb.mss:
                state.probe_rtt_end = now + PROBE_RTT_TIME
                state.probe_rtt_round_done = False
                state.next_delivered = tcb.delivered
        else:
            if state.round_start:
                state.probe_rtt_round_done = True
            if state.probe_rtt_round_done:
                _check_probe_rtt_done(tcb, state, now)
    if sample.delivered > 0:
        state.idle_restart = False


def _check_probe_rtt_done(tcb: Tcb, state: BbrState, now: int) -> None:
    if state.probe_rtt_end < 0 or now <= state.probe_rtt_end:
        return
    state.min_rtt_at = now
    tcb.cwnd = max(tcb.cwnd, state.prior_cwnd)
    if state.full_reached:
        _enter_probe_bw(tcb, state, now)
    else:
        state.mode = STARTUP


# What follows from it -------------------------------------------------------------------------------------------------


def _bdp(tcb: Tcb, state: BbrState, gain: int) -> int:
    if state.min_rtt < 0:
        return base.initial_window(tcb.mss)
    return state.bandwidth.value * state.min_rtt * gain // (UNIT * SECOND)


def _target(tcb: Tcb, state: BbrState, gain: int) -> int:
    """`gain` BDPs, and room for three bursts, so that the sender, the wire and the receiver can each hold one."""
    mss = tcb.mss
    burst = min(max(tcb.pacing_rate >> 10, 2 * mss), 65536)
    target = _bdp(tcb, state, gain) + 3 * burst
    if state.mode == PROBE_BW and state.cycle_index == 0:
        target += 2 * mss
    return target


def _set_pacing_rate(tcb: Tcb, state: BbrState, gain: int) -> None:
    """Pace at the bandwidth; while the pipe is not full yet, never slower than before."""
    if not state.has_rtt and tcb.srtt:
        state.has_rtt = True
        tcb.pacing_rate = tcb.cwnd * SECOND * HIGH_GAIN // (UNIT * tcb.srtt)
    rate = state.bandwidth.value * gain * _MARGIN // (UNIT * 100)
    if tcb.pacing_max:
        rate = min(rate, tcb.pacing_max)
    if rate and (state.full_reached or rate > tcb.pacing_rate):
        tcb.pacing_rate = rate


def _save_cwnd(tcb: Tcb, state: BbrState) -> None:
    if state.prior_state < CA_RECOVERY and state.mode != PROBE_RTT:
        state.prior_cwnd = tcb.cwnd
    else:
        state.prior_cwnd = max(state.prior_cwnd, tcb.cwnd)


def _set_cwnd(tcb: Tcb, state: BbrState, sample: RateSample) -> None:
    """Towards the target by what was delivered; in recovery by conservation of packets."""
    mss = tcb.mss
    cwnd = tcb.cwnd
    if sample.newly:
        if sample.lost > 0:
            cwnd = max(cwnd - sample.lost, mss)
        ca_state = tcb.ca_state
        if ca_state == CA_RECOVERY and state.prior_state != CA_RECOVERY:
            state.conserve = True
            state.next_delivered = tcb.delivered
            cwnd = pipe(tcb) + sample.newly
        elif state.prior_state >= CA_RECOVERY > ca_state:
            cwnd = max(cwnd, state.prior_cwnd)
            state.conserve = False
        state.prior_state = ca_state
        if state.conserve:
            cwnd = max(cwnd, pipe(tcb) + sample.newly)
        else:
            target = _target(tcb, state, state.cwnd_gain)
            if state.full_reached:
                aggregated = state.bandwidth.value * _EXTRA_TIME // SECOND
                target += min(aggregated, max(state.extra))
                cwnd = min(cwnd + sample.newly, target)
            elif cwnd < target or tcb.delivered < base.initial_window(mss):
                cwnd += sample.newly
            cwnd = max(cwnd, MIN_SEGMENTS * mss)
    if state.mode == PROBE_RTT:
        cwnd = min(cwnd, MIN_SEGMENTS * mss)
    tcb.cwnd = cwnd


BBR: Final = Bbr()
