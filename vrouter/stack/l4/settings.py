"""How a socket sends and receives in one IP family: what setsockopt(2) sets at the family's own level.

An AF_INET socket has one of these. An AF_INET6 socket has two, since it may speak IPv4 by IPv4-mapped addresses
(RFC 3493 3.7): what is set at SOL_IP holds for those, what is set at SOL_IPV6 for IPv6, as in Linux.
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

    __slots__ = ("device", "mtu_discover", "multicast", "options", "tos", "ttl")

    def __init__(self) -> None:
        self.options = AUTOFLOWLABEL
        self.ttl = -1
        self.tos = 0
        self.mtu_discover = IP_PMTUDISC_WANT
        self.device: Device | None = None
        self.multicast: Multicast | None = None
