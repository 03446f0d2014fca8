"""RACK (RFC 8985 6): time decides."""

from tests.path.tcp.sending import both, good, opened

FOUR = """
+0 write(4, ..., 4000) = 4000
+0 > P. 1:4001(4000) ack 1
"""


@both
def test_a_hole_is_waited_for_a_quarter_of_the_round_trip(version):
    """RFC 8985 6.2 steps 4, 5: one later segment arrived; after RTT / 4 what is missing is lost."""
    good(
        opened()
        + FOUR
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 3001:4001,nop,nop>
        +0 %{ assert tcpi_ca_state == TCP_CA_Disorder }%
        +.025 > . 1:1001(1000) ack 1
        +0 %{ assert tcpi_ca_state == TCP_CA_Recovery }%
        """,
        version,
    )


@both
def test_a_late_segment_in_time_is_no_loss(version):
    """RFC 8985 6.2 step 3: it arrived within the window: nothing is sent again, reordering is known from then on."""
    good(
        opened()
        + FOUR
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +.02 < . 1:1(0) ack 4001 win 65535
        +1 %{ assert tcpi_total_retrans == 0; assert tcpi_ca_state == TCP_CA_Open; assert tcpi_reord_seen == 1 }%
        """,
        version,
    )


@both
def test_once_reordering_was_seen_three_duplicates_wait_as_well(version):
    """RFC 8985 6.2 step 4: the count decides only as long as nothing was ever reordered."""
    good(
        opened()
        + FOUR
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +.01 < . 1:1(0) ack 4001 win 65535
        +0 write(4, ..., 8000) = 8000
        +0 > P. 4001:12001(8000) ack 1
        +.1 < . 1:1(0) ack 4001 win 65535 <sack 5001:10001,nop,nop>
        +.025~+.03 > . 4001:5001(1000) ack 1
        """,
        version,
    )


@both
def test_a_lost_tail_is_found_by_its_probe(version):
    """RFC 8985 3.2: TLP's SACK, RACK's marks: no timeout for a lost tail."""
    good(
        opened()
        + FOUR
        + """
        +.202 > P. 3001:4001(1000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 3001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        """,
        version,
    )
