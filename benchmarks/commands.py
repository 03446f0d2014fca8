"""Programs: run to their end, or started and ended by their process id, in a kernel namespace and on a core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

ROOT = Path(__file__).parents[1]


class CommandError(RuntimeError):
    """A program failed; the text is the last line that it wrote."""


@contextmanager
def compiled() -> Iterator[None]:
    """Within the block Python programs keep their bytecode, as after an installation, whatever the environment says."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="vrouter-bench-") as cache:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = cache
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def module(name: str) -> list[str]:
    """The words that run a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{name}"]


def placed(words: list[str], netns: str | None = None, core: int | None = None) -> list[str]:
    """`words`, to be run in the named kernel namespace and on that core only."""
    if core is not None:
        words = ["taskset", "-c", str(core), *words]
    return words if netns is None else ["nsenter", f"--net=/run/netns/{netns}", *words]


def run(words: list[str], timeout: float, *, env: dict[str, str] | None = None) -> str:
    """What the program printed. CommandError when it failed or took longer than `timeout` seconds.

    A program that takes too long ends with everything that it has started and that stayed in its process group.
    """
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    try:
        out, err = child.communicate(timeout=timeout)
    except BaseException as error:
        os.killpg(child.pid, 9)
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CommandError(f"{Path(words[0]).name} took longer than {timeout:g} s") from None
        raise
    if child.returncode:
        lines = (err.strip() or out.strip() or f"exit status {child.returncode}").splitlines()
        raise CommandError(lines[-1])
    return out


def ip(*words: str) -> str:
    """Run ip(8)."""
    return run(["ip", *words], 20)


class Started(NamedTuple):
    """A running program, and what it wrote to stderr so far."""

    child: subprocess.Popen[str]
    complaints: IO[bytes]

    def complaint(self) -> str:
        """The last line that it wrote to stderr, or how it ended."""
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.child.poll()}"


@contextmanager
def started(
    words: list[str], *, ready: str = "", asked: bool = False, env: dict[str, str] | None = None
) -> Iterator[Started]:
    """A running program, ended with the block. With `ready` it has printed that line before the block begins; with
    `asked` it reads what is written to its standard input."""
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
            stderr=complaints,
            text=True,
            process_group=0,
        )
        running = Started(child, complaints)
        try:
            if ready and child.stdout is not None and child.stdout.readline().strip() != ready:
                child.wait(5)
                raise CommandError(running.complaint())
            yield running
        finally:
            end(child)


def end(child: subprocess.Popen[str], patience: float = 5) -> None:
    """End a program: asked to, and killed when it does not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until the condition holds; CommandError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
