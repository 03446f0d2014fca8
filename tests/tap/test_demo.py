"""`vrouter demo`: it shows what it promises, and leaves nothing behind however it ends."""

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.tap
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all")


@contextlib.contextmanager
def demo(*words: str, stdout: int = subprocess.PIPE, before: str = "") -> Iterator[subprocess.Popen[str]]:
    """A demonstration, with a directory of its own for what it makes; killed at the end at the latest. `before` is
    what a shell with the same process id does first."""
    with tempfile.TemporaryDirectory(prefix="vr") as directory:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": directory, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "vrouter", "demo", *words]
        if before:
            command = ["unshare", "--mount", "sh", "-ec", before + '\nexec "$@"', "sh", *command]
        with subprocess.Popen(
            command, cwd=directory, env=env, stdout=stdout, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()
        assert os.listdir(directory) == []


def left_over(pid: int) -> list[str]:
    """Links and kernel namespaces with this process's id in their names."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return re.findall(rf"vr-\w+{pid}\b", links) + [name for name in names if name.startswith(f"vr{pid}-")]


def shown(output: str, *patterns: str) -> None:
    """Each of these is in the output, which any terminal can print."""
    for promised in patterns:
        assert re.search(promised, output, re.M), (promised, output)
    assert "FAILED" not in output
    assert output.isascii()
    assert max(map(len, output.splitlines())) <= 130


ALL_OF_IT = (
    r"^\[1\] The same address in three places",
    r"^\[2\] IPv6, which nobody configured",
    r"red +lan +advertising .* fd00:1::/64 fd00:200:1::/64 ",
    r"ok: green's client is fd00:200:3::?[0-9a-f:]+$",
    r"64 bytes from fd00:1::1: icmp_seq=1",
    r"10\.200\.2\.2 netns blue proto static$",
    r"fd00:200:2::/64 netns blue",
    r"10\.200\.2\.2 .*netns blue \(accepted there\)",
    r"fd00:200:2:\S+ src fd00:200:1::1 netns blue \(accepted there\)",
    r"64 bytes from 10\.200\.2\.2: icmp_seq=2",
    r"64 bytes from fd00:200:2:\S+: icmp_seq=2",
    r"'is anybody there\?' from 10\.200\.2\.2",
    r"'is anybody there\?' from fd00:200:2:",
    r"hello from blue's client, which is 10\.200\.2\.2",
    r"hello from blue's client, which is fd00:200:2:",
    r"From 10\.0\.1\.1 icmp_seq=1 Packet filtered",
    r"From fd00:200:3::1 icmp_seq=1 (Destination unreachable: Administratively prohibited|Packet filtered)",
    r"green +lan +CROSSING_DENIED +crossing +policy +2 ",
    r"^21 of 21 as promised, in \d+\.\d s\.$",
)


def test_once_shows_everything_and_ends() -> None:
    """Both families: ping, UDP echo and HTTP between equal subnets, addresses by autoconfiguration, the routes, a
    refused crossing with its reason; status 0."""
    with demo("--once") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    shown(output, *ALL_OF_IT)
    assert left_over(process.pid) == []


@pytest.mark.tools("unshare")
def test_without_any_program_of_the_system() -> None:
    """Where ping, curl and ip are not installed, Python does the same, with the same promises."""
    hidden = (shutil.which(name) for name in ("ping", "curl", "ip"))
    before = "\n".join(f"mount --bind /dev/null {os.path.realpath(path)}" for path in hidden if path)
    with demo("--once", before=before) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    shown(output, *ALL_OF_IT)
    assert "$ ip -6" not in output
    assert left_over(process.pid) == []


@pytest.mark.tools("unshare")
@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("mount -t tmpfs none /proc/sys/net", r"this kernel has no IPv6 \(there is no /proc/sys/net/ipv6\)"),
        (
            "for name in red blue green; do ip netns add vr$$-$name; ip netns exec vr$$-$name "
            "sysctl -qw net.ipv6.conf.default.disable_ipv6=1; done",
            r"IPv6 is disabled here \(net\.ipv6\.conf\.\*\.disable_ipv6 is 1\)",
        ),
    ],
    ids=["no IPv6", "disable_ipv6"],
)
def test_where_the_kernel_has_no_ipv6(before: str, reason: str) -> None:
    """It says so, shows IPv4 alone, and ends with status 0."""
    with demo("--once", before=before) as process:
        output, _ = process.communicate(timeout=60)
    for name in left_over(process.pid):  # the namespaces that were not its own
        subprocess.run(["ip", "netns", "del", name], check=True)
    assert process.returncode == 0, output
    shown(
        output,
        rf"^IPv4 only: {reason}\.$",
        r"green +lan +CROSSING_DENIED +crossing +policy +1 ",
        r"^10 of 10 as promised, in \d+\.\d s\.$",
    )
    assert "fd00" not in output.partition("[1]")[0]


def test_two_at_once() -> None:
    """Their names carry the process id: demonstrations do not disturb one another."""
    with demo("--once") as one, demo("--once") as two:
        outputs = [process.communicate(timeout=60)[0] for process in (one, two)]
        assert [process.returncode for process in (one, two)] == [0, 0], outputs
    assert left_over(one.pid) + left_over(two.pid) == []


@pytest.mark.parametrize("until", ["kernel namespace", "[1]", "[2]", "[4]", "[7]", "[8]"])
def test_ctrl_c_in_the_middle(until: str) -> None:
    """Wherever it is interrupted: status 130, a word about it, nothing left."""
    with demo() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if until in line:
                break
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert output.endswith("interrupted; everything is removed again\n")
    assert "Traceback" not in output
    assert left_over(process.pid) == []


def test_ctrl_c_at_the_very_start() -> None:
    """Interrupted while it makes its TAPs: nothing left."""
    with demo() as process:
        deadline = time.monotonic() + 20
        while not left_over(process.pid) and process.poll() is None and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert left_over(process.pid) == []


def test_on_a_terminal_it_stays_until_ctrl_c() -> None:
    """It says what to try next, the commands work, and Ctrl-C is its proper end: status 0, nothing left."""
    master, slave = pty.openpty()
    try:
        with demo(stdout=slave) as process:
            os.close(slave)
            output = ""
            while "Ctrl-C ends it" not in output:
                assert select.select([master], [], [], 30)[0], output
                output += os.read(master, 65536).decode()
            admin = re.search(r"export VROUTER_ADMIN=(\S+)", output)
            assert admin
            show = subprocess.run(
                [sys.executable, "-m", "vrouter", "show", "crossings", "--admin", admin[1]],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
            assert re.search(r"green +red +route +no", show.stdout)
            assert f"ip netns exec vr{process.pid}-red ping 10.200.2.2" in output
            assert f"ip netns exec vr{process.pid}-red ping fd00:200:2:" in output
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
    finally:
        os.close(master)
    assert left_over(process.pid) == []


@pytest.mark.tools("setpriv")
def test_without_privileges_it_says_what_is_missing() -> None:
    """Status 3, and exactly what is missing in one line."""
    command = [*NOBODY, sys.executable, "-m", "vrouter", "demo"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(
        r"vrouter: the demo cannot run: CAP_NET_ADMIN is missing \(to make TAPs\); "
        r"CAP_SYS_ADMIN is missing \(to make kernel namespaces\)(; /dev/net/tun may not be opened \(to make TAPs\))?; "
        r"run it as root \(sudo\)\n",
        done.stderr,
    )
