"""A peer without SACK: duplicate ACKs, limited transmit, partial acknowledgements."""

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp.tcb import CA_DISORDER, CA_OPEN, CA_RECOVERY, MS


def in_recovery(window=10, written=10):
    """The first segment of a window is lost, three duplicate ACKs told of it."""
    s = Sender(cwnd=window, sack=False)
    s.write(written)
    s.at(100 * MS)
    s.ack(0)
    s.ack(0)
    assert s.tcb.ca_state == CA_DISORDER
    s.ack(0)
    assert s.tcb.ca_state == CA_RECOVERY
    return s


def test_the_third_duplicate_ack_retransmits():
    """RFC 5681 3.2 steps 1, 2: not the first two; then the segment at SND.UNA, and ssthresh is half the flight."""
    s = in_recovery()
    assert s.log == [(0, 1000, True)]
    assert s.tcb.ssthresh == 5 * MSS
    assert s.counted() == {"TcpRenoRecovery": 1, "TcpFastRetrans": 1}


def test_limited_transmit():
    """RFC 3042 2: each of the first two duplicate ACKs lets a new segment leave, and cwnd stays."""
    s = Sender(cwnd=10, sack=False)
    s.write(20)
    s.at(100 * MS)
    assert s.ack(0) == [(10_000, 11_000, False)]
    assert s.ack(0) == [(11_000, 12_000, False)]
    assert s.cwnd == 10


def test_the_threshold_is_that_of_the_namespace():
    """DupThresh (``tcp_reordering``)."""
    s = Sender(sack=False)
    s.tcb.reordering = 5
    s.write(10)
    s.at(100 * MS)
    for _ in range(4):
        s.ack(0)
    assert s.tcb.ca_state == CA_DISORDER
    s.ack(0)
    assert s.tcb.ca_state == CA_RECOVERY


def test_what_repeats_the_number_but_tells_a_window_or_brings_data_is_no_duplicate():
    """RFC 5681 2: a duplicate ACK carries no data and the same window."""
    s = Sender(sack=False)
    s.write(10)
    s.at(100 * MS)
    for number in range(5):
        s.ack(0, window=s.tcb.snd_wnd + 1000 * (number + 1))
    for _ in range(5):
        s.ack(0, window=s.tcb.snd_wnd, data=10)
    assert s.tcb.ca_state == CA_OPEN


def test_a_partial_acknowledgement_retransmits_the_next():
    """RFC 6582 3.2 step 3: in recovery an ACK that does not cover everything tells of the next loss."""
    s = in_recovery()
    s.at(100 * MS)
    assert s.ack(4)[0] == (4000, 5000, True)
    assert s.tcb.ca_state == CA_RECOVERY
    s.at(100 * MS)
    s.ack(10)


def test_recovery_ends_when_something_beyond_is_acknowledged():
    """RFC 6582 3.2 step 3, and 4 (2): a full acknowledgement ends it at ssthresh, but the state is held until something
    beyond is acknowledged, lest duplicates of the same window begin another recovery."""
    s = in_recovery(written=30)
    assert s.tcb.high_seq == s.zero + 12 * MSS
    s.at(100 * MS)
    s.ack(12)
    assert s.tcb.ca_state == CA_RECOVERY
    s.ack(12)
    s.ack(12)
    s.ack(12)
    assert s.counted()["TcpRenoRecovery"] == 1
    s.at(100 * MS)
    s.ack(13)
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.ssthresh == 5 * MSS


def test_duplicate_acks_beyond_the_third_let_new_data_leave():
    """RFC 5681 3.2 step 4: each stands for a segment that has left the network; PRR rules how many follow."""
    s = in_recovery(window=10, written=40)
    sent = []
    for _ in range(9):
        sent += s.ack(0)
    assert sum(end - start for start, end, again in sent if not again) == 5 * MSS
    assert s.pipe == 5


def test_more_duplicates_than_segments_count_for_no_more():
    """A peer cannot have more arrive than is outstanding, less the hole."""
    s = Sender(cwnd=10, sack=False)
    s.write(10)
    s.at(100 * MS)
    for _ in range(40):
        s.ack(0)
    assert s.tcb.sent.sacked == 9 * MSS
    assert s.tcb.delivered <= s.tcb.snd_nxt - s.tcb.iss
