"""What the fuzzer has found, each as a short sequence of its own."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.fuzz.octets import ones_sum
from vrouter.stack import Stack
from vrouter.stack.base.timers import Timer, TimerHeap, TimerKind
from vrouter.stack.device import Device
from vrouter.stack.l4 import constants as c
from vrouter.stack.netns import Netns
from vrouter.testing import frames as make
from vrouter.testing import frames6 as make6

PEER = b"\x02\x99\0\0\0\2"
SECOND = 1_000_000_000


@pytest.fixture
def stack() -> Stack:
    return Stack(1)


@pytest.fixture
def ns(stack: Stack) -> Netns:
    """A router with 10.0.0.1/24 on e0, whose neighbour 10.0.0.2 is known."""
    ns = stack.add_netns("a")
    ns.sysctl["net.ipv4.ip_forward"] = 1
    ns.add_device("e0")
    ns.add_address("e0", "10.0.0.1/24")
    ns.neigh4.add_static(ns.devices["e0"], 0x0A000002, PEER, 0)
    return ns


def receive(dev: Device, packet: bytes, now: int = 0) -> list[bytes]:
    """Hand in a packet; the frames that leave because of it."""
    stack = dev.ns.stack
    stack.take_egress()
    header = b"\2" + bytes(11) if dev.vnet_hdr else b""  # the device vouches for checksums
    stack.receive(dev, header + make.ethernet(dev.mac, PEER, make.IPV4, packet), now)
    return [bytes(frame[12:] if device.vnet_hdr else frame) for device, frame in stack.take_egress()]


def balanced(stack: Stack) -> bool:
    came, went = stack.accounts()
    return sum(came.values()) == sum(went.values())


def test_what_waits_when_the_carrier_goes_dies_at_once(stack: Stack, ns: Netns) -> None:
    """RFC 1812 5.3.12.3: packets for a link that has gone are not kept; they are counted when it goes, not later."""
    dev = ns.devices["e0"]
    receive(dev, make.ipv4_udp("10.0.0.2", "10.0.0.9", 1, 9))
    assert stack.accounts()[1]["queued"] == 1
    ns.set_carrier(dev, False, "cut", 0)
    assert stack.accounts()[1]["queued"] == 0
    assert ns.drop_counts() == {"NEIGH_FAILED": 1, "IP_OUTNOROUTES": 1}  # the packet, and the news of it
    assert balanced(stack)


@pytest.mark.parametrize("leave", ["remove", "move", "rename"])
def test_a_fragment_outlives_the_device_by_which_it_came(stack: Stack, ns: Netns, leave: str) -> None:
    """A packet that dies after its device has left is counted at its namespace: nowhere else, and not nowhere."""
    dev, other = ns.devices["e0"], stack.add_netns("b")
    receive(dev, make.fragments(make.ipv4_udp("10.0.0.2", "10.0.0.1", 1, 9, bytes(2000)), 1500)[0])
    if leave == "remove":
        stack.remove_device(dev)
    else:
        stack.move_device(dev, other if leave == "move" else ns, "e7")
    stack.poll(100 * SECOND)
    assert ns.drop_counts()["FRAG_REASM_TIMEOUT"] == 1
    assert other.drop_counts() == {}
    assert balanced(stack)


def test_a_device_that_moved_away_gives_no_source_address(stack: Stack, ns: Netns) -> None:
    """Addresses of one namespace are not told in another: the error about a packet names an address of its own."""
    ns.sysctl["net.ipv4.icmp_errors_use_inbound_ifaddr"] = 1
    way_in = ns.add_device("e1")
    ns.add_address("e1", "10.0.1.1/24")
    receive(way_in, make.ipv4_udp("10.0.0.2", "10.0.0.9", 1, 9))
    other = stack.add_netns("b")
    stack.move_device(way_in, other)
    other.add_address("e1", "192.0.2.1/24")
    stack.take_egress()
    for second in range(1, 6):
        stack.poll(second * SECOND)
    told = [frame for _, frame in stack.take_egress() if frame[12:14] == b"\x08\x00"]
    assert [bytes(frame[26:30]) for frame in told] == [bytes((10, 0, 0, 1))]


def test_cancelled_timers_leave_the_heap() -> None:
    """The heap is bounded by the armed timers, also when nothing is armed any more: dead owners are let go."""
    heap = TimerHeap()
    timers = [Timer(TimerKind.NEIGH, None) for _ in range(1000)]
    for timer in timers:
        heap.arm(timer, 10)
    for timer in timers[1:]:
        heap.cancel(timer)
    assert len(heap) == 1
    assert len(heap._heap) <= 2 + 64
    assert heap.pop_due(10) is timers[0]
    assert heap.poll_at() is None


@pytest.mark.parametrize("checksum", [None, 0x1234], ids=["right", "vouched-for"])
def test_an_echo_reply_has_a_right_checksum(stack: Stack, ns: Netns, checksum: int | None) -> None:
    """RFC 792: also of a message of nothing but zeros, and of one whose checksum only the device vouched for."""
    dev = ns.devices["e0"]
    dev.vnet_hdr = checksum is not None
    (reply,) = receive(dev, make.ipv4("10.0.0.2", "10.0.0.1", 1, make.icmp(8, 0, 0, bytes(8), checksum=checksum)))
    assert reply[34] == 0
    assert ones_sum(reply[34:]) == 0xFFFF


def test_one_address_goes_and_the_others_broadcast_address_stays(stack: Stack, ns: Netns) -> None:
    """RFC 1812 4.3.2.7: no ICMP error to a broadcast address, also when two devices had it and one went away."""
    ns.add_device("e1")
    ns.add_address("e1", "10.0.0.5/24")
    stack.remove_device(ns.devices["e1"])
    stack.remove_device(ns.add_device("e2"))
    assert ns.ip4.is_broadcast(0x0A0000FF)
    ns.add_device("e1")
    ns.add_address("e1", "10.0.0.5/24")
    ns.del_address("e0", "10.0.0.1")
    assert ns.ip4.is_broadcast(0x0A0000FF)
    ns.del_address("e1", "10.0.0.5")
    assert not ns.ip4.is_broadcast(0x0A0000FF)


def _bound_to_loopback(ns: Netns) -> None:
    sock = ns.socket()
    sock.bind(("127.0.0.1", 0), now=0)
    sock.sendto(b"x", ("10.0.0.2", 7), now=0)


def _connected_to_loopback(ns: Netns) -> None:
    sock = ns.socket()
    sock.connect(("127.9.9.9", 7), now=0)
    sock.sendto(b"x", ("10.0.0.2", 7), now=0)


def _to_a_group(ns: Netns) -> None:
    ns.add_route("default", via="10.0.0.2")
    sock = ns.socket()
    sock.bind(("127.0.0.1", 0), now=0)
    sock.setsockopt(c.SOL_IP, c.IP_MULTICAST_IF, bytes(8) + b"\2\0\0\0", now=0)
    sock.sendto(b"x", ("239.1.2.3", 7), now=0)


def _from_a_foreign_address(ns: Netns) -> None:
    info = bytes(4) + bytes((192, 0, 2, 1)) + bytes(4)
    ns.socket().sendmsg([b"x"], [(c.SOL_IP, c.IP_PKTINFO, info)], 0, ("10.0.0.2", 7), now=0)


def _from_an_address_that_has_gone(ns: Netns) -> None:
    ns.add_address("e0", "10.0.0.7/24")
    sock = ns.socket()
    sock.bind(("10.0.0.7", 0), now=0)
    ns.del_address("e0", "10.0.0.7")
    sock.sendto(b"x", ("10.0.0.2", 7), now=0)


@pytest.mark.parametrize(
    "send",
    [_bound_to_loopback, _connected_to_loopback, _to_a_group, _from_a_foreign_address, _from_an_address_that_has_gone],
    ids=lambda function: function.__name__.strip("_").replace("_", "-"),
)
def test_nobody_sends_with_an_address_that_is_not_his(stack: Stack, ns: Netns, send: Callable[[Netns], None]) -> None:
    """RFC 1122 3.2.1.3 (g): 127/8 never leaves a host; and as in Linux a source must be an address of the namespace."""
    stack.take_egress()
    with pytest.raises(OSError) as caught:
        send(ns)
    assert caught.value.errno == errno.EINVAL
    assert [frame for _, frame in stack.take_egress() if frame[12:14] == b"\x08\x00"] == []


def test_loopback_is_no_destination_on_a_wire(stack: Stack, ns: Netns) -> None:
    """RFC 1122 3.2.1.3 (g), also when somebody takes the address of lo away and has a default route."""
    ns.add_route("default", via="10.0.0.2")
    ns.del_address("lo", "127.0.0.1")
    with pytest.raises(OSError) as caught:
        ns.socket().sendto(b"x", ("127.0.0.1", 7), now=0)
    assert caught.value.errno == errno.ENETUNREACH


def test_nothing_from_loopback_is_forwarded(stack: Stack, ns: Netns) -> None:
    """RFC 1812 5.3.7: a packet that was sent to somebody else through lo, with its address, ends there."""
    stack.take_egress()
    info = (1).to_bytes(4, "little") + bytes((127, 0, 0, 1)) + bytes(4)
    ns.socket().sendmsg([b"x"], [(c.SOL_IP, c.IP_PKTINFO, info)], 0, ("10.0.0.2", 7), now=0)
    assert stack.take_egress() == []
    assert ns.drop_counts() == {"IP_LOCALNET": 1}


def test_an_address_on_lo_is_a_global_one(stack: Stack, ns: Netns) -> None:
    """A router's own address on lo is a source for any destination (ip-address(8)'s scope); 127.0.0.1 for none."""
    ns.add_device("e1")
    assert ns.ip4.select_source(ns.lo, 0x0A000002) == 0x0A000001
    assert ns.ip4.select_source(ns.lo, 0x7F000009) == 0x7F000001
    ns.add_address("lo", "10.255.0.1/32")
    assert ns.ip4.select_source(ns.devices["e1"], 0xC6336407) == 0x0AFF0001
    assert [a.scope for a in ns.lo.addresses if a.family == 4] == ["host", "global"]


# -- IPv6, bridges, groups ---------------------------------------------------------------------------------------------


def frames_of(stack: Stack, kind: bytes = b"\x86\xdd") -> list[bytes]:
    return [bytes(frame) for _, frame in stack.take_egress() if frame[12:14] == kind]


def poll(stack: Stack, seconds: int) -> None:
    """Let time pass until then, second by second."""
    for second in range(stack.now // SECOND + 1, seconds + 1):
        stack.poll(second * SECOND)


def test_ipv6_on_a_bridge_ends_with_the_mtu_of_its_ports(stack: Stack, ns: Netns) -> None:
    """RFC 8200 5: a link of less than 1280 bytes has no IPv6, also when it is a bridge whose port became so small."""
    ns.add_device("br0", kind="bridge")
    ns.add_device("e1")
    ns.set_port("e1", bridge="br0")
    assert ns.devices["br0"].with_ipv6
    ns.add_address("br0", "fd00::1/64")
    ns.set_device("e1", mtu=1279)
    assert ns.devices["br0"].mtu == 1279
    assert not ns.devices["br0"].with_ipv6
    assert not any(a.family == 6 for a in ns.devices["br0"].addresses)
    ns.set_device("e1", mtu=1280)
    assert ns.devices["br0"].with_ipv6


def test_a_bridge_over_a_tag_follows_the_mtu_below(stack: Stack, ns: Netns) -> None:
    """The bridge stands in another namespace than the device whose MTU changes; all that is above gets smaller."""
    other = stack.add_netns("b", accept_from=["a"])
    ns.add_ingress("e0", 20, other, "l20")
    other.add_device("br0", kind="bridge")
    other.set_port("l20", bridge="br0")
    ns.add_device("l5", kind="vlan", parent="e0", vid=5)
    ns.set_device("e0", mtu=600)
    assert [ns.devices["l5"].mtu, other.devices["l20"].mtu, other.devices["br0"].mtu] == [600, 600, 600]
    assert not other.devices["br0"].with_ipv6


def test_a_router_s_device_takes_its_groups_along(stack: Stack, ns: Netns) -> None:
    """RFC 4291 2.8: the groups of routers, and of proxied addresses, end where the device does."""
    ns.sysctl["net.ipv6.conf.all.forwarding"] = 1
    ns.add_device("e1")
    ns.add_proxy("e1", "fd00::7")
    ns.set_device("e1", up=False)
    stack.remove_device(ns.devices["e1"])
    assert {dev.name for _, dev in ns.memberships} == {"e0", "lo"}


def test_groups_that_an_address_leaves_are_told_without_neighbours(stack: Stack, ns: Netns) -> None:
    """RFC 3810 5.1: who leaves the group of an address that is taken away says so at once."""
    ns.add_device("e1")
    ns.add_address("e1", "fd00::99/64")
    poll(stack, 20)
    stack.take_egress()
    assert ns._neigh6 is None
    ns.del_address("e1", "fd00::99")
    assert ns.group_changes == []
    (report,) = frames_of(stack)
    assert (report[62], report[70]) == (143, 3)  # a report: I include nobody


def test_another_mac_of_a_bridge_is_told_at_once(stack: Stack, ns: Netns) -> None:
    """IEEE 802.1D-2004 17.18.2: the bridge identifier is part of what is sent; what follows of it is not kept back."""
    ns.add_device("br0", kind="bridge")
    ns.add_device("e1")
    ns.set_port("e1", bridge="br0")
    ns.set_bridge("br0", stp="rstp")
    poll(stack, 40)
    ns.set_device("br0", mac=b"\x02\0\0\0\0\x05")
    tree = ns.devices["br0"].bridge.stp
    assert tree.actions == []
    assert ns.devices["br0"].bridge.actions == []


def test_a_mac_that_was_given_up_is_free(stack: Stack, ns: Netns) -> None:
    """A device that moved keeps its address from others only while it has it."""
    first = ns.devices["e0"].mac
    stack.move_device(ns.devices["e0"], ns, "e7")
    assert ns.add_device("e0").mac != first
    stack.remove_device(ns.devices["e0"])
    ns.set_device("e7", mac=b"\x02\0\0\0\0\x05")
    assert ns.add_device("e0").mac == first


def test_a_group_of_interface_scope_goes_by_no_wire(stack: Stack, ns: Netns) -> None:
    """RFC 4291 2.7: ff01::/16 is for loopback alone, also when the sender names a device."""
    reader, sender = ns.socket(10), ns.socket(10)
    poll(stack, 20)
    reader.bind(("", 7), now=20 * SECOND)
    index = ns.devices["e0"].ifindex.to_bytes(4, "little")
    group = (0xFF01 << 112 | 7).to_bytes(16, "big")
    reader.setsockopt(c.SOL_IPV6, c.IPV6_JOIN_GROUP, group + index, now=20 * SECOND)
    stack.take_egress()
    sender.setsockopt(c.SOL_IPV6, c.IPV6_MULTICAST_IF, index, now=20 * SECOND)
    sender.sendto(b"x", ("ff01::7%e0", 7), now=20 * SECOND)
    assert frames_of(stack) == []
    assert reader.recv(9, now=20 * SECOND) == b"x"
    assert balanced(stack)


def test_nothing_is_reported_where_ipv6_has_ended(stack: Stack, ns: Netns) -> None:
    """RFC 8200 5: a report that was to be repeated is not sent on a link that became too small for IPv6."""
    ns.add_device("e1")
    ns.add_address("e1", "fd00::99/64")
    stack.take_egress()
    ns.set_device("e1", mtu=600)
    stack.take_egress()
    poll(stack, 20)
    assert [frame for dev, frame in stack.take_egress() if dev.name == "e1" and frame[12:14] == b"\x86\xdd"] == []
    ns.set_device("e1", mtu=1500)
    poll(stack, 40)
    assert frames_of(stack) != []


def test_namespaces_that_stand_on_each_other_can_end(stack: Stack, ns: Netns) -> None:
    """A tag of a device that is itself a tag given by the namespace that ends: each device goes once."""
    other = stack.add_netns("b", accept_from=["a"])
    ns.accept_from = frozenset("b")
    inner = ns.add_ingress("e0", 5, other, "l5")
    other.add_ingress(inner, 10, ns, "back")
    stack.remove_netns("a")
    assert list(other.devices) == ["lo"]
    assert balanced(stack)


def test_prefixes_that_ran_out_leave_no_conflicts_behind(stack: Stack) -> None:
    """RFC 7217 6: taken identifiers are counted for the prefixes that there are, not for all that ever were told."""
    ns = stack.add_netns("a")
    dev = ns.add_device("e0", mac="02:00:00:00:00:01")
    ns.sysctl["net.ipv6.conf.e0.addr_gen_mode"] = 2
    ns.sysctl["net.ipv6.conf.e0.dad_transmits"] = 1
    ns.set_autoconf(dev, True)
    poll(stack, 20)
    now = 20 * SECOND
    for index in range(40):
        prefix = 0xFD01 << 112 | index << 64
        told = make6.router_advertisement("fe80::9", "ff02::1", make6.nd_prefix(prefix, valid=30, preferred=30))
        receive6(dev, make6.ipv6("fe80::9", "ff02::1", 58, told, hop_limit=255), now)
        (made,) = [a.address for a in dev.addresses if a.address >> 64 << 64 == prefix]
        group = make6.solicited_node(made)
        claim = make6.neighbour_solicitation("::", group, made)
        receive6(dev, make6.ipv6("::", group, 58, claim, hop_limit=255), now)
        assert len([a for a in dev.addresses if a.origin == "ra"]) == 1
        now += 40 * SECOND
        stack.poll(now)
    host = ns.ndp.hosts.learned(dev)
    assert host is not None
    assert host.slaac.made == {}
    assert host.slaac.conflicts == {}


def receive6(dev: Device, packet: bytes, now: int) -> None:
    """Hand in an IPv6 packet in the frame of its group."""
    mac = b"\x33\x33" + packet[36:40] if packet[24] == 0xFF else dev.mac
    dev.ns.stack.receive(dev, make.ethernet(mac, PEER, make.IPV6, packet), now)


def test_a_table_that_goes_while_it_is_swept_leaves_no_timer(stack: Stack) -> None:
    """Routes go with their device, and the whole table with its namespace, before what they left was cleared."""
    ns, other = stack.add_netns("a"), stack.add_netns("b")
    stack.add_veth(ns, "v0", other, "v0")
    other.add_address("v0", "fd00:0:0:4::2/64")
    other.add_route("fd00::/16", type="unreachable")
    other.add_route("fd00::/64", via="fd00:0:0:4::3", dev="v0")
    other.add_route("fe80::/64", via="fd00:0:0:4::3", dev="v0")
    stack.remove_netns("a")
    stack.remove_netns("b")
    assert len(stack.sweeper) == 0
    assert stack.poll_at() is None


def test_an_address_waits_for_the_carrier_of_a_device_that_is_switched_on(stack: Stack) -> None:
    """RFC 4862 5.4: switched on while the other end is down, an IPv6 address is tentative; then it is ours again."""
    one, two = stack.add_netns("one"), stack.add_netns("two")
    dev, peer = stack.add_veth(one, "v0", two, "v0")
    (address,) = dev.addresses
    two.set_device("v0", up=False)
    one.set_device("v0", up=False)
    one.set_device("v0", up=True)
    assert (address.state, one.ip6.is_local(address.address)) == ("tentative", False)
    two.set_device("v0", up=True)
    assert (address.state, one.ip6.is_local(address.address)) == ("preferred", True)
    assert balanced(stack)
    assert peer.ready
