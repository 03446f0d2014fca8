"""The one retransmission timer of a connection, whatever it stands for at the moment (``REXMIT_*`` of `tcb`)."""

from __future__ import annotations

from vrouter.stack.l4.tcp.timers import arm_rexmit, disarm_rexmit

__all__ = ["arm_rexmit", "disarm_rexmit"]
