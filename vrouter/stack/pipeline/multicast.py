"""Multicast on its way: what the group tables want done, messages of IGMP and MLD, and what is forwarded to many.

A packet that goes by n ways was received once and copied n - 1 times, n when somebody here gets it too; each copy then
is forwarded like any packet: TTL, FORWARD, POSTROUTING, MTU. Nobody is told of a TTL that was used up (RFC 1812
4.3.2.7, RFC 4443 2.4 (e)); an IPv6 sender is told of an MTU (RFC 4443 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6, V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import DONT_FRAGMENT, FORWARDED, IP_OPTIONS
from vrouter.stack.crossing import MAX_CROSSINGS, Crossing
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.l3.kinds import TOO_BIG
from vrouter.stack.l3.multicast.mdns import TTL as MDNS_TTL
from vrouter.stack.l3.multicast.mdns import say_again
from vrouter.stack.l3.options import options_output
from vrouter.stack.l4.membership import is_member
from vrouter.stack.pipeline.settling import Settling

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.l3.multicast.groups import GroupTables
    from vrouter.stack.l3.multicast.mdns import MdnsReflector
    from vrouter.stack.netns import Netns

_ORIGINATED: Final = int(Stat.AcctOriginated)
_COPIES: Final = int(Stat.AcctCopies)
_CONSUMED: Final = int(Stat.AcctConsumed)


class Multicast(Settling):
    """What concerns groups beyond one socket's membership."""

    __slots__ = ()

    def settle(self, ns: Netns, now: int) -> None:
        """As below, and what changed of the groups."""
        super().settle(ns, now)
        tables = ns._groups
        if ns.group_changes or (tables is not None and tables.pending):
            self.settle_groups(ns, now)

    def settle_groups(self, ns: Netns, now: int) -> None:
        """Tell changes of memberships, and do what the group tables want done."""
        if ns.closing:
            ns.group_changes.clear()
            return
        tables = ns.groups_state
        while True:
            if ns.group_changes:
                changes, ns.group_changes = ns.group_changes, []
                tables.changed(changes, now)
            if tables.waiting:
                tables.look_for_sources(now)
            if tables.dirty:
                tables.update_proxy()
            actions = tables.take_actions()
            if not actions:
                return
            for action in actions:
                if action[0] == "message":
                    self.originate_message(ns, ns.ip(action[1].family), action[1], now)
                else:
                    _, dev, family, group, before, after = action
                    ns.want(dev, family, group, before, after)

    def membership_input(self, ns: Netns, pkt: Packet, now: int) -> None:
        """A message of IGMP or MLD: heard and consumed."""
        dev = pkt.iif
        if dev is None or dev.kind in ("lo", "crossing"):
            return self.drop(ns, pkt, DropReason.MEMBERSHIP_INVALID)
        reason = ns.groups_state.input(dev, pkt, now)
        if reason:
            return self.drop(ns, pkt, reason)
        ns.stats[_CONSUMED] += 1
        return self.settle(ns, now)

    def relay(self, ns: Netns, ip: IpState, pkt: Packet, tables: GroupTables, member: bool, now: int) -> bool:
        """Forward a group's packet to whom it concerns; whether it is also for us. Otherwise it is gone."""
        held = tables.held.get((pkt.dst, pkt.iif))
        if held is not None:  # who is a member in order to forward reads nothing himself
            member = member and ns.memberships[pkt.dst, pkt.iif].members > held
        if not member and tables.is_message(pkt):
            member = tables.hears(pkt) or is_member(ns, pkt.dst, pkt.iif)
        reason, ways = tables.ways(pkt, now)
        if not ways:
            if not member:
                self.drop(ns, pkt, reason)
            return member
        left = len(ways) + member
        for way in ways:
            left -= 1
            one = pkt
            if left:
                one = pkt.copy()
                ns.stats[_COPIES] += 1
            if isinstance(way, Crossing):
                self.cross_by(ns, ip, one, way, now)
            else:
                self.relay_by(ns, ip, one, way, now)
        return member

    def relay_by(self, ns: Netns, ip: IpState, pkt: Packet, dev: Device, now: int) -> None:
        """Forward one copy by a device (RFC 1812 5.2.1.3)."""
        codec = ip.codec
        mtu = ip.link_mtu(dev)
        if pkt.end - pkt.start > mtu and pkt.flags & DONT_FRAGMENT and pkt.longest() > mtu:
            self.tell(ns, ip, pkt, TOO_BIG, mtu, now)
            ns.stats[codec.frag_fails] += 1
            return self.drop(ns, pkt, DropReason.PKT_TOO_BIG)
        codec.decrement(pkt)
        pkt.oif = dev
        pkt.nexthop = pkt.dst
        pkt.flags |= FORWARDED
        if ns.hooks is not None:
            reason = ns.hooks.run(hook.FORWARD, ns, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
        if pkt.flags & IP_OPTIONS and pkt.family == V4:
            options_output(pkt, ip.select_source(dev, pkt.dst), now, ip.owners)
        ns.stats[codec.forw] += 1
        ns.stats[codec.out_mcasts] += 1
        return self.send(ns, ip, pkt, dev, mtu, now, group=True)

    def reflect(self, ns: Netns, ip: IpState, pkt: Packet, mdns: MdnsReflector, now: int) -> bool:
        """Say a message of multicast DNS again on the other links; whether it was one that is."""
        if not mdns.hears(pkt) or ip.is_local(pkt.src) or pkt.ttl != MDNS_TTL:
            return False
        if pkt.crossings >= MAX_CROSSINGS or not mdns.allows(pkt.iif, now):
            return False
        codec = ip.codec
        for dev in mdns.others(pkt.iif):
            source = ip.select_source(dev, pkt.dst)
            owner = ip.owner(source)
            if not source & MAX6 or owner is None or owner.dev is not dev:
                continue  # no address of its own there: nobody would believe it
            again = say_again(pkt, dev, source)
            again.crossings += 1
            again.nexthop = again.dst
            ns.stats[_ORIGINATED] += 1
            codec.push(ip, again, again.ttl, 0, False, b"")
            ns.stats[codec.out_requests] += 1
            ns.stats[codec.out_mcasts] += 1
            if ns.hooks is not None:
                reason = ns.hooks.run(hook.OUTPUT, ns, again, now)
                if reason:
                    self.drop(ns, again, reason)
                    continue
            self.send(ns, ip, again, dev, ip.link_mtu(dev), now, group=True)
        return True
