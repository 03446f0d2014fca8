"""ICMP errors about segments (RFC 1122 4.2.3.9, RFC 5927, RFC 5461, RFC 6069)."""

import errno

import pytest

from tests.path.tcp.bare import Bare
from tests.path.tcp.errors import connecting, established, report
from tests.path.tcp.receiving import both_families
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.tcp import ACK, SYN

# (type, code) by family.
PORT = {4: (3, 3), 6: (1, 4)}
HOST = {4: (3, 1), 6: (1, 3)}
NET = {4: (3, 0), 6: (1, 0)}
TOO_BIG = {4: (3, 4), 6: (2, 0)}
PARAMETER = {4: (12, 0), 6: (4, 0)}


@both_families
@pytest.mark.parametrize(
    ("kind", "code"),
    [(PORT, errno.ECONNREFUSED), (HOST, errno.EHOSTUNREACH), (NET, errno.ENETUNREACH), (PARAMETER, errno.EPROTO)],
)
def test_an_error_ends_what_is_not_established(version, kind, code):
    """RFC 1122 4.2.3.9 for hard ones, RFC 5461 4.1 for soft ones: connect(2) has the error at once."""
    bare, sock, packet = connecting(version)
    report(bare, kind, packet)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == code
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    assert not table.connections


@both_families
def test_an_error_about_another_number_is_not_believed(version):
    """RFC 5927 4.1: the number must be one that is under way."""
    bare, sock, packet = connecting(version)
    header = 40 if bare.six else 20
    wrong = bytearray(packet)
    wrong[header + 6] ^= 1
    report(bare, PORT, bytes(wrong))
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.EALREADY
    assert bare.stat("TcpOutOfWindowIcmps") == 1


@both_families
def test_an_error_that_quotes_too_little_is_nothing(version):
    """RFC 792 has 8 bytes quoted: without the number nothing can be believed."""
    bare, sock, packet = connecting(version)
    report(bare, PORT, packet, size=4)
    assert sock.connect_ex((bare.remote_text, 80), now=bare.now) == errno.EALREADY


@both_families
@pytest.mark.parametrize("kind", [PORT, HOST, PARAMETER])
def test_no_error_ends_a_connection(version, kind):
    """RFC 1122 4.2.3.9 (soft ones), RFC 5927 5.2 (hard ones, too): it goes on, and data arrive."""
    bare, child, packet = established(version)
    report(bare, kind, packet)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == 0
    bare.sent()
    bare.send(ACK, seq=1001, ack=child.tcb.snd_nxt & 0xFFFFFFFF, data=b"here")
    assert child.recv(10, now=bare.now) == b"here"


@both_families
def test_a_time_out_tells_the_error_that_came_before(version):
    """RFC 1122 4.2.3.9: information for the program, when it fails after all."""
    bare, child, packet = established(version, tcp_retries2=2)
    report(bare, HOST, packet)
    bare.run(30)
    with pytest.raises(OSError, match="No route to host") as caught:
        child.recv(10, now=bare.now)
    assert caught.value.errno == errno.EHOSTUNREACH


@both_families
def test_a_program_may_hear_of_errors_at_once(version):
    """IP_RECVERR, IPV6_RECVERR (Linux's tcp_v4_err): the errno waits, the connection stays."""
    bare, child, packet = established(version)
    if bare.six:
        child.setsockopt(c.SOL_IPV6, c.IPV6_RECVERR, 1)
    else:
        child.setsockopt(c.SOL_IP, c.IP_RECVERR, 1)
    report(bare, HOST, packet)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == errno.EHOSTUNREACH
    assert child.tcb.state == 1


@both_families
def test_a_half_open_connection_is_forgotten_when_its_peer_is_out_of_reach(version):
    """Linux's tcp_req_err: only with the SYN-ACK's own number."""
    bare = Bare(version)
    sock = bare.listener()
    bare.send(SYN)
    (live,) = bare.packets
    header = 40 if bare.six else 20
    wrong = bytearray(live.packet)
    wrong[header + 6] ^= 1
    kind = PARAMETER
    report(bare, kind, bytes(wrong))
    assert len(sock.half_open.requests) == 1
    report(bare, kind, live.packet)
    assert not sock.half_open.requests


@both_families
def test_a_narrow_path_is_learnt_and_what_was_too_large_goes_again(version):
    """RFC 1191 6.4, RFC 8201 5.4, RFC 5927 7: in smaller segments, at once, and the window is not reduced for it."""
    bare = Bare(version)
    sock = bare.listener()
    bare.handshake()
    child, _ = sock.accept(now=bare.now)
    child.tcb.peer_mss = 1400
    child.tcb.mss = 1400
    bare.sent()
    child.send(bytes(2800), now=bare.now)
    bare.settle()
    packet = bare.packets[0].packet
    bare.sent()
    cwnd = child.tcb.cwnd
    report(bare, TOO_BIG, packet, 1300)
    again = bare.sent()
    size = 1300 - (60 if bare.six else 40)
    assert child.tcb.mss == size
    assert again
    assert again[0].seq == child.tcb.snd_una & 0xFFFFFFFF
    assert child.tcb.cwnd == cwnd
    ip = bare.ns.ip6 if bare.six else bare.ns.ip4
    route = ip.lookup(bare.remote)
    assert ip.path_mtu(route, bare.remote, bare.now) == 1300


@both_families
def test_a_narrow_path_that_nobody_sent_by_is_not_learnt(version):
    """RFC 5927 7.1: a number that is not under way: neither the connection nor the path believes it."""
    bare, child, packet = established(version)
    header = 40 if bare.six else 20
    wrong = bytearray(packet)
    wrong[header + 5] ^= 1
    mss = child.tcb.mss
    report(bare, TOO_BIG, bytes(wrong), 1300)
    assert child.tcb.mss == mss
    ip = bare.ns.ip6 if bare.six else bare.ns.ip4
    assert ip.path_mtu(ip.lookup(bare.remote), bare.remote, bare.now) > 1300


@both_families
def test_an_interrupted_path_takes_back_off_away(version):
    """RFC 6069 4.2: each report about the segment that stands first undoes one doubling of the timeout."""
    bare, child, packet = established(version)
    tcb = child.tcb
    bare.run(10)
    before = tcb.backoff
    assert before >= 2
    rto = tcb.rto
    report(bare, HOST, packet)
    assert tcb.backoff == before - 1
    assert tcb.rto == rto // 2
