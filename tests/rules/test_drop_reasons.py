"""Every drop reason is real: a test produces it."""

import ast

from tests.rules.tree import dotted, parsed, sources
from vrouter.stack.base.drop import DropReason

PRODUCING = {"unit", "path", "property", "fuzz", "sim", "tap", "interop"}


def _named_in_tests() -> set[str]:
    names = set()
    for path in sources("tests"):
        if path.parent.name in PRODUCING:
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.Attribute) and dotted(node.value).rpartition(".")[2] == "DropReason":
                    names.add(node.attr)
    return names


def test_each_drop_reason_is_produced_by_a_test() -> None:
    """A packet can die for each reason of the table, and a test shows how; 0 is "not dropped"."""
    assert {reason.name for reason in DropReason if reason != 0} - _named_in_tests() == set()
