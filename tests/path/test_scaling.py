"""What a packet or a change costs does not grow with what it has nothing to do with.

Nothing here measures time: `work` counts the bytecode instructions that a call takes, once with a few sockets,
addresses, devices or routes beside it and once with four times as many.
"""

from __future__ import annotations

import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.path.bed import SECOND, Bed
from vrouter.stack.base.addresses import format_address
from vrouter.stack.netns import Netns
from vrouter.testing import frames, match

FEW = 16
MANY = 4 * FEW
GROUP = "239.1.1.1"
ADD_MEMBERSHIP = 35
SO_REUSEADDR, SO_REUSEPORT, SO_BINDTODEVICE = 2, 15, 25


def work(call: Callable[[], Any]) -> int:
    """How many bytecode instructions `call` takes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def must_be_flat(make: Callable[[int], Callable[[], Any]]) -> None:
    """The call that `make(n)` returns takes the same with few and with many, give or take a twentieth."""
    few, many = work(make(FEW)), work(make(MANY))
    assert many <= few * 1.05 + 20, f"{few} instructions with {FEW}, {many} with {MANY}"


def must_be_linear(make: Callable[[int], Callable[[], Any]]) -> None:
    """The call that `make(n)` returns, which does n things, takes at most n times as much as one, about."""
    few, many = work(make(FEW)), work(make(MANY))
    assert many <= few * 4.4 + 20, f"{few} instructions for {FEW}, {many} for {MANY}"


def test_the_measure_sees_a_walk() -> None:
    """`work` counts loops, comprehensions and generators, in what is called, too."""
    for walk in (
        lambda n: lambda: [one + 1 for one in range(n)],
        lambda n: lambda: any(one < 0 for one in range(n)),
        lambda n: lambda: sorted(range(n), key=lambda one: -one),
    ):
        with pytest.raises(AssertionError, match="instructions with"):
            must_be_flat(walk)
        must_be_linear(walk)


def receiving(bed: Bed, packet: bytes, *, dst: bytes | None = None) -> Callable[[], Any]:
    """A frame with `packet` comes from a; once before, so that everything that is made once is made."""
    dev = bed.a.dev
    frame = frames.ethernet(dst or dev.mac, bed.a.mac, frames.IPV4, packet)
    bed.receive(dev, frame)
    return lambda: bed.stack.receive(dev, frame, bed.now)


def nth(index: int) -> str:
    """Address number `index`."""
    return format_address(0x0A640001 + index * 4)


def addresses(ns: Netns, dev: str, count: int, length: int = 30) -> list[str]:
    """Give `dev` that many addresses, each with a prefix of its own."""
    for index in range(count):
        ns.add_address(dev, f"{nth(index)}/{length}")
    return [nth(index) for index in range(count)]


# -- packets -----------------------------------------------------------------------------------------------------------


def test_a_group_frame_and_the_sockets() -> None:
    """Whether a group is wanted here is known, not asked of every socket, be it wanted or not."""

    def make(count: int, join: bool) -> Callable[[], Any]:
        bed = Bed.line()
        for index in range(count):
            bed.udp(2000 + index)
        if join:
            sock = bed.udp(7)
            sock.setsockopt(0, ADD_MEMBERSHIP, bytes([239, 1, 1, 1, 10, 0, 1, 1]), now=bed.now)
        packet = frames.ipv4_udp("10.0.1.2", GROUP, 1, 7, b"x")
        return receiving(bed, packet, dst=bytes.fromhex("01005e010101" if join else "01005e000001"))

    must_be_flat(lambda count: make(count, False))
    must_be_flat(lambda count: make(count, True))


def test_an_own_packet_to_a_group_and_the_sockets() -> None:
    """IP_MULTICAST_LOOP asks whether somebody here joined."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        bed.r.add_route("224.0.0.0/4", dev="a")
        for index in range(count):
            bed.udp(2000 + index)
        sock = bed.udp()
        sock.sendto(b"x", (GROUP, 9), now=bed.now)
        return lambda: sock.sendto(b"x", (GROUP, 9), now=bed.now)

    must_be_flat(make)


def bound(bed: Bed, address: str, option: int = SO_REUSEADDR, device: str = "") -> Any:
    """A socket on port 53."""
    sock = bed.r.socket()
    sock.setsockopt(1, option, 1, now=bed.now)
    sock.setsockopt(1, SO_BINDTODEVICE, device.encode(), now=bed.now)
    sock.bind((address, 53), now=bed.now)
    return sock


def _by_address(bed: Bed, count: int) -> None:
    for address in addresses(bed.r, "b", count):
        bound(bed, address)


def _by_peer(bed: Bed, count: int) -> None:
    for index in range(count):
        bound(bed, "10.0.1.1").connect(("10.0.1.2", 2000 + index), now=bed.now)


def _by_device(bed: Bed, count: int) -> None:
    for index in range(count):
        bed.station(bed.r, f"d{index}")
        bound(bed, "", device=f"d{index}")


def _by_nothing(bed: Bed, count: int) -> None:
    for _ in range(count):
        bound(bed, "", SO_REUSEPORT)


@pytest.mark.parametrize("others", [_by_address, _by_peer, _by_device, _by_nothing])
def test_a_datagram_and_the_sockets_of_its_port(others: Callable[[Bed, int], None]) -> None:
    """Sockets that share a port are told apart by address, peer and device without a look at each."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        others(bed, count)
        bed.run_until_idle()
        return receiving(bed, frames.ipv4_udp("10.0.1.2", "10.0.1.1", 9, 53, b"x"))

    must_be_flat(make)


def test_a_broadcast_and_the_sockets_of_its_port() -> None:
    """RFC 1122 4.1.3.5: who wants it gets it; whom it is not for is not asked."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        _by_address(bed, count)
        bed.run_until_idle()
        return receiving(bed, frames.ipv4_udp("10.0.1.2", "10.0.1.255", 9, 53, b"x"), dst=b"\xff" * 6)

    must_be_flat(make)


def test_an_icmp_error_and_the_sockets_of_its_port() -> None:
    """RFC 1122 4.1.3.3: the one that sent is found although no device is known."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        _by_device(bed, count)
        quoted = frames.ipv4_udp("10.0.1.1", "10.0.1.2", 53, 9, b"x")
        return receiving(bed, frames.ipv4("10.0.1.2", "10.0.1.1", 1, frames.icmp_error(3, 3, quoted)))

    must_be_flat(make)


def test_an_echo_reply_and_the_ping_sockets_of_its_identifier() -> None:
    """Sockets of one identifier on many addresses are told apart without a look at each."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        for address in addresses(bed.r, "b", count):
            bed.r.socket(2, 2, 1).bind((address, 77), now=bed.now)
        bed.run_until_idle()
        return receiving(bed, frames.ipv4("10.0.1.2", "10.0.1.1", 1, frames.icmp(0, 0, 77 << 16, b"x")))

    must_be_flat(make)


def test_arp_and_the_addresses_of_the_device() -> None:
    """A stray question, one from a neighbour, and one that disputes an address (RFC 5227 2.4)."""

    def make(count: int, asks: str, asked: str) -> Callable[[], Any]:
        bed = Bed.line()
        addresses(bed.r, "a", count)
        bed.run_until_idle()
        request = frames.arp_request(bed.a.mac, asks, asked)
        bed.a.send_arp(request, dst_mac=b"\xff" * 6)
        frame = frames.ethernet(b"\xff" * 6, bed.a.mac, frames.ARP, request)
        return lambda: bed.stack.receive(bed.a.dev, frame, bed.now)

    must_be_flat(lambda count: make(count, "172.16.0.1", "172.16.0.9"))
    must_be_flat(lambda count: make(count, "10.0.1.2", "10.0.1.9"))
    must_be_flat(lambda count: make(count, "10.0.1.1", "10.0.1.1"))


def test_an_arp_conflict_and_the_devices() -> None:
    """RFC 5227 2.1.1: whether it is an echo of an own frame is known by the set of own MAC addresses."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        for index in range(count):
            bed.station(bed.r, f"d{index}")
        request = frames.arp_request(bed.a.mac, "10.0.1.1", "10.0.1.1")
        bed.a.send_arp(request, dst_mac=b"\xff" * 6)
        frame = frames.ethernet(b"\xff" * 6, bed.a.mac, frames.ARP, request)
        return lambda: bed.stack.receive(bed.a.dev, frame, bed.now)

    must_be_flat(make)


def test_sending_by_a_gateway_and_the_addresses() -> None:
    """RFC 1122 3.3.4.3: the source is an address in the gateway's prefix."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        bed.r.del_address("b", "10.0.2.1/24")
        addresses(bed.r, "b", count)
        bed.r.add_address("b", "10.0.2.1/24")
        bed.r.add_route("default", via="10.0.2.2")
        bed.r.neigh4.add_static(bed.b.dev, 0x0A000202, bed.b.mac, bed.now)
        bed.run_until_idle()
        sock = bed.udp()
        sock.sendto(b"x", ("8.8.8.8", 9), now=bed.now)
        assert bed.b.received[-1] == match.udp(src="10.0.2.1", dst="8.8.8.8")
        return lambda: sock.sendto(b"x", ("8.8.8.8", 9), now=bed.now)

    must_be_flat(make)


def test_a_source_for_a_device_without_one() -> None:
    """The first global address of the namespace is known."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed()
        ns = bed.stack.add_netns("r")
        for index in range(count):
            ns.add_device(f"d{index}")
        ns.add_device("last")
        ns.add_address("last", "10.0.9.1/24")
        dev = ns.devices["d0"]
        assert ns.ip4.select_source(dev, 0x08080808) == 0x0A000901
        return lambda: ns.ip4.select_source(dev, 0x08080808)

    must_be_flat(make)


@pytest.mark.parametrize("length", [30, 16])
@pytest.mark.parametrize("state", ["tentative", "conflict"])
def test_a_source_and_the_addresses_that_may_not_be_used(length: int, state: str) -> None:
    """RFC 5227 2.1.1: addresses under conflict detection are no sources; each packet does not find that out anew."""

    def make(count: int, spare: bool) -> Callable[[], Any]:
        bed = Bed.line()
        bed.r.del_address("b", "10.0.2.1/24")
        bed.b.dev.acd = "probe"
        for address in addresses(bed.r, "b", count, length):
            if state == "conflict":
                bed.b.send_arp(frames.arp_request(bed.b.mac, address, address), dst_mac=frames.BROADCAST)
        assert [a.state for a in bed.b.dev.addresses] == [state] * count
        bed.b.dev.acd = "announce"
        if spare:
            bed.r.add_address("b", f"{nth(count)}/{length}")
        ip, dev = bed.r.ip4, bed.b.dev
        wanted = frames.ip_int(nth(count) if spare else "10.0.1.1")
        for dst in (0x0A640002, 0x08080808):
            assert ip.select_source(dev, dst) == wanted
        return lambda: [ip.select_source(dev, dst) for dst in (0x0A640002, 0x08080808)]

    must_be_flat(lambda count: make(count, False))
    must_be_flat(lambda count: make(count, True))


def test_a_source_of_any_device_and_the_addresses_that_may_not_be_used() -> None:
    """The first global address of the namespace is known, whatever stands before it under conflict detection."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed()
        ns = bed.stack.add_netns("r")
        for index in range(count):
            ns.add_device(f"d{index}").acd = "probe"
            ns.add_address(f"d{index}", f"{nth(index)}/30")
        ns.add_device("last")
        ns.add_address("last", "10.0.9.1/24")
        assert ns.ip4.select_source(None, 0x08080808) == 0x0A000901
        return lambda: ns.ip4.select_source(None, 0x08080808)

    must_be_flat(make)


class Watched(OrderedDict[Any, Any]):
    """Reassembly queues that count how many of them are looked at one after the other."""

    seen = 0

    def values(self) -> Any:
        for one in super().values():
            self.seen += 1
            yield one


def test_a_fragment_when_memory_is_full() -> None:
    """The oldest datagram is let go of; the others are not looked at. (It is the first of a linked list: in a dict it
    would have to be looked for behind all that went before.)"""
    bed = Bed.line()

    def send(ident: int) -> None:
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 17, bytes(8), mf=True, ident=ident))

    send(0)
    table = bed.r.ip4.reassembler
    assert table is not None
    assert isinstance(table._queues, OrderedDict)
    bed.r.sysctl["net.ipv4.ipfrag_high_thresh"] = table.memory * MANY
    for ident in range(1, MANY):
        send(ident)
    watched = table._queues = Watched(table._queues)
    for ident in range(MANY, MANY + 10):
        send(ident)
    assert watched.seen == 10
    assert [key[3] for key in watched] == list(range(10, MANY + 10))
    assert bed.r.drop_counts() == {"FRAG_MEM": 10}


# -- changes -----------------------------------------------------------------------------------------------------------


def many_routes(count: int) -> Bed:
    """`Bed.line` with that many static routes."""
    bed = Bed.line()
    for index in range(count):
        bed.r.add_route(f"20.0.{index}.0/24", via="10.0.2.2")
    bed.stack.add_netns("blue")
    bed.r.add_route("9.0.0.0/8", netns="blue")
    bed.r.add_address("a", "10.7.7.1/24")
    bed.run_until_idle()
    return bed


@pytest.mark.parametrize(
    "change",
    [
        lambda ns: ns.del_address("a", "10.7.7.1/24"),
        lambda ns: ns.set_device("b", up=False),
        lambda ns: ns.del_route("9.0.0.0/8", netns="blue"),
        lambda ns: ns.stack.remove_device(ns.devices["a"]),
        lambda ns: ns.stack.remove_netns("r"),
    ],
    ids=["del_address", "down", "del_route", "remove_device", "remove_netns"],
)
def test_a_change_and_the_routes(change: Callable[[Netns], Any]) -> None:
    """Routes of others are not walked: kernel routes are known by prefix, those of a short-cut are counted."""

    def make(count: int) -> Callable[[], Any]:
        bed = many_routes(count)
        return lambda: change(bed.r)

    must_be_flat(make)


def test_an_address_and_the_other_addresses() -> None:
    """What two addresses have in common passes to the other without a look at all, in one prefix or in many."""

    def make(count: int, length: int) -> Callable[[], Any]:
        bed = Bed.line()
        addresses(bed.r, "a", count, length)
        bed.run_until_idle()
        return lambda: bed.r.del_address("a", f"{nth(0)}/{length}")

    must_be_flat(lambda count: make(count, 30))
    must_be_flat(lambda count: make(count, 16))


def test_removing_a_device_with_addresses() -> None:
    """The whole takes as many steps as there are addresses."""

    def make(count: int, length: int) -> Callable[[], Any]:
        bed = Bed.line()
        addresses(bed.r, "a", count, length)
        bed.run_until_idle()
        return lambda: bed.stack.remove_device(bed.a.dev)

    must_be_linear(lambda count: make(count, 30))
    must_be_linear(lambda count: make(count, 16))


def test_closing_a_namespace_with_devices() -> None:
    """The whole takes as many steps as there are devices, of pairs as well."""

    def make(count: int, pair: bool) -> Callable[[], Any]:
        bed = Bed()
        ns, hub = bed.stack.add_netns("r"), bed.stack.add_netns("hub")
        for index in range(count):
            if pair:
                bed.stack.add_veth(ns, f"d{index}", hub, f"d{index}")
            else:
                ns.add_device(f"d{index}")
            ns.add_address(f"d{index}", f"{nth(index)}/30")
            bed.udp(2000 + index, ns=ns)
        bed.stack.poll(60 * SECOND)
        bed.stack.take_egress()
        return lambda: bed.stack.remove_netns("r")

    must_be_linear(lambda count: make(count, False))
    must_be_linear(lambda count: make(count, True))


def test_removing_a_namespace_and_the_others() -> None:
    """Children are known to their parent, not looked for among all."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed()
        for index in range(count):
            bed.stack.add_netns(f"n{index}")
        bed.stack.add_netns("n0/child")
        bed.stack.add_netns("n0/child/below")
        return lambda: bed.stack.remove_netns("n0", recursive=True)

    must_be_flat(make)


def test_leaving_sockets_and_the_devices() -> None:
    """A device that goes asks only sockets with multicast settings; they leave its groups."""

    def make(count: int) -> Callable[[], Any]:
        bed = Bed.line()
        for index in range(count):
            bed.udp(2000 + index)
        sock = bed.udp(7)
        sock.setsockopt(0, ADD_MEMBERSHIP, struct.pack("=4s4si", bytes([239, 1, 1, 1]), bytes(4), 2), now=bed.now)
        assert list(bed.r.memberships) == [(0xEF010101, bed.a.dev)]
        return lambda: bed.stack.remove_device(bed.a.dev)

    must_be_flat(make)


# -- what the books say ------------------------------------------------------------------------------------------------


def test_memberships_are_counted_exactly() -> None:
    """RFC 1112 7.2: two joined, one leaves, one is closed: nobody is left, of the settings neither."""
    bed = Bed.line()
    joined = bytes([239, 1, 1, 1, 10, 0, 1, 1])
    one, other = bed.udp(7), bed.udp(8)
    one.setsockopt(0, ADD_MEMBERSHIP, joined, now=bed.now)
    other.setsockopt(0, ADD_MEMBERSHIP, joined, now=bed.now)
    state = bed.r.memberships[0xEF010101, bed.a.dev]
    assert state.members == 2
    one.setsockopt(0, ADD_MEMBERSHIP + 1, joined, now=bed.now)
    assert bed.r.memberships == {(0xEF010101, bed.a.dev): state}
    assert state.members == 1
    other.close(now=bed.now)
    assert bed.r.memberships == {}
    assert list(bed.r.multicasters) == [one]


def test_a_short_cut_goes_with_the_source_of_its_route(bed: Bed) -> None:
    """``show crossings`` has no row of a route that went with its preferred source; with another route it stays."""
    bed.stack.add_netns("blue")
    bed.r.add_address("a", "10.5.5.5/32")
    bed.r.add_route("172.16.0.0/16", netns="blue", src="10.5.5.5")
    bed.r.add_route("172.17.0.0/16", netns="blue")
    bed.r.del_address("a", "10.5.5.5/32")
    assert [row["to"] for row in bed.stack.crossings()] == ["blue"]
    bed.r.add_address("a", "10.5.5.5/32")
    bed.r.add_route("172.16.0.0/16", netns="blue", src="10.5.5.5")
    bed.r.del_route("172.17.0.0/16", netns="blue")
    assert [row["to"] for row in bed.stack.crossings()] == ["blue"]
    bed.r.del_address("a", "10.5.5.5/32")
    assert bed.stack.crossings() == []
    assert bed.stack.crossings_to == {}


def test_a_route_that_is_refused_makes_no_short_cut(bed: Bed) -> None:
    """EEXIST leaves the short-cuts as they were."""
    bed.stack.add_netns("blue")
    bed.r.add_route("172.16.0.0/16", netns="blue")
    with pytest.raises(FileExistsError):
        bed.r.add_route("172.16.0.0/16", netns="blue")
    assert bed.r.crossings["blue"].routes == 1
    bed.r.del_route("172.16.0.0/16", netns="blue")
    assert bed.stack.crossings() == []


def test_a_multicast_route_among_many() -> None:
    """What a multicast route more costs does not grow with how many there are, and a device that goes takes its own
    along, each for as much as one."""

    def routed(n: int) -> Netns:
        ns = Bed().stack.add_netns("r")
        for name in ("up", "x"):
            ns.add_device(name)
        for number in range(n):
            ns.add_mroute(f"239.1.{number}.1", "up", ["x"])
        return ns

    def add(n: int) -> Callable[[], Any]:
        ns = routed(n)
        return lambda: ns.add_mroute("239.2.0.1", "up", ["x"])

    def remove(n: int) -> Callable[[], Any]:
        ns = routed(n)
        return lambda: ns.stack.remove_device(ns.device("x"))

    must_be_flat(add)
    must_be_linear(remove)


def test_a_port_of_a_bridge_with_many() -> None:
    """What a port more costs grows with the bridge's ports, as their addresses are told anew, but no faster."""

    def join(n: int) -> Callable[[], Any]:
        ns = Bed().stack.add_netns("r")
        ns.add_device("br0", kind="bridge")
        for number in range(n):
            ns.add_device(f"p{number}")
            ns.set_port(f"p{number}", bridge="br0")
        ns.add_device("new")
        return lambda: ns.set_port("new", bridge="br0")

    must_be_linear(join)
