"""The IPv6 probes about extension headers, fragments, neighbour discovery and listener queries."""

from __future__ import annotations

from typing import Any

from tests.interop.case import LOCAL_A, ROUTER_A, Case, Probe, Whole
from tests.interop.probes6 import ANYCAST, NODES, NOWHERE, RB, B, R, edited, grouped, local, padded
from vrouter.testing import frames

HOP, DST, ROUTING, FRAGMENT, UDP, ICMPV6, NO_NEXT = 0, 60, 43, 44, 17, 58, 59
UNKNOWN = {"skip": 0x1E, "discard": 0x5E, "report": 0x9E, "report if unicast": 0xDE}


def chain(dst: str, *headers: tuple[int, bytes], size: int = 8, upper: int = UDP, **header: Any) -> Probe:
    """A packet with these headers in front of an upper layer; each is (number, header with the next one's number 0)."""

    def make(c: Case) -> bytes:
        numbers = [number for number, _ in headers] + [upper]
        whole = b"".join(bytes([after]) + one[1:] for (_, one), after in zip(headers, numbers[1:], strict=True))
        data = bytes(at * 3 & 255 for at in range(size))
        payload = {
            UDP: frames.udp(header.get("src") or c.src, dst, 1111, 9, data),
            ICMPV6: frames.icmp6(header.get("src") or c.src, dst, 128, 0, c.ident << 16 | 7, data),
        }.get(upper, data)
        return c.ip(dst, numbers[0], whole + payload, **header)

    return make


def options(*each: bytes, length: int | None = None) -> bytes:
    """An options header of these, padded."""
    return frames.hop_by_hop(0, b"", b"".join(each), length=length)


def raw(hexed: str) -> bytes:
    """An options header as it is."""
    return bytes.fromhex("00" + hexed)


def route(type_: int, left: int, *addresses: str, length: int | None = None) -> bytes:
    """A routing header."""
    return frames.routing(0, b"", addresses, type=type_, segments_left=left, length=length)


def atomic(reserved: int = 0) -> bytes:
    """A fragment header of a whole packet."""
    return frames.fragment_header(0, b"", ident=77, reserved=reserved)


PAD8 = options()
OPTIONS = {
    **{f"unknown, {name}": options(frames.option(kind, b"abcd")) for name, kind in UNKNOWN.items()},
    **{f"unknown, {name}, without data": options(frames.option(kind)) for name, kind in UNKNOWN.items()},
    "unknown, report, behind others": options(frames.option(0x1E, b"ab"), frames.option(0x9E, b"ab")),
    "unknown, discard before report": options(frames.option(0x5E), frames.option(0x9E)),
    "padding": PAD8,
    "six pad1": raw("00000000000000"),
    "padding that is not zero": raw("00010401000000"),
    "padding of seven": raw("01" + "1e05" + "00" * 5 + "0105" + "00" * 5),
    "padding of eight": raw("01" + "1e04" + "00" * 4 + "0106" + "00" * 6),
    "padding of twelve": raw("01" + "010c" + "00" * 12),
    "router alert": options(frames.option(5, b"\0\0")),
    "router alert, length 1": options(frames.option(5, b"\0")),
    "router alert, twice": options(frames.option(5, b"\0\0"), frames.option(5, b"\0\0")),
    "jumbo": options(frames.option(0xC2, (70_000).to_bytes(4, "big"))),
    "tunnel limit": options(frames.option(4, b"\4")),
    "home address": options(frames.option(0xC9, bytes(16))),
    "option beyond the header": raw("001e0a00000000"),
    "option without a length": raw("0001030000001e"),
    "header beyond the packet": raw("ff010400000000"),
    "option of 200 octets": options(frames.option(0x1E, bytes(200))),
    "eight options": options(*[frames.option(0x1E, b"ab")] * 8),
    "nine options": options(*[frames.option(0x1E, b"ab")] * 9),
}
EXTENSIONS: dict[str, Probe] = {
    **{f"hop-by-hop {name}, through": chain(B, (HOP, area)) for name, area in OPTIONS.items()},
    **{f"hop-by-hop {name}, echo": chain(R, (HOP, area), upper=ICMPV6) for name, area in OPTIONS.items()},
    **{f"destination {name}, echo": chain(R, (DST, area), upper=ICMPV6) for name, area in OPTIONS.items()},
    **{
        f"hop-by-hop unknown, {name}, all nodes": grouped(
            chain(NODES, (HOP, options(frames.option(kind, b"abcd"))), upper=ICMPV6)
        )
        for name, kind in UNKNOWN.items()
    },
    **{
        f"destination unknown, {name}, all nodes": grouped(
            chain(NODES, (DST, options(frames.option(kind, b"abcd"))), upper=ICMPV6)
        )
        for name, kind in UNKNOWN.items()
    },
    **{
        f"hop-by-hop unknown, {name}, no route": chain(NOWHERE, (HOP, options(frames.option(kind, b"abcd"))))
        for name, kind in UNKNOWN.items()
    },
    "hop-by-hop unknown, report, hop limit 1": chain(B, (HOP, OPTIONS["unknown, report"]), ttl=1),
    "hop-by-hop unknown, report, local source": local(chain(B, (HOP, OPTIONS["unknown, report"]))),
    "hop-by-hop unknown, report, icmp error": lambda c: c.ip(
        B, HOP, bytes([ICMPV6]) + OPTIONS["unknown, report"][1:] + c.error(B, 1, 4)[40:]
    ),
    "destination unknown, report, through": chain(B, (DST, OPTIONS["unknown, report"])),
    "destination unknown, report, far address": chain(RB, (DST, OPTIONS["unknown, report"])),
    "destination unknown, report, anycast address": chain(ANYCAST, (DST, OPTIONS["unknown, report"])),
    "destination padding, closed port": chain(R, (DST, PAD8)),
    "destination padding, unknown protocol": chain(R, (DST, PAD8), upper=200),
    "destination padding, hop limit 1": chain(B, (DST, PAD8), ttl=1),
    "destination padding twice, echo": chain(R, (DST, PAD8), (DST, PAD8), upper=ICMPV6),
    "hop-by-hop twice, echo": chain(R, (HOP, PAD8), (HOP, PAD8), upper=ICMPV6),
    "hop-by-hop twice, through": chain(B, (HOP, PAD8), (HOP, PAD8)),
    "hop-by-hop behind destination, echo": chain(R, (DST, PAD8), (HOP, PAD8), upper=ICMPV6),
    "hop-by-hop behind destination, through": chain(B, (DST, PAD8), (HOP, PAD8)),
    "hop-by-hop behind routing, echo": chain(R, (ROUTING, route(0, 0)), (HOP, PAD8), upper=ICMPV6),
    "hop-by-hop in front of nothing": chain(R, (HOP, PAD8), upper=NO_NEXT, size=0),
    "hop-by-hop, no next header through": chain(B, (HOP, PAD8), upper=NO_NEXT, size=0),
    "hop-by-hop, unknown protocol": chain(R, (HOP, PAD8), upper=200),
    "hop-by-hop, closed port": chain(R, (HOP, PAD8)),
    "hop-by-hop, redirect": chain("fd00:19::21", (HOP, PAD8)),
    "hop-by-hop, payload length 0": edited(4, b"\0\0", chain(R, (HOP, PAD8), upper=ICMPV6)),
    "hop-by-hop, payload length 0, through": edited(4, b"\0\0", chain(B, (HOP, PAD8))),
    "hop-by-hop, payload length 7": edited(4, b"\0\7", chain(R, (HOP, PAD8), upper=ICMPV6)),
    "hop-by-hop, payload length 8": edited(4, b"\0\x08", chain(R, (HOP, PAD8), upper=ICMPV6)),
    "hop-by-hop, cut short, through": edited(4, b"\0\4", chain(B, (HOP, PAD8))),
    "hop-by-hop, padded frame": padded(chain(R, (HOP, PAD8), upper=ICMPV6)),
    "destination, no octets": lambda c: c.ip(R, DST),
    "destination, two octets": lambda c: c.ip(R, DST, b"\x3a\0"),
    "destination, no octets, through": lambda c: c.ip(B, DST),
    "sixteen headers, echo": chain(R, *[(DST, PAD8)] * 16, upper=ICMPV6),
    "seventeen headers, echo": chain(R, *[(DST, PAD8)] * 17, upper=ICMPV6),
    "seventeen headers, through": chain(B, *[(DST, PAD8)] * 17),
    "seventeen headers, hop limit 1": chain(B, *[(DST, PAD8)] * 17, ttl=1),
    **{
        f"protocol {proto}": (lambda c, proto=proto: c.ip(R, proto, b"\x3a\0" + bytes(22)))
        for proto in (139, 140, 142, 253, 255)
    },
}


_SEGMENTS = ("fd00:2::2", "fd00:1::9")
ROUTINGS: dict[str, Probe] = {
    **{
        f"routing type {type_}, {left} left, echo": chain(R, (ROUTING, route(type_, left, *_SEGMENTS)), upper=ICMPV6)
        for type_ in (0, 1, 2, 3, 4, 5, 253)
        for left in (0, 1, 2)
    },
    "routing type 0, no addresses": chain(R, (ROUTING, route(0, 0)), upper=ICMPV6),
    "routing type 0, length 1": chain(R, (ROUTING, route(0, 1, length=1) + bytes(8)), upper=ICMPV6),
    "routing type 0, more left than there are": chain(R, (ROUTING, route(0, 9, *_SEGMENTS)), upper=ICMPV6),
    "routing type 0 beyond the packet": chain(R, (ROUTING, route(0, 0, length=200)), upper=ICMPV6),
    "routing type 253 behind destination options": chain(
        R, (DST, PAD8), (ROUTING, route(253, 1, *_SEGMENTS)), upper=ICMPV6
    ),
    "routing type 0, through": chain(B, (ROUTING, route(0, 1, *_SEGMENTS))),
    "routing type 253, through": chain(B, (ROUTING, route(253, 1, *_SEGMENTS))),
    "routing type 0, hop limit 1": chain(B, (ROUTING, route(0, 1, *_SEGMENTS)), ttl=1),
    "routing type 0, all nodes": grouped(chain(NODES, (ROUTING, route(0, 1, *_SEGMENTS)), upper=ICMPV6)),
    "routing type 253, none left, all nodes": grouped(chain(NODES, (ROUTING, route(253, 0, *_SEGMENTS)), upper=ICMPV6)),
    "routing type 253, closed port": chain(R, (ROUTING, route(253, 0, *_SEGMENTS))),
    "routing twice": chain(R, (ROUTING, route(253, 0)), (ROUTING, route(253, 0)), upper=ICMPV6),
    "routing, redirect": chain("fd00:19::22", (ROUTING, route(253, 1, *_SEGMENTS))),
}


def pieces(c: Case, size: int = 2900, mtu: int = 1280, **header: Any) -> list[bytes]:
    """An echo request to the router in fragments."""
    return frames.fragments6(c.echo(R, size, **header), mtu, c.number)


def datagram(c: Case, dst: str = R, size: int = 2900) -> list[bytes]:
    """A UDP datagram to a closed port in fragments."""
    return frames.fragments6(c.udp(dst, size), 1280, c.number)


def part(
    c: Case, offset: int, size: int, *, more: bool, dst: str = R, fill: int = 0, proto: int = UDP, reserved: int = 0
) -> bytes:
    """A fragment of a packet to closed port 0."""
    head = frames.fragment_header(
        proto, bytes([fill]) * size, offset=offset, more=more, ident=c.number, reserved=reserved
    )
    return c.ip(dst, FRAGMENT, head)


def classed(c: Case, each: tuple[int, ...]) -> list[bytes]:
    """An echo request in fragments with a traffic class each."""
    return [
        bytes([0x60 | tos >> 4, tos << 4 & 0xF0 | piece[1] & 15]) + piece[2:]
        for piece, tos in zip(pieces(c), each, strict=True)
    ]


def first_with(c: Case, payload: bytes, proto: int, **header: Any) -> bytes:
    """A first fragment, of this."""
    return c.ip(R, FRAGMENT, frames.fragment_header(proto, payload, more=True, ident=c.number), **header)


FRAGMENTS: dict[str, Probe] = {
    "echo of 2900 in order": lambda c: pieces(c),
    "echo of 2900 reversed": lambda c: pieces(c)[::-1],
    "echo of 2900, middle first": lambda c: [pieces(c)[at] for at in (1, 0, 2)],
    "echo of 2900, each piece twice": lambda c: [piece for piece in pieces(c) for _ in range(2)],
    "echo of 2900, all of it twice": lambda c: pieces(c) * 2,
    "echo of 8000": lambda c: pieces(c, 8000, 1500),
    "echo of 65000": lambda c: pieces(c, 65000, 1500),
    "echo of 65527": lambda c: pieces(c, 65527, 1500),
    "echo in pieces of 8": lambda c: pieces(c, 120, 56),
    "echo in pieces of 8, reversed": lambda c: pieces(c, 120, 56)[::-1],
    "traffic class of each piece": lambda c: classed(c, (4, 8, 16)),
    "ecn: ce on one piece": lambda c: classed(c, (2, 3, 2)),
    "ecn: not-ect and ce": lambda c: classed(c, (0, 3, 0)),
    "ecn: ect 0 and 1": lambda c: classed(c, (2, 1, 2)),
    "hop limit 1 on each piece": lambda c: pieces(c, ttl=1),
    "flow label of its own on each piece": lambda c: pieces(c, flow_label=7),
    "with a hop-by-hop header": lambda c: frames.fragments6(
        chain(R, (HOP, PAD8), upper=ICMPV6, size=2900)(c), 1280, c.number
    ),
    "with destination options in it": lambda c: frames.fragments6(
        chain(R, (DST, PAD8), upper=ICMPV6, size=2900)(c), 1280, c.number
    ),
    "with a routing header": lambda c: frames.fragments6(
        chain(R, (ROUTING, route(253, 0)), upper=ICMPV6, size=2900)(c), 1280, c.number
    ),
    "to a closed port": lambda c: datagram(c),
    "to a closed port, reversed": lambda c: datagram(c)[::-1],
    "to a closed port, the last alone large": lambda c: [part(c, 0, 8, more=True), part(c, 8, 1400, more=False)],
    "to the far address": lambda c: datagram(c, RB),
    "to an unknown protocol": lambda c: frames.fragments6(c.ip(R, 200, bytes(2900)), 1280, c.number),
    "to no next header": lambda c: frames.fragments6(c.ip(R, 59, bytes(2900)), 1280, c.number),
    "to all nodes": lambda c: [
        c.link("33:33:00:00:00:01", piece) for piece in frames.fragments6(c.echo(NODES, 2900), 1280, c.number)
    ],
    "same identification, other protocol": lambda c: [part(c, 0, 32, more=True), part(c, 32, 8, more=False, proto=58)],
    "reserved bits": lambda c: [part(c, 0, 32, more=True, reserved=255), part(c, 32, 8, more=False, reserved=7)],
    "overlap of eight": lambda c: [part(c, 0, 32, more=True), part(c, 24, 32, more=False)],
    "overlap, one inside the other": lambda c: [part(c, 0, 64, more=True), part(c, 16, 16, more=True)],
    "overlap, then the rest": lambda c: [part(c, at, size, more=at < 56) for at, size in ((0, 32), (24, 32), (56, 8))],
    "overlap, then all of it again": lambda c: [
        part(c, 0, 32, more=True),
        part(c, 24, 32, more=False),
        part(c, 0, 32, more=True),
        part(c, 32, 8, more=False),
    ],
    "same place, other length": lambda c: [part(c, at, size, more=at < 40) for at, size in ((0, 32), (0, 40), (40, 8))],
    "same place, other bytes": lambda c: [
        part(c, 8, 32, more=True),
        part(c, 8, 32, more=True, fill=0x62),
        part(c, 40, 8, more=False),
        part(c, 0, 8, more=True),
    ],
    "two ends": lambda c: [part(c, 64, 8, more=False), part(c, 32, 8, more=False), part(c, 0, 32, more=True)],
    "beyond the end": lambda c: [part(c, 32, 8, more=False), part(c, 64, 8, more=True), part(c, 0, 32, more=True)],
    "beyond 65535": lambda c: [part(c, 65528, 100, more=False), part(c, 0, 8, more=True)],
    "up to 65535": lambda c: [part(c, 65520, 7, more=False)],
    "piece of no multiple of eight": lambda c: [part(c, 0, 33, more=True), part(c, 32, 8, more=False)],
    "later piece of no multiple of eight": lambda c: [part(c, 8, 33, more=True)],
    "piece of no multiple of eight to all nodes": grouped(lambda c: part(c, 0, 33, more=True, dst=NODES)),
    "empty piece": lambda c: [part(c, 0, 0, more=True), part(c, 0, 32, more=True), part(c, 32, 8, more=False)],
    "empty last piece": lambda c: [part(c, 0, 32, more=True), part(c, 32, 0, more=False)],
    "empty later piece": lambda c: [part(c, 32, 0, more=True)],
    "atomic": chain(R, (FRAGMENT, atomic()), upper=ICMPV6),
    "atomic, reserved bits": chain(R, (FRAGMENT, atomic(255)), upper=ICMPV6),
    "atomic, closed port": chain(R, (FRAGMENT, atomic())),
    "atomic, unknown protocol": chain(R, (FRAGMENT, atomic()), upper=200),
    "atomic, through": chain(B, (FRAGMENT, atomic())),
    "atomic, hop limit 1": chain(B, (FRAGMENT, atomic()), ttl=1),
    "atomic, beside pieces of the same identification": lambda c: [
        pieces(c)[0],
        chain(R, (FRAGMENT, frames.fragment_header(0, ident=c.number)), upper=ICMPV6)(c),
        *pieces(c)[1:],
    ],
    "atomic twice": chain(R, (FRAGMENT, atomic()), (FRAGMENT, atomic()), upper=ICMPV6),
    "atomic, one octet": lambda c: c.ip(R, FRAGMENT, b"\x3a"),
    "atomic, empty": lambda c: c.ip(R, FRAGMENT, frames.fragment_header(UDP, ident=c.number)),
    "a fragment of a fragment": lambda c: frames.fragments6(
        chain(R, (FRAGMENT, atomic()), upper=ICMPV6, size=2900)(c), 1280, c.number
    ),
    "hop-by-hop header behind the fragment header": chain(R, (FRAGMENT, atomic()), (HOP, PAD8), upper=ICMPV6),
    "first without the upper header": lambda c: first_with(c, bytes(0), UDP),
    "first with half a header": lambda c: first_with(c, frames.hop_by_hop(UDP), DST),
    "first with a chain that goes on": lambda c: first_with(c, b"\x11\x08" + bytes(30), DST),
    "first with all of the chain": lambda c: first_with(c, frames.hop_by_hop(UDP, bytes(16)), DST),
    "first of icmp of no octets": lambda c: first_with(c, b"", ICMPV6),
    "first of tcp of eight": lambda c: first_with(c, bytes(8), 6),
    "first of an unknown protocol, no octets": lambda c: first_with(c, b"", 200),
    "the first alone": lambda c: pieces(c)[:1],
    "the first alone, traffic class 0x5c": lambda c: pieces(c, tos=0x5C)[:1],
    "the first alone, to a closed port": lambda c: datagram(c)[:1],
    "the first alone, far address": lambda c: datagram(c, RB)[:1],
    "the first alone, small": lambda c: part(c, 0, 32, more=True),
    "the last missing": lambda c: pieces(c)[:2],
    "the middle missing": lambda c: pieces(c)[::2],
    "the first missing": lambda c: pieces(c)[1:],
    "the first last": lambda c: [*pieces(c)[1:2], pieces(c)[0]],
    "the first alone, to all nodes": grouped(lambda c: part(c, 0, 32, more=True, dst=NODES)),
    "the first alone, an icmp error": lambda c: first_with(c, c.error(R, 1, 4)[40:][:24], ICMPV6),
    "the first alone, from a local address": local(lambda c: part(c, 0, 32, more=True)),
    "through, in order": lambda c: datagram(c, B),
    "through, overlapping": lambda c: [part(c, 0, 32, more=True, dst=B), part(c, 24, 32, more=False, dst=B)],
    "through, empty piece": lambda c: [part(c, 8, 0, more=True, dst=B)],
    "through, beyond 65535": lambda c: [part(c, 65528, 100, more=False, dst=B)],
    "through, no multiple of eight": lambda c: [part(c, 0, 33, more=True, dst=B)],
    "hop limit 1, first fragment": lambda c: [datagram(c, B)[0][:7] + b"\1" + datagram(c, B)[0][8:]],
    "hop limit 1, later fragment": lambda c: [datagram(c, B)[1][:7] + b"\1" + datagram(c, B)[1][8:]],
    "hop limit 1, later fragment of icmp": lambda c: [
        piece[:7] + b"\1" + piece[8:] for piece in frames.fragments6(c.echo(B, 2900), 1280, c.number)[1:2]
    ],
    "the first alone, the last of all": lambda c: pieces(c)[:1],
}


# ------------------------------------------------------------------------------------------- neighbour discovery, MLD

GROUP_OF_R = "ff02::1:ff00:1"
OTHER_MAC = "02:00:00:00:77:77"


def ndp(c: Case, message: bytes, dst: str, *, src: str = "", link: bytes | str = "", ttl: int = 255) -> Whole:
    """A message of neighbour discovery from this case's MAC."""
    packet = c.ip(dst, ICMPV6, message, src=src, ttl=ttl)
    group = dst.startswith("ff")
    return c.link(link or (frames.group_mac6(dst) if group else ROUTER_A), packet, c.mac)


def ask(
    target: str = R,
    dst: str = "",
    *,
    src: str = "",
    ttl: int = 255,
    sha: bool = True,
    local_source: bool = False,
    link: bytes | str = "",
    options: bytes = b"",
    **wrong: Any,
) -> Probe:
    """A neighbour solicitation."""

    def make(c: Case) -> Whole:
        source = src or (c.local if local_source else c.src)
        to = dst or frames.solicited_node(target)
        mac = c.mac if sha and source != "::" else None
        message = frames.neighbour_solicitation(source, to, target, options, mac=mac, **wrong)
        return ndp(c, message, to, src=source, link=link, ttl=ttl)

    return make


def advertise(c: Case, dst: str = R, *, mac: str | None = OTHER_MAC, ttl: int = 255, **flags: Any) -> Whole:
    """An advertisement of this case's own address."""
    return ndp(c, frames.neighbour_advertisement(c.src, dst, c.src, mac=mac, **flags), dst, ttl=ttl)


def then_echo(*messages: Any) -> Probe:
    """The router learns this case's MAC, is told something, and is asked for an echo: where does the reply go?"""

    def make(c: Case) -> list[bytes]:
        return [ask()(c), *(message(c) for message in messages), c.link(ROUTER_A, c.echo(R))]

    return make


def truncated(size: int) -> Probe:
    """The first octets of a solicitation."""

    def make(c: Case) -> Whole:
        body = frames.neighbour_solicitation(c.src, GROUP_OF_R, R, mac=c.mac)[8:size]
        return ndp(c, frames.icmp6(c.src, GROUP_OF_R, 135, 0, 0, body), GROUP_OF_R)

    return make


NDP: dict[str, Probe] = {
    "solicitation": ask(),
    "solicitation, unicast": ask(dst=R),
    "solicitation, all nodes": ask(dst=NODES),
    "solicitation, group frame to the router": ask(link=ROUTER_A),
    "solicitation, another group": ask(dst="ff02::1:ff00:129"),
    "solicitation, second address": ask("fd00:1::129"),
    "solicitation, local address": ask(LOCAL_A),
    "solicitation from a local address": ask(local_source=True),
    "solicitation for the local address from a local address": ask(LOCAL_A, local_source=True),
    "solicitation, far address": ask(RB),
    "solicitation, a host on B": ask(B),
    "solicitation, a host on A": ask("fd00:1::77", dst=GROUP_OF_R),
    "solicitation, loopback": ask("::1", dst=GROUP_OF_R),
    "solicitation, a group": ask(NODES, dst=NODES),
    "solicitation, unicast, no option": ask(dst=R, sha=False),
    "solicitation, no option": ask(sha=False),
    "solicitation, hop limit 254": ask(ttl=254),
    "solicitation, hop limit 1": ask(ttl=1),
    "solicitation, code 1": ask(code=1),
    "solicitation, wrong checksum": ask(checksum=0x1234),
    "solicitation, option of length 0": ask(options=b"\1\0" + bytes(6)),
    "solicitation, option beyond the end": ask(options=b"\1\2" + bytes(6)),
    "solicitation, unknown option": ask(options=b"\xfd\1" + bytes(6)),
    "solicitation, nonce": ask(options=frames.nd_nonce(b"abcdef")),
    "solicitation, half an option": ask(options=b"\xfd\1\0\0"),
    "solicitation, two addresses": ask(options=frames.source_mac(OTHER_MAC)),
    "solicitation, address of a group": ask(sha=False, options=frames.source_mac("33:33:00:00:00:01")),
    "solicitation, address of zeros": ask(sha=False, options=frames.source_mac("00:00:00:00:00:00")),
    "solicitation, address of length 2": ask(sha=False, options=b"\1\2" + bytes(14)),
    "solicitation, target address option": ask(options=frames.target_mac(OTHER_MAC)),
    "solicitation from another subnet": ask(src="fd00:77::1"),
    "solicitation from B's subnet": ask(src="fd00:2::77"),
    "solicitation from loopback": ask(src="::1"),
    "solicitation from a group": ask(src="ff02::5"),
    "solicitation from the router's address": ask(src=R),
    "probe": ask(src="::"),
    "probe, second address": ask("fd00:1::129", src="::"),
    "probe, unicast": ask(dst=R, src="::"),
    "probe, all nodes": ask(dst=NODES, src="::"),
    "probe with an address": ask(src="::", options=frames.source_mac(OTHER_MAC)),
    "probe with a nonce": ask(src="::", options=frames.nd_nonce(b"abcdef")),
    "probe for a host on A": ask("fd00:1::77", dst=GROUP_OF_R, src="::"),
    **{f"solicitation cut to {size} octets": truncated(size) for size in (8, 20, 23, 28)},
    "solicitation in an atomic fragment": lambda c: c.link(
        frames.group_mac6(GROUP_OF_R),
        c.ip(
            GROUP_OF_R,
            FRAGMENT,
            frames.fragment_header(ICMPV6, frames.neighbour_solicitation(c.src, GROUP_OF_R, R, mac=c.mac), ident=9),
            ttl=255,
        ),
        c.mac,
    ),
    "learned by solicitation": then_echo(),
    "advertised, override": then_echo(lambda c: advertise(c, override=True)),
    "advertised, solicited and override": then_echo(lambda c: advertise(c, override=True, solicited=True)),
    "advertised, no flags": then_echo(lambda c: advertise(c)),
    "advertised, solicited": then_echo(lambda c: advertise(c, solicited=True)),
    "advertised, router": then_echo(lambda c: advertise(c, override=True, router=True)),
    "advertised, override, no address": then_echo(lambda c: advertise(c, override=True, mac=None)),
    "advertised, override, hop limit 254": then_echo(lambda c: advertise(c, override=True, ttl=254)),
    "advertised, override, code 1": then_echo(lambda c: advertise(c, override=True, code=1)),
    "advertised, override, wrong checksum": then_echo(lambda c: advertise(c, override=True, checksum=1)),
    "advertised, override, to all nodes": then_echo(lambda c: advertise(c, NODES, override=True)),
    "advertised, solicited, to all nodes": then_echo(lambda c: advertise(c, NODES, override=True, solicited=True)),
    "advertised, address of a group": then_echo(lambda c: advertise(c, override=True, mac="33:33:00:00:00:01")),
    "solicited again by another mac": then_echo(lambda c: ask(sha=False, options=frames.source_mac(OTHER_MAC))(c)),
    "router solicitation": lambda c: ndp(
        c, frames.router_solicitation(c.local, frames.ALL_ROUTERS, mac=c.mac), frames.ALL_ROUTERS, src=c.local
    ),
    "router solicitation, no source": lambda c: ndp(
        c, frames.router_solicitation("::", frames.ALL_ROUTERS), frames.ALL_ROUTERS, src="::"
    ),
    "router advertisement": lambda c: ndp(
        c, frames.router_advertisement(c.local, NODES, frames.nd_prefix("fd00:55::"), mac=c.mac), NODES, src=c.local
    ),
    "redirect to the router": lambda c: ndp(
        c, frames.redirect6(c.local, R, c.local, "fd00:d::1", mac=c.mac), R, src=c.local
    ),
    "solicitation, anycast address": ask(ANYCAST),
    "solicitation, anycast address, unicast": ask(ANYCAST, dst=ANYCAST),
}


def query(
    group: str = "::",
    dst: str = "",
    *,
    src: str = "",
    ttl: int = 1,
    alert: bool = True,
    max_response: int = 1,
    **fields: Any,
) -> Probe:
    """A listener query from this case's link-local address; the delay it allows is 1 ms."""

    def make(c: Case) -> Whole:
        c.asks = group
        source, to = src or c.local, dst or (group if group != "::" else NODES)
        message = frames.mld_query(source, to, group, max_response=max_response, **fields)
        if alert:
            packet = c.ip(to, HOP, frames.hop_by_hop(ICMPV6, message, frames.option(5, b"\0\0")), src=source, ttl=ttl)
        else:
            packet = c.ip(to, ICMPV6, message, src=source, ttl=ttl)
        return c.link(frames.group_mac6(to), packet)

    return make


G1, G2, G3, G4 = "ff02::1:ff00:1", "ff02::1:ff00:129", "ff02::1:ff00:0", "ff02::2"
QUERIES: dict[str, Probe] = {
    "query, hop limit 2": query(G1, ttl=2),
    "query, no router alert": query(G2, alert=False),
    "query, no local source": query(G4, src="fd00:1::99"),
    "query for a group that is not joined": query("ff02::99"),
    "query for one group": query(G3),
    "query for the group of all nodes": query(NODES),
}
