"""Blind attacks (RFC 5961): guessed resets, SYNs, and data."""

import pytest

from tests.path.tcp.receiving import ACCEPTED, both_families, passes


class TestReset:
    """RFC 5961 3.2, RFC 9293 3.10.7.4, second."""

    @both_families
    def test_the_very_next_number_is_believed(self, version):
        """2): "MUST reset the connection"."""
        passes(ACCEPTED + "+0 < R. 1:1(0) ack 1 win 257\n+0 read(4, ..., 10) = -1 ECONNRESET\n", version)

    @both_families
    def test_within_the_window_it_is_asked_about(self, version):
        """3): a challenge ACK; the peer, if it was him, answers with the right number."""
        passes(
            ACCEPTED
            + """
            +0  < R 100:100(0) win 0
            +0  > . 1:1(0) ack 1
            +0  < R 1:1(0) win 0
            +0  read(4, ..., 10) = -1 ECONNRESET
            """,
            version,
        )

    @pytest.mark.parametrize("number", [-1000 % 2**32, 200_000, 2**31])
    def test_outside_the_window_it_is_nothing(self, number):
        """1): "silently drop the segment"."""
        passes(
            ACCEPTED
            + f"""
            +0  < R {number}:{number}(0) win 0
            +.1 < P. 1:11(10) ack 1 win 257
            +0  > . 1:1(0) ack 11
            """
        )

    def test_behind_the_last_block(self):
        """As in Linux: the peer's next number, when it has sent what we know by SACK alone."""
        passes(
            ACCEPTED
            + """
            +0  < . 1001:2001(1000) ack 1 win 257
            +0  > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>
            +0  < R 2001:2001(0) win 0
            +0  read(4, ..., 10) = -1 ECONNRESET
            """
        )

    def test_with_the_number_of_a_fin(self):
        """As in Linux: some reset with it after they have closed."""
        passes(
            ACCEPTED
            + """
            +0  < F. 1:1(0) ack 1 win 257
            +0~+.05 > . 1:1(0) ack 2
            +0  < R 1:1(0) win 0
            +0  write(4, ..., 10) = -1 EPIPE
            """
        )


class TestSyn:
    """RFC 5961 4.2, RFC 9293 3.10.7.4, fourth."""

    @both_families
    @pytest.mark.parametrize("flags", ["S", "S."])
    @pytest.mark.parametrize("number", [0, 1, 500, 100_000, 2**31])
    def test_whatever_its_number(self, number, flags, version):
        """RFC 5961 4.2: "TCP endpoints MUST send a challenge ACK", and the connection goes on."""
        # A script counts from its last SYN on.
        first, last = (1 - number) % 2**32, (11 - number) % 2**32
        passes(
            ACCEPTED
            + f"""
            +0  < {flags} {number}:{number}(0) {"ack 1 " if flags == "S." else ""}win 1000 <mss 1000>
            +0  > . 1:1(0) ack {first}
            +.1 < P. {first}:{last}(10) ack 1 win 257
            +0  > . 1:1(0) ack {last}
            """,
            version,
        )


class TestAcknowledgment:
    """RFC 5961 5.2, RFC 9293 3.10.7.4, fifth."""

    @pytest.mark.parametrize("ack", [2, 100_000, 2**31 - 1])
    def test_of_what_was_never_sent(self, ack):
        """RFC 5961 5.2: SEG.ACK > SND.NXT: discarded, and an ACK sent back."""
        passes(
            ACCEPTED
            + f"""
            +0  < P. 1:11(10) ack {ack} win 257
            +0  > . 1:1(0) ack 1
            +0  < P. 1:11(10) ack 1 win 257
            +0  > . 1:1(0) ack 11
            +0  read(4, ..., 100) = 10
            """
        )

    def test_of_what_was_acknowledged_long_ago(self):
        """RFC 5961 5.2: SEG.ACK < SND.UNA - MAX.SND.WND: the same; with 1000 bytes sent, below the first of them."""
        passes(
            ACCEPTED
            + """
            +0  write(4, ..., 1000) = 1000
            +0  > P. 1:1001(1000) ack 1
            +.1 < . 1:1(0) ack 1001 win 257
            +0  < P. 1:11(10) ack 4294967290 win 257
            +0  > . 1001:1001(0) ack 1
            +0  < P. 1:11(10) ack 1 win 257
            +0  > . 1001:1001(0) ack 11
            """
        )

    def test_of_some_time_ago(self):
        """RFC 5961 5.2: within it the data are taken: the ACK was overtaken, no more."""
        passes(
            ACCEPTED
            + """
            +0  write(4, ..., 1000) = 1000
            +0  > P. 1:1001(1000) ack 1
            +.1 < . 1:1(0) ack 1001 win 257
            +0  < P. 1:11(10) ack 500 win 257
            +0  > . 1001:1001(0) ack 11
            """
        )


class TestLimits:
    """RFC 5961 7: challenge ACKs are no amplifier."""

    def test_two_a_second_for_a_connection(self):
        """``tcp_invalid_ratelimit``: half a second between them."""
        passes(
            ACCEPTED
            + """
            +0  < R 100:100(0) win 0
            +0  > . 1:1(0) ack 1
            +0  < R 101:101(0) win 0
            +.4 < S 0:0(0) win 1000 <mss 1000>
            +.2 < R 102:102(0) win 0
            +0  > . 1:1(0) ack 1
            """
        )

    def test_none_at_all(self):
        """``tcp_challenge_ack_limit`` 0: the namespace sends none."""
        passes(
            ACCEPTED
            + """
            +0  < R 100:100(0) win 0
            +.1 < P. 1:11(10) ack 1 win 257
            +0  > . 1:1(0) ack 11
            """,
            tcp_challenge_ack_limit=0,
        )


def test_a_keep_alive_of_the_peer_is_answered():
    """RFC 9293 3.8.4: a segment with SND.NXT-1 "elicits a response"; twice a second at most."""
    passes(
        ACCEPTED
        + """
        +0  < P. 1:11(10) ack 1 win 257
        +0  > . 1:1(0) ack 11
        +1  < . 10:10(0) ack 1 win 257
        +0  > . 1:1(0) ack 11
        +1  < . 10:11(1) ack 1 win 257
        +0  > . 1:1(0) ack 11 <nop,nop,sack 10:11>
        """
    )
