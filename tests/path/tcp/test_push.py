"""Where PSH stands (RFC 9293 3.9.1.2)."""

from __future__ import annotations

from tests.path.tcp.scripted import ON_THE_WIRE, STRICT, accepted, play

NODELAY = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n"


def test_it_stands_where_the_program_ended() -> None:
    """RFC 9293 3.9.1.2 (MUST-61): the last segment of what is buffered has it; single segments before it do not."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 1500) = 1500
    +0 > . 1:1001(1000) ack 1
    +0 > P. 1001:1501(500) ack 1
    """
    )
    assert play(ON_THE_WIRE + script) == ""


def test_a_superframe_has_it() -> None:
    """As Linux: who puts segments together again is to hand a superframe on at once."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 3500) = 3500
    +0 > P. 1:2001(2000) ack 1
    +0 > P. 2001:3501(1500) ack 1
    """
    )
    assert play(STRICT + script) == ""


def test_what_is_sent_again_has_it_where_it_had_it() -> None:
    """RFC 9293 3.9.1.2: the end of a write stays one; of each of several."""
    script = (
        accepted()
        + NODELAY
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 1000) = 1000
    +0 > P. 101:1101(1000) ack 1
    +.3 > P. 1:101(100) ack 1
    """
    )
    assert play(STRICT + script, tcp_early_retrans=0) == ""


def test_writes_that_wait_together_have_one() -> None:
    """RFC 9293 3.9.1.2 (SHLD-27): successive pushes are collapsed when segments are put together."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +0 write(4, ..., 400) = 400
    +0 write(4, ..., 400) = 400
    +.1 < . 1:1(0) ack 101 win 65535
    +0 > P. 101:901(800) ack 1
    """
    )
    assert play(STRICT + script) == ""
