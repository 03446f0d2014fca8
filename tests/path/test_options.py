"""IPv4 options on their way: RFC 791 3.1, RFC 1812 4.2.2.1, 4.2.2.6, 4.3.3.5, 5.3.13, RFC 1122 3.2.1.8, RFC 7126.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

FORWARDED = {"IpInReceives": 1, "IpForwDatagrams": 1}
EMPTY = bytes(4)


def ip(address: str) -> bytes:
    """Four bytes of an address."""
    return frames.ip_int(address).to_bytes(4, "big")


A, R1, R2, B = (ip(text) for text in ("10.0.1.2", "10.0.1.1", "10.0.2.1", "10.0.2.2"))


def datagram(options: bytes, dst: str = "10.0.2.2", **header: object) -> bytes:
    """A UDP packet from a with options."""
    return frames.ipv4_udp("10.0.1.2", dst, 1000, 7, b"x", options=options, **header)


@pytest.mark.parametrize(
    "options",
    [
        bytes((1, 1, 1, 1)),
        bytes((1, 1, 1, 0)),
        bytes((0, 0, 0, 0)),
        bytes((136, 4, 0x12, 0x34)),
        bytes((130, 11, *range(9), 0)),
        bytes((148, 4, 0, 0)),
        bytes((77, 6, 1, 2, 3, 4, 0, 0)),
        bytes((205, 2, 1, 1)),
        bytes((77, 40, *range(38))),
        bytes((7, 7, 8, 9, 9, 9, 9, 0)),
        bytes((68, 8, 9, 0x10, 1, 2, 3, 4)),
    ],
    ids=[
        "no operation",
        "end of list",
        "nothing",
        "stream identifier",
        "security",
        "router alert",
        "unknown",
        "unknown, no data",
        "unknown, all forty",
        "record route, full",
        "timestamp, full, one missed",
    ],
)
def test_options_that_pass(bed: Bed, options: bytes) -> None:
    """RFC 1812 4.2.2.6, 5.3.13.1, 5.3.13.3, RFC 1122 3.2.1.8: what is unknown or none of ours passes unchanged."""
    with bed.expect(rx=1, tx={"b": 1}, **FORWARDED):
        bed.a.send(datagram(options))
    wanted = options if options[0] != 68 else bytes((68, 8, 9, 0x20, 1, 2, 3, 4))  # one more missed it: us
    assert bed.b.received == [match.udp(options=wanted, ttl=63, payload=b"x")]


@pytest.mark.parametrize("kind", ["unknown", "security", "stream identifier"])
def test_unknown_options_of_a_packet_for_us_are_ignored(bed: Bed, kind: str) -> None:
    """RFC 1122 3.2.1.8: silently ignored; the datagram is delivered."""
    options = {
        "unknown": bytes((99, 4, 1, 2)),
        "security": bytes((130, 11, *range(9))),
        "stream identifier": b"\x88\4\0\1",
    }
    sock = bed.udp(7)
    with bed.expect(rx=1, IpInReceives=1, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(datagram(options[kind], "10.0.1.1"))
    assert bed.received(sock) == [b"x"]


@pytest.mark.parametrize("kind", [131, 137], ids=["loose", "strict"])
@pytest.mark.parametrize("pointer", [4, 8], ids=["not complete", "complete"])
@pytest.mark.parametrize("dst", ["10.0.2.2", "10.0.1.1"], ids=["transit", "ours"])
@pytest.mark.parametrize("ttl", [1, 64])
def test_source_routes_are_refused_silently(bed: Bed, kind: int, pointer: int, dst: str, ttl: int) -> None:
    """RFC 7126 4.3.5, 4.4.5, a deviation from RFC 1812 5.3.13.4 and RFC 1122 3.2.1.8 c: dropped, and no answer."""
    with bed.expect(rx=1, drops={DropReason.IP_OPTIONS: 1}, IpInReceives=1):
        bed.a.send(datagram(bytes((kind, 7, pointer)) + R2, dst, ttl=ttl))
    assert bed.a.received == bed.b.received == []


BAD = [
    ("unknown, length 0", bytes((77, 0, 0, 0)), 20),
    ("unknown, length 1", bytes((77, 1, 0, 0)), 20),
    ("unknown, too long", bytes((77, 9, 0, 0)), 20),
    ("no length octet", bytes((1, 1, 1, 77)), 23),
    ("behind another", bytes((1, 1, 77, 9)), 22),
    ("record route, pointer 3", bytes((7, 7, 3)) + EMPTY, 22),
    ("record route, one octet short", bytes((7, 6, 4, 0, 0, 0)), 22),
    ("record route, length 2", bytes((7, 2, 4, 0)), 21),
    ("timestamp, length 3", bytes((68, 3, 5, 0)), 21),
    ("timestamp, pointer 4", bytes((68, 8, 4, 0)) + EMPTY, 22),
    ("timestamp, overflow count full", bytes((68, 8, 9, 0xF0)) + EMPTY, 23),
    ("second record route", bytes((7, 7, 4)) + EMPTY + bytes((7, 7, 4)) + EMPTY, 27),
    ("second timestamp", bytes((68, 8, 5, 0)) + EMPTY + bytes((68, 8, 5, 0)) + EMPTY, 28),
]


@pytest.mark.parametrize("dst", ["10.0.2.2", "10.0.1.1"], ids=["transit", "ours"])
@pytest.mark.parametrize(("options", "pointer"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_malformed_options(bed: Bed, options: bytes, pointer: int, dst: str) -> None:
    """RFC 1812 4.3.3.5, RFC 1122 3.2.2.5: parameter problem, pointing at the octet; what is quoted is unchanged."""
    with bed.expect(
        rx=1,
        tx=1,
        drops={DropReason.IP_OPTIONS: 1},
        IpInReceives=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutParmProbs=1,
    ):
        sent = bed.a.send(datagram(options, dst))
    assert bed.a.received == [match.icmp4(type=12, code=0, rest=pointer << 24, src="10.0.1.1", payload=sent)]


# -- record route -----------------------------------------------------------------------------------------------------


def test_record_route_takes_the_address_of_the_way_out(bed: Bed) -> None:
    """RFC 1812 4.2.2.2, 5.2.1 (2), 5.3.13.5: the interface by which the packet leaves, known after the route."""
    with bed.expect(rx=1, tx={"b": 1}, **FORWARDED):
        bed.a.send(datagram(bytes((7, 11, 4)) + EMPTY * 2))
    assert bed.b.received == [match.udp(options=bytes((7, 11, 8)) + R2 + EMPTY + b"\0")]


def test_record_route_goes_on_where_it_was(bed: Bed) -> None:
    """RFC 791 3.1: the pointer says where; earlier entries stay, room that is left stays empty."""
    bed.a.send(datagram(b"\1" + bytes((7, 15, 8)) + A + EMPTY * 2))
    assert bed.b.received == [match.udp(options=b"\1" + bytes((7, 15, 12)) + A + R2 + EMPTY)]


def test_record_route_of_a_packet_for_us(bed: Bed) -> None:
    """RFC 1122 3.2.2.6, RFC 1812 4.3.3.6: request and reply each add the address asked; the reply reflects all."""
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.2.1", options=bytes((7, 19, 4)) + EMPTY * 4))
    assert bed.a.received == [match.icmp4(type=0, options=bytes((7, 19, 12)) + R2 + R2 + EMPTY * 2 + b"\0")]


def test_a_reply_has_no_other_options(bed: Bed) -> None:
    """RFC 1122 3.2.2.6: only record route and timestamp are reflected, untruncated."""
    options = bytes((77, 4, 1, 2)) + bytes((7, 7, 8)) + A + b"\1"
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1", options=options))
    assert bed.a.received == [match.icmp4(type=0, options=bytes((7, 7, 8)) + A + b"\0")]


# -- timestamp --------------------------------------------------------------------------------------------------------


def stamp(bed: Bed) -> bytes:
    """The stack's time in milliseconds, marked as not UT's."""
    return (bed.now // 1_000_000 | 0x80000000).to_bytes(4, "big")


def test_timestamp_alone(bed: Bed) -> None:
    """RFC 1812 5.3.13.6 (flag 0), RFC 791: the time, with the high bit that says it is not counted from midnight UT."""
    bed.run_for(3.5)
    bed.a.send(datagram(bytes((68, 12, 5, 0)) + EMPTY * 2))
    assert bed.b.received == [match.udp(options=bytes((68, 12, 9, 0)) + stamp(bed) + EMPTY)]


def test_timestamp_with_address(bed: Bed) -> None:
    """RFC 1812 4.2.2.2, 5.3.13.6 (flag 1): the address of the interface by which the packet leaves, and the time."""
    bed.a.send(datagram(bytes((68, 12, 5, 1)) + EMPTY * 2))
    assert bed.b.received == [match.udp(options=bytes((68, 12, 13, 1)) + R2 + stamp(bed))]


@pytest.mark.parametrize("mine", [R1, R2], ids=["way in", "way out"])
def test_timestamp_of_prespecified_addresses(bed: Bed, mine: bytes) -> None:
    """RFC 1812 5.3.13.6 (flag 3): any address of ours counts, not only that of the way out."""
    bed.a.send(datagram(bytes((68, 20, 5, 3)) + mine + EMPTY + B + EMPTY))
    assert bed.b.received == [match.udp(options=bytes((68, 20, 13, 3)) + mine + stamp(bed) + B + EMPTY)]


def test_timestamp_prespecified_for_another(bed: Bed) -> None:
    """RFC 791 3.1 (flag 3): the next address is not ours, so nothing is written, and nothing overflowed."""
    options = bytes((68, 12, 5, 3)) + B + EMPTY
    bed.a.send(datagram(options))
    assert bed.b.received == [match.udp(options=options)]


def test_timestamp_without_room_counts_the_overflow(bed: Bed) -> None:
    """RFC 1812 4.2.2.1 e, RFC 791: no room left: the overflow count rises by one, up to fifteen."""
    bed.a.send(datagram(bytes((68, 8, 9, 0x00)) + bytes(4)))
    bed.a.send(datagram(bytes((68, 8, 9, 0xE0)) + bytes(4)))
    assert bed.b.received == [
        match.udp(options=bytes((68, 8, 9, 0x10)) + bytes(4)),
        match.udp(options=bytes((68, 8, 9, 0xF0)) + bytes(4)),
    ]


def test_timestamp_of_a_packet_for_us(bed: Bed) -> None:
    """RFC 1812 4.2.2.1 e: the time is inserted before delivery, and again in what we send back."""
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1", options=bytes((68, 20, 5, 1)) + EMPTY * 4))
    entry = R1 + stamp(bed)
    assert bed.a.received == [match.icmp4(type=0, options=bytes((68, 20, 21, 1)) + entry * 2)]


# -- and the rest of the way ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bed", [{"mtu": 600}], indirect=True)
def test_fragments_carry_the_copied_options(bed: Bed) -> None:
    """RFC 791 3.2: the first fragment has all options, the others those with the copied flag."""
    options = bytes((7, 7, 4)) + EMPTY + bytes((136, 4, 0x12, 0x34)) + b"\1"
    packet = frames.ipv4("10.0.1.2", "10.0.2.2", 17, bytes(1000), options=options)
    with bed.expect(rx=1, tx={"b": 2}, IpFragOKs=1, IpFragCreates=2, **FORWARDED):
        bed.a.send(packet)
    assert bed.b.received == [
        match.ipv4(offset=0, mf=True, options=bytes((7, 7, 8)) + R2 + bytes((136, 4, 0x12, 0x34)) + b"\1"),
        match.ipv4(offset=568, mf=False, options=bytes((136, 4, 0x12, 0x34))),
    ]


def test_redirect_about_a_packet_with_options(bed: Bed) -> None:
    """RFC 1812 5.2.7.2: never about a source-routed packet (those end before); other options do not matter."""
    bed.r.add_route("192.0.2.0/24", via="10.0.1.9", now=bed.now)
    bed.r.neigh4.add_static(bed.a.dev, 0x0A000109, b"\x02\0\0\0\0\x09", bed.now)
    redirected = {"IpOutRequests": 1, "IcmpOutMsgs": 1, "IcmpOutRedirects": 1}
    with bed.expect(rx=1, tx={"a": 2}, **FORWARDED, **redirected):
        packet = bed.a.send(datagram(bytes((1, 1, 1, 1)), "192.0.2.1"))
    assert bed.a.received == [
        match.icmp4(type=5, code=1, rest=0x0A000109, quotes=packet),
        match.udp(dst="192.0.2.1"),
    ]


def test_own_packets_carry_no_options(bed: Bed) -> None:
    """RFC 1122 3.2.1.8 b, c, RFC 1812 4.2.2.1 b, c: no stream identifier and no source route is ever originated."""
    bed.udp(5000).sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 9, options=bytes((136, 4, 0, 1))))
    assert bed.a.received == [match.udp(options=b""), match.icmp4(type=3, code=3, options=b"")]
