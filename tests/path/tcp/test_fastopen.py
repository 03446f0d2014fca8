"""Fast Open (RFC 7413): a listener's cookies and early connections, a client's memory of them."""

import pytest

from tests.path.tcp.bare import PORT, Bare
from tests.path.tcp.receiving import both_families
from tests.path.tcp.scripted import play
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.tcp import ACK, PSH, RST, SYN, syn_options


def server(version="ipv4", qlen=5, **sysctls):
    """A listener with TCP_FASTOPEN."""
    bare = Bare(version, tcp_fastopen=3, **sysctls)
    return bare, bare.listener(TCP_FASTOPEN=qlen)


def cookie_of(bare, experiment=False):
    """Ask for a cookie; what the SYN-ACK says."""
    bare.sent()
    bare.send(SYN, sport=1, options=syn_options(1460, fastopen=b"", fastopen_experiment=experiment))
    (answer,) = bare.sent()
    bare.send(RST, sport=1, seq=1001)
    at = 8 if experiment else 6
    return answer.options[at : at + 8]


@both_families
@pytest.mark.parametrize("experiment", [False, True])
def test_a_cookie_is_given_to_who_asks(version, experiment):
    """4.1.1, 4.1.2: eight bytes, under the number by which it was asked for; another address has another cookie."""
    bare, _ = server(version)
    bare.send(SYN, sport=1, options=syn_options(1460, fastopen=b"", fastopen_experiment=experiment))
    (answer,) = bare.sent()
    assert answer.options[4:6] == (bytes((254, 12)) if experiment else bytes((34, 10)))
    bare.send(SYN, sport=1, src=bare.remote + 1, options=syn_options(1460, fastopen=b""))
    (other,) = bare.sent()
    assert other.options[6:14] != answer.options[8 if experiment else 6 :][:8]
    assert bare.stat("TcpFastOpenCookieReqd") == 2


def test_the_cookie_is_that_of_everybody_with_the_key():
    """4.1.2: servers behind one address share the key; the cookie is Linux's."""
    bare, _ = server(tcp_fastopen_key="a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4")
    assert cookie_of(bare).hex() == "3021b9d889017eeb"


@both_families
def test_data_of_the_syn_are_there_at_once(version):
    """4.2.2: with the right cookie the data are acknowledged and read before the handshake is over, and answered."""
    bare, sock = server(version)
    cookie = cookie_of(bare)
    bare.send(SYN, data=b"request", options=syn_options(1460, fastopen=cookie))
    (answer,) = bare.sent()
    assert (answer.flags, answer.ack) == (SYN | ACK, 1008)
    assert answer.options == syn_options(1460)
    child, _ = sock.accept(now=bare.now)
    assert child.recv(100, now=bare.now) == b"request"
    child.send(b"answer", now=bare.now)
    bare.settle()
    (data,) = bare.sent()
    assert (data.flags, data.seq, data.size) == (ACK | PSH, (answer.seq + 1) & 0xFFFFFFFF, 6)
    bare.send(ACK, seq=1008, ack=answer.seq + 7)
    assert child.tcb.state == 1
    assert sock.half_open.fastopen_pending == 0
    assert bare.stat("TcpFastOpenPassive") == 1


@both_families
def test_a_wrong_cookie_makes_it_an_ordinary_handshake(version):
    """4.2.2: the data are not taken, and the SYN-ACK brings the right cookie."""
    bare, sock = server(version)
    cookie = cookie_of(bare)
    bare.send(SYN, data=b"request", options=syn_options(1460, fastopen=bytes(8)))
    (answer,) = bare.sent()
    assert (answer.ack, answer.options[6:14]) == (1001, cookie)
    assert not sock.queue
    assert bare.stat("TcpFastOpenPassiveFail") == 1


@pytest.mark.parametrize("fastopen", [1, 3])
def test_without_its_option_a_listener_has_no_cookies(fastopen):
    """TCP_FASTOPEN 0, or ``tcp_fastopen`` without 2: the option is not there."""
    bare = Bare(tcp_fastopen=fastopen)
    bare.listener(TCP_FASTOPEN=0 if fastopen == 3 else 5)
    bare.send(SYN, options=syn_options(1460, fastopen=b""))
    (answer,) = bare.sent()
    assert answer.options == syn_options(1460)


def test_a_listener_may_do_without_cookies():
    """``tcp_fastopen`` & 0x200, TCP_FASTOPEN_NO_COOKIE: data are taken from anybody."""
    bare, sock = server()
    bare.ns.sysctl["net.ipv4.tcp_fastopen"] = 0x203
    bare.send(SYN, data=b"request")
    (answer,) = bare.sent()
    assert answer.ack == 1008
    assert len(sock.queue) == 1


def test_only_so_many_may_be_early():
    """5.1: beyond TCP_FASTOPEN's number it is an ordinary handshake; one that was reset counts for another minute."""
    bare, sock = server(qlen=2)
    cookie = cookie_of(bare)
    for sport in (10, 11, 12):
        bare.send(SYN, sport=sport, data=b"x", options=syn_options(1460, fastopen=cookie))
    assert [told.ack for told in bare.sent()] == [1002, 1002, 1001]
    assert bare.stat("TcpFastOpenListenOverflow") == 1
    bare.send(RST, sport=10, seq=1002)
    bare.send(SYN, sport=13, data=b"x", options=syn_options(1460, fastopen=cookie))
    assert bare.sent()[-1].ack == 1001
    assert (sock.half_open.fastopen_pending, len(sock.half_open.fastopen_resets)) == (1, 1)
    bare.run(61)
    bare.sent()
    bare.send(SYN, sport=14, data=b"x", options=syn_options(1460, fastopen=cookie))
    assert bare.sent()[-1].ack == 1002


@both_families
def test_the_syn_ack_of_an_early_connection_goes_again(version):
    """4.2.2, RFC 6298 5.5: it is retransmitted like any other, without data, and given up in the end."""
    bare, sock = server(version, tcp_synack_retries=2)
    cookie = cookie_of(bare)
    bare.send(SYN, data=b"x", options=syn_options(1460, fastopen=cookie))
    child, _ = sock.accept(now=bare.now)
    bare.sent()
    bare.run(1.1)
    (again,) = bare.sent()
    assert (again.flags, again.ack) == (SYN | ACK, 1002)
    bare.run(200)
    assert child.tcb.state == 7
    assert sock.half_open.fastopen_pending == 0


# -- the client --------------------------------------------------------------------------------------------------------


def connect(bare, data=b"", **options):
    """A client that sends with MSG_FASTOPEN: (socket, what it sent)."""
    sock = bare.ns.socket(c.AF_INET6 if bare.six else c.AF_INET, c.SOCK_STREAM)
    for name, value in options.items():
        sock.setsockopt(c.SOL_TCP, getattr(c, name), value)
    bare.sent()
    try:
        count = sock.sendto(data, c.MSG_FASTOPEN, (bare.remote_text, 80), now=bare.now)
    except BlockingIOError:  # EINPROGRESS
        count = 0
    bare.settle()
    (syn,) = bare.sent()
    return sock, syn, count


def learn(bare, cookie=b"cookie00", mss=1000):
    """A first connection that brings a cookie, and its end."""
    sock, syn, count = connect(bare, b"abc")
    assert (count, syn.size) == (0, 0)
    answer = syn_options(mss, sack_permitted=True, fastopen=cookie)
    bare.send(SYN | ACK, sport=80, dport=sock.getsockname()[1], ack=syn.seq + 1, options=answer)
    sock.setsockopt(c.SOL_SOCKET, c.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
    sock.close(now=bare.now)
    bare.settle()
    bare.sent()


@both_families
def test_a_client_asks_and_remembers(version):
    """4.1.3: the first SYN asks; the next one tells the cookie, and carries as much as the peer's MSS allows, less the
    room of options."""
    bare = Bare(version)
    learn(bare)
    sock, syn, count = connect(bare, bytes(5000))
    assert (syn.size, count) == (960, 960)
    assert b"\x22\x0acookie00" in syn.options
    port = sock.getsockname()[1]
    bare.send(SYN | ACK, sport=80, dport=port, ack=syn.seq + 961, options=syn_options(1000, sack_permitted=True))
    assert [told.flags for told in bare.sent()] == [ACK]
    assert sock.send(b"more", now=bare.now) == 4
    assert bare.stat("TcpFastOpenActive") == 1


@both_families
def test_data_that_were_not_taken_go_again(version):
    """4.2.2: a SYN-ACK of the SYN alone; the data follow at once."""
    bare = Bare(version)
    learn(bare)
    sock, syn, _ = connect(bare, b"request")
    port = sock.getsockname()[1]
    bare.send(SYN | ACK, sport=80, dport=port, ack=syn.seq + 1, options=syn_options(1000, sack_permitted=True))
    (again,) = bare.sent()
    assert (again.flags, again.seq, again.size) == (ACK | PSH, syn.seq + 1, 7)
    assert bare.stat("TcpFastOpenActiveFail") == 1


@both_families
def test_the_syn_goes_again_without_data(version):
    """4.1.3.1: what drops data in a SYN does not drop a SYN."""
    bare = Bare(version)
    learn(bare)
    _, syn, _ = connect(bare, b"request")
    bare.run(1.1)
    (again,) = bare.sent()
    assert (again.flags & SYN, again.seq, again.size) == (SYN, syn.seq, 0)
    assert b"cookie00" not in again.options


def test_paths_that_lose_such_syns_are_left_alone_for_a_while():
    """4.1.3.1: after two in a row, for minutes, then it is tried again."""
    bare = Bare()
    learn(bare)
    for _ in range(2):
        sock, syn, _ = connect(bare, b"request")
        bare.run(1.1)
        port = sock.getsockname()[1]
        bare.send(SYN | ACK, sport=80, dport=port, ack=syn.seq + 1, options=syn_options(1000))
        bare.sent()
    sock, syn, count = connect(bare, b"request")
    assert (count, syn.size) == (0, 0)
    bare.run(300)
    bare.sent()
    _, syn, count = connect(bare, b"request")
    assert (count, syn.size) == (7, 7)


def test_a_cookie_that_nobody_asked_for_is_not_kept():
    """4.1.3: ``tcp_fastopen`` 5 needs none, so what comes is no news."""
    bare = Bare(tcp_fastopen=5)
    sock, syn, count = connect(bare, b"request")
    assert (count, syn.size) == (7, 7)
    assert bytes((34, 2)) not in syn.options
    port = sock.getsockname()[1]
    bare.send(SYN | ACK, sport=80, dport=port, ack=syn.seq + 8, options=syn_options(1000, fastopen=b"12345678"))
    assert bare.ns.tcp_state.metrics.find(4, bare.remote).cookie == b""


def test_both_sides_in_one_namespace():
    """4.2: a client and a server here: the second connection's request is answered in one round trip."""
    bare = Bare(tcp_fastopen=3)
    listener = bare.listener(TCP_FASTOPEN=5)
    for expected in (0, 7):
        sock = bare.ns.socket(c.AF_INET, c.SOCK_STREAM)
        try:
            count = sock.sendto(b"request", c.MSG_FASTOPEN, ("127.0.0.1", PORT), now=bare.now)
        except BlockingIOError:
            count = 0
        assert count == expected
        child, _ = listener.accept(now=bare.now)
        if count:
            assert child.recv(100, now=bare.now) == b"request"
            assert child.tcb.state == sock.tcb.state == 1
        sock.close(now=bare.now)
        child.close(now=bare.now)
    assert bare.drops() == {}


KEY = "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"
RAW_KEY = b"\xa1" * 4 + b"\xb2" * 4 + b"\xc3" * 4 + b"\xd4" * 4


def test_a_listeners_own_key_makes_its_cookies():
    """TCP_FASTOPEN_KEY: the key of the listener goes before that of the namespace, of which it can be read else."""
    bare, sock = server(tcp_fastopen_key="00000000-00000000-00000000-00000001")
    assert sock.getsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, 32) == bytes(12) + b"\1\0\0\0"
    sock.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, RAW_KEY, now=bare.now)
    assert sock.getsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, 32) == RAW_KEY
    assert cookie_of(bare).hex() == "3021b9d889017eeb"


def test_the_key_before_is_known_still():
    """TCP_FASTOPEN_KEY with two keys: cookies of the second are taken, and those of the first given in return."""
    bare, sock = server()
    sock.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, RAW_KEY, now=bare.now)
    old = cookie_of(bare)
    sock.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, bytes(16) + RAW_KEY, now=bare.now)
    new = cookie_of(bare)
    assert new != old
    bare.sent()
    bare.send(SYN, data=b"request", options=syn_options(1460, fastopen=old))
    (answer,) = bare.sent()
    assert (answer.ack, answer.options[6:14]) == (1008, new)


@pytest.mark.parametrize("size", [0, 3, 15, 17, 31, 33])
def test_a_key_has_sixteen_bytes(size):
    """TCP_FASTOPEN_KEY: one key or two, of 16 bytes; EINVAL else, as in Linux."""
    bare, sock = server()
    with pytest.raises(OSError, match="Invalid argument"):
        sock.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, bytes(size), now=bare.now)


CLIENT = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 setsockopt(3, SOL_TCP, TCP_FASTOPEN_CONNECT, [1], 4) = 0
"""


def test_without_a_cookie_and_an_mss_the_syn_is_filled():
    """4.1.3: who knows nothing of the peer's MSS takes his own, less the room of all options."""
    script = (
        CLIENT
        + """
+0 connect(3, ..., ...) = 0
+0 write(3, ..., 5000) = 1420
+0 > S 0:1420(1420) <mss 1460,nop,nop,sackOK,nop,wscale 7>
"""
    )
    assert play(script, tcp_fastopen=5, tcp_timestamps=0) == ""


def test_a_connection_that_waits_for_data_is_writable():
    """TCP_FASTOPEN_CONNECT: connect(2) has not sent a SYN, and whoever polls is told to write, once on an edge."""
    script = (
        CLIENT
        + """
+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLOUT|EPOLLET, fd=3}) = 0
+0 connect(3, ..., ...) = 0
+0 epoll_wait(5, {events=EPOLLOUT, fd=3}, 1, 0) = 1
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0 write(3, ..., 100) = 100
+0 > S 0:100(100) <...>
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=0}], 1, 0) = 0
"""
    )
    assert play(script, tcp_fastopen=5) == ""


def test_who_has_more_to_write_saves_an_ack():
    """4.1.3: what did not fit into the SYN carries the ACK of the SYN-ACK, and that makes it a dialogue: the next data
    are acknowledged with what they bring about."""
    script = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 sendto(3, ..., 1520, MSG_FASTOPEN, ..., ...) = 1520
+0 > S 0:1420(1420) <...>
+.1 < S. 0:0(0) ack 1421 win 5840 <mss 1460>
+0 > P. 1421:1521(100) ack 1
+.1 < P. 1:501(500) ack 1521 win 5840
+0 read(3, ..., 1000) = 500
+.01 write(3, ..., 10) = 10
+0 > P. 1521:1531(10) ack 501
"""
    assert play(script, tcp_fastopen=5) == ""


def test_no_address_is_no_address():
    """sendto(2) with MSG_FASTOPEN to AF_UNSPEC: EOPNOTSUPP, as in Linux."""
    bare = Bare("ipv4", tcp_fastopen=5)
    sock = bare.ns.socket(c.AF_INET, c.SOCK_STREAM, 0)
    with pytest.raises(OSError, match="Operation not supported"):
        sock.sendto(b"data", c.MSG_FASTOPEN, None, now=bare.now)


EARLY = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:10(10) win 10000 <mss 1000,sackOK,nop,nop,FO TFO_COOKIE>
+0 > S. 0:0(0) ack 11 <...>
"""


def test_the_syn_takes_nothing_of_the_first_window():
    """4.2.2, RFC 6928: before the handshake is over ten whole segments may leave, all that the SYN's window says."""
    script = (
        EARLY
        + """
+0 accept(3, ..., ...) = 4
+.01 write(4, ..., 15000) = 15000
+0 > P. 1:5001(5000) ack 11
+0 > P. 5001:10001(5000) ack 11
+.01 < . 11:11(0) ack 1 win 10000
+.001 < . 11:11(0) ack 2001 win 10000
+0 > P. 10001:12001(2000) ack 11
"""
    )
    assert play(script, tcp_fastopen=3, tcp_fastopen_key=KEY) == ""


def test_the_ack_that_ends_the_handshake_tells_of_losses():
    """RFC 8985 6.2: a SACK of early data that comes with the ACK of the SYN makes lost what was sent before; how long
    ago the SYN left says nothing of that."""
    script = (
        EARLY
        + """
+0 accept(3, ..., ...) = 4
+.01 write(4, ..., 10000) = 10000
+0 > P. 1:10001(10000) ack 11
+0 < . 11:11(0) ack 1 win 10000 <sack 2001:5001,nop,nop>
+0 > P. 1:2001(2000) ack 11
+0 %{ assert tcpi_ca_state == TCP_CA_Recovery, tcpi_ca_state }%
"""
    )
    assert play(script, tcp_fastopen=3, tcp_fastopen_key=KEY) == ""


def test_an_icmp_error_ends_what_nobody_has_accepted():
    """Linux's tcp_v4_err: of an early connection in the queue the data can be read, and then the error."""
    script = (
        EARLY
        + """
+.1 < icmp unreachable host_unreachable [0:0(0)]
+0 accept(3, ..., ...) = 4
+0 read(4, ..., 100) = 10
+0 read(4, ..., 100) = -1 EHOSTUNREACH (No route to host)
+0 write(4, ..., 100) = -1 EPIPE (Broken pipe)
+.1 < . 11:11(0) ack 1 win 10000
+0 > R 1:1(0)
"""
    )
    assert play(script, tcp_fastopen=3, tcp_fastopen_key=KEY) == ""


def test_an_icmp_error_is_only_noted_of_an_accepted_one():
    """RFC 9293 3.9.2.2: once it is accepted an early connection is like any other, and the error is soft."""
    script = (
        EARLY
        + """
+0 accept(3, ..., ...) = 4
+.1 < icmp unreachable host_unreachable [0:0(0)]
+0 write(4, ..., 100) = 100
+0 > P. 1:101(100) ack 11
"""
    )
    assert play(script, tcp_fastopen=3, tcp_fastopen_key=KEY) == ""
