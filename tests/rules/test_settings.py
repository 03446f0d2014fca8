"""Settings that can be written are read: nothing is accepted that has no effect."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from vrouter.stack.sysctl import DevConf4, DevConf6, FamilyConf, NeighConf, NsConf, TcpConf

ROOT = Path(__file__).parents[2] / "vrouter"
SETTINGS = ROOT / "stack" / "sysctl"


def read_in(tree: ast.AST) -> set[str]:
    """The names of all attributes that some code reads."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("record", [DevConf4, DevConf6, NeighConf, FamilyConf, NsConf, TcpConf])
def test_every_attribute_of_the_settings_has_a_reader(record: type) -> None:
    """docs/differences.md: a sysctl that has no effect here is an error, and not one that is stored and forgotten."""
    read = set().union(
        *(read_in(ast.parse(path.read_text())) for path in ROOT.rglob("*.py") if SETTINGS not in path.parents)
    )
    properties = ast.parse((SETTINGS / "records.py").read_text())
    for node in ast.walk(properties):
        if isinstance(node, ast.FunctionDef) and node.name in read:
            read |= read_in(node)
    assert [field.name for field in fields(record) if field.name not in read] == []
