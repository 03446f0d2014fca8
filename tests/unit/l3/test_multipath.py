"""Which of several next hops a flow takes: shares, stability, and what a flow is."""

import random
from types import SimpleNamespace

import pytest

from vrouter.stack.base.addresses import V4, V6, parse_ipv4, parse_ipv6
from vrouter.stack.base.packet import FRAGMENT, Packet
from vrouter.stack.base.rng import Rng
from vrouter.stack.device import Device
from vrouter.stack.l3.fib import BLACKHOLE, REJECT
from vrouter.stack.l3.multipath import (
    POLICY_L3,
    POLICY_L4,
    Multipath,
    NextHop,
    flow_hash,
    hash_flow,
    multipath_route,
    new_flow_key,
)
from vrouter.testing import frames

KEY = new_flow_key(Rng(7))
A, B = parse_ipv4("198.51.100.7"), parse_ipv4("203.0.113.9")


def device(name: str) -> Device:
    return Device(SimpleNamespace(name="red", closing=False), name, "veth", 2, bytes(6), 1500)


def hops(*weights: int) -> list[NextHop]:
    return [NextHop(0x0A000001 + n, device(f"d{n}"), weight) for n, weight in enumerate(weights)]


def flows(count: int = 10_000) -> list[int]:
    rng = random.Random(20240229)
    return [
        hash_flow(KEY, POLICY_L4, rng.getrandbits(32), rng.getrandbits(32), 17, rng.getrandbits(16), 53)
        for _ in range(count)
    ]


def taken(several: Multipath, numbers: list[int]) -> list[str]:
    names = []
    for number in numbers:
        dev = several.pick(number).dev
        assert dev is not None
        names.append(dev.name)
    return names


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 4), (100, 1, 1, 98), (256, 128, 64, 64), (7, 7, 1, 7)])
def test_four_next_hops_share_ten_thousand_flows_by_weight(weights: tuple[int, ...]) -> None:
    """RFC 2992 3: 10,000 seeded flows are split within 2 percentage points of the weights."""
    names = taken(Multipath(V4, hops(*weights)), flows())
    for n, weight in enumerate(weights):
        assert abs(100 * names.count(f"d{n}") / len(names) - 100 * weight / sum(weights)) < 2


@pytest.mark.parametrize("gone", range(4))
@pytest.mark.parametrize("way", ["down", "forgotten", "another route"])
def test_only_the_flows_of_a_next_hop_that_leaves_move(gone: int, way: str) -> None:
    """RFC 2992 3: whether its device goes down, leaves for good, or the route is another without it. Those that move
    spread by the weights of the rest."""
    members = hops(1, 2, 3, 4)
    several = Multipath(V4, members)
    numbers = flows()
    before = taken(several, numbers)
    dev = members[gone].dev
    assert dev is not None
    if way == "down":
        dev.up = False
        dev.refresh()
    elif way == "forgotten":
        assert not several.forget(dev)
    else:
        several = Multipath(V4, [hop for hop in members[::-1] if hop.dev is not dev])
    after = taken(several, numbers)
    assert [b for b in before if b != dev.name] == [a for b, a in zip(before, after, strict=True) if b != dev.name]
    assert dev.name not in after
    rest = sum(hop.weight for hop in members) - members[gone].weight
    for n, hop in enumerate(members):
        if n != gone:
            assert abs(100 * after.count(f"d{n}") / len(after) - 100 * hop.weight / rest) < 2
    if way == "down":
        dev.up = True
        dev.refresh()
        assert taken(several, numbers) == before


def test_a_new_weight_moves_no_flow_between_the_others() -> None:
    """RFC 2992 3: a member that gains weight takes from each, and gives nobody else's to another."""
    members = hops(2, 2, 2, 2)
    several = Multipath(V4, members)
    numbers = flows()
    before = taken(several, numbers)
    several.replace([NextHop(hop.via, hop.dev, 4 if n == 2 else 2) for n, hop in enumerate(members)])
    after = taken(several, numbers)
    assert {a for b, a in zip(before, after, strict=True) if a != b} == {"d2"}
    assert abs(after.count("d2") / len(after) - 0.4) < 0.02


def test_equal_members_count_each() -> None:
    """The same gateway named twice takes two shares."""
    one, other = hops(1, 1)
    names = taken(Multipath(V4, [one, NextHop(one.via, one.dev), other]), flows())
    assert abs(names.count("d0") / len(names) - 2 / 3) < 0.02


def test_what_a_flow_gets_is_a_route_of_its_own() -> None:
    """A member has the attributes of the whole and its own next hop; it is the same object each time."""
    members = hops(1, 1)
    route = multipath_route(V4, members, metric=5, mtu=1400, src=9, nhid=3, table=77, advmss=1000, proto="bgp")
    several = route.nexthops
    assert isinstance(several, Multipath)
    for number in flows(20):
        found = several.pick(number)
        assert found is several.pick(number)
        assert (found.metric, found.mtu, found.src, found.nhid, found.table) == (5, 1400, 9, 3, 77)
        assert (found.advmss, found.proto, found.nexthops) == (1000, "bgp", None)
        assert (found.via, found.dev) in [(hop.via, hop.dev) for hop in members]
    assert (route.dev, route.via, route.gate) == (None, -1, several)


def test_without_a_usable_member() -> None:
    """It is not ready, and who asks all the same is refused."""
    members = hops(1, 1)
    several = Multipath(V4, members)
    assert several.ready
    for hop in members:
        assert hop.dev is not None
        hop.dev.carrier = False
        hop.dev.refresh()
    assert not several.ready
    assert several.pick(1).action == REJECT
    several.replace([])
    assert (several.ready, several.pick(1).action, len(several)) == (False, REJECT, 0)
    several.replace([NextHop(-1, None)])
    assert (several.ready, several.pick(1).type) == (True, BLACKHOLE)


def test_by_device() -> None:
    """Who is bound to a device gets the member by it, and the reverse path asks whether there is one."""
    members = hops(1, 1)
    several = Multipath(V4, members)
    assert members[1].dev is not None
    found = several.by_device(members[1].dev)
    assert found is not None
    assert found.via == members[1].via
    assert several.by_device(device("other")) is None
    assert (several.leaves_by(members[0].dev), several.leaves_by(device("other"))) == (True, False)


# -- what a flow is ----------------------------------------------------------------------------------------------------


def packet4(raw: bytes) -> Packet:
    pkt = Packet.from_frame(raw)
    pkt.l3, pkt.family = pkt.start, V4
    pkt.l4 = pkt.start + 20
    pkt.proto = raw[9]
    pkt.src, pkt.dst = int.from_bytes(raw[12:16], "big"), int.from_bytes(raw[16:20], "big")
    if int.from_bytes(raw[6:8], "big") & 0x3FFF:
        pkt.flags |= FRAGMENT
    return pkt


def flow4(raw: bytes, policy: int) -> int:
    return flow_hash(packet4(raw), policy, KEY)


def udp(src: int, dst: int, sport: int, dport: int, **fields: object) -> bytes:
    return frames.ipv4_udp(src, dst, sport, dport, b"x" * 64, **fields)


def test_policies() -> None:
    """fib_multipath_hash_policy: 0 goes by addresses, 1 by protocol and ports besides."""
    same = udp(A, B, 1000, 53)
    assert flow4(same, POLICY_L3) == flow4(udp(A, B, 2000, 80), POLICY_L3) == hash_flow(KEY, POLICY_L3, A, B)
    assert flow4(same, POLICY_L3) != flow4(udp(A, B + 1, 1000, 53), POLICY_L3)
    assert flow4(same, POLICY_L4) == hash_flow(KEY, POLICY_L4, A, B, 17, 1000, 53)
    assert len({flow4(udp(A, B, 1000 + n, 53), POLICY_L4) for n in range(100)}) == 100


def test_both_directions_are_one_flow() -> None:
    """As in Linux: so an error's quote, which goes the other way, is recognised."""
    for policy in (POLICY_L3, POLICY_L4):
        assert flow4(udp(A, B, 1000, 53), policy) == flow4(udp(B, A, 53, 1000), policy)
        assert flow4(udp(A, A, 1000, 53), policy) == flow4(udp(A, A, 53, 1000), policy)


def test_fragments_stay_together() -> None:
    """Only the first has ports, so none goes by them: the pieces of a datagram take one way."""
    for policy in (POLICY_L3, POLICY_L4):
        first = frames.ipv4(A, B, 17, b"\x03\xe8\x00\x35" + bytes(20), mf=True, ident=7)
        later = frames.ipv4(A, B, 17, bytes(range(24)), offset=24, ident=7)
        assert flow4(first, policy) == flow4(later, policy)


@pytest.mark.parametrize("type_", [3, 4, 11, 12])
def test_an_error_goes_the_way_of_what_it_quotes(type_: int) -> None:
    """RFC 1191: news about a path reach the host whose packets take it, behind a router that balances."""
    sent = udp(B, A, 53, 1000)  # by a server behind us to a client
    error = frames.ipv4(parse_ipv4("192.0.2.1"), B, 1, bytes([type_, 0, 0, 0, 0, 0, 0, 0]) + sent[:28])
    for policy in (POLICY_L3, POLICY_L4):
        assert flow4(error, policy) == flow4(udp(A, B, 1000, 53), policy)
    for cut in range(8, 28):
        flow4(error[: 20 + cut], POLICY_L4)  # whatever is missing, there is an answer
    short = error[: 20 + 8 + 19]
    assert flow4(short, POLICY_L3) == hash_flow(KEY, POLICY_L3, parse_ipv4("192.0.2.1"), B)


def test_questions_are_no_errors() -> None:
    """ICMP echo has no ports: it goes by addresses and protocol, whatever its data look like."""
    echo = frames.ipv4(A, B, 1, b"\x08\0\0\0\0\1\0\1" + udp(1, 2, 3, 4))
    assert flow4(echo, POLICY_L4) == hash_flow(KEY, POLICY_L4, A, B, 1)


def packet6(label: int, proto: int, payload: bytes, *, src: str = "2001:db8::1", dst: str = "2001:db8::2") -> Packet:
    one, other = parse_ipv6(src), parse_ipv6(dst)
    header = (6 << 28 | label).to_bytes(4, "big") + len(payload).to_bytes(2, "big") + bytes([proto, 64])
    pkt = Packet.from_frame(header + one.to_bytes(16, "big") + other.to_bytes(16, "big") + payload)
    pkt.l3, pkt.l4, pkt.family, pkt.proto, pkt.src, pkt.dst = pkt.start, pkt.start + 40, V6, proto, one, other
    return pkt


def test_ipv6_goes_by_the_flow_label() -> None:
    """RFC 6438 3: {source, destination, flow label}; ports under the policy that asks for them."""
    ports = b"\x03\xe8\x00\x35" + bytes(8)
    one, other = packet6(0x12345, 17, ports), packet6(0x12346, 17, ports)
    assert flow_hash(one, POLICY_L3, KEY) != flow_hash(other, POLICY_L3, KEY)
    assert flow_hash(one, POLICY_L4, KEY) == flow_hash(other, POLICY_L4, KEY)
    assert flow_hash(one, POLICY_L3, KEY) == hash_flow(KEY, POLICY_L3, one.src, one.dst, label=0x12345)
    assert flow_hash(one, POLICY_L4, KEY) == hash_flow(KEY, POLICY_L4, one.src, one.dst, 17, 1000, 53)


def test_an_icmpv6_error_goes_the_way_of_what_it_quotes() -> None:
    """RFC 8201, RFC 4443 2.4: Packet Too Big reaches the host whose packets take the path."""
    sent = packet6(0x777, 6, b"\x00\x35\x03\xe8" + bytes(16), src="2001:db8::2", dst="2001:db8::1")
    error = packet6(0, 58, b"\x02\0\0\0\0\0\x05\0" + sent.data(), src="2001:db8:9::9", dst="2001:db8::2")
    back = packet6(0x777, 6, b"\x03\xe8\x00\x35" + bytes(16))
    for policy in (POLICY_L3, POLICY_L4):
        assert flow_hash(error, policy, KEY) == flow_hash(back, policy, KEY)


def test_the_key_decides() -> None:
    """A stranger who does not know the key cannot tell which flows share a link."""
    other = new_flow_key(Rng(8))
    several = Multipath(V4, hops(1, 1, 1, 1))
    rng = random.Random(3)
    pairs = [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(1000)]
    one = taken(several, [hash_flow(KEY, POLICY_L3, *pair) for pair in pairs])
    two = taken(several, [hash_flow(other, POLICY_L3, *pair) for pair in pairs])
    assert 150 < sum(a == b for a, b in zip(one, two, strict=True)) < 350
    assert new_flow_key(Rng(8)) == other


def test_neighbouring_flows_spread_too() -> None:
    """Consecutive ports and addresses, as real hosts use them, are split as well as random ones."""
    several = Multipath(V4, hops(1, 1, 1, 1))
    numbers = [hash_flow(KEY, POLICY_L4, A, B, 6, 30_000 + n, 443) for n in range(10_000)]
    numbers += [hash_flow(KEY, POLICY_L3, A + n, B) for n in range(10_000)]
    for names in (taken(several, numbers[:10_000]), taken(several, numbers[10_000:])):
        for n in range(4):
            assert abs(names.count(f"d{n}") / len(names) - 0.25) < 0.02
