"""The verbs against a running router: what they print, and how they end. The command line is a process of its own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import vrouter
from tests.path.admin import CONFIG
from tests.path.test_admin_api import FIELDS
from tests.unit.cli.conftest import ROOT, Cli


@pytest.fixture
async def router(admin: str) -> AsyncIterator[vrouter.Router]:
    """The router of the admin API's tests (tests/path/admin.py has the drawing)."""
    async with vrouter.Router(CONFIG, seed=1, identity="test", admin=admin) as router:
        yield router


async def test_tables(cli: Cli, router: vrouter.Router) -> None:
    """`show` prints aligned columns in ip(8)'s and ss(8)'s words; what is missing is `-`."""
    tables = {
        "netns": """\
NETNS  KIND  DEVICES  ACCEPT-FROM
red    l2          3  -
blue   l2          2  red
green  l2          2  -
""",
        "sockets": """\
NETNS  NETID  STATE   RECV-Q  SEND-Q  LOCAL       PEER
blue   udp    UNCONN       0       0  0.0.0.0:53  0.0.0.0:*
""",
    }
    with router["blue"].socket(2, 2) as sock:
        sock.bind(("0.0.0.0", 53))
        for what, text in tables.items():
            done = await cli("show", what)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == text
        one = await cli("show", "addresses", "-4", "-n", "blue")
        assert (
            one.stdout
            == """\
NETNS  DEV  ADDRESS      SCOPE   STATE        VALID  PREFERRED
blue   lo   127.0.0.1/8  host    preferred  forever    forever
blue   y    10.0.0.2/24  global  preferred  forever    forever
"""
        )
    config = await cli("show", "config")
    assert json.loads(config.stdout) == CONFIG


@pytest.mark.parametrize("what", [*FIELDS, "config"])
async def test_json_is_what_the_api_says(cli: Cli, router: vrouter.Router, what: str) -> None:
    """`--json` prints stable JSON: the records of the contract."""
    done = await cli("show", what, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)
    if what == "config":
        assert rows == CONFIG
    else:
        assert all(list(row) == list(FIELDS[what]) for row in rows)


async def test_a_life_by_verbs(cli: Cli, router: vrouter.Router) -> None:
    """Everything that can be made by a verb can be seen, used and removed by one."""

    async def done(line: str, status: int = 0) -> str:
        found = await cli(*line.split())
        assert (found.returncode, found.stderr if not status else "") == (status, ""), (line, found)
        return found.stdout if not status else found.stderr

    await done("netns add red/web kind l2 accept-from red,blue")
    assert "red/web  l2          1  blue red\n" in await done("netns list")
    await done("device add up kind veth peer red:down addresses 10.7.0.1/24 mtu 1400 -n red/web")
    await done("address add 10.7.0.2/24 dev down -n red")
    await done("ping 10.7.0.1 -c 1 -n red")
    await done("route add 10.8.0.0/16 via 10.7.0.1 metric 5 -n red")
    assert (
        await done("route get 10.8.1.1 -n red") == "10.8.1.1 via 10.7.0.1 dev down src 10.7.0.2 by route 10.8.0.0/16\n"
    )
    assert (await done("route get 10.200.1.1 -n green")).endswith(
        "netns blue (NOT accepted there: packets are dropped as CROSSING_DENIED) by route 10.200.0.0/16\n"
    )
    await done("route del 10.8.0.0/16 -n red")
    await done("route add blackhole 10.8.0.0/16 -n red")
    assert await done("route get 10.8.1.1 -n red") == "blackhole 10.8.1.1 by route 10.8.0.0/16\n"
    await done("neighbor add 10.7.0.9 lladdr 02:00:00:00:00:09 dev down -n red")
    assert "PERMANENT" in await done("neighbor list -n red")
    await done("neighbor flush -n red")
    await done("neighbor del 10.7.0.9 dev down -n red")
    await done("device set down mtu 1400 down -n red")
    assert router["red"].stack.devices["down"].state == "down"
    await done("device set down up -n red")
    await done("device move down green name low -n red")
    assert "low" in router["green"].stack.devices
    assert await done("sysctl net.ipv4.ip_default_ttl=9 -n red") == "net.ipv4.ip_default_ttl = 9\n"
    assert await done("sysctl net.ipv4.ip_default_ttl net.ipv4.ip_forward -n red") == (
        "net.ipv4.ip_default_ttl = 9\nnet.ipv4.ip_forward = 1\n"
    )
    await done("address del 10.5.0.1/24 dev z -n green")
    await done("device del low -n green")
    assert "red/web" in await done("netns del red", status=1)
    await done("netns del red --recursive")
    assert [*router.netns] == ["blue", "green"]
    assert await done("health") == "healthy\n"


async def test_a_life_of_both_families_by_verbs(cli: Cli, router: vrouter.Router) -> None:
    """Rules, next hops, tables, bridges, VLANs, groups and advertisements, each made, seen and removed by a verb."""

    async def done(line: str) -> str:
        found = await cli(*line.split(), "-n", "red")
        assert (found.returncode, found.stderr) == (0, ""), (line, found)
        return found.stdout

    await done("address add fd00:1::1/64 dev x")
    assert "fd00:1::1/64" in await done("address list -6")
    await done("route add 10.9.0.0/16 via 10.0.0.2 table 100 mtu 1400")
    await done("route replace default nexthop via 10.0.0.2 weight 2 nexthop via 10.0.0.3 dev x")
    assert await done("route list table 100") == "10.9.0.0/16 via 10.0.0.2 dev x table 100 proto static mtu 1400\n"
    assert (await done("route list")).splitlines()[:3] == [
        "default proto static",
        "\tnexthop via 10.0.0.2 dev x weight 2",
        "\tnexthop via 10.0.0.3 dev x weight 1",
    ]
    await done("route -6 add default via fe80::9 dev x")
    assert "default via fe80::9 dev x proto static metric 1024" in await done("route list -6")
    await done("rule add not from 10.0.0.1 fwmark 0x1/0xff pref 40 lookup 100")
    assert "40:\tnot from 10.0.0.1 fwmark 0x1/0xff lookup 100" in await done("rule list -4")
    await done("rule del pref 40")
    await done("nexthop add id 3 via 10.0.0.4")
    await done("nexthop add id 4 group 3,5")
    assert await done("nexthop list") == "id 3 via 10.0.0.4 dev x\nid 4 group 3,5\n"
    await done("nexthop replace id 3 via 10.0.0.5")
    await done("nexthop del id 4")
    await done("neighbor add fe80::9 lladdr 02:00:00:00:00:09 dev x")
    await done("neighbor add proxy fd00:1::7 dev x")
    assert "PROXY" in await done("neighbor list -6")
    await done("neighbor proxy del fd00:1::7 dev x")
    await done("device add br0 kind bridge ports w stp rstp vlan_filtering on")
    await done("device add v10 kind vlan parent x vid 10")
    assert "x.10" in await done("device list")
    await done("device set br0 priority 8192 forward_delay 10 max_age 18")
    await done("bridge link set dev w cost 7 guard on")
    assert "bpdu-guard" in await done("bridge link")
    await done("bridge vlan add vid 10-12 dev w")
    assert "10-12" in await done("bridge vlan show")
    await done("bridge fdb add 02:00:00:00:00:99 dev w vlan 10 master static")
    assert "static" in await done("bridge fdb")
    await done("bridge fdb del 02:00:00:00:00:99 dev w")
    await done("device set w storm broadcast:100 untagged 1,20 edge auto")
    await done("device set w nomaster")
    assert "224.0.0.1" in await done("maddr list -4")
    await done("mroute add 239.1.1.1 from 10.0.0.2 iif x oifs w:4")
    assert (await done("mroute list")).startswith("(10.0.0.2,239.1.1.1) Iif: x Oifs: w(ttl 4) Proto: static\n")
    await done("mroute del 239.1.1.1 from 10.0.0.2")
    await done("multicast querier x on igmp")
    assert "IGMP" in await done("multicast show")
    await done("ra set x max_interval 10 managed on prefixes fd00:1::/64")
    assert "managed" in await done("show ra")
    await done("ra off x")
    assert await done("sysctl -a ipv4.ip_forward$ ^net.ipv6.conf.x.forwarding$") == (
        "net.ipv4.ip_forward = 1\nnet.ipv6.conf.x.forwarding = 0\n"
    )
    assert (await cli("sysctl", "-a", "nothing.like.it", "-n", "red")).returncode == 1


@pytest.mark.parametrize(
    ("typed", "status", "message"),
    [
        ("address add fd00::1/129 dev x -n red", 2, "'fd00::1/129' has no prefix length of 0 to 128"),
        ("route add fd00::g/64 dev x -n red", 2, "'fd00::g' is not an IPv6 address"),
        ("route get fd00::1 -n red", 1, "Network is unreachable (`vrouter show routes` lists the ways that there are)"),
        ("route get fe80::1 -n red", 2, "fe80::1 is link-local, and needs its device: fe80::1%DEV"),
        ("ping ff02::1 -n red", 2, "ff02::1 is link-local, and needs its device: ff02::1%DEV, or -I DEV"),
        ("show routes table nothing", 2, "table 'nothing' is not a number of 1 to 4294967295"),
        ("nexthop del id 9 -n red", 1, "there is no nexthop 9"),
        ("bridge vlan add vid 5 dev x -n red", 2, "device 'x' is no port of a bridge"),
        ("device set x master y -n red", 1, "no device 'y' in namespace 'red' (`vrouter show devices` lists them)"),
        ("show routes -n grey", 1, "no namespace 'grey' (`vrouter show netns` lists them)"),
        ("ping 10.0.0.2", 2, "in which namespace? -n NETNS, with one of red, blue, green"),
        ("ping 10.0.0 -n red", 2, "'10.0.0' is not an IPv4 address"),
        (
            "ping 99.0.0.1 -n red",
            1,
            "Network is unreachable (`vrouter show routes` lists the ways that there are)",
        ),
        ("netns add red", 1, "namespace 'red' exists already"),
        ("netns add web kind l3", 2, "namespaces of kind l3 are not supported yet"),
        ("device del lo -n red", 1, "lo belongs to its namespace"),
        (
            "device set nope up -n red",
            1,
            "no device 'nope' in namespace 'red' (`vrouter show devices` lists them)",
        ),
        ("address add 10.0.0.1/24 dev x -n red", 1, "the device has this address already"),
        ("route add 10.9.0.1/16 dev x -n red", 2, "'10.9.0.1/16' has host bits set; the network is 10.9.0.0/16"),
        ("capture nope", 1, "no device 'nope' in any namespace (`vrouter show devices` lists them)"),
        (
            "capture x prot 53",
            2,
            "filter, character 1: 'prot' is no word of the filter language (did you mean port?)",
        ),
        ("capture x -w /nonexistent/f", 1, "/nonexistent/f cannot be written: No such file or directory"),
        (
            "sysctl net.ipv4.ip_forwrd=1 -n red",
            1,
            "there is no setting 'net.ipv4.ip_forwrd'; did you mean 'net.ipv4.ip_forward'?",
        ),
    ],
)
async def test_refusals(cli: Cli, router: vrouter.Router, typed: str, status: int, message: str) -> None:
    """1: no such object, exists already; 2: what was typed cannot be; one line with the mend."""
    done = await cli(*typed.split())
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"vrouter: {message}\n")


async def test_ping_prints_as_ping(cli: Cli, router: vrouter.Router) -> None:
    """Each reply, the statistics; 0 with a reply, 1 without; `--json` is the contract's object."""
    done = await cli("ping", "-n", "red", "-c", "2", "-i", "0.001", "-s", "100", "10.0.0.2")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == "PING 10.0.0.2 from red: 100 bytes of data"
    assert [line.partition(" time=")[0] for line in lines[1:3]] == [
        "108 bytes from 10.0.0.2: icmp_seq=1 ttl=64",
        "108 bytes from 10.0.0.2: icmp_seq=2 ttl=64",
    ]
    assert lines[3:6] == ["", "--- 10.0.0.2 ping statistics ---", "2 packets transmitted, 2 received, 0% packet loss"]
    assert lines[6].startswith("rtt min/avg/max = ")
    lost = await cli("ping", "-n", "red", "-c", "1", "-W", "0.01", "10.0.0.9")
    assert lost.returncode == 1
    assert lost.stdout.splitlines()[1:] == [
        "no reply icmp_seq=1",
        "",
        "--- 10.0.0.9 ping statistics ---",
        "1 packets transmitted, 0 received, 100% packet loss",
    ]
    as_json = await cli("ping", "-n", "red", "-c", "1", "--json", "10.0.0.2")
    found = json.loads(as_json.stdout)
    assert list(found) == ["sent", "received", "min_ns", "avg_ns", "max_ns", "replies"]
    assert (as_json.returncode, found["sent"], found["received"]) == (0, 1, 1)
    none = await cli("ping", "-n", "red", "-c", "1", "-W", "0.01", "--json", "10.0.0.9")
    assert (none.returncode, json.loads(none.stdout)["received"]) == (1, 0)


async def test_traceroute_prints_as_traceroute(cli: Cli, router: vrouter.Router) -> None:
    """A line for each hop; 0 when the host was reached, else 1; `--json` is the contract's object."""
    done = await cli("traceroute", "-n", "red", "-I", "-q", "2", "10.0.0.2")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "traceroute to 10.0.0.2 from red: 30 hops at most, by ICMP"
    assert re.fullmatch(r" 1  10\.0\.0\.2  \d+\.\d{3} ms \d+\.\d{3} ms", lines[1])
    assert len(lines) == 2
    sized = await cli("traceroute", "-n", "red", "-q", "1", "--mtu", "10.0.0.2")
    assert re.fullmatch(r" 1  10\.0\.0\.2  F=1500 \d+\.\d{3} ms", sized.stdout.splitlines()[1])
    lost = await cli("traceroute", "-n", "red", "-m", "2", "-q", "2", "-w", "0.05", "10.0.0.9", "-T")
    assert lost.returncode == 1
    assert lost.stdout.splitlines()[1:] == [" 1  * *", " 2  * *"]
    as_json = await cli("traceroute", "-n", "red", "-q", "1", "--json", "10.0.0.2")
    found = json.loads(as_json.stdout)
    assert (as_json.returncode, list(found)) == (0, ["dst", "reached", "mtu", "probes"])
    assert [(probe["hop"], probe["address"], probe["reached"]) for probe in found["probes"]] == [(1, "10.0.0.2", True)]
    unknown = await cli("traceroute", "-n", "red", "nowhere.example")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("vrouter: nowhere.example: ")


class Running:
    """A verb that goes on, and what it prints; killed at the end at the latest."""

    def __init__(self, admin: str, *words: str) -> None:
        env = {**os.environ, "VROUTER_ADMIN": admin, "TZ": "UTC", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "vrouter", *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        """(status, the rest of stdout, stderr), after a signal if one is given."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


async def until(condition: Callable[[], object]) -> None:
    """Turns of the loop until the condition holds, for 20 s at most."""
    async with asyncio.timeout(20):
        while not condition():
            await _turn()


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_capture_prints_a_line_per_packet(router: vrouter.Router, admin: str) -> None:
    """Live, per device or namespace, with a filter, until -c."""
    with Running(admin, "capture", "x", "-n", "red", "-c", "2", "icmp") as capture:
        await until(lambda: router["red"].stack.devices["x"].captures)
        await router["red"].ping("10.0.0.2")
        status, out, err = await asyncio.to_thread(capture.end)
    assert (status, err) == (0, "2 packets captured, 0 dropped\n")
    lines = [line.split(" ", 1) for line in out.splitlines()]
    assert [text.partition(", id")[0] for _, text in lines] == [
        "red/x Out IP 10.0.0.1 > 10.0.0.2: ICMP echo request",
        "red/x In  IP 10.0.0.2 > 10.0.0.1: ICMP echo reply",
    ]


async def test_ctrl_c_of_a_capture(router: vrouter.Router, admin: str) -> None:
    """Ctrl-C ends it with the summary and 130; `--json` is an object per packet."""
    with Running(admin, "capture", "any", "--json") as capture:
        await until(lambda: router["blue"].stack.devices["y"].captures)
        await router["red"].ping("10.0.0.2")
        first = json.loads(await asyncio.to_thread(capture.line))
        assert list(first) == ["netns", "dev", "direction", "time_ns", "length", "text"]
        status, _, err = await asyncio.to_thread(capture.end, signal.SIGINT)
    assert status == 130
    assert err.endswith(" packets captured, 0 dropped\n")
    assert err.count("\n") == 1


async def test_capture_writes_whole_blocks(router: vrouter.Router, admin: str, tmp_path: Path) -> None:
    """-w writes pcapng; however it ends, the file ends with a whole block."""
    file = tmp_path / "x.pcapng"
    with Running(admin, "capture", "x", "-n", "red", "-w", str(file)) as capture:
        await until(lambda: router["red"].stack.devices["x"].captures)
        await router["red"].ping("10.0.0.2")
        await until(lambda: file.exists() and file.stat().st_size > 300)
        status, out, err = await asyncio.to_thread(capture.end, signal.SIGINT)
    assert (status, out) == (130, "")
    assert err.endswith(" packets captured, 0 dropped\n")
    data = file.read_bytes()
    assert [data[:4], data[8:12]] == [b"\x0a\x0d\x0d\x0a", (0x1A2B3C4D).to_bytes(4, sys.byteorder)]
    while data:
        size = int.from_bytes(data[4:8], sys.byteorder)
        assert data[size - 4 : size] == data[4:8]
        data = data[size:]


async def test_ctrl_c_of_a_ping_prints_the_statistics(router: vrouter.Router, admin: str) -> None:
    """130 on Ctrl-C of a client verb, with what came so far."""
    with Running(admin, "ping", "-n", "red", "-c", "1000", "10.0.0.2") as ping:
        assert (await asyncio.to_thread(ping.line)).startswith("PING ")
        assert (await asyncio.to_thread(ping.line)).startswith("64 bytes from 10.0.0.2: icmp_seq=1 ")
        status, out, err = await asyncio.to_thread(ping.end, signal.SIGINT)
    assert (status, err) == (130, "")
    assert "1 packets transmitted, 1 received, 0% packet loss" in out


async def test_show_watches(router: vrouter.Router, admin: str) -> None:
    """`-w` prints again every second until Ctrl-C; into a pipe without control characters."""
    with Running(admin, "show", "netns", "-w") as watch:
        assert await asyncio.to_thread(watch.line) == "NETNS  KIND  DEVICES  ACCEPT-FROM\n"
        status, out, err = await asyncio.to_thread(watch.end, signal.SIGINT)
    assert (status, err) == (130, "")
    assert "\x1b" not in out


async def test_a_reader_that_leaves_is_no_error(router: vrouter.Router, admin: str) -> None:
    """`vrouter show stats | head -1` ends quietly."""
    for number in range(1000):
        await router.add_netns(f"n{number}")
    with Running(admin, "show", "devices") as show:
        assert (await asyncio.to_thread(show.line)).startswith("NETNS")
        assert show.process.stdout is not None
        assert show.process.stderr is not None
        show.process.stdout.close()
        assert await asyncio.to_thread(show.process.wait, 20) == 0
        assert show.process.stderr.read() == ""


async def test_one_namespace_needs_no_name(cli: Cli, admin: str) -> None:
    """Where there is one namespace only, `-n` can be left out; where there is none, that is told."""
    async with vrouter.Router({"netns": {"only": {}}}, admin=admin):
        done = await cli("ping", "-c", "1", "127.0.0.1")
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "PING 127.0.0.1 from only: 56 bytes of data")
    async with vrouter.Router(admin=admin):
        done = await cli("ping", "-c", "1", "127.0.0.1")
        assert (done.returncode, done.stderr) == (
            2,
            "vrouter: this router has no namespace yet: `vrouter netns add NETNS`\n",
        )
