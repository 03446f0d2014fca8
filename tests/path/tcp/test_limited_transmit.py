"""Limited transmit (RFC 3042): duplicates that are too few for a retransmission keep the flow alive."""

from tests.path.tcp.sending import both, good, opened

WAITING = """
+0 write(4, ..., 14000) = 14000
+0 > P. 1:10001(10000) ack 1
"""


@both
def test_a_new_segment_for_each_of_two_duplicates(version):
    """RFC 3042 2: beyond cwnd by two segments at most; cwnd itself does not change."""
    good(
        opened(sack=False)
        + WAITING
        + """
        +.1 < . 1:1(0) ack 1 win 65535
        +0 > . 10001:11001(1000) ack 1
        +.002 < . 1:1(0) ack 1 win 65535
        +0 > . 11001:12001(1000) ack 1
        +0 %{ assert tcpi_snd_cwnd == 10 }%
        +.002 < . 1:1(0) ack 1 win 65535
        +0 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_with_sack_what_was_sacked_is_what_counts(version):
    """RFC 3042 2, RFC 6675 5 (3): as many new segments as were newly SACKed."""
    good(
        opened()
        + WAITING
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +0 > . 10001:11001(1000) ack 1
        +.002 < . 1:1(0) ack 1 win 65535 <sack 1001:3001,nop,nop>
        +0 > . 11001:12001(1000) ack 1
        +0 %{ assert tcpi_snd_cwnd == 10 }%
        """,
        version,
    )


@both
def test_not_beyond_the_peers_window(version):
    """RFC 3042 2: the receiver's advertised window allows the segment."""
    good(
        opened(sack=False).replace("ack 1 win 65535", "ack 1 win 10000")
        + WAITING
        + """
        +.1 < . 1:1(0) ack 1 win 10000
        +.002 < . 1:1(0) ack 1 win 10000
        +.002 < . 1:1(0) ack 1 win 10000
        +0 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_a_duplicate_ack_that_brings_data_is_none(version):
    """RFC 5681 2, RFC 3042 2: with data, or another window, an ACK is no duplicate."""
    good(
        opened(sack=False)
        + WAITING
        + """
        +.1 < P. 1:11(10) ack 1 win 65535
        +0 > . 10001:10001(0) ack 11
        +.1 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_unacked == 10 }%
        """,
        version,
    )
