"""The listeners of a router: the admin API on a Unix socket, metrics and probes on TCP if it is asked for.

**Who may connect.** The socket is 0600 from its first instant; a directory that is missing is made, and removed again.
The TCP listener answers what tells nothing but numbers: /metrics, /healthz, /readyz.

**One router per socket.** Whoever listens holds a lock on ``SOCKET.lock`` for as long as it lives, so of two that
start at once one is refused, saying who runs there. A socket that nobody answers at was left by a killed router, and is
taken over. What is no socket is never removed.

Expects: a running loop, and a router that has started.
Sets:    the socket, its lock file, perhaps its directory; all are gone after `Server.close`.
Next:    `connection` reads requests, `dispatch` answers them.

Read first: unix(7), flock(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from vrouter.control.connection import Connection, Limits, Request, Response, refused_response
from vrouter.control.dispatch import Dispatcher
from vrouter.control.errors import Refused, refusal

if TYPE_CHECKING:
    from vrouter.appliance import Router

_BACKLOG: Final = 64
_PATH_MAX_BYTES: Final = 107  # sockaddr_un
_ACCEPT_TURNS: Final = 4  # of the loop, until a connection that it has accepted reaches `accept` and is gone
_UCRED: Final = struct.Struct("3i")


async def start(router: Router, admin_path: str | None, metrics: str | None, limits: Limits | None = None) -> Server:
    """Listen at the Unix socket `admin_path` and at `metrics` (``ADDRESS:PORT``), where they are given.

    OSError EADDRINUSE when another router (or whatever it is) has the place; then nothing is left open.
    """
    server = Server(router, Limits() if limits is None else limits)
    try:
        if admin_path:
            await server.listen_unix(admin_path)
        if metrics:
            await server.listen_tcp(metrics)
    except BaseException:
        await server.close()
        raise
    return server


class Server:
    """All listeners of one router."""

    def __init__(self, router: Router, limits: Limits) -> None:
        self.router = router
        self.limits = limits
        self.tcp_address: tuple[str, int] | None = None
        self._place: _Place | None = None
        self._listeners: list[asyncio.Server] = []
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._closing = asyncio.Event()

    async def listen_unix(self, path: str) -> None:
        """The admin API, whole."""
        self._place = _Place(path)
        sock = self._place.take()
        accept = self._acceptor(Dispatcher(self.router))
        self._listeners.append(await asyncio.start_unix_server(accept, sock=sock, backlog=_BACKLOG))

    async def listen_tcp(self, address: str) -> None:
        """Metrics and probes; port 0 is a free one (`tcp_address` tells)."""
        host, _, port = address.rpartition(":")
        accept = self._acceptor(Dispatcher(self.router, public=True))
        try:
            listener = await asyncio.start_server(accept, host.strip("[]"), int(port), backlog=_BACKLOG)
        except OSError as error:
            text = f"metrics cannot listen at {address}: {os.strerror(error.errno or errno.EIO).lower()}"
            raise OSError(error.errno, text) from None
        self._listeners.append(listener)
        self.tcp_address = listener.sockets[0].getsockname()[:2]

    def _acceptor(self, dispatcher: Dispatcher) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        # Each listener has its own limit: who fills the one that strangers reach keeps nobody from the admin socket.
        clients: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # It had been accepted, but nobody was told yet; or there are too many even to be told so.
            if self._closing.is_set() or len(clients) >= 2 * self.limits.connections:
                writer.transport.abort()
                return
            answer = self._answering(dispatcher)
            connection = Connection(reader, writer, answer, self.limits, self._closing, dispatcher.streams)
            full = len(clients) >= self.limits.connections
            text = f"more than {self.limits.connections} connections"
            work = connection.refuse(Refused(503, "EUSERS", text)) if full else connection.serve()
            task = asyncio.get_running_loop().create_task(work)
            self._connections[task] = connection
            clients.add(task)
            task.add_done_callback(clients.discard)
            task.add_done_callback(self._over)

        return accept

    def _answering(self, dispatcher: Dispatcher) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await dispatcher.answer(request)
            except Exception as error:
                refused = refusal(error)
                if refused is None:
                    self._report(error, f"{request.method} {request.target}")
                    refused = Refused(500, "EIO", "an error inside of the router; its log has more")
                return refused_response(refused)

        return answer

    def _over(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error, "a connection to the admin API")

    @staticmethod
    def _report(error: BaseException, where: str) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": f"exception in {where}", "exception": error})

    async def close(self) -> None:
        """Stop listening, end streams, let answers under way finish for `close_s`, and remove the socket."""
        self._closing.set()
        for listener in self._listeners:
            listener.close()
        if self._place is not None:
            self._place.leave()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=self.limits.close_s)
        remaining = dict(self._connections)
        for task, connection in remaining.items():
            connection.abort()
            task.cancel()
        if remaining:
            await asyncio.wait(list(remaining))
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)


class _Place:
    """The path of an admin socket: taken by one router at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock_path = f"{path}.lock"
        self.lock_fd = -1
        self.made_directory: str | None = None
        self.bound: os.stat_result | None = None

    def take(self) -> socket.socket:
        """A socket that is bound here. OSError EADDRINUSE with who is there."""
        if len(os.fsencode(self.path)) > _PATH_MAX_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"{self.path}: the path of a socket has at most {_PATH_MAX_BYTES} bytes")
        try:
            self._make_directory()
            self._lock()
            self._remove_stale()
            return self._bind()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Remove what `take` has made."""
        if self.bound is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.lstat(self.path), self.bound):
                    os.unlink(self.path)
            self.bound = None
        if self.lock_fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self.lock_path)  # before the lock is let go: see _lock
            os.close(self.lock_fd)
            self.lock_fd = -1
        if self.made_directory is not None:
            with contextlib.suppress(OSError):
                os.rmdir(self.made_directory)
            self.made_directory = None

    def _make_directory(self) -> None:
        directory = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(directory):
            # Root's is a place of the system that anybody may look into; a user's is the user's own.
            try:
                os.makedirs(directory, 0o755 if os.geteuid() == 0 else 0o700, exist_ok=True)
            except OSError as error:
                raise OSError(error.errno, f"{directory} cannot be made: {error.strerror}") from None
            self.made_directory = directory

    def _lock(self) -> None:
        while True:
            try:
                descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise OSError(error.errno, f"{self.lock_path} cannot be made: {error.strerror}") from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.stat(self.lock_path), os.fstat(descriptor)):
                    self.lock_fd, descriptor = descriptor, -1
                    return
            except BlockingIOError:
                raise self._taken() from None
            except FileNotFoundError:
                pass  # its holder removed it and left; the next one is another file
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def _taken(self) -> OSError:
        pid = self._listener()
        who = f"a router runs here already (pid {pid})" if pid else "a router is starting or stopping here"
        return OSError(errno.EADDRINUSE, f"{self.path}: {who}; stop it, or give this one another [router] admin path")

    def _listener(self) -> int:
        """The process that answers at the socket; 0 when nobody does."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self.path)
            except OSError:
                return 0
            pid: int = _UCRED.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0]
            return pid

    def _remove_stale(self) -> None:
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(errno.EEXIST, f"{self.path} exists and is no socket: remove it, or use another path")
        pid = self._listener()
        if pid:
            text = f"{self.path}: process {pid} listens here already; stop it, or use another [router] admin path"
            raise OSError(errno.EADDRINUSE, text)
        os.unlink(self.path)

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            os.fchmod(sock.fileno(), 0o600)  # the file is made with the mode that the socket has
            sock.bind(self.path)
            self.bound = os.lstat(self.path)
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return sock
