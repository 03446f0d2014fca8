"""The timestamp option's receiver (RFC 7323): what to echo, which segments are too old, and the clock that is sent.

The clock counts milliseconds, with an offset for each connection (RFC 7323 5.4: nobody is to learn the host's clock).
``ts_recent`` is what the next segment echoes, ``ts_recent_at`` when it was taken (ns; 0 with a ``ts_recent`` of 0
means none yet). All values are 32 bits.

Read first: RFC 7323 4.3 (which one to echo), 5.2 to 5.5 (PAWS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.seq import HALF, MASK
from vrouter.stack.l4.tcp.tcb import MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.wire.tcp import Segment

# RFC 7323 5.5: after so long without news a ts_recent says nothing, since the peer's clock may have gone half around.
STALE: Final = 24 * 24 * 3600 * SECOND


def clock(tcb: Tcb, now: int) -> int:
    """TSval of a segment that leaves `now`."""
    return (now // MS + tcb.ts_offset) & MASK


def echo_age(tcb: Tcb, tsecr: int, now: int) -> int:
    """How long ago `tsecr` was sent by us, in ns: whole milliseconds, at least one; -1 when it cannot be ours."""
    age = (now // MS + tcb.ts_offset - tsecr) & MASK
    return (age or 1) * MS if age < HALF else -1


def is_old(tcb: Tcb, tsval: int, now: int, slack: int = 0) -> bool:
    """RFC 7323 5.3 R1: whether `tsval` is older than ``ts_recent`` by more than `slack` ms.

    A ts_recent of 0 forbids nothing: some begin with 0 in their SYN and go on with any value (as in Linux).
    """
    recent = tcb.ts_recent
    age = (recent - tsval) & MASK
    return slack < age < HALF and recent != 0 and now - tcb.ts_recent_at <= STALE


def take(tcb: Tcb, seg: Segment, now: int) -> None:
    """`seg` is the one to echo from now on: the caller has seen that it reaches what was acknowledged last."""
    tcb.ts_recent = seg.tsval
    tcb.ts_recent_at = now


def update(tcb: Tcb, seg: Segment, seq: int, now: int) -> None:
    """RFC 7323 4.3 (2): an acceptable segment that begins at or before what was acknowledged last is to be echoed,
    unless that turned the clock back."""
    if seq <= tcb.last_ack_sent and not is_old(tcb, seg.tsval, now):
        tcb.ts_recent = seg.tsval
        tcb.ts_recent_at = now


def refuses(tcb: Tcb, seg: Segment, seq: int, now: int) -> bool:
    """PAWS (RFC 7323 5.3 R1): whether `seg`, which has a timestamp, is from long ago.

    As in Linux, one tick back is forgiven, and a pure ACK that repeats what is known may be a little disordered.
    """
    if not is_old(tcb, seg.tsval, now, 1):
        return False
    return not (
        seg.data == seg.end
        and seg.flags & 0x17 == 0x10  # an ACK, and no FIN, SYN or RST
        and seq == tcb.rcv_nxt
        and seg.ack == tcb.snd_una & MASK
        and seg.window << tcb.snd_wscale == tcb.snd_wnd
        and (tcb.ts_recent - seg.tsval) & MASK <= tcb.rto // MS
    )
