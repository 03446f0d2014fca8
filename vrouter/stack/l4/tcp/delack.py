"""When data are acknowledged: at once, with the next data of our own, or after a while.

RFC 9293 3.8.6.3 and RFC 5681 4.2 ask for an ACK within half a second and for at least every second full segment. As
in Linux a connection begins (and goes on after pauses, losses and marks) in *quick* mode, where each segment is
answered at once, so that a peer's slow start gets its ACKs; once we answer data with data ourselves (*ping-pong*), ACKs
wait for our data. How long one waits (``ato``) follows the pace of the peer, between 40 and 200 ms.

``ack_pending`` has what is due: `DUE`, `NOW`, and `PUSHED` (a small segment came: a reader who empties the queue sends
the ACK) or `PUSHED_TWICE`.

Next: the caller sends when `ack_due` says so; `ack_sent` is told of every segment that carries an ACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import timers
from vrouter.stack.l4.tcp.tcb import CLOSE_WAIT, ESTABLISHED, MS, Tcb
from vrouter.stack.l4.tcp.window import MIN_RCV_MSS, next_window

if TYPE_CHECKING:
    from vrouter.stack.wire.tcp import Segment

DUE: Final = 1
NOW: Final = 2
PUSHED: Final = 4
PUSHED_TWICE: Final = 8

MIN_ATO: Final = 40 * MS
MAX_DELAY: Final = 200 * MS
MAX_QUICKACKS: Final = 16  # segments
MSS_DEFAULT: Final = 536
PINGPONG: Final = 1  # answers with data that make a dialogue

_DELAYED: Final = int(Stat.TcpDelayedACKs)


def quick(tcb: Tcb, most: int = MAX_QUICKACKS) -> None:
    """Answer the next segments at once: as many as fit into half the window, at most `most` (tcp_incr_quickack)."""
    count = min(tcb.rcv_wnd // (2 * (tcb.rcv_mss or MSS_DEFAULT)) or 2, most)
    if count > tcb.quickacks:
        tcb.quickacks = count


def enter_quick(tcb: Tcb, most: int = MAX_QUICKACKS) -> None:
    """`quick`, and no dialogue any more (tcp_enter_quickack_mode)."""
    quick(tcb, most)
    tcb.pingpong = 0
    tcb.ato = MIN_ATO


def data_received(tcb: Tcb, seg: Segment, size: int, now: int) -> None:
    """`size` bytes came in order: an ACK is due; the peer's segment size and pace show (tcp_event_data_recv)."""
    tcb.ack_pending |= DUE
    gso_size = seg.pkt.gso_size
    if (gso_size or size) >= tcb.rcv_mss:
        mss = min(gso_size or size, tcb.adv_mss)
        if mss != tcb.rcv_mss:
            tcb.rcv_mss = mss
        if size == mss and seg.flags & 8:  # PSH: likely the end of what the peer wrote
            tcb.ack_pending |= PUSHED
    else:
        _measure_small(tcb, seg, size)
    ato = tcb.ato
    if not ato:
        quick(tcb)
        tcb.ato = MIN_ATO
    else:
        gap = now - tcb.last_rcv_at
        if gap <= MIN_ATO // 2:
            tcb.ato = (ato >> 1) + MIN_ATO // 2
        elif gap < ato:
            tcb.ato = min((ato >> 1) + gap, tcb.rto)
        elif gap > tcb.rto:
            quick(tcb)  # the peer paused and may begin anew with a small window
    tcb.last_rcv_at = now


def _measure_small(tcb: Tcb, seg: Segment, size: int) -> None:
    """tcp_measure_rcv_mss: two equal segments without PSH, though smaller than before, are the path's new size."""
    whole = size + seg.data - seg.pkt.l4
    if whole >= MSS_DEFAULT + 20 or (whole >= MIN_RCV_MSS + 20 and not seg.flags & 0xEF):
        size = whole - (32 if tcb.ts_ok else 20)
        last, tcb.last_seg_size = tcb.last_seg_size, size
        if size == last:
            tcb.rcv_mss = size
            return
    tcb.ack_pending |= PUSHED_TWICE | PUSHED if tcb.ack_pending & PUSHED else PUSHED


def ack_due(tcb: Tcb, now: int) -> bool:
    """An ACK is pending: whether it goes at once; else it is put off (__tcp_ack_snd_check)."""
    pending = tcb.ack_pending
    if (
        pending & NOW
        or (tcb.quickacks and tcb.pingpong < PINGPONG)
        or tcb.ooo is not None  # RFC 5681 4.2: a gap is told at once
        or (
            tcb.rcv_nxt - tcb.last_ack_sent > tcb.rcv_mss
            and (next_window(tcb) >= tcb.rcv_wnd or tcb.rcv_nxt - tcb.copied_seq < tcb.sock.rcvlowat)
        )
    ):
        return True
    return _put_off(tcb, now)


def _put_off(tcb: Tcb, now: int) -> bool:
    """Arm the timer (tcp_send_delayed_ack); True when one that is armed is so near that the ACK may as well go."""
    ato = tcb.ato
    if ato > MIN_ATO:
        most = MAX_DELAY if tcb.pingpong >= PINGPONG or tcb.ack_pending & PUSHED else 500 * MS
        if tcb.srtt:
            most = min(most, max(tcb.srtt, MIN_ATO))
        ato = min(ato, most)
    deadline = now + min(ato, MAX_DELAY)
    timer = tcb.delack
    if timer is not None and timer.deadline >= 0:
        if timer.deadline <= now + (ato >> 2):
            return True
        if deadline >= timer.deadline:
            return False
    timers.arm_delack(tcb, deadline)
    return False


def put_off(tcb: Tcb, delay: int, now: int) -> None:
    """The ACK that is pending goes with data, or after `delay` ns."""
    tcb.ack_pending |= DUE
    timers.arm_delack(tcb, now + delay)


def ack_sent(tcb: Tcb) -> None:
    """A segment with an ACK of ``rcv_nxt`` left (tcp_event_ack_sent): nothing is due any more."""
    if tcb.quickacks:
        tcb.quickacks -= 1
        if not tcb.quickacks:
            tcb.ato = MIN_ATO
    tcb.ack_pending = 0
    tcb.dsack = None
    tcb.last_ack_sent = tcb.rcv_nxt
    timer = tcb.delack
    if timer is not None and timer.deadline >= 0:
        tcb.ns.stack.timers.cancel(timer)


def data_sent(tcb: Tcb, now: int) -> None:
    """Data of our own left: soon after the peer's they are an answer, and this is a dialogue (tcp_event_data_sent)."""
    if now - tcb.last_rcv_at < tcb.ato and tcb.pingpong < 255:
        tcb.pingpong += 1


def due(tcb: Tcb) -> bool:
    """The timer came up (tcp_delack_timer_handler): whether an ACK is to be sent, which has waited long enough."""
    if not tcb.ack_pending & DUE:
        return False
    if tcb.pingpong < PINGPONG:
        tcb.ato = min(tcb.ato << 1, tcb.rto)
    else:
        tcb.pingpong = 0
        tcb.ato = MIN_ATO
    tcb.ns.stats[_DELAYED] += 1
    return True


def set_quickack(tcb: Tcb, value: int) -> bool:
    """TCP_QUICKACK: 1 leaves the dialogue, an even number but 0 enters it again at once, 0 enters it. Whether the ACK
    that was pending is to be sent."""
    if not value:
        tcb.pingpong = PINGPONG
        return False
    tcb.pingpong = 0
    send = False
    if tcb.state in (ESTABLISHED, CLOSE_WAIT) and tcb.ack_pending & DUE:
        queue = tcb.rcvq
        if tcb.rcv_nxt - tcb.last_ack_sent > tcb.rcv_mss or queue is None or not queue.size:
            send = True
        else:
            tcb.ack_pending |= PUSHED
        if not value & 1:
            tcb.pingpong = PINGPONG
    return send


def is_quick(tcb: Tcb) -> bool:
    """getsockopt(TCP_QUICKACK)."""
    return tcb.pingpong < PINGPONG
