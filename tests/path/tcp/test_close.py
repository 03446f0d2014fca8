"""The end of a connection, from every state (RFC 9293 3.6, 3.10.4, 3.10.5)."""

import errno

import pytest

from tests.path.tcp.bare import Bare
from tests.path.tcp.receiving import ACCEPTED, both_families
from tests.path.tcp.scripted import play
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.tcb import CLOSE_WAIT, CLOSED, CLOSING, FIN_WAIT_1, LAST_ACK
from vrouter.stack.wire.tcp import ACK, FIN, RST, SYN


def passes(script, version="ipv4", **sysctls):
    """A script in packetdrill's language goes as it is written."""
    problem = play(script, version, **sysctls)
    assert not problem, problem


def accepted(version="ipv4", **sysctls):
    """(bare, the listener's one connection, our next number)."""
    bare = Bare(version, **sysctls)
    sock = bare.listener()
    number = bare.handshake()
    child, _ = sock.accept(now=bare.now)
    bare.sent()
    return bare, child, number + 1


def linger(sock, seconds):
    """SO_LINGER."""
    sock.setsockopt(c.SOL_SOCKET, c.SO_LINGER, (1).to_bytes(4, "little") + seconds.to_bytes(4, "little"))


@both_families
def test_close_by_this_end(version):
    """3.6, figure 12: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT."""
    passes(
        ACCEPTED
        + """
        +0  close(4) = 0
        +0  > F. 1:1(0) ack 1
        +.1 < . 1:1(0) ack 2 win 257
        +.1 < F. 1:1(0) ack 2 win 257
        +0  > . 2:2(0) ack 2
        """,
        version,
    )


@both_families
def test_close_by_the_peer(version):
    """3.6: CLOSE-WAIT, LAST-ACK, CLOSED; the program reads an end of file."""
    passes(
        ACCEPTED
        + """
        +0  < F. 1:1(0) ack 1 win 257
        +0~+.05 > . 1:1(0) ack 2
        +0  read(4, ..., 100) = 0
        +0  close(4) = 0
        +0  > F. 1:1(0) ack 2
        +.1 < . 2:2(0) ack 2 win 257
        +0  < . 2:2(0) ack 2 win 257
        +0  > R 2:2(0)
        """,
        version,
    )


@both_families
def test_both_ends_close_at_once(version):
    """3.6, figure 13: FIN-WAIT-1, CLOSING, TIME-WAIT."""
    bare, child, ack = accepted(version)
    tcb = child.tcb
    child.close(now=bare.now)
    bare.settle()
    (fin,) = bare.sent()
    assert (fin.flags, tcb.state) == (FIN | ACK, FIN_WAIT_1)
    bare.send(FIN | ACK, seq=1001, ack=ack)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (ACK, ack + 1, 1002)
    assert tcb.state == CLOSING
    bare.send(ACK, seq=1002, ack=ack + 1)
    assert tcb.state == CLOSED
    assert bare.ns.tcp_state.time_waiting == 1


@both_families
def test_half_of_it_is_closed(version):
    """3.6, half-close: after its FIN this end still receives, and after the peer's it still sends."""
    bare, child, ack = accepted(version)
    child.shutdown(c.SHUT_WR, now=bare.now)
    bare.settle()
    (fin,) = bare.sent()
    assert fin.flags == FIN | ACK
    with pytest.raises(BrokenPipeError):
        child.send(b"x", now=bare.now)
    bare.send(ACK, seq=1001, ack=ack + 1)
    bare.run(100)
    bare.send(ACK, seq=1001, ack=ack + 1, data=b"still")
    assert child.recv(10, now=bare.now) == b"still"
    bare, child, ack = accepted(version)
    bare.send(FIN | ACK, seq=1001, ack=ack)
    assert child.tcb.state == CLOSE_WAIT
    bare.sent()
    child.send(b"still", now=bare.now)
    bare.settle()
    assert [told.size for told in bare.sent()] == [5]


@both_families
def test_what_is_queued_goes_before_the_fin(version):
    """3.10.4: CLOSE is not an abort; all data are sent, and the FIN stands behind the last."""
    passes(
        ACCEPTED
        + """
        +0  write(4, ..., 20000) = 20000
        +0  > P. 1:10001(10000) ack 1
        +0  close(4) = 0
        +.1 < . 1:1(0) ack 10001 win 257
        +0  > FP. 10001:20001(10000) ack 1
        +.1 < F. 1:1(0) ack 20002 win 257
        +0  > . 20002:20002(0) ack 2
        """,
        version,
    )


@both_families
def test_unread_data_make_it_a_reset(version):
    """RFC 2525 2.17, RFC 1122 4.2.2.13: what the peer sent was not read, and it is to know."""
    bare, child, ack = accepted(version)
    bare.send(ACK, seq=1001, ack=ack, data=b"unread")
    bare.sent()
    child.close(now=bare.now)
    bare.settle()
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (RST | ACK, ack, 1007)
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    assert not table.connections
    assert bare.ns.tcp_state.memory == 0
    assert bare.stat("TcpAbortOnClose") == 1


@both_families
def test_no_time_to_linger_is_a_reset(version):
    """SO_LINGER with 0 s: the connection is aborted (3.10.5), what was queued is forgotten."""
    bare, child, ack = accepted(version)
    linger(child, 0)
    child.send(b"lost", now=bare.now)
    bare.settle()
    bare.sent()
    child.close(now=bare.now)
    bare.settle()
    (told,) = bare.sent()
    assert (told.flags, told.seq) == (RST | ACK, ack + 4)
    assert bare.ns.tcp_state.memory == 0
    assert bare.stat("TcpAbortOnData") == 1


def test_time_to_linger_is_an_ordinary_close():
    """SO_LINGER with a time: nothing blocks here, so it is as without."""
    bare, child, _ = accepted()
    linger(child, 5)
    child.close(now=bare.now)
    bare.settle()
    assert [told.flags for told in bare.sent()] == [FIN | ACK]


@both_families
def test_close_in_syn_sent_forgets_the_connection(version):
    """3.10.4, SYN-SENT: delete the TCB; what comes is answered as by anybody."""
    bare = Bare(version)
    sock = bare.ns.socket(c.AF_INET6 if bare.six else c.AF_INET, c.SOCK_STREAM)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.EINPROGRESS
    port = sock.getsockname()[1]
    bare.settle()
    (syn,) = bare.sent()
    sock.close(now=bare.now)
    bare.settle()
    assert bare.sent() == []
    bare.send(SYN | ACK, sport=80, dport=port, ack=syn.seq + 1)
    assert [told.flags for told in bare.sent()] == [RST]
    assert bare.stat("TcpAttemptFails") == 1


def test_the_last_ack_ends_it():
    """3.10.7.4, fifth, LAST-ACK: when the FIN is acknowledged, delete the TCB."""
    bare, child, ack = accepted()
    tcb = child.tcb
    bare.send(FIN | ACK, seq=1001, ack=ack)
    bare.sent()
    child.close(now=bare.now)
    bare.settle()
    bare.sent()
    assert tcb.state == LAST_ACK
    assert bare.ns.tcp_state.orphans == 1
    bare.send(ACK, seq=1002, ack=ack + 1)
    assert tcb.state == CLOSED
    assert bare.ns.tcp_state.orphans == 0
    assert not bare.ns.tcp.connections


def test_an_orphan_is_given_up():
    """``tcp_orphan_retries``: a peer that is gone does not keep a connection without a program for ever."""
    bare, child, _ = accepted()
    child.close(now=bare.now)
    bare.settle()
    bare.run(300)
    assert not bare.ns.tcp.connections
    assert bare.ns.tcp_state.orphans == 0


def test_there_are_only_so_many_orphans():
    """``tcp_max_orphans``: one more is reset."""
    bare = Bare(tcp_max_orphans=1)
    sock = bare.listener()
    for sport in (1, 2):
        bare.handshake(sport)
    first, _ = sock.accept(now=bare.now)
    second, _ = sock.accept(now=bare.now)
    bare.sent()
    first.close(now=bare.now)
    second.close(now=bare.now)
    bare.settle()
    assert [(told.port, bool(told.flags & RST)) for told in bare.sent()] == [(1, False), (2, False), (2, True)]
    assert bare.stat("TcpAbortOnMemory") == 1
    assert bare.ns.tcp_state.orphans == 1


@both_families
def test_connect_to_nobody_is_refused(version):
    """3.10.7.3, second: a RST that acknowledges the SYN ends it: ECONNREFUSED; another one does not."""
    bare = Bare(version)
    sock = bare.ns.socket(c.AF_INET6 if bare.six else c.AF_INET, c.SOCK_STREAM)
    sock.connect_ex((bare.remote_text, 80), now=bare.now)
    port = sock.getsockname()[1]
    bare.settle()
    (syn,) = bare.sent()
    bare.send(RST | ACK, sport=80, dport=port, seq=0, ack=syn.seq)
    bare.send(RST, sport=80, dport=port, seq=0)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.EALREADY
    bare.send(RST | ACK, sport=80, dport=port, seq=0, ack=syn.seq + 1)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.ECONNREFUSED


@both_families
def test_a_peer_that_never_answers_is_timed_out(version):
    """RFC 1122 4.2.3.5: the SYN is given up (``tcp_syn_retries``): ETIMEDOUT."""
    bare = Bare(version, tcp_syn_retries=2, tcp_syn_linear_timeouts=0)
    sock = bare.ns.socket(c.AF_INET6 if bare.six else c.AF_INET, c.SOCK_STREAM)
    sock.connect_ex((bare.remote_text, 80), now=bare.now)
    bare.run(6.9)
    assert [told.flags for told in bare.sent()] == [SYN] * 3
    bare.run(0.2)
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == errno.ETIMEDOUT
    assert bare.stat("TcpAbortOnTimeout") == 1
