"""ICMPv6 as it is received: echo, errors about packets of ours, and what is handed on."""

from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLQuery,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, LAN_IFINDEX, THERE, Ip, Namespace, arrived, received
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, Packet
from vrouter.stack.l3.icmp import ECHO_REPLY, ErrorNews
from vrouter.stack.l3.icmpv6 import MLD, NDP, count_output6, icmpv6_input
from vrouter.stack.l3.icmpv6_error import seal_icmpv6
from vrouter.stack.l3.ipv6_input import ipv6_input
from vrouter.stack.sysctl.records import DEFAULT_V6
from vrouter.stack.wire import icmpv6

ZONE = LAN_IFINDEX << 128
GROUP = "ff02::1"
QUERY = ICMPv6EchoRequest(id=7, seq=3, data=b"payload")
OURS = IPv6(src=HERE, dst="2001:db8:9::9") / UDP(sport=1000, dport=53) / b"question"


def ours(**settings: Any) -> Ip:
    """A namespace with ``HERE`` and fe80::1 on ``lan``."""
    ip = Ip(Namespace(**settings))
    ip.own(HERE)
    ip.own("fe80::1")
    return ip


def given(ip: Ip, message: Any, *, src: str = THERE, dst: str = HERE, flags: int = 0) -> Any:
    return icmpv6_input(ip, received(IPv6(src=src, dst=dst) / message, ip.ns.lan, flags), 0)


def sealed(reply: Packet, src: str) -> IPv6:
    """The reply as output finishes it, read with other eyes."""
    reply.src = reply.src or parse_ipv6(src)
    seal_icmpv6(reply)
    pkt = IPv6(src=src, nh=58, plen=len(reply))
    pkt.dst = THERE
    return IPv6(bytes(pkt) + reply.data())


def test_an_echo_request_is_answered_with_its_data() -> None:
    """RFC 4443 4.2: identifier, sequence number and data come back whole, from the address that was asked."""
    ip = ours()
    reply = given(ip, QUERY)
    assert (reply.src, reply.dst, reply.proto, reply.family) == (parse_ipv6(HERE), parse_ipv6(THERE), 58, 6)
    seen = sealed(reply, HERE)
    assert (seen[ICMPv6EchoReply].id, seen[ICMPv6EchoReply].seq, seen[ICMPv6EchoReply].data) == (7, 3, b"payload")
    pkt = arrived(seen, ip.ns.lan)
    assert ipv6_input(pkt) == 0
    assert icmpv6.is_valid(pkt.buf, pkt.l4, pkt.end, pkt.src, pkt.dst)


def test_a_link_local_asker_is_answered_on_his_link() -> None:
    """RFC 4007 6: the reply's addresses have the zone by which the request came."""
    reply = given(ours(), QUERY, src="fe80::2", dst="fe80::1")
    assert (reply.src, reply.dst) == (parse_ipv6("fe80::1") | ZONE, parse_ipv6("fe80::2") | ZONE)


def test_one_of_many_answers_from_an_address_of_its_own() -> None:
    """RFC 4443 4.2: a request to a group or an anycast address is answered from a unicast address of the device."""
    ip = ours()
    ip.zeros[parse_ipv6("2001:db8:1::")] = 1
    assert given(ip, QUERY, dst=GROUP).src == parse_ipv6(HERE)
    assert given(ip, QUERY, dst="2001:db8:1::").src == parse_ipv6(HERE)


def test_who_has_no_address_is_not_answered() -> None:
    """RFC 4291 2.5.2: nothing is sent to the unspecified address, not even around by lo."""
    assert given(ours(), QUERY, src="::") == DropReason.ICMP_IGNORED
    assert given(ours(), QUERY, src="::", dst=GROUP) == DropReason.ICMP_IGNORED


def test_long_answers_are_known() -> None:
    """RFC 8201 4: what a Packet Too Big may be about though no socket sent it: more than every link takes."""
    ip = ours()
    given(ip, ICMPv6EchoRequest(data=bytes(1232)))
    assert ip.answered == []
    given(ip, ICMPv6EchoRequest(data=bytes(1233)))
    assert ip.answered == [parse_ipv6(THERE)]


@pytest.mark.parametrize(
    ("settings", "ignored"),
    [
        ({}, ""),
        ({"v6": replace(DEFAULT_V6, echo_ignore_all=True)}, "one group anycast"),
        ({"v6": replace(DEFAULT_V6, echo_ignore_multicast=True)}, "group"),
        ({"echo_ignore_anycast": True}, "anycast"),
    ],
)
def test_settings_say_which_requests_are_ignored(settings: dict[str, Any], ignored: str) -> None:
    """net.ipv6.icmp.echo_ignore_all, echo_ignore_multicast, echo_ignore_anycast; by default all are answered."""
    ip = ours(**settings)
    ip.zeros[parse_ipv6("2001:db8:1::")] = 1
    answers = {
        "one": given(ip, QUERY),
        "group": given(ip, QUERY, dst=GROUP),
        "anycast": given(ip, QUERY, dst="2001:db8:1::"),
    }
    assert {name for name, answer in answers.items() if answer == DropReason.ICMP_IGNORED} == set(ignored.split())


def test_a_wrong_checksum_is_discarded_whatever_the_type() -> None:
    """RFC 4443 2.3, RFC 4861 7.1: it covers the pseudo-header, and there is no message without."""
    ip = ours()
    for message in (
        ICMPv6EchoRequest(cksum=1),
        ICMPv6ND_NA(cksum=0),
        ICMPv6MLReport(cksum=1),
        ICMPv6DestUnreach(cksum=1),
    ):
        assert given(ip, message) == DropReason.ICMP_CSUM
    pkt = received(IPv6(src=THERE, dst=HERE) / QUERY, ip.ns.lan)
    pkt.src += 1
    assert icmpv6_input(ip, pkt, 0) == DropReason.ICMP_CSUM
    assert ip.ns.stats[Stat.Icmp6InMsgs] == 5
    assert ip.ns.stats[Stat.Icmp6InEchos] == 0


def test_a_checksum_that_was_vouched_for_is_not_looked_at() -> None:
    """Packets that never left the stack are not summed a second time."""
    assert isinstance(given(ours(), ICMPv6EchoRequest(cksum=1), flags=CSUM_OK), Packet)


@pytest.mark.parametrize("size", [0, 3, 7])
def test_a_message_shorter_than_its_header_is_discarded(size: int) -> None:
    """RFC 4443 2.1: type, code, checksum, and a word that all messages have."""
    packet = IPv6(src=THERE, dst=HERE, nh=58) / Raw(bytes(ICMPv6EchoRequest())[:size])
    ip = ours()
    assert icmpv6_input(ip, received(packet, ip.ns.lan), 0) == DropReason.L4_HDR


@pytest.mark.parametrize(
    ("message", "mark"),
    [
        (ICMPv6EchoReply(id=7), ECHO_REPLY),
        (ICMPv6ND_RS(), NDP),
        (ICMPv6ND_RA(), NDP),
        (ICMPv6ND_NS(tgt=HERE), NDP),
        (ICMPv6ND_NA(tgt=HERE), NDP),
        (ICMPv6ND_Redirect(tgt="fe80::9", dst=THERE), NDP),
        (ICMPv6MLQuery(), MLD),
        (ICMPv6MLReport(), MLD),
        (ICMPv6Unknown(type=132, msgbody=bytes(20)), MLD),
        (ICMPv6MLReport2(), MLD),
        (ICMPv6Unknown(type=200, msgbody=bytes(4)), DropReason.ICMP_TYPE),  # RFC 4443 2.4 (b)
        (ICMPv6Unknown(type=139, msgbody=bytes(4)), DropReason.ICMP_TYPE),
        (ICMPv6Unknown(type=255, msgbody=bytes(4)), DropReason.ICMP_TYPE),
    ],
)
def test_who_takes_a_message(message: Any, mark: Any) -> None:
    """RFC 4861, RFC 2710, RFC 3810; informational messages that nobody knows are discarded in silence."""
    assert given(ours(), message) == mark


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ICMPv6DestUnreach(code=4), (1, 4, 0)),
        (ICMPv6DestUnreach(code=250), (1, 250, 0)),
        (ICMPv6PacketTooBig(mtu=1280), (2, 0, 1280)),
        (ICMPv6PacketTooBig(mtu=1400, code=9), (2, 0, 1400)),  # RFC 4443 3.2: the code is ignored
        (ICMPv6PacketTooBig(mtu=0xFFFFFFFF), (2, 0, 0xFFFFFFFF)),
        (ICMPv6TimeExceeded(code=1), (3, 1, 0)),
        (ICMPv6ParamProblem(code=1, ptr=40), (4, 1, 40)),
        (ICMPv6Unknown(type=100, code=3, msgbody=bytes(4)), (100, 3, 0)),  # RFC 4443 2.4 (a)
    ],
)
def test_an_error_is_news_about_a_packet_of_ours(message: Any, expected: tuple[int, int, int]) -> None:
    """RFC 4443 2.4 (d): the quoted packet says whose it is."""
    news = given(ours(), message / Raw(bytes(OURS)))
    assert isinstance(news, ErrorNews)
    assert (news.type, news.code, news.info) == expected
    quoted = news.quoted
    assert (quoted.src, quoted.dst) == (parse_ipv6(HERE), parse_ipv6("2001:db8:9::9"))
    assert (quoted.proto, quoted.sport, quoted.dport, quoted.total_length) == (17, 1000, 53, 56)


def test_the_quoted_packet_is_found_behind_its_extension_headers() -> None:
    """RFC 4443 2.4 (d): the upper layer's protocol is extracted from the invoking packet."""
    packet = IPv6(src=HERE, dst=THERE) / IPv6ExtHdrHopByHop() / UDP(sport=5, dport=6)
    quoted = given(ours(), ICMPv6TimeExceeded() / Raw(bytes(packet))).quoted
    assert (quoted.proto, quoted.sport, quoted.dport) == (17, 5, 6)


@pytest.mark.parametrize("mtu", [0, 68, 1279])
def test_less_than_the_minimum_mtu_is_not_believed(mtu: int) -> None:
    """RFC 8201 4: such a Packet Too Big must be discarded; RFC 8021: nothing is cut for it."""
    ip = ours()
    assert given(ip, ICMPv6PacketTooBig(mtu=mtu) / Raw(bytes(OURS))) == DropReason.ICMP_IGNORED
    assert ip.ns.stats[Stat.Icmp6InPktTooBigs] == 1


@pytest.mark.parametrize(
    ("quoted", "dst", "reason"),
    [
        (IPv6(src=THERE, dst=HERE) / UDP(), HERE, DropReason.ICMP_IGNORED),
        (IPv6(src="fe80::77", dst=THERE) / UDP(), HERE, DropReason.ICMP_IGNORED),
        (OURS, GROUP, DropReason.ICMP_IGNORED),
        (Raw(bytes(OURS)[:39]), HERE, DropReason.L4_HDR),
        (Raw(bytes(OURS)[:47]), HERE, DropReason.L4_HDR),
        (Raw(b"\x45" + bytes(60)), HERE, DropReason.L4_HDR),
        (Raw(b""), HERE, DropReason.L4_HDR),
    ],
)
def test_an_error_about_nothing_of_ours_is_ignored(quoted: Any, dst: str, reason: int) -> None:
    """RFC 8201 4, RFC 4443 5.2: only what quotes a packet of this node is believed; errors come to one host."""
    assert given(ours(), ICMPv6DestUnreach() / Raw(bytes(quoted)), dst=dst) == reason


def test_quoted_link_local_addresses_are_those_of_the_link() -> None:
    """RFC 4007 6: the zone is that by which the error came."""
    packet = IPv6(src="fe80::1", dst="fe80::9") / UDP(sport=1, dport=2)
    quoted = given(ours(), ICMPv6DestUnreach(code=3) / Raw(bytes(packet)), dst="fe80::1").quoted
    assert (quoted.src, quoted.dst) == (parse_ipv6("fe80::1") | ZONE, parse_ipv6("fe80::9") | ZONE)


def test_an_error_of_our_own_about_a_link_local_packet_keeps_its_zone() -> None:
    """RFC 4007 6: what goes around by lo was on no other link than that of its addresses."""
    ip = ours()
    packet = IPv6(src="fe80::1", dst="fe80::9") / UDP(sport=1, dport=2)
    pkt = arrived(IPv6(src="fe80::1", dst="fe80::1") / ICMPv6DestUnreach(code=3) / Raw(bytes(packet)), ip.ns.lo)
    pkt.src = pkt.dst = parse_ipv6("fe80::1") | ZONE
    assert ipv6_input(pkt) == 0
    assert icmpv6_input(ip, pkt, 0).quoted.dst == parse_ipv6("fe80::9") | ZONE


def test_what_comes_in_is_counted_by_type() -> None:
    """The names are Linux's."""
    ip = ours()
    given(ip, QUERY)
    given(ip, QUERY, dst=GROUP)
    given(ip, ICMPv6ND_NS(tgt=HERE))
    given(ip, ICMPv6DestUnreach() / Raw(bytes(OURS)))
    counted = {stat.name: ip.ns.stats[stat] for stat in Stat if ip.ns.stats[stat]}
    assert counted == {
        "Icmp6InMsgs": 4,
        "Icmp6InEchos": 2,
        "Icmp6InNeighborSolicits": 1,
        "Icmp6InDestUnreachs": 1,
    }


def test_what_goes_out_is_counted_by_type_behind_a_hop_by_hop_header_too() -> None:
    """Multicast listener messages go with a router alert in front (RFC 2710 3)."""
    ns = Namespace()
    echo = Packet.for_payload(bytes(QUERY))
    echo.proto = 58
    count_output6(ns, echo)
    report = Packet.for_payload(bytes(IPv6ExtHdrHopByHop(nh=58) / ICMPv6MLReport2()))
    count_output6(ns, report)
    counted = {stat.name: ns.stats[stat] for stat in Stat if ns.stats[stat]}
    assert counted == {"Icmp6OutMsgs": 2, "Icmp6OutEchos": 1, "Icmp6OutMLDv2Reports": 1}
