"""Which settings there are, under which names, and what is wrong with a name or a value."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from vrouter.stack.sysctl.settings import Group, Setting
from vrouter.stack.sysctl.settings_tcp import NS_TCP
from vrouter.stack.sysctl.settings_v4 import CONF4, NEIGH4, NS4
from vrouter.stack.sysctl.settings_v6 import CONF6, NEIGH6, NS6
from vrouter.stack.sysctl.values import clean

NS_SETTINGS: Final = NS4 | NS6 | NS_TCP
GROUPS: Final = (CONF4, NEIGH4, CONF6, NEIGH6)


def names(devices: Collection[str] = ("DEV",)) -> list[str]:
    """Every name that there is, sorted, with `devices` beside ``all`` and ``default``."""
    return sorted(_names(devices))


def count(devices: int) -> int:
    """How many names there are with so many devices."""
    fixed = len(NS_SETTINGS) + sum(len(g.scopes(s, ())) for g in GROUPS for s in g.settings.values())
    return fixed + devices * sum(len(group.settings) for group in GROUPS)


def check(name: str, value: object, devices: Collection[str] = ()) -> str | None:
    """What is wrong with setting `name` to `value` in a namespace that has `devices` (and lo), or None."""
    try:
        clean(name, find(name, {*devices, "lo"})[0], value)
    except KeyError as error:
        return str(error.args[0])
    except ValueError as error:
        return str(error)
    return None


def find(name: str, devices: Collection[str]) -> tuple[Setting, Group | None, str]:
    """(setting, group, scope) of a name, None and "" for the namespace itself; KeyError with a suggestion."""
    setting = NS_SETTINGS.get(name)
    if setting is not None:
        return setting, None, ""
    for group in GROUPS:
        if name.startswith(group.prefix):
            scope, _, key = name[len(group.prefix) :].rpartition(".")  # a device's name may have dots
            setting = group.settings.get(key)
            if setting is None or not scope:
                break
            if scope in devices or scope in group.scopes(setting, ()):
                return setting, group, scope
            if scope != "all" or not group.with_all:
                raise KeyError(f"{name}: there is no device {scope!r}" + _suggest(scope, devices))
    raise KeyError(f"there is no setting {name!r}" + _suggest(name, names(devices)))


def _names(devices: Collection[str]) -> Iterator[str]:
    yield from NS_SETTINGS
    for group in GROUPS:
        for setting in group.settings.values():
            for scope in group.scopes(setting, devices):
                yield f"{group.prefix}{scope}.{setting.key}"


def _suggest(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
