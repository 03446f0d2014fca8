"""Congestion window validation (RFC 7661) and the restart after idle (RFC 5681 4.1)."""

from dataclasses import replace

import pytest

from tests.unit.tcp.connection import MSS, ack, connection, send
from vrouter.stack.l4.tcp.cc import base, validation
from vrouter.stack.l4.tcp.tcb import CA_RECOVERY, MS, SECOND

both = pytest.mark.parametrize("name", ["reno", "cubic"])


def configure(tcb, **settings):
    tcb.ns.conf = replace(tcb.ns.conf, tcp=replace(tcb.ns.conf.tcp, **settings))


def exchange(tcb, size, now, rtt=100 * MS):
    """`size` bytes leave at `now` and are acknowledged a round trip later."""
    validation.before_sending(tcb, now)
    send(tcb, size)
    tcb.last_sent_at = now
    validation.after_sending(tcb, size >= tcb.cwnd, now)
    ack(tcb, size, now + rtt)


# After idle -----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("idle", "segments"), [(300, 80), (301, 40), (600, 40), (601, 20), (900, 20), (901, 10), (2000, 10), (10**9, 10)]
)
def test_the_window_is_halved_for_each_timeout_of_idleness(name, idle, segments):
    """RFC 5681 4.1, as Linux: beyond one RTO of 300 ms, down to the restart window."""
    tcb = connection(name, cwnd=80)
    tcb.last_sent_at = SECOND
    validation.before_sending(tcb, SECOND + idle * MS)
    assert tcb.cwnd == segments * MSS


@both
def test_a_window_below_the_initial_one_stays(name):
    """RFC 5681 4.1: RW = min(IW, cwnd)."""
    tcb = connection(name, cwnd=4)
    tcb.last_sent_at = 0
    validation.before_sending(tcb, 60 * SECOND)
    assert tcb.cwnd == 4 * MSS


@both
def test_ssthresh_remembers(name):
    """RFC 7661 4.4.3: three quarters of the window stay the threshold, so that it is found again soon."""
    tcb = connection(name, cwnd=80)
    tcb.ssthresh = 20 * MSS
    tcb.last_sent_at = 0
    validation.before_sending(tcb, SECOND)
    assert tcb.ssthresh == 60 * MSS


@both
def test_switched_off_it_keeps_the_window(name):
    """net.ipv4.tcp_slow_start_after_idle = 0: RFC 7661 4.3 preserves it, for five minutes."""
    tcb = connection(name, cwnd=80)
    configure(tcb, slow_start_after_idle=False)
    tcb.last_sent_at = 0
    validation.before_sending(tcb, 299 * SECOND)
    assert tcb.cwnd == 80 * MSS
    validation.before_sending(tcb, 301 * SECOND)
    assert (tcb.cwnd, tcb.ssthresh >= 60 * MSS) == (40 * MSS, True)


def test_bbr_keeps_its_window():
    """As Linux: an algorithm that rules its window alone is not restarted."""
    tcb = connection("bbr", cwnd=80)
    tcb.last_sent_at = 0
    validation.before_sending(tcb, 60 * SECOND)
    assert tcb.cwnd == 80 * MSS


@both
def test_only_with_nothing_in_flight(name):
    """RFC 5681 4.1 is about idle connections."""
    tcb = connection(name, cwnd=80)
    tcb.last_sent_at = 0
    send(tcb, MSS)
    validation.before_sending(tcb, 60 * SECOND)
    assert tcb.cwnd == 80 * MSS


@both
def test_the_first_data_is_no_restart(name):
    """Nothing was sent before, so nothing has become old."""
    tcb = connection(name, cwnd=80)
    validation.before_sending(tcb, 60 * SECOND)
    assert tcb.cwnd == 80 * MSS


# Whether the window is in use -----------------------------------------------------------------------------------------


def test_a_full_window_counts_until_its_flight_ends():
    """RFC 7661 4.5.3: cwnd-limited once in a flight is limited for the flight."""
    tcb = connection("reno", cwnd=20)
    tcb.ssthresh = 10 * MSS
    send(tcb, 20 * MSS)
    validation.after_sending(tcb, True, 0)
    ack(tcb, 5 * MSS, 1)
    send(tcb, MSS)
    validation.after_sending(tcb, False, 1)
    assert validation.limited(tcb)
    ack(tcb, 15 * MSS, 2)
    send(tcb, MSS)
    validation.after_sending(tcb, False, 2)
    assert not validation.limited(tcb)


def test_the_most_that_was_outstanding_in_a_flight():
    """RFC 7661 4.3: of a flight that was not limited its largest extent counts."""
    tcb = connection("reno", cwnd=20)
    for size in (3, 4):
        send(tcb, size * MSS)
        validation.after_sending(tcb, False, 0)
    assert (tcb.cwnd_used, validation.limited(tcb)) == (7 * MSS, False)
    send(tcb, 4 * MSS)
    validation.after_sending(tcb, False, 0)
    assert (tcb.cwnd_used, validation.limited(tcb)) == (11 * MSS, True)


# pipeACK --------------------------------------------------------------------------------------------------------------


@both
def test_pipe_ack_is_undefined_at_first(name):
    """RFC 7661 4.2: without a measurement the connection is in the validated phase."""
    tcb = connection(name, cwnd=80)
    assert validation.pipe_ack(tcb, 0) == -1
    assert validation.validated(tcb, 0)


@both
def test_pipe_ack_is_the_most_of_the_last_second(name):
    """RFC 7661 4.2: the highest sample of a round trip within max(3 RTT, 1 s), at most."""
    tcb = connection(name, cwnd=80)
    seen = []
    for turn, size in enumerate([10, 40, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10]):
        exchange(tcb, size * MSS, turn * 100 * MS)
        tcb.cwnd = 80 * MSS
        seen.append(validation.pipe_ack(tcb, (turn + 1) * 100 * MS) // MSS)
    assert seen[:2] == [-1, 40]
    assert seen[5] == 40
    assert seen[-1] == 10
    assert set(seen) == {-1, 40, 10}


@both
def test_the_phases(name):
    """RFC 7661 4.3: validated while pipeACK is half of the window at least."""
    tcb = connection(name, cwnd=80)
    configure(tcb, slow_start_after_idle=False)
    for turn in range(3):
        exchange(tcb, 40 * MSS, turn * 100 * MS)
    assert validation.validated(tcb, 300 * MS)
    for turn in range(3, 20):
        exchange(tcb, 39 * MSS, turn * 100 * MS)
    assert not validation.validated(tcb, 2 * SECOND)
    assert tcb.cwnd == 80 * MSS


@both
def test_silence_is_no_use(name):
    """RFC 7661 4.5.1: a period without samples counts as zero."""
    tcb = connection(name, cwnd=20)
    for turn in range(3):
        exchange(tcb, 20 * MSS, turn * 100 * MS)
    assert validation.pipe_ack(tcb, 5 * SECOND) == 0


def non_validated(name, used=10):
    """A connection with a window of 80 segments of which `used` have been in use for two seconds; the time."""
    tcb = connection(name, cwnd=80)
    configure(tcb, slow_start_after_idle=False)
    tcb.ssthresh = 40 * MSS
    for turn in range(20):
        exchange(tcb, used * MSS, turn * 100 * MS)
    return tcb, 2 * SECOND


@pytest.mark.parametrize(("name", "up", "down"), [("reno", 1, 2), ("cubic", 7, 10)])
def test_the_answer_to_congestion_goes_by_what_was_in_use(name, up, down):
    """RFC 7661 4.4.1: max(pipeACK, LossFlightSize) is reduced, not the window; afterwards it pays for what was lost."""
    tcb, now = non_validated(name)
    send(tcb, 12 * MSS)
    tcb.ssthresh = tcb.cc.ssthresh(tcb)
    assert tcb.ssthresh == 12 * MSS * up // down
    tcb.ca_state = CA_RECOVERY
    tcb.lost += 2 * MSS
    ack(tcb, 12 * MSS, now)
    tcb.cwnd = tcb.ssthresh
    tcb.cc.on_event(tcb, base.COMPLETE_CWR, now)
    assert tcb.cwnd == 10 * MSS * up // down
    assert validation.pipe_ack(tcb, now) == -1


@pytest.mark.parametrize(("name", "up", "down"), [("reno", 1, 2), ("cubic", 7, 10)])
def test_a_window_that_is_full_at_the_loss_is_reduced_as_always(name, up, down):
    """RFC 7661 4.3: the phase is concluded when enough is sent, which a full window is."""
    tcb, now = non_validated(name)
    send(tcb, 80 * MSS)
    validation.after_sending(tcb, True, now)
    assert tcb.cc.ssthresh(tcb) == 80 * MSS * up // down
    tcb.cwnd = tcb.ssthresh = 80 * MSS * up // down
    tcb.lost += 20 * MSS
    tcb.cc.on_event(tcb, base.COMPLETE_CWR, now)
    assert tcb.cwnd == 80 * MSS * up // down


@both
def test_the_window_never_falls_below_a_segment(name):
    """RFC 7661 4.4.1: the calculated cwnd must not be reduced below 1 MSS."""
    tcb, now = non_validated(name, used=2)
    send(tcb, 2 * MSS)
    tcb.ssthresh = tcb.cc.ssthresh(tcb)
    tcb.lost += 9 * MSS
    tcb.cc.on_event(tcb, base.COMPLETE_CWR, now)
    assert (tcb.cwnd, tcb.ssthresh) == (MSS, 2 * MSS)


@both
def test_recovery_takes_no_samples(name):
    """RFC 7661 4.2: pipeACK must not be updated during fast recovery."""
    tcb, now = non_validated(name)
    tcb.ca_state = CA_RECOVERY
    exchange(tcb, 80 * MSS, now)
    assert validation.pipe_ack(tcb, now + 100 * MS) == 10 * MSS


@both
def test_after_five_minutes_the_window_is_halved(name):
    """RFC 7661 4.4.3: ssthresh = max(ssthresh, 3 cwnd / 4), cwnd = max(cwnd / 2, IW)."""
    tcb, now = non_validated(name)
    while now < 290 * SECOND:
        exchange(tcb, 10 * MSS, now)
        now += SECOND
    assert tcb.cwnd == 80 * MSS
    while now < 310 * SECOND:
        exchange(tcb, 10 * MSS, now)
        now += SECOND
    assert (tcb.cwnd, tcb.ssthresh) == (40 * MSS, 60 * MSS)


@both
def test_a_timeout_leaves_the_phase(name):
    """RFC 7661 4.4: after an RTO the standard methods rule."""
    tcb, now = non_validated(name)
    tcb.cc.ssthresh(tcb)
    tcb.cc.on_event(tcb, base.LOSS, now)
    assert validation.pipe_ack(tcb, now) == -1
