"""What the segments that open a connection say."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import play

CONNECT = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
"""
LISTEN = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""
OPTIONS = {
    "all": ({}, "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"),
    "without timestamps": ({"tcp_timestamps": 0}, "mss 1460,nop,nop,sackOK,nop,wscale 7"),
    "without SACK": ({"tcp_sack": 0}, "mss 1460,nop,nop,TS val 100 ecr 0,nop,wscale 7"),
    "without scaling": ({"tcp_window_scaling": 0}, "mss 1460,sackOK,TS val 100 ecr 0"),
    "none": ({"tcp_timestamps": 0, "tcp_sack": 0, "tcp_window_scaling": 0}, "mss 1460"),
}


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_syn_offers_what_the_settings_allow(name: str, version: str) -> None:
    """RFC 9293 3.1 (MUST-4, MUST-14), RFC 7323 1.3, RFC 2018 2: the options, in the order in which Linux has them."""
    settings, options = OPTIONS[name]
    assert play(CONNECT + f"+0 > S 0:0(0) <{options}>\n", version, **settings) == ""


@pytest.mark.parametrize("name", OPTIONS)
def test_an_answer_has_what_was_offered_and_is_allowed(name: str) -> None:
    """RFC 7323 2.2, 3.2, RFC 2018 2: an option of a SYN-ACK needs one in the SYN."""
    settings, options = OPTIONS[name]
    script = (
        LISTEN
        + f"""
    +0 < S 0:0(0) win 65535 <mss 1000,sackOK,TS val 700 ecr 0,nop,wscale 3>
    +0 > S. 0:0(0) ack 1 <{options.replace("ecr 0", "ecr 700")}>
    """
    )
    assert play(script, **settings) == ""


def test_who_offers_nothing_is_offered_an_mss_alone() -> None:
    """RFC 9293 3.7.1 (SHLD-5): the MSS is sent in every SYN that has not the default."""
    script = (
        LISTEN
        + """
    +0 < S 0:0(0) win 65535
    +0 > S. 0:0(0) ack 1 <mss 1460>
    """
    )
    assert play(script, tcp_timestamps=1) == ""


def test_ecn_is_asked_for_once() -> None:
    """RFC 3168 6.1.1, 6.1.1.1: an ECN-setup SYN has ECE and CWR; when it is lost, the next has not."""
    script = (
        CONNECT
        + """
    +0 > SEW 0:0(0) <...>
    +1 > S 0:0(0) <...>
    """
    )
    assert play(script, tcp_ecn=1) == ""
    assert play(script.replace("+1 > S ", "+1 > SEW "), tcp_ecn=1, tcp_ecn_fallback=0) == ""


def test_ecn_is_not_asked_for_by_default_but_granted() -> None:
    """RFC 3168 6.1.1: the answer to an ECN-setup SYN has ECE alone."""
    assert play(CONNECT + "+0 > S 0:0(0) <...>\n") == ""
    script = (
        LISTEN
        + """
    +0 < SEW 0:0(0) win 65535 <mss 1000>
    +0 > SE. 0:0(0) ack 1 <mss 1460>
    +.1 < . 1:1(0) ack 1 win 65535
    +0 accept(3, ..., ...) = 4
    +0 write(4, ..., 100) = 100
    +0 > [ect0] P. 1:101(100) ack 1
    """
    )
    assert play(script) == ""
    assert play(script.replace("SE. ", "S. ").replace("[ect0] ", "[noecn] "), tcp_ecn=0) == ""


def test_a_syn_is_sent_again_with_the_same_options() -> None:
    """RFC 9293 3.8.1: it is the same segment, but for its timestamp."""
    script = (
        CONNECT
        + """
    +0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
    +1 > S 0:0(0) <mss 1460,sackOK,TS val 1100 ecr 0,nop,wscale 7>
    +.1 < S. 0:0(0) ack 1 win 65535 <mss 1000,nop,nop,sackOK>
    +0 > . 1:1(0) ack 1
    +0 write(3, ..., 100) = 100
    +0 > P. 1:101(100) ack 1
    """
    )
    assert play(script) == ""
