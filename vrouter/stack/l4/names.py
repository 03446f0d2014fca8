"""Socket addresses as Python's socket module writes them: ``("10.0.0.1", 53)`` of an AF_INET socket,
``("fe80::1", 53, flowinfo, scope_id)`` of an AF_INET6 one, whose last two may be left out.

``""`` is any address, ``"<broadcast>"`` the limited broadcast. A host name is a ValueError: nothing resolves it here.
An AF_INET6 socket names IPv4 hosts by IPv4-mapped addresses (RFC 3493 3.7). The zone of a link-local address is the
scope_id, the ifindex of a device here, or is written behind the address: ``fe80::1%lan``, ``fe80::1%2`` (RFC 4007 11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vrouter.stack.base.addresses import (
    BROADCAST4,
    LOOPBACK6,
    SCOPE_LINK,
    V4,
    V6,
    format_ipv4,
    format_ipv6,
    ipv4_mapped,
    mapped_ipv4,
    parse_address_zone,
    parse_ipv4,
    scope6,
    zone_of,
)
from vrouter.stack.l4.constants import AF_INET

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.endpoint import Endpoint

Name: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_MAX_FLOWINFO = 0xFFFFF


class Target(NamedTuple):
    """What a socket address means: an address of ``family``, without zone; the device of its zone (None: there is no
    zone, or with a ``zone`` none of this number)."""

    family: int
    address: int
    port: int
    device: Device | None = None
    zone: int = 0
    flowinfo: int = 0


def needs_zone(address: int) -> bool:
    """Whether an IPv6 address means something else on every link: link-local ones, and groups of link or interface
    scope (RFC 4007 5, 6)."""
    return scope6(address) <= SCOPE_LINK and address not in (0, LOOPBACK6)


def parse_name(sock: Endpoint, address: Any, call: str) -> Target:
    """The meaning of a socket address for `sock`; TypeError, ValueError, OverflowError as in Python's socket module."""
    if sock.family == AF_INET:
        return _parse_pair(address, call)
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): AF_INET6 address must be tuple, not {type(address).__name__}")
    if (
        not 2 <= len(address) <= 4
        or not isinstance(address[0], str)
        or not all(isinstance(number, int) for number in address[1:])
    ):
        raise TypeError(f"{call}(): AF_INET6 address must be a tuple (host, port[, flowinfo[, scope_id]])")
    host, port, flowinfo, zone = (*address, 0, 0)[:4]
    _check_port(port, call)
    if not 0 <= flowinfo <= _MAX_FLOWINFO:
        raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
    if not 0 <= zone <= 0xFFFFFFFF:
        raise OverflowError("unsigned int is out of range")
    family, value, text = parse_address_zone(host or "::")
    if family == V4:
        raise ValueError(f"{host!r} is not an IPv6 address; to an AF_INET6 socket this host is '::ffff:{host}'")
    mapped = mapped_ipv4(value)
    if mapped is not None:
        return Target(V4, mapped, port)
    if not needs_zone(value):
        return Target(V6, value, port, flowinfo=flowinfo)
    device = None
    if zone:
        device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == zone), None)
    elif text:
        device = sock.ns.devices.get(text)
        if device is None and text.isdecimal():
            device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == int(text)), None)
        zone = -1 if device is None else device.ifindex
    return Target(V6, value, port, device, zone, flowinfo)


def _parse_pair(address: Any, call: str) -> Target:
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) != 2 or not isinstance(address[0], str) or not isinstance(address[1], int):
        raise TypeError(f"{call}(): AF_INET address must be a pair (host, port)")
    host, port = address
    _check_port(port, call)
    if not host:
        return Target(V4, 0, port)
    if host == "<broadcast>":
        return Target(V4, BROADCAST4, port)
    return Target(V4, parse_ipv4(host), port)


def _check_port(port: int, call: str) -> None:
    if not 0 <= port <= 65535:
        raise OverflowError(f"{call}(): port must be 0-65535.")


def wide(address: int, family: int) -> int:
    """An address as an AF_INET6 socket has it: without a zone, that of an IPv4 host IPv4-mapped."""
    return ipv4_mapped(address) if family == V4 else address & (1 << 128) - 1


def format_name(sock: Endpoint, family: int, address: int, port: int, zone: int = 0) -> Name:
    """The socket address of `sock`'s kind for an address of `family`; `zone` is that of a group."""
    if sock.family == AF_INET:
        return format_ipv4(address), port
    scope_id = 0
    if family == V6:
        scope_id = zone_of(address) or (zone if needs_zone(address) else 0)
    return format_ipv6(wide(address, family)), port, 0, scope_id
