"""IPv6 between the namespaces of one router: by route short-cuts and by veth pairs.

a ── red ══ blue ── b, fd00:0:1::/64 and fd00:0:2::/64
"""

from __future__ import annotations

import errno

import pytest

from vrouter.stack.base.addresses import format_ipv6
from vrouter.testing import Lab, frames, match


def tenants(lab: Lab, *, accepted: bool = True):
    """Two namespaces with a host each, and routes across."""
    red = lab.router("red")
    blue = red.add_netns("blue")
    a, b = lab.host("a"), lab.host("b")
    lab.wire(red, a)
    lab.wire(blue, b)
    lab.set_routes()
    if accepted:
        red.ns.accept_from, blue.ns.accept_from = frozenset({"blue"}), frozenset({"red"})
    return red, blue, a, b


def short_cuts(red, blue, lab: Lab) -> None:
    red.ns.add_route("fd00:0:2::/64", netns="blue", now=lab.now)
    blue.ns.add_route("fd00:0:1::/64", netns="red", now=lab.now)


def test_a_short_cut_is_no_hop(lab: Lab) -> None:
    """Both namespaces are one router (RFC 8200 3): the hop limit falls by one, as it does for IPv4."""
    red, blue, a, b = tenants(lab)
    short_cuts(red, blue, lab)
    assert a.ping(b.addr6) == 0
    assert b.received == [match.icmp6(type=128, src=a.addr6, ttl=63)]
    assert a.received == [match.icmp6(type=129, src=b.addr6, ttl=63)]


def test_the_hop_limit_ends_in_the_second(lab: Lab) -> None:
    """RFC 4443 3.3: the namespace that would send it on says so."""
    red, blue, a, b = tenants(lab)
    short_cuts(red, blue, lab)
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, ttl=1)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert a.received == [match.icmp6(type=3, code=0, src=blue.addr6)]


def test_what_nobody_accepts_is_prohibited(lab: Lab) -> None:
    """RFC 4443 3.1: code 1, administratively prohibited; the other namespace never sees it."""
    red, blue, a, b = tenants(lab, accepted=False)
    short_cuts(red, blue, lab)
    with blue.counters.expect():
        sent = a.send(frames.ipv6_echo(a, b))
        lab.run_until_idle()
    assert a.received == [match.icmp6(type=1, code=1, src=red.addr6, quotes=sent)]
    assert red.counters.read().drops == {"CROSSING_DENIED": 1}
    with pytest.raises(PermissionError):
        red.ping(b.addr6)


def test_link_local_packets_do_not_cross(lab: Lab) -> None:
    """RFC 4007 9: a short-cut is a hop like any other."""
    red, blue, a, b = tenants(lab)
    short_cuts(red, blue, lab)
    with blue.counters.expect():
        a.send_packet(frames.ipv6_echo(a.link_local(), b.addr6), dst_mac=red.mac)
        lab.run_until_idle()
    assert a.received == [match.icmp6(type=1, code=2)]
    assert b.received == []


def test_a_circle_ends(lab: Lab) -> None:
    """Two namespaces that send everything to each other: the packet dies after a bounded number of crossings."""
    red, blue, a, _b = tenants(lab)
    red.ns.add_route("2001:db8::/32", netns="blue", now=lab.now)
    blue.ns.add_route("2001:db8::/32", netns="red", now=lab.now)
    a.send(frames.ipv6_echo(a, "2001:db8::1"))
    lab.run_until_idle()
    assert a.received == []
    assert [node.counters.read().drops for node in (red, blue)] == [{"CROSSING_LOOP": 1}, {}]


def test_a_pair_is_a_link(lab: Lab) -> None:
    """veth: each end has an address of the link, finds the other by neighbour discovery, and detects no duplicates."""
    red, blue, a, b = tenants(lab)
    pair = red.stack.add_veth(red.ns, "x", blue.ns, "y", now=lab.now)
    states = [(one.scope, one.state) for dev in pair for one in dev.addresses]
    assert states == [("link", "preferred")] * 2
    lab.run_until_idle()
    red.ns.add_address("x", "fd00:0:99::1/64", now=lab.now)
    blue.ns.add_address("y", "fd00:0:99::2/64", now=lab.now)
    red.ns.add_route("fd00:0:2::/64", via="fd00:0:99::2", now=lab.now)
    blue.ns.add_route("fd00:0:1::/64", via="fd00:0:99::1", now=lab.now)
    assert a.ping(b.addr6) == 0
    assert match.icmp6(type=128, src=a.addr6, ttl=62) in b.received
    assert red.ping("fd00:0:99::2") == 0
    assert next(neigh.state.name for neigh in red.ns.neigh6.entries(lab.now) if neigh.dev == "x") == "REACHABLE"


def test_link_local_over_a_pair(lab: Lab) -> None:
    """A gateway may be the other end's address of the link (RFC 4861 8, as routers advertise it)."""
    red, blue, a, b = tenants(lab)
    _ours, theirs = red.stack.add_veth(red.ns, "x", blue.ns, "y", now=lab.now)
    red.ns.add_route("fd00:0:2::/64", via=format_ipv6(theirs.addresses[0].address), dev="x", now=lab.now)
    blue.ns.add_route("fd00:0:1::/64", netns="red", now=lab.now)
    assert a.ping(b.addr6) == 0


def test_a_smaller_link_behind_a_short_cut(lab: Lab) -> None:
    """RFC 4443 3.2: the namespace that cannot send it on says so, with its link's MTU."""
    red = lab.router("red")
    blue = red.add_netns("blue")
    a, b = lab.host("a"), lab.host("b")
    lab.wire(red, a)
    lab.wire(blue, b, mtu=1300)
    lab.set_routes()
    red.ns.accept_from, blue.ns.accept_from = frozenset({"blue"}), frozenset({"red"})
    short_cuts(red, blue, lab)
    assert a.ping(b.addr6, size=1252) == 0
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, size=1253, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    assert a.received[-1] == match.icmp6(type=2, rest=1300, src=blue.addr6)
    assert a.ping(b.addr6, size=2000) == 0
