"""Ping from a namespace: echo requests through a ping socket of its stack, and what comes back, as records.

Expects: a `Driver` that is not closed, and the stack's namespace.
Sets:    ``Socket.user``, whose ``ready`` the driver calls when the socket became readable or has an error.

Both families have one body; what their options and messages are called is in `OPTIONS`. What `traceroute` needs as well
is public here: the names of the options, and what an error queue tells.

Read first: ping(8), icmp(7) of Linux.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vrouter.errors import errno_name
from vrouter.stack.base.addresses import (
    LOOPBACK6,
    SCOPE_LINK,
    V4,
    V6,
    format_address,
    mapped_ipv4,
    parse_address_zone,
    scope6,
)
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import EXTENDED_ERR, INT, SOCKADDR_IN, SOCKADDR_IN6

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.stack.l4.names import Name
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns

MAX_DATAGRAM: Final = 65535
NO_REPLY: Final = "ETIMEDOUT"
_ECHO_HEADER: Final = 8
_PATTERN: Final = bytes(range(256)) * 256
_SECOND: Final = 1_000_000_000


class Options(NamedTuple):
    """What the options of a ping socket are called at its family's level."""

    socket: tuple[int, int]  # socket(2)'s family and protocol
    level: int
    recverr: int
    recvttl: int
    ttl: int
    mtu_discover: int
    received: int  # the control message with the TTL of a reply
    request: int  # ICMP's type of an echo request
    overhead: int  # bytes of headers before the data


OPTIONS: Final = {
    V4: Options(
        (c.AF_INET, c.IPPROTO_ICMP),
        c.SOL_IP,
        c.IP_RECVERR,
        c.IP_RECVTTL,
        c.IP_TTL,
        c.IP_MTU_DISCOVER,
        c.IP_TTL,
        8,
        28,
    ),
    V6: Options(
        (c.AF_INET6, c.IPPROTO_ICMPV6),
        c.SOL_IPV6,
        c.IPV6_RECVERR,
        c.IPV6_RECVHOPLIMIT,
        c.IPV6_UNICAST_HOPS,
        c.IPV6_MTU_DISCOVER,
        c.IPV6_HOPLIMIT,
        128,
        8,
    ),
}


class Report(NamedTuple):
    """What an entry of an error queue tells: errno, SO_EE_ORIGIN, ICMP's type and code, the MTU, and who said it ("":
    nobody but this host)."""

    code: int
    origin: int
    type: int
    icmp_code: int
    info: int
    offender: str


def reported(sock: Socket, names: Options, messages: list[tuple[int, int, bytes]]) -> Report | None:
    """The report among the control messages of MSG_ERRQUEUE; None when there is none."""
    for level, kind, value in messages:
        if (level, kind) == (names.level, names.recverr):
            code, origin, type_, icmp_code, _, info, _ = EXTENDED_ERR.unpack_from(value)
            offender = ""
            if origin == c.SO_EE_ORIGIN_ICMP:
                raw = SOCKADDR_IN.unpack_from(value, EXTENDED_ERR.size)[2]
                offender = format_address(int.from_bytes(raw, "big"))
            elif origin == c.SO_EE_ORIGIN_ICMP6:
                *_, raw, scope_id = SOCKADDR_IN6.unpack_from(value, EXTENDED_ERR.size)
                offender = host_text(sock, (format_address(int.from_bytes(raw, "big"), V6), 0, 0, scope_id))
            return Report(code, origin, type_, icmp_code, info, offender)
    return None


def host_text(sock: Socket, name: Name) -> str:
    """The address of a socket address with its zone, as ping(8) writes it."""
    host, scope_id = name[0], name[3] if len(name) == 4 else 0
    if not scope_id:
        return host
    devices = sock.ns.devices.values()
    return f"{host}%{next((dev.name for dev in devices if dev.ifindex == scope_id), scope_id)}"


class _Pinger:
    """One run of ping: its socket, what is under way, and what came back."""

    __slots__ = ("_options", "_waiter", "driver", "payload", "replies", "sent_at", "sock")

    def __init__(self, driver: Driver, sock: Socket, family: int, size: int) -> None:
        self.driver = driver
        self.sock = sock
        self._options = OPTIONS[family]
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
                self._reply(data, messages, origin, now)
        self.wake()

    def _read_error(self, now: int) -> None:
        # A pending errno comes with an entry of the error queue, which tells what it is about.
        try:
            data, messages, _, _ = self.sock.recvmsg(MAX_DATAGRAM, 256, c.MSG_ERRQUEUE, now=now)
        except BlockingIOError:
            return
        self._error(data, messages)

    def _reply(self, data: bytes, messages: list[tuple[int, int, bytes]], origin: Name, now: int) -> None:
        sent = self.sent_at.pop(int.from_bytes(data[6:8], "big"), None)
        if sent is None:
            return  # late, or a second answer
        told = self._options.level, self._options.received
        ttl = next((INT.unpack(value)[0] for level, kind, value in messages if (level, kind) == told), 0)
        self.replies.append(
            {
                "seq": int.from_bytes(data[6:8], "big"),
                "time_ns": now - sent,
                "ttl": ttl,
                "bytes": len(data),
                "from": host_text(self.sock, origin),
            }
        )

    def _error(self, data: bytes, messages: list[tuple[int, int, bytes]]) -> None:
        report = reported(self.sock, self._options, messages)
        if report is not None and len(data) >= _ECHO_HEADER:
            self.failed(int.from_bytes(data[6:8], "big"), report.code, report.offender)

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
        header = bytes((self._options.request, 0, 0, 0, 0, 0)) + number.to_bytes(2, "big")
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
    Sequence numbers begin with 1. OSError when there is no route at the start, ValueError for what is no address. A
    link-local address has its zone: ``fe80::1%lan``.
    """
    family = family_of(dst, src)
    most = MAX_DATAGRAM - OPTIONS[family].overhead
    if not 0 <= size <= most:
        raise ValueError(f"size must be 0 to {most} bytes, not {size}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    domain, proto = OPTIONS[family].socket
    sock = ns.socket(domain, c.SOCK_DGRAM, proto)
    try:
        now = driver.clock()
        _prepare(sock, OPTIONS[family], ttl, dont_fragment)
        if src is not None:
            sock.bind((src, 0), now=now)
        sock.connect((dst, 0), now=now)
        pinger = _Pinger(driver, sock, family, size)
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


def family_of(dst: str, src: str | None) -> int:
    """The family of what is sent to `dst`. OSError EINVAL, as a socket's but with words; ValueError for a source of the
    other one."""
    family, target, zone = parse_address_zone(dst)
    if family == V6:
        inner = mapped_ipv4(target)
        if inner is not None:
            text = f"{dst} is an IPv4 address within IPv6: {format_address(inner)}"
            raise OSError(errno.EINVAL, text)
        if scope6(target) <= SCOPE_LINK and not zone and target != LOOPBACK6:
            text = f"{dst} is not the same on every link, and needs its device: {dst}%DEV"
            raise OSError(errno.EINVAL, text)
    if src is not None and parse_address_zone(src)[0] != family:
        raise ValueError(f"the source {src} is of another family than {dst}")
    return family


def _prepare(sock: Socket, names: Options, ttl: int | None, dont_fragment: bool) -> None:
    for option, value in (
        (names.recverr, 1),
        (names.recvttl, 1),
        (names.mtu_discover, c.IP_PMTUDISC_DO if dont_fragment else c.IP_PMTUDISC_DONT),
    ):
        sock.setsockopt(names.level, option, value)
    if ttl is not None:
        sock.setsockopt(names.level, names.ttl, ttl)


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
