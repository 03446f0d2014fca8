"""Groups of IPv6 through whole stacks: which frames are heard, what is answered, and what sockets get.

a ── r ── b
"""

from __future__ import annotations

import errno

import pytest

from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.l4.constants import (
    IPV6_JOIN_GROUP,
    IPV6_LEAVE_GROUP,
    IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF,
    SOL_IPV6,
)
from vrouter.testing import Lab, frames, match

GROUP = "ff05::1:2"


def request(group: str, dev) -> bytes:
    """A struct ipv6_mreq."""
    return parse_ipv6(group).to_bytes(16, "big") + dev.ifindex.to_bytes(4, "little")


@pytest.mark.parametrize("group", ["ff02::1", "ff01::1"])
def test_all_nodes_answer(lab: Lab, group: str) -> None:
    """RFC 4443 4.2: from an address of the device, never from the group; ff01::1 never comes by a wire."""
    a, r, _b = lab.line("a", "r", "b")
    a.send_packet(frames.ipv6_echo(a, group), dst_mac=frames.group_mac6(group))
    lab.run_until_idle()
    assert a.received == ([match.icmp6(type=129, src=r.addr6_towards(a), dst=a.addr6)] if group == "ff02::1" else [])


def test_echoes_to_groups_can_be_left_alone(lab: Lab) -> None:
    """net.ipv6.icmp.echo_ignore_multicast."""
    a, r, _b = lab.line("a", "r", "b")
    r.ns.sysctl["net.ipv6.icmp.echo_ignore_multicast"] = 1
    a.send(frames.ipv6_echo(a, "ff02::1"), "r")
    lab.run_until_idle()
    assert a.received == []
    assert a.ping(r.addr6_towards(a)) == 0


def test_all_routers_is_the_routers_group(lab: Lab) -> None:
    """RFC 4291 2.8: routers are members of ff02::2 and ff05::2, hosts are not."""
    a, r, b = lab.line("a", "r", "b")
    for group in ("ff02::2", "ff05::2"):
        a.send(frames.ipv6_echo(a, group), "r")
        r.send(frames.ipv6_echo(r.addr6_towards(b), group), "b")
    lab.run_until_idle()
    assert a.received == [match.icmp6(type=129, src=r.addr6_towards(a))] * 2
    assert r.received == [match.icmp6(type=128)] * 2


def test_the_group_of_each_address_is_heard(lab: Lab) -> None:
    """RFC 4291 2.8, RFC 2464 7: solicited-node groups of unicast and (of a router) anycast addresses; no others."""
    a, r, _b = lab.line("a", "r", "b")
    groups = r.device_towards(a).groups
    for address in (r.addr6_towards(a), r.link_local(a), "fd00:0:1::"):
        assert frames.group_mac6(frames.solicited_node(address)) in groups
    assert frames.group_mac6(frames.solicited_node("fd00:0:1::77")) not in groups
    r.ns.add_address("a", "2001:db8::aa:77/64", now=lab.now)
    assert frames.group_mac6(frames.solicited_node("2001:db8::aa:77")) in groups
    r.ns.del_address("a", "2001:db8::aa:77/64", now=lab.now)
    assert frames.group_mac6(frames.solicited_node("2001:db8::aa:77")) not in groups


def test_a_socket_joins_and_leaves(lab: Lab) -> None:
    """RFC 3493 5.2, RFC 3810 6.1: members alone get what is sent; joining and leaving is told, twice each."""
    a, r, _b = lab.line("a", "r", "b")
    port, dev = r.udp(9, "::"), r.device_towards(a)
    packet = frames.ipv6(a, GROUP, frames.UDP, frames.udp(a.addr6, GROUP, 1, 9, b"to all"), hop_limit=4)
    a.send(packet, "r")
    lab.run_until_idle()
    assert port.received == []
    port.socket.setsockopt(SOL_IPV6, IPV6_JOIN_GROUP, request(GROUP, dev), now=lab.now)
    a.send(packet, "r")
    lab.run_until_idle()
    assert [datagram.data for datagram in port.received] == [b"to all"]
    assert r.sent_groups != []
    assert all(frame == match.mld(src=r.link_local(a), dst="ff02::16") for frame in r.sent_groups)
    port.socket.setsockopt(SOL_IPV6, IPV6_LEAVE_GROUP, request(GROUP, dev), now=lab.now)
    a.send(packet, "r")
    lab.run_until_idle()
    assert len(port.received) == 1


def test_a_socket_sends_to_a_group(lab: Lab) -> None:
    """RFC 3493 5.2: by the device of the zone, with a hop limit of 1 unless it is said; it may hear itself."""
    a, r, b = lab.line("a", "r", "b")
    port = r.udp(9, "::")
    port.send(b"x", "ff02::5%b", 9)
    port.socket.setsockopt(SOL_IPV6, IPV6_MULTICAST_HOPS, 7, now=lab.now)
    ifindex = r.device_towards(a).ifindex.to_bytes(4, "little")
    port.socket.setsockopt(SOL_IPV6, IPV6_MULTICAST_IF, ifindex, now=lab.now)
    port.send(b"y", "ff05::5", 9)
    lab.run_until_idle()
    assert b.received == [match.udp(src=r.link_local(b), dst="ff02::5", ttl=1, eth_dst=frames.group_mac6("ff02::5"))]
    assert a.received == [match.udp(dst="ff05::5", ttl=7)]


def test_a_group_is_joined_once(lab: Lab) -> None:
    """ipv6(7): EADDRINUSE for a second time, EADDRNOTAVAIL for leaving what was not joined."""
    a, _r, _b = lab.line("a", "r", "b")
    port, dev = a.udp(9, "::"), a.ns.devices["r"]
    port.socket.setsockopt(SOL_IPV6, IPV6_JOIN_GROUP, request(GROUP, dev), now=lab.now)
    for option, number in (
        (IPV6_JOIN_GROUP, errno.EADDRINUSE),
        (IPV6_LEAVE_GROUP, None),
        (IPV6_LEAVE_GROUP, errno.EADDRNOTAVAIL),
    ):
        if number is None:
            port.socket.setsockopt(SOL_IPV6, option, request(GROUP, dev), now=lab.now)
            continue
        with pytest.raises(OSError) as caught:
            port.socket.setsockopt(SOL_IPV6, option, request(GROUP, dev), now=lab.now)
        assert caught.value.errno == number
