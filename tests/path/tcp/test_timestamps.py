"""When timestamps and window scales are there, and when they count (RFC 7323 1.3, 2, 3)."""

from __future__ import annotations

import pytest

from tests.path.tcp.bare import Bare
from tests.path.tcp.receiving import STAMPED, both_families, passes
from tests.path.tcp.scripted import accepted, play
from vrouter.stack.wire.tcp import ACK, FIN, PSH, RST, SYN
from vrouter.testing.packetdrill.segments import split_options


def stamp(value, echo):
    """The option, by words."""
    return b"\x01\x01\x08\x0a" + value.to_bytes(4, "big") + echo.to_bytes(4, "big")


def stamps_of(live):
    """(value, echo) of a segment that was sent."""
    for kind, value in split_options(live.options):
        if kind == 8:
            return int.from_bytes(value[:4], "big"), int.from_bytes(value[4:], "big")
    return None


@both_families
def test_every_segment_has_one_once_it_was_agreed(version):
    """RFC 7323 3.2: "MUST be sent in every non-<RST> segment", and should be in a RST."""
    world = Bare(version)
    ear = world.listener()
    world.send(SYN, options=b"\x02\x04\x05\xb4" + stamp(500, 0))
    (answer,) = world.packets
    mine, echo = stamps_of(answer)
    assert echo == 500
    number = answer.seq + 1
    world.send(ACK, seq=1001, ack=number, options=stamp(501, mine))
    child = ear.accept(now=world.now)[0]
    world.packets.clear()
    child.send(b"data", now=world.now)
    world.send(ACK | PSH, seq=1001, ack=number, data=b"four", options=stamp(502, mine))
    world.run(1)
    child.close(now=world.now)
    world.run(1)
    assert {live.flags & (RST | ACK) for live in world.packets} == {ACK, RST | ACK}
    assert len(world.packets) >= 3
    assert None not in [stamps_of(live) for live in world.packets]
    assert stamps_of(world.packets[-1])[1] == 502


@both_families
@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | FIN])
def test_one_that_was_not_agreed_on_is_ignored(version, flags):
    """RFC 7323 3.2: a timestamp in a segment of a connection without: the segment counts, no answer has one."""
    world = Bare(version)
    world.listener()
    number = world.handshake() + 1
    world.sent()
    data = b"data" if flags & PSH else b""
    world.send(flags, seq=1001, ack=number, data=data, options=stamp(1, 2))
    world.send(flags, seq=1001 + len(data), ack=number, data=data, options=stamp(0, 2))
    world.run(1)
    assert [stamps_of(live) for live in world.packets if stamps_of(live)] == []
    taken = 2 * len(data) if data else flags & FIN
    assert [live.ack for live in world.packets][-1:] == ([1001 + taken] if taken else [])


@both_families
def test_a_syn_echoes_nothing(version):
    """RFC 7323 3.2: the echo is valid with an ACK alone; without one it is sent as zero."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    +.1 < S. 0:0(0) ack 1 win 65535 <mss 1000,sackOK,TS val 700 ecr 100,nop,wscale 0>
    +0 > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
    """
    assert play(script, version) == ""


@both_families
def test_crossed_syns_need_both_to_have_it(version):
    """RFC 7323 3.2: of two SYNs that cross one has no timestamp: none is used."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    +.1 < S 0:0(0) win 65535 <mss 1000>
    +0 > S. 0:0(0) ack 1 <mss 1460>
    +.1 < . 1:1(0) ack 1 win 65535
    +0 write(3, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    """
    assert play(script, version) == ""


@both_families
def test_a_scale_above_fourteen_is_fourteen(version):
    """RFC 7323 2.3: "MUST use 14 instead of the specified value"."""
    script = accepted().replace("wscale 0", "wscale 15") + "+0 %{ assert tcpi_snd_wscale == 14 }%\n"
    assert play(script, version) == ""


@both_families
def test_a_scale_behind_the_syn_means_nothing(version):
    """RFC 7323 2.2: in another segment than a SYN the option is ignored: the window stays what the field says."""
    script = (
        accepted(window=2000).replace(",nop,wscale 0", "")
        + """
    +0 < . 1:1(0) ack 1 win 3000 <nop,wscale 7>
    +0 %{ assert tcpi_snd_wnd == 3000; assert tcpi_snd_wscale == 0 }%
    """
    )
    assert play(script, version) == ""


def test_any_reset_is_stamped_as_the_connection():
    """RFC 7323 3.2: a RST of ours tells the timestamp that was received last."""
    passes(
        STAMPED
        + """
        +0  < P. 1:11(10) ack 1 win 257 <nop,nop,TS val 300 ecr 0>
        +0  > . 1:1(0) ack 11 <nop,nop,TS val 100 ecr 300>
        +0  close(4) = 0
        +0  > R. 1:1(0) ack 11 <nop,nop,TS val 100 ecr 300>
        """,
        tick=1_000_000,
    )
