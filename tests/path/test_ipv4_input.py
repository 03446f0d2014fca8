"""The IPv4 header: checks of RFC 1812 5.2.2 in their order, and what is not looked at.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.hooks.hooks import INPUT, Hooks
from vrouter.testing import frames, match


def packet(dst: str = "10.0.2.2", **header: object) -> bytes:
    """A UDP packet from a that is right unless told to be wrong."""
    return frames.ipv4("10.0.1.2", dst, frames.UDP, frames.udp("10.0.1.2", dst, 1000, 7, b"data"), **header)


CHANGES: list[tuple[str, Callable[[str], bytes], DropReason]] = [
    ("a frame of 19 bytes of IP", lambda dst: packet(dst)[:19], DropReason.HDR_TRUNC),
    ("no bytes at all", lambda dst: b"", DropReason.HDR_TRUNC),
    ("options that are not there", lambda dst: packet(dst, ihl=15)[:48], DropReason.HDR_TRUNC),
    ("checksum off by one", lambda dst: packet(dst, checksum=_right(dst) ^ 1), DropReason.IP_CSUM),
    ("checksum zero", lambda dst: packet(dst, checksum=0), DropReason.IP_CSUM),
    ("version 5", lambda dst: packet(dst, version=5), DropReason.IP_VERSION),
    ("version 6", lambda dst: packet(dst, version=6), DropReason.IP_VERSION),
    ("version 0", lambda dst: packet(dst, version=0), DropReason.IP_VERSION),
    ("header of 4 words", lambda dst: packet(dst, ihl=4), DropReason.IP_INHDR),
    ("header of no words", lambda dst: packet(dst, ihl=0), DropReason.IP_INHDR),
    ("total length 19", lambda dst: packet(dst, total_length=19), DropReason.IP_INHDR),
    ("total length 0", lambda dst: packet(dst, total_length=0), DropReason.IP_INHDR),
    ("total length within options", lambda dst: packet(dst, options=bytes(8), total_length=27), DropReason.IP_INHDR),
    ("truncated on its way", lambda dst: packet(dst)[:-1], DropReason.IP_INHDR),
    ("total length beyond the frame", lambda dst: packet(dst, total_length=1400), DropReason.IP_INHDR),
]


def _right(dst: str) -> int:
    return int.from_bytes(packet(dst)[10:12], "big")


@pytest.mark.parametrize("dst", ["10.0.2.2", "10.0.1.1", "10.0.9.9"], ids=["forwarded", "ours", "no route"])
@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_bad_header_is_silently_discarded(
    bed: Bed, dst: str, change: Callable[[str], bytes], reason: DropReason
) -> None:
    """RFC 1812 5.2.2, RFC 1122 3.2.1.1, 3.2.1.2: one change, one reason, and no answer, whoever it was for."""
    with bed.expect(rx={"a": 1}, drops={reason: 1}, IpInReceives=1):
        bed.a.send(change(dst))
    assert bed.a.received == bed.b.received == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"checksum": 1, "version": 5, "ihl": 4, "total_length": 9}, DropReason.IP_CSUM),
        ({"version": 5, "ihl": 4, "total_length": 9}, DropReason.IP_VERSION),
        ({"ihl": 4, "total_length": 9}, DropReason.IP_INHDR),
        ({"version": 5, "total_length": 2000}, DropReason.IP_VERSION),
    ],
)
def test_the_first_check_that_fails_names_the_reason(bed: Bed, header: dict[str, int], reason: DropReason) -> None:
    """RFC 1812 5.2.2: the order is length, checksum, version, header length, total length."""
    with bed.expect(rx=1, drops={reason: 1}, IpInReceives=1):
        bed.a.send(packet(**header))


def test_header_faults_come_before_addresses(bed: Bed) -> None:
    """RFC 1812 5.2.1 (1): nothing in a header is used before the header is known to be one."""
    bad = frames.ipv4("127.0.0.1", "0.1.2.3", frames.UDP, b"", checksum=7)
    with bed.expect(rx=1, drops={DropReason.IP_CSUM: 1}, IpInReceives=1):
        bed.a.send(bad)


def test_no_setting_switches_a_check_off(bed: Bed) -> None:
    """RFC 1812 4.2.2.5, 5.2.2: there is no way to have an invalid header accepted."""
    for name in bed.r.sysctl:
        if name.startswith(("net.ipv4.conf.a.", "net.ipv4.conf.all.")) and not name.endswith(".mc_forwarding"):
            bed.r.sysctl[name] = 1
    with bed.expect(rx=len(CHANGES), drops=_all_reasons(), IpInReceives=len(CHANGES)):
        for _, change, _ in CHANGES:
            bed.a.send(change("10.0.2.2"))


def _all_reasons() -> dict[DropReason, int]:
    found: dict[DropReason, int] = {}
    for _, _, reason in CHANGES:
        found[reason] = found.get(reason, 0) + 1
    return found


@pytest.mark.parametrize("ttl", [0, 1])
def test_ttl_of_a_packet_for_us_is_not_looked_at(bed: Bed, ttl: int) -> None:
    """RFC 1122 3.2.1.7, RFC 1812 4.2.2.9: a datagram for us with TTL 0 or 1 is delivered."""
    sock = bed.udp(7)
    with bed.expect(rx=1, IpInReceives=1, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(packet("10.0.1.1", ttl=ttl))
    assert bed.received(sock) == [b"data"]


@pytest.mark.parametrize("dst", ["10.0.1.1", "10.0.2.1"], ids=["of the arrival device", "of another device"])
def test_every_own_address_is_delivered_to(bed: Bed, dst: str) -> None:
    """RFC 1812 5.2.3: to any address of the namespace: delivered and not forwarded, on whichever device it came."""
    sock = bed.udp(7)
    with bed.expect(rx=1, IpInReceives=1, IpInDelivers=1, UdpInDatagrams=1):
        bed.a.send(packet(dst))
    assert bed.received(sock) == [b"data"]


@pytest.mark.parametrize("tos", [0x01, 0x02, 0x03, 0xFF])
def test_reserved_bits_do_not_matter(bed: Bed, tos: int) -> None:
    """RFC 1812 4.2.2.3, 5.2.5: the reserved flag and TOS bits are ignored, and passed on as they are."""
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(packet(reserved=True, tos=tos))
    assert bed.b.received == [match.udp(tos=tos, payload=b"data")]
    assert bed.b.received[0][20] & 0x80


@pytest.mark.parametrize("precedence", range(8))
def test_every_precedence_passes_unchanged(bed: Bed, precedence: int) -> None:
    """RFC 1812 5.3.3.3 (1), (3), (4): all precedences are handled, none is cut off, none is changed."""
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(packet(tos=precedence << 5))
    assert bed.b.received == [match.udp(tos=precedence << 5)]


def test_a_delivered_header_is_as_it_was(bed: Bed) -> None:
    """RFC 1812 5.2.1 (3), (4): nothing of the header of a packet for us is changed, TTL and checksum included."""
    seen: list[bytes] = []

    def watch(ns: object, pkt: object, now: int) -> int:
        seen.append(pkt.data())
        return 0

    bed.r.hooks = _hooks_with(watch)
    bed.udp(7)
    sent = bed.a.send(packet("10.0.1.1", ttl=3, ident=77))
    assert seen == [sent]


def _hooks_with(function: Callable[..., int]) -> Hooks:
    hooks = Hooks()
    hooks.register(INPUT, 0, function)
    return hooks


def test_the_network_number_is_nobodys_address(bed: Bed) -> None:
    """RFC 1812 4.2.3.1 (2): {prefix, 0} is silently discarded, from this link and for the other."""
    with bed.expect(rx=2, drops={DropReason.IP_INVALID_DEST: 2}, IpInReceives=2):
        bed.a.send(packet("10.0.1.0"))
        bed.a.send(packet("10.0.2.0"))
    assert bed.a.received == bed.b.received == []


def test_both_addresses_of_a_31_are_hosts(bed: Bed) -> None:
    """RFC 3021 2.1: with /31 there is no network number and no broadcast."""
    c = bed.station(bed.r, "c", "10.0.3.1/31", "10.0.3.0")
    bed.settle()
    with bed.expect(rx={"a": 1}, tx={"c": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(packet("10.0.3.0"))
    assert c.received == [match.udp(dst="10.0.3.0")]


def test_protocols_without_a_handler(bed: Bed) -> None:
    """RFC 1122 3.2.2.1, RFC 1812 5.2.7.1: a protocol that nobody speaks here is answered with 3/2, whole header
    quoted."""
    sent = frames.ipv4("10.0.1.2", "10.0.1.1", 99, b"some data")
    with bed.expect(
        rx=1,
        tx=1,
        drops={DropReason.IP_NOPROTO: 1},
        IpInReceives=1,
        IpInDelivers=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
    ):
        bed.a.send(sent)
    assert bed.a.received == [match.icmp4(type=3, code=2, src="10.0.1.1", dst="10.0.1.2", payload=sent)]
