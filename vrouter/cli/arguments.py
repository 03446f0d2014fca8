"""Options and words: options may stand anywhere, before or after the verb and between its words.

An option's value may follow it, be glued to a short one (``-c3``), or come behind ``=`` of a long one. ``--`` ends the
options. (argparse would cost a probe a third of its time, and cannot do options anywhere with verbs.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from vrouter.cli.failure import did_you_mean, unbuilt, usage


class Option(NamedTuple):
    """One option: `value` names its value, "" for a switch."""

    flags: tuple[str, ...]
    name: str
    value: str
    text: str


class Arguments(NamedTuple):
    """What was typed. A switch's value is ""."""

    verb: str
    words: list[str]
    options: dict[str, str]

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self.options


EVERYWHERE: Final = (
    Option(("--admin",), "admin", "PATH", "the router's admin socket ($VROUTER_ADMIN, else /run/vrouter/vrouter.sock)"),
    Option(("-n", "--netns"), "netns", "NETNS", "in this namespace, by its path from the top"),
    Option(("--json",), "json", "", "stable JSON instead of a table"),
    Option(("-h", "--help"), "help", "", "this help"),
    Option(("--version",), "version", "", "the version"),
)


def parse(argv: list[str], verbs: dict[str, tuple[Option, ...]]) -> Arguments:
    """Sort out what was typed; `verbs` has the options of each verb. Failure (usage) for what cannot be.

    Without a verb, `verb` is "". A verb that is not in `verbs` is returned with nothing but what came before it.
    """
    verb = ""
    words: list[str] = []
    options: dict[str, str] = {}
    known: tuple[Option, ...] = EVERYWHERE
    rest = iter(argv)
    for word in rest:
        if word == "--":
            words += rest
        elif word.startswith("-") and word != "-":
            option, value = _option(word, rest, known, verb)
            if option.name in options:
                raise usage(f"option {option.flags[-1]} is given twice")
            options[option.name] = value
        elif not verb:
            verb = word
            if verb not in verbs:
                break
            known = (*EVERYWHERE, *verbs[verb])
        else:
            words.append(word)
    return Arguments(verb, words, options)


def _option(word: str, rest: Iterator[str], known: tuple[Option, ...], verb: str) -> tuple[Option, str]:
    flag, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
    option = next((option for option in known if flag in option.flags), None)
    if option is None:
        flags = tuple(flag for option in known for flag in option.flags)
        raise usage(f"{verb or 'vrouter'} has no option {flag} ({did_you_mean(flag, flags)})")
    if not option.value:
        if equals:
            raise usage(f"option {flag} takes no value, but got {value!r}")
        return option, ""
    if not equals:
        following = next(rest, None)
        if following is None:
            raise usage(f"option {flag} needs a value: {flag} {option.value}")
        value = following
    if not value:
        raise usage(f"option {flag} needs a value: {flag} {option.value}")
    return option, value


def key_values(words: list[str], keys: tuple[str, ...], later: tuple[str, ...] = ()) -> dict[str, str]:
    """``KEY VALUE …`` as a mapping. Failure for keys that are unknown, repeated, not built yet or without a value."""
    found: dict[str, str] = {}
    for key, value in zip(words[::2], [*words[1::2], None], strict=False):
        if key in later:
            raise unbuilt(key)
        if key not in keys:
            raise usage(f"{key!r} is not understood here ({did_you_mean(key, keys)})")
        if value is None:
            raise usage(f"{key} needs a value")
        if key in found:
            raise usage(f"{key} is given twice")
        found[key] = value
    return found


def number(text: str, what: str, low: int, high: int) -> int:
    """A whole number in bounds. Failure otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and low <= int(text) <= high):
        raise usage(f"{what} is a number of {low} to {high}, not {text!r}")
    return int(text)


def seconds(text: str, what: str, low: float, high: float) -> float:
    """Seconds in bounds, with a fraction if need be. Failure otherwise."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise usage(f"{what} is a number of seconds from {low:g} to {high:g}, not {text!r}")
    return value
