"""What no file of the repository may hold."""

import re

from tests.rules.tree import tracked, where

TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".txt", ".in", ".json", ""}
CONFLICT = re.compile(r"^(<{7}|>{7}|\|{7})( |$)")
# A path that exists on one developer's machine only: a home directory, a checkout, a scratch directory with a number.
ONE_MACHINE = re.compile(r"(?<![\w.$}/])/(home|Users|work|farm)/[a-z]\w*")
# An index of packages other than the public ones, or credentials in an address.
OTHER_INDEX = re.compile(r"--(extra-)?index-url|--trusted-host|://[^/\s:@]+:[^/\s:@]+@")

# Sections of design notes, and trackers' numbers, that are not part of the repository.
ELSEWHERE = re.compile(r"\b(DESIGN|STYLE|ECOSYSTEM|CORE)(\.md)?,? \d|\b[Ii]ssue #?\d+\b(?!.*://)")


def _found(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked():
        if path.suffix in TEXT and path.name != "LICENSE" and path.name != "test_repository.py":
            lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
            found += [
                f"{where(path, number)}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)
            ]
    return found


def test_no_merge_was_left_half_done() -> None:
    """Marks of a conflict are no text."""
    assert _found(CONFLICT) == []


def test_nothing_is_bound_to_one_machine() -> None:
    """The repository works wherever it is cloned: no path of a particular machine, no private package index."""
    assert _found(ONE_MACHINE) == []
    assert _found(OTHER_INDEX) == []


def test_scripts_are_executable() -> None:
    """What begins with an interpreter's name can be started by its own."""
    plain = []
    for path in tracked():
        with path.open("rb") as file:
            if file.read(2) == b"#!" and not path.stat().st_mode & 0o100:
                plain.append(where(path))
    assert plain == []


def test_what_is_cited_can_be_read() -> None:
    """A text cites RFCs, standards and files of the repository; notes that a reader does not have are no source."""
    assert _found(ELSEWHERE) == []
