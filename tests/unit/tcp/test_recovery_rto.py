"""Timeouts: what they do to the windows, F-RTO, and undoing them."""

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp import recovery
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, CA_RECOVERY, ECN_OK, ECN_QUEUE_CWR, MS, SECOND, SYN_SENT


def without_probe(segments=10, **how):
    """A window is sent and nothing comes back: the RTO after 300 ms, without a tail loss probe before it."""
    s = Sender(early_retrans=0, **how)
    s.write(segments)
    s.log = []
    s.at(300 * MS)
    assert s.tcb.ca_state == CA_LOSS
    return s


def test_a_timeout_leaves_one_segment_of_window():
    """RFC 5681 3.1, RFC 6298 5.4 to 5.6: the first segment again, ssthresh halved, cwnd one segment, RTO doubled."""
    s = without_probe()
    assert s.log == [(0, 1000, True)]
    assert (s.cwnd, s.tcb.ssthresh) == (1, 5 * MSS)
    assert s.tcb.rto == 600 * MS
    assert s.tcb.retransmits == 1
    assert s.counted()["TcpSlowStartRetrans"] == 1


def test_a_second_timeout_does_not_halve_again():
    """RFC 5681 3.1: for what was retransmitted already ssthresh is held constant."""
    s = without_probe()
    s.at(600 * MS)
    assert (s.cwnd, s.tcb.ssthresh) == (1, 5 * MSS)
    assert s.log == [(0, 1000, True)] * 2
    assert s.tcb.rto == 1200 * MS
    assert s.tcb.retransmits == 2


def test_slow_start_sends_the_rest_again():
    """RFC 5681 3.1, RFC 6298 5.4: everything outstanding, by slow start up to ssthresh; no SACK is needed for it."""
    s = without_probe(frto=0)
    s.at(100 * MS)
    assert s.ack(1) == [(1000, 3000, True)]
    s.at(100 * MS)
    assert s.ack(2) == [(3000, 5000, True)]
    assert s.ack(3) == [(5000, 7000, True)]
    s.at(100 * MS)
    s.ack(7)
    assert s.tcb.ca_state == CA_LOSS
    s.at(100 * MS)
    s.ack(10)
    assert s.tcb.ca_state == CA_OPEN


def test_what_was_sacked_is_not_sent_again():
    """RFC 6675 5.1: after a timeout the scoreboard is kept."""
    s = Sender(early_retrans=0, frto=0)
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (4, 6))
    s.log = []
    s.at(25 * MS)  # the reordering window: fast recovery
    assert s.log[0][:1] == (0,)
    s.at(2 * SECOND)
    assert s.tcb.ca_state == CA_LOSS
    assert not any(start < 6000 and end > 4000 for start, end, again in s.log)


def test_what_was_just_sent_is_not_given_up():
    """RFC 8985 8: a timeout marks what RACK would: not what left a moment ago."""
    s = Sender(early_retrans=0)
    s.tcb.rack.reordered = 1
    s.write(2)
    s.at(290 * MS)
    s.write(3)
    s.log = []
    s.at(10 * MS)
    assert s.tcb.ca_state == CA_LOSS
    assert s.tcb.sent.lost == 2 * MSS


def test_frto_new_data_then_an_ack_of_originals():
    """RFC 5682 3.1 steps 2b, 3b: after the first ACK new data go; if another ACK comes for what was not sent again, the
    timeout was for nothing, and the windows return."""
    s = without_probe(segments=20)
    s.at(10 * MS)
    assert s.ack(1) == [(10_000, 12_000, False)]
    assert s.tcb.ca_state == CA_LOSS
    s.at(10 * MS)
    s.ack(2)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.ssthresh > 1000 * MSS
    assert s.cwnd >= 10
    assert s.tcb.sent.lost == 0
    assert s.counted()["TcpSpuriousRTOs"] == 1


def test_frto_a_sack_of_an_original_tells_as_well():
    """RFC 5682 3.1 (SACK-enhanced): a SACK of something sent once, before the timeout, tells."""
    s = without_probe(segments=20)
    s.at(10 * MS)
    s.ack(0, (3, 4))
    assert s.tcb.ca_state != CA_LOSS
    assert s.counted()["TcpSpuriousRTOs"] == 1


def test_frto_the_loss_was_real():
    """RFC 5682 3.1 step 3a: what is SACKed is the new data alone: conventional recovery."""
    s = without_probe(segments=20)
    s.at(100 * MS)
    assert s.ack(1) == [(10_000, 12_000, False)]
    s.at(100 * MS)
    assert s.ack(1, (10, 11))[0] == (1000, 2000, True)
    assert s.tcb.ca_state == CA_LOSS
    assert s.tcb.frto == 0
    assert "TcpSpuriousRTOs" not in s.counted()


def test_frto_without_new_data_recovers_conventionally():
    """RFC 5682 3.1 step 2b: nothing new to send: retransmissions go on."""
    s = without_probe(segments=10)
    s.at(100 * MS)
    assert s.ack(1) == [(1000, 3000, True)]


def test_frto_an_ack_of_everything():
    """RFC 5682 3.1 step 3b: it covers originals that were not sent again, so they were not lost; else step 2a."""
    s = without_probe(segments=10)
    s.at(10 * MS)
    s.ack(10)
    assert s.tcb.ca_state == CA_OPEN
    assert s.counted()["TcpSpuriousRTOs"] == 1
    s = without_probe(segments=1)
    s.at(100 * MS)
    s.ack(1)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.ssthresh == 5 * MSS


def test_frto_without_sack():
    """RFC 5682 2 (basic): two ACKs in a row that move SND.UNA tell; a duplicate after the new data denies."""
    s = without_probe(segments=20, sack=False)
    s.at(10 * MS)
    assert s.ack(1) == [(10_000, 12_000, False)]
    s.at(10 * MS)
    s.ack(2)
    assert s.counted()["TcpSpuriousRTOs"] == 1
    s = without_probe(segments=20, sack=False)
    s.at(100 * MS)
    s.ack(1)
    s.at(100 * MS)
    assert s.ack(1)[0] == (1000, 2000, True)
    assert s.tcb.ca_state == CA_LOSS


def test_timestamps_tell_that_the_original_arrived():
    """RFC 3522 3.2 (Eifel): the echo is older than the retransmission."""
    s = without_probe(timestamps=True, frto=0)
    s.at(10 * MS)
    s.ack(1, echo=s.now - 310 * MS)
    assert s.tcb.ca_state == CA_OPEN
    assert s.cwnd >= 10
    assert s.tcb.ssthresh > 1000 * MSS
    assert s.counted()["TcpLossUndo"] == 1
    assert "TcpSpuriousRTOs" not in s.counted()


def test_an_echo_of_the_retransmission_undoes_nothing():
    """RFC 3522 3.2: the retransmission was what arrived."""
    s = without_probe(timestamps=True, frto=0)
    s.at(100 * MS)
    s.ack(1, echo=s.now - 100 * MS)
    assert s.tcb.ca_state == CA_LOSS


def test_fast_recovery_is_undone_by_timestamps():
    """RFC 3522: the hole was filled by what had been late, all is as before."""
    s = Sender(timestamps=True)
    s.write(10)
    s.at(100 * MS)
    for got in (2, 3, 4):
        s.ack(0, (1, got), echo=s.now - 100 * MS)
    assert s.tcb.ca_state == CA_RECOVERY
    s.at(10 * MS)
    s.ack(10, echo=s.now - 110 * MS)
    assert s.tcb.ca_state == CA_OPEN
    assert s.cwnd >= 10
    assert s.counted()["TcpFullUndo"] == 1


def test_congestion_that_ecn_told_of_is_not_undone():
    """RFC 3168 6.1.2 and RFC 4015 4: a mark is congestion, whatever was sent again for nothing."""
    s = Sender(timestamps=True)
    s.tcb.ecn = ECN_OK
    s.write(10)
    s.at(100 * MS)
    for got in (2, 3, 4):
        s.ack(0, (1, got), echo=s.now - 100 * MS)
    s.ack(0, (1, 5), echo=s.now - 100 * MS, ece=True)
    s.at(10 * MS)
    s.ack(10, echo=s.now - 110 * MS)
    assert s.tcb.ssthresh == 5 * MSS
    assert s.cwnd < 10


def test_an_undone_reduction_need_not_be_told():
    """RFC 3168 6.1.2: CWR stands for a reduction; without one it is not sent."""
    s = Sender(timestamps=True)
    s.tcb.ecn = ECN_OK
    s.write(10)
    s.at(100 * MS)
    for got in (2, 3, 4):
        s.ack(0, (1, got), echo=s.now - 100 * MS)
    assert s.tcb.ecn & ECN_QUEUE_CWR
    s.at(10 * MS)
    s.ack(10, echo=s.now - 110 * MS)
    assert not s.tcb.ecn & ECN_QUEUE_CWR


def test_a_partial_ack_by_a_late_original():
    """A hole filled by what had been late, with a retransmission of its own under way, is reordering: nothing is sent
    again for it."""
    s = Sender(timestamps=True)
    s.write(10)
    s.at(100 * MS)
    for got in (2, 3, 4):
        s.ack(0, (1, got), echo=s.now - 100 * MS)
    s.at(10 * MS)
    s.ack(4, echo=s.now - 110 * MS)
    assert s.counted()["TcpTSReorder"] == 1
    assert s.counted()["TcpPartialUndo"] == 1
    assert s.tcb.ca_state == CA_OPEN


def test_a_syn_is_sent_again_and_nothing_is_reduced():
    """RFC 6298 5.4 to 5.6 for a SYN: even intervals for ``tcp_syn_linear_timeouts``, then doubling."""
    s = Sender(rtt=0, syn_linear_timeouts=1)
    tcb = s.tcb
    tcb.state = SYN_SENT
    tcb.cc = None
    tcb.cwnd = 0
    tcb.snd_una = tcb.iss
    tcb.snd_nxt = tcb.iss + 1
    recovery.sent(tcb, tcb.iss, tcb.iss + 1, s.now, False)
    again = []
    for _ in range(3):
        s.log = []
        start = s.now
        while not s.log:
            s.at(10 * MS)
        again.append(s.now - start)
        assert s.log == [(-1, 0, True)]
    assert again == [SECOND, SECOND, 2 * SECOND]
    assert tcb.ssthresh > 1000 * MSS


def test_smaller_segments_make_what_was_larger_lost():
    """RFC 1191 6.5: what was sent too large goes again, and it is no sign of congestion."""
    s = Sender()
    s.write(6)
    cwnd = s.tcb.cwnd
    s.tcb.mss = 500
    recovery.mtu_reduced(s.tcb, s.now)
    assert s.tcb.cwnd == cwnd
    s.log = []
    s.output()
    assert s.log == [(0, 6000, True)]
    assert s.tcb.ssthresh > 1000 * MSS


def test_a_thin_stream_is_tried_at_even_intervals():
    """``tcp_thin_linear_timeouts``: fewer than four segments outstanding, six times without doubling."""
    s = Sender(early_retrans=0, thin_linear_timeouts=True)
    s.tcb.ssthresh = 5 * MSS
    s.write(1)
    s.log = []
    s.at(300 * MS * 6 + 10 * MS)
    assert len(s.log) == 6
    assert s.tcb.rto == 300 * MS
