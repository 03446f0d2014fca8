"""``create_server`` in a namespace: listening sockets, and a transport for each connection that they accept.

Expects: a `Place`.
Sets:    ``Socket.user`` of the listening sockets.
Next:    the protocol of each connection, in a copy of the context in which the server was made.

`Server.wait_closed` waits until the server is closed and its connections are gone, as asyncio documents it (and does
from 3.12.1 on). A connection whose handshake fails is the peer's affair: only a loop in debug mode tells of it.

Read first: the asyncio documentation on servers.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from vrouter.sockets import tls
from vrouter.sockets.bsd import NetnsSocket, TransportSocket
from vrouter.sockets.connecting import check_port, check_stream
from vrouter.sockets.stream import StreamTransport
from vrouter.stack.l4 import constants as c

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.sockets.place import Place

_AI_PASSIVE: Final = 1
_ACCEPTS: Final = 64  # connections that one listener takes before others have their turn


class _Tls:
    """What the TLS of a server's connections is made with."""

    __slots__ = ("context", "handshake_timeout", "shutdown_timeout")

    def __init__(self, context: tls.Context, handshake_timeout: float | None, shutdown_timeout: float | None) -> None:
        self.context = context
        self.handshake_timeout = handshake_timeout
        self.shutdown_timeout = shutdown_timeout


class _Listener:
    """One listening socket of a server."""

    __slots__ = ("driver", "server", "sock")

    def __init__(self, server: Server, driver: Driver, sock: NetnsSocket) -> None:
        self.server = server
        self.driver = driver
        self.sock = sock

    def ready(self, mask: int) -> None:
        """The driver's news: connections wait."""
        self.sock.bell.sync()
        driver, stack = self.driver, cast("Any", self.sock.stack)
        if mask & c.ERROR and not stack.listening:
            self.server.ended(self.sock)
            return
        for _ in range(_ACCEPTS):
            if stack.closed or not stack.queue:
                return
            try:
                child, peer = driver.call(stack.accept)
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            self.server.accepted(driver, child, peer)
        driver.loop.call_soon(self.ready, c.READ)

    def closed_below(self, _sock: Any) -> None:
        """Its namespace goes away."""
        self.server.close()


class Server(asyncio.AbstractServer):
    """A listening server of a namespace, as `asyncio.Server`; `Netns.create_server` makes it."""

    def __init__(
        self,
        driver: Driver,
        sockets: list[NetnsSocket],
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        backlog: int,
        secure: _Tls,
    ) -> None:
        self._driver = driver
        self._sockets: list[NetnsSocket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._secure = secure
        self._context = contextvars.copy_context()
        self._clients: dict[StreamTransport, None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._serving = False
        self._forever: asyncio.Future[None] | None = None
        for sock in sockets:
            stack = sock.give()
            listener = _Listener(self, driver, sock)
            stack.user, stack.on_close = listener, listener.closed_below

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- what the loop's servers have -------------------------------------------------------------------------------

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs on."""
        return self._driver.loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._serving

    @property
    def sockets(self) -> tuple[TransportSocket, ...]:
        """Its listening sockets; none once it is closed."""
        return tuple(self._sockets or ())

    def close(self) -> None:
        """Accept no more; connections stay."""
        sockets, self._sockets = self._sockets, None
        if sockets is None:
            return
        self._serving = False
        for sock in sockets:
            sock.stack.user = sock.stack.on_close = None
            self._driver.call(sock.stack.close)
            sock.bell.close()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
            self._forever = None
        self._finish_waiting()

    def close_clients(self) -> None:
        """Close every connection, after what waits to be sent."""
        for transport in list(self._clients):
            transport.close()

    def abort_clients(self) -> None:
        """Close every connection now."""
        for transport in list(self._clients):
            transport.abort()

    async def start_serving(self) -> None:
        """Accept connections; again does nothing."""
        self._listen()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, which closes the server. RuntimeError when it is closed, or awaited
        already."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._listen()
        self._forever = self.get_loop().create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._forever = None

    async def wait_closed(self) -> None:
        """Wait until it is closed and its connections are gone."""
        if self._sockets is None and not self._clients:
            return
        waiter = self.get_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        if self._serving or self._sockets is None:
            return
        self._serving = True
        for sock in self._sockets:
            sock.listen(self._backlog)
            self._driver.loop.call_soon(sock.stack.user.ready, c.READ)  # it may have listened before

    def ended(self, sock: NetnsSocket) -> None:
        """Somebody has ended a listening socket from outside (``ss -K``): the server is over."""
        if self._sockets is None:
            return
        error = OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        context = {"message": f"{sock!r} listens no more; its server is closed", "exception": error}
        self.close()
        self.get_loop().call_exception_handler(context)

    def accepted(self, driver: Driver, child: Any, peer: Any) -> None:
        """A connection has come."""
        context = self._context.copy()
        try:
            context.run(self._make_transport, driver, child, peer, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            driver.call(child.close)
            message = "Error on transport creation for incoming connection"
            driver.loop.call_exception_handler({"message": message, "exception": error})

    def _make_transport(self, driver: Driver, child: Any, peer: Any, context: contextvars.Context) -> None:
        protocol, secure = self._protocol_factory(), self._secure
        if secure.context:
            waiter = driver.loop.create_future()
            protocol = tls.make_protocol(
                driver.loop,
                protocol,
                secure.context,
                waiter,
                server_side=True,
                handshake_timeout=secure.handshake_timeout,
                shutdown_timeout=secure.shutdown_timeout,
            )
            waiter.add_done_callback(self._shaken)
        StreamTransport(driver, child, protocol, peer=peer, context=context, server=self)

    def _shaken(self, waiter: asyncio.Future[None]) -> None:
        """A handshake has ended; the TLS itself has closed the connection where it failed."""
        error = None if waiter.cancelled() else waiter.exception()
        if error is not None and self.get_loop().get_debug():
            message = "Error on transport creation for incoming connection"
            self.get_loop().call_exception_handler({"message": message, "exception": error})

    def attach(self, transport: StreamTransport) -> None:
        """A connection is its own from now on."""
        self._clients[transport] = None

    def detach(self, transport: StreamTransport) -> None:
        """A connection is gone."""
        self._clients.pop(transport, None)
        self._finish_waiting()

    def _finish_waiting(self) -> None:
        if self._sockets is not None or self._clients:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


async def create_server(
    place: Place,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    host: Any = None,
    port: Any = None,
    *,
    family: int = 0,
    flags: int = _AI_PASSIVE,
    sock: Any = None,
    backlog: int = 100,
    ssl: tls.Context = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    keep_alive: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    start_serving: bool = True,
) -> Server:
    """``loop.create_server`` in a namespace, with its arguments, results and errors."""
    if isinstance(ssl, bool):
        raise TypeError("ssl argument must be an SSLContext or None")
    tls.check_timeouts(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        check_port(port, "bind")
        hosts = _hosts(host)
        found = [await place.getaddrinfo(one, port, family=family, type=c.SOCK_STREAM, flags=flags) for one in hosts]
        infos = list(dict.fromkeys(chain.from_iterable(found)))
        sockets = _bind_all(place, infos, reuse_address is not False, bool(reuse_port), bool(keep_alive))
    else:
        if sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        check_stream(place, sock)
        sockets = [sock]
    secure = _Tls(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
    server = Server(place.driver, sockets, protocol_factory, backlog, secure)
    if start_serving:
        try:
            await server.start_serving()
        except BaseException:
            server.close()
            raise
    return server


def _hosts(host: Any) -> list[Any]:
    if host == "":
        return [None]
    if isinstance(host, str | bytes) or not isinstance(host, Iterable):
        return [host]
    return list(host)


def _bind_all(
    place: Place, infos: list[Any], reuse_address: bool, reuse_port: bool, keep_alive: bool
) -> list[NetnsSocket]:
    """A socket bound to each address; OSError, and then none is left."""
    options = [
        (c.SO_REUSEADDR, reuse_address),
        (c.SO_REUSEPORT, reuse_port),
        (c.SO_KEEPALIVE, keep_alive),
    ]
    sockets: list[NetnsSocket] = []
    try:
        for family, kind, proto, _, address in infos:
            sock = place.socket(family, kind, proto)
            sockets.append(sock)
            for option, wanted in options:
                if wanted:
                    sock.setsockopt(c.SOL_SOCKET, option, 1)
            if family == c.AF_INET6:  # each family has a socket of its own
                sock.setsockopt(c.SOL_IPV6, c.IPV6_V6ONLY, 1)
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:  # a family that the namespace has not
                    sockets.pop().close()
                    continue
                text = f"error while attempting to bind on address {address!r}: {str(error).lower()}"
                raise OSError(error.errno, text) from None
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
