"""Settings by their Linux names, and the plain values that come of them."""

from dataclasses import fields

import pytest

from vrouter.stack import sysctl
from vrouter.stack.device import Address, Device
from vrouter.stack.sysctl import (
    DEFAULT_DEV4,
    DEFAULT_DEV6,
    DEFAULT_NEIGH,
    DEFAULT_NEIGH6,
    DEFAULT_NS,
    DevConf4,
    DevConf6,
    FamilyConf,
    NeighConf,
    NsConf,
    SysctlTable,
    TcpConf,
    default_dev6,
)
from vrouter.stack.sysctl.names import NS_SETTINGS
from vrouter.stack.sysctl.settings_v4 import CONF4, NEIGH4
from vrouter.stack.sysctl.settings_v6 import CONF6, NEIGH6

CONF = "net.ipv4.conf"
CONF_6 = "net.ipv6.conf"


class Namespace:
    """What the table and a device need of a namespace."""

    def __init__(self, *names: str) -> None:
        self.name = "red"
        self.conf = DEFAULT_NS
        self.closing = False
        self.devices: dict[str, Device] = {}
        self.sysctl = SysctlTable(self)
        for name in names:
            self.add(name)

    def add(self, name: str, kind: str = "tap") -> Device:
        kind = "lo" if name == "lo" else kind
        dev = self.devices[name] = Device(self, name, kind, len(self.devices) + 1, bytes(6), 1500)
        self.sysctl.device_added(dev)
        return dev

    def configure(self, name: str) -> None:
        dev = self.devices[name]
        dev.addresses.append(Address(dev, 4, 0x0A000001, 24, "global", -1))


def at_default(dev: Device) -> bool:
    """Whether the device shares every default object."""
    confs = (dev.conf4, dev.conf6, dev.neigh_conf, dev.neigh_conf6)
    defaults = (DEFAULT_DEV4, default_dev6(dev.kind), DEFAULT_NEIGH, DEFAULT_NEIGH6)
    return all(conf is default for conf, default in zip(confs, defaults, strict=True))


def attributes(conf: type) -> list[str]:
    return [field.name for field in fields(conf)]


@pytest.fixture
def ns() -> Namespace:
    return Namespace("lo", "lan", "wan.5")


def test_until_the_first_write_everybody_shares_the_defaults(ns: Namespace) -> None:
    """A namespace costs no copy of the settings before somebody writes one."""
    assert ns.conf is DEFAULT_NS
    assert all(at_default(dev) for dev in ns.devices.values())


def test_defaults_are_those_of_linux(ns: Namespace) -> None:
    """Settings start as in Linux: a host, not a router, until forwarding is switched on."""
    assert ns.sysctl["net.ipv4.ip_forward"] == 0
    assert ns.sysctl["net.ipv4.ip_default_ttl"] == 64
    assert ns.sysctl["net.ipv4.icmp_ratemask"] == 6168
    assert ns.sysctl["net.ipv4.ip_local_port_range"] == "32768\t60999"
    assert ns.sysctl["net.ipv4.neigh.lan.locktime"] == 100
    assert ns.sysctl["net.ipv4.conf.lan.accept_redirects"] == 1
    assert DEFAULT_NEIGH.locktime == 1_000_000_000
    assert DEFAULT_NS.v4.icmp_ratelimit == 1_000_000_000


def test_every_default_of_the_table_is_the_default_of_its_conf_object(ns: Namespace) -> None:
    """The two lists, of names and of attributes, say the same: writing each default back changes no value."""
    for name, value in list(ns.sysctl.items()):
        if not name.endswith((".mc_forwarding", ".stable_secret")):
            ns.sysctl[name] = value
    for name in ns.sysctl:
        if not name.endswith(".mc_forwarding"):
            del ns.sysctl[name]
    assert ns.conf == DEFAULT_NS
    assert all(at_default(dev) for dev in ns.devices.values())


def test_every_attribute_has_its_setting(ns: Namespace) -> None:
    """What the data path can read can be written, and the other way round."""
    assert set(attributes(DevConf4)) == {s.attribute or s.key for s in CONF4.settings.values() if not s.read_only}
    assert set(attributes(DevConf6)) == {s.attribute or s.key for s in CONF6.settings.values() if not s.read_only}
    for group in (NEIGH4, NEIGH6):
        assert set(attributes(NeighConf)) == {s.attribute or s.key for s in group.settings.values()}
    family = set(attributes(FamilyConf))
    expected = set(attributes(NsConf)) - {"v4", "v6", "tcp"}
    expected |= {f"tcp.{name}" for name in attributes(TcpConf)}
    expected |= {f"v4.{name}" for name in family} | {f"v6.{name}" for name in family - {"forwarding", "min_pmtu"}}
    assert {s.attribute or s.key for s in NS_SETTINGS.values()} == expected


def test_iteration_names_each_setting_once_and_only_what_exists(ns: Namespace) -> None:
    """`show` and the mapping agree: as many names as `len`, each readable, none of a device that is not there."""
    found = list(ns.sysctl)
    assert len(found) == len(set(found)) == len(ns.sysctl) == len(dict(ns.sysctl))
    assert found == sysctl.names(ns.devices)
    assert "net.ipv4.conf.wan.5.rp_filter" in found
    assert "net.ipv4.conf.eth0.rp_filter" not in ns.sysctl


def test_a_write_replaces_the_shared_object_and_leaves_it_untouched(ns: Namespace) -> None:
    """Copy on write: the defaults, which other namespaces read, never change."""
    ns.sysctl["net.ipv4.ip_default_ttl"] = 30
    assert ns.conf.ip_default_ttl == 30
    assert DEFAULT_NS.ip_default_ttl == 64


def test_ip_forward_makes_a_router_of_every_device(ns: Namespace) -> None:
    """Linux: ip_forward sets forwarding everywhere and makes all.accept_redirects the opposite (RFC 1812 5.2.7.2)."""
    ns.sysctl["net.ipv4.ip_forward"] = 1
    assert ns.conf.ip_forward is True
    assert [ns.sysctl[f"{CONF}.{scope}.forwarding"] for scope in ("all", "default", "lo", "lan", "wan.5")] == [1] * 5
    assert ns.sysctl[f"{CONF}.all.accept_redirects"] == 0
    assert ns.sysctl[f"{CONF}.lan.accept_redirects"] == 1
    assert all(dev.conf4.forwarding and not dev.conf4.accept_redirects for dev in ns.devices.values())
    assert ns.devices["lan"].conf4 is ns.devices["wan.5"].conf4
    assert ns.add("new").conf4.forwarding is True

    ns.sysctl[f"{CONF}.all.forwarding"] = 0
    assert ns.sysctl["net.ipv4.ip_forward"] == 0
    assert ns.conf.ip_forward is False
    assert ns.sysctl[f"{CONF}.all.accept_redirects"] == 1
    assert all(dev.conf4 is DEFAULT_DEV4 for dev in ns.devices.values())


def test_writing_ip_forward_again_leaves_a_device_that_was_excepted(ns: Namespace) -> None:
    """Linux: only a change of ip_forward is passed on to devices."""
    ns.sysctl["net.ipv4.ip_forward"] = 1
    ns.sysctl[f"{CONF}.lan.forwarding"] = 0
    ns.sysctl["net.ipv4.ip_forward"] = 1
    assert ns.devices["lan"].conf4.forwarding is False
    assert ns.devices["wan.5"].conf4.forwarding is True


@pytest.mark.parametrize(
    ("key", "everywhere", "own", "effective"),
    [
        ("rp_filter", 0, 2, 2),
        ("rp_filter", 1, 2, 2),
        ("rp_filter", 2, 1, 2),
        ("arp_ignore", 1, 0, 1),
        ("arp_announce", 2, 1, 2),
        ("send_redirects", 1, 0, True),
        ("send_redirects", 0, 0, False),
        ("secure_redirects", 0, 1, True),
        ("accept_local", 1, 0, True),
        ("proxy_arp", 0, 1, True),
        ("route_localnet", 1, 0, True),
        ("bc_forwarding", 1, 0, False),
        ("bc_forwarding", 0, 1, False),
        ("bc_forwarding", 1, 1, True),
        ("forwarding", 0, 1, True),
        ("accept_redirects", 0, 1, True),
        ("accept_redirects", 0, 0, False),
        ("src_valid_mark", 1, 0, True),
        ("drop_gratuitous_arp", 0, 1, True),
        ("force_igmp_version", 0, 2, 2),
        ("force_igmp_version", 2, 0, 2),
        ("force_igmp_version", 1, 2, 1),
        ("force_igmp_version", 2, 1, 1),
        ("force_igmp_version", 2, 3, 2),
        ("igmpv2_unsolicited_report_interval", 1, 5, 5_000_000),
    ],
)
def test_all_and_device_combine_as_in_linux(ns: Namespace, key: str, everywhere: int, own: int, effective: int) -> None:
    """Linux's ip-sysctl: the rule that combines conf.all and conf.DEV is the setting's own."""
    ns.sysctl[f"{CONF}.all.{key}"] = everywhere
    ns.sysctl[f"{CONF}.lan.{key}"] = own
    assert getattr(ns.devices["lan"].conf4, key) == effective


def test_a_forwarding_device_believes_redirects_only_when_both_say_so(ns: Namespace) -> None:
    """Linux's ip-sysctl: accept_redirects is AND while forwarding is on, OR while it is off."""
    ns.sysctl[f"{CONF}.lan.forwarding"] = 1
    ns.sysctl[f"{CONF}.all.accept_redirects"] = 0
    assert ns.devices["lan"].conf4.accept_redirects is False
    assert ns.devices["wan.5"].conf4.accept_redirects is True
    ns.sysctl[f"{CONF}.all.accept_redirects"] = 1
    assert ns.devices["lan"].conf4.accept_redirects is True


def test_default_reaches_devices_without_a_value_or_an_address(ns: Namespace) -> None:
    """Linux: conf.default is for devices to come, and for those that nobody has configured yet."""
    ns.configure("lan")
    ns.sysctl[f"{CONF}.lo.rp_filter"] = 0
    ns.sysctl[f"{CONF}.default.rp_filter"] = 1
    assert [ns.devices[name].conf4.rp_filter for name in ("lo", "lan", "wan.5")] == [0, 0, 1]
    assert ns.add("new").conf4.rp_filter == 1
    ns.sysctl[f"{CONF}.default.rp_filter"] = 2
    assert [ns.devices[name].conf4.rp_filter for name in ("lo", "lan", "wan.5", "new")] == [0, 0, 2, 1]


def test_default_forwarding_is_for_devices_to_come(ns: Namespace) -> None:
    """Linux: conf.default.forwarding is not passed on to devices that exist."""
    ns.sysctl[f"{CONF}.default.forwarding"] = 1
    assert ns.devices["lan"].conf4.forwarding is False
    assert ns.add("new").conf4.forwarding is True
    assert ns.conf.ip_forward is False


def test_neighbour_times_become_nanoseconds(ns: Namespace) -> None:
    """Units of Linux: _ms in milliseconds, locktime in hundredths of a second, the others in seconds."""
    ns.sysctl["net.ipv4.neigh.default.base_reachable_time_ms"] = 1500
    ns.sysctl["net.ipv4.neigh.lan.locktime"] = 5
    ns.sysctl["net.ipv4.neigh.lan.gc_stale_time"] = 7
    lan, other = ns.devices["lan"].neigh_conf, ns.devices["wan.5"].neigh_conf
    assert (lan.base_reachable_time, lan.locktime, lan.gc_stale_time) == (1_500_000_000, 50_000_000, 7_000_000_000)
    assert other.base_reachable_time == 1_500_000_000
    assert ns.devices["lo"].neigh_conf is other


def test_a_removed_device_leaves_nothing_for_its_namesake(ns: Namespace) -> None:
    """A new device of an old name starts from the defaults."""
    ns.sysctl[f"{CONF}.lan.rp_filter"] = 1
    ns.sysctl["net.ipv4.neigh.lan.unres_qlen"] = 3
    del ns.devices["lan"]
    ns.sysctl.device_removed("lan")
    fresh = ns.add("lan")
    assert fresh.conf4 is DEFAULT_DEV4
    assert fresh.neigh_conf is DEFAULT_NEIGH


def test_deleting_a_value_puts_the_default_back(ns: Namespace) -> None:
    """`del` is a write of the default, with all that such a write does."""
    ns.sysctl["net.ipv4.ip_forward"] = 1
    del ns.sysctl["net.ipv4.ip_forward"]
    assert ns.devices["lan"].conf4 is DEFAULT_DEV4


def test_port_settings(ns: Namespace) -> None:
    """Port ranges are text outside, as Linux prints it, and numbers inside."""
    ns.sysctl["net.ipv4.ip_local_port_range"] = "1024 2000"
    assert ns.conf.ip_local_port_range == (1024, 2000)
    assert ns.sysctl["net.ipv4.ip_local_port_range"] == "1024\t2000"
    ns.sysctl["net.ipv4.ip_local_reserved_ports"] = "1026, 1030-1032,1031-1033"
    assert ns.conf.ip_local_reserved_ports == {1026, 1030, 1031, 1032, 1033}
    assert ns.sysctl["net.ipv4.ip_local_reserved_ports"] == "1026,1030-1033"
    ns.sysctl["net.ipv4.ip_local_reserved_ports"] = ""
    assert ns.conf.ip_local_reserved_ports == frozenset()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_forward", 2),
        ("net.ipv4.ip_forward", -1),
        ("net.ipv4.ip_forward", "yes"),
        ("net.ipv4.ip_forward", 1.0),
        ("net.ipv4.ip_forward", None),
        ("net.ipv4.ip_default_ttl", 0),
        ("net.ipv4.ip_default_ttl", 256),
        ("net.ipv4.conf.lan.rp_filter", 3),
        ("net.ipv4.ip_local_port_range", "2000 1024"),
        ("net.ipv4.ip_local_port_range", "1024"),
        ("net.ipv4.ip_local_port_range", "1 65536"),
        ("net.ipv4.ip_local_port_range", "0 10"),
        ("net.ipv4.ip_local_port_range", 1024),
        ("net.ipv4.ip_local_reserved_ports", "5-4"),
        ("net.ipv4.ip_local_reserved_ports", "70000"),
        ("net.ipv4.ip_local_reserved_ports", "1,,2"),
        ("net.ipv4.ip_local_reserved_ports", "-1"),
        ("net.ipv4.ip_local_reserved_ports", True),
        ("net.core.rmem_default", 100),
        ("net.ipv4.conf.lan.mc_forwarding", 1),
        ("net.ipv6.conf.lan.accept_ra", 3),
        ("net.ipv6.conf.lan.mtu", 1279),
        ("net.ipv6.conf.lan.stable_secret", ""),
        ("net.ipv6.conf.lan.stable_secret", "10.0.0.1"),
        ("net.ipv6.conf.lan.stable_secret", 7),
        ("net.ipv6.conf.lan.stable_secret", "fe80::1%lan"),
        ("net.ipv6.icmp.ratemask", "256"),
        ("net.ipv6.icmp.ratemask", "1-"),
        ("net.ipv6.icmp.ratemask", "²"),
        ("net.ipv6.max_hbh_length", -1),
    ],
)
def test_a_bad_value_is_refused_and_changes_nothing(ns: Namespace, name: str, value: object) -> None:
    """A value out of bounds raises ValueError with the name in it, as the configuration's check says before."""
    before = dict(ns.sysctl)
    with pytest.raises(ValueError, match=name):
        ns.sysctl[name] = value
    assert dict(ns.sysctl) == before
    assert sysctl.check(name, value, ["lan"]).startswith(name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("net.ipv4.ip_foward", "there is no setting 'net.ipv4.ip_foward'; did you mean 'net.ipv4.ip_forward'?"),
        (
            "net.ipv4.conf.lann.rp_filter",
            "net.ipv4.conf.lann.rp_filter: there is no device 'lann'; did you mean 'lan'?",
        ),
        ("net.ipv4.neigh.all.locktime", "net.ipv4.neigh.all.locktime: there is no device 'all'"),
        (
            "net.ipv4.conf.rp_filter",
            "there is no setting 'net.ipv4.conf.rp_filter'; did you mean 'net.ipv4.conf.lo.rp_filter'?",
        ),
        ("kernel.panic", "there is no setting 'kernel.panic'"),
        (
            "net.ipv6.conf.lann.accept_ra",
            "net.ipv6.conf.lann.accept_ra: there is no device 'lann'; did you mean 'lan'?",
        ),
        (
            "net.ipv6.conf.all.stable_secret",
            "there is no setting 'net.ipv6.conf.all.stable_secret'; did you mean 'net.ipv6.conf.lo.stable_secret'?",
        ),
        (
            "net.ipv6.conf.all.rp_filter",
            "there is no setting 'net.ipv6.conf.all.rp_filter'; did you mean 'net.ipv4.conf.all.rp_filter'?",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(ns: Namespace, name: str, problem: str) -> None:
    """Mistakes come with a suggestion where there is one."""
    for act in (lambda: ns.sysctl[name], lambda: ns.sysctl.__setitem__(name, 1), lambda: ns.sysctl.__delitem__(name)):
        with pytest.raises(KeyError) as caught:
            act()
        assert caught.value.args == (problem,)
    assert sysctl.check(name, 1, ["lan", "wan.5"]) == problem


def test_the_check_of_the_configuration_accepts_what_the_table_accepts() -> None:
    """`check` knows lo without being told, and numbers may be written as text."""
    assert sysctl.check("net.ipv4.conf.lo.rp_filter", "1") is None
    assert sysctl.check("net.ipv4.conf.a.b.rp_filter", 2, ["a.b"]) is None
    assert sysctl.check("net.ipv4.ip_local_port_range", [1024, 2000]) is None


def test_shared_objects_do_not_pile_up(ns: Namespace) -> None:
    """However many values are tried, what the table keeps is bounded."""
    for value in range(1, 1000):
        ns.sysctl["net.ipv4.neigh.lan.unres_qlen"] = value
    assert ns.devices["lan"].neigh_conf.unres_qlen == 999
    assert len(ns.sysctl._shared) <= 256
    assert len(ns.sysctl._set) == 1


@pytest.mark.parametrize(
    ("key", "everywhere", "own", "effective"),
    [
        ("accept_dad", 0, 0, 0),
        ("accept_dad", 2, 1, 2),
        ("accept_dad", 1, -1, 1),
        ("enhanced_dad", 0, 0, False),
        ("enhanced_dad", 0, 1, True),
        ("ndisc_notify", 1, 0, True),
        ("proxy_ndp", 1, 0, True),
        ("force_mld_version", 2, 1, 2),
        ("force_mld_version", 0, 1, 1),
        ("accept_redirects", 0, 1, True),
        ("accept_redirects", 1, 0, False),
        ("accept_ra", 0, 2, 2),
        ("hop_limit", 1, 9, 9),
    ],
)
def test_ipv6_s_all_and_device_combine_as_in_linux(
    ns: Namespace, key: str, everywhere: int, own: int, effective: int
) -> None:
    """Linux's ip-sysctl: with IPv6 most settings are the device's own alone."""
    ns.sysctl[f"{CONF_6}.all.{key}"] = everywhere
    ns.sysctl[f"{CONF_6}.lan.{key}"] = own
    assert getattr(ns.devices["lan"].conf6, key) == effective


def test_ipv6_forwards_for_the_namespace_and_speaks_as_a_router_by_device(ns: Namespace) -> None:
    """Linux: packets are forwarded when all.forwarding says so; a device's own says whether it is a router's."""
    ns.sysctl[f"{CONF_6}.lan.forwarding"] = 1
    assert (ns.conf.v6.forwarding, ns.devices["lan"].conf6.forwarding) == (False, True)
    ns.sysctl[f"{CONF_6}.all.forwarding"] = 1
    assert ns.conf.v6.forwarding is True
    assert ns.conf.v4.forwarding is ns.conf.ip_forward is False
    assert all(dev.conf6.forwarding for dev in ns.devices.values())
    assert ns.devices["lan"].conf6 is ns.devices["wan.5"].conf6
    assert ns.add("new").conf6.forwarding is True
    ns.sysctl[f"{CONF_6}.new.force_forwarding"] = 1
    del ns.sysctl[f"{CONF_6}.all.forwarding"]
    assert ns.conf is not DEFAULT_NS
    assert ns.conf == DEFAULT_NS
    assert all(at_default(dev) for dev in ns.devices.values())


@pytest.mark.parametrize(
    ("accept_ra", "forwarding", "hears"),
    [(0, 0, False), (1, 0, True), (2, 0, True), (0, 1, False), (1, 1, False), (2, 1, True)],
)
def test_a_router_hears_no_routers_unless_told_to(ns: Namespace, accept_ra: int, forwarding: int, hears: bool) -> None:
    """RFC 4861 6.3.4 is for hosts; accept_ra = 2 makes a router listen (RFC 7084 W-3)."""
    ns.sysctl[f"{CONF_6}.lan.accept_ra"] = accept_ra
    ns.sysctl[f"{CONF_6}.lan.forwarding"] = forwarding
    assert ns.devices["lan"].conf6.hears_routers is hears


def test_a_change_of_ipv6_at_a_device_is_told_once(ns: Namespace) -> None:
    """Who has to follow a change hears of each device that changed, with what was before, and of no other write."""
    told: list[tuple[str, bool, bool]] = []
    ns.sysctl.conf6_changed = lambda dev, before: told.append((dev.name, before.disable_ipv6, dev.conf6.disable_ipv6))
    ns.sysctl[f"{CONF_6}.lan.disable_ipv6"] = 1
    ns.sysctl[f"{CONF_6}.lan.disable_ipv6"] = 1
    ns.sysctl[f"{CONF_6}.default.disable_ipv6"] = 1
    ns.sysctl["net.ipv4.ip_forward"] = 1
    ns.sysctl["net.ipv6.neigh.lan.locktime"] = 1
    assert told == [("lan", False, True)]
    ns.sysctl[f"{CONF_6}.all.disable_ipv6"] = 1
    assert told[1:] == [("lo", False, True), ("wan.5", False, True)]
    assert ns.add("new").conf6.disable_ipv6 is True
    assert len(told) == 3


def test_what_is_told_of_forwarding_holds_for_the_namespace_already(ns: Namespace) -> None:
    """A device that becomes a router's is told when packets are forwarded already."""
    told: list[bool] = []
    ns.sysctl.conf6_changed = lambda dev, before: told.append(ns.conf.v6.forwarding)
    ns.sysctl[f"{CONF_6}.all.forwarding"] = 1
    assert told == [True] * 3


def test_the_other_end_of_a_veth_is_not_asked_whether_it_has_our_address(ns: Namespace) -> None:
    """dad_transmits is 0 by default on veth, 1 elsewhere; what is written for new devices is for these too."""
    veth = ns.add("up", "veth")
    assert (veth.conf6.dad_transmits, ns.devices["lan"].conf6.dad_transmits) == (0, 1)
    assert ns.sysctl[f"{CONF_6}.up.dad_transmits"] == 0
    ns.sysctl[f"{CONF_6}.up.dad_transmits"] = 3
    assert veth.conf6.dad_transmits == 3
    del ns.sysctl[f"{CONF_6}.up.dad_transmits"]
    assert at_default(veth)
    ns.sysctl[f"{CONF_6}.default.dad_transmits"] = 1
    assert (veth.conf6.dad_transmits, ns.add("down", "veth").conf6.dad_transmits) == (0, 1)


def test_lo_detects_no_duplicates(ns: Namespace) -> None:
    """Linux: accept_dad of lo is -1."""
    assert ns.sysctl[f"{CONF_6}.lo.accept_dad"] == -1
    assert (ns.devices["lo"].conf6.accept_dad, DEFAULT_DEV6.accept_dad) == (0, 1)


def test_a_secret_makes_identifiers_stable(ns: Namespace) -> None:
    """RFC 7217 5: the secret is 128 bits; writing it turns addr_gen_mode to 2, as in Linux."""
    ns.sysctl[f"{CONF_6}.lan.stable_secret"] = "2001:db8::1"
    lan, other = ns.devices["lan"].conf6, ns.devices["wan.5"].conf6
    assert (lan.stable_secret, lan.addr_gen_mode) == (0x20010DB8_00000000_00000000_00000001, 2)
    assert (other.stable_secret, other.addr_gen_mode) == (-1, 0)
    assert ns.sysctl[f"{CONF_6}.lan.stable_secret"] == "2001:0db8:0000:0000:0000:0000:0000:0001"
    ns.sysctl[f"{CONF_6}.default.stable_secret"] = "::"
    assert ns.sysctl[f"{CONF_6}.default.addr_gen_mode"] == 0
    assert (other.stable_secret, ns.devices["wan.5"].conf6.addr_gen_mode) == (-1, 2)
    new = ns.add("new").conf6
    assert (new.stable_secret, new.addr_gen_mode) == (0, 2)


def test_the_mtu_of_ipv6_is_the_device_s_until_it_is_written(ns: Namespace) -> None:
    """Linux shows the device's MTU there, and takes no less than IPv6 needs (RFC 8200 5)."""
    name = f"{CONF_6}.lan.mtu"
    lan = ns.devices["lan"]
    assert (ns.sysctl[name], lan.conf6.mtu) == (1500, 0)
    ns.sysctl[name] = 1400
    assert (ns.sysctl[name], lan.conf6.mtu) == (1400, 1400)
    lan.set_mtu(1300)
    assert ns.sysctl[name] == 1300
    del ns.sysctl[name]
    assert (ns.sysctl[name], lan.conf6) == (1300, DEFAULT_DEV6)
    assert ns.sysctl[f"{CONF_6}.default.mtu"] == 1280


def test_types_of_icmpv6_are_a_list(ns: Namespace) -> None:
    """net.ipv6.icmp.ratemask: a list outside, bits inside; Packet Too Big is not held back (RFC 4443 2.4 f)."""
    name = "net.ipv6.icmp.ratemask"
    assert ns.sysctl[name] == "0-1,3-127"
    assert DEFAULT_NS.v6.icmp_ratemask == 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFB
    ns.sysctl[name] = "255, 1,3,2"
    assert ns.sysctl[name] == "1-3,255"
    assert ns.conf.v6.icmp_ratemask == 1 << 255 | 0b1110
    ns.sysctl[name] = 4
    assert ns.conf.of(6).icmp_ratemask == 16
    ns.sysctl[name] = ""
    assert ns.conf.v6.icmp_ratemask == 0
    assert ns.conf.of(4) is DEFAULT_NS.v4


def test_each_family_has_neighbour_settings_of_its_own(ns: Namespace) -> None:
    """net.ipv4.neigh and net.ipv6.neigh have the same names, and nothing in common."""
    ns.sysctl["net.ipv6.neigh.lan.mcast_resolicit"] = 2
    ns.sysctl["net.ipv6.neigh.default.gc_thresh3"] = 7
    lan = ns.devices["lan"]
    assert (lan.neigh_conf6.mcast_resolicit, lan.neigh_conf.mcast_resolicit) == (2, 0)
    assert (ns.conf.v6.gc_thresh3, ns.conf.v4.gc_thresh3) == (7, 1024)
    assert (lan.neigh_conf6.locktime, lan.neigh_conf.locktime) == (0, 1_000_000_000)


def test_an_ipv4_address_keeps_only_ipv4_s_settings(ns: Namespace) -> None:
    """Linux: a configured device keeps IPv4's values; IPv6's neighbours follow ``default`` until written."""
    ns.configure("lan")
    ns.sysctl["net.ipv6.neigh.wan.5.ucast_solicit"] = 3
    for family in (4, 6):
        ns.sysctl[f"net.ipv{family}.neigh.default.ucast_solicit"] = 9
    lan, wan = ns.devices["lan"], ns.devices["wan.5"]
    assert (lan.neigh_conf.ucast_solicit, lan.neigh_conf6.ucast_solicit) == (3, 9)
    assert (wan.neigh_conf.ucast_solicit, wan.neigh_conf6.ucast_solicit) == (9, 3)


def test_multicast_routing_is_shown_where_it_is_on(ns: Namespace) -> None:
    """Linux: mc_forwarding tells what multicast routing does, and cannot be written."""
    ns.sysctl.multicast_routing(6, "lan", True)
    ns.sysctl.multicast_routing(4, "all", True)
    shown = [name for name, value in ns.sysctl.items() if name.endswith(".mc_forwarding") and value]
    assert shown == ["net.ipv4.conf.all.mc_forwarding", "net.ipv6.conf.lan.mc_forwarding"]
    with pytest.raises(ValueError, match="can only be read"):
        del ns.sysctl[f"{CONF_6}.lan.mc_forwarding"]
