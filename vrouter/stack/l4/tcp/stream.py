"""A stream socket's data, its options and what it shows; how it begins and ends is in `socket`.

::

    send ─► output.queue_data ─► output.push            recv ─► tcb.rcvq ─► receive.consumed

The order of checks and the errors are those of tcp_sendmsg_locked and tcp_recvmsg_locked. Nothing blocks.

Urgent data stands in line (RFC 6093 3.2, SO_OOBINLINE is on and cannot be switched off), so MSG_OOB is EINVAL to
receive with; a receiving call ends before the urgent mark, as in Linux.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import INT, Ancillary, fit
from vrouter.stack.l4.socket import Buffer, Socket
from vrouter.stack.l4.tcp import fastopen, output, receive, sizing, urgent
from vrouter.stack.l4.tcp.options import get_stream_option, set_stream_option
from vrouter.stack.l4.tcp.tcb import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, SYN_SENT, Tcb

if TYPE_CHECKING:
    from collections import deque

    from vrouter.stack.l4.names import Name
    from vrouter.stack.l4.tcp.listen import HalfOpen
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.table import TcpTable
    from vrouter.stack.netns import Netns

# How far connect(2) has come (Linux's SS_*): the call after the one that began it tells how it ended.
UNCONNECTED: Final = 0
CONNECTING: Final = 1
CONNECTED: Final = 2

SENDING: Final = (ESTABLISHED, CLOSE_WAIT)
OPENING: Final = (SYN_SENT, SYN_RECEIVED)

# As ss(8) calls the states, by their numbers.
STATE_NAMES: Final = (
    "", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK",
    "LISTEN", "CLOSING",
)  # fmt: skip


class Stream(Socket):
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
        "deferred",
        "fastopen_connect",
        "fastopen_keys",
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
        "quickack",
        "rcvlowat",
        "syncnt",
        "tcb",
        "tells_inq",
        "user_timeout",
        "window_clamp",
        "write_waits",
    )

    type: ClassVar = c.SOCK_STREAM
    table: TcpTable
    tables: tuple[TcpTable, ...]
    listening: bool
    keepalive: bool
    fastopen_connect: bool
    fastopen_keys: tuple[bytes, ...]
    fastopen_no_cookie: bool
    fastopen_qlen: int
    defer_accept: int
    nonagle: int
    notsent_lowat: int
    rcvlowat: int

    def __init__(self, ns: Netns, family: int, table: TcpTable) -> None:
        super().__init__(ns, family, table)
        conf = ns.conf.tcp
        self.rcvbuf, self.sndbuf = conf.rmem[1], conf.wmem[1]
        self.tcb: Tcb | None = None
        self.phase = UNCONNECTED
        self.listening = False
        self.queue: deque[TcpSocket] | None = None
        self.half_open: HalfOpen | None = None  # of a listener: its requests
        self.backlog = self.fastopen_qlen = 0
        self.fastopen_keys = ()
        self.defer_accept = 0  # ns
        self.locked = 0
        self.linger = -1
        self.keepalive = self.fastopen_connect = self.fastopen_no_cookie = self.deferred = self.tells_inq = False
        self.keepidle = self.keepintvl = self.keepcnt = self.syncnt = self.linger2 = 0
        self.nonagle = self.notsent_lowat = self.pacing_max = self.user_timeout = self.window_clamp = self.maxseg = 0
        self.rcvlowat = self.quickack = 1
        self.write_waits = False  # whoever drives it has more to write as soon as it can (sk_write_pending)
        self.congestion = ""  # a name, where it is not the namespace's

    @property
    def state(self) -> int:
        """Its state's number (`tcb.State`)."""
        if self.listening:
            return LISTEN
        return CLOSED if self.tcb is None else self.tcb.state

    @property
    def this(self) -> TcpSocket:
        """The whole socket."""
        return cast("TcpSocket", self)

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """Queue as much of `data` as SO_SNDBUF and TCP_NOTSENT_LOWAT leave room for; how many bytes that was.

        OSError EAGAIN (no room, or the connection is not there yet), EPIPE (shut down, or none), and an error that
        waits.
        """
        return self._send(data, flags, None, self._begin(now))

    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(data, [flags,] address)``: with MSG_FASTOPEN connect to `address` and send what the SYN can carry
        (RFC 7413; OSError EINPROGRESS when nothing went, EOPNOTSUPP to None, which is AF_UNSPEC); else `address` has
        no meaning, as in Linux."""
        if not 1 <= len(where) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(where)} given)")
        flags = where[0] if len(where) == 2 else 0
        if where[-1] is None and flags & c.MSG_FASTOPEN:
            raise os_error(errno.EOPNOTSUPP)
        return self._send(data, flags, where[-1], self._begin(now))

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
        if self.state in SENDING and any(level == c.SOL_SOCKET for level, _, _ in ancdata):
            raise os_error(errno.EINVAL)
        return self._send(data, flags, address, now)

    def _send(self, data: Buffer, flags: int, address: Name | None, now: int) -> int:
        tcb = self.tcb
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if flags & c.MSG_FASTOPEN or self.deferred:
            count = self._send_first(data, address, now)
            if count >= 0:
                return count
        if tcb is None or tcb.state not in SENDING:
            if not (tcb is not None and tcb.state == SYN_RECEIVED and fastopen.is_passive(tcb)):
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
        self.ns.settle_tcp(now)
        return count

    def _refuse_sending(self, tcb: Tcb | None) -> None:
        """sk_stream_wait_connect: an error that waits, EAGAIN while the handshake lasts, else EPIPE."""
        if self.error:
            raise os_error(self.take_error())
        raise os_error(errno.EAGAIN if tcb is not None and tcb.state in OPENING else errno.EPIPE)

    @abstractmethod
    def _send_first(self, data: Buffer, address: Name | None, now: int) -> int:
        """Connect, with data in the SYN where that may be; how many bytes went, or -1: it is connected, send them."""

    # -- in ---------------------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> bytes:
        """At most `bufsize` bytes of what has come; b"" at the end of the stream. With MSG_PEEK it stays, with
        MSG_TRUNC it is thrown away and zeros stand for it.

        OSError EAGAIN, ENOTCONN, and an error that waits, after all that came before it.
        """
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        now = self._begin(now)
        if not bufsize:  # as in Python's socket module, whatever there is
            return b""
        tcb, count = self._held(bufsize, flags)
        if not count:
            return b""
        queue = tcb.rcvq
        if flags & c.MSG_PEEK:
            return bytes(count) if flags & c.MSG_TRUNC else queue.peek(count)
        data: bytes = queue.read(count)
        receive.consumed(tcb, count, now)
        self.ns.settle_tcp(now)
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
        if not len(view):
            return 0
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
        self.ns.settle_tcp(now)
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
        if tcb.state in OPENING:
            return self.deferred  # the SYN waits for what is written (TCP_FASTOPEN_CONNECT)
        free = sizing.is_writable(tcb)
        if not free:
            tcb.wants_room = True  # who asked is told when it is (tcp_poll)
        return free

    # -- options and what is shown ----------------------------------------------------------------------------------

    def set_own_option(self, level: int, option: int, data: bytes, now: int) -> bool:
        """SOL_TCP, and what SOL_SOCKET has for streams."""
        return set_stream_option(self.this, level, option, data, now)

    def get_own_option(self, level: int, option: int) -> int | bytes | None:
        """The same to read."""
        return get_stream_option(self.this, level, option)

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
