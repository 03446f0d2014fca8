"""What must hold of TCP's state between any two actions, counted by hand from the ranges and queues themselves.

Whatever peers say: numbers stand in their order, sums are what the ranges add up to, what is charged is what is held,
and whoever waits for something has a timer.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vrouter.stack.l4.tcp.receive import ReceiveQueue
from vrouter.stack.l4.tcp.reorder import OutOfOrder
from vrouter.stack.l4.tcp.request import Request
from vrouter.stack.l4.tcp.scoreboard import EVER, LOST, RETRANS, SACKED, Scoreboard, pipe
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.l4.tcp.tcb import (
    CLOSED,
    LAST_ACK,
    REXMIT_NONE,
    SYN_RECEIVED,
    SYN_SENT,
    Tcb,
)
from vrouter.stack.l4.tcp.timewait import TimeWait

if TYPE_CHECKING:
    from tests.fuzz.world import World
    from vrouter.stack.netns import Netns

LARGEST = 65535
OPENING = (SYN_SENT, SYN_RECEIVED)
MOST_RANGES = 20_000


def check_tcp(world: World, ns: Netns, armed: dict[int, Any]) -> None:
    """All of a namespace's connections, and what they add up to."""
    state = ns._tcp_state
    tables = [table for table in (ns._tcp, ns._tcp6) if table is not None]
    if state is None:
        assert not any(table.connections for table in tables)
        return
    assert not state.outbox, "segments left in the outbox"
    tcbs: dict[int, Tcb] = {}
    waiting = requests = 0
    for table in tables:
        holds: Counter[tuple[int, Any]] = Counter()
        for key, entry in table.connections.items():
            assert key == (entry.local, entry.port, entry.peer, entry.peer_port)
            assert entry.family == table.family
            if isinstance(entry, Tcb):
                assert entry.state != CLOSED, "a connection that is over stands in its table"
                assert entry.table is table
                tcbs[id(entry)] = entry
                _check_connection(ns, entry, armed)
            elif isinstance(entry, TimeWait):
                waiting += 1
            else:
                assert isinstance(entry, Request)
                requests += 1
                assert entry in entry.half_open.requests
                assert entry.acked or id(entry.timer) in armed, "a request that never ends"
                assert id(entry.timer) in armed, "a request that never ends"
            if not isinstance(entry, Request):
                assert entry.hold is not None
                holds[entry.port, entry.hold] += 1
        held = {(port, hold): n for port, bucket in table.buckets.items() for hold, n in bucket.held.items()}
        assert held == holds, "holds of ports miscounted"
        for port, bucket in table.buckets.items():
            assert bucket.owners or bucket.held, "an empty bucket"
            assert all(sock.port == port and table in sock.tables for sock in bucket.owners)
            listeners = [sock for group in (bucket.listeners or {}).values() for sock in group]
            assert set(map(id, listeners)) == {id(sock) for sock in bucket.owners if sock.listening}
    assert state.time_waiting == waiting == sum(map(len, state.time_wait.values())), "TIME-WAIT miscounted"
    assert waiting <= max(ns.conf.tcp.max_tw_buckets, world.limits.get("tcp_max_tw_buckets", 0))
    assert not waiting or id(state.time_wait_timer) in armed, "a TIME-WAIT that never ends"
    assert state.orphans == sum(tcb.orphan for tcb in tcbs.values()), "orphans miscounted"
    for sock in [sock for sock in ns.sockets if isinstance(sock, TcpSocket)]:
        for one in (sock, *(sock.queue or ())):
            if one.tcb is not None:
                tcbs[id(one.tcb)] = one.tcb
                assert one.tcb.sock is one
                assert not one.tcb.orphan
        if sock.listening:
            _check_listener(ns, sock)
            requests -= len(sock.half_open.requests) if sock.half_open is not None else 0
    assert requests == 0, "requests of no listener"
    assert state.memory == sum(map(_held, tcbs.values())), "TCP's memory miscounted"


def _check_listener(ns: Netns, sock: TcpSocket) -> None:
    # One more than the backlog, as in Linux; who listens again with less keeps what there is.
    assert len(sock.queue) <= ns.conf.tcp.somaxconn + 1, "more connections than the backlog"
    for child in sock.queue:
        assert child.tcb is not None
        assert not child.tcb.accepted
    half_open = sock.half_open
    if half_open is not None:
        assert all(req.sock is sock for req in half_open.requests)
        assert len(half_open.requests) <= ns.conf.tcp.somaxconn + 1, "more half-open connections than the backlog"
        assert half_open.young == sum(not req.timeouts for req in half_open.requests), "young requests miscounted"


def _held(tcb: Tcb) -> int:
    queue, ooo = tcb.rcvq, tcb.ooo
    size = sum(one.end - one.start - (one.end - 1 == ooo.fin) for one in ooo.ranges) if ooo is not None else 0
    return size + _queued(queue) + (len(tcb.sndq) if tcb.sndq is not None else 0)


def _queued(queue: ReceiveQueue | None) -> int:
    if queue is None:
        return 0
    size = sum(map(len, queue._chunks)) - queue._skip
    assert queue.size == size, "a receive queue miscounted"
    return size


def _check_connection(ns: Netns, tcb: Tcb, armed: dict[int, Any]) -> None:
    una, nxt, end = tcb.snd_una, tcb.snd_nxt, tcb.write_seq
    if tcb.fin_seq >= 0:
        assert tcb.fin_seq == end, "something was written behind the FIN"
        end += 1
    assert tcb.iss <= una <= nxt <= end, f"{tcb.iss} {una} {nxt} {end}"
    queue = tcb.sndq
    if queue is not None:
        assert queue.end == tcb.write_seq
        assert queue.base == min(max(una, tcb.iss + 1), tcb.write_seq), "what is acknowledged is kept"
        sizes = list(map(len, queue._chunks[queue._first :]))
        assert sum(sizes) >= len(queue), "a send queue that lacks bytes"
    else:
        assert tcb.write_seq <= max(una, tcb.iss + 1), "bytes that nobody has"
    outstanding = una < nxt
    if tcb.sent is not None:
        _check_scoreboard(tcb, tcb.sent)
    else:
        assert not outstanding or tcb.state == SYN_RECEIVED, "bytes are out and nobody knows of them"
    assert tcb.mss >= 1
    if tcb.cc is not None:
        assert tcb.cwnd >= 1
        assert tcb.cwnd >= min(tcb.mss, 48), f"cwnd {tcb.cwnd} at an MSS of {tcb.mss}"
        assert tcb.ssthresh >= 1
    assert tcb.snd_wnd >= 0
    assert 0 <= tcb.snd_wnd <= tcb.max_window or tcb.state == SYN_SENT
    assert tcb.rto <= ns.conf.tcp.rto_max
    _check_receiver(tcb)
    _check_timers(tcb, outstanding, armed)
    assert not tcb.orphan or tcb.state not in OPENING or tcb.state == SYN_RECEIVED
    assert tcb.state != LAST_ACK or tcb.fin_rcvd


def _check_scoreboard(tcb: Tcb, sent: Scoreboard) -> None:
    ranges = sent.ranges
    if tcb.snd_una < tcb.snd_nxt:
        assert ranges, "bytes are out and nobody knows of them"
        assert ranges[0].start == tcb.snd_una
        assert ranges[-1].end == tcb.snd_nxt
    else:
        assert not ranges, "nothing is out"
    assert len(ranges) <= MOST_RANGES
    for one, following in pairwise(ranges):
        assert one.end == following.start, "ranges with a gap"
    sums = Counter[str]()
    for one in ranges:
        length = one.end - one.start
        assert length > 0
        flags = one.flags
        assert not flags & RETRANS or flags & EVER
        assert not (flags & SACKED and flags & LOST), "SACKed and lost"
        sums["sacked"] += length if flags & SACKED else 0
        sums["segments"] += one.segments if flags & SACKED else 0
        sums["lost"] += length if flags & LOST else 0
        sums["retrans"] += length if flags & RETRANS else 0
        sums["waiting"] += length if flags & (LOST | RETRANS) == LOST else 0
        listed = one.newer is not None
        assert listed == (not flags & SACKED and flags & (LOST | RETRANS) != LOST), f"{one} listed: {listed}"
    assert (sent.lost, sent.retrans, sent.waiting) == (sums["lost"], sums["retrans"], sums["waiting"]), "sums"
    if tcb.sack_ok:
        assert (sent.sacked, sent.sacked_segments) == (sums["sacked"], sums["segments"]), "SACKed bytes miscounted"
        highest = max((one.end for one in ranges if one.flags & SACKED), default=-1)
        assert sent.highest_sacked == highest, "the highest SACKed is another"
    else:
        assert not sums["sacked"]
        assert 0 <= sent.sacked, "duplicate ACKs stand for less than nothing"
        assert not ranges or sent.sacked + sent.lost <= tcb.snd_nxt - tcb.snd_una, "more arrived than was sent"
    assert not ranges or pipe(tcb) >= 0, f"{pipe(tcb)} bytes in flight"
    listed = []
    one = sent.head.newer
    while one is not sent.head:
        assert one is not None
        assert one.newer is not None
        assert one.newer.older is one
        listed.append(one)
        one = one.newer
    assert {id(one) for one in listed} == {id(one) for one in ranges if one.newer is not None}
    assert [one.order for one in listed] == sorted(one.order for one in listed), "not in the order of transmission"
    waiting = next((one for one in ranges if one.flags & (LOST | RETRANS) == LOST), None)
    assert waiting is None or sent.hint <= max(waiting.start, sent.hint * (sent.hint < waiting.end)), "a hint too far"


def _check_receiver(tcb: Tcb) -> None:
    if tcb.rcv_nxt < 0:
        assert tcb.state == SYN_SENT
        return
    held = _queued(tcb.rcvq)
    assert tcb.rcv_wnd >= 0
    assert tcb.copied_seq + held + tcb.fin_rcvd == tcb.rcv_nxt or tcb.orphan, (
        f"{tcb.copied_seq} + {held} + {tcb.fin_rcvd} is not {tcb.rcv_nxt}"
    )
    assert tcb.last_ack_sent <= tcb.rcv_nxt
    # A buffer that was made smaller keeps what is in it, and what was offered is taken.
    ooo: OutOfOrder | None = tcb.ooo
    if ooo is None:
        return
    ranges = ooo.ranges
    assert ranges, "nothing out of order, and yet something"
    assert ooo.starts == [one.start for one in ranges]
    assert ranges[0].start > tcb.rcv_nxt, "in order, and yet not"
    assert ranges[-1].end <= max(tcb.rcv_adv, tcb.rcv_nxt) + 1, "kept from beyond the window"
    for one, following in pairwise(ranges):
        assert one.end < following.start, "ranges that overlap or touch"
    for one in ranges:
        assert one.end > one.start
        assert sum(map(len, one.chunks)) == one.end - one.start - (one.end - 1 == ooo.fin)
    assert ooo.size == sum(one.end - one.start - (one.end - 1 == ooo.fin) for one in ranges)
    assert {id(one) for one in ooo.recent} <= {id(one) for one in ranges}


def _check_timers(tcb: Tcb, outstanding: bool, armed: dict[int, Any]) -> None:
    """Whoever waits has a timer: no connection stands still for ever."""
    under_way = tcb.rexmit is not None and id(tcb.rexmit) in armed
    if tcb.rexmit_kind != REXMIT_NONE:
        assert under_way, "a timer that will never be"
        assert tcb.rexmit is not None
        assert tcb.rexmit.deadline <= tcb.rexmit_at
    paced = tcb.pacing is not None and id(tcb.pacing) in armed
    if outstanding:
        assert tcb.rexmit_kind != REXMIT_NONE, f"bytes are out in {tcb.state} and nobody waits for their ACK"
    elif tcb.state not in OPENING:
        waits = tcb.snd_nxt < tcb.write_seq or tcb.snd_nxt == tcb.fin_seq
        assert not waits or tcb.rexmit_kind != REXMIT_NONE or paced, f"data wait in {tcb.state}, and nothing wakes them"
