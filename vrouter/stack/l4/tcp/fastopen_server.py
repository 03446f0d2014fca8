"""Fast Open at a listener (RFC 7413 4.1.2, 4.2.2): a SYN with data and the right cookie makes a connection at once.

With TCP_FASTOPEN (and ``tcp_fastopen`` & 2) a listener gives a cookie to who asks for one: a keyed hash of both
addresses. A SYN that brings it back makes a connection, and its data go to the program; how many such connections may
be without a finished handshake TCP_FASTOPEN bounds, and those which were reset count for another minute (5.1).

Expects: a `Request` of the SYN, not entered. Next: the listener's queue, `syn` for the SYN-ACK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.siphash import siphash
from vrouter.stack.l4.constants import READ
from vrouter.stack.l4.tcp import lifecycle, output
from vrouter.stack.l4.tcp.fastopen import SERVER, SERVER_NO_COOKIE, keys_of, needs_no_cookie
from vrouter.stack.l4.tcp.receive import ReceiveQueue
from vrouter.stack.l4.tcp.tcb import INITIAL_RTO

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.request import Request
    from vrouter.stack.wire.tcp import Segment

COOKIE_SIZE: Final = 8

_COOKIE_REQUESTED: Final = int(Stat.TcpFastOpenCookieReqd)
_PASSIVE: Final = int(Stat.TcpFastOpenPassive)
_PASSIVE_FAIL: Final = int(Stat.TcpFastOpenPassiveFail)
_OVERFLOW: Final = int(Stat.TcpFastOpenListenOverflow)


def cookies_of(req: Request) -> list[bytes]:
    """The cookies that prove the peer of `req`, the one to give away first (made as Linux makes
    them, so that others with the same key take them)."""
    size = 4 if req.family == V4 else 16
    ends = (req.peer & MAX6).to_bytes(size, "big") + (req.local & MAX6).to_bytes(size, "big")
    return [siphash(key, ends).to_bytes(COOKIE_SIZE, "little") for key in keys_of(req.sock)]


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
    if not needs_no_cookie(sock, SERVER_NO_COOKIE):
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
    tcb.snd_wnd = tcb.max_window = seg.window  # RFC 7323 2.2: never scaled in a SYN
    tcb.snd_wl1, tcb.snd_wl2 = req.irs, tcb.snd_una
    lifecycle.begin_transfer(tcb, now)
    tcb.rto = INITIAL_RTO  # the SYN-ACK goes again as that of any handshake
    size = seg.end - seg.data
    if size:
        tcb.rcvq = ReceiveQueue()
        tcb.rcvq.append(bytes(memoryview(seg.pkt.buf)[seg.data : seg.end]))
        tcb.rcv_nxt += size
        tcb.tcp.charge(size)
    output.send_syn(tcb, now)
    tcb.info.syn_data = size > 0
    tcb.retrans_at = now
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
