"""What was found wrong once in a stack of both families, so that it is not found again. Each test names the rule."""

import errno
from collections.abc import Iterator

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.addresses import format_ipv6, parse_ipv6
from vrouter.stack.device import Address
from vrouter.stack.netns import Netns
from vrouter.testing import frames, frames6

NODES = "ff02::1"
ROUTER = "fe80::99"
PREFIX = "2001:db8:5::"
AF_INET6, IPPROTO_IPV6, IPV6_MULTICAST_IF = 10, 41, 17
ALERT = frames6.option(5, b"\0\0")


class Found:
    """A station at the device lan of r, both with IPv6."""

    def __init__(self) -> None:
        self.bed = Bed(ipv6=True)
        self.r: Netns = self.bed.stack.add_netns("r")
        self.lan: Station = self.bed.station(self.r, "lan")
        self.bed.run_for(5)
        self.lan.clear()

    def send(self, packet: bytes, dst_mac: bytes | str | None = None) -> None:
        """The station sends an IPv6 packet."""
        self.lan.send_frame(self.lan.frame(packet, dst_mac=dst_mac, ethertype=0x86DD))

    def advertise(self, valid: int) -> None:
        """A router says that `PREFIX` is on the link for `valid` seconds."""
        options = frames6.nd_prefix(PREFIX, valid=valid, preferred=valid, flags=0x80)
        message = frames6.router_advertisement(ROUTER, NODES, options, mac=self.lan.mac)
        self.send(frames6.ipv6(ROUTER, NODES, frames6.ICMPV6, message, hop_limit=255), frames6.group_mac6(NODES))
        self.bed.run_for(1)

    def on_link(self) -> list[str]:
        """Who made the routes to `PREFIX`."""
        return [route.proto for route in self.r.ip6.main.exact(parse_ipv6(PREFIX), 64)]


@pytest.fixture
def found() -> Iterator[Found]:
    """The bed; its accounts balance at the end."""
    made = Found()
    yield made
    made.bed.close()


# -- prefixes that are told and configured -----------------------------------------------------------------------------


def test_a_configured_prefix_outlives_an_advertised_one(found: Found) -> None:
    """RFC 4862 5.5.3 has nothing to say of addresses by hand: their prefix stays on the link when an advertised one,
    whose route stood in its place, has run out."""
    found.r.set_autoconf("lan", True, now=found.bed.now)
    found.advertise(100)
    found.r.add_address("lan", f"{PREFIX}5/64", now=found.bed.now)
    assert found.on_link() == ["ra"]
    found.bed.run_for(200)
    assert found.on_link() == ["kernel"]


def test_an_advertised_prefix_outlives_a_configured_one(found: Found) -> None:
    """RFC 4861 6.3.4: a prefix is on the link for the lifetime that was told, also when the address by hand that was
    in it, and made the route, is taken away."""
    found.r.set_autoconf("lan", True, now=found.bed.now)
    found.r.add_address("lan", f"{PREFIX}5/64", now=found.bed.now)
    found.bed.run_for(5)
    found.advertise(100)
    assert found.on_link() == ["kernel"]
    found.r.del_address("lan", f"{PREFIX}5/64", now=found.bed.now)
    assert found.on_link() == ["ra"]
    found.bed.run_for(200)
    assert found.on_link() == []


def test_no_advertised_route_is_left_without_ipv6(found: Found) -> None:
    """``disable_ipv6`` takes all that was learned of a device's link, whatever stood in whose place."""
    found.r.set_autoconf("lan", True, now=found.bed.now)
    found.r.add_address("lan", f"{PREFIX}5/64", now=found.bed.now)
    found.bed.run_for(5)
    found.advertise(100)
    found.r.sysctl["net.ipv6.conf.lan.disable_ipv6"] = 1
    found.bed.run_for(1)
    assert list(found.r.ip6.main) == []


# -- devices without IPv6 ----------------------------------------------------------------------------------------------


class Two(Found):
    """Device b besides, and r forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.r.sysctl["net.ipv6.conf.all.forwarding"] = 1
        self.b: Station = self.bed.station(self.r, "b")
        self.r.add_address("lan", "2001:db8:1::1/64", now=self.bed.now)
        self.bed.run_for(5)

    def without_ipv6(self) -> None:
        """IPv6 ends at b."""
        self.r.sysctl["net.ipv6.conf.b.disable_ipv6"] = 1
        self.b.clear()
        self.lan.clear()

    def main(self) -> list[str]:
        """The prefixes of static routes."""
        return [format_ipv6(prefix) for prefix, _, route in self.r.ip6.main if route.proto == "static"]


@pytest.fixture
def two() -> Iterator[Two]:
    """The bed with two devices; its accounts balance at the end."""
    made = Two()
    yield made
    made.bed.close()


def test_next_hop_objects_go_with_ipv6(two: Two) -> None:
    """ip-nexthop(8): an object and its routes have the same next hops. Those by a device leave together when IPv6 ends
    there, the groups go on without them, and IPv4's stay."""
    two.r.add_address("b", "10.0.0.1/24", now=two.bed.now)
    two.r.add_nexthop(4, via="10.0.0.9", dev="b")
    two.r.add_nexthop(7, via="fe80::7", dev="b")
    two.r.add_nexthop(8, via="fe80::8", dev="lan")
    two.r.add_nexthop(9, group=[(7, 1), (8, 1)])
    two.r.add_route("2001:db8:7::/48", nhid=7)
    two.r.add_route("2001:db8:9::/48", nhid=9)
    two.without_ipv6()
    assert [(row["id"], row["group"]) for row in two.r.nexthop_rows()] == [
        (4, None),
        (8, None),
        (9, [{"id": 8, "weight": 1}]),
    ]
    assert two.main() == ["2001:db8:9::"]
    assert [route.nexthops.to_records() for _, _, route in two.r.ip6.main if route.nexthops is not None] == [
        [{"via": "fe80::8", "dev": "lan", "weight": 1}]
    ]


def test_no_route_leads_by_a_device_without_ipv6(two: Two) -> None:
    """As in Linux: EACCES for an IPv6 route or next hop by a device where IPv6 is disabled."""
    two.without_ipv6()
    for ways in ({"dev": "b"}, {"via": "fe80::7", "dev": "b"}, {"nexthops": [{"via": "fe80::7", "dev": "b"}]}):
        with pytest.raises(PermissionError) as refused:
            two.r.add_route("2001:db8:7::/48", **ways)
        assert refused.value.errno == errno.EACCES
    with pytest.raises(PermissionError):
        two.r.add_nexthop(7, via="fe80::7", dev="b")
    assert two.main() == []


def test_nothing_of_ipv6_leaves_by_a_device_without_it(two: Two) -> None:
    """``disable_ipv6``: a multicast route and a socket that name the device all the same send nothing there."""
    two.r.add_mroute("ff05::5", "lan", ["b"], now=two.bed.now)
    two.without_ipv6()
    with two.bed.expect(
        two.r,
        rx={"lan": 1},
        drops={"IPV6DISABLED": 1},
        Ip6InReceives=1,
        Ip6InMcastPkts=1,
        Ip6OutForwDatagrams=1,
        Ip6OutMcastPkts=1,
    ):
        two.send(frames6.ipv6_echo("2001:db8:1::9", "ff05::5"), frames6.group_mac6("ff05::5"))
    sock = two.r.socket(AF_INET6)
    sock.bind(("2001:db8:1::1", 0), now=two.bed.now)
    sock.setsockopt(IPPROTO_IPV6, IPV6_MULTICAST_IF, two.b.dev.ifindex)
    sock.sendto(b"x", ("ff05::5", 7), now=two.bed.now)
    assert two.b.received == []
    assert two.r.drop_counts()["IPV6DISABLED"] == 2


def test_the_loopback_address_stays_off_wires(two: Two) -> None:
    """RFC 4291 2.5.3: ``::1`` is no source on a link. IPv4's ``route_localnet`` says nothing about it."""
    two.r.sysctl["net.ipv4.conf.all.route_localnet"] = 1
    two.lan.clear()
    sock = two.r.socket(AF_INET6)
    sock.bind(("::1", 0), now=two.bed.now)
    for to in (("2001:db8:1::9", 7), ("ff02::9", 7, 0, two.lan.dev.ifindex)):
        with pytest.raises(OSError, match="Invalid argument") as refused:
            sock.sendto(b"x", to, now=two.bed.now)
        assert refused.value.errno == errno.EINVAL
    assert two.lan.received == []


# -- bridges -----------------------------------------------------------------------------------------------------------


def test_a_vlan_device_takes_back_only_what_it_brought() -> None:
    """IEEE 802.1Q 8.8: a vlan device over a filtering bridge makes the host a member of its VLAN as long as it is
    there. What was configured (the pvid here, and VLAN 7) stays, and a service tag is no matter of the filter."""
    bed = Bed()
    r = bed.stack.add_netns("r")
    own = r.add_device("br0", kind="bridge").bridge.own
    r.set_bridge("br0", vlan_filtering=True)
    r.set_port("br0", tagged=[7])
    made = [r.add_device(f"v{vid}", kind="vlan", parent="br0", vid=vid) for vid in (1, 7, 10)]
    service = r.add_device("s20", kind="vlan", parent="br0", vid=20, protocol="802.1ad")
    assert own.vids == {1: True, 7: False, 10: False}
    r.set_port("br0", tagged=[8])
    assert own.vids == {1: True, 8: False, 10: False}
    r.set_port("br0", tagged=[7, 8])
    for dev in (*made, service):
        bed.stack.remove_device(dev, now=bed.now)
    assert own.vids == {1: True, 7: False, 8: False}
    bed.close()


def test_a_querier_of_one_vlan_silences_the_bridge_there_alone() -> None:
    """RFC 4541 2.1.1: a bridge asks where no router does. One that asks in VLAN 10, by MLD, says nothing of VLAN 20."""
    bed = Bed()
    r = bed.stack.add_netns("r")
    r.add_device("br0", kind="bridge", mac="02:00:00:00:00:aa")
    r.set_bridge("br0", vlan_filtering=True)
    ten, twenty = bed.station(r, "ten"), bed.station(r, "twenty")
    for name, vid in (("ten", 10), ("twenty", 20)):
        r.set_port(name, bridge="br0", pvid=vid)
    r.set_port("br0", tagged=[10, 20])
    r.set_bridge("br0", mcast_querier=True)
    bed.run_for(10)
    message = frames6.mld_query("fe80::77", NODES, version=2)
    behind = frames6.hop_by_hop(frames6.ICMPV6, message, ALERT)
    query = frames6.ipv6("fe80::77", NODES, frames6.HOPOPTS, behind, hop_limit=1)
    for _ in range(10):
        ten.clear()
        twenty.clear()
        ten.send_frame(frames.ethernet(frames6.group_mac6(NODES), ten.mac, 0x86DD, query))
        bed.run_for(130)
        assert {frame[12:14].hex() for frame in ten.received} == {"0800"}
        assert {frame[12:14].hex() for frame in twenty.received} == {"0800", "86dd"}
    bed.close()


# -- routes that are loaded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes", ["moved", "removed", "without IPv6"])
def test_a_load_brings_no_route_of_a_device_that_left_meanwhile(goes: str) -> None:
    """RFC 1812 5.3.12.3, and a device's routes go with it: of a load that is put into use piece by piece what is still
    to come leaves out a device that is gone, be it only in another namespace, which nobody has let this one into."""
    bed = Bed(ipv6=True)
    r, other = bed.stack.add_netns("r"), bed.stack.add_netns("other")
    a, b = bed.station(r, "a"), bed.station(r, "b")
    bed.run_for(5)
    many = bed.stack.namespaces["r"].load_routes(
        f"route add 2001:db8:{n:x}::/48 via fe80::1 dev a" for n in range(2500)
    )
    while not many.step():
        pass
    load = r.load_routes(
        f"route add 2001:db9:{n:x}::/48 "
        + ("via fe80::2 dev b", "nexthop via fe80::2 dev b nexthop via fe80::1 dev a")[n & 1]
        for n in range(5000)
    )
    while not load.applied:
        load.step()
    load.step()
    if goes == "moved":
        bed.stack.move_device(b.dev, other, now=bed.now)
    elif goes == "removed":
        bed.stack.remove_device(b.dev, now=bed.now)
    else:
        r.sysctl["net.ipv6.conf.b.disable_ipv6"] = 1
    while not load.step():
        pass
    routes = [route for _, _, route in r.ip6.main if route.proto == "static"]
    assert all(route.dev is a.dev for route in routes if route.nexthops is None)
    assert len(routes) == 2500 + 2500, "those with another next hop are there"
    assert {hop.dev.name for route in routes if route.nexthops for hop in route.nexthops.hops} == {"a"}
    bed.close()


# -- sources -----------------------------------------------------------------------------------------------------------


def test_a_source_is_chosen_without_asking_devices_that_have_none(two: Two) -> None:
    """RFC 6724 5: an error that leaves by a device with nothing but a link-local address has the one address of the
    router that reaches farther, and only that one is looked at, however many devices have no such address."""
    asked: list[str] = []

    class Watched(list[Address]):
        def __init__(self, name: str, held: list[Address]) -> None:
            super().__init__(held)
            self.name = name

        def __iter__(self) -> Iterator[Address]:
            asked.append(self.name)
            return super().__iter__()

    for n in range(5):
        two.r.add_device(f"v{n}", kind="vlan", parent="b", vid=n + 1, now=two.bed.now)
    two.bed.run_for(5)
    for dev in two.r.devices.values():
        dev.addresses = Watched(dev.name, dev.addresses)
    assert two.r.ip6.select_source(two.b.dev, parse_ipv6("2001:db8:9::9")) == parse_ipv6("2001:db8:1::1")
    assert asked == ["b"]


@pytest.mark.parametrize("state", ["preferred", "deprecated"])
def test_sources_of_all_scopes(two: Two, state: str) -> None:
    """RFC 6724 5, rules 2 and 3: to a global destination a site-local source goes before a link-local one, and a
    global one before both, also when that is deprecated."""
    ip, b, far = two.r.ip6, two.b.dev, parse_ipv6("2001:db8:9::9")
    (old,) = ip.held(two.lan.dev, parse_ipv6("2001:db8:1::1"))
    old.state = state
    two.r.add_address("lan", "fec0::1/64", now=two.bed.now)
    two.bed.run_for(5)
    assert ip.select_source(b, far) == parse_ipv6("2001:db8:1::1")
    two.r.del_address("lan", "2001:db8:1::1/64", now=two.bed.now)
    assert ip.select_source(b, far) == parse_ipv6("fec0::1")
    two.r.del_address("lan", "fec0::1/64", now=two.bed.now)
    assert ip.select_source(b, far) == b.addresses[0].address


# -- what ICMP told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goes", ["moved", "without IPv6"])
def test_redirects_are_void_when_a_device_leaves(two: Two, goes: str) -> None:
    """RFC 4861 8.3, RFC 1122 3.2.2.2: a better first hop is one of a link. When the same gateway is reached by another
    device later, packets go to it, and not to a stranger there whose address a redirect named elsewhere. The MTU of a
    path is told again soon enough."""
    ip, far, near = two.r.ip6, parse_ipv6("2001:db8:9::9"), parse_ipv6("2001:db8:1::7")
    route = two.r.add_route("2001:db8:9::/48", via="2001:db8:1::7", dev="lan")
    ip.learn_gateway(far, parse_ipv6("2001:db8:1::8"), two.bed.now)
    ip.learn_mtu(far, 1300, two.bed.now)
    ip.learn_gateway(far + 1, parse_ipv6("2001:db8:1::8"), two.bed.now)
    assert ip.first_hop(route, far, two.bed.now) == parse_ipv6("2001:db8:1::8")
    if goes == "moved":
        two.bed.stack.move_device(two.lan.dev, two.bed.stack.add_netns("other"), now=two.bed.now)
    else:
        two.r.sysctl["net.ipv6.conf.lan.disable_ipv6"] = 1
    two.r.add_address("b", "2001:db8:1::2/64", now=two.bed.now)
    two.bed.run_for(5)
    route = two.r.add_route("2001:db8:9::/48", via="2001:db8:1::7", dev="b")
    assert ip.first_hop(route, far, two.bed.now) == near
    assert ip.path_mtu(route, far, two.bed.now) == 1300
    assert list(ip.exceptions) == [far]
