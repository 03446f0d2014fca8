"""What must hold of a stack's state between any two actions, counted by hand: the accounts, every bound, every sum.

`check_sums` is cheap and runs after each action; `check_bounds` walks through everything.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vrouter.stack.device import ALL_HOSTS_MAC, ALL_NODES_MAC, Device
from vrouter.stack.l2 import neighbour
from vrouter.stack.l2.neighbour import NeighState
from vrouter.stack.l3.fib import LOCAL
from vrouter.stack.l3.ip import MAX_EXCEPTIONS
from vrouter.stack.l3.reassembly import MAX_FRAGMENTS, PACKET_COST, QUEUE_COST
from vrouter.stack.l4.membership import MAX_MEMBERSHIPS6
from vrouter.stack.l4.socket import OVERHEAD, Socket
from vrouter.stack.netns import Netns
from vrouter.stack.sysctl import DEFAULT_NEIGH, DEFAULT_NS
from vrouter.stack.wire.ethernet import multicast_mac4, multicast_mac6

if TYPE_CHECKING:
    from tests.fuzz.world import World
    from vrouter.stack import Stack

MAX_EVENTS = 1024
MAX_PEERS = 1024
LARGEST_PACKET = 65535
WAITING = (NeighState.INCOMPLETE, NeighState.DELAY, NeighState.PROBE)


def check_sums(stack: Stack) -> None:
    """The accounts are equal, and nothing that was begun is left undone."""
    came, went = stack.accounts()
    assert sum(came.values()) == sum(went.values()), f"accounts: {came} {went}"
    assert not stack.pipeline.work, "packets under way after the call"
    assert not stack.pipeline.egress
    for ns in stack.namespaces.values():
        assert ns._neigh4 is None or not ns._neigh4.actions, "neighbour actions left undone"
        assert ns.ip4.reassembler is None or not ns.ip4.reassembler.actions, "reassembly actions left undone"
        assert ns._acd is None or not ns._acd.actions, "conflict detection left undone"


def check_bounds(world: World) -> None:
    """Every table within its bound, and every count what is there."""
    stack = world.stack
    armed = {id(entry[2]): entry[2] for entry in stack.timers._heap if entry[2].deadline == entry[0]}
    assert len(stack.timers) == len(armed), "armed timers miscounted"
    assert len(stack.timers._heap) <= 2 * len(armed) + 65, "stale timers"
    assert len(stack.events._ring) <= MAX_EVENTS
    assert all(sock.announced == mask for sock, mask in stack.ready.items()), "a socket announced wrongly"
    queued = 0
    for name, ns in stack.namespaces.items():
        assert ns.name == name
        assert not ns.closing
        queued += _check_neighbours(world, ns, armed) + _check_reassembly(world, ns, armed)
        _check_addresses(ns)
        _check_sockets(world, ns)
        assert len(ns.ip4.exceptions) <= MAX_EXCEPTIONS
        assert ns.ip4.limiter is None or len(ns.ip4.limiter._peers) <= MAX_PEERS
        assert set(ns.crossings) == {route.target for _, _, route in ns.ip4.main if route.target is not None}
    assert queued == stack.accounts()[1]["queued"]
    for capture in world.captures.values():
        assert sum(len(frame.data) for frame in capture.frames) == capture.bytes <= capture.limit


def _limit(world: World, key: str) -> int:
    default = getattr(DEFAULT_NS, key, None) or getattr(DEFAULT_NEIGH, key, 0)
    return max(int(default), world.limits.get(key, 0))


def _check_neighbours(world: World, ns: Netns, armed: dict[int, object]) -> int:
    entries = [(dev, address, neigh) for dev in ns.devices.values() for address, neigh in dev.neigh4.items()]
    table = ns._neigh4
    if table is None:
        assert not entries
        return 0
    assert table.count == sum(neigh.state is not NeighState.PERMANENT for _, _, neigh in entries)
    assert table.count <= _limit(world, "gc_thresh3"), "more neighbours than gc_thresh3"
    waiting = held = 0
    for dev, address, neigh in entries:
        assert (neigh.dev, neigh.addr) == (dev, address)
        queue = neigh.queue or []
        assert len(queue) <= max(_limit(world, "unres_qlen"), 1)
        assert neigh.queue_bytes == sum(len(pkt.buf) for pkt in queue)
        assert not queue or neigh.state is NeighState.INCOMPLETE, f"packets wait for a {neigh.state.name} neighbour"
        under_way = neigh.timer is not None and id(neigh.timer) in armed
        assert under_way == (neigh.state in WAITING), f"{neigh.state.name} and timer {under_way}"
        known = neigh.state not in (NeighState.INCOMPLETE, NeighState.FAILED)
        assert known == (neigh.header is not None), f"{neigh.state.name} with header {neigh.header!r}"
        assert neigh.header is None or (neigh.header == neigh.mac + dev.mac and not neigh.mac[0] & 1)
        waiting += len(queue)
        held += neigh.queue_bytes
    assert (table.queued, table.queue_bytes) == (waiting, held)
    assert held <= neighbour.TABLE_BYTES + LARGEST_PACKET
    return waiting


def _check_reassembly(world: World, ns: Netns, armed: dict[int, object]) -> int:
    table = ns.ip4.reassembler
    if table is None:
        return 0
    memory = held = 0
    for key, queue in table._queues.items():
        assert queue.key == key
        assert id(queue.timer) in armed, "a datagram that never times out"
        assert len(queue.packets) == len(queue.offsets) <= MAX_FRAGMENTS
        assert queue.memory == QUEUE_COST + sum(len(pkt.buf) + PACKET_COST for pkt in queue.packets)
        assert queue.offsets == sorted(set(queue.offsets))
        assert not (queue.given_up and queue.packets)
        memory += queue.memory
        held += len(queue.packets)
    assert (table.memory, table.held) == (memory, held)
    assert memory <= _limit(world, "ipfrag_high_thresh"), "reassembly over ipfrag_high_thresh"
    return held


def _check_addresses(ns: Netns) -> None:
    devices = list(ns.devices.values())
    assert devices[0] is ns.lo
    indexes = [dev.ifindex for dev in devices]
    assert len(set(indexes)) == len(indexes)
    usable: set[int] = set()
    for name, dev in ns.devices.items():
        assert dev.ns is ns
        assert dev.name == name
        assert not dev.removed
        assert dev.ready == (dev.up and dev.carrier)
        assert dev.peer is None or (dev.peer.peer is dev and dev.carrier == dev.peer.up)
        usable |= {a.address for a in dev.addresses if a.state == "preferred" and dev.up}
    assert set(ns.ip4.owners) == usable, "who owns which address is not what the devices say"
    for address, owner in ns.ip4.owners.items():
        assert owner.address == address
        assert owner.dev.ns is ns
        assert owner in owner.dev.addresses, "the owner's record was replaced"
        # One prefix's address may be another's broadcast address: as in Linux, the older of the two routes counts.
        assert ns.ip4.is_local(address) or address in ns.ip4.broadcasts, "a usable address without its local route"
    for fib in (ns.ip4.main, ns.ip4.local):
        routes = list(fib)
        assert len(routes) == len(fib)
        for prefix, length, route in routes:
            assert route.dev is None or ns.devices.get(route.dev.name) is route.dev, "a route by a device that is gone"
            assert route.proto != "kernel" or route.src in usable, "a kernel route of an address that is not usable"
            if route.type == LOCAL and length == 32:
                assert prefix in usable


def _check_sockets(world: World, ns: Netns) -> None:
    for table in (ns._udp, ns._udp6, ns._ping, ns._ping6):
        bound = [] if table is None else list(table)
        assert len(set(map(id, bound))) == len(bound)
        assert set(map(id, bound)) == {id(sock) for sock in ns.sockets if table in sock.tables}
        assert table is None or all(sock in table.on_port(sock.port) for sock in bound)
    joined: Counter[tuple[int, Device]] = Counter()
    for sock in ns.sockets:
        _check_socket(world, ns, sock)
        assert bool(sock.tables) == bool(sock.port)
        for settings in {sock.settings, sock.settings4}:
            if settings.multicast is not None:
                most = ns.conf.igmp_max_memberships if settings is sock.settings4 else MAX_MEMBERSHIPS6
                assert len(settings.multicast.joined) <= most
                joined.update(settings.multicast.joined)
    for (group, dev), state in ns.memberships.items():
        assert ns.devices.get(dev.name) is dev, "a membership at a device that is gone"
        of_stack = state.members - joined.pop((group, dev), 0)
        assert of_stack == 0 if group < 1 << 32 else of_stack >= 0
    assert not joined, "a membership that nobody counted"
    assert not ns.group_changes, "a change of a membership that nobody was told of"
    for dev in ns.devices.values():
        expected = Counter((ALL_HOSTS_MAC, ALL_NODES_MAC))
        for (group, where), state in ns.memberships.items():
            if where is dev:
                expected[multicast_mac4(group) if group < 1 << 32 else multicast_mac6(group)] += state.members
        assert dev.groups == expected, "group filter and memberships differ"


def _check_socket(world: World, ns: Netns, sock: Socket) -> None:
    assert sock.ns is ns
    assert not sock.closed
    packets = sock._queue or ()
    errors = sock._errors or ()
    charge = sum(OVERHEAD + len(pkt.buf) - pkt.l4 for pkt in packets) + sum(OVERHEAD + len(e.data) for e in errors)
    assert sock.charged == charge, "a receive queue miscounted"
    # An empty queue takes anything, and a buffer that was made smaller keeps what is in it.
    assert charge <= max(world.buffers.get(sock, sock.rcvbuf), OVERHEAD + LARGEST_PACKET), "a queue over SO_RCVBUF"
