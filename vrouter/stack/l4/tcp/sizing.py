"""How much a program may queue: the send buffer, its growth, and when it is told to go on writing.

SO_SNDBUF bounds the bytes that are queued, sent or not. Unless the program set it, it grows with the window, to twice
of what ``cwnd`` may have under way with what Linux counts for each segment, up to ``tcp_wmem``'s last
(tcp_sndbuf_expand). TCP_NOTSENT_LOWAT (or ``tcp_notsent_lowat``) bounds what was not sent yet. A program that was
refused is woken once a third of the buffer is free (sk_stream_wspace), and not for every ACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.constants import LOCK_SNDBUF, WRITE

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

_SEGMENT_OVERHEAD: Final = 640  # headers and what Linux keeps beside them
_BUFFER_OVERHEAD: Final = 256
_INITIAL_SEGMENTS: Final = 10
_UNBOUNDED: Final = 0xFFFFFFFF


def expand(tcb: Tcb) -> None:
    """Let SO_SNDBUF grow to what the window needs."""
    sock = tcb.sock
    tcp = tcb.tcp
    if sock.locked & LOCK_SNDBUF or tcp.pressure:
        return
    most = tcb.ns.conf.tcp.wmem[2]
    if sock.sndbuf >= most:
        return
    mss = tcb.mss or 536
    segment = (1 << (max(tcb.peer_mss, mss) + _SEGMENT_OVERHEAD - 1).bit_length()) + _BUFFER_OVERHEAD
    count = max(_INITIAL_SEGMENTS, tcb.cwnd // mss, tcb.reordering + 1)
    factor = 3 if tcb.cc is not None and tcb.cc.needs_pacing else 2
    needed = factor * count * segment
    if needed > sock.sndbuf:
        sock.sndbuf = min(needed, most)


def lowat(tcb: Tcb) -> int:
    """How many bytes may wait to be sent before the program is to stop."""
    return tcb.notsent_lowat or tcb.ns.conf.tcp.notsent_lowat


def room(tcb: Tcb) -> int:
    """How many bytes may be queued now; 0 when the program has to wait."""
    queue = tcb.sndq
    size = 0 if queue is None else queue.end - queue.base
    left = tcb.sock.sndbuf - size
    if left <= 0:
        return 0
    bound = lowat(tcb)
    if bound < _UNBOUNDED:
        unsent = tcb.write_seq - tcb.snd_nxt
        if unsent >= bound:
            return 0
        left = min(left, max(bound - unsent, tcb.mss))
    if size and not tcb.tcp.has_room(left):
        return 0
    return left


def is_writable(tcb: Tcb) -> bool:
    """Whether so much is free that the program should write: a third of the buffer (sk_stream_is_writable)."""
    queue = tcb.sndq
    size = 0 if queue is None else queue.end - queue.base
    if tcb.sock.sndbuf - size < size >> 1:
        return False
    bound = lowat(tcb)
    # As Linux, wake it only once half of what may wait has gone.
    return bound >= _UNBOUNDED or tcb.write_seq - tcb.snd_nxt << 1 < bound


def freed(tcb: Tcb) -> None:
    """Something was acknowledged, or sent: a program that waits for room is told (tcp_check_space)."""
    if tcb.wants_room:
        expand(tcb)
        if is_writable(tcb):
            tcb.wants_room = False
            tcb.sock.wake(WRITE)
