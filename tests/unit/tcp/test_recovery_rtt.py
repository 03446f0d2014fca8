"""The round-trip time and the retransmission timeout."""

import pytest

from tests.unit.tcp.sender import Sender
from vrouter.stack.l4.tcp import rtt
from vrouter.stack.l4.tcp.tcb import MS, REXMIT_RTO, SECOND


def test_the_first_sample_makes_srtt_and_rttvar():
    """RFC 6298 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR."""
    tcb = Sender(rtt=0).tcb
    rtt.measured(tcb, 400 * MS, 0)
    assert (tcb.srtt, tcb.mdev, tcb.rto) == (400 * MS, 200 * MS, 1200 * MS)


def test_later_samples_move_them_by_an_eighth_and_a_quarter():
    """RFC 6298 2.3: RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R'|, SRTT = 7/8 SRTT + 1/8 R'."""
    tcb = Sender(rtt=0).tcb
    rtt.measured(tcb, 400 * MS, 0)
    rtt.measured(tcb, 800 * MS, 0)
    assert tcb.srtt == 450 * MS
    assert tcb.mdev == 250 * MS
    assert tcb.rto == 450 * MS + 1000 * MS


def test_a_quicker_path_is_hardly_a_variation():
    """What Linux adds to RFC 6298 2.3: a sample far below SRTT moves RTTVAR by an eighth of what it would."""
    tcb = Sender(rtt=0).tcb
    rtt.measured(tcb, 400 * MS, 0)
    rtt.measured(tcb, 80 * MS, 0)
    assert tcb.srtt == 360 * MS
    assert tcb.mdev == 200 * MS + (320 - 200) * MS // 8 // 4


def test_the_variation_is_at_least_the_namespace_minimum():
    """RFC 6298 2.4, with 200 ms instead of a second: a steady path has SRTT + rto_min."""
    tcb = Sender(rtt=0).tcb
    for _ in range(100):
        rtt.measured(tcb, 10 * MS, 0)
        tcb.snd_una = tcb.snd_nxt = tcb.snd_una + 1
    assert tcb.rto == 210 * MS
    tcb = Sender(rtt=0, rto_min=50 * MS).tcb
    for _ in range(100):
        rtt.measured(tcb, 10 * MS, 0)
        tcb.snd_una = tcb.snd_nxt = tcb.snd_una + 1
    assert tcb.rto == 60 * MS


def test_the_timeout_has_an_upper_bound():
    """RFC 6298 2.5: a maximum of 60 s or more; ``tcp_rto_max`` here."""
    tcb = Sender(rtt=0, rto_max=2 * SECOND).tcb
    rtt.measured(tcb, 1500 * MS, 0)
    assert tcb.rto == 2 * SECOND


def test_the_variation_decays_once_for_each_window():
    """The largest deviation of a window counts until the window is over, then a quarter of the difference goes."""
    tcb = Sender(rtt=0).tcb
    rtt.measured(tcb, 400 * MS, 0)
    assert tcb.rttvar == 800 * MS
    tcb.mdev = 100 * MS
    tcb.snd_una = tcb.snd_nxt = tcb.snd_nxt + 1000
    rtt.measured(tcb, 400 * MS, 0)  # ends the first window, whose largest was 800
    assert (tcb.rttvar, tcb.mdev_max) == (800 * MS, 200 * MS)
    tcb.snd_una = tcb.snd_nxt = tcb.snd_nxt + 1000
    rtt.measured(tcb, 400 * MS, 0)
    largest = 4 * (75 * MS * 3 // 4)
    assert tcb.rttvar == 800 * MS - (800 * MS - max(largest, 200 * MS)) // 4


def test_what_was_sent_twice_is_not_measured():
    """RFC 6298 3 (Karn): no sample from a segment that was retransmitted."""
    s = Sender()
    s.send(1)
    s.at(5 * SECOND)
    before = (s.tcb.srtt, s.tcb.rttvar)
    s.ack(1)
    assert (s.tcb.srtt, s.tcb.rttvar) == before
    assert s.tcb.snd_una == s.tcb.snd_nxt


def test_a_timestamp_measures_what_was_sent_twice():
    """RFC 7323 4.1: with timestamps a retransmission may be measured, by the clock's ticks."""
    s = Sender(timestamps=True)
    s.send(1)
    s.at(5 * SECOND)
    s.ack(1, echo=s.now - 900 * MS)
    assert s.tcb.srtt == 100 * MS + (900 - 100) * MS // 8


def test_the_back_off_lasts_until_a_sample():
    """RFC 6298 5.5, 5.7: the timeout doubles each time, and stays so until something new is measured."""
    s = Sender()
    s.send(1)
    s.at(202 * MS + 98 * MS)  # a tail loss probe at 300 ms, the RTO counts from it
    assert s.tcb.rto == 300 * MS
    waits = []
    for _ in range(4):
        waits.append(s.tcb.rexmit_at - s.now)
        s.at(waits[-1])
    assert waits == [300 * MS, 600 * MS, 1200 * MS, 2400 * MS]
    s.ack(1)
    assert s.tcb.rto == 4800 * MS
    s.send(1)
    s.at(100 * MS)
    s.ack(2)
    assert s.tcb.rto < 400 * MS


def test_the_timer_counts_from_the_last_acknowledgement():
    """RFC 6298 5.2, 5.3: off when all is acknowledged, anew when an ACK acknowledges new data."""
    s = Sender(early_retrans=0)
    s.send(2, superframe=False)
    assert (s.tcb.rexmit_kind, s.tcb.rexmit_at) == (REXMIT_RTO, s.now + 300 * MS)
    s.at(150 * MS)
    s.ack(1)
    assert (s.tcb.rexmit_kind, s.tcb.rexmit_at) == (REXMIT_RTO, s.now + s.tcb.rto)
    s.ack(2)
    assert s.tcb.rexmit_kind == 0


def test_the_minimum_forgets_after_its_window():
    """RFC 8985 6.2 step 4 wants the minimum of recent RTTs: of ``tcp_min_rtt_wlen``, best of three candidates."""
    known = rtt.WindowedMin(50, 0)
    known.update(80, 40, 100)
    known.update(70, 60, 100)
    assert known.value == 50
    known.update(90, 110, 100)
    assert known.value == 70
    known.update(60, 120, 100)
    assert known.value == 60
    known.update(200, 400, 100)
    assert known.value == 200


@pytest.mark.parametrize(("delayed", "expected"), [(True, 20), (False, 20)])
def test_a_delayed_ack_cannot_raise_the_minimum(delayed, expected):
    """An ACK that may have waited for a timer says nothing about the path, unless it is quicker than all others."""
    tcb = Sender(rtt=0, min_rtt_wlen=1).tcb
    rtt.observe_min(tcb, 30, False, 0)
    rtt.observe_min(tcb, 20, delayed, 1)
    assert rtt.minimum(tcb) == expected
    rtt.observe_min(tcb, 90, True, 100)
    assert rtt.minimum(tcb) == 20
    rtt.observe_min(tcb, 90, False, 100)
    assert rtt.minimum(tcb) == 90


def test_news_that_come_late_are_no_round_trip():
    """RFC 7323 4.1: blocks whose first ACKs were lost tell of long ago; the echo tells what was answered."""
    s = Sender(timestamps=True, early_retrans=0)
    s.send(1)
    s.send(1)
    s.at(5 * SECOND)
    before = s.tcb.srtt
    s.at(40 * MS)
    s.ack(1, (1, 2), echo=s.now - 40 * MS)
    assert s.tcb.srtt < before
    assert s.tcb.rto < SECOND
