"""Keep-alive: off unless asked for, and only when nothing else is said (RFC 9293 3.8.4)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import accepted, play

ON = """
+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [10], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_KEEPINTVL, [3], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_KEEPCNT, [2], 4) = 0
+0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
"""


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_a_silent_peer_is_asked_and_given_up(version: str) -> None:
    """RFC 9293 3.8.4 (MUST-26, MUST-27): a probe after the idle time, and an end only after several in a row."""
    script = (
        accepted()
        + ON
        + """
    +10 > . 0:0(0) ack 1
    +3 > . 0:0(0) ack 1
    +3 > R. 1:1(0) ack 1
    +0 read(4, ..., 10) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script, version) == ""


def test_it_is_off_by_default() -> None:
    """RFC 9293 3.8.4 (MUST-25): it must default to off; what would come after the day is the answer to the data."""
    script = (
        accepted()
        + """
    +86400 < P. 1:101(100) ack 1 win 65535
    +0 > . 1:1(0) ack 101
    """
    )
    assert play(script) == ""


def test_the_idle_time_defaults_to_two_hours() -> None:
    """RFC 9293 3.8.4 (MUST-28): the interval is no less than two hours by default."""
    script = (
        accepted()
        + """
    +0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
    +7200 > . 0:0(0) ack 1
    +75 > . 0:0(0) ack 1
    """
    )
    assert play(script) == ""


def test_an_answer_begins_the_idle_time_anew() -> None:
    """RFC 9293 3.8.4: the peer is there; after another idle time it is asked again, and probes before count no more."""
    script = (
        accepted()
        + ON
        + """
    +10 > . 0:0(0) ack 1
    +.1 < . 1:1(0) ack 1 win 65535
    +10 > . 0:0(0) ack 1
    +.1 < . 1:1(0) ack 1 win 65535
    +10 > . 0:0(0) ack 1
    +3 > . 0:0(0) ack 1
    """
    )
    assert play(script) == ""


def test_data_begin_the_idle_time_anew() -> None:
    """RFC 9293 3.8.4 (MUST-26): probes only when nothing came within the interval."""
    script = (
        accepted()
        + ON
        + """
    +6 < P. 1:101(100) ack 1 win 65535
    +0 > . 1:1(0) ack 101
    +10 > . 0:0(0) ack 101
    """
    )
    assert play(script) == ""


def test_it_is_silent_while_data_are_outstanding() -> None:
    """RFC 9293 3.8.4 (MUST-26): no probes while data wait to be acknowledged; those are sent again instead."""
    script = (
        accepted()
        + ON
        + """
    +9.9 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +.3 > P. 1:101(100) ack 1
    +.6 > P. 1:101(100) ack 1
    """
    )
    assert play(script, tcp_early_retrans=0) == ""


def test_a_user_timeout_decides_when_it_ends() -> None:
    """RFC 5482, tcp(7): TCP_USER_TIMEOUT overrides the number of probes."""
    script = (
        accepted()
        + ON
        + """
    +0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [18000], 4) = 0
    +10 > . 0:0(0) ack 1
    +3 > . 0:0(0) ack 1
    +3 > . 0:0(0) ack 1
    +3 > R. 1:1(0) ack 1
    +0 read(4, ..., 10) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script) == ""


def test_a_probe_is_answered() -> None:
    """RFC 9293 3.8.4: the other side's probe, a number that was acknowledged, gets an ACK."""
    script = (
        accepted()
        + """
    +1 < . 0:0(0) ack 1 win 65535
    +0 > . 1:1(0) ack 1
    """
    )
    assert play(script) == ""
