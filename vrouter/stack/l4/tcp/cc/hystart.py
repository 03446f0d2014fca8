"""HyStart++ (RFC 9406): the end of the first slow start is found by the delay, before anything is lost.

A round ends when more is acknowledged than had been sent when it began. When the least round-trip time of a round
is clearly above that of the round before, slow start goes on at a quarter of its pace (conservative slow start); if it
stays so for five rounds, the window has its size, and if the delay goes back, it was noise and slow start goes on.

An acknowledgement of a superframe stands for all those that its segments would have had (one for two, RFC 9293
3.8.6.3), so that a round of few large ones decides as well as one of many small ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.tcb import MS

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.rate import RateSample
    from vrouter.stack.l4.tcp.tcb import Tcb

MIN_RTT_THRESH: Final = 4 * MS
MAX_RTT_THRESH: Final = 16 * MS
MIN_RTT_DIVISOR: Final = 8
RTT_SAMPLES: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5

_UNKNOWN: Final = 1 << 62


class Hystart:
    """The state of a connection in its first slow start; ``css_baseline`` is `_UNKNOWN` outside conservative rounds."""

    __slots__ = ("credit", "css_baseline", "css_rounds", "last_min", "round_end", "round_min", "samples")

    def __init__(self) -> None:
        self.round_end = -1
        self.last_min = self.round_min = self.css_baseline = _UNKNOWN
        self.samples = self.css_rounds = self.credit = 0


def growth(tcb: Tcb, state: Hystart, sample: RateSample) -> int:
    """By how many bytes of those delivered the window grows (RFC 9406 4.2); -1: slow start is over."""
    in_css = state.css_baseline != _UNKNOWN
    if tcb.snd_una > state.round_end:
        state.round_end = tcb.snd_nxt
        state.last_min = state.round_min
        state.round_min = _UNKNOWN
        state.samples = 0
        if in_css:
            state.css_rounds += 1
            if state.css_rounds >= CSS_ROUNDS:
                return -1
    rtt = sample.rtt
    if rtt >= 0:
        if rtt < state.round_min:
            state.round_min = rtt
        state.samples += sample.newly // (2 * tcb.mss) or 1
        if state.samples >= RTT_SAMPLES:
            if in_css:
                if state.round_min < state.css_baseline:
                    state.css_baseline = _UNKNOWN  # the delay was noise
                    in_css = False
            elif state.last_min != _UNKNOWN:
                threshold = max(MIN_RTT_THRESH, min(state.last_min // MIN_RTT_DIVISOR, MAX_RTT_THRESH))
                if state.round_min >= state.last_min + threshold:
                    state.css_baseline = state.round_min
                    state.css_rounds = 0
                    in_css = True
    if not in_css:
        return sample.newly
    count, state.credit = divmod(state.credit + sample.newly, CSS_GROWTH_DIVISOR)
    return count
