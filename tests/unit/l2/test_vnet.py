"""The virtio-net header as hostile input: one good frame, one change in each row."""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from tests.superframes import (
    ACK,
    DATA_VALID,
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP,
    GSO_UDP_L4,
    IPV4,
    IPV6,
    NEEDS_CSUM,
    TIMESTAMPS,
    Packet,
    pattern,
    read,
    tcp,
    udp,
    vnet,
)
from vrouter.stack.base.packet import CSUM_OK
from vrouter.stack.base.packet import Packet as Buffered
from vrouter.stack.l2.vnet import MAX_DATAGRAMS, MAX_SEGMENTS, vnet_input
from vrouter.testing import frames, frames6

MAC, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"
A4, B4, A6, B6 = "10.0.1.2", "10.0.2.2", "fd00:1::2", "fd00:2::2"
TCP4 = tcp(A4, B4, pattern(10_000), flags=ACK, options=TIMESTAMPS)
TCP6 = tcp(A6, B6, pattern(10_000), flags=ACK, options=TIMESTAMPS)
UDP4 = udp(A4, B4, pattern(10_000))
UDP6 = udp(A6, B6, pattern(10_000))
SUPERFRAMES = {"tcp4": TCP4, "tcp6": TCP6, "udp4": UDP4, "udp6": UDP6}
SIZE = 1000


def framed(packet: bytes, *tags: int) -> bytes:
    ethertype = IPV4 if packet[0] >> 4 == 4 else IPV6
    for tci in reversed(tags):
        packet = frames.vlan_tag(tci, ethertype, packet)
        ethertype = 0x8100
    return frames.ethernet(MAC, PEER, ethertype, packet)


def take(header: bytes, frame: bytes, *, offload: bool = True) -> Buffered | None:
    """The packet as the header says, or None when it is refused."""
    dev = Bed().station(Bed().stack.add_netns("r"), "a", vnet_hdr=True).dev
    dev.offload = offload
    pkt = Buffered.from_frame(header + frame)
    return pkt if vnet_input(dev, pkt) else None


def found(pkt: Buffered | None) -> tuple[int, int, int, int] | None:
    """(gso_size, gso_type, csum_start, csum_offset) as the header has them."""
    if pkt is None:
        return None
    start = pkt.csum_start - pkt.start if pkt.csum_start >= 0 else -1
    return pkt.gso_size, pkt.gso_type, start, pkt.csum_offset


@pytest.mark.parametrize("name", SUPERFRAMES)
@pytest.mark.parametrize("tags", [(), (5,), (5, 6)])
def test_superframes(name: str, tags: tuple[int, ...]) -> None:
    """VIRTIO 1.2 5.1.6.2: both protocols in both families, behind any tags."""
    packet = SUPERFRAMES[name]
    link = 14 + 4 * len(tags)
    pkt = take(packet.vnet(SIZE, link), framed(packet.raw(), *tags))
    kind = {"tcp4": GSO_TCPV4, "tcp6": GSO_TCPV6}.get(name, GSO_UDP_L4)
    assert found(pkt) == (SIZE, kind, link + packet.l4, packet.offset)
    assert pkt.segments() == 10
    assert pkt.wire_bytes() == 10 * (link + packet.header) + 10_000
    assert pkt.longest() == link + packet.header + SIZE


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": NEEDS_CSUM | 0xF8},
        {"flags": NEEDS_CSUM | DATA_VALID},
        {"hdr_len": 0},
        {"hdr_len": 0xFFFF},
        {"gso": GSO_TCPV4 | GSO_ECN},
        {"size": 9_999},
    ],
    ids=str,
)
def test_what_means_nothing_is_ignored(changes: dict[str, int]) -> None:
    """VIRTIO 1.2 5.1.6.2, 5.1.6.4: unknown flags, and hdr_len, which is a hint."""
    pkt = take(TCP4.vnet(SIZE, **changes), framed(TCP4.raw()))
    assert found(pkt) == (changes.get("size", SIZE), changes.get("gso", GSO_TCPV4), 34, 16)


@pytest.mark.parametrize(
    ("packet", "changes"),
    [
        (TCP4, {"gso": 2}),
        (TCP4, {"gso": 6}),
        (TCP4, {"gso": 0x7F}),
        (TCP4, {"gso": GSO_ECN}),
        (TCP4, {"gso": GSO_UDP}),
        (UDP4, {"gso": GSO_UDP}),
        (TCP4, {"gso": GSO_TCPV6}),
        (TCP6, {"gso": GSO_TCPV4}),
        (TCP4, {"gso": GSO_UDP_L4}),
        (UDP4, {"gso": GSO_TCPV4}),
        (UDP6, {"gso": GSO_TCPV6}),
        (UDP4, {"gso": GSO_UDP_L4 | GSO_ECN}),
        (TCP4, {"size": 0}),
        (UDP6, {"size": 0}),
        (TCP4, {"size": 1}),
        (TCP4, {"size": 9}),
        (UDP4, {"size": 10_000 // (MAX_DATAGRAMS + 1)}),
        (TCP4, {"flags": 0}),
        (TCP4, {"flags": 0x80}),
        (UDP4, {"flags": 0}),
        (UDP4, {"flags": DATA_VALID}),
        (TCP4, {"start": 0}),
        (TCP4, {"start": 13}),
        (TCP4, {"start": 14}),
        (TCP4, {"start": 33}),
        (TCP4, {"start": 35}),
        (TCP4, {"start": 0xFFFF}),
        (TCP4, {"offset": 0}),
        (TCP4, {"offset": 6}),
        (UDP4, {"offset": 16}),
        (TCP4, {"offset": 10_000}),
        (TCP4, {"offset": 0xFFFF}),
        (TCP6, {"start": 34}),
    ],
    ids=lambda value: f"{value.version}-{value.proto}" if isinstance(value, Packet) else str(value),
)
def test_lies(packet: Packet, changes: dict[str, int]) -> None:
    """VIRTIO 1.2 5.1.6.4: a type that is unknown or not the packet's, no size or an absurd one, a checksum that is
    nobody's: the frame is refused."""
    assert take(packet.vnet(SIZE), framed(packet.raw())) is not None
    assert take(packet.vnet(SIZE, **changes), framed(packet.raw())) is None


def test_at_most_so_many_segments() -> None:
    """One frame of 64 KiB must not become tens of thousands."""
    for most, packet in ((MAX_SEGMENTS, TCP4), (MAX_DATAGRAMS, UDP4)):
        full = packet.later(payload=bytes(most * 20))
        assert take(full.vnet(20), framed(full.raw())) is not None
        more = packet.later(payload=bytes(most * 20 + 1))
        assert take(more.vnet(20), framed(more.raw())) is None


def test_without_offload_nobody_sends_superframes() -> None:
    """VIRTIO 1.2 5.1.6.4.1: what was not negotiated must not be used."""
    assert take(TCP4.vnet(SIZE), framed(TCP4.raw()), offload=False) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],  # shorter than it says
        lambda raw: raw[:33],
        lambda raw: raw[:20],
        lambda raw: b"\x65" + raw[1:],  # not the family of its EtherType
        lambda raw: b"\x44" + raw[1:],  # a header that is too short
        lambda raw: b"\x4f" + raw[1:],  # and one that is too long
        lambda raw: raw[:6] + b"\x20\x00" + raw[8:],  # a first fragment
        lambda raw: raw[:6] + b"\x00\x01" + raw[8:],  # a later one
        lambda raw: raw[:32] + b"\x40" + raw[33:],  # a TCP header that is too short
        lambda raw: raw[:9] + b"\x01" + raw[10:],  # another protocol
    ],
)
def test_packets_that_cannot_be_cut(damage) -> None:
    """RFC 9293 3.1, RFC 791 3.1: the headers of every segment have to be there, and be those of whole packets."""
    assert take(TCP4.vnet(SIZE), framed(damage(TCP4.raw()))) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:30],
        lambda raw: b"\x40" + raw[1:],
        lambda raw: raw[:6] + b"\x2c" + raw[7:],  # a fragment header
        lambda raw: raw[:6] + b"\x3b" + raw[7:],  # nothing follows
    ],
)
def test_ipv6_packets_that_cannot_be_cut(damage) -> None:
    """RFC 8200 3, 4.5."""
    assert take(TCP6.vnet(SIZE), framed(damage(TCP6.raw()))) is None


def test_a_tcp_header_longer_than_the_packet() -> None:
    """Its data begins nowhere."""
    short = TCP4.later(payload=b"", options=b"")
    raw = bytearray(short.raw())
    raw[32] = 0xF0
    assert take(short.vnet(SIZE), framed(bytes(raw))) is None


def test_extension_headers() -> None:
    """RFC 8200 4: they go in front of each segment."""
    packet = TCP6.later(first=60, ip_options=bytes((6, 0, 1, 4, 0, 0, 0, 0)))
    pkt = take(packet.vnet(SIZE), framed(packet.raw()))
    assert found(pkt) == (SIZE, GSO_TCPV6, 62, 16)


def test_one_segment_is_no_superframe() -> None:
    """As Linux: what fits into one segment is a packet with a half-finished checksum."""
    short = TCP4.later(payload=bytes(SIZE))
    assert found(take(short.vnet(SIZE), framed(short.raw()))) == (0, 0, 34, 16)
    assert found(take(TCP4.later(payload=b"").vnet(SIZE), framed(TCP4.later(payload=b"").raw()))) == (0, 0, 34, 16)


@pytest.mark.parametrize("packet", [TCP4, TCP6])
def test_a_superframe_whose_checksum_is_known_to_be_right(packet: Packet) -> None:
    """VIRTIO 1.2 5.1.6.4: DATA_VALID; its segments need checksums of their own, so it is made a half-finished one."""
    pkt = take(packet.vnet(SIZE, flags=DATA_VALID), framed(packet.later(half=False).raw()))
    assert found(pkt) == (SIZE, packet.vnet(SIZE)[1], 14 + packet.l4, 16)
    assert read(pkt.data(), half=True) == packet
    assert read(pkt.data(), half=True).checksums


def test_not_towards_a_routing_header() -> None:
    """RFC 8200 8.1: the pseudo-header has the final destination, so the sum cannot be made from the header's."""
    routing = bytes((6, 2, 253, 1)) + bytes(4) + bytes(16)
    packet = TCP6.later(first=43, ip_options=routing)
    assert take(packet.vnet(SIZE, flags=DATA_VALID), framed(packet.raw())) is None
    assert take(packet.vnet(SIZE), framed(packet.raw())) is not None


def test_what_follows_the_packet_is_no_data() -> None:
    """RFC 894: padding; the sum does not cover it."""
    pkt = take(TCP4.vnet(SIZE), framed(TCP4.raw()) + b"padding")
    assert len(pkt) == 14 + TCP4.header + 10_000
    short = UDP4.later(payload=b"abc")
    pkt = take(short.vnet(), framed(short.raw()) + b"padding")
    assert (found(pkt), len(pkt)) == ((0, 0, 34, 6), 14 + 31)


@pytest.mark.parametrize("name", SUPERFRAMES)
@pytest.mark.parametrize("tags", [(), (7,)])
def test_a_half_finished_checksum_stays_so(name: str, tags: tuple[int, ...]) -> None:
    """VIRTIO 1.2 5.1.6.4.1: NEEDS_CSUM alone."""
    packet = SUPERFRAMES[name].later(payload=b"data")
    pkt = take(packet.vnet(link=14 + 4 * len(tags)), framed(packet.raw(), *tags), offload=False)
    assert found(pkt) == (0, 0, 14 + 4 * len(tags) + packet.l4, packet.offset)
    assert pkt.data() == framed(packet.raw(), *tags)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_checksum_of_another_protocol_is_finished(padding: int) -> None:
    """What is no TCP or UDP header's is finished before anybody looks at the packet."""
    raw = bytearray(frames.ipv4_echo(A4, B4, payload=b"odd"))
    raw[22:24] = bytes(2)
    pkt = take(vnet(NEEDS_CSUM, start=34, offset=2), framed(bytes(raw)))
    assert found(pkt)[2] == -1
    assert pkt.data() == framed(frames.ipv4_echo(A4, B4, payload=b"odd"))
    ping = bytearray(frames6.ipv6_echo(A6, B6))
    pkt = take(vnet(NEEDS_CSUM, start=54, offset=0), framed(bytes(ping)))
    assert found(pkt)[2] == -1


@pytest.mark.parametrize(
    ("start", "offset", "size"),
    [(14, 0, 60), (15, 16, 60), (34, 15, 60), (38, 16, 60), (58, 0, 60), (34, 24, 60), (14, 44, 60)],
)
def test_a_checksum_elsewhere_is_finished(start: int, offset: int, size: int) -> None:
    """Harmless: the bytes are as if they had come so; what they say is judged afterwards."""
    packet = tcp(A4, B4, bytes(6))
    frame = framed(packet.raw())
    assert len(frame) == size
    pkt = take(vnet(NEEDS_CSUM, start=start, offset=offset), frame)
    assert found(pkt)[2] == -1
    at = start + offset
    assert pkt.data()[:at] + pkt.data()[at + 2 :] == frame[:at] + frame[at + 2 :]


@pytest.mark.parametrize(
    ("start", "offset"), [(0, 16), (13, 16), (34, 25), (59, 0), (60, 0), (34, 0xFFFF), (0xFFFF, 0)]
)
def test_a_checksum_outside_is_refused(start: int, offset: int) -> None:
    """The Ethernet header is not summed up, and nothing is written behind the end."""
    frame = framed(tcp(A4, B4, bytes(6)).raw())
    assert take(vnet(NEEDS_CSUM, start=start, offset=offset), frame) is None


def test_a_checksum_of_a_fragment_is_finished() -> None:
    """The sum over a piece is nobody's checksum, and what is finished can be cut again."""
    raw = bytearray(UDP4.later(payload=bytes(24)).raw())
    raw[6] = 0x20
    assert found(take(UDP4.vnet(), framed(bytes(raw))))[2] == -1


def test_a_packet_that_ends_in_front_of_its_checksum() -> None:
    """The IP header says that the packet ends before: the bytes behind it are padding."""
    raw = bytearray(tcp(A4, B4, bytes(6)).raw())
    raw[2:4] = (30).to_bytes(2, "big")
    assert found(take(vnet(NEEDS_CSUM, start=34, offset=16), framed(bytes(raw))))[2] == -1


def test_vouched_for() -> None:
    """VIRTIO 1.2 5.1.6.4: DATA_VALID without a type."""
    pkt = take(vnet(DATA_VALID), framed(UDP4.later(payload=b"x", half=False).raw()))
    assert (found(pkt)[2], pkt.flags) == (-1, CSUM_OK)
    assert take(vnet(0, hdr_len=9, size=9, start=9, offset=9), framed(UDP4.raw())).flags == 0


@pytest.mark.parametrize("size", range(12))
def test_cut_short(size: int) -> None:
    """Without twelve bytes there is no header."""
    assert take(b"", bytes(size)) is None
