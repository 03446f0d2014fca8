"""Data that arrives: the queue, order, and what the sender is told (RFC 9293 3.10.7.4, seventh; RFC 2883; RFC 3168)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tcp.receiving import MSS, START, octets, receiver, segment
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import receive
from vrouter.stack.l4.tcp.delack import DUE, NOW, PUSHED
from vrouter.stack.l4.tcp.receive import ReceiveQueue, receive_data
from vrouter.stack.l4.tcp.reorder import RANGE_COST, sack_blocks
from vrouter.stack.l4.tcp.tcb import ECN_DEMAND_CWR, ECN_OK, ECN_SEEN
from vrouter.stack.wire.tcp import ACK, CWR, FIN

NOW_NS = 1_000_000_000


def arrive(tcb, start, end, flags=ACK, now=NOW_NS, **how):
    """The bytes numbered START + `start` to START + `end` arrive, with a FIN behind them if `flags` say so."""
    return receive_data(tcb, segment(octets(start, end), flags, **how), START + start, START + end, now)


def blocks(tcb):
    return [(left - START, right - START) for left, right in sack_blocks(tcb, 4)]


class TestQueue:
    """What the program reads."""

    def test_small_pieces_are_joined(self):
        """A thousand bytes one by one keep a thousand bytes, not a thousand buffers."""
        queue = ReceiveQueue()
        for number in range(1000):
            queue.append(octets(number, number + 1))
        assert (queue.size, len(queue._chunks)) == (1000, 1)
        assert queue.read(1000) == octets(0, 1000)

    def test_large_pieces_stay_where_they_are(self):
        """A superframe is not copied."""
        data = bytearray(octets(0, 60000))
        queue = ReceiveQueue()
        queue.append(memoryview(data)[100:50000])
        (piece,) = queue.chunks()
        assert piece.obj is data
        assert piece == data[100:50000]

    def test_reading_in_parts(self):
        """Any cut gives the same bytes."""
        queue = ReceiveQueue()
        for start in range(0, 5000, 1000):
            queue.append(octets(start, start + 1000))
        assert queue.read(1500) == octets(0, 1500)
        assert queue.peek(1000) == octets(1500, 2500)
        view = memoryview(bytearray(1700))
        assert queue.read_into(view) == 1700
        assert view == octets(1500, 3200)
        assert queue.skip(300) == 300
        assert b"".join(queue.chunks(600)) == octets(3500, 4100)
        assert queue.size == 900
        assert queue.read(5000) == octets(4100, 5000)
        assert (queue.size, queue.read(10), queue.peek(10), queue.chunks()) == (0, b"", b"", [])

    def test_what_is_handed_out_may_be_kept(self):
        """More may be joined while somebody holds what was read."""
        queue = ReceiveQueue()
        queue.append(b"abc")
        kept = queue.chunks(2)
        queue.append(b"def")
        assert (b"".join(kept), queue.read(10)) == (b"ab", b"cdef")

    def test_throwing_all_away(self):
        """How many bytes that were."""
        queue = ReceiveQueue()
        queue.append(b"abc")
        queue.read(1)
        assert (queue.clear(), queue.size, queue.read(10)) == (2, 0, b"")

    @given(st.lists(st.tuples(st.sampled_from("arip"), st.integers(0, 1500)), max_size=60))
    def test_against_a_slow_twin(self, steps):
        """A byte string with a beginning and an end."""
        queue, twin, at = ReceiveQueue(), bytearray(), 0
        for what, count in steps:
            if what == "a":
                data = octets(at, at + count)
                at += count
                queue.append(memoryview(data) if count > 512 else data)
                twin += data
            elif what == "r":
                assert queue.read(count) == twin[:count]
                del twin[:count]
            elif what == "i":
                view = memoryview(bytearray(count))
                assert queue.read_into(view) == min(count, len(twin))
                assert view[: len(twin)] == twin[:count]
                del twin[:count]
            else:
                assert queue.peek(count) == twin[:count]
            assert queue.size == len(twin)


class TestInOrder:
    """RFC 9293 3.10.7.4: RCV.NXT moves over what is accepted."""

    def test_the_next(self):
        """Taken, an ACK is due, the program is woken."""
        tcb = receiver()
        assert arrive(tcb, 0, 1000) == 0
        assert tcb.rcv_nxt == START + 1000
        assert tcb.ack_pending == DUE
        assert (tcb.sock.woken, tcb.tcp.memory) == (1, 1000)
        assert tcb.rcvq.read(9999) == octets(0, 1000)

    def test_a_superframe_is_not_copied(self):
        """A large segment stays in its packet."""
        tcb = receiver()
        seg = segment(octets(0, 60000))
        receive_data(tcb, seg, START, START + 60000, NOW_NS)
        assert tcb.rcvq.chunks()[0].obj is seg.pkt.buf

    def test_a_small_segment_keeps_no_large_buffer(self):
        """Little data in a packet with much slack are copied out of it."""
        tcb = receiver()
        seg = segment(octets(0, 1000), slack=60000)
        receive_data(tcb, seg, START, START + 1000, NOW_NS)
        (chunk,) = tcb.rcvq.chunks()
        assert chunk == octets(0, 1000)
        assert len(chunk) == 1000
        assert getattr(chunk, "obj", None) is not seg.pkt.buf

    def test_only_the_new_part(self):
        """ "If a segment's contents straddle the boundary between old and new, only the new parts are processed"."""
        tcb = receiver()
        arrive(tcb, 0, 1000)
        tcb.ack_pending = 0
        assert arrive(tcb, 500, 1500) == 0
        assert tcb.rcvq.read(9999) == octets(0, 1500)
        assert blocks(tcb) == [(500, 1000)]  # RFC 2883 4.1.2

    def test_only_what_is_within_the_window(self):
        """ "Trimming off any portions that lie outside the window (including SYN and FIN)"."""
        tcb = receiver(window=1000)
        assert arrive(tcb, 0, 1500, ACK | FIN) == 0
        assert (tcb.rcv_nxt, tcb.fin_rcvd) == (START + 1000, False)

    def test_a_fin_needs_no_room(self):
        """A FIN right at the window's edge costs no buffer."""
        tcb = receiver(window=1000)
        assert arrive(tcb, 0, 1000, ACK | FIN) == 0
        assert (tcb.rcv_nxt, tcb.fin_rcvd) == (START + 1001, True)

    def test_a_bare_fin_in_a_zero_window(self):
        """Some send it so, and it costs nothing."""
        tcb = receiver(window=0)
        assert arrive(tcb, 0, 0, ACK | FIN) == 0
        assert tcb.fin_rcvd


class TestLowMark:
    """SO_RCVLOWAT: the program is told once it has what it wants."""

    def test_not_before(self):
        """Two segments make it."""
        tcb = receiver()
        tcb.sock.rcvlowat = 1500
        arrive(tcb, 0, 1000)
        assert tcb.sock.woken == 0
        arrive(tcb, 1000, 2000)
        assert tcb.sock.woken == 1

    def test_when_no_more_can_come(self):
        """The window is full, or the stream has ended."""
        tcb = receiver(window=1500)
        tcb.sock.rcvlowat = 9000
        arrive(tcb, 0, 1000)
        assert tcb.sock.woken == 1
        tcb = receiver()
        tcb.sock.rcvlowat = 9000
        arrive(tcb, 0, 1000, ACK | FIN)
        assert tcb.sock.woken == 1


class TestRefused:
    """RFC 9293 3.10.7.4, first: what is not acceptable is answered with an ACK."""

    @pytest.mark.parametrize(
        ("window", "start", "end", "reason"),
        [
            (1000, -500, 0, DropReason.TCP_OLD_DATA),
            (1000, 1000, 1001, DropReason.TCP_OVERWINDOW),
            (0, 0, 1, DropReason.TCP_ZEROWINDOW),
            (0, -10, 1, DropReason.TCP_ZEROWINDOW),
        ],
    )
    def test_reasons(self, window, start, end, reason):
        """Table 6: what lies wholly before or behind the window, anything when that is zero."""
        tcb = receiver(window=window)
        assert arrive(tcb, start, end) == reason
        assert (tcb.rcv_nxt, tcb.ack_pending & DUE) == (START, DUE)
        assert tcb.rcvq is None

    def test_a_duplicate_is_told(self):
        """RFC 2883 4.1.1: a D-SACK for a segment that came before."""
        tcb = receiver()
        assert arrive(tcb, -500, 0) == DropReason.TCP_OLD_DATA
        assert blocks(tcb) == [(-500, 0)]
        assert tcb.quickacks == 16
        assert tcb.ns.stats[Stat.TcpDelayedACKLost] == 1

    def test_a_fin_once_more(self):
        """RFC 9293 3.10.7.4, eighth: it is answered, and its number is told as a duplicate."""
        tcb = receiver()
        arrive(tcb, 0, 100, ACK | FIN)
        tcb.dsack = None
        assert arrive(tcb, 0, 100, ACK | FIN) == DropReason.TCP_OLD_DATA
        assert (blocks(tcb), tcb.rcv_nxt) == ([(0, 101)], START + 101)

    def test_nothing_follows_a_fin(self):
        """Data beyond it are not taken."""
        tcb = receiver()
        arrive(tcb, 0, 100, ACK | FIN)
        assert arrive(tcb, 50, 200) == DropReason.TCP_OLD_DATA
        assert tcb.rcvq.size == 100


class TestOutOfOrder:
    """SHLD-31: held for later; RFC 2018 4: told; RFC 5681 4.2: at once."""

    def test_a_gap_and_its_end(self):
        """What was held follows what fills the gap, and that is acknowledged at once."""
        tcb = receiver()
        assert arrive(tcb, 1000, 2000) == 0
        assert (tcb.rcv_nxt, blocks(tcb)) == (START, [(1000, 2000)])
        assert tcb.tcp.memory == 1000
        tcb.ack_pending = 0
        assert arrive(tcb, 0, 1000) == 0
        assert (tcb.rcv_nxt, tcb.ooo) == (START + 2000, None)
        assert tcb.ack_pending & NOW
        assert tcb.rcvq.read(9999) == octets(0, 2000)
        assert tcb.info.rcv_ooopack == 1
        assert tcb.info.bytes_received == 2000

    def test_what_fills_a_part(self):
        """With another gap behind, the rest is held."""
        tcb = receiver()
        arrive(tcb, 1000, 2000)
        arrive(tcb, 3000, 4000)
        arrive(tcb, 0, 1000)
        assert (tcb.rcv_nxt, blocks(tcb)) == (START + 2000, [(3000, 4000)])

    def test_what_fills_more_than_the_gap(self):
        """Bytes that came twice are told (RFC 2883 4.2.2), and counted once."""
        tcb = receiver()
        arrive(tcb, 1000, 2000)
        arrive(tcb, 0, 1500)
        assert (tcb.rcv_nxt, tcb.tcp.memory, tcb.rcvq.size) == (START + 2000, 2000, 2000)
        assert blocks(tcb) == [(1000, 1500)]
        assert tcb.rcvq.read(9999) == octets(0, 2000)

    def test_what_covers_all(self):
        """A segment over several ranges."""
        tcb = receiver()
        arrive(tcb, 1000, 1100)
        arrive(tcb, 1200, 1300)
        arrive(tcb, 0, 2000)
        assert (tcb.rcv_nxt, tcb.tcp.memory, tcb.ooo) == (START + 2000, 2000, None)
        assert tcb.rcvq.read(9999) == octets(0, 2000)

    def test_a_fin_beyond_a_gap(self):
        """It takes effect when the gap is filled."""
        tcb = receiver()
        arrive(tcb, 1000, 2000, ACK | FIN)
        assert (tcb.fin_rcvd, blocks(tcb)) == (False, [(1000, 2001)])
        arrive(tcb, 0, 1000)
        assert (tcb.fin_rcvd, tcb.rcv_nxt, tcb.ooo) == (True, START + 2001, None)
        assert (tcb.rcvq.size, tcb.tcp.memory) == (2000, 2000)

    def test_a_fin_cuts_what_follows_it(self):
        """The FIN's number is known: data in order end there."""
        tcb = receiver()
        arrive(tcb, 1000, 1000, ACK | FIN)
        arrive(tcb, 0, 1500)
        assert (tcb.fin_rcvd, tcb.rcv_nxt, tcb.rcvq.size) == (True, START + 1001, 1000)

    def test_a_fin_in_order_ends_all(self):
        """What is held beyond it goes (tcp_fin)."""
        tcb = receiver()
        arrive(tcb, 1000, 2000)
        arrive(tcb, 0, 500, ACK | FIN)
        assert (tcb.fin_rcvd, tcb.ooo, tcb.tcp.memory) == (True, None, 500)

    def test_what_was_here(self):
        """RFC 2883 4.2.1: a duplicate out of order."""
        tcb = receiver()
        arrive(tcb, 1000, 2000)
        assert arrive(tcb, 1000, 2000) == DropReason.TCP_OLD_DATA
        assert blocks(tcb) == [(1000, 2000), (1000, 2000)]

    def test_many_tiny_ranges_do_not_outgrow_the_buffer(self):
        """A range costs memory: the highest make room, then nothing more is taken."""
        tcb = receiver(rcvbuf=16 * 1024, window=8 * 1024)
        refused = 0
        for start in range(1, 8000, 2):
            refused += arrive(tcb, start, start + 1) == DropReason.TCP_OFO_QUEUE_PRUNE
        assert tcb.ooo.charged <= 16 * 1024
        assert len(tcb.ooo.ranges) == 16 * 1024 // (RANGE_COST + 1)
        assert refused == 4000 - len(tcb.ooo.ranges)
        assert tcb.ooo.ranges[0].start == START + 1
        low = arrive(tcb, 0, 1)
        assert (low, tcb.rcv_nxt) == (0, START + 2)
        assert tcb.ns.stats[Stat.TcpOFODrop] == refused

    def test_a_lower_one_takes_the_place_of_the_highest(self):
        """RFC 2018 8: what was told may be taken back, from above."""
        tcb = receiver(rcvbuf=4 * (RANGE_COST + 100), window=2000)
        for start in (1800, 1600, 1400, 1200, 1000):
            assert arrive(tcb, start, start + 100) == 0
        assert [one.start - START for one in tcb.ooo.ranges] == [1000, 1200, 1400, 1600]
        assert tcb.tcp.memory == 400
        assert tcb.ns.stats[Stat.TcpOfoPruned] == 1


class TestMemory:
    """``tcp_mem``: connections that have something wait for the others."""

    def test_under_pressure_a_full_namespace_takes_nothing_more(self):
        """But whoever has nothing yet gets something."""
        tcb = receiver(mem=(1, 1, 1))
        tcb.tcp.charge(5000)
        assert arrive(tcb, 0, 1000) == 0
        assert arrive(tcb, 1000, 2000) == DropReason.SOCKET_RCVBUFF
        assert tcb.ack_pending & NOW
        assert tcb.ns.stats[Stat.TcpRcvQDrop] == 1
        assert tcb.rcv_ssthresh == 4 * MSS

    def test_ranges_make_room_for_what_is_in_order(self):
        """What is beyond a gap goes before what is next."""
        tcb = receiver(mem=(1, 1, 1))
        arrive(tcb, 1000, 4000)
        tcb.tcp.charge(1200)
        assert arrive(tcb, 0, 500) == 0
        assert (tcb.rcv_nxt, tcb.ooo) == (START + 500, None)

    def test_all_is_given_back(self):
        """What the program lets go of is charged no longer."""
        tcb = receiver()
        arrive(tcb, 0, 1000)
        arrive(tcb, 2000, 3000)
        receive.drop_all(tcb)
        assert (tcb.tcp.memory, tcb.copied_seq, tcb.ooo) == (0, START + 1000, None)


class TestMarks:
    """RFC 3168 6.1.3: the receiver."""

    @pytest.fixture
    def tcb(self):
        made = receiver()
        made.ecn = ECN_OK
        made.ato = 1
        made.last_rcv_at = NOW_NS
        made.pingpong = 1
        return made

    def test_a_mark_is_told_until_cwr(self, tcb):
        """ECE on every ACK, until CWR comes; that is acknowledged at once."""
        arrive(tcb, 0, 1000, tos=3)
        assert tcb.ecn == ECN_OK | ECN_DEMAND_CWR | ECN_SEEN
        assert (tcb.quickacks, tcb.pingpong) == (2 | 1, 0)  # growth of the window makes it odd, as in Linux
        arrive(tcb, 1000, 2000, tos=2)
        assert tcb.ecn & ECN_DEMAND_CWR
        tcb.ack_pending = 0
        arrive(tcb, 2000, 3000, ACK | CWR, tos=2)
        assert tcb.ecn == ECN_OK | ECN_SEEN
        assert tcb.ack_pending & NOW

    def test_a_mark_behind_cwr_counts_anew(self, tcb):
        """CWR and CE in one segment: the mark is new."""
        arrive(tcb, 0, 1000, tos=3)
        arrive(tcb, 1000, 2000, ACK | CWR, tos=3)
        assert tcb.ecn & ECN_DEMAND_CWR

    def test_a_mark_out_of_order(self, tcb):
        """It counts as well."""
        arrive(tcb, 1000, 2000, tos=3)
        assert tcb.ecn & ECN_DEMAND_CWR

    def test_without_an_agreement(self, tcb):
        """RFC 3168 6.1.1: nothing is told."""
        tcb.ecn = 0
        arrive(tcb, 0, 1000, tos=3)
        assert tcb.ecn == 0

    def test_ipv6(self, tcb):
        """The same bits of the traffic class."""
        seg = segment(octets(0, 1000))
        seg.pkt.family = 6
        seg.pkt.buf[14:16] = b"\x60\x30"
        receive_data(tcb, seg, START, START + 1000, NOW_NS)
        assert tcb.ecn & ECN_DEMAND_CWR


def test_a_small_segment_with_psh_is_pushed():
    """A reader who empties the queue after it sends the ACK (tcp_cleanup_rbuf)."""
    tcb = receiver()
    arrive(tcb, 0, 10)
    assert tcb.ack_pending == DUE | PUSHED


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 15), st.booleans()), max_size=60), st.integers(0, 40))
def test_any_order_gives_the_same_bytes(segments, length):
    """A stream of `length` bytes and a FIN, cut and repeated in any way: never a wrong byte, never a byte too many, and
    all accounts are right."""
    tcb = receiver(rcvbuf=1 << 20)
    for start, size, now_fin in segments:
        end = min(start + size, length)
        flags = ACK | FIN if now_fin and end == length and start <= end else ACK
        if end < start or (end == start and not flags & FIN):
            continue
        arrive(tcb, start, end, flags)
        got = tcb.rcv_nxt - START - tcb.fin_rcvd
        queued = tcb.rcvq.size if tcb.rcvq is not None else 0
        assert queued == got
        assert tcb.tcp.memory == queued + (tcb.ooo.size if tcb.ooo is not None else 0)
        if tcb.ooo is not None:
            assert tcb.ooo.ranges[0].start > tcb.rcv_nxt
    if tcb.rcvq is not None:
        assert tcb.rcvq.read(9999) == octets(0, tcb.rcv_nxt - START - tcb.fin_rcvd)
    arrive(tcb, 0, length, ACK | FIN)
    assert (tcb.fin_rcvd, tcb.rcv_nxt, tcb.ooo) == (True, START + length + 1, None)
