"""The lab's own TCP: connections that it drives, transfers whose bytes it compares, losses by the bytes of a stream.

a ── b (hosts, 10 ms each way)
"""

import errno
from struct import pack

import pytest

from vrouter.stack.base.counters import Stat
from vrouter.stack.wire import tcp
from vrouter.testing import Lab, LabError, Pattern, frames, transfer
from vrouter.testing.byte_loss import ByteLoss
from vrouter.testing.tcp_flow import PIECE

MS = 1_000_000


@pytest.fixture
def pair(lab: Lab):
    """The hosts, and the wire between them."""
    a, b = lab.line("a", "b", delay=0.01)
    return a, b, lab.wires[0]


def connected(a, b, port=80, host=None):
    listener = b.tcp_listen(port)
    client = a.tcp_connect(host or b, port)
    return client, listener.accept()


# Connections ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_data_both_ways(lab, pair, family):
    """A listener serves both families; what is sent is received, and a FIN ends it."""
    a, b, _ = pair
    client, server = connected(a, b, host=b.addr if family == 4 else b.addr6)
    assert lab.now == 30 * MS  # SYN, SYN-ACK, ACK
    client.send(b"hello")
    assert server.recv(5) == b"hello"
    assert lab.now == 40 * MS
    server.send(b"and back")
    assert client.recv(3) == b"and"
    assert client.recv(5) == b" back"
    client.finish()
    assert server.recv(1) == b""
    assert server.eof
    assert (server.error, client.over) == (None, False)
    assert client.peer[1] == 80
    assert client.local == server.peer or server.peer[0] == f"::ffff:{client.local[0]}"


def test_an_address_alone(lab, pair):
    """A listener on one address, a client that comes from one."""
    a, b, _ = pair
    listener = b.tcp_listen(80, b.addr)
    client = a.tcp_connect(b, 80, src=a.addr)
    server = listener.accept()
    assert (client.peer, server.peer) == ((b.addr, 80), client.local)
    assert client.local[0] == a.addr


def test_nobody_listens(lab, pair):
    """RFC 9293 3.10.7.1: a reset answers, which is ECONNREFUSED."""
    a, b, _ = pair
    with pytest.raises(ConnectionRefusedError):
        a.tcp_connect(b, 80)


def test_nobody_answers(lab, pair):
    """A connection that is not there in time is given up."""
    a, b, wire = pair
    wire.cut()
    with pytest.raises(OSError) as caught:
        a.tcp_connect(b, 80, timeout=3)
    assert isinstance(caught.value, TimeoutError) or caught.value.errno in (errno.ENETUNREACH, errno.ENETDOWN)


def test_nothing_comes(lab, pair):
    """`recv` and `accept` wait in the lab's time, and not for ever."""
    a, b, _ = pair
    client, _ = connected(a, b)
    began = lab.now
    with pytest.raises(TimeoutError, match="0 of 1 bytes"):
        client.recv(1, timeout=2)
    assert lab.now == began + 2_000 * MS
    with pytest.raises(TimeoutError, match="nobody connected"):
        b.tcp_listen(81).accept(timeout=1)


def test_a_reset_is_told(lab, pair):
    """ECONNRESET ends `recv`: the peer closed with data unread (RFC 9293 3.6, RFC 2525 2.17)."""
    a, b, _ = pair
    client, server = connected(a, b)
    server.read(False)
    client.send(b"never read")
    lab.run_for(0.1)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_congestion_control_is_chosen(lab, pair):
    """TCP_CONGESTION of a client and of what a listener accepts."""
    a, b, _ = pair
    listener = b.tcp_listen(80, congestion="bbr")
    client = a.tcp_connect(b, 80, congestion="reno")
    assert (client.socket.tcb.cc.name, listener.accept().socket.tcb.cc.name) == ("reno", "bbr")


# Transfers ------------------------------------------------------------------------------------------------------------


def test_a_transfer(lab, pair):
    """Its size, its time, and so its rate; both directions of a connection, one after the other."""
    a, b, wire = pair
    wire.set(rate=10_000_000)
    client, server = connected(a, b)
    done = transfer(client, server, 1_000_000, seed=5)
    assert done.size == server.taken == client.given == 1_000_000
    assert 8.5e6 < done.rate < 9.5e6
    back = transfer(server, client, 100_000)
    assert (client.taken, back.size) == (100_000, 100_000)
    with pytest.raises(LabError, match="carried nothing"):
        transfer(client, server, 1)


def test_a_transfer_that_stands_still(lab, pair):
    """It says how far it came."""
    a, b, wire = pair
    client, server = connected(a, b)
    lab.after(0.005, wire.cut)
    with pytest.raises(TimeoutError, match="0 of 1000000 bytes"):
        transfer(client, server, 1_000_000, timeout=5)


def test_a_wrong_byte_is_found(lab, pair):
    """A difference between what is sent and what comes ends the test that made it."""
    a, b, _ = pair
    client, server = connected(a, b)
    pattern = Pattern(1)
    server.expect(pattern)
    data = bytearray(pattern.piece(0, 1000))
    data[617] ^= 1
    client.send(bytes(data))
    with pytest.raises(LabError, match="what came is not what was sent"):
        lab.run_for(1)


def test_patterns():
    """A pattern is the same for its seed, agrees with itself at every offset, and nowhere else."""
    one, other = Pattern(1), Pattern(2)
    whole = b"".join(bytes(one.piece(at, 1000)) for at in range(0, 400_000, 1000))
    assert one.agrees(0, whole)
    assert one.agrees(399_000, whole[399_000:])
    assert not one.agrees(1, whole[:100])
    assert not other.agrees(0, whole[:16])
    assert len(one.piece(65_520, 1 << 30)) == PIECE


# Losses by bytes ------------------------------------------------------------------------------------------------------


def test_the_first_transmission_of_a_range_is_lost(lab, pair):
    """Every segment that carries any of the bytes, once each; what is sent again arrives."""
    a, b, wire = pair
    rule = wire.towards(b).lose_bytes(1448, 1448 * 3)
    client, server = connected(a, b)
    transfer(client, server, 100_000)
    assert rule.lost == wire.towards(b).stats.lost == 2
    assert a.ns.stats[Stat.TcpRetransSegs] == 2


def test_the_second_transmission_is_lost(lab, pair):
    """``nth`` counts the transmissions of each byte."""
    a, b, wire = pair
    end = wire.towards(b)
    rules = [end.lose_bytes(0, 1448, nth=nth) for nth in (1, (2, 3))]
    client, server = connected(a, b)
    transfer(client, server, 50_000)
    assert [rule.lost for rule in rules] == [1, 2]
    assert a.ns.stats[Stat.TcpRetransSegs] >= 3


def test_streams_are_told_apart(lab, pair):
    """By port, and each flow counts its own bytes."""
    a, b, wire = pair
    rule = wire.towards(b).lose_bytes(0, 1448, port=81)
    listeners = {port: b.tcp_listen(port) for port in (80, 81)}
    for port, lost in ((80, 0), (81, 1), (80, 1), (81, 2)):
        client = a.tcp_connect(b, port)
        transfer(client, listeners[port].accept(), 10_000)
        assert rule.lost == lost


def test_the_other_direction_is_another(lab, pair):
    """A rule is of one direction: ACKs carry no bytes of the stream."""
    a, b, wire = pair
    rule = wire.towards(a).lose_bytes(0, 1 << 30)
    client, server = connected(a, b)
    transfer(client, server, 10_000)
    assert rule.lost == 0


def segment(start, size, flags=tcp.ACK, sport=1000):
    """A frame with `size` bytes from `start` of a stream that began at 2**32 - 10."""
    numbers = pack("!HHIIBB", sport, 80, (start - 9) % (1 << 32), 0, 0x50, flags)
    packet = frames.ipv4("10.0.1.1", "10.0.1.2", frames.TCP, numbers + bytes(6 + size))
    return frames.ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", 0x0800, packet)


def test_counting():
    """Parts that were sent in other segments are counted byte by byte, over the wrap of the numbers; the first byte of
    the range decides for its segment."""
    rule = ByteLoss(100, 200, 2)
    assert not rule.takes(segment(-1, 0, tcp.SYN))
    assert not rule.takes(segment(0, 100))
    assert not rule.takes(segment(50, 100))  # 100..150: once
    assert rule.takes(segment(120, 60))  # 120..150 twice, 150..180 once
    assert not rule.takes(segment(100, 10, sport=1001))  # another flow
    assert not rule.takes(segment(180, 20))
    assert rule.takes(segment(150, 10))
    assert not rule.takes(segment(120, 10))  # a third time
    assert not rule.takes(segment(200, 10))
    assert rule.takes(segment(199, 500))
    assert rule.lost == 3


@pytest.mark.parametrize("nonsense", [(5, 5), (6, 5), (-1, 5)])
def test_no_range(nonsense):
    """A range has a byte at least, and begins with 0."""
    with pytest.raises(ValueError, match="no range"):
        ByteLoss(*nonsense)


def test_other_frames_pass():
    """ARP, UDP, fragments, cut frames: nothing of a stream."""
    rule = ByteLoss(0, 1 << 31)
    whole = segment(0, 100)
    assert rule.takes(whole)
    rule = ByteLoss(0, 1 << 31)
    for cut in (0, 12, 14, 20, 33, 34, 53):
        assert not rule.takes(whole[:cut])
    fragment = bytearray(whole)
    fragment[20] |= 0x20
    assert not rule.takes(bytes(fragment))
    udp = bytearray(whole)
    udp[23] = 17
    assert not rule.takes(bytes(udp))
