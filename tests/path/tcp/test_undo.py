"""Reductions that were for nothing are undone (RFC 3522, RFC 4015, RFC 2883, RFC 3708)."""

from tests.path.tcp.sending import both, good, opened


@both
def test_an_echo_of_the_original_undoes_a_timeout(version):
    """RFC 3522 3.2: the ACK after the retransmission echoes the timestamp of what was sent before it."""
    good(
        opened(stamps=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1 <nop,nop,TS val 200 ecr 1100>
        +.3 > . 1:1001(1000) ack 1 <nop,nop,TS val 500 ecr 1100>
        +0 %{ assert tcpi_ca_state == TCP_CA_Loss; assert tcpi_snd_ssthresh == 7 }%
        +.01 < . 1:1(0) ack 1001 win 65535 <nop,nop,TS val 1400 ecr 200>
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_cwnd >= 10; assert tcpi_snd_ssthresh > 1000 }%
        """,
        version,
        tcp_early_retrans=0,
        tcp_frto=0,
    )


@both
def test_an_echo_of_the_retransmission_does_not(version):
    """RFC 3522 3.2: then it was needed."""
    good(
        opened(stamps=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1 <nop,nop,TS val 200 ecr 1100>
        +.3 > . 1:1001(1000) ack 1 <nop,nop,TS val 500 ecr 1100>
        +.1 < . 1:1(0) ack 1001 win 65535 <nop,nop,TS val 1600 ecr 500>
        +0 > . 1001:3001(2000) ack 1 <nop,nop,TS val 600 ecr 1600>
        +0 %{ assert tcpi_ca_state == TCP_CA_Loss }%
        """,
        version,
        tcp_early_retrans=0,
        tcp_frto=0,
    )


@both
def test_a_fast_recovery_is_undone_by_an_echo(version):
    """RFC 4015 3.2: the hole had only been late: both windows return."""
    good(
        opened(stamps=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1 <nop,nop,TS val 200 ecr 1100>
        +.1 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 1300 ecr 200,nop,nop,sack 1001:4001>
        +0 > . 1:1001(1000) ack 1 <nop,nop,TS val 300 ecr 1300>
        +0 %{ assert tcpi_ca_state == TCP_CA_Recovery; assert tcpi_snd_ssthresh == 7 }%
        +.01 < . 1:1(0) ack 10001 win 65535 <nop,nop,TS val 1310 ecr 200>
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_cwnd >= 10; assert tcpi_snd_ssthresh > 1000 }%
        """,
        version,
    )


@both
def test_dsacks_for_all_that_was_sent_again_undo_it(version):
    """RFC 2883 4, RFC 3708 2: as many duplicates told as were made."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.01 < . 1:1(0) ack 6001 win 65535
        +.09 < . 1:1(0) ack 6001 win 65535 <sack 1:1001,nop,nop>
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_cwnd >= 10; assert tcpi_snd_ssthresh > 1000 }%
        """,
        version,
    )


@both
def test_dsacks_for_a_part_do_not(version):
    """RFC 3708 2: one duplicate for two retransmissions: one loss was real."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 2001:7001,nop,nop>
        +0 > P. 1:2001(2000) ack 1
        +.01 < . 1:1(0) ack 7001 win 65535
        +.09 < . 1:1(0) ack 7001 win 65535 <sack 1:1001,nop,nop>
        +0 %{ assert tcpi_ca_state == TCP_CA_Recovery; assert tcpi_snd_ssthresh == 7 }%
        """,
        version,
    )


@both
def test_a_mark_is_not_undone(version):
    """RFC 3168 6.1.2, RFC 4015 4: ECE in the meantime: there is congestion."""
    good(
        opened(ecn=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < E. 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.01 < E. 1:1(0) ack 6001 win 65535
        +.09 < E. 1:1(0) ack 6001 win 65535 <sack 1:1001,nop,nop>
        +0 %{ assert tcpi_snd_ssthresh == 7 }%
        """,
        version,
    )
