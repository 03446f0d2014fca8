"""What a handler is given: the parts of a request that its endpoint asks for, checked and decoded."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A request that fits an endpoint: what its path, query and body say. `raw` is the body as plain JSON;
    `pieces` are a body that comes piece by piece."""

    path: dict[str, str]
    query: dict[str, Any]
    body: Any
    raw: Any
    headers: dict[str, str]
    pieces: AsyncGenerator[bytes, None] | None = None
