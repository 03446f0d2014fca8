"""A closed window is probed, for ever if need be (RFC 9293 3.8.6.1); small ones are not filled (3.8.6.2.1)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import accepted, play

CLOSED = """
+0 write(4, ..., 1000) = 1000
+0 > P. 1:1001(1000) ack 1
+.1 < . 1:1(0) ack 1001 win 0
+0 write(4, ..., 500) = 500
"""


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_probes_come_after_the_rto_and_then_ever_more_rarely(version: str) -> None:
    """RFC 9293 3.8.6.1 (SHLD-29, SHLD-30): the first probe after the RTO, then at intervals that grow exponentially."""
    script = (
        accepted()
        + CLOSED
        + """
    +.3 > . 1000:1000(0) ack 1
    +.6 > . 1000:1000(0) ack 1
    +1.2 > . 1000:1000(0) ack 1
    +2.4 > . 1000:1000(0) ack 1
    """
    )
    assert play(script, version) == ""


def test_a_window_that_opens_is_used_at_once() -> None:
    """RFC 9293 3.8.6: the window that the ACK tells is filled."""
    script = (
        accepted()
        + CLOSED
        + """
    +.3 > . 1000:1000(0) ack 1
    +.1 < . 1:1(0) ack 1001 win 0
    +.2 < . 1:1(0) ack 1001 win 5000
    +0 > P. 1001:1501(500) ack 1
    """
    )
    assert play(script) == ""


def test_an_answer_puts_the_next_probe_off() -> None:
    """Linux's tcp_ack_probe: the interval counts from the answer, and stays as long as it was."""
    script = (
        accepted()
        + CLOSED
        + """
    +.3 > . 1000:1000(0) ack 1
    +.1 < . 1:1(0) ack 1001 win 0
    +.6 > . 1000:1000(0) ack 1
    +.1 < . 1:1(0) ack 1001 win 0
    +1.2 > . 1000:1000(0) ack 1
    """
    )
    assert play(script) == ""


def test_a_connection_stays_open_as_long_as_probes_are_answered() -> None:
    """RFC 9293 3.8.6.1 (MUST-37): as long as ACKs come, the connection must stay open."""
    rounds = "".join(
        f"+{wait} > . 1000:1000(0) ack 1\n+.01 < . 1:1(0) ack 1001 win 0\n"
        for wait in (0.3, 0.6, 1.2, 2.4, 4.8, *[4.8] * 20)
    )
    script = (
        accepted()
        + CLOSED
        + rounds
        + """
    +.1 < . 1:1(0) ack 1001 win 500
    +0 > P. 1001:1501(500) ack 1
    """
    )
    assert play(script, tcp_retries2=4, tcp_rto_max_ms=4800) == ""


def test_who_does_not_answer_probes_is_given_up() -> None:
    """RFC 9293 3.8.3: without any answer the connection ends, with ETIMEDOUT (MUST-20)."""
    script = (
        accepted()
        + CLOSED
        + """
    +.3 > . 1000:1000(0) ack 1
    +.6 > . 1000:1000(0) ack 1
    +1.2 > . 1000:1000(0) ack 1
    +2.5 write(4, ..., 1) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script, tcp_retries2=3) == ""


def test_a_user_timeout_ends_the_probing() -> None:
    """RFC 5482, TCP_USER_TIMEOUT: also while the window is closed."""
    script = (
        accepted(before="+0 setsockopt(3, SOL_TCP, TCP_USER_TIMEOUT, [1500], 4) = 0")
        + CLOSED
        + """
    +.3 > . 1000:1000(0) ack 1
    +.6 > . 1000:1000(0) ack 1
    +.85 write(4, ..., 1) = 1
    +.05 write(4, ..., 1) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script) == ""


def test_a_window_smaller_than_a_segment_waits() -> None:
    """RFC 9293 3.8.6.2.1 (MUST-38): a silly window is not filled, until the time for that is over."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > P. 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 300
    +0 write(4, ..., 1000) = 1000
    +.3 > P. 1001:1301(300) ack 1
    +.1 < . 1:1(0) ack 1301 win 5000
    +0 > P. 1301:2001(700) ack 1
    """
    )
    assert play(script) == ""


def test_half_of_the_largest_window_is_worth_filling() -> None:
    """RFC 9293 3.8.6.2.1 (3): half of the largest window ever offered may be filled."""
    script = (
        accepted(mss=1460, window=1000)
        + """
    +0 write(4, ..., 900) = 900
    +0 > . 1:501(500) ack 1
    +0 > P. 501:901(400) ack 1
    """
    )
    assert play(script) == ""


def test_a_fin_waits_for_the_window() -> None:
    """RFC 9293 3.4: a FIN has a number, and none is sent beyond the window; the probe goes on meanwhile."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > P. 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 0
    +0 shutdown(4, SHUT_WR) = 0
    +.3 > . 1000:1000(0) ack 1
    +.1 < . 1:1(0) ack 1001 win 1000
    +0 > F. 1001:1001(0) ack 1
    """
    )
    assert play(script) == ""


def test_a_window_taken_back_stops_what_was_not_sent() -> None:
    """RFC 9293 3.8.6 (MUST-34): a sender is robust against a window that shrinks."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 12000) = 12000
    +0 > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 2001 win 4000
    +.1 < . 1:1(0) ack 10001 win 2000
    +0 > P. 10001:12001(2000) ack 1
    """
    )
    assert play(script) == ""
