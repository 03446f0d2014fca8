"""The receive window (RFC 9293 3.8.6, RFC 7323 2) and the buffer's growth."""

import pytest

from tests.unit.tcp.receiving import MSS, START, octets, receiver, segment
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.constants import LOCK_RCVBUF
from vrouter.stack.l4.tcp import window
from vrouter.stack.l4.tcp.receive import receive_data
from vrouter.stack.l4.tcp.tcb import MS, SECOND


def fill(tcb, size, now=0):
    """`size` bytes come in order."""
    start = tcb.rcv_nxt
    assert receive_data(tcb, segment(octets(0, size)), start, start + size, now) == 0


def read(tcb, size):
    tcb.rcvq.read(size)
    tcb.copied_seq += size


class TestFirst:
    """What a SYN offers (tcp_select_initial_window)."""

    @pytest.mark.parametrize(
        ("rcvbuf", "mss", "scaled", "expected"),
        [
            (131072, 1460, True, (64240, 65535 << 7, 7)),
            (131072, 1448, True, (65160, 65535 << 7, 7)),
            (131072, 1460, False, (64240, 65535, 0)),
            (2304, 1460, True, (1152, 65535 << 7, 7)),
            (1 << 26, 1460, True, ((1 << 25) - (1 << 25) % 1460, 65535 << 9, 9)),
        ],
    )
    def test_whole_segments_and_a_scale(self, rcvbuf, mss, scaled, expected):
        """RFC 7323 2.3: the scale covers what the buffer may grow to."""
        assert window.first_window(rcvbuf, mss, 0, scaled, 6291456) == expected

    def test_a_clamp(self):
        """TCP_WINDOW_CLAMP bounds window and scale."""
        assert window.first_window(131072, 1460, 10000, True, 6291456) == (8760, 10000, 0)

    def test_at_most_fourteen(self):
        """RFC 7323 2.3: the shift is 14 at most."""
        assert window.first_window(1 << 33, 1460, 0, True, 6291456)[2] == 14

    def test_of_an_active_open(self):
        """The field is not scaled (RFC 7323 2.2)."""
        tcb = receiver(rcvbuf=1 << 20)
        tcb.window_clamp, tcb.adv_mss = 0, 1460
        assert window.initial_window(tcb) == 65535
        assert (tcb.rcv_wscale, tcb.rcv_ssthresh) == (7, (1 << 19) - (1 << 19) % 1460)


class TestBeginning:
    """The options are known."""

    def test_without_scaling_the_field_is_all(self):
        """RFC 7323 2.2: only when both have sent the option."""
        tcb = receiver()
        tcb.rcv_wscale = 7
        window.begin(tcb, 5)
        assert (tcb.rcv_wscale, tcb.window_clamp) == (0, 65535)

    def test_the_measures_begin(self):
        """What a program read in a round trip is compared with what it might have been sent first."""
        tcb = receiver(rcvbuf=1 << 18)
        tcb.wscale_ok = True
        window.begin(tcb, 5)
        assert (tcb.window_clamp, tcb.space, tcb.space_seq, tcb.space_at) == (1 << 17, 10 * MSS, START, 5)
        assert tcb.rcv_mss == 536


class TestSelection:
    """RFC 9293 3.8.6.2.2."""

    def test_the_edge_follows_the_reader(self):
        """It is half of SO_RCVBUF beyond what was read."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        fill(tcb, 5 * MSS)
        assert window.select_window(tcb, 0) == 15 * MSS
        assert tcb.rcv_adv == START + 20 * MSS
        read(tcb, 5 * MSS)
        assert window.select_window(tcb, 0) == 20 * MSS
        assert tcb.rcv_adv == START + 25 * MSS

    def test_data_out_of_order_take_nothing_away(self):
        """They lie inside the window."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        receive_data(tcb, segment(octets(0, MSS)), START + MSS, START + 2 * MSS, 0)
        assert window.select_window(tcb, 0) == 20 * MSS

    def test_the_right_edge_never_goes_back(self):
        """SHLD-14: not even when the buffer was cut."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        tcb.sock.rcvbuf = 10 * MSS
        assert window.select_window(tcb, 0) == 20 * MSS
        fill(tcb, 5 * MSS)
        assert window.select_window(tcb, 0) == 15 * MSS
        assert tcb.rcv_adv == START + 20 * MSS
        assert tcb.ns.stats[Stat.TcpWantZeroWindowAdv] == 1

    def test_no_silly_windows(self):
        """SHLD-14, 3.8.6.2.2: full means zero, and it opens by a segment at least."""
        tcb = receiver(rcvbuf=8 * MSS, window=4 * MSS)
        fill(tcb, 4 * MSS)
        assert window.select_window(tcb, 0) == 0
        assert tcb.ns.stats[Stat.TcpToZeroWindowAdv] == 1
        read(tcb, MSS - 1)
        assert window.select_window(tcb, 0) == 0
        read(tcb, 1)
        assert window.select_window(tcb, 0) == MSS
        assert tcb.ns.stats[Stat.TcpFromZeroWindowAdv] == 1

    def test_whole_segments_without_scaling(self):
        """A window is a multiple of the segment size, and kept while it is about right."""
        tcb = receiver(rcvbuf=1 << 18, window=20 * MSS)
        tcb.rcv_ssthresh = 25 * MSS + 700
        assert window.select_window(tcb, 0) == 25 * MSS
        tcb.rcv_ssthresh = 25 * MSS + 999
        assert window.select_window(tcb, 0) == 25 * MSS

    def test_scaled(self):
        """RFC 7323 2.3: the field is the window without its low bits; rounded up, so that it never gets less."""
        tcb = receiver(rcvbuf=1 << 20, window=100_000)
        tcb.rcv_wscale = 7
        tcb.rcv_ssthresh = 100_001
        assert window.select_window(tcb, 0) == 782
        assert tcb.rcv_wnd == 782 << 7
        fill(tcb, 1)
        assert window.select_window(tcb, 0) == 782

    def test_tiny_segments_to_a_program_that_does_not_read(self):
        """A window is told in units of 2**shift: rounding must not move its edge beyond the buffer for ever."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        tcb.rcv_wscale = 7
        while window.offered(tcb) > 0 and tcb.rcv_nxt < START + 50 * MSS:
            fill(tcb, 1)
            window.select_window(tcb, 0)
        assert tcb.rcv_nxt <= START + 20 * MSS + 2 * 128

    def test_the_field_is_the_bound(self):
        """Without scaling nothing beyond 65535 is offered."""
        tcb = receiver(rcvbuf=1 << 20, window=60_000)
        tcb.rcv_ssthresh = 200_000
        assert window.select_window(tcb, 0) == 65535

    def test_memory_pressure(self):
        """With the namespace short of memory four segments are enough for a queue that is half full."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        fill(tcb, 12 * MSS)
        tcb.tcp.pressure = True
        assert window.next_window(tcb) == 4 * MSS


class TestUpdate:
    """When a reader's progress is told."""

    def test_twice_as_much(self):
        """Only a window of twice what the peer knows is worth a segment."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        tcb.window_clamp = 20 * MSS
        fill(tcb, 15 * MSS)
        window.select_window(tcb, 0)
        read(tcb, 4 * MSS)
        assert not window.update_is_due(tcb)
        read(tcb, MSS)
        assert window.update_is_due(tcb)

    def test_from_zero(self):
        """3.8.6.1: as soon as a segment fits, the peer, which may only probe, is told."""
        tcb = receiver(rcvbuf=8 * MSS, window=4 * MSS)
        fill(tcb, 4 * MSS)
        window.select_window(tcb, 0)
        read(tcb, MSS - 1)
        assert not window.update_is_due(tcb)
        read(tcb, 1)
        assert window.update_is_due(tcb)

    def test_not_when_plenty_is_offered(self):
        """More than half of all there may be."""
        tcb = receiver(rcvbuf=40 * MSS, window=20 * MSS)
        tcb.window_clamp = 20 * MSS
        fill(tcb, 9 * MSS)
        read(tcb, 9 * MSS)
        assert not window.update_is_due(tcb)


class TestGrowth:
    """tcp_grow_window: more is offered as data come."""

    def test_two_segments_or_twice_what_came(self):
        """As far as there is room."""
        tcb = receiver(rcvbuf=1 << 20, window=10 * MSS)
        window.grow(tcb, 500)
        assert tcb.rcv_ssthresh == 12 * MSS
        window.grow(tcb, 10 * MSS)
        assert tcb.rcv_ssthresh == 32 * MSS
        tcb.window_clamp = 33 * MSS
        window.grow(tcb, MSS)
        assert tcb.rcv_ssthresh == 33 * MSS

    def test_not_for_who_does_not_read(self):
        """What is queued takes room away."""
        tcb = receiver(rcvbuf=24 * MSS, window=10 * MSS)
        fill(tcb, 3 * MSS)
        assert tcb.rcv_ssthresh == 10 * MSS

    def test_pressure(self):
        """A namespace short of memory goes back to four segments."""
        tcb = receiver(rcvbuf=1 << 20, window=10 * MSS)
        tcb.tcp.pressure = True
        window.grow(tcb, MSS)
        assert tcb.rcv_ssthresh == 4 * MSS


class TestRoundTrip:
    """What the receiver knows of it."""

    def test_by_the_window(self):
        """Without timestamps: as long as a window takes to come; the least of all."""
        tcb = receiver(window=2000)
        window.measure_by_window(tcb, 10 * MS)
        assert tcb.rcv_rtt_seq == START + 2000
        tcb.rcv_nxt += 1999
        window.measure_by_window(tcb, 20 * MS)
        assert tcb.rcv_rtt == 0
        tcb.rcv_nxt += 1
        window.measure_by_window(tcb, 50 * MS)
        assert tcb.rcv_rtt == 40 * MS
        tcb.rcv_nxt += 2000
        window.measure_by_window(tcb, 150 * MS)
        assert tcb.rcv_rtt == 40 * MS

    def test_by_what_is_echoed(self):
        """With them: of full segments, once for each echo, smoothed by an eighth."""
        tcb = receiver()
        seg = segment(bytes(MSS), tsecr=100)
        window.measure_by_echo(tcb, seg, MSS - 1, 180 * MS)
        assert tcb.rcv_rtt == 0
        window.measure_by_echo(tcb, seg, MSS, 180 * MS)
        assert tcb.rcv_rtt == 80 * MS
        window.measure_by_echo(tcb, seg, MSS, 900 * MS)
        assert tcb.rcv_rtt == 80 * MS
        window.measure_by_echo(tcb, segment(bytes(MSS), tsecr=200), MSS, 360 * MS)
        assert tcb.rcv_rtt == 90 * MS


class TestTuning:
    """``tcp_moderate_rcvbuf``: twice what is read in a round trip, and what it grows by (tcp_rcv_space_adjust)."""

    @pytest.fixture
    def tcb(self):
        made = receiver(rcvbuf=1 << 17)
        made.rcv_rtt = 100 * MS
        made.rcv_wscale = 7
        made.space, made.space_seq, made.space_at = 10 * MSS, START, SECOND
        return made

    def test_the_buffer_follows_the_reader(self, tcb):
        """2 * 20000 + 16 segments, and once more twice the doubling: 168000 bytes of window."""
        tcb.copied_seq = START + 20 * MSS
        window.adjust_space(tcb, SECOND + 100 * MS)
        assert tcb.sock.rcvbuf == 2 * (56_000 + 2 * 56_000)
        assert tcb.window_clamp == tcb.sock.rcvbuf // 2
        assert (tcb.space, tcb.space_seq, tcb.space_at) == (20 * MSS, START + 20 * MSS, SECOND + 100 * MS)

    def test_once_in_a_round_trip(self, tcb):
        """Before its end nothing is judged."""
        tcb.copied_seq = START + 20 * MSS
        window.adjust_space(tcb, SECOND + 99 * MS)
        assert (tcb.sock.rcvbuf, tcb.space_seq) == (1 << 17, START)

    def test_no_growth_without_need(self, tcb):
        """Who reads no more than before has enough."""
        tcb.copied_seq = START + 10 * MSS
        window.adjust_space(tcb, SECOND + 100 * MS)
        assert (tcb.sock.rcvbuf, tcb.space_seq) == (1 << 17, START + 10 * MSS)

    def test_the_bound(self, tcb):
        """``tcp_rmem``'s last."""
        tcb.copied_seq = START + 10_000 * MSS
        window.adjust_space(tcb, SECOND + 100 * MS)
        assert tcb.sock.rcvbuf == tcb.ns.conf.tcp.rmem[2]

    def test_a_size_that_was_set_stays(self, tcb):
        """SO_RCVBUF switches it off for the socket."""
        tcb.sock.locked = LOCK_RCVBUF
        tcb.copied_seq = START + 20 * MSS
        window.adjust_space(tcb, SECOND + 100 * MS)
        assert (tcb.sock.rcvbuf, tcb.space) == (1 << 17, 20 * MSS)
