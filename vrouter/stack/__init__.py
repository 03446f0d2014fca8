"""The stack alone, without I/O and without a clock: ``Stack`` and what hangs on it.

Everything here is a function of (state, frame, now); see `vrouter.stack.stack`. The names are loaded when first
used: who needs addresses alone (the configuration) does not pay for the stack.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.base.drop import DROP_TABLE, DropReason
    from vrouter.stack.device import Device
    from vrouter.stack.l4.constants import ERROR, READ, WRITE
    from vrouter.stack.netns import Netns
    from vrouter.stack.stack import Stack

__all__ = ["DROP_TABLE", "ERROR", "READ", "WRITE", "Device", "DropReason", "Netns", "Stack"]

_HOMES: Final = {
    "DROP_TABLE": "vrouter.stack.base.drop",
    "Device": "vrouter.stack.device",
    "DropReason": "vrouter.stack.base.drop",
    "ERROR": "vrouter.stack.l4.constants",
    "Netns": "vrouter.stack.netns",
    "READ": "vrouter.stack.l4.constants",
    "Stack": "vrouter.stack.stack",
    "WRITE": "vrouter.stack.l4.constants",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
