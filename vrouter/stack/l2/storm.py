"""Limits of what one port may have flooded: a bucket of tokens for each kind of frame, refilled by virtual time.

A bucket holds one second's tokens, so a port may send that many at once and then as many each second.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

KINDS: Final = ("broadcast", "multicast", "unknown")
BROADCAST, MULTICAST, UNKNOWN = range(3)
MAX_RATE: Final = 1_000_000_000  # frames a second
_SECOND: Final = 1_000_000_000


class TokenBucket:
    """`rate` tokens a second, and no more than that at once; one that is given none has none to give (rate 0)."""

    __slots__ = ("_empty_at", "_interval", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._interval = _SECOND // rate if rate else 0
        self._empty_at = 0  # ns: until then tokens are spent in advance; the bucket is full when that is past

    def take(self, now: int) -> bool:
        """Whether there is a token, which is spent then."""
        if not self.rate:
            return False
        spent = max(self._empty_at, now) + self._interval
        if spent - now > self._interval * self.rate:
            return False
        self._empty_at = spent
        return True


class StormLimits:
    """The buckets of one port, by kind; None where there is no limit."""

    __slots__ = ("buckets",)

    def __init__(self, rates: Mapping[str, int]) -> None:
        """`rates` in frames a second by the names of `KINDS`; OSError EINVAL for another name or rate."""
        for name, rate in rates.items():
            if name not in KINDS:
                raise OSError(errno.EINVAL, f"no storm limit {name!r}: {', '.join(KINDS)}")
            if not 0 <= rate <= MAX_RATE:
                raise OSError(errno.EINVAL, f"a storm limit is 0 to {MAX_RATE} frames a second")
        self.buckets = tuple(TokenBucket(rates[name]) if name in rates else None for name in KINDS)

    def allows(self, kind: int, now: int) -> bool:
        """Whether one more frame of this kind may be flooded now."""
        bucket = self.buckets[kind]
        return bucket is None or bucket.take(now)

    def rates(self) -> dict[str, int]:
        """The limits that there are."""
        return {name: b.rate for name, b in zip(KINDS, self.buckets, strict=True) if b is not None}
