"""A connection's beginnings and ends: what the calls of the program and the rules of RFC 9293 3.10 make of it.

::

    open_active ─► SYN-SENT ─┐                       ┌─► shutdown_send ─► FIN ─► fin_wait_2 ─► to_time_wait ─► gone
                             ├─► established ─► … ───┼─► close (the same, and nobody holds it any more)
    a Request  ─► its child ─┘                       └─► abort, abort_timeout, an error ─► done

`done` is the one place where a connection leaves its tables, and where its timers and queues go; what had come before
the end can still be read. `close` is Linux's tcp_close: data that nobody read make it a reset (RFC 2525 2.17), as does
SO_LINGER with no time, and an orphan does not wait in FIN-WAIT-2 for longer than ``tcp_fin_timeout``.

Expects: functions that may send have the pipeline empty the outbox behind them (``ns.settle``).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l4.constants import ERROR, READ, WRITE
from vrouter.stack.l4.tcp import isn, output, remembered, timewait, transitions
from vrouter.stack.l4.tcp.cc import BY_NAME
from vrouter.stack.l4.tcp.tcb import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    Tcb,
)
from vrouter.stack.l4.tcp.timewait import TIME_WAIT_LENGTH

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.table import TcpTable


def open_active(
    sock: TcpSocket, table: TcpTable, local: int, port: int, peer: int, peer_port: int, now: int
) -> Tcb:
    """A connection in SYN-SENT, entered in `table`; its SYN is not sent yet (`output.send_syn`).

    Expects: `sock` stands in `table` under `port`. OSError EADDRNOTAVAIL when there is this connection already.
    """
    raise NotImplementedError


def established(tcb: Tcb, now: int) -> None:
    """The handshake is over: the program is told, congestion control begins with what is known of the peer."""


def shutdown_send(tcb: Tcb, now: int) -> None:
    """The program sends no more (RFC 9293 3.10.4, shutdown(2)): a FIN follows what is queued."""


def close(tcb: Tcb, now: int, linger: int = -1) -> None:
    """The program lets go of the connection. `linger` is SO_LINGER's time in ns, -1 when that is off."""


def abort(tcb: Tcb, code: int, now: int, reset: bool = True) -> None:
    """End at once (RFC 9293 3.10.5): the program gets the errno `code` (0: none), the peer a RST if `reset` and if its
    state calls for one."""


def abort_timeout(tcb: Tcb, now: int) -> None:
    """The peer answers no more (RFC 1122 4.2.3.5): ETIMEDOUT, or the soft error that came meanwhile."""


def reset_received(tcb: Tcb, now: int) -> None:
    """A RST to be believed (RFC 9293 3.10.7.4): ECONNREFUSED in SYN-SENT, EPIPE in CLOSE-WAIT, else ECONNRESET."""


def done(tcb: Tcb, code: int = 0) -> None:
    """CLOSED: it leaves its tables; timers and queues go, but what has come can still be read."""


def to_time_wait(tcb: Tcb, now: int) -> None:
    """TIME-WAIT (RFC 9293 3.6.1): a small record answers for the connection from now on."""


def fin_wait_2(tcb: Tcb, now: int) -> None:
    """Its FIN is acknowledged (call after the move to FIN-WAIT-2): an orphan waits for the peer's for a bounded time."""


def challenge_ack(tcb: Tcb, now: int) -> None:
    """Tell the peer where the connection stands (RFC 5961), within the limits."""
