"""IPv6 input: header checks, zones, what is found behind extension headers, and which addresses are refused."""

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
    Pad1,
    PadN,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, LAN_IFINDEX, THERE, Ip, Namespace, arrived, received
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import DONT_FRAGMENT, FRAGMENT, IP_OPTIONS
from vrouter.stack.l3.ipv6_input import crossing6_input, ipv6_input, martian6_input

LAN = Namespace().lan
LO = Namespace().lo
ZONE = LAN_IFINDEX << 128
UDP_PACKET = IPv6(src=HERE, dst=THERE, hlim=9) / UDP(sport=1, dport=2) / b"abc"
OPTIONS = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0\0\0")])


def test_a_plain_packet_is_read_whole() -> None:
    """RFC 8200 3: every field where the header has it, and no packet from a wire is cut (4.5)."""
    pkt = received(UDP_PACKET, LAN)
    assert (pkt.family, pkt.proto, pkt.ttl) == (6, 17, 9)
    assert (pkt.src, pkt.dst) == (parse_ipv6(HERE), parse_ipv6(THERE))
    assert (pkt.l3, pkt.l4) == (pkt.start, pkt.start + 40)
    assert pkt.end - pkt.start == 40 + 8 + 3
    assert pkt.flags == DONT_FRAGMENT


def test_padding_of_the_frame_is_trimmed() -> None:
    """RFC 8200 3: the payload length says where the packet ends; Ethernet pads short frames."""
    pkt = arrived(UDP_PACKET, LAN, padding=b"\xff" * 20)
    assert ipv6_input(pkt) == 0
    assert pkt.data() == bytes(UDP_PACKET)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (bytes(UDP_PACKET)[:39], DropReason.HDR_TRUNC),
        (b"\x40" + bytes(UDP_PACKET)[1:], DropReason.IP_VERSION),
        (b"\x70" + bytes(UDP_PACKET)[1:], DropReason.IP_VERSION),
        (bytes(UDP_PACKET)[:-1], DropReason.IP_INHDR),
        (bytes(UDP_PACKET)[:40], DropReason.IP_INHDR),
        (bytes(UDP_PACKET / b"d")[:4] + b"\xff\xff" + bytes(UDP_PACKET)[6:], DropReason.IP_INHDR),
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes, reason: DropReason) -> None:
    """RFC 8200 3: version 6, and a payload that the frame holds whole."""
    assert ipv6_input(arrived(packet, LAN)) == reason


@pytest.mark.parametrize("length", [40, 41, 1500])
def test_an_empty_payload_is_a_packet(length: int) -> None:
    """RFC 8200 3, 4.7: length 0 with No Next Header is a header alone, however long the frame."""
    packet = bytes(IPv6(src=HERE, dst=THERE, nh=59, plen=0))
    pkt = arrived(packet, LAN, padding=bytes(length - 40))
    assert ipv6_input(pkt) == 0
    assert (len(pkt), pkt.proto, pkt.l4) == (40, 59, pkt.start + 40)


def test_link_local_addresses_get_the_zone_of_their_link_and_others_none() -> None:
    """RFC 4007 6: fe80::1 of one link is not fe80::1 of another."""
    pkt = received(IPv6(src="fe80::1", dst="febf:ffff::2") / UDP(), LAN)
    assert (pkt.src, pkt.dst) == (parse_ipv6("fe80::1") | ZONE, parse_ipv6("febf:ffff::2") | ZONE)
    pkt = received(IPv6(src="fec0::1", dst="ff02::1") / UDP(), LAN)
    assert (pkt.src, pkt.dst) == (parse_ipv6("fec0::1"), parse_ipv6("ff02::1"))


def test_what_goes_around_by_lo_keeps_the_zones_it_was_sent_with() -> None:
    """RFC 4007 6: our own link-local address is that of its link, though the packet never was on it."""
    pkt = arrived(IPv6(src="fe80::1", dst="fe80::2") / UDP(), LO)
    pkt.src, pkt.dst = parse_ipv6("fe80::1") | ZONE, parse_ipv6("fe80::2") | ZONE
    assert ipv6_input(pkt) == 0
    assert (pkt.src, pkt.dst) == (parse_ipv6("fe80::1") | ZONE, parse_ipv6("fe80::2") | ZONE)


def test_a_stranger_s_zone_is_not_believed_on_a_wire() -> None:
    """RFC 4007 9: the zone is that of the arrival interface, whatever the packet's fields held before."""
    pkt = arrived(IPv6(src="fe80::1", dst="fe80::2") / UDP(), LAN)
    pkt.src = parse_ipv6("fe80::1") | 3 << 128
    assert ipv6_input(pkt) == 0
    assert pkt.src == parse_ipv6("fe80::1") | ZONE


FRAGMENT_OF = IPv6(src=HERE, dst=THERE) / OPTIONS


@pytest.mark.parametrize(
    ("packet", "proto", "offset", "flags"),
    [
        (IPv6() / OPTIONS / UDP(), 17, 48, IP_OPTIONS),
        (IPv6() / OPTIONS / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=1) / TCP(), 6, 64, IP_OPTIONS),
        (IPv6() / IPv6ExtHdrDestOpt() / Raw(b"x"), 59, 48, IP_OPTIONS),
        (FRAGMENT_OF / IPv6ExtHdrFragment(nh=17, m=1) / Raw(bytes(16)), 17, 56, IP_OPTIONS | FRAGMENT),
        (FRAGMENT_OF / IPv6ExtHdrFragment(nh=60, m=1) / Raw(b"\x11" + bytes(15)), 60, 56, IP_OPTIONS | FRAGMENT),
        (FRAGMENT_OF / IPv6ExtHdrFragment(nh=17, offset=3) / Raw(bytes(5)), 17, 56, IP_OPTIONS | FRAGMENT),
        (IPv6() / IPv6ExtHdrFragment() / UDP(), 17, 48, IP_OPTIONS),
        (IPv6() / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP(), 17, 56, IP_OPTIONS),
        (IPv6(nh=60) / Raw(b"\x11\x07" + bytes(30)), 60, 40, IP_OPTIONS),
        (IPv6(nh=44) / Raw(b"\x11\x00\x00"), 44, 40, IP_OPTIONS),
        (IPv6(nh=51) / Raw(bytes(24)), 51, 40, 0),
    ],
)
def test_the_upper_layer_is_found_as_far_as_it_can_be_told(packet: IPv6, proto: int, offset: int, flags: int) -> None:
    """RFC 7045 2.1: a node on the way passes over headers that it does not process; RFC 6946 4: an atomic fragment is
    no fragment. A chain that ends nowhere is named by the header where it breaks."""
    pkt = received(packet, LAN)
    assert (pkt.proto, pkt.l4 - pkt.l3, pkt.flags) == (proto, offset, flags | DONT_FRAGMENT)


def test_what_may_be_a_jumbogram_is_not_trimmed() -> None:
    """RFC 2675 3: payload length 0 and a hop-by-hop header; the option's place is needed to refuse it."""
    packet = bytes(IPv6(plen=0) / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / Raw(bytes(60)))
    pkt = received(packet, LAN)
    assert pkt.data() == packet


MARTIANS = [
    ("ff02::1", THERE, LAN, DropReason.IP_INVALID_SOURCE),  # RFC 4291 2.7
    ("ff0e::1", THERE, LO, DropReason.IP_INVALID_SOURCE),
    ("::ffff:10.0.0.1", THERE, LAN, DropReason.IP_INVALID_SOURCE),  # RFC 6890 2.2.3, table 20
    ("::1", THERE, LAN, DropReason.IP_LOCALNET),  # RFC 4291 2.5.3
    (HERE, "::1", LAN, DropReason.IP_LOCALNET),
    ("::1", "::1", LO, 0),
    (HERE, "::", LAN, DropReason.IP_INVALID_DEST),  # RFC 4291 2.5.2
    (HERE, "::ffff:10.0.0.1", LAN, DropReason.IP_INVALID_DEST),
    (HERE, "ff00::1", LAN, DropReason.IP_INVALID_DEST),  # RFC 4291 2.7: reserved
    (HERE, "ff10::1", LO, DropReason.IP_INVALID_DEST),
    (HERE, "ff01::1", LAN, DropReason.IP_INVALID_DEST),  # RFC 4291 2.7, erratum 3480
    (HERE, "ff11::1", LAN, DropReason.IP_INVALID_DEST),
    (HERE, "ff01::1", LO, 0),
    (HERE, "ff0f::1", LAN, 0),  # RFC 4291 2.7: treated as global
    (HERE, "ff02::1", LAN, 0),
    ("::", "ff02::1:ff00:1", LAN, 0),  # duplicate address detection
    ("::", HERE, LAN, 0),
    (HERE, HERE, LAN, 0),  # our own address, as Linux
    ("fe80::1", "fe80::2", LAN, 0),
    ("::10.0.0.1", THERE, LAN, 0),  # IPv4-compatible: deprecated (RFC 4291 2.5.5.1), not forbidden
    (HERE, THERE, LAN, 0),
]


@pytest.mark.parametrize(("src", "dst", "dev", "reason"), MARTIANS)
def test_which_addresses_may_come_by_a_device(src: str, dst: str, dev: object, reason: int) -> None:
    """RFC 4291 2.5 and 2.7: what no station may send, and what never leaves one."""
    ip = Ip()
    ip.own(HERE)
    pkt = received(IPv6(src=src, dst=dst) / UDP(), dev)
    assert martian6_input(ip, pkt, dev) == reason


@pytest.mark.parametrize(
    ("src", "dst", "reason"),
    [
        ("fe80::1", THERE, DropReason.FORWARD_LINK_LOCAL),
        (HERE, "fe80::1", DropReason.FORWARD_LINK_LOCAL),
        (HERE, "ff02::fb", DropReason.FORWARD_LINK_LOCAL),
        (HERE, "ff01::1", DropReason.FORWARD_LINK_LOCAL),
        (HERE, "ff05::fb", 0),
        ("::1", THERE, DropReason.IP_LOCALNET),
        (HERE, "::1", DropReason.IP_LOCALNET),
        ("::", THERE, DropReason.IP_INVALID_SOURCE),
        ("ff05::1", THERE, DropReason.IP_INVALID_SOURCE),
        ("::ffff:10.0.0.1", THERE, DropReason.IP_INVALID_SOURCE),
        (HERE, "::", DropReason.IP_INVALID_DEST),
        (HERE, "::ffff:10.0.0.1", DropReason.IP_INVALID_DEST),
        (HERE, HERE, 0),
        ("fd00::1", THERE, 0),
    ],
)
def test_which_addresses_may_cross_into_another_namespace(src: str, dst: str, reason: int) -> None:
    """RFC 4007 5 and 9: between namespaces there is no link, so nothing of link scope crosses."""
    ip = Ip()
    ip.own(HERE)
    assert crossing6_input(ip, received(IPv6(src=src, dst=dst) / UDP(), LAN)) == reason


def test_pad1_alone_is_options_too() -> None:
    """RFC 8200 4.2: options of nothing but padding are a header like another."""
    pkt = received(IPv6() / IPv6ExtHdrHopByHop(options=[Pad1()] * 6) / UDP(), LAN)
    assert (pkt.proto, pkt.l4 - pkt.l3) == (17, 48)
