"""uvloop's loop with scopes; a module of its own, since uvloop takes its time to load and may be missing."""

from __future__ import annotations

import uvloop

from vrouter.loop import ScopedLoop


class UvloopLoop(ScopedLoop, uvloop.Loop):  # type: ignore[misc] # its types are not those of asyncio's loop
    """uvloop's loop, with scopes."""
