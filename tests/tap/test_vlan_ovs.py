"""VLANs between vrouter and Open vSwitch's userspace datapath, over TAPs.

    [ h1 ] ── p1 ─┐                                   ┌─ v10, v20 … : vlan devices
    [ h2 ] ── p2 ─┤ br0 of OVS ── t0 ══ TAP ══ trunk ─┤
    [ h3 ] ── p3 ─┘                                   └─ or a port of a filtering bridge ── q1 ══ TAP ══ [ h4 ]

Open vSwitch runs in a kernel namespace of the test's own, with its database, sockets and logs in a directory of it; no
service of the machine has a part in it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tap.switching import PATIENCE, Bed, Cell, run, until, veth
from vrouter.stack.netns import Netns

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
pytestmark = [
    pytest.mark.tap,
    pytest.mark.tools("ip", "ping", "ethtool", "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"),
]


class Switch:
    """Open vSwitch, with one bridge and hosts; `set_port` says of which VLANs a port is."""

    def __init__(self, bed: Bed, directory: Path) -> None:
        self.bed, self.directory = bed, directory
        self.cell = bed.cell()
        self.hosts: list[Cell] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            **{f"OVS_{name}DIR": str(directory) for name in ("RUN", "LOG", "DB", "SYSCONF")},
        }
        self.database = f"unix:{directory}/db.sock"

    def start(self, program: str, *words: str) -> None:
        command = ("ip", "netns", "exec", self.cell.netns, program, *words, f"--unixctl={self.directory}/{program}.ctl")
        with (self.directory / f"{program}.log").open("wb") as log:
            child = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.children.append(child)

    def up(self) -> None:
        run("ovsdb-tool", "create", f"{self.directory}/conf.db", SCHEMA)
        self.start("ovsdb-server", f"{self.directory}/conf.db", f"--remote=punix:{self.directory}/db.sock")
        until((self.directory / "db.sock").exists, what="the database")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:vlan-limit=2")
        self.start("ovs-vswitchd", self.database)
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=standalone")

    def down(self) -> None:
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def vsctl(self, *words: str) -> str:
        return run("ovs-vsctl", "--timeout=10", f"--db={self.database}", *words)

    def add_port(self, name: str, **settings: str) -> None:
        """Make a link of the cell a port, of these columns of the database."""
        words = [f"{key}={value}" for key, value in settings.items()]
        self.vsctl("add-port", "br0", name, *words)
        number = until(lambda: self.vsctl("get", "interface", name, "ofport").strip())[0]
        assert int(number) > 0

    def set_port(self, name: str, **settings: str) -> None:
        self.vsctl("set", "port", name, *(f"{key}={value}" for key, value in settings.items()))

    def host(self, *addresses: str, **settings: str) -> Cell:
        """One more kernel namespace behind a port."""
        host, port = self.bed.cell(), f"p{len(self.hosts) + 1}"
        self.hosts.append(host)
        veth(self.cell, port, host, "eth0")
        for cell, name in ((self.cell, port), (host, "eth0")):  # AF_PACKET wants finished checksums
            cell.run("ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off")
        for address in addresses:
            host.ip("address", "add", address, "dev", "eth0")
        self.add_port(port, **settings)
        return host

    def trunk(self, ns: Netns, name: str = "trunk", end: str = "t0", **settings: str) -> None:
        """A device of vrouter whose other end is a port."""
        self.bed.tap(ns, name, self.cell, end)
        self.add_port(end, **settings)


@pytest.fixture
def switch(new_name: Callable[[], str], new_netns: Callable[[], str], tmp_path: Path) -> Iterator[Switch]:
    with Bed(new_name, new_netns) as bed:
        one = Switch(bed, tmp_path)
        try:
            one.up()
            yield one
        finally:
            one.down()


def quiet(bed: Bed, name: str, **options: object) -> Netns:
    """A namespace of vrouter whose devices have no IPv6."""
    ns = bed.netns(name, **options)
    bed.on_loop(lambda: ns.sysctl.__setitem__("net.ipv6.conf.default.disable_ipv6", 1))
    return ns


def vlan(bed: Bed, ns: Netns, name: str, parent: str, vid: int, address: str, **options: object) -> None:
    bed.call(ns.add_device, name, kind="vlan", parent=parent, vid=vid, **options)
    if address:
        bed.call(ns.add_address, name, address)


def test_access_ports_and_a_trunk(switch: Switch) -> None:
    """802.1Q: hosts at access ports of two VLANs, the same addresses in both, and a vlan device for each; the trunk's
    own device hears of neither, and neither VLAN of the other."""
    bed = switch.bed
    ten = switch.host("10.0.0.2/24", tag="10")
    twenty = switch.host("10.0.0.2/24", tag="20")
    ns, blue = quiet(bed, "r"), quiet(bed, "blue", accept_from=["r"])
    switch.trunk(ns, trunks="[10,20]", vlan_mode="trunk")
    vlan(bed, ns, "v10", "trunk", 10, "10.0.0.1/24")
    lan20 = bed.call(ns.add_ingress, "trunk", 20, blue, "lan20")  # the tag of another namespace
    bed.call(blue.add_address, "lan20", "10.0.0.1/24")
    assert ten.pings("10.0.0.1")
    assert twenty.pings("10.0.0.1")
    assert bed.pings(ns, "10.0.0.2")
    assert bed.pings(blue, "10.0.0.2")
    heard = [bed.on_loop(lambda dev=dev: [n.mac for n in dev.neigh4.values()]) for dev in (ns.device("v10"), lan20)]
    assert heard == [[bytes.fromhex(host.mac("eth0").replace(":", ""))] for host in (ten, twenty)]
    rows = bed.on_loop(bed.stack.crossings)
    assert {(row["from"], row["to"], row["kind"], row["denied"]) for row in rows} == {
        ("r", "blue", "vlan", 0),
        ("blue", "r", "vlan", 0),
    }
    assert bed.pings(ns, "10.0.0.2", size=1472, dont_fragment=True)  # a tag is no part of the MTU


def test_a_native_vlan(switch: Switch) -> None:
    """A trunk's native VLAN is untagged on the wire: it belongs to the device itself, the others to their devices."""
    bed = switch.bed
    native = switch.host("10.0.1.2/24", tag="1")
    ten = switch.host("10.0.2.2/24", tag="10")
    ns = quiet(bed, "r")
    switch.trunk(ns, vlan_mode="native-untagged", tag="1", trunks="[1,10]")
    bed.call(ns.add_address, "trunk", "10.0.1.1/24")
    vlan(bed, ns, "v10", "trunk", 10, "10.0.2.1/24")
    assert native.pings("10.0.1.1")
    assert ten.pings("10.0.2.1")
    bed.on_loop(lambda: ns.sysctl.__setitem__("net.ipv4.ip_forward", 1))
    native.ip("route", "add", "default", "via", "10.0.1.1")
    ten.ip("route", "add", "default", "via", "10.0.2.1")
    assert native.pings("10.0.2.2")  # from untagged to tagged, and back
    # The same VLAN with its tag: OVS takes it for VLAN 1, and so does a vlan device once there is one.
    switch.set_port("t0", vlan_mode="native-tagged")
    assert not native.pings("10.0.1.1", count=1, wait=0.3)
    bed.call(ns.del_address, "trunk", "10.0.1.1/24")
    vlan(bed, ns, "v1", "trunk", 1, "10.0.1.1/24")
    assert native.pings("10.0.1.1")


def test_a_trunk_between_filtering_bridges(switch: Switch) -> None:
    """802.1Q 8.8: two switches, a trunk with a native VLAN between them, and access ports of three VLANs at each; each
    host reaches those of its VLAN behind the other switch, and nobody else."""
    bed = switch.bed
    ns = quiet(bed, "r")
    bed.call(ns.add_device, "br0", kind="bridge")
    bed.call(ns.set_bridge, "br0", vlan_filtering=True)
    switch.trunk(ns, vlan_mode="native-untagged", tag="1", trunks="[1,10,20]")
    bed.call(ns.set_port, "trunk", bridge="br0", pvid=1, untagged=[1], tagged=[10, 20])
    pairs = []
    for number, vid in enumerate((1, 10, 20)):
        theirs = switch.host("10.0.0.2/24", tag=str(vid))
        ours = bed.cell()
        bed.tap(ns, f"q{vid}", ours, "eth0")
        bed.call(ns.set_port, f"q{vid}", bridge="br0", pvid=vid, untagged=[vid], tagged=[])
        ours.ip("address", "add", f"10.0.0.{3 + number}/24", "dev", "eth0")
        pairs.append((theirs, ours))
    for number, (theirs, ours) in enumerate(pairs):
        assert theirs.pings(f"10.0.0.{3 + number}")
        assert ours.pings("10.0.0.2")
        assert ours.mac_of("10.0.0.2") == theirs.mac("eth0")
        others = [f"10.0.0.{3 + other}" for other in range(3) if other != number]
        assert [theirs.pings(other, count=1, wait=0.3) for other in others] == [False, False]
    # The host of the bridge is a member, too, by a vlan device over it: tagged VLAN 10, and untagged the default.
    bed.call(ns.add_address, "br0", "10.0.0.1/24")
    assert pairs[0][0].pings("10.0.0.1")
    bed.call(ns.del_address, "br0", "10.0.0.1/24")
    vlan(bed, ns, "v10", "br0", 10, "10.0.0.1/24")
    assert pairs[1][0].pings("10.0.0.1")
    assert not pairs[2][0].pings("10.0.0.1", count=1, wait=0.3)
    assert {row["vlan"] for row in bed.on_loop(ns.fdb) if row["state"] == "dynamic"} == {1, 10, 20}


@pytest.mark.parametrize(("ethertype", "protocol"), [("802.1ad", "802.1ad"), ("802.1q", "802.1Q")])
def test_a_tunnel_of_tags(switch: Switch, ethertype: str, protocol: str) -> None:
    """802.1ad: what comes in by a tunnel port gets an outer tag, whatever tags it has; here vlan devices over vlan
    devices take both off, by the protocol of each."""
    bed = switch.bed
    ns, customer = quiet(bed, "r"), quiet(bed, "customer")
    switch.trunk(ns, trunks="[100]", vlan_mode="trunk")
    # The customer's trunk, untagged and tagged, at a tunnel port of OVS: a device of another namespace here.
    switch.cell.ip("link", "set", "t0", "mtu", "1508")  # Linux counts tags that are not 802.1Q's outer one
    bed.tap(customer, "up", switch.cell, "t1")
    switch.add_port("t1", vlan_mode="dot1q-tunnel", tag="100", **{"other_config:qinq-ethtype": ethertype})
    bed.call(customer.add_address, "up", "10.0.0.2/24")
    vlan(bed, customer, "up7", "up", 7, "10.0.7.2/24")
    vlan(bed, ns, "s100", "trunk", 100, "10.0.0.1/24", protocol=protocol)
    vlan(bed, ns, "c7", "s100", 7, "10.0.7.1/24")
    for one, there in ((ns, 2), (customer, 1)):
        assert bed.pings(one, f"10.0.0.{there}")
        assert bed.pings(one, f"10.0.7.{there}")
        assert bed.pings(one, f"10.0.7.{there}", size=1472, dont_fragment=True)  # two tags, and the whole MTU


def test_tags_are_handed_to_a_tunnel(switch: Switch) -> None:
    """A bridge without VLAN filtering passes tags on as they are, one or two: OVS behind it finds its VLANs."""
    bed = switch.bed
    ten = switch.host("10.0.0.2/24", tag="10")
    ns, end = quiet(bed, "r"), quiet(bed, "end")
    bed.call(ns.add_device, "br0", kind="bridge")
    switch.trunk(ns, trunks="[10]", vlan_mode="trunk")
    bed.call(ns.set_port, "trunk", bridge="br0")
    bed.call(bed.stack.add_veth, ns, "x", end, "y")
    bed.call(ns.set_port, "x", bridge="br0")
    vlan(bed, end, "v10", "y", 10, "10.0.0.1/24")
    assert ten.pings("10.0.0.1")
    assert bed.pings(end, "10.0.0.2")
    stray = bed.on_loop(ns.drop_counts)
    assert "VLAN_NOT_ALLOWED" not in stray
