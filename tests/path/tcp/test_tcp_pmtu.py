"""Segments follow what the path takes (RFC 1191, RFC 8201, RFC 9293 3.7)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import ON_THE_WIRE, accepted, play

NEEDED = {
    "ipv4": "icmp unreachable frag_needed mtu {}",
    "ipv6": "icmp packet_too_big mtu {}",
}
HEADERS = {"ipv4": 40, "ipv6": 60}


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_a_packet_that_was_too_big_goes_again_in_smaller_ones(version: str) -> None:
    """RFC 1191 6.4, RFC 8201 5.4: what was dropped for its size is sent again at once, and no window shrinks for it."""
    script = (
        accepted(mss=1460)
        + f"""
    +0 write(4, ..., 2920) = 2920
    +0 > . 1:1461(1460) ack 1
    +0 > P. 1461:2921(1460) ack 1
    +.05 < {NEEDED[version].format(1300 + HEADERS[version])} [1:1461(1460)]
    +0 > . 1:1301(1300) ack 1
    +0 > P. 1301:2601(1300) ack 1
    +0 > P. 2601:2921(320) ack 1
    +.1 < . 1:1(0) ack 2921 win 65535
    +0 write(4, ..., 2000) = 2000
    +0 > . 2921:4221(1300) ack 1
    +0 > P. 4221:4921(700) ack 1
    +0 %{{ assert tcpi_snd_mss == 1300, tcpi_snd_mss; assert tcpi_pmtu == {1300 + HEADERS[version]}, tcpi_pmtu }}%
    """
    )
    assert play(ON_THE_WIRE + script, version) == ""


def test_news_about_what_was_not_sent_are_no_news() -> None:
    """RFC 5927 4.1: an ICMP error about a number that is not outstanding is ignored."""
    script = (
        accepted(mss=1460)
        + """
    +0 write(4, ..., 1460) = 1460
    +0 > P. 1:1461(1460) ack 1
    +.05 < icmp unreachable frag_needed mtu 600 [5001:6461(1460)]
    +.05 < . 1:1(0) ack 1461 win 65535
    +0 %{ assert tcpi_snd_mss == 1460, tcpi_snd_mss }%
    +0 write(4, ..., 10) = 10
    +0 > P. 1461:1471(10) ack 1
    """
    )
    assert play(script) == ""


def test_a_socket_that_does_not_discover_does_not_react() -> None:
    """ip(7): with IP_PMTUDISC_DONT packets may be fragmented, and nothing is sent again for its size."""
    script = (
        accepted(mss=1460)
        + """
    +0 setsockopt(4, SOL_IP, IP_MTU_DISCOVER, [IP_PMTUDISC_DONT], 4) = 0
    +0 write(4, ..., 1460) = 1460
    +0 > P. 1:1461(1460) ack 1
    +.05 < icmp unreachable frag_needed mtu 600 [1:1461(1460)]
    +.05 < . 1:1(0) ack 1461 win 65535
    +0 write(4, ..., 10) = 10
    +0 > P. 1461:1471(10) ack 1
    """
    )
    assert play(script) == ""


def test_the_path_is_not_believed_to_be_narrower_than_the_least() -> None:
    """RFC 1191 3: an estimate is never below what the setting says (net.ipv4.route.min_pmtu, 552)."""
    script = (
        accepted(mss=1460)
        + """
    +0 write(4, ..., 1460) = 1460
    +0 > P. 1:1461(1460) ack 1
    +.05 < icmp unreachable frag_needed mtu 100 [1:1461(1460)]
    +0 > P. 1:1461(1460) ack 1
    +0 %{ assert tcpi_snd_mss == 512, tcpi_snd_mss }%
    """
    )
    assert play(script) == ""
