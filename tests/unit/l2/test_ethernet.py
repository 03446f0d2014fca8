"""Ethernet input as a table: one good frame, one change a row, one reason a row; and the header that output pushes."""

from collections.abc import Callable

import pytest

from tests.unit.l2.bed import LAN_MAC, PEER_MAC, Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import HEADROOM, LINK_BROADCAST, LINK_MULTICAST, Packet
from vrouter.stack.l2.ethernet import ethernet_input, ethernet_output

PAYLOAD = bytes(range(46))
ALL_HOSTS = bytes.fromhex("01005e000001")
OTHER_GROUP = bytes.fromhex("01005e000002")
BROADCAST = b"\xff" * 6


def frame(dst: bytes = LAN_MAC, src: bytes = PEER_MAC, rest: bytes = b"\x08\x00", payload: bytes = PAYLOAD) -> bytes:
    return dst + src + rest + payload


def tagged(tci: int, inner: bytes = b"\x08\x00", tpid: bytes = b"\x81\x00") -> bytes:
    return frame(rest=tpid + tci.to_bytes(2, "big") + inner)


def test_a_good_frame_goes_on_without_its_header() -> None:
    """RFC 894: layer 3 begins behind the 14 bytes; RFC 1122 2.4: it was addressed to this station alone."""
    pkt = Packet.from_frame(frame())
    assert ethernet_input(Bed().lan, pkt) == 0
    assert (pkt.l2, pkt.l3, pkt.start) == (HEADROOM, HEADROOM + 14, HEADROOM + 14)
    assert (pkt.ethertype, pkt.flags, pkt.vlan) == (0x0800, 0, -1)
    assert pkt.data() == PAYLOAD


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (frame()[:13], DropReason.PKT_TOO_SMALL),
        (b"", DropReason.PKT_TOO_SMALL),
        (frame(payload=bytes(1505)), DropReason.FRAME_TOO_LONG),
        (frame(src=b"\x03" + PEER_MAC[1:]), DropReason.ETH_SRC_INVALID),
        (frame(src=BROADCAST), DropReason.ETH_SRC_INVALID),
        (frame(dst=PEER_MAC), DropReason.OTHERHOST),
        (frame(dst=OTHER_GROUP), DropReason.OTHERHOST),
        (tagged(5), DropReason.NS_UNMAPPED),
        (tagged(0xE005), DropReason.NS_UNMAPPED),
        (tagged(0, tpid=b"\x88\xa8"), DropReason.NS_UNMAPPED),
        (tagged(0, inner=b"\x81\x00"), DropReason.NS_UNMAPPED),
        (tagged(0, inner=b"\x88\xa8"), DropReason.NS_UNMAPPED),
        (frame(rest=b"\x81\x00\x00\x00\x08", payload=b""), DropReason.PKT_TOO_SMALL),
        (frame(rest=b"\x00\x2e"), DropReason.UNHANDLED_PROTO),
        (frame(rest=b"\x05\xff"), DropReason.UNHANDLED_PROTO),
        (tagged(0, inner=b"\x00\x2e"), DropReason.UNHANDLED_PROTO),
    ],
)
def test_each_refused_frame_has_its_reason(bad: bytes, reason: DropReason) -> None:
    """IEEE 802.3, RFC 1122 2.3.3 and 2.4: what is malformed, foreign or unknown dies for the reason that says so."""
    assert ethernet_input(Bed().lan, Packet.from_frame(bad)) == reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (frame(dst=PEER_MAC, src=BROADCAST, payload=bytes(1505)), DropReason.FRAME_TOO_LONG),
        (frame(dst=PEER_MAC, src=BROADCAST), DropReason.ETH_SRC_INVALID),
        (frame(dst=PEER_MAC, rest=b"\x81\x00\x00\x05\x08\x00"), DropReason.OTHERHOST),
    ],
)
def test_the_first_failing_check_names_the_reason(bad: bytes, reason: DropReason) -> None:
    """The order of checks is part of the promise: counters of two runs agree."""
    assert ethernet_input(Bed().lan, Packet.from_frame(bad)) == reason


def test_the_largest_frame_is_the_mtu_with_header_and_tag() -> None:
    """RFC 1812 3.3.4: MTU, header and one tag are received; one byte more is not."""
    lan = Bed().lan
    assert ethernet_input(lan, Packet.from_frame(frame(payload=bytes(1504)))) == 0
    assert ethernet_input(lan, Packet.from_frame(frame(payload=bytes(1505)))) == DropReason.FRAME_TOO_LONG


def test_a_smaller_mtu_bounds_only_what_is_sent() -> None:
    """RFC 1812 3.3.4: what the link can carry is received although the MTU became smaller; a larger one counts."""
    lan = Bed().lan
    lan.set_mtu(1000)
    assert ethernet_input(lan, Packet.from_frame(frame(payload=bytes(1504)))) == 0
    lan.set_mtu(2000)
    assert ethernet_input(lan, Packet.from_frame(frame(payload=bytes(2004)))) == 0
    assert ethernet_input(lan, Packet.from_frame(frame(payload=bytes(2005)))) == DropReason.FRAME_TOO_LONG


def test_a_superframe_may_be_longer_than_the_mtu() -> None:
    """VIRTIO 1.2 5.1.6: with a GSO type the frame stands for many."""
    lan = Bed().lan
    pkt = Packet.from_frame(frame(payload=bytes(60000)))
    pkt.gso_size = 1448
    assert ethernet_input(lan, pkt) == 0
    pkt = Packet.from_frame(frame(payload=bytes(60000)))
    pkt.csum_start = pkt.start + 34
    assert ethernet_input(lan, pkt) == DropReason.FRAME_TOO_LONG


def test_layer_3_is_told_of_broadcast_and_multicast() -> None:
    """RFC 1122 2.4: the link layer says whether the frame was for everybody, for a group, or for us."""
    lan = Bed().lan
    lan.groups[ALL_HOSTS] = 1
    found = {}
    for dst in (LAN_MAC, BROADCAST, ALL_HOSTS):
        pkt = Packet.from_frame(frame(dst=dst))
        assert ethernet_input(lan, pkt) == 0
        found[dst] = pkt.flags
    assert found == {LAN_MAC: 0, BROADCAST: LINK_BROADCAST, ALL_HOSTS: LINK_MULTICAST}


def test_a_priority_tag_is_closed_up() -> None:
    """IEEE 802.1Q 6.9: VLAN id 0 is no VLAN; the frame is as if it had come without the tag."""
    pkt = Packet.from_frame(tagged(0xA000))
    assert ethernet_input(Bed().lan, pkt) == 0
    assert (pkt.vlan, pkt.ethertype, pkt.l3 - pkt.l2, pkt.start) == (0xA000, 0x0800, 14, pkt.l3)
    assert bytes(pkt.buf[pkt.l2 : pkt.end]) == frame()


def test_a_priority_tag_leaves_the_checksum_s_place() -> None:
    """VIRTIO 1.2 5.1.6: where the sum begins is the transport header, whatever is taken off in front of it."""
    pkt = Packet.from_frame(tagged(0))
    pkt.csum_start = pkt.start + 38
    assert ethernet_input(Bed().lan, pkt) == 0
    assert pkt.csum_start - pkt.l3 == 20


def _roomy(pkt: Packet) -> Packet:
    return pkt


def _cramped(pkt: Packet) -> Packet:
    del pkt.buf[: pkt.start]
    pkt.start, pkt.end = 0, len(pkt.buf)
    return pkt


@pytest.mark.parametrize("room", [_roomy, _cramped])
def test_output_pushes_the_header(room: Callable[[Packet], Packet]) -> None:
    """RFC 894: destination, source, EtherType; headroom is made where there is none."""
    pkt = room(Packet.for_payload(PAYLOAD))
    ethernet_output(pkt, PEER_MAC + LAN_MAC, 0x0800)
    assert pkt.data() == PEER_MAC + LAN_MAC + b"\x08\x00" + PAYLOAD
    assert (pkt.l2, pkt.ethertype) == (pkt.start, 0x0800)
