"""A UDP socket for tests: the lab empties it as datagrams arrive, and tells it the time.

It is a plain socket of the node's stack underneath (`UdpPort.socket`), so everything that a program would meet happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from vrouter.stack.base.addresses import BROADCAST4, format_address
from vrouter.stack.l4.constants import AF_INET, AF_INET6
from vrouter.testing.octets import Ip, ip6_text

if TYPE_CHECKING:
    from vrouter.stack.l4.socket import Socket
    from vrouter.testing.node import Node

_MAX_DATAGRAM = 65535

Answer = Callable[[bytes, "tuple[str, int]"], "bytes | None"]


class Datagram(NamedTuple):
    """A received datagram: what it says, who sent it, and when it arrived (ns). The zone of a link-local sender stands
    behind ``addr`` as a number."""

    data: bytes
    addr: str
    port: int
    now: int


class UdpPort:
    """One bound socket; made by `Node.udp`.

    With an IPv6 address (``::`` for instance) it is a socket of both families, for which IPv4 addresses are mapped.
    `received` are the datagrams that nobody has taken with `recv` or `wait`, `errors` what ICMP has told about those
    that were sent.
    """

    __slots__ = ("_answer", "_waiting", "errors", "node", "port", "received", "socket")

    def __init__(self, node: Node, port: int, addr: str) -> None:
        self.node = node
        self.received: list[Datagram] = []
        self.errors: list[OSError] = []
        self.socket: Socket = node.ns.socket(AF_INET6 if ":" in addr else AF_INET)
        try:
            self.socket.bind((addr, port), now=node.lab.now)
        except OSError:
            self.socket.close(now=node.lab.now)
            raise
        self.port: int = self.socket.getsockname()[1]
        self._answer: Answer | None = None
        self._waiting: asyncio.Future[None] | None = None
        node.machine.watch(self.socket, self._ready)

    def __repr__(self) -> str:
        return f"<UdpPort {self.port} of {self.node.name}>"

    def send(self, data: bytes, dst: Ip, port: int) -> None:
        """Send a datagram; OSError as a socket's sendto."""
        self.socket.sendto(data, (self._host(dst), port), now=self.node.lab.now)
        self.node.lab.collect()

    def _host(self, dst: Ip) -> str:
        """An address as the socket takes it; an int is one of IPv6 when it has more than 32 bits."""
        if isinstance(dst, int):
            host = format_address(dst) if dst <= BROADCAST4 else ip6_text(dst)
        else:
            host = dst if isinstance(dst, str) else dst.addr
        return f"::ffff:{host}" if self.socket.family == AF_INET6 and ":" not in host else host

    def answer(self, function: Answer) -> None:
        """From now on reply to each datagram with ``function(data, (addr, port))``; None: no reply."""
        self._answer = function

    def recv(self, timeout: float = 1.0) -> Datagram:
        """Take the next datagram, moving the lab's time until there is one; TimeoutError after `timeout` seconds."""
        if not self.received and not self.node.lab.runs_until(lambda: bool(self.received), timeout):
            raise TimeoutError(f"nothing came to {self!r} within {timeout} s")
        return self.received.pop(0)

    async def wait(self, timeout: float = 1.0) -> Datagram:
        """`recv` for code that runs under `Lab.run`."""
        async with asyncio.timeout(timeout):
            while not self.received:
                self._waiting = asyncio.get_running_loop().create_future()
                await self._waiting
        return self.received.pop(0)

    def close(self) -> None:
        """Close the socket."""
        self.node.machine.unwatch(self.socket)
        self.socket.close(now=self.node.lab.now)

    def _ready(self) -> None:
        lab = self.node.lab
        while True:
            try:
                data, name = self.socket.recvfrom(_MAX_DATAGRAM, now=lab.now)
            except BlockingIOError:
                break
            except OSError as error:
                self.errors.append(error)
                continue
            self._take(data, name)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _take(self, data: bytes, name: tuple[Any, ...]) -> None:
        host = f"{name[0]}%{name[3]}" if len(name) == 4 and name[3] else name[0]
        self.received.append(Datagram(data, host, name[1], self.node.lab.now))
        if self._answer is None:
            return
        reply = self._answer(data, (host, name[1]))
        if reply is not None:
            self.socket.sendto(reply, name, now=self.node.lab.now)
