"""Urgent data in line, through the whole stack (RFC 9293 3.8.5, RFC 6093)."""

from tests.path.tcp.receiving import ACCEPTED, both_families, passes


@both_families
def test_it_is_read_in_its_place(version):
    """RFC 6093 3.2, 6: no byte is taken out; a read ends at the mark, the next begins with the urgent byte."""
    passes(
        ACCEPTED
        + """
        +0  < PU. 1:11(10) ack 1 win 257 urg 6
        +0  > . 1:1(0) ack 11
        +0  read(4, ..., 100) = 5
        +0  read(4, ..., 100) = 5
        """,
        version,
    )


def test_a_mark_ahead_of_the_data():
    """RFC 9293 3.8.5: it may be known before its data come."""
    passes(
        ACCEPTED
        + """
        +0  < U. 1:1(0) ack 1 win 257 urg 15
        +0  < P. 1:11(10) ack 1 win 257
        +0  > . 1:1(0) ack 11
        +0  read(4, ..., 100) = 10
        +0  < P. 11:21(10) ack 1 win 257
        +0  > . 1:1(0) ack 21
        +0  read(4, ..., 100) = 4
        +0  read(4, ..., 100) = 6
        """
    )


def test_a_later_mark_replaces_it():
    """Sixth: RCV.UP <- max(RCV.UP, SEG.UP)."""
    passes(
        ACCEPTED
        + """
        +0  < PU. 1:11(10) ack 1 win 257 urg 6
        +0  > . 1:1(0) ack 11
        +0  < PU. 11:21(10) ack 1 win 257 urg 6
        +0  > . 1:1(0) ack 21
        +0  read(4, ..., 100) = 15
        +0  read(4, ..., 100) = 5
        """
    )
