"""The table of throughputs stays as it is, unless it was renewed on purpose."""

import pytest

from tests.sim.tcp_throughput import DELAYS, HEADING, SNAPSHOT, kept, rows


@pytest.mark.parametrize("delay", DELAYS)
def test_the_table(delay):
    """Every byte arrives over every path (RFC 9293 MUST-58), and as fast as the snapshot says; see `tcp_throughput`."""
    assert rows(delay) == kept(delay)


def test_the_heading():
    """The snapshot was made with the settings that stand in the module."""
    assert SNAPSHOT.read_text(encoding="utf-8").startswith(HEADING)
