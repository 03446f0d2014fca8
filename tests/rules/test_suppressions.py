"""What is switched off says why, and what is unfinished is not here."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.rules.tree import parsed, sources, tracked, where

SUPPRESSION = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no cover|pylint:|fmt:\s*off)")
# What is left of the comment when the suppression itself is taken away has to be a reason: two words at least.
SPELLED = re.compile(
    r"#\s*(noqa(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(\[[\w,\s-]+\])?|pragma:\s*no cover|fmt:\s*off)"
)
REASON = re.compile(r"\w+\W+\w+")
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    with io.StringIO(path.read_text()) as text:
        for token in tokenize.generate_tokens(text.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def test_suppressions_carry_their_reason() -> None:
    """Whoever switches a check off for a line says why on the line."""
    bare = [
        where(path, line)
        for path in sources("vrouter", "tests", "benchmarks", "examples")
        for line, comment in _comments(path)
        if SUPPRESSION.search(comment) and not REASON.search(SPELLED.sub("", comment))
    ]
    assert bare == []


def test_nothing_is_marked_as_unfinished() -> None:
    """What is here is finished: no mark in any text of the repository promises otherwise."""
    marked = []
    for path in tracked():
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ""} and path.name != "LICENSE":
            lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
            marked += [where(path, number) for number, line in enumerate(lines, 1) if UNFINISHED.search(line)]
    assert marked == []


def test_nothing_is_left_to_be_implemented() -> None:
    """A feature that is not built yet is refused with a message for the user, never by a stub."""
    stubs = [
        where(path, node)
        for path in sources("vrouter")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Name) and node.id == "NotImplemented" + "Error"
    ]
    assert stubs == []
