"""Worlds for tests of the asyncio calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

import vrouter
from tests.path.sockets.world import KERNEL, NETNS, NETNS6, World, make_world, two_namespaces


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The measure is what asyncio's own transports do over the kernel; uvloop's differ from them in places."""
    here = Path(__file__).parent
    items[:] = [item for item in items if here not in item.path.parents or "[uvloop-kernel" not in item.nodeid]


@pytest_asyncio.fixture(params=[KERNEL, NETNS, NETNS6])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The kernel's loopback and two namespaces, one after the other: the same test holds in all of them."""
    async with make_world(request.param) as made:
        yield made


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[tuple[vrouter.Netns, vrouter.Netns]]:
    """red and blue, joined by a veth."""
    async with two_namespaces() as made:
        yield made
