"""NewReno (RFC 6582): recovery with a peer that knows no SACK."""

from tests.path.tcp.sending import both, good, opened

RECOVERY = """
+0 write(4, ..., 10000) = 10000
+0 > P. 1:10001(10000) ack 1
+.1 < . 1:1(0) ack 1 win 65535
+0 < . 1:1(0) ack 1 win 65535
+0 < . 1:1(0) ack 1 win 65535
+0 > . 1:1001(1000) ack 1
"""


@both
def test_three_duplicates_and_a_full_acknowledgement(version):
    """RFC 5681 3.2, RFC 6582 3.2: one segment again; the ACK of everything ends it once something beyond is
    acknowledged."""
    good(
        opened(sack=False)
        + RECOVERY
        + """
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 write(4, ..., 1000) = 1000
        +0 > P. 10001:11001(1000) ack 1
        +.1 < . 1:1(0) ack 11001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_ssthresh == 7; assert tcpi_total_retrans == 1 }%
        """,
        version,
    )


@both
def test_a_partial_acknowledgement_brings_the_next_hole(version):
    """RFC 6582 3.2 step 3: at once, without three more duplicates."""
    good(
        opened(sack=False)
        + RECOVERY
        + """
        +.1 < . 1:1(0) ack 4001 win 65535
        +0 > . 4001:5001(1000) ack 1
        +.1 < . 1:1(0) ack 7001 win 65535
        +0 > . 7001:8001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        """,
        version,
    )


@both
def test_duplicates_of_the_same_window_do_not_begin_another_recovery(version):
    """RFC 6582 4.1 (the bugfix of RFC 2582): ACKs of what was sent again needlessly look like duplicates."""
    good(
        opened(sack=False)
        + RECOVERY
        + """
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 write(4, ..., 4000) = 4000
        +0 > P. 10001:14001(4000) ack 1
        +.01 < . 1:1(0) ack 10001 win 65535
        +0 < . 1:1(0) ack 10001 win 65535
        +0 < . 1:1(0) ack 10001 win 65535
        +.05 %{ assert tcpi_total_retrans == 1; assert tcpi_snd_ssthresh == 7 }%
        """,
        version,
    )


@both
def test_three_duplicates_of_a_smaller_threshold(version):
    """``tcp_reordering``: how many duplicates tell of a loss."""
    good(
        opened(sack=False)
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535
        +0 < . 1:1(0) ack 1 win 65535
        +0 < . 1:1(0) ack 1 win 65535
        +0 < . 1:1(0) ack 1 win 65535
        +0 < . 1:1(0) ack 1 win 65535
        +0 > . 1:1001(1000) ack 1
        """,
        version,
        tcp_reordering=5,
    )


@both
def test_sack_switched_off_is_newreno(version):
    """``tcp_sack`` 0: SACK is not agreed on, however much the peer would like it."""
    script = opened().replace("S. 0:0(0) ack 1 <...>", "S. 0:0(0) ack 1 <mss 1460,nop,wscale 7>") + RECOVERY
    good(script, version, tcp_sack=0)
