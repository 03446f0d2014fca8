"""The kernel's end of TAPs on the running kernel.

Tap (fd) ══ TAP ── moved ──► [ kernel namespace: eth0, lo ]
"""

import errno
import ipaddress
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vrouter import kernel_netns
from vrouter.config.records import HostConfig, HostRoute
from vrouter.errors import PrivilegeError
from vrouter.kernel import HostEnd, new_group, remove_host_ends, setup_host_end
from vrouter.rtnetlink import LinkChange, LinkMonitor, Rtnetlink
from vrouter.tap import GONE, WRITTEN, Tap, close_taps, find_link

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
NO_NETNS = ("setpriv", "--bounding-set=-sys_admin")

Opener = Callable[..., Tap]
Inside = Callable[[Callable[[], Any]], Any]


def host(netns: str | None = None, **others: Any) -> HostConfig:
    addresses = [ipaddress.IPv4Interface(text) for text in others.pop("addresses", ("10.0.1.2/24",))]
    routes = [
        HostRoute(
            to=ipaddress.IPv4Network("0.0.0.0/0" if to == "default" else to),
            via=ipaddress.IPv4Address(via) if via else None,
            src=ipaddress.IPv4Address(src) if src else None,
        )
        for to, via, src in others.pop("routes", ())
    ]
    return HostConfig(netns=netns, addresses=tuple(addresses), routes=tuple(routes), **others)


@pytest.fixture
def set_up() -> Iterator[Callable[..., HostEnd]]:
    """Sets up ends and removes them at the end."""
    ends: list[HostEnd] = []

    def one(ifname: str, settings: HostConfig | None, mtu: int = 1500, group: int = 0) -> HostEnd:
        ends.append(setup_host_end(ifname, settings, mtu=mtu, group=group))
        return ends[-1]

    yield one
    assert remove_host_ends(ends) == []


def named(netns: str) -> bool:
    return os.path.exists(f"{kernel_netns.DIRECTORY}/{netns}")


def links_in(netns: str) -> set[str]:
    with kernel_netns.opened(netns) as netns_fd:
        return {link.name for link in kernel_netns.call_in(netns_fd, kernel_netns._links)}


def test_groups_are_out_of_the_way_and_differ() -> None:
    """Two routers never share a link group, nor have one that people use."""
    groups = {new_group() for _ in range(1000)}
    assert len(groups) == 1000
    assert min(groups) >= 0x4000_0000
    assert max(groups) <= 0x7FFF_FFFF


def test_without_host_the_link_goes_up(open_tap: Opener, set_up: Callable[..., HostEnd]) -> None:
    """A TAP without `host` works as soon as the router runs: up, with the device's MTU, in the router's link group."""
    tap, group = open_tap(), new_group()
    end = set_up(tap.ifname, None, mtu=1300, group=group)
    link = find_link(tap.ifname)
    assert (link.up, link.mtu, link.group) == (True, 1300, group)
    assert end == HostEnd(tap.ifname, tap.ifname, link.index, None, group)
    assert tap.write(bytes(80)) == WRITTEN


def test_host_netns_is_made_filled_and_removed(
    open_tap: Opener, new_name: Callable[[], str], set_up: Callable[..., HostEnd], ip: Callable[..., str]
) -> None:
    """`host` moves the TAP to a kernel namespace, made with `lo` up when missing and then removed at exit."""
    tap, netns, group = open_tap(), new_name(), new_group()
    settings = host(
        netns,
        ifname="eth0",
        addresses=("10.0.1.2/24", "10.200.1.2/32"),
        routes=(("default", "10.0.1.1", "10.200.1.2"), ("10.99.0.0/16", None, None)),
    )
    end = set_up(tap.ifname, settings, mtu=1400, group=group)
    assert (end.tap, end.ifname, end.netns, end.group) == (tap.ifname, "eth0", netns, group)
    assert find_link(tap.ifname) is None
    found = {link["ifname"]: link for link in json.loads(ip("-j", "-n", netns, "address", "show"))}
    assert set(found) == {"lo", "eth0"}
    assert "UP" in found["lo"]["flags"]
    assert "UP" in found["eth0"]["flags"]
    assert (found["eth0"]["mtu"], found["eth0"]["ifindex"], found["eth0"]["group"]) == (1400, end.ifindex, str(group))
    addresses = [f"{each['local']}/{each['prefixlen']}" for each in found["eth0"]["addr_info"]]
    assert addresses == ["10.0.1.2/24", "10.200.1.2/32"]  # and no IPv6 that nobody asked for
    routes = {route["dst"]: route for route in json.loads(ip("-j", "-n", netns, "route", "show"))}
    assert set(routes) == {"default", "10.0.1.0/24", "10.99.0.0/16"}
    assert (routes["default"]["gateway"], routes["default"]["prefsrc"]) == ("10.0.1.1", "10.200.1.2")
    assert "gateway" not in routes["10.99.0.0/16"]
    assert remove_host_ends([end]) == []
    assert not named(netns)
    assert tap.write(bytes(80)) == GONE


@pytest.mark.tools("ping")
def test_a_real_client_is_heard_through_a_moved_tap(
    open_tap: Opener, new_name: Callable[[], str], set_up: Callable[..., HostEnd]
) -> None:
    """The descriptor goes on working after the move: ping's ARP request comes out, and nothing before it."""
    tap, netns = open_tap(), new_name()
    set_up(tap.ifname, host(netns, ifname="eth0"), group=new_group())
    subprocess.run(["ip", "netns", "exec", netns, "ping", "-c1", "-W1", "10.0.1.9"], capture_output=True)
    frames = tap.read_burst(1)
    assert [frame[12:18] for frame in frames] == [b"\xff" * 6]
    assert frames[0][24:26] == b"\x08\x06"
    assert frames[0][12 + 14 + 24 :][:4] == ipaddress.IPv4Address("10.0.1.9").packed


def test_a_netns_lasts_until_the_last_router_leaves(open_tap: Opener, new_name: Callable[[], str]) -> None:
    """Removing one end leaves the others of its group, and the namespace stays while any router has a TAP in it."""
    netns, ours, theirs = new_name(), new_group(), new_group()
    taps = [open_tap() for _ in range(3)]
    ends = [
        setup_host_end(tap.ifname, host(netns, addresses=()), mtu=1500, group=group)
        for tap, group in zip(taps, (ours, ours, theirs), strict=True)
    ]
    for left in (3, 2, 1):
        assert links_in(netns) == {"lo", *(tap.ifname for tap in taps[-left:])}
        assert remove_host_ends([ends[-left]]) == []
    assert not named(netns)


def test_a_netns_of_somebody_else_is_used_and_stays(
    open_tap: Opener, new_netns: Callable[[], str], set_up: Callable[..., HostEnd]
) -> None:
    """Only a kernel namespace that a router made is removed."""
    netns, tap = new_netns(), open_tap()
    end = set_up(tap.ifname, host(netns, ifname="eth0"), group=new_group())
    assert links_in(netns) >= {"lo", "eth0"}
    assert remove_host_ends([end]) == []
    assert named(netns)
    assert "eth0" not in links_in(netns)


SET_UP_AND_WAIT = """
import sys
from vrouter.config.records import HostConfig
from vrouter.kernel import new_group, setup_host_end
from vrouter.tap import Tap
tap = Tap(sys.argv[1])
setup_host_end(sys.argv[1], HostConfig(netns=sys.argv[2], ifname="eth0"), mtu=1500, group=new_group())
print("ready", flush=True)
input()
"""


def test_leftovers_of_a_killed_router_are_taken_over(
    open_tap: Opener, new_name: Callable[[], str], start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    """After a SIGKILL the next start succeeds over its own leftovers, and its exit removes them."""
    name, netns = new_name(), new_name()
    router = start_python(SET_UP_AND_WAIT, name, netns)
    assert router.stdout.readline() == "ready\n"
    router.send_signal(signal.SIGKILL)
    router.wait()
    assert links_in(netns) == {"lo"}
    tap = open_tap(name)
    end = setup_host_end(name, host(netns, ifname="eth0"), mtu=1500, group=new_group())
    assert tap.write(bytes(80)) == WRITTEN
    assert remove_host_ends([end]) == []
    assert not named(netns)


def test_a_netns_whose_maker_was_killed_halfway_is_taken_over(
    open_tap: Opener, new_name: Callable[[], str], set_up: Callable[..., HostEnd]
) -> None:
    """The file of a namespace that was never mounted carries the router's mark and is no obstacle."""
    os.makedirs(kernel_netns.DIRECTORY, exist_ok=True)
    netns, tap = new_name(), open_tap()
    Path(kernel_netns.DIRECTORY, netns).write_text(kernel_netns.MARK)
    set_up(tap.ifname, host(netns, ifname="eth0"), group=new_group())
    assert links_in(netns) == {"lo", "eth0"}


def test_a_file_of_somebody_else_is_refused(open_tap: Opener, new_name: Callable[[], str]) -> None:
    """What is no namespace and not ours is left alone, and the error says how to get rid of it."""
    os.makedirs(kernel_netns.DIRECTORY, exist_ok=True)
    netns, tap = new_name(), open_tap()
    path = Path(kernel_netns.DIRECTORY, netns)
    path.touch()
    try:
        with pytest.raises(FileExistsError, match=rf"no kernel namespace.*ip netns del {netns}"):
            setup_host_end(tap.ifname, host(netns), mtu=1500, group=new_group())
        assert path.exists()
    finally:
        path.unlink()
    assert find_link(tap.ifname) is not None


@pytest.mark.parametrize("netns", ["", ".", "..", "a/b", "a" * 256, "a\0b"])
def test_names_that_no_netns_can_have(open_tap: Opener, netns: str) -> None:
    """A name is one file name below /run/netns, never a path out of it."""
    with pytest.raises(ValueError, match="cannot be the name of a kernel namespace"):
        setup_host_end(open_tap().ifname, host(netns), mtu=1500, group=new_group())


def test_a_name_taken_in_the_netns_is_refused_with_its_holder(
    open_tap: Opener, new_name: Callable[[], str], set_up: Callable[..., HostEnd], ip: Callable[..., str]
) -> None:
    """A name held by somebody else is refused with who holds it; the TAP has not moved and others are untouched."""
    first, second, third, netns = open_tap(), open_tap(), open_tap(), new_name()
    set_up(first.ifname, host(netns, ifname="eth0"), group=new_group())
    ip("-n", netns, "link", "add", "name", "eth1", "type", "bridge")
    by_us = f"interface eth0 exists already in kernel namespace {netns}: it is a TAP held by this process itself"
    with pytest.raises(FileExistsError, match=by_us):
        setup_host_end(second.ifname, host(netns, ifname="eth0"), mtu=1500, group=new_group())
    with pytest.raises(FileExistsError, match=r"interface eth1 exists already .*: it is of kind bridge"):
        setup_host_end(third.ifname, host(netns, ifname="eth1"), mtu=1500, group=new_group())
    assert find_link(second.ifname) is not None
    assert links_in(netns) == {"lo", "eth0", "eth1"}


@pytest.mark.parametrize(
    ("settings", "mtu", "text"),
    [
        ({"routes": (("default", "10.9.9.9", None),)}, 1500, r"route to 0\.0\.0\.0/0: .*gateway"),
        ({"routes": (("10.2.0.0/16", None, "10.9.9.9"),)}, 1500, r"route to 10\.2\.0\.0/16: .*prefsrc"),
        ({}, 70_000, "mtu greater than device maximum"),
    ],
)
def test_a_failed_set_up_leaves_nothing(
    open_tap: Opener, new_name: Callable[[], str], settings: dict[str, Any], mtu: int, text: str
) -> None:
    """The error carries the kernel's own text, and the namespace made for it is gone again."""
    tap, netns = open_tap(), new_name()
    with pytest.raises(OSError, match=f"(?i)TAP {tap.ifname} in kernel namespace {netns}: .*{text}"):
        setup_host_end(tap.ifname, host(netns, **settings), mtu=mtu, group=new_group())
    assert not named(netns)


def test_without_netns_the_end_stays_where_the_process_runs(inside: Inside, new_name: Callable[[], str]) -> None:
    """The sidecar's case: name, address and route where the process runs; another default route is not replaced."""
    name = new_name()

    def check() -> None:
        tap, group = Tap(name), new_group()
        settings = host(ifname="eth0", routes=(("default", "10.0.1.1", None),))
        end = setup_host_end(name, settings, mtu=1450, group=group)
        assert (end.ifname, end.netns, end.addresses) == ("eth0", None, ())
        link = find_link("eth0")
        assert (link.up, link.mtu, link.group, link.index) == (True, 1450, group, end.ifindex)
        second = Tap(name)
        other = host(ifname="eth1", addresses=("10.0.2.2/24",), routes=(("default", "10.0.2.1", None),))
        with pytest.raises(FileExistsError, match=r"route to 0\.0\.0\.0/0: File exists"):
            setup_host_end(name, other, mtu=1500, group=group)
        with Rtnetlink() as rtnetlink:
            assert len([each for each in rtnetlink.links() if each.group == group]) == 2
        assert remove_host_ends([end]) == []
        assert find_link("eth0") is None
        assert find_link("eth1") is not None
        close_taps([tap, second])

    inside(check)


def test_a_tap_of_somebody_else_keeps_its_place_and_gets_back_its_addresses(
    inside: Inside, new_name: Callable[[], str]
) -> None:
    """What the router added to a TAP that it did not make is taken away, and nothing else."""
    name = new_name()

    def check() -> None:
        subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap"], check=True)
        subprocess.run(["ip", "address", "add", "10.0.9.2/24", "dev", name], check=True)
        tap = Tap(name)
        for refused in (host("elsewhere"), host(ifname="eth0")):
            with pytest.raises(FileExistsError, match=r"host\.netns and host\.ifname cannot be used on it"):
                setup_host_end(name, refused, mtu=1500, group=0)
        settings = host(addresses=("10.0.1.2/24", "10.0.9.2/24"), routes=(("10.2.0.0/16", "10.0.1.1", None),))
        end = setup_host_end(name, settings, mtu=1500, group=0)
        assert end.addresses == (ipaddress.IPv4Interface("10.0.1.2/24"),)
        assert setup_host_end(name, settings, mtu=1500, group=0).addresses == ()
        assert remove_host_ends([end]) == []
        assert remove_host_ends([end]) == []
        tap.close()
        shown = subprocess.run(["ip", "-4", "-o", "address", "show", name], check=True, capture_output=True, text=True)
        assert [line.split()[3] for line in shown.stdout.splitlines()] == ["10.0.9.2/24"]

    inside(check)


def test_a_tap_that_is_missing(new_name: Callable[[], str]) -> None:
    """ENODEV with the name."""
    name = new_name()
    with pytest.raises(OSError, match=f"TAP {name} does not exist") as caught:
        setup_host_end(name, None, mtu=1500, group=0)
    assert caught.value.errno == errno.ENODEV


SET_UP_AND_TELL = """
import sys
from ipaddress import IPv4Interface
from vrouter.config.records import HostConfig
from vrouter.errors import PrivilegeError
from vrouter.kernel import setup_host_end
name, netns, addresses, group = sys.argv[1:]
host = HostConfig(netns=netns or None, addresses=(IPv4Interface(addresses),)) if addresses else None
try:
    print(*setup_host_end(name, host, mtu=1400, group=int(group)).warnings, sep="\\n")
except PrivilegeError as error:
    print(error)
"""


@pytest.mark.tools("setpriv")
def test_without_privileges_an_own_tap_runs_with_a_warning(
    new_link: Callable[..., str], outcome: Callable[..., str], ip: Callable[..., str]
) -> None:
    """A persistent TAP needs no privileges; if it is not up as configured, the warning says what its owner can do."""
    name = new_link("tuntap", "mode", "tap", "user", "0")
    told = outcome(SET_UP_AND_TELL, name, "", "", "0", under=NO_CAPABILITIES)
    assert told == (
        f"TAP {name}: needs CAP_NET_ADMIN, or beforehand: ip link set {name} up mtu 1400 "
        "(it is down with an MTU of 1500 bytes instead of up with 1400)"
    )
    ip("link", "set", name, "up", "mtu", "1400")
    assert outcome(SET_UP_AND_TELL, name, "", "", "0", under=NO_CAPABILITIES) == ""


@pytest.mark.tools("setpriv")
def test_missing_privileges_name_the_capability(
    new_link: Callable[..., str], new_name: Callable[[], str], outcome: Callable[..., str]
) -> None:
    """An address needs CAP_NET_ADMIN, another kernel namespace CAP_SYS_ADMIN; nothing is left of the attempt."""
    name, netns = new_link("tuntap", "mode", "tap", "user", "0"), new_name()
    told = outcome(SET_UP_AND_TELL, name, "", "10.0.1.2/24", "0", under=NO_CAPABILITIES)
    assert told == f"TAP {name}: needs CAP_NET_ADMIN"
    told = outcome(SET_UP_AND_TELL, name, netns, "10.0.1.2/24", str(new_group()), under=NO_NETNS)
    assert told.startswith(f"kernel namespace {netns}: needs CAP_SYS_ADMIN to make or enter it")
    assert not named(netns)
    assert issubclass(PrivilegeError, PermissionError)


def test_five_hundred_taps_end_together(inside: Inside) -> None:
    """500 TAPs go with one message and are closed without further waits; none remains."""

    def check() -> None:
        group = new_group()
        taps = [Tap(f"tap{number}") for number in range(500)]
        ends = [setup_host_end(tap.ifname, None, mtu=1500, group=group) for tap in taps]
        outsider = Tap("outsider")
        setup_host_end("outsider", None, mtu=1500, group=new_group())
        assert remove_host_ends(ends) == []
        with Rtnetlink() as rtnetlink:
            assert [link.name for link in rtnetlink.links() if link.tap] == ["outsider"]
        assert [tap.write(bytes(80)) for tap in taps] == [GONE] * 500
        close_taps([*taps, outsider])
        assert find_link("outsider") is None

    inside(check)


def test_many_netns_are_made_and_removed_at_once(open_tap: Opener, new_name: Callable[[], str]) -> None:
    """Set-ups may run in several threads, in shared and in separate namespaces; all of them are removed together."""
    group = new_group()
    shared = new_name()
    plan = [(open_tap(), shared if number % 2 else new_name()) for number in range(20)]

    def one(tap: Tap, netns: str) -> HostEnd:
        return setup_host_end(tap.ifname, host(netns), mtu=1500, group=group)

    with ThreadPoolExecutor(len(plan)) as threads:
        ends = list(threads.map(one, *zip(*plan, strict=True)))
    assert links_in(shared) == {"lo", *(tap.ifname for tap, netns in plan if netns == shared)}
    assert remove_host_ends(ends) == []
    assert [netns for _, netns in plan if named(netns)] == []


def test_what_is_missing_already_is_no_failure(
    open_tap: Opener, new_name: Callable[[], str], ip: Callable[..., str]
) -> None:
    """Removal finds what is there: links and namespaces that somebody deleted before are as they should be."""
    first, second, netns = open_tap(), open_tap(), new_name()
    group = new_group()
    ends = [
        setup_host_end(first.ifname, host(netns), mtu=1500, group=group),
        setup_host_end(second.ifname, None, mtu=1500, group=group),
    ]
    ip("netns", "del", netns)
    second.close()
    assert remove_host_ends(ends) == []
    assert remove_host_ends([]) == []


def test_an_index_that_somebody_else_has_now_is_left_alone(open_tap: Opener) -> None:
    """A link is deleted only if it is in our group; the index alone proves nothing."""
    tap = open_tap()
    index = find_link(tap.ifname).index
    assert remove_host_ends([HostEnd("gone", "gone", index, None, new_group())]) == []
    assert find_link(tap.ifname) is not None


def test_the_monitor_tells_what_happens_to_links(inside: Inside) -> None:
    """rtnetlink(7): news of links of the own kernel namespace, without asking and without blocking."""

    def check() -> None:
        monitor = LinkMonitor()
        assert monitor.read() == []
        tap = Tap("eth0")
        end = setup_host_end("eth0", None, mtu=1500, group=new_group())
        changes = monitor.read()
        assert changes[0] == LinkChange("eth0", end.ifindex, up=False, deleted=False)
        assert changes[-1] == LinkChange("eth0", end.ifindex, up=True, deleted=False)
        with Rtnetlink() as rtnetlink:
            rtnetlink.set_link(end.ifindex, up=False)
            assert monitor.read()[-1] == LinkChange("eth0", end.ifindex, up=False, deleted=False)
            assert rtnetlink.delete_link(end.ifindex)
        assert monitor.read()[-1] == LinkChange("eth0", end.ifindex, up=False, deleted=True)
        assert monitor.read() == []
        tap.close()
        monitor.close()
        assert monitor.fileno() == -1

    inside(check)


def test_an_overrun_of_the_monitor_is_no_error(inside: Inside) -> None:
    """ENOBUFS: news were lost; what comes later is heard."""

    def check() -> None:
        monitor = LinkMonitor()
        with socket.socket(fileno=os.dup(monitor.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        tap = Tap("eth0")
        index = find_link("eth0").index
        with Rtnetlink() as rtnetlink:
            for turn in range(20):
                rtnetlink.set_link(index, up=turn % 2 == 0)
        before = len(monitor.read())
        assert before < 20
        with Rtnetlink() as rtnetlink:
            rtnetlink.set_link(index, up=True)
        assert monitor.read()[-1].up
        tap.close()
        monitor.close()

    inside(check)


def test_kernel_errors_come_with_the_kernel_s_text(open_tap: Opener) -> None:
    """netlink(7), extended acknowledgement: more than "Invalid argument"."""
    index = find_link(open_tap().ifname).index
    with Rtnetlink() as rtnetlink, pytest.raises(OSError, match="mtu less than device minimum") as caught:
        rtnetlink.set_link(index, mtu=10)
    assert caught.value.errno == errno.EINVAL


def test_ipv6_that_is_disabled_is_no_missing_privilege(open_tap: Opener, new_name: Callable[[], str]) -> None:
    """Where `disable_ipv6` is set, as in many containers, an IPv6 address is refused in these words."""
    tap, netns = open_tap(), new_name()
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        write = ["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]
        subprocess.run(["ip", "netns", "exec", netns, *write], check=True)
        settings = HostConfig(netns=netns, addresses=(ipaddress.IPv6Interface("fd00:1::2/64"),))
        with pytest.raises(OSError, match=r"address fd00:1::2/64: IPv6 is disabled on the kernel's end") as raised:
            setup_host_end(tap.ifname, settings, mtu=1500, group=new_group())
        assert not isinstance(raised.value, PrivilegeError)
        assert raised.value.errno == errno.EADDRNOTAVAIL
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=True)


def test_many_links_are_listed_whole(inside: Inside) -> None:
    """A dump that comes in several datagrams is put together."""

    def check() -> None:
        taps = [Tap(f"tap{number}") for number in range(100)]
        with Rtnetlink() as rtnetlink:
            assert {link.name for link in rtnetlink.links() if link.tap} == {tap.ifname for tap in taps}
        close_taps(taps)

    inside(check)


def test_pyroute2_is_loaded_only_for_addresses_and_routes(
    new_name: Callable[[], str], outcome: Callable[..., str]
) -> None:
    """It costs 13 MiB and 0.1 s, which a router without `host` addresses does not pay; pytun-pmd3 waits for a TAP."""
    program = """
import sys
import vrouter.tap, vrouter.kernel
print("pytun_pmd3" in sys.modules, "pyroute2" in sys.modules)
tap = vrouter.tap.Tap(sys.argv[1])
vrouter.kernel.setup_host_end(sys.argv[1], None, mtu=1500, group=vrouter.kernel.new_group())
print("pytun_pmd3" in sys.modules, "pyroute2" in sys.modules)
"""
    assert outcome(program, new_name()).split() == ["False", "False", "True", "False"]


def test_makers_and_removers_of_one_netns_do_not_disturb_each_other(
    open_tap: Opener, new_name: Callable[[], str]
) -> None:
    """Routers that come and go at once with TAPs in one namespace: each finds it made, and the last one removes it."""
    netns = new_name()

    def come_and_go(tap: Tap) -> list[str]:
        problems = []
        for _ in range(8):
            end = setup_host_end(tap.ifname, host(netns, addresses=()), mtu=1500, group=new_group())
            if tap.ifname not in links_in(netns):
                problems.append("not where it was put")
            problems += remove_host_ends([end])
            tap.reopen()
        return problems

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(come_and_go, [open_tap() for _ in range(6)])) == [[]] * 6
    assert not named(netns)
