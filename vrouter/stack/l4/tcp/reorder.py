"""Data that came beyond a gap: ranges of bytes, and what the peer is told of them (RFC 2018, RFC 2883).

Ranges are disjoint and never touch each other. What came first stays: of a segment that overlaps what is here only
the new bytes are taken. The data of a FIN is none, but its number belongs to its range.

::

           rcv_nxt                                          rcv_adv
      queued  |      [ range ]      [ range ]   [ range F]     |
              |<-gap->        <-gap->

A range costs memory beside its bytes, so it is charged `RANGE_COST` more: a peer that sends every other byte does not
make its window a multiple of the buffer. Small pieces of a range are joined, so that one that grows byte by byte costs
little more than its bytes, and little time.

Memory goes from the highest range down (`prune`), since those would be waited for longest; what was told with SACK may
be taken back so (RFC 2018 8), which the sender must bear.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, TypeAlias

from vrouter.stack.base.counters import Stat

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

Chunk: TypeAlias = bytes | bytearray | memoryview

RANGE_COST: Final = 512
MAX_BLOCKS: Final = 4  # that an option area holds at most
_SMALL: Final = 512  # bytes of a piece that is joined to its neighbour
_JOINED: Final = 16384  # bytes that pieces are joined to

_DSACK_OLD: Final = int(Stat.TcpDSACKOldSent)
_DSACK_OFO: Final = int(Stat.TcpDSACKOfoSent)
_MERGE: Final = int(Stat.TcpOFOMerge)


class Range:
    """The numbers ``start`` to ``end`` (excluded), whose bytes are in ``chunks``."""

    __slots__ = ("chunks", "end", "start")

    def __init__(self, start: int, end: int, chunks: list[Chunk]) -> None:
        self.start = start
        self.end = end
        self.chunks = chunks


class OutOfOrder:
    """All ranges of one connection, by number; ``size`` is their bytes, ``fin`` a FIN's number among them or -1."""

    __slots__ = ("fin", "ranges", "recent", "size", "starts")

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.starts: list[int] = []  # of `ranges`, to search in
        self.recent: list[Range] = []  # those that grew last, the latest first
        self.size = 0
        self.fin = -1

    @property
    def charged(self) -> int:
        """What they cost of the receive buffer."""
        return self.size + RANGE_COST * len(self.ranges)

    def insert(self, start: int, end: int, chunk: Chunk, fin: bool) -> tuple[int, tuple[int, int] | None]:
        """Take in the numbers `start` to `end` with the bytes `chunk`, of which the last number may be a FIN's.

        Returns how many bytes are new, and the first part that was here already (None: nothing was).
        """
        ranges = self.ranges
        if ranges and ranges[-1].end == start and not fin and self.fin < 0:  # the usual case: the next one
            last = ranges[-1]
            last.end = end
            _append(last.chunks, chunk)
            self.size += end - start
            self._touch(last)
            return end - start, None
        if self.fin >= 0:
            # Nothing follows a FIN, and there is but one.
            if fin and end - 1 != self.fin:
                fin = False
                end -= 1
            end = min(end, self.fin + 1 if fin else self.fin)
        elif fin and ranges and ranges[-1].end >= end:
            fin = False  # data beyond it came first
            end -= 1
        if end <= start:
            return 0, None
        # The ranges that `start..end` overlaps or touches are [low:high].
        low = bisect_left(self.starts, start)
        if low and ranges[low - 1].end >= start:
            low -= 1
        high = bisect_right(self.starts, end, low)
        touched = ranges[low:high]
        if not touched:
            added = end - start - fin
            fresh = Range(start, end, [chunk if len(chunk) == added else _part(memoryview(chunk), 0, added)])
            ranges.insert(low, fresh)
            self.starts.insert(low, start)
            self.size += added
            if fin:
                self.fin = end - 1
            self._touch(fresh)
            return added, None
        return self._merge(start, end, chunk, fin, low, high, touched)

    def _merge(
        self, start: int, end: int, chunk: Chunk, fin: bool, low: int, high: int, touched: list[Range]
    ) -> tuple[int, tuple[int, int] | None]:
        view = memoryview(chunk)
        chunks: list[Chunk] = []
        duplicate: tuple[int, int] | None = None
        added = 0
        at = start
        for one in touched:
            if at < one.start:
                _append(chunks, _part(view, at - start, one.start - start))
                added += one.start - at
            both = max(start, one.start), min(end, one.end)
            if both[0] < both[1] and duplicate is None:
                duplicate = both
            chunks = _joined(chunks, one.chunks)
            at = max(at, one.end)
        if at < end:
            if at < end - fin:
                _append(chunks, _part(view, at - start, end - fin - start))
                added += end - fin - at
            if fin:
                self.fin = end - 1
        first = touched[0]
        first.start = min(start, first.start)
        first.end = max(end, touched[-1].end)
        first.chunks = chunks
        del self.ranges[low + 1 : high]
        del self.starts[low + 1 : high]
        self.starts[low] = first.start
        if len(touched) > 1:
            gone = touched[1:]
            self.recent = [one for one in self.recent if one not in gone]
        self.size += added
        self._touch(first)
        return added, duplicate

    def _touch(self, one: Range) -> None:
        recent = self.recent
        if recent and recent[0] is one:
            return
        if one in recent:
            recent.remove(one)
        recent.insert(0, one)
        del recent[2 * MAX_BLOCKS :]

    def pop_first(self) -> Range:
        """Take the lowest range out."""
        first = self.ranges.pop(0)
        del self.starts[0]
        self.size -= first.end - first.start - (first.end - 1 == self.fin)
        if first in self.recent:
            self.recent.remove(first)
        return first

    def pop_last(self) -> int:
        """Drop the highest range; how many bytes that were."""
        last = self.ranges.pop()
        del self.starts[-1]
        size = last.end - last.start
        if last.end - 1 == self.fin:
            self.fin = -1
            size -= 1
        self.size -= size
        if last in self.recent:
            self.recent.remove(last)
        return size


def _part(view: memoryview, start: int, end: int) -> Chunk:
    """A piece of a segment's data: a copy, when it is so small that it should not keep the rest alive."""
    return view[start:end] if 2 * (end - start) >= len(view) else bytes(view[start:end])


def _append(chunks: list[Chunk], piece: Chunk) -> None:
    """Add `piece` at the end; a small one to a small one, in the same buffer."""
    if chunks and len(piece) <= _SMALL:
        last = chunks[-1]
        if type(last) is bytearray and len(last) < _JOINED:
            last += piece
            return
        if len(last) <= _SMALL:
            chunks[-1] = last = bytearray(last)
            last += piece
            return
    chunks.append(piece)


def _joined(one: list[Chunk], other: list[Chunk]) -> list[Chunk]:
    """The pieces of `one` and then those of `other`, in the longer of the lists; where they meet as `_append`."""
    if not one or not other:
        return one or other
    last, first = one[-1], other[0]
    if len(last) <= _SMALL and len(first) < _JOINED and (len(first) <= _SMALL or type(first) is bytearray):
        other[0] = bytearray(last) + first
        del one[-1]
    elif len(first) <= _SMALL and type(last) is bytearray and len(last) < _JOINED:
        last += first
        del other[0]
    if len(other) > len(one):
        other[0:0] = one
        return other
    one += other
    return one


def sack_blocks(tcb: Tcb, room: int) -> list[tuple[int, int]]:
    """At most `room` blocks for the next ACK, as unbounded numbers: a duplicate to tell first (RFC 2883 4), then the
    ranges that grew last (RFC 2018 4)."""
    blocks: list[tuple[int, int]] = []
    if tcb.dsack is not None:
        blocks.append(tcb.dsack)
    ooo: OutOfOrder | None = tcb.ooo
    if ooo is not None:
        recent = ooo.recent
        blocks += [(one.start, one.end) for one in recent[: room - len(blocks)]]
        missing = room - len(blocks)
        if missing > 0 and len(ooo.ranges) > len(recent):
            # RFC 2018 4: as many distinct blocks as there is room for.
            lowest = ooo.ranges[: missing + len(recent)]
            blocks += [(one.start, one.end) for one in lowest if one not in recent][:missing]
    return blocks[:room]


def tell_duplicate(tcb: Tcb, start: int, end: int) -> None:
    """RFC 2883 4: the numbers `start` to `end` came once more; the next ACK tells. One that waits is stretched when
    this one touches it, and else stays: it came first."""
    if not tcb.sack_ok or not tcb.ns.conf.tcp.dsack:
        return
    waiting = tcb.dsack
    if waiting is None:
        tcb.ns.stats[_DSACK_OLD if start < tcb.rcv_nxt else _DSACK_OFO] += 1
        tcb.dsack = start, end
    elif start <= waiting[1] and waiting[0] <= end:
        tcb.dsack = min(start, waiting[0]), max(end, waiting[1])


def insert(tcb: Tcb, start: int, end: int, chunk: Chunk, fin: bool) -> int:
    """Keep data out of order (`OutOfOrder.insert`), and tell of what was here already; how many bytes are new."""
    ooo: OutOfOrder | None = tcb.ooo
    if ooo is None:
        ooo = tcb.ooo = OutOfOrder()
    count = len(ooo.ranges)
    added, duplicate = ooo.insert(start, end, chunk, fin)
    if duplicate is not None:
        tell_duplicate(tcb, *duplicate)
    if len(ooo.ranges) < count or not added:
        tcb.ns.stats[_MERGE] += 1
    return added


def prune(tcb: Tcb, excess: int) -> int:
    """Drop ranges from the highest down until `excess` bytes of what they are charged are free, or none is left; how
    many bytes of data went."""
    ooo: OutOfOrder | None = tcb.ooo
    freed = 0
    while excess > 0 and ooo is not None:
        size = ooo.pop_last()
        freed += size
        excess -= size + RANGE_COST
        if not ooo.ranges:
            ooo = tcb.ooo = None
    return freed
