"""Who may open what, from which address, and who is not heard (RFC 9293 3.9.1.1, 3.9.2.3)."""

from __future__ import annotations

import errno

import pytest

from tests.path.tcp.bare import Bare
from vrouter.stack.base.addresses import parse_address
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.tcp import ACK, PSH, RST, SYN

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])


def socket(world):
    """A stream socket of the world's family."""
    return world.ns.socket(c.AF_INET6 if world.six else c.AF_INET, c.SOCK_STREAM)


@both
def test_a_passive_open_leaves_connections_alone(version):
    """RFC 9293 3.9.1.1 (MUST-41): a listener that comes later on the same port takes nothing from who was there."""
    world = Bare(version)
    ear = world.listener(SO_REUSEADDR=1)
    number = world.handshake() + 1
    child = ear.accept(now=world.now)[0]
    ear.close(now=world.now)
    other = world.listener(SO_REUSEADDR=1)
    world.send(ACK | PSH, seq=1001, ack=number, data=b"data")
    assert child.recv(10, now=world.now) == b"data"
    with pytest.raises(BlockingIOError):
        other.accept(now=world.now)
    world.handshake(sport=40001)
    assert other.accept(now=world.now)[0].getpeername()[1] == 40001


@both
def test_listening_where_a_connection_begins(version):
    """RFC 9293 3.9.1.1 (MUST-42): on a port from which somebody is in SYN-SENT, and with one in SYN-RECEIVED."""
    world = Bare(version)
    client = socket(world)
    client.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1, now=world.now)
    client.bind(("", 8080), now=world.now)
    assert client.connect_ex((world.remote_text, 80), now=world.now) == errno.EINPROGRESS
    ear = world.listener(SO_REUSEADDR=1)
    world.settle()
    (syn,) = world.sent()
    assert (client.state_name, ear.state_name) == ("SYN-SENT", "LISTEN")
    world.send(SYN, sport=40000)
    ear.close(now=world.now)
    again = world.listener(SO_REUSEADDR=1)
    world.sent()
    world.send(SYN | ACK, sport=80, ack=syn.seq + 1)
    assert client.state_name == "ESTAB"
    world.handshake(sport=40001)
    assert again.accept(now=world.now)[0].getpeername()[1] == 40001


@both
def test_ip_is_asked_for_the_address_of_a_syn(version):
    """RFC 9293 3.9.1.1 (MUST-44): the route's; (MUST-43): unless the program has chosen one, which each segment has."""
    world = Bare(version)
    second = "fd3d:a0b:17d6::77" if world.six else "192.168.0.77"
    world.ns.add_address("tun0", f"{second}/{48 if world.six else 16}", now=world.now)
    plain, chosen = socket(world), socket(world)
    chosen.bind((second, 0), now=world.now)
    for sock in (plain, chosen):
        assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.EINPROGRESS
    world.settle()
    assert plain.getsockname()[0] == world.local_text
    assert chosen.getsockname()[0] == second
    at, width = (8, 16) if world.six else (12, 4)
    sources = [int.from_bytes(live.packet[at : at + width], "big") for live in world.packets]
    assert sources == [world.local, parse_address(second)[1]]


@both
def test_an_answer_comes_from_where_it_was_asked(version):
    """RFC 9293 3.9.1.1 (MUST-45): a listener on any address keeps to the one that the SYN named."""
    world = Bare(version)
    ear = world.listener()
    second = "fd3d:a0b:17d6::77" if world.six else "192.168.0.77"
    world.ns.add_address("tun0", f"{second}/{48 if world.six else 16}", now=world.now)
    world.local = parse_address(second)[1]
    number = world.handshake() + 1
    child = ear.accept(now=world.now)[0]
    child.send(b"data", now=world.now)
    world.settle()
    at, width = (8, 16) if world.six else (12, 4)
    assert int.from_bytes(world.packets[-1].packet[at : at + width], "big") == world.local
    assert world.packets[-1].seq == number
    assert child.getsockname()[0] == second


@pytest.mark.parametrize("flags", [SYN, ACK, RST, SYN | ACK])
@pytest.mark.parametrize(
    ("version", "target"),
    [
        ("ipv4", "255.255.255.255"), ("ipv4", "192.168.255.255"), ("ipv4", "224.0.0.1"), ("ipv6", "ff02::1"),
        ("ipv6", "ff02::1:ff00:1"),
    ],
)  # fmt: skip
def test_nothing_to_many_is_heard(version, target, flags):
    """RFC 9293 3.9.2.3 (MUST-57), 3.10.7.1: a segment to a broadcast or multicast address is silently discarded."""
    world = Bare(version)
    world.listener()
    world.local = parse_address(target)[1]
    before = world.others
    world.send(flags)
    assert (world.sent(), world.others) == ([], before)
    assert sum(world.drops().values()) == 1
    assert not (world.ns.tcp6 if world.six else world.ns.tcp).connections


@pytest.mark.parametrize(
    ("version", "source"),
    [
        ("ipv4", "255.255.255.255"), ("ipv4", "192.168.255.255"), ("ipv4", "224.0.0.1"), ("ipv4", "0.0.0.0"),
        ("ipv4", "127.0.0.1"), ("ipv6", "ff02::1"), ("ipv6", "::1"), ("ipv6", "::"),
    ],
)  # fmt: skip
def test_a_syn_of_nobody_is_ignored(version, source):
    """RFC 9293 3.9.2.3 (MUST-63): a SYN whose source cannot be one: no answer, and nothing is kept."""
    world = Bare(version)
    world.listener()
    before = world.others
    world.remote = parse_address(source)[1]
    world.send(SYN)
    assert (world.sent(), world.others) == ([], before)
    assert sum(world.drops().values()) == 1
    assert not (world.ns.tcp6 if world.six else world.ns.tcp).connections
