"""TCP_INFO: what there is to know about a connection, in Linux's ``struct tcp_info`` and under its names.

`Counts` are what a connection counts for it, segments as the wire would have them (a superframe is several). They are
made with the first segment, so that a socket that never spoke costs none.

The structure is that of Linux 6.7 and later, 248 bytes; a program gets as many of them as it asks for. Times are µs or
ms there, windows and what is in flight segments: what is kept in bytes is divided by the MSS, rounded up.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.tcb import CLOSED, ECN_OK, ECN_SEEN, INFINITE_SSTHRESH, LISTEN, MS, SECOND

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.tcb import Tcb

# Why sending rests (`Counts.limit`), as Linux's tcp_chrono.
IDLE: Final = 0
BUSY: Final = 1
RWND_LIMITED: Final = 2
SNDBUF_LIMITED: Final = 3


class Counts:
    """What one connection counts. ``limited`` are ns spent busy, by the peer's window and by the send buffer; `limit`
    changes which of them runs."""

    __slots__ = (
        "bytes_acked",
        "bytes_received",
        "bytes_retrans",
        "bytes_sent",
        "data_segs_in",
        "data_segs_out",
        "dsack_dups",
        "last_ack_rcv_at",
        "limited",
        "limited_kind",
        "limited_since",
        "rcv_ooopack",
        "rehash",
        "reord_seen",
        "segs_in",
        "segs_out",
        "syn_data",
        "total_rto",
        "total_rto_recoveries",
        "total_rto_time",
    )

    def __init__(self) -> None:
        self.segs_in = self.segs_out = self.data_segs_in = self.data_segs_out = 0
        self.bytes_sent = self.bytes_retrans = self.bytes_acked = self.bytes_received = 0
        self.dsack_dups = self.reord_seen = self.rcv_ooopack = self.rehash = 0
        self.total_rto = self.total_rto_recoveries = self.total_rto_time = 0  # the time in ns
        self.last_ack_rcv_at = 0
        self.syn_data = False  # what came, or went, with the SYN was taken (RFC 7413)
        self.limited: list[int] | None = None
        self.limited_kind = IDLE
        self.limited_since = 0

    def limit(self, kind: int, now: int) -> None:
        """From `now` on sending is IDLE, BUSY, RWND_LIMITED or SNDBUF_LIMITED."""
        before = self.limited_kind
        if kind == before:
            return
        if before:
            if self.limited is None:
                self.limited = [0, 0, 0, 0]
            self.limited[before] += now - self.limited_since
        self.limited_kind, self.limited_since = kind, now

    def limited_for(self, kind: int, now: int) -> int:
        """For how long sending has been so, in ns; whatever holds it up, it is BUSY as well."""
        times = list(self.limited or (0, 0, 0, 0))
        if self.limited_kind:
            times[self.limited_kind] += now - self.limited_since
        return sum(times[1:]) if kind == BUSY else times[kind]


def counts(tcb: Tcb) -> Counts:
    """The counts of `tcb`, made when it has none yet."""
    found: Counts | None = tcb.info
    if found is None:
        found = tcb.info = Counts()
    return found


_STRUCT: Final = Struct("=8B24I4Q6IQ3Q2I2Q6I2HI")
_NAMES: Final = (
    "tcpi_state", "tcpi_ca_state", "tcpi_retransmits", "tcpi_probes", "tcpi_backoff", "tcpi_options", "tcpi_wscale",
    "tcpi_flags", "tcpi_rto", "tcpi_ato", "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_unacked", "tcpi_sacked", "tcpi_lost",
    "tcpi_retrans", "tcpi_fackets", "tcpi_last_data_sent", "tcpi_last_ack_sent", "tcpi_last_data_recv",
    "tcpi_last_ack_recv", "tcpi_pmtu", "tcpi_rcv_ssthresh", "tcpi_rtt", "tcpi_rttvar", "tcpi_snd_ssthresh",
    "tcpi_snd_cwnd", "tcpi_advmss", "tcpi_reordering", "tcpi_rcv_rtt", "tcpi_rcv_space", "tcpi_total_retrans",
    "tcpi_pacing_rate", "tcpi_max_pacing_rate", "tcpi_bytes_acked", "tcpi_bytes_received", "tcpi_segs_out",
    "tcpi_segs_in", "tcpi_notsent_bytes", "tcpi_min_rtt", "tcpi_data_segs_in", "tcpi_data_segs_out",
    "tcpi_delivery_rate", "tcpi_busy_time", "tcpi_rwnd_limited", "tcpi_sndbuf_limited", "tcpi_delivered",
    "tcpi_delivered_ce", "tcpi_bytes_sent", "tcpi_bytes_retrans", "tcpi_dsack_dups", "tcpi_reord_seen",
    "tcpi_rcv_ooopack", "tcpi_snd_wnd", "tcpi_rcv_wnd", "tcpi_rehash", "tcpi_total_rto",
    "tcpi_total_rto_recoveries", "tcpi_total_rto_time",
)  # fmt: skip

# Bits of ``tcpi_options``.
_TIMESTAMPS: Final = 1
_SACK: Final = 2
_WSCALE: Final = 4
_ECN: Final = 8
_ECN_SEEN: Final = 16
_SYN_DATA: Final = 32

_UNKNOWN32: Final = 0xFFFFFFFF
_UNLIMITED: Final = 0xFFFFFFFFFFFFFFFF
_US: Final = 1_000
_TIMESTAMP_SIZE: Final = 12  # of each segment's options


def segments(size: int, mss: int) -> int:
    """How many segments make so many bytes."""
    return -(-size // mss) if size > 0 else 0


def minimum_rtt(tcb: Tcb) -> int:
    """In µs; Linux's word for none is as large as can be."""
    return _UNKNOWN32 if tcb.min_rtt is None else tcb.min_rtt.value // _US


def delivery_rate(tcb: Tcb) -> int:
    """The last one that was measured, in bytes a second; 0: none."""
    return tcb.rate_delivered * SECOND // tcb.rate_interval if tcb.rate_interval > 0 else 0


def acked_bytes(tcb: Tcb) -> int:
    """How many bytes of data the peer has acknowledged."""
    end = tcb.snd_una if tcb.fin_seq < 0 else min(tcb.snd_una, tcb.fin_seq)
    return max(0, end - tcb.iss - 1) if tcb.iss >= 0 else 0


def received_bytes(tcb: Tcb) -> int:
    """How many bytes of data have come in order."""
    return max(0, tcb.rcv_nxt - tcb.irs - 1 - tcb.fin_rcvd) if tcb.irs >= 0 else 0


def _pacing_rate(tcb: Tcb) -> int:
    return tcb.pacing_rate or (0 if tcb.cc is None else tcb.cc.pacing_rate(tcb)) or _UNLIMITED


def _options(tcb: Tcb) -> int:
    return (
        (_TIMESTAMPS if tcb.ts_ok else 0)
        | (_SACK if tcb.sack_ok else 0)
        | (_WSCALE if tcb.wscale_ok else 0)
        | (_ECN if tcb.ecn & ECN_OK else 0)
        | (_ECN_SEEN if tcb.ecn & ECN_SEEN else 0)
        | (_SYN_DATA if tcb.info is not None and tcb.info.syn_data else 0)
    )


def _ms_since(at: int, now: int) -> int:
    return max(0, now - at) // MS if at > 0 else 0


def _values(sock: TcpSocket, now: int) -> tuple[int, ...]:
    """All fields in their order, as tcp_get_info fills them in; the two that are made of bit fields are one each."""
    tcb = sock.tcb
    if sock.listening:
        found = [0] * len(_NAMES)
        found[0] = LISTEN
        found[_UNACKED], found[_SACKED] = len(sock.queue or ()), sock.backlog
        return tuple(found)
    if tcb is None:
        found = [0] * len(_NAMES)
        found[0] = CLOSED
        return tuple(found)
    mss = tcb.mss or 1
    sent, counted = tcb.sent, tcb.info or Counts()
    ssthresh = tcb.ssthresh if tcb.ssthresh == INFINITE_SSTHRESH else tcb.ssthresh // mss
    data = max(0, tcb.snd_nxt - tcb.iss - 1) if tcb.iss >= 0 else 0
    limited = [counted.limited_for(kind, now) // _US for kind in (BUSY, RWND_LIMITED, SNDBUF_LIMITED)]
    return (
        tcb.state,
        tcb.ca_state,
        min(tcb.retransmits, 255),
        min(tcb.probes, 255),
        min(tcb.backoff, 255),
        _options(tcb),
        tcb.snd_wscale & 15 | (tcb.rcv_wscale & 15) << 4 if tcb.wscale_ok else 0,
        int(tcb.rate_app_limited),
        tcb.rto // _US,
        tcb.ato // _US,
        tcb.mss,
        tcb.rcv_mss,
        segments(tcb.snd_nxt - tcb.snd_una, mss),
        0 if sent is None else segments(sent.sacked, mss),
        0 if sent is None else segments(sent.lost, mss),
        0 if sent is None else segments(sent.retrans, mss),
        0,
        _ms_since(tcb.last_sent_at, now),
        0,
        _ms_since(tcb.last_rcv_at, now),
        _ms_since(counted.last_ack_rcv_at, now),
        tcb.pmtu,
        tcb.rcv_ssthresh,
        tcb.srtt // _US,
        tcb.mdev // _US,
        ssthresh,
        max(1, tcb.cwnd // mss) if tcb.cwnd else 0,
        tcb.adv_mss - (_TIMESTAMP_SIZE if tcb.ts_ok else 0),
        tcb.reordering,
        tcb.rcv_rtt // _US,
        tcb.space,
        tcb.total_retrans,
        _pacing_rate(tcb),
        tcb.pacing_max or _UNLIMITED,
        acked_bytes(tcb),
        received_bytes(tcb),
        counted.segs_out,
        counted.segs_in,
        max(0, tcb.write_seq - tcb.snd_nxt),
        minimum_rtt(tcb),
        counted.data_segs_in,
        counted.data_segs_out,
        delivery_rate(tcb),
        *limited,
        segments(tcb.delivered, mss),
        segments(tcb.delivered_ce, mss),
        data + counted.bytes_retrans,
        counted.bytes_retrans,
        counted.dsack_dups,
        counted.reord_seen,
        counted.rcv_ooopack,
        tcb.snd_wnd,
        tcb.rcv_wnd,
        counted.rehash,
        min(counted.total_rto, 65535),
        min(counted.total_rto_recoveries, 65535),
        counted.total_rto_time // MS,
    )


def pack(sock: TcpSocket, now: int) -> bytes:
    """``struct tcp_info``; whoever asks for less gets its beginning."""
    values = _values(sock, now)
    return _STRUCT.pack(*(value & limit for value, limit in zip(values, _LIMITS, strict=True)))


def of_socket(sock: TcpSocket, now: int) -> dict[str, int]:
    """The same under the names that Linux gives them."""
    found = dict(zip(_NAMES, _values(sock, now), strict=True))
    wscale, flags = found.pop("tcpi_wscale"), found.pop("tcpi_flags")
    found["tcpi_snd_wscale"], found["tcpi_rcv_wscale"] = wscale & 15, wscale >> 4
    found["tcpi_delivery_rate_app_limited"], found["tcpi_fastopen_client_fail"] = flags & 1, flags >> 1
    return found


def mapping(tcb: Tcb, now: int | None = None) -> dict[str, int]:
    """The same of a connection, at the stack's time unless `now` is given."""
    return of_socket(tcb.sock, tcb.ns.stack.now if now is None else now)


_LIMITS: Final = (
    *(0xFF,) * 8, *(_UNKNOWN32,) * 24, *(_UNLIMITED,) * 4, *(_UNKNOWN32,) * 6, *(_UNLIMITED,) * 4,
    *(_UNKNOWN32,) * 2, *(_UNLIMITED,) * 2, *(_UNKNOWN32,) * 6, 0xFFFF, 0xFFFF, _UNKNOWN32,
)  # fmt: skip
_UNACKED: Final = _NAMES.index("tcpi_unacked")
_SACKED: Final = _NAMES.index("tcpi_sacked")
