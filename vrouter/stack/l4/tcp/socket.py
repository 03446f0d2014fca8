"""A TCP socket: how it begins and ends, as Linux's calls do it.

::

    connect ─► lifecycle.open_active ─► syn.send_syn
    listen  ─► (`listen`: requests, children) ─► ``queue`` ─► accept ─► a socket that has its connection already
    shutdown, close, destroy ─► lifecycle ─► connection_done

The order of checks and the errors are those of __inet_stream_connect, tcp_v4_connect, __inet_listen_sk,
inet_csk_accept, inet_shutdown, tcp_disconnect and __tcp_close. Nothing blocks: connect(2) is EINPROGRESS, and the next
call tells how it ended.

Next: `wake` tells whoever drives it; `stream` has its data, `options` SOL_TCP, `info` TCP_INFO.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import LOOPBACK6, V4, V6, is_multicast4, is_multicast6
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.names import Name, needs_zone, parse_name
from vrouter.stack.l4.output import check_family, find_route
from vrouter.stack.l4.tcp import delack, fastopen, lifecycle, syn
from vrouter.stack.l4.tcp.stream import CONNECTED, CONNECTING, OPENING, UNCONNECTED, Stream
from vrouter.stack.l4.tcp.tcb import CLOSED, LISTEN, SYN_SENT, Tcb

if TYPE_CHECKING:
    from vrouter.stack.l4.socket import Buffer
    from vrouter.stack.l4.tcp.table import TcpTable

# What an accepted connection has of its listener.
_INHERITED: Final = (
    "options", "mark", "priority", "device", "rcvbuf", "sndbuf", "timeouts", "locked", "linger", "linger2", "keepalive",
    "keepidle", "keepintvl", "keepcnt", "syncnt", "nonagle", "notsent_lowat", "pacing_max", "user_timeout",
    "window_clamp", "maxseg", "rcvlowat", "congestion", "tells_inq", "quickack",
)  # fmt: skip


class TcpSocket(Stream):
    """One stream socket."""

    __slots__ = ()

    @classmethod
    def child_of(
        cls, listener: TcpSocket, table: TcpTable, local: int, port: int, peer: int, peer_port: int
    ) -> TcpSocket:
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
        if self.fastopen_connect and fastopen.may_send_data(tcb, now):
            self.deferred = True  # the SYN goes with the first data
            self.wake(c.WRITE)
            return None
        syn.send_syn(tcb, now, b"" if self.fastopen_connect else None)
        self.ns.settle(now)
        raise os_error(errno.EINPROGRESS)

    def _finish_connect(self, now: int) -> None:
        state = self.state
        if state in OPENING:
            raise os_error(errno.EISCONN if self.deferred else errno.EALREADY)
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
        if not self.quickack:
            tcb.pingpong = delack.PINGPONG

    def _disconnect(self, now: int) -> None:
        """Linux's tcp_disconnect: what bind(2) gave stays."""
        if self.listening:
            self._stop_listening(now)
        elif self.tcb is not None:
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

    def _send_first(self, data: Buffer, address: Name | None, now: int) -> int:
        """tcp_sendmsg_fastopen: connect, with as much of `data` in the SYN as there is a cookie for; how much went, -1
        when it is connected by now. OSError EINPROGRESS when nothing did, EOPNOTSUPP (``tcp_fastopen``), EINVAL (no
        address), and as connect(2)."""
        if not self.ns.conf.tcp.fastopen & fastopen.CLIENT:
            raise os_error(errno.EOPNOTSUPP)
        tcb = self.tcb
        if self.deferred and tcb is not None and tcb.state == SYN_SENT:
            self.deferred = False
        else:
            if self.phase == CONNECTED or self.listening:
                raise os_error(errno.EISCONN)
            if self.phase == CONNECTING:
                self._finish_connect(now)
                return -1
            if address is None:
                raise os_error(errno.EINVAL)
            tcb = self._open(address, now)
            self.phase = CONNECTING
        count = syn.send_syn(tcb, now, data)
        self.ns.settle(now)
        if not count:
            raise os_error(errno.EINPROGRESS)
        return count

    # -- the end ----------------------------------------------------------------------------------------------------

    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """End a direction: what is queued is still sent, and then a FIN; what comes is no longer waited for. In
        SYN-SENT and of a listener (SHUT_RD) all ends. OSError ENOTCONN without a connection."""
        now = self._begin(now)
        if not c.SHUT_RD <= how <= c.SHUT_RDWR:
            raise os_error(errno.EINVAL)
        how += 1
        state = self.state
        if self.phase == CONNECTING and state not in (*OPENING, CLOSED):
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
        """Its connection is over, with an errno or without. What came before can still be read; the port is free,
        unless bind(2) chose it."""
        if code:
            self.error = code
        self.shut = 3
        if not self._locks & c.LOCK_PORT:
            self._leave()
        self.wake(c.READ | c.WRITE | c.ERROR if code else c.READ | c.WRITE)

    def destroy(self, *, now: int | None = None) -> None:
        """``ss -K`` (tcp_abort): ECONNABORTED for the program, a reset for the peer. A listener ends with all that
        waits in it. OSError ENOENT when there is nothing to end."""
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
        elif self.tcb is not None:
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
