"""Router advertisements: what a device of a router tells the hosts of its link, and when.

`RaConf` says what, `Advertiser` does it for one device::

    idle ─► advertising: 0..500 ms, then every min_interval..max_interval, the first `MAX_INITIAL` at most 16 s apart
     ▲           │  ├─ solicitation: 0..500 ms, at least 3 s after the last one, to all nodes
     │           │  └─ what it tells has changed: likewise, and again as in the beginning
     └─ ceasing ◄┘     forwarding ends, or the configuration is taken away: `MAX_FINAL` with a lifetime of 0

It advertises only while its device is ready, speaks as a router (``conf6.forwarding``) and has a link-local address
that is usable. `refresh` finds out; it is to be called after whatever may have changed that. A device that goes down at
once can still say so: `cease` sends the one advertisement that there is time for.

Without configured prefixes those of the device's own static global addresses are told; SLAAC only for those of 64 bits.
A prefix that is told no more, whatever the reason, is told as deprecated for as long as hosts may use it: preferred
lifetime 0, valid lifetime what was told, at most two hours, counting down (RFC 4862 5.5.3, RFC 7084 L-13).

What does not fit into one packet of the link's MTU goes in several (RFC 4861 6.2.3). What another router tells
differently is an RA_INCONSISTENT event, at most once in `TELL_INTERVAL` (RFC 4861 6.2.7).

Deviations: solicitations are never answered by unicast, which RFC 4861 6.2.6 allows: what a flood of them costs is one
advertisement in three seconds; the first of the last ones does not wait for these. RFC 7084 G-4, G-5, L-4 and L-5 are
for home routers that configure themselves (no router lifetime without a default router of their own or without a
prefix, every device advertises): here a device advertises when it is told to, and ``lifetime = 0`` says that.

Read first: RFC 4861 6.2, RFC 4191 2, RFC 8106 5, RFC 8781 4, RFC 7084 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import (
    ALL_NODES6,
    V6,
    format_ipv6,
    format_prefix,
    is_link_local6,
    is_multicast6,
    mask,
)
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l2.ndp_message import message
from vrouter.stack.wire import ndp as wire
from vrouter.stack.wire import ndp_options as options
from vrouter.stack.wire.ipv6 import HEADER_LEN

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l2.ndp import Ndp

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
MAX_RA_DELAY: Final = 500 * MS
MIN_DELAY_BETWEEN_RAS: Final = 3 * SECOND
MAX_INITIAL: Final = 3  # MAX_INITIAL_RTR_ADVERTISEMENTS
MAX_INITIAL_INTERVAL: Final = 16 * SECOND
MAX_FINAL: Final = 3  # MAX_FINAL_RTR_ADVERTISEMENTS
INFINITY: Final = 0xFFFFFFFF  # s: a lifetime without end
TWO_HOURS: Final = 7200
MAX_WITHDRAWN: Final = 64  # prefixes that are told as deprecated
MAX_LISTED: Final = 64  # of each kind in a configuration
MAX_NAMES: Final = 1200  # bytes of the search list, which is one option
TELL_INTERVAL: Final = 60 * SECOND
PREFERENCES: Final = {"low": options.LOW, "medium": options.MEDIUM, "high": options.HIGH}
PREF64_LENGTHS: Final = (96, 64, 56, 48, 40, 32)

_FIXED: Final = 16  # the message without its options


@dataclass(frozen=True, slots=True)
class RaPrefix:
    """A prefix to tell; lifetimes in s, 0xffffffff without end."""

    prefix: int
    length: int = 64
    valid: int = 2592000
    preferred: int = 604800
    on_link: bool = True
    autonomous: bool = True


@dataclass(frozen=True, slots=True)
class RaRoute:
    """A more specific route to tell (RFC 4191 2.3); lifetime in s, None: three times the longest interval."""

    prefix: int
    length: int
    preference: str = "medium"
    lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class RaPref64:
    """The NAT64 prefix to tell (RFC 8781); lifetime in s, None: three times the longest interval."""

    prefix: int
    length: int = 96
    lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class RaConf:
    """What a device advertises. ``prefixes`` None: its own; ``reachable`` and ``retrans`` are ms, other times s;
    ``lifetime`` and ``rdnss_lifetime`` (of DNS servers and search list) None: three times ``max_interval``;
    ``hop_limit`` None: the device's; 0 tells nothing; ``mtu`` 0 tells nothing; ``min_interval`` None: a third of the
    maximum, at least 3 s; ``rdnss`` are addresses as ints."""

    prefixes: tuple[RaPrefix, ...] | None = None
    lifetime: int | None = None
    reachable: int = 0
    retrans: int = 0
    hop_limit: int | None = None
    mtu: int = 0
    rdnss: tuple[int, ...] = ()
    rdnss_lifetime: int | None = None
    dnssl: tuple[str, ...] = ()
    managed: bool = False
    other: bool = False
    preference: str = "medium"
    routes: tuple[RaRoute, ...] = ()
    pref64: RaPref64 | None = None
    min_interval: int | None = None
    max_interval: int = 600

    @property
    def shortest(self) -> int:
        """MinRtrAdvInterval in s (RFC 4861 6.2.1)."""
        return max(3, self.max_interval * 33 // 100) if self.min_interval is None else self.min_interval

    @property
    def router_lifetime(self) -> int:
        """AdvDefaultLifetime in s."""
        return min(3 * self.max_interval, 9000) if self.lifetime is None else self.lifetime

    def problems(self) -> list[tuple[str, str]]:
        """(field, what is wrong with it) for each bound of RFC 4861 6.2.1, 4191, 8106 and 8781 that is not kept."""
        found: list[tuple[str, str]] = []

        def check(good: bool, field: str, text: str) -> None:
            if not good:
                found.append((field, text))

        check(4 <= self.max_interval <= 1800, "max_interval", "is 4 to 1800 seconds")
        if self.min_interval is not None:
            largest = max(3, self.max_interval * 3 // 4)
            check(3 <= self.min_interval <= largest, "min_interval", f"is 3 to {largest} seconds, 3/4 of max_interval")
        if self.lifetime is not None:
            fits = self.lifetime == 0 or self.max_interval <= self.lifetime <= 9000
            check(fits, "lifetime", f"is 0, or {self.max_interval} (max_interval) to 9000 seconds")
        check(0 <= self.reachable <= 3_600_000, "reachable", "is 0 to 3600000 ms")
        check(0 <= self.retrans <= INFINITY, "retrans", f"is 0 to {INFINITY} ms")
        check(self.hop_limit is None or 0 <= self.hop_limit <= 255, "hop_limit", "is 0 to 255")
        check(self.mtu == 0 or 1280 <= self.mtu <= 65535, "mtu", "is 0 or 1280 to 65535 bytes")
        check(self.preference in PREFERENCES, "preference", "is low, medium or high")
        check(
            self.rdnss_lifetime is None or 0 <= self.rdnss_lifetime <= INFINITY, "rdnss_lifetime", "is a 32-bit number"
        )
        try:
            check(len(options.SearchList(0, list(self.dnssl)).encode()) <= MAX_NAMES, "dnssl", "is too long")
        except ValueError as error:
            check(False, "dnssl", str(error))
        for name in ("prefixes", "routes", "rdnss", "dnssl"):
            check(len(getattr(self, name) or ()) <= MAX_LISTED, name, f"has at most {MAX_LISTED} entries")
        once: set[tuple[int, int]] = set()
        for one in self.prefixes or ():
            text = format_prefix(one.prefix, one.length, V6)
            check(not is_link_local6(one.prefix), "prefixes", f"{text} is link-local")
            check(not is_multicast6(one.prefix), "prefixes", f"{text} is a prefix of groups")
            check(0 <= one.preferred <= one.valid <= INFINITY, "prefixes", f"{text}: preferred is at most valid")
            check(not one.prefix & ~mask(one.length, 128), "prefixes", f"{text} has host bits set")
            check((one.prefix, one.length) not in once, "prefixes", f"{text} is given twice")
            once.add((one.prefix, one.length))
        for route in self.routes:
            text = format_prefix(route.prefix, route.length, V6)
            check(route.preference in PREFERENCES, "routes", f"{text}: preference is low, medium or high")
            check(route.lifetime is None or 0 <= route.lifetime <= INFINITY, "routes", f"{text}: lifetime is a number")
            check(not route.prefix & ~mask(route.length, 128), "routes", f"{text} has host bits set")
        if self.pref64 is not None:
            check(self.pref64.length in PREF64_LENGTHS, "pref64", "has a length of 32, 40, 48, 56, 64 or 96")
            check(self.pref64.lifetime is None or 0 <= self.pref64.lifetime <= 65528, "pref64", "lives 0 to 65528 s")
        return found


class Advertiser:
    """The advertisements of one device; see the module's text. Times are ns."""

    __slots__ = (
        "active",
        "conf",
        "dev",
        "finals",
        "last",
        "ndp",
        "sent",
        "source",
        "timer",
        "told",
        "told_at",
        "wanted",
        "withdrawn",
    )

    def __init__(self, ndp: Ndp, dev: Device, conf: RaConf) -> None:
        self.ndp = ndp
        self.dev = dev
        self.conf = conf
        self.wanted = True  # it is configured to advertise; what it said last may still be to be taken back
        self.timer = Timer(TimerKind.ROUTER_ADVERT, self)
        self.active = False
        self.sent = 0  # since it became active, or what it tells changed
        self.finals = 0  # still to be sent with a lifetime of 0
        self.source = 0  # from which the last one came
        self.last = -MIN_DELAY_BETWEEN_RAS  # when one was last sent
        self.told: dict[tuple[int, int], RaPrefix] = {}  # by (prefix, length), as last sent
        self.withdrawn: dict[tuple[int, int], tuple[RaPrefix, int]] = {}  # and until when they are valid
        self.told_at = -TELL_INTERVAL  # when another router's difference was last told

    # -- what happens --------------------------------------------------------------------------------------------------

    def configure(self, conf: RaConf | None, now: int) -> None:
        """Another configuration, or none any more."""
        self.wanted = conf is not None
        if conf is None:
            self._end(now)
            return
        changed = conf != self.conf
        self.conf = conf
        self.refresh(now)
        if changed and self.active:
            self._soon(now)

    def refresh(self, now: int) -> None:
        """Whether the device advertises may have changed, or what it tells."""
        if not self.dev.ready:
            self.silence()
        elif not self.wanted:
            return
        elif not self.dev.conf6.forwarding or not self._source():
            self._end(now)
        elif not self.active:
            self.active = True
            self.finals = 0
            self._soon(now)
        elif self._current() != self.told or (self.sent and self._source() != self.source):
            self._soon(now)

    def source_removed(self, address: int, now: int) -> None:
        """The device lost an address. If it was the one by which hosts know this router, they are told that there is
        none of that name any more (RFC 4861 6.2.8), once, since it is not to be used longer than that."""
        if self.active and self.sent and address == self.source and self.dev.ready:
            self._send(now, final=True, source=address)

    def solicited(self, now: int) -> None:
        """A valid router solicitation came in (RFC 4861 6.2.6)."""
        if self.active:
            self._at(now)

    def cease(self, now: int) -> None:
        """The device is about to go down: say so while it still can be said (RFC 4861 6.2.5)."""
        if (self.active or self.finals) and self._source():
            self._send(now, final=True)
        self.silence()

    def timer_fired(self, now: int) -> None:
        """The timer (TimerKind.ROUTER_ADVERT) is due: the next advertisement."""
        if not self.dev.ready or not self._source():
            self.silence()
            return
        if self.finals:
            self._final(now)
            return
        self._send(now)
        self.sent += 1
        low, high = self.conf.shortest * SECOND, self.conf.max_interval * SECOND
        interval = low + self.ndp.ns.stack.rng.below(high - low + 1)
        if self.sent < MAX_INITIAL:
            interval = min(interval, MAX_INITIAL_INTERVAL)
        self.ndp.ns.stack.timers.arm(self.timer, now + interval)

    def heard(self, source: int, ra: wire.RouterAdvertisement, now: int) -> None:
        """Another router's advertisement: tell where it differs from ours (RFC 4861 6.2.7)."""
        if now - self.told_at < TELL_INTERVAL:
            return
        differing = self._differing(ra)
        if differing:
            self.told_at = now
            dev = self.dev
            self.ndp.ns.stack.events.add(
                now,
                EventKind.RA_INCONSISTENT,
                self.ndp.ns.name,
                dev.name,
                router=format_ipv6(source),
                fields=differing,
            )

    # -- inner works ---------------------------------------------------------------------------------------------------

    def silence(self) -> None:
        """Say nothing any more: nobody would hear it."""
        self.active = False
        self.finals = 0
        self.ndp.ns.stack.timers.cancel(self.timer)

    def _source(self) -> int:
        return self.ndp.link_local_source(self.dev)

    def _soon(self, now: int) -> None:
        """What is told is new: as in the beginning (RFC 4861 6.2.4)."""
        self.sent = 0
        self._at(now)

    def _at(self, now: int) -> None:
        """Send after a random delay, but not too soon after the last one, nor later than it would be sent anyway."""
        at = max(now, self.last + MIN_DELAY_BETWEEN_RAS) + self.ndp.ns.stack.rng.below(MAX_RA_DELAY + 1)
        if self.timer.deadline < 0 or at < self.timer.deadline:
            self.ndp.ns.stack.timers.arm(self.timer, at)

    def _end(self, now: int) -> None:
        """RFC 4861 6.2.5: the first of the last ones at once, if there is still an address to send it from."""
        if not self.active:
            return
        self.silence()
        if self.dev.ready and self._source():
            self.finals = MAX_FINAL
            self._final(now)

    def _final(self, now: int) -> None:
        self._send(now, final=True)
        self.finals -= 1
        if self.finals:
            self.ndp.ns.stack.timers.arm(self.timer, now + MIN_DELAY_BETWEEN_RAS)

    def _current(self) -> dict[tuple[int, int], RaPrefix]:
        """The prefixes to tell, without those that were withdrawn."""
        if self.conf.prefixes is not None:
            return {(one.prefix, one.length): one for one in self.conf.prefixes}
        found: dict[tuple[int, int], RaPrefix] = {}
        for own in self.dev.addresses:
            if own.family == V6 and own.scope == "global" and own.length < 128 and own.origin == "static":
                prefix = own.address & mask(own.length, 128)
                found[prefix, own.length] = RaPrefix(prefix, own.length, autonomous=own.length == 64)
        return found

    def _note_withdrawn(self, current: dict[tuple[int, int], RaPrefix], now: int) -> None:
        for key, one in self.told.items():
            if key not in current and one.valid and len(self.withdrawn) < MAX_WITHDRAWN:
                self.withdrawn[key] = one, now + min(one.valid, TWO_HOURS) * SECOND
        self.withdrawn = {key: entry for key, entry in self.withdrawn.items() if key not in current and entry[1] > now}
        self.told = current

    def _send(self, now: int, *, final: bool = False, source: int = 0) -> None:
        """RFC 4861 6.2.3: one message, or as many as the options need."""
        self.last = now
        self.source = source = source or self._source()
        if final:
            messages = [self._empty(0)]
        else:
            self._note_withdrawn(self._current(), now)
            messages = self._messages(now)
        for value in messages:
            self.ndp.send(message(self.dev, source, ALL_NODES6, value))

    def _messages(self, now: int) -> list[wire.RouterAdvertisement]:
        conf, room = self.conf, self.ndp.ns.ip6.link_mtu(self.dev) - HEADER_LEN - _FIXED
        messages: list[wire.RouterAdvertisement] = []
        left = 0

        def place(size: int) -> wire.RouterAdvertisement:
            """The message that has room for an option of so many bytes."""
            nonlocal left
            if not messages or size > left:
                messages.append(self._empty(conf.router_lifetime))
                left = room - 8 - (8 if conf.mtu else 0)  # its own link-layer address is in each
            left -= size
            return messages[-1]

        place(0)
        for prefix in self.told.values():
            place(32).prefixes.append(_option(prefix, prefix.valid, prefix.preferred))
        for prefix, until in self.withdrawn.values():
            place(32).prefixes.append(_option(prefix, (until - now) // SECOND, 0))
        default = min(3 * conf.max_interval, 0xFFFF)
        for route in conf.routes:
            lives = default if route.lifetime is None else route.lifetime
            rio = options.RoutePrefix(route.prefix, route.length, lives, PREFERENCES[route.preference])
            place(len(rio.encode())).routes.append(rio)
        lives = default if conf.rdnss_lifetime is None else conf.rdnss_lifetime
        if conf.rdnss:
            servers = options.NameServers(lives, list(conf.rdnss))
            place(len(servers.encode())).name_servers.append(servers)
        if conf.dnssl:
            names = options.SearchList(lives, list(conf.dnssl))
            place(len(names.encode())).search_lists.append(names)
        if conf.pref64 is not None:
            lives = default if conf.pref64.lifetime is None else conf.pref64.lifetime
            place(16).nat64.append(options.Nat64Prefix(conf.pref64.prefix, conf.pref64.length, lives))
        return messages

    def _empty(self, lifetime: int) -> wire.RouterAdvertisement:
        conf = self.conf
        return wire.RouterAdvertisement(
            hop_limit=self.dev.conf6.hop_limit if conf.hop_limit is None else conf.hop_limit,
            managed=conf.managed,
            other=conf.other,
            preference=PREFERENCES[conf.preference] if lifetime else 0,  # RFC 4191 2.2
            lifetime=lifetime,
            reachable=conf.reachable,
            retrans=conf.retrans,
            source_mac=self.dev.mac,
            mtu=conf.mtu,
        )

    def _differing(self, ra: wire.RouterAdvertisement) -> list[str]:
        """The names of what RFC 4861 6.2.7 compares, where both say something and not the same."""
        ours = self._empty(self.conf.router_lifetime)
        found = [name for name in ("managed", "other") if getattr(ours, name) != getattr(ra, name)]
        for name in ("hop_limit", "reachable", "retrans", "mtu"):
            mine, theirs = getattr(ours, name), getattr(ra, name)
            if mine and theirs and mine != theirs:
                found.append(name)
        for prefix in ra.prefixes:
            one = self.told.get((prefix.network, prefix.length))
            if one is not None and (one.valid, one.preferred) != (prefix.valid, prefix.preferred):
                found.append(format_prefix(prefix.network, prefix.length, V6))
        return found


def _option(prefix: RaPrefix, valid: int, preferred: int) -> options.Prefix:
    return options.Prefix(prefix.prefix, prefix.length, valid, preferred, prefix.on_link, prefix.autonomous)
