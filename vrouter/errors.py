"""The exceptions that vrouter raises by itself.

Everything that a kernel socket or ip(8) would refuse is an `OSError` with Linux's errno, an unknown namespace is a
`KeyError` and a bad address text a `ValueError`; the classes here are for what those cannot say. They are all
`VrouterError`. This module imports next to nothing, so that a client command may catch them without paying for more.
"""

import errno
from collections.abc import Iterable


def errno_name(number: int | None) -> str:
    """The name of an errno; of two names, the one that Linux's manual pages use. EIO where there is none."""
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode.get(number or 0, "EIO")


class VrouterError(Exception):
    """Base of every exception that is vrouter's own."""


class NotSupportedError(VrouterError):
    """The request is understood, but this version does not do it (yet)."""


class Problem:
    """One mistake (or warning) in a configuration, with the place to mend it.

    `line` and `column` count from 1, columns in characters; both are 0 where the configuration has no text (a mapping).
    `key` is the dotted path of the key, empty for a syntax error; `hint` a suggestion, empty when there is none.
    """

    __slots__ = ("column", "file", "hint", "key", "line", "message")

    def __init__(self, file: str, line: int, column: int, key: str, message: str, hint: str = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.message = message
        self.hint = hint

    def _values(self) -> tuple[str, int, int, str, str, str]:
        return self.file, self.line, self.column, self.key, self.message, self.hint

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}:{key} {self.message}{hint}"

    def __repr__(self) -> str:
        return f"Problem{self._values()!r}"

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Problem) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())


class ConfigError(VrouterError, ValueError):
    """A configuration that is refused; `problems` holds all of its mistakes, sorted by position."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(problems)
        files = list(dict.fromkeys(problem.file for problem in found))
        # The sort is stable: without positions the order of finding stays.
        found.sort(key=lambda problem: (files.index(problem.file), problem.line, problem.column))
        self.problems: tuple[Problem, ...] = tuple(found)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class PrivilegeError(VrouterError, PermissionError):
    """A privilege or a device is missing; `what` could not be done and `grant` says what would allow it."""

    def __init__(self, what: str, grant: str) -> None:
        self.what = what
        self.grant = grant
        super().__init__(errno.EPERM, f"{what}: {grant}")

    def __str__(self) -> str:
        return f"{self.what}: {self.grant}"

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.what, self.grant)
