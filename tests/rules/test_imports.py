"""Who may import whom, and that each module can be imported by itself."""

import ast
import subprocess
import sys

from tests.rules.tree import ROOT, module_name, parsed, sources, under, where

IMPURE = {"asyncio", "socket", "time", "random", "threading", "os", "select", "selectors", "logging", "structlog"}

# One fresh process that has imported nothing of ours forks once for each module: as clean as a new process, and quick.
IMPORT_EACH_ALONE = """
import contextlib, importlib, os, sys, traceback
foreign, names = sys.argv[1].split(), sys.argv[2:]
for name in foreign:  # once, and not in every child
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
assert not any(name.partition(".")[0] == "vrouter" for name in sys.modules)
for name in names:
    if (child := os.fork()) == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, traceback.format_exc(limit=-1), sep=": ", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def _imported(tree: ast.Module) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node))
    return found


def test_the_stack_does_no_io_and_has_no_clock_of_its_own() -> None:
    """The stack is a function of (state, frame, now): it imports no I/O, no clock, no chance and no log."""
    impure = [
        f"{where(path, node)}: {name}"
        for path in under("vrouter/stack")
        for name, node in _imported(parsed(path))
        if name.partition(".")[0] in IMPURE
    ]
    assert impure == []


def test_imports_point_one_way() -> None:
    """The contracts of pyproject.toml hold: layers point downwards; l2, l3, hooks and l4 know nothing of each other."""
    linter = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    run = subprocess.run([sys.executable, "-c", linter], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_nothing_imports_the_testing_package_but_the_command_line_lazily() -> None:
    """`vrouter.testing` is for tests: the product does not load it, except a verb of the command line when it runs."""
    offenders = []
    for path in sources("vrouter"):
        if path.is_relative_to(ROOT / "vrouter/testing"):
            continue
        top_level = set(parsed(path).body)
        for name, node in _imported(parsed(path)):
            lazily = path.is_relative_to(ROOT / "vrouter/cli") and node not in top_level
            if (name + ".").startswith("vrouter.testing.") and not lazily:
                offenders.append(where(path, node))
    assert offenders == []


def test_each_module_imports_alone() -> None:
    """No module leans on another one having been imported first."""
    names = [module_name(path) for path in sources("vrouter") if path.stem != "__main__"]
    imported = {name for path in sources("vrouter") for name, _ in _imported(parsed(path))}
    foreign = " ".join(sorted(name for name in imported if name and name.partition(".")[0] != "vrouter"))
    command = [sys.executable, "-c", IMPORT_EACH_ALONE, foreign, *names]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
