"""From a packet to its socket: who may bind what, and whom a datagram is for.

One table per namespace and protocol, not one shared table keyed by namespace: a lookup then hashes a small int instead
of a tuple, one namespace's sockets never lengthen another's chains, a namespace that goes takes its table with it, and
one without sockets has none at all.

A port maps to its socket, or to a list of sockets when it has several (`REUSEADDR`, `REUSEPORT`, different addresses or
devices). The newest stands first, because it wins among equals, as in Linux.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vrouter.stack.l4.constants import REUSEADDR, REUSEPORT
from vrouter.stack.l4.ports import PortAllocator

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns


class SocketTable(ABC):
    """The bound sockets of one protocol in one namespace; ``ports`` is what the data path reads."""

    __slots__ = ("allocator", "ns", "ports")

    # What a protocol says about itself (UdpTable, PingTable).
    name = ""
    proto = 0
    header = 0  # bytes of the transport header that a program does not see
    initial_options = 0

    def __init__(self, ns: Netns) -> None:
        self.ns = ns
        self.ports: dict[int, Socket | list[Socket]] = {}
        self.allocator: PortAllocator | None = None

    def __iter__(self) -> Iterator[Socket]:
        for entry in self.ports.values():
            if isinstance(entry, list):
                yield from entry
            else:
                yield entry

    def on_port(self, port: int) -> Sequence[Socket]:
        """The sockets bound to `port`, the newest first."""
        entry = self.ports.get(port)
        if entry is None:
            return ()
        return entry if isinstance(entry, list) else (entry,)

    def insert(self, sock: Socket) -> None:
        """Enter `sock` under ``sock.port``, in front of those that are there."""
        entry = self.ports.get(sock.port)
        if entry is None:
            self.ports[sock.port] = sock
        elif isinstance(entry, list):
            entry.insert(0, sock)
        else:
            self.ports[sock.port] = [sock, entry]

    def remove(self, sock: Socket) -> None:
        """Take `sock` out."""
        entry = self.ports[sock.port]
        if not isinstance(entry, list):
            del self.ports[sock.port]
        else:
            entry.remove(sock)
            if len(entry) == 1:
                self.ports[sock.port] = entry[0]

    def conflicts(self, sock: Socket, address: int, port: int) -> bool:
        """Whether `sock` may not have (address, port) because of another: EADDRINUSE (Linux's udp_lib_lport_inuse).

        Two sockets are in each other's way when their addresses are equal or one is the wildcard, and their devices
        are equal or one has none, unless both have SO_REUSEADDR or both have SO_REUSEPORT.
        """
        return any(
            not other.options & sock.options & (REUSEADDR | REUSEPORT) and _collide(sock, other, address)
            for other in self.on_port(port)
        )

    def choose_port(self, sock: Socket, address: int, peer: tuple[int, int] | None = None) -> int:
        """An ephemeral port for `sock` on `address`, towards `peer` when it connects; 0 when all are taken.

        Deviation: with SO_REUSEADDR Linux may choose the port of another socket that has it, too, which would take that
        one's datagrams away; here a port of another socket is never chosen.
        """
        if self.allocator is None:
            self.allocator = PortAllocator(self.ns.stack.rng)

        def is_free(port: int) -> bool:
            return port not in self.ports or not any(_collide(sock, other, address) for other in self.on_port(port))

        if peer is None:
            return self.allocator.random(self.ns.conf, is_free)
        return self.allocator.hashed(self.ns.conf, address, peer[0], peer[1], is_free)

    def lookup(self, src: int, sport: int, dst: int, dport: int, iif: Any) -> Socket | None:
        """The socket for a datagram to (dst, dport) from (src, sport) that came in by `iif`; None when there is none.

        A socket bound to `dst` goes before any wildcard; then each of connected address, connected port and bound
        device counts alike (Linux's compute_score); then the newest. A winner with SO_REUSEPORT that is not connected
        shares with its equals by a keyed hash of the flow. `iif` None (no device is known) fits any bound device.
        """
        entry = self.ports.get(dport)
        if entry is None:
            return None
        if not isinstance(entry, list):
            return entry if _score(entry, src, sport, dst, iif) >= 0 else None
        best = -1
        winner: Socket | None = None
        for sock in entry:
            score = _score(sock, src, sport, dst, iif)
            if score > best:
                best, winner = score, sock
        if winner is not None and winner.options & REUSEPORT and not winner.peer:
            group = [
                sock
                for sock in reversed(entry)
                if sock.options & REUSEPORT
                and not sock.peer
                and sock.local == winner.local
                and sock.device is winner.device
            ]
            if len(group) > 1:
                return group[self.ns.stack.rng.keyed_hash(src, sport, dst, dport) % len(group)]
        return winner

    def receivers(self, src: int, sport: int, dst: int, dport: int, iif: Any) -> list[Socket]:
        """All sockets for a datagram to a group or to everybody (RFC 1122 4.1.3.5; Linux's __udp_is_mcast_sock)."""
        return [
            sock
            for sock in self.on_port(dport)
            if _score(sock, src, sport, dst, iif) >= 0 and (sock.multicast is None or sock.multicast.wants(dst, iif))
        ]

    # -- what a protocol adds ---------------------------------------------------------------------------------------

    @abstractmethod
    def check_outgoing(self, data: bytes | bytearray | memoryview, port: int) -> None:
        """OSError when this may not be sent, or not to `port`."""

    @abstractmethod
    def push_header(self, sock: Socket, pkt: Packet, port: int) -> None:
        """Put the transport header in front of the payload; ``src`` and ``dst`` are set. Counts what is sent."""

    @abstractmethod
    def source_port(self, pkt: Packet) -> int:
        """The port to show beside the source address of a received packet."""


def _collide(one: Socket, other: Socket, address: int) -> bool:
    """Whether `one`, on `address`, and `other`, both on one port, would be for the same datagrams."""
    return (
        other is not one
        and (other.device is None or one.device is None or other.device is one.device)
        and (not other.local or not address or other.local == address)
    )


def _score(sock: Socket, src: int, sport: int, dst: int, iif: Any) -> int:
    """How well a socket of the right port fits; -1 when it does not."""
    score = 0
    if sock.local:
        if sock.local != dst:
            return -1
        score = 16
    if sock.peer:
        if sock.peer != src:
            return -1
        score += 4
        if sock.peer_port:
            if sock.peer_port != sport:
                return -1
            score += 4
    if sock.device is not None:
        if sock.device is not iif and iif is not None:
            return -1
        score += 4
    return score
