"""`vrouter`: from what was typed to the verb that does it, and from how that ended to an exit status."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from vrouter import __version__
from vrouter.cli import failure
from vrouter.cli.arguments import Arguments, parse
from vrouter.cli.failure import Failure, did_you_mean, usage
from vrouter.cli.verbs import UNBUILT, VERBS, help_of, overview


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status. Never raises for what a user or a router does."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except Failure as failed:
        _complain(failed, as_json="--json" in argv)
        return failed.status
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except BrokenPipeError:
        # Who reads has seen enough (`| head`). What is still buffered has nowhere to go, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: list[str]) -> int:
    arguments = parse(argv, {name: verb.options for name, verb in VERBS.items()})
    if arguments.has("version"):
        print(f"vrouter {__version__}")
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
