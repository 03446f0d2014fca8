"""From the start of `vrouter run` with configs/router.toml to readiness, and what it then takes to be idle."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.commands import ip
from benchmarks.machine import cpu_seconds, resident_kib
from benchmarks.sites import run_vrouter


@dataclass(slots=True)
class Starts:
    """Of one variant, a value a run: seconds to readiness, of which work; resident MiB; work for each second idle."""

    ready: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


def start_once(starts: Starts, *, kernel_ends: bool, idle_seconds: float) -> None:
    """One start; names carry the process id."""
    lan_host, wan_host, netns = (f"vb{os.getpid()}s{end}" for end in "abm")
    with ExitStack() as stack:
        ip("netns", "add", netns)  # the clients' are the router's to make and to remove
        stack.callback(ip, "netns", "del", netns)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vrouter-bench-")))
        running = run_vrouter(directory, lan_host, wan_host, netns, kernel_ends=kernel_ends)
        pid, _, took = stack.enter_context(running)
        starts.ready.append(took / 1e9)
        starts.cpu.append(sum(cpu_seconds(pid)))
        if idle_seconds:
            time.sleep(1)
            before = sum(cpu_seconds(pid))
            time.sleep(idle_seconds)
            starts.idle.append((sum(cpu_seconds(pid)) - before) / idle_seconds)
        starts.mib.append(resident_kib(pid) / 1024)


def measure(runs: int, idle_seconds: float) -> dict[bool, Starts]:
    """By whether the kernel's ends are set up: `runs` starts of each in turn; the last of each is watched when idle."""
    found = {True: Starts(), False: Starts()}
    start_once(Starts(), kernel_ends=True, idle_seconds=0)  # leaves bytecode
    for run in range(runs):
        for kernel_ends, starts in found.items():
            start_once(starts, kernel_ends=kernel_ends, idle_seconds=idle_seconds if run == runs - 1 else 0)
    return found
