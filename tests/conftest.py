"""The strictness of the whole suite.

Warnings are errors (pyproject.toml). Beyond that, for every test:

- asynchronous tests run on stock asyncio and on uvloop; those with the mark `scoped` on vrouter's loops of both kinds;
- a test that leaves a task, an unhandled loop error, a thread, a child process, an open TAP, a link or a kernel
  namespace behind fails, although all its assertions held;
- hypothesis repeats the same examples in every run;
- `tap` and `tools(…)` skip a test with the reason when the machine lacks what it needs, and with VROUTER_NO_SKIPS=1
  (as in `.ci/run`) every skip is a failure.
"""

import asyncio
import contextlib
import importlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

TROUBLE = pytest.StashKey[list[str]]()
BEFORE = pytest.StashKey[dict[str, set[Any]]]()
PLUGIN = Path(__file__).parents[1] / "vrouter/testing/plugin.py"
NO_SKIPS = "VROUTER_NO_SKIPS"
SANDBOX = "VROUTER_SANDBOX"

hypothesis.settings.register_profile(
    "vrouter",
    derandomize=True,  # a failure today is a failure tomorrow
    database=None,
    deadline=None,  # a busy machine is no fault of the code
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("vrouter")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TROUBLE] = []
    # A checkout that is not installed has no entry point that would announce the plugin.
    if not config.pluginmanager.has_plugin("vrouter") and PLUGIN.exists():
        config.pluginmanager.register(importlib.import_module("vrouter.testing.plugin"), "vrouter")


# ------------------------------------------------------------------------------------------------------- both loops


class _Watched:
    """Mixed into a loop: notes what a runner has to cancel when it closes the loop, and errors that nobody handled."""

    trouble: list[str]

    def run_until_complete(self, future: Any) -> Any:
        # A runner runs tasks and coroutines; it waits for a plain future only where it cancels what was left over.
        if asyncio.isfuture(future) and not isinstance(future, asyncio.Task):
            self.trouble += [f"leaked task {task!r}" for task in asyncio.all_tasks(self)]
        return super().run_until_complete(future)


class _WatchedAsyncio(_Watched, asyncio.SelectorEventLoop):
    pass


class _WatchedUvloop(_Watched, uvloop.Loop):
    pass


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    def factory(kind: type[asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
        def make() -> asyncio.AbstractEventLoop:
            loop = kind()
            loop.trouble = config.stash[TROUBLE]
            loop.set_exception_handler(lambda loop, context: loop.trouble.append(f"unhandled in the loop: {context}"))
            return loop

        return make

    if item.get_closest_marker("scoped"):
        return {name: factory(kind) for name, kind in _scoped_loops().items()}
    return {"asyncio": factory(_WatchedAsyncio), "uvloop": factory(_WatchedUvloop)}


def _scoped_loops() -> dict[str, type[asyncio.AbstractEventLoop]]:
    from vrouter.loop import AsyncioLoop
    from vrouter.uvloop_loop import UvloopLoop

    class _ScopedAsyncio(_Watched, AsyncioLoop):
        pass

    class _ScopedUvloop(_Watched, UvloopLoop):
        pass

    return {"asyncio": _ScopedAsyncio, "uvloop": _ScopedUvloop}


# ------------------------------------------------------------------------------------------------------------ leaks


def _children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that ended meanwhile
            found.update(task.joinpath("children").read_text().split())
    return found


def _open_taps() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that listed the directory
            if os.readlink(fd) == "/dev/net/tun":
                found.add(fd.name)
    return found


def _links() -> set[str]:
    return {line.partition(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]}


def _kernel_namespaces() -> set[str]:
    directory = Path("/run/netns")
    return {entry.name for entry in directory.iterdir()} if directory.is_dir() else set()


def _ours(names: set[str]) -> set[str]:
    """Outside the sandbox others come and go on the same machine: ours carry our process id."""
    return names if SANDBOX in os.environ else {name for name in names if str(os.getpid()) in name}


def _snapshot() -> dict[str, set[Any]]:
    return {
        "thread": set(threading.enumerate()),
        "child process": _children(),
        "open TAP, fd": _open_taps(),
        "link": _ours(_links()),
        "kernel namespace": _ours(_kernel_namespaces()),
    }


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.stash[BEFORE] = _snapshot()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield  # every fixture of the test is gone now; loops are closed
    trouble = item.config.stash[TROUBLE]
    found, trouble[:] = list(trouble), []
    after = _snapshot()
    for kind, before in item.stash[BEFORE].items():
        found += [f"leaked {kind} {thing}" for thing in sorted(map(str, after[kind] - before))]
    if found:
        pytest.fail("\n".join(found), pytrace=False)
    return result


# ------------------------------------------------------------------------------------------------------------ skips


def _tap_reason() -> str | None:
    if os.geteuid() != 0:
        return "real TAPs and kernel namespaces need root"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("tap") and (reason := _tap_reason()):
        pytest.skip(reason)
    wanted = {name for mark in item.iter_markers("tools") for name in mark.args}
    if missing := sorted(name for name in wanted if shutil.which(name) is None):
        pytest.skip(f"missing on this machine: {', '.join(missing)}")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIPS in os.environ and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"a skip where none is allowed ({NO_SKIPS} is set): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _refuse_skip(report)
    return report
