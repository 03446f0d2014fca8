"""Names of namespaces and devices: what is allowed, and how a relative namespace name is resolved.

Namespaces form a tree with path names (``red``, ``red/web``). Written inside namespace ``a/b``, the name ``c`` is the
sibling ``a/c``, ``./c`` the child ``a/b/c``, ``../c`` the parent's sibling ``c``, and ``/c`` counts from the top, so
that a subtree can be nested elsewhere without renaming.
"""

from __future__ import annotations

from typing import Final

_SEGMENT: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def check_segment(segment: str) -> str | None:
    """What is wrong with one segment of a namespace's path, or None."""
    if not 1 <= len(segment) <= 32:
        return "a namespace name has 1 to 32 characters"
    if not _SEGMENT.issuperset(segment):
        return "a namespace name has only letters, digits and _ . -"
    if segment in (".", ".."):
        return f"{segment!r} cannot be a namespace's name"
    return None


def check_path(path: str) -> str | None:
    """What is wrong with an absolute namespace path (without a leading slash), or None."""
    for segment in path.split("/"):
        problem = check_segment(segment)
        if problem:
            return problem
    return None


def parent_of(path: str) -> str:
    """The parent's path; "" for a namespace at the top."""
    return path.rpartition("/")[0]


def resolve(inside: str, name: str) -> str:
    """The absolute path that `name` means in the configuration of namespace `inside` ("" = the top); ValueError
    when it climbs above the top or has a bad segment."""
    if name.startswith("/"):
        parts: list[str] = []
        rest = name[1:]
    elif name == "." or name.startswith("./"):
        parts = inside.split("/") if inside else []
        rest = name[2:]
    else:
        parts = parent_of(inside).split("/") if parent_of(inside) else []
        rest = name
    while rest == ".." or rest.startswith("../"):
        if not parts:
            raise ValueError(f"{name!r} climbs above the top of the namespaces")
        parts.pop()
        rest = rest[3:]
    path = "/".join(parts + ([rest] if rest else []))
    problem = check_path(path)
    if problem:
        raise ValueError(f"{name!r}: {problem}")
    return path


def check_device(name: str) -> str | None:
    """What is wrong with a device's name, or None (Linux's rule: 1-15 bytes, no slash, colon or white space)."""
    if not 1 <= len(name.encode()) <= 15:
        return "a device name has 1 to 15 bytes"
    if name in ("all", "default"):
        return f"a device cannot be called {name!r}: the settings of all devices are"
    if name.startswith("@"):
        return "a device name does not begin with @: crossings' names do"
    if name in (".", "..") or "/" in name or ":" in name or " " in name or not name.isprintable():
        return "a device name has no slash, colon or white space"
    return None
