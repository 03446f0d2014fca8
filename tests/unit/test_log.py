"""Logs: the lines, their limits, and that a reader who does not read stops nobody."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from vrouter.log import LineWriter, Log, RateLimit
from vrouter.stack import Stack
from vrouter.stack.base.events import Event, EventKind


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(reading end, writing end)."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def lines_of(pipe: tuple[int, int], log: Log) -> list[dict[str, Any]]:
    log.close()
    os.close(pipe[1])
    with open(pipe[0], "rb", closefd=False) as file:
        return [json.loads(line) for line in file]


def test_a_line_is_json_away_from_a_terminal(pipe: tuple[int, int]) -> None:
    """One object a line with level, event, UTC time and the bound fields; below the level nothing is written."""
    log = Log("info", fd=pipe[1])
    log.logger.debug("unseen")
    log.logger.bind(netns="red", dev="lan").warning("carrier lost", error="down\nnow", odd=object)
    (line,) = lines_of(pipe, log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("timestamp"))
    assert line == {
        "event": "carrier lost",
        "level": "warning",
        "netns": "red",
        "dev": "lan",
        "error": "down\nnow",
        "odd": "<class 'object'>",
    }


@pytest.mark.parametrize(("format_", "colours"), [("auto", True), ("console", True), ("json", False)])
def test_a_terminal_gets_text(format_: str, colours: bool) -> None:
    """`auto` asks whether it writes to a terminal."""
    ours, theirs = pty.openpty()
    log = Log("info", format_, fd=theirs)
    log.logger.info("ready", netns="red")
    log.close()
    text = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert text.startswith("{") is not colours
    assert ("\x1b[" in text) is colours
    assert "ready" in text


def test_nothing_global_is_configured(pipe: tuple[int, int]) -> None:
    """A program that uses structlog itself keeps its own settings."""
    before = structlog.is_configured()
    log = Log(fd=pipe[1])
    log.logger.info("x")
    assert structlog.is_configured() is before
    assert [line["event"] for line in lines_of(pipe, log)] == ["x"]


def test_a_stuck_reader_stops_nobody(pipe: tuple[int, int]) -> None:
    """Nobody reads: every call returns, lines beyond the queue are lost and counted, and told when reading goes on."""
    writer = LineWriter(pipe[1], limit=50)
    line = b"x" * 4095
    for _ in range(1000):
        writer.write(line)
    assert 1000 - 50 - 17 <= writer.lost <= 950  # a pipe holds 64 KiB
    assert not writer.close(0.01)
    lost, found, told = writer.lost, b"", 0
    while told < lost or found.count(line + b"\n") < 1000 - lost:
        found += os.read(pipe[0], 65536)
        reports = [json.loads(row) for row in found.split(b"\n")[:-1] if row.startswith(b"{")]
        told = sum(report["count"] for report in reports)
    assert {(report["event"], report["level"]) for report in reports} == {("log lines lost", "warning")}
    assert (told, found.count(line + b"\n")) == (lost, 1000 - lost)
    assert writer.close(5)


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: tuple[int, int]) -> None:
    """Some loops make standard output non-blocking: the thread then waits until it is writable."""
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1])
    for number in range(200):
        writer.write(b"%03d" % number + b"x" * 996)
    found = b""
    while found.count(b"\n") < 200:
        found += os.read(pipe[0], 4096)
    assert writer.close(5)
    assert [row[:3] for row in found.splitlines()] == [b"%03d" % number for number in range(200)]
    assert writer.lost == 0


def test_floods_of_one_event_are_thinned() -> None:
    """A burst passes, then so many a second; the next that passes tells how many did not; other events are not hurt."""
    now = [0.0]
    limit = RateLimit(burst=3, per_second=2, clock=lambda: now[0])

    def passes(event: str) -> dict[str, Any] | None:
        try:
            return dict(limit(None, "info", {"event": event}))
        except structlog.DropEvent:
            return None

    assert [passes("a") for _ in range(5)] == [{"event": "a"}] * 3 + [None, None]
    assert passes("b") == {"event": "b"}
    now[0] = 0.25
    assert passes("a") is None
    now[0] = 0.5
    assert passes("a") == {"event": "a", "suppressed": 3}
    assert passes("a") is None
    now[0] = 100.0
    assert passes("a") == {"event": "a", "suppressed": 1}
    assert [passes("a") for _ in range(3)] == [{"event": "a"}, {"event": "a"}, None]


def test_the_limit_itself_is_bounded() -> None:
    """So many kinds of events are told apart; the one that was first seen first is forgotten first."""
    limit = RateLimit(burst=1, per_second=0, clock=lambda: 0.0)
    for number in range(257):
        limit(None, "info", {"event": f"kind {number}"})
    assert limit(None, "info", {"event": "kind 0"}) == {"event": "kind 0"}
    with pytest.raises(structlog.DropEvent):
        limit(None, "info", {"event": "kind 256"})


def test_events_of_the_stack(pipe: tuple[int, int]) -> None:
    """A change of state is one line: what, where, addresses as text; what is wrong is a warning."""
    log = Log("info", fd=pipe[1])
    stack = Stack()
    red = stack.add_netns("red")
    lan = red.add_device("lan")
    red.add_address("lan", "10.0.0.1/24")
    red.set_carrier(lan, False, "the link was deleted")
    for event in stack.events.take():
        log.event(event)
    log.event(Event(0, 9, EventKind.NEIGH_FAILED, "red", "lan", {"address": 0x0A000009}))
    log.event(Event(0, 10, EventKind.ADDRESS_DEL, "red", "lo", {"address": 1, "length": 128}))
    rows = [{key: row[key] for key in row if key != "timestamp"} for row in lines_of(pipe, log)]
    assert rows[0] == {"event": "netns-add", "level": "info", "netns": "red"}
    assert [rows[n]["event"] for n in (1, 2, 3)] == ["device-add", "address-add", "address-add"]
    assert rows[2]["address"].startswith("fe80::")
    assert rows[3]["address"] == "10.0.0.1"
    assert rows[4] == {
        "event": "device-state",
        "level": "warning",
        "netns": "red",
        "dev": "lan",
        "state": "no-carrier",
        "error": "the link was deleted",
    }
    assert rows[5] == {
        "event": "address-del",
        "level": "info",
        "netns": "red",
        "dev": "lo",
        "address": "::1",
        "length": 128,
    }
    assert len(rows) == 6


def test_rich_is_not_loaded() -> None:
    """A start does not pay for an extra that draws tracebacks; whoever wants it gets it afterwards, as ever."""
    program = "import sys, vrouter.log; print('rich' in sys.modules, 'structlog' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
