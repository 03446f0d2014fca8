"""How large segments are (RFC 9293 3.7.1, RFC 6691)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import ON_THE_WIRE, accepted, play


@pytest.mark.parametrize(("version", "mss"), [("ipv4", 1460), ("ipv6", 1460)])
def test_what_a_syn_offers_is_the_mtu_without_fixed_headers(version: str, mss: int) -> None:
    """RFC 6691 2: IP and TCP header without options are taken off, whatever options segments will have."""
    script = f"""
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <mss {mss},sackOK,TS val 100 ecr 0,nop,wscale 7>
    """
    assert play(ON_THE_WIRE + script, version) == ""


@pytest.mark.parametrize(("version", "mss"), [("ipv4", 536), ("ipv6", 1220)])
def test_who_does_not_say_takes_the_least(version: str, mss: int) -> None:
    """RFC 9293 3.7.1 (MUST-15): without the option 536 bytes by IPv4, 1220 by IPv6."""
    script = f"""
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 1) = 0
    +0 < S 0:0(0) win 65535
    +0 > S. 0:0(0) ack 1 <...>
    +.1 < . 1:1(0) ack 1 win 65535
    +0 accept(3, ..., ...) = 4
    +0 write(4, ..., {mss + 1}) = {mss + 1}
    +0 > . 1:{mss + 1}({mss}) ack 1
    +0 > P. {mss + 1}:{mss + 2}(1) ack 1
    """
    assert play(ON_THE_WIRE + script, version) == ""


def test_timestamps_take_their_part_of_each_segment() -> None:
    """RFC 6691 3, RFC 9293 3.7.1 (MUST-16): the sender takes off the options that a segment has."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 bind(3, ..., ...) = 0
    +0 listen(3, 1) = 0
    +0 < S 0:0(0) win 65535 <mss 1000,sackOK,TS val 700 ecr 0,nop,wscale 0>
    +0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 700,nop,wscale 7>
    +.1 < . 1:1(0) ack 1 win 65535 <nop,nop,TS val 800 ecr 100>
    +0 accept(3, ..., ...) = 4
    +0 write(4, ..., 1000) = 1000
    +0 > . 1:989(988) ack 1 <nop,nop,TS val 200 ecr 800>
    +0 > P. 989:1001(12) ack 1 <nop,nop,TS val 200 ecr 800>
    """
    assert play(ON_THE_WIRE + script) == ""


def test_sack_blocks_take_their_part_too() -> None:
    """RFC 6691 3: also when only some segments have the option."""
    script = (
        accepted()
        + """
    +0 < P. 101:201(100) ack 1 win 65535
    +0 > . 1:1(0) ack 1 <nop,nop,sack 101:201>
    +0 write(4, ..., 1000) = 1000
    +0 > . 1:989(988) ack 1 <nop,nop,sack 101:201>
    +0 > P. 989:1001(12) ack 1 <nop,nop,sack 101:201>
    """
    )
    assert play(ON_THE_WIRE + script) == ""


def test_a_program_can_make_them_smaller() -> None:
    """tcp(7): TCP_MAXSEG bounds what is offered and what is sent."""
    script = """
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
    +0 setsockopt(3, SOL_TCP, TCP_MAXSEG, [700], 4) = 0
    +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
    +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
    +0 > S 0:0(0) <mss 700,sackOK,TS val 100 ecr 0,nop,wscale 7>
    +.1 < S. 0:0(0) ack 1 win 65535 <mss 1460>
    +0 > . 1:1(0) ack 1
    +0 write(3, ..., 1000) = 1000
    +0 > . 1:701(700) ack 1
    +0 > P. 701:1001(300) ack 1
    """
    assert play(ON_THE_WIRE + script) == ""


def test_half_of_a_tiny_window_is_a_segment() -> None:
    """RFC 9293 3.8.6.2.1: segments larger than half the peer's window would leave it idle."""
    script = (
        accepted(mss=1460, window=2000)
        + """
    +0 write(4, ..., 2000) = 2000
    +0 > . 1:1001(1000) ack 1
    +0 > P. 1001:2001(1000) ack 1
    +0 %{ assert tcpi_snd_mss == 1000, tcpi_snd_mss }%
    """
    )
    assert play(ON_THE_WIRE + script) == ""
