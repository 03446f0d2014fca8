"""When segments may leave, and how large a superframe is.

Each superframe carries what leaves in about a millisecond, at least two segments (tcp_tso_autosize), by the rate or,
where there is none, by the window and the RTT.

A connection is paced when its congestion control asks for it (BBR) or the program does (SO_MAX_PACING_RATE):
``pacing_rate`` is not 0 then, and the next superframe may leave when the one before it would be through at that rate.
As in Linux the first ten segments of a connection are as good as the initial window, which leaves at once. A timer may
be late by its grain: up to a millisecond of that, or half of a superframe's time, is made up for, so that the mean is
the rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp import timers
from vrouter.stack.l4.tcp.rtt import minimum
from vrouter.stack.l4.tcp.tcb import MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

BURST: Final = MS  # ns of data that may leave at once
FREE_SEGMENTS: Final = 10  # of a connection, that are not paced
MIN_SEGMENTS: Final = 2
MOST: Final = 65536
_SHIFT: Final = 10  # rate >> 10: bytes in about a millisecond
_RTT_SHIFT: Final = 9  # for each 512 µs of the RTT half as much is added


def may_send(tcb: Tcb, now: int) -> bool:
    """Whether a segment may leave now; if not the timer is armed for when it may."""
    if tcb.pacing_at <= now:
        return True
    timers.arm_pacing(tcb, tcb.pacing_at)
    return False


def quantum(tcb: Tcb, mss: int) -> int:
    """How many bytes a superframe may have, whole segments: what leaves in about a millisecond, and at short distances
    more, for the queue that it makes is short there, too (tcp_tso_autosize)."""
    rate = tcb.pacing_rate
    if not rate:
        srtt = tcb.srtt
        if not srtt:
            return MOST
        rate = 2 * tcb.cwnd * SECOND // srtt
    size = rate >> _SHIFT
    least = minimum(tcb)
    if least >= 0:
        size += MOST >> min(least // 1000 >> _RTT_SHIFT, 31)
    return max(size // mss, MIN_SEGMENTS) * mss


def sent(tcb: Tcb, size: int, now: int) -> None:
    """`size` bytes left: the next segment has to wait for as long as they take at the rate."""
    if tcb.info.data_segs_out < FREE_SEGMENTS:
        return
    time = size * SECOND // tcb.pacing_rate
    half = time >> 1
    tcb.pacing_at = max(tcb.pacing_at, now - (half if half > BURST else BURST)) + time
