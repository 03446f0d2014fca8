"""The example project runs as its README says, with its own settings and nothing of ours around it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest in the example project."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VROUTER_"))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_labs() -> None:
    """Every example in virtual time passes, with the seed it has and with others."""
    for seed in ("1", "2"):
        done = run("--lab-seed", seed, "test_lossy_network.py", "test_tenants.py")
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^16 passed in", done.stdout, re.M), done.stdout


@pytest.mark.tap
@pytest.mark.tools("ip", "ping", "curl")
def test_real_hosts() -> None:
    """Every example on real TAPs passes."""
    done = run("test_real_hosts.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 passed in", done.stdout, re.M), done.stdout


def test_the_readme_lists_every_file() -> None:
    """What is in the project stands in its README."""
    readme = (EXAMPLES / "README.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f"({path.name})" not in readme] == []
