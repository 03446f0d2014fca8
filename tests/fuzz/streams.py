"""Programs on stream sockets, and the wires between namespaces that talk to each other, of a fuzzed stack.

Every stream of every socket is the same pattern from its beginning, so each byte that is read, and each that leaves,
is right or wrong by its place alone. `Streams` is the part of the world that has these actions; the promises that it
checks beyond those of `bounds_tcp`: a byte is what was written at its place; who was told to wait is told when he need
not; and when all is `calm` what was written arrives, or its connection is over.
"""

from __future__ import annotations

import errno
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz.forge_super import expand
from tests.fuzz.tcp_frames import MASK, MOST, hear, piece
from vrouter.stack.l4.constants import MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, READ, SHUT_WR, WRITE
from vrouter.stack.l4.tcp import sizing
from vrouter.stack.l4.tcp.request import Request
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.l4.tcp.stream import OPENING, SENDING
from vrouter.stack.l4.tcp.tcb import CLOSED, Tcb

if TYPE_CHECKING:
    from vrouter.stack import Stack
    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns

SECOND = 1_000_000_000
WIRE_QUEUE = 400
HEARD = 200
CALM = 400 * SECOND  # of virtual time: more than two of the longest retransmission timeouts
CLOSING = 300 * SECOND
_PIECE = 100_000
_WAITS = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY)


class Stream:
    """What a program knows of its socket: how far it has written and read, and what it waits for."""

    def __init__(self, sock: TcpSocket) -> None:
        self.sock = sock
        self.tcb = sock.tcb
        self.given = self.taken = 0
        self.waits = 0
        self.goal = 0  # what a buffer held when it had to wait to write

    def begins(self) -> None:
        """Another connection than before has another stream."""
        if self.sock.tcb is not self.tcb:
            self.tcb = self.sock.tcb
            self.given = self.taken = 0


class Wire:
    """Two devices; ``ways`` are the frames that left each and have not come to the other."""

    def __init__(self, ends: tuple[tuple[str, str], tuple[str, str]]) -> None:
        self.ends = ends
        self.ways: tuple[deque[bytes], deque[bytes]] = (deque(maxlen=WIRE_QUEUE), deque(maxlen=WIRE_QUEUE))


class Streams:
    """The part of `world.World` that is about streams."""

    stack: Stack
    now: int
    frames: int
    sockets: dict[int, Socket]
    buffers: dict[Any, int]
    digest: Any

    def __init__(self) -> None:
        self.streams: dict[int, Stream] = {}
        self.wires: list[Wire] = []
        self.strangers: dict[bytes, deque[bytes]] = {}  # frames to each, by MAC address

    # -- from the world -----------------------------------------------------------------------------------------------

    def _ns(self, name: str) -> Netns:
        raise NotImplementedError

    def _socket(self, number: int) -> Any:
        raise NotImplementedError

    def receive(self, ns: str, name: str, frame: bytes) -> None:
        raise NotImplementedError

    def due(self) -> None:
        raise NotImplementedError

    def _collect(self) -> None:
        raise NotImplementedError

    # -- what leaves --------------------------------------------------------------------------------------------------

    def leaves(self, dev: Device, frame: bytes) -> None:
        """A frame left: it goes along its wire, or to a stranger, and its bytes are right."""
        plain = frame[12:] if dev.vnet_hdr else frame
        station = self.strangers.get(plain[:6])
        if station is not None:
            station += expand(frame) if dev.vnet_hdr else [frame]
        elif self.wires:
            key = dev.ns.name, dev.name
            for wire in self.wires:
                if key in wire.ends:
                    wire.ways[wire.ends.index(key)].append(frame)
        if self.streams:
            self._check_bytes(dev, plain)

    def _check_bytes(self, dev: Device, frame: bytes) -> None:
        heard = hear(frame)
        if heard is None or not heard.data:
            return
        table = dev.ns._tcp6 if heard.src >> 32 else dev.ns._tcp
        entry = None if table is None else table.connections.get((heard.src, heard.sport, heard.dst, heard.dport))
        if isinstance(entry, Tcb):
            offset = (heard.seq + bool(heard.flags & 2) - entry.iss - 1) & MASK
            for at in range(0, len(heard.data), MOST):
                data = heard.data[at : at + MOST]
                assert data == piece(offset + at, len(data)), f"{len(data)} wrong bytes leave at {offset}"

    # -- programs -----------------------------------------------------------------------------------------------------

    def open(self, number: int, ns: str, family: int, kind: int, proto: int) -> None:
        """A socket of any kind."""
        sock = self._ns(ns).socket(family, kind, proto)
        self._takes(number, sock)

    def _takes(self, number: int, sock: Any) -> None:
        self.sockets[number] = sock
        self.buffers[sock] = sock.rcvbuf
        if isinstance(sock, TcpSocket):
            self.streams[number] = Stream(sock)

    def take(self, number: int, child: int) -> None:
        """A program accepts a connection."""
        sock = self._socket(number)
        self._waiting(number, READ, 0)
        try:
            made, name = sock.accept(now=self.now)
        except OSError as refusal:
            self._waiting(number, READ, refusal.errno)
            raise
        self.digest.update(repr(name).encode())
        self._takes(child, made)

    def _waiting(self, number: int, mask: int, code: int | None) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            stream.waits &= ~mask
            if code in _WAITS:
                stream.waits |= mask
                tcb = stream.sock.tcb
                if tcb is not None:
                    goal = sizing.goal(tcb)
                    stream.goal = goal if tcb.tcp.has_room(goal) else 0

    def write(self, number: int, size: int, flags: int, where: list[Any] | None) -> None:
        """A program writes what comes next in its stream; with `where` it begins a connection so."""
        sock = self._socket(number)
        stream = self.streams[number]
        stream.begins()
        before = sock.tcb
        data = piece(stream.given if sock.state != CLOSED else 0, size)
        try:
            if where is None:
                count = sock.send(data, flags, now=self.now)
            else:
                count = sock.sendto(data, flags, tuple(where), now=self.now)
        except OSError as refusal:
            stream.begins()
            self._waiting(number, WRITE, refusal.errno)
            if refusal.errno == errno.EINPROGRESS and sock.tcb is not None and sock.tcb is not before:
                assert sock.tcb.write_seq == sock.tcb.iss + 1, "refused, and yet sent"
            raise
        assert 0 <= count <= len(data)
        if sock.tcb is not before:
            stream.begins()
        stream.given += count
        self.digest.update(b"w%d" % count)

    def read(self, number: int, size: int, flags: int, into: bool) -> None:
        """A program reads, and compares."""
        sock = self._socket(number)
        stream = self.streams[number]
        stream.begins()
        self._waiting(number, READ, 0)
        try:
            if into:
                space = bytearray(b"\xa5" * size)
                count = sock.recv_into(space, 0, flags, now=self.now)
                data = bytes(space[:count])
                assert space[count:] == b"\xa5" * (size - count) or flags & MSG_TRUNC
            else:
                data = sock.recv(size, flags, now=self.now)
        except OSError as refusal:
            if not flags & MSG_ERRQUEUE:
                self._waiting(number, READ, refusal.errno)
            raise
        assert len(data) <= size
        if not flags & MSG_TRUNC:
            for at in range(0, len(data), MOST):
                part = data[at : at + MOST]
                assert part == piece(stream.taken + at, len(part)), f"wrong bytes at {stream.taken}"
        if not flags & MSG_PEEK:
            stream.taken += len(data)
        self.digest.update(b"r%d" % len(data))

    def kill(self, number: int) -> None:
        """Somebody ends a socket from outside."""
        sock = self._socket(number)
        if not isinstance(sock, TcpSocket):
            return
        sock.destroy(now=self.now)

    def forget(self, number: int) -> None:
        """Not an action: a socket is closed."""
        self.streams.pop(number, None)

    def told(self, sock: Any, mask: int) -> None:
        """Not an action: its program was told."""
        for stream in self.streams.values():
            if stream.sock is sock:
                stream.waits &= ~mask

    def check_told(self) -> None:
        """Whoever waits and could go on has been told so."""
        ready = self.stack.ready
        for stream in self.streams.values():
            sock = stream.sock
            if not stream.waits or sock.closed:
                continue
            told = ready.get(sock, 0)
            if stream.waits & READ and not told & READ:
                assert not sock.readable, f"{sock} is readable, and nobody was told"
            if stream.waits & WRITE and not told & WRITE:
                tcb = sock.tcb
                if tcb is None or tcb.state in OPENING:
                    continue
                if tcb.snd_una < tcb.write_seq and (sizing.goal(tcb) != stream.goal or tcb.tcp.pressure):
                    continue  # buffers are reckoned otherwise now, or memory was short: with the next ACK it is told
                free = tcb.state not in SENDING or sizing.is_writable(tcb)
                assert not free, f"{sock} is writable, and nobody was told"

    # -- wires --------------------------------------------------------------------------------------------------------

    def wire(self, ns1: str, dev1: str, ns2: str, dev2: str) -> None:
        """What leaves one device comes to the other, from now on as `carry` says."""
        self.wires.append(Wire(((ns1, dev1), (ns2, dev2))))

    def meet(self, ns1: str, dev1: str, ns2: str, dev2: str) -> None:
        """Both know each other's MAC address for good."""
        one, two = self._device(ns1, dev1), self._device(ns2, dev2)
        if one is not None and two is not None:
            for here, there in ((one, two), (two, one)):
                for address in there.addresses:
                    self._knows(here, address.address, there.mac)

    def stranger(self, ns: str, name: str, station: bytes, addresses: list[int]) -> None:
        """A stranger with a MAC address on the link of a device, who is known there."""
        dev = self._device(ns, name)
        if dev is not None:
            self.strangers[station] = deque(maxlen=HEARD)
            for address in addresses:
                self._knows(dev, address, station)

    def _knows(self, dev: Device, address: int, mac: bytes) -> None:
        if address >> 32:
            if address & (1 << 128) - 1 == address:  # no link-local one
                dev.ns.neigh6.add_static(dev, address, mac, self.now)
        else:
            dev.ns.neigh4.add_static(dev, address, mac, self.now)
        dev.ns.settle(self.now)

    def carry(self, number: int, way: int, count: int, seed: int, faults: list[float]) -> None:
        """At most `count` frames get to the end of a wire, or do not: lost, doubled, overtaken, spoiled (fractions)."""
        if number >= len(self.wires):
            return
        wire = self.wires[number]
        queue, (ns, name) = wire.ways[way], wire.ends[1 - way]
        rng = Random(seed)
        lost, doubled, overtaken, spoiled = faults
        for _ in range(count):
            if not queue:
                return
            if rng.random() < overtaken:
                queue.rotate(-rng.randrange(1, 8))
            frame = queue.popleft()
            if rng.random() < lost:
                continue
            if rng.random() < doubled:
                queue.append(frame)
            dev = self._device(ns, name)
            if dev is None:
                continue
            if rng.random() < spoiled and not dev.vnet_hdr:
                bit = rng.randrange(len(frame) * 8)
                changed = bytearray(frame)
                changed[bit >> 3] ^= 1 << (bit & 7)
                frame = bytes(changed)
            self.receive(ns, name, frame)
            self._collect()

    def _device(self, ns: str, name: str) -> Device | None:
        space = self.stack.namespaces.get(ns)
        dev = None if space is None else space.devices.get(name)
        return dev if dev is not None and dev.kind == "tap" else None

    # -- the end ------------------------------------------------------------------------------------------------------

    def calm(self) -> None:
        """The wires are good and the strangers silent; programs read all and finish: everything gets where it should.
        Then all is closed, and soon nothing is left."""
        for ns in self.stack.namespaces.values():
            ns.sysctl["net.ipv4.tcp_mem"] = "10000 20000 40000"
        self._pass(CALM, True)
        self._check_arrived()
        for number in list(self.streams):
            sock = self.streams.pop(number).sock
            self.sockets.pop(number, None)
            if not sock.closed:
                sock.close(now=self.now)
        self._pass(CLOSING, False)
        for ns in self.stack.namespaces.values():
            for table in (ns._tcp, ns._tcp6):
                entries = [] if table is None else list(table.connections.values())
                left = [(entry.state, entry) for entry in entries if isinstance(entry, Tcb | Request)]
                assert not left, f"{len(left)} connections of nobody, {left[0][0]} among them"

    def _pass(self, length: int, read: bool) -> None:
        until = self.now + length
        steps = 0
        while True:
            self._flow(read)
            at = self.stack.poll_at()
            if at is None or at > until or self.now > until:
                return
            self.due()
            self._collect()
            steps += 1
            assert steps < 200_000, "no end of timers"

    def _flow(self, read: bool) -> None:
        """All frames arrive, all data are read, until nothing moves."""
        moved = True
        while moved:
            moved = False
            self._collect()
            for number in range(len(self.wires)):
                for way in (0, 1):
                    count = len(self.wires[number].ways[way])
                    if count:
                        moved = True
                        self.carry(number, way, count, 0, [0, 0, 0, 0])
            if read:
                for number in list(self.streams):
                    moved = self._drain(number) or moved

    def _drain(self, number: int) -> bool:
        stream = self.streams[number]
        sock = stream.sock
        if sock.closed:
            return False
        if sock.listening:
            return self._drain_listener(number)
        if sock.state in SENDING and not sock.shut & 2 and not sock.error:
            sock.shutdown(SHUT_WR, now=self.now)
            return True
        before = stream.taken
        try:
            self.read(number, _PIECE, 0, False)
        except OSError:
            return False
        return stream.taken > before

    def _drain_listener(self, number: int) -> bool:
        child = -1 - len(self.sockets) - self.frames
        while child in self.sockets:
            child -= 1
        try:
            self.take(number, child)
        except OSError:
            return False
        return True

    def _check_arrived(self) -> None:
        """No connection between two of the wired namespaces has anything left to say."""
        ends = {ns for wire in self.wires for ns, _ in wire.ends}
        addresses = {
            address.address: ns
            for ns in ends
            if ns in self.stack.namespaces
            for dev in self.stack.namespaces[ns].devices.values()
            for address in dev.addresses
        }
        for name in ends & set(self.stack.namespaces):
            ns = self.stack.namespaces[name]
            for table in (ns._tcp, ns._tcp6):
                for entry in [] if table is None else table.connections.values():
                    if isinstance(entry, Tcb) and addresses.get(entry.peer, name) != name:
                        behind = entry.write_seq - entry.snd_una
                        assert behind <= 0, f"{behind} bytes did not arrive in state {entry.state}: {entry.sock}"
