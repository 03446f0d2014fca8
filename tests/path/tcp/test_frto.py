"""F-RTO (RFC 5682): whether a timeout was one."""

from tests.path.tcp.sending import both, good, opened

TIMEOUT = """
+0 write(4, ..., 14000) = 14000
+0 > P. 1:10001(10000) ack 1
+.3 > . 1:1001(1000) ack 1
+0 %{ assert tcpi_ca_state == TCP_CA_Loss; assert tcpi_snd_cwnd == 1; assert tcpi_snd_ssthresh == 7 }%
"""
QUIET = {"tcp_early_retrans": 0}


@both
def test_two_acks_of_originals_undo_it(version):
    """RFC 5682 3.1 steps 2b, 3b: new data first; then the ACK of something that was sent once."""
    good(
        opened()
        + TIMEOUT
        + """
        +.05 < . 1:1(0) ack 1001 win 65535
        +0 > P. 10001:12001(2000) ack 1
        +.01 < . 1:1(0) ack 2001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_cwnd >= 10; assert tcpi_lost == 0 }%
        """,
        version,
        **QUIET,
    )


@both
def test_a_sack_of_the_new_data_alone_confirms_the_loss(version):
    """RFC 5682 3.1 step 3a: the rest is sent again."""
    good(
        opened()
        + TIMEOUT
        + """
        +.1 < . 1:1(0) ack 1001 win 65535
        +0 > P. 10001:12001(2000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535 <sack 10001:12001,nop,nop>
        +0 > . 1001:3001(2000) ack 1
        +0 %{ assert tcpi_ca_state == TCP_CA_Loss }%
        """,
        version,
        **QUIET,
    )


@both
def test_without_new_data_recovery_is_conventional(version):
    """RFC 5682 3.1 step 2b: nothing new can be sent."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.3 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +0 > . 1001:3001(2000) ack 1
        """,
        version,
        **QUIET,
    )


@both
def test_it_works_without_sack(version):
    """RFC 5682 2.1: two ACKs in a row that acknowledge new data, the second one by originals."""
    good(
        opened(sack=False)
        + TIMEOUT
        + """
        +.05 < . 1:1(0) ack 1001 win 65535
        +0 > P. 10001:12001(2000) ack 1
        +.01 < . 1:1(0) ack 2001 win 65535
        +0 %{ assert tcpi_snd_cwnd >= 10 }%
        """,
        version,
    )


@both
def test_it_may_be_switched_off(version):
    """``tcp_frto`` 0: retransmissions follow at once."""
    good(
        opened()
        + TIMEOUT
        + """
        +.05 < . 1:1(0) ack 1001 win 65535
        +0 > . 1001:3001(2000) ack 1
        """,
        version,
        tcp_frto=0,
        **QUIET,
    )
