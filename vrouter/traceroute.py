"""Traceroute from a namespace: probes with growing TTL or hop limit through sockets of its stack, and who answered.

Three kinds of probes (`METHODS`): UDP to ports that nobody should have, of which the error queue tells what became;
echo requests of a ping socket; and SYNs of a raw socket, whose answers the stack ends with a reset as it knows of no
connection. Up to `PARALLEL` of them are under way; records come in the order of hops all the same.

Expects: a `Driver` that is not closed, and the stack's namespace.
Sets:    ``Socket.user``, whose ``ready`` the driver calls when the socket became readable or has an error.

With `find_mtu` probes may not be fragmented and are as large as the path takes, as far as that is known; one that is
too large is sent again, smaller.

Read first: traceroute(8), tracepath(8); RFC 792, RFC 4443; RFC 1393 for what it might have been.
"""

from __future__ import annotations

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.errors import errno_name
from vrouter.ping import OPTIONS, Report, family_of, host_text, reported
from vrouter.stack.base.addresses import V4, V6, parse_address
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import INT
from vrouter.stack.wire.checksum import checksum, pseudo_header

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.stack.l4.names import Name
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns

PARALLEL: Final = 16
MAX_HOPS: Final = 255
NO_ANSWER: Final = "ETIMEDOUT"
_SECOND: Final = 1_000_000_000
_BUFFER: Final = 65535
_PATTERN: Final = bytes(range(64, 128)) * 1024
_DATA: Final = 32  # bytes in a probe, as traceroute(8) has them
_MTU: Final = {V4: c.IP_MTU, V6: c.IPV6_MTU}
_IP_HEADER: Final = {V4: 20, V6: 40}
_EXCEEDED: Final = {V4: 11, V6: 3}
_UNREACHABLE: Final = {V4: 3, V6: 1}
_NO_PORT: Final = {V4: (3, 3), V6: (1, 4)}
_TOO_BIG: Final = {V4: (3, 4), V6: (2, 0)}
# What traceroute(8) writes behind the time for an answer that ends the way.
_MARKS: Final = {
    V4: {0: "!N", 1: "!H", 2: "!P", 3: "", 4: "!F", 5: "!S", 9: "!X", 10: "!X", 13: "!X", 14: "!V", 15: "!C"},
    V6: {0: "!N", 1: "!X", 2: "!S", 3: "!H", 4: "", 5: "!X", 6: "!N"},
}
_TCP: Final = Struct("!HHIIBBHHH")
_SYN: Final = 2
_RST: Final = 4
_ACK: Final = 16
_LOWEST: Final = 32768
_SPAN: Final = 28000
_CHECKSUM_AT: Final = 16
_IPV6_CHECKSUM: Final = 7


class Probe:
    """One probe: where it ends, when it left (ns), and once it is decided its record."""

    __slots__ = ("final", "hop", "mtu", "number", "record", "sent_at")

    def __init__(self, hop: int, number: int) -> None:
        self.hop = hop
        self.number = number
        self.sent_at = self.mtu = 0
        self.final = False
        self.record: dict[str, Any] | None = None


class Method(ABC):
    """How probes of a kind are made and known again. A probe is known by the number that it was sent with."""

    default_port: ClassVar[int]
    header: ClassVar[int]  # bytes between the IP header and the data

    def __init__(self, ns: Netns, family: int, target: Name, source: str, port: int | None) -> None:
        self.ns = ns
        self.family = family
        self.target = target
        self.source = source
        self.port = self.default_port if port is None else port
        self.domain = c.AF_INET if family == V4 else c.AF_INET6

    @abstractmethod
    def open(self) -> Socket:
        """The socket."""

    def aim(self, sock: Socket, now: int) -> None:  # noqa: B027 -- most have nothing to do
        """Make it ready, when its options are set."""

    @abstractmethod
    def packet(self, number: int, size: int) -> tuple[bytes, Name]:
        """What is to be sent with `size` bytes of data, and where to."""

    @abstractmethod
    def quoted(self, data: bytes, name: Name) -> int:
        """The number of the probe that an entry of the error queue is about; -1 for none."""

    @abstractmethod
    def answered(self, data: bytes, name: Name) -> int:
        """The number of the probe that a packet answers; -1 for none."""

    def _to(self, port: int) -> Name:
        return (self.target[0], port, *self.target[2:])


class Udp(Method):
    """A datagram for each port from 33434 on; who has no such port says so."""

    default_port = 33434
    header = 8

    def open(self) -> Socket:
        """A UDP socket."""
        return self.ns.socket(self.domain, c.SOCK_DGRAM, c.IPPROTO_UDP)

    def packet(self, number: int, size: int) -> tuple[bytes, Name]:
        """Its port tells the number."""
        return _PATTERN[:size], self._to((self.port + number - 1) % 65535 + 1)

    def quoted(self, data: bytes, name: Name) -> int:
        """By the port that it was sent to."""
        return (name[1] - self.port) % 65535 if name[1] else -1

    def answered(self, data: bytes, name: Name) -> int:
        """Somebody has the port, and answers."""
        return self.quoted(data, name) if name[0] == self.target[0] else -1


class Icmp(Method):
    """Echo requests."""

    default_port = 0
    header = 8

    def open(self) -> Socket:
        """A ping socket."""
        proto = c.IPPROTO_ICMP if self.family == V4 else c.IPPROTO_ICMPV6
        return self.ns.socket(self.domain, c.SOCK_DGRAM, proto)

    def packet(self, number: int, size: int) -> tuple[bytes, Name]:
        """Its sequence number tells the number."""
        header = bytes((OPTIONS[self.family].request, 0, 0, 0, 0, 0)) + (number + 1 & 0xFFFF).to_bytes(2, "big")
        return header + _PATTERN[:size], self._to(0)

    def quoted(self, data: bytes, name: Name) -> int:
        """By its sequence number."""
        return (int.from_bytes(data[6:8], "big") or 0x10000) - 1 if len(data) >= self.header else -1

    def answered(self, data: bytes, name: Name) -> int:
        """An echo reply; one to a group comes from anybody."""
        return self.quoted(data, name)


class Tcp(Method):
    """SYNs, each from a port of its own: what answers is a SYN or a reset, and no connection comes of it."""

    default_port = 80
    header = 20

    def __init__(self, ns: Netns, family: int, target: Name, source: str, port: int | None) -> None:
        super().__init__(ns, family, target, source, port)
        rng = ns.stack.rng
        self._sequence = rng.u32()
        self._first = rng.below(_SPAN)
        self._numbers: dict[int, int] = {}  # by the port that was used

    def open(self) -> Socket:
        """A raw socket."""
        sock = self.ns.socket(self.domain, c.SOCK_RAW, c.IPPROTO_TCP)
        if self.family == V6:
            sock.setsockopt(c.SOL_IPV6, _IPV6_CHECKSUM, _CHECKSUM_AT)
        return sock

    def aim(self, sock: Socket, now: int) -> None:
        """It hears the target alone."""
        sock.connect(self._to(0), now=now)

    def _own_port(self, number: int) -> int:
        """A port that no socket here has."""
        taken = self.ns.tcp.buckets if self.family == V4 else self.ns.tcp6.buckets
        for at in range(self._first, self._first + _SPAN):
            port = _LOWEST + at % _SPAN
            if port not in taken and port not in self._numbers:
                self._numbers[port] = number
                self._first = at + 1
                return port
        raise os_error(errno.EAGAIN)

    def packet(self, number: int, size: int) -> tuple[bytes, Name]:
        """Its source port tells the number."""
        sequence = self._sequence + number & 0xFFFFFFFF
        fields = [self._own_port(number), self.port, sequence, 0, 5 << 4, _SYN, 5840, 0, 0]
        data = _TCP.pack(*fields) + _PATTERN[:size]
        if self.family == V4:  # of IPv6 the stack does it
            ends = (parse_address(self.source)[1], parse_address(self.target[0])[1])
            initial = pseudo_header(*ends, c.IPPROTO_TCP, len(data), 32)
            fields[7] = checksum(data, 0, len(data), initial)
            data = _TCP.pack(*fields) + _PATTERN[:size]
        return data, self._to(0)

    def quoted(self, data: bytes, name: Name) -> int:
        """By the port that it came from."""
        if len(data) < 8 or int.from_bytes(data[2:4], "big") != self.port:
            return -1
        return self._number(int.from_bytes(data[:2], "big"), int.from_bytes(data[4:8], "big"))

    def _number(self, port: int, sequence: int, more: int = 0) -> int:
        """Of the probe from `port` whose sequence number is at most `more` below `sequence`."""
        number = self._numbers.get(port, -1)
        return number if sequence - self._sequence - number & 0xFFFFFFFF <= more else -1

    def answered(self, data: bytes, name: Name) -> int:
        """A SYN or a reset that acknowledges it."""
        at = (data[0] & 0xF) * 4 if self.family == V4 and data else 0
        if len(data) < at + self.header:
            return -1
        sport, dport, _, ack, _, flags, *_ = _TCP.unpack_from(data, at)
        if sport != self.port or not flags & _ACK or not flags & (_SYN | _RST):
            return -1
        return self._number(dport, ack - 1, _BUFFER)  # a reset acknowledges the data, too


METHODS: Final[dict[str, type[Method]]] = {"udp": Udp, "icmp": Icmp, "tcp": Tcp}


class _Tracer:
    """One run: its socket, the probes under way, and who answered."""

    def __init__(self, driver: Driver, method: Method, sock: Socket, aim: Socket, find_mtu: bool) -> None:
        self.driver = driver
        self.method = method
        self.sock = sock
        self.aim = aim
        self.find_mtu = find_mtu
        self.names = OPTIONS[method.family]
        self.known: dict[int, Probe] = {}  # by the number that it was last sent with
        self.again: list[Probe] = []
        self.sent = 0
        self.last = MAX_HOPS + 1  # the hop that answered for good
        self._waiter: asyncio.Future[None] | None = None
        sock.user = self
        sock.on_close = self._closed_below

    def ready(self, mask: int) -> None:
        """The driver's news."""
        now = self.driver.clock()
        sock = self.sock
        while not sock.closed:
            try:
                data, messages, _, name = sock.recvmsg(_BUFFER, 256, c.MSG_ERRQUEUE, now=now)
            except BlockingIOError:
                if sock.take_error():
                    continue
                break
            report = reported(sock, self.names, messages)
            if report is not None and report.origin != c.SO_EE_ORIGIN_LOCAL:
                self._report(self.method.quoted(data, name), report, now)
        while sock.readable and not sock.closed:
            try:
                data, name = sock.recvfrom(_BUFFER, now=now)
            except OSError:
                break
            probe = self.known.pop(self.method.answered(data, name), None)
            if probe is not None:
                self._decide(probe, host_text(sock, name), now, reached=True)
        self.wake()

    def _report(self, number: int, report: Report, now: int) -> None:
        probe = self.known.pop(number, None)
        if probe is None:
            return  # late, or a second answer
        family, kind = self.method.family, (report.type, report.icmp_code)
        if report.type == _EXCEEDED[family]:
            self._decide(probe, report.offender, now)
        elif kind == _TOO_BIG[family] and self.find_mtu and report.info < probe.mtu:
            self.again.append(probe)
        elif kind == _NO_PORT[family]:
            self._decide(probe, report.offender, now, reached=True)
        else:
            mark = _MARKS[family].get(report.icmp_code, f"!{report.icmp_code}")
            if kind == _TOO_BIG[family]:
                mark = f"!F-{report.info}"
                probe.mtu = report.info
            elif report.type != _UNREACHABLE[family]:
                mark = "!P" if report.icmp_code == 1 and family == V6 else "!?"
            self._decide(probe, report.offender, now, code=report.code, mark=mark)

    def _decide(
        self, probe: Probe, address: str, now: int, *, reached: bool = False, code: int = 0, mark: str = ""
    ) -> None:
        record: dict[str, Any] = {"hop": probe.hop, "probe": probe.number, "address": address or None}
        record |= {"rtt_ns": now - probe.sent_at, "reached": reached}
        if code:
            record |= {"error": errno_name(code), "message": os.strerror(code), "mark": mark}
        if probe.mtu:
            record["mtu"] = probe.mtu
        probe.record = record
        if reached or code:
            self.last = min(self.last, probe.hop)
        self.wake()

    def give_up(self, before: int) -> None:
        """No answer will come to what was sent until then."""
        for number, probe in list(self.known.items()):
            if probe.sent_at <= before:
                del self.known[number]
                self.fail(probe, NO_ANSWER, "no answer")

    def fail(self, probe: Probe, error: str, message: str) -> None:
        """Nobody told anything of `probe`."""
        record = {"hop": probe.hop, "probe": probe.number, "address": None, "error": error, "message": message}
        probe.record = record | {"reached": False} | ({"mtu": probe.mtu} if probe.mtu else {})

    def path_mtu(self) -> int:
        """What the path takes, as far as it is known."""
        mtu = self.aim.getsockopt(self.names.level, _MTU[self.method.family])
        assert isinstance(mtu, int)
        return mtu

    def send(self, probe: Probe) -> None:
        """Send it, and if that is too much as the path is known now, less."""
        self.ready(0)  # an error that waits would be raised instead
        names, method = self.names, self.method
        for _ in range(3):
            size = _DATA if method.default_port != Tcp.default_port else 0
            if self.find_mtu:
                probe.mtu = self.path_mtu()
                size = probe.mtu - _IP_HEADER[method.family] - method.header
            number = self.sent
            self.sent += 1
            now = probe.sent_at = self.driver.clock()
            self.known[number] = probe
            try:
                data, address = method.packet(number, size)
                ttl = [(names.level, names.received, INT.pack(probe.hop))]
                self.sock.sendmsg([data], ttl, 0, address, now=now)
            except OSError as error:
                del self.known[number]
                if error.errno == errno.EMSGSIZE and self.find_mtu:
                    continue
                self.fail(probe, errno_name(error.errno or errno.EIO), error.strerror or "")
            finally:
                self.driver.settle(now)
            return
        self.fail(probe, errno_name(errno.EMSGSIZE), os.strerror(errno.EMSGSIZE))

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
        for probe in self.known.values():
            self.fail(probe, errno_name(errno.ENETDOWN), os.strerror(errno.ENETDOWN))
        self.known.clear()
        self.wake()


async def trace_results(
    driver: Driver,
    ns: Netns,
    dst: str,
    *,
    method: str = "udp",
    first_hop: int = 1,
    max_hops: int = 30,
    probes: int = 3,
    timeout: float = 5.0,
    port: int | None = None,
    src: str | None = None,
    device: str | None = None,
    find_mtu: bool = False,
    parallel: int = PARALLEL,
) -> AsyncIterator[dict[str, Any]]:
    """Send `probes` probes for each hop from `first_hop` to `max_hops`, or to the one that answered for good; one
    record for each, in their order.

    An answer is ``{hop, probe, address, rtt_ns, reached}``; one that ends the way before the target has ``error`` (the
    errno's name), ``message`` and ``mark`` (as traceroute(8) writes it: ``!H``, ``!N``, ``!X``); without an answer
    within `timeout` seconds ``address`` is None and ``error`` ETIMEDOUT. `method` is udp, icmp or tcp; `port` the one
    that is asked for by TCP (80), or the first by UDP (33434). `find_mtu` adds ``mtu``, the size of the probe. OSError
    when there is no route at the start, ValueError for what is no address, or no number that can be.
    """
    family = family_of(dst, src)
    _check(method, first_hop, max_hops, probes, parallel, port)
    names = OPTIONS[family]
    now = driver.clock()
    opened: list[Socket] = []
    try:
        aim = ns.socket(names.socket[0], c.SOCK_DGRAM, c.IPPROTO_UDP)
        opened.append(aim)
        _prepare(aim, family, src, device, find_mtu, now)
        aim.connect((dst, port or METHODS[method].default_port or 1), now=now)
        target = aim.getpeername()
        way = METHODS[method](ns, family, target, aim.getsockname()[0], port)
        sock = way.open()
        opened.append(sock)
        _prepare(sock, family, src, device, find_mtu, now)
        way.aim(sock, now)
        tracer = _Tracer(driver, way, sock, aim, find_mtu)
        todo = (Probe(hop, number) for hop in range(first_hop, max_hops + 1) for number in range(1, probes + 1))
        waiting: list[Probe] = []
        limit = 1 if find_mtu else parallel
        timeout_ns = int(timeout * _SECOND)
        following = next(todo, None)
        while True:
            now = driver.clock()
            tracer.give_up(now - timeout_ns)
            while waiting and waiting[0].record is not None and waiting[0].hop <= tracer.last:
                yield waiting.pop(0).record or {}
            if sock.closed or (waiting and waiting[0].hop > tracer.last):
                return
            if following is not None and following.hop > tracer.last:
                following = None
            if tracer.again:
                tracer.send(tracer.again.pop())
            elif following is not None and len(tracer.known) < limit:
                waiting.append(following)
                tracer.send(following)
                following = next(todo, None)
                await asyncio.sleep(0)  # others have their turn
            elif not waiting:
                return
            elif waiting[0].record is None:
                await tracer.wait(min(probe.sent_at for probe in tracer.known.values()) + timeout_ns)
    finally:
        for sock in opened:
            sock.user = sock.on_close = None
            driver.call(sock.close)


def _check(method: str, first_hop: int, max_hops: int, probes: int, parallel: int, port: int | None) -> None:
    if method not in METHODS:
        raise ValueError(f"method must be {', '.join(METHODS)}, not {method!r}")
    if not 1 <= first_hop <= max_hops <= MAX_HOPS:
        raise ValueError(f"hops are 1 to {MAX_HOPS}, the first not after the last; not {first_hop} to {max_hops}")
    for value, what, most in ((probes, "probes", 10), (parallel, "parallel", 64), (port or 1, "port", 65535)):
        if not 1 <= value <= most:
            raise ValueError(f"{what} must be 1 to {most}, not {value}")


def _prepare(sock: Socket, family: int, src: str | None, device: str | None, find_mtu: bool, now: int) -> None:
    names = OPTIONS[family]
    sock.setsockopt(names.level, names.recverr, 1)
    sock.setsockopt(names.level, names.mtu_discover, c.IP_PMTUDISC_DO if find_mtu else c.IP_PMTUDISC_DONT)
    if device is not None:
        if device not in sock.ns.devices:
            raise os_error(errno.ENODEV)
        sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, device.encode())
    if src is not None:
        sock.bind((src, 0), now=now)


async def traceroute(driver: Driver, ns: Netns, dst: str, **options: Any) -> dict[str, Any]:
    """All of it at once: ``{dst, reached, mtu, probes}``, where `probes` are the records of `trace_results`."""
    series = TraceSeries(dst)
    records = []
    async for record in trace_results(driver, ns, dst, **options):
        series.add(record)
        records.append(record)
    return series.totals() | {"probes": records}


class TraceSeries:
    """What became of a run, as the records come."""

    __slots__ = ("dst", "mtu", "reached")

    def __init__(self, dst: str) -> None:
        self.dst = dst
        self.reached = False
        self.mtu: int | None = None

    def add(self, record: dict[str, Any]) -> None:
        """One probe is decided."""
        self.reached |= record["reached"]
        if "address" in record and record["address"] is not None:
            self.mtu = record.get("mtu", self.mtu)

    def totals(self) -> dict[str, Any]:
        """``{dst, reached, mtu}``; the MTU is None when nothing was learnt of it."""
        return {"dst": self.dst, "reached": self.reached, "mtu": self.mtu}
