"""What is remembered of peers after their connections: RTT, reordering, Fast Open cookies (RFC 9040 temporal sharing).

Bounded: the peer that was not looked at for longest is forgotten first. Addresses are ints of their family, with the
family beside them; nothing here is believed, it only lets a connection begin nearer to what is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb

MAX_PEERS: Final = 1024
FALLBACK_RTO: Final = 3_000_000_000  # ns, when the handshake gave no RTT (RFC 6298 5.7)

Key: TypeAlias = "tuple[int, int]"  # family, address


class PeerMetrics:
    """One peer. ``rtt`` is in ns, ``reordering`` in segments, 0: not known.

    Of Fast Open: ``cookie``, with the MSS that the peer told beside it; ``loss`` counts SYNs with data in a row that
    were lost, the last at ``loss_at`` (ns); ``experiment`` is 1 when the option has its experimental number (RFC 7413
    4.1.1), 2 when that was tried in vain.
    """

    __slots__ = ("cookie", "cookie_mss", "experiment", "loss", "loss_at", "reordering", "rtt")

    def __init__(self) -> None:
        self.rtt = self.reordering = 0
        self.cookie = b""
        self.cookie_mss = 0
        self.experiment = 0
        self.loss = self.loss_at = 0


class Metrics:
    """The peers of a namespace."""

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[Key, PeerMetrics] = {}  # the one looked at last is last

    def __len__(self) -> int:
        return len(self._peers)

    def find(self, family: int, peer: int) -> PeerMetrics | None:
        """What is known of `peer`."""
        key = family, peer
        found = self._peers.pop(key, None)
        if found is not None:
            self._peers[key] = found
        return found

    def of(self, family: int, peer: int) -> PeerMetrics:
        """What is known of `peer`, to be written to."""
        found = self.find(family, peer)
        if found is None:
            if len(self._peers) >= MAX_PEERS:
                del self._peers[next(iter(self._peers))]
            found = self._peers[family, peer] = PeerMetrics()
        return found

    def clear(self) -> None:
        """Forget all."""
        self._peers.clear()


def begin(tcb: Tcb) -> None:
    """A connection starts with what its predecessors found out (tcp_init_metrics): how far the path reorders, and a
    careful timeout, since the round trip of a small SYN may be shorter than that of data."""
    known = tcb.tcp.metrics.find(tcb.family, tcb.peer)
    if known is not None and known.reordering > tcb.reordering:
        tcb.reordering = known.reordering
    if known is not None and known.rtt > tcb.srtt:
        conf = tcb.ns.conf.tcp
        tcb.rto = min(known.rtt + max(2 * known.rtt, conf.rto_min), conf.rto_max)
    elif not tcb.srtt:
        tcb.rto = FALLBACK_RTO


def save(tcb: Tcb) -> None:
    """A connection ends: what it found out stays for its successors (tcp_update_metrics)."""
    conf = tcb.ns.conf.tcp
    if conf.no_metrics_save or not tcb.srtt:
        return
    known = tcb.tcp.metrics.of(tcb.family, tcb.peer)
    if tcb.backoff:
        known.rtt = 0  # the path is in trouble: nothing of that is worth knowing
        return
    known.rtt = max(tcb.srtt, known.rtt - (known.rtt - tcb.srtt >> 3))
    known.reordering = tcb.reordering if tcb.reordering != conf.reordering else 0
