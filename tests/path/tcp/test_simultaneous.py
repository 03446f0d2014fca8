"""SYN-SENT, and both ends at once (RFC 9293 3.10.7.3; 3.5, figure 8)."""

import pytest

from tests.path.tcp.receiving import both_families, passes

CLIENT = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0   connect(3, ..., ...) = -1 EINPROGRESS
+0   > S 0:0(0) <mss 1460,sackOK,TS val 0 ecr 0,nop,wscale 7>
"""
OPEN = (
    CLIENT
    + """
    +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
    +0  > . 1:1(0) ack 1
    """
)


@both_families
def test_an_active_open(version):
    """Fourth: our SYN is acknowledged and the peer's is here: ESTABLISHED, and an ACK."""
    passes(
        OPEN
        + """
        +0  connect(3, ..., ...) = 0
        +0  write(3, ..., 100) = 100
        +0  > P. 1:101(100) ack 1
        """,
        version,
    )


def test_data_with_the_syn_ack():
    """Fourth: "If there are other controls or text in the segment, then continue processing"."""
    passes(
        CLIENT
        + """
        +.1 < S. 0:10(10) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
        +0  > . 1:1(0) ack 11
        +0  connect(3, ..., ...) = 0
        +0  read(3, ..., 100) = 10
        """
    )


def test_a_fin_with_the_syn_ack():
    """Fourth, then 3.10.7.4, eighth: CLOSE-WAIT at once."""
    passes(
        CLIENT
        + """
        +.1 < SF. 0:10(10) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
        +0  > . 1:1(0) ack 12
        +0  connect(3, ..., ...) = 0
        +0  read(3, ..., 100) = 10
        +0  read(3, ..., 100) = 0
        """
    )


class TestWrongAnswers:
    """First, second and fifth."""

    @both_families
    @pytest.mark.parametrize("ack", [0, 2, 1000, 2**31])
    def test_an_acknowledgment_of_something_else(self, ack, version):
        """First: SEG.ACK =< ISS or SEG.ACK > SND.NXT: a reset with that number, and the SYN goes again soon."""
        passes(
            CLIENT
            + f"""
            +.1 < . 500:500(0) ack {ack} win 32792
            +0  > R {ack}:{ack}(0)
            +0  > S 0:0(0) <...>
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
            +0  > . 1:1(0) ack 1
            """,
            version,
        )

    def test_a_reset_of_something_else(self):
        """First: "unless the RST bit is set, if so drop the segment and return"."""
        passes(
            CLIENT
            + """
            +.1 < R. 0:0(0) ack 2 win 0
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
            +0  > . 1:1(0) ack 1
            """
        )

    def test_a_reset_without_an_acknowledgment(self):
        """Second: "Otherwise (no ACK), drop the segment and return"."""
        passes(
            CLIENT
            + """
            +.1 < R 0:0(0) win 0
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
            +0  > . 1:1(0) ack 1
            """
        )

    @both_families
    def test_refused(self, version):
        """Second: the ACK was acceptable, so it is over: ECONNREFUSED."""
        passes(
            CLIENT
            + """
            +.1 < R. 0:0(0) ack 1 win 0
            +0  connect(3, ..., ...) = -1 ECONNREFUSED
            """,
            version,
        )

    def test_an_ack_alone(self):
        """Fifth: "if neither of the SYN or RST bits is set, then drop the segment"."""
        passes(
            CLIENT
            + """
            +.1 < . 1:1(0) ack 1 win 1000
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop>
            +0  > . 1:1(0) ack 1
            """
        )

    def test_a_timestamp_that_we_never_sent(self):
        """RFC 7323 4.2, as in Linux: a SYN-ACK of old is reset."""
        passes(
            CLIENT
            + """
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,TS val 5 ecr 12345,nop,wscale 7>
            +0  > R 1:1(0)
            """,
            tick=1_000_000,
        )


class TestBothOpen:
    """3.5, figure 8: the SYNs cross."""

    @both_families
    def test_crossed_syns(self, version):
        """3.5: SYN-SENT, SYN-RECEIVED, ESTABLISHED; each SYN-ACK has the options that both have. The peer's has
        come twice then, which is answered like any duplicate."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>
            +.1 < S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > . 1:1(0) ack 1 <nop,nop,sack 0:1>
            +0  connect(3, ..., ...) = 0
            +0  write(3, ..., 100) = 100
            +0  > P. 1:101(100) ack 1
            +.1 < P. 1:101(100) ack 101 win 257
            +0~+.05 > . 101:101(0) ack 101
            """,
            version,
        )

    def test_an_ack_is_enough(self):
        """3.10.7.4, fifth: any acceptable acknowledgment of our SYN."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.1 < P. 1:11(10) ack 1 win 257
            +0  > . 1:1(0) ack 11
            +0  read(3, ..., 100) = 10
            """
        )

    def test_the_peers_syn_once_more(self):
        """3.10.7.4, first: our SYN-ACK was lost: it is sent again."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.6 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            """
        )

    def test_refused_after_all(self):
        """3.10.7.4, second: SYN-RECEIVED from an active open is over with a reset."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.1 < R 1:1(0) win 0
            +0  connect(3, ..., ...) = -1 ECONNRESET
            """
        )

    def test_an_acknowledgment_of_something_else(self):
        """3.10.7.4, fifth: SYN-RECEIVED answers it with a reset, and stays."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.1 < . 1:1(0) ack 1000 win 257
            +0  > R 1000:1000(0)
            +.1 < . 1:1(0) ack 1 win 257
            +0  connect(3, ..., ...) = 0
            """
        )

    @both_families
    def test_a_close_before_the_end_of_the_handshake(self, version):
        """3.10.4: in SYN-RECEIVED a FIN goes out at once, and the state is FIN-WAIT-1."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.1 close(3) = 0
            +0  > F. 1:1(0) ack 1
            +.1 < . 1:1(0) ack 2 win 257
            +.1 < F. 1:1(0) ack 2 win 257
            +0  > . 2:2(0) ack 2
            """,
            version,
        )

    def test_a_fin_with_the_end_of_the_handshake(self):
        """3.10.7.4, eighth: SYN-RECEIVED, by way of ESTABLISHED, to CLOSE-WAIT."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +.1 < F. 1:1(0) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2
            +.1 read(3, ..., 100) = 0
            """
        )

    def test_the_syn_ack_is_repeated(self):
        """RFC 6298: like a SYN."""
        passes(
            CLIENT
            + """
            +.1 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
            +0  > S. 0:0(0) ack 1 <...>
            +1  > S. 0:0(0) ack 1 <...>
            +2  > S. 0:0(0) ack 1 <...>
            """
        )
