"""The RFC checklists of docs/rfc are complete: each row has a state, and what is claimed is held by a test that exists.

Node ids are looked up in the syntax trees of the test files, so nothing is imported or collected here.
"""

from __future__ import annotations

import ast
import fnmatch
import re
import socket
from dataclasses import dataclass
from functools import cache

import pytest

from tests.rules.tree import ROOT, parsed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants
from vrouter.stack.sysctl import names

NUMBERS = (
    "1122 1812 2018 3168 4443 4861 4862 5681 5961 6093 6191 6298 7084 7323 7413 8200 8201 8504 8899 8985 9293 9438"
)
CHECKLISTS = tuple(f"docs/rfc/rfc{number}.md" for number in NUMBERS.split())
HEADER = ["clause", "requirement", "level", "state", "how or why", "test"]
STATES = {"kept", "deviated", "not there yet", "n/a"}
TESTED = {"kept", "deviated"}
LEVELS = {"MUST", "SHOULD", "MAY", "SHOULD NOT", "MUST NOT", "(definition)", "(algorithm)"}
NODE_ID = re.compile(r"`(tests/[^`\s]+)`")
CONSTANT = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`")
SYSCTL = re.compile(r"`(net\.[\w.*]+)`")
MODULE = re.compile(r"`((?:stack/)?l[234]/\w+|stack/[\w/]+)`")

# Rows with a mark in RFC 1122's own tables, counted there: section -> number of rows.
RFC1122_ROWS = {"2.5": 15, "3.5": 155, "4.1.5": 19, "4.2.5": 104}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a checklist; `section` is the number of the second-level heading above it."""

    file: str
    line: int
    section: str
    clause: str
    requirement: str
    level: str
    state: str
    reason: str
    test: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.clause} {self.requirement}"


@cache
def rows(file: str) -> tuple[Row, ...]:
    """All rows of the file's requirement tables; tables with another header are prose and are passed over."""
    found: list[Row] = []
    section, inside = "", False
    for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("## "):
            section = line[3:].split(" ")[0]
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells == HEADER:
            inside = True
        elif inside and set(line) - set("|- "):
            assert len(cells) == len(HEADER), f"{file}:{number}: {len(cells)} columns in place of {len(HEADER)}"
            found.append(Row(file, number, section, *cells))
    return tuple(found)


@cache
def functions_in(path: str) -> frozenset[str]:
    """Names of the test functions of a file, as they stand in node ids: `function` or `Class::function`."""
    names: set[str] = set()

    def walk(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                names.add(prefix + node.name)
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                walk(node.body, f"{prefix}{node.name}::")

    file = ROOT / path
    if file.is_file():
        walk(parsed(file).body, "")
    return frozenset(names)


def exists(node_id: str) -> bool:
    """Whether a node id names a test function that is there; a parameter in brackets is not looked at."""
    path, _, name = node_id.partition("::")
    return bool(name) and name.partition("[")[0] in functions_in(path)


@pytest.mark.parametrize("file", CHECKLISTS)
def test_rows_are_well_formed(file: str) -> None:
    """docs/rfc/README.md: each row has a clause, a requirement, a level, a state and a reason."""
    bad = [
        str(row)
        for row in rows(file)
        if not row.clause[:1].isdigit()
        or not row.requirement
        or row.level not in LEVELS
        or row.state not in STATES
        or not row.reason
        or not row.test
    ]
    assert bad == []


def test_every_row_of_rfc1122_is_there() -> None:
    """RFC 1122 2.5, 3.5, 4.1.5 and 4.2.5: as many rows as the RFC's own tables have."""
    counts: dict[str, int] = {}
    for row in rows("docs/rfc/rfc1122.md"):
        counts[row.section] = counts.get(row.section, 0) + 1
    assert counts == RFC1122_ROWS


@pytest.mark.parametrize("section", ["3", "4.2", "4.3", "5.2", "5.3"])
def test_every_chapter_of_rfc1812_has_rows(section: str) -> None:
    """RFC 1812 3 to 5: no chapter of the link and internet layers was lost."""
    assert [row for row in rows("docs/rfc/rfc1812.md") if row.section == section]


IPV6_SECTIONS = {
    4443: "2 3 4",
    4861: "4 5 6.1 6.2 6.3 7.1 7.2 7.3 8 9",
    4862: "5.1 5.3 5.4 5.5",
    7084: "4.1 4.2 4.3",
    8200: "3 4 4.5 5 6",
    8201: "3 5",
    8504: "4 5 6 7",
}


@pytest.mark.parametrize(("number", "section"), [(n, s) for n, text in IPV6_SECTIONS.items() for s in text.split()])
def test_every_chapter_of_ipv6_has_rows(number: int, section: str) -> None:
    """RFC 4443, 4861, 4862, 7084, 8200, 8201, 8504: no chapter that asks something was lost."""
    assert [row for row in rows(f"docs/rfc/rfc{number}.md") if row.section == section]


def test_every_item_of_rfc7084_is_there() -> None:
    """RFC 7084 4.1 to 4.3: G, W, WLL, WAA, WPD, ULA and L, by their numbers."""
    items = {"G": 5, "W": 6, "WLL": 3, "WAA": 10, "WPD": 8, "ULA": 5, "L": 14}
    wanted = {f"{name}-{number}" for name, last in items.items() for number in range(1, last + 1)}
    found: set[str] = set()
    for row in rows("docs/rfc/rfc7084.md"):
        for name, first, last in re.findall(r"\b([A-Z]+)-(\d+)(?: to [A-Z]+-(\d+))?", row.clause):
            found |= {f"{name}-{number}" for number in range(int(first), int(last or first) + 1)}
    assert found == wanted


def test_every_requirement_of_rfc9293_is_there() -> None:
    """RFC 9293 appendix B: MUST-1 to 69, SHLD-1 to 31, MAY-1 to 18 and REC-1, and a row for each of its table's."""
    wanted = {
        f"{word}-{n}"
        for word, last in (("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1))
        for n in range(1, last + 1)
    }
    found = [row.clause.rpartition(", ")[2] for row in rows("docs/rfc/rfc9293.md") if row.section != "3.10.7"]
    assert (len(wanted), len(found)) == (119, 126)
    assert set(found) == wanted


@pytest.mark.parametrize("file", CHECKLISTS)
def test_what_is_claimed_is_tested(file: str) -> None:
    """docs/rfc/README.md: a kept or deviated row names at least one test; a gap names none."""
    wrong = [str(row) for row in rows(file) if bool(NODE_ID.search(row.test)) != (row.state in TESTED)]
    assert wrong == []


@pytest.mark.parametrize("file", CHECKLISTS)
def test_named_tests_exist(file: str) -> None:
    """docs/rfc/README.md: nothing stands in the test column but node ids of tests that exist, or a dash."""
    wrong: list[str] = []
    for row in rows(file):
        rest = NODE_ID.sub("", row.test).replace(",", "").strip()
        if rest not in ("", "–") or (rest and NODE_ID.search(row.test)):
            wrong.append(f"{row}: {rest!r}")
        wrong += [f"{row}: {node}" for node in NODE_ID.findall(row.test) if not exists(node)]
    assert wrong == []


@pytest.mark.parametrize("file", CHECKLISTS)
def test_drop_reasons_named_exist(file: str) -> None:
    """docs/rfc/README.md: a name in capitals is a drop reason, or an option of the kernel's socket interface."""
    unknown = [
        f"{row}: {name}"
        for row in rows(file)
        for name in CONSTANT.findall(row.reason)
        if name not in DropReason.__members__ and not hasattr(socket, name) and not hasattr(constants, name)
    ]
    assert unknown == []


@pytest.mark.parametrize("file", CHECKLISTS)
def test_sysctls_named_exist(file: str) -> None:
    """docs/rfc/README.md: a setting that a row names can be set; `*` and NAME stand for a device."""
    known = names(("DEV",))
    unknown = [
        f"{row}: {name}"
        for row in rows(file)
        for name in SYSCTL.findall(row.reason)
        if not fnmatch.filter(known, re.sub(r"\bNAME\b", "DEV", name))
    ]
    assert unknown == []


@pytest.mark.parametrize("file", [*CHECKLISTS, "docs/rfc/README.md"])
def test_modules_named_exist(file: str) -> None:
    """docs/rfc/README.md: the place where an RFC is implemented is a module of the package."""
    named = set(MODULE.findall((ROOT / file).read_text(encoding="utf-8")))
    places = {name: ROOT / "vrouter" / "stack" / name.removeprefix("stack/") for name in named}
    assert named
    assert sorted(n for n, path in places.items() if not path.with_suffix(".py").is_file() and not path.is_dir()) == []


def test_no_requirement_is_listed_twice() -> None:
    """docs/rfc/README.md: a clause with the same words, level and section stands once, so that its state is one."""
    seen: dict[tuple[str, ...], Row] = {}
    twice: list[str] = []
    for file in CHECKLISTS:
        for row in rows(file):
            key = (file, row.section, row.clause, row.level, row.requirement)
            if key in seen:
                twice.append(f"{row} (first in line {seen[key].line})")
            seen[key] = row
    assert twice == []
