"""How often a device answers who asks for addresses: ARP and NDP alike.

A bucket that fills by one answer per `COST` and holds `ANSWERS_BURST` of them. Its state is one number, the time at
which it will be full again, so that a device that answers nobody pays nothing.
"""

from __future__ import annotations

from typing import Final

ANSWERS_PER_SECOND: Final = 1000
ANSWERS_BURST: Final = 1000

COST: Final = 1_000_000_000 // ANSWERS_PER_SECOND
_CREDIT: Final = COST * (ANSWERS_BURST - 1)


def spend(busy_until: int, now: int) -> int:
    """Take an answer from the bucket that will be full at `busy_until`: its new state, or -1 when it is empty."""
    busy_until = max(busy_until, now)
    return -1 if busy_until - now > _CREDIT else busy_until + COST
