"""IGMP and MLD snooping: which ports of a bridge want which groups (RFC 4541).

Nothing is restricted until somebody asks for members: once a querier was heard (or this bridge is one) and its hosts
had time to answer, a group's frames go to the ports that reported it and to those with a router behind them.
`targets` says which, or None for all. Until then, and always where nobody can know, frames are flooded:

- 224.0.0.0/24 and ff02::1 (RFC 4541 2.1.2 (2), 3), and every link-scope group that nobody reported;
- what is no IPv4 or IPv6, or stands behind a second tag.

Reports go to router ports alone (2.1.1 (1)), queries to all. A router port is one by which a query with a source, or a
PIM hello came (2.1.1 (1) b), or one configured as such. A group without members goes to router ports alone (2.1.2 (3)).

Bounds: `MAX_GROUPS` groups of all VLANs, `MAX_PORT_GROUPS` reported at one port. A port whose report finds no room gets
every group's frames for as long as the report would have held: a stranger gains noise, and nobody loses a stream. Who
leaves is asked about at most `MAX_QUESTIONS` times a second in all; past that a membership runs out by its time.

Messages are told in one form for both families (`wire.membership`); a membership is of a port, whatever sources it
names: who asks for some sources gets the group. Read first: RFC 4541; RFC 3376 8 and RFC 3810 9 (times).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import ALL_HOSTS4, ALL_NODES6, link_local_of
from vrouter.stack.base.packet import Packet
from vrouter.stack.l2.storm import TokenBucket
from vrouter.stack.wire import ext_headers, icmpv6, igmp, ipv4, ipv6, mld
from vrouter.stack.wire.ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, HEADER_LEN, VLAN_LEN
from vrouter.stack.wire.membership import BLOCK, IS_INCLUDE, TO_INCLUDE, Query, Record, Report

if TYPE_CHECKING:
    from vrouter.stack.l2.bridge import Bridge, BridgePort

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
MAX_GROUPS: Final = 4096
MAX_PORT_GROUPS: Final = 1024
MAX_QUESTIONS: Final = 100
QUERY_INTERVAL: Final = 125 * SECOND
STARTUP_INTERVAL: Final = 31_250 * MS
STARTUP_COUNT: Final = 2
MAX_RESPONSE_MS: Final = 10_000
LAST_MEMBER_MS: Final = 1_000
MEMBERSHIP: Final = 260 * SECOND  # 2 query intervals and a response (RFC 3376 8.4)
OTHER_QUERIER: Final = 255 * SECOND  # 2 query intervals and half a response (RFC 3376 8.5)

PROTO_IGMP: Final = 2
PROTO_PIM: Final = 103
_ROUTER_ALERT4: Final = b"\x94\x04\x00\x00"
_ALL_PIM_ROUTERS: Final = (0xE000000D, 0xFF02 << 112 | 0xD)
_LOCAL_BLOCK4: Final = 0xE00000  # 224.0.0.0/24
_MAC4: Final = bytes.fromhex("01005e")
_MAC6: Final = b"\x33\x33"

Key = tuple[int, int]  # VLAN id, and group or family


class _Querier:
    """Who asks in one VLAN for one family: until when (ns) it counts as there, and from when its answers are known."""

    __slots__ = ("since", "until")

    def __init__(self) -> None:
        self.since = self.until = 0


class Snooping:
    """What one bridge overheard. ``groups``: (VLAN, group) -> port -> until when (ns) it is a member."""

    __slots__ = ("bridge", "groups", "next_query", "querier", "queriers", "questions", "routers", "startup")

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.groups: dict[Key, dict[BridgePort, int]] = {}
        self.routers: dict[Key, dict[BridgePort, int]] = {}  # (VLAN, family) -> port -> until when (ns)
        self.queriers: dict[Key, _Querier] = {}  # (VLAN, family)
        self.questions = TokenBucket(MAX_QUESTIONS)
        self.querier = False
        self.startup = 0
        self.next_query = -1  # ns; -1: none of our own is due

    # -- the data path ------------------------------------------------------------------------------------------------

    def targets(self, port: BridgePort | None, vid: int, pkt: Packet, now: int) -> set[BridgePort] | None:
        """The ports that want this group frame of VLAN `vid`, or None: all of them. `port` is the one it came in by,
        None for the bridge's own."""
        buf, end = pkt.buf, pkt.end
        at = pkt.start + HEADER_LEN
        if end - at < VLAN_LEN:
            return None
        ethertype = buf[at - 2] << 8 | buf[at - 1]
        if ethertype == ETHERTYPE_VLAN:
            at += VLAN_LEN
            ethertype = buf[at - 2] << 8 | buf[at - 1]
        if ethertype == ETHERTYPE_IPV4:
            return self._input4(port, vid, pkt, at, now)
        if ethertype == ETHERTYPE_IPV6:
            return self._input6(port, vid, pkt, at, now)
        return None

    def _input4(self, port: BridgePort | None, vid: int, pkt: Packet, at: int, now: int) -> set[BridgePort] | None:
        buf = pkt.buf
        if pkt.end - at < ipv4.MIN_HEADER:
            return None
        word = ipv4.version_ihl(buf, at)
        header, total = (word & 15) << 2, ipv4.total_length(buf, at)
        if word >> 4 != 4 or header < ipv4.MIN_HEADER or not header <= total <= pkt.end - at:
            return None
        dst, proto = ipv4.dst(buf, at), ipv4.proto(buf, at)
        if proto == PROTO_IGMP:
            message = igmp.parse(buf, at + header, at + total)
            if message is not None:
                return self._message(port, vid, 4, message, ipv4.src(buf, at), now)
        elif proto == PROTO_PIM and dst in _ALL_PIM_ROUTERS:
            self._router_heard(port, vid, 4, now)
        if dst >> 8 == _LOCAL_BLOCK4:
            return None
        return self._members(vid, 4, dst, now)

    def _input6(self, port: BridgePort | None, vid: int, pkt: Packet, at: int, now: int) -> set[BridgePort] | None:
        buf = pkt.buf
        if pkt.end - at < ipv6.HEADER_LEN:
            return None
        end = at + ipv6.HEADER_LEN + ipv6.payload_length(buf, at)
        if ipv6.version(buf, at) != 6 or end > pkt.end:
            return None
        src, dst = ipv6.src(buf, at), ipv6.dst(buf, at)
        proto = ipv6.next_header(buf, at)
        if proto == ipv6.PROTO_HOPOPTS:  # a message of MLD stands behind a router alert (RFC 2710 section 3)
            chain = ext_headers.walk(buf, at, end, ext_headers.ROUTER)
            if not chain.fault and chain.proto == ipv6.PROTO_ICMPV6 and ipv6.hop_limit(buf, at) == 1:
                message = mld.parse(buf, chain.offset, end)
                if message is not None and icmpv6.is_valid(buf, chain.offset, end, src, dst):
                    return self._message(port, vid, 6, message, src, now)
        elif proto == PROTO_PIM and dst in _ALL_PIM_ROUTERS:
            self._router_heard(port, vid, 6, now)
        if dst == ALL_NODES6 or (dst >> 112 == 0xFF02 and (vid, dst) not in self.groups):
            return None
        return self._members(vid, 6, dst, now)

    def _members(self, vid: int, family: int, group: int, now: int) -> set[BridgePort] | None:
        if not self._restricts(vid, family, now):
            return None
        wanted = self._router_ports(vid, family, now)
        members = self.groups.get((vid, group))
        if members is not None:
            wanted.update(p for p, until in members.items() if until > now)
        return wanted

    def _restricts(self, vid: int, family: int, now: int) -> bool:
        """Whether somebody asks for members, and has done so for long enough."""
        querier = self.queriers.get((vid, family))
        return querier is not None and querier.since <= now < querier.until

    def _router_ports(self, vid: int, family: int, now: int) -> set[BridgePort]:
        found = {p for p in self.bridge.ports.values() if p.mcast_router or p.all_groups_until > now}
        found.update(p for p, until in self.routers.get((vid, family), {}).items() if until > now)
        return found

    # -- what is overheard --------------------------------------------------------------------------------------------

    def _message(
        self, port: BridgePort | None, vid: int, family: int, message: Query | Report, src: int, now: int
    ) -> set[BridgePort] | None:
        if isinstance(message, Query):
            self._query(port, vid, family, message, src, now)
            return None
        for record in message.records:
            if port is not None:
                self._record(port, vid, family, record, now)
        return self._router_ports(vid, family, now) if self._restricts(vid, family, now) else None

    def _query(self, port: BridgePort | None, vid: int, family: int, query: Query, src: int, now: int) -> None:
        querier = self.queriers.get((vid, family))
        if querier is None:
            querier = self.queriers[vid, family] = _Querier()
        if querier.until <= now:  # its hosts answer within this time; before it nobody is shut out
            querier.since = now + query.max_response * MS
        querier.until = now + OTHER_QUERIER
        if port is not None and src:  # without a source it is a bridge that asks (RFC 4541 2.1.1 (1) b)
            self._router_heard(port, vid, family, now)
        members = self.groups.get((vid, query.group)) if query.group else None
        if members is not None and not query.sources and not query.suppress:
            for member in members:
                _hurry(members, member, now + 2 * query.max_response * MS)
        self._arm(now)

    def _router_heard(self, port: BridgePort | None, vid: int, family: int, now: int) -> None:
        if port is not None:
            self.routers.setdefault((vid, family), {})[port] = now + OTHER_QUERIER
            self._arm(now)

    def _record(self, port: BridgePort, vid: int, family: int, record: Record, now: int) -> None:
        group = record.group
        if not (group >> 28 == 14 if family == 4 else group >> 120 == 0xFF):
            return
        if (group >> 8 == _LOCAL_BLOCK4) if family == 4 else group == ALL_NODES6:
            return  # flooded in any case
        key = (vid, group)
        if record.kind == BLOCK or (record.kind == IS_INCLUDE and not record.sources):
            return
        members = self.groups.get(key)
        if record.kind == TO_INCLUDE and not record.sources:
            last = now + 2 * LAST_MEMBER_MS * MS
            if members is None or members.get(port, 0) <= last:  # no member, or asked about a moment ago
                return
            if self._is_ours(vid, family, now) and self.questions.take(now):
                _hurry(members, port, last)
                self._ask(vid, family, now, group)
                self._arm(now)
            return
        if members is None:
            if len(self.groups) >= MAX_GROUPS or port.groups >= MAX_PORT_GROUPS:
                port.all_groups_until = now + MEMBERSHIP
                return
            members = self.groups[key] = {}
        if port not in members:
            if port.groups >= MAX_PORT_GROUPS:
                port.all_groups_until = now + MEMBERSHIP
                return
            port.groups += 1
        members[port] = now + MEMBERSHIP
        self._arm(now)

    def forget(self, port: BridgePort, vid: int | None = None) -> None:
        """A port left the bridge, or went down."""
        for key, members in list(self.groups.items()):
            if (vid is None or vid == key[0]) and members.pop(port, None) is not None:
                port.groups -= 1
                if not members:
                    del self.groups[key]
        for (number, _), found in self.routers.items():
            if vid is None or vid == number:
                found.pop(port, None)
        port.all_groups_until = 0

    # -- asking -------------------------------------------------------------------------------------------------------

    def set_querier(self, querier: bool, now: int) -> None:
        """Ask for members ourselves, unless a router does."""
        self.querier = querier
        self.startup = STARTUP_COUNT if querier else 0
        self.next_query = now if querier else -1
        self.timer_fired(now)

    def _is_ours(self, vid: int, family: int, now: int) -> bool:
        return self.querier and all(until <= now for until in self.routers.get((vid, family), {}).values())

    def _ask(self, vid: int, family: int, now: int, group: int = 0) -> None:
        """Send a query into a VLAN, and count ourselves as the querier there."""
        querier = self.queriers.setdefault((vid, family), _Querier())
        response = LAST_MEMBER_MS if group else MAX_RESPONSE_MS
        if querier.until <= now:
            querier.since = now + response * MS
        querier.until = now + OTHER_QUERIER
        self.bridge.send_query(vid, _query_frame(self.bridge.dev.mac, family, group, response))

    def timer_fired(self, now: int) -> None:
        """Ask, when it is time, and let go of what is over."""
        gone = []
        for key, found in list(self.routers.items()):
            self.routers[key] = found = {port: until for port, until in found.items() if until > now}
            if not found:
                del self.routers[key]
                gone.append(key)
        vids = self.bridge.own_vids()
        if 0 <= self.next_query <= now:
            for vid in vids:
                for family in (4, 6):
                    if self._is_ours(vid, family, now):
                        self._ask(vid, family, now)
            self.startup -= self.startup > 0
            self.next_query = now + (STARTUP_INTERVAL if self.startup else QUERY_INTERVAL)
        elif self.querier:
            for vid, family in gone:  # the router that asked there does so no more
                if vid in vids:
                    self._ask(vid, family, now)
        for key, members in list(self.groups.items()):
            for port in [p for p, until in members.items() if until <= now]:
                del members[port]
                port.groups -= 1
            if not members:
                del self.groups[key]
        for asked in [key for key, querier in self.queriers.items() if querier.until <= now]:
            del self.queriers[asked]
        self._arm(now, again=True)

    def deadline(self, now: int) -> int | None:
        """When (ns) there is something to do, at most once a second; None when nothing is left."""
        times = [until for members in self.groups.values() for until in members.values()]
        times += [until for found in self.routers.values() for until in found.values()]
        times += [querier.until for querier in self.queriers.values()]
        soonest = max(min(times), now + SECOND) if times else None
        if self.next_query >= 0:
            soonest = self.next_query if soonest is None else min(soonest, self.next_query)
        return soonest

    def _arm(self, now: int, *, again: bool = False) -> None:
        self.bridge.arm_snooping(now, again)

    def rows(self, now: int) -> list[tuple[int, int, BridgePort, int]]:
        """(VLAN, group, port, ns left) of each membership."""
        return [
            (vid, group, port, until - now)
            for (vid, group), members in self.groups.items()
            for port, until in members.items()
            if until > now
        ]


def _hurry(members: dict[BridgePort, int], port: BridgePort, at: int) -> None:
    """One that does not report before `at` (ns) is no member any more (RFC 3376 6.4.2)."""
    members[port] = min(members[port], at)


def _query_frame(mac: bytes, family: int, group: int, response: int) -> bytearray:
    """A query as a bridge sends it: IGMPv2's with source 0.0.0.0 (RFC 4541 2.1.1 (1) b), or MLDv1's."""
    if family == 4:
        message = igmp.emit(Query(2, group, response))
        dst = group or ALL_HOSTS4
        frame = bytearray(HEADER_LEN + 24)
        ipv4.emit_header(
            frame,
            HEADER_LEN,
            total_length=24 + len(message),
            ident=0,
            flags_fragment=0,
            ttl=1,
            proto=PROTO_IGMP,
            src=0,
            dst=dst,
            tos=0xC0,
            options=_ROUTER_ALERT4,
        )
        link, ethertype = _MAC4 + (dst & 0x7FFFFF).to_bytes(3, "big"), ETHERTYPE_IPV4
    else:
        src, dst = link_local_of(mac), group or ALL_NODES6
        message = mld.emit(Query(1, group, response), src, dst)
        frame = bytearray(HEADER_LEN + ipv6.HEADER_LEN + ipv6.ROUTER_ALERT_LEN)
        ipv6.emit_header(
            frame,
            HEADER_LEN,
            payload_length=ipv6.ROUTER_ALERT_LEN + len(message),
            next_header=ipv6.PROTO_HOPOPTS,
            hop_limit=1,
            src=src,
            dst=dst,
        )
        ipv6.emit_router_alert(frame, HEADER_LEN + ipv6.HEADER_LEN, ipv6.PROTO_ICMPV6)
        link, ethertype = _MAC6 + (dst & 0xFFFFFFFF).to_bytes(4, "big"), ETHERTYPE_IPV6
    frame[:HEADER_LEN] = link + mac + ethertype.to_bytes(2, "big")
    return frame + message
