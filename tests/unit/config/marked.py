"""Configurations with a mark where a mistake is to be reported, and what is reported."""

import pytest

from vrouter.config import loads
from vrouter.errors import ConfigError

MARK = "▸"

RED = """\
[netns.red.dev.lan]
addresses = ["10.0.1.1/24"]
"""
VETH = """\
[netns.red.dev.up]
kind = "veth"
peer = { netns = "blue", dev = "down" }
[netns.blue.dev.down]
kind = "veth"
peer = { netns = "red", dev = "up" }
"""


def lines(text: str) -> list[str]:
    """What is reported about `text`."""
    with pytest.raises(ConfigError) as caught:
        loads(text, "f.toml")
    return [str(problem) for problem in caught.value.problems]


def must_report(text: str, expected: str) -> None:
    """`text` has exactly one mistake, at the mark, reported as `expected`."""
    before, mark, after = text.partition(MARK)
    assert mark
    assert MARK not in after
    line = before.count("\n") + 1
    column = len(before.rpartition("\n")[2]) + 1
    assert lines(before + after) == [f"f.toml:{line}:{column}: {expected}"]


def address(text: str) -> str:
    return f"[netns.red.dev.lan]\naddresses = [▸'{text}']"


def route(content: str) -> str:
    return f"{RED}[[netns.red.route]]\n{content}"


HOST = "[netns.red.dev.lan]\naddresses = ['10.0.1.1/24']\nhost.addresses = ['10.0.1.2/24', '10.200.1.2/32']\n"
DUAL = "[netns.red.dev.lan]\naddresses = ['10.0.1.1/24', 'fd00:1::1/64']\n"
BR = "[netns.red.dev.br]\nkind = 'bridge'\n"
