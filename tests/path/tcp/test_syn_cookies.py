"""SYN cookies (RFC 4987 3.6): a listener that keeps nothing, and what its cookies tell."""

import pytest

from tests.path.tcp.bare import Bare
from tests.path.tcp.receiving import both_families
from vrouter.stack.wire.tcp import ACK, RST, SYN, options, syn_options


def flooded(version="ipv4", **sysctls):
    """A listener that answers with cookies always."""
    bare = Bare(version, tcp_syncookies=2, **sysctls)
    return bare, bare.listener(backlog=100)


@both_families
def test_a_cookie_makes_a_connection(version):
    """RFC 4987 3.6: the ACK brings the number back: the connection is there, with the MSS that the SYN told."""
    bare, sock = flooded(version)
    bare.send(SYN, options=syn_options(1300))
    (answer,) = bare.sent()
    assert answer.flags == SYN | ACK
    assert not sock.half_open.requests
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    assert not table.connections
    bare.send(ACK, seq=1001, ack=answer.seq + 1, data=b"hello")
    child, _ = sock.accept(now=bare.now)
    assert child.recv(10, now=bare.now) == b"hello"
    assert child.tcb.peer_mss == (1220 if bare.six else 1300)
    assert not child.tcb.sack_ok
    assert not child.tcb.wscale_ok
    assert (bare.stat("TcpSyncookiesSent"), bare.stat("TcpSyncookiesRecv")) == (1, 1)


@both_families
@pytest.mark.parametrize(("wscale", "sack"), [(-1, True), (0, False), (7, True), (14, True)])
def test_a_timestamp_carries_the_other_options(version, wscale, sack):
    """Linux's cookie_init_timestamp: window scale and SACK stand in six bits of the SYN-ACK's timestamp."""
    bare, sock = flooded(version)
    bare.send(SYN, options=syn_options(1460, wscale, sack, (500, 0)))
    (answer,) = bare.sent()
    stamp = int.from_bytes(answer.options[8:12], "big")
    bare.send(ACK, seq=1001, ack=answer.seq + 1, options=options((501, stamp)))
    child, _ = sock.accept(now=bare.now)
    tcb = child.tcb
    assert (tcb.ts_ok, tcb.sack_ok, tcb.wscale_ok, tcb.snd_wscale) == (True, sack, wscale >= 0, max(wscale, 0))
    assert tcb.ts_recent == 501


def test_ecn_is_told_by_the_timestamp():
    """RFC 3168 6.1.1 under a flood: the agreement is not lost."""
    bare, sock = flooded()
    bare.send(SYN | 0x40 | 0x80, options=syn_options(1460, 7, True, (500, 0)))
    (answer,) = bare.sent()
    assert answer.flags == SYN | ACK | 0x40
    stamp = int.from_bytes(answer.options[8:12], "big")
    bare.send(ACK, seq=1001, ack=answer.seq + 1, options=options((501, stamp)))
    child, _ = sock.accept(now=bare.now)
    assert child.tcb.ecn & 1


@both_families
def test_a_wrong_cookie_is_reset(version):
    """RFC 9293 3.10.7.2: an ACK that is none of a cookie of ours is any ACK."""
    bare, sock = flooded(version)
    bare.send(SYN, options=syn_options(1300))
    (answer,) = bare.sent()
    for wrong in (answer.seq + 9, answer.seq + 1 + (1 << 20), answer.seq + 1 - (1 << 24)):
        bare.send(ACK, seq=1001, ack=wrong & 0xFFFFFFFF)
        assert [told.flags for told in bare.sent()] == [RST]
    bare.send(ACK, seq=1100, ack=answer.seq + 1)
    assert [told.flags for told in bare.sent()] == [RST]
    bare.send(ACK, sport=40001, seq=1001, ack=answer.seq + 1)
    assert [told.flags for told in bare.sent()] == [RST]
    assert not sock.queue
    assert bare.stat("TcpSyncookiesFailed") == 5


@pytest.mark.parametrize(("age", "good"), [(59, True), (130, False)])
def test_a_cookie_is_good_for_two_minutes(age, good):
    """RFC 4987 3.6: the minute is a part of the hash."""
    bare, sock = flooded()
    bare.run(60 - bare.now / 1e9)
    bare.send(SYN, options=syn_options(1300))
    (answer,) = bare.sent()
    bare.run(age)
    bare.send(SYN, sport=2)  # the listener still is in trouble
    bare.sent()
    bare.send(ACK, seq=1001, ack=answer.seq + 1)
    assert bool(sock.queue) is good


def test_no_cookie_is_looked_at_without_a_flood():
    """Linux's tcp_synq_no_recent_overflow: two minutes after the last cookie was sent, ACKs cost no hash."""
    bare, _ = flooded()
    bare.send(SYN)
    (answer,) = bare.sent()
    bare.run(121)
    bare.send(ACK, seq=1001, ack=answer.seq + 1)
    assert [told.flags for told in bare.sent()] == [RST]
    assert bare.stat("TcpSyncookiesFailed") == 0


@both_families
def test_cookies_begin_where_the_backlog_ends(version):
    """``tcp_syncookies`` 1: half-open connections are kept while there is room."""
    bare = Bare(version)
    sock = bare.listener(backlog=4)
    for sport in range(1, 11):
        bare.send(SYN, sport=sport)
    answers = bare.sent()
    assert len(answers) == 10
    assert len(sock.half_open.requests) == 5
    assert (bare.stat("TcpSyncookiesSent"), bare.stat("TcpReqQFullDoCookies")) == (5, 5)
    bare.send(ACK, sport=10, seq=1001, ack=answers[-1].seq + 1)
    assert sock.accept(now=bare.now)[1][1] == 10


def test_without_cookies_a_full_backlog_drops():
    """``tcp_syncookies`` 0: the SYN is dropped and counted."""
    bare = Bare(tcp_syncookies=0)
    bare.listener(backlog=4)
    for sport in range(1, 11):
        bare.send(SYN, sport=sport)
    assert len(bare.sent()) == 5
    assert bare.stat("TcpReqQFullDrop") == 5
    assert bare.drops() == {"TCP_LISTEN_OVERFLOW": 5}


def test_a_cookie_does_not_pass_a_full_queue():
    """listen(2): who may not wait is not taken; the ACK is dropped."""
    bare = Bare(tcp_syncookies=2)
    sock = bare.listener(backlog=0)
    bare.send(SYN, sport=5)
    (answer,) = bare.sent()
    bare.handshake(1)
    bare.sent()
    bare.send(ACK, sport=5, seq=1001, ack=answer.seq + 1)
    assert bare.sent() == []
    assert len(sock.queue) == 1
    assert bare.drops() == {"TCP_LISTEN_OVERFLOW": 1}


def test_settings_hold_for_what_a_cookie_tells():
    """RFC 7323 2.2, RFC 2018 2: an ACK cannot bring back an option that is switched off here."""
    bare, sock = flooded()
    bare.send(SYN, options=syn_options(1460, 7, True, (500, 0)))
    (answer,) = bare.sent()
    stamp = int.from_bytes(answer.options[8:12], "big")
    bare.ns.sysctl["net.ipv4.tcp_sack"] = 0
    bare.send(ACK, seq=1001, ack=answer.seq + 1, options=options((501, stamp)))
    assert [told.flags for told in bare.sent()] == [RST]
    assert not sock.queue
