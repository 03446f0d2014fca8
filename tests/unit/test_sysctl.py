"""Settings by their Linux names, and the plain values that come of them."""

import pytest

from vrouter.stack import sysctl
from vrouter.stack.device import Address, Device
from vrouter.stack.sysctl import DEFAULT_DEV4, DEFAULT_NEIGH, DEFAULT_NS, SysctlTable

CONF = "net.ipv4.conf"


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

    def add(self, name: str) -> Device:
        dev = self.devices[name] = Device(self, name, "veth", len(self.devices) + 1, bytes(6), 1500)
        self.sysctl.device_added(dev)
        return dev

    def configure(self, name: str) -> None:
        dev = self.devices[name]
        dev.addresses.append(Address(dev, 4, 0x0A000001, 24, "global", -1))


@pytest.fixture
def ns() -> Namespace:
    return Namespace("lo", "lan", "wan.5")


def test_until_the_first_write_everybody_shares_the_defaults(ns: Namespace) -> None:
    """A namespace costs no copy of the settings before somebody writes one."""
    assert ns.conf is DEFAULT_NS
    assert all(dev.conf4 is DEFAULT_DEV4 and dev.neigh_conf is DEFAULT_NEIGH for dev in ns.devices.values())


def test_defaults_are_those_of_linux(ns: Namespace) -> None:
    """Settings start as in Linux: a host, not a router, until forwarding is switched on."""
    assert ns.sysctl["net.ipv4.ip_forward"] == 0
    assert ns.sysctl["net.ipv4.ip_default_ttl"] == 64
    assert ns.sysctl["net.ipv4.icmp_ratemask"] == 6168
    assert ns.sysctl["net.ipv4.ip_local_port_range"] == "32768\t60999"
    assert ns.sysctl["net.ipv4.neigh.lan.locktime"] == 100
    assert ns.sysctl["net.ipv4.conf.lan.accept_redirects"] == 1
    assert DEFAULT_NEIGH.locktime == 1_000_000_000
    assert DEFAULT_NS.icmp_ratelimit == 1_000_000_000


def test_every_default_of_the_table_is_the_default_of_its_conf_object(ns: Namespace) -> None:
    """The two lists, of names and of attributes, say the same: writing each default back changes no value."""
    for name, value in list(ns.sysctl.items()):
        ns.sysctl[name] = value
    assert ns.conf == DEFAULT_NS
    assert all(dev.conf4 is DEFAULT_DEV4 and dev.neigh_conf is DEFAULT_NEIGH for dev in ns.devices.values())


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
    assert len(ns.sysctl._confs) <= 64
    assert len(ns.sysctl._set) == 1
