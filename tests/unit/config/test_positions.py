"""Where keys and values stand in a TOML text."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.config.positions import Path, Positions

EXAMPLE = "\n".join(
    [
        '# a comment with [brackets] and "quotes"',
        "[router]",
        'log = { level = "info", "for.mat" = { a . b = 1 } } # {',
        "",
        "  [[netns.red.route]]",
        'to = "x"',
        "[[netns.red.route]]",
        "\tto = [1,",
        "  { a = 1979-05-27 07:32:00, b = [] }, # ],",
        '  """a""""", [' + "'''",
        "]''', '\"]']]",
        "[netns.'a/b'.\"q\\u0041\"]",
        "a . b = 1 # same line",
        "a.c = 2.5",
        "[ netns . red ]",
        'kind="l2"',
        "[[netns.red.route.deep]]",
        '"é\\"" = "ü" # columns count characters',
        "'' = true",
        "",
    ]
)


def places(text: str) -> dict[Path, tuple[tuple[int, int], tuple[int, int]]]:
    positions = Positions(text)
    return {path: (positions.key(path), positions.value(path)) for path in positions.values}


EXPECTED = {
    ("router",): ((2, 2), (2, 1)),
    ("router", "log"): ((3, 1), (3, 7)),
    ("router", "log", "level"): ((3, 9), (3, 17)),
    ("router", "log", "for.mat"): ((3, 25), (3, 37)),
    ("router", "log", "for.mat", "a"): ((3, 39), (3, 39)),
    ("router", "log", "for.mat", "a", "b"): ((3, 43), (3, 47)),
    ("netns",): ((5, 5), (5, 3)),
    ("netns", "red"): ((15, 11), (15, 1)),
    ("netns", "red", "route"): ((5, 15), (5, 3)),
    ("netns", "red", "route", 0): ((5, 15), (5, 3)),
    ("netns", "red", "route", 0, "to"): ((6, 1), (6, 6)),
    ("netns", "red", "route", 1): ((7, 13), (7, 1)),
    ("netns", "red", "route", 1, "to"): ((8, 2), (8, 7)),
    ("netns", "red", "route", 1, "to", 0): ((8, 8), (8, 8)),
    ("netns", "red", "route", 1, "to", 1): ((9, 3), (9, 3)),
    ("netns", "red", "route", 1, "to", 1, "a"): ((9, 5), (9, 9)),
    ("netns", "red", "route", 1, "to", 1, "b"): ((9, 30), (9, 34)),
    ("netns", "red", "route", 1, "to", 2): ((10, 3), (10, 3)),
    ("netns", "red", "route", 1, "to", 3): ((10, 14), (10, 14)),
    ("netns", "red", "route", 1, "to", 3, 0): ((10, 15), (10, 15)),
    ("netns", "red", "route", 1, "to", 3, 1): ((11, 7), (11, 7)),
    ("netns", "a/b"): ((12, 8), (12, 1)),
    ("netns", "a/b", "qA"): ((12, 14), (12, 1)),
    ("netns", "a/b", "qA", "a"): ((13, 1), (13, 1)),
    ("netns", "a/b", "qA", "a", "b"): ((13, 5), (13, 9)),
    ("netns", "a/b", "qA", "a", "c"): ((14, 3), (14, 7)),
    ("netns", "red", "kind"): ((16, 1), (16, 6)),
    ("netns", "red", "route", 1, "deep"): ((17, 19), (17, 1)),
    ("netns", "red", "route", 1, "deep", 0): ((17, 19), (17, 1)),
    ("netns", "red", "route", 1, "deep", 0, 'é"'): ((18, 1), (18, 9)),
    ("netns", "red", "route", 1, "deep", 0, ""): ((19, 1), (19, 6)),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_place_of_a_text_with_every_form(newline: str) -> None:
    """TOML 1.0: dotted, quoted and escaped keys, arrays of tables in one another, inline tables, long strings."""
    text = EXAMPLE.replace("\n", newline)
    tomllib.loads(text)
    assert places(text) == EXPECTED


def test_a_path_that_is_not_there_has_the_place_of_the_table_it_is_missing_from() -> None:
    """What is missing is reported at the header."""
    positions = Positions("\n [a]\nb = 1\n")
    assert positions.value(("a", "c", 0, "d")) == (2, 2)
    assert positions.key(("a", "c")) == (2, 2)
    assert positions.value(("x",)) == (1, 1)


def test_a_text_without_a_last_newline_and_one_without_anything() -> None:
    """The scan ends where the text does."""
    assert places("a = 1") == {("a",): ((1, 1), (1, 5))}
    assert places("") == {}
    assert places("# only this") == {}


def test_long_strings_cost_no_more_than_their_length() -> None:
    """The expressions do not backtrack: a megabyte of quotes and backslashes is one pass."""
    content = '\\" "" ' * 200_000
    text = f'a = """{content}"""\nb = {{ c = "{chr(92)}{chr(92)}" }}\n'
    assert places(text)["b", "c"] == ((2, 7), (2, 11))


# ------------------------------------------------------------------------------------------- against tomllib's own tree

words = st.text("ab-_09", min_size=1, max_size=3)
keys = words | st.text(st.sampled_from("a.é \"'\\#=[]{},\t\n🙂"), max_size=4)
scalars = (
    st.integers(-9, 99)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | st.dates()
    | st.datetimes()
    | st.text(st.sampled_from("a.é \"'\\#=[]{},\t\n🙂"), max_size=6)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
trees = st.recursive(
    st.dictionaries(keys, values, max_size=3),
    lambda inner: st.dictionaries(keys, inner | st.lists(inner, min_size=1, max_size=2), max_size=3),
    max_leaves=6,
)


class Writer:
    """Writes a tree as TOML in randomly chosen forms, noting where each key and value comes to stand."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}

    def pick(self, *options: str) -> str:
        return self.draw(st.sampled_from(options))

    def space(self) -> str:
        return self.pick("", " ", "\t ")

    def blank(self) -> None:
        self.text += self.pick("", "\n", " # [c] = \"'é\n", "\n\n ")

    def string(self, value: str) -> None:
        escaped = "".join(f"\\U{ord(c):08x}" if c in '"\\\n\t' or self.draw(st.booleans()) else c for c in value)
        forms = [f'"{escaped}"', f'"""{escaped}"""', f'"""\n{escaped}"""']
        if not set(value) & set("'\n"):
            forms += [f"'{value}'", f"'''{value}'''"]
        self.text += self.pick(*forms)

    def key(self, name: str) -> None:
        escaped = "".join(f"\\u{ord(c):04x}" if c in '"\\\n\t' else c for c in name)
        forms = [f'"{escaped}"']
        if not set(name) & set("'\n"):
            forms.append(f"'{name}'")
        if name and set(name) <= set("ab-_09"):
            forms.append(name)
        self.text += self.pick(*forms)

    def value(self, path: Path, value: Any) -> None:
        self.values[path] = len(self.text)
        if isinstance(value, str):
            self.string(value)
        elif isinstance(value, bool):
            self.text += str(value).lower()
        elif isinstance(value, list):
            self.text += "["
            for index, element in enumerate(value):
                self.blank()
                self.keys[(*path, index)] = len(self.text)
                self.value((*path, index), element)
                self.blank()
                self.text += "," if index + 1 < len(value) else self.pick("", ",")
            self.blank()
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{" + self.space()
            for index, (name, content) in enumerate(value.items()):
                self.text += ("," if index else "") + self.space()
                self.entry(path, name, content)
                self.text += self.space()
            self.text += "}"
        elif hasattr(value, "isoformat"):
            self.text += value.isoformat().replace("T", self.pick("T", " "))
        else:
            self.text += repr(value)

    def entry(self, table: Path, name: str, value: Any) -> None:
        """`name = value`, or a dotted key where the value is a table that has just one entry."""
        path = (*table, name)
        self.keys[path] = self.values[path] = len(self.text)
        self.key(name)
        while isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
            ((name, value),) = value.items()
            self.text += self.space() + "." + self.space()
            path = (*path, name)
            self.keys[path] = self.values[path] = len(self.text)
            self.key(name)
        self.text += self.space() + "=" + self.space()
        self.value(path, value)

    def table(self, path: Path, tree: dict[str, Any]) -> None:
        """The entries of a table, then those of its children that get a header of their own."""
        later = []
        for name, value in tree.items():
            is_table = isinstance(value, dict)
            is_array = isinstance(value, list) and value != [] and all(isinstance(item, dict) for item in value)
            if (is_table or is_array) and self.draw(st.booleans()):
                later.append((name, value))
                continue
            self.blank()
            self.text += self.space()
            self.entry(path, name, value)
            self.text += self.space() + self.pick("\n", " # a = [\n")
        for name, value in later:
            if isinstance(value, dict):
                self.keys[(*path, name)], self.values[(*path, name)] = self.header((*path, name), "[", "]")
                self.table((*path, name), value)
                continue
            for index, element in enumerate(value):
                place = self.header((*path, name), "[[", "]]")
                for found in ((*path, name), (*path, name, index)):  # the array itself is where its first table is
                    self.keys.setdefault(found, place[0])
                    self.values.setdefault(found, place[1])
                self.table((*path, name, index), element)

    def header(self, path: Path, opening: str, closing: str) -> tuple[int, int]:
        """A table's header; gives the offsets of the last name and of the bracket."""
        self.blank()
        self.text += self.space()
        bracket = last = len(self.text)
        self.text += opening
        for index, name in enumerate(part for part in path if isinstance(part, str)):
            self.text += ("." if index else "") + self.space()
            last = len(self.text)
            self.key(name)
            self.text += self.space()
        self.text += closing + self.space() + self.pick("\n", "# [x]\n")
        return last, bracket


def paths(value: Any, path: Path = ()) -> list[Path]:
    """The path of everything below `value`."""
    children: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, child in children for found in ((*path, name), *paths(child, (*path, name)))]


@given(st.data(), trees)
def test_the_scan_finds_what_the_parser_finds_where_the_writer_put_it(data: Any, tree: dict[str, Any]) -> None:
    """Same paths as `tomllib`'s tree, each at the offset at which it was written, whatever form it was written in."""
    writer = Writer(data.draw)
    writer.table((), tree)
    parsed = tomllib.loads(writer.text)
    positions = Positions(writer.text)
    assert set(positions.values) == set(paths(parsed))
    assert positions.keys == writer.keys
    assert positions.values == writer.values
