"""Multicast on a socket: the groups that it joined, and how it sends to groups (RFC 1112 6.1, 7.1).

A membership is of (group, device). Joining counts the group's MAC address in ``device.groups``, so that its frames pass
the device's filter. At most `MAX_MEMBERSHIPS` per socket (Linux's igmp_max_memberships).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import ALL_HOSTS4, is_multicast4
from vrouter.stack.base.errors import os_error
from vrouter.stack.wire.ethernet import multicast_mac4

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns

MAX_MEMBERSHIPS: Final = 20


class Multicast:
    """Multicast settings of a socket that has any; ``joined`` holds (group, device, interface address as given)."""

    __slots__ = ("address", "all", "device", "joined", "loop", "ttl")

    def __init__(self) -> None:
        self.ttl = 1
        self.loop = True
        self.all = True  # Linux's IP_MULTICAST_ALL: groups that others here joined are welcome, too
        self.address = 0
        self.device: Device | None = None
        self.joined: list[tuple[int, Device, int]] = []

    def wants(self, group: int, iif: Any) -> bool:
        """Whether a datagram to `group` from `iif` is for the socket (Linux's ip_mc_sf_allow)."""
        return self.all or not is_multicast4(group) or self.has(group, iif)

    def has(self, group: int, iif: Any) -> bool:
        """Whether the socket joined `group` at `iif`."""
        return any(g == group and d is iif for g, d, _ in self.joined)


def is_member(ns: Netns, group: int, iif: Any) -> bool:
    """Whether somebody in `ns` listens to `group` at `iif`.

    A device's filter knows groups by MAC address, which 32 of them share (RFC 1112 6.4); this knows them exactly.
    """
    return group == ALL_HOSTS4 or (group, iif) in ns.memberships


def settings(sock: Socket) -> Multicast:
    """The socket's multicast settings, made when it has none."""
    if sock.multicast is None:
        sock.multicast = Multicast()
        sock.ns.multicasters[sock] = None
    return sock.multicast


def join(sock: Socket, group: int, address: int, ifindex: int) -> None:
    """IP_ADD_MEMBERSHIP. OSError EINVAL, ENODEV, EADDRINUSE (joined already), ENOBUFS (too many)."""
    if not is_multicast4(group):
        raise os_error(errno.EINVAL)
    dev = find_device(sock, group, address, ifindex)
    if dev is None:
        raise os_error(errno.ENODEV)
    multicast = settings(sock)
    if multicast.has(group, dev):
        raise os_error(errno.EADDRINUSE)
    if len(multicast.joined) >= MAX_MEMBERSHIPS:
        raise os_error(errno.ENOBUFS)
    multicast.joined.append((group, dev, address))
    memberships = sock.ns.memberships
    memberships[group, dev] = memberships.get((group, dev), 0) + 1
    mac = multicast_mac4(group)
    dev.groups[mac] = dev.groups.get(mac, 0) + 1


def leave(sock: Socket, group: int, address: int, ifindex: int) -> None:
    """IP_DROP_MEMBERSHIP. OSError ENODEV, EADDRNOTAVAIL (not joined)."""
    if not ifindex and not address and find_device(sock, group, 0, 0) is None:
        raise os_error(errno.ENODEV)
    for membership in sock.multicast.joined if sock.multicast is not None else ():
        g, dev, given = membership
        if g == group and (dev.ifindex == ifindex if ifindex else not address or given == address):
            _forget(sock, membership)
            return
    raise os_error(errno.EADDRNOTAVAIL)


def leave_all(sock: Socket, dev: Device | None = None) -> None:
    """Give up the memberships at `dev`, or all: the device goes away, or the socket does."""
    if sock.multicast is not None:
        for membership in list(sock.multicast.joined):
            if dev is None or membership[1] is dev:
                _forget(sock, membership)
        if dev is None:
            sock.ns.multicasters.pop(sock, None)


def _forget(sock: Socket, membership: tuple[int, Device, int]) -> None:
    assert sock.multicast is not None
    sock.multicast.joined.remove(membership)
    group, dev, _ = membership
    memberships = sock.ns.memberships
    memberships[group, dev] -= 1
    if not memberships[group, dev]:
        del memberships[group, dev]
    mac = multicast_mac4(group)
    dev.groups[mac] -= 1
    if not dev.groups[mac]:
        del dev.groups[mac]


def find_device(sock: Socket, group: int, address: int, ifindex: int) -> Device | None:
    """The device that an ip_mreqn names: by index, by one of its addresses, else the one that the route takes."""
    ns = sock.ns
    if ifindex:
        return next((dev for dev in ns.devices.values() if dev.ifindex == ifindex), None)
    if address:
        owner = ns.ip4.owner(address)
        return None if owner is None else owner.dev
    try:
        return ns.route_output(group)[0].dev
    except OSError:
        return None
