"""Data in order, duplicates, and the peer's FIN, through the whole stack (RFC 9293 3.10.7.4)."""

import pytest

from tests.path.tcp.receiving import ACCEPTED, LISTENER, PLAIN, both_families, passes


@both_families
def test_data_are_acknowledged_and_read(version):
    """Seventh: RCV.NXT moves over what was accepted, and the program gets it."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        +0  read(4, ..., 400) = 400
        +0  read(4, ..., 4000) = 600
        """,
        version,
    )


@both_families
def test_the_acknowledgment_of_the_handshake_may_bring_data(version):
    """Fifth and seventh: SYN-RECEIVED becomes ESTABLISHED, and the same segment's data count."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 32792 <mss 1000,sackOK>
        +0  > S. 0:0(0) ack 1 <...>
        +.1 < P. 1:101(100) ack 1 win 1000
        +0  > . 1:1(0) ack 101
        +0  accept(3, ..., ...) = 4
        +0  read(4, ..., 4000) = 100
        """,
        version,
    )


@both_families
def test_a_superframe(version):
    """MUST-58: many segments at once are one acknowledgment."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:30001(30000) ack 1 win 257
        +0  > . 1:1(0) ack 30001
        +0  read(4, ..., 40000) = 30000
        """,
        version,
    )


@both_families
def test_a_duplicate(version):
    """First: what is old is answered with an ACK; RFC 2883 4.1.1: which tells of it."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001 <nop,nop,sack 1:1001>
        +0  read(4, ..., 4000) = 1000
        """,
        version,
    )


@both_families
def test_a_duplicate_without_sack(version):
    """First: the ACK alone."""
    passes(
        PLAIN
        + """
        +0  < P. 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        +0  < P. 1:501(500) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        """,
        version,
    )


@both_families
def test_half_old_and_half_new(version):
    """First: "only the new parts are processed"; RFC 2883 4.1.2: the old part is told."""
    passes(
        ACCEPTED
        + """
        +0  < . 1:1001(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1001
        +0  < . 501:1501(1000) ack 1 win 257
        +0  > . 1:1(0) ack 1501 <nop,nop,sack 501:1001>
        +0  read(4, ..., 4000) = 1500
        """,
        version,
    )


def test_without_an_acknowledgment_nothing_counts():
    """Fifth: "if the ACK bit is off, drop the segment and return"."""
    passes(
        ACCEPTED
        + """
        +0  < P 1:1001(1000) win 257
        +.1 < P. 1:11(10) ack 1 win 257
        +0  > . 1:1(0) ack 11
        +0  read(4, ..., 4000) = 10
        """
    )


def test_of_no_flags_at_all():
    """Fifth: neither ACK nor RST nor SYN means anything."""
    passes(ACCEPTED + "+0 < - 1:1001(1000) win 257\n+.3 < P. 1:2(1) ack 1 win 257\n+0 > . 1:1(0) ack 2\n")


class TestFin:
    """Eighth: check the FIN bit."""

    @both_families
    def test_the_peer_closes_first(self, version):
        """ESTABLISHED, CLOSE-WAIT, LAST-ACK, CLOSED (3.6, case 2)."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1:1(0) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2
            +0  read(4, ..., 10) = 0
            +0  write(4, ..., 100) = 100
            +0  > P. 1:101(100) ack 2
            +0  < . 2:2(0) ack 101 win 257
            +0  close(4) = 0
            +0  > F. 101:101(0) ack 2
            +0  < . 2:2(0) ack 102 win 257
            +0  < . 2:2(0) ack 102 win 257
            +0  > R 102:102(0) win 0
            """,
            version,
        )

    @both_families
    def test_with_data(self, version):
        """The data first, then the end; FIN implies PUSH (3.10.7.4)."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1:1001(1000) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 1002
            +0  read(4, ..., 4000) = 1000
            +0  read(4, ..., 4000) = 0
            """,
            version,
        )

    @both_families
    def test_beyond_a_gap(self, version):
        """Eighth: it takes effect in its turn; its number is told with the block."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1001:2001(1000) ack 1 win 257
            +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2002>
            +0  < . 1:1001(1000) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2002
            +0  read(4, ..., 4000) = 2000
            +0  read(4, ..., 4000) = 0
            """,
            version,
        )

    def test_once_more(self):
        """Eighth, CLOSE-WAIT: "Remain in the CLOSE-WAIT state", and it is answered."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1:1001(1000) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 1002
            +.3 < F. 1:1001(1000) ack 1 win 257
            +0  > . 1:1(0) ack 1002 <nop,nop,sack 1:1002>
            +0  read(4, ..., 4000) = 1000
            +0  read(4, ..., 4000) = 0
            """
        )

    def test_what_follows_it(self):
        """Seventh, CLOSE-WAIT: "Ignore the segment text"."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1:1(0) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2
            +.1 < P. 2:12(10) ack 1 win 257
            +.1 read(4, ..., 4000) = 0
            +0  write(4, ..., 10) = 10
            +0  > P. 1:11(10) ack 2
            """
        )

    def test_in_a_zero_window(self):
        """A bare FIN needs no room (as in Linux)."""
        passes(
            ACCEPTED.replace("listen(3, 1)", "setsockopt(3, SOL_SOCKET, SO_RCVBUF, [4000], 4) = 0\n+0 listen(3, 1)")
            + """
            +0  < P. 1:2921(2920) ack 1 win 257
            +0  > . 1:1(0) ack 2921 win 0
            +0  < F. 2921:2921(0) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2922 win 0
            +0  read(4, ..., 8000) = 2920
            +0  read(4, ..., 8000) = 0
            """
        )


class TestHalfClose:
    """3.6, MUST-12 and MAY-1: one direction ends, the other goes on."""

    @both_families
    def test_receiving_goes_on(self, version):
        """Seventh: FIN-WAIT-1 and FIN-WAIT-2 take data."""
        passes(
            ACCEPTED
            + """
            +0  shutdown(4, SHUT_WR) = 0
            +0  > F. 1:1(0) ack 1
            +.1 < P. 1:101(100) ack 1 win 257
            +0  > . 2:2(0) ack 101
            +0  < . 101:101(0) ack 2 win 257
            +.1 < P. 101:201(100) ack 2 win 257
            +0  > . 2:2(0) ack 201
            +0  read(4, ..., 4000) = 200
            +0  < F. 201:201(0) ack 2 win 257
            +0  > . 2:2(0) ack 202
            +0  read(4, ..., 4000) = 0
            """,
            version,
        )

    def test_data_with_the_acknowledgment_of_our_fin(self):
        """Fifth, seventh: one segment: FIN-WAIT-2, and its data are taken there."""
        passes(
            ACCEPTED
            + """
            +0  shutdown(4, SHUT_WR) = 0
            +0  > F. 1:1(0) ack 1
            +.1 < P. 1:101(100) ack 2 win 257
            +0  > . 2:2(0) ack 101
            +0  read(4, ..., 4000) = 100
            """
        )

    def test_all_in_one(self):
        """Fifth to eighth: data, the acknowledgment of our FIN, and the peer's: from FIN-WAIT-1 to TIME-WAIT."""
        passes(
            ACCEPTED
            + """
            +0  shutdown(4, SHUT_WR) = 0
            +0  > F. 1:1(0) ack 1
            +.1 < FP. 1:101(100) ack 2 win 257
            +0  > . 2:2(0) ack 102
            +0  read(4, ..., 4000) = 100
            +0  read(4, ..., 4000) = 0
            +.1 < FP. 1:101(100) ack 2 win 257
            +0  > . 2:2(0) ack 102
            """
        )


class TestAfterClose:
    """RFC 1122 4.2.2.13, RFC 9293 3.6.1: who has closed both ways reads nothing any more."""

    @pytest.mark.parametrize("acked", [True, False])
    def test_data_are_reset(self, acked):
        """RFC 2525 2.17: FIN-WAIT-1 and FIN-WAIT-2 without a reader."""
        passes(
            ACCEPTED
            + """
            +0  close(4) = 0
            +0  > F. 1:1(0) ack 1
            """
            + ("+.1 < . 1:1(0) ack 2 win 257\n" if acked else "")
            + """
            +.1 < P. 1:101(100) ack 2 win 257
            +0  > R 2:2(0)
            """
        )

    def test_shut_down_both_ways(self):
        """SHUT_RDWR is as good as close."""
        passes(
            ACCEPTED
            + """
            +0  shutdown(4, SHUT_RDWR) = 0
            +0  > F. 1:1(0) ack 1
            +.1 < P. 1:101(100) ack 2 win 257
            +0  > R 2:2(0)
            """
        )

    def test_old_data_are_not(self):
        """First: what came before is answered with an ACK."""
        passes(
            ACCEPTED
            + """
            +0  < P. 1:101(100) ack 1 win 257
            +0  > . 1:1(0) ack 101
            +0  read(4, ..., 4000) = 100
            +0  shutdown(4, SHUT_RDWR) = 0
            +0  > F. 1:1(0) ack 101
            +.1 < P. 1:101(100) ack 1 win 257
            +0  > . 2:2(0) ack 101 <nop,nop,sack 1:101>
            """
        )


@both_families
def test_simultaneous_close(version):
    """3.6, case 3; figure 13: FIN-WAIT-1, CLOSING, TIME-WAIT."""
    passes(
        ACCEPTED
        + """
        +0  close(4) = 0
        +0  > F. 1:1(0) ack 1
        +.1 < F. 1:1(0) ack 1 win 257
        +0  > . 2:2(0) ack 2
        +.1 < . 2:2(0) ack 2 win 257
        +.1 < F. 1:1(0) ack 2 win 257
        +0  > . 2:2(0) ack 2
        """,
        version,
    )
