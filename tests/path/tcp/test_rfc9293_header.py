"""What stands in headers: windows, options of any kind and length, resets with a text (RFC 9293 3.1, 3.2, 3.5.3)."""

from __future__ import annotations

import pytest

from tests.path.tcp.bare import Bare, resets
from tests.path.tcp.scripted import accepted, play
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.checksum import checksum
from vrouter.stack.wire.tcp import ACK, FIN, PSH, RST, SYN
from vrouter.testing.packetdrill.segments import split_options

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])
MSS, SCALE, PERMITTED = bytes((2, 4, 5, 180)), bytes((3, 3, 7)), bytes((4, 2))
UNKNOWN = bytes((77, 6, 1, 2, 3, 4))


def established(version, **sysctls):
    """A namespace, and the socket of a connection whose next numbers are 1001 and what is told."""
    world = Bare(version, **sysctls)
    ear = world.listener()
    number = world.handshake() + 1
    return world, ear.accept(now=world.now)[0], number


@both
def test_a_window_is_unsigned(version):
    """RFC 9293 3.1 (MUST-1): 40000 is a window of 40000 bytes, not one below zero; it is filled to the last of them."""
    script = (
        accepted(window=40000, before="+0 setsockopt(3, SOL_SOCKET, SO_SNDBUF, [200000], 4) = 0")
        + """
    +0 write(4, ..., 100000) = 100000
    +0 > P. 1:10001(10000) ack 1
    +.1 < . 1:1(0) ack 10001 win 40000
    +0 > P. 10001:30001(20000) ack 1
    +.1 < . 1:1(0) ack 30001 win 40000
    +0 > P. 30001:70001(40000) ack 1
    +0 %{ assert tcpi_snd_wnd == 40000 }%
    """
    )
    assert play(script, version) == ""


def test_a_window_has_32_bits():
    """RFC 9293 3.1 (REC-1), RFC 7323 2.2: 65535 by a scale of 14 are 1073725440 bytes."""
    script = (
        accepted().replace("wscale 0", "wscale 14")
        + """
    +0 %{ assert tcpi_snd_wnd == 1073725440 }%
    """
    )
    assert play(script) == ""


@both
@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | FIN])
def test_options_may_be_in_any_segment(version, flags):
    """RFC 9293 3.1 (MUST-5, MUST-6): one that nobody knows, an MSS where none belongs: the segment counts as it is."""
    world, sock, number = established(version)
    data = b"four" if flags & PSH else b""
    world.send(flags, seq=1001, ack=number, data=data, options=UNKNOWN + MSS + b"\0\0")
    world.run(1)
    taken = len(data) + bool(flags & FIN)
    assert [(s.flags, s.ack) for s in world.sent()] == ([(ACK, 1001 + taken)] if taken else [])
    if taken:
        assert sock.recv(10, now=world.now) == data


@both
def test_an_option_that_nobody_knows_is_passed_over(version):
    """RFC 9293 3.1 (MUST-6, MUST-68): by its length; those behind it count."""
    world = Bare(version)
    world.listener()
    world.send(SYN, options=UNKNOWN + MSS + PERMITTED)
    (answer,) = world.sent()
    assert answer.flags == SYN | ACK
    assert (4, b"") in split_options(answer.options)


@both
@pytest.mark.parametrize("size", [0, 1, 200, 255])
@pytest.mark.parametrize("kind", [2, 3, 5, 8, 34, 77])
def test_a_length_that_cannot_be_ends_the_list(version, kind, size):
    """RFC 9293 3.1 (MUST-7): what stood before it counts, the segment is taken, and nobody is harmed."""
    world = Bare(version)
    world.listener()
    world.send(SYN, options=PERMITTED + bytes((kind, size)) + MSS)
    (answer,) = world.sent()
    assert answer.flags == SYN | ACK
    assert [number for number, _ in split_options(answer.options)].count(4) == 1
    world.send(ACK, seq=1001, ack=answer.seq + 1)
    world.send(ACK | PSH, seq=1001, ack=answer.seq + 1, data=b"data", options=bytes((1, 1, kind, size)))
    world.run(1)
    assert [(s.flags, s.ack) for s in world.sent()] == [(ACK, 1005)]
    assert world.drops() == {}


@both
@pytest.mark.parametrize("at", range(4))
def test_options_need_no_alignment(version, at):
    """RFC 9293 3.2 (MUST-64): an MSS of 1000 bytes at any octet is one: segments are so large."""
    world = Bare(version)
    ear = world.listener()
    world.handshake(options=bytes((1,)) * at + bytes((2, 4, 3, 232)) + bytes((1,)) * (4 - at))
    sock = ear.accept(now=world.now)[0]
    assert sock.getsockopt(c.SOL_TCP, c.TCP_MAXSEG) == 1000


@both
def test_an_mss_is_told_in_a_syn_alone(version):
    """RFC 9293 3.2 (MUST-65, SHLD-5, MAY-3): every SYN has it, nothing else has, from the first segment to the last."""
    world = Bare(version)
    ear = world.listener()
    world.send(SYN, options=MSS + PERMITTED)
    (answer,) = world.packets
    number = answer.seq + 1
    world.send(ACK, seq=1001, ack=number)
    sock = ear.accept(now=world.now)[0]
    sock.send(b"x" * 3000, now=world.now)
    world.settle()
    world.send(ACK, seq=1005, ack=number + 3000, data=b"beyond")
    sock.close(now=world.now)
    world.settle()
    world.run(2)
    told = [(s.flags & SYN, 2 in [kind for kind, _ in split_options(s.options)]) for s in world.sent()]
    assert told[0] == (SYN, True)
    assert set(told[1:]) == {(0, False)}
    assert len(told) > 4


@both
@pytest.mark.parametrize("options", [b"", MSS, MSS + SCALE, MSS + PERMITTED, MSS + PERMITTED + SCALE])
def test_behind_the_end_of_the_list_are_zeros(version, options):
    """RFC 9293 3.1 (MUST-69): what is sent is whole words; if anything follows an end of the list it is zero."""
    world = Bare(version)
    world.listener()
    world.send(SYN, options=options + bytes(-len(options) % 4))
    (answer,) = world.sent()
    kinds = [kind for kind, _ in split_options(answer.options)]
    assert len(answer.options) % 4 == 0
    assert set(kinds[kinds.index(0) :] if 0 in kinds else ()) <= {0}


@both
@pytest.mark.parametrize("size", [1, 40, 1000])
def test_a_reset_may_say_why(version, size):
    """RFC 9293 3.5.3 (SHLD-2): a RST with data is a RST; the data are nobody's."""
    world, sock, number = established(version)
    world.send(RST | ACK, seq=1001, ack=number, data=b"x" * size)
    assert world.sent() == []
    with pytest.raises(ConnectionResetError):
        sock.recv(10, now=world.now)


@pytest.mark.parametrize(
    "options",
    [b"\x01\x01\x01\x00", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\x00\0\0\0\0", b"\x94\x04\0\0", b"\x5e\x04\1\2"],
    ids=["nop", "record route", "timestamp", "router alert", "unknown"],
)
def test_ip_options_are_nothing_to_tcp(options):
    """RFC 9293 3.9.2.1 (MUST-50): the segment behind them is as any other, and the answer has none."""
    world, sock, number = established("ipv4")
    plain = world.packet(ACK | PSH, seq=1001, ack=number, data=b"data")
    header = bytearray(plain[:20] + options)
    header[0] = 0x40 | len(header) // 4
    header[2:4] = (len(plain) + len(options)).to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum(header, 0, len(header)).to_bytes(2, "big")
    world.inject(bytes(header) + plain[20:])
    assert sock.recv(10, now=world.now) == b"data"
    world.run(1)
    assert [(s.flags, s.ack) for s in world.sent()] == [(ACK, 1005)]


def test_a_source_route_is_refused():
    """RFC 7126 4.3.5, in place of RFC 9293 3.9.2.1 (MUST-51 to MUST-53): a SYN with one begins nothing."""
    world = Bare("ipv4")
    world.listener()
    plain = world.packet(SYN)
    route = b"\x83\x07\x08\x0a\0\0\1\0"
    header = bytearray(plain[:20] + route)
    header[0] = 0x47
    header[2:4] = (len(plain) + len(route)).to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum(header, 0, len(header)).to_bytes(2, "big")
    world.inject(bytes(header) + plain[20:])
    assert world.sent() == []
    assert world.drops() == {"IP_OPTIONS": 1}


@both
def test_the_program_chooses_ttl_and_class(version):
    """RFC 9293 3.9.1.9 (MUST-48, SHLD-21, SHLD-22), 3.9.2 (MUST-49): of what is sent from then on, without a change."""
    world, sock, _ = established(version)
    seen = []
    for hops, tos in ((64, 0), (9, 0x28)):
        if world.six:
            sock.setsockopt(c.SOL_IPV6, c.IPV6_UNICAST_HOPS, hops, now=world.now)
            sock.setsockopt(c.SOL_IPV6, c.IPV6_TCLASS, tos, now=world.now)
        else:
            sock.setsockopt(c.SOL_IP, c.IP_TTL, hops, now=world.now)
            sock.setsockopt(c.SOL_IP, c.IP_TOS, tos, now=world.now)
        sock.send(b"data", now=world.now)
        world.settle()
        packet = world.packets[-1].packet
        seen.append((packet[7], (packet[0] & 15) << 4 | packet[1] >> 4) if world.six else (packet[8], packet[1]))
        world.send(ACK, seq=1001, ack=(world.sent()[-1].seq + 4) & 0xFFFFFFFF)
    assert seen == [(64, 0), (9, 0x28)]


@both
def test_every_segment_is_reset_that_belongs_to_nobody(version):
    """RFC 9293 3.10.7.1 with any option: an illegal one does not keep the answer away, which has none."""
    world = Bare(version)
    for options in (bytes((8, 0, 1, 1)), b"\x01\x01\x08\x0a\0\0\0\1\0\0\0\2"):
        world.send(ACK, ack=77, options=options, dport=9)
        assert [(s.flags, s.seq, s.options) for s in resets(world.sent())] == [(RST, 77, b"")]
