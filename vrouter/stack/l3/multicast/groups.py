"""What one namespace knows of multicast groups beyond its sockets' memberships: one table for both families.

The pipeline brings the changes of memberships (`changed`), the messages that came in (`input`) and the packets that are
nobody's here or perhaps also somebody else's (`ways`); it takes what is to be done from ``actions``, in order:

- ``("message", pkt)``: send this message of IGMP or MLD;
- ``("want", dev, family, group, before, after)``: the filter of a membership of the stack's own is another one; None
  is no membership.

``waiting`` are those who would speak at a device as soon as it has an address for it (`look_for_sources`), ``dirty``
the (family, group) whose listeners changed and that `update_proxy` has yet to look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import MAX6, V4, is_link_local4, is_link_local6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import ROUTER_ALERT
from vrouter.stack.base.timers import TimerKind
from vrouter.stack.l3.multicast.dialect import DIALECTS
from vrouter.stack.l3.multicast.host import Speaker
from vrouter.stack.l3.multicast.mroute import MulticastRoutes
from vrouter.stack.l3.multicast.querier import Querier
from vrouter.stack.wire.membership import Query

if TYPE_CHECKING:
    from collections.abc import Callable

    from vrouter.stack.base.group_filter import Filter
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l3.multicast.mdns import MdnsReflector
    from vrouter.stack.l3.multicast.proxy import Proxy
    from vrouter.stack.netns import Netns

_INVALID: Final = int(DropReason.MEMBERSHIP_INVALID)
_RPFILTER: Final = int(DropReason.IP_RPFILTER)
_NO_INTEREST: Final = int(DropReason.MCAST_NO_INTEREST)
_LINK_LOCAL: Final = int(DropReason.FORWARD_LINK_LOCAL)
_INVALID_SOURCE: Final = int(DropReason.IP_INVALID_SOURCE)
_TTL_EXPIRED: Final = int(DropReason.TTL_EXPIRED)

Ways = list[Any]  # of Device and Crossing


class GroupTables:
    """Speakers, queriers, and what is forwarded."""

    __slots__ = ("actions", "dirty", "held", "mdns", "ns", "proxy", "queriers", "routes", "speakers", "waiting")

    def __init__(self, ns: Netns) -> None:
        self.ns = ns
        self.actions: list[tuple[Any, ...]] = []
        self.speakers: dict[tuple[Device, int], Speaker] = {}  # by device and family
        self.queriers: dict[tuple[Device, int], Querier] = {}
        self.waiting: dict[Speaker | Querier, None] = {}
        self.dirty: dict[tuple[int, int], None] = {}
        self.held: dict[tuple[int, Device], int] = {}  # (group, device) -> memberships that are there for forwarding
        self.routes = MulticastRoutes()
        self.proxy: Proxy | None = None
        self.mdns: MdnsReflector | None = None

    @property
    def pending(self) -> bool:
        """Whether the pipeline has something to do here."""
        return bool(self.actions or self.dirty or self.waiting)

    def send(self, pkt: Packet) -> None:
        """Have a message sent."""
        self.actions.append(("message", pkt))

    def take_actions(self) -> list[tuple[Any, ...]]:
        """What is to be done since the last call, in order."""
        actions, self.actions = self.actions, []
        return actions

    def hold(self, dev: Device, group: int, more: int) -> None:
        """One more (1) or less (-1) of the memberships of a group is there for forwarding alone."""
        count = self.held.pop((group, dev), 0) + more
        if count:
            self.held[group, dev] = count

    # -- the host's side ------------------------------------------------------------------------------------------

    def speaker(self, dev: Device, family: int) -> Speaker:
        """Who speaks at `dev` for a family, made if need be."""
        key = dev, family
        found = self.speakers.get(key)
        if found is None:
            found = self.speakers[key] = Speaker(self, dev, DIALECTS[family])
        return found

    def changed(self, changes: list[tuple[Device, int, int, Filter | None, Filter | None]], now: int) -> None:
        """Memberships have changed: (device, family, group, filter before, after)."""
        told: dict[Speaker, None] = {}
        for dev, family, group, before, after in changes:
            if dev.kind != "lo" and not dev.removed and dev.ns is self.ns:
                speaker = self.speaker(dev, family)
                speaker.changed(group, before, after, now)
                told[speaker] = None
        for speaker in told:
            speaker.flush(now)

    def input(self, dev: Device, pkt: Packet, now: int) -> int:
        """A message of IGMP or MLD came in by `dev`, whose ICMPv6 checksum was right: 0, or why it is not heard."""
        dialect = DIALECTS[pkt.family]
        message = dialect.parse(pkt.buf, pkt.l4, pkt.end)
        if message is None or not dialect.accepts(self.ns, dev, pkt, message):
            return _INVALID
        if pkt.src & MAX6 and self.ns.ip(pkt.family).is_local(pkt.src):
            return 0  # an echo of our own
        key = dev, pkt.family
        querier = self.queriers.get(key)
        if isinstance(message, Query):
            self.speaker(dev, pkt.family).query(message, now)
            if querier is not None:
                querier.query(message, pkt.src, now)
        else:
            speaker = self.speakers.get(key)
            if speaker is not None:
                speaker.heard(message, now)
            if querier is not None:
                querier.report(message, pkt.src, now)
        return 0

    # -- what becomes of devices ------------------------------------------------------------------------------------

    def device_down(self, dev: Device) -> None:
        """The device is not ready any more."""
        for family in DIALECTS:
            for one in (self.speakers.get((dev, family)), self.queriers.get((dev, family))):
                if isinstance(one, Speaker):
                    one.down()
                elif one is not None:
                    one.stop()
                if one is not None:
                    self.waiting.pop(one, None)

    def device_up(self, dev: Device, now: int) -> None:
        """The device is ready: hosts tell their groups again, queriers begin."""
        for family in DIALECTS:
            speaker, querier = self.speakers.get((dev, family)), self.queriers.get((dev, family))
            if speaker is not None:
                speaker.tell_all(now)
            if querier is not None:
                querier.start(now)

    def device_removed(self, dev: Device) -> None:
        """The device is no more in this namespace. (What is configured about it is taken out by who configured it.)"""
        self.device_down(dev)
        for family in DIALECTS:
            self.speakers.pop((dev, family), None)
            self.queriers.pop((dev, family), None)

    def look_for_sources(self, now: int) -> None:
        """Let those who waited for an address speak, if they have one now (RFC 3590 4)."""
        for one in [one for one in self.waiting if one.dev.ready and one.dialect.source(one.dev) & MAX6]:
            self.waiting.pop(one)
            if isinstance(one, Speaker):
                one.tell_all(now)
            else:
                one.start(now)

    def update_proxy(self) -> None:
        """What changed downstream is asked for upstream."""
        dirty, self.dirty = self.dirty, {}
        proxy = self.proxy
        for family, group in dirty if proxy is not None else ():
            assert proxy is not None
            change = proxy.update(family, group, self.queriers)
            if change is not None:
                self.actions.append(("want", proxy.upstream, *change))

    # -- the data path --------------------------------------------------------------------------------------------

    @staticmethod
    def is_message(pkt: Packet) -> bool:
        """Whether a packet to a group may be a message of IGMP or MLD, whose sender no filter of sources is about."""
        dialect = DIALECTS[pkt.family]
        if pkt.proto != dialect.proto or pkt.l4 >= pkt.end or pkt.buf[pkt.l4] not in dialect.types:
            return False
        return bool(pkt.flags & ROUTER_ALERT) or pkt.family == V4

    def hears(self, pkt: Packet) -> bool:
        """Whether such a message to any group is for the querier at its device (RFC 3376 6, RFC 2711)."""
        return (pkt.iif, pkt.family) in self.queriers

    def ways(self, pkt: Packet, now: int) -> tuple[int, Ways]:
        """(0, by which devices and crossings a packet goes on), or (why by none, [])."""
        src, dst = pkt.src, pkt.dst
        if DIALECTS[pkt.family].is_link_scope(dst):
            return _NO_INTEREST, []
        route = self.routes.find(dst, src)
        ways: Ways
        if route is not None:
            if not route.comes_by(pkt.iif):
                route.wrong += 1
                return _RPFILTER, []
            reason = _unfit(pkt)
            if reason:
                return reason, []
            ways = [way for way, threshold in route.ways if pkt.ttl > threshold]
            if not ways:
                return _TTL_EXPIRED, []
            route.packets += 1
            route.bytes += pkt.end - pkt.start
            return 0, ways
        if self.proxy is not None:
            ways = list(self.proxy.ways(pkt, self.queriers, now))
            if ways:
                reason = _unfit(pkt)
                if reason:
                    return reason, []
                self.proxy.packets += 1
                return 0, ways
        return _NO_INTEREST, []


def _unfit(pkt: Packet) -> int:
    """Why a packet that somebody wants is not forwarded all the same; 0 when it is."""
    src = pkt.src
    if not src:
        return _INVALID_SOURCE
    if is_link_local4(src) if pkt.family == V4 else is_link_local6(src):
        return _LINK_LOCAL
    return 0 if pkt.ttl > 1 else _TTL_EXPIRED


def _report_due(speaker: Speaker, now: int) -> Netns:
    speaker.timer_fired(now)
    return speaker.tables.ns


def _query_due(querier: Querier, now: int) -> Netns:
    querier.timer_fired(now)
    return querier.tables.ns


MULTICAST_TIMERS: Final[dict[int, Callable[[Any, int], Netns]]] = {
    TimerKind.GROUP_REPORT: _report_due,
    TimerKind.GROUP_QUERY: _query_due,
}
