"""Where an endpoint is to be: a namespace, who drives it, and who knows names there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vrouter.sockets import addrinfo
from vrouter.sockets.bsd import NetnsSocket

if TYPE_CHECKING:
    from vrouter.driver import Driver
    from vrouter.sockets.addrinfo import AddrInfo
    from vrouter.sockets.resolver import Resolver
    from vrouter.stack.netns import Netns


class Place:
    """What every function that makes endpoints is given."""

    __slots__ = ("driver", "ns", "resolver")

    def __init__(self, driver: Driver, ns: Netns, resolver: Resolver) -> None:
        self.driver = driver
        self.ns = ns
        self.resolver = resolver

    def socket(self, family: int, kind: int, proto: int = 0) -> NetnsSocket:
        """socket(2) in the namespace."""
        return NetnsSocket(self, self.ns.socket(family, kind, proto))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that endpoints here live on."""
        return self.driver.loop

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: int | str | bytes | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 -- getaddrinfo(3)'s word
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddrInfo]:
        """getaddrinfo(3) in the namespace; socket.gaierror."""
        return await addrinfo.getaddrinfo(self, host, port, family, type, proto, flags)

    async def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
        """getnameinfo(3) in the namespace; socket.gaierror."""
        return await addrinfo.getnameinfo(self, sockaddr, flags)
