"""``create_connection`` in a namespace: names to addresses, a race between them, a transport, and TLS on it.

With `happy_eyeballs_delay` the next address is tried when the one before has failed or has not answered within the
delay, and the first connection wins (RFC 8305 5); the others are closed. Without it one address is tried after the
other.

Expects: a `Place`.
Next:    `stream` and `tls`; then the program's protocol.

Read first: RFC 8305; the asyncio documentation on creating connections.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from vrouter.sockets import awaiting, tls
from vrouter.sockets.bsd import NetnsSocket
from vrouter.sockets.stream import StreamTransport
from vrouter.stack.l4 import constants as c

if TYPE_CHECKING:
    from vrouter.sockets.addrinfo import AddrInfo
    from vrouter.sockets.place import Place

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

_MAX_PORT: Final = 65535


async def create_connection(
    place: Place,
    protocol_factory: Callable[[], _P],
    host: Any = None,
    port: Any = None,
    *,
    ssl: tls.Context = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: Any = None,
    local_addr: tuple[Any, ...] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[asyncio.Transport, _P]:
    """``loop.create_connection`` in a namespace, with its arguments, results and errors."""
    server_hostname = tls.check_arguments(ssl, host, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    if happy_eyeballs_delay is not None and interleave is None:
        interleave = 1
    face = sock
    if host is not None or port is not None:
        if sock is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        check_port(port, "connect")
        infos = await place.getaddrinfo(host, port, family=family, type=c.SOCK_STREAM, proto=proto, flags=flags)
        local: list[AddrInfo] | None = None
        if local_addr is not None:
            check_port(local_addr[1], "bind")
            local = await place.getaddrinfo(
                *local_addr[:2], family=family, type=c.SOCK_STREAM, proto=proto, flags=flags
            )
        if interleave:
            infos = interleaved(infos, interleave)
        sock = await _connect_any(place, infos, local, happy_eyeballs_delay, all_errors)
    else:
        if sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        check_stream(place, sock)
    return await attach(
        place,
        protocol_factory,
        sock,
        ssl,
        face=face,
        server_hostname=server_hostname,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )


def check_port(port: Any, call: str) -> None:
    """OverflowError for a number that is no port, which getaddrinfo(3) would cut to one."""
    if isinstance(port, str | bytes) and port.isdigit():
        port = int(port)
    if isinstance(port, int) and not 0 <= port <= _MAX_PORT:
        raise OverflowError(f"{call}(): port must be 0-65535.")


def check_stream(place: Place, sock: Any) -> None:
    """ValueError for what is no open stream socket of the namespace, driven by its program."""
    if not isinstance(sock, NetnsSocket) or sock.type != c.SOCK_STREAM or sock.stack.ns is not place.ns:
        raise ValueError(f"A Stream Socket of namespace {place.ns.name!r} was expected, got {sock!r}")
    if sock.stack.closed:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if sock.stack.user is not sock.bell:
        raise RuntimeError(f"{sock!r} is used by a transport already")


async def attach(
    place: Place,
    protocol_factory: Callable[[], _P],
    sock: NetnsSocket,
    context: tls.Context,
    *,
    face: NetnsSocket | None = None,
    server_side: bool = False,
    server_hostname: str | None = None,
    handshake_timeout: float | None = None,
    shutdown_timeout: float | None = None,
) -> tuple[asyncio.Transport, _P]:
    """A transport, with a protocol of its own, on a connected socket, which is closed when this fails; `face` is what
    the program has of the socket already."""
    loop = place.loop
    try:
        protocol = protocol_factory()
        waiter: asyncio.Future[Any] = loop.create_future()
        if context:
            between = tls.make_protocol(
                loop,
                protocol,
                context,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                handshake_timeout=handshake_timeout,
                shutdown_timeout=shutdown_timeout,
            )
            raw = StreamTransport(place.driver, sock.stack, between, face=face)
            transport: asyncio.Transport = tls.transport_of(between)
        else:
            raw = transport = StreamTransport(place.driver, sock.stack, protocol, waiter, face=face)
    except BaseException:
        sock.close()
        raise
    sock.disown()
    try:
        await waiter
    except BaseException:
        if context:
            transport.close()  # its own end, which says that it is closed
        raw.abort()
        raise
    return transport, protocol


def interleaved(infos: Sequence[AddrInfo], first: int) -> list[AddrInfo]:
    """The addresses with their families taking turns (RFC 8305 4), after `first` ones of the first family."""
    families: dict[int, list[AddrInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    rows = list(families.values())
    head: list[AddrInfo] = []
    if first > 1:
        head, rows[0] = rows[0][: first - 1], rows[0][first - 1 :]
    return head + [info for info in chain.from_iterable(zip_longest(*rows)) if info is not None]


async def _connect_any(
    place: Place, infos: list[AddrInfo], local: list[AddrInfo] | None, delay: float | None, all_errors: bool
) -> NetnsSocket:
    """A socket that is connected to one of the addresses; OSError when none answers."""
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    errors: list[Exception] = []
    sock = None
    if delay is None:
        for info in infos:
            try:
                sock = await _connect(place, info, local)
                break
            except OSError as error:
                errors.append(error)
    else:
        sock, errors = await _race(place, infos, local, delay)
    if sock is not None:
        return sock
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if len({str(error) for error in errors}) == 1:
            raise errors[0]
        raise OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")
    finally:
        errors = []  # no cycle of errors and their frames


async def _connect(place: Place, info: AddrInfo, local: list[AddrInfo] | None) -> NetnsSocket:
    family, kind, proto, _, address = info
    sock = place.socket(family, kind, proto)
    try:
        if local is not None:
            _bind(sock, family, local)
        await awaiting.connect(sock, cast("Any", address))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: NetnsSocket, family: int, local: list[AddrInfo]) -> None:
    """Bind to the first local address that the family can have; the errors of all of them in one OSError."""
    errors: list[OSError] = []
    for own_family, _, _, _, address in local:
        if own_family != family:
            continue
        try:
            sock.bind(cast("Any", address))
            return
        except OSError as error:
            text = f"error while attempting to bind on address {address!r}: {str(error).lower()}"
            errors.append(OSError(error.errno, text))
    if errors:
        raise errors[-1]
    raise OSError(f"no matching local address with family={socket.AddressFamily(family)!r} found")


class _Race:
    """Attempts that run side by side; the first one that connects wins."""

    def __init__(self, place: Place, infos: list[AddrInfo], local: list[AddrInfo] | None) -> None:
        self.place = place
        self.infos = infos
        self.local = local
        self.errors: list[Exception | None] = [None] * len(infos)
        self.winner: NetnsSocket | None = None
        self.news = asyncio.Event()
        self.running = 0
        self.over = False  # nobody wants a connection any more

    async def changed(self) -> None:
        """Wait until an attempt has ended."""
        self.news.clear()
        await self.news.wait()

    async def decided(self, number: int) -> None:
        """Wait until an attempt has failed, or any has won."""
        while self.winner is None and self.errors[number] is None and self.running:
            await self.changed()

    async def attempt(self, number: int) -> None:
        """One runner."""
        try:
            sock = await _connect(self.place, self.infos[number], self.local)
        except OSError as error:
            self.errors[number] = error
        else:
            if self.winner is None and not self.over:
                self.winner = sock
            else:
                sock.close()
        finally:
            self.running -= 1
            self.news.set()


async def _race(
    place: Place, infos: list[AddrInfo], local: list[AddrInfo] | None, delay: float
) -> tuple[NetnsSocket | None, list[Exception]]:
    """(the connected socket or None, the errors of the others in the order of the addresses)."""
    race, loop = _Race(place, infos, local), place.loop
    tasks: list[asyncio.Task[None]] = []
    try:
        for number in range(len(infos)):
            race.running += 1
            tasks.append(loop.create_task(race.attempt(number)))
            try:
                async with asyncio.timeout(delay if number + 1 < len(infos) else None):
                    await race.decided(number)
            except TimeoutError:
                continue
            if race.winner is not None:
                break
        while race.winner is None and race.running:
            await race.changed()
        await _stop(tasks)
    except BaseException:
        race.over = True
        if race.winner is not None:
            race.winner.close()
        await _stop(tasks)
        raise
    return race.winner, [error for error in race.errors if error is not None]


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    """End those that still run; they close what they have."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            raise cast("BaseException", task.exception())
