"""What is outstanding, as ranges of bytes: sent when, SACKed, lost, sent again (RFC 6675 2, RFC 8985 5.2).

The ranges of a `Scoreboard` lie side by side from ``snd_una`` to ``snd_nxt``. A superframe is one range; a SACK
block or a loss splits it, and what is SACKed side by side is joined. A SYN and a FIN count as one byte each, as their
sequence numbers do.

A split happens only where two segments of the wire meet (``origin`` and ``mss`` of a range say where): what a SACK
block covers of a segment in part is taken as not covered, so that a peer that sends blocks of a few bytes cannot have
more ranges made than there are segments outstanding. RFC 2018 lets a sender take less than it is told.

Ranges that are neither SACKed nor waiting to be resent also stand in the order of their last transmission, a linked
list: RACK walks it from the oldest on and stops early.

Bytes are counted as Linux counts packets: ``sacked``, ``lost``, ``retrans`` of `tcp_packets_in_flight`. Without SACK
``sacked`` is what duplicate ACKs stand for (`recovery`), and no range has the flag.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.rate import RateSample

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

SACKED: Final = 1
RETRANS: Final = 2  # sent again since it was lost the last time
LOST: Final = 4
EVER: Final = 8  # sent again at least once

_START: Final = attrgetter("start")
_END: Final = attrgetter("end")


class Range:
    """Bytes ``start`` to ``end`` (excluded), last sent at ``sent_at``, in segments of ``mss`` from ``origin`` on."""

    __slots__ = (
        "app_limited",
        "delivered",
        "delivered_at",
        "delivered_ce",
        "end",
        "first_sent_at",
        "flags",
        "mss",
        "newer",
        "older",
        "order",
        "origin",
        "segments",
        "sent_at",
        "start",
    )

    older: Range | None
    newer: Range | None

    def __init__(self, start: int, end: int, sent_at: int, mss: int) -> None:
        self.start = self.origin = start
        self.end = end
        self.sent_at = sent_at
        self.order = 0  # of its last transmission among all: more than one may happen in the same moment
        self.mss = mss
        self.flags = 0
        self.segments = 0  # of a SACKed range, how many the wire had
        self.older = self.newer = None
        self.first_sent_at = self.delivered = self.delivered_ce = 0  # `rate.snapshot`
        self.delivered_at = -1
        self.app_limited = False

    def __repr__(self) -> str:
        marks = "".join(mark if self.flags & bit else "" for bit, mark in ((SACKED, "S"), (RETRANS, "R"), (LOST, "L")))
        return f"<{self.start}:{self.end} {marks or '-'} @{self.sent_at}>"


class Scoreboard:
    """The ranges, lowest first, and their sums in bytes."""

    __slots__ = (
        "force",
        "head",
        "highest_sacked",
        "hint",
        "lost",
        "probe",
        "ranges",
        "reneged",
        "retrans",
        "sacked",
        "sacked_segments",
        "sample",
        "transmissions",
        "waiting",
        "window",
    )

    def __init__(self) -> None:
        self.ranges: list[Range] = []
        self.sacked = self.lost = self.retrans = 0
        self.waiting = 0  # lost and not sent again
        self.sacked_segments = 0
        self.transmissions = 0
        self.highest_sacked = -1  # end of the highest SACKed range, -1: none is
        self.hint = 0  # nothing below it waits
        self.head = head = Range(0, 0, 0, 1)  # its `newer` is the oldest of the list, its `older` the newest
        head.older = head.newer = head
        self.sample = RateSample()
        self.force: tuple[int, int] | None = None  # to be resent whatever the window says (`recovery`)
        self.probe = 0  # a tail loss probe may leave (`tlp`)
        self.reneged = False
        self.window = 0  # the last one that the peer told: what repeats it may be a duplicate ACK

    def send(self, start: int, end: int, now: int, mss: int) -> Range:
        """New bytes leave, as one segment or superframe: the range they make."""
        made = Range(start, end, now, mss)
        made.order = self.transmissions = self.transmissions + 1
        self.ranges.append(made)
        self._link_newest(made)
        return made

    def take(self, ack: int) -> list[Range]:
        """Everything below `ack` is acknowledged: the ranges leave, the last of them cut where `ack` lies in it."""
        ranges = self.ranges
        if not ranges:
            return []
        first = ranges[0]
        if first.end == ack:
            taken = [ranges.pop(0)]
        elif first.end > ack:
            taken = [self._cut_front(first, ack)] if first.start < ack else []
        else:
            count = bisect_right(ranges, ack, key=_END)
            taken = ranges[:count]
            del ranges[:count]
            if ranges and ranges[0].start < ack:
                taken.append(self._cut_front(ranges[0], ack))
        for one in taken:
            newer = one.newer
            if newer is not None:
                older = one.older
                newer.older = older
                older.newer = newer  # type: ignore[union-attr]  # both ends of a linked range are set
                one.newer = one.older = None
            flags = one.flags
            if flags:
                self._forget(one, flags)
        return taken

    def cover(self, left: int, right: int) -> list[Range]:
        """The ranges that a SACK block of `left` to `right` covers and that are not SACKed yet, cut to its size."""
        ranges = self.ranges
        found: list[Range] = []
        at = bisect_right(ranges, left, key=_START) - 1
        if at < 0:
            at = 0
        if at >= len(ranges):
            return found
        one = ranges[at]
        if one.start < left:
            if one.flags & SACKED:
                if one.end >= right:
                    return found
            else:
                cut = one.origin - (one.origin - left) // one.mss * one.mss  # where the next segment begins
                if cut < one.end:
                    if right < one.end and one.origin + (right - one.origin) // one.mss * one.mss <= cut:
                        return found
                    self._split(at, cut)
            at += 1
        while at < len(ranges):
            one = ranges[at]
            if one.start >= right:
                break
            if not one.flags & SACKED:
                if one.end > right:
                    cut = one.origin + (right - one.origin) // one.mss * one.mss
                    if cut <= one.start:
                        break
                    self._split(at, cut)
                found.append(one)
            at += 1
        return found

    def mark_sacked(self, one: Range) -> None:
        """`one` arrived. What stands as sent again without being lost may still be under way, and stays counted."""
        flags = one.flags
        length = one.end - one.start
        if flags & LOST:
            self.lost -= length
            if flags & RETRANS:
                self.retrans -= length
                flags &= ~RETRANS
            else:
                self.waiting -= length
        one.flags = flags & ~LOST | SACKED
        one.segments = -(-length // one.mss)
        self.sacked += length
        self.sacked_segments += one.segments
        if one.end > self.highest_sacked:
            self.highest_sacked = one.end
        self._unlink(one)

    def join_sacked(self, left: int, right: int) -> None:
        """Join SACKed neighbours from `left` to `right` that have the same flags."""
        ranges = self.ranges
        low = max(bisect_right(ranges, left, key=_START) - 2, 0)
        high = bisect_right(ranges, right, low, key=_START) + 1
        window = ranges[low:high]
        kept = window[:1]
        for one in window[1:]:
            last = kept[-1]
            if one.flags == last.flags and one.flags & SACKED:
                last.end = one.end
                last.segments += one.segments
            else:
                kept.append(one)
        if len(kept) != len(window):
            ranges[low:high] = kept

    def mark_lost(self, one: Range) -> int:
        """`one` is lost, or what was sent again of it is; how many bytes are so anew."""
        flags = one.flags
        length = one.end - one.start
        if flags & SACKED:
            return 0
        if flags & LOST:
            if not flags & RETRANS:
                return 0
            one.flags = flags & ~RETRANS
            self.retrans -= length
        else:
            one.flags = flags | LOST
            self.lost += length
            if flags & RETRANS:  # a probe of what was not known to be lost: it is not waited for any longer
                self.retrans -= length
                one.flags &= ~RETRANS
        self.waiting += length
        if one.start < self.hint:
            self.hint = one.start
        self._unlink(one)
        return length

    def next_waiting(self) -> Range | None:
        """The lowest range that is lost and was not sent again."""
        if not self.waiting:
            return None
        ranges = self.ranges
        at = max(bisect_right(ranges, self.hint, key=_START) - 1, 0)
        while ranges[at].flags & (LOST | RETRANS) != LOST:
            at += 1
        self.hint = ranges[at].start
        return ranges[at]

    def missing(self, start: int, end: int) -> int:
        """How far from `start` on nothing is SACKed, `end` at most."""
        ranges = self.ranges
        at = max(bisect_right(ranges, start, key=_START) - 1, 0)
        while at < len(ranges) and ranges[at].start < end:
            if ranges[at].flags & SACKED:
                return ranges[at].start
            at += 1
        return end

    def resend(self, start: int, end: int, now: int, mss: int) -> list[Range]:
        """`start` to `end` (not SACKed) leave again: the ranges they make, in segments of `mss` from `start` on."""
        ranges = self.ranges
        low = self.divide(start)
        high = self.divide(end)
        made: list[Range] = []
        for one in ranges[low:high]:
            flags = one.flags
            length = one.end - one.start
            if not flags & RETRANS:
                self.retrans += length
                if flags & LOST:
                    self.waiting -= length
            one.flags = flags | RETRANS | EVER
            self._unlink(one)
            if made and made[-1].flags == one.flags:
                made[-1].end = one.end
                continue
            one.origin = start
            one.mss = mss
            one.sent_at = now
            one.order = self.transmissions = self.transmissions + 1
            made.append(one)
        for one in made:
            self._link_newest(one)
        if high - low != len(made):
            ranges[low:high] = made
        if self.hint >= start and self.hint < end:
            self.hint = end
        return made

    def divide(self, seq: int) -> int:
        """Make a range begin at `seq`; its index, ``len(ranges)`` at the end."""
        ranges = self.ranges
        at = bisect_right(ranges, seq, key=_START) - 1
        if at < 0:
            return 0
        one = ranges[at]
        if one.start == seq:
            return at
        if seq < one.end:
            self._split(at, seq)
        return at + 1

    def forgive(self) -> None:
        """Nothing is lost after all; what was sent again stays under way."""
        if self.lost:
            for one in self.ranges:
                if one.flags & LOST:
                    one.flags &= ~LOST
                    if one.newer is None:
                        self._link_by_time(one)
            self.lost = self.waiting = 0

    def unsack(self) -> None:
        """The peer dropped what it had SACKed (RFC 2018 8): nothing counts as SACKed."""
        for one in self.ranges:
            if one.flags & SACKED:
                one.flags &= ~SACKED
                one.segments = 0
                self._link_by_time(one)
        self.sacked = self.sacked_segments = 0
        self.highest_sacked = -1

    def _forget(self, one: Range, flags: int) -> None:
        length = one.end - one.start
        if flags & RETRANS:
            self.retrans -= length
        if flags & SACKED:
            self.sacked -= length
            self.sacked_segments -= one.segments
            if not self.sacked:
                self.highest_sacked = -1
        elif flags & LOST:
            self.lost -= length
            if not flags & RETRANS:
                self.waiting -= length

    def _cut_front(self, one: Range, seq: int) -> Range:
        """The part of the first range below `seq`, as a range that belongs to no list; `one` begins there then."""
        front = _like(one, one.start, seq)
        one.start = seq
        if one.flags & SACKED:
            front.segments = min(max(one.segments - -(-(one.end - seq) // one.mss), 0), one.segments - 1)
            one.segments -= front.segments
        return front

    def _split(self, at: int, seq: int) -> None:
        one = self.ranges[at]
        rest = _like(one, seq, one.end)
        one.end = seq
        self.ranges.insert(at + 1, rest)
        newer = one.newer
        if newer is not None:
            rest.older = one
            rest.newer = newer
            one.newer = newer.older = rest

    def _link_newest(self, one: Range) -> None:
        head = self.head
        last = head.older
        one.older = last
        one.newer = head
        last.newer = head.older = one  # type: ignore[union-attr]  # the list is circular

    def _link_by_time(self, one: Range) -> None:
        after = self.head.older
        while after is not self.head and (after.order, after.end) > (one.order, one.end):  # type: ignore[union-attr]  # the list is circular
            after = after.older  # type: ignore[union-attr]  # the list is circular
        newer = after.newer  # type: ignore[union-attr]  # the list is circular
        one.older, one.newer = after, newer
        after.newer = newer.older = one  # type: ignore[union-attr]  # the list is circular

    def _unlink(self, one: Range) -> None:
        newer = one.newer
        if newer is not None:
            older = one.older
            newer.older = older
            older.newer = newer  # type: ignore[union-attr]  # both ends of a linked range are set
            one.newer = one.older = None


def pipe(tcb: Tcb) -> int:
    """Bytes in flight: outstanding, without what arrived and what is lost, and once more what was sent again."""
    sent = tcb.sent
    if sent is None:
        return tcb.snd_nxt - tcb.snd_una
    return tcb.snd_nxt - tcb.snd_una - sent.sacked - sent.lost + sent.retrans


def _like(one: Range, start: int, end: int) -> Range:
    made = Range(start, end, one.sent_at, one.mss)
    made.origin = one.origin
    made.order = one.order
    made.flags = one.flags
    made.first_sent_at = one.first_sent_at
    made.delivered = one.delivered
    made.delivered_at = one.delivered_at
    made.delivered_ce = one.delivered_ce
    made.app_limited = one.app_limited
    return made
