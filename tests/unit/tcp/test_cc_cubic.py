"""CUBIC: RFC 9438."""

from itertools import pairwise

import pytest

from tests.unit.tcp.connection import MSS, ack, connection, flight, send
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp.cc import base
from vrouter.stack.l4.tcp.cc.cubic import cube_root, window
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, INFINITE_SSTHRESH, MS, SECOND


def reduced(cwnd=100, rtt=100 * MS, now=0):
    """A connection that has just come out of a recovery that began at `cwnd` segments."""
    tcb = connection("cubic", cwnd, rtt)
    tcb.prior_cwnd, tcb.prior_ssthresh = tcb.cwnd, tcb.ssthresh
    tcb.cwnd = tcb.ssthresh = tcb.cc.ssthresh(tcb)
    return tcb


@pytest.mark.parametrize(
    ("number", "root"),
    [(0, 0), (1, 1), (7, 1), (8, 2), (26, 2), (27, 3), (63, 3), (64, 4), (10**27 - 1, 10**9 - 1), (10**27, 10**9)],
)
def test_cube_root(number, root):
    """RFC 9438 4.2: K is a cube root; here an exact one."""
    assert cube_root(number) == root


def test_the_decrease():
    """RFC 9438 4.6: beta is 0.7, and two segments are the least."""
    tcb = connection("cubic", 100)
    assert tcb.cc.ssthresh(tcb) == 70 * MSS
    tcb = connection("cubic", 2)
    assert tcb.cc.ssthresh(tcb) == 2 * MSS


def test_fast_convergence():
    """RFC 9438 4.7: a flow that loses below its last maximum leaves room: W_max = cwnd (1 + beta) / 2."""
    tcb = connection("cubic", 100)
    tcb.cc.ssthresh(tcb)
    assert (tcb.cc_state.w_max, tcb.cc_state.prior) == (100 * MSS, 100 * MSS)
    tcb.cwnd = 80 * MSS
    tcb.cc.ssthresh(tcb)
    assert (tcb.cc_state.w_max, tcb.cc_state.prior) == (68 * MSS, 80 * MSS)
    tcb.cwnd = 90 * MSS
    tcb.cc.ssthresh(tcb)
    assert tcb.cc_state.w_max == 90 * MSS


def test_the_curve():
    """RFC 9438 4.2 equations 1 and 2: C = 0.4, K = cbrt(30 / 0.4) = 4.217163326 s, W(K) = W_max."""
    tcb = reduced()
    ack(tcb, MSS, 0)
    state = tcb.cc_state
    assert (state.epoch, state.origin, state.k) == (0, 100 * MSS, 4_217_163_326)
    assert window(state, 0, MSS) == 70 * MSS
    assert window(state, state.k, MSS) == 100 * MSS
    assert window(state, state.k + SECOND, MSS) == 100 * MSS + 400
    assert window(state, state.k - SECOND, MSS) == 100 * MSS - 400
    assert window(state, state.k + 10 * SECOND, MSS) == 500 * MSS


def test_the_window_follows_the_curve():
    """RFC 9438 4.4, 4.5: (target - cwnd) / cwnd for each byte: 1 - 1/e of the way to W(t + RTT) in an RTT."""
    tcb = reduced(cwnd=1000)
    flight(tcb, 0)
    for turn in range(1, 150):
        now = turn * 100 * MS
        before, curve = tcb.cwnd, window(tcb.cc_state, now + 100 * MS, MSS)
        flight(tcb, now)
        assert tcb.cwnd - before == pytest.approx((curve - before) * 0.632, rel=0.02, abs=10)
    assert tcb.cwnd > 1000 * MSS


def test_the_target_is_at_most_half_a_window_more():
    """RFC 9438 4.2: target is within [cwnd, 1.5 cwnd], after however long a silence of acknowledgements."""
    tcb = reduced(cwnd=20, rtt=10 * SECOND)
    ack(tcb, MSS, 0)
    before = tcb.cwnd
    tcb.cc_state.w_est = 0
    ack(tcb, before, 100 * SECOND)
    assert tcb.cwnd == before + before // 2


def test_the_window_never_shrinks_on_an_acknowledgement():
    """RFC 9438 4.2: a target below cwnd is cwnd."""
    tcb = reduced()
    ack(tcb, MSS, 0)
    tcb.cc_state.w_est = 0
    tcb.cwnd = 150 * MSS
    ack(tcb, MSS, MS)
    assert tcb.cwnd == 150 * MSS


def test_reno_friendly_region():
    """RFC 9438 4.3: with short round trips the window is W_est, 9/17 of a segment more for each window."""
    tcb = reduced(rtt=MS)
    now = 0
    for turn in range(17):
        now = turn * MS
        flight(tcb, now)
    # 17 windows of acknowledgements, each 9/17 of a segment, less what the growing window divides off
    assert tcb.cwnd == tcb.cc_state.w_est
    assert 78 * MSS < tcb.cwnd < 79 * MSS


def test_alpha_is_one_from_the_former_window_on():
    """RFC 9438 4.3: once W_est has reached cwnd_prior, it grows as Reno's."""
    tcb = reduced(cwnd=20, rtt=MS)
    ack(tcb, MSS, 0)
    state = tcb.cc_state
    tcb.cwnd = state.w_est = 20 * MSS - 1
    state.est_credit = 0
    ack(tcb, 20 * MSS - 1, MS)
    assert state.w_est == 20 * MSS - 1 + MSS * 9 // 17
    before = tcb.cwnd = state.w_est
    state.est_credit = 0
    ack(tcb, before, 2 * MS)
    assert state.w_est == before + MSS


def test_superframes_grow_it_as_segments_do():
    """RFC 9438 4.3, 4.4 in bytes: one acknowledgement of 64 KiB or 65 of a segment come to the same."""
    one, many = reduced(cwnd=1000), reduced(cwnd=1000)
    for turn in range(100):
        flight(one, turn * 100 * MS, pieces=max(1, one.cwnd // 65_000))
        flight(many, turn * 100 * MS)
    assert one.cwnd == pytest.approx(many.cwnd, rel=0.005)


def test_nothing_drifts():
    """Remainders are carried along: a thousand acknowledgements of a byte are as good as one of a thousand bytes."""
    tcb, twin = reduced(cwnd=1000), reduced(cwnd=1000)
    for each in (tcb, twin):
        ack(each, 0, 0)
    ack(tcb, 100_000, SECOND)
    for _ in range(100_000):
        ack(twin, 1, SECOND)
    assert 0 <= tcb.cwnd - twin.cwnd < 60  # compound growth by the lower (target - cwnd), not rounding


def test_idle_time_is_no_time():
    """RFC 9438 5.8: the clock of the curve stands still while nothing is sent."""
    tcb = reduced()
    ack(tcb, MSS, 0)
    tcb.last_sent_at = SECOND
    ack(tcb, MSS, SECOND)
    tcb.cc.on_event(tcb, base.TX_START, 61 * SECOND)
    ack(tcb, MSS, 61 * SECOND)
    assert tcb.cc_state.epoch == 60 * SECOND


def test_time_in_which_the_window_is_not_used_is_no_time():
    """RFC 9438 4.2, 5.8: t leaves out periods in which the window was not updated for lack of data."""
    tcb = reduced()
    ack(tcb, MSS, 0)
    tcb.cwnd_limited = False
    for second in range(1, 50):
        ack(tcb, MSS, second * SECOND)
    tcb.cwnd_limited = True
    ack(tcb, MSS, 51 * SECOND)
    assert tcb.cc_state.epoch == 50 * SECOND


def test_after_a_timeout():
    """RFC 9438 4.8: ssthresh by beta; the next stage has K = 0 and W_max = W_est = cwnd where slow start ends."""
    tcb = connection("cubic", 100)
    tcb.ssthresh = tcb.cc.ssthresh(tcb)
    tcb.cc.on_event(tcb, base.LOSS, 0)
    tcb.cc.set_state(tcb, CA_LOSS, 0)
    tcb.ca_state = CA_LOSS
    assert tcb.ssthresh == 70 * MSS
    tcb.cwnd = 69 * MSS
    tcb.ca_state = CA_OPEN
    ack(tcb, 2 * MSS, SECOND)
    state = tcb.cc_state
    assert (state.epoch, state.k, state.origin) == (SECOND, 0, 70 * MSS)
    assert tcb.cwnd >= 70 * MSS


def test_a_reduction_for_nothing_is_undone_whole():
    """RFC 9438 4.9: cwnd, W_max, K, epoch and W_est are those of before."""
    tcb = reduced()
    for turn in range(20):
        flight(tcb, turn * 100 * MS)
    state = tcb.cc_state
    names = ("w_max", "prior", "epoch", "k", "origin", "w_est", "credit", "est_credit")
    before = [getattr(state, name) for name in names]
    cwnd = tcb.prior_cwnd = tcb.cwnd
    tcb.ssthresh = tcb.cc.ssthresh(tcb)
    tcb.cc.set_state(tcb, CA_LOSS, 2 * SECOND)
    tcb.cwnd = MSS
    assert [getattr(state, name) for name in names] != before
    assert tcb.cc.undo(tcb) == cwnd
    assert [getattr(state, name) for name in names] == before


def test_undo_is_done_once():
    """RFC 9438 4.9: the state of before a reduction serves that reduction alone."""
    tcb = reduced()
    assert tcb.cc.undo(tcb) == 100 * MSS
    assert tcb.cc_state.saved is None
    tcb.cc_state.w_max = 5
    tcb.cc.undo(tcb)
    assert tcb.cc_state.w_max == 5


# HyStart++ ------------------------------------------------------------------------------------------------------------


def climb(tcb, delays, pieces=None):
    """A round for each of `delays` (ms), of whole windows; the windows after each."""
    windows, now = [], 0
    for delay in delays:
        now += delay * MS
        flight(tcb, now, pieces, rtt=delay * MS)
        windows.append(tcb.cwnd // MSS)
    return windows


def test_a_steady_delay_is_slow_start():
    """RFC 9406 4.2: without a rise of the delay each round doubles the window."""
    tcb = connection("cubic")
    assert climb(tcb, [50] * 5) == [20, 40, 80, 160, 320]
    assert tcb.ssthresh == INFINITE_SSTHRESH


def test_a_rise_slows_it_down_then_ends_it():
    """RFC 9406 4.2, 4.3: a rise by an eighth makes it four times as slow; five such rounds end it."""
    tcb = connection("cubic")
    windows = climb(tcb, [80, 80, 95, 95, 95, 95, 95, 95])
    assert windows[:2] == [20, 40]
    # the eighth sample of the round tells: 7 segments doubled, 33 counted as a quarter
    assert windows[2] == 40 + 7 + 33 // 4
    growth = [new / old for old, new in pairwise(windows[2:])]
    assert growth[:4] == pytest.approx([1.25] * 4, rel=0.01)
    assert tcb.ssthresh < INFINITE_SSTHRESH
    assert tcb.ssthresh == tcb.cc_state.prior
    assert growth[4] < 1.05
    assert tcb.ns.stats[Stat.TcpHystartDelayDetect] == 1


def test_a_rise_that_goes_back_was_noise():
    """RFC 9406 4.2: a delay below that at which conservative slow start began resumes slow start."""
    tcb = connection("cubic")
    climb(tcb, [80, 80, 95, 95])
    assert tcb.cc_state.hystart.css_rounds == 1
    before = tcb.cwnd
    climb(tcb, [80])
    assert tcb.cwnd > before * 1.9
    assert tcb.ssthresh == INFINITE_SSTHRESH


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(10, 13, False), (10, 14, True), (80, 89, False), (80, 90, True), (400, 415, False), (400, 416, True)],
)
def test_the_threshold(low, high, found):
    """RFC 9406 4.2, 4.3: an eighth of the round before, at least 4 ms and at most 16."""
    tcb = connection("cubic")
    climb(tcb, [low, low, high])
    assert (tcb.cwnd < 80 * MSS) == found


def test_too_few_samples_tell_nothing():
    """RFC 9406 4.2: eight samples a round at least."""
    tcb = connection("cubic", cwnd=2)
    assert climb(tcb, [80, 200]) == [4, 8]


def test_a_superframe_counts_for_what_is_in_it():
    """Few acknowledgements of many segments decide as many of few do: here two for each round."""
    tcb = connection("cubic", cwnd=40)
    windows = climb(tcb, [80, 80, 95, 95], pieces=2)
    assert windows[:2] == [80, 160]
    assert windows[2] == 160 + 160 // 4
    assert windows[3] == pytest.approx(250, abs=1)


def test_losses_end_it():
    """RFC 9406 4.2: a loss sets ssthresh, and slow start after that is the plain one (4.3)."""
    tcb = connection("cubic")
    tcb.ssthresh = 30 * MSS
    assert climb(tcb, [80, 200, 300])[:1] == [20]
    assert tcb.ns.stats[Stat.TcpHystartDelayDetect] == 0


def test_a_partial_window_is_a_round_of_its_own():
    """RFC 9406 4.2: a round ends when what had been sent at its beginning is acknowledged, whatever was sent since."""
    tcb = connection("cubic")
    send(tcb, 10 * MSS)
    for _ in range(5):
        ack(tcb, MSS, 0, rtt=50 * MS)
    state = tcb.cc_state.hystart
    end = state.round_end
    assert (state.samples, state.last_min > SECOND) == (5, True)
    send(tcb, 10 * MSS)
    for _ in range(5):
        ack(tcb, MSS, 0, rtt=60 * MS)
    assert (state.last_min > SECOND, state.round_min, state.round_end) == (True, 50 * MS, end)
    ack(tcb, MSS, 0, rtt=60 * MS)
    assert (state.last_min, state.round_min, state.round_end) == (50 * MS, 60 * MS, end + 10 * MSS)
