"""ICMP redirects, sent and received: RFC 792, RFC 1812 5.2.7.2, 4.3.3.2, RFC 1122 3.2.2.2.

::

    a 10.0.1.2 ──┬── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
    g 10.0.1.9 ──┘       g is another router on a's link
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.testing import frames, match

FAR = "192.0.2.1"
G_MAC = b"\x02\0\0\0\0\x09"
G = 0x0A000109


@pytest.fixture
def lan(bed: Bed) -> Bed:
    """The bed, where r reaches 192.0.2.0/24 by g, on the link of a."""
    bed.r.add_route("192.0.2.0/24", via="10.0.1.9", now=bed.now)
    bed.r.neigh4.add_static(bed.a.dev, G, G_MAC, bed.now)
    return bed


def send(bed: Bed, dst: str = FAR, src: str = "10.0.1.2", **header: Any) -> bytes:
    """A datagram from a."""
    return bed.a.send(frames.ipv4_udp(src, dst, 1000, 7, b"x", **header))


def test_a_better_first_hop_is_told(lan: Bed) -> None:
    """RFC 1812 5.2.7.2: redirect for host (code 1) with the gateway, from our address on that subnet; forwarded too."""
    with lan.expect(
        rx={"a": 1},
        tx={"a": 2},
        IpInReceives=1,
        IpForwDatagrams=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutRedirects=1,
    ):
        sent = send(lan)
    assert lan.a.received == [
        match.icmp4(type=5, code=1, src="10.0.1.1", dst="10.0.1.2", rest=G, quotes=sent, eth_dst=lan.a.mac),
        match.udp(dst=FAR, ttl=63, eth_dst=G_MAC),
    ]


def test_a_host_on_the_same_link_is_its_own_gateway(lan: Bed) -> None:
    """RFC 1812 5.2.7.2: for a destination on the sender's own subnet the redirect names the destination."""
    sent = send(lan, "10.0.1.9")
    assert lan.a.received == [match.icmp4(type=5, code=1, rest=G, quotes=sent), match.udp(dst="10.0.1.9")]


@pytest.mark.parametrize("tos", [0x10, 0xFF])
def test_always_code_one(lan: Bed, tos: int) -> None:
    """RFC 1812 5.2.7.2: codes 0 and 2 are never made; who cannot make code 3 makes code 1."""
    send(lan, tos=tos)
    assert lan.a.received[0] == match.icmp4(type=5, code=1, tos=tos & 0x1E | 0xC0)


NOT = [
    ("another way out", "10.0.2.2", "10.0.1.2", {}),
    ("source on another subnet", FAR, "10.0.2.9", {}),
    ("source behind a router", FAR, "198.51.100.1", {}),
    ("TTL runs out", FAR, "10.0.1.2", {"ttl": 1}),
]


@pytest.mark.parametrize(("dst", "src", "header"), [row[1:] for row in NOT], ids=[row[0] for row in NOT])
def test_when_there_is_none(lan: Bed, dst: str, src: str, header: dict[str, int]) -> None:
    """RFC 1812 5.2.7.2: only by the device it came in by, only to a neighbour, only for what is forwarded."""
    send(lan, dst, src, **header)
    assert not any(frame == match.icmp4(type=5) for frame in (*lan.a.received, *lan.b.received))


def test_sending_can_be_switched_off(lan: Bed) -> None:
    """RFC 1812 5.2.7.2: net.ipv4.conf.*.send_redirects; off only when `all` and the device are."""
    lan.r.sysctl["net.ipv4.conf.a.send_redirects"] = 0
    send(lan)
    assert len(lan.a.received) == 2
    lan.a.clear()
    lan.r.sysctl["net.ipv4.conf.all.send_redirects"] = 0
    send(lan)
    assert lan.a.received == [match.udp(dst=FAR)]


def test_redirects_are_limited_for_each_peer(lan: Bed) -> None:
    """RFC 1812 4.3.2.8: a bucket of their own; packets are forwarded all the same."""
    for _ in range(20):
        send(lan)
    kinds = [frame == match.icmp4(type=5) for frame in lan.a.received]
    assert (kinds.count(True), kinds.count(False)) == (6, 20)
    assert lan.r.drop_counts() == {}  # advice that is not repeated is no packet lost
    lan.run_for(1)
    lan.a.clear()
    send(lan, "203.0.113.7")  # no route: errors have another bucket
    send(lan)
    assert [frame[34] for frame in lan.a.received] == [3, 5, 0x03]


def test_no_redirect_without_forwarding() -> None:
    """RFC 1122 3.2.2.2, RFC 1812 5.3.12.1: a host sends none."""
    bed = Bed.line(forward=False)
    bed.r.add_route("192.0.2.0/24", via="10.0.1.9", now=bed.now)
    send(bed)
    assert bed.a.received == []
    bed.close()


# -- received ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def host() -> Iterator[Bed]:
    """r as a host whose default gateway is a; g is on the same link."""
    bed = Bed.line(forward=False)
    bed.r.add_route("default", via="10.0.1.2", now=bed.now)
    bed.r.neigh4.add_static(bed.a.dev, G, G_MAC, bed.now)
    yield bed
    bed.close()


def redirect(bed: Bed, *, gateway: str = "10.0.1.9", src: str = "10.0.1.2", code: int = 1, about: str = FAR) -> None:
    """A redirect comes from a: for packets to `about` use `gateway`."""
    quoted = frames.ipv4_udp("10.0.1.1", about, 5000, 7, b"x")
    message = frames.icmp_error(5, code, quoted, frames.ip_int(gateway))
    bed.a.send(frames.ipv4(src, "10.0.1.1", 1, message))


def first_hop(bed: Bed, dst: str = FAR) -> bytes:
    """The link address by which r sends to `dst` now."""
    bed.a.clear()
    bed.b.clear()
    sock = bed.udp()
    sock.sendto(b"x", (dst, 7), now=bed.now)
    sock.close(now=bed.now)
    return bytes([*bed.a.received, *bed.b.received][0][:6])


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_host_follows_a_redirect(host: Bed, code: int) -> None:
    """RFC 1122 3.2.2.2, 3.3.1.2: host and net redirects alike make a route to that host, and to no other."""
    assert first_hop(host) == host.a.mac
    with host.expect(rx=1, IpInReceives=1, IpInDelivers=1, IcmpInMsgs=1, IcmpInRedirects=1):
        redirect(host, code=code)
    assert first_hop(host) == G_MAC
    assert first_hop(host, "192.0.2.2") == host.a.mac


@pytest.mark.parametrize(
    "wrong",
    [
        {"src": "10.0.1.77"},
        {"gateway": "10.0.2.9"},
        {"gateway": "198.51.100.1"},
        {"gateway": "10.0.1.1"},
        {"gateway": "10.0.1.255"},
        {"gateway": "10.0.1.0"},
        {"gateway": "224.0.0.1"},
        {"about": "10.0.2.2"},
        {"about": "10.0.1.77"},
    ],
    ids=[
        "not from the present first hop",
        "gateway on another link",
        "gateway far away",
        "gateway is ourselves",
        "gateway is a broadcast",
        "gateway is the network",
        "gateway is a group",
        "about what leaves by another device",
        "about a host on the link",
    ],
)
def test_an_illegal_redirect_is_discarded(host: Bed, wrong: dict[str, str]) -> None:
    """RFC 1122 3.2.2.2: from the present first hop, to a host on the same link, or it changes nothing."""
    host.r.neigh4.add_static(host.a.dev, 0x0A00014D, b"\x02\0\0\0\0\x4d", host.now)
    about = wrong.get("about", FAR)
    before = first_hop(host, about)
    redirect(host, **wrong)
    assert first_hop(host, about) == before
    assert host.r.ip4.exceptions == {}


def test_a_router_ignores_redirects(lan: Bed) -> None:
    """RFC 1812 4.3.3.2, 5.2.7.2: who forwards does not follow them."""
    lan.r.add_route("203.0.113.0/24", via="10.0.1.2", now=lan.now)
    redirect(lan, about="203.0.113.1")
    assert first_hop(lan, "203.0.113.1") == lan.a.mac


def test_following_can_be_switched_off(host: Bed) -> None:
    """RFC 1122 3.2.2.2: net.ipv4.conf.*.accept_redirects: for a host one of `all` and the device suffices to be on."""
    host.r.sysctl["net.ipv4.conf.a.accept_redirects"] = 0
    host.r.sysctl["net.ipv4.conf.all.accept_redirects"] = 0
    redirect(host)
    assert first_hop(host) == host.a.mac


def test_only_known_gateways_when_the_medium_is_not_shared(host: Bed) -> None:
    """Linux's secure_redirects without shared_media: only gateways of the default routes are believed."""
    for scope in ("a", "all"):
        host.r.sysctl[f"net.ipv4.conf.{scope}.shared_media"] = 0
    redirect(host)
    assert first_hop(host) == host.a.mac
    host.r.add_route("default", via="10.0.1.9", metric=10, now=host.now)
    redirect(host)
    assert first_hop(host) == G_MAC
    for scope in ("a", "all"):
        host.r.sysctl[f"net.ipv4.conf.{scope}.secure_redirects"] = 0
    redirect(host, gateway="10.0.1.33", about="192.0.2.77")
    assert host.r.ip4.exceptions.keys() == {0xC0000201, 0xC000024D}


def test_what_was_learned_is_forgotten(host: Bed) -> None:
    """RFC 1122 3.3.1.2: a redirect is advice, not configuration; it lasts as long as a path MTU."""
    redirect(host)
    assert first_hop(host) == G_MAC
    host.run_for(600)
    assert first_hop(host) == host.a.mac


def test_advice_ends_with_the_route_that_it_was_about(host: Bed) -> None:
    """RFC 1122 3.2.2.2: a redirect says which neighbour of the present first hop is better; another route has
    another."""
    redirect(host)
    assert first_hop(host) == G_MAC
    host.r.del_route("default", now=host.now)
    host.r.add_route("default", via="10.0.2.2", now=host.now)
    assert first_hop(host) == host.b.mac


def test_the_new_first_hop_may_redirect_further(host: Bed) -> None:
    """RFC 1122 3.2.2.2: from the first hop that is used for this destination now, and no longer from the old one."""
    host.r.neigh4.add_static(host.a.dev, 0x0A00014D, b"\x02\0\0\0\0\x4d", host.now)
    redirect(host)
    redirect(host, gateway="10.0.1.77", src="10.0.1.2")
    assert first_hop(host) == G_MAC
    redirect(host, gateway="10.0.1.77", src="10.0.1.9")
    assert first_hop(host) == b"\x02\0\0\0\0\x4d"


def test_a_gateway_that_is_dead_is_left(host: Bed) -> None:
    """RFC 1122 3.3.1.5: advice to use somebody who does not answer must not cut off what the old first hop reaches."""
    host.r.neigh4.delete(host.a.dev, G)
    redirect(host)
    sock = host.udp()
    sock.sendto(b"asks for g", (FAR, 7), now=host.now)
    host.run_for(3)
    assert host.r.drop_counts() == {"NEIGH_FAILED": 1}
    assert first_hop(host) == host.a.mac
