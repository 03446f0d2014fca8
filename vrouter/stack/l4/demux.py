"""From a packet to its socket: who may bind what, and whom a datagram is for.

One table per namespace and protocol, not one shared table keyed by namespace: a lookup then hashes a small int instead
of a tuple, one namespace's sockets never lengthen another's chains, a namespace that goes takes its table with it, and
one without sockets has none at all.

A port maps to its socket, or to a `SharedPort` when it has several (`REUSEADDR`, `REUSEPORT`, different addresses or
devices): however many they are, a lookup takes one probe for each shape that they have, a shape being which of address,
peer address, peer port and device a socket has set. The newest wins among equals, as in Linux.

Each family has a table of its own, since its addresses are ints of their own width. An AF_INET6 socket that IPv4 may
reach, too (RFC 3493 5.3), stands in both; whoever is of a table's own family goes before it there, as in Linux.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from vrouter.stack.base.addresses import MAX6, V4, V6
from vrouter.stack.l4.constants import AF_INET6, REUSEADDR, REUSEPORT, V6ONLY
from vrouter.stack.l4.ports import PortAllocator

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l4.datagram import DatagramSocket
    from vrouter.stack.l4.endpoint import Endpoint
    from vrouter.stack.netns import Netns


_S = TypeVar("_S", bound="Endpoint")
Key: TypeAlias = "tuple[int, int, int, int, Device | None]"  # shape, address, peer address, peer port, device

# A shape is a sum of what is set. A bound address counts for more than all the rest, which counts alike; that a socket
# is not of both families counts least, and in IPv4's table alone.
_BOTH: Final = 16
_ADDRESS: Final = 8
_PEER: Final = 4
_PEER_PORT: Final = 2
_DEVICE: Final = 1


class SharedPort(Generic[_S]):
    """The sockets of one port, when there are several. With `by_peer` False peers do not matter."""

    __slots__ = ("_buckets", "_by_address", "_by_peer", "_count", "_entries", "_ranks", "_shapes")

    def __init__(self, by_peer: bool, family: int) -> None:
        self._by_peer = by_peer
        self._ranks = _RANKS[family]
        self._count = 0  # how many there have been
        self._entries: dict[_S, tuple[int, Key]] = {}  # oldest first: how many were there before, and its key
        self._buckets: dict[Key, list[_S]] = {}  # oldest first; with a device and the key's None: of any device
        self._by_address: dict[int, dict[_S, None]] = {}
        self._shapes: dict[int, int] = {}  # those in use, the one that counts most first -> how many have it

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[_S]:
        """The newest first."""
        return reversed(self._entries)

    def insert(self, sock: _S) -> None:
        """Enter `sock` as the newest."""
        self._enter(sock, self._count)
        self._count += 1

    def remove(self, sock: _S) -> None:
        """Take `sock` out."""
        self._leave(sock)
        del self._entries[sock]

    def changed(self, sock: _S) -> None:
        """Its peer or its device is another one; it stays as old as it was."""
        self._leave(sock)
        self._enter(sock, self._entries[sock][0])

    def overlapping(self, address: int) -> Iterable[_S]:
        """The sockets that may be for the same datagrams as one on `address`."""
        if not address:
            return self._entries
        return chain(self._by_address.get(address, ()), self._by_address.get(0, ()))

    def matching(self, src: int, sport: int, dst: int, iif: Any) -> list[tuple[int, list[_S]]]:
        """For a datagram, the sockets that it is for: those of one shape in order, each with what their shape counts;
        the shape that counts most first."""
        buckets = self._buckets
        found = []
        for shape in self._shapes:
            bucket = buckets.get(
                (
                    shape,
                    dst if shape & _ADDRESS else 0,
                    src if shape & _PEER else 0,
                    sport if shape & _PEER_PORT else 0,
                    iif if shape & _DEVICE else None,
                )
            )
            if bucket is not None:
                found.append((self._ranks[shape], bucket))
        return found

    def age(self, sock: _S) -> int:
        """How many sockets there were before `sock`."""
        return self._entries[sock][0]

    def equals(self, sock: _S) -> list[_S]:
        """The sockets that want just the same as `sock`, oldest first."""
        return self._buckets[self._entries[sock][1]]

    def _key(self, sock: _S) -> Key:
        peer = sock.peer if self._by_peer else 0
        port = sock.peer_port if peer else 0
        shape = (_ADDRESS if sock.local else 0) | (_PEER if peer else 0) | (_PEER_PORT if port else 0)
        if sock.family == AF_INET6 and not sock.options & V6ONLY:
            shape |= _BOTH
        return shape | (_DEVICE if sock.device is not None else 0), sock.local, peer, port, sock.device

    def _enter(self, sock: _S, age: int) -> None:
        key = self._key(sock)
        self._entries[sock] = age, key
        for one in _places(key):
            bucket = self._buckets.setdefault(one, [])
            bucket.append(sock)
            if len(bucket) > 1 and self.age(bucket[-2]) > age:
                bucket.sort(key=self.age)
        self._by_address.setdefault(sock.local, {})[sock] = None
        shape = key[0]
        self._shapes[shape] = self._shapes.get(shape, 0) + 1
        if self._shapes[shape] == 1:
            self._shapes = dict(sorted(self._shapes.items(), key=self._rank, reverse=True))

    def _leave(self, sock: _S) -> None:
        key = self._entries[sock][1]
        for one in _places(key):
            bucket = self._buckets[one]
            bucket.remove(sock)
            if not bucket:
                del self._buckets[one]
        shape, address = key[:2]
        del self._by_address[address][sock]
        if not self._by_address[address]:
            del self._by_address[address]
        self._shapes[shape] -= 1
        if not self._shapes[shape]:
            del self._shapes[shape]

    def _rank(self, item: tuple[int, int]) -> int:
        return self._ranks[item[0]]


_RANKS: Final = {
    family: tuple(
        4 * bin(shape & (_PEER | _PEER_PORT | _DEVICE)).count("1")
        + (16 if shape & _ADDRESS else 0)
        + (1 if family == V4 and not shape & _BOTH else 0)
        for shape in range(32)
    )
    for family in (V4, V6)
}


def _places(key: Key) -> tuple[Key, ...]:
    """Where a socket is looked for: by its device, and where no device is known."""
    shape, address, peer, port, device = key
    return (key,) if device is None else (key, (shape, address, peer, port, None))


class SocketTable(ABC, Generic[_S]):
    """The bound sockets of one protocol and family in one namespace; ``ports`` is what the data path reads."""

    __slots__ = ("allocator", "family", "name", "ns", "ports", "proto")

    # What a protocol says about itself (UdpTable, PingTable, TcpTable).
    names: ClassVar[dict[int, str]]  # as ss(8) has it, by family
    protos: ClassVar[dict[int, int]]
    initial_options = 0
    groups: ClassVar[frozenset[int]] = frozenset((V4, V6))  # the families in which a group's address may be bound
    by_peer = True  # whether a connected socket hears its peer alone
    both = True  # whether an AF_INET6 socket may speak IPv4 as well

    def __init__(self, ns: Netns, family: int) -> None:
        self.ns = ns
        self.family = family
        self.name = self.names[family]
        self.proto = self.protos[family]
        self.ports: dict[int, _S | SharedPort[_S]] = {}
        self.allocator: PortAllocator | None = None

    def __iter__(self) -> Iterator[_S]:
        for entry in self.ports.values():
            if isinstance(entry, SharedPort):
                yield from entry
            else:
                yield entry

    def on_port(self, port: int) -> Sequence[_S]:
        """The sockets bound to `port`, the newest first."""
        entry = self.ports.get(port)
        if entry is None:
            return ()
        return list(entry) if isinstance(entry, SharedPort) else (entry,)

    def insert(self, sock: _S) -> None:
        """Enter `sock` under ``sock.port``, as the newest there."""
        entry = self.ports.get(sock.port)
        if entry is None:
            self.ports[sock.port] = sock
            return
        if not isinstance(entry, SharedPort):
            alone, entry = entry, SharedPort(self.by_peer, self.family)
            entry.insert(alone)
            self.ports[sock.port] = entry
        entry.insert(sock)

    def remove(self, sock: _S) -> None:
        """Take `sock` out."""
        entry = self.ports[sock.port]
        if not isinstance(entry, SharedPort):
            del self.ports[sock.port]
        else:
            entry.remove(sock)
            if len(entry) == 1:
                self.ports[sock.port] = next(iter(entry))

    def changed(self, sock: _S) -> None:
        """The peer or the device of `sock` is another one."""
        entry = self.ports.get(sock.port)
        if isinstance(entry, SharedPort):
            entry.changed(sock)

    def _overlapping(self, port: int, address: int) -> Iterable[_S]:
        entry = self.ports.get(port)
        if entry is None:
            return ()
        return entry.overlapping(address) if isinstance(entry, SharedPort) else (entry,)

    def conflicts(self, sock: _S, address: int, port: int) -> bool:
        """Whether `sock` may not have (address, port) because of another: EADDRINUSE (Linux's udp_lib_lport_inuse).

        Two sockets are in each other's way when their addresses are equal or one is the wildcard, and their devices
        are equal or one has none, unless both have SO_REUSEADDR or both have SO_REUSEPORT.
        """
        return any(
            not other.options & sock.options & (REUSEADDR | REUSEPORT) and _collide(sock, other, address)
            for other in self._overlapping(port, address)
        )

    def is_free(self, sock: _S, address: int, port: int) -> bool:
        """Whether no other socket is for what `sock` would be for on (address, port)."""
        return not any(_collide(sock, other, address) for other in self._overlapping(port, address))

    def choose_port(
        self,
        sock: _S,
        address: int,
        peer: tuple[int, int] | None = None,
        beside: Sequence[SocketTable[_S]] = (),
    ) -> int:
        """An ephemeral port for `sock` on `address`, towards `peer` when it connects; 0 when all are taken. It is free
        in the tables `beside`, too.

        Deviation: with SO_REUSEADDR Linux may choose the port of another socket that has it, too, which would take that
        one's datagrams away; here a port of another socket is never chosen.
        """
        if self.allocator is None:
            self.allocator = PortAllocator(self.ns.stack.rng)

        def is_free(port: int) -> bool:
            return self.is_free(sock, address, port) and all(table.is_free(sock, address, port) for table in beside)

        if peer is None:
            return self.allocator.random(self.ns.conf, is_free)
        return self.allocator.hashed(self.ns.conf, address & MAX6, peer[0] & MAX6, peer[1], is_free)

    def lookup(self, src: int, sport: int, dst: int, dport: int, iif: Any) -> _S | None:
        """The socket for a datagram to (dst, dport) from (src, sport) that came in by `iif`; None when there is none.

        A socket bound to `dst` goes before any wildcard; then each of connected address, connected port and bound
        device counts alike (Linux's compute_score); then the newest. A winner with SO_REUSEPORT that is not connected
        shares with its equals by a keyed hash of the flow. `iif` None (no device is known) fits any bound device.
        """
        entry = self.ports.get(dport)
        if entry is None:
            return None
        if not isinstance(entry, SharedPort):
            return entry if _fits(entry, src, sport, dst, iif) else None
        winner: _S | None = None
        best = -1
        for rank, bucket in entry.matching(src, sport, dst, iif):
            if rank < best:
                break
            newest = bucket[-1]
            if winner is None or entry.age(newest) > entry.age(winner):
                best, winner = rank, newest
        if winner is None or not winner.options & REUSEPORT or winner.peer:
            return winner
        group = entry.equals(winner)
        if len(group) == 1:
            return winner
        flow = self.ns.stack.rng.keyed_hash(src & MAX6, sport, dst & MAX6, dport)
        chosen = group[flow % len(group)]
        if not chosen.options & REUSEPORT:
            group = [sock for sock in group if sock.options & REUSEPORT]
            chosen = group[flow % len(group)]
        return chosen

    def receivers(self, src: int, sport: int, dst: int, dport: int, iif: Any, group: bool = True) -> list[_S]:
        """All sockets for a datagram to a `group` or to everybody (RFC 1122 4.1.3.5; Linux's __udp_is_mcast_sock)."""
        entry = self.ports.get(dport)
        if entry is None:
            return []
        if isinstance(entry, SharedPort):
            fitting = list(chain.from_iterable(bucket for _, bucket in entry.matching(src, sport, dst, iif)))
            fitting.sort(key=entry.age, reverse=True)
        else:
            fitting = [entry] if _fits(entry, src, sport, dst, iif) else []
        if not group:
            return fitting
        family = self.family
        wanting = []
        for sock in fitting:
            multicast = sock.settings_of(family).multicast
            if multicast is None or multicast.wants(dst, iif, src):
                wanting.append(sock)
        return wanting

    @property
    def of_ipv4(self) -> SocketTable[_S]:
        """The protocol's table of IPv4 in the namespace: an AF_INET6 socket's, for IPv4-mapped addresses."""
        raise AssertionError("a protocol's own")


class DatagramTable(SocketTable["DatagramSocket"]):
    """A table of sockets whose every message is a packet."""

    __slots__ = ()

    header = 0  # bytes of the transport header that a program does not see

    @abstractmethod
    def check_outgoing(self, data: bytes | bytearray | memoryview, port: int) -> None:
        """OSError when this may not be sent, or not to `port`."""

    @abstractmethod
    def push_header(self, sock: DatagramSocket, pkt: Packet, port: int) -> None:
        """Put the transport header in front of the payload; ``src`` and ``dst`` are set. Counts what is sent."""

    @abstractmethod
    def source_port(self, pkt: Packet) -> int:
        """The port to show beside the source address of a received packet."""


def came_by(ns: Netns, pkt: Packet) -> Any:
    """The port by which a packet came for those who are bound to a device: of IPv6, what went around by ``lo`` came by
    the device of the address that it is for, as in Linux; else nobody on this host could reach a socket that is bound
    to a link-local address."""
    iif = pkt.iif
    if iif is ns.lo and pkt.family == V6:
        owner = ns.ip6.owner(pkt.dst)
        return iif if owner is None else owner.dev
    return iif


def _collide(one: Endpoint, other: Endpoint, address: int) -> bool:
    """Whether `one`, on `address`, and `other`, both on one port, would be for the same datagrams."""
    return (
        other is not one
        and (other.device is None or one.device is None or other.device is one.device)
        and (not other.local or not address or other.local == address)
    )


def _fits(sock: Endpoint, src: int, sport: int, dst: int, iif: Any) -> bool:
    """Whether a socket of the right port wants the datagram: `SharedPort.matching` for one."""
    return (
        (not sock.local or sock.local == dst)
        and (not sock.peer or (sock.peer == src and (not sock.peer_port or sock.peer_port == sport)))
        and (sock.device is None or sock.device is iif or iif is None)
    )
