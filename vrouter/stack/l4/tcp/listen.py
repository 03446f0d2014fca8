"""What a listener does with a segment that belongs to no connection (RFC 9293 3.10.7.2; Linux's tcp_conn_request).

::

    SYN ─┬► room ──────────► Request ─► SYN-ACK          ACK ─┬► of a cookie of ours ─► a connection
         ├► Fast Open ─────► a connection already             └► else ─► RST
         └► a full backlog ► SYN cookie, or nothing        RST ─► nothing

``backlog`` bounds both the connections that wait to be accepted and the half-open ones. When the first are too many, a
SYN is dropped and comes again; when the second are, the answer is a cookie (``tcp_syncookies``), and without cookies
the last quarter of ``tcp_max_syn_backlog`` is kept for peers that have been heard of before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import cookies, fastopen_server, isn, output, pmtu, request, reset, window
from vrouter.stack.l4.tcp.seq import FIRST, MASK
from vrouter.stack.l4.tcp.tcb import ECN_OK
from vrouter.stack.wire.tcp import ACK, FIN, PROTO, RST, SYN

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.request import Request
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.wire.tcp import Segment

_CONSUMED: Final = int(Stat.AcctConsumed)
_OVERFLOWS: Final = int(Stat.TcpListenOverflows)
_DROPS: Final = int(Stat.TcpListenDrops)
_DO_COOKIES: Final = int(Stat.TcpReqQFullDoCookies)
_FULL: Final = int(Stat.TcpReqQFullDrop)
_COOKIES_SENT: Final = int(Stat.TcpSyncookiesSent)
_COOKIES_RECV: Final = int(Stat.TcpSyncookiesRecv)
_COOKIES_FAILED: Final = int(Stat.TcpSyncookiesFailed)
_TCP_FLAGS: Final = int(DropReason.TCP_FLAGS)
_TCP_RESET: Final = int(DropReason.TCP_RESET)
_TCP_LISTEN_OVERFLOW: Final = int(DropReason.TCP_LISTEN_OVERFLOW)
_IP_OUTNOROUTES: Final = int(DropReason.IP_OUTNOROUTES)

TIMESTAMP_SIZE: Final = 12  # what the option takes of each segment


class HalfOpen:
    """A listener's half-open connections. ``young`` counts those whose timer has not come up yet; ``overflow_at`` is
    when a cookie was sent last (ns). ``fastopen_pending`` counts connections that Fast Open made before their handshake
    was over; ``fastopen_resets`` are times until which one that was reset still counts (RFC 7413 5.1)."""

    __slots__ = ("fastopen_pending", "fastopen_resets", "overflow_at", "requests", "young")

    def __init__(self) -> None:
        self.requests: dict[Request, None] = {}
        self.young = 0
        self.overflow_at = -(1 << 62)
        self.fastopen_pending = 0
        self.fastopen_resets: deque[int] = deque()


def listen_arrives(sock: TcpSocket, seg: Segment, now: int, first: int = -1) -> int:
    """A segment for the listener `sock`: 0, or why it dies here. `first` is the first sequence number to use, when a
    connection in TIME-WAIT prescribes one."""
    flags = seg.flags
    ns = sock.ns
    if flags & RST:
        return _TCP_RESET
    table = ns.tcp if seg.pkt.family == V4 else ns.tcp6
    if flags & ACK:
        if not flags & SYN:
            req = _of_cookie(sock, table, seg, now)
            if req is not None:
                if request.is_full(sock):
                    ns.stats[_OVERFLOWS] += 1
                    ns.stats[_DROPS] += 1
                    return _TCP_LISTEN_OVERFLOW
                return request.accept(req, seg, now)
        reset.answer(ns, seg)
        return _TCP_FLAGS
    if not flags & SYN or flags & FIN:
        return _TCP_FLAGS
    reason = _syn(sock, table, seg, now, first)
    ns.stats[_DROPS if reason else _CONSUMED] += 1
    return reason


def _syn(sock: TcpSocket, table: TcpTable, seg: Segment, now: int, first: int) -> int:
    """A connection is wanted."""
    ns = sock.ns
    conf = ns.conf.tcp
    half_open = sock.half_open
    if half_open is None:
        half_open = sock.half_open = HalfOpen()
    count = len(half_open.requests)
    with_cookie = first < 0 and (conf.syncookies == 2 or count > sock.backlog)
    if with_cookie:
        ns.stats[_DO_COOKIES if conf.syncookies else _FULL] += 1
        if not conf.syncookies:
            return _TCP_LISTEN_OVERFLOW
    if request.is_full(sock):
        ns.stats[_OVERFLOWS] += 1
        return _TCP_LISTEN_OVERFLOW
    req = request.Request(sock, table, seg, now)
    if first < 0 and not with_cookie and not conf.syncookies:
        most = conf.max_syn_backlog
        if most - count < most >> 2 and not _is_proven(req):
            return _TCP_LISTEN_OVERFLOW
    if not _find_path(req, now):
        return _IP_OUTNOROUTES
    if with_cookie:
        _answer_with_cookie(req, seg, now)
        return 0
    req.iss = first if first >= 0 else isn.initial_sequence(req.tcp, *req.ends, now)
    if seg.fastopen is not None or seg.end > seg.data:
        if fastopen_server.open_at_once(req, seg, now):
            return 0
    request.enter(req, now)
    output.send_synack(req, now)
    return 0


def _is_proven(req: Request) -> bool:
    known = req.tcp.metrics.find(req.family, req.peer)
    return known is not None and known.rtt > 0


def _find_path(req: Request, now: int) -> bool:
    """By which route the answer goes, and so what it offers; False when there is none."""
    sock, ns, family = req.sock, req.ns, req.family
    settings = sock.settings_of(family)
    try:
        req.route, _ = ns.route_output(
            req.peer,
            req.local,
            sock.device or settings.device,
            family=family,
            mark=sock.mark,
            tos=settings.tos,
            proto=PROTO,
            sport=req.port,
            dport=req.peer_port,
        )
    except OSError:
        return False
    conf = ns.conf
    req.adv_mss = pmtu.advertised_mss(ns, family, req.route, req.peer, sock.maxseg, now)
    mss = req.adv_mss - (TIMESTAMP_SIZE if req.ts_ok else 0)
    largest = max(conf.tcp.rmem[2], conf.rmem_max)
    req.rcv_wnd, req.window_clamp, req.rcv_wscale = window.first_window(
        sock.rcvbuf, mss, window.clamped(sock, sock.window_clamp), req.wscale_ok, largest
    )
    req.rcv_wnd = min(req.rcv_wnd, window.MAX_WINDOW)
    return True


def _answer_with_cookie(req: Request, seg: Segment, now: int) -> None:
    """All that has to be remembered goes into the SYN-ACK."""
    tcp = req.tcp
    if not req.ts_ok:
        req.sack_ok = req.wscale_ok = False
        req.snd_wscale = req.rcv_wscale = req.ecn = 0
    iss, req.peer_mss = cookies.make(tcp, req.family, req.ends, seg.seq, req.peer_mss, now)
    req.iss = FIRST + iss
    if req.ts_ok:
        wscale = req.snd_wscale if req.wscale_ok else -1
        clock = cookies.encode(isn.timestamp(0, now), wscale, req.sack_ok, bool(req.ecn))
        req.tsval = req.tsval_first = clock + req.ts_offset & MASK
    req.cookie = True
    req.half_open.overflow_at = now
    output.send_synack(req, now)
    req.ns.stats[_COOKIES_SENT] += 1


def _of_cookie(sock: TcpSocket, table: TcpTable, seg: Segment, now: int) -> Request | None:
    """The request that an ACK brings back, when it acknowledges a cookie of ours (cookie_v4_check)."""
    ns = sock.ns
    conf = ns.conf.tcp
    half_open = sock.half_open
    if half_open is None or not conf.syncookies or now - half_open.overflow_at >= cookies.VALID:
        return None
    pkt, tcp = seg.pkt, ns.tcp_state
    ends = pkt.dst, seg.dport, pkt.src, seg.sport
    irs, iss = seg.seq - 1 & MASK, seg.ack - 1 & MASK
    mss = cookies.check(tcp, table.family, ends, irs, iss, now)
    if not mss:
        ns.stats[_COOKIES_FAILED] += 1
        return None
    ns.stats[_COOKIES_RECV] += 1
    req = request.Request(sock, table, seg, now)
    req.cookie = True
    req.irs, req.iss, req.peer_mss = FIRST + irs, FIRST + iss, mss
    req.rcv_nxt = req.irs + 1
    req.ecn = 0
    if seg.ts:
        told = cookies.decode(seg.tsecr - req.ts_offset & MASK, conf)
        if told is None:
            return None
        wscale, req.sack_ok, ecn = told
        req.wscale_ok = wscale >= 0
        req.snd_wscale = max(wscale, 0)
        req.ecn = ECN_OK if ecn else 0
    return req if _find_path(req, now) else None
