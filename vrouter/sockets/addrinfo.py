"""getaddrinfo(3) and getnameinfo(3) of a namespace.

Numbers are understood here; names are looked up by the namespace's `resolver` and nowhere else. The order of what is
found is that of RFC 6724 6, by the routes and source addresses of the namespace.

Expects: a `Place`.
Sets:    nothing.

Errors are socket.gaierror with the numbers of netdb.h. Services by name come from the system's list (services(5)),
which says nothing about hosts.

Read first: RFC 3493 6, RFC 6724, getaddrinfo(3).
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import (
    MAX6,
    V4,
    V6,
    format_address,
    ipv4_mapped,
    is_link_local6,
    mapped_ipv4,
    parse_address,
    scope6,
)
from vrouter.stack.l3.source6 import DEFAULT_POLICY
from vrouter.stack.l4 import constants as c

if TYPE_CHECKING:
    from vrouter.sockets.place import Place

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
Found = tuple[int, int, int]  # family (V4, V6), address, zone

_KINDS: Final = (
    (socket.SOCK_STREAM, c.IPPROTO_TCP),
    (socket.SOCK_DGRAM, c.IPPROTO_UDP),
    (socket.SOCK_RAW, 0),
)
_SERVICES: Final = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
_FAMILIES: Final = {V4: socket.AF_INET, V6: socket.AF_INET6}
_KNOWN_FLAGS: Final = int(
    socket.AI_PASSIVE
    | socket.AI_CANONNAME
    | socket.AI_NUMERICHOST
    | socket.AI_V4MAPPED
    | socket.AI_ALL
    | socket.AI_ADDRCONFIG
    | socket.AI_NUMERICSERV
    | 0x1FC0  # the flags of glibc for internationalised names, which are always understood
)
_TEXTS: Final = {
    socket.EAI_BADFLAGS: "Bad value for ai_flags",
    socket.EAI_NONAME: "Name or service not known",
    socket.EAI_AGAIN: "Temporary failure in name resolution",
    socket.EAI_FAIL: "Non-recoverable failure in name resolution",
    socket.EAI_NODATA: "No address associated with hostname",
    socket.EAI_FAMILY: "ai_family not supported",
    socket.EAI_SOCKTYPE: "ai_socktype not supported",
    socket.EAI_SERVICE: "Servname not supported for ai_socktype",
    socket.EAI_ADDRFAMILY: "Address family for hostname not supported",
}


def failure(code: int) -> socket.gaierror:
    """The error of a lookup, with the text that the C library has for it."""
    return socket.gaierror(code, _TEXTS[code])


async def getaddrinfo(
    place: Place,
    host: str | bytes | None,
    port: int | str | bytes | None,
    family: int,
    kind: int,
    proto: int,
    flags: int,
) -> list[AddrInfo]:
    """`Place.getaddrinfo`, which see."""
    if flags & ~_KNOWN_FLAGS or (flags & socket.AI_CANONNAME and host is None):
        raise failure(socket.EAI_BADFLAGS)
    if family not in (c.AF_UNSPEC, c.AF_INET, c.AF_INET6):
        raise failure(socket.EAI_FAMILY)
    if isinstance(host, bytes):
        host = host.decode("ascii")
    if not isinstance(host, str | None):
        raise TypeError("getaddrinfo() argument 1 must be string or None")
    if not isinstance(port, int | str | bytes | None):
        raise OSError("Int or String expected")
    if host is None and port is None:
        raise failure(socket.EAI_NONAME)
    kind &= ~(c.SOCK_NONBLOCK | c.SOCK_CLOEXEC)
    kinds = _kinds(kind, proto)
    services = _ports(port, kinds, flags)
    families = [own for own, number in _FAMILIES.items() if family in (c.AF_UNSPEC, number)]
    canonical = ""
    if not host:
        if host is not None:
            raise failure(socket.EAI_NONAME)
        found = _nobody(families, flags)
    else:
        number = numeric(place, host)
        if number is not None:
            found, canonical = _of_family(number, family, flags), host
        elif flags & socket.AI_NUMERICHOST:
            raise failure(socket.EAI_NONAME)
        else:
            found, canonical = await _look_up(place, host, families, flags)
    if len(found) > 1:
        found = ordered(place, found)
    name = canonical if flags & socket.AI_CANONNAME else ""
    return [
        (_FAMILIES[own], one, number, "" if row or column else name, _address(own, address, zone, service))
        for row, (own, address, zone) in enumerate(found)
        for column, (one, number, service) in enumerate(services)
    ]


def _kinds(kind: int, proto: int) -> list[tuple[socket.SocketKind, int]]:
    """(type, protocol) of what was asked for."""
    if kind not in (0, *(one for one, _ in _KINDS)):
        raise failure(socket.EAI_SOCKTYPE)
    found = [(one, number) for one, number in _KINDS if kind in (0, one) and proto in (0, number)]
    if not found:
        raise failure(socket.EAI_SOCKTYPE if kind in _SERVICES else socket.EAI_SERVICE)
    return found


def _ports(
    port: int | str | bytes | None, kinds: list[tuple[socket.SocketKind, int]], flags: int
) -> list[tuple[socket.SocketKind, int, int]]:
    """(type, protocol, port) of a service."""
    if isinstance(port, bytes):
        port = port.decode("ascii")
    if not port:
        port = 0
    if isinstance(port, str) and port.isdecimal():
        port = int(port)
    if isinstance(port, int):
        return [(kind, proto, port & 0xFFFF) for kind, proto in kinds]
    if flags & socket.AI_NUMERICSERV:
        raise failure(socket.EAI_NONAME)
    found = []
    for kind, proto in kinds:
        if kind in _SERVICES:
            try:
                found.append((kind, proto, socket.getservbyname(port, _SERVICES[kind])))
            except OSError:
                continue
    if not found:
        raise failure(socket.EAI_SERVICE)
    return found


def _nobody(families: list[int], flags: int) -> list[Found]:
    """Without a host it is this one: any address to listen on, or the loopback ones to connect to."""
    if flags & socket.AI_PASSIVE:
        return [(family, 0, 0) for family in families]
    return [(family, 1 if family == V6 else 0x7F000001, 0) for family in reversed(families)]


def numeric(place: Place, host: str) -> Found | None:
    """What a number means, in any form that inet_aton(3) and inet_pton(3) know, with a zone; None for a name."""
    text, percent, zone = host.partition("%")
    if ":" in text:
        try:
            address = parse_address(text)[1]
        except ValueError:
            return None
        if not percent:
            return V6, address, 0
        number = _zone(place, zone)
        if number is None:
            raise failure(socket.EAI_NONAME)
        return V6, address, number
    if percent or not host[:1].isdecimal() or any(letter.isspace() for letter in host):
        return None
    try:
        return V4, int.from_bytes(socket.inet_aton(host), "big"), 0
    except (OSError, UnicodeEncodeError):
        return None


def _zone(place: Place, text: str) -> int | None:
    """The number of a zone, which is a device of the namespace or its index."""
    device = place.ns.devices.get(text)
    if device is not None:
        return device.ifindex
    return int(text) if text.isdecimal() and int(text) < 1 << 32 else None


def _of_family(found: Found, family: int, flags: int) -> list[Found]:
    own, address, _ = found
    if family in (c.AF_UNSPEC, _FAMILIES[own]):
        return [found]
    if own == V4 and flags & socket.AI_V4MAPPED:
        return [(V6, ipv4_mapped(address), 0)]
    if own == V6 and (short := mapped_ipv4(address)) is not None:
        return [(V4, short, 0)]
    raise failure(socket.EAI_ADDRFAMILY)


async def _look_up(place: Place, host: str, families: list[int], flags: int) -> tuple[list[Found], str]:
    """(the addresses of a name, its canonical name)."""
    if flags & socket.AI_ADDRCONFIG:
        present = _configured(place)
        families = [family for family in families if family in present] if present else families
        if not families:
            raise failure(socket.EAI_NONAME)
    mapping = flags & socket.AI_V4MAPPED and families == [V6]
    canonical, found = await place.resolver.addresses(place, host, [V4, V6] if mapping else families)
    if mapping:
        wide = [address for address in found if address[0] == V6]
        if not wide or flags & socket.AI_ALL:
            wide += [(V6, ipv4_mapped(address)) for family, address in found if family == V4]
        found = wide
    return [(family, address, 0) for family, address in dict.fromkeys(found)], canonical


def _configured(place: Place) -> set[int]:
    """The families of which the namespace has an address besides those of lo (AI_ADDRCONFIG)."""
    devices = (dev for dev in place.ns.devices.values() if dev.kind != "lo")
    return {
        one.family
        for dev in devices
        for one in dev.addresses
        if not (is_link_local6(one.address) if one.family == V6 else is_loopback4(one.address))
    }


def is_loopback4(address: int) -> bool:
    """Whether an IPv4 address is in 127.0.0.0/8."""
    return address >> 24 == 127


def _address(family: int, address: int, zone: int, port: int) -> tuple[Any, ...]:
    text = format_address(address, family)
    return (text, port, 0, zone) if family == V6 else (text, port)


# -- the order --------------------------------------------------------------------------------------------------------


def ordered(place: Place, found: Iterable[Found]) -> list[Found]:
    """Destinations, the best one first (RFC 6724 6, rules 1, 2, 5, 6, 8, 9 and 10)."""
    return sorted(found, key=lambda one: _rank(place, one))


def _rank(place: Place, found: Found) -> tuple[bool, bool, bool, int, int, int]:
    family, address, _ = found
    wide = _wide(family, address)
    policy = DEFAULT_POLICY.find(wide)
    scope = _scope(family, address)
    source = _source(place, found)
    if source is None:
        return True, True, True, -policy.precedence, scope, 0
    own = _wide(family, source)
    common = 128 - (wide ^ own).bit_length() if family == V6 else 0
    return (
        False,
        _scope(family, source) != scope,
        DEFAULT_POLICY.find(own).label != policy.label,
        -policy.precedence,
        scope,
        -common,
    )


def _wide(family: int, address: int) -> int:
    return ipv4_mapped(address) if family == V4 else address & MAX6


def _scope(family: int, address: int) -> int:
    """RFC 6724 3.1 and 3.2; IPv4's loopback and link-local addresses are of link-local scope."""
    if family == V6:
        return scope6(address)
    return 2 if is_loopback4(address) or address >> 16 == 0xA9FE else 14


def _source(place: Place, found: Found) -> int | None:
    """The address that a packet to `found` would be sent from; None where no route leads there."""
    family, address, zone = found
    text = format_address(address, family)
    if zone:
        name = next((dev.name for dev in place.ns.devices.values() if dev.ifindex == zone), None)
        if name is None:
            return None
        text += f"%{name}"
    try:
        route = place.driver.call(place.ns.get_route, text)
    except (OSError, ValueError):
        return None
    source = route.get("src")
    return parse_address(source)[1] if source else None


# -- the other way ----------------------------------------------------------------------------------------------------


async def getnameinfo(place: Place, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
    """`Place.getnameinfo`, which see."""
    host, port = sockaddr[:2]
    found = numeric(place, host)
    if found is None:
        raise failure(socket.EAI_NONAME)
    family, address, zone = found
    zone = zone or (sockaddr[3] if len(sockaddr) > 3 else 0)
    name = None
    if not flags & socket.NI_NUMERICHOST:
        name = await place.resolver.name_of(place, family, address)
        if name is not None and flags & socket.NI_NOFQDN:
            name = name.partition(".")[0]
    if name is None:
        if flags & socket.NI_NAMEREQD:
            raise failure(socket.EAI_NONAME)
        name = format_address(address, family)
        if zone:
            device = next((dev.name for dev in place.ns.devices.values() if dev.ifindex == zone), str(zone))
            name += f"%{device}"
    service = str(port)
    if not flags & socket.NI_NUMERICSERV:
        try:
            service = socket.getservbyport(port, "udp" if flags & socket.NI_DGRAM else "tcp")
        except OSError:
            pass
    return name, service
