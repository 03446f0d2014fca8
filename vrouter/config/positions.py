"""Where the keys and values of a TOML text stand.

`tomllib` tells nothing about positions, so the text is walked a second time, but only when there is something to
report.

Expects: a text that `tomllib.loads` accepted; of any other the result means nothing.
Gives: `Positions`, which maps the path of each key, array element and table to its place. A path is a tuple of key
names and array indices as they lead through the parsed tree: `("netns", "red", "route", 0, "to")`.

- the *key* of an entry is its own segment of the (dotted) key or of the table header;
- the *value* is where the value begins: for a table its header `[`, or the `{` of an inline table; for a table that
  only dotted keys or the headers of its children imply, the first place that implies it;
- an array element has only a value, which also stands for its key.
"""

import re
from bisect import bisect_right

from vrouter.config.findings import Path

_BLANK = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*+"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''(?:[^']++|'{1,2}(?!'))*+'''(?:'{0,2})"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
)
_KEY = re.compile(r'[ \t]*+(?:([A-Za-z0-9_-]++)|"((?:[^"\\\n]++|\\.)*+)"|\'([^\'\n]*+)\')[ \t]*+')
_SCALAR = re.compile(r"[^,\]}#\n]++")  # a date may hold a space, so it goes on up to the delimiter


class Positions:
    """The places of one text; a path that is not in the text has the place of its nearest ancestor that is."""

    def __init__(self, text: str) -> None:
        text = text.replace("\r\n", "\n")
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        _Scan(text, self.keys, self.values).document()

    def key(self, path: Path) -> tuple[int, int]:
        """Line and column, both from 1, of the key at `path`."""
        return self._place(self.keys, path)

    def value(self, path: Path) -> tuple[int, int]:
        """Line and column, both from 1, of the value at `path`; of a table its header."""
        return self._place(self.values, path)

    def _place(self, offsets: dict[Path, int], path: Path) -> tuple[int, int]:
        while path and path not in offsets:
            path, offsets = path[:-1], self.values
        offset = offsets.get(path, 0)
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1


class _Scan:
    """One pass over the text."""

    def __init__(self, text: str, keys: dict[Path, int], values: dict[Path, int]) -> None:
        self.text = text
        self.keys = keys
        self.values = values
        self.counts: dict[Path, int] = {}  # tables seen so far of each array of tables

    def document(self) -> None:
        text, table = self.text, Path()
        at = self._skip(0)
        while at < len(text):
            if text[at] == "[":
                table, at = self._header(at)
            else:
                at = self._entry(at, table)
            at = self._skip(at)

    def _skip(self, at: int) -> int:
        match = _BLANK.match(self.text, at)
        return match.end() if match else at

    def _header(self, start: int) -> tuple[Path, int]:
        """`[a.b]` or `[[a.b]]` at `start`: the path of the table that it opens, and the offset behind it."""
        is_array = self.text.startswith("[[", start)
        segments, at = self._segments(start + 1 + is_array)
        path: Path = ()
        for name, place in segments[:-1]:
            path += (name,)
            self.keys.setdefault(path, place)
            self.values.setdefault(path, start)
            if path in self.counts:
                path += (self.counts[path] - 1,)
        name, place = segments[-1]
        path += (name,)
        if is_array:
            index = self.counts.get(path, 0)
            self.counts[path] = index + 1
            self.keys.setdefault(path, place)
            self.values.setdefault(path, start)
            path += (index,)
        self.keys[path] = place  # a header of its own beats the places that only implied the table
        self.values[path] = start
        return path, at + 1 + is_array

    def _entry(self, at: int, table: Path) -> int:
        """`key = value` at `at` in `table`; gives the offset behind it."""
        segments, at = self._segments(at)
        path = table
        for name, place in segments:
            path += (name,)
            self.keys.setdefault(path, place)
            self.values.setdefault(path, place)
        return self._value(self._skip(at + 1), path)

    def _segments(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """The dotted key at `at` as names with their offsets, and the offset of what follows it."""
        segments = []
        while match := _KEY.match(self.text, at):
            bare, basic, literal = match.groups()
            if basic is not None and "\\" in basic:
                import tomllib  # the reader has it already

                basic = tomllib.loads(f'key = "{basic}"')["key"]
            name = bare if bare is not None else basic if basic is not None else literal
            group = 1 if bare is not None else 2 if basic is not None else 3
            segments.append((name, match.start(group) - (group > 1)))
            at = match.end()
            if self.text[at] != ".":
                break
            at += 1
        return segments, at

    def _value(self, at: int, path: Path) -> int:
        """The value at `at`, which belongs to `path`; gives the offset behind it."""
        text = self.text
        self.values[path] = at
        first = text[at]
        if first in "\"'":
            match = _STRING.match(text, at)
        elif first == "[":
            at = self._skip(at + 1)
            index = 0
            while text[at] != "]":
                element = (*path, index)
                self.keys[element] = at
                at = self._skip(self._value(at, element))
                if text[at] == ",":
                    at = self._skip(at + 1)
                index += 1
            return at + 1
        elif first == "{":
            at = self._skip(at + 1)
            while text[at] != "}":
                at = self._skip(self._entry(at, path))
                if text[at] == ",":
                    at = self._skip(at + 1)
            return at + 1
        else:
            match = _SCALAR.match(text, at)
        return match.end() if match else at + 1
