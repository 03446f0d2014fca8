"""TIME-WAIT (RFC 9293 3.6.1, 3.10.7.4): a small record in the place of a connection that is over at this end.

It answers late segments, so that neither end takes them for another connection's, for `TIME_WAIT_LENGTH`: 60 s, Linux's
2 MSL. A connection without a program may already wait in FIN-WAIT-2 so. A SYN with a newer number or timestamp ends it
early and goes to the listener (RFC 1122 4.2.2.13, RFC 6191), and connect(2) may do the same (``tcp_tw_reuse``); a RST
ends it, unless ``tcp_rfc1337``. Answers keep to ``tcp_invalid_ratelimit``. There are at most ``tcp_max_tw_buckets``:
further connections end at once, as in Linux.

Records of one length of stay are in the order of their ends, so one timer of the namespace serves them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import LOOPBACK6, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import isn, listen, reset
from vrouter.stack.l4.tcp.reply import reply
from vrouter.stack.l4.tcp.seq import FIRST, MASK, before, unwrap
from vrouter.stack.l4.tcp.tcb import FIN_WAIT_2, SECOND, TIME_WAIT, TIME_WAIT_LENGTH
from vrouter.stack.l4.tcp.timestamps import STALE
from vrouter.stack.wire.tcp import ACK, FIN, RST, SYN

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.state import TcpState
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.tcp import Segment


REUSE_DELAY: Final = SECOND
_ISN_STEP: Final = 65537  # above all that the old connection can still have under way (Linux)

_CONSUMED: Final = int(Stat.AcctConsumed)
_RECYCLED: Final = int(Stat.TcpTWRecycled)
_TIMED_OUT: Final = int(Stat.TcpTW)
_PAWS: Final = int(Stat.TcpPAWSEstab)
_SKIPPED_TIME_WAIT: Final = int(Stat.TcpACKSkippedTimeWait)
_SKIPPED_FIN_WAIT_2: Final = int(Stat.TcpACKSkippedFinWait2)
_TCP_RFC7323_PAWS: Final = int(DropReason.TCP_RFC7323_PAWS)
_TCP_INVALID_SEQUENCE: Final = int(DropReason.TCP_INVALID_SEQUENCE)
_TCP_CLOSE: Final = int(DropReason.TCP_CLOSE)
_TCP_RESET: Final = int(DropReason.TCP_RESET)


class TimeWait:
    """What is left of a connection; the names are those of `Tcb`. ``ends_at`` is when it goes (ns), ``stays`` for how
    long it stays from the last segment that prolonged it."""

    __slots__ = (
        "challenge_at",
        "ends_at",
        "family",
        "hold",
        "how",
        "local",
        "peer",
        "peer_port",
        "port",
        "rcv_nxt",
        "rcv_wnd",
        "rcv_wscale",
        "snd_nxt",
        "state",
        "stays",
        "table",
        "ts_offset",
        "ts_ok",
        "ts_recent",
        "ts_recent_at",
    )

    def __init__(self, tcb: Tcb, state: int, how: tuple[int, int, int]) -> None:
        self.table: TcpTable = tcb.table
        self.family = tcb.family
        self.local, self.port, self.peer, self.peer_port = tcb.local, tcb.port, tcb.peer, tcb.peer_port
        self.state = state
        self.snd_nxt, self.rcv_nxt = tcb.snd_nxt, tcb.rcv_nxt
        self.rcv_wnd = max(tcb.rcv_adv - tcb.rcv_nxt, 0)
        self.rcv_wscale = tcb.rcv_wscale
        self.ts_ok = tcb.ts_ok
        self.ts_recent, self.ts_recent_at, self.ts_offset = tcb.ts_recent, tcb.ts_recent_at, tcb.ts_offset
        self.challenge_at = tcb.challenge_at
        self.how = how  # TTL, TOS, mark of its answers
        self.hold: Any = None
        self.ends_at = self.stays = -1


def begin(tcb: Tcb, state: int, stays: int, how: tuple[int, int, int], now: int) -> bool:
    """Put a record in the place of `tcb`, to wait for `stays` ns; False when there are too many already."""
    tcp = tcb.tcp
    if tcp.time_waiting >= tcp.ns.conf.tcp.max_tw_buckets:
        return False
    rest = TimeWait(tcb, state, how)
    tcb.table.succeed(tcb, rest)
    _stay(tcp, rest, stays, now)
    return True


def _stay(tcp: TcpState, rest: TimeWait, stays: int, now: int) -> None:
    """From now on for `stays` ns."""
    if rest.ends_at >= 0:
        _take_out(tcp, rest)
    rest.stays, rest.ends_at = stays, now + stays
    queue = tcp.time_wait.get(stays)
    if queue is None:
        queue = tcp.time_wait[stays] = {}
    queue[rest] = None
    tcp.time_waiting += 1
    timer = tcp.time_wait_timer
    if timer.deadline < 0 or rest.ends_at < timer.deadline:
        tcp.ns.stack.timers.arm(timer, rest.ends_at)


def _take_out(tcp: TcpState, rest: TimeWait) -> None:
    queue = tcp.time_wait[rest.stays]
    del queue[rest]
    if not queue:
        del tcp.time_wait[rest.stays]
    rest.ends_at = -1
    tcp.time_waiting -= 1
    if not tcp.time_waiting:
        tcp.ns.stack.timers.cancel(tcp.time_wait_timer)


def forget(rest: TimeWait) -> None:
    """It is over, and its place and port are free."""
    if rest.ends_at >= 0:
        _take_out(rest.table.ns.tcp_state, rest)
    rest.table.leave(rest)


def due(tcp: TcpState, now: int) -> Netns:
    """Those whose time has come go; the timer waits for the next one."""
    following = -1
    for queue in list(tcp.time_wait.values()):
        over: list[TimeWait] = []
        for rest in queue:
            if rest.ends_at > now:
                if following < 0 or rest.ends_at < following:
                    following = rest.ends_at
                break
            over.append(rest)
        for rest in over:
            forget(rest)
            tcp.ns.stats[_TIMED_OUT] += 1
    if following >= 0:
        tcp.ns.stack.timers.arm(tcp.time_wait_timer, following)
    return tcp.ns


def reusable(rest: TimeWait, now: int) -> bool:
    """Whether connect(2) may begin anew between these ends (RFC 6191, ``tcp_tw_reuse``): timestamps tell old segments
    from new ones, and a second has passed since the last."""
    ns = rest.table.ns
    how = ns.conf.tcp.tw_reuse
    if not how or not rest.ts_ok or rest.state != TIME_WAIT or now - rest.ts_recent_at < REUSE_DELAY:
        return False
    return how == 1 or _is_loopback(rest.family, rest.local) or _is_loopback(rest.family, rest.peer)


def _is_loopback(family: int, address: int) -> bool:
    return address >> 24 == 127 if family == V4 else address == LOOPBACK6


def following_sequence(rest: TimeWait) -> int:
    """A first sequence number beyond all that the old connection used (RFC 1122 4.2.2.13 (a))."""
    return FIRST + (rest.snd_nxt + _ISN_STEP & MASK)


def time_wait_arrives(rest: TimeWait, seg: Segment, now: int) -> int:
    """A segment for what is left of a connection: 0, or why it dies here."""
    ns = rest.table.ns
    flags, rcv_nxt = seg.flags, rest.rcv_nxt
    seq = unwrap(seg.seq, rcv_nxt)
    end = seq + seg.end - seg.data + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    stale = (
        seg.ts
        and rest.ts_ok
        and not (flags & RST)
        and before(seg.tsval, rest.ts_recent)
        and now - rest.ts_recent_at < STALE
    )
    if rest.state == FIN_WAIT_2:
        return _fin_wait_2_arrives(rest, seg, seq, end, stale, now)
    tcp = ns.tcp_state
    if not stale and seq == rcv_nxt and (end == seq or flags & RST):
        if flags & RST:
            if not ns.conf.tcp.rfc1337:
                forget(rest)
        else:
            _stay(tcp, rest, TIME_WAIT_LENGTH, now)
        if seg.ts and rest.ts_ok:
            rest.ts_recent, rest.ts_recent_at = seg.tsval, now
        ns.stats[_CONSUMED] += 1
        return 0
    if flags & (SYN | RST | ACK) == SYN and not stale:
        newer = seg.ts and rest.ts_ok and before(rest.ts_recent, seg.tsval)
        if seq > rcv_nxt or newer:
            return _begin_anew(rest, seg, now)
    if stale:
        ns.stats[_PAWS] += 1
    if flags & RST:
        return _TCP_RESET
    if stale or flags & ACK:
        _stay(tcp, rest, TIME_WAIT_LENGTH, now)
    if tcp.may_answer(rest, _SKIPPED_TIME_WAIT, now):
        _acknowledge(rest, seg, now)
    return _TCP_RFC7323_PAWS if stale else _TCP_INVALID_SEQUENCE


def _fin_wait_2_arrives(rest: TimeWait, seg: Segment, seq: int, end: int, stale: bool, now: int) -> int:
    """The checks of RFC 9293 3.10.7.4 as far as they matter while only a FIN is waited for."""
    ns = rest.table.ns
    tcp = ns.tcp_state
    rcv_nxt, flags = rest.rcv_nxt, seg.flags
    if stale or not _in_window(seq, end, rcv_nxt, rcv_nxt + rest.rcv_wnd):
        if stale:
            ns.stats[_PAWS] += 1
        if flags & RST:
            return _TCP_RESET
        if tcp.may_answer(rest, _SKIPPED_FIN_WAIT_2, now):
            _acknowledge(rest, seg, now)
        return _TCP_RFC7323_PAWS if stale else _TCP_INVALID_SEQUENCE
    if flags & RST:
        if seq != rcv_nxt:  # RFC 5961 3.2
            if tcp.challenges_now(rest, now):
                _acknowledge(rest, seg, now)
            return _TCP_RESET
        forget(rest)
    elif flags & SYN:  # RFC 5961 4.2
        if tcp.challenges_now(rest, now):
            _acknowledge(rest, seg, now)
        return int(DropReason.TCP_INVALID_SYN)
    elif flags & ACK and end > rcv_nxt and end > seq:
        if not flags & FIN or end != rcv_nxt + 1:  # data that nobody will read (RFC 9293 3.10.4)
            reset.answer(ns, seg)
            forget(rest)
            return _TCP_CLOSE
        rest.state, rest.rcv_nxt = TIME_WAIT, end
        if seg.ts and rest.ts_ok:
            rest.ts_recent, rest.ts_recent_at = seg.tsval, now
        _stay(tcp, rest, TIME_WAIT_LENGTH, now)
        _acknowledge(rest, seg, now)
    ns.stats[_CONSUMED] += 1
    return 0


def _begin_anew(rest: TimeWait, seg: Segment, now: int) -> int:
    """A SYN that cannot be of the old connection."""
    table, pkt = rest.table, seg.pkt
    ns = table.ns
    sock = table.listener(pkt.src, seg.sport, pkt.dst, seg.dport, pkt.iif)
    if sock is None:
        if ns.tcp_state.may_answer(rest, _SKIPPED_TIME_WAIT, now):
            _acknowledge(rest, seg, now)
        return _TCP_INVALID_SEQUENCE
    first = following_sequence(rest)
    forget(rest)
    ns.stats[_RECYCLED] += 1
    return listen.listen_arrives(sock, seg, now, first)


def _acknowledge(rest: TimeWait, seg: Segment, now: int) -> None:
    """Where the connection stood."""
    stamp = (isn.timestamp(rest.ts_offset, now), rest.ts_recent) if rest.ts_ok else None
    window = min(rest.rcv_wnd >> rest.rcv_wscale, 0xFFFF)
    ports = rest.port, rest.peer_port
    reply(rest.table.ns, seg.pkt, ports, rest.snd_nxt, rest.rcv_nxt, ACK, window, stamp, rest.how)


def _in_window(seq: int, end: int, left: int, right: int) -> bool:
    """Whether any of a segment is in a window, or it stands at its left edge without data (Linux's tcp_in_window)."""
    return seq == left or (end > left and seq < right) or (seq == right == end)
