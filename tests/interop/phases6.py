"""The phases of the comparison for IPv6."""

from __future__ import annotations

from tests.interop.case import V6, Probe
from tests.interop.chains6 import EXTENSIONS, FRAGMENTS, G1, HOP, NDP, OPTIONS, QUERIES, ROUTINGS, ask, chain, query
from tests.interop.phases import Phase
from tests.interop.place import PROXIED
from tests.interop.probes import echo, udp
from tests.interop.probes6 import (
    ADDRESSES,
    ANYCAST,
    HEADERS,
    HOPS,
    ICMP,
    LOCAL,
    NODES,
    NOWHERE,
    PLAIN,
    PORTS,
    PROHIBITED,
    RB,
    ROUTES,
    SIZES,
    B,
    R,
    grouped,
    local,
)

# What the settings of the phases are otherwise.
BEFORE6 = {
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv6.conf.a.hop_limit": 64,
    "net.ipv6.conf.a.force_forwarding": 0,
    "net.ipv6.conf.a.force_mld_version": 0,
    "net.ipv6.conf.a.proxy_ndp": 0,
    "net.ipv6.icmp.echo_ignore_all": 0,
    "net.ipv6.icmp.echo_ignore_multicast": 0,
    "net.ipv6.icmp.echo_ignore_anycast": 0,
    "net.ipv6.max_hbh_opts_number": 8,
    "net.ipv6.max_dst_opts_number": 8,
}


def _phase(name: str, probes: dict[str, Probe], settings: dict[str, int] | None = None, **more: str) -> Phase:
    """A phase of IPv6, in whose names that stands."""
    awaited = more.pop("awaited", "")
    named = {f"v6 {probe}": made for probe, made in probes.items()}
    return Phase(f"v6 {name}", named, settings or {}, awaited=f"v6 {awaited}" if awaited else "", family=V6, **more)


PHASES6 = [
    _phase("ordinary", PLAIN | HEADERS | HOPS | ROUTES | PORTS | SIZES | ADDRESSES | LOCAL | ICMP),
    _phase("extension headers", EXTENSIONS | ROUTINGS),
    _phase("fragments", FRAGMENTS, awaited="the first alone, the last of all"),
    _phase("neighbour discovery", NDP, awaited="solicitation, anycast address"),
    _phase("queries", QUERIES, awaited="query for one group"),
    _phase("query for all groups", {"query for all groups": query()}, awaited="query for all groups"),
    _phase(
        "no forwarding",
        {
            "no forwarding, through": udp(B),
            "no forwarding, no route": udp(NOWHERE),
            "no forwarding, prohibit": udp(PROHIBITED),
            "no forwarding, hop limit 1": udp(B, ttl=1),
            "no forwarding, too big": udp(B, 1452),
            "no forwarding, unknown option": chain(B, (HOP, OPTIONS["unknown, report"])),
            "no forwarding, closed port": udp(R),
            "no forwarding, far address": echo(RB),
            "no forwarding, anycast address": echo(ANYCAST),
            "no forwarding, all routers": grouped(echo("ff02::2")),
            "no forwarding, redirect": udp("fd00:19::23"),
            "no forwarding, local source": local(udp(B)),
            "no forwarding, solicitation": ask(),
        },
        {"net.ipv6.conf.all.forwarding": 0},
    ),
    _phase(
        "echo ignored",
        {"echo ignored": echo(R), "echo ignored, all nodes": grouped(echo(NODES))},
        {"net.ipv6.icmp.echo_ignore_all": 1},
    ),
    _phase(
        "echo to groups ignored",
        {"echo to groups ignored, all nodes": grouped(echo(NODES)), "echo to groups ignored, unicast": echo(R)},
        {"net.ipv6.icmp.echo_ignore_multicast": 1},
    ),
    _phase(
        "echo to anycast addresses ignored",
        {"echo to anycast ignored": echo(ANYCAST), "echo to anycast ignored, unicast": echo(R)},
        {"net.ipv6.icmp.echo_ignore_anycast": 1},
    ),
    _phase(
        "another hop limit",
        {
            "hop limit 33, echo": echo(R),
            "hop limit 33, hop limit 1": udp(B, ttl=1),
            "hop limit 33, through": udp(B),
        },
        {"net.ipv6.conf.a.hop_limit": 33},
    ),
    _phase(
        "no unknown options",
        {
            f"bounds of minus one, {name}": chain(B, (HOP, OPTIONS[name]))
            for name in ("unknown, skip", "unknown, report", "padding", "router alert")
        },
        {"net.ipv6.max_hbh_opts_number": -1, "net.ipv6.max_dst_opts_number": -1},
    ),
    _phase(
        "egress down",
        {
            "egress down": udp(B),
            "egress down, by a gateway": udp("fd00:d::1"),
            "egress down, its own address": echo(RB),
            "egress down, hop limit 1": udp(B, ttl=1),
        },
        down="b",
    ),
    _phase(
        "one device forwards",
        {
            "force_forwarding, through": udp(B),
            "force_forwarding, hop limit 1": udp(B, ttl=1),
            "force_forwarding, too big": udp(B, 1452),
            "force_forwarding, solicitation": ask(),
            "force_forwarding, anycast address": echo(ANYCAST),
        },
        {"net.ipv6.conf.all.forwarding": 0, "net.ipv6.conf.a.force_forwarding": 1},
    ),
    _phase(
        "proxied addresses are not",
        {"proxy_ndp 0, proxied address": ask(PROXIED)},
    ),
    _phase(
        "proxied addresses",
        {
            "proxy_ndp, another address": ask("fd00:1::98", dst="ff02::1:ff00:99"),
            "proxy_ndp, echo to the proxied address": echo(PROXIED),
            "proxy_ndp, unicast": ask(PROXIED, dst=PROXIED),
            "proxy_ndp, proxied address": ask(PROXIED),
        },
        {"net.ipv6.conf.a.proxy_ndp": 1},
        awaited="proxy_ndp, proxied address",
    ),
    _phase(
        "a proxied address is wanted",
        {"proxy_ndp, probe": ask(PROXIED, src="::")},
        {"net.ipv6.conf.a.proxy_ndp": 1},
        awaited="proxy_ndp, probe",
    ),
    _phase(
        "mld version 1",
        {
            "mld 1, query of version 2 that goes unheard": query("ff02::99"),
            "mld 1, query": query(G1, version=1),
        },
        {"net.ipv6.conf.a.force_mld_version": 1},
        awaited="mld 1, query",
    ),
]
