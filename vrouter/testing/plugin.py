"""The pytest plugin: the fixtures `lab` and `tap_lab`, found by pytest wherever vrouter is installed.

- ``lab``: a `vrouter.testing.Lab`, closed and checked after the test. ``@pytest.mark.lab(seed=7, resolve=True)`` gives
  it arguments. When a test fails, the last frames of its network are shown with it.
- ``tap_lab``: a `vrouter.testing.TapLab`; a test that wants it is skipped, with the reason, where the machine or its
  privileges do not allow TAPs and kernel namespaces. For synchronous tests and for asynchronous ones of any plugin.

``--lab-seed=N`` changes the seed of every lab that names none, ``--lab-pcap=DIR`` writes a pcapng file for each test.

This module is loaded in every run of pytest where vrouter is installed, so it imports nothing before it is needed.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vrouter.testing.lab import Lab
    from vrouter.testing.tap_lab import TapLab


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the command line."""
    group = parser.getgroup("vrouter", "networks for tests (vrouter)")
    group.addoption("--lab-seed", type=int, default=1, metavar="N", help="seed of labs that name none (default: 1)")
    group.addoption("--lab-pcap", metavar="DIR", help="write the frames of each test's lab to DIR as pcapng")


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line(
        "markers", "lab(seed=1, resolve=False, ipv6=True): arguments of the test's network (fixture `lab`)"
    )


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A network of hosts, routers and wires in virtual time (`vrouter.testing.Lab`)."""
    from vrouter.testing.lab import Lab

    marker = request.node.get_closest_marker("lab")
    options: dict[str, Any] = {"seed": request.config.getoption("--lab-seed"), **(marker.kwargs if marker else {})}
    with Lab(**options) as made:
        directory = request.config.getoption("--lab-pcap")
        if directory:
            made.pcap(_pcap_path(directory, request.node.nodeid))
        yield made


def _pcap_path(directory: str, nodeid: str) -> str:
    from pathlib import Path

    Path(directory).mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", nodeid)
    return f"{directory}/{name}.pcapng"


@pytest.fixture
def tap_lab(request: pytest.FixtureRequest) -> Iterator[TapLab]:
    """A router on real TAPs, with kernel namespaces as hosts (`vrouter.testing.TapLab`)."""
    from vrouter.testing.tap_lab import TapLab, missing

    reason = missing()
    if reason:
        pytest.skip(reason)
    with TapLab() as made:
        _close_with_the_test(request.node, made)
        yield made


def _close_with_the_test(item: Any, made: TapLab) -> None:
    """Have an asynchronous test end its routers by itself, on the loop they run on, which is gone at the teardown."""
    test = item.obj
    if inspect.iscoroutinefunction(test):

        @functools.wraps(test)
        async def closing(*args: Any, **kwargs: Any) -> None:
            try:
                await test(*args, **kwargs)
            finally:
                await made.aclose()

        item.obj = closing


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the last frames of the network with a test that failed."""
    report = yield
    made = getattr(item, "funcargs", {}).get("lab") if report.failed else None
    if made is not None and hasattr(made, "trace"):
        report.sections.append((f"the last frames of {made!r}", made.trace()))
    return report
