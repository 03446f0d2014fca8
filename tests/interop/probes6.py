"""The IPv6 probes that both routers get under ordinary settings: headers, hop limits, routes, ports, addresses."""

from __future__ import annotations

from tests.interop.case import HOST_A, LOCAL_A, LOCAL_B, ROUTER_A, Case, Probe, Whole
from tests.interop.probes import EVERYBODY, bare, echo, icmp, linked, udp
from vrouter.testing import frames

R, R2, RB, B = "fd00:1::1", "fd00:1::129", "fd00:2::1", "fd00:2::2"  # the router's addresses, a host on B
ANYCAST, NOWHERE = "fd00:1::", "fd00:99::1"
GATEWAY = "fd00:9::1"  # by a router on A that has a global name
DETOUR = tuple(f"fd00:19::{n}" for n in range(10))  # by one with a local name; Linux redirects to each now and then
UNREACHABLE, PROHIBITED, BLACKHOLE = "fd00:a::1", "fd00:b::1", "fd00:c::1"
NARROW = "fd00:e::1"  # its route has an MTU of 1280
NODES = frames.ALL_NODES


def grouped(probe: Probe, group: str = "") -> Probe:
    """The probe's packet in the frame that its destination, or `group`, asks for."""

    def link(c: Case) -> Whole:
        packet = probe(c)
        assert isinstance(packet, bytes)
        return c.link(b"\x33\x33" + packet[36:40] if not group else frames.group_mac6(group), packet)

    return link


def edited(at: int, value: bytes, probe: Probe | None = None) -> Probe:
    """A packet to B, or the probe's, with these octets in it."""

    def edit(c: Case) -> bytes:
        made = c.udp(B) if probe is None else probe(c)
        assert isinstance(made, bytes)
        data = bytearray(made)
        data[at : at + len(value)] = value
        return bytes(data)

    return edit


def cut(size: int) -> Probe:
    """The first octets of a packet."""
    return lambda c: c.link(ROUTER_A, c.udp(B)[:size])


def padded(probe: Probe) -> Probe:
    """The packet in a frame that goes on behind it."""

    def pad(c: Case) -> Whole:
        packet = probe(c)
        assert isinstance(packet, bytes)
        return c.link(ROUTER_A, packet + bytes(20))

    return pad


def error(type_: int, code: int, dst: str = B, **header: int) -> Probe:
    return lambda c: c.error(dst, type_, code, **({"ttl": 1} | header))


def datagram(dst: str, payload: bytes = b"x", extra: bytes = b"", **wrong: int) -> Probe:
    """A UDP datagram with something wrong in its header, or behind it."""
    return lambda c: c.ip(dst, frames.UDP, frames.udp(c.src, dst, 1, 9, payload, **wrong) + extra)


def local(probe: Probe) -> Probe:
    """The probe of a case whose only address is link-local."""

    def make(c: Case) -> bytes | list[bytes]:
        return probe(LocalCase(c.number, c.family))

    return make


class LocalCase(Case):
    """A case that speaks from its link-local address."""

    @property
    def src(self) -> str:
        """Its link-local address."""
        return self.local


SOURCES = (
    "::", "::1", "::5", "::ffff:10.1.0.9", "ff02::5", "ff05::5", "ff0e::5", R, RB, ANYCAST, "fd00:2::", B,
    "fec0::5", "fe80::ff:fe00:1", "fe80::77", "2001:db8::5", "2002:a01:9::1", "100::5", "64:ff9b::a01:9", "5f00::5",
)  # fmt: skip
DESTINATIONS = (
    "::", "::1", "::5", "::ffff:10.2.0.2", "fec0::7", "fe80::77", LOCAL_B, ANYCAST, "fd00:2::", "2001:db8::1",
    "2002:a02:2::1", "100::1", "64:ff9b::a02:2",
)  # fmt: skip
GROUPS = (
    "ff00::1", "ff01::1", "ff02::1", "ff02::2", "ff02::5", "ff02::1:ff00:1", "ff02::1:ff00:129", "ff02::1:ff00:7",
    "ff03::1", "ff05::2", "ff05::1:3", "ff08::8", "ff0e::8", "ff0f::8", "ff12::7", "ff32::7",
)  # fmt: skip

PLAIN: dict[str, Probe] = {
    "udp through": udp(B),
    "udp through, by a gateway": udp("fd00:d::1"),
    "udp through, by a local gateway": udp("fd00:f::1"),
    "udp through, padded frame": padded(udp(B)),
    "udp through, traffic class 0xfd": udp(B, tos=0xFD),
    "udp through, flow label 0": udp(B, flow_label=0),
    "udp through, flow label 0xfffff": udp(B, flow_label=0xFFFFF),
    "udp through, as large as the mtu": udp(B, 1352),
    "udp through, no checksum": datagram(B, checksum=0),
    "udp through, wrong checksum": datagram(B, checksum=0x1234),
    "no payload through": bare(B, 17),
    "no next header through": bare(B, 59, b"z" * 8),
    "unknown protocol through": bare(B, 200, b"z" * 30),
    "tcp through": bare(B, 6, bytes(20)),
    "echo through": echo(B),
    "to another host's mac": linked("02:00:00:00:00:99", udp(B)),
    "in a broadcast frame": linked(EVERYBODY, udp(B)),
    "in a group's frame": linked("33:33:00:00:00:01", udp(B)),
    "echo to the router in a broadcast frame": linked(EVERYBODY, echo(R)),
    "echo to the router in a group's frame": linked("33:33:00:00:00:01", echo(R)),
    "closed port in a broadcast frame": linked(EVERYBODY, udp(R)),
    "hop limit 1 in a group's frame": linked("33:33:00:00:00:01", udp(B, ttl=1)),
    "source and destination the same": lambda c: c.udp(c.src),
}
HEADERS: dict[str, Probe] = {
    **{f"version {n}": edited(0, bytes([n << 4 | 4])) for n in (0, 4, 5, 7, 15)},
    "payload length 0": edited(4, b"\0\0"),
    "payload length 1": edited(4, b"\0\1"),
    "payload length of the udp header": edited(4, b"\0\x08"),
    "payload length short by one": edited(4, (25).to_bytes(2, "big")),
    "payload length beyond by one": edited(4, (27).to_bytes(2, "big")),
    "payload length 65535": edited(4, b"\xff\xff"),
    "payload length 0, echo": edited(4, b"\0\0", echo(R)),
    "payload length 7, echo": edited(4, b"\0\7", echo(R)),
    "payload length short, closed port": edited(4, b"\0\x10", udp(R)),
    "payload length beyond, closed port": edited(4, b"\xff\0", udp(R)),
    **{f"cut to {size} octets": cut(size) for size in (0, 1, 8, 39, 40, 47, 65)},
}
HOPS: dict[str, Probe] = {
    **{f"hop limit {n} through": udp(B, ttl=n) for n in (0, 1, 2, 255)},
    **{f"hop limit {n} to the router": udp(R, ttl=n) for n in (0, 1, 255)},
    **{f"hop limit {n}, echo to the router": echo(R, ttl=n) for n in (0, 1, 255)},
    "hop limit 1 to the far address": udp(RB, ttl=1),
    "hop limit 1 to the second address": udp(R2, ttl=1),
    "hop limit 1, 1400 bytes": udp(B, 1352, ttl=1),
    "hop limit 1, traffic class 0xff": udp(B, ttl=1, tos=0xFF),
    "hop limit 1, no route": udp(NOWHERE, ttl=1),
    "hop limit 1, prohibit": udp(PROHIBITED, ttl=1),
    "hop limit 1, unreachable": udp(UNREACHABLE, ttl=1),
    "hop limit 1, blackhole": udp(BLACKHOLE, ttl=1),
    "hop limit 1, too big": udp(B, 1452, ttl=1),
    "hop limit 1, redirect": udp(DETOUR[1], ttl=1),
    "hop limit 1, echo": echo(B, ttl=1),
    "hop limit 1, echo reply": icmp(B, 129, ttl=1),
    **{f"hop limit 1, error {type_}/{code}": error(type_, code) for type_, code in ((1, 4), (2, 0), (3, 0), (4, 1))},
    "hop limit 1, unknown error": icmp(B, 100, ttl=1),
    "hop limit 1, redirect message": icmp(B, 137, 0, bytes(32), ttl=1),
    "hop limit 1, unknown informational message": icmp(B, 200, ttl=1),
    "hop limit 1, icmp of no octets": bare(B, 58, ttl=1),
    "hop limit 1, icmp of one octet": bare(B, 58, b"\x80", ttl=1),
    "hop limit 1, unknown protocol": bare(B, 200, b"z" * 30, ttl=1),
    "hop limit 1, no next header": bare(B, 59, ttl=1),
    "hop limit 1, padded frame": padded(udp(B, ttl=1)),
    "hop limit 1, neighbour solicitation": lambda c: c.ip(
        B, 58, frames.neighbour_solicitation(c.src, B, B, mac=HOST_A), ttl=1
    ),
}
ROUTES: dict[str, Probe] = {
    "no route": udp(NOWHERE),
    "no route, traffic class 0x5c": udp(NOWHERE, tos=0x5C),
    "no route, 1232 bytes": udp(NOWHERE, 1232),
    "no route, 1400 bytes": udp(NOWHERE, 1352),
    "no route, echo": echo(NOWHERE),
    "no route, echo reply": icmp(NOWHERE, 129),
    "no route, icmp error": error(1, 4, NOWHERE, ttl=9),
    "no route, no next header": bare(NOWHERE, 59),
    "unreachable": udp(UNREACHABLE),
    "unreachable, echo": echo(UNREACHABLE),
    "unreachable within a wider route": udp("fd00:d:9::1"),
    "a host route within an unreachable one": udp("fd00:d:9::9"),
    "prohibit": udp(PROHIBITED),
    "prohibit, echo": echo(PROHIBITED),
    "prohibit, icmp error": error(3, 0, PROHIBITED, ttl=9),
    "blackhole": udp(BLACKHOLE),
    "no answer to solicitations": lambda c: c.udp(c.deaf),
    "no answer to solicitations, three packets": lambda c: [c.udp(c.deaf), c.udp(c.deaf, 19), c.echo(c.deaf)],
    "no answer to solicitations, icmp error": lambda c: c.error(c.deaf, 1, 4),
    "no answer to solicitations, 1400 bytes": lambda c: c.udp(c.deaf, 1352, tos=0x5C),
    "redirect": udp(DETOUR[2]),
    "redirect, echo": echo(DETOUR[3]),
    "redirect, icmp error": error(1, 4, DETOUR[4], ttl=9),
    "redirect, large": udp(DETOUR[5], 1352),
    "redirect, padded frame": padded(udp(DETOUR[6])),
    "redirect, from another subnet": udp(DETOUR[7], src="fd00:77::1"),
    "redirect, to a router with a global name": udp(GATEWAY),
    "redirect, group's frame": linked("33:33:00:00:00:01", udp(DETOUR[8])),
    "to a host on the sender's own subnet": udp("fd00:1::9"),
    "to a host on the sender's own subnet, from another": udp("fd00:1::9", src="fd00:77::1"),
}
PORTS: dict[str, Probe] = {
    "closed port": udp(R),
    "closed port, far address": udp(RB),
    "closed port, second address": udp(R2),
    "closed port, local address": udp(LOCAL_A),
    "closed port, anycast address": udp(ANYCAST),
    "closed port, traffic class 0x5c": udp(R, tos=0x5C),
    "closed port, 1232 bytes": udp(R, 1184),
    "closed port, 1280 bytes": udp(R, 1232),
    "closed port, 1400 bytes": udp(R, 1352),
    "closed port, no payload": udp(R, 0),
    "closed port, port 0": udp(R, dport=0),
    "closed port, no checksum": datagram(R, checksum=0),
    "closed port, wrong checksum": datagram(R, checksum=0x1234),
    "closed port, length too large": datagram(R, length=60),
    "closed port, length 7": datagram(R, length=7),
    "closed port, length 0": datagram(R, length=0),
    "closed port, length shorter than the packet": datagram(R, b"xy", b"more"),
    "closed port, seven octets": bare(R, 17, bytes(7)),
    "closed port, padded frame": padded(udp(R)),
    "closed port, all nodes": grouped(udp(NODES)),
    "closed port, solicited-node group": grouped(udp("ff02::1:ff00:1")),
    "unknown protocol": bare(R, 200, b"z" * 30),
    "unknown protocol, no payload": bare(R, 200),
    "unknown protocol, 1400 bytes": bare(R, 200, b"z" * 1352),
    "unknown protocol, far address": bare(RB, 132, b"z" * 30, tos=0x10),
    "unknown protocol, local address": bare(LOCAL_A, 200, b"z" * 30),
    "unknown protocol, anycast address": bare(ANYCAST, 200, b"z" * 30),
    "unknown protocol, all nodes": grouped(bare(NODES, 200, b"z" * 30)),
    "icmp of the other family": bare(R, 1, frames.icmp(8, 0, 7, b"z")),
    "igmp": bare(R, 2, bytes(8)),
    "no next header": bare(R, 59, b"z" * 30),
    "no next header, no payload": bare(R, 59),
}
SIZES: dict[str, Probe] = {
    "too big": udp(B, 1452),
    "too big, one octet": udp(B, 1353),
    "too big, traffic class 0x5c": udp(B, 1452, tos=0x5C),
    "too big, icmp error": lambda c: c.ip(B, 58, frames.icmp6(c.src, B, 1, 4, 0, bytes(1400))),
    "too big, echo reply": icmp(B, 129, 0, bytes(1400)),
    "too big, by a gateway": udp("fd00:d::1", 1452),
    "too big, first fragment": lambda c: c.ip(B, 44, frames.fragment_header(17, bytes(1400), more=True)),
    "too big, later fragment": lambda c: c.ip(B, 44, frames.fragment_header(17, bytes(1400), offset=1400)),
    "too big, hop-by-hop header": lambda c: c.ip(B, 0, frames.hop_by_hop(17, bytes(1400))),
    "too big for a route's mtu": udp(NARROW, 1233),
    "as large as a route's mtu": udp(NARROW, 1232),
    "too big, back on the sender's link": lambda c: c.udp("fd00:1::9", 1452),
    "echo of 1400": echo(R, 1352),
    "echo of 1452": echo(R, 1452),
}
ADDRESSES: dict[str, Probe] = {
    **{f"source {src} through": udp(B, src=src) for src in SOURCES},
    **{f"source {src} to a closed port": udp(R, src=src) for src in SOURCES},
    **{f"source {src}, echo": echo(R, src=src) for src in SOURCES},
    **{f"source {src}, hop limit 1": udp(B, src=src, ttl=1) for src in SOURCES},
    **{f"to {dst}": udp(dst) for dst in DESTINATIONS},
    **{f"echo to {dst}": echo(dst) for dst in DESTINATIONS},
    **{f"udp to {group}": grouped(udp(group)) for group in GROUPS},
    **{f"echo to {group}": grouped(echo(group)) for group in GROUPS},
    "echo to all nodes in a broadcast frame": linked(EVERYBODY, echo(NODES)),
    "echo to all nodes in a frame to the router": linked(ROUTER_A, echo(NODES)),
    "echo to all nodes from a local address": grouped(local(echo(NODES))),
    "echo to all nodes, 1400 bytes": grouped(echo(NODES, 1352)),
    "echo to all nodes, no source": grouped(echo(NODES, src="::")),
    "hop limit 1 to a group": grouped(udp("ff0e::8", ttl=1)),
    "unknown protocol to a group that is not joined": grouped(bare("ff02::1234", 200, b"z" * 8)),
}
LOCAL: dict[str, Probe] = {
    "local source through": local(udp(B)),
    "local source through, echo": local(echo(B)),
    "local source through, icmp error": local(error(1, 4, ttl=9)),
    "local source through, by a local gateway": local(udp("fd00:f::1")),
    "local source, hop limit 1": local(udp(B, ttl=1)),
    "local source, no route": local(udp(NOWHERE)),
    "local source, prohibit": local(udp(PROHIBITED)),
    "local source, blackhole": local(udp(BLACKHOLE)),
    "local source, too big": local(udp(B, 1452)),
    "local source, to its own link": local(udp("fd00:1::9")),
    "local source, redirect": local(udp(DETOUR[9])),
    "local source to a closed port": local(udp(R)),
    "local source to the far address": local(udp(RB)),
    "local source to the local address": local(udp(LOCAL_A)),
    "local source, echo": local(echo(R)),
    "local source, echo to the far address": local(echo(RB)),
    "local source, echo to the local address": local(echo(LOCAL_A)),
    "local source, echo to the other link's address": local(echo(LOCAL_B)),
    "local source to a neighbour": local(udp("fe80::77")),
    "local source to a group of the site": grouped(local(udp("ff05::8"))),
    "echo to the local address": echo(LOCAL_A),
    "hop limit 1 to a local neighbour": udp("fe80::77", ttl=1),
    "a local destination beyond the first 64 bits": udp("fe80:0:0:1::77"),
    "an own local address beyond the first 64 bits": echo("fe80:0:0:1:0:ff:fe00:1"),
}
ICMP: dict[str, Probe] = {
    "echo": echo(R),
    "echo, far address": echo(RB),
    "echo, second address": echo(R2),
    "echo, no data": echo(R, 0),
    "echo, traffic class 0x5c": echo(R, tos=0x5C),
    "echo, traffic class 0xff": echo(R, tos=0xFF),
    "echo, flow label 0": echo(R, flow_label=0),
    "echo, flow label 0xfffff": echo(R, flow_label=0xFFFFF),
    "echo, code 1": icmp(R, 128, 1, b"data"),
    "echo, padded frame": padded(echo(R)),
    "echo, wrong checksum": edited(42, b"\x12\x34", echo(R)),
    "echo of the other family": icmp(R, 8, 0, b"data"),
    "echo reply that nobody asked for": icmp(R, 129, 0, b"data"),
    **{f"icmp of {size} octets": bare(R, 58, b"\x80\0\0\0\0\0\0"[:size]) for size in (0, 1, 4, 7)},
    **{f"icmp type {type_}": icmp(R, type_, 0, bytes(40)) for type_ in (0, 100, 101, 127, 138, 139, 140, 200, 255)},
    **{f"error {type_}/{code} to the router": error(type_, code, R, ttl=9) for type_, code in ((1, 0), (2, 0), (4, 2))},
    "error of no packet": icmp(R, 1, 0),
    "error of half a packet": icmp(R, 3, 0, b"\x60" + bytes(19)),
    **{f"error {type_}/0 through": error(type_, 0, ttl=9) for type_ in (1, 2, 3, 4, 100)},
    "multicast listener report to the router": icmp(R, 131, 0, bytes(16)),
    "router renumbering": grouped(icmp(NODES, 138, 0, bytes(8))),
}
