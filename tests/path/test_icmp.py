"""ICMP for the router itself: RFC 792, RFC 1122 3.2.2, RFC 1812 4.3, RFC 6633, RFC 6918.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

from struct import pack, unpack

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

IN = {"IpInReceives": 1, "IpInDelivers": 1, "IcmpInMsgs": 1}
OUT = {"IpOutRequests": 1, "IcmpOutMsgs": 1}


def icmp_to(dst: str, message: bytes, **header: object) -> bytes:
    """An ICMP packet from a."""
    return frames.ipv4("10.0.1.2", dst, 1, message, **header)


@pytest.mark.parametrize("dst", ["10.0.1.1", "10.0.2.1"])
@pytest.mark.parametrize("size", [0, 1, 56, 1472])
def test_echo(bed: Bed, dst: str, size: int) -> None:
    """RFC 1122 3.2.2.6, RFC 1812 4.3.3.6: same data, identifier and sequence, from the address that was asked."""
    data = bytes(i * 3 & 255 for i in range(size))
    with bed.expect(rx=1, tx=1, IcmpInEchos=1, IcmpOutEchoReps=1, **IN, **OUT):
        bed.a.send(frames.ipv4_echo("10.0.1.2", dst, 0xFFFF, 0x8001, data))
    assert bed.a.received == [
        match.icmp4(type=0, code=0, src=dst, dst="10.0.1.2", ident=0xFFFF, sequence=0x8001, payload=data, ttl=64)
    ]


@pytest.mark.parametrize("tos", [0x00, 0x04, 0xB9, 0xE0, 0xFF])
def test_a_reply_has_the_tos_and_precedence_of_the_request(bed: Bed, tos: int) -> None:
    """RFC 1812 4.3.2.5: replies carry TOS and precedence of the request, not those of errors."""
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1", tos=tos))
    assert bed.a.received == [match.icmp4(type=0, tos=tos, df=False)]


def test_a_reply_has_its_own_ttl(bed: Bed) -> None:
    """RFC 1812 4.3.2.2: the TTL of an ICMP message is initialised by its originator, not copied."""
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1", ttl=3))
    assert bed.a.received == [match.icmp4(type=0, ttl=64)]


@pytest.mark.parametrize("size", [1480, 8000, 65507])
def test_echo_of_more_than_the_mtu(bed: Bed, size: int) -> None:
    """RFC 1812 4.3.3.6, RFC 1122 3.3.2: fragments are put together, all data returned, the reply fragmented; to
    65,535."""
    data = bytes(i * 5 & 255 for i in range(size))
    request = frames.ipv4("10.0.1.2", "10.0.1.1", 1, frames.icmp_echo(7, 8, data), ident=99)
    pieces = frames.fragments(request, 1500)
    for piece in pieces:
        bed.a.send(piece)
    assert len(bed.a.received) == len(pieces)
    reply = b"".join(frame[34:] for frame in bed.a.received)
    assert reply[:1] == b"\0"
    assert reply[4:] == request[24:]
    assert frames.internet_checksum(reply) == 0
    assert len({frame[18:20] for frame in bed.a.received}) == 1


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.0.1.255", "224.0.0.1"])
def test_echo_to_a_group_is_ignored_unless_wanted(bed: Bed, dst: str) -> None:
    """RFC 1122 3.2.2.6, RFC 1812 4.3.3.6: off by default; if on, answered from an address of the device (3.2.2.6)."""
    stat = "IpInMcastPkts" if dst == "224.0.0.1" else "IpInBcastPkts"
    heard = {stat: 1}
    echo = frames.ipv4_echo("10.0.1.2", dst)
    mac = "01:00:5e:00:00:01" if dst == "224.0.0.1" else frames.BROADCAST
    with bed.expect(rx=1, drops={DropReason.ICMP_IGNORED: 1}, IcmpInEchos=1, **IN, **heard):
        bed.a.send(echo, dst_mac=mac)
    bed.r.sysctl["net.ipv4.icmp_echo_ignore_broadcasts"] = 0
    with bed.expect(rx=1, tx=1, IcmpInEchos=1, IcmpOutEchoReps=1, **IN, **OUT, **heard):
        bed.a.send(echo, dst_mac=mac)
    assert bed.a.received == [match.icmp4(type=0, src="10.0.1.1", dst="10.0.1.2", eth_dst=bed.a.mac)]


def test_all_echo_requests_can_be_ignored(bed: Bed) -> None:
    """RFC 1812 4.3.3.6: net.ipv4.icmp_echo_ignore_all, off by default (the tests above)."""
    bed.r.sysctl["net.ipv4.icmp_echo_ignore_all"] = 1
    with bed.expect(rx=1, drops={DropReason.ICMP_IGNORED: 1}, IcmpInEchos=1, **IN):
        bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))


def test_a_wrong_checksum_is_silently_discarded(bed: Bed) -> None:
    """RFC 792, RFC 1122 3.2.2: the checksum covers the whole message."""
    with bed.expect(rx=1, drops={DropReason.ICMP_CSUM: 1}, IcmpInErrors=1, **IN):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp_echo(checksum=1)))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_message_shorter_than_its_header(bed: Bed, size: int) -> None:
    """RFC 792: eight bytes at least."""
    with bed.expect(rx=1, drops={DropReason.L4_HDR: 1}, IcmpInErrors=1, **IN):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp_echo()[:size]))


@pytest.mark.parametrize("type_", [1, 2, 6, 7, 19, 40, 255])
def test_an_unknown_type_is_silently_discarded(bed: Bed, type_: int) -> None:
    """RFC 1122 3.2.2, RFC 1812 4.3.2.1: counted, and not answered."""
    with bed.expect(rx=1, drops={DropReason.ICMP_TYPE: 1}, IcmpInErrors=1, **IN):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp(type_, 0)))
    assert bed.a.received == []


@pytest.mark.parametrize(
    "type_",
    [4, 9, 10, 14, 15, 16, 17, 18],
    ids=[
        "source quench",
        "router advertisement",
        "router solicitation",
        "timestamp reply",
        "information request",
        "information reply",
        "mask request",
        "mask reply",
    ],
)
def test_withdrawn_messages_are_ignored(bed: Bed, type_: int) -> None:
    """RFC 6633, RFC 6918, RFC 1812 4.3.3.3, 4.3.3.7, 4.3.3.9: known, without effect, and never answered."""
    with bed.expect(rx=1, drops={DropReason.ICMP_IGNORED: 1}, **IN):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp(type_, 0, 0x00010001, bytes(12))))
    assert bed.a.received == []
    assert [a.length for a in bed.a.dev.addresses] == [24]


def test_source_quench_changes_nothing_for_a_socket(bed: Bed) -> None:
    """RFC 6633 3, 4: a socket is not told and not slowed."""
    sock = bed.udp(5000)
    sock.connect(("10.0.1.2", 9), now=bed.now)
    sock.send(b"one", now=bed.now)
    bed.a.send(icmp_to("10.0.1.1", frames.icmp_error(4, 0, bytes(bed.a.received[0][14:]))))
    assert sock.send(b"two", now=bed.now) == 3


@pytest.mark.parametrize("dst", ["10.0.1.1", "10.0.2.1"])
def test_timestamp(bed: Bed, dst: str) -> None:
    """RFC 1122 3.2.2.8, RFC 1812 4.3.3.8: answered from the address asked; the time is not UT's, so its high bit is
    set."""
    bed.run_for(5)
    with bed.expect(rx=1, tx=1, IcmpInTimestamps=1, IcmpOutTimestampReps=1, **IN, **OUT):
        bed.a.send(icmp_to(dst, frames.icmp(13, 0, 0x00070008, pack("!III", 1234, 0, 0))))
    assert bed.a.received == [match.icmp4(type=14, code=0, src=dst, rest=0x00070008)]
    originate, receive, transmit = unpack("!III", bed.a.received[0][42:54])
    assert originate == 1234
    assert receive == transmit == 0x80000000 | bed.now // 1_000_000


@pytest.mark.parametrize("dst", ["255.255.255.255", "224.0.0.1"])
def test_timestamp_to_a_group_is_ignored(bed: Bed, dst: str) -> None:
    """RFC 1122 3.2.2.8: may be discarded, by the switch of echo."""
    bed.a.send(icmp_to(dst, frames.icmp(13, 0, 1, bytes(12))), dst_mac=frames.BROADCAST)
    assert bed.a.received == []
    assert bed.r.drop_counts() == {"ICMP_IGNORED": 1}


def test_a_timestamp_without_room_for_its_times(bed: Bed) -> None:
    """RFC 792: a timestamp message has 20 bytes."""
    with bed.expect(rx=1, drops={DropReason.L4_HDR: 1}, IcmpInTimestamps=1, IcmpInErrors=1, **IN):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp(13, 0, 1, bytes(11))))


@pytest.mark.parametrize("quote", [0, 19, 20, 27])
@pytest.mark.parametrize("type_", [3, 5, 11, 12])
def test_an_error_that_quotes_too_little(bed: Bed, type_: int, quote: int) -> None:
    """RFC 1122 3.2.2, 3.4: the header and eight bytes are needed to find whom it is about."""
    mine = frames.ipv4_udp("10.0.1.1", "10.0.1.2", 5000, 9, b"x")
    with bed.expect(rx=1, drops={DropReason.L4_HDR: 1}, IcmpInErrors=1, **IN, **{_in_stat(type_): 1}):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp_error(type_, 1, mine, quote=quote)))


def _in_stat(type_: int) -> str:
    names = {3: "IcmpInDestUnreachs", 5: "IcmpInRedirects", 11: "IcmpInTimeExcds", 12: "IcmpInParmProbs"}
    return names[type_]


@pytest.mark.parametrize("type_", [3, 5, 11, 12])
def test_an_error_about_a_packet_of_somebody_else(bed: Bed, type_: int) -> None:
    """RFC 1122 3.2.2: an error is about a packet that we sent, or it is none of our business."""
    theirs = frames.ipv4_udp("10.0.1.77", "10.0.1.2", 5000, 9, b"x")
    with bed.expect(rx=1, drops={DropReason.ICMP_IGNORED: 1}, **IN, **{_in_stat(type_): 1}):
        bed.a.send(icmp_to("10.0.1.1", frames.icmp_error(type_, 1, theirs)))


def test_an_error_for_nobody_changes_nothing(bed: Bed) -> None:
    """RFC 1122 3.2.2.1: codes 0, 1 and 5 are hints: no route and no neighbour changes, no socket is closed."""
    sock = bed.udp(5000)
    sock.connect(("10.0.2.2", 9), now=bed.now)
    routes, neigh = list(bed.r.ip4.main), bed.neigh(bed.b)
    for code in (0, 1, 5):
        with bed.expect(rx=1, IcmpInDestUnreachs=1, **IN):
            error = frames.icmp_error(3, code, frames.ipv4_udp("10.0.2.1", "10.0.2.2", 5000, 9, b"x"))
            bed.b.send(frames.ipv4("10.0.2.2", "10.0.2.1", 1, error))
    assert (list(bed.r.ip4.main), bed.neigh(bed.b)) == (routes, neigh)
    assert sock.send(b"still here", now=bed.now) == 10
    assert bed.b.received == [match.udp(payload=b"still here")]


def test_a_timestamp_reply_reflects_the_recorded_route(bed: Bed) -> None:
    """RFC 1122 3.2.2.8: record route and timestamp options come back as with echo, TOS and precedence too."""
    message = frames.icmp(13, 0, 1, bytes(12))
    bed.a.send(icmp_to("10.0.1.1", message, options=bytes((7, 11, 4, *bytes(8))), tos=0xB8))
    address = bytes((10, 0, 1, 1))
    assert bed.a.received == [match.icmp4(type=14, tos=0xB8, options=bytes((7, 11, 12)) + address * 2 + b"\0")]
