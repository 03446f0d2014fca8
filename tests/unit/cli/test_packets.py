"""Captured packets as people see them: pcapng blocks by an independent reader, and one line per frame."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLDMultAddrRec,
    ICMPv6MLQuery,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet, Raw
from scapy.utils import RawPcapNgReader

from vrouter import pcapng
from vrouter.cli.capture import Reader, blocks
from vrouter.cli.packet_text import describe

MAC = bytes.fromhex("020000000001")
NOW = 1_700_000_000_123_456_789


def stream() -> bytes:
    """Two devices, three packets, statistics twice."""
    return b"".join(
        [
            pcapng.section("vrouter test"),
            pcapng.interface("red/lan", MAC, 65535),
            pcapng.packet(0, NOW, pcapng.INBOUND, 60, b"a" * 60),
            pcapng.statistics(0, NOW, 1, 0),
            pcapng.interface("red/web/lan", MAC, 96),
            pcapng.packet(1, NOW + 1, pcapng.OUTBOUND, 1514, b"b" * 95),
            pcapng.packet(0, NOW + 2, pcapng.OUTBOUND, 0, b""),
            pcapng.statistics(0, NOW + 3, 10, 7),
        ]
    )


def test_another_reader_reads_what_was_written() -> None:
    """pcapng: nanoseconds, lengths, link type and data as scapy's reader finds them."""
    reader = RawPcapNgReader(io.BytesIO(stream()))
    packets = list(reader)
    assert [data for data, _ in packets] == [b"a" * 60, b"b" * 95, b""]
    for number, (_, meta) in enumerate(packets):
        assert (meta.tshigh << 32 | meta.tslow) == NOW + number
        assert (meta.linktype, meta.tsresol) == (1, 1_000_000_000)
    assert [meta.wirelen for _, meta in packets] == [60, 1514, 0]
    assert [meta.ifname for _, meta in packets] == [b"red/lan", b"red/web/lan", b"red/lan"]


def test_every_block_is_well_formed() -> None:
    """pcapng 3.1: the total length stands at both ends of a block and is a multiple of four."""
    data, kinds = stream(), []
    while data:
        kind, size = struct.unpack_from("=II", data)
        assert size % 4 == 0
        assert struct.unpack_from("=I", data, size - 4)[0] == size
        kinds.append(kind)
        data = data[size:]
    section, interface, packet, statistics = pcapng.SECTION, pcapng.INTERFACE, pcapng.PACKET, pcapng.STATISTICS
    assert kinds == [section, interface, packet, statistics, interface, packet, packet, statistics]


@given(sizes=st.lists(st.integers(1, 50)))
def test_the_client_takes_the_stream_apart_however_it_comes(sizes: list[int]) -> None:
    """Blocks are found in pieces of any size; devices, directions, times and losses arrive."""
    data, pieces = stream(), []
    for size in [*sizes, len(data)]:
        pieces.append(data[:size])
        data = data[size:]
    reader = Reader()
    found = [packet for block in blocks(iter(pieces)) if (packet := reader.packet(block)) is not None]
    assert [(one["netns"], one["dev"], one["direction"], one["time_ns"], one["length"]) for one in found] == [
        ("red", "lan", "in", NOW, 60),
        ("red/web", "lan", "out", NOW + 1, 1514),
        ("red", "lan", "out", NOW + 2, 0),
    ]
    assert (reader.captured, reader.dropped) == (3, 7)


E1 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
ADDRESSES = {"src": "10.0.1.2", "dst": "10.0.2.2"}
ECHO = ICMP(type=8, id=7, seq=3)
IP6 = IPv6(src="fd00::2", dst="fd00:0:0:2::2")
LL6 = IPv6(src="fe80::2", dst="ff02::1")
TO6 = "IP6 fd00::2 > fd00:0:0:2::2: "
IGMP3 = bytes.fromhex("2200 0000 0000 0001 0400 0000 ef010101")


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (E1 / ARP(op=1, psrc="10.0.1.2", pdst="10.0.1.1"), "ARP, Request who-has 10.0.1.1 tell 10.0.1.2"),
        (E1 / ARP(op=1, psrc="0.0.0.0", pdst="10.0.1.1"), "ARP, Probe 10.0.1.1"),
        (
            E1 / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.0.1.1", pdst="10.0.1.1"),
            "ARP, Announcement 10.0.1.1 is at 02:00:00:00:00:01",
        ),
        (
            E1 / ARP(op=2, hwsrc="02:00:00:00:00:01", psrc="10.0.1.2", pdst="10.0.1.1"),
            "ARP, Reply 10.0.1.2 is-at 02:00:00:00:00:01",
        ),
        (E1 / ARP(op=3), "ARP, operation 3"),
        (
            E1 / IP(**ADDRESSES) / ECHO / Raw(bytes(56)),
            "IP 10.0.1.2 > 10.0.2.2: ICMP echo request, id 7, seq 3, length 64",
        ),
        (
            E1 / IP(**ADDRESSES) / ICMP(type=0, id=7, seq=3),
            "IP 10.0.1.2 > 10.0.2.2: ICMP echo reply, id 7, seq 3, length 8",
        ),
        (
            E1 / IP(**ADDRESSES) / ICMP(type=3, code=13) / IP(src="10.9.9.9", dst="10.8.8.8") / UDP(),
            "IP 10.0.1.2 > 10.0.2.2: ICMP administratively prohibited (10.8.8.8), length 36",
        ),
        (
            E1 / IP(**ADDRESSES) / ICMP(type=3, code=4, nexthopmtu=1280) / IP(dst="10.8.8.8") / UDP(),
            "IP 10.0.1.2 > 10.0.2.2: ICMP unreachable - need to frag (mtu 1280) (10.8.8.8), length 36",
        ),
        (
            E1 / IP(**ADDRESSES) / ICMP(type=11, code=0) / IP(dst="10.8.8.8") / UDP(),
            "IP 10.0.1.2 > 10.0.2.2: ICMP time exceeded in-transit (10.8.8.8), length 36",
        ),
        (
            E1 / IP(**ADDRESSES) / ICMP(type=5, code=1, gw="10.0.1.9") / IP(dst="10.8.8.8") / UDP(),
            "IP 10.0.1.2 > 10.0.2.2: ICMP redirect to 10.0.1.9 (10.8.8.8), length 36",
        ),
        (E1 / IP(**ADDRESSES) / UDP(sport=5, dport=53) / Raw(b"abc"), "IP 10.0.1.2.5 > 10.0.2.2.53: UDP, length 3"),
        (
            E1 / Dot1Q(vlan=100) / IP(**ADDRESSES) / UDP(sport=5, dport=53),
            "vlan 100, IP 10.0.1.2.5 > 10.0.2.2.53: UDP, length 0",
        ),
        (
            E1 / IP(**ADDRESSES) / TCP(sport=5, dport=80, flags="S", seq=9, window=512),
            "IP 10.0.1.2.5 > 10.0.2.2.80: Flags [S], seq 9, win 512, length 0",
        ),
        (
            E1 / IP(**ADDRESSES) / TCP(sport=5, dport=80, flags="PA", seq=9, ack=4) / Raw(b"hello"),
            "IP 10.0.1.2.5 > 10.0.2.2.80: Flags [P.], seq 9, ack 4, win 8192, length 5",
        ),
        (
            E1 / IP(**ADDRESSES, id=77, frag=185, proto=17) / Raw(bytes(100)),
            "IP 10.0.1.2 > 10.0.2.2: UDP, frag 77:1480, length 100",
        ),
        (
            E1 / IP(**ADDRESSES, id=77, flags="MF") / UDP(sport=5, dport=53, len=2000, chksum=0) / Raw(bytes(92)),
            "IP 10.0.1.2.5 > 10.0.2.2.53: UDP, length 1992, frag 77:0+",
        ),
        (E1 / IP(**ADDRESSES, proto=89) / Raw(bytes(8)), "IP 10.0.1.2 > 10.0.2.2: OSPF, length 8"),
        (Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x86DD) / Raw(bytes(40)), "[|IP6]"),
        (
            E1 / IP6 / ICMPv6EchoRequest(id=7, seq=3, data=bytes(56)),
            f"{TO6}ICMP6, echo request, id 7, seq 3, length 64",
        ),
        (E1 / IP6 / ICMPv6EchoReply(id=7, seq=3), f"{TO6}ICMP6, echo reply, id 7, seq 3, length 8"),
        (E1 / IP6 / UDP(sport=5, dport=53) / Raw(b"abc"), "IP6 fd00::2.5 > fd00:0:0:2::2.53: UDP, length 3"),
        (
            E1 / IP6 / IPv6ExtHdrDestOpt() / TCP(sport=5, dport=80, flags="S", seq=9, window=512),
            "IP6 fd00::2.5 > fd00:0:0:2::2.80: DSTOPT Flags [S], seq 9, win 512, length 0",
        ),
        (
            E1 / IP6 / IPv6ExtHdrFragment(id=77, offset=185, nh=17) / Raw(bytes(100)),
            f"{TO6}frag UDP, frag 77:1480, length 100",
        ),
        (
            E1 / IP6 / ICMPv6PacketTooBig(mtu=1280) / IPv6(src="fd00::9", dst="fd00::8") / UDP(),
            f"{TO6}ICMP6, packet too big, mtu 1280 (fd00::8), length 56",
        ),
        (
            E1 / IP6 / ICMPv6DestUnreach(code=1) / IPv6(src="fd00::9", dst="fd00::8") / UDP(),
            f"{TO6}ICMP6, destination unreachable prohibited (fd00::8), length 56",
        ),
        (
            E1 / IP6 / ICMPv6TimeExceeded() / IPv6(src="fd00::9", dst="fd00::8") / UDP(),
            f"{TO6}ICMP6, time exceeded in-transit (fd00::8), length 56",
        ),
        (
            E1 / IP6 / ICMPv6ParamProblem(code=1, ptr=6) / IPv6(src="fd00::9", dst="fd00::8") / UDP(),
            f"{TO6}ICMP6, parameter problem, next header - octet 6 (fd00::8), length 56",
        ),
        (
            E1 / LL6 / ICMPv6ND_NS(tgt="fe80::1") / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01"),
            "IP6 fe80::2 > ff02::1: ICMP6, neighbor solicitation, who has fe80::1, "
            "source link-address 02:00:00:00:00:01, length 32",
        ),
        (
            E1 / LL6 / ICMPv6ND_NA(tgt="fe80::1", R=1, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:00:01"),
            "IP6 fe80::2 > ff02::1: ICMP6, neighbor advertisement, tgt is fe80::1, Flags [router, override], "
            "destination link-address 02:00:00:00:00:01, length 32",
        ),
        (E1 / LL6 / ICMPv6ND_RS(), "IP6 fe80::2 > ff02::1: ICMP6, router solicitation, length 8"),
        (
            E1 / LL6 / ICMPv6ND_RA(M=1, O=0, prf=1, routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="fd00::"),
            "IP6 fe80::2 > ff02::1: ICMP6, router advertisement, hop limit 0, Flags [managed], pref high, "
            "router lifetime 1800s, prefix fd00::/64, length 48",
        ),
        (
            E1 / LL6 / ICMPv6ND_Redirect(tgt="fe80::9", dst="fd00::8"),
            "IP6 fe80::2 > ff02::1: ICMP6, redirect, fd00::8 to fe80::9, length 40",
        ),
        (
            E1 / LL6 / IPv6ExtHdrHopByHop() / ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst="ff05::7")]),
            "IP6 fe80::2 > ff02::1: HBH ICMP6, multicast listener report v2, 1 group record(s) "
            "[gaddr ff05::7 to_ex, 0 source(s)], length 28",
        ),
        (
            E1 / LL6 / ICMPv6MLQuery(mladdr="ff05::7"),
            "IP6 fe80::2 > ff02::1: ICMP6, multicast listener query [gaddr ff05::7], length 24",
        ),
        (
            E1 / IP(**ADDRESSES, proto=2) / Raw(IGMP3),
            "IP 10.0.1.2 > 10.0.2.2: igmp v3 report, 1 group record(s) [gaddr 239.1.1.1 to_ex, 0 source(s)]",
        ),
        (
            E1 / IP(**ADDRESSES, proto=2) / Raw(bytes.fromhex("1664 0000 ef010101")),
            "IP 10.0.1.2 > 10.0.2.2: igmp v2 report 239.1.1.1",
        ),
        (
            E1 / IP(**ADDRESSES, proto=2) / Raw(bytes.fromhex("1164 0000 00000000")),
            "IP 10.0.1.2 > 10.0.2.2: igmp query v2",
        ),
        (
            E1 / Dot1AD(vlan=200) / Dot1Q(vlan=100) / IP6 / UDP(sport=5, dport=53),
            "s-vlan 200, vlan 100, IP6 fd00::2.5 > fd00:0:0:2::2.53: UDP, length 0",
        ),
        (
            Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00")
            / LLC(dsap=0x42, ssap=0x42, ctrl=3)
            / STP(
                version=2,
                bpdutype=2,
                bpduflags=0x3C,
                rootid=32768,
                rootmac="02:00:00:00:00:01",
                pathcost=20000,
                bridgeid=32768,
                bridgemac="02:00:00:00:00:02",
                portid=0x8001,
            ),
            "STP 802.1w, Rapid STP, Config, Flags [Learn, Forward], bridge-id 8000.02:00:00:00:00:02.8001, "
            "root-id 8000.02:00:00:00:00:01, root-pathcost 20000, role Designated",
        ),
        (
            Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00")
            / LLC(dsap=0x42, ssap=0x42, ctrl=3)
            / Raw(bytes.fromhex("00000080")),
            "STP 802.1d, Topology Change",
        ),
        (
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88CC) / Raw(bytes(4)),
            "02:00:00:00:00:01 > 02:00:00:00:00:02, ethertype 0x88cc, length 4",
        ),
    ],
)
def test_one_line_per_packet(packet: Packet, line: str) -> None:
    """A frame as one line in tcpdump(8)'s words, of frames that scapy has built."""
    assert describe(bytes(packet)) == line


@given(
    data=st.binary(max_size=100),
    kind=st.sampled_from(
        [
            b"",
            b"\x08\x00\x45",
            b"\x08\x06",
            b"\x81\x00\x00\x01\x08\x00\x45",
            b"\x00\x26\x42\x42\x03\x00\x00",
            *[b"\x86\xdd\x60\x00\x00\x00\x00\x40" + bytes((proto,)) for proto in (0, 17, 43, 44, 51, 58, 60)],
            *[
                b"\x86\xdd\x60\x00\x00\x00\x00\x40\x3a\xff" + bytes(32) + bytes((kind,))
                for kind in (1, 2, 3, 4, *range(128, 138), 143)
            ],
            *[
                b"\x08\x00\x45\x00\x00\x40" + bytes(5) + b"\x02" + bytes(8) + bytes((kind,))
                for kind in (0x11, 0x16, 0x22)
            ],
        ]
    ),
)
def test_every_frame_has_a_line(data: bytes, kind: bytes) -> None:
    """Whatever a stranger sends, there is one line without control characters."""
    line = describe(bytes(12) + kind + data)
    assert line.isprintable()
    assert line
