"""The scoreboard of ranges against a twin that keeps a record of every single byte."""

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.stack.l4.tcp.scoreboard import EVER, LOST, RETRANS, SACKED, Range, Scoreboard

FIRST = 5_000_000_000


class Byte:
    """One byte: its marks, when it left last, and which segment of the wire it is in."""

    def __init__(self, sent_at: int, segment: tuple[int, int, int]) -> None:
        self.flags = 0
        self.sent_at = sent_at
        self.segment = segment


class Twin:
    """Bytes by number."""

    def __init__(self) -> None:
        self.una = self.nxt = FIRST
        self.bytes: dict[int, Byte] = {}

    def send(self, start: int, end: int, now: int, mss: int) -> None:
        for seq in range(start, end):
            self.bytes[seq] = Byte(now, (start, mss, (seq - start) // mss))
        self.nxt = end

    def ack(self, ack: int) -> None:
        for seq in range(self.una, ack):
            del self.bytes[seq]
        self.una = max(self.una, ack)

    def sack(self, left: int, right: int) -> None:
        """Whole segments only: every byte that is left of one has to lie in the block."""
        whole: dict[tuple[int, int, int], list[int]] = {}
        for seq, byte in self.bytes.items():
            whole.setdefault(byte.segment, []).append(seq)
        for seqs in whole.values():
            if left <= min(seqs) and max(seqs) < right:
                for seq in seqs:
                    byte = self.bytes[seq]
                    if not byte.flags & SACKED:
                        gone = LOST | RETRANS if byte.flags & LOST else 0
                        byte.flags = byte.flags & ~gone | SACKED

    def lose(self, start: int, end: int) -> None:
        for seq in range(start, end):
            byte = self.bytes[seq]
            if not byte.flags & SACKED:
                byte.flags = byte.flags & ~RETRANS | LOST

    def resend(self, start: int, end: int, now: int, mss: int) -> None:
        for seq in range(start, end):
            byte = self.bytes[seq]
            byte.flags |= RETRANS | EVER
            byte.sent_at = now
            byte.segment = (-start - now, mss, (seq - start) // mss)  # another one than any before

    def forgive(self) -> None:
        for byte in self.bytes.values():
            byte.flags &= ~LOST

    def unsack(self) -> None:
        for byte in self.bytes.values():
            byte.flags &= ~SACKED

    def count(self, flags: int, of: int) -> int:
        return sum(byte.flags & of == flags for byte in self.bytes.values())

    def first_waiting(self) -> int | None:
        for seq in range(self.una, self.nxt):
            if self.bytes[seq].flags & (LOST | RETRANS) == LOST:
                return seq
        return None


def in_time(board: Scoreboard) -> list[Range]:
    """The list in order of transmission, walked both ways."""
    forth, back = [], []
    one = board.head.newer
    while one is not board.head:
        assert one is not None
        forth.append(one)
        one = one.newer
    one = board.head.older
    while one is not board.head:
        assert one is not None
        back.append(one)
        one = one.older
    assert back[::-1] == forth
    return forth


def agree(board: Scoreboard, twin: Twin) -> None:
    """Every promise of the scoreboard that can be read off it."""
    at = twin.una
    for one in board.ranges:
        assert one.start == at
        assert one.start < one.end
        for seq in range(one.start, one.end):
            assert twin.bytes[seq].flags == one.flags
            assert one.flags & SACKED or twin.bytes[seq].sent_at == one.sent_at
        at = one.end
    assert at == twin.nxt
    assert board.sacked == twin.count(SACKED, SACKED)
    assert board.lost == twin.count(LOST, LOST)
    assert board.retrans == twin.count(RETRANS, RETRANS)
    assert board.waiting == twin.count(LOST, LOST | RETRANS)
    sacked = [seq for seq, byte in twin.bytes.items() if byte.flags & SACKED]
    assert board.highest_sacked == (max(sacked) + 1 if sacked else -1)
    assert (board.sacked_segments > 0) == bool(sacked)
    waiting = board.next_waiting()
    assert (waiting and waiting.start) == twin.first_waiting()
    listed = in_time(board)
    assert [one.order for one in listed] == sorted(one.order for one in listed)
    assert [one.sent_at for one in listed] == sorted(one.sent_at for one in listed)
    waits = [one for one in board.ranges if not one.flags & SACKED and one.flags & (LOST | RETRANS) != LOST]
    assert sorted(map(id, listed)) == sorted(map(id, waits))
    # Bounded: never more ranges than there are segments.
    assert len(board.ranges) <= len({byte.segment for byte in twin.bytes.values()})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 40), st.booleans()),
        st.tuples(st.just("ack"), st.floats(0, 1), st.booleans()),
        st.tuples(st.just("sack"), st.floats(0, 1), st.integers(1, 30)),
        st.tuples(st.just("lose"), st.floats(0, 1), st.integers(1, 3)),
        st.tuples(st.just("resend"), st.integers(1, 12), st.booleans()),
        st.tuples(st.just("forgive"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, mss=st.integers(1, 7), reneges=st.booleans())
def test_ranges_say_what_bytes_would(steps: list[tuple[str, int, int]], mss: int, reneges: bool) -> None:
    """RFC 6675 2, RFC 8985 5.2: marks, sums and order are those of a scoreboard with an entry for each byte."""
    board, twin, now = Scoreboard(), Twin(), 1
    for what, value, more in steps:
        span = twin.nxt - twin.una
        if what == "send":
            now += more
            board.send(twin.nxt, twin.nxt + value, now, mss)
            twin.send(twin.nxt, twin.nxt + value, now, mss)
        elif what == "ack":
            ack = twin.una + int(value * span)
            taken = board.take(ack)
            assert sum(one.end - one.start for one in taken) == ack - twin.una
            twin.ack(ack)
        elif what == "sack" and span > 1:
            left = twin.una + 1 + int(value * (span - 1))
            right = min(left + more, twin.nxt)
            if left < right:
                found = board.cover(left, right)
                for one in found:
                    board.mark_sacked(one)
                if found:
                    board.join_sacked(found[0].start, found[-1].end)
                twin.sack(left, right)
        elif what == "lose" and board.ranges:
            at = min(int(value * len(board.ranges)), len(board.ranges) - 1)
            for one in board.ranges[at : at + more]:
                board.mark_lost(one)
                twin.lose(one.start, one.end)
        elif what == "resend" and (one := board.next_waiting()):
            now += 1
            start, end = one.start, min(one.start + value, one.end if more else twin.nxt)
            if all(not twin.bytes[seq].flags & SACKED for seq in range(start, end)):
                board.resend(start, end, now, mss)
                twin.resend(start, end, now, mss)
        elif what == "forgive":
            board.forgive()
            twin.forgive()
        agree(board, twin)
    if reneges:
        board.unsack()
        twin.unsack()
        assert board.sacked == board.sacked_segments == 0
        assert board.lost == twin.count(LOST, LOST)
        listed = in_time(board)
        assert all(one.flags & (LOST | RETRANS) != LOST for one in listed)


@settings(max_examples=50, deadline=None)
@given(blocks=st.lists(st.tuples(st.integers(1, 64_000), st.integers(1, 30)), min_size=1, max_size=200))
def test_tiny_blocks_make_no_more_ranges_than_segments(blocks: list[tuple[int, int]]) -> None:
    """A peer that SACKs a few bytes at a time has nothing split: no segment of 1,448 bytes lies in such a block."""
    board = Scoreboard()
    board.send(FIRST, FIRST + 64_000, 1, 1448)
    for offset, size in blocks:
        assert board.cover(FIRST + offset, FIRST + offset + size) == []
    assert len(board.ranges) == 1
