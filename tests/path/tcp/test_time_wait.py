"""TIME-WAIT (RFC 9293 3.6.1, 3.10.7.4; RFC 6191; RFC 1337), and FIN-WAIT-2 without a program."""

import errno

import pytest

from tests.path.tcp.bare import PORT, Bare
from tests.path.tcp.receiving import both_families
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.tcb import FIN_WAIT_2, TIME_WAIT
from vrouter.stack.wire.tcp import ACK, FIN, RST, SYN, options, syn_options

STAMPED = syn_options(1460, -1, False, (500, 0))


def waiting(version="ipv4", stamped=False, **sysctls):
    """A connection that this end closed first, in TIME-WAIT; (bare, its record, our next number)."""
    bare = Bare(version, **sysctls)
    sock = bare.listener()
    bare.send(SYN, options=STAMPED if stamped else b"")
    (answer,) = bare.sent()
    echo = int.from_bytes(answer.options[8:12], "big") if stamped else 0
    stamp = options((500, echo)) if stamped else b""
    bare.send(ACK, seq=1001, ack=answer.seq + 1, options=stamp)
    child, _ = sock.accept(now=bare.now)
    child.close(now=bare.now)
    bare.settle()
    (fin,) = bare.sent()
    assert fin.flags == FIN | ACK
    bare.send(FIN | ACK, seq=1001, ack=fin.seq + 1, options=stamp)
    (last,) = bare.sent()
    assert (last.flags, last.seq, last.ack) == (ACK, fin.seq + 1, 1002)
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    (rest,) = table.connections.values()
    assert rest.state == TIME_WAIT
    return bare, table, fin.seq + 1


@both_families
def test_it_lasts_for_a_minute(version):
    """3.6.1: 2 MSL, which are 60 s as in Linux; then all of it is gone."""
    bare, table, _ = waiting(version)
    bare.run(59.9)
    assert len(table.connections) == 1
    bare.run(0.2)
    assert not table.connections
    assert bare.stat("TcpTW") == 1
    assert bare.ns.tcp_state.time_waiting == 0


@both_families
def test_the_fin_again_is_answered_and_begins_the_wait_anew(version):
    """3.10.7.4, TIME-WAIT: the only thing that can arrive is a retransmission of the FIN: ACK, restart the time-out."""
    bare, table, number = waiting(version)
    bare.run(40)
    bare.send(FIN | ACK, seq=1001, ack=number)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (ACK, number, 1002)
    bare.run(40)
    assert len(table.connections) == 1
    bare.run(21)
    assert not table.connections


def test_answers_are_rare():
    """RFC 5961 7 (``tcp_invalid_ratelimit``): two ends do not acknowledge each other for ever."""
    bare, _, number = waiting()
    for _ in range(10):
        bare.send(FIN | ACK, seq=1001, ack=number)
    assert len(bare.sent()) == 1
    assert bare.stat("TcpACKSkippedTimeWait") == 9


@both_families
def test_data_that_come_late_are_acknowledged_and_dropped(version):
    """3.10.7.4, first: what is not acceptable is answered with an ACK."""
    bare, table, number = waiting(version)
    bare.send(ACK, seq=1002, ack=number, data=b"late")
    (told,) = bare.sent()
    assert (told.flags, told.ack) == (ACK, 1002)
    assert len(table.connections) == 1


@both_families
@pytest.mark.parametrize(("rfc1337", "left"), [(0, 0), (1, 1)])
def test_a_reset_may_end_it(version, rfc1337, left):
    """RFC 1337 3: with ``tcp_rfc1337`` a RST does not end TIME-WAIT; without, as in Linux, the right one does."""
    bare, table, _ = waiting(version, tcp_rfc1337=rfc1337)
    bare.send(RST, seq=1005)
    assert len(table.connections) == 1
    bare.send(RST, seq=1002)
    assert bare.sent() == []
    assert len(table.connections) == left


@both_families
def test_a_new_connection_may_begin_early(version):
    """RFC 1122 4.2.2.13: a SYN with a greater number reopens it, and our number is greater than all of the old."""
    bare, table, number = waiting(version)
    bare.send(SYN, seq=2000)
    (told,) = bare.sent()
    assert told.flags == SYN | ACK
    assert told.ack == 2001
    assert told.seq == (number + 65537) & 0xFFFFFFFF
    assert bare.stat("TcpTWRecycled") == 1
    bare.send(ACK, seq=2001, ack=told.seq + 1)
    (entry,) = table.connections.values()
    assert entry.state == 1


@both_families
def test_a_syn_of_old_is_answered_with_an_ack(version):
    """RFC 1122 4.2.2.13 (b): an old duplicate returns to TIME-WAIT; here it never leaves it."""
    bare, table, number = waiting(version)
    bare.send(SYN, seq=900)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (ACK, number, 1002)
    assert len(table.connections) == 1


def test_a_newer_timestamp_is_as_good_as_a_greater_number():
    """RFC 6191 2: with timestamps a SYN may begin anew though its number is not greater; an older one may not."""
    bare, _, number = waiting(stamped=True)
    bare.send(SYN, seq=900, options=syn_options(1460, -1, False, (499, 0)))
    (told,) = bare.sent()
    assert told.flags == ACK
    assert bare.stat("TcpPAWSEstab") == 1
    bare.send(SYN, seq=900, options=syn_options(1460, -1, False, (501, 0)))
    (told,) = bare.sent()
    assert (told.flags, told.seq) == (SYN | ACK, (number + 65537) & 0xFFFFFFFF)


def test_a_syn_without_a_listener_is_not_believed():
    """RFC 9293 3.10.7.4: nobody wants a new connection, so the old one's record stays and answers."""
    bare, table, _ = waiting()
    for sock in list(bare.ns.sockets):
        sock.close(now=bare.now)
    bare.send(SYN, seq=2000)
    (told,) = bare.sent()
    assert (told.flags, told.ack) == (ACK, 1002)
    assert len(table.connections) == 1


def test_there_are_only_so_many():
    """``tcp_max_tw_buckets``: one more ends at once."""
    bare = Bare(tcp_max_tw_buckets=2)
    sock = bare.listener()
    for sport in (1, 2, 3):
        bare.handshake(sport)
        child, _ = sock.accept(now=bare.now)
        bare.sent()
        child.close(now=bare.now)
        bare.settle()
        (fin,) = bare.sent()
        bare.send(FIN | ACK, sport=sport, seq=1001, ack=fin.seq + 1)
    assert len(bare.ns.tcp.connections) == 2
    assert bare.stat("TcpTimeWaitOverflow") == 1


def client(bare, port=5000):
    """A client's connection that was closed by it and waits; its peer is 40000."""
    sock = bare.ns.socket(c.AF_INET, c.SOCK_STREAM)
    sock.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
    sock.bind(("", port), now=bare.now)
    assert sock.connect_ex(("192.0.2.1", 40000), now=bare.now) == errno.EINPROGRESS
    bare.settle()
    (syn,) = bare.sent()
    echo = int.from_bytes(syn.options[8:12], "big")
    bare.send(SYN | ACK, seq=1000, ack=syn.seq + 1, dport=port, options=syn_options(1460, -1, True, (500, echo)))
    sock.close(now=bare.now)
    bare.settle()
    fin = bare.sent()[-1]
    bare.send(FIN | ACK, seq=1001, ack=fin.seq + 1, dport=port, options=options((501, echo)))
    bare.sent()
    return syn.seq, fin.seq + 1


def test_a_client_may_begin_anew_when_told_so():
    """RFC 6191 3 (``tcp_tw_reuse`` 1): a second later, with timestamps, from beyond all old numbers; before it is
    EADDRNOTAVAIL."""
    bare = Bare(tcp_tw_reuse=1)
    _, number = client(bare)
    again = bare.ns.socket(c.AF_INET, c.SOCK_STREAM)
    again.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
    again.bind(("", 5000), now=bare.now)
    assert again.connect_ex(("192.0.2.1", 40000), now=bare.now) == errno.EADDRNOTAVAIL
    bare.run(1.1)
    assert again.connect_ex(("192.0.2.1", 40000), now=bare.now) == errno.EINPROGRESS
    bare.settle()
    (syn,) = bare.sent()
    assert syn.seq == (number + 65537) & 0xFFFFFFFF
    assert bare.ns.tcp_state.time_waiting == 0


def test_a_client_does_not_begin_anew_elsewhere_by_itself():
    """``tcp_tw_reuse`` 2, the default: only on lo."""
    bare = Bare()
    client(bare)
    bare.run(2)
    again = bare.ns.socket(c.AF_INET, c.SOCK_STREAM)
    again.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1)
    again.bind(("", 5000), now=bare.now)
    assert again.connect_ex(("192.0.2.1", 40000), now=bare.now) == errno.EADDRNOTAVAIL


def test_time_wait_holds_its_port():
    """bind(2): EADDRINUSE without SO_REUSEADDR, while the record is there."""
    bare, _, _ = waiting()
    for sock in list(bare.ns.sockets):
        sock.close(now=bare.now)
    other = bare.ns.socket(c.AF_INET, c.SOCK_STREAM)
    with pytest.raises(OSError, match="in use"):
        other.bind(("", PORT), now=bare.now)
    bare.run(61)
    other.bind(("", PORT), now=bare.now)


# -- FIN-WAIT-2 --------------------------------------------------------------------------------------------------------


def half_closed(version="ipv4", **sysctls):
    """A connection whose program is gone and whose FIN is acknowledged; (bare, table, our next number)."""
    bare = Bare(version, **sysctls)
    sock = bare.listener()
    number = bare.handshake()
    child, _ = sock.accept(now=bare.now)
    bare.sent()
    child.close(now=bare.now)
    bare.settle()
    bare.sent()
    bare.send(ACK, seq=1001, ack=number + 2)
    return bare, bare.ns.tcp6 if bare.six else bare.ns.tcp, number + 2


@both_families
def test_an_orphan_waits_in_fin_wait_2_for_so_long(version):
    """RFC 9293 3.6 lets the peer take its time; Linux's ``tcp_fin_timeout`` does not, when nobody is left to read."""
    bare, table, _ = half_closed(version, tcp_fin_timeout=10)
    (rest,) = table.connections.values()
    assert rest.state == FIN_WAIT_2
    bare.run(9.9)
    assert len(table.connections) == 1
    bare.run(0.2)
    assert not table.connections


@both_families
def test_the_fin_brings_time_wait(version):
    """3.10.7.4, eighth, FIN-WAIT-2: the FIN is acknowledged, and the wait is a minute from then on."""
    bare, table, number = half_closed(version, tcp_fin_timeout=10)
    bare.send(FIN | ACK, seq=1001, ack=number)
    (told,) = bare.sent()
    assert (told.flags, told.seq, told.ack) == (ACK, number, 1002)
    bare.run(59)
    (rest,) = table.connections.values()
    assert rest.state == TIME_WAIT
    bare.run(2)
    assert not table.connections


@both_families
def test_data_that_nobody_will_read_are_reset(version):
    """RFC 1122 4.2.2.13, RFC 9293 3.10.4: the peer is to know that they are lost."""
    bare, table, _ = half_closed(version)
    bare.send(ACK, seq=1001, ack=5, data=b"more")
    (told,) = bare.sent()
    assert (told.flags, told.seq) == (RST, 5)
    assert not table.connections
    assert bare.drops() == {"TCP_CLOSE": 1}


@both_families
def test_what_is_beyond_the_window_is_only_answered(version):
    """3.10.7.4, first; RFC 5961 3.2, 4.2: neither a guessed RST nor a SYN ends it."""
    bare, table, number = half_closed(version)
    for flags, seq in ((ACK, 0x40000000), (RST, 1002), (SYN, 1010)):
        bare.send(flags, seq=seq, ack=number)
        (told,) = bare.sent()
        assert (told.flags, told.seq, told.ack) == (ACK, number, 1001)
        bare.run(1)
    bare.send(RST, seq=0x40000000)
    assert bare.sent() == []
    assert len(table.connections) == 1
    bare.send(RST, seq=1001)
    assert not table.connections


def test_a_long_fin_timeout_keeps_the_whole_connection_at_first():
    """Linux's tcp_close: a record stands for the last minute alone."""
    bare, table, _ = half_closed(tcp_fin_timeout=100)
    bare.run(39)
    (tcb,) = table.connections.values()
    assert hasattr(tcb, "sock")
    bare.run(2)
    (rest,) = table.connections.values()
    assert not hasattr(rest, "sock")
    bare.run(60)
    assert not table.connections


def test_no_linger_in_fin_wait_2_is_a_reset():
    """TCP_LINGER2 below 0: the peer's FIN is not waited for."""
    bare = Bare()
    sock = bare.listener()
    number = bare.handshake()
    child, _ = sock.accept(now=bare.now)
    child.setsockopt(c.SOL_TCP, c.TCP_LINGER2, -1, now=bare.now)
    bare.sent()
    child.close(now=bare.now)
    bare.settle()
    bare.sent()
    bare.send(ACK, seq=1001, ack=number + 2)
    (told,) = bare.sent()
    assert told.flags & RST
    assert not bare.ns.tcp.connections
    assert bare.stat("TcpAbortOnLinger") == 1
