"""Frames at a device: what is a frame for us at all (RFC 894, RFC 1122 2.3 and 2.4, RFC 1812 3.3).

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

OTHER = "02:00:00:00:77:77"


def good(bed: Bed) -> bytes:
    """A frame from a whose packet r forwards to b."""
    return bed.a.frame(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1000, 7, b"x"))


def test_the_good_frame_is_forwarded(bed: Bed) -> None:
    """RFC 894: Ethernet II with EtherType 0x0800 carries IP, both ways; the table below changes one thing in it."""
    with bed.expect(rx={"a": 1}, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send_frame(good(bed))
    assert bed.b.received == [
        match.udp(payload=b"x", eth_src=bed.b.dev.mac, eth_dst=bed.b.mac, ttl=63, src="10.0.1.2", dst="10.0.2.2")
    ]
    assert bed.b.received[0][12:14] == b"\x08\x00"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f[:13], DropReason.PKT_TOO_SMALL),
        (lambda f: f[:12] + b"\x81\x00" + f[14:17], DropReason.PKT_TOO_SMALL),
        (lambda f: f + bytes(1519 - len(f)), DropReason.FRAME_TOO_LONG),
        (lambda f: f[:6] + b"\x03" + f[7:], DropReason.ETH_SRC_INVALID),
        (lambda f: f[:6] + b"\xff" * 6 + f[12:], DropReason.ETH_SRC_INVALID),
        (lambda f: frames.mac_bytes(OTHER) + f[6:], DropReason.OTHERHOST),
        (lambda f: bytes.fromhex("01005e000009") + f[6:], DropReason.OTHERHOST),
        (lambda f: f[:12] + b"\x81\x00\x00\x64\x08\x00" + f[14:], DropReason.NS_UNMAPPED),
        (lambda f: f[:12] + b"\x88\xa8\x00\x00\x08\x00" + f[14:], DropReason.NS_UNMAPPED),
        (lambda f: f[:12] + b"\x00\x2e" + f[14:], DropReason.UNHANDLED_PROTO),
        (lambda f: f[:12] + b"\x00\x2e\xaa\xaa\x03\x00\x00\x00\x08\x00" + f[14:], DropReason.UNHANDLED_PROTO),
        (lambda f: f[:12] + b"\x86\xdd" + f[14:], DropReason.IPV6DISABLED),
        (lambda f: f[:12] + b"\x10\x00" + f[14:], DropReason.UNHANDLED_PROTO),
    ],
    ids=[
        "no room for the header",
        "no room for the tag",
        "over the device's largest frame",
        "group source",
        "broadcast source",
        "another station",
        "a group that nobody joined",
        "a VLAN that nobody owns",
        "a service tag",
        "802.3 length",
        "RFC 1042 (SNAP)",
        "IPv6 where there is none",
        "trailers (RFC 893)",
    ],
)
def test_one_change_one_reason(bed: Bed, change: object, reason: DropReason) -> None:
    """RFC 1122 2.3.3, IEEE 802.3 3.2: a frame that is none of ours dies silently, with the reason of its fault."""
    with bed.expect(rx={"a": 1}, drops={reason: 1}):
        bed.a.send_frame(change(good(bed)))
    assert bed.a.received == bed.b.received == []


def test_a_priority_tag_belongs_to_the_untagged_network(bed: Bed) -> None:
    """IEEE 802.1Q 6.9: VLAN id 0 carries a priority alone."""
    frame = good(bed)
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send_frame(frame[:12] + b"\x81\x00\xe0\x00" + frame[12:])
    assert bed.b.received == [match.udp(payload=b"x", ttl=63)]


def test_a_frame_of_the_links_maximum_is_received(bed: Bed) -> None:
    """RFC 1812 3.3.4: what the link can carry is received, whatever larger than the usual: MTU, header and a tag."""
    frame = good(bed)
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send_frame(frame + bytes(1518 - len(frame)))
    assert bed.b.received == [match.udp(payload=b"x")]


def test_padding_is_no_data(bed: Bed) -> None:
    """RFC 1122 2.4, RFC 1812 3.2: the frame's length is known apart from the packet's, and padding goes no further."""
    packet = frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1000, 7, b"x")
    bed.a.send_frame(frames.ethernet(bed.a.dev.mac, bed.a.mac, frames.IPV4, packet, pad=True))
    assert [len(frame) for frame in bed.b.received] == [14 + len(packet)]


@pytest.mark.parametrize("tos", [0x00, 0x10, 0xB8, 0xFF])
def test_tos_changes_no_frame(bed: Bed, tos: int) -> None:
    """RFC 1122 2.4, 3.2.1.6, RFC 1812 4.2.2.4: the link gets the TOS with the packet; RFC 795's mappings are not
    used."""
    packet = frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1000, 7, b"x", tos=tos)
    with bed.expect(rx=1, tx=1, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(packet)
    assert bed.b.received == [match.udp(tos=tos, eth_dst=bed.b.mac, eth_src=bed.b.dev.mac)]
    assert bed.b.received[0][12:14] == b"\x08\x00"


def test_a_frame_that_no_namespace_owns(bed: Bed) -> None:
    """It is a drop like any other: counted, and in the accounts."""
    before = bed.stack.drops[DropReason.NS_UNMAPPED]
    with bed.expect():
        bed.stack.receive_unmapped(bed.now)
    assert bed.stack.drops[DropReason.NS_UNMAPPED] - before == 1


def test_a_frame_at_a_device_that_is_down(bed: Bed) -> None:
    """RFC 1812 3.3.6: an interface that is switched off receives nothing."""
    bed.r.set_device("a", up=False, now=bed.now)
    with bed.expect(rx={"a": 1}, drops={DropReason.DEV_READY: 1}):
        bed.a.send_frame(good(bed))


def vnet(flags: int, gso: int, hdr_len: int, size: int, start: int, offset: int, buffers: int = 0) -> bytes:
    """A virtio-net header of 12 bytes (VIRTIO 1.2 5.1.6)."""
    words = (hdr_len, size, start, offset, buffers)
    return bytes((flags, gso)) + b"".join(word.to_bytes(2, "little") for word in words)


def test_the_virtio_net_header_stands_in_front_both_ways(bed: Bed) -> None:
    """VIRTIO 1.2 5.1.6: a device that has it gets frames with it and sends frames with it."""
    c = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2", vnet_hdr=True)
    bed.settle()
    packet = frames.ipv4_udp("10.0.3.2", "10.0.2.2", 1, 2, b"in")
    with bed.expect(rx={"c": 1}, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        c.send_frame(bytes(12) + c.frame(packet))
    assert bed.b.received == [match.udp(payload=b"in", ttl=63)]
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.3.2", 1, 2, b"out"))
    assert [frame[:12] for frame in c.received] == [bytes(12)]
    assert bytes(c.received[0][12:]) == match.udp(payload=b"out", eth_dst=c.mac)


@pytest.mark.parametrize(
    "header",
    [
        vnet(0, 1, 54, 1000, 0, 0),
        vnet(0, 7, 0, 0, 0, 0),
        vnet(1, 0, 0, 0, 60000, 6),
        vnet(0xF0, 1, 0, 0, 0, 0),
        b"\0" * 5,
    ],
    ids=["segments that were not agreed on", "unknown type", "checksum behind the end", "no size", "cut short"],
)
def test_a_virtio_net_header_that_lies(bed: Bed, header: bytes) -> None:
    """VIRTIO 1.2 5.1.6.4: a header that was not negotiated or points out of the frame ends the frame's way."""
    c = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2", vnet_hdr=True)
    bed.settle()
    frame = c.frame(frames.ipv4_udp("10.0.3.2", "10.0.2.2", 1, 2, b"in"))
    with bed.expect(rx={"c": 1}, drops={DropReason.VNET_HDR: 1}):
        c.send_frame(header + frame if len(header) == 12 else header)


@pytest.mark.parametrize("reason", [DropReason.FULL_RING, DropReason.TX_ERROR])
def test_what_the_driver_could_not_send_was_not_transmitted(bed: Bed, reason: DropReason) -> None:
    """RFC 1812 5.3.6: a full queue drops the newest; it counts as dropped at the device, not as sent."""
    with bed.expect(rx={"a": 1}, tx={"b": 0}, drops={reason: 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send_frame(good(bed))
        bed.stack.egress_failed(bed.b.dev, len(bed.b.received[0]), reason)
    assert bed.b.dev.tx_bytes == sum(len(frame) for frame in []) + 2 * 42  # the two announcements
    assert bed.b.dev.tx_drops == 1


def test_a_virtio_net_device_that_is_down_or_gone(bed: Bed) -> None:
    """Its header is not judged: the frame dies of the device's state, and is counted once, even without a namespace."""
    c = bed.station(bed.r, "c", "10.0.3.1/24", "10.0.3.2", vnet_hdr=True)
    bed.settle()
    bed.r.set_device("c", up=False, now=bed.now)
    with bed.expect(rx={"c": 1}, drops={DropReason.DEV_READY: 1}):
        c.send_frame(b"\xff" * 12 + bytes(60))
    bed.stack.remove_device(c.dev, now=bed.now)
    bed.stack.receive(c.dev, b"\xff" * 12 + bytes(60), bed.now)
    assert (bed.stack.unmapped, bed.stack.drops[DropReason.NS_CLOSING]) == (1, 1)
