"""A BSD-style socket of a namespace: the calls, their order of checks, and their errors are Linux's.

Nothing blocks: a call that would raises BlockingIOError (EAGAIN). Time is handed in as ``now`` (ns), which never goes
back; without it a call happens at the stack's time (`Stack.advance`). Addresses are ``("10.0.0.1", 53)`` as in Python's
socket module (`names`).

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

from vrouter.stack.base.addresses import format_address, is_multicast4
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Ancillary, QueuedError, extended_error, fit, received
from vrouter.stack.l4.membership import Multicast, leave_all
from vrouter.stack.l4.names import Name, parse_name
from vrouter.stack.l4.options import get_option, set_option
from vrouter.stack.l4.output import datagram_output, find_route

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l4.demux import SocketTable
    from vrouter.stack.netns import Netns

Buffer: TypeAlias = bytes | bytearray | memoryview

OVERHEAD: Final = 824  # with the 8 bytes of a UDP header: what Linux charges for an empty datagram


class Socket:
    """One socket. ``local``/``port`` is where it receives, ``source`` the address it sends from, ``peer``/``peer_port``
    whom it is connected to; 0 means not set."""

    __slots__ = (
        "_errors",
        "_locks",
        "_queue",
        "_seen",
        "aimed",
        "announced",
        "charged",
        "closed",
        "device",
        "drops",
        "error",
        "family",
        "local",
        "mark",
        "mtu_discover",
        "multicast",
        "ns",
        "on_close",
        "options",
        "peer",
        "peer_port",
        "port",
        "priority",
        "proto",
        "rcvbuf",
        "shut",
        "sndbuf",
        "source",
        "table",
        "tos",
        "ttl",
        "type",
        "user",
    )

    def __init__(self, ns: Netns, family: int = c.AF_INET, type: int = c.SOCK_DGRAM, proto: int = 0) -> None:  # noqa: A002 -- socket(2)'s word
        table = _table(ns, family, type & ~(c.SOCK_NONBLOCK | c.SOCK_CLOEXEC), proto)
        conf = ns.conf
        self.ns = ns
        self.table: SocketTable = table
        self.family = family
        self.type = c.SOCK_DGRAM
        self.proto = table.proto
        self.options = table.initial_options
        self.local = self.source = self.port = self.peer = self.peer_port = 0
        self.device: Device | None = None
        self.multicast: Multicast | None = None
        self.ttl = self.tos = self.mark = self.priority = self.error = self.announced = self.charged = self.drops = 0
        self.mtu_discover = c.IP_PMTUDISC_WANT
        self.rcvbuf = conf.rmem_default
        self.sndbuf = conf.wmem_default
        self.closed = False
        self.user: Any = None
        self.on_close: Callable[[Socket], None] | None = None
        self._locks = self.shut = 0  # shut: 1 receiving, 2 sending
        self._queue: deque[Packet] | None = None
        self._errors: deque[QueuedError] | None = None
        self.aimed: tuple[Any, int, int] | None = None  # the last name given to sendto, and what it means
        self._seen: tuple[int, int, Name] | None = None
        ns.sockets[self] = None

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<Socket {self.table.name} {format_address(self.local)}:{self.port} of {self.ns.name}{state}>"

    # -- names ------------------------------------------------------------------------------------------------------

    def bind(self, address: Name, *, now: int | None = None) -> None:
        """Receive at `address`; port 0 is a free one. OSError EINVAL (bound already), EADDRINUSE, EADDRNOTAVAIL."""
        self._begin(now)
        local, port = parse_name(address, "bind")
        group = is_multicast4(local) or self.ns.ip4.is_broadcast(local)
        if group and self.proto == c.IPPROTO_ICMP:
            raise os_error(errno.EADDRNOTAVAIL)
        if local and not group and not self.options & c.FREEBIND and not self.ns.ip4.is_local(local):
            raise os_error(errno.EADDRNOTAVAIL)
        if self.port or self.peer:
            raise os_error(errno.EINVAL)
        if port:
            if self.table.conflicts(self, local, port):
                raise os_error(errno.EADDRINUSE)
            self._locks |= c.LOCK_PORT
        else:
            port = self.table.choose_port(self, local)
            if not port:
                raise os_error(errno.EADDRINUSE)
        if local:
            self._locks |= c.LOCK_ADDRESS
        self.local, self.port = local, port
        self.source = 0 if group else local
        self.table.insert(self)

    def connect(self, address: Name | None, *, now: int | None = None) -> None:
        """Send to `address` and receive from it alone; None dissolves the connection (AF_UNSPEC).

        OSError EAGAIN (no free port), EACCES (broadcast without SO_BROADCAST), and what the route says.
        """
        self._begin(now)
        if address is None:
            return self._disconnect()
        peer, port = parse_name(address, "connect")
        if not self.port:
            self._bind_any((peer, port))
        peer, _, source = find_route(self, peer, self.device, self.source)
        self.source = self.source or source
        if not self.local:
            self.table.remove(self)
            self.local = source
            self.table.insert(self)
        self.peer, self.peer_port = peer, port
        self.table.changed(self)
        return None

    def connect_ex(self, address: Name | None, *, now: int | None = None) -> int:
        """`connect`, but the errno is returned; 0 is success."""
        try:
            self.connect(address, now=now)
        except OSError as error:
            return error.errno or errno.EINVAL
        return 0

    def _disconnect(self) -> None:
        """Linux's __udp_disconnect: what bind(2) gave stays, what connect(2) chose goes, and so does the device."""
        self.peer = self.peer_port = 0
        self.device = None
        if not self.port:
            return
        self.table.remove(self)
        if not self._locks & c.LOCK_ADDRESS:
            self.local = self.source = 0
        if self._locks & c.LOCK_PORT:
            self.table.insert(self)
        else:
            self.port = 0

    def _bind_any(self, peer: tuple[int, int] | None) -> None:
        port = self.table.choose_port(self, self.local, peer)
        if not port:
            raise os_error(errno.EAGAIN)
        self.port = port
        self.table.insert(self)

    def getsockname(self, *, now: int | None = None) -> Name:
        """The address and port of this end; zeros while there are none."""
        self._begin(now)
        return format_address(self.local or self.source), self.port

    def getpeername(self, *, now: int | None = None) -> Name:
        """The address and port of the other end; OSError ENOTCONN."""
        self._begin(now)
        if not self.peer or not self.peer_port:
            raise os_error(errno.ENOTCONN)
        return format_address(self.peer), self.peer_port

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """Send one datagram to the peer; its length. OSError EDESTADDRREQ without a peer, and as `sendto`."""
        return self._send(data, flags, None, (), now)

    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(data, address)`` or ``sendto(data, flags, address)``: send one datagram; its length.

        OSError EMSGSIZE (over 65507 bytes, or too large for the path with IP_PMTUDISC_DO), EINVAL (port 0), EACCES
        (broadcast without SO_BROADCAST), EAGAIN (no free port), EPIPE (after shutdown), what the route says, and an
        error that waits.
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
        """Send the joined `buffers` as one datagram with control messages (IP_PKTINFO, IP_TTL, IP_TOS, SO_MARK)."""
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

        With MSG_ERRQUEUE: of the next error that IP_RECVERR kept, with the address that its datagram was sent to.
        """
        data, origin, size = self._receive(bufsize, flags, now)
        out = c.MSG_TRUNC if size > bufsize else 0
        if isinstance(origin, QueuedError):
            messages, cut = fit(extended_error(origin), ancbufsize)
            return data, messages, out | cut | c.MSG_ERRQUEUE, self._origin(origin)
        if not self.options & c.ANCILLARY:
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
            return format_address(origin.dst), origin.port
        port = self.table.source_port(origin)
        seen = self._seen
        # Text is dear, and most datagrams come from where the last one came from.
        if seen is None or seen[0] != origin.src or seen[1] != port:
            seen = self._seen = (origin.src, port, (format_address(origin.src), port))
        return seen[2]

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

    def icmp_error(
        self,
        code: int,
        fatal: bool,
        icmp_type: int,
        icmp_code: int,
        info: int,
        offender: int,
        dst: int,
        port: int,
        data: bytes,
    ) -> None:
        """An ICMP error about a datagram to (`dst`, `port`): errno `code` waits for the next call.

        As Linux, a socket is told only of fatal ones and when it is connected, or of all when it has IP_RECVERR.
        """
        if self.options & c.RECVERR:
            self.queue_error(
                QueuedError(code, c.SO_EE_ORIGIN_ICMP, icmp_type, icmp_code, info, offender, dst, port, data)
            )
        elif not fatal or not self.peer:
            return
        self.error = code
        self._announce(c.ERROR)

    def device_removed(self, dev: Device) -> None:
        """`dev` leaves the namespace: memberships there end; a socket bound to it stays, and sending is ENODEV."""
        leave_all(self, dev)
        if self.multicast is not None and self.multicast.device is dev:
            self.multicast.device, self.multicast.address = None, 0

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
        if following is not None and following.origin == c.SO_EE_ORIGIN_ICMP:
            self.error = following.code
        elif entry.origin == c.SO_EE_ORIGIN_ICMP:
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
        return bool(self._queue) or self.error != 0 or self.shut & 1 != 0

    @property
    def writable(self) -> bool:
        """Whether a sending call would not raise EAGAIN."""
        return not self.closed

    @property
    def multicast_loop(self) -> bool:
        """Whether groups here get what it sends (IP_MULTICAST_LOOP)."""
        return self.multicast is None or self.multicast.loop

    # -- options and the end ----------------------------------------------------------------------------------------

    def getsockopt(self, level: int, option: int, buflen: int = 0, *, now: int | None = None) -> int | bytes:
        """An int, or with `buflen` bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        self._begin(now)
        return get_option(self, level, option, buflen)

    def setsockopt(self, level: int, option: int, value: int | Buffer, *, now: int | None = None) -> None:
        """Set an option to an int, or to the bytes of the C value; OSError ENOPROTOOPT for what is not known."""
        self._begin(now)
        set_option(self, level, option, value)

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
        self.ns.stack.advance(now)
        if self.closed:
            return
        self.closed = True
        if self.port:
            self.table.remove(self)
        leave_all(self)
        self._queue = self._errors = None
        self.charged = self.announced = 0
        self.ns.stack.ready.pop(self, None)
        self.ns.sockets.pop(self, None)
        if self.on_close is not None:
            hook, self.on_close = self.on_close, None
            hook(self)

    def _begin(self, now: int | None) -> int:
        """Every call begins so: it is `now`, and the socket must be open."""
        now = self.ns.stack.advance(now)
        if self.closed:
            raise os_error(errno.EBADF)
        return now

    @property
    def bound_device(self) -> Device | None:
        """The device that it is bound to, while that is still here: one that has moved is nobody's business."""
        dev = self.device
        return dev if dev is not None and not dev.removed and dev.ns is self.ns else None

    def record(self) -> dict[str, Any]:
        """A row of ``show sockets``; state in ss(8)'s words, queues in bytes."""
        dev = self.bound_device
        where = f"%{dev.name}" if dev is not None else ""
        return {
            "netns": self.ns.name,
            "proto": self.table.name,
            "state": "ESTAB" if self.peer else "UNCONN",
            "local": f"{format_address(self.local)}{where}:{self.port}",
            "peer": f"{format_address(self.peer)}:{self.peer_port}" if self.peer else "0.0.0.0:*",
            "rx_queue": self.charged,
            "tx_queue": 0,
        }


def _table(ns: Netns, family: int, kind: int, proto: int) -> SocketTable:
    """The protocol that socket(2)'s three numbers mean; OSError EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT."""
    if family in (c.AF_INET6, c.AF_PACKET):
        raise OSError(errno.EAFNOSUPPORT, f"address family {family} is not supported yet")
    if family != c.AF_INET:
        raise os_error(errno.EAFNOSUPPORT)
    if kind == c.SOCK_DGRAM:
        if proto in (0, c.IPPROTO_UDP):
            return ns.udp
        if proto == c.IPPROTO_ICMP:
            return ns.ping
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
