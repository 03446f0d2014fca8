"""Proportional rate reduction, and the states whose window it leads."""

from types import SimpleNamespace

import pytest

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp import prr, reduction
from vrouter.stack.l4.tcp.tcb import CA_CWR, CA_OPEN, CA_RECOVERY, ECN_OK, ECN_QUEUE_CWR, MS


def test_above_the_threshold_sending_is_in_proportion():
    """RFC 9937 6: sndcnt = CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out; in segments."""
    tcb = Sender(cwnd=20).tcb
    tcb.sent.sacked = 0
    tcb.snd_nxt = tcb.snd_una + 20 * MSS
    tcb.ssthresh = 14 * MSS
    prr.begin(tcb, 0)
    assert tcb.prr.flight == 20 * MSS
    in_flight = 19 * MSS
    allowed = []
    for _ in range(4):
        prr.delivered(tcb, MSS, 0, False, in_flight)
        allowed.append(tcb.cwnd - in_flight)
    # 0.7 of what was delivered, in whole segments.
    assert allowed == [1000, 2000, 3000, 3000]
    tcb.prr.out = 2000
    prr.delivered(tcb, MSS, 0, False, in_flight)
    assert tcb.cwnd - in_flight == 4000 - 2000


@pytest.mark.parametrize(("advanced", "lost", "expected"), [(True, 0, 2000), (False, 0, 1000), (True, 1000, 1000)])
def test_below_the_threshold_a_segment_more_for_a_safe_ack(advanced, lost, expected):
    """RFC 9937 6: SafeACK is progress without a further sign of loss; else the conservative bound holds."""
    tcb = Sender(cwnd=20).tcb
    tcb.snd_nxt = tcb.snd_una + 20 * MSS
    tcb.ssthresh = 10 * MSS
    prr.begin(tcb, 0)
    tcb.prr.out = 5000
    tcb.prr.delivered = 4000
    prr.delivered(tcb, MSS, lost, advanced, 6 * MSS)
    assert tcb.cwnd == 6 * MSS + expected


def test_below_the_threshold_it_catches_up_but_not_beyond():
    """RFC 9937 6: MIN(ssthresh - inflight, MAX(prr_delivered - prr_out, DeliveredData))."""
    tcb = Sender(cwnd=20).tcb
    tcb.snd_nxt = tcb.snd_una + 20 * MSS
    tcb.ssthresh = 10 * MSS
    prr.begin(tcb, 0)
    tcb.prr.delivered = 8000
    tcb.prr.out = 1000
    prr.delivered(tcb, MSS, MSS, False, 3 * MSS)
    assert tcb.cwnd == 10 * MSS
    tcb.prr.delivered = 2000
    prr.delivered(tcb, MSS, MSS, False, 3 * MSS)
    assert tcb.cwnd == 5 * MSS


def test_the_first_retransmission_is_not_held_back():
    """RFC 9937 6: if prr_out is 0 and sndcnt is 0, a segment."""
    tcb = Sender(cwnd=20).tcb
    tcb.snd_nxt = tcb.snd_una + 20 * MSS
    tcb.ssthresh = MSS
    prr.begin(tcb, 0)
    prr.delivered(tcb, MSS, 0, False, 19 * MSS)
    assert tcb.cwnd == 20 * MSS


def test_nothing_delivered_changes_nothing():
    """RFC 9937 6: if DeliveredData is 0: return."""
    tcb = Sender(cwnd=20).tcb
    prr.begin(tcb, 0)
    prr.delivered(tcb, 0, 0, True, 5 * MSS)
    assert tcb.cwnd == 20 * MSS


@pytest.mark.parametrize("cc", ["reno", "cubic"])
def test_recovery_of_one_loss_ends_at_the_threshold(cc):
    """RFC 9937 4: one segment of a window lost: data leave throughout, and in flight at the end is ssthresh."""
    s = Sender(cwnd=20, cc=cc)
    s.write(60)
    s.at(100 * MS)
    s.log = []
    sent = []
    for got in range(2, 21):
        sent += s.ack(0, (1, got))
    assert s.tcb.ca_state == CA_RECOVERY
    threshold = s.tcb.ssthresh
    assert threshold == (10 * MSS if cc == "reno" else 14 * MSS)
    assert sent[:3] == [(20_000, 21_000, False), (21_000, 22_000, False), (0, 1000, True)]
    # 20 segments in flight when it began, of which one is lost, and 17 that were delivered since the threshold of
    # three; so much was sent for them that what is in flight now is at most ssthresh.
    assert threshold - MSS <= s.pipe * MSS <= threshold
    s.at(100 * MS)
    s.ack(s.tcb.snd_nxt // MSS - s.zero // MSS - 2)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.cwnd - threshold <= MSS


def test_an_echo_reduces_once_for_each_window():
    """RFC 3168 6.1.2: one reduction for the marks of a window of data; CWR tells the peer."""
    s = Sender(cwnd=10)
    s.tcb.ecn = ECN_OK
    s.write(10)
    s.at(100 * MS)
    s.ack(1, ece=True)
    assert s.tcb.ca_state == CA_CWR
    assert s.tcb.ssthresh == 5 * MSS
    assert s.tcb.ecn & ECN_QUEUE_CWR
    for got in range(2, 10):
        s.ack(got, ece=True)
    assert s.tcb.ssthresh == 5 * MSS
    s.write(10)
    s.at(100 * MS)
    s.ack(10, ece=True)
    assert s.tcb.ca_state == CA_CWR  # until something beyond is acknowledged
    s.ack(11)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.ssthresh == 5 * MSS
    assert s.cwnd < 6
    s.ack(12, ece=True)
    assert s.tcb.ca_state == CA_CWR
    assert s.tcb.ssthresh < 5 * MSS


def test_marks_that_nobody_agreed_on_are_ignored():
    """RFC 3168 6.1: without the negotiation ECE says nothing."""
    s = Sender(cwnd=10)
    s.write(10)
    s.at(100 * MS)
    s.ack(1, ece=True)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.delivered_ce == 0


def test_what_is_marked_is_counted():
    """RFC 3168, and what delivery-rate samples of congestion control want: bytes delivered by ACKs with ECE."""
    s = Sender(cwnd=10)
    s.tcb.ecn = ECN_OK
    s.write(10)
    s.at(100 * MS)
    s.ack(3, ece=True)
    assert s.tcb.delivered_ce == 3 * MSS
    assert s.counted() == {"TcpDeliveredCE": 3}


def test_local_trouble_reduces_without_a_loss():
    """A full queue of our own slows down as ECE does, nothing is undone afterwards."""
    s = Sender(cwnd=10)
    s.write(10)
    reduction.enter_cwr(s.tcb, s.now)
    assert (s.tcb.ca_state, s.tcb.ssthresh, s.tcb.undo_marker) == (CA_CWR, 5 * MSS, -1)
    reduction.enter_cwr(s.tcb, s.now)
    assert s.tcb.ssthresh == 5 * MSS


def test_control_that_rules_its_window_is_not_led():
    """An algorithm with a model of its own (BBR) sets the window in recovery, too."""
    s = Sender(cwnd=20)
    s.tcb.cc = SimpleNamespace(
        controls_cwnd=True,
        set_state=lambda *_: None,
        ssthresh=lambda tcb: 7 * MSS,
        on_event=lambda *_: None,
        on_ack=lambda tcb, sample, now: setattr(tcb, "cwnd", 33 * MSS),
    )
    s.write(20)
    s.at(100 * MS)
    s.ack(0, (1, 4))
    assert s.tcb.ca_state == CA_RECOVERY
    assert s.cwnd == 33
