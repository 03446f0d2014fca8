"""Path MTU discovery for IPv6 end to end (RFC 8201): a narrow link behind two routers.

a ── r ── s ── b, the wire from s to b takes 1300 bytes, unless a test says otherwise
"""

from __future__ import annotations

import errno

import pytest

from vrouter.testing import Lab, frames, match


def narrow(lab: Lab, mtu: int = 1300):
    a, r, s, b = lab.host("a"), lab.router("r"), lab.router("s"), lab.host("b")
    lab.wire(a, r)
    lab.wire(r, s)
    lab.wire(s, b, mtu=mtu)
    lab.set_routes()
    return a, r, s, b


def sizes(node) -> list[int]:
    return [len(frame) - 14 for frame in node.sent]


def test_the_first_packet_is_lost_and_the_next_is_cut(lab: Lab) -> None:
    """RFC 8201 4: the router that cannot send it on says how large; the source cuts from then on."""
    a, _r, s, b = narrow(lab)
    port, sink = a.udp(addr="::"), b.udp(9, "::")
    port.send(bytes(1400), b.addr6, 9)
    lab.run_until_idle()
    assert sink.received == []
    assert a.received == [match.icmp6(type=2, code=0, rest=1300, src=s.addr6_towards("r"), quotes=a.sent[0])]
    port.send(bytes(1400), b.addr6, 9)
    assert len(sink.recv().data) == 1400
    assert sizes(a) == [1448, 1296, 40 + 8 + 8 + 1400 - 1248]


def test_the_cache_is_of_one_destination(lab: Lab) -> None:
    """RFC 8201 5.2: others of the same link are not bound by it."""
    a, r, _s, b = narrow(lab)
    port = a.udp(addr="::")
    for _ in range(2):
        port.send(bytes(1400), b.addr6, 9)
        lab.run_until_idle()
    a.clear()
    port.send(bytes(1400), r.addr6_towards("s"), 9)
    assert sizes(a) == [1448]


def test_it_is_shown_and_forgotten(lab: Lab) -> None:
    """RFC 8201 5.3: ten minutes (net.ipv6.route.mtu_expires) after the last news; `route get` shows it meanwhile."""
    a, _r, _s, b = narrow(lab)
    port = a.udp(addr="::")
    port.send(bytes(1400), b.addr6, 9)
    lab.run_until_idle()
    row = a.ns.get_route(b.addr6, now=lab.now)
    assert (row["mtu"], 0 < row["expires_ns"] <= 600_000_000_000) == (1300, True)
    lab.run_for(601)
    assert a.ns.get_route(b.addr6, now=lab.now).get("expires_ns") is None
    a.clear()
    port.send(bytes(1400), b.addr6, 9)
    assert sizes(a) == [1448]


@pytest.mark.parametrize("told", [0, 68, 1279])
def test_no_path_is_smaller_than_the_least(lab: Lab, told: int) -> None:
    """RFC 8201 4: what is told below 1280 bytes is not believed, nor answered with fragment headers (RFC 6946)."""
    a, _r, b = lab.line("a", "r", "b")
    port = a.udp(addr="::")
    port.send(bytes(1400), b.addr6, 9)
    lab.run_until_idle()
    b.send(frames.ipv6(b, a, frames.ICMPV6, frames.icmp6_error(b, a, 2, 0, a.sent[0][14:], rest=told)))
    lab.run_until_idle()
    a.clear()
    port.send(bytes(1200), b.addr6, 9)
    port.send(bytes(1400), b.addr6, 9)
    assert sizes(a) == [1248, 1448]


@pytest.mark.parametrize("told", [1400, 1500, 9000])
def test_a_path_never_grows_by_a_message(lab: Lab, told: int) -> None:
    """RFC 8201 4: a Packet Too Big that says more than is known changes nothing."""
    a, _r, _s, b = narrow(lab)
    port = a.udp(addr="::")
    port.send(bytes(1400), b.addr6, 9)
    lab.run_until_idle()
    b.send(frames.ipv6(b, a, frames.ICMPV6, frames.icmp6_error(b, a, 2, 0, a.sent[0][14:], rest=told)))
    lab.run_until_idle()
    a.clear()
    port.send(bytes(1400), b.addr6, 9)
    assert max(sizes(a)) == 1296


def test_do_not_fragment_is_told_to_the_socket(lab: Lab) -> None:
    """ipv6(7) IPV6_MTU_DISCOVER: EMSGSIZE for what is larger than the path that is known."""
    a, _r, _s, b = narrow(lab)
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, size=1253, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    before = len(a.sent)
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, size=1253, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    assert len(a.sent) == before
    assert a.ping(b.addr6, size=1252, dont_fragment=True) == 0


def test_an_own_link_is_known_from_the_start(lab: Lab) -> None:
    """RFC 8201 3: the first hop's MTU bounds the path; a router's own packets too."""
    a, _r, s, b = narrow(lab)
    sink = b.udp(9, "::")
    s.udp(addr="::").send(bytes(1400), b.addr6, 9)
    assert len(sink.recv().data) == 1400
    assert max(sizes(s)) == 1296
    assert a.received == []


def test_a_group_s_path_is_learned_from_no_one(lab: Lab) -> None:
    """RFC 4443 2.4 (e.3): of groups a Packet Too Big may be sent; here none is, as nobody forwards the group."""
    a, _r, _s, b = narrow(lab)
    a.send(frames.ipv6_echo(a, "ff0e::1:2", payload=bytes(1400)), "r")
    lab.run_until_idle()
    assert (a.received, b.received) == ([], [])
