"""IPv6 of devices: addresses, who configures itself, what is advertised."""

from ipaddress import IPv6Address

import pytest

from tests.unit.config.marked import DUAL, lines, must_report
from vrouter.config import NeighborConfig, loads
from vrouter.stack.l2.router_advert import RaConf, RaPref64, RaPrefix, RaRoute

V6 = [
    (
        "[netns.red.dev.lan]\naddresses = [▸'fd00::1']",
        "netns.red.dev.lan.addresses[0]: 'fd00::1' needs a prefix length (such as 'fd00::1/64')",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'fd00::1/129']",
        "netns.red.dev.lan.addresses[0]: the prefix length of 'fd00::1/129' must be 1 to 128",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'fd00::/64']",
        "netns.red.dev.lan.addresses[0]: 'fd00::/64' is the subnet-router anycast address (an interface "
        "needs one of the hosts' addresses)",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'ff02::1/64']",
        "netns.red.dev.lan.addresses[0]: 'ff02::1/64' is a multicast address",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'::/64']",
        "netns.red.dev.lan.addresses[0]: '::/64' is the unspecified address, which no interface can have",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'::1/128']",
        "netns.red.dev.lan.addresses[0]: '::1/128' is the loopback address, which only lo can have",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'::ffff:1.2.3.4/96']",
        "netns.red.dev.lan.addresses[0]: '::ffff:1.2.3.4/96' is an IPv4-mapped address, which no interface can have",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'fe80::1%lan/64']",
        "netns.red.dev.lan.addresses[0]: 'fe80::1%lan/64' has a zone, which belongs to a next hop alone",
    ),
    (
        "[netns.red.dev.lan]\naddresses = [▸'fd00::g/64']",
        "netns.red.dev.lan.addresses[0]: 'fd00::g/64' is not an IPv6 address with its prefix length",
    ),
    (
        "[netns.red.dev.lan]\nmtu = 1279\naddresses = [▸'fd00::1/64']",
        "netns.red.dev.lan.addresses[0]: IPv6 needs an MTU of 1280 bytes, and 'lan' has one of 1279",
    ),
    (
        "[netns.red.sysctl]\n'net.ipv6.conf.all.disable_ipv6' = 1\n[netns.red.dev.lan]\naddresses = [▸'fd00::1/64']",
        "netns.red.dev.lan.addresses[0]: IPv6 is disabled on 'lan' by net.ipv6.conf.*.disable_ipv6",
    ),
    (
        "[netns.red.dev.lan]\naddresses = ['fd00::1/64']\n[netns.red.dev.wan]\naddresses = [▸'fd00::1/64']",
        "netns.red.dev.wan.addresses[0]: 'fd00::1' is already an address of 'lan'",
    ),
    (
        "[netns.red.dev.lo]\naddresses = [▸'::1/128']",
        "netns.red.dev.lo.addresses[0]: '::1' is already the address of 'lo'",
    ),
    (
        "[router]\nmetrics = ▸'[::g]:1'",
        "router.metrics: '[::g]' is not an IPv6 address in brackets (names are not looked up)",
    ),
]


@pytest.mark.parametrize(("text", "expected"), V6)
def test_an_address_that_no_device_can_have(text: str, expected: str) -> None:
    """RFC 4291 2.5: what is no address of one interface; RFC 8200 5: no IPv6 below 1280 bytes."""
    must_report(text, expected)


ADVERTS = [
    (DUAL + "autoconf = ▸1", "netns.red.dev.lan.autoconf: must be a boolean, not an integer"),
    (
        DUAL + "addr_gen_mode=▸'eui-64'",
        "netns.red.dev.lan.addr_gen_mode: must be eui64, none, stable-privacy or random, not 'eui-64' "
        "(did you mean 'eui64'?)",
    ),
    (DUAL + "neighbors=[▸{address='10.0.1.2'}]", "netns.red.dev.lan.neighbors[0].mac: is missing: its MAC address"),
    (
        DUAL + "neighbors=[{address=▸'224.0.0.1', mac='02:00:00:00:00:01'}]",
        "netns.red.dev.lan.neighbors[0].address: '224.0.0.1' is a multicast address",
    ),
    (
        DUAL + "proxy=[▸'10.0.1.2']",
        "netns.red.dev.lan.proxy[0]: '10.0.1.2' is not an IPv6 address (for IPv4 there is net.ipv4.conf.DEV.proxy_arp)",
    ),
    (
        DUAL
        + (
            "neighbors=[{address='fd00:1::2', mac='02:00:00:00:00:01'},{address=▸'fd00:1::2', mac='02:00:00:00:00:02'}]"
        ),
        "netns.red.dev.lan.neighbors[1].address: 'fd00:1::2' is given twice",
    ),
    ("[netns.red.dev.lo]\n▸ra = {}", "netns.red.dev.lo.ra: 'lo' has no such setting (it takes addresses and mtu)"),
    (DUAL + "ra.▸prefix=5", "netns.red.dev.lan.ra.prefix: unknown key (did you mean 'prefixes'?)"),
    (DUAL + "ra.max_interval=▸3", "netns.red.dev.lan.ra.max_interval: is 4 to 1800 seconds"),
    (DUAL + "ra.lifetime=▸9001", "netns.red.dev.lan.ra.lifetime: is 0, or 600 (max_interval) to 9000 seconds"),
    (DUAL + "ra.min_interval=▸500", "netns.red.dev.lan.ra.min_interval: is 3 to 450 seconds, 3/4 of max_interval"),
    (DUAL + "ra.mtu=▸1000", "netns.red.dev.lan.ra.mtu: is 0 or 1280 to 65535 bytes"),
    (DUAL + "ra.preference=▸'middle'", "netns.red.dev.lan.ra.preference: must be low, medium or high, not 'middle'"),
    (DUAL + "ra.rdnss=[▸'1.1.1.1']", "netns.red.dev.lan.ra.rdnss[0]: '1.1.1.1' is not the IPv6 address of a host"),
    (DUAL + "ra.dnssl=▸['a..b']", "netns.red.dev.lan.ra.dnssl: 'a..b' is not a domain name"),
    (DUAL + "ra.prefixes=[▸'fd00::/64']", "netns.red.dev.lan.ra.prefixes[0]: must be a table, not a string"),
    (DUAL + "ra.prefixes=▸[{prefix='fe80::/64'}]", "netns.red.dev.lan.ra.prefixes: fe80::/64 is link-local"),
    (
        DUAL + "ra.prefixes=[{prefix=▸'fd00::1/64'}]",
        "netns.red.dev.lan.ra.prefixes[0].prefix: 'fd00::1/64' has host bits set (did you mean 'fd00::/64'?)",
    ),
    (DUAL + "ra.prefixes=▸[{prefix='ff0e::/64'}]", "netns.red.dev.lan.ra.prefixes: ff0e::/64 is a prefix of groups"),
    (
        DUAL + "ra.prefixes=▸[{prefix='fd00::/64'}, {prefix='fd00::/64', valid=9, preferred=9}]",
        "netns.red.dev.lan.ra.prefixes: fd00::/64 is given twice",
    ),
    (
        DUAL + "ra.prefixes=▸[{prefix='fd00::/64', valid=5, preferred=6}]",
        "netns.red.dev.lan.ra.prefixes: fd00::/64: preferred is at most valid",
    ),
    (DUAL + "ra.prefixes=[▸{}]", "netns.red.dev.lan.ra.prefixes[0].prefix: is missing: what is advertised"),
    (
        DUAL + "ra.pref64=▸{prefix='64:ff9b::/95'}",
        "netns.red.dev.lan.ra.pref64: has a length of 32, 40, 48, 56, 64 or 96",
    ),
    (
        DUAL + "ra.routes=[{prefix='fd00:9::/48', preference=▸'x'}]",
        "netns.red.dev.lan.ra.routes[0].preference: must be low, medium or high, not 'x'",
    ),
    (DUAL + "ra.hop_limit=▸256", "netns.red.dev.lan.ra.hop_limit: is 0 to 255"),
    (DUAL + "ra.managed=▸'yes'", "netns.red.dev.lan.ra.managed: must be a boolean, not a string"),
    (
        DUAL + "ra.prefixes=[{prefix=▸'10.0.0.0/8'}]",
        "netns.red.dev.lan.ra.prefixes[0].prefix: '10.0.0.0/8' is not an IPv6 prefix",
    ),
]


@pytest.mark.parametrize(("text", "expected"), ADVERTS)
def test_what_hosts_are_not_told(text: str, expected: str) -> None:
    """RFC 4861 6.2.1, RFC 4191 2, RFC 8106 5, RFC 8781 4: bounds of what a device advertises."""
    must_report(text, expected)


def test_a_bound_of_a_number_is_reported_beside_what_is_no_prefix() -> None:
    """All mistakes of `ra` are reported at once, and none that only follows from another."""
    bad = "[netns.red.dev.lan.ra]\nprefixes = [{ prefix = '10.0.0.0/8' }]\nhop_limit = 256\nmtu = 1279\n"
    keys = [line.split(": ")[1].removeprefix("netns.red.dev.lan.ra.") for line in lines(DUAL + bad)]
    assert keys == ["prefixes[0].prefix", "hop_limit", "mtu"]
    follows = "[netns.red.dev.lan.ra]\nmax_interval = 'x'\nlifetime = 300\n"
    assert [line.split(": ")[1] for line in lines(DUAL + follows)] == ["netns.red.dev.lan.ra.max_interval"]


def test_what_is_advertised_in_its_record() -> None:
    """Every key of `ra`; what is not given is the protocol's default."""
    text = (
        DUAL
        + """
[netns.red.sysctl]
"net.ipv6.conf.lan.forwarding" = 1
[netns.red.dev.lan.ra]
lifetime = 0
reachable = 1000
retrans = 500
hop_limit = 32
mtu = 1480
rdnss = ["fd00:1::53"]
rdnss_lifetime = 60
dnssl = ["example.org"]
managed = true
other = true
preference = "high"
min_interval = 3
max_interval = 4
pref64 = { prefix = "64:ff9b::/96", lifetime = 80 }
prefixes = [
  { prefix = "fd00:1::/64" },
  { prefix = "fd00:2::/64", valid = 100, on_link = false },
  { prefix = "fd00:3::/48", valid = 9, preferred = 8, autonomous = false },
]
routes = [{ prefix = "fd00:9::/48" }, { prefix = "::/0", preference = "low", lifetime = 7 }]
"""
    )
    config = loads(text)
    assert config.warnings == ()
    assert config.netns["red"].devices["lan"].ra == RaConf(
        lifetime=0,
        reachable=1000,
        retrans=500,
        hop_limit=32,
        mtu=1480,
        rdnss=(int(IPv6Address("fd00:1::53")),),
        rdnss_lifetime=60,
        dnssl=("example.org",),
        managed=True,
        other=True,
        preference="high",
        min_interval=3,
        max_interval=4,
        pref64=RaPref64(int(IPv6Address("64:ff9b::")), 96, 80),
        prefixes=(
            RaPrefix(int(IPv6Address("fd00:1::"))),
            RaPrefix(int(IPv6Address("fd00:2::")), valid=100, preferred=100, on_link=False),
            RaPrefix(int(IPv6Address("fd00:3::")), 48, 9, 8, autonomous=False),
        ),
        routes=(
            RaRoute(int(IPv6Address("fd00:9::")), 48),
            RaRoute(0, 0, "low", 7),
        ),
    )
    assert loads(DUAL + "ra = {}").netns["red"].devices["lan"].ra == RaConf()


WARNED = [
    (
        DUAL + "ra = {}",
        "f.toml:3:6: netns.red.dev.lan.ra: nothing is advertised while the device is no router"
        ' (set "net.ipv6.conf.all.forwarding" = 1)',
    ),
    (
        DUAL + "ra.prefixes = [{ prefix = 'fd00::/60' }]\n[netns.red.sysctl]\n'net.ipv6.conf.all.forwarding' = 1",
        "f.toml:3:27: netns.red.dev.lan.ra.prefixes[0].prefix: hosts make no address from a prefix of 60 bits"
        " (RFC 4862 5.5.3) (a /64, or autonomous = false)",
    ),
    (
        "[netns.red.dev.lan]\nra = {}\n[netns.red.sysctl]\n'net.ipv6.conf.lan.forwarding' = '1'",
        "f.toml:2:6: netns.red.dev.lan.ra: no prefix is advertised: the device has no IPv6 network, and prefixes says"
        " none",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WARNED)
def test_advertisements_that_help_nobody_are_a_warning(text: str, expected: str) -> None:
    """RFC 4861 6.2.1, RFC 4862 5.5.3: they are allowed."""
    assert [str(warning) for warning in loads(text, "f.toml").warnings] == [expected]


def test_a_device_of_a_dual_stack() -> None:
    """Neighbours of both families, proxies, who configures itself; a link-local address may be on every device."""
    text = """\
[netns.red.dev.lan]
addresses = ["10.0.1.1/24", "fd00:1::1/64", "fe80::1/64", "fd00:2::/127", "fd00:3::5/128"]
neighbors = [{ address = "10.0.1.2", mac = "02:00:00:00:00:01" }, { address = "fe80::2", mac = "02:00:00:00:00:02" }]
proxy = ["fd00:1::77"]
autoconf = true
addr_gen_mode = "eui64"
host = { autoconf = true, addresses = ["fd00:1::2/64"], routes = [{ to = "default", via = "fe80::1" }] }
[netns.red.dev.wan]
addresses = ["fe80::1/64"]
[netns.red.dev.lo]
addresses = ["2001:db8::1/128"]
[router]
metrics = "[::1]:9473"
"""
    config = loads(text)
    red = config.netns["red"]
    lan = red.devices["lan"]
    assert config.router.metrics == "[::1]:9473"
    assert [str(one) for one in lan.addresses][1:3] == ["fd00:1::1/64", "fe80::1/64"]
    assert [str(one) for one in red.devices["wan"].addresses] == ["fe80::1/64"]
    assert lan.neighbors[1] == NeighborConfig(address=IPv6Address("fe80::2"), mac=bytes.fromhex("020000000002"))
    assert (lan.proxy, lan.autoconf, lan.addr_gen_mode) == ((IPv6Address("fd00:1::77"),), True, "eui64")
    assert lan.host is not None
    assert lan.host.autoconf
    assert [(str(route.to), str(route.via)) for route in lan.host.routes] == [("::/0", "fe80::1")]


def test_both_families_have_a_default_route_at_the_kernels_end() -> None:
    """`to = "default"` without `via` is on the link, in each family."""
    [lan] = loads("[netns.red.dev.lan]\nhost.routes = [{ to = 'default' }]").netns["red"].devices.values()
    assert lan.host is not None
    assert [str(route.to) for route in lan.host.routes] == ["0.0.0.0/0", "::/0"]
