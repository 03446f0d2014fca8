"""A stream socket: connect, listen, accept, send and receive with TCP, as Linux's calls do it.

::

    connect ─► lifecycle.open_active ─► output.send_syn                  `tcb` is the connection, None before there is one
    listen  ─► (listen: requests, children) ─► `queue` ─► accept ─► a socket whose connection is there already
    send    ─► output.queue_data ─► output.output
    recv    ─► tcb.rcvq ─► receive.consumed

The order of checks and the errors are those of __inet_stream_connect, __inet_listen_sk, inet_csk_accept,
tcp_sendmsg_locked, tcp_recvmsg_locked, inet_shutdown and __tcp_close. Nothing blocks: connect(2) is EINPROGRESS, and
the second call tells how it ended.

Urgent data stands in line (RFC 6093 3.2, SO_OOBINLINE is on and cannot be switched off), so MSG_OOB is EINVAL to receive
with; a receiving call ends before the urgent mark, as in Linux.

Next: `wake` tells whoever drives it; `options` knows SOL_TCP, `info` TCP_INFO.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.stack.base.addresses import LOOPBACK6, V4, V6, is_multicast4, is_multicast6
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import INT, Ancillary, fit
from vrouter.stack.l4.names import Name, needs_zone, parse_name
from vrouter.stack.l4.output import check_family, find_route
from vrouter.stack.l4.socket import Buffer, Socket
from vrouter.stack.l4.tcp import lifecycle, output, receive, sizing, urgent
from vrouter.stack.l4.tcp.options import get_stream_option, set_stream_option
from vrouter.stack.l4.tcp.tcb import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, SYN_SENT, Tcb

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.netns import Netns

# How far connect(2) has come (Linux's SS_*): the call after the one that began it tells how it ended.
UNCONNECTED: Final = 0
CONNECTING: Final = 1
CONNECTED: Final = 2

_SENDING: Final = (ESTABLISHED, CLOSE_WAIT)
_OPENING: Final = (SYN_SENT, SYN_RECEIVED)

# As ss(8) calls the states, by their numbers.
STATE_NAMES: Final = (
    "", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK",
    "LISTEN", "CLOSING",
)  # fmt: skip
# What an accepted connection has of its listener.
_INHERITED: Final = (
    "options", "mark", "priority", "device", "rcvbuf", "sndbuf", "timeouts", "locked", "linger", "linger2", "keepalive",
    "keepidle", "keepintvl", "keepcnt", "syncnt", "nonagle", "notsent_lowat", "pacing_max", "user_timeout",
    "window_clamp", "maxseg", "rcvlowat", "congestion", "tells_inq",
)  # fmt: skip


class TcpSocket(Socket):
    """One stream socket.

    ``locked`` has LOCK_SNDBUF and LOCK_RCVBUF for sizes that the program set; ``linger`` is SO_LINGER's time in ns (-1:
    off). ``keepidle keepintvl keepcnt syncnt linger2 notsent_lowat user_timeout`` are 0 where the namespace's setting
    holds (times in ns; a ``linger2`` below 0 is: not at all). ``queue`` are the accepted connections of a listener that
    accept(2) has not taken.
    """

    __slots__ = (
        "backlog",
        "congestion",
        "defer_accept",
        "fastopen_connect",
        "fastopen_key",
        "fastopen_no_cookie",
        "fastopen_qlen",
        "half_open",
        "keepalive",
        "keepcnt",
        "keepidle",
        "keepintvl",
        "linger",
        "linger2",
        "listening",
        "locked",
        "maxseg",
        "nonagle",
        "notsent_lowat",
        "pacing_max",
        "phase",
        "queue",
        "rcvlowat",
        "syncnt",
        "tcb",
        "tells_inq",
        "user_timeout",
        "window_clamp",
    )

    type: ClassVar = c.SOCK_STREAM
    table: TcpTable

    def __init__(self, ns: Netns, family: int, table: TcpTable) -> None:
        super().__init__(ns, family, table)
        conf = ns.conf.tcp
        self.rcvbuf, self.sndbuf = conf.rmem[1], conf.wmem[1]
        self.tcb: Tcb | None = None
        self.phase = UNCONNECTED
        self.listening = False
        self.queue: deque[TcpSocket] | None = None
        self.half_open: Any = None  # of a listener: its requests
        self.backlog = self.fastopen_qlen = 0
        self.defer_accept = 0  # ns
        self.locked = 0
        self.linger = -1
        self.keepalive = self.fastopen_connect = self.fastopen_no_cookie = self.tells_inq = False
        self.fastopen_key = b""  # of a listener: its own
        self.keepidle = self.keepintvl = self.keepcnt = self.syncnt = self.linger2 = 0
        self.nonagle = self.notsent_lowat = self.pacing_max = self.user_timeout = self.window_clamp = self.maxseg = 0
        self.rcvlowat = 1
        self.congestion = ""  # a name, where it is not the namespace's

    @classmethod
    def child_of(cls, listener: TcpSocket, table: TcpTable, local: int, port: int, peer: int, peer_port: int) -> TcpSocket:
        """The socket of a connection that came to `listener`, whose options it has, between these ends of `table`'s
        family. It waits in ``listener.queue``; whoever makes it sets ``tcb``."""
        sock = cls(listener.ns, listener.family, listener.table)
        sock.at, sock.local, sock.source, sock.port = table.family, local, local, port
        sock.peer, sock.peer_port = peer, peer_port
        sock.phase = CONNECTED
        sock._locks = listener._locks & c.LOCK_ADDRESS
        sock.settings4 = listener.settings4.inherited()
        sock.settings = sock.settings4 if listener.family == c.AF_INET else listener.settings.inherited()
        for name in _INHERITED:
            setattr(sock, name, getattr(listener, name))
        return sock

    # -- beginning --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> int:
        """Its state's number (`tcb.State`)."""
        if self.listening:
            return LISTEN
        return CLOSED if self.tcb is None else self.tcb.state

    def _check_unbound(self) -> None:
        if self.tables or self.state != CLOSED:
            raise os_error(errno.EINVAL)

    def connect(self, address: Name | None, *, now: int | None = None) -> None:
        """Begin a connection: EINPROGRESS, EALREADY while it takes; the call after its end succeeds or has its error.
        None dissolves a connection or ends listening (AF_UNSPEC).

        OSError EISCONN, EADDRNOTAVAIL (no free port, or there is this connection already), ENETUNREACH (a group,
        everybody, or as the route says), EINVAL (link-local without a zone).
        """
        now = self._begin(now)
        if address is None:
            self._disconnect(now)
            return self.ns.settle(now)
        if self.phase == CONNECTED or self.listening:
            raise os_error(errno.EISCONN)
        if self.phase == CONNECTING:
            return self._finish_connect(now)
        if self.state != CLOSED:
            raise os_error(errno.EISCONN)
        tcb = self._open(address, now)
        self.phase = CONNECTING
        if self.fastopen_connect and self.ns.tcp_state.knows_cookie(tcb, now):
            return None  # the SYN goes with the first data
        output.send_syn(tcb, now)
        self.ns.settle(now)
        raise os_error(errno.EINPROGRESS)

    def _finish_connect(self, now: int) -> None:
        state = self.state
        if state in _OPENING:
            raise os_error(errno.EALREADY)
        if state == CLOSED:
            code = self.take_error() or errno.ECONNABORTED
            self._disconnect(now)
            raise os_error(code)
        self.phase = CONNECTED

    def _open(self, address: Name, now: int) -> Tcb:
        """A connection to `address` in SYN-SENT whose SYN has not gone (tcp_v4_connect, tcp_v6_connect)."""
        target = parse_name(self, address, "connect")
        at, peer, port, device = target.family, target.address, target.port, self.device
        if self.family == c.AF_INET6:
            if at == V6 and not peer and self.at != V4:
                peer = LOOPBACK6
            if at == V6 and is_multicast6(peer):
                raise os_error(errno.ENETUNREACH)
            peer, at = check_family(self, peer, at)
            if at == V6 and needs_zone(peer):
                device = self.device_towards(target)
        if at == V4 and is_multicast4(peer):
            raise os_error(errno.ENETUNREACH)
        source = self.source if at == self.at else 0
        peer, _, chosen = find_route(self, at, peer, device, source, port=port, mark=self.mark)
        local = source or chosen
        table = self.table if self.family == c.AF_INET or at == V6 else self.table.of_ipv4
        before = self.at, self.local, self.source, self.port, self.device
        chosen_port = not self.tables
        if chosen_port:
            self.port = table.choose_port(self, local, (peer, port))
            if not self.port:
                raise os_error(errno.EADDRNOTAVAIL)
        self._leave()
        self.at, self.local, self.source, self.device = at, local, local, device
        table.insert(self, chosen_port)
        self.tables = (table,)
        try:
            tcb = lifecycle.open_active(self, table, local, self.port, peer, port, now)
        except OSError:
            self._leave()
            self.at, self.local, self.source, self.port, self.device = before
            if not chosen_port:
                self._stand()
            raise
        self.peer, self.peer_port, self.tcb = peer, port, tcb
        self.error = self.shut = 0
        self.apply(tcb)
        return tcb

    def apply(self, tcb: Tcb) -> None:
        """Give a new connection what was set for it before it was there."""
        tcb.nonagle = self.nonagle
        tcb.notsent_lowat = self.notsent_lowat
        tcb.user_timeout = self.user_timeout
        tcb.window_clamp = self.window_clamp
        tcb.pacing_max = self.pacing_max

    def _disconnect(self, now: int) -> None:
        """Linux's tcp_disconnect: what bind(2) gave stays."""
        if self.listening:
            self._stop_listening(now)
        elif self.state != CLOSED:
            assert self.tcb is not None
            lifecycle.abort(self.tcb, errno.ECONNRESET, now)
        self.tcb = None
        self.phase = UNCONNECTED
        self.shut = self.peer = self.peer_port = 0
        self._leave()
        if not self._locks & c.LOCK_ADDRESS:
            self.local = self.source = 0
            self.at = self.table.family
        if self._locks & c.LOCK_PORT:
            self._stand()
        else:
            self.port = 0

    def listen(self, backlog: int = 128, *, now: int | None = None) -> None:
        """Take connections; `backlog` is how many may wait for `accept`, at most ``net.core.somaxconn``. Again: another
        backlog. OSError EINVAL (connected, or about to be), EADDRINUSE."""
        self._begin(now)
        if self.phase != UNCONNECTED or self.state not in (CLOSED, LISTEN):
            raise os_error(errno.EINVAL)
        conf = self.ns.conf.tcp
        self.backlog = min(backlog, conf.somaxconn) if backlog >= 0 else conf.somaxconn
        if self.listening:
            return
        if conf.fastopen & 0x402 == 0x402 and not self.fastopen_qlen:
            self.fastopen_qlen = self.backlog
        if not self.tables:
            self._bind_any(None, errno.EADDRINUSE)
        elif any(table.conflicts(self, self.local, self.port) for table in self.tables):
            raise os_error(errno.EADDRINUSE)
        self.listening = True
        self.queue = deque()
        for table in self.tables:
            table.listen(self)

    def _stop_listening(self, now: int) -> None:
        """Its requests are forgotten, and who waits to be accepted is reset (inet_csk_listen_stop)."""
        for table in self.tables:
            table.unlisten(self)
        self.listening = False
        lifecycle.stop_listening(self, now)
        waiting, self.queue = self.queue, None
        for child in waiting or ():
            child.close(now=now)

    def accept(self, *, now: int | None = None) -> tuple[TcpSocket, Name]:
        """The next connection and the address of its peer. OSError EINVAL (not listening), EAGAIN."""
        self._begin(now)
        if not self.listening:
            raise os_error(errno.EINVAL)
        if not self.queue:
            raise os_error(errno.EAGAIN)
        child = self.queue.popleft()
        if child.tcb is not None:
            child.tcb.accepted = True
        self.ns.sockets[child] = None
        return child, child._name(child.peer, child.peer_port)

    def getpeername(self, *, now: int | None = None) -> Name:
        """The address and port of the other end; OSError ENOTCONN."""
        if self.state in (CLOSED, SYN_SENT) and not self.closed:
            raise os_error(errno.ENOTCONN)
        return super().getpeername(now=now)

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """Queue as much of `data` as SO_SNDBUF and TCP_NOTSENT_LOWAT leave room for; how many bytes that was.

        OSError EAGAIN (no room, or the connection is not there yet), EPIPE (shut down, or none), and an error that
        waits.
        """
        return self._send(data, flags, None, self._begin(now))

    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(data, [flags,] address)``: with MSG_FASTOPEN connect to `address` and send what the SYN can carry
        (RFC 7413; OSError EINPROGRESS when nothing went); else `address` has no meaning, as in Linux."""
        if not 1 <= len(where) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(where)} given)")
        return self._send(data, where[0] if len(where) == 2 else 0, where[-1], self._begin(now))

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Name | None = None,
        *,
        now: int | None = None,
    ) -> int:
        """Send the joined `buffers`. No control message means anything here: OSError EINVAL for those of SOL_SOCKET."""
        now = self._begin(now)
        pieces = [piece for piece in buffers if len(piece)]
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.state in _SENDING and any(level == c.SOL_SOCKET for level, _, _ in ancdata):
            raise os_error(errno.EINVAL)
        return self._send(data, flags, address, now)

    def _send(self, data: Buffer, flags: int, address: Name | None, now: int) -> int:
        tcb = self.tcb
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        gone = 0
        if flags & c.MSG_FASTOPEN or (self.fastopen_connect and self.phase == CONNECTING):
            gone = self._send_first(data, size, address, now)
            if gone == size and size:
                self.ns.settle(now)
                return gone
            tcb = self.tcb
        if tcb is None or tcb.state not in _SENDING:
            if not (tcb is not None and tcb.state == SYN_RECEIVED and tcb.fastopen is not None):
                self._refuse_sending(tcb)
        assert tcb is not None
        if self.error or self.shut & 2:
            raise os_error(self.take_error() or errno.EPIPE)
        if not size:
            return 0
        count = output.queue_data(tcb, data)
        if not count:
            raise os_error(errno.EAGAIN)
        if flags & c.MSG_OOB:
            output.mark_urgent(tcb)
        output.push(tcb, now, flags & c.MSG_MORE != 0 and count == size)
        self.ns.settle(now)
        return count

    def _refuse_sending(self, tcb: Tcb | None) -> None:
        """sk_stream_wait_connect: an error that waits, EAGAIN while the handshake lasts, else EPIPE."""
        if self.error:
            raise os_error(self.take_error())
        raise os_error(errno.EAGAIN if tcb is not None and tcb.state in _OPENING else errno.EPIPE)

    def _send_first(self, data: Buffer, size: int, address: Name | None, now: int) -> int:
        """tcp_sendmsg_fastopen: connect, with data in the SYN where there is a cookie; how many bytes went."""
        if not self.ns.conf.tcp.fastopen & 1:
            raise os_error(errno.EOPNOTSUPP)
        raise os_error(errno.EOPNOTSUPP)

    # -- in ---------------------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> bytes:
        """At most `bufsize` bytes of what has come; b"" at the end of the stream. With MSG_PEEK it stays, with MSG_TRUNC
        it is thrown away and zeros stand for it.

        OSError EAGAIN, ENOTCONN, and an error that waits, after all that came before it.
        """
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        now = self._begin(now)
        tcb, count = self._held(bufsize, flags)
        if not count:
            return b""
        queue = tcb.rcvq
        if flags & c.MSG_PEEK:
            return bytes(count) if flags & c.MSG_TRUNC else queue.peek(count)
        data: bytes = queue.read(count)
        receive.consumed(tcb, count, now)
        self.ns.settle(now)
        return bytes(count) if flags & c.MSG_TRUNC else data

    def recvfrom(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> tuple[bytes, Any]:
        """`recv`, and None: a stream's bytes have no sender of their own."""
        return self.recv(bufsize, flags, now=now), None

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[bytes, Ancillary, int, Any]:
        """`recv` with control messages: with TCP_INQ, how many bytes are left (1 when only the end is)."""
        data = self.recv(bufsize, flags, now=now)
        if not self.tells_inq:
            return data, [], 0, None
        messages, cut = fit([(c.SOL_TCP, c.TCP_CM_INQ, INT.pack(self.inq or int(self._at_end)))], ancbufsize)
        return data, messages, cut, None

    def recv_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> int:
        """`recv` into `buffer`; the number of bytes. With MSG_TRUNC nothing is written."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0 or nbytes > len(view):
            raise ValueError("nbytes is negative or larger than the buffer")
        now = self._begin(now)
        tcb, count = self._held(nbytes or len(view), flags)
        if not count:
            return 0
        if flags & c.MSG_PEEK:
            if not flags & c.MSG_TRUNC:
                view[:count] = tcb.rcvq.peek(count)
            return count
        if flags & c.MSG_TRUNC:
            tcb.rcvq.read(count)
        else:
            tcb.rcvq.read_into(view[:count])
        receive.consumed(tcb, count, now)
        self.ns.settle(now)
        return count

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[int, Any]:
        """`recv_into`, and None."""
        return self.recv_into(buffer, nbytes, flags, now=now), None

    def _held(self, size: int, flags: int) -> tuple[Any, int]:
        """The connection, and how many bytes a call may have now; 0 at the end. OSError as `recv`."""
        if self.listening:
            raise os_error(errno.ENOTCONN)
        if flags & c.MSG_OOB:
            raise os_error(errno.EINVAL)
        if flags & c.MSG_ERRQUEUE:
            raise os_error(errno.EAGAIN)
        tcb = self.tcb
        held = self.inq
        if held:
            assert tcb is not None
            return tcb, urgent.before_mark(tcb, min(size, held))
        if self._at_end:
            return tcb, 0
        if self.error:
            raise os_error(self.take_error())
        if self.shut & 1:
            return tcb, 0
        raise os_error(errno.ENOTCONN if self.state == CLOSED else errno.EAGAIN)

    @property
    def inq(self) -> int:
        """How many bytes wait to be read (SIOCINQ)."""
        tcb = self.tcb
        queue = None if tcb is None else tcb.rcvq
        return 0 if queue is None else queue.size

    @property
    def outq(self) -> int:
        """How many bytes are sent and not acknowledged, or not sent (SIOCOUTQ)."""
        tcb = self.tcb
        return 0 if tcb is None or tcb.sndq is None else len(tcb.sndq)

    @property
    def at_mark(self) -> bool:
        """Whether the next byte is urgent (sockatmark(3))."""
        return self.tcb is not None and urgent.at_mark(self.tcb)

    @property
    def _at_end(self) -> bool:
        return self.tcb is not None and self.tcb.fin_rcvd

    @property
    def readable(self) -> bool:
        """Whether a receiving call, or accept(2), would not raise EAGAIN; data count from SO_RCVLOWAT on."""
        if self.listening:
            return bool(self.queue)
        if self.inq >= self.rcvlowat or self._at_end or self.error or self.shut & 1:
            return True
        return self.state == CLOSED

    @property
    def writable(self) -> bool:
        """Whether it is time to send: a third of the send buffer is free (and half of TCP_NOTSENT_LOWAT), or sending
        has an error to tell."""
        if self.closed or self.listening:
            return False
        tcb = self.tcb
        if tcb is None or self.error or self.shut & 2:
            return True
        return tcb.state not in _OPENING and sizing.is_writable(tcb)

    # -- the end ----------------------------------------------------------------------------------------------------

    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """End a direction: what is queued is still sent, and then a FIN; what comes is no longer waited for. In SYN-SENT
        and of a listener (SHUT_RD) all ends. OSError ENOTCONN without a connection."""
        now = self._begin(now)
        if not c.SHUT_RD <= how <= c.SHUT_RDWR:
            raise os_error(errno.EINVAL)
        how += 1
        state = self.state
        if self.phase == CONNECTING and state not in (*_OPENING, CLOSED):
            self.phase = CONNECTED
        if self.listening or state == SYN_SENT:
            if state == SYN_SENT or how & 1:
                self._disconnect(now)
        else:
            self.shut |= how
            if how & 2 and state != CLOSED:
                assert self.tcb is not None
                lifecycle.shutdown_send(self.tcb, now)
        self.wake(c.READ | c.WRITE)
        self.ns.settle(now)
        if state == CLOSED:
            raise os_error(errno.ENOTCONN)

    def connection_done(self, code: int = 0) -> None:
        """Its connection is over, with an errno or without. What came before can still be read; the port is free, unless
        bind(2) chose it."""
        if code:
            self.error = code
        self.shut = 3
        if not self._locks & c.LOCK_PORT:
            self._leave()
        self.wake(c.READ | c.WRITE | c.ERROR if code else c.READ | c.WRITE)

    def destroy(self, *, now: int | None = None) -> None:
        """``ss -K`` (tcp_abort): ECONNABORTED for the program, a reset for the peer. A listener ends with all that waits
        in it. OSError ENOENT when there is nothing to end."""
        now = self.ns.stack.advance(now)
        if self.listening:
            self._disconnect(now)
            self.connection_done(errno.ECONNABORTED)
        elif self.state != CLOSED:
            assert self.tcb is not None
            lifecycle.abort(self.tcb, errno.ECONNABORTED, now)
        else:
            raise os_error(errno.ENOENT)
        self.ns.settle(now)

    def _end(self, now: int) -> None:
        if self.listening:
            self._stop_listening(now)
        elif self.tcb is not None and self.tcb.state != CLOSED:
            if self.ns.closing:
                lifecycle.abort(self.tcb, 0, now)
            else:
                lifecycle.close(self.tcb, now, self.linger)
        self._leave()

    def close(self, *, now: int | None = None) -> None:
        """Let go of it: what is queued is still sent (unless SO_LINGER says otherwise), and then a FIN; a reset, when
        there is something that nobody read. Every later call is EBADF; closing again does nothing."""
        super().close(now=now)
        if not self.ns.closing:
            self.ns.settle(self.ns.stack.now)

    # -- options and what is shown ----------------------------------------------------------------------------------

    def set_own_option(self, level: int, option: int, data: bytes, now: int) -> bool:
        """SOL_TCP, and what SOL_SOCKET has for streams."""
        return set_stream_option(self, level, option, data, now)

    def get_own_option(self, level: int, option: int, buflen: int) -> int | bytes | None:
        """The same to read."""
        return get_stream_option(self, level, option, buflen)

    def buffer_set(self, which: int) -> None:
        """A size that the program chose does not change by itself."""
        self.locked |= which
        if which == c.LOCK_SNDBUF and self.tcb is not None and self.writable:
            self.wake(c.WRITE)

    @property
    def state_name(self) -> str:
        """ss(8)'s word for its state."""
        return STATE_NAMES[self.state]

    def queues(self) -> tuple[int, int]:
        """Bytes that wait to be read, and those not acknowledged; of a listener, how many wait to be accepted, and the
        most that may."""
        if self.listening:
            return len(self.queue or ()), self.backlog
        tcb = self.tcb
        if tcb is None or tcb.state == CLOSED:
            return self.inq, 0
        return self.inq, max(0, tcb.write_seq - tcb.snd_una)
