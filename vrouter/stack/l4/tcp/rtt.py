"""Round-trip time: smoothed, its deviation, its windowed minimum, and the retransmission timeout (RFC 6298).

``tcb.srtt`` and ``tcb.mdev`` are RFC 6298's SRTT and RTTVAR, with its gains of 1/8 and 1/4. Deviation: as in Linux a
sample *below* SRTT by more than RTTVAR moves RTTVAR by an eighth of that only (a path that becomes quicker is no
sign of a path that varies), and what is added to SRTT is ``tcb.rttvar``, the largest ``4 * mdev`` of the current and,
decaying by a quarter for each window, of earlier windows, never below the namespace's ``tcp_rto_min``. So the timeout
is ``srtt + max(rto_min, ...)``: RFC 6298's minimum of one second (2.4) is 200 ms here, and it counts from SRTT on.

Samples come from `ack`: of ranges that were sent once (Karn), or of timestamps (RFC 7323 4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb


class WindowedMin:
    """The least RTT of the last `window` ns: three samples, the best, and the best since each (Nichols' filter)."""

    __slots__ = ("at", "at2", "at3", "second", "third", "value")

    def __init__(self, value: int, now: int) -> None:
        self.value = self.second = self.third = value
        self.at = self.at2 = self.at3 = now

    def update(self, value: int, now: int, window: int) -> None:
        """A sample: it counts until something as good or better comes, or `window` ns have gone by."""
        if value <= self.value or now - self.at3 > window:
            self.value = self.second = self.third = value
            self.at = self.at2 = self.at3 = now
            return
        if value <= self.second:
            self.second = self.third = value
            self.at2 = self.at3 = now
        elif value <= self.third:
            self.third = value
            self.at3 = now
        age = now - self.at
        if age > window:
            self.value, self.at = self.second, self.at2
            self.second, self.at2 = self.third, self.at3
            self.third, self.at3 = value, now
            if now - self.at > window:
                self.value, self.at = self.second, self.at2
                self.second, self.at2 = self.third, self.at3
        elif self.at2 == self.at and age > window // 4:
            self.second = self.third = value
            self.at2 = self.at3 = now
        elif self.at3 == self.at2 and age > window // 2:
            self.third = value
            self.at3 = now


def measured(tcb: Tcb, sample: int, now: int) -> None:
    """A round trip took `sample` ns: SRTT and RTTVAR follow (RFC 6298 2.2, 2.3), and so does the timeout."""
    if sample <= 0:
        sample = 1
    srtt = tcb.srtt
    floor = tcb.ns.conf.tcp.rto_min
    if srtt:
        delta = sample - srtt
        srtt += delta >> 3
        tcb.srtt = srtt if srtt > 0 else 1
        mdev = tcb.mdev
        if delta < 0:
            delta = -delta - mdev
            if delta > 0:
                delta >>= 3
        else:
            delta -= mdev
        mdev += delta >> 2
        tcb.mdev = mdev
        mdev <<= 2
        if mdev > tcb.mdev_max:
            tcb.mdev_max = mdev
            if mdev > tcb.rttvar:
                tcb.rttvar = mdev
        if tcb.snd_una > tcb.rtt_seq:
            if tcb.mdev_max < tcb.rttvar:
                tcb.rttvar -= (tcb.rttvar - tcb.mdev_max) >> 2
            tcb.rtt_seq = tcb.snd_nxt
            tcb.mdev_max = floor
    else:
        tcb.srtt = sample
        tcb.mdev = sample >> 1
        tcb.rttvar = tcb.mdev_max = max(sample << 1, floor)
        tcb.rtt_seq = tcb.snd_nxt
    rto = tcb.srtt + tcb.rttvar
    limit = tcb.ns.conf.tcp.rto_max
    tcb.rto = rto if rto < limit else limit
    tcb.backoff = 0


def seed(tcb: Tcb, srtt: int, rttvar: int) -> None:
    """Begin with what an earlier connection of the same peer knew (ns): `rttvar` as ``tcb.rttvar``."""
    tcb.srtt = srtt
    tcb.mdev = rttvar >> 2
    tcb.rttvar = tcb.mdev_max = max(rttvar, tcb.ns.conf.tcp.rto_min)
    tcb.rtt_seq = tcb.snd_nxt
    set_rto(tcb)


def set_rto(tcb: Tcb) -> None:
    """The timeout without back-off (RFC 6298 2.3), when there is a measure."""
    if tcb.srtt:
        tcb.rto = min(tcb.srtt + tcb.rttvar, tcb.ns.conf.tcp.rto_max)


def observe_min(tcb: Tcb, sample: int, delayed: bool, now: int) -> None:
    """Let `sample` (ns) into the minimum; not one that a `delayed` ACK made longer than the minimum."""
    known = tcb.min_rtt
    if sample <= 0:
        sample = 1
    if known is None:
        tcb.min_rtt = WindowedMin(sample, now)
    elif not delayed or sample <= known.value:
        known.update(sample, now, tcb.ns.conf.tcp.min_rtt_wlen)


def minimum(tcb: Tcb) -> int:
    """The least RTT in ns, -1 when none was measured."""
    known = tcb.min_rtt
    return known.value if known is not None else -1
