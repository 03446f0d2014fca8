"""No state outside objects: two routers in one process share nothing.

What a module may hold at its top: modules, functions, classes and values that cannot change. A list, dict or set may
stand there as a table when it is spelled in capitals, annotated `Final`, and nothing in the package changes it.
"""

import ast
import contextvars
import dataclasses
import enum
import importlib
import inspect
import ipaddress
import operator
import re
import struct
import types
import typing

import msgspec

from tests.rules.tree import dotted, module_name, parsed, sources, where

UNCHANGING = (
    int, float, complex, str, bytes, bool, type(None), type(...), range, slice, enum.Enum, re.Pattern, struct.Struct,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface,
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodDescriptorType,
    types.GenericAlias, types.UnionType, typing.TypeVar, typing.ParamSpec, typing.NewType,
    msgspec.json.Encoder, msgspec.json.Decoder,
    operator.attrgetter,
    contextvars.ContextVar,  # the name of a place in every context; what stands there is the context's
)  # fmt: skip
DEFINITIONS = {"typing", "__future__", "structlog._config", "_pytest.fixtures"}
TABLES = (dict, list, set)
CHANGING_METHODS = set(
    "append add update pop popitem setdefault clear extend insert remove discard sort reverse".split()
)


def _cannot_change(value: object) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(map(_cannot_change, value))
    if isinstance(value, types.MappingProxyType):
        return all(map(_cannot_change, value.values()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value.__dataclass_params__.frozen  # type: ignore[no-any-return] # the attribute has no public spelling
    if isinstance(value, msgspec.Struct):
        return value.__struct_config__.frozen
    if isinstance(value, UNCHANGING) or type(value).__module__ in DEFINITIONS:
        return True
    # An object of ours without an attribute has nothing that could change.
    ours = type(value).__module__.startswith("vrouter") and not hasattr(value, "__dict__")
    return ours and not any(getattr(cls, "__slots__", ()) for cls in type(value).__mro__)


def _own_names(tree: ast.Module) -> set[str]:
    """Names that the module's own statements bind, under loops and conditions too; imports are others' affair."""
    bound: set[str] = set()
    queue: list[ast.AST] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp):
            queue += ast.iter_child_nodes(node)
    return bound


def _is_final_table(module: types.ModuleType, name: str, value: object) -> bool:
    annotation = str(inspect.get_annotations(module).get(name, ""))
    return isinstance(value, TABLES) and name.lstrip("_").isupper() and "Final" in annotation


def test_modules_hold_no_state() -> None:
    """Every piece of state is owned by an object: what stands at the top of a module cannot change."""
    offenders, tables = [], set()
    for path in sources("vrouter"):
        module = importlib.import_module(module_name(path))
        for name in sorted(_own_names(parsed(path))):
            value = vars(module).get(name)
            if name == "__all__" or _cannot_change(value):
                continue
            if _is_final_table(module, name, value):
                tables.add(name)
            else:
                offenders.append(f"{where(path)}: {name} = {type(value).__name__}")
    assert offenders == []
    assert _changes_of(tables) == []


def _changed(node: ast.AST) -> ast.expr | None:
    """What this statement or call changes: by a method, an item, `del` or `+=`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING_METHODS:
        return node.func.value
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value
    return node.target if isinstance(node, ast.AugAssign) else None


def _changes_of(tables: set[str]) -> list[str]:
    """Where the package changes one of these tables."""
    return [
        where(path, node)
        for path in sources("vrouter")
        for node in ast.walk(parsed(path))
        if (target := _changed(node)) is not None and dotted(target).rpartition(".")[2] in tables
    ]


def test_nothing_rebinds_a_module_s_names() -> None:
    """`global` is state in a module under another name."""
    nodes = [(path, node) for path in sources("vrouter") for node in ast.walk(parsed(path))]
    assert [where(path, node) for path, node in nodes if isinstance(node, ast.Global)] == []


def test_the_stack_never_hashes() -> None:
    """The same seed and inputs give the same bytes out: `hash()` of a string differs from process to process."""
    found = [
        where(path, node)
        for path in sources("vrouter")
        if "stack" in path.parts
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and dotted(node.func) == "hash"
    ]
    assert found == []
