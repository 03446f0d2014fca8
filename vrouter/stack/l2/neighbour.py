"""Neighbours: from the next hop's address to the header of its frames, for ARP and NDP.

One entry (`Neigh`) stands for one address on one device's link. Its states are those of RFC 4861 7.3, with the timing
of Linux, which uses them for IPv4 too::

                 packet                  answer                time passes
      (nothing) -------> INCOMPLETE -------------> REACHABLE --------------> STALE
                            |  ^                     ^   ^                     |
               no answer to |  | packet       answer |   | confirm             | packet
              mcast_solicit v  |                     |   |                     v
                          FAILED <---------------- PROBE <------------------ DELAY
               no answer to ucast_solicit + mcast_resolicit    delay_first_probe_time

    Heard without being asked (a request from that address) means STALE: the address is known, that it can be reached is
    not. PERMANENT was configured; NOARP stands for a device without addresses to resolve. Both never change by frames.

Theory of operation. The data path looks into the device's dict itself, and while ``now < neigh.fresh_until`` it writes
``neigh.header`` and asks nobody; only otherwise it calls `NeighTable.output`. REACHABLE runs out by the clock alone: an
entry whose ``fresh_until`` has passed *is* STALE, and is rewritten so when somebody next looks; no timer is spent on
it. A timer is armed only while something is under way (INCOMPLETE, DELAY, PROBE), and the table's own timer only while
the table is large enough to be cleaned, so that a quiet stack has nothing to wake up for.

What is to be done comes out in ``actions``, which the pipeline empties after each call, in order:

- ``("solicit", neigh, unicast, source)``: ask; `source` is the source of the first waiting packet, 0 without one;
- ``("send", pkt, neigh)``: a packet that waited may go, behind ``neigh.header``;
- ``("fail", pkt, reason)``: a packet that waited dies: NEIGH_FAILED, or NEIGH_QUEUEFULL for the oldest of a full queue.

Bounds. A queue holds `unres_qlen` packets and as many bytes as Linux allots to so many, all queues of a table together
`TABLE_BYTES`; the newest packet is always kept (RFC 1122 2.3.2.2). The table holds `gc_thresh3` entries that were not
configured; then what is of least use goes (FAILED first, then the oldest STALE), and if nothing can go, the packet dies
as NEIGH_TABLEFULL. A neighbour that speaks to us also takes the place of one that is only being asked for. Requests
for one address are at least `retrans_time` apart whatever happens to its entry (RFC 1122 2.3.2.1): of the last
`KEPT_QUESTIONS` entries that were forgotten the table keeps when they were asked for.

The table of a namespace and family holds the rules and a count; entries live in the device that they belong to, so that
a device that goes takes its own along. `add_static`, `delete`, `flush` and the rest of the administration are at the
end.

Deviation: RFC 7048 3 has the pauses between questions grow beyond some number of them; here as in Linux there is only a
number of them, by settings.

Read first: RFC 4861 7.3, RFC 1122 2.3.2, RFC 1812 3.3.2.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vrouter.stack.base.addresses import V4, format_address
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.timers import Timer, TimerKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns
    from vrouter.stack.sysctl import FamilyConf, NeighConf

SECOND: Final = 1_000_000_000
FOREVER: Final = 1 << 62  # ns: later than any clock
QUEUED: Final = -1  # the packet was taken over
BYTES_PER_PACKET: Final = 2108  # what Linux's default of 101 packets is in bytes (212992)
TABLE_BYTES: Final = 16 * 1024 * 1024  # of packets waiting in one table
KEPT_QUESTIONS: Final = 1024

_MIN_RETRANS: Final = 10_000_000  # Linux's floor, against a setting of 0
_REDRAW: Final = 300 * SECOND  # how often the random factor of the reachable time changes
_SPARED: Final = 5 * SECOND  # an entry that changed less than this ago is not collected to make room
_FULL_PAUSE: Final = SECOND // 10  # between two searches for room in a full table


class NeighState(IntEnum):
    """States by ip-neighbour(8)'s names and Linux's numbers."""

    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


INCOMPLETE = NeighState.INCOMPLETE
REACHABLE = NeighState.REACHABLE
STALE = NeighState.STALE
DELAY = NeighState.DELAY
PROBE = NeighState.PROBE
FAILED = NeighState.FAILED
NOARP = NeighState.NOARP
PERMANENT = NeighState.PERMANENT


class NeighRecord(NamedTuple):
    """An entry as shown: ``mac`` is empty when unknown, ``age_ns`` the time since the entry last changed."""

    netns: str
    dev: str
    address: int
    mac: bytes
    state: NeighState
    age_ns: int


class Neigh:
    """One neighbour. Times are ns; ``header`` is destination and source MAC, None while there is none to send to."""

    __slots__ = (
        "addr",
        "asked",
        "confirmed",
        "dev",
        "family",
        "fresh_until",
        "header",
        "mac",
        "probes",
        "queue",
        "queue_bytes",
        "router",
        "state",
        "timer",
        "updated",
        "used",
    )

    def __init__(self, dev: Device, family: int, addr: int, now: int) -> None:
        self.dev = dev
        self.family = family
        self.addr = addr
        self.mac = b""
        self.header: bytes | None = None
        self.router = False  # it said so (RFC 4861 7.2.5: IsRouter)
        self.state = FAILED  # nothing known, nothing under way
        self.fresh_until = 0
        self.updated = self.used = now
        self.confirmed = 0
        self.asked = -FOREVER  # when a solicitation last went out
        self.probes = 0  # solicitations without an answer
        self.queue: list[Packet] | None = None
        self.queue_bytes = 0
        self.timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Neigh {self.addr:#x} {self.dev.name} {self.state.name}>"

    def state_at(self, now: int) -> NeighState:
        """The state at `now`: REACHABLE runs out without anybody touching the entry."""
        return STALE if self.state is REACHABLE and now >= self.fresh_until else self.state

    def changed_at(self, now: int) -> int:
        """When the state or MAC shown at `now` began."""
        return self.fresh_until if self.state is REACHABLE and now >= self.fresh_until else self.updated


def neighbours_of(dev: Device, family: int) -> dict[int, Neigh]:
    """The device's entries of a family, by address."""
    return dev.neigh4 if family == V4 else dev.neigh6


def neigh_conf_of(dev: Device, family: int) -> NeighConf:
    """The device's timing for a family."""
    return dev.neigh_conf if family == V4 else dev.neigh_conf6


class NeighTable:
    """The neighbours of one namespace and family.

    ``count`` is the number of entries that were not configured, ``queued`` of packets that wait in all of them.
    """

    __slots__ = (
        "_asked",
        "_forced_at",
        "_heard_at",
        "_redraw_at",
        "_scale",
        "actions",
        "count",
        "family",
        "gc_timer",
        "ns",
        "queue_bytes",
        "queued",
    )

    def __init__(self, ns: Netns, family: int = V4) -> None:
        self.ns = ns
        self.family = family
        self.actions: list[tuple[Any, ...]] = []
        self.count = 0
        self.queued = 0
        self.queue_bytes = 0
        self.gc_timer: Timer | None = None
        self._asked: dict[tuple[int, int], int] = {}  # (ifindex, address) of a forgotten entry -> when it was asked for
        self._forced_at = self._heard_at = -FOREVER
        self._scale = 0  # of base_reachable_time, in 1/65536
        self._redraw_at = -FOREVER

    # ----------------------------------------------------------------------------------------------- the data path

    def get(self, dev: Device, addr: int) -> Neigh | None:
        """The entry of an address, or None."""
        return neighbours_of(dev, self.family).get(addr)

    def output(self, dev: Device, addr: int, pkt: Packet, now: int) -> int:
        """A packet wants to leave to the neighbour `addr`: 0 = send it now, QUEUED = taken over, else why it dies.

        After 0 the entry is in the device's dict with a valid ``header``.
        """
        neigh = neighbours_of(dev, self.family).get(addr)
        if neigh is None:
            neigh = self._create(dev, addr, now)
            if neigh is None:
                return DropReason.NEIGH_TABLEFULL
            if not dev.with_arp:
                neigh.mac = dev.mac
                neigh.header = dev.mac + dev.mac
                neigh.state = NOARP
                neigh.fresh_until = FOREVER
        neigh.used = now
        if now < neigh.fresh_until:
            return 0
        state = neigh.state
        if state is FAILED:
            self._enqueue(neigh, pkt)
            self._resolve(neigh, now)
            return QUEUED
        if state is INCOMPLETE:
            self._enqueue(neigh, pkt)
            return QUEUED
        if state is REACHABLE or state is STALE:
            self._delay(neigh, now)
        return 0

    def confirm(self, dev: Device, addr: int, now: int) -> None:
        """The layer above knows that packets arrive there and are answered (RFC 4861 7.3.1)."""
        neigh = neighbours_of(dev, self.family).get(addr)
        if neigh is not None and neigh.header is not None and neigh.state < FAILED:
            if neigh.state_at(now) is not REACHABLE:
                neigh.updated = now
            self._reachable(neigh, now)

    # ------------------------------------------------------------------------------------- what the link tells us

    def learn(
        self,
        dev: Device,
        addr: int,
        mac: bytes,
        now: int,
        *,
        state: NeighState = STALE,
        override: bool = True,
        create: bool = False,
    ) -> Neigh | None:
        """The link says that `addr` is at `mac` (6 bytes, no group); the entry afterwards, None when there is none.

        `state` is REACHABLE for the answer to a question, STALE for what was only heard. A known MAC is replaced only
        with `override`; see `locked`. `create` makes an entry when there was none (None when the table is full).
        Configured entries never change (RFC 4861 7.3.3, Linux's neigh_update).
        """
        neigh = neighbours_of(dev, self.family).get(addr)
        if neigh is None:
            if not create:
                return None
            neigh = self._create(dev, addr, now, heard=True)
            if neigh is None:
                return None
        if neigh.state >= NOARP:
            return neigh
        old = neigh.state_at(now)
        changed = mac != neigh.mac
        if neigh.header is not None:
            if changed and not override:
                return neigh
            if not changed and state is STALE:
                return neigh  # nothing new, and no less reachable than before
        if changed or state is not old:
            neigh.updated = now
        if changed:
            neigh.mac = mac
            neigh.header = mac + dev.mac
        if state is REACHABLE:
            self._reachable(neigh, now)
        else:
            self._stop_timer(neigh)
            neigh.state = STALE
            neigh.fresh_until = 0
        if neigh.queue is not None:
            self._release(neigh, now)
        return neigh

    def doubt(self, neigh: Neigh, now: int) -> None:
        """Somebody else says that he has the address, but must not replace what is known: a REACHABLE entry becomes
        STALE, and is asked when it is next used (RFC 4861 7.2.5 I)."""
        if neigh.state is REACHABLE:
            neigh.updated = now
            neigh.state = STALE
            neigh.fresh_until = 0

    def locked(self, neigh: Neigh, now: int) -> bool:
        """Whether the entry changed so recently that another answer is no reason to change it again.

        Several stations may answer one question (proxies); the first, which is the nearest, wins for `locktime`.
        """
        return now <= neigh.updated + neigh_conf_of(neigh.dev, self.family).locktime

    # -------------------------------------------------------------------------------------------------- time

    def timer_fired(self, neigh: Neigh, now: int) -> None:
        """The entry's timer (TimerKind.NEIGH) is due: ask again, start to ask, or give up."""
        conf = neigh_conf_of(neigh.dev, self.family)
        state = neigh.state
        if state is DELAY:
            neigh.state = state = PROBE
            neigh.updated = now
            neigh.probes = 0
        if state is PROBE or state is INCOMPLETE:
            if neigh.probes < (conf.ucast_solicit + conf.mcast_resolicit if state is PROBE else conf.mcast_solicit):
                self._solicit(neigh, now)
            else:
                self._fail(neigh, now)

    def gc(self, now: int) -> None:
        """The table's timer (TimerKind.NEIGH_GC) is due: forget what failed, or was not used for `gc_stale_time`.

        As in Linux nothing is forgotten while the table has fewer than `gc_thresh1` entries.
        """
        if self.count >= self._conf.gc_thresh1:
            for neigh in list(self._all()):
                state = neigh.state_at(now)
                if state is FAILED:
                    self._remove(neigh)
                elif state is STALE or state is NOARP:
                    idle = now - max(neigh.used, neigh.confirmed)
                    if idle >= neigh_conf_of(neigh.dev, self.family).gc_stale_time:
                        self._remove(neigh)
        if self._is_crowded():
            self._arm_gc(now)

    # ----------------------------------------------------------------------------------------------- administration

    def add_static(self, dev: Device, addr: int, mac: bytes, now: int) -> Neigh:
        """Configure a neighbour: it stays until `delete`, and no frame changes it. Packets that wait for it go out.

        Such entries do not count against the table's bound: who configures them knows how many.
        """
        entries = neighbours_of(dev, self.family)
        neigh = entries.get(addr)
        if neigh is None:
            neigh = entries[addr] = Neigh(dev, self.family, addr, now)
        elif neigh.state is not PERMANENT:
            self.count -= 1
        self._stop_timer(neigh)
        neigh.mac = mac
        neigh.header = mac + dev.mac
        neigh.state = PERMANENT
        neigh.fresh_until = FOREVER
        neigh.updated = now
        if neigh.queue is not None:
            self._release(neigh, now)
        return neigh

    def delete(self, dev: Device, addr: int, reason: DropReason = DropReason.NEIGH_FAILED) -> bool:
        """Forget an entry, configured or not; False when there was none. What waited for it dies of `reason`."""
        neigh = neighbours_of(dev, self.family).get(addr)
        if neigh is None:
            return False
        self._remove(neigh, reason)
        return True

    def flush(
        self, dev: Device | None = None, *, static: bool = False, reason: DropReason = DropReason.NEIGH_FAILED
    ) -> int:
        """Forget the entries of `dev` (None: of the namespace), with `static` the configured ones too; how many."""
        doomed = list(self._all() if dev is None else neighbours_of(dev, self.family).values())
        if not static:
            doomed = [neigh for neigh in doomed if neigh.state is not PERMANENT]
        for neigh in doomed:
            self._remove(neigh, reason)
        return len(doomed)

    def device_down(self, dev: Device) -> None:
        """The device went down or lost its carrier: who was there may not be there when it comes back.

        What waits is answered as unreachable (RFC 1812 5.3.12.3). Configured entries stay, as configuration does.
        """
        self.flush(dev)

    def address_changed(self, dev: Device) -> None:
        """Addresses of `dev` came or went, and the routes with them: forget neighbours that are now ourselves, or that
        no prefix and no route finds on this link any more."""
        ip = self.ns.ip(self.family)
        for neigh in list(neighbours_of(dev, self.family).values()):
            if neigh.state is not PERMANENT:
                here = ip.on_link(dev, neigh.addr) or ip.out_device(neigh.addr) is dev
                if not here or ip.is_local(neigh.addr):
                    self._remove(neigh)

    def entries(self, now: int) -> list[NeighRecord]:
        """Every entry, by device in order of creation, then by address."""
        return [
            NeighRecord(self.ns.name, dev.name, addr, neigh.mac, neigh.state_at(now), now - neigh.changed_at(now))
            for dev in self.ns.devices.values()
            for addr, neigh in sorted(neighbours_of(dev, self.family).items())
        ]

    # -------------------------------------------------------------------------------------------------- inner works

    @property
    def _conf(self) -> FamilyConf:
        return self.ns.conf.of(self.family)

    def _all(self) -> Iterator[Neigh]:
        for dev in self.ns.devices.values():
            yield from neighbours_of(dev, self.family).values()

    def _is_crowded(self) -> bool:
        return 0 < self.count >= self._conf.gc_thresh1

    def _create(self, dev: Device, addr: int, now: int, *, heard: bool = False) -> Neigh | None:
        conf = self._conf
        if self.count >= conf.gc_thresh2 or self.count >= conf.gc_thresh3:
            # A search costs as much as the table is long, so a flood of new addresses must not buy one each.
            full = self.count >= conf.gc_thresh3
            if now >= self._forced_at + (_FULL_PAUSE if full else _SPARED):
                self._make_room(now)
            if self.count >= conf.gc_thresh3 and heard and now >= self._heard_at + _FULL_PAUSE:
                self._make_room(now, heard=True)
            if self.count >= conf.gc_thresh3:
                return None
        neigh = neighbours_of(dev, self.family)[addr] = Neigh(dev, self.family, addr, now)
        if self._asked:
            neigh.asked = self._asked.pop((dev.ifindex, addr), -FOREVER)
        self.count += 1
        if self._is_crowded() and (self.gc_timer is None or self.gc_timer.deadline < 0):
            self._arm_gc(now)
        return neigh

    def _make_room(self, now: int, *, heard: bool = False) -> None:
        """Remove what is of least use, down to `gc_thresh2`: FAILED, then the oldest of what is idle; for a neighbour
        that was `heard` also what was asked for and did not answer yet. Who scans a prefix makes nothing but such
        entries, and must not keep those out who are there (RFC 6583 7.1)."""
        if heard:
            self._heard_at = now
        else:
            self._forced_at = now
        conf = self._conf
        spare = max(self.count - min(conf.gc_thresh2, conf.gc_thresh3), 1)
        found: list[tuple[int, int, Neigh]] = []
        for neigh in self._all():
            state = neigh.state_at(now)
            since = neigh.changed_at(now)
            if state is FAILED or state is NOARP:
                found.append((0, since, neigh))
            elif state is STALE and since < now - _SPARED:
                found.append((1, since, neigh))
            elif heard and state is INCOMPLETE:
                found.append((2, since, neigh))
        found.sort(key=_usefulness)
        for _, _, neigh in found[:spare]:
            self._remove(neigh, DropReason.NEIGH_TABLEFULL if neigh.state is INCOMPLETE else DropReason.NEIGH_FAILED)

    def _remove(self, neigh: Neigh, reason: DropReason = DropReason.NEIGH_FAILED) -> None:
        self._stop_timer(neigh)
        del neighbours_of(neigh.dev, self.family)[neigh.addr]
        if neigh.asked >= 0:
            if len(self._asked) >= KEPT_QUESTIONS:
                del self._asked[next(iter(self._asked))]
            self._asked[neigh.dev.ifindex, neigh.addr] = neigh.asked
        if neigh.state is not PERMANENT:
            self.count -= 1
        neigh.fresh_until = 0
        neigh.state = FAILED
        self._give_up(neigh, reason)
        if self.gc_timer is not None and not self._is_crowded():
            self.ns.stack.timers.cancel(self.gc_timer)

    def _enqueue(self, neigh: Neigh, pkt: Packet) -> None:
        size = len(pkt.buf)
        queue = neigh.queue
        if queue is None:
            queue = neigh.queue = []
        limit = neigh_conf_of(neigh.dev, self.family).unres_qlen
        while queue and (
            len(queue) >= limit
            or neigh.queue_bytes + size > limit * BYTES_PER_PACKET
            or self.queue_bytes + size > TABLE_BYTES
        ):
            oldest = queue.pop(0)
            neigh.queue_bytes -= len(oldest.buf)
            self.queued -= 1
            self.queue_bytes -= len(oldest.buf)
            self.actions.append(("fail", oldest, DropReason.NEIGH_QUEUEFULL))
        queue.append(pkt)
        self.queued += 1
        neigh.queue_bytes += size
        self.queue_bytes += size

    def _take_queue(self, neigh: Neigh) -> list[Packet]:
        queue = neigh.queue or []
        neigh.queue = None
        self.queued -= len(queue)
        self.queue_bytes -= neigh.queue_bytes
        neigh.queue_bytes = 0
        return queue

    def _release(self, neigh: Neigh, now: int) -> None:
        """The MAC is known: what waited goes, which is a use of the entry."""
        if neigh.state is STALE:
            self._delay(neigh, now)
        for pkt in self._take_queue(neigh):
            self.actions.append(("send", pkt, neigh))

    def _give_up(self, neigh: Neigh, reason: DropReason) -> None:
        for pkt in self._take_queue(neigh):
            self.actions.append(("fail", pkt, reason))

    def _resolve(self, neigh: Neigh, now: int) -> None:
        """Begin to ask for an address of which nothing is known, or to which nobody answered."""
        neigh.state = INCOMPLETE
        neigh.updated = now
        neigh.probes = 0
        self._solicit(neigh, now)

    def _solicit(self, neigh: Neigh, now: int) -> None:
        conf = neigh_conf_of(neigh.dev, self.family)
        pause = max(conf.retrans_time, _MIN_RETRANS)
        if now < neigh.asked + pause:  # RFC 1122 2.3.2.1: the last question, in whichever state, is too recent
            self._arm(neigh, neigh.asked + pause)
            return
        unicast = neigh.state is PROBE and neigh.probes < conf.ucast_solicit
        neigh.probes += 1
        neigh.asked = now
        self._arm(neigh, now + pause)
        source = neigh.queue[0].src if neigh.queue else 0
        self.actions.append(("solicit", neigh, unicast, source))

    def _fail(self, neigh: Neigh, now: int) -> None:
        if neigh.state is PROBE:  # one that was there is gone; addresses that never answered are no event
            address = format_address(neigh.addr, self.family)
            self.ns.stack.events.add(now, EventKind.NEIGH_FAILED, self.ns.name, neigh.dev.name, address=address)
        neigh.state = FAILED
        neigh.updated = now
        neigh.mac = b""
        neigh.header = None
        neigh.fresh_until = 0
        if neigh.router:  # others go before it, if there are any (RFC 4861 6.3.6)
            self.ns.ndp.next_hop_failed(neigh.dev, neigh.addr, now)
        self._give_up(neigh, DropReason.NEIGH_FAILED)

    def _delay(self, neigh: Neigh, now: int) -> None:
        """The first packet to a STALE neighbour goes at once; whether it is still there is asked a little later."""
        neigh.state = DELAY
        neigh.fresh_until = 0
        neigh.updated = now
        self._arm(neigh, now + neigh_conf_of(neigh.dev, self.family).delay_first_probe_time)

    def _reachable(self, neigh: Neigh, now: int) -> None:
        if now >= self._redraw_at:
            # RFC 4861 6.3.2: between 0.5 and 1.5 times the base, so that neighbours do not all probe in step.
            self._scale = 32768 + self.ns.stack.rng.below(65536)
            self._redraw_at = now + _REDRAW
        self._stop_timer(neigh)
        neigh.state = REACHABLE
        neigh.confirmed = now
        base = neigh_conf_of(neigh.dev, self.family).base_reachable_time
        neigh.fresh_until = now + (base * self._scale >> 16)

    def _arm(self, neigh: Neigh, deadline: int) -> None:
        if neigh.timer is None:
            neigh.timer = Timer(TimerKind.NEIGH, neigh)
        self.ns.stack.timers.arm(neigh.timer, deadline)

    def _stop_timer(self, neigh: Neigh) -> None:
        if neigh.timer is not None:
            self.ns.stack.timers.cancel(neigh.timer)

    def _arm_gc(self, now: int) -> None:
        if self.gc_timer is None:
            self.gc_timer = Timer(TimerKind.NEIGH_GC, self)
        self.ns.stack.timers.arm(self.gc_timer, now + self._conf.gc_interval)


def _usefulness(row: tuple[int, int, Neigh]) -> tuple[int, int]:
    return row[0], row[1]
