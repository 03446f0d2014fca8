"""A program that does not read: the window goes to zero, and opens again (RFC 9293 3.8.6.1, 3.8.6.2.2)."""

from tests.path.tcp.receiving import ACCEPTED, both_families, passes

# A buffer of 5000 bytes for data, of which 4380 (three segments of 1460) are offered at first.
SMALL = ACCEPTED.replace("listen(3, 1)", "setsockopt(3, SOL_SOCKET, SO_RCVBUF, [5000], 4) = 0\n+0 listen(3, 1)")
FULL = (
    SMALL
    + """
    +0  < P. 1:4381(4380) ack 1 win 257
    +0  > . 1:1(0) ack 4381 win 0
    """
)


@both_families
def test_a_probe_is_answered(version):
    """MUST-36, SHLD-29's other side: a byte that has no room is refused, with an ACK that says where we are."""
    passes(
        FULL
        + """
        +.3 < . 4381:4382(1) ack 1 win 257
        +0  > . 1:1(0) ack 4381 win 0
        +.3 < . 4380:4380(0) ack 1 win 257
        +0  > . 1:1(0) ack 4381 win 0
        """,
        version,
    )


@both_families
def test_it_opens_when_the_program_reads(version):
    """3.8.6.1: the peer is told as soon as a segment fits, and not before (silly windows)."""
    passes(
        FULL
        + """
        +.1 read(4, ..., 400) = 400
        +.1 read(4, ..., 500) = 500
        +0  > . 1:1(0) ack 4381 win 1460
        +.1 read(4, ..., 100) = 100
        +0  < P. 4381:5381(1000) ack 1 win 257
        +0~+.3 > . 1:1(0) ack 5381
        +0  read(4, ..., 9000) = 4380
        """,
        version,
    )


def test_acknowledgments_count_in_a_zero_window():
    """First: "special allowance should be made to accept valid ACKs, URGs, and RSTs"."""
    passes(
        FULL
        + """
        +0  write(4, ..., 100) = 100
        +0  > P. 1:101(100) ack 4381 win 0
        +.1 < . 4381:4381(0) ack 101 win 257
        +.1 write(4, ..., 100) = 100
        +0  > P. 101:201(100) ack 4381 win 0
        +.1 < . 4381:4381(0) ack 201 win 257
        """
    )


def test_a_reset_counts_in_a_zero_window():
    """First and second: the very next number."""
    passes(
        FULL
        + """
        +0  < R. 4381:4381(0) ack 1 win 257
        +0  read(4, ..., 9000) = 4380
        +0  read(4, ..., 9000) = -1 ECONNRESET
        """
    )
