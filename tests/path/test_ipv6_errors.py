"""ICMPv6 errors through whole stacks: which are sent, from where, quoting what, and which never (RFC 4443 2.4).

a ── r ── b, fd00:0:1::/64 and fd00:0:2::/64
"""

from __future__ import annotations

import pytest

from vrouter.testing import Lab, frames, match

NOWHERE = "2001:db8::9"
CLASS = 0


def lost(a, **header) -> bytes:
    """A packet of a's that r has no route for."""
    return frames.ipv6(a, NOWHERE, frames.UDP, frames.udp(a.addr6, NOWHERE, 1000, 7, b"x"), **header)


def line(lab: Lab):
    """The line, where r does not limit its errors."""
    a, r, b = lab.line("a", "r", "b")
    r.ns.sysctl["net.ipv6.icmp.ratelimit"] = 0
    return a, r, b


@pytest.mark.parametrize(
    ("kind", "code"), [("unreachable", 0), ("prohibit", 1), (None, 0)], ids=["unreachable", "prohibit", "no route"]
)
def test_routes_that_say_why(lab: Lab, kind: str | None, code: int) -> None:
    """RFC 4443 3.1: code 0 without a route, 1 where it is prohibited; 0 of an unreachable route, as Linux."""
    a, r, _b = line(lab)
    if kind is not None:
        r.ns.add_route("2001:db8::/32", type=kind, now=lab.now)
    sent = a.send(lost(a))
    lab.run_until_idle()
    assert a.received == [match.icmp6(type=1, code=code, src=r.addr6_towards(a), quotes=sent, ttl=64, tos=CLASS)]


def test_a_blackhole_is_silent(lab: Lab) -> None:
    """ip-route(8): discarded, and nobody is told."""
    a, r, _b = line(lab)
    r.ns.add_route("2001:db8::/32", type="blackhole", now=lab.now)
    a.send(lost(a))
    lab.run_until_idle()
    assert a.received == []
    assert r.counters.read().drops == {"ROUTE_BLACKHOLE": 1}


def test_a_neighbour_that_does_not_answer(lab: Lab) -> None:
    """RFC 4861 7.2.2, RFC 4443 3.1: after three solicitations a second apart, code 3 for each packet that waited."""
    a, r, _b = line(lab)
    first = a.send(frames.ipv6_echo(a, "fd00:0:2::9", ident=1))
    second = a.send(frames.ipv6_echo(a, "fd00:0:2::9", ident=2))
    lab.run_until_idle()
    assert lab.now == 3_000_000_000
    assert a.received == [match.icmp6(type=1, code=3, src=r.addr6_towards(a), quotes=sent) for sent in (first, second)]


@pytest.mark.parametrize("size", [0, 1184, 1185, 1400])
def test_what_is_quoted(lab: Lab, size: int) -> None:
    """RFC 4443 2.4 (c): as much of the packet as fits without the error exceeding 1280 bytes."""
    a, _r, _b = line(lab)
    packet = frames.ipv6(a, NOWHERE, frames.UDP, frames.udp(a.addr6, NOWHERE, 1, 2, bytes(size)))
    a.send(packet)
    lab.run_until_idle()
    (error,) = a.received
    assert error[14 + 48 :] == packet[:1232]
    assert len(error) - 14 == min(1280, 48 + len(packet))


@pytest.mark.parametrize("message", [(1, 0), (2, 0), (3, 1), (4, 2), (100, 0), (127, 9), (137, 0)])
def test_no_error_is_sent_about_an_error(lab: Lab, message: tuple[int, int]) -> None:
    """RFC 4443 2.4 (e.1, e.2): nor about a redirect; types below 128 that nobody knows are errors, too."""
    a, r, _b = line(lab)
    about = frames.ipv6_echo(NOWHERE, a)
    kind, code = message
    a.send(frames.ipv6(a, NOWHERE, frames.ICMPV6, frames.icmp6(a, NOWHERE, kind, code, 0, about)))
    lab.run_until_idle()
    assert a.received == []
    assert r.counters.read().drops == {"IP_INNOROUTES": 1}


def test_an_error_is_sent_about_information(lab: Lab) -> None:
    """RFC 4443 2.4 (e): types from 128 on are no errors, whatever they mean."""
    a, _r, _b = line(lab)
    sent = a.send(frames.ipv6(a, NOWHERE, frames.ICMPV6, frames.icmp6(a, NOWHERE, 200, 0, 0, b"")))
    lab.run_until_idle()
    assert a.received == [match.icmp6(type=1, code=0, quotes=sent)]


def test_no_error_is_sent_about_an_error_behind_headers(lab: Lab) -> None:
    """RFC 4443 2.4 (e.1): the message is looked for behind extension headers."""
    a, _r, _b = line(lab)
    error = frames.icmp6(a, NOWHERE, 1, 0, 0, frames.ipv6_echo(NOWHERE, a))
    a.send(frames.ipv6(a, NOWHERE, frames.DSTOPTS, frames.destination_options(frames.ICMPV6, error)))
    lab.run_until_idle()
    assert a.received == []


@pytest.mark.parametrize("src", ["::", "ff02::1", "::1"])
def test_nobody_is_told_who_cannot_be_asked(lab: Lab, src: str) -> None:
    """RFC 4443 2.4 (e.6): a source that is no single node."""
    a, r, b = line(lab)
    a.send_packet(frames.ipv6(src, NOWHERE, frames.UDP, frames.udp(src, NOWHERE, 1, 2)), dst_mac=r.mac)
    lab.run_until_idle()
    assert (a.received, b.received, r.sent) == ([], [], [])


def test_what_came_as_a_group_s_frame_is_not_told(lab: Lab) -> None:
    """RFC 4443 2.4 (e.4): a packet that was sent as link-layer multicast or broadcast."""
    a, r, _b = line(lab)
    for mac in (frames.BROADCAST, frames.group_mac6("ff02::1")):
        a.send_packet(lost(a), dst_mac=mac)
    lab.run_until_idle()
    assert (a.received, r.sent) == ([], [])


def test_errors_are_limited(lab: Lab) -> None:
    """RFC 4443 2.4 (f): by default one in 100 ms to each destination, after a burst of ten at most
    (net.ipv6.icmp.ratelimit); echo replies are not limited."""
    a, r, _b = lab.line("a", "r", "b")
    for _ in range(40):
        a.send(lost(a))
        a.send(frames.ipv6_echo(a, r.addr6_towards(a)))
    lab.run_until_idle()
    errors = [frame for frame in a.received if frame == match.icmp6(type=1)]
    assert len([frame for frame in a.received if frame == match.icmp6(type=129)]) == 40
    assert 1 <= len(errors) <= 10
    assert r.counters.read().drops == {"IP_INNOROUTES": 40, "ICMP_RATELIMIT": 40 - len(errors)}
    a.clear()
    lab.run_for(0.1)
    a.send(lost(a))
    lab.run_until_idle()
    assert len(a.received) == 1


def test_too_big_is_told_beyond_the_ratemask(lab: Lab) -> None:
    """Linux's default net.ipv6.icmp.ratemask: Packet Too Big is never limited, so that paths are found (RFC 8201 4)."""
    a, r, b = lab.host("a"), lab.router("r"), lab.host("b")
    lab.wire(a, r)
    lab.wire(r, b, mtu=1280)
    lab.set_routes()
    for _ in range(40):
        a.send(frames.ipv6_echo(a, b, payload=bytes(1300)))
    lab.run_until_idle()
    assert [frame == match.icmp6(type=2, code=0, rest=1280) for frame in a.received] == [True] * 40


def test_the_source_of_an_error(lab: Lab) -> None:
    """RFC 4443 2.2: about a packet to an own address that address; else one of the device that leads back."""
    a, r, _b = line(lab)
    to_own = a.send(frames.ipv6(a, r.addr6_towards("b"), frames.UDP, frames.udp(a.addr6, r.addr6_towards("b"), 1, 2)))
    passing = a.send(lost(a))
    lab.run_until_idle()
    assert a.received == [
        match.icmp6(type=1, code=4, src=r.addr6_towards("b"), quotes=to_own),
        match.icmp6(type=1, code=0, src=r.addr6_towards(a), quotes=passing),
    ]


def test_the_class_of_an_error(lab: Lab) -> None:
    """The traffic class of the packet is not taken over, nor is its flow label (RFC 6437 3)."""
    a, r, _b = line(lab)
    a.send(lost(a, traffic_class=0xB8, flow_label=0xABCDE))
    lab.run_until_idle()
    (error,) = a.received
    assert error == match.icmp6(type=1, tos=CLASS, src=r.addr6_towards(a))
    assert error != match.ipv6(flow_label=0xABCDE)
