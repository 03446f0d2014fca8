"""From whom a group is wanted: the filter of RFC 3376 3 and RFC 3810 4, for both families."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple


class Filter(NamedTuple):
    """From whom a group is wanted: from all but `sources` (``exclude``), or from `sources` alone."""

    exclude: bool
    sources: frozenset[int]

    def admits(self, source: int) -> bool:
        """Whether what `source` sends is wanted."""
        return self.exclude != (source in self.sources)


EVERYBODY: Final = Filter(True, frozenset())
NOBODY: Final = Filter(False, frozenset())


def merged(filters: Iterable[Filter]) -> Filter:
    """What all of them come to (RFC 3376 3.2, RFC 4605 4.1): if anybody excludes, what all who exclude do and nobody
    includes; else all that is included."""
    excluded: frozenset[int] | None = None
    included: frozenset[int] = frozenset()
    for one in filters:
        if not one.exclude:
            included |= one.sources
        elif excluded is None:
            excluded = one.sources
        else:
            excluded &= one.sources
    return Filter(False, included) if excluded is None else Filter(True, excluded - included)
