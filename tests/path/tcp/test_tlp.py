"""Tail loss probes (RFC 8985 7)."""

from tests.path.tcp.sending import both, good, opened


@both
def test_the_last_segment_is_the_probe(version):
    """RFC 8985 7.2, 7.3: after two round trips, then the RTO counts anew."""
    good(
        opened()
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.202 > P. 3001:4001(1000) ack 1
        +.3 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_new_data_are_the_better_probe(version):
    """RFC 8985 7.3: data that cwnd held back."""
    good(
        opened()
        + """
        +0 write(4, ..., 12000) = 12000
        +0 > P. 1:10001(10000) ack 1
        +.202 > . 10001:11001(1000) ack 1
        +.3 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_a_closed_window_takes_no_new_data(version):
    """RFC 8985 7.3: a probe stays within the peer's window."""
    good(
        opened().replace("ack 1 win 65535", "ack 1 win 4000")
        + """
        +0 write(4, ..., 6000) = 6000
        +0 > P. 1:4001(4000) ack 1
        +.202 > . 3001:4001(1000) ack 1
        """,
        version,
    )


@both
def test_one_segment_waits_for_a_delayed_ack_too(version):
    """RFC 8985 7.2: PTO = 2 * SRTT + the longest delay of an ACK; the RTO is earlier here, and comes instead."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        +.3 > P. 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_a_probe_that_came_twice_costs_nothing(version):
    """RFC 8985 7.4: a D-SACK for the probe: the ACK had been late, nothing was lost."""
    good(
        opened()
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.202 > P. 3001:4001(1000) ack 1
        +.01 < . 1:1(0) ack 4001 win 65535
        +.1 < . 1:1(0) ack 4001 win 65535 <sack 3001:4001,nop,nop>
        +0 %{ assert tcpi_snd_cwnd >= 10; assert tcpi_ca_state == TCP_CA_Open; assert tcpi_dsack_dups == 1 }%
        """,
        version,
    )


@both
def test_a_probe_that_repaired_a_loss_is_a_loss(version):
    """RFC 8985 7.4.2: it was needed, and the loss that it hid reduces the window."""
    good(
        opened()
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.202 > P. 3001:4001(1000) ack 1
        +.05 write(4, ..., 1000) = 1000
        +0 > P. 4001:5001(1000) ack 1
        +.05 < . 1:1(0) ack 5001 win 65535
        +0 %{ assert tcpi_snd_cwnd == 7; assert tcpi_snd_ssthresh == 7; assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )


@both
def test_none_without_sack(version):
    """RFC 8985 7.2: the RTO alone."""
    good(
        opened(sack=False)
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.3 > . 1:1001(1000) ack 1
        """,
        version,
    )


@both
def test_none_when_switched_off(version):
    """``tcp_early_retrans`` 0."""
    good(
        opened()
        + """
        +0 write(4, ..., 4000) = 4000
        +0 > P. 1:4001(4000) ack 1
        +.3 > . 1:1001(1000) ack 1
        """,
        version,
        tcp_early_retrans=0,
    )


@both
def test_the_fin_is_a_tail_as_well(version):
    """RFC 8985 7: the probe of a lost tail with a FIN is its last segment with the FIN."""
    good(
        opened()
        + """
        +0 write(4, ..., 2000) = 2000
        +0 > P. 1:2001(2000) ack 1
        +0 close(4) = 0
        +0 > F. 2001:2001(0) ack 1
        +.202 > F. 2001:2001(0) ack 1
        """,
        version,
    )
