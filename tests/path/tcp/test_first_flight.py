"""The first window and the first timeout, when the handshake went well and when it did not."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import accepted, play

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])


def opened(losses: int, *, answer: bool, stamps: bool = False) -> str:
    """A connection (4 or 3) of which so many SYN-ACKs (`answer`) or SYNs were lost on the way."""
    waits = [1, 2, 4][:losses] if answer else [1] * losses
    if answer:
        again = "".join(f"+{wait} > S. 0:0(0) ack 1 <...>\n" for wait in waits)
        return f"""
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 0>
+0 > S. 0:0(0) ack 1 <...>
{again}
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 12000) = 12000
"""
    again = "".join(f"+{wait} > S 0:0(0) <...>\n" for wait in waits)
    return f"""
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 4
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(4, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
{again}
+.1 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,nop,wscale 0>
+0 > . 1:1(0) ack 1
+0 write(4, ..., 12000) = 12000
"""


@both
def test_ten_segments_at_first(version):
    """RFC 6928 2: min(10 MSS, max(2 MSS, 14600)) bytes leave before anything is acknowledged."""
    script = accepted() + "+0 write(4, ..., 12000) = 12000\n+0 > P. 1:10001(10000) ack 1\n"
    assert play(script, version) == ""


@both
@pytest.mark.parametrize("answer", [True, False], ids=["syn-ack", "syn"])
def test_one_lost_segment_of_the_handshake_changes_nothing(version, answer):
    """RFC 6928 2: one may be lost by chance: the first window stays."""
    script = opened(1, answer=answer) + "+0 > P. 1:10001(10000) ack 1\n"
    assert play(script, version) == ""


@both
@pytest.mark.parametrize("answer", [True, False], ids=["syn-ack", "syn"])
def test_two_of_them_are_congestion(version, answer):
    """RFC 5681 3.1, RFC 6928 2: more than one: the window begins with a segment."""
    script = opened(2, answer=answer) + "+0 > . 1:1001(1000) ack 1\n"
    assert play(script, version) == ""


@both
def test_a_round_trip_that_could_not_be_measured_is_three_seconds(version):
    """RFC 6298 5.7, RFC 6298 3: a SYN was sent twice, nothing was measured: data time out after 3 s."""
    script = opened(1, answer=False).replace("12000", "100") + "+0 > P. 1:101(100) ack 1\n+3 > P. 1:101(100) ack 1\n"
    assert play(script, version, tcp_early_retrans=0) == ""


@both
def test_a_round_trip_of_the_handshake_is_the_first_sample(version):
    """RFC 6298 2.2: R = 200 ms: SRTT 200 ms, RTTVAR 100 ms, RTO 600 ms."""
    script = accepted(rtt=".2") + "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n+.6 > P. 1:101(100) ack 1\n"
    assert play(script, version, tcp_early_retrans=0) == ""
