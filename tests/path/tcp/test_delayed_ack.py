"""When data are acknowledged, through the whole stack (RFC 9293 3.8.6.3, RFC 5681 4.2)."""

from tests.path.tcp.receiving import ACCEPTED, both_families, passes

# Sixteen small segments end the quick mode, in which each is answered at once; 161:161 is next.
SLOW = ACCEPTED + "".join(
    f"+.01 < P. {at}:{at + 10}(10) ack 1 win 257\n+0 > . 1:1(0) ack {at + 10}\n+0 read(4, ..., 10) = 10\n"
    for at in range(1, 161, 10)
)
# A dialogue: an answer to what came makes the next ACKs wait for an answer; 11:11 and 1:11 are next.
DIALOGUE = (
    ACCEPTED
    + """
    +0  < P. 1:11(10) ack 1 win 257
    +0  > . 1:1(0) ack 11
    +0  read(4, ..., 10) = 10
    +0  write(4, ..., 10) = 10
    +0  > P. 1:11(10) ack 11
    +.01 < . 11:11(0) ack 11 win 257
    """
)


def test_quick_at_the_beginning():
    """Linux's quick ACKs: sixteen segments at most are answered one by one, for the peer's slow start."""
    passes(SLOW)


@both_families
def test_then_a_segment_waits(version):
    """SHLD-18 and MUST-40: put off, for less than half a second; nobody reads."""
    passes(
        SLOW
        + """
        +.01 < P. 161:171(10) ack 1 win 257
        +.04~+.05 > . 1:1(0) ack 171
        """,
        version,
    )


@both_families
def test_an_answer_carries_it(version):
    """3.8.6.3: piggybacked on what the program sends meanwhile."""
    passes(
        DIALOGUE
        + """
        +.01 < P. 11:21(10) ack 11 win 257
        +.02 read(4, ..., 10) = 10
        +0   write(4, ..., 10) = 10
        +0   > P. 11:21(10) ack 21
        +.1  < . 21:21(0) ack 21 win 257
        """,
        version,
    )


def test_without_an_answer_the_timer():
    """3.8.6.3: the dialogue is over then: the next one is answered at once."""
    passes(
        DIALOGUE
        + """
        +.01 < P. 11:21(10) ack 11 win 257
        +.04 > . 11:11(0) ack 21
        +.01 < P. 21:31(10) ack 11 win 257
        +0   > . 11:11(0) ack 31
        """
    )


@both_families
def test_every_second_full_segment(version):
    """RFC 5681 4.2: in a dialogue as well. While nobody reads, and the window does not move, the reader's ACK tells all
    (as in Linux)."""
    passes(
        DIALOGUE
        + """
        +.01 < . 11:1011(1000) ack 11 win 257
        +0   read(4, ..., 9000) = 1000
        +0   < . 1011:2011(1000) ack 11 win 257
        +0   > . 11:11(0) ack 2011
        +0   read(4, ..., 9000) = 1000
        +0   < . 2011:3011(1000) ack 11 win 257
        +0   < . 3011:4011(1000) ack 11 win 257
        +.01 read(4, ..., 9000) = 2000
        +0   > . 11:11(0) ack 4011
        """,
        version,
    )


def test_a_pause_begins_anew():
    """RFC 5681 4.1: after a gap longer than the timeout the peer begins with a small window: each is answered."""
    passes(
        DIALOGUE
        + """
        +.01 < P. 11:21(10) ack 11 win 257
        +.04 > . 11:11(0) ack 21
        +2   < P. 21:31(10) ack 11 win 257
        +0   > . 11:11(0) ack 31
        +.01 < P. 31:41(10) ack 11 win 257
        +0   > . 11:11(0) ack 41
        """
    )


def test_a_reader_who_empties_the_queue_answers():
    """Linux's tcp_cleanup_rbuf: small segments, pushed: when they have been read the peer is told at once."""
    passes(
        SLOW
        + """
        +.01 < P. 161:171(10) ack 1 win 257
        +0   < P. 171:181(10) ack 1 win 257
        +.01 read(4, ..., 100) = 20
        +0   > . 1:1(0) ack 181
        """
    )


def test_quickack_off_and_on():
    """TCP_QUICKACK."""
    passes(
        ACCEPTED
        + """
        +0   setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
        +.01 < P. 1:11(10) ack 1 win 257
        +.04 > . 1:1(0) ack 11
        +0   setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
        +.01 < P. 11:21(10) ack 1 win 257
        +.01 read(4, ..., 100) = 20
        +.01 setsockopt(4, SOL_TCP, TCP_QUICKACK, [1], 4) = 0
        +0   > . 1:1(0) ack 21
        """
    )


def test_a_gap_ends_the_delay():
    """RFC 5681 4.2: what is out of order is told at once, and so is the end of the gap."""
    passes(
        DIALOGUE
        + """
        +.01 < . 21:31(10) ack 11 win 257
        +0   > . 11:11(0) ack 11 <nop,nop,sack 21:31>
        +.01 < . 11:21(10) ack 11 win 257
        +0   > . 11:11(0) ack 31
        """
    )
