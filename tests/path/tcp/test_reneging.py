"""A peer that drops what it had SACKed (RFC 2018 8)."""

from tests.path.tcp.sending import both, good, opened


@both
def test_it_is_sent_again(version):
    """RFC 2018 8: SACKed data may be dropped; when SND.UNA comes to rest before such, all of it goes again."""
    good(
        opened()
        + """
        +0 write(4, ..., 6000) = 6000
        +0 > P. 1:6001(6000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +.05~+.055 > . 1001:2001(1000) ack 1
        +0 %{ assert tcpi_ca_state == TCP_CA_Loss; assert tcpi_sacked == 0 }%
        +.1 < . 1:1(0) ack 2001 win 65535
        +0 > P. 2001:4001(2000) ack 1
        +.1 < . 1:1(0) ack 6001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )


@both
def test_acks_out_of_order_are_not_mistaken_for_it(version):
    """RFC 2018 8: the ACK that goes on may only be late: half a round trip is waited."""
    good(
        opened()
        + """
        +0 write(4, ..., 6000) = 6000
        +0 > P. 1:6001(6000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +.04 < . 1:1(0) ack 6001 win 65535
        +1 %{ assert tcpi_total_retrans == 1; assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )
