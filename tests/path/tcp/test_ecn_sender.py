"""The sender's half of ECN (RFC 3168 6.1.2): marks reduce the window as losses would, once for each window."""

from tests.path.tcp.sending import both, good, opened


@both
def test_ece_reduces_and_cwr_says_so(version):
    """RFC 3168 6.1.2: the next new data carry CWR, and ECT; once."""
    good(
        opened(ecn=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > [ect0] P. 1:10001(10000) ack 1
        +.1 < E. 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_CWR; assert tcpi_snd_ssthresh == 7 }%
        +0 write(4, ..., 1000) = 1000
        +0 > [ect0] PW. 10001:11001(1000) ack 1
        +0 write(4, ..., 1000) = 1000
        +0 > [ect0] P. 11001:12001(1000) ack 1
        +.1 < . 1:1(0) ack 12001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_ssthresh == 7 }%
        """,
        version,
    )


@both
def test_once_for_each_window(version):
    """RFC 3168 6.1.2: not again for marks of the same window of data."""
    good(
        opened(ecn=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > [ect0] P. 1:10001(10000) ack 1
        +.1 < E. 1:1(0) ack 2001 win 65535
        +0 < E. 1:1(0) ack 4001 win 65535
        +0 < E. 1:1(0) ack 8001 win 65535
        +0 %{ assert tcpi_snd_ssthresh == 7; assert tcpi_ca_state == TCP_CA_CWR }%
        """,
        version,
    )


@both
def test_without_the_agreement_nothing_happens(version):
    """RFC 3168 6.1.1: ECE means something only after ECN was agreed on."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > [noecn] P. 1:10001(10000) ack 1
        +.1 < E. 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_cwnd >= 10 }%
        """,
        version,
    )


@both
def test_retransmissions_are_not_ect(version):
    """RFC 3168 6.1.5: retransmitted packets must not be ECN-capable."""
    good(
        opened(ecn=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > [ect0] P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:10001,nop,nop>
        +0 > [noecn] . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_a_loss_is_told_with_cwr_too(version):
    """RFC 3168 6.1.2: CWR for every reduction, also for that of a loss, with the first new data."""
    good(
        opened(ecn=True)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > [ect0] P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:10001,nop,nop>
        +0 > [noecn] . 1:1001(1000) ack 1
        +0 write(4, ..., 1000) = 1000
        +0 > [ect0] PW. 10001:11001(1000) ack 1
        """,
        version,
    )
