"""Whether the peer is still there: probes of a window that is closed, and keep-alive.

A window of zero may open without our hearing of it, for the ACK that says so may be lost. So as long as data wait and
nothing is under way, a segment without data and with an old number is sent now and then, which has to be answered
(RFC 9293 3.8.6.1); the time between two doubles from the RTO on. There is no end to it while answers come; an orphan,
and TCP_USER_TIMEOUT, have one (RFC 9293 3.8.3, RFC 5482). The same timer ends the waiting of corked data.

Keep-alive (RFC 9293 3.8.4) is off unless SO_KEEPALIVE is set, and speaks only when nothing was heard for
TCP_KEEPIDLE and nothing is outstanding; after TCP_KEEPCNT probes, TCP_KEEPINTVL apart, or TCP_USER_TIMEOUT, the
connection ends with ETIMEDOUT. In FIN-WAIT-2 the same timer ends what nobody holds any more.

Next: `emit`, or `lifecycle` at an end.
"""

from __future__ import annotations

import errno
from typing import Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import lifecycle, output, retries
from vrouter.stack.l4.tcp.emit import emit
from vrouter.stack.l4.tcp.persist import clamped, interval, unsent
from vrouter.stack.l4.tcp.tcb import (
    CLOSED,
    FIN_WAIT_2,
    REXMIT_PROBE,
    SYN_SENT,
    TIME_WAIT_LENGTH,
    Tcb,
)
from vrouter.stack.l4.tcp.timers import RESOURCE_INTERVAL, arm_keepalive, arm_rexmit
from vrouter.stack.wire.tcp import ACK

_WIN_PROBE: Final = int(Stat.TcpWinProbe)
_KEEP_ALIVE: Final = int(Stat.TcpKeepAlive)
_ABORTED: Final = int(Stat.TcpAbortOnTimeout)


# -- a closed window -------------------------------------------------------------------------------------------------


def zero_window(tcb: Tcb, now: int) -> None:
    """The probe's timer came up (tcp_probe_timer)."""
    if tcb.snd_una != tcb.snd_nxt or not unsent(tcb):
        tcb.probes = 0
        tcb.probe_at = -1
        return
    if tcb.probe_at < 0:
        tcb.probe_at = now
    elif tcb.user_timeout and now - tcb.probe_at >= tcb.user_timeout:
        lifecycle.abort_timeout(tcb, now)
        return
    most = tcb.ns.conf.tcp.retries2
    if tcb.orphan:
        alive = interval(tcb) < tcb.ns.conf.tcp.rto_max
        most = retries.of_orphan(tcb, alive)
        if not alive and tcb.backoff >= most:
            lifecycle.abort_timeout(tcb, now)
            return
        if retries.out_of_resources(tcb, True, now):
            return
    if tcb.probes >= most:
        lifecycle.abort_timeout(tcb, now)
        return
    window_probe(tcb, now)


def window_probe(tcb: Tcb, now: int) -> None:
    """Probe now, and again later (tcp_send_probe0)."""
    sent = wake_up(tcb, _WIN_PROBE, now)
    if tcb.snd_una != tcb.snd_nxt or not unsent(tcb):
        tcb.probes = 0
        tcb.backoff = 0
        tcb.probe_at = -1
        return
    tcb.probes += 1
    if sent:
        if tcb.backoff < tcb.ns.conf.tcp.retries2:
            tcb.backoff += 1
        wait = interval(tcb)
    else:
        wait = RESOURCE_INTERVAL
    arm_rexmit(tcb, REXMIT_PROBE, now + clamped(tcb, wait, now))


def wake_up(tcb: Tcb, stat: int, now: int) -> bool:
    """Make the peer say where it stands: with what it has room for, however little, or else with a number that is
    acknowledged already (tcp_write_wakeup). False when nothing could be sent."""
    if tcb.state == CLOSED:
        return False
    if unsent(tcb) and tcb.snd_nxt < tcb.snd_una + tcb.snd_wnd:
        return output.send_now(tcb, now)
    start = tcb.snd_una - 1
    if tcb.snd_una < tcb.snd_up <= tcb.snd_una + 0xFFFF:
        emit(tcb, tcb.snd_una, tcb.snd_una, ACK, now)  # the urgent mark is told of whatever the window
    tcb.ns.stats[stat] += 1
    return emit(tcb, start, start, ACK, now) > 0


# -- keep-alive ------------------------------------------------------------------------------------------------------


def keepalive(tcb: Tcb, now: int) -> None:
    """The keep-alive timer came up (tcp_keepalive_timer)."""
    if tcb.state == FIN_WAIT_2 and tcb.orphan:
        lifecycle.wait_small(tcb, FIN_WAIT_2, TIME_WAIT_LENGTH, now)
        return
    sock = tcb.sock
    if not sock.keepalive or tcb.state == SYN_SENT:
        return
    conf = tcb.ns.conf.tcp
    idle = sock.keepidle or conf.keepalive_time
    if tcb.snd_una != tcb.snd_nxt or unsent(tcb):
        arm_keepalive(tcb, now + idle)
        return
    heard = tcb.last_rcv_at
    if tcb.info is not None and tcb.info.last_ack_rcv_at > heard:
        heard = tcb.info.last_ack_rcv_at
    quiet = now - heard
    if quiet < idle:
        arm_keepalive(tcb, now + idle - quiet)
        return
    if tcb.user_timeout:
        over = quiet >= tcb.user_timeout and tcb.probes > 0
    else:
        over = tcb.probes >= (sock.keepcnt or conf.keepalive_probes)
    if over:
        tcb.ns.stats[_ABORTED] += 1
        output.send_reset(tcb, now)
        lifecycle.done(tcb, errno.ETIMEDOUT)  # what came before can still be read
    elif wake_up(tcb, _KEEP_ALIVE, now):
        tcb.probes += 1
        arm_keepalive(tcb, now + (sock.keepintvl or conf.keepalive_intvl))
    else:
        arm_keepalive(tcb, now + RESOURCE_INTERVAL)
