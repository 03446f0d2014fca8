"""How long a connection is tried for when nothing is acknowledged (Linux's tcp_write_timeout).

RFC 9293 3.8.3: at R1 (``tcp_retries1``) the path is asked for anew, and suspected to be a black hole; at R2
(``tcp_retries2``, of a SYN ``tcp_syn_retries``) the connection is given up. TCP_USER_TIMEOUT stands in the place of R2
(RFC 5482). What no program holds any more is tried for less long (``tcp_orphan_retries``).

The counts stand for times: that of so many retransmissions with an RTO of 200 ms that doubles.
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import lifecycle, pmtu
from vrouter.stack.l4.tcp.tcb import MS, SECOND, SYN_RECEIVED, SYN_SENT, Tcb

_SAFE_RETRIES: Final = 8  # of a connection that nobody holds any more
_NO_MEMORY: Final = int(Stat.TcpAbortOnMemory)


def gives_up(tcb: Tcb, now: int) -> bool:
    """Whether this was the last time (tcp_write_timeout); then the connection is aborted."""
    conf = tcb.ns.conf.tcp
    expired = False
    if tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED:
        tcb.route = None
        tries = tcb.sock.syncnt or conf.syn_retries
        most = tries + conf.syn_linear_timeouts if tcb.state == SYN_SENT else tries
        expired = tcb.retransmits >= most
    else:
        if timed_out(tcb, conf.retries1, 0, now):
            pmtu.suspect_black_hole(tcb, now)
            tcb.route = None  # RFC 9293 3.8.3 R1: there may be another way
        tries = conf.retries2
        if tcb.orphan:
            alive = tcb.rto < conf.rto_max
            tries = of_orphan(tcb, alive)
            if out_of_resources(tcb, alive or not timed_out(tcb, tries, 0, now), now):
                return True
    if not expired:
        expired = timed_out(tcb, tries, tcb.user_timeout, now)
    if expired:
        lifecycle.abort_timeout(tcb, now)
    return expired


def timed_out(tcb: Tcb, retries: int, timeout: int, now: int) -> bool:
    """Whether what stands first has been sent again for `timeout` ns, or (0) for as long as `retries` times take."""
    if not tcb.retransmits:
        return False
    if not timeout:
        conf = tcb.ns.conf.tcp
        base = SECOND if tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED else 200 * MS
        most = conf.rto_max
        doublings = max((most // base).bit_length() - 1, 0)
        if retries <= doublings:
            timeout = ((2 << retries) - 1) * base
        else:
            timeout = ((2 << doublings) - 1) * base + (retries - doublings) * most
    return now - tcb.retrans_at >= timeout


def of_orphan(tcb: Tcb, alive: bool) -> int:
    """How often is tried for a connection that nobody holds any more (``tcp_orphan_retries``)."""
    retries = tcb.ns.conf.tcp.orphan_retries
    if tcb.soft_error and not alive:
        return 0
    return _SAFE_RETRIES if not retries and alive else retries


def out_of_resources(tcb: Tcb, reset: bool, now: int) -> bool:
    """Whether there are too many connections that nobody holds; then this one ends, with a reset if `reset`."""
    if not tcb.tcp.too_many_orphans():
        return False
    tcb.ns.stats[_NO_MEMORY] += 1
    lifecycle.abort(tcb, 0, now, reset)
    return True
