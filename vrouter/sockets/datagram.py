"""Datagram transports of a namespace.

A send runs to completion within the call, so that no data is ever buffered here: what cannot be sent at once is
dropped by the network, as on any IP network.

Expects: a `Driver` that is not closed, and the stack's namespace.
Sets:    ``Socket.user``, whose ``ready`` the driver calls when the socket became readable or has an error.
Next:    the protocol's callbacks, in a copy of the context in which the endpoint was made.

The zone of a link-local address is written behind it (``fe80::1%lan``) or given as the scope_id. Names are looked up
when the endpoint is made, by the namespace's resolver; `DatagramTransport.sendto` takes numbers.

Read first: the asyncio documentation on transports and protocols; ip(7), ipv6(7), udp(7) and icmp(7) of Linux.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from vrouter.sockets.addrinfo import numeric
from vrouter.sockets.bsd import NetnsSocket, TransportSocket
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.names import Name
from vrouter.stack.l4.socket import Socket

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.sockets.place import Place

READS: Final = 64  # datagrams that one endpoint takes before others have their turn
MAX_DATAGRAM: Final = 65535

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class DatagramTransport(asyncio.DatagramTransport):
    """A UDP socket of a namespace as an asyncio transport; `Netns.create_datagram_endpoint` makes it.

    ``get_extra_info`` knows ``sockname``, ``peername``, ``netns`` (the path), ``socket`` (a `TransportSocket`) and
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
        face: TransportSocket | None = None,
    ) -> None:
        super().__init__()
        self._driver = driver
        self._sock = sock
        self._protocol = protocol
        self._address = address
        self._given = given  # the same as the program wrote it
        self._connected = bool(sock.peer)
        self._context = contextvars.copy_context()
        self._face = face
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
        if self._face is not None:
            self._face.bell.ready(mask)
        if not self._closing:
            self._context.run(self._read)
            if self._face is not None:
                self._face.bell.sync()

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
            self._driver.loop.call_soon(self._read_rest, context=self._context)

    def _read_rest(self) -> None:
        self._read()
        if self._face is not None:
            self._face.bell.sync()

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
        if self._face is not None:
            self._face.bell.close()
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
            if self._face is None:
                self._face = TransportSocket(self._driver, self._sock)
            return self._face
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
    place: Place,
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
    """``loop.create_datagram_endpoint`` in a namespace, with its arguments and errors.

    Without `family` it is that of the addresses, and AF_INET for addresses that are empty.
    """
    driver, ns = place.driver, place.ns
    address: Name | None = None
    if sock is not None:
        if any((local_addr, remote_addr, family, proto, flags, reuse_port, allow_broadcast)):
            raise ValueError("socket modifier keyword arguments can not be used when sock is specified")
        opened = sock.stack if isinstance(sock, NetnsSocket) else sock
        known = isinstance(opened, Socket) and opened.ns is ns and opened.proto == c.IPPROTO_UDP and not opened.closed
        if not known:
            raise ValueError(f"An open UDP socket of namespace {ns.name!r} was expected, got {sock!r}")
        if isinstance(sock, NetnsSocket):
            sock.give()
    else:
        if not (local_addr or remote_addr or family):
            raise ValueError("unexpected address family")
        if family not in (c.AF_UNSPEC, c.AF_INET, c.AF_INET6):
            raise os_error(errno.EAFNOSUPPORT)
        ways = await _ways(place, family, proto, flags, local_addr, remote_addr)
        errors: list[OSError] = []
        for own_family, local, remote in ways:
            try:
                opened = _open(place, own_family, proto, local, remote, bool(reuse_port), bool(allow_broadcast))
                break
            except OSError as error:
                errors.append(error)
        else:
            raise errors[0]
        address = cast("Name | None", remote)
    if address is None and opened.peer:
        address = opened.getpeername()
    try:
        protocol = protocol_factory()
        face = sock if isinstance(sock, NetnsSocket) else None
        transport = DatagramTransport(driver, opened, protocol, address, remote_addr, face)
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


def _open(
    place: Place, family: int, proto: int, local: Any, remote: Any, reuse_port: bool, allow_broadcast: bool
) -> Socket:
    """A UDP socket with these ends; with `allow_broadcast` it hears others than the one it sends to."""
    driver = place.driver
    opened = place.ns.socket(family, c.SOCK_DGRAM, proto)
    try:
        if reuse_port:
            opened.setsockopt(c.SOL_SOCKET, c.SO_REUSEPORT, 1)
        if allow_broadcast:
            opened.setsockopt(c.SOL_SOCKET, c.SO_BROADCAST, 1)
        if local is not None:
            driver.call(opened.bind, local)
        if remote is not None and not allow_broadcast:
            driver.call(opened.connect, remote)
    except BaseException:
        driver.call(opened.close)
        raise
    return opened


async def _ways(
    place: Place, family: int, proto: int, flags: int, local: tuple[Any, ...] | None, remote: tuple[Any, ...] | None
) -> list[tuple[int, Any, Any]]:
    """(family, local, remote) for each family that both addresses have."""
    if not (_is_named(place, local) or _is_named(place, remote)):
        family = _common_family(family, local, remote)
        return [(family, _name(local, family), _name(remote, family))]
    found: list[dict[int, Any] | None] = []
    for address in (local, remote):
        if not address:
            found.append(None)
            continue
        infos = await place.getaddrinfo(
            address[0] or None, *address[1:2], family=family, type=c.SOCK_DGRAM, proto=proto, flags=flags
        )
        found.append({info[0]: info[4] for info in reversed(infos)})
    ways = [one for one in found if one is not None]
    families = [one for one in ways[0] if all(one in other for other in ways)]
    if not families:
        raise ValueError("can not get address information")
    ends = [{} if one is None else one for one in found]
    return [(one, ends[0].get(one), ends[1].get(one)) for one in reversed(families)]


def _is_named(place: Place, address: Any) -> bool:
    """Whether an address has a host or a port that is a name."""
    if not isinstance(address, tuple) or not address:
        return False
    if len(address) > 1 and isinstance(address[1], str):
        return True
    if not isinstance(address[0], str) or not address[0]:
        return False
    return numeric(place, address[0]) is None and "%" not in address[0] and address[0] != "<broadcast>"


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
