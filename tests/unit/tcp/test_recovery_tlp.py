"""Tail loss probes."""

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp import recovery
from vrouter.stack.l4.tcp.tcb import CA_OPEN, CA_RECOVERY, MS, REXMIT_RTO, REXMIT_TLP


def test_two_round_trips_without_news_send_the_last_segment_again():
    """RFC 8985 7.2, 7.3: PTO = 2 * SRTT; without new data the highest segment goes."""
    s = Sender()
    s.write(3)
    s.log = []
    assert (s.tcb.rexmit_kind, s.tcb.rexmit_at - s.now) == (REXMIT_TLP, 202 * MS)
    s.at(202 * MS)
    assert s.log == [(2000, 3000, True)]
    assert s.counted()["TcpLossProbes"] == 1
    assert (s.tcb.rexmit_kind, s.tcb.rexmit_at - s.now) == (REXMIT_RTO, 300 * MS)
    assert s.tcb.ca_state == CA_OPEN


def test_with_one_segment_outstanding_a_delayed_ack_is_allowed_for():
    """RFC 8985 7.2: PTO += TLP.max_ack_delay (200 ms as in Linux); the RTO is not put off by it."""
    s = Sender()
    s.tcb.rto = 1000 * MS
    s.write(1)
    assert s.tcb.rexmit_at - s.now == 400 * MS
    s = Sender()
    s.write(1)
    assert s.tcb.rexmit_at - s.now == 300 * MS


def test_before_the_first_sample_a_second_is_waited():
    """RFC 8985 7.2: PTO = 1 s if SRTT is not available."""
    s = Sender(rtt=0)
    s.tcb.rto = 3000 * MS
    s.write(4)
    assert s.tcb.rexmit_at - s.now == 1000 * MS


def test_new_data_go_before_old():
    """RFC 8985 7.3: a segment of unsent data is the probe, whatever the congestion window says."""
    s = Sender(cwnd=3)
    s.write(5)
    s.log = []
    s.at(202 * MS)
    assert s.log == [(3000, 4000, False)]
    assert s.tcb.tlp == (s.zero + 4 * MSS, False)


def test_new_data_that_the_window_does_not_take_are_no_probe():
    """RFC 8985 7.3: ... and the peer's receive window allows it."""
    s = Sender(window=3 * MSS)
    s.write(5)
    s.log = []
    s.at(202 * MS)
    assert s.log == [(2000, 3000, True)]


def test_a_superframe_is_probed_with_its_last_segment():
    """The tail of what was sent as one is one segment of the wire, a short one if that was last."""
    s = Sender(cwnd=64)
    s.tcb.write_seq += 20_500
    s.tcb.snd_nxt += 20_500
    recovery.sent(s.tcb, s.zero, s.tcb.snd_nxt, s.now, False)
    s.log = []
    s.at(202 * MS)
    assert s.log == [(20_000, 20_500, True)]


def test_the_probes_ack_tells_of_the_losses_before_it():
    """RFC 8985 7.1: the SACK of the probe lets RACK find the rest of the tail."""
    s = Sender()
    s.write(6)
    s.at(202 * MS)
    s.at(100 * MS)
    assert s.ack(0, (5, 6))[:1] == [(0, 1000, True)]
    assert s.tcb.ca_state == CA_RECOVERY


def test_a_probe_that_repaired_the_only_loss_reduces_the_window():
    """RFC 8985 7.4.2: acknowledged beyond the probe without a sign that it came twice: a loss, as by ECN."""
    s = Sender()
    s.write(3)
    s.at(202 * MS)
    s.at(50 * MS)
    s.write(1)
    s.at(50 * MS)
    s.ack(4)
    assert s.cwnd == 5
    assert s.tcb.tlp is None
    assert s.tcb.ca_state == CA_OPEN
    assert s.counted()["TcpLossProbeRecovery"] == 1


def test_a_probe_that_came_twice_changes_nothing():
    """RFC 8985 7.4.2: a D-SACK of the probe: the original had arrived."""
    s = Sender()
    s.write(3)
    s.at(202 * MS)
    s.tcb.total_retrans = 1
    s.at(100 * MS)
    s.ack(3, (2, 3))
    assert s.tcb.tlp is None
    assert s.cwnd >= 10
    assert "TcpLossProbeRecovery" not in s.counted()


def test_a_probe_of_new_data_ends_with_its_ack():
    """RFC 8985 7.4.1: new data as a probe need no detection."""
    s = Sender(cwnd=3)
    s.write(4)
    s.at(202 * MS)
    s.at(50 * MS)
    s.ack(4)
    assert s.tcb.tlp is None
    assert s.cwnd >= 3


def test_one_probe_at_a_time():
    """RFC 8985 7.3: another one only after the first is accounted for; the RTO follows."""
    s = Sender()
    s.write(3)
    s.at(202 * MS)
    s.log = []
    s.at(300 * MS)
    assert s.log == [(0, 1000, True)]
    assert s.counted()["TcpLossProbes"] == 1


def test_none_without_sack_and_none_where_they_are_switched_off():
    """RFC 8985 7.2: SACK is needed; ``tcp_early_retrans`` 0 forbids them."""
    for s in (Sender(sack=False), Sender(early_retrans=0)):
        s.write(3)
        assert s.tcb.rexmit_kind == REXMIT_RTO


def test_none_in_recovery():
    """RFC 8985 7.2: not while losses are being repaired."""
    s = Sender()
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (1, 4))
    assert s.tcb.rexmit_kind == REXMIT_RTO


def test_the_probes_sack_tells_with_timestamps_as_well():
    """RFC 8985 7.1 with RFC 7323 4.3: the ACK of a probe behind a hole echoes what came before the hole."""
    s = Sender(timestamps=True)
    s.write(6)
    sent_at = s.now
    s.at(202 * MS)
    s.at(100 * MS)
    assert s.ack(0, (5, 6), echo=sent_at)[:1] == [(0, 1000, True)]
    assert s.tcb.ca_state == CA_RECOVERY
