"""How fast the path delivers: samples of the delivery rate (draft-cheng-iccrg-delivery-rate-estimation).

When a range of bytes is sent it takes along what had been delivered by then (`snapshot`). When it is acknowledged or
SACKed, what was delivered since is the numerator of a sample, and the longer one of the two spans, of sending and of
acknowledging, the denominator (`delivered`, `generate`). A flight that the program was too slow to fill is marked
(`check_app_limited`), so that nobody takes its rate for the path's.

`ack` makes one `RateSample` for each acknowledgement, the same object for the whole life of a connection: congestion
control reads it in ``on_ack`` and keeps none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.scoreboard import Range
    from vrouter.stack.l4.tcp.tcb import Tcb


class RateSample:
    """What one acknowledgement told. Bytes and ns; ``interval`` -1: no rate can be had from it."""

    __slots__ = (
        "acked",
        "ca_state",
        "delivered",
        "delivered_ce",
        "ece",
        "interval",
        "is_ack_delayed",
        "is_app_limited",
        "is_retrans",
        "last_end",
        "lost",
        "newly",
        "prior_at",
        "prior_delivered",
        "prior_delivered_ce",
        "prior_in_flight",
        "rcv_interval",
        "rtt",
        "sacked_newly",
        "snd_interval",
    )

    def __init__(self) -> None:
        self.delivered = -1  # bytes delivered over `interval`
        self.delivered_ce = 0  # of them, by acknowledgements with ECE
        self.interval = -1
        self.snd_interval = self.rcv_interval = 0
        self.rtt = -1
        self.acked = 0  # bytes that this ACK acknowledged cumulatively
        self.sacked_newly = 0  # bytes that it SACKed for the first time, or told to be duplicates
        self.newly = 0  # bytes that it delivered: acknowledged or SACKed, each byte once
        self.lost = 0  # bytes that were marked lost because of it
        self.prior_at = -1  # `delivered_at`, `delivered`, `delivered_ce` when the newest delivered range was sent
        self.prior_delivered = 0
        self.prior_delivered_ce = 0
        self.prior_in_flight = 0  # in flight before this ACK
        self.last_end = -1
        self.is_app_limited = False
        self.is_retrans = False
        self.is_ack_delayed = False  # one small segment alone: its ACK may have waited for a timer
        self.ece = False
        self.ca_state = 0  # before this ACK


def begin(sample: RateSample, in_flight: int, ca_state: int) -> None:
    """Make `sample` ready for the next acknowledgement."""
    sample.delivered = sample.interval = sample.rtt = sample.prior_at = sample.last_end = -1
    sample.acked = sample.sacked_newly = sample.newly = sample.lost = 0
    sample.prior_in_flight = in_flight
    sample.is_app_limited = sample.is_retrans = sample.is_ack_delayed = sample.ece = False
    sample.ca_state = ca_state


def snapshot(tcb: Tcb, range_: Range, now: int, idle: bool) -> None:
    """`range_` is sent now; `idle`: nothing was outstanding, so that a new span of sending begins."""
    if idle:
        tcb.first_sent_at = tcb.delivered_at = now
    range_.first_sent_at = tcb.first_sent_at
    range_.delivered_at = tcb.delivered_at
    range_.delivered = tcb.delivered
    range_.delivered_ce = tcb.delivered_ce
    range_.app_limited = tcb.app_limited != 0


def delivered(tcb: Tcb, sample: RateSample, range_: Range, end: int, retransmitted: bool) -> None:
    """`range_` arrived, up to `end`; the one that was sent last of those that an ACK delivers makes the sample."""
    if range_.delivered_at < 0:
        return  # SACKed before: it had its sample
    sent_at = range_.sent_at
    first = tcb.first_sent_at
    if sample.prior_at < 0 or sent_at > first or (sent_at == first and end > sample.last_end):
        sample.prior_at = range_.delivered_at
        sample.prior_delivered = range_.delivered
        sample.prior_delivered_ce = range_.delivered_ce
        sample.is_app_limited = range_.app_limited
        sample.is_retrans = retransmitted
        sample.last_end = end
        sample.snd_interval = sent_at - range_.first_sent_at
        tcb.first_sent_at = sent_at


def generate(tcb: Tcb, sample: RateSample, min_rtt: int, reneged: bool, now: int) -> None:
    """Work out the sample, when everything that the ACK delivers is counted in ``tcb.delivered``.

    `min_rtt` in ns, -1 when not known: an interval below it comes from ACKs that were held up, and is no rate.
    """
    if tcb.app_limited and tcb.delivered > tcb.app_limited:
        tcb.app_limited = 0  # the bubble has left the path
    if sample.newly:
        tcb.delivered_at = now
    if sample.prior_at < 0 or reneged:
        return
    count = sample.delivered = tcb.delivered - sample.prior_delivered
    sample.delivered_ce = tcb.delivered_ce - sample.prior_delivered_ce
    sample.rcv_interval = interval = now - sample.prior_at
    if sample.snd_interval > interval:
        interval = sample.snd_interval
    if interval < min_rtt or interval <= 0:
        return
    sample.interval = interval
    if not sample.is_app_limited or count * tcb.rate_interval >= tcb.rate_delivered * interval:
        tcb.rate_delivered = count
        tcb.rate_interval = interval
        tcb.rate_app_limited = sample.is_app_limited


def check_app_limited(tcb: Tcb) -> None:
    """The program is about to queue data: note whether the connection idled for lack of it. Call before queuing.

    It did, when less than a segment waits, the window would let more leave, and nothing lost waits to be resent.
    """
    sent = tcb.sent
    if sent is None or tcb.write_seq - tcb.snd_nxt >= tcb.mss or sent.lost > sent.retrans:
        return
    in_flight = tcb.snd_nxt - tcb.snd_una - sent.sacked - sent.lost + sent.retrans
    if in_flight < tcb.cwnd:
        tcb.app_limited = tcb.delivered + in_flight or 1
