"""From numbers to a packet: a segment, or a superframe that stands for many of them, in the namespace's outbox.

`emit` writes header, options and data with one copy of the data. A range longer than ``tcb.mss`` becomes a superframe:
``gso_size`` says where it is to be cut when it has to be, the checksum holds the sum of the pseudo-header and is
finished, or passed on, where the packet leaves (`egress`). The fields of the header come from the connection: the ACK
and the window as they are now, the timestamp, SACK blocks when there is something to report (RFC 2018 4), ECE while the
peer has not heard of a mark, CWR and ECT(0) on new data (RFC 3168 6.1: never on what is sent again, nor on a bare ACK),
URG while an urgent mark is ahead (RFC 9293 3.8.5, RFC 6093).

Expects: ``start`` to ``end`` within the send queue. Next: the pipeline empties the outbox.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from vrouter.stack.base.addresses import MAX6, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.packet import CONFIRM, HEADROOM, LOCAL_OUT, PAD, Packet
from vrouter.stack.l4.constants import AUTOFLOWLABEL, IP_PMTUDISC_DONT
from vrouter.stack.l4.tcp.delack import ack_sent
from vrouter.stack.l4.tcp.info import Counts
from vrouter.stack.l4.tcp.pmtu import MAX_PACKET, route_of
from vrouter.stack.l4.tcp.reorder import sack_blocks
from vrouter.stack.l4.tcp.seq import MASK
from vrouter.stack.l4.tcp.tcb import ECN_DEMAND_CWR, ECN_OK, ECN_QUEUE_CWR, MS, Tcb
from vrouter.stack.l4.tcp.window import select_window
from vrouter.stack.wire.tcp import ACK, CHECKSUM_OFFSET, CWR, ECE, FIELDS, PROTO, PSH, RST, SYN, URG, options
from vrouter.stack.wire.vnet import GSO_ECN, GSO_TCPV4, GSO_TCPV6

_TIMESTAMPED: Final = Struct("!HHIIHHHHIII")  # with NOP NOP TS as the one option
_NOP_NOP_TIMESTAMP: Final = 0x0101080A
_pack = FIELDS.pack
_pack_timestamped = _TIMESTAMPED.pack
_EMPTY: Final = b""
_join = bytearray().join

SUPERFRAME: Final = {4: MAX_PACKET - 20 - 60, 6: MAX_PACKET - 40 - 60}  # data that always fits, whatever the options
MAX_SEGMENTS: Final = 1024  # a device of ours at the other end takes no more in one (l2.vnet)
_GSO_TYPE: Final = {4: GSO_TCPV4, 6: GSO_TCPV6}
_ECT0: Final = 2
_ECN_BITS: Final = 3
_OUT_SEGS: Final = int(Stat.TcpOutSegs)
_OUT_RSTS: Final = int(Stat.TcpOutRsts)


def superframe(family: int, mss: int) -> int:
    """The most that one superframe carries, in bytes: whole segments, and no more of them than others take in one."""
    return min(SUPERFRAME[family] // mss, MAX_SEGMENTS) * mss or mss


def segment_size(tcb: Tcb) -> int:
    """The data of a segment that leaves now: less than ``mss`` while there are SACK blocks to report."""
    if not tcb.sack_ok or (tcb.ooo is None and tcb.dsack is None):
        return tcb.mss
    blocks = len(sack_blocks(tcb, 3 if tcb.ts_ok else 4))
    return tcb.mss - (4 + 8 * blocks if blocks else 0)


def emit(tcb: Tcb, start: int, end: int, flags: int, now: int, again: bool = False, whole: bool = False) -> int:
    """Send the data numbered `start` to `end` (excluded) with `flags`, ACK among them; `again`: it was sent before;
    `whole`: as one segment, however long.

    How many segments that is on the wire; 0 when there is no route, and then nothing is sent. A FIN is a flag, and its
    number no part of the range; of a SYN see `emit_syn`.
    """
    route = route_of(tcb, now)
    if route is None:
        return 0
    size = end - start
    area = _EMPTY
    if tcb.sack_ok and (tcb.ooo is not None or tcb.dsack is not None):
        blocks = sack_blocks(tcb, 3 if tcb.ts_ok else 4)
        if blocks:
            stamp = ((now // MS + tcb.ts_offset) & MASK, tcb.ts_recent) if tcb.ts_ok else None
            area = options(stamp, blocks)
    family = tcb.family
    mss = tcb.mss
    if area:
        mss -= len(area) - (12 if tcb.ts_ok else 0)
    if size > mss and not whole:
        gso_size = mss
        gso_type = _GSO_TYPE[family]
        segments = -(-size // mss)
        flags |= PSH  # as Linux: so who puts segments together hands them on at once
    else:
        segments = 1
        gso_size = gso_type = 0
    sock = tcb.sock
    settings = sock.settings4 if family == V4 else sock.settings
    tos = settings.tos & ~_ECN_BITS
    ecn = tcb.ecn
    if ecn & ECN_OK:
        if size and not again:
            tos |= _ECT0
            if ecn & ECN_QUEUE_CWR:
                tcb.ecn = ecn & ~ECN_QUEUE_CWR
                flags |= CWR
                if gso_type:
                    gso_type |= GSO_ECN
        if ecn & ECN_DEMAND_CWR:
            flags |= ECE
    urgent = 0
    if tcb.snd_up > start:
        flags, urgent = _urgent(tcb, start, flags)
    window = select_window(tcb, now)
    pseudo = tcb.pseudo
    if pseudo < 0:
        pseudo = tcb.pseudo = (tcb.local & MAX6) + (tcb.peer & MAX6) + PROTO
    if tcb.ts_ok and not area:
        header = _pack_timestamped(
            tcb.port,
            tcb.peer_port,
            start & MASK,
            tcb.rcv_nxt & MASK,
            0x8000 | flags,
            window,
            (pseudo + size + 32) % 65535 or 65535,
            urgent,
            _NOP_NOP_TIMESTAMP,
            (now // MS + tcb.ts_offset) & MASK,
            tcb.ts_recent,
        )
    else:
        length = 20 + len(area)
        header = _pack(
            tcb.port,
            tcb.peer_port,
            start & MASK,
            tcb.rcv_nxt & MASK,
            length << 10 | flags,
            window,
            (pseudo + size + length) % 65535 or 65535,
            urgent,
        )
        if area:
            header += area
    if size:
        queue = tcb.sndq
        assert queue is not None
        buf = _join((PAD, header, *queue.views(start, end)))
    else:
        buf = bytearray(PAD)
        buf += header
    pkt = Packet(buf, HEADROOM, len(buf))
    pkt.gso_size, pkt.gso_type = gso_size, gso_type
    _hand_over(tcb, pkt, route, tos)
    ack_sent(tcb)
    tcb.ns.stats[_OUT_SEGS] += segments
    counts = tcb.info
    if counts is None:
        counts = tcb.info = Counts()
    counts.segs_out += segments
    if size:
        counts.data_segs_out += segments
        counts.bytes_sent += size
        if again:
            counts.bytes_retrans += size
    return segments


def emit_syn(tcb: Tcb, flags: int, window: int, area: bytes, data_end: int, now: int) -> bool:
    """Send a SYN with the options `area`, an ACK if `flags` say so, and the data up to `data_end` (RFC 7413; the number
    behind the SYN: none). False when there is no route."""
    route = route_of(tcb, now)
    if route is None:
        return False
    start = tcb.iss + 1
    length = 20 + len(area)
    pseudo = (tcb.local & MAX6) + (tcb.peer & MAX6) + PROTO
    ack = tcb.rcv_nxt & MASK if flags & ACK else 0
    header = _pack(
        tcb.port,
        tcb.peer_port,
        tcb.iss & MASK,
        ack,
        length << 10 | flags | SYN,
        window,
        (pseudo + length + data_end - start) % 65535 or 65535,
        0,
    )
    pieces: list[Any] = [PAD, header, area]
    if data_end > start:
        assert tcb.sndq is not None
        pieces += tcb.sndq.views(start, data_end)
    buf = _join(pieces)
    sock = tcb.sock
    settings = sock.settings4 if tcb.family == V4 else sock.settings
    _hand_over(tcb, Packet(buf, HEADROOM, len(buf)), route, settings.tos & ~_ECN_BITS)
    tcb.ns.stats[_OUT_SEGS] += 1
    counts = tcb.info
    if counts is None:
        counts = tcb.info = Counts()
    counts.segs_out += 1
    if data_end > start:
        counts.data_segs_out += 1
        counts.bytes_sent += data_end - start
    if flags & ACK:
        ack_sent(tcb)
    return True


def emit_reset(tcb: Tcb, start: int, now: int) -> None:
    """Tell the peer that the connection is no more, with `start` as the number (RFC 9293 3.10.5, 3.5.2)."""
    tcb.ns.stats[_OUT_RSTS] += 1
    emit(tcb, start, start, RST | ACK, now)


def _hand_over(tcb: Tcb, pkt: Packet, route: Any, tos: int) -> None:
    family = tcb.family
    sock = tcb.sock
    settings = sock.settings4 if family == V4 else sock.settings
    pkt.src, pkt.dst, pkt.family, pkt.proto = tcb.local, tcb.peer, family, PROTO
    pkt.flags = LOCAL_OUT
    if tcb.vouches:
        tcb.vouches = False
        pkt.flags = LOCAL_OUT | CONFIRM  # RFC 4861 7.3.1: what was sent by this way has arrived
    pkt.mark = sock.mark
    pkt.sock = sock
    pkt.csum_start, pkt.csum_offset = HEADROOM, CHECKSUM_OFFSET
    label = -1 if family != V4 and settings.options & AUTOFLOWLABEL else 0
    tcb.tcp.outbox.append((pkt, route, settings.ttl, tos, settings.mtu_discover != IP_PMTUDISC_DONT, label))


def _urgent(tcb: Tcb, start: int, flags: int) -> tuple[int, int]:
    """(flags, urgent pointer) of a segment before the urgent mark, which may be too far away to point to."""
    if tcb.snd_up <= tcb.snd_una:
        return flags, 0
    ahead = tcb.snd_up - start
    if ahead <= 0xFFFF:
        return flags | URG, ahead
    if start + 0xFFFF > tcb.snd_nxt:
        return flags | URG, 0xFFFF
    return flags, 0
