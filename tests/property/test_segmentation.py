"""Segmentation beside a slow and obvious twin (`tests.superframes`), beside scapy, and beside itself put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from tests.superframes import IPV4, IPV6, TIMESTAMPS, Packet, pattern, read, read_ip, tcp, udp
from vrouter.stack.base.packet import HEADROOM, TCP_CSUM_OFFSET, UDP_CSUM_OFFSET
from vrouter.stack.base.packet import Packet as Buffered
from vrouter.stack.segmentation import (
    address_changed,
    as_on_the_wire,
    cut,
    finish_checksum,
    segment,
    words_changed,
)
from vrouter.testing import frames

ADDRESSES = {4: ("10.0.1.2", "203.0.113.9"), 6: ("fd00:1::2", "2001:db8::9")}
u16, u32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)


@st.composite
def packets(draw: st.DrawFn, most: int = 6000) -> Packet:
    src, dst = ADDRESSES[draw(st.sampled_from((4, 6)))]
    payload = draw(st.one_of(st.binary(min_size=1, max_size=300), st.integers(1, most).map(pattern)))
    fields = {
        "sport": draw(u16),
        "dport": draw(u16),
        "ttl": draw(st.integers(1, 255)),
        "tos": draw(st.integers(0, 255)),
    }
    if ":" not in src:
        fields |= {"ident": draw(u16), "dont_fragment": draw(st.booleans())}
        fields["ip_options"] = draw(st.sampled_from((b"", b"\x01\x01\x01\x00")))
    make = draw(st.sampled_from((tcp, udp)))
    if ":" in src and draw(st.booleans()):
        fields |= {"first": 60, "ip_options": bytes((6 if make is tcp else 17, 0, 1, 4, 0, 0, 0, 0))}
    if make is udp:
        return udp(src, dst, payload, **fields)
    fields |= {"seq": draw(u32), "ack": draw(u32), "flags": draw(st.integers(0, 0xFF)), "window": draw(u16)}
    fields |= {"urgent": draw(u16), "options": draw(st.sampled_from((b"", TIMESTAMPS, TIMESTAMPS + b"\x01" * 28)))}
    return tcp(src, dst, payload, **fields)


def buffered(packet: Packet, size: int = 0, *, framed: bool = False, tags: int = 0) -> Buffered:
    """The packet as the stack has it: in layer 3, or as a frame that nobody has looked into."""
    raw = packet.raw()
    ethertype = IPV4 if packet.version == 4 else IPV6
    link = 0
    if framed:
        for number in range(tags):
            raw, ethertype = frames.vlan_tag(number + 1, ethertype, raw), 0x8100
        raw, link = frames.ethernet(b"\x02" * 6, b"\x04" * 6, ethertype, raw), 14 + 4 * tags
    pkt = Buffered.from_frame(raw)
    if not framed:
        pkt.l3, pkt.l4 = pkt.start, pkt.start + packet.l4
    pkt.csum_start, pkt.csum_offset, pkt.gso_size = pkt.start + link + packet.l4, packet.offset, size
    return pkt


@given(packet=packets(), size=st.integers(1, 1500))
def test_as_the_twin(packet: Packet, size: int) -> None:
    """RFC 9293 3.1, RFC 791 3.1, RFC 8200 3, RFC 768: each segment is as if it had been sent alone."""
    pieces = segment(buffered(packet, size))
    wanted = packet.segments(size)
    found = [read_ip(piece.data()) for piece in pieces]
    assert found == wanted
    assert all(one.checksums for one in found)
    assert len(pieces) == buffered(packet, size).segments()
    assert sum(map(len, pieces)) == buffered(packet, size).wire_bytes()
    assert max(map(len, pieces)) == buffered(packet, size).longest()


@given(packet=packets(), size=st.integers(1, 1500), tags=st.integers(0, 3), lead=st.sampled_from((0, 12)))
def test_frames(packet: Packet, size: int, tags: int, lead: int) -> None:
    """A frame that was bridged is cut as well, behind whatever tags, with room in front for what a device needs."""
    pieces = cut(buffered(packet, size, framed=True, tags=tags), bytes(lead))
    found = [read(bytes(piece[lead:])) for piece in pieces]
    assert found == packet.segments(size)
    assert all(one.checksums for one in found)
    assert {bytes(piece[:lead]) for piece in pieces} == {bytes(lead)}
    link = frames.ethernet(b"\x02" * 6, b"\x04" * 6, 0x8100 if tags else IPV4 if packet.version == 4 else IPV6, b"")
    assert {bytes(piece[lead : lead + 14]) for piece in pieces} == {link}


@given(packet=packets(), size=st.integers(1, 1500))
def test_put_together(packet: Packet, size: int) -> None:
    """RFC 9293 3.4: the sequence numbers of the segments are those of the superframe's bytes."""
    pieces = [read_ip(piece.data()) for piece in segment(buffered(packet, size))]
    assert b"".join(piece.payload for piece in pieces) == packet.payload
    if packet.proto == 6:
        at = packet.seq
        for piece in pieces:
            assert piece.seq == at
            at = (at + len(piece.payload)) % (1 << 32)


@given(packet=packets(), size=st.integers(1, 1500))
def test_half_finished_segments(packet: Packet, size: int) -> None:
    """Unless they are sealed they stay half-finished, and finishing them gives the same."""
    for piece, wanted in zip(segment(buffered(packet, size), sealed=False), packet.segments(size), strict=True):
        half = read_ip(piece.data(), half=True)
        assert (half, half.checksums) == (wanted.later(half=True), True)
        finish_checksum(piece)
        whole = read_ip(piece.data())
        assert (whole, whole.checksums, piece.csum_start) == (wanted, True, -1)


@given(packet=packets(most=3000), size=st.integers(1, 1500))
def test_as_scapy(packet: Packet, size: int) -> None:
    """Checksums and lengths are those that scapy writes when it is asked to forget them."""
    ether = b"\x02" * 12 + (b"\x08\x00" if packet.version == 4 else b"\x86\xdd")
    for piece in segment(buffered(packet, size)):
        seen = Ether(ether + piece.data())
        again = Ether(ether + piece.data())
        if packet.version == 4:
            del again[IP].chksum, again[IP].len
        else:
            del again[IPv6].plen
        layer = TCP if packet.proto == 6 else UDP
        del again[layer].chksum
        if layer is UDP:
            del again[UDP].len
        again = Ether(bytes(again))
        # Zero and all ones mean the same to TCP, where scapy and Linux's segmentation choose the first.
        assert bytes(again) == bytes(seen)


@given(packet=packets(), size=st.integers(1, 1500))
def test_the_first_alone(packet: Packet, size: int) -> None:
    """RFC 792: what an error quotes is what a wire would have carried."""
    pkt = buffered(packet, size)
    before = pkt.data()
    first = as_on_the_wire(pkt)
    assert read_ip(first.data()) == packet.segments(size)[0]
    assert (pkt.data(), pkt.gso_size) == (before, size)
    short = packet.later(payload=packet.payload[:size])
    pkt = buffered(short)
    assert read_ip(as_on_the_wire(pkt).data()) == short.later(half=False)
    assert pkt.data() == short.raw()
    pkt.csum_start = -1
    assert as_on_the_wire(pkt) is pkt


@given(packet=packets(), size=st.integers(1, 1500))
def test_metadata(packet: Packet, size: int) -> None:
    """What the layers found out goes with each segment, and the offsets point to the same."""
    pkt = buffered(packet, size)
    pkt.iif, pkt.oif, pkt.ct, pkt.sock, pkt.origin = object(), object(), object(), object(), (object(),)
    pkt.nexthop, pkt.mark, pkt.crossings, pkt.vlan, pkt.ttl, pkt.src, pkt.dst = 1, 2, 3, 4, 5, 6, 7
    pkt.flags, pkt.family, pkt.proto, pkt.ethertype = 0x48, 4, 6, 0x800
    for piece in segment(pkt):
        for name in Buffered.__slots__:
            if name not in ("buf", "end", "csum_start", "csum_offset", "gso_size", "gso_type"):
                assert (name, getattr(piece, name)) == (name, getattr(pkt, name))
        assert (piece.start, piece.gso_size, piece.csum_start) == (HEADROOM, 0, -1)


@given(packet=packets(), new=u32, port=u16, finished=st.booleans())
def test_rewriting(packet: Packet, new: int, port: int, finished: bool) -> None:
    """RFC 1624: an address and a port are rewritten; a half-finished checksum stays one, and comes out right."""
    packet = packet.later(half=not finished)
    pkt = buffered(packet)
    if finished:
        pkt.csum_start = -1
    offset = TCP_CSUM_OFFSET if packet.proto == 6 else UDP_CSUM_OFFSET
    width = 4 if packet.version == 4 else 16
    at = pkt.l3 + (12 if width == 4 else 8)
    old = int.from_bytes(pkt.buf[at : at + width], "big")
    pkt.buf[at : at + width] = new.to_bytes(width, "big")
    address_changed(pkt, offset, old, new)
    old_port = int.from_bytes(pkt.buf[pkt.l4 : pkt.l4 + 2], "big")
    pkt.buf[pkt.l4 : pkt.l4 + 2] = port.to_bytes(2, "big")
    words_changed(pkt, offset, old_port, port)
    if width == 4:
        pkt.buf[pkt.l3 + 10 : pkt.l3 + 12] = bytes(2)
    if not finished:
        assert _transport_is_right(pkt, half=True)
        finish_checksum(pkt)
    assert _transport_is_right(pkt)


def _transport_is_right(pkt: Buffered, half: bool = False) -> bool:
    data = bytearray(pkt.data())
    if data[0] >> 4 == 4:
        length = (data[0] & 15) * 4
        data[10:12] = (0xFFFF - sum_of(bytes(data[:length]))).to_bytes(2, "big")
    return read_ip(bytes(data), half).checksums


def sum_of(data: bytes) -> int:
    words = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    return words % 0xFFFF or 0xFFFF


@pytest.mark.parametrize("offset", [TCP_CSUM_OFFSET, UDP_CSUM_OFFSET])
def test_no_checksum_stays_none(offset: int) -> None:
    """RFC 768: a datagram over IPv4 without a checksum gets none by being rewritten; TCP has no such thing."""
    packet = (tcp if offset == TCP_CSUM_OFFSET else udp)("10.0.0.1", "10.0.0.2", b"x", half=False)
    pkt = buffered(packet)
    pkt.csum_start = -1
    pkt.buf[pkt.l4 + offset : pkt.l4 + offset + 2] = bytes(2)
    address_changed(pkt, offset, 1, 2)
    words_changed(pkt, offset, 1, 2)
    value = int.from_bytes(pkt.buf[pkt.l4 + offset : pkt.l4 + offset + 2], "big")
    assert value == (0 if offset == UDP_CSUM_OFFSET else 0xFFFF - 2)


def test_udp_never_says_that_it_has_no_checksum() -> None:
    """RFC 768, RFC 8200 8.1: a sum of zero is sent as all ones."""
    for number in range(0x10000):
        packet = udp("10.0.0.1", "10.0.0.2", number.to_bytes(2, "big") + b"\0\0", half=False)
        if packet.raw()[26:28] == b"\xff\xff":
            break
    payload = number.to_bytes(2, "big") + bytes(2)
    half = udp("10.0.0.1", "10.0.0.2", payload * 2)
    assert [piece.data()[26:28] for piece in segment(buffered(half, 4))] == [b"\xff\xff"] * 2
    pkt = buffered(udp("10.0.0.1", "10.0.0.2", payload))
    finish_checksum(pkt)
    assert pkt.data()[26:28] == b"\xff\xff"
