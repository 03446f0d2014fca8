"""Samples of the delivery rate (draft-cheng-iccrg-delivery-rate-estimation)."""

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp import rate
from vrouter.stack.l4.tcp.tcb import MS


def test_a_flight_is_measured_by_its_acks():
    """Section 3.2: data delivered since the segment was sent, over the longer one of both spans."""
    s = Sender()
    s.send(10)
    s.at(100 * MS)
    s.ack(5)
    sample = s.tcb.sent.sample
    assert (sample.delivered, sample.interval, sample.is_app_limited) == (5 * MSS, 100 * MS, False)
    s.send(5)
    s.at(10 * MS)
    s.ack(10)
    assert (sample.delivered, sample.interval) == (10 * MSS, 110 * MS)
    assert (sample.newly, sample.acked) == (5 * MSS, 5 * MSS)
    assert (s.tcb.rate_delivered, s.tcb.rate_interval) == (10 * MSS, 110 * MS)


def test_slow_sending_counts_when_it_took_longer():
    """Section 2.2.2: ACKs that come bunched must not make a rate that was never sent."""
    s = Sender()
    s.send(1)
    s.at(80 * MS)
    s.send(1)
    s.at(100 * MS)
    s.ack(1)
    s.ack(2)
    sample = s.tcb.sent.sample
    assert sample.snd_interval == 80 * MS
    assert sample.interval == 180 * MS
    assert sample.delivered == 2 * MSS


def test_what_comes_sooner_than_the_least_rtt_makes_no_rate():
    """Section 3.3: an interval below MinRTT is an artefact."""
    s = Sender()
    sample = s.tcb.sent.sample
    for least, expected in ((101 * MS, -1), (100 * MS, 100 * MS)):
        rate.begin(sample, 0, 0)
        sample.prior_at = s.now - 100 * MS
        sample.snd_interval = 0
        rate.generate(s.tcb, sample, least, False, s.now)
        assert sample.interval == expected


def test_an_idle_program_limits_the_samples_that_follow():
    """Section 3.4: what is sent after the program ran dry carries the mark until all of it has arrived."""
    s = Sender()
    s.send(2)
    rate.check_app_limited(s.tcb)
    assert s.tcb.app_limited == s.tcb.delivered + 2 * MSS
    s.send(1)
    s.at(100 * MS)
    s.ack(3)
    assert s.tcb.sent.sample.is_app_limited
    assert s.tcb.app_limited == 0
    s.send(1)
    s.at(100 * MS)
    s.ack(4)
    assert not s.tcb.sent.sample.is_app_limited


def test_a_full_window_is_not_limited_by_the_program():
    """Section 3.4: only when less than a segment waits, the window is not used up, and nothing lost waits."""
    s = Sender(cwnd=3)
    s.write(3)
    rate.check_app_limited(s.tcb)
    assert s.tcb.app_limited == 0
    s = Sender(cwnd=10)
    s.tcb.write_seq += MSS
    rate.check_app_limited(s.tcb)
    assert s.tcb.app_limited == 0


def test_a_limited_sample_counts_only_when_it_is_higher():
    """Section 3.4: a limited rate below the known one says nothing about the path."""
    s = Sender()
    s.send(10)
    s.at(100 * MS)
    s.ack(10)
    assert s.tcb.rate_delivered == 10 * MSS
    rate.check_app_limited(s.tcb)
    s.send(1)
    s.at(100 * MS)
    s.ack(11)
    assert s.tcb.rate_delivered == 10 * MSS
    assert not s.tcb.rate_app_limited


def test_sacked_bytes_are_delivered_once():
    """Section 3.3: delivered when they are SACKed, not again when they are acknowledged."""
    s = Sender()
    before = s.tcb.delivered
    s.send(10)
    s.at(100 * MS)
    s.ack(0, (4, 6))
    assert s.tcb.delivered - before == 2 * MSS
    assert s.tcb.sent.sample.sacked_newly == 2 * MSS
    s.ack(0, (4, 7))
    assert s.tcb.sent.sample.newly == MSS
    s.ack(10)
    assert s.tcb.delivered - before == 10 * MSS
    assert s.tcb.sent.sample.newly == 7 * MSS


def test_losses_are_told_with_the_ack_that_shows_them():
    """What congestion control reads as ``lost``: bytes marked because of this ACK."""
    s = Sender()
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (2, 5))
    assert s.tcb.sent.sample.lost == 2 * MSS
    assert s.tcb.lost == 2 * MSS
    s.ack(0, (2, 6))
    assert s.tcb.sent.sample.lost == 0


def test_one_small_segment_alone_may_have_waited():
    """Its ACK may come from the receiver's timer: congestion control is told not to trust the RTT."""
    s = Sender()
    s.send(0.5)
    s.at(140 * MS)
    s.ack(0.5)
    assert s.tcb.sent.sample.is_ack_delayed
    s.send(2)
    s.at(100 * MS)
    s.ack(2.5)
    assert not s.tcb.sent.sample.is_ack_delayed
