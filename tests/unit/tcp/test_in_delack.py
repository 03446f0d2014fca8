"""Delayed and quick acknowledgments (RFC 9293 3.8.6.3, RFC 5681 4.2)."""

import pytest

from tests.unit.tcp.receiving import MSS, START, octets, receiver, segment
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import delack
from vrouter.stack.l4.tcp.delack import DUE, MAX_DELAY, MIN_ATO, NOW, PUSHED, PUSHED_TWICE, ack_due, ack_sent
from vrouter.stack.l4.tcp.receive import receive_data
from vrouter.stack.l4.tcp.tcb import CLOSED, MS, SECOND
from vrouter.stack.wire.tcp import ACK, PSH


def fill(tcb, size, now, flags=ACK):
    start = tcb.rcv_nxt
    assert receive_data(tcb, segment(octets(0, size), flags), start, start + size, now) == 0


@pytest.fixture
def tcb():
    """Not quick any more, and the peer sends every 10 ms."""
    made = receiver()
    made.ato, made.last_rcv_at = MIN_ATO, SECOND
    return made


class TestNowOrLater:
    """RFC 5681 4.2: at least every second full segment; within half a second."""

    def test_one_segment_waits(self, tcb):
        """Its ACK is put off by the pace of the peer."""
        fill(tcb, MSS, SECOND + 10 * MS)
        tcb.quickacks = 0
        assert not ack_due(tcb, SECOND + 10 * MS)
        assert tcb.delack.deadline == SECOND + 10 * MS + MIN_ATO

    def test_the_second_goes_at_once(self, tcb):
        """MUST for more than one full segment."""
        fill(tcb, MSS, SECOND)
        fill(tcb, 1, SECOND)
        tcb.quickacks = 0
        assert ack_due(tcb, SECOND)

    def test_a_superframe_goes_at_once(self, tcb):
        """It is several segments."""
        seg = segment(octets(0, 5 * MSS))
        seg.pkt.gso_size = MSS
        receive_data(tcb, seg, START, START + 5 * MSS, SECOND)
        tcb.quickacks = 0
        assert tcb.rcv_mss == MSS
        assert ack_due(tcb, SECOND)

    def test_without_a_reader_it_waits(self, tcb):
        """When the right edge does not move the reader's ACK will tell all at once."""
        tcb.sock.rcvbuf = 8 * MSS
        tcb.window_clamp = tcb.rcv_ssthresh = tcb.rcv_wnd = 4 * MSS
        tcb.rcv_adv = START + 4 * MSS
        fill(tcb, 3 * MSS, SECOND)
        tcb.quickacks = 0
        assert not ack_due(tcb, SECOND)

    def test_quick(self, tcb):
        """In quick mode each is answered, unless in a dialogue."""
        fill(tcb, 10, SECOND)
        tcb.quickacks = 1
        assert ack_due(tcb, SECOND)
        tcb.pingpong = 1
        assert not ack_due(tcb, SECOND)

    def test_a_gap(self, tcb):
        """RFC 5681 4.2: immediately, when a segment is out of order."""
        receive_data(tcb, segment(octets(0, 10)), START + 10, START + 20, SECOND)
        assert ack_due(tcb, SECOND)

    def test_asked_for(self, tcb):
        """What has to go now goes."""
        tcb.ack_pending = DUE | NOW
        assert ack_due(tcb, SECOND)

    def test_one_that_waits_is_not_put_off(self, tcb):
        """RFC 9293 3.8.6.3: the delay counts from the first."""
        fill(tcb, 10, SECOND)
        tcb.quickacks = 0
        ack_due(tcb, SECOND)
        fill(tcb, 10, SECOND + 10 * MS)
        tcb.quickacks = 0
        assert not ack_due(tcb, SECOND + 10 * MS)
        assert tcb.delack.deadline == SECOND + MIN_ATO

    def test_one_that_is_nearly_due_goes(self, tcb):
        """The timer is so near that it is spared."""
        fill(tcb, 10, SECOND)
        tcb.quickacks = 0
        ack_due(tcb, SECOND)
        fill(tcb, 10, SECOND + 35 * MS)
        tcb.quickacks = 0
        assert ack_due(tcb, SECOND + 35 * MS)


class TestDelay:
    """Between 40 and 200 ms, by the peer's pace."""

    @pytest.mark.parametrize(
        ("gap", "ato"),
        [(5 * MS, 40 * MS), (20 * MS, 40 * MS), (30 * MS, 50 * MS), (39 * MS, 59 * MS), (50 * MS, 40 * MS)],
    )
    def test_it_follows_the_gaps(self, tcb, gap, ato):
        """Half of what it was, and half of the shortest or the whole gap."""
        fill(tcb, 10, SECOND + gap)
        assert tcb.ato == ato

    def test_after_a_pause_it_is_quick_again(self, tcb):
        """A gap beyond the timeout: the peer begins with a small window."""
        fill(tcb, 10, SECOND + 201 * MS)
        assert tcb.quickacks >= 16

    @pytest.mark.parametrize(
        ("ato", "pingpong", "srtt", "delay"),
        [
            (450 * MS, 1, 0, MAX_DELAY),
            (450 * MS, 0, 0, MAX_DELAY),
            (150 * MS, 0, 80 * MS, 80 * MS),
            (150 * MS, 0, 10 * MS, MIN_ATO),
            (150 * MS, 0, 300 * MS, 150 * MS),
        ],
    )
    def test_bounds(self, tcb, ato, pingpong, srtt, delay):
        """MUST be less than 0.5 s; no longer than a round trip is of use."""
        tcb.ato, tcb.pingpong, tcb.srtt, tcb.ack_pending = ato, pingpong, srtt, DUE
        assert not ack_due(tcb, SECOND)
        assert tcb.delack.deadline == SECOND + delay

    def test_when_it_comes_up(self, tcb):
        """The delay doubles, as the program sent nothing."""
        tcb.ack_pending = DUE
        assert delack.due(tcb)
        assert tcb.ato == 2 * MIN_ATO
        assert tcb.ns.stats[Stat.TcpDelayedACKs] == 1

    def test_when_it_comes_up_in_a_dialogue(self, tcb):
        """It is none any more."""
        tcb.ack_pending, tcb.pingpong, tcb.ato = DUE, 1, 150 * MS
        assert delack.due(tcb)
        assert (tcb.pingpong, tcb.ato) == (0, MIN_ATO)

    def test_nothing_is_due(self, tcb):
        """What came up is stale."""
        assert not delack.due(tcb)
        assert tcb.ns.stats[Stat.TcpDelayedACKs] == 0


class TestQuick:
    """A peer's slow start gets its ACKs."""

    def test_the_first_data(self):
        """Sixteen segments at most, half a window of them."""
        tcb = receiver(window=64 * MSS)
        fill(tcb, 10, SECOND)
        assert (tcb.quickacks, tcb.ato) == (16, MIN_ATO)
        small = receiver(window=8 * MSS)
        fill(small, 10, SECOND)
        assert small.quickacks == 4

    def test_what_is_sent_is_counted(self, tcb):
        """With the last of them the delay is short again."""
        tcb.quickacks, tcb.ato = 2, 150 * MS
        ack_sent(tcb)
        assert (tcb.quickacks, tcb.ato) == (1, 150 * MS)
        ack_sent(tcb)
        assert (tcb.quickacks, tcb.ato) == (0, MIN_ATO)

    def test_entering_it_ends_a_dialogue(self, tcb):
        """Losses and marks make it so (tcp_enter_quickack_mode)."""
        tcb.pingpong, tcb.ato = 3, 150 * MS
        delack.enter_quick(tcb, 2)
        assert (tcb.quickacks, tcb.pingpong, tcb.ato) == (2, 0, MIN_ATO)

    def test_an_answer_makes_a_dialogue(self, tcb):
        """Data of our own, soon after the peer's."""
        delack.data_sent(tcb, SECOND + 39 * MS)
        assert tcb.pingpong == 1
        delack.data_sent(tcb, SECOND + 41 * MS)
        assert tcb.pingpong == 1


class TestSent:
    """A segment with an ACK left."""

    def test_nothing_is_due_any_more(self, tcb):
        """Neither the ACK nor what it had to tell."""
        fill(tcb, 10, SECOND)
        tcb.quickacks, tcb.dsack = 0, (START - 5, START)
        ack_due(tcb, SECOND)
        ack_sent(tcb)
        assert (tcb.ack_pending, tcb.dsack, tcb.last_ack_sent, tcb.delack.deadline) == (0, None, START + 10, -1)


class TestSegmentSize:
    """What the peer's full segments carry (tcp_measure_rcv_mss)."""

    def test_the_largest(self, tcb):
        """A larger segment is a full one, as far as we allow them."""
        tcb.rcv_mss = 536
        fill(tcb, 900, SECOND)
        assert tcb.rcv_mss == 900
        fill(tcb, 1200, SECOND)
        assert tcb.rcv_mss == MSS

    def test_a_path_that_became_narrow(self, tcb):
        """Two equal ones without PSH, though smaller."""
        fill(tcb, 800, SECOND)
        assert tcb.rcv_mss == MSS
        fill(tcb, 800, SECOND)
        assert tcb.rcv_mss == 800

    def test_the_end_of_a_write(self, tcb):
        """A small segment is noted: who empties the queue answers it; a full one with PSH, too."""
        fill(tcb, 10, SECOND)
        assert tcb.ack_pending == DUE | PUSHED
        fill(tcb, 10, SECOND)
        assert tcb.ack_pending == DUE | PUSHED | PUSHED_TWICE
        tcb.ack_pending = 0
        fill(tcb, MSS, SECOND, ACK | PSH)
        assert tcb.ack_pending == DUE | PUSHED


class TestOption:
    """TCP_QUICKACK."""

    def test_off(self, tcb):
        """0 begins a dialogue."""
        assert not delack.set_quickack(tcb, 0)
        assert not delack.is_quick(tcb)

    def test_on_sends_what_waits(self, tcb):
        """1 ends it, and an empty queue's ACK goes."""
        tcb.pingpong, tcb.ack_pending = 1, DUE
        assert delack.set_quickack(tcb, 1)
        assert delack.is_quick(tcb)

    def test_on_with_data_in_the_queue(self, tcb):
        """The reader's ACK will do."""
        fill(tcb, 10, SECOND)
        tcb.ack_pending = DUE
        assert not delack.set_quickack(tcb, 1)
        assert tcb.ack_pending == DUE | PUSHED

    def test_once(self, tcb):
        """An even number sends, and the dialogue goes on."""
        tcb.ack_pending = DUE
        assert delack.set_quickack(tcb, 2)
        assert not delack.is_quick(tcb)

    def test_not_when_it_is_over(self, tcb):
        """A connection that is gone sends nothing."""
        tcb.state, tcb.ack_pending = CLOSED, DUE
        assert not delack.set_quickack(tcb, 1)
