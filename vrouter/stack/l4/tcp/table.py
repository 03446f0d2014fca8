"""TCP's connections and bound sockets of one family in one namespace.

``connections`` is what the data path reads: (local, port, peer, peer port) → the Tcb, the half-open Request or the
TimeWait. A segment that belongs to none of these may be for a `listener`.

A port in use has a `Bucket`: the sockets that are bound to it, the listeners among them, and a count of the connections
(and of those in TIME-WAIT) that hold it, by what matters for others: address, device, SO_REUSEADDR and SO_REUSEPORT.
Who may have a port beside whom is Linux's (inet_csk_bind_conflict); a port that connect(2) chose may be shared by
connections to different peers, so that ports do not run out with the first peer's (RFC 6056 3.2).

One table per family, as for UDP; an AF_INET6 listener of both families stands in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from vrouter.stack.base.addresses import MAX6, V4, V6
from vrouter.stack.l4.constants import AF_INET, REUSEADDR, REUSEPORT
from vrouter.stack.l4.demux import SocketTable
from vrouter.stack.l4.ports import PortAllocator
from vrouter.stack.l4.tcp.timewait import TimeWait, forget, reusable

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.tcp.request import Request
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.netns import Netns

Four: TypeAlias = tuple[int, int, int, int]  # local address and port, peer's address and port
Hold: TypeAlias = "tuple[int, Device | None, int]"  # address, device, REUSEADDR | REUSEPORT

IPPROTO_TCP: Final = 6
_REUSE: Final = REUSEADDR | REUSEPORT


class Bucket:
    """One port that is in use. ``by_connect``: only connect(2) has chosen it so far."""

    __slots__ = ("by_connect", "held", "listeners", "owners")

    def __init__(self, by_connect: bool) -> None:
        self.by_connect = by_connect
        self.owners: dict[TcpSocket, None] = {}  # oldest first
        self.held: dict[Hold, int] = {}
        self.listeners: dict[tuple[int, Device | None], list[TcpSocket]] | None = None


class TcpTable(SocketTable["TcpSocket"]):
    """TCP of one family in one namespace."""

    __slots__ = ("buckets", "connections")

    names: ClassVar = {V4: "tcp", V6: "tcp"}
    protos: ClassVar = {V4: IPPROTO_TCP, V6: IPPROTO_TCP}
    groups: ClassVar = frozenset((V4,))  # as Linux: nobody can speak there, but IPv4 lets them bind

    def __init__(self, ns: Netns, family: int) -> None:
        super().__init__(ns, family)
        self.connections: dict[Four, Tcb | Request | TimeWait] = {}
        self.buckets: dict[int, Bucket] = {}

    @property
    def of_ipv4(self) -> TcpTable:
        """The table of IPv4 in the namespace: an AF_INET6 socket's, for IPv4-mapped addresses."""
        return self.ns.tcp

    # -- bound sockets ------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[TcpSocket]:
        for bucket in self.buckets.values():
            yield from reversed(bucket.owners)

    def on_port(self, port: int) -> Sequence[TcpSocket]:
        """The sockets bound to `port`, the newest first."""
        bucket = self.buckets.get(port)
        return () if bucket is None else list(reversed(bucket.owners))

    def insert(self, sock: TcpSocket, by_connect: bool = False) -> None:
        """Enter `sock` under ``sock.port``; `by_connect` when connect(2) and not bind(2) chose the port."""
        bucket = self.buckets.get(sock.port)
        if bucket is None:
            bucket = self.buckets[sock.port] = Bucket(by_connect)
        elif not by_connect:
            bucket.by_connect = False
        bucket.owners[sock] = None

    def remove(self, sock: TcpSocket) -> None:
        """Take `sock` out, and out of the listeners."""
        bucket = self.buckets[sock.port]
        del bucket.owners[sock]
        self.unlisten(sock)
        self._tidy(sock.port, bucket)

    def changed(self, sock: TcpSocket) -> None:
        """The device of `sock` is another one."""
        if self.unlisten(sock):
            self.listen(sock)

    def _tidy(self, port: int, bucket: Bucket) -> None:
        if not bucket.owners and not bucket.held:
            del self.buckets[port]

    # -- listeners ----------------------------------------------------------------------------------------------------

    def listen(self, sock: TcpSocket) -> None:
        """`sock`, which stands here, takes connections from now on."""
        bucket = self.buckets[sock.port]
        if bucket.listeners is None:
            bucket.listeners = {}
        group = bucket.listeners.setdefault((sock.local, sock.device), [])
        group.append(sock)
        group.sort(key=_is_of_both)

    def unlisten(self, sock: TcpSocket) -> bool:
        """`sock` takes no more connections; False when it took none here."""
        bucket = self.buckets[sock.port]
        for key, group in (bucket.listeners or {}).items():
            if sock in group:
                group.remove(sock)
                if not group:
                    assert bucket.listeners is not None
                    del bucket.listeners[key]
                    bucket.listeners = bucket.listeners or None
                return True
        return False

    def listener(self, src: int, sport: int, dst: int, dport: int, iif: Any) -> TcpSocket | None:
        """Who takes a connection from (src, sport) to (dst, dport) that came in by `iif`; None: nobody.

        One bound to `dst` goes before any wildcard, then one bound to the device, then one of this family alone; the
        oldest of those that are left, unless they share with SO_REUSEPORT: then a keyed hash of the flow chooses.
        """
        bucket = self.buckets.get(dport)
        if bucket is None or bucket.listeners is None:
            return None
        listeners = bucket.listeners
        group = (
            listeners.get((dst, iif))
            or listeners.get((dst, None))
            or listeners.get((0, iif))
            or listeners.get((0, None))
        )
        if group is None:
            return None
        first = group[0]
        if len(group) == 1 or not first.options & REUSEPORT:
            return first
        equals = [sock for sock in group if sock.family == first.family and sock.options & REUSEPORT]
        return equals[self.ns.stack.rng.keyed_hash(src & MAX6, sport, dst & MAX6, dport) % len(equals)]

    # -- who may have a port ------------------------------------------------------------------------------------------

    def conflicts(self, sock: TcpSocket, address: int, port: int) -> bool:
        """Whether `sock` may not have (address, port) because of another: EADDRINUSE (inet_csk_bind_conflict).

        Two are in each other's way when their addresses are equal or one is the wildcard, and their devices are equal
        or one has none; unless both have SO_REUSEADDR and the other does not listen, or both have SO_REUSEPORT.
        """
        return self._is_in_the_way(sock, address, port, True)

    def is_free(self, sock: TcpSocket, address: int, port: int) -> bool:
        """Whether nobody is in the way of `sock` on (address, port), whatever may be shared."""
        return not self._is_in_the_way(sock, address, port, False)

    def _is_in_the_way(self, sock: TcpSocket, address: int, port: int, may_share: bool) -> bool:
        bucket = self.buckets.get(port)
        if bucket is None:
            return False
        device, options = sock.device, sock.options
        for local, dev, shared in bucket.held:
            if _overlap(address, device, local, dev) and not (may_share and shared & options):
                return True
        for other in bucket.owners:
            if other is sock or not _overlap(address, device, other.local, other.device):
                continue
            both = options & other.options & _REUSE
            if not may_share or not (both & REUSEPORT or (both and not other.listening)):
                return True
        return False

    def choose_port(
        self,
        sock: TcpSocket,
        address: int,
        peer: tuple[int, int] | None = None,
        beside: Sequence[SocketTable[TcpSocket]] = (),
    ) -> int:
        """An ephemeral port for `sock` on `address`; 0 when all are taken.

        With a `peer` (address, port) to connect to, a port may be one that only connect(2) has chosen, too, as long as
        the connection is another one (RFC 6056 3.3); else it is free in the tables `beside`, too.
        """
        if peer is None:
            return super().choose_port(sock, address, None, beside)
        if self.allocator is None:
            self.allocator = PortAllocator(self.ns.stack.rng)
        buckets, now = self.buckets, self.ns.stack.now

        def is_free(port: int) -> bool:
            bucket = buckets.get(port)
            return bucket is None or (bucket.by_connect and not self.is_taken(address, port, *peer, now))

        return self.allocator.hashed(self.ns.conf, address & MAX6, peer[0] & MAX6, peer[1], is_free)

    # -- connections --------------------------------------------------------------------------------------------------

    def find(self, local: int, port: int, peer: int, peer_port: int) -> Tcb | Request | TimeWait | None:
        """The connection between these ends."""
        return self.connections.get((local, port, peer, peer_port))

    def is_taken(self, local: int, port: int, peer: int, peer_port: int, now: int) -> bool:
        """Whether connect(2) may not make this connection: there is one already, or was until lately (RFC 6191)."""
        entry = self.connections.get((local, port, peer, peer_port))
        return entry is not None and not (isinstance(entry, TimeWait) and reusable(entry, now))

    def enter(self, tcb: Tcb) -> None:
        """A connection begins; one in TIME-WAIT between the same ends is over."""
        key = tcb.local, tcb.port, tcb.peer, tcb.peer_port
        old = self.connections.get(key)
        if isinstance(old, TimeWait):
            forget(old)
        self.connections[key] = tcb
        sock = tcb.sock
        tcb.hold = sock.local, sock.device, sock.options & _REUSE
        bucket = self.buckets.get(tcb.port)
        if bucket is None:  # of a connection whose listener is closed already
            bucket = self.buckets[tcb.port] = Bucket(False)
        bucket.held[tcb.hold] = bucket.held.get(tcb.hold, 0) + 1

    def leave(self, entry: Tcb | TimeWait) -> None:
        """A connection, or what was left of it, is over, and holds its port no longer. Harmless when it is not here."""
        hold, entry.hold = entry.hold, None
        if hold is None:
            return
        key = entry.local, entry.port, entry.peer, entry.peer_port
        if self.connections.get(key) is entry:
            del self.connections[key]
        bucket = self.buckets[entry.port]
        bucket.held[hold] -= 1
        if not bucket.held[hold]:
            del bucket.held[hold]
            self._tidy(entry.port, bucket)

    def succeed(self, tcb: Tcb, rest: TimeWait) -> None:
        """What is left of `tcb` takes its place, and its hold on the port."""
        self.connections[tcb.local, tcb.port, tcb.peer, tcb.peer_port] = rest
        rest.hold, tcb.hold = tcb.hold, None


def _overlap(one: int, dev: Device | None, other: int, other_dev: Device | None) -> bool:
    return (not one or not other or one == other) and (dev is None or other_dev is None or dev is other_dev)


def _is_of_both(sock: TcpSocket) -> bool:
    return sock.family != AF_INET
