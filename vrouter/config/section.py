"""One table of the configuration while it is being checked.

A `Section` hands out the values of its keys in the type that is asked for. What is wrong with a key is recorded, and
the default is given instead, so that one walk finds every mistake. A path tuple is built only when there is one.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, TypeVar

from vrouter.config.findings import Findings, Path, Refused, choices

T = TypeVar("T")
C = TypeVar("C", bound=str)

NOT_YET = "not supported yet"
NOUNS: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
}


def noun(value: object) -> str:
    """What TOML calls the type of `value`."""
    return NOUNS.get(type(value), "None" if value is None else f"a {type(value).__name__}")


class Section:
    """The table at `path`."""

    __slots__ = ("findings", "path", "table")

    def __init__(self, findings: Findings, path: Path, table: dict[str, Any]) -> None:
        self.findings = findings
        self.path = path
        self.table = table

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def at(self, key: str) -> Path:
        """The path of `key`."""
        return (*self.path, key)

    def wrong(self, key: str, message: str, hint: str = "") -> None:
        """The value of `key` is wrong."""
        self.findings.at_value(self.at(key), message, hint)

    def keys(
        self, known: Collection[str], later: Collection[str] = (), of_table: Callable[[str], str] | None = None
    ) -> None:
        """Report every key that is not `known`; those of `later` are understood, but nothing does them yet.

        `of_table` makes the hint for an unknown key that resembles none and has a table as its value.
        """
        for key, value in self.table.items():
            if key in known:
                continue
            if not isinstance(key, str):
                self.findings.at_key(self.at(str(key)), "a key must be a string")
            elif key in later:
                self.findings.at_key(self.at(key), NOT_YET)
            else:
                hint = self.findings.suggest(key, known)
                if not hint and of_table is not None and isinstance(value, dict):
                    hint = of_table(key)
                self.findings.at_key(self.at(key), "unknown key", hint)

    def get(self, key: str, kind: type[T]) -> T | None:
        """The value of `key`, or None when it is not given or not of the type `kind`."""
        try:
            value = self.table[key]
        except KeyError:
            return None
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        self.wrong(key, f"must be {NOUNS[kind]}, not {noun(value)}")
        return None

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        value = self.get(key, bool)
        return default if value is None else value

    def number(self, key: str, low: int, high: int, default: int) -> int:
        """An integer from `low` to `high`."""
        value = self.get(key, int)
        if value is None:
            return default
        if not low <= value <= high:
            self.wrong(key, f"must be {low} to {high}, not {value}")
            return default
        return value

    def optional_number(self, key: str, low: int, high: int) -> int | None:
        """An integer from `low` to `high`, None when it is not given."""
        before = len(self.findings)
        value = self.number(key, low, high, low)
        return value if key in self.table and len(self.findings) == before else None

    def optional_choice(self, key: str, names: tuple[C, ...]) -> C | None:
        """One of `names`, None when it is not given."""
        return self.choice(key, names, names[0]) if key in self.table else None

    def choice(self, key: str, names: tuple[C, ...], default: C, later: Collection[str] = ()) -> C:
        """One of `names`; those of `later` are understood, but nothing does them yet."""
        value = self.get(key, str)
        if value is None:
            return default
        for name in names:
            if name == value:
                return name
        if value in later:
            self.wrong(key, f"{value!r} is {NOT_YET}")
        else:
            self.wrong(key, f"must be {choices(names)}, not {value!r}", self.findings.suggest(value, names))
        return default

    def parsed(self, key: str, parse: Callable[[str], T]) -> T | None:
        """What `parse` makes of the text, or None when it is not given or refused."""
        text = self.get(key, str)
        if text is None:
            return None
        try:
            return parse(text)
        except Refused as refused:
            self.wrong(key, refused.message, refused.hint)
            return None

    def required(self, key: str, why: str) -> bool:
        """Is `key` given? Reports at the table's header when it is not."""
        if key in self.table:
            return True
        self.findings.missing(self.path, key, f"is missing: {why}")
        return False

    def texts(self, key: str) -> Iterator[tuple[int, str]]:
        """The strings of an array with their indices."""
        for index, value in enumerate(self.array(key)):
            if isinstance(value, str):
                yield index, value
            else:
                self.findings.at_value((*self.path, key, index), f"must be a string, not {noun(value)}")

    def tables(self, key: str, hint: str) -> Iterator[tuple[int, "Section"]]:
        """The tables of an array with their indices; `hint` says how to write it."""
        if isinstance(self.table.get(key), dict):
            self.wrong(key, "must be an array of tables, not a table", hint)
            return
        for index, value in enumerate(self.array(key)):
            section = table(self.findings, (*self.path, key, index), value)
            if section is not None:
                yield index, section

    def child(self, key: str) -> "Section | None":
        """The table at `key`, if it is given and one."""
        if key not in self.table:
            return None
        return table(self.findings, self.at(key), self.table[key])

    def children(self, key: str) -> Iterator[tuple[str, Any]]:
        """The names and values of the table at `key`, without those whose name is not a string."""
        section = self.child(key)
        for name, value in section.table.items() if section else ():
            if isinstance(name, str):
                yield name, value
            else:
                self.findings.at_key((*self.path, key, str(name)), "a key must be a string")

    def parsed_texts(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """What `parse` makes of the strings of an array, without those that it refuses."""
        found = []
        for index, text in self.texts(key):
            try:
                found.append(parse(text))
            except Refused as refused:
                self.findings.at_value((*self.path, key, index), refused.message, refused.hint)
        return tuple(found)

    def array(self, key: str) -> list[Any] | tuple[Any, ...]:
        """The elements of an array; none when it is not given or no array."""
        value = self.table.get(key, ())
        if isinstance(value, list | tuple):
            return value
        self.wrong(key, f"must be an array, not {noun(value)}")
        return ()


def table(findings: Findings, path: Path, value: object) -> Section | None:
    """`value` as a section; None, and reported, when it is no table."""
    if isinstance(value, dict):
        return Section(findings, path, value)
    findings.at_value(path, f"must be a table, not {noun(value)}")
    return None
