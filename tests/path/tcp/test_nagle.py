"""When a segment that is not full leaves: Nagle's rule with Minshall's change (RFC 9293 3.7.4, RFC 1122 4.2.3.4)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import accepted, play

NODELAY = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n"


def test_a_second_small_write_waits_for_the_ack_of_the_first() -> None:
    """RFC 9293 3.7.4 (SHLD-7): with unacknowledged data, what is not a full segment waits."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 200) = 200
    +.05 write(4, ..., 300) = 300
    +.05 < . 1:1(0) ack 101 win 65535
    +0 > P. 101:601(500) ack 1
    """
    )
    assert play(script) == ""


def test_a_full_segment_under_way_holds_nothing_back() -> None:
    """Minshall's change (RFC 9293 3.7.4 allows it): only a segment that was small itself makes the next one wait."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 1500) = 1500
    +0 > . 1:1001(1000) ack 1
    +0 > P. 1001:1501(500) ack 1
    +0 write(4, ..., 400) = 400
    +.1 < . 1:1(0) ack 1001 win 65535
    +.01 < . 1:1(0) ack 1501 win 65535
    +0 > P. 1501:1901(400) ack 1
    """
    )
    assert play(script) == ""


def test_what_is_held_back_leaves_once_it_is_a_full_segment() -> None:
    """RFC 9293 3.7.4: a full segment never waits."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 600) = 600
    +0 write(4, ..., 600) = 600
    +0 > . 101:1101(1000) ack 1
    +.1 < . 1:1(0) ack 1101 win 65535
    +0 > P. 1101:1301(200) ack 1
    """
    )
    assert play(script) == ""


def test_nodelay_sends_at_once() -> None:
    """RFC 9293 3.7.4 (MUST-17): an application can switch it off."""
    script = (
        accepted()
        + NODELAY
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 200) = 200
    +0 > P. 101:301(200) ack 1
    """
    )
    assert play(script) == ""


def test_nodelay_lets_go_what_was_held_back() -> None:
    """tcp(7): setting TCP_NODELAY flushes what is pending."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 200) = 200
    +.01 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0
    +0 > P. 101:301(200) ack 1
    """
    )
    assert play(script) == ""


def test_the_end_waits_for_nobody() -> None:
    """RFC 9293 3.10.4: after CLOSE all that is queued is sent; Nagle's rule is not for the last segment."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 200) = 200
    +0 shutdown(4, SHUT_WR) = 0
    +0 > FP. 101:301(200) ack 1
    """
    )
    assert play(script) == ""


def test_urgent_data_wait_for_nobody() -> None:
    """RFC 9293 3.8.5: what is urgent is told at once."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 send(4, ..., 1, MSG_OOB) = 1
    +0 > P.U 101:102(1) ack 1 urg 1
    """
    )
    assert play(script) == ""


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_both_families_hold_back_alike(version: str) -> None:
    """RFC 9293 3.7.4 knows no family."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 200) = 200
    +.1 < . 1:1(0) ack 101 win 65535
    +0 > P. 101:301(200) ack 1
    """
    )
    assert play(script, version) == ""
