"""A hundred thousand SYNs from anywhere: connections go on, new ones come about, and memory does not grow."""

import random

from tests.path.tcp.bare import Bare
from tests.path.tcp.receiving import both_families
from vrouter.stack.wire.tcp import ACK, SYN, syn_options

FLOOD = 100_000
SAMPLE = 20_000  # of IPv6, where the same body runs


@both_families
def test_a_flood(version):
    """RFC 4987: no more is kept than the backlog; a connection that is there sends and receives; a real client that
    comes in the midst of it gets its connection."""
    bare = Bare(version)
    sock = bare.listener(backlog=128)
    number = bare.handshake(1)
    old, _ = sock.accept(now=bare.now)
    chance = random.Random(7)
    bits = 128 if bare.six else 32
    # 2000::/3, and unicast addresses of IPv4 that are not this net's
    first = 1 << 125 if bare.six else 1 << 24
    bound = 0
    count = SAMPLE if bare.six else FLOOD
    table = bare.ns.tcp6 if bare.six else bare.ns.tcp
    template = bytearray(bare.packet(SYN, options=syn_options(1460)))
    offset = 8 if bare.six else 12
    width = bits // 8
    for index in range(count):
        # Only the source differs; what the checksum of the segment loses by it, its last word gets back.
        src = (first + chance.getrandbits(bits - 5)).to_bytes(width, "big")
        bare.inject(_from(template, offset, src, bare.six))
        if not index % 1000:
            bare.sent()
            bound = max(bound, len(table.connections))
        if index == count // 2:
            new = bare.handshake(2)
            bare.send(ACK, sport=2, seq=1001, ack=new + 1, data=b"new")
    bare.sent()
    assert bound <= 2 + 129
    assert len(sock.half_open.requests) <= 129
    child, _ = sock.accept(now=bare.now)
    assert child.recv(10, now=bare.now) == b"new"
    bare.send(ACK, sport=1, seq=1001, ack=number + 1, data=b"old")
    assert old.recv(10, now=bare.now) == b"old"
    assert bare.stat("TcpSyncookiesSent") >= count - 2 * 129
    bare.run(70)
    assert len(table.connections) == 2
    assert bare.ns.tcp_state.memory == 0


def _from(template, offset, src, six):
    """`template` with another source address and checksums that fit."""
    packet = bytearray(template)
    before = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(offset, offset + len(src), 2))
    packet[offset : offset + len(src)] = src
    after = sum(int.from_bytes(src[at : at + 2], "big") for at in range(0, len(src), 2))
    places = [40 + 16] if six else [10, 20 + 16]
    for place in places:
        value = (int.from_bytes(packet[place : place + 2], "big") + before - after) % 65535
        packet[place : place + 2] = value.to_bytes(2, "big")
    return bytes(packet)
