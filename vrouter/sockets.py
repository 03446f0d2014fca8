"""Sockets of a namespace for asyncio: datagram transports, and the BSD-style socket with the clock built in.

Everything runs on the loop's thread. A send runs to completion within the call, so that no data is ever buffered here:
what cannot be sent at once is dropped by the network, as on any IP network.

Expects: a `Driver` that is not closed, and the stack's namespace.
Sets:    ``Socket.user``, whose ``ready`` the driver calls when the socket became readable or has an error.
Next:    the protocol's callbacks, in a copy of the context in which the endpoint was made.

Addresses are numeric; the zone of a link-local one is written behind it (``fe80::1%lan``) or given as the scope_id.

Read first: the asyncio documentation on transports and protocols; ip(7), ipv6(7), udp(7) and icmp(7) of Linux.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from vrouter.errors import NotSupportedError
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.names import Name
from vrouter.stack.l4.socket import Buffer, Socket

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.stack.netns import Netns

READS: Final = 64  # datagrams that one endpoint takes before others have their turn
MAX_DATAGRAM: Final = 65535
NO_TCP: Final = "TCP is not supported yet"

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class DatagramTransport(asyncio.DatagramTransport):
    """A UDP socket of a namespace as an asyncio transport; `Netns.create_datagram_endpoint` makes it.

    ``get_extra_info`` knows ``sockname``, ``peername``, ``netns`` (the path), ``socket`` (the stack's socket) and
    ``socket_info`` (the row of ``show sockets``, with the number of datagrams that found the buffer full).

    Deviations from asyncio: an address that is none raises TypeError or ValueError at the caller instead of closing the
    transport, and an empty datagram is sent (RFC 768 allows it; asyncio before 3.13 ignores it).
    """

    def __init__(
        self,
        driver: Driver,
        sock: Socket,
        protocol: asyncio.BaseProtocol,
        address: Name | None,
        given: tuple[Any, ...] | None = None,
    ) -> None:
        super().__init__()
        self._driver = driver
        self._sock = sock
        self._protocol = protocol
        self._address = address
        self._given = given  # the same as the program wrote it
        self._connected = bool(sock.peer)
        self._context = contextvars.copy_context()
        self._closing = False
        self._limits = (16 * 1024, 64 * 1024)
        name = sock.getsockname()
        self._names = {"sockname": name, "peername": sock.getpeername() if self._connected else None}
        sock.user = self
        sock.on_close = self._closed_below

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closing ' if self._closing else ''}{self._sock!r}>"

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram. An OSError goes to ``error_received``; after `close` nothing is sent."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be bytes-like object, not {type(data).__name__!r}")
        if self._address is not None:
            if addr is not None and addr != self._address and addr != self._given:
                raise ValueError(f"Invalid address: must be None or {self._address}")
            addr = self._address
        if self._closing:
            return
        driver, sock = self._driver, self._sock
        now = driver.clock()
        try:
            if self._connected or addr is None:
                sock.send(data, now=now)
            else:
                sock.sendto(data, addr, now=now)
        except OSError as error:
            self._datagram_protocol.error_received(error)
        finally:
            driver.settle(now)

    @property
    def _datagram_protocol(self) -> asyncio.DatagramProtocol:
        return cast("asyncio.DatagramProtocol", self._protocol)

    def ready(self, mask: int) -> None:
        """The driver's news: there is something to read, or an error."""
        if not self._closing:
            self._context.run(self._read)

    def _read(self) -> None:
        sock, protocol = self._sock, self._datagram_protocol
        budget = READS
        try:
            while sock.readable and budget and not self._closing:
                budget -= 1
                try:
                    data, origin = sock.recvfrom(MAX_DATAGRAM)
                except BlockingIOError:  # somebody shut the receiving side
                    return
                except OSError as error:
                    protocol.error_received(error)
                else:
                    protocol.datagram_received(data, origin)
        except BaseException:
            self._read_later()  # the protocol raised; what waits behind is not lost
            raise
        if not budget:
            self._read_later()

    def _read_later(self) -> None:
        if self._sock.readable and not self._closing:
            self._driver.loop.call_soon(self._read, context=self._context)

    def close(self) -> None:
        """Close the socket now; ``connection_lost(None)`` follows soon."""
        self._close()

    def abort(self) -> None:
        """The same as `close`, since nothing is ever buffered."""
        self._close()

    def _close(self) -> None:
        if not self._closing:
            self._lost(None)
            self._driver.call(self._sock.close)

    def _closed_below(self, sock: Socket) -> None:
        """Somebody closed the socket itself: its namespace goes away, or the router stops."""
        self._lost(OSError(errno.ENETDOWN, f"namespace {sock.ns.name!r} is gone"))

    def _lost(self, error: OSError | None) -> None:
        self._closing = True
        self._sock.user = self._sock.on_close = None
        self._driver.loop.call_soon(self._protocol.connection_lost, error, context=self._context)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known by `name`, else `default`."""
        if name in self._names:
            return self._names[name]
        if name == "netns":
            return self._sock.ns.name
        if name == "socket":
            return self._sock
        if name == "socket_info":
            return self._sock.record() | {"drops": self._sock.drops}
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Whom to tell from now on."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """0: sends run to completion."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) in bytes."""
        return self._limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits, which a buffer that is always empty never reaches: ``pause_writing`` is never called."""
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._limits = (low, high)


async def create_datagram_endpoint(
    driver: Driver,
    ns: Netns,
    protocol_factory: Callable[[], _P],
    local_addr: tuple[Any, ...] | None = None,
    remote_addr: tuple[Any, ...] | None = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: Any = None,
) -> tuple[DatagramTransport, _P]:
    """``loop.create_datagram_endpoint`` in a namespace, with its arguments and errors; addresses are numeric.

    Without `family` it is that of the addresses, and AF_INET for addresses that are empty.
    """
    address: Name | None = None
    if sock is not None:
        if any((local_addr, remote_addr, family, proto, flags, reuse_port, allow_broadcast)):
            raise ValueError("socket modifier keyword arguments can not be used when sock is specified")
        opened = sock.stack if isinstance(sock, NetnsSocket) else sock
        known = isinstance(opened, Socket) and opened.ns is ns and opened.proto == c.IPPROTO_UDP and not opened.closed
        if not known:
            raise ValueError(f"An open UDP socket of namespace {ns.name!r} was expected, got {sock!r}")
    else:
        if not (local_addr or remote_addr or family):
            raise ValueError("unexpected address family")
        family = _common_family(family, local_addr, remote_addr)
        local, remote = _name(local_addr, family), _name(remote_addr, family)
        opened = ns.socket(family, c.SOCK_DGRAM, proto)
        try:
            if reuse_port:
                opened.setsockopt(c.SOL_SOCKET, c.SO_REUSEPORT, 1)
            if allow_broadcast:
                opened.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1)
            if local is not None:
                driver.call(opened.bind, local)
            if remote is not None:
                if not allow_broadcast:
                    driver.call(opened.connect, remote)
                address = cast("Name", remote)
        except BaseException:
            driver.call(opened.close)
            raise
    if address is None and opened.peer:
        address = opened.getpeername()
    try:
        protocol = protocol_factory()
        transport = DatagramTransport(driver, opened, protocol, address, remote_addr)
    except BaseException:
        driver.call(opened.close)
        raise
    # As in asyncio, the protocol is told by the loop, and what came meanwhile is read after that.
    loop = driver.loop
    loop.call_soon(protocol.connection_made, transport)
    loop.call_soon(transport.ready, c.READ)
    started = loop.create_future()
    loop.call_soon(_finish, started)
    try:
        await started
    except BaseException:
        transport.close()
        raise
    return transport, protocol


def _common_family(family: int, *addresses: tuple[Any, ...] | None) -> int:
    """The family of a socket for all `addresses`; ValueError when they have none in common."""
    found = {family} if family else set()
    for address in addresses:
        if address and isinstance(address, tuple) and isinstance(address[0], str) and address[0]:
            found.add(c.AF_INET6 if ":" in address[0] else c.AF_INET)
    if len(found) > 1:
        raise ValueError("can not get address information")
    return found.pop() if found else c.AF_INET


def _name(address: tuple[Any, ...] | None, family: int) -> tuple[Any, ...] | None:
    if not address:
        return None
    if not isinstance(address, tuple) or not 2 <= len(address) <= (2 if family == c.AF_INET else 4):
        raise TypeError("2-tuple is expected")
    return (address[0] or "", *address[1:])


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class NetnsSocket:
    """A BSD-style socket of a namespace: the calls of Python's socket objects, with the kernel's numbers and errors.

    Calls never block: what would raises BlockingIOError. ``stack`` is the stack's socket under it.
    """

    __slots__ = ("_driver", "stack")

    def __init__(self, driver: Driver, sock: Socket) -> None:
        self._driver = driver
        self.stack = sock

    def __enter__(self) -> NetnsSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<NetnsSocket {self.stack!r}>"

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return self.stack.family

    @property
    def type(self) -> int:
        """SOCK_DGRAM."""
        return self.stack.type

    @property
    def proto(self) -> int:
        """IPPROTO_UDP, IPPROTO_ICMP or IPPROTO_ICMPV6."""
        return self.stack.proto

    def bind(self, address: Name) -> None:
        """bind(2)."""
        self._driver.call(self.stack.bind, address)

    def connect(self, address: Name | None) -> None:
        """connect(2); None dissolves the association."""
        self._driver.call(self.stack.connect, address)

    def connect_ex(self, address: Name | None) -> int:
        """connect(2) with the errno as the result."""
        return self._driver.call(self.stack.connect_ex, address)

    def send(self, data: Buffer, flags: int = 0) -> int:
        """send(2)."""
        return self._driver.call(self.stack.send, data, flags)

    def sendto(self, data: Buffer, *where: Any) -> int:
        """sendto(2): ``sendto(data, address)`` or ``sendto(data, flags, address)``."""
        return self._driver.call(self.stack.sendto, data, *where)

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Name | None = None,
    ) -> int:
        """sendmsg(2)."""
        return self._driver.call(self.stack.sendmsg, buffers, ancdata, flags, address)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """recv(2)."""
        return self._driver.call(self.stack.recv, bufsize, flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Name]:
        """recvfrom(2)."""
        return self._driver.call(self.stack.recvfrom, bufsize, flags)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Name]:
        """recvmsg(2)."""
        return self._driver.call(self.stack.recvmsg, bufsize, ancbufsize, flags)

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """recv(2) into a buffer."""
        return self._driver.call(self.stack.recv_into, buffer, nbytes, flags)

    def recvfrom_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> tuple[int, Name]:
        """recvfrom(2) into a buffer."""
        return self._driver.call(self.stack.recvfrom_into, buffer, nbytes, flags)

    def getsockname(self) -> Name:
        """getsockname(2)."""
        return self.stack.getsockname()

    def getpeername(self) -> Name:
        """getpeername(2)."""
        return self.stack.getpeername()

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        """getsockopt(2)."""
        return self.stack.getsockopt(level, option, buflen)

    def setsockopt(self, level: int, option: int, value: int | Buffer) -> None:
        """setsockopt(2)."""
        self._driver.call(self.stack.setsockopt, level, option, value)

    def shutdown(self, how: int) -> None:
        """shutdown(2)."""
        self._driver.call(self.stack.shutdown, how)

    def setblocking(self, flag: bool) -> None:
        """Accepted for programs that call it; no call ever blocks, so True is ValueError."""
        if flag:
            raise ValueError("sockets of a namespace never block")

    def close(self) -> None:
        """close(2); again does nothing."""
        self._driver.call(self.stack.close)


def open_socket(driver: Driver, ns: Netns, family: int, kind: int, proto: int) -> NetnsSocket:
    """socket(2) in a namespace. NotSupportedError for what this version has not, else OSError."""
    if family in (c.AF_INET, c.AF_INET6) and kind & 0xF == c.SOCK_STREAM:
        raise NotSupportedError(NO_TCP)
    return NetnsSocket(driver, ns.socket(family, kind, proto))
