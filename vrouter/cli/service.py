"""`vrouter run` and `vrouter check`."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from vrouter.cli.arguments import Arguments
from vrouter.cli.failure import PRIVILEGE, RUNTIME, USAGE, Failure, usage
from vrouter.errors import ConfigError, PrivilegeError, errno_name

if TYPE_CHECKING:
    from vrouter.config.records import Config


def _load(arguments: Arguments) -> Config | None:
    """The configuration, or None after every mistake in it was printed."""
    if len(arguments.words) != 1:
        raise usage(f"{arguments.verb} which configuration? vrouter {arguments.verb} CONFIG")
    from vrouter.config import load

    path = arguments.words[0]
    try:
        return load(path)
    except ConfigError as error:
        if arguments.has("json"):
            _print_json(error)
        else:
            print(error, file=sys.stderr)
        return None
    except OSError as error:
        text = f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
        raise Failure(USAGE, text, errno_name(error.errno)) from None


def _print_json(error: ConfigError) -> None:
    import json

    problems = [
        {"file": one.file, "line": one.line, "column": one.column, "key": one.key, "message": one.message,
         "hint": one.hint}
        for one in error.problems
    ]  # fmt: skip
    print(json.dumps({"error": "EINVAL", "message": "the configuration is refused", "problems": problems}))


def check(arguments: Arguments) -> int:
    """Every mistake and warning on standard error, sorted by position; status 0 or 2."""
    config = _load(arguments)
    if config is None:
        return USAGE
    for warning in config.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    devices = sum(len(ns.devices) for ns in config.netns.values())
    routes = sum(len(ns.routes) for ns in config.netns.values())
    if arguments.has("json"):
        import json

        warnings = [str(warning) for warning in config.warnings]
        print(json.dumps({"netns": len(config.netns), "devices": devices, "routes": routes, "warnings": warnings}))
    else:
        counted = ", ".join(
            (_count(len(config.netns), "namespace"), _count(devices, "device"), _count(routes, "route"))
        )
        print(f"{arguments.words[0]}: OK: {counted}")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def run(arguments: Arguments) -> int:
    """Run the router until a signal ends it. ``--admin`` goes before the file's path, the environment's behind it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until `serve` answers it
    config = _load(arguments)
    if config is None:
        return USAGE
    import msgspec
    import uvloop

    from vrouter import service
    from vrouter.cli.connect import admin_path

    if arguments.has("admin"):
        router = msgspec.structs.replace(config.router, admin=arguments.options["admin"])
        config = msgspec.structs.replace(config, router=router)
    try:
        uvloop.run(service.serve(config, admin=admin_path(arguments)))
    except ConfigError as error:  # lines of a file of routes contradict one another
        print(error, file=sys.stderr)
        return USAGE
    except PrivilegeError as error:
        raise Failure(PRIVILEGE, str(error), "EPERM") from None
    except OSError as error:
        raise Failure(RUNTIME, error.strerror or str(error), errno_name(error.errno)) from None
    return 0
