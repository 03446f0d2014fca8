"""Names, TAPs, kernel namespaces and child processes that belong to one test and are gone after it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vrouter import kernel_netns
from vrouter.tap import Tap, close_taps

ROOT = Path(__file__).parents[2]


def ip(*words: str) -> str:
    """Run ip(8)."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(name="ip")
def ip_command() -> Callable[..., str]:
    return ip


@pytest.fixture
def new_name() -> Iterator[Callable[[], str]]:
    """A name that no other test process uses, short enough for an interface; a namespace of a failed test goes."""
    given: list[str] = []

    def give() -> str:
        given.append(f"t{os.getpid()}n{len(given)}")
        return given[-1]

    yield give
    for name in given:
        if os.path.exists(f"{kernel_netns.DIRECTORY}/{name}"):
            ip("netns", "del", name)


@pytest.fixture
def open_tap(new_name: Callable[[], str]) -> Iterator[Callable[..., Tap]]:
    """Opens TAPs (by a new name if none is given) and closes them at the end."""
    taps: list[Tap] = []

    def open_one(ifname: str | None = None, **options: Any) -> Tap:
        taps.append(Tap(new_name() if ifname is None else ifname, **options))
        return taps[-1]

    yield open_one
    close_taps(taps)


@pytest.fixture
def new_link(new_name: Callable[[], str]) -> Iterator[Callable[..., str]]:
    """Makes a link as `ip` is told to and deletes it at the end: new_link("link", "type", "bridge")."""
    made: list[str] = []

    def make(what: str, *words: str, name: str | None = None) -> str:
        name = name or new_name()
        ip(what, "add", "dev" if what == "tuntap" else "name", name, *words)
        made.append(name)
        return name

    yield make
    for name in made:
        subprocess.run(["ip", "link", "del", name], capture_output=True)  # a test may have deleted it


@pytest.fixture
def new_netns(new_name: Callable[[], str]) -> Iterator[Callable[[], str]]:
    """Makes kernel namespaces as a stranger would, and deletes them at the end."""
    made: list[str] = []

    def make() -> str:
        name = new_name()
        ip("netns", "add", name)
        made.append(name)
        return name

    yield make
    for name in made:
        ip("netns", "del", name)


@pytest.fixture
def inside(new_netns: Callable[[], str]) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Runs a function in a kernel namespace of the test's own, so that nothing of the machine is touched."""
    with kernel_netns.opened(new_netns()) as netns_fd:
        yield lambda function: kernel_netns.call_in(netns_fd, function)


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program with this checkout in its path; it is killed at the end at the latest."""
    with contextlib.ExitStack() as stack:

        def start(program: str, *arguments: str, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
            child = subprocess.Popen(
                [*under, sys.executable, "-c", program, *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            return child

        yield start


@pytest.fixture
def outcome(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """What a Python program prints that ends by itself without complaint."""

    def run(program: str, *arguments: str, under: tuple[str, ...] = ()) -> str:
        out, err = start_python(program, *arguments, under=under).communicate(timeout=30)
        assert err == ""
        return out.strip()

    return run
