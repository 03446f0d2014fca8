"""When a connection is given up by default, and the ICMP errors that none dies of (RFC 9293 3.8.3, 3.9.2.2)."""

from __future__ import annotations

import errno

import pytest

from tests.path.tcp.bare import SECOND, Bare
from tests.path.tcp.errors import connecting, established, report
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.info import of_socket

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])


def seconds(world, begin):
    """When what was sent since `begin` left, in whole seconds."""
    return [round((live.at - begin) / SECOND) for live in world.packets]


@both
def test_a_syn_is_tried_for_two_minutes(version):
    """RFC 9293 3.8.3 (MUST-22) wants three (MUST-23); by default they are 131 s, as in Linux: ten more SYNs."""
    world, sock, _ = connecting(version)
    begin = world.packets[0].at
    world.run(130.5)
    assert seconds(world, begin) == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.EALREADY
    world.run(1)
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.ETIMEDOUT


@both
def test_a_setting_makes_it_three_minutes(version):
    """RFC 9293 3.8.3 (MUST-23): ``tcp_syn_retries`` 7, and each SYN backs off, by two minutes at most: 247 s."""
    world = Bare(version, tcp_syn_retries=7, tcp_syn_linear_timeouts=0)
    sock = world.ns.socket(c.AF_INET6 if world.six else c.AF_INET, c.SOCK_STREAM)
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.EINPROGRESS
    world.run(246)
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.EALREADY
    world.run(2)
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == errno.ETIMEDOUT


@both
def test_data_are_tried_for_a_quarter_of_an_hour(version):
    """RFC 9293 3.8.3 (MUST-20, SHLD-11): by default R2 is 924.6 s, fifteen retransmissions from 200 ms on."""
    world, child, _ = established(version, tcp_early_retrans=0)
    world.run(924)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == 0
    assert len(world.packets) == 16
    world.run(130)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == errno.ETIMEDOUT


@both
def test_programs_can_see_that_nothing_arrives(version):
    """RFC 9293 3.8.3 (SHLD-9): between R1 and R2 TCP_INFO tells how often was tried in vain, by the step."""
    world, child, _ = established(version, tcp_early_retrans=0)
    assert of_socket(child, world.now)["tcpi_retransmits"] == 0
    world.run(3)
    told = of_socket(child, world.now)
    assert (told["tcpi_retransmits"], told["tcpi_backoff"]) == (3, 3)


@both
def test_a_program_that_does_not_ask_hears_of_no_soft_error(version):
    """RFC 9293 3.9.1.8 (MUST-47, SHLD-20): reports are off by default, and on with IP_RECVERR or IPV6_RECVERR."""
    kind = {4: (3, 1), 6: (1, 3)}
    world, child, packet = established(version)
    report(world, kind, packet)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == 0
    level, option = (c.SOL_IPV6, c.IPV6_RECVERR) if world.six else (c.SOL_IP, c.IP_RECVERR)
    child.setsockopt(level, option, 1, now=world.now)
    report(world, kind, packet)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == errno.EHOSTUNREACH


@pytest.mark.parametrize(
    ("kind", "version"),
    [((3, code), "ipv4") for code in (0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13)]
    + [((4, 0), "ipv4"), ((11, 0), "ipv4"), ((11, 1), "ipv4"), ((12, 0), "ipv4")]
    + [((1, code), "ipv6") for code in range(7)]
    + [((3, 0), "ipv6"), ((3, 1), "ipv6"), ((4, 0), "ipv6"), ((4, 1), "ipv6")],
)
def test_no_message_ends_a_connection(kind, version):
    """RFC 9293 3.9.2.2 (MUST-54 to MUST-56, SHLD-25), RFC 5927 5.2, RFC 6633 3: of no type and code."""
    world, child, packet = established(version)
    world.sent()
    window = child.tcb.cwnd
    report(world, {4: kind, 6: kind}, packet)
    assert child.getsockopt(c.SOL_SOCKET, c.SO_ERROR) == 0
    assert (child.state_name, child.tcb.cwnd, world.sent()) == ("ESTAB", window, [])


@pytest.mark.parametrize("kind", [(4, 0), (11, 0), (11, 1)])
def test_errors_on_the_way_of_a_syn(kind):
    """RFC 9293 3.9.2.2 (MUST-55): source quench is nothing; time exceeded ends an attempt (RFC 5461 4.1)."""
    world, sock, packet = connecting("ipv4")
    report(world, {4: kind}, packet)
    expected = errno.EALREADY if kind[0] == 4 else errno.EHOSTUNREACH
    assert sock.connect_ex((world.remote_text, 80), now=world.now) == expected
