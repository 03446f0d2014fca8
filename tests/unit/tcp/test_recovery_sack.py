"""SACK blocks: which are taken, what a D-SACK tells, a peer that drops what it had SACKed."""

import pytest

from tests.unit.tcp.sender import MSS, Sender
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp.tcb import CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY, MS, REXMIT_RTO


def sacked(s):
    """What stands as SACKed, in segments."""
    return [((r.start - s.zero) / MSS, (r.end - s.zero) / MSS) for r in s.tcb.sent.ranges if r.flags & 1]


def test_a_superframe_is_split_where_a_block_begins_and_ends():
    """RFC 2018 4: what a block covers stays, what is around it is open; neighbours become one."""
    s = Sender()
    s.send(10)
    s.at(100 * MS)
    s.ack(0, (2, 4))
    assert sacked(s) == [(2, 4)]
    assert len(s.tcb.sent.ranges) == 3
    s.ack(0, (6, 7), (2, 4))
    s.ack(0, (4, 6), (6, 7), (2, 4))
    assert sacked(s) == [(2, 7)]
    assert s.tcb.sent.sacked == 5 * MSS


@pytest.mark.parametrize(
    "block",
    [
        (5, 11),  # beyond SND.NXT
        (10, 12),
        (5, 5),  # empty
        (6, 3),  # reversed
        (0, 4),  # begins with what is not acknowledged: that would have been acknowledged
        (-3, -1),  # below SND.UNA, and nothing was sent twice
        (2.5, 3.4),  # within a segment
    ],
)
def test_blocks_that_cannot_be_are_ignored(block):
    """RFC 2018 5: outside what is outstanding there is nothing to mark; parts of a segment are none."""
    s = Sender()
    s.send(10)
    s.ack(0, block)
    assert sacked(s) == []
    assert s.tcb.sent.sacked == 0


def test_a_block_of_parts_counts_the_whole_segments_in_it():
    """A deviation that RFC 2018 allows, whose information is advisory: a segment in part is not taken."""
    s = Sender()
    s.send(10)
    s.ack(0, (2.5, 6.9))
    assert sacked(s) == [(3, 6)]


def test_the_last_segment_may_be_short():
    """A block that ends with the data covers a short segment whole."""
    s = Sender()
    s.send(3.5)
    s.ack(0, (3, 3.5))
    assert sacked(s) == [(3, 3.5)]


def test_an_acknowledgement_of_more_than_was_sent_is_refused():
    """RFC 9293 3.10.7.4: SEG.ACK > SND.NXT."""
    s = Sender()
    s.send(2)
    s.ack(3)
    assert s.result == DropReason.TCP_ACK_UNSENT_DATA
    assert s.tcb.snd_una == s.zero


def test_an_acknowledgement_of_long_ago_is_refused():
    """RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK."""
    s = Sender(window=5 * MSS)
    s.send(1)
    s.ack(1)
    s.ack(-5)
    assert s.result == DropReason.TCP_OLD_ACK
    s.ack(-3)
    assert s.result == 0


def test_an_ack_that_was_overtaken_still_tells_of_blocks():
    """Its number says nothing any more, its blocks do."""
    s = Sender()
    s.send(10)
    s.at(100 * MS)
    s.ack(1)
    s.ack(0, (2, 4))
    assert sacked(s) == [(2, 4)]
    assert s.tcb.snd_una == s.zero + MSS


def test_a_dsack_of_what_was_not_sent_twice_changes_nothing():
    """RFC 2883 5: segments may be duplicated by the network."""
    s = Sender()
    s.send(4, superframe=False)
    s.at(100 * MS)
    s.ack(2, (0, 1))
    assert s.counted() == {"TcpDSACKRecv": 1}
    assert s.tcb.ca_state == CA_OPEN
    assert s.tcb.sent.sacked == 0


def test_a_dsack_within_a_block_is_known_by_the_second_one():
    """RFC 2883 4.3: the first block lies in the second."""
    s = Sender()
    s.send(10)
    s.ack(0, (4, 5), (3, 6))
    assert sacked(s) == [(3, 6)]
    assert s.counted()["TcpDSACKOfoRecv"] == 1


def test_all_that_was_sent_again_arrived_twice_the_reduction_is_undone():
    """RFC 2883, RFC 3708: as many D-SACKs as retransmissions: nothing had been lost."""
    s = Sender()
    s.write(10)
    s.at(100 * MS)
    for block in ((1, 2), (1, 3), (1, 4)):
        s.ack(0, block)
    assert s.tcb.ca_state == CA_RECOVERY
    assert s.tcb.ssthresh == 5 * MSS
    s.at(10 * MS)
    s.ack(4)
    assert s.tcb.ca_state == CA_RECOVERY
    s.at(90 * MS)
    s.ack(4, (0, 1))
    assert s.tcb.ca_state == CA_OPEN
    assert s.cwnd == 10
    assert s.tcb.ssthresh > 1000 * MSS
    assert s.counted()["TcpDSACKUndo"] == 1


def test_a_peer_that_drops_what_it_sacked():
    """RFC 2018 8: after a timeout what was SACKed counts for nothing, all of it is sent again."""
    s = Sender(cwnd=10)
    s.write(6)
    s.at(100 * MS)
    s.ack(0, (1, 2))
    s.at(10 * MS)
    s.ack(1, (2, 3))  # up to a SACKed segment only: it is gone there
    assert s.tcb.rexmit_kind == REXMIT_RTO
    assert s.tcb.rexmit_at - s.now == s.tcb.srtt >> 1
    s.log = []
    s.at(s.tcb.srtt >> 1)
    assert s.log == [(1000, 2000, True)]
    assert s.tcb.sent.sacked == 0
    assert s.tcb.ca_state == CA_LOSS
    assert s.counted()["TcpSACKReneging"] == 1
    s.at(100 * MS)
    assert s.ack(2) == [(2000, 3000, True), (3000, 4000, True)]
    s.at(100 * MS)
    s.ack(6)
    assert s.tcb.ca_state == CA_OPEN


def test_blocks_are_ignored_where_sack_was_not_agreed_on():
    """RFC 2018 2: only after SACK-permitted in both SYNs."""
    s = Sender(sack=False)
    s.send(10)
    s.ack(0, (2, 4))
    assert sacked(s) == []
    assert s.tcb.ca_state == CA_DISORDER  # as a duplicate ACK it counts
