"""Proportional rate reduction (RFC 9937): what leaves for each ACK of a recovery."""

from tests.path.tcp.sending import both, good, opened


@both
def test_data_leave_throughout_a_reduction(version):
    """RFC 9937 6: in proportion (0.7) down to ssthresh, then one for one."""
    sacks = ""
    for upto, new in ((5, 12), (6, 13), (7, 0), (8, 0), (9, 14), (10, 15)):
        sacks += f"+.002 < . 1:1(0) ack 1 win 65535 <sack 1001:{upto}001,nop,nop>\n"
        if new:
            sacks += f"+0 > . {new}001:{new + 1}001(1000) ack 1\n"
    good(
        opened()
        + """
        +0 write(4, ..., 30000) = 30000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +0 > . 10001:11001(1000) ack 1
        +.002 < . 1:1(0) ack 1 win 65535 <sack 1001:3001,nop,nop>
        +0 > . 11001:12001(1000) ack 1
        +0 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        """
        + sacks,
        version,
    )


@both
def test_after_a_burst_of_losses_the_window_is_built_up_again(version):
    """RFC 9937 6: below ssthresh as much leaves as arrives, and a segment more when all went well."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 7001:10001,nop,nop>
        +0 > . 1:3001(3000) ack 1
        +.1 < . 1:1(0) ack 3001 win 65535 <sack 7001:10001,nop,nop>
        +0 > . 3001:7001(4000) ack 1
        """,
        version,
    )


@both
def test_at_the_end_the_window_is_ssthresh(version):
    """RFC 9937 6: complete when everything is acknowledged: cwnd = ssthresh."""
    good(
        opened()
        + """
        +0 write(4, ..., 10000) = 10000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:10001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_snd_cwnd == 7; assert tcpi_snd_ssthresh == 7; assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )
