"""Extension headers: which packets they condemn, on the way and at the end of it, and what the sender is told."""

from collections.abc import Sequence
from typing import Any

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    IPv6ExtHdrSegmentRouting,
    Jumbo,
    RouterAlert,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace, received
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import LINK_MULTICAST, REASSEMBLED, ROUTER_ALERT
from vrouter.stack.l3.ext_headers import destination_input, fragment_input, hop_input, next_header_at
from vrouter.stack.l3.kinds import (
    PARAMETER,
    PARAMETER_CHAIN,
    PARAMETER_OPTION,
    PROTO_UNREACHABLE,
    SILENCE,
)

FINE = (0, SILENCE, 0)
DISCARD = (DropReason.IP_OPTIONS, SILENCE, 0)
GROUP = "ff05::5"
IP6 = IPv6(src=THERE, dst=HERE)
LAN = Namespace().lan


def options(*parts: bytes, next_header: int = 17) -> Raw:
    """A header of options: `parts` padded to whole units of 8 bytes."""
    data = b"".join(parts)
    missing = -(len(data) + 2) % 8
    pad = bytes(missing) if missing < 2 else bytes([1, missing - 2]) + bytes(missing - 2)
    return Raw(bytes([next_header, (len(data) + missing + 2) // 8 - 1]) + data + pad)


def hop_by_hop(*parts: bytes, dst: str = HERE) -> IPv6:
    return IPv6(src=THERE, dst=dst, nh=0) / options(*parts) / UDP()


def for_destination(*parts: bytes, dst: str = HERE) -> IPv6:
    return IPv6(src=THERE, dst=dst, nh=60) / options(*parts) / UDP()


def unknown(action: int) -> bytes:
    """An option of a type that nobody knows, with one byte."""
    return bytes([action << 6 | 0x1E, 1, 7])


UNKNOWN = [
    # action, destination, flags, answer; RFC 8200 4.2
    (0, HERE, 0, FINE),
    (1, HERE, 0, DISCARD),
    (2, HERE, 0, (DropReason.IP_OPTIONS, PARAMETER_OPTION, 42)),
    (2, GROUP, 0, (DropReason.IP_OPTIONS, PARAMETER_OPTION, 42)),
    (2, HERE, LINK_MULTICAST, (DropReason.IP_OPTIONS, PARAMETER_OPTION, 42)),
    (3, HERE, 0, (DropReason.IP_OPTIONS, PARAMETER_OPTION, 42)),
    (3, GROUP, 0, DISCARD),
    (3, HERE, LINK_MULTICAST, DISCARD),  # RFC 4443 2.4 (e.4)
]


@pytest.mark.parametrize(("action", "dst", "flags", "expected"), UNKNOWN)
@pytest.mark.parametrize(("packet", "judge"), [(hop_by_hop, hop_input), (for_destination, destination_input)])
def test_an_unknown_option_says_what_is_to_be_done_about_it(
    packet: Any, judge: Any, action: int, dst: str, flags: int, expected: tuple[int, int, int]
) -> None:
    """RFC 8200 4.2: the two high bits of the type; a report points at the option."""
    assert judge(Ip(), received(packet(unknown(action), dst=dst), LAN, flags)) == expected


def test_the_first_option_that_demands_it_is_reported() -> None:
    """RFC 8200 4.2: options are processed in the order in which they appear."""
    packet = hop_by_hop(unknown(0), unknown(2), unknown(1))
    assert hop_input(Ip(), received(packet, LAN)) == (DropReason.IP_OPTIONS, PARAMETER_OPTION, 45)


@pytest.mark.parametrize(
    "parts",
    [
        [bytes(8)],  # more than 7 bytes of padding in a row
        [b"\x01\x06" + bytes(6)],
        [b"\x00" + b"\x01\x05" + bytes(5)],
        [b"\x01\x01\x01"],  # padding that says something (RFC 4942 2.1.9.5)
        [bytes([5, 1, 0])],  # a router alert of the wrong length (RFC 2711 2.1)
        [bytes([5, 3, 0, 0, 0])],
        [b"\x1e\x20"],  # beyond the end of the header
        [b"\x01\x03" + bytes(3) + b"\x1e"],  # a type without a length
    ],
)
def test_malformed_options_and_padding_are_discarded_in_silence(parts: Sequence[bytes]) -> None:
    """RFC 8504 5.3: what is no padding, and what runs over its header."""
    data = b"".join(parts)
    packet = IPv6(src=THERE, dst=HERE, nh=0) / Raw(
        bytes([17, (len(data) + 9) // 8 - 1]) + data + bytes(-(len(data) + 2) % 8)
    )
    assert hop_input(Ip(), received(packet / UDP(), LAN)) == DISCARD


@pytest.mark.parametrize("count", [8, 9])
def test_a_header_has_up_to_eight_options(count: int) -> None:
    """RFC 8504 5.3: the default limit is 8, of hop-by-hop and of destination options alike; padding does not count."""
    expected = FINE if count == 8 else DISCARD
    parts = [unknown(0) + b"\x00"] * count
    assert hop_input(Ip(), received(hop_by_hop(*parts), LAN)) == expected
    assert destination_input(Ip(), received(for_destination(*parts), LAN)) == expected


def test_settings_move_the_limits_of_each_header() -> None:
    """RFC 8504 5.3: number and length are configurable, for each header apart; below 0 nothing unknown is accepted."""
    pair = [unknown(0)] * 2
    for settings, hop, destination in [
        ({"max_hbh_opts_number": 1}, DISCARD, FINE),
        ({"max_dst_opts_number": 1}, FINE, DISCARD),
        ({"max_hbh_opts_number": -2}, DISCARD, FINE),
        ({"max_dst_opts_number": -2}, FINE, DISCARD),
        ({"max_hbh_length": 8}, FINE, FINE),
        ({"max_hbh_length": 7}, DISCARD, FINE),
        ({"max_dst_opts_length": 7}, FINE, DISCARD),
    ]:
        ip = Ip(Namespace(**settings))
        assert hop_input(ip, received(hop_by_hop(*pair), LAN)) == hop, settings
        assert destination_input(ip, received(for_destination(*pair), LAN)) == destination, settings


def test_strict_limits_let_known_options_through() -> None:
    """RFC 8504 5.3: disallowing unknown options leaves the router alert."""
    packet = IP6 / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / UDP()
    assert hop_input(Ip(Namespace(max_hbh_opts_number=-1)), received(packet, LAN)) == FINE


def test_a_router_alert_is_seen_in_hop_by_hop_options_alone() -> None:
    """RFC 2711 2.1: the option is one of the hop-by-hop header."""
    alert = bytes([5, 2, 0, 0])
    for packet, flag in [(hop_by_hop(alert), ROUTER_ALERT), (for_destination(alert), 0), (hop_by_hop(), 0)]:
        pkt = received(packet, LAN)
        assert hop_input(Ip(), pkt) == FINE
        assert destination_input(Ip(), pkt) == FINE
        assert pkt.flags & ROUTER_ALERT == flag


@pytest.mark.parametrize(
    "packet",
    [
        IP6 / UDP(),
        for_destination(unknown(2)),
        IP6 / IPv6ExtHdrRouting(addresses=[THERE], segleft=1) / UDP(),
        IP6 / IPv6ExtHdrFragment(m=1) / Raw(b"odd"),
        IPv6(dst=HERE, nh=60) / Raw(b"\x11\xff" + bytes(6)),
        IPv6(dst=HERE, nh=253) / Raw(b"?"),
    ],
)
def test_a_node_on_the_way_reads_hop_by_hop_options_and_no_more(packet: IPv6) -> None:
    """RFC 8200 4 and RFC 7045 2.1: headers for the destination hold nothing up, whatever is in them."""
    assert hop_input(Ip(), received(packet, LAN)) == FINE


@pytest.mark.parametrize("payload", [b"\x11\x00\x01", b"\x11\x01\x01\x04" + bytes(4)])
def test_a_hop_by_hop_header_that_is_cut_off_is_discarded(payload: bytes) -> None:
    """RFC 8200 4.3: nobody on the way could process it."""
    assert hop_input(Ip(), received(IPv6(dst=HERE, nh=0) / Raw(payload), LAN)) == DISCARD


def test_jumbograms_are_refused_by_their_option() -> None:
    """RFC 2675 2 gives the option type 0xC2: who does not know it tells the sender, by code 2, where it stands."""
    jumbo = IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)])
    for plen in (0, 28):
        pkt = received(IPv6(src=THERE, dst=HERE, plen=plen) / jumbo / Raw(bytes(20)), LAN)
        assert hop_input(Ip(), pkt) == (DropReason.IP_OPTIONS, PARAMETER_OPTION, 42)


def test_length_zero_without_a_jumbo_option_is_an_error_in_the_length() -> None:
    """RFC 2675 3: code 0, pointing at the payload length."""
    pkt = received(IPv6(src=THERE, dst=HERE, plen=0) / IPv6ExtHdrHopByHop() / UDP(), LAN)
    assert hop_input(Ip(), pkt) == (DropReason.IP_INHDR, PARAMETER, 4)


@pytest.mark.parametrize(
    ("routing", "pointer"),
    [
        (IPv6ExtHdrRouting(type=0, addresses=[THERE], segleft=1), 42),  # RFC 5095 3
        (IPv6ExtHdrRouting(type=2, addresses=[THERE], segleft=1), 42),
        (IPv6ExtHdrSegmentRouting(addresses=[THERE], segleft=1), 42),
        (IPv6ExtHdrRouting(type=253, addresses=[], segleft=255), 42),
        (IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(type=0, addresses=[THERE], segleft=1), 50),
    ],
)
def test_a_routing_header_with_segments_left_is_an_error_at_its_type(routing: IPv6, pointer: int) -> None:
    """RFC 8200 4.4, RFC 5095 3: every type is unknown here, and type 0 is to be treated so by anybody."""
    expected = (DropReason.IP_OPTIONS, PARAMETER, pointer)
    assert destination_input(Ip(), received(IP6 / routing / UDP(), LAN)) == expected


@pytest.mark.parametrize("kind", [0, 2, 4, 253])
def test_a_routing_header_without_segments_left_is_passed_over(kind: int) -> None:
    """RFC 8200 4.4, RFC 5095 3: ignored, and the next header is processed."""
    pkt = received(IP6 / IPv6ExtHdrRouting(type=kind, addresses=[THERE], segleft=0) / UDP(), LAN)
    assert destination_input(Ip(), pkt) == FINE
    assert (pkt.proto, pkt.l4 - pkt.l3) == (17, 64)


@pytest.mark.parametrize(("dst", "flags"), [(GROUP, 0), (HERE, LINK_MULTICAST)])
def test_a_routing_header_to_many_is_discarded(dst: str, flags: int) -> None:
    """As in Linux: who is one of many is nobody's way station; RFC 4443 2.4 (e.3) forbids the answer."""
    packet = IPv6(src=THERE, dst=dst) / IPv6ExtHdrRouting(addresses=[THERE], segleft=0) / UDP()
    assert destination_input(Ip(), received(packet, LAN, flags)) == DISCARD


@pytest.mark.parametrize(
    ("packet", "proto", "offset"),
    [
        (IP6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / UDP(), 17, 64),
        (IP6 / IPv6ExtHdrDestOpt(nh=59) / Raw(b"ignored"), 59, 48),  # RFC 8200 4.7
        (IP6 / IPv6ExtHdrDestOpt(nh=253) / Raw(b"?"), 253, 48),
        (IP6 / IPv6ExtHdrDestOpt(nh=51) / Raw(bytes(24)), 51, 48),
        (IP6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / TCP(), 6, 64),
    ],
)
def test_the_destination_finds_the_upper_layer(packet: IPv6, proto: int, offset: int) -> None:
    """RFC 8200 4.1: any order, any number of times; what is unknown ends the chain and is somebody else's to judge."""
    pkt = received(packet, LAN)
    assert destination_input(Ip(), pkt) == FINE
    assert (pkt.proto, pkt.l4 - pkt.l3) == (proto, offset)


def test_hop_by_hop_options_stand_behind_the_header_alone() -> None:
    """RFC 8200 4.1: anywhere else their number is an unrecognised next header, reported where it stands."""
    packet = IP6 / IPv6ExtHdrDestOpt(nh=0) / Raw(bytes([17, 0]) + bytes(6)) / UDP()
    pkt = received(packet, LAN)
    assert hop_input(Ip(), pkt) == FINE
    assert destination_input(Ip(), pkt) == (DropReason.IP_NOPROTO, PROTO_UNREACHABLE, 40)


def test_a_packet_is_cut_once() -> None:
    """RFC 8200 4.5: a fragment header behind another is an error where it stands, as Linux says it."""
    twice = IP6 / IPv6ExtHdrFragment() / IPv6ExtHdrFragment() / UDP()
    assert destination_input(Ip(), received(twice, LAN)) == (DropReason.IP_OPTIONS, PARAMETER, 48)
    once_more = received(IP6 / IPv6ExtHdrFragment() / UDP(), LAN, REASSEMBLED)
    assert destination_input(Ip(), once_more) == (DropReason.FRAG_INVALID, PARAMETER, 40)


def piece(size: int, *, offset: int = 0, more: int = 0, head: IPv6 = IP6) -> IPv6:
    return head / IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=9) / Raw(bytes(size))


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (piece(16, more=1), FINE),
        (piece(13, offset=2), FINE),
        (piece(13, more=1), (DropReason.FRAG_INVALID, PARAMETER, 4)),
        (piece(7, more=1, offset=5), (DropReason.FRAG_INVALID, PARAMETER, 4)),
        (piece(7, offset=8191), FINE),  # ends at 65535
        (piece(8, offset=8191), (DropReason.FRAG_INVALID, PARAMETER, 42)),
        (piece(7, offset=8191, head=IP6 / IPv6ExtHdrDestOpt()), (DropReason.FRAG_INVALID, PARAMETER, 50)),
        (piece(7, offset=8190, head=IP6 / IPv6ExtHdrDestOpt()), FINE),
        (piece(8, offset=8190, more=1, head=IP6 / IPv6ExtHdrDestOpt()), (DropReason.FRAG_INVALID, PARAMETER, 50)),
    ],
)
def test_length_and_offset_of_a_fragment(packet: IPv6, expected: tuple[int, int, int]) -> None:
    """RFC 8200 4.5: with more to come a multiple of 8 bytes (pointing to the payload length), and none that makes a
    payload of more than 65535 (pointing to the offset)."""
    assert fragment_input(Ip(), received(packet, LAN)) == expected


def first_fragment(next_header: int, data: bytes) -> IPv6:
    data += bytes(-len(data) % 8)
    return IP6 / IPv6ExtHdrFragment(nh=next_header, m=1) / Raw(data)


@pytest.mark.parametrize(
    ("packet", "complete"),
    [
        (first_fragment(6, bytes(TCP())), True),
        (first_fragment(6, bytes(TCP())[:16]), False),
        (first_fragment(17, bytes(UDP())), True),
        (first_fragment(58, bytes(ICMPv6EchoRequest())), True),
        (first_fragment(253, b"?"), True),
        (first_fragment(60, bytes(IPv6ExtHdrDestOpt(nh=17) / UDP())), True),
        (first_fragment(60, bytes(IPv6ExtHdrDestOpt(nh=17))), False),  # it ends where UDP should be
        (first_fragment(60, b"\x11\x02" + bytes(14)), False),  # and here inside the options
        (first_fragment(59, b""), True),
    ],
)
def test_a_first_fragment_holds_the_whole_chain(packet: IPv6, complete: bool) -> None:
    """RFC 7112 3 and 5, RFC 8200 4.5: through the upper-layer header, else Parameter Problem code 3, pointer 0."""
    expected = FINE if complete else (DropReason.FRAG_INVALID, PARAMETER_CHAIN, 0)
    assert fragment_input(Ip(), received(packet, LAN)) == expected


def test_a_later_fragment_may_begin_with_anything() -> None:
    """RFC 7112 3: the demand is on the first one."""
    packet = IP6 / IPv6ExtHdrFragment(nh=60, m=1, offset=4) / Raw(b"\xff" * 8)
    assert fragment_input(Ip(), received(packet, LAN)) == FINE


def test_headers_in_front_are_judged_in_each_fragment() -> None:
    """RFC 8200 4.5: they are processed when the fragments arrive, prior to queueing."""
    routing = IP6 / IPv6ExtHdrRouting(addresses=[THERE], segleft=1)
    for offset in (0, 4):
        packet = piece(16, offset=offset, more=1, head=routing)
        assert fragment_input(Ip(), received(packet, LAN)) == (DropReason.IP_OPTIONS, PARAMETER, 42)


@pytest.mark.parametrize(
    ("packet", "at"),
    [
        (IPv6(nh=253) / Raw(b"?"), 6),
        (IPv6() / IPv6ExtHdrDestOpt(nh=253) / Raw(b"?"), 40),
        (IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(nh=253) / Raw(b"?"), 56),
    ],
)
def test_where_an_unknown_upper_layer_is_named(packet: IPv6, at: int) -> None:
    """RFC 8200 4, RFC 4443 3.4: code 1 points at the next-header field that has the number."""
    assert next_header_at(received(packet, LAN)) == at
