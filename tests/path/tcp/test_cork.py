"""What a program holds back itself: TCP_CORK and MSG_MORE (tcp(7), send(2))."""

from __future__ import annotations

from tests.path.tcp.scripted import accepted, play

CORK = "+0 setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0\n"


def test_a_cork_holds_back_what_is_not_full() -> None:
    """tcp(7): with TCP_CORK no partial frames are sent; pulling it sends them."""
    script = (
        accepted()
        + CORK
        + """
    +0 write(4, ..., 2100) = 2100
    +0 > P. 1:2001(2000) ack 1
    +.02 write(4, ..., 100) = 100
    +.02 setsockopt(4, SOL_TCP, TCP_CORK, [0], 4) = 0
    +0 > P. 2001:2201(200) ack 1
    """
    )
    assert play(script) == ""


def test_a_cork_holds_for_a_bounded_time() -> None:
    """tcp(7): there is a ceiling of 200 ms on the time for which output is corked; here the RTO is the longer one."""
    script = (
        accepted(rtt=".01")
        + CORK
        + """
    +0 write(4, ..., 100) = 100
    +.21 > P. 1:101(100) ack 1
    """
    )
    assert play(script) == ""


def test_more_is_a_cork_for_one_write() -> None:
    """send(2): MSG_MORE has the effect of TCP_CORK for one call."""
    script = (
        accepted()
        + """
    +0 send(4, ..., 100, MSG_MORE) = 100
    +.01 send(4, ..., 100, 0) = 100
    +0 > P. 1:201(200) ack 1
    """
    )
    assert play(script) == ""


def test_more_does_not_push() -> None:
    """RFC 9293 3.9.1.2: PSH tells where a SEND ended; with MSG_MORE none has."""
    script = (
        accepted()
        + """
    +0 send(4, ..., 1000, MSG_MORE) = 1000
    +0 > . 1:1001(1000) ack 1
    """
    )
    assert play(script) == ""


def test_the_end_pulls_the_cork() -> None:
    """RFC 9293 3.10.4: a CLOSE sends all that is queued."""
    script = (
        accepted()
        + CORK
        + """
    +0 write(4, ..., 100) = 100
    +.01 close(4) = 0
    +0 > FP. 1:101(100) ack 1
    """
    )
    assert play(script) == ""
