"""The settings beside those of the running kernel, in a kernel namespace of the test's own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vrouter.stack import sysctl
from vrouter.stack.device import Address, Device
from vrouter.stack.sysctl import DEFAULT_NS, SysctlTable

pytestmark = [pytest.mark.tap, pytest.mark.tools("unshare", "ip")]

# Kernels differ in these: they were changed in 6.x, or belong to the whole machine.
DIFFERING = {
    "net.ipv6.icmp.ratelimit",
    "net.core.rmem_default", "net.core.rmem_max", "net.core.wmem_default", "net.core.wmem_max",
    "net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst",
    # These follow the machine's memory, or what its distribution chose.
    "net.ipv4.tcp_mem", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_max_syn_backlog", "net.ipv4.tcp_max_orphans", "net.ipv4.tcp_congestion_control",
    # These differ on purpose (docs/differences.md), or in what says "none".
    "net.ipv4.tcp_challenge_ack_limit", "net.ipv4.tcp_mtu_probing", "net.ipv4.tcp_fastopen_key",
}  # fmt: skip

# Runs inside the namespace: performs each step and prints every setting after it.
INSIDE = """
import json, pathlib, subprocess, sys
names, steps = json.load(sys.stdin)
def path(name):
    parts = name.split(".")
    return pathlib.Path("/proc/sys", *parts)
def show():
    found = {}
    for name in names:
        try:
            found[name] = path(name).read_text().rstrip("\\n")
        except FileNotFoundError:
            pass
        except OSError:  # a secret that there is not
            found[name] = ""
    return found
def perform(what, *rest):
    if what == "set":
        try:
            path(rest[0]).write_text(f"{rest[1]}\\n")
            return "ok"
        except OSError:
            return "refused"
    command = {
        "add": "ip link add name {0} type veth peer name {0}p",
        "address": "ip address add 10.0.0.1/24 dev {0}",
        "mtu": "ip link set dev {0} mtu {1}",
        "delete": "ip link delete dev {0}",
    }[what]
    subprocess.run(command.format(*rest).split(), check=True)
    return "ok"
print(json.dumps([(perform(*step), show()) for step in steps]))
"""


class Namespace:
    """What the table and a device need of a namespace; performs the same steps."""

    def __init__(self) -> None:
        self.name = "red"
        self.conf = DEFAULT_NS
        self.closing = False
        self.devices: dict[str, Device] = {}
        self.sysctl = SysctlTable(self)
        self.add("lo", "lo", 65536)

    def add(self, name: str, kind: str = "tap", mtu: int = 1500) -> None:  # a veth of ours has a default of its own
        dev = self.devices[name] = Device(self, name, kind, len(self.devices) + 1, bytes(6), mtu)
        self.sysctl.device_added(dev)

    def perform(self, what: str, name: str, value: Any = None) -> str:
        if what == "set":
            try:
                self.sysctl[name] = value
            except ValueError:
                return "refused"
        elif what == "add":
            self.add(name)
            self.add(f"{name}p")
        elif what == "mtu":
            self.devices[name].set_mtu(value)
        elif what == "address":
            dev = self.devices[name]
            dev.addresses.append(Address(dev, 4, 0x0A000001, 24, "global", -1))
        else:
            for gone in (name, f"{name}p"):
                del self.devices[gone]
                self.sysctl.device_removed(gone)
        return "ok"


def compare(steps: list[tuple[Any, ...]], names: list[str]) -> None:
    """Perform the steps on both sides; after each one the answer and every setting must be the same."""
    run = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", INSIDE],
        input=json.dumps([names, steps]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    ours = Namespace()
    for step, (answer, shown) in zip(steps, json.loads(run.stdout), strict=True):
        assert (step, ours.perform(*step)) == (step, answer)
        mine = {name: str(value) for name, value in ours.sysctl.items() if name in shown}
        assert {"after": step, **mine} == {"after": step, **shown}
        assert len(shown) > 40


ALL = [name for name in sysctl.names(["lo", "a", "ap", "b", "bp"]) if name not in DIFFERING]


def test_defaults_are_the_running_kernel_s() -> None:
    """Settings default as in Linux."""
    compare([("add", "a")], ALL)


def test_forwarding_and_redirects_are_passed_on_as_by_the_kernel() -> None:
    """ip_forward, all.forwarding, default.forwarding and a device's own, in the orders in which they meet."""
    compare(
        [
            ("add", "a"),
            ("set", "net.ipv4.conf.a.forwarding", 1),
            ("set", "net.ipv4.ip_forward", 1),
            ("set", "net.ipv4.conf.a.forwarding", 0),
            ("set", "net.ipv4.conf.all.accept_redirects", 1),
            ("set", "net.ipv4.ip_forward", 1),
            ("add", "b"),
            ("set", "net.ipv4.conf.default.forwarding", 0),
            ("set", "net.ipv4.conf.all.forwarding", 0),
            ("set", "net.ipv4.conf.default.forwarding", 1),
            ("delete", "b"),
            ("add", "b"),
            ("set", "net.ipv4.conf.all.forwarding", 1),
        ],
        ALL,
    )


def test_default_reaches_the_devices_that_the_kernel_s_reaches() -> None:
    """conf.default and the devices of before and after, with and without an own value and an address."""
    compare(
        [
            ("add", "a"),
            ("set", "net.ipv4.conf.default.rp_filter", 1),
            ("add", "b"),
            ("set", "net.ipv4.conf.bp.rp_filter", 0),
            ("set", "net.ipv4.conf.default.rp_filter", 2),
            ("address", "a"),
            ("set", "net.ipv4.conf.default.rp_filter", 0),
            ("set", "net.ipv4.conf.default.send_redirects", 0),
            ("set", "net.ipv4.conf.all.send_redirects", 0),
            ("delete", "b"),
            ("set", "net.ipv4.conf.default.arp_ignore", 2),
            ("add", "b"),
            ("set", "net.ipv4.conf.default.arp_ignore", 1),
        ],
        ALL,
    )


def test_what_all_passes_on_in_ipv6() -> None:
    """forwarding, disable_ipv6, addr_gen_mode of ``all`` go to ``default`` and each device, also when written again."""
    conf = "net.ipv6.conf"
    steps: list[tuple[Any, ...]] = [("add", "a")]
    for key in ("forwarding", "disable_ipv6", "addr_gen_mode"):
        steps += [
            ("set", f"{conf}.a.{key}", 1),
            ("set", f"{conf}.all.{key}", 1),
            ("set", f"{conf}.a.{key}", 0),
            ("set", f"{conf}.all.{key}", 1),
            ("set", f"{conf}.default.{key}", 0),
            ("add", "b"),
            ("set", f"{conf}.all.{key}", 0),
            ("delete", "b"),
        ]
    compare(steps, ALL)


def test_default_of_ipv6_is_for_devices_to_come() -> None:
    """net.ipv6.conf.default and .all reach no device that exists."""
    conf = "net.ipv6.conf"
    compare(
        [
            ("add", "a"),
            ("set", f"{conf}.default.hop_limit", 33),
            ("set", f"{conf}.default.accept_dad", 2),
            ("set", f"{conf}.all.accept_ra", 0),
            ("set", f"{conf}.default.accept_ra", 2),
            ("set", f"{conf}.default.mtu", 1300),
            ("add", "b"),
            ("set", f"{conf}.default.hop_limit", 34),
        ],
        ALL,
    )


def test_a_secret_turns_to_stable_identifiers() -> None:
    """stable_secret of a device and of ``default``, and what addr_gen_mode becomes of it."""
    conf = "net.ipv6.conf"
    compare(
        [
            ("add", "a"),
            ("set", f"{conf}.a.stable_secret", "2001:db8::1"),
            ("set", f"{conf}.a.stable_secret", "secret"),
            ("set", f"{conf}.a.stable_secret", ""),
            ("set", f"{conf}.a.addr_gen_mode", 0),
            ("set", f"{conf}.default.stable_secret", "::"),
            ("set", f"{conf}.all.addr_gen_mode", 0),
            ("add", "b"),
        ],
        ALL,
    )


def test_the_ipv6_mtu_of_a_device() -> None:
    """mtu is the device's, and becomes it again with each change of that."""
    conf = "net.ipv6.conf"
    compare(
        [
            ("add", "a"),
            ("set", f"{conf}.a.mtu", 1279),
            ("set", f"{conf}.a.mtu", 1400),
            ("mtu", "a", 1300),
            ("set", f"{conf}.all.mtu", 1400),
        ],
        ALL,
    )


def test_forwarding_by_force_ends_with_forwarding() -> None:
    """all.force_forwarding goes to each device, and all.forwarding = 0 takes it back everywhere."""
    conf = "net.ipv6.conf"
    if not Path("/proc/sys/net/ipv6/conf/all/force_forwarding").exists():
        pytest.skip("force_forwarding came with Linux 6.17")
    compare(
        [
            ("add", "a"),
            ("set", f"{conf}.all.force_forwarding", 1),
            ("set", f"{conf}.ap.force_forwarding", 0),
            ("set", f"{conf}.a.force_forwarding", 2),
            ("set", f"{conf}.default.force_forwarding", 1),
            ("add", "b"),
            ("set", f"{conf}.all.forwarding", 1),
            ("set", f"{conf}.all.forwarding", 0),
            ("set", f"{conf}.bp.force_forwarding", 1),
            ("set", f"{conf}.all.forwarding", 0),
        ],
        ALL,
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("net.ipv4.ip_default_ttl", [0, 1, 255, 256, -1, "x"]),
        ("net.ipv4.ip_local_port_range", ["2000 1000", "1024 65535", "0 70000", "40000 50000"]),
        ("net.ipv4.ip_local_reserved_ports", ["8080,9000-9100", "5-4", "70000", "1-2,5", ""]),
        ("net.ipv4.icmp_echo_ignore_all", [1, 0, 2, -1]),
        ("net.ipv4.icmp_errors_use_inbound_ifaddr", [1, 0]),
        ("net.ipv4.icmp_ratelimit", [-1, 0, 1000]),
        ("net.ipv4.icmp_ratemask", [-1, 0, 6168]),
        ("net.ipv4.ipfrag_time", [5, 60]),
        ("net.ipv4.neigh.a.unres_qlen", [-1, 0, 7]),
        ("net.ipv4.neigh.a.gc_stale_time", [1, 90]),
        ("net.ipv4.conf.a.rp_filter", ["x", 2, 1]),
        ("net.ipv4.igmp_qrv", [0, 1, 7]),
        ("net.ipv4.fib_multipath_use_neigh", [1, 2]),
        ("net.ipv4.conf.a.mc_forwarding", [0, 1]),
        ("net.ipv4.conf.a.igmpv2_unsolicited_report_interval", [1, 20000]),
        ("net.ipv4.neigh.a.mcast_resolicit", [-1, 0, 3]),
        ("net.ipv6.icmp.ratemask", ["3,1", "0-255", "0-256", "5-3", "", "1-2,3"]),
        ("net.ipv6.auto_flowlabels", [4, 3, 0]),
        ("net.ipv6.max_dst_opts_number", [-8, 0, 2**31]),
        ("net.ipv6.max_hbh_length", [0, 2**31 - 1]),
        ("net.ipv6.ip6frag_time", [1, 90]),
        ("net.ipv6.neigh.a.locktime", [0, 100]),
        ("net.ipv6.conf.a.hop_limit", [0, 1, 255, 256]),
        ("net.ipv6.conf.a.accept_ra", [2, 0, "x"]),
        ("net.ipv6.conf.a.ra_defrtr_metric", [0, 1]),
        ("net.ipv6.conf.a.router_solicitations", [-2, -1, 3]),
        ("net.ipv6.conf.a.router_solicitation_max_interval", [1, 7200]),
        ("net.ipv6.conf.a.ndisc_tclass", [256, 255]),
        ("net.ipv6.conf.a.addr_gen_mode", [4, 1]),
        ("net.ipv4.ip_no_pmtu_disc", [3, 2, 1, 0, -1]),
        ("net.ipv6.conf.a.mldv1_unsolicited_report_interval", [-1, 500]),
        ("net.ipv6.conf.a.mc_forwarding", [0, 1]),
    ],
)
def test_values_are_taken_and_refused_as_by_the_kernel(name: str, values: list[Any]) -> None:
    """The bounds, and the text in which a value reads back."""
    compare([("add", "a"), *(("set", name, value) for value in values)], ALL)
