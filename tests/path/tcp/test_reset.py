"""Resets: those that are sent for segments of nobody (RFC 9293 3.10.7.1), and those that come (RFC 5961 3)."""

import pytest

from tests.path.tcp.bare import Bare
from tests.path.tcp.receiving import both_families
from vrouter.stack.wire.tcp import ACK, FIN, PSH, RST, SYN, URG


@both_families
@pytest.mark.parametrize(
    ("flags", "data", "acknowledged"),
    [(SYN, b"", 1001), (SYN, b"four", 1005), (FIN, b"", 1001), (0, b"four", 1004), (PSH | URG, b"", 1000)],
)
def test_a_segment_without_an_ack_is_reset_by_its_end(version, flags, data, acknowledged):
    """3.10.7.1: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>; SYN and FIN count."""
    bare = Bare(version)
    bare.send(flags, data=data)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack, told.window, told.size) == (RST | ACK, 0, acknowledged, 0, 0)
    assert bare.drops() == {"NO_SOCKET": 1}
    assert bare.stat("TcpOutRsts") == 1


@both_families
@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK])
def test_a_segment_with_an_ack_is_reset_by_its_number(version, flags):
    """3.10.7.1: <SEQ=SEG.ACK><CTL=RST>."""
    bare = Bare(version)
    bare.send(flags, ack=77, data=b"some")
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (RST, 77, 0)


@both_families
@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN | RST])
def test_a_reset_is_never_answered(version, flags):
    """3.10.7.1: an incoming segment containing a RST is discarded."""
    bare = Bare(version)
    bare.send(flags, ack=77)
    assert bare.sent() == []
    assert bare.drops() == {"NO_SOCKET": 1}


@both_families
def test_a_listener_resets_an_ack(version):
    """3.10.7.2, second: any acknowledgment is bad if it arrives on a connection still in LISTEN."""
    bare = Bare(version)
    bare.listener()
    for flags in (ACK, SYN | ACK):
        bare.send(flags, ack=77)
        (told,) = bare.sent()
        assert (told.flags, told.seq) == (RST, 77)
    assert bare.drops() == {"TCP_FLAGS": 2}


@both_families
@pytest.mark.parametrize("flags", [FIN, SYN | FIN, PSH, 0])
def test_a_listener_answers_nothing_else(version, flags):
    """3.10.7.2, fourth: other segments are dropped, and so is a SYN that would end what it begins."""
    bare = Bare(version)
    sock = bare.listener()
    bare.send(flags)
    assert bare.sent() == []
    assert sock.half_open is None
    assert bare.drops() == {"TCP_FLAGS": 1}


def established(version="ipv4"):
    """A listener's one connection, and the number that the peer has to acknowledge next."""
    bare = Bare(version)
    sock = bare.listener()
    number = bare.handshake()
    child, _ = sock.accept(now=bare.now)
    bare.sent()
    return bare, child, number + 1


@both_families
def test_a_reset_at_the_next_number_ends_the_connection(version):
    """RFC 5961 3.2 (1), 3.10.7.4: the program hears ECONNRESET; what came before can be read first."""
    bare, child, ack = established(version)
    bare.send(ACK, seq=1001, ack=ack, data=b"last")
    bare.sent()
    bare.send(RST, seq=1005)
    assert bare.sent() == []
    assert child.recv(100, now=bare.now) == b"last"
    with pytest.raises(ConnectionResetError):
        child.recv(100, now=bare.now)
    assert child.recv(100, now=bare.now) == b""
    assert not child.tcb.table.connections
    assert bare.stat("TcpEstabResets") == 1


@both_families
def test_a_guessed_reset_is_asked_about(version):
    """RFC 5961 3.2 (3): in the window, but not the next number: a challenge ACK, and nothing else."""
    bare, child, ack = established(version)
    bare.send(RST, seq=1002)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (ACK, ack, 1001)
    assert bare.stat("TcpChallengeACK") == 1
    assert bare.drops() == {"TCP_RESET": 1}
    bare.send(RST, seq=0x40000000)
    assert bare.sent() == []
    assert bare.drops() == {"TCP_RESET": 2}
    assert child.tcb.state == 1


@both_families
def test_a_guessed_syn_is_asked_about(version):
    """RFC 5961 4.2: whatever its number; the peer that has lost its connection resets with the right one."""
    bare, child, _ = established(version)
    for seq in (1001, 5, 0x40000000):
        bare.send(SYN, seq=seq)
        bare.run(1)
    told = bare.sent()
    assert [(segment.flags, segment.ack) for segment in told] == [(ACK, 1001)] * 3
    assert bare.stat("TcpSYNChallenge") == 3
    assert child.tcb.state == 1


def test_challenges_of_one_connection_are_rare():
    """RFC 5961 7: one in half a second (``tcp_invalid_ratelimit``); the others are counted."""
    bare, _, _ = established()
    for _ in range(10):
        bare.send(RST, seq=1002)
    assert len(bare.sent()) == 1
    assert bare.stat("TcpACKSkippedChallenge") == 9
    bare.run(0.6)
    bare.send(RST, seq=1002)
    assert len(bare.sent()) == 1


def test_challenges_of_all_connections_are_bounded():
    """RFC 5961 7, 10: so many a second in the whole namespace, and not always the same number of them: who counts his
    own must not learn of others'."""
    counts = set()
    bare = Bare(tcp_challenge_ack_limit=10, tcp_invalid_ratelimit=0)
    bare.listener()
    bare.handshake()
    for _ in range(8):
        bare.run(1)
        bare.sent()
        for _ in range(40):
            bare.send(RST, seq=1002)
        counts.add(len(bare.sent()))
    assert all(5 <= count < 15 for count in counts)
    assert len(counts) > 1


def test_a_checksum_that_is_wrong_is_answered_by_nobody():
    """RFC 9293 3.1 (MUST-3): silently."""
    bare = Bare()
    bare.listener()
    packet = bytearray(bare.packet(SYN))
    packet[24] ^= 0x55  # in the sequence number
    bare.inject(bytes(packet))
    assert bare.sent() == []
    assert bare.drops() == {"TCP_CSUM": 1}
