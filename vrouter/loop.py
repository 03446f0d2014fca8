"""Event loops on which a namespace can be a scope: programs that know nothing of vrouter run inside one.

    async def main():
        async with vrouter.Router.from_file("vrouter.toml") as router:
            with router["red"]:
                async with httpx.AsyncClient() as client:
                    print(await client.get("http://web.example.test/"))

    vrouter.run(main())

``with red:`` makes red the current namespace of the task, a context variable: it survives every await, child tasks
inherit it, and many tasks may be in many namespaces at once. Inside, the loop's own calls are the namespace's:
connections, servers, datagram endpoints, names, TLS and files on its transports. Outside of every scope the loop
behaves as always.

**Kernel sockets.** Libraries make a socket, await ``loop.sock_connect`` and hand it to ``create_connection(sock=)``.
Inside a scope, ``sock_connect`` of an unconnected AF_INET or AF_INET6 socket connects one of the namespace instead,
with the same options, which stands behind the kernel's one from then on, wherever the loop is given that. Every other
kernel socket of these families is refused inside a scope (RuntimeError): nothing uses the host's network silently. The
blocking calls of the socket module are not the loop's, and stay the kernel's.

**Sockets of a namespace** (`Netns.socket`) work with the loop's ``sock_*`` calls in any scope and outside.

Expects: `vrouter.run` or `new_event_loop`; a `Netns` of a router that runs on the loop.
Next:    `sockets`.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from vrouter.sockets import NetnsSocket, awaiting, connecting, create_datagram_endpoint, create_server, tls
from vrouter.sockets.sendfile import sendfile
from vrouter.sockets.stream import StreamTransport

if TYPE_CHECKING:
    from vrouter.netns import Netns
    from vrouter.sockets import Place

_Result = TypeVar("_Result")

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)

# Options of a kernel socket that one of a namespace takes over, where they are not as they were at first.
_CARRIED: Final = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, socket.SO_BROADCAST),
    (socket.IPPROTO_IP, socket.IP_TOS),
    (socket.IPPROTO_IP, socket.IP_TTL),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
)
_BUFFERS: Final = (socket.SO_SNDBUF, socket.SO_RCVBUF)  # the kernel tells twice what was set


class Scope(NamedTuple):
    """A namespace that a task is in, and what it was in before."""

    netns: Netns
    outer: Scope | None


SCOPE: Final[contextvars.ContextVar[Scope | None]] = contextvars.ContextVar("vrouter-netns", default=None)


def current_netns() -> Netns | None:
    """The namespace whose scope the caller is in, None outside of every scope."""
    scope = SCOPE.get()
    return None if scope is None else scope.netns


def enter(netns: Netns) -> None:
    """The scope of a namespace begins. RuntimeError unless its router's loop runs, and is one of ours."""
    loop = netns.router.driver.loop
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(f"no loop is running, so nothing could use {netns!r}") from None
    if running is not loop or not isinstance(loop, ScopedLoop):
        raise RuntimeError(
            f"the scope of {netns!r} needs the loop of its router, made by vrouter.run() or vrouter.new_event_loop()"
        )
    SCOPE.set(Scope(netns, SCOPE.get()))


def leave(netns: Netns) -> None:
    """The scope ends, which must be the innermost one of the task."""
    scope = SCOPE.get()
    if scope is None or scope.netns is not netns:
        raise RuntimeError(f"{netns!r} is not the innermost scope here")
    SCOPE.set(scope.outer)


class ScopedLoop(asyncio.AbstractEventLoop):
    """Mixed into a loop: its calls are those of the namespace that the caller is in."""

    _taken: weakref.WeakKeyDictionary[socket.socket, NetnsSocket] | None = None

    def _place(self) -> Place | None:
        """Where the caller is; None outside of every scope. RuntimeError on another loop than the namespace's."""
        netns = current_netns()
        if netns is None:
            return None
        place = netns.place
        if place.loop is not self:
            raise RuntimeError(f"{netns!r} is driven by another loop than this one")
        return place

    def _socket(self, sock: Any) -> NetnsSocket | None:
        """The namespace's socket that `sock` is, or that stands behind it; None for one that is the kernel's affair.
        RuntimeError for one that is, but must not be used here."""
        if isinstance(sock, NetnsSocket):
            if sock.driver.loop is not self:
                raise RuntimeError(f"{sock!r} is driven by another loop than this one")
            return sock
        if self._taken and isinstance(sock, socket.socket):
            found = self._taken.get(sock)
            if found is not None:
                return found
        if SCOPE.get() is not None and getattr(sock, "family", None) in _INTERNET:
            raise RuntimeError(f"a socket of the kernel cannot be used in the scope of {current_netns()!r}: {sock!r}")
        return None

    def _place_of(self, options: dict[str, Any]) -> Place | None:
        """Where an endpoint with these options is to be; its socket is replaced by the one that stands behind it."""
        sock = options.get("sock")
        place = self._place()
        if sock is None:
            return place
        found = self._socket(sock)
        if found is None:
            return None
        if place is None or place.ns is not found.stack.ns:
            place = found.place
        if found is not sock:
            assert self._taken is not None
            del self._taken[sock]
            sock.close()
            options["sock"] = found
        return place

    # -- endpoints --------------------------------------------------------------------------------------------------

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        """As always, or in the namespace."""
        place = self._place_of(options)
        if place is None:
            return await super().create_connection(*args, **options)
        return await connecting.create_connection(place, *args, **options)

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """As always, or in the namespace."""
        place = self._place_of(options)
        if place is None:
            return await super().create_server(*args, **options)
        return await create_server(place, *args, **options)

    async def create_datagram_endpoint(self, *args: Any, **options: Any) -> Any:
        """As always, or in the namespace."""
        place = None if options.get("family") == getattr(socket, "AF_UNIX", -1) else self._place_of(options)
        if place is None:
            return await super().create_datagram_endpoint(*args, **options)
        return await create_datagram_endpoint(place, *args, **options)

    async def connect_accepted_socket(self, protocol_factory: Any, sock: Any, **options: Any) -> Any:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        if found is None:
            return await super().connect_accepted_socket(protocol_factory, sock, **options)
        context = options.get("ssl")
        timeouts = options.get("ssl_handshake_timeout"), options.get("ssl_shutdown_timeout")
        tls.check_timeouts(context, *timeouts)
        place = found.place
        connecting.check_stream(place, found)
        return await connecting.attach(
            place,
            protocol_factory,
            found,
            context,
            face=found,
            server_side=True,
            handshake_timeout=timeouts[0],
            shutdown_timeout=timeouts[1],
        )

    async def start_tls(self, transport: Any, *args: Any, **options: Any) -> Any:
        """As always, or on a transport of a namespace."""
        if isinstance(tls.below(transport), StreamTransport):
            return await tls.start_tls(self, transport, *args, **options)
        return await super().start_tls(transport, *args, **options)

    async def sendfile(self, transport: Any, *args: Any, **options: Any) -> int:
        """As always, or into a transport of a namespace."""
        if isinstance(tls.below(transport), StreamTransport):
            return await sendfile(self, transport, *args, **options)
        return await super().sendfile(transport, *args, **options)

    # -- names ------------------------------------------------------------------------------------------------------

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As always, or what the namespace knows."""
        place = self._place()
        if place is None:
            return await super().getaddrinfo(host, port, **options)
        return await place.getaddrinfo(host, port, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """As always, or what the namespace knows."""
        place = self._place()
        if place is None:
            return await super().getnameinfo(sockaddr, flags)
        return await place.getnameinfo(sockaddr, flags)

    # -- sockets ----------------------------------------------------------------------------------------------------

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        return await (super().sock_recv(sock, nbytes) if found is None else awaiting.recv(found, nbytes))

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        return await (super().sock_recv_into(sock, buf) if found is None else awaiting.recv_into(found, buf))

    async def sock_recvfrom(self, sock: Any, bufsize: int) -> Any:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        if found is None:
            return await super().sock_recvfrom(sock, bufsize)
        return await awaiting.recvfrom(found, bufsize)

    async def sock_recvfrom_into(self, sock: Any, buf: Any, nbytes: int = 0) -> Any:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        if found is None:
            return await super().sock_recvfrom_into(sock, buf, nbytes)
        return await awaiting.recvfrom_into(found, buf, nbytes)

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        await (super().sock_sendall(sock, data) if found is None else awaiting.sendall(found, data))

    async def sock_sendto(self, sock: Any, data: Any, address: Any) -> int:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        if found is None:
            return await super().sock_sendto(sock, data, address)
        return await awaiting.sendto(found, data, address)

    async def sock_accept(self, sock: Any) -> Any:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        return await (super().sock_accept(sock) if found is None else awaiting.accept(found))

    async def sock_sendfile(
        self, sock: Any, file: Any, offset: int = 0, count: int | None = None, **options: Any
    ) -> int:
        """As always, or for a socket of a namespace."""
        found = self._socket(sock)
        if found is None:
            return await super().sock_sendfile(sock, file, offset, count, **options)
        if options.get("fallback") is False:
            raise asyncio.SendfileNotAvailableError("sendfile is not available for a socket of a namespace")
        return await awaiting.sendfile(found, file, offset, count)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """As always, or for a socket of a namespace; inside a scope one is made to stand behind a kernel's."""
        place = self._place()
        taken = self._taken is not None and isinstance(sock, socket.socket) and sock in self._taken
        if place is None or taken or not _is_fresh(sock):
            found = self._socket(sock)
            if found is None:
                await super().sock_connect(sock, address)
            else:
                await awaiting.connect(found, await _numeric(found.place, found, address))
            return
        stand_in = _stand_in(place, sock)
        try:
            await awaiting.connect(stand_in, await _numeric(place, stand_in, address))
        except BaseException:
            stand_in.close()
            raise
        if self._taken is None:
            self._taken = weakref.WeakKeyDictionary()
        self._taken[sock] = stand_in  # closed when nobody has the kernel's socket any more


def _is_fresh(sock: Any) -> bool:
    """Whether a kernel socket may be stood in for: of an internet family, and not connected."""
    if not isinstance(sock, socket.socket) or sock.family not in _INTERNET:
        return False
    if sock.type not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        return False
    try:
        sock.getpeername()
    except OSError:
        return not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return False


def _stand_in(place: Place, sock: socket.socket) -> NetnsSocket:
    """A socket of the namespace that is like `sock`, and bound to where that one is bound. OSError EADDRNOTAVAIL …"""
    made = place.socket(sock.family, sock.type, sock.proto)
    try:
        with socket.socket(sock.family, sock.type, sock.proto) as plain:
            for level, option in _CARRIED:
                _carry(sock, plain, made, level, option, 1)
            for option in _BUFFERS:
                _carry(sock, plain, made, socket.SOL_SOCKET, option, 2)
        name = sock.getsockname()
        if name[1]:
            made.bind(name)
    except BaseException:
        made.close()
        raise
    return made


def _carry(sock: socket.socket, plain: socket.socket, made: NetnsSocket, level: int, option: int, unit: int) -> None:
    """Set an option of `made` as `sock` has it, if that is not as `plain`, which is new, has it."""
    try:
        value = sock.getsockopt(level, option)
        if value == plain.getsockopt(level, option):
            return
    except OSError:
        return  # the family or the kind has no such option
    made.setsockopt(level, option, value // unit)


async def _numeric(place: Place, sock: NetnsSocket, address: Any) -> Any:
    """A socket address with a number for its host, as asyncio's ``sock_connect`` looks it up."""
    if not isinstance(address, tuple) or len(address) < 2 or not address[0] or sock.family not in _INTERNET:
        return address
    # Raw and ICMP sockets have no services, of which getaddrinfo knows: what is asked for is the host.
    kind = sock.type if sock.type == socket.SOCK_STREAM else socket.SOCK_DGRAM
    infos = await place.getaddrinfo(*address[:2], family=sock.family, type=kind)
    found = infos[0][4]
    port = address[1] if isinstance(address[1], int) else found[1]  # one out of range is the socket's to refuse
    return (found[0], port, *(address[2:] or found[2:]))


class AsyncioLoop(ScopedLoop, asyncio.SelectorEventLoop):
    """The stock loop, with scopes."""


def new_event_loop(*, uvloop: bool | None = None) -> asyncio.AbstractEventLoop:
    """A loop on which a namespace can be a scope: of uvloop's kind or the stock one; None: uvloop's if it is
    installed. For ``asyncio.Runner(loop_factory=vrouter.new_event_loop)``, and what is like it."""
    if uvloop is False:
        return AsyncioLoop()
    try:
        from vrouter.uvloop_loop import UvloopLoop
    except ModuleNotFoundError:
        if uvloop:
            raise
        return AsyncioLoop()
    return UvloopLoop()


def run(main: Coroutine[Any, Any, _Result], *, debug: bool | None = None, uvloop: bool | None = None) -> _Result:
    """``asyncio.run`` on a loop of `new_event_loop`."""
    with asyncio.Runner(debug=debug, loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
        return runner.run(main)
