"""The window that is offered, through the whole stack (RFC 9293 3.8.6, RFC 7323 2)."""

from tests.path.tcp.receiving import ACCEPTED, LISTENER, both_families, passes


@both_families
def test_of_a_syn_it_is_not_scaled(version):
    """RFC 7323 2.2: the field of a SYN or SYN-ACK is the window; 64240 of 65536 are whole segments."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
        +0  > S. 0:0(0) ack 1 win 64240 <mss 1460,nop,nop,sackOK,nop,wscale 7>
        +.1 < . 1:1(0) ack 1 win 257
        +0  accept(3, ..., ...) = 4
        +0  < P. 1:2(1) ack 1 win 257
        +0  > . 1:1(0) ack 2 win 502
        """,
        version,
    )


def test_without_scaling():
    """RFC 7323 2.2: both ends have to say so; the field is then all there is."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop>
        +0  > S. 0:0(0) ack 1 win 64240 <mss 1460,nop,nop,sackOK>
        +.1 < . 1:1(0) ack 1 win 32792
        +0  accept(3, ..., ...) = 4
        +0  < . 1:10001(10000) ack 1 win 32792
        +0  > . 1:1(0) ack 10001 win 55480
        +0  read(4, ..., 20000) = 10000
        +0  < . 10001:11001(1000) ack 1 win 32792
        +0  > . 1:1(0) ack 11001 win 64240
        """
    )


def test_it_closes_with_what_is_not_read():
    """SHLD-14: the right edge stays where it is."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:20001(20000) ack 1 win 257
        +0  > . 1:1(0) ack 20001 win 356
        +0  < P. 20001:40001(20000) ack 1 win 257
        +0  > . 1:1(0) ack 40001 win 199
        """
    )


def test_a_buffer_that_is_cut_takes_nothing_back():
    """SHLD-14: what was offered stays offered."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001 win 505
        +0  setsockopt(4, SOL_SOCKET, SO_RCVBUF, [5000], 4) = 0
        +0  < P. 1001:2001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 2001 win 497
        +0  < P. 2001:40001(38000) ack 1 win 257
        +0  > . 1:1(0) ack 40001 win 200
        """
    )


def test_what_was_read_is_told():
    """3.8.6.2.2: when the window may be twice what the peer knows of."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:50001(50000) ack 1 win 257
        +0  > . 1:1(0) ack 50001 win 121
        +.1 read(4, ..., 10000) = 10000
        +.1 read(4, ..., 10000) = 10000
        +0  > . 1:1(0) ack 50001 win 278
        +.1 read(4, ..., 50000) = 30000
        """
    )


def test_the_window_of_an_old_ack_means_nothing():
    """Fifth: SND.WL1 and SND.WL2 keep old segments from changing the window."""
    passes(
        ACCEPTED
        + """
        +0  < P. 11:21(10) ack 1 win 1
        +0  > . 1:1(0) ack 1 <nop,nop,sack 11:21>
        +0  < P. 1:11(10) ack 1 win 257
        +0  > . 1:1(0) ack 21
        +0  write(4, ..., 2000) = 2000
        +.1 < . 21:21(0) ack 1 win 257
        +0  > P. 1:2001(2000) ack 21
        """
    )
