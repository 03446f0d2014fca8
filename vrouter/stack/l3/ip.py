"""What one namespace keeps of one IP family: its addresses, its routing tables, what it learned about paths.

One instance per namespace, not a table shared by all keyed by namespace: lookups of one namespace must not grow with
the number of the others, and a namespace that goes takes everything with it.

Addresses make routes, as in Linux: the address itself and its directed broadcast in the local table, its prefix in the
main table, with the address as preferred source. An address under conflict detection (RFC 5227) makes none until it is
free, so nobody can use it before.

What ICMP told of a path is kept by destination.

Deviation: RFC 8201 5.2 has a path's MTU for each link that leads there, and for groups.
"""

from __future__ import annotations

import errno
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from vrouter.stack.base.addresses import BROADCAST4, is_host4, mask
from vrouter.stack.base.errors import os_error
from vrouter.stack.device import Address, Device
from vrouter.stack.l3.fib import BROADCAST, LOCAL, TABLE_LOCAL, TABLE_MAIN, UNICAST, Entry, Fib, Route
from vrouter.stack.l3.tables import RoutingTables
from vrouter.stack.wire.ipv4 import MAX_PACKET

if TYPE_CHECKING:
    from vrouter.stack.l2.neighbour import NeighTable
    from vrouter.stack.l3.codec import IpCodec
    from vrouter.stack.l3.icmp_error import IcmpLimiter
    from vrouter.stack.l3.reassembly import Reassembler
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.icmp import QuotedPacket

MAX_EXCEPTIONS: Final = 1024
MAX_ANSWERS: Final = 256
USABLE: Final = ("preferred", "deprecated")  # states of addresses in use
IDENTS: Final = 256  # counters of identifications, shared by all peers

Key = TypeVar("Key")
Claim: TypeAlias = tuple[int, int, int, Device]  # a route that addresses make: table, prefix, length, device


class PathException:
    """What ICMP told about one destination: a smaller MTU (0: nothing), a better gateway (-1: none) and that in whose
    place it stands; ns of expiry."""

    __slots__ = ("expires", "gateway", "instead_of", "mtu")

    def __init__(self) -> None:
        self.mtu = 0
        self.gateway = self.instead_of = -1
        self.expires = 0


class IpState(RoutingTables):
    """One family of one namespace."""

    __slots__ = (
        "_held",
        "_ident_key",
        "_idents",
        "_links",
        "_masks",
        "_order",
        "_rivals",
        "_sources",
        "_waiting",
        "answers",
        "bits",
        "broadcasts",
        "codec",
        "exceptions",
        "family",
        "group_floor",
        "group_top",
        "limiter",
        "ns",
        "owners",
        "reassembler",
        "zeros",
    )

    def __init__(self, ns: Netns, codec: IpCodec) -> None:
        self.ns = ns
        self.codec = codec
        self.family = codec.family
        self.bits = codec.bits
        self.group_floor, self.group_top = codec.group_floor, codec.group_top
        self.exceptions: dict[int, PathException] = {}
        self.answers: dict[int, None] = {}  # to whom long answers were sent that no socket knows of, the newest last
        self._order = 0  # how many addresses there have been
        self.clear()
        self.limiter: IcmpLimiter | None = None  # made with the first error message
        self.reassembler: Reassembler | None = None
        self._idents: array[int] | None = None  # made with the first identification
        self._ident_key = 0

    def clear(self) -> None:
        """Let go of all addresses and routes at once."""
        self.clear_tables()
        # Addresses whose routes are made. What several claim, the first of them has; the others wait for it.
        self.owners: dict[int, Address] = {}
        self._rivals: dict[int, OrderedDict[Address, None]] = {}
        self._waiting: dict[Claim, OrderedDict[Address, Entry]] = {}
        self.broadcasts: dict[int, int] = {}  # how many addresses make it one
        self.zeros: dict[int, int] = {}  # {prefix, 0}: nobody's address (RFC 1812 4.2.3.1)
        # All addresses, whatever their state.
        self._held: dict[tuple[Device, int], tuple[Address, ...]] = {}
        self._links: dict[tuple[Device, int, int], int] = {}  # (device, network, mask) -> how many are in it
        self._masks: dict[int, int] = {}  # mask -> how many addresses have it
        # The preferred ones by (ifindex, order): of each link; of each device and of all devices, as if of mask 0.
        self._sources: dict[tuple[Device | None, int, int], list[tuple[int, int, Address]]] = {}

    @property
    def neighbours(self) -> NeighTable:
        """The next hops of this family."""
        return self.ns.neigh4

    def default_ttl(self, dev: Device | None) -> int:
        """The TTL of what is sent by `dev` when nobody asks for another."""
        return self.ns.conf.ip_default_ttl

    def link_mtu(self, dev: Device) -> int:
        """The largest packet that `dev` sends, in bytes."""
        return dev.mtu

    def route_mtu(self, route: Route, dev: Device) -> int:
        """The largest packet that goes by `route`, which leads by `dev`."""
        mtu = self.link_mtu(dev)
        return route.mtu if 0 < route.mtu < mtu else mtu

    # -- questions ------------------------------------------------------------------------------------------------

    def prefix_of(self, route: Route, dst: int) -> tuple[int, int]:
        """(prefix, length) that `route` stands under for `dst`: `dst` itself when it is in no table. For people who
        ask, not for packets."""
        for table in (self.local, self.main, *self.tables.values()):
            found = table.match(dst)
            if found is not None and found[2] is route:
                return found[0], found[1]
        return dst, self.bits

    def owner(self, address: int) -> Address | None:
        """The usable address record for `address`, or None when it is not this namespace's."""
        return self.owners.get(address)

    def is_local(self, address: int) -> bool:
        """Whether packets to `address` are delivered here as unicast (127.0.0.0/8 included)."""
        route = self.local.lookup(address)
        return route is not None and route.type == LOCAL

    def is_broadcast(self, address: int) -> bool:
        """Limited broadcast, or the directed broadcast of a prefix of this namespace."""
        return address == BROADCAST4 or address in self.broadcasts

    def out_device(self, dst: int) -> Device | None:
        """The device by which `dst` is reached; None when it is not, or by another namespace."""
        route = self.lookup(dst)
        return route.dev if route is not None and route.type in (UNICAST, LOCAL) else None

    def group_device(self, dst: int) -> Device | None:
        """The device for a packet to a group that names none: that of the route there, as a rule the default route."""
        found = self.main.lookup(dst)
        return None if found is None else found.dev

    def held(self, dev: Device, address: int) -> tuple[Address, ...]:
        """The records of `address` on `dev`, whatever their state: one for each prefix length."""
        return self._held.get((dev, address), ())

    def holders(self, address: int) -> list[Address]:
        """The records of `address` on all devices, whatever their state. Asks each device."""
        return [a for dev in self.ns.devices.values() for a in self.held(dev, address)]

    def on_link(self, dev: Device, address: int) -> bool:
        """Whether `address` lies in a prefix configured on `dev`."""
        links = self._links
        for bits in self._masks:
            if (dev, address & bits, bits) in links:
                return True
        return False

    def same_link(self, dev: Device, one: int, other: int) -> bool:
        """Whether both addresses lie in one prefix configured on `dev`."""
        differ = one ^ other
        links = self._links
        for bits in self._masks:
            if not differ & bits and (dev, one & bits, bits) in links:
                return True
        return False

    def select_source(self, dev: Device | None, dst: int) -> int:
        """The source for a packet made here: an address of `dev` whose prefix holds `dst`, else the first of `dev`,
        else the first global one of any device (RFC 1122 3.3.4.3; Linux's inet_select_addr); 0 when there is none."""
        sources = self._sources
        if dev is not None:
            best: Address | None = None
            for bits in self._masks:
                for _, order, a in sources.get((dev, dst & bits, bits), ()):
                    if a.state == "preferred":  # a verdict that is not carried out yet (`Acd.take_actions`)
                        if best is None or order < best.order:
                            best = a
                        break
            if best is not None:
                return best.address
            for _, _, a in sources.get((dev, 0, 0), ()):
                if a.state == "preferred":
                    return a.address
        for _, _, a in sources.get((None, 0, 0), ()):
            if a.state == "preferred":
                return a.address
        return 0

    def far_sources(self) -> list[Address]:
        """The addresses of all devices that mean something beyond their link, in use or about to be."""
        return [a for _, _, a in self._sources.get((None, 0, 0), ())]

    # -- addresses ------------------------------------------------------------------------------------------------

    def add_address(self, dev: Device, address: int, length: int) -> Address:
        """Give `dev` an address; OSError EEXIST when it has it, EINVAL when nobody may have it."""
        if self._is_nobodys(address, length):
            raise OSError(errno.EINVAL, "not an address that a device can have")
        same = self.held(dev, address)
        if same and any(a.length == length for a in same):
            raise FileExistsError(errno.EEXIST, "the device has this address already")
        record = Address(
            dev, self.family, address, length, self._scope(address), self._broadcast_of(dev, address, length)
        )
        dev.addresses.append(record)
        record.order = self._order
        self._order += 1
        self._held[dev, address] = (*same, record)
        bits = mask(length, self.bits)
        _count(self._links, (dev, address & bits, bits), 1)
        _count(self._masks, bits, 1)
        return record

    def activate(self, a: Address, state: str = "preferred") -> None:
        """Make the routes of an address that may be used, and let it be chosen as a source."""
        a.state = state
        self._offer(a)
        if a.active or not a.dev.up:
            return
        a.active = True
        if self.owners.setdefault(a.address, a) is not a:
            self._rivals.setdefault(a.address, OrderedDict())[a] = None
        if a.broadcast >= 0:
            _count(self.broadcasts, a.broadcast, 1)
        zero = self._zero_of(a)
        if zero >= 0:
            _count(self.zeros, zero, 1)
        self._make_routes(a, self._routes_of(a))

    def _make_routes(self, a: Address, entries: list[Entry]) -> None:
        for entry in entries:
            try:
                self._table(entry[2].table).add(*entry)
            except FileExistsError:  # what is there, of another address of the device as a rule, serves both
                self._waiting.setdefault(_claim(entry, a.dev), OrderedDict())[a] = entry

    def deactivate(self, a: Address) -> None:
        """Take the routes of an address away; what it had in common with another is the other's now. It is chosen no
        more unless it is still preferred, as that of a device that is down."""
        if a.state not in USABLE:
            self._withdraw(a)
        if not a.active:
            return
        a.active = False
        self._disown(a)
        if a.broadcast >= 0:
            _count(self.broadcasts, a.broadcast, -1)
        zero = self._zero_of(a)
        if zero >= 0:
            _count(self.zeros, zero, -1)
        self._drop_routes(a, self._routes_of(a))

    def _drop_routes(self, a: Address, entries: list[Entry]) -> None:
        for entry in entries:
            claim = _claim(entry, a.dev)
            waiting = self._waiting.get(claim)
            if waiting is not None and waiting.pop(a, None) is not None:
                pass  # it had none
            else:
                prefix, length, route = entry
                self._table(route.table).remove_kernel(prefix, length, a.dev, a.address)
                self._inherit(claim)
            if waiting is not None and not waiting:
                self._waiting.pop(claim, None)

    def vacated(self, entry: Entry) -> None:
        """`entry` is out of its table: if it was a static one that stood in the place of an address's, that one comes.
        (Who takes a kernel route out by hand wants it gone.)"""
        route = entry[2]
        if route.dev is not None and route.proto != "kernel":
            self._inherit(_claim(entry, route.dev))

    def vacated_all(self, number: int) -> None:
        """As `vacated`, for a table that was replaced as a whole."""
        for claim in [claim for claim in self._waiting if claim[0] == number]:
            self._inherit(claim)

    def _inherit(self, claim: Claim) -> None:
        """Make the route of the first address that waits for what `claim` says, if it is free now."""
        waiting = self._waiting.get(claim)
        if not waiting:
            return
        heir, entry = next(iter(waiting.items()))
        try:
            self._table(entry[2].table).add(*entry)
        except FileExistsError:
            return  # a static one is in its place
        del waiting[heir]
        if not waiting:
            del self._waiting[claim]

    def _disown(self, a: Address) -> None:
        rivals = self._rivals.get(a.address)
        if self.owners[a.address] is not a:
            assert rivals is not None
            del rivals[a]
        elif rivals:
            self.owners[a.address] = rivals.popitem(last=False)[0]
        else:
            del self.owners[a.address]
        if rivals is not None and not rivals:
            del self._rivals[a.address]

    def remove_address(self, dev: Device, address: int, length: int | None) -> Address:
        """Take an address from `dev`; OSError EADDRNOTAVAIL when it has it not."""
        for a in self.held(dev, address):
            if length in (None, a.length):
                self._forget(a)
                self.deactivate(a)
                return a
        raise os_error(errno.EADDRNOTAVAIL)

    def remove_sourced(self, address: int) -> dict[Route, int]:
        """Take out the routes that prefer the source `address`, unless somebody here has it, or is being probed for it
        and may have it soon (Linux's fib_sync_down_addr); how many prefixes each had."""
        if not any(table.sourced(address) for table in self.tables.values()) or address in self.owners:
            return {}
        if any(a.state == "tentative" for a in self.holders(address)):
            return {}
        return self.purge(lambda table: table.sourced(address))

    def purge(self, choose: Callable[[Fib], set[Route]]) -> dict[Route, int]:
        """Take what `choose` picks of each table out of all prefixes; how many each had. Those whose place they stood
        in come (`vacated`)."""
        gone: dict[Route, int] = {}
        for number, table in self.tables.items():
            routes = choose(table)
            if not routes:
                continue
            claims = [
                claim
                for claim in self._waiting
                if claim[0] == number and any(_holds(route, claim, routes) for route in table.exact(*claim[1:3]))
            ]
            gone.update(table.purge(routes))
            self.ns.stack.sweeper.sweep(table)
            for claim in claims:
                self._inherit(claim)
        return gone

    def _forget(self, a: Address) -> None:
        dev, bits = a.dev, mask(a.length, self.bits)
        dev.addresses.remove(a)
        left = tuple(other for other in self._held.pop((dev, a.address)) if other is not a)
        if left:
            self._held[dev, a.address] = left
        _count(self._links, (dev, a.address & bits, bits), -1)
        _count(self._masks, bits, -1)
        self._withdraw(a)

    def _offer(self, a: Address) -> None:
        entry = a.dev.ifindex, a.order, a
        for key in self._offered_for(a):
            offered = self._sources.get(key)
            if offered is None:
                self._sources[key] = [entry]
                continue
            at = bisect_left(offered, entry)
            if at == len(offered) or offered[at][2] is not a:
                offered.insert(at, entry)

    def _withdraw(self, a: Address) -> None:
        entry = a.dev.ifindex, a.order, a
        for key in self._offered_for(a):
            offered = self._sources.get(key, [])
            at = bisect_left(offered, entry)
            if at < len(offered) and offered[at][2] is a:
                del offered[at]
                if not offered:
                    del self._sources[key]

    def _offered_for(self, a: Address) -> list[tuple[Device | None, int, int]]:
        """The keys in `_sources` of an address, by its scope."""
        bits = mask(a.length, self.bits)
        keys: list[tuple[Device | None, int, int]] = [(a.dev, a.address & bits, bits)]
        if a.scope != "host":
            keys.append((a.dev, 0, 0))
        if a.scope == "global" or a.scope == "site":
            keys.append((None, 0, 0))
        return keys

    def _routes_of(self, a: Address) -> list[Entry]:
        """The kernel routes of an address: itself and its broadcast in the local table, its prefix in the main one."""
        bits = self.bits
        network = a.address & mask(a.length, bits)
        routes = [self._kernel_route(a, LOCAL, a.address, bits, TABLE_LOCAL, "host")]
        if a.dev.kind == "lo":
            if a.length < bits:
                routes.append(self._kernel_route(a, LOCAL, network, a.length, TABLE_LOCAL, "host"))
        elif a.length < bits:
            routes.append(self._kernel_route(a, UNICAST, network, a.length, TABLE_MAIN, "link"))
        if a.broadcast >= 0:
            routes.append(self._kernel_route(a, BROADCAST, a.broadcast, bits, TABLE_LOCAL, "link"))
        return routes

    def _kernel_route(
        self, a: Address, type_: int, prefix: int, length: int, table: int, scope: str, metric: int = 0
    ) -> Entry:
        route = Route(
            self.family, type=type_, table=table, metric=metric, proto="kernel", scope=scope, dev=a.dev, src=a.address
        )
        return prefix, length, route

    def _table(self, number: int) -> Fib:
        return self.local if number == TABLE_LOCAL else self.main

    def _scope(self, address: int) -> str:
        """ip-address(8)'s scope: another address than a loopback one is global on ``lo`` too."""
        return "host" if address >> 24 == 127 else "global"

    def _is_nobodys(self, address: int, length: int) -> bool:
        return not is_host4(address) or not 0 < length <= 32

    def _broadcast_of(self, dev: Device, address: int, length: int) -> int:
        """The directed broadcast of a prefix, -1 where there is none; OSError EINVAL for the prefix's own ends."""
        host_bits = self.bits - length
        if host_bits <= 1 or dev.kind == "lo":
            return -1
        broadcast = address | ((1 << host_bits) - 1)
        if address in (broadcast, broadcast >> host_bits << host_bits):
            raise OSError(errno.EINVAL, "the network's own or broadcast address")
        return broadcast

    def _zero_of(self, a: Address) -> int:
        """The first address of a prefix, which no station has; -1 where that is not so."""
        return a.address & mask(a.length, self.bits) if a.broadcast >= 0 else -1

    # -- paths ----------------------------------------------------------------------------------------------------

    def path_mtu(self, route: Route, dst: int, now: int) -> int:
        """The largest packet that the path to `dst` is known to take, in bytes (RFC 1191 3)."""
        mtu = route.mtu or MAX_PACKET if route.dev is None else self.route_mtu(route, route.dev)
        if self.exceptions:
            known = self.exception(dst, now)
            if known is not None and known.mtu:
                return min(mtu, known.mtu)
        return mtu

    def first_hop(self, route: Route, dst: int, now: int) -> int:
        """The gateway by which `route` reaches `dst`, -1 when there is none: its own, or the one that a redirect named
        in its place (RFC 1122 3.2.2.2)."""
        via = route.via
        if via >= 0 and self.exceptions:
            known = self.exception(dst, now)
            if known is not None and known.gateway >= 0 and known.instead_of == via:
                return known.gateway
        return via

    def exception(self, dst: int, now: int) -> PathException | None:
        """What is known beyond the routing table about the path to `dst`."""
        found = self.exceptions.get(dst)
        if found is not None and found.expires <= now:
            del self.exceptions[dst]
            return None
        return found

    def gateway_failed(self, dst: int, gateway: int) -> None:
        """A next hop does not answer: if a redirect named it for `dst`, the route's own is used again (RFC 1122
        3.3.1.5)."""
        known = self.exceptions.get(dst)
        if known is not None and known.gateway == gateway:
            del self.exceptions[dst]

    def gateway_left(self, gateway: int) -> None:
        """A neighbour is no router any more: what redirects sent by way of it goes by its route again (RFC 4861
        7.3.3). To itself it is no gateway."""
        for dst, known in list(self.exceptions.items()):
            if known.gateway == gateway != dst:
                self._lose_gateway(dst, known)

    def forget_gateways(self) -> None:
        """A device leaves, or the family ends there: what redirects told may have been of its link."""
        for dst, known in list(self.exceptions.items()):
            self._lose_gateway(dst, known)

    def _lose_gateway(self, dst: int, known: PathException) -> None:
        known.gateway = -1
        if not known.mtu:
            del self.exceptions[dst]

    def note_answer(self, dst: int) -> None:
        """An answer was sent to `dst` that some path may not take whole; nobody but `is_answer` will know of it."""
        self.answers.pop(dst, None)
        if len(self.answers) >= MAX_ANSWERS:
            del self.answers[next(iter(self.answers))]
        self.answers[dst] = None

    def is_answer(self, quoted: QuotedPacket) -> bool:
        """Whether a packet that an error quotes can be one that `note_answer` was told of (RFC 8201 4: only what was
        sent is believed)."""
        return quoted.dst in self.answers and quoted.proto == self.codec.icmp_proto

    def learn_mtu(self, dst: int, mtu: int, now: int) -> None:
        """A Fragmentation Needed or Packet Too Big told the MTU of the path to `dst` (RFC 1191 3, RFC 8201 4). It only
        ever shrinks, not below ``min_pmtu``, and what is known already lasts no longer for being told again."""
        if self.is_local(dst) or self.is_broadcast(dst) or self.codec.is_multicast(dst):
            return
        route = self.lookup(dst)
        mtu = max(mtu, self.ns.conf.of(self.family).min_pmtu)
        if route is not None and mtu < self.path_mtu(route, dst, now):
            self._exception(dst, now).mtu = mtu

    def learn_gateway(self, dst: int, gateway: int, now: int) -> None:
        """A Redirect that is to be believed named a better first hop for `dst` (RFC 1122 3.2.2.2)."""
        route = self.main.lookup(dst)
        known = self._exception(dst, now)
        known.gateway, known.instead_of = gateway, -1 if route is None else route.via

    def _exception(self, dst: int, now: int) -> PathException:
        """The entry to write news about `dst` into; the oldest is forgotten when there are too many."""
        known = self.exception(dst, now) or PathException()
        self.exceptions.pop(dst, None)
        if len(self.exceptions) >= MAX_EXCEPTIONS:
            del self.exceptions[next(iter(self.exceptions))]
        known.expires = now + self.ns.conf.of(self.family).mtu_expires  # RFC 1191 6.3: 10 minutes, then a larger one
        self.exceptions[dst] = known
        return known

    def next_ident(self, src: int, dst: int, proto: int) -> int:
        """An identification for a packet that may be fragmented (RFC 6864 5, RFC 7739 5.3): one of `IDENTS` counters
        and an offset, both by a hash of (source, destination, protocol) under a key of this namespace. What a stranger
        sees of his own tells nothing of packets to others, unless they chance to share his counter, or of other
        namespaces."""
        counters, most = self._idents, self.codec.ident_mask
        if counters is None:
            counters = self._idents = array("H" if most == 0xFFFF else "I", (0,)) * IDENTS
            self._ident_key = int.from_bytes(self.ns.stack.rng.random_bytes(8), "little") << 8
        chosen = self.ns.stack.rng.keyed_hash(src, dst, self._ident_key | proto)
        index = (chosen >> 32) % IDENTS
        counters[index] = count = (counters[index] + 1) & most
        return (chosen + count) & most


def _holds(route: Route, claim: Claim, routes: set[Route]) -> bool:
    """Whether one of `routes` is a static one in the place that is claimed."""
    return route in routes and route.dev is claim[3] and route.proto != "kernel"


def _claim(entry: Entry, dev: Device) -> Claim:
    prefix, length, route = entry
    return route.table, prefix, length, dev


def _count(counts: dict[Key, int], key: Key, more: int) -> None:
    """Count `key` up or down; what is counted down to nothing is not there."""
    count = counts.get(key, 0) + more
    if count:
        counts[key] = count
    else:
        del counts[key]
