"""Groups: what sockets joined, what they want of whom, and what that comes to at each device.

A socket's membership is of (group, device), with a filter: in EXCLUDE mode it hears all sources but those listed, in
INCLUDE mode those alone (RFC 3678 3). The filters of all memberships of a (group, device) merge into the state that
IGMPv3 and MLDv2 report (RFC 3376 3.2, RFC 3810 4.2): ``ns.memberships``. Each change of it is appended to
``ns.group_changes`` as (device, family, group, state before, state after), None standing for no membership; who speaks
IGMP and MLD takes them from there. Addresses in it are the stack's: link-local sources carry their zone.

A membership counts the group's MAC address in ``device.groups``, so that its frames pass the device's filter. The stack
itself joins groups too, by `hold` (an address's solicited-node group for instance).

Bounds, per socket: ``net.ipv4.igmp_max_memberships`` groups, of IPv6 `MAX_MEMBERSHIPS6`; ``igmp_max_msf`` and
``mld_max_msf`` sources of each.

Deviation: in Linux an IPv6 socket's membership counts wherever a datagram comes in; here at its own device alone, for
both families, as RFC 3678 3 says.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vrouter.stack.base.addresses import (
    ALL_HOSTS4,
    ALL_NODES6,
    ALL_NODES_OF_HOST6,
    V4,
    V6,
    is_multicast4,
    is_multicast6,
    scoped,
)
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.group_filter import EVERYBODY, Filter
from vrouter.stack.wire.ethernet import multicast_mac4, multicast_mac6

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns
    from vrouter.stack.netns.tables import Tables

MAX_MEMBERSHIPS6: Final = 2340  # what Linux's net.core.optmem_max leaves room for
IS_GROUP: Final[dict[int, Callable[[int], bool]]] = {V4: is_multicast4, V6: is_multicast6}
MAC_OF: Final[dict[int, Callable[[int], bytes]]] = {V4: multicast_mac4, V6: multicast_mac6}
# Every host is a member of these, without having joined and without saying so.
OF_ALL: Final = frozenset((ALL_HOSTS4, ALL_NODES6, ALL_NODES_OF_HOST6))


GroupChange: TypeAlias = "tuple[Device, int, int, Filter | None, Filter | None]"  # device, family, group, before, after


class InterfaceState:
    """What all memberships of a (group, device) come to: ``state`` is the merged filter.

    It is kept as counts, so that who comes and goes costs what his own list of sources is long, not how many others
    there are; only a merged list is worked out anew.
    """

    __slots__ = ("_counts", "_excluding", "members", "state")

    def __init__(self) -> None:
        self.members = 0
        self.state = EVERYBODY
        self._excluding = 0
        self._counts: dict[int, list[int]] = {}  # source -> how many include it, how many exclude it

    def __repr__(self) -> str:
        return f"<InterfaceState of {self.members}: {self.state}>"

    def count(self, one: Filter, more: int) -> None:
        """Take a member's filter in (`more` 1) or out (-1)."""
        self.members += more
        self._excluding += more if one.exclude else 0
        for source in one.sources:
            counts = self._counts.setdefault(source, [0, 0])
            counts[one.exclude] += more
            if counts == [0, 0]:
                del self._counts[source]

    def merge(self) -> Filter:
        """RFC 3376 3.2: if anybody excludes, what all who exclude do and nobody includes; else all that is included."""
        counts, excluding = self._counts, self._excluding
        if excluding:
            if not counts:
                return EVERYBODY
            return Filter(True, frozenset(s for s, (ins, outs) in counts.items() if outs == excluding and not ins))
        return Filter(False, frozenset(counts))


class Membership:
    """One socket's membership: ``address`` is the interface's as it was given, 0 when it was not."""

    __slots__ = ("address", "dev", "filter", "group")

    def __init__(self, group: int, dev: Device, address: int, wanted: Filter) -> None:
        self.group = group
        self.dev = dev
        self.address = address
        self.filter = wanted


class Multicast:
    """Multicast settings of a socket in one family, when it has any (RFC 1112 6.1, RFC 3493 5.2)."""

    __slots__ = ("address", "all", "device", "joined", "loop", "ttl")

    def __init__(self) -> None:
        self.ttl = 1
        self.loop = True
        self.all = True  # Linux's IP_MULTICAST_ALL: groups that others here joined are welcome, too
        self.address = 0
        self.device: Device | None = None
        self.joined: dict[tuple[int, Device], Membership] = {}

    def wants(self, group: int, iif: Any, src: int) -> bool:
        """Whether a datagram to `group` from `src` by `iif` is for the socket (Linux's ip_mc_sf_allow). Who is told of
        a broadcast is not asked."""
        own = self.joined.get((group, iif))
        return self.all if own is None else own.filter.admits(src)


def is_member(ns: Tables, group: int, iif: Any, src: int = -1) -> bool:
    """Whether somebody in `ns` listens to `group` at `iif`, and to what `src` says there (-1: to anybody).

    A device's filter knows groups by MAC address, which many of them share (RFC 1112 6.4, RFC 2464 7); this knows them
    exactly.
    """
    if group in OF_ALL:
        return True
    entry = ns.memberships.get((group, iif))
    return entry is not None and (src < 0 or entry.state.admits(src))


def replace_filter(ns: Tables, family: int, group: int, dev: Device, old: Filter | None, new: Filter | None) -> None:
    """A member's filter is another one: None is no membership. Who is no socket (a proxy for instance) is a member by
    this alone, and remembers what it asked for."""
    key, mac = (group, dev), MAC_OF[family](group)
    entry = ns.memberships.get(key)
    before = None if entry is None else entry.state
    if entry is None:
        entry = ns.memberships[key] = InterfaceState()
    if old is not None:
        entry.count(old, -1)
        dev.groups[mac] -= 1
    if new is not None:
        entry.count(new, 1)
        dev.groups[mac] = dev.groups.get(mac, 0) + 1
    after: Filter | None = None
    if entry.members:
        after = entry.state = entry.merge()
    else:
        del ns.memberships[key]
    if not dev.groups[mac]:
        del dev.groups[mac]
    if before != after:
        ns.group_changes.append((dev, family, group, before, after))


def hold(ns: Tables, family: int, group: int, dev: Device) -> None:
    """The stack itself listens to `group` at `dev`, once more; `release` ends it."""
    replace_filter(ns, family, group, dev, None, EVERYBODY)


def release(ns: Tables, family: int, group: int, dev: Device) -> None:
    """The end of one `hold`."""
    replace_filter(ns, family, group, dev, EVERYBODY, None)


# -- what sockets ask for ---------------------------------------------------------------------------------------------


def settings(sock: Socket, family: int) -> Multicast:
    """The socket's multicast settings in a family, made when it has none."""
    own = sock.own_settings(family)
    if own.multicast is None:
        own.multicast = Multicast()
        sock.ns.multicasters[sock] = None
    return own.multicast


def join(sock: Socket, family: int, group: int, address: int, ifindex: int, wanted: Filter = EVERYBODY) -> None:
    """Become a member. OSError EINVAL, ENODEV, EADDRINUSE (joined already), ENOBUFS or ENOMEM (too many)."""
    dev = _device(sock, family, group, address, ifindex)
    own = settings(sock, family)
    if (group, dev) in own.joined:
        raise os_error(errno.EADDRINUSE)
    _enter(sock, family, own, Membership(group, dev, address, wanted))


def _enter(sock: Socket, family: int, own: Multicast, membership: Membership) -> None:
    if family == V4 and len(own.joined) >= sock.ns.conf.igmp_max_memberships:
        raise os_error(errno.ENOBUFS)
    if len(own.joined) >= MAX_MEMBERSHIPS6:
        raise os_error(errno.ENOMEM)
    own.joined[membership.group, membership.dev] = membership
    replace_filter(sock.ns, family, membership.group, membership.dev, None, membership.filter)


def leave(sock: Socket, family: int, group: int, address: int, ifindex: int) -> None:
    """End the first membership that fits. OSError EINVAL, ENODEV, EADDRNOTAVAIL (not joined)."""
    if family == V4 and not ifindex and not address and find_device(sock, V4, group, 0, 0) is None:
        raise os_error(errno.ENODEV)
    if family == V6 and not is_multicast6(group):
        raise os_error(errno.EINVAL)
    own = sock.settings_of(family).multicast
    for (g, dev), membership in {} if own is None else own.joined.items():
        if g == group and (dev.ifindex == ifindex if ifindex else not address or membership.address == address):
            _forget(sock, family, membership)
            return
    raise os_error(errno.EADDRNOTAVAIL)


def change_source(
    sock: Socket, family: int, group: int, address: int, ifindex: int, source: int, *, exclude: bool, add: bool
) -> None:
    """One source more or less: block and unblock (`exclude`), or join and leave it (RFC 3678 4.1.1, 4.1.2; Linux's
    ip_mc_source). A filter without sources takes either mode; the last source that is left ends the membership.

    OSError EINVAL (no member, or of the other mode), ENODEV, EADDRNOTAVAIL (there already, or not there), ENOBUFS.
    """
    dev = _device(sock, family, group, address, ifindex)
    source = scoped(source, dev.ifindex) if family == V6 else source
    own = settings(sock, family)
    membership = own.joined.get((group, dev))
    if membership is None:
        if exclude or not add:
            raise os_error(errno.EINVAL)
        _enter(sock, family, own, Membership(group, dev, address, Filter(False, frozenset((source,)))))
        return
    old = membership.filter
    if old.sources and old.exclude != exclude:
        raise os_error(errno.EINVAL)
    if (source in old.sources) == add:
        raise os_error(errno.EADDRNOTAVAIL)
    if add and len(old.sources) >= most_sources(sock, family):
        raise os_error(errno.ENOBUFS)
    sources = old.sources | {source} if add else old.sources - {source}
    if not sources and not exclude:
        _forget(sock, family, membership)
    else:
        _replace(sock, family, membership, Filter(exclude, sources))


def set_filter(sock: Socket, family: int, group: int, address: int, ifindex: int, wanted: Filter) -> None:
    """Replace the whole filter of a membership (RFC 3678 4.1.3); to include nobody is to leave.

    OSError EINVAL (no member), ENODEV, EADDRNOTAVAIL (no member that could leave).
    """
    dev = _device(sock, family, group, address, ifindex)
    if not wanted.exclude and not wanted.sources:
        return leave(sock, family, group, address, ifindex)
    own = sock.settings_of(family).multicast
    membership = None if own is None else own.joined.get((group, dev))
    if membership is None:
        raise os_error(errno.EINVAL)
    if family == V6:
        wanted = Filter(wanted.exclude, frozenset(scoped(source, dev.ifindex) for source in wanted.sources))
    return _replace(sock, family, membership, wanted)


def most_sources(sock: Socket, family: int) -> int:
    """How many sources a filter may list."""
    return sock.ns.conf.of(family).max_msf


def _replace(sock: Socket, family: int, membership: Membership, wanted: Filter) -> None:
    old, membership.filter = membership.filter, wanted
    replace_filter(sock.ns, family, membership.group, membership.dev, old, wanted)


def leave_all(sock: Socket, dev: Device | None = None) -> None:
    """Give up the memberships at `dev`, or all: the device goes away, or the socket does."""
    for family in (V4, V6):
        own = sock.settings_of(family).multicast
        if own is None or (family == V6 and own is sock.settings4.multicast):
            continue
        for membership in list(own.joined.values()):
            if dev is None or membership.dev is dev:
                _forget(sock, family, membership)
        if own.device is dev:
            own.device, own.address = None, 0
    if dev is None:
        sock.ns.multicasters.pop(sock, None)


def _forget(sock: Socket, family: int, membership: Membership) -> None:
    own = sock.settings_of(family).multicast
    assert own is not None
    del own.joined[membership.group, membership.dev]
    replace_filter(sock.ns, family, membership.group, membership.dev, membership.filter, None)


def _device(sock: Socket, family: int, group: int, address: int, ifindex: int) -> Device:
    if not IS_GROUP[family](group):
        raise os_error(errno.EINVAL)
    dev = find_device(sock, family, group, address, ifindex)
    if dev is None:
        raise os_error(errno.ENODEV)
    return dev


def find_device(sock: Socket, family: int, group: int, address: int, ifindex: int) -> Device | None:
    """The device that a request names: by index, by one of its addresses, else the one that the route takes."""
    ns: Netns = sock.ns
    if ifindex:
        return next((dev for dev in ns.devices.values() if dev.ifindex == ifindex), None)
    if address:
        owner = ns.ip(family).owner(address)
        return None if owner is None else owner.dev
    try:
        return ns.route_output(group, family=family)[0].dev
    except OSError:
        return None
