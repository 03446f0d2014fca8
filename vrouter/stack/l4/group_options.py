"""The options that name groups, devices and sources, in Linux's structures (RFC 3678, RFC 3493 5.2).

======================================================  =======================================================
``ip_mreq``, ``ip_mreqn``                               group, interface address[, ifindex]
``ip_mreq_source``                                      group, interface address, source
``ip_msfilter``                                         group, interface address, mode, number, sources
``ipv6_mreq``                                           group, ifindex
``group_req``, ``group_source_req``, ``group_filter``   ifindex and socket addresses of either family
======================================================  =======================================================

Each becomes a request of `membership`: group, interface address, ifindex, source. The filter that MCAST_MSFILTER sets
cannot be read back: getsockopt(2) would have to be told of which group.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.group_filter import Filter
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4 import membership

if TYPE_CHECKING:
    from vrouter.stack.l4.socket import Socket

Where: TypeAlias = tuple[int, int, int]  # group, interface address, ifindex

_ADDRESS: Final = Struct("!I")
_INDEX: Final = Struct("=i")
_FILTER: Final = Struct("=II")  # mode, number of sources
_STORAGE: Final = 128  # bytes of a sockaddr_storage
_GROUP_AT: Final = 8
_GROUP_REQ: Final = _GROUP_AT + _STORAGE
_FAMILIES: Final = {4: c.AF_INET, 6: c.AF_INET6}

# Source operations: whether they are about excluding, and whether they add.
_OF_MREQ: Final = {
    c.IP_BLOCK_SOURCE: (True, True),
    c.IP_UNBLOCK_SOURCE: (True, False),
    c.IP_ADD_SOURCE_MEMBERSHIP: (False, True),
    c.IP_DROP_SOURCE_MEMBERSHIP: (False, False),
}
_OF_GROUP: Final = {
    c.MCAST_BLOCK_SOURCE: (True, True),
    c.MCAST_UNBLOCK_SOURCE: (True, False),
    c.MCAST_JOIN_SOURCE_GROUP: (False, True),
    c.MCAST_LEAVE_SOURCE_GROUP: (False, False),
}
_SHARED: Final = (c.MCAST_JOIN_GROUP, c.MCAST_LEAVE_GROUP, c.MCAST_MSFILTER, *_OF_GROUP)
STRUCTURES: Final = frozenset(
    (
        *((c.SOL_IP, option) for option in (c.IP_MULTICAST_IF, c.IP_ADD_MEMBERSHIP, c.IP_DROP_MEMBERSHIP)),
        *((c.SOL_IP, option) for option in (c.IP_MSFILTER, *_OF_MREQ)),
        *((c.SOL_IPV6, option) for option in (c.IPV6_MULTICAST_IF, c.IPV6_JOIN_GROUP, c.IPV6_LEAVE_GROUP)),
        *((level, option) for level in (c.SOL_IP, c.SOL_IPV6) for option in _SHARED),
    )
)


def set_group(sock: Socket, family: int, option: int, data: bytes) -> None:
    """setsockopt(2) for one of `STRUCTURES`; OSError EINVAL for a structure that is cut, and as `membership`."""
    if option in _SHARED:
        return _set_shared(sock, family, option, data)
    if family == V4:
        return _set_v4(sock, option, data)
    if option == c.IPV6_MULTICAST_IF:
        return _set_device6(sock, data)
    if len(data) < 20:
        raise os_error(errno.EINVAL)
    change = membership.join if option == c.IPV6_JOIN_GROUP else membership.leave
    return change(sock, family, int.from_bytes(data[:16], "big"), 0, _INDEX.unpack_from(data, 16)[0])


def _set_v4(sock: Socket, option: int, data: bytes) -> None:
    if option == c.IP_MSFILTER:
        return _set_filter(sock, V4, _mreq(data, 16), data, 8, 4)
    if option in _OF_MREQ:
        exclude, add = _OF_MREQ[option]
        where = _mreq(data, 12)
        return membership.change_source(sock, V4, *where, _ADDRESS.unpack_from(data, 8)[0], exclude=exclude, add=add)
    if option == c.IP_MULTICAST_IF:
        return _set_device4(sock, data)
    group, address, _ = _mreq(data, 8)
    ifindex = _INDEX.unpack_from(data, 8)[0] if len(data) >= 12 else 0
    change = membership.join if option == c.IP_ADD_MEMBERSHIP else membership.leave
    return change(sock, V4, group, address, ifindex)


def _mreq(data: bytes, size: int) -> Where:
    if len(data) < size:
        raise os_error(errno.EINVAL)
    return _ADDRESS.unpack_from(data)[0], _ADDRESS.unpack_from(data, 4)[0], 0


def _set_device4(sock: Socket, data: bytes) -> None:
    """``in_addr``, ``ip_mreq`` or ``ip_mreqn``: the device by which groups are sent to."""
    if len(data) < 4:
        raise os_error(errno.EINVAL)
    group = ifindex = 0
    address = _ADDRESS.unpack_from(data)[0]
    if len(data) >= 8:
        group, address, _ = _mreq(data, 8)
    if len(data) >= 12:
        ifindex = _INDEX.unpack_from(data, 8)[0]
    settings = membership.settings(sock, V4)
    if not address and not ifindex:
        settings.device, settings.address = None, 0
        return
    device = membership.find_device(sock, V4, group, address, ifindex)
    if device is None or (sock.device is not None and device is not sock.device):
        raise os_error(errno.EADDRNOTAVAIL if device is None else errno.EINVAL)
    settings.device, settings.address = device, address


def _set_device6(sock: Socket, data: bytes) -> None:
    if len(data) < 4:
        raise os_error(errno.EINVAL)
    ifindex = _INDEX.unpack_from(data)[0]
    device = next((dev for dev in sock.ns.devices.values() if dev.ifindex == ifindex), None)
    if ifindex and sock.device is not None and device is not sock.device:
        raise os_error(errno.EINVAL)
    if ifindex and device is None:
        raise os_error(errno.ENODEV)
    membership.settings(sock, 6).device = device


def _set_shared(sock: Socket, family: int, option: int, data: bytes) -> None:
    """RFC 3678 5: the same structures for both families."""
    if len(data) < (_GROUP_REQ + _STORAGE if option in _OF_GROUP else _GROUP_REQ):
        raise os_error(errno.EINVAL)
    ifindex = _INDEX.unpack_from(data)[0]
    if option == c.MCAST_MSFILTER:
        if len(data) < _GROUP_REQ + _FILTER.size:
            raise os_error(errno.EINVAL)
        where = (_storage(data, _GROUP_AT, family), 0, ifindex)
        return _set_filter(sock, family, where, data, _GROUP_REQ, _STORAGE)
    if option in _OF_GROUP:
        exclude, add = _OF_GROUP[option]
        group, source = _storage(data, _GROUP_AT, family), _storage(data, _GROUP_REQ, family)
        return membership.change_source(sock, family, group, 0, ifindex, source, exclude=exclude, add=add)
    # Linux's word for an address of the other family is another one here in IPv4.
    group = _storage(data, _GROUP_AT, family, errno.EINVAL if family == V4 else errno.EADDRNOTAVAIL)
    change = membership.join if option == c.MCAST_JOIN_GROUP else membership.leave
    return change(sock, family, group, 0, ifindex)


def _storage(data: bytes, off: int, family: int, wrong: int = errno.EADDRNOTAVAIL) -> int:
    """The address of a ``sockaddr_in`` or ``sockaddr_in6`` in a ``sockaddr_storage``."""
    if int.from_bytes(data[off : off + 2], "little") != _FAMILIES[family]:
        raise os_error(wrong)
    return int.from_bytes(data[off + 4 : off + 8] if family == V4 else data[off + 8 : off + 24], "big")


def _set_filter(sock: Socket, family: int, where: Where, data: bytes, off: int, size: int) -> None:
    """The rest of ``ip_msfilter`` or ``group_filter``: mode, number, and sources of `size` bytes each."""
    mode, count = _FILTER.unpack_from(data, off)
    off += _FILTER.size
    if count > membership.most_sources(sock, family):
        raise os_error(errno.ENOBUFS)
    if len(data) < off + count * size or mode not in (c.MCAST_EXCLUDE, c.MCAST_INCLUDE):
        raise os_error(errno.EINVAL)
    places = range(off, off + count * size, size)
    if size == _STORAGE:
        sources = frozenset(_storage(data, at, family) for at in places)
    else:
        sources = frozenset(_ADDRESS.unpack_from(data, at)[0] for at in places)
    return membership.set_filter(sock, family, *where, Filter(mode == c.MCAST_EXCLUDE, sources))
