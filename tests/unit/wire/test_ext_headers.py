"""The walk through extension headers: what it finds, what it refuses and where it points."""

import pytest

from vrouter.stack.wire import ext_headers as ext
from vrouter.testing import frames as make

A, B = "fd00:1::2", "fd00:2::2"
UDP = make.udp(A, B, 4000, 53, b"question")
ASKERS = [ext.ROUTER, ext.DESTINATION, ext.SKIM]


def walk(first, payload, asker=ext.DESTINATION, *limits):
    packet = b"\xee" * 4 + make.ipv6(A, B, first, payload)
    return ext.walk(packet, 4, len(packet), asker, *limits)


def problem(chain):
    """What a Parameter Problem about it says, or None."""
    return (chain.code, chain.pointer, chain.action) if chain.fault == ext.PROBLEM else None


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("proto", [1, 6, 17, 50, 51, 58, 59, 135, 139, 140, 253, 255])
def test_what_is_no_extension_header_ends_the_chain(asker, proto):
    """RFC 8200 section 4: an unknown next header is told by who finds nobody to take it, at the byte that names it."""
    chain = walk(proto, b"x", asker)
    assert (chain.fault, chain.proto, chain.offset, chain.next_at) == (ext.NO_FAULT, proto, 44, 10)
    assert (chain.hop_by_hop, chain.routing, chain.fragment, chain.destination) == (-1, -1, -1, -1)
    assert not ext.is_extension(proto)


def test_the_recommended_order():
    """RFC 8200 section 4.1: every header is noted where it is; a fragment header would go behind the routing header."""
    inner = make.destination_options(make.UDP, UDP)
    inner = make.routing(make.DSTOPTS, inner, [A], segments_left=0, type=4)
    inner = make.destination_options(make.ROUTING, inner)
    chain = walk(make.HOPOPTS, make.hop_by_hop(make.DSTOPTS, inner, make.option(5, b"\0\7")))
    assert (chain.fault, chain.proto, chain.offset, chain.next_at) == (ext.NO_FAULT, 17, 92, 84)
    assert (chain.hop_by_hop, chain.router_alert) == (44, 7)
    assert (chain.routing, chain.routing_type, chain.segments_left) == (60, 4, 0)
    assert (chain.destination, chain.fragment, chain.headers) == (84, -1, 4)
    assert (chain.cut_at, chain.cut_next_at) == (84, 60)


def test_a_router_looks_at_the_hop_by_hop_header_alone():
    """RFC 8200 section 4: what is behind it is not examined on the way, however wrong."""
    bad = make.destination_options(make.UDP, UDP, make.option(0xC2, b"\0\0\0\0"))
    assert problem(walk(make.DSTOPTS, bad)) == (2, 42, ext.ACTION_REPORT_UNICAST)
    assert walk(make.DSTOPTS, bad, ext.ROUTER).fault == ext.NO_FAULT
    chain = walk(make.HOPOPTS, make.hop_by_hop(make.DSTOPTS, bad), ext.ROUTER)
    assert (chain.fault, chain.proto, chain.offset, chain.headers) == (ext.NO_FAULT, make.DSTOPTS, 52, 1)
    chain = walk(make.ROUTING, make.routing(make.UDP, UDP, [A], segments_left=1), ext.ROUTER)
    assert (chain.fault, chain.proto, chain.routing) == (ext.NO_FAULT, make.ROUTING, -1)


@pytest.mark.parametrize("first", [make.HOPOPTS, make.DSTOPTS])
@pytest.mark.parametrize(
    ("kind", "fault", "action"),
    [
        (0x1E, ext.NO_FAULT, ext.ACTION_SKIP),
        (0x5E, ext.DISCARD, ext.ACTION_DISCARD),
        (0x9E, ext.PROBLEM, ext.ACTION_REPORT),
        (0xDE, ext.PROBLEM, ext.ACTION_REPORT_UNICAST),
        (0xC2, ext.PROBLEM, ext.ACTION_REPORT_UNICAST),
        (0xC9, ext.PROBLEM, ext.ACTION_REPORT_UNICAST),
    ],
)
def test_unknown_options_say_themselves_what_to_do(first, kind, fault, action):
    """RFC 8200 section 4.2: skip, discard, report, report but not to a group. Jumbo and home address are unknown."""
    options = make.option(0) + make.option(0x1F, b"ab") + make.option(kind, b"x")
    chain = walk(first, make.hop_by_hop(make.UDP, UDP, options))
    assert (chain.fault, chain.action) == (fault, action)
    if fault:
        assert (chain.code, chain.pointer) == (ext.UNRECOGNISED_OPTION, 40 + 2 + 1 + 4)
        assert (chain.proto, chain.offset) == (first, 44)
    else:
        assert (chain.proto, chain.offset) == (17, 60)


def test_a_router_alert_is_one_among_the_hop_by_hop_options_alone():
    """RFC 2711 section 2.1: two bytes of value; in another header the type is unknown, and skipped by its bits."""
    assert walk(make.DSTOPTS, make.destination_options(17, UDP, make.option(5, b"\0\0"))).router_alert == -1
    assert walk(make.HOPOPTS, make.hop_by_hop(17, UDP, make.option(5, b"\1\2"))).router_alert == 0x0102
    assert walk(make.HOPOPTS, make.hop_by_hop(17, UDP, make.option(5, b"\1"))).fault == ext.MALFORMED


@pytest.mark.parametrize("type_", [0, 2, 3, 4, 253])
def test_routing_headers_with_segments_left_are_refused(type_):
    """RFC 5095 section 3 (type 0) and RFC 8200 section 4.4 (unknown): code 0 at the type; without segments ignored."""
    chain = walk(make.DSTOPTS, make.destination_options(43, make.routing(17, UDP, [A], type=type_, segments_left=1)))
    assert problem(chain) == (ext.ERRONEOUS_FIELD, 40 + 8 + 2, ext.ACTION_REPORT_UNICAST)
    chain = walk(make.ROUTING, make.routing(17, UDP, [A], type=type_, segments_left=0))
    assert (chain.fault, chain.proto, chain.routing_type) == (ext.NO_FAULT, 17, type_)


def test_hop_by_hop_options_stand_first_alone():
    """RFC 8200 section 4.1: elsewhere the value 0 is an unrecognised next header."""
    twice = make.hop_by_hop(make.HOPOPTS, make.hop_by_hop(17, UDP))
    assert problem(walk(make.HOPOPTS, twice)) == (ext.UNRECOGNISED_NEXT_HEADER, 40, ext.ACTION_REPORT_UNICAST)
    later = make.destination_options(make.HOPOPTS, make.hop_by_hop(17, UDP))
    assert problem(walk(make.DSTOPTS, later)) == (ext.UNRECOGNISED_NEXT_HEADER, 40, ext.ACTION_REPORT_UNICAST)
    assert walk(make.HOPOPTS, twice, ext.ROUTER).fault == ext.NO_FAULT


def test_the_destination_stops_at_a_fragment():
    """RFC 8200 section 4.5: what is behind a fragment header is known after reassembly; the whole of an atomic one is
    there (RFC 6946)."""
    bad = make.destination_options(17, UDP, make.option(0xC2, b"\0\0\0\0"))
    chain = walk(make.HOPOPTS, make.hop_by_hop(44, make.fragment_header(60, bad, more=True)))
    assert (chain.fault, chain.proto, chain.offset, chain.fragment) == (ext.NO_FAULT, 44, 52, 52)
    assert (chain.next_at, chain.cut_at, chain.cut_next_at) == (44, 52, 44)
    chain = walk(make.FRAGMENT, make.fragment_header(17, UDP, offset=8))
    assert (chain.fault, chain.proto, chain.fragment) == (ext.NO_FAULT, 44, 44)
    chain = walk(make.FRAGMENT, make.fragment_header(17, UDP))
    assert (chain.fault, chain.proto, chain.offset, chain.fragment) == (ext.NO_FAULT, 17, 52, 44)
    assert problem(walk(make.FRAGMENT, make.fragment_header(60, bad)))[:2] == (2, 40 + 8 + 2)


def test_skimming_goes_through_a_first_fragment_and_ends_behind_the_header_of_a_later_one():
    """RFC 7112: the chain in a first fragment; data of which nothing is known in a later one."""
    chain = walk(make.FRAGMENT, make.fragment_header(60, make.destination_options(17, UDP), more=True), ext.SKIM)
    assert (chain.fault, chain.proto, chain.offset, chain.next_at) == (ext.NO_FAULT, 17, 60, 52)
    chain = walk(make.FRAGMENT, make.fragment_header(60, b"anything", offset=8), ext.SKIM)
    assert (chain.fault, chain.proto, chain.offset, chain.next_at) == (ext.NO_FAULT, 60, 52, 44)


@pytest.mark.parametrize(
    ("proto", "size", "whole"),
    [
        (6, 20, True),
        (6, 19, False),
        (17, 8, True),
        (17, 7, False),
        (58, 8, True),
        (58, 7, False),
        (253, 1, True),
        (253, 0, False),
        (59, 0, True),
        (60, 7, False),
        (60, 8, False),
        (60, 16, False),
        (60, 24, True),
    ],
)
def test_whether_a_first_fragment_holds_the_whole_chain(proto, size, whole):
    """RFC 7112 section 5: all headers as far as the upper-layer header, whole."""
    data = (make.destination_options(60, make.destination_options(17)) + UDP if proto == 60 else bytes(64))[:size]
    packet = make.ipv6(A, B, 44, make.fragment_header(proto, data, more=True))
    chain = ext.walk(packet, 0, len(packet), ext.SKIM)
    assert ext.holds_upper_header(chain, len(packet)) is whole


@pytest.mark.parametrize("asker", [ext.DESTINATION, ext.SKIM])
@pytest.mark.parametrize("proto", [0, 43, 44, 60])
@pytest.mark.parametrize("size", range(8))
def test_a_header_cut_short_is_malformed(asker, proto, size):
    """Nothing beyond the end is read, and nobody is told; but of a fragment header, as Linux does (RFC 4443 3.4)."""
    chain = walk(proto, bytes(size), asker)
    told = asker == ext.DESTINATION and proto == 44 and size > 0
    assert (chain.fault, chain.proto, chain.offset) == (ext.PROBLEM if told else ext.MALFORMED, proto, 44)
    assert not told or (chain.code, chain.pointer) == (ext.ERRONEOUS_FIELD, 40)


@pytest.mark.parametrize("asker", [ext.DESTINATION, ext.SKIM])
@pytest.mark.parametrize("proto", [0, 43, 60])
def test_a_header_that_claims_more_than_there_is_is_malformed(asker, proto):
    """The length is in units of 8 bytes, not counting the first."""
    assert walk(proto, bytes((17, 2, 0, 0, 1, 2, 0, 0)) + bytes(15), asker).fault == ext.MALFORMED
    assert walk(proto, bytes((17, 2, 0, 0, 1, 2, 0, 0)) + bytes(16), asker).fault in (ext.NO_FAULT, ext.LIMIT)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (b"\1\4" + bytes(4), ext.NO_FAULT),
        (bytes(6), ext.NO_FAULT),
        (b"\1\5" + bytes(5) + b"\x1e\5" + bytes(5), ext.NO_FAULT),  # 7 bytes of padding
        (bytes(7) + b"\x1e\5" + bytes(5), ext.NO_FAULT),
        (bytes(8) + b"\x1e\4" + bytes(4), ext.LIMIT),
        (b"\1\6" + bytes(6) + b"\x1e\4" + bytes(4), ext.LIMIT),
        (b"\1\2" + bytes(2) + b"\0\0\0\0" + b"\x1e\4" + bytes(4), ext.LIMIT),
        (b"\1\4\0\0\0\1", ext.MALFORMED),
        (b"\1\5" + bytes(4), ext.MALFORMED),
        (b"\0\0\0\0\0\x1e", ext.MALFORMED),
        (b"\x1e\5" + bytes(4), ext.MALFORMED),
        (b"\x1e\0" * 3, ext.NO_FAULT),
        (b"\x1e\0" * 7, ext.NO_FAULT),
        (b"\x1e\0" * 8 + b"\1\4" + bytes(4), ext.NO_FAULT),
        (b"\x1e\0" * 9 + b"\1\2" + bytes(2), ext.LIMIT),
    ],
)
@pytest.mark.parametrize("first", [make.HOPOPTS, make.DSTOPTS])
def test_options_and_padding_are_bounded(first, options, fault):
    """RFC 8504 section 5.3: 8 options, 7 bytes of padding in a row, which is zeros; no option beyond its header."""
    assert len(options) % 8 == 6
    chain = walk(first, make.hop_by_hop(17, UDP, options))
    assert chain.fault == fault


def test_the_number_of_headers_is_bounded():
    """A chain costs a bounded number of steps, however long it is."""
    payload = UDP
    proto = 17
    for count in range(1, ext.MAX_HEADERS + 2):
        payload, proto = make.destination_options(proto, payload), make.DSTOPTS
        chain = walk(make.DSTOPTS, payload)
        assert (chain.headers, chain.fault) == (
            min(count, ext.MAX_HEADERS),
            ext.LIMIT if count > ext.MAX_HEADERS else ext.NO_FAULT,
        )


def test_a_packet_is_cut_once():
    """A second fragment header has no meaning: an error for the destination, an end for who only skims."""
    twice = make.fragment_header(44, make.fragment_header(17, UDP))
    assert problem(walk(make.FRAGMENT, twice)) == (ext.ERRONEOUS_FIELD, 48, ext.ACTION_REPORT_UNICAST)
    chain = walk(make.FRAGMENT, twice, ext.SKIM)
    assert (chain.fault, chain.proto, chain.offset) == (ext.NO_FAULT, 44, 52)


def test_limits_can_be_set():
    """RFC 8504 section 5.3: numbers and lengths are configurable for both kinds of header; below 0 none is unknown."""
    three = make.hop_by_hop(17, UDP, make.option(0x1E) * 3)
    assert walk(0, three, ext.ROUTER, ext.Limits(hop_by_hop_options=3)).fault == ext.NO_FAULT
    assert walk(0, three, ext.ROUTER, ext.Limits(hop_by_hop_options=2)).fault == ext.LIMIT
    assert walk(0, three, ext.ROUTER, ext.Limits(hop_by_hop_options=-3)).fault == ext.LIMIT
    assert walk(0, three, ext.ROUTER, ext.Limits(hop_by_hop_length=7)).fault == ext.LIMIT
    assert walk(0, three, ext.ROUTER, ext.Limits(destination_options=0, destination_length=7)).fault == ext.NO_FAULT
    assert walk(60, three, ext.DESTINATION, ext.Limits(destination_options=2)).fault == ext.LIMIT
    alert = make.hop_by_hop(17, UDP, make.option(5, b"\0\0"))
    assert walk(0, alert, ext.ROUTER, ext.Limits(hop_by_hop_options=-1)).router_alert == 0
