"""The command line as people run it: a process of its own."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
Cli = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
def admin() -> Iterator[str]:
    """A path for an admin socket, short enough for one."""
    with tempfile.TemporaryDirectory(prefix="vr") as directory:
        yield f"{directory}/r.sock"


@pytest.fixture
def cli(admin: str) -> Cli:
    """Runs `vrouter` with these words to its end, beside the loop."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "VROUTER_ADMIN": admin, "TZ": "UTC", **environment}
        command = [sys.executable, "-m", "vrouter", *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)

    return lambda *words, **environment: asyncio.to_thread(run, *words, **environment)
