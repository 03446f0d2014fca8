"""getsockopt(2) and setsockopt(2) by the kernel's numbers, with the kernel's bounds and errors.

An option that is not known is ENOPROTOOPT: nothing is accepted that has no effect. Buffer sizes are doubled when set,
as Linux does it for its overhead, and reported doubled.

Most options are an int that the socket's `Settings` of a family keep, or its multicast settings: `NUMBERS` is all that
differs between SOL_IP and SOL_IPV6. An AF_INET6 socket has both levels (`settings`). What names groups is in
`group_options`.

Deviation: of IP_MTU_DISCOVER's and IPV6_MTU_DISCOVER's values there are ``DONT``, ``WANT`` and ``DO``; the others are
EINVAL. IPV6_FLOWINFO_SEND takes any flow label, without a lease of it. IPV6_MTU is only read.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4 import group_options, membership
from vrouter.stack.l4.ancillary import INT, MTUINFO, path_mtu_info
from vrouter.stack.l4.output import peer_mtu

if TYPE_CHECKING:
    from vrouter.stack.l4.socket import Socket

MIN_RCVBUF: Final = 2304
MIN_SNDBUF: Final = 4608
_INT_MIN: Final = -(2**31)
_INT_MAX: Final = 2**31 - 1
_IFNAMSIZ: Final = 16
_INDEX: Final = Struct("!I")
_TIMEVAL: Final = Struct("=qq")
_LONG_TIME: Final = 2**32  # seconds
# Which of `Socket.timeouts` is meant; both numbers of each have the same structure where a long has 64 bits.
_TIMEOUTS: Final = {c.SO_RCVTIMEO: 0, c.SO_SNDTIMEO: 1, c.SO_RCVTIMEO_NEW: 0, c.SO_SNDTIMEO_NEW: 1}

# Options that are a bit of Socket.options, and of Settings.options of the level's family.
SWITCHES: Final[dict[tuple[int, int], int]] = {
    (c.SOL_SOCKET, c.SO_REUSEADDR): c.REUSEADDR,
    (c.SOL_SOCKET, c.SO_REUSEPORT): c.REUSEPORT,
    (c.SOL_SOCKET, c.SO_BROADCAST): c.BROADCAST,
    (c.SOL_IP, c.IP_FREEBIND): c.FREEBIND,
    (c.SOL_IP, c.IP_BIND_ADDRESS_NO_PORT): c.NO_PORT,
    (c.SOL_IPV6, c.IPV6_FREEBIND): c.FREEBIND,
    (c.SOL_IPV6, c.IPV6_V6ONLY): c.V6ONLY,
}
FAMILY_SWITCHES: Final[dict[tuple[int, int], int]] = {
    (c.SOL_IP, c.IP_PKTINFO): c.PKTINFO,
    (c.SOL_IP, c.IP_RECVTTL): c.RECVTTL,
    (c.SOL_IP, c.IP_RECVTOS): c.RECVTOS,
    (c.SOL_IP, c.IP_RECVERR): c.RECVERR,
    (c.SOL_IP, c.IP_RECVORIGDSTADDR): c.RECVORIGDST,
    (c.SOL_IPV6, c.IPV6_RECVPKTINFO): c.PKTINFO,
    (c.SOL_IPV6, c.IPV6_RECVHOPLIMIT): c.RECVTTL,
    (c.SOL_IPV6, c.IPV6_RECVTCLASS): c.RECVTOS,
    (c.SOL_IPV6, c.IPV6_RECVERR): c.RECVERR,
    (c.SOL_IPV6, c.IPV6_RECVORIGDSTADDR): c.RECVORIGDST,
    (c.SOL_IPV6, c.IPV6_FLOWINFO): c.FLOWINFO,
    (c.SOL_IPV6, c.IPV6_FLOWINFO_SEND): c.FLOWINFO_SEND,
    (c.SOL_IPV6, c.IPV6_AUTOFLOWLABEL): c.AUTOFLOWLABEL,
    (c.SOL_IPV6, c.IPV6_DONTFRAG): c.DONTFRAG,
    (c.SOL_IPV6, c.IPV6_RECVPATHMTU): c.RECVPATHMTU,
}


class Number(NamedTuple):
    """An option that is an int: where it is kept, what it may be, and what -1 stands for. Without bounds it is cut to
    eight bits, as a flag to one."""

    attribute: str
    multicast: bool = False
    low: int = 0
    high: int = 255
    default: int | None = None
    cut: int = 0


NUMBERS: Final[dict[tuple[int, int], Number]] = {
    (c.SOL_IP, c.IP_TTL): Number("ttl", low=1, default=-1),
    (c.SOL_IP, c.IP_TOS): Number("tos", cut=0xFF),
    (c.SOL_IP, c.IP_MTU_DISCOVER): Number("mtu_discover", high=c.IP_PMTUDISC_DO),
    (c.SOL_IP, c.IP_MULTICAST_TTL): Number("ttl", multicast=True, default=1),
    (c.SOL_IP, c.IP_MULTICAST_LOOP): Number("loop", multicast=True, cut=1),
    (c.SOL_IP, c.IP_MULTICAST_ALL): Number("all", multicast=True, high=1),
    (c.SOL_IPV6, c.IPV6_UNICAST_HOPS): Number("ttl", default=-1),
    (c.SOL_IPV6, c.IPV6_TCLASS): Number("tos", default=0),
    (c.SOL_IPV6, c.IPV6_MTU_DISCOVER): Number("mtu_discover", high=c.IP_PMTUDISC_DO),
    (c.SOL_IPV6, c.IPV6_MULTICAST_HOPS): Number("ttl", multicast=True, default=1),
    (c.SOL_IPV6, c.IPV6_MULTICAST_LOOP): Number("loop", multicast=True, high=1),
    (c.SOL_IPV6, c.IPV6_MULTICAST_ALL): Number("all", multicast=True, cut=1),
}
UNICAST_IF: Final = ((c.SOL_IP, c.IP_UNICAST_IF), (c.SOL_IPV6, c.IPV6_UNICAST_IF))
MTU: Final = ((c.SOL_IP, c.IP_MTU), (c.SOL_IPV6, c.IPV6_MTU))
HOPS: Final = ((c.SOL_IP, c.IP_TTL), (c.SOL_IPV6, c.IPV6_UNICAST_HOPS))
_BIND_TO_DEVICE: Final = (c.SOL_SOCKET, c.SO_BINDTODEVICE)
_FAMILIES: Final = {c.SOL_IP: V4, c.SOL_IPV6: V6}


def _knows(sock: Socket, level: int) -> bool:
    return level in (c.SOL_SOCKET, c.SOL_IP) or (level == c.SOL_IPV6 and sock.family == c.AF_INET6)


def set_option(sock: Socket, level: int, option: int, value: int | bytes | bytearray | memoryview, now: int) -> None:
    """setsockopt(2). `value` is an int or the bytes of the C value; OSError with Linux's errno, OverflowError for an
    int that C's has no room for."""
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise OverflowError("Python int too large to convert to C int")
        data = INT.pack(value)
    else:
        data = bytes(value)
    if sock.set_own_option(level, option, data, now):
        return None
    if not _knows(sock, level):
        raise os_error(errno.ENOPROTOOPT)
    key = level, option
    if key == _BIND_TO_DEVICE:
        return _bind_to_device(sock, data)
    if level == c.SOL_SOCKET and option in _TIMEOUTS:
        return _set_timeout(sock, _TIMEOUTS[option], data)
    if key in group_options.STRUCTURES:
        return group_options.set_group(sock, _FAMILIES[level], option, data)
    if len(data) >= 4:
        number: int = INT.unpack_from(data)[0]
    elif data and level == c.SOL_IP:
        number = data[0]
    else:
        raise os_error(errno.EINVAL)
    if key in SWITCHES or key in FAMILY_SWITCHES:
        return _switch(sock, level, key, number != 0)
    if level == c.SOL_SOCKET:
        return _set_socket(sock, option, number)
    if key in UNICAST_IF:
        return _unicast_by(sock, _FAMILIES[level], int.from_bytes(data[:4], "big"))
    where = NUMBERS.get(key)
    if where is None:
        raise os_error(errno.ENOPROTOOPT)
    if where.cut:
        number = (number != 0) if where.cut == 1 else number & where.cut
    elif number == -1 and where.default is not None:
        number = where.default
    elif not where.low <= number <= where.high:
        raise os_error(errno.EINVAL)
    family = _FAMILIES[level]
    owner = membership.settings(sock, family) if where.multicast else sock.own_settings(family)
    setattr(owner, where.attribute, number)
    return None


def _switch(sock: Socket, level: int, key: tuple[int, int], on: bool) -> None:
    bit = SWITCHES.get(key)
    if bit is not None:
        if bit == c.V6ONLY and sock.port:
            raise os_error(errno.EINVAL)
        sock.options = sock.options | bit if on else sock.options & ~bit
        return
    bit = FAMILY_SWITCHES[key]
    settings = sock.own_settings(_FAMILIES[level])
    settings.options = settings.options | bit if on else settings.options & ~bit
    if bit == c.RECVERR and not on:
        sock.forget_errors()


def _set_socket(sock: Socket, option: int, number: int) -> None:
    if option in (c.SO_RCVBUF, c.SO_RCVBUFFORCE):
        limit = sock.ns.conf.rmem_max if option == c.SO_RCVBUF else _INT_MAX // 2
        sock.rcvbuf = max(2 * _clamp(number, limit), MIN_RCVBUF)
        sock.buffer_set(c.LOCK_RCVBUF)
    elif option in (c.SO_SNDBUF, c.SO_SNDBUFFORCE):
        limit = sock.ns.conf.wmem_max if option == c.SO_SNDBUF else _INT_MAX // 2
        sock.sndbuf = max(2 * _clamp(number, limit), MIN_SNDBUF)
        sock.buffer_set(c.LOCK_SNDBUF)
    elif option == c.SO_MARK:
        sock.mark = number & 0xFFFFFFFF
    elif option == c.SO_PRIORITY:
        sock.priority = number
    elif option == c.SO_BINDTOIFINDEX:
        device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == number), None)
        if number and device is None:
            raise os_error(errno.ENODEV)
        sock.device = device
        sock.changed()
    else:
        raise os_error(errno.ENOPROTOOPT)


def _set_timeout(sock: Socket, which: int, data: bytes) -> None:
    """SO_RCVTIMEO, SO_SNDTIMEO: a ``timeval``; 0 is no limit, and less than that is as good as none."""
    if len(data) < _TIMEVAL.size:
        raise os_error(errno.EINVAL)
    seconds, microseconds = _TIMEVAL.unpack_from(data)
    if not 0 <= microseconds < 1_000_000:
        raise os_error(errno.EDOM)
    timeouts = list(sock.timeouts)
    timeouts[which] = max(0, min(seconds, _LONG_TIME) * 1_000_000_000 + microseconds * 1000)
    sock.timeouts = timeouts[0], timeouts[1]


def _timeval(timeout: int) -> bytes:
    return _TIMEVAL.pack(timeout // 1_000_000_000, timeout % 1_000_000_000 // 1000)


def _clamp(number: int, limit: int) -> int:
    """Linux reads the size as unsigned, so a negative one is as large as can be."""
    return limit if number < 0 else min(number, limit)


def _bind_to_device(sock: Socket, data: bytes) -> None:
    name = data[: _IFNAMSIZ - 1].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    device = sock.ns.devices.get(name)
    if name and device is None:
        raise os_error(errno.ENODEV)
    sock.device = device
    sock.changed()


def _unicast_by(sock: Socket, family: int, ifindex: int) -> None:
    """IP_UNICAST_IF, IPV6_UNICAST_IF: the index comes in network order."""
    device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == ifindex), None)
    if ifindex and device is None:
        raise os_error(errno.EADDRNOTAVAIL)
    if ifindex and sock.device is not None:
        raise os_error(errno.EINVAL)
    sock.own_settings(family).device = device


def get_option(sock: Socket, level: int, option: int, buflen: int) -> int | bytes:
    """getsockopt(2): an int when `buflen` is 0, else at most `buflen` bytes of the C value."""
    own = sock.get_own_option(level, option)
    if own is None and level == c.SOL_SOCKET and option in _TIMEOUTS:
        own = _timeval(sock.timeouts[_TIMEOUTS[option]])
    if own is not None:
        if not isinstance(own, bytes):
            return own if not buflen else (own & 0xFFFFFFFF).to_bytes(4, "little")[:buflen]
        return own[:buflen] if buflen else int.from_bytes(own[:4], "little", signed=True)
    if not _knows(sock, level):
        raise os_error(errno.EOPNOTSUPP if sock.family == c.AF_INET else errno.ENOPROTOOPT)
    key = level, option
    if key == _BIND_TO_DEVICE:
        dev = sock.bound_device
        name = b"" if dev is None else dev.name.encode("utf-8", "surrogateescape") + b"\0"
        if name and buflen < _IFNAMSIZ:
            raise os_error(errno.EINVAL)
        return name
    if key == (c.SOL_IP, c.IP_MULTICAST_IF):
        multicast = sock.settings4.multicast
        address = (0 if multicast is None else multicast.address).to_bytes(4, "big")
        return address[:buflen] if buflen else INT.unpack(address)[0]
    if key == (c.SOL_IPV6, c.IPV6_PATHMTU):
        if buflen < MTUINFO.size:
            raise os_error(errno.EINVAL)
        return path_mtu_info(0, peer_mtu(sock))
    number = _get_socket(sock, option) if level == c.SOL_SOCKET else _get_number(sock, level, key)
    if not buflen:
        return number
    if level == c.SOL_IP and buflen < 4 and 0 <= number <= 255:
        return bytes((number,))
    return (number & 0xFFFFFFFF).to_bytes(4, "little")[:buflen]


def _get_socket(sock: Socket, option: int) -> int:
    bit = SWITCHES.get((c.SOL_SOCKET, option))
    if bit is not None:
        return int(sock.options & bit != 0)
    if option == c.SO_ERROR:
        return sock.take_error()
    if option == c.SO_RCVBUF:
        return sock.rcvbuf
    if option == c.SO_SNDBUF:
        return sock.sndbuf
    if option == c.SO_TYPE:
        return sock.type
    if option == c.SO_PROTOCOL:
        return sock.proto
    if option == c.SO_DOMAIN:
        return sock.family
    if option == c.SO_ACCEPTCONN:
        return 0
    if option == c.SO_SNDLOWAT:
        return 1
    if option == c.SO_MARK:
        return sock.mark
    if option == c.SO_PRIORITY:
        return sock.priority
    if option == c.SO_BINDTOIFINDEX:
        dev = sock.bound_device
        return 0 if dev is None else dev.ifindex
    raise os_error(errno.ENOPROTOOPT)


def _get_number(sock: Socket, level: int, key: tuple[int, int]) -> int:
    family = _FAMILIES[level]
    settings = sock.settings_of(family)
    if key in SWITCHES:
        return int(sock.options & SWITCHES[key] != 0)
    if key in FAMILY_SWITCHES:
        return int(settings.options & FAMILY_SWITCHES[key] != 0)
    if key in MTU:
        return peer_mtu(sock)
    if key in HOPS and settings.ttl < 0:
        conf = sock.ns.conf
        return conf.ip_default_ttl if family == V4 else sock.ns.lo.conf6.hop_limit
    if key in UNICAST_IF:
        ifindex = 0 if settings.device is None else settings.device.ifindex
        return int(INT.unpack(_INDEX.pack(ifindex))[0])
    multicast = settings.multicast
    if key == (c.SOL_IPV6, c.IPV6_MULTICAST_IF):
        return 0 if multicast is None or multicast.device is None else multicast.device.ifindex
    where = NUMBERS.get(key)
    if where is None:
        raise os_error(errno.ENOPROTOOPT)
    if where.multicast:
        return int(getattr(multicast or membership.Multicast(), where.attribute))
    return int(getattr(settings, where.attribute))
