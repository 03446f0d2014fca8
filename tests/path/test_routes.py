"""Which route a packet takes: RFC 1812 5.2.4, 5.3.12, 7.4, RFC 1122 3.3.1.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
                         10.0.3.1 ── 10.0.3.2 c
"""

from __future__ import annotations

import errno

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l3.fib import to_record
from vrouter.testing import frames, match

FORWARDED = {"IpInReceives": 1, "IpForwDatagrams": 1}
TOLD = {"IpInReceives": 1, "IpOutRequests": 1, "IcmpOutMsgs": 1, "IcmpOutDestUnreachs": 1}


@pytest.fixture
def c(bed: Bed) -> Station:
    """The third station."""
    station = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2")
    bed.settle()
    return station


def send(bed: Bed, dst: str) -> bytes:
    """a sends a datagram to dst."""
    return bed.a.send(frames.ipv4_udp("10.0.1.2", dst, 1, 2, b"x"))


def test_the_longest_prefix_wins(bed: Bed, c: Station) -> None:
    """RFC 1812 5.2.4.3: basic match, then longest match, whatever the metric and the order of configuration."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", metric=1, now=bed.now)
    bed.r.add_route("192.0.2.128/25", via="10.0.3.2", metric=900, now=bed.now)
    bed.r.add_route("192.0.2.129/32", via="10.0.2.2", metric=900, now=bed.now)
    for dst in ("192.0.2.127", "192.0.2.128", "192.0.2.129", "192.0.2.255"):
        send(bed, dst)
    assert bed.b.received == [match.udp(dst="192.0.2.127"), match.udp(dst="192.0.2.129")]
    assert c.received == [match.udp(dst="192.0.2.128"), match.udp(dst="192.0.2.255")]


@pytest.mark.parametrize("length", range(33))
def test_prefixes_of_any_length(bed: Bed, length: int) -> None:
    """RFC 1812 4.2.3.4, RFC 4632: routes are prefixes of 0 to 32 bits and nothing else; classes and subnets are
    gone."""
    dst = 0xC6336401
    bed.r.add_route(f"198.51.100.1/{length}" if length == 32 else _prefix(dst, length), via="10.0.2.2", now=bed.now)
    with bed.expect(rx=1, tx={"b": 1}, **FORWARDED):
        send(bed, "198.51.100.1")


def _prefix(address: int, length: int) -> str:
    network = address >> (32 - length) << (32 - length)
    return ".".join(str(network >> shift & 255) for shift in (24, 16, 8, 0)) + f"/{length}"


def test_the_better_metric_wins(bed: Bed, c: Station) -> None:
    """RFC 1812 5.2.4.3, 7.4: among equal prefixes the lowest metric."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", metric=20, now=bed.now)
    bed.r.add_route("192.0.2.0/24", via="10.0.3.2", metric=10, now=bed.now)
    send(bed, "192.0.2.1")
    assert (len(bed.b.received), len(c.received)) == (0, 1)
    bed.r.del_route("192.0.2.0/24", via="10.0.3.2", now=bed.now)
    send(bed, "192.0.2.1")
    assert (len(bed.b.received), len(c.received)) == (1, 1)


def test_default_routes(bed: Bed, c: Station) -> None:
    """RFC 1122 3.3.1.2, RFC 1812 5.2.4.3: without a better entry the default route is used; there may be several."""
    bed.r.add_route("default", via="10.0.2.2", metric=10, now=bed.now)
    bed.r.add_route("default", via="10.0.3.2", metric=20, now=bed.now)
    send(bed, "203.0.113.1")
    assert (len(bed.b.received), len(c.received)) == (1, 0)


def test_no_default_route_is_needed(bed: Bed) -> None:
    """RFC 1122 3.3.1.1: a namespace works on its links without any gateway; the mask alone decides what is local."""
    sock = bed.udp()
    sock.sendto(b"x", ("10.0.2.2", 9), now=bed.now)
    assert bed.b.received == [match.udp(dst="10.0.2.2")]
    with pytest.raises(OSError, match="Network is unreachable") as caught:
        sock.sendto(b"x", ("10.0.3.2", 9), now=bed.now)
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("kind", "reason", "code", "number"),
    [
        ("unreachable", DropReason.ROUTE_UNREACHABLE, 1, errno.EHOSTUNREACH),
        ("prohibit", DropReason.ROUTE_PROHIBIT, 13, errno.EACCES),
        ("blackhole", DropReason.ROUTE_BLACKHOLE, None, errno.EINVAL),
    ],
)
def test_routes_that_refuse(bed: Bed, kind: str, reason: DropReason, code: int | None, number: int) -> None:
    """RFC 1812 5.2.7.1: host unreachable, administratively prohibited (13, not 9 or 10), or silence; sockets get
    errno."""
    bed.r.add_route("192.0.2.0/24", type=kind, now=bed.now)
    stats = {"IpInReceives": 1} if code is None else TOLD
    with bed.expect(rx=1, tx=0 if code is None else 1, drops={reason: 1}, **stats):
        sent = send(bed, "192.0.2.9")
    wanted = [] if code is None else [match.icmp4(type=3, code=code, src="10.0.1.1", rest=0, payload=sent)]
    assert bed.a.received == wanted
    with pytest.raises(OSError) as caught:
        bed.udp().sendto(b"x", ("192.0.2.9", 9), now=bed.now)
    assert caught.value.errno == number


def test_no_route_at_all(bed: Bed) -> None:
    """RFC 1812 4.3.3.1, 5.2.7.1: network unreachable, code 0, only when there is no route at all."""
    with bed.expect(rx=1, tx=1, drops={DropReason.IP_INNOROUTES: 1}, **TOLD):
        sent = send(bed, "192.0.2.9")
    assert bed.a.received == [match.icmp4(type=3, code=0, src="10.0.1.1", rest=0, payload=sent)]


# -- devices that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["down", "no carrier"])
def test_routes_of_a_failed_device_are_skipped_and_come_back(bed: Bed, c: Station, how: str) -> None:
    """RFC 1812 5.3.12.3, 5.3.12.4: its routes are not used, the next best takes over; they return with the device."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", metric=10, now=bed.now)
    bed.r.add_route("192.0.2.0/24", via="10.0.3.2", metric=20, now=bed.now)

    def switch(on: bool) -> None:
        if how == "down":
            bed.r.set_device("b", up=on, now=bed.now)
        else:
            bed.r.set_carrier(bed.b.dev, on, now=bed.now)

    switch(False)
    send(bed, "192.0.2.1")
    assert c.received == [match.udp(dst="192.0.2.1")]
    switch(True)
    bed.settle()
    send(bed, "192.0.2.1")
    assert bed.b.received == [match.udp(dst="192.0.2.1")]
    assert c.received == []


def test_a_shorter_prefix_takes_over(bed: Bed, c: Station) -> None:
    """RFC 1812 5.3.12.3: the best alternative may be a less specific route."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    bed.r.add_route("default", via="10.0.3.2", now=bed.now)
    bed.r.set_carrier(bed.b.dev, False, now=bed.now)
    send(bed, "192.0.2.1")
    assert c.received == [match.udp(dst="192.0.2.1")]


@pytest.mark.parametrize("how", ["down", "no carrier"])
def test_what_cannot_be_forwarded_any_more_is_answered(bed: Bed, how: str) -> None:
    """RFC 1812 5.3.12.3: with no route left the sender is told network unreachable, as Linux does."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    if how == "down":
        bed.r.set_device("b", up=False, now=bed.now)
    else:
        bed.r.set_carrier(bed.b.dev, False, now=bed.now)
    with bed.expect(rx=2, tx=2, drops={DropReason.IP_INNOROUTES: 2}, **dict.fromkeys(TOLD, 2)):
        first, second = send(bed, "192.0.2.1"), send(bed, "10.0.2.2")
    assert bed.a.received == [match.icmp4(type=3, code=0, payload=first), match.icmp4(type=3, code=0, payload=second)]


def test_the_second_default_takes_over_when_the_device_fails(bed: Bed, c: Station) -> None:
    """RFC 1812 7.4: the next metric when the first one's interface fails; the first again when it is back."""
    bed.r.add_route("default", via="10.0.2.2", metric=10, now=bed.now)
    bed.r.add_route("default", via="10.0.3.2", metric=20, now=bed.now)
    for up in (True, False, True):
        bed.r.set_device("b", up=up, now=bed.now)
        bed.run_until_idle()
        send(bed, "203.0.113.1")
    assert (len(bed.b.received), len(c.received)) == (2, 1)


# -- configuring ------------------------------------------------------------------------------------------------------


def test_a_route_by_device_alone_reaches_its_hosts_directly(bed: Bed) -> None:
    """RFC 1812 5.2.4.2: a prefix that is on the link by configuration; the next hop is the destination."""
    bed.r.add_route("192.0.2.0/24", dev="b", now=bed.now)
    send(bed, "192.0.2.7")
    assert bed.b.received == []
    assert bed.b.arp == [match.arp(op=1, spa="10.0.2.1", tpa="192.0.2.7", eth_dst=frames.BROADCAST)]


def test_a_device_without_an_address_forwards_by_a_route(bed: Bed) -> None:
    """RFC 1812 10.2.1, deviated as in Linux: forwarding is a matter of routes, not of a device's own address."""
    d = bed.station(bed.r, "d")
    bed.r.add_route("192.0.2.0/24", dev="d", now=bed.now)
    bed.r.neigh4.add_static(d.dev, 0xC0000207, d.mac, bed.now)
    with bed.expect(rx={"a": 1}, tx={"d": 1}, **FORWARDED):
        send(bed, "192.0.2.7")
    with bed.expect(rx={"d": 1}, tx={"a": 1}, **FORWARDED):
        d.send(frames.ipv4_udp("192.0.2.7", "10.0.1.2", 1, 2))


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ({"to": "192.0.2.0/24", "via": "192.0.2.1"}, errno.ENETUNREACH),
        ({"to": "192.0.2.0/24", "via": "10.0.2.2", "dev": "a"}, errno.ENETUNREACH),
        ({"to": "192.0.2.0/24", "via": "10.0.1.1"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "via": "10.0.1.255"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "via": "224.0.0.9"}, errno.EINVAL),
        ({"to": "192.0.2.0/24"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "dev": "nothing"}, errno.ENODEV),
        ({"to": "192.0.2.0/24", "via": "10.0.2.2", "type": "prohibit"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "type": "nat"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "via": "10.0.2.2", "src": "10.9.9.9"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "netns": "none"}, errno.ENOENT),
        ({"to": "192.0.2.0/24", "netns": "r"}, errno.EINVAL),
        ({"to": "192.0.2.0/24", "netns": "r", "via": "10.0.2.2"}, errno.EINVAL),
    ],
)
def test_routes_that_cannot_be(bed: Bed, arguments: dict[str, str], number: int) -> None:
    """Linux's errno; a gateway must be on a link, so that no lookup is ever recursive."""
    before = list(bed.r.ip4.main)
    with pytest.raises(OSError) as caught:
        bed.r.add_route(**arguments, now=bed.now)
    assert caught.value.errno == number
    assert list(bed.r.ip4.main) == before


def test_a_route_twice_and_a_route_that_is_not_there(bed: Bed) -> None:
    """Linux: the same prefix and metric again is EEXIST, what is not there cannot be removed (ESRCH)."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    with pytest.raises(FileExistsError):
        bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    bed.r.del_route("192.0.2.0/24", now=bed.now)
    with pytest.raises(OSError) as caught:
        bed.r.del_route("192.0.2.0/24", now=bed.now)
    assert caught.value.errno == errno.ESRCH


def test_the_route_chooses_the_source(bed: Bed) -> None:
    """RFC 1122 3.3.4.3, Linux's src: a packet made here takes the source that its route prefers."""
    bed.r.add_address("a", "10.200.1.1/32", now=bed.now)
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", src="10.200.1.1", now=bed.now)
    bed.udp().sendto(b"x", ("192.0.2.9", 9), now=bed.now)
    assert bed.b.received == [match.udp(src="10.200.1.1", dst="192.0.2.9")]
    bed.r.del_address("a", "10.200.1.1/32", now=bed.now)  # and the route goes with its source, as in Linux
    with pytest.raises(OSError, match="unreachable"):
        bed.udp().sendto(b"x", ("192.0.2.9", 9), now=bed.now)


def main(bed: Bed, prefix: str) -> list[tuple[str, str, str | None]]:
    """Device, origin and preferred source of the main table's routes to `prefix`."""
    records = [to_record("", *entry) for entry in bed.r.ip4.main]
    return [(row["dev"], row["proto"], row["src"]) for row in records if row["to"] == prefix]


@pytest.mark.parametrize("how", ["removed", "source removed"])
def test_the_prefix_of_an_address_comes_when_a_static_route_leaves_its_place(bed: Bed, how: str) -> None:
    """RFC 1122 3.3.1.1: hosts in the prefix of an address are reached directly, whoever stood there when it came."""
    bed.station(bed.r, "d")
    bed.r.add_address("a", "10.200.1.1/32", now=bed.now)
    bed.r.add_route("192.0.2.0/24", dev="d", src="10.200.1.1", now=bed.now)
    for address in ("192.0.2.1/24", "192.0.2.2/24"):
        bed.r.add_address("d", address, now=bed.now)
    assert main(bed, "192.0.2.0/24") == [("d", "static", "10.200.1.1")]
    if how == "removed":
        bed.r.del_route("192.0.2.0/24", now=bed.now)
    else:
        bed.r.del_address("a", "10.200.1.1/32", now=bed.now)
    assert main(bed, "192.0.2.0/24") == [("d", "kernel", "192.0.2.1")]
    bed.r.del_address("d", "192.0.2.1/24", now=bed.now)
    assert main(bed, "192.0.2.0/24") == [("d", "kernel", "192.0.2.2")]
    bed.r.del_address("d", "192.0.2.2/24", now=bed.now)
    assert main(bed, "192.0.2.0/24") == []
    assert bed.r.ip4._waiting == {}


def test_the_prefix_of_an_address_waits_while_its_place_is_taken(bed: Bed) -> None:
    """Routes of another metric, gateway or device leave nothing vacant; an address that went is waited for no more."""
    d = bed.station(bed.r, "d")
    bed.r.add_route("192.0.2.0/24", dev="d", now=bed.now)
    bed.r.add_route("192.0.2.0/24", dev="d", metric=5, now=bed.now)
    bed.r.add_route("192.0.2.0/24", dev="a", now=bed.now)
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    bed.r.add_address("d", "192.0.2.1/24", now=bed.now)
    for others in ({"dev": "d", "metric": 5}, {"dev": "a"}, {"via": "10.0.2.2"}):
        bed.r.del_route("192.0.2.0/24", **others, now=bed.now)
        assert ("d", "kernel", "192.0.2.1") not in main(bed, "192.0.2.0/24")
    bed.r.set_device("d", up=False, now=bed.now)
    bed.r.del_route("192.0.2.0/24", dev="d", now=bed.now)
    assert (main(bed, "192.0.2.0/24"), bed.r.ip4._waiting) == ([], {})
    bed.r.set_device("d", up=True, now=bed.now)
    assert main(bed, "192.0.2.0/24") == [("d", "kernel", "192.0.2.1")]
    assert d.dev.ready


def test_a_kernel_route_that_is_taken_out_by_hand_stays_out(bed: Bed) -> None:
    """Linux's ``ip route del``: another address of the prefix does not bring it back behind one's back."""
    bed.r.add_address("b", "10.0.2.9/24", now=bed.now)
    bed.r.del_route("10.0.2.0/24", now=bed.now)
    assert main(bed, "10.0.2.0/24") == []
    bed.r.del_address("b", "10.0.2.1/24", now=bed.now)  # the other is the first now
    assert main(bed, "10.0.2.0/24") == [("b", "kernel", "10.0.2.9")]


def test_a_route_by_lo_leads_nobody_round_in_circles(bed: Bed) -> None:
    """RFC 1812 5.2.7.1: what can only come back is unreachable at once; one packet must not cost a TTL of turns."""
    bed.r.add_route("192.0.2.0/24", dev="lo", now=bed.now)
    sent = bed.a.send(frames.ipv4_udp("10.0.1.2", "192.0.2.9", 1, 2, b"x", ttl=255))
    assert bed.a.received == [match.icmp4(type=3, code=0, quotes=sent)]
    assert bed.r.lo.rx_packets == 0
    assert bed.r.drop_counts() == {"IP_INNOROUTES": 1}
