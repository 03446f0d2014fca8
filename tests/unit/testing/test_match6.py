"""The matchers of IPv6, neighbour discovery and groups: what they compare, and what they say of a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.testing import frames as make
from vrouter.testing import match
from vrouter.testing.match import describe, icmp6, igmp, ipv6, mld, ndp, udp

A, B, R, LOW = "fd00:1::2", "fd00:2::2", "fd00:1::1", "fe80::1"
MAC_A, MAC_R = "02:00:00:00:01:0a", "02:00:00:00:01:01"
GROUP = "ff05::7"

PROBE = make.ipv6_udp(A, B, 4000, 53, b"question", hop_limit=1, flow_label=0x12345)
ERROR = make.ipv6(R, A, make.ICMPV6, make.icmp6_error(R, A, 3, 0, PROBE))
ADVERT = make.ipv6(
    LOW, A, make.ICMPV6, make.neighbour_advertisement(LOW, A, LOW, mac=MAC_R, router=True, override=True), hop_limit=255
)


def framed(packet, vlan=None):
    return make.ethernet(MAC_A, MAC_R, make.IPV6, packet, vlan=vlan)


def test_matchers_of_one_list():
    """The comparison that tests write, for frames and bare packets."""
    assert [framed(PROBE), ERROR, framed(ADVERT, vlan=5)] == [
        udp(src=A, dst=B, sport=4000, dport=53, payload=b"question", ttl=1, eth_src=MAC_R),
        icmp6(type=3, code=0, src=R, dst=A, quotes=PROBE, ttl=64),
        ndp(136, src=LOW, target=LOW, target_mac=MAC_R, router=True, solicited=False, vlan=5),
    ]


@pytest.mark.parametrize(
    ("matcher", "difference"),
    [
        (udp(src=B), f"src is {A}, not {B}"),
        (udp(dst="10.0.0.1"), f"dst is {B}, not 10.0.0.1"),
        (udp(ttl=2), "ttl is 1, not 2"),
        (ipv6(hop_limit=2), "hop_limit is 1, not 2"),
        (ipv6(flow_label=1), "flow_label is 74565, not 1"),
        (ipv6(proto=58), "proto is 17, not 58"),
        (ipv6(headers=[(0, b"")]), "headers is [], not [(0, b'')]"),
        (ipv6(payload_length=15), "payload_length is 16, not 15"),
        (ipv6(traffic_class=1), "traffic_class is 0, not 1"),
        (ipv6(next_header=0), "next_header is 17, not 0"),
        (ipv6(mf=True), "mf is False, not True"),
        (ipv6(vlan=3), "vlan is None, not 3"),
        (icmp6(), "no icmp6 in it"),
        (match.ipv4(), "no ipv4 in it"),
    ],
)
def test_differences(matcher, difference):
    """Each difference is told by the field's name, with addresses as text."""
    assert matcher.differences(framed(PROBE)) == [difference]
    assert framed(PROBE) != matcher


def test_an_ipv4_packet_is_no_ipv6_packet():
    """A matcher of both families takes the addresses of either."""
    packet = make.ipv4_udp("10.0.0.1", "10.0.0.2", 1, 2)
    assert packet != ipv6()
    assert packet == udp(src="10.0.0.1")
    assert packet != udp(src="::ffff:10.0.0.1")


@pytest.mark.parametrize(
    ("packet", "fault"),
    [
        (make.ipv6(A, B, 17, make.udp(A, B, 1, 2, checksum=5)), "bad UDP checksum"),
        (make.ipv6(A, B, 17, make.udp(A, B, 1, 2, checksum=0)), "bad UDP without a checksum over IPv6"),
        (make.ipv6(A, B, 58, make.icmp6_echo(A, B, checksum=5)), "bad ICMPv6 checksum"),
        (
            make.ethernet(MAC_A, MAC_R, 0x86DD, make.ipv6(A, B, 59, b"x", payload_length=2)),
            "bad IPv6 payload length (2, there 1)",
        ),
        (make.ipv6(A, B, 0, make.hop_by_hop(59, length=5)), "bad an extension header cut short"),
        (
            make.ipv6(A, B, 58, make.router_solicitation(A, B, make.nd_option(1, bytes(6), length=0))),
            "bad an option of neighbour discovery of a wrong length",
        ),
    ],
)
def test_what_is_broken_does_not_match_unless_asked(packet, fault):
    """Lengths and checksums are compared without being named; over IPv6 UDP has one (RFC 8200 section 8.1)."""
    assert ipv6().differences(packet) == [fault]
    assert packet == ipv6(intact=False)


def test_fragments_and_extension_headers():
    """A fragment is an IPv6 packet only; headers are told as they are."""
    first, second = make.fragments6(make.ipv6_udp(A, B, 1, 2, bytes(40)), 80, ident=7)
    assert first == ipv6(ident=7, offset=0, mf=True, proto=17, next_header=44)
    assert second == ipv6(ident=7, offset=32, mf=False, proto=17)
    assert first != udp()
    packet = make.ipv6(A, B, 0, make.hop_by_hop(17, make.udp(A, B, 1, 2), make.option(5, b"\0\0")))
    assert packet == ipv6(next_header=0, proto=17, headers=[(0, bytes.fromhex("1100050200000100"))])
    assert packet == udp(sport=1)


@pytest.mark.parametrize("at", range(len(PROBE)))
def test_quotes_overlook_the_hop_limit_alone(at):
    """What a router changes on the way is one byte."""
    quoted = bytearray(PROBE)
    quoted[at] ^= 1
    error = make.ipv6(R, A, 58, make.icmp6_error(R, A, 3, 0, bytes(quoted)))
    assert (error == icmp6(quotes=framed(PROBE))) is (at == 7)


def test_quotes_are_as_long_as_they_can_be():
    """RFC 4443 section 2.4 (c): as much as does not exceed the least MTU."""
    packet = make.ipv6_udp(A, B, 1, 2, bytes(2000))
    for quote, right in ((1232, True), (1231, False), (1233, True), (3000, True)):
        error = make.ipv6(R, A, 58, make.icmp6_error(R, A, 2, 0, packet, 1300, quote=quote))
        assert (error == icmp6(quotes=packet)) is right
    assert ERROR == icmp6(quotes=PROBE)
    assert make.ipv6(R, A, 58, make.icmp6_error(R, A, 3, 0, PROBE[:-1])) != icmp6(quotes=PROBE)


def test_neighbour_discovery():
    """Every message's own fields, and the hop limit of 255 unless another is asked for."""
    message = make.neighbour_solicitation(LOW, A, R, make.nd_nonce(b"sixsix"), mac=MAC_A)
    packet = make.ipv6(LOW, A, 58, message, hop_limit=255)
    assert packet == ndp(
        135, target=R, source_mac=MAC_A, nonce=b"sixsix", options=[(1, bytes.fromhex("02000000010a")), (14, b"sixsix")]
    )
    assert make.ipv6(LOW, A, 58, message, hop_limit=254) != ndp(135)
    assert make.ipv6(LOW, A, 58, message, hop_limit=254) == ndp(135, hop_limit=254)
    options = make.nd_prefix("fd00::", valid=5) + make.nd_mtu(1400)
    message = make.router_advertisement(LOW, A, options, flags=0xC8, lifetime=9, reachable=8, retrans=7, hop_limit=6)
    packet = make.ipv6(LOW, A, 58, message, hop_limit=255)
    assert packet == ndp(134, managed=True, other=True, preference=1, lifetime=9, mtu=1400)
    assert packet == ndp(134, reachable=8, retrans=7, cur_hop_limit=6)
    assert packet != ndp(134, mtu=1500)
    quoted = make.ipv6_udp(A, B, 1, 2)
    packet = make.ipv6(LOW, A, 58, make.redirect6(LOW, A, LOW, B, packet=quoted), hop_limit=255)
    assert packet == ndp(137, target=LOW, destination=B, redirected=quoted)


def test_groups():
    """Reports and queries of both families."""
    report = make.mld2_report(LOW, "ff02::16", make.mld_record(4, GROUP, [A]), make.mld_record(3, GROUP))
    packet = make.ipv6(LOW, "ff02::16", 0, make.hop_by_hop(58, report, make.option(5, b"\0\0")), hop_limit=1)
    assert packet == mld(143, src=LOW, dst="ff02::16", records=[(4, GROUP, [A]), (3, GROUP, [])])
    assert packet != mld(143, records=[])
    query = make.ipv6(LOW, "ff02::1", 58, make.mld_query(LOW, "ff02::1", GROUP, [A]), hop_limit=1)
    assert query == mld(130, group=GROUP, sources=[A])
    four = make.ipv4("10.0.0.1", "224.0.0.22", 2, make.igmp3_report(make.igmp_record(4, "239.1.2.3")), ttl=1)
    assert four == igmp(0x22, records=[(4, "239.1.2.3", [])])
    four = make.ipv4("10.0.0.1", "224.0.0.1", 2, make.igmp_query("239.1.2.3", ["10.0.0.9"]), ttl=1)
    assert four == igmp(0x11, group="239.1.2.3", sources=["10.0.0.9"])
    assert four != igmp(0x11, group="239.1.2.4")


def test_stacked_tags():
    """All of them are told, the outermost is `vlan`."""
    frame = make.ethernet(
        MAC_A, MAC_R, make.QINQ, make.vlan_tag(7 << 13 | 100, make.VLAN, make.vlan_tag(5, make.IPV6, PROBE))
    )
    assert frame == udp(vlan=100, dport=53)
    link = match.decode(frame).layers["ethernet"]
    assert (link["vlans"], link["tpids"], link["pcp"]) == ([100, 5], [0x88A8, 0x8100], 7)
    assert describe(frame).startswith(f"{MAC_R} > {MAC_A} vlan 100 vlan 5 IP6 {A}.4000")


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (PROBE, f"IP6 {A}.4000 > {B}.53: UDP, length 8, hlim 1, flow 0x12345"),
        (
            ERROR,
            f"IP6 {R} > {A}: ICMP6 time exceeded, code 0, rest 0x00000000, "
            f"quoting [56 bytes of {A} > {B} proto 17 ports 4000 > 53], hlim 64",
        ),
        (
            make.ipv6_echo(A, B, 7, 9, b"x", traffic_class=8),
            f"IP6 {A} > {B}: ICMP6 echo request, id 7, seq 9, length 1, hlim 64, class 0x08",
        ),
        (
            ADVERT,
            f"IP6 {LOW} > {A}: ICMP6 neighbour advertisement, target_mac {MAC_R}, router, override, "
            f"target {LOW}, hlim 255",
        ),
        (make.ipv6(A, B, 59), f"IP6 {A} > {B}: proto 59, length 0, hlim 64"),
        (
            make.fragments6(make.ipv6_udp(A, B, 1, 2, bytes(40)), 80, ident=7)[0],
            f"IP6 {A} > {B}: proto 17, length 40, hlim 64, id 7, fragment 0+",
        ),
        (
            make.ipv6(
                LOW, A, 0, make.hop_by_hop(58, make.mld_report(LOW, A, GROUP), make.option(5, b"\0\0")), hop_limit=1
            ),
            f"IP6 {LOW} > {A}: ICMP6 listener report, group {GROUP}, hlim 1, header 0 050200000100",
        ),
        (
            make.ipv4(
                "10.0.0.1", "224.0.0.22", 2, make.igmp3_report(make.igmp_record(4, "239.1.2.3", ["10.0.0.9"])), ttl=1
            ),
            "IP 10.0.0.1 > 224.0.0.22: IGMP type 0x22, 4 239.1.2.3 {10.0.0.9}, ttl 1",
        ),
    ],
)
def test_describe(packet, line):
    """One line for people, much as tcpdump prints it."""
    assert describe(packet) == line


@given(
    data=st.one_of(
        st.binary(max_size=120),
        st.builds(
            lambda proto, body: make.ipv6(LOW, A, proto, body),
            st.sampled_from([0, 17, 43, 44, 58, 60]),
            st.binary(max_size=90),
        ),
        st.builds(
            lambda kind, body: make.ipv6(LOW, A, 58, make.icmp6(LOW, A, kind, payload=body)),
            st.sampled_from([1, 128, 130, 131, 133, 134, 135, 136, 137, 143]),
            st.binary(max_size=90),
        ),
        st.builds(
            lambda kind, body: make.ipv4("10.0.0.1", "224.0.0.1", 2, make.igmp(kind, 0, 3, body)),
            st.sampled_from([0x11, 0x16, 0x22]),
            st.binary(max_size=60),
        ),
    ),
    cut=st.integers(0, 60),
)
def test_any_bytes_are_described_and_compared(data, cut):
    """No exception, whatever a wire carries."""
    data = data[: max(0, len(data) - cut)]
    assert isinstance(describe(data), str)
    for matcher in (
        ipv6(src=A),
        icmp6(type=3, quotes=PROBE),
        ndp(135, target=A),
        mld(143, group=GROUP),
        igmp(group="224.0.0.1"),
    ):
        assert data == matcher or repr(matcher).startswith("<")
