"""What path tests share: a router between two stations, whose accounts balance at the end of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.bed import Bed


@pytest.fixture
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """`Bed.line`; ``@pytest.mark.parametrize("bed", [{...}], indirect=True)`` sets its arguments."""
    found = Bed.line(**getattr(request, "param", {}))
    yield found
    found.close()


@pytest.fixture
def empty() -> Iterator[Bed]:
    """A bed without namespaces."""
    found = Bed()
    yield found
    found.close()
