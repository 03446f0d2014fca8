"""Sockets of a namespace for asyncio: datagram transports, ping, and the BSD-style socket with the clock built in.

Everything runs on the loop's thread. A send runs to completion within the call, so that no data is ever buffered here:
what cannot be sent at once is dropped by the network, as on any IP network.

Expects: a `Driver` that is not closed, and the stack's namespace.
Sets:    ``Socket.user``, whose ``ready`` the driver calls when the socket became readable or has an error.
Next:    the protocol's callbacks, in a copy of the context in which the endpoint was made.

Read first: the asyncio documentation on transports and protocols; ip(7), udp(7) and icmp(7) of Linux.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from vrouter.errors import NotSupportedError, errno_name
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import EXTENDED_ERR, INT, SOCKADDR_IN
from vrouter.stack.l4.socket import Buffer, Socket

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.stack.netns import Netns

READS: Final = 64  # datagrams that one endpoint takes before others have their turn
MAX_DATAGRAM: Final = 65535
NO_TCP: Final = "TCP is not supported yet"
NO_REPLY: Final = "ETIMEDOUT"
_ECHO_HEADER: Final = 8
_PATTERN: Final = bytes(range(256)) * 256
_SECOND: Final = 1_000_000_000

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class DatagramTransport(asyncio.DatagramTransport):
    """A UDP socket of a namespace as an asyncio transport; `Netns.create_datagram_endpoint` makes it.

    ``get_extra_info`` knows ``sockname``, ``peername``, ``netns`` (the path), ``socket`` (the stack's socket) and
    ``socket_info`` (the row of ``show sockets``, with the number of datagrams that found the buffer full).

    Deviations from asyncio: an address that is none raises TypeError or ValueError at the caller instead of closing the
    transport, and an empty datagram is sent (RFC 768 allows it; asyncio before 3.13 ignores it).
    """

    def __init__(
        self, driver: Driver, sock: Socket, protocol: asyncio.BaseProtocol, address: tuple[str, int] | None
    ) -> None:
        super().__init__()
        self._driver = driver
        self._sock = sock
        self._protocol = protocol
        self._address = address
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
            if addr is not None and addr != self._address:
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
    local_addr: tuple[str | None, int] | None = None,
    remote_addr: tuple[str | None, int] | None = None,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    reuse_port: bool | None = None,
    allow_broadcast: bool | None = None,
    sock: Any = None,
) -> tuple[DatagramTransport, _P]:
    """``loop.create_datagram_endpoint`` in a namespace, with its arguments and errors; addresses are numeric."""
    address: tuple[str, int] | None = None
    if sock is not None:
        if any((local_addr, remote_addr, family, proto, flags, reuse_port, allow_broadcast)):
            raise ValueError("socket modifier keyword arguments can not be used when sock is specified")
        opened = sock.stack if isinstance(sock, NetnsSocket) else sock
        if not isinstance(opened, Socket) or opened.ns is not ns or opened.table is not ns.udp or opened.closed:
            raise ValueError(f"An open UDP socket of namespace {ns.name!r} was expected, got {sock!r}")
    else:
        if not (local_addr or remote_addr or family):
            raise ValueError("unexpected address family")
        local, remote = _pair(local_addr), _pair(remote_addr)
        opened = ns.socket(family or c.AF_INET, c.SOCK_DGRAM, proto)
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
                address = remote
        except BaseException:
            driver.call(opened.close)
            raise
    if address is None and opened.peer:
        address = opened.getpeername()
    try:
        protocol = protocol_factory()
        transport = DatagramTransport(driver, opened, protocol, address)
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


def _pair(address: tuple[str | None, int] | None) -> tuple[str, int] | None:
    if not address:
        return None
    if not isinstance(address, tuple) or len(address) != 2:
        raise TypeError("2-tuple is expected")
    return address[0] or "", address[1]


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
        """AF_INET."""
        return self.stack.family

    @property
    def type(self) -> int:
        """SOCK_DGRAM."""
        return self.stack.type

    @property
    def proto(self) -> int:
        """IPPROTO_UDP or IPPROTO_ICMP."""
        return self.stack.proto

    def bind(self, address: tuple[str, int]) -> None:
        """bind(2)."""
        self._driver.call(self.stack.bind, address)

    def connect(self, address: tuple[str, int] | None) -> None:
        """connect(2); None dissolves the association."""
        self._driver.call(self.stack.connect, address)

    def connect_ex(self, address: tuple[str, int] | None) -> int:
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
        address: tuple[str, int] | None = None,
    ) -> int:
        """sendmsg(2)."""
        return self._driver.call(self.stack.sendmsg, buffers, ancdata, flags, address)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """recv(2)."""
        return self._driver.call(self.stack.recv, bufsize, flags)

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, tuple[str, int]]:
        """recvfrom(2)."""
        return self._driver.call(self.stack.recvfrom, bufsize, flags)

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int]]:
        """recvmsg(2)."""
        return self._driver.call(self.stack.recvmsg, bufsize, ancbufsize, flags)

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """recv(2) into a buffer."""
        return self._driver.call(self.stack.recv_into, buffer, nbytes, flags)

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, tuple[str, int]]:
        """recvfrom(2) into a buffer."""
        return self._driver.call(self.stack.recvfrom_into, buffer, nbytes, flags)

    def getsockname(self) -> tuple[str, int]:
        """getsockname(2)."""
        return self.stack.getsockname()

    def getpeername(self) -> tuple[str, int]:
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
    if family == c.AF_INET and kind & 0xF == c.SOCK_STREAM:
        raise NotSupportedError(NO_TCP)
    return NetnsSocket(driver, ns.socket(family, kind, proto))


# ---------------------------------------------------------------------------------------------------------------- ping


class _Pinger:
    """One run of ping: its socket, what is under way, and what came back."""

    __slots__ = ("_waiter", "driver", "payload", "replies", "sent_at", "sock")

    def __init__(self, driver: Driver, sock: Socket, size: int) -> None:
        self.driver = driver
        self.sock = sock
        self.payload = _PATTERN[:size]
        self.sent_at: dict[int, int] = {}  # sequence number -> when, of what has no answer yet
        self.replies: list[dict[str, Any]] = []
        self._waiter: asyncio.Future[None] | None = None
        sock.user = self
        sock.on_close = self._closed_below

    def ready(self, mask: int) -> None:
        """The driver's news."""
        now = self.driver.clock()
        sock = self.sock
        while sock.readable and not sock.closed:
            if sock.take_error():
                self._read_error(now)
            else:
                data, messages, _, origin = sock.recvmsg(MAX_DATAGRAM, 256, now=now)
                self._reply(data, messages, origin[0], now)
        self.wake()

    def _read_error(self, now: int) -> None:
        # A pending errno comes with an entry of the error queue, which tells what it is about.
        try:
            data, messages, _, _ = self.sock.recvmsg(MAX_DATAGRAM, 256, c.MSG_ERRQUEUE, now=now)
        except BlockingIOError:
            return
        self._error(data, messages)

    def _reply(self, data: bytes, messages: list[tuple[int, int, bytes]], origin: str, now: int) -> None:
        sent = self.sent_at.pop(int.from_bytes(data[6:8], "big"), None)
        if sent is None:
            return  # late, or a second answer
        ttl = next((INT.unpack(value)[0] for level, kind, value in messages if (level, kind) == _TTL), 0)
        self.replies.append(
            {
                "seq": int.from_bytes(data[6:8], "big"),
                "time_ns": now - sent,
                "ttl": ttl,
                "bytes": len(data),
                "from": origin,
            }
        )

    def _error(self, data: bytes, messages: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in messages:
            if (level, kind) == (c.SOL_IP, c.IP_RECVERR) and len(data) >= _ECHO_HEADER:
                code, icmp_origin = EXTENDED_ERR.unpack_from(value)[:2]
                offender = ""
                if icmp_origin == c.SO_EE_ORIGIN_ICMP:
                    address = SOCKADDR_IN.unpack_from(value, EXTENDED_ERR.size)[2]
                    offender = ".".join(map(str, address))
                self.failed(int.from_bytes(data[6:8], "big"), code, offender)

    def give_up(self, before: int) -> None:
        """No reply will come to what was sent until then; the oldest stand first."""
        while self.sent_at:
            seq, since = next(iter(self.sent_at.items()))
            if since > before:
                return
            self.failed(seq, errno.ETIMEDOUT, message="no reply")

    def failed(self, seq: int, code: int, origin: str = "", message: str = "") -> None:
        """No reply will come to `seq`."""
        if self.sent_at.pop(seq, None) is not None:
            name = errno_name(code)
            text = message or os.strerror(code)
            self.replies.append({"seq": seq, "error": name, "message": text, "from": origin or None})

    def send(self, seq: int) -> None:
        """One echo request."""
        number = seq & 0xFFFF
        header = bytes((8, 0, 0, 0, 0, 0)) + number.to_bytes(2, "big")
        now = self.sent_at[number] = self.driver.clock()
        try:
            self.sock.send(header + self.payload, now=now)
        except OSError as error:
            self.failed(number, error.errno or errno.EIO, message=error.strerror or "")
        finally:
            self.driver.settle(now)

    async def wait(self, until: int) -> None:
        """Until something happened, or the clock says `until`."""
        loop = self.driver.loop
        self._waiter = loop.create_future()
        left_ms = max(1, -((self.driver.clock() - until) // 1_000_000))
        timer = loop.call_later(left_ms / 1000, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def wake(self) -> None:
        """Something happened."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _closed_below(self, sock: Socket) -> None:
        for seq in list(self.sent_at):
            self.failed(seq, errno.ENETDOWN)
        self.wake()


_TTL: Final = (c.SOL_IP, c.IP_TTL)


async def ping_results(
    driver: Driver,
    ns: Netns,
    dst: str,
    *,
    count: int | None = 1,
    size: int = 56,
    timeout: float = 1.0,
    interval: float = 0.0,
    ttl: int | None = None,
    src: str | None = None,
    dont_fragment: bool = False,
) -> AsyncIterator[dict[str, Any]]:
    """Send `count` echo requests (None: without end) with `size` bytes of data; one record for each, as it is decided.

    A reply is ``{seq, time_ns, ttl, bytes, from}``; otherwise ``{seq, error, message, from}`` with the errno's name:
    that of the ICMP error (``from``: who sent it) or of the local refusal, or ETIMEDOUT when no reply came within
    `timeout` seconds. Requests leave `interval` seconds apart; 0 sends the next when the one before is decided.
    Sequence numbers begin with 1. OSError when there is no route at the start, ValueError for what is no address.
    """
    if not 0 <= size <= MAX_DATAGRAM - 28:
        raise ValueError(f"size must be 0 to {MAX_DATAGRAM - 28} bytes, not {size}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    sock = ns.socket(c.AF_INET, c.SOCK_DGRAM, c.IPPROTO_ICMP)
    try:
        now = driver.clock()
        _prepare(sock, ttl, dont_fragment)
        if src is not None:
            sock.bind((src, 0), now=now)
        sock.connect((dst, 0), now=now)
        pinger = _Pinger(driver, sock, size)
        timeout_ns, interval_ns = int(timeout * _SECOND), int(interval * _SECOND)
        sent, next_at = 0, now
        while True:
            now = driver.clock()
            pinger.give_up(now - timeout_ns)
            replies, pinger.replies = pinger.replies, []
            for reply in replies:
                yield reply
            if sock.closed and not pinger.replies:
                return
            more = count is None or sent < count
            if more and (now >= next_at if interval_ns else not pinger.sent_at):
                sent += 1
                next_at += interval_ns
                pinger.send(sent)
                await asyncio.sleep(0)  # an interval that is shorter than a sending leaves the others their turn
            elif not pinger.replies:
                if not more and not pinger.sent_at:
                    return
                oldest = next(iter(pinger.sent_at.values()), now)
                await pinger.wait(min(oldest + timeout_ns, next_at) if more and interval_ns else oldest + timeout_ns)
    finally:
        sock.user = sock.on_close = None
        driver.call(sock.close)


def _prepare(sock: Socket, ttl: int | None, dont_fragment: bool) -> None:
    for option, value in (
        (c.IP_RECVERR, 1),
        (c.IP_RECVTTL, 1),
        (c.IP_MTU_DISCOVER, c.IP_PMTUDISC_DO if dont_fragment else c.IP_PMTUDISC_DONT),
    ):
        sock.setsockopt(c.SOL_IP, option, value)
    if ttl is not None:
        sock.setsockopt(c.SOL_IP, c.IP_TTL, ttl)


async def ping(driver: Driver, ns: Netns, dst: str, **options: Any) -> float:
    """The mean time of the replies in seconds; without any, the OSError of the last ICMP error, else TimeoutError.

    Options as `ping_results`.
    """
    times: list[int] = []
    failure: OSError = TimeoutError(errno.ETIMEDOUT, f"no reply from {dst}")
    async for reply in ping_results(driver, ns, dst, **options):
        if "time_ns" in reply:
            times.append(reply["time_ns"])
        elif reply["error"] != NO_REPLY:
            origin = f" (from {reply['from']})" if reply["from"] else ""
            failure = OSError(getattr(errno, reply["error"], errno.EIO), f"ping {dst}: {reply['message']}{origin}")
    if not times:
        raise failure
    return sum(times) / len(times) / _SECOND
