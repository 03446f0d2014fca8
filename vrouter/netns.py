"""A namespace as programs on asyncio see it: its devices, addresses, routes, settings and sockets.

`Netns` adds the clock and the loop to the stack's namespace (``stack``), which holds all the state; what one changes
the other shows. Names of other namespaces count from the top, unless they begin with ``./`` or ``../``.

Errors: an unknown namespace is KeyError, text that is no address ValueError, everything else OSError with Linux's
errno; what this version does not do is NotSupportedError.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from vrouter import ping, records, sockets
from vrouter.errors import NotSupportedError
from vrouter.nsmap import absolute
from vrouter.stack.base.addresses import format_address, parse_address, parse_mac
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l3.fib import CROSS, to_record

if TYPE_CHECKING:
    import asyncio

    from vrouter.appliance import Router
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.netns import Netns as StackNetns

_P = TypeVar("_P", bound="asyncio.BaseProtocol")
Record = dict[str, Any]


class Netns:
    """One namespace of a running `Router`; made by the configuration or `Router.add_netns`."""

    __slots__ = ("router", "stack")

    def __init__(self, router: Router, stack: StackNetns) -> None:
        self.router = router
        self.stack = stack

    def __repr__(self) -> str:
        return f"<Netns {self.stack.name}>"

    @property
    def name(self) -> str:
        """The path, counted from the top."""
        return self.stack.name

    @property
    def sysctl(self) -> MutableMapping[str, int | str]:
        """The settings under their Linux names: ``red.sysctl["net.ipv4.ip_forward"] = 1``. KeyError, ValueError."""
        return self.stack.sysctl

    @property
    def accept_from(self) -> frozenset[str]:
        """Paths of the namespaces that may cross into this one; ``*`` is anyone."""
        return self.stack.accept_from

    async def set_accept_from(self, names: Iterable[str]) -> None:
        """Say which namespaces may cross into this one; ``["*"]`` is anyone. They need not exist yet."""
        if isinstance(names, str):
            raise TypeError("accept_from is a list of names")
        self.stack.accept_from = frozenset(n if n == "*" else absolute(self.name, n) for n in names)

    # -- devices ----------------------------------------------------------------------------------------------------

    async def add_device(self, name: str, /, *, kind: str = "tap", **settings: Any) -> None:
        """Add a device with the keys of ``[netns.NAME.dev.DEV]`` of the configuration.

        A ``tap`` is opened, and its kernel's end set up as ``host`` says. A ``veth`` names its other end, which is made
        as well: ``peer={"netns": "blue", "dev": "y"}``. ConfigError (a ValueError) for settings that cannot be, OSError
        EEXIST for a name that is taken, PrivilegeError where a TAP may not be opened.
        """
        await self.router.add_device(self.name, name, kind=kind, **settings)

    async def remove_device(self, name: str) -> None:
        """Remove a device, a veth's other end with it. OSError ENODEV; EOPNOTSUPP for ``lo``."""
        await self.router.remove_device(self.name, name)

    async def move_device(self, dev: str, target: str, name: str | None = None) -> None:
        """Move a device to another namespace, as `name` if one is given; its addresses, neighbours and routes stay
        behind. OSError ENODEV, EEXIST."""
        await self.router.move_device(self.name, dev, absolute(self.name, target), name)

    async def set_device(self, name: str, *, up: bool | None = None, mtu: int | None = None) -> None:
        """Administrative state and MTU (bytes) of a device; the kernel's end of a TAP gets the same MTU.

        OSError ENODEV, EINVAL; PrivilegeError where the kernel's end may not be changed. Then the MTU is what it was.
        """
        await self.router.set_device(self.name, name, up=up, mtu=mtu)

    def devices(self) -> list[Record]:
        """The rows of ``show devices``."""
        return records.devices(self.router, self.name)

    # -- addresses --------------------------------------------------------------------------------------------------

    async def add_address(self, dev: str, address: str) -> None:
        """Give a device ``ADDRESS/LENGTH``. OSError EEXIST, ENODEV, EINVAL."""
        self._call(self.stack.add_address, dev, address)

    async def del_address(self, dev: str, address: str) -> None:
        """Take ``ADDRESS/LENGTH`` from a device. OSError EADDRNOTAVAIL when it has it not."""
        self._call(self.stack.del_address, dev, address)

    def addresses(self) -> list[Record]:
        """The rows of ``show addresses``."""
        return records.addresses(self.router, self.name)

    async def wait_addresses(self) -> None:
        """Wait until duplicate address detection is over for every address, one way or the other."""
        while any(a.state == "tentative" for dev in self.stack.devices.values() for a in dev.addresses):
            await self.router.driver.next_poll()

    # -- routes -----------------------------------------------------------------------------------------------------

    async def add_route(
        self,
        to: str,
        *,
        via: str | None = None,
        dev: str | None = None,
        netns: str | None = None,
        metric: int = 0,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        src: str | None = None,
    ) -> None:
        """Add a static route, as ``ip route add``; with `netns` it is a short-cut into that namespace.

        OSError ENETUNREACH (the gateway is on no link), EEXIST, ENODEV, EINVAL; KeyError for an unknown namespace.
        """
        if netns is not None:
            netns = self.router[absolute(self.name, netns)].name
        self._call(self.stack.add_route, to, via, dev, netns=netns, metric=metric, type=type, src=src)

    async def del_route(
        self,
        to: str,
        *,
        via: str | None = None,
        dev: str | None = None,
        netns: str | None = None,
        metric: int | None = None,
    ) -> None:
        """Remove the first route of the main table that fits. OSError ESRCH when none does."""
        if netns is not None:
            netns = absolute(self.name, netns)
        self._call(self.stack.del_route, to, via, dev, netns=netns, metric=metric)

    def routes(self) -> list[Record]:
        """The rows of ``show routes``."""
        return records.routes(self.router, self.name)

    def route_get(self, dst: str) -> Record:
        """The route that a packet to `dst` would take, as a row of ``show routes`` with the source that it would get.

        A route into another namespace has ``accepted`` besides. OSError when there is none, with the errno that a
        sending socket would get.
        """
        family, address = parse_address(dst)
        found = self.stack.ip4.lookup(address)
        if found is not None and found.action == CROSS:
            return self._crossing_record(found, address)
        route, source = self.stack.route_output(address, family=family)
        record = to_record(self.name, *self.stack.ip4.prefix_of(route, address), route)
        if source:
            record["src"] = format_address(source, family)
        return record

    def _crossing_record(self, route: Route, dst: int) -> Record:
        ip = self.stack.ip4
        record = to_record(self.name, *ip.prefix_of(route, dst), route)
        source = route.src if route.src in ip.owners else ip.select_source(None, dst)
        if source:
            record["src"] = format_address(source, route.family)
        record["accepted"] = route.crossing.accepted
        return record

    # -- neighbours and counters ------------------------------------------------------------------------------------

    async def add_neighbor(self, dev: str, address: str, mac: str) -> None:
        """Make a permanent neighbour, or make the one that is there permanent. OSError ENODEV, EINVAL."""
        device, target, link = self.stack.device(dev), parse_address(address)[1], parse_mac(mac)
        if not device.with_arp or link[0] & 1:
            raise OSError(errno.EINVAL, f"device {dev!r} has no neighbor with {mac}")
        self._call(self.stack.neigh4.add_static, device, target, link)
        self._settle()

    async def del_neighbor(self, dev: str, address: str) -> None:
        """Forget a neighbour. OSError ENOENT when it is not known."""
        device, target = self.stack.device(dev), parse_address(address)[1]
        if not self.stack.neigh4.delete(device, target, DropReason.NEIGH_FAILED):
            raise FileNotFoundError(errno.ENOENT, f"no neighbor {address} on device {dev!r}")
        self._settle()

    async def flush_neighbors(self, dev: str | None = None) -> int:
        """Forget the neighbours of a device, or of all, that are not permanent; how many they were."""
        device = None if dev is None else self.stack.device(dev)
        count = self.stack.neigh4.flush(device)
        self._settle()
        return count

    def neighbors(self) -> list[Record]:
        """The rows of ``show neighbors``."""
        return records.neighbors(self.router, self.name)

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

    # -- inside -----------------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., object], *args: Any, **options: Any) -> None:
        self.router.driver.call(function, *args, **options)

    def _settle(self) -> None:
        """Carry out what a change to the neighbour table has caused."""
        self._call(_settle_netns, self.stack)


def _settle_netns(ns: StackNetns, *, now: int) -> None:
    ns.settle(now)
