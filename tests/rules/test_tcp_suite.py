"""The scripted suite of TCP: each of its tests names the clause or the promise that it holds, and none is left out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.rules.tree import ROOT, parsed

SUITE = ROOT / "tests" / "path" / "tcp"
LEAST = 250

# What a promise rests on: an RFC, a manual page, a setting, the API, an option, or the Linux that it is to be like.
SOURCE = re.compile(r"RFC \d{3,4}|\w\(\d\)|``(?:net\.|tcp_|[A-Z]+ /)|Linux|\b(?:TCP|SO|IP|IPV6|MSG|SHUT|SOCK)_[A-Z]")
# The same, or the place in the RFC that stands above: a section, a step of 3.10.7.4, a number of RFC 9293's appendix B.
CLAUSE = re.compile(
    SOURCE.pattern + r"|\b\d\.\d+|\b(?:MUST|SHLD|MAY|REC)-\d|^[123]\):"
    r"|\b(?:First|Second|Third|Fourth|Fifth|Sixth|Seventh|Eighth)\b"
)

# What a suite of TCP cannot leave out, and the files that hold it.
SUBJECTS = {
    "handshakes": "handshake syn simultaneous accept listen",
    "retransmission, back-off": "rto",
    "spurious timeouts": "frto undo",
    "fast retransmit": "fast_retransmit newreno",
    "SACK": "sack_receiver reneging out_of_order",
    "RACK, TLP": "rack tlp",
    "PRR": "prr",
    "limited transmit": "limited_transmit",
    "ECN": "ecn_sender ecn_receiver",
    "close in every state": "close shutdown linger receive",
    "zero window": "zero_window zero_window_receiver",
    "keep-alive": "keepalive",
    "user timeout": "user_timeout",
    "TIME-WAIT": "time_wait",
    "Nagle": "nagle cork push",
    "MSS and path MTU": "mss tcp_pmtu blackhole",
    "Fast Open": "fastopen",
    "SYN cookies": "syn_cookies syn_flood",
    "PAWS": "paws",
    "blind attacks": "challenge_ack reset",
    "errors": "connect_errors socket_calls tcp_icmp",
}


def promises(body: list[ast.stmt], above: str, prefix: str) -> Iterator[tuple[str, str, str]]:
    """(name, docstrings above, own docstring) of each test."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name, above, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef):
            yield from promises(node.body, f"{above}\n{ast.get_docstring(node) or ''}", f"{prefix}{node.name}::")


@cache
def cases() -> tuple[str, ...]:
    """The node ids of the suite, as pytest collects them."""
    command = [sys.executable, "-m", "pytest", str(SUITE), "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    return tuple(line for line in found.splitlines() if "::" in line)


def test_each_test_names_its_clause() -> None:
    """A test says where its promise comes from: in its own words, and with what its class and module say above it."""
    nameless = [
        f"{path.name}::{name}"
        for path in sorted(SUITE.glob("test_*.py"))
        for name, above, own in promises(parsed(path).body, ast.get_docstring(parsed(path)) or "", "")
        if not CLAUSE.search(own) or not SOURCE.search(f"{above}\n{own}")
    ]
    assert nameless == []


def test_there_are_enough_cases() -> None:
    """At least 250, whatever goes away."""
    assert len(cases()) >= LEAST


@pytest.mark.parametrize("subject", SUBJECTS)
def test_no_subject_is_missing(subject: str) -> None:
    """Each subject has its files, and each file at least two cases."""
    for name in SUBJECTS[subject].split():
        assert sum(f"/test_{name}.py::" in case for case in cases()) >= 2, name


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_both_families_are_run(family: str) -> None:
    """RFC 9293 is one protocol over two: each has a hundred cases of its own at least."""
    assert sum(family in case for case in cases()) >= 100


def test_time_is_virtual() -> None:
    """No test of the suite sleeps, or looks at a clock that it does not turn itself."""
    clocks = {"time", "asyncio.sleep", "datetime"}
    wrong: list[str] = []
    for path in sorted(SUITE.glob("*.py")):
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name}:{node.lineno}" for name in names if name in clocks]
    assert wrong == []
