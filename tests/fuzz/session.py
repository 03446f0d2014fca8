"""Runs scripts against worlds, keeps the record of each in memory, and makes the record of a failure short.

A run of N frames is a row of episodes, each a fresh world with a seed of its own, so that a failure needs only its own
episode to be seen again. A failing episode is written to a file as JSON, first whole, then without everything that can
be left out; `replay` plays such a file.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.fuzz.script import Script
from tests.fuzz.tcp_script import TcpScript
from tests.fuzz.world import Action, World

EPISODE = 2000  # frames
SHRINKING_SECONDS = 60.0


class Outcome(NamedTuple):
    """What a run came to."""

    frames: int
    actions: int
    refused: int
    digest: str
    met: frozenset[str]  # the reasons for which anything died


class Failure(Exception):
    """An action broke a promise; ``actions`` lead to it, the last one is where it was seen."""

    def __init__(self, seed: int, actions: list[Action], cause: BaseException) -> None:
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
        self.signature = " at ".join((type(cause).__name__, *frames[-1:]))
        super().__init__(f"{self.signature}: {cause}")
        self.seed = seed
        self.actions = actions


def run(
    frames: int,
    seed: int,
    captures: list[bytes],
    *,
    progress: Callable[[int], None] = lambda done: None,
    recorded: list[tuple[int, list[Action]]] | None = None,
    tcp: bool = False,
) -> Outcome:
    """Feed at least `frames` frames; raises `Failure`. With `recorded`, every episode's seed and actions go into it.

    Every eighth episode is about TCP, or with `tcp` each.
    """
    digest = blake2b(digest_size=16)
    done = actions = refused = episode = 0
    met: set[str] = set()
    while done < frames:
        episode_seed = seed * 1_000_003 + episode
        world, log = _episode(episode_seed, min(EPISODE, frames - done), captures, tcp or episode % 8 == 7)
        if recorded is not None:
            recorded.append((episode_seed, log))
        digest.update(world.digest.digest())
        done += world.frames
        actions += world.steps
        refused += world.refused
        met |= world.met
        episode += 1
        progress(done)
    return Outcome(done, actions, refused, digest.hexdigest(), frozenset(met))


def _episode(seed: int, frames: int, captures: list[bytes], tcp: bool) -> tuple[World, list[Action]]:
    world, log = World(seed), []
    script = TcpScript(world, Random(seed)) if tcp else Script(world, Random(seed), captures)
    try:
        for action in script.opening():
            log.append(action)
            world.apply(action)
        while world.frames < frames:
            for action in script.next():
                log.append(action)
                world.apply(action)
        for action in script.closing():
            log.append(action)
            world.apply(action)
        world.finish()
    except Exception as problem:
        raise Failure(seed, log, problem) from problem
    return world, log


def play(seed: int, actions: list[Action]) -> World:
    """Carry out recorded actions on a fresh world and take it down; raises `Failure`."""
    world, log = World(seed), []
    try:
        for action in actions:
            log.append(action)
            world.apply(action)
        world.finish()
    except Exception as problem:
        raise Failure(seed, log, problem) from problem
    return world


def shorten(failure: Failure, seconds: float = SHRINKING_SECONDS) -> Failure:
    """The same failure with as few actions as are found in `seconds`: ever smaller parts are left out."""
    best, until = failure, time.monotonic() + seconds
    size = max(len(best.actions) // 2, 1)
    while size and time.monotonic() < until:
        at, smaller = 0, False
        while at < len(best.actions) and time.monotonic() < until:
            shorter = _fails(best, best.actions[:at] + best.actions[at + size :])
            if shorter is None:
                at += size
            else:
                best, smaller = shorter, True
        if not smaller or size > len(best.actions):
            size //= 2
    return best


def _fails(failure: Failure, actions: list[Action]) -> Failure | None:
    try:
        play(failure.seed, actions)
    except Failure as other:
        if other.signature == failure.signature and len(other.actions) < len(failure.actions):
            return other
    return None


# ---------------------------------------------------------------------------------------------------- replay files


def write(failure: Failure, path: Path) -> None:
    """Write the failing actions, one a line, so that they can be read and edited."""
    lines = ",\n".join(json.dumps(_frozen(list(action))) for action in failure.actions)
    path.write_text(f'{{"failure": {json.dumps(str(failure))},\n"seed": {failure.seed},\n"actions": [\n{lines}\n]}}\n')


def replay(path: Path) -> World:
    """Play a file that `write` wrote; raises `Failure`."""
    record = json.loads(path.read_text())
    return play(record["seed"], [tuple(_thawed(action)) for action in record["actions"]])


def _frozen(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return [_frozen(item) for item in value] if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"hex"}:
            return bytes.fromhex(value["hex"])
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list) else value
