"""TCP for tests: connections whose data the lab moves as room and data come, and transfers whose bytes are checked.

    listener = b.tcp_listen(80)
    client = a.tcp_connect(b, 80)               # moves the lab's time until it is there
    server = listener.accept()
    client.send(b"hello")
    assert server.recv(5) == b"hello"
    done = transfer(client, server, 10_000_000)
    assert done.rate > 9e6                      # bits of data a second

They are plain sockets of the node's stack underneath (`TcpFlow.socket`), so everything that a program would meet
happens. A `Pattern` is a stream of bytes that no two places of a few tens of kilobytes have in common, made from a
seed: whatever is lost, doubled, or put in the wrong place shows.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from hashlib import shake_256
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from vrouter.stack.base.addresses import format_address
from vrouter.stack.l4.constants import (
    AF_INET,
    AF_INET6,
    SHUT_WR,
    SO_ERROR,
    SOCK_STREAM,
    SOL_SOCKET,
    SOL_TCP,
    TCP_CONGESTION,
)
from vrouter.testing.errors import LabError
from vrouter.testing.octets import Ip

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.testing.node import Node

SECOND: Final = 1_000_000_000
PIECE: Final = 1 << 18  # bytes read or written at a time
_PERIOD: Final = 65_521  # a prime, so that the pattern falls in step with no segment and no window
_BACKLOG: Final = 1024


class Pattern:
    """An endless stream of bytes made from a seed; two are the same when their seeds are."""

    __slots__ = ("_data", "_view")

    def __init__(self, seed: int = 0) -> None:
        period = shake_256(b"vrouter pattern %d" % seed).digest(_PERIOD)
        self._data = period * (2 + PIECE // _PERIOD)
        self._view = memoryview(self._data)

    def piece(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on, PIECE at most."""
        start = offset % _PERIOD
        return self._view[start : start + min(size, PIECE)]

    def agrees(self, offset: int, data: bytes) -> bool:
        """Whether `data` is what stands at `offset`."""
        for at in range(0, len(data), PIECE):
            part = data[at : at + PIECE]
            if self.piece(offset + at, len(part)) != part:
                return False
        return True


class TcpFlow:
    """One end of a connection; made by `Node.tcp_connect` and `TcpListener.accept`.

    ``received`` is what came and was not taken by `recv`, unless a pattern is checked (`expect`); ``taken`` and
    ``given`` count all bytes that were read from and written to the socket. ``eof``: the peer will send no more.
    ``error`` is the OSError that ended it, if one did.
    """

    __slots__ = (
        "_check",
        "_pending",
        "_shut",
        "_source",
        "_wanted",
        "eof",
        "error",
        "given",
        "node",
        "reading",
        "received",
        "socket",
        "taken",
    )

    def __init__(self, node: Node, socket: TcpSocket) -> None:
        self.node = node
        self.socket = socket
        self.received = bytearray()
        self.taken = self.given = 0
        self.eof = False
        self.error: OSError | None = None
        self.reading = True
        """Whether what comes is read; a program that is slow leaves it in the socket. See `read`."""
        self._pending: deque[memoryview] = deque()
        self._source: Pattern | None = None
        self._wanted = 0  # of the pattern: up to which byte
        self._check: Pattern | None = None
        self._shut = False
        node.machine.watch(socket, self._ready)

    def __repr__(self) -> str:
        return f"<TcpFlow of {self.node.name}: {self.given} bytes given, {self.taken} taken>"

    @property
    def local(self) -> tuple[str, int]:
        """Its own address and port."""
        name = self.socket.getsockname(now=self.node.lab.now)
        return name[0], name[1]

    @property
    def peer(self) -> tuple[str, int]:
        """The other end's address and port."""
        name = self.socket.getpeername(now=self.node.lab.now)
        return name[0], name[1]

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send `data` behind what waits already, as room comes."""
        self._pending.append(memoryview(data))
        self._go()

    def send_pattern(self, pattern: Pattern, upto: int) -> None:
        """Send a pattern up to its byte `upto`, counted with what was given before; for a socket that sends nothing
        else."""
        self._source, self._wanted = pattern, upto
        self._go()

    def finish(self) -> None:
        """Send no more: a FIN behind everything that waits."""
        self._shut = True
        self._go()

    def close(self) -> None:
        """Close the socket; what it has not sent yet it still sends, what waits here it does not."""
        self.node.machine.unwatch(self.socket)
        self.socket.close(now=self.node.lab.now)
        self.node.lab.collect()

    # -- in ---------------------------------------------------------------------------------------------------------

    def expect(self, pattern: Pattern) -> None:
        """From now on compare what comes with a pattern instead of keeping it; a difference is a LabError."""
        self._check = pattern

    def read(self, on: bool) -> None:
        """Whether to read; switching it on takes what has come meanwhile."""
        self.reading = on
        self._go()

    def recv(self, size: int, timeout: float = 10.0) -> bytes:
        """Take exactly `size` bytes, moving the lab's time until they are there; fewer when the peer has finished.

        TimeoutError after `timeout` seconds, or the error that ended the connection.
        """
        if not self.node.lab.runs_until(lambda: len(self.received) >= size or self.over, timeout):
            raise TimeoutError(f"{len(self.received)} of {size} bytes came to {self!r} within {timeout} s")
        if len(self.received) < size and self.error is not None:
            raise self.error
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    @property
    def over(self) -> bool:
        """Whether nothing will come any more."""
        return self.eof or self.error is not None

    # -- what drives it ---------------------------------------------------------------------------------------------

    def _go(self) -> None:
        self._ready()
        self.node.lab.collect()

    def _ready(self) -> None:
        """The socket has room, data, or news."""
        try:
            if self.reading:
                self._read()
            self._write()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINPROGRESS, errno.ENOTCONN):
                self.error = self.error or error

    def _read(self) -> None:
        socket, lab = self.socket, self.node.lab
        while not self.eof:
            try:
                data = socket.recv(PIECE, now=lab.now)
            except BlockingIOError:
                return
            if not data:
                self.eof = True
                return
            if self._check is None:
                self.received += data
            elif not self._check.agrees(self.taken, data):
                raise LabError(f"{self!r}: what came is not what was sent, within {len(data)} bytes at {self.taken}")
            self.taken += len(data)

    def _write(self) -> None:
        socket, lab = self.socket, self.node.lab
        try:
            while self._pending:
                count = socket.send(self._pending[0], now=lab.now)
                self.given += count
                if count == len(self._pending[0]):
                    self._pending.popleft()
                else:
                    self._pending[0] = self._pending[0][count:]
            while self._source is not None and self.given < self._wanted:
                self.given += socket.send(self._source.piece(self.given, self._wanted - self.given), now=lab.now)
        except BlockingIOError:
            return
        if self._shut:
            self._shut = False
            socket.shutdown(SHUT_WR, now=lab.now)


class TcpListener:
    """A listening socket; made by `Node.tcp_listen`. ``waiting`` are connections that nobody has accepted."""

    __slots__ = ("node", "port", "socket", "waiting")

    def __init__(self, node: Node, port: int, addr: str, backlog: int = _BACKLOG, congestion: str = "") -> None:
        self.node = node
        self.waiting: deque[TcpFlow] = deque()
        self.socket = _stream(node, AF_INET6 if ":" in addr else AF_INET, congestion)
        now = node.lab.now
        try:
            self.socket.bind((addr, port), now=now)
            self.socket.listen(backlog, now=now)
        except OSError:
            self.socket.close(now=now)
            raise
        self.port: int = self.socket.getsockname(now=now)[1]
        node.machine.watch(self.socket, self._ready)

    def __repr__(self) -> str:
        return f"<TcpListener {self.port} of {self.node.name}>"

    def accept(self, timeout: float = 10.0) -> TcpFlow:
        """The next connection, moving the lab's time until there is one; TimeoutError after `timeout` seconds."""
        if not self.waiting and not self.node.lab.runs_until(lambda: bool(self.waiting), timeout):
            raise TimeoutError(f"nobody connected to {self!r} within {timeout} s")
        return self.waiting.popleft()

    def close(self) -> None:
        """Listen no more."""
        self.node.machine.unwatch(self.socket)
        self.socket.close(now=self.node.lab.now)
        self.node.lab.collect()

    def _ready(self) -> None:
        while True:
            try:
                socket, _ = self.socket.accept(now=self.node.lab.now)
            except BlockingIOError:
                return
            flow = TcpFlow(self.node, socket)
            self.waiting.append(flow)
            flow._ready()


def _stream(node: Node, family: int, congestion: str) -> TcpSocket:
    socket = cast("TcpSocket", node.ns.socket(family, SOCK_STREAM))
    if congestion:
        socket.setsockopt(SOL_TCP, TCP_CONGESTION, congestion.encode(), now=node.lab.now)
    return socket


def begin(node: Node, dst: Ip, port: int, *, src: str = "", congestion: str = "") -> TcpFlow:
    """`Node.tcp_connect` that does not wait: the connection is under way."""
    host = dst if isinstance(dst, str) else format_address(dst) if isinstance(dst, int) else dst.addr
    family = AF_INET6 if ":" in host else AF_INET
    now = node.lab.now
    socket = _stream(node, family, congestion)
    if src:
        socket.bind((src, 0), now=now)
    code = socket.connect_ex((host, port), now=now)
    if code not in (0, errno.EINPROGRESS):
        socket.close(now=now)
        raise OSError(code, f"{node.name}: {os.strerror(code)}")
    flow = TcpFlow(node, socket)
    node.lab.collect()
    return flow


def connect(node: Node, dst: Ip, port: int, *, src: str = "", congestion: str = "", timeout: float = 10.0) -> TcpFlow:
    """Connect, moving the lab's time until it is done; see `Node.tcp_connect`."""
    flow = begin(node, dst, port, src=src, congestion=congestion)
    socket = flow.socket
    done = node.lab.runs_until(lambda: bool(socket.writable) or flow.error is not None, timeout)
    code = socket.getsockopt(SOL_SOCKET, SO_ERROR, now=node.lab.now)
    if flow.error is None and code:
        flow.error = OSError(code, f"{node.name}: {os.strerror(int(code))}")
    if done and flow.error is None:
        return flow
    flow.close()
    if flow.error is not None:
        raise flow.error
    raise TimeoutError(f"{node.name}: no answer from port {port} within {timeout} s")


class Transfer(NamedTuple):
    """What a bulk transfer took: bytes, and ns from the first byte given to the last one taken."""

    size: int
    time: int

    @property
    def rate(self) -> float:
        """Bits of data a second."""
        return self.size * 8 * SECOND / self.time


def transfer(sender: TcpFlow, receiver: TcpFlow, size: int, *, seed: int = 0, timeout: float = 600.0) -> Transfer:
    """Send `size` bytes of a pattern, moving the lab's time until the last of them was read and found right.

    TimeoutError with how far it came after `timeout` seconds of the lab's; the error that ended either end.
    """
    lab = sender.node.lab
    pattern = Pattern(seed)
    began, before = lab.now, receiver.taken
    if sender.given or receiver.taken:
        raise LabError("a transfer wants a connection that has carried nothing in its direction yet")
    receiver.expect(pattern)
    sender.send_pattern(pattern, size)
    ends = (sender, receiver)
    done = lab.runs_until(lambda: receiver.taken - before >= size or any(end.error for end in ends), timeout)
    for end in ends:
        if end.error is not None:
            raise end.error
    if not done:
        raise TimeoutError(f"{receiver.taken} of {size} bytes within {timeout} s")
    return Transfer(size, lab.now - began)
