"""What is told of data beyond a gap, and of data that came twice (RFC 2018 4, RFC 2883 4)."""

from tests.path.tcp.receiving import ACCEPTED, STAMPED, both_families, passes


@both_families
def test_the_latest_block_first(version):
    """RFC 2018 4: "The first SACK block MUST specify the contiguous block of data containing the segment which
    triggered this ACK"."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        +0  < . 3001:4001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 3001:4001 1001:2001>
        +0  < . 5001:6001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 5001:6001 3001:4001 1001:2001>
        +0  < . 2001:3001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:4001 5001:6001>
        """,
        version,
    )


@both_families
def test_no_more_than_four_blocks(version):
    """RFC 2018 3: what 40 bytes of options hold; the oldest is left out."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        +0  < . 3001:4001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 3001:4001 1001:2001>
        +0  < . 5001:6001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 5001:6001 3001:4001 1001:2001>
        +0  < . 7001:8001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 7001:8001 5001:6001 3001:4001 1001:2001>
        +0  < . 9001:10001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 9001:10001 7001:8001 5001:6001 3001:4001>
        """,
        version,
    )


def test_three_blocks_beside_a_timestamp():
    """RFC 2018 3: "it is likely that … a maximum of 3 SACK blocks will be allowed in this case"."""
    passes(
        STAMPED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257 <nop,nop,TS val 201 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 200,nop,nop,sack 1001:2001>
        +0  < . 3001:4001(1000) ack 1 win 257 <nop,nop,TS val 202 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 200,nop,nop,sack 3001:4001 1001:2001>
        +0  < . 5001:6001(1000) ack 1 win 257 <nop,nop,TS val 203 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 200,nop,nop,sack 5001:6001 3001:4001 1001:2001>
        +0  < . 7001:8001(1000) ack 1 win 257 <nop,nop,TS val 204 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 100 ecr 200,nop,nop,sack 7001:8001 5001:6001 3001:4001>
        """,
        tick=1_000_000,
    )


def test_a_duplicate_beyond_the_gap():
    """RFC 2883 4.2.1: the duplicate, then the block that it lies in."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:3001(2000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:3001>
        +0  < . 5001:6001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 5001:6001 1001:3001>
        +0  < . 2001:3001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 2001:3001 1001:3001 5001:6001>
        +0  < . 7001:8001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 7001:8001 1001:3001 5001:6001>
        """
    )


def test_a_partial_duplicate_that_is_told_once():
    """RFC 2883 4.2.2: each duplicate is reported in at most one block."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        +0  < . 1501:2501(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1501:2001 1001:2501>
        +0  < . 2501:3501(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:3501>
        """
    )


def test_two_duplicate_parts_of_one_segment():
    """RFC 2883 4.2.3: "the first such contiguous duplicate sequence" goes into the D-SACK block."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:1501(500) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:1501>
        +0  < . 2001:2501(500) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 2001:2501 1001:1501>
        +0  < . 1001:3001(2000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:1501 1001:3001>
        """
    )


def test_switched_off():
    """``tcp_dsack`` 0: a duplicate is answered, and not told."""
    passes(
        ACCEPTED
        + """
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        """,
        tcp_dsack=0,
    )


def test_never_when_not_agreed():
    """RFC 2018 2: only when the peer's SYN permitted it."""
    passes(
        ACCEPTED.replace("mss 1000,sackOK,nop,nop,nop,wscale 7", "mss 1000,nop,wscale 7")
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1
        """
    )


def test_on_data_of_our_own():
    """RFC 2018 3: any segment with an ACK carries the blocks; the data make room for them."""
    passes(
        ACCEPTED
        + """
        +0  < . 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        +0  write(4, ..., 500) = 500
        +0  > P. 1:501(500) ack 1 <nop,nop,sack 1001:2001>
        """
    )
