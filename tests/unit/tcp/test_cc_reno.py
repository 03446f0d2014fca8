"""The interface of congestion control, and NewReno."""

import pytest

from tests.unit.tcp.connection import MSS, ack, connection, flight, send
from vrouter.stack.l4.tcp.cc import BY_NAME, base
from vrouter.stack.l4.tcp.tcb import CA_CWR, CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY, MS, SECOND


def test_the_names():
    """The names of net.ipv4.tcp_congestion_control and TCP_CONGESTION."""
    assert {name: cc.name for name, cc in BY_NAME.items()} == {"cubic": "cubic", "reno": "reno", "bbr": "bbr"}
    assert [name for name, cc in BY_NAME.items() if cc.needs_pacing or cc.controls_cwnd] == ["bbr"]


@pytest.mark.parametrize(
    ("mss", "window"), [(536, 5360), (1000, 10000), (1460, 14600), (1461, 14600), (8948, 17896), (65483, 130966)]
)
def test_initial_window(mss, window):
    """RFC 6928 2: min(10 MSS, max(2 MSS, 14600))."""
    assert base.initial_window(mss) == window


@pytest.mark.parametrize("name", BY_NAME)
def test_begin_leaves_a_window_that_is_set(name):
    """RFC 6928 2 is for connections that know nothing better."""
    assert connection(name, cwnd=0).cwnd == 10 * MSS
    assert connection(name, cwnd=4).cwnd == 4 * MSS


def test_slow_start_doubles():
    """RFC 5681 3.1: a segment more for each one acknowledged, so twice the window each round trip."""
    tcb = connection("reno")
    flight(tcb, 0)
    assert tcb.cwnd == 20 * MSS
    flight(tcb, 0, pieces=2)
    assert tcb.cwnd == 40 * MSS


def test_slow_start_ends_at_ssthresh():
    """RFC 5681 3.1: what is left of an acknowledgement beyond ssthresh counts for congestion avoidance."""
    tcb = connection("reno")
    tcb.ssthresh = 14_500
    ack(tcb, 10 * MSS, 0)
    assert (tcb.cwnd, tcb.cc_state.credit) == (14_500, 5500)


def test_congestion_avoidance_grows_by_a_segment_for_a_window():
    """RFC 5681 3.1: byte counting, one full segment for each window of acknowledged bytes, however they come."""
    for pieces in (1, 3, 20):
        tcb = connection("reno", cwnd=20)
        tcb.ssthresh = 20 * MSS
        for expected in (21, 22, 23):
            flight(tcb, 0, pieces=pieces)
            assert tcb.cwnd == expected * MSS


def test_halving():
    """RFC 5681 3.1 equation 4: half, but two segments at least."""
    assert BY_NAME["reno"].ssthresh(connection("reno", cwnd=11)) == 5500
    assert BY_NAME["reno"].ssthresh(connection("reno", cwnd=3)) == 2 * MSS


@pytest.mark.parametrize("name", ["reno", "cubic"])
@pytest.mark.parametrize(
    ("state", "grows"), [(CA_OPEN, 1), (CA_DISORDER, 1), (CA_CWR, 0), (CA_RECOVERY, 0), (CA_LOSS, 1)]
)
def test_who_rules_in_which_state(name, state, grows):
    """RFC 9937: in recovery and CWR PRR rules; after a timeout it is slow start (RFC 5681 3.1)."""
    tcb = connection(name)
    tcb.ca_state = state
    flight(tcb, 0)
    assert tcb.cwnd == (20 if grows else 10) * MSS


@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_a_window_that_is_not_used_does_not_grow(name):
    """RFC 7661 4.4: a sender that is not cwnd-limited does not grow its window, in avoidance and in slow start."""
    tcb = connection(name, cwnd=20)
    tcb.cwnd_limited = False
    tcb.cwnd_used = 10 * MSS
    flight(tcb, 0)
    assert tcb.cwnd == 20 * MSS
    tcb.ssthresh = 10 * MSS
    flight(tcb, SECOND)
    assert tcb.cwnd == 20 * MSS


@pytest.mark.parametrize("name", ["reno", "cubic"])
def test_slow_start_grows_to_twice_what_was_used(name):
    """RFC 7661 4.3's note: slow start may double what was in flight, so half of the window in use is use enough."""
    tcb = connection(name, cwnd=20)
    tcb.cwnd_limited = False
    tcb.cwnd_used = 10 * MSS + 1
    ack(tcb, MSS, 0)
    assert tcb.cwnd == 20 * MSS + MSS


@pytest.mark.parametrize("name", BY_NAME)
def test_undo_is_the_window_of_before(name):
    """RFC 5682 3.2, RFC 8985: the reduction was for nothing."""
    tcb = connection(name, cwnd=30)
    tcb.prior_cwnd = tcb.cwnd
    tcb.cc.ssthresh(tcb)
    tcb.cwnd = 3 * MSS
    assert tcb.cc.undo(tcb) == 30 * MSS
    tcb.cwnd = 40 * MSS
    assert tcb.cc.undo(tcb) == 40 * MSS


def test_a_timeout_forgets_the_credit():
    """RFC 5681 3.1: after a timeout counting begins anew."""
    tcb = connection("reno")
    tcb.ssthresh = 5 * MSS
    ack(tcb, 9 * MSS, 0)
    tcb.cc.on_event(tcb, base.LOSS, 0)
    ack(tcb, 2 * MSS, 0)
    assert tcb.cwnd == 10 * MSS


# Pacing ---------------------------------------------------------------------------------------------------------------


def test_pacing_rates():
    """net.ipv4.tcp_pacing_ss_ratio and _ca_ratio: 200 % of a window for each round trip in slow start, then 120 %."""
    tcb = connection("reno", rtt=50 * MS)
    assert tcb.cc.pacing_rate(tcb) == 10 * MSS * 20 * 2
    tcb.ssthresh = 20 * MSS
    assert tcb.cc.pacing_rate(tcb) == 10 * MSS * 20 * 12 // 10
    send(tcb, 15 * MSS)
    assert tcb.cc.pacing_rate(tcb) == 15 * MSS * 20 * 12 // 10
    tcb.srtt = 0
    assert tcb.cc.pacing_rate(tcb) == 0


def test_nobody_is_paced_who_does_not_want_it():
    """The rate of a connection is 0 (not paced) unless SO_MAX_PACING_RATE or the algorithm asks for pacing."""
    tcb = connection("reno", rtt=50 * MS)
    ack(tcb, MSS, 0)
    assert tcb.pacing_rate == 0
    tcb.pacing_max = 100_000
    ack(tcb, MSS, 0)
    assert tcb.pacing_rate == 100_000
    tcb.pacing_max = 10_000_000
    ack(tcb, MSS, 0)
    assert tcb.pacing_rate == 13 * MSS * 20 * 2
