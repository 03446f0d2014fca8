"""A namespace as programs on asyncio see it: its devices, addresses, routes, settings and sockets.

`Netns` adds the clock and the loop to the stack's namespace (``stack``), which holds all the state; what one changes
the other shows. Names of other namespaces count from the top, unless they begin with ``./`` or ``../``. It is made of
classes for one thing each, every one built on the one before: `ground`, `links`, `addressing`, `routes`, `multicast`.

Errors: an unknown namespace is KeyError, text that is no address ValueError, everything else OSError with Linux's
errno; what this version does not do is NotSupportedError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from vrouter import ping, sockets
from vrouter.errors import NotSupportedError
from vrouter.netns.multicast import Multicast

if TYPE_CHECKING:
    import asyncio

    from vrouter.records import Record

_P = TypeVar("_P", bound="asyncio.BaseProtocol")


class Netns(Multicast):
    """One namespace of a running `Router`; made by the configuration or `Router.add_netns`."""

    __slots__ = ()

    def drops(self) -> dict[str, int]:
        """How many packets died here for each reason, by the reason's name; zeros are left out."""
        return self.stack.drop_counts()

    # -- sockets ----------------------------------------------------------------------------------------------------

    async def ping(
        self,
        dst: str,
        *,
        count: int = 1,
        size: int = 56,
        timeout: float = 1.0,
        ttl: int | None = None,
        src: str | None = None,
        dont_fragment: bool = False,
    ) -> float:
        """The mean round trip in seconds of `count` echo requests with `size` bytes of data.

        Without any reply within `timeout` seconds each: the OSError of an ICMP error if one came, else TimeoutError.
        """
        driver, ns = self.router.driver, self.stack
        return await ping.ping(
            driver, ns, dst, count=count, size=size, timeout=timeout, ttl=ttl, src=src, dont_fragment=dont_fragment
        )

    def ping_results(self, dst: str, **options: Any) -> AsyncIterator[Record]:
        """Each reply as it comes: `ping.ping_results`, which see for the options and the records."""
        return ping.ping_results(self.router.driver, self.stack, dst, **options)

    async def create_datagram_endpoint(
        self,
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
    ) -> tuple[sockets.DatagramTransport, _P]:
        """``loop.create_datagram_endpoint`` in this namespace: the same arguments, results and errors."""
        return await sockets.create_datagram_endpoint(
            self.router.driver,
            self.stack,
            protocol_factory,
            local_addr,
            remote_addr,
            family=family,
            proto=proto,
            flags=flags,
            reuse_port=reuse_port,
            allow_broadcast=allow_broadcast,
            sock=sock,
        )

    def socket(self, family: int = 2, type: int = 2, proto: int = 0) -> sockets.NetnsSocket:  # noqa: A002 -- socket(2)'s word
        """A BSD-style socket of this namespace whose calls never block; numbers are the kernel's."""
        return sockets.open_socket(self.router.driver, self.stack, family, type, proto)

    async def open_connection(self, host: str | None = None, port: int | None = None, **_: Any) -> Any:
        """``asyncio.open_connection``: NotSupportedError, there is no TCP yet."""
        raise NotSupportedError(sockets.NO_TCP)

    async def start_server(self, callback: Any, host: Any = None, port: int | None = None, **_: Any) -> Any:
        """``asyncio.start_server``: NotSupportedError, there is no TCP yet."""
        raise NotSupportedError(sockets.NO_TCP)

    async def create_connection(
        self, protocol_factory: Any, host: str | None = None, port: int | None = None, **_: Any
    ) -> Any:
        """``loop.create_connection``: NotSupportedError, there is no TCP yet."""
        raise NotSupportedError(sockets.NO_TCP)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: int | None = None, **_: Any) -> Any:
        """``loop.create_server``: NotSupportedError, there is no TCP yet."""
        raise NotSupportedError(sockets.NO_TCP)
