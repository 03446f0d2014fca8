"""What leaves, and when: retransmissions, new data, the FIN, ACKs, SYNs, resets.

`output` is asked after everything that may let something go: an ACK, a write, a timer. It sends what `recovery` wants
sent again, then new data in superframes as large as the windows (the peer's, ``cwnd``) and the pace allow. What may
hold data back, in Linux's order (tcp_write_xmit):

- ``cwnd``, and the peer's window: a segment that does not fit whole waits, unless it fills half of the largest window
  there was (RFC 9293 3.8.6.2.1, which keeps a sender from silly windows);
- Nagle's rule with Minshall's change (RFC 9293 3.7.4): a segment that is not full waits while another such one is not
  acknowledged; TCP_CORK and MSG_MORE hold it back in any case, though for 200 ms at most;
- the wish for larger superframes: a short one waits for the next ACK when that is near and lets more go
  (``tcp_tso_win_divisor``).

What is held back by the peer alone, with nothing under way, waits with the timer for `probe`.

::

    queue_data ─► push ─┐
    ack ────────────────┼─► output ─► retransmit | new data ─► emit ─► outbox
    timers ─────────────┘

Expects: ``tcb.sndq`` from the beginning on. Who calls has the pipeline empty the outbox (``ns.settle``).
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.constants import NAGLE_CORK, NAGLE_PUSH
from vrouter.stack.l4.tcp import pacing, persist, pmtu, rate, recovery, sizing
from vrouter.stack.l4.tcp.cc import validation
from vrouter.stack.l4.tcp.delack import data_sent
from vrouter.stack.l4.tcp.emit import emit, emit_reset, segment_size, superframe
from vrouter.stack.l4.tcp.send_queue import Data, SendQueue
from vrouter.stack.l4.tcp.syn import answer_syn, retransmit_syn, send_syn, send_synack
from vrouter.stack.l4.tcp.tcb import (
    CA_RECOVERY,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    LAST_ACK,
    LISTEN,
    MS,
    SYN_RECEIVED,
    SYN_SENT,
    Tcb,
)
from vrouter.stack.wire.tcp import ACK, FIN, PSH

__all__ = [
    "acceptable_seq",
    "answer_syn",
    "mark_urgent",
    "output",
    "push",
    "queue_data",
    "queue_fin",
    "retransmit",
    "send_ack",
    "send_now",
    "send_reset",
    "send_syn",
    "send_synack",
]

_MAY_SEND: Final = frozenset((ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, CLOSING, LAST_ACK))
_RECENTLY: Final = MS  # ns: who wrote less long ago may write more at once
_DEFERRED: Final = 3  # segments, when no part of the window is prescribed
_ORIG_DATA: Final = int(Stat.TcpOrigDataSent)
_RETRANS: Final = int(Stat.TcpRetransSegs)


# -- what the program wants ------------------------------------------------------------------------------------------


def queue_data(tcb: Tcb, data: Data) -> int:
    """Queue as much of `data` as the send buffer has room for; how many bytes that is. Next: `push`."""
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    queue = tcb.sndq
    if queue is None:
        queue = tcb.sndq = SendQueue(tcb.write_seq)
    write_seq = tcb.write_seq
    if size <= tcb.mss and queue.end == queue.base and tcb.snd_nxt == write_seq:
        left = size  # a dialogue: nothing waits, and one segment has room whatever the bounds
        queue.tail = write_seq
    else:
        window = tcb.snd_una + tcb.snd_wnd - tcb.snd_nxt
        left = sizing.room(tcb, queue, size, min(recovery.room(tcb, tcb.ns.stack.now), window))
    if size > left:
        tcb.wants_room = True
        if not left:
            return 0
        size = left
        data = memoryview(data).cast("B")[:size]
    sizing.queued(tcb)
    if tcb.state != SYN_SENT:
        rate.check_app_limited(tcb)
    queue.append(data)
    tcb.write_seq += size
    tcb.tcp.charge(size)
    return size


def mark_urgent(tcb: Tcb) -> None:
    """What was queued last is urgent (MSG_OOB): the mark stands behind it (RFC 6093 4)."""
    tcb.snd_up = tcb.write_seq


def push(tcb: Tcb, now: int, more: bool = False) -> None:
    """A write is complete; with `more` (MSG_MORE) it is to be continued."""
    queue = tcb.sndq
    if queue is None:
        return
    if not more:
        queue.push(tcb.snd_nxt)
    output(tcb, now, NAGLE_CORK if more else tcb.nonagle)


def queue_fin(tcb: Tcb) -> None:
    """Nothing will be written any more: a FIN follows what is queued. Next: `output`."""
    if tcb.fin_seq < 0:
        tcb.fin_seq = tcb.write_seq


# -- sending ---------------------------------------------------------------------------------------------------------


def output(tcb: Tcb, now: int, nonagle: int = -1) -> None:
    """Send what may be sent now; `nonagle` in the place of the connection's for this once."""
    state = tcb.state
    if state == ESTABLISHED and tcb.snd_nxt == tcb.write_seq and tcb.fin_seq < 0 and not recovery.wants_again(tcb):
        pass  # as mostly after an ACK: there is nothing to send
    elif state in _MAY_SEND or (state == SYN_RECEIVED and tcb.fastopen is not None):
        held = not _send_again(tcb, now)
        if not held and (tcb.snd_nxt < tcb.write_seq or tcb.snd_nxt == tcb.fin_seq):
            held = _send_new(tcb, tcb.nonagle if nonagle < 0 else nonagle, now)
        if tcb.snd_una == tcb.snd_nxt and not held:
            persist.arm(tcb, now)
    elif state == SYN_SENT or state == SYN_RECEIVED:
        _send_again(tcb, now)
    if tcb.ack_pending & 2:
        send_ack(tcb, now)


def _send_again(tcb: Tcb, now: int) -> bool:
    """What is lost goes again; False when the pace holds it back."""
    paced = tcb.pacing_rate
    while True:
        again = recovery.next_retransmission(tcb, now)
        if again is None:
            return True
        if paced and not pacing.may_send(tcb, now):
            return False
        start, end = again
        if not retransmit(tcb, start, min(end, start + pacing.quantum(tcb, tcb.mss)), now):
            return True


def _send_new(tcb: Tcb, nonagle: int, now: int) -> bool:
    """New data, and the FIN behind it; True when the pace alone holds back what is left."""
    start = tcb.snd_nxt
    end = tcb.write_seq
    fin = tcb.fin_seq
    pmtu.follow(tcb, now)
    if tcb.snd_una == start and tcb.snd_wnd:
        validation.before_sending(tcb, now)
    mss = segment_size(tcb)
    edge = tcb.snd_una + tcb.snd_wnd
    room = recovery.room(tcb, now)
    if tcb.state == SYN_RECEIVED:
        edge += 1  # the SYN takes a number, but no room
        room += 1
    most = superframe(tcb.family, mss)
    paced = tcb.pacing_rate
    if end - start > 2 * mss:
        most = min(most, pacing.quantum(tcb, mss))
    urgent = tcb.snd_up > tcb.snd_una
    if urgent:
        most = mss
    sent = limited = held = shut = False
    while start < end or start == fin:
        if paced and not pacing.may_send(tcb, now):
            held = True
            break
        size = left = end - start
        window = edge - start
        if window < left or not left:
            # A FIN alone takes a number, too.
            if window < (left if left < mss else mss) + (not left):
                if window <= 0 or 2 * window < tcb.max_window:  # RFC 9293 3.8.6.2.1 (3)
                    shut = room >= mss or room >= left
                    break
            if window < left:
                size = window
        if size > room:
            limited = True
            if room < mss and room < left:
                if tcb.snd_nxt > tcb.snd_una:
                    break
                size = min(size, mss)
            else:
                size = room // mss * mss
        if size > most:
            size = most
        whole = False
        if tcb.mtu_probe is not None and size >= mss:
            large = pmtu.probe_size(tcb, left, window, room, now)
            if large < 0:
                break
            if large:
                size, whole = large, True
        if whole or nonagle & NAGLE_PUSH or urgent:
            pass
        elif left <= mss:
            # Nagle: all that there is makes less than a segment.
            if size < mss and fin < 0 and _holds_small(tcb, nonagle):
                break
        elif size < left and size < most and _defers(tcb, size, now):
            limited = limited or size >= room
            break
        else:
            part = size % mss
            if part and size > mss and (fin < 0 or size < left) and _holds_small(tcb, nonagle):
                size -= part
        last = start + size == fin and window > size
        if not _transmit(tcb, start, start + size, last, mss, whole, now):
            break
        sent = True
        room -= size
        if room < 0:
            room = 0
        start = tcb.snd_nxt
        if last:
            break
    sizing.window_limits(tcb, shut, now)
    if sent:
        _data_left(tcb, now)
        if start >= end and not limited:
            sizing.starved(tcb, now)
    validation.after_sending(tcb, limited or (start < end and room < mss), now)
    return held


def send_now(tcb: Tcb, now: int) -> bool:
    """Send what waits, one segment at most, though it be held back: only the peer's window bounds it (the override
    of RFC 9293 3.8.6.2.1 (4)). Whether anything was sent."""
    start = tcb.snd_nxt
    pmtu.follow(tcb, now)
    mss = segment_size(tcb)
    window = tcb.snd_una + tcb.snd_wnd - start
    size = min(tcb.write_seq - start, window, mss)
    last = start + size == tcb.fin_seq and window > size
    queue = tcb.sndq
    if size < 0 or not (size or last) or queue is None:
        return False
    if not _transmit(tcb, start, start + size, last, mss, False, now, PSH):
        return False
    _data_left(tcb, now)
    return True


def _transmit(tcb: Tcb, start: int, stop: int, last: bool, mss: int, whole: bool, now: int, flags: int = 0) -> bool:
    """New data `start` to `stop`, behind it the FIN if `last`, leaves as a segment or a superframe, with `flags`; False
    when there is no route. `whole`: it is a probe of the path."""
    flags |= ACK
    size = stop - start
    if size:
        queue = tcb.sndq
        assert queue is not None
        # So much has gone without a PSH that the peer may wait for one (forced_push).
        if queue.pushed(stop) or stop - tcb.pushed_seq > tcb.max_window >> 1:
            flags |= PSH
    if last:
        flags |= FIN
    segments = emit(tcb, start, stop, flags, now, False, whole)
    if not segments:
        return False
    if size:
        tcb.ns.stats[_ORIG_DATA] += segments
        if flags & PSH:
            tcb.pushed_seq = stop
        if whole:
            pmtu.probe_sent(tcb, start, stop)
        elif size % mss:
            tcb.snd_sml = stop
        if tcb.pacing_rate:
            pacing.sent(tcb, size, now)
    tcb.snd_nxt = stop + last
    recovery.sent(tcb, start, stop + last, now, False)
    return True


def _data_left(tcb: Tcb, now: int) -> None:
    data_sent(tcb, now)
    tcb.last_sent_at = now
    if tcb.snd_nxt >= tcb.write_seq:
        tcb.nonagle &= ~NAGLE_PUSH
    if tcb.wants_room:
        sizing.freed(tcb)


def _holds_small(tcb: Tcb, nonagle: int) -> bool:
    """Whether a segment that is not full is held back (tcp_nagle_check): corked, or one is under way already."""
    if nonagle & NAGLE_CORK:
        return True
    return not nonagle and tcb.snd_una < tcb.snd_sml <= tcb.snd_nxt


def _defers(tcb: Tcb, size: int, now: int) -> bool:
    """Whether `size` bytes, less than there are, wait for the next ACK, which lets more go (tcp_tso_should_defer)."""
    sent = tcb.sent
    if tcb.ca_state >= CA_RECOVERY or tcb.fin_seq >= 0 or sent is None or not sent.ranges:
        return False
    if tcb.last_sent_at < 0 or now - tcb.last_sent_at > _RECENTLY:
        return False
    divisor = tcb.ns.conf.tcp.tso_win_divisor
    if divisor:
        if size >= min(tcb.snd_wnd, tcb.cwnd) // divisor:
            return False
    elif size > _DEFERRED * tcb.mss:
        return False
    # An ACK that is further away than half a round trip is not waited for.
    return now - sent.ranges[0].sent_at >= tcb.srtt >> 1


def retransmit(tcb: Tcb, start: int, end: int, now: int) -> bool:
    """Send the numbers `start` to `end` (excluded) again, of the SYN to the FIN; False when that cannot be now."""
    if start == tcb.iss:  # also beyond SYN-RECEIVED, where the program closed before the handshake was over
        return retransmit_syn(tcb, now)
    edge = tcb.snd_una + tcb.snd_wnd
    mss = segment_size(tcb)
    if end > edge:
        if start >= edge:
            if start != tcb.snd_una:
                return False
            edge = start + mss  # RFC 9293 3.8.6: what stands first is tried even so
        end = min(end, max(edge, start + 1))
    pmtu.follow(tcb, now)
    flags = ACK
    stop = end
    if tcb.fin_seq >= 0 and end > tcb.fin_seq:
        stop = tcb.fin_seq
        flags |= FIN
    most = superframe(tcb.family, mss)
    if stop - start > most:
        stop = start + most
        end = stop
        flags = ACK
    queue = tcb.sndq
    if stop > start:
        assert queue is not None
        if queue.pushed(stop):
            flags |= PSH
    if tcb.mtu_probe is not None:
        pmtu.probe_inconclusive(tcb)
    segments = emit(tcb, start, stop, flags, now, True)
    if not segments:
        return False
    tcb.ns.stats[_RETRANS] += segments
    tcb.total_retrans += segments
    if tcb.pacing_rate:
        pacing.sent(tcb, stop - start, now)
    recovery.sent(tcb, start, end, now, True)
    return True


def acceptable_seq(tcb: Tcb) -> int:
    """The number of a segment without data: the next one, unless the peer took its window back (tcp_acceptable_seq)."""
    edge = tcb.snd_una + tcb.snd_wnd
    beyond = tcb.snd_nxt - edge
    if beyond <= 0 or (tcb.wscale_ok and beyond < 1 << tcb.snd_wscale):
        return tcb.snd_nxt
    return edge


def send_ack(tcb: Tcb, now: int) -> None:
    """Acknowledge what came, at once."""
    if tcb.state != CLOSED and tcb.rcv_nxt >= 0:
        start = acceptable_seq(tcb)
        if not emit(tcb, start, start, ACK, now):
            tcb.ack_pending = 0  # it is as lost as one on the way would be


def send_reset(tcb: Tcb, now: int) -> None:
    """Tell the peer that this connection is aborted (RFC 9293 3.10.5)."""
    if tcb.state != CLOSED and tcb.state != LISTEN:
        emit_reset(tcb, acceptable_seq(tcb), now)
