"""How a verb fails: one line for a person, a status for a script."""

from typing import Final

RUNTIME: Final = 1
USAGE: Final = 2
PRIVILEGE: Final = 3
NO_ROUTER: Final = 4
INTERRUPTED: Final = 130


class Failure(Exception):
    """A verb gives up: `message` says what is wrong and what mends it, `status` is the process's exit status.

    `error` is an errno's name, for ``--json``.
    """

    def __init__(self, status: int, message: str, error: str) -> None:
        self.status = status
        self.message = message
        self.error = error
        super().__init__(message)


def usage(message: str) -> Failure:
    """What was typed is wrong."""
    return Failure(USAGE, message, "EINVAL")


def unbuilt(what: str) -> Failure:
    """What was typed is understood, but there is no such thing yet."""
    return Failure(USAGE, f"{what}: not supported yet", "EOPNOTSUPP")


def did_you_mean(word: str, words: tuple[str, ...]) -> str:
    """A suggestion for a word that is not among `words`, else what there is."""
    from difflib import get_close_matches  # only for who mistyped

    near = get_close_matches(word, words, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(words)}"
