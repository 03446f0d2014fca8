"""Duplicate address detection for IPv6, and what a device tells the link of its addresses unasked.

::

    start ─► tentative: 0..1 s, solicitation with a nonce, retrans_time, … ─► preferred (or deprecated): advertisement
                 │  ▲                                            │
                 │  └── one came back: `MAX_MULTICAST_SOLICIT` more
                 └── somebody has it, or wants it too ─► conflict (not used)

``dad_transmits`` solicitations are sent ``retrans_time`` apart (RFC 4862 5.4); with 0, with ``accept_dad`` 0, and on a
device without link addresses an address is used at once. Each solicitation carries a nonce of its own (RFC 7527), so
that what a looped link sends back is told from another station's: it is counted, told as an ADDRESS_LOOPED event, and
the detection goes on until a round came through in which nothing came back. With ``enhanced_dad`` 0 there is no nonce,
and our own MAC as the frame's source stands for it.

An address in conflict stays so until `start` is called for it again, unless it was made here from a hash: then the next
of its kind is tried (RFC 7217 6, `l2.slaac`). With ``accept_dad`` 2 a conflict over the link-local address of the MAC
ends IPv6 on the device, because then the MAC is not unique either (RFC 4862 5.4.5). An address in use is never given
up: who claims it is told as an ADDRESS_CONFLICT event, at most once in `TELL_INTERVAL`.

Once usable, an address is advertised to all nodes unasked (RFC 4861 7.2.6, RFC 9131), once; with ``ndisc_notify``
`MAX_NEIGHBOR_ADVERTISEMENT` times. `announce` does the same for all addresses of a device whose MAC changed.

`start` is called when the address is configured and whenever its device becomes ready. What is to be done stands in
``ndp.actions``: ``("message", pkt)``, ``("state", address, state)`` (already set) and ``("disable", dev)``.

Deviations from RFC 4862, all of them Linux's too. 5.4.2: the solicited-node group is joined at once, and only the
probe delayed, so that what is heard meanwhile counts. 5.4.5: IPv6 goes on after a conflict over the MAC's address
unless ``accept_dad`` is 2. RFC 4861 7.2.6: `announce` tells all addresses at once, without pauses between them.

Read first: RFC 4862 5.4, RFC 7527 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import (
    ALL_NODES6,
    V6,
    format_ipv6,
    format_mac,
    is_link_local6,
    link_local_of,
    solicited_node,
    unscoped,
)
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l2.ndp_message import message
from vrouter.stack.wire.ndp import NeighbourAdvertisement, NeighbourSolicitation

if TYPE_CHECKING:
    from vrouter.stack.device import Address, Device
    from vrouter.stack.l2.ndp import Ndp
    from vrouter.stack.netns import Netns

SECOND: Final = 1_000_000_000
MAX_MULTICAST_SOLICIT: Final = 3
MAX_NEIGHBOR_ADVERTISEMENT: Final = 3
NONCE_LEN: Final = 6  # RFC 3971 5.3.2
KEPT_NONCES: Final = 16  # of the solicitations that may still come back
TELL_INTERVAL: Final = 10 * SECOND

_NEVER: Final = -(1 << 62)
USABLE: Final = ("preferred", "deprecated")


class Probe:
    """What is under way for one address (``Address.probe``); times in ns."""

    __slots__ = ("announced", "limit", "looped", "nonces", "sent", "timer", "told")

    def __init__(self, address: Address) -> None:
        self.timer = Timer(TimerKind.DAD, address)
        self.sent = 0  # solicitations
        self.limit = 0  # after how many it is decided
        self.nonces: list[bytes] = []
        self.looped = False  # one came back in this round
        self.announced = 0  # unsolicited advertisements
        self.told = _NEVER  # when a conflict was last told


class Dad:
    """Detection for the addresses of one namespace; what it knows of an address stands in the address."""

    __slots__ = ("ndp", "ns")

    def __init__(self, ndp: Ndp) -> None:
        self.ndp = ndp
        self.ns: Netns = ndp.ns

    def start(self, address: Address, now: int) -> None:
        """The address was configured, or its device became ready: detect from the beginning, or use it at once."""
        dev = address.dev
        probe = self._probe(address)
        self.ns.stack.timers.cancel(probe.timer)
        probe.sent = probe.announced = 0
        probe.nonces.clear()
        probe.looped = False
        probe.limit = dev.conf6.dad_transmits if dev.with_arp and dev.conf6.accept_dad else 0
        if probe.limit == 0:
            self._assign(address, probe, now)
            return
        self._set_state(address, "tentative")
        if dev.ready:  # RFC 4862 5.4.2: a random delay, for all who were switched on at the same time
            delay = dev.conf6.router_solicitation_delay
            self.ns.stack.timers.arm(probe.timer, now + self.ns.stack.rng.below(delay + 1))

    def stop(self, address: Address) -> None:
        """The address was taken away: nothing more is sent for it."""
        probe: Probe | None = address.probe
        if probe is not None:
            self.ns.stack.timers.cancel(probe.timer)
            address.probe = None

    def announce(self, dev: Device, now: int) -> None:
        """The device's MAC changed: say so for each usable address (RFC 4861 7.2.6)."""
        for address in dev.addresses:
            if address.family == V6 and address.state in USABLE:
                probe = self._probe(address)
                probe.announced = 0
                self._announce(address, probe, now)

    def timer_fired(self, address: Address, now: int) -> None:
        """The address's timer (TimerKind.DAD) is due: the next solicitation, the verdict, the next announcement."""
        probe: Probe | None = address.probe
        dev = address.dev
        if probe is None or not dev.ready:
            return  # the device's return starts it again
        if address.state in USABLE:
            self._announce(address, probe, now)
            return
        if address.state != "tentative":
            return
        if probe.sent >= probe.limit:
            if not probe.looped:
                self._assign(address, probe, now)
                return
            probe.looped = False  # RFC 7527 4.2: as long as the link sends them back
            probe.limit = probe.sent + MAX_MULTICAST_SOLICIT
        self._solicit(address, probe)
        self.ns.stack.timers.arm(probe.timer, now + dev.neigh_conf6.retrans_time)

    def solicited(self, address: Address, mac: bytes, nonce: bytes, now: int) -> None:
        """A solicitation without a source (RFC 4862 5.4.3) for a tentative address came in, in a frame from `mac`."""
        probe = self._probe(address)
        is_own = nonce in probe.nonces if address.dev.conf6.enhanced_dad else mac in self.ns.macs
        if is_own:
            self.ns.stats[Stat.NdpLooped] += 1
            if not probe.looped:
                self._tell(EventKind.ADDRESS_LOOPED, address, mac, now)
            probe.looped = address.dev.conf6.enhanced_dad
            return
        self._lose(address, mac, now)

    def advertised(self, address: Address, mac: bytes, now: int) -> None:
        """Somebody else says that he has an address of ours (RFC 4862 5.4.4)."""
        if address.state == "tentative":
            self._lose(address, mac, now)
            return
        self.ns.stats[Stat.NdpConflicts] += 1
        probe = self._probe(address)
        if now - probe.told >= TELL_INTERVAL:
            probe.told = now
            self._tell(EventKind.ADDRESS_CONFLICT, address, mac, now)

    # -- inner works ---------------------------------------------------------------------------------------------------

    def _probe(self, address: Address) -> Probe:
        probe: Probe | None = address.probe
        if probe is None:
            probe = address.probe = Probe(address)
        return probe

    def _solicit(self, address: Address, probe: Probe) -> None:
        probe.sent += 1
        nonce = b""
        if address.dev.conf6.enhanced_dad:
            nonce = self.ns.stack.rng.random_bytes(NONCE_LEN)
            probe.nonces.append(nonce)
            del probe.nonces[:-KEPT_NONCES]
        target = address.address
        question = NeighbourSolicitation(target, nonce=nonce)  # RFC 4862 5.4.2: without a source
        self.ndp.send(message(address.dev, 0, solicited_node(target), question))

    def _assign(self, address: Address, probe: Probe, now: int) -> None:
        # Told even when it is no change: the routes of an address go with its device.
        address.state = "deprecated" if address.preferred_until <= now else "preferred"
        self.ndp.actions.append(("state", address, address.state))
        if address.dev.ready and address.dev.with_arp:
            self._announce(address, probe, now)
        self.ndp.became_usable(address, now)

    def _announce(self, address: Address, probe: Probe, now: int) -> None:
        dev = address.dev
        probe.announced += 1
        told = NeighbourAdvertisement(address.address, dev.mac, router=dev.conf6.forwarding, override=True)
        self.ndp.send(message(dev, address.address, ALL_NODES6, told))
        if dev.conf6.ndisc_notify and probe.announced < MAX_NEIGHBOR_ADVERTISEMENT:
            self.ns.stack.timers.arm(probe.timer, now + dev.neigh_conf6.retrans_time)

    def _lose(self, address: Address, mac: bytes, now: int) -> None:
        dev = address.dev
        self.ns.stats[Stat.NdpConflicts] += 1
        self.ns.stack.timers.cancel(self._probe(address).timer)
        self._set_state(address, "conflict")
        self._tell(EventKind.ADDRESS_CONFLICT, address, mac, now)
        target = unscoped(address.address)
        if dev.conf6.accept_dad > 1 and is_link_local6(target) and target == link_local_of(dev.mac):
            self.ndp.actions.append(("disable", dev))
        self.ndp.lost(address, now)

    def _set_state(self, address: Address, state: str) -> None:
        if address.state != state:
            address.state = state
            self.ndp.actions.append(("state", address, state))

    def _tell(self, kind: EventKind, address: Address, mac: bytes, now: int) -> None:
        self.ns.stack.events.add(
            now,
            kind,
            self.ns.name,
            address.dev.name,
            address=format_ipv6(address.address),
            mac=format_mac(mac),
            state=address.state,
        )
