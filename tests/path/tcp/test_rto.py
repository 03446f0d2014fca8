"""The retransmission timeout (RFC 6298, RFC 5681 3.1): when, what, and how the window comes back."""

from tests.path.tcp.sending import both, good, opened

# Without probes the timeout is what comes first.
QUIET = {"tcp_early_retrans": 0}


@both
def test_the_timeout_doubles_each_time(version):
    """RFC 6298 5.4 to 5.6: the earliest segment, again and again, at twice the distance each time."""
    good(
        opened()
        + """
        +0 write(4, ..., 3000) = 3000
        +0 > P. 1:3001(3000) ack 1
        +.3 > . 1:1001(1000) ack 1
        +.6 > . 1:1001(1000) ack 1
        +1.2 > . 1:1001(1000) ack 1
        +2.4 > . 1:1001(1000) ack 1
        +0 %{ assert tcpi_retransmits == 4; assert tcpi_backoff == 4; assert tcpi_snd_cwnd == 1 }%
        """,
        version,
        **QUIET,
    )


@both
def test_the_timeout_has_a_ceiling(version):
    """RFC 6298 2.5: a maximum may be put on it (``tcp_rto_max_ms``)."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.6 > P. 1:1001(1000) ack 1
        +1 > P. 1:1001(1000) ack 1
        +1 > P. 1:1001(1000) ack 1
        """,
        version,
        tcp_rto_max_ms=1000,
        **QUIET,
    )


@both
def test_the_back_off_ends_with_a_new_measure(version):
    """RFC 6298 5.7 and 3 (Karn): an ACK of what was sent twice is no measure; the next new segment is."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +0 %{ assert tcpi_rto == 600000 }%
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1001:2001(1000) ack 1
        +.1 < . 1:1(0) ack 2001 win 65535
        +0 %{ assert tcpi_rto == 300000 }%
        """,
        version,
        **QUIET,
    )


@both
def test_after_a_timeout_the_window_grows_from_one_segment(version):
    """RFC 5681 3.1: slow start up to ssthresh, which was reduced once, sends again all that was outstanding."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.3 > . 1:1001(1000) ack 1
        +0 %{ assert tcpi_snd_cwnd == 1; assert tcpi_snd_ssthresh == 7; assert tcpi_ca_state == TCP_CA_Loss }%
        +.1 < . 1:1(0) ack 1001 win 65535
        +0 > . 1001:3001(2000) ack 1
        +.1 < . 1:1(0) ack 3001 win 65535
        +0 > . 3001:7001(4000) ack 1
        +.1 < . 1:1(0) ack 7001 win 65535
        +0 > P. 7001:10001(3000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
        tcp_frto=0,
        **QUIET,
    )


@both
def test_what_was_sacked_is_left_alone(version):
    """RFC 6675 5.1: after a timeout SACKed segments are not sent again."""
    good(
        opened()
        + """
        +0 write(4, ..., 6000) = 6000
        +0 > P. 1:6001(6000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 2001:4001,nop,nop>
        +.025 > . 1:1001(1000) ack 1
        +.3 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535 <sack 2001:4001,nop,nop>
        +0 > . 1001:2001(1000) ack 1
        +0 > . 4001:5001(1000) ack 1
        +.1 < . 1:1(0) ack 5001 win 65535
        +0 > P. 5001:6001(1000) ack 1
        +.1 < . 1:1(0) ack 6001 win 65535
        """,
        version,
        tcp_frto=0,
        **QUIET,
    )


@both
def test_the_timer_counts_from_the_last_progress(version):
    """RFC 6298 5.3: an ACK of new data starts it anew."""
    good(
        opened()
        + """
        +0 write(4, ..., 2000) = 2000
        +0 > P. 1:2001(2000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +.3 > P. 1001:2001(1000) ack 1
        """,
        version,
        **QUIET,
    )


@both
def test_duplicates_do_not_put_the_timeout_off(version):
    """RFC 6298 5.3: only an ACK of new data does."""
    good(
        opened(sack=False)
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535
        +.1 < . 1:1(0) ack 1 win 65535
        +.1 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_a_thin_stream_is_tried_at_even_intervals(version):
    """``tcp_thin_linear_timeouts``: a stream of few segments, out of slow start, is not made to wait ever longer."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        """,
        version,
        tcp_thin_linear_timeouts=1,
        **QUIET,
    )
