"""Several next hops: which flows go where, and what stays together.

::

                     ┌ n0 10.1.0.1 ── 10.1.0.2
    a 10.0.1.2 ── r ─┼ n1 10.1.1.1 ── 10.1.1.2      192.0.2.0/24 lies behind all four
                     ├ n2 10.1.2.1 ── 10.1.2.2
                     └ n3 10.1.3.1 ── 10.1.3.2
"""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

HOPS = [{"via": f"10.1.{n}.2", "weight": n + 1} for n in range(4)]
NET = "192.0.2.0/24"


@pytest.fixture
def ways(bed: Bed) -> list[Station]:
    """The four stations behind r."""
    found = [bed.station(bed.r, f"n{n}", f"10.1.{n}.1/24", f"10.1.{n}.2") for n in range(4)]
    bed.r.sysctl["net.ipv4.fib_multipath_hash_policy"] = 1
    bed.settle()
    return found


def flows(count: int) -> list[bytes]:
    """Seeded flows from behind a."""
    rng = random.Random(991)
    return [
        frames.ipv4_udp(
            0x0B000000 | rng.getrandbits(24), 0xC0000200 | rng.getrandbits(8), rng.getrandbits(16), 53, b"x"
        )
        for _ in range(count)
    ]


def taken(bed: Bed, ways: list[Station], packets: list[bytes]) -> list[int]:
    """By which of the ways each packet goes; -1 for none."""
    found = []
    for packet in packets:
        bed.a.send(packet)
        came = [n for n, way in enumerate(ways) if way.received]
        assert len(came) <= 1
        found.append(came[0] if came else -1)
        for way in ways:
            way.clear()
    bed.a.clear()
    return found


def shares(found: list[int]) -> list[float]:
    return [100 * found.count(n) / len(found) for n in range(4)]


def test_ten_thousand_flows_over_four_next_hops(bed: Bed, ways: list[Station]) -> None:
    """RFC 2992: within 2 percentage points of the weights; and when one leaves, its flows move and no other."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    packets = flows(10_000)
    before = taken(bed, ways, packets)
    for share, weight in zip(shares(before), (10, 20, 30, 40), strict=True):
        assert abs(share - weight) < 2
    bed.r.set_device("n3", up=False, now=bed.now)
    bed.run_until_idle()
    for way in ways:
        way.clear()
    after = taken(bed, ways, packets)
    assert [b for b in before if b != 3] == [a for b, a in zip(before, after, strict=True) if b != 3]
    for share, weight in zip(shares(after), (100 / 6, 200 / 6, 300 / 6, 0), strict=True):
        assert abs(share - weight) < 2


@pytest.mark.parametrize("way", ["replace", "nexthop", "device"])
def test_other_ways_of_leaving(bed: Bed, ways: list[Station], way: str) -> None:
    """The route is replaced by one without the member; or its next-hop object goes; or its device does."""
    for n in range(4):
        bed.r.add_nexthop(n + 1, via=f"10.1.{n}.2", now=bed.now)
    bed.r.add_nexthop(9, group=[(1, 1), (2, 2), (3, 3), (4, 4)], now=bed.now)
    if way == "nexthop":
        bed.r.add_route(NET, nhid=9, now=bed.now)
    else:
        bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    packets = flows(500)
    before = taken(bed, ways, packets)
    if way == "replace":
        bed.r.add_route(NET, nexthops=[HOPS[3], HOPS[2], HOPS[0]], replace=True, now=bed.now)
    elif way == "nexthop":
        bed.r.del_nexthop(2, now=bed.now)
    else:
        bed.stack.remove_device(bed.r.device("n1"), now=bed.now)
    after = taken(bed, ways, packets)
    assert 1 not in after
    assert [b for b in before if b != 1] == [a for b, a in zip(before, after, strict=True) if b != 1]


def test_the_hash_policy(bed: Bed, ways: list[Station]) -> None:
    """fib_multipath_hash_policy 0: all between two hosts goes one way; 1: each connection its own."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    packets = [frames.ipv4_udp("10.0.1.2", "192.0.2.1", 1000 + n, 53, b"x") for n in range(100)]
    assert set(taken(bed, ways, packets)) == {0, 1, 2, 3}
    bed.r.sysctl["net.ipv4.fib_multipath_hash_policy"] = 0
    assert len(set(taken(bed, ways, packets))) == 1


def test_fragments_of_a_datagram_go_one_way(bed: Bed, ways: list[Station]) -> None:
    """Also when ports decide: the later ones have none."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    for port in range(40):
        whole = frames.ipv4_udp(f"10.0.9.{port}", "192.0.2.1", 1000 + port, 53, bytes(3000), ident=port)
        pieces = frames.fragments(whole, 600)
        assert len(pieces) > 4
        assert len(set(taken(bed, ways, pieces))) == 1


def test_an_error_finds_the_server(bed: Bed, ways: list[Station]) -> None:
    """RFC 1191 behind a balancer: Fragmentation Needed about a server's packet comes to that server."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    for port in range(1000, 1040):
        asked = frames.ipv4_udp("10.0.1.2", "192.0.2.1", port, 53, b"x")
        answer = frames.ipv4_udp("192.0.2.1", "10.0.1.2", 53, port, bytes(1400))
        error = frames.ipv4("10.0.1.77", "192.0.2.1", 1, frames.icmp_error(3, 4, answer[:28], rest=1300))
        one, other = taken(bed, ways, [asked, error])
        assert one == other


def test_sockets_keep_to_their_way(bed: Bed, ways: list[Station]) -> None:
    """What one socket sends goes one way, by its ports; different sockets go different ways."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    used = set()
    for port in range(1000, 1040):
        sock = bed.udp(port, address="10.0.1.1")
        sock.connect(("192.0.2.1", 53), now=bed.now)
        mine = set()
        for _ in range(3):
            sock.send(b"x", now=bed.now)
            mine |= {n for n, way in enumerate(ways) if way.received}
            for way in ways:
                way.clear()
        assert len(mine) == 1
        used |= mine
        sock.close(now=bed.now)
    assert used == {0, 1, 2, 3}


def test_a_socket_bound_to_a_device(bed: Bed, ways: list[Station]) -> None:
    """SO_BINDTODEVICE: the member by that device, whatever the flow."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    for port in range(1000, 1010):
        sock = bed.udp(port)
        sock.setsockopt(1, 25, b"n2")
        sock.sendto(b"x", ("192.0.2.1", 53), now=bed.now)
        sock.close(now=bed.now)
    assert [len(way.received) for way in ways] == [0, 0, 10, 0]


def test_no_member_left(bed: Bed, ways: list[Station]) -> None:
    """RFC 1812 5.3.12.3: without a usable member the route is none, and a worse one is taken."""
    bed.r.add_route(NET, nexthops=HOPS[:2], now=bed.now)
    bed.r.add_route("default", via="10.1.3.2", now=bed.now)
    for dev in ("n0", "n1"):
        bed.r.set_device(dev, up=False, now=bed.now)
    assert set(taken(bed, ways, flows(20))) == {3}


def test_next_hop_objects(bed: Bed, ways: list[Station]) -> None:
    """ip-nexthop(8): routes share them; a change changes all, without a route being touched; who goes takes them
    along."""
    r, packets = bed.r, flows(60)
    r.add_nexthop(1, via="10.1.0.2", now=bed.now)
    r.add_nexthop(2, via="10.1.1.2", dev="n1", now=bed.now)
    r.add_nexthop(10, group=[(1, 1), (2, 1)], now=bed.now)
    r.add_route(NET, nhid=10, now=bed.now)
    r.add_route("198.51.100.0/24", nhid=1, now=bed.now)
    assert set(taken(bed, ways, packets)) == {0, 1}
    generation = r.ip4.main.generation
    r.add_nexthop(1, via="10.1.2.2", replace=True, now=bed.now)
    assert set(taken(bed, ways, packets)) == {1, 2}
    assert taken(bed, ways, [frames.ipv4_udp("10.0.1.2", "198.51.100.1", 1, 2, b"x")]) == [2]
    r.add_nexthop(10, group=[(2, 1)], replace=True, now=bed.now)
    assert set(taken(bed, ways, packets)) == {1}
    r.add_nexthop(2, blackhole=True, replace=True, now=bed.now)
    with bed.expect(rx=1, IpInReceives=1, drops={DropReason.ROUTE_BLACKHOLE: 1}):
        bed.a.send(packets[0])
    assert r.ip4.main.generation == generation
    assert r.nexthop_rows() == [
        _row(1, via="10.1.2.2", dev="n2"),
        _row(2, blackhole=True),
        _row(10, group=[{"id": 2, "weight": 1}]),
    ]
    r.del_nexthop(2, now=bed.now)  # and with it the group that it was alone in, and the route by this
    assert [row["id"] for row in r.nexthop_rows()] == [1]
    assert [prefix for prefix, _, route in r.ip4.main if route.proto == "static"] == [0xC6336400]
    r.del_nexthop(1, now=bed.now)
    assert [route for _, _, route in r.ip4.main if route.proto == "static"] == []


def _row(id_: int, **fields: Any) -> dict[str, Any]:
    empty = {"via": None, "dev": None, "group": None, "blackhole": False, "onlink": False}
    return {"netns": "r", "id": id_, "family": "inet", **empty, **fields}


def test_next_hop_objects_that_cannot_be(bed: Bed, ways: list[Station]) -> None:
    """Linux's errors: EEXIST, ENOENT, EINVAL for groups in groups, twice the same, another kind in the place of one."""
    r = bed.r
    r.add_nexthop(1, via="10.1.0.2", now=bed.now)
    r.add_nexthop(2, blackhole=True, now=bed.now)
    r.add_nexthop(10, group=[(1, 5)], now=bed.now)
    wrong: list[tuple[int, int, dict[str, Any]]] = [
        (errno.EEXIST, 1, {"via": "10.1.0.2"}),
        (errno.ENOENT, 3, {"group": [(99, 1)]}),
        (errno.EINVAL, 3, {"group": [(10, 1)]}),
        (errno.EINVAL, 3, {"group": [(1, 1), (1, 1)]}),
        (errno.EINVAL, 3, {"group": [(1, 1), (2, 1)]}),
        (errno.EINVAL, 3, {"group": []}),
        (errno.EINVAL, 3, {"group": [(1, 257)]}),
        (errno.EINVAL, 1, {"group": [(2, 1)], "replace": True}),
        (errno.EINVAL, 10, {"via": "10.1.0.2", "replace": True}),
        (errno.EINVAL, 3, {}),
        (errno.EINVAL, 3, {"via": "10.1.0.2", "blackhole": True}),
        (errno.ENETUNREACH, 3, {"via": "10.99.0.2"}),
        (errno.ENODEV, 3, {"dev": "nosuch"}),
    ]
    for number, id_, fields in wrong:
        with pytest.raises(OSError) as refused:
            r.add_nexthop(id_, **fields, now=bed.now)
        assert (refused.value.errno, fields) == (number, fields)
    assert [row["id"] for row in r.nexthop_rows()] == [1, 2, 10]
    assert r.add_nexthop(via="10.1.0.2", now=bed.now).id == 3
    with pytest.raises(FileNotFoundError):
        r.del_nexthop(99, now=bed.now)


def test_next_hop_objects_of_a_device_that_leaves(bed: Bed, ways: list[Station]) -> None:
    """They go with it, and the routes by them alone."""
    r = bed.r
    r.add_nexthop(1, via="10.1.0.2", now=bed.now)
    r.add_nexthop(2, via="10.1.1.2", now=bed.now)
    r.add_nexthop(10, group=[(1, 1), (2, 1)], now=bed.now)
    r.add_route(NET, nhid=10, now=bed.now)
    r.add_route("198.51.100.0/24", nhid=1, now=bed.now)
    bed.stack.remove_device(r.device("n0"), now=bed.now)
    assert [row["id"] for row in r.nexthop_rows()] == [2, 10]
    assert [prefix for prefix, _, route in r.ip4.main if route.proto == "static"] == [0xC0000200]
    assert set(taken(bed, ways, flows(20))) == {1}


def test_onlink(bed: Bed, ways: list[Station]) -> None:
    """ip-route(8): the gateway is believed to be on the link of the device, whatever the addresses say."""
    with pytest.raises(OSError, match="not on a link"):
        bed.r.add_route(NET, via="172.16.0.9", dev="n1", now=bed.now)
    bed.r.add_route(NET, via="172.16.0.9", dev="n1", onlink=True, now=bed.now)
    bed.r.neigh4.add_static(bed.r.device("n1"), 0xAC100009, ways[1].mac, bed.now)
    assert taken(bed, ways, flows(1)) == [1]
    bed.r.add_route("172.17.0.0/16", dev="n2", now=bed.now)
    bed.r.add_route("198.51.100.0/24", via="172.17.0.9", now=bed.now)  # by a route to its link
    assert bed.r.get_route("198.51.100.1", now=bed.now)["dev"] == "n2"


def test_route_mtu(bed: Bed, ways: list[Station]) -> None:
    """A route's mtu bounds what is forwarded (RFC 1191 4) and what is sent by it; advmss is kept for TCP."""
    route = bed.r.add_route(NET, nexthops=HOPS, mtu=1000, advmss=900, now=bed.now)
    assert (route.mtu, route.advmss) == (1000, 900)
    sent = bed.a.send(frames.ipv4_udp("10.0.1.2", "192.0.2.1", 1, 2, bytes(1000), df=True))
    assert bed.a.received == [match.icmp4(type=3, code=4, rest=1000, quotes=sent)]
    sock = bed.udp(5)
    sock.setsockopt(0, 10, 2)
    with pytest.raises(OSError) as refused:
        sock.sendto(bytes(1000), ("192.0.2.1", 53), now=bed.now)
    assert refused.value.errno == errno.EMSGSIZE
    sock.sendto(bytes(972), ("192.0.2.1", 53), now=bed.now)
    assert sum(len(way.received) for way in ways) == 1


def test_get_route(bed: Bed, ways: list[Station]) -> None:
    """ip route get: the member that this flow takes, and what ICMP told of the path with the time that it lasts."""
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    found = bed.r.get_route("192.0.2.1", now=bed.now)
    assert found["to"] == NET
    assert found["via"] in {hop["via"] for hop in HOPS}
    assert (found["src"], found["expires_ns"], found["nexthops"]) == (f"10.1.{found['dev'][1]}.1", None, None)
    bed.r.ip4.learn_mtu(0xC0000201, 1300, bed.now)
    bed.now += 1_000_000_000
    found = bed.r.get_route("192.0.2.1", now=bed.now)
    assert (found["mtu"], found["expires_ns"]) == (1300, 599_000_000_000)
    assert bed.r.get_route("192.0.2.1", oif="n1", now=bed.now)["via"] == "10.1.1.2"
    assert bed.r.get_route("192.0.2.1", src="10.0.1.2", iif="a", now=bed.now)["src"] == "10.0.1.2"
    for wrong, number in (("203.0.113.1", errno.ENETUNREACH), ("255.255.255.255", errno.ENETUNREACH)):
        with pytest.raises(OSError) as refused:
            bed.r.get_route(wrong, now=bed.now)
        assert refused.value.errno == number


def test_gateways_that_do_not_answer(bed: Bed, ways: list[Station]) -> None:
    """net.ipv4.fib_multipath_use_neigh: a gateway that did not answer is passed over while there is another, and its
    flows alone move; without the setting they are told that it is unreachable (RFC 1812 5.2.7.1)."""
    bed.r.neigh4.flush(bed.r.device("n2"), static=True, reason=DropReason.NEIGH_FAILED)
    bed.r.add_route(NET, nexthops=HOPS, now=bed.now)
    packets = flows(100)
    bed.r.add_route("11.0.0.0/8", via="10.0.1.2", now=bed.now)
    before = taken(bed, ways, packets)  # those by n2 wait for its gateway
    bed.run_for(5)
    assert bed.a.received[0] == match.icmp4(type=3, code=1)
    bed.a.clear()
    bed.r.sysctl["net.ipv4.fib_multipath_use_neigh"] = 1
    after = taken(bed, ways, packets)
    assert set(after) == {0, 1, 3}
    assert [b for b in before if b != -1] == [a for b, a in zip(before, after, strict=True) if b != -1]
    for dev in ("n0", "n1", "n3"):
        bed.r.set_device(dev, up=False, now=bed.now)
    assert set(taken(bed, ways, packets[:3])) == {-1}  # and it is asked for once more when there is no other
    bed.run_until_idle()
