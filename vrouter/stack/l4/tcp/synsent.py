"""A segment arrives in SYN-SENT (RFC 9293 3.10.7.3): the answer to our SYN, or the peer's own.

::

    SYN, ACK ─► ESTABLISHED, with what the options agreed on; its data, and our ACK
    SYN      ─► SYN-RECEIVED: both ends opened at once, and we answer with a SYN-ACK of ours
    ACK of something else ─► RST, and the SYN goes again soon: the peer has a connection of old (RFC 9293 3.5.1)

Deviation: the data of a SYN without an ACK are not kept for later (RFC 9293 would); the peer sends them again, as it
has to for Linux.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.tcp import delack, fastopen, lifecycle, output, pmtu, receive, reset, transitions, window
from vrouter.stack.l4.tcp.ack import ack_received
from vrouter.stack.l4.tcp.delack import DUE, MAX_DELAY, PINGPONG
from vrouter.stack.l4.tcp.seq import FIRST, HALF, MASK, unwrap
from vrouter.stack.l4.tcp.syn import answer_syn
from vrouter.stack.l4.tcp.tcb import ECN_OK, FIRST_MSS, MS, REXMIT_RTO, SYN_SENT, Tcb
from vrouter.stack.l4.tcp.timers import arm_rexmit
from vrouter.stack.l4.tcp.timestamps import clock, is_old, take
from vrouter.stack.l4.tcp.urgent import urgent_received
from vrouter.stack.wire import tcp

if TYPE_CHECKING:
    from vrouter.stack.wire.tcp import Segment

_SYN: Final = tcp.SYN
_RST: Final = tcp.RST
_ACK: Final = tcp.ACK
_FIN: Final = tcp.FIN
_URG: Final = tcp.URG
_ECN_BITS: Final = tcp.ECE | tcp.CWR
_AGAIN: Final = 2 * MS  # until the SYN is repeated, after the peer was told to forget a connection of old

_CONSUMED: Final = int(Stat.AcctConsumed)
_DELIVERED: Final = int(Stat.AcctDelivered)
_PAWS_ACTIVE: Final = int(Stat.TcpPAWSActive)
_TCP_FLAGS: Final = int(DropReason.TCP_FLAGS)
_RESET: Final = int(DropReason.TCP_RESET)
_OLD_ACK: Final = int(DropReason.TCP_OLD_ACK)
_ACK_UNSENT: Final = int(DropReason.TCP_ACK_UNSENT_DATA)
_PAWS: Final = int(DropReason.TCP_RFC7323_PAWS)


def syn_sent_arrives(tcb: Tcb, seg: Segment, now: int) -> int:
    """Process `seg` in SYN-SENT: 0 (counted), or why it dies."""
    flags = seg.flags
    ack = -1
    if flags & _ACK:
        ack = unwrap(seg.ack, tcb.snd_una)
        if not tcb.iss < ack <= tcb.snd_nxt:
            if flags & _RST:
                return _RESET
            if not tcb.retransmits:
                arm_rexmit(tcb, REXMIT_RTO, now + _AGAIN)
            reset.answer(tcb.ns, seg)
            return _ACK_UNSENT if ack > tcb.snd_nxt else _OLD_ACK
        if seg.ts and seg.tsecr and tcb.ns.conf.tcp.timestamps and not _is_ours(tcb, seg.tsecr, now):
            tcb.ns.stats[_PAWS_ACTIVE] += 1
            reset.answer(tcb.ns, seg)
            return _PAWS
    if flags & _RST:
        if ack < 0:
            return _RESET
        lifecycle.reset_received(tcb, now)
        tcb.ns.stats[_CONSUMED] += 1
        return 0
    if not flags & _SYN:
        return _TCP_FLAGS
    if ack < 0:
        if seg.ts and tcb.ts_recent and is_old(tcb, seg.tsval, now):
            return _PAWS
        _both_open(tcb, seg, now)
        return 0
    return _opened(tcb, seg, ack, now)


def _is_ours(tcb: Tcb, tsecr: int, now: int) -> bool:
    """Whether a SYN of this connection carried that timestamp; ``retrans_at`` is when the first one left."""
    since = now // MS - tcb.retrans_at // MS
    return (clock(tcb, now) - tsecr) & MASK <= since < HALF


def _agree(tcb: Tcb, seg: Segment, now: int) -> None:
    """What the peer's SYN says: its numbers and window, and its options, as far as ours had them (as in Linux, by the
    settings)."""
    conf = tcb.ns.conf.tcp
    tcb.irs = FIRST + seg.seq
    tcb.rcv_nxt = tcb.copied_seq = tcb.last_ack_sent = tcb.irs + 1
    tcb.peer_mss = seg.mss or FIRST_MSS[tcb.family]
    if 0 < tcb.sock.maxseg < tcb.peer_mss:
        tcb.peer_mss = tcb.sock.maxseg
    tcb.sack_ok = seg.sack_permitted and conf.sack
    tcb.wscale_ok = seg.wscale >= 0 and conf.window_scaling
    tcb.snd_wscale = seg.wscale if tcb.wscale_ok else 0
    if not tcb.wscale_ok:
        tcb.rcv_wscale = 0
        tcb.window_clamp = min(tcb.window_clamp, window.MAX_WINDOW)
    tcb.ts_ok = seg.ts and conf.timestamps != 0
    if tcb.ts_ok:
        take(tcb, seg, now)
    tcb.rcv_adv = tcb.rcv_nxt + tcb.rcv_wnd
    tcb.snd_wnd = tcb.max_window = seg.window  # RFC 7323 2.2: never scaled in a SYN
    tcb.snd_wl1 = tcb.irs
    pmtu.sync(tcb)
    window.guess_rcv_mss(tcb)


def _both_open(tcb: Tcb, seg: Segment, now: int) -> None:
    """RFC 9293 3.5, figure 8: the SYNs crossed."""
    _agree(tcb, seg, now)
    if seg.flags & _ECN_BITS != _ECN_BITS:
        tcb.ecn &= ~ECN_OK
    tcb.snd_wl2 = tcb.snd_una
    tcb.fastopen = None
    transitions.move(tcb, transitions.SYN)
    answer_syn(tcb, now)
    tcb.ns.stats[_CONSUMED] += 1


def _opened(tcb: Tcb, seg: Segment, ack: int, now: int) -> int:
    """Our SYN is acknowledged, and the peer's is here."""
    flags = seg.flags
    if flags & _ECN_BITS != tcp.ECE:  # RFC 3168 6.1.1: ECE alone says yes
        tcb.ecn &= ~ECN_OK
    sent = tcb.snd_nxt - tcb.iss - 1
    _agree(tcb, seg, now)
    tcb.snd_wl2 = ack
    tcb.last_rcv_at = now
    ack_received(tcb, seg, ack, (), now)
    if tcb.state != SYN_SENT:
        return 0
    fast, tcb.fastopen = tcb.fastopen, None
    transitions.move(tcb, transitions.SYN_ACK)
    lifecycle.established(tcb, now)
    if fast is not None:
        fastopen.synack_received(tcb, seg, fast.asked, sent, ack - tcb.iss - 1, now)
    start = tcb.rcv_nxt
    end = start + seg.end - seg.data
    taken = False
    if flags & _URG:
        urgent_received(tcb, seg, start)
    if end > start or flags & _FIN:
        # RFC 9293: what comes with the SYN counts like anything else.
        taken = not receive.receive_data(tcb, seg, start, end, now) and end > start
        if tcb.fin_rcvd:
            receive.finish(tcb)
    tcb.ack_pending |= DUE
    if tcb.snd_nxt < tcb.write_seq or tcb.snd_una < tcb.snd_nxt:
        output.output(tcb, now)  # the ACK goes with the data that wait
    if tcb.ack_pending:
        sock = tcb.sock
        if not taken and (sock.defer_accept or sock.write_waits or tcb.pingpong >= PINGPONG):
            delack.enter_quick(tcb)
            delack.put_off(tcb, MAX_DELAY, now)  # it goes with the request; TCP_DEFER_ACCEPT of a client says so
        else:
            output.send_ack(tcb, now)
    tcb.ns.stats[_DELIVERED if taken else _CONSUMED] += 1
    return 0
