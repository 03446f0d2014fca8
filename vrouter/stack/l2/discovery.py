"""The host's side of router discovery: solicitations, and what is made of advertisements.

A device takes part when it was asked to (`set_autoconf`) and its settings let it hear routers (``accept_ra`` 1: unless
it speaks as a router; 2: always). It then solicits (RFC 4861 6.3.7) as soon as it has a link-local address, with the
backoff of RFC 7559 (``router_solicitation_interval``, doubled up to ``…max_interval``), until a router answers or
``router_solicitations`` are sent, and again when its last router is gone.

Of a valid advertisement it takes, each under the setting of Linux's name:

- the router, as a default router with its lifetime and preference (``accept_ra_defrtr``, ``…_rtr_pref``), and more
  specific routes (``…_rt_info_min_plen`` to ``…_rt_info_max_plen``; RFC 4191, type C);
- prefixes of the link, and addresses by `slaac` (``…_pinfo``, ``autoconf``);
- hop limit (at least ``…_min_hop_limit``), reachable and retransmission time, MTU (``…_mtu``, 1280 to the device's),
  which become the device's settings;
- DNS servers and search list (RFC 8106), NAT64 prefixes (RFC 8781), M and O: kept to be asked for.

Routes have metrics: 256 for what is on the link; ``ra_defrtr_metric``, one less with high and one more with low
preference; and behind all of these, those of routers that did not answer, which failed last at the end. So one that
answers is always tried before one that does not (RFC 4861 6.3.6, RFC 4191 3.2). A router is trusted again when it sends
an advertisement or answers.

All lists are bounded (`MAX_ROUTERS` and its like); what comes when a list is full is not taken. Each device has one
timer for lifetimes and one for solicitations, both armed only while there is something to wait for.

Deviations: RFC 4862 5.5 wants autoconfiguration on by default; a namespace has what its configuration names, so a
device has to ask for it. RFC 4311: load is not shared among equal routers, the first is used until it fails.

Read first: RFC 4861 6.3, RFC 4862 5.5, RFC 4191 3, RFC 7559, RFC 8106 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from vrouter.stack.base.addresses import ALL_ROUTERS6, is_link_local6, mask
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.device import FOREVER
from vrouter.stack.l2.ndp_message import message
from vrouter.stack.l2.slaac import Slaac, until
from vrouter.stack.wire import ndp as wire
from vrouter.stack.wire.ndp_options import RoutePrefix

if TYPE_CHECKING:
    from vrouter.stack.device import Address, Device
    from vrouter.stack.l2.ndp import Ndp
    from vrouter.stack.netns import Netns

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
MAX_ROUTERS: Final = 16
MAX_PREFIXES: Final = 32
MAX_ROUTES: Final = 32
MAX_SERVERS: Final = 16
MAX_DOMAINS: Final = 32
MAX_NAT64: Final = 8
ON_LINK_METRIC: Final = 256
MAX_TIME_MS: Final = 3_600_000  # RFC 4861 6.2.1, for what a router says of the neighbours' times
MIN_RETRANS_MS: Final = 10
MIN_MTU: Final = 1280

_MILLIONTHS: Final = 1_000_000
_SPREAD: Final = 100_000  # RFC 7559 2: RAND is within a tenth

Key = TypeVar("Key")
RouteKey = tuple[int, int, int]  # prefix, length, via (-1: on the link)


class Router:
    """What one router said of itself."""

    __slots__ = ("failed", "preference", "until")

    def __init__(self) -> None:
        self.until = 0  # when it is a default router no more
        self.preference = 0
        self.failed = 0  # 0: as far as is known it answers; else the later the higher


class Host:
    """What one device learned of its link; ns of expiry beside everything."""

    __slots__ = (
        "dev",
        "discovery",
        "domains",
        "failures",
        "installed",
        "interval",
        "lifetimes",
        "managed",
        "nat64",
        "other",
        "prefixes",
        "routers",
        "routes",
        "sent",
        "servers",
        "slaac",
        "solicitations",
        "wanted",
    )

    def __init__(self, discovery: Discovery, dev: Device) -> None:
        self.discovery = discovery
        self.dev = dev
        self.wanted = False  # `set_autoconf`
        self.slaac = Slaac(discovery.ndp, dev)
        self.solicitations = Timer(TimerKind.ROUTER_SOLICIT, self)
        self.lifetimes = Timer(TimerKind.AUTOCONF, self)
        self.sent = 0  # solicitations since it began
        self.interval = 0
        self.failures = 0
        self.routers: dict[int, Router] = {}
        self.prefixes: dict[tuple[int, int], int] = {}
        self.routes: dict[RouteKey, tuple[int, int]] = {}  # -> expiry, preference
        self.installed: dict[RouteKey, int] = {}  # routes that were asked for -> metric
        self.servers: dict[int, int] = {}
        self.domains: dict[str, int] = {}
        self.nat64: dict[tuple[int, int], int] = {}
        self.managed = self.other = False


class Discovery:
    """Router discovery of one namespace."""

    __slots__ = ("hosts", "ndp", "ns")

    def __init__(self, ndp: Ndp) -> None:
        self.ndp = ndp
        self.ns: Netns = ndp.ns
        self.hosts: dict[Device, Host] = {}

    # -- who takes part ------------------------------------------------------------------------------------------------

    def set_autoconf(self, dev: Device, wanted: bool, now: int) -> None:
        """Whether the device configures itself from what routers advertise."""
        host = self.hosts.get(dev)
        if host is None:
            if not wanted:
                return
            host = self._host(dev)
        host.wanted = wanted
        if wanted:
            self._begin(host, now)
        else:
            host.slaac.flush()
            self._leave(host, now)

    def hears(self, dev: Device) -> bool:
        """Whether advertisements are for the device."""
        host = self.hosts.get(dev)
        return host is not None and host.wanted and dev.conf6.hears_routers and dev.with_ipv6

    def learned(self, dev: Device) -> Host | None:
        """What a device learned, None when it takes no part; to be read."""
        return self.hosts.get(dev)

    def device_ready(self, dev: Device, now: int) -> None:
        """The device became ready: whoever is there is asked."""
        host = self.hosts.get(dev)
        if host is not None:
            self._begin(host, now)

    def device_unready(self, dev: Device, now: int) -> None:
        """The device cannot send. When it was taken down, it may come back on another link: nothing is kept."""
        host = self.hosts.get(dev)
        if host is None:
            return
        self.ns.stack.timers.cancel(host.solicitations)
        if not dev.up:
            host.slaac.flush()
            self._leave(host, now)

    def device_removed(self, dev: Device) -> None:
        """The device left the namespace, or has no IPv6 any more: its addresses and routes are gone already."""
        host = self.hosts.pop(dev, None)
        if host is not None:
            self.ns.stack.timers.cancel(host.solicitations)
            self.ns.stack.timers.cancel(host.lifetimes)
            if not dev.removed:
                self._host(dev).wanted = host.wanted

    def conf_changed(self, dev: Device, now: int) -> None:
        """Its settings may have made a router of a host, or the other way (RFC 4861 6.3.7)."""
        host = self.hosts.get(dev)
        if host is None:
            return
        if not self.hears(dev):
            self._leave(host, now)
        elif not host.routers and host.solicitations.deadline < 0:
            self._begin(host, now)

    def link_local_usable(self, dev: Device, now: int) -> None:
        """The device has an address to ask from."""
        host = self.hosts.get(dev)
        if host is not None and not host.sent and host.solicitations.deadline < 0:
            self._begin(host, now)

    def address_added(self, address: Address, now: int) -> None:
        """An address is there whose lifetimes are to be watched."""
        host = self.hosts.get(address.dev)
        if host is not None and address.origin == "ra":
            self._sync(host, now)

    def address_removed(self, address: Address) -> None:
        """An address was taken away; a prefix that routers told, too, is on the link for all that."""
        dev = address.dev
        host = self.hosts.get(dev)
        if host is None:
            return
        if address.origin == "ra":  # it made no route to its prefix
            host.slaac.removed(address)
            return
        key = address.address & mask(address.length, 128), address.length, -1
        if key in host.installed and dev.with_ipv6 and not dev.removed:
            self.ndp.actions.append(("route_add", dev, *key, host.installed[key]))

    def lost(self, address: Address) -> None:
        """Detection found that somebody else has the address."""
        if is_link_local6(address.address):
            self._host(address.dev).slaac.lost_link_local(address)
        elif address.origin == "ra":
            self._host(address.dev).slaac.lost(address)

    # -- solicitations -------------------------------------------------------------------------------------------------

    def solicitation_due(self, host: Host, now: int) -> None:
        """The timer of the next solicitation (TimerKind.ROUTER_SOLICIT) is due."""
        dev, conf = host.dev, host.dev.conf6
        source = self.ndp.link_local_source(dev)
        if not dev.ready or not source or not self.hears(dev):
            return
        self.ndp.send(message(dev, source, ALL_ROUTERS6, wire.RouterSolicitation(dev.mac)))
        host.sent += 1
        if 0 <= conf.router_solicitations <= host.sent:
            return
        if host.sent == 1:
            host.interval = self._spread(conf.router_solicitation_interval)
        else:
            host.interval += self._spread(host.interval)
        longest = conf.router_solicitation_max_interval
        if longest and host.interval > longest:
            host.interval = self._spread(longest)
        self.ns.stack.timers.arm(host.solicitations, now + host.interval)

    def _begin(self, host: Host, now: int) -> None:
        dev, conf = host.dev, host.dev.conf6
        if not self.hears(dev) or not dev.ready or not conf.router_solicitations or not self.ndp.link_local_source(dev):
            return
        host.sent = 0
        delay = self.ns.stack.rng.below(conf.router_solicitation_delay + 1)
        self.ns.stack.timers.arm(host.solicitations, now + delay)

    def _spread(self, interval: int) -> int:
        """`interval`, more or less by up to a tenth (RFC 7559 2)."""
        millionths = self.ns.stack.rng.below(2 * _SPREAD + 1) - _SPREAD
        return interval + interval * millionths // _MILLIONTHS

    # -- advertisements ------------------------------------------------------------------------------------------------

    def advertised(self, dev: Device, source: int, ra: wire.RouterAdvertisement, now: int) -> None:
        """A valid advertisement came from the router `source` (RFC 4861 6.3.4)."""
        host, conf = self.hosts[dev], dev.conf6
        host.managed, host.other = ra.managed, ra.other
        self._note_settings(dev, ra)
        if conf.accept_ra_defrtr:
            preference = ra.preference if conf.accept_ra_rtr_pref else 0
            self._note_router(host, source, now + ra.lifetime * SECOND, preference, now)
        for route in ra.routes:
            if conf.accept_ra_rt_info_min_plen <= route.length <= conf.accept_ra_rt_info_max_plen:
                if route.length:
                    self._note_route(host, source, route, now)
                elif conf.accept_ra_defrtr:  # RFC 4191 3.1: it says more than the header does
                    self._note_router(host, source, until(now, route.lifetime), route.preference, now)
        if conf.accept_ra_pinfo:
            for prefix in ra.prefixes:
                if prefix.on_link and not is_link_local6(prefix.prefix) and prefix.prefix >> 120 != 0xFF:
                    key = prefix.network, prefix.length
                    _note(host.prefixes, key, until(now, prefix.valid), now, MAX_PREFIXES)
                if prefix.autonomous and conf.autoconf:
                    host.slaac.advertised(prefix, now)
        self._note_names(host, ra, now)
        if ra.lifetime and host.sent:  # RFC 4861 6.3.7: one solicitation is sent even if a router spoke before
            self.ns.stack.timers.cancel(host.solicitations)
        router = host.routers.get(source)
        if router is not None:
            router.failed = 0
        self._sync(host, now)

    def _note_settings(self, dev: Device, ra: wire.RouterAdvertisement) -> None:
        conf, neigh = dev.conf6, dev.neigh_conf6
        if ra.hop_limit and ra.hop_limit >= conf.accept_ra_min_hop_limit and ra.hop_limit != conf.hop_limit:
            self._set(f"net.ipv6.conf.{dev.name}.hop_limit", ra.hop_limit)
        if 0 < ra.reachable <= MAX_TIME_MS and ra.reachable * MS != neigh.base_reachable_time:
            self._set(f"net.ipv6.neigh.{dev.name}.base_reachable_time_ms", ra.reachable)
        if MIN_RETRANS_MS <= ra.retrans <= MAX_TIME_MS and ra.retrans * MS != neigh.retrans_time:
            self._set(f"net.ipv6.neigh.{dev.name}.retrans_time_ms", ra.retrans)
        if conf.accept_ra_mtu and MIN_MTU <= ra.mtu <= dev.mtu and ra.mtu != (conf.mtu or dev.mtu):
            self._set(f"net.ipv6.conf.{dev.name}.mtu", ra.mtu)

    def _set(self, name: str, value: int) -> None:
        self.ndp.actions.append(("sysctl", name, value))

    @staticmethod
    def _note_router(host: Host, source: int, expires: int, preference: int, now: int) -> None:
        if expires <= now:
            host.routers.pop(source, None)
            return
        router = host.routers.get(source)
        if router is None:
            if len(host.routers) >= MAX_ROUTERS:
                return
            router = host.routers[source] = Router()
        router.until = expires
        router.preference = preference

    @staticmethod
    def _note_route(host: Host, source: int, route: RoutePrefix, now: int) -> None:
        key = route.prefix, route.length, source
        if not route.lifetime:
            host.routes.pop(key, None)
        elif key in host.routes or len(host.routes) < MAX_ROUTES:
            host.routes[key] = until(now, route.lifetime), route.preference

    @staticmethod
    def _note_names(host: Host, ra: wire.RouterAdvertisement, now: int) -> None:
        for servers in ra.name_servers:
            for server in servers.servers:
                _note(host.servers, server, until(now, servers.lifetime), now, MAX_SERVERS)
        for names in ra.search_lists:
            for name in names.domains:
                _note(host.domains, name, until(now, names.lifetime), now, MAX_DOMAINS)
        for nat64 in ra.nat64:
            _note(host.nat64, (nat64.prefix, nat64.length), until(now, nat64.lifetime), now, MAX_NAT64)

    # -- routers that fail, or are none any more -----------------------------------------------------------------------

    def router_failed(self, dev: Device, address: int, now: int) -> None:
        """A next hop did not answer: if it is a router of ours, the others go before it (RFC 4861 6.3.6)."""
        self._judge(dev, address, now, failed=True)

    def router_answered(self, dev: Device, address: int, now: int) -> None:
        """A router is there (again)."""
        self._judge(dev, address, now, failed=False)

    def _judge(self, dev: Device, address: int, now: int, *, failed: bool) -> None:
        host = self.hosts.get(dev)
        router = None if host is None else host.routers.get(address)
        if host is not None and router is not None and (failed or router.failed):
            host.failures += failed
            router.failed = host.failures if failed else 0
            self._sync(host, now)

    def router_left(self, dev: Device, address: int, now: int) -> None:
        """A neighbour says that it is no router (RFC 4861 7.2.5, 7.3.3)."""
        host = self.hosts.get(dev)
        if host is None:
            return
        host.routers.pop(address, None)
        for key in [key for key in host.routes if key[2] == address]:
            del host.routes[key]
        self._sync(host, now)

    # -- time ----------------------------------------------------------------------------------------------------------

    def lifetime_due(self, host: Host, now: int) -> None:
        """The timer of lifetimes (TimerKind.AUTOCONF) is due: forget what has run out."""
        had = bool(host.routers)
        host.routers = {address: router for address, router in host.routers.items() if router.until > now}
        host.routes = {key: entry for key, entry in host.routes.items() if entry[0] > now}
        _expire(host.prefixes, now)
        _expire(host.servers, now)
        _expire(host.domains, now)
        _expire(host.nat64, now)
        host.slaac.expire(now)
        self._sync(host, now)
        if had and not host.routers:
            self._begin(host, now)

    def _sync(self, host: Host, now: int) -> None:
        """Ask for the routes that there should be, and wait for the next lifetime to end."""
        wanted = self._routes(host)
        for key, metric in list(host.installed.items()):
            if wanted.get(key) != metric:
                del host.installed[key]
                self.ndp.actions.append(("route_del", host.dev, *key, metric))
        for key, metric in wanted.items():
            if key not in host.installed:
                host.installed[key] = metric
                self.ndp.actions.append(("route_add", host.dev, *key, metric))
        at = min(
            host.slaac.next_change(now),
            *(router.until for router in host.routers.values()),
            *(entry[0] for entry in host.routes.values()),
            *host.prefixes.values(),
            *host.servers.values(),
            *host.domains.values(),
            *host.nat64.values(),
            FOREVER,
        )
        if at < FOREVER:
            self.ns.stack.timers.arm(host.lifetimes, at)
        else:
            self.ns.stack.timers.cancel(host.lifetimes)

    def _routes(self, host: Host) -> dict[RouteKey, int]:
        base = max(host.dev.conf6.ra_defrtr_metric, 2)
        late = sorted(router.failed for router in host.routers.values() if router.failed)
        wanted = {(prefix, length, -1): ON_LINK_METRIC for prefix, length in host.prefixes}
        for address, router in host.routers.items():
            behind = late.index(router.failed) + 2 if router.failed else -router.preference
            wanted[0, 0, address] = base + behind
        for (prefix, length, via), (_, preference) in host.routes.items():
            known = host.routers.get(via)
            failed = known is not None and known.failed
            wanted[prefix, length, via] = base + (late.index(failed) + 2 if failed else -preference)
        return wanted

    def _leave(self, host: Host, now: int) -> None:
        """Hear routers no more: what they said of routes is void; addresses live as long as they were promised."""
        self.ns.stack.timers.cancel(host.solicitations)
        host.sent = 0
        host.routers.clear()
        host.routes.clear()
        host.prefixes.clear()
        host.servers.clear()
        host.domains.clear()
        host.nat64.clear()
        self._sync(host, now)

    def _host(self, dev: Device) -> Host:
        host = self.hosts.get(dev)
        if host is None:
            host = self.hosts[dev] = Host(self, dev)
        return host


def _note(table: dict[Key, int], key: Key, expires: int, now: int, bound: int) -> None:
    """Keep `key` until `expires`, unless the table is full; a lifetime of nothing ends it."""
    if expires <= now:
        table.pop(key, None)
    elif key in table or len(table) < bound:
        table[key] = expires


def _expire(table: dict[Key, int], now: int) -> None:
    for key in [key for key, expires in table.items() if expires <= now]:
        del table[key]
