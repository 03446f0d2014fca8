"""The phases of the comparison: settings, and the probes that are sent under them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.interop.case import V4, Probe
from tests.interop.probes import (
    ADDRESSES,
    ARP,
    EVERYBODY,
    FRAGMENTS,
    GROUP,
    HEADERS,
    ICMP,
    LINK,
    OPTIONS,
    PLAIN,
    PORTS,
    RB,
    ROUTES,
    SIZES,
    TTL,
    B,
    R,
    echo,
    icmp,
    linked,
    option,
    udp,
)


@dataclass(frozen=True)
class Phase:
    """Probes that are sent under these settings; `down` is a device that is down meanwhile, `awaited` the probe whose
    answer comes last."""

    name: str
    probes: dict[str, Probe]
    settings: dict[str, int] = field(default_factory=dict)
    down: str = ""
    awaited: str = ""
    family: int = V4


# What the settings of the phases are otherwise.
BEFORE = {
    "net.ipv4.ip_forward": 1,
    "net.ipv4.ip_default_ttl": 64,
    "net.ipv4.icmp_echo_ignore_all": 0,
    "net.ipv4.icmp_echo_ignore_broadcasts": 1,
    "net.ipv4.icmp_errors_use_inbound_ifaddr": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 1,
    "net.ipv4.conf.all.bc_forwarding": 0,
    "net.ipv4.conf.a.forwarding": 1,
    "net.ipv4.conf.a.rp_filter": 0,
    "net.ipv4.conf.a.send_redirects": 1,
    "net.ipv4.conf.a.bc_forwarding": 0,
    "net.ipv4.conf.a.proxy_arp": 0,
    "net.ipv4.conf.a.arp_ignore": 0,
    "net.ipv4.conf.a.arp_filter": 0,
    "net.ipv4.conf.a.accept_local": 0,
    "net.ipv4.conf.a.route_localnet": 0,
    "net.ipv4.conf.a.shared_media": 1,
    "net.ipv4.conf.all.shared_media": 1,
    "net.ipv4.conf.b.forwarding": 1,
}
PHASES = [
    Phase("ordinary", PLAIN | TTL | ROUTES | PORTS | SIZES | ADDRESSES | LINK | ICMP | OPTIONS | HEADERS | ARP),
    Phase("fragments", FRAGMENTS, awaited="the first alone, the last of all"),
    Phase(
        "no forwarding",
        {
            "no forwarding, through": udp(B),
            "no forwarding, no route": udp("99.1.1.1"),
            "no forwarding, prohibit": udp("10.11.0.1"),
            "no forwarding, ttl 1": udp(B, ttl=1),
            "no forwarding, too big with df": udp(B, 1472, df=True),
            "no forwarding, bad option": option("5e00"),
            "no forwarding, closed port": udp(R),
            "no forwarding, far address": echo(RB),
        },
        {"net.ipv4.ip_forward": 0},
    ),
    Phase(
        "a does not forward",
        {"a does not forward, through": udp(B), "a does not forward, no route": udp("99.1.1.1")},
        {"net.ipv4.conf.a.forwarding": 0},
    ),
    Phase(
        "b does not forward",
        {"b does not forward, through": udp(B), "b does not forward, ttl 1": udp(B, ttl=1)},
        {"net.ipv4.conf.b.forwarding": 0},
    ),
    Phase(
        "strict source validation",
        {
            "rp_filter 1, right way": udp(B),
            "rp_filter 1, wrong way": udp(B, src="10.2.0.9"),
            "rp_filter 1, no way": udp(B, src="5.5.5.5"),
            "rp_filter 1, wrong way to a closed port": udp(R, src="10.2.0.9"),
            "rp_filter 1, unreachable source": udp(B, src="10.10.0.9"),
        },
        {"net.ipv4.conf.a.rp_filter": 1},
    ),
    Phase(
        "loose source validation",
        {
            "rp_filter 2, wrong way": udp(B, src="10.2.0.9"),
            "rp_filter 2, no way": udp(B, src="5.5.5.5"),
            "rp_filter 2, wrong way to a closed port": udp(R, src="10.2.0.9"),
            "rp_filter 2, unreachable source": udp(B, src="10.10.0.9"),
            "rp_filter 2, blackhole source": udp(B, src="10.12.0.9"),
        },
        {"net.ipv4.conf.all.rp_filter": 2},
    ),
    Phase(
        "echo ignored",
        {"echo ignored": echo(R), "echo ignored, timestamp": icmp(R, 13, 0, bytes(12))},
        {"net.ipv4.icmp_echo_ignore_all": 1},
    ),
    Phase(
        "echo to everybody answered",
        {
            "broadcast echo answered": linked(EVERYBODY, echo("10.1.255.255")),
            "limited broadcast echo answered": linked(EVERYBODY, echo("255.255.255.255")),
            "all hosts echo answered": linked(GROUP, echo("224.0.0.1")),
            "broadcast timestamp": linked(EVERYBODY, icmp("10.1.255.255", 13, 0, bytes(12))),
        },
        {"net.ipv4.icmp_echo_ignore_broadcasts": 0},
    ),
    Phase(
        "no redirects",
        {"no redirects": udp("10.9.0.1")},
        {"net.ipv4.conf.all.send_redirects": 0, "net.ipv4.conf.a.send_redirects": 0},
    ),
    Phase(
        "errors from the inbound interface",
        {
            "inbound address, ttl 1": udp(B, ttl=1),
            "inbound address, ttl 1 from B's subnet": udp(B, src="10.2.0.9", ttl=1),
            "inbound address, closed port": udp(RB),
        },
        {"net.ipv4.icmp_errors_use_inbound_ifaddr": 1},
    ),
    Phase(
        "another ttl",
        {
            "default ttl 33, echo": echo(R),
            "default ttl 33, ttl 1": udp(B, ttl=1),
            "default ttl 33, through": udp(B),
        },
        {"net.ipv4.ip_default_ttl": 33},
    ),
    Phase(
        "directed broadcasts",
        {
            "bc_forwarding, through": udp("10.2.255.255"),
            "bc_forwarding, own link": linked(EVERYBODY, udp("10.1.255.255")),
            "bc_forwarding, ttl 1": udp("10.2.255.255", ttl=1),
        },
        {"net.ipv4.conf.all.bc_forwarding": 1, "net.ipv4.conf.a.bc_forwarding": 1},
    ),
    Phase(
        "proxy arp",
        {
            "proxy arp for a host on B": lambda c: c.arp(B),
            "proxy arp for a host on A": lambda c: c.arp("10.1.0.77"),
            "proxy arp for no route": lambda c: c.arp("99.1.1.1"),
        },
        {"net.ipv4.conf.a.proxy_arp": 1},
    ),
    Phase(
        "arp_ignore 1",
        {"arp_ignore 1, own": lambda c: c.arp(R), "arp_ignore 1, far address": lambda c: c.arp(RB)},
        {"net.ipv4.conf.a.arp_ignore": 1},
    ),
    Phase(
        "arp_ignore 2",
        {
            "arp_ignore 2, own": lambda c: c.arp(R),
            "arp_ignore 2, from another subnet": lambda c: c.arp(R, spa="10.77.0.1"),
        },
        {"net.ipv4.conf.a.arp_ignore": 2},
    ),
    Phase(
        "arp_ignore 3",
        {"arp_ignore 3, own": lambda c: c.arp(R), "arp_ignore 3, far address": lambda c: c.arp(RB)},
        {"net.ipv4.conf.a.arp_ignore": 3},
    ),
    Phase("arp_ignore 8", {"arp_ignore 8, own": lambda c: c.arp(R)}, {"net.ipv4.conf.a.arp_ignore": 8}),
    Phase(
        "arp_filter",
        {"arp_filter, own": lambda c: c.arp(R), "arp_filter, far address": lambda c: c.arp(RB)},
        {"net.ipv4.conf.a.arp_filter": 1},
    ),
    Phase(
        "own addresses as sources",
        {
            "accept_local, through": udp(B, src=RB),
            "accept_local, to a closed port": udp(R, src=RB),
            "accept_local, loopback source": udp(B, src="127.0.0.1"),
        },
        {"net.ipv4.conf.a.accept_local": 1},
    ),
    Phase(
        "loopback from outside",
        {
            "route_localnet, to loopback": udp("127.0.0.1"),
            "route_localnet, from loopback": udp(R, src="127.0.0.5"),
            "route_localnet, echo": echo("127.0.0.1"),
        },
        {"net.ipv4.conf.a.route_localnet": 1},
    ),
    Phase(
        "media not shared",
        {
            "shared_media 0, redirect": udp("10.9.0.1"),
            "shared_media 0, from another subnet": udp("10.9.0.1", src="10.77.0.1"),
            "shared_media 0, to the sender's subnet": udp("10.1.0.9"),
        },
        {"net.ipv4.conf.all.shared_media": 0, "net.ipv4.conf.a.shared_media": 0},
    ),
    Phase(
        "egress down",
        {
            "egress down": udp(B),
            "egress down, by a gateway": udp("10.13.0.1"),
            "egress down, its own address": echo(RB),
            "egress down, its broadcast": udp("10.2.255.255"),
        },
        down="b",
    ),
]
