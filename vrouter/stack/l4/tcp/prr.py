"""Proportional rate reduction: how much may leave for each ACK while the window shrinks (RFC 9937, before it 6937).

While more is in flight than ``ssthresh``, what leaves is what was delivered times the reduction factor, so that sending
goes on throughout. Below ``ssthresh`` the window is built up again: by what was delivered, and one segment more when
the ACK tells of progress and of no further loss (the slow start of 6937's SSRB, bounded by its CRB otherwise).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb


class Prr:
    """Of one reduction, bytes: delivered and sent since it began, and outstanding when it did (RecoverFS)."""

    __slots__ = ("delivered", "flight", "out")

    def __init__(self) -> None:
        self.delivered = self.out = 0
        self.flight = 1


def begin(tcb: Tcb, newly: int) -> None:
    """A reduction begins at an ACK that delivered `newly` bytes, which are of the flight it reduces (RFC 9937 6)."""
    prr = tcb.prr
    if prr is None:
        prr = tcb.prr = Prr()
    sent = tcb.sent
    prr.delivered = prr.out = 0
    prr.flight = max(tcb.snd_nxt - tcb.snd_una - (sent.sacked if sent is not None else 0) + newly, tcb.mss)


def delivered(tcb: Tcb, newly: int, lost: int, advanced: bool, in_flight: int) -> None:
    """An ACK delivered `newly` bytes, and `lost` were found to be lost with it: ``cwnd`` is what may be in flight now.

    `advanced`: it moved ``snd_una``.
    """
    prr = tcb.prr
    if newly <= 0 or prr is None:
        return
    mss = tcb.mss
    prr.delivered += newly
    room = tcb.ssthresh - in_flight
    if room < 0:
        # Rounded up to a whole segment (the RFC: to a whole byte), since none leaves in part.
        allowed = -(-tcb.ssthresh * prr.delivered // (prr.flight * mss)) * mss - prr.out
    else:
        allowed = max(prr.delivered - prr.out, newly)
        if advanced and not lost:
            allowed += mss
        allowed = min(room, allowed)
    if not prr.out and allowed < mss:
        allowed = mss  # the retransmission that recovery begins with
    tcb.cwnd = in_flight + max(allowed, 0)
