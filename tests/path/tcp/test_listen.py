"""Listeners: who takes a connection, how many may wait, and what their end means."""

import errno

import pytest

from tests.path.tcp.bare import PORT, Bare, resets
from tests.path.tcp.receiving import both_families
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.tcp import ACK, RST, SYN


def stream(bare, family=c.AF_INET, **options):
    """A stream socket with options of SOL_SOCKET."""
    sock = bare.ns.socket(family, c.SOCK_STREAM)
    for name, value in options.items():
        sock.setsockopt(c.SOL_SOCKET, getattr(c, name), value)
    return sock


def refused(call, *args):
    """The errno's name of a call that fails."""
    with pytest.raises(OSError) as caught:
        call(*args)
    return errno.errorcode[caught.value.errno]


# -- how many --------------------------------------------------------------------------------------------------------


@both_families
def test_a_full_queue_takes_no_more(version):
    """RFC 4987 2, listen(2): backlog + 1 wait to be accepted; then a SYN is dropped, and comes again."""
    bare = Bare(version)
    sock = bare.listener(backlog=1)
    for sport in (1, 2):
        bare.handshake(sport)
    bare.sent()
    bare.send(SYN, sport=3)
    assert bare.sent() == []
    assert bare.drops() == {"TCP_LISTEN_OVERFLOW": 1}
    assert (bare.stat("TcpListenOverflows"), bare.stat("TcpListenDrops")) == (1, 1)
    sock.accept(now=bare.now)
    bare.send(SYN, sport=3)
    assert [segment.flags for segment in bare.sent()] == [SYN | ACK]


@both_families
def test_a_handshake_that_ends_while_the_queue_is_full(version):
    """Linux's tcp_check_req: the ACK is dropped; the SYN-ACK goes again, and its ACK is taken once there is room."""
    bare = Bare(version)
    sock = bare.listener(backlog=1)
    bare.send(SYN, sport=9)
    (answer,) = bare.sent()
    for sport in (1, 2):
        bare.handshake(sport)
    bare.sent()
    bare.send(ACK, sport=9, seq=1001, ack=answer.seq + 1)
    assert bare.sent() == []
    assert len(sock.queue) == 2
    sock.accept(now=bare.now)
    bare.run(1.1)
    assert [(segment.port, segment.flags) for segment in bare.sent()] == [(9, SYN | ACK)]
    bare.send(ACK, sport=9, seq=1001, ack=answer.seq + 1)
    assert len(sock.queue) == 2


@both_families
def test_a_full_queue_may_answer_with_a_reset(version):
    """``tcp_abort_on_overflow``: the peer is told instead of left to try."""
    bare = Bare(version, tcp_abort_on_overflow=1)
    bare.listener(backlog=0)
    bare.send(SYN, sport=9)
    (answer,) = bare.sent()
    bare.handshake(1)
    bare.sent()
    bare.send(ACK, sport=9, seq=1001, ack=answer.seq + 1)
    assert [segment.flags for segment in bare.sent()] == [RST]
    assert bare.stat("TcpEmbryonicRsts") == 1


def test_the_backlog_is_bounded_by_the_namespace():
    """net.core.somaxconn bounds what listen(2) asks for; a negative backlog means as many."""
    bare = Bare()
    bare.ns.sysctl["net.core.somaxconn"] = 3
    assert bare.listener(backlog=100).backlog == 3
    assert bare.listener(backlog=-1, port=81).backlog == 3


def test_without_cookies_the_last_quarter_is_for_known_peers():
    """RFC 4987 3.2 (tcp_max_syn_backlog): strangers do not fill the whole of it."""
    bare = Bare(tcp_syncookies=0, tcp_max_syn_backlog=8)
    sock = bare.listener(backlog=100)
    for sport in range(1, 20):
        bare.send(SYN, sport=sport)
    assert len(bare.sent()) == 7
    assert len(sock.half_open.requests) == 7
    bare.ns.tcp_state.metrics.of(4, bare.remote).rtt = 1
    bare.send(SYN, sport=30)
    assert len(bare.sent()) == 1


def test_old_half_open_connections_make_room_for_young_ones():
    """Linux's reqsk_timer_handler: when the queue is half full, the old are given up after two attempts, until no
    more than half of it is in use."""
    bare = Bare()
    sock = bare.listener(backlog=16)
    for sport in range(1, 17):
        bare.send(SYN, sport=sport)
    assert len(sock.half_open.requests) == 16
    bare.run(8)
    assert len(sock.half_open.requests) == len(bare.ns.tcp.connections) == 8
    bare.run(60)
    assert not bare.ns.tcp.connections


# -- who -------------------------------------------------------------------------------------------------------------


def test_the_nearest_address_takes_the_connection():
    """Linux's compute_score: a bound address goes before the wildcard, a bound device before none."""
    bare = Bare()
    bare.ns.add_address("tun0", "192.168.0.77/16", now=bare.now)
    everybody, here = stream(bare, SO_REUSEPORT=1), stream(bare, SO_REUSEPORT=1)
    everybody.bind(("0.0.0.0", PORT))
    here.bind(("192.168.0.1", PORT))
    for sock in (everybody, here):
        sock.listen(5)
    bare.handshake(1)
    assert (len(here.queue), len(everybody.queue)) == (1, 0)


def test_a_listener_on_a_device_hears_that_device():
    """SO_BINDTODEVICE: what came by another device is for somebody else."""
    bare = Bare()
    bare.ns.add_device("other", mtu=1500, now=bare.now)
    on, off = stream(bare), stream(bare)
    on.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"tun0")
    off.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"other")
    for sock in (off, on):
        sock.bind(("", PORT))
        sock.listen(5)
    bare.handshake(1)
    assert (len(on.queue), len(off.queue)) == (1, 0)


def test_a_listener_of_both_families():
    """RFC 3493 5.3: an AF_INET6 listener takes IPv4, with an IPv4-mapped peer; with IPV6_V6ONLY it does not."""
    bare = Bare()
    sock = bare.listener(family=c.AF_INET6, address="::")
    bare.handshake(1)
    child, name = sock.accept(now=bare.now)
    assert name == ("::ffff:192.0.2.1", 1, 0, 0)
    assert child.getsockname() == ("::ffff:192.168.0.1", PORT, 0, 0)
    child.close(now=bare.now)
    sock.close(now=bare.now)
    bare = Bare()
    bare.listener(family=c.AF_INET6, address="::", IPV6_V6ONLY=1)
    bare.send(SYN)
    assert [segment.flags for segment in bare.sent()] == [RST | ACK]


def test_listeners_that_share_are_balanced():
    """SO_REUSEPORT: a keyed hash of the flow chooses; the same flow always has the same one."""
    bare = Bare()
    group = [bare.listener(backlog=500, SO_REUSEPORT=1) for _ in range(4)]
    for sport in range(1, 401):
        bare.handshake(sport)
    counts = [len(sock.queue) for sock in group]
    assert sum(counts) == 400
    assert min(counts) >= 60
    table = bare.ns.tcp
    chosen = {sport: table.listener(5, sport, bare.local, PORT, bare.device) for sport in range(50)}
    again = {sport: table.listener(5, sport, bare.local, PORT, bare.device) for sport in range(50)}
    assert chosen == again
    assert len(set(chosen.values())) == 4


# -- who may -----------------------------------------------------------------------------------------------------------


def test_a_port_is_one_listeners():
    """inet_csk_bind_conflict: bind(2) fails beside a listener, with SO_REUSEADDR as well."""
    bare = Bare()
    first = stream(bare, SO_REUSEADDR=1)
    first.bind(("", PORT))
    first.listen(1)
    assert refused(stream(bare).bind, ("", PORT)) == "EADDRINUSE"
    assert refused(stream(bare, SO_REUSEADDR=1).bind, ("192.168.0.1", PORT)) == "EADDRINUSE"
    assert refused(stream(bare, SO_REUSEPORT=1).bind, ("", PORT)) == "EADDRINUSE"


def test_two_may_be_bound_and_one_may_listen():
    """SO_REUSEADDR: both are bound; who listens second fails."""
    bare = Bare()
    first, second = stream(bare, SO_REUSEADDR=1), stream(bare, SO_REUSEADDR=1)
    first.bind(("", PORT))
    second.bind(("", PORT))
    first.listen(1)
    assert refused(second.listen, 1) == "EADDRINUSE"


def test_different_addresses_or_devices_are_not_in_the_way():
    """Linux's inet_csk_bind_conflict: addresses that differ, and devices that differ, have the port each."""
    bare = Bare()
    bare.ns.add_address("tun0", "192.168.0.77/16", now=bare.now)
    one, other, wild = stream(bare), stream(bare), stream(bare)
    one.bind(("192.168.0.1", PORT))
    other.bind(("192.168.0.77", PORT))
    assert refused(wild.bind, ("", PORT)) == "EADDRINUSE"
    one.listen(1)
    other.listen(1)


def test_a_listener_of_both_families_is_in_the_way_of_both():
    """inet_rcv_saddr_equal: :: without IPV6_V6ONLY is 0.0.0.0, too."""
    bare = Bare()
    both = stream(bare, c.AF_INET6)
    both.bind(("::", PORT))
    assert refused(stream(bare).bind, ("", PORT)) == "EADDRINUSE"
    both.close()
    alone = stream(bare, c.AF_INET6)
    alone.setsockopt(c.SOL_IPV6, c.IPV6_V6ONLY, 1)
    alone.bind(("::", PORT))
    stream(bare).bind(("", PORT))


def test_a_connection_holds_the_port_of_its_listener():
    """inet_csk_bind_conflict: after the listener is closed, its connections keep others from the port, unless both
    have SO_REUSEADDR."""
    for reuse, outcome in ((0, "EADDRINUSE"), (1, "")):
        bare = Bare()
        sock = stream(bare, SO_REUSEADDR=reuse)
        sock.bind(("", PORT))
        sock.listen(5)
        bare.handshake(1)
        child, _ = sock.accept(now=bare.now)
        sock.close(now=bare.now)
        again = stream(bare, SO_REUSEADDR=reuse)
        if outcome:
            assert refused(again.bind, ("", PORT)) == outcome
        else:
            again.bind(("", PORT))
            again.listen(5)
            again.close()
        child.setsockopt(c.SOL_SOCKET, c.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
        child.close(now=bare.now)
        stream(bare).bind(("", PORT))


def test_ports_of_connections_are_shared_by_peers():
    """RFC 6056 3.3.3: with a single ephemeral port, each peer can still be connected to; a second time is
    EADDRNOTAVAIL, and so is listen(2)'s port (EADDRINUSE)."""
    bare = Bare()
    bare.ns.sysctl["net.ipv4.ip_local_port_range"] = "40000 40000"
    peers = [stream(bare) for _ in range(3)]
    for index, sock in enumerate(peers[:2]):
        assert sock.connect_ex((f"192.0.2.{index + 1}", 80)) == errno.EINPROGRESS
        assert sock.getsockname()[1] == 40000
    assert peers[2].connect_ex(("192.0.2.1", 80)) == errno.EADDRNOTAVAIL
    assert peers[2].connect_ex(("192.0.2.1", 81)) == errno.EINPROGRESS
    assert refused(stream(bare).bind, ("", 0)) == "EADDRINUSE"


def test_a_bound_port_cannot_make_a_connection_twice():
    """connect(2): the four numbers are one connection's: EADDRNOTAVAIL."""
    bare = Bare()
    pair = [stream(bare, SO_REUSEADDR=1) for _ in range(2)]
    for sock in pair:
        sock.bind(("", 5000))
    assert pair[0].connect_ex(("192.0.2.1", 80)) == errno.EINPROGRESS
    assert pair[1].connect_ex(("192.0.2.1", 80)) == errno.EADDRNOTAVAIL


# -- the end -----------------------------------------------------------------------------------------------------------


@both_families
def test_a_listener_that_is_closed_forgets_and_resets(version):
    """RFC 9293 3.10.4, inet_csk_listen_stop: half-open connections are forgotten, who waits is reset."""
    bare = Bare(version)
    sock = bare.listener()
    bare.send(SYN, sport=7)
    (answer,) = bare.sent()
    number = bare.handshake(1)
    bare.sent()
    sock.close(now=bare.now)
    bare.settle()
    assert [(told.port, told.flags & RST, told.seq) for told in bare.sent()] == [(1, RST, number + 1)]
    bare.send(ACK, sport=7, seq=1001, ack=answer.seq + 1)
    assert len(resets(bare.sent())) == 1
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    assert not table.connections
    assert not table.buckets
    assert bare.stack.timers.armed() == [timer for timer in bare.stack.timers.armed() if timer.kind < 15]


@both_families
def test_a_namespace_that_goes_leaves_nothing_armed(version):
    """RFC 9293 3.10.5: connections of every kind are aborted with their namespace."""
    bare = Bare(version)
    sock = bare.listener()
    bare.send(SYN, sport=7)
    bare.handshake(1)
    bare.handshake(2)
    child, _ = sock.accept(now=bare.now)
    child.close(now=bare.now)
    bare.stack.remove_netns("script", now=bare.now)
    bare.settle()
    assert [timer.kind for timer in bare.stack.timers.armed() if timer.kind >= 15] == []
