"""What every part of the results file is made of: medians with their spread, ratios, tables, verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

MICRO, MEGA = 1e-6, 1e6


class Verdict(NamedTuple):
    """One thing that has to hold. `found` is None when it was not measured; that is no failure where `absent` says who
    was not there to compare with."""

    what: str
    wanted: str
    found: float | None
    holds: Callable[[float], bool]
    form: str
    absent: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """A row of the table."""
        if self.found is not None:
            return self.what, self.wanted, f"{self.found:{self.form}}", "yes" if self.holds(self.found) else "**no**"
        if self.absent:
            return self.what, self.wanted, f"{self.absent} is absent", ""
        return self.what, self.wanted, "not measured", "**no**"


def at_least(what: str, least: float, found: float | None, absent: str = "", form: str = ".2f") -> Verdict:
    """A verdict on a ratio that may not be smaller."""
    return Verdict(what, f"≥ {least:g}", found, lambda value: value >= least, form, absent)


def spread(values: Sequence[float], unit: float = 1, digits: int = 0) -> str:
    """The median, and the least and the most in brackets."""
    low, high = min(values) / unit, max(values) / unit
    middle = statistics.median(values) / unit
    return f"{middle:,.{digits}f} ({low:,.{digits}f} – {high:,.{digits}f})"


def percentile(values: Iterable[float], percent: int) -> float:
    """The value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Median by median; None where nothing was measured."""
    return statistics.median(ours) / statistics.median(theirs) if ours and theirs else None


def compare(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The ratio as a cell."""
    found = ratio(ours, theirs)
    return "" if found is None else f"{found:.2f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table of Markdown; the first `words` columns are text, the others numbers."""
    marks = ["---" if column < words else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows)) + "\n"


def bold(name: str) -> str:
    """vrouter's own name stands out."""
    return f"**{name}**" if name == "vrouter" else name
