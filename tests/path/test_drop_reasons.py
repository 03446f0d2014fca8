"""Every drop reason is reached by a packet that goes through the whole stack, and dies of it.

The table is complete by its own test: a reason without a way to reach it is a mistake.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.path import tcp_drops
from tests.path.bed import Bed
from vrouter.stack.base.drop import DROP_TABLE, DropReason, Layer
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.hooks.hooks import Hooks
from vrouter.testing import frames

Scenario = Callable[[Bed], object]


def packet(dst: str = "10.0.2.2", src: str = "10.0.1.2", payload: bytes = b"x", **header: Any) -> bytes:
    """A UDP packet from a."""
    return frames.ipv4_udp(src, dst, 1000, 7, payload, **header)


def sends(dst: str = "10.0.2.2", src: str = "10.0.1.2", **header: Any) -> Scenario:
    """a sends a UDP packet."""
    return lambda bed: bed.a.send(packet(dst, src, **header))


def raw(change: Callable[[Bed, bytes], bytes]) -> Scenario:
    """a sends a good frame with a change."""
    return lambda bed: bed.a.send_frame(change(bed, bed.a.frame(packet())))


def asks(target: str, sender: str = "10.0.1.2", **wrong: int) -> Scenario:
    """a sends an ARP request."""
    return lambda bed: bed.a.send_arp(frames.arp_request(bed.a.mac, sender, target, **wrong))


def piece(offset: int, size: int, *, mf: bool = True, fill: int = 0) -> bytes:
    """A fragment for r."""
    return frames.ipv4("10.0.1.2", "10.0.1.1", 17, bytes([fill]) * size, offset=offset, mf=mf, ident=9)


def pieces(*found: bytes) -> Scenario:
    """a sends fragments."""
    return lambda bed: [bed.a.send(one) for one in found]


def icmp(message: bytes) -> Scenario:
    """a sends an ICMP message to r."""
    return lambda bed: bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 1, message))


def routed(kind: str) -> Scenario:
    """A route of this type is met."""

    def scenario(bed: Bed) -> None:
        bed.r.add_route("192.0.2.0/24", type=kind, now=bed.now)
        bed.a.send(packet("192.0.2.1"))

    return scenario


def with_setting(name: str, value: int, then: Scenario) -> Scenario:
    """A setting is changed first."""

    def scenario(bed: Bed) -> None:
        bed.r.sysctl[name] = value
        then(bed)

    return scenario


def vnet_header(bed: Bed) -> None:
    """A virtio-net header of an unknown kind."""
    c = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2", vnet_hdr=True)
    bed.settle()
    c.send_frame(bytes((0, 99)) + bytes(10) + c.frame(packet()))


def device_down(bed: Bed) -> None:
    """A frame at a device that is down."""
    bed.r.set_device("a", up=False, now=bed.now)
    bed.a.send(packet())


def closing(bed: Bed) -> None:
    """A packet waits for a neighbour at a device that is removed."""
    bed.a.send(packet("10.0.2.77"))
    bed.stack.remove_device(bed.b.dev, now=bed.now)


def denied(bed: Bed) -> None:
    """A crossing that the target does not accept."""
    bed.stack.add_netns("blue", now=bed.now)
    bed.r.add_route("192.0.2.0/24", netns="blue", now=bed.now)
    bed.a.send(packet("192.0.2.1"))


def circle(bed: Bed) -> None:
    """Two namespaces that send everything to each other."""
    blue = bed.stack.add_netns("blue", accept_from=["r"], now=bed.now)
    blue.sysctl["net.ipv4.ip_forward"] = 1
    bed.r.accept_from = frozenset(["blue"])
    bed.r.add_route("192.0.2.0/24", netns="blue", now=bed.now)
    blue.add_route("192.0.2.0/24", netns="r", now=bed.now)
    bed.a.send(packet("192.0.2.1"))


def arp_flood(bed: Bed) -> None:
    """More questions than a device answers."""
    for _ in range(1001):
        asks("10.0.1.1")(bed)


def asks6(target: str, count: int = 1, **wrong: int) -> Scenario:
    """a, which has IPv6 now, gets neighbour solicitations."""

    def scenario(bed: Bed) -> None:
        bed.r.sysctl["net.ipv6.conf.a.dad_transmits"] = 0
        bed.r.sysctl["net.ipv6.conf.a.disable_ipv6"] = 0
        bed.r.add_address("a", "2001:db8:1::1/64", now=bed.now)
        src, dst = "2001:db8:1::2", "2001:db8:1::1"
        message = frames.neighbour_solicitation(src, dst, target, mac=bed.a.mac)
        for _ in range(count):
            bed.a.send_frame(
                bed.a.frame(frames.ipv6(src, dst, 58, message, **{"hop_limit": 255} | wrong), ethertype=0x86DD)
            )

    return scenario


def silent_neighbour(bed: Bed) -> None:
    """Nobody answers for the next hop."""
    bed.a.send(packet("10.0.2.77"))
    bed.run_for(3)


def full_neighbour_queue(bed: Bed) -> None:
    """One packet more than wait for a neighbour."""
    for _ in range(102):
        bed.a.send(packet("10.0.2.77"))


def many_neighbours(bed: Bed) -> None:
    """More next hops than the table holds."""
    bed.r.sysctl["net.ipv4.neigh.default.gc_thresh3"] = 2
    for host in (77, 78, 79):
        bed.a.send(packet(f"10.0.2.{host}"))


def overdue(bed: Bed) -> None:
    """A fragment waits too long."""
    bed.a.send(piece(0, 800))
    bed.run_for(30)


def errors_in_a_row(bed: Bed) -> None:
    """More errors than one peer is sent."""
    for _ in range(7):
        bed.a.send(packet("192.0.2.1"))


def deaf_socket(bed: Bed) -> None:
    """A program that does not read."""
    bed.udp(7)
    for _ in range(300):
        bed.a.send(packet("10.0.1.1"))


def nameless_router(bed: Bed) -> None:
    """An error is due, and no address is there to send it from."""
    for dev in ("a", "b"):
        for own in list(bed.r.device(dev).addresses):
            bed.r.del_address(dev, f"10.0.{1 if dev == 'a' else 2}.1/{own.length}", now=bed.now)
    bed.r.add_route("10.0.1.0/24", dev="a", now=bed.now)
    bed.a.send(packet("192.0.2.1"))


def silent_wire(bed: Bed) -> None:
    """A route leads out by a device that went down while the packet was under way."""

    def unplug(ns: object, pkt: object, now: int) -> int:
        bed.b.dev.ready = False
        return 0

    bed.r.hooks = Hooks()
    bed.r.hooks.register(hook.FORWARD, 0, unplug)
    bed.a.send(packet())


def bridged(dst: str | bytes, bridge: dict[str, Any], **port: Any) -> Scenario:
    """A frame at a bridge's port."""

    def scenario(bed: Bed) -> None:
        bed.r.add_device("br0", kind="bridge", now=bed.now)
        bed.r.set_bridge("br0", now=bed.now, **bridge)
        c = bed.station(bed.r, "c")
        bed.r.set_port("c", bridge="br0", now=bed.now, **port)
        c.send_frame(frames.ethernet(dst, c.mac, 0x88B5, bytes(46)))

    return scenario


def failed_egress(reason: DropReason) -> Scenario:
    """The driver reports that a frame was not sent."""

    def scenario(bed: Bed) -> None:
        bed.a.send(packet())
        bed.stack.egress_failed(bed.b.dev, len(bed.b.received[0]), reason)

    return scenario


SCENARIOS: dict[DropReason, Scenario] = {
    DropReason.VNET_HDR: vnet_header,
    DropReason.DEV_READY: device_down,
    DropReason.PKT_TOO_SMALL: raw(lambda bed, frame: frame[:13]),
    DropReason.FRAME_TOO_LONG: raw(lambda bed, frame: frame.ljust(1600, b"\0")),
    DropReason.NS_UNMAPPED: raw(lambda bed, frame: frame[:12] + b"\x81\0\0\x64" + frame[12:]),
    DropReason.NS_CLOSING: closing,
    DropReason.CROSSING_DENIED: denied,
    DropReason.CROSSING_LOOP: circle,
    DropReason.ETH_SRC_INVALID: raw(lambda bed, frame: frame[:6] + b"\xff" * 6 + frame[12:]),
    DropReason.OTHERHOST: raw(lambda bed, frame: bed.b.mac + frame[6:]),
    DropReason.UNHANDLED_PROTO: raw(lambda bed, frame: frame[:12] + b"\x88\xcc" + frame[14:]),
    DropReason.VLAN_NOT_ALLOWED: bridged(frames.BROADCAST, {"vlan_filtering": True}, pvid=0),
    DropReason.BRIDGE_INGRESS_STP_STATE: bridged(frames.BROADCAST, {}, state="blocking"),
    DropReason.BRIDGE_STORM: bridged(frames.BROADCAST, {}, storm={"broadcast": 0}),
    DropReason.NO_TX_TARGET: bridged("02:00:00:00:77:77", {}),
    DropReason.BPDU_INVALID: bridged("01:80:c2:00:00:00", {"stp": "rstp"}),
    DropReason.ARP_INVALID: asks("10.0.1.1", htype=6),
    DropReason.ARP_NOT_ON_LINK: asks("10.0.1.9", "10.0.1.33"),
    DropReason.ARP_RATELIMIT: arp_flood,
    DropReason.NDP_INVALID: asks6("2001:db8:1::1", hop_limit=64),
    DropReason.NDP_NOT_ON_LINK: asks6("2001:db8:1::9"),
    DropReason.NDP_RATELIMIT: asks6("2001:db8:1::1", 1001),
    DropReason.NEIGH_FAILED: silent_neighbour,
    DropReason.NEIGH_QUEUEFULL: full_neighbour_queue,
    DropReason.NEIGH_TABLEFULL: many_neighbours,
    DropReason.IPV6DISABLED: lambda bed: bed.a.send_frame(
        bed.a.frame(frames.ipv6_echo("fd00::2", "fd00::1"), ethertype=frames.IPV6)
    ),
    DropReason.HDR_TRUNC: raw(lambda bed, frame: frame[:30]),
    DropReason.IP_VERSION: sends(version=5),
    DropReason.IP_INHDR: sends(ihl=4),
    DropReason.IP_CSUM: sends(checksum=1),
    DropReason.IP_OPTIONS: sends(options=bytes((131, 7, 4, 10, 0, 2, 9, 0))),
    DropReason.IP_INVALID_SOURCE: sends(src="224.0.0.1"),
    DropReason.IP_INVALID_DEST: sends("240.0.0.1"),
    DropReason.IP_LOCAL_SOURCE: sends(src="10.0.2.1"),
    DropReason.IP_LOCALNET: sends("127.0.0.1"),
    DropReason.IP_RPFILTER: with_setting("net.ipv4.conf.a.rp_filter", 1, sends(src="10.0.2.9")),
    DropReason.UNICAST_IN_L2_MULTICAST: lambda bed: bed.a.send(packet(), dst_mac=frames.BROADCAST),
    DropReason.DUP_FRAG: pieces(piece(0, 800), piece(0, 800)),
    DropReason.FRAG_INVALID: pieces(piece(0, 801)),
    DropReason.FRAG_OVERLAP: pieces(piece(0, 800), piece(8, 800)),
    DropReason.FRAG_TOO_FAR: pieces(piece(0, 800), piece(8, 800), piece(1600, 8)),
    DropReason.FRAG_REASM_TIMEOUT: overdue,
    DropReason.FRAG_MEM: with_setting("net.ipv4.ipfrag_high_thresh", 0, pieces(piece(0, 800))),
    DropReason.IP_INNOROUTES: sends("192.0.2.1"),
    DropReason.ROUTE_BLACKHOLE: routed("blackhole"),
    DropReason.ROUTE_UNREACHABLE: routed("unreachable"),
    DropReason.ROUTE_PROHIBIT: routed("prohibit"),
    DropReason.FORWARDING_DISABLED: with_setting("net.ipv4.ip_forward", 0, sends()),
    DropReason.FORWARD_LINK_LOCAL: sends(src="169.254.1.1"),
    DropReason.TTL_EXPIRED: sends(ttl=1),
    DropReason.PKT_TOO_BIG: lambda bed: (
        bed.r.set_device("b", mtu=576, now=bed.now),
        bed.a.send(packet(payload=bytes(1000), df=True)),
    ),
    DropReason.MCAST_NO_INTEREST: sends("239.1.2.3"),
    DropReason.IP_NOPROTO: lambda bed: bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 99)),
    DropReason.L4_HDR: lambda bed: bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 17, bytes(7))),
    DropReason.UDP_CSUM: lambda bed: bed.a.send(
        frames.ipv4("10.0.1.2", "10.0.1.1", 17, frames.udp("10.0.1.2", "10.0.1.1", 1, 7, checksum=1))
    ),
    DropReason.ICMP_CSUM: icmp(frames.icmp_echo(checksum=1)),
    DropReason.ICMP_TYPE: icmp(frames.icmp(77, 0)),
    DropReason.ICMP_IGNORED: icmp(frames.icmp(17, 0, 0, bytes(4))),
    DropReason.MEMBERSHIP_INVALID: lambda bed: bed.a.send(
        frames.ipv4("10.0.1.2", "224.0.0.1", frames.IGMP, bytes(7), ttl=1), dst_mac=frames.group_mac("224.0.0.1")
    ),
    DropReason.ICMP_RATELIMIT: errors_in_a_row,
    DropReason.NO_SOCKET: sends("10.0.1.1"),
    DropReason.SOCKET_RCVBUFF: deaf_socket,
    DropReason.IP_OUTNOROUTES: sends(src="203.0.113.1", ttl=1),
    DropReason.NO_SOURCE_ADDR: nameless_router,
    DropReason.TX_DEV_READY: silent_wire,
    DropReason.FULL_RING: failed_egress(DropReason.FULL_RING),
    DropReason.TX_ERROR: failed_egress(DropReason.TX_ERROR),
    **tcp_drops.SCENARIOS,
}
BESIDE = {
    DropReason.FRAG_TOO_FAR: {DropReason.FRAG_OVERLAP},
    DropReason.ICMP_RATELIMIT: {DropReason.IP_INNOROUTES},
    DropReason.IP_OUTNOROUTES: {DropReason.TTL_EXPIRED},
    DropReason.NO_SOURCE_ADDR: {DropReason.IP_INNOROUTES},
}


def drops(bed: Bed) -> dict[DropReason, int]:
    """Every drop that the whole stack has counted."""
    found: dict[DropReason, int] = {}
    for ns in bed.stack.namespaces.values():
        for name, count in ns.drop_counts().items():
            found[DropReason[name]] = found.get(DropReason[name], 0) + count
    return found


def test_no_reason_is_missing() -> None:
    """There is no UNKNOWN, and no reason that nothing produces."""
    assert set(SCENARIOS) == set(DROP_TABLE) == set(DropReason) - {DropReason.NOT_DROPPED}


@pytest.mark.parametrize("reason", SCENARIOS, ids=lambda reason: reason.name)
def test_a_packet_dies_of_it(bed: Bed, reason: DropReason) -> None:
    """Exactly one reason for each packet that is refused, counted under it and nowhere else."""
    SCENARIOS[reason](bed)
    assert set(drops(bed)) == {reason} | BESIDE.get(reason, set())


@pytest.mark.parametrize("reason", [r for r, row in DROP_TABLE.items() if row.layer in (Layer.EGRESS, Layer.NEIGHBOUR)])
def test_reasons_of_the_way_out_are_counted_at_the_way_out(bed: Bed, reason: DropReason) -> None:
    """Tx_drops are those of the device that a packet was to leave by, rx_drops of the one it came in by."""
    SCENARIOS[reason](bed)
    assert bed.b.dev.tx_drops == drops(bed)[reason]
    assert (bed.a.dev.rx_drops, bed.a.dev.tx_drops, bed.b.dev.rx_drops) == (0, 0, 0)


def test_a_hook_can_give_any_reason(bed: Bed) -> None:
    """A hook's verdict is a reason of the same table."""
    for reason in DROP_TABLE:
        bed.r.hooks = hook.Hooks()
        bed.r.hooks.register(hook.PREROUTING, 0, lambda ns, pkt, now, reason=reason: int(reason))
        bed.a.send(packet())
    assert set(drops(bed)) == set(DROP_TABLE)
