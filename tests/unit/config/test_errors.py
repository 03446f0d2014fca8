"""The exceptions of the public contract."""

import copy
import errno
import pickle
import subprocess
import sys

from vrouter.errors import ConfigError, NotSupportedError, PrivilegeError, Problem, VrouterError


def problem(line: int, column: int, message: str = "is wrong", hint: str = "") -> Problem:
    return Problem("f.toml", line, column, "netns.red", message, hint)


def test_a_problem_reads_as_one_line() -> None:
    """`file.toml:LINE:COLUMN: key.path: what is wrong (did you mean …?)`."""
    assert str(problem(3, 7, hint="did you mean 'x'?")) == "f.toml:3:7: netns.red: is wrong (did you mean 'x'?)"
    assert str(problem(3, 7)) == "f.toml:3:7: netns.red: is wrong"
    assert str(problem(0, 0)) == "f.toml: netns.red: is wrong"
    assert str(Problem("f.toml", 1, 2, "", "no value")) == "f.toml:1:2: no value"
    assert repr(problem(3, 7)) == "Problem('f.toml', 3, 7, 'netns.red', 'is wrong', '')"


def test_problems_are_values() -> None:
    """Equal when everything is equal."""
    assert problem(1, 2) == problem(1, 2)
    assert problem(1, 2) != problem(1, 3)
    assert problem(1, 2) != "f.toml"
    assert len({problem(1, 2), problem(1, 2), problem(2, 1)}) == 2


def test_a_configuration_error_holds_all_problems_by_position() -> None:
    """Sorted by line, then column; the order of finding among equals; one line each as text."""
    late, early, same, second = problem(2, 1), problem(1, 9), problem(1, 9, "again"), problem(1, 10)
    error = ConfigError([late, second, early, same])
    assert error.problems == (early, same, second, late)
    assert str(error) == "\n".join(map(str, error.problems))
    assert isinstance(error, VrouterError)
    assert isinstance(error, ValueError)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_a_privilege_error_says_what_to_grant() -> None:
    """It is a PermissionError with EPERM, and survives being copied."""
    error = PrivilegeError("cannot open /dev/net/tun", "grant CAP_NET_ADMIN")
    assert isinstance(error, VrouterError)
    assert isinstance(error, PermissionError)
    assert (error.errno, error.what, error.grant) == (errno.EPERM, "cannot open /dev/net/tun", "grant CAP_NET_ADMIN")
    assert str(error) == str(copy.copy(error)) == "cannot open /dev/net/tun: grant CAP_NET_ADMIN"


def test_what_is_not_supported_is_no_other_error() -> None:
    """`NotSupportedError` is caught as vrouter's own only."""
    assert NotSupportedError.__bases__ == (VrouterError,)


def test_the_import_costs_next_to_nothing() -> None:
    """A client command can catch the errors without loading what raises them."""
    code = "import sys; before = set(sys.modules); import vrouter.errors; print(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"asyncio", "vrouter.stack", "dataclasses", "msgspec", "inspect"} & set(run.stdout.split())
