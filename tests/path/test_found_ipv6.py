"""What was found wrong once in a stack of both families, so that it is not found again. Each test names the rule."""

from collections.abc import Iterator

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.netns import Netns
from vrouter.testing import frames6

NODES = "ff02::1"
ROUTER = "fe80::99"
PREFIX = "2001:db8:5::"


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
