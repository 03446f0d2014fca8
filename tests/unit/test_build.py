"""setup.py: what is compiled, and who is told when it is not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STALE = Path("vrouter/stack/l3/_lpm.cpython-311-x86_64-linux-gnu.so")
WITHOUT_CYTHON = "import sys; sys.modules['Cython.Build'] = None; sys.argv = {argv}; exec(open('setup.py').read())"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What setup.py reads, and what an earlier build left."""
    (tmp_path / STALE).parent.mkdir(parents=True)
    shutil.copy(ROOT / "setup.py", tmp_path)
    for name in ("_lpm.pyx", "_lpm_slots.pxi", "_lpm_tables.pxi"):
        shutil.copy(ROOT / "vrouter/stack/l3" / name, tmp_path / STALE.parent)
    (tmp_path / STALE).write_bytes(b"")
    return tmp_path


def build(tree: Path, mode: str, *, cython: bool = True, **env: str) -> "subprocess.CompletedProcess[str]":
    argv = ["setup.py", "build_ext", "--build-lib", "out"]
    words = argv if cython else ["-c", WITHOUT_CYTHON.format(argv=argv)]
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=tree,
        env={**os.environ, "VROUTER_CYTHON": mode, **env},
        capture_output=True,
        text=True,
    )


def built(tree: Path) -> list[str]:
    return [path.name for path in (tree / "out").rglob("*.so")]


@pytest.mark.tools("cc")
def test_require_compiles(tree: Path) -> None:
    """VROUTER_CYTHON=require: the extension is there."""
    run = build(tree, "require", CFLAGS="-O0")
    assert (run.returncode, [name.split(".")[0] for name in built(tree)]) == (0, ["_lpm"]), run.stderr


def test_skip_compiles_nothing_and_removes_what_was(tree: Path) -> None:
    """VROUTER_CYTHON=skip means pure Python, in a source tree that is in use as well."""
    run = build(tree, "skip", CC="/bin/false")
    assert (run.returncode, built(tree), (tree / STALE).exists()) == (0, [], False), run.stderr


@pytest.mark.parametrize(
    ("cython", "reason"), [(False, "there is no Cython"), (True, "_lpm could not be compiled, for which gcc")]
)
def test_auto_goes_without_and_says_so(tree: Path, cython: bool, reason: str) -> None:
    """Without Cython or a compiler the build succeeds, with one notice."""
    run = build(tree, "auto", cython=cython, CC="/bin/false")
    assert (run.returncode, built(tree)) == (0, []), run.stderr
    assert [reason in line for line in run.stderr.splitlines() if line.startswith("vrouter: ")] == [True]


@pytest.mark.parametrize("cython", [False, True])
def test_require_fails_without(tree: Path, cython: bool) -> None:
    """VROUTER_CYTHON=require: without Cython or a compiler there is no build."""
    run = build(tree, "require", cython=cython, CC="/bin/false")
    assert run.returncode != 0
    assert built(tree) == []
    assert cython or "VROUTER_CYTHON=require: there is no Cython" in run.stderr


def test_another_word_is_refused(tree: Path) -> None:
    """A misspelt mode is no mode."""
    run = build(tree, "yes")
    assert (run.returncode, run.stderr) == (1, "VROUTER_CYTHON=yes: it is one of auto, require, skip\n")
