"""The segments that open a connection: a SYN, a SYN with data (Fast Open), a SYN-ACK.

A SYN offers what the namespace's settings allow: MSS, SACK, timestamps, window scaling, in Linux's order; ECN with
``tcp_ecn`` 1 (RFC 3168 6.1.1), which is not asked for again when the first SYN is lost, since there are paths that drop
such ones (RFC 3168 6.1.1.1, ``tcp_ecn_fallback``).

Fast Open (RFC 7413), where the program asks for it: with a cookie of this peer's the SYN carries data, without one it
asks for a cookie. What a SYN is repeated with is neither, and the data then go behind the handshake (RFC 7413 4.1.3).

Expects: of an active open ``iss`` and both ends; of a `Request` all but its ``route``, with ``rcv_wnd`` and
``rcv_wscale``. Next: `recovery` has the timer, `request` its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import BITS, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.packet import HEADROOM, LOCAL_OUT, PAD, Packet
from vrouter.stack.l4.constants import AUTOFLOWLABEL, IP_PMTUDISC_DONT
from vrouter.stack.l4.tcp import fastopen, isn, pmtu, recovery, window
from vrouter.stack.l4.tcp.emit import emit_syn
from vrouter.stack.l4.tcp.send_queue import Data, SendQueue
from vrouter.stack.l4.tcp.tcb import ECN_OK, SYN_RECEIVED, SYN_SENT, Tcb
from vrouter.stack.l4.tcp.timestamps import clock
from vrouter.stack.wire import tcp as wire
from vrouter.stack.wire.tcp import ACK, CWR, ECE, SYN

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.request import Request

_OUT_SEGS: Final = int(Stat.TcpOutSegs)
_ORIG_DATA: Final = int(Stat.TcpOrigDataSent)
_RETRANS: Final = int(Stat.TcpRetransSegs)
_SYN_RETRANS: Final = int(Stat.TcpSynRetrans)
_MAX_WINDOW: Final = 65535


class FastOpen:
    """What the SYN of an active open wanted (`Tcb.fastopen`): ``asked`` for a cookie, or told one."""

    __slots__ = ("asked", "cookie")

    def __init__(self, cookie: bytes | None) -> None:
        self.cookie = cookie
        self.asked = cookie is not None


# -- active ----------------------------------------------------------------------------------------------------------


def send_syn(tcb: Tcb, now: int, data: Data | None = None) -> int:
    """Send the first SYN. With `data` (b"" as well) Fast Open is wanted: how many bytes of it were queued, because the
    SYN carries them; else 0."""
    if tcb.state == SYN_RECEIVED:
        return _send_synack_of(tcb, now)
    conf = tcb.ns.conf.tcp
    pmtu.begin(tcb, now)
    field = window.initial_window(tcb)
    start = stop = tcb.iss + 1
    queue = tcb.sndq
    if queue is None:
        queue = tcb.sndq = SendQueue(start)
    flags = 0
    if conf.ecn == 1:
        flags = ECE | CWR
        tcb.ecn = ECN_OK
    fast: FastOpen | None = None
    if data is not None:
        fast = tcb.fastopen = FastOpen(fastopen.cookie_for(tcb, now))
        if fastopen.may_send_data(tcb, now):
            stop = _carry(tcb, data)
    area = _options(tcb, fast, now)
    if stop > start:
        tcb.ns.stats[_ORIG_DATA] += 1
        queue.push(start)
        tcb.pushed_seq = stop
    tcb.retrans_at = now
    emit_syn(tcb, flags, field, area, stop, now)  # without a route as good as lost
    tcb.snd_nxt = stop
    tcb.last_sent_at = now
    recovery.sent(tcb, tcb.iss, start, now, False)
    if stop > start:
        recovery.sent(tcb, start, stop, now, False)
    return stop - start


def _send_synack_of(tcb: Tcb, now: int) -> int:
    """The SYN-ACK of a connection that Fast Open made; its cookie stands in the request."""
    resend_syn(tcb, now)
    tcb.snd_nxt = tcb.iss + 1
    recovery.sent(tcb, tcb.iss, tcb.snd_nxt, now, False)
    return 0


def _carry(tcb: Tcb, data: Data) -> int:
    """Queue what of `data` the SYN may carry; the number behind it (tcp_send_syn_data)."""
    known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
    tcb.peer_mss = tcb.adv_mss  # as long as nobody has said what the peer takes
    if known is not None and known.cookie_mss:
        tcb.peer_mss = min(known.cookie_mss, tcb.adv_mss)
    pmtu.sync(tcb)
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    # Room for options that somebody on the way may add.
    size = min(size, pmtu.mss_of(tcb, tcb.pmtu) - wire.MAX_OPTIONS)
    if size > 0:
        assert tcb.sndq is not None
        tcb.sndq.append(memoryview(data).cast("B")[:size])
        tcb.write_seq += size
        tcb.tcp.charge(size)
    return tcb.write_seq


def _options(tcb: Tcb, fast: FastOpen | None, now: int) -> bytes:
    """The options of our SYN; of a SYN-ACK (where the connection is in SYN-RECEIVED) those that the peer has, too."""
    conf = tcb.ns.conf.tcp
    if tcb.state != SYN_SENT:
        stamp = (clock(tcb, now), tcb.ts_recent) if tcb.ts_ok else None
        wscale = tcb.rcv_wscale if tcb.wscale_ok else -1
        req = tcb.fastopen
        cookie, experiment = (req.fastopen, req.fastopen_experiment) if req is not None else (None, False)
        return wire.syn_options(tcb.adv_mss, wscale, tcb.sack_ok, stamp, cookie, experiment)
    stamp = (clock(tcb, now), tcb.ts_recent) if conf.timestamps else None
    wscale = tcb.rcv_wscale if conf.window_scaling else -1
    cookie = fast.cookie if fast is not None else None
    experiment = cookie is not None and fastopen.by_experiment(tcb)
    return wire.syn_options(tcb.adv_mss, wscale, conf.sack, stamp, cookie, experiment)


def resend_syn(tcb: Tcb, now: int) -> bool:
    """Send the SYN, or in SYN-RECEIVED the SYN-ACK, without data; False when there is no route."""
    flags = 0
    if tcb.state != SYN_SENT:
        flags = ACK | ECE if tcb.ecn & ECN_OK else ACK
    else:
        pmtu.begin(tcb, now)
        if tcb.ecn & ECN_OK and not tcb.ns.conf.tcp.ecn_fallback:
            flags = ECE | CWR
    return emit_syn(tcb, flags, min(tcb.rcv_wnd, _MAX_WINDOW), _options(tcb, None, now), tcb.iss + 1, now)


def retransmit_syn(tcb: Tcb, now: int) -> bool:
    """`resend_syn` because it was not acknowledged: counted."""
    if not resend_syn(tcb, now):
        return False
    stats = tcb.ns.stats
    stats[_RETRANS] += 1
    stats[_SYN_RETRANS] += 1
    tcb.total_retrans += 1
    recovery.sent(tcb, tcb.iss, tcb.iss + 1, now, True)
    return True


def answer_syn(tcb: Tcb, now: int) -> None:
    """Both ends sent a SYN (RFC 9293 3.5, figure 8): ours again, with an ACK of the peer's. Expects SYN-RECEIVED."""
    resend_syn(tcb, now)


# -- passive ---------------------------------------------------------------------------------------------------------


def route_request(req: Request, now: int) -> Any:
    """The route of a half-open connection, None when there is none; its ``adv_mss`` is known from then on."""
    sock = req.sock
    settings = sock.settings_of(req.family)
    try:
        req.route, _ = req.ns.route_output(
            req.peer,
            req.local,
            sock.device or settings.device,
            family=req.family,
            mark=sock.mark,
            tos=settings.tos,
            proto=wire.PROTO,
            sport=req.port,
            dport=req.peer_port,
        )
    except OSError:
        return None
    if not req.adv_mss:
        req.adv_mss = pmtu.advertised_mss(req.ns, req.family, req.route, req.peer, sock.maxseg, now)
    return req.route


def send_synack(req: Request, now: int) -> bool:
    """Answer the SYN of a half-open connection; False when there is no route back."""
    route = req.route
    if route is None or req.retransmits:
        route = route_request(req, now)
        if route is None:
            return False
    sock = req.sock
    family = req.family
    settings = sock.settings_of(family)
    flags = SYN | ACK
    if req.ecn & ECN_OK:
        flags |= ECE
    stamp = None
    if req.ts_ok:
        if not req.cookie or req.tsval < 0:
            req.tsval = isn.timestamp(req.ts_offset, now)
            if req.tsval_first < 0:
                req.tsval_first = req.tsval
        stamp = (req.tsval, req.ts_recent)
    wscale = req.rcv_wscale if req.wscale_ok else -1
    area = wire.syn_options(req.adv_mss, wscale, req.sack_ok, stamp, req.fastopen, req.fastopen_experiment)
    buf = bytearray(PAD)
    buf += bytes(wire.HEADER_LEN)
    length = wire.HEADER_LEN + len(area)
    partial = wire.partial_sum(req.local, req.peer, length, BITS[family])
    field = min(req.rcv_wnd, _MAX_WINDOW)
    wire.FIELDS.pack_into(
        buf,
        HEADROOM,
        req.port,
        req.peer_port,
        req.iss & 0xFFFFFFFF,
        req.rcv_nxt & 0xFFFFFFFF,
        length << 10 | flags,
        field,
        partial,
        0,
    )
    buf += area
    pkt = Packet(buf, HEADROOM, len(buf))
    pkt.src, pkt.dst, pkt.family, pkt.proto = req.local, req.peer, family, wire.PROTO
    pkt.flags = LOCAL_OUT
    pkt.mark = sock.mark
    pkt.sock = sock
    pkt.csum_start, pkt.csum_offset = HEADROOM, wire.CHECKSUM_OFFSET
    label = -1 if family != V4 and settings.options & AUTOFLOWLABEL else 0
    discover = settings.mtu_discover != IP_PMTUDISC_DONT
    req.tcp.outbox.append((pkt, route, settings.ttl, settings.tos & ~3, discover, label))
    req.ns.stats[_OUT_SEGS] += 1
    return True
