"""vrouter: a userspace virtual router with network namespaces, on real TAP devices, in one asyncio process.

    import vrouter

    async with vrouter.Router.from_file("vrouter.toml") as router:
        print(await router["red"].ping("10.0.2.2"))

The names here are loaded when they are first used, so that a client command does not pay for the router.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "Netns",
    "NotSupportedError",
    "PrivilegeError",
    "Problem",
    "Router",
    "VrouterError",
    "__version__",
    "current_netns",
    "new_event_loop",
    "run",
]

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.errors import ConfigError, NotSupportedError, PrivilegeError, Problem, VrouterError
    from vrouter.loop import current_netns, new_event_loop, run
    from vrouter.netns import Netns

_HOMES: Final = {
    "ConfigError": "vrouter.errors",
    "Netns": "vrouter.netns",
    "NotSupportedError": "vrouter.errors",
    "PrivilegeError": "vrouter.errors",
    "Problem": "vrouter.errors",
    "Router": "vrouter.appliance",
    "VrouterError": "vrouter.errors",
    "current_netns": "vrouter.loop",
    "new_event_loop": "vrouter.loop",
    "run": "vrouter.loop",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next look finds it without asking here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
