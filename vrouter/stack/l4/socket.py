"""A BSD-style socket of a namespace: the calls, their order of checks, and their errors are Linux's.

Nothing blocks: a call that would raises BlockingIOError (EAGAIN). Time is handed in as ``now`` (ns), which never goes
back; without it a call happens at the stack's time (`Stack.advance`). Addresses are as in Python's socket module
(`names`); what bind and connect do with them stands in `endpoint`.

Readiness: what makes a socket readable, or gives it an error, sets READ or ERROR for it in the stack's ``ready``, until
that is taken or the socket is closed. A datagram socket is always writable: what cannot be sent at once is dropped,
as on any IP network.

A received packet itself is what waits in the queue. It is charged with `OVERHEAD` and its bytes, against SO_RCVBUF: all
bytes that it keeps behind its network header, whether they are data or not, so that what is held is bounded whatever a
sender claims about its length.

What is a protocol's own (header, ports, what may be sent) its `SocketTable` knows. Everything here is plain data of the
namespace; ``user`` and ``on_close`` belong to whoever drives the socket.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Ancillary, QueuedError, extended_error, fit, path_news, received
from vrouter.stack.l4.endpoint import Endpoint
from vrouter.stack.l4.membership import leave_all
from vrouter.stack.l4.names import Name, Target, format_name
from vrouter.stack.l4.options import get_option, set_option
from vrouter.stack.l4.output import datagram_output

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l4.demux import SocketTable
    from vrouter.stack.netns import Netns

Buffer: TypeAlias = bytes | bytearray | memoryview

OVERHEAD: Final = 824  # with the 8 bytes of a UDP header: what Linux charges for an empty datagram


class Socket(Endpoint):
    """One socket."""

    __slots__ = (
        "_errors",
        "_path_mtu",
        "_queue",
        "_seen",
        "aimed",
        "announced",
        "charged",
        "drops",
        "error",
        "on_close",
        "priority",
        "proto",
        "rcvbuf",
        "shut",
        "sndbuf",
        "type",
        "user",
    )

    def __init__(self, ns: Netns, family: int = c.AF_INET, type: int = c.SOCK_DGRAM, proto: int = 0) -> None:  # noqa: A002 -- socket(2)'s word
        table = _table(ns, family, type & ~(c.SOCK_NONBLOCK | c.SOCK_CLOEXEC), proto)
        super().__init__(ns, family, table)
        conf = ns.conf
        self.type = c.SOCK_DGRAM
        self.proto = table.proto
        self.priority = self.error = self.announced = self.charged = self.drops = 0
        self.rcvbuf = conf.rmem_default
        self.sndbuf = conf.wmem_default
        self.user: Any = None
        self.on_close: Callable[[Socket], None] | None = None
        self.shut = 0  # 1 receiving, 2 sending
        self._queue: deque[Packet] | None = None
        self._errors: deque[QueuedError] | None = None
        self._path_mtu: tuple[int, int] | None = None  # what IPV6_RECVPATHMTU is to tell: destination and bytes
        self.aimed: tuple[Any, Target] | None = None  # the last name given to sendto, and what it means
        self._seen: tuple[int, int, int, Name] | None = None
        ns.sockets[self] = None

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<Socket {self.table.name} {self._text(self.local)}:{self.port} of {self.ns.name}{state}>"

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """Send one datagram to the peer; its length. OSError EDESTADDRREQ without a peer, and as `sendto`."""
        return self._send(data, flags, None, (), now)

    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(data, address)`` or ``sendto(data, flags, address)``: send one datagram; its length.

        OSError EMSGSIZE (over 65507 bytes, 65527 by IPv6, or too large for the path with IP_PMTUDISC_DO), EINVAL (port
        0, link-local without a zone), EACCES (broadcast without SO_BROADCAST), EAGAIN (no free port), EPIPE (after
        shutdown), what the route says, and an error that waits.
        """
        if not 1 <= len(where) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(where)} given)")
        return self._send(data, where[0] if len(where) == 2 else 0, where[-1], (), now)

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Name | None = None,
        *,
        now: int | None = None,
    ) -> int:
        """Send the joined `buffers` as one datagram with control messages (IP_PKTINFO, IP_TTL, IP_TOS, IPV6_PKTINFO,
        IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_DONTFRAG, SO_MARK)."""
        return self._send(b"".join(buffers), flags, address, ancdata, now)

    def _send(
        self, data: Buffer, flags: int, address: Any, ancdata: Iterable[tuple[int, int, Buffer]], now: int | None
    ) -> int:
        now = self._begin(now)
        if not self.port:
            self._bind_any(None)
        return datagram_output(self, data, flags, address, ancdata, now)

    # -- in ---------------------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> bytes:
        """The next datagram, cut to `bufsize` bytes; with MSG_PEEK it stays. OSError EAGAIN, or an error that waits."""
        return self._receive(bufsize, flags, now)[0]

    def recvfrom(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> tuple[bytes, Name]:
        """`recv` and where it came from."""
        data, origin, _ = self._receive(bufsize, flags, now)
        return data, self._origin(origin)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[bytes, Ancillary, int, Name]:
        """(data, control messages, MSG_TRUNC | MSG_CTRUNC | MSG_ERRQUEUE, address) of the next datagram.

        With MSG_ERRQUEUE: of the next error that IP_RECVERR kept, with the address that its datagram was sent to. News
        of IPV6_RECVPATHMTU come first, without data.
        """
        if self._path_mtu is not None and not flags & c.MSG_ERRQUEUE and not self.closed:
            (dst, mtu), self._path_mtu = self._path_mtu, None
            messages, cut = fit(path_news(dst, mtu), ancbufsize)
            return b"", messages, cut, format_name(self, self.table.family, dst, 0)
        data, origin, size = self._receive(bufsize, flags, now)
        out = c.MSG_TRUNC if size > bufsize else 0
        if isinstance(origin, QueuedError):
            messages, cut = fit(extended_error(self, origin), ancbufsize)
            return data, messages, out | cut | c.MSG_ERRQUEUE, self._origin(origin)
        if not (self.settings.options | self.settings4.options) & c.ANCILLARY:
            return data, [], out, self._origin(origin)
        messages, cut = fit(received(self, origin), ancbufsize)
        return data, messages, out | cut, self._origin(origin)

    def recv_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> int:
        """`recv` into `buffer`; the number of bytes written, or with MSG_TRUNC the datagram's whole length."""
        return self.recvfrom_into(buffer, nbytes, flags, now=now)[0]

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[int, Name]:
        """`recv_into` and where it came from."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0 or nbytes > len(view):
            raise ValueError("nbytes is negative or larger than the buffer")
        data, origin, size = self._receive(nbytes or len(view), flags, now)
        view[: len(data)] = data
        return (size if flags & c.MSG_TRUNC else len(data)), self._origin(origin)

    def _receive(self, bufsize: int, flags: int, now: int | None) -> tuple[bytes, Packet | QueuedError, int]:
        """(data, packet or queued error, whole size)."""
        self._begin(now)
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        if flags & c.MSG_ERRQUEUE:
            entry = self._next_error()
            return entry.data[:bufsize], entry, len(entry.data)
        if self.error:
            raise os_error(self.take_error())
        queue = self._queue
        if not queue:
            raise os_error(errno.EAGAIN)
        if flags & c.MSG_PEEK:
            pkt = queue[0]
        else:
            pkt = queue.popleft()
            self.charged -= OVERHEAD + len(pkt.buf) - pkt.l4
        start = pkt.l4 + self.table.header
        size = pkt.end - start
        return bytes(memoryview(pkt.buf)[start : start + min(size, bufsize)]), pkt, size

    def _origin(self, origin: Packet | QueuedError) -> Name:
        if isinstance(origin, QueuedError):
            return format_name(self, origin.family, origin.dst, origin.port)
        port = self.table.source_port(origin)
        seen = self._seen
        # Text is dear, and most datagrams come from where the last one came from.
        if seen is None or seen[0] != origin.src or seen[1] != port or seen[2] != origin.family:
            name = format_name(self, origin.family, origin.src, port)
            seen = self._seen = (origin.src, port, origin.family, name)
        return seen[3]

    # -- what the stack tells it ------------------------------------------------------------------------------------

    def has_room(self, pkt: Packet) -> bool:
        """Whether SO_RCVBUF leaves room for `pkt`; an empty queue takes anything. A refusal is counted in ``drops``."""
        if self.charged and self.charged + OVERHEAD + len(pkt.buf) - pkt.l4 > self.rcvbuf:
            self.drops += 1
            return False
        return True

    def deliver(self, pkt: Packet) -> bool:
        """Take `pkt` into the queue; False when there is no room. Expects ``l4`` and ``end`` around its datagram."""
        if not self.has_room(pkt):
            return False
        self.charged += OVERHEAD + len(pkt.buf) - pkt.l4
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        queue.append(pkt)
        if not self.announced & c.READ:
            self._announce(c.READ)
        return True

    def icmp_error(self, error: QueuedError, fatal: bool) -> None:
        """An ICMP error about a datagram of its own: the errno waits for the next call.

        As Linux, a socket is told only of fatal ones and when it is connected, or of all when it has IP_RECVERR.
        """
        if self.settings_of(error.family).options & c.RECVERR:
            self.queue_error(error)
        elif not fatal or not self.peer:
            return
        self.error = error.code
        self._announce(c.ERROR)

    def tell_path_mtu(self, dst: int, mtu: int) -> None:
        """What could not be sent for its size is worth a message to a program with IPV6_RECVPATHMTU (RFC 3542 11.3);
        the latest stands for all."""
        self._path_mtu = dst, mtu
        self._announce(c.READ)

    def device_removed(self, dev: Device) -> None:
        """`dev` leaves the namespace: memberships there end; a socket bound to it stays, and sending is ENODEV."""
        leave_all(self, dev)

    # -- errors -----------------------------------------------------------------------------------------------------

    def take_error(self) -> int:
        """The pending errno, which is then no longer pending (SO_ERROR); 0 when there is none."""
        code, self.error = self.error, 0
        return code

    def queue_error(self, entry: QueuedError) -> None:
        """Keep an error for MSG_ERRQUEUE; with SO_RCVBUF full only its errno is told, as Linux does."""
        size = OVERHEAD + len(entry.data)
        if self.charged + size > self.rcvbuf:
            return
        self.charged += size
        if self._errors is None:
            self._errors = deque()
        self._errors.append(entry)
        self._announce(c.ERROR)

    def _next_error(self) -> QueuedError:
        if not self._errors:
            raise os_error(errno.EAGAIN)
        entry = self._errors.popleft()
        self.charged -= OVERHEAD + len(entry.data)
        following = self._errors[0] if self._errors else None
        if following is not None and following.origin != c.SO_EE_ORIGIN_LOCAL:
            self.error = following.code
        elif entry.origin != c.SO_EE_ORIGIN_LOCAL:
            self.error = 0
        return entry

    def forget_errors(self) -> None:
        """Empty the error queue (IP_RECVERR switched off)."""
        while self._errors:
            self.charged -= OVERHEAD + len(self._errors.popleft().data)

    def _announce(self, mask: int) -> None:
        if mask & ~self.announced:
            self.announced |= mask
            self.ns.stack.ready[self] = self.announced

    @property
    def readable(self) -> bool:
        """Whether a receiving call would not raise EAGAIN, or the receiving side is shut."""
        return bool(self._queue) or self.error != 0 or self.shut & 1 != 0 or self._path_mtu is not None

    @property
    def writable(self) -> bool:
        """Whether a sending call would not raise EAGAIN."""
        return not self.closed

    def loops(self, family: int) -> bool:
        """Whether groups here get what it sends in a family (IP_MULTICAST_LOOP)."""
        multicast = self.settings_of(family).multicast
        return multicast is None or multicast.loop

    # -- options and the end ----------------------------------------------------------------------------------------

    def getsockopt(self, level: int, option: int, buflen: int = 0, *, now: int | None = None) -> int | bytes:
        """An int, or with `buflen` bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        self._begin(now)
        return get_option(self, level, option, buflen)

    def setsockopt(self, level: int, option: int, value: int | Buffer, *, now: int | None = None) -> None:
        """Set an option to an int, or to the bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        now = self._begin(now)
        set_option(self, level, option, value)
        if self.ns.group_changes:
            self.ns.settle(now)

    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """End a direction; OSError ENOTCONN without a peer (and it takes effect all the same, as in Linux)."""
        self._begin(now)
        if not c.SHUT_RD <= how <= c.SHUT_RDWR:
            raise os_error(errno.EINVAL)
        self.shut |= how + 1
        self._announce(c.READ)
        if not self.peer:
            raise os_error(errno.ENOTCONN)

    def close(self, *, now: int | None = None) -> None:
        """Give up port, memberships and what is queued; every later call is EBADF. Closing again does nothing."""
        now = self.ns.stack.advance(now)
        if self.closed:
            return
        self.closed = True
        self._leave()
        leave_all(self)
        self._queue = self._errors = None
        self.charged = self.announced = 0
        self.ns.stack.ready.pop(self, None)
        self.ns.sockets.pop(self, None)
        if self.on_close is not None:
            hook, self.on_close = self.on_close, None
            hook(self)
        if self.ns.group_changes and not self.ns.closing:
            self.ns.settle(now)

    def record(self) -> dict[str, Any]:
        """A row of ``show sockets``; state in ss(8)'s words, queues in bytes."""
        head = {"netns": self.ns.name, "proto": self.table.name}
        return {**head, **self.ends(), "rx_queue": self.charged, "tx_queue": 0}


def _table(ns: Netns, family: int, kind: int, proto: int) -> SocketTable:
    """The protocol that socket(2)'s three numbers mean; OSError EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT."""
    if family == c.AF_PACKET:
        raise OSError(errno.EAFNOSUPPORT, f"address family {family} is not supported yet")
    if family not in (c.AF_INET, c.AF_INET6):
        raise os_error(errno.EAFNOSUPPORT)
    if kind == c.SOCK_DGRAM:
        if proto in (0, c.IPPROTO_UDP):
            return ns.udp if family == c.AF_INET else ns.udp6
        if proto == (c.IPPROTO_ICMP if family == c.AF_INET else c.IPPROTO_ICMPV6):
            return ns.ping if family == c.AF_INET else ns.ping6
        raise os_error(errno.EPROTONOSUPPORT)
    if kind in (c.SOCK_STREAM, c.SOCK_RAW):
        word = "stream" if kind == c.SOCK_STREAM else "raw"
        raise OSError(errno.EPROTONOSUPPORT, f"{word} sockets are not supported yet")
    raise os_error(errno.EINVAL)


def records(ns: Netns) -> list[dict[str, Any]]:
    """The rows of ``show sockets`` for a namespace: the bound ones, as ss(8), in the order in which they were made."""
    return [sock.record() for sock in ns.sockets if sock.port]


def close_all(ns: Netns) -> None:
    """The namespace goes away: every socket is closed, and whoever drives one is told (``on_close``, ERROR)."""
    for sock in list(ns.sockets):
        sock.close()
        sock._announce(c.ERROR)
