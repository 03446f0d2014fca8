"""What the tests of the Python API share: protocols that keep what they are told, and two namespaces on one wire."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import vrouter
from vrouter.sockets import DatagramTransport

TAG: contextvars.ContextVar[str] = contextvars.ContextVar("TAG", default="none")


class Recorder(asyncio.DatagramProtocol):
    """Keeps what it is told; `arrived` is set at each datagram or error."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.lost: list[Exception | None] = []
        self.tags: list[str] = []
        self.arrived = asyncio.Event()

    def connection_made(self, transport: DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams.append((data, addr))
        self.tags.append(TAG.get())
        self.arrived.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    async def wait(self, count: int) -> None:
        while len(self.datagrams) + len(self.errors) < count:
            self.arrived.clear()
            await self.arrived.wait()


class Echo(Recorder):
    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(data.upper(), addr)


async def pair(router: vrouter.Router, *, ipv6: bool = True) -> tuple[vrouter.Netns, vrouter.Netns]:
    red, blue = await router.add_netns("red"), await router.add_netns("blue")
    for netns in (red, blue) if not ipv6 else ():
        netns.stack.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
    await router.add_veth("red", "x", "blue", "y")
    await red.add_address("x", "10.0.0.1/24")
    await blue.add_address("y", "10.0.0.2/24")
    return red, blue


def assert_balanced(router: vrouter.Router) -> None:
    came, went = router.stack.accounts()
    assert sum(came.values()) == sum(went.values())
