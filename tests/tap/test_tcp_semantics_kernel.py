"""The same calls on a kernel's stream socket and on ours, on loopback alone, compared answer by answer.

    kernel namespace of its own:  lo 127.0.0.1/8 ::1 ── sockets of Linux
    namespace of a stack:         lo 127.0.0.1/8 ::1 ── sockets of vrouter

`tcp_script` has the calls. This file is also the program that runs in the kernel's namespace: it prints its answers as
JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests.tap.tcp_script import PARTS, answers  # noqa: E402 -- the program has to find it first

FAMILIES = {"v4": socket.AF_INET, "v6": socket.AF_INET6}
CASES = [(family, name) for family in FAMILIES for name in PARTS]
MS = 1_000_000


class Theirs(socket.socket):
    """A socket of Linux that does not block, nor do those that it accepts."""

    def accept(self) -> tuple[socket.socket, Any]:
        sock, name = super().accept()
        sock.setblocking(False)
        return sock, name


class Kernel:
    """Linux's sockets, in the namespace that this process is in."""

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []

    def new(self, family: int) -> socket.socket:
        sock = Theirs(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        self.opened.append(sock)
        return sock

    def dissolve(self, sock: socket.socket) -> None:
        import ctypes

        ctypes.CDLL(None).connect(sock.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)

    def wait(self) -> None:
        """Loopback is gone through within the call that sends."""

    def close(self) -> None:
        for sock in self.opened:
            sock.close()


class Ours:
    """One of our sockets behind the kernel's signatures."""

    def __init__(self, world: Router, sock: Any) -> None:
        self.world = world
        self.sock = sock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.sock, name)
        return lambda *args: call(*args, now=self.world.now)

    def accept(self) -> tuple[Ours, Any]:
        sock, name = self.sock.accept(now=self.world.now)
        return Ours(self.world, sock), name


class Router:
    """A namespace that has nothing but its lo."""

    def __init__(self) -> None:
        from vrouter.stack.stack import Stack

        self.stack = Stack(seed=1)
        self.ns = self.stack.add_netns("red")
        self.now = 1_000 * MS

    def new(self, family: int) -> Ours:
        return Ours(self, self.ns.socket(family, socket.SOCK_STREAM))

    def dissolve(self, sock: Ours) -> None:
        sock.connect(None)

    def wait(self) -> None:
        self.now += 2 * MS
        self.stack.poll(self.now)


def kernel_answers() -> dict[str, list[list[Any]]]:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    found = {}
    for family, name in CASES:
        world = Kernel()
        found[f"{family} {name}"] = answers(world, FAMILIES[family], name)
        world.close()
    return found


@pytest.fixture(scope="module")
def kernel() -> dict[str, list[list[Any]]]:
    """What the kernel answers."""
    command = ["unshare", "-n", sys.executable, __file__]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, list[list[Any]]] = json.loads(run.stdout)
    return found


@pytest.mark.tap
@pytest.mark.tools("unshare", "ip")
@pytest.mark.parametrize(("family", "name"), CASES)
def test_each_call_answers_as_the_kernel(kernel: dict[str, list[list[Any]]], family: str, name: str) -> None:
    """RFC 9293 3.9.1, the interface to the user, RFC 3493: what they leave open is as Linux has it, value and errno."""
    ours = json.loads(json.dumps(answers(Router(), FAMILIES[family], name)))
    assert [pair for pair in zip(ours, kernel[f"{family} {name}"], strict=True) if pair[0] != pair[1]] == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(kernel_answers()))
