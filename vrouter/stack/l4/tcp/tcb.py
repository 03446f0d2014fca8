"""One connection's state, the transmission control block of RFC 9293 3.3.1: plain data, and nothing that happens.

Sequence numbers are unbounded ints: a number on the wire is the low 32 bits (`seq`). The first ones are
``iss`` and ``irs``; those that are not known yet are -1. Windows, buffers and ``cwnd`` are bytes; times are ns.

::

            snd_una                    snd_nxt                write_seq
      acknowledged |  sent, not acknowledged  |  queued, not sent  |   (a FIN has the number fin_seq == write_seq)
                   |<---------- snd_wnd ------------->|

            copied_seq             rcv_nxt                    rcv_adv
      read by the program |  queued   |  may come (rcv_wnd)    |      ``ooo``: what came beyond rcv_nxt

Which file writes what: ``snd_*``, ``write_seq`` output; ``rcv_*``, ``ooo`` receive; ``sent``, ``ca_*``, ``prr``, RTT
and RACK fields ack and recovery; ``cwnd``, ``ssthresh``, ``cc_state`` congestion control and recovery; ``state``
segment and lifecycle.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.base.timers import Timer
    from vrouter.stack.l4.tcp.cc.base import Congestion
    from vrouter.stack.l4.tcp.cc.validation import PipeAck
    from vrouter.stack.l4.tcp.receive import ReceiveQueue
    from vrouter.stack.l4.tcp.scoreboard import Scoreboard
    from vrouter.stack.l4.tcp.send_queue import SendQueue
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.state import TcpState
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.netns import Netns

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000


class State(IntEnum):
    """RFC 9293 3.3.2; the numbers are Linux's (``tcpi_state``)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


# Members of an IntEnum are slow to come by: the path compares with plain numbers.
ESTABLISHED: Final = 1
SYN_SENT: Final = 2
SYN_RECEIVED: Final = 3
FIN_WAIT_1: Final = 4
FIN_WAIT_2: Final = 5
TIME_WAIT: Final = 6
CLOSED: Final = 7
CLOSE_WAIT: Final = 8
LAST_ACK: Final = 9
LISTEN: Final = 10
CLOSING: Final = 11

# What the one retransmission timer stands for (`Tcb.rexmit_kind`).
REXMIT_NONE: Final = 0
REXMIT_RTO: Final = 1  # RFC 6298
REXMIT_TLP: Final = 2  # RFC 8985 7
REXMIT_REO: Final = 3  # RFC 8985 6.2 step 5
REXMIT_PROBE: Final = 4  # of a zero window, RFC 9293 3.8.6.1

# Congestion states, with Linux's numbers (``tcpi_ca_state``).
CA_OPEN: Final = 0
CA_DISORDER: Final = 1
CA_CWR: Final = 2
CA_RECOVERY: Final = 3
CA_LOSS: Final = 4

# Bits of `Tcb.ecn`.
ECN_OK: Final = 1  # negotiated
ECN_QUEUE_CWR: Final = 2  # the next data segment says CWR
ECN_DEMAND_CWR: Final = 4  # CE was seen: ECE on every ACK until CWR comes
ECN_SEEN: Final = 8  # the peer does mark its packets

INFINITE_SSTHRESH: Final = 0x7FFFFFFF
INITIAL_RTO: Final = SECOND  # RFC 6298 2.1
TIME_WAIT_LENGTH: Final = 60 * SECOND  # 2 MSL, as in Linux
FIRST_MSS: Final = {4: 536, 6: 1220}  # of a peer that does not say (RFC 9293 3.7.1)


class Tcb:
    """A connection of ``ns``: local and peer are ints of ``family`` (4 or 6, what is on the wire)."""

    __slots__ = (
        "accepted",
        "ack_pending",
        "adv_mss",
        "app_limited",
        "ato",
        "backoff",
        "ca_state",
        "cc",
        "cc_state",
        "challenge_at",
        "copied_seq",
        "cwnd",
        "cwnd_limited",
        "cwnd_usage_seq",
        "cwnd_used",
        "delack",
        "delivered",
        "delivered_at",
        "delivered_ce",
        "dsack",
        "dupacks",
        "ecn",
        "family",
        "fastopen",
        "fin_rcvd",
        "fin_seq",
        "first_sent_at",
        "frto",
        "high_seq",
        "hold",
        "info",
        "irs",
        "iss",
        "keepalive",
        "last_ack_sent",
        "last_rcv_at",
        "last_seg_size",
        "last_sent_at",
        "local",
        "lost",
        "max_window",
        "mdev",
        "mdev_max",
        "min_rtt",
        "mss",
        "mtu_probe",
        "nonagle",
        "notsent_lowat",
        "ns",
        "ooo",
        "orphan",
        "pacing",
        "pacing_at",
        "pacing_max",
        "pacing_rate",
        "peer",
        "peer_mss",
        "peer_port",
        "pingpong",
        "pipe_ack",
        "pmtu",
        "port",
        "prior_cwnd",
        "prior_ssthresh",
        "probe_at",
        "probes",
        "prr",
        "pseudo",
        "pushed_seq",
        "quickacks",
        "rack",
        "rate_app_limited",
        "rate_delivered",
        "rate_interval",
        "rcv_adv",
        "rcv_mss",
        "rcv_nxt",
        "rcv_rtt",
        "rcv_rtt_at",
        "rcv_rtt_seq",
        "rcv_ssthresh",
        "rcv_tsecr",
        "rcv_up",
        "rcv_wnd",
        "rcv_wscale",
        "rcvq",
        "reordering",
        "retrans_at",
        "retransmits",
        "rexmit",
        "rexmit_at",
        "rexmit_kind",
        "route",
        "route_at",
        "route_until",
        "rto",
        "rtt_seq",
        "rttvar",
        "sack_ok",
        "sent",
        "snd_nxt",
        "snd_sml",
        "snd_una",
        "snd_up",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "snd_wscale",
        "sndq",
        "sock",
        "soft_error",
        "space",
        "space_at",
        "space_seq",
        "srtt",
        "ssthresh",
        "state",
        "table",
        "tcp",
        "tlp",
        "total_retrans",
        "ts_offset",
        "ts_ok",
        "ts_recent",
        "ts_recent_at",
        "undo_marker",
        "undo_retrans",
        "user_timeout",
        "vouches",
        "wants_room",
        "window_clamp",
        "write_seq",
        "wscale_ok",
    )

    def __init__(self, sock: TcpSocket, table: TcpTable, tcp: TcpState) -> None:
        self.ns: Netns = table.ns
        self.tcp = tcp
        self.table = table
        self.sock = sock
        self.family = table.family
        self.local = self.port = self.peer = self.peer_port = 0
        self.state = CLOSED
        self.accepted = True  # False while it waits in its listener's queue
        self.orphan = False  # the program has closed its socket
        self.hold: Any = None  # what it holds its port by (`table`)
        self.route: Any = None  # that the last segment took, valid at `route_at` (`pmtu`) and until `route_until` (ns)
        self.route_at = self.route_until = 0
        self.pseudo = -1  # the constant part of the checksum's pseudo-header, once it is known
        self.soft_error = 0  # errno of the last trouble that need not be the end (RFC 9293 3.9.2.2)

        self.iss = self.snd_una = self.snd_nxt = self.write_seq = -1
        self.fin_seq = -1  # the FIN's number, once there is to be one
        self.snd_wnd = self.max_window = 0
        self.snd_wl1 = self.snd_wl2 = -1
        self.snd_wscale = self.rcv_wscale = 0
        self.snd_up = self.rcv_up = -1  # behind the last urgent byte
        self.snd_sml = -1  # end of the last small segment that was sent (Minshall)
        self.sndq: SendQueue | None = None
        self.mss = self.peer_mss = FIRST_MSS[self.family]  # `mss`: data of a segment with the usual options
        self.adv_mss = 0
        self.pmtu = 0
        self.mtu_probe: Any = None  # state of RFC 8899, when there is any
        self.nonagle = 0  # bits: 1 TCP_NODELAY, 2 TCP_CORK, 4 push once
        self.pushed_seq = -1  # end of the last segment that said PSH
        self.notsent_lowat = 0  # 0: the namespace's
        self.wants_room = False  # the program could not queue all that it wanted (Linux's SOCK_NOSPACE)

        self.irs = self.rcv_nxt = self.rcv_adv = self.copied_seq = -1
        self.rcv_wnd = 0
        self.fin_rcvd = False
        self.rcvq: ReceiveQueue | None = None
        self.ooo: Any = None  # what came beyond rcv_nxt, when anything did
        self.dsack: tuple[int, int] | None = None  # the duplicate to tell with the next ACK (RFC 2883)
        self.ack_pending = 0  # bits: 1 an ACK is due, 2 at once
        self.quickacks = 0
        self.pingpong = 0
        self.ato = 0
        self.last_rcv_at = 0
        self.rcv_mss = self.last_seg_size = 0  # what full segments of the peer carry, and what the last small one did
        self.rcv_ssthresh = self.window_clamp = 0
        self.space_at = self.space = 0
        self.space_seq = -1
        self.rcv_rtt = self.rcv_rtt_at = 0
        self.rcv_rtt_seq = self.rcv_tsecr = -1

        self.ts_ok = self.sack_ok = self.wscale_ok = False
        self.ecn = 0
        self.ts_recent = self.ts_recent_at = self.ts_offset = 0
        self.last_ack_sent = -1
        self.challenge_at = -(1 << 62)
        self.fastopen: Any = None

        self.sent: Scoreboard | None = None
        self.srtt = self.rttvar = self.mdev = self.mdev_max = 0  # `rtt`; srtt 0: not measured yet
        self.rtt_seq = -1
        self.min_rtt: Any = None  # windowed minimum
        self.rto = INITIAL_RTO
        self.backoff = 0
        self.retransmits = 0  # of what stands at snd_una, without any progress
        self.retrans_at = 0  # when that began
        self.ca_state = CA_OPEN
        self.high_seq = -1
        self.prior_cwnd = self.prior_ssthresh = 0
        self.undo_marker = -1
        self.undo_retrans = -1
        self.prr: Any = None
        self.rack: Any = None
        self.tlp: Any = None
        self.frto = 0  # 1: RFC 5682 watches over a timeout, 2: new data goes first
        self.reordering = 3
        self.dupacks = 0
        self.total_retrans = 0

        self.cc: Congestion | None = None
        self.cc_state: Any = None
        self.cwnd = 0
        self.ssthresh = INFINITE_SSTHRESH
        self.cwnd_limited = False  # the window held the sender back in this flight, which ends at `cwnd_usage_seq`
        self.cwnd_usage_seq = -1
        self.cwnd_used = 0  # the most that was outstanding in it
        self.pipe_ack: PipeAck | None = None
        self.last_sent_at = -1
        self.pacing_rate = 0  # bytes a second; 0: not paced
        self.pacing_max = 0  # SO_MAX_PACING_RATE, 0: none
        self.pacing_at = 0  # when the next segment may leave

        self.delivered = self.delivered_ce = self.lost = 0
        self.delivered_at = self.first_sent_at = 0
        self.app_limited = 0
        self.rate_delivered = self.rate_interval = 0
        self.rate_app_limited = False

        self.rexmit: Timer | None = None
        self.rexmit_kind = REXMIT_NONE
        self.rexmit_at = 0  # when; the timer itself may come up earlier, for nothing
        self.delack: Timer | None = None
        self.keepalive: Timer | None = None  # in FIN-WAIT-2: its end
        self.pacing: Timer | None = None
        self.probes = 0  # unanswered, of a zero window or of keep-alive
        self.probe_at = -1  # when the first probe of a zero window left
        self.user_timeout = 0  # ns, 0: none (RFC 5482)
        self.vouches = False  # what arrived shows that the next hop does; the next packet says so
        self.info: Any = None  # `info.Counts`, made with the first segment
