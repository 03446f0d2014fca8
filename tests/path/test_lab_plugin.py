"""The pytest plugin in somebody else's project: no conftest of ours, no pytest-asyncio, strict about markers."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = "[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n"


def run(directory: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest on one file in an empty project; only the plugin of ours, found as an installed one would be."""
    (directory / "pytest.ini").write_text(SETTINGS)
    (directory / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VROUTER_"))}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_fixtures_and_marker(tmp_path: Path) -> None:
    """`lab` is there without any import; the marker gives it a seed and real ARP, --lab-seed all others."""
    test = """
import pytest

def test_default(lab):
    assert (lab.seed, lab.resolve) == (5, False)

@pytest.mark.lab(seed=7, resolve=True)
def test_marked(lab):
    assert (lab.seed, lab.resolve) == (7, True)
    a, b = lab.line("a", "b")
    assert a.ping(b) == 0
"""
    done = run(tmp_path, test, "--lab-seed=5")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "2 passed" in done.stdout


def test_a_failure_shows_the_last_frames(tmp_path: Path) -> None:
    """What was on the wires stands in the report of a test that failed, and not in that of one that passed."""
    test = """
def test_fails(lab):
    a, r, b = lab.line("a", "r", "b", delay=0.01, loss=1)
    a.udp().send(b"x", b, 7)
    assert b.received != []

def test_passes(lab):
    a, b = lab.line("a", "b")
    assert a.ping(b) == 0
"""
    done = run(tmp_path, test)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "the last frames of <Lab seed 1: 3 stations, 2 wires, 0 ns>" in done.stdout
    assert re.search(r"0\.000000000  a > r .* IP 10\.0\.1\.2\.\d+ > 10\.0\.2\.2\.7: UDP, .*\[lost\]", done.stdout)
    assert "ICMP" not in done.stdout


def test_the_check_at_the_end_fails_the_test(tmp_path: Path) -> None:
    """Accounts that differ are an error of the test, although all it asserted held."""
    test = """
def test_it(lab):
    a, b = lab.line("a", "b")
    assert a.ping(b) == 0
    a.ns.devices["b"].rx_packets += 1
"""
    done = run(tmp_path, test)
    assert done.returncode == 1
    assert "the accounts of a differ" in done.stdout
    assert "1 passed, 1 error" in done.stdout


def test_captures_of_all_tests(tmp_path: Path) -> None:
    """--lab-pcap=DIR writes a file for each test, named after it."""
    test = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
def test_it(lab, n):
    a, b = lab.line("a", "b")
    assert a.ping(b, count=n) == 0
"""
    done = run(tmp_path, test, "--lab-pcap=captures")
    assert done.returncode == 0, done.stdout
    written = {path.name: path.stat().st_size for path in (tmp_path / "captures").iterdir()}
    assert sorted(written) == ["test_it.py_test_it_1_.pcapng", "test_it.py_test_it_2_.pcapng"]
    assert written["test_it.py_test_it_2_.pcapng"] > written["test_it.py_test_it_1_.pcapng"] > 200


def test_a_run_without_labs_loads_nothing(tmp_path: Path) -> None:
    """Where the package is installed but not used, a run of pytest does not pay for it."""
    test = """
import sys

def test_it():
    loaded = sorted(name for name in sys.modules if name.split(".")[0] == "vrouter")
    assert loaded == ["vrouter", "vrouter.testing", "vrouter.testing.plugin"]
    assert "asyncio" not in sys.modules
"""
    done = run(tmp_path, test, "-p", "no:anyio", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout


def test_tap_lab_is_skipped_with_a_reason(tmp_path: Path) -> None:
    """Without privileges a test with `tap_lab` is skipped, and the reason says what is missing."""
    test = """
import os
os.geteuid = lambda: 1000

def test_it(tap_lab):
    raise AssertionError
"""
    done = run(tmp_path, test, "-rs")
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "real TAPs and kernel namespaces need root" in done.stdout
