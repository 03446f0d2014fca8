"""Answers of an IPv6 router that a kernel router gives, too, where standards leave a choice.

a ── r ── b
"""

from __future__ import annotations

import pytest

from vrouter.testing import Lab, frames, match


def line(lab: Lab):
    """All know each other's MAC addresses already."""
    a, r, b = lab.line("a", "r", "b")
    assert a.ping(b.addr6) == 0
    for node in (a, r, b):
        node.clear()
    return a, r, b


def lost(src: str, **header: int) -> bytes:
    return frames.ipv6(src, "2001:db8::9", frames.UDP, frames.udp(src, "2001:db8::9", 1, 2), **header)


def test_an_error_comes_from_the_side_of_the_packet(lab: Lab) -> None:
    """RFC 4443 2.2: the more informative address is that of the device by which the packet came, though the error
    leaves by another."""
    a, r, b = line(lab)
    sent = a.send_packet(lost(b.addr6), dst_mac=r.device_towards(a).mac)
    lab.run_until_idle()
    assert b.received == [match.icmp6(type=1, code=0, src=r.addr6_towards(a), dst=b.addr6, quotes=sent)]


def test_a_redirect_quotes_what_was_received(lab: Lab) -> None:
    """RFC 4861 4.5: the packet that triggered it, with the hop limit that it had; what goes on has one less."""
    a, r, _b = line(lab)
    packet = frames.ipv6_echo(a.addr6, a.addr6, hop_limit=9)
    a.send_packet(packet, dst_mac=r.device_towards(a).mac)
    lab.run_until_idle()
    redirect, passed = sorted(a.received, key=lambda frame: frame[20] != frames.ICMPV6 or frame[54] != 137)
    assert redirect == match.ndp(type=137, target=a.addr6, destination=a.addr6)
    assert bytes(redirect).endswith(packet)
    assert passed[21] == 8


@pytest.mark.parametrize(
    ("kind", "told"), [("blackhole", []), ("prohibit", [1]), ("unreachable", [0])], ids=lambda value: str(value)
)
def test_a_route_that_refuses_goes_before_scopes(lab: Lab, kind: str, told: list[int]) -> None:
    """RFC 4007 9: what has nowhere to go leaves no zone; a blackhole stays silent for link-local senders as well."""
    a, r, _b = line(lab)
    r.ns.add_route("2001:db8::/32", type=kind, now=lab.now)
    a.send_packet(lost(a.link_local()), dst_mac=r.device_towards(a).mac)
    lab.run_until_idle()
    assert [frame[55] for frame in a.received if frame[54] == 1] == told
