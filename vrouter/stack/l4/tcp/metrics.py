"""What is remembered of peers after their connections: RTT, thresholds, Fast Open cookies (RFC 9040 temporal sharing).

Bounded: the peer that was not looked at for longest is forgotten first. Addresses are ints of their family, with the
family beside them; nothing here is believed, it only lets a connection begin nearer to what is right.
"""

from __future__ import annotations

from typing import Final, TypeAlias

MAX_PEERS: Final = 1024

Key: TypeAlias = "tuple[int, int]"  # family, address


class PeerMetrics:
    """One peer. Times are ns, windows bytes, 0: not known; ``cookie`` is of Fast Open, with the MSS of the peer that
    gave it; ``loss`` counts SYNs with data in a row that were not answered."""

    __slots__ = ("cookie", "cwnd", "loss", "loss_at", "mss", "reordering", "rtt", "rttvar", "ssthresh", "try_exp")

    def __init__(self) -> None:
        self.rtt = self.rttvar = self.ssthresh = self.cwnd = self.reordering = 0
        self.cookie = b""
        self.mss = 0
        self.loss = 0
        self.loss_at = 0
        self.try_exp = 0


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
