"""`vrouter`: from what was typed to the verb that does it, and from how that ended to an exit status."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from importlib import import_module

from vrouter import __version__
from vrouter.cli import failure
from vrouter.cli.arguments import Arguments, parse
from vrouter.cli.failure import Failure, did_you_mean, usage
from vrouter.cli.verbs import UNBUILT, VERBS, help_of, overview
from vrouter.errors import errno_name


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status. Never raises."""
    argv = sys.argv[1:] if argv is None else argv
    _make_printable()
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except Failure as failed:
        return _give_up(argv, failed)
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except BrokenPipeError:
        # Who reads has seen enough (`| head`). What is still buffered has nowhere to go, at exit neither.
        _discard_output()
        return 0
    except OSError as error:
        name = error.filename if isinstance(error.filename, str) else "the output"
        text = f"{name} cannot be written or read: {error.strerror or error}"
        _discard_output()
        return _give_up(argv, Failure(failure.RUNTIME, text, errno_name(error.errno)))
    except Exception as error:
        return _give_up(argv, _fault(error))


def _make_printable() -> None:
    """Any text can be printed, whatever the locale, and also when an output was closed before we began."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up(argv: list[str], failed: Failure) -> int:
    _complain(failed, as_json="--json" in argv)
    return failed.status


def _discard_output() -> None:
    """What is still buffered has nowhere to go, at exit neither."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fault(error: Exception) -> Failure:
    """Something that should not have happened, in one line with its place."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return Failure(failure.RUNTIME, f"a fault in vrouter, please report it: {error!r}{place}", "EIO")


def _run(argv: list[str]) -> int:
    arguments = parse(argv, {name: verb.options for name, verb in VERBS.items()})
    if arguments.has("version"):
        from vrouter.stack.l3.fib import COMPILED  # not with every verb: it loads the stack

        built = "compiled" if COMPILED else "pure Python"
        compiled = "true" if COMPILED else "false"
        text = f"vrouter {__version__} ({built})"
        print(f'{{"version":"{__version__}","compiled":{compiled}}}' if arguments.has("json") else text)
        return 0
    verb = VERBS.get(arguments.verb)
    if verb is None:
        return _without_verb(arguments)
    if arguments.has("help"):
        print(help_of(arguments.verb))
        return 0
    module, _, name = verb.function.partition(":")
    function = getattr(import_module(f"vrouter.cli.{module}"), name)
    status: int = function(arguments)
    return status


def _without_verb(arguments: Arguments) -> int:
    if arguments.verb in UNBUILT:
        raise failure.unbuilt(arguments.verb)
    if arguments.verb == "help" or (not arguments.verb and arguments.has("help")):
        print(overview())
        return 0
    if not arguments.verb:
        raise usage("what shall it do? `vrouter --help` lists the verbs")
    raise usage(f"there is no verb {arguments.verb!r} ({did_you_mean(arguments.verb, tuple(VERBS))})")


def _complain(failed: Failure, *, as_json: bool) -> None:
    """One line on standard error."""
    text = " ".join(failed.message.split("\n"))
    if as_json:
        import json

        text = json.dumps({"error": failed.error, "message": text}, ensure_ascii=False)
    else:
        text = f"vrouter: {text}"
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens


if __name__ == "__main__":
    sys.exit(main())
