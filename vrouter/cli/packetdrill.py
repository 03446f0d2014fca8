"""`vrouter packetdrill`: scripts in packetdrill's language against a namespace, in virtual time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vrouter.cli.arguments import Arguments
from vrouter.cli.failure import RUNTIME, USAGE, Failure, usage
from vrouter.errors import errno_name

if TYPE_CHECKING:
    from vrouter.testing.packetdrill import Result, Settings

MAX_MTU: Final = 65521
_VERSIONS: Final = {"inet": "ipv4", "inet6": "ipv6", "mapped": "ipv4-mapped-ipv6"}


def packetdrill(arguments: Arguments) -> int:
    """The verb: a line for each script. Status 0 when none failed and all could be read, 1 when one failed, 2 when one
    could not be read."""
    if not arguments.words:
        raise usage("packetdrill which scripts? vrouter packetdrill FILE…")
    from vrouter.testing.packetdrill import run_file

    settings = _settings(arguments)
    results = []
    for path in _files(arguments.words):
        try:
            result = run_file(path, settings)
        except OSError as error:
            text = f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
            raise Failure(USAGE, text, errno_name(error.errno)) from None
        results.append(result)
        if not arguments.has("json"):
            print(_line(result), flush=True)
    if arguments.has("json"):
        print(json.dumps([_row(result) for result in results]))
    elif len(results) > 1:
        words = ("passed", "failed", "linux only", "unreadable")
        counts = {word: sum(one.outcome == word for one in results) for word in words}
        print(", ".join(f"{count} {word}" for word, count in counts.items() if count), file=sys.stderr)
    if any(result.outcome == "unreadable" for result in results):
        return USAGE
    return RUNTIME if any(result.outcome == "failed" for result in results) else 0


def _files(words: list[str]) -> list[Path]:
    """The files, and those below the folders, that are meant."""
    found: list[Path] = []
    for word in words:
        path = Path(word)
        scripts = sorted(path.rglob("*.pkt")) if path.is_dir() else [path]
        if not scripts:
            raise usage(f"no file below {word} ends in .pkt")
        found += scripts
    return found


def _settings(arguments: Arguments) -> Settings:
    from vrouter.testing.packetdrill import Settings

    options = arguments.options
    settings = Settings()
    chosen = [version for option, version in _VERSIONS.items() if arguments.has(option)]
    if len(chosen) > 1:
        raise usage("-4, -6 and --mapped exclude one another")
    if chosen:
        settings.version = chosen[0]
    if "cookie" in options:
        try:
            settings.cookie = bytes.fromhex(options["cookie"])
        except ValueError:
            raise usage(f"--cookie takes hexadecimal digits, not {options['cookie']!r}") from None
    if "mtu" in options:
        settings.mtu = _mtu(options["mtu"], 1280 if settings.version == "ipv6" else 68)
    for pair in options["define"].split(",") if "define" in options else ():
        name, equals, value = pair.partition("=")
        if not name.isidentifier() or not equals:
            raise usage(f"--define takes NAME=VALUE,…, not {options['define']!r}")
        settings.defines[name] = value
    if arguments.has("linux"):
        from vrouter.testing.packetdrill.profile import LINUX

        settings.sysctls = dict(LINUX)
    return settings


def _mtu(text: str, least: int) -> int:
    if not text.isdecimal() or not least <= int(text[:6]) <= MAX_MTU:
        raise usage(f"--mtu is a number of {least} to {MAX_MTU}, not {text!r}")
    return int(text)


def _line(result: Result) -> str:
    return f"{result}  ({result.seconds:.3f} s)" if result.passed else str(result)


def _row(result: Result) -> dict[str, object]:
    return {
        "file": result.name,
        "outcome": result.outcome,
        "line": result.line,
        "message": result.text,
        "seconds": result.seconds,
        "printed": list(result.printed),
    }
