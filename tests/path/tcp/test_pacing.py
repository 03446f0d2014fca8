"""Segments leave at a pace where somebody asked for one (SO_MAX_PACING_RATE, socket(7))."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import STRICT, accepted, play

SLOW = (
    accepted(before="+0 setsockopt(3, SOL_SOCKET, SO_MAX_PACING_RATE, [100000], 4) = 0")
    + """
    +0 write(4, ..., 9000) = 9000
    +0 > P. 1:2001(2000) ack 1
    +0 > P. 2001:4001(2000) ack 1
    +0 > P. 4001:6001(2000) ack 1
    +0 > P. 6001:8001(2000) ack 1
    +0 > P. 8001:9001(1000) ack 1
    +.1 < . 1:1(0) ack 9001 win 65535
"""
)  # nine segments: what comes now is paced


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_two_segments_at_a_time_at_a_low_rate(version: str) -> None:
    """socket(7): at 100,000 bytes a second 2000 bytes, the least that leaves together, take 20 ms."""
    script = (
        SLOW
        + """
    +0 write(4, ..., 7000) = 7000
    +0 > P. 9001:11001(2000) ack 1
    +.01 > P. 11001:13001(2000) ack 1
    +.02 > P. 13001:15001(2000) ack 1
    +.02 > P. 15001:16001(1000) ack 1
    """
    )
    assert play(STRICT + script, version) == ""


def test_an_idle_time_saves_up_no_burst() -> None:
    """SO_MAX_PACING_RATE: half of a superframe's time is made up for, not more."""
    script = (
        SLOW
        + """
    +1 write(4, ..., 6000) = 6000
    +0 > P. 9001:11001(2000) ack 1
    +.01 > P. 11001:13001(2000) ack 1
    +.02 > P. 13001:15001(2000) ack 1
    """
    )
    assert play(STRICT + script) == ""


def test_a_superframe_carries_a_millisecond_of_data() -> None:
    """Linux's tcp_tso_autosize: at ten million bytes a second 9765 bytes, in whole segments."""
    script = (
        accepted(before="+0 setsockopt(3, SOL_SOCKET, SO_MAX_PACING_RATE, [10000000], 4) = 0", rtt=".001")
        + """
    +0 write(4, ..., 10000) = 10000
    +0 > P. 1:9001(9000) ack 1
    +0 > P. 9001:10001(1000) ack 1
    """
    )
    assert play(STRICT + script) == ""


def test_what_is_sent_again_is_paced_too() -> None:
    """SO_MAX_PACING_RATE: what is lost goes at the pace of all: not with the ACK that tells of it."""
    script = (
        SLOW
        + """
    +0 write(4, ..., 8000) = 8000
    +0 > P. 9001:11001(2000) ack 1
    +.01 > P. 11001:13001(2000) ack 1
    +.02 > P. 13001:15001(2000) ack 1
    +.02 > P. 15001:17001(2000) ack 1
    +.004 < . 1:1(0) ack 9001 win 65535 <sack 11001:17001,nop,nop>
    +.016 > P. 9001:11001(2000) ack 1
    """
    )
    assert play(STRICT + script) == ""


def test_the_first_ten_segments_are_not_paced() -> None:
    """Linux: the initial window leaves at once (RFC 6928), whatever the rate is; the pace begins with its end."""
    script = (
        accepted(before="+0 setsockopt(3, SOL_SOCKET, SO_MAX_PACING_RATE, [100000], 4) = 0")
        + """
    +0 write(4, ..., 12000) = 12000
    +0 > P. 1:2001(2000) ack 1
    +0 > P. 2001:4001(2000) ack 1
    +0 > P. 4001:6001(2000) ack 1
    +0 > P. 6001:8001(2000) ack 1
    +0 > P. 8001:10001(2000) ack 1
    +.001 < . 1:1(0) ack 10001 win 65535
    +.009 > P. 10001:12001(2000) ack 1
    """
    )
    assert play(STRICT + script) == ""


def test_nobody_is_paced_who_did_not_ask() -> None:
    """RFC 5681 3.1: with CUBIC a whole window leaves at once."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 10000) = 10000
    +0 > P. 1:2001(2000) ack 1
    +0 > P. 2001:4001(2000) ack 1
    +0 > P. 4001:6001(2000) ack 1
    +0 > P. 6001:8001(2000) ack 1
    +0 > P. 8001:10001(2000) ack 1
    """
    )
    assert play(STRICT + script) == ""
