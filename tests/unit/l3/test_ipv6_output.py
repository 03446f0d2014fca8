"""IPv6 output: the header that is pushed, and flow labels."""

from dataclasses import replace

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6MLReport2, IPv6, IPv6ExtHdrHopByHop, RouterAlert

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.packet import DONT_FRAGMENT, IP_OPTIONS, LOCAL_OUT, Packet
from vrouter.stack.l3.ipv6_output import push_ipv6

SEGMENT = bytes(UDP(sport=1000, dport=2000) / b"data")


def segment(data: bytes = SEGMENT, proto: int = 17, *, src: str = HERE, dst: str = THERE) -> Packet:
    pkt = Packet.for_payload(data)
    pkt.src, pkt.dst, pkt.proto = parse_ipv6(src), parse_ipv6(dst), proto
    return pkt


def pushed(ip: Ip, pkt: Packet, *, ttl: int = 64, tos: int = 0, df: bool = False, options: bytes = b"") -> IPv6:
    """Push, and read what came of it with eyes that know nothing of ours."""
    push_ipv6(ip, pkt, ttl, tos, df, options)
    return IPv6(pkt.data())


def test_every_field_of_the_header() -> None:
    """RFC 8200 3; and where the layers stand afterwards."""
    pkt = segment()
    seen = pushed(Ip(), pkt, ttl=33, tos=0xB9)
    assert (seen.version, seen.tc, seen.plen, seen.nh, seen.hlim) == (6, 0xB9, len(SEGMENT), 17, 33)
    assert (seen.src, seen.dst) == (HERE, THERE)
    assert bytes(seen.payload) == SEGMENT
    assert (pkt.l3, pkt.l4, pkt.ttl, pkt.family, pkt.ethertype) == (pkt.start, pkt.start + 40, 33, 6, 0x86DD)
    assert pkt.flags == LOCAL_OUT


def test_zones_stay_in_the_stack() -> None:
    """RFC 4007 6: a zone means something inside one node only."""
    pkt = segment()
    pkt.src, pkt.dst = parse_ipv6("fe80::1") | 3 << 128, parse_ipv6("fe80::2") | 3 << 128
    seen = pushed(Ip(), pkt)
    assert (seen.src, seen.dst) == ("fe80::1", "fe80::2")


def test_dont_fragment_is_remembered_but_not_written() -> None:
    """RFC 8200 4.5: there is no such bit; a source does not cut what it was told not to."""
    pkt, other = segment(), segment()
    ip = Ip()
    assert bytes(pushed(ip, pkt, df=True)) == bytes(pushed(ip, other))
    assert (pkt.flags & DONT_FRAGMENT, other.flags & DONT_FRAGMENT) == (DONT_FRAGMENT, 0)
    assert ip.idents == []


def test_a_flow_has_one_label_and_another_flow_another() -> None:
    """RFC 6437 3: the same for all packets of a flow (addresses, protocol, ports), never 0."""
    ip = Ip()
    same = {pushed(ip, segment(bytes(UDP(sport=1000, dport=2000) / bytes([n])))).fl for n in range(8)}
    assert len(same) == 1
    others = {
        pushed(ip, segment(bytes(UDP(sport=1000, dport=2001)))).fl,
        pushed(ip, segment(bytes(UDP(sport=1001, dport=2000)))).fl,
        pushed(ip, segment(bytes(TCP(sport=1000, dport=2000)), 6)).fl,
        pushed(ip, segment(dst="2001:db8:2::3")).fl,
        pushed(ip, segment(src="2001:db8:1::2")).fl,
    }
    assert len(others | same) == 6
    assert 0 not in others | same


def test_labels_are_spread_over_their_20_bits() -> None:
    """RFC 6437 3: as if drawn from a uniform distribution; of 200 flows, two at most have one by chance."""
    ip = Ip()
    labels = [pushed(ip, segment(bytes(UDP(sport=port, dport=53)))).fl for port in range(1000, 1200)]
    assert len(set(labels)) >= 199
    assert all(sum(label >> bit & 1 for label in labels) in range(70, 131) for bit in range(20))


def test_nobody_can_tell_a_label_beforehand() -> None:
    """RFC 6437 3: it depends on a secret of the stack."""
    assert pushed(Ip(Namespace(seed=1)), segment()).fl != pushed(Ip(Namespace(seed=2)), segment()).fl


@pytest.mark.parametrize(("setting", "labelled"), [(0, False), (1, True), (2, False), (3, True)])
def test_a_setting_switches_labels_off(setting: int, labelled: bool) -> None:
    """RFC 6437 3: a source may set no label; net.ipv6.auto_flowlabels as in Linux."""
    ip = Ip()
    ip.ns.conf = replace(ip.ns.conf, auto_flowlabels=setting)
    assert bool(pushed(ip, segment()).fl) is labelled


@pytest.mark.parametrize("setting", [0, 1])
def test_a_label_of_the_caller_s_own_goes_first(setting: int) -> None:
    """RFC 6437 3: the sending application may choose; RFC 3493 3.3's flowinfo."""
    ip = Ip(Namespace(auto_flowlabels=setting))
    seen = pushed(ip, segment(), tos=0xABCDE << 8 | 0x2E)
    assert (seen.fl, seen.tc) == (0xABCDE, 0x2E)


def test_a_hop_by_hop_header_that_came_along_is_passed_over() -> None:
    """RFC 2710 3: multicast listener messages bring theirs; the upper layer is found behind it."""
    message = bytes(IPv6ExtHdrHopByHop(nh=58, options=[RouterAlert()]) / ICMPv6MLReport2())
    pkt = segment(message, 0, src="fe80::1", dst="ff02::16")
    seen = pushed(Ip(), pkt, ttl=1)
    assert bytes(seen.payload) == message
    assert (seen.nh, pkt.proto, pkt.l4 - pkt.l3, pkt.flags & IP_OPTIONS) == (0, 58, 48, IP_OPTIONS)


def test_options_are_a_header_of_their_own() -> None:
    """RFC 8200 4.3: behind the IPv6 header, and named by it."""
    pkt = segment()
    seen = pushed(Ip(), pkt, options=bytes([255, 0, 5, 2, 0, 0, 1, 0]))
    assert (seen.nh, seen.plen) == (0, len(SEGMENT) + 8)
    assert (seen.payload.nh, seen.payload.options[0].otype) == (17, 5)
    assert bytes(seen.payload.payload) == SEGMENT
    assert (pkt.proto, pkt.l4 - pkt.l3) == (17, 48)


def test_room_is_made_where_there_is_none() -> None:
    """A segment at the very start of its buffer gets its header, and room for a frame's."""
    pkt = Packet(bytearray(SEGMENT), 0, len(SEGMENT))
    pkt.src, pkt.dst, pkt.proto = parse_ipv6(HERE), parse_ipv6(THERE), 17
    assert bytes(pushed(Ip(), pkt).payload) == SEGMENT
    assert pkt.start >= 32
