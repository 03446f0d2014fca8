"""What a congestion control is: stateless objects, one for each algorithm; a connection's state is ``tcb.cc_state``.

Who calls what:

- `lifecycle` calls `begin` once, when the connection is established (or ``TCP_CONGESTION`` chooses another later).
- `output` calls `validation.before_sending` when data is to leave and none is in flight, and `validation.after_sending`
  when it has sent what it could; `Event.TX_START` and the restart after idle come from there.
- `ack` calls ``on_ack`` for each acknowledgement that delivered anything, after loss detection. It grows ``cwnd`` in
  the open and disorder states only (and in the loss state, which is a slow start); in recovery and CWR the proportional
  rate reduction rules. An algorithm that says `controls_cwnd` rules always, and PRR does not run.
- `recovery` asks ``ssthresh`` when it enters CWR, recovery or loss (after ``prior_cwnd`` is noted), tells ``on_event``,
  announces every change of ``ca_state`` with ``set_state`` before it makes it, and asks ``undo`` for the window to
  return to when a reduction was for nothing; it restores ``ssthresh`` from ``prior_ssthresh`` itself.

All windows are bytes, times ns, rates bytes a second. Of a `rate.RateSample` are read: ``newly`` (bytes delivered by
this ACK), ``rtt``, ``lost``, ``delivered``, ``interval``, ``prior_delivered``, ``prior_in_flight``,
``is_app_limited``.

Byte counting: slow start adds what was delivered (RFC 5681 3.1). Deviation: an acknowledgement is not held to the limit
of RFC 3465 2.2 or RFC 9406 4.2 (L segments), since one superframe is one segment to us and dozens to the path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.tcb import CA_CWR, CA_RECOVERY, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.tcb import Tcb

# What ``on_event`` tells; Linux's tcp_ca_event.
TX_START: Final = 0  # data leaves while none is in flight
CWND_RESTART: Final = 1  # the window was shrunk after an idle time
COMPLETE_CWR: Final = 2  # a reduction is complete
LOSS: Final = 3  # the retransmission timer went off
ECN_NO_CE: Final = 4
ECN_IS_CE: Final = 5

INITIAL_SEGMENTS: Final = 10
_INITIAL_BYTES: Final = 14600


def initial_window(mss: int) -> int:
    """The initial window in bytes (RFC 6928 2)."""
    return min(INITIAL_SEGMENTS * mss, max(2 * mss, _INITIAL_BYTES))


def slow_start(tcb: Tcb, delivered: int) -> int:
    """Grow ``cwnd`` by what was delivered up to ``ssthresh`` (RFC 5681 3.1); returns what is left for avoidance."""
    cwnd = tcb.cwnd + delivered
    if cwnd <= tcb.ssthresh:
        tcb.cwnd = cwnd
        return 0
    tcb.cwnd = max(tcb.cwnd, tcb.ssthresh)
    return cwnd - tcb.cwnd


class Congestion(ABC):
    """One algorithm. `needs_pacing`: its ``pacing_rate`` must be kept; `controls_cwnd`: see the module."""

    __slots__ = ()

    name: str = ""
    needs_pacing: bool = False
    controls_cwnd: bool = False

    def begin(self, tcb: Tcb, now: int) -> None:
        """Make the connection's state; a window that is not set yet becomes the initial one."""
        if not tcb.cwnd:
            tcb.cwnd = initial_window(tcb.mss)
        self._start(tcb, now)
        self.pace(tcb)

    @abstractmethod
    def _start(self, tcb: Tcb, now: int) -> None:
        """Make ``tcb.cc_state``."""

    @abstractmethod
    def on_ack(self, tcb: Tcb, sample: RateSample, now: int) -> None:
        """An acknowledgement delivered ``sample.newly`` bytes."""

    @abstractmethod
    def ssthresh(self, tcb: Tcb) -> int:
        """The slow start threshold of a reduction that begins now."""

    def on_event(self, tcb: Tcb, event: int, now: int) -> None:  # noqa: B027 - who does not care inherits it
        """One of the events above."""

    def set_state(self, tcb: Tcb, state: int, now: int) -> None:  # noqa: B027 - most have nothing to do here, likewise
        """``ca_state`` is about to become `state`."""

    def undo(self, tcb: Tcb) -> int:
        """The window to return to: the last reduction was for nothing."""
        return max(tcb.cwnd, tcb.prior_cwnd)

    def pacing_rate(self, tcb: Tcb) -> int:
        """The rate to send at: as Linux's, so much above the window for each round trip that it does not hold it up."""
        srtt = tcb.srtt
        if srtt <= 0:
            return 0
        conf = tcb.ns.conf.tcp
        percent = conf.pacing_ss_ratio if tcb.cwnd < tcb.ssthresh >> 1 else conf.pacing_ca_ratio
        return max(tcb.cwnd, tcb.snd_nxt - tcb.snd_una) * percent * (SECOND // 100) // srtt

    def pace(self, tcb: Tcb) -> None:
        """Set ``tcb.pacing_rate`` where the algorithm or the program (SO_MAX_PACING_RATE) wants pacing."""
        if self.needs_pacing or tcb.pacing_max:
            rate = self.pacing_rate(tcb)
            limit = tcb.pacing_max
            tcb.pacing_rate = min(rate, limit) if limit and rate else rate or limit

    def info(self, tcb: Tcb) -> dict[str, int]:
        """What ``show sockets -i`` and TCP_CC_INFO tell besides the window."""
        return {}


def may_grow(tcb: Tcb) -> bool:
    """Whether the window is the algorithm's to grow: not while a reduction is under way."""
    state = tcb.ca_state
    return state != CA_RECOVERY and state != CA_CWR
