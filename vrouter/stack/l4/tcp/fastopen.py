"""Fast Open (RFC 7413): data with the SYN, for peers that have proved to be where they say they are.

A client keeps the cookies of servers in `metrics`. SYNs with data that are lost make it try without for a while, longer
each time (4.1.3.1). What a listener does stands in `fastopen_server`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import recovery
from vrouter.stack.l4.tcp.tcb import SECOND, SYN_SENT

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.listen import HalfOpen
    from vrouter.stack.l4.tcp.metrics import PeerMetrics
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.wire.tcp import Segment

# Bits of ``tcp_fastopen``.
CLIENT: Final = 0x1
SERVER: Final = 0x2
CLIENT_NO_COOKIE: Final = 0x4
SERVER_NO_COOKIE: Final = 0x200

KEY_SIZE: Final = 16

RESET_PAUSE: Final = 60 * SECOND
_LOSS_PAUSE: Final = 60 * SECOND
_MAX_LOSS: Final = 10

_ACTIVE: Final = int(Stat.TcpFastOpenActive)
_ACTIVE_FAIL: Final = int(Stat.TcpFastOpenActiveFail)


def keys_of(sock: TcpSocket) -> tuple[bytes, ...]:
    """The keys of a listener's cookies, the one that makes them first: its own (TCP_FASTOPEN_KEY), else those of
    ``tcp_fastopen_key``, else one that nobody has told."""
    ns = sock.ns
    return sock.fastopen_keys or ns.conf.tcp.fastopen_key or (ns.tcp_state.secret.to_bytes(KEY_SIZE, "little"),)


def settled(tcb: Tcb, was_reset: bool, now: int) -> None:
    """The handshake of a connection that a SYN with data made is over, or it never will be."""
    req, tcb.fastopen = tcb.fastopen, None
    half_open: HalfOpen = req.half_open
    half_open.fastopen_pending -= 1
    if was_reset:
        half_open.fastopen_resets.append(now + RESET_PAUSE)


def is_passive(tcb: Tcb) -> bool:
    """Whether a SYN with data made this connection, and its handshake is not over."""
    return tcb.fastopen is not None and tcb.state != SYN_SENT


# -- the client --------------------------------------------------------------------------------------------------------


def needs_no_cookie(sock: TcpSocket, flag: int) -> bool:
    """Whether data may come or go without a cookie: TCP_FASTOPEN_NO_COOKIE, or `flag` of ``tcp_fastopen``."""
    return sock.fastopen_no_cookie or sock.ns.conf.tcp.fastopen & flag != 0


def cookie_for(tcb: Tcb, now: int) -> bytes | None:
    """What the option of a SYN says: the peer's cookie (data may go along), b"" to ask for one, None: nothing, since it
    is switched off, or none is needed, or SYNs with data were lost lately."""
    if not tcb.ns.conf.tcp.fastopen & CLIENT or needs_no_cookie(tcb.sock, CLIENT_NO_COOKIE):
        return None
    known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
    if known is None:
        return b""
    return None if _is_paused(known, now) else known.cookie


def may_send_data(tcb: Tcb, now: int) -> bool:
    """Whether the SYN may carry data: there is a cookie, or none is needed."""
    if not tcb.ns.conf.tcp.fastopen & CLIENT:
        return False
    if needs_no_cookie(tcb.sock, CLIENT_NO_COOKIE):
        known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
        return known is None or not _is_paused(known, now)
    return bool(cookie_for(tcb, now))


def _is_paused(known: PeerMetrics, now: int) -> bool:
    return known.loss > 1 and now - known.loss_at < _LOSS_PAUSE << min(known.loss, _MAX_LOSS)


def by_experiment(tcb: Tcb) -> bool:
    """Whether a cookie is asked for, and told, under the option's experimental number: the peer did not answer to the
    other, or it gave its cookie so."""
    known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
    return known is not None and known.experiment == 1


def synack_received(tcb: Tcb, seg: Segment, asked: bool, sent: int, acked: int, now: int) -> None:
    """A SYN-ACK came to a SYN of Fast Open: what it says is remembered (tcp_rcv_fastopen_synack). `asked`: the SYN had
    the option. `sent` bytes went with it, and `acked` of them are acknowledged; the others are lost. Expects
    ESTABLISHED."""
    cookie = seg.fastopen if asked else None
    if sent:
        tcb.info.syn_data = acked >= sent
        tcb.ns.stats[_ACTIVE if acked >= sent else _ACTIVE_FAIL] += 1
        tcb.delivered -= acked  # what went with the SYN counts as one segment with it
    if acked < sent:
        recovery.syn_data_lost(tcb, now)
    known = tcb.tcp.metrics.of(tcb.family, tcb.peer)
    known.cookie_mss = seg.mss or known.cookie_mss
    if cookie:
        known.cookie = cookie
        known.experiment = 1 if seg.fastopen_experiment else 0
    elif asked and not sent and not tcb.total_retrans and not known.cookie:
        known.experiment = min(known.experiment + 1, 2)  # it may know the option by its other number
    if tcb.total_retrans and sent and not acked and not cookie:
        # Only the SYN without data came through: SYNs with data, or their answers, may be thrown away on the path.
        known.loss += 1
        known.loss_at = now
    else:
        known.loss = 0
