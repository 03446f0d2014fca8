"""What must hold of the state that a link's strangers make grow: bridges, neighbour discovery, groups."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vrouter.stack.device import ALL_HOSTS_MAC, ALL_NODES_MAC, Device
from vrouter.stack.l2 import dad, discovery, ndp, router_advert, slaac, snooping
from vrouter.stack.l2.bridge import Bridge
from vrouter.stack.l2.fdb import CAPACITY
from vrouter.stack.l3.multicast import host, listeners, mdns, mroute, querier
from vrouter.stack.l4.membership import MAX_MEMBERSHIPS6
from vrouter.stack.wire.ethernet import multicast_mac4, multicast_mac6

if TYPE_CHECKING:
    from tests.fuzz.world import World
    from vrouter.stack.netns import Netns

Armed = dict[int, object]


def check_link(world: World, ns: Netns, armed: Armed) -> None:
    """All of one namespace."""
    for dev in ns.devices.values():
        _check_layers(ns, dev)
    for bridge in ns.bridges or ():
        _check_bridge(world, ns, bridge, armed)
    if ns._ndp is not None:
        _check_ndp(world, ns, armed)
    _check_groups(world, ns)
    if ns._groups is not None:
        _check_group_tables(ns, armed)


def _check_layers(ns: Netns, dev: Device) -> None:
    assert dev.layered == (dev.vlans is not None or dev.bridge_port is not None)
    for (tpid, vid), above in (dev.vlans or {}).items():
        assert above.parent is dev
        assert (above.vlan_protocol, above.vid) == (tpid, vid)
        assert above.mtu <= dev.mtu
        assert above.carrier == dev.ready, "a vlan's carrier is not what is below it"
        assert above.ns is ns or above.ingress is not None
        assert above.max_frame + 4 <= dev.max_frame
    assert dev.parent is None or (dev.parent.vlans or {}).get((dev.vlan_protocol, dev.vid)) is dev
    assert (dev.kind == "vlan") == (dev.parent is not None)
    if dev.bridge_port is not None:
        assert dev.bridge_port.bridge.dev.ns is ns
        assert dev.bridge_port.bridge.ports[dev] is dev.bridge_port
    if dev.bridge is not None:
        assert dev.bridge in (ns.bridges or ())


def _check_bridge(world: World, ns: Netns, bridge: Bridge, armed: Armed) -> None:
    assert not bridge.actions, "a bridge's actions left undone"
    assert ns.devices.get(bridge.dev.name) is bridge.dev
    assert bridge.dev.carrier == bridge.carrier
    assert bridge.own_macs == frozenset((bridge.dev.mac, *(dev.mac for dev in bridge.ports)))
    learnt: Counter[object] = Counter()
    static = 0
    for table in bridge.fdb.tables.values():
        for mac, entry in table.items():
            assert bridge.ports.get(entry.port.dev) is entry.port, "an entry of a port that is gone"
            assert entry.static or mac not in bridge.own_macs
            static += entry.static
            if not entry.static:
                learnt[entry.port] += 1
                assert not mac[0] & 1, "a group was learnt"
    assert len(bridge.fdb.tables) <= 4096
    for port in bridge.ports.values():
        assert port.learnt == learnt[port], f"{learnt[port]} entries counted as {port.learnt}"
        assert port.learnt <= max(CAPACITY, 64)
        assert not port.forwards or port.dev.ready
        assert port.storm is None or all(b is None or b.rate >= 0 for b in port.storm.buckets)
    assert len(bridge.fdb) - static <= CAPACITY + 64 * len(bridge.ports), "more stations than the table holds"
    if sum(learnt.values()):
        assert id(bridge.age_timer) in armed, "stations that never age"
    assert (bridge.stp is not None) == (id(bridge.stp_timer) in armed)
    assert bridge.stp is None or not bridge.stp.actions
    snoop = bridge.snooping
    if snoop is None:
        assert id(bridge.snooping_timer) not in armed
        return
    members: Counter[object] = Counter()
    for ports in snoop.groups.values():
        assert ports
        assert all(bridge.ports.get(port.dev) is port for port in ports)
        members.update(list(ports))
    assert len(snoop.groups) <= snooping.MAX_GROUPS
    for port in bridge.ports.values():
        assert port.groups == members[port] <= snooping.MAX_PORT_GROUPS
    for ports in snoop.routers.values():
        assert all(bridge.ports.get(port.dev) is port for port in ports)
    assert len(snoop.queriers) + len(snoop.routers) <= 4 * 4096
    if snoop.groups or snoop.queriers:
        assert id(bridge.snooping_timer) in armed, "memberships that never end"


def _check_ndp(world: World, ns: Netns, armed: Armed) -> None:
    found = ns.ndp
    assert not found.actions, "actions of neighbour discovery left undone"
    assert len(found._delayed) <= ndp.MAX_DELAYED
    assert all(id(one.timer) in armed and ns.devices.get(one.dev.name) is one.dev for one in found._delayed.values())
    for table in (found._busy_until, found.advertisers, found._routing, found.hosts.hosts):
        assert all(ns.devices.get(dev.name) is dev for dev in table), "something of a device that is gone"
    for dev, advertiser in found.advertisers.items():
        assert len(advertiser.withdrawn) <= router_advert.MAX_WITHDRAWN
        assert not advertiser.active or dev.ready
        under_way = advertiser.active or advertiser.finals > 0
        assert (id(advertiser.timer) in armed) == under_way, "an advertiser without its timer"
    for dev, known in found.hosts.hosts.items():
        assert len(known.routers) <= discovery.MAX_ROUTERS
        assert len(known.prefixes) <= discovery.MAX_PREFIXES
        assert len(known.routes) <= discovery.MAX_ROUTES
        assert len(known.servers) <= discovery.MAX_SERVERS
        assert len(known.domains) <= discovery.MAX_DOMAINS
        assert len(known.nat64) <= discovery.MAX_NAT64
        assert len(known.installed) <= discovery.MAX_ROUTERS + discovery.MAX_PREFIXES + discovery.MAX_ROUTES
        most = max(world.limits.get("max_addresses", 0), slaac.MAX_ADDRESSES)
        assert len(known.slaac.made) <= most
        assert len(known.slaac.conflicts) <= most + 1, "conflicts that nobody forgets"
        assert sum(a.origin == "ra" for a in dev.addresses) <= most
        if known.routers or known.prefixes or known.routes or known.slaac.records():
            endless = all(
                until >= 1 << 62
                for until in (
                    *(router.until for router in known.routers.values()),
                    *known.prefixes.values(),
                    *(until for until, _ in known.routes.values()),
                    known.slaac.next_change(world.now),
                )
            )
            assert endless or id(known.lifetimes) in armed, "what was advertised never ends"
        assert all(via < 0 or via in known.routers or (p, n, via) in known.routes for p, n, via in known.installed)
    for dev in ns.devices.values():
        for a in dev.addresses:
            if a.family == 6 and a.probe is not None:
                assert len(a.probe.nonces) <= dad.KEPT_NONCES
            if a.family == 6 and a.state == "tentative" and dev.ready:
                assert id(a.probe.timer) in armed, "an address that stays tentative"


def _check_groups(world: World, ns: Netns) -> None:
    """Memberships are what sockets and the stack hold, and each device's filter is what they come to."""
    joined: Counter[tuple[int, Device]] = Counter()
    for sock in ns.sockets:
        for settings in dict.fromkeys((sock.settings, sock.settings4)):
            if settings.multicast is None:
                continue
            four = settings is sock.settings4
            limit = max(ns.conf.igmp_max_memberships, world.limits.get("igmp_max_memberships", 20))
            assert len(settings.multicast.joined) <= (limit if four else MAX_MEMBERSHIPS6)
            joined.update(list(settings.multicast.joined))
    for (group, dev), state in ns.memberships.items():
        assert ns.devices.get(dev.name) is dev, "a membership at a device that is gone"
        of_stack = state.members - joined.pop((group, dev), 0)
        assert of_stack >= 0, "a membership counted twice"
        assert state.state == state.merge(), "a filter that is not what its members want"
    assert not joined, "a membership that nobody counted"
    assert not ns.group_changes, "a change of a membership that nobody was told of"
    for dev in ns.devices.values():
        expected = Counter((ALL_HOSTS_MAC, ALL_NODES_MAC))
        for (group, where), state in ns.memberships.items():
            if where is dev:
                expected[multicast_mac4(group) if group < 1 << 32 else multicast_mac6(group)] += state.members
        assert dev.groups == expected, "group filter and memberships differ"


def _check_group_tables(ns: Netns, armed: Armed) -> None:
    tables = ns.groups_state
    assert not tables.actions, "actions of groups left undone"
    assert not tables.dirty, "a change of listeners that the proxy was not told of"
    wants: Counter[Device] = Counter()
    for dev, _ in (*tables.speakers, *tables.queriers):
        assert ns.devices.get(dev.name) is dev, "a speaker at a device that is gone"
    for (dev, family), speaker in tables.speakers.items():
        held = {g: s.state for (g, d), s in ns.memberships.items() if d is dev and (g < 1 << 32) == (family == 4)}
        assert speaker.groups == held, "what is told is not what is so"
        assert set(speaker._answers) <= set(speaker.groups)
        assert all(a.sources is None or len(a.sources) <= host.MAX_ASKED for a in speaker._answers.values())
        if speaker._answers or speaker._changes_at >= 0 or speaker._all_at >= 0:
            assert id(speaker.timer) in armed, "a report that is never sent"
    for (dev, _), one in tables.queriers.items():
        wants[dev] += 1
        assert len(one.groups) <= querier.MAX_GROUPS
        assert all(len(group.sources) <= listeners.MAX_SOURCES for group in one.groups.values())
        assert all(len(group.asked_sources) <= listeners.MAX_SOURCES for group in one.groups.values())
        assert all(group.exclude or group.sources for group in one.groups.values()), "a group without listeners"
        if one.groups or one.next_query >= 0:
            assert id(one.timer) in armed, "listeners that never go"
    for waiting in tables.waiting:
        assert ns.devices.get(waiting.dev.name) is waiting.dev
    assert tables.routes.count == len(tables.routes.all()) <= mroute.MAX_ROUTES
    for route in tables.routes.all():
        if isinstance(route.iif, Device):
            wants[route.iif] += 1
    if tables.proxy is not None:
        wants[tables.proxy.upstream] += 1
        assert len(tables.proxy.wanted) <= 2 * querier.MAX_GROUPS * len(tables.proxy.downstream)
    for dev in ns.devices.values():
        assert dev.allmulti == wants[dev], f"{dev.name}: allmulti {dev.allmulti} of {wants[dev]}"
    if tables.mdns is not None:
        assert set(tables.mdns._busy_until) == set(tables.mdns.devices)
        assert all(ns.devices.get(dev.name) is dev for dev in tables.mdns.devices)
    assert mdns.BURST == 100
    held = Counter((route.group, route.iif) for route in tables.routes.all() if route.joined is not None)
    if tables.proxy is not None:
        held.update((group, tables.proxy.upstream) for _, group in tables.proxy.wanted)
    assert tables.held == held, "memberships for forwarding miscounted"
