"""How a socket sends and receives in one IP family: what setsockopt(2) sets at the family's own level.

An AF_INET socket has one of these. An AF_INET6 socket has two, since it may speak IPv4 by IPv4-mapped addresses
(RFC 3493 3.7): what is set at SOL_IP holds for those, what is set at SOL_IPV6 for IPv6, as in Linux.

Most sockets never set anything: they all have their namespace's first ones (`Netns.first_settings`), and an accepted
connection has what its listener has. What is shared is never written to; `Endpoint.own_settings` gives a socket a copy
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.l4.constants import AUTOFLOWLABEL, IP_PMTUDISC_WANT

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.membership import Multicast


class Settings:
    """``ttl`` (hop limit) -1 is the default of route and namespace; ``tos`` is the traffic class; ``device`` is where
    unicast goes out (IP_UNICAST_IF)."""

    __slots__ = ("device", "mtu_discover", "multicast", "options", "shared", "tos", "ttl")

    def __init__(self, mtu_discover: int = IP_PMTUDISC_WANT) -> None:
        self.options = AUTOFLOWLABEL
        self.ttl = -1
        self.tos = 0
        self.mtu_discover = mtu_discover
        self.device: Device | None = None
        self.multicast: Multicast | None = None
        self.shared = True

    def copy(self) -> Settings:
        """The same for one socket alone, but for groups: memberships are each socket's own."""
        own = Settings(self.mtu_discover)
        own.options, own.ttl, own.tos, own.device = self.options, self.ttl, self.tos, self.device
        own.shared = False
        return own

    def inherited(self) -> Settings:
        """The same for an accepted connection, too."""
        if self.multicast is not None:
            return self.copy()
        self.shared = True
        return self
