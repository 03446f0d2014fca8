"""The suite is as strict as it says: what a test leaves behind fails it, and so does a skip where none is allowed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.rules.tree import ROOT

OFFENDERS = """
import asyncio, os, subprocess, threading, warnings
import pytest

async def test_leaks_a_task():
    test_leaks_a_task.kept = asyncio.create_task(asyncio.Event().wait())
    assert await asyncio.sleep(0) is None

async def test_leaves_an_error_in_the_loop():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    assert await asyncio.sleep(0) is None

def test_leaks_a_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def test_leaks_a_child():
    child = os.fork()
    if child == 0:
        os._exit(0)

def test_warns():
    warnings.warn("old", DeprecationWarning)

@pytest.mark.tools("no-such-tool")
def test_needs_what_is_missing():
    pass

async def test_is_clean():
    await asyncio.create_task(asyncio.sleep(0))
"""


LEFT_BEHIND = {
    "ERROR test_leaks_a_task[asyncio]",
    "ERROR test_leaks_a_task[uvloop]",
    "ERROR test_leaves_an_error_in_the_loop[asyncio]",
    "ERROR test_leaves_an_error_in_the_loop[uvloop]",
    "ERROR test_leaks_a_thread",
    "ERROR test_leaks_a_child",
    "FAILED test_warns",
}


def _run(tmp_path: Path, **environment: str) -> tuple[set[str], str]:
    """Runs the offenders under our conftest and settings; gives what failed, and all that was printed."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "tests/test_offenders.py").write_text(OFFENDERS)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command += ["-p", "no:cacheprovider", "-q", str(tmp_path / "tests")]
    inherited = {name: value for name, value in os.environ.items() if name != "VROUTER_NO_SKIPS"}
    run = subprocess.run(command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True)
    failed = re.findall(r"^(FAILED|ERROR) \S+::(\S+)", run.stdout, re.M)
    return {f"{outcome} {test}" for outcome, test in failed}, run.stdout


def test_what_is_left_behind_fails_the_test(tmp_path: Path) -> None:
    """Tasks and errors in a loop (both loops), threads, child processes and warnings fail a test; clean ones pass."""
    failed, output = _run(tmp_path)
    assert failed == LEFT_BEHIND, output
    assert "1 failed, 8 passed, 1 skipped, 6 errors" in output
    assert "missing on this machine: no-such-tool" in output


def test_a_skip_is_a_failure_where_none_is_allowed(tmp_path: Path) -> None:
    """With VROUTER_NO_SKIPS, as in .ci/run, what would be skipped fails and names its reason."""
    failed, output = _run(tmp_path, VROUTER_NO_SKIPS="1")
    assert failed == LEFT_BEHIND | {"ERROR test_needs_what_is_missing"}, output
    assert "a skip where none is allowed (VROUTER_NO_SKIPS is set): Skipped: missing on this machine" in output
