"""TCP's timers by kind: what the stack calls when one is due, with its owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.timers import TimerKind
from vrouter.stack.l4.tcp import expiry, request, timewait

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

TCP_TIMERS: Final[dict[int, Callable[[Any, int], Netns]]] = {
    TimerKind.TCP_RETRANSMIT: expiry.retransmit_due,
    TimerKind.TCP_DELACK: expiry.delack_due,
    TimerKind.TCP_KEEPALIVE: expiry.keepalive_due,
    TimerKind.TCP_PACING: expiry.pacing_due,
    TimerKind.TCP_REQUEST: request.due,
    TimerKind.TCP_TIME_WAIT: timewait.due,
}
