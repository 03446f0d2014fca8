"""A segment arrives at a connection (RFC 9293 3.10.7.3 and 3.10.7.4, with RFC 5961 and RFC 7323).

The order of checks is Linux's, which is that of RFC 9293 with the timestamp first::

    timestamp (PAWS) ─ sequence ─ RST ─ SYN ─ ACK ─ [state] ─ URG ─ data ─ FIN ─ what is to be sent now
         │                │        │     │     │
         └── an ACK, and it dies ──┘     └─────┴── a challenge ACK, and it dies

Most segments in ESTABLISHED are the next in order, and nothing about them is unusual; those take a short way
(`segment_arrives`) which does what the long one would.

A segment is counted as delivered when its data were taken, else as consumed; a reason to drop it does not mean that
nothing came of it: of old data the acknowledgment counts all the same.

Deviation: RFC 9293 has a segment die that begins before ``rcv_nxt`` and has no data. As in Linux one that reaches to
what was acknowledged last is looked at, so that ACKs which were overtaken by data count.
Deviation: RFC 7323 3.2 would drop segments without the timestamp that was agreed on; as in Linux they are taken, since
boxes in the path strip options.
Deviation: an ACK that tells nothing new and a smaller window does not change the window (RFC 9293 would): it is an old
one that was overtaken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import (
    delack,
    lifecycle,
    output,
    pmtu,
    receive,
    reset,
    synsent,
    timestamps,
    transitions,
    window,
)
from vrouter.stack.l4.tcp.ack import ack_received
from vrouter.stack.l4.tcp.delack import DUE, NOW, ack_due
from vrouter.stack.l4.tcp.info import Counts
from vrouter.stack.l4.tcp.reorder import tell_duplicate
from vrouter.stack.l4.tcp.seq import HALF, MASK, unwrap
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
    Tcb,
)
from vrouter.stack.l4.tcp.urgent import urgent_received
from vrouter.stack.wire import tcp

if TYPE_CHECKING:
    from vrouter.stack.wire.tcp import Segment

_FIN: Final = tcp.FIN
_SYN: Final = tcp.SYN
_RST: Final = tcp.RST
_ACK: Final = tcp.ACK
_URG: Final = tcp.URG
# What the short way wants to see of the flags: an ACK, perhaps PSH, and nothing else.
_UNUSUAL: Final = tcp.FLAGS & ~tcp.PSH

_DELIVERED: Final = int(Stat.AcctDelivered)
_CONSUMED: Final = int(Stat.AcctConsumed)
_IN_ERRS: Final = int(Stat.TcpInErrs)
_PURE_ACKS: Final = int(Stat.TcpPureAcks)
_PREDICTED_ACKS: Final = int(Stat.TcpHPAcks)
_PAWS_DROPS: Final = int(Stat.TcpPAWSEstab)
_SYN_CHALLENGES: Final = int(Stat.TcpSYNChallenge)
_ABORT_ON_DATA: Final = int(Stat.TcpAbortOnData)
_ACK_LOST: Final = int(Stat.TcpDelayedACKLost)
_SKIPPED_PAWS: Final = int(Stat.TcpACKSkippedPAWS)
_SKIPPED_SEQ: Final = int(Stat.TcpACKSkippedSeq)
_SKIPPED_SYN: Final = int(Stat.TcpACKSkippedSynRecv)

_TCP_FLAGS: Final = int(DropReason.TCP_FLAGS)
_INVALID_SYN: Final = int(DropReason.TCP_INVALID_SYN)
_INVALID_SEQUENCE: Final = int(DropReason.TCP_INVALID_SEQUENCE)
_RESET: Final = int(DropReason.TCP_RESET)
_OLD_DATA: Final = int(DropReason.TCP_OLD_DATA)
_OLD_ACK: Final = int(DropReason.TCP_OLD_ACK)
_ACK_UNSENT: Final = int(DropReason.TCP_ACK_UNSENT_DATA)
_PAWS: Final = int(DropReason.TCP_RFC7323_PAWS)
_CLOSE: Final = int(DropReason.TCP_CLOSE)

_FINISHED: Final = frozenset((CLOSE_WAIT, CLOSING, LAST_ACK))  # the peer's FIN has come


def segment_arrives(tcb: Tcb, seg: Segment, now: int) -> int:
    """Process `seg`, whose ports and addresses are those of `tcb`: 0 (counted), or why it dies."""
    size = seg.end - seg.data
    info = tcb.info
    if info is None:
        info = tcb.info = Counts()
    gso_size = seg.pkt.gso_size
    segments = -(-size // gso_size) if gso_size else 1
    info.segs_in += segments
    if size:
        info.data_segs_in += segments
    rcv_nxt = tcb.rcv_nxt
    if tcb.state == ESTABLISHED and seg.flags & _UNUSUAL == _ACK and seg.seq == rcv_nxt & MASK:
        una = tcb.snd_una
        ack = una + ((seg.ack - una + HALF) & MASK) - HALF
        if una <= ack <= tcb.snd_nxt:
            if tcb.ts_ok:
                if not seg.ts or (seg.tsval - tcb.ts_recent) & MASK >= HALF:
                    return _examine(tcb, seg, now)
                if rcv_nxt == tcb.last_ack_sent:
                    tcb.ts_recent = seg.tsval
                    tcb.ts_recent_at = now
            if not size:
                return _pure_ack(tcb, seg, ack, info, now)
            if tcb.ooo is None and size <= tcb.rcv_adv - rcv_nxt and not tcb.tcp.pressure:
                return _next_data(tcb, seg, ack, size, info, now)
    return _examine(tcb, seg, now)


# -- the short way -----------------------------------------------------------------------------------------------------


def _pure_ack(tcb: Tcb, seg: Segment, ack: int, info: Counts, now: int) -> int:
    """The next segment in order is an ACK without data."""
    _update_window(tcb, seg, tcb.rcv_nxt, ack)
    info.last_ack_rcv_at = now
    stats = tcb.ns.stats
    stats[_PREDICTED_ACKS if ack > tcb.snd_una else _PURE_ACKS] += 1
    sacks = seg.sacks
    ack_received(tcb, seg, ack, unwrap_blocks(tcb, sacks) if sacks else sacks, now)
    output.output(tcb, now)
    if tcb.ack_pending and ack_due(tcb, now):
        output.send_ack(tcb, now)
    stats[_CONSUMED] += 1
    return 0


def _next_data(tcb: Tcb, seg: Segment, ack: int, size: int, info: Counts, now: int) -> int:
    """The next segment in order has data, and there is room for them."""
    if tcb.ts_ok:
        window.measure_by_echo(tcb, seg, size, now)
    seq = tcb.rcv_nxt
    receive.enqueue(tcb, seg, seg.data, size, now)
    if ack != tcb.snd_una or seg.sacks:
        _update_window(tcb, seg, seq, ack)
        info.last_ack_rcv_at = now
        ack_received(tcb, seg, ack, unwrap_blocks(tcb, seg.sacks) if seg.sacks else (), now)
        output.output(tcb, now)
    elif _update_window(tcb, seg, seq, ack):
        output.output(tcb, now)
    if tcb.ack_pending and ack_due(tcb, now):
        output.send_ack(tcb, now)
    receive.data_ready(tcb)
    tcb.ns.stats[_DELIVERED] += 1
    return 0


def _update_window(tcb: Tcb, seg: Segment, seq: int, ack: int) -> bool:
    """RFC 9293 3.10.7.4, fifth: a newer segment tells the peer's window (tcp_may_update_window). Whether it changed."""
    size = seg.window << tcb.snd_wscale
    first = tcb.snd_wl1
    if ack > tcb.snd_una or seq > first or (seq == first and (size > tcb.snd_wnd or not size)):
        tcb.snd_wl1 = seq
        tcb.snd_wl2 = ack
        if size != tcb.snd_wnd:
            tcb.snd_wnd = size
            if size > tcb.max_window:
                tcb.max_window = size
                pmtu.sync(tcb)  # a segment may be half of the largest window there was
            return True
    return False


def unwrap_blocks(tcb: Tcb, sacks: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """SACK blocks with unbounded numbers; whether they make sense is for `ack` to see."""
    una = tcb.snd_una
    return tuple([(unwrap(left, una), unwrap(right, una)) for left, right in sacks])


# -- the long way ------------------------------------------------------------------------------------------------------


def _examine(tcb: Tcb, seg: Segment, now: int) -> int:
    """Every check, in order."""
    state = tcb.state
    if state == SYN_SENT:
        return synsent.syn_sent_arrives(tcb, seg, now)
    flags = seg.flags
    if not flags & (_ACK | _RST | _SYN):
        return _TCP_FLAGS
    seq = unwrap(seg.seq, tcb.rcv_nxt)
    end = seq + seg.end - seg.data  # of the data; a SYN is in front of them
    if flags & _SYN:
        if state == SYN_RECEIVED and seq == tcb.irs:
            if not flags & _ACK:
                return _syn_again(tcb, seg, now)
            end += 1
        else:
            return _challenge_syn(tcb, now)
    if seg.ts and tcb.ts_ok and not flags & _RST and timestamps.refuses(tcb, seg, seq, now):
        tcb.ns.stats[_PAWS_DROPS] += 1
        _repeat_ack(tcb, seg, seq, end, _SKIPPED_PAWS, now)
        return _PAWS
    fin = flags & _FIN
    if end + fin < tcb.last_ack_sent or seq > max(tcb.rcv_adv, tcb.rcv_nxt):
        if flags & _RST:
            if _ends_half_closed(tcb, seq):
                return _believe_reset(tcb, now)
            return _RESET
        _repeat_ack(tcb, seg, seq, end, _SKIPPED_SEQ, now)
        return _OLD_DATA if seq < tcb.rcv_nxt else _INVALID_SEQUENCE
    if flags & _RST:
        return _reset_arrives(tcb, seq, now)
    if flags & _SYN:
        # The other half of a simultaneous open: only its acknowledgment is news, the SYN itself came before.
        if end != tcb.rcv_nxt or unwrap(seg.ack, tcb.snd_nxt) != tcb.snd_nxt:
            return _challenge_syn(tcb, now)
        tell_duplicate(tcb, seq, end)
        tcb.ack_pending |= DUE | NOW
        seq = end
    ack = unwrap(seg.ack, tcb.snd_una)
    reason = _acknowledge(tcb, seg, seq, ack, now)
    if reason:
        return reason
    return _process(tcb, seg, seq, end, now)


def _ends_half_closed(tcb: Tcb, seq: int) -> bool:
    """Some send the reset after their FIN with the FIN's own number (tcp_reset_check)."""
    return seq == tcb.rcv_nxt - 1 and tcb.state in _FINISHED


def _reset_arrives(tcb: Tcb, seq: int, now: int) -> int:
    """RFC 5961 3.2: a reset is believed with the very next number, or (as in Linux) with the end of what was told with
    SACK; any other within the window is asked about."""
    if seq == tcb.rcv_nxt or _ends_half_closed(tcb, seq):
        return _believe_reset(tcb, now)
    if tcb.ooo is not None and tcb.sack_ok and seq == max((one.end for one in tcb.ooo.recent), default=-1):
        return _believe_reset(tcb, now)
    lifecycle.challenge_ack(tcb, now)
    return _RESET


def _believe_reset(tcb: Tcb, now: int) -> int:
    lifecycle.reset_received(tcb, now)
    tcb.ns.stats[_CONSUMED] += 1
    return 0


def _challenge_syn(tcb: Tcb, now: int) -> int:
    """RFC 5961 4.2: whatever its number, a SYN is answered with a challenge ACK and does nothing."""
    stats = tcb.ns.stats
    stats[_IN_ERRS] += 1
    stats[_SYN_CHALLENGES] += 1
    lifecycle.challenge_ack(tcb, now)
    return _INVALID_SYN


def _syn_again(tcb: Tcb, seg: Segment, now: int) -> int:
    """The SYN that made this connection came once more: our SYN-ACK was lost, or is on its way."""
    if tcb.tcp.may_answer(tcb, _SKIPPED_SYN, now):
        output.retransmit(tcb, tcb.iss, tcb.iss + 1, now)
    tcb.ns.stats[_CONSUMED] += 1
    return 0


def _repeat_ack(tcb: Tcb, seg: Segment, seq: int, end: int, skipped: int, now: int) -> None:
    """RFC 9293 3.10.7.4, first: what is not acceptable is answered with where we are (tcp_send_dupack); RFC 2883: and
    with what came twice. Segments without data only so often, so that two ends do not do it for ever."""
    if seg.data == seg.end and not tcb.tcp.may_answer(tcb, skipped, now):
        return
    last = end + (seg.flags & _FIN)
    if last > seq and seq < tcb.rcv_nxt:
        tcb.ns.stats[_ACK_LOST] += 1
        delack.enter_quick(tcb)
        tell_duplicate(tcb, seq, min(last, tcb.rcv_nxt))
    output.send_ack(tcb, now)


def _acknowledge(tcb: Tcb, seg: Segment, seq: int, ack: int, now: int) -> int:
    """Fifth: check the ACK field, and let it take effect; 0, or why the segment dies."""
    una = tcb.snd_una
    if tcb.state == SYN_RECEIVED and not una < ack <= tcb.snd_nxt:
        reset.answer(tcb.ns, seg)
        return _ACK_UNSENT if ack > una else _OLD_ACK
    if ack > tcb.snd_nxt:
        lifecycle.challenge_ack(tcb, now)
        return _ACK_UNSENT
    info = tcb.info
    info.last_ack_rcv_at = now
    sacks = unwrap_blocks(tcb, seg.sacks)
    if ack < una:
        if ack < max(una - tcb.max_window, tcb.iss):
            lifecycle.challenge_ack(tcb, now)  # RFC 5961 5.2
            return _OLD_ACK
        if sacks:
            ack_received(tcb, seg, ack, sacks, now)
        return 0
    if seg.ts and tcb.ts_ok:
        timestamps.update(tcb, seg, seq, now)
        if tcb.state != SYN_RECEIVED:
            window.measure_by_echo(tcb, seg, seg.end - seg.data, now)
    if tcb.state == SYN_RECEIVED:
        _handshake_done(tcb, seg, seq, ack, sacks, now)
        return 0
    _update_window(tcb, seg, seq, ack)
    if seg.data == seg.end:
        tcb.ns.stats[_PURE_ACKS] += 1
    ack_received(tcb, seg, ack, sacks, now)
    return 0


def _handshake_done(tcb: Tcb, seg: Segment, seq: int, ack: int, sacks: tuple[tuple[int, int], ...], now: int) -> None:
    """SYN-RECEIVED, and our SYN is acknowledged: ESTABLISHED."""
    tcb.snd_wnd = tcb.max_window = seg.window << tcb.snd_wscale
    tcb.snd_wl1 = seq
    tcb.snd_wl2 = ack
    tcb.last_rcv_at = now
    ack_received(tcb, seg, ack, (), now)
    if tcb.state == SYN_RECEIVED:
        transitions.move(tcb, transitions.ACK_OF_SYN)
        lifecycle.established(tcb, now)
        if sacks:  # of Fast Open's early data, about which the SYN's time says nothing
            ack_received(tcb, seg, ack, sacks, now)


def _process(tcb: Tcb, seg: Segment, seq: int, end: int, now: int) -> int:
    """What an acknowledgment of our FIN changes; then sixth to eighth: URG, data, FIN; then what is to be sent."""
    state = tcb.state
    half_closed = False
    if state != ESTABLISHED and tcb.snd_una > tcb.fin_seq >= 0:
        if state == FIN_WAIT_1:
            state = transitions.move(tcb, transitions.ACK_OF_FIN)
            half_closed = True
        elif state == CLOSING:
            transitions.move(tcb, transitions.ACK_OF_FIN)
            lifecycle.to_time_wait(tcb, now)
        elif state == LAST_ACK:
            lifecycle.done(tcb)
    if tcb.state == CLOSED:
        tcb.ns.stats[_CONSUMED] += 1
        return 0
    reason = 0
    taken = False
    if state in _FINISHED:
        # Only what came before means anything; beyond the peer's FIN there is nothing.
        if end + (seg.flags & _FIN) > seq:
            reason = _INVALID_SEQUENCE
            if seq < tcb.rcv_nxt:
                reason = receive.receive_data(tcb, seg, seq, min(end, tcb.rcv_nxt), now)
    else:
        if seg.flags & _URG:
            urgent_received(tcb, seg, seq)
        if end + (seg.flags & _FIN) > seq:
            if state != ESTABLISHED and end > tcb.rcv_nxt and (tcb.orphan or tcb.sock.shut & 1):
                # RFC 1122 4.2.2.13: nobody will ever read it, and the peer is to know.
                tcb.ns.stats[_ABORT_ON_DATA] += 1
                reset.answer(tcb.ns, seg)
                lifecycle.done(tcb)
                return _CLOSE
            reason = receive.receive_data(tcb, seg, seq, end, now)
            taken = not reason and end > seq
            if tcb.fin_rcvd:
                _fin_received(tcb, now)
    if tcb.state != CLOSED:
        output.output(tcb, now)
        if tcb.ack_pending and ack_due(tcb, now):
            output.send_ack(tcb, now)
        if half_closed and tcb.state == FIN_WAIT_2:
            lifecycle.fin_wait_2(tcb, now)
    if reason:
        return reason
    tcb.ns.stats[_DELIVERED if taken else _CONSUMED] += 1
    return 0


def _fin_received(tcb: Tcb, now: int) -> None:
    """Eighth: the peer's FIN is reached; ``rcv_nxt`` counts it already."""
    before = tcb.state
    if before == FIN_WAIT_1 or before == FIN_WAIT_2:
        output.send_ack(tcb, now)
    receive.finish(tcb)
    if before == FIN_WAIT_2:
        lifecycle.to_time_wait(tcb, now)
