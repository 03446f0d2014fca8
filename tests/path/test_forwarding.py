"""Forwarding: RFC 1812 5.2.1.2, 5.2.4, 5.2.5, 5.2.6, 5.3.1, 4.2.2.7, RFC 1624.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

SMALL_B = pytest.mark.parametrize("bed", [{"mtu": 600}], indirect=True)
DROPPED_AND_TOLD = {"IpInReceives": 1, "IpOutRequests": 1, "IcmpOutMsgs": 1}


def datagram(dst: str = "10.0.2.2", payload: bytes = b"x", **header: object) -> bytes:
    """A UDP packet from a."""
    return frames.ipv4_udp("10.0.1.2", dst, 1000, 7, payload, **header)


def body(frame: bytes) -> bytes:
    """What stands behind the IPv4 header in a frame."""
    return frame[14 + (frame[14] & 15) * 4 :]


@pytest.mark.parametrize("ttl", [2, 3, 64, 128, 255])
def test_ttl_falls_by_one(bed: Bed, ttl: int) -> None:
    """RFC 1812 5.3.1: by exactly one; TTL 2 leaves with 1, and is not dropped because the next one would."""
    with bed.expect(rx={"a": 1}, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(datagram(ttl=ttl))
    assert bed.b.received == [match.udp(ttl=ttl - 1)]


@pytest.mark.parametrize("ttl", [0, 1])
def test_ttl_one_is_dropped_and_the_sender_told(bed: Bed, ttl: int) -> None:
    """RFC 1812 5.3.1, 5.2.7.3: what would leave with TTL zero is discarded; time exceeded, code 0, quotes it as it
    came."""
    with bed.expect(rx=1, tx={"a": 1}, drops={DropReason.TTL_EXPIRED: 1}, IcmpOutTimeExcds=1, **DROPPED_AND_TOLD):
        sent = bed.a.send(datagram(ttl=ttl))
    assert bed.a.received == [match.icmp4(type=11, code=0, src="10.0.1.1", ttl=64, tos=0xC0, payload=sent, df=False)]


def test_nothing_but_ttl_and_checksum_changes(bed: Bed) -> None:
    """RFC 1812 5.2.5, 5.3.3.3 (4), RFC 1624: every other bit of the packet arrives as it was sent."""
    sent = datagram(payload=bytes(range(256)), ttl=9, ident=0xBEEF, tos=0x5D, df=True, reserved=True)
    bed.a.send(sent)
    got = bytes(bed.b.received[0][14:])
    assert got[8] == 8
    assert got[:8] + got[9:10] + got[12:] == sent[:8] + sent[9:10] + sent[12:]
    assert frames.internet_checksum(got[:20]) == 0


def test_the_checksum_stays_right_for_all_of_them(bed: Bed) -> None:
    """RFC 1624 3: the incremental update is exact for each header checksum, those near 0 and 0xffff included."""
    for ident in range(0, 65536, 257):
        bed.a.send(datagram(ident=ident, ttl=1 + (ident % 254) + 1))
    assert bed.b.received == [match.udp(ident=ident) for ident in range(0, 65536, 257)]


def test_forwarding_is_off_until_it_is_wanted() -> None:
    """RFC 1122 3.1, RFC 1812 2.2.8.1: a namespace with many devices is no router before ip_forward says so;
    silently."""
    bed = Bed.line(forward=False)
    with bed.expect(rx=3, drops={DropReason.FORWARDING_DISABLED: 3}, IpInReceives=3):
        bed.a.send(datagram())
        bed.a.send(datagram(ttl=1))
        bed.a.send(datagram("192.0.2.1"))
    assert bed.a.received == bed.b.received == []
    bed.r.sysctl["net.ipv4.ip_forward"] = 1
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(datagram())
    bed.close()


def test_forwarding_by_device(bed: Bed) -> None:
    """RFC 1812 5.3.11: off for a device, what comes in there for others is silently discarded; out by it is allowed."""
    bed.r.sysctl["net.ipv4.conf.a.forwarding"] = 0
    with bed.expect(rx={"a": 1}, drops={DropReason.FORWARDING_DISABLED: 1}, IpInReceives=1):
        bed.a.send(datagram())
    with bed.expect(rx={"b": 1}, tx={"a": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.b.send(frames.ipv4_udp("10.0.2.2", "10.0.1.2", 1, 2))
    assert bed.b.received == []


def test_a_next_hop_gets_what_is_for_others(bed: Bed) -> None:
    """RFC 1812 5.2.4.2: attached destinations are reached directly, the rest by the gateway's link address."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.77", now=bed.now)
    gateway = b"\x02\0\0\0\0\x77"
    bed.r.neigh4.add_static(bed.b.dev, 0x0A00024D, gateway, bed.now)
    bed.a.send(datagram("192.0.2.9"))
    bed.a.send(datagram())
    assert bed.b.received == [
        match.udp(dst="192.0.2.9", eth_dst=gateway),
        match.udp(dst="10.0.2.2", eth_dst=bed.b.mac),
    ]


ORDER = [
    ("no route and TTL 1: no route", "192.0.2.1", {"ttl": 1}, DropReason.IP_INNOROUTES, (3, 0)),
    ("prohibited and TTL 1: prohibited", "198.51.100.1", {"ttl": 1}, DropReason.ROUTE_PROHIBIT, (3, 13)),
    ("too big and TTL 1: TTL", "10.0.2.2", {"ttl": 1, "df": True}, DropReason.TTL_EXPIRED, (11, 0)),
    ("too big: size", "10.0.2.2", {"df": True}, DropReason.PKT_TOO_BIG, (3, 4)),
]


@SMALL_B
@pytest.mark.parametrize(("dst", "header", "reason", "answer"), [r[1:] for r in ORDER], ids=[r[0] for r in ORDER])
def test_order_of_decisions(
    bed: Bed, dst: str, header: dict[str, object], reason: DropReason, answer: tuple[int, int]
) -> None:
    """RFC 1812 5.2.1.2: route first, then TTL, then size: the first that refuses answers, and alone."""
    bed.r.add_route("198.51.100.0/24", type="prohibit", now=bed.now)
    stat = "IcmpOutTimeExcds" if answer[0] == 11 else "IcmpOutDestUnreachs"
    fails = {"IpFragFails": 1} if reason is DropReason.PKT_TOO_BIG else {}
    with bed.expect(rx=1, tx=1, drops={reason: 1}, **DROPPED_AND_TOLD, **fails, **{stat: 1}):
        sent = bed.a.send(datagram(dst, bytes(700), **header))
    assert bed.a.received == [match.icmp4(type=answer[0], code=answer[1], quotes=sent)]


# -- size -------------------------------------------------------------------------------------------------------------


@SMALL_B
def test_a_packet_of_the_mtu_passes_whole(bed: Bed) -> None:
    """RFC 1812 4.2.2.7: only what is larger than the next link's MTU is fragmented."""
    with bed.expect(rx=1, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(datagram(payload=bytes(600 - 28)))
    assert bed.b.received == [match.udp(payload=bytes(572))]


@SMALL_B
def test_fragments_are_few_in_order_and_complete(bed: Bed) -> None:
    """RFC 1812 4.2.2.7, 5.2.6, RFC 791 3.2: as few as possible, lowest offset first, TTL, TOS and ident in each."""
    payload = bytes(i * 7 & 0xFF for i in range(1400))
    sent = datagram(payload=payload, ident=0x1234, tos=0xFF, ttl=9, reserved=True)
    with bed.expect(rx=1, tx={"b": 3}, IpInReceives=1, IpForwDatagrams=1, IpFragOKs=1, IpFragCreates=3):
        bed.a.send(sent)
    common = {"src": "10.0.1.2", "dst": "10.0.2.2", "ident": 0x1234, "tos": 0xFF, "ttl": 8, "proto": 17}
    assert bed.b.received == [
        match.ipv4(offset=0, mf=True, total_length=596, **common),
        match.ipv4(offset=576, mf=True, total_length=596, **common),
        match.ipv4(offset=1152, mf=False, total_length=1408 - 1152 + 20, **common),
    ]
    assert b"".join(body(frame) for frame in bed.b.received) == sent[20:]
    assert all(frame[20] & 0x80 for frame in bed.b.received)  # the reserved flag is copied (5.2.5)


@SMALL_B
def test_a_fragment_is_fragmented_again(bed: Bed) -> None:
    """RFC 791 3.2: the pieces of a middle fragment count from its offset, and the last keeps More Fragments."""
    with bed.expect(rx=1, tx={"b": 2}, IpInReceives=1, IpForwDatagrams=1, IpFragOKs=1, IpFragCreates=2):
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.2.2", 17, bytes(1000), offset=800, mf=True, ident=5))
    assert bed.b.received == [match.ipv4(offset=800, mf=True, ident=5), match.ipv4(offset=1376, mf=True, ident=5)]


@SMALL_B
def test_too_big_with_df_tells_the_next_mtu(bed: Bed) -> None:
    """RFC 1191 4, RFC 1812 5.2.7.1: fragmentation needed, code 4, with the MTU of the next hop."""
    sent = datagram(payload=bytes(800), df=True)
    with bed.expect(
        rx=1, tx={"a": 1}, drops={DropReason.PKT_TOO_BIG: 1}, IcmpOutDestUnreachs=1, IpFragFails=1, **DROPPED_AND_TOLD
    ):
        bed.a.send(sent)
    assert bed.a.received == [match.icmp4(type=3, code=4, rest=600, src="10.0.1.1", payload=sent[:548])]


@SMALL_B
def test_a_fragment_with_df_is_not_cut_either(bed: Bed) -> None:
    """RFC 791 3.2: Don't Fragment holds for a piece too; a later one is dropped without an answer (4.3.2.7)."""
    with bed.expect(rx=1, drops={DropReason.PKT_TOO_BIG: 1}, IpInReceives=1, IpFragFails=1):
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.2.2", 17, bytes(1000), offset=800, df=True))
    assert bed.a.received == bed.b.received == []


def test_fragments_in_transit_are_not_put_together(bed: Bed) -> None:
    """RFC 1812 5.2.6: a router does not reassemble what it forwards; each piece goes its own way, in any order."""
    pieces = frames.fragments(datagram(payload=bytes(2000), ident=9), 576)
    with bed.expect(rx=4, tx={"b": 4}, IpInReceives=4, IpForwDatagrams=4):
        for piece in reversed(pieces):
            bed.a.send(piece)
    assert [frame[34:] for frame in bed.b.received] == [piece[20:] for piece in reversed(pieces)]


@SMALL_B
def test_changing_the_mtu_takes_effect_at_once(bed: Bed) -> None:
    """RFC 1812 3.3.4: the MTU of each interface can be configured, also while it runs; 68 to 65,521."""
    bed.r.set_device("b", mtu=1500, now=bed.now)
    with bed.expect(rx=1, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(datagram(payload=bytes(1400)))
    for wrong in (67, 65522, 0, -1):
        with pytest.raises(OSError, match="68 to 65521"):
            bed.r.set_device("b", mtu=wrong, now=bed.now)
    bed.r.set_device("b", mtu=68, now=bed.now)
    bed.b.clear()
    bed.a.send(datagram(payload=bytes(100)))
    assert [frame[16:18] for frame in bed.b.received] == [b"\x00\x44", b"\x00\x44", b"\x00\x20"]


def test_a_router_does_not_depend_on_payload(bed: Bed) -> None:
    """RFC 1812 5.2.1.2: transport faults are the receivers' business: wrong UDP and ICMP checksums pass."""
    bad_udp = frames.ipv4("10.0.1.2", "10.0.2.2", 17, frames.udp("10.0.1.2", "10.0.2.2", 1, 2, b"x", checksum=1))
    bad_icmp = frames.ipv4("10.0.1.2", "10.0.2.2", 1, frames.icmp_echo(checksum=1))
    with bed.expect(rx=3, tx={"b": 3}, IpInReceives=3, IpForwDatagrams=3):
        bed.a.send(bad_udp)
        bed.a.send(bad_icmp)
        bed.a.send(frames.ipv4("10.0.1.2", "10.0.2.2", 255))
    assert [frame[34:] for frame in bed.b.received] == [bad_udp[20:], bad_icmp[20:], b""]
