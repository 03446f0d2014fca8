"""Fast retransmit and fast recovery (RFC 5681 3.2, RFC 6675): what leaves, segment by segment."""

from tests.path.tcp.sending import both, good, opened

TEN = """
+0 write(4, ..., 10000) = 10000
+0 > P. 1:10001(10000) ack 1
"""
THREE = """
+.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
+0 < . 1:1(0) ack 1 win 65535 <sack 1001:3001,nop,nop>
+0 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
"""


@both
def test_the_third_duplicate_retransmits_one_segment_of_a_superframe(version):
    """RFC 5681 3.2 step 2, RFC 6675 5 (4.3): the first segment alone, though ten left as one superframe."""
    good(
        opened()
        + TEN
        + THREE
        + """
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_ssthresh == 7; assert tcpi_total_retrans == 1 }%
        """,
        version,
    )


@both
def test_one_duplicate_is_none_of_a_loss(version):
    """RFC 5681 3.2: fewer than three duplicates may be reordering: nothing is sent again, nothing slows down."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +.01 < . 1:1(0) ack 3001 win 65535
        +.01 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_total_retrans == 0; assert tcpi_snd_cwnd >= 10 }%
        """,
        version,
    )


@both
def test_two_holes_are_filled_without_what_is_between(version):
    """RFC 6675 5.1: only what is lost is sent again, lowest first."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +0 < . 1:1(0) ack 1 win 65535 <sack 6001:10001 1001:4001,nop,nop>
        +0 > P. 4001:6001(2000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_total_retrans == 3 }%
        """,
        version,
    )


@both
def test_a_partial_acknowledgement_goes_on_with_the_next_hole(version):
    """RFC 6675 5: recovery lasts until everything that was outstanding when it began is acknowledged."""
    good(
        opened()
        + TEN
        + THREE
        + """
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 4001 win 65535 <sack 5001:10001,nop,nop>
        +0 > . 4001:5001(1000) ack 1
        +0 %{ assert tcpi_ca_state == TCP_CA_Recovery }%
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )


@both
def test_a_retransmission_that_is_lost_goes_again_without_a_timeout(version):
    """RFC 8985 3: new data that arrive after it tell that it is lost once more."""
    good(
        opened()
        + """
        +0 write(4, ..., 12000) = 12000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.02 < . 1:1(0) ack 1 win 65535 <sack 1001:9001,nop,nop>
        +0 > P. 10001:12001(2000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:12001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 12001 win 65535
        +.5 %{ assert tcpi_total_retrans == 2 }%
        """,
        version,
    )


@both
def test_a_fin_that_is_lost_goes_again(version):
    """RFC 9293 3.8.1: the FIN is a number like another: SACK of later ones there are none, so a probe brings it."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +0 close(4) = 0
        +0 > F. 1001:1001(0) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +.3 > F. 1001:1001(0) ack 1
        +.1 < F. 1:1(0) ack 1002 win 65535
        +0 > . 1002:1002(0) ack 2
        """,
        version,
    )


@both
def test_data_with_the_fin_behind_them_go_again_together(version):
    """RFC 9293 3.8.1: the last segment of a superframe, with its FIN."""
    good(
        opened()
        + """
        +0 setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0
        +0 write(4, ..., 2500) = 2500
        +0 > P. 1:2001(2000) ack 1
        +0 shutdown(4, SHUT_WR) = 0
        +0 > FP. 2001:2501(500) ack 1
        +.202 > FP. 2001:2501(500) ack 1
        +.1 < . 1:1(0) ack 2502 win 65535
        """,
        version,
    )


@both
def test_three_losses_by_count_without_rack(version):
    """RFC 6675 4 (``tcp_recovery`` 0): below three blocks a segment is lost, below two it is not."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +0 < . 1:1(0) ack 1 win 65535 <sack 3001:4001 1001:2001,nop,nop>
        +0 < . 1:1(0) ack 1 win 65535 <sack 5001:6001 3001:4001 1001:2001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        """,
        version,
        tcp_recovery=0,
    )
