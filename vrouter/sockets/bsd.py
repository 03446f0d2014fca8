"""The BSD-style socket of a namespace: the calls of Python's socket objects, with the kernel's numbers and errors.

Calls never block: what would raises BlockingIOError, and the loop's ``sock_*`` calls await it (`awaiting`). There is
no ``sendall``, ``makefile`` or ``dup``, which make no sense without blocking or descriptors.

A socket has no descriptor. Programs that poll one get an eventfd, made by the first `fileno`, which is readable
exactly when the socket is. It says nothing about writing: eventfds are always writable.

Expects: a `Driver` that is not closed, and a socket of the stack.
Sets:    ``Socket.user``, unless a transport drives the socket.
Next:    `awaiting`, and the loop's readers of the eventfd.

Read first: socket(7), tcp(7), ip(7), eventfd(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from vrouter.stack.l4 import constants as c

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.sockets.place import Place
    from vrouter.stack.l4.names import Name
    from vrouter.stack.l4.socket import Buffer, Socket

_Result = TypeVar("_Result")


class Doorbell:
    """Who waits for a socket: an eventfd, and futures of those that await a call. The stack's socket keeps it."""

    __slots__ = ("fd", "readers", "rung", "stack", "writers")

    def __init__(self, stack: Socket) -> None:
        self.stack = stack
        self.fd = -1
        self.rung = False
        self.readers: list[asyncio.Future[None]] = []
        self.writers: list[asyncio.Future[None]] = []

    def ready(self, mask: int) -> None:
        """The driver's news."""
        self.sync()
        if mask & (c.READ | c.ERROR):
            _wake(self.readers)
        if mask & (c.WRITE | c.ERROR):
            _wake(self.writers)

    def sync(self) -> None:
        """Make the eventfd say what is so."""
        if self.fd < 0:
            return
        readable = not self.stack.closed and self.stack.readable
        if readable != self.rung:
            self.rung = readable
            if readable:
                os.eventfd_write(self.fd, 1)
            else:
                with contextlib.suppress(BlockingIOError):  # somebody else has read it
                    os.eventfd_read(self.fd)

    def fileno(self) -> int:
        """The eventfd, which says what is so now."""
        if self.fd < 0:
            self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.sync()
        return self.fd

    def close(self) -> None:
        """Nobody is to be told any more: whoever awaits a call looks again, and finds the socket closed."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        _wake(self.readers)
        _wake(self.writers)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


class TransportSocket:
    """What one may see of the socket under a transport or a server, as asyncio's TransportSocket: names, options, and
    a descriptor to poll. ``stack`` is the stack's socket."""

    __slots__ = ("__weakref__", "_bell", "_driver", "stack")

    def __init__(self, driver: Driver, sock: Socket) -> None:
        self._driver = driver
        self.stack = sock
        self._bell = Doorbell(sock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stack!r}>"

    @property
    def driver(self) -> Driver:
        """What drives its namespace."""
        return self._driver

    @property
    def bell(self) -> Doorbell:
        """Who waits for it."""
        return self._bell

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET, AF_INET6 or AF_PACKET."""
        return socket.AddressFamily(self.stack.family)

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM, SOCK_DGRAM or SOCK_RAW."""
        return socket.SocketKind(self.stack.type)

    @property
    def proto(self) -> int:
        """IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP …"""
        return self.stack.proto

    @property
    def netns(self) -> str:
        """The path of its namespace."""
        return self.stack.ns.name

    def fileno(self) -> int:
        """An eventfd that is readable exactly when the socket is; -1 once that is closed."""
        return -1 if self.stack.closed else self._bell.fileno()

    def getsockname(self) -> Name:
        """getsockname(2)."""
        return self.stack.getsockname()

    def getpeername(self) -> Name:
        """getpeername(2)."""
        return self.stack.getpeername()

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """getsockopt(2)."""
        return self.stack.getsockopt(level, option, buflen)

    def setsockopt(self, level: int, option: int, value: int | Buffer | None, optlen: int = 0) -> None:
        """setsockopt(2); SO_RCVTIMEO and SO_SNDTIMEO bound the loop's sock_* calls."""
        self._driver.call(self.stack.setsockopt, level, option, bytes(optlen) if value is None else value)

    def gettimeout(self) -> float:
        """0.0: no call ever blocks."""
        return 0.0

    def getblocking(self) -> bool:
        """False: no call ever blocks."""
        return False

    def settimeout(self, value: float | None) -> None:
        """Accepted for programs that call it with 0; everything else is ValueError."""
        if value != 0:
            raise ValueError("sockets of a namespace never block")

    def setblocking(self, flag: bool) -> None:
        """Accepted for programs that call it; no call ever blocks, so True is ValueError."""
        if flag:
            raise ValueError("sockets of a namespace never block")

    def get_inheritable(self) -> bool:
        """False: no other process has it."""
        return False

    def shutdown(self, how: int) -> None:
        """shutdown(2)."""
        self._driver.call(self.stack.shutdown, how)


class NetnsSocket(TransportSocket):
    """A socket of a namespace that a program drives itself; `Netns.socket` makes it. When nobody has it any more it is
    closed, as a kernel socket's object is."""

    __slots__ = ("_owned", "place")

    def __init__(self, place: Place, sock: Socket) -> None:
        super().__init__(place.driver, sock)
        self.place = place
        self._owned = True
        sock.user = self._bell
        sock.on_close = self._bell_close

    @staticmethod
    def _bell_close(sock: Socket) -> None:
        bell, sock.user = sock.user, None
        if bell is not None:
            bell.close()

    def __enter__(self) -> NetnsSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_owned", False) and not self.stack.closed and not self._driver.loop.is_closed():
            self.close()

    def give(self) -> Socket:
        """The stack's socket, which somebody else drives and closes from now on."""
        self._owned = False
        self.stack.user = self.stack.on_close = None
        return self.stack

    def disown(self) -> None:
        """A transport drives and closes it from now on; this is what is seen of it."""
        self._owned = False

    def bind(self, address: Name) -> None:
        """bind(2)."""
        self._driver.call(self.stack.bind, address)

    def listen(self, backlog: int = 128) -> None:
        """listen(2)."""
        self._driver.call(_stream(self.stack).listen, max(backlog, 0))

    def accept(self) -> tuple[NetnsSocket, Name]:
        """accept(2)."""
        try:
            child, address = self._driver.call(_stream(self.stack).accept)
        finally:
            self._bell.sync()
        return NetnsSocket(self.place, child), address

    def connect(self, address: Name | None) -> None:
        """connect(2); None dissolves the association. A stream is connected by and by: BlockingIOError EINPROGRESS."""
        self._driver.call(self.stack.connect, address)

    def connect_ex(self, address: Name | None) -> int:
        """connect(2) with the errno as the result."""
        return self._driver.call(self.stack.connect_ex, address)

    def send(self, data: Buffer, flags: int = 0) -> int:
        """send(2)."""
        return self._driver.call(self.stack.send, data, flags)

    def sendto(self, data: Buffer, *where: Any) -> int:
        """sendto(2): ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        return self._driver.call(self.stack.sendto, data, *where)

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Name | None = None,
    ) -> int:
        """sendmsg(2)."""
        return self._driver.call(self.stack.sendmsg, buffers, ancdata, flags, address)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """recv(2)."""
        return self._received(self.stack.recv, bufsize, flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Name]:
        """recvfrom(2)."""
        return self._received(self.stack.recvfrom, bufsize, flags)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Name]:
        """recvmsg(2)."""
        return self._received(self.stack.recvmsg, bufsize, ancbufsize, flags)

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """recv(2) into a buffer."""
        return self._received(self.stack.recv_into, buffer, nbytes, flags)

    def recvfrom_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> tuple[int, Name]:
        """recvfrom(2) into a buffer."""
        return self._received(self.stack.recvfrom_into, buffer, nbytes, flags)

    def recvmsg_into(
        self, buffers: Iterable[bytearray | memoryview], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Name]:
        """recvmsg(2) into buffers."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data, ancdata, out, address = self.recvmsg(sum(map(len, views)), ancbufsize, flags)
        rest = memoryview(data)
        for view in views:
            part = rest[: len(view)]
            view[: len(part)] = part
            rest = rest[len(part) :]
        return len(data), ancdata, out, address

    def _received(self, function: Callable[..., _Result], *args: Any) -> _Result:
        try:
            return self._driver.call(function, *args)
        finally:
            self._bell.sync()

    def close(self) -> None:
        """close(2); again does nothing."""
        self._driver.call(self.stack.close)

    def detach(self) -> int:
        """Close nothing: the socket lives on and this object is no longer its owner. The eventfd, as `fileno`."""
        number = self.fileno()
        self._owned = False
        return number


def _stream(sock: Any) -> Any:
    """The socket, of which only a stream has these calls; OSError EOPNOTSUPP for another one."""
    if sock.type != c.SOCK_STREAM:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return sock
