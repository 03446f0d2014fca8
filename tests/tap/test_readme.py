"""The README, done as it says: every command of it against the configuration that stands before it, and its programs.

Blocks without a language are typed; `vrouter run` in one of them starts the router that the following ones are about.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tap.test_configs import PATIENCE, ROOT, Deployment, deploy, lab, renamed

__all__ = ["deploy", "lab"]  # fixtures

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping", "curl", "awk")]

README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = re.compile(r"vrouter run configs/(\S+)")
ECHO = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.sendto(b"hello", (sys.argv[1], 7))
    print(sock.recv(100).decode())
"""


def typed() -> dict[str, list[str]]:
    """What is typed while each configuration runs, without the comments behind it."""
    part = README[README.index("**Check and run.**") : README.index("### Ready to run")]
    found: dict[str, list[str]] = {}
    config = ""
    for block in re.findall(r"^```\n(.*?)^```", part, re.M | re.S):
        for line in block.splitlines():
            command = re.sub(r"\s+# .*$", "", line).strip()
            if running := RUN.fullmatch(command):
                config = running[1]
                found[config] = []
            elif config and command:
                found[config].append(command)
    return found


TYPED = typed()


def run(deployment: Deployment, command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Type it, where names carry the process id and the admin socket is the test's."""
    command = re.sub(r"\b\w+-host\b", lambda name: renamed(name[0]), command)
    command = command.replace("/run/vrouter/vrouter.sock", deployment.admin).replace("/tmp/full", f"{directory}/full")
    command = re.sub(r"^vrouter\b", f"{sys.executable} -m vrouter", command)
    env = os.environ | {"VROUTER_ADMIN": deployment.admin, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, shell=True, env=env, capture_output=True, text=True, timeout=60)


def test_it_is_about_what_is_there() -> None:
    """Each of these configurations is run, with commands behind it, and with those that only it is about."""
    assert {config: len(commands) > 3 for config, commands in TYPED.items()} == dict.fromkeys(
        ("router.toml", "dualstack.toml", "switch.toml"), True
    )
    verbs = {command.split()[1] for commands in TYPED.values() for command in commands if command.startswith("vrouter")}
    assert verbs >= {"show", "ping", "route", "sysctl", "capture", "rule", "nexthop", "ra", "bridge", "device"}


@pytest.mark.parametrize("config", sorted(TYPED))
def test_commands(config: str, deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """Each command ends with status 0, one after the other; a ping as soon as the network has settled."""
    deployment = deploy(config)
    deployment.wait_addresses()
    for command in TYPED[config]:
        if command.startswith("vrouter capture"):
            continue  # goes on for ever; tests/unit/cli has it
        end = time.monotonic() + PATIENCE
        while (done := run(deployment, command, tmp_path)).returncode and " ping " in command:
            assert time.monotonic() < end, (command, done)
        assert (done.returncode, done.stderr) == (0, ""), (command, done)


def programs() -> list[str]:
    """The Python of the README."""
    return re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)


def test_the_program(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """The asyncio program runs the router, pings, and echoes UDP of both families from the same socket."""
    deployment = deploy("router.toml", start=False)  # written, and cleared away
    text = programs()[0]
    assert "configs/router.toml" in text
    program = tmp_path / "program.py"
    program.write_text(text.replace("configs/router.toml", str(deployment.path)), encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, program], env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("round trip: 0.0")
            for address in ("10.0.1.1", "fd00:1::1"):
                command = ["ip", "netns", "exec", renamed("lan-host"), sys.executable, "-c", ECHO, address]
                end = time.monotonic() + PATIENCE
                while (done := subprocess.run(command, capture_output=True, text=True)).returncode:
                    assert time.monotonic() < end, done  # the address is still looked for
                assert done.stdout == "hello\n"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
    assert not os.path.exists(f"/run/netns/{renamed('lan-host')}")


def test_the_program_that_runs_in_a_namespace(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """aiohttp, as it is, gets a page from a kernel's server by the namespace's way."""
    deployment = deploy("router.toml", start=False)
    text = programs()[1]
    assert "aiohttp" in text
    program = tmp_path / "program.py"
    program.write_text(text.replace("configs/router.toml", str(deployment.path)), encoding="utf-8")
    (tmp_path / "index.html").write_text("hello from afar")
    far = renamed("wan-host")
    subprocess.run(["ip", "netns", "add", far], check=True)
    serve = ["ip", "netns", "exec", far, sys.executable, "-m", "http.server", "-d", str(tmp_path), "8080"]
    try:
        subprocess.run(["ip", "-n", far, "link", "set", "lo", "up"], check=True)
        with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                ask = ["ip", "netns", "exec", far, "curl", "-s", "http://127.0.0.1:8080/"]
                end = time.monotonic() + PATIENCE
                while subprocess.run(ask, capture_output=True).returncode:
                    assert time.monotonic() < end, "the server does not answer"
                env = os.environ | {"PYTHONPATH": str(ROOT)}
                done = subprocess.run([sys.executable, program], env=env, capture_output=True, text=True, timeout=60)
                assert (done.returncode, done.stdout) == (0, "hello from afar\n"), done.stderr
            finally:
                server.terminate()
    finally:
        subprocess.run(["ip", "netns", "del", far], check=True)


def test_the_tests(tmp_path: Path) -> None:
    """The tests that it shows pass as they stand, with the plugin and nothing else."""
    (tmp_path / "test_readme.py").write_text(programs()[2], encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^2 passed in", done.stdout, re.M), done.stdout
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
