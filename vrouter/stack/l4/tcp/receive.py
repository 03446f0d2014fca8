"""Data that arrives: the queue that the program reads, and what taking from it brings about.

A large piece of data stays in the packet that brought it, as a view; a small one is copied and joined to what is there,
so that many little segments keep no large buffers alive and cost what they carry.

::

    segment ─► receive_data ─┬─ in order ──► ReceiveQueue ──► the program ──► consumed ─► window update
                             └─ beyond a gap ─► reorder ──┘ when the gap is filled

`receive_data` expects numbers that are unbounded, and says with 0 that (some of) the data were taken, else which
`DropReason` they die of. It sets ``ack_pending``; a FIN that is reached in order sets ``fin_rcvd``, and `segment` makes
of that what the state calls for.

Read first: RFC 9293 3.10.7.4 (seventh), RFC 2018 4, RFC 2883 4, RFC 3168 6.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.constants import READ
from vrouter.stack.l4.tcp import delack, output, reorder, transitions, window
from vrouter.stack.l4.tcp.delack import DUE, NOW, PINGPONG, PUSHED, PUSHED_TWICE
from vrouter.stack.l4.tcp.info import counts
from vrouter.stack.l4.tcp.reorder import tell_duplicate
from vrouter.stack.l4.tcp.tcb import CLOSE_WAIT, ECN_DEMAND_CWR, ECN_OK, ECN_SEEN, SYN_RECEIVED, Tcb
from vrouter.stack.wire import tcp

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.reorder import OutOfOrder
    from vrouter.stack.wire.tcp import Segment

Chunk: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 512  # bytes that are always copied
_JOINED: Final = 16384  # bytes that copies are joined to

_OLD_DATA: Final = int(DropReason.TCP_OLD_DATA)
_OVERWINDOW: Final = int(DropReason.TCP_OVERWINDOW)
_ZEROWINDOW: Final = int(DropReason.TCP_ZEROWINDOW)
_PRUNED: Final = int(DropReason.TCP_OFO_QUEUE_PRUNE)
_RCVBUFF: Final = int(DropReason.SOCKET_RCVBUFF)
_ACK_LOST: Final = int(Stat.TcpDelayedACKLost)
_ZERO_DROP: Final = int(Stat.TcpZeroWindowDrop)
_QUEUE_DROP: Final = int(Stat.TcpRcvQDrop)
_OFO_QUEUE: Final = int(Stat.TcpOFOQueue)
_OFO_DROP: Final = int(Stat.TcpOFODrop)
_OFO_PRUNED: Final = int(Stat.TcpOfoPruned)
_PRUNE_CALLED: Final = int(Stat.TcpPruneCalled)
_FIN: Final = tcp.FIN
_CWR: Final = tcp.CWR


class ReceiveQueue:
    """Bytes in order; ``size`` is how many."""

    __slots__ = ("_chunks", "_skip", "size")

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []  # few: an empty list costs an idle connection less than a deque
        self._skip = 0  # bytes of the first chunk that are read already
        self.size = 0

    def append(self, data: Chunk) -> None:
        """Add `data`, of which nobody else holds a view that may change: a small piece is copied to what is there."""
        size = len(data)
        self.size += size
        chunks = self._chunks
        if size <= _SMALL:
            if chunks:
                last = chunks[-1]
                if type(last) is bytearray and len(last) < _JOINED:
                    last += data
                    return
            data = bytearray(data)
        chunks.append(data)

    def read(self, count: int) -> bytes:
        """Take at most `count` bytes."""
        chunks = self._chunks
        if count >= self.size:
            count = self.size
            if len(chunks) == 1 and not self._skip:
                self.size = 0
                return bytes(chunks.pop(0))
        return b"".join(self.chunks(count))

    def chunks(self, count: int = -1) -> list[Chunk]:
        """Take at most `count` bytes (all) in pieces, without copying what goes whole. The pieces are the caller's."""
        chunks = self._chunks
        if count < 0 or count > self.size:
            count = self.size
        self.size -= count
        taken: list[Chunk] = []
        while count:
            chunk = chunks[0]
            skip = self._skip
            size = len(chunk) - skip
            if size > count:
                self._skip = skip + count
                # A copy: the chunk may grow, which it must not while somebody looks at it.
                taken.append(bytes(memoryview(chunk)[skip : skip + count]))
                break
            chunks.pop(0)
            taken.append(memoryview(chunk)[skip:] if skip else chunk)
            self._skip = 0
            count -= size
        return taken

    def read_into(self, view: memoryview) -> int:
        """Take as many bytes as `view` (of bytes) holds into it; how many that were."""
        count = min(len(view), self.size)
        self.size -= count
        chunks = self._chunks
        at = 0
        while at < count:
            chunk = chunks[0]
            skip = self._skip
            size = len(chunk) - skip
            if size > count - at:
                with memoryview(chunk) as source:
                    view[at:count] = source[skip : skip + count - at]
                self._skip = skip + count - at
                break
            if skip:
                with memoryview(chunk) as source:
                    view[at : at + size] = source[skip:]
            else:
                view[at : at + size] = chunk
            chunks.pop(0)
            self._skip = 0
            at += size
        return count

    def peek(self, count: int) -> bytes:
        """A copy of at most the first `count` bytes."""
        count = min(count, self.size)
        parts = []
        skip = self._skip
        for chunk in self._chunks:
            if not count:
                break
            part = bytes(memoryview(chunk)[skip : skip + count])
            skip = 0
            count -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, count: int) -> int:
        """Throw at most `count` bytes away; how many that were."""
        return sum(map(len, self.chunks(count)))

    def clear(self) -> int:
        """Throw everything away; how many bytes that were."""
        size, self.size = self.size, 0
        self._chunks.clear()
        self._skip = 0
        return size


# -- what arrives ------------------------------------------------------------------------------------------------------


def enqueue(tcb: Tcb, seg: Segment, at: int, size: int, now: int) -> None:
    """Take `size` > 0 bytes of `seg`, which begin at ``buf[at]`` and at ``rcv_nxt``: the whole of the usual case."""
    buf = seg.pkt.buf
    queue = tcb.rcvq
    if queue is None:
        queue = tcb.rcvq = ReceiveQueue()
    if size > _SMALL and 2 * size >= len(buf):
        queue._chunks.append(memoryview(buf)[at : at + size])
        queue.size += size
    else:
        queue.append(buf[at : at + size])
    tcb.rcv_nxt += size
    tcb.tcp.charge(size)
    info = tcb.info or counts(tcb)
    info.bytes_received += size
    delack.data_received(tcb, seg, size, now)
    if not tcb.ts_ok:
        window.measure_by_window(tcb, now)
    if tcb.ecn & ECN_OK:
        mark_received(tcb, seg)
    if size >= 128 and tcb.rcv_ssthresh < tcb.window_clamp:
        window.grow(tcb, size)


def receive_data(tcb: Tcb, seg: Segment, start: int, end: int, now: int) -> int:
    """The data of `seg`, numbered `start` to `end` (excluded), and its FIN, which has the number `end`; there is one
    of both. RFC 9293 3.10.7.4: only what is new and inside the window is taken (tcp_data_queue)."""
    flags = seg.flags
    fin = flags & _FIN
    if flags & _CWR and tcb.ecn & ECN_OK:
        tcb.ecn &= ~ECN_DEMAND_CWR
        if end > start:
            tcb.ack_pending |= NOW | DUE  # the peer's window may be a single segment
    last = end + fin
    rcv_nxt = tcb.rcv_nxt
    edge = tcb.rcv_adv if tcb.rcv_adv > rcv_nxt else rcv_nxt
    if last <= rcv_nxt or tcb.fin_rcvd:
        # All of it came before: the ACK was lost, or the sender was impatient (RFC 2883 4.1).
        tcb.ns.stats[_ACK_LOST] += 1
        tell_duplicate(tcb, start, min(last, rcv_nxt))
        return _refuse(tcb, _OLD_DATA)
    if start >= edge and not (start == rcv_nxt == end):  # a bare FIN needs no room
        if edge == rcv_nxt and start == rcv_nxt:
            tcb.ns.stats[_ZERO_DROP] += 1
            return _refuse(tcb, _ZEROWINDOW)
        return _refuse(tcb, _OVERWINDOW)
    at = seg.data
    if start < rcv_nxt:
        tell_duplicate(tcb, start, rcv_nxt)
        if edge == rcv_nxt and end > rcv_nxt:
            tcb.ns.stats[_ZERO_DROP] += 1
            return _refuse(tcb, _ZEROWINDOW)
        at += rcv_nxt - start
        start = rcv_nxt
    if end > edge:
        end = edge
        fin = 0
    if start > rcv_nxt:
        return _keep(tcb, seg, at, start, end, fin, now)
    return _in_order(tcb, seg, at, start, end, fin, now)


def _in_order(tcb: Tcb, seg: Segment, at: int, start: int, end: int, fin: int, now: int) -> int:
    ooo: OutOfOrder | None = tcb.ooo
    if ooo is not None and 0 <= ooo.fin < end:
        end, fin = ooo.fin, 0  # nothing follows the FIN that is known
    if end > start:
        if not _has_room(tcb, end - start, start):
            tcb.ns.stats[_QUEUE_DROP] += 1
            tcb.ack_pending |= NOW | DUE
            return _RCVBUFF
        enqueue(tcb, seg, at, end - start, now)
        if tcb.state == SYN_RECEIVED:
            tcb.ato = tcb.quickacks = 0  # data with a SYN (RFC 7413) tell nothing of the peer's pace
    if fin:
        _fin(tcb)
    elif tcb.ooo is not None:
        _fill(tcb, tcb.ooo)
    if not tcb.orphan:
        data_ready(tcb)
    return 0


def data_ready(tcb: Tcb) -> None:
    """The program is told, once there is what it wants (SO_RCVLOWAT), or as much as will come (tcp_data_ready)."""
    sock = tcb.sock
    if sock.rcvlowat > 1 and not tcb.fin_rcvd:
        queue = tcb.rcvq
        size = queue.size if queue is not None else 0
        if size < sock.rcvlowat and not tcb.tcp.pressure and tcb.rcv_adv - tcb.rcv_nxt > tcb.rcv_mss:
            return
    sock.wake(READ)


def _fin(tcb: Tcb) -> None:
    """The peer's FIN is reached: nothing follows, so whatever is held beyond it goes."""
    tcb.rcv_nxt += 1
    tcb.fin_rcvd = True
    tcb.ack_pending |= DUE
    drop_out_of_order(tcb)


def finish(tcb: Tcb) -> None:
    """The FIN that was reached takes effect: the state moves on, and the program is told of the end (tcp_fin)."""
    if transitions.move(tcb, transitions.FIN) == CLOSE_WAIT:
        tcb.pingpong = PINGPONG  # the program is likely to close as well, and the ACK then goes with its FIN
    if not tcb.orphan:
        tcb.sock.wake(READ)


def _fill(tcb: Tcb, ooo: OutOfOrder) -> None:
    """Take over the ranges that are in order now (tcp_ofo_queue); of what came twice the first bytes in order stay."""
    ranges = ooo.ranges
    queue = tcb.rcvq
    came = tcb.rcv_nxt
    while ranges and ranges[0].start <= tcb.rcv_nxt:
        fin = ranges[0].end - 1 == ooo.fin
        one = ooo.pop_first()
        start, end = one.start, one.end - fin
        if start < came:
            tell_duplicate(tcb, start, min(one.end, came))
        behind = tcb.rcv_nxt - start  # bytes that are here already
        if end > tcb.rcv_nxt:
            if queue is None:
                queue = tcb.rcvq = ReceiveQueue()
            counts(tcb).bytes_received += end - tcb.rcv_nxt
            tcb.rcv_nxt = end
            tcb.tcp.release(behind)
            for chunk in one.chunks:
                size = len(chunk)
                if behind < size:
                    queue.append(memoryview(chunk)[behind:] if behind else chunk)
                    behind = 0
                else:
                    behind -= size
        else:
            tcb.tcp.release(end - start)
        if fin:
            _fin(tcb)
            return
    if not ranges:
        tcb.ooo = None
        tcb.ack_pending |= NOW  # RFC 5681 4.2: the gap is filled


def _keep(tcb: Tcb, seg: Segment, at: int, start: int, end: int, fin: int, now: int) -> int:
    """Data beyond a gap (tcp_data_queue_ofo): RFC 5681 4.2 has them answered at once."""
    if tcb.ecn & ECN_OK:
        mark_received(tcb, seg)
    stats = tcb.ns.stats
    tcb.ack_pending |= DUE
    size = end - start
    if not _has_room(tcb, size + reorder.RANGE_COST, start):
        stats[_OFO_DROP] += 1
        return _PRUNED
    stats[_OFO_QUEUE] += 1
    gso_size = seg.pkt.gso_size
    counts(tcb).rcv_ooopack += -(-size // gso_size) if gso_size else 1
    buf = seg.pkt.buf
    chunk: Chunk
    if size > _SMALL and 2 * size >= len(buf):
        chunk = memoryview(buf)[at : at + size]
    else:
        chunk = bytes(memoryview(buf)[at : at + size])
    added = reorder.insert(tcb, start, end + fin, chunk, bool(fin))
    if not added and not fin:
        return _OLD_DATA
    tcb.tcp.charge(added)
    if tcb.sack_ok:
        window.grow(tcb, added)  # else the ACK has to repeat the window, or it is no duplicate (RFC 5681 2)
    return 0


def _has_room(tcb: Tcb, size: int, start: int) -> bool:
    """Whether memory allows for `size` more bytes from `start` on; ranges beyond `start` make room (tcp_prune_queue).

    The window keeps data within half of SO_RCVBUF; what this bounds is what ranges cost, and the namespace as a whole.
    """
    ooo: OutOfOrder | None = tcb.ooo
    queue = tcb.rcvq
    held = (queue.size if queue is not None else 0) + (ooo.charged if ooo is not None else 0)
    tcp_state = tcb.tcp
    excess = held + size - tcb.sock.rcvbuf
    if excess <= 0 and (not tcp_state.pressure or tcp_state.has_room(size)):
        return True
    # Whoever has nothing to read gets something, so that connections never come to a halt (sk_forced_mem_schedule).
    forced = start == tcb.rcv_nxt and (queue is None or not queue.size)
    if not held:
        return True
    stats = tcb.ns.stats
    stats[_PRUNE_CALLED] += 1
    tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, 4 * tcb.adv_mss)
    if ooo is None or start > ooo.ranges[-1].start:
        return forced
    stats[_OFO_PRUNED] += 1
    tcp_state.release(reorder.prune(tcb, max(excess, size)))
    held = (queue.size if queue is not None else 0) + (tcb.ooo.charged if tcb.ooo is not None else 0)
    return forced or (held + size <= tcb.sock.rcvbuf and tcp_state.has_room(size))


def _refuse(tcb: Tcb, reason: int) -> int:
    """The sender is out of step: it is told at once where we are."""
    delack.enter_quick(tcb)
    tcb.ack_pending |= DUE
    return reason


def drop_out_of_order(tcb: Tcb) -> None:
    """Forget what lies beyond a gap."""
    if tcb.ooo is not None:
        tcb.tcp.release(tcb.ooo.size)
        tcb.ooo = None


def drop_all(tcb: Tcb) -> None:
    """The program lets go: whatever waits to be read, or lies beyond a gap, goes."""
    drop_out_of_order(tcb)
    if tcb.rcvq is not None:
        size = tcb.rcvq.clear()
        tcb.tcp.release(size)
        tcb.copied_seq += size


def mark_received(tcb: Tcb, seg: Segment) -> None:
    """RFC 3168 6.1.3: a congestion mark is told on every ACK until the peer says CWR (tcp_data_ecn_check)."""
    pkt = seg.pkt
    tos = pkt.buf[pkt.l3 + 1]
    mark = tos & 3 if pkt.family == 4 else tos >> 4 & 3
    if mark == 3:
        if not tcb.ecn & ECN_DEMAND_CWR:
            delack.enter_quick(tcb, 2)
            tcb.ecn |= ECN_DEMAND_CWR
        tcb.ecn |= ECN_SEEN
    elif mark:
        tcb.ecn |= ECN_SEEN
    elif tcb.ecn & ECN_SEEN:
        delack.enter_quick(tcb, 2)  # without a mark among marked ones: likely a retransmission (6.1.5)


# -- what the program takes --------------------------------------------------------------------------------------------


def consumed(tcb: Tcb, count: int, now: int) -> None:
    """The program has taken `count` bytes: the buffer follows its pace, and the peer is told when that matters
    (tcp_recvmsg's tcp_rcv_space_adjust and tcp_cleanup_rbuf)."""
    tcb.copied_seq += count
    tcb.tcp.release(count)
    window.adjust_space(tcb, now)
    if _ack_is_due(tcb, count):
        output.send_ack(tcb, now)


def _ack_is_due(tcb: Tcb, count: int) -> bool:
    pending = tcb.ack_pending
    if pending & DUE:
        if tcb.rcv_nxt - tcb.last_ack_sent > tcb.rcv_mss:
            return True  # every second segment, which was put off for the want of a reader
        queue = tcb.rcvq
        if (
            count
            and (pending & PUSHED_TWICE or (pending & PUSHED and tcb.pingpong < PINGPONG))
            and (queue is None or not queue.size)
        ):
            return True
    return count > 0 and not tcb.fin_rcvd and window.update_is_due(tcb)
