"""The ready configurations, run as a user runs them: `vrouter run`, kernel namespaces, and the clients of this system.

router.toml is the place of most of it:

    lan-host 10.0.1.2 ══ lan 10.0.1.1 ── vrouter ── wan 10.0.2.1 ══ wan-host 10.0.2.2

The drawings of the others stand in their files. Outside of the suite's sandbox the names of kernel namespaces and TAPs
get the process id, so that nothing of the machine is met.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vrouter.testing.tap_lab import KernelHost, TapLab

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping")]

ROOT = Path(__file__).parents[2]
VROUTER = [sys.executable, "-m", "vrouter"]
STOP_WITHIN = 2.0  # s, what a SIGTERM may take
PATIENCE = 15.0  # s of real time for what must come

ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("0.0.0.0", 7))
    while True:
        data, peer = sock.recvfrom(65535)
        sock.sendto(data, peer)
"""
# Answers every question with the record A 192.0.2.1.
NAMES = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("0.0.0.0", 53))
    while True:
        data, peer = sock.recvfrom(512)
        end = data.index(0, 12) + 5
        answer = data[:2] + bytes.fromhex("81800001000100000000") + data[12:end]
        sock.sendto(answer + bytes.fromhex("c00c00010001000000000004c0000201"), peer)
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    sock.setsockopt(socket.SOL_IP, 11, 1)  # IP_RECVERR: Linux would keep a net unreachable to itself
    sock.connect((sys.argv[1], int(sys.argv[2])))
    try:
        sock.send(b"hello")
        print(sock.recv(100).decode())
    except OSError as error:
        print(type(error).__name__, error.errno)
"""


def renamed(name: str) -> str:
    """What a kernel namespace or TAP of a configuration is called in this test process."""
    if "VROUTER_SANDBOX" in os.environ:
        return name
    return f"{name}-{os.getpid()}" if name.endswith("-host") else f"v{os.getpid()}{name.removeprefix('vr-')}"


class Deployment:
    """One `vrouter run`; made by the fixture `deploy`."""

    def __init__(self, lab: TapLab, directory: Path, config: str, under: list[str], admin: str) -> None:
        text = (ROOT / "configs" / config).read_text(encoding="utf-8")
        text = re.sub(r'"(\w+-host)"', lambda found: f'"{renamed(found[1])}"', text)
        text = re.sub(r'(ifname\s*=\s*)"(vr[^"]*)"', lambda found: f'{found[1]}"{renamed(found[2])}"', text)
        self.path = directory / config
        self.path.write_text(text, encoding="utf-8")
        self.admin = admin
        self.lab = lab
        self.under = under
        self.log = directory / f"{config}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and return when it tells systemd's socket that it is ready."""
        notices = f"{self.path}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, self.log.open("ab") as log:
            manager.bind(notices)
            manager.settimeout(PATIENCE)
            self.process = subprocess.Popen(
                [*self.under, *VROUTER, "run", str(self.path), "--admin", self.admin],
                env=os.environ | {"NOTIFY_SOCKET": notices},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                assert manager.recv(100) == b"READY=1"
            except TimeoutError:
                pytest.fail(f"it does not get ready: {self.log.read_text()}")
            finally:
                os.unlink(notices)

    def stop(self) -> None:
        """SIGTERM ends it in time with status 0, and nothing is left in the kernel."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_WITHIN) == 0, self.log.read_text()
        self.process = None
        assert not os.path.exists(self.admin)
        assert not {renamed(name) for name in self.host_names} & set(os.listdir("/run/netns"))

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    @property
    def host_names(self) -> list[str]:
        """The kernel namespaces that its file names."""
        return sorted(set(re.findall(r'"(\w+-host)"', (ROOT / "configs" / self.path.name).read_text())))

    def host(self, name: str) -> KernelHost:
        """A kernel namespace of the file, to run commands in."""
        host = KernelHost(self.lab, name, (), None, "eth0")
        host.netns = renamed(f"{name}-host")
        return host

    def cli(self, command: str) -> subprocess.CompletedProcess[str]:
        """A client verb of the command line."""
        argv = [*VROUTER, "--admin", self.admin, *command.split()]
        return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)

    def show(self, what: str) -> list[dict[str, Any]]:
        """`vrouter show WHAT --json`."""
        done = self.cli(f"show {what} --json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def device(self, name: str, netns: str = "root") -> dict[str, Any]:
        """One row of `vrouter show devices`."""
        [row] = [row for row in self.show("devices") if (row["netns"], row["dev"]) == (netns, name)]
        return row

    def drops(self) -> list[dict[str, Any]]:
        """`vrouter show drops` but for what IPv6 hosts say of themselves: reports of groups, and who is a router?"""
        return [row for row in self.show("drops") if row["reason"] not in ("OTHERHOST", "ICMP_IGNORED")]

    def wait_addresses(self) -> None:
        """Wait until duplicate address detection is over (RFC 4862 5.4); readiness does not."""
        end = time.monotonic() + PATIENCE
        while any(row["state"] == "tentative" for row in self.show("addresses")):
            assert time.monotonic() < end, self.show("addresses")

    def wait_told(self, dev: str, *states: str) -> list[str]:
        """Wait until the log tells that a device went through these states; the reasons that it told."""
        end = time.monotonic() + PATIENCE
        while True:
            rows = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
            told = [row for row in rows if row["event"] == "device-state" and row["dev"] == dev]
            if [row["state"] for row in told] == list(states):
                return [row["error"] for row in told]
            assert time.monotonic() < end, rows
            self.cli("health")  # takes its time


@pytest.fixture
def lab() -> Iterator[TapLab]:
    """Ends every process that a test starts in a namespace."""
    with TapLab() as made:
        yield made


@pytest.fixture
def deploy(lab: TapLab, tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Runs ready configurations, `deploy("router.toml")`, and ends them as `Deployment.stop` says."""
    made: list[Deployment] = []

    def run(config: str, *, under: list[str] | None = None, start: bool = True) -> Deployment:
        made.append(Deployment(lab, tmp_path, config, under or [], str(tmp_path / "admin" / "vrouter.sock")))
        if start:
            made[-1].start()
        return made[-1]

    try:
        yield run
        lab.close()  # what still runs in the namespaces would keep them
        for deployment in reversed(made):
            if deployment.process is not None:
                deployment.stop()
    finally:
        for deployment in made:
            if deployment.process is not None:
                deployment.kill()
            for name in map(renamed, deployment.host_names):  # after a failure, or a kill
                if os.path.exists(f"/run/netns/{name}"):
                    subprocess.run(["ip", "netns", "del", name], check=True)


def hops(text: str) -> list[str]:
    """The addresses that traceroute -n -q 1 printed."""
    return re.findall(r"^ *\d+ +([\d.]+|\*)", text, re.MULTILINE)


def python(program: str, *arguments: str) -> list[str]:
    """The command that runs a program, without the waits of site."""
    return [sys.executable, "-IS", "-c", program, *arguments]


# ------------------------------------------------------------------------------------------------------- router.toml


@pytest.mark.tools("traceroute", "arping")
def test_ping_and_traceroute_through_the_router(deploy: Callable[..., Deployment]) -> None:
    """configs/router.toml: 1,000 packets without loss, fragments, the router's hop by UDP and by ICMP, ARP."""
    router = deploy("router.toml")
    lan = router.host("lan")
    before = router.device("lan"), router.device("wan")
    ping = lan.run("ping -q -c 1000 -i 0.002 -W 2 10.0.2.2", timeout=60)
    assert "1000 packets transmitted, 1000 received, 0% packet loss" in ping.stdout
    after = router.device("lan"), router.device("wan")
    for old, new in zip(before, after, strict=True):  # each echo and reply, and little else
        assert 1000 <= new["rx_packets"] - old["rx_packets"] < 1050
        assert 1000 <= new["tx_packets"] - old["tx_packets"] < 1050
        assert 98_000 <= new["rx_bytes"] - old["rx_bytes"] < 104_000
    assert router.drops() == []

    large = lan.run("ping -q -c 3 -i 0.01 -s 8000 10.0.2.2")
    assert "3 received" in large.stdout
    to_router = lan.run("ping -c 1 -s 8000 10.0.1.1")
    assert "ttl=64" in to_router.stdout
    assert "ttl=63" in lan.run("ping -c 1 10.0.2.2").stdout

    for probes in ("", "-I"):
        trace = lan.run(f"traceroute -n -q 1 -w 2 {probes} 10.0.2.2")
        assert hops(trace.stdout) == ["10.0.1.1", "10.0.2.2"]
    arping = lan.run("arping -c 1 -i eth0 10.0.1.1" if _is_thomas_habets() else "arping -c 1 -I eth0 10.0.1.1")
    assert arping.returncode == 0, arping.stdout + arping.stderr
    assert router.device("lan")["mac"] in arping.stdout.lower()


def _is_thomas_habets() -> bool:
    """Whether arping is not the one of iputils: their options differ."""
    said = subprocess.run(["arping", "-V"], capture_output=True, text=True)
    return "iputils" not in said.stdout + said.stderr


@pytest.mark.tools("iperf3")
def test_iperf3_crosses_and_is_counted(deploy: Callable[..., Deployment]) -> None:
    """configs/router.toml: `iperf3 -u` crosses, and what it counts is what the router counts."""
    router = deploy("router.toml")
    router.host("wan").start("iperf3 -s -1", listens="tcp:5201")
    before = router.device("lan"), router.device("wan")
    done = router.host("lan").run("iperf3 -u -c 10.0.2.2 -b 10M -l 1200 -t 2 -J", timeout=30)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)["end"]["sum"]
    after = router.device("lan"), router.device("wan")
    received = after[0]["rx_packets"] - before[0]["rx_packets"]
    sent = after[1]["tx_packets"] - before[1]["tx_packets"]
    assert 1000 <= told["packets"] <= 2200
    assert told["packets"] <= received < told["packets"] + 100  # the rest is iperf3's control connection
    assert told["packets"] - told["lost_packets"] <= sent <= received + 50
    assert told["lost_percent"] < 1


@pytest.mark.tools("tracepath")
def test_a_smaller_mtu_behind_the_router_is_told(deploy: Callable[..., Deployment]) -> None:
    """RFC 1191 4, RFC 1812 5.2.7.1: DF and too large is answered with the next hop's MTU; clients adapt to it."""
    router = deploy("router.toml")
    lan = router.host("lan")
    done = router.cli("device set wan mtu 1400 -n root")
    assert done.returncode == 0, done.stderr
    refused = lan.run("ping -c 1 -W 2 -M do -s 1400 10.0.2.2")
    assert refused.returncode == 1
    assert re.search(r"From 10\.0\.1\.1 .*Frag needed and DF set \(mtu = 1400\)", refused.stdout)
    path = lan.run("tracepath -n -m 3 10.0.2.2")
    assert "pmtu 1400" in path.stdout
    assert "reached" in path.stdout
    assert "3 received" in lan.run("ping -q -c 3 -i 0.01 -M dont -s 1472 10.0.2.2").stdout
    assert {(row["reason"], row["dev"]) for row in router.drops()} == {
        ("PKT_TOO_BIG", "lan"),
        ("TTL_EXPIRED", "lan"),
    }


@pytest.mark.tools("curl", "dig", "nc")
def test_clients_of_every_day(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """configs/router.toml: HTTP by curl, DNS by dig and datagrams by nc cross; a closed port is told to its client."""
    router = deploy("router.toml")
    lan, wan = router.host("lan"), router.host("wan")
    page = "x" * 200_000
    (tmp_path / "page").write_text(page)
    serve = [sys.executable, "-m", "http.server", "--directory", str(tmp_path), "80"]
    wan.start(serve, listens="tcp:80")
    wan.start(python(NAMES), listens="udp:53")
    wan.start(python(ECHO), listens="udp:7")
    curl = lan.run("curl -sS --max-time 10 http://10.0.2.2/page")
    assert (curl.stderr, curl.stdout) == ("", page)
    dig = lan.run("dig +short +time=2 +tries=2 @10.0.2.2 www.example.org A")
    assert dig.stdout == "192.0.2.1\n"
    nc = lan.run("nc -u -w 1 10.0.2.2 7", stdin="over there\n")
    assert nc.stdout == "over there\n"
    assert lan.run(python(ASK, "10.0.2.2", "9")).stdout == "ConnectionRefusedError 111\n"
    assert lan.run(python(ASK, "10.0.1.1", "9")).stdout == "ConnectionRefusedError 111\n"
    assert lan.run(python(ASK, "192.0.2.9", "9")).stdout == "OSError 101\n"  # ENETUNREACH: net unreachable


def test_kernel_clients_are_told_what_is_unreachable(deploy: Callable[..., Deployment]) -> None:
    """RFC 1812 4.3.3.1, 5.2.7.1: ping prints net, host and prohibited as the router told it."""
    router = deploy("router.toml")
    lan = router.host("lan")
    for words in ("prohibit 10.11.0.0/16", "unreachable 10.10.0.0/16", "blackhole 10.12.0.0/16"):
        done = router.cli(f"route add {words} -n root")
        assert done.returncode == 0, done.stderr
    said = {dst: lan.run(f"ping -c 1 -W 1 {dst}").stdout for dst in ("192.0.2.1", "10.10.0.1", "10.11.0.1")}
    assert "From 10.0.1.1 icmp_seq=1 Destination Net Unreachable" in said["192.0.2.1"]
    assert "From 10.0.1.1 icmp_seq=1 Destination Host Unreachable" in said["10.10.0.1"]
    assert "From 10.0.1.1 icmp_seq=1 Packet filtered" in said["10.11.0.1"]
    assert "From" not in lan.run("ping -c 1 -W 0.2 10.12.0.1").stdout
    nobody = lan.run("ping -c 1 -W 5 10.0.2.77")
    assert "From 10.0.1.1 icmp_seq=1 Destination Host Unreachable" in nobody.stdout


@pytest.mark.tools("traceroute", "tracepath")
def test_ipv6_through_the_router(deploy: Callable[..., Deployment]) -> None:
    """configs/router.toml: RFC 8200 4.5, RFC 4443 3.2 and 3.3: fragments, the router's hop, a smaller MTU behind it."""
    router = deploy("router.toml")
    router.wait_addresses()
    lan = router.host("lan")
    ping = lan.run("ping -q -c 200 -i 0.002 -W 2 fd00:2::2", timeout=60)
    assert "200 packets transmitted, 200 received, 0% packet loss" in ping.stdout
    assert "ttl=63" in lan.run("ping -c 1 fd00:2::2").stdout
    assert "3 received" in lan.run("ping -q -c 3 -i 0.01 -s 8000 fd00:2::2").stdout
    assert "ttl=64" in lan.run("ping -c 1 -s 8000 fd00:1::1").stdout
    trace = lan.run("traceroute -6 -n -q 1 -w 2 fd00:2::2")
    assert re.findall(r"^ *\d+ +(\S+)", trace.stdout, re.MULTILINE) == ["fd00:1::1", "fd00:2::2"]
    done = router.cli("device set wan mtu 1400 -n root")
    assert done.returncode == 0, done.stderr
    refused = lan.run("ping -c 1 -W 2 -M do -s 1400 fd00:2::2")
    assert re.search(r"From fd00:1::1 .*Packet too big: mtu=1400", refused.stdout + refused.stderr)
    assert "pmtu 1400" in lan.run("tracepath -n -m 3 fd00:2::2").stdout
    assert "Destination unreachable: No route" in lan.run("ping -c 1 -W 1 2001:db8::1").stdout
    assert "Destination unreachable: Address unreachable" in lan.run("ping -c 1 -W 5 fd00:2::77").stdout


# ---------------------------------------------------------------------------------------------------- the other files


@pytest.mark.tools("traceroute")
def test_two_namespaces(deploy: Callable[..., Deployment]) -> None:
    """configs/two-namespaces.toml: through both namespaces and the pair between them, two hops each way."""
    router = deploy("two-namespaces.toml")
    left, right = router.host("left"), router.host("right")
    router.wait_addresses()
    assert "ttl=62" in left.run("ping -c 1 10.0.2.2").stdout
    assert "ttl=62" in left.run("ping -c 1 fd00:2::2").stdout
    assert hops(left.run("traceroute -n -q 1 -w 2 10.0.2.2").stdout) == ["10.0.1.1", "10.255.0.2", "10.0.2.2"]
    assert hops(right.run("traceroute -n -q 1 -w 2 10.0.1.2").stdout) == ["10.0.2.1", "10.255.0.1", "10.0.1.2"]
    right.start(python(ECHO), listens="udp:7")
    assert left.run(python(ASK, "10.0.2.2", "7")).stdout == "hello\n"
    crossings = {(row["from"], row["to"], row["kind"]) for row in router.show("crossings")}
    assert crossings == {("left", "right", "veth"), ("right", "left", "veth")}
    expired = [row for row in router.show("drops") if row["reason"] == "TTL_EXPIRED"]
    assert {(row["netns"], row["dev"]): row["count"] for row in expired} == {
        (netns, dev): 1 for netns in ("left", "right") for dev in ("lan", "up")
    }


@pytest.mark.tools("curl")
def test_overlapping_tenants(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """configs/overlapping-tenants.toml: equal addresses side by side, one crossing that works and one that is refused.

    A crossing that the target does not accept is CROSSING_DENIED, counted, and answered with
    "administratively prohibited" (RFC 1812 5.2.7.1, code 13).
    """
    tenants = deploy("overlapping-tenants.toml")
    red, blue, green = (tenants.host(name) for name in ("red", "blue", "green"))
    for tenant in (red, blue, green):
        assert "inet 10.0.1.2/24" in tenant.run("ip -o -4 addr show dev eth0").stdout
        assert "ttl=64" in tenant.run("ping -c 1 10.0.1.1").stdout

    (tmp_path / "page").write_text("blue's page")
    blue.start([sys.executable, "-m", "http.server", "--directory", str(tmp_path), "80"], listens="tcp:80")
    blue.start(python(ECHO), listens="udp:7")
    assert "3 received" in red.run("ping -q -c 3 -i 0.01 10.200.2.2").stdout
    assert "3 received" in blue.run("ping -q -c 3 -i 0.01 10.200.1.2").stdout
    assert red.run(python(ASK, "10.200.2.2", "7")).stdout == "hello\n"
    curl = red.run("curl -sS --max-time 10 http://10.200.2.2/page")
    assert (curl.stderr, curl.stdout) == ("", "blue's page")

    refused = green.run("ping -c 1 -W 1 10.200.1.2")
    assert refused.returncode == 1
    assert "From 10.0.1.1 icmp_seq=1 Packet filtered" in refused.stdout
    assert green.run(python(ASK, "10.200.2.2", "7")).stdout == "OSError 113\n"  # EHOSTUNREACH: prohibited
    rows = {(row["from"], row["to"]): row for row in tenants.show("crossings")}
    assert {pair: (row["accepted"], row["denied"]) for pair, row in rows.items()} == {
        ("red", "blue"): (True, 0),
        ("blue", "red"): (True, 0),
        ("green", "red"): (False, 1),
        ("green", "blue"): (False, 1),
    }
    assert rows["red", "blue"]["packets"] > 10
    assert rows["green", "red"]["packets"] == rows["green", "blue"]["packets"] == 0
    assert [(row["netns"], row["reason"], row["count"]) for row in tenants.drops()] == [("green", "CROSSING_DENIED", 2)]
    # Where nobody has declared a crossing there is not even a route.
    assert "Destination Net Unreachable" in red.run("ping -c 1 -W 1 10.200.3.2").stdout


@pytest.mark.tools("curl")
def test_sidecar(deploy: Callable[..., Deployment], new_netns: Callable[[], str], ip: Callable[..., str]) -> None:
    """configs/sidecar.toml: one more interface in the pod's network, and what the kubelet asks."""
    pod = new_netns()
    ip("-n", pod, "link", "set", "lo", "up")
    sidecar = deploy("sidecar.toml", under=["ip", "netns", "exec", pod])
    application = sidecar.host("pod")
    application.netns = pod
    ping = application.run("ping -c 1 10.200.0.1")
    assert "ttl=63" in ping.stdout
    answers = {
        path: application.run(
            f"curl -sS -o /dev/null -w %{{http_code}} --max-time 5 http://127.0.0.1:9473{path}"
        ).stdout
        for path in ("/healthz", "/readyz", "/metrics", "/v1/netns")
    }
    assert answers == {"/healthz": "200", "/readyz": "200", "/metrics": "200", "/v1/netns": "404"}
    assert sidecar.cli("health").returncode == 0
    sidecar.stop()
    assert renamed("vr0") not in ip("-n", pod, "-o", "link", "show")


# ------------------------------------------------------------------------------------------------------ life and death


def test_a_start_over_the_leftovers_of_a_kill(deploy: Callable[..., Deployment]) -> None:
    """After a SIGKILL the next start succeeds over its own leftovers, and its end removes them."""
    router = deploy("router.toml")
    lan = router.host("lan")
    router.kill()
    assert {renamed("lan-host"), renamed("wan-host")} <= set(os.listdir("/run/netns"))
    assert os.path.exists(router.admin)
    router.start()
    assert "ttl=63" in lan.run("ping -c 1 10.0.2.2").stdout
    router.stop()


def test_a_deleted_tap_and_a_link_that_is_down_come_back(
    deploy: Callable[..., Deployment], ip: Callable[..., str]
) -> None:
    """A TAP deleted under the router is opened again with its kernel's end; a link that was down carries on."""
    router = deploy("router.toml")
    lan, wan = router.host("lan"), router.host("wan")
    ip("-n", lan.netns, "link", "del", "eth0")
    assert router.wait_told("lan", "no-carrier", "up") == ["the link was deleted", ""]
    assert "ttl=63" in lan.run("ping -c 1 -w 5 10.0.2.2").stdout

    ip("-n", wan.netns, "link", "set", "eth0", "down")
    lan.run("ping -c 1 -W 0.1 10.0.2.2")  # the driver meets it with the next frame
    assert router.wait_told("wan", "no-carrier") == ["the link is down in the kernel"]
    assert router.device("wan")["error"] == "the link is down in the kernel"
    ip("-n", wan.netns, "link", "set", "eth0", "up")
    ip("-n", wan.netns, "route", "add", "default", "via", "10.0.2.1")
    assert "ttl=63" in wan.run("ping -c 1 -w 5 10.0.1.2").stdout
    assert router.wait_told("wan", "no-carrier", "up")[1] == ""
    assert router.device("wan")["state"] == router.device("lan")["state"] == "up"
    assert "ttl=63" in lan.run("ping -c 1 -w 5 10.0.2.2").stdout
    assert router.cli("health").returncode == 0


def test_one_admin_socket_one_router(deploy: Callable[..., Deployment]) -> None:
    """A second router on the same socket is refused with status 1 and one line, and leaves nothing."""
    router = deploy("router.toml")
    second = deploy("two-namespaces.toml", start=False)
    done = subprocess.run(
        [*VROUTER, "run", str(second.path), "--admin", router.admin],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert router.admin in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not {renamed("left-host"), renamed("right-host")} & set(os.listdir("/run/netns"))
    assert {row["netns"] for row in router.show("netns")} == {"root"}
    assert "ttl=63" in router.host("lan").run("ping -c 1 10.0.2.2").stdout


def test_a_second_router_by_the_same_file(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """A name held by somebody else is refused with who holds it; the first router does not notice."""
    router = deploy("router.toml")
    assert router.process is not None
    done = subprocess.run(
        [*VROUTER, "run", str(router.path), "--admin", str(tmp_path / "other.sock")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in (1, 3)
    assert str(router.process.pid) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert "ttl=63" in router.host("lan").run("ping -c 1 10.0.2.2").stdout


def addresses6(host: KernelHost) -> list[str]:
    """The global IPv6 addresses of eth0 that the kernel may use."""
    rows = json.loads(host.run("ip -j -6 addr show dev eth0 scope global -tentative").stdout)
    return [info["local"] for row in rows for info in row.get("addr_info", ()) if info]


@pytest.mark.tools("rdisc6")
def test_dualstack(deploy: Callable[..., Deployment]) -> None:
    """configs/dualstack.toml: RFC 4861 6.2, RFC 4862 5.5, RFC 8106: a kernel configures itself by it."""
    router = deploy("dualstack.toml")
    lan = router.host("lan")
    end = time.monotonic() + PATIENCE
    while not (made := addresses6(lan)):
        assert time.monotonic() < end, lan.run("ip -6 addr").stdout
        router.cli("health")  # takes its time
    assert len(made) == 1
    assert made[0].startswith("fd00:1:")
    routes = json.loads(lan.run("ip -j -6 route show default").stdout)
    assert [(row["gateway"], row["dev"], row["protocol"]) for row in routes] == [("fe80::1", "eth0", "ra")]
    assert "ttl=63" in lan.run("ping -c 1 fd00:2::2").stdout
    assert "ttl=63" in lan.run("ping -c 1 10.0.2.2").stdout
    assert "ttl=63" in router.host("wan").run(f"ping -c 1 {made[0]}").stdout
    told = lan.run("rdisc6 -1 eth0").stdout
    for text in ("Prefix                   : fd00:1::/64", "Recursive DNS server     : fd00:1::1", "from fe80::1"):
        assert text in told
    router.cli("device set lan down -n root")  # RFC 4861 6.2.5: whoever ceases to be a router says so
    assert json.loads(lan.run("ip -j -6 route show default").stdout) == []


def test_switch(deploy: Callable[..., Deployment]) -> None:
    """configs/switch.toml: hosts of one VLAN reach each other over a trunk, those of two by the router."""
    router = deploy("switch.toml")
    router.wait_addresses()
    a = router.host("a")
    end = time.monotonic() + PATIENCE
    while {row["state"] for row in router.show("ports")} != {"forwarding"}:
        assert time.monotonic() < end, router.show("ports")
    for near, far in (("10.0.10.3", "10.0.20.2"), ("fd00:10::3", "fd00:20::2")):
        assert "ttl=64" in a.run(f"ping -c 1 -W 5 {near}").stdout
        assert "ttl=63" in a.run(f"ping -c 1 -W 5 {far}").stdout
        assert "10 received" in a.run(f"ping -q -c 10 -i 0.01 -s 4000 {near}").stdout
    learnt = {(row["netns"], row["dev"], row["vlan"]) for row in router.show("fdb") if row["state"] == "dynamic"}
    assert {("root", "a", 10), ("root", "b", 20), ("root", "trunk", 10), ("attic", "c", 10)} <= learnt
    assert ("attic", "c", 20) not in learnt
    roots = {(row["netns"], row["root_port"]) for row in router.show("bridges")}
    assert roots == {("root", ""), ("attic", "trunk")}
