"""The receive window: how much is offered, and how the buffer grows with what a path carries.

Half of SO_RCVBUF is data, the other half what holding data costs (Linux's first scaling ratio). So the window reaches
``rcvbuf / 2`` beyond what the program has read, and never less than what was offered before: its right edge
(``rcv_adv``) does not go back (RFC 9293 3.8.6, SHLD-14). Data out of order lies inside the window and takes none away.

``rcv_ssthresh`` keeps a new connection from offering all at once: it grows with what arrives. ``window_clamp`` is what
the scaling agreed on can say at most. The buffer itself grows to twice and more of what the program reads in one round
trip (``tcp_moderate_rcvbuf``), up to ``tcp_rmem``'s last, unless the program set it.

The round trip as the receiver sees it is how long the peer takes to fill a window, the least ever seen; with
timestamps, the age of what the peer echoes, smoothed.

Read first: RFC 9293 3.8.6.2.2, RFC 7323 2.2 to 2.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.constants import LOCK_RCVBUF
from vrouter.stack.l4.tcp.tcb import Tcb
from vrouter.stack.l4.tcp.timestamps import echo_age

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.wire.tcp import Segment

MAX_WINDOW: Final = 65535
MAX_WSCALE: Final = 14
TIMESTAMP_SIZE: Final = 12  # of the option in each segment
INITIAL_CWND: Final = 10  # segments that a peer may send at once (RFC 6928)
MIN_RCV_MSS: Final = 88
DEFAULT_RCV_MSS: Final = 536

_TO_ZERO: Final = int(Stat.TcpToZeroWindowAdv)
_FROM_ZERO: Final = int(Stat.TcpFromZeroWindowAdv)
_WANT_ZERO: Final = int(Stat.TcpWantZeroWindowAdv)


# -- at the beginning --------------------------------------------------------------------------------------------------


def first_window(rcvbuf: int, mss: int, clamp: int, scaled: bool, largest: int) -> tuple[int, int, int]:
    """(window, clamp, shift) to begin with (tcp_select_initial_window).

    `clamp` 0: none is set. `mss` is what a segment carries at most; `scaled` whether scaling is offered or agreed on,
    `largest` what SO_RCVBUF may grow to. The window is unscaled, and a SYN says at most `MAX_WINDOW` of it.
    """
    clamp = clamp or MAX_WINDOW << MAX_WSCALE
    space = min(rcvbuf // 2, clamp)
    if space > mss:
        space -= space % mss
    shift = 0
    if scaled:
        shift = min(max(min(max(space, largest), clamp).bit_length() - 16, 0), MAX_WSCALE)
    return space, min(clamp, MAX_WINDOW << shift), shift


def initial_window(tcb: Tcb) -> int:
    """The window field of the SYN of an active open; sets all that the receiver's window begins with."""
    conf = tcb.ns.conf
    mss = tcb.adv_mss - (TIMESTAMP_SIZE if tcb.ts_recent else 0)
    largest = max(conf.tcp.rmem[2], conf.rmem_max)
    clamp = clamped(tcb.sock, tcb.window_clamp)
    window, clamp, shift = first_window(tcb.sock.rcvbuf, mss, clamp, conf.tcp.window_scaling, largest)
    tcb.rcv_wscale = shift
    tcb.window_clamp = clamp
    tcb.rcv_ssthresh = window
    tcb.rcv_wnd = min(window, MAX_WINDOW)
    return tcb.rcv_wnd


def clamped(sock: TcpSocket, clamp: int) -> int:
    """The most that is ever offered: `clamp` (0: no limit), and no more than the program's own SO_RCVBUF has room for,
    which then tells the scale, too."""
    full = sock.rcvbuf // 2
    return full if sock.locked & LOCK_RCVBUF and (not clamp or clamp > full) else clamp


def begin(tcb: Tcb, now: int) -> None:
    """The handshake is over and its options are known: the buffer's measures begin (tcp_init_buffer_space)."""
    full = tcb.sock.rcvbuf // 2
    if not tcb.wscale_ok:
        tcb.snd_wscale = tcb.rcv_wscale = 0
        tcb.window_clamp = min(tcb.window_clamp, MAX_WINDOW)
    if tcb.window_clamp >= full:
        tcb.window_clamp = max(full, 4 * tcb.adv_mss if full > 4 * tcb.adv_mss else full)
    tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, tcb.window_clamp)
    tcb.space = max(min(tcb.rcv_ssthresh, tcb.rcv_wnd, INITIAL_CWND * tcb.adv_mss), 1)
    tcb.space_seq = tcb.copied_seq
    tcb.space_at = now
    guess_rcv_mss(tcb)


def guess_rcv_mss(tcb: Tcb) -> None:
    """What a full segment of the peer carries, before one came (tcp_initialize_rcv_mss)."""
    hint = min(tcb.adv_mss, tcb.mss, tcb.rcv_wnd // 2, DEFAULT_RCV_MSS)
    tcb.rcv_mss = max(hint, MIN_RCV_MSS)


# -- what is offered ---------------------------------------------------------------------------------------------------


def offered(tcb: Tcb) -> int:
    """How much may still come of what was offered."""
    left = tcb.rcv_adv - tcb.rcv_nxt
    return left if left > 0 else 0


def room(tcb: Tcb) -> int:
    """Bytes of data that the buffer has left beside what waits to be read; below 0 when SO_RCVBUF was cut."""
    queue = tcb.rcvq
    return tcb.sock.rcvbuf // 2 - (queue.size if queue is not None else 0)


def next_window(tcb: Tcb) -> int:
    """The window that would be offered now, before the right edge's say (__tcp_select_window).

    RFC 9293 3.8.6.2.2: nothing below one segment (or a sixteenth of the buffer) is offered, so that no silly windows
    come about; it opens again in steps of at least as much.
    """
    mss = tcb.rcv_mss
    allowed = tcb.sock.rcvbuf // 2
    queue = tcb.rcvq
    free = allowed - queue.size if queue is not None else allowed
    full = min(tcb.window_clamp, allowed)
    if mss > full:
        mss = full
        if mss <= 0:
            return 0
    shift = tcb.rcv_wscale
    if free < full >> 1:
        tcb.quickacks = 0
        if tcb.tcp.pressure:
            tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, 4 * tcb.adv_mss)
        free = free >> shift << shift
        if free < allowed >> 4 or free < mss:
            return 0
    if free > tcb.rcv_ssthresh:
        free = tcb.rcv_ssthresh
    if shift:
        # Rounded up: a window of less than the unit is not to become none.
        return -(-free >> shift) << shift
    window = tcb.rcv_wnd
    if window <= free - mss or window > free:
        return free - free % mss
    if mss == full and free > window + (full >> 1):
        return free
    return window


def select_window(tcb: Tcb, now: int) -> int:
    """The window field of a segment that acknowledges ``rcv_nxt``, and the note of what it offers (tcp_select_window).

    Not for a SYN, whose window is never scaled (RFC 7323 2.2).
    """
    shift = tcb.rcv_wscale
    old = tcb.rcv_wnd
    current = tcb.rcv_adv - tcb.rcv_nxt
    if current < 0:
        current = 0
    window = next_window(tcb)
    if window < current:
        # SHLD-14: the right edge never goes back. What the field cannot say of it is still taken (RFC 7323 2.4); were
        # that rounded up, the edge would move on with every small segment, whether anybody reads or not.
        if not window:
            tcb.ns.stats[_WANT_ZERO] += 1
        window = current >> shift << shift
    most = MAX_WINDOW << shift
    if window > most:
        window = most
    tcb.rcv_wnd = window
    edge = tcb.rcv_nxt + window
    if edge > tcb.rcv_adv:
        tcb.rcv_adv = edge
    if not window:
        if old:
            tcb.ns.stats[_TO_ZERO] += 1
    elif not old:
        tcb.ns.stats[_FROM_ZERO] += 1
    return window >> shift


def update_is_due(tcb: Tcb) -> bool:
    """Whether what the program read opens the window so far that the peer is to know: to twice of what it knows of
    (RFC 9293 3.8.6.2.2 asks for half the buffer or a segment; less would only make traffic)."""
    current = offered(tcb)
    if 2 * current > tcb.window_clamp:
        return False
    window = next_window(tcb)
    return window > 0 and window >= 2 * current


# -- how it grows ------------------------------------------------------------------------------------------------------


def grow(tcb: Tcb, size: int) -> None:
    """`size` bytes arrived: more may be offered, as far as the buffer has room (tcp_grow_window)."""
    queue = tcb.rcvq
    space = tcb.sock.rcvbuf // 2 - (queue.size if queue is not None else 0)
    left = min(tcb.window_clamp, space) - tcb.rcv_ssthresh
    if left <= 0:
        return
    if tcb.tcp.pressure:
        tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, 4 * tcb.adv_mss)
        return
    tcb.rcv_ssthresh += min(left, 2 * max(tcb.adv_mss, size))
    tcb.quickacks |= 1


def measure_by_window(tcb: Tcb, now: int) -> None:
    """Without timestamps: a round trip is over when a window that was offered has come (tcp_rcv_rtt_measure)."""
    if tcb.rcv_rtt_at:
        if tcb.rcv_nxt < tcb.rcv_rtt_seq:
            return
        sample = max(now - tcb.rcv_rtt_at, 1000)
        if not tcb.rcv_rtt or sample < tcb.rcv_rtt:
            tcb.rcv_rtt = sample
    tcb.rcv_rtt_seq = tcb.rcv_nxt + tcb.rcv_wnd
    tcb.rcv_rtt_at = now


def measure_by_echo(tcb: Tcb, seg: Segment, size: int, now: int) -> None:
    """With timestamps: a full segment tells how old what it echoes is (tcp_rcv_rtt_measure_ts)."""
    if seg.tsecr == tcb.rcv_tsecr or size < tcb.rcv_mss:
        return
    tcb.rcv_tsecr = seg.tsecr
    sample = echo_age(tcb, seg.tsecr, now)
    if sample > 0:
        rtt = tcb.rcv_rtt
        tcb.rcv_rtt = rtt + ((sample - rtt) >> 3) if rtt else sample


def adjust_space(tcb: Tcb, now: int) -> None:
    """The program has read: once in a round trip, let the buffer follow its pace (tcp_rcv_space_adjust)."""
    rtt = tcb.rcv_rtt
    if not rtt or now - tcb.space_at < rtt:
        return
    copied = tcb.copied_seq - tcb.space_seq
    if copied > tcb.space:
        sock = tcb.sock
        conf = tcb.ns.conf.tcp
        if conf.moderate_rcvbuf and not sock.locked & LOCK_RCVBUF:
            # Twice for losses, and again as much as it grew, since the sender may double in the next round trip.
            window = 2 * copied + 16 * tcb.adv_mss
            window += 2 * (window * (copied - tcb.space) // max(tcb.space, 1))  # 0 where no window was ever offered
            rcvbuf = min(2 * window, conf.rmem[2])
            if rcvbuf > sock.rcvbuf:
                sock.rcvbuf = rcvbuf
                tcb.window_clamp = min(rcvbuf // 2, MAX_WINDOW << tcb.rcv_wscale)
        tcb.space = copied
    tcb.space_seq = tcb.copied_seq
    tcb.space_at = now
