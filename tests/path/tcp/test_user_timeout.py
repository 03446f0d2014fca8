"""How long a connection is tried for: R1 and R2 (RFC 9293 3.8.3), TCP_USER_TIMEOUT (RFC 5482), SYN retries."""

from __future__ import annotations

from tests.path.tcp.scripted import accepted, play

SYN = "> S 0:0(0) <...>\n"


def test_data_are_sent_again_and_the_connection_given_up() -> None:
    """RFC 9293 3.8.3 (MUST-20): R2 retransmissions, then ETIMEDOUT; the times are those that the RTO would take."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +.3 > P. 1:101(100) ack 1
    +.6 > P. 1:101(100) ack 1
    +1.2 > P. 1:101(100) ack 1
    +2.4 write(4, ..., 1) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script, tcp_retries2=3, tcp_early_retrans=0) == ""


def test_a_user_timeout_stands_in_the_place_of_r2() -> None:
    """RFC 5482, RFC 9293 3.8.3 (MUST-21): an application can set R2; the timer comes up when the time is over."""
    script = (
        accepted()
        + """
    +0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [2000], 4) = 0
    +0 write(4, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    +.3 > P. 1:101(100) ack 1
    +.6 > P. 1:101(100) ack 1
    +1.2 write(4, ..., 1) = 1
    +.3 write(4, ..., 1) = -1 ETIMEDOUT (Connection timed out)
    """
    )
    assert play(script, tcp_early_retrans=0) == ""


def test_a_syn_is_tried_six_times_and_more() -> None:
    """RFC 9293 3.8.3 (MUST-23): a SYN is tried for three minutes at least; here with fewer, as the setting says."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <...>
    +1 > S 0:0(0) <...>
    +1 > S 0:0(0) <...>
    +1 > S 0:0(0) <...>
    +2 > S 0:0(0) <...>
    +4 connect(3, ..., ...) = -1 ETIMEDOUT (Connection timed out)
    """
    assert play(script, tcp_syn_retries=2, tcp_syn_linear_timeouts=2) == ""


def test_tcp_syncnt_bounds_the_syns_of_one_socket() -> None:
    """tcp(7): TCP_SYNCNT."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 setsockopt(3, SOL_TCP, TCP_SYNCNT, [1], 4) = 0
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <...>
    +1 > S 0:0(0) <...>
    +2 connect(3, ..., ...) = -1 ETIMEDOUT (Connection timed out)
    """
    assert play(script, tcp_syn_linear_timeouts=0) == ""


def test_a_user_timeout_ends_a_syn_too() -> None:
    """RFC 5482, tcp(7): TCP_USER_TIMEOUT in SYN-SENT."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 setsockopt(3, SOL_TCP, TCP_USER_TIMEOUT, [1500], 4) = 0
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <...>
    +1 > S 0:0(0) <...>
    +.5 connect(3, ..., ...) = -1 ETIMEDOUT (Connection timed out)
    """
    assert play(script) == ""


def test_what_nobody_holds_any_more_is_tried_for_less_long() -> None:
    """RFC 9293 3.8.3, tcp(7): tcp_orphan_retries for a connection that the program has closed."""
    script = (
        accepted()
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > P. 1:1001(1000) ack 1
    +0 close(4) = 0
    +0 > F. 1001:1001(0) ack 1
    +.3 > P. 1:1001(1000) ack 1
    +1.3 < . 1:1(0) ack 1001 win 65535
    +0 > R 1001:1001(0)
    """
    )
    assert play(script, tcp_orphan_retries=1, tcp_early_retrans=0) == ""
