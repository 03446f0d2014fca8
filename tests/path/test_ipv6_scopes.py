"""IPv6 scopes and zones through whole stacks (RFC 4007): what is of a link stays on it, and links are told apart.

a ── r ── b, with addresses of each link and fd00:0:1::/64, fd00:0:2::/64
"""

from __future__ import annotations

import errno

import pytest

from vrouter.stack import DropReason
from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.l4.constants import AF_INET6, SOCK_DGRAM
from vrouter.testing import Lab, frames, match
from vrouter.testing.octets import mac_bytes


def test_a_link_local_source_does_not_leave_its_link(lab: Lab) -> None:
    """RFC 4291 2.5.6, RFC 4443 3.1: not forwarded; told by code 2, beyond scope of source address."""
    a, r, b = lab.line("a", "r", "b")
    with r.counters.expect(
        rx=1,
        tx=1,
        drops={DropReason.FORWARD_LINK_LOCAL: 1},
        Ip6InReceives=1,
        Ip6OutRequests=1,
        Icmp6OutMsgs=1,
        Icmp6OutDestUnreachs=1,
        AcctOriginated=1,
    ):
        sent = a.send_packet(frames.ipv6_echo(a.link_local(), b.addr6), dst_mac=r.device_towards(a).mac)
        lab.run_until_idle()
    assert b.received == []
    assert a.received == [match.icmp6(type=1, code=2, src=r.link_local(a), dst=a.link_local(), quotes=sent)]


def test_a_link_local_destination_is_not_looked_for_elsewhere(lab: Lab) -> None:
    """RFC 4291 2.5.6: a router does not forward to link-local destinations, not even to one that it knows elsewhere."""
    a, r, b = lab.line("a", "r", "b")
    a.send_packet(frames.ipv6_echo(a, b.link_local()), dst_mac=r.device_towards(a).mac)
    lab.run_until_idle()
    assert b.received == []
    assert r.counters.read().drops == {"FORWARD_LINK_LOCAL": 1}


@pytest.mark.parametrize("group", ["ff01::1:2", "ff02::1:2"])
def test_groups_of_the_link_are_not_forwarded(lab: Lab, group: str) -> None:
    """RFC 4291 2.7: and nobody is told of it (RFC 4443 2.4 e.3)."""
    a, r, b = lab.line("a", "r", "b")
    a.send(frames.ipv6(a, group, frames.UDP, frames.udp(a.addr6, group, 1, 2), hop_limit=9), "r")
    lab.run_until_idle()
    assert (b.received, a.received) == ([], [])
    assert sum(r.counters.read().drops.values()) == 1


def test_the_same_address_on_two_links_is_two_stations(lab: Lab) -> None:
    """RFC 4007 6: which one is meant says the zone; answers come from the link that was asked."""
    r = lab.router("r")
    p, q = lab.probe("p"), lab.probe("q")
    lab.wire(r, p, addresses=(None, None))
    lab.wire(r, q, addresses=(None, None))
    for probe in (p, q):
        dev = r.device_towards(probe)
        r.ns.neigh6.add_static(dev, scoped(parse_ipv6("fe80::77"), dev.ifindex), mac_bytes(probe.mac), lab.now)
    sock = r.udp(9, "::")
    sock.send(b"to p", "fe80::77%p", 5)
    sock.send(b"to q", "fe80::77%q", 5)
    lab.run_until_idle()
    assert p.received == [match.udp(src=r.link_local(p), dst="fe80::77", payload=b"to p")]
    assert q.received == [match.udp(src=r.link_local(q), dst="fe80::77", payload=b"to q")]
    answer = frames.udp("fe80::77", r.link_local(q), 5, 9, b"from q")
    q.send(frames.ipv6("fe80::77", r.link_local(q), frames.UDP, answer), "r")
    assert sock.recv().addr == f"fe80::77%{r.device_towards(q).ifindex}"


def test_an_address_of_one_link_is_not_answered_on_another(lab: Lab) -> None:
    """RFC 4007 9: r's address on b's link is nobody's on a's."""
    a, r, b = lab.line("a", "r", "b")
    a.send_packet(frames.ipv6_echo(a.link_local(), r.link_local(b)), dst_mac=r.device_towards(a).mac)
    lab.run_until_idle()
    assert match.icmp6(type=129) not in a.received


@pytest.mark.parametrize(
    ("host", "scope_id", "number"),
    [
        ("fe80::1", 0, errno.EINVAL),
        ("fe80::1", 99, errno.ENETUNREACH),
        ("fe80::1%nobody", 0, errno.ENETUNREACH),
        ("ff02::1", 0, None),
    ],
)
def test_a_socket_must_say_which_link(lab: Lab, host: str, scope_id: int, number: int | None) -> None:
    """RFC 4007 6, ipv6(7): EINVAL without a zone, ENETUNREACH with a false one; a group goes by the first device."""
    a, r = lab.line("a", lab.router("r"))
    sock = a.ns.socket(AF_INET6, SOCK_DGRAM)
    if number is None:
        assert sock.sendto(b"x", (host, 9, 0, scope_id), now=lab.now) == 1
        lab.run_until_idle()
        assert match.udp(src=a.link_local(), dst=host) in r.received
        return
    with pytest.raises(OSError) as caught:
        sock.connect((host, 9, 0, scope_id), now=lab.now)
    assert caught.value.errno == number


def test_a_bound_zone_is_kept(lab: Lab) -> None:
    """RFC 4007 6: who is bound to an address of one link hears and speaks there alone."""
    a, r, b = lab.line("a", "r", "b")
    sock = r.udp(9, f"{r.link_local(a)}%a")
    a.udp(addr="::").send(b"near", f"{r.link_local(a)}%r", 9)
    assert sock.recv().data == b"near"
    with pytest.raises(OSError) as caught:
        sock.send(b"x", b.addr6, 9)
    assert caught.value.errno == errno.ENETUNREACH


def test_the_loopback_address_never_leaves(lab: Lab) -> None:
    """RFC 4291 2.5.3: ::1 is answered inside, and refused from a wire."""
    a, r = lab.line("a", lab.router("r"))
    assert a.ping("::1") == 0
    assert r.received == []
    a.send_packet(frames.ipv6_echo("::1", r), dst_mac=r.mac)
    a.send_packet(frames.ipv6_echo(a, "::1"), dst_mac=r.mac)
    lab.run_until_idle()
    assert a.received == []
    assert r.counters.read().drops == {"IP_LOCALNET": 2}
