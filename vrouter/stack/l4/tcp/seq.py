"""Sequence numbers: 32 bits on the wire, unbounded here.

A number of the wire is the low half of the unbounded one that is nearest to a number known already (RFC 9293 3.4; a
window is below 2**30, so "nearest" is never in doubt). First numbers are drawn above 2**32, so that what lies a window
below them is not negative. Timestamps (RFC 7323) stay 32 bits wide and are compared with `before`.
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFFFFFF
HALF: Final = 0x80000000
FIRST: Final = 1 << 32  # added to an initial sequence number


def unwrap(wire: int, near: int) -> int:
    """The unbounded number with the low 32 bits `wire` that is nearest to `near`."""
    return near + ((wire - near + HALF) & MASK) - HALF


def before(one: int, other: int) -> bool:
    """Whether the 32-bit number `one` comes before `other`."""
    return (one - other) & MASK >= HALF
