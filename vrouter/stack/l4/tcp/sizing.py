"""How much a program may queue: the send buffer, its growth, and when it is told to go on writing.

SO_SNDBUF bounds what is queued, sent or not, and what Linux would charge for it. Unless the program set it, it grows
with the window, to twice of what ``cwnd`` may have under way with what Linux counts for each segment, up to
``tcp_wmem``'s last (tcp_sndbuf_expand). TCP_NOTSENT_LOWAT (or ``tcp_notsent_lowat``) bounds what was not sent yet. A
program that was refused is woken once a third of the buffer is free (sk_stream_wspace), and not for every ACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.constants import LOCK_SNDBUF, WRITE
from vrouter.stack.l4.tcp import recovery
from vrouter.stack.l4.tcp.info import BUSY, IDLE, RWND_LIMITED, SNDBUF_LIMITED

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.send_queue import SendQueue
    from vrouter.stack.l4.tcp.tcb import Tcb

_SEGMENT_OVERHEAD: Final = 640  # headers and what Linux keeps beside them
_BUFFER_OVERHEAD: Final = 256
_INITIAL_SEGMENTS: Final = 10
_UNBOUNDED: Final = 0xFFFFFFFF
_BUFFER: Final = 1280  # what a buffer costs beside its data
SUPERFRAME: Final = 65216  # the most that a superframe carries


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


def goal(tcb: Tcb) -> int:
    """The most that Linux puts into one buffer, and sends as one superframe (tcp_xmit_size_goal)."""
    most = min(SUPERFRAME, tcb.max_window >> 1) if tcb.max_window > 536 else SUPERFRAME
    mss = tcb.mss
    return most // mss * mss or mss


def room(tcb: Tcb, queue: SendQueue, size: int, sendable: int) -> int:
    """How many of `size` bytes may be queued now; 0: the program has to wait. `sendable` of what is queued leave at
    once.

    As Linux, a buffer that has been begun is filled, however full the rest is; so a program may queue some more than
    SO_SNDBUF says, and never writes in slivers (tcp_sendmsg_locked).
    """
    end = tcb.write_seq
    nxt = tcb.snd_nxt
    most = goal(tcb)
    held = queue.end - queue.base
    used = _charged(held, most)
    limit = tcb.sock.sndbuf
    bound = lowat(tcb)
    begun = max(queue.tail, nxt)  # where the last buffer begins, as far as it is not sent
    goes = nxt + sendable  # how far what is queued leaves at once
    at = end
    stop = end + size
    while at < stop:
        if at - begun >= most or at == begun:  # more than `most` where segments became smaller meanwhile
            if used >= limit or at - nxt >= bound or ((held or at > end) and not tcb.tcp.has_room(at - end + most)):
                break
            used += _BUFFER
            begun = at
        count = min(stop - at, most - (at - begun))
        at += count
        used += count
        if at - begun == most and goes > nxt:
            # A full one leaves as far as it may; what is left of it takes more.
            nxt = min(at, goes)
            begun = max(begun, nxt)
    queue.tail = begun
    return at - end


def _charged(held: int, most: int) -> int:
    """What `held` bytes cost beside themselves (sk_wmem_queued): the buffers, one of them split by what was sent."""
    return held + (held // most + 2) * _BUFFER if held else 0


def is_writable(tcb: Tcb) -> bool:
    """Whether so much is free that the program should write: a third of the buffer (sk_stream_is_writable)."""
    queue = tcb.sndq
    used = 0 if queue is None else _charged(queue.end - queue.base, goal(tcb))
    if tcb.sock.sndbuf - used < used >> 1:
        return False
    bound = lowat(tcb)
    # As Linux, wake it only once half of what may wait has gone.
    return bound >= _UNBOUNDED or tcb.write_seq - tcb.snd_nxt << 1 < bound


def queued(tcb: Tcb) -> None:
    """The program wrote: from now on sending is no longer idle."""
    counts = tcb.info
    if counts is not None and not counts.limited_kind:
        counts.limit(BUSY, tcb.ns.stack.now)


def starved(tcb: Tcb, now: int) -> None:
    """All that there was is sent, though the windows leave room: whether SO_SNDBUF keeps the program from more."""
    if tcb.wants_room and tcb.info is not None and tcb.write_seq > tcb.snd_una:
        tcb.info.limit(SNDBUF_LIMITED, now)


def window_limits(tcb: Tcb, limits: bool, now: int) -> None:
    """Whether the peer's window holds back what waits (TCP_INFO's tcpi_rwnd_limited)."""
    counts = tcb.info
    if counts is None:
        return
    if limits:
        if counts.limited_kind < RWND_LIMITED:
            counts.limit(RWND_LIMITED, now)
    elif counts.limited_kind == RWND_LIMITED:
        counts.limit(BUSY, now)


def freed(tcb: Tcb) -> None:
    """Something was acknowledged, or sent: a program that waits for room is told (tcp_check_space)."""
    if tcb.wants_room:
        if recovery.pipe(tcb) < tcb.cwnd:
            expand(tcb)
        if is_writable(tcb):
            tcb.wants_room = False
            tcb.sock.wake(WRITE)
    counts = tcb.info
    if counts is not None and counts.limited_kind:
        queue = tcb.sndq
        if queue is not None and queue.base == queue.end:
            counts.limit(IDLE, tcb.ns.stack.now)
        elif counts.limited_kind == SNDBUF_LIMITED and not tcb.wants_room:
            counts.limit(BUSY, tcb.ns.stack.now)
