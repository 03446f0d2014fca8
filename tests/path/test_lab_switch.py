"""Switches of the lab: bridges in a network, their spanning tree, and VLANs.

::

    a ── s1 ─── s2 ── b
           \\   /
            s3 ── c
"""

import pytest

from vrouter.testing import Lab, frames, match


def ring(lab: Lab, **options):
    """Three switches in a ring, with a host at each."""
    switches = [lab.switch(f"s{number}", **options) for number in (1, 2, 3)]
    for one, two in ((0, 1), (1, 2), (2, 0)):
        lab.wire(switches[one], switches[two])
    hosts = [lab.host(name) for name in "abc"]
    for host, switch in zip(hosts, switches, strict=True):
        lab.wire(host, switch)
    return switches, hosts


def blocked(switches) -> list[tuple[str, str]]:
    """The ports that forward nothing."""
    return [
        (switch.name, dev)
        for switch in switches
        for dev, state in switch.port_states().items()
        if state != "forwarding"
    ]


def test_stations_of_one_switch_are_one_link(lab: Lab) -> None:
    """They have addresses of one network; what the bridge has learnt goes to one port alone."""
    s = lab.switch("s", stp="none")
    a, b, c = (lab.host(name) for name in "abc")
    for host in (a, b, c):
        lab.wire(host, s)
    assert [host.addr for host in (a, b, c)] == ["10.0.1.1", "10.0.1.2", "10.0.1.3"]
    assert [host.addr6 for host in (a, b, c)] == ["fd00:0:1::1", "fd00:0:1::2", "fd00:0:1::3"]
    assert (a.ping(b), a.ping(b.addr6)) == (0, 0)
    assert c.received == []
    assert s.learnt() == {a.mac: "a", b.mac: "b", c.mac: "c"}  # each has announced its addresses


@pytest.mark.parametrize("stp", ["rstp", "stp"])
def test_three_switches_in_a_ring(lab: Lab, stp: str) -> None:
    """IEEE 802.1D 17: exactly one port of the ring forwards nothing, and every frame comes once. By the older protocol
    that takes max_age and forward_delay (17.29.1, 17.30)."""
    switches, (a, b, c) = ring(lab, stp=stp)
    lab.run_for(1 if stp == "rstp" else 35)
    assert len(blocked(switches)) == 1
    assert (a.ping(b), b.ping(c.addr6), c.ping(a)) == (0, 0, 0)
    a.clear()
    b.send_frame(frames.ethernet(frames.BROADCAST, b.mac, 0x88B5, b"once"))
    lab.run_until_idle()
    assert a.received == [frames.ethernet(frames.BROADCAST, b.mac, 0x88B5, b"once")]
    assert a.received_stp != []


def test_a_cut_wire_is_gone_around(lab: Lab) -> None:
    """IEEE 802.1D 17.3: with RSTP the alternate port takes over within a few seconds; mended, the ring has one blocked
    port again."""
    switches, (a, b, c) = ring(lab)
    lab.run_for(5)
    (name, dev), *_ = blocked(switches)
    used = next(wire for wire in lab.wires[:3] if {end.station.name for end in wire.ends} != {name, dev})
    used.cut()
    lab.run_for(5)
    lab.run_until_idle()
    assert (a.ping(b, timeout=3), b.ping(c), c.ping(a.addr6)) == (0, 0, 0)
    used.mend()
    lab.run_for(5)
    assert len(blocked(switches)) == 1
    assert (a.ping(b), b.ping(c)) == (0, 0)


def test_idle_does_not_wait_for_switches(lab: Lab) -> None:
    """Hellos and the ageing of addresses go on for ever, and keep no network from being idle."""
    ring(lab)
    lab.run_until_idle()
    before = lab.now
    lab.run_until_idle()
    assert lab.now == before


def test_vlans_of_hosts(lab: Lab) -> None:
    """IEEE 802.1Q: a host's VLAN is its port's; those of one VLAN share a network and see no other's frames."""
    s1, s2 = lab.switch("s1"), lab.switch("s2")
    trunk = lab.wire(s1, s2, trunk=(10, 20))
    a, b = lab.host("a", vlan=10), lab.host("b", vlan=10)
    c, d = lab.host("c", vlan=20), lab.host("d")
    for host, switch in ((a, s1), (b, s2), (c, s2)):
        lab.wire(host, switch)
    lab.wire(d, s1, vlan=20)
    lab.run_for(5)
    assert [a.addr, b.addr, c.addr, d.addr] == ["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2"]
    for host in (a, b, c, d):
        host.clear()
    assert (a.ping(b), c.ping(d.addr6)) == (0, 0)
    assert match.arp(spa=a) not in c.received_arp
    assert match.arp(spa=a) in b.received_arp
    assert s2.learnt(10)[a.mac] == "s1"
    assert trunk.name == "s1-s2"


def test_a_router_between_vlans(lab: Lab) -> None:
    """A router on a stick: a vlan device for each VLAN of its trunk, with addresses of that VLAN's network."""
    s, r = lab.switch("s"), lab.router("r")
    lab.wire(r, s, trunk=(10, 20))
    a, b = lab.host("a", vlan=10), lab.host("b", vlan=20)
    for host in (a, b):
        lab.wire(host, s)
    lab.set_routes()
    assert sorted(r.ns.devices) == ["lo", "s", "s.10", "s.20"]
    assert r.addresses == ["10.0.1.1", "fd00:0:1::1", "10.0.2.1", "fd00:0:2::1"]
    assert (a.ping(b, timeout=5), b.ping(a.addr6, timeout=5)) == (0, 0)
    assert match.icmp4(type=8, src=a, ttl=63) in b.received


def test_vlans_without_a_switch(lab: Lab) -> None:
    """Two stations on one wire: a device above it for each VLAN, and none of its own network where none is said."""
    a, b = lab.host("a"), lab.host("b")
    lab.wire(a, b, trunk=(7, 8))
    assert a.addresses == ["10.0.1.1", "fd00:0:1::1", "10.0.2.1", "fd00:0:2::1"]
    assert (a.ping("10.0.2.2"), a.ping("fd00:0:1::2")) == (0, 0)
    assert b.received[0] == match.icmp4(type=8, vlan=8)


def test_what_a_port_does_can_be_set(lab: Lab) -> None:
    """`set_port` and `set_bridge` are the namespace's."""
    s = lab.switch("s", stp="none", ageing_time=10)
    a, b = lab.host("a"), lab.host("b")
    for host in (a, b):
        lab.wire(host, s)
    for host in (a, b):
        s.set_port(host, isolated=True)
    with pytest.raises(OSError):
        a.ping(b, timeout=4)
    s.set_port(a, isolated=False)
    assert a.ping(b) == 0
    lab.run_for(400)
    assert s.learnt() == {}
    s.set_bridge(stp="rstp")
    assert s.ns.bridge_rows()[0]["stp"] == "rstp"


def test_a_switch_may_have_an_address(lab: Lab) -> None:
    """Its bridge device is a station of the link, as any switch that is managed."""
    s, a = lab.switch("s", stp="none"), lab.host("a")
    lab.wire(a, s)
    s.ns.add_address("br0", "10.0.1.254/24", now=lab.now)
    s.ns.sysctl["net.ipv6.conf.br0.disable_ipv6"] = 0
    s.ns.add_address("br0", "fd00:0:1::ff/64", now=lab.now)
    lab.run_until_idle()
    assert (a.ping("10.0.1.254"), a.ping("fd00:0:1::ff"), s.ping(a.addr6)) == (0, 0, 0)
