"""The lab: topology, what nodes can do, and exact expectations.

a (10.0.1.2, fd00:0:1::2) ── (10.0.1.1, fd00:0:1::1) r (10.0.2.1, fd00:0:2::1) ── (10.0.2.2, fd00:0:2::2) b
"""

import re

import pytest

from vrouter.stack import DropReason
from vrouter.testing import Lab, LabError, frames, match


def test_a_line_has_addresses_routes_and_neighbours(lab) -> None:
    """A router has .1 and ::1 of each wire's networks, a host .2 and ::2; hosts default to the router; no address is to
    be resolved."""
    a, r, b = lab.line("a", "r", "b")
    assert (a.addresses, b.addresses) == (["10.0.1.2", "fd00:0:1::2"], ["10.0.2.2", "fd00:0:2::2"])
    assert r.addresses == ["10.0.1.1", "fd00:0:1::1", "10.0.2.1", "fd00:0:2::1"]
    assert (r.addr_towards(a), r.addr_towards(b), a.addr_towards(b)) == ("10.0.1.1", "10.0.2.1", "10.0.1.2")
    assert sorted(r.ns.devices) == ["a", "b", "lo"]
    assert [neigh.state.name for neigh in a.ns.neigh4.entries(lab.now)] == ["PERMANENT"]
    assert a.ping(b) == 0
    assert (a.sent_arp, r.sent_arp, b.sent_arp) == ([], [], [])


def test_two_hosts_and_two_routers_in_a_row(lab) -> None:
    """Of two hosts the first has .1; of two routers too; static routes lead through all routers, both ways."""
    a, r, s, t, b = lab.line("a", "r", "s", "t", "b")
    c, d = lab.line("c", "d")
    assert (s.addr_towards(r), s.addr_towards(t), t.addr_towards(s)) == ("10.0.2.2", "10.0.3.1", "10.0.3.2")
    assert (c.addr, d.addr) == ("10.0.5.1", "10.0.5.2")
    assert (a.ping(b), b.ping(a), c.ping(d)) == (0, 0, 0)
    assert [frame for frame in b.received if frame == match.icmp4(type=8)] == [match.icmp4(type=8, src=a, ttl=61)]


def test_what_is_not_connected_is_not_reached(lab) -> None:
    """A node without a way is refused as a socket would be: ENETUNREACH."""
    c, d = lab.line("c", "d")
    e = lab.host("e")
    with pytest.raises(OSError, match="unreachable"):
        e.ping(c)
    assert d.received == []
    with pytest.raises(LabError, match="e has no address"):
        c.ping(e)


def test_real_resolution(lab) -> None:
    """With `resolve` neighbours are found by ARP, after the announcements of RFC 5227 2.3."""
    a, r = lab.line("a", lab.router("r"), resolve=True)
    assert a.ping(r) == 0
    assert a.received_arp == [
        match.arp(op=1, spa=r, tpa=r, eth_dst=frames.BROADCAST),
        match.arp(op=2, spa=r, sha=r.mac, tpa=a),
    ]
    lab.run_until_idle()
    announced = [frame for frame in a.sent_arp if frame == match.arp(op=1, spa=a, tpa=a)]
    assert (len(announced), lab.now) == (2, 5_000_000_000)  # STALE, 5 s of DELAY, PROBE, answered
    assert [neigh.state.name for neigh in a.ns.neigh4.entries(lab.now)] == ["REACHABLE"]


def test_a_frame_is_put_on_the_wire_past_the_stack(lab) -> None:
    """`send` gives a packet its Ethernet header towards the next hop; the counters of the sender do not move."""
    a, r, b = lab.line("a", "r", "b")
    probe = frames.ipv4_udp(a, b, 1000, 7, b"x", ttl=1)
    with (
        a.counters.expect(rx=1, IpInReceives=1, IpInDelivers=1, IcmpInMsgs=1, IcmpInTimeExcds=1),
        r.counters.expect(
            rx={"a": 1},
            tx={"a": 1},
            drops={DropReason.TTL_EXPIRED: 1},
            IpInReceives=1,
            IpOutRequests=1,
            IcmpOutMsgs=1,
            IcmpOutTimeExcds=1,
        ),
        b.counters.expect(),
    ):
        sent = a.send(probe)
        lab.run_until_idle()
    assert sent == frames.ethernet(r.ns.devices["a"].mac, a.mac, frames.IPV4, probe)
    assert a.sent == [sent]
    assert b.received == []
    assert a.received == [match.icmp4(type=11, code=0, src=r.addr_towards(a), quotes=sent)]


def test_what_cannot_be_sent_says_why(lab) -> None:
    """A packet to nobody, a station with several devices, bytes without a destination: each is told."""
    a, r, _ = lab.line("a", "r", "b")
    with pytest.raises(LabError, match=re.escape("nobody on the link r-b has 10.0.2.77 (there are: b 10.0.2.2)")):
        r.send(frames.ipv4("10.0.2.1", "10.0.2.77", 17))
    with pytest.raises(LabError, match=re.escape("r needs one device to send by, and has: a, b")):
        r.send(frames.arp_request(r.mac, r, a))
    with pytest.raises(LabError, match="12 bytes name no destination"):
        a.send_packet(b"\x45" + bytes(11))
    assert r.sent == []


def test_broken_packets_can_be_sent(lab) -> None:
    """`send_packet` with a MAC address, and `send_frame`, take anything: each reason is the stack's own."""
    a, r, _ = lab.line("a", "r", "b")
    drops = {DropReason.HDR_TRUNC: 1, DropReason.IP_VERSION: 1, DropReason.PKT_TOO_SMALL: 1}
    with r.counters.expect(rx=3, drops=drops, IpInReceives=2):
        a.send_packet(b"\x45", dst_mac=r.mac)
        a.send_packet(frames.ipv4(a, r, 17, version=5), dst_mac=r.mac)
        a.send_frame(b"\x02\0")
        lab.run_until_idle()
    assert len(a.sent) == 3


def test_broadcast_and_multicast_packets_get_group_addresses(lab) -> None:
    """RFC 1112 6.4: the MAC address of a group follows from its IP address; of a broadcast it is all ones."""
    a, b = lab.line("a", "b")
    for dst in ("255.255.255.255", "10.0.1.255", "224.0.0.251"):
        a.send(frames.ipv4_udp(a, dst, 1, 2, b"", ttl=1))
    lab.run_until_idle()
    assert b.received == [
        match.udp(eth_dst="ff:ff:ff:ff:ff:ff", dst="255.255.255.255"),
        match.udp(eth_dst="ff:ff:ff:ff:ff:ff", dst="10.0.1.255"),
        match.udp(eth_dst="01:00:5e:00:00:fb", dst="224.0.0.251"),
    ]


def test_a_probe_only_records_and_injects(lab) -> None:
    """A probe says nothing by itself, with `arp` it answers for its address; a router is its way to other networks."""
    r, b = lab.router("r"), lab.host("b")
    p, q = lab.probe("p"), lab.probe("q", arp=True)
    lab.line(p, r, b)
    lab.wire(q, r, resolve=True)
    lab.set_routes()
    assert (p.addr, q.addr, p.mac) == ("10.0.1.2", "10.0.3.2", "02:00:00:00:03:00")
    p.send(frames.ipv4_echo(p, b))
    q.send(frames.ipv4_echo(q, b))
    lab.run_until_idle()
    assert p.received == [match.icmp4(type=0, src=b, dst=p, ttl=63)]
    assert q.received == [match.icmp4(type=0, src=b, dst=q, ttl=63)]
    assert p.received_arp == []
    assert q.sent_arp == [match.arp(op=2, spa=q, sha=q.mac)]


def test_a_hub_is_one_link_with_many_stations(lab) -> None:
    """On a hub everybody hears everything; routers have the first addresses; redirects need such a link (RFC 792)."""
    a, r, s = lab.host("a"), lab.router("r"), lab.router("s")
    lab.hub("lan", a, r, s)
    b = lab.host("b")
    lab.wire(s, b)
    lab.set_routes()
    assert (r.addr, s.addr, a.addr) == ("10.0.1.1", "10.0.1.2", "10.0.1.3")
    a.ns.del_route("10.0.2.0/24", via=s.addr, now=lab.now)
    a.ns.add_route("10.0.2.0/24", via=r.addr, now=lab.now)
    a.ns.sysctl["net.ipv4.conf.all.accept_redirects"] = 0
    assert a.ping(b) == 0
    assert [f for f in a.received if f == match.icmp4(type=5)] == [
        match.icmp4(type=5, code=1, src=r, rest=frames.ip_int(s.addr_towards(a)))
    ]


def test_namespaces_of_one_stack(lab) -> None:
    """`add_netns`: tenants with the same addresses on one router, each with its own wires, and a short-cut between."""
    r = lab.router("red")
    blue = r.add_netns("blue", accept_from=["red"])
    hosts = [lab.host("h1"), lab.host("h2")]
    for tenant, host in zip((r, blue), hosts, strict=True):
        lab.wire(tenant, host, addresses=("10.0.1.1/24", "10.0.1.2/24"))
    lab.set_routes()
    assert (r.stack is blue.stack, r.addr, blue.addr) == (True, "10.0.1.1", "10.0.1.1")
    assert [host.ping("10.0.1.1") for host in hosts] == [0, 0]
    with (
        blue.counters.expect(),
        r.counters.expect(
            rx=1,
            tx=1,
            IpInReceives=1,
            IpInDelivers=1,
            IpOutRequests=1,
            IcmpInMsgs=1,
            IcmpInEchos=1,
            IcmpOutMsgs=1,
            IcmpOutEchoReps=1,
        ),
    ):
        hosts[0].send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
        lab.run_until_idle()


def test_a_udp_port(lab) -> None:
    """Datagrams arrive with their sender and time; ICMP errors are kept; `recv` gives up after its timeout."""
    a, _, b = lab.line("a", "r", "b", delay=0.001)
    service, client = b.udp(7), a.udp()
    service.answer(lambda data, peer: data.upper() + str(peer[1]).encode())
    client.send(b"x", b, 7)
    assert client.recv() == (b"X%d" % client.port, b.addr, 7, 4_000_000)
    assert service.received == [(b"x", a.addr, client.port, 2_000_000)]
    with pytest.raises(TimeoutError):
        client.recv(timeout=2)
    assert lab.now == 2_004_000_000
    client.socket.connect((b.addr, 9), now=lab.now)
    client.send(b"x", b, 9)
    lab.run_until_idle()
    assert [type(error) for error in client.errors] == [ConnectionRefusedError]
    client.close()
    client.close()


def test_ping(lab) -> None:
    """`ping` takes the wires' time; no reply is TimeoutError, an ICMP error its OSError, as is a size too large."""
    a, _, b = lab.line("a", "r", "b", delay=0.005)
    assert a.ping(b, count=3, interval=1) == 0.02
    assert lab.now == 2_020_000_000
    with pytest.raises(TimeoutError):
        a.ping("10.0.2.9", timeout=0.5)
    with pytest.raises(OSError, match="unreachable") as caught:
        a.ping("10.9.9.9")
    assert caught.value.errno == 101
    with pytest.raises(OSError, match="too long"):
        a.ping(b, size=1473, dont_fragment=True)
    assert a.ping(b, size=4000) == 0.02


def test_a_cut_wire_takes_the_carrier(lab) -> None:
    """Frames under way are lost with the wire, its devices lose their carrier, and routes over it do not count."""
    a, r, b = lab.line("a", "r", "b", delay=1)
    wire = lab.wires[1]
    a.send(frames.ipv4_echo(a, b))
    lab.after(1.5, wire.cut)
    lab.run_until_idle()
    assert wire.towards(b).stats.lost == 1
    assert (r.ns.devices["b"].state, r.ns.devices["b"].error) == ("no-carrier", "the wire is cut")
    with pytest.raises(OSError, match="unreachable"):
        a.ping(b, timeout=5)
    assert a.received == [match.icmp4(type=3, code=0, src=r)]
    wire.mend()
    assert a.ping(b, timeout=5) == 4
    assert [f for f in b.received_arp if f == match.arp(op=1, spa=r.addr_towards(b))] != []


def test_the_mtu_is_both_devices(lab) -> None:
    """A narrow wire makes the router answer "fragmentation needed" with its MTU (RFC 1191 4)."""
    a, r, b = lab.router("a"), lab.router("r"), lab.host("b")
    lab.wire(a, r)
    lab.wire(r, b, mtu=600)
    lab.set_routes()
    assert (r.ns.devices["b"].mtu, b.ns.devices["r"].mtu, r.ns.devices["a"].mtu) == (600, 600, 1500)
    a.send(frames.ipv4_udp(a, b, 1, 2, bytes(1000), df=True))
    lab.run_until_idle()
    assert a.received == [match.icmp4(type=3, code=4, rest=600, src=r)]


def test_an_expectation_that_fails_says_what_moved(lab) -> None:
    """The message names each counter that moved otherwise, with both numbers and the devices."""
    a, r, b = lab.line("a", "r", "b")
    expectation = r.counters.expect(rx=2, tx={"a": 1}, drops={"IP_CSUM": 1}, IpInReceives=1, IcmpOutMsgs=1)
    expectation.__enter__()
    a.send(frames.ipv4_echo(a, b))
    lab.run_until_idle()
    with pytest.raises(LabError) as caught:
        expectation.__exit__(None, None, None)
    assert str(caught.value).splitlines() == [
        "the counters of r moved otherwise than expected:",
        "  tx[b]: moved by 1, not 0",
        "  drops[IP_CSUM]: moved by 0, not 1",
        "  IpInReceives: moved by 2, not 1",
        "  IpForwDatagrams: moved by 2, not 0",
        "  IcmpOutMsgs: moved by 0, not 1",
    ]


def test_an_expectation_does_not_hide_what_went_wrong_inside(lab) -> None:
    """An exception of the block passes; an unknown counter is a TypeError with the one that was meant."""
    a, _ = lab.line("a", "b")
    with pytest.raises(ZeroDivisionError), a.counters.expect(rx=5):
        raise ZeroDivisionError
    with pytest.raises(TypeError, match="did you mean IpInReceives"), a.counters.expect(IpInRecieves=1):
        pass


def test_names_are_taken_once(lab) -> None:
    """Stations have names of their own; a wire needs two of them; who is unknown is named with those that are not."""
    lab.line("a", "b")
    with pytest.raises(LabError, match="there is a 'a' already"):
        lab.host("a")
    with pytest.raises(LabError, match="from a to itself"):
        lab.wire("a", "a")
    with pytest.raises(LabError, match="no station 'c'; there are: a, b"):
        lab.wire("a", "c")
    with pytest.raises(LabError, match="two stations at least"):
        lab.line("a")
    assert repr(lab["a"]) == "<Node a: 10.0.1.1, fd00:0:1::1>"


def test_two_wires_between_the_same_stations(lab) -> None:
    """Devices and wires of a second wire get a number."""
    a, b = lab.host("a"), lab.router("a-very-long-name")
    wires = [lab.wire(a, b), lab.wire(a, b)]
    assert [wire.name for wire in wires] == ["a-a-very-long-name", "a-a-very-long-name-2"]
    assert sorted(a.ns.devices) == ["a-very-long-na2", "a-very-long-nam", "lo"]
    assert sorted(b.ns.devices) == ["a", "a2", "lo"]


def test_the_end_finds_a_lost_packet() -> None:
    """`close` fails when the accounts of a stack differ: here one packet is hidden by hand."""
    lab = Lab()
    a, b = lab.line("a", "b")
    a.ping(b)
    a.ns.devices["b"].tx_packets -= 1
    with pytest.raises(LabError, match="the accounts of a differ"):
        lab.close()


def test_the_end_does_not_cover_an_error() -> None:
    """What went wrong first is what is told."""
    lab = Lab()
    a, b = lab.line("a", "b")
    a.ping(b)
    a.ns.devices["b"].tx_packets -= 1
    with pytest.raises(ZeroDivisionError), lab:
        raise ZeroDivisionError
    with pytest.raises(LabError, match="the accounts of a differ"), lab:
        pass
