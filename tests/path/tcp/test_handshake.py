"""The three-way handshake of a listener, segment by segment (RFC 9293 3.5, 3.10.7.2, 3.10.7.4)."""

import pytest

from tests.path.tcp.bare import Bare, resets
from tests.path.tcp.receiving import LISTENER, both_families
from tests.path.tcp.scripted import play
from vrouter.stack.wire.tcp import ACK, RST, SYN

HALF_OPEN = (
    LISTENER
    + """
+0   < S 0:0(0) win 1000 <mss 1000>
+0   > S. 0:0(0) ack 1 <mss 1460>
"""
)


def passes(script, version="ipv4", **sysctls):
    """A script in packetdrill's language goes as it is written."""
    problem = play(script, version, **sysctls)
    assert not problem, problem


@both_families
def test_every_option_of_the_syn_is_answered(version):
    """RFC 9293 3.7.1, RFC 7323 2.2 and 3.2, RFC 2018 2: what the SYN offers, the SYN-ACK takes, in Linux's order."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 7 ecr 0,nop,wscale 3>
        +0  > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 0 ecr 7,nop,wscale 7>
        +0  < . 1:1(0) ack 1 win 100 <nop,nop,TS val 7 ecr 0>
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_an_option_that_was_not_offered_is_not_used(version):
    """RFC 7323 1.3, RFC 2018 2: the SYN-ACK may say no more than the SYN."""
    passes(HALF_OPEN, version)


def test_settings_switch_options_off():
    """RFC 7323 2.2, 3.2, RFC 2018 2: what a host does not want, it does not agree to."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 7 ecr 0,nop,wscale 3>
        +0  > S. 0:0(0) ack 1 <mss 1460>
        """,
        tcp_sack=0,
        tcp_timestamps=0,
        tcp_window_scaling=0,
    )


@both_families
def test_the_syn_ack_goes_again_and_is_given_up(version):
    """RFC 9293 3.8.1, RFC 6298 5.5: after 1, 2 and 4 s; ``tcp_synack_retries`` says how often."""
    passes(
        HALF_OPEN
        + """
        +1  > S. 0:0(0) ack 1 <mss 1460>
        +2  > S. 0:0(0) ack 1 <mss 1460>
        +8  < . 1:1(0) ack 1 win 1000
        +0  > R 1:1(0)
        """,
        version,
        tcp_synack_retries=2,
    )


@both_families
def test_the_syn_again_is_answered_again(version):
    """RFC 9293 3.10.7.4: the answer was lost; the same numbers go once more."""
    passes(
        HALF_OPEN
        + """
        +.6 < S 0:0(0) win 1000 <mss 1000>
        +0  > S. 0:0(0) ack 1 <mss 1460>
        +0  < . 1:1(0) ack 1 win 1000
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_an_ack_of_what_was_never_sent_is_reset(version):
    """RFC 9293 3.10.7.4, fifth, SYN-RECEIVED: <SEQ=SEG.ACK><CTL=RST>; the half-open connection stays."""
    passes(
        HALF_OPEN
        + """
        +0  < . 1:1(0) ack 2 win 1000
        +0  > R 2:2(0)
        +0  < . 1:1(0) ack 1 win 1000
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_a_reset_in_syn_received_returns_to_listen(version):
    """RFC 9293 3.10.7.4, second, SYN-RECEIVED: silently; what follows belongs to nobody."""
    passes(
        HALF_OPEN
        + """
        +0  < R 1:1(0) win 0
        +0  < . 1:1(0) ack 1 win 1000
        +0  > R 1:1(0)
        """,
        version,
    )


@both_families
def test_a_reset_that_does_not_fit_exactly_is_asked_about(version):
    """RFC 5961 3.2: in the window, but not at RCV.NXT: a challenge ACK, and the handshake goes on."""
    passes(
        HALF_OPEN
        + """
        +0  < R 2:2(0) win 0
        +0  > . 1:1(0) ack 1
        +0  < . 1:1(0) ack 1 win 1000
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_a_reset_outside_of_the_window_is_nothing(version):
    """RFC 9293 3.10.7.4, second 1): silently dropped."""
    passes(
        HALF_OPEN
        + """
        +0  < R 200000:200000(0) win 0
        +0  < . 1:1(0) ack 1 win 1000
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_a_segment_outside_of_the_window_is_answered_with_an_ack(version):
    """RFC 9293 3.10.7.4, first: not acceptable; RFC 5961: only once in half a second."""
    passes(
        HALF_OPEN
        + """
        +0  < . 100000:100010(10) ack 1 win 1000
        +0  > . 1:1(0) ack 1
        +0  < . 100000:100010(10) ack 1 win 1000
        +.6 < . 100000:100010(10) ack 1 win 1000
        +0  > . 1:1(0) ack 1
        """,
        version,
    )


@both_families
def test_a_syn_in_the_window_ends_the_half_open_connection(version):
    """RFC 9293 3.10.7.4, fourth, SYN-RECEIVED after a passive OPEN; the sender is told."""
    bare = Bare(version)
    bare.listener()
    bare.send(SYN, seq=1000)
    (answer,) = bare.sent()
    bare.send(SYN, seq=1005)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (RST | ACK, 0, 1006)
    bare.send(ACK, seq=1001, ack=answer.seq + 1)
    (told,) = bare.sent()
    assert (told.flags, told.seq) == (RST, answer.seq + 1)
    assert bare.drops()["TCP_INVALID_SYN"] == 1


@both_families
def test_an_old_timestamp_does_not_end_the_handshake(version):
    """RFC 7323 5.3 R1: PAWS holds in SYN-RECEIVED, too: an ACK, and the segment is dropped."""
    passes(
        LISTENER
        + """
        +0  < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 1000 ecr 0>
        +0  > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 0 ecr 1000>
        +0  < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 900 ecr 0>
        +0  > . 1:1(0) ack 1 <nop,nop,TS val 0 ecr 1000>
        +0  < . 1:1(0) ack 1 win 1000 <nop,nop,TS val 1001 ecr 0>
        +0  accept(3, ..., ...) = 4
        """,
        version,
    )


@both_families
def test_an_echo_that_was_never_sent_is_refused(version):
    """RFC 7323 4.3: what does not echo one of our SYN-ACKs' timestamps did not see one."""
    bare = Bare(version)
    sock = bare.listener()
    stamp = bytes.fromhex("0101080a000003e800000000")
    bare.send(SYN, options=stamp)
    (answer,) = bare.sent()
    bare.send(ACK, seq=1001, ack=answer.seq + 1, options=bytes.fromhex("0101080a000003e812345678"))
    assert [segment.flags for segment in bare.sent()] == [ACK]
    assert not sock.queue
    assert bare.stat("TcpTSEcrRejected") == 1


@both_families
def test_ecn_is_agreed_to(version):
    """RFC 3168 6.1.1: ECE and CWR in a SYN ask, ECE in the SYN-ACK agrees."""
    passes(
        LISTENER
        + """
        +0  < SEW 0:0(0) win 1000 <mss 1000>
        +0  > SE. 0:0(0) ack 1 <mss 1460>
        """,
        version,
    )


def test_ecn_is_not_agreed_to_when_switched_off():
    """RFC 3168 6.1.1: a host without ECN answers as if nobody had asked."""
    passes(LISTENER + "+0 < SEW 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n", tcp_ecn=0)


def test_both_ends_open_at_once():
    """RFC 9293 3.5, figure 8: the SYNs cross; each answers with a SYN-ACK, and one connection comes of it."""
    passes(
        """
        0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0  fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0  connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
        +0  > S 0:0(0) <...>
        +0  < S 0:0(0) win 5000 <mss 1000>
        +0  > S. 0:0(0) ack 1 <mss 1460>
        +0  < S. 0:0(0) ack 1 win 5000 <mss 1000>
        +0  > . 1:1(0) ack 1
        +0  getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
        +0  write(3, ..., 100) = 100
        +0  > P. 1:101(100) ack 1
        """,
        tcp_timestamps=0,
        tcp_sack=0,
        tcp_window_scaling=0,
    )


def test_a_connection_that_waits_for_data():
    """TCP_DEFER_ACCEPT: the ACK alone wakes nobody; the data do."""
    passes(
        """
        0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0  setsockopt(3, SOL_TCP, TCP_DEFER_ACCEPT, [3], 4) = 0
        +0  fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0  bind(3, ..., ...) = 0
        +0  listen(3, 1) = 0
        +0  < S 0:0(0) win 1000 <mss 1000>
        +0  > S. 0:0(0) ack 1 <mss 1460>
        +0  < . 1:1(0) ack 1 win 1000
        +0  accept(3, ..., ...) = -1 EAGAIN (Resource temporarily unavailable)
        +.1 < P. 1:11(10) ack 1 win 1000
        +0  > . 1:1(0) ack 11
        +0  accept(3, ..., ...) = 4
        """
    )


def test_a_deferred_connection_gets_a_last_chance():
    """TCP_DEFER_ACCEPT: at the end of its time the SYN-ACK goes again, and an ACK alone is enough then."""
    bare = Bare()
    sock = bare.listener(TCP_DEFER_ACCEPT=1)
    number = bare.handshake()
    assert not sock.queue
    assert bare.stat("TcpDeferAcceptDrop") == 1
    bare.run(1.5)
    (again,) = bare.sent()
    assert (again.flags, again.seq) == (SYN | ACK, number)
    bare.send(ACK, seq=1001, ack=number + 1)
    assert len(sock.queue) == 1


@both_families
def test_first_numbers_are_those_of_no_other_connection(version):
    """RFC 6528 3: between other ends another number, between the same ends a later one, by the clock of 4 µs."""
    bare = Bare(version)
    bare.listener()
    bare.send(SYN, sport=40000)
    bare.send(SYN, sport=40001)
    first, other = (segment.seq for segment in bare.sent())
    assert abs(first - other) > 1 << 10
    bare.send(RST, sport=40000, seq=1001)
    bare.run(1)
    bare.sent()
    bare.send(SYN, sport=40000)
    (again,) = bare.sent()
    assert (again.seq - first) % (1 << 32) == 250_000


def test_a_handshake_without_a_way_back_is_not_begun():
    """RFC 9293 3.10.7.2: where the SYN-ACK has no route, the SYN is dropped, and nothing is kept."""
    bare = Bare()
    sock = bare.listener()
    bare.ns.del_route("0.0.0.0/0", now=bare.now)
    bare.send(SYN)
    assert bare.sent() == []
    assert not sock.half_open.requests
    assert bare.drops() == {"IP_OUTNOROUTES": 1}


@pytest.mark.parametrize("flags", [SYN | RST, RST, RST | ACK])
def test_a_listener_does_not_hear_resets(flags):
    """RFC 9293 3.10.7.2, first: an incoming RST is ignored."""
    bare = Bare()
    bare.listener()
    bare.send(flags, ack=5)
    assert resets(bare.sent()) == []
    assert bare.drops() == {"TCP_RESET": 1}
