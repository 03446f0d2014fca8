"""A connection's timers: arming them. What happens when they are due is told in `expiry`.

There are four, made when they are first needed:

- retransmission (`Tcb.rexmit`): stands for one thing at a time (`Tcb.rexmit_kind`): the RTO (RFC 6298), the tail loss
  probe and the reordering window (RFC 8985), or the probe of a zero window (RFC 9293 3.8.6.1);
- delayed ACK, keep-alive (which is also the end of FIN-WAIT-2), pacing.

Every ACK moves the retransmission timer to later. Only ``rexmit_at`` is moved then; the timer comes up at its old
deadline and is armed anew, which is cheaper than to sort it in again each time.
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l4.tcp.tcb import REXMIT_NONE, REXMIT_RTO, SECOND, Tcb

RESOURCE_INTERVAL: Final = SECOND // 2  # until what could not be sent here is tried again


def arm_rexmit(tcb: Tcb, kind: int, deadline: int) -> None:
    """Make the retransmission timer due for `kind` (REXMIT_*) at `deadline` (ns), whatever it stood for."""
    if kind == REXMIT_RTO and tcb.user_timeout and tcb.retransmits:
        # Past it the connection lives on only because the peer answers with a closed window: no more hurry.
        limit = tcb.retrans_at + tcb.user_timeout
        if tcb.ns.stack.now < limit < deadline:
            deadline = limit
    tcb.rexmit_kind = kind
    tcb.rexmit_at = deadline
    timer = tcb.rexmit
    if timer is None:
        timer = tcb.rexmit = Timer(TimerKind.TCP_RETRANSMIT, tcb)
    elif 0 <= timer.deadline <= deadline:
        return
    tcb.ns.stack.timers.arm(timer, deadline)


def disarm_rexmit(tcb: Tcb) -> None:
    """Nothing is waited for."""
    if tcb.rexmit_kind:
        tcb.rexmit_kind = REXMIT_NONE
        if tcb.rexmit is not None:
            tcb.ns.stack.timers.cancel(tcb.rexmit)


def arm_delack(tcb: Tcb, deadline: int) -> None:
    """An ACK may wait until `deadline` (ns)."""
    timer = tcb.delack
    if timer is None:
        timer = tcb.delack = Timer(TimerKind.TCP_DELACK, tcb)
    tcb.ns.stack.timers.arm(timer, deadline)


def disarm_delack(tcb: Tcb) -> None:
    """No ACK waits."""
    timer = tcb.delack
    if timer is not None and timer.deadline >= 0:
        tcb.ns.stack.timers.cancel(timer)


def arm_keepalive(tcb: Tcb, deadline: int) -> None:
    """Look whether the peer is still there at `deadline` (ns); in FIN-WAIT-2 of nobody: end it then."""
    timer = tcb.keepalive
    if timer is None:
        timer = tcb.keepalive = Timer(TimerKind.TCP_KEEPALIVE, tcb)
    tcb.ns.stack.timers.arm(timer, deadline)


def disarm_keepalive(tcb: Tcb) -> None:
    """No more of `arm_keepalive`."""
    if tcb.keepalive is not None:
        tcb.ns.stack.timers.cancel(tcb.keepalive)


def arm_pacing(tcb: Tcb, deadline: int) -> None:
    """The next segment may leave at `deadline` (ns)."""
    timer = tcb.pacing
    if timer is None:
        timer = tcb.pacing = Timer(TimerKind.TCP_PACING, tcb)
    tcb.ns.stack.timers.arm(timer, deadline)


def cancel_all(tcb: Tcb) -> None:
    """The connection ends: nothing of it is due any more."""
    timers = tcb.ns.stack.timers
    for timer in (tcb.rexmit, tcb.delack, tcb.keepalive, tcb.pacing):
        if timer is not None:
            timers.cancel(timer)
    tcb.rexmit_kind = REXMIT_NONE
