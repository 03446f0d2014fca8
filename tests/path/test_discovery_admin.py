"""What a namespace is told about routers and proxies by whoever configures it, and what it tells of them.

::

    r lan ── station (a router, or a host)
"""

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.l2.router_advert import RaConf
from vrouter.testing import frames, match

ROUTER_MAC = b"\x02\0\0\0\0\x77"


@pytest.fixture
def bed() -> Bed:
    bed = Bed(ipv6=True)
    bed.r = bed.stack.add_netns("r")
    bed.a = bed.station(bed.r, "lan", "fd00:1::1/64")
    bed.settle()
    return bed


def advertised(station: Station) -> list[bytes]:
    """The router advertisements that came to a station."""
    return [frame for frame in station.received if frame == match.ndp(type=134)]


def test_an_advertisement_names_the_own_prefix(bed: Bed) -> None:
    """RFC 4861 6.2.3: what was configured is advertised while the device forwards, and is told back as it was said."""
    conf = RaConf(rdnss=(1,), max_interval=30)
    bed.r.set_ra("lan", conf, now=bed.now)
    bed.run_for(20)
    assert advertised(bed.a) == []
    bed.r.sysctl["net.ipv6.conf.all.forwarding"] = 1
    bed.run_for(20)
    assert advertised(bed.a)
    assert bed.r.ra("lan") is conf


def test_an_end_says_so(bed: Bed) -> None:
    """RFC 4861 6.2.5: a router that ceases tells a lifetime of 0, also when its namespace is removed."""
    bed.r.sysctl["net.ipv6.conf.all.forwarding"] = 1
    bed.r.set_ra("lan", RaConf(max_interval=30), now=bed.now)
    bed.run_for(40)
    bed.a.clear()
    bed.stack.remove_netns("r", now=bed.now)
    last = advertised(bed.a)[-1]
    assert int.from_bytes(last[14 + 40 + 6 : 14 + 40 + 8], "big") == 0


def test_what_is_no_advertisement_is_refused(bed: Bed) -> None:
    """RFC 4861 6.2.1: the bounds of what may be configured."""
    with pytest.raises(ValueError, match="max_interval"):
        bed.r.set_ra("lan", RaConf(max_interval=1), now=bed.now)
    with pytest.raises(OSError, match="no neighbours"):
        bed.r.set_ra("lo", RaConf(), now=bed.now)
    assert bed.r.ra("lan") is None


def test_a_host_knows_its_routers(bed: Bed) -> None:
    """RFC 4861 6.3.4, RFC 4191 2.2: an advertised router is a default router with its lifetime and preference."""
    bed.r.set_autoconf("lan", True, now=bed.now)
    prefix = frames.nd_prefix("fd00:9::", 64)
    message = frames.router_advertisement("fe80::77", "ff02::1", prefix, mac=ROUTER_MAC, lifetime=600, flags=0x08)
    packet = frames.ipv6("fe80::77", "ff02::1", 58, message, hop_limit=255)
    bed.a.send_frame(frames.ethernet("33:33:00:00:00:01", ROUTER_MAC, 0x86DD, packet))
    bed.run_for(3)
    (router,) = bed.r.routers()
    assert (router["address"], router["dev"], router["preference"]) == ("fe80::77", "lan", "high")
    assert router["expires_ns"] == 597_000_000_000
    bed.r.set_autoconf("lan", False, now=bed.now)
    assert bed.r.routers() == []


def test_proxies_come_and_go(bed: Bed) -> None:
    """RFC 4861 7.2.8: an address is answered for once; taking it away twice is an error."""
    bed.r.add_proxy("lan", "fd00:1::9", now=bed.now)
    assert bed.r.proxies() == [{"netns": "r", "dev": "lan", "address": "fd00:1::9"}]
    with pytest.raises(FileExistsError):
        bed.r.add_proxy("lan", "fd00:1::9", now=bed.now)
    bed.r.del_proxy("lan", "fd00:1::9", now=bed.now)
    with pytest.raises(FileNotFoundError):
        bed.r.del_proxy("lan", "fd00:1::9", now=bed.now)
    with pytest.raises(ValueError, match="not the IPv6 address"):
        bed.r.add_proxy("lan", "10.0.0.1", now=bed.now)


def test_a_router_that_is_a_host_of_a_link_hears_its_routers(bed: Bed) -> None:
    """RFC 7084 W-1's case: `autoconf` on a device that forwards means accept_ra 2, unless somebody said 0."""
    name = "net.ipv6.conf.lan.accept_ra"
    bed.r.sysctl["net.ipv6.conf.all.forwarding"] = 1
    bed.r.set_autoconf("lan", True, now=bed.now)
    assert bed.r.sysctl[name] == 2
    bed.r.set_autoconf("lan", False, now=bed.now)
    bed.r.sysctl[name] = 0
    bed.r.set_autoconf("lan", True, now=bed.now)
    assert bed.r.sysctl[name] == 0
