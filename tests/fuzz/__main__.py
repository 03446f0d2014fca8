"""``python -m tests.fuzz --frames N [--seed S]``: hostile frames and sequences, until a promise is broken.

Promises, after each action: nothing is raised, no table is over its bound, the accounts are exact, what was due has
run, what leaves is well-formed, and the same seed gives the same bytes. ``--replay FILE`` plays a failure
again; ``--fetch`` only brings the captures into the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz import captures, session
from vrouter.stack.base.drop import DROP_TABLE


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000, help="how many frames (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play the actions of a failure")
    parser.add_argument("--fetch", action="store_true", help="only fetch the captures into the cache")
    parser.add_argument("--no-captures", action="store_true", help="with generated frames alone")
    parser.add_argument("--tcp", action="store_true", help="only episodes that are about TCP")
    arguments = parser.parse_args()
    if arguments.replay:
        return _replay(arguments.replay)
    if arguments.no_captures or arguments.tcp:
        return _run(arguments.frames, arguments.seed, [], arguments.tcp)
    found = captures.load()
    print(f"captures: {found.story}", flush=True)
    return 0 if arguments.fetch else _run(arguments.frames, arguments.seed, found.frames, False)


def _run(frames: int, seed: int, captured: list[bytes], tcp: bool) -> int:
    begun = told = time.monotonic()

    def progress(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            print(f"{done:>9,} frames, {done / (told - begun):,.0f}/s", flush=True)

    try:
        outcome = session.run(frames, seed, captured, progress=progress, tcp=tcp)
    except session.Failure as failure:
        path = Path(f"fuzz-{failure.seed}.json")
        session.write(failure, path)
        print(f"{failure}\n{len(failure.actions)} actions in {path}; making it shorter …", file=sys.stderr, flush=True)
        short = session.shorten(failure)
        session.write(short, path)
        print(f"{len(short.actions)} actions left: python -m tests.fuzz --replay {path}", file=sys.stderr)
        return 1
    print(
        f"{outcome.frames:,} frames, {outcome.actions:,} actions, {outcome.refused:,} calls refused, "
        f"{time.monotonic() - begun:.0f} s, seed {seed}, digest {outcome.digest}: all promises held"
    )
    never = [reason.name for reason in DROP_TABLE if reason.name not in outcome.met]
    print(f"reasons for which nothing died: {', '.join(never) or 'none'}")
    return 0


def _replay(path: Path) -> int:
    try:
        world = session.replay(path)
    except session.Failure as failure:
        raise SystemExit(f"after {len(failure.actions)} actions: {failure}") from failure
    print(f"{world.steps} actions: all promises held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
