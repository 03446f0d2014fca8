"""A connection's beginnings and ends: what the calls of the program and the rules of RFC 9293 3.10 make of it.

::

    open_active ─► SYN-SENT ─┐                       ┌─► shutdown_send ─► FIN ─► fin_wait_2 ─► to_time_wait ─► gone
                             ├─► established ─► … ───┼─► close (the same, and nobody holds it any more)
    open_passive ─► SYN-RCVD ┘                       └─► abort, abort_timeout, reset_received ─► done

`done` is the one place where a connection leaves its tables, and where its timers and queues go; what came before the
end can still be read. `close` is Linux's tcp_close: data that nobody read make it a reset (RFC 2525 2.17), as does
SO_LINGER with no time, and an orphan does not wait in FIN-WAIT-2 for longer than ``tcp_fin_timeout``.

Expects: whoever calls what may send has the pipeline empty the outbox behind it (``ns.settle``).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4.constants import WRITE
from vrouter.stack.l4.tcp import (
    fastopen,
    info,
    isn,
    metrics,
    output,
    pmtu,
    receive,
    request,
    sizing,
    timers,
    timewait,
    transitions,
    window,
)
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
    TIME_WAIT_LENGTH,
    Tcb,
)

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.request import Request
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.table import TcpTable

_ACTIVE_OPENS: Final = int(Stat.TcpActiveOpens)
_PASSIVE_OPENS: Final = int(Stat.TcpPassiveOpens)
_ATTEMPT_FAILS: Final = int(Stat.TcpAttemptFails)
_ESTAB_RESETS: Final = int(Stat.TcpEstabResets)
_ON_CLOSE: Final = int(Stat.TcpAbortOnClose)
_ON_DATA: Final = int(Stat.TcpAbortOnData)
_ON_LINGER: Final = int(Stat.TcpAbortOnLinger)
_ON_MEMORY: Final = int(Stat.TcpAbortOnMemory)
_ON_TIMEOUT: Final = int(Stat.TcpAbortOnTimeout)
_OVERFLOW: Final = int(Stat.TcpTimeWaitOverflow)

_OPENING: Final = frozenset((SYN_SENT, SYN_RECEIVED))
# The peer takes the connection for one that lives, or waits for an answer of ours (tcp_need_reset).
_TO_BE_RESET: Final = frozenset((SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT))
_LAST: Final = frozenset((CLOSING, LAST_ACK))


# -- beginnings --------------------------------------------------------------------------------------------------------


def open_active(sock: TcpSocket, table: TcpTable, local: int, port: int, peer: int, peer_port: int, now: int) -> Tcb:
    """A connection in SYN-SENT, entered in `table`; its SYN is not sent yet.

    Expects: `sock` stands in `table` under `port`. OSError EADDRNOTAVAIL when there is this connection already. One in
    TIME-WAIT that may be begun anew (RFC 6191) is over, and numbers and timestamps go on from where it was.
    """
    old = table.find(local, port, peer, peer_port)
    if old is not None and not (isinstance(old, timewait.TimeWait) and timewait.reusable(old, now)):
        raise os_error(errno.EADDRNOTAVAIL)
    tcp = table.ns.tcp_state
    tcb = Tcb(sock, table, tcp)
    tcb.local, tcb.port, tcb.peer, tcb.peer_port = local, port, peer, peer_port
    tcb.ts_offset = isn.timestamp_offset(tcp, local, peer)
    if isinstance(old, timewait.TimeWait):
        iss = timewait.following_sequence(old)
        tcb.ts_recent, tcb.ts_recent_at = old.ts_recent, old.ts_recent_at
    else:
        iss = isn.initial_sequence(tcp, local, port, peer, peer_port, now)
    tcb.iss = tcb.snd_una = tcb.snd_nxt = iss
    tcb.write_seq = tcb.pushed_seq = iss + 1
    _take_known(tcb)
    table.enter(tcb)
    transitions.move(tcb, transitions.CONNECT)
    table.ns.stats[_ACTIVE_OPENS] += 1
    return tcb


def open_passive(req: Request, now: int) -> Tcb:
    """The connection that `req` becomes, in SYN-RECEIVED and with a socket of its own, which waits to be accepted. Its
    SYN is sent and not acknowledged: the segment that ends the handshake is still to be given to it."""
    listener, table, ns = req.sock, req.table, req.ns
    sock = listener.child_of(listener, table, req.local, req.port, req.peer, req.peer_port)
    tcb = Tcb(sock, table, req.tcp)
    sock.tcb = tcb
    sock.apply(tcb)
    tcb.accepted = False
    info.counts(tcb).segs_in = 1  # the SYN
    tcb.local, tcb.port, tcb.peer, tcb.peer_port = req.local, req.port, req.peer, req.peer_port
    tcb.iss = tcb.snd_una = req.iss
    tcb.snd_nxt = tcb.write_seq = tcb.pushed_seq = req.iss + 1
    tcb.irs = req.irs
    tcb.rcv_nxt = tcb.copied_seq = tcb.last_ack_sent = tcb.snd_wl1 = req.rcv_nxt
    tcb.rcv_wnd = tcb.rcv_ssthresh = req.rcv_wnd
    tcb.rcv_adv = req.rcv_nxt + req.rcv_wnd
    tcb.window_clamp = req.window_clamp
    tcb.wscale_ok, tcb.snd_wscale, tcb.rcv_wscale = req.wscale_ok, req.snd_wscale, req.rcv_wscale
    tcb.sack_ok, tcb.ecn = req.sack_ok, req.ecn
    tcb.ts_ok, tcb.ts_offset = req.ts_ok, req.ts_offset
    tcb.ts_recent, tcb.ts_recent_at = req.ts_recent, now
    tcb.peer_mss = req.peer_mss
    tcb.total_retrans = req.retransmits
    tcb.challenge_at = req.challenge_at
    pmtu.begin(tcb, now)
    tcb.adv_mss = req.adv_mss
    _take_known(tcb)
    table.enter(tcb)
    transitions.move(tcb, transitions.ACCEPT)
    ns.stats[_PASSIVE_OPENS] += 1
    return tcb


def _take_known(tcb: Tcb) -> None:
    """What the namespace prescribes."""
    tcb.reordering = tcb.ns.conf.tcp.reordering


def begin_transfer(tcb: Tcb, now: int) -> None:
    """Data may flow: congestion control begins, with what is known of the peer (tcp_init_transfer)."""
    pmtu.sync(tcb)
    metrics.begin(tcb)
    if tcb.cc is None:
        tcb.cc = BY_NAME[tcb.sock.congestion or tcb.ns.conf.tcp.congestion_control]
        if tcb.total_retrans > 1:
            tcb.cwnd = tcb.mss  # RFC 5681 3.1, relaxed by one retransmission (Linux)
        tcb.cc.begin(tcb, now)
    sizing.expand(tcb)
    window.begin(tcb, now)


def established(tcb: Tcb, now: int) -> None:
    """The handshake is over: the program is told. Call after the move to ESTABLISHED, and when all that the handshake
    told is set."""
    if fastopen.is_passive(tcb):
        fastopen.settled(tcb, False, now)
    if tcb.cc is None:
        begin_transfer(tcb, now)
    tcb.delivered += tcb.mss - 1  # a SYN counts for a segment, not for its one number
    if tcb.sock.keepalive:
        timers.arm_keepalive(tcb, now + (tcb.sock.keepidle or tcb.ns.conf.tcp.keepalive_time))
    tcb.sock.wake(WRITE)


# -- ends that take their time -----------------------------------------------------------------------------------------


def shutdown_send(tcb: Tcb, now: int) -> None:
    """The program sends no more (RFC 9293 3.10.4, shutdown(2)): a FIN follows what is queued."""
    if tcb.state in (SYN_RECEIVED, ESTABLISHED, CLOSE_WAIT):
        _send_fin(tcb, now)


def _send_fin(tcb: Tcb, now: int) -> None:
    transitions.move(tcb, transitions.CLOSE)
    output.queue_fin(tcb)
    output.output(tcb, now)


def close(tcb: Tcb, now: int, linger: int = -1) -> None:
    """The program lets go of the connection (tcp_close). `linger` is SO_LINGER's time in ns, -1 when that is off; as
    nothing blocks here, a time above 0 is as good as none."""
    if tcb.state == CLOSED:
        receive.drop_all(tcb)
        return
    unread = tcb.rcvq.size if tcb.rcvq is not None else 0
    if not tcb.accepted:
        abort(tcb, 0, now)
        return
    tcb.orphan = True
    tcb.tcp.orphans += 1
    if unread:
        tcb.ns.stats[_ON_CLOSE] += 1
        receive.drop_all(tcb)
        output.send_reset(tcb, now)
        done(tcb)
        return
    if linger == 0:
        tcb.ns.stats[_ON_DATA] += 1
        abort(tcb, 0, now)
        return
    receive.drop_out_of_order(tcb)
    state = tcb.state
    if state == SYN_SENT:
        done(tcb)
    elif state in (SYN_RECEIVED, ESTABLISHED, CLOSE_WAIT):
        _send_fin(tcb, now)
    elif state == FIN_WAIT_2:
        fin_wait_2(tcb, now)
    if tcb.state != CLOSED and _has_no_resources(tcb):
        tcb.ns.stats[_ON_MEMORY] += 1
        output.send_reset(tcb, now)
        done(tcb)


def _has_no_resources(tcb: Tcb) -> bool:
    """Whether there is nothing left for one more connection without a program (tcp_check_oom)."""
    tcp = tcb.tcp
    queued = len(tcb.sndq) if tcb.sndq is not None else 0
    return tcp.too_many_orphans() or (queued > 0 and not tcp.has_room(0))


def fin_wait_2(tcb: Tcb, now: int) -> None:
    """Its FIN is acknowledged, or the program let go after that (call in FIN-WAIT-2): an orphan waits for the peer's
    FIN for TCP_LINGER2 or ``tcp_fin_timeout`` at most, which RFC 9293 knows nothing of (Linux's tcp_close)."""
    if not tcb.orphan:
        return
    linger = tcb.sock.linger2
    if linger < 0:
        tcb.ns.stats[_ON_LINGER] += 1
        output.send_reset(tcb, now)
        done(tcb)
        return
    stays = max(linger or tcb.ns.conf.tcp.fin_timeout, tcb.rto)
    if stays > TIME_WAIT_LENGTH:
        timers.arm_keepalive(tcb, now + stays - TIME_WAIT_LENGTH)
    else:
        wait_small(tcb, FIN_WAIT_2, stays, now)


def wait_small(tcb: Tcb, state: int, stays: int, now: int) -> None:
    """A small record stands for the connection from now on, in FIN-WAIT-2 or TIME-WAIT, for `stays` ns."""
    settings = tcb.sock.settings_of(tcb.family)
    how = settings.ttl, settings.tos, tcb.sock.mark
    if not timewait.begin(tcb, state, stays, how, now):
        tcb.ns.stats[_OVERFLOW] += 1
    done(tcb)


def to_time_wait(tcb: Tcb, now: int) -> None:
    """TIME-WAIT (RFC 9293 3.6.1; call after the move to it, and after the ACK of the peer's FIN is queued)."""
    wait_small(tcb, TIME_WAIT, TIME_WAIT_LENGTH, now)


# -- ends at once ------------------------------------------------------------------------------------------------------


def abort(tcb: Tcb, code: int, now: int, reset: bool = True) -> None:
    """End at once (RFC 9293 3.10.5, tcp_disconnect): the program gets the errno `code` (0: none), the peer a RST, if
    `reset`, and if it still counts on the connection."""
    state = tcb.state
    if state == CLOSED:
        receive.drop_all(tcb)
        return
    if reset and (state in _TO_BE_RESET or (state in _LAST and tcb.snd_nxt != tcb.write_seq + (tcb.fin_seq >= 0))):
        output.send_reset(tcb, now)
    receive.drop_all(tcb)
    done(tcb, code)


def abort_timeout(tcb: Tcb, now: int) -> None:
    """The peer answers no more (RFC 1122 4.2.3.5): ETIMEDOUT, or the soft error that came meanwhile (4.2.3.9)."""
    tcb.ns.stats[_ON_TIMEOUT] += 1
    done(tcb, tcb.soft_error or errno.ETIMEDOUT)


def reset_received(tcb: Tcb, now: int) -> None:
    """A RST to be believed (RFC 9293 3.10.7.3 and 3.10.7.4, tcp_reset)."""
    state = tcb.state
    if state == SYN_SENT:
        code = errno.ECONNREFUSED
    elif state == CLOSE_WAIT:
        code = errno.EPIPE
    else:
        code = errno.ECONNRESET
    if fastopen.is_passive(tcb):
        fastopen.settled(tcb, True, now)
    done(tcb, code)


def done(tcb: Tcb, code: int = 0) -> None:
    """CLOSED: it leaves its tables, its timers and what was to be sent go; the program gets the errno `code`, if any.
    What came can still be read."""
    state = tcb.state
    if state == CLOSED:
        return
    stats = tcb.ns.stats
    if state in _OPENING:
        stats[_ATTEMPT_FAILS] += 1
    elif state == ESTABLISHED or state == CLOSE_WAIT:
        stats[_ESTAB_RESETS] += 1
    if fastopen.is_passive(tcb):
        fastopen.settled(tcb, False, 0)
    if state not in _OPENING:
        metrics.save(tcb)
    transitions.move(tcb, transitions.END)
    timers.cancel_all(tcb)
    tcb.table.leave(tcb)
    queue = tcb.sndq
    if queue is not None:
        tcb.tcp.release(len(queue))
        tcb.sndq = None
    tcb.sent = None
    tcb.write_seq = tcb.snd_nxt
    receive.drop_out_of_order(tcb)
    tcb.route = None
    if tcb.orphan:
        receive.drop_all(tcb)
        tcb.orphan = False
        tcb.tcp.orphans -= 1
    else:
        tcb.sock.connection_done(code)


def stop_listening(sock: TcpSocket, now: int) -> None:
    """`sock` listens no longer: its half-open connections are forgotten (RFC 9293 3.10.4)."""
    half_open = sock.half_open
    if half_open is not None:
        for req in list(half_open.requests):
            request.drop(req)


def end_all(table: TcpTable) -> None:
    """The namespace goes, and its sockets are closed: so is what is left of connections without one."""
    for entry in list(table.connections.values()):
        if isinstance(entry, Tcb):
            done(entry)
        elif isinstance(entry, timewait.TimeWait):
            timewait.forget(entry)
        else:
            request.drop(entry)


def challenge_ack(tcb: Tcb, now: int) -> None:
    """Tell the peer where the connection stands (RFC 5961 3.2, 4.2, 5.2), within the limits."""
    if tcb.tcp.challenges_now(tcb, now):
        output.send_ack(tcb, now)
