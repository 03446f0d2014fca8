"""A router in this process with two namespaces.

red ──── x ═══veth═══ y ──── blue
   10.0.0.1/24        10.0.0.2/24
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

import vrouter
from tests.path.api.ends import assert_balanced, pair


@pytest_asyncio.fixture
async def router() -> AsyncIterator[vrouter.Router]:
    """A router with red and blue, whose accounts balance at the end."""
    async with vrouter.Router(seed=1) as one:
        await pair(one)
        yield one
    assert_balanced(one)
