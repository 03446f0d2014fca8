"""From a script's text to tokens.

A token is a name, a number (with its value), a string, a sign, a piece of code (``%{ … }%``), shell lines between
backquotes, or an option line (``--name=value``). ``//`` and ``/* */`` begin comments; ``#`` does at the beginning of a
line. Names that the caller has defined are replaced by what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from vrouter.testing.packetdrill.script import ScriptError


class Kind(Enum):
    """What a token is."""

    NAME = "a name"
    INTEGER = "a number"
    DECIMAL = "a decimal number"
    STRING = "a string"
    SIGN = "a sign"
    CODE = "code"
    SHELL = "shell lines"
    OPTION = "an option"
    END = "the end"


class Token(NamedTuple):
    """``text`` as it is written (of code, shell and strings without what encloses it), ``line`` from 1."""

    kind: Kind
    text: str
    line: int
    space: bool  # whether space stands before it


_TOKENS: Final = re.compile(
    r"""(?P<space>[ \t\r\f\n]+|//[^\n]*|/\*.*?\*/|^\#[^\n]*)
      |(?P<option>^--[a-z_]+(=[^\n]*)?)
      |(?P<code>%\{.*?\}%)
      |(?P<shell>`[^`]*`)
      |(?P<string>"(?:[^"\\\n]|\\.)*")
      |(?P<decimal>\d*\.\d+)
      |(?P<integer>0[xX][0-9a-fA-F]+|\d+)
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<sign>\.\.\.|[-+*/~|&<>=,:;.()\[\]{}!^])""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_KINDS: Final = {
    "option": Kind.OPTION,
    "code": Kind.CODE,
    "shell": Kind.SHELL,
    "string": Kind.STRING,
    "decimal": Kind.DECIMAL,
    "integer": Kind.INTEGER,
    "name": Kind.NAME,
    "sign": Kind.SIGN,
}
_ENCLOSED: Final = {Kind.CODE: 2, Kind.SHELL: 1, Kind.STRING: 1}


def tokens(text: str, defines: Mapping[str, str] | None = None) -> list[Token]:
    """The tokens of `text`, the last one of kind END, with `defines` in the place of their names; ScriptError where
    there is none."""
    found: list[Token] = []
    at, line, space = 0, 1, True
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            raise ScriptError(line, f"{text[at]!r} is no part of the language")
        group = str(match.lastgroup if match["space"] is None else "space")
        if group == "space":
            space = True
        else:
            kind = _KINDS["option" if match["option"] is not None else group]
            cut = _ENCLOSED.get(kind, 0)
            word = match[0][cut : len(match[0]) - cut]
            if kind is Kind.NAME and defines and word in defines:
                inner = tokens(defines[word])[:-1]
                found += [Token(one.kind, one.text, line, one.space) for one in inner]
            else:
                found.append(Token(kind, word, line, space))
            space = False
        line += match[0].count("\n")
        at = match.end()
    found.append(Token(Kind.END, "", line, True))
    return found
