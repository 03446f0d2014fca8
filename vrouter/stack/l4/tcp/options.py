"""Socket options that only streams have, at SOL_TCP and at SOL_SOCKET, with Linux's bounds and errors.

Most are a number that the socket keeps until it has a connection, and for those that come of it (`NUMBERS`); some act
at once (`_ACTIONS`). Times are seconds there, but for TCP_USER_TIMEOUT, which is ms; inside they are ns.

Deviations: SO_OOBINLINE is always on (RFC 6093 3.2). TCP_REPAIR, TCP_MD5SIG, TCP_ULP, TCP_ZEROCOPY_RECEIVE and
TCP_SAVE_SYN are not there (ENOPROTOOPT).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import delack, fastopen, info, output, timers
from vrouter.stack.l4.tcp.cc import BY_NAME
from vrouter.stack.l4.tcp.tcb import CLOSED, FIRST_MSS, LISTEN, MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.tcb import Tcb

INT: Final = Struct("=i")
LINGER: Final = Struct("=ii")
ULONG: Final = Struct("=Q")
_BBR_INFO: Final = Struct("=5I")
NAME_LEN: Final = 16
UNLIMITED: Final = 2**64 - 1
_NO_LIMIT32: Final = 2**32 - 1
_INT_MAX: Final = 2**31 - 1
_MAX_KEEPALIVE: Final = 32767
_MAX_LINGER2: Final = 120
_MIN_CLAMP: Final = 1152  # half of the least receive buffer
_MIN_MSS: Final = 88
_MAX_MSS: Final = 32767
_MAX_RTO: Final = 120
_STILL: Final = (CLOSED, LISTEN)


class Number(NamedTuple):
    """An option that is a number of the socket: its bounds, and what one of it is in the unit that is kept."""

    attribute: str
    low: int
    high: int
    unit: int = 1


NUMBERS: Final[dict[int, Number]] = {
    c.TCP_SYNCNT: Number("syncnt", 1, 127),
    c.TCP_KEEPIDLE: Number("keepidle", 1, _MAX_KEEPALIVE, SECOND),
    c.TCP_KEEPINTVL: Number("keepintvl", 1, _MAX_KEEPALIVE, SECOND),
    c.TCP_KEEPCNT: Number("keepcnt", 1, 127),
    c.TCP_USER_TIMEOUT: Number("user_timeout", 0, _INT_MAX, MS),
    c.TCP_INQ: Number("tells_inq", 0, 1),
}


# -- setsockopt(2) ----------------------------------------------------------------------------------------------------


def set_stream_option(sock: TcpSocket, level: int, option: int, data: bytes, now: int) -> bool:
    """Set an option; False when it is none of these. OSError EINVAL, ENOENT, EPERM, EOPNOTSUPP, ENOPROTOOPT."""
    if level == c.SOL_SOCKET:
        setter = _OF_SOCKET.get(option)
        if setter is None:
            return False
        if len(data) < 4:
            raise os_error(errno.EINVAL)
        setter(sock, data, now)
        return True
    if level != c.SOL_TCP:
        return False
    if option == c.TCP_CONGESTION:
        _set_congestion(sock, data, now)
        return True
    if option == c.TCP_FASTOPEN_KEY:
        _set_fastopen_key(sock, data)
        return True
    if len(data) < 4:
        raise os_error(errno.EINVAL)
    number: int = INT.unpack_from(data)[0]
    where = NUMBERS.get(option)
    if where is not None:
        if not where.low <= number <= where.high:
            raise os_error(errno.EINVAL)
        setattr(sock, where.attribute, number * where.unit)
        if option == c.TCP_USER_TIMEOUT and sock.tcb is not None:
            sock.tcb.user_timeout = sock.user_timeout
        elif option == c.TCP_KEEPIDLE and sock.tcb is not None and sock.keepalive:
            _await_silence(sock, sock.tcb, now)
        return True
    action = _ACTIONS.get(option)
    if action is None:
        raise os_error(errno.ENOPROTOOPT)
    action(sock, number, now)
    return True


def _set_keepalive(sock: TcpSocket, data: bytes, now: int) -> None:
    on = INT.unpack_from(data)[0] != 0
    changed, sock.keepalive = on != sock.keepalive, on
    if changed and sock.tcb is not None and sock.state not in _STILL:
        if on:
            _await_silence(sock, sock.tcb, now)
        else:
            timers.disarm_keepalive(sock.tcb)


def _await_silence(sock: TcpSocket, tcb: Tcb, now: int) -> None:
    """The first keep-alive goes when nothing was heard for long enough."""
    idle = sock.keepidle or sock.ns.conf.tcp.keepalive_time
    timers.arm_keepalive(tcb, max(now, tcb.last_rcv_at + idle))


def _set_inline(sock: TcpSocket, data: bytes, now: int) -> None:
    if not INT.unpack_from(data)[0]:
        raise os_error(errno.EINVAL)


def _set_linger(sock: TcpSocket, data: bytes, now: int) -> None:
    if len(data) < LINGER.size:
        raise os_error(errno.EINVAL)
    on, seconds = LINGER.unpack_from(data)
    sock.linger = min(seconds & _NO_LIMIT32, _INT_MAX) * SECOND if on else -1


def _set_lowat(sock: TcpSocket, data: bytes, now: int) -> None:
    number = INT.unpack_from(data)[0]
    most = (sock.rcvbuf if sock.locked & c.LOCK_RCVBUF else sock.ns.conf.tcp.rmem[2]) // 2
    sock.rcvlowat = min(number if number >= 0 else _INT_MAX, most) or 1
    if not sock.locked & c.LOCK_RCVBUF and 2 * sock.rcvlowat > sock.rcvbuf:
        sock.rcvbuf = 2 * sock.rcvlowat
    if sock.inq >= sock.rcvlowat:
        sock.wake(c.READ)


def _set_pacing(sock: TcpSocket, data: bytes, now: int) -> None:
    if len(data) >= ULONG.size:
        rate = ULONG.unpack_from(data)[0]
    else:
        rate = INT.unpack_from(data)[0] & _NO_LIMIT32
        rate = UNLIMITED if rate == _NO_LIMIT32 else rate
    sock.pacing_max = 0 if rate == UNLIMITED else max(rate, 1)
    if sock.tcb is not None:
        sock.tcb.pacing_max = sock.pacing_max


_OF_SOCKET: Final[dict[int, Callable[[TcpSocket, bytes, int], None]]] = {
    c.SO_KEEPALIVE: _set_keepalive,
    c.SO_OOBINLINE: _set_inline,
    c.SO_LINGER: _set_linger,
    c.SO_RCVLOWAT: _set_lowat,
    c.SO_MAX_PACING_RATE: _set_pacing,
}


def _set_congestion(sock: TcpSocket, data: bytes, now: int) -> None:
    if not data:
        raise os_error(errno.EINVAL)
    name = data[: NAME_LEN - 1].split(b"\0", 1)[0].decode("ascii", "replace")
    chosen = BY_NAME.get(name)
    if chosen is None:
        raise os_error(errno.ENOENT)
    sock.congestion = name
    tcb = sock.tcb
    if tcb is not None and sock.state not in _STILL and tcb.cc is not chosen:
        tcb.cc = chosen
        chosen.begin(tcb, now)


def _set_fastopen_key(sock: TcpSocket, data: bytes) -> None:
    """One key, or two: the one that makes cookies, and the one before it."""
    if len(data) not in (fastopen.KEY_SIZE, 2 * fastopen.KEY_SIZE):
        raise os_error(errno.EINVAL)
    sock.fastopen_keys = tuple(data[at : at + fastopen.KEY_SIZE] for at in range(0, len(data), fastopen.KEY_SIZE))


def _set_nodelay(sock: TcpSocket, number: int, now: int) -> None:
    _set_nagle(sock, c.NAGLE_OFF, number != 0)
    if number and sock.tcb is not None and sock.state not in _STILL:
        sock.tcb.nonagle |= c.NAGLE_PUSH  # what a cork holds back leaves, too
        output.output(sock.tcb, now)
        sock.ns.settle(now)


def _set_cork(sock: TcpSocket, number: int, now: int) -> None:
    _set_nagle(sock, c.NAGLE_CORK, number != 0)
    if not number and sock.tcb is not None and sock.state not in _STILL:
        if sock.nonagle & c.NAGLE_OFF:
            sock.tcb.nonagle |= c.NAGLE_PUSH
        output.output(sock.tcb, now)
        sock.ns.settle(now)


def _set_nagle(sock: TcpSocket, bit: int, on: bool) -> None:
    sock.nonagle = sock.nonagle | bit if on else sock.nonagle & ~bit
    if sock.tcb is not None:
        sock.tcb.nonagle = sock.nonagle


def _set_maxseg(sock: TcpSocket, number: int, now: int) -> None:
    if number and not _MIN_MSS <= number <= _MAX_MSS:
        raise os_error(errno.EINVAL)
    sock.maxseg = number


def _set_linger2(sock: TcpSocket, number: int, now: int) -> None:
    sock.linger2 = -1 if number < 0 else min(number, _MAX_LINGER2) * SECOND


def _set_defer(sock: TcpSocket, number: int, now: int) -> None:
    sock.defer_accept = max(number, 0) * SECOND


def _set_clamp(sock: TcpSocket, number: int, now: int) -> None:
    if not number:
        if sock.state != CLOSED:
            raise os_error(errno.EINVAL)
        sock.window_clamp = 0
        return
    sock.window_clamp = max(number, _MIN_CLAMP)
    tcb = sock.tcb
    if tcb is not None:
        tcb.window_clamp = sock.window_clamp
        tcb.rcv_ssthresh = min(tcb.rcv_ssthresh, tcb.window_clamp)


def _set_quickack(sock: TcpSocket, number: int, now: int) -> None:
    tcb = sock.tcb
    if tcb is None:
        sock.quickack = int(number != 0)
        return
    if delack.set_quickack(tcb, number):
        output.send_ack(tcb, now)
    sock.ns.settle(now)


def _set_fastopen(sock: TcpSocket, number: int, now: int) -> None:
    if number < 0 or sock.state not in _STILL:
        raise os_error(errno.EINVAL)
    sock.fastopen_qlen = min(number, sock.ns.conf.tcp.somaxconn)


def _set_fastopen_connect(sock: TcpSocket, number: int, now: int) -> None:
    if number not in (0, 1):
        raise os_error(errno.EINVAL)
    if not sock.ns.conf.tcp.fastopen & 1:
        raise os_error(errno.EOPNOTSUPP)
    if sock.state != CLOSED:
        raise os_error(errno.EINVAL)
    sock.fastopen_connect = bool(number)


def _set_no_cookie(sock: TcpSocket, number: int, now: int) -> None:
    if number not in (0, 1) or sock.state not in _STILL:
        raise os_error(errno.EINVAL)
    sock.fastopen_no_cookie = bool(number)


def _set_timestamp(sock: TcpSocket, number: int, now: int) -> None:
    raise os_error(errno.EPERM)  # only while a connection is repaired


def _set_notsent(sock: TcpSocket, number: int, now: int) -> None:
    sock.notsent_lowat = number & _NO_LIMIT32
    if sock.tcb is not None:
        sock.tcb.notsent_lowat = sock.notsent_lowat
        if sock.writable:
            sock.wake(c.WRITE)


_ACTIONS: Final[dict[int, Callable[[TcpSocket, int, int], None]]] = {
    c.TCP_NODELAY: _set_nodelay,
    c.TCP_MAXSEG: _set_maxseg,
    c.TCP_CORK: _set_cork,
    c.TCP_LINGER2: _set_linger2,
    c.TCP_DEFER_ACCEPT: _set_defer,
    c.TCP_WINDOW_CLAMP: _set_clamp,
    c.TCP_QUICKACK: _set_quickack,
    c.TCP_FASTOPEN: _set_fastopen,
    c.TCP_FASTOPEN_CONNECT: _set_fastopen_connect,
    c.TCP_FASTOPEN_NO_COOKIE: _set_no_cookie,
    c.TCP_TIMESTAMP: _set_timestamp,
    c.TCP_NOTSENT_LOWAT: _set_notsent,
}


def retransmissions(seconds: int) -> int:
    """How many retransmissions of a SYN-ACK take at least so long (secs_to_retrans)."""
    count = period = 0
    timeout = 1
    while seconds > period and count < 255:
        period += timeout
        timeout = min(2 * timeout, _MAX_RTO)
        count += 1
    return count


def retransmission_seconds(count: int) -> int:
    """How long so many retransmissions take (retrans_to_secs)."""
    return sum(min(1 << number, _MAX_RTO) for number in range(count))


# -- getsockopt(2) ----------------------------------------------------------------------------------------------------


def get_stream_option(sock: TcpSocket, level: int, option: int) -> int | bytes | None:
    """An option's value, an int or the bytes of the C value; None when it is none of these."""
    reader = _READERS.get((level, option))
    if reader is not None:
        return reader(sock)
    if level != c.SOL_TCP:
        return None
    where = NUMBERS.get(option)
    if where is None:
        raise os_error(errno.ENOPROTOOPT)
    number: int = getattr(sock, where.attribute) // where.unit
    if number or where.low == 0:
        return number
    conf = sock.ns.conf.tcp
    return {
        c.TCP_SYNCNT: conf.syn_retries,
        c.TCP_KEEPIDLE: conf.keepalive_time // SECOND,
        c.TCP_KEEPINTVL: conf.keepalive_intvl // SECOND,
        c.TCP_KEEPCNT: conf.keepalive_probes,
    }[option]


def _linger(sock: TcpSocket) -> bytes:
    return LINGER.pack(*((1, sock.linger // SECOND) if sock.linger >= 0 else (0, 0)))


def _maxseg(sock: TcpSocket) -> int:
    if sock.maxseg and sock.state in _STILL:
        return sock.maxseg
    return FIRST_MSS[4] if sock.tcb is None else sock.tcb.mss


def _linger2(sock: TcpSocket) -> int:
    if sock.linger2 < 0:
        return -1
    return (sock.linger2 or sock.ns.conf.tcp.fin_timeout) // SECOND


def _clamp(sock: TcpSocket) -> int:
    return sock.window_clamp if sock.tcb is None else sock.tcb.window_clamp


def _congestion(sock: TcpSocket) -> bytes:
    tcb = sock.tcb
    name = sock.congestion or sock.ns.conf.tcp.congestion_control
    if tcb is not None and tcb.cc is not None:
        name = tcb.cc.name
    return name.encode().ljust(NAME_LEN, b"\0")


def _pacing(sock: TcpSocket) -> bytes:
    return ULONG.pack(sock.pacing_max or UNLIMITED)


def _quickack(sock: TcpSocket) -> int:
    return sock.quickack if sock.tcb is None else int(delack.is_quick(sock.tcb))


def _timestamp(sock: TcpSocket) -> int:
    offset = 0 if sock.tcb is None else sock.tcb.ts_offset
    number: int = INT.unpack(((sock.ns.stack.now // MS + offset) & _NO_LIMIT32).to_bytes(4, "little"))[0]
    return number


def _tcp_info(sock: TcpSocket) -> bytes:
    return info.pack(sock, sock.ns.stack.now)


def _cc_info(sock: TcpSocket) -> bytes:
    """Linux has a structure for BBR's model, and none for CUBIC and Reno."""
    tcb = sock.tcb
    if tcb is None or tcb.cc is None or tcb.cc.name != "bbr":
        return b""
    model = tcb.cc.info(tcb)
    rate, rtt = model["bw"], model["min_rtt_ns"] // 1000
    return _BBR_INFO.pack(rate & _NO_LIMIT32, rate >> 32, rtt, model["pacing_gain"], model["cwnd_gain"])


def _signed(number: int) -> int:
    return number - (1 << 32) if number > _INT_MAX else number


_READERS: Final[dict[tuple[int, int], Callable[[TcpSocket], int | bytes]]] = {
    (c.SOL_SOCKET, c.SO_KEEPALIVE): lambda sock: int(sock.keepalive),
    (c.SOL_SOCKET, c.SO_OOBINLINE): lambda sock: 1,
    (c.SOL_SOCKET, c.SO_LINGER): _linger,
    (c.SOL_SOCKET, c.SO_RCVLOWAT): lambda sock: sock.rcvlowat,
    (c.SOL_SOCKET, c.SO_ACCEPTCONN): lambda sock: int(sock.listening),
    (c.SOL_SOCKET, c.SO_MAX_PACING_RATE): _pacing,
    (c.SOL_TCP, c.TCP_NODELAY): lambda sock: int(sock.nonagle & c.NAGLE_OFF != 0),
    (c.SOL_TCP, c.TCP_MAXSEG): _maxseg,
    (c.SOL_TCP, c.TCP_CORK): lambda sock: int(sock.nonagle & c.NAGLE_CORK != 0),
    (c.SOL_TCP, c.TCP_LINGER2): _linger2,
    (c.SOL_TCP, c.TCP_DEFER_ACCEPT): lambda sock: retransmission_seconds(retransmissions(sock.defer_accept // SECOND)),
    (c.SOL_TCP, c.TCP_WINDOW_CLAMP): _clamp,
    (c.SOL_TCP, c.TCP_INFO): _tcp_info,
    (c.SOL_TCP, c.TCP_CC_INFO): _cc_info,
    (c.SOL_TCP, c.TCP_QUICKACK): _quickack,
    (c.SOL_TCP, c.TCP_CONGESTION): _congestion,
    (c.SOL_TCP, c.TCP_FASTOPEN): lambda sock: sock.fastopen_qlen,
    (c.SOL_TCP, c.TCP_FASTOPEN_KEY): lambda sock: b"".join(fastopen.keys_of(sock)),
    (c.SOL_TCP, c.TCP_FASTOPEN_CONNECT): lambda sock: int(sock.fastopen_connect),
    (c.SOL_TCP, c.TCP_FASTOPEN_NO_COOKIE): lambda sock: int(sock.fastopen_no_cookie),
    (c.SOL_TCP, c.TCP_TIMESTAMP): _timestamp,
    (c.SOL_TCP, c.TCP_NOTSENT_LOWAT): lambda sock: _signed(sock.notsent_lowat),
}
