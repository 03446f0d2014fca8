"""A socket whose messages are packets: UDP and ping sockets.

Readiness: a datagram socket is always writable: what cannot be sent at once is dropped, as on any IP network.

A received packet itself is what waits in the queue. It is charged with `OVERHEAD` and its bytes, against SO_RCVBUF: all
bytes that it keeps behind its network header, whether they are data or not, so that what is held is bounded whatever a
sender claims about its length.

What is a protocol's own (header, ports, what may be sent) its `DatagramTable` knows. Connecting is Linux's
(ip4_datagram_connect, ip6_datagram_connect): it says whom to send to and whom to hear, and nothing is sent.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.stack.base.addresses import V6
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Ancillary, QueuedError, extended_error, fit, path_news, received
from vrouter.stack.l4.names import Name, Target, format_name, needs_zone, parse_name
from vrouter.stack.l4.output import check_family, datagram_output, find_route
from vrouter.stack.l4.socket import Buffer, Socket

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l4.demux import DatagramTable
    from vrouter.stack.netns import Netns

OVERHEAD: Final = 824  # with the 8 bytes of a UDP header: what Linux charges for an empty datagram


class DatagramSocket(Socket):
    """One socket of a `DatagramTable`."""

    __slots__ = ("_errors", "_path_mtu", "_queue", "_seen", "aimed", "charged")

    type: ClassVar = c.SOCK_DGRAM
    table: DatagramTable

    def __init__(self, ns: Netns, family: int, table: DatagramTable) -> None:
        super().__init__(ns, family, table)
        self.charged = 0
        self._queue: deque[Packet] | None = None
        self._errors: deque[QueuedError] | None = None
        self._path_mtu: tuple[int, int] | None = None  # what IPV6_RECVPATHMTU is to tell: destination and bytes
        self.aimed: tuple[Any, Target] | None = None  # the last name given to sendto, and what it means
        self._seen: tuple[int, int, int, Name] | None = None

    # -- whom it is connected to ------------------------------------------------------------------------------------

    def connect(self, address: Name | None, *, now: int | None = None) -> None:
        """Send to `address` and receive from it alone; None dissolves the connection (AF_UNSPEC).

        OSError EAGAIN (no free port), EACCES (broadcast without SO_BROADCAST), EINVAL (link-local without a zone), and
        what `check_family` and the route say.
        """
        self._begin(now)
        if address is None:
            return self._disconnect()
        target = parse_name(self, address, "connect")
        at, peer, port, device = target.family, target.address, target.port, self.device
        if not self.port:
            self._bind_any((peer, port))
        if self.family == c.AF_INET6:
            peer, at = check_family(self, peer, at)
            if at == V6 and needs_zone(peer):
                device = self.device_towards(target)
        source = self.source if at == self.at else 0
        peer, _, chosen = find_route(self, at, peer, device, source, port=port, mark=self.mark)
        source = source or chosen
        if not self.local or at != self.at:
            self._leave()
            self.at, self.local = at, source
            self._stand()
        self.source, self.peer, self.peer_port, self.device = source, peer, port, device
        self.changed()
        return None

    def _disconnect(self) -> None:
        """Linux's __udp_disconnect: what bind(2) gave stays, what connect(2) chose goes, and so does the device."""
        self.peer = self.peer_port = 0
        self.device = None
        if not self.port:
            return
        self._leave()
        if not self._locks & c.LOCK_ADDRESS:
            self.local = self.source = 0
            self.at = self.table.family
        if self._locks & c.LOCK_PORT:
            self._stand()
        else:
            self.port = 0

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
            self.wake(c.READ)
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
        self.wake(c.ERROR)

    def tell_path_mtu(self, dst: int, mtu: int) -> None:
        """What could not be sent for its size is worth a message to a program with IPV6_RECVPATHMTU (RFC 3542 11.3);
        the latest stands for all."""
        self._path_mtu = dst, mtu
        self.wake(c.READ)

    # -- errors -----------------------------------------------------------------------------------------------------

    def queue_error(self, entry: QueuedError) -> None:
        """Keep an error for MSG_ERRQUEUE; with SO_RCVBUF full only its errno is told, as Linux does."""
        size = OVERHEAD + len(entry.data)
        if self.charged + size > self.rcvbuf:
            return
        self.charged += size
        if self._errors is None:
            self._errors = deque()
        self._errors.append(entry)
        self.wake(c.ERROR)

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

    # -- the end ----------------------------------------------------------------------------------------------------

    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """End a direction; OSError ENOTCONN without a peer (and it takes effect all the same, as in Linux)."""
        self._begin(now)
        if not c.SHUT_RD <= how <= c.SHUT_RDWR:
            raise os_error(errno.EINVAL)
        self.shut |= how + 1
        self.wake(c.READ)
        if not self.peer:
            raise os_error(errno.ENOTCONN)

    def _end(self, now: int) -> None:
        self._leave()
        self._queue = self._errors = None
        self.charged = 0

    def destroy(self, *, now: int | None = None) -> None:
        """ECONNABORTED for the program; a connected one is connected no longer (udp_abort)."""
        self.ns.stack.advance(now)
        self.error = errno.ECONNABORTED
        self.wake(c.ERROR)
        self._disconnect()

    def queues(self) -> tuple[int, int]:
        """What waits to be read as it is charged; nothing waits to be sent."""
        return self.charged, 0
