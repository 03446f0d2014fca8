"""The stack: all namespaces of one router as a function of (state, frame, now).

It reads no clock, opens nothing and sleeps never: `receive` takes a frame, `poll` runs due timers, `take_egress` hands
out what is to be sent, `poll_at` says when to come back. `now` is an int of nanoseconds that never decreases: every
call of the stack, its namespaces and their sockets goes through `Stack.advance`; one that is told no time happens at
the latest that was. The same seed and the same calls give the same bytes.
"""

from __future__ import annotations

import errno
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from vrouter.stack.base import names
from vrouter.stack.base.counters import Stat, new_drops
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind, EventLog
from vrouter.stack.base.packet import HEADROOM, PAD, Packet
from vrouter.stack.base.rng import Rng
from vrouter.stack.base.timers import TimerHeap, TimerKind
from vrouter.stack.crossing import Crossing, veth_record
from vrouter.stack.device import STACKED_KINDS, Device
from vrouter.stack.l2.ndp import NDP_TIMERS
from vrouter.stack.l3.multicast.groups import MULTICAST_TIMERS
from vrouter.stack.l3.sweep import Sweeper
from vrouter.stack.l4.tcp.due import TCP_TIMERS
from vrouter.stack.netns import Netns
from vrouter.stack.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vrouter.stack.device import Address
    from vrouter.stack.l2.bridge import Bridge
    from vrouter.stack.l2.neighbour import Neigh, NeighTable
    from vrouter.stack.l3.reassembly import Queue


class Stack:
    """All namespaces, and what they share: time, timers, random numbers, the way of packets.

    `seed` keys the random numbers (128 bits from the system in production, a small int in tests); `identity` makes the
    stable MAC addresses of devices that were given none.
    """

    __slots__ = (
        "_gone_drops",
        "_gone_rx",
        "_gone_stats",
        "_gone_tx",
        "_movers",
        "_subsystems",
        "_timer_dispatch",
        "crossings_to",
        "drops",
        "events",
        "identity",
        "namespaces",
        "now",
        "pipeline",
        "ready",
        "rng",
        "sweeper",
        "timers",
        "unmapped",
    )

    def __init__(self, seed: int | bytes = 0, *, identity: str = "") -> None:
        self.rng = Rng(seed)
        self.identity = identity
        self.now = 0
        self.timers = TimerHeap()
        self.events = EventLog()
        self.namespaces: dict[str, Netns] = {}
        self.crossings_to: dict[str, list[Crossing]] = {}  # short-cuts by the path that they lead to
        self.ready: dict[Any, int] = {}  # sockets, in the order in which they became READ, WRITE, ERROR
        self.drops = new_drops()  # of frames that no namespace owns
        self.unmapped = 0  # how many such frames came in
        self._gone_rx = self._gone_tx = self._gone_drops = 0  # of devices and namespaces that are no more
        self._gone_stats = [0] * len(Stat)
        self._movers: dict[bytes, Device] = {}  # devices that changed place or name, by MAC
        self._subsystems: list[tuple[Callable[[Netns], None], Callable[[Netns], None]]] = []
        self.pipeline = Pipeline(self)
        self.sweeper = Sweeper(self)
        self._timer_dispatch: dict[int, Callable[[Any, int], Netns | None]] = {
            TimerKind.SWEEP: _sweep_due,
            TimerKind.NEIGH: _neigh_due,
            TimerKind.NEIGH_GC: _neigh_gc_due,
            TimerKind.REASSEMBLY: _reassembly_due,
            TimerKind.ACD: _acd_due,
            TimerKind.BRIDGE_AGE: _bridge_age_due,
            TimerKind.STP_TICK: _stp_tick_due,
            TimerKind.SNOOPING: _snooping_due,
            **NDP_TIMERS,
            **MULTICAST_TIMERS,
            **TCP_TIMERS,
        }

    # -- namespaces and devices ---------------------------------------------------------------------------------------

    def add_netns(self, name: str, *, accept_from: Iterable[str] = (), now: int | None = None) -> Netns:
        """A new namespace at path `name`, whose parent must exist. OSError EINVAL, EEXIST, ENOENT.

        What a subsystem's `init` raises ends the namespace again, with all that was made in it.
        """
        now = self.advance(now)
        if isinstance(accept_from, str):
            raise TypeError("accept_from is a list of names")
        problem = names.check_path(name)
        if problem:
            raise OSError(errno.EINVAL, problem)
        if name in self.namespaces:
            raise FileExistsError(errno.EEXIST, f"namespace {name!r} exists already")
        parent = names.parent_of(name)
        if parent and parent not in self.namespaces:
            raise FileNotFoundError(errno.ENOENT, f"no namespace {parent!r} to make {name!r} in")
        ns = Netns(self, name)
        if accept_from:
            ns.accept_from = frozenset(accept_from)
        self.namespaces[name] = ns
        if parent:
            self.namespaces[parent].children[name] = ns
        for crossing in self.crossings_to.get(name, ()):
            crossing.target = ns
        self.events.add(now, EventKind.NETNS_ADD, name)
        entered: list[Callable[[Netns], None]] = []
        try:
            for init, leave in self._subsystems:
                init(ns)
                entered.append(leave)
        except BaseException:
            for one in reversed(ns.descendants()):
                self._close(one, now)
            self._close(ns, now, entered)
            self.pipeline.run(now)
            raise
        return ns

    def remove_netns(self, name: str, *, recursive: bool = False, now: int | None = None) -> None:
        """Remove a namespace with everything in it; a veth's peer goes too. OSError ENOENT, ENOTEMPTY."""
        now = self.advance(now)
        ns = self.namespaces.get(name)
        if ns is None:
            raise FileNotFoundError(errno.ENOENT, f"no namespace {name!r}")
        within = ns.descendants()
        if within and not recursive:
            raise OSError(errno.ENOTEMPTY, f"namespace {name!r} has children: {', '.join(one.name for one in within)}")
        for one in [*reversed(within), ns]:
            self._close(one, now)
        self.pipeline.run(now)

    def _close(self, ns: Netns, now: int, leaves: Iterable[Callable[[Netns], None]] | None = None) -> None:
        for leave in reversed([leave for _, leave in self._subsystems] if leaves is None else list(leaves)):
            leave(ns)
        for dev in list(ns.devices.values()):
            if dev.peer is not None:
                self.remove_device(dev, now=now)
        ns.close(now)
        del self.namespaces[ns.name]
        parent = names.parent_of(ns.name)
        if parent:
            del self.namespaces[parent].children[ns.name]
        for crossing in self.crossings_to.get(ns.name, ()):
            crossing.target = None
        for target in list(ns.crossings):
            ns.forget_crossing(target)
        self._gone_drops += sum(ns.drops)
        for index, count in enumerate(ns.stats):
            self._gone_stats[index] += count
        self.events.add(now, EventKind.NETNS_DEL, ns.name)

    def register(self, init: Callable[[Netns], None], leave: Callable[[Netns], None]) -> None:
        """Add a subsystem: `init` runs for every namespace that exists and every later one, `leave` before its end.

        When `init` raises for one that exists, the subsystem leaves those that it was in, and is not added.
        """
        entered: list[Netns] = []
        try:
            for ns in list(self.namespaces.values()):
                init(ns)
                entered.append(ns)
        except BaseException:
            for ns in reversed(entered):
                leave(ns)
            raise
        self._subsystems.append((init, leave))

    def add_veth(
        self,
        ns1: Netns,
        name1: str,
        ns2: Netns,
        name2: str,
        *,
        mtu: int = 1500,
        mac1: str | bytes | None = None,
        mac2: str | bytes | None = None,
        now: int | None = None,
    ) -> tuple[Device, Device]:
        """A pair of devices, each the other's wire."""
        now = self.advance(now)

        def wait(dev: Device) -> None:  # for its other end: what it says now would be lost
            dev.carrier = dev.ready = False

        def join(dev: Device) -> None:
            dev.peer, one.peer = one, dev
            one.carrier = True
            one.refresh()

        one = ns1.add_device(name1, mac1, mtu, kind="veth", prepare=wait, now=now)
        try:
            two = ns2.add_device(name2, mac2, mtu, kind="veth", prepare=join, now=now)
        except BaseException:
            self.remove_device(one, now=now)
            raise
        ns1._greet(one, now)
        ns1.settle(now)
        return one, two

    def remove_device(self, dev: Device, *, now: int | None = None) -> None:
        """Remove a device (and a veth's peer); what waited for it dies. OSError ENODEV when it is gone already."""
        now = self.advance(now)
        dev.ns.own(dev)
        peer = dev.peer
        for one in (dev,) if peer is None else (dev, peer):
            ns = one.ns
            ns.detach_device(one, now)
            self.retire(one)
            self.events.add(now, EventKind.DEVICE_DEL, ns.name, one.name)
            one.peer = None
        self.pipeline.run(now)

    def move_device(self, dev: Device, target: Netns, name: str | None = None, *, now: int | None = None) -> Device:
        """Move a device to another namespace under `name`; its addresses, neighbours and routes stay behind.

        The object is the same afterwards, with counters that go on. OSError EEXIST when the name is taken there, ENODEV
        when the device is gone, ENOENT when the namespace is.
        """
        now = self.advance(now)
        dev.ns.own(dev)
        target.check_open()
        new_name = dev.name if name is None else name
        problem = names.check_device(new_name)
        if problem:
            raise OSError(errno.EINVAL, problem)
        if dev.kind == "lo":
            raise OSError(errno.EINVAL, "lo belongs to its namespace")
        if dev.kind in STACKED_KINDS or dev.vlans is not None:
            raise OSError(errno.EBUSY, f"device {dev.name!r} is a vlan, a bridge, or below a vlan")
        if target is dev.ns and new_name == dev.name:
            return dev
        if new_name in target.devices:
            raise FileExistsError(errno.EEXIST, f"device {new_name!r} exists already in namespace {target.name!r}")
        source, old_name = dev.ns, dev.name
        source.detach_device(dev, now)
        target.adopt_device(dev, new_name, now)
        self._movers[dev.mac] = dev
        self.events.add(now, EventKind.DEVICE_MOVE, target.name, new_name, source=source.name, name=old_name)
        self.pipeline.run(now)
        return dev

    def stable_mac(self, netns: str, device: str) -> bytes:
        """A locally administered address that is the same each time for the same identity, namespace and device.

        A device that moved took the address of its first place along: whoever comes there after it has the next one.
        """
        text, place = "\0".join((self.identity, netns, device)), 0
        while True:
            salt = place.to_bytes(4, "big") if place else b""
            mac = b"\x02" + blake2b(text.encode(), digest_size=5, salt=salt, person=b"vrouter-mac").digest()
            if mac not in self._movers:
                return mac
            place += 1

    # -- packets and time ---------------------------------------------------------------------------------------------

    def receive(self, dev: Device, frame: bytes | bytearray | memoryview, now: int) -> None:
        """An Ethernet frame came in by `dev`. Never raises on what is in it; runs to completion."""
        if now < self.now:
            raise ValueError("time went backwards")
        self.now = now
        pipeline = self.pipeline
        if dev.vnet_hdr:
            pipeline.vnet_input(dev, frame, now)
        else:
            buf = bytearray(PAD)
            buf += frame
            pipeline.frame_input(dev, Packet(buf, HEADROOM, len(buf)), now)
        if pipeline.work:
            pipeline.run(now)

    def receive_buffer(self, dev: Device, buf: bytearray, now: int) -> None:
        """`receive` a frame with a virtio-net header in a buffer that is given away: `HEADROOM` bytes in front, nothing
        behind. Large frames are moved so without a copy."""
        if now < self.now:
            raise ValueError("time went backwards")
        self.now = now
        pipeline = self.pipeline
        pipeline.vnet_buffer(dev, buf, now)
        if pipeline.work:
            pipeline.run(now)

    def receive_unmapped(self, now: int) -> None:
        """A frame came in that no namespace owns."""
        self.advance(now)
        self.unmapped += 1
        self.drops[DropReason.NS_UNMAPPED] += 1

    def poll(self, now: int) -> None:
        """Run the timers that are due."""
        self.advance(now)
        timers = self.timers
        while True:
            timer = timers.pop_due(now)
            if timer is None:
                return
            ns = self._timer_dispatch[timer.kind](timer.owner, now)
            if ns is None:
                continue
            self.pipeline.settle(ns, now)
            self.pipeline.run(now)

    def poll_at(self) -> int | None:
        """When `poll` has something to do, in ns; None when nothing is waiting."""
        return self.timers.poll_at()

    def take_egress(self) -> list[tuple[Device, bytearray]]:
        """The frames to send, in order, each with its device."""
        pipeline = self.pipeline
        frames = pipeline.egress
        if frames:
            pipeline.egress = []
        return frames

    def take_ready(self) -> list[tuple[Any, int]]:
        """The sockets that became READ (1), WRITE (2) or ERROR (4) since the last call."""
        ready, self.ready = self.ready, {}
        for sock in ready:
            sock.announced = 0
        return list(ready.items())

    def egress_failed(self, dev: Device, frame_bytes: int, reason: DropReason, packets: int = 1) -> None:
        """The driver could not send a frame that was counted as transmitted: it was dropped instead. A superframe is as
        many `packets` as it stands for, `frame_bytes` those of all of them (`wire.vnet.wire_size`)."""
        if dev.removed:  # its totals are the stack's by now
            self._gone_tx -= packets
            self.drops[reason] += packets
            return
        dev.tx_packets -= packets
        dev.tx_bytes -= frame_bytes
        dev.count_drop(reason, packets)

    def advance(self, now: int | None = None) -> int:
        """It is `now` (ns); None: it is still what it was. The time as it is then; ValueError when it would go back."""
        if now is None:
            return self.now
        if now < self.now:
            raise ValueError("time went backwards")
        self.now = now
        return now

    # -- accounts -----------------------------------------------------------------------------------------------------

    def free_mac(self, dev: Device) -> None:
        """A device gives up its address, so that `stable_mac` may give it to another."""
        if self._movers.get(dev.mac) is dev:
            del self._movers[dev.mac]

    def retire(self, dev: Device) -> None:
        """Keep the totals of a device that goes."""
        self.free_mac(dev)
        if dev.kind in STACKED_KINDS:
            return
        self._gone_rx += dev.rx_packets
        self._gone_tx += dev.tx_packets

    def accounts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Where all packets came from and where they are: the two sums are equal at any moment (`counters`)."""
        stats, drops, queued = list(self._gone_stats), sum(self.drops) + self._gone_drops, 0
        received, transmitted = self.unmapped + self._gone_rx, self._gone_tx
        for ns in self.namespaces.values():
            drops += sum(ns.drops)
            queued += ns.queued()
            for index, count in enumerate(ns.stats):
                stats[index] += count
            for dev in ns.devices.values():
                if dev.kind not in STACKED_KINDS:  # their packets are those of the devices below
                    received += dev.rx_packets
                    transmitted += dev.tx_packets
                drops += sum(dev.drops or ())
        return (
            {
                "received": received + stats[Stat.AcctCrossedIn],
                "originated": stats[Stat.AcctOriginated],
                "copies": stats[Stat.AcctCopies],
                "fragments": stats[Stat.AcctFragments],
            },
            {
                "consumed": stats[Stat.AcctConsumed],
                "delivered": stats[Stat.AcctDelivered],
                "transmitted": transmitted + stats[Stat.AcctCrossedOut],
                "queued": queued,
                "absorbed": stats[Stat.AcctAbsorbed],
                "dropped": drops,
            },
        )

    def crossings(self) -> list[dict[str, Any]]:
        """The rows of ``show crossings``: short-cuts and pairs between namespaces."""
        rows = []
        for ns in self.namespaces.values():
            rows += [crossing.record() for crossing in ns.crossings.values()]
            rows += [
                veth_record(dev, dev.peer)
                for dev in ns.devices.values()
                if dev.peer is not None and dev.peer.ns is not ns
            ]
            rows += [row for dev in ns.devices.values() if dev.ingress is not None for row in dev.ingress.records()]
        return rows


def _neigh_due(neigh: Neigh, now: int) -> Netns:
    ns = neigh.dev.ns
    ns.ip(neigh.family).neighbours.timer_fired(neigh, now)
    return ns


def _neigh_gc_due(table: NeighTable, now: int) -> Netns:
    table.gc(now)
    return table.ns


def _reassembly_due(queue: Queue, now: int) -> Netns:
    queue.table.timer_fired(queue, now)
    return queue.table.ns


def _bridge_age_due(bridge: Bridge, now: int) -> Netns:
    bridge.age(now)
    return bridge.dev.ns


def _stp_tick_due(bridge: Bridge, now: int) -> Netns:
    bridge.tick(now)
    return bridge.dev.ns


def _snooping_due(bridge: Bridge, now: int) -> Netns:
    bridge.snoop(now)
    return bridge.dev.ns


def _sweep_due(sweeper: Sweeper, now: int) -> None:
    sweeper.timer_fired(now)


def _acd_due(address: Address, now: int) -> Netns:
    ns = address.dev.ns
    ns.acd.timer_fired(address, now)
    return ns
