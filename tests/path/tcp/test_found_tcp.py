"""What attackers and unlucky peers may do to TCP: each test holds a promise that once was broken."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.path.tcp.bare import Bare
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.reorder import OutOfOrder
from vrouter.stack.l4.tcp.scoreboard import RETRANS
from vrouter.stack.wire.tcp import ACK, RST, SYN
from vrouter.testing.packetdrill.world import _MAC, _PEER

MSS_AND_SACK = bytes((2, 4, 5, 0xB4, 4, 2, 1, 1))


def test_a_reset_after_the_latest_ranges_were_filled() -> None:
    """RFC 5961 3.2: a reset inside the window is answered with a challenge ACK, also when all ranges that grew last
    have been filled and older ones are left."""
    world = Bare()
    world.listener()
    ack = world.handshake(options=MSS_AND_SACK) + 1
    for start in [*range(20001, 22401, 200), *range(2001, 3601, 200)]:
        world.send(ACK, seq=start, ack=ack, data=bytes(100))
    world.send(ACK, seq=1001, ack=ack, data=bytes(3000))
    (tcb,) = world.ns.tcp.connections.values()
    assert (len(tcb.ooo.ranges), len(tcb.ooo.recent)) == (12, 0)
    world.sent()
    world.send(RST, seq=9000)
    (answer,) = world.sent()
    assert (answer.flags, answer.ack) == (ACK, 4001)


def test_what_nobody_read_of_a_connection_that_was_reset_is_given_back() -> None:
    """tcp(7) tcp_mem: memory is counted until the data go, which is when the socket is closed; whether the program has
    the connection, or it waits in its listener's queue."""
    world = Bare()
    listener = world.listener()
    memory = world.ns.tcp_state
    for sport in (40000, 40001):
        ack = world.handshake(sport) + 1
        world.send(ACK, sport=sport, seq=1001, ack=ack, data=bytes(1000))
    child, _ = listener.accept(now=world.now)
    for sport in (40000, 40001):
        world.send(RST, sport=sport, seq=2001)
    assert memory.memory == 2000
    child.close(now=world.now)
    assert memory.memory == 1000
    listener.close(now=world.now)
    assert memory.memory == 0


def test_a_user_timeout_behind_a_window_that_the_peer_took_back() -> None:
    """RFC 5482, RFC 9293 3.8.6: a peer that answers with a closed window keeps the connection, also beyond the user
    timeout; what it took back is tried at the pace of RFC 6298 5.5, and not in a loop."""
    world = Bare()
    listener = world.listener()
    ack = world.handshake() + 1
    sock, _ = listener.accept(now=world.now)
    sock.setsockopt(c.SOL_TCP, c.TCP_USER_TIMEOUT, 2000, now=world.now)
    sock.send(bytes(1000), now=world.now)
    world.sent()
    times = []
    for _ in range(120):
        world.send(ACK, seq=1001, ack=ack, window=0)
        world.run(0.1)
        times += [world.now] * len(world.sent())
    assert sock.state_name == "ESTAB"
    assert 4 <= len(times) <= 7


def test_tiny_pieces_beyond_a_gap_cost_what_they_carry() -> None:
    """RFC 9293 3.10.7.4 lets data beyond a gap be kept; ten thousand segments of two bytes, from either end of a range
    on, take no more memory than they are charged with, and a range of them no more pieces than a few."""
    for order in (range(100_000, 120_000, 2), range(120_000, 100_000, -2)):
        ooo = OutOfOrder()
        tracemalloc.start()
        for start in order:
            ooo.insert(start, start + 2, start.to_bytes(3, "big")[1:], False)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        (one,) = ooo.ranges
        assert used < 2 * ooo.charged
        assert len(one.chunks) <= 3
        expected = b"".join(start.to_bytes(3, "big")[1:] for start in sorted(order))
        assert b"".join(one.chunks) == expected


def test_a_syn_by_another_device_does_not_take_the_place_of_a_connection() -> None:
    """SO_BINDTODEVICE: what comes by another device is not for the connection, and does not end it either."""
    world = Bare()
    other = world.ns.add_device("other", mac=_MAC, mtu=1500, now=world.now)
    world.ns.add_address("other", "10.9.9.1/24", now=world.now)
    for name in ("all", "tun0", "other"):
        world.ns.sysctl[f"net.ipv4.conf.{name}.rp_filter"] = 0
    bound = world.listener(SO_BINDTODEVICE=b"tun0", SO_REUSEPORT=1)
    world.listener(SO_REUSEPORT=1)
    ack = world.handshake() + 1
    sock, _ = bound.accept(now=world.now)
    world.stack.receive(other, _MAC + _PEER + b"\x08\x00" + world.packet(SYN, seq=77), world.now)
    assert other.drops[DropReason.NO_SOCKET] == 1
    world.send(ACK, seq=1001, ack=ack, data=b"hello")
    assert sock.recv(10, now=world.now) == b"hello"


def test_a_probe_that_the_window_held_back_is_forgotten_when_its_data_arrive() -> None:
    """RFC 8985 7.3, RFC 6675 4: what is SACKed is not sent again, also when a tail loss probe was to send it and the
    peer's window, which had gone back, kept it here; and nothing of it counts as being in flight."""
    world = Bare()
    listener = world.listener()
    world.send(SYN, options=bytes((2, 4, 3, 0xE8, 4, 2, 1, 1)))
    (answer,) = world.sent()
    ack = answer.seq + 1
    world.run(0.02)  # the round trip
    world.send(ACK, seq=1001, ack=ack)
    sock, _ = listener.accept(now=world.now)
    sock.send(bytes(3000), now=world.now)
    world.send(ACK, seq=1001, ack=ack, data=b"x")
    world.send(ACK, seq=1002, ack=ack, window=1000)
    world.run(0.1)  # the probe is due, and may not leave
    board = sock.tcb.sent
    assert board.force is not None
    world.sent()
    blocks = ((ack + 2000) % 2**32).to_bytes(4, "big") + ((ack + 3000) % 2**32).to_bytes(4, "big")
    world.send(ACK, seq=1002, ack=ack, options=bytes((1, 1, 5, 10)) + blocks, window=65535)
    world.run(0.05)
    assert all((one.seq - ack) % 2**32 < 2000 for one in world.sent())
    assert board.sacked == 1000
    assert board.retrans == sum(one.end - one.start for one in board.ranges[:-1] if one.flags & RETRANS)
    assert board.probe == 0


def test_what_came_before_the_peer_went_silent_can_be_read() -> None:
    """SO_KEEPALIVE, socket(7): the error of a connection that keep-alive gave up comes after the data that are here."""
    world = Bare()
    listener = world.listener(SO_KEEPALIVE=1, TCP_KEEPIDLE=1, TCP_KEEPINTVL=1, TCP_KEEPCNT=2)
    ack = world.handshake() + 1
    sock, _ = listener.accept(now=world.now)
    world.send(ACK, seq=1001, ack=ack, data=b"hello")
    world.sent()
    world.run(10)
    assert world.sent()[-1].flags == RST | ACK
    assert sock.recv(10, now=world.now) == b"hello"
    with pytest.raises(TimeoutError):
        sock.recv(10, now=world.now)
    assert sock.recv(10, now=world.now) == b""
    sock.close(now=world.now)
    assert world.ns.tcp_state.memory == 0
