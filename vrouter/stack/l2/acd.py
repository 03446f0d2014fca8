"""Address conflict detection for IPv4: probe, announce, defend.

What happens to an address is decided by its device's ``acd``:

- ``announce`` (default): the address is used at once and announced, `ANNOUNCE_NUM` times `ANNOUNCE_INTERVAL` apart.
  Deviation: RFC 5227 2.1 wants every address probed first; a router that stays silent for 7 seconds after each start is
  worse for its network than a conflict that the defence finds, and Linux does not probe either.
- ``probe``: the address is tentative, and not used, until `PROBE_NUM` probes, `PROBE_MIN` to `PROBE_MAX` apart, went
  unanswered until `ANNOUNCE_WAIT` after the last; then it is announced. Whoever shows meanwhile that he has it, or
  probes for it too, makes it a conflict::

      start -> tentative: 0..1 s, probe, 1..2 s, probe, 1..2 s, probe, 2 s -> preferred: announce, 2 s, announce
                   |
                   +--- somebody else has it, or wants it ---> conflict (not used)

  An address in conflict stays so until `start` is called for it again: it was given by hand, so there is no other to
  try (RFC 5227 2.1.1 leaves that to the configuring agent). After `MAX_CONFLICTS` conflicts at a device, addresses are
  tried there only once in `RATE_LIMIT_INTERVAL`, until one was free.

Once in use, an address is never given up (RFC 5227 2.4 (c), the rule for routers): a conflicting packet is answered by
one announcement, at most one per address in `DEFEND_INTERVAL`, and told as an ADDRESS_CONFLICT event as often.

`start` is called when the address is configured and whenever its device becomes ready (RFC 5227 2.1: also after a
change of the link); in ``probe`` mode that makes an address tentative again. While the device is not ready nothing is
sent: what was under way ends, and waits for `start`. `arp_input` shows each valid ARP packet to `arp_seen` before it
looks at it itself. What is to be done comes out of `take_actions`, in order: ``("frame", pkt)`` to send, ``("state",
address, state)`` when ``address.state`` has changed (already set here; routes follow by the caller).

Read first: RFC 5227.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4, format_address, format_mac
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l2.arp import build_request
from vrouter.stack.wire.arp import REQUEST

if TYPE_CHECKING:
    from vrouter.stack.device import Address, Device
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.arp import Arp

SECOND: Final = 1_000_000_000
PROBE_WAIT: Final = 1 * SECOND
PROBE_NUM: Final = 3
PROBE_MIN: Final = 1 * SECOND
PROBE_MAX: Final = 2 * SECOND
ANNOUNCE_WAIT: Final = 2 * SECOND
ANNOUNCE_NUM: Final = 2
ANNOUNCE_INTERVAL: Final = 2 * SECOND
MAX_CONFLICTS: Final = 10
RATE_LIMIT_INTERVAL: Final = 60 * SECOND
DEFEND_INTERVAL: Final = 10 * SECOND

_NEVER: Final = -(1 << 62)


class Probe:
    """What is under way for one address (``Address.probe``); times in ns."""

    __slots__ = ("announced", "defended", "probed", "timer")

    def __init__(self, address: Address) -> None:
        self.timer = Timer(TimerKind.ACD, address)
        self.probed = 0  # probes sent
        self.announced = 0  # announcements sent
        self.defended = _NEVER  # when the conflict came that was last answered


class Trials:
    """How it went at one device: conflicts since an address was last found free, and when the last trial began."""

    __slots__ = ("conflicts", "latest")

    def __init__(self, now: int) -> None:
        self.conflicts = 0
        self.latest = now


class Acd:
    """Conflict detection for the addresses of one namespace; what it knows of an address stands in the address."""

    __slots__ = ("_trials", "actions", "ns")

    def __init__(self, ns: Netns) -> None:
        self.ns = ns
        self.actions: list[tuple[Any, ...]] = []
        self._trials: dict[int, Trials] = {}  # by ifindex, only for devices that had a conflict

    def take_actions(self) -> list[tuple[Any, ...]]:
        """What is to be done since the last call, in order."""
        actions, self.actions = self.actions, []
        return actions

    def start(self, address: Address, now: int) -> None:
        """The address was configured, or its device became ready: probe or announce it, from the beginning."""
        dev = address.dev
        if not dev.with_arp or address.family != V4:
            return
        probe = address.probe
        if probe is None:
            probe = address.probe = Probe(address)
        probe.probed = probe.announced = 0
        self.ns.stack.timers.cancel(probe.timer)
        if dev.acd != "probe":
            self._set_state(address, "preferred")
            if dev.ready:
                self._announce(address, probe, now)
            return
        self._set_state(address, "tentative")
        if dev.ready:
            begin = now
            trials = self._trials.get(dev.ifindex)
            if trials is not None:
                if trials.conflicts >= MAX_CONFLICTS:
                    begin = max(now, trials.latest + RATE_LIMIT_INTERVAL)
                trials.latest = begin
            self.ns.stack.timers.arm(probe.timer, begin + self.ns.stack.rng.below(PROBE_WAIT + 1))

    def stop(self, address: Address) -> None:
        """The address was taken away: nothing more is sent for it."""
        if address.probe is not None:
            self.ns.stack.timers.cancel(address.probe.timer)
            address.probe = None

    def device_removed(self, dev: Device) -> None:
        """Forget the conflicts of a device that has gone."""
        self._trials.pop(dev.ifindex, None)

    def timer_fired(self, address: Address, now: int) -> None:
        """The address's timer (TimerKind.ACD) is due: the next probe, the verdict, or the next announcement."""
        probe: Probe | None = address.probe
        if probe is None or not address.dev.ready:
            return  # the device's return starts it again
        if address.state != "tentative":
            self._announce(address, probe, now)
        elif probe.probed < PROBE_NUM:
            probe.probed += 1
            self._request(address.dev, 0, address.address)
            pause = ANNOUNCE_WAIT
            if probe.probed < PROBE_NUM:
                pause = PROBE_MIN + self.ns.stack.rng.below(PROBE_MAX - PROBE_MIN + 1)
            self.ns.stack.timers.arm(probe.timer, now + pause)
        else:
            self._trials.pop(address.dev.ifindex, None)
            self._set_state(address, "preferred")
            self._announce(address, probe, now)

    def arp_seen(self, dev: Device, arp: Arp, now: int) -> bool:
        """Whether a valid ARP packet that came in by `dev` disputes one of its addresses; if so it was dealt with here.

        RFC 5227 2.1.1 and 2.4: what our own devices sent and the link echoed back disputes nothing.
        """
        address = self._disputed(dev, arp)
        if address is None or arp.sha in self.ns.macs:
            return False
        self.ns.stats[Stat.ArpConflicts] += 1
        trials = self._trials.get(dev.ifindex)
        if trials is None:
            trials = self._trials[dev.ifindex] = Trials(now)
        trials.conflicts += 1
        if address.state == "tentative":
            self._lose(address, arp, now)
        else:
            self._defend(address, arp, now)
        return True

    def _disputed(self, dev: Device, arp: Arp) -> Address | None:
        spa = arp.spa
        if spa:
            for address in self.ns.ip4.held(dev, spa):
                if address.state != "conflict":
                    return address
        elif arp.op == REQUEST:
            for address in self.ns.ip4.held(dev, arp.tpa):
                if address.state == "tentative":
                    return address
        return None

    def _lose(self, address: Address, arp: Arp, now: int) -> None:
        if address.probe is not None:
            self.ns.stack.timers.cancel(address.probe.timer)
        self._set_state(address, "conflict")
        self._tell(address, arp, now)

    def _defend(self, address: Address, arp: Arp, now: int) -> None:
        probe: Probe | None = address.probe
        if probe is None:
            probe = address.probe = Probe(address)
        if now - probe.defended < DEFEND_INTERVAL:
            return
        probe.defended = now
        self._request(address.dev, address.address, address.address)
        self._tell(address, arp, now)

    def _announce(self, address: Address, probe: Probe, now: int) -> None:
        probe.announced += 1
        self._request(address.dev, address.address, address.address)
        if probe.announced < ANNOUNCE_NUM:
            self.ns.stack.timers.arm(probe.timer, now + ANNOUNCE_INTERVAL)

    def _request(self, dev: Device, spa: int, tpa: int) -> None:
        self.ns.stats[Stat.ArpOutRequests] += 1
        self.actions.append(("frame", build_request(dev, spa, tpa)))

    def _set_state(self, address: Address, state: str) -> None:
        if address.state != state:
            address.state = state
            self.actions.append(("state", address, state))

    def _tell(self, address: Address, arp: Arp, now: int) -> None:
        self.ns.stack.events.add(
            now,
            EventKind.ADDRESS_CONFLICT,
            self.ns.name,
            address.dev.name,
            address=format_address(address.address),
            mac=format_mac(arp.sha),
            state=address.state,
        )
