"""What the checks found: mistakes and warnings with the place of each, still without line numbers.

A place is the path of a key in the parsed tree and what to point at. Positions are looked up at the end, and only when
there is something to report, because finding them costs a second pass over the text.
"""

import re
from collections.abc import Collection, Iterable
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import json

from vrouter.errors import Problem

if TYPE_CHECKING:  # loaded when there is something to report
    from vrouter.config.positions import Positions

Path = tuple[str | int, ...]

SUGGESTIONS = 100  # a file with thousands of unknown names is not worth seconds of guessing

_BARE = re.compile("[A-Za-z0-9_-]+")


class At(Enum):
    """What a problem points at."""

    KEY = 0
    VALUE = 1  # of a table: its header


class Refused(ValueError):
    """A value that a parser does not take: what is wrong with it and, perhaps, a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def key_text(path: Path) -> str:
    """The path as TOML would write it, with array indices in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _BARE.fullmatch(part) else json.encode(part.encode("utf-8", "replace").decode()).decode()
            text += f".{shown}" if text else shown
    return text


def choices(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *head, last = names
    return f"{', '.join(head)} or {last}" if head else last


class Findings:
    """The problems and warnings of one configuration."""

    def __init__(self) -> None:
        self._problems: list[tuple[Path, At, Path, str, str]] = []
        self._warnings: list[tuple[Path, At, Path, str, str]] = []
        self._elsewhere: list[Problem] = []
        self._suggestions = SUGGESTIONS

    def __len__(self) -> int:
        return len(self._problems) + len(self._elsewhere)

    def at_key(self, path: Path, message: str, hint: str = "") -> None:
        """The key itself is wrong."""
        self._problems.append((path, At.KEY, path, message, hint))

    def at_value(self, path: Path, message: str, hint: str = "") -> None:
        """What stands behind the key is wrong."""
        self._problems.append((path, At.VALUE, path, message, hint))

    def missing(self, table: Path, key: str, message: str, hint: str = "") -> None:
        """`table` lacks `key`."""
        self._problems.append((table, At.VALUE, (*table, key), message, hint))

    def in_file(self, filename: str, line: int, message: str, hint: str = "") -> None:
        """A line of another file that the configuration names is wrong."""
        self._elsewhere.append(Problem(filename, line, 1, "", message, hint))

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """The value at `path` is allowed, but hardly meant."""
        self._warnings.append((path, At.VALUE, path, message, hint))

    def closest(self, word: str, known: Collection[str]) -> str | None:
        """The known name that `word` resembles most, if one does."""
        if not known or not self._suggestions:
            return None
        self._suggestions -= 1
        from difflib import get_close_matches  # slow to import, and needed for mistakes only

        close = get_close_matches(word, known, 1)
        return close[0] if close else None

    def suggest(self, word: str, known: Collection[str]) -> str:
        """A hint with the known name that `word` resembles most; empty when none does."""
        close = self.closest(word, known)
        return f"did you mean {close!r}?" if close else ""

    def problems(self, filename: str, positions: "Positions | None") -> list[Problem]:
        """The mistakes with their places filled in."""
        return [_placed(finding, filename, positions) for finding in self._problems] + self._elsewhere

    def warnings(self, filename: str, positions: "Positions | None") -> list[Problem]:
        """The warnings with their places filled in."""
        return [_placed(finding, filename, positions) for finding in self._warnings]

    @property
    def any(self) -> bool:
        """Is there anything to report?"""
        return bool(self._problems or self._warnings or self._elsewhere)


def _placed(finding: tuple[Path, At, Path, str, str], filename: str, positions: "Positions | None") -> Problem:
    path, at, shown, message, hint = finding
    if positions is None:
        line = column = 0
    else:
        line, column = positions.key(path) if at is At.KEY else positions.value(path)
    return Problem(filename, line, column, key_text(shown), message, hint)
