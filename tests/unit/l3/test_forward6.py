"""What is asked of an IPv6 packet on its way, and which Redirects are believed."""

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from tests.unit.l3.bed6 import received
from vrouter.stack import Stack
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.packet import DONT_FRAGMENT
from vrouter.stack.l3.forward import decrement6, forwards, redirect_gateway, transit_mtu
from vrouter.stack.l3.icmp import believes_redirect
from vrouter.stack.netns import Netns

HERE = "2001:db8:1::1"
NEIGHBOUR = "2001:db8:1::2"
FAR = "2001:db8:9::9"
ROUTER = "fe80::99"


@pytest.fixture
def ns() -> Netns:
    """``lan`` with 2001:db8:1::1/64 and a default route by fe80::99."""
    made = Stack(seed=1).add_netns("r")
    made.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
    for name, prefix in (("lan", HERE), ("wan", "2001:db8:2::1")):
        made.add_device(name, mac=f"02:00:00:00:0{len(made.devices)}:01", mtu=1500)
        made.add_address(name, f"{prefix}/64", now=0)
    made.add_route("::/0", via=ROUTER, dev="lan", now=0)
    return made


def packet(ns: Netns, src: str = NEIGHBOUR, dst: str = FAR, size: int = 0, hlim: int = 9):
    return received(IPv6(src=src, dst=dst, hlim=hlim) / UDP() / Raw(bytes(size)), ns.devices["lan"])


def zoned(ns: Netns, address: str, dev: str = "lan") -> int:
    return parse_ipv6(address) | ns.devices[dev].ifindex << 128


def test_the_hop_limit_loses_one(ns: Netns) -> None:
    """RFC 8200 3."""
    pkt = packet(ns, hlim=9)
    decrement6(pkt)
    assert (pkt.ttl, pkt.buf[pkt.l3 + 7]) == (8, 8)


def test_the_namespace_forwards_or_the_device_is_forced(ns: Netns) -> None:
    """net.ipv6.conf.all.forwarding; the devices' own makes them routers' or hosts' only, as in Linux."""
    pkt = packet(ns)
    assert not forwards(ns, pkt)
    ns.sysctl["net.ipv6.conf.lan.forwarding"] = 1
    assert not forwards(ns, pkt)
    ns.sysctl["net.ipv6.conf.lan.force_forwarding"] = 1
    assert forwards(ns, pkt)
    pkt.iif = ns.devices["wan"]
    assert not forwards(ns, pkt)
    ns.sysctl["net.ipv6.conf.all.forwarding"] = 1
    assert forwards(ns, pkt)
    pkt.iif = None
    assert forwards(ns, pkt)


@pytest.mark.parametrize(
    ("route_mtu", "size", "told"),
    [(0, 1452, 0), (0, 1453, 1500), (1400, 1352, 0), (1400, 1353, 1400), (1280, 1232, 0), (1280, 1233, 1280)],
)
def test_what_the_next_link_does_not_take_is_told(ns: Netns, route_mtu: int, size: int, told: int) -> None:
    """RFC 8200 5, RFC 4443 3.2: the MTU of the next link, or of the route, which is 1280 at least."""
    ns.add_route("2001:db8:9::/48", via=ROUTER, dev="lan", mtu=route_mtu, now=0)
    pkt = packet(ns, size=size)
    route = ns.ip6.main.lookup(pkt.dst)
    assert pkt.flags & DONT_FRAGMENT
    mtu = transit_mtu(ns.ip6, pkt, route, route.dev, 0)
    assert (mtu if pkt.end - pkt.start > mtu else 0) == told


def gateway_of(ns: Netns, src: str, dst: str) -> int:
    pkt = packet(ns, src, dst)
    route = ns.ip6.main.lookup(pkt.dst)
    return redirect_gateway(ns.ip6, pkt, route, route.dev)


def test_a_neighbour_is_told_of_a_better_first_hop(ns: Netns) -> None:
    """RFC 4861 8.2: a router by its link-local address, or the destination that is on the link."""
    assert gateway_of(ns, NEIGHBOUR, FAR) == zoned(ns, ROUTER)
    assert gateway_of(ns, NEIGHBOUR, "2001:db8:1::3") == parse_ipv6("2001:db8:1::3")
    assert gateway_of(ns, "fe80::2", FAR) == zoned(ns, ROUTER)


def test_who_is_no_neighbour_is_told_nothing(ns: Netns) -> None:
    """RFC 4861 8.2: the source of the packet identifies a neighbour."""
    assert gateway_of(ns, "2001:db8:7::7", FAR) == -1
    assert gateway_of(ns, "2001:db8:2::7", FAR) == -1


def test_a_router_with_no_link_local_name_cannot_be_told(ns: Netns) -> None:
    """RFC 4861 8.2: the target must be the router's link-local address."""
    ns.add_route("2001:db8:9::/48", via="2001:db8:1::99", dev="lan", now=0)
    assert gateway_of(ns, NEIGHBOUR, FAR) == -1


def believed(ns: Netns, *, source: str = ROUTER, target: str = "fe80::55", dst: str = FAR, dev: str = "lan") -> bool:
    gateway = zoned(ns, target) if target.startswith("fe80") else parse_ipv6(target)
    return believes_redirect(ns.ip6, ns.devices[dev], zoned(ns, source), parse_ipv6(dst), gateway)


def test_the_present_first_hop_is_believed(ns: Netns) -> None:
    """RFC 4861 8.1, 8.3: another router of the link, or the destination itself."""
    assert believed(ns)
    assert believed(ns, target=FAR)


def test_nobody_else_is_believed(ns: Netns) -> None:
    """RFC 4861 8.1: the source is the current first-hop router for the destination, on the link that it came by."""
    assert not believed(ns, source="fe80::98")
    assert not believed(ns, dev="wan")
    assert not believed(ns, dst="2001:db8:1::3")  # on the link: there is no first hop


def test_what_cannot_be_a_first_hop_is_not_believed(ns: Netns) -> None:
    """RFC 4861 8.1: neither a name that is no router's, nor ourselves."""
    assert not believed(ns, target="2001:db8:1::77")
    assert not believed(ns, target="2001:db8:1::")
    own = next(a.address for a in ns.devices["lan"].addresses if a.scope == "link")
    assert not believes_redirect(ns.ip6, ns.devices["lan"], zoned(ns, ROUTER), parse_ipv6(FAR), own)
    assert not believes_redirect(
        ns.ip6, ns.devices["lan"], zoned(ns, ROUTER), parse_ipv6(FAR), zoned(ns, "fe80::55", "wan")
    )


@pytest.mark.parametrize("dev", ["lo", None])
def test_redirects_come_by_wires(ns: Netns, dev: str | None) -> None:
    """RFC 4861 8.1: hop limit 255 says that nobody else sent it; nothing of the kind comes by lo or a short-cut."""
    by = None if dev is None else ns.devices[dev]
    assert not believes_redirect(ns.ip6, by, zoned(ns, ROUTER), parse_ipv6(FAR), parse_ipv6(FAR))


@pytest.mark.parametrize(("setting", "value"), [("accept_redirects", 0), ("forwarding", 1)])
def test_routers_and_who_does_not_want_them_believe_none(ns: Netns, setting: str, value: int) -> None:
    """RFC 4861 8.3: a router must not update its tables upon receipt; net.ipv6.conf.DEV.accept_redirects."""
    ns.sysctl[f"net.ipv6.conf.lan.{setting}"] = value
    assert not believed(ns)
