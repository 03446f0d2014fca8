"""What stands behind a verb: which action is meant, on what, and what the router's answer prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vrouter.cli.arguments import Arguments, Option, number
from vrouter.cli.client import decoded
from vrouter.cli.failure import did_you_mean, unbuilt, usage

FAMILY: Final = (
    Option(("-4",), "inet", "", "IPv4 only"),
    Option(("-6",), "inet6", "", "IPv6 only"),
)
SOCKETS: Final = (
    Option(("-t", "--tcp"), "tcp", "", "of sockets: TCP's alone"),
    Option(("-u", "--udp"), "udp", "", "of sockets: UDP's alone"),
    Option(("--raw",), "raw", "", "of sockets: raw ones alone"),
    Option(("-0", "--packet"), "packet", "", "of sockets: packet sockets alone"),
    Option(("-l", "--listening"), "listening", "", "of sockets: those without a peer alone"),
    Option(("-i", "--info"), "info", "", "of sockets: all that is known of TCP connections"),
)
_ON: Final = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


def chosen(arguments: Arguments, actions: tuple[str, ...], later: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """The word behind the verb, and those behind it. Failure for one that is unknown, or not built yet."""
    if not arguments.words:
        raise usage(f"{arguments.verb} what? {', '.join(actions)}")
    action, *words = arguments.words
    if action in later:
        raise unbuilt(f"{arguments.verb} {action}")
    if action not in actions:
        raise usage(f"there is no `{arguments.verb} {action}` ({did_you_mean(action, actions)})")
    return action, words


def first(arguments: Arguments, words: list[str], what: str) -> tuple[str, list[str]]:
    """The next word, which is `what`, and those behind it. Failure when there is none."""
    if not words:
        raise usage(f"{arguments.verb} {arguments.words[0]} needs {what}")
    return words[0], words[1:]


def needed(arguments: Arguments, keys: dict[str, str], key: str, what: str) -> str:
    """The value of `key`, which is `what`. Failure when it was not given."""
    if key not in keys:
        raise usage(f"{arguments.verb} {arguments.words[0]} needs {what}")
    return keys[key]


def nothing_more(words: list[str]) -> None:
    """Failure when there are words left."""
    if words:
        raise usage(f"{words[0]!r} is too much")


def family_of(arguments: Arguments) -> int | None:
    """4 or 6 by ``-4`` or ``-6``, None without. Failure for both."""
    if arguments.has("inet") and arguments.has("inet6"):
        raise usage("-4 and -6: one of them")
    return 4 if arguments.has("inet") else 6 if arguments.has("inet6") else None


def switched(text: str, what: str) -> bool:
    """``on`` or ``off``. Failure otherwise."""
    if text not in _ON:
        raise usage(f"{what} is on or off, not {text!r}")
    return _ON[text]


def numbered(keys: dict[str, Any], names: tuple[str, ...], low: int = 0, high: int = 2**32 - 1) -> None:
    """Make those of `names` that are among `keys` numbers. Failure for what is none."""
    for name in names:
        if name in keys:
            keys[name] = number(keys[name], name, low, high)


def done(arguments: Arguments, data: bytes, text: Callable[[Any], str] | None = None) -> int:
    """Print what the router answered: JSON when it is asked for, else nothing, or `text` of it."""
    if arguments.has("json"):
        print(data.decode() or "{}")
    elif text is not None:
        print(text(decoded(data)))
    return 0
