"""A half-open connection (SYN-RECEIVED after a passive OPEN): a small record until its handshake ends.

::

    listen ─► Request ─► SYN-ACK ─► its ACK ─► `accept`: a connection in the listener's queue
                 │  └─ again and again, 1 s, 2 s, 4 s … (``tcp_synack_retries``) ─► gone
                 └─ RST, SYN in the window ─► gone

Checks and their order are Linux's (tcp_check_req), which are those of RFC 9293 3.10.7.4 for SYN-RECEIVED. Deviations
from Linux, for RFC 5961: a RST counts only at exactly the number that is expected (3.2).

A request has no socket and no Tcb: a flood costs a listener at most its backlog of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l4.constants import READ
from vrouter.stack.l4.tcp import isn, lifecycle, output, reset, rtt, segment
from vrouter.stack.l4.tcp.reply import reply
from vrouter.stack.l4.tcp.seq import FIRST, MASK, before, unwrap
from vrouter.stack.l4.tcp.tcb import ECN_OK, FIRST_MSS, SECOND, SYN_RECEIVED
from vrouter.stack.l4.tcp.timestamps import STALE
from vrouter.stack.wire.tcp import ACK, CWR, ECE, FIN, RST, SYN

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.listen import HalfOpen
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.tcp import Segment

FIRST_TIMEOUT: Final = SECOND  # RFC 6298 2.1

_CONSUMED: Final = int(Stat.AcctConsumed)
_TIMEOUTS: Final = int(Stat.TcpTimeouts)
_RETRANSMITTED: Final = int(Stat.TcpRetransSegs)
_SYN_RETRANSMITTED: Final = int(Stat.TcpSynRetrans)
_ATTEMPT_FAILS: Final = int(Stat.TcpAttemptFails)
_EMBRYONIC: Final = int(Stat.TcpEmbryonicRsts)
_OVERFLOWS: Final = int(Stat.TcpListenOverflows)
_DROPS: Final = int(Stat.TcpListenDrops)
_DEFERRED: Final = int(Stat.TcpDeferAcceptDrop)
_PAWS: Final = int(Stat.TcpPAWSEstab)
_TSECR: Final = int(Stat.TcpTSEcrRejected)
_SKIPPED: Final = int(Stat.TcpACKSkippedSynRecv)
_TCP_FLAGS: Final = int(DropReason.TCP_FLAGS)
_TCP_RESET: Final = int(DropReason.TCP_RESET)
_TCP_RFC7323_PAWS: Final = int(DropReason.TCP_RFC7323_PAWS)
_TCP_INVALID_SEQUENCE: Final = int(DropReason.TCP_INVALID_SEQUENCE)
_TCP_INVALID_SYN: Final = int(DropReason.TCP_INVALID_SYN)
_TCP_ACK_UNSENT_DATA: Final = int(DropReason.TCP_ACK_UNSENT_DATA)
_TCP_LISTEN_OVERFLOW: Final = int(DropReason.TCP_LISTEN_OVERFLOW)


class Request:
    """One of them. Names are those of `Tcb`; ``rcv_wnd`` is what the SYN-ACK offers, in bytes.

    ``fastopen`` is the cookie to tell in the SYN-ACK (None: none). ``tsval`` is what the last SYN-ACK said,
    ``tsval_first`` what the first did; of a SYN cookie, which ``cookie`` tells, it is prescribed. ``timeouts`` counts
    how often the timer came up, ``retransmits`` how often the SYN-ACK was sent again; ``acked``: the handshake is over,
    and it waits for data or for room.
    """

    __slots__ = (
        "acked",
        "adv_mss",
        "challenge_at",
        "cookie",
        "ecn",
        "family",
        "fastopen",
        "fastopen_experiment",
        "half_open",
        "iif",
        "irs",
        "iss",
        "local",
        "ns",
        "peer",
        "peer_mss",
        "peer_port",
        "port",
        "rcv_nxt",
        "rcv_wnd",
        "rcv_wscale",
        "retransmits",
        "route",
        "sack_ok",
        "sent_at",
        "snd_wscale",
        "sock",
        "table",
        "tcp",
        "timeouts",
        "timer",
        "ts_offset",
        "ts_ok",
        "ts_recent",
        "tsval",
        "tsval_first",
        "window_clamp",
        "wscale_ok",
    )

    state: ClassVar = SYN_RECEIVED

    def __init__(self, sock: TcpSocket, table: TcpTable, seg: Segment, now: int) -> None:
        """What the SYN `seg` says to `sock`; numbers of our own are still to be set."""
        pkt = seg.pkt
        ns = table.ns
        conf = ns.conf.tcp
        self.ns: Netns = ns
        self.table = table
        self.tcp = ns.tcp_state
        self.sock = sock
        assert sock.half_open is not None
        self.half_open: HalfOpen = sock.half_open
        self.family = table.family
        self.local, self.port, self.peer, self.peer_port = pkt.dst, seg.dport, pkt.src, seg.sport
        self.iif = pkt.iif
        self.route: Any = None
        self.irs = FIRST + seg.seq
        self.rcv_nxt = self.irs + 1
        self.iss = -1
        self.peer_mss = seg.mss or FIRST_MSS[self.family]
        if 0 < sock.maxseg < self.peer_mss:
            self.peer_mss = sock.maxseg
        self.ts_ok = seg.ts and conf.timestamps != 0
        self.ts_recent = seg.tsval if self.ts_ok else 0
        self.ts_offset = isn.timestamp_offset(self.tcp, self.local, self.peer) if self.ts_ok else 0
        self.sack_ok = seg.sack_permitted and conf.sack
        self.wscale_ok = seg.wscale >= 0 and conf.window_scaling
        self.snd_wscale = seg.wscale if self.wscale_ok else 0
        self.ecn = ECN_OK if _asks_for_ecn(seg) and conf.ecn in (1, 2) else 0
        self.adv_mss = self.rcv_wnd = self.rcv_wscale = self.window_clamp = 0
        self.fastopen: bytes | None = None
        self.fastopen_experiment = False
        self.cookie = False
        self.tsval = self.tsval_first = -1
        self.retransmits = self.timeouts = 0
        self.acked = False
        self.sent_at = now
        self.challenge_at = -(1 << 62)
        self.timer: Timer | None = None

    @property
    def ends(self) -> tuple[int, int, int, int]:
        """Local address and port, the peer's."""
        return self.local, self.port, self.peer, self.peer_port


def _asks_for_ecn(seg: Segment) -> bool:
    """RFC 3168 6.1.1: ECE and CWR on a SYN whose packet is not marked itself (6.1.1 forbids that)."""
    if seg.flags & (ECE | CWR) != ECE | CWR:
        return False
    pkt = seg.pkt
    tos = pkt.buf[pkt.l3 + 1] if pkt.l3 >= 0 else 0
    return not (tos if pkt.family == 4 else tos >> 4) & 3


def enter(req: Request, now: int) -> None:
    """It waits for the end of its handshake from now on."""
    req.table.connections[req.ends] = req
    req.half_open.requests[req] = None
    req.half_open.young += 1
    req.timer = Timer(TimerKind.TCP_REQUEST, req)
    req.ns.stack.timers.arm(req.timer, now + FIRST_TIMEOUT)


def drop(req: Request) -> None:
    """It is no more; harmless when it never was entered."""
    if req.half_open.requests.pop(req, req) is None:
        if not req.timeouts:
            req.half_open.young -= 1
        ends = req.ends
        if req.table.connections.get(ends) is req:
            del req.table.connections[ends]
        if req.timer is not None:
            req.ns.stack.timers.cancel(req.timer)


def due(req: Request, now: int) -> Netns:
    """The SYN-ACK is sent again, or given up (reqsk_timer_handler).

    When the queue is half full, requests that are no longer young get fewer attempts, so that those which are get room.
    """
    ns, half_open = req.ns, req.half_open
    conf = ns.conf.tcp
    most = req.sock.syncnt or conf.synack_retries
    count = len(half_open.requests)
    if count << 1 > max(8, req.sock.backlog):
        young = half_open.young << 1
        while most > 2 and count >= young:
            most -= 1
            young <<= 1
    ns.stats[_TIMEOUTS] += 1
    periods = deferral(req)
    if periods:
        expired = req.timeouts >= most and (not req.acked or req.timeouts >= periods)
        again = not req.acked or req.timeouts >= periods - 1
    else:
        expired, again = req.timeouts >= most, True
    if expired:
        drop(req)
        return ns
    if again:
        send_again(req, now)
    if not req.timeouts:
        half_open.young -= 1
    req.timeouts += 1
    _wait(req, now)
    return ns


def _wait(req: Request, now: int) -> None:
    assert req.timer is not None
    most = req.ns.conf.tcp.rto_max
    req.ns.stack.timers.arm(req.timer, now + min(FIRST_TIMEOUT << req.timeouts, most))


def deferral(req: Request) -> int:
    """For how many time-outs TCP_DEFER_ACCEPT has a finished handshake wait for data; 0: it does not."""
    wanted = req.sock.defer_accept
    if wanted <= 0:
        return 0
    most = req.ns.conf.tcp.rto_max
    periods, timeout, total = 1, FIRST_TIMEOUT, FIRST_TIMEOUT
    while wanted > total and periods < 255:
        periods += 1
        timeout = min(timeout << 1, most)
        total += timeout
    return periods


def send_again(req: Request, now: int) -> None:
    """The SYN-ACK once more (tcp_rtx_synack)."""
    req.retransmits += 1
    req.ns.stats[_RETRANSMITTED] += 1
    req.ns.stats[_SYN_RETRANSMITTED] += 1
    output.send_synack(req, now)


def request_arrives(req: Request, seg: Segment, now: int) -> int:
    """A segment for a half-open connection: 0, or why it dies here."""
    ns, flags = req.ns, seg.flags
    stats = ns.stats
    seq = unwrap(seg.seq, req.rcv_nxt)
    end = seq + seg.end - seg.data + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    stale = foreign = False
    if seg.ts:
        if req.ts_ok:
            stale = _is_stale(req, seg, now)
            if seg.tsecr and not _is_between(seg.tsecr, req.tsval_first, req.tsval):
                foreign = True
    if seq == req.irs and flags & (SYN | RST | ACK) == SYN and not stale:
        # The SYN again: so is the answer, and it begins to wait anew.
        if req.tcp.may_answer(req, _SKIPPED, now):
            send_again(req, now)
            _wait(req, now)
        stats[_CONSUMED] += 1
        return 0
    if flags & ACK and seg.ack != (req.iss + 1) & MASK:
        reset.answer(ns, seg)
        return _TCP_RESET if flags & RST else _TCP_ACK_UNSENT_DATA
    if stale or foreign or not _in_window(req, seq, end):
        if not flags & RST and req.tcp.may_answer(req, _SKIPPED, now):
            _acknowledge(req, seg, now)
        if stale or foreign:
            stats[_PAWS if stale else _TSECR] += 1
            return _TCP_RFC7323_PAWS
        return _TCP_RESET if flags & RST else _TCP_INVALID_SEQUENCE
    if seg.ts and req.ts_ok and seq <= req.rcv_nxt:
        req.ts_recent = seg.tsval
    if flags & RST:
        if seq != req.rcv_nxt:  # RFC 5961 3.2
            if req.tcp.challenges_now(req, now):
                _acknowledge(req, seg, now)
            return _TCP_RESET
        return _end(req)
    if flags & SYN and seq > req.irs:
        reset.answer(ns, seg)
        _count_end(req)
        return _TCP_INVALID_SYN
    if not flags & ACK:
        return _TCP_FLAGS
    if end == req.rcv_nxt and not flags & FIN and req.timeouts < deferral(req):
        req.acked = True
        stats[_DEFERRED] += 1
        stats[_CONSUMED] += 1
        return 0
    return _complete(req, seg, now)


def _end(req: Request) -> int:
    """It is reset, by a segment that did what it was for."""
    _count_end(req)
    req.ns.stats[_CONSUMED] += 1
    return 0


def _count_end(req: Request) -> None:
    stats = req.ns.stats
    stats[_ATTEMPT_FAILS] += 1
    stats[_EMBRYONIC] += 1
    drop(req)


def _complete(req: Request, seg: Segment, now: int) -> int:
    """The handshake is over: a connection that waits to be accepted goes on with this segment."""
    ns, sock = req.ns, req.sock
    if is_full(sock):
        ns.stats[_OVERFLOWS] += 1
        ns.stats[_DROPS] += 1
        if ns.conf.tcp.abort_on_overflow:
            reset.answer(ns, seg)
            ns.stats[_EMBRYONIC] += 1
            drop(req)
        else:
            req.acked = True
        return _TCP_LISTEN_OVERFLOW
    drop(req)
    return accept(req, seg, now)


def is_full(sock: TcpSocket) -> bool:
    """Whether no more connections may wait to be accepted."""
    return sock.queue is not None and len(sock.queue) > sock.backlog


def accept(req: Request, seg: Segment, now: int) -> int:
    """Make the connection, which takes `seg` as its first segment, and tell the listener."""
    sock = req.sock
    tcb = lifecycle.open_passive(req, now)
    tcb.delivered = 1  # the SYN-ACK, which is one segment
    if not req.retransmits and not req.cookie:
        rtt.measured(tcb, now - req.sent_at, now)
    assert sock.queue is not None
    sock.queue.append(tcb.sock)
    verdict = segment.segment_arrives(tcb, seg, now)
    if tcb.state != SYN_RECEIVED:
        sock.wake(READ)
    return verdict


def _is_stale(req: Request, seg: Segment, now: int) -> bool:
    """PAWS against the SYN's timestamp (RFC 7323 5.3); it is as old as the request at most."""
    return req.ts_recent != 0 and before(seg.tsval, req.ts_recent) and now - req.sent_at < STALE


def _is_between(value: int, first: int, last: int) -> bool:
    return (value - first) & MASK <= (last - first) & MASK


def _in_window(req: Request, seq: int, end: int) -> bool:
    left = req.rcv_nxt
    right = left + min(req.rcv_wnd, 0xFFFF)
    return seq == left or (end > left and seq < right) or (seq == right == end)


def _acknowledge(req: Request, seg: Segment, now: int) -> None:
    """Where the connection stands (tcp_v4_reqsk_send_ack)."""
    stamp = (isn.timestamp(req.ts_offset, now), req.ts_recent) if req.ts_ok else None
    window = min(req.rcv_wnd >> req.rcv_wscale, 0xFFFF)
    settings = req.sock.settings_of(req.family)
    how = settings.ttl, settings.tos, req.sock.mark
    ports = req.port, req.peer_port
    reply(req.ns, seg.pkt, ports, req.iss + 1, req.rcv_nxt, ACK, window, stamp, how)
