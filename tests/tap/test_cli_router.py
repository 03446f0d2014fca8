"""`vrouter run` on real TAPs, and the verbs against it.

kernel namespace tPIDn0            vrouter run                    kernel namespace tPIDn1
eth0 10.0.1.2/24 ═══════ TAP ═══ lan 10.0.1.1  wan 10.0.2.1 ═══ TAP ═══════ eth0 10.0.2.2/24
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.tap

CONFIG = """
[router]
admin = "{admin}"

[netns.root]
[netns.root.sysctl]
"net.ipv4.ip_forward" = 1

[netns.root.dev.lan]
ifname    = "{lan}"
addresses = ["10.0.1.1/24"]

[netns.root.dev.lan.host]
netns     = "{left}"
ifname    = "eth0"
addresses = ["10.0.1.2/24"]
routes    = [{{ to = "default", via = "10.0.1.1" }}]

[netns.root.dev.wan]
ifname    = "{wan}"
addresses = ["10.0.2.1/24"]

[netns.root.dev.wan.host]
netns     = "{right}"
ifname    = "eth0"
addresses = ["10.0.2.2/24"]
routes    = [{{ to = "default", via = "10.0.2.1" }}]
"""


class Place:
    """Names of this test's own, its configuration, and the command line in it."""

    def __init__(self, directory: Path, new_name: Callable[[], str], config: str = CONFIG) -> None:
        self.admin = str(directory / "run" / "v.sock")
        self.lan, self.wan, self.left, self.right = (new_name() for _ in range(4))
        self.file = directory / "router.toml"
        self.file.write_text(config.format(**vars(self)))
        self.env = {**os.environ, "VROUTER_ADMIN": self.admin, "PYTHONPATH": str(ROOT)}

    def start(self, *words: str, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """A verb that goes on."""
        command = [*under, sys.executable, "-m", "vrouter", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.file.parent, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def cli(self, *words: str, under: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """A verb to its end."""
        command = [*under, sys.executable, "-m", "vrouter", *words]
        return subprocess.run(command, cwd=self.file.parent, env=self.env, capture_output=True, text=True, timeout=60)

    def left_over(self) -> list[str]:
        """What is there that should not be, when nothing runs."""
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        found = [name for name in (self.lan, self.wan) if f" {name}:" in links]
        found += [name for name in (self.left, self.right) if Path(f"/run/netns/{name}").exists()]
        return found + [str(path) for path in Path(self.admin).parent.parent.iterdir() if path != self.file]


@pytest.fixture
def place(new_name: Callable[[], str]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="vr") as directory:
        os.chmod(directory, 0o755)
        yield Place(Path(directory), new_name)


@contextlib.contextmanager
def running(place: Place, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A router that is ready; killed at the end at the latest."""
    with place.start("run", *words, str(place.file)) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert json.loads(line)["event"] == "ready", (line, process.stderr.read() if process.stderr else "")
            yield process
        finally:
            process.kill()


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """(status, stderr) after a signal; the contract gives it 2 s."""
    process.send_signal(number)
    _, err = process.communicate(timeout=2)
    return process.returncode, err


@pytest.mark.tools("ping")
def test_a_router_from_start_to_end(place: Place) -> None:
    """run → ready → routes real clients → every verb answers → SIGTERM: status 0 within 2 s and nothing left."""
    with running(place) as process:
        ping = subprocess.run(
            ["ip", "netns", "exec", place.left, "ping", "-c", "3", "-i", "0.05", "-W", "2", "10.0.2.2"],
            capture_output=True,
            text=True,
        )
        assert "3 received" in ping.stdout, ping.stdout
        assert place.cli("health").stdout == "healthy\n"
        devices = json.loads(place.cli("show", "devices", "--json").stdout)
        assert [(row["dev"], row["ifname"], row["state"]) for row in devices] == [
            ("lo", None, "up"),
            ("lan", place.lan, "up"),
            ("wan", place.wan, "up"),
        ]
        assert [row["rx_packets"] >= 3 for row in devices[1:]] == [True, True]
        neighbors = json.loads(place.cli("show", "neighbors", "--json").stdout)
        assert {row["address"] for row in neighbors} == {"10.0.1.2", "10.0.2.2"}
        from_router = place.cli("ping", "-c", "2", "-i", "0.05", "10.0.2.2")
        assert (from_router.returncode, "2 received" in from_router.stdout) == (0, True)
        assert place.cli("show", "drops").returncode == 0
        assert stop(process) == (0, "")
    assert place.left_over() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hangup_does_not_end_it_but_these_do(place: Place, number: int) -> None:
    """SIGHUP never kills; SIGINT and SIGTERM end it with status 0."""
    with running(place) as process:
        process.send_signal(signal.SIGHUP)
        assert place.cli("health").returncode == 0
        assert stop(process, number) == (0, "")
    assert place.left_over() == []


def test_a_second_router_is_refused(place: Place, new_name: Callable[[], str]) -> None:
    """On the same socket: status 1, who runs there, nothing of it left, and the first one goes on."""
    with running(place) as process:
        other = Place(place.file.parent, new_name)
        second = other.cli("run", str(other.file))
        assert (second.returncode, second.stderr) == (
            1,
            f"vrouter: {place.admin}: a router runs here already (pid {process.pid}); "
            "stop it, or give this one another [router] admin path\n",
        )
        assert not Path(f"/run/netns/{other.left}").exists()
        assert place.cli("health").returncode == 0
        assert stop(process) == (0, "")


def test_the_next_start_succeeds_over_a_killed_one(place: Place) -> None:
    """After a SIGKILL the socket, its lock and the kernel namespaces are leftovers, and no obstacle."""
    with running(place) as process:
        process.kill()
        process.wait()
    assert Path(place.admin).exists()
    with running(place) as process:
        assert place.cli("health").returncode == 0
        assert stop(process) == (0, "")
    assert Path(place.admin).parent.exists()  # it was there when the second one came
    assert not Path(place.admin).exists()


def test_admin_on_the_command_line_goes_before_the_file(place: Place) -> None:
    """`vrouter run --admin PATH`."""
    other = str(place.file.parent / "other.sock")
    with running(place, "--admin", other) as process:
        assert place.cli("health").returncode == 4
        assert place.cli("health", "--admin", other).returncode == 0
        assert stop(process) == (0, "")
    assert place.left_over() == []


@pytest.mark.tools("setpriv")
def test_without_privileges(place: Place) -> None:
    """3: missing privileges, with what to do about it, in one line; nothing is left."""
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
    os.chown(place.file.parent, 65534, 65534)
    done = place.cli("run", str(place.file), under=nobody)
    assert done.returncode == 3
    assert re.fullmatch(rf"vrouter: TAP {place.lan} .*(CAP_NET_ADMIN|/dev/net/tun).*\n", done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    assert place.left_over() == []


@pytest.mark.tools("setpriv")
def test_another_user_may_not_use_the_socket(place: Place) -> None:
    """The socket is 0600: another user is told so, with status 3."""
    with running(place) as process:
        nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")
        done = place.cli("health", under=nobody)
        assert (done.returncode, done.stderr) == (
            3,
            f"vrouter: {place.admin}: permission denied: only the user whose router it is may use it (sudo?)\n",
        )
        assert stop(process) == (0, "")


def test_capture_on_a_real_tap(place: Place) -> None:
    """What a client sends is seen at its device, live, with the filter applied."""
    with running(place) as process:
        with place.start("capture", "lan", "-c", "2", "icmp", "and", "host", "10.0.2.2") as capture:
            try:
                for _ in range(100):  # pings until the capture, which started at its own time, has seen enough
                    subprocess.run(
                        ["ip", "netns", "exec", place.left, "ping", "-c", "1", "-W", "1", "10.0.2.2"],
                        capture_output=True,
                    )
                    if capture.poll() is not None:
                        break
                out, err = capture.communicate(timeout=10)
            finally:
                capture.kill()
        assert (capture.returncode, err) == (0, "2 packets captured, 0 dropped\n")
        # The capture may have begun between a request and its reply; the next packet is then the next request.
        assert sorted(line.split(" ", 1)[1].split(",")[0] for line in out.splitlines()) == [
            "root/lan In  IP 10.0.1.2 > 10.0.2.2: ICMP echo request",
            "root/lan Out IP 10.0.2.2 > 10.0.1.2: ICMP echo reply",
        ]
        assert stop(process) == (0, "")
