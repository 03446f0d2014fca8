"""The one retransmission timer of a connection, whatever it stands for at the moment (``REXMIT_*`` of `tcb`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l4.tcp.tcb import REXMIT_NONE

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb


def arm_rexmit(tcb: Tcb, kind: int, deadline: int) -> None:
    """The timer is due at `deadline` (ns) for `kind`, instead of anything it was armed for."""
    timer = tcb.rexmit
    if timer is None:
        timer = tcb.rexmit = Timer(TimerKind.TCP_RETRANSMIT, tcb)
    tcb.rexmit_kind = kind
    tcb.ns.stack.timers.arm(timer, deadline)


def disarm_rexmit(tcb: Tcb) -> None:
    """Nothing is to be due; harmless when nothing is armed."""
    if tcb.rexmit_kind:
        tcb.rexmit_kind = REXMIT_NONE
        if tcb.rexmit is not None:
            tcb.ns.stack.timers.cancel(tcb.rexmit)
