"""The documentation: public things have some, and its links lead somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import vrouter
from tests.rules.tree import ROOT, parsed, sources, tracked, where

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.M)
FENCED = re.compile(r"^```.*?^```", re.M | re.S)
UNDOCUMENTED = {"overload", "override", "setter", "deleter"}


def _without_docstring(path: Path, scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    if not ast.get_docstring(scope):
        yield f"{where(path, scope)} {getattr(scope, 'name', '')}".strip()
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _without_docstring(path, node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
            declared_only = ast.unparse(node.body[-1]) == "..."  # in a Protocol, whose own docstring tells
            if not ast.get_docstring(node) and not decorators & UNDOCUMENTED and not declared_only:
                yield f"{where(path, node)} {node.name}"


def test_public_things_have_docstrings() -> None:
    """Each module's docstring is its manual page; each public class, function and method says what it does."""
    assert [line for path in sources("vrouter") for line in _without_docstring(path, parsed(path))] == []


def _anchors(path: Path) -> set[str]:
    headings = HEADING.findall(FENCED.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_links_in_the_documentation_lead_somewhere() -> None:
    """A link to a file or a heading of the repository finds it."""
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in LINK.findall(FENCED.sub("", path.read_text())):
            file, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            aimed = path.parent / file if file else path
            if not aimed.exists() or (anchor and anchor not in _anchors(aimed)):
                broken.append(f"{where(path)}: {target}")
    assert broken == []


def test_the_change_log_knows_this_version() -> None:
    """CHANGELOG.md has a section for what is not released yet, or for the version that the package says it is."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    headings = HEADING.findall((ROOT / "CHANGELOG.md").read_text())
    assert "Unreleased" in headings or any(heading.startswith(version[1]) for heading in headings)


def test_the_package_and_its_metadata_agree_on_the_version() -> None:
    """`vrouter --version` prints what a package index shows."""
    assert f'version = "{vrouter.__version__}"' in (ROOT / "pyproject.toml").read_text()
