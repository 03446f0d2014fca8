"""The transport of a TCP connection: `asyncio.Transport` over a stream socket of a namespace.

Flow control goes through. Out: what the stack's send buffer does not take waits in the transport's own, whose limits
pause and resume the protocol. In: while reading is paused the stack's receive buffer fills, and its window closes.

Expects: a connected stream socket that nobody else drives.
Sets:    ``Socket.user`` and ``Socket.on_close``.
Next:    the protocol's callbacks, in a copy of the context in which the endpoint was made.

What asyncio's own transports do in the corner cases (writes after the connection was lost, an exception of the
protocol, closing while data waits) is done here.

Read first: the asyncio documentation on transports and protocols; tcp(7).
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from asyncio import constants, transports
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from vrouter.sockets.bsd import TransportSocket
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.info import of_socket

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.sockets.server import Server
    from vrouter.stack.l4.names import Name

MAX_READ: Final = 256 * 1024  # what one connection takes before others have their turn
_JOINED: Final = 64 * 1024  # small writes that wait are joined up to this
_HIGH_WATER: Final = 64 * 1024

Bytes = bytes | bytearray | memoryview


class StreamTransport(transports._FlowControlMixin):
    """A connection of a namespace as an asyncio transport; `Netns.create_connection` and servers make it.

    ``get_extra_info`` knows ``sockname``, ``peername``, ``netns`` (the path), ``socket`` (a `TransportSocket`) and
    ``socket_info`` (the row of ``show sockets``, with ``tcp_info``: Linux's names and values).
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_buffered",
        "_closing",
        "_context",
        "_driver",
        "_ended",
        "_eof",
        "_face",
        "_gone",
        "_into_buffer",
        "_lost",
        "_names",
        "_paused",
        "_planned",
        "_protocol",
        "_server",
        "_sock",
        "_started",
    )

    _start_tls_compatible: Final = True
    _sendfile_compatible: Final = constants._SendfileMode.FALLBACK

    _loop: asyncio.AbstractEventLoop
    _protocol_paused: bool
    _high_water: int
    _low_water: int

    def __init__(
        self,
        driver: Driver,
        sock: Any,
        protocol: asyncio.BaseProtocol,
        waiter: asyncio.Future[None] | None = None,
        *,
        peer: Name | None = None,
        context: contextvars.Context | None = None,
        server: Server | None = None,
        face: TransportSocket | None = None,
    ) -> None:
        # Not the constructors of the bases: each would make a dictionary, and there may be very many of us.
        self._loop = loop = driver.loop
        self._protocol_paused = False
        self._high_water, self._low_water = _HIGH_WATER, _HIGH_WATER // 4
        self._driver = driver
        self._sock = sock
        self._context = contextvars.copy_context() if context is None else context
        self._server = server
        self._face = face
        self._buffer: deque[bytes | memoryview] | None = None
        self._buffered = 0
        self._lost = 0  # writes since the connection is lost, and the loss itself
        self._closing = self._eof = self._ended = self._paused = self._planned = self._started = self._gone = False
        self._names = (sock.getsockname(), sock.getpeername() if peer is None else peer)
        self._take_protocol(protocol)
        sock.user = self
        sock.on_close = self._closed_below
        sock.setsockopt(c.IPPROTO_TCP, c.TCP_NODELAY, 1, now=driver.clock())  # as asyncio does
        if server is not None:
            server.attach(self)
        loop.call_soon(self._protocol.connection_made, self, context=self._context)
        loop.call_soon(self._start, context=self._context)
        if waiter is not None:
            loop.call_soon(_finish, waiter)

    def __repr__(self) -> str:
        state = "closed" if self._gone else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self._sock!r}>"

    # -- the protocol -----------------------------------------------------------------------------------------------

    def _take_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol: Any = protocol
        self._into_buffer = isinstance(protocol, asyncio.BufferedProtocol)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whom to tell from now on."""
        self._take_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known by `name`, else `default`."""
        if name == "sockname":
            return self._names[0]
        if name == "peername":
            return self._names[1]
        if name == "socket":
            if self._face is None:
                self._face = TransportSocket(self._driver, self._sock)
            return self._face
        if name == "netns":
            return self._sock.ns.name
        if name == "socket_info":
            return self._sock.record() | {"tcp_info": of_socket(self._sock, self._driver.clock())}
        return default

    # -- the stack's news -------------------------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """The driver's news: there is something to read, room to write, or an error."""
        if self._face is not None:
            self._face.bell.ready(mask)
        if mask & (c.READ | c.ERROR) and self._started and not self._planned:
            self._context.run(self._read)
        if self._buffer:
            self._context.run(self._flush)

    def _closed_below(self, sock: Any) -> None:
        """Somebody closed the socket itself: its namespace goes away, or the router stops."""
        self._force_close(OSError(errno.ENETDOWN, f"namespace {sock.ns.name!r} is gone"))

    # -- in ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._started = True
        self._read_later()

    def is_reading(self) -> bool:
        """Whether what comes is handed to the protocol."""
        return not (self._closing or self._paused)

    def pause_reading(self) -> None:
        """Hand nothing to the protocol until `resume_reading`; the peer finds the window closed in the end."""
        if self.is_reading():
            self._paused = True

    def resume_reading(self) -> None:
        """Hand on again what comes."""
        if not self._closing and self._paused:
            self._paused = False
            self._read_later()

    def _read_later(self) -> None:
        if self._started and not (self._planned or self._paused or self._closing or self._ended):
            if self._sock.readable:
                self._planned = True
                self._loop.call_soon(self._planned_read, context=self._context)

    def _planned_read(self) -> None:
        self._planned = False
        self._read()

    def _read(self) -> None:
        if self._paused or self._closing or self._ended:
            return
        if self._into_buffer:
            self._read_into_buffer()
            return
        self._hand_over(self._sock.recv, MAX_READ, "data_received")

    def _read_into_buffer(self) -> None:
        try:
            buffer = self._protocol.get_buffer(-1)
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(error, "Fatal error: protocol.get_buffer() call failed.")
            return
        self._hand_over(self._sock.recv_into, buffer, "buffer_updated")

    def _hand_over(self, receive: Callable[..., Any], argument: Any, telling: str) -> None:
        """Receive once, by ``receive(argument)``, and tell the protocol what came of it by its method `telling`."""
        driver = self._driver
        now = driver.clock()
        try:
            received = receive(argument, now=now)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error, "Fatal read error on socket transport")
            return
        finally:
            driver.settle(now)
            if self._face is not None:
                self._face.bell.sync()
        if not received:
            self._read_eof()
            return
        try:
            getattr(self._protocol, telling)(received)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(error, f"Fatal error: protocol.{telling}() call failed.")
            return
        self._read_later()

    def _read_eof(self) -> None:
        self._ended = True
        try:
            stays = self._protocol.eof_received()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self._fail(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not stays:
            self.close()

    # -- out --------------------------------------------------------------------------------------------------------

    def write(self, data: Bytes) -> None:
        """Send `data`, or keep what the stack does not take yet."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if isinstance(data, memoryview):
            data = data.cast("B") if data.c_contiguous else data.tobytes()
        if not data:
            return
        if self._lost:
            self._lost += 1
            return
        if not self._buffer:
            sent = self._send(data)
            if sent < 0:
                return
            view = memoryview(data).cast("B")
            if sent == len(view):
                return
            # What the program may still change is copied.
            rest = view[sent:] if isinstance(data, bytes) else bytes(view[sent:])
        else:
            rest = data if isinstance(data, bytes) else bytes(data)
        if self._buffer is None:
            self._buffer = deque()
        self._buffer.append(rest)
        self._buffered += len(rest)
        self._maybe_pause_protocol()

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        """Send all of them, one after the other."""
        self.write(b"".join(list_of_data))

    def _send(self, data: Bytes) -> int:
        """How many bytes the stack took; -1 when the connection is lost."""
        driver = self._driver
        now = driver.clock()
        try:
            sent: int = self._sock.send(data, now=now)
            return sent
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._fail(error, "Fatal write error on socket transport")
            return -1
        finally:
            driver.settle(now)

    def _flush(self) -> None:
        """The stack has room: give it what waits."""
        buffer = self._buffer
        while buffer:
            piece = buffer.popleft()
            if buffer and len(piece) < _JOINED:
                pieces, size = [piece], len(piece)
                while buffer and size < _JOINED:
                    size += len(buffer[0])
                    pieces.append(buffer.popleft())
                piece = b"".join(pieces)
            sent = self._send(piece)
            if sent < 0:
                return
            self._buffered -= sent
            if sent < len(piece):
                buffer.appendleft(memoryview(piece)[sent:])
                if not sent:
                    break
        self._maybe_resume_protocol()  # which may write
        if not self._buffer and not self._gone:
            self._buffer = None
            if self._closing:
                self._connection_lost(None)
            elif self._eof:
                self._shut_down()

    def write_eof(self) -> None:
        """End the outgoing direction, after what waits."""
        if self._closing or self._eof:
            return
        self._eof = True
        if not self._buffer:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._driver.call(self._sock.shutdown, c.SHUT_WR)
        except OSError as error:
            self._fail(error, "Fatal write error on socket transport")

    def can_write_eof(self) -> bool:
        """True: connections can be half-closed."""
        return True

    def get_write_buffer_size(self) -> int:
        """How many bytes wait here; those in the stack's send buffer are not counted."""
        return self._buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in bytes."""
        return self._low_water, self._high_water

    if TYPE_CHECKING:  # asyncio's flow control, which has no public types

        def _maybe_pause_protocol(self) -> None: ...

        def _maybe_resume_protocol(self) -> None: ...

    # -- the end ----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once what waits is sent."""
        return self._closing

    def close(self) -> None:
        """Read nothing more, send what waits, then close; ``connection_lost(None)`` follows."""
        if self._closing:
            return
        self._closing = True
        if not self._buffer:
            self._lost += 1
            self._loop.call_soon(self._connection_lost, None, context=self._context)

    def abort(self) -> None:
        """Close now; what waits is lost."""
        self._force_close(None)

    def _fail(self, error: BaseException, message: str) -> None:
        """The connection cannot go on. What is no error of the network is told to the loop."""
        if not isinstance(error, OSError):
            context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            self._loop.call_exception_handler(context)
        self._force_close(error)

    def _force_close(self, error: BaseException | None) -> None:
        """Asyncio's TLS calls it, too."""
        if self._lost:
            return
        self._buffer = None
        self._buffered = 0
        self._closing = True
        self._lost += 1
        self._loop.call_soon(self._connection_lost, error, context=self._context)

    def _connection_lost(self, error: BaseException | None) -> None:
        if self._gone:
            return
        self._gone = True
        self._lost = self._lost or 1
        try:
            self._protocol.connection_lost(error)
        finally:
            sock = self._sock
            sock.user = sock.on_close = None
            try:
                self._driver.call(sock.close)
            finally:
                if self._face is not None:
                    self._face.bell.close()
                if self._server is not None:
                    self._server.detach(self)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
