"""Congestion marks as the receiver tells them (RFC 3168 6.1)."""

from tests.path.tcp.receiving import LISTENER, both_families, passes

AGREED = (
    LISTENER
    + """
    +0  < SEW 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    +0  > SE. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 257
    +0  accept(3, ..., ...) = 4
    """
)


@both_families
def test_a_mark_is_told_until_cwr(version):
    """6.1.3: ECE on every ACK, also on data of our own, until the peer says CWR."""
    passes(
        AGREED
        + """
        +0  < [ect0] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] . 1:1(0) ack 1001
        +0  < [ce] . 1001:2001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 2001
        +0  < [ect0] . 2001:3001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 3001
        +0  write(4, ..., 100) = 100
        +0  > [ect0] PE. 1:101(100) ack 3001
        +0  < [ect0] W. 3001:4001(1000) ack 101 win 257
        +0  > [noecn] . 101:101(0) ack 4001
        """,
        version,
    )


def test_a_mark_behind_cwr():
    """6.1.3: "If … the CE codepoint is set on the packet with CWR", it counts anew."""
    passes(
        AGREED
        + """
        +0  < [ce] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 1001
        +0  < [ce] W. 1001:2001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 2001
        """
    )


def test_a_mark_beyond_a_gap():
    """6.1.3: it is told at once, with the duplicate ACK (RFC 5681 4.2)."""
    passes(
        AGREED
        + """
        +0  < [ce] . 1001:2001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 1 <nop,nop,sack 1001:2001>
        """
    )


def test_a_mark_on_an_ack_alone():
    """6.1.4: pure ACKs are not marked; if one is, it tells nothing."""
    passes(
        AGREED
        + """
        +0  < [ce] . 1:1(0) ack 1 win 257
        +0  < [ect0] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] . 1:1(0) ack 1001
        """
    )


def test_not_agreed():
    """6.1.1: a SYN with ECE alone, or none at all, asks for nothing."""
    passes(
        LISTENER
        + """
        +0  < SE 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
        +0  > S. 0:0(0) ack 1 <...>
        +.1 < . 1:1(0) ack 1 win 257
        +0  accept(3, ..., ...) = 4
        +0  < [ce] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] . 1:1(0) ack 1001
        """
    )


CLIENT = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0   connect(3, ..., ...) = -1 EINPROGRESS
+0   > SEW 0:0(0) <...>
"""


@both_families
def test_an_active_open_agrees(version):
    """6.1.1: ECE without CWR says yes."""
    passes(
        CLIENT
        + """
        +.1 < SE. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,nop,nop>
        +0  > . 1:1(0) ack 1
        +0  < [ce] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] E. 1:1(0) ack 1001
        """,
        version,
        tcp_ecn=1,
    )


def test_an_active_open_does_not():
    """6.1.1: a SYN-ACK that repeats both flags comes from somebody who only reflects them."""
    passes(
        CLIENT
        + """
        +.1 < SEW. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,nop,nop>
        +0  > . 1:1(0) ack 1
        +0  < [ce] . 1:1001(1000) ack 1 win 257
        +0  > [noecn] . 1:1(0) ack 1001
        """,
        tcp_ecn=1,
    )
