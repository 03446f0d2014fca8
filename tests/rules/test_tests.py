"""The tests themselves: each can fail, says what it holds, waits for nothing and fakes nothing."""

import ast
from pathlib import Path

from tests.rules.tree import dotted, functions_that_test, parsed, sources, where

ROOT = Path(__file__).parents[2]
ASSERTING = ("assert", "check_", "expect", "match", "raises", "fail", "must_")


def _asserts(node: ast.AST, asserting: set[str]) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            return True
        if isinstance(part, ast.Call):
            called = dotted(part.func).rpartition(".")[2]
            if called.startswith(ASSERTING) or called in asserting:
                return True
    return False


def _asserting_functions(path: Path, seen: tuple[Path, ...] = ()) -> set[str]:
    """The functions and methods of a file, its own and those that it has from other files of the tests, that assert,
    also by calling one another."""
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    asserting: set[str] = set()
    for node in parsed(path).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("tests."):
            home = ROOT / f"{node.module.replace('.', '/')}.py"
            if home.exists() and home not in seen:
                asserting |= _asserting_functions(home, (*seen, path))
    before = -1
    while len(asserting) != before:
        before = len(asserting)
        asserting |= {node.name for node in functions if _asserts(node, asserting)}
    return asserting


def _tests() -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (path, test)
        for path in sources("tests", "examples")
        if path.name.startswith("test_")
        for test in functions_that_test(path)
    ]


def test_each_test_asserts_something() -> None:
    """A test without an assertion cannot fail."""
    tests = _tests()
    asserting = {path: _asserting_functions(path) for path in {path for path, _ in tests}}
    idle = [(path, test) for path, test in tests if not _asserts(test, asserting[path])]
    assert [f"{where(path, test)} {test.name}" for path, test in idle] == []


def test_each_test_says_what_it_holds() -> None:
    """A test's docstring names the RFC's clause or the promise that it holds."""
    silent = [f"{where(path, test)} {test.name}" for path, test in _tests() if not ast.get_docstring(test)]
    assert silent == []


def test_no_test_has_the_name_of_another_one() -> None:
    """Of two tests with one name in one scope Python keeps the second, and the first never runs."""
    lost = []
    for path in sources("tests", "examples"):
        for scope in ast.walk(parsed(path)):
            if isinstance(scope, ast.Module | ast.ClassDef):
                names = [node.name for node in scope.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
                lost += [f"{where(path)} {name}" for name in sorted(set(names)) if names.count(name) > 1]
    assert lost == []


def test_no_test_sleeps() -> None:
    """A test waits for a condition or moves virtual time; `asyncio.sleep(0)` only lets others run."""
    sleeping = []
    for path in sources("tests", "examples"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and dotted(node.func) in {"sleep", "time.sleep", "asyncio.sleep"}:
                only_yields = (
                    dotted(node.func) != "time.sleep"
                    and len(node.args) == 1
                    and isinstance(node.args[0], ast.Constant)
                    and node.args[0].value == 0
                )
                if not only_yields:
                    sleeping.append(where(path, node))
    assert sleeping == []


def test_no_test_replaces_a_part_by_a_fake() -> None:
    """The real parts run: no mock library, and nothing patched by the string of its name."""
    fakes = []
    for path in sources("tests", "examples"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ImportFrom) and node.module in {"unittest.mock", "mock", "unittest"}:
                fakes.append(where(path, node))
            elif isinstance(node, ast.Import) and any(alias.name in {"unittest.mock", "mock"} for alias in node.names):
                fakes.append(where(path, node))
            elif isinstance(node, ast.Call) and dotted(node.func) == "monkeypatch.setattr":
                if node.args and isinstance(node.args[0], ast.Constant):
                    fakes.append(where(path, node))
    assert fakes == []
