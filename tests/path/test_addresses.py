"""Addresses of devices, and the routes that they make: RFC 1122 3.3.1.1, RFC 950, RFC 3021, RFC 1812 10.2.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match


def failure(action: Any, *arguments: Any, **named: Any) -> int | None:
    """The errno with which an action fails."""
    with pytest.raises(OSError) as caught:
        action(*arguments, **named)
    return caught.value.errno


def echo(bed: Bed, dst: str) -> None:
    """a pings `dst`."""
    bed.a.send(frames.ipv4_echo("10.0.1.2", dst))


def test_a_device_has_many_addresses(bed: Bed) -> None:
    """RFC 1122 3.1, 3.3.4.2: local multihoming: any number per device, each answered by itself, the first preferred."""
    for address in ("10.0.1.129/24", "10.7.0.1/16", "10.200.0.1/32"):
        bed.r.add_address("a", address, now=bed.now)
    bed.settle()
    for address in ("10.0.1.1", "10.0.1.129", "10.7.0.1", "10.200.0.1"):
        echo(bed, address)
    assert [frame[26:30] for frame in bed.a.received] == [
        bytes((10, 0, 1, 1)),
        bytes((10, 0, 1, 129)),
        bytes((10, 7, 0, 1)),
        bytes((10, 200, 0, 1)),
    ]
    bed.a.clear()
    bed.udp().sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.1.1")]


def test_the_prefix_is_reached_directly(bed: Bed) -> None:
    """RFC 1122 3.3.1.1, RFC 950: the mask decides what is on the link; it is configured, and never learned."""
    bed.r.add_address("a", "10.7.0.1/16", now=bed.now)
    bed.settle()
    bed.b.send(frames.ipv4_udp("10.0.2.2", "10.7.255.9", 1, 2))
    assert bed.a.arp == [match.arp(op=1, spa="10.7.0.1", tpa="10.7.255.9")]


def test_an_address_that_goes_takes_its_routes_along(bed: Bed) -> None:
    """Linux: connected, local and broadcast routes, neighbours on the link; another address of the prefix keeps
    them."""
    bed.r.add_address("b", "10.0.2.9/24", now=bed.now)
    bed.settle()
    bed.r.del_address("b", "10.0.2.1/24", now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 2))
    assert bed.b.received == [match.udp(dst="10.0.2.2")]
    bed.r.del_address("b", "10.0.2.9/24", now=bed.now)
    with bed.expect(
        rx=3,
        tx=3,
        drops={DropReason.IP_INNOROUTES: 3},
        IpInReceives=3,
        IpOutRequests=3,
        IcmpOutMsgs=3,
        IcmpOutDestUnreachs=3,
    ):
        for dst in ("10.0.2.2", "10.0.2.1", "10.0.2.255"):
            bed.a.send(frames.ipv4_udp("10.0.1.2", dst, 1, 2))
    assert failure(bed.r.del_address, "b", "10.0.2.1/24") == errno.EADDRNOTAVAIL


def test_the_same_address_on_two_devices(bed: Bed) -> None:
    """Linux: allowed; it is ours until the last of them gives it up."""
    bed.r.add_address("b", "10.0.1.1/32", now=bed.now)
    bed.settle()
    bed.r.del_address("a", "10.0.1.1/24", now=bed.now)
    bed.b.send(frames.ipv4_echo("10.0.2.2", "10.0.1.1"))
    assert bed.b.received == [match.icmp4(type=0, src="10.0.1.1")]


def test_the_same_prefix_on_two_devices(bed: Bed) -> None:
    """RFC 1812 5.3.12.3: the second device carries on when the first one fails."""
    c = bed.station(bed.r, "c", "10.0.2.3/24", "10.0.2.2")
    bed.settle()
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 2))
    bed.r.set_carrier(bed.b.dev, False, now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 2))
    assert (len(bed.b.received), len(c.received)) == (1, 1)


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("10.0.1.1/24", errno.EEXIST),
        ("10.0.1.5/0", errno.EINVAL),
        ("127.0.0.1/0", errno.EINVAL),
        ("239.1.1.1/32", errno.EINVAL),
    ],
)
def test_addresses_that_cannot_be_added(bed: Bed, address: str, number: int) -> None:
    """RFC 1812 10.2.2: a group, or a prefix of no length; the same twice is EEXIST."""
    assert failure(bed.r.add_address, "a", address, now=bed.now) == number


@pytest.mark.parametrize("text", ["10.0.5.1/33", "10.0.5/24", "", "fd00::1/129", "10.0.5.1/-1"])
def test_text_that_is_no_address(bed: Bed, text: str) -> None:
    """RFC 1122 3.2.2.9: a mask that is no plausible one is refused."""
    with pytest.raises(ValueError):
        bed.r.add_address("a", text, now=bed.now)
    assert len(bed.a.dev.addresses) == 1


def test_without_a_length_an_address_is_alone(bed: Bed) -> None:
    """ip-address(8): no class is guessed (RFC 4632): without a length it is a /32, with no link around it."""
    assert bed.r.add_address("a", "10.0.5.1", now=bed.now).length == 32
    assert [length for _, length, _ in bed.r.ip4.main] == [24, 24]


@pytest.mark.parametrize("length", [1, 8, 23, 30, 31, 32])
def test_prefixes_of_any_length_at_a_device(bed: Bed, length: int) -> None:
    """RFC 1812 4.2.3.4, 10.2.2, RFC 3021: no class matters; /31 and /32 are fine, as everybody uses them."""
    bed.r.add_address("b", f"100.64.0.1/{length}", now=bed.now)
    bed.settle()
    echo(bed, "100.64.0.1")
    assert bed.a.received == [match.icmp4(type=0, src="100.64.0.1")]
    kernel = [length for _, length, route in bed.r.ip4.main if route.src == 0x64400001]
    assert kernel == ([] if length == 32 else [length])


def test_no_address_is_there_from_the_factory(empty: Bed) -> None:
    """RFC 1812 10.2.1: a new device has none; 127.0.0.1 on lo is all that a new namespace has."""
    ns = empty.stack.add_netns("new")
    station = empty.station(ns, "a")
    assert [(dev.name, len(dev.addresses)) for dev in ns.devices.values()] == [("lo", 1), ("a", 0)]
    station.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
    station.send_arp(frames.arp_request(station.mac, "10.0.1.2", "10.0.1.1"))
    assert (station.received, station.arp) == ([], [])


def test_an_address_that_becomes_ours_is_no_neighbour(bed: Bed) -> None:
    """The entry of a neighbour whose address we take over is forgotten, and packets to it stay here."""
    sock = bed.udp(7)
    bed.b.answers_arp = True
    bed.r.neigh4.delete(bed.b.dev, 0x0A000202)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7, b"there"))
    bed.r.add_address("b", "10.0.2.2/32", now=bed.now)
    assert bed.neigh(bed.b) is None
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7, b"here"))
    assert [frame[42:] for frame in bed.b.received] == [b"there"]
    assert bed.received(sock) == [b"here"]


@pytest.mark.parametrize("how", ["removed", "down"])
def test_a_socket_does_not_outlive_its_address(bed: Bed, how: str) -> None:
    """RFC 1812 4.2.2.11, RFC 1122 3.2.1.3: what is sent has an address of ours as its source; EINVAL as in Linux."""
    bed.r.add_address("b", "10.0.2.9/24", now=bed.now)
    bed.settle()
    sock = bed.udp(5000, address="10.0.2.9")
    sock.sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.received == [match.udp(src="10.0.2.9")]
    if how == "removed":
        bed.r.del_address("b", "10.0.2.9/24", now=bed.now)
    else:
        bed.r.set_device("b", up=False, now=bed.now)
    with bed.expect():
        assert failure(sock.sendto, b"x", ("10.0.1.2", 9), now=bed.now) == errno.EINVAL


@pytest.mark.parametrize("fate", ["free", "removed"])
def test_a_route_keeps_its_source_while_another_device_probes_for_it(bed: Bed, fate: str) -> None:
    """RFC 5227 2.1.1: a source that is being probed for is held back, not lost: its route goes with the last device
    that may have it."""
    c = bed.station(bed.r, "c")
    c.dev.acd = "probe"
    bed.r.add_address("a", "10.200.1.1/32", now=bed.now)
    bed.r.add_address("c", "10.200.1.1/32", now=bed.now)
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", src="10.200.1.1", now=bed.now)
    bed.r.del_address("a", "10.200.1.1/32", now=bed.now)
    assert [a.state for a in c.dev.addresses] == ["tentative"]
    assert len(bed.r.ip4.main.exact(0xC0000200, 24)) == 1
    bed.udp().sendto(b"x", ("192.0.2.9", 9), now=bed.now)
    if fate == "free":
        bed.run_until_idle()
        bed.udp().sendto(b"x", ("192.0.2.9", 9), now=bed.now)
        assert [frame[26:30] for frame in bed.b.received] == [bytes((10, 0, 2, 1)), bytes((10, 200, 1, 1))]
    bed.r.del_address("c", "10.200.1.1/32", now=bed.now)
    assert bed.r.ip4.main.exact(0xC0000200, 24) == []


def test_a_route_goes_with_its_source_when_the_other_device_lost_it(bed: Bed) -> None:
    """RFC 5227 2.1.1: an address in conflict is nobody's here."""
    c = bed.station(bed.r, "c")
    c.dev.acd = "probe"
    bed.r.add_address("a", "10.200.1.1/32", now=bed.now)
    bed.r.add_address("c", "10.200.1.1/32", now=bed.now)
    c.send_arp(frames.arp_request(c.mac, "10.200.1.1", "10.200.1.1"), dst_mac=frames.BROADCAST)
    assert [a.state for a in c.dev.addresses] == ["conflict"]
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", src="10.200.1.1", now=bed.now)
    bed.r.del_address("a", "10.200.1.1/32", now=bed.now)
    assert bed.r.ip4.main.exact(0xC0000200, 24) == []
