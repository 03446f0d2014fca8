"""getsockopt(2) and setsockopt(2) by the kernel's numbers, with the kernel's bounds and errors.

An option that is not known is ENOPROTOOPT: nothing is accepted that has no effect. Buffer sizes are doubled when set,
as Linux does it for its overhead, and reported doubled.

Deviation: of IP_MTU_DISCOVER's values there are ``DONT``, ``WANT`` and ``DO``; the others are EINVAL.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4 import membership
from vrouter.stack.l4.ancillary import INT
from vrouter.stack.l4.output import peer_mtu

if TYPE_CHECKING:
    from vrouter.stack.l4.socket import Socket

MIN_RCVBUF: Final = 2304
MIN_SNDBUF: Final = 4608
_INT_MIN: Final = -(2**31)
_INT_MAX: Final = 2**31 - 1
_IFNAMSIZ: Final = 16

# Options that are a bit of Socket.options.
SWITCHES: Final[dict[tuple[int, int], int]] = {
    (c.SOL_SOCKET, c.SO_REUSEADDR): c.REUSEADDR,
    (c.SOL_SOCKET, c.SO_REUSEPORT): c.REUSEPORT,
    (c.SOL_SOCKET, c.SO_BROADCAST): c.BROADCAST,
    (c.SOL_IP, c.IP_PKTINFO): c.PKTINFO,
    (c.SOL_IP, c.IP_RECVTTL): c.RECVTTL,
    (c.SOL_IP, c.IP_RECVTOS): c.RECVTOS,
    (c.SOL_IP, c.IP_RECVERR): c.RECVERR,
    (c.SOL_IP, c.IP_FREEBIND): c.FREEBIND,
    (c.SOL_IP, c.IP_RECVORIGDSTADDR): c.RECVORIGDST,
}
_TEXT_OPTIONS: Final = ((c.SOL_SOCKET, c.SO_BINDTODEVICE),)
_ADDRESS_OPTIONS: Final = (
    (c.SOL_IP, c.IP_ADD_MEMBERSHIP),
    (c.SOL_IP, c.IP_DROP_MEMBERSHIP),
    (c.SOL_IP, c.IP_MULTICAST_IF),
)


def set_option(sock: Socket, level: int, option: int, value: int | bytes | bytearray | memoryview) -> None:
    """setsockopt(2). `value` is an int or the bytes of the C value; OSError with Linux's errno, OverflowError for an
    int that C's has no room for."""
    if level not in (c.SOL_SOCKET, c.SOL_IP):
        raise os_error(errno.ENOPROTOOPT)
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise OverflowError("Python int too large to convert to C int")
        data = INT.pack(value)
    else:
        data = bytes(value)
    if (level, option) in _TEXT_OPTIONS:
        return _bind_to_device(sock, data)
    if (level, option) in _ADDRESS_OPTIONS:
        return _set_group(sock, option, data)
    if len(data) >= 4:
        number: int = INT.unpack_from(data)[0]
    elif data and level == c.SOL_IP:
        number = data[0]
    else:
        raise os_error(errno.EINVAL)
    bit = SWITCHES.get((level, option))
    if bit is not None:
        sock.options = sock.options | bit if number else sock.options & ~bit
        if bit == c.RECVERR and not number:
            sock.forget_errors()
        return None
    if level == c.SOL_SOCKET:
        return _set_socket(sock, option, number)
    return _set_ip(sock, option, number)


def _set_socket(sock: Socket, option: int, number: int) -> None:
    if option in (c.SO_RCVBUF, c.SO_RCVBUFFORCE):
        limit = sock.ns.conf.rmem_max if option == c.SO_RCVBUF else _INT_MAX // 2
        sock.rcvbuf = max(2 * _clamp(number, limit), MIN_RCVBUF)
    elif option in (c.SO_SNDBUF, c.SO_SNDBUFFORCE):
        limit = sock.ns.conf.wmem_max if option == c.SO_SNDBUF else _INT_MAX // 2
        sock.sndbuf = max(2 * _clamp(number, limit), MIN_SNDBUF)
    elif option == c.SO_MARK:
        sock.mark = number & 0xFFFFFFFF
    elif option == c.SO_PRIORITY:
        sock.priority = number
    elif option == c.SO_BINDTOIFINDEX:
        device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == number), None)
        if number and device is None:
            raise os_error(errno.ENODEV)
        sock.device = device
        sock.table.changed(sock)
    else:
        raise os_error(errno.ENOPROTOOPT)


def _clamp(number: int, limit: int) -> int:
    """Linux reads the size as unsigned, so a negative one is as large as can be."""
    return limit if number < 0 else min(number, limit)


def _set_ip(sock: Socket, option: int, number: int) -> None:
    if option == c.IP_TTL:
        if number != -1 and not 1 <= number <= 255:
            raise os_error(errno.EINVAL)
        sock.ttl = max(number, 0)
    elif option == c.IP_TOS:
        sock.tos = number & 0xFF
    elif option == c.IP_MTU_DISCOVER:
        if not c.IP_PMTUDISC_DONT <= number <= c.IP_PMTUDISC_DO:
            raise os_error(errno.EINVAL)
        sock.mtu_discover = number
    elif option == c.IP_MULTICAST_TTL:
        if not -1 <= number <= 255:
            raise os_error(errno.EINVAL)
        membership.settings(sock).ttl = 1 if number == -1 else number
    elif option == c.IP_MULTICAST_LOOP:
        membership.settings(sock).loop = bool(number)
    elif option == c.IP_MULTICAST_ALL:
        if number not in (0, 1):
            raise os_error(errno.EINVAL)
        membership.settings(sock).all = bool(number)
    else:
        raise os_error(errno.ENOPROTOOPT)


def _bind_to_device(sock: Socket, data: bytes) -> None:
    name = data[: _IFNAMSIZ - 1].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    device = sock.ns.devices.get(name)
    if name and device is None:
        raise os_error(errno.ENODEV)
    sock.device = device
    sock.table.changed(sock)


def _set_group(sock: Socket, option: int, data: bytes) -> None:
    """``ip_mreqn`` (group, address, ifindex), ``ip_mreq`` without the last, or ``in_addr`` alone (MULTICAST_IF)."""
    if len(data) < (4 if option == c.IP_MULTICAST_IF else 8):
        raise os_error(errno.EINVAL)
    group = address = ifindex = 0
    if len(data) < 8:
        address = int.from_bytes(data[:4], "big")
    else:
        group, address = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if len(data) >= 12:
        ifindex = INT.unpack_from(data, 8)[0]
    if option == c.IP_ADD_MEMBERSHIP:
        membership.join(sock, group, address, ifindex)
    elif option == c.IP_DROP_MEMBERSHIP:
        membership.leave(sock, group, address, ifindex)
    elif not address and not ifindex:
        settings = membership.settings(sock)
        settings.device, settings.address = None, 0
    else:
        device = membership.find_device(sock, group, address, ifindex)
        if device is None or (sock.device is not None and device is not sock.device):
            raise os_error(errno.EADDRNOTAVAIL if device is None else errno.EINVAL)
        settings = membership.settings(sock)
        settings.device, settings.address = device, address


def get_option(sock: Socket, level: int, option: int, buflen: int) -> int | bytes:
    """getsockopt(2): an int when `buflen` is 0, else at most `buflen` bytes of the C value."""
    if level not in (c.SOL_SOCKET, c.SOL_IP):
        raise os_error(errno.EOPNOTSUPP)
    if (level, option) in _TEXT_OPTIONS:
        dev = sock.bound_device
        name = b"" if dev is None else dev.name.encode("utf-8", "surrogateescape") + b"\0"
        if name and buflen < _IFNAMSIZ:
            raise os_error(errno.EINVAL)
        return name
    if (level, option) == (c.SOL_IP, c.IP_MULTICAST_IF):
        address = (0 if sock.multicast is None else sock.multicast.address).to_bytes(4, "big")
        return address[:buflen] if buflen else INT.unpack(address)[0]
    bit = SWITCHES.get((level, option))
    if bit is not None:
        number = int(sock.options & bit != 0)
    elif level == c.SOL_SOCKET:
        number = _get_socket(sock, option)
    else:
        number = _get_ip(sock, option)
    if not buflen:
        return number
    if level == c.SOL_IP and buflen < 4 and 0 <= number <= 255:
        return bytes((number,))
    return (number & 0xFFFFFFFF).to_bytes(4, "little")[:buflen]


def _get_socket(sock: Socket, option: int) -> int:
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
    if option == c.SO_MARK:
        return sock.mark
    if option == c.SO_PRIORITY:
        return sock.priority
    if option == c.SO_BINDTOIFINDEX:
        dev = sock.bound_device
        return 0 if dev is None else dev.ifindex
    raise os_error(errno.ENOPROTOOPT)


def _get_ip(sock: Socket, option: int) -> int:
    if option == c.IP_TTL:
        return sock.ttl or sock.ns.conf.ip_default_ttl
    if option == c.IP_TOS:
        return sock.tos
    if option == c.IP_MTU_DISCOVER:
        return sock.mtu_discover
    if option == c.IP_MTU:
        return peer_mtu(sock)
    multicast = sock.multicast
    if option == c.IP_MULTICAST_TTL:
        return 1 if multicast is None else multicast.ttl
    if option == c.IP_MULTICAST_LOOP:
        return int(multicast is None or multicast.loop)
    if option == c.IP_MULTICAST_ALL:
        return int(multicast is None or multicast.all)
    raise os_error(errno.ENOPROTOOPT)
