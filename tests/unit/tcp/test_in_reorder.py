"""Data beyond a gap, and what is told of them (RFC 2018, RFC 2883)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tcp.receiving import START, octets, receiver
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import reorder
from vrouter.stack.l4.tcp.reorder import MAX_BLOCKS, RANGE_COST, OutOfOrder, insert, prune, sack_blocks, tell_duplicate


def put(ooo, start, end, fin=False):
    return ooo.insert(start, end, octets(start, end - fin), fin)


def held(ooo):
    return [(one.start, one.end) for one in ooo.ranges]


def content(ooo):
    return [b"".join(map(bytes, one.chunks)) for one in ooo.ranges]


@pytest.fixture
def ooo():
    made = OutOfOrder()
    assert put(made, 100, 200) == (100, None)
    assert put(made, 300, 400) == (100, None)
    return made


@pytest.mark.parametrize(
    ("start", "end", "added", "duplicate", "after"),
    [
        (200, 250, 50, None, [(100, 250), (300, 400)]),  # touches one from behind
        (250, 300, 50, None, [(100, 200), (250, 400)]),  # touches one in front
        (200, 300, 100, None, [(100, 400)]),  # fills the gap
        (150, 250, 50, (150, 200), [(100, 250), (300, 400)]),  # overlaps the end of one
        (250, 350, 50, (300, 350), [(100, 200), (250, 400)]),  # overlaps the beginning of one
        (150, 350, 100, (150, 200), [(100, 400)]),  # overlaps both: the first is told
        (120, 180, 0, (120, 180), [(100, 200), (300, 400)]),  # was here
        (100, 200, 0, (100, 200), [(100, 200), (300, 400)]),
        (50, 450, 200, (100, 200), [(50, 450)]),  # covers both
        (210, 290, 80, None, [(100, 200), (210, 290), (300, 400)]),  # between
        (400, 500, 100, None, [(100, 200), (300, 500)]),  # the next one
    ],
)
def test_insertion(ooo, start, end, added, duplicate, after):
    """RFC 9293 3.10.7.4 (SHLD-31): held for later, each byte once."""
    assert put(ooo, start, end) == (added, duplicate)
    assert held(ooo) == after
    assert ooo.starts == [one[0] for one in after]
    assert ooo.size == 200 + added
    assert content(ooo) == [octets(*one) for one in after]


def test_what_came_first_stays(ooo):
    """Of data that come twice and differ, the first are kept."""
    ooo.insert(150, 350, bytes(200), False)
    assert content(ooo) == [octets(100, 200) + bytes(100) + octets(300, 400)]


class TestFin:
    """RFC 9293 3.4: a FIN has a number, and nothing follows it."""

    def test_it_belongs_to_its_range(self, ooo):
        """Its number is told with SACK like any other."""
        assert put(ooo, 400, 501, fin=True) == (100, None)
        assert held(ooo)[-1] == (300, 501)
        assert (ooo.fin, ooo.size) == (500, 300)

    def test_alone(self, ooo):
        """A FIN without data, beyond a gap."""
        assert put(ooo, 600, 601, fin=True) == (0, None)
        assert held(ooo)[-1] == (600, 601)
        assert (ooo.fin, ooo.size, ooo.pop_last()) == (600, 200, 0)
        assert ooo.fin == -1

    def test_what_follows_it_is_cut(self, ooo):
        """Data beyond it are not taken."""
        put(ooo, 400, 501, fin=True)
        assert put(ooo, 450, 600) == (0, (450, 500))
        assert put(ooo, 550, 600) == (0, None)
        assert held(ooo)[-1] == (300, 501)

    def test_one_before_what_came_is_no_fin(self, ooo):
        """Data beyond it came first, so that it is wrong."""
        assert put(ooo, 200, 251, fin=True) == (50, None)
        assert (ooo.fin, held(ooo)) == (-1, [(100, 250), (300, 400)])

    def test_a_second_one_elsewhere_is_none(self, ooo):
        """There is but one."""
        put(ooo, 400, 501, fin=True)
        assert put(ooo, 200, 251, fin=True) == (50, None)
        assert ooo.fin == 500

    def test_once_more(self, ooo):
        """A retransmission of it is a duplicate, its number included."""
        put(ooo, 400, 501, fin=True)
        assert put(ooo, 450, 501, fin=True) == (0, (450, 501))
        assert (ooo.fin, ooo.size) == (500, 300)


def test_small_pieces_keep_no_large_buffer_alive(ooo):
    """A byte that is new in a large segment is copied out of it."""
    ooo.insert(50, 301, octets(50, 301), False)
    whole = OutOfOrder()
    whole.insert(0, 1000, bytes(1000), False)
    whole.insert(0, 1001, bytes(1001), False)
    assert [type(chunk) for chunk in whole.ranges[0].chunks] == [bytes, bytes]
    assert len(whole.ranges[0].chunks[1]) == 1


class TestBlocks:
    """RFC 2018 4, RFC 2883 4."""

    def test_the_latest_first(self):
        """RFC 2018 4: the first block has the segment that triggered the ACK, then the most recent ones."""
        tcb = receiver()
        for start in (100, 300, 500, 700, 900):
            insert(tcb, START + start, START + start + 100, bytes(100), False)
        insert(tcb, START + 400, START + 450, bytes(50), False)
        assert [(left - START, right - START) for left, right in sack_blocks(tcb, 4)] == [
            (300, 450),
            (900, 1000),
            (700, 800),
            (500, 600),
        ]
        assert len(sack_blocks(tcb, 3)) == 3

    def test_as_many_as_there_is_room_for(self):
        """RFC 2018 4: blocks that were reported long ago come back once there is room."""
        tcb = receiver()
        for index in range(12):
            insert(tcb, START + 100 + 200 * index, START + 200 + 200 * index, bytes(100), False)
        for index in range(11, 2, -1):  # fill the gaps from above
            insert(tcb, START + 200 * index, START + 100 + 200 * index, bytes(100), False)
        assert held(tcb.ooo) == [(START + 100, START + 200), (START + 300, START + 400), (START + 500, START + 2400)]
        assert sack_blocks(tcb, MAX_BLOCKS) == [
            (START + 500, START + 2400),
            (START + 100, START + 200),
            (START + 300, START + 400),
        ]

    def test_a_duplicate_goes_in_front(self):
        """RFC 2883 4: the D-SACK block is the first, the block that holds it the second (4.2)."""
        tcb = receiver()
        insert(tcb, START + 100, START + 200, bytes(100), False)
        insert(tcb, START + 300, START + 400, bytes(100), False)
        insert(tcb, START + 150, START + 200, bytes(50), False)
        assert sack_blocks(tcb, 4) == [
            (START + 150, START + 200),
            (START + 100, START + 200),
            (START + 300, START + 400),
        ]
        assert tcb.ns.stats[Stat.TcpDSACKOfoSent] == 1

    def test_a_duplicate_below_the_acknowledgment(self):
        """RFC 2883 4.1.1: what is acknowledged already came once more."""
        tcb = receiver()
        tell_duplicate(tcb, START - 500, START)
        assert sack_blocks(tcb, 4) == [(START - 500, START)]
        assert tcb.ns.stats[Stat.TcpDSACKOldSent] == 1

    def test_one_duplicate_for_each_ack(self):
        """RFC 2883 4: the first that is not told yet; one that touches it is told with it."""
        tcb = receiver()
        tell_duplicate(tcb, START - 500, START - 400)
        tell_duplicate(tcb, START - 400, START - 300)
        tell_duplicate(tcb, START - 100, START)
        assert tcb.dsack == (START - 500, START - 300)

    @pytest.mark.parametrize(("sack_ok", "dsack"), [(False, True), (True, False)])
    def test_only_when_agreed_and_wanted(self, sack_ok, dsack):
        """Without SACK, or with ``tcp_dsack`` 0, nothing is told."""
        tcb = receiver(dsack=dsack)
        tcb.sack_ok = sack_ok
        tell_duplicate(tcb, START - 500, START)
        assert tcb.dsack is None


def test_pruning_goes_from_the_highest_down():
    """RFC 2018 8: what is waited for longest goes first."""
    tcb = receiver()
    for index in range(4):
        insert(tcb, START + 100 + 200 * index, START + 200 + 200 * index, bytes(100), False)
    assert prune(tcb, 100 + RANGE_COST + 1) == 200
    assert held(tcb.ooo) == [(START + 100, START + 200), (START + 300, START + 400)]
    assert [one[0] for one in sack_blocks(tcb, 4)] == [START + 300, START + 100]
    assert prune(tcb, 1 << 20) == 200
    assert tcb.ooo is None


SEGMENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20), st.booleans()), max_size=40)


@given(SEGMENTS)
def test_against_a_slow_twin(segments):
    """Byte by byte: what came first stays, ranges are disjoint and never touch, sizes and duplicates are right."""
    ooo = OutOfOrder()
    twin = {}
    fin = -1
    for serial, (start, size, has_fin) in enumerate(segments):
        data = bytes([serial] * size)
        end = start + size
        said = ooo.insert(start, end + has_fin, data, has_fin)
        numbers = list(range(start, end))
        if fin >= 0:
            numbers = [number for number in numbers if number < fin]
            if has_fin and end == fin:
                numbers.append(fin)
        elif has_fin and not any(number >= end for number in twin):
            fin = end
            numbers.append(end)
        doubles = [number for number in numbers if number in twin]
        new = [number for number in numbers if number not in twin]
        for number in new:
            twin[number] = serial
        first = None
        if doubles:
            last = doubles[0]
            while last + 1 in doubles:
                last += 1
            first = doubles[0], last + 1
        assert said[0] == len([number for number in new if number != fin])
        assert said[1] == first
    pieces = []
    for number in sorted(twin):
        if pieces and pieces[-1][1] == number:
            pieces[-1][1] = number + 1
        else:
            pieces.append([number, number + 1])
    assert held(ooo) == [tuple(piece) for piece in pieces]
    assert ooo.fin == fin
    assert content(ooo) == [bytes(twin[number] for number in range(*piece) if number != fin) for piece in pieces]
    assert ooo.size == sum(map(len, content(ooo)))
    assert ooo.charged == ooo.size + RANGE_COST * len(pieces)
    assert set(ooo.recent) <= set(ooo.ranges)
    assert len(ooo.recent) == len(set(ooo.recent)) <= 2 * reorder.MAX_BLOCKS
