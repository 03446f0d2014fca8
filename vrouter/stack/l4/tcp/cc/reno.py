"""NewReno's window (RFC 5681 3.1, RFC 6582): slow start, then a segment more for each window that was acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.cc import base, validation

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.tcb import Tcb


class RenoState:
    """``credit``: bytes acknowledged that have not grown the window yet."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        self.credit = 0


class Reno(base.Congestion):
    """The additive increase and multiplicative decrease of RFC 5681."""

    __slots__ = ()

    name = "reno"

    def _start(self, tcb: Tcb, now: int) -> None:
        tcb.cc_state = RenoState()

    def on_ack(self, tcb: Tcb, sample: RateSample, now: int) -> None:
        """Slow start below ``ssthresh``; above it byte counting (RFC 5681 3.1, equation 3's alternative)."""
        if base.may_grow(tcb):
            validation.acked(tcb, now)
            if validation.limited(tcb):
                left = sample.newly
                if tcb.cwnd < tcb.ssthresh:
                    left = base.slow_start(tcb, left)
                if left:
                    state = tcb.cc_state
                    count, state.credit = divmod(state.credit + left, tcb.cwnd)
                    tcb.cwnd += count * tcb.mss
        self.pace(tcb)

    def ssthresh(self, tcb: Tcb) -> int:
        """Half of what is in use, two segments at least (RFC 5681 3.1, equation 4)."""
        return max(validation.reduction_base(tcb) >> 1, 2 * tcb.mss)

    def on_event(self, tcb: Tcb, event: int, now: int) -> None:
        """At the end of a reduction: RFC 7661 4.4.1."""
        if event == base.COMPLETE_CWR:
            validation.recovered(tcb, 1, 2)
        elif event == base.LOSS:
            tcb.cc_state.credit = 0
            tcb.pipe_ack = None


RENO: Final = Reno()
