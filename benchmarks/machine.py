"""The machine: which core is whose, what a process used of it, and what to say about it in a report."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORE = _CORES[0]
PEER_CORE = _CORES[-1]
NICE = -15
_AUTOGROUP = Path("/proc/self/autogroup")
_TICKS = os.sysconf("SC_CLK_TCK")


def tasks(pid: int) -> list[int]:
    """The threads of a process; none when it has ended."""
    with suppress(FileNotFoundError):
        return [int(entry) for entry in os.listdir(f"/proc/{pid}/task")]
    return []


def pin(pid: int, core: int) -> None:
    """Bind every thread of a process to one core; threads that it starts later inherit that."""
    for task in tasks(pid):
        with suppress(ProcessLookupError):
            os.sched_setaffinity(task, {core})


@contextmanager
def preferred() -> Iterator[None]:
    """Within the block this process and those that it starts go before others of the machine, where that is allowed.

    For what is alone on its core anyway. Traffic is measured without: the kernel's own threads have their part in it.
    """
    before, group = os.getpriority(os.PRIO_PROCESS, 0), _autogroup()
    try:
        _prefer(NICE, NICE)
        yield
    finally:
        _prefer(before, group)


def _prefer(nice: int, group: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    with suppress(OSError):  # sched(7): where sessions share the processor, the session's counts, not the process's
        _AUTOGROUP.write_text(str(group))


def _autogroup() -> int:
    with suppress(OSError):
        return int(_AUTOGROUP.read_text().split()[-1])
    return 0


def cpu_seconds(pid: int) -> tuple[float, float]:
    """(user, system) processor time that a process used so far; zero when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0, 0.0
    return int(fields[11]) / _TICKS, int(fields[12]) / _TICKS


def resident_kib(pid: int | str = "self") -> int:
    """Resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def facts() -> list[str]:
    """What a reader has to know about the machine, one fact a line."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith(("model name", "Model"))), "unknown"
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    shared = (
        "peers and clients share the only core"
        if CLIENT_CORE == PEER_CORE
        else "pinned: peers to one, clients to the other"
    )
    return [
        f"{len(_CORES)} cores ({model}), {shared}; {pages / 2**30:.1f} GiB",
        f"Linux {platform.release().partition('-')[0]}",
        f"{platform.python_implementation()} {platform.python_version()}",
    ]


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()
