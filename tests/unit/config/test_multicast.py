"""Multicast routes, the proxy, queriers, and multicast DNS in the configuration."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.unit.config.marked import DUAL, must_report
from vrouter.config import MrouteConfig, MulticastConfig, ProxyConfig, loads

MULTICAST = [
    (
        DUAL + "[[netns.red.mroute]]\ngroup=▸'224.0.0.5'\niif='lan'",
        "netns.red.mroute[0].group: '224.0.0.5' has the scope of one link, and is never forwarded",
    ),
    (
        DUAL + "[[netns.red.mroute]]\ngroup=▸'ff02::5'\niif='lan'",
        "netns.red.mroute[0].group: 'ff02::5' has the scope of one link, and is never forwarded",
    ),
    (
        DUAL + "▸[[netns.red.mroute]]\ngroup='239.1.1.1'\niif='lan'",
        "netns.red.mroute[0].oifs: is missing: the devices by which it goes on, or netns",
    ),
    (
        DUAL + "[[netns.red.mroute]]\ngroup='239.1.1.1'\niif='lan'\noifs=[▸'lan']",
        "netns.red.mroute[0].oifs[0]: 'lan' stands there twice",
    ),
    (
        DUAL + "[[netns.red.mroute]]\ngroup='239.1.1.1'\niif=▸'lam'\noifs=['lan']",
        "netns.red.mroute[0].iif: there is no device 'lam' in 'red' (did you mean 'lan'?)",
    ),
    (
        DUAL + "[[netns.red.mroute]]\ngroup='239.1.1.1'\niif=▸'@blue'\noifs=['lan']",
        "netns.red.mroute[0].iif: there is no namespace 'blue'",
    ),
    (
        DUAL + "[[netns.red.mroute]]\ngroup='239.1.1.1'\niif='lan'\noifs=[{dev=▸'lo'}]",
        "netns.red.mroute[0].oifs[0].dev: there is nobody else on 'lo'",
    ),
    (
        DUAL + "[netns.red.multicast]\nmdns=▸['lan']",
        "netns.red.multicast.mdns: multicast DNS crosses between two devices at least",
    ),
    (
        DUAL + "[netns.red.multicast]\nproxy={upstream=▸'lan', downstream=['lan']}",
        "netns.red.multicast.proxy.upstream: 'lan' is downstream, too",
    ),
    (
        DUAL + "[netns.red.multicast]\nproxy=▸{upstream='lan'}",
        "netns.red.multicast.proxy.downstream: is missing: the devices towards the listeners",
    ),
    (DUAL + "[netns.red.multicast]\nquerier=[▸'lo']", "netns.red.multicast.querier[0]: there is nobody else on 'lo'"),
    (DUAL + "[netns.red.multicast]\nquerier=['lan',▸'lan']", "netns.red.multicast.querier[1]: 'lan' is given twice"),
    (DUAL + "[netns.red.multicast]\n▸reflect=['lan']", "netns.red.multicast.reflect: unknown key"),
    (
        DUAL + "[netns.red.multicast]\nproxy={upstream='lan', downstream=▸[]}",
        "netns.red.multicast.proxy.downstream: a proxy has one device downstream at least",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MULTICAST)
def test_what_cannot_be_forwarded(text: str, expected: str) -> None:
    """RFC 5771 4, RFC 4291 2.7: no group of one link is forwarded; ways are devices of the namespace, each once."""
    must_report(text, expected)


def test_multicast_in_its_records() -> None:
    """Every key; a namespace that packets cross from is named by @, and counted from the top."""
    text = (
        DUAL
        + """
[netns.red]
accept_from = ["blue"]
[netns.red.dev.wan]
[netns.red.dev.dmz]
[[netns.red.mroute]]
group = "239.1.2.3"
source = "*"
iif = "lan"
oifs = ["wan", { dev = "dmz", ttl = 16 }]
[[netns.red.mroute]]
group = "ff0e::5"
source = "fd00:1::9"
iif = "@blue"
netns = "blue"
oifs = ["wan"]
[netns.red.multicast]
proxy = { upstream = "wan", downstream = ["lan", "dmz"] }
querier = ["wan"]
mdns = ["lan", "dmz"]
[netns.blue]
accept_from = ["red"]
"""
    )
    config = loads(text)
    red = config.netns["red"]
    assert config.warnings == ()
    assert red.mroutes == (
        MrouteConfig(group=IPv4Address("239.1.2.3"), iif="lan", oifs=(("wan", 0), ("dmz", 16))),
        MrouteConfig(
            group=IPv6Address("ff0e::5"),
            source=IPv6Address("fd00:1::9"),
            iif="@blue",
            oifs=(("wan", 0),),
            netns="blue",
        ),
    )
    assert red.multicast == MulticastConfig(
        proxy=ProxyConfig(upstream="wan", downstream=("lan", "dmz")), querier=("wan",), mdns=("lan", "dmz")
    )
