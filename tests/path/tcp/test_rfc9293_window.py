"""A window that is taken back, and one that is zero (RFC 9293 3.4, 3.8.6)."""

from __future__ import annotations

import pytest

from tests.path.tcp.receiving import ACCEPTED, passes
from tests.path.tcp.scripted import ON_THE_WIRE, accepted, play

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])

# Ten segments are under way when the peer takes back what it had offered of the last six.
SHRUNK = (
    accepted()
    + """
+0 write(4, ..., 12000) = 12000
+0 > P. 1:10001(10000) ack 1
+.1 < . 1:1(0) ack 2001 win 2000
"""
)


@both
def test_new_data_wait_when_the_window_shrinks(version):
    """RFC 9293 3.8.6 (MUST-34, SHLD-15): the usable window is below zero: nothing new, until it is open again."""
    script = (
        SHRUNK
        + """
    +.1 < . 1:1(0) ack 8001 win 2000
    +.1 < . 1:1(0) ack 10001 win 1000
    +0 > . 10001:11001(1000) ack 1
    """
    )
    assert play(script, version) == ""


@both
def test_old_data_go_again_within_a_window_that_shrank(version):
    """RFC 9293 3.8.6 (SHLD-16): what lies between SND.UNA and the edge is sent again as ever: by the timeout."""
    script = (
        SHRUNK
        + """
    +.3~+.5 > . 2001:3001(1000) ack 1
    +.1 < . 1:1(0) ack 3001 win 2000
    +0 > . 3001:4001(1000) ack 1
    +0 > . 4001:5001(1000) ack 1
    """
    )
    assert play(script, version, tcp_early_retrans=0, tcp_frto=0) == ""


@both
def test_a_window_that_shrinks_to_zero_is_probed(version):
    """RFC 9293 3.8.6 (MUST-35, SHLD-17, MAY-7): by what is not acknowledged, for longer than R2 if answered."""
    rounds, gap = "", 300
    for turn in range(8):
        wait = (gap if turn == 0 else gap - 10) / 1000
        rounds += f"+{wait} > . 1:1001(1000) ack 1\n+.01 < . 1:1(0) ack 1 win 0\n"
        gap = min(gap * 2, 1200)
    script = (
        accepted()
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > P. 1:1001(1000) ack 1
    +0 < . 1:1(0) ack 1 win 0
    """
        + rounds.replace("> . 1:1001", "> P. 1:1001")
        + """
    +.1 < . 1:1(0) ack 1001 win 1000
    +0 write(4, ..., 500) = 500
    +0 > P. 1001:1501(500) ack 1
    """
    )
    assert play(script, version, tcp_early_retrans=0, tcp_retries2=3, tcp_rto_max_ms=1200) == ""


@both
def test_urgent_counts_in_a_zero_window(version):
    """RFC 9293 3.4 (MUST-66): the mark of data that have no room yet is known, and a read ends there later."""
    passes(
        ACCEPTED.replace("listen(3, 1)", "setsockopt(3, SOL_SOCKET, SO_RCVBUF, [5000], 4) = 0\n+0 listen(3, 1)")
        + """
        +0  < P. 1:4381(4380) ack 1 win 257
        +0  > . 1:1(0) ack 4381 win 0
        +0  < U. 4381:4381(0) ack 1 win 257 urg 6
        +.1 read(4, ..., 9000) = 4380
        +0  > . 1:1(0) ack 4381
        +0  < P. 4381:4391(10) ack 1 win 257
        +0~+.3 > . 1:1(0) ack 4391
        +0  read(4, ..., 100) = 5
        +0  read(4, ..., 100) = 5
        """,
        version,
    )


def test_segments_are_as_large_as_can_be():
    """RFC 9293 3.9.1.2 (SHLD-28): of 2500 bytes two full segments and the rest, however they were written."""
    script = (
        ON_THE_WIRE
        + accepted()
        + """
    +0 setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0
    +0 write(4, ..., 400) = 400
    +0 write(4, ..., 700) = 700
    +0 > . 1:1001(1000) ack 1
    +0 write(4, ..., 1400) = 1400
    +0 > . 1001:2001(1000) ack 1
    +0 setsockopt(4, SOL_TCP, TCP_CORK, [0], 4) = 0
    +0 > P. 2001:2501(500) ack 1
    """
    )
    assert play(script) == ""


def test_a_chain_of_held_segments_is_one_acknowledgment():
    """RFC 9293 3.10.7.4 (MUST-58, MUST-59): what fills the gap, and all that waited behind it, is one ACK."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        +0  < . 2001:3001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:3001>
        +0  < . 3001:4001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:4001>
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 4001
        +.5 read(4, ..., 9000) = 4000
        """
    )
