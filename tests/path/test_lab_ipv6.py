"""The lab with both families: what each link has of IPv6, and what nodes can do with it.

a (fd00:0:1::2) ── (fd00:0:1::1) r (fd00:0:2::1) ── (fd00:0:2::2) b, beside 10.0.1.0/24 and 10.0.2.0/24
"""

import errno

import pytest

from vrouter.testing import Lab, LabError, frames, match


def test_both_families_go_everywhere(lab: Lab) -> None:
    """Addresses, routes and neighbours of both; nothing is said unasked, and nothing has to be resolved."""
    a, r, b = lab.line("a", "r", "b")
    assert (a.addr, a.addr6) == ("10.0.1.2", "fd00:0:1::2")
    assert (r.addr6_towards(a), r.addr6_towards(b), a.addr6_towards(b)) == ("fd00:0:1::1", "fd00:0:2::1", "fd00:0:1::2")
    assert (a.ping(b), a.ping(b.addr6), b.ping(a.addr6)) == (0, 0, 0)
    assert b.received[-2] == match.icmp6(type=128, src=a.addr6, dst=b.addr6, ttl=63)
    for node in (a, r, b):
        assert (node.sent_ndp, node.sent_groups, node.sent_arp) == ([], [], [])
        assert {neigh.state.name for neigh in node.ns.neigh6.entries(lab.now)} == {"PERMANENT"}


def test_many_routers_and_a_hub(lab: Lab) -> None:
    """Static routes by the shortest way for IPv6 as for IPv4; on a hub routers come first, then hosts."""
    a, _r, _s, _t, b = lab.line("a", "r", "s", "t", "b")
    c, d = lab.host("c"), lab.router("d")
    lab.hub("lan", c, d)
    lab.wire(d, "t")
    lab.set_routes()
    assert (d.addr6_towards("lan"), c.addr6) == ("fd00:0:5::1", "fd00:0:5::2")
    assert (a.ping(b.addr6), c.ping(a.addr6), c.ping(b.addr6)) == (0, 0, 0)
    assert match.icmp6(type=128, src=a.addr6, ttl=61) in b.received


def test_network_numbers_are_hexadecimal(lab: Lab) -> None:
    """Wire 17 is fd00:0:11::/64."""
    for number in range(16):
        lab.wire(lab.host(f"a{number}"), lab.host(f"b{number}"))
    one, _ = lab.line("one", "two")
    assert one.addresses == ["10.0.17.1", "fd00:0:11::1"]


def test_a_link_local_address_is_pinged_with_its_zone(lab: Lab) -> None:
    """RFC 4007 11: the device stands behind the address; without it, or with another's, there is no such neighbour."""
    a, r, b = lab.line("a", "r", "b")
    assert r.link_local(a) == "fe80::ff:fe00:201"  # of its MAC, 02:00:00:00:02:01
    assert a.ping(f"{r.link_local(a)}%r") == 0
    assert a.received[-1] == match.icmp6(type=129, src=r.link_local(a), dst=a.link_local(), ttl=64)
    with pytest.raises(OSError) as caught:
        a.ping(r.link_local(a))
    assert caught.value.errno == errno.EINVAL
    b.clear()
    with pytest.raises(OSError) as caught:
        r.ping(f"{a.link_local()}%b", timeout=4)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert b.received == []
    assert match.ndp(type=135, target=a.link_local()) in b.received_ndp


def test_a_ping_with_a_small_hop_limit_shows_the_hop(lab: Lab) -> None:
    """RFC 4443 3.3: what traceroute is made of."""
    a, r, b = lab.line("a", "r", "b")
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, ttl=1)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert a.received == [match.icmp6(type=3, code=0, src=r.addr6_towards(a), quotes=a.sent[0])]


def test_a_ping_that_must_not_be_fragmented(lab: Lab) -> None:
    """RFC 8201 4: EMSGSIZE, after the router has told the MTU."""
    a, r, b = lab.host("a"), lab.router("r"), lab.host("b")
    lab.wire(a, r)
    lab.wire(r, b, mtu=1400)
    lab.set_routes()
    assert a.ping(b.addr6, size=1352, dont_fragment=True) == 0
    with pytest.raises(OSError) as caught:
        a.ping(b.addr6, size=1353, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    assert a.received[-1] == match.icmp6(type=2, rest=1400, src=r.addr6_towards(a), quotes=a.sent[-1])
    assert a.ping(b.addr6, size=1353) == 0  # in fragments, now that the path is known


def test_udp_of_both_families(lab: Lab) -> None:
    """A socket on ``::`` hears both (RFC 3493 3.7), and the sender's address stands beside each datagram."""
    a, _r, b = lab.line("a", "r", "b")
    echo = b.udp(7, "::")
    echo.answer(lambda data, peer: data.upper())
    six, four = a.udp(addr="::"), a.udp()
    six.send(b"six", b.addr6, 7)
    assert six.recv()[:3] == (b"SIX", b.addr6, 7)
    four.send(b"four", b, 7)
    assert four.recv()[:3] == (b"FOUR", b.addr, 7)
    assert [datagram.addr for datagram in echo.received] == [a.addr6, f"::ffff:{a.addr}"]
    near = lab["r"].udp(9, "::")
    six.send(b"near", f"{lab['r'].link_local(a)}%r", 9)
    assert near.recv().addr == f"{a.link_local()}%{lab['r'].device_towards(a).ifindex}"


def test_a_packet_goes_to_the_next_hop_by_its_version(lab: Lab) -> None:
    """What begins with the digit 6 is sent as IPv6, past the stack, to the gateway's MAC, or to a group's."""
    a, r, b = lab.line("a", "r", "b")
    sent = a.send(frames.ipv6_echo(a, b, ident=7))
    assert sent == match.icmp6(type=128, eth_src=a.mac, eth_dst=r.device_towards(a).mac)
    assert a.send(frames.ipv6_echo(a, "ff02::1"))[:6] == frames.group_mac6("ff02::1")
    near = frames.ipv6_echo(a.link_local(), r.link_local(a))
    assert a.send_packet(near, "r")[:6] == r.device_towards(a).mac
    lab.run_until_idle()
    assert match.icmp6(type=128, ident=7, ttl=63) in b.received
    with pytest.raises(LabError, match="nobody on the link r-b has fd00:0:2::9"):
        r.send(frames.ipv6_echo(r, "fd00:0:2::9"))


def test_a_probe_has_ipv6_too(lab: Lab) -> None:
    """It gets an address of the wire, finds the router, and answers solicitations when it is asked to."""
    p, r = lab.probe("p", arp=True), lab.router("r")
    lab.wire(p, r, resolve=True)
    lab.wire(r, lab.host("b"))
    lab.set_routes()
    assert (p.addr6, p.link_local()) == ("fd00:0:1::2", "fe80::ff:fe00:100")
    p.send(frames.ipv6_echo(p, "fd00:0:2::2", ident=3))
    lab.run_until_idle()
    assert p.received == [match.icmp6(type=129, ident=3, src="fd00:0:2::2", dst=p.addr6)]
    assert match.ndp(type=135, target=p.addr6) in p.received_ndp
    assert match.ndp(type=136, target=p.addr6, solicited=True, target_mac=p.mac) in p.sent_ndp


def test_real_discovery(lab: Lab) -> None:
    """With `resolve` neighbours are found by NDP; addresses are used at once (0 transmits) and advertised."""
    a, r = lab.line("a", lab.router("r"), resolve=True)
    assert a.ping(r.addr6) == 0
    told = [frame for frame in a.sent_ndp if frame == match.ndp(type=136, dst=frames.ALL_NODES)]
    assert [
        frame == match.ndp(target=target) for frame, target in zip(told, (a.link_local(), a.addr6), strict=True)
    ] == [
        True,
        True,
    ]
    question = match.ndp(type=135, src=a.addr6, target=r.addr6, source_mac=a.mac, dst=frames.solicited_node(r))
    answer = match.ndp(type=136, src=r.addr6, dst=a.addr6, router=True, solicited=True, override=True, target_mac=r.mac)
    assert [frame for frame in a.sent_ndp if frame == match.ndp(type=135)] == [question]
    assert [frame for frame in a.received_ndp if frame == match.ndp(solicited=True)] == [answer]
    lab.run_until_idle()
    states = [neigh.state.name for neigh in a.ns.neigh6.entries(lab.now)]
    assert states == ["REACHABLE", "REACHABLE"]  # r's address of the link too, which asks for a's
    assert a.sent_groups != []


def test_what_keeps_a_link_going_is_recorded_apart(lab: Lab) -> None:
    """ARP, NDP and the reports of groups are not among `received`; redirects and everything else are."""
    a, r = lab.line("a", lab.router("r"), resolve=True)
    a.ping(r)
    a.ping(r.addr6)
    lab.run_until_idle()
    assert a.received == [match.icmp4(type=0), match.icmp6(type=129)]
    assert len(a.received_arp) > 0 < len(a.received_ndp)
    assert all(frame == match.ndp() for frame in a.received_ndp)
    assert all(frame == match.mld() for frame in a.received_groups)
    redirect = frames.redirect6(a.link_local(), r.link_local(), "fd00::1", "fd00::2")
    a.send(frames.ipv6(a.link_local(), r.link_local(), frames.ICMPV6, redirect, hop_limit=255), "r")
    lab.run_until_idle()
    assert r.received[-1] == match.ndp(type=137)


def test_namespaces_of_one_stack_share_no_zone(lab: Lab) -> None:
    """One more namespace of a router is a node with IPv6 of its own."""
    r = lab.router("r")
    red = r.add_netns("red")
    a, b = lab.host("a"), lab.host("b")
    lab.wire(r, a)
    lab.wire(red, b)
    lab.set_routes()
    assert (a.ping(r.addr6), b.ping(red.addr6)) == (0, 0)
    with pytest.raises(OSError):
        a.ping(b.addr6)


@pytest.mark.lab(ipv6=False)
def test_a_lab_of_ipv4_alone(lab: Lab) -> None:
    """No device has IPv6, not even an address of its link."""
    a, _r, b = lab.line("a", "r", "b")
    assert (a.addresses, a.ping(b)) == (["10.0.1.2"], 0)
    with pytest.raises(LabError, match="a has no link-local address"):
        a.link_local()
    with pytest.raises(LabError, match="b has no IPv6 address"):
        a.ping(b.addr6)


def test_a_narrow_wire_has_no_ipv6(lab: Lab) -> None:
    """RFC 8200 5: a link must take 1280 bytes."""
    a, r, b = lab.host("a"), lab.router("r"), lab.host("b")
    lab.wire(a, r, mtu=1279)
    lab.wire(r, b, mtu=1280)
    lab.set_routes()
    assert (a.addresses, b.addresses) == (["10.0.1.2"], ["10.0.2.2", "fd00:0:2::2"])
    assert a.ping(b) == 0


def test_addresses_by_hand(lab: Lab) -> None:
    """Several for an end, of any family; what is not said is not there."""
    a, b = lab.host("a"), lab.host("b")
    lab.wire(a, b, addresses=(("192.0.2.1/24", "2001:db8::1/64", "2001:db8::11/64"), "2001:db8::2/64"))
    assert a.addresses == ["192.0.2.1", "2001:db8::1", "2001:db8::11"]
    assert (b.addresses, b.addr) == (["2001:db8::2"], "2001:db8::2")
    assert a.ping(b) == 0
    assert a.sent[0] == match.icmp6(src="2001:db8::1", dst="2001:db8::2")


def test_idle_does_not_wait_for_routers_that_advertise(lab: Lab) -> None:
    """What goes on for ever is housekeeping; a host's addresses of it are waited for by `run_until`."""
    from vrouter.stack.l2.router_advert import RaConf

    r, h = lab.router("r"), lab.host("h")
    lab.wire(r, h, addresses=("2001:db8::1/64", None))
    h.ns.set_autoconf("r", True, now=lab.now)
    r.ns.set_ra("h", RaConf(), now=lab.now)
    lab.run_until(lambda: h.addresses)
    lab.run_until_idle()
    assert h.addresses == ["2001:db8::ff:fe00:201"]
    assert h.ping("2001:db8::1") == 0
