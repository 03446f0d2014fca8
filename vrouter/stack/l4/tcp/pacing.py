"""When segments may leave, and how large a superframe is, where a connection is paced.

It is paced when its congestion control asks for it (BBR) or the program does (SO_MAX_PACING_RATE): ``pacing_rate`` is
not 0 then. Each superframe carries what the rate lets through in about a millisecond, at least two segments
(tcp_tso_autosize), and the next one may leave when this one would be through at that rate. A timer may be late by its
grain; up to a millisecond of that is made up for, so that the mean is the rate.

Without pacing nothing would come between two superframes, so they are as large as they can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp import timers
from vrouter.stack.l4.tcp.tcb import MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

BURST: Final = MS  # ns of data that may leave at once
MIN_SEGMENTS: Final = 2
_SHIFT: Final = 10  # rate >> 10: bytes in about a millisecond


def may_send(tcb: Tcb, now: int) -> bool:
    """Whether a segment may leave now; if not the timer is armed for when it may."""
    if tcb.pacing_at <= now:
        return True
    timers.arm_pacing(tcb, tcb.pacing_at)
    return False


def quantum(tcb: Tcb) -> int:
    """How many bytes a superframe may have: whole segments."""
    mss = tcb.mss
    return max((tcb.pacing_rate >> _SHIFT) // mss, MIN_SEGMENTS) * mss


def sent(tcb: Tcb, size: int, now: int) -> None:
    """`size` bytes left: the next segment has to wait for as long as they take at the rate."""
    tcb.pacing_at = max(tcb.pacing_at, now - BURST) + size * SECOND // tcb.pacing_rate
