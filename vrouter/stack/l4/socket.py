"""A BSD-style socket of a namespace: the calls, their order of checks, and their errors are Linux's.

Nothing blocks: a call that would raises BlockingIOError (EAGAIN). Time is handed in as ``now`` (ns), which never goes
back; without it a call happens at the stack's time (`Stack.advance`). Addresses are as in Python's socket module
(`names`); what bind does with them stands in `endpoint`.

Here is what sockets of all kinds share; `datagram` and `tcp.socket` say how they send and receive.

Readiness: what makes a socket readable or writable, or gives it an error, sets READ, WRITE or ERROR for it in the
stack's ``ready``, until that is taken or the socket is closed.

Everything here is plain data of the namespace; ``user`` and ``on_close`` belong to whoever drives the socket.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from vrouter.stack.l4.ancillary import Ancillary
from vrouter.stack.l4.constants import ERROR
from vrouter.stack.l4.endpoint import Endpoint
from vrouter.stack.l4.membership import leave_all
from vrouter.stack.l4.options import get_option, set_option

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.demux import SocketTable
    from vrouter.stack.l4.names import Name
    from vrouter.stack.netns import Netns

Buffer: TypeAlias = bytes | bytearray | memoryview

_NO_TIMEOUTS: Final = (0, 0)


class Socket(Endpoint):
    """What all sockets have. ``shut`` is a sum: 1 receiving has ended, 2 sending; ``timeouts`` are SO_RCVTIMEO and
    SO_SNDTIMEO in ns (0: none), for whoever waits in a program's place."""

    __slots__ = (
        "announced",
        "drops",
        "error",
        "on_close",
        "priority",
        "rcvbuf",
        "shut",
        "sndbuf",
        "timeouts",
        "user",
    )

    type: ClassVar[int]

    def __init__(self, ns: Netns, family: int, table: SocketTable[Any]) -> None:
        super().__init__(ns, family, table)
        self.priority = self.error = self.announced = self.drops = self.shut = 0
        self.rcvbuf = ns.conf.rmem_default
        self.sndbuf = ns.conf.wmem_default
        self.timeouts: tuple[int, int] = _NO_TIMEOUTS
        self.user: Any = None
        self.on_close: Callable[[Any], None] | None = None

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        name = f"{self.table.name} {self._text(self.local)}:{self.port}"
        return f"<{type(self).__name__} {name} of {self.ns.name}{state}>"

    @property
    def proto(self) -> int:
        """The IP protocol."""
        return self.table.proto

    # -- the calls of each kind -------------------------------------------------------------------------------------

    @abstractmethod
    def connect(self, address: Name | None, *, now: int | None = None) -> None:
        """connect(2); None dissolves the association."""

    def connect_ex(self, address: Name | None, *, now: int | None = None) -> int:
        """`connect`, but the errno is returned; 0 is success."""
        try:
            self.connect(address, now=now)
        except OSError as error:
            return error.errno or errno.EINVAL
        return 0

    @abstractmethod
    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """send(2): the number of bytes taken."""

    @abstractmethod
    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(data, address)`` or ``sendto(data, flags, address)``."""

    @abstractmethod
    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Name | None = None,
        *,
        now: int | None = None,
    ) -> int:
        """sendmsg(2)."""

    @abstractmethod
    def recv(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> bytes:
        """recv(2): at most `bufsize` bytes."""

    @abstractmethod
    def recvfrom(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> tuple[bytes, Any]:
        """`recv` and where it came from."""

    @abstractmethod
    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[bytes, Ancillary, int, Any]:
        """(data, control messages, flags, address)."""

    def recv_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> int:
        """`recv` into `buffer`; the number of bytes written, or with MSG_TRUNC of a datagram its whole length."""
        return self.recvfrom_into(buffer, nbytes, flags, now=now)[0]

    @abstractmethod
    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[int, Any]:
        """`recv_into` and where it came from."""

    @abstractmethod
    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """shutdown(2)."""

    @abstractmethod
    def destroy(self, *, now: int | None = None) -> None:
        """End it from outside, as ``ss -K``: its program gets ECONNABORTED."""

    @property
    @abstractmethod
    def readable(self) -> bool:
        """Whether a receiving call would not raise EAGAIN."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether a sending call would not raise EAGAIN."""

    @abstractmethod
    def queues(self) -> tuple[int, int]:
        """What waits to be read, and to be sent, in bytes (of a listener: connections, and how many there may be)."""

    @abstractmethod
    def _end(self, now: int) -> None:
        """What closing it means for its protocol."""

    # -- what the stack tells it ------------------------------------------------------------------------------------

    def wake(self, mask: int) -> None:
        """Announce READ, WRITE, ERROR to whoever drives it, unless that is announced already."""
        if mask & ~self.announced and not self.closed:
            self.announced |= mask
            self.ns.stack.ready[self] = self.announced

    def device_removed(self, dev: Device) -> None:
        """`dev` leaves the namespace: memberships there end; a socket bound to it stays, and sending is ENODEV."""
        leave_all(self, dev)

    def take_error(self) -> int:
        """The pending errno, which is then no longer pending (SO_ERROR); 0 when there is none."""
        code, self.error = self.error, 0
        return code

    def forget_errors(self) -> None:
        """Empty the error queue (IP_RECVERR switched off)."""

    # -- options and the end ----------------------------------------------------------------------------------------

    def getsockopt(self, level: int, option: int, buflen: int = 0, *, now: int | None = None) -> int | bytes:
        """An int, or with `buflen` bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        self._begin(now)
        return get_option(self, level, option, buflen)

    def setsockopt(self, level: int, option: int, value: int | Buffer, *, now: int | None = None) -> None:
        """Set an option to an int, or to the bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        now = self._begin(now)
        set_option(self, level, option, value, now)
        if self.ns.group_changes:
            self.ns.settle(now)

    def set_own_option(self, level: int, option: int, data: bytes, now: int) -> bool:
        """Set an option that only its protocol has; whether there is one."""
        return False

    def get_own_option(self, level: int, option: int) -> int | bytes | None:
        """An option that only its protocol has, an int or bytes of the C value; None when there is none."""
        return None

    def buffer_set(self, which: int) -> None:
        """SO_RCVBUF or SO_SNDBUF was set (LOCK_RCVBUF, LOCK_SNDBUF)."""

    def close(self, *, now: int | None = None) -> None:
        """Give up port, memberships and what is queued; every later call is EBADF. Closing again does nothing."""
        now = self.ns.stack.advance(now)
        if self.closed:
            return
        self.closed = True
        leave_all(self)
        self._end(now)
        self.announced = 0
        self.ns.stack.ready.pop(self, None)
        self.ns.sockets.pop(self, None)
        if self.on_close is not None:
            hook, self.on_close = self.on_close, None
            hook(self)
        if self.ns.group_changes and not self.ns.closing:
            self.ns.settle(now)

    def record(self) -> dict[str, Any]:
        """A row of ``show sockets``; state in ss(8)'s words, queues in bytes."""
        rx_queue, tx_queue = self.queues()
        head = {"netns": self.ns.name, "proto": self.table.name}
        return {**head, **self.ends(), "rx_queue": rx_queue, "tx_queue": tx_queue}


def close_all(ns: Netns) -> None:
    """The namespace goes away: every socket is closed, and whoever drives one is told (``on_close``, ERROR)."""
    for sock in list(ns.sockets):
        sock.close()
        sock.announced = ns.stack.ready[sock] = ERROR
