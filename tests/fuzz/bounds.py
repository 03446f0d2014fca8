"""What must hold of a stack's state between any two actions, counted by hand: the accounts, every bound, every sum.

`check_sums` is cheap and runs after each action; `check_bounds` walks through everything.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.fuzz.bounds_link import check_link
from tests.fuzz.bounds_tcp import check_tcp
from vrouter.stack.l2 import neighbour
from vrouter.stack.l2.neighbour import NeighState, NeighTable, neighbours_of
from vrouter.stack.l3.fib import LOCAL, UNICAST, Entry
from vrouter.stack.l3.ip import IDENTS, MAX_ANSWERS, MAX_EXCEPTIONS, IpState
from vrouter.stack.l3.reassembly import MAX_FRAGMENTS, PACKET_COST, QUEUE_COST
from vrouter.stack.l4.constants import SOCK_DGRAM
from vrouter.stack.l4.datagram import OVERHEAD, DatagramSocket
from vrouter.stack.l4.packet_socket import PacketSocket
from vrouter.stack.netns import Netns
from vrouter.stack.sysctl import DEFAULT_NEIGH, DEFAULT_NS

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
        for table in (ns._neigh4, ns._neigh6, ns.ip4.reassembler, ns._acd, ns._ndp):
            assert table is None or not table.actions, f"actions left undone: {table}"
        if ns._ip6 is not None:
            assert ns.ip6.reassembler is None or not ns.ip6.reassembler.actions, "reassembly actions left undone"
        assert ns._groups is None or not (ns._groups.actions or ns._groups.dirty), "groups left undone"
        assert not ns.group_changes
        for bridge in ns.bridges or ():
            assert not bridge.actions, "a bridge's actions left undone"


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
        _check_devices(ns)
        leading: Counter[str] = Counter()
        for table, ip in ((ns._neigh4, ns.ip4), (ns._neigh6, ns._ip6)):
            if table is not None:
                queued += _check_neighbours(world, ns, table, armed)
            if ip is not None:
                queued += _check_reassembly(world, ip, armed)
                _check_paths(ip)
                routes = {number: list(fib) for number, fib in ip.tables.items()}
                assert all(len(fib) == len(routes[number]) for number, fib in ip.tables.items())
                _check_addresses(ns, ip, routes)
                leading.update(r.target for found in routes.values() for _, _, r in found if r.target is not None)
        if ns._ip6 is None:
            assert not any(a.family == 6 for dev in ns.devices.values() for a in dev.addresses)
        _check_sockets(world, ns)
        check_tcp(world, ns, armed)
        check_link(world, ns, armed)
        if ns._groups is not None:
            ways = [way for route in ns._groups.routes.all() for way, _ in route.ways]
            leading.update(way.target_name for way in ways if way.kind == "crossing")
        if not world.loads:
            assert {name: crossing.routes for name, crossing in ns.crossings.items()} == leading, (
                "short-cuts miscounted"
            )
    assert queued == stack.accounts()[1]["queued"]
    for capture in world.captures.values():
        assert sum(len(frame.data) for frame in capture.frames) == capture.bytes <= capture.limit


def _limit(world: World, key: str) -> int:
    default = getattr(DEFAULT_NS, key, None) or getattr(DEFAULT_NEIGH, key, 0) or DEFAULT_NS.v6.frag_high_thresh
    return max(int(default), world.limits.get(key, 0))


def _check_neighbours(world: World, ns: Netns, table: NeighTable, armed: dict[int, object]) -> int:
    entries = [
        (dev, address, neigh)
        for dev in ns.devices.values()
        for address, neigh in neighbours_of(dev, table.family).items()
    ]
    assert table.count == sum(neigh.state is not NeighState.PERMANENT for _, _, neigh in entries)
    assert table.count <= _limit(world, "gc_thresh3"), "more neighbours than gc_thresh3"
    assert len(table._asked) <= neighbour.KEPT_QUESTIONS
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


def _check_reassembly(world: World, ip: IpState, armed: dict[int, object]) -> int:
    table = ip.reassembler
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
    setting = "ipfrag_high_thresh" if ip.family == 4 else "ip6frag_high_thresh"
    assert memory <= _limit(world, setting), f"reassembly over {setting}"
    return held


def _check_paths(ip: IpState) -> None:
    assert len(ip.exceptions) <= MAX_EXCEPTIONS
    assert len(ip.answers) <= MAX_ANSWERS
    assert ip.limiter is None or len(ip.limiter._peers) <= MAX_PEERS
    assert ip._idents is None or len(ip._idents) == IDENTS


def _check_devices(ns: Netns) -> None:
    devices = list(ns.devices.values())
    assert devices[0] is ns.lo
    indexes = [dev.ifindex for dev in devices]
    assert len(set(indexes)) == len(indexes)
    assert ns.macs == Counter(dev.mac for dev in devices)
    for name, dev in ns.devices.items():
        assert dev.ns is ns
        assert dev.name == name
        assert not dev.removed
        assert dev.ready == (dev.up and dev.carrier)
        assert dev.peer is None or (dev.peer.peer is dev and dev.carrier == dev.peer.up)
        assert dev.with_ipv6 or not any(a.family == 6 for a in dev.addresses), "IPv6 where there is none"


def _check_addresses(ns: Netns, ip: IpState, tables: dict[int, list[Entry]]) -> None:
    usable: set[int] = set()
    there: set[int] = set()
    for dev in ns.devices.values():
        own = [a for a in dev.addresses if a.family == ip.family]
        usable |= {a.address for a in own if a.state in ("preferred", "deprecated") and dev.up}
        there |= {a.address for a in own if dev.up}
        assert all(a in ip.held(dev, a.address) for a in own)
    assert set(ip.owners) == usable, "who owns which address is not what the devices say"
    for address, owner in ip.owners.items():
        assert owner.address == address
        assert owner.dev.ns is ns
        assert owner in owner.dev.addresses, "the owner's record was replaced"
        # One prefix's address may be another's broadcast address: as in Linux, the older of the two routes counts.
        other = address in ip.broadcasts or address in ip.zeros
        assert ip.is_local(address) or other, "a usable address without its local route"
    for routes in tables.values():
        for prefix, length, route in routes:
            for way in (route,) if route.nexthops is None else route.nexthops.hops:
                gone = way.dev is not None and ns.devices.get(way.dev.name) is not way.dev
                assert not gone, "a route by a device that is gone"
            # Who is on the link is known while an IPv6 address is still looked for there.
            fit = there if ip.family == 6 and route.type == UNICAST else usable
            assert route.proto != "kernel" or route.src in fit, "a kernel route of an address that is not usable"
            if route.type == LOCAL and length == ip.bits:
                assert prefix in usable


def _check_sockets(world: World, ns: Netns) -> None:
    for table in (ns._udp, ns._udp6, ns._ping, ns._ping6):
        bound = [] if table is None else list(table)
        assert len(set(map(id, bound))) == len(bound)
        assert set(map(id, bound)) == {id(sock) for sock in ns.sockets if table in sock.tables}
        assert table is None or all(sock in table.on_port(sock.port) for sock in bound)
    for sock in ns.sockets:
        assert sock.ns is ns
        assert not sock.closed
        if isinstance(sock, DatagramSocket):
            _check_queue(world, sock)
        if sock.type == SOCK_DGRAM and not isinstance(sock, PacketSocket):
            assert bool(sock.tables) == bool(sock.port)


def _check_queue(world: World, sock: DatagramSocket) -> None:
    packets = sock._queue or ()
    errors = sock._errors or ()
    charge = sum(OVERHEAD + len(pkt.buf) - pkt.l4 for pkt in packets) + sum(OVERHEAD + len(e.data) for e in errors)
    assert sock.charged == charge, "a receive queue miscounted"
    # An empty queue takes anything, and a buffer that was made smaller keeps what is in it.
    assert charge <= max(world.buffers.get(sock, sock.rcvbuf), OVERHEAD + LARGEST_PACKET), "a queue over SO_RCVBUF"
