"""Data beyond a gap, through the whole stack (RFC 9293 SHLD-31, RFC 5681 4.2, RFC 2018)."""

from tests.path.tcp.receiving import ACCEPTED, PLAIN, both_families, passes


@both_families
def test_each_segment_beyond_a_gap_is_answered_at_once(version):
    """RFC 5681 4.2: duplicate ACKs, as fast retransmit needs them."""
    passes(
        PLAIN
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1
        +0  < . 2001:3001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1
        +0  < . 3001:4001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 4001
        +0  read(4, ..., 9000) = 4000
        """,
        version,
    )


@both_families
def test_a_part_of_the_gap(version):
    """RFC 5681 4.2: "immediate ACK when it receives a segment that fills in all or part of a gap"."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:1501(500) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:1501>
        +0  < . 1:501(500) ack 1 win 257
        +0  > . 1:1(0) ack 501 <nop,nop,sack 1001:1501>
        +0  < . 501:1001(500) ack 1 win 257
        +0  > . 1:1(0) ack 1501
        +0  read(4, ..., 9000) = 1500
        """,
        version,
    )


def test_overlaps_are_taken_once():
    """SHLD-31: each byte once, whatever the cuts."""
    passes(
        ACCEPTED
        + """
        +0  < . 501:1501(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 501:1501>
        +0  < . 2001:3001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 2001:3001 501:1501>
        +0  < . 1001:2501(1500) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:1501 501:3001>
        +0  < . 1:2001(2000) ack 1 win 257
        +0  > . 1:1(0) ack 3001 <nop,nop,sack 501:2001>
        +0  read(4, ..., 9000) = 3000
        """
    )


def test_a_superframe_beyond_a_gap():
    """MUST-58: one range, one block, one acknowledgment."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:31001(30000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:31001>
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 31001
        +0  read(4, ..., 90000) = 31000
        """
    )


def test_beyond_the_window():
    """First: what lies behind the window is not taken, and answered."""
    passes(
        ACCEPTED
        + """
        +0  < . 100001:101001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        """
    )


def test_gaps_while_the_program_does_not_read():
    """The window's right edge stays, data beyond the gap lie within it (SHLD-14)."""
    passes(
        ACCEPTED.replace("listen(3, 1)", "setsockopt(3, SOL_SOCKET, SO_RCVBUF, [10000], 4) = 0\n+0 listen(3, 1)")
        + """
        +0  < . 5001:8761(3760) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 5001:8761>
        +0  < . 1:5001(5000) ack 1 win 257
        +0  > . 1:1(0) ack 8761 win 888
        +0  read(4, ..., 20000) = 8760
        +0  > . 1:1(0) ack 8761 win 8760
        """
    )
