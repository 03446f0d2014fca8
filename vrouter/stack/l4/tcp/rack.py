"""RACK: what was sent some time before something that has arrived is lost (RFC 8985), time deciding instead of counts.

`ack` tells of every delivery (`advance`). A range whose last transmission is older than the newest delivered one is
lost when an RTT and the reordering window have gone by since it left (`mark_lost`); for one that has not, the
retransmission timer is armed for the moment (`reorder_due`). The window is 0 until reordering was seen (then RFC
6675's threshold of SACKed segments decides at once), otherwise a quarter of the minimum RTT times the steps that
D-SACKs have taught, at most SRTT (RFC 8985 6.2 step 4).

`tlp` sends the probe without which a lost tail would wait for the RTO (RFC 8985 7).

Expects: the scoreboard up to date. Sets: LOST. Next: `recovery`; after a timer the caller goes on with ``output``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import reduction
from vrouter.stack.l4.tcp.rtt import minimum
from vrouter.stack.l4.tcp.scoreboard import pipe
from vrouter.stack.l4.tcp.seq import before
from vrouter.stack.l4.tcp.tcb import CA_RECOVERY, REXMIT_REO, REXMIT_RTO, Tcb
from vrouter.stack.l4.tcp.timers import arm_rexmit
from vrouter.stack.l4.tcp.timestamps import clock
from vrouter.stack.l4.tcp.tlp import probe_due as tlp

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.scoreboard import Range

__all__ = [
    "Rack",
    "advance",
    "check_reordering",
    "mark_lost",
    "reorder_due",
    "reordering_window",
    "tlp",
    "update_window",
]

RECOVERIES: Final = 16  # a window that D-SACKs widened lasts so many recoveries
_MOST_STEPS: Final = 0xFF
_NO_DUPTHRESH: Final = 4  # bits of `tcp_recovery`
_STATIC: Final = 2

_SACK_REORDER: Final = int(Stat.TcpSACKReorder)
_TS_REORDER: Final = int(Stat.TcpTSReorder)


class Rack:
    """RACK's state of a connection (RFC 8985 5.3)."""

    __slots__ = (
        "advanced",
        "dsack_dups",
        "dsack_seen",
        "end",
        "last_delivered",
        "order",
        "persist",
        "reordered",
        "rtt",
        "sent_at",
        "steps",
    )

    def __init__(self) -> None:
        self.order = 0  # of what was sent last of all that has arrived: RACK.xmit_ts, without two that are the same
        self.end = -1  # RACK.end_seq
        self.rtt = 0
        self.advanced = False
        self.reordered = 0  # how often reordering was seen
        self.steps = 1  # RACK.reo_wnd_mult
        self.persist = 0  # recoveries until it is 1 again
        self.dsack_seen = False
        self.dsack_dups = 0  # bytes that D-SACKs told of
        self.last_delivered = 0  # ``delivered`` when the window was widened


def advance(tcb: Tcb, one: Range, end: int, resent: bool, tsecr: int, now: int) -> None:
    """`one` has arrived (up to `end`) (RFC 8985 6.2 steps 1 and 2); `tsecr` -1: there was no timestamp."""
    rack: Rack = tcb.rack
    sent_at = one.sent_at
    rtt = now - sent_at
    if resent:
        # It may be the earlier transmission that has arrived.
        if rtt < minimum(tcb):
            return
        if tsecr >= 0 and before(tsecr, clock(tcb, sent_at)):
            return
    rack.advanced = True
    rack.rtt = rtt
    order = one.order
    if order > rack.order or (order == rack.order and end > rack.end):
        rack.order = order
        rack.end = end


def check_reordering(tcb: Tcb, low: int, by_timestamp: bool) -> None:
    """What begins at `low` arrived late, after later bytes (RFC 8985 6.2 step 3): the degree is measured."""
    sent = tcb.sent
    assert sent is not None
    if not tcb.sack_ok:
        high = low + sent.sacked + tcb.mss  # one more than the duplicates that it was overtaken by
    else:
        high = sent.highest_sacked if sent.highest_sacked >= 0 else tcb.snd_una
    if low >= high:
        return
    stats = tcb.ns.stats
    distance = high - low
    if distance > tcb.reordering * tcb.mss:
        tcb.reordering = min(-(-distance // tcb.mss), tcb.ns.conf.tcp.max_reordering)
    rack: Rack = tcb.rack
    rack.reordered += 1
    if tcb.info is not None:
        tcb.info.reord_seen += 1
    stats[_TS_REORDER if by_timestamp else _SACK_REORDER] += 1


def reordering_window(tcb: Tcb) -> int:
    """How much longer than an RTT is waited for what may only be late, ns (RFC 8985 6.2 step 4)."""
    rack: Rack = tcb.rack
    sent = tcb.sent
    assert sent is not None
    if not rack.reordered:
        if tcb.ca_state >= CA_RECOVERY:
            return 0
        if sent.sacked_segments >= tcb.reordering and not tcb.ns.conf.tcp.recovery & _NO_DUPTHRESH:
            return 0
    return min(max(minimum(tcb), 0) // 4 * rack.steps, tcb.srtt)


def update_window(tcb: Tcb, sample: RateSample) -> None:
    """Widen the window once for each round trip with a D-SACK, narrow it again after `RECOVERIES` (step 4)."""
    rack: Rack = tcb.rack
    if sample.prior_at < 0 or tcb.ns.conf.tcp.recovery & _STATIC:
        return
    if sample.prior_delivered < rack.last_delivered:
        rack.dsack_seen = False  # the round trip that widened it is not over
    if rack.dsack_seen:
        rack.steps = min(rack.steps + 1, _MOST_STEPS)
        rack.dsack_seen = False
        rack.last_delivered = tcb.delivered
        rack.persist = RECOVERIES
    elif not rack.persist:
        rack.steps = 1


def _detect(tcb: Tcb, now: int) -> int:
    """Mark what is lost; in how many ns something else will be, 0: nothing is waited for (RFC 8985 6.2 step 5)."""
    rack: Rack = tcb.rack
    sent = tcb.sent
    assert sent is not None
    limit = now - rack.rtt - reordering_window(tcb)  # what left then or earlier is lost
    newest, end = rack.order, rack.end
    wait = 0
    head = sent.head
    one = head.newer
    while one is not head:
        assert one is not None
        if one.order > newest or (one.order == newest and one.end >= end):
            break
        sent_at = one.sent_at
        following = one.newer
        if sent_at <= limit:
            reduction.lose(tcb, one)
        else:
            wait = max(wait, sent_at - limit)
        one = following
    return wait


def mark_lost(tcb: Tcb, now: int) -> bool:
    """Something may have arrived: whether the reordering timer was armed for what is still waited for."""
    rack: Rack = tcb.rack
    if not rack.advanced:
        return False
    rack.advanced = False
    wait = _detect(tcb, now)
    if not wait:
        return False
    arm_rexmit(tcb, REXMIT_REO, now + min(wait, tcb.rto))
    return True


def reorder_due(tcb: Tcb, now: int) -> None:
    """The reordering window is over: what it was for is lost, and recovery begins. The caller calls ``output`` next."""
    sent = tcb.sent
    if sent is None or not sent.ranges:
        return
    before_ = pipe(tcb)
    _detect(tcb, now)
    in_flight = pipe(tcb)
    if in_flight != before_ and tcb.ca_state != CA_RECOVERY:
        reduction.enter_recovery(tcb, False, 0, now)
        reduction.allow_one(tcb)
    if tcb.rexmit_kind != REXMIT_RTO:
        reduction.rearm(tcb, now)
