"""The sources that the rules are about: which files there are, and their syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the repository that exists here, or everything but hidden directories where there is no git."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        paths = [
            path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        ]
    return tuple(sorted(path for path in paths if path.is_file()))


def sources(*tops: str) -> list[Path]:
    """The Python files under these directories of the repository."""
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in tops]


def under(package: str) -> list[Path]:
    """The Python files under this directory, named from the root."""
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / package)]


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, line: int | ast.AST = 0) -> str:
    """`path:line` from the root, for a message that an editor can follow."""
    number = line if isinstance(line, int) else getattr(line, "lineno", 0)
    return f"{path.relative_to(ROOT)}:{number}" if number else str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """The dotted name that a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a chain of attributes, or what of it can be named."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return ""


def functions_that_test(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests of a file, those in classes included."""
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
