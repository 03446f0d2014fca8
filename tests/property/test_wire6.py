"""The codecs of IPv6, neighbour discovery, IGMP and MLD: against scapy, around the circle, and against any bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.compat import raw
from scapy.layers import igmp as s4
from scapy.layers import inet6 as s6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from vrouter.stack.base.addresses import MAX6, format_ipv4, format_ipv6, mask, scoped
from vrouter.stack.wire import ext_headers, icmpv6, igmp, ipv6, membership, mld, ndp, ndp_options, udp
from vrouter.stack.wire.membership import Query, Record, Report

u4, u8, u16, u20, u32 = (st.integers(0, 2**bits - 1) for bits in (4, 8, 16, 20, 32))
a4 = u32
a6 = st.integers(0, MAX6)
macs = st.binary(min_size=6, max_size=6)
payloads = st.binary(max_size=64)
kinds = st.sampled_from([bytes, bytearray, memoryview])
MCAST, LINK_LOCAL = 0xFF02 << 112, 0xFE80 << 112
SRC, DST = LINK_LOCAL | 1, MCAST | 1


def message_of(data):
    """The ICMPv6 message that scapy builds between SRC and DST."""
    return raw(IPv6(src=format_ipv6(SRC), dst=format_ipv6(DST), hlim=255) / data)[40:]


# IPv6 -----------------------------------------------------------------------------------------------------------------


@given(src=a6, dst=a6, proto=u8, hops=u8, tos=u8, flow=u20, payload=payloads, zone=u32, kind=kinds)
def test_ipv6_header_is_scapys(src, dst, proto, hops, tos, flow, payload, zone, kind):
    """RFC 8200 section 3: every field, written and read; a zone never gets onto the wire."""
    packet = raw(IPv6(src=format_ipv6(src), dst=format_ipv6(dst), nh=proto, hlim=hops, tc=tos, fl=flow) / Raw(payload))
    buf = bytearray(b"\xee" * (2 + 40) + payload)
    size = ipv6.emit_header(
        buf,
        2,
        payload_length=len(payload),
        next_header=proto,
        hop_limit=hops,
        src=zone << 128 | src,
        dst=zone << 128 | dst,
        traffic_class=tos,
        flow_label=flow,
    )
    assert (size, buf[2:]) == (40, packet)
    view = kind(packet)
    assert ipv6.version(view, 0) == 6
    assert ipv6.traffic_class(view, 0) == tos
    assert ipv6.flow_label(view, 0) == flow
    assert ipv6.payload_length(view, 0) == len(payload)
    assert ipv6.next_header(view, 0) == proto
    assert ipv6.hop_limit(view, 0) == hops
    assert (ipv6.src(view, 0), ipv6.dst(view, 0)) == (src, dst)
    fields = ipv6.FIELDS.unpack_from(view, 0)
    assert fields[0] == 6 << 28 | tos << 20 | flow
    assert fields[1:4] == (len(payload), proto, hops)
    assert [int.from_bytes(field, "big") for field in fields[4:]] == [src, dst]


@given(src=a6, dst=a6, sport=u16, dport=u16, payload=payloads, zone=u32)
def test_udp_over_ipv6_is_scapys(src, dst, sport, dport, payload, zone):
    """RFC 8200 section 8.1: the pseudo-header has the addresses of the wire, not their zones."""
    packet = raw(IPv6(src=format_ipv6(src), dst=format_ipv6(dst)) / UDP(sport=sport, dport=dport) / Raw(payload))
    buf = bytearray(8) + payload
    udp.emit(buf, 0, len(buf), sport, dport, zone << 128 | src, zone << 128 | dst, 128)
    assert buf == packet[40:]


@given(proto=u8, offset=st.integers(0, 0x1FFF), more=st.booleans(), ident=u32, kind=kinds)
def test_fragment_header_is_scapys(proto, offset, more, ident, kind):
    """RFC 8200 section 4.5; the offset is in bytes here."""
    wanted = raw(s6.IPv6ExtHdrFragment(nh=proto, offset=offset, m=int(more), id=ident))
    buf = bytearray(b"\xee" * 9)
    assert ipv6.emit_fragment(buf, 1, next_header=proto, offset=offset * 8, more=more, ident=ident) == 8
    assert buf == b"\xee" + wanted
    view = kind(wanted)
    assert ipv6.fragment_next_header(view, 0) == proto
    assert ipv6.fragment_offset(view, 0) == offset * 8
    assert ipv6.fragment_more(view, 0) is more
    assert ipv6.fragment_ident(view, 0) == ident


@given(type_=u8, code=u8, rest=u32, data=payloads, src=a6, dst=a6, ifindex=u16)
def test_icmpv6_is_scapys(type_, code, rest, data, src, dst, ifindex):
    """RFC 4443 section 2.3: the checksum with its pseudo-header, for scoped addresses too."""
    unknown = s6.ICMPv6Unknown(type=type_, code=code, msgbody=rest.to_bytes(4, "big") + data)
    wanted = raw(IPv6(src=format_ipv6(src), dst=format_ipv6(dst)) / unknown)[40:]
    buf = bytearray(b"\x5a" * 8) + data
    there = scoped(src, ifindex), scoped(dst, ifindex)
    icmpv6.emit(buf, 0, len(buf), type_, code, rest, *there)
    assert buf == wanted
    assert icmpv6.is_valid(buf, 0, len(buf), *there)
    buf[4] ^= 1
    assert not icmpv6.is_valid(buf, 0, len(buf), *there)


# Extension headers ----------------------------------------------------------------------------------------------------


def walk_twin(packet):
    """How far scapy's dissection sees a chain of intact headers: (upper protocol, its offset)."""
    layer, at, proto = IPv6(packet).payload, 40, packet[6]
    while isinstance(layer, s6.IPv6ExtHdrHopByHop | s6.IPv6ExtHdrDestOpt | s6.IPv6ExtHdrRouting):
        at, proto = at + 8 + packet[at + 1] * 8, packet[at]
        layer = layer.payload
    return proto, at


HEADERS = st.lists(
    st.one_of(
        st.builds(s6.IPv6ExtHdrDestOpt, options=st.lists(st.builds(s6.HBHOptUnknown, otype=st.just(0x1E)), max_size=3)),
        st.builds(s6.IPv6ExtHdrRouting, addresses=st.lists(a6.map(format_ipv6), max_size=3), segleft=st.just(0)),
    ),
    max_size=4,
)


@given(first=st.booleans(), headers=HEADERS, asker=st.sampled_from([ext_headers.DESTINATION, ext_headers.SKIM]))
def test_intact_chains_end_where_scapys_do(first, headers, asker):
    """RFC 8200 section 4.1: any order, any number, hop-by-hop options first."""
    packet = IPv6(src="fd00::1", dst="fd00::2")
    for header in ([s6.IPv6ExtHdrHopByHop(options=[s6.RouterAlert()])] if first else []) + headers:
        packet /= header
    packet = raw(packet / UDP(sport=5, dport=6) / b"data")
    chain = ext_headers.walk(packet, 0, len(packet), asker)
    assert chain.fault == ext_headers.NO_FAULT
    assert (chain.proto, chain.offset) == walk_twin(packet) == (17, len(packet) - 12)
    assert packet[chain.next_at] == 17
    assert chain.hop_by_hop == (40 if first else -1)
    assert chain.router_alert == (0 if first and asker == ext_headers.DESTINATION else -1)


CHAINS = st.lists(
    st.tuples(
        st.sampled_from([0, 6, 17, 43, 44, 50, 51, 58, 59, 60, 255]), st.sampled_from([0, 0, 1, 2, 255]), payloads
    ),
    max_size=24,
).map(lambda parts: b"".join(bytes((proto, length)) + data for proto, length, data in parts))


@given(
    proto=st.sampled_from([0, 43, 44, 60, 17]),
    data=st.one_of(st.binary(max_size=400), CHAINS),
    cut=st.integers(0, 50),
    asker=st.sampled_from([ext_headers.ROUTER, ext_headers.DESTINATION, ext_headers.SKIM]),
    kind=kinds,
)
def test_any_chain_is_walked(proto, data, cut, asker, kind):
    """Hostile bytes: no exception, an end within the packet, a pointer into it, a bounded number of headers."""
    head = bytearray(40)
    head[0], head[6] = 0x60, proto
    packet = kind(b"\xee" * 3 + bytes(head) + data)
    end = max(43, len(packet) - cut)
    chain = ext_headers.walk(packet, 3, end, asker)
    assert chain.headers <= ext_headers.MAX_HEADERS
    assert 9 <= chain.next_at < end
    assert 43 <= chain.offset <= end
    assert packet[chain.next_at] == chain.proto
    assert 43 <= chain.cut_at <= (end if chain.fault else chain.offset)
    assert 6 <= chain.pointer < end - 3 or chain.fault != ext_headers.PROBLEM
    if not chain.fault and asker != ext_headers.ROUTER and chain.fragment < 0:
        assert not ext_headers.is_extension(chain.proto) or asker == ext_headers.SKIM
    ext_headers.holds_upper_header(chain, end)
    quoted = icmpv6.QuotedPacket.parse(packet, 3, end)
    assert quoted is None or len(quoted.data) <= 8


# Neighbour discovery --------------------------------------------------------------------------------------------------

hosts = a6.filter(lambda value: value >> 120 != 0xFF)
lifetimes = u32
NAMES = st.lists(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{2,10}){1,3}", fullmatch=True), min_size=1, max_size=3)


def prefix_of(pair):
    return pair[0] & mask(pair[1], 128), pair[1]


PREFIXES = st.tuples(a6, st.integers(0, 128)).map(prefix_of)
NAT64 = st.tuples(a6, st.sampled_from([32, 40, 48, 56, 64, 96])).map(prefix_of)
ADVERTISEMENTS = st.builds(
    ndp.RouterAdvertisement,
    u8,
    st.booleans(),
    st.booleans(),
    st.sampled_from([-1, 0, 1]),
    u16,
    u32,
    u32,
    st.none() | macs,
    u32,
    st.lists(
        st.builds(lambda p, *rest: ndp.Prefix(*p, *rest), PREFIXES, u32, u32, st.booleans(), st.booleans()), max_size=3
    ),
    st.lists(
        st.builds(lambda p, *rest: ndp.RoutePrefix(*p, *rest), PREFIXES, u32, st.sampled_from([-1, 0, 1])), max_size=3
    ),
    st.lists(st.builds(ndp.NameServers, u32, st.lists(a6, min_size=1, max_size=3)), max_size=2),
    st.lists(st.builds(ndp.SearchList, u32, NAMES), max_size=2),
    st.lists(
        st.builds(lambda p, life: ndp.Nat64Prefix(*p, life), NAT64, st.integers(0, 8191).map(lambda n: n * 8)),
        max_size=2,
    ),
)
MESSAGES = st.one_of(
    ADVERTISEMENTS,
    st.builds(ndp.RouterSolicitation, st.none() | macs),
    st.builds(
        ndp.NeighbourSolicitation,
        hosts,
        st.none() | macs,
        st.sampled_from([0, 6, 14]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    ),
    st.builds(ndp.NeighbourAdvertisement, hosts, st.none() | macs, st.booleans(), st.booleans(), st.booleans()),
    st.builds(
        ndp.Redirect,
        a6.map(lambda low: LINK_LOCAL | low >> 64),
        hosts,
        st.none() | macs,
        st.integers(0, 20).flatmap(lambda words: st.binary(min_size=8 * words, max_size=8 * words)),
    ),
)


@given(message=MESSAGES, kind=kinds, before=payloads)
def test_messages_of_neighbour_discovery_go_around_the_circle(message, kind, before):
    """RFC 4861 section 4, with the options of RFC 3971, 4191, 8106 and 8781: what is emitted is what is parsed."""
    data = message.emit(SRC, DST)
    assert icmpv6.is_valid(data, 0, len(data), SRC, DST)
    buf = kind(before + bytes(data) + b"\xee")
    assert type(message).parse(buf, len(before), len(before) + len(data)) == message


@given(target=hosts, mac=macs, nonce=st.binary(min_size=6, max_size=6), flags=st.tuples(*[st.booleans()] * 3))
def test_neighbour_messages_are_scapys(target, mac, nonce, flags):
    """RFC 4861 sections 4.3 and 4.4, RFC 3971 section 5.3.2."""
    text, link = format_ipv6(target), mac.hex(":")
    nonce_option = s6.ICMPv6NDOptUnknown(type=14, len=1, data=nonce)
    solicitation = s6.ICMPv6ND_NS(tgt=text) / s6.ICMPv6NDOptSrcLLAddr(lladdr=link) / nonce_option
    assert ndp.NeighbourSolicitation(target, mac, nonce).emit(SRC, DST) == message_of(solicitation)
    router, solicited, override = flags
    advertisement = s6.ICMPv6ND_NA(tgt=text, R=router, S=solicited, O=override) / s6.ICMPv6NDOptDstLLAddr(lladdr=link)
    assert ndp.NeighbourAdvertisement(target, mac, *flags).emit(SRC, DST) == message_of(advertisement)


@given(message=ADVERTISEMENTS)
def test_router_advertisements_are_scapys(message):
    """RFC 4861 section 4.2, RFC 4191 section 2.2 and 2.3, RFC 8106 section 5, RFC 8781 section 4."""
    preference = {1: 1, 0: 0, -1: 3}
    wanted = s6.ICMPv6ND_RA(
        chlim=message.hop_limit,
        M=message.managed,
        O=message.other,
        prf=preference[message.preference],
        routerlifetime=message.lifetime,
        reachabletime=message.reachable,
        retranstimer=message.retrans,
    )
    if message.source_mac is not None:
        wanted /= s6.ICMPv6NDOptSrcLLAddr(lladdr=message.source_mac.hex(":"))
    for p in message.prefixes:
        wanted /= s6.ICMPv6NDOptPrefixInfo(
            prefixlen=p.length,
            L=p.on_link,
            A=p.autonomous,
            R=0,
            validlifetime=p.valid,
            preferredlifetime=p.preferred,
            prefix=format_ipv6(p.prefix),
        )
    if message.mtu:
        wanted /= s6.ICMPv6NDOptMTU(mtu=message.mtu)
    for r in message.routes:
        wanted /= s6.ICMPv6NDOptRouteInfo(
            len=1 + (r.length + 63) // 64,
            plen=r.length,
            prf=preference[r.preference],
            rtlifetime=r.lifetime,
            prefix=format_ipv6(r.prefix),
        )
    for n in message.name_servers:
        wanted /= s6.ICMPv6NDOptRDNSS(dns=[format_ipv6(server) for server in n.servers], lifetime=n.lifetime)
    for d in message.search_lists:
        wanted /= s6.ICMPv6NDOptDNSSL(searchlist=[f"{name}." for name in d.domains], lifetime=d.lifetime)
    for x in message.nat64:
        wanted /= s6.ICMPv6NDOptPREF64(
            scaledlifetime=x.lifetime // 8, plc=[96, 64, 56, 48, 40, 32].index(x.length), prefix=format_ipv6(x.prefix)
        )
    assert message.emit(SRC, DST) == message_of(wanted)


PARSERS = [
    ndp.RouterSolicitation,
    ndp.RouterAdvertisement,
    ndp.NeighbourSolicitation,
    ndp.NeighbourAdvertisement,
    ndp.Redirect,
]
OPTION_SOUP = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 4, 5, 14, 24, 25, 31, 38, 99]), st.integers(0, 5), st.binary(max_size=40)),
    max_size=6,
).map(
    lambda options: b"".join(bytes((kind, length)) + data[: max(0, length * 8 - 2)] for kind, length, data in options)
)


@pytest.mark.parametrize("parser", PARSERS)
@given(
    data=st.one_of(
        st.binary(max_size=200), st.builds(lambda a, b: bytes((135, 0)) + a + b, st.binary(max_size=46), OPTION_SOUP)
    ),
    off=st.integers(-2, 20),
    short=st.integers(-2, 20),
    kind=kinds,
)
def test_any_bytes_are_a_message_of_neighbour_discovery_or_none(parser, data, off, short, kind):
    """No exception, and nothing unbounded."""
    found = parser.parse(kind(data), off, len(data) - short)
    assert found is None or isinstance(found, parser)


@given(data=st.one_of(st.binary(max_size=300), OPTION_SOUP))
def test_any_bytes_are_options_or_none(data):
    """What is kept can be written and is then read as the same (but for what is never kept)."""
    found = ndp_options.parse_options(data)
    if found is not None:
        again = ndp_options.parse_options(found.encode())
        assert again == found


# Groups ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@given(data=st.data())
def test_times_are_told_as_nearly_as_they_can_be(bits, data):
    """RFC 3376 section 4.1.1, RFC 3810 section 5.1.3: twin: the greatest of all codes' values that is not above."""
    value = data.draw(st.integers(0, 2 ** (bits + 4)))
    code = membership.encode_time(value, bits)
    told = membership.decode_time(code, bits)
    assert told <= value
    assert code == (1 << bits) - 1 or membership.decode_time(code + 1, bits) > value


def test_codes_mean_what_the_rfc_says():
    """RFC 3376 section 4.1.1: (mant | 0x10) << (exp + 3); RFC 3810 section 5.1.3 with 12 bits of mantissa."""
    for code in range(256):
        wanted = code if code < 128 else ((code & 0xF) | 0x10) << ((code >> 4 & 7) + 3)
        assert membership.decode_time(code) == wanted
        assert membership.encode_time(wanted) == code
    for code in range(0, 65536, 7):
        wanted = code if code < 32768 else ((code & 0xFFF) | 0x1000) << ((code >> 12 & 7) + 3)
        assert membership.decode_time(code, 16) == wanted
        assert membership.encode_time(wanted, 16) == code


def records(addresses):
    return st.lists(st.builds(Record, st.integers(1, 6), addresses, st.lists(addresses, max_size=4)), max_size=4)


def old(version, addresses, kinds_):
    return st.builds(lambda k, g: Report(version, [Record(k, g)]), st.sampled_from(kinds_), addresses)


def queries(version, addresses, times, flags, sources):
    return st.builds(
        Query, st.just(version), addresses, times, *flags, st.lists(addresses, max_size=4) if sources else st.just([])
    )


NONE_OF_IT = (st.just(False), st.just(0), st.just(0))
ALL_OF_IT = (st.booleans(), st.integers(0, 7), u8.map(membership.decode_time))
IGMP_MESSAGES = st.one_of(
    queries(1, a4, st.just(10_000), NONE_OF_IT, False),
    queries(2, a4, st.integers(1, 255).map(lambda tenths: tenths * 100), NONE_OF_IT, False),
    queries(3, a4, u8.map(lambda code: membership.decode_time(code) * 100), ALL_OF_IT, True),
    old(1, a4, [membership.IS_EXCLUDE]),
    old(2, a4, [membership.IS_EXCLUDE, membership.TO_INCLUDE]),
    st.builds(Report, st.just(3), records(a4)),
)
MLD_MESSAGES = st.one_of(
    queries(1, a6, u16, NONE_OF_IT, False),
    queries(2, a6, u16.map(lambda code: membership.decode_time(code, 16)), ALL_OF_IT, True),
    old(1, a6, [membership.IS_EXCLUDE, membership.TO_INCLUDE]),
    st.builds(Report, st.just(2), records(a6)),
)


@given(message=IGMP_MESSAGES, kind=kinds, before=payloads)
def test_igmp_goes_around_the_circle(message, kind, before):
    """RFC 2236 and 3376: what is emitted is what is parsed, in every version."""
    data = igmp.emit(message)
    buf = kind(before + bytes(data) + b"\xee")
    assert igmp.parse(buf, len(before), len(before) + len(data)) == message


@given(message=MLD_MESSAGES, kind=kinds, before=payloads)
def test_mld_goes_around_the_circle(message, kind, before):
    """RFC 2710 and 3810: what is emitted is what is parsed, in both versions."""
    data = mld.emit(message, SRC, DST)
    assert icmpv6.is_valid(data, 0, len(data), SRC, DST)
    buf = kind(before + bytes(data) + b"\xee")
    assert mld.parse(buf, len(before), len(before) + len(data)) == message


@given(message=st.builds(Report, st.just(3), records(a4)))
def test_igmp_reports_are_scapys(message):
    """RFC 3376 section 4.2."""
    wanted = s4.IGMPv3_MR(
        records=[
            s4.IGMPv3_MR_Group(rtype=r.kind, maddr=format_ipv4(r.group), srcaddrs=[*map(format_ipv4, r.sources)])
            for r in message.records
        ]
    )
    assert igmp.emit(message) == raw(wanted)


@given(
    group=a4,
    code=st.integers(0, 127),
    sources=st.lists(a4, max_size=4),
    qqic=st.integers(0, 127),
    qrv=st.integers(0, 7),
)
def test_igmp_queries_are_scapys(group, code, sources, qqic, qrv):
    """RFC 3376 section 4.1, RFC 2236 section 2."""
    wanted = s4.IGMPv3_MQ(
        mrcode=code, gaddr=format_ipv4(group), s=1, qrv=qrv, qqic=qqic, srcaddrs=[*map(format_ipv4, sources)]
    )
    assert igmp.emit(Query(3, group, code * 100, True, qrv, qqic, sources)) == raw(wanted)
    old_query = s4.IGMP_MQ(type=0x11, mrcode=max(code, 1), gaddr=format_ipv4(group))
    assert igmp.emit(Query(2, group, max(code, 1) * 100)) == raw(old_query)


@given(message=st.builds(Report, st.just(2), records(a6)))
def test_mld_reports_are_scapys(message):
    """RFC 3810 section 5.2."""
    wanted = s6.ICMPv6MLReport2(
        records_number=len(message.records),
        records=[
            s6.ICMPv6MLDMultAddrRec(
                rtype=r.kind,
                sources_number=len(r.sources),
                dst=format_ipv6(r.group),
                sources=[*map(format_ipv6, r.sources)],
            )
            for r in message.records
        ],
    )
    assert mld.emit(message, SRC, DST) == message_of(wanted)


@given(group=a6, delay=st.integers(0, 32767), sources=st.lists(a6, max_size=4), qqic=st.integers(0, 127))
def test_mld_queries_are_scapys(group, delay, sources, qqic):
    """RFC 3810 section 5.1, RFC 2710 section 3."""
    wanted = s6.ICMPv6MLQuery2(
        mladdr=format_ipv6(group),
        mrd=delay,
        S=1,
        QRV=2,
        QQIC=qqic,
        sources_number=len(sources),
        sources=[*map(format_ipv6, sources)],
    )
    assert mld.emit(Query(2, group, delay, True, 2, qqic, sources), SRC, DST) == message_of(wanted)
    assert mld.emit(Query(1, group, delay), SRC, DST) == message_of(
        s6.ICMPv6MLQuery(mladdr=format_ipv6(group), mrd=delay)
    )


def with_checksum(data):
    """Bytes that get past IGMP's checksum."""
    data = bytearray(data)
    if len(data) >= 4:
        data[2:4] = bytes(2)
        data[2:4] = igmp.checksum(data, 0, len(data)).to_bytes(2, "big")
    return bytes(data)


GROUP_SOUP = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda kind, count, tail: bytes((kind, 0, 0, 0, 0, 0)) + count.to_bytes(2, "big") + tail,
        st.sampled_from([0x11, 0x12, 0x16, 0x17, 0x22, 130, 131, 132, 143]),
        st.sampled_from([0, 1, 2, 5, 65535]),
        st.lists(st.sampled_from([b"\1\0\0\1", b"\4\0\0\0", b"\0\0\xff\xff", bytes(4), bytes(16)]), max_size=30).map(
            b"".join
        ),
    ),
)


@given(data=GROUP_SOUP, off=st.integers(-2, 9), short=st.integers(-2, 9), kind=kinds)
@example(data=b"", off=0, short=0, kind=bytes)
def test_any_bytes_are_a_message_about_groups_or_none(data, off, short, kind):
    """No exception, and no more records and sources than the bounds."""
    for found in (
        mld.parse(kind(data), off, len(data) - short),
        igmp.parse(kind(data), off, len(data) - short),
        igmp.parse(kind(with_checksum(data)), 0, len(data)),
    ):
        assert found is None or isinstance(found, Query | Report)
        if isinstance(found, Report):
            assert len(found.records) <= membership.MAX_RECORDS
            assert sum(len(record.sources) for record in found.records) <= membership.MAX_SOURCES
