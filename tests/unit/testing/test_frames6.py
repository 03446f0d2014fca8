"""The builders of IPv6, of groups and of stacked tags, against scapy, and each of their ways to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.compat import raw
from scapy.layers import igmp as s4
from scapy.layers import inet6 as s6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, defragment6
from scapy.layers.inet6 import fragment6 as scapy_fragment6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from vrouter.testing import frames

A, B, LOW, ALL = "fd00:1::2", "fd00:2::2", "fe80::1", "ff02::1"
MAC_A, MAC_B = "02:00:00:00:01:0a", "02:00:00:00:01:0b"

u8, u16, u20, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 20, 32))
a6 = st.integers(0, 2**128 - 1)
payloads = st.binary(max_size=64)


def text6(address):
    return ":".join(f"{address >> shift & 0xFFFF:x}" for shift in range(112, -1, -16))


def message_of(data, src=LOW, dst=ALL):
    """The ICMPv6 message that scapy builds."""
    return raw(IPv6(src=src, dst=dst) / data)[40:]


@given(src=a6, dst=a6, proto=u8, hops=u8, tos=u8, flow=u20, payload=payloads)
def test_ipv6_is_scapys(src, dst, proto, hops, tos, flow, payload):
    """Every field; addresses are ints or text."""
    wanted = raw(IPv6(src=text6(src), dst=text6(dst), nh=proto, hlim=hops, tc=tos, fl=flow) / Raw(payload))
    fields = {"hop_limit": hops, "traffic_class": tos, "flow_label": flow}
    assert frames.ipv6(src, text6(dst), proto, payload, **fields) == wanted


def test_ipv6_is_wrong_where_it_is_told_to_be():
    """The version and the length."""
    right = frames.ipv6(A, B, 17, b"abcd")
    assert frames.ipv6(A, B, 17, b"abcd", version=5) == b"\x50" + right[1:]
    assert frames.ipv6(A, B, 17, b"abcd", payload_length=9) == right[:4] + b"\0\x09" + right[6:]


def test_a_zone_is_no_part_of_an_address():
    """`fe80::1%lan` is what a node of the lab may be called by."""
    assert frames.ipv6("fe80::1%lan", B, 17) == frames.ipv6("fe80::1", B, 17)


@given(src=a6, dst=a6, sport=u16, dport=u16, payload=payloads)
def test_udp_is_scapys(src, dst, sport, dport, payload):
    """With the pseudo-header of RFC 8200 section 8.1, also between addresses that fit into 32 bits."""
    wanted = raw(IPv6(src=text6(src), dst=text6(dst)) / UDP(sport=sport, dport=dport) / Raw(payload))
    assert frames.ipv6_udp(src, dst, sport, dport, payload) == wanted
    assert frames.udp(text6(src), text6(dst), sport, dport, payload) == wanted[40:]


@given(ident=u16, sequence=u16, payload=payloads, reply=st.booleans())
def test_echo_is_scapys(ident, sequence, payload, reply):
    """RFC 4443 section 4."""
    echo = (s6.ICMPv6EchoReply if reply else s6.ICMPv6EchoRequest)(id=ident, seq=sequence, data=payload)
    assert frames.ipv6_echo(A, B, ident, sequence, payload, reply=reply) == raw(IPv6(src=A, dst=B) / echo)


def test_errors_are_scapys():
    """RFC 4443 section 3; as much of the packet as keeps the error within 1280 bytes."""
    packet = frames.ipv6_udp(A, B, 1, 2, bytes(2000))
    wanted = IPv6(src=B, dst=A) / s6.ICMPv6PacketTooBig(mtu=1300) / Raw(packet[:1232])
    error = frames.ipv6(B, A, frames.ICMPV6, frames.icmp6_error(B, A, 2, 0, packet, 1300))
    assert (error, len(error)) == (raw(wanted), 1280)
    assert frames.icmp6_error(B, A, 2, 0, packet, quote=48)[8:] == packet[:48]
    assert frames.icmp6(A, B, 1, checksum=0xABCD) == bytes.fromhex("0100abcd00000000")


def test_extension_headers_are_scapys():
    """RFC 8200 section 4: options padded to whole words, routing header, fragment header."""
    inner = frames.fragment_header(17, frames.udp(A, B, 1, 2), offset=0, more=False, ident=77)
    inner = frames.routing(44, inner, [B], segments_left=1)
    inner = frames.destination_options(43, inner, frames.option(0x1E, b"abc"))
    ours = frames.ipv6(A, B, 0, frames.hop_by_hop(60, inner, frames.option(5, b"\0\0")))
    theirs = (
        IPv6(src=A, dst=B)
        / s6.IPv6ExtHdrHopByHop(options=[s6.RouterAlert()])
        / s6.IPv6ExtHdrDestOpt(options=[s6.HBHOptUnknown(otype=0x1E, optdata=b"abc")])
        / s6.IPv6ExtHdrRouting(addresses=[B], segleft=1)
        / s6.IPv6ExtHdrFragment(id=77)
        / UDP(sport=1, dport=2, chksum=int.from_bytes(frames.udp(A, B, 1, 2)[6:8], "big"))
    )
    assert ours == raw(theirs)


@pytest.mark.parametrize("size", range(16))
def test_options_are_padded_to_whole_words(size):
    """Pad1 for one byte, PadN for more, nothing for none."""
    header = frames.hop_by_hop(17, b"", frames.option(0x1E, bytes(size)))
    assert len(header) % 8 == 0
    assert header[1] == len(header) // 8 - 1
    padding = header[4 + size :]
    assert padding == (
        b"" if not padding else b"\0" if len(padding) == 1 else bytes((1, len(padding) - 2)).ljust(len(padding), b"\0")
    )


def test_extension_headers_are_wrong_where_they_are_told_to_be():
    """Lengths, the reserved byte, a pad byte in the middle."""
    assert frames.hop_by_hop(17, length=9)[1] == 9
    assert frames.routing(17, length=9)[1] == 9
    assert frames.option(0x1E, b"abc", length=200) == b"\x1e\xc8abc"
    assert frames.option(0) == b"\0"
    assert frames.fragment_header(17, reserved=3)[1] == 3
    with pytest.raises(ValueError, match="multiple of 8"):
        frames.fragment_header(17, offset=4)


@given(size=st.integers(1, 600), mtu=st.integers(72, 300), headers=st.booleans())
def test_fragments_are_put_together_by_scapy(size, mtu, headers):
    """RFC 8200 section 4.5: each within the MTU, all but the last whole words, headers of the way in each."""
    data = bytes(at % 251 for at in range(size))
    inner = frames.udp(A, B, 5, 6, data)
    packet = frames.ipv6(A, B, 0, frames.hop_by_hop(17, inner)) if headers else frames.ipv6(A, B, 17, inner)
    pieces = frames.fragments6(packet, mtu, ident=99)
    if len(packet) <= mtu:
        assert pieces == [packet]
        return
    assert all(len(piece) <= mtu for piece in pieces)
    whole = defragment6([IPv6(piece) for piece in pieces])
    assert raw(whole)[40:] == packet[40:]


def test_fragments_are_those_of_scapy():
    """One packet, byte for byte."""
    packet = frames.ipv6_udp(A, B, 5, 6, bytes(3000))
    theirs = IPv6(src=A, dst=B) / s6.IPv6ExtHdrFragment(id=7) / UDP(packet[40:])
    assert frames.fragments6(packet, 1280, ident=7) == [raw(piece) for piece in scapy_fragment6(theirs, 1280)]
    with pytest.raises(ValueError, match="no room for data"):
        frames.fragments6(packet, 55)


def test_neighbour_discovery_is_scapys():
    """RFC 4861 section 4: the five messages with their usual options."""
    source, target = s6.ICMPv6NDOptSrcLLAddr(lladdr=MAC_A), s6.ICMPv6NDOptDstLLAddr(lladdr=MAC_A)
    assert frames.router_solicitation(LOW, ALL, mac=MAC_A) == message_of(s6.ICMPv6ND_RS() / source)
    assert frames.neighbour_solicitation(LOW, ALL, A, mac=MAC_A) == message_of(s6.ICMPv6ND_NS(tgt=A) / source)
    wanted = s6.ICMPv6ND_NA(tgt=A, R=1, S=0, O=1) / target
    assert frames.neighbour_advertisement(LOW, ALL, A, mac=MAC_A, router=True, override=True) == message_of(wanted)
    wanted = s6.ICMPv6ND_NA(tgt=A, R=0, S=1, O=0)
    assert frames.neighbour_advertisement(LOW, ALL, A, solicited=True) == message_of(wanted)
    wanted = s6.ICMPv6ND_RA(chlim=7, M=1, O=0, prf=3, routerlifetime=9, reachabletime=8, retranstimer=6) / source
    wanted /= s6.ICMPv6NDOptPrefixInfo(prefix=A, prefixlen=64, L=1, A=0, R=0, validlifetime=5, preferredlifetime=4)
    wanted /= s6.ICMPv6NDOptMTU(mtu=1400) / s6.ICMPv6NDOptUnknown(type=14, len=1, data=b"sixsix")
    options = frames.nd_prefix(A, valid=5, preferred=4, flags=0x80) + frames.nd_mtu(1400) + frames.nd_nonce(b"sixsix")
    fields = {"hop_limit": 7, "flags": 0x98, "lifetime": 9, "reachable": 8, "retrans": 6}
    assert frames.router_advertisement(LOW, ALL, options, mac=MAC_A, **fields) == message_of(wanted)
    packet = frames.ipv6_udp(A, B, 1, 2)
    wanted = s6.ICMPv6ND_Redirect(tgt=LOW, dst=B) / target / s6.ICMPv6NDOptRedirectedHdr(pkt=packet)
    assert frames.redirect6(LOW, A, LOW, B, mac=MAC_A, packet=packet) == message_of(wanted, dst=A)


def test_a_redirect_keeps_within_the_least_mtu():
    """RFC 4861 section 4.5: no more than 1280 bytes with the IPv6 header, in whole words of 8."""
    message = frames.redirect6(LOW, A, LOW, B, mac=MAC_A, packet=bytes(3000))
    assert len(message) == 1280 - 40
    assert message[48:50] == bytes((4, (len(message) - 48) // 8))


def test_neighbour_discovery_is_wrong_where_it_is_told_to_be():
    """Codes, option lengths and checksums."""
    assert frames.neighbour_solicitation(LOW, ALL, A, code=3)[1] == 3
    assert frames.nd_option(1, bytes(6), length=0)[1] == 0
    assert frames.nd_option(99, b"abc") == b"\x63\1abc\0\0\0"
    assert frames.router_solicitation(LOW, ALL, checksum=0)[2:4] == b"\0\0"


def test_groups_of_ipv6_are_scapys():
    """RFC 2710 section 3, RFC 3810 section 5."""
    group = "ff05::7"
    assert frames.mld_report(LOW, ALL, group) == message_of(s6.ICMPv6MLReport(mladdr=group))
    assert frames.mld_report(LOW, ALL, group, done=True) == message_of(s6.ICMPv6MLDone(mladdr=group))
    query = s6.ICMPv6MLQuery(mladdr=group, mrd=500)
    assert frames.mld_query(LOW, ALL, group, version=1, max_response=500) == message_of(query)
    query = s6.ICMPv6MLQuery2(mladdr=group, mrd=500, S=1, QRV=3, QQIC=9, sources=[A], sources_number=1)
    ours = frames.mld_query(LOW, ALL, group, [A], max_response=500, suppress=True, robustness=3, interval=9)
    assert ours == message_of(query)
    theirs = [
        s6.ICMPv6MLDMultAddrRec(rtype=3, dst=group, sources=[A, B], sources_number=2),
        s6.ICMPv6MLDMultAddrRec(rtype=4, dst=group, auxdata_len=1, auxdata=b"auxi"),
    ]
    records = [frames.mld_record(3, group, [A, B]), frames.mld_record(4, group, [], b"auxi")]
    wanted = message_of(s6.ICMPv6MLReport2(records=theirs, records_number=2))
    assert frames.mld2_report(LOW, ALL, *records) == wanted
    assert frames.mld2_report(LOW, ALL, *records, count=9)[6:8] == b"\0\x09"


def test_groups_of_ipv4_are_scapys():
    """RFC 2236 section 2, RFC 3376 section 4."""
    group, one, two = "239.1.2.3", "10.0.1.2", "10.0.1.3"
    assert frames.igmp_query(version=1) == raw(s4.IGMP_MQ(mrcode=0))
    assert frames.igmp_query(group, version=2, code=9) == raw(s4.IGMP_MQ(mrcode=9, gaddr=group))
    assert frames.igmp_report(group) == raw(s4.IGMPv2_MR(gaddr=group, mrcode=0))
    assert frames.igmp_report(group, leave=True) == raw(s4.IGMPv2_LG(gaddr=group, mrcode=0))
    assert frames.igmp_report(group, version=1)[:1] == b"\x12"
    wanted = s4.IGMPv3_MQ(mrcode=9, gaddr=group, s=1, qrv=3, qqic=8, srcaddrs=[one, two])
    assert frames.igmp_query(group, [one, two], code=9, suppress=True, robustness=3, interval=8) == raw(wanted)
    wanted = s4.IGMPv3_MR(
        records=[s4.IGMPv3_MR_Group(rtype=3, maddr=group, srcaddrs=[one]), s4.IGMPv3_MR_Group(rtype=4, maddr=group)]
    )
    assert frames.igmp3_report(frames.igmp_record(3, group, [one]), frames.igmp_record(4, group)) == raw(wanted)
    assert frames.igmp3_report(count=5)[6:8] == b"\0\5"
    assert frames.igmp_record(1, group, [], b"auxi") == bytes((1, 1, 0, 0, 239, 1, 2, 3)) + b"auxi"
    assert frames.igmp_report(group, checksum=5)[2:4] == b"\0\5"


def test_addresses_that_follow_from_others():
    """RFC 4291 section 2.7.1, RFC 2464 section 7, RFC 1112 section 6.4."""
    assert frames.solicited_node("2001:db8::abc:def1") == "ff02::1:ffbc:def1"
    assert frames.group_mac6("ff02::1:ffbc:def1") == bytes.fromhex("3333ffbcdef1")
    assert frames.group_mac("239.255.1.2") == bytes.fromhex("01005e7f0102")


def test_stacked_tags_are_scapys():
    """802.1ad outside, 802.1Q inside."""
    packet = frames.ipv6_echo(A, B)
    inner = frames.vlan_tag(3 << 13 | 5, frames.IPV6, packet)
    ours = frames.ethernet(MAC_A, MAC_B, frames.QINQ, frames.vlan_tag(100, frames.VLAN, inner))
    theirs = Ether(dst=MAC_A, src=MAC_B) / Dot1AD(vlan=100) / Dot1Q(vlan=5, prio=3, type=0x86DD) / Raw(packet)
    assert ours == raw(theirs)
