"""A namespace as programs on asyncio see it: its devices, addresses, routes, settings and sockets.

`Netns` adds the clock and the loop to the stack's namespace (``stack``), which holds all the state; what one changes
the other shows. Names of other namespaces count from the top, unless they begin with ``./`` or ``../``. It is made of
classes for one thing each, every one built on the one before: `ground`, `links`, `addressing`, `routes`, `multicast`.

Errors: an unknown namespace is KeyError, text that is no address ValueError, everything else OSError with Linux's
errno; what this version does not do is NotSupportedError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vrouter import loop, ping, records, sockets, traceroute
from vrouter.netns.multicast import Multicast
from vrouter.sockets.tls import start_tls
from vrouter.stack.base.addresses import parse_address_zone
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4 import listing

if TYPE_CHECKING:
    import asyncio
    import ssl

    from vrouter.records import Record
    from vrouter.sockets.addrinfo import AddrInfo
    from vrouter.sockets.streams import Connected

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

    async def traceroute(self, dst: str, **options: Any) -> Record:
        """Who answers on the way to `dst`, an address or a name for this namespace's resolver: ``{dst, reached, mtu,
        probes}`` with the records of `traceroute.trace_results`, which see for the options (`method`, `first_hop`,
        `max_hops`, `probes`, `timeout`, `port`, `src`, `device`, `find_mtu`). socket.gaierror for an unknown name."""
        family = options.pop("family", 0)
        return await traceroute.traceroute(
            self.router.driver, self.stack, await self.address_of(dst, family), **options
        )

    def traceroute_results(self, dst: str, **options: Any) -> AsyncIterator[Record]:
        """Each record as it comes; `dst` is an address."""
        return traceroute.trace_results(self.router.driver, self.stack, dst, **options)

    async def address_of(self, host: str, family: int = 0) -> str:
        """An address as it is, or the first that this namespace's resolver has for a name, of `family` (4, 6, 0: any).
        ValueError for an address of the other family, socket.gaierror for a name that there is not."""
        try:
            found = parse_address_zone(host)[0]
        except ValueError:
            if not any(character.isalpha() for character in host) or ":" in host:
                raise
            number = {0: 0, 4: c.AF_INET, 6: c.AF_INET6}[family]
            answers = await self.getaddrinfo(host, None, family=number, type=c.SOCK_DGRAM)
            return str(answers[0][4][0])
        if family not in (0, found):
            raise ValueError(f"{host} is no IPv{family} address")
        return host

    @property
    def place(self) -> sockets.Place:
        """Where its endpoints are made (`vrouter.sockets`)."""
        return sockets.Place(self.router.driver, self.stack, self.resolver)

    async def create_connection(
        self, protocol_factory: Callable[[], _P], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, _P]:
        """``loop.create_connection`` in this namespace: the same arguments, results and errors, those of newer Pythons
        included (``all_errors``)."""
        return await sockets.create_connection(self.place, protocol_factory, host, port, **options)

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> sockets.Server:
        """``loop.create_server`` in this namespace: the same arguments, results and errors, those of newer Pythons
        included (``keep_alive``, `Server.close_clients`)."""
        return await sockets.create_server(self.place, protocol_factory, host, port, **options)

    async def open_connection(
        self, host: Any = None, port: Any = None, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """``asyncio.open_connection`` in this namespace: the same arguments, results and errors."""
        return await sockets.open_connection(self.place, host, port, **options)

    async def start_server(
        self, client_connected_cb: Connected, host: Any = None, port: Any = None, **options: Any
    ) -> sockets.Server:
        """``asyncio.start_server`` in this namespace: the same arguments, results and errors."""
        return await sockets.start_server(self.place, client_connected_cb, host, port, **options)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], _P],
        local_addr: tuple[Any, ...] | None = None,
        remote_addr: tuple[Any, ...] | None = None,
        **options: Any,
    ) -> tuple[sockets.DatagramTransport, _P]:
        """``loop.create_datagram_endpoint`` in this namespace: the same arguments, results and errors."""
        return await sockets.create_datagram_endpoint(self.place, protocol_factory, local_addr, remote_addr, **options)

    async def start_tls(
        self, transport: Any, protocol: asyncio.BaseProtocol, sslcontext: ssl.SSLContext, **options: Any
    ) -> asyncio.Transport:
        """``loop.start_tls`` for a connection of a namespace, on any loop."""
        return await start_tls(self.router.driver.loop, transport, protocol, sslcontext, **options)

    def socket(self, family: int = 2, type: int = 1, proto: int = 0) -> sockets.NetnsSocket:  # noqa: A002 -- socket(2)'s word
        """A BSD-style socket of this namespace whose calls never block; numbers are the kernel's."""
        return self.place.socket(family, type, proto)

    def socket_records(self, **wanted: Any) -> list[Record]:
        """The rows of ``show sockets``; `wanted` are `proto`, `state`, `sport`, `dport`, `listening`, and `info` for
        all that is known of TCP connections."""
        return records.sockets(self.router, self.name, **wanted)

    def kill_sockets(self, local: str, peer: str, *, proto: str | None = None) -> int:
        """End the sockets whose row has these ends, as ``ss -K``: ECONNABORTED for whoever drives them, a reset for
        their peers; how many there were. OSError ENOENT when there is none."""
        return self.router.driver.call(listing.kill, self.stack, local, peer, proto)

    # -- names ------------------------------------------------------------------------------------------------------

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
        """``loop.getaddrinfo`` in this namespace, by its own resolver. socket.gaierror."""
        return await self.place.getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)

    async def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int = 0) -> tuple[str, str]:
        """``loop.getnameinfo`` in this namespace, by its own resolver. socket.gaierror."""
        return await self.place.getnameinfo(sockaddr, flags)

    async def set_resolver(self, **settings: Any) -> None:
        """How names are looked up here from now on, with the keys of ``[netns.NAME.resolver]`` of the configuration:
        `hosts`, `servers`, `search`, `ndots`, `timeout`, `attempts`. ConfigError (a ValueError)."""
        from vrouter.config import resolver_from_dict  # the one place that knows the keys

        self.resolver.config = resolver_from_dict(self.name, settings)

    # -- the scope --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Make this the current namespace of the task (`loop`). RuntimeError on a loop that knows no scopes."""
        loop.enter(self)
        return self

    def __exit__(self, *_: object) -> None:
        loop.leave(self)

    async def __aenter__(self) -> Self:
        """As ``with``."""
        loop.enter(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        loop.leave(self)
