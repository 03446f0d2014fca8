"""The ends of a socket: whose it is, where it receives, whom it is connected to, and the tables that it stands in.

An AF_INET6 socket's ends are of one family at a time, ``at``: IPv6, or IPv4 once it is bound or connected to an
IPv4-mapped address (RFC 3493 3.7). While it is bound to no address, and not by IPV6_V6ONLY kept from it, it stands in
the tables of both families (RFC 3493 5.3).

The calls, their order of checks and their errors are Linux's (inet_bind, inet6_bind). What connecting means is the
matter of `datagram` and of `tcp.socket`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from vrouter.stack.base.addresses import V4, V6, format_address, ipv4_mapped, is_multicast4, is_multicast6, scoped
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.names import Name, Target, format_name, needs_zone, parse_name

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.demux import SocketTable
    from vrouter.stack.l4.settings import Settings
    from vrouter.stack.netns import Netns


class Endpoint:
    """``local``/``port`` is where it receives, ``source`` the address it sends from, ``peer``/``peer_port`` whom it is
    connected to, ints of family ``at``; 0 means not set."""

    __slots__ = (
        "_locks",
        "at",
        "closed",
        "device",
        "family",
        "local",
        "mark",
        "ns",
        "options",
        "peer",
        "peer_port",
        "port",
        "settings",
        "settings4",
        "source",
        "table",
        "tables",
    )

    def __init__(self, ns: Netns, family: int, table: SocketTable[Any]) -> None:
        self.ns = ns
        self.family = family
        self.table = table
        self.tables: tuple[SocketTable[Any], ...] = ()  # where it is entered
        self.options = table.initial_options
        self.settings = ns.first_settings(c.IP_PMTUDISC_WANT)
        self.settings4 = ns.first_settings(c.IP_PMTUDISC_DONT) if ns.conf.ip_no_pmtu_disc else self.settings
        if family == c.AF_INET:
            self.at, self.settings = V4, self.settings4
        else:
            self.at = V6
            if ns.conf.bindv6only:
                self.options |= c.V6ONLY
        self.local = self.source = self.port = self.peer = self.peer_port = self.mark = self._locks = 0
        self.device: Device | None = None
        self.closed = False

    def _begin(self, now: int | None) -> int:
        """Every call begins so: it is `now`, and the socket must be open."""
        now = self.ns.stack.advance(now)
        if self.closed:
            raise os_error(errno.EBADF)
        return now

    def settings_of(self, family: int) -> Settings:
        """Its settings for what it sends and receives in a family."""
        return self.settings4 if family == V4 else self.settings

    def own_settings(self, family: int) -> Settings:
        """The same to write to: from now on they are this socket's alone."""
        settings = self.settings_of(family)
        if settings.shared:
            settings = settings.copy()
            if family == V4:
                self.settings4 = settings
            if family == V6 or self.family == c.AF_INET:
                self.settings = settings
        return settings

    @property
    def is_bound(self) -> bool:
        """Whether bind(2) gave it an address."""
        return self._locks & c.LOCK_ADDRESS != 0

    def bind(self, address: Name, *, now: int | None = None) -> None:
        """Receive at `address`; port 0 is a free one.

        OSError EINVAL (bound already; link-local without a zone; IPv4 though IPv6 alone), EADDRINUSE, EADDRNOTAVAIL,
        ENODEV (no such zone).
        """
        self._begin(now)
        target = parse_name(self, address, "bind")
        if self.family == c.AF_INET6:
            self._check_unbound()
            target = self._zoned(target)
        at, local, port = target.family, target.address, target.port
        self._check_local(at, local)
        self._check_unbound()
        tables = self._tables_for(at, local)
        if port:
            if any(table.conflicts(self, local, port) for table in tables):
                raise os_error(errno.EADDRINUSE)
            self._locks |= c.LOCK_PORT
        elif not self.options & c.NO_PORT:
            port = tables[0].choose_port(self, local, None, tables[1:])
            if not port:
                raise os_error(errno.EADDRINUSE)
        if local or at != self.at:
            self._locks |= c.LOCK_ADDRESS
        self.at, self.local, self.port = at, local, port
        self.source = 0 if self._is_shared(at, local) else local
        if port:
            self._stand()

    def _check_unbound(self) -> None:
        if self.port or self.peer:
            raise os_error(errno.EINVAL)

    def _zoned(self, target: Target) -> Target:
        """A local address with its zone; the device of the zone is the socket's from then on, as in Linux."""
        if target.family == V4:
            if self.options & c.V6ONLY:
                raise os_error(errno.EINVAL)
            if not self.table.both:
                raise os_error(errno.EINVAL)
            return target
        if not needs_zone(target.address):
            return target
        if target.zone:
            if target.device is None:
                raise os_error(errno.ENODEV)
            self.device = target.device
        if self.device is None:
            raise os_error(errno.EINVAL)
        return target._replace(address=scoped(target.address, self.device.ifindex))

    def _is_shared(self, at: int, local: int) -> bool:
        """Whether an address is a group's, or everybody's."""
        return is_multicast6(local) if at == V6 else is_multicast4(local) or self.ns.ip4.is_broadcast(local)

    def _check_local(self, at: int, local: int) -> None:
        if not local:
            return
        if self._is_shared(at, local):
            if at not in self.table.groups:
                raise os_error(errno.EADDRNOTAVAIL if at == V4 else errno.EINVAL)
        elif not self.options & c.FREEBIND and not self.ns.ip(at).is_local(local):
            raise os_error(errno.EADDRNOTAVAIL)

    def _tables_for(self, at: int, local: int) -> tuple[SocketTable[Any], ...]:
        table = self.table
        if self.family == c.AF_INET:
            return (table,)
        if at == V4:
            return (table.of_ipv4,)
        return (table,) if local or self.options & c.V6ONLY or not table.both else (table, table.of_ipv4)

    def _stand(self) -> None:
        """Enter the tables that it belongs in."""
        self.tables = self._tables_for(self.at, self.local)
        for table in self.tables:
            table.insert(self)

    def _leave(self) -> None:
        for table in self.tables:
            table.remove(self)
        self.tables = ()

    def changed(self) -> None:
        """Its peer or its device is another one."""
        for table in self.tables:
            table.changed(self)

    def device_towards(self, target: Target) -> Device:
        """The device of a peer's zone, to which the socket is bound from then on (Linux's __ip6_datagram_connect)."""
        device = self.device
        if target.zone:
            if target.device is None:
                raise os_error(errno.ENETUNREACH)
            if device is not None and device is not target.device:
                raise os_error(errno.EINVAL)
            return target.device
        if device is None and is_multicast6(target.address) and self.settings.multicast is not None:
            device = self.settings.multicast.device
        if device is None:
            raise os_error(errno.EINVAL)
        return device

    def _bind_any(self, peer: tuple[int, int] | None, none_left: int = errno.EAGAIN) -> None:
        tables = self._tables_for(self.at, self.local)
        port = tables[0].choose_port(self, self.local, peer, tables[1:])
        if not port:
            raise os_error(none_left)
        self.port = port
        self._stand()

    def getsockname(self, *, now: int | None = None) -> Name:
        """The address and port of this end; zeros while there are none."""
        self._begin(now)
        return self._name(self.local or self.source, self.port)

    def getpeername(self, *, now: int | None = None) -> Name:
        """The address and port of the other end; OSError ENOTCONN."""
        self._begin(now)
        if not self.peer or not self.peer_port:
            raise os_error(errno.ENOTCONN)
        return self._name(self.peer, self.peer_port)

    def _name(self, address: int, port: int) -> Name:
        zone = 0 if self.device is None else self.device.ifindex
        return format_name(self, self.at, address, port, zone)

    @property
    def bound_device(self) -> Device | None:
        """The device that it is bound to, while that is still here: one that has moved is nobody's business."""
        dev = self.device
        return dev if dev is not None and not dev.removed and dev.ns is self.ns else None

    @property
    def state_name(self) -> str:
        """ss(8)'s word for its state."""
        return "ESTAB" if self.peer else "UNCONN"

    def ends(self) -> dict[str, Any]:
        """Both ends as ss(8) writes them: ``*`` is any address of both families, zone and device stand behind ``%``."""
        dev = self.bound_device
        local = self._text(self.local) + (f"%{dev.name}" if dev is not None else "")
        anybody = "0.0.0.0" if self.family == c.AF_INET else "[::]" if self.options & c.V6ONLY else "*"
        return {
            "state": self.state_name,
            "local": f"{local}:{self.port}",
            "peer": f"{self._text(self.peer)}:{self.peer_port}" if self.peer else f"{anybody}:*",
        }

    def _text(self, address: int) -> str:
        if self.family == c.AF_INET:
            return format_address(address)
        if self.at == V6 and not address and not self.options & c.V6ONLY:
            return "*"
        return f"[{format_address(ipv4_mapped(address) if self.at == V4 else address, V6)}]"
