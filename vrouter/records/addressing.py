"""Rows of addresses and neighbours, and of what routers on a link advertise: ours, and those that were heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.records.chosen import Record, devices, namespaces
from vrouter.stack.base.addresses import V4, V6, format_address, format_mac, format_prefix
from vrouter.stack.device import FOREVER
from vrouter.stack.l2.router_advert import PREFERENCES

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.l2.router_advert import Advertiser
    from vrouter.stack.netns import Netns

FAMILIES: Final = {4: V4, 6: V6}
_PREFERENCE_NAMES: Final = {value: name for name, value in PREFERENCES.items()}


def _wanted(family: int | None) -> tuple[int, ...]:
    return (V4, V6) if family is None else (FAMILIES[family],)


def addresses(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Addresses, with the state of conflict detection and how long they are good for."""
    wanted, now = _wanted(family), router.now()
    return [
        {
            "netns": ns.name,
            "dev": dev.name,
            "address": f"{format_address(a.address, a.family)}/{a.length}",
            "scope": a.scope,
            "state": a.state,
            "family": "inet" if a.family == V4 else "inet6",
            "origin": a.origin,
            "valid_ns": _left(a.valid_until, now),
            "preferred_ns": _left(a.preferred_until, now),
        }
        for ns, dev in devices(router, netns)
        for a in dev.addresses
        if a.family in wanted
    ]


def _left(until: int, now: int) -> int | None:
    return None if until >= FOREVER else max(0, until - now)


def neighbors(router: Router, netns: str | None = None, *, family: int | None = None) -> list[Record]:
    """Neighbours with ip-neighbour(8)'s states; what is answered for in their place has the state PROXY."""
    now, wanted = router.now(), _wanted(family)
    found: list[Record] = []
    for ns in namespaces(router, netns):
        for of in wanted:
            table = ns.neighbours(of)
            if table is None:
                continue
            for entry in table.entries(now):
                neigh = table.get(ns.devices[entry.dev], entry.address)
                mac = format_mac(entry.mac) if entry.mac else None
                leads = neigh is not None and neigh.router
                found.append(_neighbor(ns, entry.dev, entry.address, of, mac, entry.state.name, entry.age_ns, leads))
        if V6 in wanted and ns._ndp is not None:  # asking must not make the table
            found += [_neighbor(ns, dev.name, address, V6, None, "PROXY", 0, False) for dev, address in ns._ndp.proxies]
    return found


def _neighbor(
    ns: Netns, dev: str, address: int, family: int, mac: str | None, state: str, age_ns: int, is_router: bool
) -> Record:
    return {
        "netns": ns.name,
        "dev": dev,
        "address": format_address(address, family),
        "mac": mac,
        "state": state,
        "age_ns": age_ns,
        "router": is_router,
    }


def routers(router: Router, netns: str | None = None) -> list[Record]:
    """The default routers that devices learned of, and what was said on their links."""
    found: list[Record] = []
    for ns, dev in devices(router, netns):
        host = None if ns._ndp is None else ns._ndp.hosts.learned(dev)
        if host is None:
            continue
        now = ns.stack.now
        for address, known in host.routers.items():
            found.append(
                {
                    "netns": ns.name,
                    "dev": dev.name,
                    "address": format_address(address, V6),
                    "preference": _PREFERENCE_NAMES[known.preference],
                    "expires_ns": max(0, known.until - now),
                    "state": "failed" if known.failed else "reachable",
                    "managed": host.managed,
                    "other": host.other,
                    "dns": [format_address(server, V6) for server in host.servers],
                    "search": list(host.domains),
                    "nat64": [format_prefix(prefix, length, V6) for prefix, length in host.nat64],
                }
            )
    return found


def adverts(router: Router, netns: str | None = None) -> list[Record]:
    """What devices advertise as routers."""
    return [
        _advert(ns.name, advertiser)
        for ns in namespaces(router, netns)
        if ns._ndp is not None
        for advertiser in ns._ndp.advertisers.values()
        if advertiser.wanted
    ]


def _advert(netns: str, advertiser: Advertiser) -> Record:
    conf = advertiser.conf
    prefixes = advertiser.told.values() if conf.prefixes is None else conf.prefixes
    return {
        "netns": netns,
        "dev": advertiser.dev.name,
        "state": "advertising" if advertiser.active else "silent",
        "sent": advertiser.sent,
        "lifetime": conf.router_lifetime,
        "preference": conf.preference,
        "managed": conf.managed,
        "other": conf.other,
        "hop_limit": conf.hop_limit,
        "mtu": conf.mtu or None,
        "reachable": conf.reachable,
        "retrans": conf.retrans,
        "min_interval": conf.shortest,
        "max_interval": conf.max_interval,
        "prefixes": [
            {
                "prefix": format_prefix(one.prefix, one.length, V6),
                "valid": one.valid,
                "preferred": one.preferred,
                "on_link": one.on_link,
                "autonomous": one.autonomous,
            }
            for one in prefixes
        ],
        "routes": [
            {
                "prefix": format_prefix(one.prefix, one.length, V6),
                "preference": one.preference,
                "lifetime": one.lifetime,
            }
            for one in conf.routes
        ],
        "rdnss": [format_address(server, V6) for server in conf.rdnss],
        "dnssl": list(conf.dnssl),
        "pref64": None if conf.pref64 is None else format_prefix(conf.pref64.prefix, conf.pref64.length, V6),
    }
