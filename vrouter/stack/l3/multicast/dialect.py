"""What IGMP and MLD differ in: addresses, versions, settings, and the judgement of what comes in.

Versions are counted as their documents do: IGMP 1 to 3, MLD 1 and 2. The newest of each knows sources; the one before
it has a message for leaving; IGMPv1 has none.

A message is valid (`Dialect.accepts`) when it

- has a TTL or hop limit of 1, so that no router has passed it on (RFC 3376 4, RFC 3810 5);
- carries a router alert, except of IGMPv1 (RFC 3376 9.1; RFC 3810 6.2, 7.4);
- of MLD: comes from a link-local address, or is a report from ``::`` (RFC 3810 5.1.14, 5.2.13);
- of IGMP: is a query, or a report from ``0.0.0.0`` or from a prefix of the device (RFC 3376 4.2.13, 9.2);
- is no general query to another group than all hosts (RFC 3376 9.1);
- names a group, where it is of one.

Read first: RFC 3376, RFC 3810, RFC 3590.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import (
    ALL_HOSTS4,
    ALL_MLDV2_ROUTERS,
    ALL_NODES6,
    ALL_ROUTERS6,
    MAX6,
    SCOPE_INTERFACE,
    SCOPE_LINK,
    V4,
    V6,
    is_link_local6,
    is_multicast4,
    is_multicast6,
    multicast_scope6,
)
from vrouter.stack.base.packet import ROUTER_ALERT, Packet
from vrouter.stack.l3.ip import USABLE
from vrouter.stack.wire import icmpv6, igmp, mld
from vrouter.stack.wire.ipv4 import PROTO_IGMP
from vrouter.stack.wire.ipv6 import PROTO_ICMPV6
from vrouter.stack.wire.membership import Query, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.buffer import Buffer

TTL: Final = 1
ALL_ROUTERS4: Final = 0xE0000002
ALL_IGMPV3_ROUTERS: Final = 0xE0000016
_LOCAL_BLOCK4: Final = 0xE00000  # 224.0.0.0/24

Message = Query | Report


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of the two protocols."""

    name: str
    family: int
    proto: int
    newest: int
    lenient: int  # the versions up to this one have no router alert
    types: frozenset[int]  # of its messages
    width: int  # bytes of an address
    overhead: int  # bytes of a packet that are no records
    all_hosts: int
    all_routers: int  # where one leaves
    reports_to: int  # where the newest version reports
    parse: Callable[[Buffer, int, int], Message | None]
    emit: Callable[[Message, int, int], bytearray]
    source: Callable[[Device], int]  # of what is sent by a device; 0: it has no address for it
    forced: Callable[[Device], int]  # the version that a setting wants spoken there; 0: as the queriers speak
    interval: Callable[[Device, bool], int]  # ns within which a report is repeated; True: of the newest version
    is_silent: Callable[[Netns, int], bool]  # a group that is never reported
    is_link_scope: Callable[[int], bool]  # a group that is never forwarded
    trusts: Callable[[Netns, Device, int, Message], bool]  # whether such a message may come from this source

    def is_group(self, address: int) -> bool:
        """Whether it is a group of this family."""
        return is_multicast4(address) if self.family == V4 else is_multicast6(address)

    def accepts(self, ns: Netns, dev: Device, pkt: Packet, message: Message) -> bool:
        """Whether a message that came in by `dev` is to be heard; see the module's text."""
        if pkt.ttl != TTL or (message.version > self.lenient and not pkt.flags & ROUTER_ALERT):
            return False
        if not self.trusts(ns, dev, pkt.src, message):
            return False
        if isinstance(message, Query):
            if not message.group:
                return not message.sources and (pkt.dst == self.all_hosts or not self.is_group(pkt.dst))
            return self.is_group(message.group)
        return message.version == self.newest or self.is_group(message.records[0].group)

    def packet(self, dev: Device, source: int, dst: int, message: Message) -> Packet:
        """`message` as a packet to be sent by `dev`."""
        pkt = Packet.for_payload(self.emit(message, source, dst))
        pkt.family, pkt.proto, pkt.src, pkt.dst = self.family, self.proto, source, dst
        pkt.ttl, pkt.oif = TTL, dev
        pkt.flags |= ROUTER_ALERT
        return pkt


def _emit4(message: Message, source: int, dst: int) -> bytearray:
    return igmp.emit(message)


def _source4(dev: Device) -> int:
    for a in dev.addresses:
        if a.family == V4 and a.state in USABLE:
            return a.address
    return 0


def _source6(dev: Device) -> int:
    """RFC 3810 5.1.14, 5.2.13: a link-local address."""
    for a in dev.addresses:
        if a.family == V6 and a.state in USABLE and is_link_local6(a.address):
            return a.address
    return 0


def _forced4(dev: Device) -> int:
    return dev.conf4.force_igmp_version % 3


def _forced6(dev: Device) -> int:
    return dev.conf6.force_mld_version % 2


def _interval4(dev: Device, newest: bool) -> int:
    conf = dev.conf4
    return conf.igmpv3_unsolicited_report_interval if newest else conf.igmpv2_unsolicited_report_interval


def _interval6(dev: Device, newest: bool) -> int:
    conf = dev.conf6
    return conf.mldv2_unsolicited_report_interval if newest else conf.mldv1_unsolicited_report_interval


def _is_link_scope4(group: int) -> bool:
    return group >> 8 == _LOCAL_BLOCK4


def _is_link_scope6(group: int) -> bool:
    return multicast_scope6(group) <= SCOPE_LINK


def _is_silent4(ns: Netns, group: int) -> bool:
    """RFC 2236 6: all hosts; the rest of its block if ``igmp_link_local_mcast_reports`` says so."""
    return group == ALL_HOSTS4 or (group >> 8 == _LOCAL_BLOCK4 and not ns.conf.igmp_link_local_mcast_reports)


def _is_silent6(ns: Netns, group: int) -> bool:
    """RFC 3810 6: all nodes, and what does not leave the node."""
    return group == ALL_NODES6 or multicast_scope6(group) <= SCOPE_INTERFACE


def _trusts4(ns: Netns, dev: Device, source: int, message: Message) -> bool:
    return isinstance(message, Query) or not source or ns.ip4.on_link(dev, source)


def _trusts6(ns: Netns, dev: Device, source: int, message: Message) -> bool:
    return is_link_local6(source) or (not source & MAX6 and isinstance(message, Report))


IGMP: Final = Dialect(
    name="IGMP",
    family=V4,
    proto=PROTO_IGMP,
    newest=3,
    lenient=1,
    types=frozenset(range(256)),  # all that is of its protocol
    width=4,
    overhead=20 + 4 + 8,
    all_hosts=ALL_HOSTS4,
    all_routers=ALL_ROUTERS4,
    reports_to=ALL_IGMPV3_ROUTERS,
    parse=igmp.parse,
    emit=_emit4,
    source=_source4,
    forced=_forced4,
    interval=_interval4,
    is_silent=_is_silent4,
    is_link_scope=_is_link_scope4,
    trusts=_trusts4,
)
MLD: Final = Dialect(
    name="MLD",
    family=V6,
    proto=PROTO_ICMPV6,
    newest=2,
    lenient=0,
    types=frozenset((icmpv6.MLD_QUERY, icmpv6.MLD_REPORT, icmpv6.MLD_DONE, icmpv6.MLDV2_REPORT)),
    width=16,
    overhead=40 + 8 + 8,
    all_hosts=ALL_NODES6,
    all_routers=ALL_ROUTERS6,
    reports_to=ALL_MLDV2_ROUTERS,
    parse=mld.parse,
    emit=mld.emit,
    source=_source6,
    forced=_forced6,
    interval=_interval6,
    is_silent=_is_silent6,
    is_link_scope=_is_link_scope6,
    trusts=_trusts6,
)
DIALECTS: Final = {V4: IGMP, V6: MLD}
