"""Protection against old segments (RFC 7323 5), and what is echoed (RFC 7323 4.3)."""

from tests.path.tcp.receiving import STAMPED, both_families, passes

TICK = 1_000_000


def test_what_was_said_last_is_echoed():
    """RFC 7323 4.3: of a segment in order."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300>
        """,
        tick=TICK,
    )


def test_a_delayed_ack_echoes_the_first():
    """RFC 7323 4.3 (A): the earliest segment that is not acknowledged yet, so that the delay is part of the RTT."""
    passes(
        STAMPED
        + """
        +0  setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
        +0  < P. 1:11(10) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +.01 < P. 11:21(10) ack 1 win 257 <nop,nop,TS val 310 ecr 0>
        +.03 > . 1:1(0) ack 21 <nop,nop,TS val 140 ecr 300>
        """,
        tick=TICK,
    )


def test_what_lies_beyond_a_gap_is_not_echoed():
    """RFC 7323 4.3 (B): until the gap is filled; (C): then the segment that fills it."""
    passes(
        STAMPED
        + """
        +0  < P. 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 310 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 200,nop,nop,sack 1001:2001>
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 305 ecr 0>
        +0  > . 1:1(0) ack 2001 <nop,nop,TS val 100 ecr 305>
        """,
        tick=TICK,
    )


@both_families
def test_an_old_segment_is_refused(version):
    """RFC 7323 5.3 R1: "treat as unacceptable", with an ACK; the number alone would have let it in."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300>
        +0  < P. 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 250 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300>
        +0  < P. 1001:1501(500) ack 1 win 257 <nop,nop,TS val 301 ecr 0>
        +0  > . 1:1(0) ack 1501 <nop,nop,TS val 100 ecr 301>
        +0  read(4, ..., 9000) = 1500
        """,
        version,
        tick=TICK,
    )


def test_a_duplicate_that_is_old_is_told():
    """RFC 2883: a retransmission that was long under way."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300>
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 250 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300,nop,nop,sack 1:1001>
        """,
        tick=TICK,
    )


def test_a_reset_is_taken_whatever_its_timestamp():
    """RFC 7323 5.2: "RST segments MUST NOT be subjected to the PAWS check"."""
    passes(
        STAMPED
        + """
        +0  < R. 1:1(0) ack 1 win 257 <nop,nop,TS val 1 ecr 0>
        +0  read(4, ..., 9000) = -1 ECONNRESET
        """,
        tick=TICK,
    )


def test_after_24_days_any_timestamp_will_do():
    """RFC 7323 5.5: TS.Recent is outdated."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 300>
        +2073601 < P. 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 5 ecr 0>
        +0  > . 1:1(0) ack 2001 <nop,nop,TS val 2073601100 ecr 5>
        """,
        tick=TICK,
    )


def test_the_clock_may_wrap():
    """RFC 7323 5.2: timestamps are compared modulo 2**32."""
    passes(
        STAMPED.replace("val 100", "val 4294967290")
        .replace("ecr 100", "ecr 4294967290")
        .replace("val 200", "val 4294967294")
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 3 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 3>
        +0  < P. 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 4294967294 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 3>
        """,
        tick=TICK,
    )


def test_a_segment_without_its_timestamp():
    """Taken, as Linux does, though RFC 7323 3.2 would have it dropped: boxes in the path strip options."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 200>
        """,
        tick=TICK,
    )


def test_answers_are_limited():
    """RFC 5961 7: old segments without data are answered twice a second at most: two ends do not go on for ever."""
    passes(
        STAMPED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 3000 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 3000>
        +0  < . 1001:1001(0) ack 1 win 200 <nop,nop,TS val 250 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 100 ecr 3000>
        +.1 < . 1001:1001(0) ack 1 win 200 <nop,nop,TS val 250 ecr 0>
        +.3 < . 1001:1001(0) ack 1 win 200 <nop,nop,TS val 250 ecr 0>
        +.2 < . 1001:1001(0) ack 1 win 200 <nop,nop,TS val 250 ecr 0>
        +0  > . 1:1(0) ack 1001 <nop,nop,TS val 700 ecr 3000>
        """,
        tick=TICK,
    )
