"""Fast Open (RFC 7413): data with the SYN, for peers that have proved to be where they say they are.

A listener with TCP_FASTOPEN (and ``tcp_fastopen`` & 2) gives a cookie to who asks: a keyed hash of both addresses. A
SYN that brings the cookie back makes a connection at once, and its data go to the program; how many such connections
may be without a finished handshake TCP_FASTOPEN bounds, and those which were reset count for another minute (5.1).

A client keeps cookies in `metrics`. SYNs with data that are lost make it try without for a while, longer each time
(4.1.3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.siphash import siphash
from vrouter.stack.l4.constants import READ
from vrouter.stack.l4.tcp import lifecycle, output, receive, request
from vrouter.stack.l4.tcp.tcb import SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.listen import HalfOpen
    from vrouter.stack.l4.tcp.request import Request
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.wire.tcp import Segment

# Bits of ``tcp_fastopen``.
CLIENT: Final = 0x1
SERVER: Final = 0x2
CLIENT_NO_COOKIE: Final = 0x4
SERVER_NO_COOKIE: Final = 0x200

COOKIE_SIZE: Final = 8
RESET_PAUSE: Final = 60 * SECOND
_LOSS_PAUSE: Final = 60 * SECOND
_MAX_LOSS: Final = 10

_COOKIE_REQUESTED: Final = int(Stat.TcpFastOpenCookieReqd)
_PASSIVE: Final = int(Stat.TcpFastOpenPassive)
_PASSIVE_FAIL: Final = int(Stat.TcpFastOpenPassiveFail)
_OVERFLOW: Final = int(Stat.TcpFastOpenListenOverflow)
_ACTIVE: Final = int(Stat.TcpFastOpenActive)
_ACTIVE_FAIL: Final = int(Stat.TcpFastOpenActiveFail)


# -- the listener ------------------------------------------------------------------------------------------------------


def cookies_of(req: Request) -> list[bytes]:
    """The cookies that prove the peer of `req`, the one to give away first (as Linux makes them of
    ``tcp_fastopen_key``, so that others with the same key take them)."""
    size = 4 if req.family == V4 else 16
    ends = (req.peer & MAX6).to_bytes(size, "big") + (req.local & MAX6).to_bytes(size, "big")
    keys = req.ns.conf.tcp.fastopen_key or (req.tcp.secret.to_bytes(16, "little"),)
    return [siphash(key, ends).to_bytes(COOKIE_SIZE, "little") for key in keys]


def open_at_once(req: Request, seg: Segment, now: int) -> bool:
    """Whether the SYN `seg` has made a connection, which waits to be accepted (tcp_try_fastopen). Else ``req.fastopen``
    is the cookie for the SYN-ACK, if there is to be one."""
    ns, sock = req.ns, req.sock
    stats = ns.stats
    cookie = seg.fastopen
    if cookie == b"":
        stats[_COOKIE_REQUESTED] += 1
    how = ns.conf.tcp.fastopen
    if not how & SERVER or not _has_room(req, now):
        return False
    if not how & SERVER_NO_COOKIE:
        if cookie is None:
            return False
        right = cookies_of(req)
        if cookie != right[0]:
            req.fastopen, req.fastopen_experiment = right[0], seg.fastopen_experiment
            if cookie not in right:
                if cookie:
                    stats[_PASSIVE_FAIL] += 1
                return False
    stats[_PASSIVE] += 1
    tcb = lifecycle.open_passive(req, now)
    tcb.fastopen = req
    req.half_open.fastopen_pending += 1
    tcb.snd_nxt = tcb.iss
    tcb.snd_wnd = tcb.max_window = seg.window
    tcb.snd_wl1 = req.irs
    tcb.snd_wl2 = tcb.snd_una
    if seg.end > seg.data:
        receive.receive_data(tcb, seg, req.rcv_nxt, req.rcv_nxt + seg.end - seg.data, now)
    output.send_syn(tcb, now)
    assert sock.queue is not None
    sock.queue.append(tcb.sock)
    sock.wake(READ)
    return True


def _has_room(req: Request, now: int) -> bool:
    sock, half_open = req.sock, req.half_open
    if sock.fastopen_qlen <= 0:
        return False
    resets = half_open.fastopen_resets
    if half_open.fastopen_pending + len(resets) >= sock.fastopen_qlen:
        if not resets or resets[0] > now:
            req.ns.stats[_OVERFLOW] += 1
            return False
        resets.popleft()
    return True


def settled(tcb: Tcb, was_reset: bool, now: int) -> None:
    """The handshake of a connection of `open_at_once` is over, or it never will be."""
    req, tcb.fastopen = tcb.fastopen, None
    half_open: HalfOpen = req.half_open
    half_open.fastopen_pending -= 1
    if was_reset:
        half_open.fastopen_resets.append(now + RESET_PAUSE)


def is_passive(tcb: Tcb) -> bool:
    """Whether `open_at_once` made this connection, and its handshake is not over."""
    return isinstance(tcb.fastopen, request.Request)


# -- the client --------------------------------------------------------------------------------------------------------


def cookie_for(tcb: Tcb, now: int) -> bytes | None:
    """What the option of a SYN says: the peer's cookie (data may go along), b"" to ask for one, None: nothing, since it
    is switched off or SYNs with data were lost lately."""
    if not tcb.ns.conf.tcp.fastopen & CLIENT:
        return None
    known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
    if known is None:
        return b""
    if known.loss > 1 and now - known.loss_at < _LOSS_PAUSE << min(known.loss, _MAX_LOSS):
        return None
    return known.cookie


def may_send_data(tcb: Tcb, now: int) -> bool:
    """Whether the SYN may carry data: there is a cookie, or none is needed (``tcp_fastopen`` & 4)."""
    cookie = cookie_for(tcb, now)
    return bool(cookie) or (cookie is not None and tcb.ns.conf.tcp.fastopen & CLIENT_NO_COOKIE != 0)


def synack_received(tcb: Tcb, seg: Segment, sent: int, acked: int, now: int) -> None:
    """A SYN-ACK to a SYN with the option came: what it says is remembered. `sent` bytes went with the SYN, and `acked`
    of them are acknowledged (tcp_rcv_fastopen_synack)."""
    cookie = seg.fastopen
    if sent and not acked:
        tcb.ns.stats[_ACTIVE_FAIL] += 1
    elif sent:
        tcb.ns.stats[_ACTIVE] += 1
    lost = bool(tcb.total_retrans and sent and not acked and cookie is None)
    if not (cookie or lost):
        known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
        if known is not None:
            known.loss = 0
        return
    known = tcb.tcp.metrics.of(tcb.family, tcb.peer)
    if cookie:
        known.cookie = cookie
        known.cookie_mss = seg.mss or known.cookie_mss
    if lost:
        known.loss += 1
        known.loss_at = now
    else:
        known.loss = 0
