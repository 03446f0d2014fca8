"""Lint, format and types, as `make check` runs them: so that one summary tells whether all is well."""

import subprocess
import sys

import pytest

from tests.rules.tree import ROOT


@pytest.mark.parametrize(
    "command",
    ["ruff check --quiet --output-format concise .", "ruff format --quiet --check .", "mypy --no-error-summary"],
    ids=["lint", "format", "types"],
)
def test_the_code_passes(command: str) -> None:
    """ruff finds nothing, the code is formatted by it, and mypy --strict agrees with every type of the package."""
    run = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
