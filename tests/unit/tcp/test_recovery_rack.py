"""RACK: time decides what is lost."""

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.l4.tcp.rack import reordering_window
from vrouter.stack.l4.tcp.scoreboard import LOST
from vrouter.stack.l4.tcp.tcb import CA_DISORDER, CA_OPEN, CA_RECOVERY, MS, REXMIT_REO, REXMIT_RTO


def lost(s):
    """What stands as lost, in segments."""
    return [((r.start - s.zero) / MSS, (r.end - s.zero) / MSS) for r in s.tcb.sent.ranges if r.flags & LOST]


def test_one_later_segment_arms_the_reordering_timer():
    """RFC 8985 6.2 step 5: what was sent before something delivered is waited for, RTT and a quarter of the minimum."""
    s = Sender()
    s.send(4, superframe=False)
    s.at(100 * MS)
    s.ack(0, (1, 2))
    assert lost(s) == []
    assert s.tcb.ca_state == CA_DISORDER
    assert (s.tcb.rexmit_kind, s.tcb.rexmit_at) == (REXMIT_REO, s.now + 25 * MS)


def test_when_the_window_is_over_recovery_begins():
    """RFC 8985 6.2 step 5, 6.3: the timer marks it and it is sent again at once."""
    s = Sender()
    s.write(4)
    s.at(100 * MS)
    s.ack(0, (1, 2))
    s.log = []
    s.at(24 * MS)
    assert s.log == []
    s.at(MS)
    assert s.log == [(0, 1000, True)]
    assert s.tcb.ca_state == CA_RECOVERY
    assert s.tcb.rexmit_kind == REXMIT_RTO
    assert s.counted()["TcpFastRetrans"] == 1


def test_the_late_segment_ends_the_waiting():
    """It had only been overtaken: no retransmission, the degree of reordering is learned."""
    s = Sender()
    s.write(4)
    s.at(100 * MS)
    s.ack(0, (1, 2))
    s.at(10 * MS)
    s.ack(2)
    s.at(20 * MS)
    assert s.log == []
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.rack.reordered == 1
    assert s.counted()["TcpSACKReorder"] == 1


def test_three_segments_decide_at_once_until_reordering_was_seen():
    """RFC 8985 6.2 step 4: DupThresh SACKed segments make the window 0, as long as nothing was ever reordered."""
    s = Sender()
    s.write(10)
    s.at(100 * MS)
    assert s.ack(0, (1, 4)) == [(0, 1000, True)]
    assert s.tcb.ca_state == CA_RECOVERY

    s = Sender()
    s.tcb.rack.reordered = 1
    s.write(20)
    s.at(100 * MS)
    assert s.ack(0, (1, 4)) == [(10_000, 13_000, False)]
    assert s.tcb.rexmit_kind == REXMIT_REO


def test_a_superframe_delivered_in_part_is_lost_in_part():
    """One range of 64 KiB: the holes of it are sent again, not what arrived."""
    s = Sender(cwnd=64)
    s.write(64)
    s.at(100 * MS)
    assert s.ack(0, (10, 20), (30, 64)) == [(0, 10_000, True), (20_000, 30_000, True)]
    assert lost(s) == [(0, 10), (20, 30)]


def test_a_retransmission_that_is_lost_is_noticed():
    """RFC 8985 3.1: later data delivered tells that what was sent again is lost again, without a timeout."""
    s = Sender()
    s.write(40)
    s.at(100 * MS)
    s.ack(0, (1, 4))
    assert s.tcb.ca_state == CA_RECOVERY
    s.at(50 * MS)
    s.ack(0, (1, 10))
    assert lost(s) == [(0, 1)]
    first = s.tcb.snd_nxt
    s.at(100 * MS)
    log = s.ack(0, (1, (first - s.zero) / MSS))
    assert log[0] == (0, 1000, True)
    assert s.counted()["TcpLostRetransmit"] == 1


def test_an_ambiguous_retransmission_tells_nothing():
    """RFC 8985 6.2 step 2: delivered sooner than the least RTT after it was sent again, it is the original."""
    s = Sender()
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (1, 4))
    rtt = s.tcb.rack.rtt
    s.at(10 * MS)
    s.ack(1, (2, 4))
    assert s.tcb.rack.rtt == rtt


def test_an_echo_older_than_the_retransmission_tells_nothing():
    """RFC 8985 6.2 step 2: with timestamps the echo decides."""
    s = Sender(timestamps=True)
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (1, 4))
    before = s.tcb.rack.order
    s.at(150 * MS)
    s.ack(1, (2, 4), echo=s.now - 250 * MS)
    assert s.tcb.rack.order == before


def test_the_window_widens_with_dsacks_and_narrows_after_recoveries():
    """RFC 8985 6.2 step 4: reo_wnd_mult grows once a round trip with a DSACK, for 16 recoveries; at most SRTT."""
    s = Sender()
    rack = s.tcb.rack
    rack.reordered = 1
    assert reordering_window(s.tcb) == 25 * MS
    for steps in (2, 3):
        s.tcb.total_retrans += 1
        s.send(2, superframe=False)
        s.at(100 * MS)
        done = (s.tcb.snd_nxt - s.zero) // MSS
        s.ack(done, (done - 2, done - 1))
        assert rack.steps == steps
        assert rack.persist == 16
    assert reordering_window(s.tcb) == 75 * MS
    rack.steps = 200
    assert reordering_window(s.tcb) == s.tcb.srtt
    rack.persist = 0
    s.send(1)
    s.at(100 * MS)
    s.ack((s.tcb.snd_nxt - s.zero) // MSS)
    assert rack.steps == 1


def test_in_recovery_nothing_is_waited_for_when_nothing_was_reordered():
    """RFC 8985 6.2 step 4: in fast recovery and after a timeout the window is 0 unless reordering was seen."""
    s = Sender()
    s.tcb.ca_state = CA_RECOVERY
    assert reordering_window(s.tcb) == 0
    s.tcb.rack.reordered = 1
    assert reordering_window(s.tcb) == 25 * MS


def test_without_rack_three_blocks_or_more_than_two_segments_decide():
    """RFC 6675 4 IsLost, with ``tcp_recovery`` 0: three discontiguous blocks above, or more than two segments."""
    s = Sender(recovery=0)
    s.write(10)
    s.at(100 * MS)
    s.ack(0, (1, 2))
    assert lost(s) == []
    s.ack(0, (5, 6), (1, 2))
    assert lost(s) == []
    s.ack(0, (7, 8), (5, 6), (1, 2))
    assert lost(s) == [(0, 1)]
    assert s.tcb.ca_state == CA_RECOVERY
    assert s.ack(0, (5, 8), (1, 2)) == [(2000, 3000, True)]
    assert lost(s) == [(0, 1), (2, 3), (3, 5)]  # of which two are on their way again


def test_the_order_of_one_moment_counts():
    """RFC 8985 6.2 step 2 goes by time; of what left in one moment the order does: a retransmission behind new data."""
    s = Sender(cwnd=12)
    s.write(10)
    s.at(100 * MS)
    s.write(2)  # in the moment of the retransmission, before it
    s.ack(0, (1, 4))
    s.at(100 * MS)
    assert s.ack(0, (1, 12)) == []
    assert "TcpLostRetransmit" not in s.counted()
